/* SPDX-License-Identifier: MIT */
#ifndef FPH_VQ_H
#define FPH_VQ_H

#include "err.h"
#include <fph/fault.h>
#include <fph/guest.h>
#include <fph/mem.h>
#include <fph/wire.h>

/*
 * The split virtqueue, both ends as two types: mixing them does not compile.
 * Private.  virtio 1.4, 2.7
 *
 * Four barriers order the two ends; each is marked at both of its places.
 *   A  driver: descriptors and ring, then avail.idx   device: avail.idx, then those
 *   B  device: used ring, then used.idx               driver: used.idx, then used ring
 *   C  driver: avail.idx, then read used.flags        device: used.flags, then read avail.idx
 *   D  device: used.idx, then read avail.flags        driver: avail.flags, then read used.idx
 * A and B are release and acquire of the index.  C and D are full barriers: each
 * end stores one word and loads the other's, and one of them must see the store,
 * or a doorbell (C) or an interrupt (D) would be missed by both.
 */

#define FPH_DESC_BYTES 16u
#define FPH_DESC_NEXT  0x1u
#define FPH_DESC_WRITE 0x2u
#define FPH_DESC_INDIRECT 0x4u
#define FPH_RING_SILENT 0x1u /* avail.flags: no interrupt; used.flags: no doorbell */

/* Bytes of the available and of the used ring.  V-1 */
#define FPH_AVAIL_BYTES(n) (6u + 2u * (uint32_t)(n))
#define FPH_USED_BYTES(n)  (6u + 8u * (uint32_t)(n))

/* Fill a record; the queue's index is the caller's to add.  Returns -EPROTO. */
static inline int fph_fault_at(struct fph_fault *fault, enum fph_rule rule, uint32_t index,
			       uint64_t value)
{
	fault->rule = (uint16_t)rule;
	fault->index = index;
	fault->value = value;
	return -EPROTO;
}

/* ------------------------------------------------------------ device end */

/*
 * Chains go through three counters, all free-running:
 *   used <= done <= next <= avail.idx
 * next counts chains whose walk has begun, done those walked to their end, used
 * those returned to the driver.  The used entry of a chain is written when its
 * walk ends, and becomes the driver's when used.idx moves: so no list of heads is
 * kept, and a batch is returned by one store.
 */
struct fph_vq_dev {
	unsigned char *desc;
	unsigned char *avail;
	unsigned char *used;
	struct fph_vq_place place;
	uint16_t size; /* 0: the queue is not enabled */
	uint16_t seen; /* avail.idx as last loaded and judged */
	uint16_t next;
	uint16_t done;
	uint16_t used_idx;
	/* the walk of one chain */
	uint16_t head;
	uint16_t follow; /* descriptor to read next */
	uint16_t budget; /* descriptors that may still follow */
	bool in_chain;
	bool writable; /* a device-writable buffer was seen in this chain */
	bool silent;   /* used.flags tells the driver not to ring */
};

/* One buffer of a chain: a private copy, already judged. */
struct fph_vq_buf {
	uint64_t gpa;
	uint32_t len; /* never 0; gpa + len <= 2^64 */
	bool writable;
	bool first; /* of its chain */
	bool last;
};

/* Place and check a ring.  Returns FPH_RULE_NONE, or the rule that forbids it. */
enum fph_rule fph_vq_dev_enable(struct fph_vq_dev *vq, const struct fph_mem *mem,
				const struct fph_vq_place *place, uint16_t max);
/* Translate the ring anew.  Returns FPH_RULE_NONE or FPH_RULE_RING_GONE. */
enum fph_rule fph_vq_dev_move(struct fph_vq_dev *vq, const struct fph_mem *mem);

/* Does the range touch a part of the ring? */
bool fph_vq_dev_covers(const struct fph_vq_dev *vq, const struct fph_range *range);

