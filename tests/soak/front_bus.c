/* SPDX-License-Identifier: MIT */
/* The bus that the guest role drives, each verb a message or two. */
#include "front.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static int get_u64(struct front *front, uint32_t request, uint64_t *value)
{
	return front_get(front, request, NULL, 0, value, sizeof(*value)) == sizeof(*value) ? 0
											    : -EIO;
}

static int ask_u64(struct front *front, uint32_t request, uint64_t value)
{
	return front_ask(front, request, &value, sizeof(value), -1);
}

static int ask_state(struct front *front, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_ring_state state = { index, num };

	return front_ask(front, request, &state, sizeof(state), -1);
}

static int bus_features(void *ctx, uint64_t *offered)
{
	int rc = get_u64(ctx, VU_GET_FEATURES, offered);

	*offered &= ~VU_F_PROTOCOL_FEATURES;
	return rc;
}

static int bus_accept(void *ctx, uint64_t accepted)
{
	((struct front *)ctx)->accepted = accepted;
	return 0;
}

static int bus_status(void *ctx, uint8_t *status)
{
	struct front *front = ctx;
	uint64_t value = 0;
	int rc = 0;

	if (!front->connected)
		value = front_is_over(front) ? 0 : FPH_STATUS_NEEDS_RESET;
	else if (front->status_known)
		rc = get_u64(front, VU_GET_STATUS, &value);
	else
		value = front->status;
	*status = (uint8_t)value;
	return rc;
}

/* What a front end without STATUS does when its driver resets: it stops the rings. */
static int stop_rings(struct front *front)
{
	int rc = 0;

	for (unsigned i = 0; i < FPH_QUEUE_COUNT && !rc; i++) {
		if (front->place[i].size)
			rc = ask_state(front, VU_SET_VRING_ENABLE, i, 0);
		front->place[i].size = 0;
	}
	return rc;
}

static int bus_set_status(void *ctx, uint8_t status)
{
	struct front *front = ctx;
	bool features_ok = (status & ~front->status) & FPH_STATUS_FEATURES_OK;
	int rc = 0;

	if (!front->connected)
		return status ? -EIO : 0;
	if (status == 0)
		rc = stop_rings(front);
	if (!rc && features_ok)
		rc = ask_u64(front, VU_SET_FEATURES, front->accepted | VU_F_PROTOCOL_FEATURES);
	if (!rc && front->status_known)
		rc = ask_u64(front, VU_SET_STATUS, status);
	if (!rc)
		front->status = status;
	return rc;
}

static int bus_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct vu_config c = { .offset = offset, .size = len };

	if (front_get(ctx, VU_GET_CONFIG, &c, VU_CONFIG_HEAD + len, &c, sizeof(c)) !=
	    (int)(VU_CONFIG_HEAD + len))
		return -EIO;
	memcpy(buf, c.data, len);
	return 0;
}

static int bus_set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct vu_config c = { .offset = offset, .size = len };

	memcpy(c.data, buf, len);
	return front_ask(ctx, VU_SET_CONFIG, &c, VU_CONFIG_HEAD + len, -1);
}

/* ------------------------------------------------------------ queues */

/* vhost-user does not tell the largest size: the device's option is known here. */
static int bus_vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	uint64_t queues = 0;
	int rc = get_u64(ctx, VU_GET_QUEUE_NUM, &queues);

	*max = queue < queues ? RING_MAX : 0;
	return rc;
}

static uint64_t user_of(const struct front *front, uint64_t gpa)
{
	return (uintptr_t)front->soak->memory + (gpa - BASE);
}

/* A fresh eventfd for the ring, shown to the back end. */
static int give_bell(struct front *front, uint32_t request, uint64_t queue, int *bell)
{
	if (*bell >= 0)
		close(*bell);
	*bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*bell < 0)
		return -errno;
	return front_ask(front, request, &queue, sizeof(queue), *bell);
}

/* Of a packed ring, both positions, and their wrap counters begin as 1. */
static uint32_t base_of(const struct front *front, uint16_t index)
{
	return front->accepted & FPH_F_RING_PACKED ? (index ^ 0x8000u) * 0x10001u : index;
}

static int bus_vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	struct front *front = ctx;
	struct vu_ring_addr addr = {
		.index = queue,
		.desc = user_of(front, place->desc),
		.avail = user_of(front, place->driver),
		.used = user_of(front, place->device),
	};
	int rc = give_bell(front, VU_SET_VRING_CALL, queue, &front->call[queue]);

	if (!rc)
		rc = ask_state(front, VU_SET_VRING_NUM, queue, place->size);
	if (!rc)
		rc = ask_state(front, VU_SET_VRING_BASE, queue, base_of(front, place->index));
	if (!rc)
		rc = front_ask(front, VU_SET_VRING_ADDR, &addr, sizeof(addr), -1);
	if (!rc)
		rc = give_bell(front, VU_SET_VRING_KICK, queue, &front->kick[queue]);
	if (!rc)
		rc = ask_state(front, VU_SET_VRING_ENABLE, queue, 1);
	if (!rc)
		front->place[queue] = *place;
	return rc;
}

static int bus_vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	struct front *front = ctx;
	struct vu_ring_state state = { queue, 0 };
	int rc = front_get(front, VU_GET_VRING_BASE, &state, sizeof(state), &state, sizeof(state));

	if (rc != sizeof(state))
		return rc < 0 ? rc : -EPROTO;
	*index = (uint16_t)(front->accepted & FPH_F_RING_PACKED ? (state.num >> 16) ^ 0x8000u
								 : state.num);
	return 0;
}

int front_restart(struct front *front, uint16_t queue)
{
	struct fph_vq_place place = front->place[queue];
	int rc = bus_vq_disable(front, queue, &place.index);

	return rc ? rc : bus_vq_enable(front, queue, &place);
}

static int bus_notify(void *ctx, uint16_t queue)
{
	struct front *front = ctx;

	if (!front->connected || front->kick[queue] < 0)
		return -EIO;
	return eventfd_write(front->kick[queue], 1) == 0 ? 0 : -EIO;
}

static int bus_take_irq(void *ctx, uint32_t *irq)
{
	struct front *front = ctx;
	struct vu_header head;
	eventfd_t value;

	*irq = 0;
	if (!front->connected)
		return -EIO;
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++)
		if (front->call[i] >= 0 && eventfd_read(front->call[i], &value) == 0)
			*irq |= FPH_IRQ_QUEUE | FPH_IRQ_VQ(i);
	while (recv(front->channel, &head, sizeof(head), MSG_DONTWAIT) == sizeof(head)) {
		if (head.request != VU_BACKEND_CONFIG_CHANGE_MSG || head.size)
			violation(front->soak->board, "front end: message %u on the channel",
				  head.request);
		*irq |= FPH_IRQ_CONFIG;
	}
	return 0;
}

static const struct fph_bus_ops ops = {
	.size = sizeof(ops),
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
};

struct fph_bus front_bus(struct front *front)
{
	return (struct fph_bus){ &ops, front };
}
