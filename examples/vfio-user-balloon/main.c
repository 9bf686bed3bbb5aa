/* SPDX-License-Identifier: MIT */
#include "command.h"
#include "control.h"
#include "report.h"

#include <signal.h>
#include <stdio.h>

/* For a driver that has been told DONE to put its pages back before the next round. */
#define BETWEEN_ROUNDS_NS UINT64_C(500000000)

static int wait_between(struct balloon *balloon)
{
	uint64_t end = now_ns() + BETWEEN_ROUNDS_NS;
	int err = 0;

	while (!err && now_ns() < end)
		err = balloon_turn(balloon, 50);
	return err;
}

int rounds_run(struct balloon *balloon)
{
	uint64_t ready = balloon->ready_ns, last = 0;
	const char *why = "";

	report_rounds_head(balloon);
	for (unsigned i = 1; i <= balloon->options->rounds; i++) {
		int err = i > 1 ? wait_between(balloon) : 0;

		if (!err) {
			err = round_start(balloon, &why);
			if (err)
				cannot("no round: %s", why);
		}
		if (!err)
			err = round_wait(balloon);
		round_stop(balloon);
		if (!err) {
			report_rounds_row(balloon, i);
			if (i == 1 && balloon->round.hints)
				last = balloon->round.last_ns - ready;
		}
		round_done(balloon);
		if (err)
			return EXIT_FAILED;
	}
	report_rounds_end(balloon, last);
	return EXIT_OK;
}

/* What the options ask for, when there is a driver; once. */
static int by_options(struct balloon *balloon)
{
	const struct options *options = balloon->options;
	struct snapshot snapshot = { .file = options->snapshot, .by_qmp = true };
	int status;

	if (options->rounds) {
		balloon->busy = "rounds";
		status = rounds_run(balloon);
	} else {
		balloon->busy = "snapshot";
		status = snapshot_take(balloon, &snapshot) ? EXIT_FAILED : EXIT_OK;
		if (status)
			fprintf(stderr, "fph-vfio-user-balloon: no snapshot: %s\n", snapshot.why);
		else
			report_snapshot(balloon, &snapshot);
	}
	balloon->busy = NULL;
	return status;
}

static int run(struct balloon *balloon)
{
	const struct options *options = balloon->options;
	bool owed = options->rounds || options->snapshot;
	int status = owed ? EXIT_FAILED : EXIT_OK;

	while (!balloon->quit && !(options->once && balloon->served && !balloon->connected)) {
		if (owed && balloon->driver) {
			owed = false;
			status = by_options(balloon);
		}
		control_run(balloon);
		if (balloon->asked) {
			int asked = balloon->asked;

			balloon->asked = 0;
			command_signal(balloon, asked);
		}
		if (!balloon->quit)
			balloon_turn(balloon, -1);
	}
	return balloon->broken ? EXIT_CANNOT : status;
}

int main(int argc, char **argv)
{
	struct options options;
	struct balloon balloon;
	int status = options_parse(&options, argc, argv);

	if (status != -1)
		return status;
	setvbuf(stdout, NULL, _IOLBF, 512);
	setvbuf(stderr, NULL, _IOLBF, 512);
	if (options.send)
		return control_send(&options);
	status = balloon_open(&balloon, &options);
	if (status == -1) {
		say(&balloon, "listens at %s", options.socket);
		status = run(&balloon);
	}
	balloon_close(&balloon);
	return status;
}
