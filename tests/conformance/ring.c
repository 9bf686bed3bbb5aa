/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueue, 2.7, and notifications, 2.9, as both roles live by them: clauses V,
 * N and M-7.  The rings by themselves are in tests/unit, barriers (V-7) in its access.c.
 */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct rig r;

/* ------------------------------------------------------------ the device */

Test(ring, m7_device_places_a_queue_once)
{
	struct fph_vq_place place;
	uint16_t index = 0;

	rig_up(&r, 0);
	place = r.d.hint->place;
	cr_expect_eq(raw_enable(&r.d, FPH_QUEUE_HINT), -EPROTO);
	r.d.hint->place.desc += 0x1000;
	cr_expect_eq(raw_enable(&r.d, FPH_QUEUE_HINT), -EPROTO); /* row 40, study 48 */
	cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE, "refused, not broken");
	r.d.hint->place = place;
	rig_hinting(&r);
	cr_expect_eq(rig_poll(&r), 0, "the first placing stands");
	cr_expect_str_eq(fph_device_state_name(&r.l.dev), "HINTING");
	cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 3, &index), 0);
	cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, 3, &index), -EPROTO, "it is not there");
	cr_expect_eq(raw_enable(&r.d, FPH_QUEUE_HINT), 0);
}

Test(ring, device_enables_no_queue_before_features_ok)
{
	rig_options(&r);
	rig_device(&r);
	raw_set_status(&r.d, 3);
	raw_lay_out(&r.d, FPH_QUEUE_INFLATE, 0, 16);
	cr_expect_eq(raw_enable(&r.d, FPH_QUEUE_INFLATE), -EPROTO);
	cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE);
}

/* row 43; study 49 */
Test(ring, device_has_no_queue_at_other_indices)
{
	static const uint16_t none[] = { 4, 5, 8, 255, 256, 32768, 65535 };
	uint16_t x = 0;

	rig_up(&r, 0);
	for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		cr_expect_eq(r.d.bus.ops->vq_max(r.d.bus.ctx, none[i], &x), 0);
		cr_expect_eq(x, 0);
		cr_expect_eq(r.d.bus.ops->vq_enable(r.d.bus.ctx, none[i], &r.d.hint->place), -EPROTO);
		cr_expect_eq(r.d.bus.ops->vq_disable(r.d.bus.ctx, none[i], &x), -EPROTO);
		cr_expect_eq(r.d.bus.ops->notify(r.d.bus.ctx, none[i]), 0, "study 23");
	}
	cr_expect_eq(r.l.doorbells, 0);
	cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE);
}

Test(ring, v1_device_shows_the_largest_size_and_takes_every_smaller_one)
{
	uint16_t max = 0;

	rig_options(&r);
	r.l.dev_opts.queue_max = 64;
	rig_device(&r);
	cr_expect_eq(r.d.bus.ops->vq_max(r.d.bus.ctx, 3, &max), 0);
	cr_expect_eq(max, 64);
	for (uint16_t size = 1; size <= 64; size *= 2) {
		raw_negotiate(&r.d, RAW_FEATURES);
		raw_lay_out(&r.d, FPH_QUEUE_HINT, 3, size);
		cr_expect_eq(raw_enable(&r.d, FPH_QUEUE_HINT), 0, "size %u", size);
		cr_expect_eq(raw_driver_ok(&r.d), 0);
		for (unsigned i = 0; i < 200; i++) {
			if (i % 50 == 0) {
				raw_command(&r.d, 0, rig_start(&r));
				cr_expect_eq(rig_poll(&r), 0);
			}
			raw_hint(&r.d, (uint16_t)(i % size), RAM_HIGH, 0x1000);
			cr_assert_eq(rig_poll(&r), 1, "size %u", size);
			cr_assert_eq(fph_device_ack(&r.l.dev), 0);
		}
	}
	raw_negotiate(&r.d, RAW_FEATURES);
	raw_lay_out(&r.d, FPH_QUEUE_HINT, 3, 128);
	cr_expect_eq(raw_enable(&r.d, FPH_QUEUE_HINT), -EPROTO);
	rig_expect_fault(&r, FPH_RULE_RING_SIZE, FPH_QUEUE_HINT);
}

/* V-4: readable buffers and descriptors as the driver left them */
Test(ring, v4_device_writes_no_descriptor_and_no_readable_buffer)
{
	unsigned char before[16 * 16], message[16 * 256];

	rig_up(&r, 0);
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_command(&r.d, 1, FPH_COMMAND_STOP);
	memcpy(before, ram_at(&r.l.ram, r.d.hint->place.desc, sizeof(before)), sizeof(before));
	memcpy(message, ram_at(&r.l.ram, RAW_MESSAGE_AT(3), sizeof(message)), sizeof(message));
	cr_expect_eq(rig_poll(&r), 1);
	cr_expect_eq(fph_device_done(&r.l.dev), 0);
	cr_expect_arr_eq(ram_at(&r.l.ram, r.d.hint->place.desc, sizeof(before)), before,
			 sizeof(before));
	cr_expect_arr_eq(ram_at(&r.l.ram, RAW_MESSAGE_AT(3), sizeof(message)), message,
			 sizeof(message));
}

