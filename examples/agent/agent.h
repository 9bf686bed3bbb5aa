/* SPDX-License-Identifier: MIT */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "board.h"
#include "options.h"
#include "wire.h"
#include "workload.h"

#include <fph/guest.h>

struct agent {
	const struct options *options;
	struct board *board;
	struct memory mem;
	struct workload work;

	struct fph_loop *loop;
	const struct driver_wire *wire;
	void *client;
	struct fph_bus_ops bus_ops;
	struct fph_guest guest;
	struct fph_guest_slot slots[RING_SIZE];

	bool met;	   /* a VMM has accepted this life */
	bool gone;	   /* the connection ended; not seen to yet */
	bool attached;	   /* the guest role is */
	bool owed;	   /* a reset is */
	uint64_t retry_ns; /* connect no earlier */
	uint64_t backoff_ns;

	uint64_t round;	  /* that free pages are looked for for */
	uint64_t at;	  /* up to this page number */
	unsigned flushes; /* in this round */

	uint32_t ticket;    /* paused for it; 0: not paused */
	uint32_t overrun;   /* not paused for this one any more */
	uint64_t paused_ns; /* since when */
};

/* The bus around the client's; ops is the caller's memory for it. */
struct fph_bus agent_bus(struct fph_bus_ops *ops, struct fph_bus bus);
/* The next reset is one in the middle of a round. */
void agent_bus_in_reset(void);

/*
 * In agent_round.c: the guest role's share of a turn.  Returns 0, or a negative errno:
 * the device has to be reset, if the connection still stands.
 */
int agent_serve(struct agent *agent);
/* Give what a reset brought back to the allocator. */
void agent_take_back(struct agent *agent);

#endif
