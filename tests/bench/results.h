/* SPDX-License-Identifier: MIT */
#ifndef BENCH_RESULTS_H
#define BENCH_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* What was measured.  One for the program, grown as workloads add to it. */

struct row {
	const char *workload;
	char what[96];
	const char *unit;
	char skipped[64]; /* why nothing was measured, or "" */
	unsigned n;
	double *samples;		    /* in the order they were taken; NULL if skipped */
	double min, low, median, high, max; /* low, high: quartiles */
};

struct goal {
	int number;
	char what[96];
	const char *unit;
	double limit;
	bool at_most;  /* or at least */
	bool measured; /* false: what it is computed from was not run */
	double value;
	bool reached;
};

struct results {
	struct row *rows;
	size_t row_count;
	struct goal *goals;
	size_t goal_count;
};

/* Copies the samples.  `workload` and `unit` are kept as pointers. */
void results_add(struct results *r, const char *workload, const char *what, const char *unit,
		 const double *samples, unsigned n);
void results_skip(struct results *r, const char *workload, const char *what, const char *why);
/* The row of that name, or NULL: it was not run, or skipped. */
const struct row *results_find(const struct results *r, const char *workload, const char *what);
/*
 * A row of ratios, a over b, each of two samples that were taken one after the other.  Does
 * nothing unless both rows are there.
 */
void results_ratio(struct results *r, const char *workload, const char *what, const char *a,
		   const char *b);
/* Of those samples only whose neighbour in the row `by` is at least `from` and below `to`. */
void results_ratio_where(struct results *r, const char *workload, const char *what, const char *a,
			 const char *b, const char *by, double from, double to);

/* `row` is what it is judged by, its median; NULL: not measured. */
void results_goal(struct results *r, int number, const char *what, const struct row *row,
		  const char *unit, bool at_most, double limit);

void results_free(struct results *r);

void results_table(const struct results *r, FILE *out);
/* Returns 0 or -ENOMEM.  `quick` is told with it. */
int results_json(const struct results *r, bool quick, FILE *out);

#endif
