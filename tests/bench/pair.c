/* SPDX-License-Identifier: MIT */
#include "pair.h"
#include "bench.h"
#include "clock.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

struct pair {
	pthread_t thread;
	sem_t work;
	void (*far)(void *ctx); /* NULL: end */
	void *ctx;
	_Alignas(64) atomic_uint there; /* 1: awake; 2: go; 3: done */
};

static void wait_for(struct pair *p, unsigned state)
{
	unsigned turns = 0;

	while (atomic_load_explicit(&p->there, memory_order_acquire) != state)
		clock_spin(&turns);
}

static void *thread(void *arg)
{
	struct pair *p = arg;

	clock_pin(1);
	for (;;) {
		while (sem_wait(&p->work) < 0)
			;
		if (!p->far)
			return NULL;
		atomic_store_explicit(&p->there, 1, memory_order_release);
		wait_for(p, 2);
		p->far(p->ctx);
		atomic_store_explicit(&p->there, 3, memory_order_release);
	}
}

struct pair *pair_open(void)
{
	struct pair *p = aligned_alloc(64, sizeof(*p));

	if (!p)
		bench_fail("out of memory");
	atomic_init(&p->there, 0);
	clock_pin(0);
	BENCH_MUST(sem_init(&p->work, 0, 0) == 0);
	BENCH_MUST(pthread_create(&p->thread, NULL, thread, p) == 0);
	return p;
}

void pair_close(struct pair *p)
{
	p->far = NULL;
	sem_post(&p->work);
	pthread_join(p->thread, NULL);
	sem_destroy(&p->work);
	free(p);
}

uint64_t pair_run(struct pair *p, void (*near)(void *ctx), void (*far)(void *ctx), void *ctx)
{
	uint64_t began, took;

	p->far = far;
	p->ctx = ctx;
	sem_post(&p->work);
	wait_for(p, 1);
	atomic_store_explicit(&p->there, 2, memory_order_release);
	began = clock_ns();
	near(ctx);
	took = clock_ns() - began;
	wait_for(p, 3);
	return took;
}
