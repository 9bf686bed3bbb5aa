/* SPDX-License-Identifier: MIT */
#ifndef FPH_UNIX_MAP_H
#define FPH_UNIX_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* A part of a file in memory: the whole pages around it. */
struct fph_map {
	void *at;
	size_t len;
};

/* Do `size` bytes (not 0) from `start` on run past 2^64? */
bool fph_span_wraps(uint64_t start, uint64_t size);
/* Have two such spans a byte in common? */
bool fph_spans_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size);

/*
 * Is this a regular file that holds `size` bytes at `offset`?  Returns 0 with *st
 * filled, -EINVAL (no regular file), or -ENXIO (it ends before).
 */
int fph_file_check(int fd, uint64_t offset, uint64_t size, struct stat *st);
/*
 * Map that part of a file that was checked, shared and writable.  Returns 0 and where it
 * begins, or a negative errno.
 */
int fph_file_map(int fd, const struct stat *st, uint64_t offset, uint64_t size,
		 struct fph_map *map, void **begin);

#endif
