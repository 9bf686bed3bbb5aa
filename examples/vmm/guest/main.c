/* SPDX-License-Identifier: MIT */
/*
 * A guest in one program: a workload that writes pages, and libfph's guest role over the
 * registers of virtio-mmio.  Nothing else of an operating system.
 */
#include "hardware.h"
#include "pages.h"
#include <err.h>
#include <fph/guest.h>
#include <fph/mmio.h>

#define ENTRIES 64u
#define BATCH	16u
#define RING	0x2000u

static _Alignas(4096) unsigned char ring[RING];
static struct fph_guest_slot slots[ENTRIES];
static struct fph_mmio_driver driver;
static struct fph_guest guest;
static uint32_t flags, round;

void guest_main(void);

static void attach(void)
{
	struct fph_range back[BATCH];
	int n;

	if (fph_guest_reset(&guest) < 0)
		hardware_panic(1);
	while ((n = fph_guest_reclaim(&guest, back, BATCH)) > 0)
		pages_give(back, n);
	if (fph_guest_attach(&guest) < 0)
		hardware_panic(2);
}

static void make_guest(void)
{
	struct fph_mmio_driver_opts mmio = FPH_MMIO_DRIVER_OPTS_INIT;
	struct fph_guest_opts opts = FPH_GUEST_OPTS_INIT;

	mmio.registers = (volatile void *)(uintptr_t)ABI_WINDOW;
	if (fph_mmio_driver_init(&driver, &mmio) < 0)
		hardware_panic(3);
	opts.bus = fph_mmio_driver_bus(&driver);
	opts.ring = (struct fph_region){ (uintptr_t)ring, RING, ring, 0 };
	opts.slots = slots;
	opts.ring_size = ENTRIES;
	opts.flags = flags & ABI_EARLY_REUSE ? FPH_GUEST_EARLY_REUSE : 0;
	if (fph_guest_init(&guest, &opts) < 0)
		hardware_panic(4);
}

/*
 * Under memory pressure a driver may take a page back that it hinted a moment ago (BH-7),
 * whether the device has seen the hint or not.  That is the moment that decides whether a
 * hypervisor loses memory.
 */
static void take_back(const struct fph_range *hinted)
{
	hardware_event(ABI_REWROTE, pages_use_now(hinted[0]), 0);
}

/* Hint a batch, or end the round.  Returns whether there may be more to hint at once. */
static bool feed(void)
{
	struct fph_range batch[BATCH];
	int n, fit = 0;
	bool fresh = fph_guest_command_id(&guest) != round;

	if (fresh)
		pages_new_pass();
	round = fph_guest_command_id(&guest);
	n = (int)pages_take(batch, BATCH);
	if (n > 0)
		fit = fph_guest_hint(&guest, batch, (size_t)n);
	if (fit < 0)
		fit = 0;
	if (fit < n)
		pages_give(batch + fit, n - fit);
	if (n == 0)
		return fph_guest_end(&guest) == -EAGAIN;
	if (fph_guest_flush(&guest) < 0)
		return false;
	if (flags & ABI_EARLY_REUSE) {
		pages_give(batch, fit);
		if (fresh && fit > 0)
			take_back(batch);
	}
	return fit == n;
}

static void serve_balloon(void)
{
	struct fph_range back[BATCH];
	int n, wants;

	do {
		wants = fph_guest_step(&guest, 0);
		while ((n = fph_guest_reclaim(&guest, back, BATCH)) > 0)
			pages_give(back, n);
		if (wants < 0) { /* the device is broken, or asks for it */
			attach();
			return;
		}
	} while ((wants & FPH_GUEST_FEED) && feed());
}

static void check(void)
{
	uint32_t good, bad;

	pages_check(&good, &bad);
	hardware_event(ABI_CHECKED, good, bad);
}

void guest_main(void)
{
	volatile struct abi_page *page = hardware_page();
	uint32_t life = page->life, checked = page->check;

	flags = page->flags;
	pages_init(hardware_end() / 4096, page->pages, page->used_pages, page->hot_pages);
	hardware_init();
	make_guest();
	attach();
	hardware_event(ABI_READY, 0, 0);
	for (uint32_t tick = 1;; tick++) {
		pages_work();
		/* Another machine, another device: what the old one had is ours again. */
		if (page->life != life) {
			life = page->life;
			attach();
		}
		/* A full ring is told by an interrupt, and that may have come before we hinted. */
		if (hardware_interrupted() || tick % 64 == 0)
			serve_balloon();
		if (page->check != checked) {
			checked = page->check;
			check();
		}
	}
}
