/* SPDX-License-Identifier: MIT */
#include "vq_dev.h"

#define AVAIL_MASK (FPH_DESC_AVAIL | FPH_DESC_USED)

static unsigned char *desc_at(const struct fph_vq_dev *vq, uint16_t pos)
{
	return vq->desc + FPH_DESC_BYTES * (size_t)(pos & ~FPH_WRAP & 0xffff);
}

#define OTHER_FLAGS (FPH_DESC_NEXT | FPH_DESC_WRITE | FPH_DESC_INDIRECT)

static inline uint32_t load_word(const unsigned char *at)
{
	/* Barrier A: pairs with A in fph_vq_packed_publish().  P-4 */
	return fph_ld32_acquire(at + 12);
}

static inline bool is_available(uint32_t word, uint16_t pos)
{
	return (word >> 16 & AVAIL_MASK) == fph_avail_flags(pos);
}

/* Of an available descriptor 16 bytes are in locals, and nothing is read again.  (TOCTOU) */
static void keep_peek(struct fph_vq_dev *vq, uint32_t word, uint64_t gpa, uint32_t len)
{
	vq->peeked = true;
	vq->peeked_id = (uint16_t)word;
	vq->peek = (struct fph_vq_desc){ gpa, len, (uint16_t)(word >> 16) & OTHER_FLAGS, 0 };
}

/* The ring holds no more than `size`; who shows more shows what is ours.  P-5 */
static uint16_t room(const struct fph_vq_dev *vq)
{
	return (uint16_t)(vq->size - (uint16_t)(vq->next - vq->used));
}

/* Have a copy of the next descriptor, if it is available. */
static bool peek(struct fph_vq_dev *vq)
{
	const unsigned char *at = desc_at(vq, vq->next_pos);
	uint32_t word;

	if (vq->peeked || !room(vq))
		return vq->peeked;
	word = load_word(at);
	if (is_available(word, vq->next_pos))
		keep_peek(vq, word, fph_ld64(at), fph_ld32(at + 8));
	return vq->peeked;
}

bool fph_vq_packed_look(struct fph_vq_dev *vq)
{
	return peek(vq);
}

int fph_vq_packed_count(struct fph_vq_dev *vq)
{
	uint16_t pos = vq->next_pos, max = room(vq);
	int n = peek(vq);

	while (n > 0 && n < max) {
		pos = fph_pos_add(pos, 1, vq->size);
		if (!is_available(load_word(desc_at(vq, pos)), pos))
			break;
		n++;
	}
	return n;
}

int fph_vq_packed_begin(struct fph_vq_dev *vq)
{
	if (!peek(vq))
		return 0;
	vq->follow = vq->next_pos & (uint16_t)~FPH_WRAP;
	vq->budget = vq->size;
	vq->table_len = 0;
	vq->in_chain = true;
	vq->writable = false;
	vq->stale_chain = vq->stale > 0;
	return 1;
}

/* P-3, P-9: one after the other. */
static void step(struct fph_vq_dev *vq)
{
	vq->next_pos = fph_pos_add(vq->next_pos, 1, vq->size);
	vq->next++;
}

int fph_vq_packed_fetch(struct fph_vq_dev *vq, struct fph_vq_desc *desc, struct fph_fault *fault)
{
	if (!peek(vq))
		return fph_fault_at(fault, FPH_RULE_CHAIN_TORN, vq->follow, vq->size);
	vq->peeked = false;
	*desc = vq->peek;
	vq->head = vq->peeked_id; /* the last of the list counts.  P-8 */
	step(vq);
	vq->stale = (uint16_t)(vq->stale - (vq->stale > 0));
	desc->next = vq->next_pos & (uint16_t)~FPH_WRAP;
	return 1;
}

/* In locals, since the compiler must think that every store to a ring may change *vq. */
uint32_t fph_vq_packed_take(struct fph_vq_dev *vq, const struct fph_vq_window *window,
			    struct fph_range *out, uint32_t max)
{
	const struct fph_vq_window w = *window;
	const unsigned char *ring = vq->desc;
	uint16_t space = room(vq), size = vq->size, pos = vq->next_pos;
	uint16_t wanted = fph_avail_flags(pos);
	uint32_t n, id = vq->last_id;

