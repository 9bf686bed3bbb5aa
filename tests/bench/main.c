/* SPDX-License-Identifier: MIT */
/* fph-bench: what a hint costs, everywhere on its way.  README.md explains the figures. */
#include "bench.h"
#include "clock.h"
#include "code.h"
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2

static const struct workload workloads[] = {
	{ "one-core", "both ends on one core: ring formats, batches, chains", one_core_run,
	  one_core_judge },
	{ "two-cores", "one end on each of two cores, against rings written for it", two_cores_run,
	  two_cores_judge },
	{ "processes", "two processes over shared memory: wake-ups, latency, use of cores",
	  processes_run, processes_judge },
	{ "wakeup", "waking another process: eventfd, poll, io_uring", wakeup_run, NULL },
	{ "rounds", "whole rounds of guests from 1 GiB to 16 TiB", rounds_run, rounds_judge },
	{ "bitmap", "clearing and counting, against memset and memcpy", bitmap_run, bitmap_judge },
	{ "control", "start, stop and done, with the ring full", control_run, NULL },
	{ "hostile", "a ring full of garbage: what one poll can cost", hostile_run, NULL },
	{ "code", "size, stack, instructions a hint", code_run, NULL },
};

static const char help[] =
	"Usage: fph-bench [OPTION...]\n"
	"\n"
	"Measure what free page hints cost and print a table: medians, quartiles, extremes.\n"
	"Takes a few minutes; a machine that does nothing else gives better figures.\n"
	"\n"
	"  --only NAME   this workload; may be given several times\n"
	"  --list        name the workloads and exit\n"
	"  --quick       seconds instead of minutes: sees that all runs, the figures mean nothing\n"
	"  --json        for machines, on stdout\n"
	"  --help\n"
	"\n"
	"Exit status: 0 measured (whether or not goals are reached), 2 bad option, 3 it could\n"
	"not run.\n";

enum {
	OPT_ONLY = 256,
	OPT_LIST,
	OPT_QUICK,
	OPT_JSON,
	OPT_HELP,
	OPT_INSTRUCTIONS,
};

static const struct option names[] = {
	{ "only", required_argument, NULL, OPT_ONLY },
	{ "list", no_argument, NULL, OPT_LIST },
	{ "quick", no_argument, NULL, OPT_QUICK },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, OPT_HELP },
	/* What this program runs under callgrind. */
	{ "instructions", required_argument, NULL, OPT_INSTRUCTIONS },
	{ 0 },
};

struct options {
	bool chosen[COUNT_OF(workloads)];
	bool some;
	bool json;
	bool quick;
};

static int bad(const char *what, const char *why)
{
	fprintf(stderr, "fph-bench: %s: %s (see --help)\n", what, why);
	return EXIT_USAGE;
}

static int choose(struct options *o, const char *name)
{
	for (size_t i = 0; i < COUNT_OF(workloads); i++)
		if (!strcmp(workloads[i].name, name)) {
			o->chosen[i] = o->some = true;
			return -1;
		}
	return bad(name, "no such workload, --list names them");
}

static int list(void)
{
	for (size_t i = 0; i < COUNT_OF(workloads); i++)
		printf("%-10s %s\n", workloads[i].name, workloads[i].about);
	return 0;
}

/* Returns an exit status, or -1 to go on. */
static int parse(struct options *o, int argc, char **argv)
{
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "", names, NULL)) >= 0) {
		int rc = -1;

		if (opt == OPT_ONLY)
			rc = choose(o, optarg);
		else if (opt == OPT_LIST)
			rc = list();
		else if (opt == OPT_QUICK)
			o->quick = true;
		else if (opt == OPT_JSON)
			o->json = true;
		else if (opt == OPT_HELP)
			rc = fputs(help, stdout) < 0;
		else if (opt == OPT_INSTRUCTIONS)
			rc = code_instructions(optarg) < 0 ? bad(optarg, "no such ring") : 0;
		else
			rc = bad(argv[optind - 1], "unknown option, or its argument is missing");
		if (rc >= 0)
			return rc;
	}
	if (optind < argc)
		return bad(argv[optind], "takes no arguments");
	return -1;
}

static int print(const struct bench *b, bool json)
{
	int rc = 0;

	if (json)
		rc = results_json(&b->results, b->quick, stdout);
	else
		results_table(&b->results, stdout);
	if (rc < 0 || fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "fph-bench: the results cannot be written: %s\n",
			strerror(rc < 0 ? -rc : errno));
		return 3;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static char self[4096];
	struct options o = { 0 };
	struct bench b = { .program = self, .progress = isatty(2) };
	int rc = parse(&o, argc, argv);

	if (rc >= 0)
		return rc;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		bench_fail("cannot find my own file: %s", strerror(errno));
	b.quick = o.quick;
	clock_cores();
	for (size_t i = 0; i < COUNT_OF(workloads); i++) {
		b.workload = workloads[i].name;
		if (!o.some || o.chosen[i])
			workloads[i].run(&b);
		if (workloads[i].judge)
			workloads[i].judge(&b);
	}
	if (b.progress)
		fputs("\r\033[K", stderr);
	rc = print(&b, o.json);
	results_free(&b.results);
	return rc;
}
