/* SPDX-License-Identifier: MIT */
/* A device that its driver has suspended, virtio 1.4, 2.1: clauses S-1 to S-6. */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>

#define RUNS \
	(FPH_STATUS_ACKNOWLEDGE | FPH_STATUS_DRIVER | FPH_STATUS_FEATURES_OK | FPH_STATUS_DRIVER_OK)
#define SLEEPS ((RUNS & ~FPH_STATUS_DRIVER_OK) | FPH_STATUS_SUSPEND)

static struct rig r;

/* ------------------------------------------------------------ device */

static void device_up(void)
{
	rig_options(&r);
	r.l.dev_opts.offer = FPH_F_SUSPEND;
	rig_device(&r);
	raw_up(&r.d, RAW_FEATURES | FPH_F_SUSPEND);
	raw_take_irq(&r.d);
}

static void suspend(void)
{
	cr_assert_eq(raw_set_status(&r.d, raw_status(&r.d) | FPH_STATUS_SUSPEND), 0);
}

static void expect_sleep(void)
{
	cr_expect_eq(raw_status(&r.d), SLEEPS);
}

static void resume(void)
{
	cr_assert_eq(raw_set_status(&r.d, raw_status(&r.d) | FPH_STATUS_DRIVER_OK), 0);
	cr_expect_eq(raw_status(&r.d), RUNS);
}

Test(suspend, s4_device_ignores_suspend_before_it_is_up)
{
	rig_options(&r);
	r.l.dev_opts.offer = FPH_F_SUSPEND;
	rig_device(&r);
	for (unsigned status = FPH_STATUS_ACKNOWLEDGE; status <= 0x0b; status = status * 2 + 1) {
		raw_set_status(&r.d, (uint8_t)(status | FPH_STATUS_SUSPEND));
		cr_expect_eq(raw_status(&r.d) & FPH_STATUS_SUSPEND, 0, "%#x", status);
	}
	raw_up(&r.d, RAW_FEATURES | FPH_F_SUSPEND);
	cr_expect_eq(raw_status(&r.d), RUNS);
}

Test(suspend, s1_device_ignores_suspend_that_was_not_negotiated)
{
	rig_options(&r);
	r.l.dev_opts.offer = FPH_F_SUSPEND;
	rig_device(&r);
	raw_up(&r.d, RAW_FEATURES);
	suspend();
	cr_expect_eq(raw_status(&r.d), RUNS);
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x2000);
	cr_expect_eq(rig_poll(&r), 1);
}

/* Every verb and every call of the embedder's; the ring, the field and the driver see nothing. */
Test(suspend, s4_suspended_device_does_nothing)
{
	struct fph_vq_place place;
	uint16_t index = 0, used;
	uint32_t shown;

	device_up();
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x2000);
	cr_assert_eq(rig_poll(&r), 1);
	cr_assert_eq(fph_device_ack(&r.l.dev), 0);
	place = r.d.hint->place;
	suspend();
	expect_sleep();
	raw_take_irq(&r.d);
	used = raw_used_idx(r.d.hint);
	shown = raw_config32(&r.d, FPH_CONFIG_COMMAND_ID);
	r.l.interrupts = r.l.doorbells = 0;

	raw_hint(&r.d, 1, RAM_HIGH + 0x4000, 0x2000);
	cr_expect_eq(raw_kick(&r.d, FPH_QUEUE_HINT), 0);
	cr_expect_eq(rig_poll(&r), -ENOTCONN);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(fph_device_start(&r.l.dev), -ENOTCONN);
	cr_expect_eq(fph_device_stop(&r.l.dev), 0);
	cr_expect_eq(fph_device_set_num_pages(&r.l.dev, 77), 0);
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), -ENOTCONN);
	cr_expect_eq(fph_device_set_mem(&r.l.dev, r.l.dev_opts.mem), 0);
	cr_expect_eq(fph_device_done(&r.l.dev), 0);
	cr_expect_eq(raw_set_config32(&r.d, FPH_CONFIG_ACTUAL, 5), -EPROTO);
	cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, r.d.hint->index, &index), -EPROTO);
	cr_expect_eq(r.d.bus.ops->vq_enable(r.d.bus.ctx, r.d.hint->index, &place), -EPROTO);

	expect_sleep();
	cr_expect_eq(raw_used_idx(r.d.hint), used);
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_COMMAND_ID), shown);
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_NUM_PAGES), 0);
	cr_expect_eq(fph_device_actual(&r.l.dev), 0);
	cr_expect_eq(r.l.interrupts, 0);
	cr_expect_eq(r.l.doorbells, 0);
	cr_expect_eq(raw_take_irq(&r.d), 0);
}

