/* SPDX-License-Identifier: MIT */
#include "unix/link.h"

#include <errno.h>
#include <fph/wire.h>

#define CALL(l, verb, ...) \
	((l)->ops->end((l)->ctx, (l)->registers.ops->verb((l)->registers.ctx, __VA_ARGS__)))
#define FORWARD(l, verb, ...) ((l)->ops->begin((l)->ctx) ? CALL(l, verb, __VA_ARGS__) : -EIO)

static int link_features(void *ctx, uint64_t *offered)
{
	struct fph_link *l = ctx;

	return FORWARD(l, features, offered);
}

static int link_accept(void *ctx, uint64_t accepted)
{
	struct fph_link *l = ctx;

	return FORWARD(l, accept, accepted);
}

static int link_status(void *ctx, uint8_t *status)
{
	struct fph_link *l = ctx;

	if (l->ops->begin(l->ctx))
		return CALL(l, status, status);
	if (!l->reset_asked)
		return -EIO;
	*status = l->ops->is_over(l->ctx) ? 0 : FPH_STATUS_NEEDS_RESET;
	return 0;
}

static int link_set_status(void *ctx, uint8_t status)
{
	struct fph_link *l = ctx;

	l->reset_asked = status == 0;
	if (l->ops->begin(l->ctx))
		return CALL(l, set_status, status);
	return status == 0 ? 0 : -EIO;
}

static int link_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct fph_link *l = ctx;

	return FORWARD(l, config, offset, buf, len);
}

static int link_set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct fph_link *l = ctx;

	return FORWARD(l, set_config, offset, buf, len);
}

static int link_vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	struct fph_link *l = ctx;

	return FORWARD(l, vq_max, queue, max);
}

static int link_vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	struct fph_link *l = ctx;

	return FORWARD(l, vq_enable, queue, place);
}

static int link_vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	struct fph_link *l = ctx;

	return FORWARD(l, vq_disable, queue, index);
}

static int link_notify(void *ctx, uint16_t queue)
{
	struct fph_link *l = ctx;

	return FORWARD(l, notify, queue);
}

static int link_notify_data(void *ctx, uint16_t queue, uint16_t next)
{
	struct fph_link *l = ctx;

	return FORWARD(l, notify_data, queue, next);
}

static int link_take_irq(void *ctx, uint32_t *irq)
{
	struct fph_link *l = ctx;
	int rc = FORWARD(l, take_irq, irq);

	if (rc == 0 && l->ops->taken)
		l->ops->taken(l->ctx);
	return rc;
}

static const struct fph_bus_ops bus_ops = {
	.size = sizeof(bus_ops),
	.features = link_features,
	.accept = link_accept,
	.status = link_status,
	.set_status = link_set_status,
	.config = link_config,
	.set_config = link_set_config,
	.vq_max = link_vq_max,
	.vq_enable = link_vq_enable,
	.vq_disable = link_vq_disable,
	.notify = link_notify,
	.take_irq = link_take_irq,
	.notify_data = link_notify_data,
};

struct fph_bus fph_link_bus(struct fph_link *link)
{
	return (struct fph_bus){ &bus_ops, link };
}
