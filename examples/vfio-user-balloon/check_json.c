/* SPDX-License-Identifier: MIT */
/*
 * For the tests: reads one line that fph-vfio-user-balloon printed or answered, strictly, and
 * checks what must always hold of it.  Arguments, three by three: a member; one of = < >; a
 * number (true is 1).
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

static double number(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	demand(json_object_object_get_ex(object, key, &value), "%s is missing", key);
	if (json_object_is_type(value, json_type_boolean))
		return json_object_get_boolean(value);
	demand(json_object_is_type(value, json_type_int) ||
		       json_object_is_type(value, json_type_double),
	       "%s is no number", key);
	return json_object_get_double(value);
}

/* Each page has one fate; nothing is left out for a hint unless the driver is trusted. */
static void check_snapshot(struct json_object *object)
{
	demand(number(object, "pages") ==
		       number(object, "pages_hole") + number(object, "pages_zero") +
			       number(object, "pages_free") + number(object, "pages_copied"),
	       "the fates of pages are no sum");
	demand(number(object, "pages_hinted") == number(object, "pages_free") +
							 number(object, "pages_hinted_zero") +
							 number(object, "pages_hinted_copied"),
	       "the fates of hinted pages are no sum");
	demand(number(object, "driver_trusted") != 0 || number(object, "pages_free") == 0,
	       "left out for a hint alone");
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
	static char text[1 << 14];
	struct json_object *object;
	size_t len = fread(text, 1, sizeof(text) - 1, stdin);

	demand(argc % 3 == 1 && tokener, "arguments come three by three");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	object = json_tokener_parse_ex(tokener, text, (int)len);
	demand(object != NULL, "no JSON: %s",
	       json_tokener_error_desc(json_tokener_get_error(tokener)));
	demand(strchr(text, '\n') == text + len - 1, "not one line");
	demand(strspn(text + json_tokener_get_parse_end(tokener), "\n") ==
		       len - json_tokener_get_parse_end(tokener),
	       "something after the JSON");
	if (json_object_object_get_ex(object, "pages_copied", NULL))
		check_snapshot(object);
	for (int i = 1; i < argc; i += 3) {
		double value = number(object, argv[i]);

		demand(holds(value, argv[i + 1][0], atof(argv[i + 2])), "%s is %g, not %s %s",
		       argv[i], value, argv[i + 1], argv[i + 2]);
	}
	json_object_put(object);
	json_tokener_free(tokener);
	return 0;
}
