/* SPDX-License-Identifier: MIT */
#ifndef FPH_TESTS_QEMU_GUEST_H
#define FPH_TESTS_QEMU_GUEST_H

#include "qemu_process.h"
#include "qemu_talk.h"
#include "support/trace.h"

#include <fph/guest.h>
#include <fph/mmio.h>
#include <fph/pci.h>

#define PAGE	  4096u
#define MIB	  (UINT64_C(1) << 20)
#define RING_MAX  1024u
#define RING_GPA  (2 * MIB)  /* rings and messages */
#define FREE_GPA  (16 * MIB) /* all from here on is free memory of this guest */
#define HINT_QUEUE 3u
#define BALLOON_QUEUES 4u

#define SLOW (1 * MIB) /* bytes a second: the first pass waits for whoever hints */
#define FAST (UINT64_C(1) << 40)

struct vm;

/* How a machine with a balloon is made, and how its registers are reached. */
struct vm_bus {
	const char *machine[4]; /* arguments of QEMU's */
	const char *device;
	const char *path; /* of the device, in QOM */
	/* Find the balloon.  Returns as fph_mmio_driver_init() does. */
	int (*open)(struct vm *vm, struct fph_bus *bus);
};

/* microvm; q35 with a transitional function, and with a modern one.  (QEMU's balloon has no MSI-X.) */
extern const struct vm_bus vm_mmio, vm_pci, vm_pci_modern;

/* That of a test that asks for none: the program says which. */
#ifndef VM_BUS
#define VM_BUS vm_mmio
#endif

struct vm_opts {
	const struct vm_bus *bus; /* NULL: VM_BUS */
	const char *device;	  /* further properties; NULL: "free-page-hint=on" */
	uint64_t ram;		  /* bytes; 0: 256 MiB */
	uint16_t ring_size;	  /* 0: 256 */
	enum fph_vq_layout layout;
	uint32_t flags;
	uint32_t poison;
	int incoming; /* a stream to be migrated from; 0: none */
	bool trace;   /* write down what the guest role says to its bus */
};

/* The free pages of the guest; what is lent to the device is nobody's until it is back. */
struct pages {
	unsigned char *lent; /* a byte a page of memory */
	unsigned char *hinted;
	uint64_t end;	  /* number of the first page that is none */
	uint64_t next;	  /* where the round goes on */
	uint64_t out;	  /* pages lent now */
};

/* A QEMU, and the guest role in its only guest. */
struct vm {
	struct qemu qemu;
	struct talk qtest;
	struct talk qmp;
	const struct vm_bus *bus;
	uint64_t window; /* mmio: where the registers are */
	struct fph_mmio_driver mmio;
	uint32_t function; /* pci: as written to port 0xcf8 */
	uint64_t bars[6];  /* pci: their addresses */
	struct fph_pci_driver pci;
	struct fph_bus wire; /* what is under the guest role, and the trace */
	struct trace trace;
	struct fph_guest guest;
	struct fph_guest_slot slots[RING_MAX];
	struct pages pages;

	/* How rounds are fed. */
	uint64_t range;	 /* pages a hint; 1,024 */
	uint64_t limit;	 /* hints a round; no limit */
	bool keep_open; /* no STOP when there is nothing left to hint */

	uint32_t id;	 /* of the round that is fed */
	uint64_t rounds; /* ids that were seen */
	uint64_t fed;	 /* hints of this round */
	uint64_t pages_hinted;
	int want; /* what the last step said */
};

/* All of these end the test, with a sentence, when something fails or takes too long. */

void vm_open(struct vm *vm, const struct vm_opts *opts);
void vm_close(struct vm *vm);
/* The same in two: QEMU alone, and a guest role on it. */
void vm_start(struct vm *vm, const struct vm_opts *opts);
void vm_attach(struct vm *vm);
/* No page that is lent may be missed: all of them are back, or the test ends. */
void vm_reset(struct vm *vm);

/* Fill free memory such that no page is zero or like another. */
void vm_fill(struct vm *vm);

/* One step, and all that it asks for.  Returns what it said. */
int vm_turn(struct vm *vm);
/* Turns until `until` is true. */
void vm_until(struct vm *vm, bool (*until)(const struct vm *), const char *what);
/* Turns for so long. */
void vm_linger(struct vm *vm, unsigned milliseconds);

bool vm_in_state(const struct vm *vm, const char *state);
struct fph_guest_stats vm_stats(const struct vm *vm);

/* What query-migrate says. */
struct outcome {
	char status[32];
	int64_t total; /* pages */
	int64_t normal;
	int64_t duplicate;
	int64_t syncs;
	int64_t unsent; /* total - normal - duplicate */
};

/* Begin a migration to nowhere, or into a stream. */
void vm_migrate(struct vm *vm, uint64_t bytes_per_second);
void vm_migrate_to(struct vm *vm, int fd, uint64_t bytes_per_second);
void vm_speed(struct vm *vm, uint64_t bytes_per_second);
struct outcome vm_query(struct vm *vm);
/* Turns until the migration is over, fast from now on; the machine runs again then. */
struct outcome vm_finish(struct vm *vm);
/* Is it over, with the guest in state IDLE? */
bool vm_has_migrated(struct vm *vm);
void vm_cancel(struct vm *vm);
/* A command without arguments. */
void vm_do(struct vm *vm, const char *command);
/* Have the machine run after a migration. */
void vm_cont(struct vm *vm);
/* Write n pages, as a processor would, so that they are dirty. */
void vm_dirty(struct vm *vm, uint64_t gpa, uint64_t n);

/* free_page_hint_cmd_id, past the guest role. */
uint32_t vm_shown_id(struct vm *vm);

/* QEMU's own view of a queue. */
struct queue_view {
	uint64_t num;
	uint64_t avail; /* addresses */
	uint64_t used;
	uint64_t used_idx;
};
struct queue_view vm_queue(struct vm *vm, unsigned queue);
/* 16 and 32 bits of guest memory. */
uint16_t vm_ld16(const struct vm *vm, uint64_t gpa);
uint32_t vm_ld32(const struct vm *vm, uint64_t gpa);

/* One row of the table that is printed after all tests. */
void table_row(const char *what, const struct vm *vm, int64_t unsent, uint64_t started_us);
/* To be called before and after the tests ran. */
void table_open(void);
void table_print(void);

#endif
