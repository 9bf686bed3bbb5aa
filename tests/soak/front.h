/* SPDX-License-Identifier: MIT */
#ifndef SOAK_FRONT_H
#define SOAK_FRONT_H

#include "soak.h"
#include "vhost_user/wire.h"

#include <fph/transport.h>
#include <fph/wire.h>

/*
 * A vhost-user front end in a process of its own.  Every wait for the back end is bounded;
 * once one has run out the connection is over, and what was lent stays lent until the back
 * end has closed its side, which it does last.
 */
struct front {
	const struct soak *soak;
	uint32_t plugged;
	bool status_known; /* STATUS was negotiated: as QEMU, else as user-mode Linux */
	bool slots;	   /* memory by ADD_MEM_REG, else by tables */

	int sock;	/* -1: closed on both sides */
	bool connected; /* false: only its end is waited for */
	int channel;
	uint64_t accepted;
	uint8_t status;
	struct fph_vq_place place[FPH_QUEUE_COUNT]; /* size 0: does not run */
	int kick[FPH_QUEUE_COUNT];
	int call[FPH_QUEUE_COUNT];
};

void front_init(struct front *front);
int front_connect(struct front *front);
void front_disconnect(struct front *front);
/* Has the back end let go of the memory? */
bool front_is_over(struct front *front);

/* Returns 0, -EPROTO (refused), or -EIO: the connection is over. */
int front_ask(struct front *front, uint32_t request, const void *body, uint32_t size, int fd);
/* The same with as many descriptors as regions. */
int front_show_table(struct front *front);
/* A request that has an answer of its own; returns its size. */
int front_get(struct front *front, uint32_t request, const void *body, uint32_t size,
	      void *answer, size_t max);
struct vu_region front_region(const struct front *front, uint32_t region);

struct fph_bus front_bus(struct front *front);
/* Stop a ring, and start it where it was. */
int front_restart(struct front *front, uint16_t queue);

#endif
