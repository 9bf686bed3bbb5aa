/* SPDX-License-Identifier: MIT */
#ifndef MIGRATE_LINK_H
#define MIGRATE_LINK_H

#include "guest.h"

#include <sys/types.h>

#define PAGE	   4096u
#define LINK_BATCH 64u /* pages in one message, at most */

/*
 * The way to the destination: a process of its own at the other end of a Unix
 * socket, with its own copy of guest memory.  That copy is a memory file which the
 * source maps too, and reads for nothing but the proof at the end.
 */
struct link {
	int fd;
	int copy_fd;
	pid_t pid;
	uint64_t base; /* of the span now migrated */
	uint64_t len;
	uint64_t bytes;	    /* on the wire since link_begin() */
	uint64_t bandwidth; /* bytes a second; 0: no limit */
};

/* What the destination found when it checked its copy by itself. */
struct link_verdict {
	uint64_t bad;
	uint64_t checked;
	uint64_t received; /* pages with data */
};

/* Start the destination.  check: see guest_ops; may be NULL.  Returns 0 or an errno. */
int link_open(struct link *link, uint64_t (*check)(const void *, uint64_t, uint64_t *));
/* End it, and wait until it is gone. */
void link_close(struct link *link);

/* All below return 0 or a negative errno; -EPIPE says that the destination is gone. */

/* A new migration: the destination starts from an empty copy of len bytes. */
int link_begin(struct link *link, uint64_t base, uint64_t len);
/* n pages from gpa on, whose content stands at page[0] to page[n - 1]. */
int link_pages(struct link *link, uint64_t gpa, const void *const *page, unsigned n);
/* n pages from gpa on, which are zero. */
int link_zero(struct link *link, uint64_t gpa, unsigned n);
/* Wait until the destination has taken in everything. */
int link_flush(struct link *link);
/* For --break destination: damage one page over there. */
int link_damage(struct link *link, uint64_t gpa);
int link_verdict(struct link *link, struct link_verdict *verdict);

/* The destination's copy, to be compared and unmapped; NULL if it cannot be mapped. */
const unsigned char *link_map(const struct link *link);

/* Private to the two ends. */
enum link_kind { LINK_BEGIN, LINK_PAGES, LINK_ZERO, LINK_FLUSH, LINK_DAMAGE, LINK_VERDICT };

struct link_message {
	uint32_t kind;
	uint32_t pages;
	uint64_t gpa;
};

void destination(int fd, int copy_fd, uint64_t (*check)(const void *, uint64_t, uint64_t *));

#endif
