/* SPDX-License-Identifier: MIT */
#ifndef TESTS_VFIO_CLIENT_RIG_H
#define TESTS_VFIO_CLIENT_RIG_H

#include <fph/guest.h>
#include <fph/vfio_user.h>
#include <pthread.h>

/*
 * The library's server, turned by a thread of its own, since a client's calls wait for it.
 * What the test does with the device it does between rig_lock() and rig_unlock().
 */
struct rig {
	struct fph_loop *loop;
	struct fph_vfio_user_server *server;
	struct fph_device *device;
	char dir[32];
	char path[64];
	pthread_t thread;
	pthread_mutex_t lock;
	bool stop;
	bool frozen; /* the thread does not turn the loop */
	uint32_t flags;
	uint64_t offer;
	unsigned gone;
	unsigned troubles;
	char why[200];
};

void rig_open(struct rig *rig, unsigned loop_flags, uint32_t flags, uint64_t offer);
void rig_close(struct rig *rig);
/* Close the server and open another one at the same path. */
void rig_restart(struct rig *rig);
void rig_lock(struct rig *rig);
void rig_unlock(struct rig *rig);

#define END_GPA	  UINT64_C(0x40000000)
#define END_BYTES (UINT64_C(8) << 20)
#define END_PAGES (END_GPA + (UINT64_C(4) << 20)) /* free memory of this guest */
#define END_RING  64u

/* A guest over the client. */
struct end {
	struct fph_loop *loop;
	struct fph_vfio_user_client *client;
	struct fph_bus bus;
	int file;
	bool no_fd;
	unsigned char *ram;
	struct fph_guest guest;
	struct fph_guest_slot slots[END_RING];
	uint64_t hinted; /* pages handed out so far */
	unsigned interrupts;
	unsigned gone;
	char why[200];
};

/* path NULL: adopt only.  no_fd: memory goes by messages. */
void end_open(struct end *end, const char *path, unsigned loop_flags, uint32_t flags, bool no_fd,
	      uint32_t timeout_ms);
void end_close(struct end *end);
/* Make a guest and attach it.  Returns what fph_guest_attach() does. */
int end_attach(struct end *end);
/* Run the loop until the guest wants one of these, and return all that it wants. */
int end_wait(struct end *end, int wants);
/* Hint n pages, each once, and show them. */
void end_hint(struct end *end, unsigned n);
unsigned end_reclaim(struct end *end);

/* A whole round of n pages: each arrives once, where it is, and comes back. */
void both_round(struct rig *rig, struct end *end, unsigned n);

/* Descriptors that are open in this process. */
unsigned count_fds(void);

#endif
