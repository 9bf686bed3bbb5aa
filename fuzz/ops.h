/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_OPS_H
#define FUZZ_OPS_H

#include <fph/types.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * What the targets share: an input is a program, read byte by byte; a target ends when
 * it is used up.  Everything is static and made anew for each input.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t next8(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

static inline uint16_t next16(struct input *in)
{
	uint8_t low = next8(in);

	return (uint16_t)(low | next8(in) << 8);
}

static inline uint32_t next32(struct input *in)
{
	uint32_t low = next16(in);

	return low | (uint32_t)next16(in) << 16;
}

static inline uint64_t next64(struct input *in)
{
	uint64_t low = next32(in);

	return low | (uint64_t)next32(in) << 32;
}

/* An oracle: what must hold whatever the other end does. */
#define MUST(holds)                                                                                \
	do {                                                                                       \
		if (!(holds)) {                                                                    \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #holds);  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#endif
