/* SPDX-License-Identifier: MIT */
#ifndef AGENT_WORKLOAD_H
#define AGENT_WORKLOAD_H

#include "memory.h"

/*
 * The allocator over an agent's memory and what it is used for: pages are allocated,
 * rewritten and freed all the time.  What must survive is in the table; what is here
 * can be made anew from it.
 */
struct workload {
	struct memory *mem;
	unsigned char *kind; /* of each page, see workload.c */
	uint64_t *used;	     /* live pages, in no order */
	uint64_t used_n;
	uint64_t free_n;
	uint64_t back_n;   /* free, came back from the device, kept until release */
	uint64_t before_n; /* hinted by a life before */
	uint64_t cursor;
	uint64_t rng;
	uint64_t operations;
	uint64_t lost; /* live pages found to be wrong */
};

/* Make the lists from the table.  Returns 0 or -ENOMEM. */
int workload_init(struct workload *work, struct memory *mem, uint64_t seed);
void workload_fini(struct workload *work);

/* A few operations, each complete: between two calls no page is half-written. */
void workload_run(struct workload *work);

/*
 * Take the next run of free pages at or after page number *at out of use, to hint it.
 * Returns false, and nothing is taken, if there is none.
 */
bool workload_take(struct workload *work, uint64_t *at, struct fph_range *out);
/* The range was not hinted after all; its old content is still there. */
void workload_untake(struct workload *work, struct fph_range range);
/* The device is finished with it: may be reused, but is not hinted again yet. */
void workload_back(struct workload *work, struct fph_range range);
/* All that came back is free like any other. */
void workload_release(struct workload *work);
/* The connection of the life before is over: its pages are free.  Returns how many. */
uint64_t workload_free_before(struct workload *work);

#endif
