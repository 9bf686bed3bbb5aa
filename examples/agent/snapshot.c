/* SPDX-License-Identifier: MIT */
/*
 * A snapshot of memory that another process works in.  The order of a round is the one
 * in <fph/device.h>; nothing else keeps the copy faithful.
 */
#include "vmm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS_MAX 6	/* with the agent running */
#define FEW_PAGES  256u /* that is paused for */
#define COPY_PAGES 64u	/* between two looks at the hints */
#define DRIVER_MS  1000 /* the driver may take to come up */
#define PAUSE_MS   2000 /* and to pause */

static int fail(struct snapshot *snap, int err, const char *why)
{
	if (!snap->why)
		snap->why = why;
	return err;
}

int snapshot_turn(struct snapshot *snap, int timeout_ms)
{
	int err = vmm_turn(snap->vmm, timeout_ms, snap->life);

	if (err == -ECONNRESET)
		return fail(snap, err,
			    snap->vmm->away ? snap->vmm->why : "the agent reset the device");
	return err ? fail(snap, err, err == -EINTR ? "interrupted" : "the event loop failed")
		   : 0;
}

/* Where the memory is now; its shape is the one that the snapshot began with. */
static unsigned char *memory(const struct snapshot *snap)
{
	struct layout now;
	unsigned char *at = vmm_memory(snap->vmm, &now);

	return at && now.pages == snap->layout.pages ? at : NULL;
}

static struct fph_range pages(uint64_t first, uint64_t n)
{
	return (struct fph_range){BASE + first * PAGE, n * PAGE};
}

/*
 * Take the agent's dirty log: each word is exchanged, so no bit is lost or seen twice.
 * The first time only that; everything is dirty then.
 */
static int sync_log(struct snapshot *snap)
{
	const struct layout *layout = &snap->layout;
	unsigned char *at = memory(snap);
	uint64_t *log;

	if (!at)
		return fail(snap, -ECONNRESET, "the agent's memory changed its shape");
	log = (uint64_t *)(void *)(at + layout->log * PAGE);
	for (uint64_t i = 0; i < FPH_BITMAP_WORDS(layout->pages); i++)
		snap->dirty.words[i] |= __atomic_exchange_n(&log[i], 0, __ATOMIC_ACQ_REL);
	if (snap->totals.rounds == 0)
		fph_bitmap_set(&snap->dirty, pages(0, layout->pages));
	/* Mailbox, log and rings belong to this connection, not to the memory. */
	fph_bitmap_clear(&snap->dirty, pages(CONTROL_PAGE, layout->table - CONTROL_PAGE));
	snap->totals.rounds++;
	snap->totals.marked += fph_bitmap_count(&snap->dirty);
	return 0;
}

/* Show the round.  A driver that is coming up is waited for, the first time. */
static int start_round(struct snapshot *snap)
{
	int err = fph_device_start(snap->vmm->device);

	for (int i = 0; err == -ENOTCONN && snap->totals.rounds == 1 && i < DRIVER_MS; i++) {
		int rc = snapshot_turn(snap, 1);

		if (rc)
			return rc;
		err = fph_device_start(snap->vmm->device);
	}
	if (err) { /* no hints, then; all is copied */
		snap->hints = false;
		return 0;
	}
	step(VMM_ROUND_STARTED);
	return snapshot_await_hints(snap);
}

static int copy_run(struct snapshot *snap, uint64_t first, uint64_t n)
{
	const unsigned char *at = memory(snap);
	size_t done = 0, len = n * PAGE;

	if (!at)
		return fail(snap, -ECONNRESET, "the agent's memory changed its shape");
	while (done < len) {
		ssize_t wrote = pwrite(snap->fd, at + first * PAGE + done, len - done,
				       (off_t)(first * PAGE + done));

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return fail(snap, wrote ? -errno : -EIO, "the file cannot be written");
		done += (size_t)wrote;
	}
	fph_bitmap_clear(&snap->dirty, pages(first, n));
	snap->totals.copied += n;
	return 0;
}

/* Copy what is marked; hints that come in meanwhile spare the rest. */
static int copy_marked(struct snapshot *snap)
{
	uint64_t at = 0, first, n;

	while (fph_bitmap_run(&snap->dirty, at, &first, &n)) {
		int err;

		n = n < COPY_PAGES ? n : COPY_PAGES;
		err = copy_run(snap, first, n);
		if (!err)
			err = snapshot_turn(snap, 0);
		if (err)
			return err;
		step(VMM_COPYING);
		if (snap->hints && !snap->paused_at)
			snapshot_poll(snap);
		at = first + n;
	}
	return 0;
}

