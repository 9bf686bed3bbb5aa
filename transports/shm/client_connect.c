/* SPDX-License-Identifier: MIT */
#include "client.h"
#include "page.h"
#include "unix/fds.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* ------------------------------------------------------------ what we bring */

static int make_bell(int *fd)
{
	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return *fd < 0 ? -errno : 0;
}

/* Returns the descriptor of our page. */
static int make_shared(struct fph_shm_client *c)
{
	void *page = NULL;
	int rc = make_bell(&c->ctl_kick);

	if (rc == 0)
		rc = make_bell(&c->ctl_ack);
	if (rc == 0)
		rc = make_bell(&c->irq);
	for (unsigned q = 0; q < FPH_QUEUE_COUNT && rc == 0; q++)
		rc = make_bell(&c->kick[q]);
	if (rc == 0)
		rc = fph_shm_page_make("fph-shm-client", SHM_CLIENT_BYTES, &page);
	if (rc < 0)
		return fph_shm_client_because(c, rc, "no descriptors or memory to attach with: %s",
					      strerror(-rc));
	c->driver = page;
	return rc;
}

/* ------------------------------------------------------------ the socket */

static int reach(struct fph_shm_client *c)
{
	/* The one call that cannot be told not to wait, if the server's queue is full. */
	const struct timeval limit = { c->opts.timeout_ms / 1000,
				       c->opts.timeout_ms % 1000 * 1000 };
	int rc = 0;

	c->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (c->sock < 0 ||
	    setsockopt(c->sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		rc = -errno;
	else if (connect(c->sock, (const struct sockaddr *)&c->addr, sizeof(c->addr)) < 0)
		rc = errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (rc < 0)
		return fph_shm_client_because(c, rc, "no server at %s: %s", c->addr.sun_path,
					      strerror(-rc));
	return 0;
}

static unsigned list_fds(const struct fph_shm_client *c, int page, int *fds)
{
	unsigned n = SHM_FD_REGION;

	fds[SHM_FD_DRIVER] = page;
	fds[SHM_FD_CTL_KICK] = c->ctl_kick;
	fds[SHM_FD_CTL_ACK] = c->ctl_ack;
	fds[SHM_FD_IRQ] = c->irq;
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		fds[SHM_FD_KICK + q] = c->kick[q];
	for (uint32_t i = 0; i < c->opts.region_count; i++)
		fds[n++] = c->regions[i].fd;
	return n;
}

static int ask(struct fph_shm_client *c, int page)
{
	struct shm_request request = {
		.magic = SHM_MAGIC,
		.version = SHM_VERSION,
		.queues = FPH_QUEUE_COUNT,
		.regions = c->opts.region_count,
	};
	struct iovec iov = { &request, offsetof(struct shm_request, region) +
				       request.regions * sizeof(struct shm_region) };
	_Alignas(struct cmsghdr) unsigned char control[FPH_FDS_CONTROL] = { 0 };
	int fds[SHM_FD_REGION + FPH_SHM_REGIONS_MAX];
	size_t bytes = list_fds(c, page, fds) * sizeof(int);
	struct msghdr out = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = CMSG_SPACE(bytes) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&out);

	_Static_assert(sizeof(fds) <= sizeof(int) * FPH_FDS_MAX, "room for all descriptors");
	for (uint32_t i = 0; i < request.regions; i++)
		request.region[i] = (struct shm_region){ c->regions[i].gpa, c->regions[i].len,
							 c->regions[i].offset };
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(head), fds, bytes);
	if (sendmsg(c->sock, &out, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return fph_shm_client_because(c, -errno, "the request cannot be sent: %s",
					      strerror(errno));
	return 0;
}

/* ------------------------------------------------------------ the answer */

static int wait_for_answer(struct fph_shm_client *c)
{
	struct pollfd p = { .fd = c->sock, .events = POLLIN };
	int n;

	do
		n = poll(&p, 1, fph_shm_left_ms(c->deadline_ms));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return fph_shm_client_because(c, -ETIMEDOUT, "the server does not answer");
	return n < 0 ? fph_shm_client_because(c, -errno, "poll: %s", strerror(errno)) : 0;
}

static int judge(struct fph_shm_client *c, const struct shm_answer *answer, ssize_t len,
		 const struct fph_fds *fds)
{
	int text = (int)strnlen(answer->text, sizeof(answer->text));

	if (len != (ssize_t)sizeof(*answer) || answer->magic != SHM_MAGIC)
		return fph_shm_client_because(c, -EPROTO, "this is no answer to a request");
	if (answer->status == -EBUSY)
		return fph_shm_client_because(c, -EBUSY, "refused: %.*s", text, answer->text);
	if (answer->status)
		return fph_shm_client_because(c, -EPROTO, "refused: %.*s", text, answer->text);
	if (answer->version != SHM_VERSION)
		return fph_shm_client_because(c, -EPROTO, "the server speaks version %u, not %u",
					      answer->version, SHM_VERSION);
	if (fds->count != 1)
		return fph_shm_client_because(c, -EPROTO, "an answer with %u descriptors",
					      fds->count);
	return 0;
}

static int take_pages(struct fph_shm_client *c, int fd)
{
	const void *pages;
	int rc = fph_shm_page_open(fd, SHM_SERVER_BYTES, &pages);

	if (rc == -EINVAL || rc == -EPERM)
		return fph_shm_client_because(c, -EPROTO, "the server's pages are not %u sealed "
					      "bytes", SHM_SERVER_BYTES);
	if (rc < 0)
		return fph_shm_client_because(c, rc, "the server's pages cannot be mapped: %s",
					      strerror(-rc));
	c->pages = pages;
	return 0;
}

static int take_answer(struct fph_shm_client *c)
{
	struct shm_answer answer;
	struct fph_fds fds = { .count = 0 };
	struct iovec iov = { &answer, sizeof(answer) };
	_Alignas(struct cmsghdr) unsigned char control[FPH_FDS_CONTROL];
	struct msghdr in = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			     .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(c->sock, &in, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int rc;

	if (n < 0)
		return fph_shm_client_because(c, -errno, "no answer: %s", strerror(errno));
	if (n == 0)
		return fph_shm_client_because(c, -ECONNRESET, "the server hung up without an "
					      "answer");
	if (fph_fds_take(&fds, &in) < 0 || (in.msg_flags & MSG_TRUNC))
		n = 0; /* a length that no answer has */
	rc = judge(c, &answer, n, &fds);
	if (rc == 0)
		rc = take_pages(c, fds.fd[0]);
	fph_fds_close(&fds);
	return rc;
}

int fph_shm_client_attach(struct fph_shm_client *c)
{
	int page = make_shared(c), rc = page < 0 ? page : reach(c);

	if (rc == 0)
		rc = ask(c, page);
	if (page >= 0)
		close(page);
	if (rc == 0)
		rc = wait_for_answer(c);
	if (rc == 0)
		rc = take_answer(c);
	if (rc == 0 && fph_shm_client_probe(c) < 0)
		rc = fph_shm_client_because(c, -EPROTO, "the server's pages are not the registers "
					    "of a balloon");
	return rc;
}
