/* SPDX-License-Identifier: MIT */
/* The driver end: a bus whose verbs are accesses.  virtio 1.4, 4.1 */
#include "driver.h"
#include "err.h"
#include "opts.h"
#include "shm.h"

#define DEFAULT_TRIES 1000u

_Static_assert(sizeof(struct pci) <= sizeof(struct fph_pci_driver), "the box is too small");
_Static_assert(_Alignof(struct pci) <= _Alignof(struct fph_pci_driver), "misaligned");

/* ------------------------------------------------------------ accesses */

/* PC-9: by the width of the field.  Callers stay inside of the part. */
static int rd(struct pci *p, const struct fph_pci_part *part, uint32_t at, uint32_t len,
	      uint32_t *value)
{
	uint32_t got = 0;
	int rc = p->bar_read(p->ctx, part->bar, (uint64_t)part->offset + at, len, &got);

	if (rc == 0)
		*value = len < 4 ? got & ((1u << 8 * len) - 1) : got;
	return rc;
}

static int wr(struct pci *p, const struct fph_pci_part *part, uint32_t at, uint32_t len,
	      uint32_t value)
{
	return p->bar_write(p->ctx, part->bar, (uint64_t)part->offset + at, len, value);
}

static int rd8(struct pci *p, uint32_t at, uint32_t *value)
{
	return rd(p, &p->common, at, 1, value);
}

static int rd16(struct pci *p, uint32_t at, uint32_t *value)
{
	return rd(p, &p->common, at, 2, value);
}

static int wr16(struct pci *p, uint32_t at, uint32_t value)
{
	return wr(p, &p->common, at, 2, value);
}

static int wr32(struct pci *p, uint32_t at, uint32_t value)
{
	return wr(p, &p->common, at, 4, value);
}

static int select_queue(struct pci *p, uint16_t queue)
{
	return wr16(p, COMMON_QUEUE_SELECT, queue);
}

static void wait(struct pci *p)
{
	if (p->pause)
		p->pause(p->ctx);
}

/* ------------------------------------------------------------ features */

static int feature_half(struct pci *p, uint32_t half, uint32_t *value)
{
	int rc = wr32(p, COMMON_DEVICE_FEATURE_SELECT, half);

	return rc < 0 ? rc : rd(p, &p->common, COMMON_DEVICE_FEATURE, 4, value);
}

static int bus_features(void *ctx, uint64_t *offered)
{
	struct pci *p = ctx;
	uint32_t low = 0, high = 0;
	int rc = feature_half(p, 0, &low);

	if (rc == 0)
		rc = feature_half(p, 1, &high);
	if (rc < 0)
		return rc;
	*offered = low | (uint64_t)high << 32;
	if (p->common.length < COMMON_SIZE) /* no register to reset a queue with */
		*offered &= ~FPH_F_RING_RESET;
	return 0;
}

static int bus_accept(void *ctx, uint64_t accepted)
{
	struct pci *p = ctx;
	int rc = 0;

	for (uint32_t half = 0; half < 2 && rc == 0; half++) {
		rc = wr32(p, COMMON_DRIVER_FEATURE_SELECT, half);
		if (rc == 0)
			rc = wr32(p, COMMON_DRIVER_FEATURE, (uint32_t)(accepted >> 32 * half));
	}
	p->ring_reset = rc == 0 && (accepted & FPH_F_RING_RESET);
	return rc;
}

/* ------------------------------------------------------------ status */

static int bus_status(void *ctx, uint8_t *status)
{
	uint32_t value = 0;
	int rc = rd8(ctx, COMMON_STATUS, &value);

	if (rc == 0)
		*status = (uint8_t)value;
	return rc;
}

/* PC-11: a device that has no room for a vector says so when it is read back. */
static int map_vector(struct pci *p, uint32_t at, uint16_t vector)
{
	uint32_t mapped = 0;
	int rc = wr16(p, at, vector);

	if (rc == 0)
		rc = rd16(p, at, &mapped);
	return rc == 0 && mapped != vector ? -EIO : rc;
}

static void forget(struct pci *p)
{
	p->ring_reset = false;
	p->irq = 0;
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		p->doorbell[q] = NO_DOORBELL;
}

static int bus_set_status(void *ctx, uint8_t status)
{
	struct pci *p = ctx;
	int rc = 0;

	if (status == 0)
		forget(p);
	else if (p->vectors && (status & FPH_STATUS_DRIVER_OK))
		rc = map_vector(p, COMMON_CONFIG_VECTOR, 0);
	return rc < 0 ? rc : wr(p, &p->common, COMMON_STATUS, 1, status);
}

