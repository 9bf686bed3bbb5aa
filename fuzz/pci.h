/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_PCI_H
#define FUZZ_PCI_H

#include "ops.h"
#include <fph/guest.h>
#include <fph/pci.h>

/* What the two halves of the target share. */

#define OPS_MAX 300
#define ENTRIES 16u

/* virtio 1.4, 4.1.4.3; and where the device end has the rest. */
#define STATUS	0x14u
#define SELECT	0x16u
#define SIZE	0x18u
#define ENABLE	0x1cu
#define ISR	0x1000u
#define CONFIG	0x2000u
#define COMMAND 0x04u /* in configuration space */

extern struct input pci_in;
extern struct fph_guest pci_guest;
extern struct fph_pci_driver pci_driver;

/* A driver end, and a guest in memory_map(0) over it.  Returns as fph_pci_driver_init(). */
int pci_make_guest(struct fph_pci_driver_opts *opts);

/* pci_function.c: the other half; `how` is the first byte. */
void pci_hostile_function(uint8_t how);

#endif
