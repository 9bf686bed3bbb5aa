/* SPDX-License-Identifier: MIT */
/*
 * For the tests: reads what fph-agent run --json prints, strictly, and checks what must
 * always hold of it.  Arguments, three by three: a member, as with_hints.hints; one of
 * = < >; a number.
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

static struct json_object *get(struct json_object *object, const char *path)
{
	char key[64];

	while (object && *path) {
		struct json_object *member = NULL;
		size_t n = strcspn(path, ".");

		demand(n < sizeof(key), "%s is too long", path);
		memcpy(key, path, n);
		key[n] = '\0';
		demand(json_object_object_get_ex(object, key, &member), "%s is missing", key);
		object = member;
		path += n + (path[n] == '.');
	}
	return object;
}

static double number(struct json_object *object, const char *path)
{
	struct json_object *value = get(object, path);

	demand(json_object_is_type(value, json_type_int) ||
		       json_object_is_type(value, json_type_double),
	       "%s is no number", path);
	return json_object_get_double(value);
}

/* Each page is looked at at least once a snapshot, and copied or skipped each time. */
static void check_kind(struct json_object *kind, bool hints)
{
	double skipped = number(kind, "pages_skipped"),
	       looked = number(kind, "pages_looked_at");

	demand(looked == number(kind, "pages_copied") + skipped, "pages fate is no sum");
	demand(looked >= number(kind, "pages_of_memory"), "pages were not looked at");
	demand(hints || (skipped == 0 && number(kind, "hints") == 0), "hints without hints");
	demand(number(kind, "rounds") >= 2 * number(kind, "snapshots"), "too few rounds");
	demand((number(kind, "live_pages_checked") > 0) == (number(kind, "snapshots") > 0),
	       "no page was checked");
}

static bool holds(double value, char relation, double limit)
{
	switch (relation) {
	case '=':
		return value == limit;
	case '<':
		return value < limit;
	case '>':
		return value > limit;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	struct json_tokener *tokener = json_tokener_new();
	static char text[1 << 16];
	struct json_object *object;
	size_t len = fread(text, 1, sizeof(text) - 1, stdin);

	demand(argc % 3 == 1 && tokener, "arguments come three by three");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	object = json_tokener_parse_ex(tokener, text, (int)len);
	demand(object != NULL, "no JSON: %s",
	       json_tokener_error_desc(json_tokener_get_error(tokener)));
	demand(strspn(text + json_tokener_get_parse_end(tokener), "\n") ==
		       len - json_tokener_get_parse_end(tokener),
	       "something after the JSON");
	check_kind(get(object, "without_hints"), false);
	check_kind(get(object, "with_hints"), true);
	demand(json_object_get_boolean(get(object, "ok")), "not ok");
	demand(number(object, "pages_lost") == 0, "pages were lost");
	demand(number(object, "pages_verified") > 0, "no page was verified");
	for (int i = 1; i < argc; i += 3) {
		double value = number(object, argv[i]);

		demand(holds(value, argv[i + 1][0], atof(argv[i + 2])), "%s is %g, not %s %s",
		       argv[i], value, argv[i + 1], argv[i + 2]);
	}
	json_object_put(object);
	json_tokener_free(tokener);
	return 0;
}
