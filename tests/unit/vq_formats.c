/* SPDX-License-Identifier: MIT */
#include "support/ram.h"
#include "vq.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/*
 * What the other ring formats look like in memory, byte by byte, and what a hostile end
 * may do to them.  tests/scenario/formats.c shows that they all tell the same story.
 */
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define N	    8u
#define AVAIL	    0x80u
#define USED	    0x8000u
#define WRITE	    2u
#define NEXT	    1u
#define INDIRECT    4u

static struct ram ram;
static struct fph_guest_slot slots[N];
static struct fph_vq_drv drv;
static struct fph_vq_dev dev;
static struct fph_fault fault;
static uint16_t slot, count;

static const struct fph_vq_format split, packed = { .packed = true };

static void place(struct fph_vq_format format, uint16_t batch)
{
	ram_init(&ram);
	memset(&fault, 0, sizeof(fault));
	fph_vq_drv_place(&drv, slots, ram_at(&ram, RAM_LOW, 0x1000), RAM_LOW, N, format, batch);
	cr_assert_eq(fph_vq_dev_enable(&dev, &ram.mem, &drv.place, N, format), FPH_RULE_NONE);
}

static void hint(uint64_t gpa)
{
	fph_vq_drv_add(&drv, gpa, 0x1000, FPH_SLOT_HINT);
}

static uint16_t flags_at(unsigned i)
{
	return ram_ld16(&ram, RAM_LOW + 16 * i + 14);
}

static uint16_t id_at(unsigned i)
{
	return ram_ld16(&ram, RAM_LOW + 16 * i + 12);
}

/* A descriptor of a packed ring, as a driver writes it. */
static void put(unsigned i, uint64_t gpa, uint32_t len, uint16_t id, unsigned flags)
{
	ram_st64(&ram, RAM_LOW + 16 * i, gpa);
	ram_st32(&ram, RAM_LOW + 16 * i + 8, len);
	ram_st16(&ram, RAM_LOW + 16 * i + 12, id);
	ram_st16(&ram, RAM_LOW + 16 * i + 14, (uint16_t)flags);
}

static int next(struct fph_vq_buf *buf)
{
	return fph_vq_dev_next(&dev, buf, &fault);
}

static void expect_fault(enum fph_rule rule)
{
	struct fph_vq_buf buf;

	cr_expect_eq(next(&buf), -EPROTO);
	cr_expect_eq(fault.rule, rule, "\"%s\" and not \"%s\"", fph_rule_name(fault.rule),
		     fph_rule_name(rule));
}

static int reap(void)
{
	return fph_vq_drv_reap(&drv, &slot, &count, &fault);
}

/* Show what is queued, walk it, return it, reap it. */
static void go_round(unsigned chains)
{
	struct fph_vq_buf buf;

	fph_vq_drv_publish(&drv);
	for (unsigned i = 0; i < chains;) {
		cr_assert_eq(next(&buf), 1);
		i += buf.last;
	}
	cr_expect_geq(fph_vq_dev_return(&dev, false), 0);
	for (unsigned i = 0; i < chains; i++) {
		cr_assert_eq(reap(), 1);
		for (uint16_t k = 0; k < count; k++)
			fph_vq_drv_free(&drv, (uint16_t)(slot + k) % N);
	}
	cr_expect_eq(reap(), 0);
}

/* ------------------------------------------------------------ packed: driver */

Test(packed, p1_parts_are_aligned_and_n_need_not_be_a_power_of_two)
{
	static const uint16_t sizes[] = { 1, 3, 7, 100 };
	struct fph_vq_place at = { RAM_LOW, RAM_LOW + 0x2000, RAM_LOW + 0x2004, 0, 0 };
	struct fph_vq_place odd;

	ram_init(&ram);
	for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
		at.size = sizes[i];
		cr_expect_eq(fph_vq_dev_enable(&dev, &ram.mem, &at, 128, packed), FPH_RULE_NONE);
		cr_expect_eq(fph_vq_dev_enable(&dev, &ram.mem, &at, 128, split),
			     sizes[i] == 1 ? FPH_RULE_NONE : FPH_RULE_RING_SIZE);
	}
	odd = at;
	odd.desc += 8;
	cr_expect_eq(fph_vq_dev_enable(&dev, &ram.mem, &odd, 128, packed), FPH_RULE_RING_ALIGN);
	odd = at;
	odd.driver += 2;
	cr_expect_eq(fph_vq_dev_enable(&dev, &ram.mem, &odd, 128, packed), FPH_RULE_RING_ALIGN);
	odd = at;
	odd.device += 1;
	cr_expect_eq(fph_vq_dev_enable(&dev, &ram.mem, &odd, 128, packed), FPH_RULE_RING_ALIGN);
	odd = at;
	odd.index = at.size;
	cr_expect_eq(fph_vq_dev_enable(&dev, &ram.mem, &odd, 128, packed), FPH_RULE_RING_SIZE);
	for (unsigned n = 4; n <= N; n *= 2) {
		place(packed, 1);
		cr_expect_eq(drv.place.driver % 4, 0);
		cr_expect_eq(drv.place.device % 4, 0);
	}
}

