/* SPDX-License-Identifier: MIT */
#include "test_memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static uint64_t next(struct test_memory *mem)
{
	mem->seed = mem->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return mem->seed ^ mem->seed >> 29;
}

static void fill(struct test_memory *mem, uint64_t page)
{
	uint64_t words[TEST_PAGE / 8];

	for (size_t i = 0; i < TEST_PAGE / 8; i++)
		words[i] = next(mem);
	memcpy(mem->at + page * TEST_PAGE, words, TEST_PAGE);
}

static bool is_seen(uint64_t page)
{
	return page * TEST_PAGE < TEST_LOW || page * TEST_PAGE >= TEST_HIGH_OFFSET;
}

static uint64_t gpa_of(uint64_t page)
{
	uint64_t offset = page * TEST_PAGE;

	return offset < TEST_LOW ? offset : TEST_HIGH_GPA + (offset - TEST_HIGH_OFFSET);
}

static uint64_t page_of(uint64_t gpa)
{
	return (gpa < TEST_LOW ? gpa : gpa - TEST_HIGH_GPA + TEST_HIGH_OFFSET) / TEST_PAGE;
}

/* 16 pages of 64 are in use; of either kind every 13th is zero or was never written. */
void test_memory_make(struct test_memory *mem)
{
	mem->fd = memfd_create("test_guest", MFD_CLOEXEC);
	need(mem->fd >= 0 && ftruncate(mem->fd, TEST_BYTES) == 0, "memory");
	mem->at = mmap(NULL, TEST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, mem->fd, 0);
	need(mem->at != MAP_FAILED, "memory");
	mem->seed = 1;
	for (uint64_t page = 0; page < TEST_PAGES; page++) {
		uint64_t offset = page * TEST_PAGE;

		mem->page[page] = page % 64 < 16 || !is_seen(page) ? TEST_USED : TEST_FREE;
		if (offset >= TEST_RING && offset < TEST_RING + TEST_RING_BYTES)
			mem->page[page] = TEST_DEVICE;
		if (page % 13)
			fill(mem, page);
		else if (page % 2)
			memset(mem->at + offset, 0, TEST_PAGE);
	}
	memset(mem->at + TEST_RING, 0, TEST_RING_BYTES);
}

bool test_memory_run(const struct test_memory *mem, uint64_t *at, char kind,
		     struct fph_range *range)
{
	uint64_t first = *at, end;

	while (first < TEST_PAGES && (mem->page[first] != kind || !is_seen(first)))
		first++;
	for (end = first; end < TEST_PAGES && mem->page[end] == kind && is_seen(end); end++)
		if (end > first && gpa_of(end) != gpa_of(end - 1) + TEST_PAGE)
			break;
	*at = end;
	*range = (struct fph_range){ gpa_of(first), (end - first) * TEST_PAGE };
	return end > first;
}

void test_memory_set(struct test_memory *mem, struct fph_range range, char kind)
{
	memset(mem->page + page_of(range.gpa), kind, range.len / TEST_PAGE);
}

void test_memory_use(struct test_memory *mem, uint64_t gpa, bool same)
{
	uint64_t page = page_of(gpa);

	if (!same)
		fill(mem, page);
	mem->page[page] = same ? TEST_SAME : TEST_USED;
}

void test_memory_release(struct test_memory *mem)
{
	for (uint64_t page = 0; page < TEST_PAGES; page++)
		if (mem->page[page] == TEST_HELD || mem->page[page] == TEST_SAME)
			mem->page[page] = TEST_FREE;
}

void test_memory_work(struct test_memory *mem)
{
	uint64_t page = next(mem) % TEST_PAGES;

	if (mem->page[page] == TEST_USED)
		fill(mem, page);
}

/* ------------------------------------------------------------ the check */

static FILE *part(const char *state, const char *name, const char *mode)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s.%s", state, name);
	file = fopen(path, mode);
	need(file != NULL, path);
	return file;
}

void test_memory_note(const struct test_memory *mem, const char *state)
{
	FILE *memory = part(state, "memory", "w"), *pages = part(state, "pages", "w");

	need(fwrite(mem->at, 1, TEST_BYTES, memory) == TEST_BYTES &&
		     fwrite(mem->page, 1, TEST_PAGES, pages) == TEST_PAGES && !fclose(memory) &&
		     !fclose(pages),
	     state);
}

struct counts {
	unsigned used, wrong, same, same_lost, free, free_there, free_wrong;
};

static void compare(struct counts *counts, char kind, const unsigned char *was,
		    const unsigned char *is)
{
	static const unsigned char zero[TEST_PAGE];
	bool equal = !memcmp(was, is, TEST_PAGE);

	switch (kind) {
	case TEST_USED:
		counts->used++;
		counts->wrong += !equal;
		break;
	case TEST_SAME:
		counts->same++;
		counts->same_lost += !equal;
		break;
	case TEST_FREE:
	case TEST_HELD:
		counts->free++;
		counts->free_there += equal && memcmp(was, zero, TEST_PAGE) != 0;
		counts->free_wrong += !equal && memcmp(is, zero, TEST_PAGE) != 0;
		break;
	default:
		break;
	}
}

int test_memory_check(const char *state, const char *snapshot)
{
	FILE *memory = part(state, "memory", "r"), *pages = part(state, "pages", "r"),
	     *copy = fopen(snapshot, "r");
	unsigned char was[TEST_PAGE], is[TEST_PAGE];
	struct counts counts = { 0 };
	uint64_t n = 0;

	need(copy != NULL, snapshot);
	while (fread(was, 1, TEST_PAGE, memory) == TEST_PAGE) {
		int kind = fgetc(pages);

		need(kind != EOF && fread(is, 1, TEST_PAGE, copy) == TEST_PAGE, "too short");
		compare(&counts, (char)kind, was, is);
		n++;
	}
	need(n == TEST_PAGES && fgetc(copy) == EOF, "another length");
	fclose(memory);
	fclose(pages);
	fclose(copy);
	printf("used %u wrong %u same %u lost %u free %u there %u garbled %u\n", counts.used,
	       counts.wrong, counts.same, counts.same_lost, counts.free, counts.free_there,
	       counts.free_wrong);
	return counts.wrong || counts.free_wrong;
}
