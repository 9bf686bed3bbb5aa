/* SPDX-License-Identifier: MIT */
#include "raw.h"
#include "rig.h"
#include "shm.h"
#include "shm/page.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void raw_prepare(struct raw *raw)
{
	void *page;

	memset(raw, 0, sizeof(*raw));
	raw->sock = -1;
	raw->fds[SHM_FD_DRIVER] = fph_shm_page_make("fph-shm-raw", SHM_CLIENT_BYTES, &page);
	cr_assert(raw->fds[SHM_FD_DRIVER] >= 0);
	raw->driver = page;
	for (unsigned i = SHM_FD_CTL_KICK; i < SHM_FD_REGION; i++) {
		raw->fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		cr_assert(raw->fds[i] >= 0);
	}
	raw->fds[SHM_FD_REGION] = end_memfd(RAW_BYTES, F_SEAL_SHRINK);
	raw->ram = mmap(NULL, RAW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			raw->fds[SHM_FD_REGION], 0);
	cr_assert_neq(raw->ram, MAP_FAILED);
	raw->fd_count = SHM_FD_REGION + 1;
	raw->request = (struct shm_request){
		.magic = SHM_MAGIC,
		.version = SHM_VERSION,
		.queues = FPH_QUEUE_COUNT,
		.regions = 1,
		.region = { { RAW_GPA, RAW_BYTES, 0 } },
	};
	raw->len = offsetof(struct shm_request, region) + sizeof(struct shm_region);
}

void raw_connect(struct raw *raw, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	raw->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	cr_assert(raw->sock >= 0);
	strcpy(addr.sun_path, path);
	cr_assert_eq(connect(raw->sock, (struct sockaddr *)&addr, sizeof(addr)), 0, "%s",
		     strerror(errno));
}

void raw_put_fd(struct raw *raw, unsigned at, int fd)
{
	if (at < raw->fd_count)
		close(raw->fds[at]);
	else
		raw->fd_count = at + 1;
	raw->fds[at] = fd;
}

bool raw_send(struct raw *raw)
{
	struct iovec iov = { &raw->request, raw->len };
	_Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(raw->fds))] = { 0 };
	struct msghdr out = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (raw->fd_count) {
		out.msg_control = control;
		out.msg_controllen = CMSG_SPACE(sizeof(int) * raw->fd_count);
		c = CMSG_FIRSTHDR(&out);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * raw->fd_count);
		memcpy(CMSG_DATA(c), raw->fds, sizeof(int) * raw->fd_count);
	}
	return sendmsg(raw->sock, &out, MSG_NOSIGNAL) == (ssize_t)raw->len;
}

size_t raw_answer(struct raw *raw)
{
	struct pollfd p = { .fd = raw->sock, .events = POLLIN };
	struct iovec iov = { &raw->answer, sizeof(raw->answer) };
	_Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(int))];
	struct msghdr in = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			     .msg_controllen = sizeof(control) };
	const void *pages;
	ssize_t n;
	int fd;

	cr_assert_eq(poll(&p, 1, 5000), 1, "no answer, and no end");
	n = recvmsg(raw->sock, &in, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return 0;
	if (CMSG_FIRSTHDR(&in)) {
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&in)), sizeof(fd));
		cr_assert_eq(fph_shm_page_open(fd, SHM_SERVER_BYTES, &pages), 0);
		raw->pages = pages;
		close(fd);
	}
	return (size_t)n;
}

void raw_expect(struct raw *raw, const char *path, int status)
{
	raw_connect(raw, path);
	cr_assert(raw_send(raw));
	cr_assert_eq(raw_answer(raw), sizeof(raw->answer));
	cr_assert_eq(raw->answer.magic, SHM_MAGIC);
	cr_assert_eq(raw->answer.status, status, "status %d (%s) and not %d", raw->answer.status,
		     raw->answer.text, status);
	cr_assert_eq(raw->pages != NULL, status == 0);
	cr_assert_eq(raw->answer.text[0] == '\0', status == 0);
}

bool raw_is_dropped(struct raw *raw)
{
	struct pollfd p = { .fd = raw->sock };

	return poll(&p, 1, 5000) == 1 && (p.revents & POLLHUP);
}

void raw_close(struct raw *raw)
{
	for (unsigned i = 0; i < raw->fd_count; i++)
		close(raw->fds[i]);
	munmap(raw->driver, SHM_CLIENT_BYTES);
	munmap(raw->ram, RAW_BYTES);
	if (raw->pages)
		munmap((void *)(uintptr_t)raw->pages, SHM_SERVER_BYTES);
	if (raw->sock >= 0)
		close(raw->sock);
}

/* ------------------------------------------------------------ the write ring */

void raw_entry(struct raw *raw, uint32_t at, uint32_t seq, uint32_t word, uint64_t value)
{
	struct shm_write *entry = &raw->driver->ring[at % SHM_RING];

	fph_st32(&entry->seq, seq);
	fph_st32(&entry->offset, word);
	fph_st64(&entry->value, value);
}

void raw_prod(struct raw *raw, uint32_t prod)
{
	fph_full_barrier();
	fph_st32(&raw->driver->prod, prod);
}

void raw_write(struct raw *raw, uint32_t offset, unsigned width, uint64_t value)
{
	uint32_t prod = fph_ld32(&raw->driver->prod);

	raw_entry(raw, prod, prod, SHM_WRITE_WORD(offset, width), value);
	raw_prod(raw, prod + 1);
}

void raw_kick(struct raw *raw)
{
	cr_assert_eq(eventfd_write(raw->fds[SHM_FD_CTL_KICK], 1), 0);
}

bool raw_acked(struct raw *raw, uint32_t upto)
{
	for (unsigned i = 0; i < 10000; i++) {
		if (fph_ld32(&raw_banks(raw)->ack_seq) == upto)
			return true;
		usleep(500);
	}
	return false;
}

uint32_t raw_register(const struct raw *raw, uint32_t offset)
{
	return fph_ld32(raw->pages + offset);
}

const struct shm_banks *raw_banks(const struct raw *raw)
{
	return (const struct shm_banks *)(const void *)(raw->pages + SHM_PAGE);
}
