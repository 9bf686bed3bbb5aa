/* SPDX-License-Identifier: MIT */
#include "device_priv.h"
#include "err.h"
#include "opts.h"
#include "shm.h"
#include <string.h>

_Static_assert(sizeof(struct device) <= sizeof(struct fph_device), "the box is too small");
_Static_assert(_Alignof(struct device) <= _Alignof(struct fph_device), "the box is misaligned");

#define OFFERABLE                                                                                  \
	(FPH_F_MUST_TELL_HOST | FPH_F_DEFLATE_ON_OOM | FPH_F_PAGE_POISON | FPH_F_PAGE_REPORTING)
#define WITHHOLDABLE (FPH_F_STATS_VQ | FPH_F_FREE_PAGE_HINT)

/* ------------------------------------------------------------ queue numbers */

static uint64_t feature_of(enum fph_queue queue)
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

	if (feature_of(queue) & ~features)
		return -ENOENT;
	if (d->layout == FPH_LAYOUT_SPEC_FIXED)
		return (int)queue;
	for (unsigned q = 0; q < (unsigned)queue; q++)
		index += !(feature_of((enum fph_queue)q) & ~features);
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

/* ------------------------------------------------------------ events to the outside */

void fph_device_raise(struct device *d, uint32_t bits)
{
	uint32_t before = d->irq;

	d->irq |= bits;
	if (d->irq != before && d->interrupt)
		d->interrupt(d->ctx);
}

/* C-6: each change is notified, but nobody listens before DRIVER_OK (G-4). */
static void config_changed(struct device *d)
{
	if (d->status & FPH_STATUS_DRIVER_OK)
		fph_device_raise(d, FPH_IRQ_CONFIG);
}

void fph_device_return(struct device *d, enum fph_queue queue, uint16_t upto)
{
	int notify = fph_vq_dev_return(&d->vq[queue], upto);

	if (notify > 0) {
		d->total.interrupts++;
		fph_device_raise(d, FPH_IRQ_QUEUE | FPH_IRQ_VQ(fph_device_index(d, queue)));
	} else if (notify == 0) {
		d->total.interrupts_saved++;
	}
}

int fph_device_break(struct device *d, enum fph_queue queue, const struct fph_fault *fault)
{
	if (!d->fault.rule) {
		d->fault = *fault;
		d->fault.queue = (uint16_t)fph_device_index(d, queue);
		d->status |= FPH_STATUS_NEEDS_RESET; /* G-5 */
		fph_device_step(d, FPH_DEVICE_EV_GONE);
		config_changed(d);
	}
	return -EPROTO;
}

/* ------------------------------------------------------------ the round's state */

static const struct fph_device_cell table[FPH_DEVICE_STATE_COUNT][FPH_DEVICE_EVENT_COUNT] = {
#define CELL_(next, act) { FPH_DEVICE_##next, FPH_DEVICE_##act }
#define ROW(state, a, b, c, d, e, f, g, h, i)                                                      \
	[FPH_DEVICE_##state] = { CELL_ a, CELL_ b, CELL_ c, CELL_ d, CELL_ e,                      \
				 CELL_ f, CELL_ g, CELL_ h, CELL_ i },
	FPH_DEVICE_TABLE(ROW)
#undef ROW
#undef CELL_
};

static const unsigned char shows[] = {
#define SHOWS(name, what) FPH_DEVICE_##what,
	FPH_DEVICE_STATES(SHOWS)
#undef SHOWS
};

static void choose_id(struct device *d)
{
	/* BH-12: each id once in 2^32 rounds, whatever is reset; 0 and 1 are reserved. */
	if (++d->id < FPH_COMMAND_FIRST)
		d->id = FPH_COMMAND_FIRST;
}

enum fph_device_act fph_device_step(struct device *d, enum fph_device_event event)
{
	struct fph_device_cell cell = table[d->state][event];

