/* SPDX-License-Identifier: MIT */
/* Where the device end lets a ring stand: V-1, rows 14 to 18. */
#include "support/ram.h"
#include "vq.h"
#include <criterion/criterion.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static struct ram ram;

static void prepare(void)
{
	ram_init(&ram);
}

TestSuite(vq_place, .init = prepare);

static const struct {
	const char *what;
	struct fph_vq_place place;
	enum fph_rule rule;
} places[] = {
	{ "honest", { RAM_LOW, RAM_LOW + 0x1000, RAM_LOW + 0x2000, 8, 0 }, FPH_RULE_NONE },
	{ "one entry", { RAM_LOW, RAM_LOW + 0x1000, RAM_LOW + 0x2000, 1, 0 }, FPH_RULE_NONE },
	{ "largest", { RAM_LOW, RAM_LOW + 0x1000, RAM_LOW + 0x2000, 16, 0 }, FPH_RULE_NONE },
	{ "any index", { RAM_LOW, RAM_LOW + 0x1000, RAM_LOW + 0x2000, 8, 65535 }, FPH_RULE_NONE },
	{ "parts on one another", { RAM_LOW, RAM_LOW, RAM_LOW, 8, 0 }, FPH_RULE_NONE },
	{ "parts apart", { RAM_LOW, RAM_HIGH, RAM_NEXT, 8, 0 }, FPH_RULE_NONE },
	{ "at a region's end",
	  { RAM_HOLE - 128, RAM_HOLE - 22, RAM_HOLE - 72, 8, 0 },
	  FPH_RULE_NONE },
	{ "at the end of all", { 0 - UINT64_C(128), RAM_LOW, RAM_LOW, 8, 0 }, FPH_RULE_NONE },
	{ "least alignment", { RAM_LOW + 16, RAM_LOW + 2, RAM_LOW + 4, 8, 0 }, FPH_RULE_NONE },

	{ "size 0", { RAM_LOW, RAM_LOW, RAM_LOW, 0, 0 }, FPH_RULE_RING_SIZE },
	{ "size 3", { RAM_LOW, RAM_LOW, RAM_LOW, 3, 0 }, FPH_RULE_RING_SIZE },
	{ "size 12", { RAM_LOW, RAM_LOW, RAM_LOW, 12, 0 }, FPH_RULE_RING_SIZE },
	{ "size above max", { RAM_LOW, RAM_LOW, RAM_LOW, 32, 0 }, FPH_RULE_RING_SIZE },
	{ "size 32768", { RAM_LOW, RAM_LOW, RAM_LOW, 32768, 0 }, FPH_RULE_RING_SIZE },
	{ "size 65535", { RAM_LOW, RAM_LOW, RAM_LOW, 65535, 0 }, FPH_RULE_RING_SIZE },

	{ "desc off by 8", { RAM_LOW + 8, RAM_LOW, RAM_LOW, 8, 0 }, FPH_RULE_RING_ALIGN },
	{ "desc off by 1", { RAM_LOW + 1, RAM_LOW, RAM_LOW, 8, 0 }, FPH_RULE_RING_ALIGN },
	{ "driver off by 1", { RAM_LOW, RAM_LOW + 1, RAM_LOW, 8, 0 }, FPH_RULE_RING_ALIGN },
	{ "device off by 2", { RAM_LOW, RAM_LOW, RAM_LOW + 2, 8, 0 }, FPH_RULE_RING_ALIGN },

	{ "desc in the hole", { RAM_HOLE, RAM_LOW, RAM_LOW, 8, 0 }, FPH_RULE_RING_MEMORY },
	{ "driver in the hole", { RAM_LOW, RAM_HOLE, RAM_LOW, 8, 0 }, FPH_RULE_RING_MEMORY },
	{ "device in the hole", { RAM_LOW, RAM_LOW, RAM_HOLE, 8, 0 }, FPH_RULE_RING_MEMORY },
	{ "desc ends in the hole",
	  { RAM_HOLE - 112, RAM_LOW, RAM_LOW, 8, 0 },
	  FPH_RULE_RING_MEMORY },
	{ "driver ends in the hole",
	  { RAM_LOW, RAM_HOLE - 20, RAM_LOW, 8, 0 },
	  FPH_RULE_RING_MEMORY },
	{ "device ends in the hole",
	  { RAM_LOW, RAM_LOW, RAM_HOLE - 68, 8, 0 },
	  FPH_RULE_RING_MEMORY },
	{ "desc begins in the hole", { RAM_HIGH - 16, RAM_LOW, RAM_LOW, 8, 0 }, FPH_RULE_RING_MEMORY },
	{ "desc across two regions",
	  { RAM_NEXT - 64, RAM_LOW, RAM_LOW, 8, 0 },
	  FPH_RULE_RING_MEMORY },
	{ "device across two regions",
	  { RAM_LOW, RAM_LOW, RAM_NEXT - 4, 8, 0 },
	  FPH_RULE_RING_MEMORY },
	{ "desc read-only", { RAM_ROM, RAM_LOW, RAM_LOW, 8, 0 }, FPH_RULE_RING_MEMORY },
	{ "driver read-only", { RAM_LOW, RAM_ROM, RAM_LOW, 8, 0 }, FPH_RULE_RING_MEMORY },
	{ "device read-only", { RAM_LOW, RAM_LOW, RAM_ROM, 8, 0 }, FPH_RULE_RING_MEMORY },
	{ "desc not mapped", { RAM_FAR, RAM_LOW, RAM_LOW, 8, 0 }, FPH_RULE_RING_MEMORY },
	{ "device not mapped", { RAM_LOW, RAM_LOW, RAM_FAR, 8, 0 }, FPH_RULE_RING_MEMORY },
	{ "desc wraps", { 0 - UINT64_C(16), RAM_LOW, RAM_LOW, 8, 0 }, FPH_RULE_RING_MEMORY },
	{ "driver wraps", { RAM_LOW, 0 - UINT64_C(2), RAM_LOW, 8, 0 }, FPH_RULE_RING_MEMORY },
	{ "device wraps", { RAM_LOW, RAM_LOW, 0 - UINT64_C(4), 8, 0 }, FPH_RULE_RING_MEMORY },
	{ "at 0", { 0, RAM_LOW, RAM_LOW, 8, 0 }, FPH_RULE_RING_MEMORY },
};

