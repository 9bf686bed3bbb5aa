/* SPDX-License-Identifier: MIT */
#ifndef FPH_PROOF_RING_H
#define FPH_PROOF_RING_H

#include <vq.h>

/*
 * Any state that the device end of a queue may be in, and what always holds of it.  The
 * parts of the ring are objects of their exact sizes, so that one byte past them shows.
 */

#ifndef MAX_SIZE
#define MAX_SIZE 32768u
#endif

static struct fph_region ring_region;
static struct fph_mem ring_mem = { .regions = &ring_region, .count = 1 };

static bool is_dev(const struct fph_vq_dev *vq)
{
	uint16_t in_hand = (uint16_t)(vq->next - vq->used);
	uint16_t done = (uint16_t)(vq->done - vq->used);
	uint16_t limit = vq->table_len ? vq->table_len : vq->size;

	if (in_hand > vq->size || done > in_hand)
		return false;
	if (vq->in_chain ? vq->budget >= vq->size || vq->follow >= limit : done != in_hand)
		return false;
	if (vq->format.packed)
		return (!vq->peeked || in_hand < vq->size) &&
		       (vq->next_pos & ~FPH_WRAP & 0xffffu) < vq->size &&
		       (vq->used_pos & ~FPH_WRAP & 0xffffu) < vq->size &&
		       vq->next_pos == fph_pos_add(vq->used_pos, in_hand, vq->size);
	return (uint32_t)in_hand + (uint16_t)(vq->seen - vq->next) <= vq->size &&
	       (!vq->in_chain || (vq->head < vq->size && done + 1 == in_hand));
}

/* May the last chain be kept when the others are returned?  One ended since the last time. */
static bool may_keep(const struct fph_vq_dev *vq)
{
	return (uint16_t)(vq->before - vq->used) <= (uint16_t)(vq->done - vq->used);
}

/* Any state of one format; the table in hand, if there is one, is an object, too. */
static struct fph_vq_dev any_dev(bool packed)
{
	struct fph_vq_dev vq;

	ANYTHING(vq);
	ASSUME(vq.size >= 1 && vq.size <= MAX_SIZE);
	ASSUME(packed || !(vq.size & (vq.size - 1)));
	vq.format.packed = packed;
	vq.format.event_idx = ANY(bool);
	vq.format.indirect = ANY(bool);
	vq.format.in_order = ANY(bool);
	vq.silent = ANY(bool);
	vq.peeked = ANY(bool);
	vq.in_chain = ANY(bool);
	vq.writable = ANY(bool);
	vq.stale_chain = ANY(bool);
	vq.desc = any_bytes(FPH_DESC_BYTES * (uint64_t)vq.size);
	vq.driver = any_bytes(packed ? FPH_EVENT_BYTES : FPH_AVAIL_BYTES(vq.size));
	vq.device = any_bytes(packed ? FPH_EVENT_BYTES : FPH_USED_BYTES(vq.size));
	ASSUME(!vq.in_chain || vq.table_len <= vq.size);
	vq.table_at = any_bytes(vq.in_chain ? FPH_DESC_BYTES * (uint64_t)vq.table_len : 0);
	vq.mem = &ring_mem;
	ring_region = (struct fph_region){ nondet_u64(), any_up_to(UINT64_C(1) << 40), NULL, 0 };
	ring_region.hva = any_bytes(ring_region.len);
	ASSUME(fph_mem_check(&ring_mem) == 0);
	ASSUME(is_dev(&vq));
	return vq;
}

/* A fault is one when that is what was answered. */
#define PROVE_ANSWER(rc, most, fault)                                                          \
	do {                                                                                   \
		PROVE((rc) == -EPROTO || ((rc) >= 0 && (int64_t)(rc) <= (int64_t)(most)));     \
		PROVE((rc) != -EPROTO || ((fault).rule > 0 && (fault).rule < FPH_RULE_COUNT)); \
	} while (0)

#endif
