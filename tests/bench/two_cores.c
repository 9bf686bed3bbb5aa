/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "clock.h"
#include "ends.h"
#include "pair.h"
#include "rings.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>

/*
 * One end on each of two cores, both polling.  Hints of 4 MiB go one way, their buffers come
 * back; nothing is cleared, so that it is the ring that is measured.
 */
#define MEASURES 32u
#define HINTS	 (UINT64_C(1) << 14)
#define QUICK	 (UINT64_C(1) << 10)
/* Virtual cores move, within a run too: below this they share a cache. */
#define BALL	"one line, there and back"
#define NEAR_NS 150

struct race {
	struct pair *pair;
	struct lane lane;
	const struct ring_kind *kind;
	struct ends *ends; /* kind is NULL: the library */
};

/* ------------------------------------------------------------ the library */

static void guest_side(void *ctx)
{
	struct lane *l = ctx;
	struct ends *e = l->ring;
	struct fph_range pages[LANE_BATCH_MAX];
	uint64_t sent = 0, back = 0;
	unsigned turns = 0;

	while (back < l->hints) {
		/* Two entries are kept for START and STOP. */
		if (sent < l->hints && sent - back + l->batch <= e->queue - 2u) {
			for (unsigned i = 0; i < l->batch; i++)
				pages[i] = block(sent + i);
			BENCH_MUST(fph_guest_hint(&e->guest, pages, l->batch) == (int)l->batch);
			BENCH_MUST(fph_guest_flush(&e->guest) == 0);
			sent += l->batch;
		} else if (fph_guest_step(&e->guest, 0) & FPH_GUEST_RECLAIM) {
			back += (uint64_t)fph_guest_reclaim(&e->guest, pages, COUNT_OF(pages));
		} else {
			clock_spin(&turns);
		}
	}
}

static void device_side(void *ctx)
{
	struct lane *l = ctx;
	struct ends *e = l->ring;
	struct fph_range out[LANE_BATCH_MAX];
	uint64_t got = 0;
	unsigned turns = 0;

	while (got < l->hints) {
		int n = fph_device_poll(&e->device, out, l->batch);

		for (int i = 0; i < n; i++)
			l->arrived += out[i].gpa;
		if (n <= 0)
			clock_spin(&turns);
		BENCH_MUST(n >= 0 || n == -EAGAIN);
		got += n > 0 ? (uint64_t)n : 0;
	}
	fph_device_ack(&e->device);
}

/* ------------------------------------------------------------ the machine */

/* A word that the cores write in turns: what a line costs to go there and back. */
struct ball {
	_Alignas(LINE) atomic_uint turn;
	struct pair *pair;
	unsigned trips;
};

static void play(struct ball *b, unsigned mine)
{
	for (unsigned i = 0; i < b->trips; i++) {
		unsigned spins = 0;

		while (atomic_load_explicit(&b->turn, memory_order_acquire) != mine)
			if (++spins % 4096 == 0)
				sched_yield();
		atomic_store_explicit(&b->turn, !mine, memory_order_release);
	}
}

static void near_play(void *ctx)
{
	play(ctx, 0);
}

static void far_play(void *ctx)
{
	play(ctx, 1);
}

static double ball_once(void *ctx)
{
	struct ball *b = ctx;

	return (double)pair_run(b->pair, near_play, far_play, b) / b->trips;
}

/* ------------------------------------------------------------ all of them */

static double once(void *ctx)
{
	struct race *r = ctx;
	struct lane *l = &r->lane;
	uint64_t ns, sum = 0;

	l->arrived = 0;
	ns = pair_run(r->pair, r->kind ? r->kind->producer : guest_side,
		      r->kind ? r->kind->consumer : device_side, l);
	for (uint64_t i = 0; i < l->hints; i++)
		sum += block(i).gpa;
	BENCH_MUST(l->arrived == sum);
	return (double)ns / (double)l->hints;
}

struct set {
	struct measure measures[MEASURES];
	struct race races[MEASURES];
	unsigned n;
	struct pair *pair;
	struct ball *ball;
	uint64_t hints;
};

static struct race *add(struct set *s, const char *name, unsigned batch)
{
	struct race *r = &s->races[s->n];
	struct measure *m = &s->measures[s->n++];

