/* SPDX-License-Identifier: MIT */
/* The agent's memory without a connection: what a kill leaves behind, and what a copy shows. */
#include "vmm.h"
#include "workload.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KILLS 200
#define SIZE  (UINT64_C(4) << 20)

#define DEMAND(what)                                                                       \
	do {                                                                               \
		if (!(what)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
			exit(1);                                                           \
		}                                                                          \
	} while (0)

static void count(void *ctx)
{
	++*(uint64_t *)ctx;
}

/* Recover and go through what must hold.  Returns how many writes were redone. */
static uint64_t recover(struct memory *mem, uint64_t lost)
{
	struct recovery found;
	uint64_t told = 0, bad, held;

	memory_recover(mem, &found, count, &told);
	DEMAND(found.lost == lost && told == lost);
	DEMAND(found.fresh || memory_verify(mem, &bad, &held) == found.verified + found.redone);
	return found.redone;
}

static void words(void)
{
	uint64_t version = 0, other;

	DEMAND(!word_read(7, 0, &version) && !word_read(7, UINT64_MAX, &version));
	for (unsigned state = PAGE_FREE; state <= PAGE_HELD; state++) {
		uint64_t word = word_of(7, (enum page_state)state, 12345);

		DEMAND(word_read(7, word, &version) == state && version == 12345);
		DEMAND(!word_read(8, word, &other));
		for (int bit = 0; bit < 64; bit++)
			DEMAND(!word_read(7, word ^ UINT64_C(1) << bit, &other));
	}
}

static void layouts(void)
{
	struct layout layout;

	DEMAND(!layout_of(&layout, 0) && !layout_of(&layout, MEMORY_MIN - PAGE));
	DEMAND(!layout_of(&layout, MEMORY_MAX + PAGE) && !layout_of(&layout, MEMORY_MIN + 1));
	for (uint64_t size = MEMORY_MIN; size <= MEMORY_MAX; size *= 2) {
		DEMAND(layout_of(&layout, size) && layout.pages * PAGE == size);
		DEMAND(CONTROL_PAGE < layout.log && layout.log < layout.ring);
		DEMAND(layout.pages <= (layout.ring - layout.log) * PAGE * 8);
		DEMAND(layout.ring < layout.table && layout.table < layout.first);
		DEMAND(layout.pages * 8 <= (layout.first - layout.table) * PAGE);
		DEMAND(layout.first < layout.pages / 8);
	}
}

static void no_memfd(void)
{
	struct memory mem = {0};
	int fd = fileno(tmpfile());

	DEMAND(memory_open(&mem, fd) < 0 && !mem.bytes);
	DEMAND(memory_open(&mem, 12345) < 0 && !mem.bytes);
}

/* Allocates, frees, writes, hints and takes back until it is killed. */
static void worker(struct memory *mem, uint64_t seed)
{
	struct workload work;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (workload_init(&work, mem, seed))
		_exit(1);
	workload_free_before(&work);
	for (;;) {
		struct fph_range run[8];
		uint64_t at = mem->layout.first;
		int n = 0;

		while (n < 8 && workload_take(&work, &at, &run[n]))
			n++;
		workload_run(&work);
		while (n-- > 0)
			workload_back(&work, run[n]);
		workload_release(&work);
		workload_run(&work);
		if (work.lost)
			_exit(1);
	}
}

