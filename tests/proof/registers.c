/* SPDX-License-Identifier: MIT */
/* The device end of virtio-mmio: any access in any state. */
#include "bus.h"
#include <err.h>

#include <fph/mmio.h>
#include <registers/registers.h>

static union {
	struct fph_mmio_device box;
	struct {
		struct fph_regs regs;
		void (*line)(void *ctx, bool high);
		void *ctx;
	} m; /* as in transports/mmio/device.c */
} mmio;

/*
 * proof: mmio_access
 * of: fph_mmio_device_read, fph_mmio_device_write, fph_mmio_device_interrupt
 * says: any access in any state: in bounds, no queue past the fifth, a live queue's place never changes
 * bounds: every offset, width, value, state; a device that answers anything
 * sources: transports/mmio/device.c transports/mmio/table.c transports/registers/registers.c
 * unwind: 17 fph_mmio_register.0:31
 * mutant: transports/registers/registers.c s/if (!queue->ready) /if (true) /
 */
void proof_mmio_access(void)
{
	uint64_t offset = nondet_u64(), value = nondet_u64(), was;
	uint32_t len = (uint32_t)nondet_u64(), q = (uint32_t)any_up_to(FPH_QUEUE_COUNT - 1);
	struct fph_regs_queue *queue = &mmio.m.regs.queues[q];
	bool ready;

	ANYTHING(mmio);
	mmio.m.regs.bus = any_bus();
	mmio.m.line = NULL;
	for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++) {
		mmio.m.regs.queues[i].ready = ANY(bool);
		mmio.m.regs.queues[i].stopping = ANY(bool);
	}
	mmio.m.regs.foreign = ANY(bool);
	was = queue->desc;
	ready = queue->ready;
	if (ANY(bool)) {
		PROVE(fph_mmio_device_read(&mmio.box, offset, len) <= UINT32_MAX);
		REACHED(offset == FPH_MMIO_QUEUE_RESET && len == 4);
		REACHED(offset == FPH_MMIO_CONFIG + 14 && len == 2);
	} else {
		fph_mmio_device_write(&mmio.box, offset, len, value);
		REACHED(enabled_anything);
		REACHED(queue->desc != was);
	}
	fph_mmio_device_interrupt(&mmio.box);
	PROVE(!ready || !queue->ready || queue->desc == was);
}
