/* SPDX-License-Identifier: MIT */
/* Free page hinting, 5.5.6.5, the driver: clauses BH-1 to BH-10, BH-18. */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ID 0x80000001u

static struct rig r;

static void prepare(void)
{
	rig_guest_up(&r);
}

TestSuite(bh_guest, .init = prepare);

/* What the device was sent since the last look; buffers are not returned. */
static struct raw_desc sent[64];
static uint16_t heads[64];

static unsigned look(void)
{
	unsigned n = 0;

	while (n < 64 && raw_pop(&r.dev, RIG_HINT_QUEUE, &heads[n], &sent[n]))
		n++;
	return n;
}

static void give_back(unsigned first, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		raw_use(&r.dev, RIG_HINT_QUEUE, heads[first + i], 0);
	raw_show_used(&r.dev, RIG_HINT_QUEUE);
}

static bool is_command(unsigned i, uint32_t id)
{
	return sent[i].flags == 0 && sent[i].len == 4 && ram_ld32(&r.l.ram, sent[i].gpa) == id;
}

static bool is_hint(unsigned i, struct fph_range range)
{
	return sent[i].flags == RAW_WRITE && sent[i].gpa == range.gpa && sent[i].len == range.len;
}

static void open_round(uint32_t id)
{
	cr_assert_eq(rig_guest_show(&r, id) & FPH_GUEST_FEED, FPH_GUEST_FEED);
}

Test(bh_guest, bh1_bh2_a_round_begins_with_the_id_in_4_bytes)
{
	open_round(ID);
	cr_expect_eq(look(), 0, "nothing before there is something to hint");
	cr_assert_eq(rig_guest_hint(&r, 0, 2), 2);
	cr_expect_eq(look(), 0, "and nothing before the flush");
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	cr_assert_eq(look(), 3);
	cr_expect(is_command(0, ID));
	cr_expect(is_hint(1, ram_page(0)) && is_hint(2, ram_page(1)));
}

Test(bh_guest, bh2_every_round_begins_with_its_own_id)
{
	for (uint32_t id = ID; id < ID + 50; id++) {
		unsigned n;

		open_round(id);
		cr_assert_eq(rig_guest_hint(&r, 0, 1), 1);
		cr_assert_eq(fph_guest_end(&r.l.guest), 0);
		n = look();
		cr_assert_eq(n, 3);
		cr_expect(is_command(0, id) && is_hint(1, ram_page(0)) && is_command(2, 0));
		give_back(0, n);
		loop_step(&r.l);
		fph_guest_reclaim(&r.l.guest, (struct fph_range[4]){ { 0, 0 } }, 4);
	}
}

/* row 51: the same id at every interrupt */
Test(bh_guest, bh3_an_id_is_answered_once)
{
	struct fph_range out[4];

	open_round(ID);
	cr_assert_eq(rig_guest_hint(&r, 0, 1), 1);
	for (unsigned i = 0; i < 5; i++) {
		cr_expect_eq(rig_guest_show(&r, ID), FPH_GUEST_FEED);
		cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	}
	cr_assert_eq(look(), 2);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(look(), 1);
	for (unsigned i = 0; i < 5; i++)
		cr_expect_eq(rig_guest_show(&r, ID), 0, "the round is closed");
	cr_expect_eq(rig_guest_hint(&r, 1, 1), -EAGAIN);
	cr_assert_eq(look(), 0);
	/* Q1: a device that shows STOP in mid-round and the id again */
	cr_expect_eq(rig_guest_show(&r, FPH_COMMAND_STOP), 0);
	cr_expect_eq(rig_guest_show(&r, ID), 0);
	cr_expect_eq(rig_guest_show(&r, FPH_COMMAND_DONE), FPH_GUEST_RELEASE);
	cr_expect_eq(rig_guest_show(&r, ID), FPH_GUEST_RELEASE);
	cr_expect_eq(look(), 0);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, out, 4), 0);
}

