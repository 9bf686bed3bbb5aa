/* SPDX-License-Identifier: MIT */
#include "ring.h"
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
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * #77, #96 of the study: every system call and allocation of the server fails, in turn, at
 * its first, second, ... occurrence.  Each time: no crash, no leak, a reason for what was
 * given up, and the next client is served.  The calls are the linker's (--wrap), and they
 * fail only inside of the library.
 */
enum call {
	CALLOC,
	MALLOC,
	REALLOC,
	FCNTL,
	SOCKET,
	BIND,
	LISTEN,
	LSTAT,
	ACCEPT,
	RECVMSG,
	SENDMSG,
	FSTAT,
	MMAP,
	POLL,
	WRITE,
	EPOLL_CREATE,
	EPOLL_CTL,
	URING_INIT,
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

#define ENTRY(type, name, params, args)            \
	type __real_##name params;                 \
	type __wrap_##name params;                 \
	type __wrap_##name params                  \
	{                                          \
		type rc;                           \
		plan.inside++;                     \
		rc = __real_##name args;           \
		plan.inside--;                     \
		return rc;                         \
	}

ENTRY(int, fph_loop_open, (struct fph_loop **l, unsigned flags), (l, flags))
ENTRY(int, fph_loop_run, (struct fph_loop *l, int ms), (l, ms))
ENTRY(int, fph_vfio_user_server_open,
      (struct fph_vfio_user_server **s, const struct fph_vfio_user_server_opts *o), (s, o))
ENTRY(int, fph_device_set_num_pages, (struct fph_device *d, uint32_t pages), (d, pages))

/* ------------------------------------------------------------ the calls that fail */

#define FAILING(call, type, bad, name, params, args)                       \
	type __real_##name params;                                         \
	type __wrap_##name params;                                         \
	type __wrap_##name params                                          \
	{                                                                  \
		return fails(call) ? (bad) : __real_##name args;           \
	}

FAILING(CALLOC, void *, NULL, calloc, (size_t n, size_t size), (n, size))
FAILING(MALLOC, void *, NULL, malloc, (size_t size), (size))
FAILING(REALLOC, void *, NULL, realloc, (void *p, size_t size), (p, size))
FAILING(SOCKET, int, -1, socket, (int a, int b, int c), (a, b, c))
FAILING(BIND, int, -1, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAILING(LISTEN, int, -1, listen, (int fd, int n), (fd, n))
FAILING(LSTAT, int, -1, lstat, (const char *path, struct stat *st), (path, st))
FAILING(ACCEPT, int, -1, accept4, (int fd, struct sockaddr *a, socklen_t *n, int f), (fd, a, n, f))
FAILING(RECVMSG, ssize_t, -1, recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f))
FAILING(SENDMSG, ssize_t, -1, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f))
FAILING(FSTAT, int, -1, fstat, (int fd, struct stat *st), (fd, st))
FAILING(MMAP, void *, MAP_FAILED, mmap, (void *p, size_t n, int a, int b, int fd, off_t o),
	(p, n, a, b, fd, o))
FAILING(POLL, int, -1, poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms))
FAILING(WRITE, ssize_t, -1, write, (int fd, const void *p, size_t n), (fd, p, n))
FAILING(EPOLL_CREATE, int, -1, epoll_create1, (int flags), (flags))
FAILING(EPOLL_CTL, int, -1, epoll_ctl, (int e, int op, int fd, struct epoll_event *v),
	(e, op, fd, v))
