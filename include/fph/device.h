/* SPDX-License-Identifier: MIT */
#ifndef FPH_DEVICE_H
#define FPH_DEVICE_H

#include <fph/fault.h>
#include <fph/mem.h>
#include <fph/transport.h>
#include <fph/wire.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The device (VMM) end of a virtio balloon with free page hinting.
 *
 * Nothing here allocates, blocks, logs, reads a clock or makes a system call.
 *
 * The order of a round, which keeps guest memory whole:
 *
 *	fph_device_stop()	no hint of the last round can be applied any more
 *	dirty log -> bitmap	read it *and re-protect the pages*
 *	fph_device_start()	fence the queue, then show the driver a new id
 *	fph_device_poll()	until it returns 0, now and at every doorbell:
 *				clear each range in the bitmap
 *	... send dirty pages, then again from the top; at the end, guest paused:
 *	fph_device_stop(), last sync, send the rest, fph_device_done()
 *
 * A hint says: the guest gave these pages up *after the id was shown*.  So a
 * bitmap bit that came from an earlier sync may be cleared, and a write made
 * later than the sync must still be seen by the next one.  Do not clear a dirty
 * log that is re-protected lazily (KVM's manual mode) because a page was hinted:
 * that wipes a write nobody has read yet.  Discarding the memory of a hint is
 * safe only if the driver reuses no page before its buffer came back, or if you
 * can tell that the page was not written since the id was shown (BH-19, A5-6).
 * BH-13, BH-14; reliability conditions S1 to S4.
 */
struct fph_device {
	union {
		uint64_t align_;
		void *pointer_;
		unsigned char private_[1280];
	} room_; /* size frozen per soname; do not copy or move after init */
};

struct fph_device_opts {
	size_t size; /* sizeof(struct fph_device_opts) */

	const struct fph_mem *mem; /* borrowed until fph_device_set_mem(); required */

	/*
	 * Features to offer besides VERSION_1, STATS_VQ and FREE_PAGE_HINT, out of
	 * MUST_TELL_HOST, DEFLATE_ON_OOM, PAGE_POISON, PAGE_REPORTING; of the ring's
	 * formats INDIRECT_DESC, EVENT_IDX, RING_PACKED, IN_ORDER; ORDER_PLATFORM,
	 * SUSPEND; NOTIFICATION_DATA, where doorbells are register writes; and, where the
	 * transport can reset a queue (virtio-mmio can), RING_RESET.  And those of
	 * STATS_VQ and FREE_PAGE_HINT to leave out.  FPH_F_*
	 */
	uint64_t offer;
	uint64_t withhold;

	enum fph_vq_layout layout;
	uint16_t queue_max;  /* entries, a power of two, 2 to 32768; 0 means 256 */
	uint8_t page_shift;  /* log2 of the page that hints are cut to; 0 means 12 */
	uint32_t command_id; /* the last id ever shown, from a saved state; 0 for none */

	/*
	 * Hooks, all optional, called with ctx from inside other calls.  They must not
	 * call back into this device, except that `interrupt` may use the bus verbs
	 * take_irq, status and config, which show what the interrupt tells of.
	 */
	void *ctx;

	/* Interrupt bits became pending: take them by the bus verb take_irq. */
	void (*interrupt)(void *ctx);

	/*
	 * Buffers became available on free_page_vq, or another queue holds more than is
	 * served at once: call fph_device_poll() soon.
	 */
	void (*hints)(void *ctx);

	/*
	 * The driver gave pages to the balloon (FPH_QUEUE_INFLATE), wants them back
	 * (DEFLATE), or reports them free (REPORT).  The range lies in one memory
	 * region; its buffer is returned after the hook.  With MUST_TELL_HOST pages
	 * must be usable again when DEFLATE returns.  With PAGE_POISON a reported page
	 * may change to the poison value only (BR-8).  5.5.6, 5.5.6.7
	 */
	void (*pages)(void *ctx, enum fph_queue queue, struct fph_range range);

	/* One entry of a statistics buffer; any tag in any order.  5.5.6.3, BS-8 */
	void (*stat)(void *ctx, struct fph_stat stat);
};
#define FPH_DEVICE_OPTS_INIT FPH_SIZED_INIT(struct fph_device_opts)

/*
 * Make a device in caller memory; there is nothing to free.
 * Returns 0; -EINVAL (an option out of its range, options that contradict each
 * other, or a memory map that breaks its rules); -E2BIG (options from a newer
 * header, with something set that this library does not know).
 */
int fph_device_init(struct fph_device *dev, const struct fph_device_opts *opts);

/*
 * Replace the memory map, for hotplug; borrowed until the next call.  Call it
 * before the memory goes away.  A running queue whose ring is not in the new map
 * is a fault.  Ends the batch in hand, like fph_device_ack().
 * Returns 0, -EINVAL (bad map, nothing changed), or -EPROTO (see above).
 */
int fph_device_set_mem(struct fph_device *dev, const struct fph_mem *mem);

/* The bus that a driver, or the far half of a transport, drives this device by. */
struct fph_bus fph_device_bus(struct fph_device *dev);

/*
 * Show the driver a new command id and raise FPH_IRQ_CONFIG: a round is open.
 * All that the driver had made available before is stale (the fence, S3), so
 * call it after the dirty-log sync.  Ends the round before, as stop() does.
 * Returns 0; -ENOTCONN (no driver that negotiated hinting, or it has the device
 * suspended: no error for a migration, everything is sent); -EPROTO (the driver broke a rule).  5.5.6.5, BH-2
 */
int fph_device_start(struct fph_device *dev);

/*
 * Show STOP.  A barrier: when it returns, poll() hands out nothing of the old
 * round, ever.  Nothing that poll() returned may still be acted upon when you
 * call it; the batch in hand is acknowledged.  Never waits for the driver.
 * Returns 0 (also when no round was open), -ENOTCONN, or -EPROTO; whatever it
 * returns, no round is open.  BH-11
 */
int fph_device_stop(struct fph_device *dev);

/*
 * Show DONE: the driver takes its pages back into use.  Ends a round like
 * stop().  Owed on every way out of a migration, failed or not (BH-16); after
 * it no page may be changed for a hint (BH-15).  Calling it twice is harmless.  To
 * a driver that has the device suspended DONE is shown when it resumes (S-4).
 * Returns as fph_device_stop().
 */
int fph_device_done(struct fph_device *dev);

/*
 * Take up to max hints of the open round into out.  Call it at every doorbell of
 * the queue, in a round or not, until it returns 0: buffers that are no hints
 * of this round are counted and given back, and while it has more to say
 * doorbells may be switched off.
 *
 * Every range lies inside one region of the map, is cut inward to whole pages,
 * and belongs to the round now open (BH-13).  Its buffer is not returned to the
 * driver before the next poll, ack, start, stop or done: so a driver that holds
 * pages until then cannot have reused one that you act upon meanwhile.
 *
 * Returns how many (0: none now, doorbells are on; or max was 0); -EAGAIN (the bound on work
 * was reached among buffers that were no hints: call again); -ENOTCONN (no
 * driver); -EPROTO.  Work is bounded by max and the ring size.
 */
int fph_device_poll(struct fph_device *dev, struct fph_range *out, size_t max);

/*
 * Return the buffers of the batch in hand, with at most one interrupt, and switch
 * doorbells on again.  A reset that the driver asked for meanwhile is completed
 * now (R9).  Needed only if you stop polling before it returns 0; the `hints` hook
 * is called if there is more.  Returns 0.
 */
int fph_device_ack(struct fph_device *dev);

/* Has the driver said STOP in this round, or is none open? */
bool fph_device_round_over(const struct fph_device *dev);

/* What free_page_hint_cmd_id shows now: STOP, DONE, or the id of the open round. */
uint32_t fph_device_command(const struct fph_device *dev);

/* The last id shown, to be saved and given to the next device as an option. */
uint32_t fph_device_command_id(const struct fph_device *dev);

/* "DOWN", "STOPPED", "REQUESTED", "HINTING", "ENDED" or "DONE". */
const char *fph_device_state_name(const struct fph_device *dev);

/* The rule that the driver broke first since its last reset; valid with dev. */
const struct fph_fault *fph_device_fault(const struct fph_device *dev);

/* The index of a queue now (before FEATURES_OK: if all were accepted), or -ENOENT. */
int fph_device_queue(const struct fph_device *dev, enum fph_queue queue);

/* Features accepted by the driver; 0 before FEATURES_OK.  FPH_F_* */
uint64_t fph_device_features(const struct fph_device *dev);

/* The balloon's target in 4 KiB pages; a change raises FPH_IRQ_CONFIG.  Returns 0. */
int fph_device_set_num_pages(struct fph_device *dev, uint32_t pages);
/* The size the driver says the balloon has, in 4 KiB pages. */
uint32_t fph_device_actual(const struct fph_device *dev);
/* The poison value the driver wrote; 0 if it wrote none.  BP-4 */
uint32_t fph_device_poison(const struct fph_device *dev);

/*
 * Return the parked statistics buffer, so that the driver sends fresh ones to
 * the `stat` hook.  Returns 0, -EAGAIN (none is parked), -ENOTCONN, or -EPROTO.
 */
int fph_device_ask_stats(struct fph_device *dev);

/* What went by.  A buffer dropped is counted once, by the first reason that fits. */
struct fph_device_stats {
	uint64_t size; /* sizeof(struct fph_device_stats), set by the caller */
	uint64_t rounds;
	uint64_t hints;		 /* ranges handed out */
	uint64_t bytes;		 /* in them */
	uint64_t chains;	 /* taken off free_page_vq */
	uint64_t commands;	 /* START and STOP that counted */
	uint64_t stale;		 /* buffers from before the fence */
	uint64_t foreign_id;	 /* commands of another id, or repeated, and hints under them */
	uint64_t unasked;	 /* hints and STOPs while no round wanted them */
	uint64_t misaligned;	 /* hints that were cut to whole pages */
	uint64_t bytes_lost;	 /* to that cutting */
	uint64_t out_of_range;	 /* hints of no writable memory, or of a running ring */
	uint64_t interrupts;	 /* for used buffers of any queue: sent */
	uint64_t interrupts_saved; /* batches the driver did not want to hear of */
	uint64_t inflated;	 /* bytes */
	uint64_t deflated;	 /* bytes */
	uint64_t reported;	 /* bytes */
	uint64_t balloon_dropped; /* bytes of the three above that were not in memory */
	uint64_t stats_buffers;
	uint64_t resets;
};
#define FPH_DEVICE_STATS_INIT FPH_SIZED_INIT(struct fph_device_stats)

/*
 * Copy the counters: since the last start, or since init.
 * Returns 0 or -EINVAL (size is none that a header ever had).
 */
int fph_device_round_stats(const struct fph_device *dev, struct fph_device_stats *stats);
int fph_device_total_stats(const struct fph_device *dev, struct fph_device_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
