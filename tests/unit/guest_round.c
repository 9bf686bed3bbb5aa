/* SPDX-License-Identifier: MIT */
/*
 * Every state of the guest's round with every event, by what the device gets to
 * see.  The outcomes are written from the clauses; of the guest's own table only the
 * names are used, to see that none is left out.
 */
#include "guest_priv.h"
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#define ID_A 0x80000001u /* the id in force */
#define ID_B 0x80000002u /* the one that SEE_NEW shows */

/* What the device finds in its queue: s START (A), b START (B), 0 STOP, h a hint. */
static const struct {
	const char *state, *event, *next, *sent;
	int rc; /* of the call; a step returns what the state wants */
} cells[] = {
	{ "DOWN", "ATTACHED", "IDLE", "", 0 },
	{ "DOWN", "RESET", "DOWN", "", 0 },
	{ "DOWN", "SEE_STOP", "DOWN", "", -ENOTCONN },
	{ "DOWN", "SEE_DONE", "DOWN", "", -ENOTCONN },
	{ "DOWN", "SEE_NEW", "DOWN", "", -ENOTCONN },
	{ "DOWN", "FED", "DOWN", "", -ENOTCONN },
	{ "DOWN", "END", "DOWN", "", -ENOTCONN },

	{ "IDLE", "ATTACHED", "IDLE", "", 0 },
	{ "IDLE", "RESET", "DOWN", "", 0 },
	{ "IDLE", "SEE_STOP", "IDLE", "", FPH_GUEST_RELEASE },
	{ "IDLE", "SEE_DONE", "IDLE", "", FPH_GUEST_RELEASE },
	{ "IDLE", "SEE_NEW", "ASKED", "", FPH_GUEST_FEED }, /* BH-4 */
	{ "IDLE", "FED", "IDLE", "", -EAGAIN },		    /* BH-5 */
	{ "IDLE", "END", "IDLE", "", 0 },

	{ "ASKED", "ATTACHED", "ASKED", "", 0 },
	{ "ASKED", "RESET", "DOWN", "", 0 },
	{ "ASKED", "SEE_STOP", "HOLDING", "", 0 },
	{ "ASKED", "SEE_DONE", "IDLE", "", FPH_GUEST_RELEASE },
	{ "ASKED", "SEE_NEW", "ASKED", "", FPH_GUEST_FEED },
	{ "ASKED", "FED", "FEEDING", "sh", 1 },	 /* BH-2 */
	{ "ASKED", "END", "HOLDING", "s0", 0 }, /* BH-6: nothing to give at all */

	{ "FEEDING", "ATTACHED", "FEEDING", "", 0 },
	{ "FEEDING", "RESET", "DOWN", "", 0 },
	{ "FEEDING", "SEE_STOP", "HOLDING", "0", 0 }, /* A5-4 */
	{ "FEEDING", "SEE_DONE", "IDLE", "0", FPH_GUEST_RELEASE },
	{ "FEEDING", "SEE_NEW", "ASKED", "0", FPH_GUEST_FEED },
	{ "FEEDING", "FED", "FEEDING", "h", 1 }, /* BH-3: no second START */
	{ "FEEDING", "END", "HOLDING", "0", 0 }, /* BH-6 */

	{ "HOLDING", "ATTACHED", "HOLDING", "", 0 },
	{ "HOLDING", "RESET", "DOWN", "", 0 },
	{ "HOLDING", "SEE_STOP", "HOLDING", "", 0 },
	{ "HOLDING", "SEE_DONE", "IDLE", "", FPH_GUEST_RELEASE }, /* BH-10 */
	{ "HOLDING", "SEE_NEW", "ASKED", "", FPH_GUEST_FEED },
	{ "HOLDING", "FED", "HOLDING", "", -EAGAIN },
	{ "HOLDING", "END", "HOLDING", "", 0 },
};

static struct rig r;

static bool is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* What waits in the queue, as a word; it is taken off and not returned. */
static void taken(char *word)
{
	struct raw_desc d;
	uint16_t head;

	while (r.dev.vq[RIG_HINT_QUEUE].place.size &&
	       raw_pop(&r.dev, RIG_HINT_QUEUE, &head, &d)) {
		uint32_t command = d.flags & RAW_WRITE ? 0 : ram_ld32(&r.l.ram, d.gpa);

		if (d.flags & RAW_WRITE)
			*word++ = 'h';
		else if (d.len != 4)
			*word++ = '!';
		else
			*word++ = command == ID_A ? 's' : command == ID_B ? 'b' : command ? '?' : '0';
	}
	*word = '\0';
}

