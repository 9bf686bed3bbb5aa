/* SPDX-License-Identifier: MIT */
/* The driver end, by what it does with registers that answer what they like. */
#include "wire.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct wire w;
static struct fph_bus bus;

/* Registers that only store. */
static uint32_t file[FPH_MMIO_SIZE / 4];

static int from_file(struct wire *wire, bool write, uint32_t offset, uint32_t *value)
{
	(void)wire;
	if (write)
		file[offset / 4] = *value;
	else
		*value = file[offset / 4];
	return 1;
}

static void open_file(void)
{
	wire_options(&w);
	w.before = from_file;
	memset(file, 0, sizeof(file));
	file[FPH_MMIO_MAGIC / 4] = FPH_MMIO_MAGIC_VALUE;
	file[FPH_MMIO_VERSION / 4] = 2;
	file[FPH_MMIO_DEVICE_ID / 4] = 5;
	bus = fph_mmio_driver_bus(&w.driver);
}

static void open_driver(void)
{
	open_file();
	cr_assert_eq(fph_mmio_driver_init(&w.driver, &w.driver_opts), 0);
	w.logged = 0;
}

#define BUS(verb, ...) bus.ops->verb(bus.ctx, __VA_ARGS__)

/* M-5: not one access more than it takes. */
Test(mmio_driver, m5_what_is_no_balloon_is_left_alone)
{
	static const struct {
		uint32_t offset, value;
		unsigned accesses;
	} others[] = {
		{FPH_MMIO_MAGIC, 0, 1},		 {FPH_MMIO_MAGIC, 0xffffffff, 1},
		{FPH_MMIO_MAGIC, 0x76697274, 1}, {FPH_MMIO_VERSION, 1, 2},
		{FPH_MMIO_VERSION, 3, 2},	 {FPH_MMIO_DEVICE_ID, 0, 3},
		{FPH_MMIO_DEVICE_ID, 1, 3},
	};

	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		open_file();
		file[others[i].offset / 4] = others[i].value;
		cr_expect_eq(fph_mmio_driver_init(&w.driver, &w.driver_opts), -ENODEV, "%u", i);
		cr_expect_eq(w.logged, others[i].accesses, "%u", i);
		for (unsigned k = 0; k < w.logged; k++)
			cr_expect_not(w.log[k].write);
	}
}

Test(mmio_driver, options_are_judged)
{
	struct fph_mmio_driver_opts good;

	open_file();
	good = w.driver_opts;
	w.driver_opts.read = NULL;
	cr_expect_eq(fph_mmio_driver_init(&w.driver, &w.driver_opts), -EINVAL);
	w.driver_opts = good;
	w.driver_opts.write = NULL;
	cr_expect_eq(fph_mmio_driver_init(&w.driver, &w.driver_opts), -EINVAL);
	w.driver_opts = good;
	w.driver_opts.registers = file;
	cr_expect_eq(fph_mmio_driver_init(&w.driver, &w.driver_opts), -EINVAL, "both");
	w.driver_opts.read = NULL;
	w.driver_opts.write = NULL;
	cr_expect_eq(fph_mmio_driver_init(&w.driver, &w.driver_opts), 0);
	w.driver_opts.registers = (unsigned char *)file + 2;
	cr_expect_eq(fph_mmio_driver_init(&w.driver, &w.driver_opts), -EINVAL, "misaligned");
	w.driver_opts.size = 3;
	cr_expect_eq(fph_mmio_driver_init(&w.driver, &w.driver_opts), -EINVAL);
}

/* Mapped registers and hooks are two ways to the same accesses. */
Test(mmio_driver, mapped_registers_are_read_and_written)
{
	uint64_t offered = 0;
	uint8_t status = 0;
	uint32_t irq = 0;

	open_file();
	w.driver_opts.registers = file;
	w.driver_opts.read = NULL;
	w.driver_opts.write = NULL;
	cr_assert_eq(fph_mmio_driver_init(&w.driver, &w.driver_opts), 0);
	file[FPH_MMIO_DEVICE_FEATURES / 4] = 0xa5;
	file[FPH_MMIO_INTERRUPT_STATUS / 4] = 2;
	cr_expect_eq(BUS(features, &offered), 0);
	cr_expect_eq(offered, UINT64_C(0xa5000000a5));
	cr_expect_eq(BUS(set_status, 7), 0);
	cr_expect_eq(file[FPH_MMIO_STATUS / 4], 7);
	cr_expect_eq(BUS(status, &status), 0);
	cr_expect_eq(status, 7);
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, FPH_IRQ_CONFIG);
	cr_expect_eq(file[FPH_MMIO_INTERRUPT_ACK / 4], 2);
	cr_expect_eq(w.logged, 0);
}

