/* SPDX-License-Identifier: MIT */
/* The device end: the common configuration and the balloon's.  virtio 1.4, 4.1.4 */
#include "wire.h"
#include <criterion/criterion.h>
#include <errno.h>

static struct wire w;

static void open_device(void)
{
	wire_options(&w);
	wire_device(&w);
}

Test(pci_device, options_are_judged)
{
	struct fph_pci_device_opts opts = FPH_PCI_DEVICE_OPTS_INIT;
	struct {
		struct fph_pci_device_opts opts;
		uint64_t more;
	} newer = { .opts = { .size = sizeof(newer) } };

	open_device();
	cr_expect_eq(fph_pci_device_init(&w.device, &opts), -EINVAL, "no bus");
	opts.bus = fph_device_bus(&w.l.dev);
	opts.vectors = FPH_PCI_VECTORS_MAX + 1;
	cr_expect_eq(fph_pci_device_init(&w.device, &opts), -EINVAL);
	opts.vectors = FPH_PCI_VECTORS_MAX;
	cr_expect_eq(fph_pci_device_init(&w.device, &opts), 0);
	opts.flags = 4;
	cr_expect_eq(fph_pci_device_init(&w.device, &opts), -EINVAL);
	opts.flags = 0;
	opts.size = 1;
	cr_expect_eq(fph_pci_device_init(&w.device, &opts), -EINVAL);
	newer.opts.bus = opts.bus;
	cr_expect_eq(fph_pci_device_init(&w.device, &newer.opts), 0);
	newer.more = 1;
	cr_expect_eq(fph_pci_device_init(&w.device, &newer.opts), -E2BIG);
}

/* The numbers of layout.h are those of 4.1.4.3, typed in once more. */
Test(pci_device, layout_is_the_specifications)
{
	cr_expect(COMMON_DEVICE_FEATURE_SELECT == 0 && COMMON_DEVICE_FEATURE == 4);
	cr_expect(COMMON_DRIVER_FEATURE_SELECT == 8 && COMMON_DRIVER_FEATURE == 0xc);
	cr_expect(COMMON_CONFIG_VECTOR == 0x10 && COMMON_NUM_QUEUES == 0x12);
	cr_expect(COMMON_STATUS == 0x14 && COMMON_GENERATION == 0x15);
	cr_expect(COMMON_QUEUE_SELECT == 0x16 && COMMON_QUEUE_SIZE == 0x18);
	cr_expect(COMMON_QUEUE_VECTOR == 0x1a && COMMON_QUEUE_ENABLE == 0x1c);
	cr_expect(COMMON_QUEUE_NOTIFY_OFF == 0x1e && COMMON_QUEUE_DESC == 0x20);
	cr_expect(COMMON_QUEUE_DRIVER == 0x28 && COMMON_QUEUE_DEVICE == 0x30);
	cr_expect(COMMON_QUEUE_NOTIFY_DATA == 0x38 && COMMON_QUEUE_RESET == 0x3a);
	cr_expect(COMMON_SIZE == 0x3c);
}

/* ------------------------------------------------------------ features and status */

Test(pci_device, pc3_features_by_any_selector)
{
	uint64_t all = 0;

	open_device();
	for (uint32_t sel = 0; sel < 5; sel++) {
		SET(&w, DEVICE_FEATURE_SELECT, sel);
		cr_expect_eq(GET(&w, DEVICE_FEATURE_SELECT), sel);
		if (sel < 2)
			all |= (uint64_t)GET(&w, DEVICE_FEATURE) << 32 * sel;
		else
			cr_expect_eq(GET(&w, DEVICE_FEATURE), 0);
	}
	SET(&w, DEVICE_FEATURE_SELECT, UINT32_MAX);
	cr_expect_eq(GET(&w, DEVICE_FEATURE), 0);
	cr_expect_eq(all, FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT | FPH_F_STATS_VQ);
	cr_expect_eq(wire_negotiate(&w), 0xb);
	cr_expect_eq(fph_device_features(&w.l.dev), all);
}

Test(pci_device, pc3_reads_back_what_the_driver_accepted)
{
	open_device();
	SET(&w, STATUS, 3);
	SET(&w, DRIVER_FEATURE_SELECT, 0);
	SET(&w, DRIVER_FEATURE, 0x0a);
	SET(&w, DRIVER_FEATURE_SELECT, 1);
	cr_expect_eq(GET(&w, DRIVER_FEATURE), 0);
	SET(&w, DRIVER_FEATURE, 1);
	cr_expect_eq(GET(&w, DRIVER_FEATURE), 1);
	SET(&w, DRIVER_FEATURE_SELECT, 2);
	cr_expect_eq(GET(&w, DRIVER_FEATURE_SELECT), 2);
	cr_expect_eq(GET(&w, DRIVER_FEATURE), 0);
	SET(&w, DRIVER_FEATURE_SELECT, 0);
	cr_expect_eq(GET(&w, DRIVER_FEATURE), 0x0a);
	SET(&w, DRIVER_FEATURE, 0x08);
	cr_expect_eq(GET(&w, DRIVER_FEATURE), 0x08);
	SET(&w, STATUS, 0xb);
	cr_expect_eq(GET(&w, STATUS), 0xb);
	SET(&w, DRIVER_FEATURE, 0x0a);
	cr_expect_eq(GET(&w, DRIVER_FEATURE), 0x08, "G-15");
	cr_expect_eq(fph_device_features(&w.l.dev), FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT);
	SET(&w, STATUS, 0);
	SET(&w, DRIVER_FEATURE_SELECT, 0);
	cr_expect_eq(GET(&w, DRIVER_FEATURE), 0, "G-12");
}

