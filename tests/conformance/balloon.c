/* SPDX-License-Identifier: MIT */
/* Inflation, deflation and reporting, 5.5.6 and 5.5.6.7: clauses BD, BR. */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define ALL (FPH_F_MUST_TELL_HOST | FPH_F_PAGE_POISON | FPH_F_PAGE_REPORTING)

static struct rig r;

static void prepare(void)
{
	rig_up(&r, ALL);
	raw_take_irq(&r.d);
}

TestSuite(balloon, .init = prepare);

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

static void expect_pages(unsigned i, enum fph_queue q, uint64_t gpa, uint64_t len)
{
	cr_assert_lt(i, r.l.page_calls, "range %u did not come", i);
	cr_expect_eq(r.l.pages[i].queue, q);
	cr_expect(r.l.pages[i].range.gpa == gpa && r.l.pages[i].range.len == len,
		  "range %u: %#llx +%#llx", i, (unsigned long long)r.l.pages[i].range.gpa,
		  (unsigned long long)r.l.pages[i].range.len);
}

static const enum fph_queue both[] = { FPH_QUEUE_INFLATE, FPH_QUEUE_DEFLATE };

/* ------------------------------------------------------------ inflate and deflate */

Test(balloon, bd_page_numbers_in_a_row_are_one_range)
{
	static const uint32_t pfns[] = { 0x300, 0x301, 0x302, 0x310, 0x305, 0x304, 0x303, 0x304 };

	for (unsigned k = 0; k < 2; k++) {
		prepare();
		send(both[k], 0, pfns, sizeof(pfns));
		cr_assert_eq(r.l.page_calls, 5);
		expect_pages(0, both[k], 0x300000, 0x3000);
		expect_pages(1, both[k], 0x310000, 0x1000);
		expect_pages(2, both[k], 0x305000, 0x1000);
		expect_pages(3, both[k], 0x304000, 0x1000);
		expect_pages(4, both[k], 0x303000, 0x2000);
		cr_expect_eq(stats().inflated, k ? 0 : 0x8000);
		cr_expect_eq(stats().deflated, k ? 0x8000 : 0);
		cr_expect_eq(raw_used_idx(vq_of(both[k])), 1);
		cr_expect_eq(raw_used_len(vq_of(both[k]), 0), 0);
		cr_expect_eq(raw_take_irq(&r.d), FPH_IRQ_QUEUE | FPH_IRQ_VQ(k));
	}
}

/* A run ends with its chain, so that its buffer can go back. */
Test(balloon, bd_each_chain_is_handed_on_before_it_is_returned)
{
	uint32_t a = 0x300, b = 0x301;

	raw_desc(vq_of(FPH_QUEUE_INFLATE), 0, raw_message(&r.d, FPH_QUEUE_INFLATE, 0, &a, 4), 4, 0,
		 0);
	raw_push(vq_of(FPH_QUEUE_INFLATE), 0);
	send(FPH_QUEUE_INFLATE, 1, &b, 4);
	cr_assert_eq(r.l.page_calls, 2);
	expect_pages(0, FPH_QUEUE_INFLATE, 0x300000, 0x1000);
	expect_pages(1, FPH_QUEUE_INFLATE, 0x301000, 0x1000);
}

/* V-2: page numbers cut anywhere */
Test(balloon, v2_a_page_number_may_be_cut_into_buffers)
{
	static const unsigned char bytes[] = { 0x00, 0x03, 0, 0, 0x01, 0x03, 0, 0, 0x02, 0x03, 0, 0 };

	for (unsigned cut = 1; cut < 12; cut++) {
		struct raw_vq *vq;

		prepare();
		vq = vq_of(FPH_QUEUE_INFLATE);
		raw_desc(vq, 0, raw_message(&r.d, FPH_QUEUE_INFLATE, 0, bytes, cut), cut, RAW_NEXT, 1);
		raw_desc(vq, 1, raw_message(&r.d, FPH_QUEUE_INFLATE, 1, bytes + cut, 12 - cut),
			 12 - cut, 0, 0);
		raw_push(vq, 0);
		raw_publish(vq);
		raw_kick(&r.d, FPH_QUEUE_INFLATE);
		cr_assert_eq(r.l.page_calls, 1, "cut at %u", cut);
		expect_pages(0, FPH_QUEUE_INFLATE, 0x300000, 0x3000);
	}
}