Test(suspend, s4_what_changed_meanwhile_is_told_at_the_resume)
{
	device_up();
	suspend();
	cr_expect_eq(fph_device_set_num_pages(&r.l.dev, 77), 0);
	cr_expect_eq(raw_take_irq(&r.d), 0);
	resume();
	cr_expect_eq(raw_take_irq(&r.d) & FPH_IRQ_CONFIG, FPH_IRQ_CONFIG);
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_NUM_PAGES), 77);

	/* And what came back to what it was is not told. */
	suspend();
	raw_take_irq(&r.d);
	fph_device_set_num_pages(&r.l.dev, 78);
	fph_device_set_num_pages(&r.l.dev, 77);
	resume();
	cr_expect_eq(raw_take_irq(&r.d), 0);
}

/* BH-16: a migration that ends while the guest sleeps. */
Test(suspend, s4_done_of_a_suspended_time_is_shown_at_the_resume)
{
	device_up();
	rig_hinting(&r);
	cr_assert_eq(rig_poll(&r), 0);
	suspend();
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_COMMAND_ID), FPH_COMMAND_STOP);
	cr_expect_eq(fph_device_done(&r.l.dev), 0);
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_COMMAND_ID), FPH_COMMAND_STOP);
	raw_take_irq(&r.d);
	resume();
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_COMMAND_ID), FPH_COMMAND_DONE);
	cr_expect_eq(raw_take_irq(&r.d) & FPH_IRQ_CONFIG, FPH_IRQ_CONFIG);
}

/* S3: a round that was open is over, and its hints are of no round. */
Test(suspend, s4_hints_that_wait_in_the_ring_do_not_outlive_the_suspension)
{
	device_up();
	rig_hinting(&r);
	cr_assert_eq(rig_poll(&r), 0);
	raw_hint(&r.d, 0, RAM_HIGH, 0x2000);
	suspend();
	resume();
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(loop_device_stats(&r.l).hints, 0);
	cr_expect_eq(loop_device_stats(&r.l).unasked, 1);
	/* The next round works. */
	rig_start(&r);
	raw_command(&r.d, 3, fph_device_command_id(&r.l.dev));
	raw_hint(&r.d, 4, RAM_HIGH + 0x8000, 0x2000);
	cr_expect_eq(rig_poll(&r), 1);
	cr_expect_eq(rig_out[0].gpa, RAM_HIGH + 0x8000);
}

/* R9 in kind: what the embedder acts upon is not the driver's to have moved under it. */
Test(suspend, s6_device_presents_suspend_when_nothing_is_in_hand)
{
	uint16_t used;

	device_up();
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x2000);
	cr_assert_eq(rig_poll(&r), 1);
	used = raw_used_idx(r.d.hint);
	raw_take_irq(&r.d);
	suspend();
	cr_expect_eq(raw_status(&r.d), RUNS, "not yet");
	cr_expect_eq(raw_used_idx(r.d.hint), used);
	cr_assert_eq(fph_device_ack(&r.l.dev), 0);
	expect_sleep();
	cr_expect_eq(raw_used_idx(r.d.hint), r.d.hint->avail, "what was used is returned");
	cr_expect(raw_take_irq(&r.d) & FPH_IRQ_QUEUE, "and told of, before");
	resume();
}

