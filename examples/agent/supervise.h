/* SPDX-License-Identifier: MIT */
#ifndef AGENT_SUPERVISE_H
#define AGENT_SUPERVISE_H

#include "board.h"
#include "options.h"

struct supervisor {
	const struct options *options;
	struct board *board;
	int board_fd;
	int memory_fd;
	char dir[64];
	char socket[96];
	char snapshot[96];

	pid_t pid[2];	    /* by side */
	uint64_t killed[2]; /* lives that ended by SIGKILL */
	uint64_t sent;	    /* kills from here */
	bool died;	    /* --die-at has been reached */
	uint64_t rng;
	uint64_t kill_ns; /* the next; 0: when both are attached again */

	uint64_t start_ns;
	uint64_t calm_ns;   /* the last kill, or when the newcomer was served */
	uint64_t attached;  /* as it was at the last kill */
	bool served;	    /* since the last kill */
	uint64_t snapshots; /* as it was when that was */
	uint64_t progress;  /* snapshots, the last time there were more */
	uint64_t progress_ns;
	const char *failure;
};

/* What a run comes to.  Returns an exit status. */
int report(const struct supervisor *super);

#endif
