/* SPDX-License-Identifier: MIT */
/*
 * A driver that means harm: rows 9 to 26 of the list of hostile inputs that want more
 * than one attack, "study" those of its longer version.
 */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define ALL	    (FPH_F_MUST_TELL_HOST | FPH_F_PAGE_POISON | FPH_F_PAGE_REPORTING)

static struct rig r;

/* Let the device look at queue q, whatever comes of it. */
static void serve(enum fph_queue q)
{
	raw_kick(&r.d, q);
	if (q == FPH_QUEUE_HINT)
		rig_poll(&r);
}

/* row 9, study 72: a length of all ones is judged by the map */
Test(hostile_ring, row_9_a_length_of_all_ones)
{
	rig_up(&r, 0);
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_FAR, 0xffffffff);
	raw_hint(&r.d, 1, RAM_LOW, 0xffffffff);
	cr_assert_eq(rig_poll(&r), 4, "LOW holds rings");
	cr_expect(rig_out[0].gpa == RAM_FAR && rig_out[0].len == 0xfffff000);
	cr_expect(rig_out[1].gpa == RAM_HIGH && rig_out[1].len == RAM_HIGH_LEN);
	cr_expect(rig_out[2].gpa == RAM_NEXT && rig_out[2].len == RAM_NEXT_LEN);
	cr_expect(rig_out[3].gpa == RAM_FAR && rig_out[3].len == 0xff000);
	cr_expect_eq(rig_poll(&r), 0);
}

/* row 14 to 18, study 17 to 19: where a ring may not stand (all cases: tests/unit) */
static const struct {
	const char *row;
	uint64_t desc, driver, device;
	uint16_t size;
	enum fph_rule rule;
} places[] = {
	{ "row 14", RAM_HOLE, RAM_LOW, RAM_LOW, 16, FPH_RULE_RING_MEMORY },
	{ "row 14", RAM_HOLE - 16, RAM_LOW, RAM_LOW, 16, FPH_RULE_RING_MEMORY },
	{ "row 14", 0 - UINT64_C(16), RAM_LOW, RAM_LOW, 16, FPH_RULE_RING_MEMORY },
	{ "row 14", RAM_LOW, RAM_ROM, RAM_LOW, 16, FPH_RULE_RING_MEMORY },
	{ "row 16", RAM_LOW + 1, RAM_LOW, RAM_LOW, 16, FPH_RULE_RING_ALIGN },
	{ "row 16", RAM_LOW, RAM_LOW + 1, RAM_LOW, 16, FPH_RULE_RING_ALIGN },
	{ "row 16", RAM_LOW, RAM_LOW, RAM_LOW + 2, 16, FPH_RULE_RING_ALIGN },
	{ "row 17, study 18", RAM_LOW, RAM_LOW, RAM_LOW, 0, FPH_RULE_RING_SIZE },
	{ "row 17", RAM_LOW, RAM_LOW, RAM_LOW, 15, FPH_RULE_RING_SIZE },
	{ "row 17", RAM_LOW, RAM_LOW, RAM_LOW, 512, FPH_RULE_RING_SIZE },
	{ "row 17", RAM_LOW, RAM_LOW, RAM_LOW, 65535, FPH_RULE_RING_SIZE },
};

Test(hostile_ring, rows_14_16_17_a_ring_that_may_not_stand_there_is_refused)
{
	for (unsigned i = 0; i < COUNT_OF(places); i++) {
		rig_options(&r);
		rig_device(&r);
		cr_assert_eq(raw_negotiate(&r.d, RAW_FEATURES), 0);
		r.d.hint->index = 3;
		r.d.hint->ram = &r.l.ram;
		r.d.hint->place = (struct fph_vq_place){ places[i].desc, places[i].driver,
							 places[i].device, places[i].size, 0 };
		cr_expect_eq(raw_enable(&r.d, FPH_QUEUE_HINT), -EPROTO, "%s", places[i].row);
		cr_assert_eq(fph_device_fault(&r.l.dev)->rule, places[i].rule, "%s case %u",
			     places[i].row, i);
		raw_driver_ok(&r.d);
		rig_expect_fault(&r, places[i].rule, FPH_QUEUE_HINT);
		rig_expect_works_after_reset(&r);
	}
}

