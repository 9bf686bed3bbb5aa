/* SPDX-License-Identifier: MIT */
#include "err.h"
#include "guest_priv.h"
#include "opts.h"
#include "shm.h"

#define RING_MIN	  4u /* START, STOP, and room for hints between them */
#define BATCH_MAX	  256u
#define STATS_BYTES	  (FPH_GUEST_STATS_MAX * FPH_STAT_BYTES)
#define OPTIONAL                                                                                   \
	(FPH_VQ_FEATURES | FPH_F_ORDER_PLATFORM | FPH_F_NOTIFICATION_DATA | FPH_F_SUSPEND)
#define DEFAULT_REKICK_US 100000u
#define DEFAULT_STALL_US  10000000u

/* ------------------------------------------------------------ the shared memory */

/*
 * One block: the hint ring, a word for the message of each of its entries, the
 * statistics ring, its buffer.
 */
static uint32_t stats_ring_offset(uint16_t ring_size)
{
	return (fph_vq_drv_bytes(ring_size) + 4u * ring_size + 15u) & ~15u;
}

static uint32_t stats_buffer_offset(uint16_t ring_size)
{
	return stats_ring_offset(ring_size) + fph_vq_drv_bytes(STATS_RING);
}

static bool is_ring_size(uint32_t n)
{
	return n >= RING_MIN && n <= 32768 && (n & (n - 1)) == 0;
}

size_t fph_guest_ring_bytes(uint16_t ring_size)
{
	return is_ring_size(ring_size) ? stats_buffer_offset(ring_size) + STATS_BYTES : 0;
}

/* ------------------------------------------------------------ options */

static int check_opts(const struct fph_guest_opts *o)
{
	if (!o->bus.ops || !o->slots || !o->ring.hva || !is_ring_size(o->ring_size))
		return -EINVAL;
	if (o->ring.flags || (o->ring.gpa & 4095) || ((uintptr_t)o->ring.hva & 15))
		return -EINVAL;
	if (o->ring.len < fph_guest_ring_bytes(o->ring_size) ||
	    o->ring.gpa + (o->ring.len - 1) < o->ring.gpa)
		return -EINVAL;
	if (o->layout > FPH_LAYOUT_SPEC_FIXED ||
	    (o->flags & ~(FPH_GUEST_EARLY_REUSE | FPH_GUEST_POISON)))
		return -EINVAL;
	if (o->batch > BATCH_MAX || (o->refuse & ~OPTIONAL))
		return -EINVAL;
	if (o->stat_count > FPH_GUEST_STATS_MAX || (o->stat_count && !o->stats))
		return -EINVAL;
	return 0;
}

/* Without these nothing works; set_config and notify_data are asked for where they are used. */
static bool has_verbs(const struct fph_bus_ops *ops)
{
	return ops->size >= offsetof(struct fph_bus_ops, notify_data) && ops->features &&
	       ops->accept && ops->status && ops->set_status && ops->config && ops->vq_max &&
	       ops->vq_enable && ops->notify && ops->take_irq;
}

int fph_guest_init(struct fph_guest *guest, const struct fph_guest_opts *opts)
{
	struct fph_guest_opts o;
	struct guest *g = guest_of(guest);
	int rc = fph_copy_opts(&o, sizeof(o), opts, opts->size);

	if (rc == 0)
		rc = check_opts(&o);
	if (rc == 0 && !has_verbs(o.bus.ops))
		rc = -EOPNOTSUPP;
	if (rc < 0)
		return rc;

	memset(guest, 0, sizeof(*guest));
	g->bus = o.bus;
	g->ring = o.ring;
	g->slots = o.slots;
	g->ring_size = o.ring_size;
	g->layout = o.layout;
	g->flags = o.flags;
	g->poison = o.poison;
	g->rekick_us = o.rekick_us ? o.rekick_us : DEFAULT_REKICK_US;
	g->stall_us = o.stall_us ? o.stall_us : DEFAULT_STALL_US;
	g->stats = o.stats;
	g->stat_count = o.stat_count;
	g->batch = o.batch ? o.batch : 1;
	g->refuse = o.refuse;
	g->returned.first = FPH_NO_SLOT;
	g->total.size = sizeof(g->total);
	return 0;
}

/* ------------------------------------------------------------ reset */

