/* SPDX-License-Identifier: MIT */
/*
 * What the core does to shared memory, access by access: that nothing is read twice,
 * that only the own parts of a ring are written, and that the four barriers of
 * lib/vq.h stand where they must, which no test on one machine could see otherwise.
 */
#include "hook.h"
#include "support/rig.h"
#include <criterion/criterion.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static struct rig r;

/* ------------------------------------------------------------ the record */

#define AVAIL_IDX(vq)	((vq)->place.driver + 2)
#define AVAIL_FLAGS(vq) ((vq)->place.driver)
#define USED_IDX(vq)	((vq)->place.device + 2)
#define USED_FLAGS(vq)	((vq)->place.device)
#define DESC_LEN(vq)	(UINT64_C(16) * (vq)->place.size)
#define AVAIL_LEN(vq)	(6 + UINT64_C(2) * (vq)->place.size)
#define USED_LEN(vq)	(6 + UINT64_C(8) * (vq)->place.size)

static bool is_index_or_flags(uint64_t gpa)
{
	for (unsigned q = 0; q <= FPH_QUEUE_HINT; q++)
		if (gpa == AVAIL_IDX(&r.d.vq[q]) || gpa == AVAIL_FLAGS(&r.d.vq[q]))
			return true;
	return false;
}

enum kind { LOAD, STORE, FENCE };

static struct access {
	enum kind kind;
	uint64_t gpa; /* in LOW; 0 for a fence */
	unsigned width;
	int order;
} record[65536];
static unsigned records;
static bool recording;

/* The adversary of the second half; off unless prepared. */
static unsigned char honest[RAM_LOW_LEN];
static bool seen[RAM_LOW_LEN];
static bool hostile;

static void note(enum kind kind, uint64_t gpa, unsigned width, int order)
{
	if (!recording)
		return;
	cr_assert_lt(records, COUNT_OF(record));
	record[records++] = (struct access){ kind, gpa, width, order };
}

static uint64_t gpa_of(const volatile void *p)
{
	const volatile unsigned char *low = r.l.ram.regions[LOW].hva, *byte = p;

	cr_assert(byte >= low && byte < low + RAM_LOW_LEN, "an access outside of LOW");
	return RAM_LOW + (uint64_t)(byte - low);
}

void hook_load(const volatile void *p, unsigned width, int order)
{
	uint64_t gpa = gpa_of(p);
	unsigned char *low = r.l.ram.regions[LOW].hva;

	note(LOAD, gpa, width, order);
	if (!hostile)
		return;
	/*
	 * A byte reads true the first time that it is read, and never again.  Indices and
	 * flags are meant to be read anew, and stay.
	 */
	for (uint64_t i = gpa - RAM_LOW; i < gpa - RAM_LOW + width; i++) {
		if (is_index_or_flags(gpa))
			break;
		low[i] = seen[i] ? (unsigned char)~honest[i] : honest[i];
		seen[i] = true;
	}
	for (unsigned k = 1; k < records; k++) {
		const struct access *a = &record[records - 1 - k];

		if (a->kind != LOAD || is_index_or_flags(a->gpa))
			continue;
		for (uint64_t i = a->gpa; i < a->gpa + a->width; i++)
			if (i < gpa || i >= gpa + width)
				low[i - RAM_LOW] = (unsigned char)~honest[i - RAM_LOW];
		break;
	}
}

void hook_store(const volatile void *p, unsigned width, int order)
{
	note(STORE, gpa_of(p), width, order);
}

/* What the other end does at the next full barrier, the window of a lost wake-up. */
static void (*at_fence)(void);

void hook_fence(int order)
{
	void (*run)(void) = at_fence;

	note(FENCE, 0, 0, order);
	at_fence = NULL;
	if (run)
		run();
}

static void start_record(void)
{
	records = 0;
	recording = true;
}

static bool within(const struct access *a, uint64_t gpa, uint64_t len)
{
	return a->gpa >= gpa && a->gpa + a->width <= gpa + len;
}

/* The first access of that kind at gpa, from `from` on; the test stops if there is none. */
static unsigned find(unsigned from, enum kind kind, uint64_t gpa)
{
	for (unsigned i = from; i < records; i++)
		if (record[i].kind == kind && (kind == FENCE || record[i].gpa == gpa))
			return i;
	cr_assert_fail("no such access to %#llx", (unsigned long long)gpa);
	return 0;
}