Test(balloon, a_rest_that_is_no_page_number_is_ignored)
{
	static const unsigned char bytes[] = { 0x00, 0x03, 0, 0, 0x01, 0x03, 0 };

	send(FPH_QUEUE_INFLATE, 0, bytes, 7);
	cr_assert_eq(r.l.page_calls, 1);
	expect_pages(0, FPH_QUEUE_INFLATE, 0x300000, 0x1000);
	/* and is not completed by the next chain */
	send(FPH_QUEUE_INFLATE, 1, bytes, 4);
	cr_assert_eq(r.l.page_calls, 2);
	expect_pages(1, FPH_QUEUE_INFLATE, 0x300000, 0x1000);
	cr_expect_eq(raw_used_idx(vq_of(FPH_QUEUE_INFLATE)), 2);
}

/* rows 12, 13, 34; study 71 */
Test(balloon, pages_outside_of_writable_memory_are_dropped_and_counted)
{
	static const uint32_t pfns[] = { 0x1ff, 0x200, 0x2ff, 0x300, 0x47f, 0x480, 0xffffffff, 0 };

	send(FPH_QUEUE_INFLATE, 0, pfns, sizeof(pfns));
	cr_assert_eq(r.l.page_calls, 3);
	expect_pages(0, FPH_QUEUE_INFLATE, 0x1ff000, 0x1000); /* and the hole behind it is not */
	expect_pages(1, FPH_QUEUE_INFLATE, 0x300000, 0x1000);
	expect_pages(2, FPH_QUEUE_INFLATE, 0x47f000, 0x1000); /* and the ROM behind it is not */
	cr_expect_eq(stats().inflated + stats().balloon_dropped, 8 * 0x1000);
	cr_expect_eq(stats().inflated, 3 * 0x1000);
}

/* 0xffffffff is a page of RAM_FAR: known, not mapped, and a page like any */
Test(balloon, a_page_that_is_not_mapped_here_is_handed_on)
{
	uint32_t pfn = (uint32_t)(RAM_FAR >> 12);

	send(FPH_QUEUE_INFLATE, 0, &pfn, 4);
	cr_assert_eq(r.l.page_calls, 1);
	expect_pages(0, FPH_QUEUE_INFLATE, RAM_FAR, 0x1000);
}

Test(balloon, a_run_across_two_regions_is_split)
{
	static const uint32_t pfns[] = { 0x3ff, 0x400 };

	send(FPH_QUEUE_DEFLATE, 0, pfns, sizeof(pfns));
	cr_assert_eq(r.l.page_calls, 2);
	expect_pages(0, FPH_QUEUE_DEFLATE, 0x3ff000, 0x1000);
	expect_pages(1, FPH_QUEUE_DEFLATE, 0x400000, 0x1000);
}

/* BD-13, BD-14: a page may be changed until it is acknowledged, so the hook comes first */
static uint16_t used_at_hook;

static void watch_pages(void *ctx, enum fph_queue queue, struct fph_range range)
{
	(void)ctx;
	(void)range;
	used_at_hook = raw_used_idx(vq_of(queue));
}

Test(balloon, bd13_bd14_br7_a_buffer_is_returned_after_the_hook)
{
	uint32_t pfn = 0x300;

	rig_options(&r);
	r.l.dev_opts.offer = ALL;
	r.l.dev_opts.pages = watch_pages;
	rig_device(&r);
	raw_up(&r.d, RAW_FEATURES | ALL);
	for (unsigned k = 0; k < 2; k++) {
		used_at_hook = 99;
		send(both[k], 0, &pfn, 4);
		cr_expect_eq(used_at_hook, 0);
		cr_expect_eq(raw_used_idx(vq_of(both[k])), 1);
	}
	used_at_hook = 99;
	raw_desc(vq_of(FPH_QUEUE_REPORT), 0, RAM_HIGH, 0x1000, RAW_WRITE, 0);
	raw_push(vq_of(FPH_QUEUE_REPORT), 0);
	raw_publish(vq_of(FPH_QUEUE_REPORT));
	raw_kick(&r.d, FPH_QUEUE_REPORT);
	cr_expect_eq(used_at_hook, 0);
	cr_expect_eq(raw_used_idx(vq_of(FPH_QUEUE_REPORT)), 1);
}

/* study row: Firecracker #5794, work in proportion to a constant and not to lengths */
Test(balloon, no_more_than_4096_page_numbers_of_a_chain_count)
{
	struct raw_vq *vq = vq_of(FPH_QUEUE_INFLATE);

	for (uint32_t i = 0; i < 0x40000; i += 4)
		ram_st32(&r.l.ram, RAM_HIGH + i, 0x300 + (i / 4) % 2 * 2);
	raw_desc(vq, 0, RAM_HIGH, 0x40000, 0, 0);
	raw_push(vq, 0);
	raw_publish(vq);
	raw_kick(&r.d, FPH_QUEUE_INFLATE);
	cr_expect_eq(r.l.page_calls, 4096);
	cr_expect_eq(stats().inflated, UINT64_C(4096) * 4096);
	cr_expect_eq(stats().balloon_dropped, (UINT64_C(0x10000) - 4096) * 4096);
	cr_expect_eq(raw_used_idx(vq), 1);
}

