/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOCKET_MAX  107u
#define COMMAND_MAX 4150u

enum {
	OPT_CONTROL = 256,
	OPT_HELP,
	OPT_JSON,
	OPT_NO_MSIX,
	OPT_ONCE,
	OPT_PATIENCE,
	OPT_QMP,
	OPT_ROUNDS,
	OPT_SEND,
	OPT_SNAPSHOT,
	OPT_SOCKET,
	OPT_TRUST_DRIVER,
	OPT_VERSION,
};

static const struct option names[] = {
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "no-msix", no_argument, NULL, OPT_NO_MSIX },
	{ "once", no_argument, NULL, OPT_ONCE },
	{ "patience", required_argument, NULL, OPT_PATIENCE },
	{ "qmp", required_argument, NULL, OPT_QMP },
	{ "rounds", required_argument, NULL, OPT_ROUNDS },
	{ "send", required_argument, NULL, OPT_SEND },
	{ "snapshot", required_argument, NULL, OPT_SNAPSHOT },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "trust-driver", no_argument, NULL, OPT_TRUST_DRIVER },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static const char help[] =
	"Usage: fph-vfio-user-balloon --socket PATH [OPTION...]\n"
	"       fph-vfio-user-balloon --control PATH --send COMMAND [--json]\n"
	"\n"
	"A virtio balloon with free page hinting in a process of its own, for a virtual machine\n"
	"of QEMU 10.1 or later, and snapshots of its memory.  Start it first, then:\n"
	"\n"
	"  qemu-system-x86_64 ... -m 512M -machine memory-backend=m0 \\\n"
	"    -object memory-backend-memfd,id=m0,size=512M,share=on \\\n"
	"    -device '{\"driver\":\"vfio-user-pci\","
	"\"socket\":{\"type\":\"unix\",\"path\":\"PATH\"}}'\n"
	"\n"
	"  --socket PATH     serve the device there, one client after the other, until SIGINT,\n"
	"                    SIGTERM or the command quit\n"
	"  --control PATH    take commands there\n"
	"  --qmp PATH        a QMP socket of the virtual machine, to stop the guest for a copy\n"
	"  --snapshot FILE   take a snapshot when there is a driver (needs --qmp)\n"
	"  --rounds N        run so many rounds of hints when there is a driver, and print what\n"
	"                    they took\n"
	"  --trust-driver    leave out hinted pages that are not zero, too; see fph-vfio-user-"
	"balloon(1)\n"
	"                    for what you trust it in\n"
	"  --patience N      seconds that a round may take (default 30)\n"
	"  --once            end when the first client left\n"
	"  --no-msix         no MSI-X: QEMU 11.1 aborts when a device that has it is unplugged\n"
	"  --json            results for machines, a line each; all else goes to stderr\n"
	"\n"
	"  --send COMMAND    send a command to the program that listens at --control:\n"
	"    start                   show the driver a new id, so that it hints\n"
	"    stop                    no more hints\n"
	"    done                    the driver may use its pages again\n"
	"    status                  how things stand\n"
	"    snapshot FILE           a round, then the copy, with the guest stopped by QMP\n"
	"    snapshot-stopped FILE   the copy alone: you have stopped the guest\n"
	"    quit                    end\n"
	"\n"
	"SIGUSR1 does what start does, SIGUSR2 what stop and done do.\n"
	"\n"
	"Exit status: 0 all went well, 1 a snapshot, a round or a command failed, 2 bad option,\n"
	"3 it could not run, or not write an answer.\n";

__attribute__((format(printf, 1, 2))) static int bad(const char *format, ...)
{
	va_list args;

	fputs("fph-vfio-user-balloon: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs(" (see --help)\n", stderr);
	return EXIT_USAGE;
}

static int number(const char *option, uint64_t max, uint64_t *value)
{
	char *end = optarg;

	errno = 0;
	*value = *optarg >= '0' && *optarg <= '9' ? strtoull(optarg, &end, 10) : 0;
	if (errno || *end || !*value || *value > max)
		return bad("--%s %s: must be a whole number from 1 to %llu", option, optarg,
			   (unsigned long long)max);
	return -1;
}

static int path(const char *option, size_t max, const char **value)
{
	if (!*optarg || strlen(optarg) > max)
		return bad("--%s %s: must be a path of at most %zu bytes", option, optarg, max);
	*value = optarg;
	return -1;
}

static int command(const char **value)
{
	if (!*optarg || strlen(optarg) > COMMAND_MAX || strchr(optarg, '\n'))
		return bad("--send: must be one command on one line");
	*value = optarg;
	return -1;
}

static int parse_one(struct options *options, int option)
{
	switch (option) {
	case OPT_CONTROL:
		return path("control", SOCKET_MAX, &options->control);
	case OPT_JSON:
		options->json = true;
		return -1;
	case OPT_NO_MSIX:
		options->msix = false;
		return -1;
	case OPT_ONCE:
		options->once = true;
		return -1;
	case OPT_PATIENCE:
		return number("patience", 3600, &options->patience);
	case OPT_QMP:
		return path("qmp", SOCKET_MAX, &options->qmp);
	case OPT_ROUNDS:
		return number("rounds", 1000, &options->rounds);
	case OPT_SEND:
		return command(&options->send);
	case OPT_SNAPSHOT:
		return path("snapshot", PATH_MAX - 16, &options->snapshot);
	case OPT_SOCKET:
		return path("socket", SOCKET_MAX, &options->socket);
	case OPT_TRUST_DRIVER:
		options->trust_driver = true;
		return -1;
	default:
		abort();
	}
}

/* Is there anything that only one who serves a device wants? */
static bool serves(const struct options *o)
{
	return o->socket || o->snapshot || o->qmp || o->rounds || o->trust_driver || !o->msix ||
	       o->once;
}

/* What is missing, or does not fit together. */
static int judge(const struct options *o)
{
	if (o->send && !o->control)
		return bad("--send: needs --control PATH, where the other program listens");
	if (o->send)
		return serves(o) ? bad("--send: goes with --control and --json only") : -1;
	if (!o->socket)
		return bad("say where to serve the device: --socket PATH");
	if (o->snapshot && !o->qmp)
		return bad("--snapshot: needs --qmp PATH, for the guest must not run meanwhile");
	if (o->snapshot && o->rounds)
		return bad("--snapshot: runs a round itself, leave out --rounds");
	if (o->control && !strcmp(o->control, o->socket))
		return bad("--control: must be another path than --socket");
	return -1;
}

int options_parse(struct options *options, int argc, char **argv)
{
	int option, status;

	*options = (struct options){ .patience = 30, .msix = true };
	opterr = 0;
	/* "+:" stops at the first word that is no option, and tells ':' from '?'. */
	while ((option = getopt_long(argc, argv, "+:h", names, NULL)) != -1) {
		if (option == ':')
			return bad("%s needs a value", argv[optind - 1]);
		if (option == '?')
			return bad("%s is no option, or has a value it should not have",
				   argv[optind - 1]);
		if (option == 'h' || option == OPT_HELP) {
			fputs(help, stdout);
			return EXIT_OK;
		}
		if (option == OPT_VERSION) {
			puts("fph-vfio-user-balloon " BALLOON_VERSION);
			return EXIT_OK;
		}
		status = parse_one(options, option);
		if (status != -1)
			return status;
	}
	if (optind < argc)
		return bad("%s: options only, no other words", argv[optind]);
	return judge(options);
}
