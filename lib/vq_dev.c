/* SPDX-License-Identifier: MIT */
#include "vq_dev.h"

/* ------------------------------------------------------------ place */

struct part {
	uint64_t gpa;
	uint32_t len;
};

#define PARTS 3u

static void parts_of(const struct fph_vq_place *place, bool packed, struct part part[PARTS])
{
	uint32_t size = place->size;

	part[0] = (struct part){ place->desc, FPH_DESC_BYTES * size };
	part[1] = (struct part){ place->driver, packed ? FPH_EVENT_BYTES : FPH_AVAIL_BYTES(size) };
	part[2] = (struct part){ place->device, packed ? FPH_EVENT_BYTES : FPH_USED_BYTES(size) };
}

/* Where the part is mapped, or NULL unless it lies in one region that may be written. */
static unsigned char *map_part(const struct fph_mem *mem, const struct part *part)
{
	struct fph_range range = { part->gpa, part->len }, piece;
	int region;

	if (part->gpa + (part->len - 1) < part->gpa)
		return NULL;
	region = fph_mem_piece(mem, &range, &piece);
	if (region < 0 || piece.gpa != part->gpa || piece.len != part->len)
		return NULL;
	if (mem->regions[region].flags & FPH_REGION_READONLY)
		return NULL;
	return fph_mem_at(mem, part->gpa, part->len);
}

static bool map_parts(struct fph_vq_dev *vq, const struct fph_mem *mem)
{
	struct part part[PARTS];
	unsigned char *at[PARTS];

	parts_of(&vq->place, vq->format.packed, part);
	for (unsigned i = 0; i < PARTS; i++) {
		at[i] = map_part(mem, &part[i]);
		if (!at[i])
			return false;
	}
	vq->desc = at[0];
	vq->driver = at[1];
	vq->device = at[2];
	if (vq->in_chain && vq->table_len) {
		vq->table_at = fph_mem_at(mem, vq->table, FPH_DESC_BYTES * (uint64_t)vq->table_len);
		if (!vq->table_at)
			return false;
	}
	vq->mem = mem;
	return true;
}

static bool is_aligned(const struct fph_vq_place *place, bool packed)
{
	/* V-1, P-1 */
	return !(place->desc & 15) && !(place->driver & (packed ? 3 : 1)) && !(place->device & 3);
}

enum fph_rule fph_vq_dev_enable(struct fph_vq_dev *vq, const struct fph_mem *mem,
				const struct fph_vq_place *place, uint16_t max,
				struct fph_vq_format format)
{
	struct fph_vq_dev fresh = { .place = *place, .format = format, .size = place->size };

	if (place->size == 0 || place->size > max)
		return FPH_RULE_RING_SIZE;
	if (!format.packed && (place->size & (place->size - 1)))
		return FPH_RULE_RING_SIZE;
	if (format.packed && (place->index & ~FPH_WRAP) >= place->size)
		return FPH_RULE_RING_SIZE;
	if (!is_aligned(place, format.packed))
		return FPH_RULE_RING_ALIGN;
	if (!map_parts(&fresh, mem))
		return FPH_RULE_RING_MEMORY;
	if (format.packed)
		fresh.next_pos = fresh.used_pos = place->index ^ FPH_WRAP;
	else
		fresh.seen = fresh.next = fresh.done = fresh.before = fresh.used = place->index;
	*vq = fresh;
	/* V-17; whoever had the queue before may have been silent */
	if (format.packed)
		fph_st32(vq->device, FPH_EVENT_ENABLE << 16);
	else
		fph_st16(vq->device, 0);
	if (vq->format.event_idx && !vq->format.packed)
		fph_vq_split_doorbell(vq, true);
	return FPH_RULE_NONE;
}

enum fph_rule fph_vq_dev_move(struct fph_vq_dev *vq, const struct fph_mem *mem)
{
	return map_parts(vq, mem) ? FPH_RULE_NONE : FPH_RULE_RING_GONE;
}

uint16_t fph_vq_dev_index(const struct fph_vq_dev *vq)
{
	return vq->format.packed ? vq->used_pos ^ FPH_WRAP : vq->used;
}

static bool touches(const struct fph_range *range, const struct part *part)
{
	return part->gpa - range->gpa < range->len || range->gpa - part->gpa < part->len;
}

