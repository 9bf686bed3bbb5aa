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
 * mutant: lib/vq_packed_dev.c s/!vq->peeked && room(vq)/!vq->peeked/
 */
void proof_packed_next(void)
{
	prove_next(true);
}