	BENCH_MUST(s->n < MEASURES);
	r->pair = s->pair;
	r->lane = (struct lane){ .batch = batch, .hints = s->hints };
	snprintf(m->what, sizeof(m->what), "%s, batch %u", name, batch);
	m->unit = "ns/hint";
	m->once = once;
	m->ctx = r;
	return r;
}

static void add_ring(struct set *s, const struct ring_kind *kind, unsigned batch)
{
	struct race *r = add(s, kind->name, batch);

	r->kind = kind;
	r->lane.ring = kind->open();
}

static void add_library(struct set *s, const struct format *format, unsigned batch)
{
	struct ends_opts o = { .offer = format->offer,
			       .queue = RING_ENTRIES,
			       .memory = s->hints * BLOCK,
			       .apart = true };
	struct race *r = add(s, format->name, batch);

	r->lane.ring = r->ends = ends_open(&o);
}

static void ratio(struct bench *b, const char *what, const char *over, const char *under)
{
	char near[96], far[96];

	snprintf(near, sizeof(near), "%s, cores near", what);
	snprintf(far, sizeof(far), "%s, cores far", what);
	results_ratio(&b->results, b->workload, what, over, under);
	results_ratio_where(&b->results, b->workload, near, over, under, BALL, 0, NEAR_NS);
	results_ratio_where(&b->results, b->workload, far, over, under, BALL, NEAR_NS, INFINITY);
}

static void ratios(struct bench *b)
{
	ratio(b, "textbook over split, batch 64", "textbook split ring, batch 1",
	      "split, batch 64");
	ratio(b, "textbook over packed, batch 64", "textbook split ring, batch 1",
	      "packed, batch 64");
	ratio(b, "split over bare split ring, batch 64", "split, batch 64",
	      "bare split ring, batch 64");
	ratio(b, "packed over bare packed ring, batch 64", "packed, batch 64",
	      "bare packed ring, batch 64");
	ratio(b, "split over raw ring, batch 64", "split, batch 64", "raw ring, batch 64");
}

void two_cores_run(struct bench *b)
{
	static const unsigned batches[] = { 1, 16, 64 };
	struct set *s;

	if (clock_cores() < 2) {
		results_skip(&b->results, b->workload, "all of it", "there is one core only");
		return;
	}
	s = bench_alloc(sizeof(*s));
	s->pair = pair_open();
	s->hints = b->quick ? QUICK : HINTS;
	s->ball = ring_memory(sizeof(*s->ball));
	s->ball->pair = s->pair;
	s->ball->trips = b->quick ? 256 : 4096;
	add_ring(s, &ring_textbook, 1);
	for (size_t i = 0; i < COUNT_OF(batches); i++) {
		add_ring(s, &ring_spsc, batches[i]);
		add_ring(s, &ring_split, batches[i]);
		add_ring(s, &ring_packed, batches[i]);
		for (size_t f = 0; f < COUNT_OF(formats); f++)
			add_library(s, &formats[f], batches[i]);
	}
	s->measures[s->n] = (struct measure){
		.what = BALL, .unit = "ns", .once = ball_once, .ctx = s->ball
	};
	bench_measure(b, s->measures, s->n + 1, b->quick ? 3 : 101);
	ratios(b);

	for (unsigned i = 0; i < s->n; i++) {
		if (s->races[i].kind)
			free(s->races[i].lane.ring);
		else
			ends_close(s->races[i].ends);
	}
	pair_close(s->pair);
	free(s->ball);
	free(s);
}

void two_cores_judge(struct bench *b)
{
	const struct results *r = &b->results;
	const char *w = "two-cores";

	results_goal(&b->results, 2, "two cores: textbook ring over split, batch 64",
		     results_find(r, w, "textbook over split, batch 64"), "times", false, 10);
	results_goal(&b->results, 2, "two cores: textbook ring over packed, batch 64",
		     results_find(r, w, "textbook over packed, batch 64"), "times", false, 10);
	results_goal(&b->results, 2, "two cores: split over bare batched split ring, batch 64",
		     results_find(r, w, "split over bare split ring, batch 64"), "times", true,
		     1.6);
	results_goal(&b->results, 2, "two cores: packed over bare batched packed ring, batch 64",
		     results_find(r, w, "packed over bare packed ring, batch 64"), "times", true,
		     1.6);
}
