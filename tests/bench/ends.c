/* SPDX-License-Identifier: MIT */
#include "ends.h"
#include "bench.h"
#include "clock.h"
#include <errno.h>
#include <fph/wire.h>
#include <stdlib.h>
#include <string.h>

#define RING_GPA UINT64_C(0x10000)

const struct format formats[4] = {
	{ "split", 0 },
	{ "split in-order", FPH_F_IN_ORDER },
	{ "packed", FPH_F_RING_PACKED },
	{ "packed in-order", FPH_F_RING_PACKED | FPH_F_IN_ORDER },
};

/* ------------------------------------------------------------ a bus between two threads */

/* The device is used by its own thread only: what it has to say is taken there. */
static void on_interrupt(void *ctx)
{
	struct ends *e = ctx;
	uint32_t irq = 0;

	if (!e->apart)
		return;
	e->bus.ops->take_irq(e->bus.ctx, &irq);
	atomic_fetch_or_explicit(&e->irq, irq, memory_order_release);
}

static int apart_take_irq(void *ctx, uint32_t *irq)
{
	struct ends *e = ctx;

	*irq = atomic_load_explicit(&e->irq, memory_order_relaxed);
	if (*irq)
		*irq = atomic_exchange_explicit(&e->irq, 0, memory_order_acquire);
	return 0;
}

/* The device polls, so nobody has to hear it. */
static int apart_notify(void *ctx, uint16_t queue)
{
	struct ends *e = ctx;

	(void)queue;
	atomic_fetch_add_explicit(&e->doorbells, 1, memory_order_relaxed);
	return 0;
}

/* Before the threads part, the verbs are the device's own. */
#define BEFORE(verb, args, ...)                                   \
	static int before_##verb args                             \
	{                                                         \
		struct ends *e = ctx;                             \
                                                                  \
		return e->bus.ops->verb(e->bus.ctx, __VA_ARGS__); \
	}
BEFORE(features, (void *ctx, uint64_t *offered), offered)
BEFORE(accept, (void *ctx, uint64_t accepted), accepted)
BEFORE(status, (void *ctx, uint8_t *status), status)
BEFORE(set_status, (void *ctx, uint8_t status), status)
BEFORE(config, (void *ctx, uint32_t at, void *buf, uint32_t len), at, buf, len)
BEFORE(set_config, (void *ctx, uint32_t at, const void *buf, uint32_t len), at, buf, len)
BEFORE(vq_max, (void *ctx, uint16_t queue, uint16_t *max), queue, max)
BEFORE(vq_enable, (void *ctx, uint16_t queue, const struct fph_vq_place *place), queue, place)
BEFORE(vq_disable, (void *ctx, uint16_t queue, uint16_t *index), queue, index)

static const struct fph_bus_ops apart_ops = {
	.size = sizeof(apart_ops),
	.features = before_features,
	.accept = before_accept,
	.status = before_status,
	.set_status = before_set_status,
	.config = before_config,
	.set_config = before_set_config,
	.vq_max = before_vq_max,
	.vq_enable = before_vq_enable,
	.vq_disable = before_vq_disable,
	.notify = apart_notify,
	.take_irq = apart_take_irq,
};

/* ------------------------------------------------------------ both roles */

static void make_memory(struct ends *e, const struct ends_opts *o)
{
	unsigned n = o->regions ? o->regions : 1;
	uint64_t ring = (fph_guest_ring_bytes(o->queue) + 4095) & ~UINT64_C(4095);

	e->regions = bench_alloc((n + 1) * sizeof(*e->regions));
	e->regions[0] = (struct fph_region){ RING_GPA, ring, bench_pages(ring), 0 };
	for (unsigned i = 0; i < n; i++)
		e->regions[i + 1] = (struct fph_region){ PAGES_GPA + o->memory / n * i,
							 o->memory / n, NULL, 0 };
	e->mem = (struct fph_mem){ e->regions, n + 1 };
}

static void make_device(struct ends *e, const struct ends_opts *o)
{
	struct fph_device_opts d = FPH_DEVICE_OPTS_INIT;

	d.mem = &e->mem;
	d.offer = o->offer;
	d.queue_max = o->queue;
	d.ctx = e;
	d.interrupt = on_interrupt;
	BENCH_MUST(fph_device_init(&e->device, &d) == 0);
	e->bus = fph_device_bus(&e->device);
}

