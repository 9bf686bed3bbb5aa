/* SPDX-License-Identifier: MIT */
#ifndef AGENT_STEPS_H
#define AGENT_STEPS_H

#include <stdbool.h>

struct board;

/*
 * Where a side can be told to kill itself (--die-at), for the tests: id, name, what is
 * demanded of the other side.  MEETS: the two were connected, so it must notice.
 * The order is the one in which they are reached.
 */
#define AGENT_STEPS(STEP)                                   \
	STEP(AGENT_CONNECTING, "connecting", ALONE)         \
	STEP(AGENT_CONNECTED, "connected", MEETS)           \
	STEP(AGENT_HELD_FREED, "held-freed", MEETS)         \
	STEP(AGENT_FEATURES, "features-accepted", MEETS)    \
	STEP(AGENT_QUEUE, "queue-placed", MEETS)            \
	STEP(AGENT_DRIVER_OK, "driver-ok", MEETS)           \
	STEP(AGENT_ATTACHED, "attached", MEETS)             \
	STEP(AGENT_ROUND_SEEN, "round-seen", MEETS)         \
	STEP(AGENT_TAKEN, "pages-taken", MEETS)             \
	STEP(AGENT_QUEUED, "hint-queued", MEETS)            \
	STEP(AGENT_FLUSHED, "first-flush", MEETS)           \
	STEP(AGENT_FEEDING, "feeding", MEETS)               \
	STEP(AGENT_STOP_SENT, "stop-sent", MEETS)           \
	STEP(AGENT_RECLAIMED, "reclaimed", MEETS)           \
	STEP(AGENT_FREED, "freed", MEETS)                   \
	STEP(AGENT_WRITING, "writing", MEETS)               \
	STEP(AGENT_WRITTEN, "written", MEETS)               \
	STEP(AGENT_LOGGED, "logged", MEETS)                 \
	STEP(AGENT_PAUSING, "pausing", MEETS)               \
	STEP(AGENT_PAUSED, "paused", MEETS)                 \
	STEP(AGENT_RESUMED, "resumed", MEETS)               \
	STEP(AGENT_RELEASED, "released", MEETS)             \
	STEP(AGENT_RESET_SENT, "reset-sent", MEETS)         \
	STEP(AGENT_RESET_COMPLETE, "reset-complete", MEETS) \
	STEP(AGENT_RESET_RECLAIMED, "reset-reclaimed", MEETS)

#define VMM_STEPS(STEP)                                 \
	STEP(VMM_LISTENING, "listening", ALONE)         \
	STEP(VMM_ACCEPTED, "client-accepted", ALONE)    \
	STEP(VMM_BEGUN, "snapshot-begun", ALONE)        \
	STEP(VMM_LOG_TAKEN, "log-taken", ALONE)         \
	STEP(VMM_ROUND_STARTED, "round-started", MEETS) \
	STEP(VMM_HINTS_POLLED, "hints-polled", MEETS)   \
	STEP(VMM_HINTS_APPLIED, "hints-applied", MEETS) \
	STEP(VMM_COPYING, "copying", MEETS)             \
	STEP(VMM_ROUND_COPIED, "round-copied", MEETS)   \
	STEP(VMM_ROUND_STOPPED, "round-stopped", MEETS) \
	STEP(VMM_PAUSE_ASKED, "pause-requested", MEETS) \
	STEP(VMM_PAUSED, "paused", MEETS)               \
	STEP(VMM_LAST_STOP, "last-stop", MEETS)         \
	STEP(VMM_LAST_LOG, "last-log-taken", MEETS)     \
	STEP(VMM_LAST_COPIED, "last-copied", MEETS)     \
	STEP(VMM_DONE_SHOWN, "done-shown", MEETS)       \
	STEP(VMM_RESUMED, "resumed", MEETS)             \
	STEP(VMM_CHECKED, "checked", MEETS)             \
	STEP(VMM_NAMED, "named", MEETS)

enum step {
	STEP_NONE,
#define ID(id, name, demand) id,
	AGENT_STEPS(ID) VMM_STEPS(ID)
#undef ID
		STEP_COUNT
};

/* By "agent:NAME" or "vmm:NAME"; STEP_NONE if there is no such step. */
enum step step_by_name(const char *name);
/* "agent:NAME" or "vmm:NAME". */
const char *step_name(enum step step);
bool step_is_agent(enum step step);
/* Must the other side have noticed? */
bool step_meets(enum step step);

/*
 * From now on this process sends itself that signal there, once.  The time of a SIGKILL
 * goes to the board.
 */
void step_signal_at(enum step step, int signal, struct board *board);
/* Writes to pages count from here on: till now no round was open. */
void step_in_round(void);
/* Does the step at which this process dies need a reset in the middle of a round? */
bool step_wants_reset(void);

/* This process has come to a step. */
void step(enum step step);

#endif
