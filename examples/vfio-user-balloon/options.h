/* SPDX-License-Identifier: MIT */
#ifndef BALLOON_OPTIONS_H
#define BALLOON_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* a snapshot or a command came to nothing */
	EXIT_USAGE = 2,
	EXIT_CANNOT = 3,
};

struct options {
	const char *socket;   /* where the device is served */
	const char *control;  /* where commands are taken, or sent to; NULL: none are */
	const char *send;     /* the command to send; NULL: serve */
	const char *snapshot; /* to be taken when there is a driver; NULL: none */
	const char *qmp;      /* of the VMM; NULL: the guest is stopped by others */
	uint64_t rounds;      /* to be run when there is a driver */
	uint64_t patience;    /* seconds for a round */
	bool trust_driver;
	bool msix;
	bool once; /* end when the first client left */
	bool json;
};

/* Returns -1 to go on, or the exit status: help was printed, or one line on stderr. */
int options_parse(struct options *options, int argc, char **argv);

#endif