	d->state = cell.next;
	if (cell.act == FPH_DEVICE_newid)
		choose_id(d);
	if (cell.act == FPH_DEVICE_newid || cell.act == FPH_DEVICE_show)
		config_changed(d);
	return (enum fph_device_act)cell.act;
}

static uint32_t shown(const struct device *d)
{
	switch (shows[d->state]) {
	case FPH_DEVICE_SHOW_ID:
		return d->id;
	case FPH_DEVICE_SHOW_DONE:
		return FPH_COMMAND_DONE;
	default:
		return FPH_COMMAND_STOP;
	}
}

/* ------------------------------------------------------------ bus: features and status */

static int bus_features(void *ctx, uint64_t *offered)
{
	struct device *d = ctx;

	*offered = d->offered;
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
	d->resetting = false;
	d->in_hand = false;
	d->irq = 0;
	d->actual = 0;
	d->poison = 0;
	memset(&d->fault, 0, sizeof(d->fault));
	memset(d->vq, 0, sizeof(d->vq));
	d->rest.len = 0;
	d->stale = 0;
	d->stale_chain = false;
	d->foreign = false;
	d->word_len = 0;
	d->unserved = 0;
	d->stats_parked = false;
	d->total.resets++;
}

static bool features_are_fine(const struct device *d)
{
	/* G-10, G-20 */
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
		 * reads 0, so that waits for the embedder.  The round is over now.
		 */
		d->resetting = true;
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
	if (fresh & FPH_STATUS_DRIVER_OK) {
		if (!(d->status & FPH_STATUS_FEATURES_OK))
			return -EPROTO;
		d->status |= FPH_STATUS_DRIVER_OK;
		if (d->fault.rule)
			config_changed(d);
		else if (d->accepted & FPH_F_FREE_PAGE_HINT)
			fph_device_step(d, FPH_DEVICE_EV_READY);
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

	fph_st32_bytes(image + FPH_CONFIG_NUM_PAGES, d->num_pages);
	fph_st32_bytes(image + FPH_CONFIG_ACTUAL, d->actual);
	fph_st32_bytes(image + FPH_CONFIG_COMMAND_ID, shown(d));
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
	if (d->vq[q].size)
		return -EPROTO; /* M-7 */
	fault.rule = (uint16_t)fph_vq_dev_enable(&d->vq[q], d->mem, place, d->queue_max);
	if (fault.rule)
		return fph_device_break(d, (enum fph_queue)q, &fault);
	return 0;
}

static int bus_vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	struct device *d = ctx;
	int q = queue_at(d, queue);

	if (q < 0 || d->resetting || !d->vq[q].size)
		return -EPROTO;
	if (q == FPH_QUEUE_HINT) {
		if (d->in_hand)
			return -EBUSY;
		if (!d->fault.rule)
			fph_device_step(d, FPH_DEVICE_EV_STOP);
		d->rest.len = 0;
		d->stale = 0;
	}
	if (q == FPH_QUEUE_STATS)
		d->stats_parked = false;
	d->unserved &= (uint8_t)~(1u << q);
	*index = d->vq[q].used_idx;
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
};

struct fph_bus fph_device_bus(struct fph_device *dev)
{
	return (struct fph_bus){ &bus_ops, device_of(dev) };
}

/* ------------------------------------------------------------ options and questions */

static int check_opts(const struct fph_device_opts *o)
{
	if (!o->mem || fph_mem_check(o->mem) < 0)
		return -EINVAL;
	if ((o->offer & ~OFFERABLE) || (o->withhold & ~WITHHOLDABLE))
		return -EINVAL;
	if (o->layout > FPH_LAYOUT_SPEC_FIXED)
		return -EINVAL;
	if (o->queue_max == 1 || o->queue_max > 32768 || (o->queue_max & (o->queue_max - 1)))
		return -EINVAL;
	if (o->page_shift && (o->page_shift < 12 || o->page_shift > 40))
		return -EINVAL;
	return 0;
}

