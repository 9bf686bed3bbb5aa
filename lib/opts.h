/* SPDX-License-Identifier: MIT */
#ifndef FPH_OPTS_H
#define FPH_OPTS_H

#include "err.h"
#include <fph/types.h>
#include <string.h>

/*
 * Take an options struct that begins with its size, as the kernel's
 * copy_struct_from_user does: shorter is filled up with zeros, longer is taken
 * only if what this library does not know is zero.
 */
static inline int fph_copy_opts(void *to, size_t known, const void *from, size_t given)
{
	const unsigned char *tail = from;

	if (given < sizeof(size_t))
		return -EINVAL;
	for (size_t i = known; i < given; i++)
		if (tail[i])
			return -E2BIG;
	memset(to, 0, known);
	memcpy(to, from, given < known ? given : known);
	return 0;
}

/*
 * Give out counters, all of them uint64_t, the first one the caller's size;
 * less those in `before` if that is given.  `first` is the size in the first release,
 * below which no header ever was.  A newer header's counters are zero.
 */
static inline int fph_copy_stats(void *to, const uint64_t *size, const void *now, size_t known,
				 size_t first, const void *before)
{
	uint64_t *out = to;
	const uint64_t *n = now, *b = before;
	uint64_t words = *size / sizeof(uint64_t);

	if (*size % sizeof(uint64_t) || *size < first || *size > 4096)
		return -EINVAL;
	for (uint64_t i = 1; i < words; i++)
		out[i] = i < known / sizeof(uint64_t) ? n[i] - (b ? b[i] : 0) : 0;
	return 0;
}

#endif
