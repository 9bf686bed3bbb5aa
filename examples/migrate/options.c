/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

enum {
	OPT_BANDWIDTH = 256,
	OPT_BREAK,
	OPT_COMPARE,
	OPT_DOWNTIME,
	OPT_GUEST,
	OPT_HELP,
	OPT_JSON,
	OPT_KERNEL,
	OPT_MEMORY,
	OPT_MODULE,
	OPT_ORACLE,
	OPT_ROUNDS,
	OPT_SEED,
	OPT_VERBOSE,
	OPT_VERSION,
};

static const struct option names[] = {
	{"bandwidth", required_argument, NULL, OPT_BANDWIDTH},
	{"break", required_argument, NULL, OPT_BREAK},
	{"compare", no_argument, NULL, OPT_COMPARE},
	{"downtime", required_argument, NULL, OPT_DOWNTIME},
	{"guest", required_argument, NULL, OPT_GUEST},
	{"help", no_argument, NULL, OPT_HELP},
	{"json", no_argument, NULL, OPT_JSON},
	{"kernel", required_argument, NULL, OPT_KERNEL},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"module", required_argument, NULL, OPT_MODULE},
	{"oracle", no_argument, NULL, OPT_ORACLE},
	{"rounds", required_argument, NULL, OPT_ROUNDS},
	{"seed", required_argument, NULL, OPT_SEED},
	{"verbose", no_argument, NULL, OPT_VERBOSE},
	{"version", no_argument, NULL, OPT_VERSION},
	{0},
};

static const char help[] =
	"Usage: fph-migrate [OPTION...]\n"
	"\n"
	"Migrate a running guest's memory to another process twice, without and with free\n"
	"page hints, and show what the hints saved.  Proves that the copy is right.\n"
	"\n"
	"The guest\n"
	"  --guest uml|sim    uml: a Linux guest (user-mode Linux), the default\n"
	"                     sim: an allocator and a workload inside this program\n"
	"  --memory SIZE      of the guest, with a unit: 512M, 1G (default 1G)\n"
	"  --kernel PATH      another user-mode kernel (uml)\n"
	"  --module PATH      its virtio_balloon.ko (uml)\n"
	"  --oracle           boot with init_on_free=1 and prove of every skipped page that\n"
	"                     it was free: it reads as zero (uml)\n"
	"  --compare          find dirty pages by comparison, even where the kernel could\n"
	"                     track writes (sim; uml always does)\n"
	"  --seed N           of the workload (sim; default 1)\n"
	"\n"
	"The migration\n"
	"  --bandwidth N      of the link in MiB/s, 0 for no limit (default 1000)\n"
	"  --downtime MS      pause the guest when the rest fits in this (default 20)\n"
	"  --rounds N         or after this many rounds (default 20, at most 100)\n"
	"  --break WHAT       see a proof fail.  destination: damage one page over there;\n"
	"                     order: apply hints after the next dirty-log sync (sim)\n"
	"\n"
	"The output\n"
	"  --json             for machines, on stdout; progress goes to stderr\n"
	"  --verbose          show the guest's console on stderr (uml)\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 all proofs hold, 1 a proof failed, 2 bad option, 3 it could not\n"
	"run, or not write its result, 130 interrupted.\n";

