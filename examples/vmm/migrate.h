/* SPDX-License-Identifier: MIT */
#ifndef VMM_MIGRATE_H
#define VMM_MIGRATE_H

#include "machine.h"
#include <sys/types.h>

/* What the user chose. */
struct options {
	const char *kvm;
	uint32_t memory_mib;
	uint32_t used_percent; /* of memory that the guest's workload has */
	uint32_t rounds_max;
	bool json;
	bool early_reuse; /* the guest takes a page back before its hint is processed */
	bool lazy;	  /* re-protect when a page is sent or hinted, not at the sync: B4 */
	bool fail_destination; /* it dies in the middle: for the tests */
};

/* What one migration did. */
struct outcome {
	bool hints; /* were they asked for? */
	bool moved; /* the guest runs at the destination */
	uint32_t rounds;
	uint64_t looked_at; /* pages that were to be sent, over all rounds */
	uint64_t sent;
	uint64_t zero;	 /* of those: all zero, no data on the wire */
	uint64_t hinted; /* pages left out, for they were free */
	uint64_t bytes;	 /* on the wire */
	uint64_t hint_count;
	double total_ms;
	double downtime_ms;
	uint32_t good; /* pages that the guest checked after it */
	uint32_t bad;
};

/* The wire: a header, and for a page that is not zero its bytes. */
enum { WIRE_PAGE = 1, WIRE_ZERO, WIRE_STATE, WIRE_VERDICT };

struct wire_head {
	uint32_t type;
	uint32_t len; /* of what follows */
	uint64_t gpa; /* of a page */
};

/* What the destination says at the end. */
struct verdict {
	uint32_t good;
	uint32_t bad;
};

/* All of len bytes.  0 or a negative errno; -ENOTCONN: the other end is gone. */
int wire_write(int fd, const void *bytes, size_t len);
int wire_read(int fd, void *bytes, size_t len);

/*
 * Move the running guest to whoever reads at fd.  Returns 0 when it runs there, or a
 * negative errno: then it runs here.  Either way the driver got its pages back.
 */
int migrate(struct machine *machine, const struct options *options, int fd,
	    struct outcome *outcome);

/* The other process: take the guest in, let it run, have it check itself.  Exit status. */
int destination(const struct options *options, int fd);

/* The tables; returns the exit status. */
int report(const struct options *options, const struct outcome *outcomes, unsigned n);

#endif
