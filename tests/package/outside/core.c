/* SPDX-License-Identifier: MIT */
/* A program that knows only the installed libfph: one round, both ends in one process. */
#include <fph/device.h>
#include <fph/guest.h>

#include <inttypes.h>
#include <stdio.h>

#define RAM_GPA	  0x40000000u
#define RAM_BYTES 0x20000u
#define RING_SIZE 16

static _Alignas(4096) unsigned char ram[RAM_BYTES];
static struct fph_guest_slot slots[RING_SIZE];
static struct fph_device device;
static struct fph_guest guest;

static int bring_up(const struct fph_mem *mem)
{
	struct fph_device_opts device_opts = FPH_DEVICE_OPTS_INIT;
	struct fph_guest_opts guest_opts = FPH_GUEST_OPTS_INIT;

	device_opts.mem = mem;
	if (fph_device_init(&device, &device_opts) != 0)
		return -1;
	guest_opts.bus = fph_device_bus(&device);
	guest_opts.ring.gpa = RAM_GPA;
	guest_opts.ring.len = fph_guest_ring_bytes(RING_SIZE);
	guest_opts.ring.hva = ram;
	guest_opts.slots = slots;
	guest_opts.ring_size = RING_SIZE;
	if (fph_guest_init(&guest, &guest_opts) != 0)
		return -1;
	return fph_guest_attach(&guest);
}

int main(void)
{
	struct fph_region region = { .gpa = RAM_GPA, .len = RAM_BYTES, .hva = ram };
	struct fph_mem mem = { .regions = &region, .count = 1 };
	struct fph_range hint = { RAM_GPA + 0x10000, 0x4000 }, seen, back;

	if (bring_up(&mem) != 0)
		return 1;
	if (fph_device_start(&device) != 0 || !(fph_guest_step(&guest, 0) & FPH_GUEST_FEED))
		return 2;
	if (fph_guest_hint(&guest, &hint, 1) != 1 || fph_guest_end(&guest) != 0)
		return 3;
	if (fph_device_poll(&device, &seen, 1) != 1 || seen.gpa != hint.gpa)
		return 4;
	if (fph_device_poll(&device, &back, 1) != 0 || !fph_device_round_over(&device))
		return 5;
	if (fph_device_done(&device) != 0 || !(fph_guest_step(&guest, 0) & FPH_GUEST_RELEASE))
		return 6;
	if (fph_guest_reclaim(&guest, &back, 1) != 1 || back.len != hint.len)
		return 7;
	printf("hint 0x%" PRIx64 " +0x%" PRIx64 ", then %s\n", seen.gpa, seen.len,
	       fph_device_state_name(&device));
	return 0;
}
