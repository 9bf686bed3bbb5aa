/* SPDX-License-Identifier: MIT */
#include "server.h"
#include <errno.h>
#include <string.h>

#define VERSION_BYTES 192u

/* ------------------------------------------------------------ answers */

/* Returns 0: if it cannot be sent, the connection is over. */
static int reply(struct fph_vfio_user_server *s, uint32_t flags, uint32_t error, const void *body,
		 size_t len, const void *data, size_t data_len)
{
	struct vfio_header header = {
		.id = s->conn.header.id,
		.command = s->conn.header.command,
		.flags = VFIO_REPLY | flags,
		.error = error,
	};
	int rc = 0;

	if (!(s->conn.header.flags & VFIO_NO_REPLY))
		rc = fph_vfio_conn_send(&s->conn, header, body, len, data, data_len, NULL, 0);
	if (rc < 0) {
		fph_vfio_because(s, rc, "an answer to the client: %s", strerror(-rc));
		fph_vfio_break(s);
	}
	return 0;
}

void fph_vfio_refuse(struct fph_vfio_user_server *s, int error)
{
	s->total.refused++;
	reply(s, VFIO_ERROR, (uint32_t)error, NULL, 0, NULL, 0);
}

/* An answer that is as long as the request's fixed part. */
static int answer(struct fph_vfio_user_server *s, const void *body, size_t len)
{
	fph_vfio_tell_changed(s);
	return reply(s, 0, 0, body, len, NULL, 0);
}

/*
 * The fixed part of the request in hand.  A longer body is allowed (SPDK pads), a larger
 * argsz, too (cloud-hypervisor counts the header).
 */
static int take(const struct fph_vfio_user_server *s, void *to, size_t len)
{
	if (s->conn.len < len)
		return -EINVAL;
	memcpy(to, s->conn.body, len);
	return 0;
}

/* The same for those that begin with argsz: bytes of the answer that it has room for. */
static int take_sized(const struct fph_vfio_user_server *s, void *to, size_t len)
{
	uint32_t argsz;
	int rc = take(s, to, len);

	if (rc < 0)
		return rc;
	memcpy(&argsz, to, sizeof(argsz));
	return argsz < len ? -EINVAL : 0;
}

/* ------------------------------------------------------------ version */

/* QEMU takes no answer that is longer than what it sent. */
static size_t print_json(char *text, size_t room)
{
	static const char *const shorter[] = { "{\"capabilities\":{}}", "{}" };
	size_t len = fph_vfio_version_print(text, room);

	for (unsigned i = 0; i < 2 && len == 0; i++) {
		if (strlen(shorter[i]) >= room)
			continue;
		len = strlen(shorter[i]) + 1;
		memcpy(text, shorter[i], len);
	}
	return len;
}

static int on_version(struct fph_vfio_user_server *s)
{
	struct fph_vfio_limits limits = FPH_VFIO_LIMITS_INIT;
	struct vfio_version version;
	char text[VERSION_BYTES];
	size_t len, room = sizeof(text);
	const char *why;
	int rc = take(s, &version, sizeof(version));

	if (s->agreed || rc < 0 || version.major != VFIO_MAJOR)
		return -EINVAL;
	len = s->conn.len - sizeof(version);
	rc = fph_vfio_version_parse(s->conn.body + sizeof(version), len, &limits, &why);
	if (rc < 0)
		return rc;
	/* Who sends none (SPDK) has room for one. */
	if (len && len < room)
		room = len;
	s->limits = limits;
	s->agreed = true;
	if (version.minor > VFIO_MINOR)
		version.minor = VFIO_MINOR;
	return reply(s, 0, 0, &version, sizeof(version), text, print_json(text, room));
}

/* ------------------------------------------------------------ memory */

static int on_dma_map(struct fph_vfio_user_server *s)
{
	struct vfio_dma_map map;
	int rc = take(s, &map, sizeof(map));

	if (rc == 0)
		rc = fph_vfio_dma_map(s, &map, &s->conn.fds);
	return rc < 0 ? rc : answer(s, NULL, 0);
}

/* SPDK sends a descriptor along; it is closed with the message. */
static int on_dma_unmap(struct fph_vfio_user_server *s)
{
	struct vfio_dma_unmap unmap;
	int rc = take(s, &unmap, sizeof(unmap));

	if (rc == 0)
		rc = fph_vfio_dma_unmap(s, &unmap);
	return rc < 0 ? rc : answer(s, &unmap, sizeof(unmap));
}

/* ------------------------------------------------------------ information */

