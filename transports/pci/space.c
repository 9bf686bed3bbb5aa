/* SPDX-License-Identifier: MIT */
/* The device end: configuration space and its capabilities.  virtio 1.4, 4.1.2 and 4.1.4 */
#include "device.h"
#include <string.h>

#define CAP_AT_COMMON 0x40u
#define CAP_AT_ISR    0x50u
#define CAP_AT_DEVICE 0x60u
#define CAP_AT_NOTIFY 0x70u
#define CAP_AT_WINDOW 0x84u
#define CAP_AT_MSIX   0x98u

#define WINDOW_BAR    (CAP_AT_WINDOW + 4)
#define WINDOW_OFFSET (CAP_AT_WINDOW + 8)
#define WINDOW_LENGTH (CAP_AT_WINDOW + 12)
#define WINDOW_DATA   (CAP_AT_WINDOW + 16)
#define MSIX_CONTROL  (CAP_AT_MSIX + 2)

static uint32_t get(const struct pci *p, uint32_t offset, uint32_t len)
{
	uint32_t value = 0;

	for (uint32_t i = 0; i < len; i++)
		value |= (uint32_t)p->space[offset + i] << 8 * i;
	return value;
}

static void set(struct pci *p, uint32_t offset, uint32_t len, uint32_t value)
{
	for (uint32_t i = 0; i < len; i++)
		p->space[offset + i] = (unsigned char)(value >> 8 * i);
}

bool fph_pci_command_has(const struct pci *p, uint32_t bits)
{
	return get(p, PCI_COMMAND, 2) & bits;
}

bool fph_pci_msix_has(const struct pci *p, uint32_t bits)
{
	return p->vectors && (get(p, MSIX_CONTROL, 2) & bits);
}

void fph_pci_show_intx(struct pci *p, bool pending)
{
	set(p, PCI_STATUS, 2, PCI_STATUS_CAPS | (pending ? PCI_STATUS_INTX : 0));
}

/* ------------------------------------------------------------ as after power-on */

static void add_cap(struct pci *p, uint32_t at, uint32_t next, unsigned type, uint32_t offset,
		    uint32_t length)
{
	uint32_t len = type == CAP_NOTIFY || type == CAP_WINDOW ? CAP_LONG : CAP_SHORT;

	set(p, at, 4, PCI_CAP_VENDOR | next << 8 | len << 16 | (uint32_t)type << 24);
	set(p, at + 8, 4, offset);
	set(p, at + 12, 4, length);
}

void fph_pci_fill_space(struct pci *p)
{
	memset(p->space, 0, sizeof(p->space));
	set(p, PCI_VENDOR, 2, VIRTIO_VENDOR); /* PC-1 */
	set(p, PCI_DEVICE, 2, VIRTIO_MODERN(FPH_DEVICE_ID));
	set(p, PCI_STATUS, 2, PCI_STATUS_CAPS);
	set(p, PCI_REVISION, 1, 1);
	set(p, PCI_CLASS, 3, 0x00ff00);
	set(p, PCI_SUB_VENDOR, 2, VIRTIO_VENDOR);
	set(p, PCI_SUB_DEVICE, 2, 0x1100);
	set(p, PCI_CAPS, 1, CAP_AT_COMMON);
	set(p, PCI_PIN, 1, !(p->flags & FPH_PCI_NO_INTX));
	/* PC-2, PC-4 */
	add_cap(p, CAP_AT_COMMON, CAP_AT_ISR, CAP_COMMON, AT_COMMON, COMMON_SIZE);
	add_cap(p, CAP_AT_ISR, CAP_AT_DEVICE, CAP_ISR, AT_ISR, 1);
	add_cap(p, CAP_AT_DEVICE, CAP_AT_NOTIFY, CAP_DEVICE, AT_DEVICE, FPH_CONFIG_MAX);
	add_cap(p, CAP_AT_NOTIFY, CAP_AT_WINDOW, CAP_NOTIFY, AT_NOTIFY,
		FPH_PCI_NOTIFY_MUL * FPH_QUEUE_COUNT);
	set(p, CAP_AT_NOTIFY + 16, 4, FPH_PCI_NOTIFY_MUL);
	add_cap(p, CAP_AT_WINDOW, p->vectors ? CAP_AT_MSIX : 0, CAP_WINDOW, 0, 0);
	if (!p->vectors)
		return;
	set(p, CAP_AT_MSIX, 2, PCI_CAP_MSIX);
	set(p, MSIX_CONTROL, 2, p->vectors - 1u);
	set(p, CAP_AT_MSIX + 4, 4, 1); /* BAR 1 */
	set(p, CAP_AT_MSIX + 8, 4, MSIX_PBA | 1);
}

