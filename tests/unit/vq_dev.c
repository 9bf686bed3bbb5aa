/* SPDX-License-Identifier: MIT */
#include "support/raw.h"
#include "vq.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define N	    8u /* entries of the ring under test */

static struct ram ram;
static struct raw_driver drv; /* only for its way to write rings; it has no bus */
static struct raw_vq *r;
static struct fph_vq_dev vq;
static struct fph_vq_buf buf;
static struct fph_fault fault;

/* An empty ring of N entries whose counters stand at index. */
static void enable_at(uint16_t index)
{
	ram_init(&ram);
	raw_driver_init(&drv, &ram, (struct fph_bus){ NULL, NULL });
	raw_lay_out(&drv, FPH_QUEUE_HINT, 0, N);
	r = drv.hint;
	r->place.index = r->avail = index;
	raw_publish(r);
	cr_assert_eq(fph_vq_dev_enable(&vq, &ram.mem, &r->place, N, (struct fph_vq_format){ 0 }), FPH_RULE_NONE);
	memset(&fault, 0, sizeof(fault));
}

static void prepare(void)
{
	enable_at(0);
}

TestSuite(vq_dev, .init = prepare);

static int next(void)
{
	return fph_vq_dev_next(&vq, &buf, &fault);
}

/* One chain of one buffer at descriptor i. */
static void offer(uint16_t i, uint64_t gpa, uint32_t len, unsigned flags)
{
	raw_desc(r, i, gpa, len, flags, 0);
	raw_push(r, i);
	raw_publish(r);
}

static void expect_fault(enum fph_rule rule, uint32_t index, uint64_t value)
{
	cr_expect_eq(next(), -EPROTO);
	cr_expect_eq(fault.rule, rule, "\"%s\" and not \"%s\"", fph_rule_name(fault.rule),
		     fph_rule_name(rule));
	cr_expect_eq(fault.index, index, "index %u", fault.index);
	cr_expect_eq(fault.value, value, "value %#llx", (unsigned long long)fault.value);
}

/* ------------------------------------------------------------ the walk */

Test(vq_dev, enabling_clears_used_flags_and_no_more)
{
	memset(ram_at(&ram, r->place.device, 6 + 8 * N), 0xff, 6 + 8 * N);
	cr_assert_eq(fph_vq_dev_enable(&vq, &ram.mem, &r->place, N, (struct fph_vq_format){ 0 }), FPH_RULE_NONE);
	cr_expect_eq(raw_used_flags(r), 0, "whoever had the queue may have been silent");
	cr_expect_eq(raw_used_idx(r), 0xffff);
}

/* V-17: by event index, too: whoever had the queue asked for another doorbell. */
Test(vq_dev, enabling_asks_for_the_next_doorbell)
{
	uint64_t event = r->place.device + 4 + 8 * N;

	ram_st16(&ram, event, 0x7777);
	r->place.index = 0xfffe;
	cr_assert_eq(fph_vq_dev_enable(&vq, &ram.mem, &r->place, N,
				       (struct fph_vq_format){ .event_idx = true }),
		     FPH_RULE_NONE);
	cr_expect_eq(ram_ld16(&ram, event), 0xfffe);
}

Test(vq_dev, an_empty_ring_has_nothing)
{
	cr_expect_eq(fph_vq_dev_look(&vq, &fault), 0);
	cr_expect_eq(next(), 0);
	cr_expect_eq(fph_vq_dev_return(&vq, false), -EAGAIN);
	cr_expect_eq(raw_used_idx(r), 0);
}

Test(vq_dev, hands_out_what_the_descriptor_says)
{
	offer(3, 0x123456789abcdef0, 0x1234567, RAW_WRITE);
	cr_expect_eq(fph_vq_dev_look(&vq, &fault), 1);
	cr_assert_eq(next(), 1);
	cr_expect_eq(buf.gpa, 0x123456789abcdef0);
	cr_expect_eq(buf.len, 0x1234567);
	cr_expect(buf.writable && buf.first && buf.last);
	offer(4, 0x1000, 4, 0);
	cr_assert_eq(next(), 1);
	cr_expect(!buf.writable && buf.first && buf.last && buf.len == 4);
	cr_expect_eq(next(), 0);
}