static int on_info(struct fph_vfio_user_server *s)
{
	struct vfio_info info;
	int rc = take_sized(s, &info, sizeof(info));

	if (rc < 0)
		return rc;
	info = (struct vfio_info){
		.argsz = sizeof(info),
		.flags = VFIO_INFO_RESET | VFIO_INFO_PCI,
		.regions = VFIO_REGIONS,
		.irqs = VFIO_IRQS,
	};
	return answer(s, &info, sizeof(info));
}

static uint32_t region_size(const struct fph_vfio_user_server *s, uint32_t index)
{
	switch (index) {
	case 0:
		return FPH_PCI_BAR0_SIZE;
	case 1: /* it is of MSI-X */
		return s->opts.flags & FPH_VFIO_USER_NO_MSIX ? 0 : FPH_PCI_BAR1_SIZE;
	case VFIO_REGION_CONFIG:
		return FPH_PCI_CONFIG_SIZE;
	default:
		return 0;
	}
}

static int on_region_info(struct fph_vfio_user_server *s)
{
	struct vfio_region_info info;
	uint32_t index, size;
	int rc = take_sized(s, &info, sizeof(info));

	if (rc < 0 || info.index >= VFIO_REGIONS)
		return -EINVAL;
	index = info.index;
	size = region_size(s, index);
	info = (struct vfio_region_info){
		.argsz = sizeof(info),
		.flags = size ? VFIO_REGION_READABLE | VFIO_REGION_WRITABLE : 0,
		.index = index,
		.size = size,
	};
	return answer(s, &info, sizeof(info));
}

/* No region has doorbells to be had as descriptors. */
static int on_region_io_fds(struct fph_vfio_user_server *s)
{
	struct vfio_region_io_fds fds;
	int rc = take_sized(s, &fds, sizeof(fds));

	if (rc < 0 || fds.index >= VFIO_REGIONS || fds.flags)
		return -EINVAL;
	fds.argsz = sizeof(fds);
	fds.count = 0;
	return answer(s, &fds, sizeof(fds));
}

static int on_irq_info(struct fph_vfio_user_server *s)
{
	struct vfio_irq_info info;
	int rc = take_sized(s, &info, sizeof(info));

	if (rc < 0 || info.index >= VFIO_IRQS)
		return -EINVAL;
	info.argsz = sizeof(info);
	info.count = fph_vfio_irq_count(s, info.index);
	info.flags = info.count ? fph_vfio_irq_flags(info.index) : 0;
	return answer(s, &info, sizeof(info));
}

static int on_set_irqs(struct fph_vfio_user_server *s)
{
	struct vfio_set_irqs set;
	int rc = take_sized(s, &set, sizeof(set));

	if (rc == 0)
		rc = fph_vfio_set_irqs(s, &set, s->conn.body + sizeof(set),
				       s->conn.len - sizeof(set), &s->conn.fds);
	return rc < 0 ? rc : answer(s, NULL, 0);
}

/* ------------------------------------------------------------ accesses */

/* The widest access there is for the next of some bytes: 8 in BARs, 4 in the other space. */
static uint32_t width(uint64_t offset, uint32_t left, uint32_t widest)
{
	while (widest > left || offset % widest)
		widest /= 2;
	return widest;
}

static void read_region(struct fph_vfio_user_server *s, const struct vfio_region_access *access,
			unsigned char *data)
{
	bool config = access->region == VFIO_REGION_CONFIG;

	for (uint32_t done = 0; done < access->count;) {
		uint64_t at = access->offset + done, value;
		uint32_t len = width(at, access->count - done, config ? 4 : 8);

		if (config)
			value = fph_pci_device_config_read(&s->pci, (uint32_t)at, len);
		else
			value = fph_pci_device_bar_read(&s->pci, access->region, at, len);
		for (uint32_t i = 0; i < len; i++)
			data[done + i] = (unsigned char)(value >> 8 * i);
		done += len;
	}
}

static void write_region(struct fph_vfio_user_server *s, const struct vfio_region_access *access,
			 const unsigned char *data)
{
	bool config = access->region == VFIO_REGION_CONFIG;

	for (uint32_t done = 0; done < access->count;) {
		uint64_t at = access->offset + done, value = 0;
		uint32_t len = width(at, access->count - done, config ? 4 : 8);

		for (uint32_t i = 0; i < len; i++)
			value |= (uint64_t)data[done + i] << 8 * i;
		if (config)
			fph_pci_device_config_write(&s->pci, (uint32_t)at, len, (uint32_t)value);
		else
			fph_pci_device_bar_write(&s->pci, access->region, at, len, value);
		done += len;
	}
}

/* Inside of a region every access has an outcome: some clients cannot take an error. */
static int take_access(struct fph_vfio_user_server *s, struct vfio_region_access *access)
{
	uint32_t size;

	if (take(s, access, sizeof(*access)) < 0 || access->region >= VFIO_REGIONS)
		return -EINVAL;
	size = region_size(s, access->region);
	if (access->count > size || access->offset > size - access->count || !size)
		return -EINVAL;
	if (access->region == VFIO_REGION_CONFIG)
		s->total.config++;
	else
		s->total.bar++;
	return 0;
}

