/* SPDX-License-Identifier: MIT */
/*
 * The device's round, as a table.  This file is the whole state machine: device.c
 * interprets it, the tests walk it, and the diagram in lib/README.md is printed
 * from it.  Every state has a cell for every event, "cannot happen" included.
 */
#ifndef FPH_DEVICE_ROUND_H
#define FPH_DEVICE_ROUND_H

/*        state      free_page_hint_cmd_id shown */
#define FPH_DEVICE_STATES(X)                                                                       \
	X(DOWN, SHOW_STOP)	 /* no driver, or hinting not negotiated, or broken */             \
	X(STOPPED, SHOW_STOP)	 /* between rounds; hinted pages stay put */                       \
	X(REQUESTED, SHOW_ID)	 /* command id shown, driver has not answered */                   \
	X(HINTING, SHOW_ID)	 /* driver answered with this command id */                        \
	X(ENDED, SHOW_ID)	 /* driver closed its answer */                                    \
	X(DONE, SHOW_DONE)	 /* hinted pages may go back into use */                           \
	X(ASLEEP, SHOW_STOP)	 /* suspended by the driver */                                     \
	X(ASLEEP_DONE, SHOW_STOP) /* the same, and DONE is to be shown when it wakes up */

#define FPH_DEVICE_EVENTS(X)                                                                       \
	X(READY)     /* DRIVER_OK with FREE_PAGE_HINT accepted */                                  \
	X(GONE)	     /* reset or a fault */                                                        \
	X(START)     /* fph_device_start() */                                                      \
	X(STOP)	     /* fph_device_stop(), or the driver stopped the queue */                                                       \
	X(FINISH)    /* fph_device_done() */                                                       \
	X(SUSPEND)   /* SUSPEND, and nothing in hand */                                             \
	X(RESUME)    /* DRIVER_OK again */                                                         \
	X(CMD_OURS)  /* command: the id shown */                                                   \
	X(CMD_OTHER) /* command: any other id, DONE included */                                    \
	X(CMD_STOP)  /* command: STOP */                                                           \
	X(HINT)	     /* device-writable buffer */

/*
 * keep    nothing but the state        newid  fence, choose a fresh id, tell the driver
 * show    tell the driver              take   hand the hint to the caller
 * drop    count it, ignore it          refuse the caller asked without a driver
 *
 * A driver's slips in the order of commands are dropped, not faulted: Linux itself
 * slips (hazard H2).  BH-13: a hint counts in HINTING only, and any command but the
 * current id leaves HINTING, so a START of another id takes its hints with it.
 * BH-3: a second START of the same id changes nothing, and cannot reopen a round.
 * DONE stays DONE until the next round, so that no driver misses it (BH-16).  An id is
 * shown for the whole of its round, and DONE by nothing but FINISH (A5-10, A5-11).
 * S-4: what the driver is shown does not change while it has the device suspended; a DONE
 * of that time comes when it wakes up, and a round that was open is over.
 * A5-5: a STOP that comes before the START of the current id is an old round's.
 */
/* clang-format off */
#define FPH_DEVICE_TABLE(ROW) \
/*               READY              GONE        START               STOP                 FINISH              SUSPEND            RESUME             CMD_OURS           CMD_OTHER          CMD_STOP           HINT              */ \
ROW(DOWN,        (STOPPED,    keep),(DOWN,keep),(DOWN,      refuse),(DOWN,       refuse),(DOWN,       refuse),(DOWN,       keep),(DOWN,       keep),(DOWN,       drop),(DOWN,       drop),(DOWN,       drop),(DOWN,       drop)) \
ROW(STOPPED,     (STOPPED,    keep),(DOWN,keep),(REQUESTED, newid), (STOPPED,    keep),  (DONE,       show),  (ASLEEP,     keep),(STOPPED,    keep),(STOPPED,    drop),(STOPPED,    drop),(STOPPED,    drop),(STOPPED,    drop)) \
ROW(REQUESTED,   (REQUESTED,  keep),(DOWN,show),(REQUESTED, newid), (STOPPED,    show),  (DONE,       show),  (ASLEEP,     show),(REQUESTED,  keep),(HINTING,    keep),(REQUESTED,  drop),(REQUESTED,  drop),(REQUESTED,  drop)) \
ROW(HINTING,     (HINTING,    keep),(DOWN,show),(REQUESTED, newid), (STOPPED,    show),  (DONE,       show),  (ASLEEP,     show),(HINTING,    keep),(HINTING,    drop),(ENDED,      drop),(ENDED,      keep),(HINTING,    take)) \
ROW(ENDED,       (ENDED,      keep),(DOWN,show),(REQUESTED, newid), (STOPPED,    show),  (DONE,       show),  (ASLEEP,     show),(ENDED,      keep),(ENDED,      drop),(ENDED,      drop),(ENDED,      drop),(ENDED,      drop)) \
ROW(DONE,        (DONE,       keep),(DOWN,show),(REQUESTED, newid), (DONE,       keep),  (DONE,       keep),  (ASLEEP_DONE,show),(DONE,       keep),(DONE,       drop),(DONE,       drop),(DONE,       drop),(DONE,       drop)) \
ROW(ASLEEP,      (ASLEEP,     keep),(DOWN,keep),(ASLEEP,    refuse),(ASLEEP,     keep),  (ASLEEP_DONE,keep),  (ASLEEP,     keep),(STOPPED,    keep),(ASLEEP,     drop),(ASLEEP,     drop),(ASLEEP,     drop),(ASLEEP,     drop)) \
ROW(ASLEEP_DONE, (ASLEEP_DONE,keep),(DOWN,keep),(ASLEEP_DONE,refuse),(ASLEEP_DONE,keep), (ASLEEP_DONE,keep),  (ASLEEP_DONE,keep),(DONE,       show),(ASLEEP_DONE,drop),(ASLEEP_DONE,drop),(ASLEEP_DONE,drop),(ASLEEP_DONE,drop))
/* clang-format on */

enum fph_device_state {
#define FPH_STATE_ENUM(name, shows) FPH_DEVICE_##name,
	FPH_DEVICE_STATES(FPH_STATE_ENUM)
#undef FPH_STATE_ENUM
	FPH_DEVICE_STATE_COUNT,
};

enum fph_device_event {
#define FPH_EVENT_ENUM(name) FPH_DEVICE_EV_##name,
	FPH_DEVICE_EVENTS(FPH_EVENT_ENUM)
#undef FPH_EVENT_ENUM
	FPH_DEVICE_EVENT_COUNT,
};

enum fph_device_act {
	FPH_DEVICE_keep,
	FPH_DEVICE_show,
	FPH_DEVICE_newid,
	FPH_DEVICE_take,
	FPH_DEVICE_drop,
	FPH_DEVICE_refuse,
};

enum fph_device_shows {
	FPH_DEVICE_SHOW_STOP,
	FPH_DEVICE_SHOW_ID,
	FPH_DEVICE_SHOW_DONE,
};

struct fph_device_cell {
	unsigned char next; /* enum fph_device_state */
	unsigned char act;  /* enum fph_device_act */
};

#endif