FAILING(URING_INIT, int, -plan.error, io_uring_queue_init,
	(unsigned n, struct io_uring *r, unsigned f), (n, r, f))
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
	{ CALLOC, ENOMEM, 0, 3, "calloc" },
	{ MALLOC, ENOMEM, 0, 1, "malloc" },
	{ REALLOC, ENOMEM, 0, 2, "realloc" },
	{ FCNTL, EBADF, 0, 4, "fcntl" },
	{ FCNTL, EMFILE, FPH_LOOP_POLL, 4, "fcntl" },
	{ SOCKET, EMFILE, 0, 1, "socket" },
	{ BIND, EACCES, 0, 1, "bind" },
	{ LISTEN, EADDRINUSE, 0, 1, "listen" },
	{ LSTAT, EIO, 0, 1, "lstat" },
	{ ACCEPT, EMFILE, 0, 1, "accept4" },
	{ ACCEPT, ENFILE, FPH_LOOP_POLL, 1, "accept4" },
	{ ACCEPT, ECONNABORTED, 0, 1, "accept4" },
	{ ACCEPT, EINTR, FPH_LOOP_POLL, 1, "accept4" },
	{ RECVMSG, EINTR, 0, 150, "recvmsg" },
	{ RECVMSG, EAGAIN, FPH_LOOP_POLL, 150, "recvmsg" },
	{ RECVMSG, ECONNRESET, 0, 150, "recvmsg" },
	{ RECVMSG, ENOMEM, FPH_LOOP_POLL, 150, "recvmsg" },
	{ SENDMSG, EPIPE, 0, 60, "sendmsg" },
	{ SENDMSG, EAGAIN, 0, 60, "sendmsg" },
	{ SENDMSG, EINTR, FPH_LOOP_POLL, 60, "sendmsg" },
	{ SENDMSG, ENOBUFS, FPH_LOOP_POLL, 60, "sendmsg" },
	{ FSTAT, EIO, 0, 2, "fstat" },
	{ MMAP, ENOMEM, 0, 1, "mmap" },
	{ MMAP, EACCES, FPH_LOOP_POLL, 1, "mmap" },
	{ POLL, EINTR, FPH_LOOP_POLL, 10, "poll" },
	{ POLL, ENOMEM, FPH_LOOP_POLL, 10, "poll" },
	{ WRITE, EAGAIN, 0, 1, "write" },
	{ EPOLL_CREATE, EMFILE, 0, 1, "epoll_create1" },
	{ EPOLL_CREATE, ENOMEM, FPH_LOOP_POLL, 1, "epoll_create1" },
	{ EPOLL_CTL, ENOSPC, 0, 1, "epoll_ctl" },
	{ URING_INIT, EPERM, 0, 1, "io_uring_queue_init" },
	{ URING_WAIT, EINTR, 0, 10, "io_uring_submit_and_wait_timeout" },
	{ URING_WAIT, EAGAIN, 0, 10, "io_uring_submit_and_wait_timeout" },
	{ URING_WAIT, EBUSY, 0, 10, "io_uring_submit_and_wait_timeout" },
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

#define MANY	 24u /* answers of 16 KiB: more than a socket takes */
#define ANSWERS	 (1u << 20)

static void register_of(struct script *s, uint32_t offset, uint32_t count, uint64_t value)
{
	unsigned char body[24];
	struct vfio_region_access a = { .offset = offset, .region = 0, .count = count };

	memcpy(body, &a, sizeof(a));
	memcpy(body + sizeof(a), &value, sizeof(value));
	script_add(s, VFIO_REGION_WRITE, VFIO_NO_REPLY, body, sizeof(a) + count, -1);
}

/* The inflate queue, in memory without a descriptor, and its doorbell. */
static void add_driver(struct script *s)
{
	static const uint64_t at[] = { RING_DESC(0), RING_DRIVER(0), RING_DEVICE(0) };
	struct vfio_region_access read = { .offset = 0, .region = 0, .count = 0x4000 };

	register_of(s, 0x14, 1, 3);
	register_of(s, 0x08, 4, 1);
	register_of(s, 0x0c, 4, 1);
	register_of(s, 0x14, 1, 0xb);
	register_of(s, 0x16, 2, 0);
	register_of(s, 0x18, 2, RING);
	for (uint32_t i = 0; i < 3; i++) {
		register_of(s, 0x20 + 8 * i, 4, (uint32_t)at[i]);
		register_of(s, 0x24 + 8 * i, 4, at[i] >> 32);
	}
	register_of(s, 0x1c, 2, 1);
	register_of(s, 0x14, 1, 0xf);
	register_of(s, FPH_PCI_NOTIFY, 2, 0);
	for (unsigned i = 0; i < MANY; i++)
		script_add(s, VFIO_REGION_READ, 0, &read, sizeof(read), -1);
}

