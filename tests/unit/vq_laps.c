/* SPDX-License-Identifier: MIT */
#include "shm.h"
#include "vq.h"
#include <criterion/criterion.h>
#include <string.h>

/*
 * Both ends of a ring for many laps, by amounts that never fit it: every buffer arrives
 * once and in its order, and comes back once, in all formats and at all sizes, over the
 * ends of the ring, of its wrap counter, and of the 16 bits of every counter.
 */
#define RING_GPA UINT64_C(0x40000000)
#define LARGEST	 32768u
#define PAGE	 UINT64_C(0x1000)
#define BYTES	 (LARGEST * 48u + 64u)

static _Alignas(4096) unsigned char ring[BYTES];
static struct fph_guest_slot slots[LARGEST];
static struct fph_range pages[LARGEST], out[LARGEST];
static const struct fph_region region = { RING_GPA, BYTES, ring, 0 };
static const struct fph_mem mem = { &region, 1 };
static struct fph_vq_drv drv;
static struct fph_vq_dev dev;

static uint64_t given, taken, back; /* buffers so far */
static uint32_t seed;

static uint32_t dice(uint32_t sides)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % sides;
}

/* Buffer n has an address of its own, far beyond two laps. */
static uint64_t gpa_of(uint64_t n)
{
	return n % 1000003 * PAGE;
}

static void show(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		pages[i] = (struct fph_range){ gpa_of(given + i), PAGE };
	given += fph_vq_drv_add_hints(&drv, pages, n);
	fph_vq_drv_publish(&drv);
}

static void expect(struct fph_range range, uint64_t n)
{
	cr_assert_eq(range.gpa, gpa_of(n), "size %u: buffer %llu of %llu is not what was shown",
		     drv.size, (unsigned long long)n, (unsigned long long)given);
	cr_assert_lt(n, given);
}

/* In bulk as far as it goes, then one by one. */
static void take(uint32_t max)
{
	static const struct fph_vq_window all = { 0, UINT64_MAX, PAGE - 1 };
	uint32_t n = fph_vq_dev_take(&dev, &all, out, max);
	struct fph_fault fault;
	struct fph_vq_buf buf;

	for (uint32_t i = 0; i < n; i++)
		expect(out[i], taken++);
	for (; n < max && fph_vq_dev_next(&dev, &buf, &fault) == 1; n++)
		expect((struct fph_range){ buf.gpa, buf.len }, taken++);
	if (dice(2)) /* the last may be in use only if it was walked just now */
		fph_vq_dev_return(&dev, n > 0 && !dev.in_chain && dice(2));
}

/* They are linked in the order they came back; which is the order they went. */
static void reap(void)
{
	struct fph_vq_list list = { FPH_NO_SLOT, FPH_NO_SLOT };
	struct fph_fault fault;
	uint16_t slot, count;
	int rc;

	do {
		fph_vq_drv_reap_hints(&drv, &list);
		rc = fph_vq_drv_reap(&drv, &slot, &count, &fault);
		cr_assert_geq(rc, 0, "%s", fph_rule_name(fault.rule));
		for (; rc > 0 && count; count--, slot = (uint16_t)((slot + 1u) % drv.size))
			fph_vq_list_add(&drv, &list, slot);
	} while (rc > 0);
	for (uint16_t i = list.first; i != FPH_NO_SLOT; back++) {
		uint16_t next = slots[i].next;

		cr_assert_eq(slots[i].gpa, gpa_of(back), "size %u: %llu came back", drv.size,
			     (unsigned long long)back);
		cr_assert_lt(back, taken, "and was not taken");
		fph_vq_drv_free(&drv, i);
		i = next;
	}
}

/* Buffers that nobody shall ever see, added while others come back. */
static void take_back(uint32_t n)
{
	const uint64_t nowhere = UINT64_C(1) << 40;
	uint32_t added = 0, removed = 0;
	uint16_t slot, count;

	for (uint32_t i = 0; i < n; i++)
		pages[i] = (struct fph_range){ nowhere, PAGE };
	for (unsigned i = 0; i < 3; i++) {
		added += fph_vq_drv_add_hints(&drv, pages, 1 + dice(n));
		take(1 + dice(n));
		reap();
	}
	while (fph_vq_drv_withdraw(&drv, &slot, &count))
		for (; count; count--, slot = (uint16_t)((slot + 1u) % drv.size), removed++) {
			cr_assert_eq(slots[slot].gpa, nowhere, "size %u", drv.size);
			fph_vq_drv_free(&drv, slot);
		}
	cr_assert_eq(removed, added, "size %u, batch %u: %u of %u", drv.size, drv.batch, removed,
		     added);
}