Test(packed, p2_flags_change_their_meaning_with_each_lap)
{
	place(packed, 1);
	for (unsigned i = 0; i < 3 * N; i++) {
		bool odd = i / N % 2;

		hint(0x1000);
		fph_vq_drv_publish(&drv);
		cr_expect_eq(flags_at(i % N), WRITE | (odd ? USED : AVAIL), "%u", i);
		go_round(1);
		cr_expect_eq(flags_at(i % N), odd ? 0 : AVAIL | USED, "%u", i);
	}
}

Test(packed, p7_the_first_descriptor_is_shown_last)
{
	struct fph_vq_buf buf;

	place(packed, 1);
	for (unsigned i = 0; i < 4; i++)
		hint(0x1000u * (i + 1));
	cr_expect_eq(flags_at(0), 0, "hidden");
	cr_expect_eq(flags_at(1), WRITE | AVAIL, "and so is all behind it");
	cr_expect_eq(next(&buf), 0);
	cr_expect_eq(fph_vq_drv_publish(&drv), 1);
	cr_expect_eq(flags_at(0), WRITE | AVAIL);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(next(&buf), 1);
		cr_expect_eq(buf.gpa, 0x1000u * (i + 1));
	}
}

Test(packed, p8_the_id_stands_in_the_last_descriptor_of_a_list)
{
	place(packed, 3);
	fph_vq_drv_add(&drv, 0x40, 4, FPH_SLOT_MESSAGE);
	for (unsigned i = 0; i < 3; i++)
		hint(0x1000u * (i + 1));
	fph_vq_drv_publish(&drv);
	cr_expect_eq(flags_at(0), AVAIL);
	cr_expect_eq(flags_at(1), AVAIL | WRITE | NEXT);
	cr_expect_eq(flags_at(2), AVAIL | WRITE | NEXT);
	cr_expect_eq(flags_at(3), AVAIL | WRITE);
	cr_expect_eq(id_at(0), 0);
	cr_expect_eq(id_at(3), 1, "the list's first slot");
	go_round(2);
	cr_expect_eq(count, 3);
}

Test(packed, what_is_withdrawn_is_not_shown_by_what_comes_after_it)
{
	struct fph_vq_buf buf;

	for (unsigned laps = 0; laps < 2 * N; laps++) {
		place(packed, 1);
		for (unsigned i = 0; i < laps; i++) {
			hint(0x7000);
			go_round(1);
		}
		for (unsigned i = 0; i < 4; i++)
			hint(0x1000);
		while (fph_vq_drv_withdraw(&drv, &slot, &count))
			fph_vq_drv_free(&drv, slot);
		hint(0x2000);
		fph_vq_drv_publish(&drv);
		cr_assert_eq(next(&buf), 1);
		cr_expect_eq(buf.gpa, 0x2000);
		cr_expect_eq(next(&buf), 0, "lap %u", laps);
	}
}

/* ------------------------------------------------------------ packed: a hostile driver */

Test(packed, p4_a_descriptor_is_used_only_when_it_is_available)
{
	static const unsigned not_yet[] = { 0, USED, AVAIL | USED, WRITE, WRITE | USED };
	struct fph_vq_buf buf;

	for (unsigned i = 0; i < COUNT_OF(not_yet); i++) {
		place(packed, 1);
		put(0, 0x1000, 0x1000, 0, not_yet[i]);
		cr_expect_eq(next(&buf), 0, "%#x", not_yet[i]);
		cr_expect_eq(fph_vq_dev_look(&dev, &fault), 0);
	}
}

