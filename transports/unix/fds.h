/* SPDX-License-Identifier: MIT */
#ifndef FPH_UNIX_FDS_H
#define FPH_UNIX_FDS_H

#include <sys/socket.h>

#define FPH_FDS_MAX 32u

/* Descriptors that came with a message; whoever keeps one puts -1 in its place. */
struct fph_fds {
	int fd[FPH_FDS_MAX];
	unsigned count;
};

/* Room for them, as recvmsg() wants it. */
#define FPH_FDS_CONTROL CMSG_SPACE(sizeof(int) * FPH_FDS_MAX)

/*
 * Add what recvmsg() brought.  From here on each descriptor is in *fds or closed.
 * Returns 0, or -E2BIG (there were more than can be taken).
 */
int fph_fds_take(struct fph_fds *fds, struct msghdr *in);
/* Close those that nobody kept. */
void fph_fds_close(struct fph_fds *fds);

#endif
