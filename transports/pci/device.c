/* SPDX-License-Identifier: MIT */
/* The device end: interrupts, BARs, its life. */
#include "device.h"
#include "opts.h"

_Static_assert(sizeof(struct pci) <= sizeof(struct fph_pci_device), "the box is too small");
_Static_assert(_Alignof(struct pci) <= _Alignof(struct fph_pci_device), "misaligned");
_Static_assert(FPH_NO_VECTOR == FPH_PCI_NO_VECTOR, "two names of one number");

/* ------------------------------------------------------------ interrupts */

void fph_pci_update_line(struct pci *p)
{
	bool pending = p->regs.irq && !fph_pci_msix_has(p, MSIX_ENABLE) &&
		       !(p->flags & FPH_PCI_NO_INTX);
	bool high = pending && !fph_pci_command_has(p, PCI_COMMAND_NO_INTX);

	fph_pci_show_intx(p, pending);
	if (high == p->line)
		return;
	p->line = high;
	if (p->intx)
		p->intx(p->ctx, high);
}

static void send(struct pci *p, uint16_t vector)
{
	const struct fph_pci_vector *v = &p->table[vector];

	if (!fph_pci_msix_has(p, MSIX_ENABLE))
		return;
	if (p->flags & FPH_PCI_MSIX_ELSEWHERE) {
		if (p->msix)
			p->msix(p->ctx, vector, 0, 0);
		return;
	}
	if (fph_pci_msix_has(p, MSIX_MASK_ALL) || (v->control & 1)) {
		p->pending |= (uint8_t)(1u << vector);
		return;
	}
	p->pending &= (uint8_t) ~(1u << vector);
	if (p->msix)
		p->msix(p->ctx, vector, v->address, v->data);
}

void fph_pci_send_pending(struct pci *p)
{
	for (uint16_t v = 0; v < p->vectors; v++)
		if (p->pending & 1u << v)
			send(p, v);
}

void fph_pci_device_interrupt(struct fph_pci_device *pci)
{
	struct pci *p = pci_of(pci);
	uint32_t irq = fph_regs_take_irq(&p->regs); /* PC-6: the ISR first */
	uint32_t due = 0;			    /* PC-7: vectors that are mapped */

	if ((irq & FPH_IRQ_CONFIG) && p->config_vector < p->vectors)
		due |= 1u << p->config_vector;
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		if ((irq & FPH_IRQ_VQ(q)) && p->regs.queues[q].vector < p->vectors)
			due |= 1u << p->regs.queues[q].vector;
	for (uint16_t v = 0; v < p->vectors; v++)
		if (due & 1u << v)
			send(p, v);
	fph_pci_update_line(p);
}

bool fph_pci_device_intx(const struct fph_pci_device *pci)
{
	return ((const struct pci *)(const void *)pci)->line;
}

void fph_pci_device_notify(struct fph_pci_device *pci, uint16_t queue)
{
	const struct fph_bus *bus = &pci_of(pci)->regs.bus;

	bus->ops->notify(bus->ctx, queue);
}

/* ------------------------------------------------------------ BAR 0: virtio's structures */

static uint32_t read_isr(struct pci *p)
{
	uint32_t irq = p->regs.irq;

	p->regs.irq = 0; /* PC-6 */
	fph_pci_update_line(p);
	return irq;
}

static uint32_t read_bar0(struct pci *p, uint64_t offset, uint32_t len)
{
	if (offset < AT_ISR)
		return fph_pci_read_common(p, offset - AT_COMMON, len);
	if (offset == AT_ISR && len == 1)
		return read_isr(p);
	if (offset >= AT_DEVICE && offset < AT_NOTIFY)
		return fph_regs_read_config(&p->regs, offset - AT_DEVICE, len);
	return 0;
}

static void ring(struct fph_pci_device *pci, uint64_t offset, uint32_t len)
{
	uint64_t queue = offset / FPH_PCI_NOTIFY_MUL;
	bool data = pci_of(pci)->regs.accepted & FPH_F_NOTIFICATION_DATA;

	/* N-1, PC-11: what else the 32 bits tell, the ring tells. */
	if (offset % FPH_PCI_NOTIFY_MUL == 0 && len == (data ? 4 : 2) && queue < FPH_QUEUE_COUNT)
		fph_pci_device_notify(pci, (uint16_t)queue);
}

static void write_bar0(struct fph_pci_device *pci, uint64_t offset, uint32_t len, uint32_t value)
{
	struct pci *p = pci_of(pci);

	if (offset < AT_ISR)
		fph_pci_write_common(p, offset - AT_COMMON, len, value);
	else if (offset >= AT_NOTIFY)
		ring(pci, offset - AT_NOTIFY, len);
	else if (offset >= AT_DEVICE)
		fph_regs_write_config(&p->regs, offset - AT_DEVICE, len, value);
}

