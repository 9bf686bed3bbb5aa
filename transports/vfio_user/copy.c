/* SPDX-License-Identifier: MIT */
#include "server.h"
#include "shm.h"
#include "vq.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * A queue in memory that came without a descriptor has its ring here in a copy, which is
 * all that the device knows of it.  From the driver: available entries, descriptors, the
 * bytes it wants read, and the index last of all.  To the driver: used entries, the index
 * after them, and then the interrupt.
 *
 * A copied descriptor of bytes to be read leads to where they are here.  Hints stay what
 * they are.  The flags of the two rings are not passed on, so both ends always ring.
 */

/* What the device reads of a chain: a command, or page numbers, or statistics. */
#define COMMAND_BYTES 4u
#define LIST_BYTES    16384u
/* Room for each descriptor's part of a command. */
#define COMMAND_SLOT 8u

#define LINK_BYTES   16u

/* ------------------------------------------------------------ life */

static uint32_t align(uint64_t n)
{
	return (uint32_t)(n + 15) & ~15u;
}

static void lay_out(const struct fph_vfio_user_server *s, struct vfio_queue *q)
{
	uint32_t n = q->place.size;

	q->at[PART_DESC] = 0;
	for (unsigned i = 0; i < 3; i++)
		q->at[i + 1] = align(q->at[i] + fph_vfio_part(s, &q->place, i).len);
	q->at[PART_TABLE] = q->at[PART_BUFFERS] + (q->hint ? COMMAND_SLOT * n : LIST_BYTES);
	q->at[PARTS] = q->at[PART_TABLE] + 16 * n;
}

int fph_vfio_copy_open(struct fph_vfio_user_server *s, uint16_t queue, struct vfio_queue *q)
{
	const uint64_t not_these = FPH_F_RING_PACKED | FPH_F_INDIRECT_DESC | FPH_F_EVENT_IDX;
	unsigned char *block;

	if (s->opts.flags & FPH_VFIO_USER_NO_MESSAGE_DMA) {
		fph_vfio_trouble(s, TROUBLE_NO_MESSAGES,
				 "guest memory came without a descriptor, and access by "
				 "messages is off; start the VMM with share=on");
		return -EPROTO;
	}
	if (fph_device_features(&s->device) & not_these) {
		fph_vfio_trouble(s, TROUBLE_FORMAT,
				 "guest memory came without a descriptor, and the driver took "
				 "a ring format that does not go by messages; start the VMM "
				 "with share=on, or do not offer RING_PACKED, INDIRECT_DESC "
				 "and EVENT_IDX");
		return -EPROTO;
	}
	q->hint = fph_device_queue(&s->device, FPH_QUEUE_HINT) == queue;
	lay_out(s, q);
	block = calloc(1, LINK_BYTES + q->at[PARTS]);
	if (!block)
		return -ENOMEM;
	q->copy = block + LINK_BYTES;
	q->fetched = q->pushed = q->place.index;
	fph_st16(q->copy + q->at[PART_DRIVER] + 2, q->fetched);
	fph_st16(q->copy + q->at[PART_DEVICE] + 2, q->pushed);
	return 0;
}

struct fph_vq_place fph_vfio_copy_place(uint16_t queue, const struct vfio_queue *q)
{
	struct fph_vq_place place = q->place;

	place.desc = VFIO_COPY_GPA(queue) + q->at[PART_DESC];
	place.driver = VFIO_COPY_GPA(queue) + q->at[PART_DRIVER];
	place.device = VFIO_COPY_GPA(queue) + q->at[PART_DEVICE];
	return place;
}

/* The device's map may lead there still. */
void fph_vfio_copy_retire(struct fph_vfio_user_server *s, struct vfio_queue *q)
{
	unsigned char *block;

	if (!q->copy)
		return;
	block = q->copy - LINK_BYTES;
	memcpy(block, &s->retired, sizeof(s->retired));
	s->retired = block;
	s->map_is_old = true;
	q->copy = NULL;
}

void fph_vfio_copy_free(struct fph_vfio_user_server *s)
{
	while (s->retired) {
		void *block = s->retired;

		memcpy(&s->retired, block, sizeof(s->retired));
		free(block);
	}
}

/* ------------------------------------------------------------ to the driver */

static uint16_t used_index(const struct vfio_queue *q)
{
	return fph_ld16(q->copy + q->at[PART_DEVICE] + 2);
}

/* As many entries from an index on as stand in a row. */
static uint16_t run(const struct vfio_queue *q, uint16_t from, uint16_t to)
{
	uint16_t room = (uint16_t)(q->place.size - (from & (q->place.size - 1)));
	uint16_t n = (uint16_t)(to - from);

	return n < room ? n : room;
}

/* Entries are there before the index says so: a message later.  Barrier B, by messages. */
static void push(struct fph_vfio_user_server *s, struct vfio_queue *q)
{
	struct vfio_dma *d = &s->dma;
	uint32_t at = 4 + 8 * (uint32_t)(d->moved & (q->place.size - 1));
	uint16_t n = run(q, d->moved, d->target);

	if (n) {
		d->moved = (uint16_t)(d->moved + n);
		fph_vfio_dma_begin(s, q->place.device + at, q->copy + q->at[PART_DEVICE] + at,
				   8u * n, true);
		return;
	}
	d->step = DMA_USED_INDEX;
	d->word[0] = (unsigned char)d->target;
	d->word[1] = (unsigned char)(d->target >> 8);
	fph_vfio_dma_begin(s, q->place.device + 2, d->word, 2, true);
}

