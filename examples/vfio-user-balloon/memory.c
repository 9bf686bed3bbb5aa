/* SPDX-License-Identifier: MIT */
#include "balloon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REGIONS_MAX 4096u
#define BYTES_MAX   (UINT64_C(1) << 44)

/* One region's part of the file; false if it has none. */
static bool part(const struct fph_vfio_user_server *server, uint32_t region, int *fd,
		 struct fph_range *part)
{
	const struct fph_mem *mem = fph_vfio_user_server_mem(server);

	part->len = mem->regions[region].len;
	return fph_vfio_user_server_region_file(server, region, fd, &part->gpa) == 0;
}

static bool overlap(struct fph_range a, struct fph_range b)
{
	return a.gpa < b.gpa + b.len && b.gpa < a.gpa + a.len;
}

/*
 * A part of the file that the guest sees at two addresses would be left out because it
 * is free at one of them.
 */
static bool seen_twice(const struct fph_vfio_user_server *server)
{
	const struct fph_mem *mem = fph_vfio_user_server_mem(server);

	for (uint32_t i = 0; i < mem->count; i++) {
		struct fph_range one, other;
		int fd;

		if (!part(server, i, &fd, &one))
			continue;
		for (uint32_t k = i + 1; k < mem->count; k++)
			if (part(server, k, &fd, &other) && overlap(one, other))
				return true;
	}
	return false;
}

/* A duplicate of the file, if all regions that have one have the same. */
static int find(const struct fph_vfio_user_server *server, struct stat *found, const char **why)
{
	const struct fph_mem *mem = fph_vfio_user_server_mem(server);
	struct fph_range place;
	int fd, first = -1;

	if (mem->count > REGIONS_MAX) {
		*why = "its memory is in too many pieces";
		return -E2BIG;
	}
	for (uint32_t i = 0; i < mem->count; i++) {
		struct stat stat;

		if (!part(server, i, &fd, &place))
			continue;
		if (fstat(fd, &stat) || !S_ISREG(stat.st_mode)) {
			*why = "its memory is in no regular file";
			return -EBADF;
		}
		if (first < 0) {
			first = fd;
			*found = stat;
		} else if (stat.st_dev != found->st_dev || stat.st_ino != found->st_ino) {
			*why = "its memory is in several files: give it one memory backend";
			return -EOPNOTSUPP;
		}
	}
	if (first < 0) {
		*why = "its memory is not shared: give its memory backend share=on";
		return -ENOENT;
	}
	fd = fcntl(first, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		*why = "too many open files";
	return fd < 0 ? -errno : fd;
}

int memory_open(struct memory *memory, const struct fph_vfio_user_server *server, const char **why)
{
	struct stat stat;
	uint64_t size;
	int fd = find(server, &stat, why);

	*memory = (struct memory){ .fd = -1 };
	if (fd < 0)
		return fd;
	size = (uint64_t)stat.st_size;
	*why = NULL;
	if (size == 0 || size > BYTES_MAX || size % PAGE)
		*why = "its memory is in a file of an odd size";
	else if (seen_twice(server))
		*why = "it sees a part of its memory twice";
	if (*why) {
		close(fd);
		return -EOPNOTSUPP;
	}
	*memory = (struct memory){ .fd = fd, .pages = size / PAGE };
	return 0;
}

void memory_close(struct memory *memory)
{
	if (memory->fd >= 0)
		close(memory->fd);
	memory->fd = -1;
}

bool memory_place(const struct memory *memory, const struct fph_vfio_user_server *server,
		  struct fph_range range, struct fph_range *place)
{
	const struct fph_mem *mem = fph_vfio_user_server_mem(server);
	struct fph_range piece, file;
	int fd, region = fph_mem_piece(mem, &range, &piece);

	if (region < 0 || range.len || !part(server, (uint32_t)region, &fd, &file))
		return false;
	*place = (struct fph_range){
		file.gpa + (piece.gpa - mem->regions[region].gpa),
		piece.len,
	};
	return place->gpa + place->len <= memory->pages * PAGE;
}
