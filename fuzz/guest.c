/* SPDX-License-Identifier: MIT */
/*
 * A hostile device: the input says what each verb answers, what is written into the
 * rings and when, and what the caller of the guest role does meanwhile.  Judged after
 * each step: what the guest wrote, which ranges come back and why, how often it called
 * the bus; and at the end, that it works with an honest device.
 */
#include "formats.h"
#include <errno.h>
#include <fph/device.h>
#include <guest_priv.h>
#include <string.h>

#define OPS_MAX	  400
#define SIZE	  16u /* entries of the ring, at most */
#define RING_GPA  UINT64_C(0x10000)
#define PAGES_GPA UINT64_C(0x100000000)
#define PAGES_LEN (UINT64_C(1) << 40)
#define BLOCK	  1024u
#define GUARD	  64u
#define CALLS_MAX 64u /* of the bus, in one step */

static struct {
	unsigned char before[GUARD];
	_Alignas(64) unsigned char block[BLOCK];
	unsigned char after[GUARD];
	struct fph_guest_slot slots[SIZE];
	unsigned char last[GUARD];
} memory;

static struct fph_guest guest;
static struct guest *const g = (struct guest *)(void *)&guest;
static struct input in;

/* Ranges that the caller gave and did not get back. */
static struct fph_range lent[SIZE];
static uint64_t pages; /* used so far: no two hints are alike */

/* ------------------------------------------------------------ the device */

static struct {
	bool honest; /* all goes to `real` */
	struct fph_device real;
	uint64_t offered;
	uint64_t formats; /* of the ring, offered as long as nothing else is said */
	uint32_t command;
	uint32_t irq;
	uint16_t max;
	uint8_t status;
	uint8_t stuck;	 /* bits that status shows whatever was written */
	uint8_t fail_in; /* 0: never */
	int error;
	bool unsure; /* the last write of status was answered by an error */
	bool poke; /* in the midst of the next verbs */
	struct fph_vq_place place; /* of the hint queue; size 0: none */
	uint16_t popped, used;
	unsigned char ring[6 + 8 * SIZE]; /* what the used ring must hold */
	bool packed;
	bool appeared[SIZE];		  /* ids seen in it since the step began */
	bool any;			  /* one of them */
	unsigned calls;
} dev;

static unsigned char *at(uint64_t gpa)
{
	return memory.block + (gpa - RING_GPA);
}

/* The part of the ring that the guest must not write. */
static uint32_t device_bytes(void)
{
	if (dev.place.size == 0)
		return 0;
	return dev.packed ? FPH_EVENT_BYTES : FPH_USED_BYTES(dev.place.size);
}

static void look_at_used(void)
{
	for (unsigned i = 0; i < dev.place.size; i++) {
		const unsigned char *e = dev.packed ? at(dev.place.desc) + 16 * i + 12 :
						      at(dev.place.device) + 4 + 8 * i;
		/* Used if both bits are alike, else available. */
		bool used = dev.packed ? !((e[2] ^ e[3]) & 0x80) : !e[2] && !e[3];

		if (e[0] < SIZE && !e[1] && used)
			dev.appeared[e[0]] = dev.any = true;
	}
	if (dev.place.size)
		memcpy(dev.ring, at(dev.place.device), device_bytes());
}

/* Bytes anywhere in the block, the device's own ring preferred. */
static void poke(void)
{
	uint8_t what = next8(&in);
	uint32_t offset = next16(&in), n = 1 + what % 8;

	if ((what & 0x80) && dev.place.size)
		offset = (uint32_t)(dev.place.device - RING_GPA) + offset % 140;
	for (uint32_t i = 0; i < n; i++)
		memory.block[(offset + i) % BLOCK] = next8(&in);
	look_at_used();
}

static uint16_t ld16(uint64_t gpa)
{
	return (uint16_t)(at(gpa)[0] | at(gpa)[1] << 8);
}

static void st16(uint64_t gpa, uint16_t v)
{
	at(gpa)[0] = (unsigned char)v;
	at(gpa)[1] = (unsigned char)(v >> 8);
}

static void use_packed(uint8_t how)
{
	uint64_t at = dev.place.desc + 16u * (dev.used % dev.place.size);
	bool wrap = dev.used / dev.place.size % 2 == 0;

	if (how & 0x80)
		st16(at + 12, next16(&in));
	if (how & 0x40)
		st16(at + 8, next16(&in));
	st16(at + 14, wrap != (how % 8 == 7) ? FPH_DESC_AVAIL | FPH_DESC_USED : 0);
	/* A chain of several descriptors is one used entry. */
	dev.used = (uint16_t)(dev.used + (how & 0x20 ? 1 + how % 4 : 1));
	if (how & 0x10)
		dev.irq |= FPH_IRQ_QUEUE;
	look_at_used();
}

