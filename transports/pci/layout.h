/* SPDX-License-Identifier: MIT */
#ifndef FPH_PCI_LAYOUT_H
#define FPH_PCI_LAYOUT_H

/* Numbers of PCI and of virtio 1.4, 4.1, that both ends use. */

#define PCI_VENDOR		    0x00u
#define PCI_DEVICE		    0x02u
#define PCI_COMMAND		    0x04u
#define PCI_STATUS		    0x06u
#define PCI_REVISION		    0x08u
#define PCI_CLASS		    0x09u
#define PCI_CACHE_LINE		    0x0cu
#define PCI_LATENCY		    0x0du
#define PCI_BAR0		    0x10u
#define PCI_BAR1		    0x14u
#define PCI_SUB_VENDOR		    0x2cu
#define PCI_SUB_DEVICE		    0x2eu
#define PCI_CAPS		    0x34u
#define PCI_LINE		    0x3cu
#define PCI_PIN			    0x3du

#define PCI_COMMAND_MEMORY	    0x0002u
#define PCI_COMMAND_MASTER	    0x0004u
#define PCI_COMMAND_NO_INTX	    0x0400u
#define PCI_STATUS_INTX		    0x0008u
#define PCI_STATUS_CAPS		    0x0010u

#define PCI_CAP_VENDOR		    0x09u
#define PCI_CAP_MSIX		    0x11u
#define MSIX_SIZE		    12u
#define MSIX_ENABLE		    0x8000u
#define MSIX_MASK_ALL		    0x4000u
#define MSIX_ENTRY		    16u
#define MSIX_PBA		    0x800u /* in BAR 1 of the device end */

#define VIRTIO_VENDOR		    0x1af4u
#define VIRTIO_MODERN(id)	    (0x1040u + (id))
#define VIRTIO_BALLOON_TRANSITIONAL 0x1002u

/*
 * A vendor capability: 09 next len type, bar id 0 0, le32 offset, le32 length; two of them
 * with four bytes more.
 */
#define CAP_SHORT 16u
#define CAP_LONG  20u
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_WINDOW };

/* Common configuration. */
enum {
	COMMON_DEVICE_FEATURE_SELECT = 0x00,
	COMMON_DEVICE_FEATURE = 0x04,
	COMMON_DRIVER_FEATURE_SELECT = 0x08,
	COMMON_DRIVER_FEATURE = 0x0c,
	COMMON_CONFIG_VECTOR = 0x10,
	COMMON_NUM_QUEUES = 0x12,
	COMMON_STATUS = 0x14,
	COMMON_GENERATION = 0x15,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY_OFF = 0x1e,
	COMMON_QUEUE_DESC = 0x20,
	COMMON_QUEUE_DRIVER = 0x28,
	COMMON_QUEUE_DEVICE = 0x30,
	COMMON_QUEUE_NOTIFY_DATA = 0x38,
	COMMON_QUEUE_RESET = 0x3a,
	COMMON_SIZE = 0x3c,
};

#endif
