/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* ------------------------------------------------------------ the server's hooks */

static void on_hints(void *ctx)
{
	((struct peer *)ctx)->hints++;
}

static void on_pages(void *ctx, enum fph_queue queue, struct fph_range range)
{
	(void)queue;
	((struct peer *)ctx)->pages += range.len;
}

static void on_stat(void *ctx, struct fph_stat stat)
{
	(void)stat;
	((struct peer *)ctx)->stats++;
}

static void on_changed(void *ctx)
{
	((struct peer *)ctx)->changed++;
}

static void on_gone(void *ctx, const char *why)
{
	struct peer *p = ctx;

	p->gone++;
	snprintf(p->why, sizeof(p->why), "%s", why);
}

static void on_trouble(void *ctx, const char *what)
{
	struct peer *p = ctx;

	p->troubles++;
	snprintf(p->trouble, sizeof(p->trouble), "%s", what);
}

/* ------------------------------------------------------------ life */

int make_memfd(const char *name, uint64_t bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

void peer_serve(struct peer *p, unsigned loop_flags, const struct fph_vfio_user_server_opts *opts)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;

	if (opts)
		o = *opts;
	memset(p, 0, sizeof(*p));
	p->sock = -1;
	for (unsigned i = 0; i <= FPH_QUEUE_COUNT; i++)
		p->irq[i] = -1;
	p->file = make_memfd("fph-peer", RAM_BYTES);
	p->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, p->file, 0);
	cr_assert_neq(p->ram, MAP_FAILED);
	cr_assert_eq(fph_loop_open(&p->loop, loop_flags), 0);
	o.loop = p->loop;
	o.device.ctx = p;
	o.device.hints = on_hints;
	o.device.pages = on_pages;
	o.device.stat = on_stat;
	o.changed = on_changed;
	o.gone = on_gone;
	o.trouble = on_trouble;
	cr_assert_eq(fph_vfio_user_server_open(&p->server, &o), 0);
	p->device = fph_vfio_user_server_device(p->server);
}

void peer_connect(struct peer *p)
{
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	cr_assert_eq(fph_vfio_user_server_adopt(p->server, pair[0]), 0);
	p->sock = pair[1];
}

void peer_start(struct peer *p, unsigned loop_flags, const struct fph_vfio_user_server_opts *opts,
		bool with_fd)
{
	peer_serve(p, loop_flags, opts);
	peer_connect(p);
	cr_assert(peer_version(p) > 0);
	cr_assert_eq(peer_map(p, RAM_GPA, RAM_BYTES, 3, with_fd ? p->file : -1, 0), 0);
	p->serves = !with_fd;
}

void peer_hang_up(struct peer *p)
{
	unsigned before = p->gone;
	bool connected = fph_vfio_user_server_connected(p->server);

	close(p->sock);
	p->sock = -1;
	peer_pump(p);
	cr_assert_eq(p->gone, before + connected);
	cr_assert(!fph_vfio_user_server_connected(p->server));
}

void peer_close(struct peer *p)
{
	if (p->sock >= 0)
		peer_hang_up(p);
	for (unsigned i = 0; i <= FPH_QUEUE_COUNT; i++)
		if (p->irq[i] >= 0)
			close(p->irq[i]);
	fph_vfio_user_server_close(p->server);
	fph_loop_close(p->loop);
	munmap(p->ram, RAM_BYTES);
	close(p->file);
}

/* ------------------------------------------------------------ messages */

