/* SPDX-License-Identifier: MIT */
/* The device's status and reset, chapters 2.1 and 2.4: clauses G-2, G-4, G-5, G-12. */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>

static struct rig r;

/* ------------------------------------------------------------ every order of writes */

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

/* row 39, study 51: bits in any order, twice, cleared, FAILED, reserved ones */
Test(status_device, device_follows_the_clauses_in_every_order_of_writes)
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

Test(status_device, g2_device_clears_bits_at_reset_only)
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

Test(status_device, device_without_driver_ok_has_no_driver)
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

/* row 25, study 23: a kick before DRIVER_OK */
Test(status_device, g4_device_consumes_nothing_and_is_silent_before_driver_ok)
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
	/* With it they count. */
	cr_assert_eq(raw_driver_ok(&r.d), 0);
	cr_expect_eq(raw_used_idx(&r.d.vq[0]), 1);
	cr_expect_eq(r.l.doorbells, 1);
	cr_expect_eq(raw_kick(&r.d, FPH_QUEUE_HINT), 0);
	cr_expect_eq(r.l.doorbells, 2);
}

Test(status_device, g5_device_asks_for_a_reset_and_says_so)
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

Test(status_device, g5_a_fault_before_driver_ok_is_told_at_driver_ok)
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

Test(status_device, a_faulty_device_touches_no_ring)
{
	uint16_t index = 0;

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
	cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 1, &index), 0);
	cr_expect_eq(raw_enable(&r.d, FPH_QUEUE_DEFLATE), -EPROTO, "not before a reset");
	cr_expect_eq(r.l.doorbells, 0);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), -EPROTO);
}

/* ------------------------------------------------------------ reset */

Test(status_device, g12_reset_forgets_the_driver_and_is_silent)
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
Test(status_device, ids_survive_reset)
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
Test(status_device, device_works_after_a_thousand_resets)
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

/* row 44, study 89; R9: who ends the wait */
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

Test(status_device, r9_a_reset_waits_for_the_batch_in_hand)
{
	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		uint16_t used, index = 0;
		uint32_t id;

		rig_up(&r, 0);
		id = rig_hinting(&r);
		raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
		cr_assert_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 1, &index), 0);
		cr_assert_eq(rig_poll(&r), 1);
		used = raw_used_idx(r.d.hint);
		raw_take_irq(&r.d);
		r.l.interrupts = 0;
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
		cr_expect_eq(raw_enable(&r.d, FPH_QUEUE_DEFLATE), -EPROTO, "which is free");
		cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 3, &index), -EPROTO);
		cr_expect_eq(raw_kick(&r.d, FPH_QUEUE_INFLATE), 0);
		cr_expect_neq(raw_status(&r.d), 0);

		cr_expect_eq(ends[i].end(), ends[i].rc, "%s", ends[i].what);
		cr_expect_eq(raw_status(&r.d), 0, "%s", ends[i].what);
		cr_expect_eq(raw_used_idx(r.d.hint), used, "%s: a ring was touched", ends[i].what);
		cr_expect_eq(raw_take_irq(&r.d), 0, "%s", ends[i].what);
		cr_expect_eq(r.l.interrupts, 0, "%s: G-12", ends[i].what);
		cr_expect_eq(fph_device_command_id(&r.l.dev), id);
		rig_expect_works_after_reset(&r);
	}
}

Test(status_device, a_reset_without_a_batch_is_complete_at_once)
{
	rig_up(&r, 0);
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_set_status(&r.d, 0);
	cr_expect_eq(raw_status(&r.d), 0, "hints that nobody has seen are no batch");
}
