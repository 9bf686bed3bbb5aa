/* SPDX-License-Identifier: MIT */
/* The device end of a queue: lib/vq_dev.c, vq_split_dev.c, vq_packed_dev.c. */
#include "ring.h"

static void prove_next(bool packed)
{
	struct fph_vq_dev vq = any_dev(packed), old = vq;
	struct fph_fault fault = { 0 };
	struct fph_vq_buf buf;
	int rc = fph_vq_dev_next(&vq, &buf, &fault);

	PROVE_ANSWER(rc, 1, fault);
	if (rc == 1) {
		PROVE(is_dev(&vq));
		PROVE(buf.len > 0 && buf.gpa + (buf.len - 1) >= buf.gpa);
		PROVE(buf.last == !vq.in_chain && buf.first == !old.in_chain);
		PROVE(!(old.in_chain && old.writable) || buf.writable);
		PROVE(!buf.last || may_keep(&vq));
		PROVE(buf.last || vq.budget < (old.in_chain ? old.budget : vq.size));
		PROVE(!vq.in_chain || !vq.table_len ||
		      __CPROVER_r_ok(vq.table_at, FPH_DESC_BYTES * (size_t)vq.table_len));
		REACHED(buf.first && buf.last && !vq.table_len);
		REACHED(!buf.first && !buf.last && vq.table_len && buf.writable);
		REACHED(buf.first && vq.in_chain && vq.table_len);
	}
	if (rc == 0) {
		PROVE(is_dev(&vq) && !old.in_chain && vq.next == old.next);
		REACHED(vq.size > 1);
	}
	REACHED(fault.rule == FPH_RULE_CHAIN_LONG);
	REACHED(fault.rule == FPH_RULE_TABLE_MEMORY);
	REACHED(fault.rule == FPH_RULE_TABLE_NESTED);
}

/*
 * proof: split_next
 * of: fph_vq_dev_next, split ring
 * says: one step from any state: in bounds, state good, buffer judged, order kept, budget falls
 * bounds: ring to 32768, table to the ring's size, memory to 2^40 bytes
 * sources: lib/vq_dev.c lib/vq_split_dev.c lib/vq_packed_dev.c lib/mem.c
 * unwind: 17
 * mutant: lib/vq_dev.c s/desc->next >= limit/desc->next > limit/
 */
void proof_split_next(void)
{
	prove_next(false);
}

/*
 * proof: packed_next
 * of: fph_vq_dev_next, packed ring
 * says: one step from any state: in bounds, state good, buffer judged, order kept, budget falls
 * bounds: ring to 32768, table to the ring's size, memory to 2^40 bytes
 * sources: lib/vq_dev.c lib/vq_split_dev.c lib/vq_packed_dev.c lib/mem.c
 * unwind: 17
 * mutant: lib/vq_packed_dev.c s/vq->peeked || !room(vq)/vq->peeked/
 */
void proof_packed_next(void)
{
	prove_next(true);
}

#ifndef OUT
#define OUT 3u
#endif

static void prove_take(bool packed)
{
	struct fph_vq_dev vq = any_dev(packed), old = vq;
	struct fph_vq_window w = { nondet_u64(), nondet_u64(), 4095 };
	struct fph_range out[OUT];
	uint32_t max = (uint32_t)any_up_to(OUT), i = (uint32_t)any_up_to(OUT - 1);
	uint32_t n;

	ASSUME(w.gpa + (w.len - 1) >= w.gpa || !w.len);
	n = fph_vq_dev_take(&vq, &w, out, max);
	PROVE(n <= max && is_dev(&vq) && (!n || may_keep(&vq)));
	PROVE(i >= n || (out[i].len && out[i].gpa >= w.gpa && out[i].len <= w.len &&
			 out[i].gpa - w.gpa <= w.len - out[i].len));
	PROVE(i >= n || !((out[i].gpa | out[i].len) & 4095));
	PROVE(!n || (!old.in_chain && !old.stale && !old.peeked));
	PROVE((uint16_t)(vq.next - old.next) == n && vq.used == old.used);
	REACHED(n == OUT && vq.size > 1000);
	REACHED(n && vq.peeked);
}

