/* SPDX-License-Identifier: MIT */
#include "err.h"
#include "opts.h"
#include "shm.h"
#include <fph/mmio.h>

/* What the driver wrote for one queue, until it is ready; banked by QueueSel. */
struct bank {
	uint64_t desc;
	uint64_t driver;
	uint64_t device;
	uint32_t size;
	bool ready;
	bool stopping; /* asked to stop while the device's owner acts on its buffers */
};

/* Inside the box of struct fph_mmio_device. */
struct mmio {
	struct fph_bus bus;
	void (*line)(void *ctx, bool high);
	void *ctx;
	uint32_t device_id;
	uint32_t vendor_id;

	uint32_t device_features_sel;
	uint32_t driver_features_sel;
	uint32_t queue_sel;
	uint64_t accepted;
	bool foreign; /* features past the 64th were accepted: none was offered */
	uint32_t irq; /* InterruptStatus */
	uint32_t generation;
	unsigned char config[FPH_CONFIG_MAX]; /* as it was when anybody looked last */
	struct bank banks[FPH_QUEUE_COUNT];
};

_Static_assert(sizeof(struct mmio) <= sizeof(struct fph_mmio_device), "the box is too small");
_Static_assert(_Alignof(struct mmio) <= _Alignof(struct fph_mmio_device), "misaligned");

#define BUS(m, verb, ...) ((m)->bus.ops->verb((m)->bus.ctx, __VA_ARGS__))

static struct mmio *mmio_of(struct fph_mmio_device *mmio)
{
	return (struct mmio *)(void *)mmio;
}

/* ------------------------------------------------------------ interrupts */

void fph_mmio_device_interrupt(struct fph_mmio_device *mmio)
{
	struct mmio *m = mmio_of(mmio);
	uint32_t irq = 0;

	BUS(m, take_irq, &irq);
	irq &= FPH_IRQ_QUEUE | FPH_IRQ_CONFIG; /* M-1: the other bits read as 0 */
	if (!irq)
		return;
	m->irq |= irq;
	/* Also when it is high: an edge may have been used up by the driver's last look. */
	if (m->line)
		m->line(m->ctx, true);
}

static void clear_irq(struct mmio *m, uint32_t bits)
{
	uint32_t before = m->irq;

	m->irq &= ~bits;
	if (before && !m->irq && m->line)
		m->line(m->ctx, false);
}

uint32_t fph_mmio_device_pending(const struct fph_mmio_device *mmio)
{
	return ((const struct mmio *)(const void *)mmio)->irq;
}

/* ------------------------------------------------------------ configuration space */

/*
 * C-4, M-2: the generation moves when a look finds what no look found before, so
 * whoever pieces a value together from two different states sees two generations.
 */
static void look(struct mmio *m)
{
	unsigned char now[FPH_CONFIG_MAX];

	if (BUS(m, config, 0, now, sizeof(now)) < 0 || memcmp(now, m->config, sizeof(now)) == 0)
		return;
	memcpy(m->config, now, sizeof(now));
	m->generation++;
}

/* M-4: the widths of fields, each at a multiple of itself. */
static bool is_field(uint64_t offset, uint32_t len)
{
	return (len == 1 || len == 2 || len == 4) && offset % len == 0;
}

static uint64_t read_config(struct mmio *m, uint64_t offset, uint32_t len)
{
	uint64_t value = 0;

	if (!is_field(offset, len))
		return 0;
	look(m);
	for (uint32_t i = 0; i < len; i++) {
		uint64_t byte = offset + i < sizeof(m->config) ? m->config[offset + i] : 0xff;

		value |= byte << 8 * i;
	}
	return value;
}

static void write_config(struct mmio *m, uint64_t offset, uint32_t len, uint64_t value)
{
	unsigned char bytes[4];

	if (!is_field(offset, len))
		return;
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (unsigned char)(value >> 8 * i);
	BUS(m, set_config, (uint32_t)offset, bytes, len);
}

