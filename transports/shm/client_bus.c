/* SPDX-License-Identifier: MIT */
#include "client.h"
#include "shm.h"
#include "unix/bell.h"
#include <errno.h>
#include <poll.h>
#include <string.h>

/* Looks at a word before the process sleeps: the server is at work on another processor. */
#define SPINS 200

static const struct shm_banks *banks(const struct fph_shm_client *c)
{
	return (const struct shm_banks *)(const void *)(c->pages + SHM_PAGE);
}

/* ------------------------------------------------------------ waits */

static int fail(struct fph_shm_client *c, int rc)
{
	fph_shm_client_leave(c, true);
	return rc;
}

/* Sleep until the server rings, its end closes, or for a moment at most. */
static int doze(struct fph_shm_client *c, int moment_ms)
{
	struct pollfd p[2] = { { .fd = c->ctl_ack, .events = POLLIN },
			       { .fd = c->sock, .events = POLLIN } };
	int left = fph_shm_left_ms(c->deadline_ms);

	if (left == 0) {
		fph_shm_client_because(c, 0, "the server did not answer a write within %u ms",
				       c->opts.timeout_ms);
		return fail(c, -ETIMEDOUT);
	}
	poll(p, 2, left < moment_ms ? left : moment_ms);
	if (p[0].revents)
		fph_bell_take(c->ctl_ack);
	if (p[1].revents) {
		fph_shm_client_because(c, 0, "the server left, or broke the protocol");
		return fail(c, -EIO);
	}
	return 0;
}

/* Returns 1 (all writes took effect), 0 (not yet), or -EPROTO. */
static int look_at_ack(struct fph_shm_client *c)
{
	uint32_t ack = fph_ld32(&banks(c)->ack_seq);

	if (c->prod - ack > c->prod - c->acked) {
		fph_shm_client_because(c, 0, "the server says that it carried out %u writes of %u",
				       ack, c->prod);
		return fail(c, -EPROTO);
	}
	c->acked = ack;
	return ack == c->prod;
}

/* One bell for all that was written, and wait until it took effect. */
static int flush(struct fph_shm_client *c)
{
	int rc = 0;

	fph_bell_ring(c->ctl_kick);
	for (unsigned i = 0; i < SPINS && rc == 0; i++)
		rc = look_at_ack(c);
	while (rc == 0) {
		rc = doze(c, INT32_MAX);
		if (rc == 0)
			rc = look_at_ack(c);
	}
	fph_full_barrier(); /* that it is done first, then what was done */
	return rc < 0 ? rc : 0;
}

/* ------------------------------------------------------------ writes */

static int push(struct fph_shm_client *c, uint32_t offset, uint32_t value)
{
	struct shm_write *entry;
	int rc = c->prod - c->acked < SHM_RING ? 0 : flush(c);

	if (rc < 0)
		return rc;
	entry = &c->driver->ring[c->prod % SHM_RING];
	fph_st32(&entry->seq, c->prod);
	fph_st32(&entry->offset, SHM_WRITE_WORD(offset, 4));
	fph_st64(&entry->value, value);
	fph_full_barrier(); /* the entry first, then its number */
	fph_st32(&c->driver->prod, ++c->prod);
	return 0;
}

static bool is_of_queue(uint32_t offset)
{
	return offset == FPH_MMIO_QUEUE_SIZE || offset == FPH_MMIO_QUEUE_READY ||
	       offset == FPH_MMIO_QUEUE_RESET ||
	       (offset >= FPH_MMIO_QUEUE_DESC_LOW && offset <= FPH_MMIO_QUEUE_DEVICE_HIGH);
}

/* What the driver reads back, or relies on, after the write. */
static bool must_take_effect(uint32_t offset)
{
	return offset == FPH_MMIO_STATUS || offset == FPH_MMIO_QUEUE_READY ||
	       offset == FPH_MMIO_QUEUE_RESET || offset >= FPH_MMIO_CONFIG;
}

/*
 * Store the acknowledgement, full barrier, look again: see fph_shm_interrupt() for the
 * other half.  What came in between may have had no bell of its own, so it gets one.
 */
static void acknowledge(struct fph_shm_client *c, uint32_t bits)
{
	bool more = false;

	if (bits & FPH_IRQ_QUEUE)
		for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
			fph_st32(&c->driver->used_ack[q], c->used_seen[q]);
	if (bits & FPH_IRQ_CONFIG)
		fph_st32(&c->driver->config_ack, c->config_seen);
	fph_full_barrier();
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		more |= fph_ld32(&banks(c)->used_seq[q]) != c->used_seen[q];
	more |= fph_ld32(&banks(c)->config_seq) != c->config_seen;
	if (more)
		fph_bell_ring(c->irq);
}

