/* SPDX-License-Identifier: MIT */
#include "checks.h"

#include <fph/bitmap.h>
#include <fph/device.h>
#include <fph/guest.h>
#include <fph/mmio.h>
#include <fph/pci.h>

#include <err.h>

#define CHECK(holds)                                                                               \
	do {                                                                                       \
		if (!(holds))                                                                      \
			return __LINE__;                                                           \
	} while (0)

#define TRY(call)                                                                                  \
	do {                                                                                       \
		int line_ = (call);                                                                \
		if (line_)                                                                         \
			return line_;                                                              \
	} while (0)

/* Above 4 GiB, and no byte of it the same, so that a swap of any kind is seen. */
#define RAM_GPA	  UINT64_C(0x123456000)
#define RAM_BYTES 0x20000u
#define RING_SIZE 8u

/* The hint queue's ring takes the first part of memory, hints name the rest. */
#define HINT_GPA (RAM_GPA + 0x10000)

static _Alignas(4096) unsigned char ram[RAM_BYTES];
static struct fph_region regions[] = {
	{ .gpa = RAM_GPA, .len = RAM_BYTES, .hva = ram },
};
static const struct fph_mem mem = { .regions = regions, .count = 1 };
static struct fph_guest_slot slots[RING_SIZE];

static struct world {
	struct fph_device device;
	struct fph_guest guest;
	struct fph_bus inner;
	struct fph_bus_ops ops;
	struct fph_vq_place place; /* of the hint queue */
	enum { LOOPBACK, MMIO, PCI, WIRES } by; /* what is between the two */
	struct fph_mmio_device mmio_device;
	struct fph_mmio_driver mmio_driver;
	struct fph_pci_device pci_device;
	struct fph_pci_driver pci_driver;
} w;

/* The device's own bus, but for one verb: keep where the hint queue was placed. */
static int keep_place(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	if (queue == fph_device_queue(&w.device, FPH_QUEUE_HINT))
		w.place = *place;
	return w.inner.ops->vq_enable(ctx, queue, place);
}

static unsigned char *at(uint64_t gpa)
{
	return ram + (size_t)(gpa - RAM_GPA);
}

/* Are the n bytes at gpa the little-endian form of value?  By shifts: no host order. */
static bool le_is(const unsigned char *bytes, unsigned n, uint64_t value)
{
	for (unsigned i = 0; i < n; i++)
		if (bytes[i] != (unsigned char)(value >> (8 * i)))
			return false;
	return true;
}

static void le_put(unsigned char *bytes, unsigned n, uint64_t value)
{
	for (unsigned i = 0; i < n; i++)
		bytes[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t le_get(const unsigned char *bytes, unsigned n)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n; i++)
		value |= (uint64_t)bytes[i] << (8 * i);
	return value;
}

/* The descriptor that entry `slot` of the available ring names. */
static const unsigned char *avail_desc(unsigned slot)
{
	return at(w.place.desc) + 16 * le_get(at(w.place.driver) + 4 + 2 * slot, 2);
}

static void interrupt(void *ctx)
{
	(void)ctx;
	if (w.by == MMIO)
		fph_mmio_device_interrupt(&w.mmio_device);
	if (w.by == PCI)
		fph_pci_device_interrupt(&w.pci_device);
}

/* ------------------------------------------------------------ virtio-mmio */

static int read_register(void *ctx, uint32_t offset, uint32_t *value)
{
	(void)ctx;
	*value = (uint32_t)fph_mmio_device_read(&w.mmio_device, offset, 4);
	return 0;
}

static int write_register(void *ctx, uint32_t offset, uint32_t value)
{
	(void)ctx;
	fph_mmio_device_write(&w.mmio_device, offset, 4, value);
	return 0;
}

/* Put registers between the bus and whoever uses it. */
static int wire_mmio(struct fph_bus *bus)
{
	struct fph_mmio_device_opts device = FPH_MMIO_DEVICE_OPTS_INIT;
	struct fph_mmio_driver_opts driver = FPH_MMIO_DRIVER_OPTS_INIT;

	device.bus = *bus;
	driver.read = read_register;
	driver.write = write_register;
	CHECK(fph_mmio_device_init(&w.mmio_device, &device) == 0);
	CHECK(fph_mmio_driver_init(&w.mmio_driver, &driver) == 0);
	*bus = fph_mmio_driver_bus(&w.mmio_driver);
	return 0;
}

/* ------------------------------------------------------------ virtio-pci */

