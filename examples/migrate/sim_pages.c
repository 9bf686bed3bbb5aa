/* SPDX-License-Identifier: MIT */
#include "sim_pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORDS	  (SIM_PAGE / sizeof(uint64_t))
#define MAGIC	  UINT64_C(0x6670682d73696d31) /* "fph-sim1" */
#define RUN_PAGES 1024u			       /* 4 MiB, the block that Linux hints */

enum page_state { FREE, USED, HELD, BACK };

/* First page of guest memory; the table follows in the next one. */
struct sim_header {
	uint64_t magic;
	uint64_t base;
	uint64_t pages;
	uint64_t reserved; /* header, table and ring, in pages */
};

/* A page's entry.  version 0: free.  Words 0 and 1 of the page are gpa and version. */
struct sim_entry {
	uint32_t version;
	uint32_t sum;
};

static uint64_t next(uint64_t *rng)
{
	*rng ^= *rng << 13;
	*rng ^= *rng >> 7;
	*rng ^= *rng << 17;
	return *rng;
}

static uint64_t below(struct sim_pages *sim, uint64_t n)
{
	return next(&sim->rng) % n;
}

static uint64_t *words(const struct sim_pages *sim, uint64_t page)
{
	return (uint64_t *)(void *)(sim->mem + page * SIM_PAGE);
}

static uint32_t sum_of(const uint64_t *word)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < WORDS; i++)
		sum = (sum ^ word[i]) * UINT64_C(0x9e3779b97f4a7c15) + (sum >> 29);
	return (uint32_t)(sum >> 32);
}

static void garbage(struct sim_pages *sim, uint64_t page)
{
	uint64_t *word = words(sim, page);

	for (size_t i = 0; i < WORDS; i++)
		word[i] = next(&sim->rng);
}

/* Give an allocated page a new version: wholly the first time, else a few words. */
static void write_page(struct sim_pages *sim, uint64_t page, bool whole)
{
	struct sim_entry *entry = &sim->table[page];
	uint64_t *word = words(sim, page);

	if (whole)
		garbage(sim, page);
	for (int i = 0; i < 8; i++)
		word[2 + below(sim, WORDS - 2)] = next(&sim->rng);
	entry->version++;
	word[0] = sim->base + page * SIM_PAGE;
	word[1] = entry->version;
	entry->sum = sum_of(word);
}

static void set_state(struct sim_pages *sim, uint64_t page, enum page_state state)
{
	sim->free_n -= sim->state[page] == FREE;
	sim->back_n -= sim->state[page] == BACK;
	sim->free_n += state == FREE;
	sim->back_n += state == BACK;
	sim->state[page] = (unsigned char)state;
}

static void allocate(struct sim_pages *sim, uint64_t page)
{
	set_state(sim, page, USED);
	sim->used[sim->used_n++] = page;
	write_page(sim, page, true);
}

/*
 * Allocate up to n pages that lie close together.  `returned`: prefer pages that
 * came back from the balloon, which is what memory pressure does, and what shows
 * whether a reuse in mid-migration is handled.
 */
static void allocate_clump(struct sim_pages *sim, uint64_t n, bool returned)
{
	enum page_state from = (returned && sim->back_n) || !sim->free_n ? BACK : FREE;

	for (uint64_t looked = 0; n > 0 && looked < sim->pages; looked++) {
		uint64_t page = sim->cursor;

		sim->cursor = (sim->cursor + 1) % sim->pages;
		if (sim->state[page] == from) {
			allocate(sim, page);
			n--;
		}
	}
}

static void free_page(struct sim_pages *sim, uint64_t slot)
{
	uint64_t page = sim->used[slot];

	sim->used[slot] = sim->used[--sim->used_n];
	sim->table[page].version = 0;
	set_state(sim, page, FREE);
}

/* The working set is what stands first in `used`: a 64th of memory. */
void sim_pages_work(struct sim_pages *sim)
{
	uint64_t hot = sim->pages / 64 < sim->used_n ? sim->pages / 64 : sim->used_n;

	for (int i = 0; i < 4; i++)
		write_page(sim, sim->used[below(sim, hot)], false);
	if (below(sim, 4) == 0) {
		sim->cursor = below(sim, sim->pages);
		allocate_clump(sim, 1 + below(sim, 8), below(sim, 4) == 0);
	}
	while (sim->used_n > sim->pages / 5)
		free_page(sim, hot + below(sim, sim->used_n - hot));
}

