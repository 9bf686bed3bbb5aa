/* SPDX-License-Identifier: MIT */
#include "device_priv.h"
#include "err.h"
#include "shm.h"
#include <string.h>

/* ------------------------------------------------------------ queue numbers */

uint64_t fph_device_feature_of(enum fph_queue queue)
{
	switch (queue) {
	case FPH_QUEUE_STATS:
		return FPH_F_STATS_VQ;
	case FPH_QUEUE_HINT:
		return FPH_F_FREE_PAGE_HINT;
	case FPH_QUEUE_REPORT:
		return FPH_F_PAGE_REPORTING;
	default:
		return 0;
	}
}

/* Before FEATURES_OK nothing is negotiated: count as if all were accepted. */
int fph_device_index(const struct device *d, enum fph_queue queue)
{
	bool negotiated = d->layout == FPH_LAYOUT_NEGOTIATED &&
			  (d->status & FPH_STATUS_FEATURES_OK);
	uint64_t features = negotiated ? d->accepted : d->offered;
	int index = 0;

	if (fph_device_feature_of(queue) & ~features)
		return -ENOENT;
	if (d->layout == FPH_LAYOUT_SPEC_FIXED)
		return (int)queue;
	for (unsigned q = 0; q < (unsigned)queue; q++)
		index += !(fph_device_feature_of((enum fph_queue)q) & ~features);
	return index;
}

/* The queue at an index, or -ENOENT. */
static int queue_at(const struct device *d, uint16_t index)
{
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		if (fph_device_index(d, (enum fph_queue)q) == index)
			return (int)q;
	return -ENOENT;
}

/* ------------------------------------------------------------ bus: features and status */

static int bus_features(void *ctx, uint64_t *offered)
{
	struct device *d = ctx;

	*offered = d->offered; /* G-9 */
	return 0;
}

static int bus_accept(void *ctx, uint64_t accepted)
{
	struct device *d = ctx;

	/* G-15: nothing new after FEATURES_OK. */
	if (d->resetting || (d->status & FPH_STATUS_FEATURES_OK))
		return -EPROTO;
	d->accepted = accepted;
	return 0;
}

static int bus_status(void *ctx, uint8_t *status)
{
	struct device *d = ctx;

	*status = d->status;
	return 0;
}

void fph_device_reset(struct device *d)
{
	/* The id is kept (A5-12, H5), and so are the options, the target and the totals. */
	fph_device_step(d, FPH_DEVICE_EV_GONE);
	d->accepted = 0;
	d->status = 0; /* G-12 */
	d->shown_pages = d->num_pages;
	d->resetting = false;
	d->suspending = false;
	d->in_hand = false;
	d->irq = 0;
	d->actual = 0;
	d->poison = 0;
	memset(&d->fault, 0, sizeof(d->fault));
	memset(d->vq, 0, sizeof(d->vq));
	d->rest.len = 0;
	d->window.len = 0;
	d->foreign = false;
	d->word_len = 0;
	d->unserved = 0;
	d->stats_parked = false;
	d->total.resets++;
}

/* S-6: nothing is in hand, what was used is returned, and the driver was told so. */
void fph_device_suspend(struct device *d)
{
	d->suspending = false;
	d->rest.len = 0;
	fph_device_step(d, FPH_DEVICE_EV_SUSPEND);
	d->status = (uint8_t)((d->status & ~FPH_STATUS_DRIVER_OK) | FPH_STATUS_SUSPEND);
}

static void resume(struct device *d)
{
	d->status = (uint8_t)((d->status & ~FPH_STATUS_SUSPEND) | FPH_STATUS_DRIVER_OK);
	if (d->fault.rule)
		fph_device_config_changed(d); /* S-5 */
	fph_device_step(d, FPH_DEVICE_EV_RESUME);
	fph_device_show_pages(d);
	fph_device_look(d);
}

