/* SPDX-License-Identifier: MIT */
#ifndef FPH_PCI_DEVICE_H
#define FPH_PCI_DEVICE_H

#include "../registers/registers.h"
#include "layout.h"
#include <fph/pci.h>

/* The device end: what its files share. */

struct fph_pci_vector {
	uint64_t address;
	uint32_t data;
	uint32_t control; /* bit 0: masked */
};

/* Inside the box of struct fph_pci_device. */
struct pci {
	struct fph_regs regs;
	void (*intx)(void *ctx, bool high);
	void (*msix)(void *ctx, uint16_t vector, uint64_t address, uint32_t data);
	void *ctx;
	uint32_t flags;
	uint16_t vectors;
	uint16_t config_vector;
	bool line;	 /* INTA# as it was told last */
	uint8_t pending; /* the PBA */
	struct fph_pci_vector table[FPH_PCI_VECTORS_MAX];
	unsigned char space[FPH_PCI_CONFIG_SIZE];
};

/* Where the structures stand in BAR 0. */
#define AT_COMMON 0x0000u
#define AT_ISR	  0x1000u
#define AT_DEVICE 0x2000u
#define AT_NOTIFY FPH_PCI_NOTIFY

static inline struct pci *pci_of(struct fph_pci_device *pci)
{
	return (struct pci *)(void *)pci;
}

/* device.c: INTA# and the status register, after a change of what they depend on. */
void fph_pci_update_line(struct pci *p);
/* device.c: messages that were held back by a mask that may be gone now. */
void fph_pci_send_pending(struct pci *p);

/* common.c: a field of the common configuration, by its own width; else reads 0. */
uint32_t fph_pci_read_common(struct pci *p, uint64_t offset, uint32_t len);
void fph_pci_write_common(struct pci *p, uint64_t offset, uint32_t len, uint32_t value);

/* space.c: configuration space as after power-on. */
void fph_pci_fill_space(struct pci *p);
/* space.c: are bits of the command register, or of MSI-X's control word, set? */
bool fph_pci_command_has(const struct pci *p, uint32_t bits);
bool fph_pci_msix_has(const struct pci *p, uint32_t bits);
/* space.c: the status register's bit for INTA#. */
void fph_pci_show_intx(struct pci *p, bool pending);

#endif
