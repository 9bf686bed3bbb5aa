/* SPDX-License-Identifier: MIT */
#include "agent.h"
#include "bench.h"
#include "child.h"
#include "clock.h"
#include "ends.h"
#include <errno.h>
#include <fph/shm.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The device end here, the guest end in another process, over shared memory and eventfds.
 * How often one has to wake the other, how long that takes, and what it costs both cores.
 */
#define PATIENCE_NS (UINT64_C(20) * 1000000000)
#define POLL_MAX    1024u
#define TIMES_MAX   64u
#define ALL	    UINT64_MAX

enum pace {
	SLEEPING, /* both ends sleep as soon as they have nothing to do */
	SPINNING, /* after 50 us without anything */
	SENDING,  /* the device looks between pages that it sends, every 20 us */
	TRICKLE,  /* the guest has a batch every millisecond; both ends sleep */
	PACES
};

static const struct {
	const char *name;
	unsigned spin_us;
	unsigned work_us;
	unsigned pause_us;
} paces[PACES] = {
	[SLEEPING] = { "busy, both sleep at once", 0, 0, 0 },
	[SPINNING] = { "busy, both look for 50 us first", 50, 0, 0 },
	[SENDING] = { "busy, device looks every 20 us", 0, 20, 0 },
	[TRICKLE] = { "a batch of 64 every 1 ms, both sleep", 0, 0, 1000 },
};

struct host {
	struct bench *b;
	struct agent_board *board;
	struct fph_loop *loop;
	struct fph_shm_server *server;
	struct fph_device *device;
	struct fph_bitmap bitmap;
	bool event_idx;
	pid_t child;
	uint64_t deadline;
};

/* ------------------------------------------------------------ both processes */

static void on_hints(void *ctx)
{
	(void)ctx; /* that the loop returns is enough */
}

static void on_gone(void *ctx, const char *why)
{
	(void)ctx;
	bench_fail("the guest's process has gone: %s", why);
}

static void turn(struct host *h)
{
	BENCH_MUST(fph_loop_run(h->loop, 100) >= 0);
	if (clock_ns() > h->deadline)
		bench_fail("the guest's process does not answer");
}

static void host_open(struct host *h, struct bench *b, uint16_t queue, bool event_idx)
{
	struct fph_shm_server_opts o = FPH_SHM_SERVER_OPTS_INIT;
	char dir[] = "/tmp/fph-bench-XXXXXX";

	*h = (struct host){ .b = b, .board = child_shared(sizeof(*h->board)) };
	h->deadline = clock_ns() + PATIENCE_NS;
	h->bitmap = ends_bitmap(AGENT_MEMORY);
	h->bitmap.base = AGENT_GPA;
	h->board->queue = queue;
	h->event_idx = event_idx;
	if (!mkdtemp(dir))
		bench_fail("no directory for a socket: %s", strerror(errno));
	snprintf(h->board->path, sizeof(h->board->path), "%s/shm", dir);
	BENCH_MUST(fph_loop_open(&h->loop, 0) == 0);
	o.loop = h->loop;
	o.path = h->board->path;
	o.device.queue_max = queue;
	o.device.offer = event_idx ? FPH_F_EVENT_IDX : 0;
	o.device.hints = on_hints;
	o.device.ctx = h;
	o.gone = on_gone;
	BENCH_MUST(fph_shm_server_open(&h->server, &o) == 0);
	h->device = fph_shm_server_device(h->server);
	h->child = child_start(agent_main, h->board);
	while (!h->board->ready)
		turn(h);
	/* Nothing is left behind, however this ends. */
	unlink(h->board->path);
	rmdir(dir);
}

static void host_close(struct host *h)
{
	fph_shm_server_close(h->server);
	fph_loop_close(h->loop);
	child_kill(h->child);
	child_shared_free(h->board, sizeof(*h->board));
	ends_bitmap_free(&h->bitmap);
}

/* ------------------------------------------------------------ one round */

