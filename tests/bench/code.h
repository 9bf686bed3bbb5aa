/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CODE_H
#define BENCH_CODE_H

/* Hints that code_instructions() carries through a ring. */
#define CODE_HINTS 8192u

/*
 * What is run under callgrind: CODE_HINTS hints by ends_pass(), batch 64, with the bitmap.
 * Returns 0, or -EINVAL: no format of that name.
 */
int code_instructions(const char *format);

#endif