static bool any(unsigned from, unsigned to, enum kind kind, uint64_t gpa, uint64_t len)
{
	for (unsigned i = from; i < to; i++)
		if (record[i].kind == kind && (kind == FENCE || within(&record[i], gpa, len)))
			return true;
	return false;
}

static bool acquires(const struct access *a)
{
	return a->order == __ATOMIC_ACQUIRE || a->order == __ATOMIC_SEQ_CST;
}

static bool releases(const struct access *a)
{
	return a->order == __ATOMIC_RELEASE || a->order == __ATOMIC_SEQ_CST;
}

static void expect_full_fence(unsigned from, unsigned to, const char *where)
{
	for (unsigned i = from; i < to; i++)
		if (record[i].kind == FENCE && record[i].order == __ATOMIC_SEQ_CST)
			return;
	cr_assert_fail("no full barrier %s", where);
}

/* ------------------------------------------------------------ the device's accesses */

static const unsigned char pfns[] = { 1, 3, 0, 0, 2, 3, 0, 0, 9, 3, 0, 0 };
static const unsigned char stats[] = { 4, 0, 1, 2, 3, 4, 5, 6, 7, 8, 6, 0, 9, 9, 9, 9, 9, 9, 9, 9 };

/* A round with everything in it, in all queues. */
static void offer_all(void)
{
	uint32_t id = rig_start(&r);

	raw_command(&r.d, 0, id);
	raw_hint(&r.d, 1, RAM_HIGH, 0x1000);
	/* A chain of three, and a command cut in two. */
	raw_desc(r.d.hint, 2, RAM_HIGH + 0x1000, 0x1000, RAW_WRITE | RAW_NEXT, 3);
	raw_desc(r.d.hint, 3, RAM_HIGH + 0x3000, 0x1000, RAW_WRITE | RAW_NEXT, 4);
	raw_desc(r.d.hint, 4, RAM_HIGH + 0x5000, 0x1000, RAW_WRITE, 0);
	raw_push(r.d.hint, 2);
	raw_desc(r.d.hint, 5, raw_message(&r.d, FPH_QUEUE_HINT, 5, "\0", 1), 1, RAW_NEXT, 6);
	raw_desc(r.d.hint, 6, raw_message(&r.d, FPH_QUEUE_HINT, 6, "\0\0", 3), 3, 0, 0);
	raw_push(r.d.hint, 5);
	raw_publish(r.d.hint);

	raw_desc(&r.d.vq[FPH_QUEUE_INFLATE], 0,
		 raw_message(&r.d, FPH_QUEUE_INFLATE, 0, pfns, sizeof(pfns)), sizeof(pfns), 0, 0);
	raw_push(&r.d.vq[FPH_QUEUE_INFLATE], 0);
	raw_publish(&r.d.vq[FPH_QUEUE_INFLATE]);
	raw_desc(&r.d.vq[FPH_QUEUE_STATS], 0,
		 raw_message(&r.d, FPH_QUEUE_STATS, 0, stats, sizeof(stats)), sizeof(stats), 0, 0);
	raw_push(&r.d.vq[FPH_QUEUE_STATS], 0);
	raw_publish(&r.d.vq[FPH_QUEUE_STATS]);
}

static void serve_all(void)
{
	cr_expect_eq(raw_kick(&r.d, FPH_QUEUE_INFLATE), 0);
	cr_expect_eq(raw_kick(&r.d, FPH_QUEUE_STATS), 0);
	cr_expect_eq(rig_poll(&r), 4);
}

static void expect_all_served(void)
{
	static const uint64_t at[] = { 0, 0x1000, 0x3000, 0x5000 };

	cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE);
	for (unsigned i = 0; i < COUNT_OF(at); i++)
		cr_expect(rig_out[i].gpa == RAM_HIGH + at[i] && rig_out[i].len == 0x1000, "%u", i);
	cr_expect_str_eq(fph_device_state_name(&r.l.dev), "ENDED");
	cr_assert_eq(r.l.page_calls, 2);
	cr_expect(r.l.pages[0].range.gpa == 0x301000 && r.l.pages[0].range.len == 0x2000);
	cr_expect(r.l.pages[1].range.gpa == 0x309000 && r.l.pages[1].range.len == 0x1000);
	cr_assert_eq(r.l.stat_calls, 2);
	cr_expect(r.l.stats[0].tag == 4 && r.l.stats[0].value == 0x0807060504030201);
	cr_expect(r.l.stats[1].tag == 6 && r.l.stats[1].value == 0x0909090909090909);
}

