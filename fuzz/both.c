/* SPDX-License-Identifier: MIT */
/*
 * Two honest ends, in any order, with a memory map that changes: the model and oracles of
 * tests/scenario/life.h, driven by the input.
 */
#include "ops.h"
#include "scenario/life.h"

#define STEPS_MAX 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct life life;
	struct input in = { data, size };
	uint8_t how = next8(&in);
	struct life_opts opts = {
		.pages = 2 + next8(&in) % (LIFE_PAGES - 1),
		.ring = (uint16_t)(4u << how % 3),
		.early = how & 0x40,
		/* Discarding is safe with strict hold only, and so is a lazy log. */
		.discard = (how & 0xc0) == 0x80,
		.mistake = (how & 0x60) == 0x20 ? LAZY_LOG : MISTAKE_NONE,
	};
	const char *broken;

	life_begin(&life, &opts);
	for (int i = 0; i < STEPS_MAX && in.left > 0; i++) {
		uint8_t step = next8(&in);

		life_step(&life, (enum life_step)(step % LIFE_STEPS), next8(&in));
	}
	broken = life_end(&life);
	if (broken) {
		fprintf(stderr, "%s\n", broken);
		abort();
	}
	return 0;
}