/* row 15, study 81: memory of a running ring is taken away */
Test(hostile_ring, row_15_a_ring_whose_memory_is_gone_is_a_fault)
{
	static struct fph_region less[RAM_REGIONS];
	static struct fph_mem mem = { less, RAM_REGIONS - 1 };

	for (unsigned when = 0; when < 2; when++) {
		rig_up(&r, 0);
		rig_hinting(&r);
		raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
		if (when)
			cr_assert_eq(rig_poll(&r), 1);
		raw_take_irq(&r.d);
		memcpy(less, r.l.ram.regions + 1, sizeof(less) - sizeof(less[0]));
		cr_expect_eq(fph_device_set_mem(&r.l.dev, &mem), -EPROTO);
		rig_expect_fault(&r, FPH_RULE_RING_GONE, FPH_QUEUE_INFLATE);
		cr_expect_eq(fph_device_set_mem(&r.l.dev, &r.l.ram.mem), 0);
		cr_expect_eq(rig_poll(&r), -EPROTO, "until reset");
		rig_expect_works_after_reset(&r);
	}
}

/* row 18, study 16: rings on one another, on messages, on pages: the driver's own harm */
Test(hostile_ring, row_18_rings_that_overlap_harm_nobody_else)
{
	uint64_t seed = 17;

	for (unsigned round = 0; round < 200; round++) {
		rig_options(&r);
		rig_device(&r);
		cr_assert_eq(raw_negotiate(&r.d, RAW_FEATURES), 0);
		for (unsigned q = 0; q < 4; q++) {
			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
			raw_lay_out(&r.d, (enum fph_queue)q, (uint16_t)q, 16);
			r.d.vq[q].place.desc = RAM_LOW + (seed >> 33 & 0x1f0);
			r.d.vq[q].place.driver = RAM_LOW + (seed >> 40 & 0x1fe);
			r.d.vq[q].place.device = RAM_LOW + (seed >> 47 & 0x1fc);
			cr_assert_eq(raw_enable(&r.d, (enum fph_queue)q), 0);
		}
		cr_assert_eq(raw_driver_ok(&r.d), 0);
		for (unsigned i = 0; i < 0x400; i += 2)
			ram_st16(&r.l.ram, RAM_LOW + i, (uint16_t)(seed >> i % 48 & 0x0f));
		(void)fph_device_start(&r.l.dev);
		for (unsigned i = 0; i < 10; i++) {
			int n = rig_poll(&r);

			for (unsigned q = 0; q < 3; q++)
				raw_kick(&r.d, (enum fph_queue)q);
			cr_assert(n >= -EAGAIN || n == -EPROTO);
			cr_assert_leq(n, 16);
		}
		ram_expect_untouched(&r.l.ram, RAM_LOW + 0x400 + 256, 0x1000);
		ram_expect_untouched(&r.l.ram, RAM_HIGH, 0x1000);
	}
}

/* row 20, study 12: rewritten between being shown and being polled, and afterwards */
Test(hostile_ring, row_20_a_descriptor_counts_as_it_was_read)
{
	rig_up(&r, 0);
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x2000);
	raw_desc(r.d.hint, 0, RAM_HIGH + 0x8000, 0x3000, RAW_WRITE, 0);
	cr_assert_eq(rig_poll(&r), 1);
	raw_desc(r.d.hint, 0, RAM_HOLE, 0, RAW_INDIRECT, 0xffff);
	cr_expect(rig_out[0].gpa == RAM_HIGH + 0x8000 && rig_out[0].len == 0x3000);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(raw_used_id(r.d.hint, 1), 0);
	cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE);
}

/* row 23 */
Test(hostile_ring, row_23_a_used_ring_written_by_the_driver_means_nothing)
{
	rig_up(&r, 0);
	rig_hinting(&r);
	for (uint16_t i = 0; i < 10; i++) {
		raw_hint(&r.d, i, RAM_HIGH + 0x1000u * i, 0x1000);
		memset(ram_at(&r.l.ram, r.d.hint->place.device, 6 + 8 * 16), (int)(i * 37 + 1),
		       6 + 8 * 16);
		cr_assert_eq(rig_poll(&r), 1);
		cr_expect_eq(rig_out[0].gpa, RAM_HIGH + 0x1000u * i);
		cr_expect_eq(fph_device_ack(&r.l.dev), 0);
		cr_expect_eq(raw_used_idx(r.d.hint), i + 2);
	}
}

