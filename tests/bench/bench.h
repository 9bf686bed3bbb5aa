/* SPDX-License-Identifier: MIT */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "results.h"
#include <stdint.h>

/* A run of the program. */
struct bench {
	struct results results;
	const char *workload; /* the one that runs now */
	const char *program;  /* our own file, to be run by others */
	bool quick;	      /* few and short repetitions: the figures mean nothing */
	bool progress;	      /* stderr is a terminal */
};

struct workload {
	const char *name;
	const char *about;
	void (*run)(struct bench *b);
	void (*judge)(struct bench *b); /* NULL, or its goals; called in any case */
};

void one_core_run(struct bench *b);
void one_core_judge(struct bench *b);
void two_cores_run(struct bench *b);
void two_cores_judge(struct bench *b);
void processes_run(struct bench *b);
void processes_judge(struct bench *b);
void wakeup_run(struct bench *b);
void rounds_run(struct bench *b);
void rounds_judge(struct bench *b);
void bitmap_run(struct bench *b);
void bitmap_judge(struct bench *b);
void control_run(struct bench *b);
void hostile_run(struct bench *b);
void code_run(struct bench *b);

/* One thing to be measured, again and again. */
struct measure {
	char what[96];
	const char *unit;
	double (*once)(void *ctx); /* one repetition; returns the figure */
	void *ctx;
};

/*
 * Take `times` samples of each of n measures, in turns (so what changes on the machine
 * meanwhile changes for all), and add their rows.  A repetition in which another process
 * took a core from us is taken again, a few times at most.
 */
void bench_measure(struct bench *b, const struct measure *measures, unsigned n, unsigned times);
/* What is being done, for who waits; `done` of `of`. */
void bench_progress(const struct bench *b, const char *what, unsigned done, unsigned of);

/* The program cannot go on: one line, and exit. */
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Memory that is zero, and not NULL. */
void *bench_alloc(size_t bytes);
/* The same by whole pages, which nobody has touched. */
void *bench_pages(uint64_t bytes);
void bench_pages_free(void *pages, uint64_t bytes);

#define BENCH_MUST(holds)                                                                  \
	do {                                                                               \
		if (!(holds))                                                              \
			bench_fail("%s:%d: %s does not hold", __FILE__, __LINE__, #holds); \
	} while (0)

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#endif
