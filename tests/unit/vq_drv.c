/* SPDX-License-Identifier: MIT */
#include "support/raw.h"
#include "vq.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define N	    8u

static struct ram ram;
static struct fph_guest_slot slots[N + 1]; /* the last is not the ring's */
static struct fph_vq_drv vq;
static struct raw_device dev; /* only for its way to read and write rings */
static struct fph_fault fault;
static uint16_t slot, count;

static void prepare(void)
{
	ram_init(&ram);
	raw_device_init(&dev, &ram);
	memset(slots, 0xff, sizeof(slots));
	fph_vq_drv_place(&vq, slots, ram_at(&ram, RAM_LOW, 0x1000), RAM_LOW, N,
			 (struct fph_vq_format){ 0 }, 1);
	dev.vq[0] = (struct raw_vq){ .ram = &ram, .place = vq.place };
	slots[N].state = FPH_SLOT_HINT | FPH_SLOT_SHOWN;
}

TestSuite(vq_drv, .init = prepare);

static int reap(void)
{
	return fph_vq_drv_reap(&vq, &slot, &count, &fault);
}

static void hint(uint64_t gpa)
{
	fph_vq_drv_add(&vq, gpa, 0x1000, FPH_SLOT_HINT);
}

static void expect_fault(enum fph_rule rule, uint32_t index, uint64_t value)
{
	cr_expect_eq(reap(), -EPROTO);
	cr_expect_eq(fault.rule, rule, "\"%s\" and not \"%s\"", fph_rule_name(fault.rule),
		     fph_rule_name(rule));
	cr_expect_eq(fault.index, index, "index %u", fault.index);
	cr_expect_eq(fault.value, value, "value %#llx", (unsigned long long)fault.value);
}

/* ------------------------------------------------------------ layout; V-1 */

Test(vq_drv, parts_are_aligned_and_apart_for_every_size)
{
	static _Alignas(4096) unsigned char room[2 << 20];
	static struct fph_guest_slot many[32768];

	for (unsigned n = 1; n <= 32768; n *= 2) {
		struct fph_vq_drv v;
		uint32_t bytes = fph_vq_drv_bytes((uint16_t)n);

		cr_assert_leq(bytes, sizeof(room) - 64);
		memset(room, 0xcc, sizeof(room));
		fph_vq_drv_place(&v, many, room, RAM_FAR, (uint16_t)n,
				 (struct fph_vq_format){ 0 }, 1);
		cr_expect_eq(v.place.desc, RAM_FAR);
		cr_expect_eq(v.place.driver % 2, 0, "%u", n);
		cr_expect_eq(v.place.device % 4, 0, "%u", n);
		cr_expect_geq(v.place.driver, v.place.desc + 16 * n, "%u", n);
		cr_expect_geq(v.place.device, v.place.driver + 6 + 2 * n, "%u", n);
		cr_expect_leq(v.place.device + 6 + 8 * n, RAM_FAR + bytes, "%u", n);
		cr_expect_eq(bytes % 16, 0, "%u", n);
		cr_expect(v.place.size == n && v.place.index == 0);
		for (uint32_t i = 0; i < bytes; i++)
			cr_assert_eq(room[i], 0, "%u: byte %u is not cleared", n, i); /* V-16 */
		for (uint32_t i = bytes; i < bytes + 64; i++)
			cr_assert_eq(room[i], 0xcc, "%u: byte %u is not ours", n, i);
		cr_expect(v.desc == room && v.driver == room + (v.place.driver - RAM_FAR) &&
			  v.device == room + (v.place.device - RAM_FAR));
		cr_expect_eq(v.free_count, n);
	}
}

/* ------------------------------------------------------------ add, publish */

Test(vq_drv, a_hint_is_a_writable_buffer_and_a_message_a_readable_one)
{
	fph_vq_drv_add(&vq, 0x123456789000, 0x80000000, FPH_SLOT_HINT);
	fph_vq_drv_add(&vq, 0x42, 4, FPH_SLOT_MESSAGE);
	for (uint16_t i = 0; i < 2; i++) {
		uint16_t head = ram_ld16(&ram, vq.place.driver + 4 + 2u * i);
		struct raw_desc d = raw_read_desc(&dev.vq[0], head);

		cr_expect_eq(d.gpa, i ? 0x42 : 0x123456789000);
		cr_expect_eq(d.len, i ? 4 : 0x80000000);
		cr_expect_eq(d.flags, i ? 0 : RAW_WRITE);
		cr_expect_eq(d.next, 0);
	}
}

