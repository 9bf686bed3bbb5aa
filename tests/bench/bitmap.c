/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "clock.h"
#include "ends.h"
#include <stdlib.h>
#include <string.h>

/*
 * The dirty bitmap against what the machine can do with the same bytes: memset, which only
 * writes, and memcpy, which reads and writes.  Figures are of bitmap bytes.
 */
#define GIB	     (UINT64_C(1) << 30)
#define MEMORY	     (1024 * GIB) /* a bitmap of 32 MiB: out of a core's own caches */
#define MEMORY_QUICK (4 * GIB)
#define SAMPLE	     (UINT64_C(4) << 20)

static uint64_t memory;
static struct fph_bitmap map;
static unsigned char *other; /* of the bitmap's size */

static size_t map_bytes(void)
{
	return FPH_BITMAP_WORDS(map.pages) * 8;
}

/* How a guest is walked: pieces of `range`, in order, to its end or `most` of them. */
struct walk {
	uint64_t range;
	uint64_t pieces;
	uint64_t rounds; /* all of that again: small ones would be over too soon */
};

static size_t piece_bytes(const struct walk *w)
{
	return (size_t)(w->range / 4096 / 8);
}

static double rate(const struct walk *w, uint64_t ns)
{
	return (double)(piece_bytes(w) * w->pieces * w->rounds) / (double)ns;
}

static void fill(const struct walk *w)
{
	memset(map.words, 0xff, piece_bytes(w) * w->pieces);
}

static double clear_once(void *ctx)
{
	const struct walk *w = ctx;
	uint64_t began, cleared = 0;

	fill(w);
	began = clock_ns();
	for (uint64_t r = 0; r < w->rounds; r++)
		for (uint64_t i = 0; i < w->pieces; i++)
			cleared += fph_bitmap_clear(
				&map, (struct fph_range){ PAGES_GPA + i * w->range, w->range });
	began = clock_ns() - began;
	BENCH_MUST(cleared == w->range / 4096 * w->pieces);
	return rate(w, began);
}

/* The compiler must not see what is done here, or it would not be done. */
static void *(*volatile set_bytes)(void *, int, size_t) = memset;
static void *(*volatile copy_bytes)(void *, const void *, size_t) = memcpy;

static double memset_once(void *ctx)
{
	const struct walk *w = ctx;
	size_t bytes = piece_bytes(w);
	uint64_t began;

	fill(w);
	began = clock_ns();
	for (uint64_t r = 0; r < w->rounds; r++)
		for (uint64_t i = 0; i < w->pieces; i++)
			set_bytes((char *)map.words + i * bytes, 0, bytes);
	return rate(w, clock_ns() - began);
}

static double memcpy_once(void *ctx)
{
	const struct walk *w = ctx;
	size_t bytes = piece_bytes(w);
	uint64_t began;

	fill(w);
	began = clock_ns();
	for (uint64_t r = 0; r < w->rounds; r++)
		for (uint64_t i = 0; i < w->pieces; i++)
			copy_bytes((char *)map.words + i * bytes, other + i * bytes, bytes);
	return rate(w, clock_ns() - began);
}

static double count_once(void *ctx)
{
	uint64_t began;

	(void)ctx;
	ends_bitmap_fill(&map);
	began = clock_ns();
	BENCH_MUST(fph_bitmap_count(&map) == map.pages);
	return (double)map_bytes() / (double)(clock_ns() - began);
}

/* ------------------------------------------------------------ rows */

#define SHAPES 8u

static const struct {
	const char *name;
	uint64_t range;
} ranges[SHAPES] = {
	{ "2 MiB", UINT64_C(2) << 20 },
	{ "4 MiB", BLOCK },
	{ "64 MiB", UINT64_C(64) << 20 },
	{ "1 GiB", GIB },
	{ "4 GiB", 4 * GIB },
	{ "64 GiB", 64 * GIB },
	{ "256 GiB", 256 * GIB },
	{ "1 TiB", 1024 * GIB },
};