Test(balloon, page_numbers_that_are_not_in_memory_are_a_fault)
{
	static const struct {
		uint64_t gpa;
		uint32_t len;
	} bad[] = {
		{ RAM_HOLE, 4 },	 { RAM_HOLE - 2, 4 }, { RAM_HIGH - 2, 4 },
		{ RAM_FAR, 4 },		 { 0, 4 },	      { RAM_HOLE - 8, 0xffffffff },
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		prepare();
		raw_desc(vq_of(FPH_QUEUE_INFLATE), 3, bad[i].gpa, bad[i].len, 0, 0);
		raw_push(vq_of(FPH_QUEUE_INFLATE), 3);
		raw_publish(vq_of(FPH_QUEUE_INFLATE));
		cr_expect_eq(raw_kick(&r.d, FPH_QUEUE_INFLATE), 0);
		rig_expect_fault(&r, FPH_RULE_BUFFER_MEMORY, FPH_QUEUE_INFLATE);
		rig_expect_works_after_reset(&r);
	}
}

/* Adjacent in the guest, apart in this process: it is one buffer. */
Test(balloon, page_numbers_may_stand_across_two_regions)
{
	ram_st32(&r.l.ram, RAM_NEXT - 4, 0x300);
	ram_st16(&r.l.ram, RAM_NEXT, 0x301);
	ram_st16(&r.l.ram, RAM_NEXT + 2, 0);
	raw_desc(vq_of(FPH_QUEUE_INFLATE), 0, RAM_NEXT - 4, 8, 0, 0);
	raw_push(vq_of(FPH_QUEUE_INFLATE), 0);
	raw_publish(vq_of(FPH_QUEUE_INFLATE));
	raw_kick(&r.d, FPH_QUEUE_INFLATE);
	cr_assert_eq(r.l.page_calls, 1);
	expect_pages(0, FPH_QUEUE_INFLATE, 0x300000, 0x2000);
}

/* row 38: the wrong way round */
Test(balloon, a_writable_buffer_holds_no_page_numbers)
{
	static const enum fph_queue queues[] = { FPH_QUEUE_INFLATE, FPH_QUEUE_DEFLATE,
						 FPH_QUEUE_STATS };

	for (unsigned k = 0; k < 3; k++) {
		prepare();
		raw_desc(vq_of(queues[k]), 0, RAM_HIGH, 0x100, RAW_WRITE, 0);
		raw_push(vq_of(queues[k]), 0);
		raw_publish(vq_of(queues[k]));
		raw_kick(&r.d, queues[k]);
		cr_expect_eq(r.l.page_calls + r.l.stat_calls, 0);
		cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE);
		cr_expect_eq(stats().balloon_dropped, 0x100);
	}
}

/* study 97: budgeted; what is left is served by the next doorbell or poll */
static const enum fph_queue busy[] = { FPH_QUEUE_INFLATE, FPH_QUEUE_DEFLATE, FPH_QUEUE_REPORT };

/* 16 chains of 16 buffers: 256 buffers, of which a doorbell serves 32 */
static struct raw_vq *overload(enum fph_queue q)
{
	struct raw_vq *vq = vq_of(q);
	uint32_t pfn = 0x300;
	uint64_t at = raw_message(&r.d, q, 0, &pfn, 4);

	for (uint16_t i = 0; i < 16; i++)
		raw_desc(vq, i, q == FPH_QUEUE_REPORT ? RAM_HIGH : at + i % 4,
			 q == FPH_QUEUE_REPORT ? 0x1000 : 1,
			 (q == FPH_QUEUE_REPORT ? RAW_WRITE : 0) | (i < 15 ? RAW_NEXT : 0),
			 (uint16_t)(i + 1));
	for (unsigned i = 0; i < 16; i++)
		raw_push(vq, 0);
	raw_publish(vq);
	return vq;
}

Test(balloon, work_per_doorbell_is_bounded)
{
	for (unsigned b = 0; b < 3; b++) {
		struct raw_vq *vq;

		prepare();
		vq = overload(busy[b]);
		for (uint16_t k = 1; k <= 8; k++) {
			if (k % 2)
				raw_kick(&r.d, busy[b]);
			else
				cr_expect_eq(rig_poll(&r), 0);
			cr_expect_eq(raw_used_idx(vq), 2 * k, "queue %u turn %u", busy[b], k);
		}
		raw_kick(&r.d, busy[b]);
		cr_expect_eq(raw_used_idx(vq), 16);
		cr_expect_eq(r.l.page_calls, busy[b] == FPH_QUEUE_REPORT ? 256 : 64);
	}
}

