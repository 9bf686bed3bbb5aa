/* SPDX-License-Identifier: MIT */
#include <fph/fault.h>

const char *fph_rule_name(unsigned rule)
{
	switch (rule) {
#define NAME(name, text, spec)                                                                     \
	case FPH_RULE_##name:                                                                      \
		return text;
		FPH_RULES(NAME)
#undef NAME
	default:
		return "unknown rule";
	}
}

const char *fph_rule_spec(unsigned rule)
{
	switch (rule) {
#define SPEC(name, text, spec)                                                                     \
	case FPH_RULE_##name:                                                                      \
		return "virtio 1.4, " spec;
		FPH_RULES(SPEC)
#undef SPEC
	default:
		return "-";
	}
}
