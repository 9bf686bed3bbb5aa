/* SPDX-License-Identifier: MIT */
/*
 * All orders in which a VMM, a driver and the rest of the guest can act: every one of
 * them for short programs, random ones for long lives.  life.h says what is judged.
 */
#include "life.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 32

/* ------------------------------------------------------------ every order */

/* What a letter of a program stands for. */
static const struct {
	char letter;
	unsigned char arg;
	enum life_step step;
} words[] = {
	{ 'r', 0, VMM_ROUND },	 { 'P', 7, VMM_POLL },	{ 'p', 0, VMM_POLL },
	{ 'a', 0, VMM_APPLY },	 { 'k', 0, VMM_ACK },	{ 's', 0, VMM_SEND },
	{ 't', 0, DRV_STEP },	 { 'h', 0, DRV_HINT },	{ 'H', 2, DRV_HINT },
	{ 'f', 0, DRV_FLUSH },	 { 'e', 0, DRV_END },	{ 'c', 0, DRV_RECLAIM },
	{ 'x', 0, DRV_RESET },	 { 'A', 0, APP_ALLOC }, { 'w', 0, APP_WRITE },
	{ 'F', 0, APP_FREE },
};

static void take(struct life *life, char letter)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].letter == letter) {
			life_step(life, words[i].step, words[i].arg);
			return;
		}
	cr_assert_fail("no step '%c'", letter);
}

/* What is done first, in that order, and then three programs at once. */
struct family {
	const struct life_opts *opts;
	const char *first;
	const char *vmm, *driver, *app;
};

/*
 * Run one order: at step i the choices[i]-th of the programs goes on that are not at
 * their end.  It ends when the VMM's does.  Returns the number of steps; options[i] is
 * how many programs could have gone on.
 */
static unsigned run_order(struct life *life, const struct family *f,
			  const unsigned char *choices, unsigned char *options, char *order)
{
	const char *at[3] = { f->vmm, f->driver, f->app };
	unsigned n = 0;

	life_begin(life, f->opts);
	for (const char *p = f->first; *p; p++)
		take(life, *p);
	for (; *at[0]; n++) {
		unsigned open[3], count = 0;

		for (unsigned k = 0; k < 3; k++)
			if (*at[k])
				open[count++] = k;
		options[n] = (unsigned char)count;
		order[n] = *at[open[choices[n]]]++;
		take(life, order[n]);
	}
	order[n] = '\0';
	life_end(life);
	return n;
}

/* All orders of a family, depth first. */
static void all_orders(const struct life_opts *opts, const char *first, const char *vmm,
		       const char *driver, const char *app)
{
	static struct life life;
	const struct family family = { opts, first, vmm, driver, app };
	unsigned char choices[DEPTH_MAX] = { 0 }, options[DEPTH_MAX];
	unsigned long orders = 0, skipped = 0, reused = 0;
	char order[DEPTH_MAX + 1];

	for (;;) {
		unsigned n = run_order(&life, &family, choices, options, order);

		cr_assert_null(life.broken, "%s: %s, then %s", life.broken, first, order);
		orders++;
		skipped += life.skipped;
		reused += life.reused;
		while (n > 0 && choices[n - 1] + 1 == options[n - 1])
			choices[--n] = 0;
		if (n == 0)
			break;
		choices[n - 1]++;
	}
	printf("%s, then %s | %s | %s: %lu orders, pages skipped %lu, reused %lu\n", first, vmm,
	       driver, app, orders, skipped, reused);
	cr_assert(skipped > orders / 50 && reused > orders / 50, "next to nothing happens in them");
}

/* Two pages, of which one is free at first. */
static const struct life_opts strict_skip = { .pages = 2, .ring = 4 };
static const struct life_opts strict_discard = { .pages = 2, .ring = 4, .discard = true };
static const struct life_opts early_skip = { .pages = 2, .ring = 4, .early = true };

/* r stop, sync, start in turn; t step, h hint, f flush, c reclaim, e end, x reset;
 * p P poll, a act, k acknowledge, s send; A take a free page, w write one, F free one. */

