/* SPDX-License-Identifier: MIT */
#ifndef AGENT_BOARD_H
#define AGENT_BOARD_H

#include <fph/types.h>
#include <sys/types.h>

/*
 * What the two processes write down for the supervisor, in memory of its own that no
 * kill takes away.  Counters only; nothing is steered by it.
 */
enum side { SIDE_AGENT, SIDE_VMM };

/* Over the snapshots of one kind. */
struct totals {
	uint64_t snapshots;
	uint64_t rounds;
	uint64_t pages;	  /* of the memory, once a snapshot: rings and log left out */
	uint64_t marked;  /* looked at: all at first, then what the dirty log says */
	uint64_t copied;  /* of these */
	uint64_t skipped; /* of these, because of a hint */
	uint64_t hints;
	uint64_t hinted;  /* bytes in them */
	uint64_t bytes;	  /* that the files take up */
	uint64_t checked; /* live pages checked in the copies */
	uint64_t ns;
	uint64_t paused_ns;
};

enum { WITHOUT_HINTS, WITH_HINTS };

struct tally {
	struct totals kinds[2];
};

struct board {
	/* Either side, about the other. */
	uint64_t killed_at[2]; /* CLOCK_MONOTONIC, ns; by side */
	uint64_t noticed[2];   /* how often the end of the other was noticed; by who noticed */
	uint64_t notice_ns[2]; /* and the longest time from a kill to that */

	uint64_t attached; /* times that agent and VMM were both ready, by the agent */
	uint64_t served;   /* clients that came, by the VMM */

	uint64_t lives; /* of agents that had recovered */
	uint64_t verified;
	uint64_t lost;
	uint64_t redone;
	uint64_t held_before; /* hinted by a life before, and freed */
	uint64_t operations;
	uint64_t overrun; /* the VMM kept the agent paused for too long */
	uint64_t bad_end; /* an agent ended with pages that it did not get back */

	uint64_t abandoned;
	uint64_t late;	     /* of these: the agent did not pause in time */
	uint64_t unfaithful; /* snapshots that failed their check */
	/* Two, so that a kill never leaves half an entry: see board_add(). */
	struct tally tally[2];
	uint64_t current;
};

/* A memfd with an empty board, or a negative errno. */
int board_create(void);
/* Map it, or make one of this process's own if fd is negative.  NULL if out of memory. */
struct board *board_open(int fd);
void board_close(struct board *board);

uint64_t board_now(void);
void board_count(uint64_t *counter, uint64_t n);
uint64_t board_read(const uint64_t *counter);

void board_killed(struct board *board, enum side side);
/* This side meets another life of the other: what was not noticed till now never will be. */
void board_met(struct board *board, enum side side);
/* This side has noticed that the other is gone. */
void board_noticed(struct board *board, enum side side);

/* One more snapshot: all of it counts, or nothing. */
void board_add(struct board *board, int kind, const struct totals *one);
struct tally board_tally(const struct board *board);

#endif
