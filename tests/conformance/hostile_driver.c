/* SPDX-License-Identifier: MIT */
/*
 * A driver that means harm, or is broken: what breaks a ring, in every queue.  Row
 * numbers are those of the list of hostile inputs, "study" those of its longer version.
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

/* Flags for a buffer that queue q expects. */
static unsigned expected(enum fph_queue q)
{
	return q == FPH_QUEUE_HINT || q == FPH_QUEUE_REPORT ? RAW_WRITE : 0;
}

/* An honest chain of one buffer at descriptor i. */
static void honest(enum fph_queue q, uint16_t i)
{
	raw_desc(&r.d.vq[q], i, RAW_MESSAGE_AT(q), 8, expected(q), 0);
}

static void show(struct raw_vq *vq, uint16_t head)
{
	raw_push(vq, head);
	raw_publish(vq);
}

/* ------------------------------------------------------------ ring attacks, every queue */

static void ahead_by_one_too_many(struct raw_vq *vq, enum fph_queue q)
{
	honest(q, 0);
	raw_avail_idx(vq, 17);
}

static void ahead_by_half(struct raw_vq *vq, enum fph_queue q)
{
	(void)q;
	raw_avail_idx(vq, 32768);
}

static void backwards(struct raw_vq *vq, enum fph_queue q)
{
	(void)q;
	raw_avail_idx(vq, 65535);
}

static void backwards_after_work(struct raw_vq *vq, enum fph_queue q)
{
	honest(q, 0);
	show(vq, 0);
	show(vq, 0);
	serve(q);
	raw_avail_idx(vq, 1);
}

static void head_out_of_range(struct raw_vq *vq, enum fph_queue q)
{
	(void)q;
	show(vq, 16);
}

static void head_all_ones(struct raw_vq *vq, enum fph_queue q)
{
	(void)q;
	show(vq, 65535);
}

static void next_out_of_range(struct raw_vq *vq, enum fph_queue q)
{
	raw_desc(vq, 0, RAW_MESSAGE_AT(q), 1, expected(q) | RAW_NEXT, 16);
	show(vq, 0);
}

static void next_all_ones(struct raw_vq *vq, enum fph_queue q)
{
	raw_desc(vq, 0, RAW_MESSAGE_AT(q), 1, expected(q) | RAW_NEXT, 65535);
	show(vq, 0);
}

static void loop_of_one(struct raw_vq *vq, enum fph_queue q)
{
	raw_desc(vq, 3, RAM_HIGH, 1, RAW_WRITE | RAW_NEXT, 3);
	(void)q;
	show(vq, 3);
}

static void loop_of_all(struct raw_vq *vq, enum fph_queue q)
{
	(void)q;
	for (uint16_t i = 0; i < 16; i++)
		raw_desc(vq, i, RAM_HIGH, 1, RAW_WRITE | RAW_NEXT, (uint16_t)((i + 1) % 16));
	show(vq, 0);
}

static void loop_at_the_end(struct raw_vq *vq, enum fph_queue q)
{
	(void)q;
	raw_desc(vq, 0, RAM_HIGH, 1, RAW_WRITE | RAW_NEXT, 1);
	raw_desc(vq, 1, RAM_HIGH, 1, RAW_WRITE | RAW_NEXT, 2);
	raw_desc(vq, 2, RAM_HIGH, 1, RAW_WRITE | RAW_NEXT, 1);
	show(vq, 0);
}

static void readable_behind_writable(struct raw_vq *vq, enum fph_queue q)
{
	raw_desc(vq, 0, RAM_HIGH, 0x1000, RAW_WRITE | RAW_NEXT, 1);
	raw_desc(vq, 1, RAW_MESSAGE_AT(q), 4, 0, 0);
	show(vq, 0);
}

static void empty_buffer(struct raw_vq *vq, enum fph_queue q)
{
	raw_desc(vq, 0, RAW_MESSAGE_AT(q), 0, expected(q), 0);
	show(vq, 0);
}

