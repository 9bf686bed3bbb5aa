/* SPDX-License-Identifier: MIT */
#ifndef MIGRATE_OPTIONS_H
#define MIGRATE_OPTIONS_H

#include "migrate.h"

struct options {
	const struct guest_ops *ops;
	struct guest_config guest;
	struct migrate_config migrate;
	uint64_t bandwidth; /* bytes a second; 0: no limit */
	bool json;
};

enum { EXIT_PROOF = 1, EXIT_USAGE = 2, EXIT_CANNOT = 3, EXIT_INTERRUPTED = 130 };

/*
 * Fill *options from the command line.  Returns -1 to go on, or the exit status: 0
 * after --help and --version, EXIT_USAGE after one line on stderr.
 */
int options_parse(struct options *options, int argc, char **argv);

#endif
