/* SPDX-License-Identifier: MIT */
#include "page.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* FUTURE_WRITE and not WRITE, which cannot be had while a writable mapping exists. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

int fph_shm_page_make(const char *name, size_t bytes, void **map)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *at = MAP_FAILED;
	int rc;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) == 0)
		at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at != MAP_FAILED && fcntl(fd, F_ADD_SEALS, SEALS) == 0) {
		*map = at;
		return fd;
	}
	rc = -errno;
	if (at != MAP_FAILED)
		munmap(at, bytes);
	close(fd);
	return rc;
}

int fph_shm_page_open(int fd, size_t bytes, const void **map)
{
	struct stat st;
	void *at;
	int seals;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != (off_t)bytes)
		return -EINVAL;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return -EINVAL;
	if ((seals & SEALS) != SEALS)
		return -EPERM;
	at = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	*map = at;
	return 0;
}
