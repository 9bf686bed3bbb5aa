/* SPDX-License-Identifier: MIT */
/*
 * Every state of the device's round with every event, by what can be seen from
 * outside.  The outcomes are written from the clauses, not from the table that the
 * device works by; of that table only the names are used, to see that none is left out.
 */
#include "device_priv.h"
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

enum effect {
	QUIET,	   /* the driver hears nothing, no counter moves */
	TELL,	   /* configuration interrupt, same id */
	NEW_ID,	   /* configuration interrupt, an id never shown before */
	COUNTED,   /* a command that counts */
	TAKEN,	   /* the hint is handed out */
	FOREIGN,   /* dropped, counted as of another id */
	UNASKED,   /* dropped, counted as unasked */
	REFUSED,   /* the caller is told that there is no driver */
	UNTOUCHED, /* the ring is not looked at.  G-4 */
};

static const struct {
	const char *state, *event, *next;
	enum effect effect;
} cells[] = {
	/* No driver: nothing can be asked, and nothing is consumed.  G-4, G-12 */
	{ "DOWN", "READY", "STOPPED", QUIET },
	{ "DOWN", "GONE", "DOWN", QUIET },
	{ "DOWN", "START", "DOWN", REFUSED },
	{ "DOWN", "STOP", "DOWN", REFUSED },
	{ "DOWN", "FINISH", "DOWN", REFUSED },
	{ "DOWN", "SUSPEND", "DOWN", QUIET }, /* S-1 */
	{ "DOWN", "RESUME", "DOWN", QUIET },
	{ "DOWN", "CMD_OURS", "DOWN", UNTOUCHED },
	{ "DOWN", "CMD_OTHER", "DOWN", UNTOUCHED },
	{ "DOWN", "CMD_STOP", "DOWN", UNTOUCHED },
	{ "DOWN", "HINT", "DOWN", UNTOUCHED },

	/* Between rounds every hint is stale.  BH-13 */
	{ "STOPPED", "READY", "STOPPED", QUIET },
	{ "STOPPED", "GONE", "DOWN", QUIET },
	{ "STOPPED", "START", "REQUESTED", NEW_ID },
	{ "STOPPED", "STOP", "STOPPED", QUIET },
	{ "STOPPED", "FINISH", "DONE", TELL }, /* BH-16 */
	{ "STOPPED", "SUSPEND", "ASLEEP", QUIET },
	{ "STOPPED", "RESUME", "STOPPED", QUIET },
	{ "STOPPED", "CMD_OURS", "STOPPED", FOREIGN },
	{ "STOPPED", "CMD_OTHER", "STOPPED", FOREIGN },
	{ "STOPPED", "CMD_STOP", "STOPPED", UNASKED },
	{ "STOPPED", "HINT", "STOPPED", UNASKED },

	/* Only a command with the id shown opens the queue for hints.  BH-2, A5-5 */
	{ "REQUESTED", "READY", "REQUESTED", QUIET },
	{ "REQUESTED", "GONE", "DOWN", QUIET },
	{ "REQUESTED", "START", "REQUESTED", NEW_ID },
	{ "REQUESTED", "STOP", "STOPPED", TELL }, /* BH-11, C-6 */
	{ "REQUESTED", "FINISH", "DONE", TELL },
	{ "REQUESTED", "SUSPEND", "ASLEEP", TELL }, /* S-4 */
	{ "REQUESTED", "RESUME", "REQUESTED", QUIET },
	{ "REQUESTED", "CMD_OURS", "HINTING", COUNTED },
	{ "REQUESTED", "CMD_OTHER", "REQUESTED", FOREIGN },
	{ "REQUESTED", "CMD_STOP", "REQUESTED", UNASKED }, /* A5-5 */
	{ "REQUESTED", "HINT", "REQUESTED", UNASKED },

	/* A repeated START is ignored (BH-3), any other command ends the hints. */
	{ "HINTING", "READY", "HINTING", QUIET },
	{ "HINTING", "GONE", "DOWN", QUIET },
	{ "HINTING", "START", "REQUESTED", NEW_ID },
	{ "HINTING", "STOP", "STOPPED", TELL },
	{ "HINTING", "FINISH", "DONE", TELL },
	{ "HINTING", "SUSPEND", "ASLEEP", TELL },
	{ "HINTING", "RESUME", "HINTING", QUIET },
	{ "HINTING", "CMD_OURS", "HINTING", FOREIGN },
	{ "HINTING", "CMD_OTHER", "ENDED", FOREIGN },
	{ "HINTING", "CMD_STOP", "ENDED", COUNTED }, /* BH-6 */
	{ "HINTING", "HINT", "HINTING", TAKEN },

	/* The driver has closed its answer, and cannot open it again.  BH-3 */
	{ "ENDED", "READY", "ENDED", QUIET },
	{ "ENDED", "GONE", "DOWN", QUIET },
	{ "ENDED", "START", "REQUESTED", NEW_ID },
	{ "ENDED", "STOP", "STOPPED", TELL },
	{ "ENDED", "FINISH", "DONE", TELL },
	{ "ENDED", "SUSPEND", "ASLEEP", TELL },
	{ "ENDED", "RESUME", "ENDED", QUIET },
	{ "ENDED", "CMD_OURS", "ENDED", FOREIGN },
	{ "ENDED", "CMD_OTHER", "ENDED", FOREIGN },
	{ "ENDED", "CMD_STOP", "ENDED", UNASKED },
	{ "ENDED", "HINT", "ENDED", UNASKED },

	/* DONE stays until the next round, so that no driver misses it.  BH-15, BH-16 */
	{ "DONE", "READY", "DONE", QUIET },
	{ "DONE", "GONE", "DOWN", QUIET },
	{ "DONE", "START", "REQUESTED", NEW_ID },
	{ "DONE", "STOP", "DONE", QUIET },
	{ "DONE", "FINISH", "DONE", QUIET },
	{ "DONE", "SUSPEND", "ASLEEP_DONE", TELL },
	{ "DONE", "RESUME", "DONE", QUIET },
	{ "DONE", "CMD_OURS", "DONE", FOREIGN },
	{ "DONE", "CMD_OTHER", "DONE", FOREIGN },
	{ "DONE", "CMD_STOP", "DONE", UNASKED },
	{ "DONE", "HINT", "DONE", UNASKED },

	/* The driver has the device suspended: nothing it sees moves, no ring is looked at.  S-4 */
	{ "ASLEEP", "READY", "ASLEEP", QUIET },
	{ "ASLEEP", "GONE", "DOWN", QUIET },
	{ "ASLEEP", "START", "ASLEEP", REFUSED },
	{ "ASLEEP", "STOP", "ASLEEP", QUIET },
	{ "ASLEEP", "FINISH", "ASLEEP_DONE", QUIET },
	{ "ASLEEP", "SUSPEND", "ASLEEP", QUIET },
	{ "ASLEEP", "RESUME", "STOPPED", QUIET },
	{ "ASLEEP", "CMD_OURS", "ASLEEP", UNTOUCHED },
	{ "ASLEEP", "CMD_OTHER", "ASLEEP", UNTOUCHED },
	{ "ASLEEP", "CMD_STOP", "ASLEEP", UNTOUCHED },
	{ "ASLEEP", "HINT", "ASLEEP", UNTOUCHED },

	/* BH-16: the DONE of that time, or of before, is not lost. */
	{ "ASLEEP_DONE", "READY", "ASLEEP_DONE", QUIET },
	{ "ASLEEP_DONE", "GONE", "DOWN", QUIET },
	{ "ASLEEP_DONE", "START", "ASLEEP_DONE", REFUSED },
	{ "ASLEEP_DONE", "STOP", "ASLEEP_DONE", QUIET },
	{ "ASLEEP_DONE", "FINISH", "ASLEEP_DONE", QUIET },
	{ "ASLEEP_DONE", "SUSPEND", "ASLEEP_DONE", QUIET },
	{ "ASLEEP_DONE", "RESUME", "DONE", TELL },
	{ "ASLEEP_DONE", "CMD_OURS", "ASLEEP_DONE", UNTOUCHED },
	{ "ASLEEP_DONE", "CMD_OTHER", "ASLEEP_DONE", UNTOUCHED },
	{ "ASLEEP_DONE", "CMD_STOP", "ASLEEP_DONE", UNTOUCHED },
	{ "ASLEEP_DONE", "HINT", "ASLEEP_DONE", UNTOUCHED },
};

