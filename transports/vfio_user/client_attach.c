/* SPDX-License-Identifier: MIT */
#include "client.h"
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MSIX_CONTROL 2u /* in its capability */
#define MSIX_ENABLE  0x8000u
#define MSIX_MASK    0x4000u

/* ------------------------------------------------------------ version, memory, regions */

static int agree(struct fph_vfio_user_client *c)
{
	struct vfio_version v = { VFIO_MAJOR, VFIO_MINOR };
	char json[160];
	struct vfio_request r = {
		.command = VFIO_VERSION, .body = &v, .len = sizeof(v), .data = json
	};
	const char *why;
	int rc;

	r.data_len = fph_vfio_version_print(json, sizeof(json));
	rc = fph_vfio_client_ask(c, &r, sizeof(v));
	if (rc < 0)
		return rc;
	memcpy(&v, c->conn.body, sizeof(v));
	if (v.major != VFIO_MAJOR || v.minor > VFIO_MINOR)
		return fph_vfio_client_because(c, -EPROTO, "the server speaks version %u.%u",
					       v.major, v.minor);
	c->limits = (struct fph_vfio_limits)FPH_VFIO_LIMITS_INIT;
	rc = fph_vfio_version_parse(c->conn.body + sizeof(v), c->conn.len - sizeof(v), &c->limits,
				    &why);
	return rc < 0 ? fph_vfio_client_because(c, -EPROTO, "the server: %s", why) : 0;
}

static int map(struct fph_vfio_user_client *c, const struct fph_vfio_user_region *region)
{
	struct vfio_dma_map m = {
		.argsz = sizeof(m),
		.flags = VFIO_MAP_READ | VFIO_MAP_WRITE,
		.offset = region->fd >= 0 ? region->offset : 0,
		.iova = region->gpa,
		.size = region->len,
	};
	struct vfio_request r = { .command = VFIO_DMA_MAP, .body = &m, .len = sizeof(m) };

	if (region->fd >= 0 && c->limits.max_msg_fds > 0) {
		r.fds = &region->fd;
		r.fd_count = 1;
	}
	c->total.maps++;
	return fph_vfio_client_ask(c, &r, 0);
}

/* The size of a region, 0 if it is not there. */
static int region_size(struct fph_vfio_user_client *c, uint32_t index, uint64_t *size)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };
	struct vfio_request r = { .command = VFIO_GET_REGION_INFO,
				  .body = &info,
				  .len = sizeof(info) };
	int rc = fph_vfio_client_ask(c, &r, sizeof(info));

	if (rc < 0)
		return rc;
	memcpy(&info, c->conn.body, sizeof(info));
	if (info.index != index)
		return fph_vfio_client_because(c, -EPROTO, "the server tells of region %u, not %u",
					       info.index, index);
	*size = info.flags & VFIO_REGION_READABLE ? info.size : 0;
	return 0;
}

static int look_at_regions(struct fph_vfio_user_client *c)
{
	struct vfio_info info = { .argsz = sizeof(info) };
	struct vfio_request r = { .command = VFIO_GET_INFO, .body = &info, .len = sizeof(info) };
	uint64_t config = 0;
	int rc = fph_vfio_client_ask(c, &r, sizeof(info));

	if (rc < 0)
		return rc;
	memcpy(&info, c->conn.body, sizeof(info));
	if (!(info.flags & VFIO_INFO_PCI) || info.regions <= VFIO_REGION_CONFIG)
		return fph_vfio_client_because(c, -ENODEV, "the device is no PCI function");
	for (uint32_t bar = 0; bar < VFIO_BARS && rc == 0; bar++)
		rc = region_size(c, bar, &c->bars[bar]);
	if (rc == 0)
		rc = region_size(c, VFIO_REGION_CONFIG, &config);
	if (rc < 0)
		return rc;
	if (config < FPH_PCI_CONFIG_SIZE)
		return fph_vfio_client_because(c, -ENODEV, "the device has no configuration space");
	c->config_size = config < 4096 ? (uint32_t)config : 4096;
	return 0;
}

/* ------------------------------------------------------------ interrupts */

static int irq_count(struct fph_vfio_user_client *c, uint32_t index, uint32_t *count)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };
	struct vfio_request r = { .command = VFIO_GET_IRQ_INFO,
				  .body = &info,
				  .len = sizeof(info) };
	int rc = fph_vfio_client_ask(c, &r, sizeof(info));

	if (rc < 0)
		return rc;
	memcpy(&info, c->conn.body, sizeof(info));
	*count = info.flags & VFIO_IRQ_EVENTFD ? info.count : 0;
	return 0;
}

static int set_irqs(struct fph_vfio_user_client *c, uint32_t index, uint32_t start, uint32_t flags,
		    const int *fd)
{
	struct vfio_set_irqs set = {
		.argsz = sizeof(set),
		.flags = flags,
		.index = index,
		.start = start,
		.count = 1,
	};
	struct vfio_request r = {
		.command = VFIO_SET_IRQS,
		.body = &set,
		.len = sizeof(set),
		.fds = fd,
		.fd_count = fd ? 1 : 0,
	};

	return fph_vfio_client_ask(c, &r, 0);
}