int fph_shm_client_write(void *ctx, uint32_t offset, uint32_t value)
{
	struct fph_shm_client *c = ctx;
	int rc = 0;

	if (c->phase != SHM_UP)
		return -EIO;
	switch (offset) {
	case FPH_MMIO_QUEUE_NOTIFY: /* N-1: a bell carries nothing else */
		if ((value & UINT16_MAX) < FPH_QUEUE_COUNT)
			fph_bell_ring(c->kick[value & UINT16_MAX]);
		return 0;
	case FPH_MMIO_INTERRUPT_ACK:
		acknowledge(c, value);
		return 0;
	case FPH_MMIO_DEVICE_FEATURES_SEL: /* all banks are shown at once */
		c->features_sel = value;
		return 0;
	case FPH_MMIO_QUEUE_SEL:
		c->queue_sel = value;
		return 0;
	default:
		break;
	}
	if (is_of_queue(offset) && c->queue_sel != c->queue_sel_sent) {
		rc = push(c, FPH_MMIO_QUEUE_SEL, c->queue_sel);
		c->queue_sel_sent = c->queue_sel;
	}
	if (rc == 0)
		rc = push(c, offset, value);
	if (rc == 0 && must_take_effect(offset))
		rc = flush(c);
	/* A reset forgets the selector. */
	if (offset == FPH_MMIO_STATUS && value == 0)
		c->queue_sel_sent = 0;
	return rc;
}

/* ------------------------------------------------------------ reads */

/* An even generation: the server is not in the middle of a change.  C-1 */
static int read_generation(struct fph_shm_client *c, uint32_t *value)
{
	uint32_t now;
	int rc = 0;

	fph_full_barrier(); /* what was read before this is read before it */
	now = fph_ld32(&banks(c)->generation);
	for (unsigned i = 0; (now & 1) && rc == 0; i++) {
		if (i >= SPINS)
			rc = doze(c, 1);
		if (rc == 0)
			now = fph_ld32(&banks(c)->generation);
	}
	fph_full_barrier();
	*value = now / 2;
	return rc;
}

static uint32_t read_queue_bank(const struct fph_shm_client *c, uint32_t offset)
{
	const struct shm_queue_bank *bank = &banks(c)->queue[c->queue_sel];

	if (c->queue_sel >= FPH_QUEUE_COUNT)
		return 0;
	if (offset == FPH_MMIO_QUEUE_SIZE_MAX)
		return fph_ld32(&bank->size_max);
	return fph_ld32(offset == FPH_MMIO_QUEUE_READY ? &bank->ready : &bank->reset);
}

static uint32_t read_interrupts(struct fph_shm_client *c)
{
	uint32_t irq = 0;

	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++) {
		c->used_seen[q] = fph_ld32(&banks(c)->used_seq[q]);
		if (c->used_seen[q] != fph_ld32(&c->driver->used_ack[q]))
			irq |= FPH_IRQ_QUEUE;
	}
	c->config_seen = fph_ld32(&banks(c)->config_seq);
	if (c->config_seen != fph_ld32(&c->driver->config_ack))
		irq |= FPH_IRQ_CONFIG;
	fph_full_barrier(); /* the number first, then what it announces */
	return irq;
}

int fph_shm_client_read(void *ctx, uint32_t offset, uint32_t *value)
{
	struct fph_shm_client *c = ctx;

	if (!c->pages)
		return -EIO;
	switch (offset) {
	case FPH_MMIO_GENERATION:
		return read_generation(c, value);
	case FPH_MMIO_DEVICE_FEATURES:
		*value = c->features_sel < 4 ? fph_ld32(&banks(c)->features[c->features_sel]) : 0;
		return 0;
	case FPH_MMIO_QUEUE_SIZE_MAX:
	case FPH_MMIO_QUEUE_READY:
	case FPH_MMIO_QUEUE_RESET:
		*value = read_queue_bank(c, offset);
		return 0;
	case FPH_MMIO_INTERRUPT_STATUS:
		*value = read_interrupts(c);
		return 0;
	default:
		*value = offset < FPH_MMIO_SIZE ? fph_ld32(c->pages + offset) : UINT32_MAX;
		return 0;
	}
}

int fph_shm_client_probe(struct fph_shm_client *c)
{
	struct fph_mmio_driver_opts o = FPH_MMIO_DRIVER_OPTS_INIT;
	int rc;

	o.read = fph_shm_client_read;
	o.write = fph_shm_client_write;
	o.ctx = c;
	c->prod = c->acked = 0;
	c->queue_sel = c->queue_sel_sent = c->features_sel = 0;
	rc = fph_mmio_driver_init(&c->mmio, &o);
	c->link.registers = fph_mmio_driver_bus(&c->mmio);
	return rc;
}

/* ------------------------------------------------------------ the bus */

/* Each verb has timeout_ms for itself, whatever it waits for. */
static bool link_begin(void *ctx)
{
	struct fph_shm_client *c = ctx;

	if (c->phase != SHM_UP)
		return false;
	c->deadline_ms = fph_shm_now_ms() + c->opts.timeout_ms;
	return true;
}

static int link_end(void *ctx, int rc)
{
	(void)ctx;
	return rc;
}

static bool link_is_over(void *ctx)
{
	struct fph_shm_client *c = ctx;

	fph_shm_client_settle(c);
	return c->phase == SHM_IDLE;
}

static const struct fph_link_ops link_ops = {
	.begin = link_begin,
	.end = link_end,
	.is_over = link_is_over,
};

struct fph_bus fph_shm_client_bus(struct fph_shm_client *c)
{
	c->link.ops = &link_ops;
	c->link.ctx = c;
	return fph_link_bus(&c->link);
}
