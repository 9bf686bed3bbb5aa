/* SPDX-License-Identifier: MIT */
/*
 * Free page hinting as libfph does it, for spin: both ends, the dirty log, the
 * copy of memory.  README.md maps each step here to the functions that do it.
 *
 * One atomic step is one call of the library or one access to shared memory.
 * The lines that are printed tell a counterexample; a search prints none of them.
 *
 * Sizes:   PAGES, QL ring entries, ROUNDS to a copy, LIVES: copies made, each
 *          restored into a new device before the next begins.
 * Guests:  strict hold is the default.
 *   EARLY          FPH_GUEST_EARLY_REUSE: a page may be used again once hint() took it
 *   LINUX          may be used again once it was shown; one word for every START (H1)
 *   HOSTILE        writes into the ring what it likes
 *   RESETS         may reset the device once, at any time
 * Hosts:   skipping hinted pages, with a log that is read and re-protected at once.
 *   DISCARD        the memory of a hint is thrown away, too
 *   LAZY_LOG       the log is re-protected when a page is sent or skipped (B4)
 * Mistakes, one each:
 *   ANY_ID         a hint counts without a START of the current id
 *   NO_FENCE       what stood in the ring before the id was shown is not stale
 *   AFTER_STOP     the batch in hand is acted upon after stop()
 *   DONE_FIRST     DONE is shown before the last pass, hints still count in it
 *   SYNC_LATE      the id is shown before the log is read
 *   SAME_ID        a restored device counts ids from the beginning
 *   RESET_ID       so does one that was reset
 *   OLD_STOP       any STOP ends the round
 *   ONE_WORD       the guest overwrites its START
 *   RESTORE_QUIET  a restored device does not show DONE
 *   RESET_AT_ONCE  status reads 0 while a batch is in hand
 *   USED_AT_ONCE   buffers are returned before the batch was acted upon
 *   TAKE_AT_ONCE   the guest takes pages back when it asks for a reset
 *   IRQ_LAST       the guest reads the id, then takes the interrupt
 *   WAIT_STOP      the host waits for the guest to end its round
 *   NO_RELEASE     the guest does nothing about DONE
 */
#ifndef PAGES
#define PAGES 1
#endif
#ifndef QL
#define QL 4
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef LIVES
#define LIVES 1
#endif

#ifdef LINUX
#define ONE_WORD
#endif
#if defined(EARLY) || defined(LINUX)
#define REUSES_EARLY
#endif

#define STOP	0
#define DONE	1
#define FIRST	2

/* elements of the ring; a STOP carries, for the invariant alone, the id it ends */
#define IS_START 0
#define IS_STOP	 1
#define IS_HINT	 2
chan ring = [QL] of { byte, byte };
byte word;		/* ONE_WORD: the buffer of every START */
bool returned[PAGES];	/* the buffer of the page's hint is in the used ring */
bool unshown[PAGES];	/* hints that were queued, and START before them: */
bool start_unshown;

/* ------------------------------------------------------------ memory and its copy */

#define FREE 0	/* the guest's, content of no use */
#define USED 1	/* the guest's, and it relies on the content */
#define OUT  2	/* hinted */
#define BACK 3	/* fph_guest_reclaim() has it */
byte own[PAGES];
bool newer[PAGES];		/* the copy lacks what was written last */
bool dirty_log[PAGES];	/* the hypervisor's */
bool unprotected[PAGES];	/* LAZY_LOG: read, and not re-protected yet */
bool bitmap[PAGES];	/* pages to send */
bool paused;
bool over;

#define RUNS !paused

/* The page is needed, the copy lacks it, and no later sync will tell of it. */
#define LOST(p) (own[p] == USED && newer[p] && !dirty_log[p])

hidden byte i, kind, value;

inline write(p)
{
	own[p] = USED;
	newer[p] = true;
	dirty_log[p] = true
}

inline reprotect(p)
{
#ifdef LAZY_LOG
	if
	:: unprotected[p] -> unprotected[p] = false; dirty_log[p] = false
	:: else
	fi
#else
	skip
#endif
}

/* ------------------------------------------------------------ device: the round */

