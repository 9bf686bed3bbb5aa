/* SPDX-License-Identifier: MIT */
#include "parent.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"Usage: fph-soak [OPTION...]\n"
	"\n"
	"Both ends of libfph in two processes that are killed, stopped and brought back at\n"
	"random, for as long as you like, and every page that a copy leaves out is checked.\n"
	"\n"
	"  --seconds N           in all (default 60)\n"
	"  --transport NAME      shm, vhost-user, or both (the default): half of the time each\n"
	"  --seed N              of all decisions (default: the time); it is printed\n"
	"  --break WHAT          see it fail:\n"
	"                        stop   hints of a round count after the next look at the log\n"
	"                        late   hints are applied after the next look at the log\n"
	"                        reuse  the guest says that it holds pages, and reuses them\n"
	"  --json                the result for machines\n"
	"  --help\n"
	"\n"
	"Exit status: 0, nothing was found; 1, a violation, a stall or a leak; 2, it cannot run.\n";

static volatile sig_atomic_t stop_asked;

static void ask_stop(int signal)
{
	(void)signal;
	stop_asked = 1;
}

bool interrupted(void)
{
	return stop_asked;
}

static int bad(const char *option, const char *value, const char *want)
{
	fprintf(stderr, "fph-soak: %s %s: must be %s (see --help)\n", option, value, want);
	return 2;
}

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return !errno && end != text && !*end && *text != '-' && *out >= min && *out <= max;
}

static int parse_transport(struct options *o, const char *name)
{
	o->shm = !strcmp(name, "shm") || !strcmp(name, "both");
	o->vhost_user = !strcmp(name, "vhost-user") || !strcmp(name, "both");
	return o->shm || o->vhost_user ? -1 : bad("--transport", name, "shm, vhost-user or both");
}

static int parse_fault(struct options *o, const char *name)
{
	static const char *const names[] = { [FAULT_STOP] = "stop", [FAULT_LATE] = "late",
					     [FAULT_REUSE] = "reuse" };

	for (unsigned i = FAULT_STOP; i <= FAULT_REUSE; i++)
		if (!strcmp(names[i], name))
			o->fault = (enum fault)i;
	return o->fault ? -1 : bad("--break", name, "stop, late or reuse");
}

/* Returns -1, or an exit status. */
static int parse(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {
		{ "break", required_argument, NULL, 'b' }, { "help", no_argument, NULL, 'h' },
		{ "json", no_argument, NULL, 'j' },	   { "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'r' },  { "transport", required_argument, NULL, 't' },
		{ 0 },
	};
	int option, status = -1;

	opterr = 0;
	while (status == -1 && (option = getopt_long(argc, argv, "+:h", names, NULL)) != -1) {
		switch (option) {
		case 'b':
			status = parse_fault(o, optarg);
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		case 'j':
			o->json = true;
			break;
		case 's':
			if (!number(optarg, 2, 864000, &o->seconds))
				status = bad("--seconds", optarg, "2 to 864000");
			break;
		case 'r':
			if (!number(optarg, 0, UINT64_MAX, &o->seed))
				status = bad("--seed", optarg, "a number");
			break;
		case 't':
			status = parse_transport(o, optarg);
			break;
		default:
			fprintf(stderr, "fph-soak: %s: %s (see --help)\n", argv[optind - 1],
				option == ':' ? "needs a value" : "no such option");
			return 2;
		}
	}
	if (status == -1 && optind < argc)
		return bad("the word", argv[optind], "left out: there are options only");
	return status;
}

/*
 * The heap is compared to the byte, and what malloc()'s cache keeps counts as in use.  Only
 * the environment switches that off.
 */
static void without_cache(char **argv)
{
	const char *had = getenv("GLIBC_TUNABLES"), *want = "glibc.malloc.tcache_count=0";
	char tunables[256];

	if (had && strstr(had, want))
		return;
	snprintf(tunables, sizeof(tunables), "%s%s%.200s", want, had ? ":" : "", had ? had : "");
	setenv("GLIBC_TUNABLES", tunables, 1);
	execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
	struct options options = { .shm = true, .vhost_user = true, .seconds = 60,
				   .seed = now_ns() & UINT32_MAX };
	struct sigaction action = { .sa_handler = ask_stop };
	struct result results[2];
	int status = parse(&options, argc, argv);
	unsigned n = 0;
	uint64_t each;

	if (status != -1)
		return status;
	without_cache(argv);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 512);
	setvbuf(stderr, NULL, _IOLBF, 512);
	each = options.seconds / (options.shm && options.vhost_user ? 2 : 1);
	status = 0;
	for (unsigned k = 0; k < 2 && status != 2 && !interrupted(); k++)
		if (k ? options.vhost_user : options.shm) {
			status = soak_run(&options, k, each, &results[n]);
			n += status != 2;
		}
	return status == 2 ? 2 : report(&options, results, n);
}
