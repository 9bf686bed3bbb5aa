/* SPDX-License-Identifier: MIT */
#ifndef MMIO_WIRE_H
#define MMIO_WIRE_H

#include "support/loop.h"
#include <fph/mmio.h>

/*
 * Both roles with registers between them: the guest's bus is the driver end, whose
 * accesses go to the device end, whose bus is the device.  Static, as a struct loop is.
 */
struct access {
	bool write;
	uint32_t offset;
	uint32_t value; /* written, or read */
};

struct wire {
	struct loop l;
	struct fph_mmio_device device;
	struct fph_mmio_driver driver;
	struct fph_mmio_driver_opts driver_opts;

	/* the line */
	unsigned highs; /* calls */
	unsigned lows;
	bool high;

	/* what the driver end did */
	struct access log[4096];
	unsigned logged;
	unsigned pauses;

	/*
	 * Before an access of the driver end is made: may change *value of a write.  A
	 * negative errno is its answer, 1 means that *value is (for a read).
	 */
	int (*before)(struct wire *w, bool write, uint32_t offset, uint32_t *value);
	unsigned n; /* the test's */
};

/* Options, with the interrupts wired; change w->l.dev_opts and w->l.guest_opts then. */
void wire_options(struct wire *w);
/* Make the device and its registers. */
void wire_device(struct wire *w);
/* The driver's end and the guest. */
void wire_driver(struct wire *w);
/* All of it, and attach. */
void wire_up(struct wire *w);

/* Accesses by hand, 32 bits wide. */
uint32_t wire_read(struct wire *w, uint32_t offset);
void wire_write(struct wire *w, uint32_t offset, uint32_t value);
/* By hand up to FEATURES_OK, with what is offered; returns Status. */
uint32_t wire_negotiate(struct wire *w);
/* Place and enable a queue of 16 entries, in zeroed memory; returns QueueReady. */
uint32_t wire_enable(struct wire *w, uint16_t queue);
/* A hint round with everything over the registers; the test stops if it fails. */
void wire_expect_round(struct wire *w);

#endif
