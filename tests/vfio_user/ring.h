/* SPDX-License-Identifier: MIT */
#ifndef TESTS_VFIO_USER_RING_H
#define TESTS_VFIO_USER_RING_H

#include "peer.h"

/* Queues by hand, split rings of RING entries, so that they can be wrong. */

#define RING_BYTES     UINT64_C(0x4000) /* from one queue's rings to the next one's */
#define RING_DESC(q)   (RAM_GPA + RING_BYTES * (q))
#define RING_DRIVER(q) (RING_DESC(q) + 0x1000)
#define RING_DEVICE(q) (RING_DESC(q) + 0x2000)
/* Behind them: room for what buffers hold. */
#define RING_DATA (RAM_GPA + 0x100000)

/* The queues, if all are offered. */
enum { INFLATE, DEFLATE, STATS, HINT, REPORT };

struct ring_desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/* Up to FEATURES_OK, with all that is offered but `refused`. */
void ring_negotiate(struct peer *p, uint64_t refused);
/* Of another size, a power of two.  Returns whether the device took it. */
bool ring_enable_sized(struct peer *p, uint16_t queue, uint16_t size, uint64_t desc,
		       uint64_t driver, uint64_t device);
bool ring_enable(struct peer *p, uint16_t queue, uint64_t desc, uint64_t driver, uint64_t device);
/* All of the above for all queues at their places, and DRIVER_OK. */
void ring_up(struct peer *p);

void ring_put(struct peer *p, uint64_t gpa, const void *bytes, size_t len);
void ring_put_desc(struct peer *p, uint16_t queue, uint16_t index, struct ring_desc desc);
/* Make a chain available that begins with that descriptor; the doorbell is another step. */
void ring_avail(struct peer *p, uint16_t queue, uint16_t head);
/* Posted, and pumped. */
void ring_kick(struct peer *p, uint16_t queue);
uint16_t ring_used(struct peer *p, uint16_t queue);

/* Numbers of free pages at RING_DATA, as lists have them. */
void ring_put_numbers(struct peer *p, uint32_t n);
/* A round by hand; returns how many hints there were of one range. */
unsigned ring_hints_of(struct peer *p, uint64_t gpa, uint32_t len);
/* The same with the id there; else it is behind RING_DATA. */
unsigned ring_hints_by(struct peer *p, uint64_t id_at, uint64_t gpa, uint32_t len);

/* A test with memory that has a descriptor (*shared), and that has none. */
#define BOTH_WAYS(suite, name)                                \
	ParameterizedTestParameters(suite, name)              \
	{                                                     \
		static size_t which[] = { 0, 1 };             \
		return cr_make_param_array(size_t, which, 2); \
	}                                                     \
	ParameterizedTest(size_t *shared, suite, name)

#endif