/* ------------------------------------------------------------ accesses */

/* Which bits of a byte a driver may write. */
static unsigned char writable(const struct pci *p, uint32_t at)
{
	static const struct {
		uint8_t at;
		uint8_t bits;
	} bytes[] = {
		{PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER},
		{PCI_COMMAND + 1, PCI_COMMAND_NO_INTX >> 8},
		{PCI_CACHE_LINE, 0xff},
		{PCI_LATENCY, 0xff},
		{PCI_BAR0 + 1, (uint8_t)(~(FPH_PCI_BAR0_SIZE - 1) >> 8)},
		{PCI_BAR0 + 2, 0xff},
		{PCI_BAR0 + 3, 0xff},
		{PCI_BAR1 + 1, (uint8_t)(~(FPH_PCI_BAR1_SIZE - 1) >> 8)},
		{PCI_BAR1 + 2, 0xff},
		{PCI_BAR1 + 3, 0xff},
		{PCI_LINE, 0xff},
		{WINDOW_BAR, 0xff},
		{MSIX_CONTROL + 1, (MSIX_ENABLE | MSIX_MASK_ALL) >> 8},
	};

	if (at >= WINDOW_OFFSET && at < WINDOW_DATA + 4)
		return 0xff;
	if (!p->vectors && (at == MSIX_CONTROL + 1 || at / 4 == PCI_BAR1 / 4))
		return 0;
	for (unsigned i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
		if (bytes[i].at == at)
			return bytes[i].bits;
	return 0;
}

static bool is_access(uint32_t offset, uint32_t len)
{
	return (len == 1 || len == 2 || len == 4) && offset % len == 0 &&
	       offset < FPH_PCI_CONFIG_SIZE;
}

/*
 * PC-8: an access to the window's data, whatever its width, is one of `length` bytes to a
 * BAR.  Returns that, or 0: the driver asked for no width that there is.
 */
static uint32_t window_length(const struct pci *p, uint32_t offset)
{
	uint32_t len = get(p, WINDOW_LENGTH, 4);

	if (offset / 4 != WINDOW_DATA / 4 || (len != 1 && len != 2 && len != 4))
		return 0;
	return len;
}

uint32_t fph_pci_device_config_read(struct fph_pci_device *pci, uint32_t offset, uint32_t len)
{
	struct pci *p = pci_of(pci);
	uint32_t through = window_length(p, offset);

	if (!is_access(offset, len))
		return UINT32_MAX;
	if (through)
		set(p, WINDOW_DATA, through,
		    (uint32_t)fph_pci_device_bar_read(pci, get(p, WINDOW_BAR, 1),
						      get(p, WINDOW_OFFSET, 4), through));
	return get(p, offset, len);
}

void fph_pci_device_config_write(struct fph_pci_device *pci, uint32_t offset, uint32_t len,
				 uint32_t value)
{
	struct pci *p = pci_of(pci);
	uint32_t through = window_length(p, offset);

	if (!is_access(offset, len))
		return;
	for (uint32_t i = 0; i < len; i++) {
		unsigned char bits = writable(p, offset + i);

		p->space[offset + i] = (unsigned char)((p->space[offset + i] & ~bits) |
						       (value >> 8 * i & bits));
	}
	if (through)
		fph_pci_device_bar_write(pci, get(p, WINDOW_BAR, 1), get(p, WINDOW_OFFSET, 4),
					 through, get(p, WINDOW_DATA, through));
	fph_pci_send_pending(p);
	fph_pci_update_line(p);
}

uint64_t fph_pci_device_bar_address(const struct fph_pci_device *pci, uint32_t bar)
{
	const struct pci *p = (const struct pci *)(const void *)pci;

	if (bar >= FPH_PCI_BARS || (bar == 1 && !p->vectors) ||
	    !fph_pci_command_has(p, PCI_COMMAND_MEMORY))
		return UINT64_MAX;
	return get(p, PCI_BAR0 + 4 * bar, 4);
}