/* ------------------------------------------------------------ configuration */

/* By words, since all fields are; those past the device's end are not accessed. */
static int read_words(struct pci *p, uint32_t offset, unsigned char *to, uint32_t len)
{
	uint32_t word = 0;

	for (uint32_t i = 0; i < len; i++) {
		uint64_t at = (uint64_t)offset + i;

		if (i == 0 || at % 4 == 0) {
			int rc = 0;

			word = UINT32_MAX;
			if (at / 4 < p->device.length / 4)
				rc = rd(p, &p->device, (uint32_t)(at & ~UINT64_C(3)), 4, &word);
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
	struct pci *p = ctx;
	uint32_t before = 0, after = 0;
	int rc = rd8(p, COMMON_GENERATION, &before);

	for (uint32_t i = 0; i < p->tries && rc == 0; i++) {
		rc = read_words(p, offset, buf, len);
		if (rc == 0)
			rc = rd8(p, COMMON_GENERATION, &after);
		if (rc < 0 || after == before)
			return rc;
		before = after;
		wait(p);
	}
	return rc < 0 ? rc : -EAGAIN;
}

static int bus_set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct pci *p = ctx;
	const unsigned char *from = buf;

	if (offset % 4 || len % 4 || (uint64_t)offset + len > p->device.length)
		return -EINVAL;
	for (uint32_t i = 0; i < len; i += 4) {
		int rc = wr(p, &p->device, offset + i, 4, fph_ld32_bytes(from + i));

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ------------------------------------------------------------ queues */

static int bus_vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	uint32_t value = 0;
	int rc = select_queue(ctx, queue);

	if (rc == 0)
		rc = rd16(ctx, COMMON_QUEUE_SIZE, &value);
	if (rc == 0)
		*max = (uint16_t)value;
	return rc;
}

/*
 * Where the selected queue's doorbell is.  -EPROTO: outside of what the device announced,
 * or at an odd offset.  PC-4
 */
static int find_doorbell(struct pci *p, uint64_t *doorbell)
{
	uint32_t off = 0;
	int rc = rd16(p, COMMON_QUEUE_NOTIFY_OFF, &off);

	if (rc < 0)
		return rc;
	*doorbell = (uint64_t)off * p->multiplier;
	return *doorbell + 2 > p->notify.length || *doorbell % 2 ? -EPROTO : 0;
}

/* M-6, M-7: is the selected queue large enough, and free? */
static int check_queue(struct pci *p, const struct fph_vq_place *place)
{
	uint32_t enabled = 0, max = 0;
	int rc = rd16(p, COMMON_QUEUE_ENABLE, &enabled);

	if (rc == 0)
		rc = rd16(p, COMMON_QUEUE_SIZE, &max);
	return rc == 0 && (enabled || place->size > max) ? -EPROTO : rc;
}

static int write_address(struct pci *p, uint32_t at, uint64_t address)
{
	int rc = wr32(p, at, (uint32_t)address);

	return rc < 0 ? rc : wr32(p, at + 4, (uint32_t)(address >> 32));
}

/* PC-10: everything else before queue_enable. */
static int place(struct pci *p, const struct fph_vq_place *place)
{
	int rc = wr16(p, COMMON_QUEUE_SIZE, place->size);

	if (rc == 0)
		rc = write_address(p, COMMON_QUEUE_DESC, place->desc);
	if (rc == 0)
		rc = write_address(p, COMMON_QUEUE_DRIVER, place->driver);
	if (rc == 0)
		rc = write_address(p, COMMON_QUEUE_DEVICE, place->device);
	if (rc == 0 && p->vectors)
		rc = map_vector(p, COMMON_QUEUE_VECTOR, p->vectors - 1);
	return rc == 0 ? wr16(p, COMMON_QUEUE_ENABLE, 1) : rc;
}

static int bus_vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *where)
{
	struct pci *p = ctx;
	uint64_t doorbell = 0;
	uint32_t enabled = 0;
	int rc;

	if (where->index || queue >= FPH_QUEUE_COUNT)
		return -EINVAL;
	rc = select_queue(p, queue);
	if (rc == 0)
		rc = check_queue(p, where);
	if (rc == 0)
		rc = find_doorbell(p, &doorbell);
	if (rc == 0)
		rc = place(p, where);
	if (rc == 0)
		rc = rd16(p, COMMON_QUEUE_ENABLE, &enabled);
	if (rc == 0 && enabled != 1)
		rc = -EPROTO;
	if (rc == 0)
		p->doorbell[queue] = doorbell;
	return rc;
}

/* M-9: not for ever. */
static int wait_for_reset(struct pci *p)
{
	for (uint32_t i = 0; i < p->tries; i++) {
		uint32_t resetting = 0;
		int rc = rd16(p, COMMON_QUEUE_RESET, &resetting);

		if (rc < 0 || !resetting)
			return rc;
		wait(p);
	}
	return -EBUSY;
}

static int bus_vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	struct pci *p = ctx;
	int rc;

	*index = 0;
	if (!p->ring_reset) /* PC-10: there is no other way */
		return -EOPNOTSUPP;
	rc = select_queue(p, queue);
	if (rc == 0)
		rc = wr16(p, COMMON_QUEUE_RESET, 1);
	return rc == 0 ? wait_for_reset(p) : rc;
}