/* An interrupt that brings no news keeps no hint back. */
Test(bh_guest, bh3_hints_are_shown_when_the_same_id_is_seen_again)
{
	open_round(ID);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(rig_guest_hint(&r, i, 1), 1);
		raw_show(&r.dev, FPH_CONFIG_COMMAND_ID, ID);
		cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
		cr_expect_eq(look(), i ? 1 : 2);
	}
	raw_show(&r.dev, FPH_CONFIG_COMMAND_ID, ID);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_expect_eq(look(), 1);
	cr_expect_eq(loop_guest_stats(&r.l).hints, 4);
	cr_expect_eq(loop_guest_stats(&r.l).bytes, 0x4000);
	cr_expect_eq(loop_guest_stats(&r.l).rounds, 1);
}

Test(bh_guest, bh4_bh18_each_range_is_a_writable_buffer_of_its_own)
{
	const struct fph_range ranges[] = {
		{ RAM_HIGH, 0x1000 },	{ RAM_FAR, FPH_HINT_MAX }, { RAM_HIGH + 0x5000, 0x3000 },
		{ 0, 0x1000 },		{ 0 - UINT64_C(0x1000), 0x1000 },
		{ RAM_HIGH, 0x1000 }, /* twice, if the caller likes */
	};

	open_round(ID);
	cr_assert_eq(fph_guest_hint(&r.l.guest, ranges, 6), 6);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	cr_assert_eq(look(), 7);
	for (unsigned i = 0; i < 6; i++)
		cr_expect(is_hint(i + 1, ranges[i]), "range %u", i);
	cr_expect_eq(fph_guest_held(&r.l.guest), 0x1000 + FPH_HINT_MAX + 0x3000 + 3 * 0x1000);
}

static const struct fph_range bad[] = {
	{ RAM_HIGH, 0 },
	{ 0, 0 },
	{ RAM_HIGH, 0xfff },
	{ RAM_HIGH, 0x1001 },
	{ RAM_HIGH + 1, 0x1000 },
	{ RAM_HIGH + 0x800, 0x1000 },
	{ RAM_HIGH, (uint64_t)FPH_HINT_MAX + 0x1000 },
	{ RAM_HIGH, UINT64_C(1) << 32 },
	{ RAM_HIGH, 0 - UINT64_C(0x1000) },
	{ 0 - UINT64_C(0x1000), 0x2000 },
};

Test(bh_guest, a_range_that_is_no_hint_is_refused_and_none_is_taken)
{
	open_round(ID);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fph_range three[3] = { ram_page(0), ram_page(1), bad[i] };

		cr_expect_eq(fph_guest_hint(&r.l.guest, three, 3), -EINVAL, "bad %u", i);
		cr_expect_eq(fph_guest_held(&r.l.guest), 0, "bad %u", i);
		cr_expect_str_eq(fph_guest_state_name(&r.l.guest), "ASKED");
	}
	cr_expect_eq(fph_guest_flush(&r.l.guest), 0);
	cr_expect_eq(look(), 0);
}

static const uint32_t no_round[] = { FPH_COMMAND_STOP, FPH_COMMAND_DONE };

Test(bh_guest, bh5_no_page_is_supplied_once_stop_or_done_is_shown)
{
	for (unsigned i = 0; i < 2; i++) {
		struct fph_range back[4];
		unsigned n;

		prepare();
		open_round(ID);
		cr_assert_eq(rig_guest_hint(&r, 0, 1), 1);
		cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
		cr_assert_eq(look(), 2);
		/* G11: queued, and called off before the flush */
		cr_assert_eq(rig_guest_hint(&r, 1, 2), 2);
		raw_show(&r.dev, FPH_CONFIG_COMMAND_ID, no_round[i]);
		cr_expect_eq(fph_guest_flush(&r.l.guest), -EAGAIN);
		n = look();
		cr_expect_eq(n, 1);
		cr_expect(is_command(0, FPH_COMMAND_STOP), "A5-4: a started round is closed");
		cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 4), 2, "never shown, so ours");
		cr_expect(back[0].gpa == ram_page(1).gpa && back[1].gpa == ram_page(2).gpa);
		cr_expect_eq(rig_guest_hint(&r, 3, 1), -EAGAIN);
		cr_expect_eq(fph_guest_flush(&r.l.guest), 0);
		cr_expect_eq(look(), 0);
		cr_expect_eq(loop_guest_stats(&r.l).withdrawn, 2);
	}
}

