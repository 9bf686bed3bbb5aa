/* SPDX-License-Identifier: MIT */
#include "registers.h"
#include "err.h"
#include <string.h>

#define BUS(r, verb, ...) ((r)->bus.ops->verb((r)->bus.ctx, __VA_ARGS__))

uint32_t fph_regs_take_irq(struct fph_regs *regs)
{
	uint32_t irq = 0;

	BUS(regs, take_irq, &irq);
	regs->irq |= irq & (FPH_IRQ_QUEUE | FPH_IRQ_CONFIG); /* M-1: the others read as 0 */
	return irq;
}

/* ------------------------------------------------------------ features and status */

uint32_t fph_regs_device_features(struct fph_regs *regs)
{
	uint64_t offered = 0;

	if (regs->device_features_sel > 1)
		return 0;
	BUS(regs, features, &offered);
	return (uint32_t)(offered >> 32 * regs->device_features_sel);
}

uint32_t fph_regs_driver_features(const struct fph_regs *regs)
{
	if (regs->driver_features_sel > 1)
		return 0;
	return (uint32_t)(regs->accepted >> 32 * regs->driver_features_sel);
}

void fph_regs_accept(struct fph_regs *regs, uint32_t value)
{
	unsigned shift = 32 * (regs->driver_features_sel & 1);
	uint64_t accepted = regs->accepted & ~(UINT64_C(0xffffffff) << shift);

	if (regs->driver_features_sel > 1) {
		regs->foreign |= value && !(fph_regs_status(regs) & FPH_STATUS_FEATURES_OK);
		return;
	}
	accepted |= (uint64_t)value << shift;
	if (BUS(regs, accept, accepted) == 0) /* G-15: not after FEATURES_OK */
		regs->accepted = accepted;
}

uint8_t fph_regs_status(struct fph_regs *regs)
{
	uint8_t now = 0;

	BUS(regs, status, &now);
	return now;
}

static void forget(struct fph_regs *regs)
{
	regs->device_features_sel = 0;
	regs->driver_features_sel = 0;
	regs->queue_sel = 0;
	regs->accepted = 0;
	regs->foreign = false;
	regs->irq = 0;
	memset(regs->queues, 0, sizeof(regs->queues));
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		regs->queues[q].vector = FPH_NO_VECTOR;
}

bool fph_regs_set_status(struct fph_regs *regs, uint32_t value)
{
	uint8_t bits = (uint8_t)value;

	if (value == 0) {
		/* The device may need some time until Status reads 0; it is silent meanwhile.
		 */
		BUS(regs, set_status, 0);
		forget(regs);
		return true;
	}
	if (regs->foreign) /* G-10 */
		bits &= (uint8_t)~FPH_STATUS_FEATURES_OK;
	if (bits) /* of a value whose low byte alone is 0 nobody means a reset */
		BUS(regs, set_status, bits);
	return false;
}

/* ------------------------------------------------------------ configuration space */

static void look(struct fph_regs *regs)
{
	unsigned char now[FPH_CONFIG_MAX];

	if (BUS(regs, config, 0, now, sizeof(now)) < 0 ||
	    memcmp(now, regs->config, sizeof(now)) == 0)
		return;
	memcpy(regs->config, now, sizeof(now));
	regs->generation++;
}

uint32_t fph_regs_generation(struct fph_regs *regs)
{
	look(regs);
	return regs->generation;
}

/* M-4: the widths of fields, each at a multiple of itself. */
static bool is_field(uint64_t offset, uint32_t len)
{
	return (len == 1 || len == 2 || len == 4) && offset % len == 0;
}

uint32_t fph_regs_read_config(struct fph_regs *regs, uint64_t offset, uint32_t len)
{
	uint32_t value = 0;

	if (!is_field(offset, len))
		return 0;
	look(regs);
	for (uint32_t i = 0; i < len; i++) {
		uint32_t byte = offset + i < sizeof(regs->config) ? regs->config[offset + i]
								  : 0xff;

		value |= byte << 8 * i;
	}
	return value;
}

void fph_regs_write_config(struct fph_regs *regs, uint64_t offset, uint32_t len, uint32_t value)
{
	unsigned char bytes[4];

	if (!is_field(offset, len) || offset > FPH_CONFIG_MAX)
		return;
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (unsigned char)(value >> 8 * i);
	BUS(regs, set_config, (uint32_t)offset, bytes, len);
}

/* ------------------------------------------------------------ queues */

struct fph_regs_queue *fph_regs_queue(struct fph_regs *regs)
{
	return regs->queue_sel < FPH_QUEUE_COUNT ? &regs->queues[regs->queue_sel] : NULL;
}

uint32_t fph_regs_queue_max(struct fph_regs *regs)
{
	uint16_t max = 0;

	if (regs->queue_sel <= UINT16_MAX)
		BUS(regs, vq_max, (uint16_t)regs->queue_sel, &max);
	return max;
}

void fph_regs_set_half(struct fph_regs_queue *queue, uint64_t *address, bool high,
		       uint32_t value)
{
	unsigned shift = high ? 32 : 0;

	if (!queue->ready) /* M-7 */
		*address = (*address & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value
										   << shift;
}

static bool has_ring_reset(struct fph_regs *regs)
{
	return (regs->accepted & FPH_F_RING_RESET) &&
	       (fph_regs_status(regs) & FPH_STATUS_FEATURES_OK);
}

/* Go on with stopping the selected queue; it takes until its buffers are let go of. */
static void stop(struct fph_regs *regs, struct fph_regs_queue *queue)
{
	uint16_t index;
	int rc;

	if (!queue->stopping)
		return;
	rc = BUS(regs, vq_disable, (uint16_t)regs->queue_sel, &index);
	queue->stopping = rc == -EBUSY;
	if (rc < 0) /* a device that sleeps keeps its queues.  S-4 */
		return;
	memset(queue, 0, sizeof(*queue));
	queue->vector = FPH_NO_VECTOR;
}

void fph_regs_enable(struct fph_regs *regs)
{
	struct fph_regs_queue *queue = fph_regs_queue(regs);
	struct fph_vq_place place;

	if (!queue || queue->ready)
		return;
	place = (struct fph_vq_place){
		.desc = queue->desc,
		.driver = queue->driver,
		.device = queue->device,
		/* Whether a size is one that the device takes is the device's to say. */
		.size = queue->size <= UINT16_MAX ? (uint16_t)queue->size : 0,
	};
	queue->ready = BUS(regs, vq_enable, (uint16_t)regs->queue_sel, &place) == 0;
}

void fph_regs_disable(struct fph_regs *regs)
{
	struct fph_regs_queue *queue = fph_regs_queue(regs);

	if (!queue || !queue->ready)
		return;
	queue->stopping = true;
	stop(regs, queue);
}

void fph_regs_reset_queue(struct fph_regs *regs)
{
	if (has_ring_reset(regs))
		fph_regs_disable(regs);
}

bool fph_regs_is_ready(struct fph_regs *regs)
{
	struct fph_regs_queue *queue = fph_regs_queue(regs);

	if (!queue)
		return false;
	stop(regs, queue);
	return queue->ready;
}

bool fph_regs_is_resetting(struct fph_regs *regs)
{
	return has_ring_reset(regs) && fph_regs_is_ready(regs) &&
	       fph_regs_queue(regs)->stopping;
}

void fph_regs_init(struct fph_regs *regs, struct fph_bus bus)
{
	regs->bus = bus;
	forget(regs);
	look(regs);
	regs->generation = 0;
}
