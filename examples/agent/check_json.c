/* SPDX-License-Identifier: MIT */
/*
 * For the tests: reads what fph-agent run --json prints, strictly, and checks what must
 * always hold of it, and what the arguments say: json_compare().
 */
#include "support/json.h"

/* Each page is looked at at least once a snapshot, and copied or skipped each time. */
static void check_kind(struct json_object *kind, bool hints)
{
	double skipped = json_number(kind, "pages_skipped"),
	       looked = json_number(kind, "pages_looked_at"),
	       snapshots = json_number(kind, "snapshots");

	demand(looked == json_number(kind, "pages_copied") + skipped, "pages fate is no sum");
	demand(looked >= json_number(kind, "pages_of_memory"), "pages were not looked at");
	demand(hints || (skipped == 0 && json_number(kind, "hints") == 0), "hints without hints");
	demand(json_number(kind, "rounds") >= 2 * snapshots, "too few rounds");
	demand((json_number(kind, "live_pages_checked") > 0) == (snapshots > 0),
	       "no page was checked");
}

int main(int argc, char **argv)
{
	struct json_object *object = json_of_stdin(false);

	check_kind(json_at(object, "without_hints"), false);
	check_kind(json_at(object, "with_hints"), true);
	demand(json_true(object, "ok"), "not ok");
	demand(json_number(object, "pages_lost") == 0, "pages were lost");
	demand(json_number(object, "pages_verified") > 0, "no page was verified");
	json_compare(object, argc - 1, argv + 1);
	json_object_put(object);
	return 0;
}