static void empty_buffer_in_a_chain(struct raw_vq *vq, enum fph_queue q)
{
	raw_desc(vq, 0, RAM_HIGH, 0x1000, RAW_WRITE | RAW_NEXT, 1);
	raw_desc(vq, 1, RAM_HIGH, 0, RAW_WRITE, 0);
	(void)q;
	show(vq, 0);
}

static void wrap(struct raw_vq *vq, enum fph_queue q)
{
	raw_desc(vq, 0, UINT64_MAX - 0xfff, 0x1001, expected(q), 0);
	show(vq, 0);
}

static void wrap_far(struct raw_vq *vq, enum fph_queue q)
{
	raw_desc(vq, 0, UINT64_MAX, 0xffffffff, expected(q), 0);
	show(vq, 0);
}

static void indirect(struct raw_vq *vq, enum fph_queue q)
{
	(void)q;
	raw_desc(vq, 0, RAM_HIGH, 256, RAW_INDIRECT, 0);
	show(vq, 0);
}

static void indirect_and_next(struct raw_vq *vq, enum fph_queue q)
{
	(void)q;
	raw_desc(vq, 0, RAM_HIGH, 256, RAW_INDIRECT | RAW_NEXT, 1);
	show(vq, 0);
}

static void indirect_of_nothing(struct raw_vq *vq, enum fph_queue q)
{
	(void)q;
	raw_desc(vq, 0, RAM_HOLE, 0, RAW_INDIRECT, 0);
	show(vq, 0);
}

static void indirect_of_everything(struct raw_vq *vq, enum fph_queue q)
{
	(void)q;
	raw_desc(vq, 0, vq->place.desc, 0xfffffff0, RAW_INDIRECT | RAW_WRITE, 0);
	show(vq, 0);
}

static void indirect_behind_a_buffer(struct raw_vq *vq, enum fph_queue q)
{
	raw_desc(vq, 0, RAW_MESSAGE_AT(q), 1, RAW_NEXT, 1);
	raw_desc(vq, 1, RAM_HIGH, 256, RAW_INDIRECT, 0);
	show(vq, 0);
}

static const struct {
	const char *row;
	void (*attack)(struct raw_vq *vq, enum fph_queue q);
	enum fph_rule rule;
} attacks[] = {
	{ "row 1, study 1", ahead_by_one_too_many, FPH_RULE_AVAIL_AHEAD },
	{ "row 1, study 1", ahead_by_half, FPH_RULE_AVAIL_AHEAD },
	{ "row 2, study 2", backwards, FPH_RULE_AVAIL_AHEAD },
	{ "row 2, study 2", backwards_after_work, FPH_RULE_AVAIL_AHEAD },
	{ "row 3, study 3", head_out_of_range, FPH_RULE_HEAD_RANGE },
	{ "row 3, study 3", head_all_ones, FPH_RULE_HEAD_RANGE },
	{ "row 4, study 4", next_out_of_range, FPH_RULE_NEXT_RANGE },
	{ "row 4, study 4", next_all_ones, FPH_RULE_NEXT_RANGE },
	{ "row 5, study 5", loop_of_one, FPH_RULE_CHAIN_LONG },
	{ "row 6, study 6", loop_of_all, FPH_RULE_CHAIN_LONG },
	{ "row 5, study 5", loop_at_the_end, FPH_RULE_CHAIN_LONG },
	{ "row 7, study 13", readable_behind_writable, FPH_RULE_CHAIN_ORDER },
	{ "row 8, study 7", empty_buffer, FPH_RULE_BUFFER_EMPTY },
	{ "row 8, study 7", empty_buffer_in_a_chain, FPH_RULE_BUFFER_EMPTY },
	{ "row 10, study 8", wrap, FPH_RULE_BUFFER_WRAP },
	{ "row 10, study 8", wrap_far, FPH_RULE_BUFFER_WRAP },
	{ "row 21, study 14", indirect, FPH_RULE_INDIRECT },
	{ "row 21, study 14", indirect_and_next, FPH_RULE_INDIRECT },
	{ "row 21, study 14", indirect_of_nothing, FPH_RULE_INDIRECT },
	{ "row 21, study 15", indirect_of_everything, FPH_RULE_INDIRECT },
	{ "row 21, study 14", indirect_behind_a_buffer, FPH_RULE_INDIRECT },
};