/* Return a buffer: the next one, or whichever id the input names. */
static void use(void)
{
	uint8_t how = next8(&in);
	uint16_t mask, id;
	uint64_t entry;

	if (dev.place.size == 0)
		return;
	mask = (uint16_t)(dev.place.size - 1);
	if (dev.packed) {
		use_packed(how);
		return;
	}
	entry = dev.place.device + 4 + 8u * (dev.used & mask);
	id = ld16(dev.place.driver + 4 + 2u * (dev.popped++ & mask));
	if (how & 0x80)
		id = next16(&in);
	memset(at(entry), 0, 8);
	st16(entry, id);
	if (how & 0x40)
		st16(entry + 4, next16(&in));
	dev.used++;
	if (!(how & 0x20))
		st16(dev.place.device + 2, dev.used);
	if (how & 0x10)
		dev.irq |= FPH_IRQ_QUEUE;
	look_at_used();
}

/* Every verb begins with it.  Returns what the verb answers. */
static int verb(void)
{
	MUST(++dev.calls <= CALLS_MAX);
	if (dev.poke && in.left > 0)
		poke();
	if (dev.fail_in > 0 && --dev.fail_in == 0)
		return dev.error;
	return 0;
}

#define REAL(name, ...)                                                                            \
	do {                                                                                       \
		if (dev.honest) {                                                                  \
			struct fph_bus real_ = fph_device_bus(&dev.real);                          \
                                                                                                   \
			return real_.ops->name(real_.ctx, __VA_ARGS__);                            \
		}                                                                                  \
	} while (0)

static int bus_features(void *ctx, uint64_t *offered)
{
	(void)ctx;
	REAL(features, offered);
	*offered = dev.offered;
	return verb();
}

static int bus_accept(void *ctx, uint64_t accepted)
{
	(void)ctx;
	REAL(accept, accepted);
	MUST(!(accepted & ~dev.offered) || dev.poke); /* G-6 */
	return verb();
}

static int bus_status(void *ctx, uint8_t *status)
{
	(void)ctx;
	REAL(status, status);
	*status = dev.status | dev.stuck;
	return verb();
}

static int bus_set_status(void *ctx, uint8_t status)
{
	int rc;

	(void)ctx;
	REAL(set_status, status);
	/* A write whose answer was lost is one that the guest cannot know of. */
	MUST(status == 0 || dev.unsure || (dev.status & ~status) == 0); /* G-2 */
	dev.status = status;
	dev.unsure = (rc = verb()) < 0;
	return rc;
}

static int bus_config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	unsigned char *to = buf;

	(void)ctx;
	REAL(config, offset, buf, len);
	MUST(offset == FPH_CONFIG_COMMAND_ID && len == 4);
	for (uint32_t i = 0; i < len; i++)
		to[i] = (unsigned char)(dev.command >> (8 * i));
	return verb();
}

static int bus_set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	(void)ctx;
	REAL(set_config, offset, buf, len);
	MUST(offset == FPH_CONFIG_POISON && len == 4);
	return verb();
}

static int bus_vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	(void)ctx;
	REAL(vq_max, queue, max);
	*max = dev.max;
	return verb();
}

static int bus_vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	(void)ctx;
	REAL(vq_enable, queue, place);
	MUST(place->size > 0 && place->size <= SIZE && (place->size & (place->size - 1)) == 0);
	MUST(!(place->desc & 15) && !(place->driver & 1) && !(place->device & 3)); /* V-1, P-1 */
	MUST(place->desc >= RING_GPA);
	MUST(place->device + (g->vq.format.packed ? FPH_EVENT_BYTES : FPH_USED_BYTES(place->size)) <=
	     RING_GPA + BLOCK);
	if (g->vq.size && place->desc == g->vq.place.desc) {
		dev.place = *place;
		dev.packed = g->vq.format.packed;
		dev.popped = dev.used = 0;
		look_at_used();
	}
	return verb();
}

static int bus_notify(void *ctx, uint16_t queue)
{
	(void)ctx;
	REAL(notify, queue);
	MUST((dev.status & FPH_STATUS_DRIVER_OK) || dev.unsure); /* G-15 */
	return verb();
}