Test(vq_dev, an_address_is_not_translated_here)
{
	offer(0, RAM_HOLE, 0xffffffff, RAW_WRITE);
	cr_expect_eq(next(), 1);
	cr_expect_eq(buf.len, 0xffffffff); /* row 9 */
}

Test(vq_dev, a_chain_of_exactly_the_ring_size_is_walked) /* study row 6 */
{
	for (uint16_t i = 0; i < N; i++)
		raw_desc(r, i, 0x1000u * i, 16, i + 1u < N ? RAW_NEXT : 0, (uint16_t)(i + 1));
	raw_push(r, 0);
	raw_publish(r);
	for (uint16_t i = 0; i < N; i++) {
		cr_assert_eq(next(), 1, "buffer %u", i);
		cr_expect_eq(buf.gpa, 0x1000u * i);
		cr_expect_eq(buf.first, i == 0);
		cr_expect_eq(buf.last, i + 1 == N);
	}
	cr_expect_eq(next(), 0);
	cr_expect_eq(fph_vq_dev_return(&vq, false), 1);
	cr_expect_eq(raw_used_idx(r), 1);
}

Test(vq_dev, v5_a_chain_longer_than_the_ring_is_a_fault) /* rows 5, 6; V-5 */
{
	for (uint16_t i = 0; i < N; i++)
		raw_desc(r, i, 0x1000, 16, RAW_NEXT, (uint16_t)((i + 1) % N));
	raw_push(r, 2);
	raw_publish(r);
	for (uint16_t i = 0; i < N; i++)
		cr_assert_eq(next(), 1, "buffer %u", i);
	expect_fault(FPH_RULE_CHAIN_LONG, 2, N);
}

Test(vq_dev, a_descriptor_that_follows_itself_is_a_fault) /* row 5; SPDK's loop */
{
	raw_desc(r, 5, 0x1000, 16, RAW_NEXT, 5);
	raw_push(r, 5);
	raw_publish(r);
	for (uint16_t i = 0; i < N; i++)
		cr_assert_eq(next(), 1, "buffer %u", i);
	expect_fault(FPH_RULE_CHAIN_LONG, 5, N);
}

Test(vq_dev, the_budget_is_new_for_each_chain)
{
	for (unsigned chain = 0; chain < 3; chain++) {
		for (uint16_t i = 0; i < N; i++)
			raw_desc(r, i, 0x1000, 16, i + 1u < N ? RAW_NEXT : 0, (uint16_t)(i + 1));
		raw_push(r, 0);
		raw_publish(r);
		for (uint16_t i = 0; i < N; i++)
			cr_assert_eq(next(), 1, "chain %u buffer %u", chain, i);
		fph_vq_dev_return(&vq, false);
	}
	cr_expect_eq(raw_used_idx(r), 3);
}

Test(vq_dev, readable_then_writable_is_a_chain)
{
	raw_desc(r, 0, 0x1000, 4, RAW_NEXT, 1);
	raw_desc(r, 1, 0x2000, 4, RAW_NEXT | RAW_WRITE, 2);
	raw_desc(r, 2, 0x3000, 4, RAW_WRITE, 0xffff); /* without NEXT it means nothing */
	raw_push(r, 0);
	raw_publish(r);
	cr_assert_eq(next(), 1);
	cr_expect(buf.first && !buf.writable && !buf.last);
	cr_assert_eq(next(), 1);
	cr_expect(!buf.first && buf.writable && !buf.last);
	cr_assert_eq(next(), 1);
	cr_expect(!buf.first && buf.writable && buf.last);
}

/* ------------------------------------------------------------ each rule */

Test(vq_dev, a_head_that_is_no_descriptor_is_a_fault) /* row 3 */
{
	raw_push(r, N);
	raw_publish(r);
	expect_fault(FPH_RULE_HEAD_RANGE, 0, N);
}

Test(vq_dev, the_last_descriptor_may_be_a_head)
{
	offer(N - 1, 0x1000, 4, 0);
	cr_expect_eq(next(), 1);
}

Test(vq_dev, a_head_of_65535_is_a_fault)
{
	raw_push(r, 0xffff);
	raw_publish(r);
	expect_fault(FPH_RULE_HEAD_RANGE, 0, 0xffff);
}

