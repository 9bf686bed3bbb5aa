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
		     "%s at 0x%lx by %u changed the registers", what, (unsigned long)offset,
		     len);
	cr_assert_eq(memcmp(&w.l.dev, &before.l.dev, sizeof(w.l.dev)), 0,
		     "%s at 0x%lx by %u changed the device", what, (unsigned long)offset, len);
	cr_assert_eq(w.highs, before.highs);
}

/* Row 41; study 46: every offset, every width, but the right ones. */
Test(mmio_hostile, m4_wrong_widths_and_offsets_read_0_and_write_nothing)
{
	static const uint64_t values[] = {0, 1, UINT64_MAX};

	wire_up(&w);
	loop_round(&w.l);
	before = w;
	for (uint64_t offset = 0; offset < FPH_MMIO_CONFIG; offset++) {
		const struct fph_mmio_register *reg = fph_mmio_register(offset);

		for (uint32_t len = 0; len <= 9; len++) {
			bool right = reg && len == reg->width;

			if (!right || !(reg->access & FPH_MMIO_R))
				cr_assert_eq(fph_mmio_device_read(&w.device, offset, len), 0,
					     "0x%lx by %u", (unsigned long)offset, len);
			expect_unchanged("a read", offset, len);
			if (right && (reg->access & FPH_MMIO_W))
				continue;
			for (unsigned i = 0; i < 3; i++)
				fph_mmio_device_write(&w.device, offset, len, values[i]);
			expect_unchanged("a write", offset, len);
		}
	}
	for (uint64_t offset = FPH_MMIO_SIZE; offset < FPH_MMIO_SIZE + 0x2000; offset += 4)
		fph_mmio_device_write(&w.device, offset, 4, 0);
	fph_mmio_device_write(&w.device, UINT64_MAX, 1, 0);
	fph_mmio_device_write(&w.device, UINT64_MAX - 3, 4, 0);
	fph_mmio_device_write(&w.device, (UINT64_C(1) << 32) + FPH_MMIO_STATUS, 4, 0);
	expect_unchanged("a write", FPH_MMIO_SIZE, 4);
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Values that mean something, now and then. */
static uint64_t some_value(uint32_t *seed)
{
	static const uint32_t telling[] = {0,
					   1,
					   2,
					   3,
					   4,
					   0xb,
					   0xf,
					   16,
					   256,
					   0x80,
					   (uint32_t)RAM_LOW,
					   (uint32_t)RAM_LOW + 0x4000,
					   (uint32_t)RAM_HIGH,
					   0xffffffff,
					   0x10000};
	uint32_t pick = next(seed);

	if (pick % 4)
		return telling[pick / 4 % (sizeof(telling) / sizeof(telling[0]))];
	return (uint64_t)next(seed) << 32 | next(seed);
}

static void random_access(uint32_t *seed)
{
	static const uint32_t widths[] = {1, 2, 4, 4, 4, 4, 4, 8};
	const struct fph_mmio_register *reg = fph_mmio_register_at(next(seed) % 30);
	uint64_t offset = next(seed) % 8 ? reg->offset : next(seed) % 0x300;
	uint32_t len = widths[next(seed) % 8];

	/* A reset each time would be a short life. */
	if (offset == FPH_MMIO_STATUS && next(seed) % 8)
		fph_mmio_device_write(&w.device, offset, 4, next(seed) & 0xf);
	else if (next(seed) & 1)
		fph_mmio_device_write(&w.device, offset, len, some_value(seed));
	else
		fph_mmio_device_read(&w.device, offset, len);
}

/*
 * Rows 39 and 40: any write in any order, with rounds and polls in between, over ring
 * memory full of anything.  Whatever is handed out is of the open round and in memory;
 * what is not the guest's memory keeps its bytes (sanitizers); a reset mends all.
 */
Test(mmio_hostile, any_write_in_any_order)
{
	unsigned handed_out = 0, ok = 0;

	for (uint32_t seed = 1; seed <= 300; seed++) {
		uint32_t s = seed * 7919;

		wire_options(&w);
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
			ok += wire_read(&w, FPH_MMIO_STATUS) == 0xf;
		}
		fph_device_ack(&w.l.dev);
		wire_options(&before);
		w.l.guest_opts.bus = fph_mmio_driver_bus(&w.driver);
		wire_driver(&w);
		loop_attach(&w.l);
		wire_expect_round(&w);
	}
	cr_expect_gt(handed_out, 50, "the walk never came to the point");
	cr_expect_gt(ok, 1000);
}
