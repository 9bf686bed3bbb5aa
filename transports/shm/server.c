/* SPDX-License-Identifier: MIT */
#include "server.h"
#include "unix/bell.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct fph_mem fph_shm_no_memory = { 0 };

int fph_shm_because(struct fph_shm_server *s, int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->why, sizeof(s->why), format, args);
	va_end(args);
	return rc;
}

/* ------------------------------------------------------------ the device's hooks */

static void on_interrupt(void *ctx)
{
	fph_shm_interrupt(ctx);
}

static void on_hints(void *ctx)
{
	struct fph_shm_server *s = ctx;

	s->opts.device.hints(s->opts.device.ctx);
}

static void on_pages(void *ctx, enum fph_queue queue, struct fph_range range)
{
	struct fph_shm_server *s = ctx;

	s->opts.device.pages(s->opts.device.ctx, queue, range);
}

static void on_stat(void *ctx, struct fph_stat stat)
{
	struct fph_shm_server *s = ctx;

	s->opts.device.stat(s->opts.device.ctx, stat);
}

/* ------------------------------------------------------------ one client */

void fph_shm_reset_device(struct fph_shm_server *s)
{
	uint8_t status = 0;

	fph_mmio_device_write(&s->mmio, FPH_MMIO_STATUS, 4, 0);
	s->bus.ops->status(s->bus.ctx, &status);
	/* R9: the embedder is not in the middle of a batch while the loop runs. */
	if (status)
		fph_device_ack(&s->device);
}

static void unwatch(struct fph_shm_server *s)
{
	fph_loop_remove(s->opts.loop, s->ctl_kick);
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		fph_loop_remove(s->opts.loop, s->kicks[q].fd);
}

/*
 * The socket is closed last: whoever sees its end knows that memory is left alone.
 * BH-15, G22
 */
static void let_go(struct fph_shm_server *s, void (*gone)(void *ctx, const char *why))
{
	int conn = s->conn;

	if (conn < 0)
		return;
	s->conn = -1;
	fph_loop_remove(s->opts.loop, conn);
	unwatch(s);
	fph_shm_reset_device(s);
	if (gone)
		gone(s->opts.device.ctx, s->why);
	fph_device_set_mem(&s->device, &fph_shm_no_memory);
	fph_shm_release(s);
	close(conn);
}

void fph_shm_drop(struct fph_shm_server *s)
{
	let_go(s, s->opts.gone);
}

/* The client has nothing to say any more; whatever comes is the end. */
static void on_conn(void *ctx)
{
	struct fph_shm_server *s = ctx;
	char byte;
	ssize_t n = recv(s->conn, &byte, sizeof(byte), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		fph_shm_because(s, 0, "the client sent more than one message");
	else
		fph_shm_because(s, 0, "the client %s",
				n < 0 ? strerror(errno) : "closed the connection");
	fph_shm_drop(s);
}

static void on_ctl_kick(void *ctx)
{
	struct fph_shm_server *s = ctx;
	int rc = fph_bell_take(s->ctl_kick);

	if (rc < 0)
		fph_shm_because(s, rc, "the descriptor of the write ring cannot be read: %s",
				strerror(-rc));
	if (rc > 0)
		rc = fph_shm_serve_writes(s);
	if (rc < 0)
		fph_shm_drop(s);
}

static void on_kick(void *ctx)
{
	struct shm_kick *kick = ctx;
	struct fph_shm_server *s = kick->server;
	int rc = fph_bell_take(kick->fd);

	if (rc > 0)
		fph_mmio_device_notify(&s->mmio, kick->queue);
	if (rc >= 0)
		return;
	fph_shm_because(s, rc, "the doorbell of queue %u cannot be read: %s", kick->queue,
			strerror(-rc));
	fph_shm_drop(s);
}

static int watch(struct fph_shm_server *s, int conn)
{
	int rc = fph_loop_add(s->opts.loop, conn, on_conn, s);

	if (rc == 0)
		rc = fph_loop_add(s->opts.loop, s->ctl_kick, on_ctl_kick, s);
	for (unsigned q = 0; q < FPH_QUEUE_COUNT && rc == 0; q++)
		rc = fph_loop_add(s->opts.loop, s->kicks[q].fd, on_kick, &s->kicks[q]);
	return rc < 0 ? fph_shm_because(s, rc, "no memory to watch the client") : 0;
}

/* ------------------------------------------------------------ attaching */

static bool send_answer(int to, int status, const char *text, int page)
{
	struct shm_answer answer = { .magic = SHM_MAGIC, .version = SHM_VERSION,
				     .status = status };
	struct iovec iov = { &answer, sizeof(answer) };
	_Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr out = { .msg_iov = &iov, .msg_iovlen = 1 };

	snprintf(answer.text, sizeof(answer.text), "%s", text);
	if (page >= 0) {
		struct cmsghdr *c;

		out.msg_control = control;
		out.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&out);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &page, sizeof(page));
	}
	return sendmsg(to, &out, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(answer);
}

/* From here on conn is the client's: it is watched, and dropped by fph_shm_drop(). */
static void attach(struct fph_shm_server *s, int conn, int page)
{
	s->conn = conn;
	fph_device_set_mem(&s->device, &s->mem);
	fph_shm_publish(s);
	if (s->opts.changed)
		s->opts.changed(s->opts.device.ctx);
	if (!send_answer(conn, 0, "", page)) {
		fph_shm_because(s, 0, "the answer cannot be sent");
		fph_shm_drop(s);
	}
	close(page);
}

