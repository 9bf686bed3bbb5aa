/* SPDX-License-Identifier: MIT */
#include "pair.h"

#include <string.h>

static void on_hints(void *ctx)
{
	((struct pair *)ctx)->doorbells++;
}

static void on_interrupt(void *ctx)
{
	((struct pair *)ctx)->interrupts++;
}

int pair_set_up(struct pair *p, uint64_t offer, uint16_t batch)
{
	const uint64_t half = PAIR_PAGES / 2 * PAIR_PAGE;
	struct fph_device_opts d = FPH_DEVICE_OPTS_INIT;
	struct fph_guest_opts g = FPH_GUEST_OPTS_INIT;
	int rc;

	memset(p, 0, sizeof(*p));
	memset(p->ring, 0xa5, sizeof(p->ring));
	p->regions[0] = (struct fph_region){ PAIR_RING_GPA, PAIR_RING_LEN, p->ring, 0 };
	p->regions[1] = (struct fph_region){ PAIR_GPA, half, NULL, 0 };
	p->regions[2] = (struct fph_region){ PAIR_GPA + half, half, NULL, 0 };
	p->mem = (struct fph_mem){ p->regions, 3 };
	p->less = (struct fph_mem){ p->regions, 2 };
	d.mem = &p->mem;
	d.offer = offer;
	d.queue_max = PAIR_RING;
	d.ctx = p;
	d.hints = on_hints;
	d.interrupt = on_interrupt;
	rc = fph_device_init(&p->dev, &d);
	if (rc < 0)
		return rc;
	g.bus = fph_device_bus(&p->dev);
	g.ring = p->regions[0];
	g.slots = p->slots;
	g.ring_size = PAIR_RING;
	g.batch = batch;
	rc = fph_guest_init(&p->guest, &g);
	return rc < 0 ? rc : fph_guest_attach(&p->guest);
}

struct pair_answer pair_carry_out(struct pair *p, const struct pair_op *op)
{
	struct pair_answer a;

	memset(&a, 0, sizeof(a));
	switch (op->what) {
	case PAIR_START:
		a.rc = fph_device_start(&p->dev);
		break;
	case PAIR_STOP:
		a.rc = fph_device_stop(&p->dev);
		break;
	case PAIR_DONE:
		a.rc = fph_device_done(&p->dev);
		break;
	case PAIR_POLL:
		a.rc = fph_device_poll(&p->dev, a.out, op->n);
		break;
	case PAIR_ACK:
		a.rc = fph_device_ack(&p->dev);
		break;
	case PAIR_STEP:
		a.rc = fph_guest_step(&p->guest, 0);
		break;
	case PAIR_HINT:
		a.rc = fph_guest_hint(&p->guest, op->ranges, op->n);
		break;
	case PAIR_FLUSH:
		a.rc = fph_guest_flush(&p->guest);
		break;
	case PAIR_END:
		a.rc = fph_guest_end(&p->guest);
		break;
	case PAIR_RECLAIM:
		a.rc = fph_guest_reclaim(&p->guest, a.out, op->n);
		break;
	case PAIR_RESET:
		a.rc = fph_guest_reset(&p->guest);
		while (fph_guest_reclaim(&p->guest, a.out, PAIR_MOST) > 0)
			;
		if (a.rc == 0)
			a.rc = fph_guest_attach(&p->guest);
		break;
	default:
		a.rc = fph_device_set_mem(&p->dev, op->n & 1 ? &p->less : &p->mem);
		break;
	}
	a.held = fph_guest_held(&p->guest);
	a.command = fph_device_command(&p->dev);
	a.over = fph_device_round_over(&p->dev);
	return a;
}
