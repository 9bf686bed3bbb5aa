/* SPDX-License-Identifier: MIT */
#ifndef MIGRATE_REPORT_H
#define MIGRATE_REPORT_H

#include "options.h"

#include <stdio.h>

/* For people.  results[0] is without hints, results[1] with. */
void report_boot(FILE *out, const struct options *options);
void report_start(FILE *out, const struct options *options, const char *tracking,
		  uint64_t free_bytes);
void report_run(FILE *out, const struct result *result);   /* heading of its rounds */
void report_round(FILE *out, const struct result *result); /* the newest */
void report_table(FILE *out, const struct result results[2]);
void report_picture(FILE *out, const struct result results[2]);
void report_proof(FILE *out, const struct result results[2]);

/* For machines.  Returns 0 or -ENOMEM. */
int report_json(FILE *out, const struct options *options, const char *tracking,
		const struct result results[2]);

/* Of the memory that the guest said was free, the share never sent, in percent; -1: unknown. */
double report_share(const struct result *result);

#endif