static void go_round(uint16_t size, struct fph_vq_format format, uint16_t batch, uint64_t buffers)
{
	given = taken = back = 0;
	fph_vq_drv_place(&drv, slots, ring, RING_GPA, size, format, batch);
	cr_assert_eq(fph_vq_dev_enable(&dev, &mem, &drv.place, size, format), FPH_RULE_NONE);
	while (back < buffers) {
		if (dice(8) == 0)
			take_back(dice(2) ? size : 4);
		/* Now and then up to the last descriptor, and no further. */
		show(dice(4) ? 1 + dice(dice(4) ? size : 3) : (uint32_t)(size - given % size));
		take(1 + dice(dice(4) ? size : 3));
		reap();
	}
	take(size);
	take(size);
	fph_vq_dev_return(&dev, false);
	reap();
	cr_expect_eq(taken, given, "size %u", size);
	cr_expect_eq(back, given, "size %u", size);
	cr_expect_eq(drv.free_count, size);
}

/* P-2, P-3, P-11, V-6, V-13 */
Test(laps, every_buffer_arrives_once_at_every_size_in_every_format, .timeout = 300)
{
	static const uint16_t sizes[] = { 2, 4, 16, 256, 16384, 32768 };
	static const uint16_t batches[] = { 1, 2, 7 };

	for (unsigned f = 0; f < 16; f++)
		for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
			for (unsigned b = 0; b < 3; b++) {
				struct fph_vq_format format = {
					.packed = f & 1,
					.in_order = f & 2,
					.indirect = f & 4,
					.event_idx = f & 8,
				};

				seed = f * 31 + s * 7 + b;
				go_round(sizes[s], format, batches[b],
					 140000 + 3 * (uint64_t)sizes[s]);
			}
}

/* ------------------------------------------------------------ sizes of no power of two */

/* A driver of a packed ring, by hand: buffer n is at n modulo the size.  P-1, P-2 */
#define DESC(n) (ring + 16 * ((n) % size))

static uint16_t flags_of(uint64_t n, uint16_t size, bool used)
{
	bool wrap = n / size % 2 == 0;

	return (uint16_t)((wrap ? 0x80u : 0) | (wrap == used ? 0x8000u : 0));
}

static void show_by_hand(uint16_t size, uint64_t upto)
{
	for (; given < upto; given++) {
		fph_st64(DESC(given), gpa_of(given));
		fph_st32(DESC(given) + 8, (uint32_t)PAGE);
		fph_st32(DESC(given) + 12, (uint32_t)(given % size) |
						   (2u | flags_of(given, size, false)) << 16);
	}
}

/* What a used descriptor closes: itself; or in order all up to the one that it names. */
static void reap_by_hand(uint16_t size, bool in_order)
{
	while (back < taken) {
		uint32_t word = fph_ld32(DESC(back) + 12);
		uint64_t n = 1;

		if ((word >> 16 & 0x8080) != flags_of(back, size, true))
			return;
		if (in_order)
			n += (word % 65536 + size - back % size) % size;
		else
			cr_assert_eq(word % 65536, back % size, "size %u", size);
		back += n;
		cr_assert_leq(back, taken, "size %u", size);
	}
}

Test(laps, a_packed_ring_of_any_size_goes_round)
{
	static const uint16_t sizes[] = { 1, 3, 5, 7, 100, 257, 32767, 32768 };

	for (unsigned i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint16_t size = sizes[i / 2];
		struct fph_vq_format format = { .packed = true, .in_order = i & 1 };
		struct fph_vq_place place = { RING_GPA, RING_GPA + 16 * LARGEST,
					      RING_GPA + 16 * LARGEST + 4, size, 0 };

		given = taken = back = 0;
		seed = i;
		memset(ring, 0, sizeof(ring));
		drv.size = size;
		cr_assert_eq(fph_vq_dev_enable(&dev, &mem, &place, size, format), FPH_RULE_NONE);
		while (back < 140000 + 4 * (uint64_t)size) {
			uint64_t room = size - (given - back);

			show_by_hand(size, given + (dice(4) ? dice((uint32_t)room + 1) : room));
			take(1 + dice(dice(4) ? size : 3));
			reap_by_hand(size, i & 1);
		}
	}
}
