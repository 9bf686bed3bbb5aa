/* SPDX-License-Identifier: MIT */
#ifndef FPH_VFIO_USER_H
#define FPH_VFIO_USER_H

#include <fph/device.h>
#include <fph/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * libfph-io, Linux only: vfio-user, both ends.  The server is a PCI device, a virtio
 * balloon by fph/pci.h, in a process of its own beside a VMM (QEMU 10.1 and later,
 * cloud-hypervisor), whose guest's stock driver uses it.  The client is the other end,
 * a bus for a driver that runs in this process, over any vfio-user device that is a
 * modern virtio balloon.
 */

/* What went over a connection, or over all of them; both ends. */
struct fph_vfio_user_stats {
	uint64_t size;	   /* sizeof(struct fph_vfio_user_stats), set by the caller */
	uint64_t requests; /* that wait for a reply: round trips of the client */
	uint64_t posted;   /* that wait for none */
	uint64_t refused;  /* answered by an error */
	uint64_t config;   /* accesses to the configuration space */
	uint64_t bar;	   /* accesses to the BARs */
	uint64_t maps;
	uint64_t unmaps;
	uint64_t dma_reads; /* memory access by message: round trips of the server */
	uint64_t dma_writes;
	uint64_t interrupts; /* eventfds signalled */
};
#define FPH_VFIO_USER_STATS_INIT FPH_SIZED_INIT(struct fph_vfio_user_stats)

/* ------------------------------------------------------------ server: device end */

struct fph_vfio_user_server;

struct fph_vfio_user_server_opts {
	size_t size; /* sizeof(struct fph_vfio_user_server_opts) */

	struct fph_loop *loop; /* borrowed, outlives the server; required */
	/*
	 * Where to listen: a path, at most 107 bytes.  A socket left behind by a dead
	 * process is replaced; anything else at the path is -EADDRINUSE.  It is removed at
	 * close.  Borrowed for the call only.  NULL: clients come by _adopt() only.
	 */
	const char *path;

	/*
	 * The device to make.  Its `mem` must be NULL (the client brings it) and
	 * `interrupt` too; its other hooks are called with its ctx, from inside
	 * fph_loop_run().
	 */
	struct fph_device_opts device;

	/*
	 * Optional, called with device.ctx from inside fph_loop_run().
	 * changed: the memory map or the driver's state is not what it was; ranges kept
	 * from an earlier poll are void.  gone: the client left, and why; all its memory is
	 * unmapped after it.  trouble: something that a person has to mend, said once for
	 * each client and kind (guest memory is not shared, ...).  Words are valid during
	 * the call.  They may use the device, and must not close the server.
	 */
	void (*changed)(void *ctx);
	void (*gone)(void *ctx, const char *why);
	void (*trouble)(void *ctx, const char *what);

	uint32_t flags; /* FPH_VFIO_USER_* */
};
#ifdef __cplusplus
#define FPH_VFIO_USER_SERVER_OPTS_INIT                        \
	([] {                                                 \
		struct fph_vfio_user_server_opts sized_ = {}; \
		sized_.size = sizeof(sized_);                 \
		sized_.device.size = sizeof(sized_.device);   \
		return sized_;                                \
	}())
#else
#define FPH_VFIO_USER_SERVER_OPTS_INIT                                                           \
	{                                                                                        \
		.size = sizeof(struct fph_vfio_user_server_opts), .device = FPH_DEVICE_OPTS_INIT \
	}
#endif

#define FPH_VFIO_USER_NO_MSIX 0x1u /* no MSI-X; of both ends */
#define FPH_VFIO_USER_NO_INTX 0x2u /* no INTx; of both ends */
/* Server: rings in memory without a descriptor are refused, not reached by messages. */
#define FPH_VFIO_USER_NO_MESSAGE_DMA 0x4u
/*
 * Server: as FPH_VHOST_USER_SEALED: memory that is not sealed against shrinking is
 * treated as if it came without a descriptor.
 */
#define FPH_VFIO_USER_SEALED 0x8u
/* Client: register writes are posted: they wait for no reply. */
#define FPH_VFIO_USER_POSTED 0x10u

/*
 * Listen.  Returns 0 and a server to be closed; -EINVAL, -E2BIG (options);
 * -EADDRINUSE, -ENAMETOOLONG, -ENOMEM, -EACCES and other errors of the system.
 */
int fph_vfio_user_server_open(struct fph_vfio_user_server **server,
			      const struct fph_vfio_user_server_opts *opts);
/*
 * Drop the client (without a call of `gone`), release everything, remove the socket.
 * Not from a hook or a callback of the loop.  NULL is allowed.
 */
void fph_vfio_user_server_close(struct fph_vfio_user_server *server);
/*
 * Serve a client over a connected stream socket, as if it had come to the path.  The
 * server owns fd if it returns 0; else -EBUSY (there is a client), -EINVAL, -ENOMEM.
 */
int fph_vfio_user_server_adopt(struct fph_vfio_user_server *server, int fd);

/* The device, valid until close.  Use it from the loop's thread. */
struct fph_device *fph_vfio_user_server_device(struct fph_vfio_user_server *server);
/* Is a client connected? */
bool fph_vfio_user_server_connected(const struct fph_vfio_user_server *server);
/*
 * Guest memory as it is now, with hva NULL where the client gave no descriptor, and
 * FPH_REGION_READONLY where it allows no writes; valid until the loop runs again.
 */
