/* SPDX-License-Identifier: MIT */
/* Both roles with a register file between them. */
#include "wire.h"
#include <criterion/criterion.h>
#include <errno.h>

static struct wire w;

Test(mmio, a_whole_life_over_registers)
{
	wire_up(&w);
	cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 0xf);
	cr_expect_str_eq(fph_device_state_name(&w.l.dev), "STOPPED");
	for (unsigned i = 0; i < 5; i++)
		wire_expect_round(&w);
	cr_expect_eq(fph_guest_reset(&w.l.guest), 0);
	cr_expect_str_eq(fph_device_state_name(&w.l.dev), "DOWN");
	loop_attach(&w.l);
	wire_expect_round(&w);
}

/* M-4 from the driver's side, over attach, rounds, statistics, reset: each access. */
Test(mmio, m4_m6_driver_makes_only_accesses_that_are_documented)
{
	uint32_t sel[2] = {99, 99};

	wire_options(&w);
	w.l.dev_opts.offer = FPH_F_PAGE_POISON;
	w.l.guest_opts.flags = FPH_GUEST_POISON;
	w.l.guest_opts.poison = 0xaa55aa55;
	wire_device(&w);
	wire_driver(&w);
	loop_attach(&w.l);
	cr_expect_eq(fph_device_poison(&w.l.dev), 0xaa55aa55);
	wire_expect_round(&w);
	cr_assert_eq(fph_device_ask_stats(&w.l.dev), 0);
	cr_expect_geq(loop_step(&w.l), 0);
	cr_expect_eq(fph_guest_reset(&w.l.guest), 0);

	cr_assert(w.logged > 60 && w.logged < 4096);
	for (unsigned i = 0; i < w.logged; i++) {
		const struct access *a = &w.log[i];
		const struct fph_mmio_register *reg = fph_mmio_register(a->offset);

		cr_assert(reg, "access %u: 0x%x is no register", i, a->offset);
		cr_expect(reg->access & (a->write ? FPH_MMIO_W : FPH_MMIO_R), "%s", reg->name);
		cr_expect_eq(a->offset % 4, 0, "%s", reg->name);
		if (a->offset == FPH_MMIO_DEVICE_FEATURES_SEL)
			sel[0] = a->value;
		if (a->offset == FPH_MMIO_DRIVER_FEATURES_SEL)
			sel[1] = a->value;
		if (a->offset == FPH_MMIO_DEVICE_FEATURES)
			cr_expect_leq(sel[0], 1, "M-6");
		if (a->offset == FPH_MMIO_DRIVER_FEATURES)
			cr_expect_leq(sel[1], 1, "M-6");
		if (a->offset == FPH_MMIO_QUEUE_SIZE)
			cr_expect_leq(a->value, 256, "M-6");
	}
}

/* How a VMM takes doorbells by ioeventfd: not one access more than by a trap. */
static unsigned doorbells;

static int by_eventfd(struct wire *wire, bool write, uint32_t offset, uint32_t *value)
{
	if (!write || offset != FPH_MMIO_QUEUE_NOTIFY)
		return 0;
	doorbells++;
	fph_mmio_device_notify(&wire->device, (uint16_t)*value);
	return 1;
}

Test(mmio, doorbells_by_ioeventfd_are_doorbells)
{
	doorbells = 0;
	wire_options(&w);
	w.before = by_eventfd;
	wire_device(&w);
	wire_driver(&w);
	loop_attach(&w.l);
	wire_expect_round(&w);
	cr_expect_geq(doorbells, 2);
	cr_expect_geq(w.l.doorbells, 1);
}

/* N-1: 32 bits, of which the queue is the lower half; and sleep and waking, S-1 to S-4. */
Test(mmio, n1_s2_a_whole_life_with_doorbell_data_and_a_sleep)
{
	unsigned data = 0;

	wire_options(&w);
	w.l.dev_opts.offer = FPH_F_NOTIFICATION_DATA | FPH_F_SUSPEND | FPH_F_ORDER_PLATFORM;
	wire_device(&w);
	wire_driver(&w);
	loop_attach(&w.l);
	cr_expect_eq(fph_device_features(&w.l.dev) & w.l.dev_opts.offer, w.l.dev_opts.offer);
	wire_expect_round(&w);
	for (unsigned i = 0; i < w.logged; i++)
		if (w.log[i].write && w.log[i].offset == FPH_MMIO_QUEUE_NOTIFY)
			data += w.log[i].value >> 16 != 0;
	cr_expect_geq(data, 2, "%u", data);
	cr_expect_eq(fph_guest_suspend(&w.l.guest), 0);
	cr_expect_eq(wire_read(&w, FPH_MMIO_STATUS), 0x1b);
	cr_expect_eq(fph_guest_resume(&w.l.guest), 0);
	wire_expect_round(&w);
}

