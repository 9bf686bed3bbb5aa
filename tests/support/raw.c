/* SPDX-License-Identifier: MIT */
#include "support/raw.h"
#include <criterion/criterion.h>
#include <string.h>

/* ------------------------------------------------------------ a ring, by address */

static uint64_t avail_entry(const struct raw_vq *vq, uint16_t n)
{
	return vq->place.driver + 4 + UINT64_C(2) * (n & (vq->place.size - 1u));
}

static uint64_t used_entry(const struct raw_vq *vq, uint16_t n)
{
	return vq->place.device + 4 + UINT64_C(8) * (n & (vq->place.size - 1u));
}

void raw_desc(struct raw_vq *vq, uint16_t i, uint64_t gpa, uint32_t len, unsigned flags,
	      uint16_t next)
{
	uint64_t at = vq->place.desc + UINT64_C(16) * i;

	ram_st64(vq->ram, at, gpa);
	ram_st32(vq->ram, at + 8, len);
	ram_st16(vq->ram, at + 12, (uint16_t)flags);
	ram_st16(vq->ram, at + 14, next);
}

struct raw_desc raw_read_desc(const struct raw_vq *vq, uint16_t i)
{
	uint64_t at = vq->place.desc + UINT64_C(16) * i;

	return (struct raw_desc){ ram_ld64(vq->ram, at), ram_ld32(vq->ram, at + 8),
				  ram_ld16(vq->ram, at + 12), ram_ld16(vq->ram, at + 14) };
}

void raw_push(struct raw_vq *vq, uint16_t head)
{
	ram_st16(vq->ram, avail_entry(vq, vq->avail++), head);
}

void raw_publish(struct raw_vq *vq)
{
	raw_avail_idx(vq, vq->avail);
}

void raw_avail_idx(struct raw_vq *vq, uint16_t idx)
{
	ram_st16(vq->ram, vq->place.driver + 2, idx);
}

void raw_avail_flags(struct raw_vq *vq, uint16_t flags)
{
	ram_st16(vq->ram, vq->place.driver, flags);
}

uint16_t raw_read_avail_idx(const struct raw_vq *vq)
{
	return ram_ld16(vq->ram, vq->place.driver + 2);
}

uint16_t raw_read_avail_flags(const struct raw_vq *vq)
{
	return ram_ld16(vq->ram, vq->place.driver);
}

uint16_t raw_used_idx(const struct raw_vq *vq)
{
	return ram_ld16(vq->ram, vq->place.device + 2);
}

uint16_t raw_used_flags(const struct raw_vq *vq)
{
	return ram_ld16(vq->ram, vq->place.device);
}

uint32_t raw_used_id(const struct raw_vq *vq, uint16_t n)
{
	return ram_ld32(vq->ram, used_entry(vq, n));
}

uint32_t raw_used_len(const struct raw_vq *vq, uint16_t n)
{
	return ram_ld32(vq->ram, used_entry(vq, n) + 4);
}

/* ------------------------------------------------------------ driver */

#define BUS(d, verb, ...) ((d)->bus.ops->verb((d)->bus.ctx, __VA_ARGS__))

void raw_driver_init(struct raw_driver *d, struct ram *ram, struct fph_bus bus)
{
	memset(d, 0, sizeof(*d));
	d->ram = ram;
	d->bus = bus;
	d->hint = &d->vq[FPH_QUEUE_HINT];
}

int raw_negotiate(struct raw_driver *d, uint64_t accept)
{
	uint8_t status = 0;
	int rc = raw_set_status(d, 0);

	d->accepted = accept;
	if (rc == 0)
		rc = raw_set_status(d, status |= FPH_STATUS_ACKNOWLEDGE);
	if (rc == 0)
		rc = raw_set_status(d, status |= FPH_STATUS_DRIVER);
	if (rc == 0)
		rc = BUS(d, accept, accept);
	if (rc == 0)
		rc = raw_set_status(d, status |= FPH_STATUS_FEATURES_OK);
	return rc;
}

void raw_lay_out(struct raw_driver *d, enum fph_queue q, uint16_t index, uint16_t size)
{
	struct raw_vq *vq = &d->vq[q];
	uint64_t desc = RAW_RING_AT(q);
	uint64_t avail = desc + UINT64_C(16) * size;
	uint64_t used = (avail + 6 + UINT64_C(2) * size + 3) & ~UINT64_C(3);
	uint64_t end = used + 6 + UINT64_C(8) * size;

	cr_assert_leq(end, RAW_MESSAGE_AT(q), "the test's ring is too large for its place");
	memset(ram_at(d->ram, desc, end - desc), 0, (size_t)(end - desc));
	*vq = (struct raw_vq){ .ram = d->ram, .index = index };
	vq->place = (struct fph_vq_place){ desc, avail, used, size, 0 };
}

