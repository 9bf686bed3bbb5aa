/* SPDX-License-Identifier: MIT */
/* How the driver brings a device up and takes it down, 2.1, 3.1: clauses G-1 to G-3, G-13 to G-16. */
#include "support/rig.h"
#include "support/trace.h"
#include <criterion/criterion.h>
#include <errno.h>

static struct rig r;
static struct trace trace;

Test(status_guest, g1_g14_guest_comes_up_in_order)
{
	rig_guest_options(&r);
	r.dev.config_len = 16;
	r.dev.offered |= FPH_F_PAGE_POISON | FPH_F_MUST_TELL_HOST;
	r.l.guest_opts.flags = FPH_GUEST_POISON;
	r.l.guest_opts.poison = 0xaabbccdd;
	r.l.guest_opts.bus = trace_bus(&trace, raw_device_bus(&r.dev));
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_str_eq(trace.text,
			 "bus set_status 0x00\n"
			 "bus status -> 0x00\n"
			 "bus set_status 0x01\n"
			 "bus set_status 0x03\n"
			 "bus features -> 0x10000001b\n"
			 "bus accept 0x10000001b\n"
			 "bus set_status 0x0b\n"
			 "bus status -> 0x0b\n"
			 "bus vq_max[3] -> 256\n"
			 "bus vq_enable[3] size 16 desc 0x100000 driver 0x100100 device 0x100128 "
			 "index 0\n"
			 "bus vq_max[2] -> 256\n"
			 "bus vq_enable[2] size 2 desc 0x1002f0 driver 0x100310 device 0x10031c "
			 "index 0\n"
			 "bus set_config[12] 4: dd cc bb aa\n"
			 "bus set_status 0x0f\n"
			 "bus status -> 0x0f\n"
			 "bus notify[2]\n"
			 "bus take_irq -> none\n"
			 "bus status -> 0x0f\n"
			 "bus config[8] 4 -> 00 00 00 00\n");
}

/* A device that was reset behind our back does not keep DRIVER_OK. */
Test(status_guest, g14_guest_gives_up_when_driver_ok_does_not_stay)
{
	rig_guest_options(&r);
	r.dev.refuse = FPH_STATUS_DRIVER_OK;
	rig_guest(&r);
	cr_expect_eq(fph_guest_attach(&r.l.guest), -EOPNOTSUPP);
	cr_expect(r.dev.status & FPH_STATUS_FAILED);
	cr_expect_str_eq(fph_guest_state_name(&r.l.guest), "DOWN");
	cr_expect_eq(r.dev.kicks[2] + r.dev.kicks[3], 0);
	cr_expect_eq(loop_step(&r.l), -ENOTCONN);
	r.dev.refuse = 0;
	cr_expect_eq(fph_guest_attach(&r.l.guest), 0);
}

/* row 55; study 45 */
Test(status_guest, g13_guest_waits_until_status_reads_0)
{
	rig_guest_options(&r);
	r.dev.ignore_reset = true;
	r.dev.status = 0x0f;
	rig_guest(&r);
	for (unsigned i = 0; i < 100; i++)
		cr_assert_eq(fph_guest_attach(&r.l.guest), -EAGAIN);
	cr_expect_eq(r.dev.resets, 1, "asked once");
	cr_expect_eq(r.dev.status, 0x0f, "and nothing else written");
	cr_expect_eq(r.dev.enables, 0);
	r.dev.status = 0;
	cr_expect_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(r.dev.resets, 1);
}

Test(status_guest, g2_guest_only_adds_bits)
{
	rig_guest_up(&r);
	cr_expect_eq(r.dev.status, 0x0f);
	rig_guest_show(&r, 0x80000001);
	rig_guest_hint(&r, 0, 2);
	fph_guest_end(&r.l.guest);
	rig_guest_show(&r, FPH_COMMAND_DONE);
	cr_expect_eq(r.dev.status, 0x0f);
}

/* study 44: DEVICE_NEEDS_RESET at any time */
Test(status_guest, g3_guest_stops_when_the_device_asks_for_a_reset)
{
	struct fph_range back[8];
	uint16_t idx;

	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 3), 3);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	idx = raw_read_avail_idx(&r.dev.vq[3]);
	r.dev.status |= FPH_STATUS_NEEDS_RESET;
	r.dev.irq |= FPH_IRQ_CONFIG;
	cr_expect_eq(loop_step(&r.l), -EPROTO);
	cr_expect_eq(fph_guest_fault(&r.l.guest)->rule, FPH_RULE_NEEDS_RESET);
	cr_expect_eq(fph_guest_fault(&r.l.guest)->value, 0x4f);
	cr_expect_eq(rig_guest_hint(&r, 3, 1), -EPROTO);
	cr_expect_eq(fph_guest_flush(&r.l.guest), -EPROTO);
	cr_expect_eq(fph_guest_end(&r.l.guest), -EPROTO);
	cr_expect_eq(raw_read_avail_idx(&r.dev.vq[3]), idx);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 8), 0, "held until the reset is over");
	cr_expect_eq(fph_guest_held(&r.l.guest), 0x3000);

	cr_expect_eq(fph_guest_reset(&r.l.guest), 0);
	cr_expect_eq(fph_guest_fault(&r.l.guest)->rule, FPH_RULE_NONE);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 8), 3);
	cr_expect_eq(fph_guest_held(&r.l.guest), 0);
	cr_expect_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(rig_guest_show(&r, 0x80000002), FPH_GUEST_FEED);
}

