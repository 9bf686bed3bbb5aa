/* SPDX-License-Identifier: MIT */
#include "server.h"
#include "shm.h"
#include "unix/bell.h"
#include <errno.h>

static uint32_t reg(struct fph_shm_server *s, uint32_t offset)
{
	return (uint32_t)fph_mmio_device_read(&s->mmio, offset, 4);
}

static struct shm_banks *banks(const struct fph_shm_server *s)
{
	return (struct shm_banks *)(void *)(s->pages + SHM_PAGE);
}

/* ------------------------------------------------------------ what the pages show */

/*
 * A sequence lock with one writer.  Odd, barrier, the words, barrier, even: whoever saw
 * the same even number before and after reading saw one state.  C-1, C-4, M-2
 */
static void begin_change(struct fph_shm_server *s)
{
	fph_st32(&banks(s)->generation, ++s->generation);
	fph_full_barrier();
}

static void end_change(struct fph_shm_server *s)
{
	fph_st32(s->pages + FPH_MMIO_GENERATION, (s->generation + 1) / 2);
	fph_full_barrier();
	fph_st32(&banks(s)->generation, ++s->generation);
}

static uint32_t pending(const struct fph_shm_server *s)
{
	uint32_t irq = 0;

	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		if (fph_ld32(&s->driver->used_ack[q]) != s->used_seq[q])
			irq |= FPH_IRQ_QUEUE;
	if (fph_ld32(&s->driver->config_ack) != s->config_seq)
		irq |= FPH_IRQ_CONFIG;
	return irq;
}

/* What may change without a write by the client. */
static void show_config(struct fph_shm_server *s)
{
	fph_st32(s->pages + FPH_MMIO_STATUS, reg(s, FPH_MMIO_STATUS));
	for (uint32_t at = FPH_MMIO_CONFIG; at < FPH_MMIO_SIZE; at += 4)
		fph_st32(s->pages + at, reg(s, at));
}

static void show_queue(struct fph_shm_server *s, uint32_t q)
{
	struct shm_queue_bank *bank = &banks(s)->queue[q];

	fph_mmio_device_write(&s->mmio, FPH_MMIO_QUEUE_SEL, 4, q);
	fph_st32(&bank->size_max, reg(s, FPH_MMIO_QUEUE_SIZE_MAX));
	fph_st32(&bank->ready, reg(s, FPH_MMIO_QUEUE_READY));
	fph_st32(&bank->reset, reg(s, FPH_MMIO_QUEUE_RESET));
}

static void show_registers(struct fph_shm_server *s)
{
	const struct fph_mmio_register *r;

	for (uint32_t i = 0; (r = fph_mmio_register_at(i)) && r->offset < FPH_MMIO_CONFIG; i++)
		if ((r->access & FPH_MMIO_R) && r->offset != FPH_MMIO_GENERATION)
			fph_st32(s->pages + r->offset, reg(s, r->offset));
	fph_st32(s->pages + FPH_MMIO_INTERRUPT_STATUS, pending(s));
}

void fph_shm_publish(struct fph_shm_server *s)
{
	uint64_t offered = 0;

	begin_change(s);
	show_registers(s);
	show_config(s);
	s->bus.ops->features(s->bus.ctx, &offered);
	fph_st32(&banks(s)->features[0], (uint32_t)offered);
	fph_st32(&banks(s)->features[1], (uint32_t)(offered >> 32));
	for (uint32_t q = 0; q < FPH_QUEUE_COUNT; q++)
		show_queue(s, q);
	fph_mmio_device_write(&s->mmio, FPH_MMIO_QUEUE_SEL, 4, s->queue_sel);
	end_change(s);
}

/* ------------------------------------------------------------ interrupts */

/*
 * Store the number, full barrier, read the acknowledgement; the client stores the
 * acknowledgement, full barrier, reads the number again.  So either we see that it took
 * all that went before, and ring; or it sees this one, and needs no bell.
 */
static bool count(uint32_t *shown, uint32_t *seq, const uint32_t *ack)
{
	uint32_t before = (*seq)++;

	fph_st32(shown, *seq);
	fph_full_barrier();
	return fph_ld32(ack) == before;
}

void fph_shm_interrupt(struct fph_shm_server *s)
{
	uint32_t irq = 0;
	bool ring = false;

	s->bus.ops->take_irq(s->bus.ctx, &irq);
	if (s->conn < 0 || !irq)
		return;
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		if (irq & FPH_IRQ_VQ(q))
			ring |= count(&banks(s)->used_seq[q], &s->used_seq[q],
				      &s->driver->used_ack[q]);
	if (irq & FPH_IRQ_CONFIG) {
		/* C-6: what changed is there before its interrupt. */
		begin_change(s);
		show_config(s);
		end_change(s);
		ring |= count(&banks(s)->config_seq, &s->config_seq, &s->driver->config_ack);
	}
	fph_st32(s->pages + FPH_MMIO_INTERRUPT_STATUS, pending(s));
	if (ring)
		fph_bell_ring(s->irq);
}