Test(vq_drv, nothing_is_shown_before_publish)
{
	cr_expect_eq(fph_vq_drv_publish(&vq), -EAGAIN);
	hint(0x1000);
	hint(0x2000);
	cr_expect_eq(raw_read_avail_idx(&dev.vq[0]), 0);
	cr_expect_eq(vq.chains, 0);
	cr_expect_eq(fph_vq_drv_publish(&vq), 1);
	cr_expect_eq(raw_read_avail_idx(&dev.vq[0]), 2);
	cr_expect_eq(vq.chains, 2);
	cr_expect_eq(fph_vq_drv_publish(&vq), -EAGAIN);
	cr_expect_eq(raw_read_avail_idx(&dev.vq[0]), 2);
}

Test(vq_drv, the_device_sees_buffers_in_the_order_of_add)
{
	struct raw_desc d;
	uint16_t head;

	for (unsigned i = 0; i < N; i++)
		hint(0x1000u * (i + 1));
	cr_expect_eq(vq.free_count, 0);
	cr_expect_eq(fph_vq_drv_publish(&vq), 1);
	for (unsigned i = 0; i < N; i++) {
		cr_assert(raw_pop(&dev, 0, &head, &d));
		cr_expect_eq(d.gpa, 0x1000u * (i + 1));
	}
	cr_expect_not(raw_pop(&dev, 0, &head, &d));
}

Test(vq_drv, rings_unless_the_device_is_silent) /* V-16 */
{
	static const struct {
		uint16_t flags;
		int rc;
	} wish[] = { { 0, 1 }, { 1, 0 }, { 2, 1 }, { 3, 0 }, { 0xfffe, 1 }, { 0xffff, 0 } };

	for (unsigned i = 0; i < COUNT_OF(wish); i++) {
		hint(0x1000);
		raw_store_used_flags(&dev, 0, wish[i].flags);
		ram_st16(&ram, vq.place.device + 4 + 8 * N, (uint16_t)(i ^ 0x5555));
		cr_expect_eq(fph_vq_drv_publish(&vq), wish[i].rc, "%#x", wish[i].flags);
	}
}

Test(vq_drv, interrupts_are_asked_for_by_avail_flags) /* V-14: 0 or 1 */
{
	fph_vq_drv_interrupt(&vq, false);
	cr_expect_eq(raw_read_avail_flags(&dev.vq[0]), 1);
	fph_vq_drv_interrupt(&vq, true);
	cr_expect_eq(raw_read_avail_flags(&dev.vq[0]), 0);
	ram_st16(&ram, vq.place.driver, 0x4444);
	fph_vq_drv_interrupt(&vq, true);
	cr_expect_eq(raw_read_avail_flags(&dev.vq[0]), 0x4444, "no store without a change");
}

/* ------------------------------------------------------------ withdraw */

Test(vq_drv, withdraws_what_was_not_shown_oldest_first)
{
	hint(0x1000);
	cr_expect_eq(fph_vq_drv_publish(&vq), 1);
	hint(0x2000);
	hint(0x3000);
	cr_assert(fph_vq_drv_withdraw(&vq, &slot, &count) && count == 1);
	cr_expect_eq(slots[slot].gpa, 0x2000);
	cr_expect_eq(slots[slot].state, FPH_SLOT_HINT);
	fph_vq_drv_free(&vq, slot);
	cr_assert(fph_vq_drv_withdraw(&vq, &slot, &count) && count == 1);
	cr_expect_eq(slots[slot].gpa, 0x3000);
	fph_vq_drv_free(&vq, slot);
	cr_expect_not(fph_vq_drv_withdraw(&vq, &slot, &count), "the first one is the device's");
	cr_expect_eq(fph_vq_drv_publish(&vq), -EAGAIN);
	cr_expect_eq(raw_read_avail_idx(&dev.vq[0]), 1);
	cr_expect_eq(vq.free_count, N - 1);
}

Test(vq_drv, what_comes_after_a_withdrawal_takes_its_place_in_the_ring)
{
	struct raw_desc d;
	uint16_t head;

	hint(0x1000);
	cr_assert(fph_vq_drv_withdraw(&vq, &slot, &count));
	fph_vq_drv_free(&vq, slot);
	hint(0x2000);
	cr_expect_eq(fph_vq_drv_publish(&vq), 1);
	cr_assert(raw_pop(&dev, 0, &head, &d));
	cr_expect_eq(d.gpa, 0x2000);
	cr_expect_not(raw_pop(&dev, 0, &head, &d));
}

/* ------------------------------------------------------------ reap */

static uint16_t show_hint(uint64_t gpa)
{
	uint16_t i = fph_vq_drv_slot(&vq);

	hint(gpa);
	fph_vq_drv_publish(&vq);
	return i;
}

