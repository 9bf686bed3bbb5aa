/* SPDX-License-Identifier: MIT */
#include "support/loop.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static struct loop l;

/* Options of a newer header: this library's, and a tail that it does not know. */
struct newer_device {
	struct fph_device_opts opts;
	unsigned char tail[40];
};

struct newer_guest {
	struct fph_guest_opts opts;
	unsigned char tail[40];
};

static unsigned char before[sizeof(struct fph_device) + sizeof(struct fph_guest)];

/* Fill both boxes, so that any write into them shows. */
static void fill(void)
{
	memset(&l.dev, 0x3c, sizeof(l.dev));
	memset(&l.guest, 0x3c, sizeof(l.guest));
	memset(before, 0x3c, sizeof(before));
}

static void expect_device(int rc, const void *opts, const char *what)
{
	fill();
	cr_expect_eq(fph_device_init(&l.dev, opts), rc, "%s", what);
	if (rc < 0)
		cr_expect_arr_eq(&l.dev, before, sizeof(l.dev), "%s: the object was changed",
				 what);
}

static void expect_guest(int rc, const void *opts, const char *what)
{
	fill();
	cr_expect_eq(fph_guest_init(&l.guest, opts), rc, "%s", what);
	if (rc < 0)
		cr_expect_arr_eq(&l.guest, before, sizeof(l.guest), "%s: the object was changed",
				 what);
}

static void prepare(void)
{
	loop_options(&l);
}

TestSuite(opts, .init = prepare);

/* ------------------------------------------------------------ the size rule; row 73 */

Test(opts, of_any_shorter_size_are_filled_up_with_zeros)
{
	struct fph_device_opts d = l.dev_opts;
	unsigned char *bytes = (unsigned char *)&d;

	/* What lies behind the size is not read: it would be refused. */
	for (size_t size = offsetof(struct fph_device_opts, offer); size < sizeof(d); size++) {
		d = l.dev_opts;
		d.size = size;
		memset(bytes + size, 0xff, sizeof(d) - size);
		if (size > offsetof(struct fph_device_opts, layout) &&
		    size % sizeof(uint16_t) == 0)
			expect_device(0, &d, "short options");
	}
	d = l.dev_opts;
	d.size = offsetof(struct fph_device_opts, queue_max);
	d.queue_max = 3;
	d.page_shift = 99;
	expect_device(0, &d, "with rubbish behind the size");
}

Test(opts, too_short_for_what_is_required_are_refused)
{
	struct fph_device_opts d = l.dev_opts;
	struct fph_guest_opts g = l.guest_opts;

	d.size = offsetof(struct fph_device_opts, mem);
	expect_device(-EINVAL, &d, "no mem");
	d.size = 0;
	expect_device(-EINVAL, &d, "size 0");
	d.size = sizeof(size_t) - 1;
	expect_device(-EINVAL, &d, "size less than itself");

	g.size = offsetof(struct fph_guest_opts, ring_size);
	expect_guest(-EINVAL, &g, "no ring size");
	g.size = 0;
	expect_guest(-EINVAL, &g, "size 0");
	g.size = sizeof(size_t) - 1;
	expect_guest(-EINVAL, &g, "size less than itself");
	g.size = offsetof(struct fph_guest_opts, layout);
	expect_guest(0, &g, "up to the ring size");
}

Test(opts, from_a_newer_header_are_taken_if_the_unknown_is_zero)
{
	struct newer_device d = { .opts = l.dev_opts };
	struct newer_guest g = { .opts = l.guest_opts };

	d.opts.size = sizeof(d);
	g.opts.size = sizeof(g);
	expect_device(0, &d, "long, zero tail");
	expect_guest(0, &g, "long, zero tail");
}

Test(opts, from_a_newer_header_are_refused_if_anything_unknown_is_set)
{
	for (unsigned i = 0; i < sizeof(((struct newer_device *)0)->tail); i++) {
		struct newer_device d = { .opts = l.dev_opts };
		struct newer_guest g = { .opts = l.guest_opts };

		d.opts.size = sizeof(d);
		g.opts.size = sizeof(g);
		d.tail[i] = g.tail[i] = 1;
		expect_device(-E2BIG, &d, "long, set tail");
		expect_guest(-E2BIG, &g, "long, set tail");
		/* What stands behind the size is nobody's. */
		d.opts.size = offsetof(struct newer_device, tail) + i;
		g.opts.size = offsetof(struct newer_guest, tail) + i;
		expect_device(0, &d, "long, set behind the tail");
		expect_guest(0, &g, "long, set behind the tail");
	}
}

