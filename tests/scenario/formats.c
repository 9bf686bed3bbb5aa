/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <fph/device.h>
#include <fph/guest.h>
#include <stdio.h>
#include <string.h>

/*
 * The same random life over the plain split ring and over every other format, in step:
 * each call must answer the same, hand out the same ranges, leave the same pages held.
 * Neither role may tell which ring it rides.
 */
#define RING	 16u
#define RING_GPA UINT64_C(0x10000)
#define RING_LEN UINT64_C(0x10000)
#define LOW_GPA	 UINT64_C(0x100000)
#define PAGE	 UINT64_C(0x1000)
#define PAGES	 64u /* half in each of two regions that touch */
#define MOST	 24u
#define OPS	 600u

/* One pair of ends. */
struct pair {
	struct fph_device dev;
	struct fph_guest guest;
	struct fph_guest_slot slots[RING];
	struct fph_region regions[3];
	struct fph_mem mem, less;
	unsigned doorbells, interrupts;
	unsigned char *ring;
	unsigned char *pages;
};

static _Alignas(4096) unsigned char memory[2][RING_LEN + PAGES * PAGE];

static void on_hints(void *ctx)
{
	((struct pair *)ctx)->doorbells++;
}

static void on_interrupt(void *ctx)
{
	((struct pair *)ctx)->interrupts++;
}

static void set_up(struct pair *p, unsigned which, uint64_t offer, uint16_t batch)
{
	struct fph_device_opts d = FPH_DEVICE_OPTS_INIT;
	struct fph_guest_opts g = FPH_GUEST_OPTS_INIT;

	memset(p, 0, sizeof(*p));
	p->ring = memory[which];
	p->pages = memory[which] + RING_LEN;
	memset(p->ring, 0xa5, RING_LEN + PAGES * PAGE);
	p->regions[0] = (struct fph_region){ RING_GPA, RING_LEN, p->ring, 0 };
	p->regions[1] = (struct fph_region){ LOW_GPA, PAGES / 2 * PAGE, p->pages, 0 };
	p->regions[2] = (struct fph_region){ LOW_GPA + PAGES / 2 * PAGE, PAGES / 2 * PAGE,
					     p->pages + PAGES / 2 * PAGE, 0 };
	p->mem = (struct fph_mem){ p->regions, 3 };
	p->less = (struct fph_mem){ p->regions, 2 };
	d.mem = &p->mem;
	d.offer = offer;
	d.queue_max = RING;
	d.ctx = p;
	d.hints = on_hints;
	d.interrupt = on_interrupt;
	cr_assert_eq(fph_device_init(&p->dev, &d), 0);
	g.bus = fph_device_bus(&p->dev);
	g.ring = p->regions[0];
	g.slots = p->slots;
	g.ring_size = RING;
	g.batch = batch;
	cr_assert_eq(fph_guest_init(&p->guest, &g), 0);
	cr_assert_eq(fph_guest_attach(&p->guest), 0);
	cr_assert_eq(fph_device_features(&p->dev) & offer, offer);
}

/* ------------------------------------------------------------ one call, by number */

struct answer {
	int rc;
	struct fph_range out[MOST];
	uint64_t held;
	uint32_t command;
	bool over;
};

static uint32_t seed;

static uint32_t dice(uint32_t sides)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % sides;
}

struct op {
	unsigned what;
	unsigned n;
	struct fph_range ranges[MOST];
};

enum { START, STOP, DONE, POLL, ACK, STEP, HINT, FLUSH, END, RECLAIM, RESET, MAP, OPS_KINDS };

static void roll(struct op *op)
{
	/* Rare ones once in a while, the others often. */
	static const unsigned char often[] = { START, STOP,  POLL, POLL,    POLL,   POLL, ACK,
					       STEP,  STEP,  STEP, HINT,    HINT,   HINT, HINT,
					       FLUSH, FLUSH, END,  RECLAIM, RECLAIM };
	static const unsigned char rare[] = { DONE, RESET, MAP };

	op->what = dice(40) ? often[dice(sizeof(often))] : rare[dice(sizeof(rare))];
	op->n = 1 + dice(MOST);
	for (unsigned i = 0; i < op->n; i++) {
		uint32_t first = dice(PAGES), len = 1 + dice(dice(4) ? 1 : 4);

		/* Some reach past the end of memory, or over the seam of two regions. */
		op->ranges[i] = (struct fph_range){ LOW_GPA + first * PAGE, len * PAGE };
	}
}

