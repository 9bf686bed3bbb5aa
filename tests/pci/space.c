/* SPDX-License-Identifier: MIT */
/* The device end: configuration space.  virtio 1.4, 4.1.2 and 4.1.4 */
#include "wire.h"
#include <criterion/criterion.h>
#include <string.h>

static struct wire w;

static void open_device(uint16_t vectors, uint32_t flags)
{
	wire_options(&w);
	w.device_opts.vectors = vectors;
	w.device_opts.flags = flags;
	wire_device(&w);
}

Test(pci_space, pc1_says_what_it_is)
{
	open_device(4, 0);
	cr_expect_eq(space(&w, 0x00, 2), 0x1af4);
	cr_expect_eq(space(&w, 0x02, 2), 0x1045);
	cr_expect_eq(space(&w, 0x00, 4), 0x10451af4);
	cr_expect_geq(space(&w, 0x08, 1), 1, "revision");
	cr_expect_eq(space(&w, 0x0e, 1), 0, "a function, and one");
	cr_expect_eq(space(&w, 0x2c, 2), 0x1af4);
	cr_expect_geq(space(&w, 0x2e, 2), 0x40, "no transitional driver's");
	cr_expect_eq(space(&w, 0x30, 4), 0, "no ROM");
	cr_expect_eq(space(&w, 0x3d, 1), 1, "INTA#");
	open_device(4, FPH_PCI_NO_INTX);
	cr_expect_eq(space(&w, 0x3d, 1), 0);
}

/* PC-2: each type, once, its structure inside of a BAR, aligned; PC-4: the doorbells. */
Test(pci_space, pc2_pc4_capabilities)
{
	static const uint32_t least[] = { 0, 0x3c, 20, 1, 16, 0 };

	for (uint16_t vectors = 0; vectors <= FPH_PCI_VECTORS_MAX; vectors += 4) {
		unsigned seen[6] = { 0 }, msix = 0, n = 0;

		open_device(vectors, 0);
		cr_expect(space(&w, 0x06, 2) & 0x10, "there is a list");
		for (uint32_t at = space(&w, 0x34, 1); at && n < 48; n++) {
			uint32_t len = space(&w, at + 2, 1), type = space(&w, at + 3, 1);
			uint32_t bar = space(&w, at + 4, 1), offset = space(&w, at + 8, 4);
			uint32_t length = space(&w, at + 12, 4);

			cr_assert(at >= 0x40 && at % 4 == 0 && at < 0x100);
			if (space(&w, at, 1) == 0x11) {
				msix++;
				cr_expect_eq(space(&w, at + 2, 2), vectors - 1u);
				cr_expect_eq(space(&w, at + 4, 4), 1, "table: BAR 1, 0");
				cr_expect_eq(space(&w, at + 8, 4) & 7, 1);
				cr_expect_geq(space(&w, at + 8, 4), 16u * vectors);
			} else {
				cr_assert_eq(space(&w, at, 1), 0x09);
				cr_assert(type >= 1 && type <= 5, "PC-2: no type but these");
				cr_expect_geq(len, type == 2 || type == 5 ? 20 : 16);
				cr_assert_leq(at + len, 0x100);
				cr_expect_eq(bar, 0);
				cr_expect_eq(offset % 4, 0);
				cr_expect_geq(length, least[type]);
				cr_expect_leq(offset + length, FPH_PCI_BAR0_SIZE);
				seen[type]++;
			}
			if (type == 2 && space(&w, at, 1) == 0x09) {
				uint32_t mul = space(&w, at + 16, 4);

				cr_expect(mul % 2 == 0 && (mul & (mul - 1)) == 0);
				cr_expect_geq(length, 4 * mul + 2, "of the fifth queue");
			}
			at = space(&w, at + 1, 1);
		}
		for (unsigned type = 1; type <= 5; type++)
			cr_expect_eq(seen[type], 1, "%u", type);
		cr_expect_eq(msix, vectors != 0);
	}
}

