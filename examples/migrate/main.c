/* SPDX-License-Identifier: MIT */
#include "../output.h"
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

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

/* No SA_RESTART: whatever waits shall come back and look. */
static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = ask_stop};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/*
 * The guest, the destination and, where dirty pages are found by comparison, one
 * more copy have to fit into memory.  Better said now than by the OOM killer.
 */
static bool memory_suffices(const struct options *options)
{
	bool copy = options->ops == &guest_uml || options->guest.compare;
	uint64_t need = options->guest.memory * (copy ? 3 : 2), available = UINT64_MAX, kib;
	FILE *meminfo = fopen("/proc/meminfo", "re");
	char line[128];

	while (meminfo && fgets(line, sizeof(line), meminfo))
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			available = kib * 1024;
	if (meminfo)
		fclose(meminfo);
	if (need <= available)
		return true;
	fprintf(stderr,
		"fph-migrate: too little memory: this needs %" PRIu64 "M (%d times the guest), "
		"%" PRIu64 "M are available; try a smaller --memory\n",
		need >> 20, copy ? 3 : 2, available >> 20);
	return false;
}

static void round_done(void *ctx, const struct result *result)
{
	report_round(ctx, result);
}

static int run_both(const struct options *options, struct guest *guest, struct link *link,
		    struct result results[2])
{
	const struct guest_ops *ops = options->ops;
	FILE *out = options->json ? stderr : stdout;
	const char *tracking = ops->how ? ops->how(guest) : ops->tracking;
	int err;

	report_start(out, options, tracking, ops->free_bytes(guest));
	for (int i = 0; i < 2; i++) {
		results[i].hints = i == 1;
		report_run(out, &results[i]);
		err = migrate(&results[i], ops, guest, link, &options->migrate, i == 1,
			      round_done, out);
		if (err)
			return err;
	}
	if (options->json)
		return report_json(stdout, options, tracking, results);
	report_table(out, results);
	report_picture(out, results);
	report_proof(out, results);
	return 0;
}

static int exit_status(int err, const struct result results[2])
{
	if (interrupted()) {
		fprintf(stderr, "fph-migrate: interrupted\n");
		return EXIT_INTERRUPTED;
	}
	if (err)
		return EXIT_CANNOT;
	if (migrate_proved(&results[0]) && migrate_proved(&results[1]))
		return 0;
	fprintf(stderr, "fph-migrate: a proof failed: the destination is no faithful copy\n");
	return EXIT_PROOF;
}

int main(int argc, char **argv)
{
	struct result results[2] = {0};
	struct options options;
	struct guest *guest = NULL;
	struct link link = {0};
	int err, status = options_parse(&options, argc, argv);

	if (status != -1)
		return status;
	if (!memory_suffices(&options))
		return EXIT_CANNOT;
	catch_signals();
	/* First, so that the destination inherits nothing of the guest. */
	err = link_open(&link, options.ops->check);
	if (err) {
		fprintf(stderr, "fph-migrate: cannot start the destination: %s\n",
			strerror(-err));
		return EXIT_CANNOT;
	}
	link.bandwidth = options.bandwidth;
	report_boot(options.json ? stderr : stdout, &options);
	err = options.ops->open(&guest, &options.guest);
	if (!err)
		err = run_both(&options, guest, &link, results);
	options.ops->close(guest);
	link_close(&link);
	status = exit_status(err, results);
	free(results[0].fate);
	free(results[1].fate);
	return output_is_written("fph-migrate") || status ? status : EXIT_CANNOT;
}