Test(vq_drv, reaps_what_the_device_used_in_its_order)
{
	uint16_t a = show_hint(0x1000), b = show_hint(0x2000);

	cr_expect_eq(reap(), 0);
	raw_use(&dev, 0, b, 0);
	raw_use(&dev, 0, a, 0);
	cr_expect_eq(reap(), 0, "used.idx has not moved");
	raw_show_used(&dev, 0);
	cr_assert_eq(reap(), 1);
	cr_expect_eq(slot, b);
	cr_expect_eq(slots[slot].gpa, 0x2000);
	cr_expect_eq(slots[slot].state, FPH_SLOT_HINT);
	cr_assert_eq(reap(), 1);
	cr_expect_eq(slot, a);
	cr_expect_eq(reap(), 0);
	cr_expect_eq(vq.chains, 0);
}

/* study 37: what the device writes over descriptors means nothing to this end */
Test(vq_drv, believes_its_own_copy_and_not_the_table)
{
	uint16_t a = show_hint(0x7000);

	memset(ram_at(&ram, RAM_LOW, 16 * N), 0xff, 16 * N);
	memset(ram_at(&ram, vq.place.driver, 6 + 2 * N), 0xff, 6 + 2 * N);
	raw_use(&dev, 0, a, 0);
	raw_show_used(&dev, 0);
	cr_assert_eq(reap(), 1);
	cr_expect(slots[slot].gpa == 0x7000 && slots[slot].len == 0x1000);
	fph_vq_drv_free(&vq, slot);
	hint(0x8000);
	cr_expect_eq(fph_vq_drv_publish(&vq), 1);
	cr_expect_eq(raw_read_avail_idx(&dev.vq[0]), 2, "own counters, not the ring's");
}

Test(vq_drv, a_used_id_that_is_no_entry_is_a_fault) /* row 48, study 33 */
{
	static const uint32_t ids[] = { N, N + 1, 255, 65535, 65536, 0x80000000, UINT32_MAX };

	for (unsigned i = 0; i < COUNT_OF(ids); i++) {
		prepare();
		show_hint(0x1000);
		raw_use(&dev, 0, ids[i], 0);
		raw_show_used(&dev, 0);
		expect_fault(FPH_RULE_USED_ID, 0, ids[i]);
		cr_expect_eq(vq.chains, 1, "nothing came back");
	}
}

Test(vq_drv, a_used_id_that_was_never_lent_is_a_fault) /* row 48, study 34 */
{
	uint16_t a = show_hint(0x1000);

	raw_use(&dev, 0, (a + 1u) % N, 0);
	raw_show_used(&dev, 0);
	expect_fault(FPH_RULE_USED_ID, 0, (a + 1u) % N);
}

Test(vq_drv, a_used_id_that_was_queued_and_not_shown_is_a_fault)
{
	uint16_t hidden;

	show_hint(0x1000);
	hidden = fph_vq_drv_slot(&vq);
	hint(0x2000);
	raw_use(&dev, 0, hidden, 0);
	raw_show_used(&dev, 0);
	expect_fault(FPH_RULE_USED_ID, 0, hidden);
}

Test(vq_drv, a_used_id_returned_twice_is_a_fault) /* row 48 */
{
	uint16_t a = show_hint(0x1000);

	show_hint(0x2000);
	raw_use(&dev, 0, a, 0);
	raw_use(&dev, 0, a, 0);
	raw_show_used(&dev, 0);
	cr_assert_eq(reap(), 1);
	expect_fault(FPH_RULE_USED_ID, 1, a);
}

Test(vq_drv, a_used_length_is_at_most_the_buffers) /* row 50, study 35; V-8 */
{
	static const uint32_t ok[] = { 0, 1, 0xfff, 0x1000 };
	static const uint32_t bad[] = { 0x1001, 0x2000, 0x80000000, UINT32_MAX };
	uint16_t a;

	for (unsigned i = 0; i < COUNT_OF(ok); i++) {
		a = show_hint(0x1000);
		raw_use(&dev, 0, a, ok[i]);
		raw_show_used(&dev, 0);
		cr_expect_eq(reap(), 1, "%#x", ok[i]);
		fph_vq_drv_free(&vq, slot);
	}
	for (unsigned i = 0; i < COUNT_OF(bad); i++) {
		prepare();
		a = show_hint(0x1000);
		raw_use(&dev, 0, a, bad[i]);
		raw_show_used(&dev, 0);
		expect_fault(FPH_RULE_USED_LEN, a, bad[i]);
		cr_expect_eq(vq.chains, 1, "nothing came back");
	}
}

Test(vq_drv, a_used_idx_beyond_what_was_shown_is_a_fault) /* row 49, study 36 */
{
	static const uint16_t ahead[] = { 3, 4, N, N + 1, 256, 32768, 65535 };

	for (unsigned i = 0; i < COUNT_OF(ahead); i++) {
		prepare();
		show_hint(0x1000);
		show_hint(0x2000);
		raw_store_used_idx(&dev, 0, ahead[i]);
		expect_fault(FPH_RULE_USED_AHEAD, 0, ahead[i]);
	}
}

