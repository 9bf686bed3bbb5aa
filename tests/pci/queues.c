/* SPDX-License-Identifier: MIT */
/* The device end: queues.  virtio 1.4, 4.1.4.3 and 4.1.5.1 */
#include "wire.h"
#include <criterion/criterion.h>
#include <errno.h>

static struct wire w;

static void negotiated(uint64_t offer)
{
	wire_options(&w);
	w.l.dev_opts.offer = offer;
	wire_device(&w);
	cr_assert_eq(wire_negotiate(&w), 0xb);
}

/* Row 43; study 49 */
Test(pci_queues, pc5_a_queue_that_is_not_there_reads_0_and_takes_nothing)
{
	static const uint32_t none[] = { 4, 5, 8, 255, 0xffff };

	negotiated(0);
	cr_expect_eq(GET(&w, NUM_QUEUES), 4);
	for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		SET(&w, QUEUE_SELECT, none[i]);
		cr_expect_eq(GET(&w, QUEUE_SELECT), none[i]);
		SET(&w, QUEUE_SIZE, 16);
		SET(&w, QUEUE_VECTOR, 0);
		SET(&w, QUEUE_DESC, (uint32_t)RAM_LOW);
		cr_expect_eq(GET(&w, QUEUE_SIZE), 0, "0x%x", none[i]);
		cr_expect_eq(GET(&w, QUEUE_VECTOR), FPH_PCI_NO_VECTOR, "PC-7");
		cr_expect_eq(GET(&w, QUEUE_DESC), 0);
		cr_expect_eq(GET(&w, QUEUE_NOTIFY_OFF), 0);
		SET(&w, QUEUE_ENABLE, 1);
		cr_expect_eq(GET(&w, QUEUE_ENABLE), 0, "0x%x", none[i]);
		SET(&w, QUEUE_RESET, 1);
		cr_expect_eq(GET(&w, QUEUE_RESET), 0);
	}
	for (uint16_t q = 0; q < 4; q++) {
		SET(&w, QUEUE_SELECT, q);
		cr_expect_eq(GET(&w, QUEUE_SIZE), 256);
		cr_expect_eq(GET(&w, QUEUE_ENABLE), 0);
		cr_expect_eq(GET(&w, QUEUE_NOTIFY_OFF), q);
	}
	cr_expect_eq(GET(&w, STATUS), 0xb, "and no fault of anybody");
}

Test(pci_queues, num_queues_counts_what_is_offered)
{
	negotiated(FPH_F_PAGE_REPORTING);
	cr_expect_eq(GET(&w, NUM_QUEUES), 5);
	SET(&w, QUEUE_SELECT, 4);
	cr_expect_eq(GET(&w, QUEUE_SIZE), 256);
	cr_expect_eq(wire_enable(&w, 4), 1);
}

/* PC-5: what the driver writes is what it reads, until the queue is enabled. */
Test(pci_queues, pc5_a_queue_keeps_what_was_written)
{
	static const struct {
		uint32_t field, value;
	} fields[] = {
		{ COMMON_QUEUE_SIZE, 64 },	     { COMMON_QUEUE_VECTOR, 3 },
		{ COMMON_QUEUE_DESC, 0x11111110 },   { COMMON_QUEUE_DESC + 4, 0x22222222 },
		{ COMMON_QUEUE_DRIVER, 0x33333332 }, { COMMON_QUEUE_DRIVER + 4, 0x44444444 },
		{ COMMON_QUEUE_DEVICE, 0x55555554 }, { COMMON_QUEUE_DEVICE + 4, 0x66666666 },
	};
	const unsigned n = sizeof(fields) / sizeof(fields[0]);

	negotiated(0);
	for (uint32_t q = 0; q < 2; q++) {
		SET(&w, QUEUE_SELECT, q);
		for (unsigned i = 0; i < n; i++)
			wire_set(&w, fields[i].field, fields[i].value - q);
	}
	for (uint32_t q = 0; q < 2; q++) {
		SET(&w, QUEUE_SELECT, q);
		for (unsigned i = 0; i < n; i++)
			cr_expect_eq(wire_get(&w, fields[i].field), fields[i].value - q,
				     "0x%x of %u", fields[i].field, q);
	}
	SET(&w, QUEUE_SIZE, 0);
	cr_expect_eq(GET(&w, QUEUE_SIZE), 0);
}