Test(every_order, of_a_round_and_a_page_that_is_reused)
{
	all_orders(&strict_skip, "rrrt", "PaPsrrP", "hfctc", "AwF");
	all_orders(&strict_discard, "rrrt", "PaPsrrP", "hfctc", "AwF");
	all_orders(&early_skip, "rrrt", "PaPsrrP", "hfthf", "AwF");
}

Test(every_order, of_two_rounds_with_stop)
{
	all_orders(&strict_skip, "rrrth", "PaPrrrPa", "ethec", "Aw");
	all_orders(&strict_discard, "rrrth", "PaPrrrPa", "ethec", "Aw");
	all_orders(&early_skip, "rrrth", "PaPrrrPa", "ethef", "AwF");
}

Test(every_order, of_rounds_that_are_called_off)
{
	struct life_opts strict = { .pages = 4, .ring = 8, .discard = true };
	struct life_opts early = { .pages = 4, .ring = 8, .early = true };

	all_orders(&strict, "rrrt", "rrrPaPPa", "hfthfc", "A");
	all_orders(&early, "rrrt", "rrrPaPPa", "hfthf", "AF");
	all_orders(&strict, "rrrthf", "rrrPPPaP", "thfec", "A");
}

Test(every_order, of_a_reset_and_a_batch_in_hand)
{
	all_orders(&strict_discard, "rrrtH", "pakPsP", "fxcxt", "AwA");
	all_orders(&strict_skip, "rrrtH", "paPrrrPa", "fxxth", "Aw");
	all_orders(&early_skip, "rrrtH", "paPrrrPa", "fxxth", "Aw");
}

/* ------------------------------------------------------------ random orders */

static uint32_t draw(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 24);
}

/* How often each step is taken, of 64. */
static const unsigned char weights[LIFE_STEPS] = {
	[VMM_ROUND] = 5, [VMM_POLL] = 9,  [VMM_APPLY] = 3,   [VMM_ACK] = 1,
	[VMM_SEND] = 4,	 [VMM_MAP] = 1,	  [DRV_STEP] = 8,    [DRV_HINT] = 9,
	[DRV_FLUSH] = 7, [DRV_END] = 1,	  [DRV_RECLAIM] = 4, [DRV_RESET] = 0,
	[APP_ALLOC] = 4, [APP_WRITE] = 3, [APP_FREE] = 5,
};

static enum life_step draw_step(uint64_t *seed)
{
	unsigned ticket = draw(seed) % 64, i = 0;

	if (draw(seed) % 512 == 0)
		return DRV_RESET;
	while (ticket >= weights[i])
		ticket -= weights[i++];
	return (enum life_step)i;
}

#define LIVES 50000

/* One random life. */
static const char *random_life(struct life *life, const struct life_opts *opts, uint64_t number)
{
	uint64_t seed = number * UINT64_C(0x9e3779b97f4a7c15) | 1;
	unsigned steps;

	life_begin(life, opts);
	steps = 100 + draw(&seed) % 200;
	for (unsigned i = 0; i < steps && !life->broken; i++) {
		enum life_step step = draw_step(&seed);

		life_step(life, step, draw(&seed));
	}
	return life_end(life);
}

static unsigned long random_lives(struct life_opts opts, unsigned long lives)
{
	static struct life life;
	unsigned long hinted = 0, skipped = 0, reclaimed = 0, reused = 0, resets = 0;

	for (unsigned long i = 0; i < lives; i++) {
		opts.pages = 2 + (unsigned)i % (LIFE_PAGES - 1);
		opts.ring = (uint16_t)(4 << i % 3);
		random_life(&life, &opts, i + 1);
		cr_assert_null(life.broken, "%s: in life %lu", life.broken, i);
		hinted += life.hinted;
		skipped += life.skipped;
		reclaimed += life.reclaimed;
		reused += life.reused;
		resets += life.resets;
	}
	printf("%lu lives: pages hinted %lu, skipped %lu, reclaimed %lu, reused %lu; resets %lu\n",
	       lives, hinted, skipped, reclaimed, reused, resets);
	cr_assert(hinted > lives && reused > lives && resets > lives / 10,
		  "next to nothing happens in them");
	cr_assert(opts.early ? reclaimed == 0 : reclaimed > lives);
	return skipped;
}

Test(random_orders, keep_memory_whole_with_strict_hold)
{
	cr_assert_gt(random_lives((struct life_opts){ 0 }, LIVES), LIVES);
}

