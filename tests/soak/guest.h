/* SPDX-License-Identifier: MIT */
#ifndef SOAK_GUEST_H
#define SOAK_GUEST_H

#include "soak.h"
#include "wire.h"

#include <fph/guest.h>
#include <inttypes.h>

struct guest {
	struct soak *soak;
	const struct guest_wire *wire;
	struct rng rng;

	void *end; /* of the session; NULL: none */
	struct fph_guest guest;
	struct fph_guest_slot slots[RING_MAX];
	bool hold;  /* what it says: no reuse before the buffer came back */
	bool early; /* what it does */

	bool attached;
	bool owed;    /* a reset is */
	bool leaving; /* the session ends with that */
	unsigned reset_in; /* turns */
	uint64_t retry_ns;
	uint64_t looked_ns; /* when clock_us was put forward */
	uint64_t clock_us;
	struct holdings holdings;

	uint64_t held;	 /* pages that are out of use */
	uint32_t round;	 /* that free pages are looked for for */
	uint64_t cursor; /* up to this frame */
};

/* In guest_pages.c. */

/* Finish what a kill cut short. */
void guest_recover(struct guest *g);
/* Some operations on pages: allocate, write, verify, free. */
void guest_work(struct guest *g);
/* Look at every page in use. */
void guest_verify(struct guest *g);
/* No page of that region is in use any more, nor will be. */
void guest_empty_region(struct guest *g, uint32_t region);
/* Any map, for a wire that cannot change it. */
void guest_plug_at_random(struct guest *g);
/* Take what the device is finished with. */
void guest_reclaim(struct guest *g);
/* Take what was hinted by a life before. */
void guest_free_before(struct guest *g);
/* Hint some free pages, or end the round.  Returns 0 or a negative errno. */
int guest_feed(struct guest *g);

#endif
