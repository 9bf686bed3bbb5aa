/* SPDX-License-Identifier: MIT */
/*
 * What a driver may put into a hint, and where: rows 27 to 38 of the list of hostile
 * inputs that concern ranges.  Commands are in bh_device.c.
 */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct rig r;

static void prepare(void)
{
	rig_up(&r, 0);
}

TestSuite(hostile_hints, .init = prepare);

static struct fph_device_stats stats(void)
{
	return loop_device_stats(&r.l);
}

/* One hint in a round of its own: what comes of it. */
static const struct {
	const char *what;
	uint64_t gpa;
	uint32_t len;
	unsigned n;
	struct fph_range out[3];
	uint64_t lost, misaligned, out_of_range;
} hints[] = {
	/* row 31, study 68: inward, never outward */
	{ "whole page", RAM_HIGH, 0x1000, 1, { { RAM_HIGH, 0x1000 } }, 0, 0, 0 },
	{ "start off by one", RAM_HIGH + 1, 0x1fff, 1, { { RAM_HIGH + 0x1000, 0x1000 } }, 0xfff, 1, 0 },
	{ "end off by one", RAM_HIGH, 0x1fff, 1, { { RAM_HIGH, 0x1000 } }, 0xfff, 1, 0 },
	{ "both ends", RAM_HIGH + 0x800, 0x2000, 1, { { RAM_HIGH + 0x1000, 0x1000 } }, 0x1000, 1, 0 },
	{ "one byte", RAM_HIGH, 1, 0, { { 0, 0 } }, 1, 1, 0 },
	{ "a page less a byte", RAM_HIGH, 0xfff, 0, { { 0, 0 } }, 0xfff, 1, 0 },
	{ "a page off by one", RAM_HIGH + 1, 0x1000, 0, { { 0, 0 } }, 0x1000, 1, 0 },
	{ "two pages less two bytes", RAM_HIGH + 1, 0x1ffe, 0, { { 0, 0 } }, 0x1ffe, 1, 0 },
	{ "last byte of a page", RAM_HIGH + 0xfff, 1, 0, { { 0, 0 } }, 1, 1, 0 },
	/* row 11, study 9 */
	{ "hole", RAM_HOLE, 0x1000, 0, { { 0, 0 } }, 0, 0, 1 },
	{ "at 0", 0, 0x1000, 0, { { 0, 0 } }, 0, 0, 1 },
	{ "behind everything known", RAM_FAR + RAM_FAR_LEN, 0x1000, 0, { { 0, 0 } }, 0, 0, 1 },
	/* rows 12, 13, study 10 */
	{ "two regions", RAM_NEXT - 0x1000, 0x2000, 2,
	  { { RAM_NEXT - 0x1000, 0x1000 }, { RAM_NEXT, 0x1000 } }, 0, 0, 0 },
	{ "up to a ring", RAM_LOW, 0x10000, 1, { { RAM_LOW, 0x10000 } }, 0, 0, 0 },
	{ "across the hole", RAM_HOLE - 0x1000, 0x102000, 2,
	  { { RAM_HOLE - 0x1000, 0x1000 }, { RAM_HIGH, 0x1000 } }, 0, 0, 0 },
	{ "into the hole", RAM_HOLE - 0x1000, 0x3000, 1, { { RAM_HOLE - 0x1000, 0x1000 } }, 0, 0, 0 },
	{ "out of the hole", RAM_HIGH - 0x3000, 0x4000, 1, { { RAM_HIGH, 0x1000 } }, 0, 0, 0 },
	{ "all of it, but for LOW, where the rings stand", 0, 0xffffffff, 2,
	  { { RAM_HIGH, RAM_HIGH_LEN }, { RAM_NEXT, RAM_NEXT_LEN } }, 0, 0, 0 },
	/* row 34, study 71 */
	{ "read-only", RAM_ROM, 0x1000, 0, { { 0, 0 } }, 0, 0, 1 },
	{ "into read-only", RAM_ROM - 0x1000, 0x3000, 1, { { RAM_ROM - 0x1000, 0x1000 } }, 0, 0, 0 },
	{ "read-only and hole", RAM_ROM + RAM_ROM_LEN - 0x1000, 0x3000, 0, { { 0, 0 } }, 0, 0, 1 },
	/* study 11 */
	{ "up to the end of addresses", UINT64_MAX - 0xfff, 0x1000, 1,
	  { { UINT64_MAX - 0xfff, 0x1000 } }, 0, 0, 0 },
	{ "end of addresses, unaligned", UINT64_MAX - 0x17ff, 0x1800, 1,
	  { { UINT64_MAX - 0xfff, 0x1000 } }, 0x800, 1, 0 },
	{ "last byte of all", UINT64_MAX, 1, 0, { { 0, 0 } }, 1, 1, 0 },
	/* not mapped here: a range is a number, not memory */
	{ "known and not mapped", RAM_FAR + 0x5000, 0x2000, 1, { { RAM_FAR + 0x5000, 0x2000 } }, 0, 0, 0 },
	/* study 72 */
	{ "huge", RAM_FAR, 0xffffffff, 1, { { RAM_FAR, 0xfffff000 } }, 0xfff, 1, 0 },
};