static struct rig r;

static bool is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static bool is_asleep(const char *state)
{
	return is(state, "ASLEEP") || is(state, "ASLEEP_DONE");
}

static void expect_state(const char *want, const char *what)
{
	cr_expect_str_eq(fph_device_state_name(&r.l.dev), want, "%s", what);
}

/* What the driver reads.  A5-10: the id for the whole of the round. */
static void expect_shown(const char *state, const char *what)
{
	uint32_t want = fph_device_command_id(&r.l.dev);

	if (is(state, "DOWN") || is(state, "STOPPED") || is_asleep(state))
		want = FPH_COMMAND_STOP;
	if (is(state, "DONE"))
		want = FPH_COMMAND_DONE;
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_COMMAND_ID), want, "%s", what);
	cr_expect_eq(fph_device_command(&r.l.dev), want, "%s", what);
}

static int apply(const char *event);

static void enter(const char *state)
{
	uint16_t index = 0;

	rig_options(&r);
	r.l.dev_opts.offer = FPH_F_SUSPEND;
	rig_device(&r);
	cr_assert_eq(raw_negotiate(&r.d, RAW_FEATURES | FPH_F_SUSPEND), 0);
	for (unsigned q = 0; q <= FPH_QUEUE_HINT; q++) {
		raw_lay_out(&r.d, (enum fph_queue)q, index++, RAW_RING_SIZE);
		cr_assert_eq(raw_enable(&r.d, (enum fph_queue)q), 0);
	}
	if (!is(state, "DOWN"))
		cr_assert_eq(raw_driver_ok(&r.d), 0);
	if (is(state, "REQUESTED") || is(state, "HINTING") || is(state, "ENDED"))
		cr_assert_eq(fph_device_start(&r.l.dev), 0);
	if (is(state, "HINTING") || is(state, "ENDED"))
		raw_command(&r.d, 15, fph_device_command_id(&r.l.dev));
	if (is(state, "ENDED"))
		raw_command(&r.d, 14, FPH_COMMAND_STOP);
	if (is(state, "DONE") || is(state, "ASLEEP_DONE"))
		cr_assert_eq(fph_device_done(&r.l.dev), 0);
	if (!is(state, "DOWN"))
		cr_assert_eq(rig_poll(&r), 0);
	if (is_asleep(state))
		cr_assert_eq(apply("SUSPEND"), 0);
	raw_take_irq(&r.d);
	cr_assert_str_eq(fph_device_state_name(&r.l.dev), state);
	expect_shown(state, state);
}

