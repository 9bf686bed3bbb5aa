/* SPDX-License-Identifier: MIT */
/*
 * Every call on the bus fails once: the first, the second, ... of each verb, before it
 * arrives or after, once or three times in a row.  The caller gets the wire's error, and
 * either tries again or resets; in both ways every page comes back, exactly once.
 */
#include "support/fail.h"
#include "support/loop.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAGES	  16u
#define TRIES_MAX 8

enum way { TRY_AGAIN, RESET };

static struct {
	struct loop l;
	struct fail fail;
	enum way way;
	bool lent[PAGES];
	unsigned hinted, back;
	bool gave_up; /* a call failed and the way is RESET */
} s;

static const char *name; /* of the case at hand, for messages */

/* ------------------------------------------------------------ calls that may fail */

static int attach(void)
{
	return fph_guest_attach(&s.l.guest);
}

static int step(void)
{
	return loop_step(&s.l);
}

static int flush(void)
{
	return fph_guest_flush(&s.l.guest);
}

static int end(void)
{
	return fph_guest_end(&s.l.guest);
}

static int reset(void)
{
	return fph_guest_reset(&s.l.guest);
}

static void collect(void)
{
	struct fph_range out[PAGES];
	int n = fph_guest_reclaim(&s.l.guest, out, PAGES);

	for (int i = 0; i < n; i++) {
		uint64_t page = (out[i].gpa - RAM_HIGH) / FPH_HINT_PAGE;

		cr_assert(page < PAGES && out[i].len == FPH_HINT_PAGE, "%s", name);
		cr_assert(s.lent[page], "%s: page %u came back twice", name, (unsigned)page);
		s.lent[page] = false;
		s.back++;
	}
}

/* Make a call until it is through, or give up at the first failure. */
static void call(int (*op)(void))
{
	if (s.gave_up)
		return;
	for (int i = 0; i < TRIES_MAX; i++) {
		unsigned failed = s.fail.failed;
		int rc = op();

		if (s.fail.failed == failed) {
			if (rc == -EBUSY) { /* attach: ranges wait for us */
				collect();
				continue;
			}
			cr_assert_geq(rc, 0, "%s: %d with no failure", name, rc);
			return;
		}
		cr_assert_eq(rc, -EIO, "%s: %d is not the wire's error", name, rc);
		if (s.way == RESET) {
			s.gave_up = true;
			return;
		}
	}
	cr_assert_fail("%s: does not get through", name);
}

static void lend(unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n && !s.gave_up; i++) {
		struct fph_range page = ram_page(i);

		cr_assert_eq(fph_guest_hint(&s.l.guest, &page, 1), 1, "%s: page %u", name, i);
		s.lent[i] = true;
		s.hinted++;
	}
}

static void poll_all(void)
{
	struct fph_range out[64];

	if (!s.gave_up)
		loop_poll_all(&s.l, out, 64);
}

static void start(void)
{
	if (!s.gave_up)
		cr_assert_eq(fph_device_start(&s.l.dev), 0, "%s", name);
}

/* ------------------------------------------------------------ the lives */

/* Two rounds, one of them ended by the device, and a reset. */
static void live(void)
{
	uint64_t stats;

	call(attach);
	stats = loop_device_stats(&s.l).stats_buffers;
	start();
	call(step);
	lend(0, 6);
	call(flush);
	poll_all();
	call(step);
	collect();
	lend(6, 2);
	call(end);
	poll_all();
	call(step);
	collect();
	if (!s.gave_up)
		cr_assert_eq(fph_device_ask_stats(&s.l.dev), 0, "%s", name);
	call(step);
	start();
	call(step);
	lend(8, 3);
	call(flush);
	lend(11, 1);
	if (!s.gave_up)
		cr_assert_eq(fph_device_done(&s.l.dev), 0, "%s", name);
	call(step);
	poll_all();
	call(step);
	collect();
	if (!s.gave_up) {
		cr_assert_eq(fph_guest_held(&s.l.guest), 0, "%s: not all came back", name);
		cr_assert_str_eq(fph_guest_state_name(&s.l.guest), "IDLE", "%s", name);
		cr_assert_eq(loop_device_stats(&s.l).stats_buffers, stats + 1, "%s: statistics",
			     name);
		/* All but the one that was withdrawn by DONE reached the device. */
		cr_assert_eq(loop_device_stats(&s.l).hints, 8, "%s", name);
	}
	start();
	call(step);
	lend(12, 2);
	call(flush);
	call(reset);
}

/* The wire works again: reset, collect, and a round from its beginning to its end. */
static void recover(void)
{
	struct fph_range out[8];
	unsigned n;

	s.gave_up = false;
	s.fail.nth = 0;
	call(reset);
	collect();
	cr_assert_eq(s.back, s.hinted, "%s: %u of %u came back", name, s.back, s.hinted);
	cr_assert_eq(fph_guest_held(&s.l.guest), 0, "%s", name);

	call(attach);
	start();
	call(step);
	lend(3, 2);
	call(end);
	n = loop_poll_all(&s.l, out, 8);
	cr_assert_eq(n, 2, "%s: %u hints after recovery", name, n);
	cr_assert_eq(fph_device_done(&s.l.dev), 0);
	call(step);
	collect();
	cr_assert_eq(s.back, s.hinted, "%s", name);
	cr_assert_eq(fph_device_fault(&s.l.dev)->rule, 0, "%s: the device blames", name);
	cr_assert_eq(fph_guest_fault(&s.l.guest)->rule, 0, "%s: the guest blames", name);
}

/* Returns whether the nth call of that verb was reached, and so failed. */
static bool fails(enum bus_verb verb, unsigned nth, unsigned times, bool delivered, enum way way)
{
	struct ram ram = s.l.ram;
	char text[96];

	snprintf(text, sizeof(text), "call %u of %s, %u times, %s, then %s", nth,
		 fail_verb_name(verb), times, delivered ? "answer lost" : "not delivered",
		 way == RESET ? "reset" : "again");
	name = text;
	memset(&s, 0, sizeof(s));
	s.l.ram = ram;
	s.way = way;
	loop_options(&s.l);
	s.l.guest_opts.bus = fail_bus(&s.fail, s.l.guest_opts.bus);
	loop_open(&s.l);
	s.fail.delivered = delivered;
	fail_at(&s.fail, verb, nth, times, -EIO);
	live();
	recover();
	return s.fail.failed > 0;
}

static void every_call(bool delivered, enum way way)
{
	unsigned cases = 0;

	for (int verb = 0; verb <= VERB_ANY; verb++) {
		unsigned nth = 1;

		for (; fails((enum bus_verb)verb, nth, 1, delivered, way); nth++)
			cases += fails((enum bus_verb)verb, nth, 3, delivered, way) + 1u;
		/* Two verbs the guest never uses here. */
		cr_assert(nth > 1 || verb == VERB_SET_CONFIG || verb == VERB_VQ_DISABLE,
			  "%s was never called", fail_verb_name((enum bus_verb)verb));
	}
	printf("%u lives with a failure\n", cases);
	cr_assert_gt(cases, 100);
}

Test(nth_failure, before_delivery_and_tried_again)
{
	every_call(false, TRY_AGAIN);
}

Test(nth_failure, before_delivery_and_reset)
{
	every_call(false, RESET);
}

Test(nth_failure, after_delivery_and_tried_again)
{
	every_call(true, TRY_AGAIN);
}

Test(nth_failure, after_delivery_and_reset)
{
	every_call(true, RESET);
}
