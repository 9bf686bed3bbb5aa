/* SPDX-License-Identifier: MIT */
#ifndef FPH_MEM_H
#define FPH_MEM_H

#include <fph/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Guest memory as this process sees it: the array of regions that a VMM has
 * anyway.  Sorted by gpa, disjoint, not empty, never wrapping, owned by the
 * caller and unchanged while anybody uses it.
 */
struct fph_region {
	uint64_t gpa;
	uint64_t len;
	void *hva;	/* gpa and hva agree modulo 16; NULL: known, but not mapped here */
	uint32_t flags; /* FPH_REGION_* */
};

#define FPH_REGION_READONLY 0x1u /* no ring may stand in it, and no hint of it counts */

struct fph_mem {
	const struct fph_region *regions;
	uint32_t count; /* 0: no memory, every address is foreign */
};

/* Returns 0, or -EINVAL if the map breaks a rule above. */
int fph_mem_check(const struct fph_mem *mem);

/*
 * Where len bytes at gpa are mapped, or NULL if they are not all inside one
 * mapped region.  len 0 is never mapped.  The pointer is as good as the region.
 */
void *fph_mem_at(const struct fph_mem *mem, uint64_t gpa, uint64_t len);

/*
 * Find the first part of *range that lies in one region, and advance *range
 * past it.  What lies in no region is skipped.  Returns the region's index and
 * fills *piece, or -ENOENT (nothing of the rest is in memory; *range is empty).
 * *range must not wrap: gpa + len <= 2^64.  Bounded by log2(count).
 */
int fph_mem_piece(const struct fph_mem *mem, struct fph_range *range, struct fph_range *piece);

#ifdef __cplusplus
}
#endif
#endif