/*
 * proof: split_take
 * of: fph_vq_dev_take, split ring
 * says: bulk hints from any state: in bounds, each in the window and whole pages, state good
 * bounds: 2 hints a call, ring to 32768
 * sources: lib/vq_dev.c lib/vq_split_dev.c lib/vq_packed_dev.c lib/mem.c
 * defines: -DOUT=2u
 * unwind: 4
 * mutant: lib/vq_split_dev.c s/if (head > mask)/if (head > mask + 1)/
 */
void proof_split_take(void)
{
	prove_take(false);
}

/*
 * proof: packed_take
 * of: fph_vq_dev_take, packed ring
 * says: bulk hints from any state: in bounds, each in the window and whole pages, state good
 * bounds: 3 hints a call, ring to 32768
 * sources: lib/vq_dev.c lib/vq_split_dev.c lib/vq_packed_dev.c lib/mem.c
 * unwind: 5
 * mutant: lib/vq_packed_dev.c s/pos = fph_pos_add(pos, 1, size);/pos++;/
 */
void proof_packed_take(void)
{
	prove_take(true);
}

static void prove_return(bool packed)
{
	struct fph_vq_dev vq = any_dev(packed), old = vq;
	bool keep = may_keep(&vq) && ANY(bool);
	int rc = fph_vq_dev_return(&vq, keep);

	PROVE(rc == 0 || rc == 1 || rc == -EAGAIN);
	PROVE(is_dev(&vq));
	PROVE(vq.used == (keep ? old.before : old.done));
	PROVE((rc == -EAGAIN) == (vq.used == old.used));
	PROVE(vq.next == old.next && vq.next_pos == old.next_pos);
	REACHED(rc == 1 && keep && vq.used != vq.done);
	REACHED(rc == 0 && vq.used == vq.next && vq.format.event_idx);
	REACHED(rc == -EAGAIN);
}

/*
 * proof: split_return
 * of: fph_vq_dev_return, split ring
 * says: from any state: the used entry and used.idx in bounds, counters good, none returned twice
 * bounds: ring to 32768
 * sources: lib/vq_dev.c lib/vq_split_dev.c lib/vq_packed_dev.c lib/mem.c
 * unwind: 4
 * mutant: lib/vq_split_dev.c s/old & (uint16_t)(vq->size - 1), id/old \& vq->size, id/
 */
void proof_split_return(void)
{
	prove_return(false);
}

/*
 * proof: packed_return
 * of: fph_vq_dev_return, packed ring
 * says: from any state, whatever the ring says of the chains by now: in bounds, counters good, ends
 * bounds: ring to 6, so up to 6 descriptors in any chains
 * sources: lib/vq_dev.c lib/vq_split_dev.c lib/vq_packed_dev.c lib/mem.c
 * defines: -DMAX_SIZE=6u
 * unwind: 8
 * mutant: lib/vq_packed_dev.c s/FPH_DESC_NEXT) && n < max/FPH_DESC_NEXT) \&\& n <= max/
 */
void proof_packed_return(void)
{
	prove_return(true);
}

static void prove_look(bool packed)
{
	struct fph_vq_dev vq = any_dev(packed), old = vq;
	struct fph_fault fault = { 0 };
	int rc;

	if (ANY(bool)) {
		rc = fph_vq_dev_fence(&vq, &fault);
		PROVE_ANSWER(rc, 0, fault);
		if (rc == 0) {
			PROVE(vq.stale_chain);
			PROVE(vq.stale <= vq.size - (uint16_t)(vq.next - vq.used));
			REACHED(vq.stale == 2);
		}
	} else {
		rc = fph_vq_dev_look(&vq, &fault);
		PROVE_ANSWER(rc, 1, fault);
		fph_vq_dev_doorbell(&vq, ANY(bool));
		REACHED(rc == 1);
	}
	PROVE(rc < 0 || is_dev(&vq));
	PROVE(vq.next == old.next && vq.used == old.used && vq.done == old.done);
	if (rc < 0)
		PROVE(vq.seen == old.seen && vq.stale == old.stale);
	REACHED(rc < 0 || packed);
}

