/* SPDX-License-Identifier: MIT */
#include "client.h"
#include "unix/bell.h"
#include "unix/listen.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 1000u

/* So that a server that never stops talking does not keep the loop for itself. */
#define MESSAGES_PER_TURN 16

int fph_shm_client_because(struct fph_shm_client *c, int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->why, sizeof(c->why), format, args);
	va_end(args);
	return rc;
}

/* ------------------------------------------------------------ time */

int64_t fph_shm_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int fph_shm_left_ms(int64_t deadline_ms)
{
	int64_t left = deadline_ms - fph_shm_now_ms();

	if (left <= 0)
		return 0;
	return left < INT32_MAX ? (int)left : INT32_MAX;
}

/* ------------------------------------------------------------ the end of a connection */

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void fph_shm_client_release(struct fph_shm_client *c)
{
	if (c->driver)
		munmap(c->driver, SHM_CLIENT_BYTES);
	if (c->pages)
		munmap((void *)(uintptr_t)c->pages, SHM_SERVER_BYTES);
	c->driver = NULL;
	c->pages = NULL;
	close_one(&c->ctl_kick);
	close_one(&c->ctl_ack);
	close_one(&c->irq);
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		close_one(&c->kick[q]);
}

void fph_shm_client_leave(struct fph_shm_client *c, bool tell)
{
	if (c->phase != SHM_UP)
		return;
	fph_loop_remove(c->opts.loop, c->irq);
	fph_shm_client_release(c);
	c->tell_gone = tell;
	c->phase = SHM_LEAVING;
	/* The server sees this end, lets go of the memory, and closes its own end. */
	shutdown(c->sock, SHUT_WR);
	fph_shm_client_settle(c);
}

/*
 * G22: guest memory is ours again when the server's end is closed, which it does last.
 * The socket stays in the loop until `gone` was told.
 */