bool fph_vq_dev_covers(const struct fph_vq_dev *vq, const struct fph_range *range)
{
	struct part part[PARTS];

	if (!vq->size)
		return false;
	parts_of(&vq->place, vq->format.packed, part);
	return touches(range, &part[0]) || touches(range, &part[1]) || touches(range, &part[2]);
}

void fph_vq_dev_spare(const struct fph_vq_dev *vq, uint64_t gpa, struct fph_range *free)
{
	struct part part[PARTS];

	if (!vq->size)
		return;
	parts_of(&vq->place, vq->format.packed, part);
	for (unsigned i = 0; i < PARTS; i++) {
		uint64_t behind = part[i].gpa + part[i].len;

		if (!touches(free, &part[i]))
			continue;
		if (part[i].gpa > gpa) {
			free->len = part[i].gpa - free->gpa;
		} else {
			free->len -= behind - free->gpa;
			free->gpa = behind;
		}
	}
}

/* ------------------------------------------------------------ walk */

static int enter_table(struct fph_vq_dev *vq, const struct fph_vq_desc *desc,
		       struct fph_fault *fault)
{
	uint32_t count = desc->len / FPH_DESC_BYTES;

	/* V-10, P-10 */
	if (!vq->format.indirect)
		return fph_fault_at(fault, FPH_RULE_INDIRECT, vq->head, desc->flags);
	if (vq->table_len || (desc->flags & FPH_DESC_NEXT) ||
	    (vq->format.packed && vq->budget + 1u != vq->size))
		return fph_fault_at(fault, FPH_RULE_TABLE_NESTED, vq->head, desc->flags);
	if (count == 0 || desc->len % FPH_DESC_BYTES || count > vq->size)
		return fph_fault_at(fault, FPH_RULE_TABLE_SIZE, vq->head, desc->len);
	vq->table_at = fph_mem_at(vq->mem, desc->gpa, desc->len);
	if (!vq->table_at)
		return fph_fault_at(fault, FPH_RULE_TABLE_MEMORY, vq->head, desc->gpa);
	vq->table = desc->gpa;
	vq->table_len = (uint16_t)count;
	vq->follow = 0;
	vq->budget++; /* V-5 counts buffers, and the one that leads to the table is none */
	return 0;
}

/* A table may stand anywhere; the usual one is read by words. */
static uint64_t load_any(const unsigned char *at)
{
	unsigned char bytes[8];

	if (!((uintptr_t)at & 7))
		return fph_ld64(at);
	fph_ld_bytes(bytes, at, sizeof(bytes));
	return fph_ld32_bytes(bytes) | (uint64_t)fph_ld32_bytes(bytes + 4) << 32;
}

/* The one copy of a table's descriptor: each byte is read once.  (TOCTOU) */
static int fetch_table(const struct fph_vq_dev *vq, struct fph_vq_desc *desc)
{
	const unsigned char *at = vq->table_at + FPH_DESC_BYTES * (size_t)vq->follow;
	uint64_t rest = load_any(at + 8);

	desc->gpa = load_any(at);
	desc->len = (uint32_t)rest;
	desc->flags = (uint16_t)(rest >> 32);
	desc->next = (uint16_t)(rest >> 48);
	if (vq->format.packed) {
		/* le16 id, le16 flags there; a table is used as far as it goes */
		desc->flags = desc->next & (FPH_DESC_WRITE | FPH_DESC_INDIRECT);
		desc->next = (uint16_t)(vq->follow + 1);
		if (desc->next < vq->table_len)
			desc->flags |= FPH_DESC_NEXT;
	}
	return 1;
}

static int fetch(struct fph_vq_dev *vq, struct fph_vq_desc *desc, struct fph_fault *fault)
{
	if (vq->budget == 0)
		return fph_fault_at(fault, FPH_RULE_CHAIN_LONG, vq->follow, vq->size);
	vq->budget--;
	if (vq->table_len)
		return fetch_table(vq, desc);
	if (vq->format.packed)
		return fph_vq_packed_fetch(vq, desc, fault);
	fph_vq_split_fetch(vq, desc);
	return 1;
}

static int judge(const struct fph_vq_dev *vq, const struct fph_vq_desc *desc,
		 struct fph_fault *fault)
{
	uint16_t index = vq->follow;
	uint16_t limit = vq->table_len ? vq->table_len : vq->size;