/* Each of the embedder's calls ends the batch, and with it the wait. */
Test(suspend, s6_any_call_that_ends_the_batch_completes_the_suspension)
{
	for (unsigned call = 0; call < 6; call++) {
		device_up();
		rig_hinting(&r);
		raw_hint(&r.d, 0, RAM_HIGH, 0x2000);
		cr_assert_eq(rig_poll(&r), 1);
		suspend();
		switch (call) {
		case 0:
			cr_expect_eq(rig_poll(&r), -ENOTCONN);
			break;
		case 1:
			cr_expect_eq(fph_device_ack(&r.l.dev), 0);
			break;
		case 2:
			cr_expect_eq(fph_device_start(&r.l.dev), -ENOTCONN);
			break;
		case 3:
			cr_expect_eq(fph_device_stop(&r.l.dev), 0);
			break;
		case 4:
			cr_expect_eq(fph_device_done(&r.l.dev), 0);
			break;
		default:
			cr_expect_eq(fph_device_set_mem(&r.l.dev, r.l.dev_opts.mem), 0);
			break;
		}
		expect_sleep();
		resume();
		cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_COMMAND_ID),
			     call == 4 ? FPH_COMMAND_DONE : FPH_COMMAND_STOP, "call %u", call);
	}
}

/* A driver that wakes up before the device went to sleep. */
Test(suspend, s3_device_that_waits_with_a_batch_in_hand_is_called_back)
{
	device_up();
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x2000);
	cr_assert_eq(rig_poll(&r), 1);
	suspend();
	cr_assert_eq(raw_set_status(&r.d, RUNS), 0);
	cr_assert_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(raw_status(&r.d), RUNS, "it does not fall asleep later");
	raw_hint(&r.d, 1, RAM_HIGH + 0x4000, 0x2000);
	cr_expect_eq(rig_poll(&r), 1, "and the round goes on");
}

/* Drivers that write what they mean, and drivers that only ever add bits (G-2). */
Test(suspend, s3_device_resumes_by_driver_ok_with_and_without_suspend)
{
	for (unsigned keep = 0; keep < 2; keep++) {
		device_up();
		suspend();
		suspend();
		expect_sleep();
		cr_expect_eq(
			raw_set_status(&r.d, (uint8_t)(RUNS | (keep ? FPH_STATUS_SUSPEND : 0))), 0);
		cr_expect_eq(raw_status(&r.d), RUNS);
	}
}

Test(suspend, s4_reset_of_a_suspended_device)
{
	for (unsigned hand = 0; hand < 2; hand++) {
		device_up();
		rig_hinting(&r);
		raw_hint(&r.d, 0, RAM_HIGH, 0x2000);
		cr_assert_eq(rig_poll(&r), 1);
		if (!hand)
			cr_assert_eq(fph_device_ack(&r.l.dev), 0);
		suspend();
		fph_device_set_num_pages(&r.l.dev, 9);
		cr_assert_eq(raw_set_status(&r.d, 0), 0);
		cr_expect_eq(raw_status(&r.d) == 0, !hand, "R9");
		cr_assert_eq(fph_device_ack(&r.l.dev), 0);
		cr_expect_eq(raw_status(&r.d), 0);
		cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_NUM_PAGES), 9);
		rig_expect_works_after_reset(&r);
	}
}

/* The embedder took the ring's memory away. */
Test(suspend, s5_device_that_cannot_resume_asks_for_reset)
{
	static const struct fph_mem none = { NULL, 0 };

	device_up();
	suspend();
	raw_take_irq(&r.d);
	cr_expect_eq(fph_device_set_mem(&r.l.dev, &none), -EPROTO);
	cr_expect_eq(raw_take_irq(&r.d), 0, "nothing is notified until the resume");
	cr_expect_eq(raw_set_status(&r.d, raw_status(&r.d) | FPH_STATUS_DRIVER_OK), 0);
	cr_expect(raw_status(&r.d) & FPH_STATUS_NEEDS_RESET);
	cr_expect_eq(raw_take_irq(&r.d) & FPH_IRQ_CONFIG, FPH_IRQ_CONFIG);
	cr_expect_eq(rig_poll(&r), -EPROTO);
}

