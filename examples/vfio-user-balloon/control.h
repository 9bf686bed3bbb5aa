/* SPDX-License-Identifier: MIT */
#ifndef BALLOON_CONTROL_H
#define BALLOON_CONTROL_H

#include "balloon.h"

/* Commands by a socket: a line each, answered by a line each, in order. */

/* Listen, if the options say so.  Returns as balloon_open(). */
int control_open(struct balloon *balloon);
void control_close(struct balloon *balloon);

/*
 * Carry out what came since, unless something else is under way (then they wait; status
 * and quit do not).  Not from a callback.
 */
void control_run(struct balloon *balloon);

/* The other side: send one command, print the answer.  Returns an exit status. */
int control_send(const struct options *options);

#endif