/* row 24, study 21: nothing was negotiated that they could mean */
Test(hostile_ring, row_24_event_indices_mean_nothing)
{
	rig_up(&r, 0);
	rig_hinting(&r);
	for (uint32_t e = 0; e < 65536; e += 4369) {
		ram_st16(&r.l.ram, r.d.hint->place.driver + 4 + 2 * 16, (uint16_t)e);
		ram_st16(&r.l.ram, r.d.hint->place.device + 4 + 8 * 16, (uint16_t)e);
		raw_take_irq(&r.d);
		raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
		cr_expect_eq(rig_poll(&r), 1);
		cr_expect_eq(fph_device_ack(&r.l.dev), 0);
		cr_expect_eq(raw_take_irq(&r.d), FPH_IRQ_QUEUE | FPH_IRQ_VQ(3));
	}
}

/* row 25, study 23 (before DRIVER_OK and storms: status_device.c, balloon.c) */
Test(hostile_ring, row_25_doorbells_for_what_is_not_there_are_ignored)
{
	uint16_t index = 0;

	rig_up(&r, 0);
	r.d.bus.ops->vq_disable(r.d.bus.ctx, 3, &index);
	for (unsigned q = 0; q < 65536; q++)
		if (q > 2)
			cr_assert_eq(r.d.bus.ops->notify(r.d.bus.ctx, (uint16_t)q), 0);
	cr_expect_eq(r.l.doorbells, 0);
	raw_set_status(&r.d, 0);
	for (unsigned q = 0; q < 65536; q++)
		cr_assert_eq(r.d.bus.ops->notify(r.d.bus.ctx, (uint16_t)q), 0);
	cr_expect_eq(r.l.doorbells + r.l.page_calls + r.l.stat_calls, 0);
	cr_expect_eq(raw_take_irq(&r.d), 0);
}

/* row 26, study 70, 97: a ring of useless chains; a poll looks at max + 2 * size buffers */
Test(hostile_ring, row_26_work_of_a_poll_is_bounded)
{
	static const struct {
		size_t max;
		unsigned polls; /* that say "again" before all 256 are gone */
	} cases[] = { { 1, 7 }, { 16, 5 }, { 1000, 0 } };

	for (unsigned c = 0; c < COUNT_OF(cases); c++) {
		static struct fph_range out[1000];
		unsigned again = 0;
		int n;

		rig_up(&r, 0);
		rig_hinting(&r);
		rig_poll(&r);
		for (uint16_t i = 0; i < 16; i++)
			raw_desc(r.d.hint, i, RAM_HOLE, 0x1000, RAW_WRITE | (i < 15 ? RAW_NEXT : 0),
				 (uint16_t)(i + 1));
		for (unsigned i = 0; i < 16; i++)
			raw_push(r.d.hint, 0);
		raw_publish(r.d.hint);
		while ((n = fph_device_poll(&r.l.dev, out, cases[c].max)) == -EAGAIN)
			cr_assert_leq(++again, 40);
		cr_expect_eq(n, 0);
		cr_expect_geq(again, cases[c].polls, "max %zu", cases[c].max);
		cr_expect_eq(loop_device_stats(&r.l).out_of_range, 256);
		cr_expect_eq(raw_used_idx(r.d.hint), 17);
	}
}

/* study 20: more chains out than the ring holds, because we keep them */
Test(hostile_ring, study_20_chains_in_hand_count_against_the_ring)
{
	rig_up(&r, 0);
	rig_hinting(&r);
	cr_assert_eq(rig_poll(&r), 0);
	for (uint16_t i = 0; i < 16; i++)
		raw_hint(&r.d, i, RAM_HIGH, 0x1000);
	cr_assert_eq(rig_poll(&r), 16);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	/* Acknowledged first, it is honest; looked at with the batch in hand, it is not. */
	cr_expect_eq(rig_poll(&r), 1);
	cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE);
	for (uint16_t i = 0; i < 16; i++)
		raw_hint(&r.d, i, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), 16, "after the one was returned there is room for 16");
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	for (uint16_t i = 0; i < 17; i++)
		raw_hint(&r.d, (uint16_t)(i % 16), RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), -EPROTO);
	rig_expect_fault(&r, FPH_RULE_AVAIL_AHEAD, FPH_QUEUE_HINT);
}