Test(bh_guest, bh6_a_round_ends_with_stop)
{
	open_round(ID);
	cr_assert_eq(rig_guest_hint(&r, 0, 3), 3);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(look(), 5);
	cr_expect(is_command(4, FPH_COMMAND_STOP));
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_expect_eq(look(), 0, "once");
}

Test(bh_guest, bh6_with_nothing_to_give_the_round_is_opened_and_closed)
{
	open_round(ID);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(look(), 2);
	cr_expect(is_command(0, ID) && is_command(1, FPH_COMMAND_STOP));
	cr_expect_eq(loop_guest_stats(&r.l).rounds, 1);
	cr_expect_eq(loop_guest_stats(&r.l).hints, 0);
}

/* The device went on to another round: the end was meant for the old one. */
Test(bh_guest, bh6_an_end_that_meets_a_new_id_ends_the_old_round_only)
{
	open_round(ID);
	cr_assert_eq(rig_guest_hint(&r, 0, 1), 1);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	cr_assert_eq(look(), 2);
	cr_assert_eq(rig_guest_hint(&r, 1, 1), 1);
	raw_show(&r.dev, FPH_CONFIG_COMMAND_ID, ID + 1);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(look(), 1);
	cr_expect(is_command(0, FPH_COMMAND_STOP));
	cr_expect_str_eq(fph_guest_state_name(&r.l.guest), "ASKED");
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED | FPH_GUEST_RECLAIM);
	cr_assert_eq(rig_guest_hint(&r, 2, 1), 1);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(look(), 3);
	cr_expect(is_command(0, ID + 1) && is_hint(1, ram_page(2)) && is_command(2, 0));
}

/* G9: room for STOP is kept, however many hints there are. */
Test(bh_guest, bh6_a_full_ring_has_room_for_stop)
{
	open_round(ID);
	cr_expect_eq(rig_guest_hint(&r, 0, 40), 14, "16 less START and STOP");
	cr_expect_eq(rig_guest_hint(&r, 14, 1), 0);
	cr_expect_eq(loop_guest_stats(&r.l).full, 2);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(look(), 16);
	cr_expect(is_command(15, FPH_COMMAND_STOP));
}

/* A new round needs room for START and STOP both; until then the caller is told to wait. */
Test(bh_guest, bh6_a_new_round_waits_for_room)
{
	struct fph_range back[16];

	open_round(ID);
	cr_assert_eq(rig_guest_hint(&r, 0, 14), 14);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(look(), 16);
	cr_expect_eq(rig_guest_show(&r, ID + 1), FPH_GUEST_FEED);
	cr_expect_eq(rig_guest_hint(&r, 20, 1), 0, "full");
	cr_expect_eq(fph_guest_end(&r.l.guest), -EAGAIN);
	cr_expect_eq(raw_read_avail_flags(&r.dev.vq[3]), 0, "and the interrupt is on");
	give_back(0, 1);
	cr_expect_eq(fph_guest_end(&r.l.guest), -EAGAIN, "one is too few");
	give_back(15, 1);
	cr_expect_eq(rig_guest_hint(&r, 20, 1), 0, "START and STOP, and no hint between");
	cr_expect_str_eq(fph_guest_state_name(&r.l.guest), "ASKED", "no START without a hint");
	cr_expect_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(look(), 2);
	cr_expect(is_command(0, ID + 1) && is_command(1, FPH_COMMAND_STOP));
	give_back(0, 2);
	cr_expect_geq(loop_step(&r.l), 0);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 16), 0, "those were messages");
}

/* ------------------------------------------------------------ BH-7: when pages come back */