int raw_enable(struct raw_driver *d, enum fph_queue q)
{
	return BUS(d, vq_enable, d->vq[q].index, &d->vq[q].place);
}

int raw_driver_ok(struct raw_driver *d)
{
	return raw_set_status(d, FPH_STATUS_ACKNOWLEDGE | FPH_STATUS_DRIVER |
					 FPH_STATUS_FEATURES_OK | FPH_STATUS_DRIVER_OK);
}

void raw_up(struct raw_driver *d, uint64_t accept)
{
	static const uint64_t needs[] = {
		[FPH_QUEUE_STATS] = FPH_F_STATS_VQ,
		[FPH_QUEUE_HINT] = FPH_F_FREE_PAGE_HINT,
		[FPH_QUEUE_REPORT] = FPH_F_PAGE_REPORTING,
	};
	uint16_t index = 0;

	cr_assert_eq(raw_negotiate(d, accept), 0);
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++) {
		if (needs[q] & ~accept)
			continue;
		raw_lay_out(d, (enum fph_queue)q, index++, RAW_RING_SIZE);
		cr_assert_eq(raw_enable(d, (enum fph_queue)q), 0);
	}
	cr_assert_eq(raw_driver_ok(d), 0);
}

uint64_t raw_message(struct raw_driver *d, enum fph_queue q, uint16_t i, const void *bytes,
		     uint32_t len)
{
	uint64_t at = RAW_MESSAGE_AT(q) + UINT64_C(256) * i;

	memcpy(ram_at(d->ram, at, len), bytes, len);
	return at;
}

void raw_command(struct raw_driver *d, uint16_t i, uint32_t id)
{
	unsigned char bytes[4] = { (unsigned char)id, (unsigned char)(id >> 8),
				   (unsigned char)(id >> 16), (unsigned char)(id >> 24) };

	raw_desc(d->hint, i, raw_message(d, FPH_QUEUE_HINT, i, bytes, 4), 4, 0, 0);
	raw_push(d->hint, i);
	raw_publish(d->hint);
}

void raw_hint(struct raw_driver *d, uint16_t i, uint64_t gpa, uint32_t len)
{
	raw_desc(d->hint, i, gpa, len, RAW_WRITE, 0);
	raw_push(d->hint, i);
	raw_publish(d->hint);
}

int raw_kick(struct raw_driver *d, enum fph_queue q)
{
	return BUS(d, notify, d->vq[q].index);
}

uint8_t raw_status(struct raw_driver *d)
{
	uint8_t status = 0xee;

	cr_assert_eq(BUS(d, status, &status), 0);
	return status;
}

int raw_set_status(struct raw_driver *d, uint8_t status)
{
	return BUS(d, set_status, status);
}

uint32_t raw_config32(struct raw_driver *d, uint32_t offset)
{
	unsigned char b[4];

	cr_assert_eq(BUS(d, config, offset, b, 4), 0);
	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

int raw_set_config32(struct raw_driver *d, uint32_t offset, uint32_t v)
{
	unsigned char b[4] = { (unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16),
			       (unsigned char)(v >> 24) };

	return BUS(d, set_config, offset, b, 4);
}

uint32_t raw_take_irq(struct raw_driver *d)
{
	uint32_t irq = 0xdead;

	cr_assert_eq(BUS(d, take_irq, &irq), 0);
	return irq;
}

/* ------------------------------------------------------------ device */

#define BEFORE(d, verb)                                                                            \
	do {                                                                                       \
		int rc_ = (d)->before ? (d)->before((d), verb) : 0;                                \
		if (rc_ < 0)                                                                       \
			return rc_;                                                                \
	} while (0)

static int dev_features(void *ctx, uint64_t *offered)
{
	struct raw_device *d = ctx;

	BEFORE(d, "features");
	*offered = d->offered;
	return 0;
}

static int dev_accept(void *ctx, uint64_t accepted)
{
	struct raw_device *d = ctx;

	BEFORE(d, "accept");
	d->accepted = accepted;
	return 0;
}

static int dev_status(void *ctx, uint8_t *status)
{
	struct raw_device *d = ctx;

	d->status_reads++;
	BEFORE(d, "status");
	*status = d->status;
	return 0;
}

static int dev_set_status(void *ctx, uint8_t status)
{
	struct raw_device *d = ctx;

	BEFORE(d, "set_status");
	if (status) {
		d->status = status & (uint8_t)~d->refuse;
		return 0;
	}
	d->resets++;
	if (d->ignore_reset)
		return 0;
	d->status = 0;
	memset(d->vq, 0, sizeof(d->vq));
	return 0;
}

static int dev_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct raw_device *d = ctx;
	unsigned char *to = buf;

	d->config_reads++;
	BEFORE(d, "config");
	for (uint32_t i = 0; i < len; i++)
		to[i] = offset < d->config_len && i < d->config_len - offset ?
				d->config[offset + i] :
				0xff;
	return 0;
}

