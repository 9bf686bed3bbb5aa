/* SPDX-License-Identifier: MIT */
#ifndef FPH_PCI_DRIVER_H
#define FPH_PCI_DRIVER_H

#include "layout.h"
#include <fph/pci.h>

/* The driver end: what its files share. */

/* A part of a BAR that the device announced.  Nothing outside of one is accessed. */
struct fph_pci_part {
	uint32_t bar;
	uint32_t offset;
	uint32_t length; /* bytes; 0: not there */
};

/* Inside the box of struct fph_pci_driver. */
struct pci {
	int (*config_read)(void *ctx, uint32_t offset, uint32_t len, uint32_t *value);
	int (*config_write)(void *ctx, uint32_t offset, uint32_t len, uint32_t value);
	int (*bar_read)(void *ctx, uint32_t bar, uint64_t offset, uint32_t len,
			uint32_t *value);
	int (*bar_write)(void *ctx, uint32_t bar, uint64_t offset, uint32_t len,
			 uint32_t value);
	void (*pause)(void *ctx);
	void *ctx;
	uint32_t tries;
	uint32_t irq; /* of vectors that fired */
	uint16_t vectors;
	bool ring_reset;     /* RING_RESET was accepted */
	uint32_t msix;	     /* where the capability is; 0: none */
	uint32_t multiplier; /* of queue_notify_off */
	struct fph_pci_part common;
	struct fph_pci_part isr;
	struct fph_pci_part device;
	struct fph_pci_part notify;
	/* In the notify part, of the queues that were enabled; else NO_DOORBELL. */
	uint64_t doorbell[FPH_QUEUE_COUNT];
};

#define NO_DOORBELL UINT64_MAX

/*
 * find.c: is it a balloon, where are its structures?  bar_sizes as in the options.
 * Returns 0, -ENODEV, or what an access returned.  PC-9
 */
int fph_pci_find(struct pci *p, const uint64_t *bar_sizes);

#endif
