/* SPDX-License-Identifier: MIT */
#ifndef BALLOON_COMMAND_H
#define BALLOON_COMMAND_H

#include "balloon.h"

/* Room for an answer, a snapshot's in JSON being the longest. */
#define ANSWER_MAX 8192

struct command {
	const char *name;
	bool file; /* takes a file name */
	bool now;  /* does not wait for what is under way */
	bool (*run)(struct balloon *balloon, const char *file, bool json, char *answer);
};

/* The command of a line, and where its file name begins; NULL and an answer if it is none. */
const struct command *command_find(const char *line, const char **file, char *answer);
/*
 * Carry it out, and answer in one line, without its end, of at most ANSWER_MAX bytes:
 * "ok..." or "error: ...", or an object that says "ok".
 */
bool command_run(struct balloon *balloon, const struct command *command, const char *file,
		 bool json, char *answer);

/* By a signal, SIGUSR1 or SIGUSR2. */
void command_signal(struct balloon *balloon, int number);

#endif
