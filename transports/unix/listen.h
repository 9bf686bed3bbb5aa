/* SPDX-License-Identifier: MIT */
#ifndef FPH_UNIX_LISTEN_H
#define FPH_UNIX_LISTEN_H

#include <sys/types.h>
#include <sys/un.h>

/* A listening Unix socket at a path.  Zeroed is not closed: open it first. */
struct fph_listener {
	int fd;
	int spare; /* given up to take in and drop a client when descriptors run out */
	struct sockaddr_un addr;
	dev_t path_dev; /* what is at the path is removed only if it is ours */
	ino_t path_ino;
};

/* Is the path one that an address has room for?  Returns 0, -EINVAL or -ENAMETOOLONG. */
int fph_listener_check(const char *path);
/*
 * Listen at a path that was checked; type is SOCK_STREAM or SOCK_SEQPACKET.  A socket
 * that a dead process left there is replaced.  Returns 0, -EADDRINUSE or another errno;
 * to be closed either way.
 */
int fph_listener_open(struct fph_listener *listener, const char *path, int type);
/*
 * Take in a client.  Returns its descriptor (not blocking) or a negative errno.  When
 * descriptors run out the client is sent away, or the listener stayed readable for ever.
 */
int fph_listener_accept(struct fph_listener *listener);
/* Stop listening and remove the socket, if it is still ours. */
void fph_listener_close(struct fph_listener *listener);

#endif