/* ------------------------------------------------------------ BAR 1: MSI-X */

static uint32_t read_bar1(const struct pci *p, uint64_t offset)
{
	const struct fph_pci_vector *v;

	if (offset == MSIX_PBA)
		return p->pending;
	if (offset >= MSIX_ENTRY * p->vectors)
		return 0;
	v = &p->table[offset / MSIX_ENTRY];
	switch (offset % MSIX_ENTRY) {
	case 0:
		return (uint32_t)v->address;
	case 4:
		return (uint32_t)(v->address >> 32);
	case 8:
		return v->data;
	default:
		return v->control;
	}
}

static void write_bar1(struct pci *p, uint64_t offset, uint32_t value)
{
	struct fph_pci_vector *v;

	if (offset >= MSIX_ENTRY * p->vectors)
		return;
	v = &p->table[offset / MSIX_ENTRY];
	switch (offset % MSIX_ENTRY) {
	case 0:
		v->address = (v->address & ~UINT64_C(0xffffffff)) | (value & ~3u);
		break;
	case 4:
		v->address = (v->address & 0xffffffff) | (uint64_t)value << 32;
		break;
	case 8:
		v->data = value;
		break;
	default:
		v->control = value & 1;
		fph_pci_send_pending(p);
	}
}

/* ------------------------------------------------------------ accesses */

static bool is_access(uint32_t bar, uint64_t offset, uint32_t len)
{
	return bar < FPH_PCI_BARS && (len == 1 || len == 2 || len == 4) && offset % len == 0 &&
	       offset < (bar ? FPH_PCI_BAR1_SIZE : FPH_PCI_BAR0_SIZE);
}

uint64_t fph_pci_device_bar_read(struct fph_pci_device *pci, uint32_t bar, uint64_t offset,
				 uint32_t len)
{
	struct pci *p = pci_of(pci);

	if (len == 8 && offset % 8 == 0)
		return fph_pci_device_bar_read(pci, bar, offset, 4) |
		       fph_pci_device_bar_read(pci, bar, offset + 4, 4) << 32;
	if (!is_access(bar, offset, len))
		return 0;
	if (bar == 0)
		return read_bar0(p, offset, len);
	return len == 4 ? read_bar1(p, offset) : 0;
}

void fph_pci_device_bar_write(struct fph_pci_device *pci, uint32_t bar, uint64_t offset,
			      uint32_t len, uint64_t value)
{
	struct pci *p = pci_of(pci);

	if (len == 8 && offset % 8 == 0) {
		fph_pci_device_bar_write(pci, bar, offset, 4, (uint32_t)value);
		fph_pci_device_bar_write(pci, bar, offset + 4, 4, value >> 32);
		return;
	}
	if (!is_access(bar, offset, len))
		return;
	if (len < 4)
		value &= (UINT64_C(1) << 8 * len) - 1;
	if (bar == 0)
		write_bar0(pci, offset, len, (uint32_t)value);
	else if (len == 4)
		write_bar1(p, offset, (uint32_t)value);
}

/* ------------------------------------------------------------ life */

void fph_pci_device_reset(struct fph_pci_device *pci)
{
	struct pci *p = pci_of(pci);

	fph_regs_set_status(&p->regs, 0);
	p->config_vector = FPH_PCI_NO_VECTOR;
	p->pending = 0;
	fph_pci_fill_space(p);
	for (unsigned v = 0; v < FPH_PCI_VECTORS_MAX; v++)
		p->table[v] = (struct fph_pci_vector){ .control = 1 };
	fph_pci_update_line(p);
}

int fph_pci_device_init(struct fph_pci_device *pci, const struct fph_pci_device_opts *opts)
{
	struct fph_pci_device_opts o;
	struct pci *p = pci_of(pci);
	int rc = fph_copy_opts(&o, sizeof(o), opts, opts->size);

	if (rc < 0)
		return rc;
	if (!o.bus.ops || o.vectors > FPH_PCI_VECTORS_MAX ||
	    (o.flags & ~(FPH_PCI_NO_INTX | FPH_PCI_MSIX_ELSEWHERE)))
		return -EINVAL;
	memset(pci, 0, sizeof(*pci));
	p->intx = o.intx;
	p->msix = o.msix;
	p->ctx = o.ctx;
	p->flags = o.flags;
	p->vectors = o.vectors;
	fph_regs_init(&p->regs, o.bus);
	fph_pci_device_reset(pci);
	return 0;
}
