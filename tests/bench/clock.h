/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <sched.h>
#include <stdint.h>
#include <time.h>

/* Nanoseconds of a clock that never goes back, the same in all processes. */
static inline uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Nanoseconds of a core that this process used. */
uint64_t clock_cpu_ns(void);

/* Cores that this process may use. */
unsigned clock_cores(void);
/* Keep the calling thread on the nth of them. */
void clock_pin(unsigned nth);

/* How often a thread of this process was made to give its core to another process. */
long clock_disturbances(void);

/*
 * One turn of a wait for the other end.  It spins, and after a while it lets others have
 * the core: the other end may wait for just that.
 */
static inline void clock_spin(unsigned *turns)
{
	if (++*turns % 4096 == 0) {
		sched_yield();
		return;
	}
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

#endif
