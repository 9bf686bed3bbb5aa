/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <fph/mem.h>
#include <stdlib.h>

#define TOP_GPA UINT64_C(0xffffffffffff0000)

static _Alignas(16) unsigned char bytes[0x4000];

static int check(const struct fph_region *regions, uint32_t count)
{
	const struct fph_mem mem = { regions, count };

	return fph_mem_check(&mem);
}

Test(mem, an_empty_map_is_a_map)
{
	const struct fph_mem none = { NULL, 0 };
	struct fph_range range = { 0, UINT64_MAX }, piece = { 7, 7 };

	cr_expect_eq(fph_mem_check(&none), 0);
	cr_expect_null(fph_mem_at(&none, 0, 1));
	cr_expect_eq(fph_mem_piece(&none, &range, &piece), -ENOENT);
	cr_expect_eq(range.len, 0);
	cr_expect(piece.gpa == 7 && piece.len == 7, "nothing was found, yet piece was written");
}

/* row 75: maps that are none */
static const struct {
	const char *what;
	struct fph_region r[2];
	uint32_t count;
	int rc;
} maps[] = {
	{ "one region", { { 0, 1, NULL, 0 } }, 1, 0 },
	{ "adjacent", { { 0, 0x1000, NULL, 0 }, { 0x1000, 0x1000, NULL, 0 } }, 2, 0 },
	{ "read-only", { { 0, 0x1000, NULL, FPH_REGION_READONLY } }, 1, 0 },
	{ "reaches 2^64", { { TOP_GPA, 0x10000, NULL, 0 } }, 1, 0 },
	{ "all but one byte", { { 0, UINT64_MAX, NULL, 0 } }, 1, 0 },
	{ "gpa and hva agree", { { 0x1000, 0x1000, bytes, 0 } }, 1, 0 },
	{ "gpa and hva agree off a page", { { 0x1008, 0x100, bytes + 8, 0 } }, 1, 0 },
	{ "hva reaches its end", { { 0, 0x1000, (void *)(UINTPTR_MAX - 0xfff), 0 } }, 1, 0 },
	{ "hva wraps by a byte", { { 0, 0x1001, (void *)(UINTPTR_MAX - 0xfff), 0 } }, 1, -EINVAL },
	{ "len 0", { { 0, 0, NULL, 0 } }, 1, -EINVAL },
	{ "second is empty", { { 0, 1, NULL, 0 }, { 5, 0, NULL, 0 } }, 2, -EINVAL },
	{ "overlap by a byte", { { 0, 0x1001, NULL, 0 }, { 0x1000, 1, NULL, 0 } }, 2, -EINVAL },
	{ "same twice", { { 8, 8, NULL, 0 }, { 8, 8, NULL, 0 } }, 2, -EINVAL },
	{ "inside", { { 0, 0x1000, NULL, 0 }, { 0x10, 1, NULL, 0 } }, 2, -EINVAL },
	{ "unsorted", { { 0x1000, 0x1000, NULL, 0 }, { 0, 0x1000, NULL, 0 } }, 2, -EINVAL },
	{ "wraps", { { TOP_GPA, 0x10001, NULL, 0 } }, 1, -EINVAL },
	{ "wraps far", { { 1, UINT64_MAX, NULL, 0 }, { 2, 1, NULL, 0 } }, 2, -EINVAL },
	{ "behind 2^64", { { TOP_GPA, 0x10000, NULL, 0 }, { 0, 1, NULL, 0 } }, 2, -EINVAL },
	{ "unknown flag", { { 0, 1, NULL, 2 } }, 1, -EINVAL },
	{ "all flags", { { 0, 1, NULL, ~0u } }, 1, -EINVAL },
	{ "hva off by one", { { 0x1000, 0x1000, bytes + 1, 0 } }, 1, -EINVAL },
	{ "hva off by eight", { { 0x1000, 0x1000, bytes + 8, 0 } }, 1, -EINVAL },
	{ "gpa off by four", { { 0x1004, 0x1000, bytes, 0 } }, 1, -EINVAL },
	{ "hva wraps", { { 0, UINT64_MAX, bytes, 0 } }, 1, -EINVAL },
};