static int dev_set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct raw_device *d = ctx;
	const unsigned char *from = buf;

	BEFORE(d, "set_config");
	for (uint32_t i = 0; i < len; i++)
		if (offset + i < d->config_len)
			d->config[offset + i] = from[i];
	return 0;
}

static int dev_vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	struct raw_device *d = ctx;

	BEFORE(d, "vq_max");
	*max = queue < 8 ? d->vq_max[queue] : 0;
	return 0;
}

static int dev_vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	struct raw_device *d = ctx;

	BEFORE(d, "vq_enable");
	cr_assert_lt(queue, 8);
	d->enables++;
	d->vq[queue] = (struct raw_vq){ .ram = d->ram, .index = queue, .place = *place };
	return 0;
}

static int dev_vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	struct raw_device *d = ctx;

	BEFORE(d, "vq_disable");
	cr_assert_lt(queue, 8);
	*index = d->vq[queue].popped;
	memset(&d->vq[queue], 0, sizeof(d->vq[queue]));
	return 0;
}

static int dev_notify(void *ctx, uint16_t queue)
{
	struct raw_device *d = ctx;

	cr_assert_lt(queue, 8);
	d->kicks[queue]++;
	BEFORE(d, "notify");
	return 0;
}

static int dev_notify_data(void *ctx, uint16_t queue, uint16_t next)
{
	struct raw_device *d = ctx;

	cr_assert_lt(queue, 8);
	d->next[queue] = next;
	d->data_kicks[queue]++;
	return dev_notify(ctx, queue);
}

static int dev_take_irq(void *ctx, uint32_t *irq)
{
	struct raw_device *d = ctx;

	BEFORE(d, "take_irq");
	*irq = d->irq;
	d->irq = 0;
	return 0;
}

static const struct fph_bus_ops ops = {
	.size = sizeof(ops),
	.features = dev_features,
	.accept = dev_accept,
	.status = dev_status,
	.set_status = dev_set_status,
	.config = dev_config,
	.set_config = dev_set_config,
	.vq_max = dev_vq_max,
	.vq_enable = dev_vq_enable,
	.vq_disable = dev_vq_disable,
	.notify = dev_notify,
	.take_irq = dev_take_irq,
	.notify_data = dev_notify_data,
};

void raw_device_init(struct raw_device *d, struct ram *ram)
{
	memset(d, 0, sizeof(*d));
	d->ram = ram;
	d->offered = RAW_FEATURES;
	d->config_len = 12;
	for (unsigned q = 0; q < 4; q++)
		d->vq_max[q] = 256;
}

struct fph_bus raw_device_bus(struct raw_device *d)
{
	return (struct fph_bus){ &ops, d };
}

void raw_show(struct raw_device *d, uint32_t field, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		d->config[field + i] = (unsigned char)(value >> (8 * i));
	d->irq |= FPH_IRQ_CONFIG;
}

bool raw_pop(struct raw_device *d, uint16_t index, uint16_t *head, struct raw_desc *desc)
{
	struct raw_vq *vq = &d->vq[index];

	if (vq->popped == raw_read_avail_idx(vq))
		return false;
	*head = ram_ld16(vq->ram, avail_entry(vq, vq->popped++));
	*desc = raw_read_desc(vq, *head);
	return true;
}

void raw_use(struct raw_device *d, uint16_t index, uint32_t id, uint32_t len)
{
	struct raw_vq *vq = &d->vq[index];
	uint64_t at = used_entry(vq, vq->used++);

	ram_st32(vq->ram, at, id);
	ram_st32(vq->ram, at + 4, len);
}

void raw_show_used(struct raw_device *d, uint16_t index)
{
	raw_store_used_idx(d, index, d->vq[index].used);
	d->irq |= FPH_IRQ_QUEUE | FPH_IRQ_VQ(index);
}

void raw_store_used_idx(struct raw_device *d, uint16_t index, uint16_t idx)
{
	ram_st16(d->vq[index].ram, d->vq[index].place.device + 2, idx);
}

void raw_store_used_flags(struct raw_device *d, uint16_t index, uint16_t flags)
{
	ram_st16(d->vq[index].ram, d->vq[index].place.device, flags);
}
