/* SPDX-License-Identifier: MIT */
#include "options.h"
#include "board.h"
#include "memory.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB	   (UINT64_C(1) << 20)
#define SOCKET_MAX 107u

enum { RUN = 1, AGENT = 2, VMM = 4, ALL = 7 };

enum {
	OPT_BOARD_FD = 256,
	OPT_BREAK,
	OPT_DIE_AT,
	OPT_HELP,
	OPT_JSON,
	OPT_KILL,
	OPT_KILLS,
	OPT_MEMORY,
	OPT_MEMORY_FD,
	OPT_NO_HINTS,
	OPT_SECONDS,
	OPT_SEED,
	OPT_SNAPSHOT,
	OPT_SNAPSHOTS,
	OPT_SOCKET,
	OPT_STOP_AT,
	OPT_VFIO_USER,
};

static const struct option names[] = {
	{"board-fd", required_argument, NULL,
	 OPT_BOARD_FD}, /* the supervisor's, no one else's */
	{"break", required_argument, NULL, OPT_BREAK},
	{"die-at", required_argument, NULL, OPT_DIE_AT},
	{"help", no_argument, NULL, OPT_HELP},
	{"json", no_argument, NULL, OPT_JSON},
	{"kill", required_argument, NULL, OPT_KILL},
	{"kills", required_argument, NULL, OPT_KILLS},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"memory-fd", required_argument, NULL, OPT_MEMORY_FD},
	{"no-hints", no_argument, NULL, OPT_NO_HINTS},
	{"seconds", required_argument, NULL, OPT_SECONDS},
	{"seed", required_argument, NULL, OPT_SEED},
	{"snapshot", required_argument, NULL, OPT_SNAPSHOT},
	{"snapshots", required_argument, NULL, OPT_SNAPSHOTS},
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"stop-at", required_argument, NULL, OPT_STOP_AT},
	{"vfio-user", no_argument, NULL, OPT_VFIO_USER},
	{0},
};

/* Which command knows which option; what is not here they all do. */
static const struct {
	int option;
	unsigned commands;
} fits[] = {
	{OPT_BOARD_FD, AGENT | VMM},
	{OPT_BREAK, RUN | VMM},
	{OPT_KILL, RUN},
	{OPT_JSON, RUN},
	{OPT_KILLS, RUN},
	{OPT_MEMORY, RUN | AGENT},
	{OPT_MEMORY_FD, AGENT},
	{OPT_NO_HINTS, RUN | VMM},
	{OPT_SECONDS, RUN},
	{OPT_SEED, RUN | AGENT},
	{OPT_SNAPSHOT, VMM},
	{OPT_SNAPSHOTS, RUN},
	{OPT_SOCKET, AGENT | VMM},
	{OPT_STOP_AT, AGENT | VMM},
	{OPT_VFIO_USER, RUN | AGENT | VMM},
};

static const struct {
	const char *name, *help;
	unsigned bit;
} commands[] = {
	[COMMAND_RUN] =
		{"run",
		 "Usage: fph-agent run [OPTION...]\n"
		 "\n"
		 "Run an agent and a VMM, two processes that share the agent's memory.  The "
		 "VMM takes\n"
		 "snapshots of it while the agent works in it, with and without hints of free "
		 "pages\n"
		 "in turn, and checks each.  Both can be killed meanwhile: nothing may be "
		 "lost.\n"
		 "\n"
		 "  --memory SIZE         of the agent, with a unit: 64M, 1G (default 64M)\n"
		 "  --snapshots N         end after so many (default 4)\n"
		 "  --seconds N           and not before so many seconds\n"
		 "  --kill agent|vmm|both kill -9 that side at random moments\n"
		 "  --kills N             so often in all (default 4)\n"
		 "  --die-at SIDE:STEP    that side kills itself there, once; `fph-agent "
		 "steps` has\n"
		 "                        the names\n"
		 "  --no-hints            take no hints\n"
		 "  --vfio-user           talk by vfio-user, not by registers in shared memory\n"
		 "  --break order         see a check fail: apply hints after the next look at "
		 "the\n"
		 "                        dirty log\n"
		 "  --seed N              of the workload and the kills (default: the time)\n"
		 "  --json                the result for machines on stdout; progress goes to "
		 "stderr\n",
		 RUN},
	[COMMAND_AGENT] =
		{"agent",
		 "Usage: fph-agent agent --socket PATH [OPTION...]\n"
		 "\n"
		 "The guest agent: owns memory, works in it, and hints free pages to the VMM "
		 "that\n"
		 "listens at PATH, now or later.  Ends at SIGINT or SIGTERM.\n"
		 "\n"
		 "  --memory SIZE         make memory of that size, with a unit (default 64M)\n"
		 "  --memory-fd N         use this memfd, sealed against shrinking; if an "
		 "agent used\n"
		 "                        it before, what it left behind is mended and "
		 "verified\n"
		 "  --seed N              of the workload (default: the time)\n"
		 "  --die-at agent:STEP   kill itself there\n"
		 "  --vfio-user           connect to a vfio-user device\n"
		 "  --stop-at agent:STEP  stop there, as by SIGSTOP\n",
		 AGENT},
	[COMMAND_VMM] = {"vmm",
			 "Usage: fph-agent vmm --socket PATH [OPTION...]\n"
			 "\n"
			 "The VMM: listens at PATH and serves one agent after the other.\n"
			 "\n"
			 "  --snapshot FILE       take one snapshot of an agent's memory while "
			 "it works,\n"
			 "                        check it, and end; else serve until SIGINT "
			 "or SIGTERM\n"
			 "  --no-hints            copy every page\n"
			 "  --vfio-user           be a vfio-user device\n"
			 "  --break order         apply hints too late, to see the check fail\n"
			 "  --die-at vmm:STEP     kill itself there\n"
			 "  --stop-at vmm:STEP    stop there, as by SIGSTOP\n"
			 "\n"
			 "The copy is written to FILE.partial and gets its name when it has "
			 "passed its check.\n",
			 VMM},
	[COMMAND_STEPS] = {"steps", NULL, 0},
};

