/* SPDX-License-Identifier: MIT */
/* Free page hinting, 5.5.6.5, the device: clauses BH-1 to BH-19 where they bind it. */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct rig r;

static void prepare(void)
{
	rig_up(&r, 0);
}

TestSuite(bh_device, .init = prepare);

static struct fph_device_stats stats(void)
{
	return loop_device_stats(&r.l);
}

static uint32_t shown(void)
{
	return raw_config32(&r.d, FPH_CONFIG_COMMAND_ID);
}

static void expect_hint(unsigned i, uint64_t gpa, uint64_t len)
{
	cr_expect(rig_out[i].gpa == gpa && rig_out[i].len == len, "hint %u: %#llx +%#llx", i,
		  (unsigned long long)rig_out[i].gpa, (unsigned long long)rig_out[i].len);
}

/* ------------------------------------------------------------ BH-2, BH-3: one START first */

/* row 29, study 56 */
Test(bh_device, bh2_hints_before_start_are_dropped)
{
	uint32_t id = rig_start(&r);

	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_hint(&r.d, 1, RAM_HIGH + 0x1000, 0x1000);
	raw_command(&r.d, 2, id);
	raw_hint(&r.d, 3, RAM_HIGH + 0x2000, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
	expect_hint(0, RAM_HIGH + 0x2000, 0x1000);
	cr_expect_eq(stats().unasked, 2);
	cr_expect_eq(stats().hints, 1);
}

/* row 28, study 59: a repeated START is neither STOP nor a new round */
Test(bh_device, bh3_a_second_start_of_the_same_id_changes_nothing)
{
	uint32_t id = rig_hinting(&r);

	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_command(&r.d, 1, id);
	raw_hint(&r.d, 2, RAM_HIGH + 0x1000, 0x1000);
	cr_expect_eq(rig_poll(&r), 2);
	cr_expect_eq(stats().foreign_id, 1);
	cr_expect_eq(stats().commands, 1);
	cr_expect_str_eq(fph_device_state_name(&r.l.dev), "HINTING");
}

Test(bh_device, bh3_a_round_that_the_driver_closed_is_not_opened_again)
{
	uint32_t id = rig_hinting(&r);

	raw_command(&r.d, 0, FPH_COMMAND_STOP);
	raw_command(&r.d, 1, id);
	raw_hint(&r.d, 2, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect(fph_device_round_over(&r.l.dev));
	cr_expect_eq(stats().hints, 0);
}

/* ------------------------------------------------------------ BH-4, BH-18: pages */

Test(bh_device, bh4_device_takes_writable_buffers_as_pages)
{
	rig_hinting(&r);
	for (uint16_t i = 0; i < 5; i++)
		raw_hint(&r.d, i, RAM_HIGH + 0x10000u * i, 0x1000u * (i + 1u));
	cr_expect_eq(rig_poll(&r), 5);
	for (unsigned i = 0; i < 5; i++)
		expect_hint(i, RAM_HIGH + 0x10000u * i, 0x1000u * (i + 1u));
	cr_expect_eq(stats().bytes, 0xf000);
}

Test(bh_device, bh18_several_entries_of_one_chain_are_hints_of_their_own)
{
	rig_hinting(&r);
	for (uint16_t i = 0; i < 4; i++)
		raw_desc(r.d.hint, i, RAM_HIGH + 0x4000u * i, 0x2000,
			 RAW_WRITE | (i < 3 ? RAW_NEXT : 0), (uint16_t)(i + 1));
	raw_push(r.d.hint, 0);
	raw_publish(r.d.hint);
	cr_expect_eq(rig_poll(&r), 4);
	for (unsigned i = 0; i < 4; i++)
		expect_hint(i, RAM_HIGH + 0x4000u * i, 0x2000);
	cr_expect_eq(stats().chains, 2, "START and one chain");
}

/* ------------------------------------------------------------ BH-6: STOP */

Test(bh_device, bh6_stop_of_the_driver_ends_the_round)
{
	uint32_t id = rig_hinting(&r);

	cr_expect_not(fph_device_round_over(&r.l.dev));
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_command(&r.d, 1, FPH_COMMAND_STOP);
	raw_hint(&r.d, 2, RAM_HIGH + 0x1000, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect(fph_device_round_over(&r.l.dev));
	cr_expect_str_eq(fph_device_state_name(&r.l.dev), "ENDED");
	cr_expect_eq(shown(), id, "A5-10: the id stays until the device changes it");
	cr_expect_eq(stats().unasked, 1, "row 29, study 58");
}

/* ------------------------------------------------------------ BH-11: STOP of the device */

Test(bh_device, bh11_stop_is_shown_and_told)
{
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
	cr_expect_eq(fph_device_stop(&r.l.dev), 0);
	cr_expect_eq(shown(), FPH_COMMAND_STOP);
	cr_expect(raw_take_irq(&r.d) & FPH_IRQ_CONFIG);
	raw_hint(&r.d, 1, RAM_HIGH + 0x1000, 0x1000);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(stats().unasked, 1);
	cr_expect_eq(raw_used_idx(r.d.hint), r.d.hint->avail, "dropped, and given back");
}

/* ------------------------------------------------------------ BH-12: ids */

Test(bh_device, bh12_no_id_is_shown_twice)
{
	uint32_t before = fph_device_command_id(&r.l.dev);

	for (unsigned i = 1; i <= 1000; i++) {
		uint32_t id = rig_start(&r);

		cr_assert_eq(id, before + i);
		cr_assert_eq(shown(), id);
		switch (i % 4) { /* whatever came in between */
		case 0:
			fph_device_stop(&r.l.dev);
			break;
		case 1:
			fph_device_done(&r.l.dev);
			break;
		case 2:
			raw_set_status(&r.d, 0);
			raw_up(&r.d, RAW_FEATURES);
			break;
		default:
			break;
		}
	}
}

/* study 65; R15 */
Test(bh_device, bh12_ids_wrap_past_the_two_reserved_values)
{
	rig_options(&r);
	r.l.dev_opts.command_id = 0xfffffffe;
	rig_device(&r);
	raw_up(&r.d, RAW_FEATURES);
	cr_expect_eq(rig_start(&r), 0xffffffff);
	cr_expect_eq(rig_start(&r), 2);
	cr_expect_eq(rig_start(&r), 3);
}

/* ------------------------------------------------------------ BH-13: other ids */

/* row 28, study 57 */
Test(bh_device, bh13_device_ignores_pages_of_another_id)
{
	static const int by[] = { -1, 1, -2, 2, 256, -256, 0x10000, 0x01000000 };

	for (unsigned i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
		uint32_t id;

		prepare();
		id = rig_start(&r);
		raw_command(&r.d, 0, id + (uint32_t)by[i]);
		raw_hint(&r.d, 1, RAM_HIGH, 0x1000);
		cr_expect_eq(rig_poll(&r), 0, "id %+d", by[i]);
		cr_expect_eq(stats().foreign_id, 2, "id %+d: the command and its hint", by[i]);
		cr_expect_eq(shown(), id);
		/* and the right one still opens the round */
		raw_command(&r.d, 2, id);
		raw_hint(&r.d, 3, RAM_HIGH, 0x1000);
		cr_expect_eq(rig_poll(&r), 1);
	}
}

Test(bh_device, bh13_reserved_ids_open_no_round)
{
	for (uint32_t id = 0; id < 2; id++) {
		prepare();
		rig_start(&r);
		raw_command(&r.d, 0, id);
		raw_hint(&r.d, 1, RAM_HIGH, 0x1000);
		cr_expect_eq(rig_poll(&r), 0, "id %u", id);
		cr_expect_str_eq(fph_device_state_name(&r.l.dev), "REQUESTED");
	}
}

Test(bh_device, bh13_another_id_in_mid_round_takes_its_hints_with_it)
{
	uint32_t id = rig_hinting(&r);

	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_command(&r.d, 1, id - 1);
	raw_hint(&r.d, 2, RAM_HIGH + 0x1000, 0x1000);
	raw_command(&r.d, 3, id);
	raw_hint(&r.d, 4, RAM_HIGH + 0x2000, 0x1000);
	cr_expect_eq(rig_poll(&r), 1, "BH-3: and the round is not opened twice");
	expect_hint(0, RAM_HIGH, 0x1000);
	cr_expect_eq(stats().foreign_id, 3);
}

Test(bh_device, bh13_done_sent_by_the_driver_is_another_id)
{
	rig_hinting(&r);
	raw_command(&r.d, 0, FPH_COMMAND_DONE);
	raw_hint(&r.d, 1, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(stats().foreign_id, 2);
	cr_expect(fph_device_round_over(&r.l.dev));
}

/* study 57: not even the id that will come next */
Test(bh_device, bh13_the_next_id_sent_too_early_is_stale_when_it_comes)
{
	uint32_t id = rig_start(&r);

	raw_command(&r.d, 0, id + 1);
	raw_hint(&r.d, 1, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_start(&r), id + 1);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(stats().stale, 2);
	cr_expect_str_eq(fph_device_state_name(&r.l.dev), "REQUESTED");
}

/* A5-5 */
Test(bh_device, a5_5_stop_of_an_older_round_does_not_end_the_new_one)
{
	uint32_t id;

	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
	id = rig_start(&r);
	raw_command(&r.d, 1, FPH_COMMAND_STOP);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_not(fph_device_round_over(&r.l.dev));
	cr_expect_str_eq(fph_device_state_name(&r.l.dev), "REQUESTED");
	raw_command(&r.d, 2, id);
	raw_hint(&r.d, 3, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
}

/* ------------------------------------------------------------ BH-14, BH-15, BH-19: contents */

Test(bh_device, bh14_bh19_device_changes_no_page_by_itself)
{
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, RAM_HIGH_LEN);
	raw_hint(&r.d, 1, RAM_NEXT, RAM_NEXT_LEN);
	cr_expect_eq(rig_poll(&r), 2);
	cr_expect_eq(fph_device_done(&r.l.dev), 0);
	ram_expect_untouched(&r.l.ram, RAM_HIGH, RAM_HIGH_LEN);
	ram_expect_untouched(&r.l.ram, RAM_NEXT, RAM_NEXT_LEN);
}

Test(bh_device, bh15_no_hint_is_handed_out_after_done)
{
	rig_hinting(&r);
	for (uint16_t i = 0; i < 6; i++)
		raw_hint(&r.d, i, RAM_HIGH + 0x1000u * i, 0x1000);
	cr_expect_eq(fph_device_poll(&r.l.dev, rig_out, 2), 2);
	cr_expect_eq(fph_device_done(&r.l.dev), 0);
	cr_expect_eq(shown(), FPH_COMMAND_DONE);
	raw_hint(&r.d, 6, RAM_HIGH + 0x6000, 0x1000);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(stats().hints, 2);
	cr_expect_eq(stats().unasked, 5);
}

/* ------------------------------------------------------------ BH-16: DONE */

Test(bh_device, bh16_done_is_shown_and_told_whatever_went_before)
{
	for (unsigned i = 0; i < 5; i++) {
		prepare();
		if (i >= 1)
			rig_start(&r);
		if (i >= 2)
			raw_command(&r.d, 0, shown());
		if (i >= 3)
			raw_hint(&r.d, 1, RAM_HIGH, 0x1000);
		if (i >= 4)
			raw_command(&r.d, 2, FPH_COMMAND_STOP);
		cr_expect_eq(rig_poll(&r), i >= 3);
		raw_take_irq(&r.d);
		cr_expect_eq(fph_device_done(&r.l.dev), 0);
		cr_expect_eq(shown(), FPH_COMMAND_DONE, "way %u", i);
		cr_expect(raw_take_irq(&r.d) & FPH_IRQ_CONFIG);
		cr_expect_eq(raw_used_idx(r.d.hint), r.d.hint->avail, "all are given back");
		cr_expect_eq(fph_device_stop(&r.l.dev), 0);
		cr_expect_eq(shown(), FPH_COMMAND_DONE, "until the next round");
	}
}

Test(bh_device, bh16_after_done_a_new_round_can_begin)
{
	uint32_t id = rig_hinting(&r);

	cr_expect_eq(fph_device_done(&r.l.dev), 0);
	cr_expect_eq(rig_hinting(&r), id + 1);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
}
