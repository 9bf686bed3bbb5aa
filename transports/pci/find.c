/* SPDX-License-Identifier: MIT */
/* The driver end: a device's capabilities.  virtio 1.4, 4.1.2 and 4.1.4 */
#include "driver.h"
#include "err.h"

/* As many as fit behind the header, without one of them twice: a list may be a circle. */
#define CAPS_FIRST 0x40u
#define CAPS_MAX   ((FPH_PCI_CONFIG_SIZE - CAPS_FIRST) / 4)

#define BARS	   6u
#define BAR_IS_IO  0x1u
#define BAR_TYPE   0x6u
#define BAR_64_BIT 0x4u

/* What is known of the BARs; bit n is BAR n. */
struct bars {
	uint32_t usable; /* memory, and not the upper half of one */
	const uint64_t *sizes;
};

static int rd(struct pci *p, uint32_t offset, uint32_t len, uint32_t *value)
{
	return p->config_read(p->ctx, offset, len, value);
}

/* PC-9: by either id, whatever the revision. */
static int check_id(struct pci *p)
{
	uint32_t vendor = 0, device = 0, status = 0;
	int rc = rd(p, PCI_VENDOR, 2, &vendor);

	if (rc < 0)
		return rc;
	if (vendor != VIRTIO_VENDOR)
		return -ENODEV;
	rc = rd(p, PCI_DEVICE, 2, &device);
	if (rc < 0)
		return rc;
	if (device != VIRTIO_MODERN(FPH_DEVICE_ID) && device != VIRTIO_BALLOON_TRANSITIONAL)
		return -ENODEV;
	rc = rd(p, PCI_STATUS, 2, &status);
	if (rc < 0)
		return rc;
	return status & PCI_STATUS_CAPS ? 0 : -ENODEV;
}

static int look_at_bars(struct pci *p, struct bars *bars)
{
	for (uint32_t i = 0; i < BARS; i++) {
		uint32_t value = 0;
		int rc = rd(p, PCI_BAR0 + 4 * i, 4, &value);

		if (rc < 0)
			return rc;
		if (value & BAR_IS_IO)
			continue;
		bars->usable |= 1u << i;
		if ((value & BAR_TYPE) == BAR_64_BIT)
			i++; /* what follows is the rest of its address */
	}
	return 0;
}

/* What the capability at `at` says.  -ENOENT: a part that cannot be used. */
static int read_part(struct pci *p, uint32_t at, const struct bars *bars,
		     struct fph_pci_part *part)
{
	uint32_t bar = 0, offset = 0, length = 0;
	int rc = rd(p, at + 4, 4, &bar);

	if (rc == 0)
		rc = rd(p, at + 8, 4, &offset);
	if (rc == 0)
		rc = rd(p, at + 12, 4, &length);
	if (rc < 0)
		return rc;
	bar &= 0xff;
	if (bar >= BARS || !(bars->usable & 1u << bar))
		return -ENOENT; /* PC-9: reserved */
	if (bars->sizes && (uint64_t)offset + length > bars->sizes[bar])
		return -ENOENT;
	*part = (struct fph_pci_part){bar, offset, length};
	return 0;
}

/* Where a type of structure is kept, what it must hold at least, how it is aligned. */
static struct fph_pci_part *part_of(struct pci *p, uint32_t type, uint32_t *least,
				    uint32_t *align)
{
	switch (type) {
	case CAP_COMMON:
		*least = COMMON_QUEUE_NOTIFY_DATA; /* what virtio 1.0 has */
		*align = 4;
		return &p->common;
	case CAP_NOTIFY:
		*least = 2;
		*align = 2;
		return &p->notify;
	case CAP_ISR:
		*least = 1;
		*align = 1;
		return &p->isr;
	case CAP_DEVICE:
		*least = FPH_CONFIG_COMMAND_ID + 4;
		*align = 4;
		return &p->device;
	default:
		return NULL;
	}
}

/* PC-2: the first of a type that can be used is the one the device prefers. */
static int take_vendor_cap(struct pci *p, uint32_t at, uint32_t head, const struct bars *bars)
{
	uint32_t len = head >> 16 & 0xff, type = head >> 24, least = 0, align = 1;
	struct fph_pci_part *keep = part_of(p, type, &least, &align), part;
	uint32_t needs = type == CAP_NOTIFY ? CAP_LONG : CAP_SHORT;
	int rc;

	if (!keep || keep->length || len < needs || at + needs > FPH_PCI_CONFIG_SIZE)
		return 0;
	rc = read_part(p, at, bars, &part);
	if (rc == -ENOENT || (rc == 0 && (part.length < least || part.offset % align)))
		return 0;
	if (rc == 0 && type == CAP_NOTIFY)
		rc = rd(p, at + CAP_SHORT, 4, &p->multiplier);
	if (rc == 0)
		*keep = part;
	return rc;
}

static int walk(struct pci *p, const struct bars *bars)
{
	uint32_t at = 0;
	int rc = rd(p, PCI_CAPS, 1, &at);

	for (unsigned i = 0; i < CAPS_MAX && rc == 0; i++) {
		uint32_t head = 0;

		at &= 0xfc;
		if (at < CAPS_FIRST)
			break;
		rc = rd(p, at, 4, &head);
		if (rc == 0 && (head & 0xff) == PCI_CAP_VENDOR)
			rc = take_vendor_cap(p, at, head, bars);
		if ((head & 0xff) == PCI_CAP_MSIX && !p->msix &&
		    at + MSIX_SIZE <= FPH_PCI_CONFIG_SIZE)
			p->msix = at;
		at = head >> 8 & 0xff;
	}
	return rc;
}

int fph_pci_find(struct pci *p, const uint64_t *bar_sizes)
{
	struct bars bars = {.sizes = bar_sizes};
	int rc = check_id(p);

	if (rc == 0)
		rc = look_at_bars(p, &bars);
	if (rc == 0)
		rc = walk(p, &bars);
	if (rc < 0)
		return rc;
	return p->common.length && p->notify.length && p->isr.length && p->device.length
		       ? 0
		       : -ENODEV;
}
