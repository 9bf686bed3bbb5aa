/* SPDX-License-Identifier: MIT */
/* The device end: what each register does.  virtio 1.4, 4.2.2 */
#include "wire.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct wire w;

static void open_device(void)
{
	wire_options(&w);
	wire_device(&w);
}

Test(mmio_device, register_table_is_the_specifications)
{
	/* Offsets of 4.2.2, typed in once more. */
	static const uint16_t offsets[] = {
		0x000, 0x004, 0x008, 0x00c, 0x010, 0x014, 0x020, 0x024, 0x030, 0x034,
		0x038, 0x044, 0x050, 0x060, 0x064, 0x070, 0x080, 0x084, 0x090, 0x094,
		0x0a0, 0x0a4, 0x0ac, 0x0b0, 0x0b4, 0x0b8, 0x0bc, 0x0c0, 0x0fc, 0x100,
	};
	const unsigned n = sizeof(offsets) / sizeof(offsets[0]);
	unsigned next = 0;

	for (unsigned i = 0; i < n; i++)
		cr_assert_eq(fph_mmio_register_at(i)->offset, offsets[i]);
	cr_assert_null(fph_mmio_register_at(n));
	for (uint32_t offset = 0; offset < 0x100; offset++) {
		bool is_there = next < n && offsets[next] == offset;

		cr_expect_eq(fph_mmio_register(offset) != NULL, is_there, "0x%x", offset);
		next += is_there;
	}
	cr_expect_str_eq(fph_mmio_register(0x1ff)->name, "Config");
	cr_expect_null(fph_mmio_register(0x200));
	cr_expect_null(fph_mmio_register(UINT64_MAX));
}

Test(mmio_device, m1_says_what_it_is)
{
	struct fph_mmio_device_opts opts = FPH_MMIO_DEVICE_OPTS_INIT;
	struct fph_mmio_device other;

	open_device();
	cr_expect_eq(wire_read(&w, FPH_MMIO_MAGIC), 0x74726976);
	cr_expect_eq(wire_read(&w, FPH_MMIO_VERSION), 2);
	cr_expect_eq(wire_read(&w, FPH_MMIO_DEVICE_ID), 5);
	cr_expect_eq(wire_read(&w, FPH_MMIO_VENDOR_ID), FPH_MMIO_VENDOR_VALUE);
	opts.bus = fph_device_bus(&w.l.dev);
	opts.device_id = 77;
	opts.vendor_id = 78;
	cr_assert_eq(fph_mmio_device_init(&other, &opts), 0);
	cr_expect_eq(fph_mmio_device_read(&other, FPH_MMIO_DEVICE_ID, 4), 77);
	cr_expect_eq(fph_mmio_device_read(&other, FPH_MMIO_VENDOR_ID, 4), 78);
}

Test(mmio_device, options_are_judged)
{
	struct fph_mmio_device_opts opts = FPH_MMIO_DEVICE_OPTS_INIT;
	struct {
		struct fph_mmio_device_opts opts;
		uint64_t more;
	} newer = {.opts = {.size = sizeof(newer)}};

	open_device();
	cr_expect_eq(fph_mmio_device_init(&w.device, &opts), -EINVAL, "no bus");
	opts.bus = fph_device_bus(&w.l.dev);
	opts.size = 1;
	cr_expect_eq(fph_mmio_device_init(&w.device, &opts), -EINVAL);
	newer.opts.bus = opts.bus;
	cr_expect_eq(fph_mmio_device_init(&w.device, &newer.opts), 0);
	newer.more = 1;
	cr_expect_eq(fph_mmio_device_init(&w.device, &newer.opts), -E2BIG);
}

