/* SPDX-License-Identifier: MIT */
#ifndef SOAK_WIRE_H
#define SOAK_WIRE_H

#include "soak.h"

#include <fph/device.h>
#include <fph/loop.h>

/* What lies between the two processes.  An end is one pointer of that transport's. */

struct guest_wire {
	/* plugged: the regions to show.  Choices that are the transport's own come from rng. */
	int (*open)(void **end, const struct soak *soak, uint32_t plugged, struct rng *rng);
	void (*close)(void *end);
	int (*connect)(void *end);
	void (*disconnect)(void *end);
	bool (*connected)(const void *end);
	struct fph_bus (*bus)(void *end);
	/* Wait for an interrupt, or the end of the connection. */
	void (*turn)(void *end, int timeout_ms);
	/*
	 * Stop free_page_vq in mid-flight.  Returns 0 (it runs again, and returns what it
	 * had not returned), -ECANCELED (stopped: the device is to be reset) or an errno.
	 */
	int (*queue_reset)(void *end);
	/* Add or remove a region while the queues run; NULL: only by another connection. */
	int (*plug)(void *end, uint32_t region);
	int (*unplug)(void *end, uint32_t region);
};

struct device_config {
	struct fph_loop *loop;
	struct fph_device_opts device; /* with ctx */
	void (*changed)(void *ctx);
	void (*gone)(void *ctx, const char *why);
};

struct device_wire {
	int (*open)(void **end, const struct soak *soak, const struct device_config *config);
	void (*close)(void *end);
	bool (*connected)(const void *end);
	const struct fph_mem *(*mem)(const void *end);
	struct fph_device *(*device)(void *end);
};

extern const struct guest_wire guest_by_shm, guest_by_vhost_user;
extern const struct device_wire device_by_shm, device_by_vhost_user;

#endif
