/* SPDX-License-Identifier: MIT */
#ifndef BALLOON_H
#define BALLOON_H

#include "options.h"

#include <fph/bitmap.h>
#include <fph/vfio_user.h>

#define PAGE 4096u

/*
 * The program: one device, the client that it has now, and what is under way.  All of it
 * runs in one thread, for the device has to answer at any time; what takes long is done
 * in another (copy.h), or waits in balloon_turn().
 */

/* The file that holds the guest's memory.  Hints are kept by page of this file. */
struct memory {
	int fd;		/* a duplicate: the client's may go at any time */
	uint64_t pages; /* of the file */
};

/* A round of hints, from its start to the next one's. */
struct round {
	bool open;  /* the driver may hint */
	bool valid; /* the hints count: nothing has happened since that voids them */
	bool over;  /* the driver said STOP */
	uint32_t id;
	struct memory memory;	  /* as it was at the start; fd -1: there is none */
	struct fph_bitmap hinted; /* pages of the file */
	uint64_t *before;	  /* --trust-driver: checksums from before the id was shown */

	uint64_t hints, bytes;
	uint64_t start_ns, first_ns, last_ns, over_ns;
	uint64_t before_ns;		 /* what the checksums took */
	struct fph_vfio_user_stats wire; /* until it is over: as it was at the start */
};

struct balloon {
	const struct options *options;
	struct fph_loop *loop;
	struct fph_vfio_user_server *server;
	struct fph_device *device;
	struct control *control; /* NULL: nobody listens */
	int signals;		 /* a signalfd */

	bool quit;
	bool broken;	/* the loop failed */
	bool waiting;	/* buffers are available */
	bool connected; /* as it was at the last turn, to tell when that changes */
	bool driver;
	bool served;	   /* there was a client */
	bool fault_told;   /* since the driver's last reset */
	unsigned life;	   /* counts up when hints of before are void */
	uint64_t clients;  /* so far */
	uint64_t ready_ns; /* when the driver was seen first */
	int asked;	   /* by a signal: SIGUSR1, SIGUSR2 or 0 */
	const char *busy;  /* what is under way, for those who ask; NULL: nothing */

	struct round round;
};

uint64_t now_ns(void);

/* A line for whoever watches: on stdout, or on stderr with --json. */
__attribute__((format(printf, 2, 3))) void say(const struct balloon *balloon, const char *format,
					       ...);
/* One line on stderr.  Returns EXIT_CANNOT. */
__attribute__((format(printf, 1, 2))) int cannot(const char *format, ...);

/* Returns -1, or an exit status with one line on stderr.  Close it in any case. */
int balloon_open(struct balloon *balloon, const struct options *options);
/* The driver gets its pages back, and the client time to see it. */
void balloon_close(struct balloon *balloon);

/*
 * Serve whoever wants something, for at most so long (-1: until something happens), and
 * take hints.  Not from a callback.  Returns 0, -EINTR (the program is to end) or -EIO.
 */
int balloon_turn(struct balloon *balloon, int timeout_ms);
/* The counters of the wire now, or what came since. */
struct fph_vfio_user_stats balloon_wire(const struct balloon *balloon,
					const struct fph_vfio_user_stats *since);

/*
 * Begin a round: the one before is ended, and its hints are forgotten.  With --trust-driver
 * all memory is read first.  Returns 0, or a negative errno and *why in words: -ENOTCONN
 * if there is no driver that hints.
 */
int round_start(struct balloon *balloon, const char **why);
/* Take what the driver has; called by balloon_turn(). */
void round_poll(struct balloon *balloon);
/* Serve until the driver has said STOP or patience is at its end.  Returns as balloon_turn(). */
int round_wait(struct balloon *balloon);
/* Whatever it says: no hint comes any more.  Keeps the hints. */
void round_stop(struct balloon *balloon);
/* The driver may have its pages back; the hints are void. */
void round_done(struct balloon *balloon);
/* The hints are void. */
void round_void(struct balloon *balloon);
/* Forget it all. */
void round_free(struct balloon *balloon);
/* Pages of the file that were hinted. */
uint64_t round_pages(const struct round *round);

/*
 * The one file behind all memory that the client showed.  Returns 0 and a file to be
 * closed, or a negative errno and *why in words.
 */
int memory_open(struct memory *memory, const struct fph_vfio_user_server *server, const char **why);
void memory_close(struct memory *memory);
/* Where a range, inside one region, lies in the file.  Returns false if it does not. */
bool memory_place(const struct memory *memory, const struct fph_vfio_user_server *server,
		  struct fph_range range, struct fph_range *place);

/* Rounds by the number, and a table of them.  Returns an exit status. */
int rounds_run(struct balloon *balloon);

#endif
