/* SPDX-License-Identifier: MIT */
#ifndef BALLOON_COPY_H
#define BALLOON_COPY_H

#include "balloon.h"

#include <pthread.h>
#include <stdatomic.h>

/*
 * Work on whole memory, in a thread of its own: a disk may take its time, and the device
 * has to answer QEMU within seconds.  It works on descriptors and not on mappings, so a
 * client that goes or shortens its file is an error and no signal.
 */

enum copy_kind {
	COPY_SUMS,  /* checksum each page */
	COPY_PAGES, /* the snapshot */
	COPY_SYNC,  /* to the disk */
};

/* Pages, by what became of them; they add up to all pages. */
struct copy_counts {
	uint64_t holes; /* never written: not read */
	uint64_t zero;	/* all zero: a hole in the copy */
	uint64_t free;	/* hinted and unchanged: a hole in the copy */
	uint64_t copied;
	uint64_t copied_hinted; /* of those */
	uint64_t zero_hinted;	/* of zero and holes */
};

struct copy {
	enum copy_kind kind;
	int from, to;
	uint64_t pages;
	const struct fph_bitmap *hinted; /* NULL: nothing is */
	uint64_t *sums; /* COPY_SUMS: written.  COPY_PAGES: read; NULL: leave out no hint */

	struct copy_counts counts;
	int err; /* 0 or a negative errno */

	/* Private. */
	pthread_t thread;
	int bell;
	atomic_bool ended, cancel;
	_Atomic uint64_t at; /* pages done */
};

/*
 * Do it, serving meanwhile; progress on a terminal under that name, if any.  Returns its
 * result; -EINTR if the program is to end, -ECANCELED if the hints of the round became
 * void and `life` says that this matters.
 */
int copy_run(struct copy *copy, struct balloon *balloon, const char *what, bool life);

#endif