/* Work that is left goes with its queue, and with a reset. */
Test(balloon, work_left_of_a_queue_that_was_stopped_is_forgotten)
{
	for (unsigned b = 0; b < 3; b++) {
		uint16_t index = 0;
		unsigned calls;

		prepare();
		overload(busy[b]);
		raw_kick(&r.d, busy[b]);
		calls = r.l.page_calls;
		cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, vq_of(busy[b])->index, &index), 0);
		cr_expect_eq(index, 2);
		for (unsigned i = 0; i < 3; i++)
			cr_expect_eq(rig_poll(&r), 0);
		cr_expect_eq(r.l.page_calls, calls);

		prepare();
		overload(busy[b]);
		raw_kick(&r.d, busy[b]);
		raw_up(&r.d, RAW_FEATURES | ALL);
		calls = r.l.page_calls;
		for (unsigned i = 0; i < 3; i++)
			cr_expect_eq(rig_poll(&r), 0);
		cr_expect_eq(r.l.page_calls, calls);
	}
}

/* row 25; study 24 */
Test(balloon, a_storm_of_doorbells_for_empty_queues_is_nothing)
{
	for (unsigned i = 0; i < 100000; i++)
		for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
			raw_kick(&r.d, (enum fph_queue)q);
	cr_expect_eq(raw_take_irq(&r.d), 0);
	cr_expect_eq(r.l.page_calls + r.l.stat_calls, 0);
	cr_expect_eq(r.l.doorbells, 100000, "the embedder hears of each, and does what it wants");
}

/* ------------------------------------------------------------ reporting */

static void report(uint16_t i, uint64_t gpa, uint32_t len, unsigned flags)
{
	raw_desc(vq_of(FPH_QUEUE_REPORT), i, gpa, len, flags, 0);
	raw_push(vq_of(FPH_QUEUE_REPORT), i);
	raw_publish(vq_of(FPH_QUEUE_REPORT));
	cr_assert_eq(raw_kick(&r.d, FPH_QUEUE_REPORT), 0);
}

Test(balloon, br7_reported_pages_are_handed_on_cut_inward)
{
	report(0, RAM_HIGH + 0x800, 0x2800, RAW_WRITE);
	cr_assert_eq(r.l.page_calls, 1);
	expect_pages(0, FPH_QUEUE_REPORT, RAM_HIGH + 0x1000, 0x2000);
	report(1, RAM_HIGH + 0x800, 0x1000, RAW_WRITE);
	report(2, RAM_HOLE, 0x1000, RAW_WRITE);
	report(3, RAM_ROM, 0x1000, RAW_WRITE);
	report(4, RAM_HIGH, 0x1000, 0); /* readable */
	cr_expect_eq(r.l.page_calls, 1);
	cr_expect_eq(stats().reported, 0x2000);
	cr_expect_eq(stats().balloon_dropped, 0x800 + 0x1000 + 0x1000 + 0x1000 + 0x1000);
	cr_expect_eq(raw_used_idx(vq_of(FPH_QUEUE_REPORT)), 5);
	cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE);
	ram_expect_untouched(&r.l.ram, RAM_HIGH, RAM_HIGH_LEN); /* BR-8 */
}

Test(balloon, reports_are_split_by_region)
{
	report(0, RAM_HIGH, (uint32_t)(RAM_HIGH_LEN + RAM_NEXT_LEN + RAM_ROM_LEN), RAW_WRITE);
	cr_assert_eq(r.l.page_calls, 2);
	expect_pages(0, FPH_QUEUE_REPORT, RAM_HIGH, RAM_HIGH_LEN);
	expect_pages(1, FPH_QUEUE_REPORT, RAM_NEXT, RAM_NEXT_LEN);
}

Test(balloon, reports_of_a_larger_page_are_cut_to_it)
{
	rig_options(&r);
	r.l.dev_opts.offer = ALL;
	r.l.dev_opts.page_shift = 16;
	rig_device(&r);
	raw_up(&r.d, RAW_FEATURES | ALL);
	report(0, RAM_HIGH + 0x1000, 0x30000, RAW_WRITE);
	cr_assert_eq(r.l.page_calls, 1);
	expect_pages(0, FPH_QUEUE_REPORT, RAM_HIGH + 0x10000, 0x20000);
}
