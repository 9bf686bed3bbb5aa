/* SPDX-License-Identifier: MIT */
#include "device_priv.h"
#include "err.h"
#include "shm.h"

/*
 * The balloon's other queues.  A stock driver expects them to be served, whatever
 * the embedder makes of them.
 */

/* What one chain may make us do, whatever lengths it claims. */
#define PFNS_A_CHAIN  4096u
#define STATS_A_CHAIN 64u

/* Entries of a fixed size, gathered from buffers that may split them anywhere (V-2). */
struct gather {
	enum fph_queue queue;
	uint32_t left; /* entries that still count */
	uint8_t size;  /* of an entry */
	uint8_t have;
	unsigned char entry[FPH_STAT_BYTES];
	struct fph_range run; /* page numbers in a row, not yet handed on */
};

static uint64_t *counter(struct device *d, enum fph_queue queue)
{
	if (queue == FPH_QUEUE_INFLATE)
		return &d->total.inflated;
	return queue == FPH_QUEUE_DEFLATE ? &d->total.deflated : &d->total.reported;
}

/*
 * A queue may stand there although its feature was not accepted (QEMU's layout): its
 * buffers go back, and mean nothing.
 */
static bool agreed(const struct device *d, enum fph_queue queue)
{
	return !(fph_device_feature_of(queue) & ~d->accepted);
}

/* Hand pages on, region by region. */
static void pages(struct device *d, enum fph_queue queue, struct fph_range range)
{
	uint64_t left = range.len, served = 0;
	struct fph_range piece;
	int region;

	while (agreed(d, queue) &&
	       (region = fph_mem_piece(d->mem, &range, &piece)) >= 0) {
		if (d->mem->regions[region].flags & FPH_REGION_READONLY)
			continue;
		if (queue == FPH_QUEUE_REPORT)
			fph_cut_inward(&piece, d->page_shift);
		if (piece.len == 0)
			continue;
		served += piece.len;
		if (d->pages)
			d->pages(d->ctx, queue, piece);
	}
	*counter(d, queue) += served;
	d->total.balloon_dropped += left - served;
}

static void flush(struct device *d, struct gather *g)
{
	if (g->run.len)
		pages(d, g->queue, g->run);
	g->run.len = 0;
}

static void entry(struct device *d, struct gather *g)
{
	uint32_t low = fph_ld32_bytes(g->entry);
	uint64_t gpa = (uint64_t)low * FPH_BALLOON_PAGE;
	struct fph_stat stat;

	if (g->queue == FPH_QUEUE_STATS) {
		stat.tag = (uint16_t)low;
		stat.value = fph_ld32_bytes(g->entry + 2) |
			     (uint64_t)fph_ld32_bytes(g->entry + 6) << 32;
		if (d->stat && agreed(d, g->queue))
			d->stat(d->ctx, stat); /* BS-8, BS-9: any tag, any order */
		return;
	}
	if (g->run.len == 0 || gpa != g->run.gpa + g->run.len) {
		flush(d, g);
		g->run.gpa = gpa;
	}
	g->run.len += FPH_BALLOON_PAGE;
}

/* Returns 0, or -EPROTO with nothing recorded yet. */
static int readable(struct device *d, struct gather *g, const struct fph_vq_buf *buf)
{
	struct fph_range rest = { buf->gpa, buf->len }, piece;
	uint64_t expect = buf->gpa, unread = buf->len;

	while (rest.len && g->left) {
		const unsigned char *from;

		if (fph_mem_piece(d->mem, &rest, &piece) < 0 || piece.gpa != expect)
			return -EPROTO;
		from = fph_mem_at(d->mem, piece.gpa, piece.len);
		if (!from)
			return -EPROTO;
		expect = piece.gpa + piece.len;
		for (uint64_t i = 0; i < piece.len && g->left; i++) {
			fph_ld_bytes(&g->entry[g->have++], from + i, 1);
			unread--;
			if (g->have < g->size)
				continue;
			g->have = 0;
			g->left--;
			entry(d, g);
		}
	}
	if (g->queue != FPH_QUEUE_STATS)
		d->total.balloon_dropped += unread / 4 * FPH_BALLOON_PAGE; /* stats: A5-2 */
	return 0;
}