/* ------------------------------------------------------------ guest */

static void guest_up(void)
{
	rig_guest_options(&r);
	r.dev.offered |= FPH_F_SUSPEND;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
}

Test(suspend, s1_guest_suspends_only_what_runs_and_negotiated_it)
{
	rig_guest_options(&r);
	rig_guest(&r);
	cr_expect_eq(fph_guest_suspend(&r.l.guest), -ENOTCONN);
	cr_expect_eq(fph_guest_resume(&r.l.guest), -ENOTCONN);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(fph_guest_suspend(&r.l.guest), -EOPNOTSUPP);
	cr_expect_eq(fph_guest_resume(&r.l.guest), 0, "it never slept");
	cr_expect_eq(r.dev.status, RUNS);
}

Test(suspend, s2_guest_waits_until_the_device_sleeps)
{
	guest_up();
	r.dev.refuse = FPH_STATUS_SUSPEND;
	cr_expect_eq(fph_guest_suspend(&r.l.guest), -EAGAIN);
	cr_expect_eq(fph_guest_suspend(&r.l.guest), -EAGAIN);
	r.dev.status |= FPH_STATUS_SUSPEND; /* both bits: not yet */
	cr_expect_eq(fph_guest_suspend(&r.l.guest), -EAGAIN);
	r.dev.status = SLEEPS;
	cr_expect_eq(fph_guest_suspend(&r.l.guest), 0);
	cr_expect_eq(fph_guest_suspend(&r.l.guest), 0, "once more does no harm");
}

static unsigned verbs;

static int count_verbs(struct raw_device *d, const char *verb)
{
	(void)d;
	(void)verb;
	verbs++;
	return 0;
}

/* From the moment that it asked, not from when it was told. */
Test(suspend, s2_guest_says_nothing_to_a_suspended_device)
{
	struct fph_range pages = { RAM_HIGH, 0x1000 }, back[16];

	for (unsigned told = 0; told < 2; told++) {
		guest_up();
		cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
		cr_assert_eq(rig_guest_hint(&r, 0, 3), 3);
		cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
		rig_guest_use(&r, 2);
		cr_assert_geq(loop_step(&r.l), 0);
		cr_expect_eq(fph_guest_suspend(&r.l.guest), -EAGAIN);
		if (told) {
			r.dev.status = SLEEPS;
			cr_expect_eq(fph_guest_suspend(&r.l.guest), 0);
		}
		verbs = 0;
		r.dev.before = count_verbs;
		raw_show(&r.dev, FPH_CONFIG_COMMAND_ID, FPH_COMMAND_DONE);
		cr_expect_eq(loop_step(&r.l), -ENOTCONN);
		cr_expect_eq(fph_guest_hint(&r.l.guest, &pages, 1), -ENOTCONN);
		cr_expect_eq(fph_guest_flush(&r.l.guest), -ENOTCONN);
		cr_expect_eq(fph_guest_end(&r.l.guest), -ENOTCONN);
		cr_expect_eq(verbs, 0);
		cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 16), 1, "what came back before");
		cr_expect_eq(fph_guest_held(&r.l.guest), 0x2000, "the rest stays hinted");
	}
}

