/* SPDX-License-Identifier: MIT */
#ifndef FPH_VFIO_USER_WIRE_H
#define FPH_VFIO_USER_WIRE_H

#include <stdint.h>

/*
 * vfio-user 0.x on the wire: QEMU's docs/interop/vfio-user.rst.  Host byte order, over a
 * stream socket between processes of one machine.  No struct here has padding.
 */

enum vfio_command {
	VFIO_VERSION = 1,
	VFIO_DMA_MAP = 2,
	VFIO_DMA_UNMAP = 3,
	VFIO_GET_INFO = 4,
	VFIO_GET_REGION_INFO = 5,
	VFIO_GET_REGION_IO_FDS = 6,
	VFIO_GET_IRQ_INFO = 7,
	VFIO_SET_IRQS = 8,
	VFIO_REGION_READ = 9,
	VFIO_REGION_WRITE = 10,
	VFIO_DMA_READ = 11, /* by the server, as the next one */
	VFIO_DMA_WRITE = 12,
	VFIO_DEVICE_RESET = 13,
	VFIO_DIRTY_PAGES = 14, /* obsolete */
	VFIO_REGION_WRITE_MULTI = 15,
	VFIO_DEVICE_FEATURE = 16,
	VFIO_MIG_DATA_READ = 17,
	VFIO_MIG_DATA_WRITE = 18,
};

struct vfio_header {
	uint16_t id;
	uint16_t command;
	uint32_t size; /* of the message, this header included */
	uint32_t flags;
	uint32_t error; /* an errno; with VFIO_ERROR */
};
_Static_assert(sizeof(struct vfio_header) == 16, "padding");

#define VFIO_TYPE	0xfu
#define VFIO_REQUEST	0x0u
#define VFIO_REPLY	0x1u
#define VFIO_NO_REPLY	0x10u
#define VFIO_ERROR	0x20u

#define VFIO_MAJOR	0u
#define VFIO_MINOR	1u		/* the highest we know */
#define VFIO_XFER_MAX	(1024u * 1024u) /* bytes of data in a message, as we tell and send */
#define VFIO_OVERHEAD	4096u		/* bytes of a message around them, at most */
#define VFIO_FDS_MAX	16u		/* descriptors with one message, as we tell */
#define VFIO_MAPS_MAX	1024u		/* areas of memory that the server takes, as we tell */
#define VFIO_XFER_LIMIT (64u * 1024u * 1024u) /* a peer may not tell more */

struct vfio_version {
	uint16_t major;
	uint16_t minor;
	/* JSON, ended by a NUL; may be missing */
};

struct vfio_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t iova;
	uint64_t size;
};
_Static_assert(sizeof(struct vfio_dma_map) == 32, "padding");
#define VFIO_MAP_READ  0x1u
#define VFIO_MAP_WRITE 0x2u
#define VFIO_MAP_MMAP  0x4u /* of newer clients: what a descriptor means anyway */

struct vfio_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
};
_Static_assert(sizeof(struct vfio_dma_unmap) == 24, "padding");
#define VFIO_UNMAP_BITMAP 0x1u /* obsolete */
#define VFIO_UNMAP_ALL	  0x2u

struct vfio_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t regions;
	uint32_t irqs;
};
_Static_assert(sizeof(struct vfio_info) == 16, "padding");
#define VFIO_INFO_RESET 0x1u
#define VFIO_INFO_PCI	0x2u

struct vfio_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
};
_Static_assert(sizeof(struct vfio_region_info) == 32, "padding");
#define VFIO_REGION_READABLE 0x1u
#define VFIO_REGION_WRITABLE 0x2u
#define VFIO_REGION_MMAP     0x4u
#define VFIO_REGION_CAPS     0x8u

#define VFIO_REGIONS	     9u /* BAR 0 to 5, ROM, configuration space, VGA */
#define VFIO_REGION_CONFIG   7u

struct vfio_region_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
	/* as many entries as that */
};
_Static_assert(sizeof(struct vfio_region_io_fds) == 16, "padding");

struct vfio_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};
_Static_assert(sizeof(struct vfio_irq_info) == 16, "padding");
#define VFIO_IRQ_EVENTFD    0x1u
#define VFIO_IRQ_MASKABLE   0x2u
#define VFIO_IRQ_AUTOMASKED 0x4u
#define VFIO_IRQ_NORESIZE   0x8u

enum { VFIO_INTX, VFIO_MSI, VFIO_MSIX, VFIO_ERR, VFIO_REQ, VFIO_IRQS };

struct vfio_set_irqs {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};
_Static_assert(sizeof(struct vfio_set_irqs) == 20, "padding");
#define VFIO_DATA_NONE	    0x01u
#define VFIO_DATA_BOOL	    0x02u
#define VFIO_DATA_EVENTFD   0x04u
#define VFIO_DATA	    0x07u
#define VFIO_ACTION_MASK    0x08u
#define VFIO_ACTION_UNMASK  0x10u
#define VFIO_ACTION_TRIGGER 0x20u
#define VFIO_ACTION	    0x38u

/* REGION_READ and REGION_WRITE; data follows. */
struct vfio_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};
_Static_assert(sizeof(struct vfio_region_access) == 16, "padding");

/* DMA_READ and DMA_WRITE; data follows. */
struct vfio_dma_access {
	uint64_t addr;
	uint64_t count;
};
_Static_assert(sizeof(struct vfio_dma_access) == 16, "padding");

struct vfio_feature {
	uint32_t argsz;
	uint32_t flags;
};

#endif
