/* SPDX-License-Identifier: MIT */
/*
 * A hostile driver: the input says what it writes into the rings, which verbs it calls
 * and when, and what the embedder does meanwhile.  Judged after each step: where a hint
 * may lie, what the device may write, how much it may do; and at the end, that an
 * honest driver finds a device that works.
 */
#include "formats.h"
#include <errno.h>
#include <fph/guest.h>
#include <string.h>

#define OPS_MAX	  400
#define OUT_MAX	  16u
#define HONEST	  16u /* entries of the ring at the end */
#define QUEUE_MAX 16u /* of the device */

static struct fph_device dev;
static struct fph_bus bus;
static struct device *const d = (struct device *)(void *)&dev;
static struct input in;
static unsigned hooks; /* called in this step */

/* The driver's own idea of its queues, by index. */
static struct queue {
	struct fph_vq_place place;
	uint16_t pushed;
} queues[FPH_QUEUE_COUNT];

/* ------------------------------------------------------------ oracles */

/* Lies wholly in one region that may be written? */
static bool in_one_region(struct fph_range r)
{
	const struct fph_mem *mem = d->mem;

	for (uint32_t i = 0; i < mem->count; i++) {
		const struct fph_region *m = &mem->regions[i];

		if (r.gpa >= m->gpa && r.gpa - m->gpa < m->len &&
		    r.len <= m->len - (r.gpa - m->gpa))
			return !(m->flags & FPH_REGION_READONLY);
	}
	return false;
}

static bool is_aligned(struct fph_range r)
{
	uint64_t mask = (UINT64_C(1) << d->page_shift) - 1;

	return ((r.gpa | r.len) & mask) == 0;
}

/* Both ends of a range as last bytes, so that nothing wraps. */
static bool overlap(struct fph_range a, uint64_t gpa, uint64_t len)
{
	return a.gpa <= gpa + (len - 1) && gpa <= a.gpa + (a.len - 1);
}

static void judge_hint(struct fph_range r)
{
	MUST(r.len > 0 && is_aligned(r) && in_one_region(r));
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++) {
		const struct fph_vq_dev *vq = &d->vq[q];

		if (vq->size == 0)
			continue;
		MUST(!overlap(r, vq->place.desc, FPH_DESC_BYTES * vq->size));
		MUST(!overlap(r, vq->place.driver,
			      vq->format.packed ? FPH_EVENT_BYTES : FPH_AVAIL_BYTES(vq->size)));
		MUST(!overlap(r, vq->place.device,
			      vq->format.packed ? FPH_EVENT_BYTES : FPH_USED_BYTES(vq->size)));
	}
}

/* What a queue looks like between two calls: used <= before <= done <= next, in a ring. */
static void judge_queue(const struct fph_vq_dev *vq)
{
	uint16_t done = (uint16_t)(vq->done - vq->used);
	uint16_t next = (uint16_t)(vq->next - vq->used);
	uint16_t seen = (uint16_t)(vq->seen - vq->used);

	MUST(vq->size <= QUEUE_MAX);
	MUST(done <= next && next <= vq->size && vq->stale <= vq->size);
	MUST((next > done) == vq->in_chain);
	if (!vq->format.packed) {
		MUST((vq->size & (vq->size - 1)) == 0);
		MUST(next <= seen && seen <= vq->size && next - done <= 1);
	}
	/* A chain is walked in the descriptor table, and not beyond. */
	MUST(!vq->in_chain || vq->follow < (vq->table_len ? vq->table_len : vq->size));
}

static void judge(const struct fph_vq_dev *before)
{
	const struct fph_fault *fault = fph_device_fault(&dev);
	uint32_t command = fph_device_command(&dev);

	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		judge_queue(&d->vq[q]);
	/* The device wrote nothing but rings: those it had before this step, or has now. */
	allow_rings(before);
	allow_rings(d->vq);
	MUST(fault->rule < FPH_RULE_COUNT);
	MUST(!fault->rule || (d->status & FPH_STATUS_NEEDS_RESET));
	MUST(!fault->rule || (fph_device_round_over(&dev) && command == FPH_COMMAND_STOP));
	MUST(!strcmp(fph_device_state_name(&dev), "DOWN") ||
	     (d->status & (FPH_STATUS_DRIVER_OK | FPH_STATUS_FEATURES_OK)));
}

/* ------------------------------------------------------------ the driver */

static void poke(void)
{
	uint8_t what = next8(&in);
	uint64_t gpa = what & 0x80 ? memory_address(&in) : LOW_GPA + next16(&in) % LOW_LEN;

	if (what & 1)
		memory_store32(gpa, next32(&in));
	else
		memory_store16(gpa, next16(&in));
}

