/* SPDX-License-Identifier: MIT */
#ifndef FPH_GUEST_H
#define FPH_GUEST_H

#include <fph/fault.h>
#include <fph/mem.h>
#include <fph/transport.h>
#include <fph/wire.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The guest (driver) end of virtio-balloon free page hinting.
 *
 * The caller owns the free pages; this end tells the device about them and says
 * when they may be used again.  Nothing here allocates, blocks, logs, reads a
 * clock or makes a system call.  Call fph_guest_step() after an interrupt, after
 * flush and end (what came back before interrupts were switched on makes none), and
 * when a time-out of yours passes; hint while it says FEED; collect with
 * fph_guest_reclaim() what may be reused.
 *
 * Strict hold, the default: a hinted range is out of use until the device has
 * returned its buffer, and not a moment earlier, even on DONE.  Then even a
 * device that discards pages without tracking writes, or that processes hints
 * late, destroys nothing.  The content of a hinted page is lost: initialize it.
 * BH-7 to BH-10; reliability-study 3.4
 */
struct fph_guest {
	union {
		uint64_t align_;
		void *pointer_;
		unsigned char private_[640];
	} room_; /* size frozen per soname; do not copy or move after init */
};

/* Private memory of one ring entry.  Contents are the library's. */
struct fph_guest_slot {
	uint64_t gpa;
	uint32_t len;
	uint16_t next;
	uint16_t state;
};

struct fph_guest_opts {
	size_t size; /* sizeof(struct fph_guest_opts) */

	struct fph_bus bus;
	/*
	 * Memory for the rings and messages: fph_guest_ring_bytes(ring_size) bytes,
	 * 4 KiB aligned, shared with the device and used for nothing else.  flags 0.
	 */
	struct fph_region ring;
	struct fph_guest_slot *slots; /* ring_size of them, not shared with the device */
	uint16_t ring_size;	      /* entries, a power of two, 4 to 32768 */

	enum fph_vq_layout layout; /* tried first where layouts disagree; see attach */
	uint32_t flags;		   /* FPH_GUEST_* below */
	uint32_t poison;	   /* with FPH_GUEST_POISON: what freed pages are filled with */

	/*
	 * Microseconds of the caller's clock.  Ring the doorbell again if the device
	 * made no progress for rekick_us (QEMU can lose a wake-up); report STALLED
	 * after stall_us.  0 means 100,000 and 10,000,000; UINT64_MAX means never.
	 */
	uint64_t rekick_us;
	uint64_t stall_us;

	/*
	 * Memory statistics for the device, read each time it asks; borrowed, up to
	 * FPH_GUEST_STATS_MAX.  With none, free memory is reported as not known.
	 */
	const struct fph_stat *stats;
	uint32_t stat_count;

	/*
	 * Ranges to put into one chain, 0 to 256; 0 means 1, which every device takes.
	 * Devices that look at a chain's first buffer only lose the others: QEMU before 6.2,
	 * Firecracker.  They share one ring entry if INDIRECT_DESC is negotiated.
	 */
	uint16_t batch;
	/*
	 * Features never to accept, of those that say how the rings look: INDIRECT_DESC,
	 * EVENT_IDX, RING_PACKED, IN_ORDER; or of ORDER_PLATFORM, NOTIFICATION_DATA,
	 * SUSPEND.  FPH_F_*
	 */
	uint64_t refuse;
};
#define FPH_GUEST_OPTS_INIT FPH_SIZED_INIT(struct fph_guest_opts)

#define FPH_GUEST_STATS_MAX 16u

/*
 * Linux's way: a range may be reused as soon as fph_guest_hint() took it.  Allowed
 * by BH-7, and safe only with a device that tracks writes from the moment it
 * shows the id.  fph_guest_reclaim() then has nothing to say.
 */
#define FPH_GUEST_EARLY_REUSE 0x1u
/* Accept PAGE_POISON and write `poison` at attach.  BP-2, BF-2 */
#define FPH_GUEST_POISON      0x2u

/* A hint is a multiple of this, at an address that is, and at most FPH_HINT_MAX. */
#define FPH_HINT_PAGE 4096u
#define FPH_HINT_MAX  UINT32_C(0x80000000)

/* Bytes that a ring of that many entries needs; 0 if the size is not allowed. */
size_t fph_guest_ring_bytes(uint16_t ring_size);

/*
 * Make a guest end in caller memory; there is nothing to free and nothing is
 * sent.  Returns 0, -EINVAL (an option breaks its rule), -E2BIG, or -EOPNOTSUPP (the
 * bus lacks a verb other than set_config, vq_disable and notify_data).
 */
int fph_guest_init(struct fph_guest *guest, const struct fph_guest_opts *opts);

/*
 * Reset the device and bring it up: negotiate, find and place the queues,
 * DRIVER_OK, read the command id once.  STATS_VQ is accepted when offered, so
 * that every queue layout agrees; where it is not offered, the queue is looked
 * for where `layout` says and then where the others do.
 * Returns 0; -EAGAIN (the reset is not complete yet: call again); -EBUSY (ranges
 * of the life before wait in fph_guest_reclaim()); -EOPNOTSUPP (the device has no
 * hinting, no VERSION_1, refuses our features, or has too small a queue; FAILED
 * is set); -EPROTO (the device broke a rule at once); or the bus's error.  Init
 * order G-14.
 */