/* Returns what the call returned. */
static int apply(const char *event)
{
	uint32_t id = fph_device_command_id(&r.l.dev);

	if (is(event, "READY"))
		return raw_driver_ok(&r.d);
	if (is(event, "GONE"))
		return raw_set_status(&r.d, 0);
	if (is(event, "SUSPEND"))
		return raw_set_status(&r.d, raw_status(&r.d) | FPH_STATUS_SUSPEND);
	if (is(event, "RESUME"))
		return raw_status(&r.d) & FPH_STATUS_SUSPEND ? raw_driver_ok(&r.d) : 0;
	if (is(event, "START"))
		return fph_device_start(&r.l.dev);
	if (is(event, "STOP"))
		return fph_device_stop(&r.l.dev);
	if (is(event, "FINISH"))
		return fph_device_done(&r.l.dev);
	if (is(event, "CMD_OURS"))
		raw_command(&r.d, 0, id);
	else if (is(event, "CMD_OTHER"))
		raw_command(&r.d, 0, id - 1);
	else if (is(event, "CMD_STOP"))
		raw_command(&r.d, 0, FPH_COMMAND_STOP);
	else if (is(event, "HINT"))
		raw_hint(&r.d, 0, RAM_HIGH, 0x2000);
	else
		cr_assert_fail("the test knows no event %s", event);
	return rig_poll(&r);
}