static int bus_notify_data(void *ctx, uint16_t queue, uint16_t next)
{
	(void)ctx;
	REAL(notify_data, queue, next);
	MUST(g->accepted & FPH_F_NOTIFICATION_DATA); /* N-1 */
	MUST((dev.status & FPH_STATUS_DRIVER_OK) || dev.unsure); /* G-15 */
	return verb();
}

static int bus_take_irq(void *ctx, uint32_t *irq)
{
	(void)ctx;
	REAL(take_irq, irq);
	*irq = dev.irq;
	dev.irq = 0;
	return verb();
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
	.notify = bus_notify,
	.take_irq = bus_take_irq,
	.notify_data = bus_notify_data,
};

/* ------------------------------------------------------------ oracles */

static void judge_memory(void)
{
	for (unsigned i = 0; i < GUARD; i++)
		MUST(memory.before[i] == 0x5a && memory.after[i] == 0x5a && memory.last[i] == 0x5a);
	/* The used ring is the device's. */
	if (dev.place.size && !dev.honest)
		MUST(memcmp(dev.ring, at(dev.place.device), device_bytes()) == 0);
}

/* Every slot is in one place, and the counters say how many are where. */
static void judge_slots(void)
{
	unsigned unused = 0, out = 0, shown = 0 /* chains */, queued = 0, returned = 0;
	uint64_t held = 0;
	uint16_t slot = g->returned.first;

	if (!g->placed && g->returned.first == FPH_NO_SLOT) {
		MUST(g->held == 0);
		return;
	}
	for (unsigned i = 0; i < g->vq.size; i++) {
		const struct fph_guest_slot *s = &memory.slots[i];

		unused += s->state == FPH_SLOT_FREE;
		out += (s->state & FPH_SLOT_SHOWN) != 0;
		shown += (s->state & FPH_SLOT_SHOWN) && s->state >= FPH_SLOT_COUNT;
		queued += ((s->state & FPH_SLOT_KIND) == FPH_SLOT_HINT ||
			   (s->state & FPH_SLOT_KIND) == FPH_SLOT_MESSAGE) &&
			  !(s->state & FPH_SLOT_SHOWN);
		returned += s->state == FPH_SLOT_RETURNED;
		if (s->state == FPH_SLOT_RETURNED || (s->state & FPH_SLOT_KIND) == FPH_SLOT_HINT)
			held += s->len;
	}
	MUST(unused + out + queued + returned == g->vq.size);
	MUST(held == g->held);
	for (unsigned i = 0; i < returned; i++, slot = memory.slots[slot].next)
		MUST(slot < SIZE && memory.slots[slot].state == FPH_SLOT_RETURNED);
	MUST(slot == FPH_NO_SLOT);
	if (!g->placed)
		return;
	MUST(unused == g->vq.free_count);
	MUST(shown == g->vq.chains);
	MUST(g->vq.batch > 1 || queued == (uint16_t)(g->vq.queued - g->vq.published));
}

/* The first slot of the chain that slot i is part of. */
static unsigned head_of(const struct fph_guest_slot *slots, unsigned i)
{
	for (unsigned n = 0; slots[i].state < FPH_SLOT_COUNT && n < g->vq.size; n++)
		i = (i - 1u) & (g->vq.size - 1u);
	return i;
}

/*
 * A slot whose buffer the device had comes back because its chain's id stood in the used
 * ring; in order, an id stands for all before it.
 */
static void judge_returned(const struct fph_guest_slot *before)
{
	for (unsigned i = 0; g->placed && i < g->vq.size; i++)
		if ((before[i].state & (FPH_SLOT_KIND | FPH_SLOT_SHOWN)) ==
			    (FPH_SLOT_HINT | FPH_SLOT_SHOWN) &&
		    memory.slots[i].state != before[i].state)
			MUST(g->vq.format.in_order ? dev.any : dev.appeared[head_of(before, i)]);
}

/* The first fault stays, and nothing goes on, until reset. */
static void judge_fault(struct fph_fault before, uint8_t op, int rc)
{
	const struct fph_fault *now = fph_guest_fault(&guest);

	MUST(now->rule < FPH_RULE_COUNT);
	if (op < 2 || !before.rule)
		return;
	MUST(now->rule == before.rule && now->value == before.value);
	if (op <= 5)
		MUST(rc == -EPROTO || rc == -ENOTCONN);
}

/* ------------------------------------------------------------ the caller */

