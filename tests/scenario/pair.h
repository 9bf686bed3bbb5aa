/* SPDX-License-Identifier: MIT */
#ifndef SCENARIO_PAIR_H
#define SCENARIO_PAIR_H

#include <fph/device.h>
#include <fph/guest.h>

/*
 * Both ends over loopback, in one format of the ring, and every call that can be made of
 * them as a number: so that two pairs can be led through the same life, and must answer alike.
 */
#define PAIR_RING     16u
#define PAIR_RING_GPA UINT64_C(0x10000)
#define PAIR_RING_LEN UINT64_C(0x2000)
#define PAIR_GPA      UINT64_C(0x100000)
#define PAIR_PAGE     UINT64_C(0x1000)
#define PAIR_PAGES    64u /* half in each of two regions that touch; nobody touches them */
#define PAIR_MOST     24u

struct pair {
	struct fph_device dev;
	struct fph_guest guest;
	struct fph_guest_slot slots[PAIR_RING];
	struct fph_region regions[3];
	struct fph_mem mem, less;
	unsigned doorbells, interrupts;
	_Alignas(4096) unsigned char ring[PAIR_RING_LEN];
};

enum pair_call {
	PAIR_START,
	PAIR_STOP,
	PAIR_DONE,
	PAIR_POLL,
	PAIR_ACK,
	PAIR_STEP,
	PAIR_HINT,
	PAIR_FLUSH,
	PAIR_END,
	PAIR_RECLAIM,
	PAIR_RESET,
	PAIR_MAP, /* n odd: without the upper half of the pages */
	PAIR_CALLS,
};

struct pair_op {
	enum pair_call what;
	unsigned n; /* 1 to PAIR_MOST: ranges hinted, or room for an answer */
	struct fph_range ranges[PAIR_MOST];
};

/* Bytes that nothing says are 0, so that answers can be compared by memcmp(). */
struct pair_answer {
	int rc;
	uint32_t command;
	struct fph_range out[PAIR_MOST];
	uint64_t held;
	uint64_t over;
};

/* Both ends attached.  Returns 0, or what failed did. */
int pair_set_up(struct pair *p, uint64_t offer, uint16_t batch);
struct pair_answer pair_carry_out(struct pair *p, const struct pair_op *op);

#endif