const struct fph_mem *fph_vfio_user_server_mem(const struct fph_vfio_user_server *server);
/*
 * The file behind a region of that map, and where the region starts in it.  Borrowed
 * like the map.  Returns 0, -ENOENT (it came without one) or -EINVAL (no such region).
 */
int fph_vfio_user_server_region_file(const struct fph_vfio_user_server *server, uint32_t region,
				     int *fd, uint64_t *offset);
/* Copy the counters, since open.  Returns 0 or -EINVAL (a size that no header ever had). */
int fph_vfio_user_server_stats(const struct fph_vfio_user_server *server,
			       struct fph_vfio_user_stats *stats);

/* ------------------------------------------------------------ client: driver end */

struct fph_vfio_user_client;

/* A piece of guest memory to show to the device. */
struct fph_vfio_user_region {
	uint64_t gpa; /* a multiple of the page size, as len and offset */
	uint64_t len;
	void *hva;	 /* where it is here: for a device that asks by messages */
	int fd;		 /* its file, duplicated; -1: the device has to ask by messages */
	uint64_t offset; /* in the file */
};

#define FPH_VFIO_USER_REGIONS_MAX 64u

struct fph_vfio_user_client_opts {
	size_t size; /* sizeof(struct fph_vfio_user_client_opts) */

	struct fph_loop *loop; /* borrowed, outlives the client; required */
	const char *path;      /* where the server listens; copied.  NULL: see _adopt() */
	const struct fph_vfio_user_region *regions; /* disjoint; copied */
	uint32_t region_count;			    /* 1 to FPH_VFIO_USER_REGIONS_MAX */

	/*
	 * Optional, called with ctx from inside fph_loop_run().  interrupt: call
	 * fph_guest_step() soon.  gone: the server left, and why; not if you connected or
	 * disconnected before.  They may use the bus, and must not close the client or
	 * connect it.
	 */
	void (*interrupt)(void *ctx);
	void (*gone)(void *ctx, const char *why);
	void *ctx;

	uint32_t timeout_ms; /* bound of each wait for the server; 0 means 5,000 */
	uint32_t flags;	     /* FPH_VFIO_USER_*; without both kinds of interrupt: poll */
};
#define FPH_VFIO_USER_CLIENT_OPTS_INIT FPH_SIZED_INIT(struct fph_vfio_user_client_opts)

/*
 * Make a client; nothing is sent yet.  Returns 0 and a client to be closed, -EINVAL,
 * -E2BIG, -ENAMETOOLONG, -ENOMEM, -EMFILE or -EBADF.
 */
int fph_vfio_user_client_open(struct fph_vfio_user_client **client,
			      const struct fph_vfio_user_client_opts *opts);
/* Disconnect and release everything.  Not from a hook or a callback.  NULL is allowed. */
void fph_vfio_user_client_close(struct fph_vfio_user_client *client);

/*
 * Connect, agree on a version, show it the memory, find the balloon, hand over eventfds.
 * To be called again when the server went away, with the ranges of the life before
 * reclaimed.  Returns 0 (also when connected already); -ENOENT, -ECONNREFUSED (nobody
 * listens: try again later); -ETIMEDOUT; -ECONNRESET (it went away meanwhile); -ENODEV
 * (the device is no modern virtio balloon); -EPROTO (it does not speak this protocol, or
 * refused: see _why()); or another errno.
 */
int fph_vfio_user_client_connect(struct fph_vfio_user_client *client);
/* The same over a connected stream socket, which the client owns from here on. */
int fph_vfio_user_client_adopt(struct fph_vfio_user_client *client, int fd);
/* Reset the guest end first, or after it; see the bus for when the pages come back. */
void fph_vfio_user_client_disconnect(struct fph_vfio_user_client *client);
bool fph_vfio_user_client_connected(const struct fph_vfio_user_client *client);
/* Why the last connection failed or ended, in words; "" if it did not.  Valid until close. */
const char *fph_vfio_user_client_why(const struct fph_vfio_user_client *client);
/* Copy the counters, since open.  Returns 0 or -EINVAL. */
int fph_vfio_user_client_stats(const struct fph_vfio_user_client *client,
			       struct fph_vfio_user_stats *stats);
/*
 * Reset the PCI function (DEVICE_RESET), which may take what a reset by the bus does not
 * clear.  The guest end must be reset too.  Returns 0 or a negative errno.
 */
int fph_vfio_user_client_reset(struct fph_vfio_user_client *client);

/*
 * The bus for fph_guest_opts.bus, the same over all connections: fph/pci.h's driver, with
 * its answers, over register accesses by message.  A verb waits for the server at most
 * timeout_ms an access, and else the connection is over (-ETIMEDOUT, then -EIO).
 *
 * Without a connection all verbs return -EIO, but a reset completes once the server's end
 * is closed; until then fph_guest_reset() says -EAGAIN.
 */
struct fph_bus fph_vfio_user_client_bus(struct fph_vfio_user_client *client);

#ifdef __cplusplus
}
#endif
#endif