static int config_read(void *ctx, uint32_t offset, uint32_t len, uint32_t *value)
{
	(void)ctx;
	*value = fph_pci_device_config_read(&w.pci_device, offset, len);
	return 0;
}

static int config_write(void *ctx, uint32_t offset, uint32_t len, uint32_t value)
{
	(void)ctx;
	fph_pci_device_config_write(&w.pci_device, offset, len, value);
	return 0;
}

static int bar_read(void *ctx, uint32_t bar, uint64_t offset, uint32_t len, uint32_t *value)
{
	(void)ctx;
	*value = (uint32_t)fph_pci_device_bar_read(&w.pci_device, bar, offset, len);
	return 0;
}

static int bar_write(void *ctx, uint32_t bar, uint64_t offset, uint32_t len, uint32_t value)
{
	(void)ctx;
	fph_pci_device_bar_write(&w.pci_device, bar, offset, len, value);
	return 0;
}

/* PC-1, and where a field's first byte stands. */
static int wire_pci(struct fph_bus *bus)
{
	struct fph_pci_device_opts device = FPH_PCI_DEVICE_OPTS_INIT;
	struct fph_pci_driver_opts driver = FPH_PCI_DRIVER_OPTS_INIT;

	device.bus = *bus;
	device.vectors = 2;
	driver.config_read = config_read;
	driver.config_write = config_write;
	driver.bar_read = bar_read;
	driver.bar_write = bar_write;
	CHECK(fph_pci_device_init(&w.pci_device, &device) == 0);
	CHECK(fph_pci_device_config_read(&w.pci_device, 0, 4) == 0x10451af4);
	CHECK(fph_pci_device_config_read(&w.pci_device, 0, 1) == 0xf4);
	CHECK(fph_pci_driver_init(&w.pci_driver, &driver) == 0);
	CHECK(fph_pci_driver_msix(&w.pci_driver) != 0);
	*bus = fph_pci_driver_bus(&w.pci_driver);
	return 0;
}

/* ------------------------------------------------------------ the checks */

static int attach(void)
{
	struct fph_device_opts device = FPH_DEVICE_OPTS_INIT;
	struct fph_guest_opts guest = FPH_GUEST_OPTS_INIT;

	device.mem = &mem;
	device.interrupt = interrupt;
	CHECK(fph_device_init(&w.device, &device) == 0);
	w.inner = fph_device_bus(&w.device);

	w.ops = *w.inner.ops;
	w.ops.vq_enable = keep_place;
	guest.bus.ops = &w.ops;
	guest.bus.ctx = w.inner.ctx;
	if (w.by == MMIO)
		TRY(wire_mmio(&guest.bus));
	if (w.by == PCI)
		TRY(wire_pci(&guest.bus));
	guest.ring.gpa = RAM_GPA;
	guest.ring.len = fph_guest_ring_bytes(RING_SIZE);
	guest.ring.hva = ram;
	guest.slots = slots;
	guest.ring_size = RING_SIZE;
	CHECK(guest.ring.len > 0 && guest.ring.len <= HINT_GPA - RAM_GPA);
	CHECK(fph_guest_init(&w.guest, &guest) == 0);
	CHECK(fph_guest_attach(&w.guest) == 0);
	CHECK(fph_device_queue(&w.device, FPH_QUEUE_HINT) == 3);
	CHECK(w.place.size == RING_SIZE);
	CHECK(w.place.desc % 16 == 0 && w.place.driver % 2 == 0 && w.place.device % 4 == 0);
	return 0;
}

/* Open a round and send one hint; the device has not looked yet. */
static int hint_one(struct fph_range hint)
{
	CHECK(fph_device_start(&w.device) == 0);
	CHECK(fph_guest_step(&w.guest, 0) & FPH_GUEST_FEED);
	CHECK(fph_guest_hint(&w.guest, &hint, 1) == 1);
	CHECK(fph_guest_flush(&w.guest) == 0);
	return 0;
}

