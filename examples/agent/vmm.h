/* SPDX-License-Identifier: MIT */
#ifndef AGENT_VMM_H
#define AGENT_VMM_H

#include "board.h"
#include "memory.h"
#include "options.h"
#include "wire.h"

#include <fph/bitmap.h>

struct vmm {
	const struct options *options;
	struct board *board;
	struct fph_loop *loop;
	const struct device_wire *wire;
	void *server;
	struct fph_device *device;
	uint64_t life;	 /* changes when a client comes, resets the device, or leaves */
	bool away;	 /* the last client left, nobody came since */
	char why[96];	 /* it did */
	uint32_t ticket; /* of the last pause asked for */
};

/*
 * Let the loop run once.  Returns 0; -EINTR (asked to end), -ECONNRESET (`life` is not
 * the present one any more) or another errno.
 */
int vmm_turn(struct vmm *vmm, int timeout_ms, uint64_t life);

/*
 * The agent's memory, valid until the next turn, or NULL: it has none of the shape that
 * this program knows.  It may change under our hands at any time.
 */
unsigned char *vmm_memory(const struct vmm *vmm, struct layout *layout);

#define SNAPSHOT_LATE_MAX 65536u

struct snapshot {
	struct vmm *vmm;
	uint64_t life;
	struct layout layout;
	struct fph_bitmap dirty;
	int fd;
	bool hints;
	uint64_t start_ns;
	uint64_t paused_at;
	struct totals totals;
	struct fph_range *late; /* --break order: hints to be applied when it is too late */
	size_t late_n;
	const char *why; /* it came to nothing */
};

/*
 * Copy the memory of the client that is there to `fd`, an empty file, while the agent
 * works in it.  When it returns the agent runs, and the device shows DONE if there is a
 * client.  Returns 0, or a negative errno with `why` set: what is in the file is nothing.
 */
int snapshot_take(struct snapshot *snap, struct vmm *vmm, int fd, bool hints);

/* vmm_turn() for a snapshot; says why it came to nothing. */
int snapshot_turn(struct snapshot *snap, int timeout_ms);
/* In snapshot_hints.c: hints to the bitmap. */
int snapshot_poll(struct snapshot *snap);
int snapshot_await_hints(struct snapshot *snap);
void snapshot_late(struct snapshot *snap);

struct verdict {
	uint64_t checked; /* live pages */
	uint64_t bad;	  /* of them, and words of the table that are none */
	bool stamp;	  /* the copy is of the moment of that pause, and whole */
};

/*
 * Is that file a faithful copy?  Nothing but the file is asked.  Returns 0 or a
 * negative errno: it cannot be read.
 */
int check_copy(int fd, uint64_t ticket, struct verdict *verdict);

#endif
