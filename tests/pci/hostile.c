/* SPDX-License-Identifier: MIT */
/* The device end against accesses that nobody should make. */
#include "wire.h"
#include <criterion/criterion.h>
#include <string.h>

static struct wire w;
static struct wire before;

static void expect_unchanged(const char *what, uint64_t offset, uint32_t len)
{
	cr_assert_eq(memcmp(&w.device, &before.device, sizeof(w.device)), 0,
		     "%s at 0x%lx by %u changed the function", what, (unsigned long)offset, len);
	cr_assert_eq(memcmp(&w.l.dev, &before.l.dev, sizeof(w.l.dev)), 0,
		     "%s at 0x%lx by %u changed the device", what, (unsigned long)offset, len);
	cr_assert_eq(w.edges, before.edges);
}

static bool is_read_only(uint32_t offset)
{
	return offset == COMMON(DEVICE_FEATURE) || offset == COMMON(NUM_QUEUES) ||
	       offset == COMMON(GENERATION) || offset == COMMON(QUEUE_NOTIFY_OFF) ||
	       offset == COMMON(QUEUE_NOTIFY_DATA);
}

/* The one access that has an effect on reading. */
static bool acknowledges(uint64_t offset, uint32_t len)
{
	return offset == ISR && len == 1;
}

/* Row 41; study 46: every offset of BAR 0, every width, but the right ones. */
Test(pci_hostile, wrong_widths_and_holes_read_0_and_write_nothing)
{
	static const uint64_t values[] = { 0, 1, UINT64_MAX };

	wire_up(&w);
	loop_round(&w.l);
	before = w;
	for (uint32_t offset = 0; offset < FPH_PCI_BAR0_SIZE; offset++) {
		bool config = offset >= CONFIG && offset < FPH_PCI_NOTIFY;
		bool notify = offset >= FPH_PCI_NOTIFY && offset < FPH_PCI_NOTIFY + 20;

		for (uint32_t len = 0; len <= 9; len++) {
			bool right = len && field_width(offset) == len;
			bool halves = len == 8 && offset % 8 == 0;

			if (acknowledges(offset, len) || halves)
				continue;
			if (!right && !config)
				cr_assert_eq(fph_pci_device_bar_read(&w.device, 0, offset, len), 0,
					     "0x%x by %u", offset, len);
			expect_unchanged("a read", offset, len);
			if ((right && !is_read_only(offset)) || (config && offset < CONFIG + 16) ||
			    (notify && offset % 4 == 0 && len == 2))
				continue;
			for (unsigned i = 0; i < 3; i++)
				fph_pci_device_bar_write(&w.device, 0, offset, len, values[i]);
			expect_unchanged("a write", offset, len);
		}
	}
}

Test(pci_hostile, the_table_is_accessed_by_words)
{
	wire_up(&w);
	for (uint32_t v = 0; v < 4; v++)
		for (uint32_t at = 0; at < 16; at += 4)
			fph_pci_device_bar_write(&w.device, 1, 16 * v + at, 4, 0x5b5b5b5b);
	before = w;
	for (uint32_t offset = 0; offset < FPH_PCI_BAR1_SIZE + 16; offset++) {
		for (uint32_t len = 0; len <= 9; len++) {
			if ((len == 4 || len == 8) && offset % len == 0)
				continue;
			cr_assert_eq(fph_pci_device_bar_read(&w.device, 1, offset, len), 0,
				     "0x%x by %u", offset, len);
			fph_pci_device_bar_write(&w.device, 1, offset, len, 0);
			expect_unchanged("a write", offset, len);
		}
	}
}

Test(pci_hostile, what_is_outside_of_the_bars_is_nothing)
{
	static const uint64_t offsets[] = { FPH_PCI_BAR0_SIZE, FPH_PCI_BAR0_SIZE + COMMON_STATUS,
					    0x100000014,       0x8000000000000014,
					    UINT64_MAX,	       UINT64_MAX - 3,
					    UINT64_MAX - 7 };
	static const uint32_t bars[] = { 0, 1, 2, 5, 6, 7, 8, 255, UINT32_MAX };

	wire_up(&w);
	before = w;
	for (unsigned b = 0; b < sizeof(bars) / sizeof(bars[0]); b++) {
		for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
			for (uint32_t len = 0; len <= 16; len++) {
				cr_expect_eq(fph_pci_device_bar_read(&w.device, bars[b], offsets[i],
								     len),
					     0);
				fph_pci_device_bar_write(&w.device, bars[b], offsets[i], len, 0);
			}
		}
		if (bars[b] > 1)
			for (uint32_t at = 0; at < 0x40; at += 4)
				fph_pci_device_bar_write(&w.device, bars[b], at, 4, 0);
		expect_unchanged("a write", bars[b], 0);
	}
}