/* M-1, M-8: set at the event, until acknowledged; the line with it. */
Test(mmio_device, m1_interrupt_status_stays_until_acknowledged)
{
	open_device();
	wire_negotiate(&w);
	cr_expect_eq(wire_enable(&w, 3), 1);
	wire_write(&w, FPH_MMIO_STATUS, 0xf);
	cr_expect_eq(wire_read(&w, FPH_MMIO_INTERRUPT_STATUS), 0);
	cr_expect_eq(w.highs, 0);

	cr_assert_eq(fph_device_start(&w.l.dev), 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_INTERRUPT_STATUS), 2);
	cr_expect_eq(wire_read(&w, FPH_MMIO_INTERRUPT_STATUS), 2, "reading clears nothing");
	cr_expect_eq(fph_mmio_device_pending(&w.device), FPH_IRQ_CONFIG);
	cr_expect(w.high && w.highs == 1 && w.lows == 0);
	/* For an edge-triggered line each event is one, also while it is high. */
	cr_assert_eq(fph_device_stop(&w.l.dev), 0);
	cr_expect(w.high && w.highs == 2 && w.lows == 0);

	wire_write(&w, FPH_MMIO_INTERRUPT_ACK, 1);
	cr_expect_eq(wire_read(&w, FPH_MMIO_INTERRUPT_STATUS), 2, "another bit");
	wire_write(&w, FPH_MMIO_INTERRUPT_ACK, 0xfffffffd);
	cr_expect_eq(wire_read(&w, FPH_MMIO_INTERRUPT_STATUS), 2, "bits that do not exist");
	wire_write(&w, FPH_MMIO_INTERRUPT_ACK, 0);
	cr_expect(w.high);
	wire_write(&w, FPH_MMIO_INTERRUPT_ACK, 2);
	cr_expect_eq(wire_read(&w, FPH_MMIO_INTERRUPT_STATUS), 0);
	cr_expect(!w.high && w.lows == 1);
	wire_write(&w, FPH_MMIO_INTERRUPT_ACK, 3);
	cr_expect_eq(w.lows, 1);
}

Test(mmio_device, m1_reset_clears_interrupts_and_queues)
{
	open_device();
	wire_negotiate(&w);
	for (uint16_t q = 0; q < 4; q++)
		cr_expect_eq(wire_enable(&w, q), 1);
	wire_write(&w, FPH_MMIO_STATUS, 0xf);
	cr_assert_eq(fph_device_start(&w.l.dev), 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_INTERRUPT_STATUS), 2);
	wire_write(&w, FPH_MMIO_STATUS, 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_INTERRUPT_STATUS), 0);
	cr_expect(!w.high);
	for (uint32_t q = 0; q < 4; q++) {
		wire_write(&w, FPH_MMIO_QUEUE_SEL, q);
		cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 0);
	}
	/* And addresses: what the next driver does not write is 0. */
	wire_negotiate(&w);
	wire_write(&w, FPH_MMIO_QUEUE_SEL, 3);
	wire_write(&w, FPH_MMIO_QUEUE_READY, 1);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 0);
	cr_expect(wire_read(&w, FPH_MMIO_STATUS) & FPH_STATUS_NEEDS_RESET);
}

/* ------------------------------------------------------------ features and status */

Test(mmio_device, features_come_in_halves)
{
	uint64_t all = 0;

	open_device();
	for (uint32_t sel = 0; sel < 5; sel++) {
		wire_write(&w, FPH_MMIO_DEVICE_FEATURES_SEL, sel);
		if (sel < 2)
			all |= (uint64_t)wire_read(&w, FPH_MMIO_DEVICE_FEATURES) << 32 * sel;
		else
			cr_expect_eq(wire_read(&w, FPH_MMIO_DEVICE_FEATURES), 0);
	}
	wire_write(&w, FPH_MMIO_DEVICE_FEATURES_SEL, UINT32_MAX);
	cr_expect_eq(wire_read(&w, FPH_MMIO_DEVICE_FEATURES), 0);
	cr_expect_eq(all, FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT | FPH_F_STATS_VQ);
	cr_expect_eq(wire_negotiate(&w), 0xb);
	cr_expect_eq(fph_device_features(&w.l.dev), all);
}

/* G-10, study 50: what was not offered is not accepted, wherever it is written. */
Test(mmio_device, g10_features_that_are_not_offered_fail_features_ok)
{
	static const struct {
		uint32_t sel, value;
	} foreign[] = {
		{0, 1u << 6},
		{0, 1u << 31},
		{1, 1u << 31},
		{2, 1},
		{3, 1u << 31},
		{4, 1},
		{UINT32_MAX, UINT32_MAX},
	};

	for (unsigned i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		open_device();
		wire_negotiate(&w);
		wire_write(&w, FPH_MMIO_STATUS, 0);
		wire_write(&w, FPH_MMIO_STATUS, 3);
		wire_write(&w, FPH_MMIO_DRIVER_FEATURES_SEL, 1);
		wire_write(&w, FPH_MMIO_DRIVER_FEATURES, 1); /* VERSION_1 */
		wire_write(&w, FPH_MMIO_DRIVER_FEATURES_SEL, foreign[i].sel);
		wire_write(&w, FPH_MMIO_DRIVER_FEATURES,
			   foreign[i].value | (foreign[i].sel == 1));
		wire_write(&w, FPH_MMIO_STATUS, 0xb);
		cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 3, "%u", i);
		/* Nothing of it is left after a reset. */
		cr_expect_eq(wire_negotiate(&w), 0xb, "%u", i);
	}
}

