/* SPDX-License-Identifier: MIT */
#include "link.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

int link_open(struct link *link, uint64_t (*check)(const void *, uint64_t, uint64_t *))
{
	pid_t parent = getpid();
	int fd[2];

	link->copy_fd = memfd_create("fph-destination", MFD_CLOEXEC);
	if (link->copy_fd < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd)) {
		close(link->copy_fd);
		return -errno;
	}
	link->pid = fork();
	if (link->pid == 0) {
		/* Ctrl-C is the source's business: its end of the socket closes. */
		signal(SIGINT, SIG_IGN);
		signal(SIGTERM, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fd[0]);
		if (getppid() == parent)
			destination(fd[1], link->copy_fd, check);
		_exit(0);
	}
	close(fd[1]);
	link->fd = fd[0];
	if (link->pid < 0) {
		int err = -errno;

		close(link->fd);
		close(link->copy_fd);
		return err;
	}
	return 0;
}

void link_close(struct link *link)
{
	close(link->fd);
	close(link->copy_fd);
	while (waitpid(link->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int send_all(int fd, struct iovec *iov, size_t n)
{
	while (n > 0) {
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
		ssize_t sent = sendmsg(fd, &msg, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == ECONNRESET ? -EPIPE : -errno;
		while (n > 0 && (size_t)sent >= iov->iov_len) {
			sent -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + sent;
			iov->iov_len -= (size_t)sent;
		}
	}
	return 0;
}

static int send_message(struct link *link, enum link_kind kind, uint64_t gpa, uint32_t pages)
{
	struct link_message message = {kind, pages, gpa};
	struct iovec iov = {&message, sizeof(message)};

	link->bytes += sizeof(message);
	return send_all(link->fd, &iov, 1);
}

static int answer(struct link *link, void *buf, size_t len)
{
	ssize_t got;

	do
		got = recv(link->fd, buf, len, MSG_WAITALL);
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)len ? 0 : -EPIPE;
}

int link_flush(struct link *link)
{
	uint64_t ready;
	int err = send_message(link, LINK_FLUSH, 0, 0);

	return err ? err : answer(link, &ready, sizeof(ready));
}

int link_begin(struct link *link, uint64_t base, uint64_t len)
{
	int err;

	if (len / PAGE > UINT32_MAX)
		return -EFBIG;
	link->base = base;
	link->len = len;
	err = send_message(link, LINK_BEGIN, base, (uint32_t)(len / PAGE));
	if (!err)
		err = link_flush(link);
	link->bytes = 0;
	return err;
}

int link_pages(struct link *link, uint64_t gpa, const void *const *page, unsigned n)
{
	struct link_message message = {LINK_PAGES, n, gpa};
	struct iovec iov[1 + LINK_BATCH];

	iov[0] = (struct iovec){&message, sizeof(message)};
	for (unsigned i = 0; i < n; i++)
		iov[1 + i] = (struct iovec){(void *)(uintptr_t)page[i], PAGE};
	link->bytes += sizeof(message) + (uint64_t)n * PAGE;
	return send_all(link->fd, iov, 1 + n);
}

int link_zero(struct link *link, uint64_t gpa, unsigned n)
{
	return send_message(link, LINK_ZERO, gpa, n);
}

int link_damage(struct link *link, uint64_t gpa)
{
	return send_message(link, LINK_DAMAGE, gpa, 1);
}

int link_verdict(struct link *link, struct link_verdict *verdict)
{
	int err = send_message(link, LINK_VERDICT, 0, 0);

	return err ? err : answer(link, verdict, sizeof(*verdict));
}

const unsigned char *link_map(const struct link *link)
{
	void *map = mmap(NULL, link->len, PROT_READ, MAP_SHARED, link->copy_fd, 0);

	return map == MAP_FAILED ? NULL : map;
}
