/* SPDX-License-Identifier: MIT */
#ifndef BENCH_RINGS_H
#define BENCH_RINGS_H

#include <fph/types.h>
#include <stdatomic.h>

/*
 * Rings to compare with, each no more than its name says: no check of what the other end
 * wrote, no notification, no reset.  Ring of RING_ENTRIES, 16 bytes each, both ends poll.
 */
#define RING_ENTRIES 256u

/* Hints on their way through a ring; the sums tell whether all arrived, each once. */
struct lane {
	void *ring;	  /* of the kind that the functions are for */
	unsigned batch;	  /* hints that are shown together; at most 64 */
	uint64_t hints;	  /* a multiple of the batch */
	uint64_t arrived; /* sum of the addresses */
};

#define LANE_BATCH_MAX 64u

struct ring_kind {
	const char *name;
	void *(*open)(void);
	void (*producer)(void *lane);
	void (*consumer)(void *lane);
};

/* Single producer, single consumer: two counters and entries, what is shown is consumed. */
extern const struct ring_kind ring_spsc;
/* A split ring as Linux's driver and QEMU's device use it: each element is published. */
extern const struct ring_kind ring_textbook;
/* A split and a packed ring that publish a batch at once. */
extern const struct ring_kind ring_split;
extern const struct ring_kind ring_packed;

/* One line of the cache, so that neighbours do not disturb each other. */
#define LINE 64

void *ring_memory(size_t bytes);

#endif