Test(mmio_device, zeros_past_the_last_feature_are_no_fault)
{
	open_device();
	wire_write(&w, FPH_MMIO_STATUS, 3);
	for (uint32_t sel = 2; sel < 8; sel++) {
		wire_write(&w, FPH_MMIO_DRIVER_FEATURES_SEL, sel);
		wire_write(&w, FPH_MMIO_DRIVER_FEATURES, 0);
	}
	wire_write(&w, FPH_MMIO_DRIVER_FEATURES_SEL, 1);
	wire_write(&w, FPH_MMIO_DRIVER_FEATURES, 1);
	wire_write(&w, FPH_MMIO_STATUS, 0xb);
	cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 0xb);
}

Test(mmio_device, g15_features_stand_after_features_ok)
{
	uint64_t before;

	open_device();
	wire_negotiate(&w);
	before = fph_device_features(&w.l.dev);
	for (uint32_t sel = 0; sel < 4; sel++) {
		wire_write(&w, FPH_MMIO_DRIVER_FEATURES_SEL, sel);
		wire_write(&w, FPH_MMIO_DRIVER_FEATURES, 0x7fffffff);
	}
	cr_expect_eq(fph_device_features(&w.l.dev), before);
	wire_write(&w, FPH_MMIO_STATUS, 0xf);
	cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 0xf);
}

/* G-2; study 51 */
Test(mmio_device, g2_only_0_resets)
{
	open_device();
	wire_negotiate(&w);
	wire_write(&w, FPH_MMIO_STATUS, 0xf);
	wire_write(&w, FPH_MMIO_STATUS, 1);
	cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 0xf);
	wire_write(&w, FPH_MMIO_STATUS, 0x100);
	cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 0xf, "no 32-bit value but 0 is 0");
	wire_write(&w, FPH_MMIO_STATUS, 0xffffff00);
	cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 0xf);
	wire_write(&w, FPH_MMIO_STATUS, 0x40 | 0xf);
	cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 0xf, "NEEDS_RESET is the device's");
	wire_write(&w, FPH_MMIO_STATUS, 0x80 | 0xf);
	cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 0x8f);
	wire_write(&w, FPH_MMIO_STATUS, 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 0);
}

/* ------------------------------------------------------------ configuration space */

static uint64_t config(uint32_t offset, uint32_t len)
{
	return fph_mmio_device_read(&w.device, FPH_MMIO_CONFIG + offset, len);
}

/* C-3: before FEATURES_OK too; BC-2: little-endian, by any width of a field. */
Test(mmio_device, c3_configuration_is_read_by_bytes_halves_and_words)
{
	open_device();
	cr_assert_eq(fph_device_set_num_pages(&w.l.dev, 0x04030201), 0);
	cr_expect_eq(config(0, 4), 0x04030201);
	for (uint32_t i = 0; i < 4; i++)
		cr_expect_eq(config(i, 1), i + 1);
	cr_expect_eq(config(0, 2), 0x0201);
	cr_expect_eq(config(2, 2), 0x0403);
	cr_expect_eq(config(8, 4), FPH_COMMAND_STOP);
	/* Past the end, which is 12 without PAGE_POISON: A5-9, BC-1 */
	cr_expect_eq(config(12, 4), 0xffffffff);
	cr_expect_eq(config(16, 4), 0xffffffff);
	cr_expect_eq(config(0xff, 1), 0xff);
	cr_expect_eq(fph_mmio_device_read(&w.device, UINT64_MAX - 3, 4), 0xffffffff);
	/* M-4: what is no field's width, or not where a field is. */
	cr_expect_eq(config(1, 2), 0);
	cr_expect_eq(config(1, 4), 0);
	cr_expect_eq(config(2, 4), 0);
	cr_expect_eq(config(0, 8), 0);
	cr_expect_eq(config(0, 3), 0);
	cr_expect_eq(config(0, 0), 0);
}

