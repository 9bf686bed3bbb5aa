/* SPDX-License-Identifier: MIT */
/*
 * Reads what fph-bench --json prints, strictly.  Arguments: the workloads that must be
 * there, each with at least one row.  No time is judged, only that the figures can be what
 * they are said to be.
 */
#include "support/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOALS 5

static const char *text(struct json_object *object, const char *key)
{
	const char *t = json_object_get_string(json_get(object, key, json_type_string));

	demand(*t, "%s is empty", key);
	return t;
}

static double real(struct json_object *object, const char *key)
{
	double v = json_object_get_double(json_get(object, key, json_type_double));

	demand(isfinite(v), "%s is no number", key);
	return v;
}

/* Returns whether it was measured. */
static bool check_row(struct json_object *row)
{
	const char *what = text(row, "what");
	double min, low, median, high, max;

	if (json_object_object_get_ex(row, "skipped", NULL)) {
		printf("SKIP: %s: %s\n", what, text(row, "skipped"));
		demand(!getenv("FPH_REQUIRE_PEERS") || strcmp(getenv("FPH_REQUIRE_PEERS"), "1"),
		       "%s was not measured", what);
		return false;
	}
	text(row, "unit");
	demand(json_object_get_int64(json_get(row, "n", json_type_int)) > 0, "%s: no sample", what);
	min = real(row, "min");
	low = real(row, "quartile_low");
	median = real(row, "median");
	high = real(row, "quartile_high");
	max = real(row, "max");
	demand(min <= low && low <= median && median <= high && high <= max,
	       "%s: not in order: %g %g %g %g %g", what, min, low, median, high, max);
	demand(min >= 0, "%s: %g", what, min);
	return true;
}

static unsigned check_rows(struct json_object *rows, const char *workload)
{
	unsigned measured = 0, named = 0;

	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);

		if (strcmp(text(row, "workload"), workload))
			continue;
		named++;
		measured += check_row(row);
	}
	demand(named > 0, "workload %s has no row", workload);
	return measured;
}

static void check_goals(struct json_object *goals)
{
	bool seen[GOALS + 1] = { false };

	for (size_t i = 0; i < json_object_array_length(goals); i++) {
		struct json_object *goal = json_object_array_get_idx(goals, i);
		int64_t number = json_object_get_int64(json_get(goal, "goal", json_type_int));
		bool reached, at_most = !strcmp(text(goal, "compare"), "at most");
		double limit = real(goal, "limit"), measured;

		demand(number >= 1 && number <= GOALS, "goal %d", (int)number);
		seen[number] = true;
		text(goal, "what");
		if (!json_object_object_get_ex(goal, "measured", NULL))
			continue;
		measured = real(goal, "measured");
		reached = json_true(goal, "reached");
		demand(reached == (at_most ? measured <= limit : measured >= limit),
		       "goal %d: %g against %g, reached %d", (int)number, measured, limit, reached);
	}
	for (int i = 1; i <= GOALS; i++)
		demand(seen[i], "goal %d is missing", i);
}

int main(int argc, char **argv)
{
	struct json_object *object = json_of_stdin(false), *rows;
	unsigned measured = 0;

	demand(argc > 1, "which workloads?");
	text(json_get(object, "machine", json_type_object), "cpu");
	rows = json_get(object, "rows", json_type_array);
	for (int i = 1; i < argc; i++)
		measured += check_rows(rows, argv[i]);
	demand(measured > 0, "nothing was measured");
	check_goals(json_get(object, "goals", json_type_array));
	printf("%u rows of %d workloads\n", measured, argc - 1);
	json_object_put(object);
	return 0;
}
