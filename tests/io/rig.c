/* SPDX-License-Identifier: MIT */
#include "rig.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_hints(void *ctx)
{
	((struct rig *)ctx)->hints++;
}

static void on_pages(void *ctx, enum fph_queue queue, struct fph_range range)
{
	if (queue == FPH_QUEUE_INFLATE)
		((struct rig *)ctx)->inflated += range.len;
}

static void on_changed(void *ctx)
{
	struct rig *rig = ctx;
	char byte;

	rig->changed++;
	if (rig->start_when_ready && fph_device_start(rig->device) == 0) {
		rig->start_when_ready = false;
		rig->overtaken = recv(rig->channel, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0;
	}
}

static void on_gone(void *ctx, const char *why)
{
	struct rig *rig = ctx;

	rig->gone++;
	snprintf(rig->why, sizeof(rig->why), "%s", why);
}

void rig_open(struct rig *rig, unsigned loop_flags, const struct fph_vhost_user_opts *opts)
{
	struct fph_vhost_user_opts o = FPH_VHOST_USER_OPTS_INIT;

	if (opts)
		o = *opts;
	memset(rig, 0, sizeof(*rig));
	strcpy(rig->dir, "/tmp/fph-io-XXXXXX");
	cr_assert_not_null(mkdtemp(rig->dir));
	snprintf(rig->path, sizeof(rig->path), "%s/vu", rig->dir);
	cr_assert_eq(fph_loop_open(&rig->loop, loop_flags), 0);
	o.loop = rig->loop;
	o.path = rig->path;
	o.device.ctx = rig;
	o.device.hints = on_hints;
	o.device.pages = on_pages;
	o.changed = on_changed;
	o.gone = on_gone;
	cr_assert_eq(fph_vhost_user_open(&rig->vu, &o), 0);
	rig->device = fph_vhost_user_device(rig->vu);
}

void rig_close(struct rig *rig)
{
	fph_vhost_user_close(rig->vu);
	fph_loop_close(rig->loop);
	rmdir(rig->dir);
}

void rig_pump(struct rig *rig)
{
	int rc = 1;

	for (unsigned turn = 0; turn < 10000 && rc > 0; turn++)
		rc = fph_loop_run(rig->loop, 0);
	cr_assert_eq(rc, 0, "the loop never comes to rest, or fails: %d", rc);
}

unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	cr_assert_not_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

unsigned count_maps(const char *name)
{
	FILE *file = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned n = 0;

	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file))
		n += strstr(line, name) != NULL;
	fclose(file);
	return n;
}
