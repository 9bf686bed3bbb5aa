/* SPDX-License-Identifier: MIT */
#include "back.h"
#include "unix/bell.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------ signals */

/* A socket that is full holds an interrupt already, as an eventfd does. */
static void send_call(const struct vu_ring *ring)
{
	const uint64_t one = 1;
	ssize_t n;

	if (!ring->call_is_sock) {
		fph_bell_ring(ring->call);
		return;
	}
	n = send(ring->call, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
	/* A call that leads nowhere harms the front end that gave it, and nobody else. */
	(void)n;
}

void fph_vu_signal(struct vu_ring *ring)
{
	ring->call_owed = ring->call < 0;
	if (ring->call >= 0)
		send_call(ring);
}

static void kicked(void *ctx)
{
	struct vu_ring *ring = ctx;
	struct fph_vhost_user *vu = ring->vu;
	int rc = fph_bell_take(ring->kick);

	if (rc == 0)
		return;
	if (rc > 0) {
		vu->bus.ops->notify(vu->bus.ctx, ring->index);
		fph_vu_tell_config(vu);
		return;
	}
	fph_vu_break(vu, "the kick descriptor of ring %u cannot be read: %s", ring->index,
		     rc == -EPIPE ? "it is at its end" : strerror(-rc));
	fph_vu_drop(vu);
}

/* ------------------------------------------------------------ start and stop */

static bool is_packed(const struct fph_vhost_user *vu)
{
	return fph_device_features(&vu->device) & FPH_F_RING_PACKED;
}

static bool place_of(const struct vu_ring *ring, struct fph_vq_place *place)
{
	const struct fph_vhost_user *vu = ring->vu;
	uint64_t n = ring->num;
	uint64_t driver = is_packed(vu) ? 4 : 6 + 2 * n, device = is_packed(vu) ? 4 : 6 + 8 * n;

	place->size = ring->num;
	place->index = ring->base;
	return fph_vu_to_gpa(vu, ring->addr.desc, 16 * n, &place->desc) &&
	       fph_vu_to_gpa(vu, ring->addr.avail, driver, &place->driver) &&
	       fph_vu_to_gpa(vu, ring->addr.used, device, &place->device);
}

void fph_vu_look_at_rings(struct fph_vhost_user *vu)
{
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++)
		if (vu->rings[i].running)
			vu->bus.ops->notify(vu->bus.ctx, vu->rings[i].index);
}

/* Without STATUS nobody says DRIVER_OK: a driver that starts a ring means it. */
static void driver_is_ok(struct fph_vhost_user *vu)
{
	uint8_t now = 0;

	vu->bus.ops->status(vu->bus.ctx, &now);
	if (!(now & FPH_STATUS_DRIVER_OK))
		vu->bus.ops->set_status(vu->bus.ctx, now | FPH_STATUS_DRIVER_OK);
}

static enum vu_outcome start(struct vu_ring *ring)
{
	struct fph_vhost_user *vu = ring->vu;
	const char *name = fph_vu_request_name(vu->msg.head.request);
	struct fph_vq_place place;
	const struct fph_fault *fault;

	if (!place_of(ring, &place))
		return fph_vu_refuse(vu, "%s: ring %u is not in the memory", name, ring->index);
	if (vu->bus.ops->vq_enable(vu->bus.ctx, ring->index, &place) < 0) {
		fault = fph_device_fault(&vu->device);
		return fph_vu_refuse(vu, "%s: the device does not take ring %u: %s", name,
				     ring->index,
				     fault->rule ? fph_rule_name(fault->rule) : "not now");
	}
	ring->running = true;
	vu->changed = true;
	if (!fph_vu_has(vu, VU_P_STATUS))
		driver_is_ok(vu);
	vu->bus.ops->notify(vu->bus.ctx, ring->index);
	return VU_DONE;
}

static void stop(struct vu_ring *ring)
{
	struct fph_vhost_user *vu = ring->vu;

	/* The embedder acts on hints outside of the loop, so the batch in hand is done with. */
	fph_device_ack(&vu->device);
	vu->bus.ops->vq_disable(vu->bus.ctx, ring->index, &ring->base);
	ring->running = false;
	vu->changed = true;
}

static enum vu_outcome update(struct vu_ring *ring)
{
	bool run = ring->vu->negotiated && ring->enabled && ring->known == RING_ALL;

