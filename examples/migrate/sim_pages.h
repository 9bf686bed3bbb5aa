/* SPDX-License-Identifier: MIT */
#ifndef MIGRATE_SIM_PAGES_H
#define MIGRATE_SIM_PAGES_H

#include <fph/types.h>

#define SIM_PAGE 4096u

/*
 * The page allocator of the simulated guest.  What a migration must carry over is
 * in guest memory itself: a header, a table with version and checksum of every
 * allocated page, and the pages.  So a destination can check every allocated page
 * with nothing but its copy.  What pages are free is known only here, outside.
 *
 * Not locked: the caller's lock.
 */
struct sim_pages {
	unsigned char *mem; /* guest memory, `pages` pages from gpa `base` */
	uint64_t base;
	uint64_t pages;
	uint64_t ring_gpa; /* reserved for the virtqueues */

	struct sim_entry *table; /* in guest memory */
	unsigned char *state;	 /* enum page_state of each page */
	uint64_t *used;		 /* page numbers allocated, in no order */
	uint64_t used_n;
	uint64_t free_n; /* free, not held by the balloon */
	uint64_t back_n; /* came back from the device, kept until RELEASE */
	uint64_t cursor; /* where the next allocation is looked for */
	uint64_t rng;
};

/*
 * Take over len bytes of memory: reserve header, table and ring, allocate a fifth
 * in clumps, and fill everything else with garbage, as in a machine that has run
 * for a while.  Returns 0, -ENOMEM, or -EINVAL (too little memory).
 */
int sim_pages_init(struct sim_pages *sim, void *mem, uint64_t len, uint64_t base,
		   uint64_t ring_bytes, unsigned seed);
void sim_pages_fini(struct sim_pages *sim);

/* One step of the workload: write, allocate or free a few pages. */
void sim_pages_work(struct sim_pages *sim);

/*
 * The balloon.  take: a run of free pages from page number *at on, at most 4 MiB,
 * out of use from here on; false at the end of memory.  back: the device is done
 * with them, they may be reused if need be.  release: all that is back is free.
 * untake: they never left.
 */
bool sim_pages_take(struct sim_pages *sim, uint64_t *at, struct fph_range *out);
void sim_pages_untake(struct sim_pages *sim, struct fph_range range);
void sim_pages_back(struct sim_pages *sim, struct fph_range range);
void sim_pages_release(struct sim_pages *sim);

/* guest_ops.check */
uint64_t sim_pages_check(const void *copy, uint64_t len, uint64_t *checked);

#endif