static void begin_push(struct fph_vfio_user_server *s, uint16_t queue)
{
	struct vfio_queue *q = &s->queues[queue];
	struct vfio_dma *d = &s->dma;

	d->queue = queue;
	d->step = DMA_USED;
	d->target = used_index(q);
	d->moved = q->pushed;
	/* A driver that does not wait for its buffers overtakes the ring; let it. */
	if ((uint16_t)(d->target - d->moved) > q->place.size)
		d->moved = (uint16_t)(d->target - q->place.size);
	push(s, q);
}

/* ------------------------------------------------------------ the fence */

static const struct vfio_queue *hint_queue(const struct fph_vfio_user_server *s)
{
	int queue = fph_device_queue(&s->device, FPH_QUEUE_HINT);

	return queue >= 0 && queue < (int)FPH_QUEUE_COUNT ? &s->queues[queue] : NULL;
}

bool fph_vfio_copy_unfenced(const struct fph_vfio_user_server *s)
{
	uint32_t command = fph_device_command(&s->device);
	const struct vfio_queue *q = hint_queue(s);

	return s->runs && q && fph_vfio_is_copied(q) && command >= FPH_COMMAND_FIRST &&
	       command != s->dma.fenced;
}

/*
 * The device made stale what is here when its round began.  What the driver has made
 * available and is not here is as old, whatever its START says by the time that it is
 * fetched (H1): so ask how much that is, and show the id after that.
 */
static void begin_fence(struct fph_vfio_user_server *s)
{
	const struct vfio_queue *q = hint_queue(s);

	s->dma.fencing = fph_device_command(&s->device);
	s->dma.queue = (uint16_t)(q - s->queues);
	s->dma.step = DMA_FENCE;
	fph_vfio_dma_begin(s, q->place.driver, s->dma.word, 4, false);
}

static void take_fence(struct fph_vfio_user_server *s, const struct vfio_queue *q)
{
	struct vfio_dma *d = &s->dma;

	d->step = DMA_IDLE;
	d->fenced = d->fencing;
	d->old = (uint16_t)((d->word[2] | d->word[3] << 8) - q->fetched);
}

/* ------------------------------------------------------------ from the driver */

static void notify(struct fph_vfio_user_server *s, uint16_t queue)
{
	s->inner.ops->notify(s->inner.ctx, queue);
}

static void begin_fetch(struct fph_vfio_user_server *s, uint16_t queue)
{
	struct vfio_queue *q = &s->queues[queue];

	q->kicked = false;
	s->dma.queue = queue;
	s->dma.step = DMA_INDEX;
	fph_vfio_dma_begin(s, q->place.driver, s->dma.word, 4, false);
}

/* Show the device what is here.  Barrier A is that of a store in one process. */
static void publish(struct vfio_queue *q, uint16_t index)
{
	q->fetched = index;
	fph_st16_release(q->copy + q->at[PART_DRIVER] + 2, index);
}

static void fetch_entries(struct fph_vfio_user_server *s, struct vfio_queue *q)
{
	struct vfio_dma *d = &s->dma;
	uint32_t at = 4 + 2 * (uint32_t)(d->moved & (q->place.size - 1));
	uint16_t n = run(q, d->moved, d->target);

	if (n) {
		d->moved = (uint16_t)(d->moved + n);
		fph_vfio_dma_begin(s, q->place.driver + at, q->copy + q->at[PART_DRIVER] + at,
				   2u * n, false);
		return;
	}
	d->step = DMA_TABLE;
	fph_vfio_dma_begin(s, q->place.desc, q->copy + q->at[PART_TABLE], 16u * q->place.size,
			   false);
}

static void take_index(struct fph_vfio_user_server *s, struct vfio_queue *q)
{
	struct vfio_dma *d = &s->dma;

	d->target = (uint16_t)(d->word[2] | d->word[3] << 8);
	d->moved = q->fetched;
	d->step = DMA_IDLE;
	if ((uint16_t)(d->target - q->fetched) > q->place.size) {
		publish(q, d->target); /* for the device to complain of: V-6 */
		notify(s, d->queue);
	} else if (d->target != q->fetched) {
		d->step = DMA_ENTRIES;
		fetch_entries(s, q);
	}
}

/*
 * Have the bytes of a descriptor's buffer here, as many as count.  Returns where they will
 * be, or gpa: in shared memory, where the device reads lists itself, or nowhere.  Commands
 * are copied, since they must not change once they are judged to be of a round.
 */
