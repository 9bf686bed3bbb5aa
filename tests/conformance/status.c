/* SPDX-License-Identifier: MIT */
/* Device status, reset and bring-up, chapters 2.1, 2.4, 3.1: clauses G-1 to G-5, G-12 to G-16. */
#include "support/rig.h"
#include "support/trace.h"
#include <criterion/criterion.h>
#include <errno.h>

static struct rig r;

/* ------------------------------------------------------------ device: every order of writes */

/* The device's status by the clauses: what sticks, what is refused. */
struct model {
	uint8_t status;
	uint64_t accepted;
};

static void model_write(struct model *m, uint8_t value)
{
	uint8_t s = m->status | (value & (FPH_STATUS_ACKNOWLEDGE | FPH_STATUS_DRIVER |
					  FPH_STATUS_FAILED));

	if (value == 0) {
		m->status = 0;
		m->accepted = 0;
		return;
	}
	if ((value & FPH_STATUS_FEATURES_OK) && (s & FPH_STATUS_DRIVER) &&
	    (m->accepted & ~RAW_FEATURES) == 0 && (m->accepted & FPH_F_VERSION_1))
		s |= FPH_STATUS_FEATURES_OK;
	if ((value & FPH_STATUS_DRIVER_OK) && (s & FPH_STATUS_FEATURES_OK))
		s |= FPH_STATUS_DRIVER_OK;
	m->status = s;
}

/* rows 39, 51: bits in any order, twice, cleared, FAILED, reserved ones */
Test(status, device_follows_the_clauses_in_every_order_of_writes)
{
	static const uint64_t accepts[] = { RAW_FEATURES, FPH_F_VERSION_1, FPH_F_STATS_VQ,
					    RAW_FEATURES | 1, 0 };
	struct model m = { 0, 0 };
	uint64_t seed = 99;

	rig_options(&r);
	rig_device(&r);
	for (unsigned i = 0; i < 200000; i++) {
		uint8_t value;
		int rc, want = 0;

		seed = seed * UINT64_C(6364136223846793005) + 1;
		value = (uint8_t)(seed >> 40);
		if (i % 3)
			value = (uint8_t)(1u << (seed >> 60 & 7));
		if (seed >> 50 & 1) {
			uint64_t accept = accepts[(seed >> 33) % 5];

			rc = r.d.bus.ops->accept(r.d.bus.ctx, accept);
			cr_assert_eq(rc, m.status & FPH_STATUS_FEATURES_OK ? -EPROTO : 0);
			m.accepted = rc ? m.accepted : accept;
		}
		if (i % 17 == 0)
			value = 0;
		model_write(&m, value);
		rc = raw_set_status(&r.d, value);
		if (value & ~m.status & (FPH_STATUS_FEATURES_OK | FPH_STATUS_DRIVER_OK))
			want = -EPROTO;
		cr_assert_eq(rc, want, "write %u of %#x", i, value);
		cr_assert_eq(raw_status(&r.d), m.status, "write %u of %#x", i, value);
	}
}

Test(status, g2_device_clears_bits_at_reset_only)
{
	rig_up(&r, 0);
	for (unsigned v = 1; v < FPH_STATUS_FAILED; v++) {
		raw_set_status(&r.d, (uint8_t)v);
		cr_expect_eq(raw_status(&r.d), 0x0f, "after %#x", v);
	}
	raw_set_status(&r.d, FPH_STATUS_FAILED);
	cr_expect_eq(raw_status(&r.d), 0x8f);
	raw_set_status(&r.d, 0);
	cr_expect_eq(raw_status(&r.d), 0);
}

Test(status, device_without_driver_ok_has_no_driver)
{
	rig_options(&r);
	rig_device(&r);
	cr_assert_eq(raw_negotiate(&r.d, RAW_FEATURES), 0);
	cr_expect_eq(fph_device_start(&r.l.dev), -ENOTCONN);
	cr_expect_eq(rig_poll(&r), -ENOTCONN);
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), -ENOTCONN);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_assert_eq(raw_driver_ok(&r.d), 0);
	cr_expect_eq(fph_device_start(&r.l.dev), -ENOTCONN, "and no hint queue either");
	cr_expect_eq(rig_poll(&r), -ENOTCONN);
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), -ENOTCONN);
	cr_expect_eq(fph_device_stop(&r.l.dev), 0);
}