/* M-8 */
Test(mmio_driver, m8_acknowledges_what_it_handles_and_nothing_else)
{
	uint32_t irq = 99;

	open_driver();
	file[FPH_MMIO_INTERRUPT_STATUS / 4] = 0xfffffffc;
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, 0);
	cr_expect_eq(w.logged, 1, "nothing is acknowledged");
	file[FPH_MMIO_INTERRUPT_STATUS / 4] = 0xfffffffd;
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, FPH_IRQ_QUEUE);
	cr_expect_eq(file[FPH_MMIO_INTERRUPT_ACK / 4], 1);
}

/* M-6, M-7 */
Test(mmio_driver, m7_places_no_queue_that_is_ready_or_too_small)
{
	struct fph_vq_place place = {UINT64_C(0x1122334400), UINT64_C(0x5566778800),
				     UINT64_C(0x99aabbcc00), 64, 0};

	open_driver();
	file[FPH_MMIO_QUEUE_SIZE_MAX / 4] = 64;
	file[FPH_MMIO_QUEUE_READY / 4] = 1;
	cr_expect_eq(BUS(vq_enable, 3, &place), -EPROTO);
	file[FPH_MMIO_QUEUE_READY / 4] = 0;
	file[FPH_MMIO_QUEUE_SIZE_MAX / 4] = 63;
	cr_expect_eq(BUS(vq_enable, 3, &place), -EPROTO);
	cr_expect_eq(file[FPH_MMIO_QUEUE_SIZE / 4], 0, "nothing was written");
	place.index = 1;
	cr_expect_eq(BUS(vq_enable, 3, &place), -EINVAL);
	place.index = 0;
	file[FPH_MMIO_QUEUE_SIZE_MAX / 4] = 64;
	cr_expect_eq(BUS(vq_enable, 3, &place), 0);
	cr_expect_eq(file[FPH_MMIO_QUEUE_SEL / 4], 3);
	cr_expect_eq(file[FPH_MMIO_QUEUE_SIZE / 4], 64);
	cr_expect_eq(file[FPH_MMIO_QUEUE_DESC_LOW / 4], 0x22334400);
	cr_expect_eq(file[FPH_MMIO_QUEUE_DESC_HIGH / 4], 0x11);
	cr_expect_eq(file[FPH_MMIO_QUEUE_DRIVER_LOW / 4], 0x66778800);
	cr_expect_eq(file[FPH_MMIO_QUEUE_DRIVER_HIGH / 4], 0x55);
	cr_expect_eq(file[FPH_MMIO_QUEUE_DEVICE_LOW / 4], 0xaabbcc00);
	cr_expect_eq(file[FPH_MMIO_QUEUE_DEVICE_HIGH / 4], 0x99);
	cr_expect_eq(file[FPH_MMIO_QUEUE_READY / 4], 1);
}

/* A register that never takes the value. */
static uint32_t stuck_offset, stuck_value;

static int stuck(struct wire *wire, bool write, uint32_t offset, uint32_t *value)
{
	if (write || offset != stuck_offset)
		return from_file(wire, write, offset, value);
	*value = stuck_value;
	return 1;
}

Test(mmio_driver, a_queue_that_the_device_does_not_take_is_an_error)
{
	struct fph_vq_place place = {0x1000, 0x2000, 0x3000, 16, 0};

	open_driver();
	w.before = stuck;
	stuck_offset = FPH_MMIO_QUEUE_READY;
	stuck_value = 0;
	file[FPH_MMIO_QUEUE_SIZE_MAX / 4] = 16;
	cr_expect_eq(BUS(vq_enable, 3, &place), -EPROTO);
}

