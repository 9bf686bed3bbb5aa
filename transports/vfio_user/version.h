/* SPDX-License-Identifier: MIT */
#ifndef FPH_VFIO_USER_VERSION_H
#define FPH_VFIO_USER_VERSION_H

#include <stddef.h>
#include <stdint.h>

/* What one end told in the version message; by default what a silent end means. */
struct fph_vfio_limits {
	uint32_t max_msg_fds;
	uint64_t max_data_xfer_size;
	uint64_t max_dma_maps;
};
#define FPH_VFIO_LIMITS_INIT                                                               \
	{                                                                                  \
		.max_msg_fds = 1, .max_data_xfer_size = 1024 * 1024, .max_dma_maps = 65535 \
	}

/*
 * Read the JSON of a version message: len bytes with their NUL; none (len 0) is allowed.
 * What is not told stays in *limits as it is; unknown keys are left alone.
 * Returns 0; -EINVAL or -ENOMEM, and in *why words for it.
 */
int fph_vfio_version_parse(const void *json, size_t len, struct fph_vfio_limits *limits,
			   const char **why);

/*
 * Our own, with its NUL.  A server's must not be longer than the client's request: QEMU
 * reads no more.  Returns its length, 0 if size does not do.
 */
size_t fph_vfio_version_print(char *text, size_t size);

#endif
