/* SPDX-License-Identifier: MIT */
#include "life.h"
#include <errno.h>
#include <string.h>

#define PAGE	   FPH_HINT_PAGE
#define RING_GPA   UINT64_C(0x10000)
#define PAGES_GPA  UINT64_C(0x40000)
#define DRAIN_MAX  64 /* turns in which everything must have come back */

/* The driver's rings; static, since there is one life at a time. */
static _Alignas(4096) unsigned char ring[4096];

static void expect(struct life *l, bool holds, const char *oracle)
{
	if (!holds && !l->broken)
		l->broken = oracle;
}

static uint64_t gpa_of(unsigned page)
{
	return PAGES_GPA + (uint64_t)page * PAGE;
}

static unsigned page_of(uint64_t gpa)
{
	return (unsigned)((gpa - PAGES_GPA) / PAGE);
}

/* Is that a range of whole pages of this life, as mapped now? */
static bool is_pages(const struct life *l, struct fph_range r)
{
	unsigned pages = l->mapped_less ? l->opts.pages / 2 : l->opts.pages;

	return r.len > 0 && r.len % PAGE == 0 && r.gpa % PAGE == 0 && r.gpa >= PAGES_GPA &&
	       r.len <= pages * PAGE && r.gpa - PAGES_GPA <= pages * PAGE - r.len;
}

/* ------------------------------------------------------------ memory */

static void write_page(struct life *l, struct life_page *p)
{
	p->version = p->expected = ++l->versions;
	p->logged = true;
}

/* The first page from `from` on, around, that belongs to that owner; or NULL. */
static struct life_page *find(struct life *l, unsigned from, enum life_owner owner)
{
	for (unsigned i = 0; i < l->opts.pages; i++) {
		struct life_page *p = &l->page[(from + i) % l->opts.pages];

		if (p->owner == owner)
			return p;
	}
	return NULL;
}

static void app(struct life *l, enum life_step step, unsigned arg)
{
	struct life_page *p;

	switch (step) {
	case APP_ALLOC:
		p = find(l, arg, UNUSED);
		if (!p && l->opts.mistake == HELD_PAGE_USED)
			p = find(l, arg, HELD);
		if (!p)
			return;
		p->owner = USED;
		if (l->opts.mistake != CONTENT_RELIED_UPON)
			write_page(l, p); /* BH-8, BH-9 */
		l->reused++;
		break;
	case APP_WRITE:
		p = find(l, arg, USED);
		if (p)
			write_page(l, p);
		break;
	default:
		p = find(l, arg, USED);
		if (p)
			p->owner = UNUSED;
		break;
	}
}

/* ------------------------------------------------------------ the bus, watched */

static struct life *on_bus; /* whose steps are taken now */

#define INNER	       fph_device_bus(&on_bus->dev)
#define CALL(verb, ...) INNER.ops->verb(INNER.ctx, __VA_ARGS__)

static int bus_features(void *ctx, uint64_t *offered)
{
	(void)ctx;
	return CALL(features, offered);
}

static int bus_accept(void *ctx, uint64_t accepted)
{
	(void)ctx;
	return CALL(accept, accepted);
}

static int bus_status(void *ctx, uint8_t *status)
{
	struct life *l = ctx;
	int rc = CALL(status, status);

	if (l->resetting && l->opts.mistake == RESET_NOT_AWAITED)
		*status = 0;
	return rc;
}

static int bus_set_status(void *ctx, uint8_t status)
{
	(void)ctx;
	return CALL(set_status, status);
}

static int bus_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct life *l = ctx;
	int rc = CALL(config, offset, buf, len);
	const unsigned char *b = buf;
	uint32_t id;

	if (offset == FPH_CONFIG_COMMAND_ID && len == 4) {
		id = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
		if (id >= FPH_COMMAND_FIRST)
			l->id_seen = id;
	}
	return rc;
}

static int bus_set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	(void)ctx;
	return CALL(set_config, offset, buf, len);
}

static int bus_vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	(void)ctx;
	return CALL(vq_max, queue, max);
}

