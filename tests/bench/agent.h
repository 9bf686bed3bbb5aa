/* SPDX-License-Identifier: MIT */
#ifndef BENCH_AGENT_H
#define BENCH_AGENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The guest end in a process of its own, over shared memory: a client of the server whose
 * socket is at `path`.  Told what to do by a page that both processes see.
 */
#define AGENT_MEMORY (UINT64_C(8) << 30) /* of a file that is never written */
#define AGENT_GPA    (UINT64_C(1) << 32)
#define AGENT_PAGES  (AGENT_GPA + (UINT64_C(64) << 20)) /* the ring stands before */
#define AGENT_BATCH  64u

struct agent_board {
	char path[108];
	uint16_t queue;

	/* Orders, set while no round is open. */
	_Atomic uint64_t quota;	   /* hints of a round; then STOP */
	_Atomic uint64_t pause_us; /* sleep before each batch */
	_Atomic uint64_t spin_us;  /* look for that long before sleeping */

	/* Answers. */
	_Atomic bool ready;
	_Atomic uint64_t flushing; /* when the last batch began to be hinted */
	/* After DONE: that round's id, stored last. */
	_Atomic uint32_t finished;
	_Atomic uint64_t kicks;
	_Atomic uint64_t cpu_ns;
};

/* Does not return but when the server went. */
void agent_main(void *board);

#endif
