/* SPDX-License-Identifier: MIT */
/*
 * A bus around the client's, for the steps in the middle of attach and reset.  Only
 * three verbs are replaced, and they get the client's own context.
 */
#include "agent.h"

static const struct fph_bus_ops *real;
static bool in_reset;

static int accept_features(void *ctx, uint64_t accepted)
{
	int rc = real->accept(ctx, accepted);

	step(AGENT_FEATURES);
	return rc;
}

static int set_status(void *ctx, uint8_t status)
{
	int rc = real->set_status(ctx, status);

	if (status & FPH_STATUS_DRIVER_OK)
		step(AGENT_DRIVER_OK);
	if (status == 0 && in_reset)
		step(AGENT_RESET_SENT);
	return rc;
}

static int vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	int rc = real->vq_enable(ctx, queue, place);

	step(AGENT_QUEUE);
	return rc;
}

void agent_bus_in_reset(void)
{
	in_reset = true;
}

struct fph_bus agent_bus(struct fph_bus_ops *ops, struct fph_bus bus)
{
	real = bus.ops;
	*ops = *real;
	ops->accept = accept_features;
	ops->set_status = set_status;
	ops->vq_enable = vq_enable;
	return (struct fph_bus){ops, bus.ctx};
}
