/* SPDX-License-Identifier: MIT */
#ifndef BALLOON_SNAPSHOT_H
#define BALLOON_SNAPSHOT_H

#include "copy.h"

#include <limits.h>

/* A snapshot, and what it took. */
struct snapshot {
	const char *file;
	bool by_qmp;   /* a round first, then the guest is stopped; else it is stopped already */
	char why[160]; /* it came to nothing, in words; "" else */

	uint64_t pages;
	bool hints;	 /* there was a round whose hints counted */
	bool over;	 /* and the driver came to its end */
	bool trusted;	 /* hinted pages were left out for that */
	uint64_t hinted; /* pages */
	struct copy_counts counts;
	uint64_t ns, stopped_ns, copy_ns, sync_ns;
};

/*
 * Take it.  FILE.partial gets its name when it is complete and on the disk.  Whatever
 * happens, the guest goes on and the driver gets its pages back.  Returns 0, or a negative
 * errno with `why`.
 */
int snapshot_take(struct balloon *balloon, struct snapshot *snapshot);

#endif
