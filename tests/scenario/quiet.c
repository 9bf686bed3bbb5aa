/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <fph/device.h>
#include <fph/guest.h>
#include <stdio.h>
#include <string.h>

/*
 * Random lives in which each end acts of itself now and then, but takes notice of the
 * other only when it is told to, and then until there is nothing left.  When nobody is told
 * any more nothing may be left: who still waits then waits for ever.  In every format; with
 * suspensions, resets, new memory maps, statistics, and hints over several regions.
 */
#define RING	 16u
#define RING_GPA UINT64_C(0x10000)
#define RING_LEN UINT64_C(0x10000)
#define LOW_GPA	 UINT64_C(0x100000)
#define PAGE	 FPH_HINT_PAGE
#define PAGES	 64u
#define OPS	 200u
#define TURNS	 4000u /* in which all is told */

static _Alignas(4096) unsigned char ring[RING_LEN];
static struct fph_region regions[4];
static struct fph_mem mem = { regions, 4 }, less = { regions, 2 };
static struct fph_device dev;
static struct fph_guest guest;
static struct fph_guest_slot slots[RING];
static bool device_told, guest_told;
static unsigned stats;
static uint32_t seed;
static const char *life;
static char name[96];
static uint64_t hints, sleeps, resets;

#define MUST(holds, what) cr_assert((holds), "%s: %s", life, what)

static uint32_t dice(uint32_t sides)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % sides;
}

static void on_hints(void *ctx)
{
	(void)ctx;
	device_told = true;
}

static void on_interrupt(void *ctx)
{
	(void)ctx;
	guest_told = true;
}

static void on_stat(void *ctx, struct fph_stat stat)
{
	(void)ctx;
	(void)stat;
	stats++;
}

/* ------------------------------------------------------------ who is told looks */

static void look_at_hints(void)
{
	struct fph_range out[8];
	int rc;

	device_told = false;
	do {
		rc = fph_device_poll(&dev, out, 1 + dice(8));
		hints += rc > 0 ? (unsigned)rc : 0;
	} while (rc > 0 || rc == -EAGAIN);
	MUST(rc == 0 || rc == -ENOTCONN, "poll failed");
}

static int look_at_interrupts(void)
{
	struct fph_range out[8];
	int rc;

	guest_told = false;
	rc = fph_guest_step(&guest, 0);
	MUST(rc >= 0 || rc == -ENOTCONN, "step failed");
	while (fph_guest_reclaim(&guest, out, 8) > 0)
		;
	return rc;
}

static void settle(void)
{
	for (unsigned i = 0; device_told || guest_told; i++) {
		MUST(i < TURNS, "they tell each other for ever");
		if (device_told && (dice(2) || !guest_told))
			look_at_hints();
		else
			look_at_interrupts();
	}
}

/* ------------------------------------------------------------ what they do of themselves */

static void hint(void)
{
	struct fph_range pages[12];
	uint32_t n = 1 + dice(12);
	int rc;

	for (uint32_t i = 0; i < n; i++)
		pages[i] = (struct fph_range){ LOW_GPA + dice(PAGES) * PAGE,
					       (1 + dice(4) * dice(8)) * PAGE };
	rc = fph_guest_hint(&guest, pages, n);
	MUST(rc >= 0 || rc == -EAGAIN || rc == -ENOTCONN, "hint failed");
}

static void wake(void)
{
	MUST(fph_guest_resume(&guest) == 0, "the device does not wake up");
	look_at_interrupts();
}

static void reset(void)
{
	struct fph_range out[8];

	if (fph_guest_reset(&guest) == -EAGAIN) {
		fph_device_ack(&dev);
		MUST(fph_guest_reset(&guest) == 0, "no reset");
	}
	while (fph_guest_reclaim(&guest, out, 8) > 0)
		;
	MUST(fph_guest_attach(&guest) == 0, "no attach");
	resets++;
}

/* Who polls and does not go on says so, and is told of what there is. */
static void leave_off(void)
{
	struct fph_range out[3];
	int n = fph_device_poll(&dev, out, dice(4));

	hints += n > 0 ? (unsigned)n : 0;
	switch (dice(5)) {
	case 0:
		fph_device_ack(&dev);
		break;
	case 1:
		fph_device_stop(&dev);
		break;
	case 2:
		fph_device_start(&dev);
		break;
	case 3:
		MUST(fph_device_set_mem(&dev, dice(2) ? &mem : &less) == 0, "set_mem failed");
		break;
	default: /* it will go on */
		device_told = true;
	}
}