/* V-1, BH-1, BH-2: what a driver puts into memory, byte by byte. */
static int check_driver_bytes(void)
{
	const struct fph_range hint = { HINT_GPA, 0x3000 };
	const unsigned char *avail = at(w.place.driver), *desc;
	unsigned char config[4];

	TRY(hint_one(hint));
	CHECK(w.inner.ops->config(w.inner.ctx, FPH_CONFIG_COMMAND_ID, config, 4) == 0);
	CHECK(le_is(config, 4, fph_device_command(&w.device)));
	CHECK(fph_device_command(&w.device) >= UINT32_C(0x80000000));

	CHECK(le_is(avail + 2, 2, 2)); /* idx: START and the hint */
	desc = avail_desc(0);
	CHECK(le_is(desc + 8, 4, 4));  /* len */
	CHECK(le_is(desc + 12, 2, 0)); /* flags: the device reads */
	CHECK(le_is(at(le_get(desc, 8)), 4, fph_device_command(&w.device)));
	desc = avail_desc(1);
	CHECK(le_is(desc, 8, HINT_GPA));
	CHECK(le_is(desc + 8, 4, 0x3000));
	CHECK(le_is(desc + 12, 2, 2)); /* WRITE */
	return 0;
}

/* V-8, BH-13: what a device makes of it, and puts there. */
static int check_device_bytes(void)
{
	const unsigned char *used = at(w.place.device);
	const unsigned char *avail = at(w.place.driver);
	struct fph_range out[4];

	CHECK(le_is(used + 2, 2, 0));
	CHECK(fph_device_poll(&w.device, out, 4) == 1);
	CHECK(out[0].gpa == HINT_GPA && out[0].len == 0x3000);
	CHECK(fph_device_ack(&w.device) == 0);
	CHECK(le_is(used + 2, 2, 2));
	CHECK(le_is(used + 4, 4, le_get(avail + 4, 2)));	/* id of the first head */
	CHECK(le_is(used + 4 + 8, 4, le_get(avail + 6, 2)));
	CHECK(le_is(used + 4 + 8 + 4, 4, 0)); /* nothing was written into the pages */
	return 0;
}

static int check_round(void)
{
	struct fph_range out[4];
	int wants;

	TRY(attach());
	TRY(check_driver_bytes());
	TRY(check_device_bytes());

	CHECK(fph_guest_end(&w.guest) == 0);
	CHECK(fph_device_poll(&w.device, out, 4) == 0);
	CHECK(fph_device_round_over(&w.device));
	CHECK(fph_guest_held(&w.guest) == 0x3000);
	CHECK(fph_guest_step(&w.guest, 0) & FPH_GUEST_RECLAIM);

	CHECK(fph_device_stop(&w.device) == 0);
	CHECK(fph_device_command(&w.device) == FPH_COMMAND_STOP);
	CHECK(fph_device_done(&w.device) == 0);
	CHECK(fph_device_command(&w.device) == FPH_COMMAND_DONE);
	wants = fph_guest_step(&w.guest, 0);
	CHECK(wants > 0 && wants & FPH_GUEST_RELEASE && !(wants & FPH_GUEST_FEED));
	CHECK(fph_guest_reclaim(&w.guest, out, 4) == 1);
	CHECK(out[0].gpa == HINT_GPA && out[0].len == 0x3000);
	CHECK(fph_guest_held(&w.guest) == 0);
	return 0;
}

/* BH-11, BH-13: hints of a stopped round are nobody's. */
static int check_stop(void)
{
	struct fph_device_stats stats = FPH_DEVICE_STATS_INIT;
	struct fph_range out[4];
	uint32_t id;

	TRY(attach());
	TRY(hint_one((struct fph_range){ HINT_GPA, 0x1000 }));
	id = fph_device_command(&w.device);
	CHECK(fph_device_stop(&w.device) == 0);
	CHECK(fph_device_poll(&w.device, out, 4) == 0);
	CHECK(fph_device_start(&w.device) == 0);
	CHECK(fph_device_command(&w.device) == id + 1);
	CHECK(fph_device_poll(&w.device, out, 4) == 0);
	CHECK(fph_device_total_stats(&w.device, &stats) == 0);
	CHECK(stats.rounds == 2 && stats.hints == 0);

	/* The ring wraps around several times. */
	for (unsigned i = 0; i < 5 * RING_SIZE; i++) {
		CHECK(fph_guest_step(&w.guest, 0) >= 0);
		CHECK(fph_guest_reclaim(&w.guest, out, 4) >= 0);
		TRY(hint_one((struct fph_range){ HINT_GPA + 0x1000 * (i % 8), 0x1000 }));
		CHECK(fph_device_poll(&w.device, out, 4) == 1);
		CHECK(out[0].gpa == HINT_GPA + 0x1000 * (i % 8));
		CHECK(fph_device_poll(&w.device, out, 4) == 0);
	}
	return 0;
}

