/* SPDX-License-Identifier: MIT */
#include "conn.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER ((uint32_t)sizeof(struct vfio_header))

int fph_vfio_conn_open(struct fph_vfio_conn *conn, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	memset(conn, 0, sizeof(*conn));
	conn->fd = -1;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	conn->body = malloc(FPH_VFIO_BODY_MAX);
	if (!conn->body)
		return -ENOMEM;
	conn->fd = fd;
	return 0;
}

void fph_vfio_conn_close(struct fph_vfio_conn *conn)
{
	if (conn->fd >= 0)
		close(conn->fd);
	fph_fds_close(&conn->fds);
	free(conn->body);
	free(conn->out);
	memset(conn, 0, sizeof(*conn));
	conn->fd = -1;
}

/* ------------------------------------------------------------ in */

/* One recvmsg() of at most len bytes.  Returns how many, or a negative errno. */
static int take(struct fph_vfio_conn *conn, void *to, size_t len)
{
	_Alignas(struct cmsghdr) unsigned char control[FPH_FDS_CONTROL];
	struct iovec iov = { to, len };
	struct msghdr in = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(conn->fd, &in, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (n == 0)
		return -ENOTCONN;
	return fph_fds_take(&conn->fds, &in) < 0 ? -E2BIG : (int)n;
}

/* Throw away the body of a message that cannot be. */
static int skip(struct fph_vfio_conn *conn)
{
	while (conn->skip) {
		size_t len = conn->skip < FPH_VFIO_BODY_MAX ? conn->skip : FPH_VFIO_BODY_MAX;
		int n = take(conn, conn->body, len);

		if (n < 0)
			return n;
		conn->skip -= (uint32_t)n;
	}
	return 0;
}

/*
 * Exactly the header, then exactly the body: the kernel hands descriptors over with the
 * bytes they were sent with, and bytes of two messages in one read would mix them up.
 */
static int read_on(struct fph_vfio_conn *conn)
{
	while (conn->have < HEADER) {
		int n = take(conn, (unsigned char *)&conn->header + conn->have,
			     HEADER - conn->have);

		if (n < 0)
			return n;
		conn->have += (uint32_t)n;
	}
	if (conn->header.size < HEADER || conn->header.size - HEADER > FPH_VFIO_BODY_MAX) {
		conn->skip = conn->header.size < HEADER ? 0 : conn->header.size - HEADER;
		conn->have = 0;
		conn->len = 0;
		return -EMSGSIZE;
	}
	while (conn->have < conn->header.size) {
		int n = take(conn, conn->body + (conn->have - HEADER),
			     conn->header.size - conn->have);

		if (n < 0)
			return n;
		conn->have += (uint32_t)n;
	}
	conn->len = conn->header.size - HEADER;
	conn->have = 0;
	return 1;
}

int fph_vfio_conn_read(struct fph_vfio_conn *conn)
{
	int rc;

	if (conn->fd < 0)
		return -ENOTCONN;
	if (!conn->have) /* what nobody kept of the message before, or of its thrown-away body
			  */
		fph_fds_close(&conn->fds);
	rc = skip(conn);
	if (rc == 0)
		rc = read_on(conn);
	return rc == -EAGAIN ? 0 : rc;
}

/* ------------------------------------------------------------ out */

/* One sendmsg().  Returns how many bytes went, 0 if the socket is full, or a negative errno. */
static ssize_t put(struct fph_vfio_conn *conn, struct iovec *iov, size_t count, const int *fds,
		   unsigned fd_count)
{
	_Alignas(struct cmsghdr) unsigned char control[FPH_FDS_CONTROL] = { 0 };
	struct msghdr out = { .msg_iov = iov, .msg_iovlen = count };
	ssize_t n;

	if (fd_count) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)control;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
		out.msg_control = control;
		out.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
	}
	n = sendmsg(conn->fd, &out, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return n;
}

bool fph_vfio_conn_waits(const struct fph_vfio_conn *conn)
{
	return conn->out_len > conn->out_sent;
}

int fph_vfio_conn_flush(struct fph_vfio_conn *conn)
{
	while (fph_vfio_conn_waits(conn)) {
		struct iovec iov = { conn->out + conn->out_sent, conn->out_len - conn->out_sent };
		ssize_t n = put(conn, &iov, 1, NULL, 0);

		if (n <= 0)
			return (int)n;
		conn->out_sent += (size_t)n;
	}
	conn->out_len = 0;
	conn->out_sent = 0;
	return 0;
}

/* Keep for later what is left of iov after `sent` bytes. */
static int keep(struct fph_vfio_conn *conn, const struct iovec *iov, size_t count, size_t sent)
{
	size_t need = conn->out_len;
	unsigned char *out;

	for (size_t i = 0; i < count; i++)
		need += iov[i].iov_len;
	need -= sent;
	if (need > FPH_VFIO_OUT_MAX)
		return -ENOBUFS;
	out = realloc(conn->out, need);
	if (!out)
		return -ENOMEM;
	conn->out = out;
	for (size_t i = 0; i < count; i++) {
		size_t gone = sent < iov[i].iov_len ? sent : iov[i].iov_len;
		size_t left = iov[i].iov_len - gone;

		sent -= gone;
		if (left)
			memcpy(out + conn->out_len, (unsigned char *)iov[i].iov_base + gone, left);
		conn->out_len += left;
	}
	return 0;
}

int fph_vfio_conn_send(struct fph_vfio_conn *conn, struct vfio_header header, const void *body,
		       size_t body_len, const void *data, size_t data_len, const int *fds,
		       unsigned fd_count)
{
	struct iovec iov[] = {
		{ &header, sizeof(header) },
		{ (void *)(uintptr_t)body, body_len },
		{ (void *)(uintptr_t)data, data_len },
	};
	ssize_t n = 0;
	int rc;

	if (conn->fd < 0)
		return -EPIPE;
	header.size = (uint32_t)(sizeof(header) + body_len + data_len);
	rc = fph_vfio_conn_flush(conn);
	if (rc < 0)
		return rc;
	if (!fph_vfio_conn_waits(conn))
		n = put(conn, iov, 3, fds, fd_count);
	if (n < 0)
		return (int)n;
	if ((size_t)n == header.size)
		return 0;
	/* Descriptors go with the first byte; one that did not go cannot wait. */
	return n == 0 && fd_count ? -ENOBUFS : keep(conn, iov, 3, (size_t)n);
}

int fph_vfio_conn_wait(struct fph_vfio_conn *conn, int timeout_ms)
{
	struct pollfd p = { .fd = conn->fd, .events = POLLIN };
	int rc;

	if (fph_vfio_conn_waits(conn))
		p.events |= POLLOUT;
	rc = poll(&p, 1, timeout_ms);
	if (rc < 0)
		return errno == EINTR ? 0 : -errno;
	if (rc > 0 && (p.revents & POLLOUT)) {
		rc = fph_vfio_conn_flush(conn);
		if (rc < 0)
			return rc;
		rc = 1;
	}
	return rc;
}
