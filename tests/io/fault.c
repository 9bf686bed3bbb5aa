/* SPDX-License-Identifier: MIT */
#include "script.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
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
#include <sys/un.h>
#include <unistd.h>

/*
 * #77, #96 of the study: every system call and allocation of libfph-io fails, in turn,
 * at its first, second, ... occurrence, with each errno it can have.  Each time: no
 * crash, no leak, a reason for what was given up, and the next front end is served.
 * The calls are the linker's (--wrap), and they fail only inside of the library.
 */
enum call {
	CALLOC,
	REALLOC,
	FCNTL,
	SOCKET,
	BIND,
	LISTEN,
	LSTAT,
	ACCEPT,
	RECVMSG,
	SENDMSG,
	SEND,
	GETSOCKOPT,
	FSTAT,
	MMAP,
	PREADV,
	POLL,
	WRITE,
	URING_INIT,
	URING_PROBE,
	URING_SUBMIT,
	URING_WAIT,
};

static struct {
	enum call call;
	int error;
	unsigned countdown; /* fails when it reaches 0; 0: no more */
	unsigned inside;    /* of the library */
} plan;

static bool fails(enum call call)
{
	if (!plan.inside || plan.call != call || plan.countdown == 0 || --plan.countdown)
		return false;
	errno = plan.error;
	return true;
}

/* ------------------------------------------------------------ the entries of the library */

#define ENTRY(type, name, params, args)                                                            \
	type __real_##name params;                                                                 \
	type __wrap_##name params;                                                                 \
	type __wrap_##name params                                                                  \
	{                                                                                          \
		type rc;                                                                           \
		plan.inside++;                                                                     \
		rc = __real_##name args;                                                           \
		plan.inside--;                                                                     \
		return rc;                                                                         \
	}

ENTRY(int, fph_loop_open, (struct fph_loop **l, unsigned flags), (l, flags))
ENTRY(int, fph_loop_run, (struct fph_loop *l, int ms), (l, ms))
ENTRY(int, fph_vhost_user_open,
      (struct fph_vhost_user **vu, const struct fph_vhost_user_opts *o), (vu, o))
ENTRY(int, fph_device_start, (struct fph_device *d), (d))

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
FAILING(BIND, int, -1, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAILING(LISTEN, int, -1, listen, (int fd, int n), (fd, n))
FAILING(LSTAT, int, -1, lstat, (const char *path, struct stat *st), (path, st))
FAILING(ACCEPT, int, -1, accept4, (int fd, struct sockaddr *a, socklen_t *n, int f), (fd, a, n, f))
FAILING(RECVMSG, ssize_t, -1, recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f))
FAILING(SENDMSG, ssize_t, -1, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f))
FAILING(SEND, ssize_t, -1, send, (int fd, const void *p, size_t n, int f), (fd, p, n, f))
FAILING(GETSOCKOPT, int, -1, getsockopt, (int fd, int l, int o, void *p, socklen_t *n),
	(fd, l, o, p, n))
FAILING(FSTAT, int, -1, fstat, (int fd, struct stat *st), (fd, st))
FAILING(MMAP, void *, MAP_FAILED, mmap, (void *p, size_t n, int a, int b, int fd, off_t o),
	(p, n, a, b, fd, o))
FAILING(PREADV, ssize_t, -1, preadv2, (int fd, const struct iovec *v, int n, off_t o, int f),
	(fd, v, n, o, f))
FAILING(POLL, int, -1, poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms))
FAILING(WRITE, ssize_t, -1, write, (int fd, const void *p, size_t n), (fd, p, n))
FAILING(URING_INIT, int, -plan.error, io_uring_queue_init,
	(unsigned n, struct io_uring *r, unsigned f), (n, r, f))
