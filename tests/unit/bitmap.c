/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <fph/bitmap.h>
#include <string.h>

#define PAGES_MAX 1300u
#define WORDS	  21u

/* The plain truth: one byte a page, and one loop over all pages for everything. */
static bool model[PAGES_MAX];
static uint64_t words[WORDS + 2]; /* a guard on either side */
static struct fph_bitmap map = { .words = words + 1 };

#define GUARD UINT64_C(0x5a5a5a5a5a5a5a5a)

static void prepare(uint64_t pages, uint64_t base, uint8_t shift)
{
	memset(words, 0, sizeof(words));
	words[0] = words[WORDS + 1] = GUARD;
	memset(model, 0, sizeof(model));
	map.pages = pages;
	map.base = base;
	map.shift = shift;
}

/* First and last byte of page i; false if it lies behind the address space. */
static bool page_bytes(uint64_t i, uint64_t *first, uint64_t *last)
{
	uint64_t offset = i << map.shift;

	if (offset >> map.shift != i || map.base + offset < map.base)
		return false;
	*first = map.base + offset;
	*last = *first + ((UINT64_C(1) << map.shift) - 1);
	return *last >= *first;
}

static bool touches(uint64_t i, struct fph_range r)
{
	uint64_t first, last;

	return r.len && page_bytes(i, &first, &last) && r.gpa <= last &&
	       r.gpa + (r.len - 1) >= first;
}

static bool covers(uint64_t i, struct fph_range r)
{
	uint64_t first, last;

	return r.len && page_bytes(i, &first, &last) && r.gpa <= first &&
	       r.gpa + (r.len - 1) >= last;
}

static void compare(void)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < map.pages; i++) {
		bool bit = map.words[i / 64] >> (i % 64) & 1;

		cr_assert_eq(bit, model[i], "page %llu", (unsigned long long)i);
		n += bit;
	}
	cr_assert_eq(fph_bitmap_count(&map), n);
	cr_assert(words[0] == GUARD && words[WORDS + 1] == GUARD);
}

static void both(bool set, struct fph_range r)
{
	uint64_t changed = 0, got;

	for (uint64_t i = 0; i < map.pages; i++) {
		bool hit = set ? touches(i, r) : covers(i, r);

		changed += hit && model[i] != set;
		model[i] = hit ? set : model[i];
	}
	got = set ? fph_bitmap_set(&map, r) : fph_bitmap_clear(&map, r);
	cr_assert_eq(got, changed, "%s %#llx +%#llx", set ? "set" : "clear",
		     (unsigned long long)r.gpa, (unsigned long long)r.len);
	compare();
}

static uint64_t seed;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* A range near the bitmap, with its ends on, before and behind page borders. */
static struct fph_range random_range(void)
{
	uint64_t page = UINT64_C(1) << map.shift;
	uint64_t span = map.pages + 8, gpa, last;

	gpa = map.base + (random64() % span - 4) * page + random64() % 3 - 1;
	last = map.base + (random64() % span - 4) * page + random64() % 3 - 1;
	if (random64() % 4 == 0) { /* whole words, of which many are cleared at once */
		gpa = map.base + random64() % (map.pages / 64 + 2) * 64 * page;
		last = gpa + random64() % (map.pages / 64 + 2) * 64 * page;
	}
	if (random64() % 8 == 0)
		gpa = random64();
	if (random64() % 8 == 0)
		last = random64();
	if (last < gpa)
		return (struct fph_range){ last, gpa - last };
	return (struct fph_range){ gpa, last - gpa };
}

Test(bitmap, agrees_with_a_naive_one_for_every_page_size, .timeout = 30)
{
	static const uint64_t sizes[] = { 0,   1,   63,	64,  65,  127,
					  128, 129, 200, 512, 640, 1300 };

	seed = 88172645463325252u;
	for (unsigned shift = 0; shift < 64; shift++) {
		for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			uint64_t base = shift < 56 ? (random64() % 3) << shift : 0;

			prepare(sizes[s], base, (uint8_t)shift);
			for (unsigned i = 0; i < 60; i++)
				both(random64() & 1, random_range());
		}
	}
}