static void remember(struct fph_range r)
{
	for (unsigned i = 0; i < SIZE; i++)
		if (lent[i].len == 0) {
			lent[i] = r;
			return;
		}
	MUST(false); /* more hints than entries */
}

static void collect(size_t max)
{
	struct fph_range out[SIZE];
	int n = fph_guest_reclaim(&guest, out, max < SIZE ? max : SIZE);

	MUST(n >= 0 && (size_t)n <= max);
	MUST(n == 0 || !(g->flags & FPH_GUEST_EARLY_REUSE));
	for (int i = 0; i < n; i++) {
		unsigned k = 0;

		while (k < SIZE && (lent[k].gpa != out[i].gpa || lent[k].len != out[i].len))
			k++;
		MUST(k < SIZE); /* or it was never given, or came twice */
		lent[k].len = 0;
	}
}

static int hint(void)
{
	struct fph_range r[4];
	uint8_t how = next8(&in);
	unsigned n = 1 + how % 4;
	int rc;

	for (unsigned i = 0; i < n; i++) {
		uint64_t len = (1u + (how >> 4)) * FPH_HINT_PAGE;

		r[i] = (struct fph_range){ PAGES_GPA + pages * FPH_HINT_PAGE, len };
		pages += 16;
	}
	if ((how & 0x0c) == 0x0c) {
		r[n - 1] = (struct fph_range){ next64(&in), next32(&in) };
		r[n - 1].gpa |= how & 0x10; /* then it is never taken */
	}
	rc = fph_guest_hint(&guest, r, n);
	MUST(rc <= (int)n);
	for (int i = 0; i < rc && !(g->flags & FPH_GUEST_EARLY_REUSE); i++)
		remember(r[i]);
	return rc;
}

static int reset(void)
{
	int rc = fph_guest_reset(&guest);

	if (rc == 0) {
		collect(SIZE);
		for (unsigned i = 0; i < SIZE; i++)
			MUST(lent[i].len == 0);
		MUST(fph_guest_held(&guest) == 0);
		MUST(!fph_guest_fault(&guest)->rule);
		dev.place.size = 0;
	}
	return rc;
}

static int attach(void)
{
	int rc = fph_guest_attach(&guest);

	if (rc == 0)
		MUST(strcmp(fph_guest_state_name(&guest), "DOWN"));
	if (rc != 0 && !g->placed)
		dev.place.size = 0;
	return rc;
}

static int step(void)
{
	static uint64_t now;
	uint8_t how = next8(&in);
	int rc;

	now += how & 0x80 ? UINT64_C(1) << (how % 64) : how;
	rc = fph_guest_step(&guest, now);
	MUST(rc < 16);
	return rc;
}

static void device(uint8_t op)
{
	static const int errors[] = { -EIO, -EPROTO, -EAGAIN, -EOPNOTSUPP };
	uint8_t v = next8(&in);

	switch (op % 10) {
	case 0:
	case 1:
	case 2:
		use();
		break;
	case 3:
		poke();
		break;
	case 4:
	case 5: /* show an id, or something else */
		dev.command = v & 0x80 ? next32(&in) : v % 4;
		dev.irq |= FPH_IRQ_CONFIG;
		break;
	case 6:
		dev.irq = next16(&in);
		break;
	case 7:
		dev.fail_in = v % 16;
		dev.error = errors[v >> 6];
		break;
	case 8:
		dev.stuck = v & 0x40 ? v : 0;
		dev.poke = v & 1;
		break;
	default:
		dev.max = v & 0x80 ? next16(&in) : v % 32;
		dev.offered = v & 0x40 ? next64(&in) :
					 dev.formats | FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT |
						 (v & 0x3f);
		break;
	}
}

static void run(uint8_t op)
{
	struct fph_guest_slot before[SIZE];
	struct fph_fault fault = *fph_guest_fault(&guest);
	int rc = 0;

	memcpy(before, memory.slots, sizeof(before));
	memset(dev.appeared, 0, sizeof(dev.appeared));
	dev.any = false;
	look_at_used();
	dev.calls = 0;
	op %= 20;
	switch (op) {
	case 0:
		rc = attach();
		break;
	case 1:
		if (next8(&in) % 4 == 0)
			rc = reset();
		break;
	case 2:
		rc = step();
		break;
	case 3:
		rc = hint();
		break;
	case 4:
		rc = fph_guest_flush(&guest);
		break;
	case 5:
		rc = fph_guest_end(&guest);
		break;
	case 6:
		collect(next8(&in));
		break;
	case 7:
		rc = step();
		rc = hint();
		rc = fph_guest_flush(&guest);
		op = 4;
		break;
	case 18:
		rc = fph_guest_suspend(&guest);
		op = 4;
		break;
	case 19:
		rc = fph_guest_resume(&guest);
		op = 4;
		break;
	default:
		device(op);
		break;
	}
	judge_memory();
	judge_slots();
	if (op >= 2 || rc == -EAGAIN) /* else a reset gave all back */
		judge_returned(before);
	judge_fault(fault, op, rc);
}