Test(opts, an_unknown_option_counts_more_than_a_wrong_one)
{
	struct newer_device d = { .opts = l.dev_opts, .tail = { 1 } };

	d.opts.size = sizeof(d);
	d.opts.queue_max = 3;
	expect_device(-E2BIG, &d, "both");
}

Test(opts, init_macros_set_the_size_and_nothing_else)
{
	static const struct fph_device_opts d = FPH_DEVICE_OPTS_INIT;
	static const struct fph_guest_opts g = FPH_GUEST_OPTS_INIT;
	struct fph_device_opts dz;
	struct fph_guest_opts gz;

	memset(&dz, 0, sizeof(dz));
	memset(&gz, 0, sizeof(gz));
	cr_expect_eq(d.size, sizeof(d));
	cr_expect_eq(g.size, sizeof(g));
	cr_expect_arr_eq((const char *)&d + sizeof(d.size), (const char *)&dz + sizeof(d.size),
			 sizeof(d) - sizeof(d.size));
	cr_expect_arr_eq((const char *)&g + sizeof(g.size), (const char *)&gz + sizeof(g.size),
			 sizeof(g) - sizeof(g.size));
}

/* ------------------------------------------------------------ each device option */

#define OFFER_ALL                                                                                  \
	(FPH_F_MUST_TELL_HOST | FPH_F_DEFLATE_ON_OOM | FPH_F_PAGE_POISON | FPH_F_PAGE_REPORTING)

static const struct {
	const char *what;
	uint64_t offer, withhold;
	enum fph_vq_layout layout;
	uint16_t queue_max;
	uint8_t page_shift;
	int rc;
} device_cases[] = {
	{ "defaults", 0, 0, 0, 0, 0, 0 },
	{ "offer all", OFFER_ALL, 0, 0, 0, 0, 0 },
	{ "withhold both", 0, FPH_F_STATS_VQ | FPH_F_FREE_PAGE_HINT, 0, 0, 0, 0 },
	{ "offer VERSION_1", FPH_F_VERSION_1, 0, 0, 0, 0, -EINVAL },
	{ "offer STATS_VQ", FPH_F_STATS_VQ, 0, 0, 0, 0, -EINVAL },
	{ "offer FREE_PAGE_HINT", FPH_F_FREE_PAGE_HINT, 0, 0, 0, 0, -EINVAL },
	{ "offer bit 6", 1u << 6, 0, 0, 0, 0, -EINVAL }, /* A5-8 */
	{ "offer ANY_LAYOUT", 1u << 27, 0, 0, 0, 0, -EINVAL },
	{ "offer bit 30", 1u << 30, 0, 0, 0, 0, -EINVAL },
	{ "offer bit 63", UINT64_C(1) << 63, 0, 0, 0, 0, -EINVAL },
	{ "offer SR_IOV", UINT64_C(1) << 37, 0, 0, 0, 0, -EINVAL },
	{ "withhold VERSION_1", 0, FPH_F_VERSION_1, 0, 0, 0, -EINVAL },
	{ "withhold PAGE_POISON", 0, FPH_F_PAGE_POISON, 0, 0, 0, -EINVAL },
	{ "withhold bit 7", 0, 1u << 7, 0, 0, 0, -EINVAL },
	{ "layout OFFERED", 0, 0, FPH_LAYOUT_OFFERED, 0, 0, 0 },
	{ "layout SPEC_FIXED", 0, 0, FPH_LAYOUT_SPEC_FIXED, 0, 0, 0 },
	{ "layout 3", 0, 0, (enum fph_vq_layout)3, 0, 0, -EINVAL },
	{ "layout -1", 0, 0, (enum fph_vq_layout)-1, 0, 0, -EINVAL },
	{ "queue_max 1", 0, 0, 0, 1, 0, -EINVAL },
	{ "queue_max 2", 0, 0, 0, 2, 0, 0 },
	{ "queue_max 3", 0, 0, 0, 3, 0, -EINVAL },
	{ "queue_max 255", 0, 0, 0, 255, 0, -EINVAL },
	{ "queue_max 32768", 0, 0, 0, 32768, 0, 0 },
	{ "queue_max 65535", 0, 0, 0, 65535, 0, -EINVAL },
	{ "queue_max 32769", 0, 0, 0, 32769, 0, -EINVAL },
	{ "page_shift 12", 0, 0, 0, 0, 12, 0 },
	{ "page_shift 40", 0, 0, 0, 0, 40, 0 },
	{ "page_shift 11", 0, 0, 0, 0, 11, -EINVAL },
	{ "page_shift 1", 0, 0, 0, 0, 1, -EINVAL },
	{ "page_shift 41", 0, 0, 0, 0, 41, -EINVAL },
	{ "page_shift 255", 0, 0, 0, 0, 255, -EINVAL },
};

