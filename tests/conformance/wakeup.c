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

/* ------------------------------------------------------------ with EVENT_IDX */

/* Show one chain; ring as an honest driver does, if the device's event was passed.  V-16 */
static void send_by_event(enum fph_queue q, const void *bytes, uint32_t len)
{
	struct raw_vq *vq = &r.d.vq[q];
	uint64_t event = vq->place.device + 4 + 8 * (uint64_t)vq->place.size;
	uint16_t old = vq->avail, asked;

	raw_desc(vq, 0, raw_message(&r.d, q, 0, bytes, len), len,
		 q == FPH_QUEUE_REPORT ? RAW_WRITE : 0, 0);
	raw_push(vq, 0);
	raw_publish(vq);
	asked = ram_ld16(&r.l.ram, event);
	if ((uint16_t)(vq->avail - asked - 1) < (uint16_t)(vq->avail - old))
		raw_kick(&r.d, q);
}

/* V-17: the device asks for the next doorbell of each queue, not for the first one only. */
Test(wakeup, every_buffer_of_every_queue_is_rung_for_by_event)
{
	static const enum fph_queue queues[] = { FPH_QUEUE_INFLATE, FPH_QUEUE_DEFLATE,
						 FPH_QUEUE_REPORT };
	static const unsigned char stat[FPH_STAT_BYTES] = { 0 };
	const uint32_t pfn = 0x300;

	rig_up(&r, FPH_F_EVENT_IDX | FPH_F_PAGE_REPORTING);
	for (unsigned i = 0; i < 3; i++) {
		for (uint16_t n = 1; n <= 5; n++) {
			send_by_event(queues[i], &pfn, sizeof(pfn));
			cr_assert_eq(raw_used_idx(&r.d.vq[queues[i]]), n,
				     "queue %u never hears of buffer %u", queues[i], n);
		}
	}
	for (unsigned n = 1; n <= 5; n++) {
		send_by_event(FPH_QUEUE_STATS, stat, sizeof(stat));
		cr_assert_eq(r.l.stat_calls, n, "statistics %u are not heard of", n);
		cr_assert_eq(fph_device_ask_stats(&r.l.dev), 0);
	}
}

static const uint64_t formats[] = { FPH_F_EVENT_IDX, FPH_F_EVENT_IDX | FPH_F_RING_PACKED };

/* V-14, P-12: and the guest for the next interrupt, not for the first one only. */
Test(wakeup, every_return_is_told_of_by_event)
{
	struct fph_range out[2];

	for (unsigned f = 0; f < 2; f++) {
		loop_options(&r.l);
		r.l.dev_opts.offer |= formats[f];
		loop_open(&r.l);
		loop_attach(&r.l);
		loop_round(&r.l);
		loop_hint(&r.l, 0, 8);
		cr_assert_eq(fph_guest_end(&r.l.guest), 0);
		cr_assert_eq(fph_device_poll(&r.l.dev, out, 2), 2);
		cr_assert_geq(loop_step(&r.l), 0);
		for (unsigned n = 1; n <= 3; n++) {
			unsigned before = r.l.interrupts;

			cr_assert_eq(fph_device_poll(&r.l.dev, out, 2), 2);
			cr_expect_gt(r.l.interrupts, before, "format %u: nobody is told of return %u",
				     f, n);
			cr_assert(loop_step(&r.l) & FPH_GUEST_RECLAIM);
			cr_assert_eq(fph_guest_reclaim(&r.l.guest, out, 2), 2);
		}
	}
}

