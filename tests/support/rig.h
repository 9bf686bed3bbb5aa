/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_RIG_H
#define SUPPORT_RIG_H

#include "support/loop.h"
#include "support/raw.h"

/*
 * One role of the library against one end written by hand, in the memory and
 * with the options and hooks of a struct loop.  Static, as that is.
 */
struct rig {
	struct loop l;
	struct raw_driver d;   /* drives l.dev */
	struct raw_device dev; /* is driven by l.guest */
};

/* ------------------------------------------------------------ the device role */

/* Defaults into l.dev_opts; then make the device and a driver that knows its bus. */
void rig_options(struct rig *r);
void rig_device(struct rig *r);
/* Both, and the driver brings it up with RAW_FEATURES and what `offer` adds. */
void rig_up(struct rig *r, uint64_t offer);

/* Start a round and take the interrupt.  Returns the id. */
uint32_t rig_start(struct rig *r);
/* Start a round, answer with the id at descriptor 15: it is HINTING once polled. */
uint32_t rig_hinting(struct rig *r);

/* One poll of at most 16 ranges into a buffer of the rig's own. */
int rig_poll(struct rig *r);
extern struct fph_range rig_out[16];

/* The test stops unless the device has this fault, shows it, and told the driver. */
void rig_expect_fault(struct rig *r, enum fph_rule rule, enum fph_queue queue);
/* Reset, bring it up again, and see a hint of a new round through. */
void rig_expect_works_after_reset(struct rig *r);

/* ------------------------------------------------------------ the guest role */

/* Defaults into l.guest_opts with the raw device's bus; then make the guest. */
void rig_guest_options(struct rig *r);
void rig_guest(struct rig *r);
/* Both, and attach. */
void rig_guest_up(struct rig *r);
/* Show an id, step.  Returns what the step returned. */
int rig_guest_show(struct rig *r, uint32_t command);
/* Use n buffers of the hint queue in order, and tell; all that wait if n is 0. */
unsigned rig_guest_use(struct rig *r, unsigned n);
int rig_guest_hint(struct rig *r, unsigned first, unsigned n);

#define RIG_HINT_QUEUE 3u

#endif
