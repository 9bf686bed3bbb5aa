/* SPDX-License-Identifier: MIT */
/* The connection: messages, descriptors, and what is said before a driver comes. */
#include "front.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MS 500

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void front_init(struct front *front)
{
	front->sock = front->channel = -1;
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++)
		front->kick[i] = front->call[i] = -1;
}

void front_disconnect(struct front *front)
{
	if (front->connected)
		shutdown(front->sock, SHUT_WR);
	front->connected = false;
	close_fd(&front->channel);
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++) {
		close_fd(&front->kick[i]);
		close_fd(&front->call[i]);
		front->place[i].size = 0;
	}
	front->status = 0;
}

bool front_is_over(struct front *front)
{
	char bytes[256];
	ssize_t n = 1;

	if (front->connected)
		return false;
	while (front->sock >= 0 && n > 0)
		n = recv(front->sock, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_fd(&front->sock);
	return front->sock < 0;
}

static int lost(struct front *front)
{
	front_disconnect(front);
	return -EIO;
}

/* ------------------------------------------------------------ messages */

static int send_all(struct front *front, const void *bytes, size_t len, const int *fds, unsigned n)
{
	_Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(int) * REGIONS)] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr out = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)control;

		out.msg_control = control;
		out.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	/* One question at a time: the socket always has room for it. */
	return sendmsg(front->sock, &out, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len
		       ? 0
		       : lost(front);
}

static int read_all(struct front *front, void *to, size_t len, uint64_t until)
{
	size_t got = 0;

	while (got < len) {
		struct pollfd p = { .fd = front->sock, .events = POLLIN };
		uint64_t now = now_ns();
		ssize_t n;

		if (now >= until)
			return lost(front);
		if (poll(&p, 1, (int)((until - now) / MS) + 1) <= 0)
			continue;
		n = recv(front->sock, (char *)to + got, len - got, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return lost(front);
		got += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int say(struct front *front, uint32_t request, uint32_t flags, const void *body,
	       uint32_t size, const int *fds, unsigned n)
{
	unsigned char bytes[sizeof(struct vu_header) + sizeof(union vu_body)];
	struct vu_header head = { request, VU_VERSION | flags, size };

	if (!front->connected)
		return -EIO;
	memcpy(bytes, &head, sizeof(head));
	if (size)
		memcpy(bytes + sizeof(head), body, size);
	return send_all(front, bytes, sizeof(head) + size, fds, n);
}

/* Returns the size of the answer's body. */
static int hear(struct front *front, uint32_t request, void *body, size_t max)
{
	uint64_t until = now_ns() + ANSWER_MS * MS;
	struct vu_header head;

	if (read_all(front, &head, sizeof(head), until))
		return -EIO;
	if (head.request != request || head.flags != (VU_VERSION | VU_REPLY) || head.size > max) {
		violation(front->soak->board, "front end: %u bytes as the answer to %u, for %u",
			  head.size, request, head.request);
		return lost(front);
	}
	if (read_all(front, body, head.size, until))
		return -EIO;
	return (int)head.size;
}

static int ask_with(struct front *front, uint32_t request, const void *body, uint32_t size,
		    const int *fds, unsigned n)
{
	uint64_t answer = 0;
	int rc = say(front, request, VU_NEED_REPLY, body, size, fds, n);

	if (!rc)
		rc = hear(front, request, &answer, sizeof(answer));
	if (rc < 0)
		return rc;
	return rc == sizeof(answer) && answer == 0 ? 0 : -EPROTO;
}

int front_ask(struct front *front, uint32_t request, const void *body, uint32_t size, int fd)
{
	return ask_with(front, request, body, size, &fd, fd >= 0);
}

int front_get(struct front *front, uint32_t request, const void *body, uint32_t size,
	      void *answer, size_t max)
{
	int rc = say(front, request, 0, body, size, NULL, 0);

	return rc ? rc : hear(front, request, answer, max);
}

/* ------------------------------------------------------------ setting up */

struct vu_region front_region(const struct front *front, uint32_t region)
{
	uint64_t offset = (uint64_t)region * STRIDE_BYTES;

	return (struct vu_region){ BASE + offset, REGION_BYTES,
				   (uintptr_t)front->soak->memory + offset, offset };
}

int front_show_table(struct front *front)
{
	struct vu_mem_table table = { 0 };
	int fds[REGIONS];

	for (uint32_t i = 0; i < REGIONS; i++)
		if (front->plugged & 1u << i) {
			fds[table.count] = front->soak->memory_fd;
			table.regions[table.count++] = front_region(front, i);
		}
	return ask_with(front, VU_SET_MEM_TABLE, &table,
			(uint32_t)(8 + table.count * sizeof(struct vu_region)), fds, table.count);
}

static int show_memory(struct front *front)
{
	int rc = 0;

	if (!front->slots)
		return front_show_table(front);
	for (uint32_t i = 0; i < REGIONS && !rc; i++) {
		struct vu_mem_reg reg = { .region = front_region(front, i) };

		if (front->plugged & 1u << i)
			rc = front_ask(front, VU_ADD_MEM_REG, &reg, sizeof(reg),
				       front->soak->memory_fd);
	}
	return rc;
}

static int negotiate(struct front *front)
{
	uint64_t want = UINT64_C(1) << VU_P_REPLY_ACK | UINT64_C(1) << VU_P_BACKEND_REQ |
			UINT64_C(1) << VU_P_CONFIG;
	uint64_t offered = 0;
	int pair[2], rc = say(front, VU_SET_OWNER, 0, NULL, 0, NULL, 0);

	if (front->status_known)
		want |= UINT64_C(1) << VU_P_STATUS;
	if (front->slots)
		want |= UINT64_C(1) << VU_P_MEM_SLOTS;
	if (!rc && front_get(front, VU_GET_PROTOCOL_FEATURES, NULL, 0, &offered, 8) != 8)
		rc = -EIO;
	if (!rc)
		rc = front_ask(front, VU_SET_PROTOCOL_FEATURES, &want, sizeof(want), -1);
	if (!rc)
		rc = show_memory(front);
	if (rc)
		return rc;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	front->channel = pair[0];
	rc = front_ask(front, VU_SET_BACKEND_REQ_FD, NULL, 0, pair[1]);
	close(pair[1]);
	return rc;
}

int front_connect(struct front *front)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int rc;

	if (front->connected)
		return 0;
	if (!front_is_over(front))
		return -EBUSY;
	front->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (front->sock < 0)
		return -errno;
	memcpy(addr.sun_path, front->soak->socket, sizeof(front->soak->socket));
	if (connect(front->sock, (struct sockaddr *)&addr, sizeof(addr))) {
		rc = -errno;
		close_fd(&front->sock);
		return rc;
	}
	front->connected = true;
	rc = negotiate(front);
	if (rc)
		front_disconnect(front);
	return rc;
}