/* Where queue q's ring of n entries stands, unless the input says otherwise. */
static struct fph_vq_place standard(unsigned q, uint16_t n)
{
	uint64_t at = LOW_GPA + 0x400 * q;

	return (struct fph_vq_place){ at, at + 0x200, at + 0x300, n, 0 };
}

static bool is_packed(void)
{
	return d->accepted & FPH_F_RING_PACKED;
}

static uint16_t slot_of(unsigned q)
{
	uint16_t size = queues[q].place.size;

	return (uint16_t)(size ? queues[q].pushed % size : 0);
}

/* Of a split ring, or of a table: rest is flags and next. */
static void store_desc(uint64_t at, uint64_t gpa, uint32_t len, uint32_t rest)
{
	memory_store64(at, gpa);
	memory_store64(at + 8, len | (uint64_t)rest << 32);
}

static void publish(unsigned q)
{
	if (!is_packed())
		memory_store16(queues[q].place.driver + 2, queues[q].pushed);
}

/*
 * The next descriptor of a ring.  Split: its own number, with what follows, and it is a head
 * if `first`.  Packed: available at once, with the id of its slot.
 */
static void put(unsigned q, bool first, uint16_t i, uint64_t gpa, uint32_t len, uint32_t rest)
{
	const struct fph_vq_place *p = &queues[q].place;
	uint16_t slot = slot_of(q);

	if (is_packed()) {
		bool wrap = !(p->size && queues[q].pushed / p->size % 2);
		uint32_t flags = (rest & 0xffff) | (wrap ? FPH_DESC_AVAIL : FPH_DESC_USED);

		store_desc(p->desc + 16u * slot, gpa, len, slot | flags << 16);
		queues[q].pushed++;
		return;
	}
	store_desc(p->desc + 16u * i, gpa, len, rest);
	if (first) {
		memory_store16(p->driver + 4 + 2u * slot, i);
		queues[q].pushed++;
	}
}

/* One buffer of one descriptor, made available. */
static void offer(unsigned q, uint64_t gpa, uint32_t len, uint32_t flags)
{
	put(q, true, slot_of(q), gpa, len, flags);
	publish(q);
}

static void enable(unsigned q, struct fph_vq_place place)
{
	uint16_t size = d->vq[q].size;
	int rc = bus.ops->vq_enable(bus.ctx, (uint16_t)q, &place);

	MUST(rc == 0 || rc == -EPROTO);
	if (rc == 0) {
		queues[q].place = place;
		/* A packed ring begins in its first turn, or where the index says. */
		queues[q].pushed = is_packed() ? 0 : place.index;
	} else {
		MUST(d->vq[q].size == size);
	}
}

/* All of bring-up in its order, without the features of a byte. */
static void bring_up(uint8_t less)
{
	static const uint8_t bits[] = { 0x01, 0x03, 0x0b };
	uint64_t offered = 0;

	bus.ops->set_status(bus.ctx, 0);
	for (unsigned i = 0; i < 2; i++)
		bus.ops->set_status(bus.ctx, bits[i]);
	MUST(bus.ops->features(bus.ctx, &offered) == 0);
	bus.ops->accept(bus.ctx, offered & ~(uint64_t)(less & 0x1f));
	bus.ops->set_status(bus.ctx, bits[2]);
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++) {
		uint16_t max = 0;

		MUST(bus.ops->vq_max(bus.ctx, (uint16_t)q, &max) == 0);
		if (max > 0)
			enable(q, standard(q, max));
	}
	if (!(less & 0x80))
		bus.ops->set_status(bus.ctx, 0x0f);
}

static void enable_anywhere(void)
{
	struct fph_vq_place place = { .desc = memory_address(&in),
				      .driver = memory_address(&in),
				      .device = memory_address(&in) };
	unsigned q = next8(&in) % FPH_QUEUE_COUNT;
	uint8_t how = next8(&in);

	place.size = (uint16_t)(how & 0x80 ? next16(&in) : 1u << how % 6);
	place.index = how & 0x40 ? next16(&in) : 0;
	if (how & 0x20)
		place = standard(q, place.size);
	enable(q, place);
}

