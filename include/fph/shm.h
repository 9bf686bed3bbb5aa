/* SPDX-License-Identifier: MIT */
#ifndef FPH_SHM_H
#define FPH_SHM_H

#include <fph/device.h>
#include <fph/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * libfph-io, Linux only: virtio-mmio between two processes, without traps.  The
 * registers stand in shared memory, readable as virtio-mmio version 2; every page has one
 * writer.  Memory, doorbells and interrupts are memfds and eventfds that pass through a
 * Unix socket, whose end is the end of the other process.  transports/README.md draws it.
 *
 * The server is the device end (a VMM), the client the driver end (an agent).  Guest
 * memory is the client's.  Each may die at any moment and come back.
 */

/* ------------------------------------------------------------ server: device end */

struct fph_shm_server;

struct fph_shm_server_opts {
	size_t size; /* sizeof(struct fph_shm_server_opts) */

	struct fph_loop *loop; /* borrowed, outlives the server; required */
	/*
	 * Where to listen: a path, at most 107 bytes.  A socket left behind by a dead
	 * process is replaced; anything else at the path is -EADDRINUSE.  It is
	 * removed at close.  Borrowed for the call only.
	 */
	const char *path;

	/*
	 * The device to make.  Its `mem` must be NULL (the client brings it) and
	 * `interrupt` too (the server signals the client's eventfd); its other hooks
	 * are called with its ctx, from inside fph_loop_run().
	 */
	struct fph_device_opts device;

	/*
	 * Optional, called with device.ctx from inside fph_loop_run().
	 * changed: a client came, or reset the device; ranges kept from an earlier poll
	 * are void.  gone: the client left, and why, in words that are valid during the
	 * call; its memory is unmapped after it.  They may use the device, and must not
	 * close the server.
	 */
	void (*changed)(void *ctx);
	void (*gone)(void *ctx, const char *why);
};
#ifdef __cplusplus
#define FPH_SHM_SERVER_OPTS_INIT                                                                   \
	([] {                                                                                      \
		struct fph_shm_server_opts sized_ = {};                                            \
		sized_.size = sizeof(sized_);                                                      \
		sized_.device.size = sizeof(sized_.device);                                        \
		return sized_;                                                                     \
	}())
#else
#define FPH_SHM_SERVER_OPTS_INIT                                                                   \
	{ .size = sizeof(struct fph_shm_server_opts), .device = FPH_DEVICE_OPTS_INIT }
#endif

/*
 * Listen.  Returns 0 and a server to be closed; -EINVAL, -E2BIG (options);
 * -EADDRINUSE (also for a moment after a server that used io_uring was killed),
 * -ENAMETOOLONG, -ENOMEM, -EACCES and other errors of the system.
 */
int fph_shm_server_open(struct fph_shm_server **server, const struct fph_shm_server_opts *opts);
/*
 * Drop the client (without a call of `gone`), release everything, remove the socket.
 * Not from a hook or a callback of the loop.  NULL is allowed.
 */
void fph_shm_server_close(struct fph_shm_server *server);

/* The device, valid until close.  Use it from the loop's thread. */
struct fph_device *fph_shm_server_device(struct fph_shm_server *server);
/* Is a client attached? */
bool fph_shm_server_connected(const struct fph_shm_server *server);
/* Guest memory as mapped now, empty without a client; valid until the loop runs again. */
const struct fph_mem *fph_shm_server_mem(const struct fph_shm_server *server);
/*
 * The file behind a region of that map, and where the region starts in it.  Borrowed
 * like the map.  Returns 0 or -EINVAL (no such region).
 */
int fph_shm_server_region_file(const struct fph_shm_server *server, uint32_t region, int *fd,
			       uint64_t *offset);

/* ------------------------------------------------------------ client: driver end */

struct fph_shm_client;

/* A piece of guest memory to show to the device. */
struct fph_shm_region {
	uint64_t gpa;
	uint64_t len;
	/*
	 * A memfd, sealed against shrinking (F_SEAL_SHRINK) and not against writing, not of
	 * huge pages; borrowed for the call only.
	 */
	int fd;
	uint64_t offset; /* in the file; agrees with gpa modulo the page size */
};

#define FPH_SHM_REGIONS_MAX 16u

struct fph_shm_client_opts {
	size_t size; /* sizeof(struct fph_shm_client_opts) */

	struct fph_loop *loop; /* borrowed, outlives the client; required */
	const char *path;      /* where the server listens; copied */
	const struct fph_shm_region *regions; /* disjoint; descriptors are duplicated */
	uint32_t region_count; /* 1 to FPH_SHM_REGIONS_MAX */

	/*
	 * Optional, called with ctx from inside fph_loop_run().  interrupt: call
	 * fph_guest_step() soon, until which no further call may come.  gone: the server
	 * left and touches the memory no more, and why; not if you connected or
	 * disconnected before.  They may use the bus, and must not close the client or
	 * connect it.
	 */
	void (*interrupt)(void *ctx);
	void (*gone)(void *ctx, const char *why);
	void *ctx;

	uint32_t timeout_ms; /* bound of each wait for the server; 0 means 1,000 */
};
#define FPH_SHM_CLIENT_OPTS_INIT FPH_SIZED_INIT(struct fph_shm_client_opts)

/*
 * Make a client; nothing is sent yet.  Returns 0 and a client to be closed, -EINVAL,
 * -E2BIG, -ENAMETOOLONG, -ENOMEM or -EMFILE; -EPERM (a region's file lacks the seal, or
 * has the wrong one), -EBADF.
 */
int fph_shm_client_open(struct fph_shm_client **client, const struct fph_shm_client_opts *opts);
/* Disconnect and release everything.  Not from a hook or a callback.  NULL is allowed. */
void fph_shm_client_close(struct fph_shm_client *client);

/*
 * Attach to the server, waiting at most timeout_ms for it, and as long for the one before
 * to let go of the memory.  To be called again when the server went away, with the ranges
 * of the life before reclaimed.
 * Returns 0 (also when connected already); -ENOENT, -ECONNREFUSED (nobody listens: try
 * again later); -EBUSY (the server has another client, or the one before has not let
 * go); -ETIMEDOUT; -ECONNRESET (it went away meanwhile); -EPROTO (it does not speak this
 * protocol, or refused; see fph_shm_client_why()); or another errno.
 */
int fph_shm_client_connect(struct fph_shm_client *client);
/* Reset the guest end first, or after it; see the bus for when the pages come back. */
void fph_shm_client_disconnect(struct fph_shm_client *client);
bool fph_shm_client_connected(const struct fph_shm_client *client);
/* Why the last connection failed or ended, in words; "" if it did not.  Valid until close. */
const char *fph_shm_client_why(const struct fph_shm_client *client);

/*
 * The bus for fph_guest_opts.bus, the same over all connections: fph/mmio.h's driver, with
 * its answers, over the shared registers.  Verbs that must see an effect wait for the
 * server, at most timeout_ms, and else the connection is over (-ETIMEDOUT, then -EIO).
 *
 * Without a connection all verbs return -EIO, but a reset completes: when the server's end
 * is closed, which a server does last, after it let go of the memory (or is dead).  Until
 * then fph_guest_reset() says -EAGAIN; then it gives every range back.
 */
struct fph_bus fph_shm_client_bus(struct fph_shm_client *client);

#ifdef __cplusplus
}
#endif
#endif
