/* SPDX-License-Identifier: MIT */
#ifndef BENCH_ENDS_H
#define BENCH_ENDS_H

#include <fph/bitmap.h>
#include <fph/device.h>
#include <fph/guest.h>
#include <stdatomic.h>

/* The unit that Linux hints: the largest block of its allocator. */
#define BLOCK (UINT64_C(4) << 20)

/* Where the pages of a simulated guest begin.  Nothing is mapped there: hints name, no more. */
#define PAGES_GPA (UINT64_C(1) << 32)

/* Formats of the ring, as FPH_F_* to be offered besides. */
struct format {
	const char *name;
	uint64_t offer;
};

extern const struct format formats[4]; /* split, split in-order, packed, packed in-order */

/* Both roles in one process, the guest's bus the device itself. */
struct ends {
	struct fph_device device;
	struct fph_guest guest;
	struct fph_guest_slot *slots;
	struct fph_region *regions; /* the ring, then the pages */
	struct fph_mem mem;
	struct fph_bus bus; /* the device's */
	uint16_t queue;

	/* With ends on two threads: what the guest's bus shows of the device. */
	bool apart;
	_Alignas(64) _Atomic uint32_t irq;
	_Alignas(64) _Atomic uint32_t doorbells;
};

struct ends_opts {
	uint64_t offer;
	uint16_t queue;	  /* entries */
	uint16_t chain;	  /* ranges a chain */
	uint64_t memory;  /* bytes of pages */
	unsigned regions; /* that they are cut into; 0 means 1 */
	/*
	 * The ends will be on two threads: only hint, flush, step, reclaim at the one and
	 * poll and ack at the other.  A bus of atomics, as fast as a transport can be.
	 */
	bool apart;
};

/* Make both, attach, and open a round that both know of. */
struct ends *ends_open(const struct ends_opts *o);
void ends_close(struct ends *e);

/* A bitmap of the pages, all marked; and mark them all again. */
struct fph_bitmap ends_bitmap(uint64_t memory);
void ends_bitmap_fill(struct fph_bitmap *map);
void ends_bitmap_free(struct fph_bitmap *map);

/* Block number i of a guest, in any order: 4 MiB each. */
static inline struct fph_range block(uint64_t i)
{
	return (struct fph_range){ PAGES_GPA + i * BLOCK, BLOCK };
}

/* Nanoseconds of a hint in ends_pass(), all of it: both ends and the bitmap. */
struct pass {
	struct ends *ends;
	struct fph_bitmap *bitmap; /* NULL: nothing is cleared */
	uint64_t blocks;
	uint64_t stride;  /* of block numbers, below `blocks` and coprime to it: 1 is in order */
	unsigned batch;	  /* hints a flush, and a poll; at most PASS_BATCH_MAX */
	bool device_only; /* count the time of poll and bitmap only */
};

#define PASS_BATCH_MAX 256u

/*
 * Hint every block of the guest once, poll each batch, clear it in the bitmap, return it,
 * reclaim it; on one thread.  Returns nanoseconds.
 */
uint64_t ends_pass(const struct pass *p);

#endif
