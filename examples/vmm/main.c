/* SPDX-License-Identifier: MIT */
/*
 * fph-vmm: a virtual machine monitor to be read in an evening.  One run boots a guest under
 * KVM and moves it to another process, without hints; then the same with hints.  Read
 * machine_abi.h, machine.c, migrate.c, guest/main.c, in this order.
 */
#include "../output.h"
#include "migrate.h"
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define EXIT_CANNOT 3
#define EXIT_NO_KVM 77

static const char usage[] =
	"Usage: fph-vmm [OPTION...]\n"
	"Boot a small guest under KVM and live-migrate it to another process, without free page\n"
	"hints and with; the guest goes on there and checks its memory.\n"
	"\n"
	"  --memory MIB       of the guest, 16 to 256 (32)\n"
	"  --used PERCENT     of memory that the guest's workload has, 1 to 90 (25)\n"
	"  --rounds N         at most, before the guest is paused, 1 to 100 (8)\n"
	"  --hints on|off|both\n"
	"  --early-reuse      the guest takes a hinted page back and writes to it before the\n"
	"                     hint is processed, which virtio allows\n"
	"  --order right|lazy lazy: protect pages again when they are sent or hinted, as QEMU\n"
	"                     does, and not when the dirty log is read; with --early-reuse this\n"
	"                     loses a page, which is what it is for\n"
	"  --fail-destination it dies in the middle: the guest must run on here\n"
	"  --kvm PATH         (/dev/kvm)\n"
	"  --json\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 nothing lost; 1 something lost, or a migration failed; 2 wrong usage;\n"
	"3 the result could not be written; 77 no KVM.\n";

static int bad(const char *format, const char *what)
{
	fprintf(stderr, "fph-vmm: ");
	fprintf(stderr, format, what);
	fprintf(stderr, " (fph-vmm --help)\n");
	return EXIT_USAGE;
}

static int number(const char *name, const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || !*text || text[0] == '-' || value < min || value > max) {
		fprintf(stderr, "fph-vmm: %s must be a number from %u to %u, not '%s'\n", name, min,
			max, text);
		return EXIT_USAGE;
	}
	*out = (uint32_t)value;
	return 0;
}

struct choice {
	bool without, with;
};

static int parse_hints(const char *text, struct choice *choice)
{
	choice->with = !strcmp(text, "on") || !strcmp(text, "both");
	choice->without = !strcmp(text, "off") || !strcmp(text, "both");
	return choice->with || choice->without ? 0 :
						 bad("--hints must be on, off or both, not '%s'",
						     text);
}

static int parse_order(const char *text, struct options *o)
{
	o->lazy = !strcmp(text, "lazy");
	return o->lazy || !strcmp(text, "right") ? 0 :
						   bad("--order must be right or lazy, not '%s'",
						       text);
}

/* Returns 0, an exit status, or -1: done, with success. */
static int parse(int argc, char **argv, struct options *o, struct choice *choice)
{
	static const struct option longs[] = {
		{ "memory", required_argument, NULL, 'm' },
		{ "used", required_argument, NULL, 'u' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "hints", required_argument, NULL, 'h' },
		{ "early-reuse", no_argument, NULL, 'e' },
		{ "order", required_argument, NULL, 'o' },
		{ "fail-destination", no_argument, NULL, 'f' },
		{ "kvm", required_argument, NULL, 'k' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, '?' + 1000 },
		{ "version", no_argument, NULL, 'v' },
		{ 0 },
	};
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'm':
			rc = number("--memory", optarg, 16, 256, &o->memory_mib);
			break;
		case 'u':
			rc = number("--used", optarg, 1, 90, &o->used_percent);
			break;
		case 'r':
			rc = number("--rounds", optarg, 1, 100, &o->rounds_max);
			break;
		case 'h':
			rc = parse_hints(optarg, choice);
			break;
		case 'e':
			o->early_reuse = true;
			break;
		case 'o':
			rc = parse_order(optarg, o);
			break;
		case 'f':
			o->fail_destination = true;
			break;
		case 'k':
			o->kvm = optarg;
			break;
		case 'j':
			o->json = true;
			break;
		case 'v':
			puts("fph-vmm " VMM_VERSION);
			return -1;
		case '?' + 1000:
			fputs(usage, stdout);
			return -1;
		default:
			return bad("%s is no option, or lacks its value", argv[optind - 1]);
		}
	}
	if (rc == 0 && optind < argc)
		return bad("unexpected argument '%s'", argv[optind]);
	return rc;
}

