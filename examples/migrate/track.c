/* SPDX-License-Identifier: MIT */
#include "track.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096u

/* Linux 6.7, include/uapi/linux/userfaultfd.h and fs.h; older headers lack them. */
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN	      _IOWR('f', 16, struct pm_scan_arg)
#define PM_SCAN_WP_MATCHING   (1 << 0)
#define PM_SCAN_CHECK_WPASYNC (1 << 1)
#define PAGE_IS_WRITTEN	      (1 << 1)

struct page_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct pm_scan_arg {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};
#endif

static int write_protect(int uffd, const struct fph_region *region)
{
	struct uffdio_writeprotect wp = {
		.range = {(uintptr_t)region->hva, region->len},
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &wp) ? -errno : 0;
}

/* Set a bit for each written page of one region and protect it again, in one go. */
static int64_t scan(struct track *track, const struct fph_region *region,
		    struct fph_bitmap *dirty)
{
	struct page_region found[256];
	uint64_t at = (uintptr_t)region->hva, end = at + region->len;
	int64_t pages = 0;

	while (at < end) {
		struct pm_scan_arg arg = {
			.size = sizeof(arg),
			.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
			.start = at,
			.end = end,
			.vec = (uintptr_t)found,
			.vec_len = sizeof(found) / sizeof(found[0]),
			.category_mask = PAGE_IS_WRITTEN,
			.return_mask = PAGE_IS_WRITTEN,
		};
		int n = ioctl(track->pagemap, PAGEMAP_SCAN, &arg);

		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++) {
			struct fph_range range = {
				region->gpa + (found[i].start - (uintptr_t)region->hva),
				found[i].end - found[i].start,
			};

			fph_bitmap_set(dirty, range);
			pages += (int64_t)(range.len / PAGE);
		}
		if (arg.walk_end <= at)
			return -EIO;
		at = arg.walk_end;
	}
	return pages;
}

static int open_tracked(struct track *track)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
	};
	struct fph_bitmap nothing = {0};

	/* USER_MODE_ONLY: permitted without privileges; asynchronous mode misses nothing by it.
	 */
	track->uffd = (int)syscall(SYS_userfaultfd,
				   O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	track->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (track->uffd < 0 || track->pagemap < 0 || ioctl(track->uffd, UFFDIO_API, &api))
		return -errno;
	for (uint32_t i = 0; i < track->mem->count; i++) {
		const struct fph_region *region = &track->mem->regions[i];
		struct uffdio_register reg = {
			.range = {(uintptr_t)region->hva, region->len},
			.mode = UFFDIO_REGISTER_MODE_WP,
		};
		int64_t err;

		/* Small pages: a write then costs one page and not 2 MiB of them. */
		madvise(region->hva, region->len, MADV_NOHUGEPAGE);
		if (ioctl(track->uffd, UFFDIO_REGISTER, &reg))
			return -errno;
		err = write_protect(track->uffd, region);
		if (!err) /* does this kernel know PAGEMAP_SCAN? */
			err = scan(track, region, &nothing);
		if (err < 0)
			return (int)err;
	}
	return 0;
}

int track_open(struct track *track, const struct fph_mem *mem, bool compare)
{
	*track = (struct track){.mem = mem, .uffd = -1, .pagemap = -1};
	for (uint32_t i = 0; i < mem->count; i++)
		track->len += mem->regions[i].len;
	if (!compare && !open_tracked(track))
		return 0;
	track_close(track);
	track->copy = mmap(NULL, track->len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (track->copy == MAP_FAILED) {
		track->copy = NULL;
		return -ENOMEM;
	}
	return 0;
}

void track_close(struct track *track)
{
	if (track->uffd >= 0)
		close(track->uffd);
	if (track->pagemap >= 0)
		close(track->pagemap);
	if (track->copy)
		munmap(track->copy, track->len);
	track->uffd = track->pagemap = -1;
	track->copy = NULL;
}

const char *track_how(const struct track *track)
{
	return track->copy ? "comparison with a copy (emulated)"
			   : "write protection by the kernel (userfaultfd, PAGEMAP_SCAN)";
}

static int64_t compare(const unsigned char *live, unsigned char *copy,
		       const struct fph_region *region, struct fph_bitmap *dirty)
{
	int64_t pages = 0;

	for (uint64_t at = 0; at < region->len; at += PAGE) {
		if (!memcmp(live + at, copy + at, PAGE))
			continue;
		memcpy(copy + at, live + at, PAGE);
		fph_bitmap_set(dirty, (struct fph_range){region->gpa + at, PAGE});
		pages++;
	}
	return pages;
}

int64_t track_sync(struct track *track, struct fph_bitmap *dirty)
{
	unsigned char *copy = track->copy;
	int64_t pages = 0;

	for (uint32_t i = 0; i < track->mem->count; i++) {
		const struct fph_region *region = &track->mem->regions[i];
		int64_t n = copy ? compare(region->hva, copy, region, dirty)
				 : scan(track, region, dirty);

		if (n < 0)
			return n;
		if (copy)
			copy += region->len;
		pages += n;
	}
	return pages;
}

int64_t track_begin(struct track *track, struct fph_bitmap *dirty)
{
	unsigned char *copy = track->copy;

	for (uint32_t i = 0; i < track->mem->count; i++) {
		const struct fph_region *region = &track->mem->regions[i];
		int err = 0;

		if (copy) {
			memcpy(copy, region->hva, region->len);
			copy += region->len;
		} else {
			err = write_protect(track->uffd, region);
		}
		if (err)
			return err;
		fph_bitmap_set(dirty, (struct fph_range){region->gpa, region->len});
	}
	return (int64_t)(track->len / PAGE);
}

const void *track_page(const struct track *track, uint64_t gpa)
{
	const unsigned char *copy = track->copy;

	for (uint32_t i = 0; i < track->mem->count; i++) {
		const struct fph_region *region = &track->mem->regions[i];

		if (gpa >= region->gpa && gpa - region->gpa < region->len) {
			if (!copy)
				copy = region->hva;
			return copy + (gpa - region->gpa);
		}
		if (copy)
			copy += region->len;
	}
	return NULL;
}