/* G-10, study 50: what was not offered is not accepted, wherever it is written. */
Test(pci_device, g10_features_that_are_not_offered_fail_features_ok)
{
	static const struct {
		uint32_t sel, value;
	} foreign[] = {
		{ 0, 1u << 6 }, { 0, 1u << 31 }, { 1, 1u << 31 },
		{ 2, 1 },	{ 3, 1u << 31 }, { UINT32_MAX, UINT32_MAX },
	};

	for (unsigned i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		open_device();
		SET(&w, STATUS, 3);
		SET(&w, DRIVER_FEATURE_SELECT, 1);
		SET(&w, DRIVER_FEATURE, 1); /* VERSION_1 */
		SET(&w, DRIVER_FEATURE_SELECT, foreign[i].sel);
		SET(&w, DRIVER_FEATURE, foreign[i].value | (foreign[i].sel == 1));
		SET(&w, STATUS, 0xb);
		cr_expect_eq(GET(&w, STATUS), 3, "%u", i);
		/* Nothing of it is left after a reset. */
		cr_expect_eq(wire_negotiate(&w), 0xb, "%u", i);
	}
}

/* G-2; study 51 */
Test(pci_device, g2_only_0_resets)
{
	open_device();
	wire_negotiate(&w);
	SET(&w, STATUS, 0xf);
	SET(&w, STATUS, 1);
	cr_expect_eq(GET(&w, STATUS), 0xf);
	SET(&w, STATUS, 0x40 | 0xf);
	cr_expect_eq(GET(&w, STATUS), 0xf, "NEEDS_RESET is the device's");
	wire_write(&w, COMMON(STATUS), 2, 0);
	wire_write(&w, COMMON(STATUS), 4, 0);
	cr_expect_eq(GET(&w, STATUS), 0xf, "no wider write is one");
	SET(&w, STATUS, 0x80 | 0xf);
	cr_expect_eq(GET(&w, STATUS), 0x8f);
	SET(&w, STATUS, 0);
	cr_expect_eq(GET(&w, STATUS), 0);
}

Test(pci_device, pc5_reset_clears_queues_vectors_and_the_isr)
{
	open_device();
	wire_negotiate(&w);
	SET(&w, CONFIG_VECTOR, 1);
	for (uint16_t q = 0; q < 4; q++) {
		SET(&w, QUEUE_SELECT, q);
		SET(&w, QUEUE_VECTOR, 2);
		cr_expect_eq(wire_enable(&w, q), 1);
	}
	SET(&w, STATUS, 0xf);
	cr_assert_eq(fph_device_start(&w.l.dev), 0);
	cr_expect(w.high);
	SET(&w, STATUS, 0);
	cr_expect_eq(GET(&w, STATUS), 0);
	cr_expect_not(w.high);
	cr_expect_eq(wire_read(&w, ISR, 1), 0);
	cr_expect_eq(GET(&w, CONFIG_VECTOR), FPH_PCI_NO_VECTOR, "PC-7");
	cr_expect_eq(GET(&w, QUEUE_SELECT), 0);
	for (uint32_t q = 0; q < 4; q++) {
		SET(&w, QUEUE_SELECT, q);
		cr_expect_eq(GET(&w, QUEUE_ENABLE), 0);
		cr_expect_eq(GET(&w, QUEUE_RESET), 0);
		cr_expect_eq(GET(&w, QUEUE_SIZE), 256);
		cr_expect_eq(GET(&w, QUEUE_VECTOR), FPH_PCI_NO_VECTOR, "PC-7");
		cr_expect_eq(GET(&w, QUEUE_DESC), 0);
	}
	/* And addresses: what the next driver does not write is 0. */
	wire_negotiate(&w);
	SET(&w, QUEUE_SELECT, 3);
	SET(&w, QUEUE_ENABLE, 1);
	cr_expect_eq(GET(&w, QUEUE_ENABLE), 0);
	cr_expect(GET(&w, STATUS) & FPH_STATUS_NEEDS_RESET);
}