Test(vq_dev, a_next_that_is_no_descriptor_is_a_fault) /* row 4 */
{
	raw_desc(r, 2, 0x1000, 4, RAW_NEXT, N);
	raw_push(r, 2);
	raw_publish(r);
	expect_fault(FPH_RULE_NEXT_RANGE, 2, N);
}

Test(vq_dev, an_empty_buffer_is_a_fault) /* row 8; CVE-2016-6490 */
{
	offer(1, 0x1000, 0, RAW_WRITE);
	expect_fault(FPH_RULE_BUFFER_EMPTY, 1, 0x1000);
}

Test(vq_dev, a_buffer_may_end_where_addresses_end) /* study row 11 */
{
	offer(1, UINT64_MAX - 15, 16, RAW_WRITE);
	cr_expect_eq(next(), 1);
	offer(2, UINT64_MAX, 1, RAW_WRITE);
	cr_expect_eq(next(), 1);
}

Test(vq_dev, a_buffer_that_wraps_is_a_fault) /* row 10 */
{
	offer(1, UINT64_MAX - 15, 17, RAW_WRITE);
	expect_fault(FPH_RULE_BUFFER_WRAP, 1, UINT64_MAX - 15);
}

Test(vq_dev, v3_readable_behind_writable_is_a_fault) /* row 7; V-3 */
{
	raw_desc(r, 0, 0x1000, 4, RAW_NEXT | RAW_WRITE, 1);
	raw_desc(r, 1, 0x2000, 4, 0, 0);
	raw_push(r, 0);
	raw_publish(r);
	cr_assert_eq(next(), 1);
	expect_fault(FPH_RULE_CHAIN_ORDER, 1, 0);
}

Test(vq_dev, order_is_judged_chain_by_chain)
{
	offer(0, 0x1000, 4, RAW_WRITE);
	offer(1, 0x1000, 4, 0);
	cr_expect_eq(next(), 1);
	cr_expect_eq(next(), 1, "a writable chain says nothing of the next one");
}

/* row 21: no kind of indirect descriptor was negotiated; V-10 */
static const unsigned indirect[] = {
	RAW_INDIRECT,
	RAW_INDIRECT | RAW_NEXT,
	RAW_INDIRECT | RAW_WRITE,
	RAW_INDIRECT | RAW_NEXT | RAW_WRITE,
};

Test(vq_dev, an_indirect_descriptor_is_a_fault)
{
	static const uint32_t lens[] = { 0, 1, 15, 16, 128, 0xfffffff0 };

	for (unsigned i = 0; i < COUNT_OF(indirect); i++) {
		for (unsigned k = 0; k < COUNT_OF(lens); k++) {
			enable_at(0);
			offer(3, RAM_LOW, lens[k], indirect[i]);
			expect_fault(FPH_RULE_INDIRECT, 3, indirect[i]);
		}
	}
}

/* Flags that mean nothing here are ignored, as any reserved bit. */
Test(vq_dev, unknown_flags_are_ignored)
{
	offer(3, 0x1000, 4, 0xfff8 | RAW_WRITE);
	cr_assert_eq(next(), 1);
	cr_expect(buf.writable && buf.last);
}

/* ------------------------------------------------------------ avail.idx */

static const struct {
	uint16_t by;
	int rc;
} jumps[] = {
	{ 1, 1 },	     { N - 1, 1 },	  { N, 1 },	       { N + 1, -EPROTO },
	{ N + 2, -EPROTO },  { 256, -EPROTO },	  { 32767, -EPROTO },  { 32768, -EPROTO },
	{ 65535, -EPROTO }, /* backwards by one; row 2, V-6 */
};

Test(vq_dev, avail_idx_is_never_ahead_by_more_than_the_ring) /* row 1 */
{
	static const uint16_t starts[] = { 0, 1, 32767, 32768, 65535, 65529 };

	for (unsigned s = 0; s < COUNT_OF(starts); s++) {
		for (unsigned i = 0; i < COUNT_OF(jumps); i++) {
			uint16_t idx = (uint16_t)(starts[s] + jumps[i].by);

			enable_at(starts[s]);
			raw_avail_idx(r, idx);
			cr_expect_eq(fph_vq_dev_look(&vq, &fault), jumps[i].rc, "%u + %u",
				     starts[s], jumps[i].by);
			if (jumps[i].rc < 0)
				expect_fault(FPH_RULE_AVAIL_AHEAD, starts[s], idx);
		}
	}
}

