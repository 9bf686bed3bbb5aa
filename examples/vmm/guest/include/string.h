/* SPDX-License-Identifier: MIT */
#ifndef GUEST_STRING_H
#define GUEST_STRING_H

#include <stddef.h>

/* All of a C library that libfph asks for; hardware.c has it. */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
