/* SPDX-License-Identifier: MIT */
#include "workload.h"

#include <errno.h>
#include <stdlib.h>

#define RUN_PAGES 64u /* of one hint, at most */
#define SHARE	  4u  /* about a quarter of the memory is in use */

/* BACK is free in the table: a newcomer may as well hint it again.  BEFORE is held. */
enum kind { RESERVED, FREE, USED, HELD, BACK, BEFORE };

static uint64_t next(uint64_t *rng)
{
	*rng ^= *rng << 13;
	*rng ^= *rng >> 7;
	*rng ^= *rng << 17;
	return *rng;
}

static uint64_t below(struct workload *work, uint64_t n)
{
	return next(&work->rng) % n;
}

static void set_kind(struct workload *work, uint64_t page, enum kind kind)
{
	work->free_n -= work->kind[page] == FREE;
	work->back_n -= work->kind[page] == BACK;
	work->before_n -= work->kind[page] == BEFORE;
	work->free_n += kind == FREE;
	work->back_n += kind == BACK;
	work->before_n += kind == BEFORE;
	work->kind[page] = (unsigned char)kind;
}

int workload_init(struct workload *work, struct memory *mem, uint64_t seed)
{
	static const enum kind kinds[] = {
		[PAGE_FREE] = FREE, [PAGE_LIVE] = USED, [PAGE_HELD] = BEFORE};
	const struct layout *layout = &mem->layout;
	uint64_t version;

	*work = (struct workload){.mem = mem, .cursor = layout->first};
	work->rng = (seed + 1) * UINT64_C(0x2545f4914f6cdd1d) | 1;
	work->kind = calloc(layout->pages, 1);
	work->used = calloc(layout->pages, sizeof(*work->used));
	if (!work->kind || !work->used) {
		workload_fini(work);
		return -ENOMEM;
	}
	for (uint64_t page = layout->first; page < layout->pages; page++) {
		unsigned state = memory_state(mem, page, &version);

		set_kind(work, page, kinds[state]);
		if (state == PAGE_LIVE)
			work->used[work->used_n++] = page;
	}
	return 0;
}

void workload_fini(struct workload *work)
{
	free(work->kind);
	free(work->used);
	work->kind = NULL;
	work->used = NULL;
}

/* ------------------------------------------------------------ operations */

static void allocate(struct workload *work, uint64_t page)
{
	uint64_t version;

	memory_state(work->mem, page, &version);
	memory_write(work->mem, page, version + 1);
	set_kind(work, page, USED);
	work->used[work->used_n++] = page;
}

/*
 * Up to n pages that lie close together.  Half of the times out of those that came
 * back from the device, as under memory pressure: that shows whether a reuse in the
 * middle of a snapshot is handled.
 */
static void allocate_clump(struct workload *work, uint64_t n)
{
	uint64_t pages = work->mem->layout.pages;
	bool back = !work->free_n || (work->back_n && below(work, 2));
	enum kind from = back ? BACK : FREE;

	for (uint64_t looked = 0; n > 0 && looked < pages; looked++) {
		uint64_t page = work->cursor;

		work->cursor = (work->cursor + 1) % pages;
		if (work->kind[page] == from) {
			allocate(work, page);
			n--;
		}
	}
}

static bool intact(struct workload *work, uint64_t page, uint64_t *version)
{
	bool right = memory_state(work->mem, page, version) == PAGE_LIVE &&
		     content_is(memory_page(work->mem, page), page, *version);

	work->lost += !right;
	return right;
}

static void free_one(struct workload *work, uint64_t slot)
{
	uint64_t page = work->used[slot], version;

	intact(work, page, &version);
	work->used[slot] = work->used[--work->used_n];
	memory_set_state(work->mem, page, PAGE_FREE, version);
	set_kind(work, page, FREE);
}

/* The working set is what stands first in `used`. */
void workload_run(struct workload *work)
{
	uint64_t data = work->mem->layout.pages - work->mem->layout.first, version;
	uint64_t hot = work->used_n / 16;

	for (int i = 0; i < 4 && hot; i++) {
		uint64_t page = work->used[below(work, hot)];

		intact(work, page, &version);
		memory_write(work->mem, page, version + 1);
	}
	work->operations += 4;
	if (below(work, 8) == 0)
		work->cursor = work->mem->layout.first + below(work, data);
	allocate_clump(work, work->used_n < data / SHARE - 64 ? 64 : below(work, 8));
	while (work->used_n > data / SHARE)
		free_one(work, hot + below(work, work->used_n - hot));
}

/* ------------------------------------------------------------ hints */

static void set_range(struct workload *work, struct fph_range range, enum page_state state,
		      enum kind kind)
{
	uint64_t first = (range.gpa - BASE) / PAGE, version;

	for (uint64_t page = first; page < first + range.len / PAGE; page++) {
		memory_state(work->mem, page, &version);
		memory_set_state(work->mem, page, state, version);
		set_kind(work, page, kind);
	}
}

bool workload_take(struct workload *work, uint64_t *at, struct fph_range *out)
{
	uint64_t first = *at, n = 0, pages = work->mem->layout.pages;

	while (first < pages && work->kind[first] != FREE)
		first++;
	while (first + n < pages && n < RUN_PAGES && work->kind[first + n] == FREE)
		n++;
	*at = first + n;
	*out = (struct fph_range){BASE + first * PAGE, n * PAGE};
	set_range(work, *out, PAGE_HELD, HELD);
	return n > 0;
}

void workload_untake(struct workload *work, struct fph_range range)
{
	set_range(work, range, PAGE_FREE, FREE);
}

void workload_back(struct workload *work, struct fph_range range)
{
	set_range(work, range, PAGE_FREE, BACK);
}

void workload_release(struct workload *work)
{
	for (uint64_t page = 0; work->back_n > 0 && page < work->mem->layout.pages; page++)
		if (work->kind[page] == BACK)
			set_kind(work, page, FREE);
}

uint64_t workload_free_before(struct workload *work)
{
	uint64_t n = work->before_n, version;

	for (uint64_t page = 0; work->before_n > 0 && page < work->mem->layout.pages; page++)
		if (work->kind[page] == BEFORE) {
			memory_state(work->mem, page, &version);
			memory_set_state(work->mem, page, PAGE_FREE, version);
			set_kind(work, page, FREE);
		}
	return n;
}
