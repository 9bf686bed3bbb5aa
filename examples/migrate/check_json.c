/* SPDX-License-Identifier: MIT */
/*
 * For the tests: reads what fph-migrate --json prints, strictly, and checks what must
 * hold of it.  Arguments: at least that share of the free memory, in percent, must
 * have been hinted and never sent; part of the dirty log's name.
 */
#include "support/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t number(struct json_object *object, const char *key)
{
	return json_object_get_uint64(json_get(object, key, json_type_int));
}

/* The totals of a run are the sums over its rounds. */
static void check_sums(struct json_object *run)
{
	static const char *const keys[] = {"pages_looked_at", "pages_zero", "pages_sent",
					   "pages_hinted", "bytes"};
	struct json_object *rounds = json_get(run, "rounds", json_type_array);
	size_t n = json_object_array_length(rounds);

	demand(n >= 2, "%zu rounds", n);
	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < n; i++)
			sum += number(json_object_array_get_idx(rounds, i), keys[k]);
		demand(sum == number(run, keys[k]), "the rounds' %s are no sum", keys[k]);
	}
	demand(number(run, "pages_looked_at") ==
		       number(run, "pages_zero") + number(run, "pages_sent"),
	       "pages looked at are neither zero nor sent");
	for (size_t i = 0; i < n; i++) {
		struct json_object *round = json_object_array_get_idx(rounds, i);

		demand(json_true(round, "guest_paused") ==
			       (i == n - 1),
		       "round %zu of %zu paused the guest, or did not", i + 1, n);
	}
}

static void check_run(struct json_object *run, bool hints)
{
	struct json_object *proof = json_get(run, "proof", json_type_object);

	demand(json_true(run, "hinting") == hints,
	       "the runs are in the wrong order");
	check_sums(run);
	demand(json_true(proof, "holds"), "no proof");
	demand(number(proof, "pages_compared") > 0 && !number(proof, "pages_different"),
	       "pages differ");
	demand((number(run, "hints") > 0) == hints &&
		       (number(run, "pages_skipped") > 0) == hints,
	       "hints in the wrong run");
	demand(json_object_get_double(json_get(run, "total_ms", json_type_double)) > 0, "no time");
}

int main(int argc, char **argv)
{
	struct json_object *object = json_of_stdin(false), *runs, *without, *with;
	double share;

	demand(argc == 3, "two arguments, please");
	runs = json_get(object, "runs", json_type_array);
	demand(json_object_array_length(runs) == 2, "not two runs");
	without = json_object_array_get_idx(runs, 0);
	with = json_object_array_get_idx(runs, 1);
	check_run(without, false);
	check_run(with, true);
	demand(json_true(object, "proved"), "not proved");
	demand(number(with, "pages_looked_at") < number(without, "pages_looked_at"),
	       "hints saved nothing");
	share = json_object_get_double(json_get(with, "free_never_sent_percent", json_type_double));
	demand(share >= atof(argv[1]), "only %.1f %% of free memory was never sent", share);
	demand(strstr(json_object_get_string(json_get(object, "dirty_log", json_type_string)),
		      argv[2]),
	       "the dirty log is not by %s", argv[2]);
	printf("%.1f %% of free memory never sent, total time %.0f ms instead of %.0f ms\n",
	       share, json_object_get_double(json_get(with, "total_ms", json_type_double)),
	       json_object_get_double(json_get(without, "total_ms", json_type_double)));
	json_object_put(object);
	return 0;
}
