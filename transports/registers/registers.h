/* SPDX-License-Identifier: MIT */
#ifndef FPH_REGISTERS_H
#define FPH_REGISTERS_H

#include <fph/transport.h>
#include <fph/wire.h>

/*
 * What virtio-mmio and virtio-pci keep between a driver's accesses and the bus of a
 * device, since registers are written one at a time: selectors, halves of features, the
 * place of a queue that is not ready yet, pending interrupts, the generation.  Everything
 * else is asked of the bus when it is read.
 */

#define FPH_NO_VECTOR 0xffffu

/* One queue; banked by the selector. */
struct fph_regs_queue {
	uint64_t desc;
	uint64_t driver;
	uint64_t device;
	uint32_t size;	 /* as written; 0: not yet */
	uint16_t vector; /* virtio-pci */
	bool ready;
	bool stopping; /* asked to stop while the device's owner acts on its buffers */
};

struct fph_regs {
	struct fph_bus bus;
	uint32_t device_features_sel;
	uint32_t driver_features_sel;
	uint32_t queue_sel;
	uint64_t accepted;
	bool foreign; /* features past the 64th were accepted: none was offered */
	uint32_t irq; /* pending FPH_IRQ_QUEUE and FPH_IRQ_CONFIG */
	uint32_t generation;
	unsigned char config[FPH_CONFIG_MAX]; /* as it was when anybody looked last */
	struct fph_regs_queue queues[FPH_QUEUE_COUNT];
};

/* *regs is zero.  The generation begins with 0. */
void fph_regs_init(struct fph_regs *regs, struct fph_bus bus);

/* Take the device's interrupts: makes them pending, and returns the fresh ones, FPH_IRQ_*. */
uint32_t fph_regs_take_irq(struct fph_regs *regs);

/* 32 bits of the features offered or accepted, by the selectors; 0 past the 64th. */
uint32_t fph_regs_device_features(struct fph_regs *regs);
uint32_t fph_regs_driver_features(const struct fph_regs *regs);
/* G-10, G-15 */
void fph_regs_accept(struct fph_regs *regs, uint32_t value);

uint8_t fph_regs_status(struct fph_regs *regs);
/* Returns true if that was a reset: all that is kept here is as at init then (M-1, PC-5). */
bool fph_regs_set_status(struct fph_regs *regs, uint32_t value);

/*
 * The configuration space, by 1, 2 or 4 bytes at a multiple of that; else reads 0 and
 * writes nothing.  Past its end it reads 0xff.  Each look moves the generation if it finds
 * what no look found before (C-4, M-2): who pieced a value together out of two states
 * sees two generations.
 */
uint32_t fph_regs_read_config(struct fph_regs *regs, uint64_t offset, uint32_t len);
void fph_regs_write_config(struct fph_regs *regs, uint64_t offset, uint32_t len,
			   uint32_t value);
uint32_t fph_regs_generation(struct fph_regs *regs);

/* The selected queue; NULL if there could be none of that index. */
struct fph_regs_queue *fph_regs_queue(struct fph_regs *regs);
/* Largest size of the selected queue; 0: there is no such queue. */
uint32_t fph_regs_queue_max(struct fph_regs *regs);
/* The address to be written, at its low or high half: nothing while it is ready (M-7). */
void fph_regs_set_half(struct fph_regs_queue *queue, uint64_t *address, bool high,
		       uint32_t value);
/* Give the selected queue to the device, or take it back; M-7 */
void fph_regs_enable(struct fph_regs *regs);
void fph_regs_disable(struct fph_regs *regs);
/* As disable, if RING_RESET is negotiated.  M-3, PC-5 */
void fph_regs_reset_queue(struct fph_regs *regs);
bool fph_regs_is_ready(struct fph_regs *regs);
bool fph_regs_is_resetting(struct fph_regs *regs);

#endif