static void walk(unsigned i)
{
	enum effect e = cells[i].effect;
	struct fph_device_stats was, now;
	char what[64];
	uint32_t id, irq;
	int rc;

	snprintf(what, sizeof(what), "%s in %s", cells[i].event, cells[i].state);
	enter(cells[i].state);
	id = fph_device_command_id(&r.l.dev);
	was = loop_device_stats(&r.l);
	rc = apply(cells[i].event);
	now = loop_device_stats(&r.l);
	irq = raw_take_irq(&r.d);

	expect_state(cells[i].next, what);
	expect_shown(cells[i].next, what);
	cr_expect_eq(rc, e == TAKEN ? 1 : e == REFUSED || e == UNTOUCHED ? -ENOTCONN : 0, "%s: %d",
		     what, rc);
	cr_expect_eq(irq & FPH_IRQ_CONFIG, e == TELL || e == NEW_ID ? FPH_IRQ_CONFIG : 0, "%s",
		     what);
	cr_expect_eq(fph_device_command_id(&r.l.dev), e == NEW_ID ? id + 1 : id, "%s", what);
	cr_expect_eq(now.hints - was.hints, e == TAKEN, "%s", what);
	cr_expect_eq(now.commands - was.commands, e == COUNTED, "%s", what);
	cr_expect_eq(now.foreign_id - was.foreign_id, e == FOREIGN, "%s", what);
	cr_expect_eq(now.unasked - was.unasked, e == UNASKED, "%s", what);
	cr_expect_eq(now.stale - was.stale, 0, "%s", what);
	cr_expect_eq(now.rounds - was.rounds, e == NEW_ID, "%s", what);
	cr_expect_eq(now.chains - was.chains,
		     e == COUNTED || e == TAKEN || e == FOREIGN || e == UNASKED, "%s", what);
	if (e == TAKEN)
		cr_expect(rig_out[0].gpa == RAM_HIGH && rig_out[0].len == 0x2000, "%s", what);
	if (e == UNTOUCHED)
		cr_expect_eq(raw_used_idx(r.d.hint), 0, "%s", what);
	if (e == FOREIGN || e == UNASKED || e == COUNTED) /* returned at once */
		cr_expect_eq(raw_used_idx(r.d.hint), r.d.hint->avail, "%s", what);
}

Test(device_round, every_event_in_every_state_has_the_outcome_of_the_clauses, .timeout = 30)
{
	for (unsigned i = 0; i < COUNT_OF(cells); i++)
		if (!is_asleep(cells[i].state) || !is(cells[i].event, "READY")) /* is RESUME */
			walk(i);
}

static const char *const states[] = {
#define NAME(name, shows) #name,
	FPH_DEVICE_STATES(NAME)
#undef NAME
};

static const char *const events[] = {
#define NAME(name) #name,
	FPH_DEVICE_EVENTS(NAME)
#undef NAME
};

static enum fph_device_event event_of(const char *name)
{
	unsigned e = 0;

	while (e < COUNT_OF(events) && !is(events[e], name))
		e++;
	return (enum fph_device_event)e;
}

/* What the machine is to say it did; who goes away in mid-round changes what is shown. */
static enum fph_device_act act_of(unsigned i)
{
	static const enum fph_device_act acts[] = {
		[QUIET] = FPH_DEVICE_keep,	[TELL] = FPH_DEVICE_show,
		[NEW_ID] = FPH_DEVICE_newid,	[COUNTED] = FPH_DEVICE_keep,
		[TAKEN] = FPH_DEVICE_take,	[FOREIGN] = FPH_DEVICE_drop,
		[UNASKED] = FPH_DEVICE_drop,	[REFUSED] = FPH_DEVICE_refuse,
		[UNTOUCHED] = FPH_DEVICE_drop,
	};

