/* SPDX-License-Identifier: MIT */
#include "../registers/registers.h"
#include "opts.h"
#include <fph/mmio.h>

/* Inside the box of struct fph_mmio_device. */
struct mmio {
	struct fph_regs regs;
	void (*line)(void *ctx, bool high);
	void *ctx;
	uint32_t device_id;
	uint32_t vendor_id;
};

_Static_assert(sizeof(struct mmio) <= sizeof(struct fph_mmio_device), "the box is too small");
_Static_assert(_Alignof(struct mmio) <= _Alignof(struct fph_mmio_device), "misaligned");

static struct mmio *mmio_of(struct fph_mmio_device *mmio)
{
	return (struct mmio *)(void *)mmio;
}

/* ------------------------------------------------------------ interrupts */

void fph_mmio_device_interrupt(struct fph_mmio_device *mmio)
{
	struct mmio *m = mmio_of(mmio);

	/* Also when it is high: an edge may have been used up by the driver's last look. */
	if (fph_regs_take_irq(&m->regs) && m->line)
		m->line(m->ctx, true);
}

static void lower(struct mmio *m, uint32_t before)
{
	if (before && !m->regs.irq && m->line)
		m->line(m->ctx, false);
}

uint32_t fph_mmio_device_pending(const struct fph_mmio_device *mmio)
{
	return ((const struct mmio *)(const void *)mmio)->regs.irq;
}

/* ------------------------------------------------------------ writes with a meaning */

static void set_status(struct mmio *m, uint32_t value)
{
	uint32_t irq = m->regs.irq;

	if (fph_regs_set_status(&m->regs, value))
		lower(m, irq); /* M-1 */
}

static void acknowledge(struct mmio *m, uint32_t bits)
{
	uint32_t irq = m->regs.irq;

	m->regs.irq &= ~bits;
	lower(m, irq);
}

static void set_ready(struct mmio *m, uint32_t value)
{
	if (value == 1)
		fph_regs_enable(&m->regs);
	else if (value == 0)
		fph_regs_disable(&m->regs);
}

static void set_place(struct mmio *m, uint64_t offset, uint32_t value)
{
	struct fph_regs_queue *queue = fph_regs_queue(&m->regs);

	if (!queue)
		return;
	switch (offset) {
	case FPH_MMIO_QUEUE_SIZE:
		if (!queue->ready) /* M-7 */
			queue->size = value;
		break;
	case FPH_MMIO_QUEUE_DESC_LOW:
	case FPH_MMIO_QUEUE_DESC_HIGH:
		fph_regs_set_half(queue, &queue->desc, offset == FPH_MMIO_QUEUE_DESC_HIGH,
				  value);
		break;
	case FPH_MMIO_QUEUE_DRIVER_LOW:
	case FPH_MMIO_QUEUE_DRIVER_HIGH:
		fph_regs_set_half(queue, &queue->driver, offset == FPH_MMIO_QUEUE_DRIVER_HIGH,
				  value);
		break;
	default:
		fph_regs_set_half(queue, &queue->device, offset == FPH_MMIO_QUEUE_DEVICE_HIGH,
				  value);
	}
}

void fph_mmio_device_notify(struct fph_mmio_device *mmio, uint16_t queue)
{
	const struct fph_bus *bus = &mmio_of(mmio)->regs.bus;

	bus->ops->notify(bus->ctx, queue);
}

/* ------------------------------------------------------------ accesses */

/* M-4: a control register is accessed whole, and the way it is meant. */
static bool is_allowed(uint64_t offset, uint32_t len, uint8_t access)
{
	const struct fph_mmio_register *reg = fph_mmio_register(offset);

	return reg && len == reg->width && (reg->access & access);
}

