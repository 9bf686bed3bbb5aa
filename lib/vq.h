/* SPDX-License-Identifier: MIT */
#ifndef FPH_VQ_H
#define FPH_VQ_H

#include "err.h"
#include <fph/fault.h>
#include <fph/guest.h>
#include <fph/mem.h>
#include <fph/wire.h>

/*
 * A virtqueue, both ends as two types: mixing them does not compile.  Private.  Split
 * and packed ring (virtio 1.4, 2.7 and 2.8), by what was negotiated; the roles do not
 * know which one they ride.
 *
 * Four barriers order the two ends; each is marked at both of its places.
 *   A  driver: descriptors, then avail.idx or the flags   device: those, then descriptors
 *   B  device: used entries, then used.idx or the flags   driver: those, then the entries
 *   C  driver: A's store, then read whether to ring       device: ask for it, then look
 *   D  device: B's store, then read whether to interrupt  driver: ask for it, then look
 * A and B are release and acquire.  C and D are full barriers: each end stores one word
 * and loads the other's, and one of them must see the store, or a doorbell (C) or an
 * interrupt (D) would be missed by both.
 */

#define FPH_DESC_BYTES	  16u
#define FPH_DESC_NEXT	  0x1u
#define FPH_DESC_WRITE	  0x2u
#define FPH_DESC_INDIRECT 0x4u
#define FPH_DESC_AVAIL	  0x80u	  /* packed */
#define FPH_DESC_USED	  0x8000u /* packed */
#define FPH_RING_SILENT	  0x1u	  /* avail.flags: no interrupt; used.flags: no doorbell */

/* Event suppression of the packed ring: le16 position and wrap, le16 one of these.  P-12 */
#define FPH_EVENT_ENABLE  0u
#define FPH_EVENT_DISABLE 1u
#define FPH_EVENT_AT	  2u /* once this position is passed */
#define FPH_EVENT_BYTES	  4u

/* Bytes of the available and of the used ring, split.  V-1 */
#define FPH_AVAIL_BYTES(n) (6u + 2u * (uint32_t)(n))
#define FPH_USED_BYTES(n)  (6u + 8u * (uint32_t)(n))

/* What was negotiated of the ring's format. */
#define FPH_VQ_FEATURES (FPH_F_INDIRECT_DESC | FPH_F_EVENT_IDX | FPH_F_RING_PACKED | FPH_F_IN_ORDER)

struct fph_vq_format {
	bool packed;
	bool event_idx;
	bool indirect;
	bool in_order;
};

static inline struct fph_vq_format fph_vq_format(uint64_t accepted)
{
	return (struct fph_vq_format){
		.packed = accepted & FPH_F_RING_PACKED,
		.event_idx = accepted & FPH_F_EVENT_IDX,
		.indirect = accepted & FPH_F_INDIRECT_DESC,
		.in_order = accepted & FPH_F_IN_ORDER,
	};
}

/*
 * A position in a packed ring (P-2): the descriptor, and in bit 15 the wrap counter, as
 * event suppression has it on the wire.  Sizes need not be powers of two (P-1).
 */
#define FPH_WRAP 0x8000u

static inline uint16_t fph_pos_add(uint16_t pos, uint16_t n, uint16_t size)
{
	uint32_t index = (pos & ~FPH_WRAP) + (uint32_t)n;

	if (index < size)
		return (uint16_t)(index | (pos & FPH_WRAP));
	return (uint16_t)((index - size) | (~(uint32_t)pos & FPH_WRAP));
}

/* The flags that make a descriptor at that position available, or used. */
static inline uint16_t fph_avail_flags(uint16_t pos)
{
	return pos & FPH_WRAP ? FPH_DESC_AVAIL : FPH_DESC_USED;
}

static inline uint16_t fph_used_flags(uint16_t pos)
{
	return pos & FPH_WRAP ? FPH_DESC_AVAIL | FPH_DESC_USED : 0;
}

