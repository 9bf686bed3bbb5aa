/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUIET_MS    100u  /* hints have dried up when none came for this long */
#define PATIENCE_MS 1000u /* and are waited for no longer than this, in all */

/* What the picture shows and the proof needs: which dirty pages a hint covers. */
static void note_fate(struct run *run, struct fph_range hint)
{
	uint64_t first, n, page = (hint.gpa - run->dirty.base) / PAGE;
	uint64_t end = page + hint.len / PAGE;

	while (fph_bitmap_run(&run->dirty, page, &first, &n) && first < end) {
		if (n > end - first)
			n = end - first;
		memset(run->result->fate + first, FATE_HINTED, n);
		page = first + n;
	}
}

uint64_t apply_hints(struct run *run, const struct fph_range *hints, size_t n)
{
	uint64_t start;

	for (size_t i = 0; i < n; i++)
		note_fate(run, hints[i]);
	start = now_ns();
	for (size_t i = 0; i < n; i++)
		run->round->hinted += fph_bitmap_clear(&run->dirty, hints[i]);
	return now_ns() - start;
}

static void take_in(struct run *run, const struct fph_range *hints, size_t n, uint64_t poll_ns)
{
	if (!run->late) {
		uint64_t ns = poll_ns + apply_hints(run, hints, n);

		run->batch_ns[run->batches++ % BATCHES] = ns / n;
	} else if (run->late_n + n <= MAX_LATE) {
		memcpy(run->late + run->late_n, hints, n * sizeof(hints[0]));
		run->late_n += n;
	}
}

int serve(struct run *run, int timeout_ms)
{
	struct fph_range hints[64];
	int taken = 0, err = run->ops->serve(run->guest, timeout_ms);

	if (interrupted())
		return -EINTR;
	if (err < 0) {
		fprintf(stderr, "fph-migrate: the guest is gone: %s\n", strerror(-err));
		return err;
	}
	/* Bounded: what a busy driver adds meanwhile is taken the next time. */
	for (int i = 0; i < 1024; i++) {
		uint64_t start = now_ns(), ns;
		int n = fph_device_poll(run->device, hints, sizeof(hints) / sizeof(hints[0]));

		ns = now_ns() - start;
		if (n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		taken += n;
		take_in(run, hints, (size_t)n, ns);
	}
	return taken;
}

/*
 * The first hints come in well under the time it takes to send a gigabyte: wait for
 * them while they keep coming, so that no free page is sent before its hint.  Only
 * speed depends on it.
 */
int await_hints(struct run *run)
{
	uint64_t start = now_ns(), last = start, now = start;

	while (!fph_device_round_over(run->device) && now - last < QUIET_MS * 1000000u &&
	       now - start < PATIENCE_MS * 1000000u) {
		int n = serve(run, 1);

		if (n < 0)
			return n;
		now = now_ns();
		if (n > 0)
			last = now;
	}
	return 0;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

uint64_t hint_time(struct run *run)
{
	size_t n = run->batches < BATCHES ? run->batches : BATCHES;

	qsort(run->batch_ns, n, sizeof(run->batch_ns[0]), by_size);
	return n > 0 ? run->batch_ns[n / 2] : 0;
}