/* The device has let go of everything: all ranges go back.  G-16, G22 */
static void take_all_back(struct guest *g)
{
	if (g->placed) {
		uint16_t slot, count;

		while (fph_vq_drv_withdraw(&g->vq, &slot, &count))
			;
		for (uint16_t i = 0; i < g->vq.size; i++) {
			unsigned state = g->slots[i].state & FPH_SLOT_KIND;

			if (state == FPH_SLOT_HINT || state == FPH_SLOT_MESSAGE)
				fph_guest_settle(g, i);
		}
	}
	g->placed = false;
	g->accepted = 0;
	g->suspended = false;
	g->seen = FPH_COMMAND_STOP; /* H5, G2 */
	g->look_again = false;
	g->kick_owed = false;
	g->stats_kick_owed = false;
	g->stalled = false;
	g->ring_full = false;
	g->progress = true;
	g->stats_hva = NULL;
	memset(&g->fault, 0, sizeof(g->fault));
	fph_guest_move(g, FPH_GUEST_EV_RESET);
}

int fph_guest_reset(struct fph_guest *guest)
{
	struct guest *g = guest_of(guest);
	uint8_t status = 0;
	int rc = 0;

	if (!g->reset_sent) {
		rc = BUS(g, set_status, 0);
		if (rc < 0)
			return rc;
		g->reset_sent = true;
		g->total.resets++;
	}
	rc = BUS(g, status, &status);
	if (rc < 0)
		return rc;
	if (status != 0)
		return -EAGAIN; /* G-13: until then the pages are not ours */
	g->reset_sent = false;
	take_all_back(g);
	return 0;
}

/* ------------------------------------------------------------ suspend and resume */

#define OURS                                                                                       \
	(FPH_STATUS_ACKNOWLEDGE | FPH_STATUS_DRIVER | FPH_STATUS_FEATURES_OK |                     \
	 FPH_STATUS_DRIVER_OK | FPH_STATUS_SUSPEND)

/* Add a bit once, and see whether the device put it in the other's place; or -EAGAIN. */
static int ask_for(struct guest *g, bool *asked, uint8_t set, uint8_t clear)
{
	uint8_t status = 0;
	int rc = BUS(g, status, &status);

	if (rc == 0 && !*asked) {
		rc = BUS(g, set_status, (uint8_t)((status & OURS) | set)); /* G-2 */
		*asked = rc == 0;
		if (rc == 0)
			rc = BUS(g, status, &status);
	}
	if (rc < 0)
		return rc;
	if (status & FPH_STATUS_NEEDS_RESET) /* S-5 */
		return fph_guest_broken(g, status);
	return (status & (set | clear)) == set ? 0 : -EAGAIN;
}

int fph_guest_suspend(struct fph_guest *guest)
{
	struct guest *g = guest_of(guest);

	if (g->state == FPH_GUEST_STATE_DOWN || g->reset_sent) /* S-1 */
		return -ENOTCONN;
	if (g->fault.rule)
		return -EPROTO;
	if (!(g->accepted & FPH_F_SUSPEND))
		return -EOPNOTSUPP;
	g->suspended = true; /* S-2: from here on nothing is added, notified or written */
	g->resume_sent = false;
	return ask_for(g, &g->suspend_sent, FPH_STATUS_SUSPEND, FPH_STATUS_DRIVER_OK);
}

int fph_guest_resume(struct fph_guest *guest)
{
	struct guest *g = guest_of(guest);
	int rc;

	if (g->state == FPH_GUEST_STATE_DOWN || g->reset_sent)
		return -ENOTCONN;
	if (g->fault.rule)
		return -EPROTO;
	if (!g->suspended)
		return 0;
	g->suspend_sent = false;
	rc = ask_for(g, &g->resume_sent, FPH_STATUS_DRIVER_OK, FPH_STATUS_SUSPEND); /* S-3 */
	if (rc < 0)
		return rc;
	g->suspended = false;
	g->look_again = true; /* S-4: the configuration may have changed meanwhile */
	g->progress = true;
	return 0;
}

/* ------------------------------------------------------------ bring-up */

