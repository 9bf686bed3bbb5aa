/* SPDX-License-Identifier: MIT */
/* The driver end's search, in configuration spaces of all sorts.  virtio 1.4, 4.1.4 */
#include "wire.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct wire w;

/* A configuration space that only stores. */
static unsigned char file[FPH_PCI_CONFIG_SIZE];
static unsigned writes;

static int from_file(struct wire *wire, struct access *a)
{
	(void)wire;
	if (!a->config) {
		a->value = 0;
		return 1;
	}
	cr_assert_leq(a->offset + a->len, sizeof(file));
	if (a->write) {
		writes++;
		cr_expect(a->offset == 0x04 && a->len == 2, "only the command register");
		memcpy(file + a->offset, &a->value, a->len);
		return 1;
	}
	a->value = 0;
	memcpy(&a->value, file + a->offset, a->len);
	return 1;
}

/* The device end's, to be spoilt. */
static void open_file(void)
{
	wire_options(&w);
	wire_device(&w);
	for (uint32_t i = 0; i < sizeof(file); i++)
		file[i] = (unsigned char)space(&w, i, 1);
	w.before = from_file;
	writes = 0;
}

static int search(void)
{
	w.logged = 0;
	return fph_pci_driver_init(&w.driver, &w.driver_opts);
}

static void put(uint32_t at, uint32_t len, uint32_t value)
{
	memcpy(file + at, &value, len);
}

/* A vendor capability at `at`, with `next` behind it. */
static void put_cap(uint32_t at, uint32_t next, uint32_t type, uint32_t bar, uint32_t offset,
		    uint32_t length)
{
	put(at, 4, 0x09 | next << 8 | 20u << 16 | type << 24);
	put(at + 4, 4, bar);
	put(at + 8, 4, offset);
	put(at + 12, 4, length);
	put(at + 16, 4, 4);
}

/* Where the driver goes for a field of the common configuration: read Status. */
static struct access status_access(void)
{
	struct fph_bus bus = fph_pci_driver_bus(&w.driver);
	uint8_t status;

	w.logged = 0;
	cr_assert_eq(bus.ops->status(bus.ctx, &status), 0);
	cr_assert_eq(w.logged, 1);
	return w.log[0];
}

Test(pci_find, options_are_judged)
{
	struct fph_pci_driver_opts good, *o = &w.driver_opts;

	open_file();
	good = *o;
	o->config_read = NULL;
	cr_expect_eq(search(), -EINVAL);
	*o = good;
	o->config_write = NULL;
	cr_expect_eq(search(), -EINVAL);
	*o = good;
	o->bar_read = NULL;
	cr_expect_eq(search(), -EINVAL);
	*o = good;
	o->bar_write = NULL;
	cr_expect_eq(search(), -EINVAL);
	*o = good;
	o->vectors = 3;
	cr_expect_eq(search(), -EINVAL);
	o->size = 3;
	cr_expect_eq(search(), -EINVAL);
	cr_expect_eq(w.logged, 0);
	*o = good;
	o->vectors = 2;
	o->pause = NULL;
	cr_expect_eq(search(), 0);
}

/* PC-9: what is no balloon is left alone after as many looks as it takes. */
Test(pci_find, pc9_what_is_no_balloon_is_left_alone)
{
	static const struct {
		uint32_t at, value;
		unsigned looks;
	} others[] = {
		{ 0x00, 0xffff, 1 }, { 0x00, 0x8086, 1 }, { 0x02, 0x1041, 2 },
		{ 0x02, 0x1000, 2 }, { 0x02, 0xffff, 2 }, { 0x06, 0x0000, 3 },
	};

	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		open_file();
		put(others[i].at, 2, others[i].value);
		cr_expect_eq(search(), -ENODEV, "%u", i);
		cr_expect_eq(w.logged, others[i].looks, "%u", i);
		cr_expect_eq(writes, 0);
	}
}

Test(pci_find, pc9_any_revision_and_the_transitional_id)
{
	for (unsigned revision = 0; revision < 256; revision += 51) {
		open_file();
		put(0x08, 1, revision);
		cr_expect_eq(search(), 0);
		put(0x02, 2, 0x1002);
		put(0x2e, 2, 5);
		cr_expect_eq(search(), 0);
	}
}

