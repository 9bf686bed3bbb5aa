/* SPDX-License-Identifier: MIT */
/* Which queue sits where: chapter 5.5.2, read in three ways (A5-1). */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define S FPH_F_STATS_VQ
#define H FPH_F_FREE_PAGE_HINT
#define R FPH_F_PAGE_REPORTING

static struct rig r;

/* Index of inflate, deflate, stats, hint, report; '-' for a queue that is not there. */
static const struct {
	uint64_t features;
	const char *dense, *fixed;
} indices[] = {
	{ 0, "01---", "01---" },	 { S, "012--", "012--" }, { H, "01-2-", "01-3-" },
	{ R, "01--2", "01--4" },	 { S | H, "0123-", "0123-" },
	{ S | R, "012-3", "012-4" },	 { H | R, "01-23", "01-34" },
	{ S | H | R, "01234", "01234" },
};

static const char *word_of(uint64_t features, bool fixed)
{
	for (unsigned i = 0; i < sizeof(indices) / sizeof(indices[0]); i++)
		if (indices[i].features == (features & (S | H | R)))
			return fixed ? indices[i].fixed : indices[i].dense;
	return "?";
}

static void expect_queues(const char *want, const char *what)
{
	char got[FPH_QUEUE_COUNT + 1] = "";

	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++) {
		int index = fph_device_queue(&r.l.dev, (enum fph_queue)q);
		uint16_t max = 0;

		cr_expect(index >= 0 || index == -ENOENT, "%s", what);
		got[q] = index < 0 ? '-' : (char)('0' + index);
		if (index < 0)
			continue;
		cr_expect_eq(r.d.bus.ops->vq_max(r.d.bus.ctx, (uint16_t)index, &max), 0);
		cr_expect_eq(max, 256, "%s: queue %u", what, q);
	}
	cr_expect_str_eq(got, want, "%s", what);
	/* And nothing stands anywhere else. */
	for (unsigned index = 0; index < 70000; index += index < 10 ? 1 : 997) {
		char digit = index < 10 ? (char)('0' + index) : '?';
		uint16_t max = 0;

		cr_expect_eq(r.d.bus.ops->vq_max(r.d.bus.ctx, (uint16_t)index, &max), 0);
		if (index < 65536)
			cr_expect_eq(max, strchr(want, digit) ? 256 : 0, "%s: index %u", what,
				     index);
	}
}

static void open_device(uint64_t offered, enum fph_vq_layout layout)
{
	rig_options(&r);
	r.l.dev_opts.layout = layout;
	r.l.dev_opts.withhold = (S | H) & ~offered;
	r.l.dev_opts.offer = R & offered;
	rig_device(&r);
}

/* All layouts, with every set offered, and every subset of it accepted. */
Test(layout, device_queues_stand_where_the_layout_says, .timeout = 30)
{
	for (unsigned l = 0; l < 3; l++) {
		enum fph_vq_layout layout = (enum fph_vq_layout)l;
		bool fixed = layout == FPH_LAYOUT_SPEC_FIXED;

		for (unsigned o = 0; o < 8; o++) {
			uint64_t offered = indices[o].features;

			open_device(offered, layout);
			for (unsigned a = 0; a < 8; a++) {
				uint64_t accepted = indices[a].features;
				uint64_t count = layout == FPH_LAYOUT_NEGOTIATED ? accepted :
										   offered;
				char what[64];

				if (accepted & ~offered)
					continue;
				snprintf(what, sizeof(what), "layout %u offered %llx accepted %llx",
					 l, (unsigned long long)offered,
					 (unsigned long long)accepted);
				raw_set_status(&r.d, 0);
				expect_queues(word_of(offered, fixed), what);
				cr_assert_eq(raw_negotiate(&r.d, FPH_F_VERSION_1 | accepted), 0);
				expect_queues(word_of(count, fixed), what);
			}
		}
	}
}

Test(layout, a_queue_that_is_none_has_no_index)
{
	open_device(S | H, FPH_LAYOUT_NEGOTIATED);
	cr_expect_eq(fph_device_queue(&r.l.dev, FPH_QUEUE_COUNT), -ENOENT);
	cr_expect_eq(fph_device_queue(&r.l.dev, (enum fph_queue)77), -ENOENT);
}

