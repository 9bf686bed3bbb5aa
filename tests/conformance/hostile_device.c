/* SPDX-License-Identifier: MIT */
/*
 * A device that means harm, or is broken, against the guest role: rows 48 to 58 of the
 * list of hostile inputs, and 33 to 45 of its longer version ("study").
 */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define ID	    0x80000001u

static struct rig r;

/* A round with n hints shown, after START: descriptors 0 to n. */
static void feeding(unsigned n)
{
	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, ID), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, n), (int)n);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
}

/* Broken, sticky, nothing given back; and well again after a reset. */
static void expect_broken(enum fph_rule rule, unsigned held)
{
	const struct fph_fault *f = fph_guest_fault(&r.l.guest);
	struct fph_range back[64];
	uint16_t avail = raw_read_avail_idx(&r.dev.vq[3]);
	unsigned kicks = r.dev.kicks[3];
	int came = 0, n;

	cr_assert_eq(f->rule, rule, "\"%s\" and not \"%s\"", fph_rule_name(f->rule),
		     fph_rule_name(rule));
	cr_expect_eq(f->queue, 3);
	for (unsigned i = 0; i < 3; i++) {
		cr_expect_eq(loop_step(&r.l), -EPROTO);
		cr_expect_eq(rig_guest_hint(&r, 30, 1), -EPROTO);
		cr_expect_eq(fph_guest_flush(&r.l.guest), -EPROTO);
		cr_expect_eq(fph_guest_end(&r.l.guest), -EPROTO);
	}
	cr_expect_eq(raw_read_avail_idx(&r.dev.vq[3]), avail);
	cr_expect_eq(r.dev.kicks[3], kicks);
	cr_expect_eq(fph_guest_held(&r.l.guest), UINT64_C(0x1000) * held);

	cr_expect_eq(fph_guest_reset(&r.l.guest), 0);
	while ((n = fph_guest_reclaim(&r.l.guest, back, 64)) > 0)
		came += n;
	cr_expect_eq(came, (int)held, "each comes back once");
	cr_expect_eq(fph_guest_held(&r.l.guest), 0);
	memset(r.dev.config, 0, sizeof(r.dev.config));
	r.dev.irq = 0;
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(f->rule, FPH_RULE_NONE);
	cr_expect_eq(rig_guest_show(&r, ID + 7), FPH_GUEST_FEED);
	cr_expect_eq(rig_guest_hint(&r, 0, 2), 2);
	cr_expect_eq(fph_guest_end(&r.l.guest), 0);
	cr_expect_eq(rig_guest_use(&r, 0), 4);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_RECLAIM);
}

/* ------------------------------------------------------------ the used ring */

static const struct {
	const char *row;
	uint32_t id[3], len[3];
	uint16_t n;   /* entries written */
	uint16_t idx; /* what used.idx says */
	enum fph_rule rule;
	unsigned held; /* of the three hints, after the good entries were taken */
} used[] = {
	{ "row 48, study 33", { 16 }, { 0 }, 1, 1, FPH_RULE_USED_ID, 3 },
	{ "row 48, study 33", { 255 }, { 0 }, 1, 1, FPH_RULE_USED_ID, 3 },
	{ "row 48, study 33", { 0x10000 }, { 0 }, 1, 1, FPH_RULE_USED_ID, 3 },
	{ "row 48, study 33", { UINT32_MAX }, { 0 }, 1, 1, FPH_RULE_USED_ID, 3 },
	{ "row 48, study 34", { 4 }, { 0 }, 1, 1, FPH_RULE_USED_ID, 3 },
	{ "row 48, study 34", { 15 }, { 0 }, 1, 1, FPH_RULE_USED_ID, 3 },
	{ "row 48, study 34", { 0, 0 }, { 0 }, 2, 2, FPH_RULE_USED_ID, 3 },
	{ "row 48, study 34", { 1, 1 }, { 0 }, 2, 2, FPH_RULE_USED_ID, 3 },
	{ "row 49, study 36", { 0 }, { 0 }, 1, 5, FPH_RULE_USED_AHEAD, 3 },
	{ "row 49, study 36", { 0 }, { 0 }, 1, 17, FPH_RULE_USED_AHEAD, 3 },
	{ "row 49, study 36", { 0 }, { 0 }, 1, 32768, FPH_RULE_USED_AHEAD, 3 },
	{ "row 49, study 36", { 0 }, { 0 }, 0, 65535, FPH_RULE_USED_AHEAD, 3 },
	{ "row 50, study 35", { 0 }, { 5 }, 1, 1, FPH_RULE_USED_LEN, 3 },
	{ "row 50, study 35", { 1 }, { 0x1001 }, 1, 1, FPH_RULE_USED_LEN, 3 },
	{ "row 50, study 35", { 1 }, { UINT32_MAX }, 1, 1, FPH_RULE_USED_LEN, 3 },
};