/* rows 11, 76: the bitmap's end is the address space's end */
Test(bitmap, agrees_up_to_the_end_of_the_address_space)
{
	seed = 42;
	prepare(16, 0 - (UINT64_C(16) << 12), 12);
	for (unsigned i = 0; i < 2000; i++)
		both(random64() & 1, random_range());
	both(true, (struct fph_range){ UINT64_MAX, 1 });
	cr_assert(model[15]);
}

Test(bitmap, sets_outward_and_clears_inward)
{
	prepare(64, 0x10000, 12);
	cr_expect_eq(fph_bitmap_set(&map, (struct fph_range){ 0x10fff, 2 }), 2);
	cr_expect_eq(map.words[0], 3);
	cr_expect_eq(fph_bitmap_clear(&map, (struct fph_range){ 0x10001, 0x1fff }), 1);
	cr_expect_eq(map.words[0], 1, "a page of which one byte is kept stays dirty");
	cr_expect_eq(fph_bitmap_clear(&map, (struct fph_range){ 0x10000, 0xfff }), 0);
	cr_expect_eq(fph_bitmap_clear(&map, (struct fph_range){ 0x10000, 0x1000 }), 1);
	cr_expect_eq(map.words[0], 0);
}

Test(bitmap, counts_only_what_changed)
{
	prepare(128, 0, 12);
	cr_expect_eq(fph_bitmap_set(&map, (struct fph_range){ 0, 0x64000 }), 100);
	cr_expect_eq(fph_bitmap_set(&map, (struct fph_range){ 0, 0x65000 }), 1);
	cr_expect_eq(fph_bitmap_set(&map, (struct fph_range){ 0, 0x65000 }), 0);
	cr_expect_eq(fph_bitmap_count(&map), 101);
	cr_expect_eq(fph_bitmap_clear(&map, (struct fph_range){ 0x10000, 0x100000 }), 85);
	cr_expect_eq(fph_bitmap_clear(&map, (struct fph_range){ 0x10000, 0x100000 }), 0);
	cr_expect_eq(fph_bitmap_count(&map), 16);
}

/* row 76: memory larger than the bitmap, and before it */
Test(bitmap, ignores_what_lies_outside)
{
	prepare(10, 0x100000, 12);
	both(true, (struct fph_range){ 0, 0x100000 });
	cr_expect_eq(fph_bitmap_count(&map), 0);
	both(true, (struct fph_range){ 0x10a000, 0x1000 });
	cr_expect_eq(fph_bitmap_count(&map), 0);
	both(true, (struct fph_range){ 0, UINT64_MAX });
	cr_expect_eq(fph_bitmap_count(&map), 10);
	both(false, (struct fph_range){ 0xfffff, 1 });
	both(false, (struct fph_range){ 0x10a000, UINT64_MAX - 0x10a000 });
	cr_expect_eq(fph_bitmap_count(&map), 10);
	both(false, (struct fph_range){ 0xff800, 0x1000 });
	cr_expect_eq(fph_bitmap_count(&map), 10, "half of the first page");
	both(false, (struct fph_range){ 0x109000, 0x1000 });
	cr_expect_eq(fph_bitmap_count(&map), 9);
	both(true, (struct fph_range){ 0x100000, 0 });
	both(false, (struct fph_range){ 0x100000, 0 });
	cr_expect_eq(fph_bitmap_count(&map), 9);
}

Test(bitmap, tests_the_page_that_holds_an_address)
{
	prepare(10, 0x100000, 12);
	fph_bitmap_set(&map, (struct fph_range){ 0x103000, 1 });
	cr_expect(fph_bitmap_test(&map, 0x103000));
	cr_expect(fph_bitmap_test(&map, 0x103fff));
	cr_expect_not(fph_bitmap_test(&map, 0x102fff));
	cr_expect_not(fph_bitmap_test(&map, 0x104000));
	map.words[0] = ~UINT64_C(0);
	cr_expect(fph_bitmap_test(&map, 0x100000));
	cr_expect(fph_bitmap_test(&map, 0x109fff));
	cr_expect_not(fph_bitmap_test(&map, 0x10a000), "behind the end");
	cr_expect_not(fph_bitmap_test(&map, 0xfffff), "before the base");
	cr_expect_not(fph_bitmap_test(&map, 0));
	cr_expect_not(fph_bitmap_test(&map, UINT64_MAX));
}

