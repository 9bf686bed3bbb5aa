/* SPDX-License-Identifier: MIT */
#include "vmm.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

int check_copy(int fd, uint64_t ticket, struct verdict *verdict)
{
	uint64_t live = 0, versions = 0;
	const struct header *header;
	struct layout layout;
	const char *copy;
	struct stat st;

	*verdict = (struct verdict){0};
	if (fstat(fd, &st))
		return -errno;
	if (st.st_size < 0 || !layout_of(&layout, (uint64_t)st.st_size))
		return -EINVAL;
	copy = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (copy == MAP_FAILED)
		return -errno;
	header = (const void *)(copy + HEADER_PAGE * PAGE);
	for (uint64_t page = layout.first; page < layout.pages; page++) {
		const uint64_t *table = (const void *)(copy + layout.table * PAGE);
		uint64_t version;
		unsigned state = word_read(page, table[page], &version);

		if (state == PAGE_FREE || state == PAGE_HELD)
			continue;
		verdict->checked++;
		live += state == PAGE_LIVE;
		versions += version;
		/* Paused between two operations: no page may be half-written. */
		verdict->bad += state != PAGE_LIVE ||
				!content_is(copy + page * PAGE, page, version);
	}
	verdict->stamp = header->magic == MAGIC && header->ticket == ticket &&
			 header->live == live && header->versions == versions;
	munmap((void *)(uintptr_t)copy, (size_t)st.st_size);
	return 0;
}