/* S-1, S-4: SUSPEND means something once initialization is complete. */
static bool can_suspend(const struct device *d)
{
	return (d->accepted & FPH_F_SUSPEND) && device_runs(d);
}

static bool features_are_fine(const struct device *d)
{
	/* G-10, G-11, G-20; BF-4: nothing else is asked for, and nothing remembered */
	return !(d->accepted & ~d->offered) && (d->accepted & FPH_F_VERSION_1);
}

static int bus_set_status(void *ctx, uint8_t status)
{
	struct device *d = ctx;
	uint8_t fresh = status & (uint8_t)~d->status;
	int rc = 0;

	if (status == 0) {
		/*
		 * R9: the pages of the batch in hand are the guest's again once it
		 * reads 0, so that waits for the embedder.  The round is over now, and
		 * nothing more is notified (G-12).
		 */
		d->resetting = true;
		d->status &= (uint8_t)~FPH_STATUS_DRIVER_OK;
		fph_device_step(d, FPH_DEVICE_EV_GONE);
		if (!d->in_hand)
			fph_device_reset(d);
		return 0;
	}
	if (d->resetting)
		return -EPROTO;
	/* G-2: only a reset clears bits; those not named here are not the driver's. */
	d->status |= fresh & (FPH_STATUS_ACKNOWLEDGE | FPH_STATUS_DRIVER | FPH_STATUS_FAILED);

	if (fresh & FPH_STATUS_FEATURES_OK) {
		if ((d->status & FPH_STATUS_DRIVER) && features_are_fine(d))
			d->status |= FPH_STATUS_FEATURES_OK;
		else
			rc = -EPROTO;
	}
	if (d->suspending && !(status & FPH_STATUS_SUSPEND))
		d->suspending = false; /* it thought better of it */
	if ((fresh & FPH_STATUS_SUSPEND) && can_suspend(d)) {
		d->suspending = true;
		d->rest.len = 0;
		if (!d->in_hand)
			fph_device_let_go(d);
		return rc;
	}
	if (d->status & FPH_STATUS_SUSPEND) {
		/* With SUSPEND or without: some drivers only ever add bits (G-2). */
		if (fresh & FPH_STATUS_DRIVER_OK)
			resume(d);
		return rc;
	}
	if (fresh & FPH_STATUS_DRIVER_OK) {
		if (!(d->status & FPH_STATUS_FEATURES_OK))
			return -EPROTO;
		d->status |= FPH_STATUS_DRIVER_OK;
		if (d->fault.rule)
			fph_device_config_changed(d);
		else if (d->accepted & FPH_F_FREE_PAGE_HINT)
			fph_device_step(d, FPH_DEVICE_EV_READY);
		/* Linux rings for its first statistics before DRIVER_OK (G-4), and never again. */
		fph_device_look(d);
	}
	return rc;
}

/* ------------------------------------------------------------ bus: configuration */

/* BC-1: the fields that exist follow from what is offered. */
static uint32_t config_size(const struct device *d)
{
	if (d->offered & FPH_F_PAGE_POISON)
		return 16;
	return d->offered & FPH_F_FREE_PAGE_HINT ? 12 : 8;
}

static int bus_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct device *d = ctx;
	unsigned char image[FPH_CONFIG_MAX];
	unsigned char *to = buf;
	uint32_t size = config_size(d);

	/* BC-2, C-3, A5-9: whatever was negotiated */
	fph_st32_bytes(image + FPH_CONFIG_NUM_PAGES, d->shown_pages);
	fph_st32_bytes(image + FPH_CONFIG_ACTUAL, d->actual);
	fph_st32_bytes(image + FPH_CONFIG_COMMAND_ID, fph_device_shown(d));
	fph_st32_bytes(image + FPH_CONFIG_POISON, d->poison);
	for (uint32_t i = 0; i < len; i++)
		to[i] = offset < size && i < size - offset ? image[offset + i] : 0xff;
	return 0;
}