/* BS-2, BS-3: each time the device wants statistics, the guest hears of it, and it of them. */
Test(wakeup, every_wish_for_statistics_is_told_of_by_event)
{
	for (unsigned f = 0; f < 2; f++) {
		loop_options(&r.l);
		r.l.dev_opts.offer |= formats[f];
		loop_open(&r.l);
		loop_attach(&r.l);
		for (unsigned n = 1; n <= 5; n++) {
			unsigned interrupts = r.l.interrupts, calls = r.l.stat_calls;

			cr_assert_eq(fph_device_ask_stats(&r.l.dev), 0);
			cr_expect_eq(r.l.interrupts, interrupts + 1, "format %u, wish %u", f, n);
			cr_assert_geq(loop_step(&r.l), 0);
			cr_assert_gt(r.l.stat_calls, calls, "format %u, answer %u", f, n);
		}
	}
}

/* ------------------------------------------------------------ a guest that waits */

#define HINT_RING (&r.dev.vq[RIG_HINT_QUEUE])

/* The bits are taken once; so what they tell of must be looked at behind that.  M-8, PC-6 */
static int use_meanwhile(struct raw_device *d, const char *verb)
{
	if (strcmp(verb, "take_irq"))
		return 0;
	d->before = NULL;
	rig_guest_use(&r, 0);
	return 0;
}

Test(wakeup, an_interrupt_in_the_midst_of_a_step_is_not_lost)
{
	rig_guest_up(&r);
	cr_assert(rig_guest_show(&r, 7) & FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 4), 4);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	r.dev.before = use_meanwhile;
	cr_expect(loop_step(&r.l) & FPH_GUEST_RECLAIM);
	cr_expect_eq(r.dev.irq, 0, "nothing is left that would be told of again");
}

static void small_ring(void)
{
	rig_guest_options(&r);
	r.l.guest_opts.ring_size = 4;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_assert(rig_guest_show(&r, 7) & FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 3), 2, "START, two hints, and room for STOP");
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
}

/* START comes back first and alone, as QEMU does it: no reason to hint, nor to end. */
static void expect_patience(void)
{
	struct fph_range out[4];

	cr_assert_eq(rig_guest_use(&r, 1), 1);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED);
	cr_assert_eq(fph_guest_reclaim(&r.l.guest, out, 4), 0, "so the caller waits");
	cr_expect_eq(raw_read_avail_flags(HINT_RING), 0, "and nobody would tell it");
	cr_assert_eq(rig_guest_use(&r, 1), 1);
	cr_expect(loop_step(&r.l) & FPH_GUEST_RECLAIM);
}

Test(wakeup, who_found_the_ring_full_is_told_when_a_range_comes_back)
{
	small_ring();
	expect_patience();
}

Test(wakeup, who_found_no_room_to_end_is_told_when_a_range_comes_back)
{
	small_ring();
	cr_assert(rig_guest_show(&r, 8) & FPH_GUEST_FEED);
	cr_assert_eq(fph_guest_end(&r.l.guest), -EAGAIN);
	expect_patience();
}

static int lose_bell(struct raw_device *d, const char *verb)
{
	if (strcmp(verb, "notify"))
		return 0;
	d->before = NULL;
	return -EIO;
}

/* What was hinted since is not shown by that: it may not be flushed for a while. */
Test(wakeup, a_doorbell_that_failed_is_rung_again_and_shows_nothing_else)
{
	rig_guest_up(&r);
	cr_assert(rig_guest_show(&r, 7) & FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 1), 1);
	r.dev.before = lose_bell;
	cr_assert_eq(fph_guest_flush(&r.l.guest), -EIO);
	cr_assert_eq(rig_guest_hint(&r, 1, 1), 1);
	r.dev.kicks[RIG_HINT_QUEUE] = 0;
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED);
	cr_expect_eq(r.dev.kicks[RIG_HINT_QUEUE], 1);
	cr_expect_eq(raw_read_avail_idx(HINT_RING), 2, "START and the first hint");
}

/* ------------------------------------------------------------ a device that was not told */

#define ALL_OK 0xf

