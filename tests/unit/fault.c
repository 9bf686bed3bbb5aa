/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <fph/fault.h>
#include <string.h>

static const char *const names[] = {
#define NAME(name, text, spec) #name,
	FPH_RULES(NAME)
#undef NAME
};

Test(fault, every_rule_has_a_text_and_a_clause)
{
	for (unsigned r = 0; r < FPH_RULE_COUNT; r++) {
		cr_expect_gt(strlen(fph_rule_name(r)), 10, "%s", names[r]);
		cr_expect_str_neq(fph_rule_name(r), "unknown rule", "%s", names[r]);
		cr_expect_eq(strncmp(fph_rule_spec(r), "virtio 1.4, ", 12), 0, "%s", names[r]);
		cr_expect(r == FPH_RULE_NONE || strchr(fph_rule_spec(r), '.') != NULL, "%s",
			  names[r]);
	}
}

Test(fault, no_two_rules_share_a_text)
{
	for (unsigned a = 0; a < FPH_RULE_COUNT; a++)
		for (unsigned b = a + 1; b < FPH_RULE_COUNT; b++)
			cr_expect_str_neq(fph_rule_name(a), fph_rule_name(b), "%s and %s",
					  names[a], names[b]);
}

Test(fault, a_number_that_is_no_rule_has_a_safe_text)
{
	static const unsigned none[] = { FPH_RULE_COUNT, FPH_RULE_COUNT + 1, 65535, ~0u };

	for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		cr_expect_str_eq(fph_rule_name(none[i]), "unknown rule");
		cr_expect_str_eq(fph_rule_spec(none[i]), "-");
	}
}

Test(fault, text_and_clause_belong_to_their_rule)
{
	cr_expect_str_eq(fph_rule_name(FPH_RULE_NONE), "no rule was broken");
	cr_expect_str_eq(fph_rule_name(FPH_RULE_COMMAND_SIZE), "command buffer is not 4 bytes");
	cr_expect_str_eq(fph_rule_spec(FPH_RULE_COMMAND_SIZE), "virtio 1.4, 5.5.6.5.1 (BH-1)");
	cr_expect_str_eq(fph_rule_spec(FPH_RULE_CHAIN_LONG), "virtio 1.4, 2.7.5.2 (V-5)");
	cr_expect_str_eq(fph_rule_spec(FPH_RULE_NEEDS_RESET), "virtio 1.4, 2.1.2 (G-5)");
}