/* PC-10, M-7; study 48, 55: what is written while it is enabled has no effect. */
Test(pci_queues, pc10_placement_stands_while_the_queue_is_enabled)
{
	static const uint32_t fields[] = {
		COMMON_QUEUE_SIZE,	 COMMON_QUEUE_DESC,	  COMMON_QUEUE_DESC + 4,
		COMMON_QUEUE_DRIVER,	 COMMON_QUEUE_DRIVER + 4, COMMON_QUEUE_DEVICE,
		COMMON_QUEUE_DEVICE + 4, COMMON_QUEUE_NOTIFY_OFF, COMMON_QUEUE_NOTIFY_DATA,
	};
	const unsigned n = sizeof(fields) / sizeof(fields[0]);

	wire_up(&w);
	for (uint32_t q = 2; q < 4; q++) {
		uint32_t before[sizeof(fields) / sizeof(fields[0])];

		SET(&w, QUEUE_SELECT, q);
		for (unsigned i = 0; i < n; i++)
			before[i] = wire_get(&w, fields[i]);
		for (unsigned i = 0; i < n; i++)
			wire_set(&w, fields[i], 0xfffffff0);
		for (unsigned i = 0; i < n; i++)
			cr_expect_eq(wire_get(&w, fields[i]), before[i], "0x%x", fields[i]);
		SET(&w, QUEUE_ENABLE, 0);
		SET(&w, QUEUE_ENABLE, 2);
		SET(&w, QUEUE_ENABLE, 0xffff);
		cr_expect_eq(GET(&w, QUEUE_ENABLE), 1, "PC-10: 0 takes nothing back");
	}
	wire_expect_round(&w);
}

Test(pci_queues, pc10_only_1_enables)
{
	static const uint32_t values[] = { 0, 2, 0x100, 0xffff };

	negotiated(0);
	SET(&w, QUEUE_SELECT, 3);
	SET(&w, QUEUE_DESC, (uint32_t)RAM_LOW);
	SET(&w, QUEUE_DRIVER, (uint32_t)RAM_LOW + 0x4000);
	SET(&w, QUEUE_DEVICE, (uint32_t)RAM_LOW + 0x8000);
	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		SET(&w, QUEUE_ENABLE, values[i]);
		cr_expect_eq(GET(&w, QUEUE_ENABLE), 0, "0x%x", values[i]);
	}
	/* Two bytes are two, whatever a trap hands over. */
	fph_pci_device_bar_write(&w.device, 0, COMMON(QUEUE_ENABLE), 2, 0xfff0001);
	cr_expect_eq(GET(&w, QUEUE_ENABLE), 1);
}

/* PC-5: a driver that writes no size takes the one that is shown. */
Test(pci_queues, pc5_a_queue_of_the_size_that_was_shown)
{
	uint32_t at = (uint32_t)RAM_LOW + 0x40000;

	negotiated(0);
	SET(&w, QUEUE_SELECT, 3);
	SET(&w, QUEUE_DESC, at);
	SET(&w, QUEUE_DRIVER, at + 0x4000);
	SET(&w, QUEUE_DEVICE, at + 0x8000);
	SET(&w, QUEUE_ENABLE, 1);
	cr_expect_eq(GET(&w, QUEUE_ENABLE), 1);
	cr_expect_eq(GET(&w, QUEUE_SIZE), 256);
}

