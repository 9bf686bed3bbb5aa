/* SPDX-License-Identifier: MIT */
#include "checks.h"

#include <stdio.h>

int main(void)
{
	const unsigned one = 1;
	int line = fph_checks();

	printf("%u-bit, %s-endian: ", (unsigned)sizeof(void *) * 8,
	       *(const unsigned char *)&one ? "little" : "big");
	if (line)
		printf("checks.c:%d does not hold\n", line);
	else
		printf("all checks hold\n");
	return line != 0;
}