static void fill_ring(struct peer *p)
{
	const uint32_t pfn = (uint32_t)(RAM_FREE / 4096);

	memset(p->ram, 0, RING_BYTES);
	ring_put(p, RING_DATA, &pfn, sizeof(pfn));
	ring_put_desc(p, 0, 0, (struct ring_desc){ RING_DATA, 4, 0, 0 });
	ring_avail(p, 0, 0);
}

/* As peer_pump(), but the loop may fail a turn, and be none the worse for it. */
static void turn(struct peer *p)
{
	unsigned idle = 0;

	for (unsigned i = 0; i < 10000 && idle < 2; i++)
		idle = fph_loop_run(p->loop, 0) > 0 ? 0 : idle + 1;
	cr_assert_eq(idle, 2u, "the loop never comes to rest");
}

static void answer(struct peer *p, struct vfio_header h, const unsigned char *body)
{
	static unsigned char bytes[4096];
	struct vfio_dma_access a;

	memcpy(&a, body, sizeof(a));
	h.flags = VFIO_REPLY;
	h.size = sizeof(h) + sizeof(a);
	memcpy(bytes + sizeof(h), &a, sizeof(a));
	cr_assert(a.addr >= RAM_GPA && a.addr - RAM_GPA + a.count <= RAM_BYTES);
	if (h.command == VFIO_DMA_READ) {
		memcpy(bytes + h.size, p->ram + (a.addr - RAM_GPA), a.count);
		h.size += (uint32_t)a.count;
	} else {
		memcpy(p->ram + (a.addr - RAM_GPA), body + sizeof(a), a.count);
	}
	memcpy(bytes, &h, sizeof(h));
	peer_send_bytes(p, bytes, h.size, NULL, 0);
}

/* Take what is there, and be of service.  Returns how many good answers it had. */
static unsigned listen_to(struct peer *p)
{
	static unsigned char bytes[ANSWERS];
	unsigned good = 0;
	size_t have = 0, at = 0;
	ssize_t n;

	for (unsigned idle = 0; idle < 3; idle++) {
		turn(p);
		while ((n = recv(p->sock, bytes + have, sizeof(bytes) - have, MSG_DONTWAIT)) > 0) {
			have += (size_t)n;
			idle = 0;
		}
		for (;;) {
			struct vfio_header h;

			if (have - at < sizeof(h))
				break;
			memcpy(&h, bytes + at, sizeof(h));
			if (have - at < h.size)
				break;
			if (h.flags == VFIO_REQUEST)
				answer(p, h, bytes + at + sizeof(h));
			good += h.flags == VFIO_REPLY;
			at += h.size;
		}
	}
	return good;
}