/* A write counts if it covers the field; parts of a field and all others are ignored. */
static bool covers(uint32_t offset, uint32_t len, uint32_t field)
{
	return offset <= field && len >= 4 && len - 4 >= field - offset;
}

static int bus_set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct device *d = ctx;
	const unsigned char *from = buf;

	if (d->resetting || !(d->status & FPH_STATUS_FEATURES_OK))
		return -EPROTO; /* G-14 */
	if (d->status & FPH_STATUS_SUSPEND)
		return -EPROTO; /* S-2, S-4 */
	if (covers(offset, len, FPH_CONFIG_ACTUAL))
		d->actual = fph_ld32_bytes(from + (FPH_CONFIG_ACTUAL - offset));
	/* BP-2, BP-3: the poison value is told before DRIVER_OK and then stands. */
	if (covers(offset, len, FPH_CONFIG_POISON) && (d->accepted & FPH_F_PAGE_POISON) &&
	    !(d->status & FPH_STATUS_DRIVER_OK))
		d->poison = fph_ld32_bytes(from + (FPH_CONFIG_POISON - offset));
	return 0;
}

/* ------------------------------------------------------------ bus: queues */

static int bus_vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	struct device *d = ctx;

	*max = queue_at(d, queue) >= 0 ? d->queue_max : 0;
	return 0;
}

static int bus_vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	struct device *d = ctx;
	int q = queue_at(d, queue);
	struct fph_fault fault = { .value = place->desc };

	if (q < 0 || d->resetting || d->fault.rule || !(d->status & FPH_STATUS_FEATURES_OK))
		return -EPROTO;
	if (d->vq[q].size || (d->status & FPH_STATUS_SUSPEND))
		return -EPROTO; /* M-7 */
	fault.rule = (uint16_t)fph_vq_dev_enable(&d->vq[q], d->mem, place, d->queue_max,
							fph_vq_format(d->accepted));
	d->window.len = 0;
	if (fault.rule)
		return fph_device_break(d, (enum fph_queue)q, &fault);
	return 0;
}

static int bus_vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	struct device *d = ctx;
	int q = queue_at(d, queue);

	if (q < 0 || d->resetting || !d->vq[q].size || (d->status & FPH_STATUS_SUSPEND))
		return -EPROTO;
	if (q == FPH_QUEUE_HINT) {
		if (d->in_hand)
			return -EBUSY;
		if (!d->fault.rule)
			fph_device_step(d, FPH_DEVICE_EV_STOP);
		d->rest.len = 0;
	}
	if (q == FPH_QUEUE_STATS)
		d->stats_parked = false;
	d->unserved &= (uint8_t)~(1u << q);
	*index = fph_vq_dev_index(&d->vq[q]);
	/* the next placement begins anew. */
	memset(&d->vq[q], 0, sizeof(d->vq[q]));
	return 0;
}

static int bus_notify(void *ctx, uint16_t queue)
{
	struct device *d = ctx;
	int q = queue_at(d, queue);

	/* G-4, V-17, #23: a doorbell that makes no sense is ignored. */
	if (q < 0 || !device_runs(d) || !d->vq[q].size)
		return 0;
	if (q != FPH_QUEUE_HINT)
		fph_balloon_serve(d, (enum fph_queue)q);
	else if (d->hints)
		d->hints(d->ctx);
	return 0;
}

/* N-1: what the ring says is what counts, so the driver cannot mislead by it. */
static int bus_notify_data(void *ctx, uint16_t queue, uint16_t next)
{
	(void)next;
	return bus_notify(ctx, queue);
}

static int bus_take_irq(void *ctx, uint32_t *irq)
{
	struct device *d = ctx;

	*irq = d->irq;
	d->irq = 0;
	return 0;
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

struct fph_bus fph_device_bus(struct fph_device *dev)
{
	return (struct fph_bus){ &bus_ops, device_of(dev) };
}