/* V-6, G-5: a driver that lies is told so, and comes back by a reset. */
static int check_device_fault(void)
{
	struct fph_range out[4];
	uint8_t status = 0;

	TRY(attach());
	TRY(hint_one((struct fph_range){ HINT_GPA, 0x1000 }));
	le_put(at(w.place.driver) + 2, 2, RING_SIZE + 1);
	CHECK(fph_device_poll(&w.device, out, 4) == -EPROTO);
	CHECK(fph_device_fault(&w.device)->rule == FPH_RULE_AVAIL_AHEAD);
	CHECK(w.inner.ops->status(w.inner.ctx, &status) == 0);
	CHECK(status & FPH_STATUS_NEEDS_RESET);
	CHECK(fph_device_start(&w.device) == -EPROTO);
	CHECK(fph_guest_step(&w.guest, 0) == -EPROTO);
	CHECK(fph_guest_fault(&w.guest)->rule == FPH_RULE_NEEDS_RESET);

	CHECK(fph_guest_reset(&w.guest) == 0);
	CHECK(fph_guest_reclaim(&w.guest, out, 4) == 1);
	CHECK(fph_guest_attach(&w.guest) == 0);
	TRY(hint_one((struct fph_range){ HINT_GPA, 0x1000 }));
	CHECK(fph_device_poll(&w.device, out, 4) == 1);
	return 0;
}

/* V-8: a device that returns what it never had. */
static int check_guest_fault(void)
{
	unsigned char *used;

	TRY(attach());
	TRY(hint_one((struct fph_range){ HINT_GPA, 0x1000 }));
	used = at(w.place.device);
	le_put(used + 4, 4, 0x10000); /* a head, if only 16 bits were looked at */
	le_put(used + 8, 4, 0);
	le_put(used + 2, 2, 1);
	CHECK(fph_guest_step(&w.guest, 0) == -EPROTO);
	CHECK(fph_guest_fault(&w.guest)->rule == FPH_RULE_USED_ID);
	CHECK(fph_guest_held(&w.guest) == 0x1000);
	return 0;
}

static int check_map(void)
{
	struct fph_region two[] = {
		{ .gpa = RAM_GPA, .len = 0x1000, .hva = ram },
		{ .gpa = RAM_GPA + 0x1000, .len = 0x1000, .hva = ram + 0x2000 },
	};
	const struct fph_mem map = { .regions = two, .count = 2 };
	struct fph_range range = { RAM_GPA - 0x800, 0x1000 }, piece;

	CHECK(fph_mem_check(&map) == 0);
	CHECK(fph_mem_at(&map, RAM_GPA + 0xfff, 1) == ram + 0xfff);
	CHECK(fph_mem_at(&map, RAM_GPA + 0x1000, 1) == ram + 0x2000);
	CHECK(!fph_mem_at(&map, RAM_GPA + 0xfff, 2));
	CHECK(!fph_mem_at(&map, RAM_GPA, 0));
	CHECK(!fph_mem_at(&map, UINT64_MAX, 2));
	CHECK(!fph_mem_at(&map, UINT64_C(0x23456000), 1)); /* the low half of an address */
	CHECK(fph_mem_piece(&map, &range, &piece) == 0);
	CHECK(piece.gpa == RAM_GPA && piece.len == 0x800);
	CHECK(fph_mem_piece(&map, &range, &piece) == -ENOENT);
	return 0;
}

static int check_bitmap(void)
{
	uint64_t words[FPH_BITMAP_WORDS(100)] = { 0 }, first = 0, n = 0;
	struct fph_bitmap map = { .words = words, .pages = 100, .base = RAM_GPA, .shift = 12 };

	/* 0x800 into page 63 to 0x800 into page 65: outward three pages, inward one. */
	struct fph_range range = { RAM_GPA + 0x3f800, 0x2000 };

	CHECK(fph_bitmap_set(&map, range) == 3);
	CHECK(words[0] == UINT64_C(1) << 63 && words[1] == 3);
	CHECK(fph_bitmap_clear(&map, range) == 1);
	CHECK(fph_bitmap_test(&map, RAM_GPA + 0x3f000));
	CHECK(!fph_bitmap_test(&map, RAM_GPA + 0x40000));
	CHECK(fph_bitmap_count(&map) == 2);
	CHECK(fph_bitmap_run(&map, 64, &first, &n) && first == 65 && n == 1);
	return 0;
}

int fph_checks(void)
{
	TRY(check_map());
	TRY(check_bitmap());
	for (w.by = LOOPBACK; w.by < WIRES; w.by++) {
		TRY(check_round());
		TRY(check_stop());
		TRY(check_device_fault());
		TRY(check_guest_fault());
	}
	return 0;
}