/*
 * proof: split_look
 * of: fph_vq_dev_look, fence, doorbell, split ring
 * says: from any state: avail.idx is judged, nothing changes on an error, the fence is no wider than the ring
 * bounds: ring to 32768
 * sources: lib/vq_dev.c lib/vq_split_dev.c lib/vq_packed_dev.c lib/mem.c
 * unwind: 2
 * mutant: lib/vq_split_dev.c s/waiting + in_hand > vq->size/waiting > vq->size/
 */
void proof_split_look(void)
{
	prove_look(false);
}

/*
 * proof: packed_look
 * of: fph_vq_dev_look, fence, doorbell, packed ring
 * says: from any state: in bounds, ends, the fence is no wider than the ring
 * bounds: ring to 16
 * sources: lib/vq_dev.c lib/vq_split_dev.c lib/vq_packed_dev.c lib/mem.c
 * defines: -DMAX_SIZE=16u
 * unwind: 17
 * mutant: lib/vq_packed_dev.c s/while (n > 0 && n < max)/while (n > 0 \&\& n <= max)/
 */
void proof_packed_look(void)
{
	prove_look(true);
}

/*
 * proof: dev_enable
 * of: fph_vq_dev_enable
 * says: each part lies in one writable region, sizes and places are judged, no change on an error
 * bounds: 1 region to 2^40 bytes, any place, both formats
 * sources: lib/vq_dev.c lib/vq_split_dev.c lib/vq_packed_dev.c lib/mem.c
 * unwind: 4
 * mutant: lib/vq_dev.c s/!(place->device & 3)/!(place->device \& 1)/
 */
void proof_dev_enable(void)
{
	struct fph_vq_dev vq = any_dev(ANY(bool)), old = vq;
	struct fph_vq_format format = { ANY(bool), ANY(bool), ANY(bool), ANY(bool) };
	struct fph_vq_place place;
	uint16_t max = (uint16_t)any_up_to(32768), size;
	enum fph_rule rule;

	ANYTHING(place);
	ring_region.flags = (uint32_t)any_up_to(1);
	size = place.size;
	/* What the first region is mapped to is aligned as it is. */
	ASSUME(!(ring_region.gpa & 15));
	rule = fph_vq_dev_enable(&vq, &ring_mem, &place, max, format);
	if (rule == FPH_RULE_NONE) {
		PROVE(size && size <= max && (format.packed || !(size & (size - 1))));
		PROVE(!ring_region.flags && is_dev(&vq));
		PROVE(__CPROVER_rw_ok(vq.desc, FPH_DESC_BYTES * (size_t)size));
		PROVE(__CPROVER_rw_ok(vq.driver,
				      format.packed ? FPH_EVENT_BYTES : FPH_AVAIL_BYTES(size)));
		PROVE(__CPROVER_rw_ok(vq.device,
				      format.packed ? FPH_EVENT_BYTES : FPH_USED_BYTES(size)));
		REACHED(format.packed && vq.size == 3);
		REACHED(!format.packed && vq.size == 32768);
	} else {
		PROVE(rule < FPH_RULE_COUNT);
		PROVE(vq.desc == old.desc && vq.size == old.size && vq.next == old.next &&
		      vq.used == old.used && vq.mem == old.mem);
		REACHED(rule == FPH_RULE_RING_MEMORY);
		REACHED(rule == FPH_RULE_RING_ALIGN);
	}
}
