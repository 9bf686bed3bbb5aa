/* SPDX-License-Identifier: MIT */
/*
 * For the tests: reads one line that fph-vfio-user-balloon printed or answered, strictly, and
 * checks what must always hold of it, and what the arguments say: json_compare().
 */
#include "support/json.h"

/* Each page has one fate; nothing is left out for a hint unless the driver is trusted. */
static void check_snapshot(struct json_object *object)
{
	demand(json_number(object, "pages") == json_number(object, "pages_hole") +
						       json_number(object, "pages_zero") +
						       json_number(object, "pages_free") +
						       json_number(object, "pages_copied"),
	       "the fates of pages are no sum");
	demand(json_number(object, "pages_hinted") ==
		       json_number(object, "pages_free") +
			       json_number(object, "pages_hinted_zero") +
			       json_number(object, "pages_hinted_copied"),
	       "the fates of hinted pages are no sum");
	demand(json_true(object, "driver_trusted") || json_number(object, "pages_free") == 0,
	       "left out for a hint alone");
}

int main(int argc, char **argv)
{
	struct json_object *object = json_of_stdin(true);

	if (json_object_object_get_ex(object, "pages_copied", NULL))
		check_snapshot(object);
	json_compare(object, argc - 1, argv + 1);
	json_object_put(object);
	return 0;
}