/* Whatever ids they have, and in bulk as one by one. */
Test(packed, p3_p9_descriptors_are_taken_and_used_in_the_rings_order)
{
	static const struct fph_vq_window all = { RAM_HIGH, 0x10000, 0xfff };
	struct fph_range out[N];
	struct fph_vq_buf buf;

	for (unsigned bulk = 0; bulk < 2; bulk++) {
		place(packed, 1);
		for (unsigned i = 0; i < 4; i++)
			put(i, RAM_HIGH + 0x1000 * i, 0x1000, (uint16_t)(7 - i), AVAIL | WRITE);
		if (bulk)
			cr_assert_eq(fph_vq_dev_take(&dev, &all, out, N), 4);
		for (unsigned i = 0; i < 4; i++) {
			if (!bulk)
				cr_assert_eq(next(&buf), 1);
			cr_expect_eq(bulk ? out[i].gpa : buf.gpa, RAM_HIGH + 0x1000 * i);
		}
		cr_expect_geq(fph_vq_dev_return(&dev, false), 0);
		for (unsigned i = 0; i < 4; i++) {
			cr_expect_eq(id_at(i), 7 - i);
			cr_expect_eq(flags_at(i), AVAIL | USED);
		}
	}
	place(packed, 1);
	for (unsigned i = 0; i < 3; i++)
		put(i, RAM_HIGH + 0x1000 * i, 0x1000, 5, AVAIL | WRITE | (i < 2 ? NEXT : 0));
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(next(&buf), 1);
		cr_expect_eq(buf.gpa, RAM_HIGH + 0x1000 * i);
		cr_expect_eq(buf.last, i == 2);
	}
	cr_expect_eq(next(&buf), 0);
}

Test(packed, p7_a_list_that_is_not_all_there_is_a_fault)
{
	struct fph_vq_buf buf;

	place(packed, 1);
	put(0, 0x1000, 0x1000, 0, AVAIL | NEXT);
	cr_expect_eq(next(&buf), 1);
	expect_fault(FPH_RULE_CHAIN_TORN);
}

Test(packed, p7_a_list_without_an_end_is_a_fault)
{
	struct fph_vq_buf buf;

	place(packed, 1);
	for (unsigned i = 0; i < N; i++)
		put(i, 0x1000, 0x1000, 0, AVAIL | NEXT);
	for (unsigned i = 0; i < N; i++)
		cr_expect_eq(next(&buf), 1, "%u", i);
	cr_expect_eq(next(&buf), -EPROTO);
	cr_expect_eq(fault.rule, FPH_RULE_CHAIN_LONG);
}

/* What is in hand stays in hand, however often it is made available again. */
Test(packed, p5_no_more_than_the_ring_is_ever_taken)
{
	struct fph_vq_buf buf;

	place(packed, 1);
	for (unsigned i = 0; i < N; i++)
		put(i, 0x1000, 0x1000, 0, AVAIL | WRITE);
	for (unsigned i = 0; i < N; i++)
		cr_expect_eq(next(&buf), 1);
	for (unsigned i = 0; i < N; i++)
		put(i, 0x1000, 0x1000, 0, USED | WRITE); /* available in the next lap */
	cr_expect_eq(next(&buf), 0);
	cr_expect_eq(fph_vq_dev_look(&dev, &fault), 0);
}

/* The lists are looked for again when they are returned: a driver may have changed them. */
Test(packed, lists_that_change_in_hand_harm_the_drivers_ring_only)
{
	struct fph_vq_buf buf;

	for (unsigned flags = 0; flags < 8; flags++) {
		place(packed, 1);
		memset(ram_at(&ram, RAM_LOW + 0x800, 0x800), 0x5a, 0x800);
		for (unsigned i = 0; i < 4; i++)
			put(i, 0x1000, 0x1000, (uint16_t)i, AVAIL | WRITE);
		for (unsigned i = 0; i < 4; i++)
			cr_expect_eq(next(&buf), 1);
		for (unsigned i = 0; i < 4; i++)
			put(i, 0x1000, 0x1000, 0xffff, flags);
		cr_expect_geq(fph_vq_dev_return(&dev, false), 0);
		cr_expect_eq(dev.used, 4);
		cr_expect_eq(dev.used_pos, FPH_WRAP | 4);
		cr_expect_eq(flags_at(4), 0, "not beyond the batch");
		for (unsigned i = 0x800; i < 0x1000; i++)
			cr_assert_eq(*ram_at(&ram, RAM_LOW + i, 1), 0x5a);
		put(4, 0x9000, 0x1000, 0, AVAIL | WRITE);
		cr_expect_eq(next(&buf), 1, "it goes on behind them");
		cr_expect_eq(buf.gpa, 0x9000);
	}
}

