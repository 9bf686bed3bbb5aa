/* SPDX-License-Identifier: MIT */
#ifndef FPH_SHM_PAGE_H
#define FPH_SHM_PAGE_H

#include <stddef.h>

/*
 * Make zeroed shared memory that only this mapping can ever write: sealed against any
 * change of its size, of its seals, and against writable mappings made later.  Returns a
 * descriptor to be passed on and closed, or a negative errno.
 */
int fph_shm_page_make(const char *name, size_t bytes, void **map);
/*
 * Map the other end's shared memory, to read.  Returns 0; -EINVAL (no memfd, or not of
 * that size), -EPERM (a seal is missing, so it might shrink under us), or another errno.
 */
int fph_shm_page_open(int fd, size_t bytes, const void **map);

#endif
