/* SPDX-License-Identifier: MIT */
#include "support/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void demand(bool ok, const char *format, ...)
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

struct json_object *json_of_stdin(bool one_line)
{
	static char text[1 << 20];
	struct json_tokener *tokener = json_tokener_new();
	size_t len = fread(text, 1, sizeof(text) - 1, stdin), end;
	struct json_object *object;

	demand(tokener != NULL, "no memory");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	object = json_tokener_parse_ex(tokener, text, (int)len);
	demand(object != NULL, "no JSON: %s",
	       json_tokener_error_desc(json_tokener_get_error(tokener)));
	end = json_tokener_get_parse_end(tokener);
	demand(strspn(text + end, "\n") == len - end, "something after the JSON");
	demand(!one_line || strchr(text, '\n') == text + len - 1, "not one line");
	json_tokener_free(tokener);
	return object;
}

struct json_object *json_at(struct json_object *object, const char *path)
{
	const char *rest = path;
	char key[64];

	while (*rest) {
		struct json_object *member = NULL;
		size_t n = strcspn(rest, ".");

		demand(n < sizeof(key), "%s is too long", path);
		memcpy(key, rest, n);
		key[n] = '\0';
		demand(json_object_object_get_ex(object, key, &member), "%s is missing", path);
		object = member;
		rest += n + (rest[n] == '.');
	}
	return object;
}

struct json_object *json_get(struct json_object *object, const char *path, enum json_type type)
{
	struct json_object *value = json_at(object, path);

	demand(json_object_is_type(value, type), "%s is no %s", path, json_type_to_name(type));
	return value;
}

bool json_true(struct json_object *object, const char *path)
{
	return json_object_get_boolean(json_get(object, path, json_type_boolean));
}

double json_number(struct json_object *object, const char *path)
{
	struct json_object *value = json_at(object, path);

	if (json_object_is_type(value, json_type_boolean))
		return json_object_get_boolean(value);
	demand(json_object_is_type(value, json_type_int) ||
		       json_object_is_type(value, json_type_double),
	       "%s is no number", path);
	return json_object_get_double(value);
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

void json_compare(struct json_object *object, int argc, char **argv)
{
	demand(argc % 3 == 0, "arguments come three by three");
	for (int i = 0; i < argc; i += 3) {
		double value = json_number(object, argv[i]);

		demand(holds(value, argv[i + 1][0], atof(argv[i + 2])), "%s is %g, not %s %s",
		       argv[i], value, argv[i + 1], argv[i + 2]);
	}
}