/* ------------------------------------------------------------ packed: a hostile device */

Test(packed, p11_a_used_id_that_was_not_lent_is_a_fault)
{
	static const uint16_t ids[] = { 1, 2, N - 1, N, 255, 0x7fff, 0xffff };

	for (unsigned i = 0; i < COUNT_OF(ids); i++) {
		place(packed, 1);
		hint(0x1000);
		fph_vq_drv_publish(&drv);
		put(0, 0, 0, ids[i], AVAIL | USED);
		cr_expect_eq(reap(), -EPROTO, "%u", ids[i]);
		cr_expect_eq(fault.rule, FPH_RULE_USED_ID);
		cr_expect_eq(drv.chains, 1, "nothing came back");
	}
}

Test(packed, p11_the_length_counts_only_with_the_write_flag)
{
	place(packed, 1);
	hint(0x1000);
	fph_vq_drv_publish(&drv);
	put(0, 0, 0xffffffff, 0, AVAIL | USED);
	cr_expect_eq(reap(), 1);
	place(packed, 1);
	hint(0x1000);
	fph_vq_drv_publish(&drv);
	put(0, 0, 0x1001, 0, AVAIL | USED | WRITE);
	cr_expect_eq(reap(), -EPROTO);
	cr_expect_eq(fault.rule, FPH_RULE_USED_LEN);
}

Test(packed, p5_what_only_looks_used_is_not)
{
	place(packed, 1);
	cr_expect_eq(reap(), 0);
	hint(0x1000);
	fph_vq_drv_publish(&drv);
	cr_expect_eq(reap(), 0);
	put(0, 0, 0, 0, USED);
	cr_expect_eq(reap(), 0);
	put(0, 0, 0, 0, 0);
	cr_expect_eq(reap(), 0, "used in the lap before");
}

/* ------------------------------------------------------------ event suppression */

Test(packed, p12_p13_doorbells_by_event)
{
	static const struct {
		uint32_t event; /* as the device wrote it */
		bool ring;
	} wish[] = {
		{ 0x00000000, true },  /* enable */
		{ 0x00010000, false }, /* disable */
		{ 0x00028003, true },  /* at 3, which was passed: 2 to 5 are shown */
		{ 0x00028002, true },  { 0x00028005, true },  { 0x00028006, false },
		{ 0x00028001, false }, { 0x00020003, false }, /* of the other lap */
		{ 0x0002ffff, true }, /* no position at all: rather once too often */
		{ 0x00030000, true }, /* reserved */
	};

	for (unsigned i = 0; i < COUNT_OF(wish); i++) {
		place((struct fph_vq_format){ .packed = true, .event_idx = true }, 1);
		hint(0x1000);
		hint(0x1000);
		fph_vq_drv_publish(&drv);
		for (unsigned k = 0; k < 4; k++)
			hint(0x1000);
		ram_st32(&ram, drv.place.device, wish[i].event);
		cr_expect_eq(fph_vq_drv_publish(&drv), wish[i].ring, "%#x", wish[i].event);
	}
}

Test(packed, p6_p12_the_device_asks_for_the_next_descriptor)
{
	struct fph_vq_buf buf;

	place((struct fph_vq_format){ .packed = true, .event_idx = true }, 1);
	hint(0x1000);
	fph_vq_drv_publish(&drv);
	fph_vq_dev_doorbell(&dev, false);
	cr_expect_eq(ram_ld32(&ram, drv.place.device) >> 16, 1);
	cr_expect_eq(next(&buf), 1);
	fph_vq_dev_doorbell(&dev, true);
	cr_expect_eq(ram_ld32(&ram, drv.place.device), 0x00028001u);
	place(packed, 1);
	fph_vq_dev_doorbell(&dev, false);
	fph_vq_dev_doorbell(&dev, true);
	cr_expect_eq(ram_ld32(&ram, drv.place.device) >> 16, 0, "enable: no event idx, no DESC");
}