/* rows 25, 23: a kick before DRIVER_OK */
Test(status, g4_device_consumes_nothing_and_is_silent_before_driver_ok)
{
	rig_options(&r);
	rig_device(&r);
	cr_assert_eq(raw_negotiate(&r.d, RAW_FEATURES), 0);
	for (unsigned q = 0; q < 4; q++) {
		raw_lay_out(&r.d, (enum fph_queue)q, (uint16_t)q, 16);
		cr_assert_eq(raw_enable(&r.d, (enum fph_queue)q), 0);
		raw_desc(&r.d.vq[q], 0, RAW_MESSAGE_AT(q), 8, 0, 0);
		raw_push(&r.d.vq[q], 0);
		raw_publish(&r.d.vq[q]);
		cr_expect_eq(raw_kick(&r.d, (enum fph_queue)q), 0);
	}
	cr_expect_eq(fph_device_set_num_pages(&r.l.dev, 5), 0);
	cr_expect_eq(raw_take_irq(&r.d), 0);
	cr_expect_eq(r.l.interrupts + r.l.doorbells + r.l.page_calls + r.l.stat_calls, 0);
	for (unsigned q = 0; q < 4; q++)
		cr_expect_eq(raw_used_idx(&r.d.vq[q]), 0, "queue %u", q);
	/* After it, the same kick counts. */
	cr_assert_eq(raw_driver_ok(&r.d), 0);
	cr_expect_eq(raw_kick(&r.d, FPH_QUEUE_INFLATE), 0);
	cr_expect_eq(raw_used_idx(&r.d.vq[0]), 1);
	cr_expect_eq(raw_kick(&r.d, FPH_QUEUE_HINT), 0);
	cr_expect_eq(r.l.doorbells, 1);
}

Test(status, g5_device_asks_for_a_reset_and_says_so)
{
	rig_up(&r, 0);
	raw_take_irq(&r.d);
	raw_push(r.d.hint, 99);
	raw_publish(r.d.hint);
	cr_expect_eq(rig_poll(&r), -EPROTO);
	rig_expect_fault(&r, FPH_RULE_HEAD_RANGE, FPH_QUEUE_HINT);
	cr_expect_eq(fph_device_fault(&r.l.dev)->value, 99);
	rig_expect_works_after_reset(&r);
}

Test(status, g5_a_fault_before_driver_ok_is_told_at_driver_ok)
{
	rig_options(&r);
	rig_device(&r);
	cr_assert_eq(raw_negotiate(&r.d, RAW_FEATURES), 0);
	raw_lay_out(&r.d, FPH_QUEUE_HINT, 3, 16);
	r.d.hint->place.desc++;
	cr_expect_eq(raw_enable(&r.d, FPH_QUEUE_HINT), -EPROTO);
	cr_expect_eq(raw_status(&r.d), 0x4b);
	cr_expect_eq(raw_take_irq(&r.d), 0, "G-4");
	raw_driver_ok(&r.d);
	cr_expect_eq(raw_status(&r.d), 0x4f);
	rig_expect_fault(&r, FPH_RULE_RING_ALIGN, FPH_QUEUE_HINT);
	rig_expect_works_after_reset(&r);
}

Test(status, a_faulty_device_touches_no_ring)
{
	rig_up(&r, 0);
	raw_push(r.d.hint, 99);
	raw_publish(r.d.hint);
	cr_assert_eq(rig_poll(&r), -EPROTO);
	for (unsigned q = 0; q < 4; q++) {
		struct raw_vq *vq = &r.d.vq[q];
		uint16_t used = raw_used_idx(vq);

		raw_desc(vq, 1, RAW_MESSAGE_AT(q), 4, 0, 0);
		raw_push(vq, 1);
		raw_publish(vq);
		cr_expect_eq(raw_kick(&r.d, (enum fph_queue)q), 0);
		cr_expect_eq(raw_used_idx(vq), used, "queue %u", q);
	}
	raw_lay_out(&r.d, FPH_QUEUE_REPORT, 4, 16);
	cr_expect_eq(raw_enable(&r.d, FPH_QUEUE_REPORT), -EPROTO);
	cr_expect_eq(r.l.doorbells, 0);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), -EPROTO);
}