Test(opts, of_a_device_are_each_checked)
{
	for (unsigned i = 0; i < COUNT_OF(device_cases); i++) {
		struct fph_device_opts o = l.dev_opts;

		o.offer = device_cases[i].offer;
		o.withhold = device_cases[i].withhold;
		o.layout = device_cases[i].layout;
		o.queue_max = device_cases[i].queue_max;
		o.page_shift = device_cases[i].page_shift;
		expect_device(device_cases[i].rc, &o, device_cases[i].what);
	}
}

Test(opts, a_device_wants_a_good_memory_map)
{
	struct fph_device_opts o = l.dev_opts;
	struct fph_mem none = { NULL, 0 };
	struct fph_region wrong[2] = { { 0x1000, 0x1000, NULL, 0 }, { 0, 0x1000, NULL, 0 } };
	struct fph_mem unsorted = { wrong, 2 };

	o.mem = NULL;
	expect_device(-EINVAL, &o, "no map");
	o.mem = &unsorted;
	expect_device(-EINVAL, &o, "unsorted map");
	o.mem = &none;
	expect_device(0, &o, "empty map");
}

Test(opts, a_device_works_without_any_hook)
{
	struct fph_device_opts o = FPH_DEVICE_OPTS_INIT;
	struct fph_range out[8], page = ram_page(0);

	o.mem = &l.ram.mem;
	l.dev_opts = o;
	loop_open(&l);
	loop_attach(&l);
	loop_round(&l);
	cr_expect_eq(fph_guest_hint(&l.guest, &page, 1), 1);
	cr_expect_eq(fph_guest_end(&l.guest), 0);
	cr_expect_eq(fph_device_poll(&l.dev, out, 8), 1);
	cr_expect_eq(fph_device_ask_stats(&l.dev), 0);
	cr_expect_eq(fph_device_done(&l.dev), 0);
	cr_expect_geq(loop_step(&l), 0);
}

/* ids 0 and 1 mean no round ever; H5, A5-12 */
static const struct {
	uint32_t saved, next;
} ids[] = {
	{ 0, 0x80000001 },	    { 1, 0x80000001 },		{ 2, 3 },
	{ 0x7fffffff, 0x80000000 }, { 0x80000000, 0x80000001 }, { 0xfffffffe, 0xffffffff },
	{ 0xffffffff, 2 },
};

Test(opts, a_saved_id_is_counted_on_from_and_0_and_1_are_skipped)
{
	for (unsigned i = 0; i < COUNT_OF(ids); i++) {
		loop_options(&l);
		l.dev_opts.command_id = ids[i].saved;
		loop_open(&l);
		loop_attach(&l);
		cr_expect_eq(fph_device_command_id(&l.dev),
			     ids[i].saved < 2 ? 0x80000000 : ids[i].saved);
		cr_expect_eq(loop_round(&l), ids[i].next, "after %#x", ids[i].saved);
		cr_expect_eq(fph_device_command(&l.dev), ids[i].next);
	}
}

/* ------------------------------------------------------------ each guest option */

static struct fph_guest_opts guest_case(unsigned i, const char **what, int *rc)
{
	struct fph_guest_opts o = l.guest_opts;