/*
 * Serve one chain.  Returns how many buffers it had, 0 (none available), or
 * -EPROTO with the device broken.
 */
static int chain(struct device *d, enum fph_queue queue)
{
	bool stats = queue == FPH_QUEUE_STATS;
	struct gather g = {
		.queue = queue,
		.left = stats ? STATS_A_CHAIN : PFNS_A_CHAIN,
		.size = stats ? FPH_STAT_BYTES : 4,
	};
	struct fph_fault fault = { 0 };
	struct fph_vq_buf buf;
	int n = 0;

	do {
		int rc = fph_vq_dev_next(&d->vq[queue], &buf, &fault);

		if (rc == 0)
			return 0;
		if (rc > 0 && buf.writable != (queue == FPH_QUEUE_REPORT)) {
			d->total.balloon_dropped += buf.len; /* the wrong way round */
		} else if (rc > 0 && buf.writable) {
			pages(d, queue, (struct fph_range){ buf.gpa, buf.len });
		} else if (rc > 0) {
			rc = readable(d, &g, &buf);
			fault.rule = FPH_RULE_BUFFER_MEMORY;
			fault.value = buf.gpa;
		}
		if (rc < 0)
			return fph_device_break(d, queue, &fault);
		n++;
	} while (!buf.last);
	flush(d, &g); /* BD-13, BD-14, BR-7: before the buffer is returned */
	return n;
}

/*
 * BS-1 to BS-3: the driver has one buffer, which the device keeps until it wants
 * fresh numbers.  Should a driver send a second, the first goes back.
 */
static void park(struct device *d)
{
	d->stats_parked = true;
	d->total.stats_buffers++;
	fph_device_return(d, FPH_QUEUE_STATS, true);
}

/* Ask for the next doorbell.  Returns how many chains came before that, or -EPROTO. */
static int listen(struct device *d, enum fph_queue queue)
{
	struct fph_fault fault = { 0 };
	int waiting;

	fph_vq_dev_doorbell(&d->vq[queue], true);
	waiting = fph_vq_dev_look(&d->vq[queue], &fault);
	return waiting < 0 ? fph_device_break(d, queue, &fault) : waiting;
}

void fph_balloon_serve(struct device *d, enum fph_queue queue)
{
	struct fph_vq_dev *vq = &d->vq[queue];
	/* An honest driver never has more buffers waiting than the ring has entries. */
	uint32_t budget = 2 * (uint32_t)vq->size;
	uint8_t bit = (uint8_t)(1u << queue);
	int n = 1;

	d->unserved &= (uint8_t)~bit;
	for (uint32_t did = 0; did < budget && n > 0; did += (uint32_t)n) {
		n = chain(d, queue);
		if (n > 0 && queue == FPH_QUEUE_STATS)
			park(d);
		if (n == 0)
			n = listen(d, queue);
		if (n < 0)
			return;
	}
	if (n > 0) {
		d->unserved |= bit;
		if (d->hints) /* nobody else will have the owner poll */
			d->hints(d->ctx);
	}
	if (queue != FPH_QUEUE_STATS)
		fph_device_return(d, queue, false);
}

void fph_device_look(struct device *d)
{
	for (unsigned q = 0; q < FPH_QUEUE_COUNT && device_runs(d); q++)
		if (q != FPH_QUEUE_HINT && d->vq[q].size)
			fph_balloon_serve(d, (enum fph_queue)q);
	fph_device_resume(d);
}

void fph_balloon_serve_rest(struct device *d)
{
	for (unsigned q = 0; q < FPH_QUEUE_COUNT && d->unserved; q++)
		if (d->unserved & (1u << q) && device_runs(d))
			fph_balloon_serve(d, (enum fph_queue)q);
}

int fph_device_ask_stats(struct fph_device *dev)
{
	struct device *d = device_of(dev);
	struct fph_vq_dev *vq = &d->vq[FPH_QUEUE_STATS];

	if (d->fault.rule)
		return -EPROTO;
	if (!device_runs(d) || !vq->size)
		return -ENOTCONN;
	if (!d->stats_parked)
		return -EAGAIN;
	d->stats_parked = false;
	fph_device_return(d, FPH_QUEUE_STATS, false);
	return 0;
}