Test(hostile_device, rows_48_to_50_used_entries_that_cannot_be)
{
	for (unsigned i = 0; i < COUNT_OF(used); i++) {
		feeding(3);
		for (unsigned k = 0; k < used[i].n; k++)
			raw_use(&r.dev, 3, used[i].id[k], used[i].len[k]);
		raw_store_used_idx(&r.dev, 3, used[i].idx);
		cr_assert_eq(loop_step(&r.l), -EPROTO, "%s case %u", used[i].row, i);
		expect_broken(used[i].rule, 3);
	}
}

/* Found by hint(), end() and flush() as well as by step(). */
Test(hostile_device, a_bad_ring_is_found_by_whoever_looks)
{
	feeding(3);
	raw_use(&r.dev, 3, 99, 0);
	raw_show_used(&r.dev, 3);
	cr_expect_eq(rig_guest_hint(&r, 3, 1), -EPROTO);
	expect_broken(FPH_RULE_USED_ID, 3);

	feeding(3);
	raw_use(&r.dev, 3, 99, 0);
	raw_show_used(&r.dev, 3);
	cr_expect_eq(fph_guest_end(&r.l.guest), -EPROTO);
	expect_broken(FPH_RULE_USED_ID, 3);
}

/* The good entries in front of a bad one came back, and only those. */
Test(hostile_device, what_came_back_before_the_fault_stays_back)
{
	struct fph_range back[4];

	feeding(3);
	raw_use(&r.dev, 3, 2, 0);
	raw_use(&r.dev, 3, 2, 0);
	raw_show_used(&r.dev, 3);
	cr_expect_eq(loop_step(&r.l), -EPROTO);
	cr_expect_eq(fph_guest_fault(&r.l.guest)->rule, FPH_RULE_USED_ID);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 4), 1, "allowed in every state");
	cr_expect_eq(back[0].gpa, ram_page(1).gpa);
	cr_expect_eq(fph_guest_reset(&r.l.guest), 0);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 4), 2, "and not a second time");
}

/* A used entry for a range that the caller has not collected yet. */
Test(hostile_device, row_48_an_entry_that_waits_for_the_caller_is_not_lent)
{
	feeding(3);
	raw_use(&r.dev, 3, 1, 0);
	raw_show_used(&r.dev, 3);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED | FPH_GUEST_RECLAIM);
	raw_use(&r.dev, 3, 1, 0);
	raw_show_used(&r.dev, 3);
	cr_expect_eq(loop_step(&r.l), -EPROTO);
	cr_expect_eq(fph_guest_fault(&r.l.guest)->rule, FPH_RULE_USED_ID);
}

/* study 37: everything that the device can write, written */
Test(hostile_device, study_37_the_guest_believes_nothing_it_wrote_itself)
{
	struct fph_range back[4];
	uint64_t desc;

	feeding(3);
	desc = r.dev.vq[3].place.desc;
	memset(ram_at(&r.l.ram, desc, 16 * 16 + 6 + 32), 0xff, 16 * 16 + 6 + 32);
	for (unsigned i = 0; i < 16; i++) /* and the messages */
		ram_st32(&r.l.ram, r.dev.vq[3].place.device + 6 + 8 * 16 + 4 * i, 0xffffffff);
	for (uint16_t i = 0; i < 4; i++)
		raw_use(&r.dev, 3, i, 0);
	raw_show_used(&r.dev, 3);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED | FPH_GUEST_RECLAIM);
	cr_assert_eq(fph_guest_reclaim(&r.l.guest, back, 4), 3);
	for (unsigned i = 0; i < 3; i++)
		cr_expect(back[i].gpa == ram_page(i).gpa && back[i].len == 0x1000);
}