/* ------------------------------------------------------------ features and status */

static uint8_t status(struct mmio *m)
{
	uint8_t now = 0;

	BUS(m, status, &now);
	return now;
}

static uint32_t device_features(struct mmio *m)
{
	uint64_t offered = 0;

	if (m->device_features_sel > 1)
		return 0;
	BUS(m, features, &offered);
	return (uint32_t)(offered >> 32 * m->device_features_sel);
}

static void accept_features(struct mmio *m, uint32_t value)
{
	unsigned shift = 32 * (m->driver_features_sel & 1);
	uint64_t accepted = m->accepted & ~(UINT64_C(0xffffffff) << shift);

	if (m->driver_features_sel > 1) {
		m->foreign |= value && !(status(m) & FPH_STATUS_FEATURES_OK);
		return;
	}
	accepted |= (uint64_t)value << shift;
	if (BUS(m, accept, accepted) == 0) /* G-15: not after FEATURES_OK */
		m->accepted = accepted;
}

/* M-1.  The device may need some time until Status reads 0; it is silent meanwhile. */
static void reset(struct mmio *m)
{
	BUS(m, set_status, 0);
	clear_irq(m, m->irq);
	m->device_features_sel = 0;
	m->driver_features_sel = 0;
	m->queue_sel = 0;
	m->accepted = 0;
	m->foreign = false;
	memset(m->banks, 0, sizeof(m->banks));
}

static void set_status(struct mmio *m, uint32_t value)
{
	uint8_t bits = (uint8_t)value;

	if (value == 0) {
		reset(m);
		return;
	}
	if (m->foreign) /* G-10 */
		bits &= (uint8_t)~FPH_STATUS_FEATURES_OK;
	if (bits) /* of a value whose low byte alone is 0 nobody means a reset */
		BUS(m, set_status, bits);
}

/* ------------------------------------------------------------ queues */

/* NULL: QueueSel names no queue that could exist. */
static struct bank *selected(struct mmio *m)
{
	return m->queue_sel < FPH_QUEUE_COUNT ? &m->banks[m->queue_sel] : NULL;
}

static uint32_t queue_size_max(struct mmio *m)
{
	uint16_t max = 0;

	if (m->queue_sel <= UINT16_MAX)
		BUS(m, vq_max, (uint16_t)m->queue_sel, &max);
	return max;
}

static bool has_ring_reset(struct mmio *m)
{
	return (m->accepted & FPH_F_RING_RESET) && (status(m) & FPH_STATUS_FEATURES_OK);
}

/* Go on with stopping the selected queue; it takes until its buffers are let go of. */
static void stop(struct mmio *m, struct bank *bank)
{
	uint16_t index;

	if (!bank->stopping || BUS(m, vq_disable, (uint16_t)m->queue_sel, &index) == -EBUSY)
		return;
	memset(bank, 0, sizeof(*bank));
}

static void set_ready(struct mmio *m, uint32_t value)
{
	struct bank *bank = selected(m);
	struct fph_vq_place place;

	if (!bank || value > 1)
		return;
	if (bank->ready) {
		bank->stopping |= !value;
		stop(m, bank);
		return;
	}
	if (!value)
		return;
	place = (struct fph_vq_place){
		.desc = bank->desc,
		.driver = bank->driver,
		.device = bank->device,
		/* Whether a size is one that the device takes is the device's to say. */
		.size = bank->size <= UINT16_MAX ? (uint16_t)bank->size : 0,
	};
	bank->ready = BUS(m, vq_enable, (uint16_t)m->queue_sel, &place) == 0;
}

/* M-3 */
static void reset_queue(struct mmio *m, uint32_t value)
{
	struct bank *bank = selected(m);

	if (!bank || value != 1 || !bank->ready || !has_ring_reset(m))
		return;
	bank->stopping = true;
	stop(m, bank);
}

