/* SPDX-License-Identifier: MIT */
#include "fds.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

int fph_fds_take(struct fph_fds *fds, struct msghdr *in)
{
	int rc = in->msg_flags & MSG_CTRUNC ? -E2BIG : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(in); c; c = CMSG_NXTHDR(in, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (fds->count < FPH_FDS_MAX) {
				fds->fd[fds->count++] = fd;
			} else {
				close(fd);
				rc = -E2BIG;
			}
		}
	}
	return rc;
}

void fph_fds_close(struct fph_fds *fds)
{
	for (unsigned i = 0; i < fds->count; i++)
		if (fds->fd[i] >= 0)
			close(fds->fd[i]);
	fds->count = 0;
}