#define D_DOWN	    0
#define D_STOPPED   1
#define D_REQUESTED 2
#define D_HINTING   3
#define D_ENDED	    4
#define D_DONE	    5
byte dev = D_STOPPED;
byte id = FIRST - 1;
byte stale;		/* elements from before the fence */
bool irq;		/* FPH_IRQ_CONFIG is pending */
bool up = true;		/* the status does not read 0 */
bool resetting;
bool in_hand;
bool hand[PAGES];		/* handed out, not acted upon yet */
bool walked[PAGES];	/* taken off the ring, not returned yet */

#define IN_ROUND (dev == D_REQUESTED || dev == D_HINTING || dev == D_ENDED)
#define SHOWN	 (IN_ROUND -> id : (dev == D_DONE -> DONE : STOP))
#define ANY(a)	 (a[0] || a[PAGES - 1])

inline device_reset()
{
	do
	:: nempty(ring) -> ring ? kind, value
	:: empty(ring) -> break
	od;
	i = 0;
	do
	:: i < PAGES -> walked[i] = false; returned[i] = false; i++
	:: else -> break
	od;
	dev = D_DOWN;
	stale = 0;
	irq = false;
	resetting = false;
	in_hand = false;
	up = false;
#ifdef RESET_ID
	id = FIRST - 1;
#endif
	printf("device: status reads 0\n")
}

inline give_back()
{
	i = 0;
	do
	:: i < PAGES && walked[i] ->
		walked[i] = false;
		returned[i] = true;
		printf("device: returns the buffer of page %d\n", i);
		i++
	:: i < PAGES && !walked[i] -> i++
	:: else -> break
	od
}

inline let_go()
{
	in_hand = false;
	if
	:: resetting -> device_reset()
	:: else -> give_back()
	fi
}

inline end_round(state)
{
	let_go();
	if
	:: dev != D_DOWN && dev != state && !(dev == D_DONE && state == D_STOPPED) ->
		dev = state;
		irq = true;
	:: else
	fi
}

inline set_status_0()
{
	resetting = true;
	dev = D_DOWN;
	irq = false;
	if
#ifndef RESET_AT_ONCE
	:: in_hand
#endif
	:: else -> device_reset()
	fi
}

/* ------------------------------------------------------------ device: poll */

inline command_start()
{
#ifdef ONE_WORD
	value = word;
#endif
	if
	:: dev == D_REQUESTED && value == id ->
		dev = D_HINTING;
		printf("device: START of id %d opens the round\n", value)
	:: dev == D_HINTING && value != id -> dev = D_ENDED
	:: else -> printf("device: START of id %d is dropped\n", value)
	fi
}

inline command_stop()
{
	if
#ifdef OLD_STOP
	:: dev == D_HINTING || dev == D_REQUESTED ->
#else
	:: dev == D_HINTING ->
#endif
		dev = D_ENDED;
		printf("device: STOP of round %d ends round %d\n", value, id);
#if !defined(LINUX) && !defined(HOSTILE)
		assert(value == id)
#endif
	:: else
	fi
}

inline hint()
{
	walked[value] = true;
	if
#ifdef ANY_ID
	:: dev == D_HINTING || dev == D_REQUESTED ->
#else
	:: dev == D_HINTING ->
#endif
		hand[value] = true;
		printf("device: hands out page %d under id %d\n", value, id)
	:: else -> printf("device: drops the hint of page %d\n", value)
	fi
}

inline take_element()
{
	ring ? kind, value;
	if
	:: stale > 0 ->
		stale--;
		printf("device: drops what stood before the fence\n");
		if
		:: kind == IS_HINT -> walked[value] = true
		:: else
		fi
	:: stale == 0 && kind == IS_START -> command_start()
	:: stale == 0 && kind == IS_STOP -> command_stop()
	:: stale == 0 && kind == IS_HINT -> hint()
	fi
}

inline act_upon(p)
{
	bitmap[p] = false;
	reprotect(p);
	printf("device: skips page %d\n", p);
#ifdef HOSTILE
	assert(IN_ROUND || resetting);
#else
	assert(!LOST(p));
#endif
#ifdef DISCARD
	printf("device: discards page %d\n", p);
#ifndef HOSTILE
	assert(own[p] != USED);
#endif
#endif
	hand[p] = false
}

