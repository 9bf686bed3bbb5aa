/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_SOCKET_H
#define FUZZ_SOCKET_H

#include "ops.h"
#include <fph/device.h>
#include <fph/loop.h>

/* What targets that talk by sockets share. */
#define RAM_GPA	    UINT64_C(0x100000)
#define RAM_LEN	    (UINT64_C(4) << 20)
#define SOCKET_POOL 5u
#define SOCKET_FDS  40u /* with one message, at most */

extern struct fph_loop *socket_loop;
extern unsigned char *socket_ram; /* the first of the pool */
/* A file of RAM_LEN bytes, sealed; two eventfds, one of which waits; a pipe; a short file. */
extern int socket_pool[SOCKET_POOL];

/* Once, and again whenever wanted. */
void socket_set_up(void);
/* The lowest number that is free: another one at the end is a descriptor that was left. */
int socket_lowest_free(void);
void socket_pair(int ends[2]);
/* Connect to a path, which must be listened at. */
int socket_connect(const char *path, int type);
void socket_send(int to, const void *bytes, size_t len, const int *fds, unsigned count);
/* Throw away what came, descriptors too. */
void socket_drain(int from);
/* So many descriptors out of the pool. */
void socket_any_fds(struct input *in, int *fds, unsigned count);
/* Something that the owner of a device does; hints must lie in its memory. */
void socket_owner(struct input *in, struct fph_device *dev);
/* Turns of the loop, a few. */
void socket_run(void);

#endif
