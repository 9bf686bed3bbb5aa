/* SPDX-License-Identifier: MIT */
#ifndef FPH_VFIO_USER_STATS_H
#define FPH_VFIO_USER_STATS_H

#include "opts.h"
#include <fph/vfio_user.h>

/* Give out the counters of either end.  Returns 0 or -EINVAL. */
static inline int fph_vfio_copy_stats(struct fph_vfio_user_stats *to,
				      const struct fph_vfio_user_stats *now)
{
	return fph_copy_stats(to, &to->size, now, sizeof(*now),
			      offsetof(struct fph_vfio_user_stats, interrupts) + sizeof(uint64_t),
			      NULL);
}

#endif
