/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <fph/loop.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * Why one-shot polls and not multishot ones: a multishot poll speaks when something
 * arrives, not while something is there.  A callback that leaves bytes in a socket
 * would not be called again, and each caller would have to drain or to ask once more.
 * A one-shot poll looks at the descriptor when it is armed, which is what level
 * triggered means, and arming costs no system call: the polls to arm travel with the
 * io_uring_enter() that waits.  It also bounds the completions: one for each descriptor.
 */

#define SQ_ENTRIES 64u
#define NOBODY	   UINT64_MAX /* user_data of requests whose completion says nothing */

struct watch {
	void (*ready)(void *ctx);
	void *ctx;
	uint32_t tag; /* a descriptor number comes back soon; a tag does not */
	bool armed;   /* io_uring has a poll of it */
	bool due;     /* to be called in this run */
};

struct fph_loop {
	struct io_uring ring;
	bool uring;
	bool running;
	uint32_t last_tag;
	/* Parallel arrays; an entry with fd -1 is free, which poll(2) understands. */
	struct watch *watches;
	struct pollfd *fds;
	uint32_t count;
};

/* ------------------------------------------------------------ open and close */

static bool ring_is_usable(struct io_uring *ring)
{
	/* NODROP: no completion is lost.  EXT_ARG: a time-out needs no request. */
	const unsigned wanted = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool ok = probe && (ring->features & wanted) == wanted &&
		  io_uring_opcode_supported(probe, IORING_OP_POLL_ADD) &&
		  io_uring_opcode_supported(probe, IORING_OP_POLL_REMOVE);

	io_uring_free_probe(probe);
	return ok;
}

static bool ring_open(struct io_uring *ring)
{
	/* EPERM and ENOSYS under a filter, ENOMEM under a limit: poll(2) needs none of it. */
	if (io_uring_queue_init(SQ_ENTRIES, ring, 0) < 0)
		return false;
	/*
	 * A child that inherits the ring keeps its polls alive, and by them sockets that
	 * the parent closed: their peers would never see the end.
	 */
	if (io_uring_ring_dontfork(ring) == 0 && ring_is_usable(ring))
		return true;
	io_uring_queue_exit(ring);
	return false;
}

int fph_loop_open(struct fph_loop **loop, unsigned flags)
{
	struct fph_loop *l;

	if (flags & ~FPH_LOOP_POLL)
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->uring = !(flags & FPH_LOOP_POLL) && ring_open(&l->ring);
	*loop = l;
	return 0;
}

void fph_loop_close(struct fph_loop *loop)
{
	if (!loop)
		return;
	if (loop->uring)
		io_uring_queue_exit(&loop->ring);
	free(loop->watches);
	free(loop->fds);
	free(loop);
}

const char *fph_loop_kind(const struct fph_loop *loop)
{
	return loop->uring ? "io_uring" : "poll";
}

/* ------------------------------------------------------------ descriptors */

static uint32_t find(const struct fph_loop *loop, int fd)
{
	uint32_t i = 0;

	while (i < loop->count && loop->fds[i].fd != fd)
		i++;
	return i;
}

