/* SPDX-License-Identifier: MIT */
/* Pages, what they hold, and who says so; and the small things that all sides need. */
#include "soak.h"

#include <dirent.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TOLD_MAX 10

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

struct rng rng_make(uint64_t seed, uint64_t stream)
{
	return (struct rng){ mix(mix(seed + 1) + stream) | 1 };
}

uint64_t below(struct rng *rng, uint64_t n)
{
	rng->state += UINT64_C(0x9e3779b97f4a7c15);
	return (mix(rng->state) >> 16) % n;
}

bool once_in(struct rng *rng, uint64_t n)
{
	return below(rng, n) == 0;
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

void violation(struct board *board, const char *format, ...)
{
	char text[200];
	va_list args;

	if (__atomic_fetch_add(&board->violations, 1, __ATOMIC_RELAXED) >= TOLD_MAX)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "violation: %s\n", text);
}

/* ------------------------------------------------------------ pages */

bool frame_is_real(uint64_t frame)
{
	return frame >= RING_PAGES && frame < FRAMES && frame % STRIDE_PAGES < REGION_PAGES;
}

static uint64_t word_at(uint64_t seed, unsigned i)
{
	return (seed + i) * UINT64_C(0x9e3779b97f4a7c15);
}

void content_fill(void *at, uint64_t frame, uint64_t version)
{
	uint64_t *word = at, seed = mix(mix(frame + 1) + version);

	for (unsigned i = 0; i < PAGE / 8; i++)
		word[i] = word_at(seed, i);
}

bool content_is(const void *at, uint64_t frame, uint64_t version)
{
	const uint64_t *word = at;
	uint64_t seed = mix(mix(frame + 1) + version), wrong = 0;

	for (unsigned i = 0; i < PAGE / 8; i++)
		wrong |= word[i] ^ word_at(seed, i);
	return !wrong;
}

enum page_state ghost_state(const struct ghost *ghost, uint64_t frame)
{
	return (enum page_state)(__atomic_load_n(&ghost->word[frame], __ATOMIC_ACQUIRE) & 0xff);
}

uint64_t ghost_version(const struct ghost *ghost, uint64_t frame)
{
	return __atomic_load_n(&ghost->word[frame], __ATOMIC_ACQUIRE) >> 8;
}

void ghost_set(struct ghost *ghost, uint64_t frame, enum page_state state, uint64_t version)
{
	/* A killed process leaves behind what its instructions stored, in their order. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&ghost->word[frame], version << 8 | state, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void ghost_mark(struct ghost *ghost, uint64_t frame)
{
	/* Release: whoever takes the bit sees the write, or a bit that is set later. */
	__atomic_fetch_or(&ghost->log[frame / 64], UINT64_C(1) << (frame % 64), __ATOMIC_RELEASE);
}

uint64_t ghost_take(struct ghost *ghost, uint64_t word)
{
	return __atomic_exchange_n(&ghost->log[word], 0, __ATOMIC_ACQ_REL);
}

/* ------------------------------------------------------------ leaks */

unsigned count_fds(pid_t pid)
{
	unsigned n = 0;
	char path[48];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Anonymous memory: of shared mappings as much is there as was touched. */
size_t rss_kib(pid_t pid)
{
	char path[48], line[128];
	size_t kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "RssAnon: %zu kB", &kib) == 1)
			break;
	fclose(file);
	return kib;
}

static unsigned count_maps(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	unsigned n = 0;
	int c;

	if (!file)
		return 0;
	while ((c = fgetc(file)) != EOF)
		n += c == '\n';
	fclose(file);
	return n;
}

/* AddressSanitizer keeps what was freed and maps as it likes, and looks for leaks itself. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define JUDGE_MEMORY false
#else
#define JUDGE_MEMORY true
#endif

void holdings_check(struct holdings *first, struct board *board, enum side side)
{
	static const char *const names[] = { [GUEST] = "guest", [DEVICE] = "device" };
	struct holdings now = { true, count_fds(getpid()), count_maps(), mallinfo2().uordblks };

	board->fds[side] = now.fds;
	board->rss_kib[side] = rss_kib(getpid());
	count(&board->closes[side], 1);
	if (!first->known)
		*first = now;
	if (now.fds <= first->fds &&
	    (!JUDGE_MEMORY || (now.maps <= first->maps && now.heap <= first->heap)))
		return;
	count(&board->leaks, 1);
	violation(board,
		  "%s: a leak: %u descriptors, %u mappings, %zu bytes of heap; first %u, %u, %zu",
		  names[side], now.fds, now.maps, now.heap, first->fds, first->maps, first->heap);
	*first = now;
}
