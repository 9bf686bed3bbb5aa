/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_VFIO_USER_H
#define FUZZ_VFIO_USER_H

#include "socket.h"
#include "vfio_user/wire.h"
#include <fph/pci.h>
#include <fph/vfio_user.h>
#include <poll.h>
#include <sys/socket.h>

extern struct input vfio_in;

/* The client against a server that answers anything. */
void vfio_hostile_server(uint8_t how);
/* poll(2) as the client's sources call it: the server answers first. */
int fuzz_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

#endif
