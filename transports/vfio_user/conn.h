/* SPDX-License-Identifier: MIT */
#ifndef FPH_VFIO_USER_CONN_H
#define FPH_VFIO_USER_CONN_H

#include "unix/fds.h"
#include "wire.h"
#include <stdbool.h>
#include <stddef.h>

/*
 * Messages on a stream socket, both ends: framing, descriptors, output that waits.
 * Nothing here blocks but fph_vfio_conn_wait().
 */
struct fph_vfio_conn {
	int fd; /* -1: none */

	/* The message that is being read, or was read last. */
	struct vfio_header header; /* read it once it is whole */
	unsigned char *body;	   /* FPH_VFIO_BODY_MAX bytes of room */
	uint32_t len;		   /* bytes of the body, once it is whole */
	struct fph_fds fds;	   /* that came with it; closed by the next read */
	uint32_t have;		   /* bytes of header and body read so far */
	uint64_t skip;		   /* bytes of an impossible message still to be thrown away */

	/* What the socket did not take yet. */
	unsigned char *out;
	size_t out_len;
	size_t out_sent;
};

#define FPH_VFIO_BODY_MAX (VFIO_XFER_MAX + VFIO_OVERHEAD)
#define FPH_VFIO_OUT_MAX  (4u * FPH_VFIO_BODY_MAX) /* waiting output, at most */

/* Zeroed and fd -1 is closed.  Owns fd if it returns 0; else -ENOMEM or an errno of fcntl(). */
int fph_vfio_conn_open(struct fph_vfio_conn *conn, int fd);
void fph_vfio_conn_close(struct fph_vfio_conn *conn);

/*
 * Read on.  Returns 1: a whole message is in header, body, len and fds, until the next
 * read.  0: nothing more to be had now.  -EMSGSIZE: a header with a size that cannot be;
 * it is in `header`, its body is thrown away as it comes: answer it and read on.
 * -ENOTCONN: the end of the stream.  Others: the connection is broken.
 */
int fph_vfio_conn_read(struct fph_vfio_conn *conn);

/*
 * Send one message: header (size is filled in), then body and data (either may be of no
 * length), with fds.  What the socket does not take waits.  Returns 0, -ENOBUFS (too much
 * waits: the peer does not read), -EPIPE or another errno: the connection is broken.
 */
int fph_vfio_conn_send(struct fph_vfio_conn *conn, struct vfio_header header, const void *body,
		       size_t body_len, const void *data, size_t data_len, const int *fds,
		       unsigned fd_count);
/* Does output wait?  Then poll for POLLOUT, and flush. */
bool fph_vfio_conn_waits(const struct fph_vfio_conn *conn);
/* Returns 0 (also if some still waits) or as send. */
int fph_vfio_conn_flush(struct fph_vfio_conn *conn);

/* Block until there is something to read, or room for what waits to be sent (which is
 * flushed), at most timeout_ms.  Returns 1, 0 (time-out, or a signal), or a negative errno. */
int fph_vfio_conn_wait(struct fph_vfio_conn *conn, int timeout_ms);

#endif