static int boot(struct machine *m, const struct options *o)
{
	uint32_t pages = o->memory_mib * 256;
	int rc = vm_boot(&m->vm);

	*machine_page(m) = (struct abi_page){
		.pages = pages,
		.used_pages = pages / 100 * o->used_percent,
		.hot_pages = 64,
		.flags = o->early_reuse ? ABI_EARLY_REUSE : 0,
	};
	if (rc == 0)
		rc = vm_start(&m->vm);
	if (rc == 0)
		rc = machine_wait(m, &m->ready, 0, 60000);
	if (rc == -ETIMEDOUT)
		fprintf(stderr, "fph-vmm: the guest did not come up within a minute\n");
	return rc;
}

/* The destination is forked before anything is opened: a VM belongs to one process. */
static pid_t start_destination(const struct options *o, int fds[2])
{
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(destination(o, fds[1]));
	}
	close(fds[1]);
	return pid;
}

static int run(const struct options *o, struct outcome *out)
{
	struct machine_opts opts = { .kvm = o->kvm, .ram_size = (uint64_t)o->memory_mib << 20 };
	struct machine m;
	int fds[2], rc;
	pid_t pid = start_destination(o, fds);

	if (pid < 0) {
		perror("fph-vmm: starting the destination");
		return -EIO;
	}
	if (!o->json)
		fprintf(stderr, "%s: booting the guest ...\n",
			out->hints ? "with hints" : "without hints");
	rc = machine_open(&m, &opts);
	if (rc == 0)
		rc = boot(&m, o);
	if (rc == 0) {
		if (!o->json)
			fprintf(stderr, "%s: migrating ...\n",
				out->hints ? "with hints" : "without hints");
		rc = migrate(&m, o, fds[0], out);
		if (rc < 0) {
			fprintf(stderr, "fph-vmm: the migration failed: %s; the guest runs on here\n",
				rc == -ENOTCONN ? "the destination is gone" : strerror(-rc));
			rc = machine_check(&m);
			out->good = m.good;
			out->bad = m.bad;
		}
	}
	machine_close(&m);
	close(fds[0]);
	waitpid(pid, NULL, 0);
	return rc;
}

int main(int argc, char **argv)
{
	struct options o = { .kvm = "/dev/kvm", .memory_mib = 32, .used_percent = 25,
			     .rounds_max = 8 };
	struct choice choice = { true, true };
	struct outcome outcomes[2] = { 0 };
	unsigned n = 0;
	int rc = parse(argc, argv, &o, &choice);

	if (rc != 0)
		return rc < 0 ? 0 : rc;
	if (access(o.kvm, R_OK | W_OK) < 0) {
		fprintf(stderr,
			"fph-vmm: %s cannot be used (%s): this needs a machine with KVM, and "
			"permission to use it\n",
			o.kvm, strerror(errno));
		return EXIT_NO_KVM;
	}
	for (unsigned hints = 0; hints < 2; hints++) {
		if (!(hints ? choice.with : choice.without))
			continue;
		outcomes[n].hints = hints;
		rc = run(&o, &outcomes[n]);
		if (rc < 0)
			return rc == -ENODEV ? EXIT_NO_KVM : 1;
		n++;
	}
	rc = report(&o, outcomes, n);
	return output_is_written("fph-vmm") || rc ? rc : EXIT_CANNOT;
}
