/* SPDX-License-Identifier: MIT */
/*
 * A guest inside this process: an allocator, a workload thread that writes,
 * allocates and frees during the migration, and a balloon driver made of the
 * guest role.  Device and driver are connected by loopback: the bus of the one is
 * handed to the other, and both run in the thread that calls serve().
 */
#include "guest.h"
#include "sim_pages.h"
#include "track.h"

#include <errno.h>
#include <fph/guest.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define RING_SIZE 256u
#define BASE	  UINT64_C(0x40000000) /* not 0: a page number is no address here */

struct guest {
	struct sim_pages pages;
	pthread_mutex_t lock; /* of pages; held while the guest is paused */
	pthread_t worker;
	bool working;
	atomic_bool quit;

	void *memory;
	struct fph_region region;
	struct fph_mem mem;
	struct track track;

	struct fph_device device;
	struct fph_guest driver;
	struct fph_guest_slot slots[RING_SIZE];
	uint64_t kicks;
	uint64_t round; /* that the driver looks for free pages for */
	uint64_t at;	/* up to this page number */
};

static void *work(void *arg)
{
	struct guest *guest = arg;
	const struct timespec tick = {.tv_nsec = 1000000};

	while (!atomic_load(&guest->quit)) {
		pthread_mutex_lock(&guest->lock);
		sim_pages_work(&guest->pages);
		pthread_mutex_unlock(&guest->lock);
		nanosleep(&tick, NULL);
	}
	return NULL;
}

static void kicked(void *ctx)
{
	((struct guest *)ctx)->kicks++;
}

static int connect_driver(struct guest *guest)
{
	struct fph_device_opts device = FPH_DEVICE_OPTS_INIT;
	struct fph_guest_opts driver = FPH_GUEST_OPTS_INIT;
	int err;

	device.mem = &guest->mem;
	device.ctx = guest;
	device.hints = kicked;
	err = fph_device_init(&guest->device, &device);
	if (err)
		return err;
	driver.bus = fph_device_bus(&guest->device);
	driver.ring.gpa = guest->pages.ring_gpa;
	driver.ring.len = fph_guest_ring_bytes(RING_SIZE);
	driver.ring.hva = fph_mem_at(&guest->mem, driver.ring.gpa, driver.ring.len);
	driver.slots = guest->slots;
	driver.ring_size = RING_SIZE;
	err = fph_guest_init(&guest->driver, &driver);
	return err ? err : fph_guest_attach(&guest->driver);
}

static void sim_close(struct guest *guest)
{
	if (!guest)
		return;
	if (guest->working) {
		atomic_store(&guest->quit, true);
		pthread_join(guest->worker, NULL);
	}
	pthread_mutex_destroy(&guest->lock);
	track_close(&guest->track);
	sim_pages_fini(&guest->pages);
	if (guest->memory)
		munmap(guest->memory, guest->region.len);
	free(guest);
}

static int start(struct guest *guest, const struct guest_config *config)
{
	int err;

	guest->memory = mmap(NULL, config->memory, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (guest->memory == MAP_FAILED) {
		guest->memory = NULL;
		return -ENOMEM;
	}
	guest->region = (struct fph_region){BASE, config->memory, guest->memory, 0};
	guest->mem = (struct fph_mem){&guest->region, 1};
	/* Before the memory is touched: it says what page size is used. */
	err = track_open(&guest->track, &guest->mem, config->compare);
	if (!err)
		err = sim_pages_init(&guest->pages, guest->memory, config->memory, BASE,
				     fph_guest_ring_bytes(RING_SIZE), config->seed);
	if (!err)
		err = connect_driver(guest);
	if (!err)
		err = -pthread_create(&guest->worker, NULL, work, guest);
	guest->working = !err;
	return err;
}

static int sim_open(struct guest **out, const struct guest_config *config)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	int err = -ENOMEM;

	if (guest) {
		guest->track.uffd = guest->track.pagemap = -1;
		pthread_mutex_init(&guest->lock, NULL);
		err = start(guest, config);
	}
	if (err) {
		fprintf(stderr, "fph-migrate: the simulated guest did not start: %s\n",
			strerror(-err));
		sim_close(guest);
		return err;
	}
	*out = guest;
	return 0;
}

