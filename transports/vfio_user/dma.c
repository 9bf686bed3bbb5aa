/* SPDX-License-Identifier: MIT */
#include "server.h"
#include <errno.h>
#include <string.h>

/*
 * Guest memory by messages, one at a time.  The client may be waiting for us with its big
 * lock held, so no message of ours goes out while a request of its own is unanswered, and
 * requests are served while our answer is awaited.
 */

void fph_vfio_dma_begin(struct fph_vfio_user_server *s, uint64_t gpa, void *here, uint32_t len,
			bool write)
{
	s->dma.gpa = gpa;
	s->dma.here = here;
	s->dma.left = len;
	s->dma.write = write;
}

/* ------------------------------------------------------------ ask */

static uint32_t most(const struct fph_vfio_user_server *s)
{
	uint64_t told = s->limits.max_data_xfer_size;

	return told && told < VFIO_XFER_MAX ? (uint32_t)told : VFIO_XFER_MAX;
}

static void ask(struct fph_vfio_user_server *s)
{
	struct vfio_dma *d = &s->dma;
	struct vfio_dma_access access = { .addr = d->gpa };
	struct vfio_header header = { .id = ++d->id, .flags = VFIO_REQUEST };
	int rc;

	d->asked = d->left < most(s) ? d->left : most(s);
	access.count = d->asked;
	header.command = d->write ? VFIO_DMA_WRITE : VFIO_DMA_READ;
	rc = fph_vfio_conn_send(&s->conn, header, &access, sizeof(access), d->here,
				d->write ? d->asked : 0, NULL, 0);
	if (rc < 0) {
		fph_vfio_because(s, rc, "a message to the client: %s", strerror(-rc));
		fph_vfio_break(s);
		return;
	}
	d->waiting = true;
	if (d->write)
		s->total.dma_writes++;
	else
		s->total.dma_reads++;
}

void fph_vfio_dma_pump(struct fph_vfio_user_server *s)
{
	struct vfio_dma *d = &s->dma;

	if (d->pumping || s->leaving)
		return;
	d->pumping = true;
	while (!d->waiting && !s->broken && !fph_vfio_conn_waits(&s->conn)) {
		if (d->left)
			ask(s);
		else if (!fph_vfio_copy_step(s))
			break;
	}
	d->pumping = false;
	fph_vfio_watch_output(s);
}

/* ------------------------------------------------------------ answers */

/* The queue of it cannot be served: out with it, until the driver's next reset. */
static void fail(struct fph_vfio_user_server *s)
{
	struct vfio_dma *d = &s->dma;

	fph_vfio_trouble(s, TROUBLE_REFUSED,
			 "guest memory came without a descriptor, and the client refuses "
			 "access by messages; start the VMM with share=on");
	d->left = 0;
	d->step = DMA_IDLE;
	fph_vfio_stop_queue(s, d->queue);
	s->changed = true;
	fph_vfio_remap(s);
}

/* What follows the header of an answer to a write differs from QEMU to QEMU. */
static bool is_good(const struct fph_vfio_user_server *s)
{
	const struct vfio_dma *d = &s->dma;
	struct vfio_dma_access access;

	if (s->conn.header.flags & VFIO_ERROR)
		return false;
	if (d->write)
		return true;
	if (s->conn.len != sizeof(access) + d->asked)
		return false;
	memcpy(&access, s->conn.body, sizeof(access));
	return access.addr == d->gpa && access.count == d->asked;
}

int fph_vfio_dma_answer(struct fph_vfio_user_server *s)
{
	const struct vfio_header *h = &s->conn.header;
	struct vfio_dma *d = &s->dma;

	if (!d->waiting || h->id != d->id ||
	    h->command != (d->write ? VFIO_DMA_WRITE : VFIO_DMA_READ))
		return -EINVAL;
	d->waiting = false;
	if (d->stale) {
		d->stale = false;
		return 0;
	}
	if (!is_good(s)) {
		fail(s);
		return 0;
	}
	if (!d->write)
		memcpy(d->here, s->conn.body + sizeof(struct vfio_dma_access), d->asked);
	d->gpa += d->asked;
	d->here += d->asked;
	d->left -= d->asked;
	return 0;
}

void fph_vfio_dma_cancel(struct fph_vfio_user_server *s)
{
	struct vfio_dma *d = &s->dma;

	d->stale = d->waiting;
	d->left = 0;
	if (d->step != DMA_IDLE)
		s->queues[d->queue].kicked = true;
	d->step = DMA_IDLE;
}
