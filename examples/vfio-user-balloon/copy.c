/* SPDX-License-Identifier: MIT */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 256u /* pages */

/* ------------------------------------------------------------ pages */

static bool is_zero(const unsigned char *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

static uint64_t turn(uint64_t value, unsigned by)
{
	return value << by | value >> (64 - by);
}

/*
 * 0 for a page of zeros, and for no other.  Each step is a bijection of its lane, so a
 * page with one word changed has another checksum.
 */
static uint64_t checksum(const unsigned char *page)
{
	const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t lane[4] = { 1, 2, 3, 4 }, words[4], sum = 0;

	if (is_zero(page))
		return 0;
	for (unsigned at = 0; at < PAGE; at += sizeof(words)) {
		memcpy(words, page + at, sizeof(words));
		for (unsigned i = 0; i < 4; i++)
			lane[i] = turn((lane[i] ^ words[i]) * odd, 29);
	}
	for (unsigned i = 0; i < 4; i++)
		sum = turn((sum ^ lane[i] ^ lane[i] >> 32) * odd, 31);
	return sum ? sum : 1;
}

/*
 * What becomes of a page.  The guest stands still, and:
 *
 * A page of zeros is a hole in the copy, which reads as zeros: nothing is lost, whoever
 * owns the page.  That is all that is ever left out without --trust-driver.
 *
 * A hinted page was free when the driver hinted it, but a driver may take it back at any
 * time without a word (BH-7; Linux does when it runs short of memory), and writes it
 * before it relies on it (BH-9).  No dirty log of the guest's writes is to be had here:
 * it writes through the mappings of another process.  So the bytes have to tell.  They
 * were looked at *before* the id of the round was shown (condition S2: after it a write
 * could have come before the look, and would go unseen), and are looked at now: different
 * bytes were written since, and the page is copied.
 *
 * The same bytes prove nothing: the guest may have taken the page back and written the
 * very bytes that it held before, as when the same block of a disk is read to the same
 * place once more.  Then the page is in use, and the copy has zeros for it.  So a page
 * is left out for this only if the user trusts the driver to hold what it hinted.
 */
static bool is_free(const struct copy *copy, uint64_t number, const unsigned char *page)
{
	return copy->sums && fph_bitmap_test(copy->hinted, number * PAGE) &&
	       copy->sums[number] == checksum(page);
}

/* ------------------------------------------------------------ files */

static int read_all(int fd, unsigned char *to, size_t len, uint64_t at)
{
	while (len) {
		ssize_t n = pread(fd, to, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) /* the end: the client made its file shorter */
			return n ? -errno : -ENODATA;
		to += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_all(int fd, const unsigned char *from, size_t len, uint64_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, from, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		from += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* The first page at or after that one that holds data. */
static uint64_t data_after(const struct copy *copy, uint64_t page)
{
	off_t at = lseek(copy->from, (off_t)(page * PAGE), SEEK_DATA);
	uint64_t found = (uint64_t)at / PAGE;

	/* A file system that cannot tell has data everywhere. */
	if (at < 0)
		return errno == ENXIO ? copy->pages : page;
	return found < page ? page : found < copy->pages ? found : copy->pages;
}

static uint64_t hinted_in(const struct copy *copy, uint64_t page, uint64_t end)
{
	uint64_t n = 0;

	for (; copy->hinted && page < end; page++)
		n += fph_bitmap_test(copy->hinted, page * PAGE);
	return n;
}

static int copy_chunk(struct copy *copy, uint64_t first, uint64_t n, const unsigned char *pages)
{
	uint64_t from = 0; /* where a run of pages to be copied began */
	int err = 0;

	for (uint64_t i = 0; i <= n && !err; i++) {
		const unsigned char *page = pages + i * PAGE;
		uint64_t hinted = i < n ? hinted_in(copy, first + i, first + i + 1) : 0;

		if (i < n && is_zero(page)) {
			copy->counts.zero++;
			copy->counts.zero_hinted += hinted;
		} else if (i < n && is_free(copy, first + i, page)) {
			copy->counts.free++;
		} else if (i < n) {
			copy->counts.copied++;
			copy->counts.copied_hinted += hinted;
			continue;
		}
		if (i > from)
			err = write_all(copy->to, pages + from * PAGE, (i - from) * PAGE,
					(first + from) * PAGE);
		from = i + 1;
	}
	return err;
}

static int work_on(struct copy *copy, uint64_t first, uint64_t n, unsigned char *room)
{
	int err = read_all(copy->from, room, n * PAGE, first * PAGE);

	if (err)
		return err;
	if (copy->kind == COPY_PAGES)
		return copy_chunk(copy, first, n, room);
	for (uint64_t i = 0; i < n; i++)
		copy->sums[first + i] = checksum(room + i * PAGE);
	return 0;
}

/* What lies behind the end of a file looks like a hole. */
static int check_length(const struct copy *copy)
{
	struct stat stat;

	if (fstat(copy->from, &stat))
		return -errno;
	return (uint64_t)stat.st_size < copy->pages * PAGE ? -ENODATA : 0;
}

static int work(struct copy *copy, unsigned char *room)
{
	uint64_t at = 0;
	int err = 0;

	while (at < copy->pages && !err && !atomic_load(&copy->cancel)) {
		uint64_t data = data_after(copy, at), n = copy->pages - data;

		copy->counts.holes += data - at;
		copy->counts.zero_hinted += hinted_in(copy, at, data);
		n = n < CHUNK ? n : CHUNK;
		if (n)
			err = work_on(copy, data, n, room);
		at = data + n;
		atomic_store(&copy->at, at);
	}
	return err ? err : check_length(copy);
}

/* ------------------------------------------------------------ the thread */

static void *thread(void *ctx)
{
	struct copy *copy = ctx;
	unsigned char *room = NULL;

	if (copy->kind == COPY_SYNC) {
		copy->err = fsync(copy->to) ? -errno : 0;
	} else {
		room = malloc(CHUNK * PAGE);
		copy->err = room ? work(copy, room) : -ENOMEM;
		free(room);
	}
	atomic_store(&copy->ended, true);
	/* A full counter is loud enough. */
	(void)!write(copy->bell, &(uint64_t){ 1 }, sizeof(uint64_t));
	return NULL;
}

static void hear(void *ctx)
{
	struct copy *copy = ctx;
	uint64_t rings;

	(void)!read(copy->bell, &rings, sizeof(rings));
}

static void progress(const struct copy *copy, const char *what, uint64_t *last)
{
	uint64_t now = now_ns();

	if (!what || !isatty(STDERR_FILENO) || now - *last < UINT64_C(200000000))
		return;
	*last = now;
	fprintf(stderr, "\r%s: %3u %% of %.0f MiB ", what,
		(unsigned)(atomic_load(&copy->at) * 100 / copy->pages),
		(double)copy->pages * PAGE / 1048576.0);
}

static int await(struct copy *copy, struct balloon *balloon, const char *what, bool life)
{
	unsigned before = balloon->life;
	uint64_t last = now_ns(), start = last;
	int err = 0;

	while (!atomic_load(&copy->ended)) {
		int rc = balloon_turn(balloon, 100);

		if (!rc && life && balloon->life != before)
			rc = -ECANCELED;
		if (rc && !err) {
			err = rc;
			atomic_store(&copy->cancel, true);
		}
		progress(copy, what, &last);
	}
	if (last != start)
		fputs("\r\033[K", stderr);
	return err;
}

int copy_run(struct copy *copy, struct balloon *balloon, const char *what, bool life)
{
	int err;

	copy->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (copy->bell < 0)
		return -errno;
	err = fph_loop_add(balloon->loop, copy->bell, hear, copy);
	if (!err) {
		err = -pthread_create(&copy->thread, NULL, thread, copy);
		if (!err) {
			err = await(copy, balloon, what, life);
			pthread_join(copy->thread, NULL);
		}
		fph_loop_remove(balloon->loop, copy->bell);
	}
	close(copy->bell);
	return err ? err : copy->err;
}