static const struct {
	const char *name;
	double (*once)(void *ctx);
} acts[] = { { "clear", clear_once }, { "memset", memset_once }, { "memcpy", memcpy_once } };

struct set {
	struct bench *b;
	struct walk walks[2 * SHAPES];
	struct measure measures[2 * SHAPES * COUNT_OF(acts) + 1];
	unsigned walk_count;
	unsigned n;
};

static void add(struct set *s, const char *name, struct walk walk)
{
	struct walk *w = &s->walks[s->walk_count++];

	*w = walk;
	for (size_t a = 0; a < COUNT_OF(acts); a++) {
		struct measure *m = &s->measures[s->n++];

		*m = (struct measure){ .unit = "GB/s", .once = acts[a].once, .ctx = w };
		snprintf(m->what, sizeof(m->what), "%s: %s", acts[a].name, name);
	}
}

static void ratio(struct bench *b, const char *name)
{
	char what[96], clear[96], set[96];

	snprintf(what, sizeof(what), "clear over memset: %s", name);
	snprintf(clear, sizeof(clear), "clear: %s", name);
	snprintf(set, sizeof(set), "memset: %s", name);
	results_ratio(&b->results, b->workload, what, clear, set);
}

#define ONE_CALL "one range of 1 TiB, 32 MiB of bitmap"
#define BLOCKS	 "4 MiB blocks of a guest of 1 TiB, in order"

/* At least 4 MiB of bitmap in a sample, which is a multiple of a clock's grain. */
static uint64_t times(uint64_t range)
{
	uint64_t bytes = range / 4096 / 8;

	return bytes < SAMPLE ? SAMPLE / bytes : 1;
}

static void add_all(struct set *s, bool quick)
{
	char name[64];

	for (unsigned i = 0; i < SHAPES; i++) {
		if (ranges[i].range > memory)
			break;
		snprintf(name, sizeof(name), "%s, again and again", ranges[i].name);
		if (ranges[i].range < MEMORY)
			add(s, name, (struct walk){ ranges[i].range, 1, times(ranges[i].range) });
	}
	add(s, quick ? "4 MiB blocks of a guest of 4 GiB, in order" : BLOCKS,
	    (struct walk){ BLOCK, memory / BLOCK, 1 });
	if (!quick)
		add(s, ONE_CALL, (struct walk){ memory, 1, 1 });
	s->measures[s->n++] = (struct measure){ .what = "count: all of a guest of 1 TiB",
						.unit = "GB/s",
						.once = count_once };
	if (quick)
		snprintf(s->measures[s->n - 1].what, sizeof(s->measures[0].what),
			 "count: all of a guest of 4 GiB");
}

void bitmap_run(struct bench *b)
{
	struct set *s = bench_alloc(sizeof(*s));

	clock_pin(0);
	memory = b->quick ? MEMORY_QUICK : MEMORY;
	map = ends_bitmap(memory);
	other = bench_pages(map_bytes());
	memset(other, 0, map_bytes());
	add_all(s, b->quick);
	bench_measure(b, s->measures, s->n, b->quick ? 3 : 41);
	for (unsigned i = 0; i + 1 < s->n; i += COUNT_OF(acts))
		ratio(b, s->measures[i].what + strlen("clear: "));
	bench_pages_free(other, map_bytes());
	ends_bitmap_free(&map);
	free(s);
}

void bitmap_judge(struct bench *b)
{
	results_goal(&b->results, 5, "clearing " BLOCKS ", over memset of the same",
		     results_find(&b->results, "bitmap", "clear over memset: " BLOCKS), "times",
		     false, 0.7);
	results_goal(&b->results, 5, "clearing " ONE_CALL ", over memset of the same",
		     results_find(&b->results, "bitmap", "clear over memset: " ONE_CALL), "times",
		     false, 0.7);
}