static bool is_closed(const struct fph_shm_client *c)
{
	struct pollfd p = { .fd = c->sock };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static void end(struct fph_shm_client *c)
{
	if (c->sock >= 0)
		fph_loop_remove(c->opts.loop, c->sock);
	close_one(&c->sock);
}

void fph_shm_client_settle(struct fph_shm_client *c)
{
	if (c->phase != SHM_LEAVING || !is_closed(c))
		return;
	c->phase = SHM_IDLE;
	if (!c->tell_gone)
		end(c);
}

/* ------------------------------------------------------------ what the loop calls */

/* Returns whether there was something. */
static bool take_message(const struct fph_shm_client *c)
{
	char byte;

	return recv(c->sock, &byte, sizeof(byte), MSG_DONTWAIT) > 0;
}

static void on_socket(void *ctx)
{
	struct fph_shm_client *c = ctx;

	/* The server has nothing to say after its answer. */
	if (c->phase == SHM_UP) {
		fph_shm_client_because(c, 0, take_message(c) ? "the server broke the protocol" :
							       "the server closed the connection");
		fph_shm_client_leave(c, true);
	}
	for (int i = 0; i < MESSAGES_PER_TURN && take_message(c); i++)
		;
	fph_shm_client_settle(c);
	if (c->phase != SHM_IDLE)
		return;
	end(c);
	if (c->tell_gone && c->opts.gone) {
		c->tell_gone = false;
		c->opts.gone(c->opts.ctx, c->why);
	}
}

static void on_irq(void *ctx)
{
	struct fph_shm_client *c = ctx;

	if (fph_bell_take(c->irq) > 0 && c->opts.interrupt)
		c->opts.interrupt(c->opts.ctx);
}

/* ------------------------------------------------------------ connect and disconnect */

/* Wait until the server of the last connection has let go of the memory. */
static int wait_for_the_end(struct fph_shm_client *c)
{
	int64_t deadline = fph_shm_now_ms() + c->opts.timeout_ms;
	struct pollfd p = { .fd = c->sock };
	int left;

	fph_shm_client_settle(c);
	while (c->phase == SHM_LEAVING && (left = fph_shm_left_ms(deadline)) > 0) {
		poll(&p, 1, left);
		fph_shm_client_settle(c);
	}
	if (c->phase == SHM_LEAVING)
		return fph_shm_client_because(c, -EBUSY, "the last server has not let go of the "
					      "memory yet");
	end(c);
	c->tell_gone = false;
	return 0;
}

int fph_shm_client_connect(struct fph_shm_client *c)
{
	int rc;

	if (c->phase == SHM_UP)
		return 0;
	rc = wait_for_the_end(c);
	if (rc < 0)
		return rc;
	c->why[0] = '\0';
	c->deadline_ms = fph_shm_now_ms() + c->opts.timeout_ms;
	rc = fph_shm_client_attach(c);
	if (rc == 0) {
		rc = fph_loop_add(c->opts.loop, c->sock, on_socket, c);
		if (rc == 0)
			rc = fph_loop_add(c->opts.loop, c->irq, on_irq, c);
		if (rc < 0)
			fph_shm_client_because(c, rc, "no memory to watch the server");
	}
	if (rc < 0) {
		/* No queue was placed, so the server has touched nothing and will not. */
		end(c);
		fph_shm_client_release(c);
		return rc;
	}
	c->phase = SHM_UP;
	return 0;
}

void fph_shm_client_disconnect(struct fph_shm_client *c)
{
	c->tell_gone = false;
	c->why[0] = '\0';
	fph_shm_client_leave(c, false);
	fph_shm_client_settle(c);
	if (c->phase == SHM_IDLE)
		end(c);
}

bool fph_shm_client_connected(const struct fph_shm_client *c)
{
	return c->phase == SHM_UP;
}

const char *fph_shm_client_why(const struct fph_shm_client *c)
{
	return c->why;
}

/* ------------------------------------------------------------ open and close */

/* Options as in lib: shorter is filled up with zeros, longer must be zero where unknown. */
static int copy_opts(struct fph_shm_client_opts *to, const struct fph_shm_client_opts *from)
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

static int check_opts(const struct fph_shm_client_opts *o)
{
	if (!o->loop || !o->regions || o->region_count == 0 ||
	    o->region_count > FPH_SHM_REGIONS_MAX)
		return -EINVAL;
	return fph_listener_check(o->path);
}

/* The rest is the server's to judge; this is what can be put right here and now. */
static int check_region(const struct fph_shm_region *r)
{
	int seals = fcntl(r->fd, F_GET_SEALS);

	if (seals < 0)
		return errno == EBADF ? -EBADF : -EPERM;
	if (r->len == 0 || (r->gpa ^ r->offset) % SHM_PAGE)
		return -EINVAL;
	if (!(seals & F_SEAL_SHRINK) || (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return -EPERM;
	return 0;
}

static int keep_regions(struct fph_shm_client *c, const struct fph_shm_region *regions)
{
	for (uint32_t i = 0; i < c->opts.region_count; i++) {
		int rc = check_region(&regions[i]);

		if (rc < 0)
			return rc;
		c->regions[i] = regions[i];
		c->regions[i].fd = fcntl(regions[i].fd, F_DUPFD_CLOEXEC, 0);
		if (c->regions[i].fd < 0)
			return -errno;
	}
	return 0;
}

static void init(struct fph_shm_client *c)
{
	c->sock = c->ctl_kick = c->ctl_ack = c->irq = -1;
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		c->kick[q] = -1;
	for (uint32_t i = 0; i < FPH_SHM_REGIONS_MAX; i++)
		c->regions[i].fd = -1;
	if (!c->opts.timeout_ms)
		c->opts.timeout_ms = DEFAULT_TIMEOUT_MS;
	c->addr.sun_family = AF_UNIX;
	memcpy(c->addr.sun_path, c->opts.path, strlen(c->opts.path) + 1);
}

int fph_shm_client_open(struct fph_shm_client **client, const struct fph_shm_client_opts *opts)
{
	struct fph_shm_client_opts copy;
	struct fph_shm_client *c;
	int rc = copy_opts(&copy, opts);

	if (rc == 0)
		rc = check_opts(&copy);
	if (rc < 0)
		return rc;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->opts = copy;
	init(c);
	rc = keep_regions(c, copy.regions);
	c->opts.path = NULL;
	c->opts.regions = NULL;
	if (rc < 0) {
		fph_shm_client_close(c);
		return rc;
	}
	*client = c;
	return 0;
}

void fph_shm_client_close(struct fph_shm_client *c)
{
	if (!c)
		return;
	fph_shm_client_disconnect(c);
	end(c);
	for (uint32_t i = 0; i < FPH_SHM_REGIONS_MAX; i++)
		close_one(&c->regions[i].fd);
	free(c);
}