/* row 20, study 12, 63: TOCTOU, by count.  avail.idx and avail.flags are meant to change. */
Test(access, the_device_loads_each_byte_once)
{
	rig_up(&r, 0);
	offer_all();
	start_record();
	serve_all();
	recording = false;
	expect_all_served();
	for (unsigned i = 0; i < records; i++) {
		if (record[i].kind != LOAD || is_index_or_flags(record[i].gpa))
			continue;
		for (unsigned k = 0; k < i; k++)
			cr_expect(record[k].kind != LOAD ||
					  record[k].gpa + record[k].width <= record[i].gpa ||
					  record[i].gpa + record[i].width <= record[k].gpa,
				  "%#llx was loaded twice", (unsigned long long)record[i].gpa);
	}
}

/* The same by effect: whatever is read again, through any path, reads as its opposite. */
Test(access, memory_that_changes_after_each_load_changes_nothing)
{
	rig_up(&r, 0);
	offer_all();
	start_record();
	memcpy(honest, r.l.ram.regions[LOW].hva, sizeof(honest));
	memset(seen, 0, sizeof(seen));
	hostile = true;
	cr_expect_eq(raw_kick(&r.d, FPH_QUEUE_INFLATE), 0);
	cr_expect_eq(raw_kick(&r.d, FPH_QUEUE_STATS), 0);
	hostile = false;
	cr_assert_eq(r.l.stat_calls, 2);
	cr_expect(r.l.stats[0].tag == 4 && r.l.stats[0].value == 0x0807060504030201);
	cr_expect(r.l.stats[1].tag == 6 && r.l.stats[1].value == 0x0909090909090909);
	cr_expect_eq(r.l.page_calls, 2);
	cr_expect(r.l.pages[0].range.gpa == 0x301000 && r.l.pages[0].range.len == 0x2000);
	cr_expect(r.l.pages[1].range.gpa == 0x309000 && r.l.pages[1].range.len == 0x1000);

	hostile = true;
	cr_expect_eq(fph_device_poll(&r.l.dev, rig_out, 4), 4);
	hostile = false;
	for (unsigned i = 0; i < 4; i++)
		cr_expect(rig_out[i].len == 0x1000 && rig_out[i].gpa >= RAM_HIGH &&
				  rig_out[i].gpa <= RAM_HIGH + 0x5000,
			  "%u: %#llx", i, (unsigned long long)rig_out[i].gpa);
}

/* V-4: no descriptor, no readable buffer is written, no writable buffer read. */
Test(access, the_device_writes_used_rings_and_nothing_else)
{
	rig_up(&r, 0);
	offer_all();
	start_record();
	serve_all();
	cr_expect_eq(fph_device_ask_stats(&r.l.dev), 0);
	cr_expect_eq(fph_device_done(&r.l.dev), 0);
	recording = false;
	for (unsigned i = 0; i < records; i++) {
		bool used = false;

		for (unsigned q = 0; q <= FPH_QUEUE_HINT; q++)
			used |= within(&record[i], r.d.vq[q].place.device, USED_LEN(&r.d.vq[q]));
		if (record[i].kind == STORE)
			cr_expect(used, "a store to %#llx", (unsigned long long)record[i].gpa);
		if (record[i].kind == LOAD)
			cr_expect_not(used, "the used ring was read back");
	}
	ram_expect_untouched(&r.l.ram, RAM_HIGH, RAM_HIGH_LEN);
}

Test(access, barrier_a_device_loads_avail_idx_before_the_ring)
{
	unsigned idx, entry, desc;

	rig_up(&r, 0);
	offer_all();
	start_record();
	cr_assert_eq(rig_poll(&r), 4);
	idx = find(0, LOAD, AVAIL_IDX(r.d.hint));
	entry = find(0, LOAD, r.d.hint->place.driver + 4);
	desc = find(0, LOAD, r.d.hint->place.desc);
	cr_expect(acquires(&record[idx]));
	cr_expect(idx < entry && entry < desc);
}