/* Take and clear what is there.  Returns how many. */
static unsigned take(struct host *h, unsigned max)
{
	struct fph_range out[POLL_MAX];
	int n = fph_device_poll(h->device, out, max);

	BENCH_MUST(n >= 0 || n == -EAGAIN);
	for (int i = 0; i < n; i++)
		fph_bitmap_clear(&h->bitmap, out[i]);
	return n > 0 ? (unsigned)n : 0;
}

static void work(unsigned us)
{
	uint64_t until = clock_ns() + 1000 * (uint64_t)us;
	unsigned turns = 0;

	while (clock_ns() < until)
		clock_spin(&turns);
}

/* Between two polls, the last of which yielded n. */
static void between(struct host *h, enum pace pace, unsigned n, uint64_t *idle_since)
{
	if (paces[pace].work_us) {
		work(paces[pace].work_us);
	} else if (n > 0) {
		*idle_since = 0;
	} else if (!*idle_since) {
		*idle_since = clock_ns();
	} else if (clock_ns() - *idle_since >= 1000 * (uint64_t)paces[pace].spin_us) {
		turn(h);
		*idle_since = 0;
	}
}

/* Until so many hints came, or, of ALL, the round is over.  Returns when the first came. */
static uint64_t receive(struct host *h, enum pace pace, uint64_t hints)
{
	uint64_t got = 0, idle_since = 0, first = 0;

	h->deadline = clock_ns() + PATIENCE_NS;
	while (got < hints && !fph_device_round_over(h->device)) {
		unsigned n = take(h, pace == SENDING ? POLL_MAX : AGENT_BATCH);

		if (n > 0 && !first)
			first = clock_ns();
		got += n;
		between(h, pace, n, &idle_since);
	}
	return first;
}

static void order(struct host *h, uint64_t quota, enum pace pace)
{
	h->board->quota = quota;
	h->board->pause_us = paces[pace].pause_us;
	h->board->spin_us = paces[pace].spin_us;
}

static void settle(struct host *h)
{
	uint32_t id = fph_device_command_id(h->device);

	BENCH_MUST(fph_device_done(h->device) == 0);
	while (h->board->finished != id) {
		take(h, AGENT_BATCH);
		turn(h);
	}
}

static uint64_t interrupts(const struct host *h)
{
	struct fph_device_stats s = FPH_DEVICE_STATS_INIT;

	BENCH_MUST(fph_device_total_stats(h->device, &s) == 0);
	return s.interrupts;
}

/* ------------------------------------------------------------ figures */

enum figure { WAKEUPS, CPU, TIME, FIGURES };

static const struct {
	const char *name;
	const char *unit;
} figures[FIGURES] = {
	[WAKEUPS] = { "wake-ups", "/1000 hints" },
	[CPU] = { "time of both cores", "s/M hints" },
	[TIME] = { "time", "ns/hint" },
};

static void round_figures(struct host *h, enum pace pace, uint64_t hints, double out[FIGURES])
{
	uint64_t kicks = h->board->kicks, cpu = h->board->cpu_ns + clock_cpu_ns();
	uint64_t bells = interrupts(h), began = clock_ns();

	ends_bitmap_fill(&h->bitmap);
	order(h, hints, pace);
	BENCH_MUST(fph_device_start(h->device) == 0);
	receive(h, pace, ALL);
	began = clock_ns() - began;
	settle(h);
	kicks = h->board->kicks - kicks;
	cpu = h->board->cpu_ns + clock_cpu_ns() - cpu;
	bells = interrupts(h) - bells;
	out[WAKEUPS] = (double)(kicks + bells) / (double)hints * 1000;
	out[CPU] = (double)cpu / (double)hints / 1000;
	out[TIME] = (double)began / (double)hints;
}

static void add(struct host *h, const char *name, const char *what, const char *unit,
		const double *samples, unsigned n)
{
	char full[96];

	snprintf(full, sizeof(full), "queue %u%s, %s: %s", h->board->queue,
		 h->event_idx ? " event index" : "", name, what);
	results_add(&h->b->results, h->b->workload, full, unit, samples, n);
}

