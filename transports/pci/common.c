/* SPDX-License-Identifier: MIT */
/* The device end: the common configuration.  virtio 1.4, 4.1.4.3 */
#include "device.h"

/*
 * In fph_regs_queue.size, where 0 is "not written": the driver wrote 0.  The low half is
 * what it reads back, and a size that no device takes.
 */
#define WROTE_0 0x10000u

/* The selected queue, if the device has it. */
static struct fph_regs_queue *selected(struct pci *p)
{
	return fph_regs_queue_max(&p->regs) ? fph_regs_queue(&p->regs) : NULL;
}

static uint16_t num_queues(struct pci *p)
{
	const struct fph_bus *bus = &p->regs.bus;
	uint16_t n = 0, max = 0;

	for (uint16_t q = 0; q < FPH_QUEUE_COUNT; q++)
		if (bus->ops->vq_max(bus->ctx, q, &max) == 0 && max)
			n = (uint16_t)(q + 1);
	return n;
}

/* PC-5: the largest size until the driver wrote one. */
static uint32_t size_of(struct pci *p, const struct fph_regs_queue *queue)
{
	return queue->size ? queue->size : fph_regs_queue_max(&p->regs);
}

/* PC-7 */
static uint16_t checked_vector(const struct pci *p, uint32_t value)
{
	return value < p->vectors ? (uint16_t)value : FPH_PCI_NO_VECTOR;
}

static uint64_t *address_of(struct fph_regs_queue *queue, uint64_t offset)
{
	switch (offset & ~UINT64_C(7)) {
	case COMMON_QUEUE_DESC:
		return &queue->desc;
	case COMMON_QUEUE_DRIVER:
		return &queue->driver;
	default:
		return &queue->device;
	}
}

/* Bytes of the field at an offset: the one access that is right.  0: no field begins there. */
static uint32_t width(uint64_t offset)
{
	switch (offset) {
	case COMMON_STATUS:
	case COMMON_GENERATION:
		return 1;
	case COMMON_CONFIG_VECTOR:
	case COMMON_NUM_QUEUES:
	case COMMON_QUEUE_SELECT:
	case COMMON_QUEUE_SIZE:
	case COMMON_QUEUE_VECTOR:
	case COMMON_QUEUE_ENABLE:
	case COMMON_QUEUE_NOTIFY_OFF:
	case COMMON_QUEUE_NOTIFY_DATA:
	case COMMON_QUEUE_RESET:
		return 2;
	default: /* the other four, and the halves of addresses */
		return offset < COMMON_QUEUE_NOTIFY_DATA && offset % 4 == 0 ? 4 : 0;
	}
}

static uint32_t read_queue(struct pci *p, struct fph_regs_queue *queue, uint64_t offset)
{
	switch (offset) {
	case COMMON_QUEUE_SIZE:
		return size_of(p, queue) & 0xffff;
	case COMMON_QUEUE_VECTOR:
		return queue->vector;
	case COMMON_QUEUE_ENABLE:
		return fph_regs_is_ready(&p->regs);
	case COMMON_QUEUE_NOTIFY_OFF:
		return p->regs.queue_sel;
	case COMMON_QUEUE_NOTIFY_DATA:
		return 0;
	case COMMON_QUEUE_RESET:
		return fph_regs_is_resetting(&p->regs);
	default:
		return (uint32_t)(*address_of(queue, offset) >> (offset & 4 ? 32 : 0));
	}
}

uint32_t fph_pci_read_common(struct pci *p, uint64_t offset, uint32_t len)
{
	struct fph_regs *r = &p->regs;
	struct fph_regs_queue *queue;

	if (width(offset) != len)
		return 0;
	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		return r->device_features_sel;
	case COMMON_DEVICE_FEATURE: /* PC-3 */
		return fph_regs_device_features(r);
	case COMMON_DRIVER_FEATURE_SELECT:
		return r->driver_features_sel;
	case COMMON_DRIVER_FEATURE: /* PC-3 */
		return fph_regs_driver_features(r);
	case COMMON_CONFIG_VECTOR:
		return p->config_vector;
	case COMMON_NUM_QUEUES:
		return num_queues(p);
	case COMMON_STATUS:
		return fph_regs_status(r);
	case COMMON_GENERATION:
		return fph_regs_generation(r) & 0xff;
	case COMMON_QUEUE_SELECT:
		return r->queue_sel;
	default:
		queue = selected(p);
		if (queue)
			return read_queue(p, queue, offset);
		return offset == COMMON_QUEUE_VECTOR ? FPH_PCI_NO_VECTOR : 0;
	}
}

static void set_status(struct pci *p, uint32_t value)
{
	if (!fph_regs_set_status(&p->regs, value))
		return;
	p->config_vector = FPH_PCI_NO_VECTOR; /* PC-7 */
	p->pending = 0;
	fph_pci_update_line(p);
}

static void write_queue(struct pci *p, struct fph_regs_queue *queue, uint64_t offset,
			uint32_t value)
{
	switch (offset) {
	case COMMON_QUEUE_SIZE:
		if (!queue->ready)
			queue->size = value ? value : WROTE_0;
		return;
	case COMMON_QUEUE_VECTOR:
		queue->vector = checked_vector(p, value);
		return;
	case COMMON_QUEUE_ENABLE: /* PC-10: nothing but a reset takes it back */
		if (value != 1 || queue->ready)
			return;
		queue->size = size_of(p, queue);
		fph_regs_enable(&p->regs);
		return;
	case COMMON_QUEUE_RESET:
		if (value == 1)
			fph_regs_reset_queue(&p->regs);
		return;
	case COMMON_QUEUE_NOTIFY_OFF:
	case COMMON_QUEUE_NOTIFY_DATA:
		return;
	default:
		fph_regs_set_half(queue, address_of(queue, offset), offset & 4, value);
	}
}

void fph_pci_write_common(struct pci *p, uint64_t offset, uint32_t len, uint32_t value)
{
	struct fph_regs *r = &p->regs;
	struct fph_regs_queue *queue;

	if (width(offset) != len)
		return;
	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		r->device_features_sel = value;
		return;
	case COMMON_DRIVER_FEATURE_SELECT:
		r->driver_features_sel = value;
		return;
	case COMMON_DRIVER_FEATURE:
		fph_regs_accept(r, value);
		return;
	case COMMON_CONFIG_VECTOR:
		p->config_vector = checked_vector(p, value);
		return;
	case COMMON_STATUS:
		set_status(p, value);
		return;
	case COMMON_QUEUE_SELECT:
		r->queue_sel = value;
		return;
	case COMMON_DEVICE_FEATURE:
	case COMMON_NUM_QUEUES:
	case COMMON_GENERATION:
		return;
	default:
		queue = selected(p);
		if (queue)
			write_queue(p, queue, offset, value);
	}
}
