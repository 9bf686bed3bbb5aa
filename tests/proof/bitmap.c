/* SPDX-License-Identifier: MIT */
/* The dirty bitmap: lib/bitmap.c. */
#include <fph/bitmap.h>

#ifndef WORDS
#define WORDS 2u
#endif

static uint64_t words[WORDS], old[WORDS];
static struct fph_bitmap map = { .words = words };
static struct fph_range range;

static void any_bitmap(void)
{
	ANYTHING(words);
	memcpy(old, words, sizeof(old));
	map.pages = any_up_to(64 * WORDS);
	map.shift = 12;
	map.base = nondet_u64();
	ASSUME(!(map.base & ((UINT64_C(1) << map.shift) - 1)));
	ASSUME(map.base <= UINT64_MAX - (64 * WORDS << 12));
	range = (struct fph_range){ nondet_u64(), nondet_u64() };
	ASSUME((unsigned __int128)range.gpa + range.len <= (unsigned __int128)1 << 64);
}

static bool bit(const uint64_t *of, uint64_t page)
{
	return of[page / 64] >> (page % 64) & 1;
}

/* The bytes of a page, and those of the range, in numbers that do not wrap. */
struct bytes {
	unsigned __int128 from, to;
};

static struct bytes bytes_of(uint64_t page)
{
	unsigned __int128 from = map.base + ((unsigned __int128)page << map.shift);

	return (struct bytes){ from, from + ((unsigned __int128)1 << map.shift) };
}

static bool touches(uint64_t page)
{
	struct bytes p = bytes_of(page);

	return range.len && p.from < (unsigned __int128)range.gpa + range.len && range.gpa < p.to;
}

static bool covers(uint64_t page)
{
	struct bytes p = bytes_of(page);

	return range.gpa <= p.from && p.to <= (unsigned __int128)range.gpa + range.len;
}

static uint64_t count(const uint64_t *of)
{
	uint64_t n = 0;

	for (uint64_t page = 0; page < 64 * WORDS; page++)
		n += bit(of, page);
	return n;
}

/*
 * proof: bitmap_set
 * of: fph_bitmap_set
 * says: marks each page that the range touches, and no other
 * bounds: 128 pages of 4 KiB, any base and range
 * sources: lib/bitmap.c
 * unwind: 3
 * mutant: lib/bitmap.c s/else if (!inward ||/else if (/
 */
void proof_bitmap_set(void)
{
	uint64_t x;

	any_bitmap();
	x = any_up_to(64 * WORDS - 1);
	fph_bitmap_set(&map, range);
	PROVE(bit(words, x) == (bit(old, x) || (x < map.pages && touches(x))));
	REACHED(bit(words, x) && !bit(old, x) && !covers(x));
}

/*
 * proof: bitmap_clear
 * of: fph_bitmap_clear
 * says: unmarks each page that the range covers wholly, and no other
 * bounds: 128 pages of 4 KiB, any base and range
 * sources: lib/bitmap.c
 * unwind: 4
 * mutant: lib/bitmap.c s/span(map, range, true/span(map, range, false/
 */
void proof_bitmap_clear(void)
{
	uint64_t x;

	any_bitmap();
	x = any_up_to(64 * WORDS - 1);
	fph_bitmap_clear(&map, range);
	PROVE(bit(words, x) == (bit(old, x) && !(x < map.pages && covers(x))));
	REACHED(!bit(words, x) && bit(old, x));
	REACHED(bit(words, x) && touches(x));
}

/*
 * proof: bitmap_clear_runs
 * of: fph_bitmap_clear
 * says: the same where words are cleared by eight
 * bounds: 576 pages of 4 KiB, at 0; whole words
 * sources: lib/bitmap.c
 * defines: -DWORDS=9u
 * unwind: 10
 * mutant: lib/bitmap.c s/if (!(any\[0\] | any\[1\]))/if (!any[0])/
 */
void proof_bitmap_clear_runs(void)
{
	uint64_t x;

	any_bitmap();
	map.pages = 64 * WORDS;
	map.base = 0;
	ASSUME(!((range.gpa | range.len) & (64 * 4096 - 1)));
	x = any_up_to(64 * WORDS - 1);
	fph_bitmap_clear(&map, range);
	PROVE(bit(words, x) == (bit(old, x) && !covers(x)));
	REACHED(!bit(words, x) && bit(old, x) && range.len > 500 * 4096);
}

/*
 * proof: bitmap_counts
 * of: fph_bitmap_set, fph_bitmap_clear, fph_bitmap_count
 * says: each answers by how much, or how many, pages are marked
 * bounds: 16 pages of 4 KiB, any base and range
 * sources: lib/bitmap.c
 * defines: -DWORDS=1u
 * unwind: 3 count.0:65
 * mutant: lib/bitmap.c s/(x >> 4)) & UINT64_C(0x0f0f/(x >> 5)) \& UINT64_C(0x0f0f/
 */
void proof_bitmap_counts(void)
{
	uint64_t changed;

	any_bitmap();
	ASSUME(map.pages == 16 && words[0] <= UINT16_MAX);
	if (ANY(bool)) {
		changed = fph_bitmap_set(&map, range);
		PROVE(count(words) == count(old) + changed);
		REACHED(changed > 10);
	} else {
		changed = fph_bitmap_clear(&map, range);
		PROVE(count(words) == count(old) - changed);
		REACHED(changed > 10);
	}
	PROVE(fph_bitmap_count(&map) == count(words));
}

/*
 * proof: bitmap_run
 * of: fph_bitmap_run, fph_bitmap_test
 * says: the run is marked, nothing before it is, it ends where it must, inside the map
 * bounds: 128 pages
 * sources: lib/bitmap.c
 * unwind: 4
 * mutant: lib/bitmap.c s/page = (page | 63) + 1/page = (page | 63) + 2/
 */
void proof_bitmap_run(void)
{
	uint64_t from = nondet_u64(), x, first, n;
	bool found;

	any_bitmap();
	map.base = 0;
	x = any_up_to(64 * WORDS - 1);
	found = fph_bitmap_run(&map, from, &first, &n);
	if (found) {
		PROVE(n > 0 && first >= from && first < map.pages && n <= map.pages - first);
		PROVE(!(x >= first && x - first < n) || bit(words, x));
		PROVE(!(x >= from && x < first) || !bit(words, x));
		PROVE(x != first + n || x >= map.pages || !bit(words, x));
		PROVE(fph_bitmap_test(&map, first << 12));
		REACHED(first > 64 && from == 0);
		REACHED(n > 64);
	} else {
		PROVE(!(x >= from && x < map.pages) || !bit(words, x));
		REACHED(from < map.pages);
	}
}
