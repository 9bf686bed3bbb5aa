/* SPDX-License-Identifier: MIT */
#include "client.h"
#include "stats.h"
#include "unix/bell.h"
#include "unix/listen.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 5000u

int fph_vfio_client_because(struct fph_vfio_user_client *c, int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->why, sizeof(c->why), format, args);
	va_end(args);
	return rc;
}

int64_t fph_vfio_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ------------------------------------------------------------ the end of a connection */

void fph_vfio_client_leave(struct fph_vfio_user_client *c, bool tell)
{
	if (c->phase != VFIO_UP)
		return;
	fph_vfio_client_release(c);
	c->tell_gone = tell;
	c->phase = VFIO_LEAVING;
	/* The server sees this end, lets go of the memory, and closes its own end. */
	shutdown(c->conn.fd, SHUT_WR);
	fph_vfio_client_settle(c);
}

/*
 * G22: guest memory is ours again when the server's end is closed, which it does last.
 * The socket stays in the loop until `gone` was told.
 */
static bool is_closed(const struct fph_vfio_user_client *c)
{
	struct pollfd p = { .fd = c->conn.fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static void end(struct fph_vfio_user_client *c)
{
	if (c->conn.fd < 0)
		return;
	fph_loop_remove(c->opts.loop, c->conn.fd);
	fph_vfio_conn_close(&c->conn);
}

void fph_vfio_client_settle(struct fph_vfio_user_client *c)
{
	if (c->phase != VFIO_LEAVING || !is_closed(c))
		return;
	c->phase = VFIO_IDLE;
	if (!c->tell_gone)
		end(c);
}

/* ------------------------------------------------------------ what the loop calls */

/* What a server that is not listened to any more still says is thrown away. */
static void throw_away(const struct fph_vfio_user_client *c)
{
	char bytes[4096];
	ssize_t n = recv(c->conn.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	(void)n;
}

void fph_vfio_client_on_conn(void *ctx)
{
	struct fph_vfio_user_client *c = ctx;

	c->deadline_ms = fph_vfio_now_ms() + c->opts.timeout_ms;
	if (c->phase == VFIO_UP && fph_vfio_client_serve(c) < 0)
		fph_vfio_client_leave(c, true);
	if (c->phase == VFIO_LEAVING) {
		throw_away(c);
		fph_vfio_client_settle(c);
	}
	if (c->phase != VFIO_IDLE || c->conn.fd < 0)
		return;
	end(c);
	if (c->tell_gone && c->opts.gone)
		c->opts.gone(c->opts.ctx, c->why);
	c->tell_gone = false;
}

void fph_vfio_client_on_bell(void *ctx)
{
	struct vfio_bell *bell = ctx;
	struct fph_vfio_user_client *c = bell->client;

	if (fph_bell_take(bell->fd) <= 0)
		return;
	c->total.interrupts++;
	if (c->vectors)
		fph_pci_driver_fired(&c->pci, bell->vector);
	else
		c->intx_fired = true;
	if (c->opts.interrupt)
		c->opts.interrupt(c->opts.ctx);
}

/* ------------------------------------------------------------ connecting */

int fph_vfio_user_client_adopt(struct fph_vfio_user_client *c, int fd)
{
	int rc;

	fph_vfio_client_settle(c);
	if (c->phase != VFIO_IDLE)
		rc = -EBUSY;
	else
		rc = fd < 0 ? -EINVAL : 0;
	if (rc == 0) {
		end(c);
		c->tell_gone = false;
		rc = fph_vfio_conn_open(&c->conn, fd);
	}
	if (rc < 0) {
		c->conn.fd = c->phase == VFIO_IDLE ? -1 : c->conn.fd;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	c->why[0] = '\0';
	c->phase = VFIO_UP;
	c->link.reset_asked = false;
	c->deadline_ms = fph_vfio_now_ms() + c->opts.timeout_ms;
	rc = fph_vfio_client_attach(c);
	if (rc < 0)
		fph_vfio_client_leave(c, false);
	else
		c->why[0] = '\0';
	return rc;
}

int fph_vfio_user_client_connect(struct fph_vfio_user_client *c)
{
	int fd, rc;

	if (c->phase == VFIO_UP)
		return 0;
	fph_vfio_client_settle(c);
	if (c->phase != VFIO_IDLE)
		return -EBUSY;
	if (!c->has_path)
		return -EINVAL;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&c->addr, sizeof(c->addr)) < 0) {
		/* A full queue of a server that takes nobody in is as good as no answer. */
		rc = errno == EAGAIN ? -ETIMEDOUT : -errno;
		close(fd);
		return fph_vfio_client_because(c, rc, "%s: %s", c->addr.sun_path, strerror(-rc));
	}
	return fph_vfio_user_client_adopt(c, fd);
}

void fph_vfio_user_client_disconnect(struct fph_vfio_user_client *c)
{
	c->tell_gone = false;
	fph_vfio_client_leave(c, false);
	fph_vfio_client_settle(c);
}

int fph_vfio_user_client_reset(struct fph_vfio_user_client *c)
{
	struct vfio_request r = { .command = VFIO_DEVICE_RESET };
	int rc;

	if (c->phase != VFIO_UP)
		return -EIO;
	c->deadline_ms = fph_vfio_now_ms() + c->opts.timeout_ms;
	rc = fph_vfio_client_ask(c, &r, 0);
	if (rc == 0)
		rc = fph_vfio_client_find(c);
	if (rc < 0 && rc != -EREMOTEIO)
		fph_vfio_client_leave(c, true);
	return rc == -EREMOTEIO ? -EPROTO : rc;
}

/* ------------------------------------------------------------ open and close */

/* Options as in lib: shorter is filled up with zeros, longer must be zero where unknown. */
static int copy_opts(struct fph_vfio_user_client_opts *to,
		     const struct fph_vfio_user_client_opts *from)
{
	const unsigned char *tail = (const unsigned char *)from;
	size_t size = from->size;

	if (size < sizeof(size))
		return -EINVAL;
	for (size_t i = sizeof(*to); i < size; i++)
		if (tail[i])
			return -E2BIG;
	memset(to, 0, sizeof(*to));
	memcpy(to, from, size < sizeof(*to) ? size : sizeof(*to));
	return 0;
}

static int check_opts(const struct fph_vfio_user_client_opts *o)
{
	const uint32_t known = FPH_VFIO_USER_NO_MSIX | FPH_VFIO_USER_NO_INTX | FPH_VFIO_USER_POSTED;

	if (!o->loop || !o->regions || !o->region_count || (o->flags & ~known) ||
	    o->region_count > FPH_VFIO_USER_REGIONS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < o->region_count; i++) {
		const struct fph_vfio_user_region *r = &o->regions[i];

		if (!r->len || ((r->gpa | r->len | r->offset) & 4095) ||
		    r->gpa + (r->len - 1) < r->gpa || (r->fd < 0 && !r->hva))
			return -EINVAL;
		for (uint32_t k = 0; k < i; k++)
			if (r->gpa < o->regions[k].gpa + o->regions[k].len &&
			    o->regions[k].gpa < r->gpa + r->len)
				return -EINVAL;
	}
	return o->path ? fph_listener_check(o->path) : 0;
}

static int keep_regions(struct fph_vfio_user_client *c)
{
	for (uint32_t i = 0; i < c->opts.region_count; i++)
		c->regions[i].fd = -1;
	for (uint32_t i = 0; i < c->opts.region_count; i++) {
		const struct fph_vfio_user_region *r = &c->opts.regions[i];

		c->regions[i] = *r;
		if (r->fd < 0)
			continue;
		c->regions[i].fd = fcntl(r->fd, F_DUPFD_CLOEXEC, 0);
		if (c->regions[i].fd < 0)
			return -errno;
	}
	return 0;
}

int fph_vfio_user_client_open(struct fph_vfio_user_client **client,
			      const struct fph_vfio_user_client_opts *opts)
{
	struct fph_vfio_user_client_opts copy;
	struct fph_vfio_user_client *c;
	int rc = copy_opts(&copy, opts);

	if (rc == 0)
		rc = check_opts(&copy);
	if (rc < 0)
		return rc;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->opts = copy;
	c->conn.fd = -1;
	for (uint16_t i = 0; i < VFIO_CLIENT_VECTORS; i++)
		c->bells[i] = (struct vfio_bell){ c, -1, i };
	if (copy.timeout_ms == 0)
		c->opts.timeout_ms = DEFAULT_TIMEOUT_MS;
	if (copy.path) {
		c->has_path = true;
		c->addr.sun_family = AF_UNIX;
		strcpy(c->addr.sun_path, copy.path); /* its length was checked */
	}
	rc = keep_regions(c);
	c->opts.regions = NULL;
	c->opts.path = NULL;
	if (rc < 0) {
		fph_vfio_user_client_close(c);
		return rc;
	}
	*client = c;
	return 0;
}

void fph_vfio_user_client_close(struct fph_vfio_user_client *c)
{
	if (!c)
		return;
	fph_vfio_user_client_disconnect(c);
	end(c);
	for (uint32_t i = 0; i < c->opts.region_count; i++)
		if (c->regions[i].fd >= 0)
			close(c->regions[i].fd);
	free(c);
}

/* ------------------------------------------------------------ questions */

bool fph_vfio_user_client_connected(const struct fph_vfio_user_client *c)
{
	return c->phase == VFIO_UP;
}

const char *fph_vfio_user_client_why(const struct fph_vfio_user_client *c)
{
	return c->why;
}

int fph_vfio_user_client_stats(const struct fph_vfio_user_client *c,
			       struct fph_vfio_user_stats *stats)
{
	return fph_vfio_copy_stats(stats, &c->total);
}
