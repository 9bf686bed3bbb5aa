/* SPDX-License-Identifier: MIT */
#ifndef MIGRATE_UML_H
#define MIGRATE_UML_H

#include "guest.h"

#include <fph/vhost_user.h>

/*
 * A real Linux in user mode (linux.uml) as the guest: a stock virtio_balloon
 * driver speaks vhost-user to the device in this process.  Needs no root and no
 * KVM.  Beyond struct guest_ops, for tests and reports:
 */

/*
 * Run a shell command in the guest and wait for its end.  The first max - 1
 * bytes of what it printed, on one line, go to answer (NULL: nowhere).
 * Returns its exit status, or -ETIMEDOUT (the guest said nothing for 30 s),
 * -ENOTCONN (the guest is gone), -EINTR, -E2BIG.  Besides busybox's applets:
 *	free		KiB that are free
 *	fill MIB	make that much memory dirty, then free it
 *	work on|off	rewrite 4 MiB about eight times a second
 *	driver VERB	"load", "unload", "bind" or "unbind" the balloon's driver
 */
int uml_command(struct guest *guest, const char *command, char *answer, size_t max);

/* Kill the kernel, nothing else; the back end sees its front end go. */
void uml_kill(struct guest *guest);

/* Kill what is left of the kernel and boot another one on the same back end. */
int uml_restart(struct guest *guest);

struct fph_vhost_user *uml_back_end(const struct guest *guest);

/* The last that the kernel said, for a message. */
const char *uml_last_words(const struct guest *guest);

/* Milliseconds of the last boot: start to the first command, filling memory, loading. */
struct uml_times {
	uint64_t boot;
	uint64_t fill;
	uint64_t load;
	uint64_t filled; /* MiB made dirty */
};
struct uml_times uml_times(const struct guest *guest);

#endif