/* Every bit that a driver may change, and no other. */
Test(pci_space, nothing_is_written_but_what_is_the_drivers)
{
	static const struct {
		uint32_t at, bits;
	} own[] = {
		{ 0x04, 0x00000406 }, { 0x0c, 0x0000ffff }, { 0x10, 0xffffc000 },
		{ 0x14, 0xfffff000 }, { 0x3c, 0x000000ff }, { 0x88, 0x000000ff },
		{ 0x8c, 0xffffffff }, { 0x90, 0xffffffff }, { 0x94, 0xffffffff },
		{ 0x98, 0xc0000000 },
	};

	for (unsigned vectors = 0; vectors < 8; vectors += 4) {
		for (uint32_t at = 0; at < FPH_PCI_CONFIG_SIZE; at += 4) {
			uint32_t bits = 0, before;

			open_device((uint16_t)vectors, 0);
			for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++)
				if (own[i].at == at)
					bits = own[i].bits;
			if (!vectors && (at == 0x14 || at == 0x98))
				bits = 0;
			before = space(&w, at, 4);
			set_space(&w, at, 4, ~before);
			cr_expect_eq(space(&w, at, 4) ^ before, bits, "0x%x", at);
			set_space(&w, at, 4, before);
			cr_expect_eq(space(&w, at, 4), before);
			/* And by bytes: the same bits. */
			for (uint32_t i = 0; i < 4; i++)
				set_space(&w, at + i, 1, ~(before >> 8 * i));
			cr_expect_eq(space(&w, at, 4) ^ before, bits, "0x%x", at);
		}
	}
}

Test(pci_space, other_accesses_read_ones_and_write_nothing)
{
	static struct fph_pci_device before;

	open_device(4, 0);
	before = w.device;
	for (uint32_t at = 0; at < 0x120; at++) {
		for (uint32_t len = 0; len < 10; len++) {
			bool right = (len == 1 || len == 2 || len == 4) && at % len == 0;

			if (right && at < FPH_PCI_CONFIG_SIZE)
				continue;
			cr_expect_eq(space(&w, at, len), UINT32_MAX, "0x%x by %u", at, len);
			set_space(&w, at, len, 0x5a5a5a5a);
		}
	}
	cr_expect_eq(space(&w, UINT32_MAX - 3, 4), UINT32_MAX);
	set_space(&w, UINT32_MAX - 3, 4, 0);
	cr_expect_eq(memcmp(&w.device, &before, sizeof(before)), 0);
}

/* ------------------------------------------------------------ BARs */

Test(pci_space, bars_are_sized_and_placed)
{
	open_device(4, 0);
	set_space(&w, 0x10, 4, UINT32_MAX);
	cr_expect_eq(space(&w, 0x10, 4), ~(FPH_PCI_BAR0_SIZE - 1));
	set_space(&w, 0x14, 4, UINT32_MAX);
	cr_expect_eq(space(&w, 0x14, 4), ~(FPH_PCI_BAR1_SIZE - 1));
	for (uint32_t at = 0x18; at < 0x28; at += 4) {
		set_space(&w, at, 4, UINT32_MAX);
		cr_expect_eq(space(&w, at, 4), 0);
	}
	set_space(&w, 0x10, 4, 0xe8001234);
	cr_expect_eq(space(&w, 0x10, 4), 0xe8000000, "as far as it is aligned");
	set_space(&w, 0x14, 4, 0xe9000000);
	cr_expect_eq(fph_pci_device_bar_address(&w.device, 0), UINT64_MAX, "decoding is off");
	set_space(&w, 0x04, 2, 2);
	cr_expect_eq(fph_pci_device_bar_address(&w.device, 0), 0xe8000000);
	cr_expect_eq(fph_pci_device_bar_address(&w.device, 1), 0xe9000000);
	cr_expect_eq(fph_pci_device_bar_address(&w.device, 2), UINT64_MAX);
	cr_expect_eq(fph_pci_device_bar_address(&w.device, UINT32_MAX), UINT64_MAX);
	set_space(&w, 0x04, 2, 0x404);
	cr_expect_eq(fph_pci_device_bar_address(&w.device, 0), UINT64_MAX);
	open_device(0, 0);
	set_space(&w, 0x04, 2, 2);
	cr_expect_eq(fph_pci_device_bar_address(&w.device, 0), 0);
	cr_expect_eq(fph_pci_device_bar_address(&w.device, 1), UINT64_MAX, "no MSI-X");
	cr_expect_eq(fph_pci_device_bar_read(&w.device, 1, 12, 4), 0);
}