Test(pci_find, memory_decoding_and_bus_mastering_are_switched_on)
{
	open_file();
	put(0x04, 2, 0x0140);
	cr_expect_eq(search(), 0);
	cr_expect(file[4] == 0x46 && file[5] == 0x01, "and the rest stays");
	cr_expect_eq(writes, 1);
}

/* PC-2: without one of these there is nothing to drive. */
Test(pci_find, pc2_each_structure_is_needed)
{
	for (uint32_t type = 1; type <= 5; type++) {
		uint32_t at;

		open_file();
		at = find_cap(&w, 0x09, type);
		file[at + 3] = 9;
		cr_expect_eq(search(), type == 5 ? 0 : -ENODEV, "PCI_CFG is for others");
		cr_expect_eq(writes, type == 5);
	}
}

/* A list that ends nowhere, or goes where no capability is. */
Test(pci_find, pc9_a_list_that_makes_no_sense_ends)
{
	open_file();
	file[0x34] = 0;
	cr_expect_eq(search(), -ENODEV);
	file[0x34] = 0x3c;
	cr_expect_eq(search(), -ENODEV, "in the header");
	for (unsigned i = 0; i < w.logged; i++)
		cr_expect_leq(w.log[i].offset, 0x34, "and not looked at");
	file[0x34] = 0x43;
	cr_expect_eq(search(), 0, "the two low bits are reserved");
	for (unsigned to = 0x40; to < 0x100; to += 4) {
		open_file();
		put(to, 4, 0x05 | to << 8);
		file[0x34] = (unsigned char)to;
		cr_expect_eq(search(), -ENODEV, "a circle at 0x%x", to);
		cr_expect_lt(w.logged, 100);
	}
	/* Everything is a capability of the last type that is looked at. */
	for (unsigned byte = 0; byte < 256; byte++) {
		open_file();
		memset(file + 0x40, (int)byte, sizeof(file) - 0x40);
		cr_expect_eq(search(), -ENODEV);
		cr_expect_lt(w.logged, 300);
	}
}

Test(pci_find, pc9_unknown_capabilities_are_passed_over)
{
	open_file();
	file[0x34] = 0xa8;
	put(0xa8, 4, 0x01 | 0xb0 << 8);			      /* power management */
	put(0xb0, 4, 0x09 | 0xc0 << 8 | 16 << 16);	      /* type 0 */
	put(0xc0, 4, 0x09 | 0xd0 << 8 | 16 << 16 | 8u << 24); /* shared memory */
	put(0xd0, 4, 0x09 | 0xe0 << 8 | 16 << 16 | 255u << 24);
	put(0xe0, 4, 0xff | 0x40 << 8);
	file[0x99] = 0xec;
	put(0xec, 4, 0x11); /* a second one */
	cr_expect_eq(search(), 0);
	cr_expect_eq(fph_pci_driver_msix(&w.driver), find_cap(&w, 0x11, 0));
	cr_expect(status_access().bar == 0 && status_access().offset == 0x14);
}

/* PC-2, PC-9: of several of a type, the first that can be used. */
Test(pci_find, pc9_the_first_that_can_be_used_is_taken)
{
	static const struct {
		uint32_t bar, offset, length;
		bool good;
	} first[] = {
		{ 2, 0x100, 0x3c, true },
		{ 2, 0x100, 0x38, true },   /* of virtio 1.0 */
		{ 2, 0x100, 0x1000, true }, /* larger */
		{ 2, 0x100, 0x37, false },
		{ 2, 0x100, 0, false },
		{ 2, 0x102, 0x3c, false }, /* not aligned */
		{ 6, 0x100, 0x3c, false }, /* reserved */
		{ 255, 0x100, 0x3c, false },
		{ 3, 0x100, 0x3c, false },	     /* the upper half of BAR 2 */
		{ 5, 0x100, 0x3c, false },	     /* ports */
		{ 2, 0xfffffffc, 0xfffffffc, true }, /* nobody said how large it is */
	};

	for (unsigned i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		struct access a;

		open_file();
		put(0x18, 4, 0xc);  /* BAR 2 and 3: 64 bits */
		put(0x1c, 4, 0x10); /* an address, whatever it looks like */
		put(0x24, 4, 0xc001);
		file[0x34] = 0xa8;
		put_cap(0xa8, 0x40, 1, first[i].bar, first[i].offset, first[i].length);
		cr_assert_eq(search(), 0, "%u", i);
		a = status_access();
		cr_expect_eq(a.bar, first[i].good ? first[i].bar : 0, "%u", i);
		cr_expect_eq(a.offset, (first[i].good ? (uint64_t)first[i].offset : 0) + 0x14);
	}
}

