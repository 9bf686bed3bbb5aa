/* SPDX-License-Identifier: MIT */
/*
 * Runs the two examples against each other, in one process, over loopback: the
 * agent hints every second block of its memory, the VMM sends all the others.
 */
#include "agent.h"
#include "vmm.h"

#include <fph/device.h>
#include <stdio.h>
#include <stdlib.h>

#define RING   64u
#define BASE   0x100000u
#define BLOCK  0x10000u /* 16 pages */
#define BLOCKS 100u
#define LEN    (BLOCK * BLOCKS)

struct pages {
	unsigned taken; /* odd blocks are free, this many are hinted; the ring is in block 0 */
	unsigned given;
};

int pages_take(struct pages *pages, struct fph_range *out, int max)
{
	int n = 0;

	while (pages->taken < BLOCKS / 2 && n < max)
		out[n++] = (struct fph_range){BASE + (2 * pages->taken++ + 1) * BLOCK, BLOCK};
	return n;
}

void pages_give(struct pages *pages, const struct fph_range *back, int n)
{
	(void)back;
	pages->given += (unsigned)n;
}

static struct agent agent;
static struct pages pages;
static int looks;

static void all_dirty(struct vmm *vm)
{
	fph_bitmap_set(&vm->dirty, (struct fph_range){BASE, LEN});
}

/* A VMM would send pages here, while its guest runs. */
static bool wait_for_hints(struct vmm *vm)
{
	(void)vm;
	agent_wake(&agent, 0);
	return ++looks < 10;
}

static void demand(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "embed: not so: %s\n", what);
		exit(1);
	}
}

int main(void)
{
	static uint64_t words[FPH_BITMAP_WORDS(LEN / 4096)];
	static struct fph_guest_slot slots[RING];
	void *memory = aligned_alloc(4096, LEN);
	struct fph_region region = {BASE, LEN, memory, 0};
	struct fph_mem mem = {&region, 1};
	struct vmm vm = {.dirty = {words, LEN / 4096, BASE, 12}};
	struct fph_guest_opts opts = FPH_GUEST_OPTS_INIT;

	demand(memory && !vmm_init(&vm, &mem), "a device");
	opts.bus = fph_device_bus(&vm.fph);
	opts.ring = (struct fph_region){BASE, fph_guest_ring_bytes(RING), memory, 0};
	opts.slots = slots;
	opts.ring_size = RING;
	agent.pages = &pages;
	demand(!fph_guest_init(&agent.fph, &opts) && !fph_guest_attach(&agent.fph), "a driver");

	demand(vmm_pass(&vm, all_dirty, wait_for_hints) == 0, "a pass without a fault");
	for (unsigned i = 0; i < BLOCKS; i++)
		demand(fph_bitmap_test(&vm.dirty, BASE + i * BLOCK) == (i % 2 == 0),
		       "free blocks are skipped, all others sent");
	demand(fph_bitmap_count(&vm.dirty) == LEN / 4096 / 2, "half of the pages are sent");
	demand(!fph_device_stop(&vm.fph) && !fph_device_done(&vm.fph), "an end");
	agent_wake(&agent, 0);
	demand(fph_guest_held(&agent.fph) == 0 && pages.given == BLOCKS / 2,
	       "the agent has its pages back");
	printf("%u pages to send, %u skipped\n", LEN / 4096 / 2, LEN / 4096 / 2);
	free(memory);
	return 0;
}
