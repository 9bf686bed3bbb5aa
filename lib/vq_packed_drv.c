/* SPDX-License-Identifier: MIT */
#include "vq_drv.h"

#define USED_MASK (FPH_DESC_AVAIL | FPH_DESC_USED)

static unsigned char *desc_at(const struct fph_vq_drv *vq, uint16_t pos)
{
	return vq->desc + FPH_DESC_BYTES * (size_t)(pos & ~FPH_WRAP & 0xffff);
}

/*
 * Write the next descriptor.  The first that is queued keeps its old flags, so that
 * the device, which goes in order, sees none of those behind it either.
 */
static void put(struct fph_vq_drv *vq, uint64_t gpa, uint32_t len, uint16_t id, uint16_t flags)
{
	unsigned char *at = desc_at(vq, vq->queued_pos);

	flags |= fph_avail_flags(vq->queued_pos);
	fph_st64(at, gpa);
	fph_st32(at + 8, len);
	if (vq->queued == vq->published) {
		vq->first_flags = flags;
		vq->first_id = id;
	} else {
		fph_st32(at + 12, id | (uint32_t)flags << 16);
	}
	vq->queued++;
	vq->queued_pos = fph_pos_add(vq->queued_pos, 1, vq->size);
}

/* In order ids go round with the descriptors, as a split ring's do. */
static uint16_t id_of(const struct fph_vq_drv *vq, uint32_t first)
{
	return fph_vq_slot_at(vq, vq->format.in_order ? vq->desc_queued : first);
}

static void put_table(struct fph_vq_drv *vq, uint32_t first, uint16_t count)
{
	uint16_t slots = fph_vq_slot_at(vq, first), id = id_of(vq, first);
	size_t offset = FPH_DESC_BYTES * (size_t)slots;

	for (uint16_t i = 0; i < count; i++) {
		const struct fph_guest_slot *slot = &vq->slots[slots + i];
		unsigned char *at = vq->table + offset + FPH_DESC_BYTES * (size_t)i;

		fph_st64(at, slot->gpa);
		fph_st32(at + 8, slot->len);
		fph_st32(at + 12, (uint32_t)fph_vq_flags(slot) << 16); /* P-10 */
	}
	put(vq, vq->table_gpa + offset, FPH_DESC_BYTES * (uint32_t)count, id, FPH_DESC_INDIRECT);
}

static void put_list(struct fph_vq_drv *vq, uint32_t first, uint16_t count)
{
	uint16_t id = id_of(vq, first);

	for (uint16_t i = 0; i < count; i++) {
		const struct fph_guest_slot
			*slot = &vq->slots[fph_vq_slot_at(vq, (uint16_t)(first + i))];

		/* P-8: the id counts in the last; it stands in all */
		put(vq, slot->gpa, slot->len, id,
		    (uint16_t)(fph_vq_flags(slot) | (i + 1 == count ? 0 : FPH_DESC_NEXT)));
	}
}

void fph_vq_packed_queue(struct fph_vq_drv *vq, uint32_t first, uint16_t count)
{
	if (fph_vq_is_table(vq, count))
		put_table(vq, first, count);
	else
		put_list(vq, first, count);
	vq->desc_queued = (uint16_t)(vq->desc_queued + fph_vq_descs(vq, count));
}

