/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_LOOP_H
#define SUPPORT_LOOP_H

#include "support/ram.h"
#include <fph/device.h>
#include <fph/guest.h>

/*
 * Both roles over loopback: the guest's bus is the device.
 *
 *	static struct loop l;		// static: its memory must begin as zero
 *
 *	loop_options(&l);		// defaults into l.dev_opts, l.guest_opts: change them
 *	loop_open(&l);			// init both; l.guest_opts.bus may be wrapped before
 *	loop_attach(&l);
 *
 * or loop_up(&l) for all of it.  The test stops if one of these fails.
 */
#define LOOP_RING 0x100000 /* == RAM_LOW: where the guest's ring stands */

struct loop {
	struct ram ram;
	struct fph_device dev;
	struct fph_guest guest;
	struct fph_guest_slot slots[256];
	struct fph_device_opts dev_opts;
	struct fph_guest_opts guest_opts;

	/* what the device's hooks saw */
	unsigned interrupts;
	unsigned doorbells; /* `hints` */
	unsigned page_calls;
	unsigned stat_calls;
	struct {
		enum fph_queue queue;
		struct fph_range range;
	} pages[64];
	struct fph_stat stats[128];

	uint64_t now_us; /* the guest's clock: 0 unless the test moves it */
};

void loop_options(struct loop *l);
void loop_open(struct loop *l);
void loop_attach(struct loop *l);
void loop_up(struct loop *l);

/* The guest's options set the bus when they are made; this makes the default one again. */
struct fph_bus loop_device_bus(struct loop *l);

/* fph_device_start(), and the guest sees it.  Returns the id. */
uint32_t loop_round(struct loop *l);

/* One step of the guest at l->now_us. */
int loop_step(struct loop *l);

/* Hint pages [first, first + n) of HIGH and flush; the test stops if not all are taken. */
void loop_hint(struct loop *l, unsigned first, unsigned n);

/* Poll until nothing is left; returns how many ranges, in out. */
unsigned loop_poll_all(struct loop *l, struct fph_range *out, size_t max);

struct fph_device_stats loop_device_stats(const struct loop *l);
struct fph_guest_stats loop_guest_stats(const struct loop *l);

#endif
