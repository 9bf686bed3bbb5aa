/* SPDX-License-Identifier: MIT */
#ifndef SOAK_DEVICE_H
#define SOAK_DEVICE_H

#include "soak.h"
#include "wire.h"

#include <fph/bitmap.h>

#define ROUNDS_MAX 4u
#define LATE_MAX   4096u

struct device {
	struct soak *soak;
	const struct device_wire *wire;
	struct rng rng;
	struct fph_loop *loop;
	void *end;
	struct fph_device *dev;
	struct holdings holdings;
	uint64_t life; /* changes when a guest comes, resets, changes its memory, or leaves */
	bool faulted;  /* and that was said */

	/* of the migration at hand */
	unsigned char *copy; /* as guest memory */
	uint64_t words[FPH_BITMAP_WORDS(FRAMES)];
	struct fph_bitmap dirty;
	bool copied[FRAMES];
	uint32_t ids[ROUNDS_MAX];
	unsigned rounds;
	struct fph_range late[LATE_MAX]; /* FAULT_LATE: hints not applied yet */
	unsigned late_n;
};

/* The loop once.  Returns 0, or -ECONNRESET: `life` is not the present one any more. */
int device_turn(struct device *d, int timeout_ms, uint64_t life);
/* Take hints and give them back, outside of rounds. */
void device_drain(struct device *d);
/* In migrate.c: copy the memory of the guest that is there, and check the copy. */
void device_migrate(struct device *d);

#endif
