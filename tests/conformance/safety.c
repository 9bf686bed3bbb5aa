/* SPDX-License-Identifier: MIT */
/*
 * The property everything else serves: what poll() hands out belongs to the round now
 * open, and its buffer is with us until it was acted upon.  Conditions S1 to S4, races
 * R1 to R16.  That the guest gets nothing back earlier is in hold.c.
 */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>

static struct rig r;

static void prepare(void)
{
	rig_up(&r, 0);
}

TestSuite(safety, .init = prepare);

static uint16_t returned(void)
{
	return raw_used_idx(r.d.hint);
}

static struct fph_device_stats stats(void)
{
	return loop_device_stats(&r.l);
}

/* ------------------------------------------------------------ S1: stop is a barrier; R2, R6 */

typedef int (*end_fn)(struct fph_device *dev);
static const end_fn ends[] = { fph_device_stop, fph_device_done, fph_device_start };
static const char *const end_names[] = { "stop", "done", "start" };

/* study 93 */
Test(safety, s1_after_the_end_of_a_round_nothing_of_it_is_handed_out)
{
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned taken = 0; taken <= 6; taken++) {
			prepare();
			rig_hinting(&r);
			for (uint16_t k = 0; k < 6; k++)
				raw_hint(&r.d, k, RAM_HIGH + 0x1000u * k, 0x1000);
			if (taken)
				cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, taken), (int)taken);
			cr_assert_eq(ends[i](&r.l.dev), 0);
			raw_hint(&r.d, 6, RAM_HIGH + 0x6000, 0x1000);
			for (unsigned again = 0; again < 4; again++)
				cr_expect_eq(rig_poll(&r), 0, "%s after %u", end_names[i], taken);
			cr_expect_eq(stats().hints, taken);
			cr_expect_eq(returned(), r.d.hint->avail, "all are given back");
		}
	}
}

/* A chain of many hints, cut by the end of the round at each place. */
Test(safety, s1_the_rest_of_a_chain_dies_with_its_round)
{
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned taken = 1; taken <= 5; taken++) {
			prepare();
			rig_hinting(&r);
			for (uint16_t k = 0; k < 5; k++)
				raw_desc(r.d.hint, k, RAM_HIGH + 0x2000u * k, 0x1000,
					 RAW_WRITE | (k < 4 ? RAW_NEXT : 0), (uint16_t)(k + 1));
			raw_push(r.d.hint, 0);
			raw_publish(r.d.hint);
			cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, taken), (int)taken);
			cr_assert_eq(ends[i](&r.l.dev), 0);
			cr_expect_eq(rig_poll(&r), 0, "%s after %u", end_names[i], taken);
			cr_expect_eq(returned(), 2);
			cr_expect_eq(stats().hints, taken);
		}
	}
}

/* And of a hint that is handed out region by region. */
Test(safety, s1_the_rest_of_a_split_hint_dies_with_its_round)
{
	for (unsigned i = 0; i < 3; i++) {
		prepare();
		rig_hinting(&r);
		raw_hint(&r.d, 0, RAM_HIGH, RAM_HIGH_LEN + RAM_NEXT_LEN);
		cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
		cr_expect_eq(rig_out[0].len, RAM_HIGH_LEN);
		cr_assert_eq(ends[i](&r.l.dev), 0);
		cr_expect_eq(rig_poll(&r), 0, "%s", end_names[i]);
		cr_expect_eq(returned(), 2);
	}
}

/* e2b #3001: hints queued before a pause did their work after it */
Test(safety, r6_hints_queued_and_not_polled_before_stop_do_nothing_after_it)
{
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	cr_expect_eq(fph_device_stop(&r.l.dev), 0);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(stats().hints, 0);
	cr_expect_eq(stats().commands, 0, "its START came too late, too");
}

/* R12: whatever the guest does, the end does not wait for it */
Test(safety, r12_ending_a_round_never_waits_for_the_driver)
{
	for (unsigned i = 0; i < 2; i++) {
		prepare();
		rig_start(&r);
		cr_expect_eq(ends[i](&r.l.dev), 0, "no answer at all");
		rig_start(&r);
		cr_expect_eq(ends[i](&r.l.dev), 0);
	}
}

/* ------------------------------------------------------------ S3: the fence; R1, R5 */

