/* SPDX-License-Identifier: MIT */
/* T-1: a bus may lack a verb, or be too old to know it.  Its table is constant from init on. */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define ID	    0x80000001u
#define VERB(name)  { #name, offsetof(struct fph_bus_ops, name) }

struct verb {
	const char *name;
	size_t at;
};

static const struct verb required[] = {
	VERB(features), VERB(accept),	 VERB(status), VERB(set_status), VERB(config),
	VERB(vq_max),	VERB(vq_enable), VERB(notify), VERB(take_irq),
};

static struct rig r;
static struct fph_bus_ops ops;

/* The raw device's bus, its verbs in a table of the test's own. */
static void prepare(void)
{
	rig_guest_options(&r);
	ops = *r.l.guest_opts.bus.ops;
	r.l.guest_opts.bus.ops = &ops;
}

static void take_away(size_t at)
{
	memset((unsigned char *)&ops + at, 0, sizeof(void (*)(void)));
}

static void expect_refused(const char *name, const char *how)
{
	static unsigned char before[sizeof(r.l.guest)];

	memset(&r.l.guest, 0x3c, sizeof(r.l.guest));
	memset(before, 0x3c, sizeof(before));
	cr_expect_eq(fph_guest_init(&r.l.guest, &r.l.guest_opts), -EOPNOTSUPP, "%s: %s", name, how);
	cr_expect_arr_eq(&r.l.guest, before, sizeof(before), "%s: %s: the object was changed",
			 name, how);
}

/* A round of one page, from its id to its reclaiming. */
static void expect_works(const char *what)
{
	struct fph_range back;

	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0, "%s", what);
	cr_assert_eq(rig_guest_show(&r, ID), FPH_GUEST_FEED, "%s", what);
	cr_assert_eq(rig_guest_hint(&r, 0, 1), 1, "%s", what);
	cr_assert_eq(fph_guest_end(&r.l.guest), 0, "%s", what);
	rig_guest_use(&r, 0);
	cr_assert_geq(loop_step(&r.l), 0, "%s", what);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, &back, 1), 1, "%s", what);
	cr_expect_eq(fph_guest_held(&r.l.guest), 0, "%s", what);
}

TestSuite(verbs, .init = prepare);

Test(verbs, t_1_a_bus_without_a_verb_that_the_driver_needs_is_refused_at_once)
{
	for (size_t i = 0; i < COUNT_OF(required); i++) {
		prepare();
		take_away(required[i].at);
		expect_refused(required[i].name, "absent");
		prepare();
		ops.size = required[i].at;
		expect_refused(required[i].name, "too old to know it");
		prepare();
		ops.size = required[i].at + sizeof(void (*)(void)) - 1;
		expect_refused(required[i].name, "half of it");
	}
}

Test(verbs, t_1_a_bus_without_vq_disable_serves_the_driver)
{
	take_away(offsetof(struct fph_bus_ops, vq_disable));
	expect_works("vq_disable absent");
}

Test(verbs, n_1_without_notify_data_the_feature_is_not_accepted_and_doorbells_are_plain)
{
	prepare();
	r.dev.offered |= FPH_F_NOTIFICATION_DATA;
	take_away(offsetof(struct fph_bus_ops, notify_data));
	expect_works("notify_data absent");
	cr_expect_eq(r.dev.accepted & FPH_F_NOTIFICATION_DATA, 0);

	prepare();
	r.dev.offered |= FPH_F_NOTIFICATION_DATA;
	ops.size = offsetof(struct fph_bus_ops, notify_data);
	expect_works("a bus of the first release");
	cr_expect_eq(r.dev.accepted & FPH_F_NOTIFICATION_DATA, 0);
}

Test(verbs, bp_2_poison_is_not_promised_over_a_bus_that_cannot_write_it)
{
	r.dev.offered |= FPH_F_PAGE_POISON;
	take_away(offsetof(struct fph_bus_ops, set_config));
	expect_works("no poison, no set_config");

	prepare();
	r.dev.offered |= FPH_F_PAGE_POISON;
	take_away(offsetof(struct fph_bus_ops, set_config));
	r.l.guest_opts.flags |= FPH_GUEST_POISON;
	rig_guest(&r);
	cr_expect_eq(fph_guest_attach(&r.l.guest), -EOPNOTSUPP);
	cr_expect_eq(r.dev.status & FPH_STATUS_DRIVER_OK, 0);
	cr_expect_neq(r.dev.status & FPH_STATUS_FAILED, 0, "G-8");
}