Test(bitmap, does_not_count_bits_behind_its_pages)
{
	prepare(70, 0, 12);
	map.words[0] = map.words[1] = ~UINT64_C(0);
	cr_expect_eq(fph_bitmap_count(&map), 70);
	map.pages = 64;
	cr_expect_eq(fph_bitmap_count(&map), 64);
	map.pages = 1;
	cr_expect_eq(fph_bitmap_count(&map), 1);
	map.pages = 0;
	cr_expect_eq(fph_bitmap_count(&map), 0);
}

Test(bitmap, counts_every_bit_of_a_word)
{
	prepare(64, 0, 0);
	for (unsigned bit = 0; bit < 64; bit++) {
		map.words[0] = UINT64_C(1) << bit;
		cr_expect_eq(fph_bitmap_count(&map), 1, "bit %u", bit);
		map.words[0] = ~map.words[0];
		cr_expect_eq(fph_bitmap_count(&map), 63, "but bit %u", bit);
	}
}

static void expect_run(uint64_t page)
{
	uint64_t first = page, n = 0, got_first = 99, got_n = 98;
	bool got;

	while (first < map.pages && !model[first])
		first++;
	while (first + n < map.pages && model[first + n])
		n++;
	got = fph_bitmap_run(&map, page, &got_first, &got_n);
	cr_assert_eq(got, n > 0, "from page %llu", (unsigned long long)page);
	if (got)
		cr_assert(got_first == first && got_n == n, "from page %llu: %llu +%llu",
			  (unsigned long long)page, (unsigned long long)got_first,
			  (unsigned long long)got_n);
	else
		cr_assert(got_first == 99 && got_n == 98, "no run, yet it was written");
}

Test(bitmap, finds_the_next_run_from_every_page)
{
	static const uint64_t sizes[] = { 1, 63, 64, 65, 128, 200 };

	seed = 7;
	for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		for (unsigned round = 0; round < 40; round++) {
			prepare(sizes[s], 0, 12);
			/* Dirt behind the end is no page. */
			map.words[(map.pages - 1) / 64] = ~UINT64_C(0)
							  << ((map.pages - 1) % 64) << 1;
			if (map.pages % 64 == 0)
				map.words[(map.pages - 1) / 64] = 0;
			for (unsigned i = 0; i < round % 5; i++) {
				struct fph_range r = { (random64() % map.pages) << 12,
						       (random64() % 70) << 12 };

				for (uint64_t p = 0; p < map.pages; p++)
					model[p] = model[p] || touches(p, r);
				fph_bitmap_set(&map, r);
			}
			for (uint64_t page = 0; page < map.pages + 3; page++)
				expect_run(page);
			expect_run(UINT64_MAX);
		}
	}
}

Test(bitmap, of_no_pages_answers_everything)
{
	uint64_t first, n;

	prepare(0, 0, 12);
	map.words = NULL;
	cr_expect_eq(fph_bitmap_set(&map, (struct fph_range){ 0, UINT64_MAX }), 0);
	cr_expect_eq(fph_bitmap_clear(&map, (struct fph_range){ 0, UINT64_MAX }), 0);
	cr_expect_eq(fph_bitmap_count(&map), 0);
	cr_expect_not(fph_bitmap_test(&map, 0));
	cr_expect_not(fph_bitmap_run(&map, 0, &first, &n));
}

Test(bitmap, words_are_enough_for_the_pages)
{
	cr_expect_eq(FPH_BITMAP_WORDS(0), 0);
	cr_expect_eq(FPH_BITMAP_WORDS(1), 1);
	cr_expect_eq(FPH_BITMAP_WORDS(64), 1);
	cr_expect_eq(FPH_BITMAP_WORDS(65), 2);
	cr_expect_eq(FPH_BITMAP_WORDS(UINT32_MAX), UINT64_C(1) << 26);
}
