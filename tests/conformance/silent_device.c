/* SPDX-License-Identifier: MIT */
/*
 * A device that returns nothing, answers late, or cannot be reached: rows 55 and 57 of
 * the list of hostile inputs, and 39 and 100 of its longer version ("study").
 */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define ID	    0x80000001u

static struct rig r;

/* A round with n hints shown, after START: descriptors 0 to n. */
static void feeding(unsigned n)
{
	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, ID), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, n), (int)n);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
}

Test(silent_device, row_57_a_device_that_returns_nothing_is_reported_and_not_waited_for)
{
	struct fph_range back[4];
	unsigned kicks;

	rig_guest_options(&r);
	r.l.guest_opts.rekick_us = 1000;
	r.l.guest_opts.stall_us = 10000;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	r.l.now_us = 5000000;
	cr_assert_eq(rig_guest_show(&r, ID), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 3), 3);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_expect_eq(loop_step(&r.l), 0);
	kicks = r.dev.kicks[3];
	r.l.now_us += 999;
	cr_expect_eq(loop_step(&r.l), 0);
	cr_expect_eq(r.dev.kicks[3], kicks);
	r.l.now_us += 1;
	cr_expect_eq(loop_step(&r.l), 0);
	cr_expect_eq(r.dev.kicks[3], kicks + 1, "B1: the doorbell may have been lost");
	cr_expect_eq(loop_step(&r.l), 0);
	cr_expect_eq(r.dev.kicks[3], kicks + 1);
	r.l.now_us += 8999;
	cr_expect_eq(loop_step(&r.l), 0);
	cr_expect_eq(r.dev.kicks[3], kicks + 2);
	r.l.now_us += 1;
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_STALLED);
	cr_expect_eq(loop_guest_stats(&r.l).rekicks, 2);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 4), 0, "and still nothing is ours");
	cr_expect_eq(fph_guest_held(&r.l.guest), 0x3000);
	/* One buffer back, and it is not stalled any more. */
	rig_guest_use(&r, 2);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_RECLAIM);
	r.l.now_us += 9999;
	cr_expect_eq(loop_step(&r.l) & FPH_GUEST_STALLED, 0);
	r.l.now_us += 1;
	cr_expect_eq(loop_step(&r.l) & FPH_GUEST_STALLED, FPH_GUEST_STALLED);
	rig_guest_use(&r, 0);
	cr_expect_eq(loop_step(&r.l) & FPH_GUEST_STALLED, 0);
	r.l.now_us += 1000000;
	kicks = r.dev.kicks[3];
	cr_expect_eq(loop_step(&r.l) & FPH_GUEST_STALLED, 0, "nothing is out, so nobody is late");
	cr_expect_eq(r.dev.kicks[3], kicks);
}

/* study 100: a clock that stands, goes back, or does not exist */
Test(silent_device, study_100_clocks_of_any_kind)
{
	static const uint64_t times[] = { 0, 0, 5, 3, UINT64_MAX, 0, 1, UINT64_MAX - 1, 7 };

	feeding(3);
	for (unsigned i = 0; i < 100; i++) {
		r.l.now_us = times[i % COUNT_OF(times)];
		cr_assert_geq(loop_step(&r.l), 0);
	}
	/* Without a clock nothing is rung twice. */
	feeding(3);
	for (unsigned i = 0; i < 100; i++)
		cr_assert_eq(loop_step(&r.l), FPH_GUEST_FEED);
	cr_expect_eq(r.dev.kicks[3], 1);
}

Test(silent_device, time_outs_of_all_ones_never_pass)
{
	rig_guest_options(&r);
	r.l.guest_opts.rekick_us = UINT64_MAX;
	r.l.guest_opts.stall_us = UINT64_MAX;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_assert_eq(rig_guest_show(&r, ID), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 3), 3);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_expect_eq(loop_step(&r.l), 0);
	r.l.now_us = UINT64_MAX;
	cr_expect_eq(loop_step(&r.l), 0);
	cr_expect_eq(r.dev.kicks[3], 1);
}

Test(silent_device, time_outs_have_defaults)
{
	feeding(3);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_expect_eq(loop_step(&r.l), 0);
	r.l.now_us = 99999;
	cr_expect_eq(loop_step(&r.l), 0);
	cr_expect_eq(loop_guest_stats(&r.l).rekicks, 0);
	r.l.now_us = 100000;
	cr_expect_eq(loop_step(&r.l), 0);
	cr_expect_eq(loop_guest_stats(&r.l).rekicks, 1);
	r.l.now_us = 9999999;
	cr_expect_eq(loop_step(&r.l), 0);
	r.l.now_us = 10000000;
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_STALLED);
}

