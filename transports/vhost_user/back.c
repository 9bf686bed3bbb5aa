/* SPDX-License-Identifier: MIT */
#include "back.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ------------------------------------------------------------ reasons */

enum vu_outcome fph_vu_refuse(struct fph_vhost_user *vu, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(vu->why, sizeof(vu->why), format, args);
	va_end(args);
	return VU_REFUSED;
}

enum vu_outcome fph_vu_break(struct fph_vhost_user *vu, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(vu->why, sizeof(vu->why), format, args);
	va_end(args);
	return VU_BROKEN;
}

/* ------------------------------------------------------------ the device's hooks */

/*
 * Also called from device calls that the embedder makes: it signals and does nothing
 * else.  What goes wrong with a signal is not the device's matter, nor the caller's.
 */
static void on_interrupt(void *ctx)
{
	struct fph_vhost_user *vu = ctx;
	uint32_t irq = 0;

	vu->bus.ops->take_irq(vu->bus.ctx, &irq);
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++)
		if (irq & FPH_IRQ_VQ(i))
			fph_vu_signal(&vu->rings[i]);
	if (irq & FPH_IRQ_CONFIG) {
		vu->config_owed = true;
		fph_vu_tell_config(vu);
	}
}

static void on_hints(void *ctx)
{
	struct fph_vhost_user *vu = ctx;

	vu->opts.device.hints(vu->opts.device.ctx);
}

static void on_pages(void *ctx, enum fph_queue queue, struct fph_range range)
{
	struct fph_vhost_user *vu = ctx;

	vu->opts.device.pages(vu->opts.device.ctx, queue, range);
}

static void on_stat(void *ctx, struct fph_stat stat)
{
	struct fph_vhost_user *vu = ctx;

	vu->opts.device.stat(vu->opts.device.ctx, stat);
}

static bool suspended(const struct fph_vhost_user *vu)
{
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++)
		if (vu->rings[i].running)
			return false;
	return true;
}

/*
 * Not while a message waits for its answer: a front end that reads the configuration
 * from within its wait would get the two answers mixed up.  Not while no ring runs: the
 * specification forbids it.  Without the need-reply flag, so nothing is ever read from
 * the channel.
 */
void fph_vu_tell_config(struct fph_vhost_user *vu)
{
	const struct vu_header msg = { .request = VU_BACKEND_CONFIG_CHANGE_MSG,
				       .flags = VU_VERSION };
	ssize_t n;

	if (!vu->config_owed || vu->busy || vu->channel < 0 || suspended(vu) ||
	    !fph_vu_has(vu, VU_P_CONFIG))
		return;
	n = send(vu->channel, &msg, sizeof(msg), MSG_DONTWAIT | MSG_NOSIGNAL);
	/*
	 * A full channel holds messages like this one, after which the front end reads
	 * what is true then: nothing is lost.  Still it is owed, until one fits.
	 */
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	vu->config_owed = false;
	if (n != (ssize_t)sizeof(msg)) {
		close(vu->channel);
		vu->channel = -1;
	}
}

/* ------------------------------------------------------------ one front end */

void fph_vu_reset_device(struct fph_vhost_user *vu)
{
	uint8_t status = 0;

	vu->bus.ops->set_status(vu->bus.ctx, 0);
	vu->bus.ops->status(vu->bus.ctx, &status);
	/* R9: the embedder is not in the middle of a batch while the loop runs. */
	if (status)
		fph_device_ack(&vu->device);
	fph_vu_forget_rings(vu, false);
	vu->negotiated = false;
	vu->config_owed = false;
	vu->changed = true;
}