/* The embedder: poll, act upon the batch, ack. */
bool stop_waits;
proctype Poller()
{
	byte p;
end:	do
	:: atomic {
		nempty(ring) && !stop_waits && dev != D_DOWN ->
		take_element();
		do
		:: nempty(ring) -> take_element()
		:: nempty(ring) -> break
		:: empty(ring) -> break
		od;
		if
		:: ANY(hand) ->
			in_hand = true;
#ifdef USED_AT_ONCE
			give_back();
#endif
		:: else -> let_go()
		fi
	   };
	   do
	   :: atomic { p < PAGES && hand[p] -> act_upon(p); p++ }
	   :: p < PAGES && !hand[p] -> p++
	   :: p == PAGES -> break
	   od;
	   atomic {
		p = 0;
		if
		:: in_hand -> let_go()
		:: else
		fi
	   }
	od
}

/* ------------------------------------------------------------ host: the copy */

inline sync()
{
	n = 0;
	do
	:: n < PAGES -> atomic {
		bitmap[n] = bitmap[n] || dirty_log[n];
		printf("host: the log says %d of page %d\n", dirty_log[n], n);
#ifdef LAZY_LOG
		unprotected[n] = true;
#else
		dirty_log[n] = false;
#endif
		n++ }
	:: n == PAGES -> break
	od
}

inline send(all)
{
	n = 0;
	do
	:: atomic { n < PAGES && bitmap[n] -> bitmap[n] = false; reprotect(n) };
	   atomic { newer[n] = false; printf("host: sends page %d\n", n); n++ }
	:: n < PAGES && (!all || !bitmap[n]) -> n++
	:: n == PAGES -> break
	od
}

/* stop() and done(), when nothing that poll() returned may still be acted upon */
inline barrier(state)
{
	stop_waits = true;
#ifdef WAIT_STOP
	stop_waits = false;
	dev != D_REQUESTED && dev != D_HINTING;
#endif
	atomic {
#ifndef AFTER_STOP
		!in_hand;
#endif
		end_round(state);
		stop_waits = false;
		printf("host: shows %d\n", SHOWN)
	}
}

inline start()
{
	if
	:: dev != D_DOWN ->
#ifndef NO_FENCE
		atomic { stale = len(ring); printf("host: fence, %d before it\n", stale) };
#endif
		atomic {
			if
			:: dev != D_DOWN ->
				id++;
				dev = D_REQUESTED;
				irq = true;
				printf("host: shows id %d\n", id)
			:: else
			fi
		}
	:: dev == D_DOWN
	fi
}

inline restore()
{
	/* Memory is the copy; of the device the id and the place in the ring were saved. */
	dev = (up -> D_STOPPED : D_DOWN);
	irq = false;
	stale = 0;
#ifdef SAME_ID
	id = FIRST - 1;
#endif
	i = 0;
	do
	:: i < PAGES -> newer[i] = true; dirty_log[i] = true; bitmap[i] = false;
		     unprotected[i] = false; i++
	:: else -> break
	od;
	printf("host: restores the guest into a new device\n");
#ifndef RESTORE_QUIET
	end_round(D_DONE);
	printf("host: shows %d\n", SHOWN)
#endif
}

inline check_copy()
{
	i = 0;
	do
#ifndef HOSTILE
	:: i < PAGES -> assert(!(own[i] == USED && newer[i])); i++
#endif
	:: else -> break
	od
}

proctype Migration()
{
	byte round, life, n;
	do
	:: life < LIVES ->
		round = 0;
		do
		:: round < ROUNDS ->
#ifdef SYNC_LATE
			barrier(D_STOPPED);
			start();
			sync();
#else
			barrier(D_STOPPED);
			sync();
			start();
#endif
			send(false);
			round++
		:: round == ROUNDS -> break
		od;
		atomic { paused = true; printf("host: pauses the guest\n") };
#ifdef DONE_FIRST
		sync();
#else
		barrier(D_STOPPED);
		sync();
#endif
		send(true);
#ifdef DONE_FIRST
		barrier(D_STOPPED);
#endif
		atomic { check_copy(); printf("host: the copy is complete\n") };
#if LIVES > 1
		atomic { restore(); life++; paused = false; printf("host: the guest runs\n") }
#else
		barrier(D_DONE);
		atomic { life++; paused = false; printf("host: the guest runs\n") }
#endif
	:: life == LIVES -> break
	od;
	over = true
}

