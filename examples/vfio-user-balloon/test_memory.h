/* SPDX-License-Identifier: MIT */
#ifndef BALLOON_TEST_MEMORY_H
#define BALLOON_TEST_MEMORY_H

#include <fph/types.h>

/*
 * The memory of the test guest: a file of which the guest sees two parts, at addresses
 * that are not the offsets, and a part between them not at all.
 */
#define TEST_PAGE	 4096u
#define TEST_MIB	 (UINT64_C(1) << 20)
#define TEST_LOW	 (24 * TEST_MIB)
#define TEST_HIGH_OFFSET (28 * TEST_MIB)
#define TEST_HIGH_GPA	 (UINT64_C(1) << 32)
#define TEST_HIGH	 (36 * TEST_MIB)
#define TEST_BYTES	 (64 * TEST_MIB)
#define TEST_PAGES	 (TEST_BYTES / TEST_PAGE)
#define TEST_RING	 UINT64_C(0x10000) /* gpa, and offset */
#define TEST_RING_BYTES	 UINT64_C(0x10000)

/* What a page is, in the state that is written down. */
#define TEST_USED   'u' /* must be in the snapshot */
#define TEST_SAME   's' /* in use; holds what it held when it was hinted */
#define TEST_FREE   'f'
#define TEST_HELD   'h' /* hinted */
#define TEST_DEVICE 'd' /* the device writes to it, too: not compared */

struct test_memory {
	int fd;
	unsigned char *at;
	char page[TEST_PAGES];
	uint64_t seed;
};

/* Pages in use and old junk, and some of either that are zero.  Ends the program on errors. */
void test_memory_make(struct test_memory *mem);
/*
 * The first run of such pages at or after page *at that lies in what the guest sees, by gpa;
 * *at goes behind it.  Returns whether there is one.
 */
bool test_memory_run(const struct test_memory *mem, uint64_t *at, char kind,
		     struct fph_range *range);
void test_memory_set(struct test_memory *mem, struct fph_range range, char kind);
/* A page that was free is in use: new bytes, or those that it has once more. */
void test_memory_use(struct test_memory *mem, uint64_t gpa, bool same);
/* What is held is free, and full of junk. */
void test_memory_release(struct test_memory *mem);
/* Write to a page in use. */
void test_memory_work(struct test_memory *mem);

/* Write down memory and pages, to STATE.memory and STATE.pages. */
void test_memory_note(const struct test_memory *mem, const char *state);
/* Compare a snapshot with that; prints what it found.  Returns 1 if a page is wrong. */
int test_memory_check(const char *state, const char *snapshot);

#endif
