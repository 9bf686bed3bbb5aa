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

/* Each verb has timeout_ms for itself, whatever it waits for. */
static bool link_begin(void *ctx)
{
	struct fph_vfio_user_client *c = ctx;

	if (c->phase != VFIO_UP)
		return false;
	c->why[0] = '\0';
	c->deadline_ms = fph_vfio_now_ms() + c->opts.timeout_ms;
	return true;
}

/* What broke a connection is seen here, in the verb that it broke. */
static int link_end(void *ctx, int rc)
{
	struct fph_vfio_user_client *c = ctx;
	bool fatal = rc == -ETIMEDOUT || rc == -ECONNRESET || rc == -EPIPE || rc == -ENOBUFS ||
		     rc == -E2BIG || rc == -ENOMEM || (rc == -EPROTO && c->why[0]);

	if (fatal)
		fph_vfio_client_leave(c, true);
	return rc;
}

/* The ISR was read, so the line is low; from here on it may rise again. */
static void link_taken(void *ctx)
{
	struct fph_vfio_user_client *c = ctx;

	if (c->intx_fired)
		link_end(c, fph_vfio_client_unmask(c));
}

static bool link_is_over(void *ctx)
{
	struct fph_vfio_user_client *c = ctx;

	fph_vfio_client_settle(c);
	return c->phase == VFIO_IDLE;
}

static const struct fph_link_ops link_ops = {
	.begin = link_begin,
	.end = link_end,
	.taken = link_taken,
	.is_over = link_is_over,
};

struct fph_bus fph_vfio_user_client_bus(struct fph_vfio_user_client *c)
{
	c->link.ops = &link_ops;
	c->link.ctx = c;
	return fph_link_bus(&c->link);
}
