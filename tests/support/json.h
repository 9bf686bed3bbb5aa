/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_JSON_H
#define SUPPORT_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * For programs that judge what another program prints by --json.  Whatever is not as
 * demanded ends the program with a line on stderr and exit status 1.
 */
__attribute__((format(printf, 2, 3))) void demand(bool ok, const char *format, ...);

/* All of standard input: one value, read strictly, on one line if that is asked for. */
struct json_object *json_of_stdin(bool one_line);

/* A member, named by keys with dots between; of any type, or of that one. */
struct json_object *json_at(struct json_object *object, const char *path);
struct json_object *json_get(struct json_object *object, const char *path, enum json_type type);
bool json_true(struct json_object *object, const char *path);
/* true is 1 */
double json_number(struct json_object *object, const char *path);

/* Arguments, three by three: a member; one of = < >; a number. */
void json_compare(struct json_object *object, int argc, char **argv);

#endif
