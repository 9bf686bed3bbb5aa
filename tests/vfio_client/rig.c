/* SPDX-License-Identifier: MIT */
#include "rig.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATIENCE 20000 /* turns of half a millisecond */

/* ------------------------------------------------------------ the server's side */

static void on_gone(void *ctx, const char *why)
{
	struct rig *rig = ctx;

	rig->gone++;
	snprintf(rig->why, sizeof(rig->why), "%s", why);
}

static void on_trouble(void *ctx, const char *what)
{
	struct rig *rig = ctx;

	rig->troubles++;
	snprintf(rig->why, sizeof(rig->why), "%s", what);
}

void rig_lock(struct rig *rig)
{
	pthread_mutex_lock(&rig->lock);
}

void rig_unlock(struct rig *rig)
{
	pthread_mutex_unlock(&rig->lock);
}

static void *turn(void *ctx)
{
	struct rig *rig = ctx;
	bool stop = false;

	while (!stop) {
		rig_lock(rig);
		if (!rig->frozen)
			cr_assert_geq(fph_loop_run(rig->loop, 0), 0);
		stop = rig->stop;
		rig_unlock(rig);
		usleep(20);
	}
	return NULL;
}

static void serve(struct rig *rig)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;

	o.loop = rig->loop;
	o.path = rig->path;
	o.flags = rig->flags;
	o.device.ctx = rig;
	o.device.offer = rig->offer;
	o.gone = on_gone;
	o.trouble = on_trouble;
	cr_assert_eq(fph_vfio_user_server_open(&rig->server, &o), 0);
	rig->device = fph_vfio_user_server_device(rig->server);
}

void rig_open(struct rig *rig, unsigned loop_flags, uint32_t flags, uint64_t offer)
{
	memset(rig, 0, sizeof(*rig));
	rig->flags = flags;
	rig->offer = offer;
	strcpy(rig->dir, "/tmp/fph-vfio-XXXXXX");
	cr_assert_not_null(mkdtemp(rig->dir));
	snprintf(rig->path, sizeof(rig->path), "%s/socket", rig->dir);
	cr_assert_eq(fph_loop_open(&rig->loop, loop_flags), 0);
	serve(rig);
	cr_assert_eq(pthread_mutex_init(&rig->lock, NULL), 0);
	cr_assert_eq(pthread_create(&rig->thread, NULL, turn, rig), 0);
}

void rig_close(struct rig *rig)
{
	rig_lock(rig);
	rig->stop = true;
	rig_unlock(rig);
	pthread_join(rig->thread, NULL);
	fph_vfio_user_server_close(rig->server);
	fph_loop_close(rig->loop);
	cr_assert_eq(rmdir(rig->dir), 0, "the socket is still there");
}

void rig_restart(struct rig *rig)
{
	rig_lock(rig);
	fph_vfio_user_server_close(rig->server);
	serve(rig);
	rig_unlock(rig);
}

/* ------------------------------------------------------------ the client's side */

static void on_interrupt(void *ctx)
{
	((struct end *)ctx)->interrupts++;
}

static void on_server_gone(void *ctx, const char *why)
{
	struct end *end = ctx;

	end->gone++;
	snprintf(end->why, sizeof(end->why), "%s", why);
}

void end_open(struct end *end, const char *path, unsigned loop_flags, uint32_t flags, bool no_fd,
	      uint32_t timeout_ms)
{
	struct fph_vfio_user_client_opts o = FPH_VFIO_USER_CLIENT_OPTS_INIT;
	struct fph_vfio_user_region region = { .gpa = END_GPA, .len = END_BYTES };

	memset(end, 0, sizeof(*end));
	end->no_fd = no_fd;
	end->file = memfd_create("fph-guest-ram", MFD_CLOEXEC);
	cr_assert(end->file >= 0);
	cr_assert_eq(ftruncate(end->file, (off_t)END_BYTES), 0);
	end->ram = mmap(NULL, END_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, end->file, 0);
	cr_assert_neq(end->ram, MAP_FAILED);
	cr_assert_eq(fph_loop_open(&end->loop, loop_flags), 0);
	region.fd = no_fd ? -1 : end->file;
	region.hva = end->ram;
	o.loop = end->loop;
	o.path = path;
	o.regions = &region;
	o.region_count = 1;
	o.interrupt = on_interrupt;
	o.gone = on_server_gone;
	o.ctx = end;
	o.timeout_ms = timeout_ms;
	o.flags = flags;
	cr_assert_eq(fph_vfio_user_client_open(&end->client, &o), 0);
	end->bus = fph_vfio_user_client_bus(end->client);
}

