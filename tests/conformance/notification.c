/* SPDX-License-Identifier: MIT */
/* What a doorbell carries, 2.9: clause N-1; and ORDER_PLATFORM, G-18, G-20. */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>

static struct rig r;

static void guest_up(uint64_t offer)
{
	rig_guest_options(&r);
	r.dev.offered |= offer;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
}

Test(notification, n1_split_doorbell_carries_the_available_index)
{
	guest_up(FPH_F_NOTIFICATION_DATA);
	cr_expect_eq(r.dev.next[2], 1, "the statistics' one buffer");
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 5), 5);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	cr_expect_eq(r.dev.data_kicks[RIG_HINT_QUEUE], 1, "one doorbell a batch");
	cr_expect_eq(r.dev.next[RIG_HINT_QUEUE], 6, "START and five hints");
	cr_assert_eq(fph_guest_end(&r.l.guest), 0);
	cr_expect_eq(r.dev.next[RIG_HINT_QUEUE], 7);
	cr_expect_eq(r.dev.kicks[RIG_HINT_QUEUE], r.dev.data_kicks[RIG_HINT_QUEUE]);
}

/* All 16 bits of it: the top one is in the place of a wrap counter. */
Test(notification, n1_split_doorbell_carries_an_index_that_passes_32768, .timeout = 60)
{
	struct fph_range back[16];
	uint16_t sent = 0, high = 0;

	guest_up(FPH_F_NOTIFICATION_DATA);
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	while (sent < 40000) {
		cr_assert_eq(rig_guest_hint(&r, 0, 8), 8);
		cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
		sent = (uint16_t)(sent + 8);
		cr_assert_eq(r.dev.next[RIG_HINT_QUEUE], (uint16_t)(sent + 1));
		high |= r.dev.next[RIG_HINT_QUEUE] & 0x8000;
		rig_guest_use(&r, 0);
		cr_assert_geq(loop_step(&r.l), 0);
		cr_assert_eq(fph_guest_reclaim(&r.l.guest, back, 16), 8);
	}
	cr_expect_neq(high, 0);
}

Test(notification, n1_packed_doorbell_carries_position_and_wrap_counter)
{
	guest_up(FPH_F_NOTIFICATION_DATA | FPH_F_RING_PACKED);
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 5), 5);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	cr_expect_eq(r.dev.next[RIG_HINT_QUEUE], 0x8006, "the first round's wrap counter is 1");
}

Test(notification, n1_doorbell_carries_nothing_without_the_feature)
{
	guest_up(0);
	cr_assert_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	cr_assert_eq(rig_guest_hint(&r, 0, 5), 5);
	cr_assert_eq(fph_guest_flush(&r.l.guest), 0);
	cr_expect_eq(r.dev.kicks[RIG_HINT_QUEUE], 1);
	cr_expect_eq(r.dev.data_kicks[RIG_HINT_QUEUE], 0);
}

/* A bus older than the verb: its size says so, or the verb is not there. */
Test(notification, n1_guest_accepts_it_only_from_a_bus_that_can_carry_it)
{
	for (unsigned old = 0; old < 2; old++) {
		struct fph_bus_ops ops;
		struct fph_bus bus;

		rig_guest_options(&r);
		r.dev.offered |= FPH_F_NOTIFICATION_DATA;
		bus = r.l.guest_opts.bus;
		ops = *bus.ops;
		if (old)
			ops.size = offsetof(struct fph_bus_ops, notify_data);
		else
			ops.notify_data = NULL;
		r.l.guest_opts.bus.ops = &ops;
		rig_guest(&r);
		cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
		cr_expect_eq(r.dev.accepted, RAW_FEATURES);
		cr_expect_eq(r.dev.kicks[2], 1);
		cr_expect_eq(r.dev.data_kicks[2], 0);
	}
}

Test(notification, n1_guest_can_be_told_to_refuse_it)
{
	rig_guest_options(&r);
	r.dev.offered |= FPH_F_NOTIFICATION_DATA | FPH_F_ORDER_PLATFORM | FPH_F_SUSPEND;
	r.l.guest_opts.refuse = FPH_F_NOTIFICATION_DATA | FPH_F_ORDER_PLATFORM | FPH_F_SUSPEND;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(r.dev.accepted, RAW_FEATURES);
}

/* The device goes by its ring: whatever the doorbell says, the same comes of it. */
Test(notification, n1_device_is_not_misled_by_what_a_doorbell_carries)
{
	static const uint16_t lies[] = { 0, 1, 2, 0x7fff, 0x8000, 0xffff };

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		rig_options(&r);
		r.l.dev_opts.offer = FPH_F_NOTIFICATION_DATA;
		rig_device(&r);
		raw_up(&r.d, RAW_FEATURES | FPH_F_NOTIFICATION_DATA);
		rig_hinting(&r);
		cr_assert_eq(rig_poll(&r), 0);
		r.l.doorbells = 0;
		raw_hint(&r.d, 0, RAM_HIGH, 0x2000);
		cr_expect_eq(r.d.bus.ops->notify_data(r.d.bus.ctx, r.d.hint->index, lies[i]), 0);
		cr_expect_eq(r.d.bus.ops->notify_data(r.d.bus.ctx, 77, lies[i]), 0);
		cr_expect_eq(r.l.doorbells, 1);
		cr_expect_eq(rig_poll(&r), 1);
		cr_expect_eq(rig_poll(&r), 0);
		cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE);
	}
}

Test(notification, g18_g20_order_platform_is_offered_and_accepted_by_either_end)
{
	rig_options(&r);
	r.l.dev_opts.offer = FPH_F_ORDER_PLATFORM;
	rig_device(&r);
	raw_up(&r.d, RAW_FEATURES | FPH_F_ORDER_PLATFORM);
	cr_expect(fph_device_features(&r.l.dev) & FPH_F_ORDER_PLATFORM);
	rig_hinting(&r);
	cr_expect_eq(rig_poll(&r), 0);

	/* A driver may leave it: both ends' barriers are a device's on every host. */
	rig_options(&r);
	r.l.dev_opts.offer = FPH_F_ORDER_PLATFORM;
	rig_device(&r);
	raw_up(&r.d, RAW_FEATURES);
	cr_expect_eq(raw_status(&r.d) & FPH_STATUS_NEEDS_RESET, 0);

	guest_up(FPH_F_ORDER_PLATFORM);
	cr_expect_eq(r.dev.accepted, RAW_FEATURES | FPH_F_ORDER_PLATFORM);
}
