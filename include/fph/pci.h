/* SPDX-License-Identifier: MIT */
#ifndef FPH_PCI_H
#define FPH_PCI_H

#include <fph/transport.h>
#include <fph/wire.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * virtio-pci, the modern layout of virtio 1.4, 4.1: configuration space, capabilities,
 * common configuration, MSI-X, as a device end for a VMM that has a PCI bus of its own or
 * speaks vfio-user, and a driver end for whoever can access configuration space and BARs
 * (VFIO, UIO, vfio-user, bare metal).  Both are models without a system call; both are
 * part of libfph.
 */

#define FPH_PCI_CONFIG_SIZE 256u /* bytes of the device's configuration space */
#define FPH_PCI_VECTORS_MAX 8u	 /* MSI-X vectors the device end can have */
#define FPH_PCI_NO_VECTOR   0xffffu

/* The device's BARs, 32-bit memory: 0 holds the registers, 1 the MSI-X table and PBA. */
#define FPH_PCI_BARS	   2u
#define FPH_PCI_BAR0_SIZE  0x4000u
#define FPH_PCI_BAR1_SIZE  0x1000u
#define FPH_PCI_NOTIFY	   0x3000u /* in BAR 0: where the doorbell of queue 0 is */
#define FPH_PCI_NOTIFY_MUL 4u	   /* bytes from one queue's doorbell to the next one's */

/* ------------------------------------------------------------ device end */

/*
 * Between trapped accesses and the bus of a device:
 *
 *	dev_opts.interrupt = hook;	void hook(void *vm) { fph_pci_device_interrupt(&vm->pci); }
 *	fph_device_init(&vm->dev, &dev_opts);
 *	pci_opts.bus = fph_device_bus(&vm->dev);
 *	fph_pci_device_init(&vm->pci, &pci_opts);
 *	...
 *	access to the function's configuration space: fph_pci_device_config_read(), _write()
 *	access inside fph_pci_device_bar_address():   fph_pci_device_bar_read(), _write()
 *
 * ioeventfd fits as it is: address of BAR 0 + FPH_PCI_NOTIFY + queue * FPH_PCI_NOTIFY_MUL,
 * len 2, no datamatch; when readable, fph_pci_device_notify().  irqfd fits as it is: one
 * for each vector, written by the `msix` hook.  One thread at a time, the device included.
 */
struct fph_pci_device {
	union {
		uint64_t align_;
		void *pointer_;
		unsigned char private_[1024];
	} room_; /* size frozen per soname; do not copy or move after init */
};

struct fph_pci_device_opts {
	size_t size; /* sizeof(struct fph_pci_device_opts) */

	struct fph_bus bus; /* the device; its interrupts are taken here */
	uint16_t vectors;   /* MSI-X, up to FPH_PCI_VECTORS_MAX; 0: none, INTx only */
	uint32_t flags;	    /* FPH_PCI_* below */

	/*
	 * Optional hooks; they must not call back into this object or its device.
	 * intx: the level of INTA#, called when it changes.  msix: send the message of a
	 * vector (address and data are 0 with FPH_PCI_MSIX_ELSEWHERE).
	 */
	void (*intx)(void *ctx, bool high);
	void (*msix)(void *ctx, uint16_t vector, uint64_t address, uint32_t data);
	void *ctx;
};
#define FPH_PCI_DEVICE_OPTS_INIT FPH_SIZED_INIT(struct fph_pci_device_opts)

#define FPH_PCI_NO_INTX	       0x1u /* no interrupt pin */
/* Table and masks of MSI-X are kept elsewhere (vfio-user's client): never masked here. */
#define FPH_PCI_MSIX_ELSEWHERE 0x2u

/* Returns 0, -EINVAL (no bus, too many vectors, unknown flag) or -E2BIG. */
int fph_pci_device_init(struct fph_pci_device *pci, const struct fph_pci_device_opts *opts);

/* To the state of power-on: command, BARs and MSI-X too, and the device is reset. */
void fph_pci_device_reset(struct fph_pci_device *pci);

/*
 * An access to the configuration space: 1, 2 or 4 bytes at a multiple of that, values in
 * host order.  Whatever a driver does has an outcome: other accesses read as all ones
 * and write nothing; what is read-only stays as it is.
 */
uint32_t fph_pci_device_config_read(struct fph_pci_device *pci, uint32_t offset, uint32_t len);
void fph_pci_device_config_write(struct fph_pci_device *pci, uint32_t offset, uint32_t len,
				 uint32_t value);

/*
 * An access to a BAR, 1, 2, 4 or 8 bytes at a multiple of that.  What the specification
 * does not allow (another width than the field's, a hole) reads as 0 and writes nothing.
 * Whether memory decoding is on is not looked at.
 */
