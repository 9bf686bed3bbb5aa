/* SPDX-License-Identifier: MIT */
/* What the agent does with the guest role while it is attached. */
#include "agent.h"

#include <errno.h>

#define BATCH	     8
#define PAUSE_MAX_NS UINT64_C(5000000000)

/* Give back what the device is finished with. */
static void reclaim(struct agent *agent)
{
	struct fph_range back[64];
	int n;

	while ((n = fph_guest_reclaim(&agent->guest, back, 64)) > 0) {
		step(AGENT_RECLAIMED);
		for (int i = 0; i < n; i++)
			workload_back(&agent->work, back[i]);
		step(AGENT_FREED);
	}
}

void agent_take_back(struct agent *agent)
{
	reclaim(agent);
	workload_release(&agent->work);
	agent->round = 0;
}

/* Returns 1 if the batch is on its way, 0 if free pages or the ring are at their end. */
static int feed_batch(struct agent *agent)
{
	struct fph_range runs[BATCH];
	uint64_t from[BATCH];
	int n, fit;

	for (n = 0; n < BATCH; n++) {
		from[n] = agent->at;
		if (!workload_take(&agent->work, &agent->at, &runs[n]))
			break;
	}
	if (n == 0) {
		int err = fph_guest_end(&agent->guest);

		if (!err)
			step(AGENT_STOP_SENT);
		return err;
	}
	step(AGENT_TAKEN);
	fit = fph_guest_hint(&agent->guest, runs, (size_t)n);
	/* The ring is full, or the round was called off. */
	for (int i = n; i > (fit > 0 ? fit : 0); i--) {
		workload_untake(&agent->work, runs[i - 1]);
		agent->at = from[i - 1];
	}
	if (fit < 0)
		return fit;
	step(AGENT_QUEUED);
	fit = fit < n ? 0 : 1;
	n = fph_guest_flush(&agent->guest);
	if (n < 0)
		return n;
	step(++agent->flushes > 1 ? AGENT_FEEDING : AGENT_FLUSHED);
	step_in_round();
	return fit;
}

static int feed(struct agent *agent)
{
	int rc = 1;

	if (agent->round != fph_guest_command_id(&agent->guest)) {
		agent->round = fph_guest_command_id(&agent->guest);
		agent->at = agent->mem.layout.first;
		agent->flushes = 0;
		step(AGENT_ROUND_SEEN);
	}
	/* Bounded by the ring: what does not fit waits for the next turn. */
	while (rc > 0) {
		rc = feed_batch(agent);
		if (agent->flushes > 1 && step_wants_reset())
			return -ECANCELED;
	}
	return rc == -EAGAIN ? 0 : rc;
}

static void resume(struct agent *agent)
{
	struct control *control = memory_control(&agent->mem);

	agent->ticket = 0;
	__atomic_store_n(&control->answer, 0, __ATOMIC_RELEASE);
}

/*
 * The VMM may ask for a pause, between two operations of the workload.  While it lasts
 * no page and no word of the table is written.
 */
static void mind_pause(struct agent *agent)
{
	struct control *control = memory_control(&agent->mem);
	uint32_t request = __atomic_load_n(&control->request, __ATOMIC_ACQUIRE);

	if (agent->ticket) {
		bool overrun = board_now() - agent->paused_ns > PAUSE_MAX_NS;

		if (request == agent->ticket && !overrun)
			return;
		if (overrun) {
			board_count(&agent->board->overrun, 1);
			agent->overrun = agent->ticket;
		}
		resume(agent);
		step(AGENT_RESUMED);
		return;
	}
	if (!request || request == agent->overrun)
		return;
	step(AGENT_PAUSING);
	agent->ticket = request;
	agent->paused_ns = board_now();
	memory_stamp(&agent->mem, request);
	__atomic_store_n(&control->answer, request, __ATOMIC_RELEASE);
	step(AGENT_PAUSED);
}

int agent_serve(struct agent *agent)
{
	int wants = fph_guest_step(&agent->guest, board_now() / 1000);

	if (wants < 0)
		return wants;
	mind_pause(agent);
	if (agent->ticket)
		return 0;
	reclaim(agent);
	if (wants & FPH_GUEST_STALLED)
		return -ETIMEDOUT;
	if (wants & FPH_GUEST_RELEASE && agent->work.back_n) {
		workload_release(&agent->work);
		step(AGENT_RELEASED);
	}
	return wants & FPH_GUEST_FEED ? feed(agent) : 0;
}