static struct answer carry_out(struct pair *p, const struct op *op)
{
	struct answer a;

	memset(&a, 0, sizeof(a));
	switch (op->what) {
	case START:
		a.rc = fph_device_start(&p->dev);
		break;
	case STOP:
		a.rc = fph_device_stop(&p->dev);
		break;
	case DONE:
		a.rc = fph_device_done(&p->dev);
		break;
	case POLL:
		a.rc = fph_device_poll(&p->dev, a.out, op->n);
		break;
	case ACK:
		a.rc = fph_device_ack(&p->dev);
		break;
	case STEP:
		a.rc = fph_guest_step(&p->guest, 0);
		break;
	case HINT:
		a.rc = fph_guest_hint(&p->guest, op->ranges, op->n);
		break;
	case FLUSH:
		a.rc = fph_guest_flush(&p->guest);
		break;
	case END:
		a.rc = fph_guest_end(&p->guest);
		break;
	case RECLAIM:
		a.rc = fph_guest_reclaim(&p->guest, a.out, op->n);
		break;
	case RESET:
		a.rc = fph_guest_reset(&p->guest);
		while (fph_guest_reclaim(&p->guest, a.out, MOST) > 0)
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

/* ------------------------------------------------------------ in step */

static struct pair plain, other;
static uint64_t hints, chains;

static void compare_lives(uint64_t offer, uint16_t batch, uint32_t with)
{
	struct fph_device_stats a = FPH_DEVICE_STATS_INIT, b = FPH_DEVICE_STATS_INIT;

	seed = with;
	set_up(&plain, 0, 0, batch);
	set_up(&other, 1, offer, batch);
	for (unsigned i = 0; i < OPS; i++) {
		struct op op;
		struct answer x, y;

		roll(&op);
		x = carry_out(&plain, &op);
		y = carry_out(&other, &op);
		cr_assert_eq(memcmp(&x, &y, sizeof(x)), 0,
			     "features %#llx, batch %u, seed %u: op %u (%u): %d (held %llu) and "
			     "%d (held %llu)",
			     (unsigned long long)offer, batch, with, i, op.what, x.rc,
			     (unsigned long long)x.held, y.rc, (unsigned long long)y.held);
	}
	cr_assert_eq(fph_device_total_stats(&plain.dev, &a), 0);
	cr_assert_eq(fph_device_total_stats(&other.dev, &b), 0);
	cr_expect_eq(a.hints, b.hints);
	cr_expect_eq(a.chains, b.chains);
	cr_expect_eq(a.stale, b.stale);
	cr_expect_eq(a.bytes, b.bytes);
	cr_expect_eq(memcmp(plain.pages, other.pages, PAGES * PAGE), 0, "nobody writes pages");
	hints += a.hints;
	chains += a.chains;
}

static const uint64_t bits[] = { FPH_F_INDIRECT_DESC, FPH_F_EVENT_IDX, FPH_F_RING_PACKED,
				 FPH_F_IN_ORDER };

Test(formats, every_combination_tells_the_same_story)
{
	static const uint16_t batches[] = { 1, 3, 8, 16 };

	for (unsigned f = 1; f < 16; f++) {
		uint64_t offer = 0;

		for (unsigned b = 0; b < 4; b++)
			offer |= f & 1u << b ? bits[b] : 0;
		for (unsigned b = 0; b < sizeof(batches) / sizeof(batches[0]); b++)
			for (uint32_t s = 1; s <= 12; s++)
				compare_lives(offer, batches[b], s * 7919 + f);
	}
	cr_expect_gt(hints, 10000u, "%llu hints", (unsigned long long)hints);
	cr_expect_gt(chains, 10000u, "%llu chains", (unsigned long long)chains);
}
