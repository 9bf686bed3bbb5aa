/* SPDX-License-Identifier: MIT */
/*
 * One migration: rounds in the order of <fph/device.h>, a pause, the rest, and then the
 * whole copy is held against the ghost.
 */
#include "device.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define POISON	 0x5a /* what is in the copy before anything is copied */
#define SCRIBBLE 0xa5 /* and in pages that were discarded */
#define PAUSE_MS 2000
#define POLL_MAX 64

static unsigned char *page(const struct device *d, uint64_t frame)
{
	return fph_mem_at(d->wire->mem(d->end), gpa_of(frame), PAGE);
}

/* ------------------------------------------------------------ hints */

static void apply(struct device *d, struct fph_range hint)
{
	fph_bitmap_clear(&d->dirty, hint);
}

/* The ghost knows under which id each page was given up: nothing else may come here. */
static void check_hint(struct device *d, struct fph_range hint)
{
	uint32_t id = fph_device_command(d->dev);
	uint64_t first = (hint.gpa - BASE) / PAGE;

	for (uint64_t frame = first; frame < first + hint.len / PAGE; frame++) {
		if (!frame_is_real(frame))
			violation(d->soak->board, "device: a hint of no page: 0x%" PRIx64, hint.gpa);
		else if (__atomic_load_n(&d->soak->ghost->given[frame], __ATOMIC_ACQUIRE) != id)
			violation(d->soak->board,
				  "device: page %" PRIu64 " was given up under %u, and hinted under %u",
				  frame, d->soak->ghost->given[frame], id);
	}
}

/* While its buffer was not returned, a page of a guest that holds is the device's. */
static void scribble(struct device *d, struct fph_range hint)
{
	void *at = fph_mem_at(d->wire->mem(d->end), hint.gpa, hint.len);

	if (!at || !__atomic_load_n(&d->soak->board->hold, __ATOMIC_ACQUIRE) ||
	    below(&d->rng, 2))
		return;
	memset(at, SCRIBBLE, hint.len);
	count(&d->soak->board->scribbled, hint.len / PAGE);
}

/* Returns how many hints there were. */
static int poll_hints(struct device *d)
{
	struct fph_range hints[POLL_MAX];
	int n = fph_device_poll(d->dev, hints, 1 + below(&d->rng, POLL_MAX));

	for (int i = 0; i < n; i++) {
		count(&d->soak->board->hints, 1);
		check_hint(d, hints[i]);
		scribble(d, hints[i]);
		if (d->soak->fault != FAULT_LATE)
			apply(d, hints[i]);
		else if (d->late_n < LATE_MAX)
			d->late[d->late_n++] = hints[i];
	}
	return n;
}

/* ------------------------------------------------------------ rounds */

static void sync_log(struct device *d, bool first)
{
	for (uint64_t i = 0; i < FPH_BITMAP_WORDS(FRAMES); i++)
		d->words[i] |= ghost_take(d->soak->ghost, i);
	if (first)
		fph_bitmap_set(&d->dirty, (struct fph_range){ BASE, FILE_BYTES });
}

static void end_round(struct device *d, bool first)
{
	bool open = fph_device_command(d->dev) > FPH_COMMAND_DONE;

	/* FAULT_STOP: as if hints of the round before were still good after the sync. */
	if (d->soak->fault == FAULT_STOP && open) {
		for (int i = 0; i < 20 && !device_turn(d, 1, d->life); i++)
			;
		sync_log(d, first);
		for (int i = 0; i < 100 && poll_hints(d) > 0; i++)
			;
	}
	fph_device_stop(d->dev);
	count(&d->soak->board->stops, open);
	sync_log(d, first);
	for (unsigned i = 0; i < d->late_n; i++)
		apply(d, d->late[i]);
	d->late_n = 0;
}

static void copy_some(struct device *d, uint64_t max)
{
	uint64_t first, n, at = 0;

	while (max > 0 && fph_bitmap_run(&d->dirty, at, &first, &n)) {
		n = n < max ? n : max;
		for (uint64_t frame = first; frame < first + n; frame++) {
			unsigned char *from = frame_is_real(frame) ? page(d, frame) : NULL;

			if (from) {
				memcpy(d->copy + frame * PAGE, from, PAGE);
				d->copied[frame] = true;
				count(&d->soak->board->copied, 1);
			}
		}
		fph_bitmap_clear(&d->dirty, (struct fph_range){ gpa_of(first), n * PAGE });
		max -= n;
		at = first + n;
	}
}

