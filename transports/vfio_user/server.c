/* SPDX-License-Identifier: MIT */
#include "server.h"
#include "stats.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long close() waits for the client to see the end; see drain(). */
#define DRAIN_MS 200

const struct fph_mem fph_vfio_no_memory = { 0 };

int fph_vfio_because(struct fph_vfio_user_server *s, int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->why, sizeof(s->why), format, args);
	va_end(args);
	return rc;
}

void fph_vfio_trouble(struct fph_vfio_user_server *s, enum vfio_trouble kind, const char *what)
{
	if (s->said & 1u << kind)
		return;
	s->said |= 1u << kind;
	if (s->opts.trouble)
		s->opts.trouble(s->opts.device.ctx, what);
}

/* ------------------------------------------------------------ the device's hooks */

/* A driver must not hear of used buffers before it can see them. */
static void on_interrupt(void *ctx)
{
	struct fph_vfio_user_server *s = ctx;
	bool copies = false;

	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++)
		copies |= fph_vfio_is_copied(&s->queues[i]);
	if (!copies) {
		fph_pci_device_interrupt(&s->pci);
		return;
	}
	s->dma.owed = true;
	/* In the middle of a message it is done behind the answer. */
	if (!s->busy)
		fph_vfio_dma_pump(s);
}

static void on_hints(void *ctx)
{
	struct fph_vfio_user_server *s = ctx;

	s->opts.device.hints(s->opts.device.ctx);
}

static void on_pages(void *ctx, enum fph_queue queue, struct fph_range range)
{
	struct fph_vfio_user_server *s = ctx;

	/* A driver that reports a copy of its own rings. */
	if (range.gpa >= VFIO_COPY_GPA(0))
		return;
	s->opts.device.pages(s->opts.device.ctx, queue, range);
}

static void on_stat(void *ctx, struct fph_stat stat)
{
	struct fph_vfio_user_server *s = ctx;

	s->opts.device.stat(s->opts.device.ctx, stat);
}

void fph_vfio_tell_changed(struct fph_vfio_user_server *s)
{
	bool changed = s->changed;

	s->changed = false;
	if (changed && s->opts.changed)
		s->opts.changed(s->opts.device.ctx);
}

void fph_vfio_reset_device(struct fph_vfio_user_server *s)
{
	fph_pci_device_reset(&s->pci);
	s->intx_masked = false;
	s->changed = true;
	/* R9: it ends a batch in hand, which the embedder is not in the middle of now. */
	fph_vfio_remap(s);
}

/* ------------------------------------------------------------ open and close */

/* Options as in lib: shorter is filled up with zeros, longer must be zero where unknown. */
static int copy_opts(struct fph_vfio_user_server_opts *to,
		     const struct fph_vfio_user_server_opts *from)
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

static int check_opts(const struct fph_vfio_user_server_opts *o)
{
	const uint32_t known = FPH_VFIO_USER_NO_MSIX | FPH_VFIO_USER_NO_INTX |
			       FPH_VFIO_USER_NO_MESSAGE_DMA | FPH_VFIO_USER_SEALED;

	if (!o->loop || o->device.mem || o->device.interrupt || (o->flags & ~known))
		return -EINVAL;
	/* It stands in the middle of these options, so there is no room for a longer one. */
	if (o->device.size > sizeof(o->device))
		return -E2BIG;
	return o->path ? fph_listener_check(o->path) : 0;
}

static int make_device(struct fph_vfio_user_server *s)
{
	struct fph_pci_device_opts pci = FPH_PCI_DEVICE_OPTS_INIT;
	struct fph_device_opts o = s->opts.device;
	int rc;

	o.mem = &fph_vfio_no_memory;
	o.ctx = s;
	o.interrupt = on_interrupt;
	o.hints = o.hints ? on_hints : NULL;
	o.pages = o.pages ? on_pages : NULL;
	o.stat = o.stat ? on_stat : NULL;
	rc = fph_device_init(&s->device, &o);
	if (rc < 0)
		return rc;
	s->inner = fph_device_bus(&s->device);
	pci.bus = fph_vfio_queue_bus(s);
	pci.vectors = s->opts.flags & FPH_VFIO_USER_NO_MSIX ? 0 : VFIO_VECTORS;
	pci.flags = FPH_PCI_MSIX_ELSEWHERE |
		    (s->opts.flags & FPH_VFIO_USER_NO_INTX ? FPH_PCI_NO_INTX : 0);
	pci.intx = fph_vfio_on_intx;
	pci.msix = fph_vfio_on_msix;
	pci.ctx = s;
	return fph_pci_device_init(&s->pci, &pci);
}

static void init(struct fph_vfio_user_server *s)
{
	s->conn.fd = s->writable = s->listener.fd = s->listener.spare = -1;
	s->intx = s->err = -1;
	for (unsigned v = 0; v < VFIO_VECTORS; v++)
		s->msix[v] = -1;
	for (unsigned m = 0; m < 2; m++)
		s->maps[m].mem.regions = s->maps[m].regions;
	s->view.regions = s->view_regions;
}

int fph_vfio_user_server_open(struct fph_vfio_user_server **server,
			      const struct fph_vfio_user_server_opts *opts)
{
	struct fph_vfio_user_server_opts copy;
	struct fph_vfio_user_server *s;
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
	if (rc == 0 && copy.path) {
		rc = fph_listener_open(&s->listener, copy.path, SOCK_STREAM);
		if (rc == 0)
			rc = fph_loop_add(copy.loop, s->listener.fd, fph_vfio_on_client, s);
	}
	s->opts.path = copy.path ? "" : NULL; /* borrowed for this call only */
	if (rc < 0) {
		fph_vfio_user_server_close(s);
		return rc;
	}
	*server = s;
	return 0;
}

/*
 * QEMU aborts if the connection breaks while posted writes of its own are unread.  So it
 * is shown the end, and what it still says is read until it goes, too.
 */
static void drain(int fd)
{
	char bytes[4096];
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0 || shutdown(fd, SHUT_WR) < 0)
		return;
	for (int i = 0; i < DRAIN_MS; i++) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return;
		if (n < 0)
			poll(&p, 1, 1);
	}
}

void fph_vfio_user_server_close(struct fph_vfio_user_server *s)
{
	if (!s)
		return;
	drain(s->conn.fd);
	fph_vfio_let_go(s, NULL);
	if (s->opts.path) {
		fph_loop_remove(s->opts.loop, s->listener.fd);
		fph_listener_close(&s->listener);
	}
	free(s);
}

/* ------------------------------------------------------------ questions */

struct fph_device *fph_vfio_user_server_device(struct fph_vfio_user_server *s)
{
	return &s->device;
}

bool fph_vfio_user_server_connected(const struct fph_vfio_user_server *s)
{
	return s->conn.fd >= 0 && !s->leaving;
}

const struct fph_mem *fph_vfio_user_server_mem(const struct fph_vfio_user_server *s)
{
	return &s->view;
}

int fph_vfio_user_server_region_file(const struct fph_vfio_user_server *s, uint32_t region, int *fd,
				     uint64_t *offset)
{
	if (region >= s->view.count)
		return -EINVAL;
	if (s->areas[region].fd < 0)
		return -ENOENT;
	*fd = s->areas[region].fd;
	*offset = s->areas[region].offset;
	return 0;
}

int fph_vfio_user_server_stats(const struct fph_vfio_user_server *s,
			       struct fph_vfio_user_stats *stats)
{
	return fph_vfio_copy_stats(stats, &s->total);
}
