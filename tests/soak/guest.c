/* SPDX-License-Identifier: MIT */
/*
 * The guest: works in its memory, gives up free pages when asked to, and changes its mind
 * about everything: rings, regions, connections.  What must not be lost when it is killed
 * is in the ghost.
 */
#include "guest.h"

#include <errno.h>
#include <fph/fault.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define STALL_US UINT64_C(8000000)

/* ------------------------------------------------------------ sessions */

static uint64_t some_of(struct rng *rng, uint64_t bits)
{
	uint64_t chosen = 0;

	for (unsigned i = 0; i < 64; i++)
		if (bits >> i & 1 && once_in(rng, 2))
			chosen |= UINT64_C(1) << i;
	return chosen;
}

/* Everything about a session is new: wire, rings, formats, and when pages are reused. */
static int open_session(struct guest *g)
{
	struct fph_guest_opts o = FPH_GUEST_OPTS_INIT;
	struct rng *rng = &g->rng;
	int err;

	if (!g->wire->plug)
		guest_plug_at_random(g);
	err = g->wire->open(&g->end, g->soak, g->soak->board->plugged, rng);
	if (err)
		return err;
	o.bus = g->wire->bus(g->end);
	o.ring = (struct fph_region){ .gpa = BASE, .len = RING_PAGES * PAGE,
				      .hva = g->soak->memory };
	o.slots = g->slots;
	o.ring_size = (uint16_t)(4u << below(rng, 8));
	o.batch = once_in(rng, 2) ? 0 : (uint16_t)(1 + below(rng, 8));
	o.refuse = some_of(rng, FPH_F_INDIRECT_DESC | FPH_F_EVENT_IDX | FPH_F_RING_PACKED |
					FPH_F_IN_ORDER);
	o.layout = (enum fph_vq_layout)below(rng, 3);
	o.stall_us = STALL_US;
	g->hold = once_in(rng, 2);
	if (g->soak->fault)
		g->hold = g->soak->fault == FAULT_REUSE;
	if (!g->hold)
		o.flags = FPH_GUEST_EARLY_REUSE;
	g->early = !g->hold || g->soak->fault == FAULT_REUSE;
	return fph_guest_init(&g->guest, &o);
}

static void close_session(struct guest *g)
{
	g->wire->close(g->end);
	g->end = NULL;
	g->leaving = false;
	holdings_check(&g->holdings, g->soak->board, GUEST);
}

/*
 * Reset the device, dead or alive, and take the pages back.  If it does not let go yet,
 * it is asked again in the next turn.
 */
static void let_go(struct guest *g)
{
	g->attached = false;
	g->owed = true;
	if (fph_guest_reset(&g->guest)) {
		/* A reset that the wire does not carry: the end of the connection does. */
		if (!g->wire->connected(g->end))
			g->wire->disconnect(g->end);
		return;
	}
	g->owed = false;
	guest_reclaim(g);
	if (g->held || fph_guest_held(&g->guest))
		violation(g->soak->board, "guest: %" PRIu64 " pages did not come back at reset",
			  g->held);
	if (!g->wire->connected(g->end))
		g->leaving = g->leaving || once_in(&g->rng, 2);
	if (g->leaving) {
		g->wire->disconnect(g->end);
		close_session(g);
	}
}

static void attach(struct guest *g)
{
	int err = fph_guest_attach(&g->guest);

	if (err == -EAGAIN)
		return;
	if (err) {
		if ((err == -EPROTO || err == -EOPNOTSUPP) && g->wire->connected(g->end))
			violation(g->soak->board, "guest: attach: %s", strerror(-err));
		g->wire->disconnect(g->end);
		let_go(g);
		return;
	}
	g->attached = true;
	g->round = 0;
	count(&g->soak->board->attached, 1);
}

static void connect_again(struct guest *g)
{
	if (now_ns() < g->retry_ns)
		return;
	if (g->wire->connect(g->end)) {
		g->retry_ns = now_ns() + (1 + below(&g->rng, 20)) * MS;
		return;
	}
	/*
	 * A device has one guest at a time.  As it is this one now, it has let go of the
	 * memory that the life before had shown to it.
	 */
	guest_free_before(g);
	__atomic_store_n(&g->soak->board->hold, g->hold, __ATOMIC_RELEASE);
	count(&g->soak->board->connections, 1);
	attach(g);
}

/* ------------------------------------------------------------ whims */

static void change_map(struct guest *g)
{
	uint32_t region = 1 + (uint32_t)below(&g->rng, REGIONS - 1);
	bool there = g->soak->board->plugged & 1u << region;
	int err;

	if (!g->wire->plug) {
		g->leaving = true;
		let_go(g);
		return;
	}
	if (there)
		guest_empty_region(g, region);
	err = there ? g->wire->unplug(g->end, region) : g->wire->plug(g->end, region);
	if (err == -EPROTO)
		violation(g->soak->board, "guest: region %u was refused", region);
	if (err)
		return; /* the next connection brings the map as it is now */
	if (!there)
		g->soak->board->plugged |= 1u << region;
	count(&g->soak->board->map_changes, 1);
}

