/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "child.h"
#include "clock.h"
#include <errno.h>
#include <fph/loop.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * A round trip: this process signals, the other one wakes and signals back, this one wakes.
 * Each on a core of its own, so that what is measured is the waking and not the sharing.
 */
#define TRIPS 100u

enum wait_kind { WAIT_READ, WAIT_POLL, WAIT_LOOP, WAIT_URING, WAIT_SPIN };

struct way {
	const char *name;
	enum wait_kind wait;
	unsigned loop_flags;
	bool write_by_uring;
};

static const struct way ways[] = {
	{ "wait by a blocking read, signal by write", WAIT_READ, 0, false },
	{ "wait by poll, signal by write", WAIT_POLL, 0, false },
	{ "wait by io_uring, signal by write", WAIT_URING, 0, false },
	{ "wait by io_uring, signal by io_uring", WAIT_URING, 0, true },
	{ "fph_loop with poll, signal by write", WAIT_LOOP, FPH_LOOP_POLL, false },
	{ "fph_loop with io_uring, signal by write", WAIT_LOOP, 0, false },
	{ "no sleep: both spin on non-blocking reads", WAIT_SPIN, 0, false },
};

/* One process's end of it. */
struct end {
	const struct way *way;
	int in, out;
	struct io_uring ring;
	struct fph_loop *loop;
};

struct pong {
	struct end end; /* of this process */
	struct end far;
	pid_t child;
};

static void drain(int fd, bool must)
{
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof(count));

	BENCH_MUST(n == (ssize_t)sizeof(count) || (!must && errno == EAGAIN));
}

static void on_ready(void *ctx)
{
	drain(*(const int *)ctx, true);
}

/* In the process that will use it. */
static void end_open(struct end *e)
{
	if (e->way->wait == WAIT_URING || e->way->write_by_uring)
		BENCH_MUST(io_uring_queue_init(8, &e->ring, 0) == 0);
	if (e->way->wait == WAIT_LOOP) {
		BENCH_MUST(fph_loop_open(&e->loop, e->way->loop_flags) == 0);
		BENCH_MUST(fph_loop_add(e->loop, e->in, on_ready, &e->in) == 0);
	}
}

static void end_close(struct end *e)
{
	if (e->way->wait == WAIT_URING || e->way->write_by_uring)
		io_uring_queue_exit(&e->ring);
	fph_loop_close(e->loop);
	close(e->in);
	close(e->out);
}

static void complete(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int rc;

	do {
		rc = io_uring_submit_and_wait(ring, 1);
	} while (rc == -EINTR);
	BENCH_MUST(rc >= 0 && io_uring_peek_cqe(ring, &cqe) == 0 && cqe->res > 0);
	io_uring_cqe_seen(ring, cqe);
}

static void signal_it(struct end *e)
{
	static const uint64_t one = 1;

	if (!e->way->write_by_uring) {
		BENCH_MUST(write(e->out, &one, sizeof(one)) == (ssize_t)sizeof(one));
		return;
	}
	io_uring_prep_write(io_uring_get_sqe(&e->ring), e->out, &one, sizeof(one), 0);
	complete(&e->ring);
}

static void spin_read(int fd)
{
	uint64_t count;
	unsigned turns = 0;

	while (read(fd, &count, sizeof(count)) < 0) {
		BENCH_MUST(errno == EAGAIN);
		clock_spin(&turns);
	}
}

static void wait_for(struct end *e)
{
	struct pollfd p = { .fd = e->in, .events = POLLIN };

	switch (e->way->wait) {
	case WAIT_SPIN:
		spin_read(e->in);
		return;
	case WAIT_LOOP:
		BENCH_MUST(fph_loop_run(e->loop, -1) == 1);
		return;
	case WAIT_POLL:
		BENCH_MUST(poll(&p, 1, -1) == 1);
		break;
	case WAIT_URING:
		io_uring_prep_poll_add(io_uring_get_sqe(&e->ring), e->in, POLLIN);
		complete(&e->ring);
		break;
	case WAIT_READ:
		break;
	}
	drain(e->in, true);
}

static void answer(void *ctx)
{
	struct end *e = ctx;

	end_open(e);
	for (;;) {
		wait_for(e);
		signal_it(e);
	}
}

static void trips(struct pong *p)
{
	for (unsigned i = 0; i < TRIPS; i++) {
		signal_it(&p->end);
		wait_for(&p->end);
	}
}

static double once(void *ctx)
{
	struct pong *p = ctx;
	uint64_t began;

	trips(p); /* how deep a core sleeps depends on what it slept before */
	began = clock_ns();
	trips(p);
	return (double)(clock_ns() - began) / TRIPS / 1000;
}

static bool have_uring(void)
{
	struct io_uring ring;

	if (io_uring_queue_init(8, &ring, 0) < 0)
		return false;
	io_uring_queue_exit(&ring);
	return true;
}

static void pong_open(struct pong *p, const struct way *way)
{
	int flags = EFD_CLOEXEC | (way->wait == WAIT_SPIN ? EFD_NONBLOCK : 0);

	p->end = (struct end){ .way = way, .in = eventfd(0, flags), .out = eventfd(0, flags) };
	p->far = (struct end){ .way = way, .in = p->end.out, .out = p->end.in };
	BENCH_MUST(p->end.in >= 0 && p->end.out >= 0);
	p->child = child_start(answer, &p->far);
	end_open(&p->end);
}

void wakeup_run(struct bench *b)
{
	struct pong pongs[COUNT_OF(ways)];
	struct measure m[COUNT_OF(ways)];
	unsigned n = 0;

	if (clock_cores() < 2) {
		results_skip(&b->results, b->workload, "all of it", "there is one core only");
		return;
	}
	clock_pin(0);
	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		if (ways[i].wait == WAIT_URING && !have_uring()) {
			results_skip(&b->results, b->workload, ways[i].name,
				     "the kernel permits no io_uring");
			continue;
		}
		pong_open(&pongs[n], &ways[i]);
		m[n] = (struct measure){ .unit = "us", .once = once, .ctx = &pongs[n] };
		snprintf(m[n].what, sizeof(m[n].what), "round trip: %s", ways[i].name);
		n++;
	}
	bench_measure(b, m, n, b->quick ? 3 : 41);
	for (unsigned i = 0; i < n; i++) {
		child_kill(pongs[i].child);
		end_close(&pongs[i].end);
	}
}
