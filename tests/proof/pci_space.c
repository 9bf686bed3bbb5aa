/* SPDX-License-Identifier: MIT */
/* The device end of virtio-pci: configuration space, and the window in it.  PC-8 */
#include <pci/device.h>

static struct pci p;
static bool through;

/* pci_bar_read and pci_bar_write are proved for any arguments. */
uint64_t fph_pci_device_bar_read(struct fph_pci_device *pci, uint32_t bar, uint64_t offset,
				 uint32_t len)
{
	PROVE(pci == (void *)&p && bar <= 0xff && offset <= UINT32_MAX);
	PROVE(len == 1 || len == 2 || len == 4);
	through = true;
	return nondet_u64();
}

void fph_pci_device_bar_write(struct fph_pci_device *pci, uint32_t bar, uint64_t offset,
			      uint32_t len, uint64_t value)
{
	PROVE(pci == (void *)&p && bar <= 0xff && offset <= UINT32_MAX);
	PROVE(len == 1 || len == 2 || len == 4);
	PROVE(value <= UINT32_MAX);
	through = true;
}

void fph_pci_send_pending(struct pci *pci)
{
	PROVE(pci == &p);
}

void fph_pci_update_line(struct pci *pci)
{
	PROVE(pci == &p);
}

/* Where the window stands: fixed by fph_pci_fill_space(). */
#define WINDOW 0x84u

static void any_space(void)
{
	ANYTHING(p.space);
	p.vectors = (uint16_t)any_up_to(FPH_PCI_VECTORS_MAX);
}

/* Bits that no access may change: all but the command, BARs, the window, MSI-X's control... */
static bool is_fixed(uint32_t at)
{
	bool header = at != PCI_COMMAND && at != PCI_COMMAND + 1 && at != PCI_CACHE_LINE &&
		      at != PCI_LATENCY && at != PCI_LINE && (at < PCI_BAR0 || at >= PCI_BAR0 + 8);

	return header && (at < WINDOW + 4 || at >= WINDOW + 20) && at != 0x9b;
}

/*
 * proof: pci_space_read
 * of: fph_pci_device_config_read
 * says: any read of any space: inside it, through the window one access that has a width, nothing but its data changes
 * bounds: every offset, width, content
 * sources: transports/pci/space.c
 * unwind: 5
 * mutant: transports/pci/space.c s/offset < FPH_PCI_CONFIG_SIZE;/offset <= FPH_PCI_CONFIG_SIZE;/
 */
void proof_pci_space_read(void)
{
	uint32_t offset = (uint32_t)nondet_u64(), len = (uint32_t)nondet_u64(), at, value;
	unsigned char was;

	any_space();
	at = (uint32_t)any_up_to(FPH_PCI_CONFIG_SIZE - 1);
	was = p.space[at];
	value = fph_pci_device_config_read((struct fph_pci_device *)(void *)&p, offset, len);
	PROVE(offset < FPH_PCI_CONFIG_SIZE || value == UINT32_MAX);
	PROVE(p.space[at] == was || (through && at >= WINDOW + 16 && at < WINDOW + 20));
	REACHED(through && p.space[at] != was);
	REACHED(!through && offset == FPH_PCI_CONFIG_SIZE - 4 && len == 4 && value == 77);
}

/*
 * proof: pci_space_write
 * of: fph_pci_device_config_write
 * says: any write to any space: inside it, only what a driver may write changes, through the window one access that has a width
 * bounds: every offset, width, value, content
 * sources: transports/pci/space.c
 * unwind: 5 writable.0:14
 * mutant: transports/pci/space.c s/at < WINDOW_DATA + 4/at <= WINDOW_DATA + 4/
 */
void proof_pci_space_write(void)
{
	uint32_t offset = (uint32_t)nondet_u64(), len = (uint32_t)nondet_u64(), at;
	unsigned char was;

	any_space();
	at = (uint32_t)any_up_to(FPH_PCI_CONFIG_SIZE - 1);
	was = p.space[at];
	fph_pci_device_config_write((struct fph_pci_device *)(void *)&p, offset, len,
				    (uint32_t)nondet_u64());
	PROVE(p.space[at] == was || (!is_fixed(at) && at - offset < len));
	REACHED(through && p.space[at] != was);
	REACHED(p.space[at] != was && at == PCI_BAR0 + 3);
}
