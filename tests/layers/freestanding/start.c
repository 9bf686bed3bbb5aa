/* SPDX-License-Identifier: MIT */
/* A program with no C library: the core, the checks, and two system calls. */
#include "checks.h"

#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
	return to;
}

void *memset(void *to, int byte, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((unsigned char *)to)[i] = (unsigned char)byte;
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

static long syscall3(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
}

void start_in_c(void);

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	and $-16, %rsp\n"
	"	call start_in_c\n");

void start_in_c(void)
{
	char text[] = "checks.c:000 does not hold\n";
	int line = fph_checks();

	if (line) {
		for (int i = 11; i > 8; i--, line /= 10)
			text[i] = (char)('0' + line % 10);
		syscall3(1, 1, (long)text, sizeof(text) - 1);
		syscall3(231, 1, 0, 0);
	}
	syscall3(231, 0, 0, 0);
	__builtin_unreachable();
}
