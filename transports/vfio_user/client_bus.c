/* SPDX-License-Identifier: MIT */
#include "client.h"
#include <errno.h>
#include <string.h>

/* ------------------------------------------------------------ accesses */

static int load(struct fph_vfio_user_client *c, uint32_t region, uint64_t offset, uint32_t len,
		uint32_t *value)
{
	struct vfio_region_access a = { offset, region, len }, back;
	struct vfio_request r = { .command = VFIO_REGION_READ, .body = &a, .len = sizeof(a) };
	int rc = fph_vfio_client_ask(c, &r, sizeof(a) + len);

	if (rc < 0)
		return rc == -EREMOTEIO ? -EIO : rc;
	memcpy(&back, c->conn.body, sizeof(back));
	if (back.count != len || c->conn.len != sizeof(a) + len)
		return fph_vfio_client_because(c, -EPROTO, "the server read %u bytes instead of %u",
					       back.count, len);
	*value = 0;
	for (uint32_t i = 0; i < len; i++)
		*value |= (uint32_t)c->conn.body[sizeof(a) + i] << 8 * i;
	return 0;
}

static int store(struct fph_vfio_user_client *c, uint32_t region, uint64_t offset, uint32_t len,
		 uint32_t value)
{
	struct vfio_region_access a = { offset, region, len };
	unsigned char bytes[4];
	struct vfio_request r = {
		.command = VFIO_REGION_WRITE,
		.body = &a,
		.len = sizeof(a),
		.data = bytes,
		.data_len = len,
	};
	int rc;

	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (unsigned char)(value >> 8 * i);
	if ((c->opts.flags & FPH_VFIO_USER_POSTED) && region != VFIO_REGION_CONFIG)
		return fph_vfio_client_post(c, &r);
	rc = fph_vfio_client_ask(c, &r, 0);
	return rc == -EREMOTEIO ? -EIO : rc;
}

int fph_vfio_client_config_read(void *ctx, uint32_t offset, uint32_t len, uint32_t *value)
{
	struct fph_vfio_user_client *c = ctx;

	c->total.config++;
	return load(c, VFIO_REGION_CONFIG, offset, len, value);
}

int fph_vfio_client_config_write(void *ctx, uint32_t offset, uint32_t len, uint32_t value)
{
	struct fph_vfio_user_client *c = ctx;

	c->total.config++;
	return store(c, VFIO_REGION_CONFIG, offset, len, value);
}

int fph_vfio_client_bar_read(void *ctx, uint32_t bar, uint64_t offset, uint32_t len,
			     uint32_t *value)
{
	struct fph_vfio_user_client *c = ctx;

	c->total.bar++;
	return load(c, bar, offset, len, value);
}

int fph_vfio_client_bar_write(void *ctx, uint32_t bar, uint64_t offset, uint32_t len,
			      uint32_t value)
{
	struct fph_vfio_user_client *c = ctx;

	c->total.bar++;
	return store(c, bar, offset, len, value);
}

/* ------------------------------------------------------------ the bus */

/* What broke a connection is seen here, in the verb that it broke. */
static int after(struct fph_vfio_user_client *c, int rc)
{
	bool fatal = rc == -ETIMEDOUT || rc == -ECONNRESET || rc == -EPIPE || rc == -ENOBUFS ||
		     rc == -E2BIG || rc == -ENOMEM || (rc == -EPROTO && c->why[0]);

	if (fatal)
		fph_vfio_client_leave(c, true);
	return rc;
}

/* Each verb has timeout_ms for itself, whatever it waits for. */
#define FORWARD(c, verb, ...)                                                                      \
	((c)->phase != VFIO_UP ?                                                                   \
		 -EIO :                                                                            \
		 ((c)->why[0] = '\0', (c)->deadline_ms = fph_vfio_now_ms() + (c)->opts.timeout_ms, \
		  after((c), (c)->registers.ops->verb((c)->registers.ctx, __VA_ARGS__))))

static int bus_features(void *ctx, uint64_t *offered)
{
	struct fph_vfio_user_client *c = ctx;

	return FORWARD(c, features, offered);
}

static int bus_accept(void *ctx, uint64_t accepted)
{
	struct fph_vfio_user_client *c = ctx;

	return FORWARD(c, accept, accepted);
}

/* G-13, G22: without a connection a reset is complete once nobody touches the memory. */
static int bus_status(void *ctx, uint8_t *status)
{
	struct fph_vfio_user_client *c = ctx;

	if (c->phase == VFIO_UP)
		return FORWARD(c, status, status);
	if (!c->reset_asked)
		return -EIO;
	fph_vfio_client_settle(c);
	*status = c->phase == VFIO_IDLE ? 0 : FPH_STATUS_NEEDS_RESET;
	return 0;
}

static int bus_set_status(void *ctx, uint8_t status)
{
	struct fph_vfio_user_client *c = ctx;

	c->reset_asked = status == 0;
	if (c->phase != VFIO_UP && status == 0)
		return 0;
	return FORWARD(c, set_status, status);
}

static int bus_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct fph_vfio_user_client *c = ctx;

	return FORWARD(c, config, offset, buf, len);
}

static int bus_set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct fph_vfio_user_client *c = ctx;

	return FORWARD(c, set_config, offset, buf, len);
}

static int bus_vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	struct fph_vfio_user_client *c = ctx;

	return FORWARD(c, vq_max, queue, max);
}

static int bus_vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	struct fph_vfio_user_client *c = ctx;

	return FORWARD(c, vq_enable, queue, place);
}

static int bus_vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	struct fph_vfio_user_client *c = ctx;

	return FORWARD(c, vq_disable, queue, index);
}

static int bus_notify(void *ctx, uint16_t queue)
{
	struct fph_vfio_user_client *c = ctx;

	return FORWARD(c, notify, queue);
}

static int bus_notify_data(void *ctx, uint16_t queue, uint16_t next)
{
	struct fph_vfio_user_client *c = ctx;

	return FORWARD(c, notify_data, queue, next);
}

static int bus_take_irq(void *ctx, uint32_t *irq)
{
	struct fph_vfio_user_client *c = ctx;
	int rc = FORWARD(c, take_irq, irq);

	/* The ISR was read, so the line is low; from here on it may rise again. */
	if (rc == 0 && c->intx_fired)
		after(c, fph_vfio_client_unmask(c));
	return rc;
}

static const struct fph_bus_ops bus_ops = {
	.size = sizeof(bus_ops),
	.features = bus_features,
	.accept = bus_accept,
	.status = bus_status,
	.set_status = bus_set_status,
	.config = bus_config,
	.set_config = bus_set_config,
	.vq_max = bus_vq_max,
	.vq_enable = bus_vq_enable,
	.vq_disable = bus_vq_disable,
	.notify = bus_notify,
	.take_irq = bus_take_irq,
	.notify_data = bus_notify_data,
};

struct fph_bus fph_vfio_user_client_bus(struct fph_vfio_user_client *c)
{
	return (struct fph_bus){ &bus_ops, c };
}