/* Returns 1 if so little was new that the rest is for the pause, 0 for another round. */
static int live_round(struct snapshot *snap)
{
	uint64_t before = snap->totals.marked;
	int err;

	/* No hint of the round before may be applied after this ... */
	fph_device_stop(snap->vmm->device);
	step(snap->totals.rounds ? VMM_ROUND_STOPPED : STEP_NONE);
	/* ... because this marks what was written since ... */
	err = sync_log(snap);
	if (err)
		return err;
	step(VMM_LOG_TAKEN);
	snapshot_late(snap);
	/* ... and only then the agent is asked for pages it has free now. */
	if (snap->hints)
		err = start_round(snap);
	if (!err)
		err = copy_marked(snap);
	if (err)
		return err;
	step(VMM_ROUND_COPIED);
	return snap->totals.marked - before <= FEW_PAGES;
}

static int live_rounds(struct snapshot *snap)
{
	int rc = 0;

	for (int i = 0; i < ROUNDS_MAX && !rc; i++)
		rc = live_round(snap);
	return rc < 0 ? rc : 0;
}

static struct control *control(const struct snapshot *snap)
{
	unsigned char *at = memory(snap);

	return at ? (struct control *)(void *)(at + CONTROL_PAGE * PAGE) : NULL;
}

static void request(const struct snapshot *snap, uint32_t ticket)
{
	struct control *box = control(snap);

	if (box)
		__atomic_store_n(&box->request, ticket, __ATOMIC_RELEASE);
}

static bool is_paused(const struct snapshot *snap)
{
	struct control *box = control(snap);

	return box && __atomic_load_n(&box->answer, __ATOMIC_ACQUIRE) == snap->vmm->ticket;
}

/* A bounded wait; the mailbox is the agent's, and may say anything. */
static int pause_agent(struct snapshot *snap)
{
	/* Never 0, and not one that another life of this process may have used. */
	snap->vmm->ticket = (uint32_t)(board_now() >> 10) | 1;
	request(snap, snap->vmm->ticket);
	step(VMM_PAUSE_ASKED);
	for (int i = 0; i < PAUSE_MS; i++) {
		int err = snapshot_turn(snap, 1);

		if (err)
			return err;
		if (snap->hints)
			snapshot_poll(snap);
		if (is_paused(snap)) {
			snap->paused_at = board_now();
			step(VMM_PAUSED);
			return 0;
		}
	}
	return fail(snap, -ETIMEDOUT, "the agent did not pause in time");
}

static int last_round(struct snapshot *snap)
{
	int err = pause_agent(snap);

	if (err)
		return err;
	fph_device_stop(snap->vmm->device);
	step(VMM_LAST_STOP);
	err = sync_log(snap);
	if (err)
		return err;
	step(VMM_LAST_LOG);
	snapshot_late(snap);
	err = copy_marked(snap);
	if (err)
		return err;
	step(VMM_LAST_COPIED);
	/* It runs again if it was kept waiting for too long; then this is no copy of a moment.
	 */
	return is_paused(snap) ? 0 : fail(snap, -ETIMEDOUT, "the agent did not stay paused");
}

static int set_up(struct snapshot *snap)
{
	const struct layout *layout = &snap->layout;
	bool late = snap->vmm->options->break_order && snap->hints;

	if (!vmm_memory(snap->vmm, &snap->layout))
		return fail(snap, -EINVAL, "the agent's memory has an unknown shape");
	snap->dirty = (struct fph_bitmap){
		.words = calloc(FPH_BITMAP_WORDS(layout->pages), sizeof(uint64_t)),
		.pages = layout->pages,
		.base = BASE,
		.shift = 12,
	};
	if (late)
		snap->late = calloc(SNAPSHOT_LATE_MAX, sizeof(*snap->late));
	if (!snap->dirty.words || (late && !snap->late))
		return fail(snap, -ENOMEM, "out of memory");
	if (ftruncate(snap->fd, (off_t)(layout->pages * PAGE)))
		return fail(snap, -errno, "the file cannot be made that large");
	snap->totals.pages = layout->pages - (layout->table - CONTROL_PAGE);
	return 0;
}

int snapshot_take(struct snapshot *snap, struct vmm *vmm, int fd, bool hints)
{
	struct stat st;
	int err;

	*snap = (struct snapshot){.vmm = vmm, .life = vmm->life, .fd = fd, .hints = hints};
	snap->start_ns = board_now();
	err = set_up(snap);
	step(VMM_BEGUN);
	if (!err)
		err = live_rounds(snap);
	if (!err)
		err = last_round(snap);
	/* Owed on every way out: the agent gets its pages back, and goes on.  BH-16 */
	fph_device_done(vmm->device);
	step(VMM_DONE_SHOWN);
	request(snap, 0);
	step(VMM_RESUMED);
	snap->totals.ns = board_now() - snap->start_ns;
	if (snap->paused_at)
		snap->totals.paused_ns = board_now() - snap->paused_at;
	if (!err && fstat(fd, &st) == 0)
		snap->totals.bytes = (uint64_t)st.st_blocks * 512;
	free(snap->dirty.words);
	free(snap->late);
	return err;
}