/* ------------------------------------------------------------ registers and status */

/* row 44: reset in every state with a poll on; the same life after each */
Test(hostile_ring, row_44_reset_in_every_state)
{
	rig_up(&r, 0);
	for (unsigned i = 0; i < 600; i++) {
		unsigned depth = i % 6;

		if (depth >= 1)
			rig_start(&r);
		if (depth >= 2)
			raw_command(&r.d, 0, fph_device_command_id(&r.l.dev));
		if (depth >= 3)
			raw_hint(&r.d, 1, RAM_HIGH, 0x1000);
		if (depth >= 4)
			cr_assert_eq(rig_poll(&r), 1);
		if (depth >= 5)
			fph_device_done(&r.l.dev);
		raw_set_status(&r.d, 0);
		cr_assert_eq(raw_status(&r.d) == 0, depth != 4);
		fph_device_ack(&r.l.dev);
		cr_assert_eq(raw_status(&r.d), 0);
		cr_assert_str_eq(fph_device_state_name(&r.l.dev), "DOWN");
		raw_up(&r.d, RAW_FEATURES);
		cr_assert_str_eq(fph_device_state_name(&r.l.dev), "STOPPED");
	}
	rig_expect_works_after_reset(&r);
}

/* study 52: status 0 from inside the doorbell's handler, and from the interrupt's */
static void reset_at_interrupt(void *ctx)
{
	(void)ctx;
	r.l.interrupts++;
	raw_take_irq(&r.d);
}

Test(hostile_ring, study_52_interrupts_may_be_taken_in_their_hook)
{
	rig_options(&r);
	r.l.dev_opts.interrupt = reset_at_interrupt;
	rig_device(&r);
	raw_up(&r.d, RAW_FEATURES);
	for (unsigned i = 0; i < 5; i++) {
		cr_expect_eq(fph_device_start(&r.l.dev), 0);
		cr_expect_eq(r.l.interrupts, i + 1, "taken, so the next one is new");
	}
}

/* row 36, study 66, 67: a driver that never answers, never stops, never takes buffers back */
Test(hostile_ring, row_36_a_driver_that_does_nothing_costs_nothing)
{
	rig_up(&r, 0);
	for (unsigned i = 0; i < 1000; i++) {
		cr_assert_eq(fph_device_start(&r.l.dev), 0);
		cr_assert_eq(rig_poll(&r), 0);
		cr_assert_eq(i % 2 ? fph_device_stop(&r.l.dev) : fph_device_done(&r.l.dev), 0);
	}
	cr_expect_eq(loop_device_stats(&r.l).rounds, 1000);
	cr_expect_eq(loop_device_stats(&r.l).chains, 0);
}

Test(hostile_ring, row_36_a_driver_that_never_says_stop_can_be_asked_again)
{
	rig_up(&r, 0);
	for (unsigned i = 0; i < 100; i++) {
		rig_hinting(&r);
		raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
		cr_assert_eq(rig_poll(&r), 1);
		cr_assert_not(fph_device_round_over(&r.l.dev));
	}
}