	*rc = -EINVAL;
#define CASE(n, text, change)                                                                      \
	case n:                                                                                    \
		*what = text;                                                                      \
		change;                                                                            \
		break
	switch (i) {
		CASE(0, "no bus", o.bus.ops = NULL);
		CASE(1, "no slots", o.slots = NULL);
		CASE(2, "ring not mapped", o.ring.hva = NULL);
		CASE(3, "ring size 0", o.ring_size = 0);
		CASE(4, "ring size 2", o.ring_size = 2);
		CASE(5, "ring size 3", o.ring_size = 3);
		CASE(6, "ring size 12", o.ring_size = 12);
		CASE(7, "ring size 65535", o.ring_size = 65535);
		CASE(8, "ring flags", o.ring.flags = FPH_REGION_READONLY);
		CASE(9, "ring gpa off a page", o.ring.gpa += 2048);
		CASE(10, "ring gpa off by 16", o.ring.gpa += 16);
		CASE(11, "ring hva misaligned", o.ring.hva = (char *)o.ring.hva + 8);
		CASE(12, "ring too short", o.ring.len = fph_guest_ring_bytes(16) - 1);
		CASE(13, "ring of no bytes", o.ring.len = 0);
		CASE(14, "ring wraps", o.ring.gpa = 0 - UINT64_C(4096));
		CASE(15, "layout 3", o.layout = (enum fph_vq_layout)3);
		CASE(16, "unknown flag", o.flags = 4);
		CASE(17, "all flags", o.flags = ~0u);
		CASE(18, "too many statistics", o.stats = l.stats; o.stat_count = 17);
		CASE(19, "statistics at NULL", o.stat_count = 1);
		CASE(31, "chains of 257", o.batch = 257);
		CASE(32, "a feature that is not to be refused", o.refuse = FPH_F_VERSION_1);
	default:
		*rc = 0;
	}
	switch (i) {
		CASE(20, "defaults", (void)0);
		CASE(21, "ring size 4", o.ring_size = 4);
		CASE(22, "exactly enough", o.ring.len = fph_guest_ring_bytes(16));
		CASE(23, "at the end of the address space",
		     o.ring.gpa = 0 - UINT64_C(0x4000));
		CASE(24, "layout OFFERED", o.layout = FPH_LAYOUT_OFFERED);
		CASE(25, "layout SPEC_FIXED", o.layout = FPH_LAYOUT_SPEC_FIXED);
		CASE(26, "both flags", o.flags = FPH_GUEST_EARLY_REUSE | FPH_GUEST_POISON);
		CASE(27, "sixteen statistics", o.stats = l.stats; o.stat_count = 16);
		CASE(28, "largest ring", o.ring_size = 32768; o.ring.len = UINT64_C(1) << 30);
		CASE(29, "chains of 256", o.batch = 256);
		CASE(30, "nothing but the plain ring",
		     o.refuse = FPH_F_INDIRECT_DESC | FPH_F_EVENT_IDX | FPH_F_RING_PACKED |
				FPH_F_IN_ORDER | FPH_F_ORDER_PLATFORM | FPH_F_NOTIFICATION_DATA |
				FPH_F_SUSPEND);
	default:
		break;
	}
#undef CASE
	return o;
}

Test(opts, of_a_guest_are_each_checked)
{
	for (unsigned i = 0; i < 33; i++) {
		const char *what = "?";
		int rc = 1;
		struct fph_guest_opts o = guest_case(i, &what, &rc);

		expect_guest(rc, &o, what);
	}
}

Test(opts, ring_bytes_are_known_for_every_allowed_size)
{
	static const uint16_t none[] = { 0, 1, 2, 3, 5, 6, 7, 12, 100, 32767, 32769, 65535 };

	for (unsigned i = 0; i < COUNT_OF(none); i++)
		cr_expect_eq(fph_guest_ring_bytes(none[i]), 0, "%u", none[i]);
	for (unsigned n = 4; n <= 32768; n *= 2) {
		size_t bytes = fph_guest_ring_bytes((uint16_t)n);

		/* Two rings, a word and a table's entry for each, and the statistics. */
		cr_expect_geq(bytes, 32 * n + 6 + 2 * n + 6 + 8 * n + 4 * n, "%u", n);
		cr_expect_leq(bytes, 32 * n + 6 + 2 * n + 6 + 8 * n + 4 * n + 512, "%u", n);
	}
}

/* ------------------------------------------------------------ counters */