/* Add a status bit and see what became of it.  Returns the status, or an error. */
static int add_status(struct guest *g, uint8_t *status, uint8_t bit)
{
	int rc;

	*status |= bit; /* G-1, G-2 */
	rc = BUS(g, set_status, *status);
	/* A refusal is told by the bit that is not there; the wire's trouble is not. */
	return rc == -EPROTO ? 0 : rc;
}

static int negotiate(struct guest *g, uint8_t *status, uint64_t *offered, uint64_t *accepted)
{
	uint64_t want = FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT | FPH_F_STATS_VQ |
			FPH_F_MUST_TELL_HOST | /* BF-1, G-17 */
			(OPTIONAL & ~g->refuse); /* G-18 */
	uint8_t now = 0;
	int rc = BUS(g, features, offered);

	if (rc < 0)
		return rc;
	if (g->flags & FPH_GUEST_POISON)
		want |= FPH_F_PAGE_POISON; /* BF-2 */
	if (!HAS_VERB(g, notify_data))
		want &= ~FPH_F_NOTIFICATION_DATA;
	if (~*offered & (FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT))
		return -EOPNOTSUPP;
	*accepted = *offered & want; /* G-6, G-7, BF-3, A5-8, A5-13 */
	rc = BUS(g, accept, *accepted);
	if (rc == 0)
		rc = add_status(g, status, FPH_STATUS_FEATURES_OK);
	if (rc == 0)
		rc = BUS(g, status, &now);
	if (rc < 0)
		return rc;
	return now & FPH_STATUS_FEATURES_OK ? 0 : -EOPNOTSUPP; /* G-14 */
}

static uint16_t index_by(enum fph_vq_layout layout, uint64_t offered, uint64_t accepted)
{
	uint64_t counted = layout == FPH_LAYOUT_OFFERED ? offered : accepted;

	if (layout == FPH_LAYOUT_SPEC_FIXED)
		return FPH_QUEUE_HINT;
	return counted & FPH_F_STATS_VQ ? 3 : 2;
}

/* Find free_page_vq (A5-1) and its size.  Returns 0, -EOPNOTSUPP or the bus's error. */
static int find_queue(struct guest *g, uint64_t offered, uint64_t accepted, uint16_t *size)
{
	for (unsigned i = 0; i < 3; i++) {
		enum fph_vq_layout layout = (enum fph_vq_layout)((g->layout + i) % 3);
		uint16_t max = 0;
		int rc;

		g->hint_queue = index_by(layout, offered, accepted);
		rc = BUS(g, vq_max, g->hint_queue, &max);
		if (rc < 0)
			return rc;
		if (max < RING_MIN)
			continue;
		*size = g->ring_size;
		while (*size > max)
			*size /= 2;
		return 0;
	}
	return -EOPNOTSUPP;
}

static int place_stats(struct guest *g)
{
	uint32_t ring = stats_ring_offset(g->ring_size), buffer = stats_buffer_offset(g->ring_size);
	unsigned char *base = g->ring.hva;
	uint16_t max = 0;
	int rc;

	g->stats_queue = FPH_QUEUE_STATS; /* the same in every layout */
	rc = BUS(g, vq_max, g->stats_queue, &max);
	if (rc < 0)
		return rc;
	if (max < STATS_RING)
		return -EOPNOTSUPP;
	fph_vq_drv_place(&g->stats_vq, g->stats_slots, base + ring, g->ring.gpa + ring,
			 STATS_RING, g->vq.format, 1);
	g->stats_hva = base + buffer;
	g->stats_gpa = g->ring.gpa + buffer;
	return BUS(g, vq_enable, g->stats_queue, &g->stats_vq.place);
}

static int place_queues(struct guest *g, uint64_t offered, uint64_t accepted)
{
	uint16_t size = 0;
	int rc = find_queue(g, offered, accepted, &size);

	if (rc < 0)
		return rc;
	g->placed = true;
	g->returned.first = FPH_NO_SLOT;
	fph_vq_drv_place(&g->vq, g->slots, g->ring.hva, g->ring.gpa, size,
			 fph_vq_format(accepted), g->batch);
	rc = BUS(g, vq_enable, g->hint_queue, &g->vq.place);
	if (rc == 0 && (accepted & FPH_F_STATS_VQ))
		rc = place_stats(g);
	return rc;
}

