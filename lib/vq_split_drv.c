/* SPDX-License-Identifier: MIT */
#include "vq_drv.h"

static unsigned char *desc_at(const struct fph_vq_drv *vq, uint16_t index)
{
	return vq->desc + FPH_DESC_BYTES * (size_t)index;
}

/*
 * In order descriptors are taken in their order (V-12).  Else a chain stands at its
 * slots' descriptors, so that the id of a used entry is its first slot.
 */
static uint16_t head_of(const struct fph_vq_drv *vq, uint32_t first)
{
	return fph_vq_slot_at(vq, vq->format.in_order ? vq->desc_queued : first);
}

static void put_table(struct fph_vq_drv *vq, uint32_t first, uint16_t count, uint16_t head)
{
	size_t offset = FPH_DESC_BYTES * (size_t)fph_vq_slot_at(vq, first);
	struct fph_guest_slot table = {
		.gpa = vq->table_gpa + offset,
		.len = FPH_DESC_BYTES * (uint32_t)count,
	};

	for (uint16_t i = 0; i < count; i++) {
		const struct fph_guest_slot
			*slot = &vq->slots[fph_vq_slot_at(vq, (uint16_t)(first + i))];
		bool last = i + 1 == count;

		fph_vq_put_split(vq->table + offset + FPH_DESC_BYTES * (size_t)i, slot,
				 (uint16_t)(fph_vq_flags(slot) | (last ? 0 : FPH_DESC_NEXT)),
				 last ? 0 : (uint16_t)(i + 1));
	}
	fph_vq_put_split(desc_at(vq, head), &table, FPH_DESC_INDIRECT, 0);
}

/* BH-18: each range is a buffer of its own. */
static void put_row(struct fph_vq_drv *vq, uint32_t first, uint16_t count, uint16_t head)
{
	for (uint16_t i = 0; i < count; i++) {
		const struct fph_guest_slot
			*slot = &vq->slots[fph_vq_slot_at(vq, (uint16_t)(first + i))];
		uint16_t index = fph_vq_slot_at(vq, (uint16_t)(head + i));
		bool last = i + 1 == count;

		/* V-12: the next is the one behind it */
		fph_vq_put_split(desc_at(vq, index), slot,
				 (uint16_t)(fph_vq_flags(slot) | (last ? 0 : FPH_DESC_NEXT)),
				 last ? 0 : fph_vq_slot_at(vq, (uint16_t)(index + 1)));
	}
}

/*
 * Entries and heads mostly go round in step, and then the entry holds that head since the
 * last time round: the line stays where the device has it.
 */
struct entries {
	unsigned char *ring;
	uint32_t mask;
	uint16_t next;
	uint16_t skew;
	uint16_t in_step;
};

static inline struct entries begin_entries(const struct fph_vq_drv *vq)
{
	return (struct entries){ vq->driver + 4, vq->size - 1u, vq->queued, vq->skew, vq->in_step };
}

static inline void put_entry(struct entries *e, uint16_t head)
{
	uint16_t skew = (uint16_t)((uint32_t)(head - e->next) & e->mask);

	if (skew != e->skew || e->in_step <= e->mask) {
		e->in_step = (uint16_t)(skew == e->skew ? e->in_step + 1 : 1);
		e->skew = skew;
		fph_st16(e->ring + 2 * (size_t)(e->next & e->mask), head);
	}
	e->next++;
}

static inline void end_entries(struct fph_vq_drv *vq, const struct entries *e)
{
	vq->queued = e->next;
	vq->skew = e->skew;
	vq->in_step = e->in_step;
}

void fph_vq_split_queue(struct fph_vq_drv *vq, uint32_t first, uint16_t count)
{
	uint16_t head = head_of(vq, first);
	struct entries entries = begin_entries(vq);

	if (fph_vq_is_table(vq, count))
		put_table(vq, first, count, head);
	else
		put_row(vq, first, count, head);
	put_entry(&entries, head);
	end_entries(vq, &entries);
	vq->desc_queued = (uint16_t)(vq->desc_queued + fph_vq_descs(vq, count));
}

