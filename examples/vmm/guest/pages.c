/* SPDX-License-Identifier: MIT */
#include "pages.h"

#define PAGES_MAX 65536u
#define RUN_MAX	  64u /* pages in a hint: 256 KiB */
#define WORDS	  1024u
#define SEARCH_MAX 64u /* so that no tick of the workload is a long one */

enum { FREE, USED, HELD };

static uint8_t state[PAGES_MAX];
static uint32_t version[PAGES_MAX];
static uint32_t first, end, hot, hot_at, free_at, churn_at, pass_at, ticks;

static volatile uint32_t *words_of(uint32_t page)
{
	return (volatile uint32_t *)(uintptr_t)(page * 4096);
}

static uint32_t checksum(uint32_t page, uint32_t v)
{
	return (page ^ 0x5bd1e995u) + v * 0x9e3779b1u;
}

static void write_page(uint32_t page)
{
	volatile uint32_t *w = words_of(page);

	version[page]++;
	for (uint32_t at = 0; at < WORDS; at += WORDS - 3) {
		w[at] = page;
		w[at + 1] = version[page];
		w[at + 2] = checksum(page, version[page]);
	}
}

static bool is_good(uint32_t page)
{
	volatile uint32_t *w = words_of(page);

	for (uint32_t at = 0; at < WORDS; at += WORDS - 3)
		if (w[at] != page || w[at + 1] != version[page] ||
		    w[at + 2] != checksum(page, version[page]))
			return false;
	return true;
}

static void use(uint32_t page)
{
	state[page] = USED;
	write_page(page);
}

/* The next page in that state, from *at on and around; 0: none in the next SEARCH_MAX. */
static uint32_t next_in(uint8_t wanted, uint32_t *at)
{
	for (uint32_t i = 0; i < SEARCH_MAX; i++) {
		uint32_t page = *at;

		*at = *at + 1 < end ? *at + 1 : first;
		if (state[page] == wanted)
			return page;
	}
	return 0;
}

void pages_init(uint32_t first_page, uint32_t end_page, uint32_t used, uint32_t hot_pages)
{
	first = free_at = churn_at = hot_at = first_page;
	end = end_page < PAGES_MAX ? end_page : PAGES_MAX;
	hot = hot_pages;
	/* Free memory of a machine that ran for a while is not empty. */
	for (uint32_t page = first; page < end; page++)
		words_of(page)[7] = page | 0x80000000u;
	for (uint32_t i = 0; i < used && first + i < end; i++)
		use(first + i);
	churn_at = first + hot < end ? first + hot : first;
	free_at = first + used < end ? first + used : first;
	pages_new_pass();
}

void pages_work(void)
{
	if (state[hot_at] == USED)
		write_page(hot_at);
	hot_at = hot_at + 1 < first + hot ? hot_at + 1 : first;
	if (++ticks % 16 == 0) {
		uint32_t fresh = next_in(FREE, &free_at), old = next_in(USED, &churn_at);

		if (fresh)
			use(fresh);
		if (fresh && old)
			state[old] = FREE;
	}
}

void pages_new_pass(void)
{
	pass_at = end;
}

unsigned pages_take(struct fph_range *out, unsigned max)
{
	unsigned n = 0;

	while (n < max && pass_at > first) {
		uint32_t last = pass_at, run = 0;

		while (run < RUN_MAX && pass_at > first && state[pass_at - 1] == FREE) {
			state[--pass_at] = HELD;
			run++;
		}
		if (run)
			out[n++] = (struct fph_range){ (uint64_t)(last - run) * 4096,
						       (uint64_t)run * 4096 };
		else
			pass_at--;
	}
	return n;
}

void pages_give(const struct fph_range *ranges, int n)
{
	for (int i = 0; i < n; i++) {
		uint32_t page = (uint32_t)(ranges[i].gpa / 4096);

		for (uint32_t k = (uint32_t)(ranges[i].len / 4096); k > 0; k--)
			state[page++] = FREE;
	}
}

uint32_t pages_use_now(struct fph_range range)
{
	uint32_t page = (uint32_t)(range.gpa / 4096);

	use(page);
	return page;
}

void pages_check(uint32_t *good, uint32_t *bad)
{
	*good = *bad = 0;
	for (uint32_t page = first; page < end; page++)
		if (state[page] == USED)
			*(is_good(page) ? good : bad) += 1;
}
