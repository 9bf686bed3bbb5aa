/* SPDX-License-Identifier: MIT */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>

struct fph_range rig_out[16];

void rig_options(struct rig *r)
{
	loop_options(&r->l);
}

void rig_device(struct rig *r)
{
	cr_assert_eq(fph_device_init(&r->l.dev, &r->l.dev_opts), 0);
	raw_driver_init(&r->d, &r->l.ram, fph_device_bus(&r->l.dev));
}

void rig_up(struct rig *r, uint64_t offer)
{
	rig_options(r);
	r->l.dev_opts.offer = offer;
	rig_device(r);
	raw_up(&r->d, RAW_FEATURES | offer);
}

uint32_t rig_start(struct rig *r)
{
	cr_assert_eq(fph_device_start(&r->l.dev), 0);
	cr_assert(raw_take_irq(&r->d) & FPH_IRQ_CONFIG);
	return raw_config32(&r->d, FPH_CONFIG_COMMAND_ID);
}

uint32_t rig_hinting(struct rig *r)
{
	uint32_t id = rig_start(r);

	raw_command(&r->d, 15, id);
	return id;
}

int rig_poll(struct rig *r)
{
	return fph_device_poll(&r->l.dev, rig_out, 16);
}

void rig_expect_fault(struct rig *r, enum fph_rule rule, enum fph_queue queue)
{
	const struct fph_fault *f = fph_device_fault(&r->l.dev);

	cr_assert_eq(f->rule, rule, "\"%s\" and not \"%s\"", fph_rule_name(f->rule),
		     fph_rule_name(rule));
	cr_assert_eq(f->queue, r->d.vq[queue].index);
	cr_assert(raw_status(&r->d) & FPH_STATUS_NEEDS_RESET, "G-5");
	if (raw_status(&r->d) & FPH_STATUS_DRIVER_OK)
		cr_assert(raw_take_irq(&r->d) & FPH_IRQ_CONFIG, "G-5");
	cr_assert_str_eq(fph_device_state_name(&r->l.dev), "DOWN");
	cr_assert_eq(fph_device_command(&r->l.dev), FPH_COMMAND_STOP);
	/* Sticky, for every call. */
	cr_assert_eq(rig_poll(r), -EPROTO);
	cr_assert_eq(fph_device_start(&r->l.dev), -EPROTO);
	cr_assert_eq(fph_device_stop(&r->l.dev), -EPROTO);
	cr_assert_eq(fph_device_done(&r->l.dev), -EPROTO);
	cr_assert_eq(fph_device_ask_stats(&r->l.dev), -EPROTO);
	cr_assert_eq(fph_device_ack(&r->l.dev), 0);
	cr_assert_eq(f->rule, rule, "the first fault stays");
}

void rig_expect_works_after_reset(struct rig *r)
{
	uint32_t before = fph_device_command_id(&r->l.dev);

	raw_up(&r->d, r->d.accepted);
	cr_assert_eq(fph_device_fault(&r->l.dev)->rule, FPH_RULE_NONE);
	cr_assert_neq(rig_hinting(r), before);
	raw_hint(&r->d, 0, RAM_HIGH, 0x1000);
	cr_assert_eq(rig_poll(r), 1);
	cr_assert(rig_out[0].gpa == RAM_HIGH && rig_out[0].len == 0x1000);
	cr_assert_eq(fph_device_stop(&r->l.dev), 0);
}

/* ------------------------------------------------------------ the guest role */

void rig_guest_options(struct rig *r)
{
	loop_options(&r->l);
	raw_device_init(&r->dev, &r->l.ram);
	r->l.guest_opts.bus = raw_device_bus(&r->dev);
}

void rig_guest(struct rig *r)
{
	cr_assert_eq(fph_guest_init(&r->l.guest, &r->l.guest_opts), 0);
}

void rig_guest_up(struct rig *r)
{
	rig_guest_options(r);
	rig_guest(r);
	cr_assert_eq(fph_guest_attach(&r->l.guest), 0);
}

int rig_guest_show(struct rig *r, uint32_t command)
{
	raw_show(&r->dev, FPH_CONFIG_COMMAND_ID, command);
	return loop_step(&r->l);
}

unsigned rig_guest_use(struct rig *r, unsigned n)
{
	struct raw_desc d;
	uint16_t head;
	unsigned used = 0;

	while ((n == 0 || used < n) && raw_pop(&r->dev, RIG_HINT_QUEUE, &head, &d)) {
		raw_use(&r->dev, RIG_HINT_QUEUE, head, 0);
		used++;
	}
	raw_show_used(&r->dev, RIG_HINT_QUEUE);
	return used;
}

int rig_guest_hint(struct rig *r, unsigned first, unsigned n)
{
	struct fph_range pages[64];

	cr_assert_leq(n, 64);
	for (unsigned i = 0; i < n; i++)
		pages[i] = ram_page(first + i);
	return fph_guest_hint(&r->l.guest, pages, n);
}