static void configuration(void)
{
	unsigned char bytes[24];
	uint32_t offset = next8(&in) & 0x80 ? next32(&in) : next8(&in), len = next8(&in) % 17;

	memset(bytes, 0xc3, sizeof(bytes));
	if (next8(&in) & 1) {
		for (uint32_t i = 0; i < len; i++)
			bytes[i] = next8(&in);
		bus.ops->set_config(bus.ctx, offset, bytes, len);
		return;
	}
	MUST(bus.ops->config(bus.ctx, offset, bytes, len) == 0);
	for (uint32_t i = len; i < sizeof(bytes); i++)
		MUST(bytes[i] == 0xc3);
}

static unsigned hint_queue(void)
{
	int q = fph_device_queue(&dev, FPH_QUEUE_HINT);

	return q < 0 ? FPH_QUEUE_HINT : (unsigned)q;
}

/* A command of its own: the id shown, STOP, DONE, or any; whole or in parts. */
static void command(uint8_t what)
{
	uint64_t at = LOW_GPA + 0x1800 + 4u * (what >> 4);
	uint32_t word = what & 1 ? fph_device_command(&dev) : (what & 6u) / 2;

	if ((what & 7) == 6)
		word = next32(&in);
	memory_store32(at, word);
	offer(hint_queue(), at, what & 8 ? next8(&in) : 4, 0);
}

/* Mostly short: a long list of page numbers takes its time, and shows nothing that a short one does not. */
static uint32_t buffer_len(void)
{
	uint16_t len = next16(&in);

	return len & 0xf000 ? len & 0xffu : len;
}

static void hint(void)
{
	uint64_t gpa = memory_address(&in);
	uint8_t len = next8(&in);

	offer(hint_queue(), gpa, len & 0x80 ? next32(&in) : (len + 1u) * 2048, FPH_DESC_WRITE);
}

/* A chain of up to four buffers. */
static void chain(void)
{
	unsigned q = next8(&in) % FPH_QUEUE_COUNT, n = 1 + next8(&in) % 4;
	uint16_t size = queues[q].place.size, first = slot_of(q);

	for (unsigned i = 0; i < n; i++) {
		uint8_t how = next8(&in);
		uint32_t flags = (how & 7) | (i + 1 < n ? FPH_DESC_NEXT : 0u);
		uint32_t follow = size ? (first + i + 1u) % size : 0;

		if (how & 0x80)
			follow = next16(&in);
		put(q, i == 0, (uint16_t)(first + i), memory_address(&in), buffer_len(),
		    flags | follow << 16);
	}
	publish(q);
}

/* A table of up to four hints, or of what the input says. */
static void table(void)
{
	uint8_t how = next8(&in);
	unsigned q = how & 0x80 ? how % FPH_QUEUE_COUNT : hint_queue(), n = 1 + (how >> 3) % 4;
	uint64_t at = LOW_GPA + 0x2000 + 64u * slot_of(q);

	for (unsigned i = 0; i < n; i++) {
		uint8_t odd = next8(&in);
		uint32_t flags = FPH_DESC_WRITE | (!is_packed() && i + 1 < n ? FPH_DESC_NEXT : 0u);
		uint32_t follow = i + 1;

		if (odd & 0x80) {
			flags = odd & 7;
			follow = odd >> 3 & 7;
		}
		store_desc(at + 16u * i, memory_address(&in), odd & 0x40 ? next16(&in) : 0x1000,
			   is_packed() ? flags << 16 : flags | follow << 16);
	}
	offer(q, how & 0x40 ? memory_address(&in) : at, how & 4 ? next8(&in) : 16u * n,
	      FPH_DESC_INDIRECT);
}

/* ------------------------------------------------------------ the embedder */

/* While a hook runs the driver runs, too. */
static void on_hook(void)
{
	if (++hooks % 4 == 1 && hooks < 32 && in.left > 0)
		poke();
}

static void on_hints(void *ctx)
{
	(void)ctx;
	on_hook();
}

static void on_interrupt(void *ctx)
{
	uint32_t irq;

	(void)ctx;
	if (next8(&in) & 1)
		bus.ops->take_irq(bus.ctx, &irq);
	on_hook();
}

static void on_pages(void *ctx, enum fph_queue queue, struct fph_range range)
{
	(void)ctx;
	MUST(queue == FPH_QUEUE_INFLATE || queue == FPH_QUEUE_DEFLATE ||
	     queue == FPH_QUEUE_REPORT);
	MUST(range.len > 0 && in_one_region(range));
	MUST(queue != FPH_QUEUE_REPORT || is_aligned(range));
	MUST(queue != FPH_QUEUE_REPORT || (fph_device_features(&dev) & FPH_F_PAGE_REPORTING));
	on_hook();
}

static void on_stat(void *ctx, struct fph_stat stat)
{
	(void)ctx;
	(void)stat;
	MUST(fph_device_features(&dev) & FPH_F_STATS_VQ);
	on_hook();
}