/* M-1: a reset takes pending interrupts back, whatever the client says it has taken. */
static void forget_interrupts(struct fph_shm_server *s)
{
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++) {
		s->used_seq[q] = fph_ld32(&s->driver->used_ack[q]);
		fph_st32(&banks(s)->used_seq[q], s->used_seq[q]);
	}
	s->config_seq = fph_ld32(&s->driver->config_ack);
	fph_st32(&banks(s)->config_seq, s->config_seq);
}

/* ------------------------------------------------------------ the write ring */

/* An entry, in private memory; the client may change the page at any time. */
struct write {
	uint32_t offset;
	uint32_t width;
	uint64_t value;
};

/*
 * M-4.  Doorbells and acknowledgements do not come this way, and there are no shared
 * memory regions to select (T-2, M-9).
 */
static bool is_writable(const struct write *w)
{
	const struct fph_mmio_register *r;

	if (w->offset >= FPH_MMIO_CONFIG)
		return w->offset < FPH_MMIO_SIZE && w->offset % w->width == 0;
	r = fph_mmio_register(w->offset);
	return r && (r->access & FPH_MMIO_W) && w->width == r->width &&
	       w->offset != FPH_MMIO_QUEUE_NOTIFY && w->offset != FPH_MMIO_INTERRUPT_ACK &&
	       w->offset != FPH_MMIO_SHM_SEL;
}

static int load_write(struct fph_shm_server *s, struct write *w)
{
	const struct shm_write *entry = &s->driver->ring[s->cons % SHM_RING];
	uint32_t seq = fph_ld32(&entry->seq), word = fph_ld32(&entry->offset);

	w->value = fph_ld64(&entry->value);
	w->offset = word & 0xffff;
	w->width = word >> 16 & 0xff;
	if (seq != s->cons)
		return fph_shm_because(s, -EPROTO, "entry %u of the write ring says that it is "
				       "entry %u", s->cons, seq);
	if (word >> 24)
		return fph_shm_because(s, -EPROTO, "entry %u: its reserved byte is 0x%x", seq,
				       word >> 24);
	if (w->width != 1 && w->width != 2 && w->width != 4)
		return fph_shm_because(s, -EPROTO, "entry %u: a write of %u bytes", seq, w->width);
	if (!is_writable(w))
		return fph_shm_because(s, -EPROTO, "entry %u: no write of %u bytes at 0x%x", seq,
				       w->width, w->offset);
	if (w->value >> 8 * w->width)
		return fph_shm_because(s, -EPROTO, "entry %u: 0x%llx in %u bytes", seq,
				       (unsigned long long)w->value, w->width);
	return 0;
}

static void apply(struct fph_shm_server *s, const struct write *w)
{
	/*
	 * The embedder acts on hints outside of the loop, so the batch in hand is done with.
	 * What would wait for it would be shown to nobody when it comes: SUSPEND, too.
	 */
	if ((w->offset == FPH_MMIO_QUEUE_READY && !w->value) ||
	    w->offset == FPH_MMIO_QUEUE_RESET || w->offset == FPH_MMIO_STATUS)
		fph_device_ack(&s->device);
	fph_mmio_device_write(&s->mmio, w->offset, w->width, w->value);
	if (w->offset == FPH_MMIO_QUEUE_SEL)
		s->queue_sel = (uint32_t)w->value;
}

static void reset(struct fph_shm_server *s)
{
	fph_shm_reset_device(s);
	s->queue_sel = 0;
	forget_interrupts(s);
	/* The embedder lets go of what is gone before the client hears that it is. */
	if (s->opts.changed)
		s->opts.changed(s->opts.device.ctx);
}

static int carry_out(struct fph_shm_server *s, uint32_t upto)
{
	while (s->cons != upto) {
		struct write w;
		int rc = load_write(s, &w);

		if (rc < 0)
			return rc;
		s->cons++;
		if (w.offset != FPH_MMIO_STATUS || w.value) {
			apply(s, &w);
			continue;
		}
		if (s->cons != upto)
			return fph_shm_because(s, -EPROTO, "entry %u: a reset is not the last of "
					       "its batch", s->cons - 1);
		reset(s);
	}
	return 0;
}

int fph_shm_serve_writes(struct fph_shm_server *s)
{
	uint32_t prod = fph_ld32(&s->driver->prod);
	int rc;

	if (prod == s->cons)
		return 0;
	if (prod - s->cons > SHM_RING)
		return fph_shm_because(s, -EPROTO, "%u entries in a write ring of %u",
				       prod - s->cons, SHM_RING);
	fph_full_barrier(); /* the number first, then what it stands for */
	rc = carry_out(s, prod);
	if (rc < 0)
		return rc;
	fph_shm_publish(s);
	fph_full_barrier(); /* what they did first, then that it is done */
	fph_st32(&banks(s)->ack_seq, s->cons);
	fph_bell_ring(s->ctl_ack);
	return 0;
}
