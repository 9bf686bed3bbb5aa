/* SPDX-License-Identifier: MIT */
#include "bell.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

int fph_fd_kind(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -1 : (int)(st.st_mode & S_IFMT);
}

/*
 * The flag is set anew each time, since it is shared with the other process, which may
 * have cleared it.  One that clears it *and* fills the counter between these two calls
 * still stalls us: the kernel has no write to an eventfd that is told not to wait.
 */
void fph_bell_ring(int fd)
{
	const uint64_t one = 1;
	ssize_t n;

	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return;
	n = write(fd, &one, sizeof(one));
	(void)n;
}

int fph_bell_take(int fd)
{
	uint64_t count;
	struct iovec iov = { &count, sizeof(count) };
	ssize_t n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (n > 0)
		return 1;
	if (n == 0)
		return -EPIPE;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}
