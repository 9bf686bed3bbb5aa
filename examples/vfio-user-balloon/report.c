/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static double mib(uint64_t pages)
{
	return (double)pages * PAGE / 1048576.0;
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

/* From the start of the round; 0 if it never came to that. */
static double since(const struct round *round, uint64_t ns)
{
	return ns > round->start_ns ? ms(ns - round->start_ns) : 0;
}

/* ------------------------------------------------------------ JSON */

static void put(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static void put_ms(struct json_object *object, const char *key, double value)
{
	json_object_object_add(object, key, json_object_new_double(value));
}

static void put_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

static struct json_object *new_object(bool ok)
{
	struct json_object *object = json_object_new_object();

	put_bool(object, "ok", ok);
	return object;
}

/* Ends it. */
static void to_line(struct json_object *object, char *line, size_t len)
{
	snprintf(line, len, "%s", json_object_to_json_string_ext(object, JSON_C_TO_STRING_SPACED));
	json_object_put(object);
}

static void put_round(struct json_object *object, const struct round *round)
{
	put(object, "command_id", round->id);
	put_bool(object, "driver_said_stop", round->over);
	put(object, "hints", round->hints);
	put(object, "bytes_hinted", round->bytes);
	put_ms(object, "first_hint_ms", since(round, round->first_ns));
	put_ms(object, "last_hint_ms", since(round, round->last_ns));
	put_ms(object, "round_ms", since(round, round->over_ns));
	put(object, "requests", round->over_ns ? round->wire.requests : 0);
	put(object, "posted", round->over_ns ? round->wire.posted : 0);
	put(object, "interrupts", round->over_ns ? round->wire.interrupts : 0);
}

static struct json_object *snapshot_json(const struct balloon *balloon, const struct snapshot *s)
{
	struct json_object *object = new_object(true);

	json_object_object_add(object, "file", json_object_new_string(s->file));
	put(object, "pages", s->pages);
	put(object, "pages_hole", s->counts.holes);
	put(object, "pages_zero", s->counts.zero);
	put(object, "pages_free", s->counts.free);
	put(object, "pages_copied", s->counts.copied);
	put(object, "pages_hinted", s->hinted);
	put(object, "pages_hinted_zero", s->counts.zero_hinted);
	put(object, "pages_hinted_copied", s->counts.copied_hinted);
	put_bool(object, "hinted", s->hints);
	put_bool(object, "driver_trusted", s->trusted);
	put_ms(object, "look_ms", s->trusted ? ms(balloon->round.before_ns) : 0);
	put_ms(object, "copy_ms", ms(s->copy_ns));
	put_ms(object, "guest_stopped_ms", ms(s->stopped_ns));
	put_ms(object, "sync_ms", ms(s->sync_ns));
	put_ms(object, "ms", ms(s->ns));
	if (s->hints)
		put_round(object, &balloon->round);
	return object;
}

/* ------------------------------------------------------------ a line */

void report_error(const char *why, bool json, char *line, size_t len)
{
	struct json_object *object;

	if (!json) {
		snprintf(line, len, "error: %s", why);
		return;
	}
	object = new_object(false);
	json_object_object_add(object, "error", json_object_new_string(why));
	to_line(object, line, len);
}

void report_round(const struct balloon *balloon, bool json, char *line, size_t len)
{
	const struct round *round = &balloon->round;
	struct json_object *object;

	if (!json) {
		snprintf(line, len, "ok: round %#" PRIx32 ", %s, %" PRIu64 " hints, %.1f MiB",
			 round->id,
			 round->over ? "over" :
			 round->open ? "open" :
				       "stopped",
			 round->hints, (double)round->bytes / 1048576.0);
		return;
	}
	object = new_object(true);
	put_round(object, round);
	to_line(object, line, len);
}

void report_status(const struct balloon *balloon, bool json, char *line, size_t len)
{
	const struct round *round = &balloon->round;
	const char *state = fph_device_state_name(balloon->device);
	bool hints = fph_device_features(balloon->device) & FPH_F_FREE_PAGE_HINT;
	struct json_object *object;

	if (!json) {
		snprintf(line, len, "ok: %s, driver %s%s, %" PRIu64 " hints, %.1f MiB hinted%s%s%s",
			 balloon->connected ? "a client is connected" : "no client", state,
			 hints ? "" : " (does not hint)", round->hints, mib(round_pages(round)),
			 round->hints && !round->valid ? " (void now)" : "",
			 balloon->busy ? ", under way: " : "", balloon->busy ? balloon->busy : "");
		return;
	}
	object = new_object(true);
	put_bool(object, "connected", balloon->connected);
	put(object, "clients", balloon->clients);
	put_bool(object, "driver_hints", hints);
	json_object_object_add(object, "state", json_object_new_string(state));
	put_bool(object, "hints_count", round->valid);
	put(object, "pages_hinted", round_pages(round));
	json_object_object_add(object, "busy",
			       balloon->busy ? json_object_new_string(balloon->busy) : NULL);
	put_round(object, round);
	to_line(object, line, len);
}

void report_snapshot_line(const struct balloon *balloon, const struct snapshot *s, bool json,
			  char *line, size_t len)
{
	if (json)
		to_line(snapshot_json(balloon, s), line, len);
	else
		snprintf(line, len,
			 "ok: %.1f MiB, copied %.1f, left out %.1f: zero %.1f, hinted %.1f",
			 mib(s->pages), mib(s->counts.copied), mib(s->pages - s->counts.copied),
			 mib(s->counts.zero + s->counts.holes), mib(s->counts.free));
}

/* ------------------------------------------------------------ tables */

static void row(const char *name, uint64_t pages)
{
	printf("  %-38s %12" PRIu64 " pages %10.1f MiB\n", name, pages, mib(pages));
}

static void row_ms(const char *name, uint64_t ns)
{
	printf("  %-38s %12.1f ms\n", name, ms(ns));
}

static void table_of_round(const struct balloon *balloon, const struct snapshot *s)
{
	const struct round *round = &balloon->round;

	row("hinted", s->hinted);
	printf("  %-38s %12" PRIu64 "\n", "hints", round->hints);
	printf("  %-38s %12" PRIu64 " and %" PRIu64 " that wait for no answer\n",
	       "  round trips of the VMM meanwhile", round->wire.requests, round->wire.posted);
	printf("  %-38s %12.1f ms, to the last hint %.1f ms%s\n", "round of hints",
	       since(round, round->over_ns), since(round, round->last_ns),
	       s->over ? "" : " (cut short)");
	if (s->trusted)
		row_ms("first look at all memory", round->before_ns);
}

void report_snapshot(const struct balloon *balloon, const struct snapshot *s)
{
	if (balloon->options->json) {
		char line[8192];

		report_snapshot_line(balloon, s, true, line, sizeof(line));
		puts(line);
		fflush(stdout);
		return;
	}
	printf("\n  Snapshot: %s\n", s->file);
	row("memory", s->pages);
	row("  left out: never written", s->counts.holes);
	row("  left out: zero", s->counts.zero);
	row("  left out: hinted, as it was before", s->counts.free);
	row("  copied", s->counts.copied);
	if (s->hints) {
		row("    of that hinted", s->counts.copied_hinted);
		table_of_round(balloon, s);
	}
	if (s->stopped_ns)
		row_ms("guest stopped", s->stopped_ns);
	row_ms("  copying", s->copy_ns);
	row_ms("to the disk", s->sync_ns);
	row_ms("in all", s->ns);
	if (!s->hints)
		puts("  There is no hint that counts: all that is not zero was copied.");
	else if (!s->trusted && s->counts.copied_hinted)
		puts("  Hinted pages that are not zero were copied: nothing proves that the "
		     "driver\n"
		     "  did not take them back.  --trust-driver leaves them out.");
	putchar('\n');
	fflush(stdout);
}

void report_rounds_head(const struct balloon *balloon)
{
	if (balloon->options->json)
		return;
	puts("\n  round  hints  hinted MiB  first hint ms  last hint ms  round ms"
	     "  round trips  posted  interrupts");
}

void report_rounds_row(const struct balloon *balloon, unsigned number)
{
	const struct round *round = &balloon->round;
	char line[1024];

	if (balloon->options->json) {
		report_round(balloon, true, line, sizeof(line));
		puts(line);
	} else {
		printf("  %5u %6" PRIu64 " %11.1f %14.1f %13.1f %9.1f %12" PRIu64 " %7" PRIu64
		       " %11" PRIu64 "%s\n",
		       number, round->hints, (double)round->bytes / 1048576.0,
		       since(round, round->first_ns), since(round, round->last_ns),
		       since(round, round->over_ns), round->wire.requests, round->wire.posted,
		       round->wire.interrupts, round->over ? "" : "  cut short");
	}
	fflush(stdout);
}

void report_rounds_end(const struct balloon *balloon, uint64_t ready_to_last_ns)
{
	if (!balloon->options->json && ready_to_last_ns)
		printf("  From the driver coming up to its last hint: %.1f ms\n\n",
		       ms(ready_to_last_ns));
	fflush(stdout);
}
