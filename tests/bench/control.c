/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "clock.h"
#include "ends.h"
#include <errno.h>
#include <stdlib.h>

/*
 * How long the embedder's own calls take when the driver is at its worst honest behaviour:
 * the ring is full of hints and a batch of 64 is in hand.  One core, over loopback.
 */
#define MEMORY (UINT64_C(64) << 30)
#define BATCH  64u
#define CYCLES 64u

enum call { START, STOP, DONE, CALLS };

struct control {
	struct ends *ends;
	enum call call;
};

/* The clock's own share of a time taken. */
static uint64_t clock_cost(void)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < 1000; i++) {
		uint64_t began = clock_ns(), took = clock_ns() - began;

		best = took < best ? took : best;
	}
	return best;
}

static void load(struct ends *e)
{
	struct fph_range pages[BATCH], out[BATCH];
	uint64_t next = 0;
	int n;

	do {
		for (unsigned i = 0; i < BATCH; i++)
			pages[i] = block(next++);
		n = fph_guest_hint(&e->guest, pages, BATCH);
		BENCH_MUST(n >= 0);
	} while (n == (int)BATCH);
	BENCH_MUST(fph_guest_flush(&e->guest) == 0);
	BENCH_MUST(fph_device_poll(&e->device, out, BATCH) == (int)BATCH);
}

/* Until neither end has anything to do; the guest answers the round that is open, if any. */
static void settle(struct ends *e)
{
	struct fph_range out[BATCH];

	for (unsigned i = 0; i < 4; i++) {
		int n;

		while ((n = fph_device_poll(&e->device, out, BATCH)) > 0 || n == -EAGAIN)
			;
		BENCH_MUST(n == 0 && fph_guest_step(&e->guest, 0) >= 0);
		while (fph_guest_reclaim(&e->guest, out, BATCH) > 0)
			;
	}
	BENCH_MUST(fph_guest_held(&e->guest) == 0);
}

static uint64_t timed(int (*call)(struct fph_device *), struct fph_device *device)
{
	uint64_t began = clock_ns();
	int rc = call(device);

	began = clock_ns() - began;
	BENCH_MUST(rc == 0);
	return began;
}

static double once(void *ctx)
{
	static int (*const calls[CALLS])(struct fph_device *) = { fph_device_start, fph_device_stop,
								  fph_device_done };
	struct control *c = ctx;
	struct fph_device *device = &c->ends->device;
	uint64_t ns = 0;

	for (unsigned i = 0; i < CYCLES; i++) {
		load(c->ends);
		ns += timed(calls[c->call], device);
		if (c->call != START)
			BENCH_MUST(fph_device_start(device) == 0);
		settle(c->ends);
	}
	ns -= CYCLES * clock_cost();
	return (double)(int64_t)ns / CYCLES;
}

void control_run(struct bench *b)
{
	static const char *const names[CALLS] = { "start", "stop", "done" };
	struct control controls[COUNT_OF(formats) * CALLS];
	struct measure m[COUNT_OF(controls)];

	clock_pin(0);
	for (unsigned i = 0; i < COUNT_OF(controls); i++) {
		const struct format *f = &formats[i / CALLS];
		struct ends_opts o = { .offer = f->offer, .queue = 256, .memory = MEMORY };

		controls[i] = (struct control){ ends_open(&o), (enum call)(i % CALLS) };
		m[i] = (struct measure){ .unit = "ns", .once = once, .ctx = &controls[i] };
		snprintf(m[i].what, sizeof(m[i].what), "%s: %s, ring of 256 full, 64 in hand",
			 f->name, names[i % CALLS]);
	}
	bench_measure(b, m, COUNT_OF(m), b->quick ? 3 : 41);
	for (unsigned i = 0; i < COUNT_OF(controls); i++)
		ends_close(controls[i].ends);
}
