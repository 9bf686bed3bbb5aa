/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "clock.h"
#include "ends.h"
#include "shm.h"
#include <errno.h>
#include <fph/wire.h>
#include <stdlib.h>

/*
 * A driver that keeps its split ring full of what costs work and yields nothing.  How much
 * one poll does then, by the limit that its caller gives: it must not depend on the driver.
 */
#define ENTRIES	 256u
#define RING_GPA UINT64_C(0x10000)
#define DESC	 0u
#define AVAIL	 (16u * ENTRIES)
#define USED	 (AVAIL + 1024u)
#define TABLE	 (USED + 4096u)
#define TABLED	 (ENTRIES - 1) /* and the descriptor that leads to them */
#define WORD	 (TABLE + 16u * ENTRIES)
#define BYTES	 (WORD + 4096u)
#define REGIONS	 1024u
#define POLLS	 64u

#define WRITE	 2u
#define NEXT	 1u
#define INDIRECT 4u

enum kind { OUTSIDE, TABLES, COMMANDS, PIECES, KINDS };

static const char *const kind_names[KINDS] = {
	"hints of no memory",
	"tables of 255 hints of no memory",
	"commands of another round",
	"hints of 2 GiB over 1,024 regions and holes",
};

struct hostile {
	struct fph_device device;
	struct fph_bus bus;
	struct fph_region regions[1 + REGIONS];
	struct fph_mem mem;
	unsigned char *ring;
	uint16_t queue;
	uint16_t avail;
	enum kind kind;
	unsigned limit;
	bool count; /* buffers, not time */
	struct fph_range *out;
};

static uint64_t gpa_of(uint32_t offset)
{
	return RING_GPA + offset;
}

static void put_desc(struct hostile *h, uint32_t at, uint64_t gpa, uint32_t len, uint16_t flags,
		     uint16_t next)
{
	fph_st64(h->ring + at, gpa);
	fph_st64(h->ring + at + 8, len | (uint64_t)flags << 32 | (uint64_t)next << 48);
}

/* ------------------------------------------------------------ bring it up */

static void make_memory(struct hostile *h)
{
	h->ring = bench_pages(BYTES);
	h->regions[0] = (struct fph_region){ RING_GPA, BYTES, h->ring, 0 };
	/* 2 MiB each, and a page less: 1,024 of them in 2 GiB, with holes. */
	for (unsigned i = 0; i < REGIONS; i++)
		h->regions[i + 1] = (struct fph_region){ PAGES_GPA + i * (UINT64_C(2) << 20),
							 (UINT64_C(2) << 20) - 4096, NULL, 0 };
	h->mem = (struct fph_mem){ h->regions, COUNT_OF(h->regions) };
}

static void make_device(struct hostile *h)
{
	const uint64_t features = FPH_F_VERSION_1 | FPH_F_STATS_VQ | FPH_F_FREE_PAGE_HINT |
				  FPH_F_INDIRECT_DESC;
	struct fph_vq_place place = { gpa_of(DESC), gpa_of(AVAIL), gpa_of(USED), ENTRIES, 0 };
	struct fph_device_opts o = FPH_DEVICE_OPTS_INIT;
	const struct fph_bus_ops *ops;
	uint8_t status = FPH_STATUS_ACKNOWLEDGE | FPH_STATUS_DRIVER;

	o.mem = &h->mem;
	o.offer = FPH_F_INDIRECT_DESC;
	BENCH_MUST(fph_device_init(&h->device, &o) == 0);
	h->bus = fph_device_bus(&h->device);
	ops = h->bus.ops;
	BENCH_MUST(ops->set_status(h->bus.ctx, status) == 0);
	BENCH_MUST(ops->accept(h->bus.ctx, features) == 0);
	status |= FPH_STATUS_FEATURES_OK;
	BENCH_MUST(ops->set_status(h->bus.ctx, status) == 0);
	h->queue = (uint16_t)fph_device_queue(&h->device, FPH_QUEUE_HINT);
	BENCH_MUST(ops->vq_enable(h->bus.ctx, h->queue, &place) == 0);
	status |= FPH_STATUS_DRIVER_OK;
	BENCH_MUST(ops->set_status(h->bus.ctx, status) == 0);
}

/* The ring is full again, whatever was returned. */
static void refill(struct hostile *h)
{
	h->avail = (uint16_t)(fph_ld16(h->ring + USED + 2) + ENTRIES);
	fph_st16_release(h->ring + AVAIL + 2, h->avail);
}

