/* SPDX-License-Identifier: MIT */
/*
 * Go through all executions of the scenarios in the C++ memory model, by relacy, with each
 * barrier in place and with each taken away.
 *
 *	explore			the table, a line a barrier
 *	explore --rows		before it each scenario on each ring, and each mutant
 *	explore --show NUMBER	what led to the failure in that row of them
 *
 * Exits with 1 if a scenario fails with all barriers, or does not fail without one.
 */
#include "explore.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

/* ------------------------------------------------------------ barriers */

/* In the order of the table below.  A name in two files would need more than a name. */
const barrier barriers[] = {
	{ 'A', "driver", "fph_vq_split_publish", "fph_vq_split_look", false },
	{ 'A', "device", "fph_vq_split_look", "fph_vq_split_publish", false },
	{ 'A', "driver", "fph_vq_packed_publish", "load_word", false },
	{ 'A', "device", "load_word", "fph_vq_packed_publish", false },
	{ 'B', "device", "fph_vq_split_return", "fph_vq_split_{used,reap_hints}", false },
	{ 'B', "driver", "fph_vq_split_used", "fph_vq_split_return", false },
	{ 'B', "driver", "fph_vq_split_reap_hints", "fph_vq_split_return", false },
	{ 'B', "device", "write_used", "fph_vq_packed_{used,reap_hints}", false },
	{ 'B', "driver", "fph_vq_packed_used", "write_used", false },
	{ 'B', "driver", "fph_vq_packed_reap_hints", "write_used", false },
	{ 'C', "driver", "fph_vq_split_publish", "fph_vq_dev_doorbell", true },
	{ 'C', "driver", "fph_vq_packed_publish", "fph_vq_dev_doorbell", true },
	{ 'C', "device", "fph_vq_dev_doorbell", "fph_vq_{split,packed}_publish", true },
	{ 'D', "device", "fph_vq_split_return", "fph_vq_drv_interrupt", true },
	{ 'D', "device", "fph_vq_packed_return", "fph_vq_drv_interrupt", true },
	{ 'D', "driver", "fph_vq_drv_interrupt", "fph_vq_{split,packed}_return", true },
};
const unsigned barrier_count = sizeof(barriers) / sizeof(barriers[0]);

/* ------------------------------------------------------------ rings */

enum { LAPS = 4 }; /* both descriptors, both wrap counters */

static bool packed_only(const barrier &b)
{
	return strstr(b.where, "packed") || !strcmp(b.where, "load_word") ||
	       !strcmp(b.where, "write_used");
}

static bool split_only(const barrier &b)
{
	return strstr(b.where, "split");
}

static bool bulk_only(const barrier &b)
{
	return strstr(b.where, "reap_hints");
}

static bool single_only(const barrier &b)
{
	return !strcmp(b.where, "fph_vq_split_used") || !strcmp(b.where, "fph_vq_packed_used");
}

/* Does the barrier stand on the way that a ring of that kind takes? */
static bool applies(const barrier &b, const order_ring &ring)
{
	if (ring.packed ? split_only(b) : packed_only(b))
		return false;
	if (b.fence) /* they are the same on either path, and in any order */
		return !ring.bulk && !ring.in_order;
	if (ring.event_idx || (bulk_only(b) && (!ring.bulk || ring.in_order)))
		return false;
	return !(single_only(b) && ring.bulk && !ring.in_order);
}

static int scenario_of(const barrier &b)
{
	return b.letter - 'A';
}

static std::string words(const order_ring &ring)
{
	std::string s = ring.packed ? "packed" : "split";

	if (ring.event_idx)
		s += ", event idx";
	if (ring.in_order)
		s += ", in order";
	if (ring.bulk)
		s += ", bulk";
	return s;
}

static std::vector<order_ring> all_rings()
{
	std::vector<order_ring> all;

	for (unsigned i = 0; i < 16; i++) {
		order_ring ring = { (i & 8) != 0, (i & 4) != 0, (i & 2) != 0, (i & 1) != 0, 0 };

		all.push_back(ring);
	}
	return all;
}

static unsigned passed, failed;
static bool rows; /* show each */

/* ------------------------------------------------------------ with every barrier */

struct verdict {
	int which;
	order_ring ring;
	unsigned long long executions; /* of all laps */
	bool holds;
};

static std::vector<verdict> verdicts;

static void run_scenario(int which, order_ring ring)
{
	verdict v = { which, ring, 0, true };
	result r = { true, 0, "" };

	for (ring.laps = 0; ring.laps < LAPS && r.holds; ring.laps++) {
		r = explore(which, ring, NULL, WEAK_NOT, nothing);
		v.executions += r.executions;
		if (!r.holds) /* the same again, to see it */
			explore(which, ring, NULL, WEAK_NOT, std::cout);
	}
	v.holds = r.holds;
	(v.holds ? passed : failed)++;
	verdicts.push_back(v);
	if (rows || !v.holds)
		printf("%-10s %-35s %10llu  %s\n", order_scenarios[which].name, words(ring).c_str(),
		       v.executions, v.holds ? "holds" : r.why);
	fflush(stdout);
}