static uint32_t is_resetting(struct mmio *m)
{
	struct bank *bank = selected(m);

	if (!bank || !has_ring_reset(m))
		return 0;
	stop(m, bank);
	return bank->stopping;
}

static uint32_t is_ready(struct mmio *m)
{
	struct bank *bank = selected(m);

	if (!bank)
		return 0;
	stop(m, bank);
	return bank->ready;
}

static void set_half(uint64_t *address, bool high, uint32_t value)
{
	unsigned shift = high ? 32 : 0;

	*address = (*address & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift;
}

static void set_place(struct mmio *m, uint64_t offset, uint32_t value)
{
	struct bank *bank = selected(m);

	if (!bank || bank->ready) /* M-7 */
		return;
	switch (offset) {
	case FPH_MMIO_QUEUE_SIZE:
		bank->size = value;
		break;
	case FPH_MMIO_QUEUE_DESC_LOW:
	case FPH_MMIO_QUEUE_DESC_HIGH:
		set_half(&bank->desc, offset == FPH_MMIO_QUEUE_DESC_HIGH, value);
		break;
	case FPH_MMIO_QUEUE_DRIVER_LOW:
	case FPH_MMIO_QUEUE_DRIVER_HIGH:
		set_half(&bank->driver, offset == FPH_MMIO_QUEUE_DRIVER_HIGH, value);
		break;
	default:
		set_half(&bank->device, offset == FPH_MMIO_QUEUE_DEVICE_HIGH, value);
	}
}

void fph_mmio_device_notify(struct fph_mmio_device *mmio, uint16_t queue)
{
	struct mmio *m = mmio_of(mmio);

	BUS(m, notify, queue);
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
		return read_config(m, offset - FPH_MMIO_CONFIG, len);
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
		return device_features(m);
	case FPH_MMIO_QUEUE_SIZE_MAX:
		return queue_size_max(m);
	case FPH_MMIO_QUEUE_READY:
		return is_ready(m);
	case FPH_MMIO_INTERRUPT_STATUS:
		return m->irq;
	case FPH_MMIO_STATUS:
		return status(m);
	case FPH_MMIO_QUEUE_RESET:
		return is_resetting(m);
	case FPH_MMIO_GENERATION:
		look(m);
		return m->generation;
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
		if (offset < FPH_MMIO_SIZE)
			write_config(m, offset - FPH_MMIO_CONFIG, len, value);
		return;
	}
	if (!is_allowed(offset, len, FPH_MMIO_W))
		return;
	switch (offset) {
	case FPH_MMIO_DEVICE_FEATURES_SEL:
		m->device_features_sel = v;
		break;
	case FPH_MMIO_DRIVER_FEATURES:
		accept_features(m, v);
		break;
	case FPH_MMIO_DRIVER_FEATURES_SEL:
		m->driver_features_sel = v;
		break;
	case FPH_MMIO_QUEUE_SEL:
		m->queue_sel = v;
		break;
	case FPH_MMIO_QUEUE_READY:
		set_ready(m, v);
		break;
	case FPH_MMIO_QUEUE_NOTIFY:
		if (v <= UINT16_MAX)
			fph_mmio_device_notify(mmio, (uint16_t)v);
		break;
	case FPH_MMIO_INTERRUPT_ACK:
		clear_irq(m, v);
		break;
	case FPH_MMIO_STATUS:
		set_status(m, v);
		break;
	case FPH_MMIO_QUEUE_RESET:
		reset_queue(m, v);
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
	m->bus = o.bus;
	m->device_id = o.device_id ? o.device_id : FPH_DEVICE_ID;
	m->vendor_id = o.vendor_id ? o.vendor_id : FPH_MMIO_VENDOR_VALUE;
	m->line = o.line;
	m->ctx = o.ctx;
	look(m);
	m->generation = 0;
	return 0;
}
