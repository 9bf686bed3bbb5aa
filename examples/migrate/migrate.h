/* SPDX-License-Identifier: MIT */
#ifndef MIGRATE_MIGRATE_H
#define MIGRATE_MIGRATE_H

#include "link.h"

#define ROUNDS_MAX 100u

enum breakage { BREAK_NOTHING, BREAK_DESTINATION, BREAK_ORDER };

struct migrate_config {
	unsigned downtime_ms; /* pause the guest when what is left fits in this */
	unsigned rounds;      /* or after this many */
	enum breakage breakage;
	bool oracle; /* a skipped page must read as zero at the source */
};

/* What became of a page last. */
enum page_fate { FATE_NONE, FATE_SENT, FATE_ZERO, FATE_HINTED };

/* One pass over the dirty pages. */
struct round {
	uint64_t dirty;	 /* pages to send at its start */
	uint64_t looked; /* pages whose content was looked at */
	uint64_t zero;
	uint64_t sent;
	uint64_t hinted; /* pages taken off the list by hints */
	uint64_t bytes;	 /* on the wire */
	uint64_t ns;	 /* without the dirty log */
	bool last;	 /* with the guest paused */
};

/* The proof.  Each of the four counts of bad pages must be 0. */
struct proof {
	uint64_t compared; /* pages not skipped, source against destination */
	uint64_t different;
	uint64_t skipped; /* pages skipped, under the oracle: zero at the source? */
	uint64_t not_free;
	uint64_t checked[2]; /* by the guest's own checksums: source, destination */
	uint64_t bad[2];
};

struct result {
	bool hints; /* was hinting on? */
	unsigned n;
	struct round rounds[ROUNDS_MAX + 1];
	struct round total;
	uint64_t span_pages, base;
	unsigned char *fate; /* enum page_fate of each page of the span; to be freed */
	uint64_t skipped;    /* pages never sent, or not since they changed, thanks to a hint */
	uint64_t total_ns;   /* all rounds; neither dirty log nor proof */
	uint64_t downtime_ns;
	uint64_t log_ns;     /* the dirty log */
	uint64_t free_bytes; /* what the guest said before; 0: unknown */
	uint64_t hint_ranges, hint_bytes;
	uint64_t hint_ns; /* of one hint, here: poll and bitmap; the median over batches */
	uint64_t kicks, interrupts;
	struct proof proof;
};

/*
 * Migrate once.  round_done(ctx, result) is called after each round, the newest is
 * rounds[n - 1].  The guest runs again when this returns, and hinting is DONE,
 * whatever is returned: 0, -EINTR (interrupted()), or a negative errno after one
 * line on stderr.  result->fate is to be freed in each case.
 */
int migrate(struct result *result, const struct guest_ops *ops, struct guest *guest,
	    struct link *link, const struct migrate_config *config, bool hints,
	    void (*round_done)(void *ctx, const struct result *result), void *ctx);

/* Did all proofs hold? */
bool migrate_proved(const struct result *result);

/* Fill result->proof; the guest is paused and everything is at the destination. */
int prove(struct result *result, const struct guest_ops *ops, struct guest *guest,
	  struct link *link, const struct migrate_config *config);

bool page_is_zero(const void *page);
uint64_t now_ns(void);

#endif
