/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_TRACE_H
#define SUPPORT_TRACE_H

#include <fph/transport.h>

/*
 * A bus that writes down every call, one line each, then makes it:
 *
 *	bus config[8] 4 -> 01 00 00 80
 *	bus notify[3]
 *	bus set_status 0x0b -> -EPROTO
 */
struct trace {
	struct fph_bus under;
	size_t len;
	char text[16384]; /* always ends with a NUL; the test stops if it overflows */
};

/* Begin with an empty text. */
struct fph_bus trace_bus(struct trace *trace, struct fph_bus under);

/* Add a line of the test's own. */
__attribute__((format(printf, 2, 3))) void trace_line(struct trace *trace, const char *format,
						       ...);

/* Forget what was written. */
void trace_clear(struct trace *trace);

/* "EPROTO", or the number in text for one without a name here; for a positive number. */
const char *trace_errno(int error);

#endif
