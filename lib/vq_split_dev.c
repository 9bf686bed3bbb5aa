/* SPDX-License-Identifier: MIT */
#include "vq_dev.h"

/* Nothing was written into the buffers, nor is the rest of the ring (V-4): the length is 0.  V-8 */
static inline void write_used(unsigned char *entries, uint32_t i, uint32_t head)
{
	fph_st32(entries + 8 * (size_t)i, head);
	fph_st32(entries + 8 * (size_t)i + 4, 0);
}

int fph_vq_split_look(struct fph_vq_dev *vq, struct fph_fault *fault)
{
	/* Barrier A: pairs with A in fph_vq_drv_publish(). */
	uint16_t idx = fph_ld16_acquire(vq->driver + 2);
	uint16_t waiting = (uint16_t)(idx - vq->next);
	uint16_t in_hand = (uint16_t)(vq->next - vq->used);

	/* A ring holds `size` chains, whether waiting or not yet returned.  V-6 */
	if ((uint32_t)waiting + in_hand > vq->size)
		return fph_fault_at(fault, FPH_RULE_AVAIL_AHEAD, vq->next, idx);
	vq->seen = idx;
	return waiting;
}

static uint16_t head_at(const struct fph_vq_dev *vq, uint16_t counter)
{
	return fph_ld16(vq->driver + 4 + 2 * (size_t)(counter & (vq->size - 1)));
}

int fph_vq_split_begin(struct fph_vq_dev *vq, struct fph_fault *fault)
{
	uint16_t head;

	if (vq->next == vq->seen) {
		int waiting = fph_vq_split_look(vq, fault);

		if (waiting <= 0)
			return waiting;
	}
	head = vq->peeked ? vq->peeked_id : head_at(vq, vq->next);
	if (head >= vq->size)
		return fph_fault_at(fault, FPH_RULE_HEAD_RANGE, vq->next, head);
	vq->next++;
	vq->head = vq->follow = head;
	vq->budget = vq->size;
	vq->table_len = 0;
	vq->in_chain = true;
	vq->writable = false;
	vq->stale_chain = vq->stale > 0;
	vq->stale = (uint16_t)(vq->stale - vq->stale_chain);
	return 1;
}

/* A descriptor as it stands in the ring: address, then length, flags and next. */
struct words {
	uint64_t gpa;
	uint64_t rest;
};

/* The one copy: 16 bytes into locals, and nothing is read again.  (TOCTOU) */
static inline struct words load(const unsigned char *table, uint32_t index)
{
	const unsigned char *at = table + FPH_DESC_BYTES * (size_t)index;

	return (struct words){ fph_ld64(at), fph_ld64(at + 8) };
}

static inline struct fph_vq_desc unpack(const struct words *desc)
{
	return (struct fph_vq_desc){
		.gpa = desc->gpa,
		.len = (uint32_t)desc->rest,
		.flags = (uint16_t)(desc->rest >> 32),
		.next = (uint16_t)(desc->rest >> 48),
	};
}

/* One device-writable buffer and no more? */
static inline bool is_plain(const struct words *desc)
{
	return (uint16_t)(desc->rest >> 32) == FPH_DESC_WRITE;
}

void fph_vq_split_fetch(struct fph_vq_dev *vq, struct fph_vq_desc *desc)
{
	if (vq->peeked) {
		*desc = vq->peek;
		vq->peeked = false;
	} else {
		struct words words = load(vq->desc, vq->follow);

		*desc = unpack(&words);
	}
}

/* The used entry is the device's until used.idx moves, so it may be written early. */
void fph_vq_split_finish(struct fph_vq_dev *vq)
{
	if (!vq->format.in_order)
		write_used(vq->device + 4, (uint16_t)(vq->next - 1) & (uint16_t)(vq->size - 1),
			   vq->head);
}

/* In locals, since the compiler must think that every store to a ring may change *vq. */
static inline uint32_t take(struct fph_vq_dev *vq, const struct fph_vq_window *window,
			    struct fph_range *out, uint32_t max, bool in_order)
{
	const struct fph_vq_window w = *window;
	const unsigned char *avail = vq->driver + 4, *table = vq->desc;
	unsigned char *used = vq->device + 4;
	uint32_t mask = vq->size - 1u, next = vq->next, end = next + max;
	uint32_t head = 0, last = vq->last_id;
	struct words desc = { 0 };

	for (; next != end; next++, out++) {
		uint32_t at = next & mask, len;

		head = fph_ld16(avail + 2 * (size_t)at);
		if (head > mask) {
			desc = (struct words){ 0 };
			break;
		}
		desc = load(table, head);
		len = (uint32_t)desc.rest;
		if (!is_plain(&desc) || !fph_vq_fits(&w, desc.gpa, len))
			break;
		out->gpa = desc.gpa;
		out->len = len;
		if (!in_order)
			write_used(used, at, head);
		last = head;
	}
	if (next != end) {
		vq->peeked = true;
		vq->peeked_id = (uint16_t)head;
		vq->peek = unpack(&desc);
	}
	max -= end - next;
	vq->last_id = (uint16_t)last;
	vq->next = vq->done = (uint16_t)next;
	return max;
}

uint32_t fph_vq_split_take(struct fph_vq_dev *vq, const struct fph_vq_window *window,
			   struct fph_range *out, uint32_t max)
{
	uint16_t waiting = (uint16_t)(vq->seen - vq->next);

	if (!waiting) {
		struct fph_fault fault;
		int now = fph_vq_split_look(vq, &fault);

		waiting = now > 0 ? (uint16_t)now : 0;
	}
	max = max < waiting ? max : waiting;
	return vq->format.in_order ? take(vq, window, out, max, true) :
				     take(vq, window, out, max, false);
}

int fph_vq_split_return(struct fph_vq_dev *vq, uint16_t upto, uint16_t id)
{
	uint16_t old = vq->used;

	if (vq->format.in_order) /* V-13: one entry for all */
		write_used(vq->device + 4, old & (uint16_t)(vq->size - 1), id);
	vq->used = upto;
	/* Barrier B: pairs with B in fph_vq_drv_reap(). */
	fph_st16_release(vq->device + 2, upto);
	/* Barrier D: pairs with D in fph_vq_drv_interrupt(). */
	fph_full_barrier();
	if (vq->format.event_idx) /* V-15 */
		return fph_event_passed(fph_ld16(vq->driver + 4 + 2 * (size_t)vq->size), upto, old);
	return !(fph_ld16(vq->driver) & FPH_RING_SILENT);
}

void fph_vq_split_doorbell(struct fph_vq_dev *vq, bool on)
{
	if (!vq->format.event_idx)
		fph_st16(vq->device, (uint16_t)(on ? 0 : FPH_RING_SILENT)); /* V-17 */
	else if (on) /* behind the driver it rings no bell, so off needs no store */
		fph_st16(vq->device + 4 + 8 * (size_t)vq->size, vq->seen);
}
