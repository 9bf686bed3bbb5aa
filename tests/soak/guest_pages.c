/* SPDX-License-Identifier: MIT */
/* The guest's pages: every change goes to the ghost first, so that a kill can be mended. */
#include "guest.h"

#include <errno.h>

#define RUNS_MAX 8
#define RUN_MAX	 8

static unsigned char *at(struct guest *g, uint64_t frame)
{
	return g->soak->memory + frame * PAGE;
}

static bool is_plugged(const struct guest *g, uint64_t frame)
{
	return frame_is_real(frame) && g->soak->board->plugged & 1u << (frame / STRIDE_PAGES);
}

/* ------------------------------------------------------------ one page */

static void write_page(struct guest *g, uint64_t frame, uint64_t version)
{
	ghost_set(g->soak->ghost, frame, PAGE_WRITING, version);
	content_fill(at(g, frame), frame, version);
	ghost_mark(g->soak->ghost, frame);
	ghost_set(g->soak->ghost, frame, PAGE_USED, version);
}

static void check(struct guest *g, uint64_t frame)
{
	uint64_t version = ghost_version(g->soak->ghost, frame);

	if (!content_is(at(g, frame), frame, version))
		violation(g->soak->board, "guest: page %" PRIu64 " does not hold version %" PRIu64,
			  frame, version);
}

static void set_state(struct guest *g, uint64_t frame, enum page_state state)
{
	ghost_set(g->soak->ghost, frame, state, ghost_version(g->soak->ghost, frame));
}

static void touch(struct guest *g, uint64_t frame)
{
	uint64_t version = ghost_version(g->soak->ghost, frame);
	enum page_state state = ghost_state(g->soak->ghost, frame);

	if (state == PAGE_HELD || !is_plugged(g, frame))
		return;
	if (state == PAGE_USED)
		check(g, frame);
	if (state == PAGE_FREE || once_in(&g->rng, 2))
		write_page(g, frame, version + 1);
	else
		set_state(g, frame, PAGE_FREE);
}

/* ------------------------------------------------------------ all pages */

void guest_recover(struct guest *g)
{
	for (uint64_t frame = 0; frame < FRAMES; frame++)
		if (ghost_state(g->soak->ghost, frame) == PAGE_WRITING) {
			write_page(g, frame, ghost_version(g->soak->ghost, frame));
			count(&g->soak->board->redone, 1);
		}
}

void guest_work(struct guest *g)
{
	uint64_t n = below(&g->rng, 64);

	for (uint64_t i = 0; i < n; i++)
		touch(g, below(&g->rng, FRAMES));
	count(&g->soak->board->operations, n);
}

void guest_verify(struct guest *g)
{
	for (uint64_t frame = 0; frame < FRAMES; frame++)
		if (ghost_state(g->soak->ghost, frame) == PAGE_USED)
			check(g, frame);
}

void guest_empty_region(struct guest *g, uint32_t region)
{
	uint64_t first = region * STRIDE_PAGES;

	for (uint64_t frame = first; frame < first + REGION_PAGES; frame++)
		if (ghost_state(g->soak->ghost, frame) == PAGE_USED) {
			check(g, frame);
			set_state(g, frame, PAGE_FREE);
		}
	g->soak->board->plugged &= ~(1u << region);
}

void guest_plug_at_random(struct guest *g)
{
	uint32_t before = g->soak->board->plugged;

	for (uint32_t i = 1; i < REGIONS; i++) {
		if (once_in(&g->rng, 2))
			g->soak->board->plugged |= 1u << i;
		else
			guest_empty_region(g, i);
	}
	count(&g->soak->board->map_changes, g->soak->board->plugged != before);
}

/* ------------------------------------------------------------ hints */

void guest_reclaim(struct guest *g)
{
	struct fph_range back[16];
	int n;

	while ((n = fph_guest_reclaim(&g->guest, back, 1 + below(&g->rng, 16))) > 0)
		for (int i = 0; i < n; i++)
			for (uint64_t k = 0; k < back[i].len / PAGE; k++) {
				uint64_t frame = (back[i].gpa - BASE) / PAGE + k;

				if (ghost_state(g->soak->ghost, frame) != PAGE_HELD && !g->early)
					violation(g->soak->board,
						  "guest: page %" PRIu64 " came back twice", frame);
				if (ghost_state(g->soak->ghost, frame) != PAGE_HELD)
					continue;
				set_state(g, frame, PAGE_FREE);
				g->held--;
			}
}

void guest_free_before(struct guest *g)
{
	for (uint64_t frame = 0; frame < FRAMES; frame++)
		if (ghost_state(g->soak->ghost, frame) == PAGE_HELD) {
			set_state(g, frame, PAGE_FREE);
			count(&g->soak->board->freed_after_death, 1);
		}
}

/* Free, and not hinted in this round already; or now and then for a second time. */
static bool fits(struct guest *g, uint64_t frame)
{
	return is_plugged(g, frame) && ghost_state(g->soak->ghost, frame) == PAGE_FREE &&
	       (g->soak->ghost->given[frame] != g->round || once_in(&g->rng, 16));
}

/* The next run of free pages; its length is 0 at the end of memory. */
static struct fph_range next_run(struct guest *g)
{
	uint64_t max = 1 + below(&g->rng, RUN_MAX), n = 0;

	while (g->cursor < FRAMES && !fits(g, g->cursor))
		g->cursor++;
	while (n < max && g->cursor + n < FRAMES && fits(g, g->cursor + n))
		n++;
	g->cursor += n;
	return (struct fph_range){ gpa_of(g->cursor - n), n * PAGE };
}

static void give_up(struct guest *g, struct fph_range run)
{
	uint64_t first = (run.gpa - BASE) / PAGE;

	for (uint64_t frame = first; frame < first + run.len / PAGE; frame++) {
		__atomic_store_n(&g->soak->ghost->given[frame], g->round, __ATOMIC_RELEASE);
		if (!g->early) {
			set_state(g, frame, PAGE_HELD);
			g->held++;
		} else if (once_in(&g->rng, 4)) {
			touch(g, frame);
		}
	}
}

/* Returns 1 if there may be more to hint at once. */
static int feed_batch(struct guest *g)
{
	uint64_t wanted = 1 + below(&g->rng, RUNS_MAX), n = 0;
	struct fph_range runs[RUNS_MAX];
	int taken;

	/* Also a flush may have seen a new id. */
	if (g->round != fph_guest_command_id(&g->guest)) {
		g->round = fph_guest_command_id(&g->guest);
		g->cursor = 0;
	}
	while (n < wanted) {
		runs[n] = next_run(g);
		if (!runs[n].len)
			break;
		n++;
	}
	if (!n || once_in(&g->rng, 200))
		return fph_guest_end(&g->guest);
	taken = fph_guest_hint(&g->guest, runs, n);
	/* The device sees none of them before the flush. */
	for (int i = 0; i < taken; i++)
		give_up(g, runs[i]);
	if (taken < (int)n)
		g->cursor = (runs[taken > 0 ? taken : 0].gpa - BASE) / PAGE;
	if (taken < 0)
		return taken;
	count(&g->soak->board->ring_full, taken < (int)n);
	if (once_in(&g->rng, 400)) /* reset with hints that were never shown */
		return -ECANCELED;
	wanted = n;
	taken = fph_guest_flush(&g->guest);
	return taken < 0 ? taken : once_in(&g->rng, 4) ? 0 : 1;
}

int guest_feed(struct guest *g)
{
	int rc = 1;

	for (int i = 0; i < 16 && rc > 0; i++)
		rc = feed_batch(g);
	return rc;
}
