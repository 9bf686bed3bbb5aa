/* SPDX-License-Identifier: MIT */
#ifndef FPH_ORDERING_EXPLORE_H
#define FPH_ORDERING_EXPLORE_H

#include "ordering.h"

#include <ostream>

/* Between the table (explore.cpp) and relacy's memory (memory.cpp). */

struct barrier {
	char letter;
	const char *role;
	const char *where; /* function of the library */
	const char *pairs;
	bool fence;
};

extern const barrier barriers[];
extern const unsigned barrier_count;

enum weakness {
	WEAK_NOT,
	WEAK_GONE,    /* relaxed, or no fence */
	WEAK_ACQ_REL, /* a fence, and not a full one */
};

/* Places in the library that were passed. */
struct place {
	const char *file;
	int line;
	bool known; /* there is an entry in barriers[] */
};

extern place places[];
extern unsigned place_count;

struct result {
	bool holds;
	unsigned long long executions;
	const char *why; /* what did not hold, or data_race, or another failure of relacy's */
};

extern const char *const data_race;

/* Where nothing is written. */
extern std::ostream nothing;

/*
 * Go through all executions of a scenario, without that barrier if it is not NULL, until one
 * fails.  What leads to the failure goes to `story`, which must not grow a string: on relacy's
 * threads new and delete are relacy's.
 */
result explore(int which, const order_ring &ring, const barrier *weakened, weakness how,
	       std::ostream &story);

#endif