static void enter(const char *state)
{
	char word[64];

	rig_guest_options(&r);
	rig_guest(&r);
	if (!is(state, "DOWN"))
		cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	if (is(state, "ASKED") || is(state, "FEEDING") || is(state, "HOLDING"))
		cr_assert_eq(rig_guest_show(&r, ID_A), FPH_GUEST_FEED);
	if (is(state, "FEEDING") || is(state, "HOLDING")) {
		cr_assert_eq(rig_guest_hint(&r, 0, 1), 1);
		cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	}
	if (is(state, "HOLDING"))
		cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	taken(word);
	cr_assert_str_eq(fph_guest_state_name(&r.l.guest), state);
}

static int apply(const char *event)
{
	if (is(event, "RESET"))
		return fph_guest_reset(&r.l.guest);
	if (is(event, "SEE_STOP"))
		return rig_guest_show(&r, FPH_COMMAND_STOP);
	if (is(event, "SEE_DONE"))
		return rig_guest_show(&r, FPH_COMMAND_DONE);
	if (is(event, "SEE_NEW"))
		return rig_guest_show(&r, ID_B);
	if (is(event, "FED")) {
		int rc = rig_guest_hint(&r, 5, 1);

		cr_assert_eq(fph_guest_flush(&r.l.guest),
			     r.dev.vq[RIG_HINT_QUEUE].place.size ? 0 : -ENOTCONN);
		return rc;
	}
	if (is(event, "END"))
		return fph_guest_end(&r.l.guest);
	cr_assert_str_eq(event, "ATTACHED");
	if (is(fph_guest_state_name(&r.l.guest), "DOWN"))
		return fph_guest_attach(&r.l.guest);
	/* Attaching resets first, so elsewhere the event can be made only by hand. */
	cr_assert_eq(fph_guest_move(guest_of(&r.l.guest), FPH_GUEST_EV_ATTACHED), FPH_GUEST_keep);
	return 0;
}

static void walk(unsigned i)
{
	unsigned reads;
	char what[64], word[64];
	int rc;

	snprintf(what, sizeof(what), "%s in %s", cells[i].event, cells[i].state);
	enter(cells[i].state);
	reads = r.dev.config_reads;
	rc = apply(cells[i].event);
	taken(word);
	cr_expect_str_eq(fph_guest_state_name(&r.l.guest), cells[i].next, "%s", what);
	cr_expect_str_eq(word, cells[i].sent, "%s", what);
	cr_expect_eq(rc, cells[i].rc, "%s: %d", what, rc);
	if (is(cells[i].next, "DOWN")) {
		cr_expect_eq(r.dev.config_reads, reads, "%s", what);
		cr_expect_eq(loop_step(&r.l), -ENOTCONN, "%s", what);
		return;
	}
	/* A level, not an edge: asking again changes neither answer nor queue. */
	for (unsigned again = 0; again < 3; again++) {
		int want = is(cells[i].next, "IDLE")	? FPH_GUEST_RELEASE :
			   is(cells[i].next, "HOLDING") ? 0 :
							  FPH_GUEST_FEED;

		cr_expect_eq(loop_step(&r.l), want, "%s", what);
	}
	taken(word);
	cr_expect_str_eq(word, "", "%s: and later", what);
}

Test(guest_round, every_event_in_every_state_has_the_outcome_of_the_clauses, .timeout = 30)
{
	for (unsigned i = 0; i < COUNT_OF(cells); i++)
		walk(i);
}

static const char *const states[] = {
#define NAME(name, wants) #name,
	FPH_GUEST_STATES(NAME)
#undef NAME
};

static const char *const events[] = {
#define NAME(name) #name,
	FPH_GUEST_EVENTS(NAME)
#undef NAME
};

static enum fph_guest_event event_of(const char *name)
{
	unsigned e = 0;

	while (e < COUNT_OF(events) && !is(events[e], name))
		e++;
	return (enum fph_guest_event)e;
}

/* What the machine is to say it did, from what the device gets to see. */
static enum fph_guest_act act_of(unsigned i)
{
	bool asked = is(cells[i].event, "FED") || is(cells[i].event, "END");

