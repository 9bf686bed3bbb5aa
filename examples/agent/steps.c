/* SPDX-License-Identifier: MIT */
#include "steps.h"
#include "board.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum demand { ALONE, MEETS };

static const struct {
	const char *name;
	enum demand demand;
} steps[STEP_COUNT] = {
#define AGENT(id, name, demand) [id] = {"agent:" name, demand},
#define VMM(id, name, demand)	[id] = {"vmm:" name, demand},
	AGENT_STEPS(AGENT) VMM_STEPS(VMM)
#undef AGENT
#undef VMM
};

static enum step last; /* of this process */
static int last_signal;
static struct board *told;
static bool in_round;

enum step step_by_name(const char *name)
{
	for (int i = STEP_NONE + 1; i < STEP_COUNT; i++)
		if (!strcmp(steps[i].name, name))
			return (enum step)i;
	return STEP_NONE;
}

const char *step_name(enum step step)
{
	return steps[step].name;
}

bool step_is_agent(enum step step)
{
	return step < VMM_LISTENING;
}

bool step_meets(enum step step)
{
	return steps[step].demand == MEETS;
}

void step_signal_at(enum step step, int signal, struct board *board)
{
	last = step;
	last_signal = signal;
	told = board;
}

void step_in_round(void)
{
	in_round = true;
}

bool step_wants_reset(void)
{
	return last >= AGENT_RESET_SENT && last <= AGENT_RESET_RECLAIMED;
}

void step(enum step step)
{
	bool page = step >= AGENT_WRITING && step <= AGENT_LOGGED;

	if (step == STEP_NONE || step != last || (page && !in_round))
		return;
	last = STEP_NONE;
	if (last_signal == SIGKILL)
		board_killed(told, step_is_agent(step) ? SIDE_AGENT : SIDE_VMM);
	kill(getpid(), last_signal);
}
