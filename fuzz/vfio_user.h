/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_VFIO_USER_H
#define FUZZ_VFIO_USER_H

#include "ops.h"
#include "vfio_user/wire.h"
#include <fph/pci.h>
#include <fph/vfio_user.h>
#include <poll.h>
#include <sys/socket.h>

#define RAM_GPA	  UINT64_C(0x100000)
#define RAM_LEN	  (UINT64_C(4) << 20)
#define VFIO_POOL 5

/* A file of RAM_LEN bytes, eventfds, a pipe, a file that is too short. */
extern int vfio_pool[VFIO_POOL];
extern unsigned char *vfio_ram; /* the first one */
extern struct fph_loop *vfio_loop;
extern struct input vfio_in;

void vfio_pair(int ends[2]);
void vfio_send(int to, const void *bytes, size_t len, const int *fds, unsigned count);

/* The client against a server that answers anything. */
void vfio_hostile_server(uint8_t how);
/* poll(2) as the client's sources call it: the server answers first. */
int fuzz_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

#endif
