/* SPDX-License-Identifier: MIT */
/*
 * The same program over two formats of the ring, in step: every answer must be the same. And
 * what the plain one hands out must be what a simple reading of its ring says:
 * tests/scenario/pair.h, reference.h.
 */
#include "formats.h"
#include "scenario/pair.h"
#include "scenario/reference.h"
#include <string.h>

#define OPS_MAX 2000

static void read_op(struct input *in, struct pair_op *op)
{
	uint8_t what = next8(in);

	op->what = (enum pair_call)(what % PAIR_CALLS);
	op->n = 1 + next8(in) % PAIR_MOST;
	for (unsigned i = 0; i < op->n && op->what == PAIR_HINT; i++) {
		uint8_t where = next8(in), len = 1 + (where & 0x80 ? next8(in) % 8 : 0);

		op->ranges[i] = (struct fph_range){ PAIR_GPA + where % PAIR_PAGES * PAIR_PAGE,
						    len * PAIR_PAGE };
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pair plain, other;
	struct input in = { data, size };
	uint64_t offer = formats_of(next8(&in));
	uint16_t batch = 1 + next8(&in) % PAIR_RING;
	struct reference reference = { 0 };

	MUST(pair_set_up(&plain, 0, batch) == 0);
	MUST(pair_set_up(&other, offer, batch) == 0);
	for (int i = 0; i < OPS_MAX && in.left > 0; i++) {
		struct pair_op op;
		struct pair_answer x, y;
		const char *wrong;

		read_op(&in, &op);
		reference_before(&reference, &plain, &op);
		x = pair_carry_out(&plain, &op);
		y = pair_carry_out(&other, &op);
		wrong = reference_after(&reference, &op, &x);
		if (wrong)
			fprintf(stderr, "%s\n", wrong);
		MUST(!wrong);
		MUST(memcmp(&x, &y, sizeof(x)) == 0);
	}
	return 0;
}
