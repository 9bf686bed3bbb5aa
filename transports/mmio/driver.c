/* SPDX-License-Identifier: MIT */
#include "err.h"
#include "opts.h"
#include "shm.h"
#include <fph/mmio.h>

#define DEFAULT_TRIES 1000u

/* Inside the box of struct fph_mmio_driver. */
struct mmio {
	volatile uint32_t *registers;
	int (*read)(void *ctx, uint32_t offset, uint32_t *value);
	int (*write)(void *ctx, uint32_t offset, uint32_t value);
	void (*pause)(void *ctx);
	void *ctx;
	uint32_t tries;
	bool ring_reset; /* RING_RESET was accepted */
};

_Static_assert(sizeof(struct mmio) <= sizeof(struct fph_mmio_driver), "the box is too small");
_Static_assert(_Alignof(struct mmio) <= _Alignof(struct fph_mmio_driver), "misaligned");

/* ------------------------------------------------------------ accesses */

/* M-4: all are 32 bits wide and aligned, also those to the four fields of the balloon. */
static int rd(struct mmio *m, uint32_t offset, uint32_t *value)
{
	if (!m->registers)
		return m->read(m->ctx, offset, value);
	*value = FPH_LE32(m->registers[offset / 4]);
	return 0;
}

static int wr(struct mmio *m, uint32_t offset, uint32_t value)
{
	if (!m->registers)
		return m->write(m->ctx, offset, value);
	m->registers[offset / 4] = FPH_LE32(value);
	return 0;
}

/* A register that is banked: the selector first (M-6). */
static int rd_at(struct mmio *m, uint32_t sel, uint32_t at, uint32_t offset, uint32_t *value)
{
	int rc = wr(m, sel, at);

	return rc < 0 ? rc : rd(m, offset, value);
}

static int wr_at(struct mmio *m, uint32_t sel, uint32_t at, uint32_t offset, uint32_t value)
{
	int rc = wr(m, sel, at);

	return rc < 0 ? rc : wr(m, offset, value);
}

/* Look until a register of the selected queue reads 0.  -EBUSY: it does not. */
static int wait_for_0(struct mmio *m, uint32_t offset)
{
	for (uint32_t i = 0; i < m->tries; i++) {
		uint32_t value = 0;
		int rc = rd(m, offset, &value);

		if (rc < 0 || !value)
			return rc;
		if (m->pause)
			m->pause(m->ctx);
	}
	return -EBUSY;
}

/* ------------------------------------------------------------ features and status */

static int bus_features(void *ctx, uint64_t *offered)
{
	struct mmio *m = ctx;
	uint32_t low = 0, high = 0;
	int rc = rd_at(m, FPH_MMIO_DEVICE_FEATURES_SEL, 0, FPH_MMIO_DEVICE_FEATURES, &low);

	if (rc == 0)
		rc = rd_at(m, FPH_MMIO_DEVICE_FEATURES_SEL, 1, FPH_MMIO_DEVICE_FEATURES, &high);
	if (rc == 0)
		*offered = low | (uint64_t)high << 32;
	return rc;
}

static int bus_accept(void *ctx, uint64_t accepted)
{
	struct mmio *m = ctx;
	int rc = wr_at(m, FPH_MMIO_DRIVER_FEATURES_SEL, 0, FPH_MMIO_DRIVER_FEATURES,
		       (uint32_t)accepted);

	if (rc == 0)
		rc = wr_at(m, FPH_MMIO_DRIVER_FEATURES_SEL, 1, FPH_MMIO_DRIVER_FEATURES,
			   (uint32_t)(accepted >> 32));
	m->ring_reset = rc == 0 && (accepted & FPH_F_RING_RESET);
	return rc;
}

static int bus_status(void *ctx, uint8_t *status)
{
	uint32_t value = 0;
	int rc = rd(ctx, FPH_MMIO_STATUS, &value);

	if (rc == 0)
		*status = (uint8_t)value;
	return rc;
}

static int bus_set_status(void *ctx, uint8_t status)
{
	return wr(ctx, FPH_MMIO_STATUS, status);
}

/* ------------------------------------------------------------ configuration */

static int read_words(struct mmio *m, uint32_t offset, unsigned char *to, uint32_t len)
{
	uint32_t word = 0;

	for (uint32_t i = 0; i < len; i++) {
		uint32_t at = offset + i;

		if (i == 0 || at % 4 == 0) {
			int rc = rd(m, FPH_MMIO_CONFIG + at / 4 * 4, &word);

			if (rc < 0)
				return rc;
		}
		to[i] = (unsigned char)(word >> 8 * (at % 4));
	}
	return 0;
}

/* C-1: the bytes are one snapshot if the generation is the same before and after. */
static int bus_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct mmio *m = ctx;
	uint32_t before = 0, after = 0;
	int rc = rd(m, FPH_MMIO_GENERATION, &before);

	for (uint32_t i = 0; i < m->tries && rc == 0; i++) {
		rc = read_words(m, offset, buf, len);
		if (rc == 0)
			rc = rd(m, FPH_MMIO_GENERATION, &after);
		if (rc < 0 || after == before)
			return rc;
		before = after;
		if (m->pause)
			m->pause(m->ctx);
	}
	return rc < 0 ? rc : -EAGAIN;
}