static void expect_one(unsigned i, const char *how)
{
	struct fph_device_stats s = stats();

	cr_expect_eq(s.hints, hints[i].n, "%s (%s): hints", hints[i].what, how);
	cr_expect_eq(s.bytes_lost, hints[i].lost, "%s (%s): lost", hints[i].what, how);
	cr_expect_eq(s.misaligned, hints[i].misaligned, "%s (%s): misaligned", hints[i].what, how);
	cr_expect_eq(s.out_of_range, hints[i].out_of_range, "%s (%s): out of range", hints[i].what,
		     how);
	cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE);
	cr_expect_eq(raw_used_idx(r.d.hint), 2, "%s (%s): returned", hints[i].what, how);
}

Test(hostile_hints, rows_11_to_13_31_34_a_range_is_cut_inward_and_to_memory)
{
	for (unsigned i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		prepare();
		rig_hinting(&r);
		raw_hint(&r.d, 0, hints[i].gpa, hints[i].len);
		cr_assert_eq(rig_poll(&r), (int)hints[i].n, "%s", hints[i].what);
		for (unsigned k = 0; k < hints[i].n; k++)
			cr_expect(rig_out[k].gpa == hints[i].out[k].gpa &&
					  rig_out[k].len == hints[i].out[k].len,
				  "%s, range %u: %#llx +%#llx", hints[i].what, k,
				  (unsigned long long)rig_out[k].gpa,
				  (unsigned long long)rig_out[k].len);
		cr_expect_eq(fph_device_ack(&r.l.dev), 0);
		expect_one(i, "at once");

		/* and the same one range at a time */
		prepare();
		rig_hinting(&r);
		raw_hint(&r.d, 0, hints[i].gpa, hints[i].len);
		for (unsigned k = 0; k < hints[i].n; k++) {
			cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
			cr_expect_eq(rig_out[0].gpa, hints[i].out[k].gpa, "%s", hints[i].what);
		}
		cr_expect_eq(fph_device_poll(&r.l.dev, rig_out, 1), 0);
		expect_one(i, "one by one");
	}
}

/* What is promised of every range, for ranges of all kinds. */
Test(hostile_hints, every_range_lies_in_one_writable_region_in_whole_pages, .timeout = 30)
{
	static const uint8_t shifts[] = { 12, 13, 16, 21, 30 };
	uint64_t seed = 77;

	for (unsigned s = 0; s < 5; s++) {
		uint64_t page = UINT64_C(1) << shifts[s];

		rig_options(&r);
		r.l.dev_opts.page_shift = shifts[s];
		rig_device(&r);
		raw_up(&r.d, RAW_FEATURES);
		rig_hinting(&r);
		for (unsigned i = 0; i < 4000; i++) {
			uint64_t gpa;
			uint32_t len;
			int n;

			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
			gpa = seed >> (seed & 1 ? 41 : 26);
			len = (uint32_t)(seed >> 3) >> (seed >> 59 & 31);
			raw_hint(&r.d, 0, gpa, len ? len : 1);
			n = rig_poll(&r);
			cr_assert_geq(n, 0);
			for (int k = 0; k < n; k++) {
				struct fph_range rest = rig_out[k], piece;
				int region = fph_mem_piece(&r.l.ram.mem, &rest, &piece);

				cr_assert_geq(region, 0);
				cr_assert(region != ROM && rest.len == 0 && piece.len > 0 &&
					  piece.len == rig_out[k].len);
				cr_assert((rig_out[k].gpa | rig_out[k].len) % page == 0);
				cr_assert(rig_out[k].gpa >= gpa &&
					  rig_out[k].gpa + rig_out[k].len <= gpa + len);
			}
			cr_assert_eq(fph_device_ack(&r.l.dev), 0);
		}
		if (shifts[s] < 20)
			cr_expect_gt(stats().hints, 100);
	}
}

