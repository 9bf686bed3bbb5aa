/* SPDX-License-Identifier: MIT */
/*
 * A PCI function that announces and answers anything, against the driver end and a guest;
 * judged: every verb ends after a bounded number of accesses, and every access lies in
 * what the function announced.
 */
#include "memory.h"
#include "pci.h"
#include <errno.h>
#include <fph/device.h>
#include <string.h>

#define FIRST_CAP 0x40u

static struct fph_device dev;
static struct fph_pci_device function;
static unsigned accesses; /* of the driver end, in this step */

/* What is there to read: configuration space, and BARs that only store. */
static unsigned char space[FPH_PCI_CONFIG_SIZE];
static unsigned char file[FPH_PCI_BAR0_SIZE];
static const uint64_t *sizes;

static uint32_t load(const unsigned char *at, uint32_t len)
{
	uint32_t value = 0;

	for (uint32_t i = 0; i < len; i++)
		value |= (uint32_t)at[i] << 8 * i;
	return value;
}

static void store(unsigned char *at, uint32_t len, uint32_t value)
{
	for (uint32_t i = 0; i < len; i++)
		at[i] = (unsigned char)(value >> 8 * i);
}

/* Does anything that could be a capability announce these bytes? */
static bool is_announced(uint32_t bar, uint64_t offset, uint32_t len)
{
	for (uint32_t at = FIRST_CAP; at + 16 <= sizeof(space); at += 4) {
		uint64_t first = load(space + at + 8, 4), length = load(space + at + 12, 4);

		if (space[at] == 0x09 && space[at + 4] == bar && offset >= first &&
		    offset + len <= first + length)
			return true;
	}
	return false;
}

static bool is_natural(uint64_t offset, uint32_t len)
{
	return (len == 1 || len == 2 || len == 4) && offset % len == 0;
}

static void judge_access(uint32_t bar, uint64_t offset, uint32_t len)
{
	MUST(++accesses < 300);
	MUST(is_natural(offset, len) && bar < 6);
	MUST(is_announced(bar, offset, len));
	MUST(!sizes || offset + len <= sizes[bar]);
}

static unsigned char *byte_of(uint32_t bar, uint64_t offset)
{
	return file + ((offset + 0x400u * bar) & (sizeof(file) - 4));
}

static int any_config_read(void *ctx, uint32_t offset, uint32_t len, uint32_t *value)
{
	(void)ctx;
	MUST(++accesses < 300);
	MUST(is_natural(offset, len) && offset + len <= sizeof(space));
	*value = load(space + offset, len);
	return next8(&pci_in) == 0xff ? -EIO : 0;
}

static int any_config_write(void *ctx, uint32_t offset, uint32_t len, uint32_t value)
{
	(void)ctx;
	MUST(offset == COMMAND && len == 2 && (value & 6) == 6);
	return next8(&pci_in) == 0xff ? -EIO : 0;
}

static int any_bar_read(void *ctx, uint32_t bar, uint64_t offset, uint32_t len, uint32_t *value)
{
	uint8_t how = next8(&pci_in);

	(void)ctx;
	judge_access(bar, offset, len);
	*value = load(byte_of(bar, offset) + offset % 4, len);
	if (how % 8 == 7)
		*value = how & 8 ? next32(&pci_in) : next8(&pci_in);
	return how >= 0xfc ? -EIO : 0;
}

static int any_bar_write(void *ctx, uint32_t bar, uint64_t offset, uint32_t len, uint32_t value)
{
	uint8_t how = next8(&pci_in);

	(void)ctx;
	judge_access(bar, offset, len);
	if (how % 16 != 15)
		store(byte_of(bar, offset) + offset % 4, len, value);
	/* A queue that was reset is not enabled, and every one has room. */
	if ((offset == STATUS && value == 0) || offset == SELECT) {
		store(file + ENABLE, 2, 0);
		store(file + SIZE, 2, ENTRIES);
	}
	return how >= 0xfc ? -EIO : 0;
}

static void guest_step(uint8_t op)
{
	struct fph_range hint = { FAR_GPA + 0x1000u * (op / 8), 0x1000 }, out[4];

	accesses = 0;
	switch (op % 11) {
	case 0:
		fph_guest_attach(&pci_guest);
		break;
	case 8: /* an id, and an interrupt that says so */
		store(file + CONFIG + FPH_CONFIG_COMMAND_ID, 4, next8(&pci_in));
		file[ISR] = 3;
		fph_guest_step(&pci_guest, op);
		break;
	case 9: /* the device returns what it likes */
		memory_store16(LOW_GPA + 16 * ENTRIES + 6 + 2 * ENTRIES + 2 + 2, next8(&pci_in));
		fph_guest_step(&pci_guest, op);
		break;
	case 10:
		fph_pci_driver_fired(&pci_driver, next8(&pci_in) & 3);
		break;
	case 1:
		fph_guest_reset(&pci_guest);
		break;
	case 2:
	case 3:
		fph_guest_step(&pci_guest, op);
		break;
	case 4:
		fph_guest_hint(&pci_guest, &hint, 1);
		break;
	case 5:
		fph_guest_flush(&pci_guest);
		break;
	case 6:
		fph_guest_end(&pci_guest);
		break;
	default:
		fph_guest_reclaim(&pci_guest, out, 4);
	}
}

/* The device end's configuration space, and some bytes of it other than they were. */
static void make_space(uint8_t how)
{
	struct fph_device_opts opts = FPH_DEVICE_OPTS_INIT;
	struct fph_pci_device_opts pci = FPH_PCI_DEVICE_OPTS_INIT;

	opts.mem = memory_map(0);
	MUST(fph_device_init(&dev, &opts) == 0);
	pci.bus = fph_device_bus(&dev);
	pci.vectors = 2;
	MUST(fph_pci_device_init(&function, &pci) == 0);
	for (uint32_t at = 0; at < sizeof(space); at++)
		space[at] = (unsigned char)fph_pci_device_config_read(&function, at, 1);
	for (unsigned i = how >> 4; i > 0; i--) {
		uint8_t at = next8(&pci_in);

		/* The list and its capabilities, more often than not. */
		at = at & 0x80 ? (uint8_t)(at * 2u) : (uint8_t)(0x34u + at);
		space[at] = next8(&pci_in);
	}
}

void pci_hostile_function(uint8_t how)
{
	uint64_t known[6] = { FPH_PCI_NOTIFY, FPH_PCI_BAR1_SIZE, 0x100, 0, 0, 64 };
	struct fph_pci_driver_opts pci = FPH_PCI_DRIVER_OPTS_INIT;

	accesses = 0;
	make_space(how);
	memset(file, 0, sizeof(file));
	store(file + 0x04, 4, 0xb);
	store(file + SIZE, 2, ENTRIES);
	/* From where the doorbells begin: with some of them, or all. */
	if (how & 2)
		known[0] += next8(&pci_in);
	sizes = how & 2 ? known : NULL;
	pci.config_read = any_config_read;
	pci.config_write = any_config_write;
	pci.bar_read = any_bar_read;
	pci.bar_write = any_bar_write;
	pci.bar_sizes = sizes;
	pci.vectors = how >> 2 & 3;
	if (pci_make_guest(&pci) < 0)
		return;
	for (int i = 0; i < OPS_MAX && pci_in.left > 0; i++)
		guest_step(next8(&pci_in));
}