Test(suspend, s3_guest_waits_until_the_device_runs)
{
	guest_up();
	cr_expect_eq(fph_guest_suspend(&r.l.guest), -EAGAIN);
	r.dev.status = SLEEPS;
	cr_expect_eq(fph_guest_suspend(&r.l.guest), 0);
	cr_expect_eq(fph_guest_resume(&r.l.guest), -EAGAIN);
	cr_expect_eq(r.dev.status & FPH_STATUS_DRIVER_OK, FPH_STATUS_DRIVER_OK, "was written");
	cr_expect_eq(loop_step(&r.l), -ENOTCONN);
	r.dev.status = RUNS;
	cr_expect_eq(fph_guest_resume(&r.l.guest), 0);
	/* The field is read again, notified or not. */
	r.dev.irq = 0;
	r.dev.config[FPH_CONFIG_COMMAND_ID] = 9;
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED);
}

Test(suspend, s5_guest_sees_a_device_that_failed)
{
	guest_up();
	r.dev.refuse = FPH_STATUS_SUSPEND;
	cr_expect_eq(fph_guest_suspend(&r.l.guest), -EAGAIN);
	r.dev.status |= FPH_STATUS_NEEDS_RESET;
	cr_expect_eq(fph_guest_suspend(&r.l.guest), -EPROTO);
	cr_expect_eq(fph_guest_fault(&r.l.guest)->rule, FPH_RULE_NEEDS_RESET);
	cr_expect_eq(fph_guest_resume(&r.l.guest), -EPROTO);
	r.dev.refuse = 0;
	r.dev.status = 0;
	cr_expect_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_geq(loop_step(&r.l), 0);
}

static int no_status(struct raw_device *d, const char *verb)
{
	(void)d;
	return verb[0] == 's' ? -EIO : 0; /* status, set_status, set_config */
}

Test(suspend, s2_s3_guest_asks_again_when_the_wire_failed)
{
	guest_up();
	r.dev.before = no_status;
	cr_expect_eq(fph_guest_suspend(&r.l.guest), -EIO);
	r.dev.before = NULL;
	cr_expect_eq(fph_guest_suspend(&r.l.guest), -EAGAIN);
	r.dev.status = SLEEPS;
	cr_expect_eq(fph_guest_suspend(&r.l.guest), 0);
	r.dev.before = no_status;
	cr_expect_eq(fph_guest_resume(&r.l.guest), -EIO);
	r.dev.before = NULL;
	cr_expect_eq(fph_guest_resume(&r.l.guest), -EAGAIN);
	r.dev.status = RUNS;
	cr_expect_eq(fph_guest_resume(&r.l.guest), 0);
}

/* ------------------------------------------------------------ both */

Test(suspend, both_ends_sleep_in_mid_round_and_nothing_is_lost)
{
	struct fph_range out[16], back[16];

	loop_options(&r.l);
	r.l.dev_opts.offer = FPH_F_SUSPEND;
	loop_open(&r.l);
	loop_attach(&r.l);
	loop_round(&r.l);
	loop_hint(&r.l, 0, 4);
	cr_assert_eq(fph_device_poll(&r.l.dev, out, 2), 2);
	cr_expect_eq(fph_guest_suspend(&r.l.guest), -EAGAIN, "a batch is in hand");
	cr_expect_eq(fph_device_poll(&r.l.dev, out, 16), -ENOTCONN);
	cr_expect_eq(fph_guest_suspend(&r.l.guest), 0);
	cr_expect_eq(fph_device_start(&r.l.dev), -ENOTCONN);
	cr_expect_eq(fph_guest_held(&r.l.guest), 4 * 0x1000);
	cr_expect_eq(fph_guest_resume(&r.l.guest), 0);
	cr_expect_geq(loop_step(&r.l), 0);
	/* The two that were not taken are of no round now. */
	cr_expect_eq(loop_poll_all(&r.l, out, 16), 0);
	cr_assert_eq(fph_device_done(&r.l.dev), 0);
	cr_expect_geq(loop_step(&r.l), 0);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 16), 4, "every page comes back");
	cr_expect_eq(fph_guest_held(&r.l.guest), 0);
	/* The next round. */
	loop_round(&r.l);
	loop_hint(&r.l, 8, 2);
	cr_expect_eq(loop_poll_all(&r.l, out, 16), 2);
}