int fph_vfio_client_unmask(struct fph_vfio_user_client *c)
{
	c->intx_fired = false;
	return set_irqs(c, VFIO_INTX, 0, VFIO_DATA_NONE | VFIO_ACTION_UNMASK, NULL);
}

static int arm(struct fph_vfio_user_client *c, uint32_t index, uint16_t count)
{
	int rc = 0;

	for (uint16_t i = 0; i < count && rc == 0; i++)
		rc = set_irqs(c, index, i, VFIO_DATA_EVENTFD | VFIO_ACTION_TRIGGER,
			      &c->bells[i].fd);
	return rc;
}

/* Which interrupts there are to be: vectors, a line, or none. */
static int choose(struct fph_vfio_user_client *c)
{
	uint32_t msix = 0, intx = 0;
	int rc = 0;

	if (!(c->opts.flags & FPH_VFIO_USER_NO_MSIX))
		rc = irq_count(c, VFIO_MSIX, &msix);
	if (rc == 0 && !(c->opts.flags & FPH_VFIO_USER_NO_INTX))
		rc = irq_count(c, VFIO_INTX, &intx);
	c->vectors = (uint16_t)(msix < VFIO_CLIENT_VECTORS ? msix : VFIO_CLIENT_VECTORS);
	c->has_intx = intx > 0;
	return rc;
}

static int switch_msix_on(struct fph_vfio_user_client *c, uint32_t cap)
{
	uint32_t control = 0;
	int rc = fph_vfio_client_config_read(c, cap + MSIX_CONTROL, 2, &control);

	if (rc < 0)
		return rc;
	control = (control | MSIX_ENABLE) & ~MSIX_MASK;
	return fph_vfio_client_config_write(c, cap + MSIX_CONTROL, 2, control);
}

/* ------------------------------------------------------------ the balloon */

static int init_driver(struct fph_vfio_user_client *c)
{
	struct fph_pci_driver_opts o = FPH_PCI_DRIVER_OPTS_INIT;
	int rc;

	o.config_read = fph_vfio_client_config_read;
	o.config_write = fph_vfio_client_config_write;
	o.bar_read = fph_vfio_client_bar_read;
	o.bar_write = fph_vfio_client_bar_write;
	o.ctx = c;
	o.vectors = c->vectors;
	o.bar_sizes = c->bars;
	rc = fph_pci_driver_init(&c->pci, &o);
	if (rc == -ENODEV)
		return fph_vfio_client_because(c, rc, "the device is no modern virtio balloon");
	c->link.registers = fph_pci_driver_bus(&c->pci);
	return rc;
}

int fph_vfio_client_find(struct fph_vfio_user_client *c)
{
	uint32_t cap;
	int rc = choose(c);

	if (rc == 0)
		rc = init_driver(c);
	if (rc < 0)
		return rc;
	cap = fph_pci_driver_msix(&c->pci);
	if (c->vectors && !cap) {
		c->vectors = 0;
		rc = init_driver(c);
	}
	if (rc == 0 && c->vectors) {
		rc = arm(c, VFIO_MSIX, c->vectors);
		return rc < 0 ? rc : switch_msix_on(c, cap);
	}
	return rc == 0 && c->has_intx ? arm(c, VFIO_INTX, 1) : rc;
}

static int make_bells(struct fph_vfio_user_client *c)
{
	for (unsigned i = 0; i < VFIO_CLIENT_VECTORS; i++) {
		c->bells[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (c->bells[i].fd < 0)
			return fph_vfio_client_because(c, -errno, "no eventfd: %s",
						       strerror(errno));
	}
	return 0;
}

static int watch(struct fph_vfio_user_client *c)
{
	int rc = fph_loop_add(c->opts.loop, c->conn.fd, fph_vfio_client_on_conn, c);

	for (unsigned i = 0; i < VFIO_CLIENT_VECTORS && rc == 0; i++)
		rc = fph_loop_add(c->opts.loop, c->bells[i].fd, fph_vfio_client_on_bell,
				  &c->bells[i]);
	return rc < 0 ? fph_vfio_client_because(c, rc, "no memory to watch the server") : 0;
}

int fph_vfio_client_attach(struct fph_vfio_user_client *c)
{
	int rc = make_bells(c);

	if (rc == 0)
		rc = agree(c);
	for (uint32_t i = 0; i < c->opts.region_count && rc == 0; i++)
		rc = map(c, &c->regions[i]);
	if (rc == 0)
		rc = look_at_regions(c);
	if (rc == 0)
		rc = fph_vfio_client_find(c);
	if (rc == 0)
		rc = watch(c);
	return rc == -EREMOTEIO ? -EPROTO : rc;
}

void fph_vfio_client_release(struct fph_vfio_user_client *c)
{
	for (unsigned i = 0; i < VFIO_CLIENT_VECTORS; i++) {
		struct vfio_bell *bell = &c->bells[i];

		if (bell->fd < 0)
			continue;
		fph_loop_remove(c->opts.loop, bell->fd);
		close(bell->fd);
		bell->fd = -1;
	}
	c->intx_fired = false;
}
