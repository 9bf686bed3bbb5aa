/* SPDX-License-Identifier: MIT */
#ifndef SCENARIO_LIFE_H
#define SCENARIO_LIFE_H

#include <fph/device.h>
#include <fph/guest.h>

/*
 * One migration, cut into steps that can be taken in any order: a VMM, a driver, and
 * whoever else uses the guest's memory.  Both ends are the library's and talk over
 * loopback.  Memory is a version number per page and the version that was sent; the
 * dirty log is a flag per page, set by each write.
 *
 * Oracles watch every step; the first one that fires is kept in `broken`.  So that
 * they can be seen to fire, a model may make one mistake.  Allocates nothing.
 */
#define LIFE_PAGES 16u	/* at most */
#define LIFE_RING  16u	/* entries, at most */
#define LIFE_IDS   16u	/* rounds told apart */
#define LIFE_BATCH 8u

enum life_step {
	/* the VMM */
	VMM_ROUND, /* stop, sync, start: the next one of them */
	VMM_POLL,  /* at most arg hints; a batch in hand is acted upon first */
	VMM_APPLY, /* act on the batch in hand */
	VMM_ACK,
	VMM_SEND, /* one dirty page */
	VMM_MAP,  /* take the upper half of the pages away, or give it back */
	/* the driver */
	DRV_STEP,
	DRV_HINT, /* up to arg free pages in a row */
	DRV_FLUSH,
	DRV_END,
	DRV_RECLAIM,
	DRV_RESET,
	/* the rest of the guest: each looks for a page from number arg on */
	APP_ALLOC, /* take a free page and write it */
	APP_WRITE, /* a page in use */
	APP_FREE,
	LIFE_STEPS,
};

enum life_mistake {
	MISTAKE_NONE,
	/* the VMM's */
	START_BEFORE_SYNC,
	SYNC_WITHOUT_STOP,
	BATCH_KEPT,	   /* a batch in hand is acted upon in the round after */
	BATCH_RELABELLED,  /* and taken for one of that round */
	LAZY_LOG,	   /* pages are re-protected when sent or skipped, not at sync */
	ACK_BEFORE_APPLY,
	POLL_AFTER_LAST_SYNC,
	NO_DRAIN, /* nobody polls after done */
	/* the guest's */
	HELD_PAGE_USED,
	CONTENT_RELIED_UPON,
	HINTED_TWICE,
	/* the driver's, which the device must bear */
	START_SHARED, /* one word for all STARTs: rewritten while an old one waits.  H1 */
	START_OLD,    /* the id before */
	/* the wire's */
	RESET_NOT_AWAITED, /* status reads 0 while a batch is in hand */
};

struct life_opts {
	unsigned pages;
	uint16_t ring;
	bool early;   /* FPH_GUEST_EARLY_REUSE */
	bool discard; /* the VMM discards what is hinted */
	enum life_mistake mistake;
};

/* What becomes of a page: the allocator's view. */
enum life_owner { USED, UNUSED, HELD };

struct life_page {
	enum life_owner owner;
	uint32_t version;  /* 0: discarded */
	uint32_t expected; /* what was last written by its user */
	uint32_t copy;	   /* at the destination */
	bool logged;	   /* written since it was re-protected */
	bool unsent;	   /* in the migration's bitmap */
	unsigned hint;	   /* length in pages of the hint that begins here, if held */
	/* ghosts: what became of hints of this page, by id modulo LIFE_IDS */
	uint8_t given[LIFE_IDS];
	uint8_t handed[LIFE_IDS];
	bool shown;    /* its buffer is in the available ring */
	bool returned; /* and in the used ring */
};

struct life {
	struct life_opts opts;
	const char *broken; /* the oracle that fired, or NULL */

	struct fph_device dev;
	struct fph_guest guest;
	struct fph_guest_slot slots[LIFE_RING];
	struct fph_region regions[4];
	struct fph_mem mem, less; /* less: without the upper half of the pages */
	bool mapped_less;

	struct life_page page[LIFE_PAGES];
	uint32_t versions; /* given out so far */

	/* the VMM */
	unsigned phase; /* of a round: next is 0 stop, 1 sync, 2 start */
	struct fph_range batch[LIFE_BATCH];
	unsigned in_hand;     /* polled and not acted upon */
	bool unacknowledged;  /* polled, and the device was not called since */
	bool finished;

	/* the driver */
	bool resetting;
	bool reset_done; /* since attach: all comes back, wherever it was */
	uint32_t id_seen;
	struct fph_vq_place place;
	uint16_t avail_seen, used_seen;

	/* what went by, for tests that want to know that they test something */
	unsigned hinted, skipped, reclaimed, reused, resets;
};

/* Both ends attached, all pages in use but every second one. */
void life_begin(struct life *life, const struct life_opts *opts);

/* Take a step if it makes sense now; the VMM's and driver's order is the right one. */
void life_step(struct life *life, enum life_step step, unsigned arg);

/*
 * Pause the guest, send the rest, hand over, and let everything drain.  Returns the
 * oracle that fired now or before, or NULL.
 */
const char *life_end(struct life *life);

#endif