uint64_t fph_pci_device_bar_read(struct fph_pci_device *pci, uint32_t bar, uint64_t offset,
				 uint32_t len);
void fph_pci_device_bar_write(struct fph_pci_device *pci, uint32_t bar, uint64_t offset,
			      uint32_t len, uint64_t value);

/* Where the driver put a BAR; UINT64_MAX while memory decoding is off, or no such BAR. */
uint64_t fph_pci_device_bar_address(const struct fph_pci_device *pci, uint32_t bar);

/* A doorbell that came by an ioeventfd. */
void fph_pci_device_notify(struct fph_pci_device *pci, uint16_t queue);

/* Take the device's pending interrupts.  Call it from the device's `interrupt` hook. */
void fph_pci_device_interrupt(struct fph_pci_device *pci);

/* Is INTA# high? */
bool fph_pci_device_intx(const struct fph_pci_device *pci);

/* ------------------------------------------------------------ driver end */

/*
 * A bus over any modern virtio-pci balloon.  Never waits without a bound, and accesses
 * nothing of a BAR but the fields of what the device announced there.
 */
struct fph_pci_driver {
	union {
		uint64_t align_;
		void *pointer_;
		unsigned char private_[320];
	} room_; /* size frozen per soname; do not copy or move once its bus is in use */
};

struct fph_pci_driver_opts {
	size_t size; /* sizeof(struct fph_pci_driver_opts) */

	/*
	 * Accesses of 1, 2 or 4 bytes at a multiple of that, values in host order; BARs by
	 * their index.  They return 0 or a negative errno, which the bus verb then returns.
	 */
	int (*config_read)(void *ctx, uint32_t offset, uint32_t len, uint32_t *value);
	int (*config_write)(void *ctx, uint32_t offset, uint32_t len, uint32_t value);
	int (*bar_read)(void *ctx, uint32_t bar, uint64_t offset, uint32_t len,
			uint32_t *value);
	int (*bar_write)(void *ctx, uint32_t bar, uint64_t offset, uint32_t len,
			 uint32_t value);
	/* Optional: called between two looks at something that takes time. */
	void (*pause)(void *ctx);
	void *ctx;

	/*
	 * MSI-X vectors that the caller has set up and enabled before the bus is used: 0:
	 * none, interrupts are told by the ISR register (INTx, or polling); 1: vector 0 for
	 * all; 2: vector 0 for the configuration, 1 for the queues.  When one fires,
	 * fph_pci_driver_fired().
	 */
	uint16_t vectors;
	uint32_t tries; /* looks at something that takes time; 0 means 1,000 */

	/*
	 * Optional: bytes of the six BARs, 0 for one that is not there; borrowed for the
	 * call.  What the device announces past one's end is passed over then.  Without
	 * it, bar_read and bar_write have to judge offsets: they are the device's word.
	 */
	const uint64_t *bar_sizes;
};
#define FPH_PCI_DRIVER_OPTS_INIT FPH_SIZED_INIT(struct fph_pci_driver_opts)

/*
 * Look whether a balloon is there, find its registers, switch memory decoding and bus
 * mastering on.  BARs have their addresses already.  Returns 0; -EINVAL (an access is
 * missing, too many vectors); -E2BIG; -ENODEV (another device, or one without what a modern
 * driver needs: nothing was written); or what an access returned.  PC-9
 */
int fph_pci_driver_init(struct fph_pci_driver *pci, const struct fph_pci_driver_opts *opts);

/* Offset of the MSI-X capability in configuration space; 0: there is none. */
uint32_t fph_pci_driver_msix(const struct fph_pci_driver *pci);

/* A vector fired: what it tells is returned by the bus's next take_irq. */
void fph_pci_driver_fired(struct fph_pci_driver *pci, uint16_t vector);

/*
 * The bus for fph_guest_opts.bus; valid as long as pci.  Verbs as in fph/transport.h,
 * with these answers of their own: config -EAGAIN (the generation did not settle in `tries`
 * looks: again later); set_config -EINVAL (no whole words of the device's configuration);
 * vq_enable -EPROTO (the queue is enabled already, too small, its doorbell is out of place,
 * or the device did not take it), -EINVAL (index is not 0: this transport has none; or no
 * queue of a balloon's); vq_enable and set_status DRIVER_OK -EIO (the device has not got the
 * vector); vq_disable -EOPNOTSUPP without RING_RESET, -EBUSY (queue_reset still reads 1),
 * and *index 0; notify -EPROTO for a queue that is not enabled.
 */
struct fph_bus fph_pci_driver_bus(struct fph_pci_driver *pci);

#ifdef __cplusplus
}
#endif
#endif
