/* SPDX-License-Identifier: MIT */
#include "device_priv.h"
#include "err.h"
#include "shm.h"
#include "vq_dev.h"
#include <string.h>

/* ------------------------------------------------------------ the batch in hand */

void fph_device_let_go(struct device *d)
{
	struct fph_vq_dev *vq = &d->vq[FPH_QUEUE_HINT];

	d->in_hand = false;
	if (d->resetting)
		fph_device_reset(d);
	else if (vq->size && !d->fault.rule && !(d->status & FPH_STATUS_SUSPEND))
		/* A chain whose last hint is only partly handed out is still in use. */
		fph_device_return(d, FPH_QUEUE_HINT, d->rest.len && !vq->in_chain);
	if (d->suspending)
		fph_device_suspend(d);
}

/*
 * Switch doorbells on.  Returns how many chains came before the driver could know
 * (barrier C): 0, or they are switched off again; or -EPROTO.
 */
static int listen(struct device *d)
{
	struct fph_vq_dev *vq = &d->vq[FPH_QUEUE_HINT];
	struct fph_fault fault = { 0 };
	int waiting;

	fph_vq_dev_doorbell(vq, true);
	waiting = fph_vq_dev_look(vq, &fault);
	if (waiting < 0)
		return fph_device_break(d, FPH_QUEUE_HINT, &fault);
	if (waiting > 0)
		fph_vq_dev_doorbell(vq, false);
	return waiting;
}

/* The driver need not ring while doorbells are off, so what came then is told of here. */
int fph_device_resume(struct device *d)
{
	struct fph_vq_dev *vq = &d->vq[FPH_QUEUE_HINT];
	struct fph_fault fault = { 0 };
	int waiting;

	if (!device_runs(d) || !vq->size)
		return 0;
	fph_vq_dev_doorbell(vq, true);
	waiting = fph_vq_dev_look(vq, &fault);
	if (waiting < 0)
		return fph_device_break(d, FPH_QUEUE_HINT, &fault);
	if ((vq->in_chain || d->rest.len || waiting > 0) && d->hints)
		d->hints(d->ctx);
	return 0;
}

int fph_device_ack(struct fph_device *dev)
{
	struct device *d = device_of(dev);

	fph_device_let_go(d);
	fph_device_resume(d);
	return 0;
}

/* ------------------------------------------------------------ rounds */

/* What every call of the embedder's on the round answers if it cannot. */
static int ready(const struct device *d)
{
	if (d->fault.rule)
		return -EPROTO;
	return d->state == FPH_DEVICE_DOWN ? -ENOTCONN : 0;
}

int fph_device_start(struct fph_device *dev)
{
	struct device *d = device_of(dev);
	struct fph_vq_dev *vq = &d->vq[FPH_QUEUE_HINT];
	struct fph_fault fault = { 0 };
	int rc;

	d->rest.len = 0;
	fph_device_let_go(d);
	rc = ready(d);
	if (rc < 0)
		return rc;
	if (!vq->size || (d->status & FPH_STATUS_SUSPEND))
		return -ENOTCONN;

	/*
	 * The fence (S3): what stands in the ring before the id is shown was put
	 * there under another one, whatever it says.
	 */
	if (fph_vq_dev_fence(vq, &fault) < 0)
		return fph_device_break(d, FPH_QUEUE_HINT, &fault);
	d->foreign = false;

	d->before = d->total;
	d->total.rounds++;
	fph_device_step(d, FPH_DEVICE_EV_START);
	return fph_device_resume(d);
}

static int end_round(struct device *d, enum fph_device_event event)
{
	d->rest.len = 0;
	fph_device_let_go(d);
	fph_device_step(d, event);
	fph_device_resume(d);
	return ready(d);
}

int fph_device_stop(struct fph_device *dev)
{
	return end_round(device_of(dev), FPH_DEVICE_EV_STOP);
}

int fph_device_done(struct fph_device *dev)
{
	return end_round(device_of(dev), FPH_DEVICE_EV_FINISH);
}

