/* SPDX-License-Identifier: MIT */
/*
 * The guest's half of the property: strict hold.  A range that was hinted is nobody's
 * until the device returned its buffer, or a reset is complete.  R4, R9, G22
 */
#include "support/rig.h"
#include "vq.h"
#include <criterion/criterion.h>
#include <errno.h>

#define ID 0x80000001u

static struct rig r;
/* R4: nothing is reclaimable before its used entry, whatever the device shows */
Test(hold, r4_no_command_frees_a_range_that_the_device_has)
{
	static const uint32_t commands[] = { FPH_COMMAND_STOP, FPH_COMMAND_DONE, ID + 1,
					     FPH_COMMAND_DONE, FPH_COMMAND_STOP };
	struct fph_range back[8];

	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, ID), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 5), 5);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	for (unsigned i = 0; i < 5; i++) {
		cr_expect_geq(rig_guest_show(&r, commands[i]), 0);
		cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 8), 0, "after %#x", commands[i]);
		cr_expect_eq(fph_guest_held(&r.l.guest), 0x5000);
	}
	cr_expect_eq(rig_guest_use(&r, 3), 3); /* START and two hints */
	cr_expect_geq(loop_step(&r.l), 0);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 8), 2);
	cr_expect_eq(fph_guest_held(&r.l.guest), 0x3000);
}

/* G22: "reset asked for" is not "reset over" */
Test(hold, r9_only_a_complete_reset_frees_all)
{
	struct fph_range back[16];
	bool seen[5] = { false };

	rig_guest_up(&r);
	cr_assert_eq(rig_guest_show(&r, ID), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 4), 4);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	cr_assert_eq(rig_guest_hint(&r, 4, 1), 1);
	/* START, and three hints in an order of the device's own */
	for (uint16_t i = 4; i > 0; i--)
		raw_use(&r.dev, RIG_HINT_QUEUE, i % 4u, 0);
	raw_show_used(&r.dev, RIG_HINT_QUEUE);
	cr_expect_eq(loop_step(&r.l) & FPH_GUEST_RECLAIM, FPH_GUEST_RECLAIM);
	raw_use(&r.dev, RIG_HINT_QUEUE, 4, 0);
	raw_show_used(&r.dev, RIG_HINT_QUEUE);
	r.dev.ignore_reset = true;
	/* An entry behind the ring's end is nobody's, whatever it holds. */
	r.l.slots[16].state = FPH_SLOT_HINT | FPH_SLOT_SHOWN;
	/* Returned and collected, returned and not, used and not seen, queued. */
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 1), 1);
	cr_expect_eq(fph_guest_reset(&r.l.guest), -EAGAIN);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back + 1, 0), 0);
	cr_expect_eq(fph_guest_held(&r.l.guest), 0x4000);
	r.dev.ignore_reset = false;
	r.dev.status = 0;
	cr_expect_eq(fph_guest_reset(&r.l.guest), 0);
	cr_assert_eq(fph_guest_reclaim(&r.l.guest, back + 1, 15), 4);
	for (unsigned i = 0; i < 5; i++)
		for (unsigned k = 0; k < 5; k++)
			if (back[i].gpa == ram_page(k).gpa) {
				cr_expect_not(seen[k], "page %u came back twice", k);
				seen[k] = true;
			}
	for (unsigned k = 0; k < 5; k++)
		cr_expect(seen[k], "page %u is lost", k);
	cr_expect_eq(fph_guest_held(&r.l.guest), 0);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 16), 0);
}

/* Whatever the order of what came back and what did not, each comes back once. */
Test(hold, r9_ranges_returned_and_not_collected_come_back_once_at_reset)
{
	for (uint16_t first = 1; first <= 4; first++) {
		struct fph_range back[16];
		unsigned seen = 0;

		rig_guest_up(&r);
		cr_assert_eq(rig_guest_show(&r, ID), FPH_GUEST_FEED);
		cr_assert_eq(rig_guest_hint(&r, 0, 4), 4);
		cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
		raw_use(&r.dev, RIG_HINT_QUEUE, first, 0);
		raw_show_used(&r.dev, RIG_HINT_QUEUE);
		cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED | FPH_GUEST_RECLAIM);
		cr_expect_eq(fph_guest_reset(&r.l.guest), 0);
		cr_assert_eq(fph_guest_reclaim(&r.l.guest, back, 16), 4, "first %u", first);
		for (unsigned i = 0; i < 4; i++)
			seen |= 1u << ((back[i].gpa - RAM_HIGH) >> 12);
		cr_expect_eq(seen, 15, "first %u: %#x", first, seen);
		cr_expect_eq(fph_guest_held(&r.l.guest), 0);
	}
}

/* R4 with this device: what poll() has handed out, the guest cannot have back. */
Test(hold, r4_a_range_in_the_embedders_hands_is_not_the_guests)
{
	struct fph_range out[16], back[16];
	uint64_t seed = 3;

	loop_up(&r.l);
	for (unsigned i = 0; i < 5000; i++) {
		int n;

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		if (i % 50 == 0)
			loop_round(&r.l);
		if (seed >> 40 & 1) {
			struct fph_range page = ram_page((unsigned)(seed >> 33) % 256);

			fph_guest_hint(&r.l.guest, &page, 1);
			fph_guest_flush(&r.l.guest);
		}
		n = fph_device_poll(&r.l.dev, out, 1 + (seed >> 50) % 4);
		cr_assert_geq(n, -EAGAIN);
		loop_step(&r.l);
		if (n > 0) {
			/* Everything reclaimable now, against everything in hand. */
			int m = fph_guest_reclaim(&r.l.guest, back, 16);
			uint64_t held = fph_guest_held(&r.l.guest);

			cr_assert_geq(held, UINT64_C(0x1000) * (unsigned)n);
			cr_assert_geq(m, 0);
		}
		if (seed >> 45 & 1)
			fph_device_ack(&r.l.dev);
	}
	cr_expect_gt(loop_device_stats(&r.l).hints, 500);
}

/* Called off before the flush: never shown, so never the device's. */
Test(hold, withdrawn_hints_come_back_and_are_not_shown)
{
	struct fph_range out[16], back[16];

	loop_up(&r.l);
	loop_round(&r.l);
	loop_hint(&r.l, 0, 2);
	cr_assert_eq(fph_guest_hint(&r.l.guest, (struct fph_range[]){ ram_page(2), ram_page(3) }, 2),
		     2);
	cr_assert_eq(fph_device_stop(&r.l.dev), 0);
	cr_expect_eq(fph_guest_flush(&r.l.guest), -EAGAIN);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 16), 2);
	cr_expect(back[0].gpa == ram_page(2).gpa && back[1].gpa == ram_page(3).gpa);
	cr_expect_eq(fph_guest_held(&r.l.guest), 0x2000);
	cr_expect_eq(loop_poll_all(&r.l, out, 16), 0);
	cr_expect_eq(loop_device_stats(&r.l).chains, 4, "START, two hints, STOP");
	cr_expect_geq(loop_step(&r.l), 0);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 16), 2);
}
