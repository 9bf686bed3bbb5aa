/* SPDX-License-Identifier: MIT */
/* The device: one server after the other, and one migration after the other. */
#include "device.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define RELISTEN_MS 5000 /* the socket of a killed process may last */

static void changed(void *ctx)
{
	((struct device *)ctx)->life++;
}

static void gone(void *ctx, const char *why)
{
	(void)why;
	((struct device *)ctx)->life++;
}

/* Both ends keep the rules, so a broken one is the library's doing. */
static void look_for_fault(struct device *d)
{
	const struct fph_fault *fault = fph_device_fault(d->dev);

	if (fault->rule && !d->faulted)
		violation(d->soak->board, "device: the guest broke a rule: %s (queue %u)",
			  fph_rule_name(fault->rule), fault->queue);
	d->faulted = fault->rule;
}

int device_turn(struct device *d, int timeout_ms, uint64_t life)
{
	int rc = fph_loop_run(d->loop, timeout_ms);

	if (rc < 0 && rc != -EINTR)
		violation(d->soak->board, "device: the loop failed: %s", strerror(-rc));
	look_for_fault(d);
	if (d->life != life || __atomic_load_n(&d->soak->board->end, __ATOMIC_ACQUIRE))
		return -ECONNRESET;
	return 0;
}

void device_drain(struct device *d)
{
	struct fph_range out[16];
	int n = 1;

	for (int i = 0; i < 256 && (n > 0 || n == -EAGAIN); i++) {
		n = fph_device_poll(d->dev, out, 1 + below(&d->rng, 16));
		if (n > 0)
			violation(d->soak->board, "device: a hint while no round is open");
	}
}

static uint64_t some_of(struct rng *rng, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	return (below(rng, 4) ? a : 0) | (below(rng, 4) ? b : 0) | (below(rng, 4) ? c : 0) |
	       (below(rng, 4) ? d : 0);
}

static int open_server(struct device *d)
{
	struct device_config c = { .changed = changed, .gone = gone,
				   .device = FPH_DEVICE_OPTS_INIT };
	int err = fph_loop_open(&d->loop, once_in(&d->rng, 2) ? FPH_LOOP_POLL : 0);

	if (err)
		return err;
	c.loop = d->loop;
	c.device.ctx = d;
	c.device.offer = some_of(&d->rng, FPH_F_INDIRECT_DESC, FPH_F_EVENT_IDX,
				 FPH_F_RING_PACKED, FPH_F_IN_ORDER);
	if (once_in(&d->rng, 2))
		c.device.offer |= FPH_F_PAGE_REPORTING;
	c.device.queue_max = RING_MAX;
	if (!d->soak->vhost_user) /* which tells the driver */
		c.device.queue_max = (uint16_t)(4u << below(&d->rng, 8));
	if (below(&d->rng, 8))
		c.device.command_id = d->soak->board->last_id;
	for (int i = 0; i < RELISTEN_MS; i += 10) {
		err = d->wire->open(&d->end, d->soak, &c);
		if (err != -EADDRINUSE)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = (long)(10 * MS) }, NULL);
	}
	if (err) {
		fph_loop_close(d->loop);
		return err;
	}
	d->dev = d->wire->device(d->end);
	d->faulted = false;
	count(&d->soak->board->servers, 1);
	return 0;
}

static void serve(struct device *d)
{
	uint64_t until = now_ns() + below(&d->rng, 3000) * MS;

	while (now_ns() < until && !__atomic_load_n(&d->soak->board->end, __ATOMIC_ACQUIRE)) {
		device_turn(d, (int)below(&d->rng, 4), d->life);
		device_drain(d);
		if (d->wire->connected(d->end) && fph_device_features(d->dev))
			device_migrate(d);
	}
}

/* The guest first: so it lets go while there is somebody to let it. */
static void see_guest_off(struct device *d)
{
	uint64_t until = now_ns() + 2000 * MS;

	while (d->wire->connected(d->end) && now_ns() < until) {
		fph_loop_run(d->loop, 1);
		device_drain(d);
	}
}

int device_life(struct soak *soak, uint64_t life)
{
	static struct device device; /* large; a process has one */
	struct device *d = &device;

	d->soak = soak;
	d->rng = rng_make(soak->seed, life * 2 + DEVICE);
	d->wire = soak->vhost_user ? &device_by_vhost_user : &device_by_shm;
	d->copy = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (d->copy == MAP_FAILED)
		return 2;
	d->dirty = (struct fph_bitmap){ .words = d->words, .pages = FRAMES, .base = BASE,
					.shift = 12 };
	while (!__atomic_load_n(&soak->board->end, __ATOMIC_ACQUIRE)) {
		int err = open_server(d);

		if (err) {
			violation(soak->board, "device: cannot listen: %s", strerror(-err));
			return 2;
		}
		serve(d);
		if (__atomic_load_n(&soak->board->end, __ATOMIC_ACQUIRE))
			see_guest_off(d);
		d->wire->close(d->end);
		fph_loop_close(d->loop);
		holdings_check(&d->holdings, soak->board, DEVICE);
	}
	munmap(d->copy, FILE_BYTES);
	return 0;
}
