/* SPDX-License-Identifier: MIT */
#include "server.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* So that a client that never stops talking does not keep the loop for itself. */
#define MESSAGES_PER_TURN 64u

static void on_conn(void *ctx);
static void on_writable(void *ctx);

/* ------------------------------------------------------------ the end */

void fph_vfio_let_go(struct fph_vfio_user_server *s, void (*gone)(void *ctx, const char *why))
{
	if (s->conn.fd < 0)
		return;
	s->leaving = true;
	fph_loop_remove(s->opts.loop, s->full ? s->writable : s->conn.fd);
	fph_vfio_reset_device(s);
	if (gone)
		gone(s->opts.device.ctx, s->why);
	fph_vfio_unmap_all(s);
	fph_vfio_forget_irqs(s);
	memset(&s->dma, 0, sizeof(s->dma));
	/* The socket last: who sees its end knows that the memory is left alone.  BH-15 */
	close(s->writable);
	fph_vfio_conn_close(&s->conn);
	s->writable = -1;
	s->full = s->broken = s->leaving = s->agreed = s->changed = false;
	s->said = 0;
}

void fph_vfio_break(struct fph_vfio_user_server *s)
{
	s->broken = true;
	/* Both ends see its end, and our loop reports it. */
	shutdown(s->conn.fd, SHUT_RDWR);
}

/* ------------------------------------------------------------ output that waits */

/* Nothing is read while the client does not read. */
void fph_vfio_watch_output(struct fph_vfio_user_server *s)
{
	int rc;

	if (s->full || s->conn.fd < 0 || !fph_vfio_conn_waits(&s->conn))
		return;
	rc = fph_loop_add(s->opts.loop, s->writable, on_writable, s);
	if (rc < 0) {
		fph_vfio_because(s, rc, "no memory to wait for a client that reads slowly");
		fph_vfio_break(s);
		return;
	}
	fph_loop_remove(s->opts.loop, s->conn.fd);
	s->full = true;
}

static int go_on_reading(struct fph_vfio_user_server *s)
{
	int rc = fph_loop_add(s->opts.loop, s->conn.fd, on_conn, s);

	if (rc < 0)
		return fph_vfio_because(s, rc, "no memory to watch the client");
	fph_loop_remove(s->opts.loop, s->writable);
	s->full = false;
	return 0;
}

static void on_writable(void *ctx)
{
	struct fph_vfio_user_server *s = ctx;
	int rc = s->broken ? 0 : fph_vfio_conn_flush(&s->conn);

	if (rc < 0)
		fph_vfio_because(s, rc, "the client: %s", strerror(-rc));
	else if (s->broken)
		rc = -EPIPE;
	else if (fph_vfio_conn_waits(&s->conn))
		return;
	else
		rc = go_on_reading(s);
	if (rc < 0)
		fph_vfio_let_go(s, s->opts.gone);
	else
		fph_vfio_dma_pump(s);
}

/* ------------------------------------------------------------ input */

static int failed(struct fph_vfio_user_server *s, int rc)
{
	if (rc == -ENOTCONN)
		return fph_vfio_because(s, rc, "the client closed the connection");
	if (rc == -E2BIG)
		return fph_vfio_because(s, rc, "a message with more descriptors than can be taken");
	return fph_vfio_because(s, rc, "the client: %s", strerror(-rc));
}

/* Returns 1 (one was served), 0 (there is none now), or a negative errno, noted. */
static int one_message(struct fph_vfio_user_server *s)
{
	int rc = fph_vfio_conn_read(&s->conn);

	if (rc == 0)
		return 0;
	if (rc < 0 && rc != -EMSGSIZE)
		return failed(s, rc);
	s->busy = true;
	if (rc == 1)
		fph_vfio_handle(s);
	else
		fph_vfio_refuse(s, EINVAL);
	s->busy = false;
	fph_vfio_dma_pump(s);
	return 1;
}

static void on_conn(void *ctx)
{
	struct fph_vfio_user_server *s = ctx;
	int rc = 1;

	for (unsigned n = 0; n < MESSAGES_PER_TURN && rc > 0 && !s->full && !s->broken; n++)
		rc = one_message(s);
	if (rc < 0 || s->broken)
		fph_vfio_let_go(s, s->opts.gone);
}

/* ------------------------------------------------------------ the beginning */

static int watch(struct fph_vfio_user_server *s)
{
	struct epoll_event event = { .events = EPOLLOUT };

	s->writable = epoll_create1(EPOLL_CLOEXEC);
	if (s->writable < 0)
		return -errno;
	if (epoll_ctl(s->writable, EPOLL_CTL_ADD, s->conn.fd, &event) < 0)
		return -errno;
	return fph_loop_add(s->opts.loop, s->conn.fd, on_conn, s);
}

int fph_vfio_user_server_adopt(struct fph_vfio_user_server *s, int fd)
{
	int rc;

	if (s->conn.fd >= 0)
		return -EBUSY;
	if (fd < 0)
		return -EINVAL;
	rc = fph_vfio_conn_open(&s->conn, fd);
	if (rc == 0)
		rc = watch(s);
	if (rc == 0) {
		s->limits = (struct fph_vfio_limits)FPH_VFIO_LIMITS_INIT;
		s->why[0] = '\0';
		s->changed = false;
		return 0;
	}
	if (s->writable >= 0)
		close(s->writable);
	s->writable = -1;
	s->conn.fd = -1; /* the descriptor stays the caller's */
	fph_vfio_conn_close(&s->conn);
	return rc == -ENOMEM ? rc : -EINVAL;
}

void fph_vfio_on_client(void *ctx)
{
	struct fph_vfio_user_server *s = ctx;
	int fd = fph_listener_accept(&s->listener);

	if (fd < 0)
		return;
	/* The end of the last client may be waiting behind the arrival of this one. */
	if (s->conn.fd >= 0 && !s->full)
		on_conn(s);
	if (fph_vfio_user_server_adopt(s, fd) < 0)
		close(fd);
}
