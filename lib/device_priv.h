/* SPDX-License-Identifier: MIT */
#ifndef FPH_DEVICE_PRIV_H
#define FPH_DEVICE_PRIV_H

#include "device_round.h"
#include "vq.h"
#include <fph/device.h>

/*
 * Inside the box of struct fph_device.
 *   device.c       options, the round's state, questions
 *   device_bus.c   bus verbs: status, configuration space, queue numbers
 *   device_poll.c  the round and free_page_vq
 *   balloon.c      the other four queues
 */
struct device {
	const struct fph_mem *mem;
	uint64_t offered;
	uint64_t accepted;
	enum fph_vq_layout layout;
	uint16_t queue_max;
	uint8_t page_shift;
	uint8_t status;
	uint8_t state; /* enum fph_device_state; assigned in step() only */
	bool resetting; /* asked for by the driver while a batch is in hand */
	bool suspending; /* likewise */
	bool in_hand;	/* hints handed out and not acknowledged */
	uint32_t irq;
	uint32_t num_pages;
	uint32_t shown_pages; /* num_pages, unless the driver has the device suspended */
	uint32_t actual;
	uint32_t poison;
	uint32_t id; /* of the last round */
	struct fph_fault fault;

	void *ctx;
	void (*interrupt)(void *ctx);
	void (*hints)(void *ctx);
	void (*pages)(void *ctx, enum fph_queue queue, struct fph_range range);
	void (*stat)(void *ctx, struct fph_stat stat);

	struct fph_vq_dev vq[FPH_QUEUE_COUNT];

	/* free_page_vq: where the walk stands */
	struct fph_range rest;	/* of the hint in hand, still to be handed out */
	struct fph_vq_window window; /* around the last good one, without its rings */
	bool foreign;		/* the last command was not ours */
	bool rest_usable;	/* the hint in hand touched writable memory */
	uint8_t word_len;	/* bytes of a command gathered in this chain */
	unsigned char word[4];

	uint8_t unserved;	/* balloon queues with work left, by 1 << enum fph_queue */
	bool stats_parked;

	struct fph_device_stats total;
	struct fph_device_stats before; /* total, when the last round began */
};

static inline struct device *device_of(struct fph_device *dev)
{
	return (struct device *)(void *)dev;
}

static inline const struct device *const_device_of(const struct fph_device *dev)
{
	return (const struct device *)(const void *)dev;
}

static inline bool device_runs(const struct device *d)
{
	return (d->status & FPH_STATUS_DRIVER_OK) && !d->fault.rule;
}

/*
 * Cut a range to whole pages, inward: a page of which the guest kept one byte is not
 * given up.  Returns how many bytes were lost; *range may be empty then.
 */
static inline uint64_t fph_cut_inward(struct fph_range *range, uint8_t page_shift)
{
	uint64_t mask = (UINT64_C(1) << page_shift) - 1;
	uint64_t before = (0 - range->gpa) & mask;
	uint64_t after = (range->gpa + range->len) & mask;
	uint64_t lost = before + after < range->len ? before + after : range->len;

	range->gpa += before;
	range->len -= lost;
	return lost;
}

/* The feature that a queue hangs on; 0 for those that always exist. */
uint64_t fph_device_feature_of(enum fph_queue queue);
/* Index of a queue in the layout in force, or -ENOENT. */
int fph_device_index(const struct device *d, enum fph_queue queue);
/* Make bits pending; tells the embedder when there were none. */
void fph_device_raise(struct device *d, uint32_t bits);
/* The driver is told that the configuration is not what it was. */
void fph_device_config_changed(struct device *d);
/* What free_page_hint_cmd_id reads. */
uint32_t fph_device_shown(const struct device *d);
/* Return a queue's chains, but the last if it is kept; interrupt if that is wanted. */
void fph_device_return(struct device *d, enum fph_queue queue, bool keep_last);
/* Record what the driver did, break the device, ask for a reset.  Returns -EPROTO. */
int fph_device_break(struct device *d, enum fph_queue queue, const struct fph_fault *fault);
/* The one place where the round changes state. */
enum fph_device_act fph_device_step(struct device *d, enum fph_device_event event);
/* Let go of the batch in hand, without a look at the queue. */
void fph_device_let_go(struct device *d);
/*
 * The embedder may not poll again until it is told to: have the driver ring, and call
 * the `hints` hook if something waits.  Returns 0 or -EPROTO.
 */
int fph_device_resume(struct device *d);
/* Look at all queues: what was put there while nobody was to look is not told of again. */
void fph_device_look(struct device *d);
/* Complete a reset, or a suspension. */
void fph_device_reset(struct device *d);
void fph_device_suspend(struct device *d);
/* Tell the driver how many pages are wanted, if that is not what it was told. */
void fph_device_show_pages(struct device *d);
/* Work on inflate, deflate, statistics or reporting; bounded by the ring size. */
void fph_balloon_serve(struct device *d, enum fph_queue queue);
void fph_balloon_serve_rest(struct device *d);

#endif
