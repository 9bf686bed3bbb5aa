/* SPDX-License-Identifier: MIT */
/* Feature bits, chapters 2.2 and 5.5.3: clauses BF, G-6 to G-11, G-15, G-17, G-18, G-20. */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#define EXTRAS                                                                                     \
	(FPH_F_MUST_TELL_HOST | FPH_F_DEFLATE_ON_OOM | FPH_F_PAGE_POISON | FPH_F_PAGE_REPORTING)
#define ALL_BALLOON (RAW_FEATURES | EXTRAS)

static struct rig r;

static uint8_t negotiated_status(uint64_t accept)
{
	raw_negotiate(&r.d, accept);
	return raw_status(&r.d) & (FPH_STATUS_FEATURES_OK | FPH_STATUS_NEEDS_RESET);
}

/* ------------------------------------------------------------ device */

Test(features, g9_device_offers_what_it_was_told_to_and_no_bit_more)
{
	static const struct {
		uint64_t offer, withhold, offered;
	} cases[] = {
		{ 0, 0, RAW_FEATURES },
		{ EXTRAS, 0, ALL_BALLOON },
		{ FPH_F_PAGE_POISON, 0, RAW_FEATURES | FPH_F_PAGE_POISON },
		{ 0, FPH_F_STATS_VQ, FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT },
		{ 0, FPH_F_STATS_VQ | FPH_F_FREE_PAGE_HINT, FPH_F_VERSION_1 },
	};

	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		uint64_t offered = 0;

		rig_options(&r);
		r.l.dev_opts.offer = cases[i].offer;
		r.l.dev_opts.withhold = cases[i].withhold;
		rig_device(&r);
		cr_expect_eq(r.d.bus.ops->features(r.d.bus.ctx, &offered), 0);
		cr_expect_eq(offered, cases[i].offered, "case %u", i);
	}
}

Test(features, g10_device_accepts_every_subset_that_it_offered)
{
	static const uint64_t bits[] = {
		FPH_F_MUST_TELL_HOST, FPH_F_STATS_VQ,	 FPH_F_DEFLATE_ON_OOM,
		FPH_F_FREE_PAGE_HINT, FPH_F_PAGE_POISON, FPH_F_PAGE_REPORTING,
	};

	rig_options(&r);
	r.l.dev_opts.offer = EXTRAS;
	rig_device(&r);
	for (unsigned set = 0; set < 1u << COUNT_OF(bits); set++) {
		uint64_t accept = FPH_F_VERSION_1;

		for (unsigned b = 0; b < COUNT_OF(bits); b++)
			accept |= set >> b & 1 ? bits[b] : 0;
		cr_expect_eq(negotiated_status(accept), FPH_STATUS_FEATURES_OK, "%#llx",
			     (unsigned long long)accept);
		cr_expect_eq(fph_device_features(&r.l.dev), accept);
	}
}

/* row 39; study 50 */
Test(features, g10_device_refuses_every_bit_that_it_did_not_offer)
{
	for (unsigned extra = 0; extra < 2; extra++) {
		uint64_t offered = extra ? ALL_BALLOON : RAW_FEATURES;

		rig_options(&r);
		r.l.dev_opts.offer = extra ? EXTRAS : 0;
		rig_device(&r);
		for (unsigned bit = 0; bit < 64; bit++) {
			uint64_t accept = RAW_FEATURES | UINT64_C(1) << bit;
			bool ok = !(accept & ~offered);

			cr_expect_eq(negotiated_status(accept), ok ? FPH_STATUS_FEATURES_OK : 0,
				     "bit %u", bit);
			cr_expect_eq(fph_device_features(&r.l.dev), ok ? accept : 0);
		}
		cr_expect_eq(negotiated_status(~UINT64_C(0)), 0);
	}
}

Test(features, g10_device_lets_a_driver_try_again_with_less)
{
	rig_options(&r);
	rig_device(&r);
	cr_expect_eq(raw_negotiate(&r.d, RAW_FEATURES | 1), -EPROTO);
	cr_expect_eq(r.d.bus.ops->accept(r.d.bus.ctx, RAW_FEATURES), 0);
	cr_expect_eq(raw_set_status(&r.d, 0x0b), 0);
	cr_expect_eq(raw_status(&r.d), 0x0b);
}