__attribute__((format(printf, 1, 2))) static int bad(const char *format, ...)
{
	va_list args;

	fputs("fph-migrate: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs(" (see --help)\n", stderr);
	return EXIT_USAGE;
}

/* Digits, nothing else, at most max; returns where they end, or NULL. */
static const char *digits(const char *text, uint64_t max, uint64_t *value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return NULL;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno || *value > max ? NULL : end;
}

static int number(const char *option, const char *text, uint64_t min, uint64_t max,
		  uint64_t *value)
{
	const char *end = digits(text, max, value);

	if (!end || *end || *value < min)
		return bad("--%s %s: must be a whole number from %llu to %llu", option, text,
			   (unsigned long long)min, (unsigned long long)max);
	return -1;
}

static int size(const char *option, const char *text, uint64_t *value)
{
	static const char units[] = "kmgt";
	const char *end = digits(text, UINT32_MAX, value), *unit;

	if (!end || !*end || end[1] || !(unit = strchr(units, *end | 0x20)))
		return bad(
			"--%s %s: not a size, write a whole number and a unit, as 512M or 1G",
			option, text);
	*value <<= 10 * (unit - units + 1);
	return -1;
}

static int parse_guest(struct options *options, const char *text)
{
	if (!strcmp(text, "uml"))
		options->ops = &guest_uml;
	else if (!strcmp(text, "sim"))
		options->ops = &guest_sim;
	else
		return bad("--guest %s: must be uml or sim", text);
	return -1;
}

static int parse_break(struct options *options, const char *text)
{
	if (!strcmp(text, "destination"))
		options->migrate.breakage = BREAK_DESTINATION;
	else if (!strcmp(text, "order"))
		options->migrate.breakage = BREAK_ORDER;
	else
		return bad("--break %s: must be destination or order", text);
	return -1;
}

static int parse_one(struct options *options, int option)
{
	uint64_t value = 0;
	int status = -1;

	switch (option) {
	case OPT_GUEST:
		return parse_guest(options, optarg);
	case OPT_MEMORY:
		return size("memory", optarg, &options->guest.memory);
	case OPT_KERNEL:
		options->guest.kernel = optarg;
		break;
	case OPT_MODULE:
		options->guest.module = optarg;
		break;
	case OPT_ORACLE:
		options->guest.oracle = options->migrate.oracle = true;
		break;
	case OPT_COMPARE:
		options->guest.compare = true;
		break;
	case OPT_SEED:
		status = number("seed", optarg, 0, UINT32_MAX, &value);
		options->guest.seed = (unsigned)value;
		break;
	case OPT_BANDWIDTH:
		status = number("bandwidth", optarg, 0, 1000000, &value);
		options->bandwidth = value * MIB;
		break;
	case OPT_DOWNTIME:
		status = number("downtime", optarg, 0, 60000, &value);
		options->migrate.downtime_ms = (unsigned)value;
		break;
	case OPT_ROUNDS:
		status = number("rounds", optarg, 1, ROUNDS_MAX, &value);
		options->migrate.rounds = (unsigned)value;
		break;
	case OPT_BREAK:
		return parse_break(options, optarg);
	case OPT_JSON:
		options->json = true;
		break;
	case OPT_VERBOSE:
		options->guest.verbose = true;
		break;
	case OPT_HELP:
		fputs(help, stdout);
		return 0;
	case OPT_VERSION:
		puts("fph-migrate " MIGRATE_VERSION);
		return 0;
	default:
		abort();
	}
	return status;
}

/* Options that do not fit together, and what a guest cannot live with. */
static int judge(const struct options *options)
{
	bool sim = options->ops == &guest_sim;
	uint64_t least = (sim ? 16 : 64) * MIB;

	if (options->guest.memory < least)
		return bad("--memory: too little, this guest needs at least %lluM",
			   (unsigned long long)(least / MIB));
	if (options->guest.memory % MIB)
		return bad("--memory: must be whole MiB");
	if (sim && (options->guest.kernel || options->guest.module))
		return bad("--kernel and --module need --guest uml");
	if (sim && options->migrate.oracle)
		return bad(
			"--oracle needs --guest uml; sim checks every allocated page anyway");
	if (!sim && options->migrate.breakage == BREAK_ORDER)
		return bad(
			"--break order needs --guest sim, which reuses hinted pages at once");
	return -1;
}

int options_parse(struct options *options, int argc, char **argv)
{
	int option, status;

	*options = (struct options){
		.ops = &guest_uml,
		.guest = {.memory = 1024 * MIB, .seed = 1},
		.migrate = {.downtime_ms = 20, .rounds = 20},
		.bandwidth = 1000 * MIB,
	};
	opterr = 0;
	/* "+:" stops at the first word that is no option, and tells ':' from '?'. */
	while ((option = getopt_long(argc, argv, "+:h", names, NULL)) != -1) {
		if (option == ':')
			return bad("%s needs a value", argv[optind - 1]);
		if (option == '?')
			return bad("%s is no option, or has a value it should not have",
				   argv[optind - 1]);
		status = parse_one(options, option == 'h' ? OPT_HELP : option);
		if (status != -1)
			return status;
	}
	if (optind < argc)
		return bad("%s: options only, no other words", argv[optind]);
	return judge(options);
}
