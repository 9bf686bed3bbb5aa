/* SPDX-License-Identifier: MIT */
#include "err.h"
#include <fph/mem.h>

/* Ends are kept as the last byte, so that a region may reach up to 2^64. */
static uint64_t last_of(const struct fph_region *region)
{
	return region->gpa + (region->len - 1);
}

int fph_mem_check(const struct fph_mem *mem)
{
	if (mem->count > INT32_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < mem->count; i++) {
		const struct fph_region *r = &mem->regions[i];

		if (r->len == 0 || last_of(r) < r->gpa)
			return -EINVAL;
		if (r->flags & ~FPH_REGION_READONLY)
			return -EINVAL;
		/* Ring parts are aligned by gpa; the loads that read them need it by hva. */
		if (r->hva && (((uintptr_t)r->hva ^ r->gpa) & 15))
			return -EINVAL;
		if (r->hva && r->len - 1 > UINTPTR_MAX - (uintptr_t)r->hva)
			return -EINVAL;
		if (i > 0 && r->gpa <= last_of(r - 1))
			return -EINVAL;
	}
	return 0;
}

/* The first region that reaches up to gpa or beyond, or count. */
static uint32_t find(const struct fph_mem *mem, uint64_t gpa)
{
	uint32_t low = 0, high = mem->count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (last_of(&mem->regions[mid]) < gpa)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void *fph_mem_at(const struct fph_mem *mem, uint64_t gpa, uint64_t len)
{
	uint32_t i = find(mem, gpa);
	const struct fph_region *r;

	if (i == mem->count || len == 0)
		return NULL;
	r = &mem->regions[i];
	if (gpa < r->gpa || !r->hva)
		return NULL;
	if (len > r->len - (gpa - r->gpa))
		return NULL;
	return (unsigned char *)r->hva + (gpa - r->gpa);
}

int fph_mem_piece(const struct fph_mem *mem, struct fph_range *range, struct fph_range *piece)
{
	uint64_t last, end;
	uint32_t i;

	if (range->len == 0)
		return -ENOENT;
	last = range->gpa + (range->len - 1);
	i = find(mem, range->gpa);
	if (i == mem->count || mem->regions[i].gpa > last) {
		range->len = 0;
		return -ENOENT;
	}

	piece->gpa = range->gpa > mem->regions[i].gpa ? range->gpa : mem->regions[i].gpa;
	end = last_of(&mem->regions[i]);
	end = end < last ? end : last;
	piece->len = end - piece->gpa + 1;

	range->len = last - end;
	range->gpa = end + 1;
	return (int)i;
}