/* Has an index that went from `old` to `now` passed `event`?  2.7.10 */
static inline bool fph_event_passed(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

/* The same for a packed ring: `n` descriptors up to `pos`, and what the other end wrote. */
static inline bool fph_event_wanted(uint32_t event, uint16_t pos, uint16_t n, uint16_t size)
{
	uint16_t flags = event >> 16 & 3, at = (uint16_t)event & ~FPH_WRAP & 0xffff;
	uint32_t back;

	if (flags != FPH_EVENT_AT)
		return flags != FPH_EVENT_DISABLE;
	/* How far behind pos it is; a position that cannot be counts as just passed. */
	back = (pos & ~FPH_WRAP & 0xffffu) + (((pos ^ event) & FPH_WRAP) ? size : 0u) - at;
	return back - 1 < n || at >= size;
}

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
 * Ring entries go through counters, all free-running: used <= before <= done <= next.
 * An entry is a chain of a split ring, and a descriptor of a packed one.  next counts
 * those whose walk has begun, done those of chains walked to their end, before the same
 * without the last chain if that may still be in use, used those returned to the driver.
 *
 * Nothing is kept of a chain that was walked: a split ring's used entry is written when
 * the walk ends, and becomes the driver's when used.idx moves; a packed ring's are found
 * in the ring again.  A driver that changed them meanwhile harms its own ring only.
 */
/* A descriptor, copied once. */
struct fph_vq_desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* split, or with FPH_DESC_NEXT */
};

struct fph_vq_dev {
	unsigned char *desc;
	unsigned char *driver; /* the available ring; packed: the driver's event suppression */
	unsigned char *device; /* the used ring; packed: the device's */
	const struct fph_mem *mem;
	struct fph_vq_place place;
	struct fph_vq_format format;
	uint16_t size; /* 0: the queue is not enabled */
	uint16_t seen; /* split: avail.idx as last loaded and judged */
	uint16_t next;
	uint16_t done;
	uint16_t before;
	uint16_t used;
	uint16_t next_pos; /* packed: where those two are */
	uint16_t used_pos;
	uint16_t stale;	  /* entries that stand before the fence */
	uint16_t last_id; /* of the last chain that was walked, and the one before */
	uint16_t before_id;
	bool silent; /* the driver was told not to ring */
	/* The next chain's first descriptor, if it was looked at: it is not read again. */
	bool peeked;
	uint16_t peeked_id; /* split: the head; packed: the id */
	struct fph_vq_desc peek;
	/* the walk of one chain */
	bool in_chain;
	bool writable; /* a device-writable buffer was seen in this chain */
	bool stale_chain;
	uint16_t head;
	uint16_t follow;    /* descriptor to read next: of the table, if in one */
	uint16_t budget;    /* descriptors that may still follow */
	uint16_t table_len; /* entries of the indirect table in hand; 0: none */
	uint64_t table;	    /* gpa */
	const unsigned char *table_at;
};

/* One buffer of a chain: a private copy, already judged. */
struct fph_vq_buf {
	uint64_t gpa;
	uint32_t len; /* never 0; gpa + len <= 2^64 */
	bool writable;
	bool first; /* of its chain */
	bool last;
	bool stale; /* its chain was available before the fence */
};

/* Memory in which a hint needs no further thought. */
struct fph_vq_window {
	uint64_t gpa;
	uint64_t len;
	uint64_t mask; /* of bits that are 0 in both ends of it */
};

/* Place and check a ring.  Returns FPH_RULE_NONE, or the rule that forbids it. */
enum fph_rule fph_vq_dev_enable(struct fph_vq_dev *vq, const struct fph_mem *mem,
				const struct fph_vq_place *place, uint16_t max,
				struct fph_vq_format format);
/* Translate the ring anew.  Returns FPH_RULE_NONE or FPH_RULE_RING_GONE. */
enum fph_rule fph_vq_dev_move(struct fph_vq_dev *vq, const struct fph_mem *mem);

/* Where the queue would resume, as fph_vq_place.index. */
uint16_t fph_vq_dev_index(const struct fph_vq_dev *vq);

/*
 * Cut the parts of the ring that lie in *free off it; the piece around `gpa`, which the ring
 * does not touch, stays.
 */