/* Show free pages to the device until the ring is full or none are left. */
static int feed(struct guest *guest)
{
	struct fph_range run;
	int n = 1, err;

	while (n > 0 && sim_pages_take(&guest->pages, &guest->at, &run)) {
		n = fph_guest_hint(&guest->driver, &run, 1);
		if (n <= 0) { /* the ring is full, or the round was called off */
			sim_pages_untake(&guest->pages, run);
			guest->at = (run.gpa - BASE) / SIM_PAGE;
		}
	}
	err = n > 0 ? fph_guest_end(&guest->driver) : fph_guest_flush(&guest->driver);
	return err == -EAGAIN ? 0 : err;
}

/* The balloon driver's share of an interrupt.  Returns > 0 if there was work. */
static int drive(struct guest *guest)
{
	struct fph_range back[64];
	struct timespec now;
	int err = 0, wants, n;

	clock_gettime(CLOCK_MONOTONIC, &now);
	wants = fph_guest_step(&guest->driver,
			       (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	if (wants < 0)
		return wants;
	while ((n = fph_guest_reclaim(&guest->driver, back, 64)) > 0)
		for (int i = 0; i < n; i++)
			sim_pages_back(&guest->pages, back[i]);
	if (wants & FPH_GUEST_RELEASE)
		sim_pages_release(&guest->pages);
	if (wants & FPH_GUEST_FEED) {
		uint32_t round = fph_guest_command_id(&guest->driver);

		if (guest->round != round) {
			guest->round = round;
			guest->at = 0;
		}
		err = feed(guest);
	}
	return err ? err : wants & (FPH_GUEST_FEED | FPH_GUEST_RECLAIM);
}

static int drive_locked(struct guest *guest)
{
	int did;

	pthread_mutex_lock(&guest->lock);
	did = drive(guest);
	pthread_mutex_unlock(&guest->lock);
	return did;
}

static int sim_serve(struct guest *guest, int timeout_ms)
{
	const struct timespec wait = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
	int did = drive_locked(guest);

	if (did == 0 && timeout_ms > 0) {
		nanosleep(&wait, NULL);
		did = drive_locked(guest);
	}
	return did < 0 ? did : 0;
}

static const char *sim_how(const struct guest *guest)
{
	return track_how(&guest->track);
}

static struct fph_device *sim_device(struct guest *guest)
{
	return &guest->device;
}

static const struct fph_mem *sim_mem(struct guest *guest)
{
	return &guest->mem;
}

static int64_t sim_begin(struct guest *guest, struct fph_bitmap *dirty)
{
	return track_begin(&guest->track, dirty);
}

static int64_t sim_sync(struct guest *guest, struct fph_bitmap *dirty)
{
	return track_sync(&guest->track, dirty);
}

static const void *sim_page(struct guest *guest, uint64_t gpa)
{
	return track_page(&guest->track, gpa);
}

static int sim_pause(struct guest *guest)
{
	return -pthread_mutex_lock(&guest->lock);
}

static int sim_resume(struct guest *guest)
{
	return -pthread_mutex_unlock(&guest->lock);
}

static uint64_t sim_free_bytes(struct guest *guest)
{
	uint64_t pages;

	pthread_mutex_lock(&guest->lock);
	pages = guest->pages.free_n + guest->pages.back_n;
	pthread_mutex_unlock(&guest->lock);
	return pages * SIM_PAGE;
}

static uint64_t sim_kicks(const struct guest *guest)
{
	return guest->kicks;
}

const struct guest_ops guest_sim = {
	.name = "sim",
	.how = sim_how,
	.open = sim_open,
	.close = sim_close,
	.device = sim_device,
	.mem = sim_mem,
	.begin = sim_begin,
	.sync = sim_sync,
	.page = sim_page,
	.pause = sim_pause,
	.resume = sim_resume,
	.serve = sim_serve,
	.free_bytes = sim_free_bytes,
	.kicks = sim_kicks,
	.check = sim_pages_check,
};
