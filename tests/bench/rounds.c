/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "clock.h"
#include "ends.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * One whole round on one core: every block of the guest is hinted once, and cleared in a
 * dirty bitmap of 4 KiB pages that was all marked.  The guest's memory is not there; the
 * bitmap and the ring are.
 */
#define GIB	    (UINT64_C(1) << 30)
#define BATCH	    64u
#define QUEUE	    256u
#define SCATTERED   6151u
#define DOUBLINGS   15u /* 1 GiB to 16 TiB */
#define TIB_AT	    10u /* 1 TiB */

#define DEVICE_1TIB "1 TiB, 262144 hints: device and bitmap"
#define GROWTH	    "growth of device time with size, as a power of it: 1 GiB to 16 TiB"

struct round {
	struct pass pass;
	struct fph_bitmap bitmap;
};

static void open_round(struct round *r, uint64_t memory, unsigned regions, uint64_t stride)
{
	struct ends_opts o = { .queue = QUEUE, .memory = memory, .regions = regions };

	r->bitmap = ends_bitmap(memory);
	r->pass = (struct pass){ .ends = ends_open(&o),
				 .bitmap = &r->bitmap,
				 .blocks = memory / BLOCK,
				 .stride = stride % (memory / BLOCK),
				 .batch = BATCH,
				 .device_only = true };
}

static void close_round(struct round *r)
{
	ends_close(r->pass.ends);
	ends_bitmap_free(&r->bitmap);
}

static double once(void *ctx)
{
	struct round *r = ctx;

	ends_bitmap_fill(&r->bitmap);
	return (double)ends_pass(&r->pass) / 1e6;
}

static double both_once(void *ctx)
{
	struct round both = *(struct round *)ctx;

	both.pass.device_only = false;
	ends_bitmap_fill(&both.bitmap);
	return (double)ends_pass(&both.pass) / 1e6;
}

static const char *size_name(char *room, size_t size, uint64_t memory)
{
	if (memory < 1024 * GIB)
		snprintf(room, size, "%llu GiB", (unsigned long long)(memory / GIB));
	else
		snprintf(room, size, "%llu TiB", (unsigned long long)(memory / GIB / 1024));
	return room;
}

/* ------------------------------------------------------------ growth */

/* Bytes that a device end of this guest needs, but for the guest's own. */
static double device_memory(const struct round *r)
{
	return (double)(sizeof(struct fph_device) +
			r->pass.ends->mem.count * sizeof(struct fph_region) +
			FPH_BITMAP_WORDS(r->bitmap.pages) * 8);
}

static void add_memory(struct bench *b, const struct round *r, const char *name)
{
	double bytes = device_memory(r) / 1024;
	char what[96];

	snprintf(what, sizeof(what), "%s: memory of the device end, with its bitmap", name);
	results_add(&b->results, b->workload, what, "KiB", &bytes, 1);
}

static const struct row *device_row(struct bench *b, unsigned doubling)
{
	char size[16], what[96];

	snprintf(what, sizeof(what), "%s, %llu hints: device and bitmap",
		 size_name(size, sizeof(size), GIB << doubling),
		 (unsigned long long)((GIB << doubling) / BLOCK));
	return results_find(&b->results, b->workload, what);
}

/* How the time grows: 1 is linear.  Of the medians, since the sizes are measured in turn. */
static void growth(struct bench *b, unsigned doublings)
{
	const struct row *first = device_row(b, 0), *last = device_row(b, doublings - 1);
	double worst = 0, power;
	char what[96], size[16];

	for (unsigned i = 1; i < doublings; i++) {
		double ratio = device_row(b, i)->median / device_row(b, i - 1)->median;

		worst = ratio > worst ? ratio : worst;
	}
	power = log2(last->median / first->median) / (doublings - 1);
	snprintf(what, sizeof(what),
		 "growth of device time with size, as a power of it: 1 GiB to %s",
		 size_name(size, sizeof(size), GIB << (doublings - 1)));
	results_add(&b->results, b->workload, what, "power", &power, 1);
	results_add(&b->results, b->workload, "worst growth of device time of one doubling",
		    "times", &worst, 1);
}

static void sizes(struct bench *b, unsigned doublings)
{
	for (unsigned i = 0; i < doublings; i++) {
		struct measure m[2] = { { .unit = "ms", .once = once },
					{ .unit = "ms", .once = both_once } };
		struct round r;
		char size[16];

		size_name(size, sizeof(size), GIB << i);
		open_round(&r, GIB << i, 1, 1);
		snprintf(m[0].what, sizeof(m[0].what), "%s, %llu hints: device and bitmap", size,
			 (unsigned long long)r.pass.blocks);
		snprintf(m[1].what, sizeof(m[1].what), "%s, %llu hints: both ends and bitmap", size,
			 (unsigned long long)r.pass.blocks);
		m[0].ctx = m[1].ctx = &r;
		bench_measure(b, m, 2, b->quick ? 1 : i < 11 ? 21 : 5);
		if (i == 0 || i == TIB_AT || i == doublings - 1)
			add_memory(b, &r, size);
		close_round(&r);
	}
}

/* ------------------------------------------------------------ regions */

static void maps(struct bench *b, uint64_t memory)
{
	static const struct {
		unsigned regions;
		uint64_t stride;
	} shapes[] = { { 1, 1 },	 { 8, 1 },	   { 1024, 1 },
		       { 1, SCATTERED }, { 8, SCATTERED }, { 1024, SCATTERED } };
	struct round rounds[COUNT_OF(shapes)];
	struct measure m[COUNT_OF(shapes)];
	char size[16];

	size_name(size, sizeof(size), memory);
	for (size_t i = 0; i < COUNT_OF(shapes); i++) {
		open_round(&rounds[i], memory, shapes[i].regions, shapes[i].stride);
		m[i] = (struct measure){ .unit = "ms", .once = once, .ctx = &rounds[i] };
		snprintf(m[i].what, sizeof(m[i].what),
			 "%s, %u region%s, blocks %s: device and bitmap", size, shapes[i].regions,
			 shapes[i].regions == 1 ? "" : "s",
			 shapes[i].stride == 1 ? "in order" : "scattered");
	}
	bench_measure(b, m, COUNT_OF(shapes), b->quick ? 1 : 21);
	for (size_t i = 0; i < COUNT_OF(shapes); i++)
		close_round(&rounds[i]);
}

void rounds_run(struct bench *b)
{
	unsigned doublings = b->quick ? 3 : DOUBLINGS;

	clock_pin(0);
	sizes(b, doublings);
	growth(b, doublings);
	maps(b, b->quick ? 8 * GIB : 1024 * GIB);
}

void rounds_judge(struct bench *b)
{
	results_goal(&b->results, 4, "a guest of 1 TiB, device time with the bitmap",
		     results_find(&b->results, "rounds", DEVICE_1TIB), "ms", true, 10);
	results_goal(&b->results, 4, "growth with the guest's size, 1 is linear",
		     results_find(&b->results, "rounds", GROWTH), "power", true, 1.1);
}