void fph_vq_split_queue_plain(struct fph_vq_drv *vq, const struct fph_range *pages, uint32_t n)
{
	struct fph_vq_taking t = fph_vq_begin_taking(vq);
	struct entries entries = begin_entries(vq);
	unsigned char *table = vq->desc;
	bool in_order = vq->format.in_order;
	uint16_t desc = vq->desc_queued;

	for (uint32_t i = 0; i < n; i++, desc++) {
		uint32_t len = (uint32_t)pages[i].len;
		uint16_t slot = fph_vq_take(&t, pages[i].gpa, len, in_order);
		uint16_t head = in_order ? (uint16_t)(desc & t.mask) : slot;
		unsigned char *at = table + FPH_DESC_BYTES * (size_t)head;

		fph_st64(at, pages[i].gpa);
		fph_st64(at + 8, len | (uint64_t)FPH_DESC_WRITE << 32);
		put_entry(&entries, head);
	}
	end_entries(vq, &entries);
	vq->desc_queued = desc;
	fph_vq_end_taking(vq, &t, n);
}

bool fph_vq_split_publish(struct fph_vq_drv *vq)
{
	uint16_t old = vq->published;

	/* Barrier A: pairs with A in fph_vq_split_look().  V-7 */
	fph_st16_release(vq->driver + 2, vq->queued);
	/* Barrier C: pairs with C in fph_vq_dev_doorbell().  V-7 */
	fph_full_barrier();
	if (vq->format.event_idx) /* V-16 */
		return fph_event_passed(fph_ld16(vq->device + 4 + 8 * (size_t)vq->size), vq->queued,
					old);
	return !(fph_ld16(vq->device) & FPH_RING_SILENT);
}

int fph_vq_split_used(struct fph_vq_drv *vq, struct fph_vq_used *used, struct fph_fault *fault)
{
	const unsigned char *entry;
	/* Barrier B: pairs with B in fph_vq_split_return(). */
	uint16_t idx = fph_ld16_acquire(vq->device + 2);

	if ((uint16_t)(idx - vq->reaped) > vq->chains)
		return fph_fault_at(fault, FPH_RULE_USED_AHEAD, vq->reaped, idx);
	if (idx == vq->reaped)
		return 0;
	entry = vq->device + 4 + 8 * (size_t)fph_vq_slot_at(vq, vq->reaped);
	used->most = (uint16_t)(idx - vq->reaped);
	used->id = fph_ld32(entry);
	used->len = fph_ld32(entry + 4);
	return 1;
}

uint32_t fph_vq_split_reap_hints(struct fph_vq_drv *vq, struct fph_vq_list *list)
{
	/* Barrier B: pairs with B in fph_vq_split_return(). */
	uint16_t idx = fph_ld16_acquire(vq->device + 2);
	uint16_t waiting = (uint16_t)(idx - vq->reaped);
	const unsigned char *used = vq->device + 4;
	struct fph_guest_slot *all = vq->slots;
	struct fph_vq_linking l = fph_vq_begin_linking(vq, list);
	uint32_t n, mask = vq->size - 1u, at = vq->reaped;

	if (waiting > vq->chains)
		return 0;
	for (n = 0; n < waiting; n++, at++) {
		const unsigned char *entry = used + 8 * (size_t)(at & mask);
		uint32_t id = fph_ld32(entry), len = fph_ld32(entry + 4);

		if (id > mask || len > all[id].len || !fph_vq_take_back(&l, (uint16_t)id))
			break;
	}
	fph_vq_end_linking(&l, list);
	return fph_vq_count_plain(vq, n, &l);
}

void fph_vq_split_interrupt(struct fph_vq_drv *vq, bool on)
{
	if (vq->format.event_idx) /* V-14: behind the device it asks for none */
		fph_st16(vq->driver + 4 + 2 * (size_t)vq->size,
			 (uint16_t)(on ? vq->reaped : vq->reaped - 1));
	else
		fph_st16(vq->driver, (uint16_t)(on ? 0 : FPH_RING_SILENT));
}
