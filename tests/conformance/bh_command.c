/* SPDX-License-Identifier: MIT */
/* Commands, 5.5.6.5.1, as the device reads them: clause BH-1, and commands among pages. */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>

static struct rig r;

static void prepare(void)
{
	rig_up(&r, 0);
}

TestSuite(bh_command, .init = prepare);

static struct fph_device_stats stats(void)
{
	return loop_device_stats(&r.l);
}

static void expect_hint(unsigned i, uint64_t gpa, uint64_t len)
{
	cr_expect(rig_out[i].gpa == gpa && rig_out[i].len == len, "hint %u: %#llx +%#llx", i,
		  (unsigned long long)rig_out[i].gpa, (unsigned long long)rig_out[i].len);
}

/* ------------------------------------------------------------ 4 bytes */

Test(bh_command, bh1_a_command_of_4_bytes_counts)
{
	rig_hinting(&r);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_str_eq(fph_device_state_name(&r.l.dev), "HINTING");
	cr_expect_eq(stats().commands, 1);
}

/* row 27, study 60: shorter or longer */
static const uint32_t wrong[] = { 1, 2, 3, 5, 8, 4096, 0xffffffff };

Test(bh_command, bh1_a_command_of_any_other_size_is_a_fault)
{
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		prepare();
		rig_start(&r);
		raw_desc(r.d.hint, 0, RAW_MESSAGE_AT(FPH_QUEUE_HINT), wrong[i], 0, 0);
		raw_push(r.d.hint, 0);
		raw_publish(r.d.hint);
		cr_expect_eq(rig_poll(&r), -EPROTO, "%u bytes", wrong[i]);
		rig_expect_fault(&r, FPH_RULE_COMMAND_SIZE, FPH_QUEUE_HINT);
		rig_expect_works_after_reset(&r);
	}
}

/* row 27, study 61; V-2: cut in any way, the bytes in order */
static const unsigned char cuts[][4] = {
	{ 1, 3, 0, 0 }, { 3, 1, 0, 0 }, { 2, 2, 0, 0 }, { 1, 1, 2, 0 },
	{ 1, 2, 1, 0 }, { 2, 1, 1, 0 }, { 1, 1, 1, 1 }, { 4, 0, 0, 0 },
};

static void push_cut(const unsigned char *cut, uint32_t id, uint16_t first, bool hint_behind)
{
	unsigned char bytes[4] = { (unsigned char)id, (unsigned char)(id >> 8),
				   (unsigned char)(id >> 16), (unsigned char)(id >> 24) };
	unsigned done = 0;

	for (uint16_t k = 0; k < 4 && cut[k]; k++) {
		uint16_t i = (uint16_t)(first + k);
		bool more = done + cut[k] < 4 || hint_behind;

		raw_desc(r.d.hint, i, raw_message(&r.d, FPH_QUEUE_HINT, i, bytes + done, cut[k]),
			 cut[k], more ? RAW_NEXT : 0, (uint16_t)(i + 1));
		done += cut[k];
		if (done == 4 && hint_behind)
			raw_desc(r.d.hint, (uint16_t)(i + 1), RAM_HIGH, 0x1000, RAW_WRITE, 0);
	}
	raw_push(r.d.hint, first);
	raw_publish(r.d.hint);
}

Test(bh_command, bh1_a_command_cut_into_descriptors_counts)
{
	for (unsigned i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		prepare();
		push_cut(cuts[i], rig_start(&r), 0, false);
		raw_hint(&r.d, 9, RAM_HIGH, 0x1000);
		cr_expect_eq(rig_poll(&r), 1, "cut %u", i);
		expect_hint(0, RAM_HIGH, 0x1000);

		prepare();
		push_cut(cuts[i], rig_start(&r), 0, true);
		cr_expect_eq(rig_poll(&r), 1, "cut %u, hint behind", i);
		expect_hint(0, RAM_HIGH, 0x1000);
	}
}

Test(bh_command, bh1_a_command_may_stand_anywhere_in_memory)
{
	uint32_t id = rig_start(&r);
	uint64_t at[] = { RAM_HIGH + 1, RAM_ROM + 0x10, RAM_NEXT - 4, 0 - UINT64_C(4) };

	for (uint16_t i = 0; i < 4; i++) {
		prepare();
		id = rig_start(&r);
		ram_st32(&r.l.ram, at[i], id);
		raw_desc(r.d.hint, 0, at[i], 4, 0, 0);
		raw_push(r.d.hint, 0);
		raw_publish(r.d.hint);
		cr_expect_eq(rig_poll(&r), 0);
		cr_expect_str_eq(fph_device_state_name(&r.l.dev), "HINTING", "%#llx",
				 (unsigned long long)at[i]);
	}
}

/* ------------------------------------------------------------ both in one chain */

