/* SPDX-License-Identifier: MIT */
#include "agent.h"
#include "bench.h"
#include "clock.h"
#include "ends.h"
#include <errno.h>
#include <fcntl.h>
#include <fph/shm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCKS ((AGENT_GPA + AGENT_MEMORY - AGENT_PAGES) / BLOCK)

struct agent {
	struct agent_board *board;
	struct fph_loop *loop;
	struct fph_shm_client *client;
	struct fph_guest guest;
	uint32_t id;   /* of the round that is fed */
	uint64_t sent; /* in it */
	bool gone;
};

static void on_gone(void *ctx, const char *why)
{
	(void)why;
	((struct agent *)ctx)->gone = true;
}

static void connect_to(struct agent *a)
{
	struct fph_shm_client_opts c = FPH_SHM_CLIENT_OPTS_INIT;
	struct fph_guest_opts g = FPH_GUEST_OPTS_INIT;
	uint64_t bytes = (fph_guest_ring_bytes(a->board->queue) + 4095) & ~UINT64_C(4095);
	int file = memfd_create("fph-bench-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct fph_shm_region region = { .gpa = AGENT_GPA, .len = AGENT_MEMORY, .fd = file };
	void *ring;

	BENCH_MUST(file >= 0 && ftruncate(file, (off_t)AGENT_MEMORY) == 0);
	BENCH_MUST(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	ring = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	BENCH_MUST(ring != MAP_FAILED);

	c.loop = a->loop;
	c.path = a->board->path;
	c.regions = &region;
	c.region_count = 1;
	c.gone = on_gone;
	c.ctx = a;
	BENCH_MUST(fph_shm_client_open(&a->client, &c) == 0);
	BENCH_MUST(fph_shm_client_connect(a->client) == 0);

	g.bus = fph_shm_client_bus(a->client);
	g.ring = (struct fph_region){ AGENT_GPA, bytes, ring, 0 };
	g.slots = bench_alloc(a->board->queue * sizeof(*g.slots));
	g.ring_size = a->board->queue;
	BENCH_MUST(fph_guest_init(&a->guest, &g) == 0);
	while (fph_guest_attach(&a->guest) == -EAGAIN)
		;
}

/* The step's answer; what came back is the guest's again. */
static int step(struct agent *a)
{
	struct fph_range back[AGENT_BATCH];
	int want = fph_guest_step(&a->guest, clock_ns() / 1000);

	if (want < 0 && !a->gone)
		fph_loop_run(a->loop, 100); /* is it the server's end? */
	if (a->gone)
		_exit(0);
	BENCH_MUST(want >= 0);
	while (fph_guest_reclaim(&a->guest, back, COUNT_OF(back)) > 0)
		;
	return want;
}

static void rest(struct agent *a)
{
	uint64_t until = clock_ns() + 1000 * a->board->spin_us;

	do {
		if (step(a) & FPH_GUEST_RECLAIM)
			return;
	} while (clock_ns() < until);
	fph_loop_run(a->loop, 100);
}

static void feed(struct agent *a)
{
	struct fph_range pages[AGENT_BATCH];
	uint64_t left = a->board->quota - a->sent;
	unsigned n = left < AGENT_BATCH ? (unsigned)left : AGENT_BATCH;
	int took, rc;

	if (a->board->pause_us)
		usleep((useconds_t)a->board->pause_us);
	for (unsigned i = 0; i < n; i++)
		pages[i] = (struct fph_range){ AGENT_PAGES + (a->sent + i) % BLOCKS * BLOCK,
					       BLOCK };
	atomic_store(&a->board->flushing, clock_ns());
	took = fph_guest_hint(&a->guest, pages, n);
	BENCH_MUST(took >= 0 || took == -EAGAIN);
	a->sent += took > 0 ? (uint64_t)took : 0;
	if (took > 0) {
		rc = fph_guest_flush(&a->guest);
		BENCH_MUST(rc == 0 || rc == -EAGAIN); /* called off: it all comes back */
	}
	if (a->sent == a->board->quota) {
		while ((rc = fph_guest_end(&a->guest)) == -EAGAIN)
			rest(a);
		BENCH_MUST(rc == 0);
	} else if (took >= 0 && took < (int)n) {
		rest(a);
	}
}

/* DONE was seen and all pages are back. */
static void finish(struct agent *a)
{
	struct fph_guest_stats s = FPH_GUEST_STATS_INIT;

	BENCH_MUST(fph_guest_total_stats(&a->guest, &s) == 0);
	atomic_store(&a->board->kicks, s.kicks);
	atomic_store(&a->board->cpu_ns, clock_cpu_ns());
	atomic_store(&a->board->finished, fph_guest_command_id(&a->guest));
}

void agent_main(void *board)
{
	struct agent *a = bench_alloc(sizeof(*a));

	a->board = board;
	BENCH_MUST(fph_loop_open(&a->loop, 0) == 0);
	connect_to(a);
	atomic_store(&a->board->ready, true);
	for (;;) {
		int want = step(a);
		uint32_t id = fph_guest_command_id(&a->guest);

		if (id != a->id)
			a->sent = 0;
		a->id = id;
		if ((want & FPH_GUEST_FEED) && a->sent < a->board->quota) {
			feed(a);
			continue;
		}
		if ((want & FPH_GUEST_RELEASE) && fph_guest_held(&a->guest) == 0)
			finish(a);
		fph_loop_run(a->loop, 100);
	}
}