int fph_device_init(struct fph_device *dev, const struct fph_device_opts *opts)
{
	struct fph_device_opts o;
	struct device *d = device_of(dev);
	int rc = fph_copy_opts(&o, sizeof(o), opts, opts->size);

	if (rc == 0)
		rc = check_opts(&o);
	if (rc < 0)
		return rc;

	memset(dev, 0, sizeof(*dev));
	d->mem = o.mem;
	d->offered = (FPH_F_VERSION_1 | FPH_F_STATS_VQ | FPH_F_FREE_PAGE_HINT | o.offer) &
		     ~o.withhold;
	d->layout = o.layout;
	d->queue_max = o.queue_max ? o.queue_max : 256;
	d->page_shift = o.page_shift ? o.page_shift : 12;
	d->id = o.command_id >= FPH_COMMAND_FIRST ? o.command_id : UINT32_C(0x80000000);
	d->ctx = o.ctx;
	d->interrupt = o.interrupt;
	d->hints = o.hints;
	d->pages = o.pages;
	d->stat = o.stat;
	d->total.size = sizeof(d->total);
	d->before.size = sizeof(d->before);
	return 0;
}

int fph_device_set_mem(struct fph_device *dev, const struct fph_mem *mem)
{
	struct device *d = device_of(dev);
	struct fph_fault fault = { .rule = FPH_RULE_RING_GONE };

	if (fph_mem_check(mem) < 0)
		return -EINVAL;
	fph_device_let_go(d);
	d->mem = mem;
	for (unsigned q = 0; q < FPH_QUEUE_COUNT && !d->fault.rule; q++) {
		fault.value = d->vq[q].place.desc;
		if (d->vq[q].size && fph_vq_dev_move(&d->vq[q], mem) != FPH_RULE_NONE)
			return fph_device_break(d, (enum fph_queue)q, &fault);
	}
	return 0;
}

int fph_device_set_num_pages(struct fph_device *dev, uint32_t pages)
{
	struct device *d = device_of(dev);

	if (d->num_pages != pages) {
		d->num_pages = pages;
		config_changed(d);
	}
	return 0;
}

uint32_t fph_device_actual(const struct fph_device *dev)
{
	return const_device_of(dev)->actual;
}

uint32_t fph_device_poison(const struct fph_device *dev)
{
	return const_device_of(dev)->poison;
}

uint32_t fph_device_command(const struct fph_device *dev)
{
	return shown(const_device_of(dev));
}

uint32_t fph_device_command_id(const struct fph_device *dev)
{
	return const_device_of(dev)->id;
}

const char *fph_device_state_name(const struct fph_device *dev)
{
	switch (const_device_of(dev)->state) {
#define NAME(name, what)                                                                           \
	case FPH_DEVICE_##name:                                                                    \
		return #name;
		FPH_DEVICE_STATES(NAME)
#undef NAME
	default:
		return "?";
	}
}

const struct fph_fault *fph_device_fault(const struct fph_device *dev)
{
	return &const_device_of(dev)->fault;
}

int fph_device_queue(const struct fph_device *dev, enum fph_queue queue)
{
	return queue < FPH_QUEUE_COUNT ? fph_device_index(const_device_of(dev), queue) : -ENOENT;
}

uint64_t fph_device_features(const struct fph_device *dev)
{
	const struct device *d = const_device_of(dev);

	return d->status & FPH_STATUS_FEATURES_OK ? d->accepted : 0;
}

int fph_device_total_stats(const struct fph_device *dev, struct fph_device_stats *stats)
{
	return fph_copy_stats(stats, &stats->size, &const_device_of(dev)->total,
			      sizeof(*stats), NULL);
}

int fph_device_round_stats(const struct fph_device *dev, struct fph_device_stats *stats)
{
	const struct device *d = const_device_of(dev);

	return fph_copy_stats(stats, &stats->size, &d->total, sizeof(*stats), &d->before);
}