int sim_pages_init(struct sim_pages *sim, void *mem, uint64_t len, uint64_t base,
		   uint64_t ring_bytes, unsigned seed)
{
	struct sim_header *header = mem;
	uint64_t table, reserved;

	*sim = (struct sim_pages){.mem = mem, .base = base, .pages = len / SIM_PAGE};
	table = (sim->pages * sizeof(struct sim_entry) + SIM_PAGE - 1) / SIM_PAGE;
	reserved = 1 + table + (ring_bytes + SIM_PAGE - 1) / SIM_PAGE;
	if (sim->pages < 1024 || reserved > sim->pages / 8)
		return -EINVAL;
	sim->rng = UINT64_C(0x2545f4914f6cdd1d) ^ ((uint64_t)seed << 20);
	sim->state = calloc(sim->pages, 1);
	sim->used = calloc(sim->pages, sizeof(*sim->used));
	if (!sim->state || !sim->used) {
		sim_pages_fini(sim);
		return -ENOMEM;
	}
	*header = (struct sim_header){MAGIC, base, sim->pages, reserved};
	sim->table = (struct sim_entry *)(void *)(sim->mem + SIM_PAGE);
	sim->ring_gpa = base + (1 + table) * SIM_PAGE;
	memset(sim->table, 0, table * SIM_PAGE);
	memset(sim->state, USED, reserved);
	sim->free_n = sim->pages - reserved;
	for (uint64_t page = reserved; page < sim->pages; page++)
		garbage(sim, page);
	while (sim->used_n < sim->pages / 5) {
		sim->cursor = below(sim, sim->pages);
		allocate_clump(sim, 1 + below(sim, 256), false);
	}
	return 0;
}

void sim_pages_fini(struct sim_pages *sim)
{
	free(sim->state);
	free(sim->used);
	sim->state = NULL;
	sim->used = NULL;
}

bool sim_pages_take(struct sim_pages *sim, uint64_t *at, struct fph_range *out)
{
	uint64_t first = *at, n = 0;

	while (first < sim->pages && sim->state[first] != FREE)
		first++;
	while (first + n < sim->pages && n < RUN_PAGES && sim->state[first + n] == FREE)
		set_state(sim, first + n++, HELD);
	*at = first + n;
	*out = (struct fph_range){sim->base + first * SIM_PAGE, n * SIM_PAGE};
	return n > 0;
}

static void set_range(struct sim_pages *sim, struct fph_range range, enum page_state state)
{
	uint64_t first = (range.gpa - sim->base) / SIM_PAGE;

	for (uint64_t i = 0; i < range.len / SIM_PAGE; i++)
		set_state(sim, first + i, state);
}

void sim_pages_untake(struct sim_pages *sim, struct fph_range range)
{
	set_range(sim, range, FREE);
}

void sim_pages_back(struct sim_pages *sim, struct fph_range range)
{
	set_range(sim, range, BACK);
}

void sim_pages_release(struct sim_pages *sim)
{
	for (uint64_t page = 0; sim->back_n > 0 && page < sim->pages; page++)
		if (sim->state[page] == BACK)
			set_state(sim, page, FREE);
}

uint64_t sim_pages_check(const void *copy, uint64_t len, uint64_t *checked)
{
	const struct sim_header *header = copy;
	const unsigned char *mem = copy;
	const struct sim_entry *table = (const void *)(mem + SIM_PAGE);
	uint64_t bad = 0;

	*checked = 1;
	if (header->magic != MAGIC || header->pages != len / SIM_PAGE ||
	    header->reserved >= header->pages)
		return 1;
	for (uint64_t page = header->reserved; page < header->pages; page++) {
		const uint64_t *word = (const void *)(mem + page * SIM_PAGE);

		if (!table[page].version)
			continue;
		++*checked;
		bad += word[0] != header->base + page * SIM_PAGE ||
		       word[1] != table[page].version || sum_of(word) != table[page].sum;
	}
	return bad;
}