/* Fault, sticky, told, and over after a reset: for every attack, in every queue. */
Test(hostile_driver, rows_1_to_21_ring_violations_are_faults_in_every_queue, .timeout = 30)
{
	for (unsigned i = 0; i < COUNT_OF(attacks); i++) {
		for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++) {
			rig_up(&r, ALL);
			if (q == FPH_QUEUE_HINT)
				rig_start(&r);
			raw_take_irq(&r.d);
			attacks[i].attack(&r.d.vq[q], (enum fph_queue)q);
			serve((enum fph_queue)q);
			cr_assert_eq(fph_device_fault(&r.l.dev)->rule, attacks[i].rule,
				     "%s in queue %u: \"%s\"", attacks[i].row, q,
				     fph_rule_name(fph_device_fault(&r.l.dev)->rule));
			rig_expect_fault(&r, attacks[i].rule, (enum fph_queue)q);
			rig_expect_works_after_reset(&r);
		}
	}
}

/* The same in mid-round with a batch in hand: what was handed out stays handed out. */
Test(hostile_driver, a_fault_does_not_return_the_batch_in_hand)
{
	for (unsigned i = 0; i < COUNT_OF(attacks); i++) {
		uint16_t used;

		rig_up(&r, ALL);
		rig_hinting(&r);
		raw_hint(&r.d, 14, RAM_HIGH, 0x1000);
		cr_assert_eq(rig_poll(&r), 1);
		used = raw_used_idx(r.d.hint);
		attacks[i].attack(&r.d.vq[FPH_QUEUE_INFLATE], FPH_QUEUE_INFLATE);
		serve(FPH_QUEUE_INFLATE);
		cr_assert_eq(fph_device_fault(&r.l.dev)->rule, attacks[i].rule);
		cr_expect_eq(fph_device_ack(&r.l.dev), 0);
		cr_expect_eq(raw_used_idx(r.d.hint), used, "%s", attacks[i].row);
		cr_expect_str_eq(fph_device_state_name(&r.l.dev), "DOWN");
	}
}

/* row 2: the reset that ends a fault waits for the batch like any other */
Test(hostile_driver, a_reset_of_a_faulty_device_waits_for_the_batch_too)
{
	rig_up(&r, ALL);
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	cr_assert_eq(rig_poll(&r), 1);
	show(&r.d.vq[FPH_QUEUE_INFLATE], 99);
	serve(FPH_QUEUE_INFLATE);
	raw_set_status(&r.d, 0);
	cr_expect_neq(raw_status(&r.d), 0, "R9");
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(raw_status(&r.d), 0);
	rig_expect_works_after_reset(&r);
}

/* row 2: the first fault is the one that is kept */
Test(hostile_driver, a_second_fault_does_not_replace_the_first)
{
	rig_up(&r, ALL);
	show(&r.d.vq[FPH_QUEUE_DEFLATE], 77);
	serve(FPH_QUEUE_DEFLATE);
	show(&r.d.vq[FPH_QUEUE_INFLATE], 88);
	serve(FPH_QUEUE_INFLATE);
	serve(FPH_QUEUE_HINT);
	cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_HEAD_RANGE);
	cr_expect_eq(fph_device_fault(&r.l.dev)->queue, 1);
	cr_expect_eq(fph_device_fault(&r.l.dev)->value, 77);
}
