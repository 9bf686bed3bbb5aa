/* SPDX-License-Identifier: MIT */
#ifndef BALLOON_REPORT_H
#define BALLOON_REPORT_H

#include "snapshot.h"

#include <stddef.h>

/* What is to be said of a snapshot: a table, and for machines.  The caller prints or sends. */
void report_snapshot(const struct balloon *balloon, const struct snapshot *snapshot);
/* One line; as JSON or in words. */
void report_snapshot_line(const struct balloon *balloon, const struct snapshot *snapshot, bool json,
			  char *line, size_t len);
void report_status(const struct balloon *balloon, bool json, char *line, size_t len);
/* {"ok": false, "error": ...} */
void report_error(const char *why, bool json, char *line, size_t len);
/* An answer that has nothing to say but that the round is as it is. */
void report_round(const struct balloon *balloon, bool json, char *line, size_t len);

/* Rows of a table of rounds; with --json a line each. */
void report_rounds_head(const struct balloon *balloon);
void report_rounds_row(const struct balloon *balloon, unsigned number);
void report_rounds_end(const struct balloon *balloon, uint64_t ready_to_last_ns);

#endif