Test(vq_place, a_ring_is_enabled_only_where_it_may_stand)
{
	for (unsigned i = 0; i < COUNT_OF(places); i++) {
		struct fph_vq_dev fresh, zero;

		memset(&fresh, 0, sizeof(fresh));
		memset(&zero, 0, sizeof(zero));
		cr_expect_eq(fph_vq_dev_enable(&fresh, &ram.mem, &places[i].place, 16, (struct fph_vq_format){ 0 }),
			     places[i].rule, "%s", places[i].what);
		if (places[i].rule)
			cr_expect_arr_eq(&fresh, &zero, sizeof(zero), "%s: changed",
					 places[i].what);
		else
			cr_expect_eq(fresh.size, places[i].place.size, "%s", places[i].what);
	}
}

Test(vq_place, the_limit_is_the_callers)
{
	struct fph_vq_place place = { RAM_HIGH, RAM_LOW, RAM_LOW + 0x20000, 32768, 0 };
	struct fph_vq_dev large;

	cr_expect_eq(fph_vq_dev_enable(&large, &ram.mem, &place, 32768, (struct fph_vq_format){ 0 }), FPH_RULE_NONE);
	cr_expect_eq(fph_vq_dev_enable(&large, &ram.mem, &place, 16384, (struct fph_vq_format){ 0 }), FPH_RULE_RING_SIZE);
}