	if (asked && cells[i].rc < 0)
		return FPH_GUEST_refuse;
	if (is(cells[i].sent, "sh"))
		return FPH_GUEST_open;
	if (is(cells[i].sent, "s0"))
		return FPH_GUEST_pass;
	if (is(cells[i].sent, "0"))
		return asked ? FPH_GUEST_finish : FPH_GUEST_close;
	return FPH_GUEST_keep;
}

/* Also for the events that nobody can cause in a state from outside. */
Test(guest_round, the_machine_itself_agrees_in_every_cell)
{
	for (unsigned i = 0; i < COUNT_OF(cells); i++) {
		enum fph_guest_act act;

		enter(cells[i].state);
		act = fph_guest_move(guest_of(&r.l.guest), event_of(cells[i].event));
		cr_expect_eq(act, act_of(i), "%s in %s: %d", cells[i].event, cells[i].state, act);
		cr_expect_str_eq(fph_guest_state_name(&r.l.guest), cells[i].next, "%s in %s",
				 cells[i].event, cells[i].state);
	}
}

Test(guest_round, no_cell_is_left_out)
{
	cr_expect_eq(COUNT_OF(cells), COUNT_OF(states) * COUNT_OF(events));
	for (unsigned s = 0; s < COUNT_OF(states); s++) {
		for (unsigned e = 0; e < COUNT_OF(events); e++) {
			unsigned found = 0;

			for (unsigned i = 0; i < COUNT_OF(cells); i++)
				found += is(cells[i].state, states[s]) &&
					 is(cells[i].event, events[e]);
			cr_expect_eq(found, 1, "%s in %s", events[e], states[s]);
		}
	}
}

/* A START that nobody has seen is taken back, not followed by STOP. */
static const struct {
	uint32_t shown;
	const char *next;
} withdrawals[] = {
	{ FPH_COMMAND_STOP, "HOLDING" },
	{ FPH_COMMAND_DONE, "IDLE" },
	{ ID_B, "ASKED" },
};

Test(guest_round, a_start_that_was_not_shown_is_withdrawn)
{
	for (unsigned i = 0; i < COUNT_OF(withdrawals); i++) {
		struct fph_range back[8];
		char word[64];

		enter("ASKED");
		cr_assert_eq(rig_guest_hint(&r, 0, 3), 3);
		cr_expect_str_eq(fph_guest_state_name(&r.l.guest), "FEEDING");
		cr_expect_eq(rig_guest_show(&r, withdrawals[i].shown) & FPH_GUEST_RECLAIM,
			     FPH_GUEST_RECLAIM);
		cr_expect_str_eq(fph_guest_state_name(&r.l.guest), withdrawals[i].next);
		taken(word);
		cr_expect_str_eq(word, "");
		cr_assert_eq(fph_guest_reclaim(&r.l.guest, back, 8), 3);
		for (unsigned k = 0; k < 3; k++)
			cr_expect_eq(back[k].gpa, ram_page(k).gpa, "oldest first");
		cr_expect_eq(loop_guest_stats(&r.l).withdrawn, 3);
	}
}

Test(guest_round, hints_not_shown_are_withdrawn_and_the_round_is_closed)
{
	for (unsigned i = 0; i < COUNT_OF(withdrawals); i++) {
		struct fph_range back[8];
		char word[64];

		enter("FEEDING");
		cr_assert_eq(rig_guest_hint(&r, 1, 2), 2);
		cr_expect_geq(rig_guest_show(&r, withdrawals[i].shown), 0);
		cr_expect_str_eq(fph_guest_state_name(&r.l.guest), withdrawals[i].next);
		taken(word);
		cr_expect_str_eq(word, "0", "START was shown: STOP is owed");
		cr_assert_eq(fph_guest_reclaim(&r.l.guest, back, 8), 2);
		cr_expect(back[0].gpa == ram_page(1).gpa && back[1].gpa == ram_page(2).gpa);
	}
}

/* The id in START is the one that was seen, also when a later one was asked for. */
Test(guest_round, a_new_id_is_answered_with_that_id)
{
	char word[64];

	enter("ASKED");
	cr_expect_eq(rig_guest_show(&r, ID_B), FPH_GUEST_FEED);
	cr_expect_eq(rig_guest_hint(&r, 0, 2), 2);
	cr_expect_eq(fph_guest_end(&r.l.guest), 0);
	taken(word);
	cr_expect_str_eq(word, "bhh0");
}
