/* SPDX-License-Identifier: MIT */
/* The memory map: lib/mem.c. */
#include <err.h>
#include <fph/mem.h>

/* What a map must be, said without a sum that could wrap. */
static bool is_map(const struct fph_region *r, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		unsigned __int128 end = (unsigned __int128)r[i].gpa + r[i].len;

		if (r[i].len == 0 || end > (unsigned __int128)1 << 64 || r[i].flags > 1)
			return false;
		if (i > 0 && (unsigned __int128)r[i - 1].gpa + r[i - 1].len > r[i].gpa)
			return false;
	}
	return true;
}

static bool covers(const struct fph_region *r, uint64_t gpa)
{
	return gpa >= r->gpa && gpa - r->gpa < r->len;
}

static bool is_memory(const struct fph_mem *mem, uint64_t gpa)
{
	for (uint32_t i = 0; i < mem->count; i++)
		if (covers(&mem->regions[i], gpa))
			return true;
	return false;
}

#ifndef REGIONS
#define REGIONS 3u
#endif

static struct fph_region regions[REGIONS];

/* Any map of up to REGIONS, not mapped. */
static struct fph_mem any_map(void)
{
	struct fph_mem mem = { .regions = regions, .count = (uint32_t)any_up_to(REGIONS) };

	ANYTHING(regions);
	for (uint32_t i = 0; i < REGIONS; i++)
		regions[i].hva = NULL;
	return mem;
}

/*
 * proof: mem_check
 * of: fph_mem_check
 * says: takes a map if and only if it is sorted, disjoint, not empty, without a wrap
 * bounds: 3 regions, any place and size
 * sources: lib/mem.c
 * unwind: 4
 * mutant: lib/mem.c s/r->gpa <= last_of(r - 1)/r->gpa < last_of(r - 1)/
 */
void proof_mem_check(void)
{
	struct fph_mem mem = any_map();
	int rc = fph_mem_check(&mem);

	PROVE(rc == (is_map(regions, mem.count) ? 0 : -EINVAL));
	REACHED(rc == 0 && mem.count == REGIONS);
	REACHED(rc < 0);
}

/*
 * proof: mem_check_hva
 * of: fph_mem_check
 * says: takes a mapped region only if it does not wrap there and agrees modulo 16
 * bounds: 1 region, any
 * sources: lib/mem.c
 * unwind: 2
 * mutant: lib/mem.c s/r->len - 1 > UINTPTR_MAX/r->len > UINTPTR_MAX/
 */
void proof_mem_check_hva(void)
{
	uintptr_t hva = nondet_u64();
	struct fph_region r = { nondet_u64(), nondet_u64(), (void *)hva, 0 };
	struct fph_mem mem = { .regions = &r, .count = 1 };
	bool fits = (unsigned __int128)hva + r.len <= (unsigned __int128)1 << 64;
	int rc = fph_mem_check(&mem);

	PROVE((rc == 0) == (is_map(&r, 1) && (!hva || (fits && hva % 16 == r.gpa % 16))));
	REACHED(rc == 0 && hva && hva + r.len == 0);
	REACHED(rc < 0);
}

/*
 * proof: mem_at
 * of: fph_mem_at
 * says: a pointer to len live bytes at the right place if they are in one mapped region, else NULL
 * bounds: 1 region up to 2^40 bytes, any gpa and len
 * sources: lib/mem.c
 * unwind: 3
 * mutant: lib/mem.c s/len > r->len - (gpa - r->gpa)/gpa - r->gpa + len > r->len/
 */
void proof_mem_at(void)
{
	uint64_t gpa = nondet_u64(), len = nondet_u64(), size = any_up_to(UINT64_C(1) << 40);
	struct fph_region r = { nondet_u64(), size, any_bytes(size), 0 };
	struct fph_mem mem = { .regions = &r, .count = 1 };
	bool in = len && covers(&r, gpa) && covers(&r, gpa + (len - 1)) && gpa <= gpa + (len - 1);
	unsigned char *at;

	ASSUME(is_map(&r, 1));
	if (ANY(bool))
		r.hva = NULL;
	at = fph_mem_at(&mem, gpa, len);
	PROVE((at != NULL) == (in && r.hva));
	PROVE(!at || at == (unsigned char *)r.hva + (gpa - r.gpa));
	PROVE(!at || __CPROVER_rw_ok(at, len));
	REACHED(at && gpa + len == r.gpa + r.len && gpa > r.gpa);
	REACHED(in && !at);
}

