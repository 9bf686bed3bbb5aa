/* SPDX-License-Identifier: MIT */
#include "vq_drv.h"

/* ------------------------------------------------------------ place */

/* V-1: the used ring is aligned to 4 behind an available ring that ends at 2 modulo 4. */
static uint32_t used_offset(uint16_t size)
{
	return (FPH_DESC_BYTES * (uint32_t)size + FPH_AVAIL_BYTES(size) + 3u) & ~3u;
}

static uint32_t table_offset(uint16_t size)
{
	return (used_offset(size) + FPH_USED_BYTES(size) + 15u) & ~15u;
}

uint32_t fph_vq_drv_bytes(uint16_t size)
{
	return table_offset(size) + FPH_DESC_BYTES * (uint32_t)size;
}

void fph_vq_drv_place(struct fph_vq_drv *vq, struct fph_guest_slot *slots, unsigned char *hva,
		      uint64_t gpa, uint16_t size, struct fph_vq_format format, uint16_t batch)
{
	/* A packed ring's event suppression fits where the two rings would be. */
	uint32_t driver = FPH_DESC_BYTES * (uint32_t)size, device = used_offset(size);
	struct fph_vq_drv fresh = {
		.desc = hva,
		.driver = hva + driver,
		.device = hva + device,
		.table = hva + table_offset(size),
		.slots = slots,
		.place = { gpa, gpa + driver, gpa + device, size, 0 },
		.format = format,
		.table_gpa = gpa + table_offset(size),
		.size = size,
		.batch = batch,
		.free_count = size,
		.oldest = FPH_NO_SLOT,
		.latest = FPH_NO_SLOT,
		.newest = FPH_NO_SLOT,
		.queued_pos = FPH_WRAP,
		.published_pos = FPH_WRAP,
		.reaped_pos = FPH_WRAP,
	};

	/* V-16: flags and indices begin at 0, whatever the memory held. */
	for (uint32_t i = 0; i < fph_vq_drv_bytes(size); i += 4)
		fph_st32(hva + i, 0);
	for (uint16_t i = 0; i < size; i++)
		slots[i].state = FPH_SLOT_FREE;
	*vq = fresh;
}

/* ------------------------------------------------------------ chains to the device */

static struct fph_guest_slot *slot_at(const struct fph_vq_drv *vq, uint32_t counter)
{
	return &vq->slots[fph_vq_slot_at(vq, counter)];
}

/* Slots of the chain that begins there; 0: none does. */
static uint16_t count_at(const struct fph_vq_drv *vq, uint32_t counter)
{
	return slot_at(vq, counter)->state / FPH_SLOT_COUNT;
}

/* All that are queued and not shown stand within one turn, whatever was passed on the way. */
static void limit_turn(struct fph_vq_drv *vq)
{
	if (vq->head - vq->shown > vq->size)
		vq->shown = vq->head - vq->size;
}

static void line_up(struct fph_vq_drv *vq, uint16_t slot)
{
	vq->slots[slot].next = FPH_NO_SLOT;
	if (vq->newest == FPH_NO_SLOT)
		vq->oldest = slot;
	else
		vq->slots[vq->newest].next = slot;
	vq->newest = slot;
}

/* Write the chain in the making, if there is one. */
static void close_chain(struct fph_vq_drv *vq)
{
	uint16_t count = (uint16_t)(vq->head - vq->open);

	if (count == 0)
		return;
	slot_at(vq, vq->open)->state |= (uint16_t)(FPH_SLOT_COUNT * count);
	vq->unshown++;
	if (vq->format.in_order)
		line_up(vq, fph_vq_slot_at(vq, vq->open));
	if (vq->format.packed)
		fph_vq_packed_queue(vq, vq->open, count);
	else
		fph_vq_split_queue(vq, vq->open, count);
	vq->open = vq->head;
}

/* May the buffer be added to the chain in the making? */
static bool belongs(const struct fph_vq_drv *vq, uint32_t len, enum fph_slot_state state)
{
	uint16_t count = (uint16_t)(vq->head - vq->open);

	return count < vq->batch && state == FPH_SLOT_HINT &&
	       len <= UINT32_MAX - vq->open_bytes && /* V-5 */
	       fph_vq_slot_at(vq, vq->head) != 0 &&  /* a table does not wrap */
	       slot_at(vq, vq->head)->state == FPH_SLOT_FREE;
}

uint16_t fph_vq_drv_slot(struct fph_vq_drv *vq)
{
	close_chain(vq);
	/* Bounded: there is a free one. */
	while (slot_at(vq, vq->head)->state != FPH_SLOT_FREE)
		vq->head++;
	vq->open = vq->head;
	limit_turn(vq);
	return fph_vq_slot_at(vq, vq->head);
}