	if (run && !ring->running)
		return start(ring);
	if (!run && ring->running)
		stop(ring);
	return VU_DONE;
}

enum vu_outcome fph_vu_start_rings(struct fph_vhost_user *vu)
{
	enum vu_outcome out = VU_DONE;

	for (unsigned i = 0; i < FPH_QUEUE_COUNT && out == VU_DONE; i++)
		out = update(&vu->rings[i]);
	return out;
}

static void forget_kick(struct vu_ring *ring)
{
	if (ring->kick < 0)
		return;
	fph_loop_remove(ring->vu->opts.loop, ring->kick);
	close(ring->kick);
	ring->kick = -1;
	ring->known &= ~RING_KICK;
}

static void forget_call(struct vu_ring *ring)
{
	if (ring->call >= 0)
		close(ring->call);
	ring->call = -1;
}

void fph_vu_disable_rings(struct fph_vhost_user *vu)
{
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++) {
		vu->rings[i].enabled = false;
		update(&vu->rings[i]);
	}
}

void fph_vu_forget_rings(struct fph_vhost_user *vu, bool calls_too)
{
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++) {
		struct vu_ring *ring = &vu->rings[i];

		forget_kick(ring);
		if (calls_too)
			forget_call(ring);
		ring->known = 0;
		ring->base = 0;
		ring->enabled = false;
		ring->running = false;
		ring->call_owed = false;
	}
}

/* ------------------------------------------------------------ messages */

/* The ring that a message is about; NULL: there is none, which is refused. */
static struct vu_ring *ring_of(struct fph_vhost_user *vu, uint64_t index)
{
	if (index < FPH_QUEUE_COUNT)
		return &vu->rings[index];
	fph_vu_refuse(vu, "%s: there is no ring %llu", fph_vu_request_name(vu->msg.head.request),
		      (unsigned long long)index);
	return NULL;
}

/* The same, for what cannot be changed under the device's feet. */
static struct vu_ring *still_ring_of(struct fph_vhost_user *vu, uint64_t index)
{
	struct vu_ring *ring = ring_of(vu, index);

	if (!ring || !ring->running)
		return ring;
	fph_vu_refuse(vu, "%s: ring %u is running", fph_vu_request_name(vu->msg.head.request),
		      ring->index);
	return NULL;
}

enum vu_outcome fph_vu_set_num(struct fph_vhost_user *vu)
{
	struct vu_ring *ring = still_ring_of(vu, vu->msg.body.state.index);
	uint32_t num = vu->msg.body.state.num;

	if (!ring)
		return VU_REFUSED;
	/* Whether the size is one that the device likes is the device's to say. */
	if (num == 0 || num > 32768)
		return fph_vu_refuse(vu, "SET_VRING_NUM: ring %u of %u entries", ring->index, num);
	ring->num = (uint16_t)num;
	ring->known |= RING_NUM;
	return update(ring);
}

enum vu_outcome fph_vu_set_addr(struct fph_vhost_user *vu)
{
	struct vu_ring *ring = still_ring_of(vu, vu->msg.body.addr.index);

	if (!ring)
		return VU_REFUSED;
	if (vu->msg.body.addr.flags)
		return fph_vu_refuse(vu, "SET_VRING_ADDR: ring %u wants its writes logged",
				     ring->index);
	ring->addr = vu->msg.body.addr;
	ring->known |= RING_ADDR;
	return update(ring);
}

/*
 * Of a packed ring it is the position in the low half, and that of the used descriptors
 * in the high half, each with its wrap counter, which begins as 1.
 */
#define PACKED_START 0x8000u

enum vu_outcome fph_vu_set_base(struct fph_vhost_user *vu)
{
	struct vu_ring *ring = still_ring_of(vu, vu->msg.body.state.index);
	uint32_t num = vu->msg.body.state.num;

	if (!ring)
		return VU_REFUSED;
	if (num > UINT16_MAX && !is_packed(vu))
		return fph_vu_refuse(vu, "SET_VRING_BASE: ring %u at %u", ring->index, num);
	/* What was not returned is processed again. */
	ring->base = is_packed(vu) ? (uint16_t)(num >> 16 ^ PACKED_START) : (uint16_t)num;
	ring->known |= RING_BASE;
	return update(ring);
}