static void reset_queue(struct guest *g)
{
	int err = g->wire->queue_reset(g->end);

	if (err == -EPROTO && g->wire->connected(g->end))
		violation(g->soak->board, "guest: the queue did not start again");
	if (err == 0 || err == -ECANCELED)
		count(&g->soak->board->queue_resets, 1);
	/* The guest goes on with a queue that stands still, for a while. */
	if (err == -ECANCELED && !g->reset_in)
		g->reset_in = 1 + (unsigned)below(&g->rng, 20);
}

static void whim(struct guest *g)
{
	bool reset = g->reset_in && --g->reset_in == 0;

	switch (reset ? 0 : below(&g->rng, 500)) {
	case 0:
		count(&g->soak->board->resets, 1);
		g->reset_in = 0;
		let_go(g);
		break;
	case 1:
		reset_queue(g);
		break;
	case 2:
		change_map(g);
		break;
	case 3:
		g->leaving = once_in(&g->rng, 2);
		g->wire->disconnect(g->end);
		let_go(g);
		break;
	default:
		/* Often, so that deaths in the middle of it are not rare. */
		if (g->wire->plug && once_in(&g->rng, 50))
			change_map(g);
		break;
	}
}

/* ------------------------------------------------------------ rounds */

/* A clock that stands still while we do, by SIGSTOP or with the whole machine. */
static uint64_t clock_us(struct guest *g)
{
	uint64_t now = now_ns(), since = now - g->looked_ns;

	g->looked_ns = now;
	g->clock_us += (since < 100 * MS ? since : 100 * MS) / 1000;
	return g->clock_us;
}

static void serve(struct guest *g)
{
	int rc = fph_guest_step(&g->guest, clock_us(g));

	if (rc == -EPROTO && g->wire->connected(g->end))
		violation(g->soak->board, "guest: the device broke a rule: %s",
			  fph_rule_name(fph_guest_fault(&g->guest)->rule));
	if (rc >= 0 && rc & FPH_GUEST_STALLED)
		violation(g->soak->board, "guest: nothing came back for %u s",
			  (unsigned)(STALL_US / 1000000));
	if (rc >= 0) {
		guest_reclaim(g);
		rc = rc & FPH_GUEST_FEED ? guest_feed(g) : 0;
	}
	if (rc < 0 && rc != -EAGAIN)
		let_go(g);
	else
		whim(g);
}

static void turn(struct guest *g)
{
	if (!g->end) {
		if (open_session(g))
			violation(g->soak->board, "guest: a session cannot be opened");
	} else if (g->attached && !g->wire->connected(g->end)) {
		g->wire->disconnect(g->end);
		let_go(g);
	} else if (g->owed) {
		let_go(g);
	} else if (!g->wire->connected(g->end)) {
		connect_again(g);
	} else if (!g->attached) {
		attach(g);
	} else {
		serve(g);
	}
}

/* The device asks for a pause, between two turns.  A new life finds the word still there. */
static bool is_paused(struct guest *g)
{
	struct board *board = g->soak->board;
	uint32_t request = __atomic_load_n(&board->request, __ATOMIC_ACQUIRE);

	if (request && __atomic_load_n(&board->answer, __ATOMIC_RELAXED) != request)
		__atomic_store_n(&board->answer, request, __ATOMIC_RELEASE);
	return request;
}

static bool is_ending(const struct guest *g)
{
	return __atomic_load_n(&g->soak->board->end, __ATOMIC_ACQUIRE);
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = MS }, NULL);
}

static void end(struct guest *g)
{
	g->leaving = true;
	for (int i = 0; g->end && i < 5000; i++) {
		g->wire->turn(g->end, 1);
		let_go(g);
	}
	if (g->end)
		violation(g->soak->board, "guest: the device did not let go at the end");
	guest_verify(g);
}

int guest_life(struct soak *soak, uint64_t life)
{
	static struct guest guest; /* large; a process has one */
	struct guest *g = &guest;

	g->soak = soak;
	g->rng = rng_make(soak->seed, life * 2 + GUEST);
	g->wire = soak->vhost_user ? &guest_by_vhost_user : &guest_by_shm;
	/* If the life before was paused, somebody counts on its memory standing still. */
	while (is_paused(g) && !is_ending(g))
		nap();
	guest_recover(g);
	while (!is_ending(g)) {
		if (g->end)
			g->wire->turn(g->end, (int)below(&g->rng, 2));
		if (is_paused(g)) {
			nap();
			continue;
		}
		turn(g);
		guest_work(g);
	}
	end(g);
	return 0;
}