Test(mem, a_map_is_sorted_disjoint_not_empty_and_never_wraps)
{
	for (unsigned i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		cr_expect_eq(check(maps[i].r, maps[i].count), maps[i].rc, "%s", maps[i].what);
}

Test(mem, a_count_that_no_index_can_name_is_refused)
{
	const struct fph_mem mem = { maps[0].r, (uint32_t)INT32_MAX + 1 };

	cr_expect_eq(fph_mem_check(&mem), -EINVAL);
}

static const struct fph_region three[] = {
	{ 0x1000, 0x1000, bytes, 0 },
	{ 0x2000, 0x1000, bytes + 0x2000, FPH_REGION_READONLY },
	{ 0x5000, 0x1000, NULL, 0 },
	{ TOP_GPA, 0x10000, NULL, 0 },
};
static const struct fph_mem map = { three, 4 };

static const struct {
	uint64_t gpa, len;
	const void *hva;
} lookups[] = {
	{ 0x1000, 1, bytes },
	{ 0x1000, 0x1000, bytes },
	{ 0x1fff, 1, bytes + 0xfff },
	{ 0x1800, 0x800, bytes + 0x800 },
	{ 0x2000, 0x1000, bytes + 0x2000 }, /* reading is no question of flags */
	{ 0x2fff, 1, bytes + 0x2fff },
	{ 0x1000, 0, NULL },
	{ 0x1000, 0x1001, NULL }, /* adjacent in gpa, and yet elsewhere */
	{ 0x1fff, 2, NULL },
	{ 0x0fff, 1, NULL },
	{ 0x0fff, 2, NULL },
	{ 0x3000, 1, NULL },
	{ 0x2fff, 2, NULL },
	{ 0x4fff, 2, NULL },
	{ 0x5000, 1, NULL }, /* known, not mapped */
	{ 0x6000, 1, NULL },
	{ 0, 1, NULL },
	{ 0x1000, UINT64_MAX, NULL },
	{ 0x1800, 0 - UINT64_C(0x800), NULL },
	{ UINT64_MAX, 1, NULL },
	{ UINT64_MAX, UINT64_MAX, NULL },
};

/* CVE-2018-1059: an address is translated with its length or not at all */
Test(mem, a_translation_holds_for_the_whole_length_or_is_none)
{
	for (unsigned i = 0; i < sizeof(lookups) / sizeof(lookups[0]); i++)
		cr_expect_eq(fph_mem_at(&map, lookups[i].gpa, lookups[i].len), lookups[i].hva,
			     "%#llx +%#llx", (unsigned long long)lookups[i].gpa,
			     (unsigned long long)lookups[i].len);
}

Test(mem, the_last_byte_of_the_address_space_can_be_mapped)
{
	const struct fph_region r = { TOP_GPA, 0x10000, NULL, 0 };
	struct fph_region mapped = r;
	struct fph_mem mem = { &mapped, 1 };
	void *hva = aligned_alloc(16, 0x10000);

	mapped.hva = hva;
	cr_assert_eq(fph_mem_check(&mem), 0);
	cr_expect_eq(fph_mem_at(&mem, UINT64_MAX, 1), (unsigned char *)hva + 0xffff);
	cr_expect_eq(fph_mem_at(&mem, TOP_GPA, 0x10000), hva);
	cr_expect_null(fph_mem_at(&mem, UINT64_MAX, 2));
	cr_expect_null(fph_mem_at(&mem, TOP_GPA, 0x10001));
	free(hva);
}

static void expect_piece(struct fph_range *rest, int region, uint64_t gpa, uint64_t len)
{
	struct fph_range piece = { 0, 0 };

	cr_expect_eq(fph_mem_piece(&map, rest, &piece), region);
	cr_expect(piece.gpa == gpa && piece.len == len, "got %#llx +%#llx",
		  (unsigned long long)piece.gpa, (unsigned long long)piece.len);
}

static void expect_no_more(struct fph_range *rest)
{
	struct fph_range piece;

	cr_expect_eq(fph_mem_piece(&map, rest, &piece), -ENOENT);
	cr_expect_eq(rest->len, 0);
	cr_expect_eq(fph_mem_piece(&map, rest, &piece), -ENOENT);
}

/* rows 12, 13: split at regions, never the hole */
Test(mem, a_range_is_cut_at_regions_and_holes_are_skipped)
{
	struct fph_range rest = { 0x800, 0x6000 };

	expect_piece(&rest, 0, 0x1000, 0x1000);
	cr_expect(rest.gpa == 0x2000 && rest.len == 0x4800);
	expect_piece(&rest, 1, 0x2000, 0x1000);
	expect_piece(&rest, 2, 0x5000, 0x1000);
	expect_no_more(&rest);
}

Test(mem, a_range_inside_one_region_is_one_piece)
{
	struct fph_range rest = { 0x1234, 0x56 };

	expect_piece(&rest, 0, 0x1234, 0x56);
	cr_expect_eq(rest.len, 0);
	expect_no_more(&rest);
}

Test(mem, a_range_of_no_bytes_has_no_piece)
{
	struct fph_range rest = { 0x1000, 0 };

	expect_no_more(&rest);
}

Test(mem, a_range_in_a_hole_has_no_piece)
{
	struct fph_range rest = { 0x3000, 0x2000 };

	expect_no_more(&rest);
}

Test(mem, a_range_that_begins_behind_the_last_region_has_no_piece)
{
	const struct fph_mem low = { three, 3 };
	struct fph_range rest = { 0x6000, 0x1000 }, piece;

	cr_expect_eq(fph_mem_piece(&low, &rest, &piece), -ENOENT);
	cr_expect_eq(rest.len, 0);
}

/* rows 11, 35: up to 2^64, and the whole of it but a byte */
Test(mem, a_range_may_reach_the_end_of_the_address_space)
{
	struct fph_range rest = { 0, UINT64_MAX };

	expect_piece(&rest, 0, 0x1000, 0x1000);
	expect_piece(&rest, 1, 0x2000, 0x1000);
	expect_piece(&rest, 2, 0x5000, 0x1000);
	expect_piece(&rest, 3, TOP_GPA, 0xffff);
	cr_expect_eq(rest.len, 0);

	rest = (struct fph_range){ UINT64_MAX - 9, 10 };
	expect_piece(&rest, 3, UINT64_MAX - 9, 10);
	cr_expect_eq(rest.len, 0);
	expect_no_more(&rest);
}

#define MANY 1000000u

/* row 75 */
Test(mem, a_million_regions_are_searched_by_halves, .timeout = 10)
{
	struct fph_region *r = calloc(MANY, sizeof(*r));
	struct fph_mem mem = { r, MANY };
	struct fph_range rest = { 0, UINT64_MAX }, piece;

	cr_assert_not_null(r);
	for (uint32_t i = 0; i < MANY; i++) {
		r[i].gpa = (uint64_t)i * 0x10000 + 0x1000;
		r[i].len = 0x1000;
	}
	cr_assert_eq(fph_mem_check(&mem), 0);
	for (uint32_t i = 0; i < MANY; i++) {
		struct fph_range one = { r[i].gpa - 1, 0x1002 };

		cr_assert_eq(fph_mem_piece(&mem, &one, &piece), (int)i);
		cr_assert(piece.gpa == r[i].gpa && piece.len == 0x1000);
		cr_assert_eq(one.len, 1);
	}
	for (uint32_t i = 0; i < MANY; i++)
		cr_assert_eq(fph_mem_piece(&mem, &rest, &piece), (int)i);
	cr_assert_eq(fph_mem_piece(&mem, &rest, &piece), -ENOENT);

	r[MANY - 1].gpa--;
	r[MANY - 1].len = 0;
	cr_assert_eq(fph_mem_check(&mem), -EINVAL, "the last region is judged, too");
	free(r);
}

Test(mem, pieces_agree_with_a_walk_byte_by_byte)
{
	uint64_t seed = 1;

	for (unsigned round = 0; round < 20000; round++) {
		struct fph_range rest, piece;
		uint64_t at, end;

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		rest.gpa = (seed >> 33) % 0x6800;
		rest.len = (seed >> 50) % 0x3000;
		at = rest.gpa;
		end = rest.gpa + rest.len;
		while (fph_mem_piece(&map, &rest, &piece) >= 0) {
			/* What was skipped lies in no region, what was found in one. */
			for (; at < piece.gpa; at += 0x100)
				cr_assert((at & ~0xffu) < 0x1000 ||
						  ((at & ~0xffu) >= 0x3000 && at < 0x5000) ||
						  at >= 0x6000,
					  "%#llx was skipped", (unsigned long long)at);
			cr_assert(piece.len > 0 && piece.gpa + piece.len <= end);
			at = piece.gpa + piece.len;
		}
	}
}