Test(vq_dev, chains_not_returned_count_against_the_ring) /* study row 20; CVE-2016-5403 */
{
	for (uint16_t i = 0; i < N; i++)
		offer(i, 0x1000, 16, RAW_WRITE);
	for (uint16_t i = 0; i < N; i++)
		cr_assert_eq(next(), 1);
	offer(0, 0x1000, 16, RAW_WRITE);
	expect_fault(FPH_RULE_AVAIL_AHEAD, N, N + 1);
}

Test(vq_dev, a_returned_chain_makes_room_for_one_more)
{
	for (uint16_t i = 0; i < N; i++)
		offer(i, 0x1000, 16, RAW_WRITE);
	cr_assert_eq(next(), 1);
	cr_assert_eq(fph_vq_dev_return(&vq, false), 1);
	for (uint16_t i = 1; i < N; i++)
		cr_assert_eq(next(), 1);
	offer(0, 0x1000, 16, RAW_WRITE);
	cr_expect_eq(next(), 1);
	offer(1, 0x1000, 16, RAW_WRITE);
	expect_fault(FPH_RULE_AVAIL_AHEAD, N + 1, N + 2);
}

/* What was looked at is walked before avail.idx is loaded again. */
Test(vq_dev, an_index_that_goes_back_takes_nothing_back)
{
	offer(0, 0x1000, 16, RAW_WRITE);
	offer(1, 0x2000, 16, RAW_WRITE);
	cr_expect_eq(fph_vq_dev_look(&vq, &fault), 1);
	raw_avail_idx(r, 0);
	cr_expect_eq(next(), 1);
	cr_expect_eq(next(), 1);
	cr_expect_eq(buf.gpa, 0x2000);
	expect_fault(FPH_RULE_AVAIL_AHEAD, 2, 0);
}

/* ------------------------------------------------------------ one copy; row 20, study 12 */

Test(vq_dev, a_descriptor_counts_as_it_was_first_read)
{
	raw_desc(r, 0, 0x1000, 16, RAW_NEXT, 1);
	raw_desc(r, 1, 0x2000, 32, RAW_WRITE, 0);
	raw_push(r, 0);
	raw_publish(r);
	cr_assert_eq(next(), 1);
	/* What was read is replaced by what would never pass. */
	raw_desc(r, 0, UINT64_MAX, 0, RAW_INDIRECT | RAW_NEXT, 0xffff);
	cr_expect(buf.gpa == 0x1000 && buf.len == 16);
	cr_assert_eq(next(), 1, "the chain goes on where the first reading said");
	cr_expect(buf.gpa == 0x2000 && buf.len == 32 && buf.last);
	raw_desc(r, 1, 0, 0, 0xffff, 0xffff);
	cr_expect_eq(fph_vq_dev_return(&vq, false), 1);
	cr_expect_eq(raw_used_id(r, 0), 0);
}

Test(vq_dev, a_head_counts_as_it_was_first_read)
{
	raw_desc(r, 6, 0x1000, 16, RAW_NEXT | RAW_WRITE, 7);
	raw_desc(r, 7, 0x2000, 16, RAW_WRITE, 0);
	raw_push(r, 6);
	raw_publish(r);
	cr_assert_eq(next(), 1);
	r->avail = 0;
	raw_push(r, 0xffff);
	cr_assert_eq(next(), 1);
	fph_vq_dev_return(&vq, false);
	cr_expect_eq(raw_used_id(r, 0), 6);
}

/* ------------------------------------------------------------ the used ring */

Test(vq_dev, used_entries_name_the_head_and_no_bytes) /* V-8 */
{
	memset(ram_at(&ram, r->place.device + 4, 8 * N), 0xee, 8 * N);
	offer(5, 0x1000, 16, RAW_WRITE);
	offer(2, 0x1000, 16, RAW_WRITE);
	cr_assert_eq(next(), 1);
	cr_assert_eq(next(), 1);
	cr_expect_eq(raw_used_idx(r), 0, "nothing is returned before it is asked for");
	cr_expect_eq(fph_vq_dev_return(&vq, false), 1);
	cr_expect_eq(raw_used_idx(r), 2);
	cr_expect(raw_used_id(r, 0) == 5 && raw_used_len(r, 0) == 0);
	cr_expect(raw_used_id(r, 1) == 2 && raw_used_len(r, 1) == 0);
	cr_expect_eq(raw_used_id(r, 2), 0xeeeeeeee, "and no entry more was written");
}