static void act(void)
{
	switch (dice(22)) {
	case 0:
	case 1:
		fph_device_start(&dev);
		break;
	case 2:
		fph_device_stop(&dev);
		break;
	case 3:
		fph_device_done(&dev);
		break;
	case 4:
	case 5:
	case 6:
		leave_off();
		break;
	case 7:
		fph_device_ack(&dev);
		break;
	case 8:
		MUST(fph_device_set_mem(&dev, dice(2) ? &mem : &less) == 0, "set_mem failed");
		break;
	case 9:
		fph_device_ask_stats(&dev);
		break;
	case 10:
	case 11:
	case 12:
	case 13:
		hint();
		break;
	case 14:
	case 15:
		fph_guest_flush(&guest);
		look_at_interrupts();
		break;
	case 16:
		fph_guest_end(&guest);
		look_at_interrupts();
		break;
	case 17:
		if (dice(3) == 0)
			sleeps += fph_guest_suspend(&guest) == 0;
		break;
	case 18:
		wake();
		break;
	case 19:
		if (dice(8) == 0)
			reset();
		break;
	default:
		settle();
		break;
	}
}

/* ------------------------------------------------------------ lives */

static void begin(uint64_t offer, uint16_t batch, uint16_t size, uint32_t flags)
{
	struct fph_device_opts d = FPH_DEVICE_OPTS_INIT;
	struct fph_guest_opts g = FPH_GUEST_OPTS_INIT;

	regions[0] = (struct fph_region){ RING_GPA, RING_LEN, ring, 0 };
	for (unsigned i = 0; i < 3; i++)
		regions[i + 1] = (struct fph_region){ LOW_GPA + i * 20 * PAGE, 20 * PAGE, NULL, 0 };
	device_told = guest_told = false;
	d.mem = &mem;
	d.offer = offer | FPH_F_SUSPEND;
	d.queue_max = RING;
	d.hints = on_hints;
	d.interrupt = on_interrupt;
	d.stat = on_stat;
	MUST(fph_device_init(&dev, &d) == 0, "no device");
	g.bus = fph_device_bus(&dev);
	g.ring = regions[0];
	g.slots = slots;
	g.ring_size = size;
	g.batch = batch;
	g.flags = flags;
	MUST(fph_guest_init(&guest, &g) == 0, "no guest");
	MUST(fph_guest_attach(&guest) == 0, "no attach");
}

/* While it feeds the guest wants no interrupts: it does when it has said that this was all. */
static void end(void)
{
	int rc = -EAGAIN;

	for (unsigned i = 0; rc == -EAGAIN; i++) {
		MUST(i < 2, "there is no room, and nobody is told");
		rc = fph_guest_end(&guest);
		look_at_interrupts();
		settle();
	}
	MUST(rc == 0, "end failed");
}

/* A round, its end, and statistics: all of it comes through. */
static void finish(void)
{
	unsigned before = stats;

	wake();
	settle();
	end();
	MUST(fph_guest_held(&guest) == 0, "pages wait, and nobody is told");
	MUST(fph_device_ask_stats(&dev) == 0, "no statistics wait");
	settle();
	MUST(stats > before, "nobody is asked for statistics, or they are not seen");
	MUST(fph_device_done(&dev) == 0, "done failed");
	settle();
	MUST(!strcmp(fph_guest_state_name(&guest), "IDLE"), "the guest does not hear of DONE");
	MUST(fph_guest_held(&guest) == 0, "pages wait after DONE, and nobody is told");
	MUST(!fph_device_fault(&dev)->rule && !fph_guest_fault(&guest)->rule, "a fault");
}

static void live(uint64_t offer, uint16_t batch, uint32_t number)
{
	seed = number;
	snprintf(name, sizeof(name), "features %#llx, batch %u, life %u",
		 (unsigned long long)offer, batch, number);
	life = name;
	begin(offer, batch, (uint16_t)(4 << dice(3)), dice(2) ? FPH_GUEST_EARLY_REUSE : 0);
	for (unsigned i = 0; i < OPS; i++)
		act();
	finish();
}

Test(quiet, when_nobody_is_told_any_more_nothing_waits, .timeout = 300)
{
	static const uint64_t bits[] = { FPH_F_INDIRECT_DESC, FPH_F_EVENT_IDX, FPH_F_RING_PACKED,
					 FPH_F_IN_ORDER };
	static const uint16_t batches[] = { 1, 3, 16 };

	for (unsigned f = 0; f < 16; f++) {
		uint64_t offer = 0;

		for (unsigned b = 0; b < 4; b++)
			offer |= f & 1u << b ? bits[b] : 0;
		for (unsigned b = 0; b < 3; b++)
			for (uint32_t s = 1; s <= 400; s++)
				live(offer, batches[b], s * 7919 + f);
	}
	printf("%llu hints, %llu suspensions, %llu resets\n", (unsigned long long)hints,
	       (unsigned long long)sleeps, (unsigned long long)resets);
	cr_expect(hints > 10000 && sleeps > 1000 && resets > 1000, "next to nothing happens");
}
