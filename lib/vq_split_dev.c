/* SPDX-License-Identifier: MIT */
#include "err.h"
#include "shm.h"
#include "vq.h"

/* Where the part is mapped, or NULL unless it lies in one region that may be written. */
static unsigned char *ring_part(const struct fph_mem *mem, uint64_t gpa, uint32_t len)
{
	struct fph_range range = { gpa, len }, piece;
	int region;

	if (gpa + (len - 1) < gpa)
		return NULL;
	region = fph_mem_piece(mem, &range, &piece);
	if (region < 0 || piece.gpa != gpa || piece.len != len)
		return NULL;
	if (mem->regions[region].flags & FPH_REGION_READONLY)
		return NULL;
	return fph_mem_at(mem, gpa, len);
}

static bool map_parts(struct fph_vq_dev *vq, const struct fph_mem *mem,
		      const struct fph_vq_place *place)
{
	unsigned char *desc = ring_part(mem, place->desc, FPH_DESC_BYTES * (uint32_t)place->size);
	unsigned char *avail = ring_part(mem, place->driver, FPH_AVAIL_BYTES(place->size));
	unsigned char *used = ring_part(mem, place->device, FPH_USED_BYTES(place->size));

	if (!desc || !avail || !used)
		return false;
	vq->desc = desc;
	vq->avail = avail;
	vq->used = used;
	return true;
}

enum fph_rule fph_vq_dev_enable(struct fph_vq_dev *vq, const struct fph_mem *mem,
				const struct fph_vq_place *place, uint16_t max)
{
	struct fph_vq_dev fresh = { .place = *place };

	if (place->size == 0 || (place->size & (place->size - 1)) || place->size > max)
		return FPH_RULE_RING_SIZE;
	if ((place->desc & 15) || (place->driver & 1) || (place->device & 3))
		return FPH_RULE_RING_ALIGN;
	if (!map_parts(&fresh, mem, place))
		return FPH_RULE_RING_MEMORY;

	fresh.size = place->size;
	fresh.seen = fresh.next = fresh.done = fresh.used_idx = place->index;
	*vq = fresh;
	fph_st16(vq->used, 0); /* V-17; whoever had the queue before may have been silent */
	return FPH_RULE_NONE;
}

enum fph_rule fph_vq_dev_move(struct fph_vq_dev *vq, const struct fph_mem *mem)
{
	return map_parts(vq, mem, &vq->place) ? FPH_RULE_NONE : FPH_RULE_RING_GONE;
}

static bool touches(const struct fph_range *range, uint64_t gpa, uint32_t len)
{
	return gpa - range->gpa < range->len || range->gpa - gpa < len;
}

bool fph_vq_dev_covers(const struct fph_vq_dev *vq, const struct fph_range *range)
{
	return vq->size && (touches(range, vq->place.desc, FPH_DESC_BYTES * (uint32_t)vq->size) ||
			    touches(range, vq->place.driver, FPH_AVAIL_BYTES(vq->size)) ||
			    touches(range, vq->place.device, FPH_USED_BYTES(vq->size)));
}

int fph_vq_dev_look(struct fph_vq_dev *vq, struct fph_fault *fault)
{
	/* Barrier A: pairs with A in fph_vq_drv_publish(). */
	uint16_t idx = fph_ld16_acquire(vq->avail + 2);
	uint16_t waiting = (uint16_t)(idx - vq->next);
	uint16_t in_hand = (uint16_t)(vq->next - vq->used_idx);

	/* A ring holds `size` chains, whether waiting or not yet returned.  V-6 */
	if ((uint32_t)waiting + in_hand > vq->size)
		return fph_fault_at(fault, FPH_RULE_AVAIL_AHEAD, vq->next, idx);
	vq->seen = idx;
	return waiting;
}