static int bus_vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	struct life *l = ctx;

	if (queue == FPH_QUEUE_HINT) {
		l->place = *place;
		l->avail_seen = l->used_seen = 0;
	}
	return CALL(vq_enable, queue, place);
}

static int bus_vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	(void)ctx;
	return CALL(vq_disable, queue, index);
}

static int bus_notify(void *ctx, uint16_t queue)
{
	(void)ctx;
	return CALL(notify, queue);
}

static int bus_take_irq(void *ctx, uint32_t *irq)
{
	(void)ctx;
	return CALL(take_irq, irq);
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

/* ------------------------------------------------------------ the ring, watched */

static uint64_t load(uint64_t gpa, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)ring[gpa - RING_GPA + i] << (8 * i);
	return v;
}

/* The page whose hint stands in descriptor i, or NULL: it holds a message. */
static struct life_page *hinted_by(struct life *l, unsigned i)
{
	uint64_t desc = l->place.desc + 16u * i;

	return load(desc + 12, 2) & 2u ? &l->page[page_of(load(desc, 8))] : NULL;
}

/* Note which hints were shown to the device and which came back. */
static void watch_ring(struct life *l)
{
	uint16_t mask = (uint16_t)(l->place.size - 1);

	for (; l->avail_seen != load(l->place.driver + 2, 2); l->avail_seen++) {
		uint64_t at = l->place.driver + 4 + 2u * (l->avail_seen & mask);
		struct life_page *p = hinted_by(l, (unsigned)load(at, 2));

		if (p)
			p->shown = true;
	}
	for (; l->used_seen != load(l->place.device + 2, 2); l->used_seen++) {
		uint64_t at = l->place.device + 4 + 8u * (l->used_seen & mask);
		struct life_page *p = hinted_by(l, (unsigned)load(at, 4));

		if (p)
			p->returned = true;
	}
}

/* A driver that rewrites the ids in all messages that it ever sent. */
static void rewrite_starts(struct life *l)
{
	uint32_t id = l->id_seen - (l->opts.mistake == START_OLD);

	for (unsigned i = 0; i < l->place.size; i++) {
		uint64_t desc = l->place.desc + 16u * i, gpa = load(desc, 8);

		if (load(desc + 8, 4) != 4 || load(gpa, 4) < FPH_COMMAND_FIRST)
			continue;
		for (unsigned k = 0; k < 4; k++)
			ring[gpa - RING_GPA + k] = (unsigned char)(id >> (8 * k));
	}
}

/* ------------------------------------------------------------ the driver */

static void reclaim(struct life *l)
{
	struct fph_range r;

	while (fph_guest_reclaim(&l->guest, &r, 1) == 1) {
		unsigned first = page_of(r.gpa), n = (unsigned)(r.len / PAGE);
		struct life_page *p = &l->page[first];

		expect(l, !l->opts.early, "early reuse has nothing to reclaim");
		expect(l, p->hint == n, "what came back was not given, or came twice");
		expect(l, p->returned || !p->shown || l->reset_done,
		       "reclaimable before the device returned the buffer");
		expect(l, !l->resetting || p->returned || !p->shown,
		       "reclaimable before the reset was complete");
		if (l->broken)
			return;
		for (unsigned i = 0; i < n; i++)
			l->page[first + i].owner = UNUSED;
		p->hint = 0;
		l->reclaimed += n;
	}
}

static void note_hint(struct life *l, unsigned first, unsigned n)
{
	struct life_page *p = &l->page[first];

	for (unsigned i = 0; i < n; i++) {
		if (l->opts.mistake != START_OLD) /* else it is given in vain */
			l->page[first + i].given[l->id_seen % LIFE_IDS]++;
		if (!l->opts.early)
			l->page[first + i].owner = HELD;
	}
	p->hint = n;
	p->shown = p->returned = false;
	l->hinted += n;
}

