/* SPDX-License-Identifier: MIT */
#ifndef MIGRATE_GUEST_H
#define MIGRATE_GUEST_H

#include <fph/bitmap.h>
#include <fph/device.h>
#include <fph/mem.h>

/*
 * What the migration loop knows of a guest.  Each kind defines its own
 * struct guest.  Everything is called from one thread.
 */
struct guest;

struct guest_config {
	uint64_t memory;    /* bytes */
	const char *kernel; /* NULL: the packaged one */
	const char *module; /* NULL: the one that belongs to the kernel */
	bool oracle;	    /* free pages read as zero, so that a hint can be judged */
	bool verbose;	    /* pass on what the guest says */
	bool compare; /* find dirty pages by comparison even where writes could be tracked */
	unsigned seed;
};

struct guest_ops {
	const char *name;     /* "uml", "sim" */
	const char *tracking; /* how dirty pages are found; NULL: ask how() */
	const char *(*how)(const struct guest *guest); /* the same, known only after open */

	/*
	 * Start the guest and wait until it runs, its free memory is dirty and its
	 * driver negotiated hinting.  Returns 0, or a negative errno after one clear
	 * line on stderr, with nothing left behind.
	 */
	int (*open)(struct guest **out, const struct guest_config *config);
	/* Kill it and remove everything.  NULL is allowed. */
	void (*close)(struct guest *guest);

	struct fph_device *(*device)(struct guest *guest);
	/* Guest memory, mapped here; the same from open to close. */
	const struct fph_mem *(*mem)(struct guest *guest);

	/*
	 * The dirty log; track.h has two kinds ready.  `dirty` covers the span from
	 * the first region's base to the last one's end.  begin() arms tracking and
	 * marks all pages, also a second time; sync() marks the pages written since
	 * the last sync or begin, and re-arms.  Neither clears a bit.
	 * Return how many pages were found dirty, or a negative errno.
	 */
	int64_t (*begin)(struct guest *guest, struct fph_bitmap *dirty);
	int64_t (*sync)(struct guest *guest, struct fph_bitmap *dirty);
	/*
	 * The 4 KiB to send for the page at gpa.  Where dirty pages are found by
	 * comparison it must be the copy that the next sync compares with, not live
	 * memory: a page that changes, is sent, and changes back would compare as
	 * clean.  NULL: live memory.
	 */
	const void *(*page)(struct guest *guest, uint64_t gpa);

	/*
	 * Stop and continue the guest's CPUs.  serve() is not called in between.  Soon
	 * after pause returned, nothing writes to guest memory any more.
	 */
	int (*pause)(struct guest *guest);
	int (*resume)(struct guest *guest);

	/*
	 * Serve the guest's events for at most timeout_ms (0: only what is pending);
	 * returns early when something happened.  The caller polls the device for
	 * hints after it.  Returns 0, or a negative errno when the guest is gone.
	 */
	int (*serve)(struct guest *guest, int timeout_ms);

	/* Free bytes as the guest itself reports them now; 0 if unknown. */
	uint64_t (*free_bytes)(struct guest *guest);
	/* Doorbells of free_page_vq since open. */
	uint64_t (*kicks)(const struct guest *guest);

	/*
	 * Optional: check all that can be checked from a copy of guest memory alone,
	 * as the destination has it: `copy` holds the span from the first region's
	 * base.  Returns the number of bad pages, and in *checked how many it looked at.
	 */
	uint64_t (*check)(const void *copy, uint64_t len, uint64_t *checked);
};

extern const struct guest_ops guest_uml, guest_sim;

/* Did the user ask to stop (SIGINT, SIGTERM)?  Give up soon with -EINTR. */
bool interrupted(void);

#endif