Test(vq_drv, a_used_idx_is_not_ahead_by_what_was_only_queued)
{
	uint16_t a = show_hint(0x1000);

	hint(0x2000);
	raw_use(&dev, 0, a, 0);
	raw_store_used_idx(&dev, 0, 2);
	expect_fault(FPH_RULE_USED_AHEAD, 0, 2);
}

Test(vq_drv, an_empty_ring_returns_nothing)
{
	raw_store_used_idx(&dev, 0, 1);
	expect_fault(FPH_RULE_USED_AHEAD, 0, 1);
}

/* ------------------------------------------------------------ the long run */

Test(vq_drv, goes_round_the_indices_more_than_once)
{
	struct raw_desc d;
	uint16_t head;

	for (uint32_t i = 0; i < 140000; i++) {
		hint(UINT64_C(0x1000) * i);
		cr_assert_eq(fph_vq_drv_publish(&vq), 1);
		cr_assert_eq(raw_read_avail_idx(&dev.vq[0]), (uint16_t)(i + 1));
		cr_assert(raw_pop(&dev, 0, &head, &d));
		cr_assert_eq(d.gpa, UINT64_C(0x1000) * i);
		raw_use(&dev, 0, head, 0);
		raw_show_used(&dev, 0);
		cr_assert_eq(reap(), 1);
		cr_assert_eq(slots[slot].gpa, UINT64_C(0x1000) * i);
		fph_vq_drv_free(&vq, slot);
		cr_assert_eq(vq.free_count, N);
	}
}

Test(vq_drv, every_entry_is_used_again_after_it_was_freed)
{
	bool seen[N] = { false };

	for (unsigned i = 0; i < N; i++) {
		uint16_t s = show_hint(0x1000u * (i + 1));

		cr_assert_lt(s, N);
		cr_expect_not(seen[s], "entry %u is lent twice", s);
		seen[s] = true;
	}
	cr_expect_eq(vq.free_count, 0);
	for (uint16_t i = 0; i < N; i++)
		raw_use(&dev, 0, (uint16_t)(N - 1 - i), 0);
	raw_show_used(&dev, 0);
	for (unsigned i = 0; i < N; i++) {
		cr_assert_eq(reap(), 1);
		fph_vq_drv_free(&vq, slot);
	}
	for (unsigned i = 0; i < N; i++)
		hint(0x1000);
	cr_expect_eq(vq.free_count, 0);
	cr_expect_eq(fph_vq_drv_publish(&vq), 1);
}

/* ------------------------------------------------------------ chains of several ranges */

static void place_batch(uint16_t batch)
{
	fph_vq_drv_place(&vq, slots, ram_at(&ram, RAM_LOW, 0x1000), RAM_LOW, N,
			 (struct fph_vq_format){ 0 }, batch);
}

/* V-5: a chain holds no more than 2^32 bytes, however many ranges it may have. */
Test(vq_drv, a_chain_ends_before_its_length_does_not_fit)
{
	place_batch(4);
	for (unsigned i = 0; i < 3; i++)
		fph_vq_drv_add(&vq, RAM_FAR + ((uint64_t)i << 31), UINT32_C(0x80000000),
			       FPH_SLOT_HINT);
	cr_assert_eq(fph_vq_drv_publish(&vq), 1);
	cr_expect_eq(raw_read_avail_idx(&dev.vq[0]), 3);
	for (uint16_t i = 0; i < 3; i++)
		cr_expect_eq(raw_read_desc(&dev.vq[0], i).flags, RAW_WRITE, "%u", i);
}

/* BH-1, BH-18: a command is a buffer of its own, and no part of a chain of hints. */
Test(vq_drv, a_message_ends_the_chain_in_the_making)
{
	place_batch(4);
	hint(RAM_FAR);
	hint(RAM_FAR + 0x2000);
	fph_vq_drv_add(&vq, RAM_LOW + 0x800, 4, FPH_SLOT_MESSAGE);
	hint(RAM_FAR + 0x4000);
	cr_assert_eq(fph_vq_drv_publish(&vq), 1);
	cr_expect_eq(raw_read_avail_idx(&dev.vq[0]), 3);
	cr_expect_eq(raw_read_desc(&dev.vq[0], 0).flags, RAW_WRITE | RAW_NEXT);
	cr_expect_eq(raw_read_desc(&dev.vq[0], 1).flags, RAW_WRITE);
	cr_expect_eq(raw_read_desc(&dev.vq[0], 2).flags, 0);
	cr_expect_eq(raw_read_desc(&dev.vq[0], 3).flags, RAW_WRITE);
}
