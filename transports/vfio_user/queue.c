/* SPDX-License-Identifier: MIT */
#include "server.h"
#include "shm.h"
#include <errno.h>
#include <string.h>

/*
 * Between the PCI function and the device: queues as the driver placed them.  One whose
 * ring loses its memory for a while (QEMU maps memory anew in pieces) stops and goes on;
 * one in memory without a descriptor goes by a copy.
 */
#define INNER(s, verb, ...) ((s)->inner.ops->verb((s)->inner.ctx, __VA_ARGS__))

/* ------------------------------------------------------------ where a queue stands */

static bool is_packed(const struct fph_vfio_user_server *s)
{
	return fph_device_features(&s->device) & FPH_F_RING_PACKED;
}

struct fph_range fph_vfio_part(const struct fph_vfio_user_server *s,
			       const struct fph_vq_place *place, unsigned part)
{
	uint64_t n = place->size;

	switch (part) {
	case PART_DESC:
		return (struct fph_range){ place->desc, 16 * n };
	case PART_DRIVER:
		return (struct fph_range){ place->driver, is_packed(s) ? 4 : 6 + 2 * n };
	default:
		return (struct fph_range){ place->device, is_packed(s) ? 4 : 6 + 8 * n };
	}
}

/* How many parts of it are in writable memory, with a descriptor or without. */
static unsigned count_parts(const struct fph_vfio_user_server *s, const struct fph_vq_place *place,
			    bool shared)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 3; i++) {
		struct fph_range r = fph_vfio_part(s, place, i);
		const struct vfio_area *a = fph_vfio_area_at(s, r.gpa, r.len);

		n += a && !(a->flags & FPH_REGION_READONLY) && (a->hva != NULL) == shared;
	}
	return n;
}

static bool stands(const struct fph_vfio_user_server *s, const struct vfio_queue *q)
{
	return count_parts(s, &q->place, !q->copy) == 3;
}

void fph_vfio_stop_queue(struct fph_vfio_user_server *s, uint16_t queue)
{
	struct vfio_queue *q = &s->queues[queue];

	/* The embedder is not in the middle of a batch while the loop runs. */
	fph_device_ack(&s->device);
	INNER(s, vq_disable, queue, &q->place.index);
	q->parked = true;
}

void fph_vfio_park(struct fph_vfio_user_server *s)
{
	for (uint16_t i = 0; i < FPH_QUEUE_COUNT; i++)
		if (s->queues[i].enabled && !s->queues[i].parked && !stands(s, &s->queues[i]))
			fph_vfio_stop_queue(s, i);
}

/* A copy would have to begin anew in the middle: the driver has to, by a reset. */
void fph_vfio_unpark(struct fph_vfio_user_server *s)
{
	for (uint16_t i = 0; i < FPH_QUEUE_COUNT; i++) {
		struct vfio_queue *q = &s->queues[i];

		if (!q->parked || q->copy || !stands(s, q))
			continue;
		q->parked = INNER(s, vq_enable, i, &q->place) < 0;
		/* Doorbells may have been rung meanwhile, and are not rung again. */
		if (!q->parked)
			INNER(s, notify, i);
	}
}

static void forget(struct fph_vfio_user_server *s)
{
	fph_vfio_dma_cancel(s);
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++) {
		fph_vfio_copy_retire(s, &s->queues[i]);
		memset(&s->queues[i], 0, sizeof(s->queues[i]));
	}
	s->dma.owed = false;
	s->dma.fenced = 0;
	s->dma.old = 0;
	s->msix_pending = 0;
	s->is_shared = false;
	s->nothings = 0;
}

/* ------------------------------------------------------------ doorbells */

/*
 * Memory that is not shared looks like any other, but nothing in it ever moves.  A doorbell
 * that means nothing is allowed (V-17); several of them, while no ring has ever had a
 * buffer in it, are no accident.
 */
static void suspect(struct fph_vfio_user_server *s, const struct vfio_queue *q)
{
	const unsigned char *avail = fph_mem_at(&s->maps[s->map].mem, q->place.driver, 4);

	if (s->is_shared || !avail || is_packed(s))
		return;
	if (fph_ld16(avail + 2) != q->place.index)
		s->is_shared = true;
	else if (++s->nothings > 1)
		fph_vfio_trouble(s, TROUBLE_PRIVATE,
				 "the driver rings, but its rings are empty here: guest "
				 "memory is private to the VMM; start it with share=on");
}

/*
 * A doorbell before DRIVER_OK is not for the device (G-4), but Linux announces its first
 * statistics so, and never again: it is kept until then.  Those of copies are for the pump.
 */
static void pass_on(struct fph_vfio_user_server *s, uint16_t queue)
{
	struct vfio_queue *q = &s->queues[queue];

	if (!s->runs || !q->kicked || q->parked || q->copy)
		return;
	q->kicked = false;
	suspect(s, q);
	INNER(s, notify, queue);
}

/* ------------------------------------------------------------ the bus */