/* H1, study 64: the driver's one START buffer, rewritten while the old one is queued */
Test(safety, s3_a_start_buffer_rewritten_in_place_is_stale)
{
	uint32_t id = rig_start(&r);

	raw_command(&r.d, 0, id);
	raw_hint(&r.d, 1, RAM_HIGH, 0x1000);
	raw_command(&r.d, 2, FPH_COMMAND_STOP);
	/* The device has read none of it when the next round begins. */
	id = rig_start(&r);
	ram_st32(&r.l.ram, raw_read_desc(r.d.hint, 0).gpa, id);
	cr_expect_eq(rig_poll(&r), 0, "an old hint behind a START that reads as new");
	cr_expect_eq(stats().stale, 3);
	cr_expect_str_eq(fph_device_state_name(&r.l.dev), "REQUESTED");
	/* The honest one is not mistaken for a repetition. */
	raw_command(&r.d, 3, id);
	raw_hint(&r.d, 4, RAM_HIGH + 0x1000, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
	cr_expect_eq(rig_out[0].gpa, RAM_HIGH + 0x1000);
}

/* study 64, more than one round back */
Test(safety, s3_the_fence_covers_all_rounds_before)
{
	uint32_t id = 0;

	for (uint16_t round = 0; round < 4; round++) {
		id = rig_start(&r);
		raw_command(&r.d, (uint16_t)(3 * round), id);
		raw_hint(&r.d, (uint16_t)(3 * round + 1), RAM_HIGH, 0x1000);
		raw_command(&r.d, (uint16_t)(3 * round + 2), FPH_COMMAND_STOP);
	}
	id = rig_start(&r);
	for (uint16_t round = 0; round < 4; round++)
		ram_st32(&r.l.ram, raw_read_desc(r.d.hint, (uint16_t)(3 * round)).gpa, id);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(stats().stale, 12);
	cr_expect_eq(stats().hints, 0);
}

Test(safety, s3_what_comes_after_the_fence_counts_from_the_first_chain)
{
	uint32_t id;

	rig_start(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_hint(&r.d, 1, RAM_HIGH, 0x1000);
	id = rig_start(&r);
	raw_command(&r.d, 2, id);
	raw_hint(&r.d, 3, RAM_HIGH + 0x3000, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
	cr_expect_eq(rig_out[0].gpa, RAM_HIGH + 0x3000);
	cr_expect_eq(stats().stale, 2);
}

/* The chain in hand when the fence is drawn began before it. */
Test(safety, s3_a_chain_begun_before_the_fence_is_stale_to_its_end)
{
	uint32_t id;

	rig_hinting(&r);
	raw_desc(r.d.hint, 0, RAM_HIGH, 0x1000, RAW_WRITE | RAW_NEXT, 1);
	raw_desc(r.d.hint, 1, RAM_HIGH + 0x2000, 0x1000, RAW_WRITE, 0);
	raw_push(r.d.hint, 0);
	raw_publish(r.d.hint);
	cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
	id = rig_start(&r);
	raw_command(&r.d, 2, id);
	raw_hint(&r.d, 3, RAM_HIGH + 0x4000, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
	cr_expect_eq(rig_out[0].gpa, RAM_HIGH + 0x4000);
	cr_expect_eq(stats().stale, 1);
}

/* START rewritten between its halves. */
Test(safety, s3_a_command_cut_in_two_before_the_fence_is_stale)
{
	uint32_t id = rig_start(&r);
	uint64_t at = raw_message(&r.d, FPH_QUEUE_HINT, 0, &id, 4);

	raw_desc(r.d.hint, 0, at, 2, RAW_NEXT, 1);
	raw_desc(r.d.hint, 1, at + 2, 2, RAW_NEXT, 2);
	raw_desc(r.d.hint, 2, RAM_HIGH, 0x1000, RAW_WRITE, 0);
	raw_push(r.d.hint, 0);
	raw_publish(r.d.hint);
	id = rig_start(&r);
	ram_st32(&r.l.ram, at, id);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(stats().stale, 2);
}

/* R15: the fence holds across the wrap of the ring's counters */
Test(safety, s3_the_fence_holds_where_the_index_wraps)
{
	rig_hinting(&r);
	for (uint32_t i = 0; i < 65600; i++) {
		raw_hint(&r.d, (uint16_t)(i % 8), RAM_HIGH, 0x1000);
		cr_assert_eq(rig_poll(&r), 1);
		cr_assert_eq(fph_device_ack(&r.l.dev), 0);
		if (i >= 65520) {
			uint32_t id;

			raw_hint(&r.d, 8, RAM_HIGH + 0x8000, 0x1000);
			raw_hint(&r.d, 9, RAM_HIGH + 0x9000, 0x1000);
			id = rig_start(&r);
			raw_command(&r.d, 10, id);
			raw_hint(&r.d, 11, RAM_HIGH + 0xb000, 0x1000);
			cr_assert_eq(rig_poll(&r), 1, "at %u", i);
			cr_assert_eq(rig_out[0].gpa, RAM_HIGH + 0xb000);
		}
	}
}

/* R1: hints of the old round that come in after the new id, before its START */
Test(safety, r1_late_hints_of_the_old_round_do_not_count)
{
	uint32_t id;

	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	cr_assert_eq(rig_poll(&r), 1);
	id = rig_start(&r);
	raw_hint(&r.d, 1, RAM_HIGH + 0x1000, 0x1000);
	raw_command(&r.d, 2, FPH_COMMAND_STOP);
	raw_command(&r.d, 3, id);
	raw_hint(&r.d, 4, RAM_HIGH + 0x2000, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
	cr_expect_eq(rig_out[0].gpa, RAM_HIGH + 0x2000);
	cr_expect_eq(stats().unasked, 2);
}

/* ------------------------------------------------------------ S2, S4: buffers stay with us */

static int by_ack(struct fph_device *dev)
{
	return fph_device_ack(dev);
}

static int by_poll(struct fph_device *dev)
{
	return fph_device_poll(dev, rig_out, 0);
}

static const end_fn acks[] = { by_ack, by_poll, fph_device_stop, fph_device_done,
			       fph_device_start };

Test(safety, s4_a_batch_is_not_returned_before_it_was_acknowledged)
{
	for (unsigned i = 0; i < sizeof(acks) / sizeof(acks[0]); i++) {
		prepare();
		rig_hinting(&r);
		for (uint16_t k = 0; k < 4; k++)
			raw_hint(&r.d, k, RAM_HIGH + 0x1000u * k, 0x1000);
		raw_take_irq(&r.d);
		cr_assert_eq(rig_poll(&r), 4);
		cr_expect_eq(returned(), 0);
		cr_expect_eq(raw_take_irq(&r.d), 0);
		/* Nothing else sets it free, not even more of the driver's. */
		raw_hint(&r.d, 4, RAM_HIGH + 0x4000, 0x1000);
		raw_kick(&r.d, FPH_QUEUE_HINT);
		raw_kick(&r.d, FPH_QUEUE_INFLATE);
		fph_device_set_num_pages(&r.l.dev, 3);
		raw_set_config32(&r.d, FPH_CONFIG_ACTUAL, 3);
		(void)fph_device_ask_stats(&r.l.dev);
		cr_expect_eq(returned(), 0);
		raw_take_irq(&r.d);
		cr_expect_eq(acks[i](&r.l.dev), 0, "%u", i);
		cr_expect_eq(returned(), 5, "%u", i);
		cr_expect(raw_take_irq(&r.d) & FPH_IRQ_VQ(3));
	}
}

Test(safety, s4_the_next_poll_returns_the_last_batch_and_not_its_own)
{
	rig_hinting(&r);
	for (uint16_t k = 0; k < 6; k++)
		raw_hint(&r.d, k, RAM_HIGH + 0x1000u * k, 0x1000);
	for (uint16_t k = 1; k <= 6; k++) {
		cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
		cr_expect_eq(rig_out[0].gpa, RAM_HIGH + 0x1000u * (k - 1u));
		/* START is returned with the first; the one in hand is not. */
		cr_expect_eq(returned(), k == 1 ? 0 : k, "poll %u", k);
	}
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(returned(), 7);
}

/* One chain, one range a poll: it goes back when its last piece was acted upon. */
Test(safety, s4_a_chain_is_not_returned_before_its_last_piece_was_acted_upon)
{
	rig_hinting(&r);
	for (uint16_t k = 0; k < 3; k++)
		raw_desc(r.d.hint, k, RAM_HIGH + 0x2000u * k, 0x1000,
			 RAW_WRITE | (k < 2 ? RAW_NEXT : 0), (uint16_t)(k + 1));
	raw_push(r.d.hint, 0);
	raw_publish(r.d.hint);
	for (unsigned k = 0; k < 3; k++) {
		cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
		cr_expect_leq(returned(), 1, "START at most");
	}
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(returned(), 2);
}

Test(safety, s4_a_hint_split_across_polls_is_not_returned_before_its_last_piece)
{
	rig_hinting(&r);
	/* HIGH, NEXT, and nothing of ROM behind them */
	raw_hint(&r.d, 0, RAM_HIGH, RAM_HIGH_LEN + RAM_NEXT_LEN + RAM_ROM_LEN);
	cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
	cr_expect(rig_out[0].gpa == RAM_HIGH && rig_out[0].len == RAM_HIGH_LEN);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(returned(), 1, "START, and not the hint of which a piece is due");
	cr_expect_eq(r.l.doorbells, 1, "and the embedder is told to go on");
	cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
	cr_expect(rig_out[0].gpa == RAM_NEXT && rig_out[0].len == RAM_NEXT_LEN);
	cr_expect_eq(returned(), 1);
	cr_expect_eq(fph_device_poll(&r.l.dev, rig_out, 1), 0);
	cr_expect_eq(returned(), 2);
}

Test(safety, s4_a_hint_split_inside_a_chain_keeps_the_chain)
{
	rig_hinting(&r);
	raw_desc(r.d.hint, 0, RAM_NEXT - 0x1000, 0x2000, RAW_WRITE | RAW_NEXT, 1);
	raw_desc(r.d.hint, 1, RAM_NEXT - 0x1000, 0x2000, RAW_WRITE, 0);
	raw_push(r.d.hint, 0);
	raw_publish(r.d.hint);
	for (unsigned k = 0; k < 4; k++) {
		cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1, "piece %u", k);
		cr_expect_eq(rig_out[0].gpa, k % 2 ? RAM_NEXT : RAM_NEXT - 0x1000);
		cr_expect_eq(fph_device_ack(&r.l.dev), 0);
		cr_expect_eq(returned(), k < 3 ? 1 : 2, "piece %u", k);
	}
}

/* Dropped buffers in front of a hint in hand go back with it, not alone. */
Test(safety, s4_order_is_kept_between_dropped_and_taken)
{
	uint32_t id = rig_start(&r);

	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_hint(&r.d, 1, RAM_HOLE, 0x1000);
	raw_command(&r.d, 2, id);
	raw_hint(&r.d, 3, RAM_HIGH + 0x1000, 0x1000);
	raw_hint(&r.d, 4, RAM_HOLE, 0x1000);
	cr_assert_eq(rig_poll(&r), 1);
	cr_expect_eq(returned(), 0);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(returned(), 5);
	for (uint16_t k = 0; k < 5; k++)
		cr_expect_eq(raw_used_id(r.d.hint, k), k);
}

/* row 19, study 22: what was made available twice goes back twice and no more */
Test(safety, no_completion_beyond_what_was_made_available)
{
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_push(r.d.hint, 0);
	raw_publish(r.d.hint);
	cr_assert_eq(rig_poll(&r), 2);
	for (unsigned i = 0; i < 5; i++)
		cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(fph_device_stop(&r.l.dev), 0);
	cr_expect_eq(fph_device_done(&r.l.dev), 0);
	cr_expect_eq(returned(), 3);
}

/* M-7, row 47: a queue is not taken away from under the embedder */
Test(safety, a_queue_is_not_stopped_while_a_batch_is_in_hand)
{
	uint16_t index = 0xeeee;

	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_hint(&r.d, 1, RAM_HIGH + 0x1000, 0x1000);
	cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
	cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 3, &index), -EBUSY);
	cr_expect_eq(index, 0xeeee);
	cr_expect_str_eq(fph_device_state_name(&r.l.dev), "HINTING", "nothing changed");
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 3, &index), 0);
	cr_expect_eq(index, 2, "START and the first; the second is processed again");
	cr_expect_eq(rig_poll(&r), -ENOTCONN);
	/* Again from there: a stale hint, because its round is over. */
	r.d.hint->place.index = index;
	cr_assert_eq(raw_enable(&r.d, FPH_QUEUE_HINT), 0);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(returned(), 3);
	cr_expect_eq(stats().unasked, 1);
}

