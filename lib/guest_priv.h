/* SPDX-License-Identifier: MIT */
#ifndef FPH_GUEST_PRIV_H
#define FPH_GUEST_PRIV_H

#include "guest_round.h"
#include "vq.h"
#include <fph/guest.h>

#define STATS_RING 2u

/*
 * Inside the box of struct fph_guest.
 *   guest.c         the round: step, hint, flush, end, reclaim
 *   guest_attach.c  options, bring-up, reset, and the statistics queue
 */
struct guest {
	struct fph_bus bus;
	struct fph_region ring;
	struct fph_guest_slot *slots;
	uint64_t rekick_us;
	uint64_t stall_us;
	const struct fph_stat *stats;
	uint32_t stat_count;
	uint32_t flags;
	uint32_t poison;
	uint64_t refuse;
	uint16_t ring_size;
	uint16_t batch;
	enum fph_vq_layout layout;

	uint64_t accepted; /* features, since attach */

	uint8_t state;	  /* enum fph_guest_state; assigned in fph_guest_move() only */
	bool placed;	  /* the rings are laid out, the device may know them */
	bool reset_sent;  /* status 0 was written and is awaited */
	bool suspended;	  /* or on the way there, or back */
	bool suspend_sent;
	bool resume_sent;
	bool look_again;  /* the configuration changed and was not read yet */
	bool kick_owed;	  /* a doorbell failed */
	bool stats_kick_owed;
	bool stalled;
	bool ring_full;
	uint16_t hint_queue;
	uint16_t stats_queue;
	uint32_t seen; /* command id last adopted; STOP for none */
	struct fph_fault fault;

	struct fph_vq_drv vq;
	struct fph_vq_list returned; /* ranges for the caller, oldest first */
	uint64_t held;

	uint64_t progress_us; /* when the device last did something */
	uint64_t kick_us;     /* when the doorbell was last rung again */
	bool progress;

	struct fph_vq_drv stats_vq;
	struct fph_guest_slot stats_slots[STATS_RING];
	unsigned char *stats_hva;
	uint64_t stats_gpa;

	struct fph_guest_stats total;
};

static inline struct guest *guest_of(struct fph_guest *guest)
{
	return (struct guest *)(void *)guest;
}

static inline const struct guest *const_guest_of(const struct fph_guest *guest)
{
	return (const struct guest *)(const void *)guest;
}

#define HAS_VERB(g, verb)                                                                          \
	((g)->bus.ops->size >= offsetof(struct fph_bus_ops, verb) + sizeof((g)->bus.ops->verb) &&  \
	 (g)->bus.ops->verb)

/* A verb that fph_guest_init() saw to be there. */
#define BUS(g, verb, ...) ((g)->bus.ops->verb((g)->bus.ctx, __VA_ARGS__))

/* The one place where the round changes state. */
enum fph_guest_act fph_guest_move(struct guest *g, enum fph_guest_event event);
/* The device asks for a reset.  Returns -EPROTO. */
int fph_guest_broken(struct guest *g, uint8_t status);
/* Read what the interrupts say.  Returns 0, -EPROTO or the bus's error. */
int fph_guest_look(struct guest *g);
/* Give slots back to their owners: the ring or the caller. */
void fph_guest_settle(struct guest *g, uint16_t slot);
/* Ring a queue's doorbell. */
int fph_guest_ring(struct guest *g, uint16_t queue, const struct fph_vq_drv *vq);
/* Answer the device's question for statistics, if it asked. */
int fph_guest_serve_stats(struct guest *g);

#endif
