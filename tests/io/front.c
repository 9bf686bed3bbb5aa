/* SPDX-License-Identifier: MIT */
#include "front.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE 2000 /* turns of up to 5 ms */

/* ------------------------------------------------------------ connection */

void front_connect(struct front *front, struct rig *rig)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	memset(front, 0, sizeof(*front));
	front->rig = rig;
	front->memfd = front->channel = -1;
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++)
		front->kick[i] = front->call[i] = -1;
	strcpy(addr.sun_path, rig->path);
	front->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(front->sock >= 0);
	cr_assert_eq(connect(front->sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	rig_pump(rig);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void front_close(struct front *front)
{
	close_fd(&front->sock);
	close_fd(&front->channel);
	close_fd(&front->memfd);
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++) {
		close_fd(&front->kick[i]);
		close_fd(&front->call[i]);
	}
	if (front->ram)
		munmap(front->ram, FRONT_BYTES);
	front->ram = NULL;
	rig_pump(front->rig);
}

/* ------------------------------------------------------------ messages */

void front_raw(struct front *front, const void *bytes, size_t len, const int *fds, unsigned n)
{
	_Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(int) * 253)];
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr out = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (n) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)control;

		memset(control, 0, sizeof(control));
		out.msg_control = control;
		out.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	sent = sendmsg(front->sock, &out, MSG_NOSIGNAL | MSG_DONTWAIT);
	/* A back end that hung up is noticed when its answer is looked for. */
	cr_assert(sent == (ssize_t)len || (sent < 0 && (errno == EPIPE || errno == ECONNRESET)),
		  "sent %zd of %zu", sent, len);
}

void front_send(struct front *front, uint32_t request, uint32_t flags, const void *body,
		uint32_t size, const int *fds, unsigned n)
{
	unsigned char bytes[sizeof(struct vu_header) + sizeof(union vu_body)];
	struct vu_header head = { request, VU_VERSION | flags, size };

	cr_assert(size <= sizeof(union vu_body));
	memcpy(bytes, &head, sizeof(head));
	if (size)
		memcpy(bytes + sizeof(head), body, size);
	front_raw(front, bytes, sizeof(head) + size, fds, n);
}

/* Turn the back end's loop until there is something to read here. */
static bool wait_readable(struct front *front, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (unsigned i = 0; i < PATIENCE; i++) {
		if (poll(&p, 1, 0) > 0)
			return true;
		cr_assert(fph_loop_run(front->rig->loop, 5) >= 0);
	}
	return false;
}

static int read_all(struct front *front, void *to, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n;

		cr_assert(wait_readable(front, front->sock), "the back end does not answer");
		n = recv(front->sock, (char *)to + got, len - got, MSG_DONTWAIT);
		if (n <= 0)
			return -EPIPE;
		got += (size_t)n;
	}
	return 0;
}

int front_recv(struct front *front, struct vu_header *head, void *body, size_t max)
{
	if (read_all(front, head, sizeof(*head)) < 0)
		return -EPIPE;
	cr_assert_eq(head->flags, VU_VERSION | VU_REPLY);
	cr_assert(head->size <= max, "an answer of %u bytes", head->size);
	if (head->size && read_all(front, body, head->size) < 0)
		return -EPIPE;
	return (int)head->size;
}

int front_ask(struct front *front, uint32_t request, const void *body, uint32_t size,
	      const int *fds, unsigned n)
{
	struct vu_header head;
	uint64_t answer = 99;
	int rc;

	front_send(front, request, VU_NEED_REPLY, body, size, fds, n);
	rc = front_recv(front, &head, &answer, sizeof(answer));
	if (rc < 0)
		return rc;
	cr_assert_eq(head.request, request);
	cr_assert_eq(rc, (int)sizeof(answer));
	return (int)answer;
}

int front_ask_u64(struct front *front, uint32_t request, uint64_t value)
{
	return front_ask(front, request, &value, sizeof(value), NULL, 0);
}

int front_ask_state(struct front *front, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_ring_state state = { index, num };

	return front_ask(front, request, &state, sizeof(state), NULL, 0);
}

uint64_t front_get_u64(struct front *front, uint32_t request)
{
	struct vu_header head;
	uint64_t value = 0;

	front_send(front, request, 0, NULL, 0, NULL, 0);
	cr_assert_eq(front_recv(front, &head, &value, sizeof(value)), (int)sizeof(value));
	cr_assert_eq(head.request, request);
	return value;
}

