/* SPDX-License-Identifier: MIT */
#ifndef FPH_TRANSPORT_H
#define FPH_TRANSPORT_H

#include <fph/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The waist (T-1).  A driver sees a virtio device only through these verbs, so:
 *
 *   guest role --calls--> struct fph_bus <--is-- device role
 *
 * A transport is two halves of a wire: the near half is a bus that forwards,
 * the far half receives and calls another bus.  Loopback is no wire at all.
 * A tracing or failing bus wraps any other, which is how the tests watch and
 * break the protocol without mocks.
 *
 * Every verb returns 0 or a negative errno: -EPROTO if the call breaks the
 * virtio initialization order, -EIO if the wire failed, -EOPNOTSUPP if the
 * verb is absent; one that is NULL, or that the size leaves out, is absent too, and
 * the table stays as it is.  A verb may take one round trip and no longer.  set_status
 * sets the bits that may be set also when it answers -EPROTO for another one.
 */
struct fph_bus_ops {
	size_t size; /* sizeof(struct fph_bus_ops), set by the implementer */

	/* Feature bits, 64 at once.  virtio 1.4, 2.2 */
	int (*features)(void *ctx, uint64_t *offered);
	int (*accept)(void *ctx, uint64_t accepted);

	/*
	 * Device status; writing 0 resets, and the reset is over when 0 is read
	 * back, not before.  virtio 1.4, 2.1 and 2.4
	 */
	int (*status)(void *ctx, uint8_t *status);
	int (*set_status)(void *ctx, uint8_t status);

	/*
	 * Device configuration, as little-endian bytes.  The bytes of one call are
	 * one snapshot: a bus with a generation counter retries until they are.
	 * Bytes past the end read as 0xff.  virtio 1.4, 2.5
	 */
	int (*config)(void *ctx, uint32_t offset, void *buf, uint32_t len);
	int (*set_config)(void *ctx, uint32_t offset, const void *buf, uint32_t len);

	/* Largest size of a queue, in entries; 0 when the queue does not exist. */
	int (*vq_max)(void *ctx, uint16_t queue, uint16_t *max);
	int (*vq_enable)(void *ctx, uint16_t queue, const struct fph_vq_place *place);
	/*
	 * Stop a queue.  *index is where it must resume so that every buffer that
	 * was not returned is processed again.  -EBUSY: the device's owner still acts
	 * on hints of it; ask again when they were acknowledged.
	 */
	int (*vq_disable)(void *ctx, uint16_t queue, uint16_t *index);

	/* Driver to device: buffers are available on queue. */
	int (*notify)(void *ctx, uint16_t queue);

	/* Device to driver: take and clear the pending FPH_IRQ_* bits. */
	int (*take_irq)(void *ctx, uint32_t *irq);

	/*
	 * notify, with where the driver will add next, once NOTIFICATION_DATA is accepted: the
	 * available index of a split ring, or the position and in bit 15 the wrap counter of
	 * a packed one.  A driver accepts the feature only from a bus that has the verb.  N-1
	 */
	int (*notify_data)(void *ctx, uint16_t queue, uint16_t next);
};

#define FPH_IRQ_QUEUE	  0x1u			/* used buffers somewhere; MMIO bit 0 */
#define FPH_IRQ_CONFIG	  0x2u			/* configuration changed; MMIO bit 1 */
#define FPH_IRQ_VQ(queue) (0x100u << (queue))	/* which queue, for per-queue vectors */

struct fph_bus {
	const struct fph_bus_ops *ops; /* borrowed; constant data */
	void *ctx;		       /* borrowed; outlives the bus */
};

#ifdef __cplusplus
}
#endif
#endif