FAILING(URING_PROBE, struct io_uring_probe *, NULL, io_uring_get_probe_ring, (struct io_uring *r),
	(r))
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
	{ CALLOC, ENOMEM, 0, 2, "calloc" },
	{ REALLOC, ENOMEM, 0, 2, "realloc" },
	{ FCNTL, EBADF, 0, 4, "fcntl" },
	{ FCNTL, EMFILE, FPH_LOOP_POLL, 4, "fcntl" },
	{ SOCKET, EMFILE, 0, 1, "socket" },
	{ BIND, EACCES, 0, 1, "bind" },
	{ LISTEN, EADDRINUSE, 0, 1, "listen" },
	{ LSTAT, EIO, 0, 1, "lstat" },
	{ ACCEPT, EMFILE, 0, 1, "accept4" },
	{ ACCEPT, ENFILE, FPH_LOOP_POLL, 1, "accept4" },
	{ ACCEPT, ENOMEM, 0, 1, "accept4" },
	{ ACCEPT, ECONNABORTED, 0, 1, "accept4" },
	{ ACCEPT, EINTR, FPH_LOOP_POLL, 1, "accept4" },
	{ RECVMSG, EINTR, 0, 60, "recvmsg" },
	{ RECVMSG, EAGAIN, FPH_LOOP_POLL, 60, "recvmsg" },
	{ RECVMSG, ECONNRESET, 0, 60, "recvmsg" },
	{ RECVMSG, ENOMEM, FPH_LOOP_POLL, 60, "recvmsg" },
	{ SENDMSG, EPIPE, 0, 30, "sendmsg" },
	{ SENDMSG, EAGAIN, 0, 30, "sendmsg" },
	{ SENDMSG, ENOBUFS, FPH_LOOP_POLL, 30, "sendmsg" },
	{ SEND, EAGAIN, 0, 1, "send" },
	{ SEND, EPIPE, FPH_LOOP_POLL, 1, "send" },
	{ GETSOCKOPT, ENOTSOCK, 0, 2, "getsockopt" },
	{ FSTAT, EIO, 0, 9, "fstat" },
	{ MMAP, ENOMEM, 0, 1, "mmap" },
	{ MMAP, EACCES, FPH_LOOP_POLL, 1, "mmap" },
	{ PREADV, EINTR, 0, 1, "preadv2" },
	{ PREADV, EAGAIN, FPH_LOOP_POLL, 1, "preadv2" },
	{ PREADV, EOPNOTSUPP, 0, 1, "preadv2" },
	{ POLL, EINTR, FPH_LOOP_POLL, 10, "poll" },
	{ POLL, ENOMEM, FPH_LOOP_POLL, 10, "poll" },
	{ WRITE, EAGAIN, 0, 1, "write" },
	{ URING_INIT, EPERM, 0, 1, "io_uring_queue_init" },
	{ URING_INIT, EMFILE, 0, 1, "io_uring_queue_init" },
	{ URING_PROBE, ENOMEM, 0, 1, "io_uring_get_probe_ring" },
	{ URING_SUBMIT, EAGAIN, 0, 2, "io_uring_submit" },
	{ URING_WAIT, EINTR, 0, 10, "io_uring_submit_and_wait_timeout" },
	{ URING_WAIT, EAGAIN, 0, 10, "io_uring_submit_and_wait_timeout" },
	{ URING_WAIT, EBUSY, 0, 10, "io_uring_submit_and_wait_timeout" },
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

/* As rig_pump(), but the loop may fail a turn, and be none the worse for it. */
static void turn(struct rig *rig)
{
	unsigned idle = 0;

	for (unsigned i = 0; i < 10000 && idle < 2; i++)
		idle = fph_loop_run(rig->loop, 0) > 0 ? 0 : idle + 1;
	cr_assert_eq(idle, 2u, "the loop never comes to rest");
}

static void on_changed(void *ctx)
{
	((struct rig *)ctx)->changed++;
}

static void on_gone(void *ctx, const char *why)
{
	struct rig *rig = ctx;

	rig->gone++;
	cr_assert_neq(why[0], '\0');
}

static void on_pages(void *ctx, enum fph_queue queue, struct fph_range range)
{
	(void)queue;
	((struct rig *)ctx)->inflated += range.len;
}