/* row 30, study 62: the command first, then its pages */
Test(bh_command, bh2_start_and_pages_may_share_a_chain)
{
	uint32_t id = rig_start(&r);

	raw_desc(r.d.hint, 0, raw_message(&r.d, FPH_QUEUE_HINT, 0, &id, 4), 4, RAW_NEXT, 1);
	raw_desc(r.d.hint, 1, RAM_HIGH, 0x1000, RAW_WRITE | RAW_NEXT, 2);
	raw_desc(r.d.hint, 2, RAM_HIGH + 0x8000, 0x2000, RAW_WRITE, 0);
	raw_push(r.d.hint, 0);
	raw_publish(r.d.hint);
	cr_expect_eq(rig_poll(&r), 2);
	expect_hint(0, RAM_HIGH, 0x1000);
	expect_hint(1, RAM_HIGH + 0x8000, 0x2000);
	cr_expect_eq(stats().commands, 1);
}

Test(bh_command, bh13_a_foreign_id_and_pages_in_a_chain_are_dropped)
{
	uint32_t id = rig_start(&r) - 1;

	raw_desc(r.d.hint, 0, raw_message(&r.d, FPH_QUEUE_HINT, 0, &id, 4), 4, RAW_NEXT, 1);
	raw_desc(r.d.hint, 1, RAM_HIGH, 0x1000, RAW_WRITE, 0);
	raw_push(r.d.hint, 0);
	raw_publish(r.d.hint);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(stats().foreign_id, 2);
}

Test(bh_command, bh6_stop_and_pages_in_a_chain_give_no_hint)
{
	uint32_t stop = 0;

	rig_hinting(&r);
	raw_desc(r.d.hint, 0, raw_message(&r.d, FPH_QUEUE_HINT, 0, &stop, 4), 4, RAW_NEXT, 1);
	raw_desc(r.d.hint, 1, RAM_HIGH, 0x1000, RAW_WRITE, 0);
	raw_push(r.d.hint, 0);
	raw_publish(r.d.hint);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(stats().unasked, 1);
}

Test(bh_command, bh1_two_commands_in_a_chain_are_a_fault)
{
	uint32_t id = rig_start(&r);

	raw_desc(r.d.hint, 0, raw_message(&r.d, FPH_QUEUE_HINT, 0, &id, 4), 4, RAW_NEXT, 1);
	raw_desc(r.d.hint, 1, raw_message(&r.d, FPH_QUEUE_HINT, 1, &id, 4), 4, 0, 0);
	raw_push(r.d.hint, 0);
	raw_publish(r.d.hint);
	cr_expect_eq(rig_poll(&r), -EPROTO);
	rig_expect_fault(&r, FPH_RULE_COMMAND_SIZE, FPH_QUEUE_HINT);
}

/* 5 bytes in pieces, with pages behind: no piece is too long by itself. */
Test(bh_command, bh1_a_command_too_long_in_pieces_is_a_fault)
{
	static const uint32_t second[] = { 2, 3, 4 };

	for (unsigned i = 0; i < 3; i++) {
		prepare();
		rig_start(&r);
		raw_desc(r.d.hint, 0, RAW_MESSAGE_AT(FPH_QUEUE_HINT) + 1, 3, RAW_NEXT, 1);
		raw_desc(r.d.hint, 1, RAW_MESSAGE_AT(FPH_QUEUE_HINT) + 1, second[i], RAW_NEXT, 2);
		raw_desc(r.d.hint, 2, RAM_HIGH, 0x1000, RAW_WRITE, 0);
		raw_push(r.d.hint, 0);
		raw_publish(r.d.hint);
		cr_expect_eq(rig_poll(&r), -EPROTO, "3 and %u bytes", second[i]);
		rig_expect_fault(&r, FPH_RULE_COMMAND_SIZE, FPH_QUEUE_HINT);
	}
}

Test(bh_command, bh1_half_a_command_before_pages_is_a_fault)
{
	rig_start(&r);
	raw_desc(r.d.hint, 0, RAW_MESSAGE_AT(FPH_QUEUE_HINT), 2, RAW_NEXT, 1);
	raw_desc(r.d.hint, 1, RAM_HIGH, 0x1000, RAW_WRITE, 0);
	raw_push(r.d.hint, 0);
	raw_publish(r.d.hint);
	cr_expect_eq(rig_poll(&r), -EPROTO);
	rig_expect_fault(&r, FPH_RULE_COMMAND_SIZE, FPH_QUEUE_HINT);
}

/* Half a command of one chain is not completed by the next chain. */
Test(bh_command, bh1_a_command_ends_with_its_chain)
{
	rig_start(&r);
	for (uint16_t i = 0; i < 2; i++) {
		raw_desc(r.d.hint, i, RAW_MESSAGE_AT(FPH_QUEUE_HINT), 2, 0, 0);
		raw_push(r.d.hint, i);
	}
	raw_publish(r.d.hint);
	cr_expect_eq(rig_poll(&r), -EPROTO);
	rig_expect_fault(&r, FPH_RULE_COMMAND_SIZE, FPH_QUEUE_HINT);
}