Test(event_idx, v16_a_doorbell_only_when_the_index_is_passed)
{
	static const struct {
		uint16_t event;
		bool ring;
	} wish[] = { { 1, false }, { 2, true },	      { 3, true },	{ 5, true },
		     { 6, false }, { 0x8002, false }, { 0xffff, false } };

	for (unsigned i = 0; i < COUNT_OF(wish); i++) {
		place((struct fph_vq_format){ .event_idx = true }, 1);
		hint(0x1000);
		hint(0x1000);
		fph_vq_drv_publish(&drv);
		for (unsigned k = 0; k < 4; k++)
			hint(0x1000);
		ram_st16(&ram, drv.place.device, 1); /* the flags mean nothing */
		ram_st16(&ram, drv.place.device + 4 + 8 * N, wish[i].event);
		cr_expect_eq(fph_vq_drv_publish(&drv), wish[i].ring, "%u", wish[i].event);
	}
}

Test(event_idx, v15_an_interrupt_only_when_the_index_is_passed)
{
	struct fph_vq_buf buf;

	for (unsigned event = 0; event < 4; event++) {
		place((struct fph_vq_format){ .event_idx = true }, 1);
		for (unsigned i = 0; i < 3; i++)
			hint(0x1000);
		fph_vq_drv_publish(&drv);
		for (unsigned i = 0; i < 3; i++)
			cr_assert_eq(next(&buf), 1);
		ram_st16(&ram, drv.place.driver, 1); /* the flags mean nothing */
		ram_st16(&ram, drv.place.driver + 4 + 2 * N, (uint16_t)event);
		cr_expect_eq(fph_vq_dev_return(&dev, false), event < 3, "%u", event);
	}
}

Test(event_idx, v14_v17_flags_stay_zero)
{
	place((struct fph_vq_format){ .event_idx = true }, 1);
	fph_vq_drv_interrupt(&drv, false);
	fph_vq_dev_doorbell(&dev, false);
	cr_expect_eq(ram_ld16(&ram, drv.place.driver), 0);
	cr_expect_eq(ram_ld16(&ram, drv.place.device), 0);
	fph_vq_drv_interrupt(&drv, true);
	fph_vq_dev_doorbell(&dev, true);
	cr_expect_eq(ram_ld16(&ram, drv.place.driver), 0);
	cr_expect_eq(ram_ld16(&ram, drv.place.device), 0);
}

/* ------------------------------------------------------------ indirect */

/* A table of n entries at LOW + 0x800, which chain. */
static void table(unsigned n, unsigned flags)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t at = RAM_LOW + 0x800 + 16 * i;

		ram_st64(&ram, at, 0x1000u * (i + 1));
		ram_st32(&ram, at + 8, 0x1000);
		ram_st16(&ram, at + 12, (uint16_t)(flags | (i + 1 < n ? NEXT : 0)));
		ram_st16(&ram, at + 14, (uint16_t)(i + 1));
	}
}

/* Descriptor 0 of a split ring leads to it. */
static void lead(uint64_t gpa, uint32_t len, unsigned flags)
{
	ram_st64(&ram, RAM_LOW, gpa);
	ram_st32(&ram, RAM_LOW + 8, len);
	ram_st16(&ram, RAM_LOW + 12, (uint16_t)flags);
	ram_st16(&ram, drv.place.driver + 4, 0);
	ram_st16(&ram, drv.place.driver + 2, 1);
}

static const struct fph_vq_format indirect = { .indirect = true };

