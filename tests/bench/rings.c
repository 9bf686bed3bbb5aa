/* SPDX-License-Identifier: MIT */
#include "rings.h"
#include "bench.h"
#include "clock.h"
#include "ends.h"
#include "shm.h"
#include <stdlib.h>
#include <string.h>

#define MASK (RING_ENTRIES - 1)

void *ring_memory(size_t bytes)
{
	size_t size = (bytes + 4095) & ~(size_t)4095;
	void *p = aligned_alloc(4096, size);

	if (!p)
		bench_fail("out of memory");
	memset(p, 0, size);
	return p;
}

/* ------------------------------------------------------------ raw ring */

struct spsc {
	_Alignas(LINE) atomic_uint head;
	_Alignas(LINE) atomic_uint tail;
	_Alignas(LINE) struct fph_range entries[RING_ENTRIES];
};

static void *spsc_open(void)
{
	return ring_memory(sizeof(struct spsc));
}

static void spsc_producer(void *ctx)
{
	struct lane *l = ctx;
	struct spsc *r = l->ring;
	unsigned head = atomic_load(&r->head), tail = head, turns = 0;

	for (uint64_t sent = 0; sent < l->hints; sent += l->batch) {
		while (head - tail + l->batch > RING_ENTRIES) {
			tail = atomic_load_explicit(&r->tail, memory_order_acquire);
			clock_spin(&turns);
		}
		for (unsigned i = 0; i < l->batch; i++)
			r->entries[head++ & MASK] = block(sent + i);
		atomic_store_explicit(&r->head, head, memory_order_release);
	}
	while (atomic_load_explicit(&r->tail, memory_order_acquire) != head)
		clock_spin(&turns);
}

static void spsc_consumer(void *ctx)
{
	struct lane *l = ctx;
	struct spsc *r = l->ring;
	unsigned tail = atomic_load(&r->tail), head, turns = 0;
	struct fph_range out;

	for (uint64_t got = 0; got < l->hints;) {
		head = atomic_load_explicit(&r->head, memory_order_acquire);
		if (head == tail) {
			clock_spin(&turns);
			continue;
		}
		for (unsigned n = 0; tail != head && n < l->batch; n++, got++) {
			out = r->entries[tail++ & MASK];
			l->arrived += out.gpa;
		}
		atomic_store_explicit(&r->tail, tail, memory_order_release);
	}
}

const struct ring_kind ring_spsc = { "raw ring", spsc_open, spsc_producer, spsc_consumer };

/* ------------------------------------------------------------ textbook split ring */

#define RING_FLAG_WRITE 2u

struct desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

struct used {
	uint32_t id;
	uint32_t len;
};

struct split {
	_Alignas(LINE) struct desc desc[RING_ENTRIES];
	/* available ring */
	_Alignas(2) _Atomic uint16_t avail_flags;
	_Atomic uint16_t avail_idx;
	uint16_t avail[RING_ENTRIES];
	/* used ring */
	_Alignas(LINE) _Atomic uint16_t used_flags;
	_Atomic uint16_t used_idx;
	struct used used[RING_ENTRIES];

	/* The driver's own: a list of free descriptors, by `next`. */
	_Alignas(LINE) uint16_t free[RING_ENTRIES];
	uint16_t first_free;
	uint16_t free_count;
	uint16_t shown;
	uint16_t reaped;
	/* The device's own. */
	_Alignas(LINE) uint16_t seen;
	uint16_t taken;
};

static void *split_open(void)
{
	struct split *r = ring_memory(sizeof(*r));

	for (uint16_t i = 0; i < RING_ENTRIES; i++)
		r->free[i] = (uint16_t)(i + 1);
	r->free_count = RING_ENTRIES;
	/* Both ends poll, and say so. */
	atomic_store(&r->avail_flags, 1);
	atomic_store(&r->used_flags, 1);
	return r;
}

static bool textbook_reap(struct split *r)
{
	uint16_t id;

	if (atomic_load_explicit(&r->used_idx, memory_order_acquire) == r->reaped)
		return false;
	id = (uint16_t)r->used[r->reaped & MASK].id;
	r->free[id] = r->first_free;
	r->first_free = id;
	r->free_count++;
	r->reaped++;
	return true;
}