/* Begin the walk of the next chain.  Returns 1, 0 or -EPROTO. */
static int begin(struct fph_vq_dev *vq, struct fph_fault *fault)
{
	uint16_t head;

	if (vq->next == vq->seen) {
		int waiting = fph_vq_dev_look(vq, fault);

		if (waiting <= 0)
			return waiting;
	}
	head = fph_ld16(vq->avail + 4 + 2 * (size_t)(vq->next & (vq->size - 1)));
	if (head >= vq->size)
		return fph_fault_at(fault, FPH_RULE_HEAD_RANGE, vq->next, head);
	vq->next++;
	vq->head = vq->follow = head;
	vq->budget = vq->size;
	vq->in_chain = true;
	vq->writable = false;
	return 1;
}

/* The used entry is the device's until used.idx moves, so it may be written early. */
static void finish(struct fph_vq_dev *vq)
{
	unsigned char *entry = vq->used + 4 + 8 * (size_t)(vq->done & (vq->size - 1));

	fph_st32(entry, vq->head);
	fph_st32(entry + 4, 0); /* nothing was written into the buffers.  V-8 */
	vq->done++;
	vq->in_chain = false;
}

int fph_vq_dev_next(struct fph_vq_dev *vq, struct fph_vq_buf *buf, struct fph_fault *fault)
{
	const unsigned char *desc;
	uint64_t gpa, rest;
	uint16_t index, flags, follow;
	uint32_t len;
	bool first = !vq->in_chain;

	if (first) {
		int begun = begin(vq, fault);

		if (begun <= 0)
			return begun;
	}
	index = vq->follow;
	if (vq->budget-- == 0)
		return fph_fault_at(fault, FPH_RULE_CHAIN_LONG, index, vq->size);

	/* The one copy: 16 bytes into locals, and nothing is read again.  (TOCTOU) */
	desc = vq->desc + FPH_DESC_BYTES * (size_t)index;
	gpa = fph_ld64(desc);
	rest = fph_ld64(desc + 8);
	len = (uint32_t)rest;
	flags = (uint16_t)(rest >> 32);
	follow = (uint16_t)(rest >> 48);

	if (flags & FPH_DESC_INDIRECT)
		return fph_fault_at(fault, FPH_RULE_INDIRECT, index, flags);
	if (len == 0)
		return fph_fault_at(fault, FPH_RULE_BUFFER_EMPTY, index, gpa);
	if (gpa + (len - 1) < gpa)
		return fph_fault_at(fault, FPH_RULE_BUFFER_WRAP, index, gpa);
	if (flags & FPH_DESC_WRITE)
		vq->writable = true;
	else if (vq->writable)
		return fph_fault_at(fault, FPH_RULE_CHAIN_ORDER, index, flags);
	if ((flags & FPH_DESC_NEXT) && follow >= vq->size)
		return fph_fault_at(fault, FPH_RULE_NEXT_RANGE, index, follow);

	buf->gpa = gpa;
	buf->len = len;
	buf->writable = flags & FPH_DESC_WRITE;
	buf->first = first;
	buf->last = !(flags & FPH_DESC_NEXT);
	vq->follow = follow;
	if (buf->last)
		finish(vq);
	return 1;
}

int fph_vq_dev_return(struct fph_vq_dev *vq, uint16_t upto)
{
	if (upto == vq->used_idx)
		return -EAGAIN;
	vq->used_idx = upto;
	/* Barrier B: pairs with B in fph_vq_drv_reap(). */
	fph_st16_release(vq->used + 2, upto);
	/* Barrier D: pairs with D in fph_vq_drv_interrupt(). */
	fph_full_barrier();
	return !(fph_ld16(vq->avail) & FPH_RING_SILENT); /* V-15 */
}

void fph_vq_dev_doorbell(struct fph_vq_dev *vq, bool on)
{
	if (vq->silent == !on)
		return;
	vq->silent = !on;
	fph_st16(vq->used, (uint16_t)(on ? 0 : FPH_RING_SILENT)); /* V-17 */
	/* Barrier C: pairs with C in fph_vq_drv_publish(). */
	if (on)
		fph_full_barrier();
}
