/* SPDX-License-Identifier: MIT */
#ifndef TESTS_IO_FRONT_H
#define TESTS_IO_FRONT_H

#include "rig.h"
#include "vhost_user/wire.h"
#include <fph/transport.h>

/*
 * The other end: a vhost-user front end, well behaved or, message by message, not.
 * It runs in the thread of the back end, whose loop it turns while it waits.
 */
struct front {
	struct rig *rig;
	int sock;
	unsigned flags; /* FRONT_* */
	uint64_t protocol;
	uint64_t accepted;
	uint8_t status;

	/* Guest memory: one file, mapped here at a user address of its own. */
	int memfd;
	unsigned char *ram;
	int kick[FPH_QUEUE_COUNT];
	int call[FPH_QUEUE_COUNT];
	int channel;
	unsigned config_changes; /* messages seen on the channel */
	bool used_ring[FPH_QUEUE_COUNT];
};

#define FRONT_STATUS   0x1u /* as QEMU: STATUS, and configuration written as one blob */
#define FRONT_SLOTS    0x2u /* memory by ADD_MEM_REG */
#define FRONT_CALL_SOCK 0x4u /* as user-mode Linux: calls are sockets */

#define FRONT_GPA   UINT64_C(0x40000000)
#define FRONT_BYTES (UINT64_C(16) << 20)

/* Connect, and nothing else. */
void front_connect(struct front *front, struct rig *rig);
/* Connect, negotiate the protocol, bring the memory and the channel. */
void front_open(struct front *front, struct rig *rig, unsigned flags);
/* Leave without a word. */
void front_close(struct front *front);

/* Bytes as they are, with descriptors. */
void front_raw(struct front *front, const void *bytes, size_t len, const int *fds, unsigned n);
void front_send(struct front *front, uint32_t request, uint32_t flags, const void *body,
		uint32_t size, const int *fds, unsigned n);
/* Wait for an answer.  Returns the size of its body, or -EPIPE if the back end hung up. */
int front_recv(struct front *front, struct vu_header *head, void *body, size_t max);
/* Send with the need-reply flag.  Returns the answer (0, 1) or -EPIPE. */
int front_ask(struct front *front, uint32_t request, const void *body, uint32_t size,
	      const int *fds, unsigned n);
int front_ask_u64(struct front *front, uint32_t request, uint64_t value);
int front_ask_state(struct front *front, uint32_t request, uint32_t index, uint32_t num);
/* A request that has an answer of its own, a number. */
uint64_t front_get_u64(struct front *front, uint32_t request);
/* Has the back end hung up, once it had its say? */
bool front_is_dropped(struct front *front);
/* Negotiate all of the offered protocol features that this front end knows. */
void front_negotiate(struct front *front);
/* Bring the memory, one region. */
int front_bring_memory(struct front *front);

/* The bus that a guest role drives; valid with front. */
struct fph_bus front_bus(struct front *front);

struct vu_region front_region(const struct front *front);

#endif
