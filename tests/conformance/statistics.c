/* SPDX-License-Identifier: MIT */
/* Memory statistics, 5.5.6.3: clauses BS, for both roles. */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct rig r;

static void prepare(void)
{
	rig_up(&r, 0);
	raw_take_irq(&r.d);
}

TestSuite(statistics, .init = prepare);

static struct fph_device_stats stats(void)
{
	return loop_device_stats(&r.l);
}

static struct raw_vq *vq_of(enum fph_queue q)
{
	return &r.d.vq[q];
}

/* One chain of one readable buffer at descriptor i, and a doorbell. */
static void send(enum fph_queue q, uint16_t i, const void *bytes, uint32_t len)
{
	raw_desc(vq_of(q), i, raw_message(&r.d, q, i, bytes, len), len, 0, 0);
	raw_push(vq_of(q), i);
	raw_publish(vq_of(q));
	cr_assert_eq(raw_kick(&r.d, q), 0);
}

/* ------------------------------------------------------------ the device */

static void put(unsigned char *to, uint16_t tag, uint64_t value)
{
	to[0] = (unsigned char)tag;
	to[1] = (unsigned char)(tag >> 8);
	for (unsigned i = 0; i < 8; i++)
		to[2 + i] = (unsigned char)(value >> (8 * i));
}

/* BS-8, BS-9, A5-2 */
Test(statistics, bs8_bs9_any_tag_comes_through_in_any_order)
{
	static const struct fph_stat sent[] = {
		{ UINT64_MAX, 9 }, { 1, 4 }, { 0x1122334455667788, 0 }, { 2, 15 },
		{ 3, 0xffff },	   { 4, 4 }, { 0, 300 },
	};
	unsigned char bytes[7 * 10 + 3] = { 0 };

	for (unsigned i = 0; i < 7; i++)
		put(bytes + 10 * i, sent[i].tag, sent[i].value);
	send(FPH_QUEUE_STATS, 0, bytes, sizeof(bytes));
	cr_assert_eq(r.l.stat_calls, 7, "and the odd rest is ignored");
	for (unsigned i = 0; i < 7; i++)
		cr_expect(r.l.stats[i].tag == sent[i].tag && r.l.stats[i].value == sent[i].value,
			  "entry %u", i);
	cr_expect_eq(stats().stats_buffers, 1);
}

Test(statistics, v2_a_statistic_may_be_cut_into_buffers)
{
	unsigned char bytes[20];

	put(bytes, 4, 0x0102030405060708);
	put(bytes + 10, 7, 99);
	for (unsigned cut = 1; cut < 20; cut++) {
		struct raw_vq *vq;

		prepare();
		vq = vq_of(FPH_QUEUE_STATS);
		raw_desc(vq, 0, raw_message(&r.d, FPH_QUEUE_STATS, 0, bytes, cut), cut, RAW_NEXT, 1);
		raw_desc(vq, 1, raw_message(&r.d, FPH_QUEUE_STATS, 1, bytes + cut, 20 - cut), 20 - cut,
			 0, 0);
		raw_push(vq, 0);
		raw_publish(vq);
		raw_kick(&r.d, FPH_QUEUE_STATS);
		cr_assert_eq(r.l.stat_calls, 2, "cut at %u", cut);
		cr_expect(r.l.stats[0].tag == 4 && r.l.stats[0].value == 0x0102030405060708);
		cr_expect(r.l.stats[1].tag == 7 && r.l.stats[1].value == 99);
	}
}

Test(statistics, bs1_bs3_the_statistics_buffer_is_kept_until_new_ones_are_asked_for)
{
	unsigned char bytes[10];

	put(bytes, 4, 1);
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), -EAGAIN, "none is parked");
	send(FPH_QUEUE_STATS, 0, bytes, 10);
	cr_expect_eq(raw_used_idx(vq_of(FPH_QUEUE_STATS)), 0);
	cr_expect_eq(raw_take_irq(&r.d), 0);
	raw_kick(&r.d, FPH_QUEUE_STATS);
	cr_expect_eq(raw_used_idx(vq_of(FPH_QUEUE_STATS)), 0);
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), 0);
	cr_expect_eq(raw_used_idx(vq_of(FPH_QUEUE_STATS)), 1);
	cr_expect_eq(raw_take_irq(&r.d), FPH_IRQ_QUEUE | FPH_IRQ_VQ(2));
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), -EAGAIN);
	cr_expect_eq(raw_used_idx(vq_of(FPH_QUEUE_STATS)), 1);
	put(bytes, 4, 2);
	send(FPH_QUEUE_STATS, 0, bytes, 10);
	cr_assert_eq(r.l.stat_calls, 2);
	cr_expect_eq(r.l.stats[1].value, 2);
}

