/* SPDX-License-Identifier: MIT */
/*
 * Iterative pre-copy with free page hints.  The order of a round is the one of
 * <fph/device.h>: stop, read the dirty log, start, then clear what is hinted.
 */
#include "run.h"

#include <errno.h>
#include <fph/device.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BURST_NS   2000000u /* how far ahead of its bandwidth the link may be */
#define SETTLE_MAX 5

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int link_failed(int err)
{
	fprintf(stderr, "fph-migrate: the destination is gone: %s\n", strerror(-err));
	return err;
}

/* Send n pages from page number `first` on: each stretch of zero or other pages at once. */
static int send_run(struct run *run, uint64_t first, unsigned n)
{
	struct round *round = run->round;
	const void *page[LINK_BATCH];
	bool zero[LINK_BATCH];
	uint64_t gpa = run->dirty.base + first * PAGE;
	unsigned from = 0;
	int err = 0;

	for (unsigned i = 0; i < n; i++) {
		page[i] = run->ops->page
				  ? run->ops->page(run->guest, gpa + i * PAGE)
				  : fph_mem_at(run->ops->mem(run->guest), gpa + i * PAGE, PAGE);
		zero[i] = page_is_zero(page[i]);
	}
	for (unsigned i = 1; i <= n && !err; i++) {
		if (i < n && zero[i] == zero[from])
			continue;
		if (zero[from])
			err = link_zero(run->link, gpa + from * PAGE, i - from);
		else
			err = link_pages(run->link, gpa + from * PAGE, page + from, i - from);
		memset(run->result->fate + first + from, zero[from] ? FATE_ZERO : FATE_SENT,
		       i - from);
		*(zero[from] ? &round->zero : &round->sent) += i - from;
		from = i;
	}
	round->looked += n;
	return err ? link_failed(err) : 0;
}

/* Wait as long as a link of that bandwidth would, with an eye on the guest. */
static int throttle(struct run *run, uint64_t bytes)
{
	uint64_t now = now_ns();
	int err = 0;

	if (!run->link->bandwidth)
		return run->paused ? 0 : serve(run, 0);
	if (run->link_free_at < now)
		run->link_free_at = now;
	run->link_free_at += bytes * 1000000000u / run->link->bandwidth;
	do {
		uint64_t ahead = run->link_free_at > now ? run->link_free_at - now : 0;
		struct timespec rest = {(time_t)(ahead / 1000000000u),
					(long)(ahead % 1000000000u)};

		if (run->paused && ahead > BURST_NS)
			nanosleep(&rest, NULL);
		else if (!run->paused)
			err = serve(run, ahead > BURST_NS ? 1 : 0);
		now = now_ns();
	} while (err >= 0 && !interrupted() && run->link_free_at > now + BURST_NS);
	return err;
}

/* Send all pages marked, in order; hints that come meanwhile unmark what is ahead. */
static int send_marked(struct run *run)
{
	uint64_t first, n, page = 0;
	int err = 0;

	while (err >= 0 && fph_bitmap_run(&run->dirty, page, &first, &n)) {
		uint64_t bytes = run->link->bytes;
		struct fph_range range;

		if (n > LINK_BATCH)
			n = LINK_BATCH;
		range = (struct fph_range){run->dirty.base + first * PAGE, n * PAGE};
		fph_bitmap_clear(&run->dirty, range);
		page = first + n;
		err = send_run(run, first, (unsigned)n);
		if (err >= 0)
			err = throttle(run, run->link->bytes - bytes);
	}
	if (err < 0)
		return err;
	err = link_flush(run->link);
	return err ? link_failed(err) : 0;
}

static int sync_log(struct run *run, bool first)
{
	uint64_t start = now_ns();
	int64_t n = first ? run->ops->begin(run->guest, &run->dirty)
			  : run->ops->sync(run->guest, &run->dirty);

	run->result->log_ns += now_ns() - start;
	if (n < 0)
		fprintf(stderr, "fph-migrate: the dirty log failed: %s\n", strerror((int)-n));
	if (run->late_n > 0) { /* --break order: hints of the round before this sync */
		apply_hints(run, run->late, run->late_n);
		run->late_n = 0;
	}
	return n < 0 ? (int)n : 0;
}

static void open_round(struct run *run, bool last)
{
	run->round = &run->result->rounds[run->result->n++];
	*run->round = (struct round){.last = last};
}

/* The newest round is over. */
static void close_round(struct run *run)
{
	struct round *total = &run->result->total;
	const struct round *round = run->round;

	run->result->total_ns += round->ns;
	total->looked += round->looked;
	total->zero += round->zero;
	total->sent += round->sent;
	total->hinted += round->hinted;
	total->bytes += round->bytes;
}

/* One round, its dirty log being read already. */
static int send_round(struct run *run)
{
	uint64_t start = now_ns(), bytes = run->link->bytes;
	int err = 0;

	if (run->hints && !run->paused) {
		int started = fph_device_start(run->device);

		if (started < 0) {
			fprintf(stderr, "fph-migrate: no hints, everything is sent: %s\n",
				started == -EPROTO
					? fph_rule_name(fph_device_fault(run->device)->rule)
					: "the guest has no free page hinting");
			run->hints = false;
		} else {
			err = await_hints(run);
		}
	}
	if (err >= 0)
		err = send_marked(run);
	run->round->ns += now_ns() - start;
	run->round->bytes += run->link->bytes - bytes;
	return err;
}

