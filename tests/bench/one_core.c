/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "clock.h"
#include "ends.h"
#include <stdlib.h>
#include <string.h>

/*
 * Both ends on one core: a batch is hinted and flushed, polled, cleared in the dirty bitmap,
 * returned and reclaimed.  One sample is a guest of 64 GiB, each block once.
 */
#define MEMORY	     (UINT64_C(64) << 30)
#define MEMORY_QUICK (UINT64_C(4) << 30)
#define MEASURES     64u
/* Far from the block before, for the caches and for the processor's guess. */
#define SCATTERED 6151u

#define SPLIT_64  "split, batch 64, clear"
#define PACKED_64 "packed, batch 64, clear"

struct set {
	struct bench *b;
	struct measure measures[MEASURES];
	struct pass passes[MEASURES];
	unsigned n;
	uint64_t memory;
	struct fph_bitmap bitmap;
};

static double once(void *ctx)
{
	const struct pass *p = ctx;

	if (p->bitmap)
		ends_bitmap_fill(p->bitmap);
	return (double)ends_pass(p) / (double)p->blocks;
}

/* `more`: words to be added to the name. */
static void add(struct set *s, const struct format *format, unsigned batch, bool clear,
		unsigned chain, uint64_t stride, const char *more)
{
	/* One entry is kept for STOP, and one for START. */
	struct ends_opts o = { .offer = format->offer,
			       .queue = batch > 254 ? 512 : 256,
			       .chain = (uint16_t)chain,
			       .memory = s->memory };
	struct pass *p = &s->passes[s->n];
	struct measure *m = &s->measures[s->n++];

	BENCH_MUST(s->n <= MEASURES);
	*p = (struct pass){ .ends = ends_open(&o),
			    .bitmap = clear ? &s->bitmap : NULL,
			    .blocks = s->memory / BLOCK,
			    .stride = stride % (s->memory / BLOCK),
			    .batch = batch };
	snprintf(m->what, sizeof(m->what), "%s, batch %u%s%s", format->name, batch,
		 clear ? ", clear" : "", more);
	m->unit = "ns/hint";
	m->once = once;
	m->ctx = p;
}

static void add_chains(struct set *s, const struct format *format, unsigned chain)
{
	struct format indirect = { format->name, format->offer | FPH_F_INDIRECT_DESC };
	char more[64];

	snprintf(more, sizeof(more), ", %u ranges a chain, indirect", chain);
	add(s, &indirect, 64, true, chain, 1, more);
}

void one_core_run(struct bench *b)
{
	static const unsigned batches[] = { 1, 16, 64, 256 };
	struct set *s = bench_alloc(sizeof(*s));

	s->memory = b->quick ? MEMORY_QUICK : MEMORY;
	s->bitmap = ends_bitmap(s->memory);
	for (size_t f = 0; f < COUNT_OF(formats); f++)
		for (size_t i = 0; i < COUNT_OF(batches); i++) {
			add(s, &formats[f], batches[i], true, 1, 1, "");
			add(s, &formats[f], batches[i], false, 1, 1, "");
		}
	for (size_t f = 0; f < COUNT_OF(formats); f++) {
		struct format event = { formats[f].name, formats[f].offer | FPH_F_EVENT_IDX };

		add(s, &event, 64, true, 1, 1, ", event index");
		add(s, &formats[f], 64, true, 1, SCATTERED, ", scattered blocks");
		add_chains(s, &formats[f], 16);
		add_chains(s, &formats[f], 64);
	}
	add(s, &formats[0], 64, true, 16, 1, ", 16 ranges a chain, no table");
	clock_pin(0);
	bench_measure(b, s->measures, s->n, b->quick ? 3 : 61);

	for (unsigned i = 0; i < s->n; i++)
		ends_close(s->passes[i].ends);
	ends_bitmap_free(&s->bitmap);
	free(s);
}

void one_core_judge(struct bench *b)
{
	results_goal(&b->results, 1, "split, one core, batch 64, with the bitmap",
		     results_find(&b->results, "one-core", SPLIT_64), "ns/hint", true, 10);
	results_goal(&b->results, 1, "packed, one core, batch 64, with the bitmap",
		     results_find(&b->results, "one-core", PACKED_64), "ns/hint", true, 15);
}
