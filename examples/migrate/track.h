/* SPDX-License-Identifier: MIT */
#ifndef MIGRATE_TRACK_H
#define MIGRATE_TRACK_H

#include <fph/bitmap.h>
#include <fph/mem.h>

/*
 * Which pages of guest memory were written?  Two answers:
 *
 * tracked	the kernel write-protects and records (userfaultfd in asynchronous
 *		write-protect mode, read by PAGEMAP_SCAN; Linux 6.7).  Sees writes
 *		made through this process's mappings only.
 * compared	a page is dirty when it differs from a private copy taken at the
 *		sync before.  Works for memory that others write, at the price of a
 *		copy and of reading everything at each sync; blind to a write that
 *		leaves the content as it was.
 */
struct track {
	const struct fph_mem *mem;
	unsigned char *copy; /* compared: region after region; else NULL */
	size_t len;	     /* of all regions */
	int uffd;	     /* tracked; else -1 */
	int pagemap;
};

/*
 * Take tracking where the kernel has it, unless `compare`; comparison otherwise.
 * mem is borrowed until close.  Returns 0 or a negative errno (-ENOMEM).
 */
int track_open(struct track *track, const struct fph_mem *mem, bool compare);
void track_close(struct track *track);

/* One phrase for the report. */
const char *track_how(const struct track *track);

/* begin, sync and page of struct guest_ops. */
int64_t track_begin(struct track *track, struct fph_bitmap *dirty);
int64_t track_sync(struct track *track, struct fph_bitmap *dirty);
const void *track_page(const struct track *track, uint64_t gpa);

#endif