/* ------------------------------------------------------------ an honest device */

static void recover(void)
{
	static const struct fph_region regions[] = {
		{ RING_GPA, BLOCK, memory.block, 0 },
		{ PAGES_GPA, PAGES_LEN, NULL, 0 },
	};
	static const struct fph_mem mem = { regions, 2 };
	struct fph_device_opts opts = FPH_DEVICE_OPTS_INIT;
	struct fph_range r[2] = { { PAGES_GPA, 4096 }, { PAGES_GPA + 8192, 8192 } }, out[4];

	opts.mem = &mem;
	opts.offer = dev.formats;
	MUST(fph_device_init(&dev.real, &opts) == 0);
	dev.honest = true;
	MUST(reset() == 0);
	MUST(attach() == 0);
	MUST(fph_device_start(&dev.real) == 0);
	MUST(fph_guest_step(&guest, 0) & FPH_GUEST_FEED);
	MUST(fph_guest_hint(&guest, r, 1) == 1 && fph_guest_end(&guest) == 0);
	MUST(fph_device_poll(&dev.real, out, 4) == 1 && out[0].gpa == r[0].gpa);
	MUST(fph_device_start(&dev.real) == 0);
	MUST(fph_guest_step(&guest, 0) & FPH_GUEST_FEED);
	MUST(fph_guest_hint(&guest, r + 1, 1) == 1 && fph_guest_flush(&guest) == 0);
	MUST(fph_device_poll(&dev.real, out, 4) == 1 && out[0].len == r[1].len);
	MUST(fph_device_done(&dev.real) == 0);
	MUST(fph_guest_step(&guest, 0) & FPH_GUEST_RELEASE);
	MUST(fph_device_poll(&dev.real, out, 4) == 0);
	MUST(fph_guest_step(&guest, 0) & FPH_GUEST_RELEASE);
	if (!(g->flags & FPH_GUEST_EARLY_REUSE))
		MUST(fph_guest_reclaim(&guest, out, 4) == 2);
	MUST(fph_guest_held(&guest) == 0);
	judge_memory();
	judge_slots();
}

static bool make_guest(void)
{
	static const struct fph_stat stats[FPH_GUEST_STATS_MAX] = { { 1, 2 }, { 3, 4 } };
	struct fph_guest_opts opts = FPH_GUEST_OPTS_INIT;
	uint8_t how = next8(&in), format = next8(&in);

	dev.formats = formats_of(format & 0x7f);
	dev.offered |= dev.formats;
	opts.batch = format & 0x80 ? 1 + (how >> 2) % 4 : 0;
	opts.bus = (struct fph_bus){ &bus_ops, NULL };
	opts.ring_size = (uint16_t)(4u << how % 3);
	opts.ring = (struct fph_region){ RING_GPA, fph_guest_ring_bytes(opts.ring_size),
					 memory.block, 0 };
	opts.slots = memory.slots;
	opts.layout = (enum fph_vq_layout)((how >> 2) % 3);
	opts.flags = (how & 0x40 ? FPH_GUEST_EARLY_REUSE : 0) | (how & 0x80 ? FPH_GUEST_POISON : 0);
	opts.stats = stats;
	opts.stat_count = how & 0x20 ? FPH_GUEST_STATS_MAX : 0;
	MUST(opts.ring.len <= BLOCK);
	return fph_guest_init(&guest, &opts) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	in = (struct input){ data, size };
	memset(&memory, 0x5a, sizeof(memory));
	memset(&dev, 0, sizeof(dev));
	memset(lent, 0, sizeof(lent));
	pages = 0;
	dev.offered = FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT | FPH_F_STATS_VQ;
	dev.max = 256;
	if (!make_guest())
		return 0;
	dev.command = 0x80000000;
	for (int i = 0; i < OPS_MAX && in.left > 0; i++)
		run(next8(&in));
	recover();
	return 0;
}