void end_close(struct end *end)
{
	fph_vfio_user_client_close(end->client);
	fph_loop_close(end->loop);
	munmap(end->ram, END_BYTES);
	close(end->file);
}

int end_attach(struct end *end)
{
	struct fph_guest_opts o = FPH_GUEST_OPTS_INIT;
	int rc = -EAGAIN;

	o.bus = end->bus;
	o.ring = (struct fph_region){ END_GPA + 4096, 65536, end->ram + 4096, 0 };
	o.slots = end->slots;
	o.ring_size = END_RING;
	memset(end->ram + 4096, 0, 65536);
	cr_assert_eq(fph_guest_init(&end->guest, &o), 0);
	for (unsigned i = 0; i < 10 && rc == -EAGAIN; i++)
		rc = fph_guest_attach(&end->guest);
	return rc;
}

int end_wait(struct end *end, int wants)
{
	int rc = 0;

	for (unsigned i = 0; i < PATIENCE && rc >= 0 && !(rc & wants); i++) {
		fph_loop_run(end->loop, 1);
		rc = fph_guest_step(&end->guest, 0);
	}
	cr_assert(rc >= 0 && (rc & wants), "the guest wants %d and not %d: %s", rc, wants,
		  fph_vfio_user_client_why(end->client));
	return rc;
}

void end_hint(struct end *end, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct fph_range page = { END_PAGES + 4096 * (end->hinted++ % 1024), 4096 };

		cr_assert_eq(fph_guest_hint(&end->guest, &page, 1), 1);
	}
	cr_assert_eq(fph_guest_flush(&end->guest), 0);
}

unsigned end_reclaim(struct end *end)
{
	struct fph_range out[16];
	unsigned n = 0;
	int rc;

	while ((rc = fph_guest_reclaim(&end->guest, out, 16)) > 0)
		n += (unsigned)rc;
	cr_assert_eq(rc, 0);
	return n;
}

/* ------------------------------------------------------------ both */

static unsigned poll_all(struct rig *rig, struct end *end, uint64_t first, unsigned n)
{
	struct fph_range out[16];
	unsigned seen = 0;

	for (unsigned i = 0; i < PATIENCE && seen < n; i++) {
		int rc;

		rig_lock(rig);
		rc = fph_device_poll(rig->device, out, 16);
		for (int k = 0; k < rc; k++)
			cr_expect(out[k].len == 4096 &&
				  out[k].gpa ==
					  END_PAGES + 4096 * ((first + seen + (unsigned)k) % 1024));
		rig_unlock(rig);
		cr_assert(rc >= 0 || rc == -EAGAIN, "%d", rc);
		seen += rc > 0 ? (unsigned)rc : 0;
		fph_loop_run(end->loop, 0); /* the server may ask for memory by messages */
		if (rc <= 0)
			usleep(500);
	}
	return seen;
}

void both_round(struct rig *rig, struct end *end, unsigned n)
{
	uint64_t first = end->hinted;
	unsigned back = 0;

	rig_lock(rig);
	cr_assert_eq(fph_device_start(rig->device), 0);
	rig_unlock(rig);
	end_wait(end, FPH_GUEST_FEED);
	end_hint(end, n);
	cr_assert_eq(fph_guest_end(&end->guest), 0);
	cr_assert_eq(poll_all(rig, end, first, n), n, "hints are missing: %s", rig->why);
	rig_lock(rig);
	cr_assert_eq(fph_device_stop(rig->device), 0);
	cr_assert_eq(fph_device_done(rig->device), 0);
	rig_unlock(rig);
	for (unsigned i = 0; i < PATIENCE && back < n; i++) {
		fph_loop_run(end->loop, 1);
		cr_assert_geq(fph_guest_step(&end->guest, 0), 0);
		back += end_reclaim(end);
	}
	cr_assert_eq(back, n);
}

unsigned count_fds(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}
