/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SHM_RIG_H
#define TESTS_SHM_RIG_H

#include <fph/guest.h>
#include <fph/shm.h>
#include <pthread.h>

/* ------------------------------------------------------------ the server's side */

/*
 * A server on a socket in a directory of its own, turned by a thread of its own.  What
 * the test does with the device it does between rig_lock() and rig_unlock().
 */
struct rig {
	struct fph_loop *loop;
	struct fph_shm_server *server;
	struct fph_device *device;
	char dir[32];
	char path[64];
	pthread_t thread;
	pthread_mutex_t lock;
	bool stop;
	bool frozen; /* the thread does not turn the loop */

	unsigned hints;
	unsigned changed;
	unsigned gone;
	uint64_t inflated;
	char why[200];
};

/* opts: NULL, or options whose loop, path, hooks and ctx are filled in here. */
void rig_open(struct rig *rig, unsigned loop_flags, const struct fph_shm_server_opts *opts);
void rig_close(struct rig *rig);
/* Close the server and open another one at the same path. */
void rig_restart(struct rig *rig);
void rig_lock(struct rig *rig);
void rig_unlock(struct rig *rig);
/* Wait until that many clients were gone in all; the test stops if it takes seconds. */
void rig_expect_gone(struct rig *rig, unsigned gone);
/* And that the last one was, for a reason that has these words in it. */
void rig_expect_why(struct rig *rig, const char *words);

/* The parts of it, for a process that has only a server. */
int rig_serve(struct rig *rig, struct fph_loop *loop, const struct fph_shm_server_opts *opts);

/* ------------------------------------------------------------ the client's side */

#define END_GPA	  UINT64_C(0x40000000)
#define END_BYTES (UINT64_C(8) << 20)
#define END_PAGES (END_GPA + (UINT64_C(4) << 20)) /* free memory of this guest */
#define END_RING  64

struct end {
	struct fph_loop *loop;
	struct fph_shm_client *client;
	struct fph_bus bus;
	int file;
	unsigned char *ram;
	struct fph_guest guest;
	struct fph_guest_slot slots[END_RING];
	uint64_t hinted; /* pages handed out so far */
	unsigned interrupts;
	unsigned gone;
	char why[200];
};

/* A memfd of that many bytes with those seals. */
int end_memfd(uint64_t bytes, int seals);
/* timeout_ms as in the options.  Nothing is connected yet. */
void end_open(struct end *end, const char *path, unsigned loop_flags, uint32_t timeout_ms);
void end_close(struct end *end);
void end_connect(struct end *end);
/* Make a guest and attach it.  Returns what fph_guest_attach() does. */
int end_attach(struct end *end);
/* Run the loop until nothing is ready any more. */
void end_pump(struct end *end);
/* Run the loop until the guest wants one of these, and return all that it wants. */
int end_wait(struct end *end, int wants);
/* Hint the next n pages and flush. */
void end_hint(struct end *end, unsigned n);
unsigned end_reclaim(struct end *end);
/* fph_guest_reset(), again while it says -EAGAIN. */
int end_reset(struct end *end);

/* ------------------------------------------------------------ both */

/* Poll all hints; the test stops unless they are n pages from END_PAGES + first. */
void both_expect_hints(struct rig *rig, uint64_t first, unsigned n);
/* A round from start to done, with n hints; the test stops if something is amiss. */
void both_round(struct rig *rig, struct end *end, unsigned n);

/* Open descriptors of this process, and mappings of files whose name has `name` in it. */
unsigned count_fds(void);
unsigned count_maps(const char *name);

/* A test that runs with each kind of loop. */
#define BOTH(suite, name)                                                                          \
	ParameterizedTestParameters(suite, name)                                                   \
	{                                                                                          \
		static size_t which[] = { 0, FPH_LOOP_POLL };                                      \
		return cr_make_param_array(size_t, which, 2);                                      \
	}                                                                                          \
	ParameterizedTest(size_t *kind, suite, name)

#endif
