/* SPDX-License-Identifier: MIT */
/* The headers of libfph-io in C++. */
#include <fph/loop.h>
#include <fph/vhost_user.h>

int main()
{
	fph_vhost_user_opts opts = FPH_VHOST_USER_OPTS_INIT;
	fph_vhost_user *vu = nullptr;

	if (opts.device.size != sizeof(fph_device_opts))
		return 1;
	fph_loop_close(nullptr);
	/* No loop, no path: refused. */
	return fph_vhost_user_open(&vu, &opts) == 0;
}
