/* SPDX-License-Identifier: MIT */
#ifndef FPH_TESTS_UML_HARNESS_H
#define FPH_TESTS_UML_HARNESS_H

#include "uml.h"

#include <stdlib.h>

#define PAGE 4096u
#define MIB  (UINT64_C(1) << 20)

/* A running guest, and what it hinted. */
struct vm {
	struct guest *guest;
	struct fph_device *dev;
	struct fph_bitmap hinted; /* since vm_forget() */
	struct fph_bitmap *clear; /* optional: hinted pages are unmarked there, too */
	uint64_t twice;		  /* pages hinted that were hinted before */
	char tmp[32];
};

/* How a round went. */
struct round {
	uint64_t hints;
	uint64_t bytes;
	uint64_t kicks;
	uint64_t first_us; /* from the new id to the first hint */
	uint64_t last_us;  /* and to STOP */
	bool over;	   /* the driver said STOP */
};

/* Start a guest of 512 MiB, in a temporary directory of its own. */
void vm_open(struct vm *vm, const struct guest_config *config);
/* Close it, and see to it that nothing is left. */
void vm_close(struct vm *vm);

/* A bitmap over the guest's memory, all clear; to be freed by free(map.words). */
struct fph_bitmap vm_bitmap(const struct vm *vm);
void vm_forget(struct vm *vm);

/* Show a new id, and take what is hinted until STOP, or for at most 20 seconds. */
struct round vm_round(struct vm *vm);
/* The second half: the id is shown already. */
void vm_hints(struct vm *vm, struct round *round);
/* One poll of at most max hints.  Returns what fph_device_poll() does. */
int vm_poll(struct vm *vm, size_t max);

/* Run a command in the guest that must end well; the number that it prints. */
uint64_t vm_ask(struct vm *vm, const char *command);
/* Wait up to 10 seconds for that much free memory.  Returns what there is. */
uint64_t vm_wait_free(struct vm *vm, uint64_t bytes);

uint64_t now_us(void);
bool page_is_zero(const void *page);

#endif