static void hint(struct life *l, unsigned arg)
{
	struct life_page *p = find(l, arg, UNUSED);
	struct fph_range r;
	unsigned first, n = 0;
	int rc;

	if (!p && l->opts.mistake == HINTED_TWICE)
		p = find(l, arg, HELD);
	if (!p)
		return;
	first = (unsigned)(p - l->page);
	do
		n++;
	while (n < 1 + arg % 3 && first + n < l->opts.pages && p[n].owner == p->owner);
	r = (struct fph_range){ gpa_of(first), (uint64_t)n * PAGE };
	rc = fph_guest_hint(&l->guest, &r, 1);
	expect(l, rc == 1 || rc == 0 || rc == -EAGAIN, "hint failed");
	if (rc == 1)
		note_hint(l, first, n);
}

/* A reset may wait for the device to let go of a batch. */
static void reset(struct life *l)
{
	int rc;

	l->resetting = true;
	rc = fph_guest_reset(&l->guest);
	expect(l, rc == 0 || (rc == -EAGAIN && l->unacknowledged),
	       "reset: not complete, with nothing in hand");
	if (rc < 0)
		return;
	l->resetting = false;
	l->reset_done = true;
	l->resets++;
	reclaim(l);
	expect(l, fph_guest_held(&l->guest) == 0, "not everything came back by reset");
	rc = fph_guest_attach(&l->guest);
	if (l->opts.mistake != RESET_NOT_AWAITED)
		expect(l, rc == 0, "attach failed");
	l->reset_done = false;
}

static void driver(struct life *l, enum life_step step, unsigned arg)
{
	int rc = 0;

	bool down = !strcmp(fph_guest_state_name(&l->guest), "DOWN");

	if (step == DRV_RESET || ((l->resetting || down) && step != DRV_RECLAIM))
		reset(l);
	else if (step == DRV_STEP)
		rc = fph_guest_step(&l->guest, 0);
	else if (step == DRV_HINT)
		hint(l, arg);
	else if (step == DRV_FLUSH)
		rc = fph_guest_flush(&l->guest);
	else if (step == DRV_END)
		rc = fph_guest_end(&l->guest);
	else
		reclaim(l);
	expect(l, rc >= 0 || rc == -EAGAIN || l->opts.mistake == RESET_NOT_AWAITED,
	       "the driver's end failed");
}

/* ------------------------------------------------------------ the VMM */

static void act_on(struct life *l, struct life_page *p)
{
	p->unsent = false;
	if (l->opts.mistake == LAZY_LOG)
		p->logged = false; /* here, and with it a write that nobody has read */
	if (l->opts.discard) {
		p->version = 0;
		expect(l, p->owner != USED, "a page in use was discarded");
		expect(l, p->owner == HELD || l->resetting,
		       "a page was discarded that the guest does not hold");
	}
	l->skipped++;
}

static void apply(struct life *l)
{
	for (unsigned i = 0; i < l->in_hand; i++)
		for (uint64_t k = 0; k < l->batch[i].len / PAGE; k++)
			act_on(l, &l->page[page_of(l->batch[i].gpa) + k]);
	l->in_hand = 0;
}

/* The library's promise about each range: it belongs to the round now open.  BH-13 */
static void judge(struct life *l, struct fph_range r)
{
	uint32_t id = fph_device_command(&l->dev);

	expect(l, is_pages(l, r), "a hint outside of memory");
	expect(l, id >= FPH_COMMAND_FIRST, "a hint without a round");
	if (l->broken)
		return;
	for (uint64_t k = 0; k < r.len / PAGE; k++) {
		struct life_page *p = &l->page[page_of(r.gpa) + k];

		p->handed[id % LIFE_IDS]++;
		expect(l, p->handed[id % LIFE_IDS] <= p->given[id % LIFE_IDS],
		       "a hint of another round");
	}
}

static void poll(struct life *l, unsigned arg)
{
	int rc = fph_device_poll(&l->dev, l->batch, 1 + arg % LIFE_BATCH);

	expect(l, rc >= 0 || rc == -EAGAIN || rc == -ENOTCONN, "poll failed");
	l->in_hand = rc > 0 ? (unsigned)rc : 0;
	l->unacknowledged = rc > 0;
	if (l->opts.mistake != BATCH_RELABELLED)
		for (unsigned i = 0; i < l->in_hand; i++)
			judge(l, l->batch[i]);
	if (l->opts.mistake == ACK_BEFORE_APPLY)
		fph_device_ack(&l->dev);
}

