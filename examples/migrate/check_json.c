/* SPDX-License-Identifier: MIT */
/*
 * For the tests: reads what fph-migrate --json prints, strictly, and checks what must
 * hold of it.  Arguments: at least that share of the free memory, in percent, must
 * have been hinted and never sent; part of the dirty log's name.
 */
#include <json-c/json.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void demand(bool ok, const char *format, ...)
{
	va_list args;

	if (ok)
		return;
	va_start(args, format);
	fputs("check_json: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static struct json_object *get(struct json_object *object, const char *key, enum json_type type)
{
	struct json_object *value = NULL;

	demand(json_object_object_get_ex(object, key, &value), "%s is missing", key);
	demand(json_object_is_type(value, type), "%s has the wrong type", key);
	return value;
}

static uint64_t number(struct json_object *object, const char *key)
{
	return json_object_get_uint64(get(object, key, json_type_int));
}

/* The totals of a run are the sums over its rounds. */
static void check_sums(struct json_object *run)
{
	static const char *const keys[] = {"pages_looked_at", "pages_zero", "pages_sent",
					   "pages_hinted", "bytes"};
	struct json_object *rounds = get(run, "rounds", json_type_array);
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

		demand(json_object_get_boolean(get(round, "guest_paused", json_type_boolean)) ==
			       (i == n - 1),
		       "round %zu of %zu paused the guest, or did not", i + 1, n);
	}
}

static void check_run(struct json_object *run, bool hints)
{
	struct json_object *proof = get(run, "proof", json_type_object);

	demand(json_object_get_boolean(get(run, "hinting", json_type_boolean)) == hints,
	       "the runs are in the wrong order");
	check_sums(run);
	demand(json_object_get_boolean(get(proof, "holds", json_type_boolean)), "no proof");
	demand(number(proof, "pages_compared") > 0 && !number(proof, "pages_different"),
	       "pages differ");
	demand((number(run, "hints") > 0) == hints &&
		       (number(run, "pages_skipped") > 0) == hints,
	       "hints in the wrong run");
	demand(json_object_get_double(get(run, "total_ms", json_type_double)) > 0, "no time");
}

int main(int argc, char **argv)
{
	struct json_tokener *tokener = json_tokener_new();
	static char text[1 << 20];
	struct json_object *object, *runs, *without, *with;
	size_t len = fread(text, 1, sizeof(text) - 1, stdin);
	double share;

	demand(argc == 3 && tokener, "two arguments, please");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	object = json_tokener_parse_ex(tokener, text, (int)len);
	demand(object != NULL, "no JSON: %s",
	       json_tokener_error_desc(json_tokener_get_error(tokener)));
	demand(strspn(text + json_tokener_get_parse_end(tokener), "\n") ==
		       len - json_tokener_get_parse_end(tokener),
	       "something after the JSON");
	runs = get(object, "runs", json_type_array);
	demand(json_object_array_length(runs) == 2, "not two runs");
	without = json_object_array_get_idx(runs, 0);
	with = json_object_array_get_idx(runs, 1);
	check_run(without, false);
	check_run(with, true);
	demand(json_object_get_boolean(get(object, "proved", json_type_boolean)), "not proved");
	demand(number(with, "pages_looked_at") < number(without, "pages_looked_at"),
	       "hints saved nothing");
	share = json_object_get_double(get(with, "free_never_sent_percent", json_type_double));
	demand(share >= atof(argv[1]), "only %.1f %% of free memory was never sent", share);
	demand(strstr(json_object_get_string(get(object, "dirty_log", json_type_string)),
		      argv[2]),
	       "the dirty log is not by %s", argv[2]);
	printf("%.1f %% of free memory never sent, total time %.0f ms instead of %.0f ms\n",
	       share, json_object_get_double(get(with, "total_ms", json_type_double)),
	       json_object_get_double(get(without, "total_ms", json_type_double)));
	json_object_put(object);
	json_tokener_free(tokener);
	return 0;
}