uint64_t fph_mmio_device_read(struct fph_mmio_device *mmio, uint64_t offset, uint32_t len)
{
	struct mmio *m = mmio_of(mmio);

	if (offset >= FPH_MMIO_CONFIG)
		return fph_regs_read_config(&m->regs, offset - FPH_MMIO_CONFIG, len);
	if (!is_allowed(offset, len, FPH_MMIO_R))
		return 0;
	switch (offset) {
	case FPH_MMIO_MAGIC:
		return FPH_MMIO_MAGIC_VALUE;
	case FPH_MMIO_VERSION:
		return FPH_MMIO_VERSION_VALUE;
	case FPH_MMIO_DEVICE_ID:
		return m->device_id;
	case FPH_MMIO_VENDOR_ID:
		return m->vendor_id;
	case FPH_MMIO_DEVICE_FEATURES:
		return fph_regs_device_features(&m->regs);
	case FPH_MMIO_QUEUE_SIZE_MAX:
		return fph_regs_queue_max(&m->regs);
	case FPH_MMIO_QUEUE_READY:
		return fph_regs_is_ready(&m->regs);
	case FPH_MMIO_INTERRUPT_STATUS:
		return m->regs.irq;
	case FPH_MMIO_STATUS:
		return fph_regs_status(&m->regs);
	case FPH_MMIO_QUEUE_RESET:
		return fph_regs_is_resetting(&m->regs);
	case FPH_MMIO_GENERATION:
		return fph_regs_generation(&m->regs);
	default:
		return 0xffffffff; /* shared memory regions: there is none (T-2) */
	}
}

void fph_mmio_device_write(struct fph_mmio_device *mmio, uint64_t offset, uint32_t len,
			   uint64_t value)
{
	struct mmio *m = mmio_of(mmio);
	uint32_t v = (uint32_t)value;

	if (offset >= FPH_MMIO_CONFIG) {
		fph_regs_write_config(&m->regs, offset - FPH_MMIO_CONFIG, len, v);
		return;
	}
	if (!is_allowed(offset, len, FPH_MMIO_W))
		return;
	switch (offset) {
	case FPH_MMIO_DEVICE_FEATURES_SEL:
		m->regs.device_features_sel = v;
		break;
	case FPH_MMIO_DRIVER_FEATURES:
		fph_regs_accept(&m->regs, v);
		break;
	case FPH_MMIO_DRIVER_FEATURES_SEL:
		m->regs.driver_features_sel = v;
		break;
	case FPH_MMIO_QUEUE_SEL:
		m->regs.queue_sel = v;
		break;
	case FPH_MMIO_QUEUE_READY:
		set_ready(m, v);
		break;
	case FPH_MMIO_QUEUE_NOTIFY:
		if (m->regs.accepted & FPH_F_NOTIFICATION_DATA)
			v &= UINT16_MAX; /* N-1: the rest would tell what the ring tells */
		if (v <= UINT16_MAX)
			fph_mmio_device_notify(mmio, (uint16_t)v);
		break;
	case FPH_MMIO_INTERRUPT_ACK:
		acknowledge(m, v);
		break;
	case FPH_MMIO_STATUS:
		set_status(m, v);
		break;
	case FPH_MMIO_QUEUE_RESET:
		if (v == 1)
			fph_regs_reset_queue(&m->regs);
		break;
	case FPH_MMIO_SHM_SEL:
		break;
	default:
		set_place(m, offset, v);
	}
}

int fph_mmio_device_init(struct fph_mmio_device *mmio, const struct fph_mmio_device_opts *opts)
{
	struct fph_mmio_device_opts o;
	struct mmio *m = mmio_of(mmio);
	int rc = fph_copy_opts(&o, sizeof(o), opts, opts->size);

	if (rc < 0)
		return rc;
	if (!o.bus.ops)
		return -EINVAL;
	memset(mmio, 0, sizeof(*mmio));
	fph_regs_init(&m->regs, o.bus);
	m->device_id = o.device_id ? o.device_id : FPH_DEVICE_ID;
	m->vendor_id = o.vendor_id ? o.vendor_id : FPH_MMIO_VENDOR_VALUE;
	m->line = o.line;
	m->ctx = o.ctx;
	return 0;
}
