/* SPDX-License-Identifier: MIT */
#ifndef TESTS_VFIO_USER_PEER_H
#define TESTS_VFIO_USER_PEER_H

#include "vfio_user/wire.h"
#include <fph/guest.h>
#include <fph/pci.h>
#include <fph/vfio_user.h>

/*
 * A server, and a client of it written by hand, so that it can be wrong; both in one
 * thread.  The client's memory is 8 MiB at RAM_GPA.
 */
#define RAM_GPA	  UINT64_C(0x40000000)
#define RAM_BYTES (UINT64_C(8) << 20)
#define RAM_FREE  (RAM_GPA + (UINT64_C(4) << 20)) /* what the guest hints of it */
#define RING	  16u
#define LOG	  4096u

/* A message as it came. */
struct message {
	struct vfio_header header;
	unsigned char body[1 << 17];
	uint32_t len;
};

struct peer {
	struct fph_loop *loop;
	struct fph_vfio_user_server *server;
	struct fph_device *device;
	int sock; /* of the client; -1: none */
	uint16_t id;
	struct message in; /* what was read last */

	unsigned char *ram;
	int file;

	/* What the server's hooks told. */
	unsigned hints;
	unsigned changed;
	unsigned gone;
	unsigned troubles;
	uint64_t pages; /* bytes */
	unsigned stats; /* entries */
	char why[200];
	char trouble[300];

	/* Accesses by message: served from ram if wanted, and noted. */
	bool serves;
	unsigned unserved;	/* if it does not, so many came */
	struct message pending; /* the last of them */
	unsigned dma_count;
	struct dma {
		uint16_t command;
		uint64_t gpa;
		uint64_t count;
	} dma[LOG];

	/* A driver of it. */
	struct fph_pci_driver pci;
	struct fph_guest guest;
	struct fph_guest_slot slots[RING];
	int irq[FPH_QUEUE_COUNT + 1]; /* eventfds, or -1 */
	bool msix;		      /* they are of vectors */
};

/* opts: NULL, or options whose loop and hooks are filled in here.  Nobody connects yet. */
void peer_serve(struct peer *p, unsigned loop_flags, const struct fph_vfio_user_server_opts *opts);
/* Connect by a socket pair, and say nothing yet. */
void peer_connect(struct peer *p);
/* Both, the version agreed, memory mapped; with_fd: or to be asked for by messages. */
void peer_start(struct peer *p, unsigned loop_flags, const struct fph_vfio_user_server_opts *opts,
		bool with_fd);
/* Hang up and see to it that the server noticed. */
void peer_hang_up(struct peer *p);
void peer_close(struct peer *p);
/* Run the loop until nothing is ready any more; a bounded number of turns. */
void peer_pump(struct peer *p);

/* ------------------------------------------------------------ messages */

/* Send bytes as they are.  Returns false if the other end is closed. */
bool peer_send_bytes(struct peer *p, const void *bytes, size_t len, const int *fds, unsigned n);
/* Send a message with the next id, which is p->id then. */
void peer_send(struct peer *p, unsigned command, uint32_t flags, const void *body, size_t len,
	       const int *fds, unsigned n);
/* Is there a message?  It is in p->in then. */
bool peer_receive(struct peer *p);
/* Is the connection over, as the client sees it? */
bool peer_is_dropped(struct peer *p);
/*
 * Ask and pump.  Returns the length of the answer's body, which is in p->in, or its
 * negative errno; the test stops unless there is one answer, to this question.
 */
int peer_ask(struct peer *p, unsigned command, const void *body, size_t len, const int *fds,
	     unsigned n);

/* Answer the access that is pending; one that is wrong is sent by peer_send_bytes(). */
void peer_answer(struct peer *p);

/* ------------------------------------------------------------ what is asked */

/* With QEMU's JSON.  Returns as peer_ask(). */
int peer_version(struct peer *p);
int peer_map(struct peer *p, uint64_t gpa, uint64_t len, uint32_t flags, int fd, uint64_t offset);
int peer_unmap(struct peer *p, uint64_t gpa, uint64_t len);
/* The test stops at an error. */
uint64_t peer_read(struct peer *p, uint32_t region, uint64_t offset, uint32_t count);
void peer_write(struct peer *p, uint32_t region, uint64_t offset, uint32_t count, uint64_t value);
/* The same, but waits for no answer. */
void peer_post(struct peer *p, uint32_t region, uint64_t offset, uint32_t count, uint64_t value);
/* fds may be NULL: then none. */
int peer_set_irqs(struct peer *p, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
		  const int *fds);
struct fph_vfio_user_stats peer_stats(const struct peer *p);

/* ------------------------------------------------------------ a driver */

/* Make eventfds and give one for each vector. */
void peer_take_interrupts(struct peer *p);
/* Was it rung since the last look? */
bool peer_rang(struct peer *p, unsigned vector);
/* A guest that is attached; its accesses are messages.  Returns as fph_guest_attach(). */
int peer_attach(struct peer *p);
/* Start a round at the device, and have the guest know of it. */
void peer_round(struct peer *p);
/* Hint the i-th page of the free ones, n of them, and flush. */
void peer_hint(struct peer *p, unsigned first, unsigned n);
/* Poll all hints; the test stops unless they are these. */
void peer_expect_hints(struct peer *p, unsigned first, unsigned n);
/* A round with n hints, from its start to DONE, and all of them back. */
void peer_whole_round(struct peer *p, unsigned n);

/* ------------------------------------------------------------ judging */

unsigned count_fds(void);
/* Of files whose name has `name` in it. */
uint64_t mapped_bytes(const char *name);
int make_memfd(const char *name, uint64_t bytes);

/* A test that runs with each kind of loop. */
#define BOTH(suite, name)                                     \
	ParameterizedTestParameters(suite, name)              \
	{                                                     \
		static size_t which[] = { 0, FPH_LOOP_POLL }; \
		return cr_make_param_array(size_t, which, 2); \
	}                                                     \
	ParameterizedTest(size_t *kind, suite, name)

#endif