/* ------------------------------------------------------------ PCI_CFG */

static void aim(uint32_t bar, uint32_t offset, uint32_t length)
{
	uint32_t at = find_cap(&w, 0x09, 5);

	set_space(&w, at + 4, 1, bar);
	set_space(&w, at + 8, 4, offset);
	set_space(&w, at + 12, 4, length);
}

Test(pci_space, pc8_the_window_reads_and_writes_bars)
{
	uint32_t data;

	open_device(4, 0);
	data = find_cap(&w, 0x09, 5) + 16;
	aim(0, COMMON(DEVICE_FEATURE_SELECT), 4);
	set_space(&w, data, 4, 1);
	aim(0, COMMON(DEVICE_FEATURE), 4);
	cr_expect_eq(space(&w, data, 4), FPH_F_VERSION_1 >> 32);
	aim(0, COMMON(STATUS), 1);
	set_space(&w, data, 1, 3);
	cr_expect_eq(GET(&w, STATUS), 3);
	cr_expect_eq(space(&w, data, 1), 3);
	aim(0, COMMON(QUEUE_SELECT), 2);
	set_space(&w, data, 2, 3);
	cr_expect_eq(GET(&w, QUEUE_SELECT), 3);
	/* The width is the capability's, not that of the access to its data. */
	set_space(&w, data, 4, 0xffff0002);
	cr_expect_eq(GET(&w, QUEUE_SELECT), 2);
	aim(0, COMMON(QUEUE_SIZE), 2);
	cr_expect_eq(space(&w, data, 1), 0);
	cr_expect_eq(space(&w, data + 1, 1), 1, "256");
	aim(1, 12, 4);
	cr_expect_eq(space(&w, data, 4), 1, "MSI-X: masked");
	/* Any byte of its data is its data. */
	aim(0, COMMON(QUEUE_SIZE), 2);
	cr_expect_eq(space(&w, data + 1, 1), 1);
	aim(0, COMMON(QUEUE_SELECT), 2);
	set_space(&w, data, 2, 1);
	set_space(&w, data + 1, 1, 2);
	cr_expect_eq(GET(&w, QUEUE_SELECT), 0x201);
}

/* What aims nowhere does nothing; row 41. */
Test(pci_space, pc8_a_window_to_nowhere_is_harmless)
{
	static const struct {
		uint32_t bar, offset, length;
	} bad[] = {
		{ 0, COMMON_STATUS, 0 },
		{ 0, COMMON_STATUS, 2 },
		{ 0, COMMON_STATUS, 3 },
		{ 0, COMMON_STATUS, 4 },
		{ 0, COMMON_STATUS, 8 },
		{ 0, COMMON_STATUS, 0x80000001 },
		{ 0, COMMON_STATUS, UINT32_MAX },
		{ 2, COMMON_STATUS, 1 },
		{ 0xff, COMMON_STATUS, 1 },
		{ 0, FPH_PCI_BAR0_SIZE + COMMON_STATUS, 1 },
		{ 0, UINT32_MAX, 1 },
		{ 1, UINT32_MAX - 3, 4 },
	};
	uint32_t data;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		open_device(4, 0);
		data = find_cap(&w, 0x09, 5) + 16;
		SET(&w, STATUS, 3);
		aim(bad[i].bar, bad[i].offset, bad[i].length);
		set_space(&w, data, 4, 0);
		set_space(&w, data, 1, 0x83);
		cr_expect_eq(GET(&w, STATUS), 3, "%u", i);
		if (bad[i].length != 1 && bad[i].length != 2 && bad[i].length != 4)
			cr_expect_eq(space(&w, data, 4), 0x83, "it only stores, %u", i);
	}
}

/* PC-6, PC-8: reading the ISR through it acknowledges. */
Test(pci_space, pc8_isr_through_the_window)
{
	uint32_t data;

	wire_up(&w);
	cr_assert_eq(fph_device_start(&w.l.dev), 0);
	cr_expect(w.high);
	data = find_cap(&w, 0x09, 5) + 16;
	aim(0, ISR, 1);
	cr_expect(w.high, "to aim is not to read");
	cr_expect_eq(space(&w, data, 1), 2);
	cr_expect_not(w.high);
	cr_expect_eq(space(&w, data, 1), 0);
}
