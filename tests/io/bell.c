/* SPDX-License-Identifier: MIT */
#include "bell.h"
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

void bell_count(void *ctx)
{
	struct bell *bell = ctx;
	char bytes[64];

	bell->calls++;
	if (bell->take)
		cr_assert(read(bell->fd, bytes, bell->take) >= 0 || errno == EAGAIN);
}

int bell_make(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	cr_assert(fd >= 0);
	return fd;
}

void bell_ring(int fd)
{
	cr_assert_eq(eventfd_write(fd, 1), 0);
}

struct fph_loop *loop_of_kind(size_t kind)
{
	struct fph_loop *loop;

	cr_assert_eq(fph_loop_open(&loop, kind ? FPH_LOOP_POLL : 0), 0);
	return loop;
}