/* G22: the reset is asked for, and not over yet */
Test(status_guest, g13_g16_ranges_come_back_only_when_the_reset_is_over)
{
	struct fph_range back[8];

	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 3), 3);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	cr_assert_eq(rig_guest_hint(&r, 3, 1), 1);
	r.dev.ignore_reset = true;
	for (unsigned i = 0; i < 10; i++) {
		cr_expect_eq(fph_guest_reset(&r.l.guest), -EAGAIN);
		cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 8), 0);
		cr_expect_eq(fph_guest_held(&r.l.guest), 0x4000);
	}
	cr_expect_eq(r.dev.resets, 2, "at attach, and asked once now");
	r.dev.status = 0;
	cr_expect_eq(fph_guest_reset(&r.l.guest), 0);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 8), 4);
	cr_expect_eq(fph_guest_held(&r.l.guest), 0);
	cr_expect_eq(loop_guest_stats(&r.l).resets, 2);
}

/* G-15: between the request and its end nothing is shown and no doorbell rung. */
Test(status_guest, g15_guest_is_silent_while_a_reset_is_under_way)
{
	unsigned kicks;
	uint16_t idx;

	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 1), 1);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	idx = raw_read_avail_idx(&r.dev.vq[3]);
	kicks = r.dev.kicks[3] + r.dev.kicks[2];
	r.dev.ignore_reset = true;
	cr_assert_eq(fph_guest_reset(&r.l.guest), -EAGAIN);
	r.dev.irq = 0;
	cr_expect_lt(rig_guest_hint(&r, 1, 1), 0);
	cr_expect_lt(fph_guest_flush(&r.l.guest), 0);
	cr_expect_lt(fph_guest_end(&r.l.guest), 0);
	cr_expect_lt(loop_step(&r.l), 0);
	r.l.now_us += 1000000;
	cr_expect_lt(loop_step(&r.l), 0);
	cr_expect_eq(raw_read_avail_idx(&r.dev.vq[3]), idx);
	cr_expect_eq(r.dev.kicks[3] + r.dev.kicks[2], kicks);
}

Test(status_guest, g15_guest_does_not_ring_before_driver_ok)
{
	struct raw_device *d = &r.dev;

	rig_guest_options(&r);
	d->refuse = FPH_STATUS_FEATURES_OK;
	rig_guest(&r);
	cr_expect_eq(fph_guest_attach(&r.l.guest), -EOPNOTSUPP);
	cr_expect_eq(d->kicks[2] + d->kicks[3], 0);
	cr_expect_eq(loop_step(&r.l), -ENOTCONN);
	cr_expect_eq(d->kicks[2] + d->kicks[3], 0);
}

/* row 56; study 38 */
Test(status_guest, interrupts_before_attach_and_after_reset_mean_nothing)
{
	rig_guest_options(&r);
	rig_guest(&r);
	raw_show(&r.dev, FPH_CONFIG_COMMAND_ID, 0x80000001);
	cr_expect_eq(loop_step(&r.l), -ENOTCONN);
	cr_expect_eq(r.dev.config_reads + r.dev.status_reads, 0);
	raw_show(&r.dev, FPH_CONFIG_COMMAND_ID, FPH_COMMAND_STOP);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_RELEASE);
	cr_assert_eq(fph_guest_reset(&r.l.guest), 0);
	raw_show(&r.dev, FPH_CONFIG_COMMAND_ID, 0x80000001);
	cr_expect_eq(loop_step(&r.l), -ENOTCONN);
	cr_expect_str_eq(fph_guest_state_name(&r.l.guest), "DOWN");
}

Test(status_guest, guest_is_busy_until_the_ranges_of_its_last_life_are_collected)
{
	struct fph_range back[8];

	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 2), 2);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	cr_expect_eq(fph_guest_attach(&r.l.guest), -EBUSY);
	cr_expect_eq(fph_guest_attach(&r.l.guest), -EBUSY);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 1), 1);
	cr_expect_eq(fph_guest_attach(&r.l.guest), -EBUSY);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 1), 1);
	cr_expect_eq(fph_guest_attach(&r.l.guest), 0);
}

/* G3, H5: a round may be open already, and its id may be one of a life before */
Test(status_guest, guest_answers_an_id_that_is_shown_when_it_comes_up)
{
	rig_guest_options(&r);
	rig_guest(&r);
	raw_show(&r.dev, FPH_CONFIG_COMMAND_ID, 0x80000005);
	r.dev.irq = 0;
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED, "G2: every id is forgotten at reset");
}