void fph_vq_dev_spare(const struct fph_vq_dev *vq, uint64_t gpa, struct fph_range *free);
/* Does the range touch a part of the ring? */
bool fph_vq_dev_covers(const struct fph_vq_dev *vq, const struct fph_range *range);

/* Is a chain available?  Returns 1, 0, or -EPROTO and *fault. */
int fph_vq_dev_look(struct fph_vq_dev *vq, struct fph_fault *fault);
/*
 * What is available now, and the rest of the chain in hand, is stale from here on.
 * Returns 0, or -EPROTO and *fault.
 */
int fph_vq_dev_fence(struct fph_vq_dev *vq, struct fph_fault *fault);
/*
 * The next buffer, in the midst of a chain or of the next one.  Returns 1 and
 * *buf, 0 (nothing available), or -EPROTO and *fault.  One descriptor a call, two if it
 * leads to a table.
 */
int fph_vq_dev_next(struct fph_vq_dev *vq, struct fph_vq_buf *buf, struct fph_fault *fault);
/*
 * Take chains as long as each is one device-writable buffer in the window, up to max.
 * Returns how many; what ended it is left to fph_vq_dev_next().
 */
uint32_t fph_vq_dev_take(struct fph_vq_dev *vq, const struct fph_vq_window *window,
			 struct fph_range *out, uint32_t max);
/*
 * Return all chains that were walked to their end, but the last if it is to be kept.
 * Returns 1 (interrupt the driver), 0 (it does not want to hear), or -EAGAIN (there was
 * nothing to return).
 */
int fph_vq_dev_return(struct fph_vq_dev *vq, bool keep_last);
/* Ask the driver not to ring, or to ring again; after the latter, look once more. */
void fph_vq_dev_doorbell(struct fph_vq_dev *vq, bool on);

/* ------------------------------------------------------------ driver end */

enum fph_slot_state {
	FPH_SLOT_FREE,
	FPH_SLOT_MESSAGE,  /* bytes that the device reads */
	FPH_SLOT_HINT,	   /* pages */
	FPH_SLOT_RETURNED, /* pages that came back and wait for the caller */
	FPH_SLOT_KIND = 0x7,
	FPH_SLOT_SHOWN = 0x8,  /* added to the two in the middle: the device has it */
	FPH_SLOT_COUNT = 0x10, /* times the slots of a chain, in its first one */
};

/*
 * Buffers take the next free slots going round, one each, and chains are slots in a row.
 * All that is needed later is kept in `slots`, which the device cannot write; the shared
 * memory is never read back, but for what tells the device's progress.
 */
struct fph_vq_drv {
	unsigned char *desc;
	unsigned char *driver;
	unsigned char *device;
	unsigned char *table; /* `size` descriptors, a chain's at its slots; with indirect */
	struct fph_guest_slot *slots;
	struct fph_vq_place place;
	struct fph_vq_format format;
	uint64_t table_gpa;
	uint16_t size;
	uint16_t batch; /* buffers that a chain may have */

	/* Counters of slots. */
	uint32_t head;	/* where to look for the next free one */
	uint32_t open;	/* first of the chain in the making, which ends at head */
	uint32_t shown; /* between this and head are all that are queued and not shown */
	uint32_t open_bytes;
	uint16_t free_count;
	uint16_t unshown; /* chains queued and not shown */

	/* In order: chains by their first slots, linked by next, shown ones before others. */
	uint16_t oldest;
	uint16_t latest; /* of the shown */
	uint16_t newest;

	/* Counters of ring entries: chains of a split ring, descriptors of a packed one. */
	uint16_t queued;
	uint16_t published;
	uint16_t reaped;
	uint16_t chains; /* shown and not returned */
	/* Counters of descriptors: in order they are used in order. */
	uint16_t desc_queued;
	uint16_t desc_published;
	uint16_t desc_reaped;
	/* Split: heads are this far ahead of their entries, for so many entries now. */
	uint16_t skew;
	uint16_t in_step;
	/* Packed: positions of the three. */
	uint16_t queued_pos;
	uint16_t published_pos;
	uint16_t reaped_pos;
	uint16_t first_flags; /* of the descriptor at published_pos: stored last of all */
	uint16_t first_id;
	uint16_t batch_left; /* in order: chains that the last used entry closed */
	uint16_t event;	     /* what `reaped` was when interrupts were asked for */
	bool silent;	     /* the device was told not to interrupt */
};