/*
 * proof: mem_at_regions
 * of: fph_mem_at
 * says: finds the region that holds all of it, whichever that is
 * bounds: 2 regions, any place and size
 * sources: lib/mem.c
 * unwind: 4
 * defines: -DREGIONS=2u
 * mutant: lib/mem.c s/low = mid + 1/low = mid + 2/
 */
void proof_mem_at_regions(void)
{
	static unsigned char bytes[2];
	struct fph_mem mem = any_map();
	uint64_t gpa = nondet_u64(), len = nondet_u64();
	unsigned char *at;
	bool in = false;

	ASSUME(is_map(regions, mem.count));
	/* Only the byte asked for is mapped for real. */
	for (uint32_t i = 0; i < mem.count; i++) {
		bool first = covers(&regions[i], gpa);

		regions[i].hva = bytes;
		in |= len && first && covers(&regions[i], gpa + (len - 1)) &&
		      gpa <= gpa + (len - 1);
		ASSUME(!first || gpa == regions[i].gpa);
	}
	at = fph_mem_at(&mem, gpa, len);
	PROVE(at == (in ? bytes : NULL));
	REACHED(at && gpa == regions[1].gpa && mem.count == 2);
}

/*
 * proof: mem_piece
 * of: fph_mem_piece
 * says: a piece lies in the region named, none is skipped, none comes twice, the rest shrinks
 * bounds: 1 region, any place and size; any range
 * sources: lib/mem.c
 * unwind: 3
 * defines: -DREGIONS=1u
 * mutant: lib/mem.c s/range->gpa = end + 1/range->gpa = end + 2/
 */
void proof_mem_piece(void)
{
	struct fph_mem mem = any_map();
	struct fph_range range = { nondet_u64(), nondet_u64() }, old = range, piece;
	uint64_t x = nondet_u64();
	bool was_in, in_piece, in_rest;
	int rc;

	ASSUME(is_map(regions, mem.count));
	ASSUME((unsigned __int128)range.gpa + range.len <= (unsigned __int128)1 << 64);
	rc = fph_mem_piece(&mem, &range, &piece);
	was_in = x - old.gpa < old.len;
	in_rest = x - range.gpa < range.len;
	in_piece = rc >= 0 && x - piece.gpa < piece.len;
	PROVE(rc >= 0 || (rc == -ENOENT && range.len == 0));
	PROVE(rc < (int)mem.count);
	PROVE(!in_piece || (was_in && covers(&regions[rc], x)));
	PROVE(!in_piece || !in_rest);
	PROVE(!in_rest || was_in);
	PROVE(!(was_in && is_memory(&mem, x)) || in_piece || in_rest);
	PROVE(rc < 0 || (piece.len > 0 && range.len < old.len));
	REACHED(rc == 0 && range.len);
	REACHED(rc == 0 && piece.gpa > old.gpa);
	REACHED(rc < 0 && old.len && mem.count);
}

/*
 * proof: mem_find
 * of: fph_mem_at, fph_mem_piece
 * says: the search reads only regions that there are, and ends
 * bounds: 15 regions of any content, however wrong
 * sources: lib/mem.c
 * unwind: 6 any_map.0:16
 * defines: -DREGIONS=15u
 * mutant: lib/mem.c s/high = mid;/high = mid + (mid == 2);/
 */
void proof_mem_find(void)
{
	struct fph_mem mem = any_map();
	struct fph_range range = { nondet_u64(), nondet_u64() }, piece;

	PROVE(fph_mem_piece(&mem, &range, &piece) < (int64_t)mem.count);
	REACHED(range.len && mem.count == REGIONS);
}