int fph_guest_attach(struct fph_guest *guest);

/*
 * Take interrupts, collect returned buffers, look at the command id if it
 * changed, send what is owed, ring again if the device seems asleep.
 * now_us: a clock of yours that never goes back, in microseconds; without one
 * pass 0, and nothing is rung twice.
 * Returns what this end wants now, FPH_GUEST_* below: a level, not an edge, so
 * calling again is harmless.  Or -ENOTCONN (not attached), -EPROTO (the device
 * broke a rule or asks for reset: fph_guest_reset()), or the bus's error.
 */
int fph_guest_step(struct fph_guest *guest, uint64_t now_us);

#define FPH_GUEST_FEED	  0x1 /* a round is open: hint free pages, then end */
#define FPH_GUEST_RELEASE 0x2 /* no page need be kept back once it is reclaimable */
#define FPH_GUEST_RECLAIM 0x4 /* fph_guest_reclaim() has something */
#define FPH_GUEST_STALLED 0x8 /* the device returned nothing for stall_us */

/*
 * Queue up to n hints; the device sees none before the flush.  The ranges are out
 * of use, and their contents lost, from here on (BH-8).
 * Returns how many were taken (fewer than n: the ring is full; flush, step, reclaim and
 * hint again, and if that takes none wait for an interrupt);
 * -EAGAIN (no round wants them); -EINVAL (a range breaks the rules above; none
 * was taken); -ENOTCONN or -EPROTO.
 */
int fph_guest_hint(struct fph_guest *guest, const struct fph_range *pages, size_t n);

/*
 * Show the device what is queued, with at most one doorbell.  If the round was
 * called off meanwhile nothing is shown, and the ranges come back by reclaim.
 * Returns 0, -EAGAIN (called off), -ENOTCONN, -EPROTO, or the bus's error.
 */
int fph_guest_flush(struct fph_guest *guest);

/*
 * No more free pages: flush, and close the round with STOP.  BH-6
 * Returns 0 (also when no round is open), -ENOTCONN, -EPROTO, -EAGAIN (no room for
 * START yet: step, reclaim and end again, and if that is -EAGAIN wait for an interrupt),
 * or the bus's error.
 */
int fph_guest_end(struct fph_guest *guest);

/*
 * Take up to max ranges that the device is finished with, those that came back first
 * first; after a reset, in no order.  They
 * are yours again: reuse them under memory pressure, or keep them until RELEASE,
 * which spares the device a second look at them.  Collect them in time: a range
 * not collected keeps its ring entry.  Allowed in every state.
 * Returns how many.
 */
int fph_guest_reclaim(struct fph_guest *guest, struct fph_range *out, size_t max);

/*
 * Reset the device.  When it is complete every range comes back by reclaim.
 * Returns 0; -EAGAIN (the device does not show status 0 yet: nothing comes back,
 * call again); or the bus's error.  G-13, G-16
 */
int fph_guest_reset(struct fph_guest *guest);

/*
 * Have the device sleep, with everything as it is: hinted pages stay hinted, and no call but
 * reclaim, resume and reset has an effect until fph_guest_resume().  The device ends its
 * round; what was hinted is held until it shows DONE after the resume, as ever.
 * Returns 0 (it sleeps); -EAGAIN (it does not show so yet: call again); -EOPNOTSUPP (SUSPEND
 * was not negotiated); -ENOTCONN; -EPROTO (it broke a rule or asks for reset); or the bus's
 * error: call again, or reset.  S-1, S-2
 */
int fph_guest_suspend(struct fph_guest *guest);

/*
 * Wake it up, from whatever fph_guest_suspend() returned.  Step then: the command id is read
 * again.
 * Returns 0 (it is awake, or never slept); -EAGAIN (call again); -ENOTCONN; -EPROTO; or the
 * bus's error.  S-3
 */
int fph_guest_resume(struct fph_guest *guest);

/* Bytes hinted and not yet reclaimed. */
uint64_t fph_guest_held(const struct fph_guest *guest);

/*
 * The id of the round that is answered, or was last; 0 for none since the reset.  A
 * caller that goes through its free pages begins anew when it changes.
 */
uint32_t fph_guest_command_id(const struct fph_guest *guest);

/* "DOWN", "IDLE", "ASKED", "FEEDING" or "HOLDING". */
const char *fph_guest_state_name(const struct fph_guest *guest);

/* The rule that the device broke first since the last reset; valid with guest. */
const struct fph_fault *fph_guest_fault(const struct fph_guest *guest);

struct fph_guest_stats {
	uint64_t size; /* sizeof(struct fph_guest_stats), set by the caller */
	uint64_t rounds;
	uint64_t hints;
	uint64_t bytes;
	uint64_t returned;    /* hints whose buffer came back */
	uint64_t withdrawn;   /* hints never shown, because the round was called off */
	uint64_t kicks;	      /* doorbells */
	uint64_t kicks_saved; /* batches the device did not want to hear of */
	uint64_t rekicks;     /* doorbells rung again after rekick_us */
	uint64_t full;	      /* times a hint found the ring full */
	uint64_t resets;
};
#define FPH_GUEST_STATS_INIT FPH_SIZED_INIT(struct fph_guest_stats)

/* Copy the counters since init.  Returns 0 or -EINVAL (size is none a header had). */
int fph_guest_total_stats(const struct fph_guest *guest, struct fph_guest_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