/* A buffer in each queue. */
static void put_everywhere(bool kick)
{
	const uint32_t word[3] = { 0x300 };

	for (unsigned q = 0; q < 4; q++) {
		raw_lay_out(&r.d, (enum fph_queue)q, (uint16_t)q, 16);
		cr_assert_eq(raw_enable(&r.d, (enum fph_queue)q), 0);
		raw_desc(&r.d.vq[q], 0, raw_message(&r.d, (enum fph_queue)q, 0, word, 10),
			 q == FPH_QUEUE_STATS ? 10 : 4, 0, 0);
		raw_push(&r.d.vq[q], 0);
		raw_publish(&r.d.vq[q]);
		if (kick)
			cr_assert_eq(raw_kick(&r.d, (enum fph_queue)q), 0);
	}
}

static void expect_seen(void)
{
	cr_expect_eq(r.l.page_calls, 2);
	cr_expect_eq(r.l.stat_calls, 1);
	cr_expect_eq(r.l.doorbells, 1);
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), 0);
}

/* G-4; Linux announces its first statistics before DRIVER_OK, and never again.  BS-2 */
Test(wakeup, what_is_there_at_driver_ok_is_looked_at)
{
	rig_options(&r);
	rig_device(&r);
	cr_assert_eq(raw_negotiate(&r.d, RAW_FEATURES), 0);
	put_everywhere(true);
	cr_assert_eq(r.l.page_calls + r.l.stat_calls + r.l.doorbells, 0);
	cr_assert_eq(raw_driver_ok(&r.d), 0);
	expect_seen();
}

/* S-3; a doorbell may be overtaken by the driver's wish that the device sleep. */
Test(wakeup, what_is_there_at_resume_is_looked_at)
{
	rig_options(&r);
	r.l.dev_opts.offer = FPH_F_SUSPEND;
	rig_device(&r);
	cr_assert_eq(raw_negotiate(&r.d, RAW_FEATURES | FPH_F_SUSPEND), 0);
	cr_assert_eq(raw_driver_ok(&r.d), 0);
	put_everywhere(false);
	cr_assert_eq(raw_set_status(&r.d, ALL_OK | FPH_STATUS_SUSPEND), 0);
	for (unsigned q = 0; q < 4; q++)
		cr_assert_eq(raw_kick(&r.d, (enum fph_queue)q), 0);
	cr_assert_eq(r.l.page_calls + r.l.stat_calls + r.l.doorbells, 0, "it sleeps");
	cr_assert_eq(raw_set_status(&r.d, ALL_OK), 0);
	expect_seen();
}

/* Tables make an honest ring longer than what is served at once.  V-10 */
Test(wakeup, what_is_left_of_a_long_queue_is_told_to_the_owner)
{
	struct raw_vq *vq;
	uint64_t table = RAW_MESSAGE_AT(FPH_QUEUE_INFLATE);

	rig_up(&r, FPH_F_INDIRECT_DESC);
	vq = &r.d.vq[FPH_QUEUE_INFLATE];
	for (unsigned i = 0; i < RAW_RING_SIZE; i++) {
		ram_st64(&r.l.ram, table + 16 * i, table + 0x1000);
		ram_st32(&r.l.ram, table + 16 * i + 8, 4);
		ram_st16(&r.l.ram, table + 16 * i + 12, i + 1 < RAW_RING_SIZE ? RAW_NEXT : 0);
		ram_st16(&r.l.ram, table + 16 * i + 14, (uint16_t)(i + 1));
		raw_desc(vq, (uint16_t)i, table, 16 * RAW_RING_SIZE, RAW_INDIRECT, 0);
		raw_push(vq, (uint16_t)i);
	}
	raw_publish(vq);
	raw_kick(&r.d, FPH_QUEUE_INFLATE);
	while (r.l.doorbells) {
		r.l.doorbells = 0;
		cr_assert_eq(rig_poll(&r), 0);
	}
	cr_expect_eq(raw_used_idx(vq), RAW_RING_SIZE, "the driver waits for the rest for ever");
}
