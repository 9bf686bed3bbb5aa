/* SPDX-License-Identifier: MIT */
#ifndef FPH_LOOP_H
#define FPH_LOOP_H

#include <fph/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * libfph-io, Linux only: wait for many file descriptors.  io_uring where the
 * kernel permits it, poll(2) where not; chosen at open.  One thread.  Level
 * triggered: a descriptor that stays readable is reported again.
 */
struct fph_loop;

#define FPH_LOOP_POLL 0x1u /* use poll(2) even where io_uring would work */

/* Returns 0 and a loop to be closed, -EINVAL (unknown flag), or -ENOMEM. */
int fph_loop_open(struct fph_loop **loop, unsigned flags);
/*
 * Forget all descriptors (they stay open) and free the loop; not from a callback.
 * NULL is allowed.
 */
void fph_loop_close(struct fph_loop *loop);

/*
 * Call ready(ctx) from fph_loop_run() when fd is readable, at its end, or broken.
 * A callback may add and remove descriptors, its own too.
 * Returns 0, -EEXIST, -ENOMEM, or -EBADF.
 */
int fph_loop_add(struct fph_loop *loop, int fd, void (*ready)(void *ctx), void *ctx);
/* Returns 0 or -ENOENT.  No call for fd is made after it.  Remove before close. */
int fph_loop_remove(struct fph_loop *loop, int fd);

/*
 * Wait up to timeout_ms (-1: for ever; 0: only look), call what is ready, once
 * each.  Returns how many were called (0: time-out, or a signal), -EBUSY (called
 * from a callback), or another errno.
 */
int fph_loop_run(struct fph_loop *loop, int timeout_ms);

/* "io_uring" or "poll". */
const char *fph_loop_kind(const struct fph_loop *loop);

#ifdef __cplusplus
}
#endif
#endif