/* The socket is closed last: whoever sees its end knows that memory is left alone. */
static void let_go(struct fph_vhost_user *vu, void (*gone)(void *ctx, const char *why))
{
	int conn = vu->conn;

	if (conn < 0)
		return;
	fph_loop_remove(vu->opts.loop, conn);
	vu->conn = -1;
	fph_vu_reset_device(vu);
	if (gone)
		gone(vu->opts.device.ctx, vu->why);
	fph_vu_clear_memory(vu);
	fph_vu_forget_rings(vu, true);
	fph_fds_close(&vu->msg.fds);
	if (vu->channel >= 0)
		close(vu->channel);
	vu->channel = -1;
	vu->protocol = 0;
	vu->got = 0;
	vu->busy = false;
	vu->changed = false;
	close(conn);
}

void fph_vu_drop(struct fph_vhost_user *vu)
{
	let_go(vu, vu->opts.gone);
}

static void on_message(void *ctx)
{
	struct fph_vhost_user *vu = ctx;

	fph_vu_receive(vu);
}

static void on_client(void *ctx)
{
	struct fph_vhost_user *vu = ctx;
	int fd = fph_listener_accept(&vu->listener);

	if (fd < 0)
		return;
	if (vu->conn >= 0 || fph_loop_add(vu->opts.loop, fd, on_message, vu) < 0) {
		close(fd); /* one at a time */
		return;
	}
	vu->conn = fd;
}

/* ------------------------------------------------------------ open and close */

/* Options as in lib: shorter is filled up with zeros, longer must be zero where unknown. */
static int copy_opts(struct fph_vhost_user_opts *to, const struct fph_vhost_user_opts *from)
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

static int check_opts(const struct fph_vhost_user_opts *o)
{
	if (!o->loop || o->device.mem || o->device.interrupt ||
	    (o->flags & ~FPH_VHOST_USER_SEALED))
		return -EINVAL;
	/* It stands in the middle of these options, so there is no room for a longer one. */
	if (o->device.size > sizeof(o->device))
		return -E2BIG;
	return fph_listener_check(o->path);
}

static int make_device(struct fph_vhost_user *vu)
{
	struct fph_device_opts o = vu->opts.device;
	int rc;

	o.mem = &vu->memory[0].mem;
	o.ctx = vu;
	o.interrupt = on_interrupt;
	o.hints = o.hints ? on_hints : NULL;
	o.pages = o.pages ? on_pages : NULL;
	o.stat = o.stat ? on_stat : NULL;
	rc = fph_device_init(&vu->device, &o);
	if (rc == 0)
		vu->bus = fph_device_bus(&vu->device);
	return rc;
}

static void init(struct fph_vhost_user *vu)
{
	vu->listener.fd = vu->listener.spare = vu->conn = vu->channel = -1;
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++)
		vu->rings[i] = (struct vu_ring){ .vu = vu, .index = (uint16_t)i, .kick = -1,
						 .call = -1 };
	fph_vu_memory_init(vu);
}

int fph_vhost_user_open(struct fph_vhost_user **vu, const struct fph_vhost_user_opts *opts)
{
	struct fph_vhost_user_opts copy;
	struct fph_vhost_user *v;
	int rc = copy_opts(&copy, opts);

	if (rc == 0)
		rc = check_opts(&copy);
	if (rc < 0)
		return rc;
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->opts = copy;
	init(v);
	rc = make_device(v);
	if (rc == 0)
		rc = fph_listener_open(&v->listener, copy.path, SOCK_STREAM);
	if (rc == 0)
		rc = fph_loop_add(copy.loop, v->listener.fd, on_client, v);
	v->opts.path = NULL;
	if (rc < 0) {
		fph_vhost_user_close(v);
		return rc;
	}
	*vu = v;
	return 0;
}

void fph_vhost_user_close(struct fph_vhost_user *vu)
{
	if (!vu)
		return;
	let_go(vu, NULL);
	fph_loop_remove(vu->opts.loop, vu->listener.fd);
	fph_listener_close(&vu->listener);
	free(vu);
}

struct fph_device *fph_vhost_user_device(struct fph_vhost_user *vu)
{
	return &vu->device;
}

bool fph_vhost_user_connected(const struct fph_vhost_user *vu)
{
	return vu->conn >= 0;
}