static bool open_rig(struct rig *rig, unsigned loop_flags)
{
	struct fph_vhost_user_opts o = FPH_VHOST_USER_OPTS_INIT;

	memset(rig, 0, sizeof(*rig));
	strcpy(rig->dir, "/tmp/fph-io-XXXXXX");
	cr_assert_not_null(mkdtemp(rig->dir));
	snprintf(rig->path, sizeof(rig->path), "%s/vu", rig->dir);
	if (fph_loop_open(&rig->loop, loop_flags) < 0)
		return false;
	o.loop = rig->loop;
	o.path = rig->path;
	o.device.ctx = rig;
	o.device.pages = on_pages;
	o.changed = on_changed;
	o.gone = on_gone;
	if (fph_vhost_user_open(&rig->vu, &o) < 0)
		return false;
	rig->device = fph_vhost_user_device(rig->vu);
	return true;
}

/* A buffer on the inflate ring of the script, so that there is a call to make. */
static void fill_ring(int file)
{
	const uint32_t pfn = 0x200;
	const uint16_t avail[3] = { 0, 1, 0 };
	const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc = { 0x13000, 4, 0, 0 };

	cr_assert_eq(pwrite(file, &desc, sizeof(desc), 0x10000), (ssize_t)sizeof(desc));
	cr_assert_eq(pwrite(file, avail, sizeof(avail), 0x11000), (ssize_t)sizeof(avail));
	cr_assert_eq(pwrite(file, &pfn, sizeof(pfn), 0x13000), (ssize_t)sizeof(pfn));
}

static void connect_to(struct front *front, struct rig *rig)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	memset(front, 0, sizeof(*front));
	front->rig = rig;
	front->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(addr.sun_path, rig->path);
	cr_assert_eq(connect(front->sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	turn(rig);
}

/* A front end's life, as far as it gets: handshake, a kick, a round, the end. */
static void live(struct rig *rig)
{
	int fds[SCRIPT_FDS];
	struct front front;
	struct script s;

	script_fds(fds);
	/* Calls by eventfd, which is the path with more system calls. */
	close(fds[2]);
	fds[2] = eventfd(0, EFD_CLOEXEC);
	fill_ring(fds[1]);
	script_uml(&s, fds);
	connect_to(&front, rig);
	script_deliver(&front, &s, s.len, 4096, false, turn);
	cr_assert_eq(eventfd_write(fds[3], 1), 0);
	turn(rig);
	fph_device_start(rig->device);
	fph_device_done(rig->device);
	turn(rig);
	close(front.sock);
	script_close(fds);
	turn(rig);
}

ParameterizedTestParameters(fault, each_call_fails_in_turn_and_the_next_front_end_is_served)
{
	static size_t which[FAULTS];

	for (size_t i = 0; i < FAULTS; i++)
		which[i] = i;
	return cr_make_param_array(size_t, which, FAULTS);
}

ParameterizedTest(size_t *which, fault, each_call_fails_in_turn_and_the_next_front_end_is_served)
{
	unsigned before = count_fds(), k = 1;
	bool failed = true;

	for (; failed && k < 2000; k++) {
		struct rig rig;
		bool open;

		plan.call = faults[*which].call;
		plan.error = faults[*which].error;
		plan.countdown = k;
		open = open_rig(&rig, faults[*which].loop);
		if (open)
			live(&rig);
		failed = plan.countdown == 0;
		plan.countdown = 0;
		if (open) {
			unsigned gone = rig.gone;

			cr_assert_eq(count_maps("fph-guest-ram"), 0u, "at %u", k);
			rig.inflated = 0;
			live(&rig);
			cr_assert_eq(rig.inflated, 4096u, "not served after fault %u", k);
			cr_assert_eq(rig.gone, gone + 1);
		}
		rig_close(&rig);
		cr_assert_neq(access(rig.dir, F_OK), 0, "the socket is still there, at %u", k);
		cr_assert_eq(count_fds(), before, "descriptors leak, at %u", k);
	}
	cr_assert_geq(k - 2, faults[*which].at_least, "%s was called %u times only",
		      faults[*which].name, k - 2);
}