/* BS-1 broken by the driver: the older one goes back, one stays */
Test(statistics, a_second_statistics_buffer_sends_the_first_back)
{
	unsigned char bytes[10];
	struct raw_vq *vq = vq_of(FPH_QUEUE_STATS);

	put(bytes, 4, 1);
	for (uint16_t i = 0; i < 5; i++) {
		raw_desc(vq, i, raw_message(&r.d, FPH_QUEUE_STATS, i, bytes, 10), 10, 0, 0);
		raw_push(vq, i);
	}
	raw_publish(vq);
	raw_kick(&r.d, FPH_QUEUE_STATS);
	cr_expect_eq(r.l.stat_calls, 5);
	cr_expect_eq(raw_used_idx(vq), 4);
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), 0);
	cr_expect_eq(raw_used_idx(vq), 5);
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), -EAGAIN);
}

/* Firecracker #5794: an oversized statistics buffer stalled the VMM */
Test(statistics, no_more_than_64_statistics_of_a_buffer_count)
{
	struct raw_vq *vq = vq_of(FPH_QUEUE_STATS);

	raw_desc(vq, 0, RAM_HIGH, (uint32_t)RAM_HIGH_LEN, 0, 0);
	raw_push(vq, 0);
	raw_publish(vq);
	raw_kick(&r.d, FPH_QUEUE_STATS);
	cr_expect_eq(r.l.stat_calls, 64);
	cr_expect_eq(stats().balloon_dropped, 0, "those are no pages");
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), 0);
}

Test(statistics, statistics_that_are_not_in_memory_are_a_fault)
{
	raw_desc(vq_of(FPH_QUEUE_STATS), 0, RAM_HOLE, 10, 0, 0);
	raw_push(vq_of(FPH_QUEUE_STATS), 0);
	raw_publish(vq_of(FPH_QUEUE_STATS));
	raw_kick(&r.d, FPH_QUEUE_STATS);
	rig_expect_fault(&r, FPH_RULE_BUFFER_MEMORY, FPH_QUEUE_STATS);
}

Test(statistics, a_reset_forgets_the_statistics_buffer)
{
	unsigned char bytes[10];

	put(bytes, 4, 1);
	send(FPH_QUEUE_STATS, 0, bytes, 10);
	raw_up(&r.d, RAW_FEATURES);
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), -EAGAIN);
	cr_expect_eq(raw_used_idx(vq_of(FPH_QUEUE_STATS)), 0);
}

Test(statistics, a_statistics_queue_that_is_stopped_gives_its_buffer_to_the_next_one)
{
	unsigned char bytes[10];
	uint16_t index = 0xeeee;

	put(bytes, 4, 1);
	send(FPH_QUEUE_STATS, 0, bytes, 10);
	cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 2, &index), 0);
	cr_expect_eq(index, 0, "the parked one was not returned");
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), -ENOTCONN);
	cr_assert_eq(raw_enable(&r.d, FPH_QUEUE_STATS), 0);
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), -EAGAIN);
	raw_kick(&r.d, FPH_QUEUE_STATS);
	cr_expect_eq(r.l.stat_calls, 2);
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), 0);
}

/* ------------------------------------------------------------ the guest */

static struct raw_desc stats_desc(void)
{
	struct raw_desc d = { 0, 0, 0, 0 };
	uint16_t head;

	cr_assert(raw_pop(&r.dev, 2, &head, &d), "no statistics buffer");
	cr_expect_eq(d.flags, 0, "readable");
	raw_use(&r.dev, 2, head, 0);
	return d;
}

Test(statistics, bs2_bs4_guest_offers_one_filled_buffer_after_bring_up)
{
	static const struct fph_stat mine[] = { { 0x1111, 4 }, { 0x2222222222, 5 }, { 3, 9 } };
	unsigned char want[30];
	struct raw_desc d;

	rig_guest_options(&r);
	r.l.guest_opts.stats = mine;
	r.l.guest_opts.stat_count = 3;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(r.dev.kicks[2], 1);
	cr_expect_eq(raw_read_avail_idx(&r.dev.vq[2]), 1, "BS-1");
	d = stats_desc();
	cr_expect_eq(d.len, 30); /* BS-5, A5-2: whole entries of 10 */
	for (unsigned i = 0; i < 3; i++)
		put(want + 10 * i, mine[i].tag, mine[i].value);
	cr_expect_arr_eq(ram_at(&r.l.ram, d.gpa, 30), want, 30);
}