/* ------------------------------------------------------------ guest: who uses pages */

#ifndef HOSTILE
proctype User(byte p)
{
end:	do
	:: atomic { RUNS && own[p] == USED -> write(p); printf("guest: writes page %d\n", p) }
	:: atomic { RUNS && own[p] == USED -> own[p] = FREE; printf("guest: frees page %d\n", p) }
	:: atomic { RUNS && own[p] == FREE -> write(p);
		    printf("guest: takes page %d and writes it\n", p) }
#ifdef EARLY
	:: atomic { RUNS && own[p] == OUT -> write(p);
		    printf("guest: reuses page %d and writes it\n", p) }
#endif
#ifdef LINUX
	:: atomic { RUNS && own[p] == OUT && !unshown[p] -> write(p);
		    printf("guest: reuses page %d and writes it\n", p) }
#endif
	/* When all is over nobody wants memory: DONE alone brings pages back. */
	:: atomic { RUNS && own[p] == BACK && !over -> write(p);
		    printf("guest: reclaims page %d and writes it\n", p) }
	od
}

/* ------------------------------------------------------------ guest: its round */

#define G_DOWN	  0
#define G_IDLE	  1
#define G_ASKED	  2
#define G_FEEDING 3
#define G_HOLDING 4
byte guest = G_IDLE;
byte seen;

#define FEEDS	(guest == G_ASKED || guest == G_FEEDING)
#define QUEUED	(start_unshown + unshown[0] + (PAGES > 1 -> unshown[PAGES - 1] : 0))
/* START, a hint, and STOP, whose entry is kept */
#define ROOM	(len(ring) + QUEUED + 3 - (guest == G_FEEDING) <= QL)

/* A buffer came back, or was never shown: reclaimable, where pages are held. */
inline settle(p)
{
	returned[p] = false;
#ifndef REUSES_EARLY
	if
	:: own[p] == OUT -> own[p] = BACK
	:: else
	fi
#endif
}

inline withdraw()
{
	i = 0;
	do
	:: i < PAGES && unshown[i] ->
		unshown[i] = false;
		settle(i);
		printf("guest: withdraws the hint of page %d\n", i);
		i++
	:: i < PAGES && !unshown[i] -> i++
	:: else -> break
	od
}

inline close_round()
{
	if
	:: guest == G_FEEDING ->
		withdraw();
		if
		:: start_unshown -> start_unshown = false
		:: else -> ring ! IS_STOP, seen; printf("guest: shows STOP of round %d\n", seen)
		fi
	:: else
	fi
}

inline act_on(command)
{
	printf("guest: sees %d\n", command);
	if
	:: command == STOP ->
		close_round();
		if
		:: FEEDS -> guest = G_HOLDING
		:: else
		fi
	:: command == DONE ->
#ifndef NO_RELEASE
		close_round();
		guest = G_IDLE
#endif
	:: command >= FIRST && command != seen ->
		close_round();
		guest = G_ASKED;
		seen = command
	:: command >= FIRST && command == seen
	fi
}

inline show_queued()
{
	if
	:: start_unshown ->
		start_unshown = false;
		ring ! IS_START, seen;
		printf("guest: shows START of id %d\n", seen)
	:: else
	fi;
	i = 0;
	do
	:: i < PAGES && unshown[i] ->
		unshown[i] = false;
		ring ! IS_HINT, i;
		printf("guest: shows the hint of page %d\n", i);
		i++
	:: i < PAGES && !unshown[i] -> i++
	:: else -> break
	od
}

inline queue_start()
{
	start_unshown = true;
#ifdef ONE_WORD
	word = seen;
#endif
}

inline queue_hint(p)
{
	if
	:: guest == G_ASKED -> guest = G_FEEDING; queue_start()
	:: else
	fi;
	own[p] = OUT;
	unshown[p] = true;
	printf("guest: queues the hint of page %d\n", p)
}

#ifdef REUSES_EARLY
/* Pages whose buffer is out are the caller's already. */
#define FORGOTTEN OUT
#else
#define FORGOTTEN BACK
#endif
#define RELEASABLE(p) (own[p] == BACK || own[p] == FORGOTTEN)