bool fph_device_round_over(const struct fph_device *dev)
{
	unsigned state = const_device_of(dev)->state;

	return state != FPH_DEVICE_REQUESTED && state != FPH_DEVICE_HINTING;
}

/* ------------------------------------------------------------ free_page_vq */

static int break_at(struct device *d, enum fph_rule rule, const struct fph_vq_buf *buf)
{
	struct fph_fault fault = { (uint16_t)rule, 0, d->vq[FPH_QUEUE_HINT].next, buf->gpa };

	return fph_device_break(d, FPH_QUEUE_HINT, &fault);
}

static void command(struct device *d, bool stale)
{
	uint32_t word = fph_ld32_bytes(d->word);
	enum fph_device_event event = FPH_DEVICE_EV_CMD_OTHER;

	if (stale) {
		d->total.stale++;
		return;
	}
	if (word == FPH_COMMAND_STOP)
		event = FPH_DEVICE_EV_CMD_STOP;
	else if (word == d->id)
		event = FPH_DEVICE_EV_CMD_OURS;

	d->foreign = event == FPH_DEVICE_EV_CMD_OTHER;
	if (fph_device_step(d, event) != FPH_DEVICE_drop)
		d->total.commands++;
	else if (event == FPH_DEVICE_EV_CMD_STOP)
		d->total.unasked++;
	else
		d->total.foreign_id++;
}

/*
 * A device-readable buffer: part of a command, which may be split in any way
 * (V-2) but is 4 bytes in all (BH-1).  Returns 0 or -EPROTO.
 */
static int readable(struct device *d, const struct fph_vq_buf *buf)
{
	const unsigned char *from;

	if (buf->len > sizeof(d->word) - d->word_len)
		return break_at(d, FPH_RULE_COMMAND_SIZE, buf);
	from = fph_mem_at(d->mem, buf->gpa, buf->len);
	if (!from)
		return break_at(d, FPH_RULE_BUFFER_MEMORY, buf);
	/* One load where that is possible, so that a command is never torn. */
	if (buf->len == 4 && !((uintptr_t)from & 3))
		fph_st32_bytes(d->word, fph_ld32(from));
	else
		fph_ld_bytes(d->word + d->word_len, from, buf->len);
	d->word_len = (uint8_t)(d->word_len + buf->len);
	if (d->word_len == sizeof(d->word))
		command(d, buf->stale);
	else if (buf->last)
		return break_at(d, FPH_RULE_COMMAND_SIZE, buf);
	return 0;
}

/* A device-writable buffer: a hint.  Returns 0 or -EPROTO. */
static int writable(struct device *d, const struct fph_vq_buf *buf)
{
	if (d->word_len > 0 && d->word_len < sizeof(d->word))
		return break_at(d, FPH_RULE_COMMAND_SIZE, buf);
	if (buf->stale) {
		d->total.stale++; /* BH-13 */
	} else if (fph_device_step(d, FPH_DEVICE_EV_HINT) == FPH_DEVICE_take) {
		d->rest.gpa = buf->gpa;
		d->rest.len = buf->len;
		d->rest_usable = false;
	} else if (d->foreign) {
		d->total.foreign_id++; /* BH-13 */
	} else {
		d->total.unasked++;
	}
	return 0;
}

/* Take one descriptor off the ring.  Returns 1, 0 (none) or -EPROTO. */
static int take(struct device *d)
{
	struct fph_vq_buf buf;
	struct fph_fault fault = { 0 };
	int rc = fph_vq_dev_next(&d->vq[FPH_QUEUE_HINT], &buf, &fault);

	if (rc < 0)
		return fph_device_break(d, FPH_QUEUE_HINT, &fault);
	if (rc == 0)
		return 0;
	if (buf.first) {
		d->total.chains++;
		d->word_len = 0;
	}
	rc = buf.writable ? writable(d, &buf) : readable(d, &buf);
	return rc < 0 ? rc : 1;
}

/* Pages of a ring that runs are in use, whatever the driver says of them.  Row 69 */
static bool holds_ring(const struct device *d, const struct fph_range *piece)
{
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		if (fph_vq_dev_covers(&d->vq[q], piece))
			return true;
	return false;
}