/* The default of both roles: STATS_VQ offered and accepted, so all agree on 3. */
Test(layout, a5_1_with_stats_every_layout_has_hints_at_3)
{
	for (unsigned l = 0; l < 3; l++) {
		open_device(S | H, (enum fph_vq_layout)l);
		raw_up(&r.d, RAW_FEATURES);
		cr_expect_eq(fph_device_queue(&r.l.dev, FPH_QUEUE_HINT), 3);
		rig_hinting(&r);
		raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
		cr_expect_eq(rig_poll(&r), 1);
	}
}

/*
 * A guest finds the queue of a device of any layout, whatever it tries first.  The one
 * case with no answer: told SPEC_FIXED, it meets a device that counts what it offers and
 * has reporting at 3.
 */
Test(layout, guest_finds_the_queue_of_every_device)
{
	for (unsigned dl = 0; dl < 3; dl++) {
		for (unsigned gl = 0; gl < 3; gl++) {
			for (unsigned o = 0; o < 8; o++) {
				uint64_t offered = indices[o].features;
				struct fph_range page = ram_page(0);
				char what[64];

				if (!(offered & H))
					continue;
				if (dl == FPH_LAYOUT_OFFERED && gl == FPH_LAYOUT_SPEC_FIXED &&
				    offered == (H | R))
					continue;
				snprintf(what, sizeof(what), "device %u guest %u offered %llx", dl,
					 gl, (unsigned long long)offered);
				open_device(offered, (enum fph_vq_layout)dl);
				r.l.guest_opts.layout = (enum fph_vq_layout)gl;
				rig_guest(&r);
				cr_assert_eq(fph_guest_attach(&r.l.guest), 0, "%s", what);
				cr_assert_eq(loop_round(&r.l), 0x80000001);
				cr_expect_eq(fph_guest_hint(&r.l.guest, &page, 1), 1, "%s", what);
				cr_expect_eq(fph_guest_end(&r.l.guest), 0, "%s", what);
				cr_expect_eq(rig_poll(&r), 1, "%s", what);
				cr_expect_eq(rig_out[0].gpa, page.gpa, "%s", what);
			}
		}
	}
}

/* What the guest asks, seen from a device of which only one queue is large enough. */
static const struct {
	enum fph_vq_layout layout;
	uint64_t offered;
	uint16_t there; /* the one index with entries besides 0, 1 and statistics at 2 */
	int found;	/* index, or an error */
} probes[] = {
	{ FPH_LAYOUT_NEGOTIATED, H, 2, 2 },	   { FPH_LAYOUT_NEGOTIATED, H, 3, 3 },
	{ FPH_LAYOUT_OFFERED, H, 2, 2 },	   { FPH_LAYOUT_OFFERED, H, 3, 3 },
	{ FPH_LAYOUT_SPEC_FIXED, H, 2, 2 },	   { FPH_LAYOUT_SPEC_FIXED, H, 3, 3 },
	{ FPH_LAYOUT_NEGOTIATED, H, 4, -EOPNOTSUPP }, { FPH_LAYOUT_SPEC_FIXED, H, 4, -EOPNOTSUPP },
	{ FPH_LAYOUT_NEGOTIATED, S | H, 3, 3 },	   { FPH_LAYOUT_OFFERED, S | H, 3, 3 },
	{ FPH_LAYOUT_SPEC_FIXED, S | H, 3, 3 },	   { FPH_LAYOUT_NEGOTIATED, S | H, 2, -EOPNOTSUPP },
};

Test(layout, guest_probes_what_each_layout_would_say)
{
	for (unsigned i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		int rc;

		rig_guest_options(&r);
		r.l.guest_opts.layout = probes[i].layout;
		r.dev.offered = FPH_F_VERSION_1 | probes[i].offered;
		memset(r.dev.vq_max, 0, sizeof(r.dev.vq_max));
		if (probes[i].offered & S)
			r.dev.vq_max[2] = 64;
		r.dev.vq_max[probes[i].there] = 64;
		rig_guest(&r);
		rc = fph_guest_attach(&r.l.guest);
		cr_expect_eq(rc, probes[i].found < 0 ? probes[i].found : 0, "probe %u: %d", i, rc);
		if (rc == 0)
			cr_expect_eq(r.dev.vq[probes[i].found].place.size, 16, "probe %u", i);
		else
			cr_expect(r.dev.status & FPH_STATUS_FAILED, "probe %u", i);
	}
}