static void poll(void)
{
	struct fph_range out[OUT_MAX + 1];
	size_t max = next8(&in) % (OUT_MAX + 1);
	uint64_t chains = d->total.chains;
	int rc;

	memset(out, 0x77, sizeof(out));
	rc = fph_device_poll(&dev, out, max);
	MUST(rc <= (int)max);
	MUST(rc >= 0 || rc == -EAGAIN || rc == -ENOTCONN || rc == -EPROTO);
	MUST((rc == -EPROTO) == (fph_device_fault(&dev)->rule != 0));
	MUST(d->total.chains - chains <= max + 2 * QUEUE_MAX);
	MUST(out[OUT_MAX].gpa == UINT64_C(0x7777777777777777));
	if (rc > 0)
		MUST(fph_device_command(&dev) >= FPH_COMMAND_FIRST);
	for (int i = 0; i < rc; i++)
		judge_hint(out[i]);
}

/* After stop and done nothing of the old round may come. */
static void end_round(int (*end)(struct fph_device *))
{
	int rc = end(&dev);

	MUST(rc == 0 || rc == -ENOTCONN || rc == -EPROTO);
	MUST(fph_device_round_over(&dev) && fph_device_command(&dev) < FPH_COMMAND_FIRST);
}

static void start(void)
{
	uint32_t id = fph_device_command_id(&dev);
	int rc = fph_device_start(&dev);

	MUST(rc == 0 || rc == -ENOTCONN || rc == -EPROTO);
	if (rc == 0) {
		MUST(fph_device_command(&dev) == fph_device_command_id(&dev));
		MUST(fph_device_command(&dev) >= FPH_COMMAND_FIRST);
		MUST(fph_device_command_id(&dev) != id);
	}
}

static void set_mem(void)
{
	int rc = fph_device_set_mem(&dev, memory_map(next8(&in)));

	MUST(rc == 0 || rc == -EPROTO);
}

/* What an honest driver and embedder do, so that the next step finds them at it. */
static void begin_round(void)
{
	if (!device_runs(d) || !d->vq[FPH_QUEUE_HINT].size) {
		memory_check();
		fph_device_ack(&dev);
		fph_device_set_mem(&dev, memory_map(0));
		memory_reset();
		bring_up(0);
	}
	start();
	command(1);
	for (uint8_t n = next8(&in) % 4; n > 0; n--)
		hint();
	poll();
}

/* ------------------------------------------------------------ a program */

static void step(uint8_t op)
{
	uint16_t index;
	uint8_t status;
	unsigned q;

	switch (op % 32) {
	case 0:
		bring_up(next8(&in));
		break;
	case 1:
		bus.ops->set_status(bus.ctx, next8(&in));
		break;
	case 2:
		bus.ops->accept(bus.ctx, next64(&in));
		break;
	case 3:
		enable_anywhere();
		break;
	case 4:
		bus.ops->vq_disable(bus.ctx, next8(&in) % 8, &index);
		break;
	case 5:
	case 6:
		bus.ops->notify(bus.ctx, next8(&in) % 8);
		break;
	case 7:
		configuration();
		break;
	case 8:
		poke();
		break;
	case 9:
		q = next8(&in) % FPH_QUEUE_COUNT;
		queues[q].pushed = (uint16_t)(queues[q].pushed + (int8_t)next8(&in));
		publish(q);
		break;
	case 10:
	case 11:
		command(next8(&in));
		break;
	case 12:
	case 13:
		hint();
		break;
	case 14:
	case 15:
		chain();
		break;
	case 16:
		start();
		break;
	case 17: /* the driver answers at once */
		start();
		command(1);
		break;
	case 18:
		end_round(fph_device_stop);
		break;
	case 19:
		end_round(fph_device_done);
		break;
	case 20:
		MUST(fph_device_ack(&dev) == 0);
		break;
	case 21:
	case 22:
		poll();
		break;
	case 23:
		set_mem();
		break;
	case 24:
		fph_device_ask_stats(&dev);
		fph_device_set_num_pages(&dev, next8(&in));
		break;
	case 26:
	case 27:
		table();
		break;
	case 28:
		bus.ops->notify_data(bus.ctx, next8(&in) % 8, next16(&in));
		break;
	case 25:
		MUST(bus.ops->status(bus.ctx, &status) == 0);
		break;
	default:
		begin_round();
		break;
	}
}