void fph_vq_drv_add(struct fph_vq_drv *vq, uint64_t gpa, uint32_t len, enum fph_slot_state state)
{
	struct fph_guest_slot *slot;

	if (vq->open == vq->head || !belongs(vq, len, state)) {
		fph_vq_drv_slot(vq);
		vq->open_bytes = 0;
	}
	slot = slot_at(vq, vq->head);
	slot->gpa = gpa;
	slot->len = len;
	slot->state = (uint16_t)state;
	vq->open_bytes += len;
	vq->free_count--;
	vq->head++;
	limit_turn(vq);
	if (state != FPH_SLOT_HINT || vq->batch <= 1)
		close_chain(vq);
}

uint32_t fph_vq_drv_add_hints(struct fph_vq_drv *vq, const struct fph_range *pages, uint32_t n)
{
	n = n < vq->free_count ? n : vq->free_count;
	if (vq->batch > 1) {
		for (uint32_t i = 0; i < n; i++)
			fph_vq_drv_add(vq, pages[i].gpa, (uint32_t)pages[i].len, FPH_SLOT_HINT);
		return n;
	}
	if (vq->format.packed)
		fph_vq_packed_queue_plain(vq, pages, n);
	else
		fph_vq_split_queue_plain(vq, pages, n);
	vq->open = vq->head;
	limit_turn(vq);
	return n;
}

static bool is_queued(const struct fph_guest_slot *slot)
{
	uint32_t kind = slot->state & (FPH_SLOT_KIND | FPH_SLOT_SHOWN);

	return kind - FPH_SLOT_MESSAGE <= FPH_SLOT_HINT - FPH_SLOT_MESSAGE;
}

/* Of the slots on the way some were passed, because they are still in use. */
static void mark_shown(struct fph_vq_drv *vq)
{
	struct fph_guest_slot *slots = vq->slots;
	uint32_t mask = vq->size - 1u, head = vq->head;

	for (uint32_t i = vq->shown; i != head; i++) {
		struct fph_guest_slot *slot = &slots[i & mask];

		slot->state |= (uint16_t)(is_queued(slot) * FPH_SLOT_SHOWN);
	}
	vq->shown = head;
}

int fph_vq_drv_publish(struct fph_vq_drv *vq)
{
	bool ring;

	close_chain(vq);
	if (vq->published == vq->queued)
		return -EAGAIN;
	mark_shown(vq);
	vq->chains = (uint16_t)(vq->chains + vq->unshown);
	vq->unshown = 0;
	vq->latest = vq->newest;
	ring = vq->format.packed ? fph_vq_packed_publish(vq) : fph_vq_split_publish(vq);
	vq->published = vq->queued;
	vq->desc_published = vq->desc_queued;
	vq->published_pos = vq->queued_pos;
	return ring;
}

static void unqueue(struct fph_vq_drv *vq)
{
	if (vq->format.packed)
		fph_vq_packed_withdraw(vq);
	vq->in_step = 0;
	vq->queued = vq->published;
	vq->desc_queued = vq->desc_published;
	vq->queued_pos = vq->published_pos;
	vq->newest = vq->latest;
	if (vq->latest == FPH_NO_SLOT)
		vq->oldest = FPH_NO_SLOT;
}

bool fph_vq_drv_withdraw(struct fph_vq_drv *vq, uint16_t *slot, uint16_t *count)
{
	close_chain(vq);
	if (!vq->unshown)
		return false;
	if (vq->queued != vq->published)
		unqueue(vq);
	/* Bounded: there is one before head. */
	while (!is_queued(slot_at(vq, vq->shown)))
		vq->shown++;
	*slot = fph_vq_slot_at(vq, vq->shown);
	*count = count_at(vq, vq->shown);
	for (uint16_t i = 0; i < *count; i++)
		slot_at(vq, vq->shown++)->state &= FPH_SLOT_KIND;
	vq->unshown--;
	return true;
}

/* ------------------------------------------------------------ chains from the device */

/*
 * In order one entry may close several chains, and names the last (V-13).  Returns how
 * many, or 0 if it names none that the device has.
 */
static uint16_t count_batch(const struct fph_vq_drv *vq, const struct fph_vq_used *used)
{
	uint32_t desc = vq->desc_reaped;
	uint16_t slot = vq->oldest;

	if (used->id >= vq->size)
		return 0;
	if (vq->batch <= 1 || vq->format.indirect) { /* chains of one descriptor */
		uint32_t n = fph_vq_slot_at(vq, used->id - desc) + 1u;

		return n <= used->most ? (uint16_t)n : 0;
	}
	for (uint16_t n = 1; n <= used->most; n++) {
		if (used->id == fph_vq_slot_at(vq, desc))
			return n;
		desc += fph_vq_descs(vq, count_at(vq, slot));
		slot = vq->slots[slot].next;
	}
	return 0;
}