/* From outside: the function's reset takes configuration space with it. */
Test(pci_device, a_function_reset_is_power_on)
{
	struct fph_range out[4];
	unsigned char fresh[FPH_PCI_CONFIG_SIZE];

	wire_options(&w);
	w.driver_opts.vectors = 2;
	wire_device(&w);
	for (uint32_t at = 0; at < sizeof(fresh); at++)
		fresh[at] = (unsigned char)space(&w, at, 1);
	wire_driver(&w);
	set_space(&w, 0x10, 4, 0xe8000000);
	loop_attach(&w.l);
	loop_round(&w.l);
	loop_hint(&w.l, 0, 3);
	cr_assert_eq(fph_device_poll(&w.l.dev, out, 2), 2);
	fph_pci_device_reset(&w.device);
	cr_expect_neq(GET(&w, STATUS), 0, "R9: a batch is in hand");
	for (uint32_t at = 0; at < sizeof(fresh); at++)
		cr_expect_eq(space(&w, at, 1), fresh[at], "0x%x", at);
	cr_expect_eq(fph_pci_device_bar_address(&w.device, 0), UINT64_MAX);
	for (uint32_t v = 0; v < 4; v++)
		cr_expect_eq(fph_pci_device_bar_read(&w.device, 1, 16 * v + 12, 4), 1, "masked");
	cr_assert_eq(fph_device_ack(&w.l.dev), 0);
	cr_expect_eq(GET(&w, STATUS), 0);
	cr_assert_eq(fph_guest_reset(&w.l.guest), 0);
	cr_expect_eq(fph_guest_reclaim(&w.l.guest, out, 4), 3);
	wire_driver(&w);
	loop_attach(&w.l);
	wire_expect_round(&w);
}

/* ------------------------------------------------------------ the balloon's configuration */

static uint32_t config(uint32_t offset, uint32_t len)
{
	return wire_read(&w, CONFIG + offset, len);
}

/* C-3: before FEATURES_OK too; BC-2: little-endian, by any width of a field. */
Test(pci_device, c3_configuration_is_read_by_bytes_halves_and_words)
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
	/* PC-8: eight bytes are two halves. */
	cr_expect_eq(fph_pci_device_bar_read(&w.device, 0, CONFIG, 8), 0x04030201);
	cr_expect_eq(config(1, 2), 0);
	cr_expect_eq(config(1, 4), 0);
	cr_expect_eq(config(2, 4), 0);
	cr_expect_eq(config(0, 3), 0);
	cr_expect_eq(config(0, 0), 0);
}

static void set_config(uint32_t offset, uint32_t len, uint32_t value)
{
	wire_write(&w, CONFIG + offset, len, value);
}

/* Rows 41, 45; study 46, 47, 54 */
Test(pci_device, only_actual_is_the_drivers_to_write)
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
	set_config(FPH_CONFIG_ACTUAL + 1, 4, 9);
	set_config(FPH_CONFIG_NUM_PAGES, 4, 9);
	set_config(FPH_CONFIG_COMMAND_ID, 4, 9);
	set_config(FPH_CONFIG_POISON, 4, 9);
	set_config(16, 4, 9);
	set_config(0xffc, 4, 9);
	cr_expect_eq(fph_device_actual(&w.l.dev), 0x01020304);
	cr_expect_eq(config(0, 4), 0);
	cr_expect_eq(config(8, 4), 0);
	cr_expect_eq(fph_device_poison(&w.l.dev), 0);
}

/* C-4: whoever reads in two pieces across a change sees two generations. */
Test(pci_device, c4_generation_tells_that_a_read_was_torn)
{
	uint32_t before, torn;

	open_device();
	wire_negotiate(&w);
	wire_enable(&w, 3);
	SET(&w, STATUS, 0xf);
	before = GET(&w, GENERATION);
	for (unsigned i = 0; i < 10; i++) {
		config(0, 4);
		config(8, 4);
	}
	cr_expect_eq(GET(&w, GENERATION), before, "nothing changed");

	config(0, 4);
	cr_assert_eq(fph_device_start(&w.l.dev), 0);
	config(8, 4);
	torn = GET(&w, GENERATION);
	cr_expect_neq(torn, before);

	/* There and back again, with one look in between. */
	config(8, 2);
	cr_assert_eq(fph_device_set_num_pages(&w.l.dev, 7), 0);
	config(0, 4);
	cr_assert_eq(fph_device_set_num_pages(&w.l.dev, 0), 0);
	cr_expect_neq(GET(&w, GENERATION), torn);
}

Test(pci_device, c4_generation_goes_on_past_its_eight_bits)
{
	uint32_t last;

	open_device();
	last = GET(&w, GENERATION);
	for (uint32_t i = 1; i <= 600; i++) {
		uint32_t now;

		cr_assert_eq(fph_device_set_num_pages(&w.l.dev, i), 0);
		now = GET(&w, GENERATION);
		cr_assert_eq(now, (last + 1) & 0xff);
		last = now;
	}
}