	if (desc->len == 0)
		return fph_fault_at(fault, FPH_RULE_BUFFER_EMPTY, index, desc->gpa);
	if (desc->gpa + (desc->len - 1) < desc->gpa)
		return fph_fault_at(fault, FPH_RULE_BUFFER_WRAP, index, desc->gpa);
	if (!(desc->flags & FPH_DESC_WRITE) && vq->writable)
		return fph_fault_at(fault, FPH_RULE_CHAIN_ORDER, index, desc->flags);
	if ((desc->flags & FPH_DESC_NEXT) && desc->next >= limit)
		return fph_fault_at(fault, FPH_RULE_NEXT_RANGE, index, desc->next);
	return 1;
}

int fph_vq_dev_next(struct fph_vq_dev *vq, struct fph_vq_buf *buf, struct fph_fault *fault)
{
	struct fph_vq_desc desc;
	bool first = !vq->in_chain;
	int rc = 1;

	if (first)
		rc = vq->format.packed ? fph_vq_packed_begin(vq) : fph_vq_split_begin(vq, fault);
	if (rc > 0)
		rc = fetch(vq, &desc, fault);
	if (rc > 0 && (desc.flags & FPH_DESC_INDIRECT)) {
		rc = enter_table(vq, &desc, fault); /* V-11: WRITE means nothing there */
		if (rc == 0)
			rc = fetch(vq, &desc, fault);
		if (rc > 0 && (desc.flags & FPH_DESC_INDIRECT))
			rc = enter_table(vq, &desc, fault);
	}
	if (rc > 0)
		rc = judge(vq, &desc, fault);
	if (rc <= 0)
		return rc;
	vq->writable |= (desc.flags & FPH_DESC_WRITE) != 0;
	buf->gpa = desc.gpa;
	buf->len = desc.len;
	buf->writable = desc.flags & FPH_DESC_WRITE;
	buf->first = first;
	buf->last = !(desc.flags & FPH_DESC_NEXT);
	buf->stale = vq->stale_chain;
	vq->follow = desc.next;
	if (!buf->last)
		return 1;
	vq->in_chain = false;
	vq->before = vq->done;
	vq->before_id = vq->last_id;
	vq->last_id = vq->head;
	if (!vq->format.packed)
		fph_vq_split_finish(vq);
	vq->done = vq->next;
	return 1;
}

/* ------------------------------------------------------------ by format */

int fph_vq_dev_look(struct fph_vq_dev *vq, struct fph_fault *fault)
{
	int rc = vq->format.packed ? fph_vq_packed_look(vq) : fph_vq_split_look(vq, fault);

	return rc > 0 ? 1 : rc;
}

int fph_vq_dev_fence(struct fph_vq_dev *vq, struct fph_fault *fault)
{
	int rc = vq->format.packed ? fph_vq_packed_count(vq) : fph_vq_split_look(vq, fault);

	if (rc < 0)
		return rc;
	vq->stale = (uint16_t)rc;
	vq->stale_chain = true;
	return 0;
}

uint32_t fph_vq_dev_take(struct fph_vq_dev *vq, const struct fph_vq_window *window,
			 struct fph_range *out, uint32_t max)
{
	if (vq->in_chain || vq->stale || vq->peeked)
		return 0;
	max = vq->format.packed ? fph_vq_packed_take(vq, window, out, max) :
				  fph_vq_split_take(vq, window, out, max);
	if (max) { /* none of them is kept */
		vq->before = vq->done;
		vq->before_id = vq->last_id;
	}
	return max;
}

int fph_vq_dev_return(struct fph_vq_dev *vq, bool keep_last)
{
	uint16_t upto = keep_last ? vq->before : vq->done;
	uint16_t id = keep_last ? vq->before_id : vq->last_id;

	if (upto == vq->used)
		return -EAGAIN;
	return vq->format.packed ? fph_vq_packed_return(vq, upto, id) :
				   fph_vq_split_return(vq, upto, id);
}

void fph_vq_dev_doorbell(struct fph_vq_dev *vq, bool on)
{
	/* By event index one doorbell is asked for at a time, so it is asked for anew. */
	if (vq->silent == !on && !(on && vq->format.event_idx))
		return;
	vq->silent = !on;
	if (vq->format.packed)
		fph_vq_packed_doorbell(vq, on);
	else
		fph_vq_split_doorbell(vq, on);
	/* Barrier C: pairs with C in fph_vq_drv_publish(). */
	if (on)
		fph_full_barrier();
}