/* N-1, PC-11: 16 bits. */
static int bus_notify(void *ctx, uint16_t queue)
{
	struct pci *p = ctx;

	if (queue >= FPH_QUEUE_COUNT || p->doorbell[queue] == NO_DOORBELL)
		return -EPROTO;
	return wr(p, &p->notify, (uint32_t)p->doorbell[queue], 2, queue);
}

/* N-1, PC-11: 32 bits, for which there is room.  PC-2, PC-4 */
static int bus_notify_data(void *ctx, uint16_t queue, uint16_t next)
{
	struct pci *p = ctx;
	uint64_t at;

	if (queue >= FPH_QUEUE_COUNT || p->doorbell[queue] == NO_DOORBELL)
		return -EPROTO;
	at = p->doorbell[queue];
	if (at % 4 || p->notify.length < 4 || at > p->notify.length - 4)
		return -EPROTO;
	return wr(p, &p->notify, (uint32_t)at, 4, queue | (uint32_t)next << 16);
}

/* ------------------------------------------------------------ interrupts */

/* PC-6: reading it acknowledges. */
static int bus_take_irq(void *ctx, uint32_t *irq)
{
	struct pci *p = ctx;
	uint32_t bits = p->irq;
	int rc = p->vectors ? 0 : rd(p, &p->isr, 0, 1, &bits);

	if (rc < 0)
		return rc;
	*irq = bits & (FPH_IRQ_QUEUE | FPH_IRQ_CONFIG);
	p->irq = 0;
	return 0;
}

/* PC-11: one that is shared may mean both. */
void fph_pci_driver_fired(struct fph_pci_driver *pci, uint16_t vector)
{
	struct pci *p = (struct pci *)(void *)pci;

	if (vector == 0)
		p->irq |= FPH_IRQ_CONFIG;
	if (vector == p->vectors - 1)
		p->irq |= FPH_IRQ_QUEUE;
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

struct fph_bus fph_pci_driver_bus(struct fph_pci_driver *pci)
{
	return (struct fph_bus){&bus_ops, pci};
}

/* ------------------------------------------------------------ life */

uint32_t fph_pci_driver_msix(const struct fph_pci_driver *pci)
{
	return ((const struct pci *)(const void *)pci)->msix;
}

static int switch_on(struct pci *p)
{
	uint32_t command = 0;
	int rc = p->config_read(p->ctx, PCI_COMMAND, 2, &command);

	if (rc < 0)
		return rc;
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	return p->config_write(p->ctx, PCI_COMMAND, 2, command & 0xffff);
}

int fph_pci_driver_init(struct fph_pci_driver *pci, const struct fph_pci_driver_opts *opts)
{
	struct fph_pci_driver_opts o;
	struct pci *p = (struct pci *)(void *)pci;
	int rc = fph_copy_opts(&o, sizeof(o), opts, opts->size);

	if (rc < 0)
		return rc;
	if (!o.config_read || !o.config_write || !o.bar_read || !o.bar_write || o.vectors > 2)
		return -EINVAL;
	memset(pci, 0, sizeof(*pci));
	p->config_read = o.config_read;
	p->config_write = o.config_write;
	p->bar_read = o.bar_read;
	p->bar_write = o.bar_write;
	p->pause = o.pause;
	p->ctx = o.ctx;
	p->vectors = o.vectors;
	p->tries = o.tries ? o.tries : DEFAULT_TRIES;
	forget(p);
	rc = fph_pci_find(p, o.bar_sizes);
	return rc == 0 ? switch_on(p) : rc;
}
