/* SPDX-License-Identifier: MIT */
/* The device end of virtio-pci: any access in any state. */
#include "bus.h"
#include <pci/device.h>

static struct pci p;

static struct fph_pci_device *any_pci(void)
{
	ANYTHING(p);
	p.regs.bus = any_bus();
	p.intx = NULL;
	p.msix = NULL;
	p.line = ANY(bool);
	p.regs.foreign = ANY(bool);
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++) {
		p.regs.queues[i].ready = ANY(bool);
		p.regs.queues[i].stopping = ANY(bool);
	}
	ASSUME(p.vectors <= FPH_PCI_VECTORS_MAX);
	ASSUME(p.config_vector < p.vectors || p.config_vector == FPH_PCI_NO_VECTOR);
	return (struct fph_pci_device *)(void *)&p;
}

#ifndef SEL
#define SEL FPH_QUEUE_COUNT
#endif
#define LIVE (SEL % FPH_QUEUE_COUNT)

static void prove_kept(uint64_t was, bool ready)
{
	PROVE(p.config_vector < p.vectors || p.config_vector == FPH_PCI_NO_VECTOR);
	PROVE(!ready || !p.regs.queues[LIVE].ready || p.regs.queues[LIVE].desc == was);
}

/*
 * proof: pci_bar_read
 * of: fph_pci_device_bar_read
 * says: any read in any state: in bounds, an answer of 32 bits, all ones behind the device's fields, a live queue's place never changes
 * bounds: every BAR, offset, width but 8, state; the third queue selected; a device that answers anything
 * sources: transports/pci/device.c transports/pci/common.c transports/pci/space.c transports/registers/registers.c
 * defines: -DSEL=2
 * unwind: 6 fph_pci_device_bar_read:1 memcmp.0:32
 * mutant: transports/registers/registers.c s/offset + i < sizeof(regs->config) ?/offset + i <= sizeof(regs->config) ?/
 */
void proof_pci_bar_read(void)
{
	struct fph_pci_device *pci = any_pci();
	uint32_t len = (uint32_t)nondet_u64(), bar = (uint32_t)nondet_u64();
	uint64_t offset = nondet_u64(), value, was;
	bool ready;

	p.regs.queue_sel = SEL;
	was = p.regs.queues[LIVE].desc;
	ready = p.regs.queues[LIVE].ready;
	ASSUME(len != 8);
	value = fph_pci_device_bar_read(pci, bar, offset, len);
	PROVE(value <= UINT32_MAX);
	/* Behind the device's fields there is nothing, and not what stands behind them here. */
	if (bar == 0 && offset >= AT_DEVICE + FPH_CONFIG_MAX && offset < AT_NOTIFY && len == 4)
		PROVE(value == (offset % 4 ? 0 : UINT32_MAX));
	prove_kept(was, ready);
	REACHED(bar == 0 && offset == COMMON_QUEUE_DESC && value);
	REACHED(bar == 0 && offset == AT_DEVICE + FPH_CONFIG_MAX - 4 && value);
	REACHED(bar == 1 && offset == 16 * (FPH_PCI_VECTORS_MAX - 1) && value);
}

/*
 * proof: pci_bar_write
 * of: fph_pci_device_bar_write
 * says: any write in any state: in bounds, vectors stay in the table, a live queue's place never changes
 * bounds: every BAR, offset, width but 8, value, state; the third queue selected; a device that answers anything
 * sources: transports/pci/device.c transports/pci/common.c transports/pci/space.c transports/registers/registers.c
 * defines: -DSEL=2
 * unwind: 9 fph_pci_device_bar_write:1
 * mutant: transports/pci/common.c s/value < p->vectors ?/value <= p->vectors ?/
 */
void proof_pci_bar_write(void)
{
	struct fph_pci_device *pci = any_pci();
	uint32_t len = (uint32_t)nondet_u64(), bar = (uint32_t)nondet_u64();
	uint64_t offset = nondet_u64(), was;
	bool ready;

	p.regs.queue_sel = SEL;
	was = p.regs.queues[LIVE].desc;
	ready = p.regs.queues[LIVE].ready;
	ASSUME(len != 8);
	fph_pci_device_bar_write(pci, bar, offset, len, nondet_u64());
	prove_kept(was, ready);
	REACHED(enabled_anything);
	REACHED(bar == 1 && p.table[FPH_PCI_VECTORS_MAX - 1].data == 77);
	REACHED(!ready && p.regs.queues[LIVE].desc != was);
}