/* The most there can be, in a block of exactly the size that is asked for. */
Test(statistics, bs4_guest_writes_no_byte_behind_its_block)
{
	struct fph_stat mine[FPH_GUEST_STATS_MAX + 1];
	uint64_t end = LOOP_RING + fph_guest_ring_bytes(16);

	for (unsigned i = 0; i < FPH_GUEST_STATS_MAX + 1; i++)
		mine[i] = (struct fph_stat){ i, (uint16_t)i };
	rig_guest_options(&r);
	r.l.guest_opts.ring.len = fph_guest_ring_bytes(16);
	r.l.guest_opts.stats = mine;
	r.l.guest_opts.stat_count = FPH_GUEST_STATS_MAX;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(stats_desc().len, 160);
	ram_expect_untouched(&r.l.ram, end, RAM_LOW + RAM_LOW_LEN - end);
}

Test(statistics, bs1_bs3_bs7_guest_offers_a_new_buffer_whenever_one_was_used)
{
	struct fph_stat mine[2] = { { 1, 4 }, { 2, 5 } };
	struct raw_desc d;

	rig_guest_options(&r);
	r.l.guest_opts.stats = mine;
	r.l.guest_opts.stat_count = 2;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	for (uint16_t i = 1; i <= 20; i++) {
		d = stats_desc();
		cr_expect_eq(d.len, 20);
		cr_expect_eq(ram_at(&r.l.ram, d.gpa, 20)[0], 4);
		cr_expect_eq(ram_at(&r.l.ram, d.gpa, 20)[10], 5);
		cr_expect_eq(ram_at(&r.l.ram, d.gpa, 20)[2], mine[0].value);
		cr_assert_geq(loop_step(&r.l), 0);
		cr_expect_eq(raw_read_avail_idx(&r.dev.vq[2]), i, "not before it was used");
		mine[0].value = i + 1;
		raw_show_used(&r.dev, 2);
		cr_assert_geq(loop_step(&r.l), 0);
		cr_expect_eq(raw_read_avail_idx(&r.dev.vq[2]), i + 1);
		cr_expect_eq(r.dev.kicks[2], i + 1);
	}
}

Test(statistics, guest_without_statistics_says_that_free_memory_is_not_known)
{
	struct raw_desc d;

	rig_guest_up(&r);
	d = stats_desc();
	cr_expect_eq(d.len, 10);
	cr_expect_eq(memcmp(ram_at(&r.l.ram, d.gpa, 10), "\4\0\377\377\377\377\377\377\377\377", 10),
		     0);
}

/* rows 48 to 50, on the other ring */
Test(statistics, guest_judges_the_statistics_ring_too)
{
	static const struct {
		uint32_t id, len;
		uint16_t idx;
		enum fph_rule rule;
	} bad[] = {
		{ 2, 0, 1, FPH_RULE_USED_ID },	 { 1, 0, 1, FPH_RULE_USED_ID },
		{ 0, 11, 1, FPH_RULE_USED_LEN }, { 0, 0, 2, FPH_RULE_USED_AHEAD },
		{ 0, 0, 65535, FPH_RULE_USED_AHEAD },
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rig_guest_up(&r);
		raw_use(&r.dev, 2, bad[i].id, bad[i].len);
		raw_store_used_idx(&r.dev, 2, bad[i].idx);
		cr_expect_eq(loop_step(&r.l), -EPROTO, "case %u", i);
		cr_expect_eq(fph_guest_fault(&r.l.guest)->rule, bad[i].rule, "case %u", i);
		cr_expect_eq(fph_guest_fault(&r.l.guest)->queue, 2);
		cr_expect_eq(loop_step(&r.l), -EPROTO, "sticky");
		cr_expect_eq(fph_guest_attach(&r.l.guest), 0);
	}
}

/* V-16: a device that looks by itself is not rung for. */
Test(statistics, guest_does_not_ring_a_device_that_asked_for_silence)
{
	rig_guest_up(&r);
	cr_assert_eq(r.dev.kicks[2], 1);
	cr_assert_eq(stats_desc().len, 10); /* used, and not shown yet */
	ram_st16(&r.l.ram, r.dev.vq[2].place.device, 1);
	raw_show_used(&r.dev, 2);
	cr_assert_geq(loop_step(&r.l), 0);
	cr_expect_eq(raw_read_avail_idx(&r.dev.vq[2]), 2, "a fresh one is there");
	cr_expect_eq(r.dev.kicks[2], 1);
}
