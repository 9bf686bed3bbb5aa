/* SPDX-License-Identifier: MIT */
#ifndef TESTS_IO_BELL_H
#define TESTS_IO_BELL_H

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fph/loop.h>

/* A descriptor in a loop, and how often it was called for. */
struct bell {
	int fd;
	unsigned calls;
	size_t take; /* bytes to read when called */
	struct fph_loop *loop;
	struct bell *other;
};

/* Counts, and takes what it is told to; ctx is a struct bell. */
void bell_count(void *ctx);
/* A new eventfd, and a count of one on it. */
int bell_make(void);
void bell_ring(int fd);

/* A loop of the kind with that number: 0 io_uring, 1 poll(2). */
struct fph_loop *loop_of_kind(size_t kind);

/* A test that runs with each kind of loop. */
#define BOTH(suite, name)                                                                          \
	ParameterizedTestParameters(suite, name)                                                   \
	{                                                                                          \
		static size_t which[] = { 0, 1 };                                                  \
		return cr_make_param_array(size_t, which, 2);                                      \
	}                                                                                          \
	ParameterizedTest(size_t *kind, suite, name)

#endif