/* Does what is left fit into the downtime allowed? */
static bool fits(const struct run *run, uint64_t pages)
{
	double bandwidth = (double)run->link->bandwidth;

	if (bandwidth == 0) /* then as fast as it went so far */
		bandwidth = (double)run->result->total.bytes * 1e9 /
			    ((double)run->result->total_ns + 1);
	return (double)(pages * PAGE) <= bandwidth * run->config->downtime_ms / 1000;
}

static int live_rounds(struct run *run, void (*round_done)(void *, const struct result *),
		       void *ctx)
{
	for (unsigned i = 0; i < run->config->rounds; i++) {
		int err;

		open_round(run, false);
		/* No hint of the round before may be applied after this ... */
		fph_device_stop(run->device);
		/* ... because this marks what was written since, and re-arms ... */
		err = sync_log(run, i == 0);
		if (err < 0)
			return err;
		run->round->dirty = fph_bitmap_count(&run->dirty);
		if (i > 0 && fits(run, run->round->dirty)) {
			run->result->n--;
			return 0;
		}
		/* ... and only then the guest is asked for pages it has free now. */
		err = send_round(run);
		if (err < 0)
			return err;
		close_round(run);
		round_done(ctx, run->result);
	}
	return 0;
}

/*
 * A guest that says it is paused may still be about to write: user-mode Linux answers
 * "stopped", and then goes to sleep.  So the last round is over when a sync finds
 * nothing.
 */
static int settle(struct run *run)
{
	for (int i = 0; i < SETTLE_MAX; i++) {
		uint64_t dirty;
		int err = sync_log(run, false);

		if (err < 0)
			return err;
		dirty = fph_bitmap_count(&run->dirty);
		run->round->dirty += dirty;
		if (!dirty)
			return 0;
		err = send_round(run);
		if (err < 0)
			return err;
	}
	fprintf(stderr, "fph-migrate: the paused guest still writes to its memory\n");
	return -EBUSY;
}

static int last_round(struct run *run)
{
	uint64_t start, log = run->result->log_ns;
	int err = run->ops->pause(run->guest);

	start = now_ns(); /* till now the guest ran */
	if (err < 0) {
		fprintf(stderr, "fph-migrate: the guest cannot be paused: %s\n",
			strerror(-err));
		return err;
	}
	run->paused = true;
	open_round(run, true);
	fph_device_stop(run->device);
	err = settle(run);
	run->result->downtime_ns = now_ns() - start - (run->result->log_ns - log);
	return err;
}

static void count_hints(struct run *run, int sign)
{
	struct fph_device_stats stats = FPH_DEVICE_STATS_INIT;
	struct result *result = run->result;

	fph_device_total_stats(run->device, &stats);
	result->kicks += (uint64_t)sign * run->ops->kicks(run->guest);
	result->interrupts += (uint64_t)sign * stats.interrupts;
	result->hint_ranges += (uint64_t)sign * stats.hints;
	result->hint_bytes += (uint64_t)sign * stats.bytes;
}

static int set_up(struct run *run)
{
	const struct fph_mem *mem = run->ops->mem(run->guest);
	const struct fph_region *last = &mem->regions[mem->count - 1];
	struct result *result = run->result;
	bool late = run->config->breakage == BREAK_ORDER && run->hints;
	int err;

	result->base = mem->regions[0].gpa;
	result->span_pages = (last->gpa + last->len - result->base) / PAGE;
	run->dirty = (struct fph_bitmap){
		.words = calloc(FPH_BITMAP_WORDS(result->span_pages), sizeof(uint64_t)),
		.pages = result->span_pages,
		.base = result->base,
		.shift = 12,
	};
	result->fate = calloc(result->span_pages, 1);
	if (late)
		run->late = calloc(MAX_LATE, sizeof(*run->late));
	if (!run->dirty.words || !result->fate || (late && !run->late)) {
		fprintf(stderr, "fph-migrate: out of memory\n");
		return -ENOMEM;
	}
	err = link_begin(run->link, result->base, result->span_pages * PAGE);
	return err ? link_failed(err) : 0;
}

static int damage(struct run *run)
{
	const unsigned char *sent = memrchr(run->result->fate, FATE_SENT,
					    run->result->span_pages);

	return sent ? link_damage(run->link,
				  run->dirty.base + (uint64_t)(sent - run->result->fate) * PAGE)
		    : 0;
}

int migrate(struct result *result, const struct guest_ops *ops, struct guest *guest,
	    struct link *link, const struct migrate_config *config, bool hints,
	    void (*round_done)(void *ctx, const struct result *result), void *ctx)
{
	struct run run = {
		.result = result,
		.ops = ops,
		.guest = guest,
		.link = link,
		.config = config,
		.device = ops->device(guest),
		.hints = hints,
	};
	int err;

	*result = (struct result){.hints = hints, .free_bytes = ops->free_bytes(guest)};
	count_hints(&run, -1);
	err = set_up(&run);
	if (!err)
		err = live_rounds(&run, round_done, ctx);
	if (err >= 0)
		err = last_round(&run);
	if (err >= 0) {
		close_round(&run);
		count_hints(&run, +1);
		result->hint_ns = hint_time(&run);
		round_done(ctx, result);
		for (uint64_t i = 0; i < result->span_pages; i++)
			result->skipped += result->fate[i] == FATE_HINTED;
		if (config->breakage == BREAK_DESTINATION)
			err = damage(&run);
	}
	if (err >= 0)
		err = prove(result, ops, guest, link, config);
	/* Owed on every way out: the guest gets its pages back.  BH-16 */
	fph_device_done(run.device);
	if (run.paused)
		ops->resume(guest);
	free(run.dirty.words);
	free(run.late);
	return err < 0 ? err : 0;
}
