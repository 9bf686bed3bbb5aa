/* SPDX-License-Identifier: MIT */
#ifndef FPH_TESTS_QEMU11_TALK_H
#define FPH_TESTS_QEMU11_TALK_H

#include <fph/loop.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Lines from a descriptor of a loop: QEMU must be served while its answer is waited for, so
 * nothing here waits.
 */
struct lines {
	struct fph_loop *loop;
	int fd; /* -1: none, or at its end */
	void (*line)(void *ctx, char *line);
	void *ctx;
	size_t have;
	char text[16384];
};

/* fd is borrowed, and must not block.  Returns as fph_loop_add(). */
int lines_open(struct lines *lines, struct fph_loop *loop, int fd,
	       void (*line)(void *ctx, char *line), void *ctx);
/* Before the descriptor is closed.  May be called twice. */
void lines_close(struct lines *lines);

/* Returns 0 or -EIO (it does not take it, or is gone). */
int lines_send(struct lines *lines, const char *text);

#endif