static void consider(struct fph_shm_server *s, int conn, const struct shm_request *request,
		     size_t len, struct fph_fds *fds)
{
	int rc;

	if (s->conn >= 0) {
		send_answer(conn, -EBUSY, "there is a client already", -1);
		close(conn);
		return;
	}
	rc = fph_shm_take_request(s, request, len, fds);
	if (rc >= 0 && watch(s, conn) == 0) {
		attach(s, conn, rc);
		return;
	}
	if (rc >= 0) {
		close(rc);
		fph_loop_remove(s->opts.loop, conn);
		unwatch(s);
		rc = -ENOMEM;
	}
	fph_shm_release(s);
	send_answer(conn, rc, s->why, -1);
	close(conn);
}

static void on_pending(void *ctx)
{
	struct fph_shm_server *s = ctx;
	struct shm_request request;
	struct fph_fds fds = { .count = 0 };
	struct iovec iov = { &request, sizeof(request) };
	_Alignas(struct cmsghdr) unsigned char control[FPH_FDS_CONTROL];
	struct msghdr in = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			     .msg_controllen = sizeof(control) };
	int conn = s->pending;
	ssize_t n = recvmsg(conn, &in, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	fph_loop_remove(s->opts.loop, conn);
	s->pending = -1;
	if (n <= 0) {
		close(conn);
		return;
	}
	/* A length that no request has, if it was cut off. */
	if (fph_fds_take(&fds, &in) < 0 || (in.msg_flags & MSG_TRUNC))
		n = 0;
	consider(s, conn, &request, (size_t)n, &fds);
	fph_fds_close(&fds);
}

static void forget_pending(struct fph_shm_server *s)
{
	if (s->pending < 0)
		return;
	fph_loop_remove(s->opts.loop, s->pending);
	close(s->pending);
	s->pending = -1;
}

/*
 * Who comes and does not say what he wants yields to the next: so nobody holds the place
 * without having asked, and no clock is needed.
 */
static void on_client(void *ctx)
{
	struct fph_shm_server *s = ctx;
	int fd = fph_listener_accept(&s->listener);

	if (fd < 0)
		return;
	/* The end of the last client may be waiting behind the arrival of this one. */
	if (s->conn >= 0)
		on_conn(s);
	forget_pending(s);
	if (fph_loop_add(s->opts.loop, fd, on_pending, s) < 0) {
		close(fd);
		return;
	}
	s->pending = fd;
	on_pending(s);
}

/* ------------------------------------------------------------ open and close */

/* Options as in lib: shorter is filled up with zeros, longer must be zero where unknown. */
static int copy_opts(struct fph_shm_server_opts *to, const struct fph_shm_server_opts *from)
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

static int check_opts(const struct fph_shm_server_opts *o)
{
	if (!o->loop || o->device.mem || o->device.interrupt)
		return -EINVAL;
	/* It stands in the middle of these options, so there is no room for a longer one. */
	if (o->device.size > sizeof(o->device))
		return -E2BIG;
	return fph_listener_check(o->path);
}

static int make_device(struct fph_shm_server *s)
{
	struct fph_mmio_device_opts mmio = FPH_MMIO_DEVICE_OPTS_INIT;
	struct fph_device_opts o = s->opts.device;
	int rc;

	o.mem = &fph_shm_no_memory;
	o.ctx = s;
	o.interrupt = on_interrupt;
	o.hints = o.hints ? on_hints : NULL;
	o.pages = o.pages ? on_pages : NULL;
	o.stat = o.stat ? on_stat : NULL;
	rc = fph_device_init(&s->device, &o);
	if (rc < 0)
		return rc;
	s->bus = fph_device_bus(&s->device);
	mmio.bus = s->bus;
	return fph_mmio_device_init(&s->mmio, &mmio);
}

static void init(struct fph_shm_server *s)
{
	s->pending = s->conn = s->ctl_kick = s->ctl_ack = s->irq = -1;
	s->listener.fd = s->listener.spare = -1;
	s->mem.regions = s->regions;
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		s->kicks[q] = (struct shm_kick){ s, (uint16_t)q, -1 };
}

int fph_shm_server_open(struct fph_shm_server **server, const struct fph_shm_server_opts *opts)
{
	struct fph_shm_server_opts copy;
	struct fph_shm_server *s;
	int rc = copy_opts(&copy, opts);

	if (rc == 0)
		rc = check_opts(&copy);
	if (rc < 0)
		return rc;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->opts = copy;
	init(s);
	rc = make_device(s);
	if (rc == 0)
		rc = fph_listener_open(&s->listener, copy.path, SOCK_SEQPACKET);
	if (rc == 0)
		rc = fph_loop_add(copy.loop, s->listener.fd, on_client, s);
	s->opts.path = NULL;
	if (rc < 0) {
		fph_shm_server_close(s);
		return rc;
	}
	*server = s;
	return 0;
}

void fph_shm_server_close(struct fph_shm_server *s)
{
	if (!s)
		return;
	let_go(s, NULL);
	forget_pending(s);
	fph_loop_remove(s->opts.loop, s->listener.fd);
	fph_listener_close(&s->listener);
	free(s);
}

/* ------------------------------------------------------------ questions */

struct fph_device *fph_shm_server_device(struct fph_shm_server *s)
{
	return &s->device;
}

bool fph_shm_server_connected(const struct fph_shm_server *s)
{
	return s->conn >= 0;
}

const struct fph_mem *fph_shm_server_mem(const struct fph_shm_server *s)
{
	return s->conn >= 0 ? &s->mem : &fph_shm_no_memory;
}

int fph_shm_server_region_file(const struct fph_shm_server *s, uint32_t region, int *fd,
			       uint64_t *offset)
{
	if (region >= s->mem.count)
		return -EINVAL;
	*fd = s->slots[region].fd;
	*offset = s->slots[region].offset;
	return 0;
}
