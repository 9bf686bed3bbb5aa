/* SPDX-License-Identifier: MIT */
#ifndef FPH_TESTS_STRING_H
#define FPH_TESTS_STRING_H

#include <stddef.h>

/* All that the core asks of a C library. */
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