static void kills(struct memory *mem)
{
	uint64_t redone = 0, held_seen = 0, bad, held;

	for (unsigned i = 0; i < KILLS; i++) {
		struct workload work;
		int status = 0;
		pid_t pid = fork();

		DEMAND(pid >= 0);
		if (pid == 0)
			worker(mem, i);
		nanosleep(&(struct timespec){.tv_nsec = 100000 + i * 7919 % 3000 * 1000}, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		DEMAND(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		redone += recover(mem, 0);
		memory_verify(mem, &bad, &held);
		held_seen += held;
		DEMAND(bad == 0 && workload_init(&work, mem, i) == 0);
		DEMAND(work.before_n == held && workload_free_before(&work) == held);
		workload_fini(&work);
		memory_verify(mem, &bad, &held);
		DEMAND(held == 0);
	}
	printf("%d kills: %llu writes redone, %llu held pages freed, lost 0\n", KILLS,
	       (unsigned long long)redone, (unsigned long long)held_seen);
	/* Else the kills showed nothing. */
	DEMAND(redone > 0 && held_seen > 0);
}

static uint64_t find(const struct memory *mem, unsigned state)
{
	uint64_t version;

	for (uint64_t page = mem->layout.first; page < mem->layout.pages; page++)
		if (memory_state(mem, page, &version) == state)
			return page;
	return 0;
}

static void copies(struct memory *mem)
{
	uint64_t live = find(mem, PAGE_LIVE), unused = find(mem, PAGE_FREE), word,
		 page[PAGE / 8];
	int fd = fileno(tmpfile());
	struct verdict verdict;

	DEMAND(live && unused);
	memory_stamp(mem, 42);
	DEMAND(write(fd, mem->bytes, SIZE) == (ssize_t)SIZE);
	DEMAND(check_copy(fd, 42, &verdict) == 0 && !verdict.bad && verdict.stamp);
	DEMAND(verdict.checked == memory_header(mem)->live && verdict.checked > 100);
	/* Of another moment. */
	DEMAND(check_copy(fd, 43, &verdict) == 0 && !verdict.stamp);
	/* A free page may be missing, a live one may not. */
	memset(page, 0, PAGE);
	DEMAND(pwrite(fd, page, PAGE, (off_t)(unused * PAGE)) == (ssize_t)PAGE);
	DEMAND(check_copy(fd, 42, &verdict) == 0 && !verdict.bad && verdict.stamp);
	DEMAND(pwrite(fd, page, PAGE, (off_t)(live * PAGE)) == (ssize_t)PAGE);
	DEMAND(check_copy(fd, 42, &verdict) == 0 && verdict.bad == 1);
	/* An older content, an older word. */
	content_fill(page, live, 0, 0, PAGE_WORDS);
	DEMAND(pwrite(fd, page, PAGE, (off_t)(live * PAGE)) == (ssize_t)PAGE);
	DEMAND(check_copy(fd, 42, &verdict) == 0 && verdict.bad == 1);
	word = word_of(live, PAGE_LIVE, 0);
	DEMAND(pwrite(fd, &word, 8, (off_t)(mem->layout.table * PAGE + live * 8)) == 8);
	DEMAND(check_copy(fd, 42, &verdict) == 0 && !verdict.bad && !verdict.stamp);
	/* A page of the table is missing. */
	memset(page, 0, PAGE);
	DEMAND(pwrite(fd, page, PAGE, (off_t)((mem->layout.first - 1) * PAGE)) ==
	       (ssize_t)PAGE);
	DEMAND(check_copy(fd, 42, &verdict) == 0 && verdict.bad > 100);
	DEMAND(ftruncate(fd, 4096) == 0 && check_copy(fd, 42, &verdict) < 0);
}

/* That a lost page is seen at all. */
static void losses(struct memory *mem)
{
	uint64_t *word = memory_page(mem, mem->layout.table), live = find(mem, PAGE_LIVE);
	unsigned char *page = memory_page(mem, live);

	page[PAGE - 1] ^= 1;
	recover(mem, 1);
	recover(mem, 0);
	live = find(mem, PAGE_LIVE);
	word[live] ^= 256;
	recover(mem, 1);
	live = find(mem, PAGE_LIVE);
	word[live] = 0;
	recover(mem, 1);
	recover(mem, 0);
}

int main(void)
{
	struct memory mem = {0};
	struct workload work;
	struct layout layout;
	int fd = memory_create(SIZE);

	words();
	layouts();
	no_memfd();
	DEMAND(fd >= 0 && memory_open(&mem, fd) == 0 && layout_of(&layout, SIZE));
	recover(&mem, 0);
	DEMAND(workload_init(&work, &mem, 1) == 0);
	for (int i = 0; i < 300; i++)
		workload_run(&work);
	DEMAND(!work.lost && work.used_n > layout.pages / 8);
	workload_fini(&work);
	kills(&mem);
	copies(&mem);
	losses(&mem);
	memory_close(&mem);
	return 0;
}