bool front_is_dropped(struct front *front)
{
	char byte;

	rig_pump(front->rig);
	for (;;) {
		ssize_t n = recv(front->sock, &byte, 1, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return true;
		if (n < 0)
			return false;
	}
}

/* ------------------------------------------------------------ setting up */

void front_negotiate(struct front *front)
{
	uint64_t offered, want;

	front_send(front, VU_SET_OWNER, 0, NULL, 0, NULL, 0);
	cr_assert(front_get_u64(front, VU_GET_FEATURES) & VU_F_PROTOCOL_FEATURES);
	offered = front_get_u64(front, VU_GET_PROTOCOL_FEATURES);
	want = UINT64_C(1) << VU_P_REPLY_ACK | UINT64_C(1) << VU_P_BACKEND_REQ |
	       UINT64_C(1) << VU_P_CONFIG;
	if (front->flags & FRONT_STATUS)
		want |= UINT64_C(1) << VU_P_STATUS | UINT64_C(1) << VU_P_MQ |
			UINT64_C(1) << VU_P_RESET_DEVICE;
	if (front->flags & FRONT_SLOTS)
		want |= UINT64_C(1) << VU_P_MEM_SLOTS;
	cr_assert_eq(offered & want, want);
	front->protocol = want;
	cr_assert_eq(front_ask_u64(front, VU_SET_PROTOCOL_FEATURES, want), 0);
}

struct vu_region front_region(const struct front *front)
{
	return (struct vu_region){ FRONT_GPA, FRONT_BYTES, (uintptr_t)front->ram, 0 };
}

int front_bring_memory(struct front *front)
{
	struct vu_mem_table table = { .count = 1, .regions = { front_region(front) } };
	struct vu_mem_reg reg = { .region = front_region(front) };

	if (front->flags & FRONT_SLOTS)
		return front_ask(front, VU_ADD_MEM_REG, &reg, sizeof(reg), &front->memfd, 1);
	return front_ask(front, VU_SET_MEM_TABLE, &table, 8 + 32, &front->memfd, 1);
}

void front_open(struct front *front, struct rig *rig, unsigned flags)
{
	int pair[2];

	front_connect(front, rig);
	front->flags = flags;
	front_negotiate(front);

	front->memfd = memfd_create("fph-guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	cr_assert(front->memfd >= 0);
	cr_assert_eq(ftruncate(front->memfd, FRONT_BYTES), 0);
	cr_assert_eq(fcntl(front->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	front->ram = mmap(NULL, FRONT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, front->memfd, 0);
	cr_assert(front->ram != MAP_FAILED);
	cr_assert_eq(front_bring_memory(front), 0);

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	front->channel = pair[0];
	cr_assert_eq(front_ask(front, VU_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1), 0);
	close(pair[1]);
}

/* ------------------------------------------------------------ the bus: features, status */

static int bus_features(void *ctx, uint64_t *offered)
{
	*offered = front_get_u64(ctx, VU_GET_FEATURES) & ~VU_F_PROTOCOL_FEATURES;
	return 0;
}

static int bus_accept(void *ctx, uint64_t accepted)
{
	struct front *front = ctx;

	front->accepted = accepted;
	return 0;
}

static bool has_status(const struct front *front)
{
	return front->flags & FRONT_STATUS;
}

static int bus_status(void *ctx, uint8_t *status)
{
	struct front *front = ctx;

	*status = has_status(front) ? (uint8_t)front_get_u64(front, VU_GET_STATUS) : front->status;
	return 0;
}

/* What a front end without STATUS does when its driver resets: it stops the rings. */
static int stop_rings(struct front *front)
{
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++) {
		if (front->used_ring[i] &&
		    front_ask_state(front, VU_SET_VRING_ENABLE, i, 0) != 0)
			return -EIO;
		front->used_ring[i] = false;
	}
	return 0;
}

static int bus_set_status(void *ctx, uint8_t status)
{
	struct front *front = ctx;
	bool features_ok = (status & ~front->status) & FPH_STATUS_FEATURES_OK;

	if (status == 0 && stop_rings(front) < 0)
		return -EIO;
	if (features_ok && front_ask_u64(front, VU_SET_FEATURES,
					 front->accepted | VU_F_PROTOCOL_FEATURES) != 0)
		return -EPROTO;
	if (has_status(front) && front_ask_u64(front, VU_SET_STATUS, status) != 0)
		return -EPROTO;
	front->status = status;
	return 0;
}

/* ------------------------------------------------------------ the bus: configuration */

static int bus_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct vu_config c = { .offset = offset, .size = len };
	struct vu_header head;

	front_send(ctx, VU_GET_CONFIG, 0, &c, VU_CONFIG_HEAD + len, NULL, 0);
	if (front_recv(ctx, &head, &c, sizeof(c)) != (int)(VU_CONFIG_HEAD + len))
		return -EIO;
	memcpy(buf, c.data, len);
	return 0;
}

static int bus_set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct front *front = ctx;
	struct vu_config c = { .offset = offset, .size = len };

	if (has_status(front)) { /* as QEMU: all of it, whatever was written */
		c.offset = 0;
		c.size = FPH_CONFIG_MAX;
		if (bus_config(front, 0, c.data, FPH_CONFIG_MAX) < 0)
			return -EIO;
	}
	memcpy(c.data + (offset - c.offset), buf, len);
	return front_ask(front, VU_SET_CONFIG, &c, VU_CONFIG_HEAD + c.size, NULL, 0) ? -EIO : 0;
}

/* ------------------------------------------------------------ the bus: queues */

static int bus_vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	*max = queue < front_get_u64(ctx, VU_GET_QUEUE_NUM) ? 256 : 0;
	return 0;
}

