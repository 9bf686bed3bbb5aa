/* SPDX-License-Identifier: MIT */
#ifndef AGENT_OPTIONS_H
#define AGENT_OPTIONS_H

#include "steps.h"

#include <stdint.h>

enum command { COMMAND_RUN, COMMAND_AGENT, COMMAND_VMM, COMMAND_STEPS };

struct options {
	enum command command;
	/* agent, vmm */
	const char *socket;
	int memory_fd;	      /* -1: none, make one */
	int board_fd;	      /* -1: no supervisor */
	const char *snapshot; /* path, or NULL */
	/* run and others */
	uint64_t memory;
	uint64_t seconds;   /* 0: as long as it takes */
	uint64_t snapshots; /* that shall be taken */
	uint64_t kills;
	unsigned kill_sides; /* bits, 1 << enum side */
	uint64_t seed;
	enum step die_at;
	int die_signal; /* there: SIGKILL, or SIGSTOP */
	bool hints;
	bool break_order;
	bool json;
	bool vfio_user; /* between the two, instead of shared registers */
};

enum {
	EXIT_OK = 0,
	EXIT_LOST = 1, /* a page was lost, or a snapshot is not faithful */
	EXIT_USAGE = 2,
	EXIT_CANNOT = 3,
	EXIT_INTERRUPTED = 130,
};

/*
 * Fill *options from the command line.  Returns -1 to go on, or the exit status: 0
 * after --help and --version, EXIT_USAGE after one line on stderr.
 */
int options_parse(struct options *options, int argc, char **argv);

/* The programs; each returns an exit status. */
int agent_main(const struct options *options);
int vmm_main(const struct options *options);
int supervise_main(const struct options *options);

/* Has a signal asked this process to end? */
bool interrupted(void);
/* One line on stderr; returns EXIT_CANNOT. */
__attribute__((format(printf, 1, 2))) int cannot(const char *format, ...);
/* One line of progress on stdout. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

#endif
