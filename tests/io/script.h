/* SPDX-License-Identifier: MIT */
#ifndef TESTS_IO_SCRIPT_H
#define TESTS_IO_SCRIPT_H

#include "front.h"

/* Whole messages as bytes, with the descriptors that go with each. */
struct script {
	unsigned char bytes[4096];
	size_t len;
	struct {
		size_t at, size;
		int fd; /* or -1 */
	} messages[64];
	unsigned count;
};

/* A channel, memory, a call socket, a kick; and the other ends of channel and call. */
#define SCRIPT_FDS 6
void script_fds(int fds[SCRIPT_FDS]);
void script_close(const int fds[SCRIPT_FDS]);

/*
 * What user-mode Linux 6.1 says, in its order (recorded with STATS_VQ and
 * FREE_PAGE_HINT offered): one region whose gpa, user address and file offset are
 * equal, a table with room for two; calls before sizes; kicks and enables at the end.
 */
void script_uml(struct script *s, const int fds[SCRIPT_FDS]);

/*
 * Deliver the bytes up to `upto` in pieces, turning the loop after each.  Descriptors go
 * with the piece that begins their message or, if so told, with the one that ends it.
 */
void script_deliver(struct front *front, const struct script *s, size_t upto, size_t piece,
		    bool late, void (*turn)(struct rig *rig));

#endif
