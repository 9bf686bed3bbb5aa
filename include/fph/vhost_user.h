/* SPDX-License-Identifier: MIT */
#ifndef FPH_VHOST_USER_H
#define FPH_VHOST_USER_H

#include <fph/device.h>
#include <fph/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * libfph-io, Linux only: a vhost-user back end.  A stock front end (user-mode
 * Linux's virtio_uml, QEMU's vhost-user-test-device with virtio-id 5) uses a
 * struct fph_device that lives in this process.  One front end at a time; a
 * second is refused; one that goes away may come back.
 */
struct fph_vhost_user;

struct fph_vhost_user_opts {
	size_t size; /* sizeof(struct fph_vhost_user_opts) */

	struct fph_loop *loop; /* borrowed, outlives the back end; required */
	/*
	 * Where to listen: a path, at most 107 bytes.  A socket left behind by a dead
	 * process is replaced; anything else at the path is -EADDRINUSE.  It is
	 * removed at close.  Borrowed for the call only.
	 */
	const char *path;

	/*
	 * The device to make.  Its `mem` must be NULL (the front end brings it) and
	 * `interrupt` too (the back end signals the front end's eventfds); its
	 * other hooks are called with its ctx, from inside fph_loop_run().
	 */
	struct fph_device_opts device;

	/*
	 * Optional, called with device.ctx from inside fph_loop_run().
	 * changed: the memory map or the driver's state is not what it was; ranges
	 * kept from an earlier poll are void.  gone: the front end left, and why, in
	 * words that are valid during the call; all its memory is unmapped after it.
	 * They may use the device, and must not close the back end.
	 */
	void (*changed)(void *ctx);
	void (*gone)(void *ctx, const char *why);

	uint32_t flags; /* FPH_VHOST_USER_* */
};
#ifdef __cplusplus
#define FPH_VHOST_USER_OPTS_INIT                                                                   \
	([] {                                                                                      \
		struct fph_vhost_user_opts sized_ = {};                                            \
		sized_.size = sizeof(sized_);                                                      \
		sized_.device.size = sizeof(sized_.device);                                        \
		return sized_;                                                                     \
	}())
#else
#define FPH_VHOST_USER_OPTS_INIT                                                                   \
	{ .size = sizeof(struct fph_vhost_user_opts), .device = FPH_DEVICE_OPTS_INIT }
#endif

/*
 * Take only memory that is sealed against shrinking (memfd, F_SEAL_SHRINK).  Without
 * it a front end can cut its file short under the mapping, and touching the lost pages
 * is SIGBUS here: for front ends that are trusted that far, as user-mode Linux, whose
 * memory is a plain file.
 */
#define FPH_VHOST_USER_SEALED 0x1u

/*
 * Listen.  Returns 0 and a back end to be closed; -EINVAL, -E2BIG (options);
 * -EADDRINUSE, -ENAMETOOLONG, -ENOMEM, -EACCES and other errors of the socket.
 */
int fph_vhost_user_open(struct fph_vhost_user **vu, const struct fph_vhost_user_opts *opts);
/*
 * Drop the front end (without a call of `gone`), release everything, remove the
 * socket.  Not from a hook or a callback of the loop.  NULL is allowed.
 */
void fph_vhost_user_close(struct fph_vhost_user *vu);

/* The device, valid until close.  Use it from the loop's thread. */
struct fph_device *fph_vhost_user_device(struct fph_vhost_user *vu);

/* Is a front end connected? */
bool fph_vhost_user_connected(const struct fph_vhost_user *vu);

/* Guest memory as mapped now; valid until the loop runs again. */
const struct fph_mem *fph_vhost_user_mem(const struct fph_vhost_user *vu);

/*
 * The file behind a region of that map, and where the region starts in it: what
 * a discard needs, since only the file's pages are the guest's.  The descriptor is
 * borrowed like the map.  Returns 0 or -EINVAL (no such region).
 */
int fph_vhost_user_region_file(const struct fph_vhost_user *vu, uint32_t region, int *fd,
			       uint64_t *offset);

#ifdef __cplusplus
}
#endif
#endif