/* V-8, CVE-2024-8612: no length is claimed that was not written */
Test(ring, v8_device_claims_no_bytes)
{
	rig_up(&r, 0);
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	raw_hint(&r.d, 1, RAM_HOLE, 0x1000);
	memset(ram_at(&r.l.ram, r.d.hint->place.device + 4, 128), 0xff, 128);
	cr_expect_eq(rig_poll(&r), 1);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_assert_eq(raw_used_idx(r.d.hint), 3);
	for (uint16_t i = 0; i < 3; i++)
		cr_expect_eq(raw_used_len(r.d.hint, i), 0);
}

Test(ring, v15_device_interrupts_once_a_batch_if_the_driver_wants_it)
{
	rig_up(&r, 0);
	rig_hinting(&r);
	rig_poll(&r);
	raw_take_irq(&r.d);
	r.l.interrupts = 0;
	for (uint16_t i = 0; i < 8; i++)
		raw_hint(&r.d, i, RAM_HIGH + 0x1000u * i, 0x1000);
	cr_expect_eq(rig_poll(&r), 8);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(r.l.interrupts, 1);
	cr_expect_eq(raw_take_irq(&r.d), FPH_IRQ_QUEUE | FPH_IRQ_VQ(3));

	raw_avail_flags(r.d.hint, 1);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(raw_take_irq(&r.d), 0);
	cr_expect_eq(loop_device_stats(&r.l).interrupts_saved, 1);
	cr_expect_eq(loop_device_stats(&r.l).interrupts, 2);
}

/* V-17: used.flags is 1 while there is more to poll, 0 when poll said 0 */
Test(ring, v17_device_wants_doorbells_when_it_has_nothing_to_do)
{
	rig_up(&r, 0);
	rig_hinting(&r);
	for (uint16_t i = 0; i < 4; i++)
		raw_hint(&r.d, i, RAM_HIGH, 0x1000);
	cr_expect_eq(raw_used_flags(r.d.hint), 0);
	cr_expect_eq(fph_device_poll(&r.l.dev, rig_out, 2), 2);
	cr_expect_eq(raw_used_flags(r.d.hint), 1);
	cr_expect_eq(rig_poll(&r), 2);
	cr_expect_eq(rig_poll(&r), 0);
	cr_expect_eq(raw_used_flags(r.d.hint), 0);
	/* ack does as much for one who stops early, and says that there is more */
	for (uint16_t i = 0; i < 4; i++)
		raw_hint(&r.d, i, RAM_HIGH, 0x1000);
	cr_expect_eq(fph_device_poll(&r.l.dev, rig_out, 2), 2);
	cr_expect_eq(r.l.doorbells, 0);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(raw_used_flags(r.d.hint), 0);
	cr_expect_eq(r.l.doorbells, 1);
	cr_expect_eq(rig_poll(&r), 2);
	cr_expect_eq(fph_device_ack(&r.l.dev), 0);
	cr_expect_eq(r.l.doorbells, 1, "and only then");
}

/* "0: none now, doorbells are on": whatever was asked for */
Test(ring, v17_a_poll_that_answers_0_has_doorbells_on)
{
	rig_up(&r, 0);
	rig_hinting(&r);
	for (uint16_t i = 0; i < 4; i++)
		raw_hint(&r.d, i, RAM_HIGH, 0x1000);
	cr_expect_eq(fph_device_poll(&r.l.dev, rig_out, 2), 2);
	cr_expect_eq(raw_used_flags(r.d.hint), 1);
	if (fph_device_poll(&r.l.dev, rig_out, 0) == 0)
		cr_expect_eq(raw_used_flags(r.d.hint), 0);
}

/* ------------------------------------------------------------ the guest */

/* V-1: every size, where the device would put no more than that */
Test(ring, v1_guest_places_rings_that_a_device_takes)
{
	static struct fph_guest_slot slots[4096];

	for (uint16_t size = 4; size <= 4096; size *= 2) {
		struct fph_range out[8], page = { RAM_NEXT, 0x1000 };

		rig_options(&r);
		r.l.dev_opts.queue_max = 4096;
		rig_device(&r);
		r.l.guest_opts.ring_size = size;
		r.l.guest_opts.slots = slots;
		r.l.guest_opts.ring = (struct fph_region){ RAM_HIGH, fph_guest_ring_bytes(size),
							   ram_at(&r.l.ram, RAM_HIGH, 0x80000), 0 };
		rig_guest(&r);
		cr_assert_eq(fph_guest_attach(&r.l.guest), 0, "size %u", size);
		loop_round(&r.l);
		cr_expect_eq(fph_guest_hint(&r.l.guest, &page, 1), 1);
		cr_expect_eq(fph_guest_flush(&r.l.guest), 0);
		cr_expect_eq(loop_poll_all(&r.l, out, 8), 1, "size %u", size);
		/* what it may use, and not a byte more */
		ram_expect_untouched(&r.l.ram, RAM_HIGH + fph_guest_ring_bytes(size), 0x1000);
	}
}

