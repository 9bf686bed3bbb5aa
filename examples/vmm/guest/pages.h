/* SPDX-License-Identifier: MIT */
#ifndef GUEST_PAGES_H
#define GUEST_PAGES_H

#include <fph/types.h>

/*
 * The guest's memory: an allocator of pages, and what its workload keeps in them.  Each
 * used page holds its number, a version and a checksum at both ends; the versions stand
 * in a table, so a page that comes back old, empty or elsewhere is found.
 */
void pages_init(uint32_t first, uint32_t end, uint32_t used, uint32_t hot);
/* Rewrite a hot page; now and then free a page and take another into use. */
void pages_work(void);
/* Take up to max runs of free pages out of use, from the top down, each once a pass. */
unsigned pages_take(struct fph_range *out, unsigned max);
void pages_new_pass(void);
void pages_give(const struct fph_range *ranges, int n);
/* Write to a page of a range that was given back, as somebody in need of memory would. */
uint32_t pages_use_now(struct fph_range range);
/* How many used pages hold what they should, and how many do not. */
void pages_check(uint32_t *good, uint32_t *bad);

#endif