Test(bh_guest, bh7_strict_hold_gives_a_range_back_when_its_buffer_returned)
{
	struct fph_range back[8];

	open_round(ID);
	cr_assert_eq(rig_guest_hint(&r, 0, 4), 4);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	cr_assert_eq(look(), 5);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 8), 0);
	give_back(3, 1);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 8), 0, "not before it was taken in");
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED | FPH_GUEST_RECLAIM);
	cr_assert_eq(fph_guest_reclaim(&r.l.guest, back, 8), 1);
	cr_expect(back[0].gpa == ram_page(2).gpa && back[0].len == 0x1000);
	cr_expect_eq(fph_guest_held(&r.l.guest), 0x3000);
	cr_expect_eq(loop_guest_stats(&r.l).returned, 1);
}

Test(bh_guest, bh7_early_reuse_is_linux_way_and_opt_in)
{
	struct fph_range back[8];

	rig_guest_options(&r);
	r.l.guest_opts.flags = FPH_GUEST_EARLY_REUSE;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	open_round(ID);
	cr_assert_eq(rig_guest_hint(&r, 0, 4), 4);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(look(), 6);
	give_back(0, 6);
	cr_expect_eq(loop_step(&r.l), 0, "nothing to reclaim: it was never out of use");
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 8), 0);
	cr_expect_eq(fph_guest_held(&r.l.guest), 0);
	cr_expect_eq(loop_guest_stats(&r.l).returned, 4);
	/* The ring's entries are free again: another full round goes. */
	open_round(ID + 1);
	cr_expect_eq(rig_guest_hint(&r, 0, 14), 14);
	cr_assert_eq(fph_guest_reset(&r.l.guest), 0);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 8), 0);
	cr_expect_eq(fph_guest_held(&r.l.guest), 0);
}

/* BH-8, BH-9: contents are the caller's business; this end does not touch a page. */
Test(bh_guest, bh8_bh9_hinted_pages_are_not_read_or_written)
{
	struct fph_range far[2] = { { RAM_FAR, 0x1000 }, { RAM_HIGH, 0x80000 } };
	struct fph_range back[4];
	unsigned n;

	open_round(ID);
	cr_assert_eq(fph_guest_hint(&r.l.guest, far, 2), 2);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	n = look();
	give_back(0, n);
	cr_expect_eq(rig_guest_show(&r, FPH_COMMAND_DONE), FPH_GUEST_RELEASE | FPH_GUEST_RECLAIM);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 4), 2);
	ram_expect_untouched(&r.l.ram, RAM_HIGH, RAM_HIGH_LEN);
}

Test(bh_guest, bh10_done_releases_what_was_returned_and_the_rest_as_it_returns)
{
	struct fph_range back[8];

	open_round(ID);
	cr_assert_eq(rig_guest_hint(&r, 0, 3), 3);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_assert_eq(look(), 5);
	give_back(0, 2);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_RECLAIM, "no RELEASE before DONE");
	cr_expect_eq(rig_guest_show(&r, FPH_COMMAND_DONE), FPH_GUEST_RELEASE | FPH_GUEST_RECLAIM);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 8), 1);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_RELEASE);
	cr_expect_eq(fph_guest_held(&r.l.guest), 0x2000, "the device still has two");
	give_back(2, 3);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_RELEASE | FPH_GUEST_RECLAIM);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 8), 2);
	cr_expect_eq(fph_guest_held(&r.l.guest), 0);
}

Test(bh_guest, bh10_stop_releases_nothing)
{
	open_round(ID);
	cr_assert_eq(rig_guest_hint(&r, 0, 3), 3);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	cr_expect_eq(rig_guest_show(&r, FPH_COMMAND_STOP) & FPH_GUEST_RELEASE, 0);
	cr_expect_eq(rig_guest_show(&r, ID + 1) & FPH_GUEST_RELEASE, 0, "nor does a new round");
}