static int bus_set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	const unsigned char *from = buf;

	if (offset % 4 || len % 4)
		return -EINVAL;
	for (uint32_t i = 0; i < len; i += 4) {
		int rc = wr(ctx, FPH_MMIO_CONFIG + offset + i, fph_ld32_bytes(from + i));

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ------------------------------------------------------------ queues */

static int bus_vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	uint32_t value = 0;
	int rc = rd_at(ctx, FPH_MMIO_QUEUE_SEL, queue, FPH_MMIO_QUEUE_SIZE_MAX, &value);

	if (rc == 0)
		*max = value > UINT16_MAX ? UINT16_MAX : (uint16_t)value;
	return rc;
}

static int write_address(struct mmio *m, uint32_t low_offset, uint64_t address)
{
	int rc = wr(m, low_offset, (uint32_t)address);

	return rc < 0 ? rc : wr(m, low_offset + 4, (uint32_t)(address >> 32));
}

static int place(struct mmio *m, const struct fph_vq_place *place)
{
	int rc = wr(m, FPH_MMIO_QUEUE_SIZE, place->size);

	if (rc == 0)
		rc = write_address(m, FPH_MMIO_QUEUE_DESC_LOW, place->desc);
	if (rc == 0)
		rc = write_address(m, FPH_MMIO_QUEUE_DRIVER_LOW, place->driver);
	if (rc == 0)
		rc = write_address(m, FPH_MMIO_QUEUE_DEVICE_LOW, place->device);
	return rc == 0 ? wr(m, FPH_MMIO_QUEUE_READY, 1) : rc;
}

static int bus_vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *where)
{
	struct mmio *m = ctx;
	uint32_t ready = 0, max = 0;
	int rc;

	if (where->index)
		return -EINVAL;
	rc = rd_at(m, FPH_MMIO_QUEUE_SEL, queue, FPH_MMIO_QUEUE_READY, &ready);
	if (rc == 0)
		rc = rd(m, FPH_MMIO_QUEUE_SIZE_MAX, &max);
	if (rc < 0)
		return rc;
	if (ready || where->size > max) /* M-7, M-6 */
		return -EPROTO;
	rc = place(m, where);
	if (rc == 0)
		rc = rd(m, FPH_MMIO_QUEUE_READY, &ready);
	return rc < 0 || ready ? rc : -EPROTO;
}

static int bus_vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	struct mmio *m = ctx;
	uint32_t offset = m->ring_reset ? FPH_MMIO_QUEUE_RESET : FPH_MMIO_QUEUE_READY;
	int rc = wr_at(m, FPH_MMIO_QUEUE_SEL, queue, offset, m->ring_reset);

	*index = 0;
	return rc < 0 ? rc : wait_for_0(m, offset); /* M-7, M-9, R-2: read back */
}

static int bus_notify(void *ctx, uint16_t queue)
{
	return wr(ctx, FPH_MMIO_QUEUE_NOTIFY, queue); /* N-1 */
}

static int bus_notify_data(void *ctx, uint16_t queue, uint16_t next)
{
	return wr(ctx, FPH_MMIO_QUEUE_NOTIFY, queue | (uint32_t)next << 16); /* N-1 */
}

/* M-8: acknowledge what is handled, and nothing that is not known. */
static int bus_take_irq(void *ctx, uint32_t *irq)
{
	uint32_t value = 0;
	int rc = rd(ctx, FPH_MMIO_INTERRUPT_STATUS, &value);

	value &= FPH_IRQ_QUEUE | FPH_IRQ_CONFIG;
	if (rc == 0 && value)
		rc = wr(ctx, FPH_MMIO_INTERRUPT_ACK, value);
	if (rc == 0)
		*irq = value;
	return rc;
}

static const struct fph_bus_ops bus_ops = {
	.size = sizeof(bus_ops),
	.features = bus_features,
	.accept = bus_accept,
	.status = bus_status,
	.set_status = bus_set_status,
	.config = bus_config,
	.set_config = bus_set_config,
	.vq_max = bus_vq_max,
	.vq_enable = bus_vq_enable,
	.vq_disable = bus_vq_disable,
	.notify = bus_notify,
	.take_irq = bus_take_irq,
	.notify_data = bus_notify_data,
};

struct fph_bus fph_mmio_driver_bus(struct fph_mmio_driver *mmio)
{
	return (struct fph_bus){&bus_ops, mmio};
}

/* M-5: in this order, and not one access more than it takes to see that it is not ours. */
static int probe(struct mmio *m)
{
	static const struct {
		uint32_t offset;
		uint32_t value;
	} expected[] = {
		{FPH_MMIO_MAGIC, FPH_MMIO_MAGIC_VALUE},
		{FPH_MMIO_VERSION, FPH_MMIO_VERSION_VALUE},
		{FPH_MMIO_DEVICE_ID, FPH_DEVICE_ID},
	};

	for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		uint32_t value = 0;
		int rc = rd(m, expected[i].offset, &value);

		if (rc < 0)
			return rc;
		if (value != expected[i].value)
			return -ENODEV;
	}
	return 0;
}

int fph_mmio_driver_init(struct fph_mmio_driver *mmio, const struct fph_mmio_driver_opts *opts)
{
	struct fph_mmio_driver_opts o;
	struct mmio *m = (struct mmio *)(void *)mmio;
	int rc = fph_copy_opts(&o, sizeof(o), opts, opts->size);

	if (rc < 0)
		return rc;
	if (o.registers ? o.read || o.write : !o.read || !o.write)
		return -EINVAL;
	if ((uintptr_t)o.registers % 4)
		return -EINVAL;
	memset(mmio, 0, sizeof(*mmio));
	m->registers = o.registers;
	m->read = o.read;
	m->write = o.write;
	m->pause = o.pause;
	m->ctx = o.ctx;
	m->tries = o.tries ? o.tries : DEFAULT_TRIES;
	return probe(m);
}
