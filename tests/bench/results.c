/* SPDX-License-Identifier: MIT */
#include "results.h"
#include "bench.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *array, size_t count, size_t size)
{
	void *more = realloc(array, (count + 1) * size);

	if (!more)
		bench_fail("out of memory");
	memset((char *)more + count * size, 0, size);
	return more;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(const double *sorted, unsigned n, double share)
{
	double at = share * (n - 1);
	unsigned below = (unsigned)at;
	unsigned above = below + 1 < n ? below + 1 : below;

	return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

static void summarize(struct row *row)
{
	double *sorted = bench_alloc(row->n * sizeof(*sorted));

	memcpy(sorted, row->samples, row->n * sizeof(*sorted));
	qsort(sorted, row->n, sizeof(*sorted), compare);
	row->min = sorted[0];
	row->low = quantile(sorted, row->n, 0.25);
	row->median = quantile(sorted, row->n, 0.5);
	row->high = quantile(sorted, row->n, 0.75);
	row->max = sorted[row->n - 1];
	free(sorted);
}

static struct row *new_row(struct results *r, const char *workload, const char *what)
{
	struct row *row;

	if (results_find(r, workload, what))
		bench_fail("two rows of %s have the name \"%s\"", workload, what);
	r->rows = grown(r->rows, r->row_count, sizeof(*r->rows));
	row = &r->rows[r->row_count++];
	row->workload = workload;
	snprintf(row->what, sizeof(row->what), "%s", what);
	return row;
}

void results_add(struct results *r, const char *workload, const char *what, const char *unit,
		 const double *samples, unsigned n)
{
	struct row *row = new_row(r, workload, what);

	row->unit = unit;
	row->n = n;
	row->samples = bench_alloc(n * sizeof(*samples));
	memcpy(row->samples, samples, n * sizeof(*samples));
	summarize(row);
}

void results_skip(struct results *r, const char *workload, const char *what, const char *why)
{
	struct row *row = new_row(r, workload, what);

	row->unit = "";
	snprintf(row->skipped, sizeof(row->skipped), "%s", why);
}

const struct row *results_find(const struct results *r, const char *workload, const char *what)
{
	for (size_t i = 0; i < r->row_count; i++)
		if (!r->rows[i].skipped[0] && !strcmp(r->rows[i].workload, workload) &&
		    !strcmp(r->rows[i].what, what))
			return &r->rows[i];
	return NULL;
}

void results_ratio_where(struct results *r, const char *workload, const char *what, const char *a,
			 const char *b, const char *by, double from, double to)
{
	const struct row *over = results_find(r, workload, a);
	const struct row *under = results_find(r, workload, b);
	const struct row *chosen = results_find(r, workload, by);
	double *ratios;
	unsigned n = 0;

	if (!over || !under || !chosen || over->n != under->n || over->n != chosen->n)
		return;
	ratios = bench_alloc(over->n * sizeof(*ratios));
	for (unsigned i = 0; i < over->n; i++)
		if (chosen->samples[i] >= from && chosen->samples[i] < to)
			ratios[n++] = over->samples[i] / under->samples[i];
	if (n > 0)
		results_add(r, workload, what, "times", ratios, n);
	free(ratios);
}

void results_ratio(struct results *r, const char *workload, const char *what, const char *a,
		   const char *b)
{
	results_ratio_where(r, workload, what, a, b, a, -INFINITY, INFINITY);
}

void results_goal(struct results *r, int number, const char *what, const struct row *row,
		  const char *unit, bool at_most, double limit)
{
	struct goal *goal;

	r->goals = grown(r->goals, r->goal_count, sizeof(*r->goals));
	goal = &r->goals[r->goal_count++];
	goal->number = number;
	snprintf(goal->what, sizeof(goal->what), "%s", what);
	goal->unit = unit;
	goal->limit = limit;
	goal->at_most = at_most;
	goal->measured = row != NULL;
	if (!row)
		return;
	goal->value = row->median;
	goal->reached = at_most ? row->median <= limit : row->median >= limit;
}

void results_free(struct results *r)
{
	for (size_t i = 0; i < r->row_count; i++)
		free(r->rows[i].samples);
	free(r->rows);
	free(r->goals);
}