static int set_up(struct guest *g, uint8_t *status)
{
	uint64_t offered = 0, accepted = 0;
	unsigned char poison[4];
	uint8_t now = 0;
	int rc;

	rc = add_status(g, status, FPH_STATUS_ACKNOWLEDGE);
	if (rc == 0)
		rc = add_status(g, status, FPH_STATUS_DRIVER);
	if (rc == 0)
		rc = negotiate(g, status, &offered, &accepted);
	if (rc == 0)
		rc = place_queues(g, offered, accepted);
	if (rc == 0 && (accepted & FPH_F_PAGE_POISON)) {
		fph_st32_bytes(poison, g->poison); /* BP-2 */
		rc = g->bus.ops->set_config ? BUS(g, set_config, FPH_CONFIG_POISON, poison,
						  sizeof(poison)) :
					      -EOPNOTSUPP;
	}
	if (rc == 0)
		rc = add_status(g, status, FPH_STATUS_DRIVER_OK);
	if (rc == 0)
		rc = BUS(g, status, &now);
	if (rc == 0 && !(now & FPH_STATUS_DRIVER_OK))
		rc = -EOPNOTSUPP;
	if (rc < 0)
		return rc;
	g->accepted = accepted;
	fph_guest_move(g, FPH_GUEST_EV_ATTACHED);
	g->look_again = true; /* G3: a round may be open already */
	rc = fph_guest_serve_stats(g); /* BS-2 */
	return rc < 0 ? rc : fph_guest_look(g);
}

int fph_guest_attach(struct fph_guest *guest)
{
	struct guest *g = guest_of(guest);
	uint8_t status = 0;
	int rc = fph_guest_reset(guest);

	if (rc < 0)
		return rc;
	if (g->returned.first != FPH_NO_SLOT)
		return -EBUSY;
	rc = set_up(g, &status);
	if (rc < 0) {
		/* No page was lent yet, so there is nothing to wait for. */
		g->placed = false;
		g->stats_hva = NULL;
		fph_guest_move(g, FPH_GUEST_EV_RESET);
		add_status(g, &status, FPH_STATUS_FAILED); /* G-8 */
	}
	return rc;
}

/* ------------------------------------------------------------ statistics */

static void put_stat(unsigned char *to, struct fph_stat stat)
{
	to[0] = (unsigned char)stat.tag;
	to[1] = (unsigned char)(stat.tag >> 8);
	fph_st32_bytes(to + 2, (uint32_t)stat.value);
	fph_st32_bytes(to + 6, (uint32_t)(stat.value >> 32));
}

static int ring_for_stats(struct guest *g)
{
	int rc = fph_guest_ring(g, g->stats_queue, &g->stats_vq);

	g->stats_kick_owed = rc < 0;
	return rc;
}

/* BS-1 to BS-4: one buffer, filled anew whenever the device returned it. */
int fph_guest_serve_stats(struct guest *g)
{
	static const struct fph_stat unknown = { UINT64_MAX, FPH_STAT_FREE };
	struct fph_fault fault = { 0 };
	uint32_t n = g->stat_count ? g->stat_count : 1;
	uint16_t slot, count;
	int rc;

	if (!g->stats_hva)
		return 0;
	if (g->stats_kick_owed)
		return ring_for_stats(g);
	rc = fph_vq_drv_reap(&g->stats_vq, &slot, &count, &fault);
	if (rc < 0) {
		fault.queue = g->stats_queue;
		g->fault = fault; /* the first: after one nobody comes here */
		return rc;
	}
	if (rc > 0)
		fph_vq_drv_free(&g->stats_vq, slot);
	if (g->stats_vq.free_count < STATS_RING)
		return 0;
	/* BS-5, BS-7: whole entries, the same ones each time. */
	for (uint32_t i = 0; i < n; i++)
		put_stat(g->stats_hva + i * FPH_STAT_BYTES,
			 g->stat_count ? g->stats[i] : unknown);
	fph_vq_drv_interrupt(&g->stats_vq, true); /* nothing is out, so there is none to miss */
	fph_vq_drv_add(&g->stats_vq, g->stats_gpa, n * FPH_STAT_BYTES, FPH_SLOT_MESSAGE);
	if (fph_vq_drv_publish(&g->stats_vq) <= 0)
		return 0;
	return ring_for_stats(g);
}