/* Rows 14, 16, 17: refused at enable, and the driver sees it. */
Test(pci_queues, a_queue_that_cannot_be_is_not_enabled)
{
	static const struct {
		uint32_t field, value;
		const char *what;
	} bad[] = {
		{ COMMON_QUEUE_SIZE, 0, "size 0" },
		{ COMMON_QUEUE_SIZE, 15, "size 15" },
		{ COMMON_QUEUE_SIZE, 512, "above max" },
		{ COMMON_QUEUE_SIZE, 0xffff, "size 65535" },
		{ COMMON_QUEUE_DESC, (uint32_t)RAM_LOW + 8, "misaligned" },
		{ COMMON_QUEUE_DESC, (uint32_t)RAM_HOLE, "in no memory" },
		{ COMMON_QUEUE_DEVICE + 4, 0xffffffff, "above all" },
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		negotiated(0);
		SET(&w, QUEUE_SELECT, 3);
		SET(&w, QUEUE_SIZE, 16);
		SET(&w, QUEUE_DESC, (uint32_t)RAM_LOW);
		SET(&w, QUEUE_DRIVER, (uint32_t)RAM_LOW + 0x4000);
		SET(&w, QUEUE_DEVICE, (uint32_t)RAM_LOW + 0x8000);
		wire_set(&w, bad[i].field, bad[i].value);
		SET(&w, QUEUE_ENABLE, 1);
		cr_expect_eq(GET(&w, QUEUE_ENABLE), 0, "%s", bad[i].what);
		cr_expect(fph_device_fault(&w.l.dev)->rule, "%s", bad[i].what);
		cr_expect(GET(&w, STATUS) & FPH_STATUS_NEEDS_RESET, "G-5");
		/* And it works after a reset. */
		wire_driver(&w);
		loop_attach(&w.l);
		wire_expect_round(&w);
	}
}

/* ------------------------------------------------------------ queue_reset */

/* PC-5, M-3: a queue that was reset can be had again. */
Test(pci_queues, pc5_a_queue_is_reset_by_its_own_register)
{
	negotiated(FPH_F_RING_RESET);
	SET(&w, QUEUE_SELECT, 3);
	SET(&w, QUEUE_VECTOR, 2);
	cr_expect_eq(wire_enable(&w, 3), 1);
	cr_expect_eq(GET(&w, QUEUE_RESET), 0);
	SET(&w, STATUS, 0xf);
	SET(&w, QUEUE_RESET, 1);
	cr_expect_eq(GET(&w, QUEUE_RESET), 0);
	cr_expect_eq(GET(&w, QUEUE_ENABLE), 0);
	cr_expect_eq(GET(&w, QUEUE_SIZE), 256, "as after a reset of the device");
	cr_expect_eq(GET(&w, QUEUE_VECTOR), FPH_PCI_NO_VECTOR);
	cr_expect_leq(fph_device_poll(&w.l.dev, &(struct fph_range){ 0, 0 }, 1), 0);
	cr_expect_eq(wire_enable(&w, 3), 1);
	cr_expect_eq(GET(&w, QUEUE_RESET), 0);
}

/* M-3: 1 while it lasts.  Row 47: in mid-round. */
Test(pci_queues, pc5_queue_reset_reads_1_until_the_batch_in_hand_is_let_go)
{
	uint64_t at = RAM_LOW + 0x40000;
	struct fph_range out[4];

	negotiated(FPH_F_RING_RESET);
	wire_enable(&w, 3);
	SET(&w, STATUS, 0xf);
	cr_assert_eq(fph_device_start(&w.l.dev), 0);
	/* START at descriptor 0, a hint at 1. */
	ram_st32(&w.l.ram, RAM_HIGH, fph_device_command_id(&w.l.dev));
	ram_st64(&w.l.ram, at, RAM_HIGH);
	ram_st32(&w.l.ram, at + 8, 4);
	ram_st64(&w.l.ram, at + 16, RAM_HIGH + 0x1000);
	ram_st32(&w.l.ram, at + 24, 0x1000);
	ram_st16(&w.l.ram, at + 28, 2);
	ram_st16(&w.l.ram, at + 0x4004, 0);
	ram_st16(&w.l.ram, at + 0x4006, 1);
	ram_st16(&w.l.ram, at + 0x4002, 2);
	wire_write(&w, FPH_PCI_NOTIFY + 3 * FPH_PCI_NOTIFY_MUL, 2, 3);
	cr_assert_eq(fph_device_poll(&w.l.dev, out, 4), 1);

	SET(&w, QUEUE_RESET, 0);
	SET(&w, QUEUE_RESET, 2);
	cr_expect_eq(GET(&w, QUEUE_RESET), 0, "only 1 asks for it");
	SET(&w, QUEUE_RESET, 1);
	cr_expect_eq(GET(&w, QUEUE_RESET), 1);
	cr_expect_eq(GET(&w, QUEUE_ENABLE), 1);
	cr_assert_eq(fph_device_ack(&w.l.dev), 0);
	cr_expect_eq(GET(&w, QUEUE_RESET), 0);
	cr_expect_eq(GET(&w, QUEUE_ENABLE), 0);
	cr_expect_eq(wire_enable(&w, 3), 1);
	cr_expect_eq(GET(&w, QUEUE_RESET), 0, "and after enable");
}