/* The first that answers is taken: that is what the option is for. */
Test(layout, guest_tries_its_own_layout_first)
{
	for (unsigned l = 0; l < 3; l++) {
		unsigned want = l == FPH_LAYOUT_SPEC_FIXED ? 3 : 2;

		rig_guest_options(&r);
		r.l.guest_opts.layout = (enum fph_vq_layout)l;
		r.dev.offered = FPH_F_VERSION_1 | H;
		rig_guest(&r);
		cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
		cr_expect_eq(r.dev.enables, 1);
		cr_expect_eq(r.dev.vq[want].place.size, 16, "layout %u", l);
	}
}

/* row 53, study 41 */
static const struct {
	uint16_t max;
	uint16_t size; /* 0: not taken */
} maxima[] = {
	{ 0, 0 },   { 1, 0 },	{ 2, 0 },     { 3, 0 },	    { 4, 4 },	   { 5, 4 },
	{ 7, 4 },   { 8, 8 },	{ 15, 8 },    { 16, 16 },   { 17, 16 },	   { 100, 16 },
	{ 128, 16 }, { 1024, 16 }, { 32768, 16 }, { 32769, 16 }, { 65535, 16 },
};

Test(layout, guest_makes_do_with_a_smaller_queue)
{
	for (unsigned i = 0; i < sizeof(maxima) / sizeof(maxima[0]); i++) {
		int rc;

		rig_guest_options(&r);
		r.dev.vq_max[3] = maxima[i].max;
		rig_guest(&r);
		rc = fph_guest_attach(&r.l.guest);
		cr_expect_eq(rc, maxima[i].size ? 0 : -EOPNOTSUPP, "max %u: %d", maxima[i].max, rc);
		cr_expect_eq(r.dev.vq[3].place.size, maxima[i].size, "max %u", maxima[i].max);
	}
}

Test(layout, guest_wants_a_statistics_queue_of_two)
{
	for (uint16_t max = 0; max < 4; max++) {
		rig_guest_options(&r);
		r.dev.vq_max[2] = max;
		rig_guest(&r);
		cr_expect_eq(fph_guest_attach(&r.l.guest), max < 2 ? -EOPNOTSUPP : 0, "max %u",
			     max);
	}
}

/* The feature says that the queue is used; where it merely stands is the layout's. */
Test(layout, a_queue_whose_feature_was_not_accepted_is_not_served)
{
	static const enum fph_vq_layout layouts[] = { FPH_LAYOUT_OFFERED, FPH_LAYOUT_SPEC_FIXED };

	for (unsigned l = 0; l < 2; l++) {
		struct raw_vq *report = &r.d.vq[FPH_QUEUE_REPORT], *stats = &r.d.vq[FPH_QUEUE_STATS];

		open_device(S | H | R, layouts[l]);
		cr_assert_eq(raw_negotiate(&r.d, FPH_F_VERSION_1 | H), 0);
		raw_lay_out(&r.d, FPH_QUEUE_REPORT, 4, 16);
		raw_lay_out(&r.d, FPH_QUEUE_STATS, 2, 16);
		raw_enable(&r.d, FPH_QUEUE_REPORT);
		raw_enable(&r.d, FPH_QUEUE_STATS);
		cr_assert_eq(raw_driver_ok(&r.d), 0);
		raw_desc(report, 0, RAM_HIGH, 0x1000, RAW_WRITE, 0);
		raw_push(report, 0);
		raw_publish(report);
		raw_desc(stats, 0, RAW_MESSAGE_AT(FPH_QUEUE_STATS), 10, 0, 0);
		raw_push(stats, 0);
		raw_publish(stats);
		raw_kick(&r.d, FPH_QUEUE_REPORT);
		raw_kick(&r.d, FPH_QUEUE_STATS);
		cr_expect_eq(r.l.page_calls, 0, "layout %u: a report nobody agreed to", l);
		cr_expect_eq(r.l.stat_calls, 0, "layout %u", l);
	}
}