static bool make_device(void)
{
	struct fph_device_opts opts = FPH_DEVICE_OPTS_INIT;
	uint8_t how = next8(&in), bits = next8(&in), format = next8(&in);

	opts.mem = memory_map(0);
	opts.offer = formats_of(format);
	opts.offer |= bits & (FPH_F_MUST_TELL_HOST | FPH_F_DEFLATE_ON_OOM | FPH_F_PAGE_POISON |
			     FPH_F_PAGE_REPORTING);
	opts.withhold = bits & 0x40 ? FPH_F_STATS_VQ : 0;
	opts.layout = (enum fph_vq_layout)(how % 3);
	opts.queue_max = (uint16_t)(2u << (how >> 2) % 4);
	opts.page_shift = how & 0x80 ? (uint8_t)(12 + (how >> 4) % 8) : 0;
	opts.command_id = how & 0x40 ? UINT32_MAX - 1 : 0;
	if (!(how & 0x20)) {
		opts.hints = on_hints;
		opts.interrupt = on_interrupt;
		opts.pages = on_pages;
		opts.stat = on_stat;
	}
	return fph_device_init(&dev, &opts) == 0;
}

/* ------------------------------------------------------------ and an honest driver */

static struct fph_guest guest;

/* Two pages through a whole round, and back. */
static void honest_round(void)
{
	uint64_t page = UINT64_C(1) << d->page_shift;
	struct fph_range hints[2] = { { FAR_GPA, page }, { FAR_GPA + 4 * page, 2 * page } };
	struct fph_range out[4];

	MUST(fph_guest_step(&guest, 0) >= 0);
	MUST(fph_device_start(&dev) == 0);
	MUST(fph_guest_step(&guest, 0) & FPH_GUEST_FEED);
	MUST(fph_guest_hint(&guest, hints, 1) == 1);
	MUST(fph_guest_flush(&guest) == 0);
	MUST(fph_device_poll(&dev, out, 4) == 1 && out[0].gpa == FAR_GPA && out[0].len == page);
	MUST(fph_device_poll(&dev, out, 4) == 0);
	MUST(fph_guest_step(&guest, 0) & FPH_GUEST_RECLAIM);
	MUST(fph_guest_reclaim(&guest, out, 4) == 1);
	MUST(fph_guest_hint(&guest, hints + 1, 1) == 1);
	MUST(fph_guest_end(&guest) == 0);
	MUST(fph_device_poll(&dev, out, 4) == 1 && out[0].len == 2 * page);
	MUST(fph_device_done(&dev) == 0);
	MUST(fph_device_poll(&dev, out, 4) == 0);
	MUST(fph_guest_step(&guest, 0) & FPH_GUEST_RELEASE);
	MUST(fph_guest_reclaim(&guest, out, 4) == 1 && fph_guest_held(&guest) == 0);
}

static void recover(void)
{
	static struct fph_guest_slot slots[HONEST];
	struct fph_guest_opts opts = FPH_GUEST_OPTS_INIT;
	uint8_t status = 1;
	int rc;

	d->hints = NULL;
	d->interrupt = NULL;
	d->pages = NULL;
	d->stat = NULL;
	fph_device_ack(&dev);
	MUST(bus.ops->set_status(bus.ctx, 0) == 0);
	MUST(bus.ops->status(bus.ctx, &status) == 0 && status == 0);
	MUST(fph_device_set_mem(&dev, memory_map(0)) == 0);
	MUST(!fph_device_fault(&dev)->rule);

	memory_reset();
	opts.bus = bus;
	opts.ring = (struct fph_region){ LOW_GPA, LOW_LEN, memory_map(0)->regions[LOW].hva, 0 };
	opts.slots = slots;
	opts.ring_size = HONEST;
	MUST(fph_guest_init(&guest, &opts) == 0);
	rc = fph_guest_attach(&guest);
	MUST(rc == 0 || (rc == -EOPNOTSUPP && d->queue_max < 4));
	if (rc == 0)
		honest_round();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	in = (struct input){ data, size };
	memory_reset();
	memset(queues, 0, sizeof(queues));
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		queues[q].place = standard(q, QUEUE_MAX);
	if (!make_device())
		return 0;
	bus = fph_device_bus(&dev);
	for (int i = 0; i < OPS_MAX && in.left > 0; i++) {
		struct fph_vq_dev before[FPH_QUEUE_COUNT];

		memcpy(before, d->vq, sizeof(before));
		hooks = 0;
		step(next8(&in));
		judge(before);
		if (i % CHECK_EVERY == CHECK_EVERY - 1)
			memory_check();
	}
	memory_check();
	recover();
	return 0;
}
