/* SPDX-License-Identifier: MIT */
#include "reference.h"

#include <device_priv.h>
#include <errno.h>
#include <string.h>

static const struct device *device(const struct pair *p)
{
	return (const struct device *)(const void *)&p->dev;
}

/* Little-endian, out of the only memory that is mapped. */
static uint64_t load(const struct pair *p, uint64_t gpa, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)p->ring[gpa - PAIR_RING_GPA + i] << 8 * i;
	return v;
}

static uint16_t available(const struct pair *p)
{
	return (uint16_t)load(p, device(p)->vq[FPH_QUEUE_HINT].place.driver + 2, 2);
}

/* The first part of the hint in hand that is memory.  Returns false: none is. */
static bool piece(struct reference *r, const struct pair *p, struct fph_range *out)
{
	const struct fph_mem *mem = device(p)->mem;
	uint64_t from = r->rest.gpa, end = from + r->rest.len;

	for (uint32_t i = 0; i < mem->count; i++) {
		uint64_t begin = mem->regions[i].gpa, last = begin + mem->regions[i].len;

		if (last <= from || begin >= end)
			continue;
		out->gpa = from > begin ? from : begin;
		out->len = (end < last ? end : last) - out->gpa;
		r->rest.gpa = out->gpa + out->len;
		r->rest.len = end - r->rest.gpa;
		return true;
	}
	r->rest.len = 0;
	return false;
}

/* Returns false if nothing is available. */
static bool read_one(struct reference *r, const struct pair *p)
{
	const struct fph_vq_place *place = &device(p)->vq[FPH_QUEUE_HINT].place;
	uint64_t at, gpa;
	uint32_t len, flags;

	if (!r->walking) {
		if (r->next == available(p))
			return false;
		r->desc = (uint16_t)load(p, place->driver + 4 + 2u * (r->next % place->size), 2);
		r->stale = (int16_t)(r->fresh - r->next) > 0;
		r->next++;
	}
	at = place->desc + 16u * r->desc;
	gpa = load(p, at, 8);
	len = (uint32_t)load(p, at + 8, 4);
	flags = (uint32_t)load(p, at + 12, 2);
	r->desc = (uint16_t)load(p, at + 14, 2);
	r->walking = flags & FPH_DESC_NEXT;
	if (r->stale)
		return true;
	if (!(flags & FPH_DESC_WRITE))
		r->open = r->round && load(p, gpa, 4) == fph_device_command(&p->dev);
	else if (r->open)
		r->rest = (struct fph_range){ gpa, len };
	return true;
}

void reference_before(struct reference *r, const struct pair *p, const struct pair_op *op)
{
	if (op->what == PAIR_START && !r->down)
		r->fresh = available(p);
	if (op->what != PAIR_POLL)
		return;
	memset(r->out, 0, sizeof(r->out));
	r->rc = r->down ? -ENOTCONN : 0;
	while (r->rc >= 0 && (unsigned)r->rc < op->n) {
		if (r->rest.len)
			r->rc += piece(r, p, &r->out[r->rc]);
		else if (!read_one(r, p))
			break;
	}
}

const char *reference_after(struct reference *r, const struct pair_op *op,
			    const struct pair_answer *a)
{
	switch (op->what) {
	case PAIR_START:
		if (a->rc != (r->down ? -ENOTCONN : 0))
			return "start answers wrongly";
		r->round = !r->down;
		r->open = false;
		r->stale = true;
		r->rest.len = 0;
		break;
	case PAIR_STOP:
	case PAIR_DONE:
		r->round = r->open = false;
		r->rest.len = 0;
		break;
	case PAIR_RESET:
		*r = (struct reference){ .down = a->rc != 0 };
		break;
	case PAIR_POLL:
		if (a->rc != r->rc)
			return "a poll hands out more or less than stands in the ring";
		if (memcmp(a->out, r->out, sizeof(r->out)))
			return "a poll hands out something else than stands in the ring";
		break;
	default:
		break;
	}
	return NULL;
}
