/* SPDX-License-Identifier: MIT */
#ifndef FPH_VQ_DRV_H
#define FPH_VQ_DRV_H

#include "shm.h"
#include "vq.h"

/*
 * The driver end of a queue, inside.
 *   vq_drv.c         slots, chains in the making, which chain came back
 *   vq_split_drv.c   available and used ring
 *   vq_packed_drv.c  the packed ring
 */

static inline uint16_t fph_vq_slot_at(const struct fph_vq_drv *vq, uint32_t counter)
{
	return (uint16_t)(counter & (vq->size - 1u));
}

/* Does a chain of that many buffers stand in a table? */
static inline bool fph_vq_is_table(const struct fph_vq_drv *vq, uint16_t count)
{
	return vq->format.indirect && count > 1;
}

/* Descriptors of the ring that a chain takes. */
static inline uint16_t fph_vq_descs(const struct fph_vq_drv *vq, uint16_t count)
{
	return fph_vq_is_table(vq, count) ? 1 : count;
}

static inline uint16_t fph_vq_flags(const struct fph_guest_slot *slot)
{
	return (slot->state & FPH_SLOT_KIND) == FPH_SLOT_HINT ? FPH_DESC_WRITE : 0;
}

/* A descriptor of the split format: of its ring, or of a table. */
static inline void fph_vq_put_split(unsigned char *at, const struct fph_guest_slot *slot,
				    uint16_t flags, uint16_t next)
{
	fph_st64(at, slot->gpa);
	fph_st64(at + 8, slot->len | (uint64_t)flags << 32 | (uint64_t)next << 48);
}

/*
 * Slots for chains of one, taken in bulk; in locals, since the compiler must think that
 * every store to a ring may change *vq.
 */
struct fph_vq_taking {
	struct fph_guest_slot *slots;
	uint16_t *link; /* in order */
	uint32_t mask;
	uint32_t head;
	uint16_t newest;
};

static inline struct fph_vq_taking fph_vq_begin_taking(struct fph_vq_drv *vq)
{
	return (struct fph_vq_taking){
		.slots = vq->slots,
		.link = vq->newest == FPH_NO_SLOT ? &vq->oldest : &vq->slots[vq->newest].next,
		.mask = vq->size - 1u,
		.head = vq->head,
		.newest = vq->newest,
	};
}

/* The next free one, of which there is one. */
static inline uint16_t fph_vq_take(struct fph_vq_taking *t, uint64_t gpa, uint32_t len, bool in_order)
{
	uint32_t i = t->head & t->mask;

	while (t->slots[i].state != FPH_SLOT_FREE)
		i = ++t->head & t->mask;
	t->slots[i].gpa = gpa;
	t->slots[i].len = len;
	t->slots[i].state = FPH_SLOT_HINT | FPH_SLOT_COUNT;
	t->head++;
	if (in_order) {
		*t->link = t->newest = (uint16_t)i;
		t->link = &t->slots[i].next;
	}
	return (uint16_t)i;
}

static inline void fph_vq_end_taking(struct fph_vq_drv *vq, const struct fph_vq_taking *t,
				     uint32_t n)
{
	vq->head = t->head;
	if (vq->format.in_order) {
		vq->newest = t->newest;
		*t->link = FPH_NO_SLOT;
	}
	vq->unshown = (uint16_t)(vq->unshown + n);
	vq->free_count = (uint16_t)(vq->free_count - n);
}

/* A chain of one that the device has. */
#define FPH_SLOT_PLAIN (FPH_SLOT_SHOWN | FPH_SLOT_COUNT)

/* Where hints that came back are linked, in locals. */
struct fph_vq_linking {
	struct fph_guest_slot *slots;
	uint16_t *link; /* where the next one's number goes */
	uint16_t last;
	uint16_t messages; /* that came back among them */
};

static inline struct fph_vq_linking fph_vq_begin_linking(const struct fph_vq_drv *vq,
							 struct fph_vq_list *list)
{
	return (struct fph_vq_linking){
		.slots = vq->slots,
		.link = list->first == FPH_NO_SLOT ? &list->first : &vq->slots[list->last].next,
		.last = list->last,
	};
}

/* Returns whether it is a chain of one that the device had. */
static inline bool fph_vq_take_back(struct fph_vq_linking *l, uint16_t slot)
{
	if (l->slots[slot].state == (FPH_SLOT_HINT | FPH_SLOT_PLAIN)) {
		l->slots[slot].state = FPH_SLOT_RETURNED;
		*l->link = slot;
		l->link = &l->slots[slot].next;
		l->last = slot;
		return true;
	}
	if (l->slots[slot].state != (FPH_SLOT_MESSAGE | FPH_SLOT_PLAIN))
		return false;
	l->slots[slot].state = FPH_SLOT_FREE;
	l->messages++;
	return true;
}

static inline void fph_vq_end_linking(const struct fph_vq_linking *l, struct fph_vq_list *list)
{
	*l->link = FPH_NO_SLOT;
	list->last = l->last;
}

/* So many chains of one came back.  Returns how many hints. */
static inline uint32_t fph_vq_count_plain(struct fph_vq_drv *vq, uint32_t n,
				      const struct fph_vq_linking *link)
{
	vq->free_count = (uint16_t)(vq->free_count + link->messages);
	vq->chains = (uint16_t)(vq->chains - n);
	vq->desc_reaped = (uint16_t)(vq->desc_reaped + n);
	vq->reaped = (uint16_t)(vq->reaped + n);
	vq->reaped_pos = fph_pos_add(vq->reaped_pos, (uint16_t)n, vq->size);
	return n - link->messages;
}

/* Write the chain of `count` slots from `first` on; behind it nothing is shown yet. */
void fph_vq_split_queue(struct fph_vq_drv *vq, uint32_t first, uint16_t count);
void fph_vq_packed_queue(struct fph_vq_drv *vq, uint32_t first, uint16_t count);
/* Slots and chains of one for n hints; there is room. */
void fph_vq_split_queue_plain(struct fph_vq_drv *vq, const struct fph_range *pages, uint32_t n);
void fph_vq_packed_queue_plain(struct fph_vq_drv *vq, const struct fph_range *pages, uint32_t n);
/* Show it.  Returns whether the device wants a doorbell. */
bool fph_vq_split_publish(struct fph_vq_drv *vq);
bool fph_vq_packed_publish(struct fph_vq_drv *vq);
/* Take back what was queued and not shown. */
void fph_vq_split_withdraw(struct fph_vq_drv *vq);
void fph_vq_packed_withdraw(struct fph_vq_drv *vq);

/* What a used entry says. */
struct fph_vq_used {
	uint32_t id;
	uint32_t len;  /* 0 where the format says that it means nothing */
	uint16_t most; /* chains that it may close */
};
/* Look at the next used entry.  Returns 1, 0 (there is none) or -EPROTO. */
int fph_vq_split_used(struct fph_vq_drv *vq, struct fph_vq_used *used, struct fph_fault *fault);
int fph_vq_packed_used(struct fph_vq_drv *vq, struct fph_vq_used *used);
/* As fph_vq_drv_reap_hints(), not in order. */
uint32_t fph_vq_split_reap_hints(struct fph_vq_drv *vq, struct fph_vq_list *list);
uint32_t fph_vq_packed_reap_hints(struct fph_vq_drv *vq, struct fph_vq_list *list);
void fph_vq_split_interrupt(struct fph_vq_drv *vq, bool on);
void fph_vq_packed_interrupt(struct fph_vq_drv *vq, bool on);

#endif