static int on_region_read(struct fph_vfio_user_server *s)
{
	unsigned char *data = s->conn.body + sizeof(struct vfio_region_access);
	struct vfio_region_access access;
	int rc = take_access(s, &access);

	if (rc < 0)
		return rc;
	read_region(s, &access, data);
	return reply(s, 0, 0, &access, sizeof(access), data, access.count);
}

static int on_region_write(struct fph_vfio_user_server *s)
{
	struct vfio_region_access access;
	int rc = take_access(s, &access);

	if (rc < 0)
		return rc;
	if (s->conn.len - sizeof(access) < access.count)
		return -EINVAL;
	write_region(s, &access, s->conn.body + sizeof(access));
	return answer(s, &access, sizeof(access));
}

static int on_device_reset(struct fph_vfio_user_server *s)
{
	fph_vfio_reset_device(s);
	return answer(s, NULL, 0);
}

/* ------------------------------------------------------------ the table */

/* Known, and not to be had here: nothing of a device is saved or restored. */
static int no_migration(struct fph_vfio_user_server *s)
{
	(void)s;
	return -ENOTSUP;
}

/* What is not in it is unknown: what only a server sends, what is obsolete, or not offered. */
static int (*const handlers[])(struct fph_vfio_user_server *s) = {
	[VFIO_VERSION] = on_version,
	[VFIO_DMA_MAP] = on_dma_map,
	[VFIO_DMA_UNMAP] = on_dma_unmap,
	[VFIO_GET_INFO] = on_info,
	[VFIO_GET_REGION_INFO] = on_region_info,
	[VFIO_GET_REGION_IO_FDS] = on_region_io_fds,
	[VFIO_GET_IRQ_INFO] = on_irq_info,
	[VFIO_SET_IRQS] = on_set_irqs,
	[VFIO_REGION_READ] = on_region_read,
	[VFIO_REGION_WRITE] = on_region_write,
	[VFIO_DMA_READ] = NULL,
	[VFIO_DMA_WRITE] = NULL,
	[VFIO_DEVICE_RESET] = on_device_reset,
	[VFIO_DIRTY_PAGES] = NULL,
	[VFIO_REGION_WRITE_MULTI] = NULL,
	[VFIO_DEVICE_FEATURE] = no_migration,
	[VFIO_MIG_DATA_READ] = no_migration,
	[VFIO_MIG_DATA_WRITE] = no_migration,
};
#define HANDLERS (sizeof(handlers) / sizeof(handlers[0]))

static int dispatch(struct fph_vfio_user_server *s)
{
	unsigned command = s->conn.header.command;

	if (command >= HANDLERS || !handlers[command])
		return -EINVAL;
	if (!s->agreed && command != VFIO_VERSION)
		return -EINVAL;
	return handlers[command](s);
}

/* A ring in shared memory may point to a buffer that is not. */
static void look_for_buffers(struct fph_vfio_user_server *s)
{
	const struct fph_fault *fault = fph_device_fault(&s->device);
	const struct vfio_area *area;

	if (fault->rule != FPH_RULE_BUFFER_MEMORY || fault->queue >= FPH_QUEUE_COUNT ||
	    s->queues[fault->queue].copy)
		return;
	area = fph_vfio_area_at(s, fault->value, 1);
	if (area && !area->hva)
		fph_vfio_trouble(s, TROUBLE_BUFFER,
				 "a buffer stands in memory without a descriptor; start the "
				 "VMM with share=on for all memory");
}

static void on_reply(struct fph_vfio_user_server *s)
{
	/* To answer an error by an error would have no end. */
	if (fph_vfio_dma_answer(s) < 0 && !(s->conn.header.flags & VFIO_ERROR))
		fph_vfio_refuse(s, EINVAL);
}

static void on_request(struct fph_vfio_user_server *s)
{
	const struct vfio_header *h = &s->conn.header;
	int rc;

	if (h->flags & VFIO_NO_REPLY)
		s->total.posted++;
	else
		s->total.requests++;
	rc = (h->flags & VFIO_TYPE) == VFIO_REQUEST ? dispatch(s) : -EINVAL;
	if (rc < 0)
		fph_vfio_refuse(s, -rc);
}

void fph_vfio_handle(struct fph_vfio_user_server *s)
{
	if ((s->conn.header.flags & VFIO_TYPE) == VFIO_REPLY)
		on_reply(s);
	else
		on_request(s);
	fph_vfio_tell_changed(s);
	look_for_buffers(s);
}
