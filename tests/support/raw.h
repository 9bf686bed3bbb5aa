/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_RAW_H
#define SUPPORT_RAW_H

#include "support/ram.h"
#include <fph/device.h>
#include <fph/guest.h>

/*
 * Ends that are written by hand, so that they can be wrong: a driver that pokes
 * split rings into guest memory, and a device that is a bus.  Neither judges
 * anything; what a test does not spell out is done the honest way.
 */

#define RAW_NEXT     1u
#define RAW_WRITE    2u
#define RAW_INDIRECT 4u

/* ------------------------------------------------------------ a ring, by address */

/* One ring as both ends of this file see it; the counters are this end's own. */
struct raw_vq {
	struct ram *ram;
	uint16_t index; /* of the queue, at the bus */
	struct fph_vq_place place;
	uint16_t avail; /* entries written into the available ring by push */
	uint16_t used;	/* entries taken off the used ring, or written into it */
	uint16_t popped; /* entries taken off the available ring, by a raw device */
};

struct raw_desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

void raw_desc(struct raw_vq *vq, uint16_t i, uint64_t gpa, uint32_t len, unsigned flags,
	      uint16_t next);
struct raw_desc raw_read_desc(const struct raw_vq *vq, uint16_t i);
/* Put a head into the available ring, not shown yet; and show all. */
void raw_push(struct raw_vq *vq, uint16_t head);
void raw_publish(struct raw_vq *vq);
/* Store avail.idx itself, or avail.flags. */
void raw_avail_idx(struct raw_vq *vq, uint16_t idx);
void raw_avail_flags(struct raw_vq *vq, uint16_t flags);
uint16_t raw_read_avail_idx(const struct raw_vq *vq);
uint16_t raw_read_avail_flags(const struct raw_vq *vq);
uint16_t raw_used_idx(const struct raw_vq *vq);
uint16_t raw_used_flags(const struct raw_vq *vq);
/* Entry n of the used ring (not masked by the caller). */
uint32_t raw_used_id(const struct raw_vq *vq, uint16_t n);
uint32_t raw_used_len(const struct raw_vq *vq, uint16_t n);

/* ------------------------------------------------------------ driver */

struct raw_driver {
	struct ram *ram;
	struct fph_bus bus;
	uint64_t accepted;
	struct raw_vq vq[FPH_QUEUE_COUNT]; /* by what the queue is for */
	struct raw_vq *hint;		   /* &vq[FPH_QUEUE_HINT] */
};

#define RAW_RING_SIZE 16u
/* Where queue q's ring and its message bytes stand, in LOW. */
#define RAW_RING_AT(q)	  (RAM_LOW + UINT64_C(0x10000) * ((unsigned)(q) + 1))
#define RAW_MESSAGE_AT(q) (RAW_RING_AT(q) + 0xc000)

#define RAW_FEATURES (FPH_F_VERSION_1 | FPH_F_STATS_VQ | FPH_F_FREE_PAGE_HINT)

void raw_driver_init(struct raw_driver *d, struct ram *ram, struct fph_bus bus);
/* Reset, ACKNOWLEDGE, DRIVER, accept, FEATURES_OK.  Returns the first error. */
int raw_negotiate(struct raw_driver *d, uint64_t accept);
/*
 * Where an empty ring of that size for queue q stands, zeroed; nothing is told to
 * the device, and raw_enable() tells it what d->vq[q] holds.
 */
void raw_lay_out(struct raw_driver *d, enum fph_queue q, uint16_t index, uint16_t size);
int raw_enable(struct raw_driver *d, enum fph_queue q);
int raw_driver_ok(struct raw_driver *d);
/* All of it with an honest layout: queues as negotiated, 16 entries each. */
void raw_up(struct raw_driver *d, uint64_t accept);

/* Queue one buffer at descriptor i: a command, a hint.  Shown and not rung for. */
void raw_command(struct raw_driver *d, uint16_t i, uint32_t id);
void raw_hint(struct raw_driver *d, uint16_t i, uint64_t gpa, uint32_t len);
/* Bytes for the device to read, at message slot i of queue q.  Returns their gpa. */
uint64_t raw_message(struct raw_driver *d, enum fph_queue q, uint16_t i, const void *bytes,
		     uint32_t len);
int raw_kick(struct raw_driver *d, enum fph_queue q);

uint8_t raw_status(struct raw_driver *d);
int raw_set_status(struct raw_driver *d, uint8_t status);
uint32_t raw_config32(struct raw_driver *d, uint32_t offset);
int raw_set_config32(struct raw_driver *d, uint32_t offset, uint32_t value);
uint32_t raw_take_irq(struct raw_driver *d);

/* ------------------------------------------------------------ device */

/*
 * Members may be changed at any time: they are what the verbs answer.  `before` is
 * called at the start of each verb with its number in `calls` and may change them,
 * or return a negative errno to make the verb answer that.
 */
struct raw_device {
	struct ram *ram;
	uint64_t offered;
	uint64_t accepted;
	uint8_t status;	    /* what a read shows */
	uint8_t refuse;	    /* bits that do not stick when written */
	bool ignore_reset;  /* writing 0 does nothing */
	unsigned char config[FPH_CONFIG_MAX];
	uint32_t config_len; /* bytes past it read as 0xff */
	uint16_t vq_max[8];
	uint32_t irq;
	struct raw_vq vq[8]; /* by index; place.size 0: not enabled */
	unsigned enables;
	unsigned kicks[8];
	unsigned data_kicks[8]; /* of them, those that carried data */
	uint16_t next[8];	/* and what the last one did */
	unsigned config_reads;
	unsigned status_reads;
	unsigned resets;
	int (*before)(struct raw_device *d, const char *verb);
	void *ctx; /* the test's */
};

/* Offers RAW_FEATURES, 256 entries for queues 0 to 3, an id of STOP. */
void raw_device_init(struct raw_device *d, struct ram *ram);
struct fph_bus raw_device_bus(struct raw_device *d);
/* Put a value into a field of the configuration and raise the config interrupt. */
void raw_show(struct raw_device *d, uint32_t field, uint32_t value);
/* Take the next head off the available ring of queue `index`; false: none. */
bool raw_pop(struct raw_device *d, uint16_t index, uint16_t *head, struct raw_desc *desc);
/* Write a used entry, and show those written. */
void raw_use(struct raw_device *d, uint16_t index, uint32_t id, uint32_t len);
void raw_show_used(struct raw_device *d, uint16_t index);
/* Store used.idx itself, or used.flags. */
void raw_store_used_idx(struct raw_device *d, uint16_t index, uint16_t idx);
void raw_store_used_flags(struct raw_device *d, uint16_t index, uint16_t flags);

#endif