static int grow(struct fph_loop *loop)
{
	uint32_t count = loop->count ? loop->count * 2 : 8;
	struct watch *watches;
	struct pollfd *fds;

	watches = realloc(loop->watches, count * sizeof(*watches));
	if (!watches)
		return -ENOMEM;
	loop->watches = watches;
	fds = realloc(loop->fds, count * sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	loop->fds = fds;
	for (uint32_t i = loop->count; i < count; i++) {
		memset(&watches[i], 0, sizeof(*watches));
		fds[i] = (struct pollfd){ .fd = -1 };
	}
	loop->count = count;
	return 0;
}

int fph_loop_add(struct fph_loop *loop, int fd, void (*ready)(void *ctx), void *ctx)
{
	uint32_t i;

	if (fd < 0 || fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	if (find(loop, fd) < loop->count)
		return -EEXIST;
	i = find(loop, -1);
	if (i == loop->count && grow(loop) < 0)
		return -ENOMEM;
	loop->watches[i] = (struct watch){ .ready = ready, .ctx = ctx, .tag = ++loop->last_tag };
	loop->fds[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
	return 0;
}

static uint64_t name_of(const struct fph_loop *loop, uint32_t i)
{
	return (uint64_t)loop->watches[i].tag << 32 | i;
}

/* A place for a request; a full queue is submitted.  NULL: the kernel takes none now. */
static struct io_uring_sqe *place(struct fph_loop *loop)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);

	if (!sqe && io_uring_submit(&loop->ring) >= 0)
		sqe = io_uring_get_sqe(&loop->ring);
	return sqe;
}

/*
 * The poll holds the open file.  Submit at once, or the other end of a socket that
 * the caller closes now would see its end only in the next run.  Should that fail,
 * the tag still keeps the completion from being taken for another's.
 */
static void disarm(struct fph_loop *loop, uint32_t i)
{
	struct io_uring_sqe *sqe = place(loop);

	if (!sqe)
		return;
	io_uring_prep_poll_remove(sqe, name_of(loop, i));
	io_uring_sqe_set_data64(sqe, NOBODY);
	io_uring_submit(&loop->ring);
}

int fph_loop_remove(struct fph_loop *loop, int fd)
{
	uint32_t i = fd < 0 ? loop->count : find(loop, fd);

	if (i == loop->count)
		return -ENOENT;
	if (loop->watches[i].armed)
		disarm(loop, i);
	memset(&loop->watches[i], 0, sizeof(loop->watches[i]));
	loop->fds[i].fd = -1;
	return 0;
}

/* ------------------------------------------------------------ waiting with io_uring */

/* What the kernel does not take now is armed in the next run. */
static void arm(struct fph_loop *loop)
{
	for (uint32_t i = 0; i < loop->count; i++) {
		struct io_uring_sqe *sqe;

		if (loop->fds[i].fd < 0 || loop->watches[i].armed)
			continue;
		sqe = place(loop);
		if (!sqe)
			return;
		io_uring_prep_poll_add(sqe, loop->fds[i].fd, POLLIN);
		io_uring_sqe_set_data64(sqe, name_of(loop, i));
		loop->watches[i].armed = true;
	}
}

static int reap(struct fph_loop *loop)
{
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0;
	int due = 0;

	io_uring_for_each_cqe(&loop->ring, head, cqe) {
		uint64_t name = io_uring_cqe_get_data64(cqe);
		uint32_t i = (uint32_t)name;

		seen++;
		if (i >= loop->count || loop->fds[i].fd < 0 || name != name_of(loop, i))
			continue;
		loop->watches[i].armed = false;
		/* The thread that armed it has ended: that says nothing about the descriptor. */
		if (cqe->res == -ECANCELED)
			continue;
		loop->watches[i].due = true;
		due++;
	}
	io_uring_cq_advance(&loop->ring, seen);
	/* Seen, but none of them counts: the caller's wait is not over. */
	return due ? due : seen ? -EAGAIN : 0;
}

/* Returns how many are due; 0: time-out or signal; -EAGAIN: wait on; or an errno. */
static int wait_uring(struct fph_loop *loop, int64_t timeout_ms)
{
	/* "For ever" is a time-out too: liburing goes back to sleep after a signal without. */
	int64_t ms = timeout_ms < 0 ? INT32_MAX : timeout_ms;
	struct __kernel_timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	struct io_uring_cqe *cqe;
	int rc, due;

	arm(loop);
	rc = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &ts, NULL);
	due = reap(loop);
	if (due || rc >= 0 || rc == -ETIME || rc == -EINTR)
		return due;
	/* The kernel is out of memory for requests, or for completions nobody took. */
	return rc == -EAGAIN || rc == -EBUSY ? -ENOMEM : rc;
}

/* ------------------------------------------------------------ waiting with poll(2) */

static int wait_poll(struct fph_loop *loop, int64_t timeout_ms)
{
	int due = 0;

	if (poll(loop->fds, loop->count, (int)timeout_ms) < 0)
		return errno == EINTR ? 0 : -errno;
	for (uint32_t i = 0; i < loop->count; i++) {
		loop->watches[i].due = loop->fds[i].fd >= 0 && loop->fds[i].revents;
		due += loop->watches[i].due;
	}
	return due;
}

/* ------------------------------------------------------------ run */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int wait_for_some(struct fph_loop *loop, int timeout_ms)
{
	int64_t end = timeout_ms > 0 ? now_ms() + timeout_ms : timeout_ms;
	int64_t left = timeout_ms;
	int due;

	do {
		due = loop->uring ? wait_uring(loop, left) : wait_poll(loop, left);
		if (due == -EAGAIN && timeout_ms > 0) {
			left = end - now_ms();
			left = left > 0 ? left : 0;
		}
	} while (due == -EAGAIN);
	return due;
}

/* The arrays may move and the entries change in a callback. */
static int call_due(struct fph_loop *loop)
{
	int called = 0;

	for (uint32_t i = 0; i < loop->count; i++) {
		struct watch watch = loop->watches[i];

		if (!watch.due)
			continue;
		loop->watches[i].due = false;
		watch.ready(watch.ctx);
		called++;
	}
	return called;
}

int fph_loop_run(struct fph_loop *loop, int timeout_ms)
{
	int due;

	if (loop->running)
		return -EBUSY;
	due = wait_for_some(loop, timeout_ms < 0 ? -1 : timeout_ms);
	if (due <= 0)
		return due;
	loop->running = true;
	due = call_due(loop);
	loop->running = false;
	return due;
}