Test(opts, counters_are_copied_only_to_a_size_that_a_header_had)
{
	struct {
		struct fph_device_stats s;
		uint64_t more[4];
	} d;
	struct {
		struct fph_guest_stats s;
		uint64_t more[4];
	} g;
	static const struct {
		int by;
		int rc;
	} sizes[] = {
		{ 0, 0 },	{ 8, 0 },	{ 32, 0 },	{ -8, -EINVAL },
		{ 4, -EINVAL }, { 1, -EINVAL }, { -1, -EINVAL }, { 7, -EINVAL },
	};

	loop_up(&l);
	for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
		memset(&d, 0xee, sizeof(d));
		memset(&g, 0xee, sizeof(g));
		d.s.size = (uint64_t)((int)sizeof(d.s) + sizes[i].by);
		g.s.size = (uint64_t)((int)sizeof(g.s) + sizes[i].by);
		cr_expect_eq(fph_device_total_stats(&l.dev, &d.s), sizes[i].rc, "%d", sizes[i].by);
		cr_expect_eq(fph_device_round_stats(&l.dev, &d.s), sizes[i].rc, "%d", sizes[i].by);
		cr_expect_eq(fph_guest_total_stats(&l.guest, &g.s), sizes[i].rc, "%d",
			     sizes[i].by);
		cr_expect_eq(d.s.size, (uint64_t)((int)sizeof(d.s) + sizes[i].by), "kept");
		if (sizes[i].rc < 0) {
			cr_expect_eq(d.s.rounds, 0xeeeeeeeeeeeeeeee, "written on error");
			cr_expect_eq(g.s.rounds, 0xeeeeeeeeeeeeeeee, "written on error");
			continue;
		}
		cr_expect_eq(d.s.rounds, 0);
		cr_expect_eq(d.s.resets, 1);
		cr_expect_eq(g.s.resets, 1);
		for (int k = 0; k < 4; k++) {
			uint64_t want = k < sizes[i].by / 8 ? 0 : 0xeeeeeeeeeeeeeeee;

			cr_expect_eq(d.more[k], want, "counters this library does not have");
			cr_expect_eq(g.more[k], want, "counters this library does not have");
		}
	}
	d.s.size = 0;
	cr_expect_eq(fph_device_total_stats(&l.dev, &d.s), -EINVAL);
	d.s.size = UINT64_MAX - 7;
	cr_expect_eq(fph_device_total_stats(&l.dev, &d.s), -EINVAL);
	d.s.size = 4104;
	cr_expect_eq(fph_device_total_stats(&l.dev, &d.s), -EINVAL);
}

Test(opts, counters_of_a_round_begin_at_its_start)
{
	struct fph_device_stats s = FPH_DEVICE_STATS_INIT;
	struct fph_range out[16];

	loop_up(&l);
	loop_round(&l);
	loop_hint(&l, 0, 5);
	cr_assert_eq(loop_poll_all(&l, out, 16), 5);
	loop_round(&l);
	loop_hint(&l, 5, 2);
	cr_assert_eq(loop_poll_all(&l, out, 16), 2);

	cr_assert_eq(fph_device_round_stats(&l.dev, &s), 0);
	cr_expect_eq(s.rounds, 1);
	cr_expect_eq(s.hints, 2);
	cr_expect_eq(s.bytes, 0x2000);
	cr_expect_eq(s.resets, 0);
	s = loop_device_stats(&l);
	cr_expect_eq(s.rounds, 2);
	cr_expect_eq(s.hints, 7);
	cr_expect_eq(s.bytes, 0x7000);
	cr_expect_eq(s.resets, 1);
}

/* ------------------------------------------------------------ the boxes */

Test(opts, the_boxes_are_as_large_as_the_soname_says)
{
	cr_expect_eq(sizeof(struct fph_device), 1280);
	cr_expect_eq(sizeof(struct fph_guest), 640);
	cr_expect_eq(sizeof(struct fph_guest_slot), 16);
	cr_expect_eq(_Alignof(struct fph_device), 8);
	cr_expect_eq(_Alignof(struct fph_guest), 8);
	cr_expect_eq(sizeof(struct fph_fault), 16);
	cr_expect_eq(offsetof(struct fph_device_opts, size), 0);
	cr_expect_eq(offsetof(struct fph_guest_opts, size), 0);
	cr_expect_eq(offsetof(struct fph_device_stats, size), 0);
	cr_expect_eq(offsetof(struct fph_guest_stats, size), 0);
	cr_expect_eq(offsetof(struct fph_bus_ops, size), 0);
}

Test(opts, init_leaves_nothing_of_what_was_in_the_box)
{
	static struct fph_device a, b;
	static struct fph_guest c, d;
	static struct fph_guest_opts o;

	memset(&a, 0xff, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&c, 0xff, sizeof(c));
	memset(&d, 0, sizeof(d));
	o = l.guest_opts;
	cr_assert_eq(fph_device_init(&a, &l.dev_opts), 0);
	cr_assert_eq(fph_device_init(&b, &l.dev_opts), 0);
	cr_assert_eq(fph_guest_init(&c, &o), 0);
	cr_assert_eq(fph_guest_init(&d, &o), 0);
	cr_expect_arr_eq(&a, &b, sizeof(a));
	cr_expect_arr_eq(&c, &d, sizeof(c));
}
