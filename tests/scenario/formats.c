/* SPDX-License-Identifier: MIT */
#include "pair.h"
#include "reference.h"

#include <criterion/criterion.h>
#include <string.h>

/*
 * The same random life over the plain split ring and over every other format, in step:
 * each call must answer the same, hand out the same ranges, leave the same pages held.
 * Neither role may tell which ring it rides.  And what is handed out is what a simple
 * reading of the plain ring says (reference.c).
 */
#define OPS 600u

static uint32_t seed;

static uint32_t dice(uint32_t sides)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % sides;
}

static void roll(struct pair_op *op)
{
	/* Rare ones once in a while, the others often. */
	static const enum pair_call often[] = {
		PAIR_START, PAIR_STOP, PAIR_POLL, PAIR_POLL, PAIR_POLL,	 PAIR_POLL,  PAIR_ACK,
		PAIR_STEP,  PAIR_STEP, PAIR_STEP, PAIR_HINT, PAIR_HINT,	 PAIR_HINT,  PAIR_HINT,
		PAIR_FLUSH, PAIR_FLUSH, PAIR_END, PAIR_RECLAIM, PAIR_RECLAIM,
	};
	static const enum pair_call rare[] = { PAIR_DONE, PAIR_RESET, PAIR_MAP };

	op->what = dice(40) ? often[dice(sizeof(often) / sizeof(often[0]))] : rare[dice(3)];
	op->n = 1 + dice(PAIR_MOST);
	for (unsigned i = 0; i < op->n; i++) {
		uint32_t first = dice(PAIR_PAGES), len = 1 + dice(dice(4) ? 1 : 4);

		/* Some reach past the end of memory, or over the seam of two regions. */
		op->ranges[i] = (struct fph_range){ PAIR_GPA + first * PAIR_PAGE,
						    len * PAIR_PAGE };
	}
}

/* ------------------------------------------------------------ in step */

static struct pair plain, other;
static uint64_t hints, chains;

static void compare_lives(uint64_t offer, uint16_t batch, uint32_t with)
{
	struct fph_device_stats a = FPH_DEVICE_STATS_INIT, b = FPH_DEVICE_STATS_INIT;
	struct reference reference = { 0 };

	seed = with;
	cr_assert_eq(pair_set_up(&plain, 0, batch), 0);
	cr_assert_eq(pair_set_up(&other, offer, batch), 0);
	cr_assert_eq(fph_device_features(&other.dev) & offer, offer);
	for (unsigned i = 0; i < OPS; i++) {
		struct pair_op op;
		struct pair_answer x, y;
		const char *wrong;

		roll(&op);
		reference_before(&reference, &plain, &op);
		x = pair_carry_out(&plain, &op);
		y = pair_carry_out(&other, &op);
		cr_assert_eq(memcmp(&x, &y, sizeof(x)), 0,
			     "features %#llx, batch %u, seed %u: op %u (%u): %d (held %llu) and "
			     "%d (held %llu)",
			     (unsigned long long)offer, batch, with, i, op.what, x.rc,
			     (unsigned long long)x.held, y.rc, (unsigned long long)y.held);
		wrong = reference_after(&reference, &op, &x);
		cr_assert_null(wrong, "batch %u, seed %u: op %u (%u): %s", batch, with, i, op.what,
			       wrong);
	}
	cr_assert_eq(fph_device_total_stats(&plain.dev, &a), 0);
	cr_assert_eq(fph_device_total_stats(&other.dev, &b), 0);
	cr_expect_eq(a.hints, b.hints);
	cr_expect_eq(a.chains, b.chains);
	cr_expect_eq(a.stale, b.stale);
	cr_expect_eq(a.bytes, b.bytes);
	hints += a.hints;
	chains += a.chains;
}

static const uint64_t bits[] = { FPH_F_INDIRECT_DESC, FPH_F_EVENT_IDX, FPH_F_RING_PACKED,
				 FPH_F_IN_ORDER };

Test(formats, every_combination_tells_the_same_story)
{
	static const uint16_t batches[] = { 1, 3, 8, 16 };

	for (unsigned f = 1; f < 16; f++) {
		uint64_t offer = 0;

		for (unsigned b = 0; b < 4; b++)
			offer |= f & 1u << b ? bits[b] : 0;
		for (unsigned b = 0; b < sizeof(batches) / sizeof(batches[0]); b++)
			for (uint32_t s = 1; s <= 12; s++)
				compare_lives(offer, batches[b], s * 7919 + f);
	}
	cr_expect_gt(hints, 10000u, "%llu hints", (unsigned long long)hints);
	cr_expect_gt(chains, 10000u, "%llu chains", (unsigned long long)chains);
}
