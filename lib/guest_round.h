/* SPDX-License-Identifier: MIT */
/*
 * The guest's round, as a table.  This file is the whole state machine: guest.c
 * interprets it, the tests walk it, and the diagram in lib/README.md is printed
 * from it.
 */
#ifndef FPH_GUEST_ROUND_H
#define FPH_GUEST_ROUND_H

/*        state    what this end wants of its caller */
#define FPH_GUEST_STATES(X)                                                                        \
	X(DOWN, WANT_NOTHING)	 /* not attached */                                                \
	X(IDLE, WANT_RELEASE)	 /* no round, nothing need be held */                              \
	X(ASKED, WANT_FEED)	 /* a command id was seen; START is not queued yet */              \
	X(FEEDING, WANT_FEED)	 /* START is queued or shown */                                    \
	X(HOLDING, WANT_NOTHING) /* the round is closed, its pages are held until DONE */

#define FPH_GUEST_EVENTS(X)                                                                        \
	X(ATTACHED) /* DRIVER_OK */                                                                \
	X(RESET)    /* the device showed status 0 */                                               \
	X(SEE_STOP) /* the command id reads STOP */                                                \
	X(SEE_DONE) /* it reads DONE */                                                            \
	X(SEE_NEW)  /* it reads an id that was not answered yet */                                 \
	X(FED)	    /* the caller has hints, and there is room */                                  \
	X(END)	    /* the caller has no more */

/*
 * keep    nothing but the state      open   queue START
 * close   withdraw what was not shown; if START was shown, send STOP
 * finish  show what is queued, with STOP behind it
 * pass    START and STOP with nothing between: no free pages at all
 * refuse  the caller asked outside a round
 *
 * A started round always ends with STOP (BH-6, A5-4).  A START that the device has
 * not seen is withdrawn, not followed by STOP.  BH-3: an id that was answered makes
 * no event.
 */
/* clang-format off */
#define FPH_GUEST_TABLE(ROW) \
/*           ATTACHED      RESET        SEE_STOP         SEE_DONE       SEE_NEW         FED              END             */ \
ROW(DOWN,    (IDLE,   keep),(DOWN,keep),(DOWN,    keep), (DOWN,  keep), (DOWN,   keep), (DOWN,   refuse),(DOWN,    refuse)) \
ROW(IDLE,    (IDLE,   keep),(DOWN,keep),(IDLE,    keep), (IDLE,  keep), (ASKED,  keep), (IDLE,   refuse),(IDLE,    keep))   \
ROW(ASKED,   (ASKED,  keep),(DOWN,keep),(HOLDING, keep), (IDLE,  keep), (ASKED,  keep), (FEEDING,open),  (HOLDING, pass))   \
ROW(FEEDING, (FEEDING,keep),(DOWN,keep),(HOLDING, close),(IDLE,  close),(ASKED,  close),(FEEDING,keep),  (HOLDING, finish)) \
ROW(HOLDING, (HOLDING,keep),(DOWN,keep),(HOLDING, keep), (IDLE,  keep), (ASKED,  keep), (HOLDING,refuse),(HOLDING, keep))
/* clang-format on */

enum fph_guest_state {
#define FPH_STATE_ENUM(name, wants) FPH_GUEST_STATE_##name,
	FPH_GUEST_STATES(FPH_STATE_ENUM)
#undef FPH_STATE_ENUM
	FPH_GUEST_STATE_COUNT,
};

enum fph_guest_event {
#define FPH_EVENT_ENUM(name) FPH_GUEST_EV_##name,
	FPH_GUEST_EVENTS(FPH_EVENT_ENUM)
#undef FPH_EVENT_ENUM
	FPH_GUEST_EVENT_COUNT,
};

enum fph_guest_act {
	FPH_GUEST_keep,
	FPH_GUEST_open,
	FPH_GUEST_close,
	FPH_GUEST_finish,
	FPH_GUEST_pass,
	FPH_GUEST_refuse,
};

struct fph_guest_cell {
	unsigned char next; /* enum fph_guest_state */
	unsigned char act;  /* enum fph_guest_act */
};

#endif