static void run_scenarios()
{
	for (int i = 0; i < SCENARIOS; i++)
		printf("%-10s %s\n", order_scenarios[i].name, order_scenarios[i].what);
	if (rows)
		printf("\n%-10s %-35s %10s\n", "scenario", "ring", "executions");
	for (int i = 0; i < SCENARIOS; i++)
		for (const order_ring &ring : all_rings())
			run_scenario(i, ring);
}

/* ------------------------------------------------------------ without one */

struct mutant {
	const barrier *b;
	order_ring ring;
	weakness how;
	bool caught;
};

static std::vector<mutant> mutants;

static void list_mutants()
{
	for (const barrier &b : barriers)
		for (order_ring ring : all_rings()) {
			ring.laps = 1; /* so that no event index is right by chance */
			if (!applies(b, ring))
				continue;
			mutants.push_back({ &b, ring, WEAK_GONE, false });
			if (b.fence)
				mutants.push_back({ &b, ring, WEAK_ACQ_REL, false });
		}
}

/* What has to go wrong without it; any other failure is another mistake. */
static const char *expected(const barrier &b)
{
	if (!b.fence)
		return data_race;
	return b.letter == 'C' ? order_no_doorbell : order_no_interrupt;
}

static const char *instead(const mutant &m)
{
	if (!m.b->fence)
		return "relaxed";
	return m.how == WEAK_ACQ_REL ? "acq_rel" : "none";
}

static void run_mutant(unsigned number, mutant &m)
{
	result r = explore(scenario_of(*m.b), m.ring, m.b, m.how, nothing);

	m.caught = !r.holds && !strcmp(r.why, expected(*m.b));
	(m.caught ? passed : failed)++;
	if (rows || !m.caught)
		printf("%3u  %c %-7s %-24s %-26s %-8s %9llu  %s%s\n", number, m.b->letter,
		       m.b->role, m.b->where, words(m.ring).c_str(), instead(m), r.executions,
		       m.caught ? "caught: " : "NOT CAUGHT ", r.why);
	fflush(stdout);
}

static void run_mutants()
{
	if (rows)
		printf("\n%3s  %-9s %-24s %-26s %-8s %9s\n", "", "barrier", "where", "ring",
		       "instead", "execution");
	for (unsigned i = 0; i < mutants.size(); i++)
		run_mutant(i + 1, mutants[i]);
}

/* ------------------------------------------------------------ the table */

static void show_barrier(const barrier &b)
{
	unsigned long long executions = 0;
	unsigned caught = 0, all = 0;
	bool holds = true;

	for (const verdict &v : verdicts)
		if (v.which == scenario_of(b) && applies(b, v.ring)) {
			executions += v.executions;
			holds &= v.holds;
		}
	for (const mutant &m : mutants)
		if (m.b == &b) {
			caught += m.caught;
			all++;
		}
	printf("%c %-7s %-24s %-34s %-10s %10llu  %-6s %u of %u\n", b.letter, b.role, b.where,
	       b.pairs, order_scenarios[scenario_of(b)].name, executions, holds ? "holds" : "FAILS",
	       caught, all);
}

/* The two together, and every format and path, though no barrier is taken away there. */
static void show_round()
{
	unsigned long long executions = 0, all = 0;
	unsigned missed = 0;
	bool holds = true;

	for (const mutant &m : mutants)
		missed += m.caught;
	for (const verdict &v : verdicts) {
		all += v.executions;
		if (v.which == SCENARIO_ROUND) {
			executions += v.executions;
			holds &= v.holds;
		}
	}
	printf("%-9s %-24s %-34s %-10s %10llu  %s\n", "all", "", "",
	       order_scenarios[SCENARIO_ROUND].name, executions, holds ? "holds" : "FAILS");
	printf("\nordering: %llu executions, all that there are; %u of %zu weakened barriers "
	       "missed\n",
	       all, missed, mutants.size());
	printf("%u places with a barrier were passed\n", place_count);
}

static void show_table()
{
	printf("\n%-9s %-24s %-34s %-10s %10s  %-6s %s\n", "barrier", "where", "pairs with",
	       "scenario", "executions", "with", "caught without");
	for (const barrier &b : barriers)
		show_barrier(b);
	show_round();
}

/* Each barrier that was passed has an entry; that all were passed, `run` looks up. */
static void check_places()
{
	for (unsigned i = 0; i < place_count; i++)
		if (!places[i].known) {
			printf("FAIL: %s:%d: a barrier that no mutant removes\n", places[i].file,
			       places[i].line);
			failed++;
		}
}

static int show_story(const char *number)
{
	char *end;
	unsigned long n = strtoul(number, &end, 10);

	if (*end || n < 1 || n > mutants.size()) {
		fprintf(stderr, "explore: --show takes a number from 1 to %zu, as in --rows\n",
			mutants.size());
		return 2;
	}
	const mutant &m = mutants[n - 1];

	return explore(scenario_of(*m.b), m.ring, m.b, m.how, std::cout).holds ? 1 : 0;
}

int main(int argc, char **argv)
{
	list_mutants();
	if (argc == 3 && !strcmp(argv[1], "--show"))
		return show_story(argv[2]);
	rows = argc == 2 && !strcmp(argv[1], "--rows");
	if (argc > 1 && !rows) {
		fprintf(stderr, "usage: explore [--rows | --show NUMBER]\n");
		return 2;
	}
	run_scenarios();
	run_mutants();
	show_table();
	check_places();
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