static void set_config(uint32_t offset, uint32_t len, uint64_t value)
{
	fph_mmio_device_write(&w.device, FPH_MMIO_CONFIG + offset, len, value);
}

/* Rows 41, 45; study 46, 47, 54 */
Test(mmio_device, only_actual_is_the_drivers_to_write)
{
	open_device();
	set_config(FPH_CONFIG_ACTUAL, 4, 5);
	cr_expect_eq(fph_device_actual(&w.l.dev), 0, "G-14: before FEATURES_OK");
	wire_negotiate(&w);
	set_config(FPH_CONFIG_ACTUAL, 4, 0x01020304);
	cr_expect_eq(fph_device_actual(&w.l.dev), 0x01020304);
	cr_expect_eq(config(4, 4), 0x01020304);
	set_config(FPH_CONFIG_ACTUAL, 2, 9);
	set_config(FPH_CONFIG_ACTUAL, 1, 9);
	set_config(FPH_CONFIG_ACTUAL, 8, 9);
	set_config(FPH_CONFIG_ACTUAL + 1, 4, 9);
	set_config(FPH_CONFIG_ACTUAL - 2, 4, 9);
	set_config(FPH_CONFIG_NUM_PAGES, 4, 9);
	set_config(FPH_CONFIG_COMMAND_ID, 4, 9);
	set_config(FPH_CONFIG_POISON, 4, 9);
	set_config(16, 4, 9);
	set_config(0xfc, 4, 9);
	set_config(0x100, 4, 9);
	cr_expect_eq(fph_device_actual(&w.l.dev), 0x01020304);
	cr_expect_eq(config(0, 4), 0);
	cr_expect_eq(config(8, 4), 0);
	cr_expect_eq(fph_device_poison(&w.l.dev), 0);
}

Test(mmio_device, bp3_poison_stands_after_driver_ok)
{
	wire_options(&w);
	w.l.dev_opts.offer = FPH_F_PAGE_POISON;
	wire_device(&w);
	wire_negotiate(&w);
	set_config(FPH_CONFIG_POISON, 4, 0xaa);
	wire_write(&w, FPH_MMIO_STATUS, 0xf);
	set_config(FPH_CONFIG_POISON, 4, 0xbb);
	cr_expect_eq(fph_device_poison(&w.l.dev), 0xaa);
	cr_expect_eq(config(12, 4), 0xaa);
}

/* M-2, C-4: whoever reads in two pieces across a change sees two generations. */
Test(mmio_device, m2_c4_generation_tells_that_a_read_was_torn)
{
	uint32_t before, torn;

	open_device();
	wire_negotiate(&w);
	wire_enable(&w, 3);
	wire_write(&w, FPH_MMIO_STATUS, 0xf);
	before = wire_read(&w, FPH_MMIO_GENERATION);
	for (unsigned i = 0; i < 10; i++) {
		config(0, 4);
		config(8, 4);
	}
	cr_expect_eq(wire_read(&w, FPH_MMIO_GENERATION), before, "nothing changed");

	config(0, 4);
	cr_assert_eq(fph_device_start(&w.l.dev), 0);
	config(8, 4);
	torn = wire_read(&w, FPH_MMIO_GENERATION);
	cr_expect_neq(torn, before);

	/* There and back again, with one look in between. */
	config(8, 2);
	cr_assert_eq(fph_device_set_num_pages(&w.l.dev, 7), 0);
	config(0, 4);
	cr_assert_eq(fph_device_set_num_pages(&w.l.dev, 0), 0);
	cr_expect_neq(wire_read(&w, FPH_MMIO_GENERATION), torn);
}

/* T-2: no shared memory regions, so their registers are all ones. */
Test(mmio_device, t2_has_no_shared_memory)
{
	open_device();
	for (uint32_t sel = 0; sel < 3; sel++) {
		wire_write(&w, FPH_MMIO_SHM_SEL, sel);
		for (uint32_t at = FPH_MMIO_SHM_LEN_LOW; at <= FPH_MMIO_SHM_BASE_HIGH; at += 4)
			cr_expect_eq(wire_read(&w, at), 0xffffffff);
	}
}
