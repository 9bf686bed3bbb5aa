/* SPDX-License-Identifier: MIT */
#include "migrate.h"
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int wire_write(int fd, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return errno == EPIPE || errno == ECONNRESET ? -ENOTCONN : -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int wire_read(int fd, void *bytes, size_t len)
{
	unsigned char *at = bytes;

	while (len > 0) {
		ssize_t n = read(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ECONNRESET ? -ENOTCONN : -errno;
		if (n == 0)
			return -ENOTCONN;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}