inline release()
{
	i = 0;
	do
	:: i < PAGES && RELEASABLE(i) ->
		own[i] = FREE;
		printf("guest: releases page %d\n", i);
		i++
	:: i < PAGES && !RELEASABLE(i) -> i++
	:: else -> break
	od
}

inline take_all_back()
{
	i = 0;
	do
	:: i < PAGES -> unshown[i] = false; settle(i); i++
	:: else -> break
	od;
	start_unshown = false;
	guest = G_DOWN;
	seen = STOP;
	printf("guest: takes all pages back\n")
}

#define HINTABLE(p)   (own[p] == FREE && !unshown[p])

proctype Guest()
{
	byte command;
#ifdef RESETS
	bool has_reset;
#endif
end:	do
	/* fph_guest_step() */
#ifdef IRQ_LAST
	:: atomic { RUNS && irq -> command = SHOWN };
	   atomic { RUNS -> irq = false; act_on(command); command = 0 }
#else
	:: atomic { RUNS && irq -> irq = false };
	   atomic { RUNS -> command = SHOWN; act_on(command); command = 0 }
#endif
	:: atomic { RUNS && returned[0] -> settle(0) }
#if PAGES > 1
	:: atomic { RUNS && returned[PAGES - 1] -> settle(PAGES - 1) }
#endif
	/* the caller, which steps before it does anything else */
	:: atomic { RUNS && !irq && guest == G_IDLE && (RELEASABLE(0) || RELEASABLE(PAGES - 1)) ->
		    release() }
	:: atomic { RUNS && !irq && FEEDS && ROOM && HINTABLE(0) -> queue_hint(0) }
#if PAGES > 1
	:: atomic { RUNS && !irq && FEEDS && ROOM && HINTABLE(PAGES - 1) -> queue_hint(PAGES - 1) }
#endif
	/* flush and end look once more, and show then */
	:: RUNS && !irq && guest == G_FEEDING && QUEUED > 0 ->
	   atomic { RUNS -> show_queued() }
	:: RUNS && !irq && (guest == G_FEEDING || guest == G_ASKED && len(ring) + 2 <= QL) ->
	   atomic {
		RUNS ->
		if
		:: guest == G_ASKED -> queue_start()
		:: else
		fi;
		show_queued();
		ring ! IS_STOP, seen;
		guest = G_HOLDING;
		printf("guest: shows STOP of round %d\n", seen)
	   }
#ifdef RESETS
	:: atomic { RUNS && !has_reset ->
		has_reset = true;
		printf("guest: asks for a reset\n");
		set_status_0();
#ifdef TAKE_AT_ONCE
		take_all_back();
#endif
	   };
	   atomic { RUNS && !up -> take_all_back() };
	   atomic {
		RUNS ->
		up = true;
		dev = D_STOPPED;
		guest = G_IDLE;
		irq = true;
		printf("guest: attaches\n")
	   }
#endif
	od
}
#else
proctype Guest()
{
end:	do
	:: atomic { RUNS && nfull(ring) -> ring ! IS_STOP, STOP }
	:: atomic { RUNS && nfull(ring) -> ring ! IS_START, FIRST }
	:: atomic { RUNS && nfull(ring) -> ring ! IS_START, FIRST + 1 }
	:: atomic { RUNS && nfull(ring) -> ring ! IS_HINT, 0 }
	:: atomic { RUNS && nfull(ring) -> ring ! IS_HINT, PAGES - 1 }
#ifdef RESETS
	:: atomic { RUNS && dev != D_DOWN && !resetting -> set_status_0() }
	:: atomic { RUNS && !up -> up = true; dev = D_STOPPED }
#endif
	od
}
#endif

init {
	atomic {
		i = 0;
		do
		:: i < PAGES ->
			own[i] = USED;
			newer[i] = true;
			dirty_log[i] = true;
#ifndef HOSTILE
			run User(i);
#endif
			i++
		:: else -> break
		od;
		run Guest();
		run Poller();
		run Migration()
	}
}

#define HELD (own[0] == OUT || own[0] == BACK || own[PAGES - 1] == OUT || own[PAGES - 1] == BACK)

ltl ends { <> over }
ltl back { [] (over -> <> !HELD) }
