/* SPDX-License-Identifier: MIT */
/* The back end of include/fph/vhost_user.h, and the front end of front.c. */
#include "front.h"
#include "wire.h"

#include <errno.h>
#include <fph/vhost_user.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

static int open_front(void **out, const struct soak *soak, uint32_t plugged, struct rng *rng)
{
	struct front *front = calloc(1, sizeof(*front));

	if (!front)
		return -ENOMEM;
	front->soak = soak;
	front->plugged = plugged;
	front->status_known = once_in(rng, 2);
	front->slots = once_in(rng, 2);
	front_init(front);
	*out = front;
	return 0;
}

static void disconnect_front(void *end)
{
	front_disconnect(end);
}

static void close_front(void *end)
{
	struct front *front = end;

	front_disconnect(front);
	if (front->sock >= 0)
		close(front->sock);
	free(front);
}

static int connect_front(void *end)
{
	return front_connect(end);
}

static bool front_connected(const void *end)
{
	return ((const struct front *)end)->connected;
}

static struct fph_bus bus(void *end)
{
	return front_bus(end);
}

static void turn(void *end, int timeout_ms)
{
	struct front *front = end;
	struct pollfd p[FPH_QUEUE_COUNT + 2] = {
		{ .fd = front->sock, .events = POLLIN },
		{ .fd = front->channel, .events = POLLIN },
	};

	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++)
		p[i + 2] = (struct pollfd){ .fd = front->call[i], .events = POLLIN };
	/* Nobody asked: that can only be the end. */
	if (poll(p, FPH_QUEUE_COUNT + 2, timeout_ms) > 0 && p[0].revents)
		front_disconnect(front);
}

static int queue_reset(void *end)
{
	return front_restart(end, FPH_QUEUE_HINT);
}

static int change(struct front *front, uint32_t region, uint32_t request, int fd)
{
	struct vu_mem_reg reg = { .region = front_region(front, region) };

	if (!front->slots)
		return front_show_table(front);
	return front_ask(front, request, &reg, sizeof(reg), fd);
}

/* What did not come to an answer is not there: the next connection shows the rest. */
static int plug(void *end, uint32_t region)
{
	struct front *front = end;
	int rc;

	front->plugged |= 1u << region;
	rc = change(front, region, VU_ADD_MEM_REG, front->soak->memory_fd);
	if (rc)
		front->plugged &= ~(1u << region);
	return rc;
}

static int unplug(void *end, uint32_t region)
{
	struct front *front = end;

	front->plugged &= ~(1u << region);
	return change(front, region, VU_REM_MEM_REG, -1);
}

const struct guest_wire guest_by_vhost_user = {
	.open = open_front,
	.close = close_front,
	.connect = connect_front,
	.disconnect = disconnect_front,
	.connected = front_connected,
	.bus = bus,
	.turn = turn,
	.queue_reset = queue_reset,
	.plug = plug,
	.unplug = unplug,
};

/* ------------------------------------------------------------ device end */

static int back_open(void **out, const struct soak *soak, const struct device_config *config)
{
	struct fph_vhost_user_opts o = FPH_VHOST_USER_OPTS_INIT;
	struct fph_vhost_user *vu = NULL;
	int err;

	o.loop = config->loop;
	o.path = soak->socket;
	o.device = config->device;
	o.changed = config->changed;
	o.gone = config->gone;
	o.flags = FPH_VHOST_USER_SEALED;
	err = fph_vhost_user_open(&vu, &o);
	*out = vu;
	return err;
}

static void back_close(void *end)
{
	fph_vhost_user_close(end);
}

static bool back_connected(const void *end)
{
	return fph_vhost_user_connected(end);
}

static const struct fph_mem *back_mem(const void *end)
{
	return fph_vhost_user_mem(end);
}

static struct fph_device *back_device(void *end)
{
	return fph_vhost_user_device(end);
}

const struct device_wire device_by_vhost_user = {
	.open = back_open,
	.close = back_close,
	.connected = back_connected,
	.mem = back_mem,
	.device = back_device,
};
