/* SPDX-License-Identifier: MIT */
#include "link.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct copy {
	int fd;
	unsigned char *mem;
	uint64_t base;
	uint64_t len;
	uint64_t received;
};

static bool take(int fd, void *buf, size_t len)
{
	char *at = buf;

	while (len > 0) {
		ssize_t n = recv(fd, at, len, MSG_WAITALL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool give(int fd, const void *buf, size_t len)
{
	return send(fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/*
 * Empty the file by truncation: nothing of the migration before is left in it.  All
 * its pages are allocated here, before the clock runs, for how long that takes
 * depends on what this machine did before and not on the migration.
 */
static bool begin(struct copy *copy, uint64_t base, uint64_t len)
{
	if (copy->mem)
		munmap(copy->mem, copy->len);
	*copy = (struct copy){.fd = copy->fd, .base = base, .len = len};
	if (ftruncate(copy->fd, 0) || ftruncate(copy->fd, (off_t)len))
		return false;
	copy->mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, copy->fd,
			 0);
	return copy->mem != MAP_FAILED;
}

/* The range of a message in the copy, or NULL if it does not lie in it. */
static unsigned char *place(const struct copy *copy, const struct link_message *message)
{
	uint64_t at = message->gpa - copy->base, len = (uint64_t)message->pages * PAGE;

	if (!copy->mem || message->gpa < copy->base || len > copy->len || at > copy->len - len)
		return NULL;
	return copy->mem + at;
}

/*
 * Serve one source until it hangs up or says something wrong; either way this end
 * just goes, which the source sees.
 */
void destination(int fd, int copy_fd, uint64_t (*check)(const void *, uint64_t, uint64_t *))
{
	struct copy copy = {.fd = copy_fd};
	struct link_message message;
	bool ok = true;

	while (ok && take(fd, &message, sizeof(message))) {
		struct link_verdict verdict = {0};
		unsigned char *at = place(&copy, &message);
		size_t len = (size_t)message.pages * PAGE;

		switch ((enum link_kind)message.kind) {
		case LINK_BEGIN:
			ok = begin(&copy, message.gpa, len);
			break;
		case LINK_PAGES:
			ok = at && take(fd, at, len);
			copy.received += message.pages;
			break;
		case LINK_ZERO:
			ok = at != NULL;
			if (ok)
				memset(at, 0, len);
			break;
		case LINK_FLUSH:
			ok = give(fd, &copy.received, sizeof(copy.received));
			break;
		case LINK_DAMAGE:
			ok = at && len == PAGE;
			if (ok)
				at[PAGE / 2] ^= 1;
			break;
		case LINK_VERDICT:
			if (check && copy.mem)
				verdict.bad = check(copy.mem, copy.len, &verdict.checked);
			verdict.received = copy.received;
			ok = give(fd, &verdict, sizeof(verdict));
			break;
		default:
			ok = false;
		}
	}
}