static const char help[] =
	"Usage: fph-agent run|agent|vmm [OPTION...]\n"
	"\n"
	"A guest agent and a VMM, two processes on the two ends of the shared memory "
	"transport.\n"
	"\n"
	"  run     both, with a supervisor that brings back what was killed\n"
	"  agent   the agent alone\n"
	"  vmm     the VMM alone\n"
	"  steps   the names that --die-at knows\n"
	"\n"
	"fph-agent COMMAND --help tells more.\n"
	"\n"
	"Exit status: 0 nothing was lost, 1 something was, 2 bad option, 3 it could not run, or not\n"
	"write its result, 130 interrupted.\n";

__attribute__((format(printf, 1, 2))) static int bad(const char *format, ...)
{
	va_list args;

	fputs("fph-agent: ", stderr);
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

static int number(const char *option, uint64_t min, uint64_t max, uint64_t *value)
{
	const char *end = digits(optarg, max, value);

	if (!end || *end || *value < min)
		return bad("--%s %s: must be a whole number from %llu to %llu", option, optarg,
			   (unsigned long long)min, (unsigned long long)max);
	return -1;
}

static int size(uint64_t *value)
{
	static const char units[] = "kmg";
	const char *end = digits(optarg, UINT32_MAX, value), *unit;

	if (!end || !*end || end[1] || !(unit = strchr(units, *end | 0x20)))
		return bad("--memory %s: not a size, write a whole number and a unit, as 64M",
			   optarg);
	*value <<= 10 * (unit - units + 1);
	if (*value < MEMORY_MIN || *value > MEMORY_MAX || *value % MIB)
		return bad("--memory %s: must be whole MiB, from 4M to 16G", optarg);
	return -1;
}

static int path(const char *option, size_t max, const char **value)
{
	if (!*optarg || strlen(optarg) > max)
		return bad("--%s %s: must be a path of at most %zu bytes", option, optarg, max);
	*value = optarg;
	return -1;
}

static int sides(unsigned *value)
{
	if (!strcmp(optarg, "agent"))
		*value = 1u << SIDE_AGENT;
	else if (!strcmp(optarg, "vmm"))
		*value = 1u << SIDE_VMM;
	else if (!strcmp(optarg, "both"))
		*value = 1u << SIDE_AGENT | 1u << SIDE_VMM;
	else
		return bad("--kill %s: must be agent, vmm or both", optarg);
	return -1;
}

static int death(struct options *options, const char *option, int signal)
{
	enum step step = step_by_name(optarg);

	if (step == STEP_NONE)
		return bad("--%s %s: no such step, `fph-agent steps` has their names", option,
			   optarg);
	if (options->command != COMMAND_RUN &&
	    step_is_agent(step) != (options->command == COMMAND_AGENT))
		return bad("--%s %s: not a step of this side", option, optarg);
	options->die_at = step;
	options->die_signal = signal;
	return -1;
}

static int descriptor(const char *option, int *fd)
{
	uint64_t value = 0;
	int status = number(option, 0, INT_MAX, &value);

	*fd = (int)value;
	return status;
}

static int parse_one(struct options *options, int option)
{
	switch (option) {
	case OPT_BOARD_FD:
		return descriptor("board-fd", &options->board_fd);
	case OPT_BREAK:
		options->break_order = true;
		return strcmp(optarg, "order") ? bad("--break %s: must be order", optarg) : -1;
	case OPT_DIE_AT:
		return death(options, "die-at", SIGKILL);
	case OPT_STOP_AT:
		return death(options, "stop-at", SIGSTOP);
	case OPT_JSON:
		options->json = true;
		return -1;
	case OPT_KILL:
		return sides(&options->kill_sides);
	case OPT_KILLS:
		return number("kills", 1, 1000000, &options->kills);
	case OPT_MEMORY:
		return size(&options->memory);
	case OPT_MEMORY_FD:
		return descriptor("memory-fd", &options->memory_fd);
	case OPT_NO_HINTS:
		options->hints = false;
		return -1;
	case OPT_VFIO_USER:
		options->vfio_user = true;
		return -1;
	case OPT_SECONDS:
		return number("seconds", 1, 1000000, &options->seconds);
	case OPT_SEED:
		return number("seed", 0, UINT32_MAX, &options->seed);
	case OPT_SNAPSHOT:
		return path("snapshot", PATH_MAX - 16, &options->snapshot);
	case OPT_SNAPSHOTS:
		return number("snapshots", 1, 1000000, &options->snapshots);
	case OPT_SOCKET:
		return path("socket", SOCKET_MAX, &options->socket);
	default:
		abort();
	}
}

static bool known_to(int option, enum command command)
{
	for (size_t i = 0; i < sizeof(fits) / sizeof(fits[0]); i++)
		if (fits[i].option == option)
			return fits[i].commands & commands[command].bit;
	return true;
}

static const char *name_of(int option)
{
	const struct option *name = names;

	while (name->val != option)
		name++;
	return name->name;
}

/* What is missing, or does not fit together. */
static int judge(const struct options *options, bool memory, bool kills)
{
	if (options->command != COMMAND_RUN && !options->socket)
		return bad("%s: needs --socket PATH", commands[options->command].name);
	if (memory && options->memory_fd >= 0)
		return bad("--memory-fd: brings its own size, leave out --memory");
	if (kills && !options->kill_sides)
		return bad("--kills: needs --kill agent, vmm or both");
	if (options->break_order && !options->hints)
		return bad("--break order: needs hints, leave out --no-hints");
	if (options->command == COMMAND_VMM && options->break_order && !options->snapshot)
		return bad("--break order: needs --snapshot FILE");
	return -1;
}

static int parse_command(struct options *options, const char *word)
{
	if (!word)
		return bad("say what to do: run, agent or vmm");
	if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
		fputs(help, stdout);
		return 0;
	}
	if (!strcmp(word, "--version")) {
		puts("fph-agent " AGENT_VERSION);
		return 0;
	}
	for (int i = COMMAND_RUN; i <= COMMAND_STEPS; i++)
		if (!strcmp(word, commands[i].name)) {
			options->command = (enum command)i;
			return -1;
		}
	return bad("%s: no such command, it must be run, agent or vmm", word);
}