Test(access, barriers_b_and_d_device_stores_used_idx_between)
{
	struct raw_vq *vq = &r.d.vq[FPH_QUEUE_HINT];
	unsigned idx, flags;

	rig_up(&r, 0);
	offer_all();
	start_record();
	cr_assert_eq(rig_poll(&r), 4);
	cr_assert_eq(fph_device_ack(&r.l.dev), 0);
	idx = find(0, STORE, USED_IDX(vq));
	cr_expect(releases(&record[idx]));
	for (unsigned i = 0; i < 4; i++)
		cr_expect_lt(find(0, STORE, vq->place.device + 4 + 8u * i), idx, "entry %u", i);
	cr_expect_not(any(idx, records, STORE, vq->place.device + 4, 8u * 16), "used, then filled");
	flags = find(idx, LOAD, AVAIL_FLAGS(vq));
	expect_full_fence(idx, flags, "between used.idx and avail.flags");
	cr_expect_not(any(0, idx, LOAD, AVAIL_FLAGS(vq), 2), "avail.flags was read too early");
}

/* The second look is what QEMU forgets (B1). */
Test(access, barrier_c_device_looks_again_after_doorbells_are_on)
{
	struct raw_vq *vq = &r.d.vq[FPH_QUEUE_HINT];
	unsigned off, on, look;

	rig_up(&r, 0);
	start_record();
	cr_assert_eq(rig_poll(&r), 0);
	off = find(0, STORE, USED_FLAGS(vq));
	on = find(off + 1, STORE, USED_FLAGS(vq));
	look = find(on, LOAD, AVAIL_IDX(vq));
	expect_full_fence(on, look, "between used.flags and avail.idx");
	cr_expect_eq(raw_used_flags(vq), 0);
}

/* The cost of a poll that finds nothing does not grow with the ring. */
Test(access, a_poll_that_finds_nothing_looks_twice)
{
	unsigned looks = 0;

	rig_up(&r, 0);
	start_record();
	cr_assert_eq(rig_poll(&r), 0);
	recording = false;
	for (unsigned i = 0; i < records; i++)
		looks += record[i].kind == LOAD && record[i].gpa == AVAIL_IDX(r.d.hint);
	cr_expect_eq(looks, 2);
	cr_expect_lt(records, 8);
}

Test(access, a_queue_that_was_served_is_not_looked_at_by_poll)
{
	rig_up(&r, 0);
	offer_all();
	cr_expect_eq(raw_kick(&r.d, FPH_QUEUE_INFLATE), 0);
	start_record();
	cr_assert_eq(rig_poll(&r), 4);
	recording = false;
	cr_expect_not(any(0, records, LOAD, RAW_RING_AT(FPH_QUEUE_INFLATE), 0x10000));
}

static void hint_late(void)
{
	raw_hint(&r.d, 7, RAM_HIGH + 0x7000, 0x1000);
	cr_expect_eq(raw_used_flags(r.d.hint), 0);
}

/* The driver saw "do not ring" and added a hint all the same. */
Test(access, what_comes_while_doorbells_are_switched_on_is_found)
{
	rig_up(&r, 0);
	rig_hinting(&r);
	at_fence = hint_late;
	cr_expect_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
	cr_expect_eq(rig_out[0].gpa, RAM_HIGH + 0x7000);
	cr_expect_eq(raw_used_flags(r.d.hint), 1, "there may be more, so they are off again");
}

Test(access, barrier_c_device_looks_again_after_an_ack)
{
	struct raw_vq *vq = &r.d.vq[FPH_QUEUE_HINT];
	unsigned on, look;

	rig_up(&r, 0);
	offer_all();
	cr_assert_eq(fph_device_poll(&r.l.dev, rig_out, 1), 1);
	cr_assert_eq(raw_used_flags(vq), 1);
	start_record();
	cr_assert_eq(fph_device_ack(&r.l.dev), 0);
	on = find(0, STORE, USED_FLAGS(vq));
	look = find(on, LOAD, AVAIL_IDX(vq));
	expect_full_fence(on, look, "between used.flags and avail.idx");
}

/* ------------------------------------------------------------ the guest's accesses */

static struct raw_vq *hints(void)
{
	return &r.dev.vq[RIG_HINT_QUEUE];
}

