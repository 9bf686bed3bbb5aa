/* SPDX-License-Identifier: MIT */
#include "command.h"
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static bool refuse(const char *why, bool json, char *answer)
{
	report_error(why, json, answer, ANSWER_MAX);
	return false;
}

static bool start(struct balloon *balloon, const char *file, bool json, char *answer)
{
	const char *why = "";

	(void)file;
	if (round_start(balloon, &why))
		return refuse(why, json, answer);
	report_round(balloon, json, answer, ANSWER_MAX);
	return true;
}

static bool stop(struct balloon *balloon, const char *file, bool json, char *answer)
{
	(void)file;
	round_stop(balloon);
	report_round(balloon, json, answer, ANSWER_MAX);
	return true;
}

static bool done(struct balloon *balloon, const char *file, bool json, char *answer)
{
	(void)file;
	round_done(balloon);
	report_round(balloon, json, answer, ANSWER_MAX);
	return true;
}

static bool status(struct balloon *balloon, const char *file, bool json, char *answer)
{
	(void)file;
	report_status(balloon, json, answer, ANSWER_MAX);
	return true;
}

static bool take(struct balloon *balloon, const char *file, bool by_qmp, bool json, char *answer)
{
	struct snapshot snapshot = { .file = file, .by_qmp = by_qmp };

	if (by_qmp && !balloon->options->qmp)
		return refuse("the guest must not run while it is copied: stop it and send "
			      "snapshot-stopped, or start this program with --qmp PATH",
			      json, answer);
	if (strlen(file) > PATH_MAX - 16)
		return refuse("the name of the file is too long", json, answer);
	if (snapshot_take(balloon, &snapshot)) {
		fprintf(stderr, "fph-vfio-user-balloon: no snapshot: %s\n", snapshot.why);
		return refuse(snapshot.why, json, answer);
	}
	report_snapshot(balloon, &snapshot);
	report_snapshot_line(balloon, &snapshot, json, answer, ANSWER_MAX);
	return true;
}

static bool snapshot(struct balloon *balloon, const char *file, bool json, char *answer)
{
	return take(balloon, file, true, json, answer);
}

static bool snapshot_stopped(struct balloon *balloon, const char *file, bool json, char *answer)
{
	return take(balloon, file, false, json, answer);
}

static bool quit(struct balloon *balloon, const char *file, bool json, char *answer)
{
	(void)file;
	balloon->quit = true;
	report_status(balloon, json, answer, ANSWER_MAX);
	return true;
}

static const struct command commands[] = {
	{ "start", false, false, start },
	{ "stop", false, false, stop },
	{ "done", false, false, done },
	{ "status", false, true, status },
	{ "snapshot", true, false, snapshot },
	{ "snapshot-stopped", true, false, snapshot_stopped },
	{ "quit", false, true, quit },
};

const struct command *command_find(const char *line, const char **file, char *answer)
{
	bool json = !strncmp(line, "json ", 5);
	size_t len;

	line += json ? 5 : 0;
	len = strcspn(line, " ");
	*file = line[len] ? line + len + 1 : "";
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *command = &commands[i];

		if (strlen(command->name) != len || memcmp(command->name, line, len) != 0)
			continue;
		if (command->file == (**file != '\0'))
			return command;
		refuse(command->file ? "say the name of the file" : "it takes no other words", json,
		       answer);
		return NULL;
	}
	refuse("no such command; there are start, stop, done, status, snapshot FILE, "
	       "snapshot-stopped FILE and quit",
	       json, answer);
	return NULL;
}

bool command_run(struct balloon *balloon, const struct command *command, const char *file,
		 bool json, char *answer)
{
	const char *before = balloon->busy;
	bool ok;

	if (!command->now)
		balloon->busy = command->name;
	ok = command->run(balloon, file, json, answer);
	balloon->busy = before;
	return ok;
}

void command_signal(struct balloon *balloon, int number)
{
	char answer[ANSWER_MAX + 1];
	bool ok = number == SIGUSR1 ? start(balloon, "", false, answer) :
				      done(balloon, "", false, answer);

	if (ok)
		say(balloon, "by a signal: %s: %s", number == SIGUSR1 ? "start" : "stop, done",
		    answer);
	else
		fprintf(stderr, "fph-vfio-user-balloon: by a signal: %s\n", answer);
}