Test(random_orders, keep_memory_whole_when_hints_are_discarded)
{
	cr_assert_gt(random_lives((struct life_opts){ .discard = true }, LIVES), LIVES);
}

Test(random_orders, keep_memory_whole_with_early_reuse)
{
	cr_assert_gt(random_lives((struct life_opts){ .early = true }, LIVES), LIVES);
}

/* Strict hold forgives even this one. */
Test(random_orders, keep_memory_whole_with_a_lazy_log_and_strict_hold)
{
	cr_assert_gt(random_lives((struct life_opts){ .mistake = LAZY_LOG }, LIVES), LIVES);
}

/* The fence alone keeps old hints out.  S3, H1 */
Test(random_orders, keep_memory_whole_with_a_driver_that_rewrites_its_starts)
{
	struct life_opts opts = { .early = true, .mistake = START_SHARED };

	cr_assert_gt(random_lives(opts, LIVES), LIVES);
}

/* And the id alone does. */
Test(random_orders, bring_no_hint_of_a_driver_that_answers_with_an_old_id)
{
	struct life_opts opts = { .early = true, .mistake = START_OLD };

	cr_assert_eq(random_lives(opts, LIVES), 0);
}

/* ------------------------------------------------------------ the oracles fire */

/* Each mistake is found, by the oracle that it should be found by. */
static void is_found(struct life_opts opts, const char *oracle)
{
	static struct life life;

	for (unsigned long i = 0; i < 200000; i++) {
		opts.pages = 2 + (unsigned)i % (LIFE_PAGES - 1);
		opts.ring = (uint16_t)(4 << i % 3);
		if (!random_life(&life, &opts, i + 1) || strcmp(life.broken, oracle))
			continue;
		printf("found in life %lu: %s\n", i, oracle);
		return;
	}
	cr_assert_fail("never found: %s", oracle);
}

#define NOT_SENT  "a page in use is not at the destination"
#define DISCARDED "a page in use was discarded"

Test(mistake, early_reuse_with_discard)
{
	is_found((struct life_opts){ .early = true, .discard = true }, DISCARDED);
}

Test(mistake, start_before_sync)
{
	is_found((struct life_opts){ .early = true, .mistake = START_BEFORE_SYNC }, NOT_SENT);
}

Test(mistake, sync_while_a_round_is_open)
{
	is_found((struct life_opts){ .early = true, .mistake = SYNC_WITHOUT_STOP }, NOT_SENT);
}

Test(mistake, batch_acted_upon_after_the_next_sync)
{
	is_found((struct life_opts){ .mistake = BATCH_KEPT }, NOT_SENT);
}

Test(mistake, batch_taken_for_one_of_the_next_round)
{
	is_found((struct life_opts){ .mistake = BATCH_RELABELLED }, "a hint of another round");
}

Test(mistake, dirty_log_cleared_where_a_page_is_skipped)
{
	is_found((struct life_opts){ .early = true, .mistake = LAZY_LOG }, NOT_SENT);
}

Test(mistake, batch_acknowledged_before_it_is_acted_upon)
{
	is_found((struct life_opts){ .discard = true, .mistake = ACK_BEFORE_APPLY }, DISCARDED);
}

Test(mistake, hints_honoured_after_the_last_sync)
{
	is_found((struct life_opts){ .early = true, .mistake = POLL_AFTER_LAST_SYNC }, NOT_SENT);
}

Test(mistake, nobody_polls_after_done)
{
	is_found((struct life_opts){ .mistake = NO_DRAIN }, "a page never came back");
}

Test(mistake, held_page_used_under_discard)
{
	is_found((struct life_opts){ .discard = true, .mistake = HELD_PAGE_USED }, DISCARDED);
}

Test(mistake, content_of_a_hinted_page_relied_upon)
{
	is_found((struct life_opts){ .mistake = CONTENT_RELIED_UPON }, NOT_SENT);
}

Test(mistake, page_hinted_while_it_is_held)
{
	is_found((struct life_opts){ .mistake = HINTED_TWICE },
		 "what came back was not given, or came twice");
}

Test(mistake, reset_not_awaited)
{
	is_found((struct life_opts){ .discard = true, .mistake = RESET_NOT_AWAITED }, DISCARDED);
}
