/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "clock.h"
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#define RETRIES 8

void bench_fail(const char *format, ...)
{
	va_list args;

	fputs("fph-bench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(3);
}

void *bench_alloc(size_t bytes)
{
	void *p = calloc(1, bytes ? bytes : 1);

	if (!p)
		bench_fail("out of memory");
	return p;
}

void *bench_pages(uint64_t bytes)
{
	void *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		bench_fail("no memory for %llu MiB", (unsigned long long)bytes >> 20);
	return p;
}

void bench_pages_free(void *pages, uint64_t bytes)
{
	munmap(pages, (size_t)bytes);
}

void bench_progress(const struct bench *b, const char *what, unsigned done, unsigned of)
{
	if (b->progress)
		fprintf(stderr, "\r\033[K%s: %s (%u of %u)", b->workload, what, done, of);
}

static double once(const struct measure *m)
{
	for (unsigned tries = RETRIES;; tries--) {
		long before = clock_disturbances();
		double value = m->once(m->ctx);

		if (tries == 0 || clock_disturbances() == before)
			return value;
	}
}

void bench_measure(struct bench *b, const struct measure *measures, unsigned n, unsigned times)
{
	double *samples = bench_alloc(sizeof(*samples) * n * times);

	for (unsigned i = 0; i < n; i++)
		measures[i].once(measures[i].ctx); /* caches and page tables warm up */
	for (unsigned t = 0; t < times; t++)
		for (unsigned i = 0; i < n; i++) {
			bench_progress(b, measures[i].what, t * n + i + 1, n * times);
			samples[i * times + t] = once(&measures[i]);
		}
	for (unsigned i = 0; i < n; i++)
		results_add(&b->results, b->workload, measures[i].what, measures[i].unit,
			    samples + i * times, times);
	free(samples);
}
