/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "clock.h"
#include "ends.h"
#include "rings.h"

/*
 * The packed ring: available and used descriptors in one table, told apart by two flags and
 * a wrap counter each end keeps.  Of a batch the first descriptor's flags are written last.
 */
#define MASK  (RING_ENTRIES - 1)
#define WRITE 0x2u
#define AVAIL 0x80u
#define USED  0x8000u

struct packed_desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t id;
	_Atomic uint16_t flags;
};

struct packed {
	_Alignas(LINE) struct packed_desc desc[RING_ENTRIES];
	_Alignas(LINE) uint32_t shown; /* free-running: the wrap counter is a bit of it */
	uint32_t reaped;
	_Alignas(LINE) uint32_t taken;
};

static void *packed_open(void)
{
	return ring_memory(sizeof(struct packed));
}

/* Is this the first, third, ... time round? */
static bool odd_round(uint32_t counter)
{
	return !(counter & RING_ENTRIES);
}

static uint16_t avail_flags(uint32_t counter)
{
	return odd_round(counter) ? AVAIL | WRITE : USED | WRITE;
}

static uint16_t used_flags(uint32_t counter)
{
	return odd_round(counter) ? AVAIL | USED | WRITE : WRITE;
}

static bool is_used(const struct packed *r, uint32_t counter)
{
	return atomic_load_explicit(&r->desc[counter & MASK].flags, memory_order_acquire) ==
	       used_flags(counter);
}

static void store_flags(struct packed *r, uint32_t counter, uint16_t flags, memory_order order)
{
	atomic_store_explicit(&r->desc[counter & MASK].flags, flags, order);
}

static void show_batch(struct packed *r, const struct lane *l, uint64_t sent)
{
	uint32_t first = r->shown;

	for (unsigned i = 0; i < l->batch; i++) {
		struct packed_desc *d = &r->desc[(first + i) & MASK];
		struct fph_range page = block(sent + i);

		d->gpa = page.gpa;
		d->len = (uint32_t)page.len;
		d->id = (uint16_t)((first + i) & MASK);
		if (i > 0)
			store_flags(r, first + i, avail_flags(first + i), memory_order_relaxed);
	}
	store_flags(r, first, avail_flags(first), memory_order_release);
	r->shown = first + l->batch;
}

static void packed_producer(void *ctx)
{
	struct lane *l = ctx;
	struct packed *r = l->ring;
	unsigned turns = 0, ids = 0;

	for (uint64_t sent = 0; sent < l->hints || r->reaped != r->shown;) {
		if (sent < l->hints && r->shown - r->reaped + l->batch <= RING_ENTRIES) {
			show_batch(r, l, sent);
			sent += l->batch;
			continue;
		}
		if (!is_used(r, r->reaped))
			clock_spin(&turns);
		for (; r->reaped != r->shown && is_used(r, r->reaped); r->reaped++)
			ids += r->desc[r->reaped & MASK].id == (r->reaped & MASK);
	}
	BENCH_MUST(ids == l->hints);
}

static void packed_consumer(void *ctx)
{
	struct lane *l = ctx;
	struct packed *r = l->ring;
	unsigned turns = 0;

	for (uint64_t got = 0; got < l->hints;) {
		uint32_t first = r->taken, at = first;

		while (at - first < l->batch &&
		       atomic_load_explicit(&r->desc[at & MASK].flags, memory_order_acquire) ==
			       avail_flags(at))
			l->arrived += r->desc[at++ & MASK].gpa;
		if (at == first) {
			clock_spin(&turns);
			continue;
		}
		/* The id stands there already; the length is that of nothing written. */
		for (uint32_t i = first + 1; i != at; i++) {
			r->desc[i & MASK].len = 0;
			store_flags(r, i, used_flags(i), memory_order_relaxed);
		}
		r->desc[first & MASK].len = 0;
		store_flags(r, first, used_flags(first), memory_order_release);
		got += at - first;
		r->taken = at;
	}
}

const struct ring_kind ring_packed = { "bare packed ring", packed_open, packed_producer,
				       packed_consumer };