/* Stops the ring; it starts again with another SET_VRING_KICK. */
enum vu_outcome fph_vu_get_base(struct fph_vhost_user *vu)
{
	struct vu_ring *ring = ring_of(vu, vu->msg.body.state.index);
	struct vu_ring_state answer;

	if (!ring)
		return VU_BROKEN; /* there is no way to say no in this answer */
	forget_kick(ring);
	update(ring);
	answer = (struct vu_ring_state){ ring->index, ring->base };
	if (is_packed(vu))
		answer.num = (ring->base ^ PACKED_START) * 0x10001u;
	return fph_vu_reply(vu, &answer, sizeof(answer));
}

enum vu_outcome fph_vu_set_enable(struct fph_vhost_user *vu)
{
	struct vu_ring *ring = ring_of(vu, vu->msg.body.state.index);

	if (!ring)
		return VU_REFUSED;
	if (vu->msg.body.state.num > 1)
		return fph_vu_refuse(vu, "SET_VRING_ENABLE: ring %u to %u", ring->index,
				     vu->msg.body.state.num);
	ring->enabled = vu->msg.body.state.num;
	return update(ring);
}

/* The ring of a message that brings a descriptor, or says that it brings none. */
static enum vu_outcome ring_with_fd(struct fph_vhost_user *vu, struct vu_ring **ring)
{
	uint64_t value = vu->msg.body.u64;
	const char *name = fph_vu_request_name(vu->msg.head.request);

	if (value & ~(VU_RING_INDEX_MASK | VU_RING_NO_FD))
		return fph_vu_break(vu, "%s: 0x%llx is no ring", name, (unsigned long long)value);
	if (!(value & VU_RING_NO_FD) != (vu->msg.fds.count == 1))
		return fph_vu_break(vu, "%s: %u descriptors where %u should be", name,
				    vu->msg.fds.count, value & VU_RING_NO_FD ? 0u : 1u);
	*ring = ring_of(vu, value & VU_RING_INDEX_MASK);
	return *ring ? VU_DONE : VU_REFUSED;
}

enum vu_outcome fph_vu_set_kick(struct fph_vhost_user *vu)
{
	int fd = vu->msg.fds.fd[0];
	struct vu_ring *ring;
	enum vu_outcome out = ring_with_fd(vu, &ring);

	if (out != VU_DONE)
		return out;
	if (vu->msg.body.u64 & VU_RING_NO_FD)
		return fph_vu_refuse(vu, "SET_VRING_KICK: ring %u without a kick: nobody polls here",
				     ring->index);
	if (fph_fd_kind(fd) != 0)
		return fph_vu_refuse(vu, "SET_VRING_KICK: no eventfd for ring %u", ring->index);
	forget_kick(ring);
	vu->msg.fds.fd[0] = -1;
	ring->kick = fd;
	if (fph_loop_add(vu->opts.loop, fd, kicked, ring) < 0)
		return fph_vu_break(vu, "SET_VRING_KICK: no memory to watch ring %u", ring->index);
	ring->known |= RING_KICK;
	/* A doorbell may have been rung on the descriptor that is given up here. */
	if (ring->running)
		vu->bus.ops->notify(vu->bus.ctx, ring->index);
	return update(ring);
}

enum vu_outcome fph_vu_set_call(struct fph_vhost_user *vu)
{
	int fd = vu->msg.fds.fd[0], kind;
	struct vu_ring *ring;
	enum vu_outcome out = ring_with_fd(vu, &ring);

	if (out != VU_DONE)
		return out;
	if (vu->msg.body.u64 & VU_RING_NO_FD) {
		forget_call(ring);
		return VU_DONE;
	}
	/* User-mode Linux brings a socket, everybody else an eventfd.  A pipe may raise
	 * SIGPIPE. */
	kind = fph_fd_kind(fd);
	if (kind != 0 && kind != S_IFSOCK)
		return fph_vu_refuse(vu, "SET_VRING_CALL: neither eventfd nor socket for ring %u",
				     ring->index);
	forget_call(ring);
	vu->msg.fds.fd[0] = -1;
	ring->call = fd;
	ring->call_is_sock = kind == S_IFSOCK;
	if (ring->call_owed)
		fph_vu_signal(ring);
	return VU_DONE;
}

/* A device that needs a reset says so by its status: there is nothing to signal here. */
enum vu_outcome fph_vu_set_err(struct fph_vhost_user *vu)
{
	struct vu_ring *ring;

	return ring_with_fd(vu, &ring);
}
