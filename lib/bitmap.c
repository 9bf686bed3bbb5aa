/* SPDX-License-Identifier: MIT */
#include <fph/bitmap.h>

/*
 * Page numbers [*first, *end) of a range, rounded outward or inward and clipped
 * to the bitmap.  Returns false if nothing is left.
 */
static bool span(const struct fph_bitmap *map, struct fph_range range, bool inward,
		 uint64_t *first, uint64_t *end)
{
	uint64_t mask = (UINT64_C(1) << map->shift) - 1;
	uint64_t from, last;

	if (range.len == 0)
		return false;
	last = range.gpa + (range.len - 1);
	if (last < map->base)
		return false;
	from = range.gpa > map->base ? range.gpa - map->base : 0;
	last -= map->base;

	*first = (from >> map->shift) + (inward && (from & mask) != 0);
	*end = last >> map->shift;
	if (*end >= map->pages)
		*end = map->pages;
	else if (!inward || (last & mask) == mask)
		*end += 1;
	return *first < *end;
}

/* The bits of word number w that belong to [first, end). */
static uint64_t mask_of(uint64_t w, uint64_t first, uint64_t end)
{
	uint64_t mask = ~UINT64_C(0);

	if (w == first / 64)
		mask &= ~UINT64_C(0) << (first % 64);
	if (w == (end - 1) / 64)
		mask &= ~UINT64_C(0) >> (63 - (end - 1) % 64);
	return mask;
}

/* No builtin: without a popcount instruction it is a call into libgcc. */
static uint64_t popcount(uint64_t x)
{
#ifdef __POPCNT__
	return (uint64_t)__builtin_popcountll(x);
#else
	x -= (x >> 1) & UINT64_C(0x5555555555555555);
	x = (x & UINT64_C(0x3333333333333333)) + ((x >> 2) & UINT64_C(0x3333333333333333));
	x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return (x * UINT64_C(0x0101010101010101)) >> 56;
#endif
}

uint64_t fph_bitmap_set(struct fph_bitmap *map, struct fph_range range)
{
	uint64_t first, end, changed = 0;

	if (!span(map, range, false, &first, &end))
		return 0;
	for (uint64_t w = first / 64; w <= (end - 1) / 64; w++) {
		uint64_t bits = mask_of(w, first, end) & ~map->words[w];

		changed += popcount(bits);
		map->words[w] |= bits;
	}
	return changed;
}

static uint64_t clear_bits(uint64_t *word, uint64_t mask)
{
	uint64_t changed = popcount(*word & mask);

	*word &= ~mask;
	return changed;
}

/* A hinted block is mostly all dirty or all clean, which is told without counting bits. */
#define RUN 8u /* words */

typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));

/* Apart, as what follows: the usual block shall not pay for their registers. */
__attribute__((noinline)) static uint64_t count_run(const uint64_t *words)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < RUN; i++)
		n += popcount(words[i]);
	return n;
}

static inline uint64_t clear_run(uint64_t *words)
{
	pair *p = (pair *)words, all = p[0] & p[1] & p[2] & p[3], any;
	uint64_t changed = 64u * RUN;

	if ((all[0] & all[1]) != ~UINT64_C(0)) {
		any = p[0] | p[1] | p[2] | p[3];
		if (!(any[0] | any[1]))
			return 0;
		changed = count_run(words);
	}
	p[0] = p[1] = p[2] = p[3] = (pair){ 0, 0 };
	return changed;
}

__attribute__((noinline)) static uint64_t clear_rest(uint64_t *words, uint64_t n)
{
	uint64_t changed = 0;

	for (; n; n--, words++)
		changed += clear_bits(words, ~UINT64_C(0));
	return changed;
}

static inline uint64_t clear_words(uint64_t *words, uint64_t n)
{
	uint64_t changed = 0;

	for (; n >= RUN; n -= RUN, words += RUN)
		changed += clear_run(words);
	return n ? changed + clear_rest(words, n) : changed;
}

__attribute__((noinline)) static uint64_t clear_part(struct fph_bitmap *map, struct fph_range range)
{
	uint64_t first, end, changed = 0, *word, *last;

	if (!span(map, range, true, &first, &end))
		return 0;
	word = map->words + first / 64;
	last = map->words + end / 64;
	if (word == last)
		return clear_bits(word, mask_of(first / 64, first, end));
	if (first % 64)
		changed += clear_bits(word++, ~UINT64_C(0) << (first % 64));
	changed += clear_words(word, (uint64_t)(last - word));
	if (end % 64)
		changed += clear_bits(last, ~(~UINT64_C(0) << (end % 64)));
	return changed;
}

uint64_t fph_bitmap_clear(struct fph_bitmap *map, struct fph_range range)
{
	uint64_t first = range.gpa - map->base;
	unsigned shift = map->shift + 6u;

	/* Whole words inside the map: what a hint mostly is. */
	if (shift < 64 && !((first | range.len) & ((UINT64_C(1) << shift) - 1)) &&
	    first >> shift < map->pages / 64 &&
	    range.len >> shift <= map->pages / 64 - (first >> shift))
		return clear_words(map->words + (first >> shift), range.len >> shift);
	return clear_part(map, range);
}

bool fph_bitmap_test(const struct fph_bitmap *map, uint64_t gpa)
{
	uint64_t page;

	if (gpa < map->base)
		return false;
	page = (gpa - map->base) >> map->shift;
	return page < map->pages && ((map->words[page / 64] >> (page % 64)) & 1);
}

uint64_t fph_bitmap_count(const struct fph_bitmap *map)
{
	uint64_t n = 0;

	for (uint64_t w = 0; w < FPH_BITMAP_WORDS(map->pages); w++)
		n += popcount(map->pages / 64 == w ?
				      map->words[w] & ~(~UINT64_C(0) << (map->pages % 64)) :
				      map->words[w]);
	return n;
}

/* The first page at or after `page` whose bit, xored with flip, is set; or pages. */
static uint64_t next_bit(const struct fph_bitmap *map, uint64_t page, uint64_t flip)
{
	while (page < map->pages) {
		uint64_t bits = (map->words[page / 64] ^ flip) >> (page % 64);

		if (bits) {
			page += (uint64_t)__builtin_ctzll(bits);
			return page < map->pages ? page : map->pages;
		}
		page = (page | 63) + 1;
	}
	return map->pages;
}

bool fph_bitmap_run(const struct fph_bitmap *map, uint64_t page, uint64_t *first, uint64_t *n)
{
	uint64_t begin = next_bit(map, page, 0);

	if (begin >= map->pages)
		return false;
	*first = begin;
	*n = next_bit(map, begin, ~UINT64_C(0)) - begin;
	return true;
}
