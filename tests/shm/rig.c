/* SPDX-License-Identifier: MIT */
#include "rig.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATIENCE 10000 /* half milliseconds */

/* ------------------------------------------------------------ the server's side */

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
	((struct rig *)ctx)->changed++;
}

static void on_gone(void *ctx, const char *why)
{
	struct rig *rig = ctx;

	rig->gone++;
	snprintf(rig->why, sizeof(rig->why), "%s", why);
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
		usleep(50);
	}
	return NULL;
}

int rig_serve(struct rig *rig, struct fph_loop *loop, const struct fph_shm_server_opts *opts)
{
	struct fph_shm_server_opts o = FPH_SHM_SERVER_OPTS_INIT;
	int rc;

	if (opts)
		o = *opts;
	o.loop = loop;
	o.path = rig->path;
	o.device.ctx = rig;
	o.device.hints = on_hints;
	o.device.pages = on_pages;
	o.changed = on_changed;
	o.gone = on_gone;
	rc = fph_shm_server_open(&rig->server, &o);
	if (rc == 0)
		rig->device = fph_shm_server_device(rig->server);
	return rc;
}

void rig_open(struct rig *rig, unsigned loop_flags, const struct fph_shm_server_opts *opts)
{
	memset(rig, 0, sizeof(*rig));
	strcpy(rig->dir, "/tmp/fph-shm-XXXXXX");
	cr_assert_not_null(mkdtemp(rig->dir));
	snprintf(rig->path, sizeof(rig->path), "%s/shm", rig->dir);
	cr_assert_eq(fph_loop_open(&rig->loop, loop_flags), 0);
	cr_assert_eq(rig_serve(rig, rig->loop, opts), 0);
	cr_assert_eq(pthread_mutex_init(&rig->lock, NULL), 0);
	cr_assert_eq(pthread_create(&rig->thread, NULL, turn, rig), 0);
}

void rig_close(struct rig *rig)
{
	rig_lock(rig);
	rig->stop = true;
	rig_unlock(rig);
	pthread_join(rig->thread, NULL);
	fph_shm_server_close(rig->server);
	fph_loop_close(rig->loop);
	cr_assert_eq(rmdir(rig->dir), 0, "the socket is still there");
}

void rig_restart(struct rig *rig)
{
	rig_lock(rig);
	fph_shm_server_close(rig->server);
	cr_assert_eq(rig_serve(rig, rig->loop, NULL), 0);
	rig_unlock(rig);
}

void rig_expect_gone(struct rig *rig, unsigned gone)
{
	unsigned now = 0;

	for (unsigned i = 0; i < PATIENCE && now < gone; i++) {
		rig_lock(rig);
		now = rig->gone;
		rig_unlock(rig);
		usleep(500);
	}
	cr_assert_eq(now, gone, "%u clients are gone, not %u: %s", now, gone, rig->why);
}

void rig_expect_why(struct rig *rig, const char *words)
{
	rig_lock(rig);
	cr_assert_not_null(strstr(rig->why, words), "%s", rig->why);
	rig_unlock(rig);
}

/* ------------------------------------------------------------ the client's side */

int end_memfd(uint64_t bytes, int seals)
{
	int fd = memfd_create("fph-guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

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

void end_open(struct end *end, const char *path, unsigned loop_flags, uint32_t timeout_ms)
{
	struct fph_shm_client_opts o = FPH_SHM_CLIENT_OPTS_INIT;
	struct fph_shm_region region = { .gpa = END_GPA, .len = END_BYTES };

	memset(end, 0, sizeof(*end));
	end->file = region.fd = end_memfd(END_BYTES, F_SEAL_SHRINK);
	end->ram = mmap(NULL, END_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, end->file, 0);
	cr_assert_neq(end->ram, MAP_FAILED);
	cr_assert_eq(fph_loop_open(&end->loop, loop_flags), 0);
	o.loop = end->loop;
	o.path = path;
	o.regions = &region;
	o.region_count = 1;
	o.interrupt = on_interrupt;
	o.gone = on_server_gone;
	o.ctx = end;
	o.timeout_ms = timeout_ms;
	cr_assert_eq(fph_shm_client_open(&end->client, &o), 0);
	end->bus = fph_shm_client_bus(end->client);
}

void end_close(struct end *end)
{
	fph_shm_client_close(end->client);
	fph_loop_close(end->loop);
	munmap(end->ram, END_BYTES);
	close(end->file);
}

void end_connect(struct end *end)
{
	int rc = fph_shm_client_connect(end->client);

	cr_assert_eq(rc, 0, "connect: %s: %s", strerror(-rc), fph_shm_client_why(end->client));
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

void end_pump(struct end *end)
{
	int rc = 1;

	for (unsigned i = 0; i < 10000 && rc > 0; i++)
		rc = fph_loop_run(end->loop, 0);
	cr_assert_eq(rc, 0, "the loop never comes to rest, or fails: %d", rc);
}

int end_wait(struct end *end, int wants)
{
	int rc = 0;

	for (unsigned i = 0; i < PATIENCE && rc >= 0 && !(rc & wants); i++) {
		fph_loop_run(end->loop, 1);
		rc = fph_guest_step(&end->guest, 0);
	}
	cr_assert(rc >= 0 && (rc & wants), "the guest wants %d and not %d: %s", rc, wants,
		  fph_shm_client_why(end->client));
	return rc;
}

void end_hint(struct end *end, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct fph_range page = { END_PAGES + 4096 * end->hinted++, 4096 };

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

int end_reset(struct end *end)
{
	int rc = -EAGAIN;

	for (unsigned i = 0; i < PATIENCE && rc == -EAGAIN; i++) {
		rc = fph_guest_reset(&end->guest);
		if (rc == -EAGAIN)
			usleep(500);
	}
	return rc;
}

/* ------------------------------------------------------------ both */

static bool has_hints(struct rig *rig)
{
	bool has;

	rig_lock(rig);
	has = rig->hints > 0;
	rig_unlock(rig);
	return has;
}

void both_expect_hints(struct rig *rig, uint64_t first, unsigned n)
{
	struct fph_range out[8];
	unsigned got = 0;
	int rc;

	for (unsigned i = 0; i < PATIENCE && n && !has_hints(rig); i++)
		usleep(500);
	rig_lock(rig);
	rig->hints = 0;
	while ((rc = fph_device_poll(rig->device, out, 8)) > 0 || rc == -EAGAIN)
		for (int i = 0; i < rc; i++, got++) {
			cr_assert_eq(out[i].gpa, END_PAGES + 4096 * (first + got));
			cr_assert_eq(out[i].len, 4096u);
		}
	rig_unlock(rig);
	cr_assert_eq(rc, 0);
	cr_assert_eq(got, n, "%u hints of %u, after the doorbell", got, n);
}

void both_round(struct rig *rig, struct end *end, unsigned n)
{
	uint64_t first = end->hinted;
	bool over;

	rig_lock(rig);
	cr_assert_eq(fph_device_start(rig->device), 0);
	rig_unlock(rig);
	end_wait(end, FPH_GUEST_FEED);
	end_hint(end, n);
	both_expect_hints(rig, first, n);
	cr_assert_eq(fph_guest_end(&end->guest), 0);
	both_expect_hints(rig, 0, 0);
	rig_lock(rig);
	over = fph_device_round_over(rig->device);
	cr_assert_eq(fph_device_done(rig->device), 0);
	rig_unlock(rig);
	cr_assert(over);
	end_wait(end, FPH_GUEST_RELEASE);
	cr_assert_eq(end_reclaim(end), n);
	cr_assert_eq(fph_guest_held(&end->guest), 0u);
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
