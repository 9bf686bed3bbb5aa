/* SPDX-License-Identifier: MIT */
#include "code.h"
#include "bench.h"
#include "ends.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * What can be counted and not only timed: bytes of code, bytes of stack, instructions of a
 * hint.  The work is done by the script `measure-code`, which prints a line a figure:
 * number, unit, name; or "SKIP why: name".
 */

int code_instructions(const char *format)
{
	for (size_t f = 0; f < COUNT_OF(formats); f++) {
		struct ends_opts o = { .offer = formats[f].offer,
				       .queue = 256,
				       .memory = CODE_HINTS * BLOCK };
		struct pass p = { .blocks = CODE_HINTS, .stride = 1, .batch = 64 };
		struct fph_bitmap bitmap;

		if (strcmp(format, formats[f].name))
			continue;
		bitmap = ends_bitmap(o.memory);
		p.ends = ends_open(&o);
		p.bitmap = &bitmap;
		ends_pass(&p);
		ends_close(p.ends);
		ends_bitmap_free(&bitmap);
		return 0;
	}
	return -EINVAL;
}

/* The units of the script, as constants. */
static const char *unit_of(const char *word)
{
	static const char *const units[] = { "bytes", "instr/hint" };

	for (size_t i = 0; i < COUNT_OF(units); i++)
		if (!strcmp(word, units[i]))
			return units[i];
	bench_fail("measure-code: unknown unit %s", word);
}

static void take_line(struct bench *b, char *line)
{
	char unit[32], *name;
	double value;
	int at = 0;

	line[strcspn(line, "\n")] = 0;
	if (!strncmp(line, "SKIP ", 5) && (name = strstr(line, ": "))) {
		*name = 0;
		results_skip(&b->results, b->workload, name + 2, line + 5);
		return;
	}
	if (sscanf(line, "%lf %31s %n", &value, unit, &at) < 2 || !at)
		bench_fail("measure-code: %s", line);
	results_add(&b->results, b->workload, line + at, unit_of(unit), &value, 1);
	bench_progress(b, line + at, (unsigned)b->results.row_count,
		       (unsigned)b->results.row_count);
}

void code_run(struct bench *b)
{
	char command[8192], line[512];
	FILE *script;
	int rc;

	snprintf(command, sizeof(command), "'%s/measure-code' '%s' %u %s 2>&1", BENCH_DIR,
		 b->program, CODE_HINTS, b->quick ? "quick" : "all");
	bench_progress(b, "compiling", 0, 1);
	script = popen(command, "r");
	if (!script)
		bench_fail("measure-code cannot be run: %s", strerror(errno));
	while (fgets(line, sizeof(line), script))
		take_line(b, line);
	rc = pclose(script);
	if (rc != 0)
		bench_fail("measure-code failed");
}