static void all_paces(struct host *h, unsigned times)
{
	double samples[PACES][FIGURES][TIMES_MAX], one[FIGURES];

	for (unsigned t = 0; t < times; t++)
		for (unsigned p = 0; p < PACES; p++) {
			uint64_t hints = p == TRICKLE ? 1024 : h->b->quick ? 4096 : 65536;

			bench_progress(h->b, paces[p].name, t * PACES + p + 1, times * PACES);
			round_figures(h, (enum pace)p, hints, one);
			for (unsigned f = 0; f < FIGURES; f++)
				samples[p][f][t] = one[f];
		}
	for (unsigned p = 0; p < PACES; p++)
		for (unsigned f = 0; f < FIGURES; f++)
			if (p != TRICKLE || f != TIME)
				add(h, paces[p].name, figures[f].name, figures[f].unit,
				    samples[p][f], times);
}

/* ------------------------------------------------------------ latency */

static void first_hints(struct host *h, unsigned times)
{
	double woken[TIMES_MAX], started[TIMES_MAX];

	for (unsigned t = 0; t < times; t++) {
		uint64_t began, first;

		order(h, AGENT_BATCH, SLEEPING);
		usleep(2000); /* both sleep */
		began = clock_ns();
		BENCH_MUST(fph_device_start(h->device) == 0);
		first = receive(h, SLEEPING, AGENT_BATCH);
		started[t] = (double)(first - began) / 1000;
		woken[t] = (double)(first - h->board->flushing) / 1000;
		settle(h);
	}
	add(h, "asleep", "from the guest's hint to the device's poll", "us", woken, times);
	add(h, "asleep", "from start to the first hint", "us", started, times);
}

static double timed(int (*call)(struct fph_device *), struct fph_device *device)
{
	uint64_t began = clock_ns();
	int rc = call(device);

	began = clock_ns() - began;
	BENCH_MUST(rc == 0);
	return (double)began;
}

/* The embedder's calls while the other process hints as fast as it can. */
static void calls(struct host *h, unsigned times)
{
	double start[TIMES_MAX], stop[TIMES_MAX], done[TIMES_MAX];

	order(h, ALL, SLEEPING);
	for (unsigned t = 0; t < times; t++) {
		BENCH_MUST(fph_device_start(h->device) == 0);
		receive(h, SLEEPING, 1024);
		stop[t] = timed(fph_device_stop, h->device);
		start[t] = timed(fph_device_start, h->device);
		receive(h, SLEEPING, 1024);
		done[t] = timed(fph_device_done, h->device);
		settle(h);
	}
	add(h, "under load", "stop", "ns", stop, times);
	add(h, "under load", "start again at once", "ns", start, times);
	add(h, "under load", "done", "ns", done, times);
}

void processes_run(struct bench *b)
{
	static const struct {
		uint16_t queue;
		bool event_idx;
	} rings[] = { { 256, false }, { 256, true }, { 1024, false }, { 1024, true } };

	if (clock_cores() < 2) {
		results_skip(&b->results, b->workload, "all of it", "there is one core only");
		return;
	}
	clock_pin(0);
	for (size_t i = 0; i < COUNT_OF(rings); i++) {
		struct host h;

		host_open(&h, b, rings[i].queue, rings[i].event_idx);
		all_paces(&h, b->quick ? 2 : 21);
		if (i == 0) {
			first_hints(&h, b->quick ? 3 : 61);
			calls(&h, b->quick ? 3 : 61);
		}
		host_close(&h);
	}
}

#define RING "queue 1024 event index, "

static void judge(struct bench *b, enum pace pace)
{
	char what[96], row[96];

	snprintf(what, sizeof(what), "wake-ups, " RING "%s", paces[pace].name);
	snprintf(row, sizeof(row), RING "%s: wake-ups", paces[pace].name);
	results_goal(&b->results, 3, what, results_find(&b->results, "processes", row),
		     "/1000 hints", true, 2);
}

void processes_judge(struct bench *b)
{
	judge(b, SLEEPING);
	judge(b, SENDING);
}