/* Of a hint that was handed out in part nothing more comes from a queue that resumes. */
Test(safety, a_queue_that_resumes_has_forgotten_the_rest_of_a_hint)
{
	uint16_t index = 0;

	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, RAM_HIGH_LEN + RAM_NEXT_LEN);
	cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 3, &index), 0);
	cr_expect_eq(index, 1, "the hint was not returned, so it is processed again");
	r.d.hint->place.index = index;
	cr_assert_eq(raw_enable(&r.d, FPH_QUEUE_HINT), 0);
	cr_expect_eq(rig_poll(&r), 0, "and its round is over");
	cr_expect_eq(stats().hints, 1);
	cr_expect_eq(stats().unasked, 1);
}

/* A fence drawn before the queue was stopped says nothing about the queue after it. */
Test(safety, a_queue_that_resumes_has_a_fence_of_its_own)
{
	uint16_t index = 0;
	uint32_t id;

	rig_start(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_hint(&r.d, 1, RAM_HIGH, 0x1000);
	rig_start(&r); /* two before the fence */
	cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 3, &index), 0);
	cr_expect_eq(index, 0);
	raw_lay_out(&r.d, FPH_QUEUE_HINT, 3, 16);
	cr_assert_eq(raw_enable(&r.d, FPH_QUEUE_HINT), 0);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(stats().unasked, 1);
	id = rig_start(&r);
	raw_command(&r.d, 1, id);
	raw_hint(&r.d, 2, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
	cr_expect_eq(stats().stale, 0);
}