	max = max < space ? max : space;
	for (n = 0; n < max; n++) {
		const unsigned char *at = ring + FPH_DESC_BYTES * (size_t)(pos & ~FPH_WRAP & 0xffff);
		uint32_t word = load_word(at), len;
		uint64_t gpa;

		if ((word >> 16 & AVAIL_MASK) != wanted)
			break;
		gpa = fph_ld64(at);
		len = fph_ld32(at + 8);
		if ((word >> 16 & OTHER_FLAGS) != FPH_DESC_WRITE || !fph_vq_fits(&w, gpa, len)) {
			keep_peek(vq, word, gpa, len);
			break;
		}
		out[n].gpa = gpa;
		out[n].len = len;
		id = word & 0xffff;
		pos = fph_pos_add(pos, 1, size);
		if ((pos & ~FPH_WRAP) == 0)
			wanted = fph_avail_flags(pos);
	}
	vq->last_id = (uint16_t)id;
	vq->next_pos = pos;
	vq->next = vq->done = (uint16_t)(vq->next + n);
	return n;
}

/* The end of the chain at *pos: its id goes to *id.  Moves *pos behind it. */
static inline uint16_t skip_chain(const unsigned char *ring, uint16_t size, uint16_t *pos,
				  uint16_t max, uint16_t *id)
{
	uint16_t n = 0;
	uint32_t word;

	do {
		word = fph_ld32(ring + FPH_DESC_BYTES * (size_t)(*pos & ~FPH_WRAP & 0xffff) + 12);
		*pos = fph_pos_add(*pos, 1, size);
		n++;
	} while ((word >> 16 & FPH_DESC_NEXT) && n < max);
	*id = (uint16_t)word;
	return n;
}

/*
 * The length means nothing without the WRITE flag (P-11), and nothing was written into
 * the buffers.
 */
static inline void write_used(unsigned char *ring, uint16_t pos, uint16_t id, bool last)
{
	unsigned char *at = ring + FPH_DESC_BYTES * (size_t)(pos & ~FPH_WRAP & 0xffff);

	fph_st32(at + 8, 0);
	if (last) /* Barrier B: pairs with B in fph_vq_drv_reap(). */
		fph_st32_release(at + 12, id | (uint32_t)fph_used_flags(pos) << 16);
	else
		fph_st32(at + 12, id | (uint32_t)fph_used_flags(pos) << 16);
}

int fph_vq_packed_return(struct fph_vq_dev *vq, uint16_t upto, uint16_t id)
{
	uint16_t n = (uint16_t)(upto - vq->used), left = n;
	uint16_t first = vq->used_pos, first_id = id, pos = first, size = vq->size;
	unsigned char *ring = vq->desc;
	uint32_t event;

	if (!vq->format.in_order) { /* P-11: else one entry for all */
		/* The first becomes the driver's last, and all the others with it. */
		left = (uint16_t)(left - skip_chain(ring, size, &pos, left, &first_id));
		while (left) {
			uint16_t at = pos, its;

			left = (uint16_t)(left - skip_chain(ring, size, &pos, left, &its));
			write_used(ring, at, its, false);
		}
	}
	write_used(ring, first, first_id, true);
	vq->used = upto;
	vq->used_pos = fph_pos_add(first, n, size);
	/* Barrier D: pairs with D in fph_vq_drv_interrupt(). */
	fph_full_barrier();
	event = fph_ld32(vq->driver);
	return fph_event_wanted(event, vq->used_pos, n, size);
}

void fph_vq_packed_doorbell(struct fph_vq_dev *vq, bool on)
{
	uint32_t how = vq->format.event_idx ? FPH_EVENT_AT : FPH_EVENT_ENABLE; /* P-12 */

	fph_st32(vq->device, vq->next_pos | (on ? how : FPH_EVENT_DISABLE) << 16);
}
