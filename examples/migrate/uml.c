/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include "uml_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN_MIB 64

static void hints(void *ctx)
{
	struct guest *guest = ctx;

	guest->kicks++;
}

static void stop_kernel(struct guest *guest)
{
	uml_talk_stop(guest);
	uml_process_kill(&guest->process);
	guest->dead = true;
}

static void close_uml(struct guest *guest)
{
	if (!guest)
		return;
	stop_kernel(guest);
	uml_track_end(guest);
	fph_vhost_user_close(guest->back);
	fph_loop_close(guest->loop);
	if (guest->dir[0])
		uml_remove(guest->dir);
	free(guest);
}

/* The path stands in sun_path and on a kernel command line: short, and no separators. */
static int make_dir(struct guest *guest)
{
	const char *tmp = getenv("TMPDIR");

	if (!tmp || tmp[0] != '/' || strlen(tmp) > sizeof(guest->dir) - 24 ||
	    strpbrk(tmp, " ,:\"\t\n"))
		tmp = P_tmpdir;
	snprintf(guest->dir, sizeof(guest->dir), "%s/fph-uml-XXXXXX", tmp);
	if (mkdtemp(guest->dir))
		return 0;
	guest->dir[0] = 0;
	return -errno;
}

static int listen_for_kernel(struct guest *guest)
{
	struct fph_vhost_user_opts opts = FPH_VHOST_USER_OPTS_INIT;
	char path[128];
	int err = make_dir(guest);

	if (!err)
		err = fph_loop_open(&guest->loop, 0);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/vhost", guest->dir);
	opts.loop = guest->loop;
	opts.path = path;
	opts.device.ctx = guest;
	opts.device.hints = hints;
	return fph_vhost_user_open(&guest->back, &opts);
}

static int open_uml(struct guest **out, const struct guest_config *config)
{
	struct guest *guest;
	int err;

	if (config->memory < (uint64_t)MIN_MIB << 20) {
		fprintf(stderr, "uml: a guest needs at least %d MiB of memory\n", MIN_MIB);
		return -EINVAL;
	}
	guest = calloc(1, sizeof(*guest));
	if (!guest)
		return -ENOMEM;
	guest->config = *config;
	err = listen_for_kernel(guest);
	if (err)
		fprintf(stderr, "uml: cannot make a back end: %s\n", strerror(-err));
	else
		err = uml_boot(guest);
	if (err) {
		close_uml(guest);
		return err;
	}
	*out = guest;
	return 0;
}

static struct fph_device *device(struct guest *guest)
{
	return fph_vhost_user_device(guest->back);
}

static const struct fph_mem *mem(struct guest *guest)
{
	return fph_vhost_user_mem(guest->back);
}

static int complain(const char *what, int err)
{
	if (err)
		fprintf(stderr, "uml: cannot %s the guest: %s\n", what, strerror(-err));
	return err;
}

static int pause_uml(struct guest *guest)
{
	return complain("pause", uml_pause(guest));
}

static int resume(struct guest *guest)
{
	return complain("resume", uml_resume(guest));
}

static int serve(struct guest *guest, int timeout_ms)
{
	int n = fph_loop_run(guest->loop, timeout_ms);

	if (n < 0)
		return n;
	return guest->dead || !fph_vhost_user_connected(guest->back) ? -ENOTCONN : 0;
}

static uint64_t free_bytes(struct guest *guest)
{
	char answer[64];

	if (uml_command(guest, "free", answer, sizeof(answer)))
		return 0;
	return strtoull(answer, NULL, 10) * 1024;
}

static uint64_t kicks(const struct guest *guest)
{
	return guest->kicks;
}

void uml_kill(struct guest *guest)
{
	stop_kernel(guest);
}

int uml_restart(struct guest *guest)
{
	stop_kernel(guest);
	return uml_boot(guest);
}

struct fph_vhost_user *uml_back_end(const struct guest *guest)
{
	return guest->back;
}

struct uml_times uml_times(const struct guest *guest)
{
	return guest->times;
}

const struct guest_ops guest_uml = {
	.name = "uml",
	.tracking = "comparison with a copy (the guest is another process)",
	.open = open_uml,
	.close = close_uml,
	.device = device,
	.mem = mem,
	.begin = uml_track_begin,
	.sync = uml_track_sync,
	.page = uml_track_page,
	.pause = pause_uml,
	.resume = resume,
	.serve = serve,
	.free_bytes = free_bytes,
	.kicks = kicks,
};