Test(vq_dev, a_batch_is_returned_in_part)
{
	for (uint16_t i = 0; i < 4; i++) {
		offer(i, 0x1000, 16, RAW_WRITE);
		cr_assert_eq(next(), 1);
	}
	cr_expect_eq(fph_vq_dev_return(&vq, true), 1);
	cr_expect_eq(raw_used_idx(r), 3);
	cr_expect_eq(fph_vq_dev_return(&vq, true), -EAGAIN);
	cr_expect_eq(fph_vq_dev_return(&vq, false), 1);
	cr_expect_eq(raw_used_idx(r), 4);
}

Test(vq_dev, a_chain_in_hand_is_not_done)
{
	raw_desc(r, 0, 0x1000, 16, RAW_NEXT, 1);
	raw_desc(r, 1, 0x2000, 16, 0, 0);
	raw_push(r, 0);
	raw_publish(r);
	cr_assert_eq(next(), 1);
	cr_expect_eq(vq.next, 1);
	cr_expect_eq(vq.done, 0);
	cr_expect_eq(fph_vq_dev_return(&vq, false), -EAGAIN);
	cr_assert_eq(next(), 1);
	cr_expect_eq(vq.done, 1);
}

/* row 23: the driver's own writes to the used ring do not count */
Test(vq_dev, what_the_driver_writes_to_the_used_ring_is_overwritten)
{
	offer(1, 0x1000, 16, RAW_WRITE);
	ram_st16(&ram, r->place.device + 2, 0x7777);
	cr_assert_eq(next(), 1);
	ram_st16(&ram, r->place.device + 2, 0x8888);
	cr_expect_eq(fph_vq_dev_return(&vq, false), 1);
	cr_expect_eq(raw_used_idx(r), 1);
	offer(2, 0x1000, 16, RAW_WRITE);
	cr_expect_eq(next(), 1);
}

/* rows 19, 22: each is a chain of its own */
Test(vq_dev, a_head_made_available_twice_is_served_twice)
{
	offer(4, 0x1000, 16, RAW_WRITE);
	raw_push(r, 4);
	raw_publish(r);
	cr_assert_eq(next(), 1);
	cr_assert_eq(next(), 1);
	cr_expect_eq(next(), 0);
	fph_vq_dev_return(&vq, false);
	cr_expect_eq(raw_used_idx(r), 2);
	cr_expect(raw_used_id(r, 0) == 4 && raw_used_id(r, 1) == 4);
}

Test(vq_dev, counters_wrap_at_65536)
{
	enable_at(65534);
	for (uint16_t i = 0; i < 5; i++) {
		offer((uint16_t)(i % N), 0x1000u * i, 16, RAW_WRITE);
		cr_assert_eq(next(), 1);
		cr_expect_eq(buf.gpa, 0x1000u * i);
	}
	cr_expect_eq(fph_vq_dev_return(&vq, false), 1);
	cr_expect_eq(raw_used_idx(r), 3);
	for (uint16_t i = 0; i < 5; i++)
		cr_expect_eq(raw_used_id(r, (uint16_t)(65534 + i)), i);
}

Test(vq_dev, goes_round_the_indices_more_than_once)
{
	for (uint32_t i = 0; i < 140000; i++) {
		offer((uint16_t)(i % N), i, 16, RAW_WRITE);
		cr_assert_eq(next(), 1);
		cr_assert_eq(buf.gpa, i);
		cr_assert_eq(next(), 0);
		cr_assert_eq(fph_vq_dev_return(&vq, false), 1);
		cr_assert_eq(raw_used_idx(r), (uint16_t)(i + 1));
		cr_assert_eq(raw_used_id(r, (uint16_t)i), i % N);
	}
}

Test(vq_dev, resumes_at_the_index_it_is_given)
{
	enable_at(1000);
	offer(3, 0x4000, 16, RAW_WRITE);
	cr_expect_eq(next(), 1);
	fph_vq_dev_return(&vq, false);
	cr_expect_eq(raw_used_idx(r), 1001);
	cr_expect_eq(raw_used_id(r, 1000), 3);
}

