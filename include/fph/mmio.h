/* SPDX-License-Identifier: MIT */
#ifndef FPH_MMIO_H
#define FPH_MMIO_H

#include <fph/transport.h>
#include <fph/wire.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * virtio-mmio, version 2 ("modern"): the registers of virtio 1.4, 4.2, as a device
 * end for a VMM that traps accesses, and a driver end for whoever makes them.  Both
 * are models without a system call; both are part of libfph.
 */

#define FPH_MMIO_SIZE 0x200u /* bytes of the window that libfph's device needs */

enum fph_mmio_offset {
	FPH_MMIO_MAGIC = 0x000,
	FPH_MMIO_VERSION = 0x004,
	FPH_MMIO_DEVICE_ID = 0x008,
	FPH_MMIO_VENDOR_ID = 0x00c,
	FPH_MMIO_DEVICE_FEATURES = 0x010,
	FPH_MMIO_DEVICE_FEATURES_SEL = 0x014,
	FPH_MMIO_DRIVER_FEATURES = 0x020,
	FPH_MMIO_DRIVER_FEATURES_SEL = 0x024,
	FPH_MMIO_QUEUE_SEL = 0x030,
	FPH_MMIO_QUEUE_SIZE_MAX = 0x034,
	FPH_MMIO_QUEUE_SIZE = 0x038,
	FPH_MMIO_QUEUE_READY = 0x044,
	FPH_MMIO_QUEUE_NOTIFY = 0x050,
	FPH_MMIO_INTERRUPT_STATUS = 0x060,
	FPH_MMIO_INTERRUPT_ACK = 0x064,
	FPH_MMIO_STATUS = 0x070,
	FPH_MMIO_QUEUE_DESC_LOW = 0x080,
	FPH_MMIO_QUEUE_DESC_HIGH = 0x084,
	FPH_MMIO_QUEUE_DRIVER_LOW = 0x090,
	FPH_MMIO_QUEUE_DRIVER_HIGH = 0x094,
	FPH_MMIO_QUEUE_DEVICE_LOW = 0x0a0,
	FPH_MMIO_QUEUE_DEVICE_HIGH = 0x0a4,
	FPH_MMIO_SHM_SEL = 0x0ac,
	FPH_MMIO_SHM_LEN_LOW = 0x0b0,
	FPH_MMIO_SHM_LEN_HIGH = 0x0b4,
	FPH_MMIO_SHM_BASE_LOW = 0x0b8,
	FPH_MMIO_SHM_BASE_HIGH = 0x0bc,
	FPH_MMIO_QUEUE_RESET = 0x0c0,
	FPH_MMIO_GENERATION = 0x0fc,
	FPH_MMIO_CONFIG = 0x100,
};

#define FPH_MMIO_MAGIC_VALUE   0x74726976u /* "virt" */
#define FPH_MMIO_VERSION_VALUE 2u
#define FPH_MMIO_VENDOR_VALUE  0x20687066u /* "fph " */

/* One register, for whoever prints a trace or a dump. */
struct fph_mmio_register {
	uint16_t offset;
	uint8_t width;	/* bytes of the one access that is right; 0: by the field (config) */
	uint8_t access; /* FPH_MMIO_R, FPH_MMIO_W, or both */
	const char *name;
};

#define FPH_MMIO_R 0x1u
#define FPH_MMIO_W 0x2u

/* The register at an offset (the configuration space for 0x100 and up), or NULL. */
const struct fph_mmio_register *fph_mmio_register(uint64_t offset);
/* The i-th register by offset, or NULL past the last. */
const struct fph_mmio_register *fph_mmio_register_at(uint32_t i);

/* ------------------------------------------------------------ device end */

/*
 * Between a trapped access and the bus of a device:
 *
 *	dev_opts.interrupt = hook;	void hook(void *vm) { fph_mmio_device_interrupt(&vm->mmio); }
 *	fph_device_init(&vm->dev, &dev_opts);
 *	mmio_opts.bus = fph_device_bus(&vm->dev);
 *	fph_mmio_device_init(&vm->mmio, &mmio_opts);
 *	...
 *	KVM_EXIT_MMIO: fph_mmio_device_read() or _write() with the offset in the window
 *
 * ioeventfd fits as it is: KVM_IOEVENTFD_FLAG_DATAMATCH, addr = window +
 * FPH_MMIO_QUEUE_NOTIFY, len 4, datamatch = index of the queue; when that eventfd is
 * readable, fph_mmio_device_notify() with the index.  irqfd fits as it is, too: write
 * to the irqfd whenever `line` is called with true, whatever was called before; or drive a
 * level-triggered line with the argument.  One thread at a time, the device included.
 */