Test(indirect, v10_tables_that_cannot_be_are_faults)
{
	static const struct {
		uint64_t gpa;
		uint32_t len;
		unsigned flags;
		enum fph_rule rule;
	} bad[] = {
		{ RAM_LOW + 0x800, 0, INDIRECT, FPH_RULE_TABLE_SIZE },
		{ RAM_LOW + 0x800, 15, INDIRECT, FPH_RULE_TABLE_SIZE },
		{ RAM_LOW + 0x800, 17, INDIRECT, FPH_RULE_TABLE_SIZE },
		{ RAM_LOW + 0x800, 16 * (N + 1), INDIRECT, FPH_RULE_TABLE_SIZE },
		{ RAM_LOW + 0x800, 0xfffffff0, INDIRECT, FPH_RULE_TABLE_SIZE },
		{ RAM_HOLE, 16, INDIRECT, FPH_RULE_TABLE_MEMORY },
		{ RAM_FAR, 16, INDIRECT, FPH_RULE_TABLE_MEMORY },
		{ RAM_HOLE - 16, 32, INDIRECT, FPH_RULE_TABLE_MEMORY },
		{ UINT64_MAX - 15, 32, INDIRECT, FPH_RULE_TABLE_MEMORY },
		{ RAM_LOW + 0x800, 16, INDIRECT | NEXT, FPH_RULE_TABLE_NESTED },
	};

	for (unsigned i = 0; i < COUNT_OF(bad); i++) {
		place(indirect, 1);
		lead(bad[i].gpa, bad[i].len, bad[i].flags);
		expect_fault(bad[i].rule);
	}
}

/* V-5: as long as the ring; Linux's free page reporting makes such tables. */
Test(indirect, v5_a_table_may_be_as_long_as_the_ring)
{
	static const struct fph_vq_format formats[] = { { .indirect = true },
							{ .packed = true, .indirect = true } };
	struct fph_vq_buf buf;

	for (unsigned f = 0; f < 2; f++) {
		place(formats[f], N);
		for (unsigned i = 0; i < N; i++)
			hint(RAM_HIGH + 0x1000 * i);
		fph_vq_drv_publish(&drv);
		for (unsigned i = 0; i < N; i++) {
			cr_assert_eq(next(&buf), 1, "%s", fph_rule_name(fault.rule));
			cr_expect_eq(buf.gpa, RAM_HIGH + 0x1000 * i);
			cr_expect_eq(buf.last, i == N - 1);
		}
		cr_expect_geq(fph_vq_dev_return(&dev, false), 0);
		cr_expect_eq(reap(), 1);
		cr_expect_eq(count, N);
	}
}

Test(indirect, v10_a_table_in_a_table_is_a_fault)
{
	place(indirect, 1);
	table(1, INDIRECT);
	lead(RAM_LOW + 0x800, 16, INDIRECT);
	expect_fault(FPH_RULE_TABLE_NESTED);
}

Test(indirect, a_table_that_loops_or_leaves_itself_is_a_fault)
{
	struct fph_vq_buf buf;
	int rc;

	place(indirect, 1);
	table(4, 0);
	ram_st16(&ram, RAM_LOW + 0x800 + 16 + 14, 0); /* the second leads to the first */
	lead(RAM_LOW + 0x800, 64, INDIRECT);
	for (unsigned i = 0; (rc = next(&buf)) > 0; i++)
		cr_assert_lt(i, 2 * N);
	cr_expect_eq(fault.rule, FPH_RULE_CHAIN_LONG);
	place(indirect, 1);
	table(4, 0);
	lead(RAM_LOW + 0x800, 32, INDIRECT); /* two of the four */
	cr_expect_eq(next(&buf), 1);
	expect_fault(FPH_RULE_NEXT_RANGE);
}

Test(indirect, v11_the_write_flag_of_the_leading_descriptor_means_nothing)
{
	struct fph_vq_buf buf;

	place(indirect, 1);
	table(2, 0);
	lead(RAM_LOW + 0x800, 32, INDIRECT | WRITE);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(next(&buf), 1);
		cr_expect(!buf.writable && buf.gpa == 0x1000u * (i + 1));
	}
	cr_expect(buf.last);
}

Test(indirect, v11_direct_descriptors_may_stand_before_the_table)
{
	struct fph_vq_buf buf;

	place(indirect, 1);
	table(2, WRITE);
	lead(0x7000, 4, NEXT);
	ram_st16(&ram, RAM_LOW + 14, 5);
	ram_st64(&ram, RAM_LOW + 16 * 5, RAM_LOW + 0x800);
	ram_st32(&ram, RAM_LOW + 16 * 5 + 8, 32);
	ram_st16(&ram, RAM_LOW + 16 * 5 + 12, INDIRECT);
	cr_assert_eq(next(&buf), 1);
	cr_expect(buf.gpa == 0x7000 && buf.first);
	cr_assert_eq(next(&buf), 1);
	cr_expect(buf.gpa == 0x1000 && buf.writable && !buf.first);
	cr_assert_eq(next(&buf), 1);
	cr_expect(buf.gpa == 0x2000 && buf.last);
}

