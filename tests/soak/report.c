/* SPDX-License-Identifier: MIT */
#include "parent.h"

#include <inttypes.h>
#include <stdio.h>

void trend_add(struct trend *t, double x, double y)
{
	t->n += 1;
	t->x += x;
	t->y += y;
	t->xx += x * x;
	t->xy += x * y;
	t->samples++;
}

void trend_next_life(struct trend *t)
{
	if (t->n > 0) {
		t->sxx += t->xx - t->x * t->x / t->n;
		t->sxy += t->xy - t->x * t->y / t->n;
	}
	t->n = t->x = t->y = t->xx = t->xy = 0;
}

double trend_slope(const struct trend *t)
{
	return t->sxx > 0 ? t->sxy / t->sxx : 0;
}

/* ------------------------------------------------------------ the table */

/* One of both is said. */
struct cell {
	uint64_t number;
	double real;
};

static const struct row {
	const char *key, *name;
	bool real;
} rows[] = {
	{ "seconds", "seconds", true },
	{ "connections", "connections", false },
	{ "attached", "  times attached", false },
	{ "servers", "servers opened", false },
	{ "migrations", "migrations", false },
	{ "migrations_cut_short", "  cut short by the other side", false },
	{ "migrations_cancelled", "  cancelled", false },
	{ "rounds", "rounds", false },
	{ "hints", "hints", false },
	{ "pages_scribbled", "pages overwritten for a hint", false },
	{ "pages_copied", "pages copied", false },
	{ "pages_left_out", "pages left out of a copy", false },
	{ "pages_verified", "pages verified in copies", false },
	{ "guest_kills", "guests killed", false },
	{ "guest_deaths_survived", "  deaths survived", false },
	{ "device_kills", "devices killed", false },
	{ "device_deaths_survived", "  deaths survived", false },
	{ "pauses", "pauses (SIGSTOP)", false },
	{ "stops", "stops", false },
	{ "resets", "resets", false },
	{ "queue_resets", "queue resets", false },
	{ "map_changes", "memory-map changes", false },
	{ "ring_full", "times a ring was full", false },
	{ "writes_redone", "writes cut short and redone", false },
	{ "freed_after_death", "pages hinted by the dead, freed", false },
	{ "closes", "times fds and heap were compared", false },
	{ "guest_fds_per_minute", "fds a minute: guest", true },
	{ "device_fds_per_minute", "  device", true },
	{ "parent_fds_per_minute", "  parent", true },
	{ "guest_rss_kib_per_minute", "RSS, KiB a minute: guest", true },
	{ "device_rss_kib_per_minute", "  device", true },
	{ "parent_rss_kib_per_minute", "  parent", true },
	{ "leaks", "leaks", false },
	{ "violations", "violations", false },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void fill(struct cell cells[ROWS], const struct result *r)
{
	const struct board *b = &r->board;
	const struct cell all[ROWS] = {
		{ .real = r->seconds },
		{ b->connections, 0 },
		{ b->attached, 0 },
		{ b->servers, 0 },
		{ b->migrations, 0 },
		{ b->given_up, 0 },
		{ b->cancelled, 0 },
		{ b->rounds, 0 },
		{ b->hints, 0 },
		{ b->scribbled, 0 },
		{ b->copied, 0 },
		{ b->left_out, 0 },
		{ b->verified, 0 },
		{ r->kills[GUEST], 0 },
		{ r->survived[GUEST], 0 },
		{ r->kills[DEVICE], 0 },
		{ r->survived[DEVICE], 0 },
		{ r->pauses, 0 },
		{ b->stops, 0 },
		{ b->resets, 0 },
		{ b->queue_resets, 0 },
		{ b->map_changes, 0 },
		{ b->ring_full, 0 },
		{ b->redone, 0 },
		{ b->freed_after_death, 0 },
		{ b->closes[GUEST] + b->closes[DEVICE], 0 },
		{ .real = trend_slope(&r->fds[WATCH_GUEST]) },
		{ .real = trend_slope(&r->fds[WATCH_DEVICE]) },
		{ .real = trend_slope(&r->fds[WATCH_PARENT]) },
		{ .real = trend_slope(&r->rss[WATCH_GUEST]) },
		{ .real = trend_slope(&r->rss[WATCH_DEVICE]) },
		{ .real = trend_slope(&r->rss[WATCH_PARENT]) },
		{ b->leaks, 0 },
		{ b->violations, 0 },
	};

	for (size_t i = 0; i < ROWS; i++)
		cells[i] = all[i];
}

static void table(const struct options *options, struct cell cells[][ROWS],
		  const struct result *results, unsigned n)
{
	printf("%-34s", "transport");
	for (unsigned k = 0; k < n; k++)
		printf(" %14s", results[k].transport);
	putchar('\n');
	for (size_t i = 0; i < ROWS; i++) {
		printf("%-34s", rows[i].name);
		for (unsigned k = 0; k < n; k++)
			if (rows[i].real)
				printf(" %14.1f", cells[k][i].real);
			else
				printf(" %14" PRIu64, cells[k][i].number);
		putchar('\n');
	}
	printf("seed %" PRIu64 "\n", options->seed);
}

static void json(const struct options *options, struct cell cells[][ROWS],
		 const struct result *results, unsigned n)
{
	printf("{\n  \"seed\": %" PRIu64 ",\n  \"runs\": [", options->seed);
	for (unsigned k = 0; k < n; k++) {
		printf("%s\n    { \"transport\": \"%s\"", k ? "," : "", results[k].transport);
		for (size_t i = 0; i < ROWS; i++) {
			printf(",\n      \"%s\": ", rows[i].key);
			if (rows[i].real)
				printf("%.3f", cells[k][i].real);
			else
				printf("%" PRIu64, cells[k][i].number);
		}
		printf(",\n      \"ok\": %s }", results[k].failure ? "false" : "true");
	}
	printf("\n  ]\n}\n");
}

int report(const struct options *options, const struct result *results, unsigned n)
{
	struct cell cells[2][ROWS];
	int status = 0;

	for (unsigned k = 0; k < n; k++)
		fill(cells[k], &results[k]);
	if (options->json)
		json(options, cells, results, n);
	else
		table(options, cells, results, n);
	fflush(stdout);
	for (unsigned k = 0; k < n; k++)
		if (results[k].failure) {
			fprintf(stderr, "fph-soak: %s: %s\n", results[k].transport,
				results[k].failure);
			status = 1;
		}
	return status;
}
