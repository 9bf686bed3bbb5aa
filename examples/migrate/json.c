/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <json-c/json.h>

static void put(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static void put_real(struct json_object *object, const char *key, double value)
{
	json_object_object_add(object, key, json_object_new_double(value));
}

static void put_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

static void put_text(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

static void put_pass(struct json_object *object, const struct round *round)
{
	put(object, "pages_looked_at", round->looked);
	put(object, "pages_zero", round->zero);
	put(object, "pages_sent", round->sent);
	put(object, "pages_hinted", round->hinted);
	put(object, "bytes", round->bytes);
}

static struct json_object *rounds(const struct result *result)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < result->n; i++) {
		struct json_object *round = json_object_new_object();

		put(round, "pages_to_send", result->rounds[i].dirty);
		put_pass(round, &result->rounds[i]);
		put_real(round, "ms", (double)result->rounds[i].ns / 1e6);
		put_bool(round, "guest_paused", result->rounds[i].last);
		json_object_array_add(list, round);
	}
	return list;
}

static struct json_object *proof(const struct result *result)
{
	struct json_object *object = json_object_new_object();
	const struct proof *p = &result->proof;

	put_bool(object, "holds", migrate_proved(result));
	put(object, "pages_compared", p->compared);
	put(object, "pages_different", p->different);
	put(object, "allocated_checked_at_source", p->checked[0]);
	put(object, "allocated_bad_at_source", p->bad[0]);
	put(object, "allocated_checked_at_destination", p->checked[1]);
	put(object, "allocated_bad_at_destination", p->bad[1]);
	put(object, "skipped_judged_by_oracle", p->skipped);
	put(object, "skipped_not_free", p->not_free);
	return object;
}

static struct json_object *run(const struct result *result)
{
	struct json_object *object = json_object_new_object();

	put_bool(object, "hinting", result->hints);
	put_pass(object, &result->total);
	put(object, "pages_skipped", result->skipped);
	put_real(object, "total_ms", (double)result->total_ns / 1e6);
	put_real(object, "downtime_ms", (double)result->downtime_ns / 1e6);
	put_real(object, "dirty_log_ms", (double)result->log_ns / 1e6);
	put(object, "free_bytes_before", result->free_bytes);
	put(object, "hints", result->hint_ranges);
	put(object, "bytes_hinted", result->hint_bytes);
	put(object, "kicks", result->kicks);
	put(object, "interrupts", result->interrupts);
	put(object, "ns_per_hint", result->hint_ns);
	if (result->hints && report_share(result) >= 0)
		put_real(object, "free_never_sent_percent", report_share(result));
	json_object_object_add(object, "rounds", rounds(result));
	json_object_object_add(object, "proof", proof(result));
	return object;
}

int report_json(FILE *out, const struct options *options, const char *tracking,
		const struct result results[2])
{
	struct json_object *object = json_object_new_object(), *runs = json_object_new_array();
	const char *text;

	if (!object || !runs)
		return -ENOMEM;
	put_text(object, "guest", options->ops->name);
	put(object, "memory", options->guest.memory);
	put(object, "page_size", PAGE);
	put(object, "bandwidth", options->bandwidth);
	put(object, "downtime_limit_ms", options->migrate.downtime_ms);
	put(object, "rounds_limit", options->migrate.rounds);
	put(object, "seed", options->guest.seed);
	put_bool(object, "oracle", options->guest.oracle);
	put_text(object, "dirty_log", tracking);
	json_object_array_add(runs, run(&results[0]));
	json_object_array_add(runs, run(&results[1]));
	json_object_object_add(object, "runs", runs);
	put_bool(object, "proved", migrate_proved(&results[0]) && migrate_proved(&results[1]));
	text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY);
	if (text)
		fprintf(out, "%s\n", text);
	json_object_put(object);
	return text ? 0 : -ENOMEM;
}