/* Random used rings: never a range that is not ours, never twice. */
Test(hostile_device, random_used_rings_give_back_only_what_was_hinted_once, .timeout = 30)
{
	uint64_t seed = 11;
	unsigned faults = 0, back_total = 0;

	for (unsigned round = 0; round < 3000; round++) {
		struct fph_range back[32];
		unsigned hinted = 1 + round % 14;
		bool seen[14] = { false };
		int n, m;

		feeding(hinted);
		for (unsigned k = 0; k < 8; k++) {
			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
			raw_use(&r.dev, 3, (uint32_t)(seed >> 40) % (hinted + 2),
				seed >> 60 ? 0 : 0x1001);
		}
		raw_store_used_idx(&r.dev, 3, (uint16_t)(seed >> 33) % 9);
		if (loop_step(&r.l) < 0)
			faults++;
		n = fph_guest_reclaim(&r.l.guest, back, 32);
		cr_assert_geq(n, 0);
		back_total += (unsigned)n;
		cr_assert_eq(fph_guest_reset(&r.l.guest), 0);
		m = fph_guest_reclaim(&r.l.guest, back + n, (size_t)(32 - n));
		cr_assert_eq(n + m, (int)hinted);
		for (int i = 0; i < n + m; i++) {
			uint64_t page = (back[i].gpa - RAM_HIGH) >> 12;

			cr_assert_lt(page, hinted);
			cr_assert_not(seen[page]);
			seen[page] = true;
		}
	}
	cr_expect_gt(faults, 100);
	cr_expect_gt(back_total, 100);
}

/* ------------------------------------------------------------ the command id */

static uint32_t flap;

static int flapping(struct raw_device *d, const char *verb)
{
	if (strcmp(verb, "config") == 0) {
		flap++;
		for (unsigned i = 0; i < 4; i++)
			d->config[8 + i] = (unsigned char)((flap * 2654435761u) >> (8 * i));
	}
	return 0;
}

/* row 51, study 40: another value at each read; work per change is bounded */
Test(hostile_device, row_51_an_id_that_changes_with_every_read)
{
	rig_guest_up(&r);
	r.dev.before = flapping;
	for (unsigned i = 0; i < 5000; i++) {
		unsigned reads = r.dev.config_reads, kicks = r.dev.kicks[3];

		r.dev.irq = FPH_IRQ_CONFIG;
		cr_assert_geq(loop_step(&r.l), 0);
		cr_assert_leq(r.dev.config_reads - reads, 1);
		cr_assert_leq(r.dev.kicks[3] - kicks, 1);
		if (i % 3 == 0) {
			cr_assert_geq(rig_guest_hint(&r, 0, 2), -EAGAIN);
			r.dev.irq = FPH_IRQ_CONFIG;
			cr_assert_geq(fph_guest_flush(&r.l.guest), -EAGAIN);
		}
		if (i % 5 == 0)
			cr_assert_geq(fph_guest_end(&r.l.guest), -EAGAIN);
		rig_guest_use(&r, 0);
		fph_guest_reclaim(&r.l.guest, rig_out, 16);
	}
	cr_expect_eq(fph_guest_fault(&r.l.guest)->rule, FPH_RULE_NONE);
}

/* row 51: in any order, with nothing in between, and 2 and 0xffffffff */
Test(hostile_device, row_51_commands_in_every_order)
{
	static const uint32_t ids[] = { 0, 1, 2, 0xffffffff, 0x80000001 };

	for (unsigned n = 0; n < 5 * 5 * 5 * 5 * 5; n++) {
		unsigned x = n;

		if (n % 125 == 0)
			rig_guest_up(&r);
		for (unsigned k = 0; k < 5; k++, x /= 5) {
			uint32_t id = ids[x % 5];
			int want = rig_guest_show(&r, id);

			cr_assert_geq(want, 0);
			if (want & FPH_GUEST_FEED)
				cr_assert_gt(id, 1, "fed while %#x is shown", id);
			if (want & FPH_GUEST_RELEASE)
				cr_assert_neq(fph_guest_state_name(&r.l.guest)[0], 'H');
			if (k % 2 && (want & FPH_GUEST_FEED)) {
				rig_guest_hint(&r, k, 1);
				fph_guest_flush(&r.l.guest);
			}
		}
		rig_guest_use(&r, 0);
		loop_step(&r.l);
		fph_guest_reclaim(&r.l.guest, rig_out, 16);
	}
}