	if (is(cells[i].event, "GONE") && !is(cells[i].state, "DOWN") &&
	    !is(cells[i].state, "STOPPED") && !is_asleep(cells[i].state))
		return FPH_DEVICE_show; /* C-6 */
	return acts[cells[i].effect];
}

/* Also for the events that nobody can cause in a state from outside. */
Test(device_round, the_machine_itself_agrees_in_every_cell)
{
	for (unsigned i = 0; i < COUNT_OF(cells); i++) {
		enum fph_device_act act;

		enter(cells[i].state);
		act = fph_device_step(device_of(&r.l.dev), event_of(cells[i].event));
		cr_expect_eq(act, act_of(i), "%s in %s: %d", cells[i].event, cells[i].state, act);
		expect_state(cells[i].next, cells[i].event);
	}
}

Test(device_round, no_cell_is_left_out)
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

static const char *const up[] = { "STOPPED", "REQUESTED", "HINTING", "ENDED", "DONE" };

Test(device_round, a_fault_takes_every_state_down)
{
	for (unsigned i = 0; i < COUNT_OF(up); i++) {
		enter(up[i]);
		raw_push(r.d.hint, 0xffff);
		raw_publish(r.d.hint);
		cr_expect_eq(rig_poll(&r), -EPROTO, "%s", up[i]);
		expect_state("DOWN", up[i]);
		expect_shown("DOWN", up[i]);
		rig_expect_fault(&r, FPH_RULE_HEAD_RANGE, FPH_QUEUE_HINT);
	}
}

Test(device_round, a_queue_that_is_stopped_ends_the_round) /* M-7, row 47 */
{
	for (unsigned i = 0; i < COUNT_OF(up); i++) {
		const char *next = is(up[i], "DONE") ? "DONE" : "STOPPED";
		bool open = !is(up[i], "DONE") && !is(up[i], "STOPPED");
		uint16_t index = 0xeeee;

		enter(up[i]);
		cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 3, &index), 0, "%s", up[i]);
		cr_expect_eq(index, r.d.hint->avail, "%s", up[i]);
		expect_state(next, up[i]);
		expect_shown(next, up[i]);
		cr_expect_eq(raw_take_irq(&r.d), open ? FPH_IRQ_CONFIG : 0, "%s", up[i]);
		cr_expect_eq(fph_device_start(&r.l.dev), -ENOTCONN, "%s: no queue", up[i]);
		expect_state(next, up[i]);
	}
}

Test(device_round, a_round_is_over_unless_hints_are_expected)
{
	for (unsigned i = 0; i < COUNT_OF(up); i++) {
		enter(up[i]);
		cr_expect_eq(fph_device_round_over(&r.l.dev),
			     !is(up[i], "REQUESTED") && !is(up[i], "HINTING"), "%s", up[i]);
	}
	enter("DOWN");
	cr_expect(fph_device_round_over(&r.l.dev));
}

/* A driver that takes all features but hinting: a balloon, and no rounds. */
Test(device_round, without_the_feature_the_device_stays_down)
{
	rig_options(&r);
	rig_device(&r);
	raw_up(&r.d, RAW_FEATURES & ~FPH_F_FREE_PAGE_HINT);
	expect_state("DOWN", "ready");
	cr_expect_eq(fph_device_start(&r.l.dev), -ENOTCONN);
	cr_expect_eq(fph_device_stop(&r.l.dev), -ENOTCONN);
	cr_expect_eq(fph_device_done(&r.l.dev), -ENOTCONN);
	cr_expect_eq(rig_poll(&r), -ENOTCONN);
	cr_expect_eq(raw_take_irq(&r.d), 0);
	cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE);
}
