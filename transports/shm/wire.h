/* SPDX-License-Identifier: MIT */
#ifndef FPH_SHM_WIRE_H
#define FPH_SHM_WIRE_H

#include <fph/mmio.h>
#include <fph/shm.h>
#include <stddef.h>

/*
 * What two processes share: three pages, each with one writer, and two messages.
 * Everything in a page is little-endian; the messages stay on one machine and are in
 * its order.  ../README.md draws it and says in which order things are stored.
 */

#define SHM_MAGIC   UINT32_C(0x53687066) /* "fphS" */
#define SHM_VERSION UINT32_C(1)
#define SHM_PAGE    4096u

/* ------------------------------------------------------------ the server's two pages */

/* D0, the first: the registers, readable as virtio-mmio.  struct shm_banks is D1. */
#define SHM_SERVER_BYTES (2u * SHM_PAGE)

struct shm_queue_bank {
	uint32_t size_max;
	uint32_t ready;
	uint32_t reset;
};

/*
 * D1: what stands behind a selector, for every value of it, so that reading needs no
 * round trip; and the server's ends of the counters.
 */
struct shm_banks {
	uint32_t generation; /* odd: D0 and the banks are being changed */
	uint32_t ack_seq;    /* write-ring entries that took effect */
	uint32_t config_seq; /* configuration interrupts so far */
	uint32_t used_seq[FPH_QUEUE_COUNT];
	uint32_t features[4];
	struct shm_queue_bank queue[FPH_QUEUE_COUNT];
};
_Static_assert(offsetof(struct shm_banks, used_seq) == 12, "layout");
_Static_assert(offsetof(struct shm_banks, features) == 32, "layout");
_Static_assert(offsetof(struct shm_banks, queue) == 48, "layout");
_Static_assert(sizeof(struct shm_banks) == 108, "layout");

/* ------------------------------------------------------------ the client's page */

#define SHM_RING 32u

/* A write to a register of D0. */
struct shm_write {
	uint32_t seq; /* its number; the first is 0 */
	uint16_t offset;
	uint8_t width; /* bytes */
	uint8_t reserved;
	uint64_t value;
};
_Static_assert(sizeof(struct shm_write) == 16, "layout");

/* The second word of an entry, which is read as one. */
#define SHM_WRITE_WORD(offset, width) ((uint32_t)(offset) | (uint32_t)(width) << 16)

/* W0: the write ring, and which interrupts were taken. */
struct shm_driver {
	uint32_t prod; /* entries written so far */
	uint32_t config_ack;
	uint32_t used_ack[FPH_QUEUE_COUNT];
	uint32_t reserved[9];
	struct shm_write ring[SHM_RING];
};
_Static_assert(offsetof(struct shm_driver, used_ack) == 8, "layout");
_Static_assert(offsetof(struct shm_driver, ring) == 64, "layout");
_Static_assert(sizeof(struct shm_driver) == 576, "layout");

#define SHM_CLIENT_BYTES SHM_PAGE

/* ------------------------------------------------------------ messages */

struct shm_region {
	uint64_t gpa;
	uint64_t len;
	uint64_t offset;
};

/* Client to server, once, as long as its regions are many. */
struct shm_request {
	uint32_t magic;
	uint32_t version;
	uint32_t queues; /* FPH_QUEUE_COUNT */
	uint32_t regions;
	struct shm_region region[FPH_SHM_REGIONS_MAX];
};
_Static_assert(offsetof(struct shm_request, region) == 16, "layout");
_Static_assert(sizeof(struct shm_region) == 24, "layout");

/* The descriptors that come with it, in this order; then one for each region. */
enum shm_fd {
	SHM_FD_DRIVER,	 /* W0 */
	SHM_FD_CTL_KICK, /* eventfds: the write ring has something */
	SHM_FD_CTL_ACK,	 /* ... it took effect */
	SHM_FD_IRQ,
	SHM_FD_KICK, /* the first of FPH_QUEUE_COUNT doorbells */
	SHM_FD_REGION = SHM_FD_KICK + FPH_QUEUE_COUNT,
};

/* Server to client, once; with the file of D0 and D1 if status is 0. */
struct shm_answer {
	uint32_t magic;
	uint32_t version;
	int32_t status; /* 0, or a negative errno and the end of the connection */
	char text[116]; /* why; ends with a NUL */
};
_Static_assert(sizeof(struct shm_answer) == 128, "layout");

#endif
