/* SPDX-License-Identifier: MIT */
#ifndef FPH_EXAMPLES_OUTPUT_H
#define FPH_EXAMPLES_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

/* A result that nobody can read is no success: false, after a line on stderr that says so. */
static inline bool output_is_written(const char *program)
{
	bool flushed = fflush(stdout) == 0;

	if (flushed && !ferror(stdout))
		return true;
	fprintf(stderr, "%s: the result could not be written; see where standard output goes\n",
		program);
	return false;
}

#endif