/* row 51: an id at either end of what an id can be */
Test(hostile_device, row_51_ids_2_and_all_ones_are_ids_like_any)
{
	static const uint32_t ids[] = { 2, 0xffffffff };

	for (unsigned i = 0; i < 2; i++) {
		struct raw_desc d;
		uint16_t head;

		rig_guest_up(&r);
		cr_expect_eq(rig_guest_show(&r, ids[i]), FPH_GUEST_FEED);
		cr_expect_eq(fph_guest_end(&r.l.guest), 0);
		cr_assert(raw_pop(&r.dev, 3, &head, &d));
		cr_expect_eq(ram_ld32(&r.l.ram, d.gpa), ids[i]);
	}
}

/* ------------------------------------------------------------ features, status, interrupts */

/* rows 52, 53, 55 are in features.c, layout.c, status_guest.c */
Test(hostile_device, row_52_features_that_contradict_each_other)
{
	rig_guest_options(&r);
	/* REPORTING without POISON, hinting, and every transport's bit at once */
	r.dev.offered = ~UINT64_C(0) & ~FPH_F_PAGE_POISON;
	rig_guest(&r);
	cr_expect_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(r.dev.accepted, RAW_FEATURES | FPH_F_MUST_TELL_HOST | FPH_F_INDIRECT_DESC |
					     FPH_F_EVENT_IDX | FPH_F_RING_PACKED |
					     FPH_F_IN_ORDER | FPH_F_ORDER_PLATFORM |
					     FPH_F_NOTIFICATION_DATA | FPH_F_SUSPEND);
}

static int features_change(struct raw_device *d, const char *verb)
{
	if (strcmp(verb, "accept") == 0)
		d->offered = 0;
	return 0;
}

/* study 43: what is offered is asked for once */
Test(hostile_device, study_43_an_offer_that_changes_is_not_looked_at_again)
{
	rig_guest_options(&r);
	r.dev.before = features_change;
	rig_guest(&r);
	cr_expect_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(r.dev.accepted, RAW_FEATURES);
	cr_expect_eq(r.dev.vq[3].place.size, 16);
}

/* row 55, study 44: at any time; every state, and with hints out */
Test(hostile_device, row_55_needs_reset_in_every_state)
{
	static const unsigned depths = 5;

	for (unsigned depth = 0; depth < depths; depth++) {
		rig_guest_up(&r);
		if (depth >= 1)
			rig_guest_show(&r, ID);
		if (depth >= 2)
			rig_guest_hint(&r, 0, 3);
		if (depth >= 3)
			fph_guest_flush(&r.l.guest);
		if (depth >= 4)
			fph_guest_end(&r.l.guest);
		r.dev.status |= FPH_STATUS_NEEDS_RESET;
		r.dev.irq = FPH_IRQ_CONFIG;
		cr_expect_eq(depth % 2 ? loop_step(&r.l) : fph_guest_flush(&r.l.guest), -EPROTO);
		expect_broken(FPH_RULE_NEEDS_RESET, depth >= 2 ? 3 : 0);
	}
}

/* row 55, study 45: a reset that is never over */
Test(hostile_device, row_55_a_reset_that_never_ends_gives_nothing_back)
{
	struct fph_range back[4];

	feeding(3);
	r.dev.ignore_reset = true;
	for (unsigned i = 0; i < 1000; i++) {
		unsigned reads = r.dev.status_reads;

		cr_assert_eq(fph_guest_reset(&r.l.guest), -EAGAIN);
		cr_assert_eq(r.dev.status_reads, reads + 1, "no spinning");
		cr_assert_eq(fph_guest_reclaim(&r.l.guest, back, 4), 0);
		cr_assert_eq(fph_guest_attach(&r.l.guest), -EAGAIN);
	}
	cr_expect_eq(fph_guest_held(&r.l.guest), 0x3000);
}

/* row 56: a storm, and none at all */
Test(hostile_device, row_56_storms_cost_one_read_each)
{
	rig_guest_up(&r);
	for (unsigned i = 0; i < 10000; i++) {
		unsigned reads = r.dev.config_reads;

		r.dev.irq = 0xffffffff;
		cr_assert_eq(loop_step(&r.l), FPH_GUEST_RELEASE);
		cr_assert_eq(r.dev.config_reads, reads + 1);
	}
	cr_expect_eq(r.dev.kicks[3], 0);
	cr_expect_eq(raw_read_avail_idx(&r.dev.vq[3]), 0);
}

Test(hostile_device, row_56_returned_buffers_are_found_without_an_interrupt)
{
	feeding(3);
	rig_guest_use(&r, 0);
	r.dev.irq = 0;
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED | FPH_GUEST_RECLAIM);
}