/* row 57, study 39: the ring is full and stays so */
Test(silent_device, row_57_a_full_ring_takes_no_more_and_loses_none)
{
	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, ID), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 60), 14);
	for (unsigned i = 0; i < 1000; i++) {
		cr_assert_eq(rig_guest_hint(&r, 20, 1), 0);
		cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	}
	cr_expect_eq(r.dev.kicks[3], 1);
	cr_expect_eq(fph_guest_held(&r.l.guest), 14 * 0x1000);
	cr_expect_eq(fph_guest_reset(&r.l.guest), 0);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, rig_out, 16), 14);
}

/* row 57, new rounds on top: ids without end and no buffer ever back */
Test(silent_device, row_57_endless_rounds_with_no_buffer_back_stop_at_the_ring)
{
	rig_guest_up(&r);
	for (uint32_t id = ID; id < ID + 1000; id++) {
		cr_assert_geq(rig_guest_show(&r, id), 0);
		cr_assert_geq(rig_guest_hint(&r, 0, 1), -EAGAIN);
		cr_assert_geq(fph_guest_end(&r.l.guest), -EAGAIN);
		cr_assert_leq(raw_read_avail_idx(&r.dev.vq[3]), 16);
	}
}

/* The wire's trouble is not the device's: an error, and no fault. */
static int broken_wire(struct raw_device *d, const char *verb)
{
	(void)d;
	return strcmp(verb, "notify") == 0 ? -EIO : 0;
}

Test(silent_device, a_doorbell_that_failed_is_rung_again)
{
	feeding(1);
	r.dev.before = broken_wire;
	cr_assert_eq(rig_guest_hint(&r, 1, 1), 1);
	cr_expect_eq(fph_guest_flush(&r.l.guest), -EIO);
	cr_expect_eq(fph_guest_fault(&r.l.guest)->rule, FPH_RULE_NONE);
	cr_expect_eq(loop_step(&r.l), -EIO, "still owed");
	r.dev.before = NULL;
	r.dev.kicks[3] = 0;
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED);
	cr_expect_eq(r.dev.kicks[3], 1);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED);
	cr_expect_eq(r.dev.kicks[3], 1, "once");
}

Test(silent_device, a_doorbell_for_stop_that_failed_is_rung_again)
{
	feeding(1);
	r.dev.before = broken_wire;
	cr_expect_eq(fph_guest_end(&r.l.guest), -EIO);
	cr_expect_str_eq(fph_guest_state_name(&r.l.guest), "HOLDING");
	r.dev.before = NULL;
	r.dev.kicks[3] = 0;
	cr_expect_eq(fph_guest_end(&r.l.guest), 0);
	cr_expect_eq(r.dev.kicks[3], 1);
	cr_expect_eq(raw_read_avail_idx(&r.dev.vq[3]), 3, "and STOP is there once");
}

/* Nor has a device without a statistics queue the last word. */
Test(silent_device, a_device_without_statistics_is_rung_again_too)
{
	rig_guest_options(&r);
	r.dev.offered = FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_assert_eq(rig_guest_show(&r, ID), FPH_GUEST_FEED);
	r.dev.before = broken_wire;
	cr_assert_eq(rig_guest_hint(&r, 0, 1), 1);
	cr_expect_eq(fph_guest_flush(&r.l.guest), -EIO);
	r.dev.before = NULL;
	memset(r.dev.kicks, 0, sizeof(r.dev.kicks));
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED);
	cr_expect_eq(r.dev.kicks[2], 1, "what failed");
	r.l.now_us = 99999;
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED);
	cr_expect_eq(r.dev.kicks[2], 1);
	r.l.now_us = 100000;
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED);
	cr_expect_eq(r.dev.kicks[2], 2, "what was lost");
}

/* The same for statistics: the buffer was shown, so somebody must say so. */
Test(silent_device, a_doorbell_for_statistics_that_failed_is_rung_again)
{
	rig_guest_up(&r);
	raw_use(&r.dev, 2, 0, 0);
	raw_show_used(&r.dev, 2);
	r.dev.before = broken_wire;
	cr_expect_eq(loop_step(&r.l), -EIO);
	r.dev.before = NULL;
	r.dev.kicks[2] = 0;
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(loop_step(&r.l), FPH_GUEST_RELEASE);
	cr_expect_eq(r.dev.kicks[2], 1, "or the device never looks at it");
}

Test(silent_device, a_doorbell_owed_is_forgotten_at_reset)
{
	rig_guest_up(&r);
	raw_use(&r.dev, 2, 0, 0);
	raw_show_used(&r.dev, 2);
	r.dev.before = broken_wire;
	cr_expect_eq(loop_step(&r.l), -EIO);
	cr_assert_eq(rig_guest_show(&r, ID), -EIO);
	r.dev.before = NULL;
	memset(r.dev.config, 0, sizeof(r.dev.config));
	memset(r.dev.kicks, 0, sizeof(r.dev.kicks));
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(raw_read_avail_idx(&r.dev.vq[2]), 1, "BS-2: offered anew");
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_RELEASE);
	cr_expect_eq(r.dev.kicks[2], 1);
	cr_expect_eq(r.dev.kicks[3], 0);
}
