/* SPDX-License-Identifier: MIT */
/* The device end: queue registers.  virtio 1.4, 4.2.2 and 4.2.3.2 */
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
Test(mmio_queues, queue_sel_out_of_range_reads_0_and_writes_nothing)
{
	static const uint32_t none[] = {4, 5, 8, 255, 0xffff, 0x10000, 0x10003, UINT32_MAX};

	negotiated(0);
	for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		wire_write(&w, FPH_MMIO_QUEUE_SEL, none[i]);
		cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_SIZE_MAX), 0, "0x%x", none[i]);
		cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 0);
		cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_RESET), 0);
		wire_write(&w, FPH_MMIO_QUEUE_SIZE, 16);
		wire_write(&w, FPH_MMIO_QUEUE_DESC_LOW, RAM_LOW);
		wire_write(&w, FPH_MMIO_QUEUE_READY, 1);
		cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 0, "0x%x", none[i]);
		wire_write(&w, FPH_MMIO_QUEUE_RESET, 1);
		wire_write(&w, FPH_MMIO_QUEUE_READY, 0);
		wire_write(&w, FPH_MMIO_QUEUE_NOTIFY, none[i]);
	}
	for (uint16_t q = 0; q < 4; q++) {
		wire_write(&w, FPH_MMIO_QUEUE_SEL, q);
		cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_SIZE_MAX), 256);
		cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 0);
	}
	cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 0xb, "and no fault of anybody");
}

/* M-7; study 48, 55: what is written while it is ready has no effect, then or later. */
Test(mmio_queues, m7_placement_stands_while_the_queue_is_ready)
{
	static const uint32_t fields[] = {
		FPH_MMIO_QUEUE_SIZE,	    FPH_MMIO_QUEUE_DESC_LOW,
		FPH_MMIO_QUEUE_DESC_HIGH,   FPH_MMIO_QUEUE_DRIVER_LOW,
		FPH_MMIO_QUEUE_DRIVER_HIGH, FPH_MMIO_QUEUE_DEVICE_LOW,
		FPH_MMIO_QUEUE_DEVICE_HIGH,
	};

	wire_up(&w);
	for (uint32_t q = 2; q < 4; q++) {
		wire_write(&w, FPH_MMIO_QUEUE_SEL, q);
		for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
			wire_write(&w, fields[i], 0xfffffff0);
		wire_write(&w, FPH_MMIO_QUEUE_READY, 1);
		wire_write(&w, FPH_MMIO_QUEUE_READY, 2);
		wire_write(&w, FPH_MMIO_QUEUE_READY, UINT32_MAX);
		cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 1);
	}
	wire_expect_round(&w);
}

Test(mmio_queues, a_half_written_address_is_used_only_at_enable)
{
	negotiated(0);
	wire_write(&w, FPH_MMIO_QUEUE_SEL, 3);
	wire_write(&w, FPH_MMIO_QUEUE_DESC_HIGH, 0xffffffff);
	wire_write(&w, FPH_MMIO_QUEUE_DRIVER_HIGH, 0xffffffff);
	wire_write(&w, FPH_MMIO_QUEUE_DEVICE_HIGH, 0xffffffff);
	wire_write(&w, FPH_MMIO_QUEUE_DESC_HIGH, 0);
	wire_write(&w, FPH_MMIO_QUEUE_DRIVER_HIGH, 0);
	wire_write(&w, FPH_MMIO_QUEUE_DEVICE_HIGH, 0);
	cr_expect_eq(wire_enable(&w, 3), 1);
	cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 0xb);
}

Test(mmio_queues, each_queue_has_registers_of_its_own)
{
	negotiated(0);
	cr_expect_eq(wire_enable(&w, 2), 1);
	cr_expect_eq(wire_enable(&w, 3), 1);
	wire_write(&w, FPH_MMIO_QUEUE_SEL, 2);
	wire_write(&w, FPH_MMIO_QUEUE_READY, 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 0);
	wire_write(&w, FPH_MMIO_QUEUE_SEL, 3);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 1);
}