Test(bh_guest, the_id_that_is_answered_can_be_asked_for)
{
	cr_expect_eq(fph_guest_command_id(&r.l.guest), 0, "none yet");
	open_round(ID);
	cr_expect_eq(fph_guest_command_id(&r.l.guest), ID);
	cr_assert_eq(rig_guest_hint(&r, 0, 1), 1);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_expect_eq(fph_guest_command_id(&r.l.guest), ID);
	rig_guest_show(&r, FPH_COMMAND_STOP);
	rig_guest_show(&r, FPH_COMMAND_DONE);
	cr_expect_eq(fph_guest_command_id(&r.l.guest), ID, "the last one");
	open_round(ID + 1);
	cr_expect_eq(fph_guest_command_id(&r.l.guest), ID + 1);
	cr_assert_eq(fph_guest_reset(&r.l.guest), 0);
	cr_expect_eq(fph_guest_command_id(&r.l.guest), 0);
}

/* ------------------------------------------------------------ messages; H1, G7, H2, G4 */

Test(bh_guest, g7_every_message_has_memory_of_its_own_until_it_returned)
{
	uint64_t at[16];
	unsigned n = 0, m;

	for (uint32_t id = ID; id < ID + 6; id++) { /* none is ever returned */
		open_round(id);
		cr_assert_eq(fph_guest_end(&r.l.guest), 0);
		m = look();
		cr_assert_eq(m, 2);
		at[n++] = sent[0].gpa;
		at[n++] = sent[1].gpa;
	}
	for (unsigned i = 0; i < n; i++) {
		cr_expect_eq(ram_ld32(&r.l.ram, at[i]), i % 2 ? 0 : ID + i / 2, "message %u", i);
		for (unsigned k = 0; k < i; k++)
			cr_expect_neq(at[i], at[k]);
	}
}

/* H2: between seeing the id and sending START the device calls the round off. */
Test(bh_guest, g4_start_carries_the_value_that_was_judged)
{
	open_round(ID);
	cr_assert_eq(rig_guest_hint(&r, 0, 1), 1);
	memset(r.dev.config + FPH_CONFIG_COMMAND_ID, 0, 4); /* no interrupt yet */
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	cr_assert_eq(look(), 2);
	cr_expect(is_command(0, ID), "never STOP, whatever the field shows meanwhile");
}

/* Whatever comes, commands are 4 bytes, hints writable, START once an id.  BH-1, 3, 5, 6 */
Test(bh_guest, a_long_random_life_breaks_no_clause)
{
	uint32_t id = ID, last_start = 0, command = 0;
	bool open = false;
	uint64_t seed = 5;

	for (unsigned i = 0; i < 20000; i++) {
		struct fph_range back[16];
		unsigned n;

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		switch (seed >> 33 & 7) {
		case 0:
			command = ++id;
			raw_show(&r.dev, FPH_CONFIG_COMMAND_ID, command);
			break;
		case 1:
			command = (uint32_t)(seed >> 40 & 1);
			raw_show(&r.dev, FPH_CONFIG_COMMAND_ID, command);
			break;
		case 2:
			cr_assert_geq(loop_step(&r.l), 0);
			break;
		case 3:
		case 4:
			cr_assert_geq(rig_guest_hint(&r, i % 64, 1 + i % 5), -EAGAIN);
			break;
		case 5:
			cr_assert_geq(fph_guest_flush(&r.l.guest), -EAGAIN);
			break;
		case 6:
			cr_assert_geq(fph_guest_end(&r.l.guest), -EAGAIN);
			break;
		default:
			fph_guest_reclaim(&r.l.guest, back, 16);
		}
		n = look();
		for (unsigned k = 0; k < n; k++) {
			uint32_t word;

			if (sent[k].flags == RAW_WRITE) {
				cr_assert(open, "a hint outside a round");
				continue;
			}
			cr_assert(sent[k].flags == 0 && sent[k].len == 4);
			word = ram_ld32(&r.l.ram, sent[k].gpa);
			cr_assert_neq(word, FPH_COMMAND_DONE);
			cr_assert_eq(open, word == FPH_COMMAND_STOP, "START and STOP alternate");
			open = word != FPH_COMMAND_STOP;
			if (open) {
				cr_assert_gt(word, last_start, "no id is answered twice");
				last_start = word;
			}
		}
		if (n)
			give_back(0, n);
	}
	cr_expect_gt(loop_guest_stats(&r.l).rounds, 500);
}
