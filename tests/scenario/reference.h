/* SPDX-License-Identifier: MIT */
#ifndef SCENARIO_REFERENCE_H
#define SCENARIO_REFERENCE_H

#include "pair.h"

/*
 * What a poll must hand out, by the plainest reading of a split ring that there is: one
 * entry, one descriptor, one page range after the other; no bulk, no copies, no state but
 * where it is.  It reads the ring of an honest pair and writes nothing.  Begins as { 0 }.
 */
struct reference {
	bool down;	/* a reset waits for the batch in hand */
	bool round;	/* an id is shown */
	bool open;	/* and the driver said START of it, and nothing since */
	uint16_t next;	/* entry of the available ring to read next */
	uint16_t fresh; /* entries before this one came before the id was shown */
	bool walking;	/* in the midst of a chain */
	bool stale;	/* of the chain in hand */
	uint16_t desc;
	struct fph_range rest; /* of the hint in hand */

	int rc; /* what the poll must answer */
	struct fph_range out[PAIR_MOST];
};

/* Before and after each call of the pair.  Returns what is wrong with the answer, or NULL. */
void reference_before(struct reference *r, const struct pair *p, const struct pair_op *op);
const char *reference_after(struct reference *r, const struct pair_op *op,
			    const struct pair_answer *a);

#endif