/* See to it that batch_left tells what was returned.  Returns 1, 0 or -EPROTO. */
static int open_batch(struct fph_vq_drv *vq, struct fph_vq_used *used, struct fph_fault *fault)
{
	int rc;

	if (vq->batch_left)
		return 1;
	rc = vq->format.packed ? fph_vq_packed_used(vq, used) : fph_vq_split_used(vq, used, fault);
	if (rc <= 0)
		return rc;
	vq->batch_left = count_batch(vq, used);
	if (!vq->batch_left)
		return fph_fault_at(fault, FPH_RULE_USED_ID, vq->reaped, used->id);
	return 1;
}

/* The oldest chain came back. */
static void leave(struct fph_vq_drv *vq)
{
	uint16_t slot = vq->oldest;

	vq->oldest = vq->slots[slot].next;
	if (vq->latest == slot)
		vq->latest = FPH_NO_SLOT;
	if (vq->newest == slot)
		vq->newest = FPH_NO_SLOT;
}

static int next_in_order(struct fph_vq_drv *vq, uint16_t *slot, struct fph_vq_used *used,
			 struct fph_fault *fault)
{
	int rc = open_batch(vq, used, fault);

	if (rc <= 0)
		return rc;
	if (--vq->batch_left)
		used->len = 0; /* it is of the last of them */
	*slot = vq->oldest;
	leave(vq);
	return 1;
}

static int next_of_any(struct fph_vq_drv *vq, uint16_t *slot, struct fph_vq_used *used,
		       struct fph_fault *fault)
{
	int rc = vq->format.packed ? fph_vq_packed_used(vq, used) :
				     fph_vq_split_used(vq, used, fault);

	if (rc <= 0)
		return rc;
	if (used->id >= vq->size || !(vq->slots[used->id].state & FPH_SLOT_SHOWN) ||
	    !count_at(vq, used->id))
		return fph_fault_at(fault, FPH_RULE_USED_ID, vq->reaped, used->id);
	*slot = (uint16_t)used->id;
	return 1;
}

int fph_vq_drv_reap(struct fph_vq_drv *vq, uint16_t *slot, uint16_t *count, struct fph_fault *fault)
{
	struct fph_vq_used used = { 0 };
	uint64_t bytes = 0;
	uint16_t n, descs;
	int rc;

	rc = vq->format.in_order ? next_in_order(vq, slot, &used, fault) :
				   next_of_any(vq, slot, &used, fault);
	if (rc <= 0)
		return rc;
	n = count_at(vq, *slot);
	for (uint16_t i = 0; i < n; i++)
		bytes += slot_at(vq, *slot + i)->len;
	/*
	 * The length is used for nothing (G20, V-9).  Old devices report 1 even for a
	 * buffer they only read, so just what cannot be true is refused.
	 */
	if (used.len > bytes)
		return fph_fault_at(fault, FPH_RULE_USED_LEN, *slot, used.len);

	for (uint16_t i = 0; i < n; i++)
		slot_at(vq, *slot + i)->state &= FPH_SLOT_KIND;
	descs = fph_vq_descs(vq, n);
	vq->chains--;
	vq->desc_reaped = (uint16_t)(vq->desc_reaped + descs);
	vq->reaped = (uint16_t)(vq->reaped + (vq->format.packed ? descs : 1));
	vq->reaped_pos = fph_pos_add(vq->reaped_pos, descs, vq->size);
	*count = n;
	return 1;
}

static uint32_t reap_batch(struct fph_vq_drv *vq, struct fph_vq_list *list)
{
	struct fph_vq_linking l = fph_vq_begin_linking(vq, list);
	uint32_t n, max = vq->batch_left;

	for (n = 0; n < max; n++) {
		uint16_t slot = vq->oldest;

		leave(vq); /* the list that it goes to is linked by next, too */
		fph_vq_take_back(&l, slot);
	}
	vq->batch_left = (uint16_t)(max - n);
	fph_vq_end_linking(&l, list);
	return fph_vq_count_plain(vq, n, &l);
}

uint32_t fph_vq_drv_reap_hints(struct fph_vq_drv *vq, struct fph_vq_list *list)
{
	if (vq->batch > 1) /* an entry is read once, and may close a chain of many */
		return 0;
	if (vq->format.in_order)
		return reap_batch(vq, list);
	return vq->format.packed ? fph_vq_packed_reap_hints(vq, list) :
				   fph_vq_split_reap_hints(vq, list);
}

bool fph_vq_drv_interrupt(struct fph_vq_drv *vq, bool on)
{
	/* By event index one interrupt is asked for at a time. */
	bool passed = vq->format.event_idx && vq->event != vq->reaped;

	if (vq->silent == !on && !(on && passed))
		return false;
	vq->silent = !on;
	vq->event = vq->reaped;
	if (vq->format.packed)
		fph_vq_packed_interrupt(vq, on);
	else
		fph_vq_split_interrupt(vq, on);
	/* Barrier D: pairs with D in fph_vq_dev_return(). */
	if (on)
		fph_full_barrier();
	return on;
}
