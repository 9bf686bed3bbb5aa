/* SPDX-License-Identifier: MIT */
#include "supervise.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

#define MIB (1024.0 * 1024.0)

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static void row(const char *name, uint64_t without, uint64_t with)
{
	printf("  %-34s %14" PRIu64 " %14" PRIu64 "\n", name, without, with);
}

static void row_real(const char *name, const char *unit, double without, double with)
{
	printf("  %-34s %10.1f %s %10.1f %s\n", name, without, unit, with, unit);
}

static double mean(uint64_t ns, uint64_t n)
{
	return n ? ms(ns) / (double)n : 0;
}

static void table(const struct supervisor *super)
{
	const struct board *board = super->board;
	const struct tally tally = board_tally(board);
	const struct totals *a = &tally.kinds[WITHOUT_HINTS], *b = &tally.kinds[WITH_HINTS];

	printf("\n  %-34s %14s %14s\n", "Snapshots of the agent's memory", "without hints",
	       "with hints");
	row("snapshots taken", a->snapshots, b->snapshots);
	row("  rounds", a->rounds, b->rounds);
	row("pages of memory", a->pages, b->pages);
	row("pages looked at", a->marked, b->marked);
	row("  copied", a->copied, b->copied);
	row("  skipped, for they are free", a->skipped, b->skipped);
	row_real("bytes that the files take up", "MiB", (double)a->bytes / MIB,
		 (double)b->bytes / MIB);
	row("hints", a->hints, b->hints);
	row_real("  memory in them", "MiB", (double)a->hinted / MIB, (double)b->hinted / MIB);
	row_real("time of a snapshot, mean", "ms ", mean(a->ns, a->snapshots),
		 mean(b->ns, b->snapshots));
	row_real("  of that the agent is paused", "ms ", mean(a->paused_ns, a->snapshots),
		 mean(b->paused_ns, b->snapshots));
	row("live pages checked in the copies", a->checked, b->checked);

	printf("\n  %-34s %14s %14s\n", "The two processes", "agent", "VMM");
	row("kills -9 survived", super->killed[SIDE_AGENT], super->killed[SIDE_VMM]);
	row("  noticed by the other side", board->noticed[SIDE_VMM],
	    board->noticed[SIDE_AGENT]);
	row_real("  longest time till then", "ms ", ms(board->notice_ns[SIDE_VMM]),
		 ms(board->notice_ns[SIDE_AGENT]));
	printf("  %-34s %14" PRIu64 "\n", "times attached", board->attached);
	printf("  %-34s %29" PRIu64 "\n", "snapshots abandoned", board->abandoned);
	printf("  %-34s %14" PRIu64 "\n", "page operations", board->operations);
	printf("  %-34s %14" PRIu64 "\n", "writes cut short and redone", board->redone);
	printf("  %-34s %14" PRIu64 "\n", "hinted by a life before, freed", board->held_before);
	printf("  %-34s %14" PRIu64 "\n", "pages verified", board->verified);
	printf("  %-34s %14" PRIu64 "\n", "pages lost", board->lost);
	if (board->unfaithful)
		printf("  %-34s %29" PRIu64 "\n", "snapshots that failed their check",
		       board->unfaithful);
}

static void put(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static void put_ms(struct json_object *object, const char *key, uint64_t ns)
{
	json_object_object_add(object, key, json_object_new_double(ms(ns)));
}

static struct json_object *kind(const struct totals *t)
{
	struct json_object *object = json_object_new_object();

	put(object, "snapshots", t->snapshots);
	put(object, "rounds", t->rounds);
	put(object, "pages_of_memory", t->pages);
	put(object, "pages_looked_at", t->marked);
	put(object, "pages_copied", t->copied);
	put(object, "pages_skipped", t->skipped);
	put(object, "bytes", t->bytes);
	put(object, "hints", t->hints);
	put(object, "bytes_hinted", t->hinted);
	put(object, "live_pages_checked", t->checked);
	put_ms(object, "ms", t->ns);
	put_ms(object, "ms_agent_paused", t->paused_ns);
	return object;
}

static struct json_object *side(const struct supervisor *super, enum side side)
{
	enum side other = side == SIDE_AGENT ? SIDE_VMM : SIDE_AGENT;
	struct json_object *object = json_object_new_object();

	put(object, "kills", super->killed[side]);
	put(object, "kills_noticed", super->board->noticed[other]);
	put_ms(object, "longest_ms_to_notice", super->board->notice_ns[other]);
	return object;
}

static void json(const struct supervisor *super, int status)
{
	struct json_object *object = json_object_new_object();
	const struct board *board = super->board;
	const struct tally tally = board_tally(board);

	put(object, "memory", super->options->memory);
	put(object, "seed", super->options->seed);
	json_object_object_add(object, "without_hints", kind(&tally.kinds[WITHOUT_HINTS]));
	json_object_object_add(object, "with_hints", kind(&tally.kinds[WITH_HINTS]));
	json_object_object_add(object, "agent", side(super, SIDE_AGENT));
	json_object_object_add(object, "vmm", side(super, SIDE_VMM));
	put(object, "attached", board->attached);
	put(object, "snapshots_abandoned", board->abandoned);
	put(object, "snapshots_unfaithful", board->unfaithful);
	put(object, "page_operations", board->operations);
	put(object, "writes_redone", board->redone);
	put(object, "held_freed", board->held_before);
	put(object, "pages_verified", board->verified);
	put(object, "pages_lost", board->lost);
	json_object_object_add(object, "ok", json_object_new_boolean(status == EXIT_OK));
	printf("%s\n", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY));
	json_object_put(object);
}

static int verdict(const struct supervisor *super)
{
	const struct board *board = super->board;

	if (board->lost || board->bad_end) {
		fprintf(stderr, "fph-agent: pages were lost\n");
		return EXIT_LOST;
	}
	if (board->unfaithful) {
		fprintf(stderr, "fph-agent: a snapshot was no faithful copy\n");
		return EXIT_LOST;
	}
	if (super->failure) {
		fprintf(stderr, "fph-agent: %s\n", super->failure);
		return EXIT_LOST;
	}
	return EXIT_OK;
}

int report(const struct supervisor *super)
{
	int status = verdict(super);

	if (super->options->json)
		json(super, status);
	else
		table(super);
	if (!super->options->json)
		printf("%s\n", status ? "FAILED" : "NOTHING LOST");
	return status;
}