static void textbook_producer(void *ctx)
{
	struct lane *l = ctx;
	struct split *r = l->ring;
	unsigned turns = 0, kicks = 0;

	for (uint64_t sent = 0; sent < l->hints; sent++) {
		struct fph_range page = block(sent);
		uint16_t id;

		while (textbook_reap(r))
			;
		while (!r->free_count) {
			textbook_reap(r);
			clock_spin(&turns);
		}
		id = r->first_free;
		r->first_free = r->free[id];
		r->free_count--;
		r->desc[id] = (struct desc){ page.gpa, (uint32_t)page.len, RING_FLAG_WRITE, 0 };
		r->avail[r->shown & MASK] = id;
		atomic_store_explicit(&r->avail_idx, ++r->shown, memory_order_release);
		fph_full_barrier();
		kicks += !atomic_load_explicit(&r->used_flags, memory_order_relaxed);
	}
	while (r->free_count < RING_ENTRIES) {
		textbook_reap(r);
		clock_spin(&turns);
	}
	BENCH_MUST(kicks == 0);
}

static void textbook_consumer(void *ctx)
{
	struct lane *l = ctx;
	struct split *r = l->ring;
	unsigned turns = 0, interrupts = 0;

	for (uint64_t got = 0; got < l->hints;) {
		struct desc d;
		uint16_t id;

		if (r->seen == r->taken)
			r->seen = atomic_load_explicit(&r->avail_idx, memory_order_acquire);
		if (r->seen == r->taken) {
			clock_spin(&turns);
			continue;
		}
		id = r->avail[r->taken & MASK];
		d = r->desc[id];
		l->arrived += d.gpa;
		r->used[r->taken & MASK] = (struct used){ id, 0 };
		atomic_store_explicit(&r->used_idx, ++r->taken, memory_order_release);
		fph_full_barrier();
		interrupts += !atomic_load_explicit(&r->avail_flags, memory_order_relaxed);
		got++;
	}
	BENCH_MUST(interrupts == 0);
}

const struct ring_kind ring_textbook = { "textbook split ring", split_open, textbook_producer,
					 textbook_consumer };

/* ------------------------------------------------------------ bare split ring, in batches */

/* Descriptors go round with the ring: buffers come back in the order they went. */
static void split_producer(void *ctx)
{
	struct lane *l = ctx;
	struct split *r = l->ring;
	uint16_t shown = r->shown, reaped = r->reaped, now = reaped;
	unsigned turns = 0, ids = 0;

	for (uint64_t sent = 0; sent < l->hints || reaped != shown;) {
		if (sent < l->hints && (uint16_t)(shown - reaped) + l->batch <= RING_ENTRIES) {
			for (unsigned i = 0; i < l->batch; i++, shown++) {
				struct fph_range page = block(sent + i);

				r->desc[shown & MASK] = (struct desc){ page.gpa, (uint32_t)page.len,
								       RING_FLAG_WRITE, 0 };
				r->avail[shown & MASK] = shown & MASK;
			}
			atomic_store_explicit(&r->avail_idx, shown, memory_order_release);
			sent += l->batch;
			continue;
		}
		now = atomic_load_explicit(&r->used_idx, memory_order_acquire);
		if (now == reaped)
			clock_spin(&turns);
		for (; reaped != now; reaped++)
			ids += r->used[reaped & MASK].id == (reaped & MASK);
	}
	r->shown = shown;
	r->reaped = reaped;
	BENCH_MUST(ids == l->hints);
}

static void split_consumer(void *ctx)
{
	struct lane *l = ctx;
	struct split *r = l->ring;
	uint16_t taken = r->taken, seen;
	unsigned turns = 0;

	for (uint64_t got = 0; got < l->hints;) {
		seen = atomic_load_explicit(&r->avail_idx, memory_order_acquire);
		if (seen == taken) {
			clock_spin(&turns);
			continue;
		}
		for (unsigned n = 0; taken != seen && n < l->batch; n++, taken++, got++) {
			uint16_t id = r->avail[taken & MASK];

			l->arrived += r->desc[id].gpa;
			r->used[taken & MASK] = (struct used){ id, 0 };
		}
		atomic_store_explicit(&r->used_idx, taken, memory_order_release);
	}
	r->taken = taken;
}

const struct ring_kind ring_split = { "bare split ring", split_open, split_producer,
				      split_consumer };
