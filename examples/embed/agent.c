/* SPDX-License-Identifier: MIT */
/* How a guest agent embeds the guest role: what it does at each interrupt. */
#include "agent.h"

#include <errno.h>

#define BATCH 32

/*
 * Returns 1 if it wants to be called again at once, 0 if at the next interrupt or
 * in some 100 ms; or an error: -EPROTO asks for fph_guest_reset() and attach.
 */
int agent_wake(struct agent *agent, uint64_t now_us)
{
	struct fph_range batch[BATCH];
	int n, fit, wants = fph_guest_step(&agent->fph, now_us);

	while ((n = (int)fph_guest_reclaim(&agent->fph, batch, BATCH)) > 0)
		pages_give(agent->pages, batch, n); /* the device is done with them */
	if (wants < 0 || !(wants & FPH_GUEST_FEED))
		return wants < 0 ? wants : 0;

	fit = 0;
	n = pages_take(agent->pages, batch, BATCH);
	if (n > 0)
		fit = fph_guest_hint(&agent->fph, batch, (size_t)n);
	if (fit < n) /* the ring is full, or the round was called off */
		pages_give(agent->pages, batch + (fit > 0 ? fit : 0), n - (fit > 0 ? fit : 0));
	/* One doorbell for the batch, or STOP when there are no more free pages. */
	wants = n > 0 ? fph_guest_flush(&agent->fph) : fph_guest_end(&agent->fph);
	if (wants < 0 && wants != -EAGAIN)
		return wants;
	/* A full ring may be full of what came back already: see to that first. */
	return fit == BATCH || (fph_guest_step(&agent->fph, now_us) & FPH_GUEST_RECLAIM);
}