static int bus_features(void *ctx, uint64_t *offered)
{
	struct fph_vfio_user_server *s = ctx;

	return INNER(s, features, offered);
}

static int bus_accept(void *ctx, uint64_t accepted)
{
	struct fph_vfio_user_server *s = ctx;

	return INNER(s, accept, accepted);
}

static int bus_status(void *ctx, uint8_t *status)
{
	struct fph_vfio_user_server *s = ctx;

	return INNER(s, status, status);
}

static int bus_set_status(void *ctx, uint8_t status)
{
	struct fph_vfio_user_server *s = ctx;

	uint8_t now = 0;
	int rc;

	s->changed = true;
	if (status == 0)
		forget(s);
	rc = INNER(s, set_status, status);
	INNER(s, status, &now);
	s->runs = status && (now & FPH_STATUS_DRIVER_OK);
	for (uint16_t i = 0; i < FPH_QUEUE_COUNT; i++)
		pass_on(s, i);
	return rc;
}

static int bus_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct fph_vfio_user_server *s = ctx;
	unsigned char *bytes = buf;
	int rc = INNER(s, config, offset, buf, len);

	for (uint32_t i = 0; rc == 0 && i < len && fph_vfio_copy_unfenced(s); i++)
		if (offset + i - FPH_CONFIG_COMMAND_ID < 4)
			bytes[i] = 0; /* STOP */
	return rc;
}

static int bus_set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct fph_vfio_user_server *s = ctx;

	return INNER(s, set_config, offset, buf, len);
}

static int bus_vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	struct fph_vfio_user_server *s = ctx;

	return INNER(s, vq_max, queue, max);
}

static bool is_aligned(const struct fph_vq_place *p)
{
	return !(p->desc & 15) && !(p->driver & 1) && !(p->device & 3);
}

/* Judge where a queue is to stand, and prepare that.  Returns 0 or a negative errno. */
static int prepare(struct fph_vfio_user_server *s, uint16_t queue, struct vfio_queue *q)
{
	unsigned without = count_parts(s, &q->place, false);
	uint16_t max = 0;

	/* What no queue may be, or parts in no memory, are the device's to refuse. */
	INNER(s, vq_max, queue, &max);
	if (without == 0 || q->place.size == 0 || q->place.size > max ||
	    (q->place.size & (q->place.size - 1)) || !is_aligned(&q->place) ||
	    without + count_parts(s, &q->place, true) < 3)
		return 0;
	if (without == 3)
		return fph_vfio_copy_open(s, queue, q);
	fph_vfio_trouble(s, TROUBLE_MIXED,
			 "a queue stands half in shared memory and half in memory that is not; "
			 "start the VMM with share=on for all memory");
	return -EPROTO;
}

static int bus_vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	struct fph_vfio_user_server *s = ctx;
	struct vfio_queue *q = &s->queues[queue < FPH_QUEUE_COUNT ? queue : 0];
	struct vfio_queue fresh = { .place = *place, .enabled = true };
	int rc;

	if (queue >= FPH_QUEUE_COUNT || q->enabled)
		return -EPROTO;
	rc = prepare(s, queue, &fresh);
	if (rc < 0)
		return rc;
	*q = fresh;
	if (q->copy || s->map_is_old)
		fph_vfio_remap(s);
	fresh.place = q->copy ? fph_vfio_copy_place(queue, q) : *place;
	rc = INNER(s, vq_enable, queue, &fresh.place);
	if (rc < 0) {
		fph_vfio_copy_retire(s, q);
		memset(q, 0, sizeof(*q));
	}
	return rc;
}

static int bus_vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	struct fph_vfio_user_server *s = ctx;
	struct vfio_queue *q = &s->queues[queue < FPH_QUEUE_COUNT ? queue : 0];
	int rc;

	if (queue >= FPH_QUEUE_COUNT || !q->enabled)
		return -EPROTO;
	*index = q->place.index;
	rc = q->parked ? 0 : INNER(s, vq_disable, queue, index);
	if (rc < 0)
		return rc;
	if (q->copy)
		fph_vfio_dma_cancel(s);
	fph_vfio_copy_retire(s, q);
	memset(q, 0, sizeof(*q));
	s->changed |= s->map_is_old;
	if (s->map_is_old)
		fph_vfio_remap(s);
	return 0;
}

static int bus_notify(void *ctx, uint16_t queue)
{
	struct fph_vfio_user_server *s = ctx;

	if (queue >= FPH_QUEUE_COUNT || !s->queues[queue].enabled)
		return 0;
	s->queues[queue].kicked = true;
	pass_on(s, queue);
	return 0;
}

static int bus_take_irq(void *ctx, uint32_t *irq)
{
	struct fph_vfio_user_server *s = ctx;

	return INNER(s, take_irq, irq);
}

static const struct fph_bus_ops bus_ops = {
	.size = sizeof(bus_ops),
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

struct fph_bus fph_vfio_queue_bus(struct fph_vfio_user_server *s)
{
	return (struct fph_bus){ &bus_ops, s };
}