/* Load avail.idx.  Returns how many chains wait, or -EPROTO and *fault. */
int fph_vq_dev_look(struct fph_vq_dev *vq, struct fph_fault *fault);
/*
 * The next buffer, in the midst of a chain or of the next one.  Returns 1 and
 * *buf, 0 (nothing available), or -EPROTO and *fault.  One descriptor a call.
 */
int fph_vq_dev_next(struct fph_vq_dev *vq, struct fph_vq_buf *buf, struct fph_fault *fault);
/*
 * Return all chains up to counter `upto`, not beyond done.  Returns 1 (interrupt
 * the driver), 0 (it does not want to hear), or -EAGAIN (there was nothing to return).
 */
int fph_vq_dev_return(struct fph_vq_dev *vq, uint16_t upto);
/* Ask the driver not to ring, or to ring again; after the latter, look once more. */
void fph_vq_dev_doorbell(struct fph_vq_dev *vq, bool on);

/* ------------------------------------------------------------ driver end */

enum fph_slot_state {
	FPH_SLOT_FREE,
	FPH_SLOT_MESSAGE,  /* bytes that the device reads */
	FPH_SLOT_HINT,	   /* pages */
	FPH_SLOT_RETURNED, /* pages that came back and wait for the caller */
	FPH_SLOT_SHOWN = 0x100, /* added to the two in the middle: the device has it */
};

/*
 * Chains of one descriptor.  All that is needed later is kept in `slots`, which
 * the device cannot write; the descriptor table is never read back.
 */
struct fph_vq_drv {
	unsigned char *desc;
	unsigned char *avail;
	unsigned char *used;
	struct fph_guest_slot *slots;
	struct fph_vq_place place;
	uint16_t size;
	uint16_t free_head;
	uint16_t free_count;
	uint16_t newest;    /* queued and not shown, linked by next; or FPH_NO_SLOT */
	uint16_t queued;    /* counter: entries in the available ring */
	uint16_t published; /* counter: entries shown to the device, avail.idx */
	uint16_t reaped;    /* counter: used entries taken */
	bool silent;	    /* avail.flags tells the device not to interrupt */
};

#define FPH_NO_SLOT UINT16_MAX

/* Bytes of a ring of that size, laid out desc, avail, used. */
uint32_t fph_vq_drv_bytes(uint16_t size);
/* Lay out an empty ring at the start of `at`, which is 16-byte aligned. */
void fph_vq_drv_place(struct fph_vq_drv *vq, struct fph_guest_slot *slots, unsigned char *hva,
		      uint64_t gpa, uint16_t size);
/*
 * Queue one buffer; the caller made sure that a slot is free and gave its address
 * by fph_vq_drv_slot().  Not shown before publish.
 */
void fph_vq_drv_add(struct fph_vq_drv *vq, uint64_t gpa, uint32_t len,
		    enum fph_slot_state state);
/* The slot that the next add will use. */
uint16_t fph_vq_drv_slot(const struct fph_vq_drv *vq);
/* Take back the newest entry that was not shown.  Returns its slot or FPH_NO_SLOT. */
uint16_t fph_vq_drv_withdraw(struct fph_vq_drv *vq);
void fph_vq_drv_free(struct fph_vq_drv *vq, uint16_t slot);
/*
 * Show all that is queued.  Returns 1 (ring the doorbell), 0 (the device does not
 * want it), or -EAGAIN (nothing was queued).
 */
int fph_vq_drv_publish(struct fph_vq_drv *vq);
/*
 * Take one returned buffer.  Returns 1 and its slot, with the state that it was
 * added with, 0 (none), or -EPROTO and *fault.
 */
int fph_vq_drv_reap(struct fph_vq_drv *vq, uint16_t *slot, struct fph_fault *fault);
/* Ask the device not to interrupt, or to do so; after the latter, reap once more. */
void fph_vq_drv_interrupt(struct fph_vq_drv *vq, bool on);

/* Entries shown and not yet returned. */
static inline uint16_t fph_vq_drv_in_flight(const struct fph_vq_drv *vq)
{
	return (uint16_t)(vq->published - vq->reaped);
}

#endif