/* M-7, M-9: read back, and not for ever. */
Test(mmio_driver, m7_m9_r2_a_queue_that_does_not_stop_is_busy)
{
	uint16_t index = 7;

	open_driver();
	w.before = stuck;
	stuck_offset = FPH_MMIO_QUEUE_READY;
	stuck_value = 1;
	cr_expect_eq(BUS(vq_disable, 2, &index), -EBUSY);
	cr_expect_eq(w.pauses, 10, "tries");
	cr_expect_eq(w.logged, 12);
	stuck_value = 0;
	cr_expect_eq(BUS(vq_disable, 2, &index), 0);
	cr_expect_eq(index, 0);

	cr_expect_eq(BUS(accept, FPH_F_VERSION_1 | FPH_F_RING_RESET), 0);
	stuck_offset = FPH_MMIO_QUEUE_RESET;
	stuck_value = 1;
	cr_expect_eq(BUS(vq_disable, 2, &index), -EBUSY);
	stuck_value = 0;
	w.logged = 0;
	cr_expect_eq(BUS(vq_disable, 2, &index), 0);
	cr_expect(w.log[1].write && w.log[1].offset == FPH_MMIO_QUEUE_RESET &&
		  w.log[1].value == 1);
}

/* Row 58: a generation that never settles. */
static int restless(struct wire *wire, bool write, uint32_t offset, uint32_t *value)
{
	if (write || offset != FPH_MMIO_GENERATION)
		return from_file(wire, write, offset, value);
	*value = wire->n ? wire->n-- : 0;
	return 1;
}

Test(mmio_driver, c1_reads_until_the_generation_settles)
{
	unsigned char bytes[12];

	open_driver();
	w.before = restless;
	file[FPH_MMIO_CONFIG / 4] = 0x04030201;
	file[FPH_MMIO_CONFIG / 4 + 1] = 0x08070605;
	file[FPH_MMIO_CONFIG / 4 + 2] = 0x0c0b0a09;
	w.n = 4;
	cr_expect_eq(BUS(config, 0, bytes, 12), 0);
	for (unsigned i = 0; i < 12; i++)
		cr_expect_eq(bytes[i], i + 1);
	cr_expect_eq(w.pauses, 4);
	w.n = 1000;
	w.logged = 0;
	cr_expect_eq(BUS(config, 0, bytes, 12), -EAGAIN);
	cr_expect_eq(w.logged, 1 + 10 * 4, "ten tries and no more");
	w.n = 0;
	cr_expect_eq(BUS(config, 5, bytes, 6), 0);
	for (unsigned i = 0; i < 6; i++)
		cr_expect_eq(bytes[i], i + 6, "off the words' edges");
	cr_expect_eq(BUS(set_config, 4, bytes, 3), -EINVAL);
	cr_expect_eq(BUS(set_config, 2, bytes, 4), -EINVAL);
}

/* The guest role above: it looks again, and then sees what is true. */
static int restless_device(struct wire *wire, bool write, uint32_t offset, uint32_t *value)
{
	if (write || offset != FPH_MMIO_GENERATION || !wire->n)
		return 0;
	*value = wire->n--;
	return 1;
}

Test(mmio_driver, c1_a_guest_outlives_a_generation_that_does_not_settle)
{
	wire_up(&w);
	w.before = restless_device;
	w.n = 100;
	cr_assert_eq(fph_device_start(&w.l.dev), 0);
	cr_expect_eq(loop_step(&w.l), -EAGAIN);
	cr_expect_eq(loop_step(&w.l), -EAGAIN);
	w.n = 0;
	cr_expect_eq(loop_step(&w.l), FPH_GUEST_FEED);
	cr_assert_eq(fph_device_stop(&w.l.dev), 0);
	loop_step(&w.l);
	wire_expect_round(&w);
}

/* Rows 53 and 55: sizes that no queue has, a status that never reads 0. */
Test(mmio_driver, a_device_that_answers_ones_is_no_device)
{
	uint16_t max = 0;

	open_driver();
	memset(file, 0xff, sizeof(file));
	cr_expect_eq(BUS(vq_max, 0, &max), 0);
	cr_expect_eq(max, UINT16_MAX);
	w.before = stuck;
	stuck_offset = FPH_MMIO_STATUS;
	stuck_value = 0xff;
	cr_assert_eq(fph_guest_init(&w.l.guest, &w.l.guest_opts), 0);
	for (unsigned i = 0; i < 10; i++)
		cr_expect_eq(fph_guest_attach(&w.l.guest), -EAGAIN);
}
