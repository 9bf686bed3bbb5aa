/* SPDX-License-Identifier: MIT */
#include "err.h"
#include "shm.h"
#include "vq.h"

/* V-1: the used ring is aligned to 4 behind an available ring that ends at 2 modulo 4. */
static uint32_t used_offset(uint16_t size)
{
	return (FPH_DESC_BYTES * (uint32_t)size + FPH_AVAIL_BYTES(size) + 3u) & ~3u;
}

uint32_t fph_vq_drv_bytes(uint16_t size)
{
	return (used_offset(size) + FPH_USED_BYTES(size) + 15u) & ~15u;
}

void fph_vq_drv_place(struct fph_vq_drv *vq, struct fph_guest_slot *slots, unsigned char *hva,
		      uint64_t gpa, uint16_t size)
{
	uint32_t avail = FPH_DESC_BYTES * (uint32_t)size;
	struct fph_vq_drv fresh = {
		.desc = hva,
		.avail = hva + avail,
		.used = hva + used_offset(size),
		.slots = slots,
		.place = { gpa, gpa + avail, gpa + used_offset(size), size, 0 },
		.size = size,
		.free_count = size,
		.newest = FPH_NO_SLOT,
	};

	/* V-16: flags and indices begin at 0, whatever the memory held. */
	for (uint32_t i = 0; i < fph_vq_drv_bytes(size); i += 4)
		fph_st32(hva + i, 0);
	for (uint16_t i = 0; i < size; i++) {
		slots[i].state = FPH_SLOT_FREE;
		slots[i].next = i + 1 < size ? (uint16_t)(i + 1) : FPH_NO_SLOT;
	}
	*vq = fresh;
}

uint16_t fph_vq_drv_slot(const struct fph_vq_drv *vq)
{
	return vq->free_head;
}

void fph_vq_drv_add(struct fph_vq_drv *vq, uint64_t gpa, uint32_t len, enum fph_slot_state state)
{
	uint16_t i = vq->free_head;
	struct fph_guest_slot *slot = &vq->slots[i];
	unsigned char *desc = vq->desc + FPH_DESC_BYTES * (size_t)i;
	uint64_t flags = state == FPH_SLOT_HINT ? FPH_DESC_WRITE : 0;

	vq->free_head = slot->next;
	vq->free_count--;
	slot->gpa = gpa;
	slot->len = len;
	slot->state = (uint16_t)state;

	fph_st64(desc, gpa);
	fph_st64(desc + 8, len | flags << 32);
	fph_st16(vq->avail + 4 + 2 * (size_t)(vq->queued & (vq->size - 1)), i);
	slot->next = vq->newest;
	vq->newest = i;
	vq->queued++;
}

uint16_t fph_vq_drv_withdraw(struct fph_vq_drv *vq)
{
	uint16_t slot = vq->newest;

	if (slot == FPH_NO_SLOT)
		return slot;
	vq->newest = vq->slots[slot].next;
	vq->queued--;
	return slot;
}

void fph_vq_drv_free(struct fph_vq_drv *vq, uint16_t slot)
{
	vq->slots[slot].state = FPH_SLOT_FREE;
	vq->slots[slot].next = vq->free_head;
	vq->free_head = slot;
	vq->free_count++;
}

int fph_vq_drv_publish(struct fph_vq_drv *vq)
{
	if (vq->published == vq->queued)
		return -EAGAIN;
	while (vq->newest != FPH_NO_SLOT) {
		struct fph_guest_slot *slot = &vq->slots[vq->newest];

		vq->newest = slot->next;
		slot->state |= FPH_SLOT_SHOWN;
	}
	vq->published = vq->queued;
	/* Barrier A: pairs with A in fph_vq_dev_look().  V-7 */
	fph_st16_release(vq->avail + 2, vq->published);
	/* Barrier C: pairs with C in fph_vq_dev_doorbell().  V-7 */
	fph_full_barrier();
	return !(fph_ld16(vq->used) & FPH_RING_SILENT); /* V-16 */
}

int fph_vq_drv_reap(struct fph_vq_drv *vq, uint16_t *slot, struct fph_fault *fault)
{
	const unsigned char *entry;
	struct fph_guest_slot *s;
	uint32_t id, len;
	/* Barrier B: pairs with B in fph_vq_dev_return(). */
	uint16_t idx = fph_ld16_acquire(vq->used + 2);

	if (idx == vq->reaped)
		return 0;
	if ((uint16_t)(idx - vq->reaped) > fph_vq_drv_in_flight(vq))
		return fph_fault_at(fault, FPH_RULE_USED_AHEAD, vq->reaped, idx);

	entry = vq->used + 4 + 8 * (size_t)(vq->reaped & (vq->size - 1));
	id = fph_ld32(entry);
	len = fph_ld32(entry + 4);
	if (id >= vq->size || !(vq->slots[id].state & FPH_SLOT_SHOWN))
		return fph_fault_at(fault, FPH_RULE_USED_ID, vq->reaped, id);
	s = &vq->slots[id];
	/*
	 * The length is used for nothing (G20).  Old devices report 1 even for a
	 * buffer they only read, so just what cannot be true is refused.
	 */
	if (len > s->len)
		return fph_fault_at(fault, FPH_RULE_USED_LEN, id, len);

	s->state &= (uint16_t)~FPH_SLOT_SHOWN;
	vq->reaped++;
	*slot = (uint16_t)id;
	return 1;
}

void fph_vq_drv_interrupt(struct fph_vq_drv *vq, bool on)
{
	if (vq->silent == !on)
		return;
	vq->silent = !on;
	fph_st16(vq->avail, (uint16_t)(on ? 0 : FPH_RING_SILENT)); /* V-14 */
	/* Barrier D: pairs with D in fph_vq_dev_return(). */
	if (on)
		fph_full_barrier();
}