Test(features, g11_device_accepts_after_a_reset_what_it_accepted_before)
{
	rig_up(&r, EXTRAS);
	for (unsigned i = 0; i < 5; i++) {
		cr_expect_eq(raw_set_status(&r.d, 0), 0);
		cr_expect_eq(fph_device_features(&r.l.dev), 0, "none are negotiated now");
		raw_up(&r.d, ALL_BALLOON);
		cr_expect_eq(fph_device_features(&r.l.dev), ALL_BALLOON);
	}
}

Test(features, g15_device_takes_no_feature_after_features_ok)
{
	rig_up(&r, 0);
	cr_expect_eq(r.d.bus.ops->accept(r.d.bus.ctx, FPH_F_VERSION_1), -EPROTO);
	cr_expect_eq(fph_device_features(&r.l.dev), RAW_FEATURES);
	cr_expect_eq(fph_device_start(&r.l.dev), 0);
}

Test(features, g17_g20_device_requires_version_1)
{
	uint64_t offered = 0;

	rig_options(&r);
	rig_device(&r);
	cr_expect_eq(r.d.bus.ops->features(r.d.bus.ctx, &offered), 0);
	cr_expect(offered & FPH_F_VERSION_1);
	cr_expect_eq(negotiated_status(FPH_F_FREE_PAGE_HINT | FPH_F_STATS_VQ), 0);
	cr_expect_eq(negotiated_status(0), 0);
	cr_expect_eq(negotiated_status(FPH_F_VERSION_1), FPH_STATUS_FEATURES_OK);
}

Test(features, bf4_device_serves_a_driver_without_must_tell_host)
{
	rig_options(&r);
	r.l.dev_opts.offer = FPH_F_MUST_TELL_HOST;
	rig_device(&r);
	cr_expect_eq(negotiated_status(RAW_FEATURES), FPH_STATUS_FEATURES_OK);
}

Test(features, a_feature_that_was_not_accepted_reads_as_not_accepted)
{
	rig_options(&r);
	rig_device(&r);
	cr_expect_eq(raw_set_status(&r.d, 3), 0);
	cr_expect_eq(r.d.bus.ops->accept(r.d.bus.ctx, RAW_FEATURES), 0);
	cr_expect_eq(fph_device_features(&r.l.dev), 0, "not before FEATURES_OK");
	cr_expect_eq(raw_set_status(&r.d, 0x0b), 0);
	cr_expect_eq(fph_device_features(&r.l.dev), RAW_FEATURES);
}

/* ------------------------------------------------------------ guest */

static int attach(uint64_t offered, uint32_t flags)
{
	rig_guest_options(&r);
	r.l.guest_opts.flags = flags;
	r.dev.offered = offered;
	r.dev.config_len = 16;
	r.dev.vq_max[4] = 256;
	rig_guest(&r);
	return fph_guest_attach(&r.l.guest);
}

#define WANTED (RAW_FEATURES | FPH_F_MUST_TELL_HOST)
#define RINGS  (FPH_F_INDIRECT_DESC | FPH_F_EVENT_IDX | FPH_F_RING_PACKED | FPH_F_IN_ORDER)
#define OTHERS (FPH_F_ORDER_PLATFORM | FPH_F_NOTIFICATION_DATA | FPH_F_SUSPEND) /* G-18 */

Test(features, g6_guest_accepts_only_what_is_offered)
{
	for (unsigned set = 0; set < 64; set++) {
		uint64_t offered = set | FPH_F_VERSION_1;
		int rc = attach(offered, 0);

		if (!(offered & FPH_F_FREE_PAGE_HINT)) {
			cr_expect_eq(rc, -EOPNOTSUPP, "%#llx", (unsigned long long)offered);
			continue;
		}
		cr_expect_eq(rc, 0, "%#llx", (unsigned long long)offered);
		cr_expect_eq(r.dev.accepted, offered & WANTED, "%#llx",
			     (unsigned long long)offered);
	}
}

