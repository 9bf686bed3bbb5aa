/* SPDX-License-Identifier: MIT */
/* The hints of a snapshot's round: into the bitmap, that nothing more is asked of them. */
#include "vmm.h"

#include <errno.h>
#include <string.h>

#define BATCH	    64
#define QUIET_MS    50	/* hints have dried up when none came for this long */
#define PATIENCE_MS 500 /* and are waited for no longer than this, in all */
#define LINGER_MS   50	/* --break order: time to reuse what was hinted */

static void apply(struct snapshot *snap, const struct fph_range *hints, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snap->totals.skipped += fph_bitmap_clear(&snap->dirty, hints[i]);
}

/*
 * Take what hints there are.  The next poll acknowledges the batch before, so it has
 * been applied by then.  Returns how many; an error of the device ends the hints only.
 */
int snapshot_poll(struct snapshot *snap)
{
	struct fph_range hints[BATCH];
	int taken = 0;

	/* Bounded: what a busy driver adds meanwhile is taken the next time. */
	for (int i = 0; i < 256; i++) {
		int n = fph_device_poll(snap->vmm->device, hints, BATCH);

		if (n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		step(VMM_HINTS_POLLED);
		taken += n;
		snap->totals.hints += (uint64_t)n;
		for (int k = 0; k < n; k++)
			snap->totals.hinted += hints[k].len;
		if (!snap->late) {
			apply(snap, hints, (size_t)n);
		} else if (snap->late_n + (size_t)n <= SNAPSHOT_LATE_MAX) {
			memcpy(snap->late + snap->late_n, hints, (size_t)n * sizeof(*hints));
			snap->late_n += (size_t)n;
		}
		step(VMM_HINTS_APPLIED);
	}
	return taken;
}

/* What --break order is for: these pages may have been written since the hint. */
void snapshot_late(struct snapshot *snap)
{
	apply(snap, snap->late, snap->late_n);
	snap->late_n = 0;
}

/*
 * Wait for the first hints while they keep coming, so that no free page is copied
 * before its hint.  Only speed depends on it.
 */
int snapshot_await_hints(struct snapshot *snap)
{
	uint64_t start = board_now(), last = start, now = start;

	while (!fph_device_round_over(snap->vmm->device) && now - last < QUIET_MS * 1000000u &&
	       now - start < PATIENCE_MS * UINT64_C(1000000)) {
		int err = snapshot_turn(snap, 1);

		if (err)
			return err;
		now = board_now();
		if (snapshot_poll(snap) > 0)
			last = now;
	}
	for (int i = 0; snap->late && i < LINGER_MS; i++) {
		int err = snapshot_turn(snap, 1);

		if (err)
			return err;
		snapshot_poll(snap);
	}
	return 0;
}