static int print_steps(const char *word)
{
	if (word)
		return bad("%s: steps takes no options", word);
	for (int i = STEP_NONE + 1; i < STEP_COUNT; i++)
		puts(step_name((enum step)i));
	return 0;
}

int options_parse(struct options *options, int argc, char **argv)
{
	bool memory = false, kills = false;
	int option, status;

	*options = (struct options){
		.memory_fd = -1,
		.board_fd = -1,
		.memory = 64 * MIB,
		.snapshots = 4,
		.kills = 4,
		.seed = board_now() & UINT32_MAX,
		.hints = true,
	};
	status = parse_command(options, argc > 1 ? argv[1] : NULL);
	if (status != -1)
		return status;
	if (options->command == COMMAND_STEPS)
		return print_steps(argv[2]);
	opterr = 0;
	/* "+:" stops at the first word that is no option, and tells ':' from '?'. */
	optind = 2;
	while ((option = getopt_long(argc, argv, "+:h", names, NULL)) != -1) {
		if (option == ':')
			return bad("%s needs a value", argv[optind - 1]);
		if (option == '?')
			return bad("%s is no option, or has a value it should not have",
				   argv[optind - 1]);
		if (option == 'h' || option == OPT_HELP) {
			fputs(commands[options->command].help, stdout);
			return 0;
		}
		if (!known_to(option, options->command))
			return bad("--%s: not with `fph-agent %s`", name_of(option),
				   commands[options->command].name);
		status = parse_one(options, option);
		if (status != -1)
			return status;
		memory |= option == OPT_MEMORY;
		kills |= option == OPT_KILLS;
	}
	if (optind < argc)
		return bad("%s: options only, no other words", argv[optind]);
	return judge(options, memory, kills);
}
