/* SPDX-License-Identifier: MIT */
#ifndef MIGRATE_RUN_H
#define MIGRATE_RUN_H

#include "migrate.h"

#define MAX_LATE 65536u
#define BATCHES	 4096u

/* One migration: private to migrate.c (rounds) and hints.c. */
struct run {
	struct result *result;
	struct round *round; /* now open */
	const struct guest_ops *ops;
	struct guest *guest;
	struct link *link;
	const struct migrate_config *config;
	struct fph_device *device;
	struct fph_bitmap dirty;
	bool hints;
	bool paused;
	uint64_t link_free_at;	/* when the link, at its bandwidth, has sent all it was given */
	struct fph_range *late; /* --break order */
	size_t late_n;
	uint64_t batch_ns[BATCHES]; /* time of a hint, of the latest batches */
	size_t batches;
};

/*
 * Serve the guest for at most timeout_ms and take in what it hints.  Returns how many
 * hints, -EINTR (interrupted()), or a negative errno after one line.
 */
int serve(struct run *run, int timeout_ms);
/* Serve while hints keep coming; bounded.  Returns 0 or as serve(). */
int await_hints(struct run *run);
/* Take the pages off the list.  Returns how many ns clearing the bitmap took. */
uint64_t apply_hints(struct run *run, const struct fph_range *hints, size_t n);
/* ns a hint took, here; the median over batches: one that was preempted says nothing. */
uint64_t hint_time(struct run *run);

#endif
