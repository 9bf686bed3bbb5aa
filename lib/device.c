/* SPDX-License-Identifier: MIT */
#include "device_priv.h"
#include "err.h"
#include "opts.h"
#include <string.h>

_Static_assert(sizeof(struct device) <= sizeof(struct fph_device), "the box is too small");
_Static_assert(_Alignof(struct device) <= _Alignof(struct fph_device), "the box is misaligned");

#define STATS_0_1 (offsetof(struct fph_device_stats, resets) + sizeof(uint64_t))

#define OFFERABLE                                                                                  \
	(FPH_F_MUST_TELL_HOST | FPH_F_DEFLATE_ON_OOM | FPH_F_PAGE_POISON |                         \
	 FPH_F_PAGE_REPORTING | FPH_F_RING_RESET | FPH_F_ORDER_PLATFORM |                          \
	 FPH_F_NOTIFICATION_DATA | FPH_F_SUSPEND | FPH_VQ_FEATURES)
#define WITHHOLDABLE (FPH_F_STATS_VQ | FPH_F_FREE_PAGE_HINT)

/* ------------------------------------------------------------ events to the outside */

void fph_device_raise(struct device *d, uint32_t bits)
{
	uint32_t before = d->irq;

	d->irq |= bits;
	if (d->irq != before && d->interrupt)
		d->interrupt(d->ctx);
}

/* C-6: each change is notified, but nobody listens before DRIVER_OK (G-4). */
void fph_device_config_changed(struct device *d)
{
	if (d->status & FPH_STATUS_DRIVER_OK)
		fph_device_raise(d, FPH_IRQ_CONFIG);
}

void fph_device_return(struct device *d, enum fph_queue queue, bool keep_last)
{
	int notify = fph_vq_dev_return(&d->vq[queue], keep_last);

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
		fph_device_config_changed(d);
	}
	return -EPROTO;
}

/* ------------------------------------------------------------ the round's state */

static const struct fph_device_cell table[FPH_DEVICE_STATE_COUNT][FPH_DEVICE_EVENT_COUNT] = {
#define CELL_(next, act) { FPH_DEVICE_##next, FPH_DEVICE_##act }
#define ROW(state, a, b, c, d, e, f, g, h, i, j, k)                                                \
	[FPH_DEVICE_##state] = { CELL_ a, CELL_ b, CELL_ c, CELL_ d, CELL_ e, CELL_ f,             \
				 CELL_ g, CELL_ h, CELL_ i, CELL_ j, CELL_ k },
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
		fph_device_config_changed(d);
	return (enum fph_device_act)cell.act;
}

uint32_t fph_device_shown(const struct device *d)
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
	d->window.len = 0;
	for (unsigned q = 0; q < FPH_QUEUE_COUNT && !d->fault.rule; q++) {
		fault.value = d->vq[q].place.desc;
		if (d->vq[q].size && fph_vq_dev_move(&d->vq[q], mem) != FPH_RULE_NONE)
			return fph_device_break(d, (enum fph_queue)q, &fault);
	}
	fph_device_resume(d);
	return 0;
}

/* S-4: nothing that the driver is shown changes while it has the device suspended. */
void fph_device_show_pages(struct device *d)
{
	if (d->shown_pages == d->num_pages || (d->status & FPH_STATUS_SUSPEND))
		return;
	d->shown_pages = d->num_pages;
	fph_device_config_changed(d);
}

int fph_device_set_num_pages(struct fph_device *dev, uint32_t pages)
{
	struct device *d = device_of(dev);

	d->num_pages = pages;
	fph_device_show_pages(d);
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
	return fph_device_shown(const_device_of(dev));
}

uint32_t fph_device_command_id(const struct fph_device *dev)
{
	return const_device_of(dev)->id;
}

const char *fph_device_state_name(const struct fph_device *dev)
{
	static const char names[][12] = {
#define NAME(name, what) #name,
		FPH_DEVICE_STATES(NAME)
#undef NAME
	};

	return names[const_device_of(dev)->state];
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
			      sizeof(*stats), STATS_0_1, NULL);
}

int fph_device_round_stats(const struct fph_device *dev, struct fph_device_stats *stats)
{
	const struct device *d = const_device_of(dev);

	return fph_copy_stats(stats, &stats->size, &d->total, sizeof(*stats), STATS_0_1,
			      &d->before);
}