/* Row 44 of the hostile inputs: a reset in every state, a thousand in a row. */
Test(mmio, reset_in_mid_round_a_thousand_times)
{
	struct fph_range out[8];

	wire_up(&w);
	for (unsigned i = 0; i < 1000; i++) {
		loop_round(&w.l);
		loop_hint(&w.l, 0, 4);
		if (i % 3)
			cr_assert_eq(fph_device_poll(&w.l.dev, out, i % 3), (int)(i % 3));
		if (i % 3) {
			/* R9: a batch is in hand. */
			cr_assert_eq(fph_guest_reset(&w.l.guest), -EAGAIN);
			cr_assert_neq(wire_read(&w, FPH_MMIO_STATUS), 0);
			cr_assert_eq(fph_guest_reclaim(&w.l.guest, out, 8), 0);
			cr_assert_eq(fph_device_ack(&w.l.dev), 0);
		}
		cr_assert_eq(fph_guest_reset(&w.l.guest), 0);
		cr_assert_eq(fph_guest_reclaim(&w.l.guest, out, 8), 4);
		cr_assert_eq(wire_read(&w, FPH_MMIO_INTERRUPT_STATUS), 0, "M-1");
		cr_assert_eq(w.high, false);
		loop_attach(&w.l);
	}
	wire_expect_round(&w);
}

/* Each access of a life fails once; nothing is lost, and a new attach works. */
static int nth_fails(struct wire *wire, bool write, uint32_t offset, uint32_t *value)
{
	(void)write, (void)offset, (void)value;
	return wire->n && --wire->n == 0 ? -EIO : 0;
}

Test(mmio, every_access_may_fail)
{
	unsigned total, failures = 0;

	wire_options(&w);
	wire_device(&w);
	wire_driver(&w);
	w.logged = 0;
	loop_attach(&w.l);
	total = w.logged;
	cr_assert_gt(total, 30);
	w.before = nth_fails;
	for (unsigned n = 1; n <= total; n++) {
		int rc;

		cr_assert_eq(fph_guest_reset(&w.l.guest), 0);
		w.n = n;
		rc = fph_guest_attach(&w.l.guest);
		failures += rc < 0;
		/* The last accesses are of the first look at the id and of a doorbell. */
		cr_expect(rc == 0 || rc == -EIO, "access %u: %d", n, rc);
		w.n = 0;
		loop_attach(&w.l);
	}
	cr_expect_gt(failures, total - 5);
	wire_expect_round(&w);
}

/* Each access of a round fails once: the caller tries again, and every range comes back. */
static int insist(int (*call)(struct fph_guest *guest))
{
	int rc = call(&w.l.guest);

	return rc == -EIO ? call(&w.l.guest) : rc;
}

static int step_once(struct fph_guest *guest)
{
	return fph_guest_step(guest, 0);
}

static int round_with_a_fault(unsigned n)
{
	struct fph_range out[8], pages[2] = {ram_page(1), ram_page(2)};
	unsigned got = 0, left;

	w.n = n;
	cr_assert_eq(fph_device_start(&w.l.dev), 0);
	cr_assert(insist(step_once) & FPH_GUEST_FEED);
	cr_assert_eq(fph_guest_hint(&w.l.guest, pages, 2), 2);
	cr_assert_eq(insist(fph_guest_flush), 0);
	got = loop_poll_all(&w.l, out, 8);
	cr_assert_eq(insist(fph_guest_end), 0);
	got += loop_poll_all(&w.l, out, 8);
	cr_assert_eq(got, 2);
	cr_assert(fph_device_round_over(&w.l.dev));
	cr_assert_eq(fph_device_done(&w.l.dev), 0);
	cr_assert(insist(step_once) & FPH_GUEST_RELEASE);
	cr_assert_eq(fph_guest_reclaim(&w.l.guest, out, 8), 2);
	left = w.n;
	w.n = 0;
	return left == 0;
}

Test(mmio, every_access_of_a_round_may_fail)
{
	unsigned n = 1;

	wire_up(&w);
	w.before = nth_fails;
	while (round_with_a_fault(n))
		n++;
	cr_expect_gt(n, 10);
	wire_expect_round(&w);
}