static uint64_t bring(struct fph_vfio_user_server *s, const struct vfio_queue *q, uint64_t gpa,
		      uint32_t len)
{
	struct vfio_dma *d = &s->dma;
	uint32_t limit = q->hint ? COMMAND_BYTES : LIST_BYTES, left = limit - d->bytes;
	uint32_t at = q->at[PART_BUFFERS] + (q->hint ? COMMAND_SLOT * d->follow : d->bytes);
	const struct vfio_area *area = fph_vfio_area_at(s, gpa, len);
	uint32_t n = len < left ? len : left;

	if (!area || n == 0 || (area->hva && !q->hint))
		return gpa;
	d->bytes += n;
	if (d->old_chain)
		memset(q->copy + at, 0, n); /* no START: the device reads STOP */
	else if (area->hva)
		fph_ld_bytes(q->copy + at, (unsigned char *)area->hva + (gpa - area->gpa), n);
	else
		fph_vfio_dma_begin(s, gpa, q->copy + at, n, false);
	return VFIO_COPY_GPA(d->queue) + at;
}

/* The next descriptor of the chain in hand, from the table to the ring. */
static void copy_desc(struct fph_vfio_user_server *s, struct vfio_queue *q)
{
	struct vfio_dma *d = &s->dma;
	const unsigned char *from = q->copy + q->at[PART_TABLE] + 16 * (size_t)d->follow;
	unsigned char *to = q->copy + q->at[PART_DESC] + 16 * (size_t)d->follow;
	uint64_t gpa = fph_ld64(from), rest = fph_ld64(from + 8);
	uint16_t flags = (uint16_t)(rest >> 32);
	uint32_t len = (uint32_t)rest;

	if (!(flags & FPH_DESC_WRITE) && len)
		gpa = bring(s, q, gpa, len);
	fph_st64(to, gpa);
	fph_st64(to + 8, rest);
	d->follow = (uint16_t)(rest >> 48);
	d->in_chain = flags & FPH_DESC_NEXT;
}

/*
 * Chain by chain, up to the next transfer.  Nothing is judged, which is the device's part;
 * but no more is done than an honest driver's ring can ask for.
 */
static void copy_chains(struct fph_vfio_user_server *s, struct vfio_queue *q)
{
	struct vfio_dma *d = &s->dma;

	while (!d->left) {
		if (d->in_chain && d->follow < q->place.size && d->budget) {
			d->budget--;
			copy_desc(s, q);
			continue;
		}
		if (d->moved != q->fetched) {
			/* A round began while its bytes were on their way. */
			if (q->hint && fph_vfio_copy_unfenced(s))
				memset(q->copy + q->at[PART_BUFFERS], 0,
				       COMMAND_SLOT * q->place.size);
			publish(q, d->moved);
			notify(s, d->queue); /* lists have one place for all: it reads now */
		}
		if (d->moved == d->target) {
			d->step = DMA_IDLE;
			return;
		}
		d->follow = fph_ld16(q->copy + q->at[PART_DRIVER] + 4 +
				     2 * (size_t)(d->moved & (q->place.size - 1)));
		d->in_chain = true;
		d->bytes = 0;
		d->old_chain = q->hint && (d->old || fph_vfio_copy_unfenced(s));
		d->old = (uint16_t)(d->old - (q->hint && d->old));
		d->moved++;
	}
}

static void begin_chains(struct fph_vfio_user_server *s, struct vfio_queue *q)
{
	struct vfio_dma *d = &s->dma;

	d->step = DMA_CHAIN;
	d->moved = q->fetched;
	d->budget = q->place.size;
	d->in_chain = false;
	copy_chains(s, q);
}

/* ------------------------------------------------------------ what comes next */

/* First of all the driver gets what is its own. */
static bool choose(struct fph_vfio_user_server *s)
{
	for (uint16_t i = 0; i < FPH_QUEUE_COUNT; i++) {
		const struct vfio_queue *q = &s->queues[i];

		if (fph_vfio_is_copied(q) && used_index(q) != q->pushed) {
			begin_push(s, i);
			return true;
		}
	}
	if (fph_vfio_copy_unfenced(s)) {
		begin_fence(s);
		return true;
	}
	if (s->dma.owed) {
		s->dma.owed = false;
		fph_pci_device_interrupt(&s->pci);
		return true;
	}
	for (uint16_t i = 0; i < FPH_QUEUE_COUNT; i++) {
		if (s->runs && fph_vfio_is_copied(&s->queues[i]) && s->queues[i].kicked) {
			begin_fetch(s, i);
			return true;
		}
	}
	return false;
}

bool fph_vfio_copy_step(struct fph_vfio_user_server *s)
{
	struct vfio_queue *q = &s->queues[s->dma.queue];

	switch (s->dma.step) {
	case DMA_IDLE:
		return choose(s);
	case DMA_FENCE:
		take_fence(s, q);
		break;
	case DMA_INDEX:
		take_index(s, q);
		break;
	case DMA_ENTRIES:
		fetch_entries(s, q);
		break;
	case DMA_TABLE:
		begin_chains(s, q);
		break;
	case DMA_CHAIN:
		copy_chains(s, q);
		break;
	case DMA_USED:
		push(s, q);
		break;
	case DMA_USED_INDEX:
		q->pushed = s->dma.target;
		s->dma.step = DMA_IDLE;
		break;
	}
	return true;
}