#define FPH_NO_SLOT UINT16_MAX

/* Slots in the state FPH_SLOT_RETURNED, linked by slots[].next. */
struct fph_vq_list {
	uint16_t first; /* or FPH_NO_SLOT, and then last means nothing */
	uint16_t last;
};

/* Bytes of a ring of that size in any format, with its tables. */
uint32_t fph_vq_drv_bytes(uint16_t size);
/*
 * Lay out an empty ring at the start of `at`, which is 16-byte aligned; chains of up to
 * `batch` buffers.
 */
void fph_vq_drv_place(struct fph_vq_drv *vq, struct fph_guest_slot *slots, unsigned char *hva,
		      uint64_t gpa, uint16_t size, struct fph_vq_format format, uint16_t batch);
/*
 * Queue one buffer; the caller made sure that a slot is free and gave its address
 * by fph_vq_drv_slot().  Not shown before publish.
 */
void fph_vq_drv_add(struct fph_vq_drv *vq, uint64_t gpa, uint32_t len, enum fph_slot_state state);
/*
 * The same for hints, as many as there are free slots for, in chains of one as long as no
 * more are wanted.  Returns how many.
 */
uint32_t fph_vq_drv_add_hints(struct fph_vq_drv *vq, const struct fph_range *pages, uint32_t n);
/* The slot that the next add will use, in a chain of its own. */
uint16_t fph_vq_drv_slot(struct fph_vq_drv *vq);
/*
 * Take back what was queued and not shown, a chain a call.  Returns true and
 * its slots as reap does, or false: that was all.
 */
bool fph_vq_drv_withdraw(struct fph_vq_drv *vq, uint16_t *slot, uint16_t *count);
static inline void fph_vq_list_add(struct fph_vq_drv *vq, struct fph_vq_list *list, uint16_t slot)
{
	vq->slots[slot].state = FPH_SLOT_RETURNED;
	vq->slots[slot].next = FPH_NO_SLOT;
	if (list->first == FPH_NO_SLOT)
		list->first = slot;
	else
		vq->slots[list->last].next = slot;
	list->last = slot;
}
static inline void fph_vq_drv_free(struct fph_vq_drv *vq, uint16_t slot)
{
	vq->slots[slot].state = FPH_SLOT_FREE;
	vq->free_count++;
}
/*
 * Show all that is queued.  Returns 1 (ring the doorbell), 0 (the device does not
 * want it), or -EAGAIN (nothing was queued).
 */
int fph_vq_drv_publish(struct fph_vq_drv *vq);
/*
 * Take one returned chain.  Returns 1 and its slots, `*count` from `*slot` on, going round,
 * in the state that they were added with; 0 (none), or -EPROTO and *fault.
 */
int fph_vq_drv_reap(struct fph_vq_drv *vq, uint16_t *slot, uint16_t *count,
		    struct fph_fault *fault);
/*
 * The same in bulk, as long as nothing is odd; what ended it is left to fph_vq_drv_reap().
 * Hints go to the end of the list, messages are free again.  Returns how many hints.
 */
uint32_t fph_vq_drv_reap_hints(struct fph_vq_drv *vq, struct fph_vq_list *list);
/* Where the driver will add next, as a doorbell with NOTIFICATION_DATA tells it.  N-1, P-6 */
static inline uint16_t fph_vq_drv_next(const struct fph_vq_drv *vq)
{
	return vq->format.packed ? vq->published_pos : vq->published;
}
/*
 * Ask the device not to interrupt, or to do so.  Returns whether it was asked anew: then
 * reap, and as long as that brings any, ask again.
 */
bool fph_vq_drv_interrupt(struct fph_vq_drv *vq, bool on);

#endif