static void connect_to(struct peer *p, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	p->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(addr.sun_path, path);
	cr_assert_eq(connect(p->sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	turn(p);
}

/* A client's life, as far as it gets.  Returns whether it was served in every way. */
static bool live(struct peer *p, const char *path)
{
	struct vfio_dma_map map = { 32, 3, 0, RAM_GPA + RAM_BYTES, RAM_BYTES };
	struct script s;
	unsigned good = 0, next = 0;

	fill_ring(p);
	p->pages = 0;
	script_qemu(&s, p);
	/* the file once more, beside; and where the rings stand, none */
	script_add(&s, VFIO_DMA_MAP, 0, &map, sizeof(map), p->file);
	map = (struct vfio_dma_map){ 32, 3, 0, RAM_GPA, RAM_BYTES };
	script_add(&s, VFIO_DMA_UNMAP, 0,
		   &(struct vfio_dma_unmap){ 24, 0, RAM_GPA, RAM_BYTES }, 24, -1);
	script_add(&s, VFIO_DMA_MAP, 0, &map, sizeof(map), -1);
	add_driver(&s);
	connect_to(p, path);
	for (size_t at = 0; at < s.len;) {
		struct vfio_header h;
		unsigned n;

		memcpy(&h, s.bytes + at, sizeof(h));
		n = next < s.fd_count && s.fds[next].at == at;
		if (!peer_send_bytes(p, s.bytes + at, h.size, &s.fds[next].fd, n))
			break;
		next += n;
		at += h.size;
		turn(p);
	}
	fph_device_set_num_pages(p->device, (uint32_t)rand());
	good = listen_to(p);
	close(p->sock);
	p->sock = -1;
	turn(p);
	script_close(&s);
	return good == s.answered && p->pages == 4096;
}

static void on_pages(void *ctx, enum fph_queue queue, struct fph_range range)
{
	(void)queue;
	((struct peer *)ctx)->pages += range.len;
}

static void on_gone(void *ctx, const char *why)
{
	((struct peer *)ctx)->gone++;
	cr_assert_neq(why[0], '\0');
}

static bool open_server(struct peer *p, unsigned loop_flags, const char *path)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;

	memset(p, 0, sizeof(*p));
	p->sock = -1;
	p->file = make_memfd("fph-peer", RAM_BYTES);
	p->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, p->file, 0);
	cr_assert_neq(p->ram, MAP_FAILED);
	if (fph_loop_open(&p->loop, loop_flags) < 0)
		return false;
	o.loop = p->loop;
	o.path = path;
	o.device.ctx = p;
	o.device.pages = on_pages;
	o.gone = on_gone;
	if (fph_vfio_user_server_open(&p->server, &o) < 0)
		return false;
	p->device = fph_vfio_user_server_device(p->server);
	return true;
}

ParameterizedTestParameters(fault, each_call_fails_in_turn_and_the_next_client_is_served)
{
	static size_t which[FAULTS];

	for (size_t i = 0; i < FAULTS; i++)
		which[i] = i;
	return cr_make_param_array(size_t, which, FAULTS);
}

ParameterizedTest(size_t *which, fault, each_call_fails_in_turn_and_the_next_client_is_served)
{
	char dir[] = "/tmp/fph-test-XXXXXX", path[64];
	unsigned before = count_fds(), k = 1;
	bool failed = true;
	static struct peer p;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/vfio", dir);
	for (; failed && k < 2000; k++) {
		bool open;

		plan.call = faults[*which].call;
		plan.error = faults[*which].error;
		plan.countdown = k;
		open = open_server(&p, faults[*which].loop, path);
		if (open)
			live(&p, path);
		failed = plan.countdown == 0;
		plan.countdown = 0;
		if (open) {
			unsigned gone = p.gone;

			cr_assert_eq(mapped_bytes("fph-peer"), RAM_BYTES, "at %u", k);
			cr_assert(live(&p, path), "not served after fault %u of %s", k,
				  faults[*which].name);
			cr_assert_eq(p.gone, gone + 1);
		}
		fph_vfio_user_server_close(p.server);
		fph_loop_close(p.loop);
		munmap(p.ram, RAM_BYTES);
		close(p.file);
		cr_assert_neq(access(path, F_OK), 0, "the socket is still there, at %u", k);
		cr_assert_eq(count_fds(), before, "descriptors leak, at %u", k);
	}
	cr_assert_geq(k - 2, faults[*which].at_least, "%s was called %u times only",
		      faults[*which].name, k - 2);
	cr_expect_eq(rmdir(dir), 0);
}
