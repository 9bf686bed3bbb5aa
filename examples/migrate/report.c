/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB	(1024.0 * 1024.0)
#define COLUMNS 32u
#define ROWS	16u

/* 1234567 as "1,234,567". */
static const char *grouped(char buf[32], uint64_t value)
{
	char plain[24], *out = buf;
	size_t n = (size_t)snprintf(plain, sizeof(plain), "%" PRIu64, value);

	for (size_t i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			*out++ = ',';
		*out++ = plain[i];
	}
	*out = '\0';
	return buf;
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

double report_share(const struct result *result)
{
	if (!result->free_bytes)
		return -1;
	return 100.0 * (double)(result->skipped * PAGE) / (double)result->free_bytes;
}

void report_boot(FILE *out, const struct options *options)
{
	fprintf(out, "Guest      %s, %.0f MiB; starting it ...\n",
		options->ops == &guest_sim ? "simulated" : "Linux (user-mode)",
		(double)options->guest.memory / MIB);
	fflush(out);
}

void report_start(FILE *out, const struct options *options, const char *tracking,
		  uint64_t free_bytes)
{
	if (free_bytes)
		fprintf(out, "           it runs; %.0f MiB are free, %s\n",
			(double)free_bytes / MIB,
			options->guest.oracle ? "and zero, for the oracle"
					      : "but full of what was there before");
	fprintf(out, "Link       Unix socket to another process, ");
	if (options->bandwidth)
		fprintf(out, "held to %.0f MiB/s\n", (double)options->bandwidth / MIB);
	else
		fprintf(out, "as fast as it goes\n");
	fprintf(out, "Dirty log  %s\n", tracking);
	fflush(out);
}

void report_run(FILE *out, const struct result *result)
{
	fprintf(out, "\n%s hints, pages of 4 KiB\n", result->hints ? "With" : "Without");
	fprintf(out, "  round     to send     hinted       zero       sent    on the wire      "
		     "time\n");
	fflush(out);
}

void report_round(FILE *out, const struct result *result)
{
	const struct round *round = &result->rounds[result->n - 1];
	char a[32], b[32], c[32], d[32], name[16] = "last";

	if (!round->last)
		snprintf(name, sizeof(name), "%u", result->n);
	fprintf(out, "  %5s  %10s %10s %10s %10s  %9.1f MiB  %5.0f ms%s\n", name,
		grouped(a, round->dirty),
		result->hints && !round->last ? grouped(b, round->hinted) : "-",
		grouped(c, round->zero), grouped(d, round->sent), (double)round->bytes / MIB,
		ms(round->ns), round->last ? "  guest paused" : "");
	fflush(out);
}

static void change(FILE *out, double before, double after)
{
	if (before > 0)
		fprintf(out, "%+11.0f %%", (after - before) * 100 / before);
	fputc('\n', out);
}

static void row_count(FILE *out, const char *name, uint64_t before, uint64_t after,
		      bool compare)
{
	char a[32], b[32];

	fprintf(out, "  %-32s %14s %14s", name, grouped(a, before), grouped(b, after));
	change(out, compare ? (double)before : 0, (double)after);
}

static void row_real(FILE *out, const char *name, const char *unit, double before, double after,
		     bool compare)
{
	char a[32], b[32];

	snprintf(a, sizeof(a), "%.1f %s", before, unit);
	snprintf(b, sizeof(b), "%.1f %s", after, unit);
	fprintf(out, "  %-32s %14s %14s", name, a, b);
	change(out, compare ? before : 0, after);
}

/* What only a run with hints has. */
static void row_hint(FILE *out, const char *name, const char *value)
{
	fprintf(out, "  %-32s %14s %14s\n", name, "-", value);
}

static void hint_rows(FILE *out, const struct result *result)
{
	char text[32];

	row_hint(out, "hints", grouped(text, result->hint_ranges));
	snprintf(text, sizeof(text), "%.1f MiB", (double)result->hint_bytes / MIB);
	row_hint(out, "memory hinted", text);
	row_hint(out, "doorbells from the guest", grouped(text, result->kicks));
	row_hint(out, "interrupts to the guest", grouped(text, result->interrupts));
	snprintf(text, sizeof(text), "%" PRIu64 " ns", result->hint_ns);
	row_hint(out, "time of a hint (poll + bitmap)", text);
}

void report_table(FILE *out, const struct result results[2])
{
	const struct result *a = &results[0], *b = &results[1];

	fprintf(out, "\n  %-32s %14s %14s %13s\n", "", "without hints", "with hints", "change");
	row_count(out, "pages looked at", a->total.looked, b->total.looked, true);
	row_count(out, "  all zero, data not sent", a->total.zero, b->total.zero, false);
	row_count(out, "  sent", a->total.sent, b->total.sent, true);
	row_count(out, "pages skipped, for they are free", a->skipped, b->skipped, false);
	row_real(out, "on the wire", "MiB", (double)a->total.bytes / MIB,
		 (double)b->total.bytes / MIB, true);
	row_count(out, "rounds", a->n, b->n, false);
	row_real(out, "total time (1)", "ms", ms(a->total_ns), ms(b->total_ns), true);
	row_real(out, "downtime (1)", "ms", ms(a->downtime_ns), ms(b->downtime_ns), false);
	row_real(out, "dirty log", "ms", ms(a->log_ns), ms(b->log_ns), false);
	hint_rows(out, b);
	fprintf(out, "  (1) without the dirty log, which stands in a row of its own\n");
	if (report_share(b) >= 0)
		fprintf(out,
			"\nOf the %.0f MiB that the guest called free, %.1f %% were hinted and "
			"left out.\n",
			(double)b->free_bytes / MIB, report_share(b));
}

/* What most of a cell's pages became. */
static enum page_fate cell(const struct result *result, unsigned at)
{
	uint64_t cells = COLUMNS * ROWS;
	uint64_t first = result->span_pages * at / cells;
	uint64_t end = result->span_pages * (at + 1) / cells;
	uint64_t count[FATE_HINTED + 1] = {0};
	enum page_fate most = FATE_SENT;

	for (uint64_t i = first; i < end; i++)
		count[result->fate[i]]++;
	for (unsigned fate = FATE_NONE; fate <= FATE_HINTED; fate++)
		if (count[fate] > count[most])
			most = (enum page_fate)fate;
	return most;
}

struct ink {
	const char *glyph[FATE_HINTED + 1];
	const char *colour[FATE_HINTED + 1];
	const char *off;
};

static const struct ink plain = {{" ", "#", ".", "h"}, {"", "", "", ""}, ""};
static const struct ink blocks = {{" ", "█", "·", "░"}, {"", "", "", ""}, ""};
static const struct ink colours = {
	{" ", "█", "·", "░"}, {"", "\033[31m", "\033[2m", "\033[32m"}, "\033[0m"};

/* Letters in a file or a pipe; blocks on a terminal that can; colours unless unwanted. */
static const struct ink *choose_ink(FILE *out)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	setlocale(LC_CTYPE, "");
	if (!isatty(fileno(out)) || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		return &plain;
	if ((no_color && *no_color) || !term || !strcmp(term, "dumb"))
		return &blocks;
	return &colours;
}

static void draw(FILE *out, const struct ink *ink, enum page_fate fate)
{
	fprintf(out, "%s%s%s", ink->colour[fate], ink->glyph[fate], ink->off);
}

void report_picture(FILE *out, const struct result results[2])
{
	const struct ink *ink = choose_ink(out);
	static const char *const names[] = {"", "sent", "zero", "hinted, not sent"};

	fprintf(out, "\nGuest memory, by what became of most of each cell (%.2g MiB)\n\n",
		(double)results[0].span_pages * PAGE / MIB / (COLUMNS * ROWS));
	fprintf(out, "  %-34s   %s\n", "without hints", "with hints");
	for (unsigned y = 0; y < ROWS; y++) {
		for (unsigned run = 0; run < 2; run++) {
			fprintf(out, run ? "|   |" : "  |");
			for (unsigned x = 0; x < COLUMNS; x++)
				draw(out, ink, cell(&results[run], y * COLUMNS + x));
		}
		fprintf(out, "|\n");
	}
	fprintf(out, " ");
	for (unsigned fate = FATE_SENT; fate <= FATE_HINTED; fate++) {
		fprintf(out, " ");
		draw(out, ink, (enum page_fate)fate);
		fprintf(out, " %s  ", names[fate]);
	}
	fprintf(out, "\n");
}

/* Nobody looked at what was skipped: neither the oracle nor the destination's check. */
static bool unjudged(const struct result *result)
{
	return result->skipped && !result->proof.skipped && !result->proof.checked[1];
}

static void prove_one(FILE *out, const struct result *result)
{
	const struct proof *p = &result->proof;
	static const char *const where[] = {"source", "destination"};
	char a[32], b[32];

	fprintf(out, "  %s hints: %s pages that were not skipped, source against destination: ",
		result->hints ? "with" : "without", grouped(a, p->compared));
	fprintf(out, p->different ? "%s DIFFER\n" : "all the same\n", grouped(b, p->different));
	for (int i = 0; i < 2; i++) {
		if (!p->checked[i])
			continue;
		fprintf(out, "    %s allocated pages, checksums at the %s: ",
			grouped(a, p->checked[i]), where[i]);
		fprintf(out, p->bad[i] ? "%s BAD\n" : "all good\n", grouped(b, p->bad[i]));
	}
	if (p->skipped) {
		fprintf(out, "    %s skipped pages, free according to the oracle: ",
			grouped(a, p->skipped));
		fprintf(out, p->not_free ? "%s NOT FREE\n" : "all\n", grouped(b, p->not_free));
	} else if (unjudged(result)) {
		fprintf(out, "    %s skipped pages: taken at the guest's word, not judged\n",
			grouped(a, result->skipped));
	}
}

void report_proof(FILE *out, const struct result results[2])
{
	bool good = migrate_proved(&results[0]) && migrate_proved(&results[1]);

	fprintf(out, "\nProof, with the guest paused\n");
	prove_one(out, &results[0]);
	prove_one(out, &results[1]);
	if (!good)
		fprintf(out, "FAILED\n");
	else if (unjudged(&results[1]))
		fprintf(out, "PROVED, for what was not skipped; --oracle judges the rest\n");
	else
		fprintf(out, "PROVED\n");
}