static int start(struct life *l)
{
	int rc = fph_device_start(&l->dev);
	unsigned slot = fph_device_command_id(&l->dev) % LIFE_IDS;

	for (unsigned i = 0; rc == 0 && i < l->opts.pages; i++)
		l->page[i].given[slot] = l->page[i].handed[slot] = 0;
	return rc;
}

static void sync_log(struct life *l)
{
	for (unsigned i = 0; i < l->opts.pages; i++) {
		struct life_page *p = &l->page[i];

		p->unsent |= p->logged;
		if (l->opts.mistake != LAZY_LOG)
			p->logged = false;
	}
}

static void send(struct life *l, struct life_page *p)
{
	if (l->opts.mistake == LAZY_LOG)
		p->logged = false;
	p->copy = p->version;
	p->unsent = false;
}

/* Whether the batch in hand survives a change of round, by mistake. */
static bool keeps_batch(const struct life *l)
{
	return l->opts.mistake == BATCH_KEPT || l->opts.mistake == BATCH_RELABELLED;
}

static void next_phase(struct life *l)
{
	bool swap = l->opts.mistake == START_BEFORE_SYNC;
	int rc = 0;

	switch (l->phase) {
	case 0:
		if (l->opts.mistake != SYNC_WITHOUT_STOP)
			rc = fph_device_stop(&l->dev);
		break;
	case 1:
		if (swap)
			rc = start(l);
		else
			sync_log(l);
		break;
	default:
		if (swap)
			sync_log(l);
		else
			rc = start(l);
		if (l->opts.mistake == BATCH_RELABELLED)
			for (unsigned i = 0; i < l->in_hand; i++)
				judge(l, l->batch[i]);
		break;
	}
	expect(l, rc == 0 || rc == -ENOTCONN, "the device's end failed");
	l->phase = (l->phase + 1) % 3;
}

static void vmm(struct life *l, enum life_step step, unsigned arg)
{
	/* A batch must have been acted upon before any other call on the device. */
	if (l->in_hand && step != VMM_SEND && !(keeps_batch(l) && step == VMM_ROUND)) {
		apply(l);
		return;
	}
	switch (step) {
	case VMM_ROUND:
		l->unacknowledged &= l->phase == (l->opts.mistake == START_BEFORE_SYNC ? 2 : 1);
		next_phase(l);
		break;
	case VMM_POLL:
		poll(l, arg);
		break;
	case VMM_ACK:
		fph_device_ack(&l->dev);
		l->unacknowledged = false;
		break;
	case VMM_SEND:
		for (unsigned i = 0; i < l->opts.pages; i++) {
			struct life_page *p = &l->page[(arg + i) % l->opts.pages];

			if (p->unsent) {
				send(l, p);
				break;
			}
		}
		break;
	case VMM_MAP:
		l->mapped_less = !l->mapped_less;
		l->unacknowledged = false;
		expect(l, fph_device_set_mem(&l->dev, l->mapped_less ? &l->less : &l->mem) == 0,
		       "set_mem failed");
		break;
	default:
		break; /* VMM_APPLY with nothing in hand */
	}
}

/* ------------------------------------------------------------ a whole life */

void life_step(struct life *l, enum life_step step, unsigned arg)
{
	on_bus = l;
	if (l->broken || l->finished)
		return;
	if (step < DRV_STEP)
		vmm(l, step, arg);
	else if (step < APP_ALLOC)
		driver(l, step, arg);
	else
		app(l, step, arg);
	if (l->opts.mistake == START_SHARED || l->opts.mistake == START_OLD)
		rewrite_starts(l);
	watch_ring(l);
}

/* Guest paused: stop, the last sync, the rest, done. */
static void hand_over(struct life *l)
{
	if (l->in_hand && l->opts.mistake != BATCH_KEPT)
		apply(l);
	if (l->opts.mistake != POLL_AFTER_LAST_SYNC)
		fph_device_stop(&l->dev);
	sync_log(l);
	if (l->opts.mistake == POLL_AFTER_LAST_SYNC)
		poll(l, LIFE_BATCH - 1);
	apply(l);
	for (unsigned i = 0; i < l->opts.pages; i++)
		if (l->page[i].unsent)
			send(l, &l->page[i]);
	fph_device_done(&l->dev);
	l->unacknowledged = false;
	for (unsigned i = 0; i < l->opts.pages; i++) {
		const struct life_page *p = &l->page[i];

		expect(l, p->owner != USED || p->version == p->expected, "a page was destroyed");
		expect(l, p->owner != USED || p->copy == p->version,
		       "a page in use is not at the destination");
	}
}