/* ------------------------------------------------------------ device: reset */

Test(status, g12_reset_forgets_the_driver_and_is_silent)
{
	rig_up(&r, FPH_F_PAGE_POISON);
	raw_set_config32(&r.d, FPH_CONFIG_ACTUAL, 77);
	fph_device_set_num_pages(&r.l.dev, 1000);
	rig_hinting(&r);
	rig_poll(&r);
	fph_device_set_num_pages(&r.l.dev, 1001);
	cr_expect_eq(raw_set_status(&r.d, 0), 0);
	cr_expect_eq(raw_status(&r.d), 0);
	cr_expect_eq(raw_take_irq(&r.d), 0);
	cr_expect_eq(fph_device_features(&r.l.dev), 0);
	cr_expect_eq(fph_device_actual(&r.l.dev), 0);
	cr_expect_eq(fph_device_poison(&r.l.dev), 0);
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_NUM_PAGES), 1001, "the target is ours");
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_COMMAND_ID), FPH_COMMAND_STOP);
	cr_expect_eq(fph_device_start(&r.l.dev), -ENOTCONN);
	cr_expect_eq(rig_poll(&r), -ENOTCONN);
	/* Queues are left alone. */
	raw_hint(&r.d, 3, RAM_HIGH, 0x1000);
	cr_expect_eq(raw_kick(&r.d, FPH_QUEUE_HINT), 0);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(raw_take_irq(&r.d), 0);
	rig_expect_works_after_reset(&r);
}

/* A5-12, H5 */
Test(status, ids_survive_reset)
{
	uint32_t last;

	rig_up(&r, 0);
	last = rig_start(&r);
	for (unsigned i = 0; i < 10; i++) {
		raw_set_status(&r.d, 0);
		raw_up(&r.d, RAW_FEATURES);
		cr_expect_eq(fph_device_command_id(&r.l.dev), last);
		cr_expect_eq(rig_start(&r), last + 1);
		last++;
	}
}

/* row 44 */
Test(status, device_works_after_a_thousand_resets)
{
	rig_up(&r, 0);
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_eq(raw_set_status(&r.d, 0), 0);
	cr_expect_eq(loop_device_stats(&r.l).resets, 1001);
	rig_expect_works_after_reset(&r);
	for (unsigned i = 0; i < 200; i++) {
		raw_up(&r.d, RAW_FEATURES);
		rig_hinting(&r);
		raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
		cr_assert_eq(rig_poll(&r), 1);
		fph_device_ack(&r.l.dev);
	}
}

/* rows 44, 89; R9: who ends the wait */
static int end_by_ack(void)
{
	return fph_device_ack(&r.l.dev);
}

static int end_by_poll(void)
{
	return rig_poll(&r);
}

static int end_by_empty_poll(void)
{
	return fph_device_poll(&r.l.dev, NULL, 0);
}

static int end_by_start(void)
{
	return fph_device_start(&r.l.dev);
}

static int end_by_stop(void)
{
	return fph_device_stop(&r.l.dev);
}

static int end_by_done(void)
{
	return fph_device_done(&r.l.dev);
}

static int end_by_set_mem(void)
{
	return fph_device_set_mem(&r.l.dev, &r.l.ram.mem);
}

static const struct {
	const char *what;
	int (*end)(void);
	int rc;
} ends[] = {
	{ "ack", end_by_ack, 0 },
	{ "poll", end_by_poll, -ENOTCONN },
	{ "poll for nothing", end_by_empty_poll, -ENOTCONN },
	{ "start", end_by_start, -ENOTCONN },
	{ "stop", end_by_stop, -ENOTCONN },
	{ "done", end_by_done, -ENOTCONN },
	{ "set_mem", end_by_set_mem, 0 },
};