/* Memory may go while a table is walked. */
Test(indirect, a_table_in_memory_that_goes_is_a_ring_that_goes)
{
	struct fph_mem less = { ram.regions, 1 };
	struct fph_vq_buf buf;

	place(indirect, 1);
	ram_st64(&ram, RAM_HIGH, 0x1000);
	ram_st32(&ram, RAM_HIGH + 8, 16);
	ram_st16(&ram, RAM_HIGH + 12, NEXT);
	ram_st16(&ram, RAM_HIGH + 14, 1);
	lead(RAM_HIGH, 32, INDIRECT);
	cr_assert_eq(next(&buf), 1);
	less.regions = ram.regions;
	cr_expect_eq(fph_vq_dev_move(&dev, &less), FPH_RULE_RING_GONE);
}

Test(indirect, p10_a_packed_table_is_walked_in_order_and_stands_alone)
{
	struct fph_vq_buf buf;

	place((struct fph_vq_format){ .packed = true, .indirect = true }, 1);
	for (unsigned i = 0; i < 2; i++) {
		ram_st64(&ram, RAM_LOW + 0x800 + 16 * i, 0x1000u * (i + 1));
		ram_st32(&ram, RAM_LOW + 0x800 + 16 * i + 8, 0x1000);
		ram_st16(&ram, RAM_LOW + 0x800 + 16 * i + 12, 0xffff);	     /* an id: ignored */
		ram_st16(&ram, RAM_LOW + 0x800 + 16 * i + 14, WRITE | NEXT); /* so is NEXT */
	}
	put(0, RAM_LOW + 0x800, 32, 3, AVAIL | INDIRECT);
	cr_assert_eq(next(&buf), 1);
	cr_expect(buf.gpa == 0x1000 && buf.writable && !buf.last);
	cr_assert_eq(next(&buf), 1);
	cr_expect(buf.gpa == 0x2000 && buf.last);
	cr_expect_eq(fph_vq_dev_return(&dev, false), 1);
	cr_expect_eq(id_at(0), 3);
	put(1, 0x1000, 4, 0, AVAIL | NEXT);
	put(2, RAM_LOW + 0x800, 32, 3, AVAIL | INDIRECT);
	cr_assert_eq(next(&buf), 1);
	expect_fault(FPH_RULE_TABLE_NESTED);
}

Test(indirect, a_batch_of_hints_takes_one_entry)
{
	place(indirect, 4);
	for (unsigned i = 0; i < 4; i++)
		hint(0x1000u * (i + 1));
	cr_expect_eq(fph_vq_drv_publish(&drv), 1);
	cr_expect_eq(ram_ld16(&ram, drv.place.driver + 2), 1);
	cr_expect_eq(ram_ld16(&ram, RAM_LOW + 12), INDIRECT);
	cr_expect_eq(ram_ld32(&ram, RAM_LOW + 8), 64);
	go_round(1);
	cr_expect_eq(count, 4);
	cr_expect_eq(drv.free_count, N);
}

/* ------------------------------------------------------------ in order */

static const struct fph_vq_format in_order = { .in_order = true };

Test(in_order, v12_descriptors_are_taken_in_order_and_lead_to_the_next)
{
	place(in_order, 3);
	for (unsigned laps = 0; laps < 3; laps++) {
		for (unsigned i = 0; i < 3; i++)
			hint(0x1000);
		fph_vq_drv_publish(&drv);
		for (unsigned i = 0; i < 2; i++) {
			unsigned at = (3 * laps + i) % N;

			cr_expect_eq(ram_ld16(&ram, RAM_LOW + 16 * at + 14), (at + 1) % N);
		}
		go_round(1);
		cr_assert(drv.free_count == N);
		if (laps == 1) /* the table's end splits the list of slots */
			break;
	}
}