/* ------------------------------------------------------------ anything */

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Values that mean something, now and then. */
static uint64_t some_value(uint32_t *seed)
{
	static const uint32_t telling[] = { 0,
					    1,
					    2,
					    3,
					    4,
					    0xb,
					    0xf,
					    16,
					    256,
					    4,
					    0x80,
					    (uint32_t)RAM_LOW,
					    0xc000,
					    (uint32_t)RAM_LOW + 0x4000,
					    (uint32_t)RAM_HIGH,
					    0xffffffff,
					    0x8000 };
	uint32_t pick = next(seed);

	if (pick % 4)
		return telling[pick / 4 % (sizeof(telling) / sizeof(telling[0]))];
	return (uint64_t)next(seed) << 32 | next(seed);
}

static uint32_t some_offset(uint32_t *seed)
{
	switch (next(seed) % 8) {
	case 0:
		return ISR;
	case 1:
		return CONFIG + 4 * (next(seed) % 5);
	case 2:
		return FPH_PCI_NOTIFY + 2 * (next(seed) % 12);
	case 3:
		return next(seed) % (FPH_PCI_BAR0_SIZE + 0x100);
	default:
		return next(seed) % 0x40;
	}
}

static void random_access(uint32_t *seed)
{
	static const uint32_t widths[] = { 1, 2, 4, 8 };
	uint32_t offset = some_offset(seed), len = widths[next(seed) % 4];

	/* Most of the time the width is right. */
	if (next(seed) % 8 && field_width(offset))
		len = field_width(offset);
	switch (next(seed) % 8) {
	case 0:
		set_space(&w, next(seed) % 0x110, widths[next(seed) % 3],
			  (uint32_t)some_value(seed));
		break;
	case 1:
		space(&w, next(seed) % 0x110, widths[next(seed) % 3]);
		break;
	case 2:
		fph_pci_device_bar_write(&w.device, 1, 4 * (next(seed) % 20), 4, some_value(seed));
		break;
	case 3:
	case 4:
		fph_pci_device_bar_read(&w.device, next(seed) % 3 / 2, offset, len);
		break;
	default:
		/* A reset each time would be a short life. */
		if (offset == COMMON(STATUS) && next(seed) % 8)
			SET(&w, STATUS, next(seed) & 0xf);
		else
			fph_pci_device_bar_write(&w.device, 0, offset, len, some_value(seed));
	}
}

/*
 * Rows 39 and 40: any access in any order, with rounds and polls in between, over ring
 * memory full of anything.  Whatever is handed out is of the open round and in memory;
 * what is not the guest's memory keeps its bytes (sanitizers); a reset mends all.
 */
Test(pci_hostile, any_access_in_any_order)
{
	unsigned handed_out = 0, ok = 0;

	for (uint32_t seed = 1; seed <= 300; seed++) {
		uint32_t s = seed * 7919;

		wire_options(&w);
		w.device_opts.vectors = (uint16_t)(seed % 9);
		w.device_opts.flags = seed / 9 % 4;
		wire_device(&w);
		if (seed % 2) {
			wire_driver(&w);
			loop_attach(&w.l);
			loop_round(&w.l);
			loop_hint(&w.l, 0, 4);
		}
		for (unsigned i = 0; i < 400; i++) {
			struct fph_range out[4];
			int n = 0;

			random_access(&s);
			if (i % 7 == 0)
				n = fph_device_poll(&w.l.dev, out, 4);
			for (int k = 0; k < n; k++) {
				cr_assert(fph_mem_at(&w.l.ram.mem, out[k].gpa, out[k].len));
				cr_assert_geq(fph_device_command(&w.l.dev), FPH_COMMAND_FIRST);
				handed_out++;
			}
			if (i % 31 == 0)
				fph_device_start(&w.l.dev);
			ok += GET(&w, STATUS) == 0xf;
			cr_assert_eq(w.high, fph_pci_device_intx(&w.device));
		}
		fph_device_ack(&w.l.dev);
		fph_pci_device_reset(&w.device);
		cr_assert_not(w.high);
		wire_driver(&w);
		loop_attach(&w.l);
		wire_expect_round(&w);
	}
	cr_expect_gt(handed_out, 50, "the walk never came to the point");
	cr_expect_gt(ok, 1000);
}
