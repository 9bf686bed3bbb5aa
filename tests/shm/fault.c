/* SPDX-License-Identifier: MIT */
#include "rig.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

/*
 * #77: each system call and allocation of the transport fails, in turn, at its first,
 * second, ... occurrence, at either end.  Each time: no crash, no leak, an error or a
 * reason, and the next client is served.  The calls are the linker's (--wrap), and they
 * fail only inside of the library, on whichever thread it runs.
 */
enum call {
	CALLOC,
	REALLOC,
	FCNTL,
	SOCKET,
	SETSOCKOPT,
	BIND,
	LISTEN,
	CONNECT,
	LSTAT,
	ACCEPT,
	RECV,
	RECVMSG,
	SENDMSG,
	FSTAT,
	FSTATFS,
	MEMFD,
	FTRUNCATE,
	EVENTFD,
	MMAP,
	PREADV,
	POLL,
	WRITE,
	URING_INIT,
	URING_SUBMIT,
	URING_WAIT,
};

static struct {
	enum call call;
	int error;
	unsigned countdown; /* fails when it reaches 0; 0: no more */
} plan;
static _Thread_local unsigned inside; /* of the library */

static bool fails(enum call call)
{
	unsigned left = __atomic_load_n(&plan.countdown, __ATOMIC_ACQUIRE);

	if (!inside || plan.call != call)
		return false;
	while (left > 0 && !__atomic_compare_exchange_n(&plan.countdown, &left, left - 1, false,
							__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
	errno = plan.error;
	return left == 1;
}

/* ------------------------------------------------------------ the entries of the library */

#define ENTRY(type, name, params, args)                                                            \
	type __real_##name params;                                                                 \
	type __wrap_##name params;                                                                 \
	type __wrap_##name params                                                                  \
	{                                                                                          \
		type rc;                                                                           \
		inside++;                                                                          \
		rc = __real_##name args;                                                           \
		inside--;                                                                          \
		return rc;                                                                         \
	}

ENTRY(int, fph_loop_open, (struct fph_loop **l, unsigned flags), (l, flags))
ENTRY(int, fph_loop_run, (struct fph_loop *l, int ms), (l, ms))
ENTRY(int, fph_shm_server_open, (struct fph_shm_server **s, const struct fph_shm_server_opts *o),
      (s, o))
ENTRY(int, fph_shm_client_open, (struct fph_shm_client **c, const struct fph_shm_client_opts *o),
      (c, o))
ENTRY(int, fph_shm_client_connect, (struct fph_shm_client *c), (c))
ENTRY(int, fph_guest_attach, (struct fph_guest *g), (g))
ENTRY(int, fph_guest_step, (struct fph_guest *g, uint64_t now), (g, now))
ENTRY(int, fph_guest_flush, (struct fph_guest *g), (g))
ENTRY(int, fph_guest_reset, (struct fph_guest *g), (g))
ENTRY(int, fph_device_start, (struct fph_device *d), (d))
ENTRY(int, fph_device_poll, (struct fph_device *d, struct fph_range *r, size_t n), (d, r, n))

/* ------------------------------------------------------------ the calls that fail */

#define FAILING(call, type, bad, name, params, args)                                               \
	type __real_##name params;                                                                 \
	type __wrap_##name params;                                                                 \
	type __wrap_##name params                                                                  \
	{                                                                                          \
		return fails(call) ? (bad) : __real_##name args;                                   \
	}

FAILING(CALLOC, void *, NULL, calloc, (size_t n, size_t size), (n, size))
FAILING(REALLOC, void *, NULL, realloc, (void *p, size_t size), (p, size))
FAILING(SOCKET, int, -1, socket, (int a, int b, int c), (a, b, c))
FAILING(SETSOCKOPT, int, -1, setsockopt, (int fd, int l, int o, const void *p, socklen_t n),
	(fd, l, o, p, n))
FAILING(BIND, int, -1, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAILING(LISTEN, int, -1, listen, (int fd, int n), (fd, n))
FAILING(CONNECT, int, -1, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAILING(LSTAT, int, -1, lstat, (const char *path, struct stat *st), (path, st))
FAILING(ACCEPT, int, -1, accept4, (int fd, struct sockaddr *a, socklen_t *n, int f), (fd, a, n, f))
FAILING(RECV, ssize_t, -1, recv, (int fd, void *p, size_t n, int f), (fd, p, n, f))
FAILING(RECVMSG, ssize_t, -1, recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f))
FAILING(SENDMSG, ssize_t, -1, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f))
FAILING(FSTAT, int, -1, fstat, (int fd, struct stat *st), (fd, st))
FAILING(FSTATFS, int, -1, fstatfs, (int fd, struct statfs *st), (fd, st))
FAILING(MEMFD, int, -1, memfd_create, (const char *name, unsigned f), (name, f))
FAILING(FTRUNCATE, int, -1, ftruncate, (int fd, off_t n), (fd, n))
FAILING(EVENTFD, int, -1, eventfd, (unsigned n, int f), (n, f))
FAILING(MMAP, void *, MAP_FAILED, mmap, (void *p, size_t n, int a, int b, int fd, off_t o),
	(p, n, a, b, fd, o))
FAILING(PREADV, ssize_t, -1, preadv2, (int fd, const struct iovec *v, int n, off_t o, int f),
	(fd, v, n, o, f))
FAILING(POLL, int, -1, poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms))
FAILING(WRITE, ssize_t, -1, write, (int fd, const void *p, size_t n), (fd, p, n))
FAILING(URING_INIT, int, -plan.error, io_uring_queue_init,
	(unsigned n, struct io_uring *r, unsigned f), (n, r, f))
FAILING(URING_SUBMIT, int, -plan.error, io_uring_submit, (struct io_uring *r), (r))
FAILING(URING_WAIT, int, -plan.error, io_uring_submit_and_wait_timeout,
	(struct io_uring *r, struct io_uring_cqe **c, unsigned n, struct __kernel_timespec *t,
	 sigset_t *s), (r, c, n, t, s))

int __real_fcntl(int fd, int cmd, long arg);
int __wrap_fcntl(int fd, int cmd, ...);
int __wrap_fcntl(int fd, int cmd, ...)
{
	va_list args;
	long arg;

	va_start(args, cmd);
	arg = va_arg(args, long);
	va_end(args);
	return fails(FCNTL) ? -1 : __real_fcntl(fd, cmd, arg);
}

/* ------------------------------------------------------------ the scenario */

static const struct {
	enum call call;
	int error;
	unsigned loop;
	unsigned at_least; /* occurrences that the scenario has, or it proves nothing */
	const char *name;
} faults[] = {
	{ CALLOC, ENOMEM, 0, 4, "calloc" },
	{ REALLOC, ENOMEM, 0, 4, "realloc" },
	{ FCNTL, EMFILE, 0, 20, "fcntl" },
	{ FCNTL, EBADF, FPH_LOOP_POLL, 20, "fcntl" },
	{ SOCKET, EMFILE, 0, 2, "socket" },
	{ SETSOCKOPT, ENOMEM, 0, 1, "setsockopt" },
	{ BIND, EACCES, 0, 1, "bind" },
	{ LISTEN, EADDRINUSE, 0, 1, "listen" },
	{ CONNECT, EAGAIN, 0, 1, "connect" },
	{ LSTAT, EIO, 0, 1, "lstat" },
	{ ACCEPT, EMFILE, 0, 1, "accept4" },
	{ ACCEPT, ENFILE, FPH_LOOP_POLL, 1, "accept4" },
	{ ACCEPT, ECONNABORTED, 0, 1, "accept4" },
	{ RECV, EINTR, 0, 1, "recv" },
	{ RECV, ECONNRESET, FPH_LOOP_POLL, 1, "recv" },
	{ RECVMSG, EINTR, 0, 2, "recvmsg" },
	{ RECVMSG, ECONNRESET, FPH_LOOP_POLL, 2, "recvmsg" },
	{ RECVMSG, ENOMEM, 0, 2, "recvmsg" },
	{ SENDMSG, EPIPE, 0, 2, "sendmsg" },
	{ SENDMSG, EAGAIN, FPH_LOOP_POLL, 2, "sendmsg" },
	{ SENDMSG, ETOOMANYREFS, 0, 2, "sendmsg" },
	{ FSTAT, EIO, 0, 10, "fstat" },
	{ FSTATFS, EIO, 0, 1, "fstatfs" },
	{ MEMFD, EMFILE, 0, 2, "memfd_create" },
	{ FTRUNCATE, ENOSPC, 0, 2, "ftruncate" },
	{ EVENTFD, EMFILE, 0, 8, "eventfd" },
	{ MMAP, ENOMEM, 0, 5, "mmap" },
	{ MMAP, EACCES, FPH_LOOP_POLL, 5, "mmap" },
	{ PREADV, EINTR, 0, 5, "preadv2" },
	{ PREADV, EIO, FPH_LOOP_POLL, 5, "preadv2" },
	{ POLL, EINTR, FPH_LOOP_POLL, 10, "poll" },
	{ POLL, ENOMEM, FPH_LOOP_POLL, 10, "poll" },
	{ WRITE, EAGAIN, FPH_LOOP_POLL, 5, "write" },
	{ URING_INIT, EPERM, 0, 2, "io_uring_queue_init" },
	{ URING_SUBMIT, EAGAIN, 0, 2, "io_uring_submit" },
	{ URING_WAIT, EINTR, 0, 10, "io_uring_submit_and_wait_timeout" },
	{ URING_WAIT, EBUSY, 0, 10, "io_uring_submit_and_wait_timeout" },
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

/* A server thread that does not mind a turn that fails. */
struct place {
	struct rig rig;
	pthread_t thread;
};

static void *turn(void *ctx)
{
	struct rig *rig = ctx;
	bool stop = false;

	while (!stop) {
		rig_lock(rig);
		fph_loop_run(rig->loop, 0);
		stop = rig->stop;
		rig_unlock(rig);
		usleep(30);
	}
	return NULL;
}

static bool open_place(struct place *p, unsigned loop_flags)
{
	memset(p, 0, sizeof(*p));
	strcpy(p->rig.dir, "/tmp/fph-shm-XXXXXX");
	cr_assert_not_null(mkdtemp(p->rig.dir));
	snprintf(p->rig.path, sizeof(p->rig.path), "%s/shm", p->rig.dir);
	pthread_mutex_init(&p->rig.lock, NULL);
	if (fph_loop_open(&p->rig.loop, loop_flags) < 0)
		return false;
	return rig_serve(&p->rig, p->rig.loop, NULL) == 0;
}

static void close_place(struct place *p)
{
	fph_shm_server_close(p->rig.server);
	fph_loop_close(p->rig.loop);
	cr_assert_eq(rmdir(p->rig.dir), 0, "the socket is still there");
}

struct life {
	struct fph_loop *loop;
	struct fph_shm_client *client;
	struct fph_guest guest;
	struct fph_guest_slot slots[END_RING];
	int file;
	unsigned char *ram;
	bool done; /* a whole round */
};

static bool client_up(struct life *l, const char *path, unsigned loop_flags)
{
	struct fph_shm_region region = { END_GPA, END_BYTES, l->file, 0 };
	struct fph_shm_client_opts o = FPH_SHM_CLIENT_OPTS_INIT;
	struct fph_guest_opts g = FPH_GUEST_OPTS_INIT;

	if (fph_loop_open(&l->loop, loop_flags) < 0)
		return false;
	o.loop = l->loop;
	o.path = path;
	o.regions = &region;
	o.region_count = 1;
	o.timeout_ms = 600;
	if (fph_shm_client_open(&l->client, &o) < 0)
		return false;
	g.bus = fph_shm_client_bus(l->client);
	g.ring = (struct fph_region){ END_GPA + 4096, 65536, l->ram + 4096, 0 };
	g.slots = l->slots;
	g.ring_size = END_RING;
	cr_assert_eq(fph_guest_init(&l->guest, &g), 0);
	if (fph_shm_client_connect(l->client) < 0) {
		cr_assert_neq(fph_shm_client_why(l->client)[0], '\0', "failed without a reason");
		return false;
	}
	return fph_guest_attach(&l->guest) == 0;
}

static bool hold_round(struct life *l, struct rig *rig)
{
	struct fph_range page = { END_PAGES, 4096 }, out[4];
	int64_t tries = 0;
	int wants = 0, n = 0;

	rig_lock(rig);
	fph_device_start(rig->device);
	rig_unlock(rig);
	while (!(wants & FPH_GUEST_FEED) && tries++ < 300) {
		fph_loop_run(l->loop, 1);
		wants = fph_guest_step(&l->guest, 0);
		if (wants < 0)
			return false;
	}
	if (fph_guest_hint(&l->guest, &page, 1) != 1 || fph_guest_flush(&l->guest) < 0)
		return false;
	for (tries = 0; n <= 0 && tries < 300; tries++) {
		rig_lock(rig);
		n = rig->hints ? fph_device_poll(rig->device, out, 4) : 0;
		rig_unlock(rig);
		usleep(200);
	}
	return n == 1 && out[0].gpa == END_PAGES;
}

/* As far as it gets; whatever was lent comes back. */
static void live(struct life *l, struct place *p, unsigned loop_flags)
{
	struct fph_range out[4];
	int rc = 0;

	memset(l, 0, sizeof(*l));
	l->file = end_memfd(END_BYTES, F_SEAL_SHRINK);
	l->ram = mmap(NULL, END_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, l->file, 0);
	cr_assert_neq(l->ram, MAP_FAILED);
	if (client_up(l, p->rig.path, loop_flags))
		l->done = hold_round(l, &p->rig);
	for (unsigned i = 0; l->client && i < 2000; i++) {
		rc = fph_guest_reset(&l->guest);
		if (rc == 0)
			break;
		usleep(500);
	}
	cr_assert_eq(rc, 0, "no reset: %d", rc);
	while (l->client && fph_guest_reclaim(&l->guest, out, 4) > 0)
		;
	cr_assert_eq(l->client ? fph_guest_held(&l->guest) : 0, 0u);
	fph_shm_client_close(l->client);
	fph_loop_close(l->loop);
	munmap(l->ram, END_BYTES);
	close(l->file);
}

static void expect_idle(struct place *p)
{
	bool up = true;

	for (unsigned i = 0; i < 10000 && up; i++) {
		rig_lock(&p->rig);
		up = fph_shm_server_connected(p->rig.server);
		rig_unlock(&p->rig);
		usleep(200);
	}
	cr_assert(!up, "the server holds on to a client that is gone");
}

ParameterizedTestParameters(fault, each_call_fails_in_turn_and_the_next_client_is_served)
{
	static size_t which[FAULTS];

	for (size_t i = 0; i < FAULTS; i++)
		which[i] = i;
	return cr_make_param_array(size_t, which, FAULTS);
}

/* Some calls come as often as the threads look; the first ones are enough. */
#define OCCURRENCES 60u

ParameterizedTest(size_t *which, fault, each_call_fails_in_turn_and_the_next_client_is_served)
{
	unsigned before = count_fds(), k = 1;
	bool failed = true;

	for (; failed && k <= OCCURRENCES; k++) {
		struct place p;
		struct life l;
		bool open;

		plan.call = faults[*which].call;
		plan.error = faults[*which].error;
		__atomic_store_n(&plan.countdown, k, __ATOMIC_RELEASE);
		open = open_place(&p, faults[*which].loop);
		if (open) {
			cr_assert_eq(pthread_create(&p.rig.thread, NULL, turn, &p.rig), 0);
			live(&l, &p, faults[*which].loop);
			expect_idle(&p);
		}
		failed = __atomic_exchange_n(&plan.countdown, 0, __ATOMIC_ACQ_REL) == 0;
		if (open) {
			rig_lock(&p.rig);
			p.rig.hints = 0;
			rig_unlock(&p.rig);
			live(&l, &p, faults[*which].loop);
			cr_assert(l.done, "not served after fault %u of %s", k, faults[*which].name);
			expect_idle(&p);
			rig_lock(&p.rig);
			p.rig.stop = true;
			rig_unlock(&p.rig);
			pthread_join(p.rig.thread, NULL);
		}
		close_place(&p);
		cr_assert_eq(count_maps("fph-"), 0u, "mappings leak, at %u", k);
		cr_assert_eq(count_fds(), before, "descriptors leak, at %u", k);
	}
	cr_assert_geq(failed ? k : k - 2, faults[*which].at_least, "%s was called %u times only",
		      faults[*which].name, k - 2);
}
