/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_FORMATS_H
#define FUZZ_FORMATS_H

#include "memory.h"
#include <device_priv.h>

/* What rings and queues can look like, by the bits of a byte of the input. */
static inline uint64_t formats_of(uint8_t bits)
{
	static const uint64_t formats[8] = {
		FPH_F_INDIRECT_DESC,	 FPH_F_EVENT_IDX,  FPH_F_RING_PACKED,
		FPH_F_IN_ORDER,		 FPH_F_SUSPEND,	   FPH_F_ORDER_PLATFORM,
		FPH_F_NOTIFICATION_DATA, FPH_F_RING_RESET,
	};
	uint64_t offer = 0;

	for (unsigned i = 0; i < 8; i++)
		offer |= bits & 1u << i ? formats[i] : 0;
	return offer;
}

/* What the device may write of these queues: used rings; packed, descriptors too. */
static inline void allow_rings(const struct fph_vq_dev *vq)
{
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++, vq++) {
		if (vq->size && vq->format.packed) {
			memory_allow(vq->place.desc, FPH_DESC_BYTES * vq->size);
			memory_allow(vq->place.device, FPH_EVENT_BYTES);
		} else if (vq->size) {
			memory_allow(vq->place.device, FPH_USED_BYTES(vq->size));
		}
	}
}

/* The memory is compared once in so many steps, and at the end. */
#define CHECK_EVERY 16

#endif
