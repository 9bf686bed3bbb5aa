/* SPDX-License-Identifier: MIT */
#include "qemu11_talk.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* One read a call: the loop comes again.  A line that is too long is cut. */
static void readable(void *ctx)
{
	struct lines *lines = ctx;
	char *at = lines->text, *end;
	ssize_t n = recv(lines->fd, lines->text + lines->have,
			 sizeof(lines->text) - 1 - lines->have, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lines_close(lines);
		return;
	}
	lines->have += (size_t)n;
	lines->text[lines->have] = 0;
	while ((end = memchr(at, '\n', lines->have - (size_t)(at - lines->text)))) {
		*end = 0;
		lines->line(lines->ctx, at);
		at = end + 1;
	}
	lines->have -= (size_t)(at - lines->text);
	memmove(lines->text, at, lines->have);
	if (lines->have == sizeof(lines->text) - 1)
		lines->have = 0;
}

int lines_open(struct lines *lines, struct fph_loop *loop, int fd,
	       void (*line)(void *ctx, char *line), void *ctx)
{
	lines->loop = loop;
	lines->fd = fd;
	lines->line = line;
	lines->ctx = ctx;
	lines->have = 0;
	return fph_loop_add(loop, fd, readable, lines);
}

void lines_close(struct lines *lines)
{
	if (lines->fd >= 0)
		fph_loop_remove(lines->loop, lines->fd);
	lines->fd = -1;
}

int lines_send(struct lines *lines, const char *text)
{
	ssize_t len = (ssize_t)strlen(text);

	if (lines->fd < 0)
		return -EIO;
	return send(lines->fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) == len ? 0 : -EIO;
}
