/* SPDX-License-Identifier: MIT */
#include "err.h"
#include "guest_priv.h"
#include "opts.h"
#include "shm.h"

_Static_assert(sizeof(struct guest) <= sizeof(struct fph_guest), "the box is too small");
_Static_assert(_Alignof(struct guest) <= _Alignof(struct fph_guest), "the box is misaligned");

#define STATS_0_1 (offsetof(struct fph_guest_stats, resets) + sizeof(uint64_t))

/* ------------------------------------------------------------ the round's state */

static const struct fph_guest_cell table[FPH_GUEST_STATE_COUNT][FPH_GUEST_EVENT_COUNT] = {
#define CELL_(next, act) { FPH_GUEST_STATE_##next, FPH_GUEST_##act }
#define ROW(state, a, b, c, d, e, f, g)                                                            \
	[FPH_GUEST_STATE_##state] = { CELL_ a, CELL_ b, CELL_ c, CELL_ d, CELL_ e, CELL_ f, CELL_ g },
	FPH_GUEST_TABLE(ROW)
#undef ROW
#undef CELL_
};

#define WANT_NOTHING 0
#define WANT_RELEASE FPH_GUEST_RELEASE
#define WANT_FEED    FPH_GUEST_FEED

static const unsigned char wants[] = {
#define WANTS(name, what) what,
	FPH_GUEST_STATES(WANTS)
#undef WANTS
};

enum fph_guest_act fph_guest_move(struct guest *g, enum fph_guest_event event)
{
	struct fph_guest_cell cell = table[g->state][event];

	g->state = cell.next;
	return (enum fph_guest_act)cell.act;
}

static int broken(struct guest *g, const struct fph_fault *fault)
{
	if (!g->fault.rule) {
		g->fault = *fault;
		g->fault.queue = g->hint_queue;
	}
	return -EPROTO;
}

int fph_guest_broken(struct guest *g, uint8_t status)
{
	struct fph_fault fault = { .rule = FPH_RULE_NEEDS_RESET, .value = status };

	return broken(g, &fault);
}

static int usable(const struct guest *g)
{
	/* G-15, S-2: nothing is said to a device that was told to reset, or to sleep. */
	if (g->state == FPH_GUEST_STATE_DOWN || g->reset_sent || g->suspended)
		return -ENOTCONN;
	return g->fault.rule ? -EPROTO : 0;
}

/* ------------------------------------------------------------ slots and messages */

void fph_guest_settle(struct guest *g, uint16_t slot)
{
	struct fph_guest_slot *s = &g->slots[slot];
	bool hint = (s->state & FPH_SLOT_KIND) == FPH_SLOT_HINT;

	if (hint && !(g->flags & FPH_GUEST_EARLY_REUSE)) {
		fph_vq_list_add(&g->vq, &g->returned, slot);
		return;
	}
	if (hint)
		g->held -= s->len;
	fph_vq_drv_free(&g->vq, slot);
}

/*
 * One word of memory a slot, so that a message is never overwritten before its
 * buffer came back (H1, G7).
 */
static void queue_message(struct guest *g, uint32_t word)
{
	uint64_t offset = fph_vq_drv_bytes(g->vq.size) + 4 * (uint64_t)fph_vq_drv_slot(&g->vq);

	fph_st32((unsigned char *)g->ring.hva + offset, word);
	fph_vq_drv_add(&g->vq, g->ring.gpa + offset, 4, FPH_SLOT_MESSAGE); /* BH-1 */
}

int fph_guest_ring(struct guest *g, uint16_t queue, const struct fph_vq_drv *vq)
{
	if (g->accepted & FPH_F_NOTIFICATION_DATA) /* N-1 */
		return BUS(g, notify_data, queue, fph_vq_drv_next(vq));
	return BUS(g, notify, queue);
}

static int kick(struct guest *g)
{
	int rc = fph_guest_ring(g, g->hint_queue, &g->vq);

	g->kick_owed = rc < 0;
	g->total.kicks += rc >= 0;
	return rc;
}

/* Show what is queued.  One doorbell at most. */
static int show(struct guest *g)
{
	int ring = fph_vq_drv_publish(&g->vq);

	if (ring != -EAGAIN) {
		g->progress = true;
		g->total.kicks_saved += !ring;
	}
	return ring > 0 || g->kick_owed ? kick(g) : 0;
}

static uint16_t slot_behind(const struct guest *g, uint16_t slot)
{
	return (uint16_t)(slot + 1) & (uint16_t)(g->vq.size - 1);
}

/*
 * Take back what the device has not seen, and hand it to the caller.  Returns whether
 * START was among it.
 */
static bool withdraw(struct guest *g)
{
	uint16_t slot, count;
	bool start = false;

	while (fph_vq_drv_withdraw(&g->vq, &slot, &count)) {
		for (; count; count--, slot = slot_behind(g, slot)) {
			if (g->slots[slot].state == FPH_SLOT_HINT)
				g->total.withdrawn++;
			else
				start = true;
			fph_guest_settle(g, slot);
		}
	}
	return start;
}

/* ------------------------------------------------------------ the command id */

static int act_on(struct guest *g, enum fph_guest_event event)
{
	if (fph_guest_move(g, event) != FPH_GUEST_close)
		return 0;
	if (withdraw(g))
		return 0;
	queue_message(g, FPH_COMMAND_STOP); /* BH-6; the slot was kept for it (G9) */
	return show(g);
}

static int read_command(struct guest *g)
{
	unsigned char bytes[4];
	uint32_t command;
	int rc = BUS(g, config, FPH_CONFIG_COMMAND_ID, bytes, sizeof(bytes));

	if (rc < 0)
		return rc;
	g->look_again = false;
	/* BC-2.  Read once; START will carry this value, not another look (H2, G4). */
	command = fph_ld32_bytes(bytes);
	if (command == FPH_COMMAND_STOP)
		return act_on(g, FPH_GUEST_EV_SEE_STOP);
	if (command == FPH_COMMAND_DONE)
		return act_on(g, FPH_GUEST_EV_SEE_DONE);
	if (command == g->seen)
		return 0; /* answered already, or being answered: BH-3 */
	rc = act_on(g, FPH_GUEST_EV_SEE_NEW);
	g->seen = command;
	return rc;
}

int fph_guest_look(struct guest *g)
{
	uint32_t irq = 0;
	uint8_t status;
	int rc = BUS(g, take_irq, &irq);

	/* The bits may have been taken and the answer lost: then one look too many. */
	if (rc < 0 || (irq & FPH_IRQ_CONFIG))
		g->look_again = true;
	if (rc < 0)
		return rc;
	if (!g->look_again)
		return 0; /* G1, A5-10: the field is read once a notification, never polled (Q1) */
	rc = BUS(g, status, &status);
	if (rc < 0)
		return rc;
	if (status & FPH_STATUS_NEEDS_RESET) /* G-3 */
		return fph_guest_broken(g, status);
	return read_command(g);
}

/* ------------------------------------------------------------ returned buffers */

static void take_back(struct guest *g, uint16_t slot)
{
	g->total.returned += g->slots[slot].state == FPH_SLOT_HINT;
	fph_guest_settle(g, slot);
}

/* They are the caller's already. */
static void reuse_all(struct guest *g)
{
	uint16_t slot;

	while ((slot = g->returned.first) != FPH_NO_SLOT) {
		g->returned.first = g->slots[slot].next;
		g->held -= g->slots[slot].len;
		fph_vq_drv_free(&g->vq, slot);
	}
}

static int reap(struct guest *g)
{
	struct fph_fault fault = { 0 };
	uint16_t before = g->vq.chains, slot, count;
	int rc;

	/* Bounded: what is reaped was in flight, and nothing is shown meanwhile. */
	do {
		g->total.returned += fph_vq_drv_reap_hints(&g->vq, &g->returned);
		rc = fph_vq_drv_reap(&g->vq, &slot, &count, &fault);
		for (count = rc > 0 ? count : 0; count; count--, slot = slot_behind(g, slot))
			take_back(g, slot);
	} while (rc > 0);
	if (g->flags & FPH_GUEST_EARLY_REUSE)
		reuse_all(g);
	g->progress |= g->vq.chains != before;
	/* Messages alone are nothing that a caller who waits for room could reclaim. */
	if (g->returned.first != FPH_NO_SLOT || (g->flags & FPH_GUEST_EARLY_REUSE))
		g->ring_full &= g->vq.chains == before;
	return rc < 0 ? broken(g, &fault) : 0;
}

/*
 * Interrupts are wanted only while somebody waits for buffers: the ring is full,
 * or the round is closed and pages are still out.  A device that interrupts for
 * each buffer of a round (B3) is not asked to.
 */
static int choose_interrupts(struct guest *g)
{
	bool waits = g->ring_full || !(wants[g->state] & FPH_GUEST_FEED);
	int rc = 0;

	/* Bounded: asked anew only if buffers came back, and none are shown meanwhile. */
	while (rc == 0 && fph_vq_drv_interrupt(&g->vq, waits))
		rc = reap(g);
	return rc;
}

/* B1: QEMU can miss a doorbell.  Ring again when nothing moved for a while. */
static int watch(struct guest *g, uint64_t now_us)
{
	uint64_t idle;
	int rc;

	if (g->progress || !g->vq.chains || now_us < g->progress_us) {
		g->progress = false;
		g->stalled = false;
		g->progress_us = g->kick_us = now_us;
		return 0;
	}
	idle = now_us - g->progress_us;
	g->stalled = idle >= g->stall_us && g->stall_us != UINT64_MAX;
	if (now_us - g->kick_us < g->rekick_us || g->rekick_us == UINT64_MAX)
		return 0;
	g->kick_us = now_us;
	rc = fph_guest_ring(g, g->hint_queue, &g->vq);
	g->total.rekicks += rc >= 0;
	return rc;
}

int fph_guest_step(struct fph_guest *guest, uint64_t now_us)
{
	struct guest *g = guest_of(guest);
	int rc = usable(g), want;

	if (rc == 0)
		rc = fph_guest_look(g);
	/* M-8: behind the look, which takes the bits that tell of what came back. */
	if (rc == 0)
		rc = reap(g);
	if (rc == 0)
		rc = choose_interrupts(g);
	if (rc == 0)
		rc = fph_guest_serve_stats(g);
	if (rc == 0 && g->kick_owed)
		rc = kick(g);
	if (rc == 0)
		rc = watch(g, now_us);
	if (rc < 0)
		return rc;

	want = wants[g->state];
	if (g->returned.first != FPH_NO_SLOT)
		want |= FPH_GUEST_RECLAIM;
	if (g->stalled)
		want |= FPH_GUEST_STALLED;
	return want;
}

/* ------------------------------------------------------------ hints */

/* May all of them be hinted?  Then *bytes is their sum. */
static bool are_hints(const struct fph_range *pages, size_t n, uint64_t *bytes)
{
	uint64_t low = 0, sum = 0;
	bool bad = false;

	for (size_t i = 0; i < n; i++) {
		uint64_t gpa = pages[i].gpa, last = pages[i].len - 1;

		low |= gpa | pages[i].len;
		bad |= last >= FPH_HINT_MAX || gpa + last < gpa;
		sum += pages[i].len;
	}
	*bytes = sum;
	return !bad && (low & (FPH_HINT_PAGE - 1)) == 0;
}

int fph_guest_hint(struct fph_guest *guest, const struct fph_range *pages, size_t n)
{
	struct guest *g = guest_of(guest);
	uint16_t keep = 1; /* for STOP (G9) */
	uint32_t room, taken;
	uint64_t bytes;
	int rc = usable(g);

	if (rc < 0)
		return rc;
	if (!(wants[g->state] & FPH_GUEST_FEED))
		return -EAGAIN; /* BH-4, BH-5 */
	n = n < INT32_MAX ? n : INT32_MAX;
	if (!are_hints(pages, n, &bytes))
		return -EINVAL;
	rc = reap(g);
	if (rc < 0 || n == 0)
		return rc;

	if (g->state == FPH_GUEST_STATE_ASKED)
		keep = 2;
	if (g->vq.free_count <= keep) {
		g->ring_full = true;
		g->total.full++;
		rc = choose_interrupts(g);
		if (rc < 0 || g->vq.free_count <= keep)
			return rc;
	}
	if (fph_guest_move(g, FPH_GUEST_EV_FED) == FPH_GUEST_open) {
		g->total.rounds++;
		queue_message(g, g->seen); /* BH-2 */
	}
	/* One slot is kept for STOP (G9). */
	room = g->vq.free_count - 1u;
	taken = fph_vq_drv_add_hints(&g->vq, pages, n < room ? (uint32_t)n : room);
	for (size_t i = taken; i < n; i++)
		bytes -= pages[i].len;
	g->held += bytes;
	g->total.hints += taken;
	g->total.bytes += bytes;
	if (taken < n) {
		g->ring_full = true;
		g->total.full++;
	}
	return (int)taken;
}

int fph_guest_flush(struct fph_guest *guest)
{
	struct guest *g = guest_of(guest);
	uint64_t withdrawn = g->total.withdrawn;
	int rc = usable(g);

	if (rc == 0)
		rc = fph_guest_look(g); /* H2, G11: once more before anything is shown */
	if (rc == 0)
		rc = show(g);
	if (rc == 0)
		rc = choose_interrupts(g);
	if (rc < 0)
		return rc;
	return g->total.withdrawn != withdrawn ? -EAGAIN : 0;
}

int fph_guest_end(struct fph_guest *guest)
{
	struct guest *g = guest_of(guest);
	uint32_t round = g->seen;
	int rc = usable(g);

	if (rc == 0)
		rc = fph_guest_look(g);
	if (rc == 0)
		rc = reap(g);
	if (rc < 0)
		return rc;
	/* The look closed the caller's round; the one that it opened is still to be fed. */
	if (g->seen != round)
		return choose_interrupts(g);
	if (g->state == FPH_GUEST_STATE_ASKED && g->vq.free_count < 2) {
		g->ring_full = true;
		rc = choose_interrupts(g);
		return rc < 0 ? rc : -EAGAIN;
	}

	switch (fph_guest_move(g, FPH_GUEST_EV_END)) {
	case FPH_GUEST_pass:
		g->total.rounds++;
		queue_message(g, g->seen);
		queue_message(g, FPH_COMMAND_STOP);
		break;
	case FPH_GUEST_finish:
		queue_message(g, FPH_COMMAND_STOP);
		break;
	default:
		break;
	}
	rc = show(g);
	return rc < 0 ? rc : choose_interrupts(g);
}

int fph_guest_reclaim(struct fph_guest *guest, struct fph_range *out, size_t max)
{
	struct guest *g = guest_of(guest);
	struct fph_guest_slot *slots = g->slots;
	uint16_t slot = g->returned.first;
	uint64_t bytes = 0;
	size_t n;

	max = max < INT32_MAX ? max : INT32_MAX;
	for (n = 0; n < max && slot != FPH_NO_SLOT; n++) {
		out[n].gpa = slots[slot].gpa;
		out[n].len = slots[slot].len;
		bytes += slots[slot].len;
		slots[slot].state = FPH_SLOT_FREE;
		slot = slots[slot].next;
	}
	g->returned.first = slot;
	g->held -= bytes;
	g->vq.free_count = (uint16_t)(g->vq.free_count + n);
	return (int)n;
}

/* ------------------------------------------------------------ questions */

uint64_t fph_guest_held(const struct fph_guest *guest)
{
	return const_guest_of(guest)->held;
}

uint32_t fph_guest_command_id(const struct fph_guest *guest)
{
	return const_guest_of(guest)->seen;
}

const char *fph_guest_state_name(const struct fph_guest *guest)
{
	static const char names[][8] = {
#define NAME(name, what) #name,
		FPH_GUEST_STATES(NAME)
#undef NAME
	};

	return names[const_guest_of(guest)->state];
}

const struct fph_fault *fph_guest_fault(const struct fph_guest *guest)
{
	return &const_guest_of(guest)->fault;
}

int fph_guest_total_stats(const struct fph_guest *guest, struct fph_guest_stats *stats)
{
	return fph_copy_stats(stats, &stats->size, &const_guest_of(guest)->total,
			      sizeof(*stats), STATS_0_1, NULL);
}
