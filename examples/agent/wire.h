/* SPDX-License-Identifier: MIT */
#ifndef AGENT_WIRE_H
#define AGENT_WIRE_H

#include <fph/device.h>
#include <fph/loop.h>

/*
 * What lies between the two processes: shared memory with registers in it, or vfio-user.
 * An end is one pointer of that transport's; gone and changed as the headers say.
 */
struct driver_wire {
	int (*open)(void **end, struct fph_loop *loop, const char *path, int fd, void *hva,
		    uint64_t len, void (*gone)(void *ctx, const char *why), void *ctx);
	void (*close)(void *end);
	int (*connect)(void *end);
	void (*disconnect)(void *end);
	bool (*connected)(const void *end);
	struct fph_bus (*bus)(void *end);
};

struct device_wire {
	int (*open)(void **end, struct fph_loop *loop, const char *path, void (*changed)(void *ctx),
		    void (*gone)(void *ctx, const char *why), void *ctx);
	void (*close)(void *end);
	bool (*connected)(const void *end);
	const struct fph_mem *(*mem)(const void *end);
	struct fph_device *(*device)(void *end);
};

const struct driver_wire *driver_wire(bool vfio_user);
const struct device_wire *device_wire(bool vfio_user);

#endif
