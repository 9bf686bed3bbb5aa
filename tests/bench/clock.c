/* SPDX-License-Identifier: MIT */
#include "clock.h"
#include "bench.h"
#include <sys/resource.h>

/* The cores as they were before any thread was pinned. */
static cpu_set_t allowed;
static unsigned cores;

unsigned clock_cores(void)
{
	if (!cores) {
		if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
			bench_fail("the cores of this process cannot be read");
		cores = (unsigned)CPU_COUNT(&allowed);
	}
	return cores;
}

void clock_pin(unsigned nth)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	nth %= clock_cores();
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && nth-- == 0)
			CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		bench_fail("a thread cannot be kept on one core");
}

static struct rusage usage(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) < 0)
		bench_fail("the use of the core cannot be read");
	return u;
}

long clock_disturbances(void)
{
	return usage().ru_nivcsw;
}

static uint64_t ns_of(struct timeval tv)
{
	return (uint64_t)tv.tv_sec * 1000000000 + (uint64_t)tv.tv_usec * 1000;
}

uint64_t clock_cpu_ns(void)
{
	struct rusage u = usage();

	return ns_of(u.ru_utime) + ns_of(u.ru_stime);
}
