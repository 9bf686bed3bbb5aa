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

static inline uint16_t fph_vq_slot_at(const struct fph_vq_drv *vq, uint16_t counter)
{
	return counter & (uint16_t)(vq->size - 1);
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

/* Write the chain of `count` slots from `first` on; behind it nothing is shown yet. */
void fph_vq_split_queue(struct fph_vq_drv *vq, uint16_t first, uint16_t count);
void fph_vq_packed_queue(struct fph_vq_drv *vq, uint16_t first, uint16_t count);
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
void fph_vq_split_interrupt(struct fph_vq_drv *vq, bool on);
void fph_vq_packed_interrupt(struct fph_vq_drv *vq, bool on);

#endif
