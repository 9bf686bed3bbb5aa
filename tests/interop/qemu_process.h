/* SPDX-License-Identifier: MIT */
#ifndef FPH_TESTS_QEMU_PROCESS_H
#define FPH_TESTS_QEMU_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#define QEMU_PROGRAM "/usr/bin/qemu-system-x86_64"

/*
 * A QEMU without a guest OS.  Its memory, its firmware and its sockets are descriptors
 * that it inherits, so there is no file that could be left behind; and it dies with the
 * process that started it.
 */
struct qemu {
	pid_t pid;
	int qtest;	    /* our ends of the two sockets */
	int qmp;
	int said;	    /* what it wrote on stdout and stderr */
	unsigned char *ram; /* guest memory: address in the guest is offset here */
	uint64_t ram_bytes;
};

/*
 * args: what comes after memory, firmware and the two sockets; ends with NULL.
 * stream: a descriptor that QEMU gets under the number that it has here, or -1.
 * Returns 0 or a negative errno; then there is nothing to stop.
 */
int qemu_start(struct qemu *qemu, uint64_t ram_bytes, const char *const args[], int stream);

/* Kill it if it lives, and let go of everything.  May be called twice. */
void qemu_stop(struct qemu *qemu);

/* The end of what it printed; valid until the next call. */
const char *qemu_said(const struct qemu *qemu);

#endif