/* Rows 14, 16, 17: refused at enable, and the driver sees it. */
Test(mmio_queues, a_queue_that_cannot_be_is_not_ready)
{
	static const struct {
		uint32_t offset, value;
		const char *what;
	} bad[] = {
		{FPH_MMIO_QUEUE_SIZE, 0, "size 0"},
		{FPH_MMIO_QUEUE_SIZE, 15, "size 15"},
		{FPH_MMIO_QUEUE_SIZE, 512, "above max"},
		{FPH_MMIO_QUEUE_SIZE, 0x10000, "size 65536"},
		{FPH_MMIO_QUEUE_SIZE, 0x10010, "size 65552"},
		{FPH_MMIO_QUEUE_SIZE, UINT32_MAX, "size 2^32 - 1"},
		{FPH_MMIO_QUEUE_DESC_LOW, (uint32_t)RAM_LOW + 8, "misaligned"},
		{FPH_MMIO_QUEUE_DESC_LOW, (uint32_t)RAM_HOLE, "in no memory"},
		{FPH_MMIO_QUEUE_DEVICE_HIGH, 0xffffffff, "above all"},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		negotiated(0);
		cr_expect_eq(wire_enable(&w, 3), 1);
		wire_write(&w, FPH_MMIO_QUEUE_READY, 0);
		cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 0);
		wire_write(&w, FPH_MMIO_QUEUE_SIZE, 16);
		wire_write(&w, FPH_MMIO_QUEUE_DESC_LOW, (uint32_t)RAM_LOW);
		wire_write(&w, FPH_MMIO_QUEUE_DRIVER_LOW, (uint32_t)RAM_LOW + 0x4000);
		wire_write(&w, FPH_MMIO_QUEUE_DEVICE_LOW, (uint32_t)RAM_LOW + 0x8000);
		wire_write(&w, bad[i].offset, bad[i].value);
		wire_write(&w, FPH_MMIO_QUEUE_READY, 1);
		cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 0, "%s", bad[i].what);
		cr_expect(fph_device_fault(&w.l.dev)->rule, "%s", bad[i].what);
		cr_expect(wire_read(&w, FPH_MMIO_STATUS) & FPH_STATUS_NEEDS_RESET, "G-5");
		/* And it works after a reset. */
		wire_driver(&w);
		loop_attach(&w.l);
		wire_expect_round(&w);
	}
}

/* M-2, M-7: a queue stops when nobody acts on its buffers any more. */
static void stops_when_let_go(uint32_t by, uint64_t offer, uint32_t write)
{
	struct fph_range out[4];

	wire_options(&w);
	w.l.dev_opts.offer = offer;
	wire_device(&w);
	wire_driver(&w);
	loop_attach(&w.l);
	if (offer) { /* the guest does not want it, so by hand */
		cr_assert_eq(fph_guest_reset(&w.l.guest), 0);
		cr_assert_eq(wire_negotiate(&w), 0xb);
		cr_assert_eq(fph_device_features(&w.l.dev) & offer, offer);
		wire_enable(&w, 3);
		wire_write(&w, FPH_MMIO_STATUS, 0xf);
	} else {
		loop_round(&w.l);
		loop_hint(&w.l, 0, 3);
		cr_assert_eq(fph_device_poll(&w.l.dev, out, 2), 2);
	}
	wire_write(&w, FPH_MMIO_QUEUE_SEL, 3);
	wire_write(&w, by, write);
	if (!offer) {
		cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 1, "a batch is in hand");
		cr_assert_eq(fph_device_ack(&w.l.dev), 0);
	}
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_RESET), 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 0);
	cr_expect_leq(fph_device_poll(&w.l.dev, out, 4), 0, "and hands out nothing more");
	cr_expect_eq(fph_device_command(&w.l.dev), FPH_COMMAND_STOP, "the round is over");
	cr_expect_eq(wire_enable(&w, 3), 1, "and it can be had again");
}

Test(mmio_queues, m7_queue_ready_0_waits_for_the_batch_in_hand)
{
	stops_when_let_go(FPH_MMIO_QUEUE_READY, 0, 0);
}

Test(mmio_queues, m3_a_queue_is_reset_by_its_own_register)
{
	stops_when_let_go(FPH_MMIO_QUEUE_RESET, FPH_F_RING_RESET, 1);
}

/* M-3: 1 while it lasts.  Row 47: in mid-round. */
Test(mmio_queues, m3_queue_reset_reads_1_until_the_batch_in_hand_is_let_go)
{
	uint64_t at = RAM_LOW + 0x40000;
	struct fph_range out[4];

	negotiated(FPH_F_RING_RESET);
	wire_enable(&w, 3);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_RESET), 0);
	wire_write(&w, FPH_MMIO_STATUS, 0xf);
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
	wire_write(&w, FPH_MMIO_QUEUE_NOTIFY, 3);
	cr_assert_eq(fph_device_poll(&w.l.dev, out, 4), 1);

	wire_write(&w, FPH_MMIO_QUEUE_RESET, 0);
	wire_write(&w, FPH_MMIO_QUEUE_RESET, 2);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_RESET), 0, "only 1 asks for it");
	wire_write(&w, FPH_MMIO_QUEUE_RESET, 1);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_RESET), 1);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 1);
	cr_assert_eq(fph_device_ack(&w.l.dev), 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_RESET), 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 0);
	cr_expect_eq(wire_enable(&w, 3), 1);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_RESET), 0, "and after enable");
}

