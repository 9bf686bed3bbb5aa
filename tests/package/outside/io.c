/* SPDX-License-Identifier: MIT */
/* A program that knows only the installed libfph-io: listens at argv[1], and stops. */
#include <fph/loop.h>
#include <fph/vhost_user.h>

#include <stdio.h>

int main(int argc, char **argv)
{
	struct fph_vhost_user_opts opts = FPH_VHOST_USER_OPTS_INIT;
	struct fph_vhost_user *vu;
	struct fph_loop *loop;

	if (argc != 2 || fph_loop_open(&loop, 0) != 0)
		return 1;
	opts.loop = loop;
	opts.path = argv[1];
	if (fph_vhost_user_open(&vu, &opts) != 0)
		return 2;
	if (fph_loop_run(loop, 0) != 0 || fph_vhost_user_connected(vu))
		return 3;
	printf("loop of %s, device %s\n", fph_loop_kind(loop),
	       fph_device_state_name(fph_vhost_user_device(vu)));
	fph_vhost_user_close(vu);
	fph_loop_close(loop);
	return 0;
}
