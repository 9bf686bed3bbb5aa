/* SPDX-License-Identifier: MIT */
#ifndef PCI_WIRE_H
#define PCI_WIRE_H

#include "layout.h"
#include "support/loop.h"
#include <fph/pci.h>

/*
 * Both roles with a PCI function between them: the guest's bus is the driver end, whose
 * accesses go to the device end, whose bus is the device.  Static, as a struct loop is.
 */
struct access {
	bool write;
	bool config; /* configuration space, else a BAR */
	uint32_t bar;
	uint64_t offset;
	uint32_t len;
	uint32_t value; /* written, or read */
};

struct wire {
	struct loop l;
	struct fph_pci_device device;
	struct fph_pci_device_opts device_opts;
	struct fph_pci_driver driver;
	struct fph_pci_driver_opts driver_opts;

	/* INTA# */
	unsigned edges;
	bool high;
	/* messages, of each vector; and the last */
	unsigned messages[FPH_PCI_VECTORS_MAX];
	uint64_t address;
	uint32_t data;

	/* what the driver end did */
	struct access log[4096];
	unsigned logged;
	unsigned pauses;

	/*
	 * Before an access of the driver end is made: may change the value of a write.  A
	 * negative errno is its answer, 1 means that the value is (for a read).
	 */
	int (*before)(struct wire *w, struct access *a);
	unsigned n; /* the test's */
};

/* Where things are in BAR 0 of the device end. */
#define COMMON(field) (0x0000u + COMMON_##field)
#define ISR	      0x1000u
#define CONFIG	      0x2000u

/*
 * Options, with the interrupts wired; change w->l.dev_opts, w->device_opts (4 vectors),
 * w->driver_opts and w->l.guest_opts then.
 */
void wire_options(struct wire *w);
/* Make the device and its function. */
void wire_device(struct wire *w);
/* The driver's end and the guest; with MSI-X if driver_opts.vectors says so. */
void wire_driver(struct wire *w);
/* All of it, and attach. */
void wire_up(struct wire *w);

/* Accesses by hand: to BAR 0, by any width. */
uint32_t wire_read(struct wire *w, uint32_t offset, uint32_t len);
void wire_write(struct wire *w, uint32_t offset, uint32_t len, uint32_t value);
/* Of the common configuration, by the width of the field. */
#define GET(w, field)	     wire_get(w, COMMON_##field)
#define SET(w, field, value) wire_set(w, COMMON_##field, value)
uint32_t wire_get(struct wire *w, uint32_t field);
void wire_set(struct wire *w, uint32_t field, uint32_t value);
/* Bytes of the field that begins there; 0: none does. */
uint32_t field_width(uint32_t offset);
/* To configuration space. */
uint32_t space(struct wire *w, uint32_t offset, uint32_t len);
void set_space(struct wire *w, uint32_t offset, uint32_t len, uint32_t value);
/* Where the first capability of that id is, of that type if it is a vendor's; or 0. */
uint32_t find_cap(struct wire *w, uint32_t id, uint32_t type);

/* By hand up to FEATURES_OK, with what is offered; returns Status. */
uint32_t wire_negotiate(struct wire *w);
/* Place and enable a queue of 16 entries, in zeroed memory; returns queue_enable. */
uint32_t wire_enable(struct wire *w, uint16_t queue);
/* Fill the table and enable MSI-X: vector v sends data v to 0xfee00000. */
void wire_msix(struct wire *w);
/* A hint round with everything over the function; the test stops if it fails. */
void wire_expect_round(struct wire *w);

#endif
