/* SPDX-License-Identifier: MIT */
#include "map.h"
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

bool fph_span_wraps(uint64_t start, uint64_t size)
{
	return size - 1 > UINT64_MAX - start;
}

bool fph_spans_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b ? b - a < a_size : a - b < b_size;
}

int fph_file_check(int fd, uint64_t offset, uint64_t size, struct stat *st)
{
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))
		return -EINVAL;
	if (size > (uint64_t)st->st_size || offset > (uint64_t)st->st_size - size)
		return -ENXIO;
	return 0;
}

/* Huge pages are mapped at multiples of their size, which is what st_blksize tells of them. */
static uint64_t map_unit(const struct stat *st)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t unit = st->st_blksize > 0 ? (uint64_t)st->st_blksize : 0;

	return unit > page && (unit & (unit - 1)) == 0 ? unit : page;
}

int fph_file_map(int fd, const struct stat *st, uint64_t offset, uint64_t size,
		 struct fph_map *map, void **begin)
{
	uint64_t unit = map_unit(st), lead = offset % unit;
	uint64_t len = (lead + size + unit - 1) / unit * unit;

	if (len != (size_t)len)
		return -ENOMEM;
	map->len = (size_t)len;
	map->at = mmap(NULL, map->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       (off_t)(offset - lead));
	if (map->at == MAP_FAILED)
		return -errno;
	*begin = (unsigned char *)map->at + lead;
	return 0;
}
