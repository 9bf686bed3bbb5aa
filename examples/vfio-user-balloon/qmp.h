/* SPDX-License-Identifier: MIT */
#ifndef BALLOON_QMP_H
#define BALLOON_QMP_H

#include "balloon.h"

/*
 * The monitor of QEMU, as far as it is needed to stop the guest and let it go on.  The
 * device is served while an answer is waited for, since QEMU may need it to give one.
 */
struct qmp {
	struct balloon *balloon;
	int fd; /* -1: none */
	size_t have;
	unsigned asked, answered; /* numbers of commands; 0: none yet */
	bool greeted;
	bool ended;
	bool liked;    /* the last answer */
	bool running;  /* by the answer to query-status */
	char why[160]; /* what went wrong, in words */
	char text[65536];
};

/* Connect, and ask whether the guest runs.  Returns 0 or a negative errno; see why. */
int qmp_open(struct qmp *qmp, struct balloon *balloon, const char *path);
void qmp_close(struct qmp *qmp);
/* "stop" or "cont".  Returns 0 or a negative errno; see why. */
int qmp_tell(struct qmp *qmp, const char *command);

#endif