/* The guest runs on here, as after a migration that failed: BH-16, G-13. */
static void drain(struct life *l)
{
	for (int turn = 0; turn < DRAIN_MAX && !l->broken; turn++) {
		bool idle = !strcmp(fph_guest_state_name(&l->guest), "IDLE");

		if (!l->resetting && idle && fph_guest_held(&l->guest) == 0)
			break;
		if (l->opts.mistake != NO_DRAIN)
			life_step(l, VMM_POLL, 2);
		expect(l, l->in_hand == 0, "a hint after done");
		life_step(l, DRV_STEP, 0);
		life_step(l, DRV_RECLAIM, 0);
	}
	expect(l, !l->resetting && !strcmp(fph_guest_state_name(&l->guest), "IDLE"),
	       "the guest does not see done");
	for (unsigned i = 0; i < l->opts.pages; i++)
		expect(l, l->page[i].owner != HELD, "a page never came back");
	expect(l, fph_guest_held(&l->guest) == 0, "the guest's end holds what it gave back");
}

const char *life_end(struct life *l)
{
	on_bus = l;
	if (!l->broken)
		hand_over(l);
	if (!l->broken)
		drain(l);
	l->finished = true;
	if (l->opts.mistake == MISTAKE_NONE || l->opts.mistake == LAZY_LOG)
		expect(l, !fph_device_fault(&l->dev)->rule && !fph_guest_fault(&l->guest)->rule,
		       "an honest end was blamed");
	return l->broken;
}

/* Three regions of pages that adjoin, so that a hint may have to be cut in two. */
static void make_memory(struct life *l)
{
	uint64_t half = l->opts.pages / 2, quarter = half / 2;
	uint32_t n = 0;

	l->regions[n++] = (struct fph_region){ RING_GPA, sizeof(ring), ring, 0 };
	if (quarter > 0)
		l->regions[n++] = (struct fph_region){ gpa_of(0), quarter * PAGE, NULL, 0 };
	if (half > quarter)
		l->regions[n++] = (struct fph_region){ gpa_of((unsigned)quarter),
						       (half - quarter) * PAGE, NULL, 0 };
	l->less = (struct fph_mem){ l->regions, n };
	l->regions[n++] = (struct fph_region){ gpa_of((unsigned)half),
					       (l->opts.pages - half) * PAGE, NULL, 0 };
	l->mem = (struct fph_mem){ l->regions, n };
}

void life_begin(struct life *l, const struct life_opts *opts)
{
	struct fph_device_opts device_opts = FPH_DEVICE_OPTS_INIT;
	struct fph_guest_opts guest_opts = FPH_GUEST_OPTS_INIT;

	memset(l, 0, sizeof(*l));
	on_bus = l;
	l->opts = *opts;
	make_memory(l);
	for (unsigned i = 0; i < opts->pages; i++) {
		write_page(l, &l->page[i]);
		l->page[i].unsent = true;
		l->page[i].owner = i % 2 ? USED : UNUSED;
	}

	device_opts.mem = &l->mem;
	expect(l, fph_device_init(&l->dev, &device_opts) == 0, "device_init failed");
	guest_opts.bus = (struct fph_bus){ &bus_ops, l };
	guest_opts.ring = (struct fph_region){ RING_GPA, sizeof(ring), ring, 0 };
	guest_opts.slots = l->slots;
	guest_opts.ring_size = opts->ring;
	guest_opts.flags = opts->early ? FPH_GUEST_EARLY_REUSE : 0;
	expect(l, fph_guest_init(&l->guest, &guest_opts) == 0, "guest_init failed");
	expect(l, fph_guest_attach(&l->guest) == 0, "attach failed");
	watch_ring(l);
}