/* S-2, S-4: the device keeps its queue, so the register says so; the memory is in use. */
Test(mmio_queues, s4_a_queue_of_a_device_that_sleeps_stays_ready)
{
	negotiated(FPH_F_SUSPEND | FPH_F_RING_RESET);
	wire_enable(&w, 3);
	wire_write(&w, FPH_MMIO_STATUS, 0xf);
	wire_write(&w, FPH_MMIO_STATUS, 0xf | FPH_STATUS_SUSPEND);
	wire_write(&w, FPH_MMIO_QUEUE_SEL, 3);
	wire_write(&w, FPH_MMIO_QUEUE_READY, 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 1);
	wire_write(&w, FPH_MMIO_QUEUE_RESET, 1);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_RESET), 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 1);
	wire_write(&w, FPH_MMIO_STATUS, 0xf);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 1);
	wire_write(&w, FPH_MMIO_QUEUE_READY, 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 0);
	cr_expect_eq(wire_enable(&w, 3), 1, "%s",
		     fph_rule_name(fph_device_fault(&w.l.dev)->rule));
}

Test(mmio_queues, m3_queue_reset_that_was_not_negotiated_does_nothing)
{
	wire_up(&w);
	wire_write(&w, FPH_MMIO_QUEUE_SEL, 3);
	wire_write(&w, FPH_MMIO_QUEUE_RESET, 1);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_RESET), 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 1);
	wire_expect_round(&w);
}

/* G-4; row 25: doorbells that make no sense. */
Test(mmio_queues, g4_doorbells_out_of_place_are_ignored)
{
	negotiated(0);
	wire_enable(&w, 3);
	wire_write(&w, FPH_MMIO_QUEUE_NOTIFY, 3);
	cr_expect_eq(w.l.doorbells, 0, "before DRIVER_OK");
	wire_write(&w, FPH_MMIO_STATUS, 0xf);
	wire_write(&w, FPH_MMIO_QUEUE_NOTIFY, 0);
	wire_write(&w, FPH_MMIO_QUEUE_NOTIFY, 77);
	wire_write(&w, FPH_MMIO_QUEUE_NOTIFY, 0x10003);
	wire_write(&w, FPH_MMIO_QUEUE_NOTIFY, UINT32_MAX);
	fph_mmio_device_notify(&w.device, UINT16_MAX);
	cr_expect_eq(w.l.doorbells, 0);
	wire_write(&w, FPH_MMIO_QUEUE_NOTIFY, 3);
	cr_expect_eq(w.l.doorbells, 1);
}

/* With the feature the upper half is data, and no reason to think of another queue. */
Test(mmio_queues, n1_doorbell_data_is_no_part_of_the_queues_number)
{
	negotiated(FPH_F_NOTIFICATION_DATA);
	wire_enable(&w, 3);
	wire_write(&w, FPH_MMIO_STATUS, 0xf);
	wire_write(&w, FPH_MMIO_QUEUE_NOTIFY, 0xffff0003);
	cr_expect_eq(w.l.doorbells, 1);
	wire_write(&w, FPH_MMIO_QUEUE_NOTIFY, 0x0003ffff);
	wire_write(&w, FPH_MMIO_QUEUE_NOTIFY, 0x00030000);
	cr_expect_eq(w.l.doorbells, 1);
}

/* a queue that was reset is as it was at first, of another size and elsewhere. */
Test(mmio_queues, r1_r3_a_queue_that_was_reset_begins_anew)
{
	negotiated(FPH_F_RING_RESET);
	wire_enable(&w, 3);
	wire_write(&w, FPH_MMIO_STATUS, 0xf);
	wire_write(&w, FPH_MMIO_QUEUE_SEL, 3);
	wire_write(&w, FPH_MMIO_QUEUE_RESET, 1);
	cr_expect_eq(wire_read(&w, FPH_MMIO_QUEUE_READY), 0);
	wire_write(&w, FPH_MMIO_QUEUE_NOTIFY, 3);
	cr_expect_eq(w.l.doorbells, 0, "R-1: nothing is done for it");
	cr_assert_eq(fph_device_start(&w.l.dev), -ENOTCONN);
	cr_expect_eq(wire_enable(&w, 3), 1);
	cr_assert_eq(fph_device_start(&w.l.dev), 0);
	wire_write(&w, FPH_MMIO_QUEUE_NOTIFY, 3);
	cr_expect_eq(w.l.doorbells, 1, "and it counts from 0: nothing waits, no fault");
	cr_expect_eq(fph_device_fault(&w.l.dev)->rule, FPH_RULE_NONE);
}