bool peer_send_bytes(struct peer *p, const void *bytes, size_t len, const int *fds, unsigned n)
{
	_Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(int) * 253)] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr out = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c = (struct cmsghdr *)(void *)control;

	if (n) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
		out.msg_control = control;
		out.msg_controllen = CMSG_SPACE(sizeof(int) * n);
	}
	return sendmsg(p->sock, &out, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

void peer_send(struct peer *p, unsigned command, uint32_t flags, const void *body, size_t len,
	       const int *fds, unsigned n)
{
	static unsigned char bytes[1 << 17];
	struct vfio_header h = {
		.id = ++p->id,
		.command = (uint16_t)command,
		.size = (uint32_t)(sizeof(h) + len),
		.flags = flags,
	};

	cr_assert(sizeof(h) + len <= sizeof(bytes));
	memcpy(bytes, &h, sizeof(h));
	if (len)
		memcpy(bytes + sizeof(h), body, len);
	cr_assert(peer_send_bytes(p, bytes, sizeof(h) + len, fds, n), "%s", strerror(errno));
}

static bool read_all(struct peer *p, void *to, size_t len)
{
	unsigned char *at = to;

	while (len) {
		ssize_t n = recv(p->sock, at, len, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			fph_loop_run(p->loop, 0); /* the rest of it waits for room */
			continue;
		}
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool receive(struct peer *p, struct message *in)
{
	struct pollfd poll_fd = { .fd = p->sock, .events = POLLIN };

	if (p->sock < 0 || poll(&poll_fd, 1, 0) != 1)
		return false;
	if (!read_all(p, &in->header, sizeof(in->header)))
		return false;
	cr_assert(in->header.size >= sizeof(in->header));
	in->len = in->header.size - (uint32_t)sizeof(in->header);
	cr_assert(in->len <= sizeof(in->body));
	cr_assert(read_all(p, in->body, in->len));
	return true;
}

bool peer_receive(struct peer *p)
{
	return receive(p, &p->in);
}

bool peer_is_dropped(struct peer *p)
{
	char byte;

	peer_pump(p);
	return recv(p->sock, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0 ||
	       (errno != EAGAIN && errno != EINTR);
}

/* An access of the server's to our memory. */
static void serve(struct peer *p, const struct message *in)
{
	static unsigned char answer[1 << 17];
	struct vfio_header h = in->header;
	struct vfio_dma_access a;
	uint32_t len = sizeof(h) + sizeof(a);

	memcpy(&a, in->body, sizeof(a));
	cr_assert(a.addr >= RAM_GPA && a.addr - RAM_GPA + a.count <= RAM_BYTES);
	if (h.command == VFIO_DMA_WRITE) {
		memcpy(p->ram + (a.addr - RAM_GPA), in->body + sizeof(a), a.count);
	} else {
		memcpy(answer + len, p->ram + (a.addr - RAM_GPA), a.count);
		len += (uint32_t)a.count;
	}
	h.flags = VFIO_REPLY;
	h.size = len;
	memcpy(answer, &h, sizeof(h));
	memcpy(answer + sizeof(h), &a, sizeof(a));
	cr_assert(peer_send_bytes(p, answer, len, NULL, 0));
}

void peer_answer(struct peer *p)
{
	serve(p, &p->pending);
	peer_pump(p);
}

static void note(struct peer *p, const struct message *in)
{
	uint16_t command = in->header.command;
	struct vfio_dma_access a;

	memcpy(&a, in->body, sizeof(a));
	cr_assert(command == VFIO_DMA_READ || command == VFIO_DMA_WRITE);
	cr_assert_eq(in->header.flags, VFIO_REQUEST);
	cr_assert(in->len == sizeof(a) + (command == VFIO_DMA_WRITE ? a.count : 0));
	if (p->dma_count < LOG)
		p->dma[p->dma_count] = (struct dma){ command, a.addr, a.count };
	p->dma_count++;
}

/* Serve what the server asks; what it answers is left in the socket. */
static bool serve_next(struct peer *p)
{
	static struct message in;
	struct vfio_header h;
	ssize_t n = p->sock < 0 ? -1 : recv(p->sock, &h, sizeof(h), MSG_DONTWAIT | MSG_PEEK);

	if (n != (ssize_t)sizeof(h) || (h.flags & VFIO_TYPE) != VFIO_REQUEST)
		return false;
	cr_assert(receive(p, &in));
	note(p, &in);
	if (p->serves) {
		serve(p, &in);
	} else {
		p->pending = in;
		p->unserved++;
	}
	return true;
}

/* Is there an answer, behind what the server asks? */
static bool is_answered(struct peer *p)
{
	struct pollfd poll_fd = { .fd = p->sock, .events = POLLIN };

	while (serve_next(p))
		;
	return poll(&poll_fd, 1, 0) == 1;
}

void peer_pump(struct peer *p)
{
	int rc = 1;

	for (unsigned turn = 0; turn < 100000 && rc > 0; turn++) {
		rc = fph_loop_run(p->loop, 0);
		cr_assert(rc >= 0, "the loop fails: %s", strerror(-rc));
		rc += serve_next(p);
	}
	cr_assert_eq(rc, 0, "the loop never comes to rest");
}

int peer_ask(struct peer *p, unsigned command, const void *body, size_t len, const int *fds,
	     unsigned n)
{
	struct vfio_header *h = &p->in.header;

	peer_send(p, command, VFIO_REQUEST, body, len, fds, n);
	while (fph_loop_run(p->loop, 0) > 0 && !is_answered(p))
		;
	cr_assert(peer_receive(p), "no answer to %u: %s", command, p->why);
	cr_assert_eq(h->id, p->id);
	cr_assert_eq(h->command, command);
	peer_pump(p);
	if (h->flags == (VFIO_REPLY | VFIO_ERROR)) {
		cr_assert_eq(p->in.len, 0u);
		cr_assert_neq(h->error, 0u);
		return -(int)h->error;
	}
	cr_assert_eq(h->flags, VFIO_REPLY);
	cr_assert_eq(h->error, 0u);
	return (int)p->in.len;
}

/* ------------------------------------------------------------ what is asked */

int peer_version(struct peer *p)
{
	static const char json[] =
		"\0\0\0\0{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, "
		"\"max_dma_maps\": 65535, \"max_data_xfer_size\": 1048576, "
		"\"migration\": {\"max_bitmap_size\": 268435456, \"pgsize\": 4096}, "
		"\"write_multiple\": true}}";

	cr_assert_eq(sizeof(struct vfio_header) + sizeof(json), 214u, "as QEMU's");
	return peer_ask(p, VFIO_VERSION, json, sizeof(json), NULL, 0);
}

int peer_map(struct peer *p, uint64_t gpa, uint64_t len, uint32_t flags, int fd, uint64_t offset)
{
	struct vfio_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .offset = offset, .iova = gpa, .size = len
	};

	return peer_ask(p, VFIO_DMA_MAP, &map, sizeof(map), &fd, fd >= 0);
}

int peer_unmap(struct peer *p, uint64_t gpa, uint64_t len)
{
	struct vfio_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = gpa, .size = len };
	int rc = peer_ask(p, VFIO_DMA_UNMAP, &unmap, sizeof(unmap), NULL, 0);

	cr_assert(rc < 0 || rc == (int)sizeof(unmap));
	return rc < 0 ? rc : 0;
}

uint64_t peer_read(struct peer *p, uint32_t region, uint64_t offset, uint32_t count)
{
	struct vfio_region_access a = { .offset = offset, .region = region, .count = count };
	uint64_t value = 0;

	cr_assert_eq(peer_ask(p, VFIO_REGION_READ, &a, sizeof(a), NULL, 0),
		     (int)(sizeof(a) + count));
	cr_assert_eq(memcmp(p->in.body, &a, sizeof(a)), 0);
	memcpy(&value, p->in.body + sizeof(a), count < 8 ? count : 8);
	return value;
}

static void write_with(struct peer *p, uint32_t flags, uint32_t region, uint64_t offset,
		       uint32_t count, uint64_t value)
{
	unsigned char body[24];
	struct vfio_region_access a = { .offset = offset, .region = region, .count = count };

	memcpy(body, &a, sizeof(a));
	memcpy(body + sizeof(a), &value, 8);
	if (flags) {
		peer_send(p, VFIO_REGION_WRITE, flags, body, sizeof(a) + count, NULL, 0);
		return;
	}
	cr_assert_eq(peer_ask(p, VFIO_REGION_WRITE, body, sizeof(a) + count, NULL, 0),
		     (int)sizeof(a));
	cr_assert_eq(memcmp(p->in.body, &a, sizeof(a)), 0);
}

void peer_write(struct peer *p, uint32_t region, uint64_t offset, uint32_t count, uint64_t value)
{
	write_with(p, 0, region, offset, count, value);
}

void peer_post(struct peer *p, uint32_t region, uint64_t offset, uint32_t count, uint64_t value)
{
	write_with(p, VFIO_NO_REPLY, region, offset, count, value);
}

int peer_set_irqs(struct peer *p, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
		  const int *fds)
{
	struct vfio_set_irqs set = {
		.argsz = sizeof(set), .flags = flags, .index = index, .start = start, .count = count
	};

	return peer_ask(p, VFIO_SET_IRQS, &set, sizeof(set), fds, fds ? count : 0);
}

struct fph_vfio_user_stats peer_stats(const struct peer *p)
{
	struct fph_vfio_user_stats stats = FPH_VFIO_USER_STATS_INIT;

	cr_assert_eq(fph_vfio_user_server_stats(p->server, &stats), 0);
	return stats;
}

/* ------------------------------------------------------------ judging */

unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	cr_assert_not_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

uint64_t mapped_bytes(const char *name)
{
	FILE *file = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	uint64_t bytes = 0;
	char line[512];

	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file))
		if (strstr(line, name) && sscanf(line, "%lx-%lx", &from, &to) == 2)
			bytes += to - from;
	fclose(file);
	return bytes;
}