Test(ring, v6_guest_never_moves_avail_idx_backwards)
{
	uint16_t last = 0;

	rig_guest_up(&r);
	for (uint32_t id = 0x80000001; id < 0x80000400; id++) {
		uint16_t now;

		rig_guest_show(&r, id);
		rig_guest_hint(&r, 0, id % 5);
		if (id % 3)
			fph_guest_flush(&r.l.guest);
		now = raw_read_avail_idx(&r.dev.vq[3]);
		cr_assert_leq((uint16_t)(now - last), 16);
		last = now;
		rig_guest_use(&r, 0);
		loop_step(&r.l);
		fph_guest_reclaim(&r.l.guest, rig_out, 16);
	}
}

Test(ring, v14_guest_wants_interrupts_only_while_somebody_waits)
{
	rig_guest_up(&r);
	cr_expect_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	cr_expect_eq(raw_read_avail_flags(&r.dev.vq[3]), 1);
	cr_expect_eq(rig_guest_hint(&r, 0, 14), 14);
	cr_expect_eq(fph_guest_flush(&r.l.guest), 0);
	cr_expect_eq(raw_read_avail_flags(&r.dev.vq[3]), 1, "all were taken, nobody waits");
	cr_expect_eq(rig_guest_hint(&r, 14, 1), 0);
	cr_expect_eq(raw_read_avail_flags(&r.dev.vq[3]), 0, "the ring is full");
	rig_guest_use(&r, 5);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED | FPH_GUEST_RECLAIM);
	cr_expect_eq(raw_read_avail_flags(&r.dev.vq[3]), 1);
	cr_expect_eq(fph_guest_end(&r.l.guest), 0);
	cr_expect_eq(raw_read_avail_flags(&r.dev.vq[3]), 0, "the round is closed");
}

/* V-14: interrupts that mean nothing; row 56, study 38 */
Test(ring, v14_guest_bears_spurious_interrupts)
{
	rig_guest_up(&r);
	for (unsigned i = 0; i < 1000; i++) {
		r.dev.irq = i % 2 ? FPH_IRQ_QUEUE | FPH_IRQ_VQ(3) : 0xffffffffu & ~FPH_IRQ_CONFIG;
		cr_assert_eq(loop_step(&r.l), FPH_GUEST_RELEASE);
	}
	cr_expect_eq(r.dev.config_reads, 1);
	cr_expect_eq(r.dev.kicks[3], 0);
}

Test(ring, v16_guest_rings_once_a_batch_unless_the_device_is_silent)
{
	rig_guest_up(&r);
	rig_guest_show(&r, 0x80000001);
	rig_guest_hint(&r, 0, 3);
	cr_expect_eq(r.dev.kicks[3], 0);
	cr_expect_eq(fph_guest_flush(&r.l.guest), 0);
	cr_expect_eq(r.dev.kicks[3], 1);
	cr_expect_eq(fph_guest_flush(&r.l.guest), 0);
	cr_expect_eq(r.dev.kicks[3], 1, "nothing new");
	raw_store_used_flags(&r.dev, 3, 1);
	rig_guest_hint(&r, 3, 3);
	cr_expect_eq(fph_guest_flush(&r.l.guest), 0);
	rig_guest_hint(&r, 6, 1);
	cr_expect_eq(fph_guest_flush(&r.l.guest), 0);
	cr_expect_eq(r.dev.kicks[3], 1);
	cr_expect_eq(loop_guest_stats(&r.l).kicks, 1);
	cr_expect_eq(loop_guest_stats(&r.l).kicks_saved, 2);
}

static uint16_t rung[16];
static unsigned rings;

static int note_ring(void *ctx, uint16_t queue)
{
	(void)ctx;
	rung[rings++ % 16] = queue;
	return 0;
}

/* N-1: a doorbell carries the index of its queue */
Test(ring, n1_guest_rings_for_the_queue_that_it_filled)
{
	struct fph_bus_ops ops;
	struct fph_bus bus;

	rig_guest_options(&r);
	bus = raw_device_bus(&r.dev);
	ops = *bus.ops;
	ops.notify = note_ring;
	r.l.guest_opts.bus = (struct fph_bus){ &ops, bus.ctx };
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	rig_guest_show(&r, 0x80000001);
	rig_guest_hint(&r, 0, 1);
	fph_guest_flush(&r.l.guest);
	cr_expect(rings == 2 && rung[0] == 2 && rung[1] == 3);
}

/* V-9: bytes past the used length, and those before it, are nobody's */
Test(ring, v9_guest_uses_the_length_for_nothing)
{
	struct fph_range back[2];

	rig_guest_up(&r);
	rig_guest_show(&r, 0x80000001);
	rig_guest_hint(&r, 0, 1);
	fph_guest_flush(&r.l.guest);
	raw_use(&r.dev, 3, 0, 4); /* START: old devices report what they read */
	raw_use(&r.dev, 3, 1, 0x1000);
	raw_show_used(&r.dev, 3);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED | FPH_GUEST_RECLAIM);
	cr_assert_eq(fph_guest_reclaim(&r.l.guest, back, 2), 1);
	cr_expect_eq(back[0].len, 0x1000);
}