/* ------------------------------------------------------------ who wants to hear */

Test(vq_dev, interrupts_are_the_drivers_wish) /* V-15 */
{
	static const struct {
		uint16_t flags;
		int rc;
	} wish[] = { { 0, 1 }, { 1, 0 }, { 2, 1 }, { 3, 0 }, { 0xfffe, 1 }, { 0xffff, 0 } };

	for (uint16_t i = 0; i < COUNT_OF(wish); i++) {
		offer(i, 0x1000, 16, RAW_WRITE);
		cr_assert_eq(next(), 1);
		raw_avail_flags(r, wish[i].flags);
		/* used_event is nobody's business: it was not negotiated */
		ram_st16(&ram, r->place.driver + 4 + 2 * N, (uint16_t)(i ^ 0x5555));
		cr_expect_eq(fph_vq_dev_return(&vq, false), wish[i].rc, "%#x", wish[i].flags);
	}
}

Test(vq_dev, doorbells_are_switched_by_used_flags) /* V-17 */
{
	fph_vq_dev_doorbell(&vq, false);
	cr_expect_eq(raw_used_flags(r), 1);
	fph_vq_dev_doorbell(&vq, true);
	cr_expect_eq(raw_used_flags(r), 0);
	/* No second store for what stands there already. */
	ram_st16(&ram, r->place.device, 0x4444);
	fph_vq_dev_doorbell(&vq, true);
	cr_expect_eq(raw_used_flags(r), 0x4444);
	fph_vq_dev_doorbell(&vq, false);
	cr_expect_eq(raw_used_flags(r), 1);
}

/* ------------------------------------------------------------ memory that moves; row 15 */

Test(vq_dev, moves_with_its_memory)
{
	static struct ram other;
	uint64_t used = r->place.device;

	offer(1, 0x1000, 16, RAW_WRITE);
	cr_assert_eq(next(), 1);
	ram_init(&other);
	memcpy(ram_at(&other, RAM_LOW, RAM_LOW_LEN), ram_at(&ram, RAM_LOW, RAM_LOW_LEN),
	       RAM_LOW_LEN);
	cr_expect_eq(fph_vq_dev_move(&vq, &other.mem), FPH_RULE_NONE);
	cr_expect_eq(fph_vq_dev_return(&vq, false), 1);
	cr_expect_eq(ram_ld16(&other, used + 2), 1);
	cr_expect_eq(ram_ld16(&ram, used + 2), 0, "the old place is left alone");
}

Test(vq_dev, does_not_move_to_where_it_may_not_stand)
{
	struct fph_region less[RAM_REGIONS];
	struct fph_mem mem = { less, RAM_REGIONS };
	struct fph_vq_dev was = vq;

	memcpy(less, ram.regions, sizeof(less));
	less[LOW].flags = FPH_REGION_READONLY;
	cr_expect_eq(fph_vq_dev_move(&vq, &mem), FPH_RULE_RING_GONE);
	less[LOW].flags = 0;
	less[LOW].hva = NULL;
	cr_expect_eq(fph_vq_dev_move(&vq, &mem), FPH_RULE_RING_GONE);
	mem.regions = less + 1;
	mem.count = RAM_REGIONS - 1;
	cr_expect_eq(fph_vq_dev_move(&vq, &mem), FPH_RULE_RING_GONE);
	cr_expect_arr_eq(&vq, &was, sizeof(vq), "unchanged");
}

/* S3: what stands before the fence is not taken in bulk, where nobody asks for its age. */
Test(vq_dev, nothing_stale_is_taken_in_bulk)
{
	const struct fph_vq_window all = { 0, UINT64_MAX, 0xfff };
	struct fph_range out[2];
	bool stale;

	offer(0, RAM_FAR, 0x1000, RAW_WRITE);
	cr_assert_eq(fph_vq_dev_fence(&vq, &fault), 0);
	offer(1, RAM_FAR + 0x1000, 0x1000, RAW_WRITE);
	cr_expect_eq(fph_vq_dev_take(&vq, &all, out, 2), 0);
	cr_assert_eq(next(), 1);
	stale = buf.stale;
	cr_expect(stale);
	cr_expect_eq(fph_vq_dev_take(&vq, &all, out, 2), 1);
	cr_expect_eq(out[0].gpa, RAM_FAR + 0x1000);
}