/* study 73: discards of huge pages take whole ones only */
Test(hostile_hints, study_73_a_larger_page_is_given_up_whole_or_not)
{
	rig_options(&r);
	r.l.dev_opts.page_shift = 21;
	rig_device(&r);
	raw_up(&r.d, RAW_FEATURES);
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_FAR + 0x1000, 0x400000);
	raw_hint(&r.d, 1, RAM_FAR, 0x1ff000);
	raw_hint(&r.d, 2, RAM_HIGH, (uint32_t)RAM_HIGH_LEN);
	cr_assert_eq(rig_poll(&r), 1);
	cr_expect(rig_out[0].gpa == RAM_FAR + 0x200000 && rig_out[0].len == 0x200000);
	cr_expect_eq(stats().misaligned, 3);
	cr_expect_eq(stats().bytes_lost, 0x200000 + 0x1ff000 + RAM_HIGH_LEN);
}

/* row 32, study 70 */
Test(hostile_hints, row_32_the_same_and_overlapping_ranges_are_each_handed_out)
{
	rig_hinting(&r);
	for (uint16_t i = 0; i < 4; i++)
		raw_hint(&r.d, i, RAM_HIGH + 0x1000u * (i / 2), 0x2000);
	cr_assert_eq(rig_poll(&r), 4);
	for (unsigned i = 0; i < 4; i++)
		cr_expect(rig_out[i].gpa == RAM_HIGH + 0x1000u * (i / 2) && rig_out[i].len == 0x2000);
}

/* row 33: the ring's own pages and the command's: harmless to the device */
Test(hostile_hints, row_33_memory_of_the_rings_that_is_wiped_harms_nobody)
{
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_LOW, (uint32_t)RAM_LOW_LEN);
	raw_hint(&r.d, 1, RAW_MESSAGE_AT(FPH_QUEUE_HINT), 0x1000);
	cr_assert_eq(rig_poll(&r), 1, "the message's page is a page like any");
	memset(ram_at(&r.l.ram, RAM_LOW, RAM_LOW_LEN), 0, RAM_LOW_LEN);
	(void)fph_device_ack(&r.l.dev);
	for (unsigned i = 0; i < 10; i++)
		(void)rig_poll(&r);
	(void)fph_device_stop(&r.l.dev);
	rig_expect_works_after_reset(&r);
}

/* study 69: no page of a running ring is given up, nor what is hinted in one with it */
static const struct {
	const char *what;
	uint64_t gpa;
	uint32_t len;
	bool taken;
} around[] = {
	{ "page before the descriptors", RAM_HIGH + 0xf000, 0x1000, true },
	{ "first page of descriptors", RAM_HIGH + 0x10000, 0x1000, false },
	{ "page amidst descriptors", RAM_HIGH + 0x11000, 0x1000, false },
	{ "last page of descriptors", RAM_HIGH + 0x13000, 0x1000, false },
	{ "page behind the descriptors", RAM_HIGH + 0x14000, 0x1000, true },
	{ "page before the available ring", RAM_HIGH + 0x1f000, 0x1000, true },
	{ "available ring", RAM_HIGH + 0x20000, 0x1000, false },
	{ "its last two bytes", RAM_HIGH + 0x21000, 0x1000, false },
	{ "page behind the available ring", RAM_HIGH + 0x22000, 0x1000, true },
	{ "page before the used ring", RAM_HIGH + 0x2f000, 0x1000, true },
	{ "last byte of the page before, and the ring", RAM_HIGH + 0x2f000, 0x2000, false },
	{ "used ring", RAM_HIGH + 0x31000, 0x1000, false },
	{ "page behind the used ring", RAM_HIGH + 0x33000, 0x1000, true },
	{ "all of them", RAM_HIGH, 0x80000, false },
	{ "between them", RAM_HIGH + 0x14000, 0xc000, true },
};