void fph_vq_packed_queue_plain(struct fph_vq_drv *vq, const struct fph_range *pages, uint32_t n)
{
	struct fph_vq_taking t = fph_vq_begin_taking(vq);
	unsigned char *ring = vq->desc;
	bool in_order = vq->format.in_order, held_back = vq->queued == vq->published;
	uint16_t pos = vq->queued_pos, size = vq->size;
	uint32_t desc = vq->desc_queued, flags = FPH_DESC_WRITE | fph_avail_flags(pos);

	for (uint32_t i = 0; i < n; i++, desc++) {
		uint32_t len = (uint32_t)pages[i].len;
		uint16_t slot = fph_vq_take(&t, pages[i].gpa, len, in_order);
		uint16_t id = in_order ? (uint16_t)(desc & t.mask) : slot;
		unsigned char *at = ring + FPH_DESC_BYTES * (size_t)(pos & ~FPH_WRAP & 0xffff);

		fph_st64(at, pages[i].gpa);
		fph_st32(at + 8, len);
		if (held_back && i == 0) {
			vq->first_flags = (uint16_t)flags;
			vq->first_id = id;
		} else {
			fph_st32(at + 12, id | flags << 16);
		}
		pos = fph_pos_add(pos, 1, size);
		if ((pos & ~FPH_WRAP) == 0)
			flags = FPH_DESC_WRITE | fph_avail_flags(pos);
	}
	vq->desc_queued = (uint16_t)desc;
	vq->queued = (uint16_t)(vq->queued + n);
	vq->queued_pos = pos;
	fph_vq_end_taking(vq, &t, n);
}

bool fph_vq_packed_publish(struct fph_vq_drv *vq)
{
	uint16_t n = (uint16_t)(vq->queued - vq->published);

	/* Barrier A: pairs with A in load(), vq_packed_dev.c.  P-7, P-13 */
	fph_st32_release(desc_at(vq, vq->published_pos) + 12,
			 vq->first_id | (uint32_t)vq->first_flags << 16);
	/* Barrier C: pairs with C in fph_vq_dev_doorbell().  P-13 */
	fph_full_barrier();
	return fph_event_wanted(fph_ld32(vq->device), vq->queued_pos, n, vq->size);
}

/* What is taken back must not look available when the first of it is shown one day. */
void fph_vq_packed_withdraw(struct fph_vq_drv *vq)
{
	uint16_t pos = vq->published_pos;

	for (uint16_t n = (uint16_t)(vq->queued - vq->published); n; n--) {
		fph_st32(desc_at(vq, pos) + 12, (uint32_t)fph_used_flags(pos ^ FPH_WRAP) << 16);
		pos = fph_pos_add(pos, 1, vq->size);
	}
}

int fph_vq_packed_used(struct fph_vq_drv *vq, struct fph_vq_used *used)
{
	const unsigned char *at = desc_at(vq, vq->reaped_pos);
	/* Barrier B: pairs with B in write_used(), vq_packed_dev.c.  P-5 */
	uint32_t word = fph_ld32_acquire(at + 12);

	if ((word >> 16 & USED_MASK) != fph_used_flags(vq->reaped_pos))
		return 0;
	used->most = vq->chains;
	used->id = word & 0xffff;
	used->len = word >> 16 & FPH_DESC_WRITE ? fph_ld32(at + 8) : 0; /* P-11 */
	return 1;
}

uint32_t fph_vq_packed_reap_hints(struct fph_vq_drv *vq, struct fph_vq_list *list)
{
	struct fph_vq_linking l = fph_vq_begin_linking(vq, list);
	const unsigned char *ring = vq->desc;
	uint16_t size = vq->size, pos = vq->reaped_pos, max = vq->chains;
	uint32_t n;

	for (n = 0; n < max; n++) {
		const unsigned char *at = ring + FPH_DESC_BYTES * (size_t)(pos & ~FPH_WRAP & 0xffff);
		/* Barrier B: pairs with B in write_used(), vq_packed_dev.c.  P-5 */
		uint32_t word = fph_ld32_acquire(at + 12), id = word & 0xffff;

		if ((word >> 16 & (USED_MASK | FPH_DESC_WRITE)) != fph_used_flags(pos) ||
		    id >= size || !fph_vq_take_back(&l, (uint16_t)id))
			break;
		pos = fph_pos_add(pos, 1, size);
	}
	fph_vq_end_linking(&l, list);
	return fph_vq_count_plain(vq, n, &l);
}

void fph_vq_packed_interrupt(struct fph_vq_drv *vq, bool on)
{
	uint32_t how = vq->format.event_idx ? FPH_EVENT_AT : FPH_EVENT_ENABLE; /* P-12 */

	fph_st32(vq->driver, vq->reaped_pos | (on ? how : FPH_EVENT_DISABLE) << 16);
}