Test(features, g7_guest_ignores_bits_that_it_does_not_know)
{
	cr_expect_eq(attach(~UINT64_C(0), 0), 0);
	cr_expect_eq(r.dev.accepted, WANTED | RINGS | OTHERS);
	for (unsigned bit = 6; bit < 64; bit++) {
		uint64_t known = (RINGS | OTHERS) & UINT64_C(1) << bit;

		cr_expect_eq(attach(RAW_FEATURES | UINT64_C(1) << bit, 0), 0, "bit %u", bit);
		cr_expect_eq(r.dev.accepted, RAW_FEATURES | known, "bit %u", bit);
	}
}

/* row 52; study 43 */
Test(features, g8_g17_guest_sets_failed_without_version_1)
{
	cr_expect_eq(attach(ALL_BALLOON & ~FPH_F_VERSION_1, 0), -EOPNOTSUPP);
	cr_expect_eq(r.dev.accepted, 0);
	cr_expect(r.dev.status & FPH_STATUS_FAILED);
	cr_expect_not(r.dev.status & FPH_STATUS_DRIVER_OK);
	cr_expect_eq(r.dev.enables, 0);
	cr_expect_str_eq(fph_guest_state_name(&r.l.guest), "DOWN");
}

Test(features, g8_guest_sets_failed_without_free_page_hint)
{
	cr_expect_eq(attach(FPH_F_VERSION_1 | FPH_F_STATS_VQ, 0), -EOPNOTSUPP);
	cr_expect(r.dev.status & FPH_STATUS_FAILED);
	cr_expect_not(r.dev.status & FPH_STATUS_FEATURES_OK);
}

Test(features, g8_guest_does_without_stats)
{
	cr_expect_eq(attach(FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT, 0), 0);
	cr_expect_eq(r.dev.enables, 1);
}

/* row 52: FEATURES_OK refused */
Test(features, g14_guest_gives_up_when_features_ok_does_not_stay)
{
	rig_guest_options(&r);
	r.dev.refuse = FPH_STATUS_FEATURES_OK;
	rig_guest(&r);
	cr_expect_eq(fph_guest_attach(&r.l.guest), -EOPNOTSUPP);
	cr_expect(r.dev.status & FPH_STATUS_FAILED);
	cr_expect_not(r.dev.status & FPH_STATUS_DRIVER_OK);
	cr_expect_eq(r.dev.enables, 0);
	/* G-2: a reset comes before the next attempt, which may succeed. */
	r.dev.refuse = 0;
	cr_expect_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(r.dev.resets, 2);
	cr_expect_eq(r.dev.status, 0x0f);
}

Test(features, bf1_guest_accepts_must_tell_host)
{
	cr_expect_eq(attach(RAW_FEATURES | FPH_F_MUST_TELL_HOST, 0), 0);
	cr_expect(r.dev.accepted & FPH_F_MUST_TELL_HOST);
}

Test(features, bf2_guest_accepts_page_poison_only_to_write_the_value)
{
	cr_expect_eq(attach(ALL_BALLOON, 0), 0);
	cr_expect_not(r.dev.accepted & FPH_F_PAGE_POISON);
	cr_expect_eq(attach(ALL_BALLOON, FPH_GUEST_POISON), 0);
	cr_expect(r.dev.accepted & FPH_F_PAGE_POISON);
	cr_expect_eq(attach(RAW_FEATURES, FPH_GUEST_POISON), 0);
	cr_expect_not(r.dev.accepted & FPH_F_PAGE_POISON, "it was not offered");
}

Test(features, bf3_guest_never_accepts_page_reporting)
{
	cr_expect_eq(attach(ALL_BALLOON, 0), 0);
	cr_expect_not(r.dev.accepted & FPH_F_PAGE_REPORTING);
	cr_expect_eq(attach(ALL_BALLOON, FPH_GUEST_POISON), 0);
	cr_expect_not(r.dev.accepted & FPH_F_PAGE_REPORTING);
}

/* A5-13: hints are guest-physical, whatever IOMMU is there; as Linux does. */
Test(features, g18_guest_does_not_take_access_platform)
{
	cr_expect_eq(attach(RAW_FEATURES | UINT64_C(1) << 33, 0), 0);
	cr_expect_eq(r.dev.accepted, RAW_FEATURES);
}