/* One honest command, so that a round is open: descriptor 0, alone. */
static void open_round(struct hostile *h)
{
	BENCH_MUST(fph_device_start(&h->device) == 0);
	fph_st32(h->ring + WORD, fph_device_command_id(&h->device));
	put_desc(h, DESC, gpa_of(WORD), 4, 0, 0);
	fph_st16(h->ring + AVAIL + 4, 0);
	fph_st16_release(h->ring + AVAIL + 2, 1);
	BENCH_MUST(fph_device_poll(&h->device, h->out, 1) == 0);
	fph_st32(h->ring + WORD, fph_device_command_id(&h->device) + 1000);
}

static void fill(struct hostile *h)
{
	const uint64_t nowhere = UINT64_C(1) << 50;

	for (uint16_t i = 0; i < ENTRIES; i++) {
		fph_st16(h->ring + AVAIL + 4 + 2 * i, i);
		put_desc(h, TABLE + 16u * i, nowhere, 4096,
			 (uint16_t)(i + 1u < TABLED ? WRITE | NEXT : WRITE), (uint16_t)(i + 1));
		if (h->kind == OUTSIDE)
			put_desc(h, 16u * i, nowhere, 4096, WRITE, 0);
		else if (h->kind == TABLES)
			put_desc(h, 16u * i, gpa_of(TABLE), 16 * TABLED, INDIRECT, 0);
		else if (h->kind == COMMANDS)
			put_desc(h, 16u * i, gpa_of(WORD), 4, 0, 0);
		else
			put_desc(h, 16u * i, PAGES_GPA, UINT32_C(2) << 30, WRITE, 0);
	}
}

/* ------------------------------------------------------------ measure */

static uint64_t buffers(const struct hostile *h)
{
	struct fph_device_stats s = FPH_DEVICE_STATS_INIT;

	BENCH_MUST(fph_device_total_stats(&h->device, &s) == 0);
	return s.hints + s.out_of_range + s.foreign_id + s.unasked;
}

static double once(void *ctx)
{
	struct hostile *h = ctx;
	uint64_t ns = 0, before = buffers(h);

	for (unsigned i = 0; i < POLLS; i++) {
		int rc;

		refill(h);
		ns -= clock_ns();
		rc = fph_device_poll(&h->device, h->out, h->limit);
		ns += clock_ns();
		BENCH_MUST(h->kind == PIECES ? rc == (int)h->limit : rc == 0 || rc == -EAGAIN);
	}
	return (double)(h->count ? buffers(h) - before : ns) / POLLS;
}

/* What is no ring at all is refused at once, until the driver resets. */
static double fault_once(void *ctx)
{
	struct hostile *h = ctx;
	uint64_t ns;
	int rc;

	BENCH_MUST(h->bus.ops->set_status(h->bus.ctx, 0) == 0);
	make_device(h);
	open_round(h);
	for (uint32_t i = 0; i < USED; i += 4)
		fph_st32(h->ring + i, 0x9e3779b9u * (i + 1));
	ns = clock_ns();
	rc = fph_device_poll(&h->device, h->out, 64);
	ns = clock_ns() - ns;
	BENCH_MUST(rc == -EPROTO);
	for (uint32_t i = 0; i < BYTES; i += 4)
		fph_st32(h->ring + i, 0);
	return (double)ns;
}

static struct hostile *open_hostile(enum kind kind, unsigned limit, bool count)
{
	struct hostile *h = bench_alloc(sizeof(*h));

	h->kind = kind;
	h->limit = limit;
	h->count = count;
	h->out = bench_alloc((limit > 64 ? limit : 64) * sizeof(*h->out));
	make_memory(h);
	make_device(h);
	open_round(h);
	fill(h);
	return h;
}

static void close_hostile(struct hostile *h)
{
	bench_pages_free(h->ring, BYTES);
	free(h->out);
	free(h);
}

void hostile_run(struct bench *b)
{
	static const unsigned limits[] = { 1, 64, 256 };
	struct measure m[KINDS * COUNT_OF(limits) * 2 + 1];
	unsigned n = 0;

	clock_pin(0);
	for (unsigned k = 0; k < KINDS; k++)
		for (size_t l = 0; l < 2 * COUNT_OF(limits); l++) {
			bool count = l % 2;

			snprintf(m[n].what, sizeof(m[n].what), "%s: %s of a poll of %u",
				 kind_names[k], count ? "buffers" : "time", limits[l / 2]);
			m[n].unit = count ? "buffers" : "ns";
			m[n].once = once;
			m[n++].ctx = open_hostile((enum kind)k, limits[l / 2], count);
		}
	m[n] = (struct measure){ .what = "random bytes for a ring: time until it is refused",
				 .unit = "ns",
				 .once = fault_once,
				 .ctx = open_hostile(OUTSIDE, 64, false) };
	n++;
	bench_measure(b, m, n, b->quick ? 3 : 41);
	while (n > 0)
		close_hostile(m[--n].ctx);
}