Test(pci_find, pc9_a_capability_that_is_too_short_is_none)
{
	open_file();
	file[find_cap(&w, 0x09, 1) + 2] = 15;
	cr_expect_eq(search(), -ENODEV);
	open_file();
	file[find_cap(&w, 0x09, 2) + 2] = 19;
	cr_expect_eq(search(), -ENODEV, "no multiplier");
	open_file();
	file[find_cap(&w, 0x09, 1) + 2] = 0xff;
	file[find_cap(&w, 0x09, 2) + 2] = 0x40;
	cr_expect_eq(search(), 0, "longer");
	/* Cut off by the end of configuration space. */
	open_file();
	file[find_cap(&w, 0x09, 1) + 3] = 0;
	file[0x34] = 0xf4;
	put(0xf4, 4, 0x09 | 0x40 << 8 | 16 << 16 | 1u << 24);
	put(0xfc, 4, 0x1000);
	cr_expect_eq(search(), -ENODEV);
	open_file();
	file[0x34] = 0xf8;
	put(0xf8, 4, 0x11 | 0x40 << 8);
	cr_expect_eq(search(), 0);
	cr_expect_neq(fph_pci_driver_msix(&w.driver), 0xf8);
}

/* PC-9: outside of the BARs that there are. */
Test(pci_find, pc9_what_is_past_the_end_of_a_bar_is_passed_over)
{
	static const uint64_t sizes[6] = { FPH_PCI_BAR0_SIZE, FPH_PCI_BAR1_SIZE, 0, 0, 0, 0 };
	static const struct {
		uint32_t bar, offset, length;
	} outside[] = {
		{ 0, FPH_PCI_BAR0_SIZE - 0x38, 0x3c },
		{ 0, FPH_PCI_BAR0_SIZE, 0x3c },
		{ 0, 0, FPH_PCI_BAR0_SIZE + 4 },
		{ 0, 0xfffffffc, 0xfffffffc },
		{ 0, 4, 0xfffffffc },
		{ 1, 0xfd0, 0x3c },
		{ 2, 0, 0x3c },
		{ 5, 0, 0x3c },
	};

	for (unsigned i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		open_file();
		w.driver_opts.bar_sizes = sizes;
		file[0x34] = 0xa8;
		put_cap(0xa8, 0x40, 1, outside[i].bar, outside[i].offset, outside[i].length);
		cr_expect_eq(search(), 0);
		cr_expect_eq(status_access().offset, 0x14, "%u", i);
		/* And if there is no other. */
		file[0xa9] = 0;
		cr_expect_eq(search(), -ENODEV, "%u", i);
	}
	open_file();
	w.driver_opts.bar_sizes = sizes;
	file[0x34] = 0xa8;
	put_cap(0xa8, 0x40, 1, 1, 0x1000 - 0x3c, 0x3c);
	cr_expect_eq(search(), 0);
	cr_expect_eq(status_access().offset, 0x1000 - 0x3c + 0x14, "to the last byte");
}

/* Any bytes: the search ends, soon, and writes nothing but the command. */
Test(pci_find, pc9_any_configuration_space)
{
	uint32_t seed = 1;
	unsigned found = 0;

	for (unsigned i = 0; i < 20000; i++) {
		unsigned spoil = 1 + i % 12;
		int rc;

		if (i % 100 == 0)
			open_file();
		else
			for (uint32_t k = 0; k < sizeof(file); k++)
				file[k] = (unsigned char)space(&w, k, 1);
		while (spoil--) {
			seed = seed * 1664525u + 1013904223u;
			file[0x10 + (seed >> 8) % 0xa0] = (unsigned char)(seed >> 24);
		}
		rc = search();
		cr_assert(rc == 0 || rc == -ENODEV, "%d", rc);
		cr_assert_lt(w.logged, 300);
		found += rc == 0;
	}
	cr_expect(found > 100 && found < 19900, "%u", found);
}