/* Some milliseconds in which hints come in, pages are copied, or neither. */
static int mid_round(struct device *d, uint64_t life)
{
	uint64_t turns = below(&d->rng, 40);
	bool late = d->soak->fault == FAULT_STOP;

	for (uint64_t i = 0; i < turns; i++) {
		int err = device_turn(d, (int)below(&d->rng, 2), life);

		if (err)
			return err;
		if (late) /* hints are left for when it is too late */
			continue;
		if (below(&d->rng, 4))
			poll_hints(d);
		if (once_in(&d->rng, 8))
			copy_some(d, below(&d->rng, 64));
		if (once_in(&d->rng, 200)) { /* no hint is wanted any more */
			fph_device_stop(d->dev);
			count(&d->soak->board->stops, 1);
		}
		if (once_in(&d->rng, 64))
			fph_device_ack(d->dev);
	}
	return 0;
}

static int live_round(struct device *d, uint64_t life)
{
	int err;

	end_round(d, d->rounds == 0);
	err = fph_device_start(d->dev);
	if (err == -ENOTCONN)
		return -ENOTCONN;
	if (err)
		return -ECONNRESET; /* a fault, which the next turn tells of */
	d->ids[d->rounds++] = fph_device_command_id(d->dev);
	d->soak->board->last_id = fph_device_command_id(d->dev);
	count(&d->soak->board->rounds, 1);
	err = mid_round(d, life);
	if (!err && below(&d->rng, 2))
		copy_some(d, FRAMES);
	return err;
}

/* ------------------------------------------------------------ the end */

/* A bounded wait.  Tickets are never 0, and never used twice. */
static int pause_guest(struct device *d, uint64_t life)
{
	struct board *board = d->soak->board;
	uint32_t ticket = (uint32_t)(now_ns() >> 10) | 1;
	uint64_t until = now_ns() + PAUSE_MS * MS;

	__atomic_store_n(&board->request, ticket, __ATOMIC_RELEASE);
	while (now_ns() < until) {
		int err = device_turn(d, 1, life);

		if (err)
			return err;
		if (d->soak->fault != FAULT_STOP)
			poll_hints(d);
		if (__atomic_load_n(&board->answer, __ATOMIC_ACQUIRE) == ticket)
			return 0;
	}
	return -ETIMEDOUT;
}

static bool was_given_up(const struct device *d, uint64_t frame)
{
	uint32_t id = __atomic_load_n(&d->soak->ghost->given[frame], __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < d->rounds; i++)
		if (d->ids[i] == id)
			return true;
	return false;
}

static void verify_page(struct device *d, uint64_t frame)
{
	const struct ghost *ghost = d->soak->ghost;
	uint64_t version = ghost_version(ghost, frame);
	const void *source = page(d, frame);

	if (!source)
		return;
	if (!d->copied[frame]) {
		count(&d->soak->board->left_out, 1);
		if (!was_given_up(d, frame))
			violation(d->soak->board, "page %" PRIu64 " was left out, and not given up",
				  frame);
	}
	if (ghost_state(ghost, frame) != PAGE_USED)
		return;
	count(&d->soak->board->verified, 1);
	if (!content_is(source, frame, version))
		violation(d->soak->board, "page %" PRIu64 " of the guest was destroyed", frame);
	else if (!content_is(d->copy + frame * PAGE, frame, version))
		violation(d->soak->board, "page %" PRIu64 " is not in the copy (%s, given up %u)",
			  frame, d->copied[frame] ? "an old version" : "left out",
			  ghost->given[frame]);
}

static int migrate(struct device *d, uint64_t life)
{
	uint64_t rounds = 1 + below(&d->rng, ROUNDS_MAX);
	int err = 0;

	for (uint64_t i = 0; i < rounds && !err; i++)
		err = live_round(d, life);
	if (!err && once_in(&d->rng, 10))
		return -ECANCELED;
	if (!err)
		err = pause_guest(d, life);
	if (err)
		return err;
	end_round(d, false);
	copy_some(d, FRAMES);
	for (uint64_t frame = 0; frame < FRAMES; frame++)
		if (frame_is_real(frame))
			verify_page(d, frame);
	return 0;
}

static void prepare(struct device *d)
{
	for (unsigned i = 0; i < REGIONS; i++)
		memset(d->copy + (size_t)i * STRIDE_BYTES, POISON, REGION_BYTES);
	memset(d->copied, 0, sizeof(d->copied));
	d->rounds = 0;
	d->late_n = 0;
}

void device_migrate(struct device *d)
{
	struct board *board = d->soak->board;
	uint64_t life = d->life;
	int err;

	prepare(d);
	err = migrate(d, life);
	/* Owed on every way out; and nobody waits for a device that gave up. */
	fph_device_done(d->dev);
	__atomic_store_n(&board->request, 0, __ATOMIC_RELEASE);
	if (!err)
		count(&board->migrations, 1);
	else if (err == -ECANCELED)
		count(&board->cancelled, 1);
	else if (d->rounds)
		count(&board->given_up, 1);
}
