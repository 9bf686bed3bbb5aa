/* SPDX-License-Identifier: MIT */
#ifndef FPH_PROOF_BUS_H
#define FPH_PROOF_BUS_H

#include <fph/transport.h>

/* A bus that answers anything, and proves that it is asked with live memory. */

static int any_features(void *ctx, uint64_t *offered)
{
	(void)ctx;
	*offered = nondet_u64();
	return ANY(int);
}

static int any_accept(void *ctx, uint64_t accepted)
{
	(void)ctx;
	(void)accepted;
	return ANY(int);
}

static int any_status(void *ctx, uint8_t *status)
{
	(void)ctx;
	*status = (uint8_t)nondet_u64();
	return ANY(int);
}

static int any_set_status(void *ctx, uint8_t status)
{
	(void)ctx;
	(void)status;
	return ANY(int);
}

static int any_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	(void)ctx;
	(void)offset;
	PROVE(__CPROVER_w_ok(buf, len));
	__CPROVER_havoc_slice(buf, len);
	return ANY(int);
}

static int any_set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	(void)ctx;
	PROVE(__CPROVER_r_ok(buf, len));
	PROVE(offset <= 16 && len <= 4);
	return ANY(int);
}

static int any_vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	(void)ctx;
	(void)queue;
	*max = (uint16_t)nondet_u64();
	return ANY(int);
}

static bool enabled_anything;

static int any_vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	(void)ctx;
	PROVE(__CPROVER_r_ok(place, sizeof(*place)));
	PROVE(queue < 5);
	enabled_anything = true;
	return ANY(int);
}

static int any_vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	(void)ctx;
	PROVE(queue < 5);
	*index = (uint16_t)nondet_u64();
	return ANY(int);
}

static int any_notify(void *ctx, uint16_t queue)
{
	(void)ctx;
	(void)queue;
	return ANY(int);
}

static int any_take_irq(void *ctx, uint32_t *irq)
{
	(void)ctx;
	*irq = (uint32_t)nondet_u64();
	return ANY(int);
}

static int any_notify_data(void *ctx, uint16_t queue, uint16_t next)
{
	(void)ctx;
	(void)queue;
	(void)next;
	return ANY(int);
}

static const struct fph_bus_ops any_ops = {
	.size = sizeof(any_ops),
	.features = any_features,
	.accept = any_accept,
	.status = any_status,
	.set_status = any_set_status,
	.config = any_config,
	.set_config = any_set_config,
	.vq_max = any_vq_max,
	.vq_enable = any_vq_enable,
	.vq_disable = any_vq_disable,
	.notify = any_notify,
	.take_irq = any_take_irq,
	.notify_data = any_notify_data,
};

static struct fph_bus any_bus(void)
{
	return (struct fph_bus){ .ops = &any_ops };
}

#endif
