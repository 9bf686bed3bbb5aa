/* SPDX-License-Identifier: MIT */
#include "clock.h"
#include "results.h"
#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/utsname.h>

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

/* What it ran on, without its name. */
struct machine {
	char cpu[128];
	char kernel[sizeof(((struct utsname *)0)->release)];
	unsigned cores;
};

static struct machine machine(void)
{
	struct machine m = { .cpu = "unknown", .kernel = "unknown", .cores = clock_cores() };
	FILE *info = fopen("/proc/cpuinfo", "r");
	struct utsname u;
	char line[256];

	while (info && fgets(line, sizeof(line), info))
		if (sscanf(line, "model name : %127[^\n]", m.cpu) == 1)
			break;
	if (info)
		fclose(info);
	if (uname(&u) == 0)
		snprintf(m.kernel, sizeof(m.kernel), "%s", u.release);
	return m;
}

static const char *optimized(void)
{
#ifdef __OPTIMIZE__
	return "optimized";
#else
	return "not optimized";
#endif
}

/* ------------------------------------------------------------ table */

/* Three digits that count, never as an exponent. */
static const char *figure(char *room, size_t size, double v)
{
	int places = 0;

	if (v < 0.9995 && v > 0)
		places = 3;
	else if (v < 9.995)
		places = 2;
	else if (v < 99.95)
		places = 1;
	snprintf(room, size, "%.*f", v == 0 ? 0 : places, v);
	return room;
}

static void print_row(const struct row *row, FILE *out)
{
	char text[5][32];

	if (row->skipped[0]) {
		fprintf(out, "  SKIP %-65s %s\n", row->what, row->skipped);
		return;
	}
	fprintf(out, "  %-58s %10s %-12s %9s %9s %9s %9s %5u\n", row->what,
		figure(text[0], sizeof(text[0]), row->median), row->unit,
		figure(text[1], sizeof(text[1]), row->low),
		figure(text[2], sizeof(text[2]), row->high),
		figure(text[3], sizeof(text[3]), row->min),
		figure(text[4], sizeof(text[4]), row->max), row->n);
}

static void print_goal(const struct goal *goal, FILE *out)
{
	char limit[32], value[32];

	figure(limit, sizeof(limit), goal->limit);
	figure(value, sizeof(value), goal->value);
	fprintf(out, "  %d %-66s %s %7s %-12s %9s  reached: %s\n", goal->number, goal->what,
		goal->at_most ? "<=" : ">=", limit, goal->unit, goal->measured ? value : "-",
		!goal->measured ? "not measured" :
		goal->reached	? "yes" :
				  "no");
}

void results_table(const struct results *r, FILE *out)
{
	struct machine m = machine();
	const char *workload = "";

	fprintf(out, "%u cores of %s, Linux %s, %s, %s\n", m.cores, m.cpu, m.kernel, COMPILER,
		optimized());
	for (size_t i = 0; i < r->row_count; i++) {
		if (strcmp(workload, r->rows[i].workload)) {
			workload = r->rows[i].workload;
			fprintf(out, "\n%-60s %10s %-12s %9s %9s %9s %9s %5s\n", workload, "median",
				"unit", "quartile", "quartile", "min", "max", "n");
		}
		print_row(&r->rows[i], out);
	}
	if (r->goal_count)
		fprintf(out, "\n%-70s %10s %-12s %9s\n", "goals", "goal", "", "measured");
	for (size_t i = 0; i < r->goal_count; i++)
		print_goal(&r->goals[i], out);
}

/* ------------------------------------------------------------ JSON */

static void put_real(struct json_object *object, const char *key, double value)
{
	json_object_object_add(object, key, json_object_new_double(value));
}

static void put_text(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

static void put_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

static void put_count(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static struct json_object *row_object(const struct row *row)
{
	struct json_object *object = json_object_new_object();

	put_text(object, "workload", row->workload);
	put_text(object, "what", row->what);
	if (row->skipped[0]) {
		put_text(object, "skipped", row->skipped);
		return object;
	}
	put_text(object, "unit", row->unit);
	put_count(object, "n", row->n);
	put_real(object, "median", row->median);
	put_real(object, "quartile_low", row->low);
	put_real(object, "quartile_high", row->high);
	put_real(object, "min", row->min);
	put_real(object, "max", row->max);
	return object;
}

static struct json_object *goal_object(const struct goal *goal)
{
	struct json_object *object = json_object_new_object();

	put_count(object, "goal", (uint64_t)goal->number);
	put_text(object, "what", goal->what);
	put_text(object, "unit", goal->unit);
	put_text(object, "compare", goal->at_most ? "at most" : "at least");
	put_real(object, "limit", goal->limit);
	if (goal->measured) {
		put_real(object, "measured", goal->value);
		put_bool(object, "reached", goal->reached);
	}
	return object;
}

static struct json_object *machine_object(void)
{
	struct json_object *object = json_object_new_object();
	struct machine m = machine();

	put_count(object, "cores", m.cores);
	put_text(object, "cpu", m.cpu);
	put_text(object, "kernel", m.kernel);
	put_text(object, "compiler", COMPILER);
	put_text(object, "build", optimized());
	return object;
}

int results_json(const struct results *r, bool quick, FILE *out)
{
	struct json_object *object = json_object_new_object(), *rows = json_object_new_array(),
			   *goals = json_object_new_array();
	const char *text;

	if (!object || !rows || !goals)
		return -ENOMEM;
	json_object_object_add(object, "machine", machine_object());
	put_bool(object, "quick", quick);
	for (size_t i = 0; i < r->row_count; i++)
		json_object_array_add(rows, row_object(&r->rows[i]));
	for (size_t i = 0; i < r->goal_count; i++)
		json_object_array_add(goals, goal_object(&r->goals[i]));
	json_object_object_add(object, "rows", rows);
	json_object_object_add(object, "goals", goals);
	text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY);
	if (text)
		fprintf(out, "%s\n", text);
	json_object_put(object);
	return text ? 0 : -ENOMEM;
}
