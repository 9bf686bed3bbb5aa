/* SPDX-License-Identifier: MIT */
#ifndef FPH_BITMAP_H
#define FPH_BITMAP_H

#include <fph/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A dirty bitmap: bit i covers the page at base + (i << shift).  Rounding goes
 * the safe way by itself: set rounds outward, clear rounds inward, so a page
 * that is only partly covered stays dirty.  What lies outside is ignored.
 * Not atomic: one thread, or the caller's lock.
 */
struct fph_bitmap {
	uint64_t *words; /* caller-owned, FPH_BITMAP_WORDS(pages) of them */
	uint64_t pages;
	uint64_t base; /* gpa of the first page, a multiple of the page size */
	uint8_t shift; /* log2 of the page size, 0 to 63 */
};

#define FPH_BITMAP_WORDS(pages) (((uint64_t)(pages) + 63) / 64)

/* Mark every page that the range touches.  Returns how many were clean. */
uint64_t fph_bitmap_set(struct fph_bitmap *map, struct fph_range range);

/* Unmark every page that the range covers wholly.  Returns how many were marked. */
uint64_t fph_bitmap_clear(struct fph_bitmap *map, struct fph_range range);

/* Is the page that holds gpa marked?  false outside the bitmap. */
bool fph_bitmap_test(const struct fph_bitmap *map, uint64_t gpa);

/* How many pages are marked. */
uint64_t fph_bitmap_count(const struct fph_bitmap *map);

/*
 * The first run of marked pages at or after page number `page`.  Returns true
 * and fills *first and *n (pages), or false if there is none.
 */
bool fph_bitmap_run(const struct fph_bitmap *map, uint64_t page, uint64_t *first, uint64_t *n);

#ifdef __cplusplus
}
#endif
#endif