Test(in_order, v13_one_used_entry_closes_a_batch)
{
	struct fph_vq_buf buf;

	place(in_order, 1);
	for (unsigned i = 0; i < 5; i++)
		hint(0x1000u * (i + 1));
	fph_vq_drv_publish(&drv);
	memset(ram_at(&ram, drv.place.device + 4, 8 * N), 0xee, 8 * N);
	for (unsigned i = 0; i < 5; i++)
		cr_assert_eq(next(&buf), 1);
	fph_vq_dev_return(&dev, false);
	cr_expect_eq(ram_ld16(&ram, drv.place.device + 2), 5);
	cr_expect_eq(ram_ld32(&ram, drv.place.device + 4), 4, "the last one's head");
	cr_expect_eq(ram_ld32(&ram, drv.place.device + 4 + 8), 0xeeeeeeee, "and no more");
	for (unsigned i = 0; i < 5; i++) {
		cr_assert_eq(reap(), 1);
		cr_expect_eq(slots[slot].gpa, 0x1000u * (i + 1));
	}
	cr_expect_eq(reap(), 0);
}

Test(in_order, v13_a_device_may_close_them_one_by_one)
{
	place(in_order, 1);
	for (unsigned i = 0; i < 3; i++)
		hint(0x1000);
	fph_vq_drv_publish(&drv);
	for (unsigned i = 0; i < 3; i++) {
		ram_st32(&ram, drv.place.device + 4 + 8 * i, i);
		ram_st32(&ram, drv.place.device + 8 + 8 * i, 0);
	}
	ram_st16(&ram, drv.place.device + 2, 3);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(reap(), 1);
	cr_expect_eq(reap(), 0);
}

/* Of a batch the length is the last one's: nothing that its first, here START, has room for. */
Test(in_order, v13_the_length_is_that_of_the_last)
{
	for (unsigned f = 0; f < 2; f++) {
		place((struct fph_vq_format){ .in_order = true, .packed = f }, 1);
		fph_vq_drv_add(&drv, RAM_LOW + 0x800, 4, FPH_SLOT_MESSAGE);
		hint(0x1000);
		fph_vq_drv_publish(&drv);
		if (f) {
			put(0, 0, 0x1000, 1, AVAIL | USED | WRITE);
		} else {
			ram_st32(&ram, drv.place.device + 4, 1);
			ram_st32(&ram, drv.place.device + 8, 0x1000);
			ram_st16(&ram, drv.place.device + 2, 2);
		}
		cr_expect_eq(reap(), 1, "format %u: %s", f, fph_rule_name(fault.rule));
		cr_expect_eq(reap(), 1);
		cr_expect_eq(reap(), 0);
	}
}

Test(in_order, v13_a_batch_beyond_the_index_or_of_a_foreign_id_is_a_fault)
{
	static const uint32_t ids[] = { 1, 2, 3, N, 0xffffffff };

	for (unsigned f = 0; f < 2; f++) {
		for (unsigned i = 0; i < COUNT_OF(ids); i++) {
			place((struct fph_vq_format){ .in_order = true, .packed = f }, 1);
			for (unsigned k = 0; k < 3; k++)
				hint(0x1000);
			fph_vq_drv_publish(&drv);
			if (f) {
				if (ids[i] < 3)
					continue; /* no index bounds a packed batch */
				put(0, 0, 0, (uint16_t)ids[i], AVAIL | USED);
			} else {
				ram_st32(&ram, drv.place.device + 4, ids[i]);
				ram_st32(&ram, drv.place.device + 8, 0);
				ram_st16(&ram, drv.place.device + 2, 1);
			}
			cr_expect_eq(reap(), -EPROTO, "%u", ids[i]);
			cr_expect_eq(fault.rule, FPH_RULE_USED_ID);
			cr_expect_eq(drv.chains, 3, "nothing came back");
		}
	}
}

Test(in_order, p11_a_packed_batch_is_closed_by_one_descriptor)
{
	place((struct fph_vq_format){ .in_order = true, .packed = true }, 1);
	for (unsigned i = 0; i < 3; i++)
		hint(0x1000u * (i + 1));
	go_round(3);
	cr_expect_eq(flags_at(0), AVAIL | USED);
	cr_expect_eq(id_at(0), 2, "the last one's id");
	cr_expect_eq(flags_at(1), WRITE | AVAIL, "and no more");
}