/* The next hints are mostly near: in the same region, clear of the rings as this one is. */
static void open_window(struct device *d, const struct fph_region *region, uint64_t gpa)
{
	struct fph_range free = { region->gpa, region->len };

	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		fph_vq_dev_spare(&d->vq[q], gpa, &free);
	d->window.gpa = free.gpa;
	d->window.len = free.len;
	d->window.mask = (UINT64_C(1) << d->page_shift) - 1;
}

/* Take hints in bulk, as long as nothing about them needs a thought; max is at most INT32_MAX. */
static size_t take_simple(struct device *d, struct fph_range *out, size_t max)
{
	uint64_t bytes = 0;
	uint32_t n;

	if (d->state != FPH_DEVICE_HINTING || !d->window.len)
		return 0;
	n = fph_vq_dev_take(&d->vq[FPH_QUEUE_HINT], &d->window, out, (uint32_t)max);
	for (uint32_t i = 0; i < n; i++)
		bytes += out[i].len;
	d->total.chains += n;
	d->total.hints += n;
	d->total.bytes += bytes;
	return n;
}

/* Cut the next part of the hint in hand into out.  Returns whether one came of it. */
static bool hand_out(struct device *d, struct fph_range *out)
{
	const struct fph_region *r;
	struct fph_range piece;
	uint64_t lost;
	int region;

	if (fph_vq_fits(&d->window, d->rest.gpa, d->rest.len)) {
		*out = d->rest;
		d->rest.len = 0;
		d->total.hints++;
		d->total.bytes += out->len;
		return true;
	}
	region = fph_mem_piece(d->mem, &d->rest, &piece);
	if (region < 0) {
		d->total.out_of_range += !d->rest_usable;
		return false;
	}
	r = &d->mem->regions[region];
	if ((r->flags & FPH_REGION_READONLY) || holds_ring(d, &piece)) {
		d->total.out_of_range += !d->rest_usable && d->rest.len == 0;
		return false;
	}
	d->rest_usable = true;
	open_window(d, r, piece.gpa);

	*out = piece;
	lost = fph_cut_inward(out, d->page_shift);
	d->total.misaligned += lost > 0;
	d->total.bytes_lost += lost;
	if (out->len == 0)
		return false;
	d->total.hints++;
	d->total.bytes += out->len;
	return true;
}

int fph_device_poll(struct fph_device *dev, struct fph_range *out, size_t max)
{
	struct device *d = device_of(dev);
	struct fph_vq_dev *vq = &d->vq[FPH_QUEUE_HINT];
	uint64_t hints, bytes, misaligned, bytes_lost, budget;
	size_t n = 0;
	int rc = 1;

	fph_device_let_go(d);
	fph_balloon_serve_rest(d);
	if (d->fault.rule)
		return -EPROTO;
	if (!device_runs(d) || !vq->size)
		return -ENOTCONN;
	if (max == 0)
		return fph_device_resume(d);

	hints = d->total.hints;
	bytes = d->total.bytes;
	misaligned = d->total.misaligned;
	bytes_lost = d->total.bytes_lost;
	max = max < INT32_MAX ? max : INT32_MAX;
	fph_vq_dev_doorbell(vq, false);
	for (budget = (uint64_t)max + 2 * (uint64_t)vq->size; n < max && budget > 0; budget--) {
		if (d->rest.len) {
			n += hand_out(d, &out[n]);
			continue;
		}
		n += take_simple(d, &out[n], max - n);
		if (n == max)
			break;
		rc = take(d);
		if (rc == 0)
			rc = listen(d);
		if (rc <= 0)
			break;
	}
	if (rc < 0) {
		/* Nothing of the batch is handed out, so nothing of it counts. */
		d->total.hints = hints;
		d->total.bytes = bytes;
		d->total.misaligned = misaligned;
		d->total.bytes_lost = bytes_lost;
		return rc;
	}
	if (n > 0)
		d->in_hand = true;
	else
		fph_device_let_go(d);
	if (n > 0 || rc == 0)
		return (int)n;
	return -EAGAIN;
}