Test(hostile_hints, study_69_pages_of_a_running_ring_are_not_handed_out)
{
	/* 1024 entries: 4 pages of descriptors, 2054 and 8198 bytes of rings */
	struct fph_vq_place place = { RAM_HIGH + 0x10000, RAM_HIGH + 0x20800 - 4,
				      RAM_HIGH + 0x30000 + 4, 1024, 0 };
	uint16_t index = 0;

	for (unsigned i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
		rig_options(&r);
		r.l.dev_opts.queue_max = 1024;
		rig_device(&r);
		raw_up(&r.d, RAW_FEATURES);
		cr_assert_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 1, &index), 0);
		cr_assert_eq(r.d.bus.ops->vq_enable(r.d.bus.ctx, 1, &place), 0);
		rig_hinting(&r);
		raw_hint(&r.d, 0, around[i].gpa, around[i].len);
		cr_expect_eq(rig_poll(&r), around[i].taken, "%s", around[i].what);
		cr_expect_eq(stats().out_of_range, !around[i].taken, "%s", around[i].what);
		/* A queue that was stopped holds nothing any more. */
		cr_assert_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 1, &index), 0);
		raw_hint(&r.d, 1, around[i].gpa, around[i].len);
		cr_expect_eq(rig_poll(&r), 1, "%s", around[i].what);
	}
}

/* row 35: the whole memory, hint by hint and all at once */
Test(hostile_hints, row_35_everything_is_hinted)
{
	rig_hinting(&r);
	for (uint16_t i = 0; i < 14; i++)
		raw_hint(&r.d, i, RAM_FAR + UINT64_C(0xfffff000) * i, 0xfffff000);
	cr_assert_eq(rig_poll(&r), 14);
	cr_expect_eq(stats().bytes, UINT64_C(0xfffff000) * 14);
}

/* row 37, study 95: the memory goes away between the hint and the poll, or in between */
Test(hostile_hints, row_37_memory_that_is_gone_is_not_handed_out)
{
	static struct fph_region less[RAM_REGIONS];
	static struct fph_mem mem = { less, 0 };

	for (unsigned when = 0; when < 2; when++) {
		prepare();
		memcpy(less, r.l.ram.regions, sizeof(less));
		less[NEXT] = r.l.ram.regions[ROM];
		mem.count = 3;
		rig_hinting(&r);
		raw_hint(&r.d, 0, RAM_HIGH, RAM_HIGH_LEN + RAM_NEXT_LEN);
		raw_hint(&r.d, 1, RAM_NEXT, 0x1000);
		if (when)
			cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
		cr_expect_eq(fph_device_set_mem(&r.l.dev, &mem), 0);
		if (!when)
			cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
		cr_expect(rig_out[0].gpa == RAM_HIGH && rig_out[0].len == RAM_HIGH_LEN);
		cr_expect_eq(rig_poll(&r), 0, "NEXT is gone");
		cr_expect_eq(stats().out_of_range, 1);
		cr_expect_eq(raw_used_idx(r.d.hint), 3);
	}
}

Test(hostile_hints, set_mem_acknowledges_the_batch_and_refuses_a_bad_map)
{
	static struct fph_region wrong[2];
	static struct fph_mem bad = { wrong, 2 };

	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	cr_assert_eq(rig_poll(&r), 1);
	cr_expect_eq(fph_device_set_mem(&r.l.dev, &bad), -EINVAL);
	cr_expect_eq(raw_used_idx(r.d.hint), 0, "nothing changed");
	cr_expect_eq(fph_device_set_mem(&r.l.dev, &r.l.ram.mem), 0);
	cr_expect_eq(raw_used_idx(r.d.hint), 2);
	raw_hint(&r.d, 1, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), 1, "and the round goes on");
}

/* row 38: a readable buffer where a hint should be */
Test(hostile_hints, row_38_a_readable_page_is_no_hint)
{
	rig_hinting(&r);
	raw_desc(r.d.hint, 0, RAM_HIGH, 0x1000, 0, 0);
	raw_push(r.d.hint, 0);
	raw_publish(r.d.hint);
	cr_expect_eq(rig_poll(&r), -EPROTO);
	rig_expect_fault(&r, FPH_RULE_COMMAND_SIZE, FPH_QUEUE_HINT);
}

