/* SPDX-License-Identifier: MIT */
#ifndef FPH_TESTS_QEMU11_PROCESS_H
#define FPH_TESTS_QEMU11_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/*
 * A QEMU 11.1 with a stock Linux guest, started by qemu11-boot.  Its two sockets are
 * descriptors that it inherits, what it and the guest's kernel print goes to memory, and
 * it dies with the process that started it: nothing is left behind.
 */
struct qemu11 {
	pid_t pid; /* 0: none */
	int talk;  /* the guest's second serial line: see qemu11-init */
	int qmp;
	int said;    /* what QEMU wrote on stdout and stderr */
	int console; /* the first serial line */
};
#define QEMU11_INIT                                              \
	{                                                        \
		.talk = -1, .qmp = -1, .said = -1, .console = -1 \
	}

struct qemu11_opts {
	const char *socket; /* of the server; NULL: no device */
	const char *ram;    /* what --ram takes; NULL: shared */
	const char *kernel; /* what --kernel takes; NULL: bookworm */
	const char *append; /* more for the kernel's command line; NULL: nothing */
	uint32_t mib;	    /* memory; 0: 512 */
	const char *device; /* one more -device; NULL: none */
};

/* Returns 0 or a negative errno; then there is nothing to stop. */
int qemu11_start(struct qemu11 *qemu, const struct qemu11_opts *opts);

/* Has it ended by itself?  *status is then what waitpid() says. */
int qemu11_ended(struct qemu11 *qemu, int *status);

/* Kill it if it lives, and let go of everything.  May be called twice. */
void qemu11_stop(struct qemu11 *qemu);

/* The end of what was printed there; valid until the next call. */
const char *qemu11_text(int fd);

#endif