struct fph_mmio_device {
	union {
		uint64_t align_;
		void *pointer_;
		unsigned char private_[384];
	} room_; /* size frozen per soname; do not copy or move after init */
};

struct fph_mmio_device_opts {
	size_t size; /* sizeof(struct fph_mmio_device_opts) */

	struct fph_bus bus;  /* the device; its interrupts are taken here */
	uint32_t device_id;  /* what DeviceID reads; 0 means FPH_DEVICE_ID, the balloon */
	uint32_t vendor_id;  /* what VendorID reads; 0 means FPH_MMIO_VENDOR_VALUE */

	/*
	 * Optional.  The interrupt line: high at every event, also when it was high
	 * before; low when the driver has acknowledged all, or reset the device.  Must
	 * not call back into this object or its device.
	 */
	void (*line)(void *ctx, bool high);
	void *ctx;
};
#define FPH_MMIO_DEVICE_OPTS_INIT FPH_SIZED_INIT(struct fph_mmio_device_opts)

/* Returns 0, -EINVAL (no bus) or -E2BIG. */
int fph_mmio_device_init(struct fph_mmio_device *mmio, const struct fph_mmio_device_opts *opts);

/*
 * An access of `len` bytes at `offset` in the window; values in host order.  Whatever
 * a driver does has an outcome: an access that the specification does not allow (M-4)
 * reads as 0 and writes nothing, and so does a register that is not there.  Bytes of
 * the configuration space past its end read as 0xff.
 */
uint64_t fph_mmio_device_read(struct fph_mmio_device *mmio, uint64_t offset, uint32_t len);
void fph_mmio_device_write(struct fph_mmio_device *mmio, uint64_t offset, uint32_t len,
			   uint64_t value);

/* A doorbell that came by an ioeventfd: as a write of the index to QueueNotify. */
void fph_mmio_device_notify(struct fph_mmio_device *mmio, uint16_t queue);

/* Take the device's pending interrupts.  Call it from the device's `interrupt` hook. */
void fph_mmio_device_interrupt(struct fph_mmio_device *mmio);

/* InterruptStatus as the driver would read it, without an exit: bits FPH_IRQ_*. */
uint32_t fph_mmio_device_pending(const struct fph_mmio_device *mmio);

/* ------------------------------------------------------------ driver end */

/*
 * A bus over the registers of any virtio-mmio version 2 balloon: on bare metal, over
 * a file, through a debugger's port.  Never waits without a bound.
 */
struct fph_mmio_driver {
	union {
		uint64_t align_;
		void *pointer_;
		unsigned char private_[128];
	} room_; /* size frozen per soname; do not copy or move once its bus is in use */
};

struct fph_mmio_driver_opts {
	size_t size; /* sizeof(struct fph_mmio_driver_opts) */

	/* The registers, if they are mapped here; volatile 32-bit accesses, naturally aligned. */
	volatile void *registers;
	/*
	 * Or the accesses, 32 bits at a multiple of 4, values in host order.  They return
	 * 0 or a negative errno, which the bus verb then returns.
	 */
	int (*read)(void *ctx, uint32_t offset, uint32_t *value);
	int (*write)(void *ctx, uint32_t offset, uint32_t value);
	/* Optional: called between two looks at something that takes time. */
	void (*pause)(void *ctx);
	void *ctx;

	uint32_t tries; /* looks at something that takes time; 0 means 1,000 */
};
#define FPH_MMIO_DRIVER_OPTS_INIT FPH_SIZED_INIT(struct fph_mmio_driver_opts)

/*
 * Look whether a balloon is there.  Returns 0; -EINVAL (neither registers nor both
 * accesses, or both ways); -E2BIG; -ENODEV (no virtio-mmio, no version 2, or
 * DeviceID is not the balloon's: nothing more was touched, M-5); or what `read` returned.
 */
int fph_mmio_driver_init(struct fph_mmio_driver *mmio, const struct fph_mmio_driver_opts *opts);

/*
 * The bus for fph_guest_opts.bus; valid as long as mmio.  Verbs as in
 * fph/transport.h, with these answers of their own: config -EAGAIN (the generation
 * did not settle in `tries` looks: again later), vq_enable -EPROTO (the queue is
 * ready already, too small, or the device did not take it) and -EINVAL (index is not
 * 0: this transport has none), vq_disable -EBUSY (QueueReady still reads 1) and
 * *index 0.
 */
struct fph_bus fph_mmio_driver_bus(struct fph_mmio_driver *mmio);

#ifdef __cplusplus
}
#endif
#endif