/* row 38: a writable buffer of 4 bytes is a hint of 4 bytes, whatever it holds */
Test(hostile_hints, row_38_a_writable_command_is_no_command)
{
	uint32_t id = rig_start(&r);

	ram_st32(&r.l.ram, RAM_HIGH, id);
	raw_hint(&r.d, 0, RAM_HIGH, 4);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_str_eq(fph_device_state_name(&r.l.dev), "REQUESTED");
	cr_expect_eq(stats().unasked, 1);
}

/* rows 11, 27; study 9, 10: a command must be in memory, in one region */
Test(hostile_hints, rows_11_27_a_command_outside_of_memory_is_a_fault)
{
	static const uint64_t at[] = { RAM_HOLE, RAM_HOLE - 2, RAM_HIGH - 2, RAM_NEXT - 2, RAM_FAR,
				       0, RAM_ROM + RAM_ROM_LEN - 1 };

	for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		prepare();
		rig_start(&r);
		raw_desc(r.d.hint, 5, at[i], 4, 0, 0);
		raw_push(r.d.hint, 5);
		raw_publish(r.d.hint);
		cr_expect_eq(rig_poll(&r), -EPROTO, "%#llx", (unsigned long long)at[i]);
		rig_expect_fault(&r, FPH_RULE_BUFFER_MEMORY, FPH_QUEUE_HINT);
		cr_expect_eq(fph_device_fault(&r.l.dev)->value, at[i]);
		rig_expect_works_after_reset(&r);
	}
}

/* row 27, study 61: cut into two descriptors, each part in its own region, it is fine */
Test(hostile_hints, row_27_a_command_cut_at_a_regions_end_counts)
{
	uint32_t id = rig_start(&r);

	ram_st16(&r.l.ram, RAM_NEXT - 2, (uint16_t)id);
	ram_st16(&r.l.ram, RAM_NEXT, (uint16_t)(id >> 16));
	raw_desc(r.d.hint, 0, RAM_NEXT - 2, 2, RAW_NEXT, 1);
	raw_desc(r.d.hint, 1, RAM_NEXT, 2, 0, 0);
	raw_push(r.d.hint, 0);
	raw_publish(r.d.hint);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_str_eq(fph_device_state_name(&r.l.dev), "HINTING");
}

/* study 63: START is read when its turn comes, once, and a later change is nothing */
Test(hostile_hints, study_63_a_command_counts_as_it_was_read)
{
	uint32_t id = rig_hinting(&r);
	uint64_t at = raw_read_desc(r.d.hint, 15).gpa;

	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_hint(&r.d, 1, RAM_HIGH + 0x1000, 0x1000);
	cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
	ram_st32(&r.l.ram, at, id - 1);
	cr_expect_eq(rig_poll(&r), 1);
	ram_st32(&r.l.ram, at, FPH_COMMAND_STOP);
	raw_hint(&r.d, 2, RAM_HIGH + 0x2000, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
}

/* A buffer dropped is counted once, by the first reason that fits (fph/device.h). */
Test(hostile_hints, every_buffer_is_counted_once)
{
	struct fph_device_stats s;
	uint32_t id;

	rig_start(&r);
	raw_hint(&r.d, 0, RAM_HOLE, 0x1000); /* stale, and out of range */
	id = rig_start(&r);
	raw_hint(&r.d, 1, RAM_HOLE + 1, 0x1000); /* unasked */
	raw_command(&r.d, 2, id - 1);		 /* foreign */
	raw_hint(&r.d, 3, RAM_HOLE + 1, 0x1000); /* foreign */
	raw_command(&r.d, 4, id);
	raw_hint(&r.d, 5, RAM_HOLE + 1, 0x1000); /* out of range */
	raw_hint(&r.d, 6, RAM_HIGH + 1, 0x1000); /* misaligned, and nothing left */
	raw_hint(&r.d, 7, RAM_HIGH, 0x1000);
	raw_command(&r.d, 8, FPH_COMMAND_STOP);
	raw_command(&r.d, 9, FPH_COMMAND_STOP); /* unasked */
	cr_assert_eq(rig_poll(&r), 1);
	s = stats();
	cr_expect_eq(s.chains, 10);
	cr_expect_eq(s.stale, 1);
	cr_expect_eq(s.unasked, 2);
	cr_expect_eq(s.foreign_id, 2);
	cr_expect_eq(s.commands, 2);
	cr_expect_eq(s.out_of_range, 1);
	cr_expect_eq(s.misaligned, 1);
	cr_expect_eq(s.hints, 1);
}