static void make_guest(struct ends *e, const struct ends_opts *o)
{
	struct fph_guest_opts g = FPH_GUEST_OPTS_INIT;

	e->slots = bench_alloc(o->queue * sizeof(*e->slots));
	g.bus = o->apart ? (struct fph_bus){ &apart_ops, e } : e->bus;
	g.ring = e->regions[0];
	g.slots = e->slots;
	g.ring_size = o->queue;
	g.batch = o->chain;
	BENCH_MUST(fph_guest_init(&e->guest, &g) == 0);
	BENCH_MUST(fph_guest_attach(&e->guest) == 0);
}

struct ends *ends_open(const struct ends_opts *o)
{
	struct ends *e = aligned_alloc(64, sizeof(*e));

	if (!e)
		bench_fail("out of memory");
	memset(e, 0, sizeof(*e));
	e->apart = o->apart;
	e->queue = o->queue;
	make_memory(e, o);
	make_device(e, o);
	make_guest(e, o);
	BENCH_MUST(fph_device_start(&e->device) == 0);
	BENCH_MUST(fph_guest_step(&e->guest, 0) & FPH_GUEST_FEED);
	return e;
}

void ends_close(struct ends *e)
{
	bench_pages_free(e->regions[0].hva, e->regions[0].len);
	free(e->regions);
	free(e->slots);
	free(e);
}

/* ------------------------------------------------------------ the bitmap */

struct fph_bitmap ends_bitmap(uint64_t memory)
{
	uint64_t pages = memory >> 12;
	struct fph_bitmap map = { bench_pages(FPH_BITMAP_WORDS(pages) * 8), pages, PAGES_GPA, 12 };

	ends_bitmap_fill(&map);
	return map;
}

void ends_bitmap_fill(struct fph_bitmap *map)
{
	memset(map->words, 0xff, FPH_BITMAP_WORDS(map->pages) * 8);
}

void ends_bitmap_free(struct fph_bitmap *map)
{
	bench_pages_free(map->words, FPH_BITMAP_WORDS(map->pages) * 8);
}

/* ------------------------------------------------------------ one thread, all the way */

static void guest_turn(const struct pass *p, uint64_t *next, unsigned n)
{
	struct fph_range pages[PASS_BATCH_MAX];
	unsigned done = 0;

	for (unsigned i = 0; i < n; i++) {
		pages[i] = block(*next);
		*next += p->stride;
		if (*next >= p->blocks)
			*next -= p->blocks;
	}
	while (done < n) {
		int took = fph_guest_hint(&p->ends->guest, pages + done, n - done);

		BENCH_MUST(took > 0);
		done += (unsigned)took;
	}
	BENCH_MUST(fph_guest_flush(&p->ends->guest) == 0);
}

/* Until nothing is left, as fph_device_poll() wants it.  Returns how many hints. */
static unsigned device_turn(const struct pass *p)
{
	struct fph_range out[PASS_BATCH_MAX];
	unsigned all = 0;
	int n;

	while ((n = fph_device_poll(&p->ends->device, out, p->batch)) > 0) {
		all += (unsigned)n;
		for (int i = 0; i < n && p->bitmap; i++)
			fph_bitmap_clear(p->bitmap, out[i]);
	}
	BENCH_MUST(n == 0);
	return all;
}

static unsigned reclaim_turn(const struct pass *p)
{
	struct fph_range back[PASS_BATCH_MAX];

	BENCH_MUST(fph_guest_step(&p->ends->guest, 0) >= 0);
	return (unsigned)fph_guest_reclaim(&p->ends->guest, back, COUNT_OF(back));
}

uint64_t ends_pass(const struct pass *p)
{
	uint64_t device = 0, next = 0, sent = 0, began = clock_ns();

	BENCH_MUST(p->stride < p->blocks);
	while (sent < p->blocks) {
		unsigned n = p->blocks - sent < p->batch ? (unsigned)(p->blocks - sent) : p->batch;

		guest_turn(p, &next, n);
		if (p->device_only)
			device -= clock_ns();
		BENCH_MUST(device_turn(p) == n);
		if (p->device_only)
			device += clock_ns();
		BENCH_MUST(reclaim_turn(p) == n);
		sent += n;
	}
	return p->device_only ? device : clock_ns() - began;
}