Test(pci_queues, m3_queue_reset_that_was_not_negotiated_does_nothing)
{
	wire_up(&w);
	SET(&w, QUEUE_SELECT, 3);
	SET(&w, QUEUE_RESET, 1);
	cr_expect_eq(GET(&w, QUEUE_RESET), 0);
	cr_expect_eq(GET(&w, QUEUE_ENABLE), 1);
	wire_expect_round(&w);
}

/* The same by the driver end. */
Test(pci_queues, pc5_the_driver_end_stops_a_queue_and_places_it_again)
{
	struct fph_vq_place place = { RAM_LOW + 0x40000, RAM_LOW + 0x44000, RAM_LOW + 0x48000, 16,
				      0 };
	struct fph_bus bus;
	uint16_t index = 7;

	wire_options(&w);
	w.l.dev_opts.offer = FPH_F_RING_RESET;
	w.driver_opts.vectors = 2;
	wire_device(&w);
	wire_driver(&w);
	bus = fph_pci_driver_bus(&w.driver);
	cr_assert_eq(bus.ops->set_status(bus.ctx, 0), 0);
	cr_assert_eq(bus.ops->set_status(bus.ctx, 3), 0);
	cr_assert_eq(bus.ops->accept(bus.ctx, FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT |
						      FPH_F_STATS_VQ | FPH_F_RING_RESET),
		     0);
	cr_assert_eq(bus.ops->set_status(bus.ctx, 0xb), 0);
	for (unsigned i = 0; i < 3; i++) {
		cr_expect_eq(bus.ops->vq_enable(bus.ctx, 3, &place), 0);
		cr_expect_eq(bus.ops->vq_enable(bus.ctx, 3, &place), -EPROTO, "twice");
		cr_expect_eq(bus.ops->vq_disable(bus.ctx, 3, &index), 0);
		cr_expect_eq(index, 0);
	}
}

/* ------------------------------------------------------------ doorbells */

static void ring(uint32_t offset, uint32_t len)
{
	wire_write(&w, FPH_PCI_NOTIFY + offset, len, 3);
}

/* G-4, PC-4; row 25: doorbells that make no sense. */
Test(pci_queues, pc4_doorbells_out_of_place_are_ignored)
{
	negotiated(0);
	wire_enable(&w, 3);
	ring(12, 2);
	cr_expect_eq(w.l.doorbells, 0, "before DRIVER_OK");
	SET(&w, STATUS, 0xf);
	ring(0, 2);
	ring(4, 2);
	ring(10, 2);
	ring(14, 2);
	ring(12, 1);
	ring(13, 1);
	ring(12, 4);
	ring(12 * 4, 2);
	ring(0xffe, 2);
	fph_pci_device_notify(&w.device, UINT16_MAX);
	cr_expect_eq(w.l.doorbells, 0);
	cr_expect_eq(wire_read(&w, FPH_PCI_NOTIFY + 12, 2), 0, "there is nothing to read");
	ring(12, 2);
	cr_expect_eq(w.l.doorbells, 1);
	fph_pci_device_notify(&w.device, 3);
	cr_expect_eq(w.l.doorbells, 2);
}

/* N-1: with the feature a doorbell is 32 bits, without it 16. */
Test(pci_queues, n1_doorbells_have_the_width_that_was_negotiated)
{
	for (unsigned data = 0; data < 2; data++) {
		wire_options(&w);
		w.l.dev_opts.offer = data ? FPH_F_NOTIFICATION_DATA : 0;
		wire_device(&w);
		wire_negotiate(&w);
		wire_enable(&w, 3);
		SET(&w, STATUS, 0xf);
		wire_write(&w, FPH_PCI_NOTIFY + 3 * FPH_PCI_NOTIFY_MUL, data ? 2 : 4, 3);
		cr_expect_eq(w.l.doorbells, 0);
		wire_write(&w, FPH_PCI_NOTIFY + 3 * FPH_PCI_NOTIFY_MUL, data ? 4 : 2, 0xfff00007);
		cr_expect_eq(w.l.doorbells, 1, "by where it stands, not by what it says");
	}
}
