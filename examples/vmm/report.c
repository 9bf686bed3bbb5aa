/* SPDX-License-Identifier: MIT */
#include "migrate.h"
#include <json-c/json.h>
#include <stdio.h>

struct row {
	const char *name;
	const char *key;
	uint64_t (*value)(const struct outcome *o);
};

#define FIELD(member)                                                                              \
	static uint64_t get_##member(const struct outcome *o)                                      \
	{                                                                                          \
		return o->member;                                                                  \
	}
FIELD(rounds)
FIELD(looked_at)
FIELD(sent)
FIELD(zero)
FIELD(hinted)
FIELD(bytes)
FIELD(hint_count)
FIELD(good)
FIELD(bad)

static const struct row rows[] = {
	{ "rounds", "rounds", get_rounds },
	{ "pages to send, all rounds", "pages_looked_at", get_looked_at },
	{ "  left out, for they are free", "pages_hinted", get_hinted },
	{ "  sent", "pages_sent", get_sent },
	{ "    all zero, data not sent", "pages_zero", get_zero },
	{ "bytes on the wire", "bytes", get_bytes },
	{ "hints", "hints", get_hint_count },
	{ "pages the guest checked: good", "pages_good", get_good },
	{ "pages the guest checked: bad", "pages_bad", get_bad },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void print_table(const struct outcome *o, unsigned n)
{
	printf("%-34s", "");
	for (unsigned k = 0; k < n; k++)
		printf("%16s", o[k].hints ? "with hints" : "without hints");
	putchar('\n');
	for (unsigned i = 0; i < ROWS; i++) {
		printf("  %-32s", rows[i].name);
		for (unsigned k = 0; k < n; k++)
			printf("%16llu", (unsigned long long)rows[i].value(&o[k]));
		putchar('\n');
	}
	printf("  %-32s", "total time, ms");
	for (unsigned k = 0; k < n; k++)
		printf("%16.1f", o[k].total_ms);
	printf("\n  %-32s", "downtime, ms");
	for (unsigned k = 0; k < n; k++)
		printf("%16.1f", o[k].downtime_ms);
	printf("\n  %-32s", "the guest runs at");
	for (unsigned k = 0; k < n; k++)
		printf("%16s", o[k].moved ? "the destination" : "the source");
	putchar('\n');
}

static void print_json(const struct outcome *o, unsigned n)
{
	struct json_object *all = json_object_new_array();

	for (unsigned k = 0; k < n; k++) {
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "with_hints", json_object_new_boolean(o[k].hints));
		json_object_object_add(one, "moved", json_object_new_boolean(o[k].moved));
		for (unsigned i = 0; i < ROWS; i++)
			json_object_object_add(
				one, rows[i].key,
				json_object_new_int64((int64_t)rows[i].value(&o[k])));
		json_object_object_add(one, "total_ms", json_object_new_double(o[k].total_ms));
		json_object_object_add(one, "downtime_ms",
				       json_object_new_double(o[k].downtime_ms));
		json_object_array_add(all, one);
	}
	puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY));
	json_object_put(all);
}

int report(const struct options *options, const struct outcome *o, unsigned n)
{
	bool lost = false, moved = true;

	for (unsigned k = 0; k < n; k++) {
		lost |= o[k].bad || !o[k].good;
		moved &= o[k].moved;
	}
	if (options->json) {
		print_json(o, n);
	} else {
		print_table(o, n);
		puts(lost  ? "LOST: pages of the guest do not hold what it wrote" :
		     moved ? "NOTHING LOST: the guest runs on, and every page it has is what it wrote" :
			     "NOTHING LOST: a migration failed, and the guest runs on where it was");
	}
	return lost || !moved;
}