/* row 47, study 48 is in safety.c and unit/device_round.c; here: with everything else half-way */
Test(hostile_ring, row_47_queues_stopped_and_placed_in_any_order)
{
	uint64_t seed = 47;
	bool on[4] = { true, true, true, true };

	rig_up(&r, 0);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned q;
		uint16_t index = 0;
		int rc;

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		q = seed >> 33 & 3;
		switch (seed >> 40 & 7) {
		case 0:
			rc = r.d.bus.ops->vq_disable(r.d.bus.ctx, (uint16_t)q, &index);
			cr_assert(rc == (on[q] ? 0 : -EPROTO) || (on[q] && q == 3 && rc == -EBUSY));
			on[q] = on[q] && rc < 0;
			break;
		case 1:
			if (on[q])
				break;
			raw_lay_out(&r.d, (enum fph_queue)q, (uint16_t)q, 16);
			cr_assert_eq(raw_enable(&r.d, (enum fph_queue)q), 0);
			on[q] = true;
			break;
		case 2:
			cr_assert_eq(fph_device_start(&r.l.dev), on[3] ? 0 : -ENOTCONN);
			break;
		case 3:
			cr_assert_eq(fph_device_stop(&r.l.dev), 0);
			break;
		case 4:
			if (on[3] && raw_used_idx(r.d.hint) == r.d.hint->avail)
				raw_command(&r.d, 0, fph_device_command_id(&r.l.dev));
			break;
		case 5:
			if (on[3] && (uint16_t)(r.d.hint->avail - raw_used_idx(r.d.hint)) < 16)
				raw_hint(&r.d, 1, RAM_HIGH, 0x1000);
			break;
		case 6:
			cr_assert_geq(rig_poll(&r), on[3] ? 0 : -ENOTCONN);
			break;
		default:
			cr_assert_eq(raw_kick(&r.d, (enum fph_queue)q), 0);
		}
		cr_assert_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE, "step %u", i);
	}
	cr_expect_gt(loop_device_stats(&r.l).hints, 20);
}

/* Garbage of every kind at once: no state that a reset does not end. */
Test(hostile_ring, random_rings_end_in_a_fault_or_in_nothing, .timeout = 30)
{
	uint64_t seed = 4242;
	unsigned faults = 0;

	for (unsigned round = 0; round < 2000; round++) {
		if (round == 0)
			rig_up(&r, ALL);
		rig_start(&r);
		for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++) {
			for (unsigned k = 0; k < 64; k++) {
				uint64_t at = r.d.vq[q].place.desc + k % 24 * 16;

				seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
				ram_st16(&r.l.ram, at + (seed >> 60 & 0xe),
					 (uint16_t)(seed >> 32 & (seed >> 48 & 1 ? 0xffff : 7)));
			}
			raw_avail_idx(&r.d.vq[q], (uint16_t)(raw_used_idx(&r.d.vq[q]) +
							     (seed >> 20 & 15)));
			serve((enum fph_queue)q);
		}
		(void)fph_device_ack(&r.l.dev);
		(void)fph_device_ask_stats(&r.l.dev);
		if (fph_device_fault(&r.l.dev)->rule) {
			faults++;
			raw_up(&r.d, RAW_FEATURES | ALL);
		}
	}
	cr_expect_gt(faults, 100);
	raw_up(&r.d, RAW_FEATURES | ALL);
	rig_expect_works_after_reset(&r);
}

/* A head out of range, behind hints that are taken in bulk; none of them counts. */
Test(hostile_ring, a_head_out_of_range_among_hints)
{
	rig_up(&r, 0);
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_FAR, 0x1000);
	cr_assert_eq(rig_poll(&r), 1);
	raw_hint(&r.d, 1, RAM_FAR + 0x1000, 0x1000);
	raw_push(r.d.hint, RAW_RING_SIZE);
	raw_publish(r.d.hint);
	cr_expect_eq(rig_poll(&r), -EPROTO);
	rig_expect_fault(&r, FPH_RULE_HEAD_RANGE, FPH_QUEUE_HINT);
	cr_expect_eq(loop_device_stats(&r.l).hints, 1);
	rig_expect_works_after_reset(&r);
}

/* Room for more than there can be is no reason to count wrongly. */
Test(hostile_ring, room_without_end_is_as_good_as_enough)
{
	struct fph_range out[8];

	loop_up(&r.l);
	loop_round(&r.l);
	loop_hint(&r.l, 0, 4);
	cr_expect_eq(fph_device_poll(&r.l.dev, out, SIZE_MAX), 4);
	cr_expect_eq(fph_device_poll(&r.l.dev, out, SIZE_MAX), 0);
	cr_assert_geq(loop_step(&r.l), 0);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, out, SIZE_MAX), 4);
}
