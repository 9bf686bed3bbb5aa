/* SPDX-License-Identifier: MIT */
#ifndef TESTS_VFIO_USER_SCRIPT_H
#define TESTS_VFIO_USER_SCRIPT_H

#include "peer.h"

/* Bytes to be sent, with descriptors at some of them. */
struct script {
	unsigned char bytes[8192];
	size_t len;
	struct {
		size_t at;
		int fd;
	} fds[8];
	unsigned fd_count;
	unsigned answered; /* how many of its messages are */
	int event;	   /* of ours, to be closed */
};

void script_add(struct script *s, unsigned command, uint32_t flags, const void *body, size_t len,
		int fd);
/* What QEMU 11.1 sends from connect to its first reset, with p's memory. */
void script_qemu(struct script *s, struct peer *p);
/* The first `len` bytes, in pieces of so many, each of them a turn of the loop. */
void script_send(struct peer *p, const struct script *s, size_t len, size_t piece);
/* Take all answers; the test stops if one is an error.  Returns how many. */
unsigned script_answers(struct peer *p);
void script_close(struct script *s);

#endif