Test(access, the_guest_reads_used_rings_and_nothing_else) /* row 37 */
{
	struct fph_range back[16];

	rig_guest_up(&r);
	start_record();
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 5), 5);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(rig_guest_use(&r, 0), 7);
	raw_use(&r.dev, FPH_QUEUE_STATS, 0, 0);
	raw_show_used(&r.dev, FPH_QUEUE_STATS);
	cr_assert_geq(loop_step(&r.l), 0);
	cr_assert_eq(fph_guest_reclaim(&r.l.guest, back, 16), 5);
	recording = false;
	cr_expect_eq(r.dev.kicks[FPH_QUEUE_STATS], 2);
	for (unsigned i = 0; i < records; i++) {
		bool used = within(&record[i], hints()->place.device, USED_LEN(hints())) ||
			    within(&record[i], r.dev.vq[2].place.device, USED_LEN(&r.dev.vq[2]));

		if (record[i].kind != FENCE)
			cr_expect_neq(used, record[i].kind == STORE, "at %#llx",
				      (unsigned long long)record[i].gpa);
	}
}

Test(access, the_guest_loads_each_used_entry_once)
{
	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 5), 5);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(rig_guest_use(&r, 0), 7);
	start_record();
	cr_assert_geq(loop_step(&r.l), 0);
	recording = false;
	for (unsigned n = 0; n < 14; n++) {
		uint64_t at = hints()->place.device + 4 + 4u * n;

		cr_expect_not(any(find(0, LOAD, at) + 1, records, LOAD, at, 4), "word %u", n);
	}
}

Test(access, v7_barriers_a_and_c_driver_stores_avail_idx_between) /* V-7 */
{
	unsigned idx, flags;

	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	start_record();
	cr_assert_eq(rig_guest_hint(&r, 0, 3), 3);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	idx = find(0, STORE, AVAIL_IDX(hints()));
	cr_expect(releases(&record[idx]));
	for (unsigned i = 0; i < 4; i++) {
		cr_expect_lt(find(0, STORE, hints()->place.driver + 4 + 2u * i), idx, "entry %u", i);
		cr_expect_lt(find(0, STORE, hints()->place.desc + 16u * i), idx, "desc %u", i);
	}
	cr_expect_not(any(idx, records, STORE, hints()->place.desc, DESC_LEN(hints())));
	cr_expect_not(any(idx + 1, records, STORE, hints()->place.driver + 2,
			  AVAIL_LEN(hints()) - 2));
	flags = find(idx, LOAD, USED_FLAGS(hints()));
	expect_full_fence(idx, flags, "between avail.idx and used.flags");
	cr_expect_not(any(0, idx, LOAD, USED_FLAGS(hints()), 2), "used.flags was read too early");
}

Test(access, the_message_is_written_before_it_is_shown)
{
	uint64_t message = 0;
	unsigned idx;

	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	start_record();
	cr_assert_eq(rig_guest_hint(&r, 0, 1), 1);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	message = raw_read_desc(hints(), ram_ld16(&r.l.ram, hints()->place.driver + 4)).gpa;
	idx = find(0, STORE, AVAIL_IDX(hints()));
	cr_expect_lt(find(0, STORE, message), idx);
	cr_expect_not(any(idx, records, STORE, message, 4), "G7: and never again");
}

Test(access, barrier_b_driver_loads_used_idx_before_the_entries)
{
	unsigned idx, entry;

	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 1), 1);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	cr_assert_eq(rig_guest_use(&r, 0), 2);
	start_record();
	cr_assert_geq(loop_step(&r.l), 0);
	idx = find(0, LOAD, USED_IDX(hints()));
	entry = find(0, LOAD, hints()->place.device + 4);
	cr_expect(acquires(&record[idx]));
	cr_expect_lt(idx, entry);
}

Test(access, barrier_d_driver_reaps_again_after_interrupts_are_on)
{
	unsigned on, look;

	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	cr_assert_eq(raw_read_avail_flags(hints()), 1, "none are wanted while feeding");
	cr_assert_eq(rig_guest_hint(&r, 0, 1), 1);
	start_record();
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(raw_read_avail_flags(hints()), 0, "they are, when only buffers are awaited");
	on = find(0, STORE, AVAIL_FLAGS(hints()));
	look = find(on, LOAD, USED_IDX(hints()));
	expect_full_fence(on, look, "between avail.flags and used.idx");
}
