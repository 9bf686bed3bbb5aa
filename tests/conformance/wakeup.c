/* SPDX-License-Identifier: MIT */
/*
 * Nobody sleeps for ever: whatever an end does last before it waits, the other one will
 * tell it.  Barriers C and D; B1; R11
 */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct rig r;

/* Two of four hints are taken: doorbells are off, and more waits in the ring. */
static void in_mid_poll(void)
{
	struct fph_range out[2];

	loop_up(&r.l);
	loop_round(&r.l);
	loop_hint(&r.l, 0, 4);
	cr_assert_eq(fph_device_poll(&r.l.dev, out, 2), 2);
	r.l.doorbells = 0;
}

static void expect_told(const char *after)
{
	struct fph_guest_stats before = loop_guest_stats(&r.l);

	cr_expect_gt(r.l.doorbells, 0, "%s: nobody is told of what waits", after);
	cr_expect_geq(fph_guest_end(&r.l.guest), 0);
	cr_expect_gt(loop_guest_stats(&r.l).kicks, before.kicks, "%s: STOP is not rung for", after);
}

Test(wakeup, after_stop_doorbells_are_on)
{
	in_mid_poll();
	cr_assert_eq(fph_device_stop(&r.l.dev), 0);
	expect_told("stop");
}

Test(wakeup, after_done_doorbells_are_on)
{
	in_mid_poll();
	cr_assert_eq(fph_device_done(&r.l.dev), 0);
	expect_told("done");
}

Test(wakeup, after_start_doorbells_are_on)
{
	in_mid_poll();
	cr_assert_eq(fph_device_start(&r.l.dev), 0);
	cr_expect_gt(r.l.doorbells, 0);
}

Test(wakeup, after_ack_doorbells_are_on)
{
	in_mid_poll();
	cr_assert_eq(fph_device_ack(&r.l.dev), 0);
	expect_told("ack");
}

Test(wakeup, after_a_new_memory_map_doorbells_are_on)
{
	in_mid_poll();
	cr_assert_eq(fph_device_set_mem(&r.l.dev, &r.l.ram.mem), 0);
	expect_told("set_mem");
}

/* Interrupts are off while the guest feeds; all came back before end() wants them on. */
Test(wakeup, what_came_back_before_interrupts_were_on_is_told_by_the_next_step)
{
	struct fph_range out[8];

	loop_up(&r.l);
	loop_round(&r.l);
	loop_hint(&r.l, 0, 4);
	cr_assert_eq(fph_device_poll(&r.l.dev, out, 8), 4);
	cr_assert_eq(fph_device_poll(&r.l.dev, out, 8), 0);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_expect(loop_step(&r.l) & FPH_GUEST_RECLAIM);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, out, 8), 4);
}

/* The bits may be taken and the answer lost on the wire: one look too many is harmless. */
static int lose_irq(struct raw_device *d, const char *verb)
{
	if (strcmp(verb, "take_irq"))
		return 0;
	d->irq = 0;
	d->before = NULL;
	return -EIO;
}

Test(wakeup, an_interrupt_whose_answer_is_lost_is_not)
{
	rig_guest_up(&r);
	raw_show(&r.dev, FPH_CONFIG_COMMAND_ID, 7);
	r.dev.before = lose_irq;
	cr_assert_eq(loop_step(&r.l), -EIO);
	cr_expect_eq(r.dev.irq, 0);
	cr_expect(loop_step(&r.l) & FPH_GUEST_FEED);
}

/* A device that broke while it served the rest of another queue touches no ring. */
Test(wakeup, poll_says_that_the_device_broke_on_another_queue)
{
	struct raw_vq *vq;

	rig_up(&r, 0);
	vq = &r.d.vq[FPH_QUEUE_INFLATE];
	/* One chain as long as the ring, made available until the ring is full. */
	for (unsigned i = 0; i < RAW_RING_SIZE; i++)
		raw_desc(vq, (uint16_t)i, RAW_MESSAGE_AT(FPH_QUEUE_INFLATE), 4,
			 i + 1 < RAW_RING_SIZE ? RAW_NEXT : 0, (uint16_t)(i + 1));
	for (unsigned i = 0; i < RAW_RING_SIZE; i++)
		raw_push(vq, 0);
	raw_publish(vq);
	raw_kick(&r.d, FPH_QUEUE_INFLATE);
	cr_assert_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE);
	cr_assert_lt((unsigned)raw_used_idx(vq), RAW_RING_SIZE, "all of it was served at once");
	raw_desc(vq, 0, RAW_MESSAGE_AT(FPH_QUEUE_INFLATE), 0, 0, 0);
	cr_expect_eq(rig_poll(&r), -EPROTO);
	cr_expect_eq(raw_used_flags(r.d.hint), 0, "the hint queue was touched");
}