Test(status, r9_a_reset_waits_for_the_batch_in_hand)
{
	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		uint16_t used, index = 0;
		uint32_t id;

		rig_up(&r, 0);
		id = rig_hinting(&r);
		raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
		cr_assert_eq(rig_poll(&r), 1);
		used = raw_used_idx(r.d.hint);
		cr_expect_eq(raw_set_status(&r.d, 0), 0);
		cr_expect_neq(raw_status(&r.d), 0, "the pages are not the guest's yet");
		cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_COMMAND_ID), FPH_COMMAND_STOP);
		cr_expect(fph_device_round_over(&r.l.dev));
		/* Nothing goes on meanwhile. */
		cr_expect_eq(raw_set_status(&r.d, 0), 0);
		cr_expect_eq(raw_set_status(&r.d, 1), -EPROTO);
		cr_expect_eq(r.d.bus.ops->accept(r.d.bus.ctx, RAW_FEATURES), -EPROTO);
		cr_expect_eq(raw_set_config32(&r.d, FPH_CONFIG_ACTUAL, 1), -EPROTO);
		cr_expect_eq(raw_enable(&r.d, FPH_QUEUE_HINT), -EPROTO);
		cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 3, &index), -EPROTO);
		cr_expect_eq(raw_kick(&r.d, FPH_QUEUE_INFLATE), 0);
		cr_expect_neq(raw_status(&r.d), 0);

		cr_expect_eq(ends[i].end(), ends[i].rc, "%s", ends[i].what);
		cr_expect_eq(raw_status(&r.d), 0, "%s", ends[i].what);
		cr_expect_eq(raw_used_idx(r.d.hint), used, "%s: a ring was touched", ends[i].what);
		cr_expect_eq(raw_take_irq(&r.d), 0, "%s", ends[i].what);
		cr_expect_eq(fph_device_command_id(&r.l.dev), id);
		rig_expect_works_after_reset(&r);
	}
}

Test(status, a_reset_without_a_batch_is_complete_at_once)
{
	rig_up(&r, 0);
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_set_status(&r.d, 0);
	cr_expect_eq(raw_status(&r.d), 0, "hints that nobody has seen are no batch");
}

/* ------------------------------------------------------------ guest */

static struct trace trace;

Test(status, g1_g14_guest_comes_up_in_order)
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
			 "bus vq_enable[2] size 2 desc 0x1001f0 driver 0x100210 device 0x10021c "
			 "index 0\n"
			 "bus set_config[12] 4: dd cc bb aa\n"
			 "bus set_status 0x0f\n"
			 "bus notify[2]\n"
			 "bus take_irq -> none\n"
			 "bus status -> 0x0f\n"
			 "bus config[8] 4 -> 00 00 00 00\n");
}

/* row 55; study row 45 */
Test(status, g13_guest_waits_until_status_reads_0)
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

Test(status, g2_guest_only_adds_bits)
{
	rig_guest_up(&r);
	cr_expect_eq(r.dev.status, 0x0f);
	rig_guest_show(&r, 0x80000001);
	rig_guest_hint(&r, 0, 2);
	fph_guest_end(&r.l.guest);
	rig_guest_show(&r, FPH_COMMAND_DONE);
	cr_expect_eq(r.dev.status, 0x0f);
}

/* study row 44: DEVICE_NEEDS_RESET at any time */
Test(status, g3_guest_stops_when_the_device_asks_for_a_reset)
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
Test(status, g13_g16_ranges_come_back_only_when_the_reset_is_over)
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
Test(status, g15_guest_is_silent_while_a_reset_is_under_way)
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

Test(status, g15_guest_does_not_ring_before_driver_ok)
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

/* row 56; study row 38 */
Test(status, interrupts_before_attach_and_after_reset_mean_nothing)
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

Test(status, guest_is_busy_until_the_ranges_of_its_last_life_are_collected)
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
Test(status, guest_answers_an_id_that_is_shown_when_it_comes_up)
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
