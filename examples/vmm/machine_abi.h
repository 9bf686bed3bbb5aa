/* SPDX-License-Identifier: MIT */
#ifndef VMM_MACHINE_ABI_H
#define VMM_MACHINE_ABI_H

#include <stdint.h>

/* What the machine promises its guest: the hardware manual of this VMM, all of it. */

#define ABI_IMAGE  0x100000u   /* where the guest is loaded and begins, in flat 32-bit mode */
#define ABI_STACK  0x80000u    /* grows down from here */
#define ABI_GDT	   0x1000u
#define ABI_PAGE   0x2000u     /* struct abi_page */
#define ABI_WINDOW 0xd0000000u /* virtio-mmio registers of the balloon */
#define ABI_IRQ	   5u	       /* of the balloon, at the first PIC; edge-triggered */

/* 32-bit writes to these ports: arguments first, then an event. */
#define ABI_PORT_EVENT 0x500u
#define ABI_PORT_A     0x504u
#define ABI_PORT_B     0x508u

enum abi_event {
	ABI_READY = 1, /* the driver is attached */
	ABI_CHECKED,   /* a pages hold what they should, b do not */
	ABI_REWROTE,   /* page number a was hinted, taken back and written */
	ABI_PANIC,     /* a is why */
};

/* Shared with the VMM, which changes `life` and `check` only while the guest stands. */
struct abi_page {
	uint32_t pages;	     /* of memory, 4 KiB each */
	uint32_t used_pages; /* how many the workload shall have */
	uint32_t hot_pages;  /* of those, how many it rewrites all the time */
	uint32_t flags;	     /* ABI_EARLY_REUSE */
	uint32_t life;	     /* moves when the machine is another one: attach again */
	uint32_t check;	     /* moves when the guest shall check its memory */
};

/* Take a page back right after it was hinted, and write to it: virtio allows it (BH-7). */
#define ABI_EARLY_REUSE 1u

#endif