static uint64_t user_of(const struct front *front, uint64_t gpa)
{
	return (uintptr_t)front->ram + (gpa - FRONT_GPA);
}

static int make_call(struct front *front, unsigned queue)
{
	uint64_t index = queue;
	int pair[2], rc;

	close_fd(&front->call[queue]);
	if (front->flags & FRONT_CALL_SOCK) {
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
					pair), 0);
	} else {
		pair[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		pair[1] = dup(pair[0]);
		cr_assert(pair[1] >= 0);
	}
	front->call[queue] = pair[0];
	rc = front_ask(front, VU_SET_VRING_CALL, &index, sizeof(index), &pair[1], 1);
	close(pair[1]);
	return rc;
}

/* In the order of user-mode Linux: CALL before NUM, KICK and ENABLE at the end. */
static int bus_vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	struct front *front = ctx;
	struct vu_ring_addr addr = {
		.index = queue,
		.desc = user_of(front, place->desc),
		.avail = user_of(front, place->driver),
		.used = user_of(front, place->device),
	};
	uint64_t index = queue;

	if (make_call(front, queue) ||
	    front_ask_state(front, VU_SET_VRING_NUM, queue, place->size) ||
	    front_ask_state(front, VU_SET_VRING_BASE, queue, place->index) ||
	    front_ask(front, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0))
		return -EPROTO;
	close_fd(&front->kick[queue]);
	front->kick[queue] = eventfd(0, EFD_CLOEXEC);
	if (front_ask(front, VU_SET_VRING_KICK, &index, sizeof(index), &front->kick[queue], 1) ||
	    front_ask_state(front, VU_SET_VRING_ENABLE, queue, 1))
		return -EPROTO;
	front->used_ring[queue] = true;
	return 0;
}

static int bus_vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	struct vu_ring_state state = { queue, 0 };
	struct vu_header head;

	front_send(ctx, VU_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
	if (front_recv(ctx, &head, &state, sizeof(state)) != (int)sizeof(state))
		return -EIO;
	*index = (uint16_t)state.num;
	return 0;
}

static int bus_notify(void *ctx, uint16_t queue)
{
	struct front *front = ctx;
	uint64_t one = 1;

	return write(front->kick[queue], &one, sizeof(one)) == sizeof(one) ? 0 : -EIO;
}

static int bus_take_irq(void *ctx, uint32_t *irq)
{
	struct front *front = ctx;
	struct vu_header head;
	uint64_t count;

	*irq = 0;
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++)
		if (front->call[i] >= 0 && read(front->call[i], &count, sizeof(count)) > 0)
			*irq |= FPH_IRQ_QUEUE | FPH_IRQ_VQ(i);
	while (recv(front->channel, &head, sizeof(head), MSG_DONTWAIT) == sizeof(head)) {
		cr_assert_eq(head.request, VU_BACKEND_CONFIG_CHANGE_MSG);
		cr_assert_eq(head.flags, VU_VERSION);
		cr_assert_eq(head.size, 0u);
		front->config_changes++;
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
