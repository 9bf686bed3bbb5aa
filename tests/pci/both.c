/* SPDX-License-Identifier: MIT */
/* Both roles with a PCI function between them. */
#include "wire.h"
#include <criterion/criterion.h>
#include <errno.h>

static struct wire w;

static void life(uint16_t vectors)
{
	wire_options(&w);
	w.driver_opts.vectors = vectors;
	wire_device(&w);
	wire_driver(&w);
	loop_attach(&w.l);
	cr_expect_eq(GET(&w, STATUS), 0xf);
	cr_expect_str_eq(fph_device_state_name(&w.l.dev), "STOPPED");
	for (unsigned i = 0; i < 5; i++)
		wire_expect_round(&w);
	cr_expect_eq(fph_guest_reset(&w.l.guest), 0);
	cr_expect_str_eq(fph_device_state_name(&w.l.dev), "DOWN");
	loop_attach(&w.l);
	wire_expect_round(&w);
}

Test(pci, a_whole_life_with_inta)
{
	life(0);
	cr_expect_geq(w.edges, 12, "each round starts and ends with one");
	cr_expect_not(w.high, "and all were acknowledged");
	for (unsigned v = 0; v < 4; v++)
		cr_expect_eq(w.messages[v], 0);
}

/* PC-11: one vector for the configuration and the queues. */
Test(pci, pc11_a_whole_life_with_one_vector)
{
	life(1);
	cr_expect_geq(w.messages[0], 12);
	cr_expect_eq(w.messages[1], 0);
	cr_expect_eq(w.edges, 0);
}

Test(pci, pc7_a_whole_life_with_a_vector_for_the_configuration)
{
	life(2);
	cr_expect_geq(w.messages[0], 12);
	cr_expect_eq(w.messages[2] + w.messages[3], 0);
	cr_expect_eq(w.edges, 0);
}

/* A guest whose ring is full is woken when its buffers come back. */
Test(pci, pc7_used_buffers_come_with_the_queues_vector)
{
	struct fph_range out[8], pages[4];
	unsigned before;

	wire_options(&w);
	w.driver_opts.vectors = 2;
	w.l.guest_opts.ring_size = 4;
	wire_device(&w);
	wire_driver(&w);
	loop_attach(&w.l);
	loop_round(&w.l);
	for (unsigned i = 0; i < 4; i++)
		pages[i] = ram_page(i);
	cr_assert_eq(fph_guest_hint(&w.l.guest, pages, 4), 2);
	cr_assert_eq(fph_guest_flush(&w.l.guest), 0);
	loop_step(&w.l);
	before = w.messages[1];
	cr_assert_eq(loop_poll_all(&w.l, out, 8), 2);
	cr_expect_eq(w.messages[1], before + 1, "%u", w.messages[1]);
	cr_expect(loop_step(&w.l) & FPH_GUEST_RECLAIM);
}

/* How a VMM takes doorbells by ioeventfd: not one access more than by a trap. */
static unsigned doorbells;

static int by_eventfd(struct wire *wire, struct access *a)
{
	uint64_t at = a->offset - FPH_PCI_NOTIFY;

	if (a->config || !a->write || a->bar != 0 || a->offset < FPH_PCI_NOTIFY)
		return 0;
	cr_assert_eq(a->len, 2);
	cr_assert_eq(at % FPH_PCI_NOTIFY_MUL, 0);
	cr_assert_eq(at / FPH_PCI_NOTIFY_MUL, a->value);
	doorbells++;
	fph_pci_device_notify(&wire->device, (uint16_t)a->value);
	return 1;
}

Test(pci, doorbells_by_ioeventfd_are_doorbells)
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

/* N-1, PC-11: 32 bits a doorbell; and sleep and waking, S-1 to S-4. */
Test(pci, n1_pc11_a_whole_life_with_doorbell_data_and_a_sleep)
{
	unsigned data = 0;

	wire_options(&w);
	w.l.dev_opts.offer = FPH_F_NOTIFICATION_DATA | FPH_F_SUSPEND | FPH_F_ORDER_PLATFORM;
	wire_device(&w);
	wire_driver(&w);
	loop_attach(&w.l);
	cr_expect_eq(fph_device_features(&w.l.dev) & w.l.dev_opts.offer, w.l.dev_opts.offer);
	wire_expect_round(&w);
	for (unsigned i = 0; i < w.logged; i++) {
		if (!w.log[i].write || w.log[i].config || w.log[i].offset < FPH_PCI_NOTIFY)
			continue;
		cr_expect_eq(w.log[i].len, 4);
		data += w.log[i].value >> 16 != 0;
	}
	cr_expect_geq(data, 2, "%u", data);
	cr_expect_eq(fph_guest_suspend(&w.l.guest), 0);
	cr_expect_eq(GET(&w, STATUS), 0x1b);
	cr_expect_eq(fph_guest_resume(&w.l.guest), 0);
	wire_expect_round(&w);
}

/* PC-8: a driver that cannot map BARs gets as far as any. */
static uint32_t window; /* the capability */

static int through_the_window(struct wire *wire, struct access *a)
{
	if (a->config)
		return 0;
	set_space(wire, window + 4, 1, a->bar);
	set_space(wire, window + 8, 4, (uint32_t)a->offset);
	set_space(wire, window + 12, 4, a->len);
	if (a->write)
		set_space(wire, window + 16, a->len, a->value);
	else
		a->value = space(wire, window + 16, a->len);
	return 1;
}

Test(pci, pc8_a_whole_life_through_configuration_space)
{
	wire_options(&w);
	wire_device(&w);
	window = find_cap(&w, 0x09, 5);
	cr_assert_neq(window, 0);
	w.before = through_the_window;
	wire_driver(&w);
	loop_attach(&w.l);
	wire_expect_round(&w);
	wire_expect_round(&w);
}

/* Row 44 of the hostile inputs: a reset in every state, a thousand in a row. */
static void reset_a_thousand_times(uint16_t vectors)
{
	struct fph_range out[8];

	wire_options(&w);
	w.driver_opts.vectors = vectors;
	wire_device(&w);
	wire_driver(&w);
	loop_attach(&w.l);
	for (unsigned i = 0; i < 1000; i++) {
		loop_round(&w.l);
		loop_hint(&w.l, 0, 4);
		if (i % 3) {
			cr_assert_eq(fph_device_poll(&w.l.dev, out, i % 3), (int)(i % 3));
			/* R9: a batch is in hand. */
			cr_assert_eq(fph_guest_reset(&w.l.guest), -EAGAIN);
			cr_assert_neq(GET(&w, STATUS), 0);
			cr_assert_eq(fph_guest_reclaim(&w.l.guest, out, 8), 0);
			cr_assert_eq(fph_device_ack(&w.l.dev), 0);
		}
		cr_assert_eq(fph_guest_reset(&w.l.guest), 0);
		cr_assert_eq(fph_guest_reclaim(&w.l.guest, out, 8), 4);
		cr_assert_eq(wire_read(&w, ISR, 1), 0, "PC-5");
		cr_assert_eq(GET(&w, CONFIG_VECTOR), FPH_PCI_NO_VECTOR, "PC-7");
		cr_assert_eq(w.high, false);
		loop_attach(&w.l);
	}
	wire_expect_round(&w);
}

Test(pci, reset_in_mid_round_a_thousand_times)
{
	reset_a_thousand_times(0);
	reset_a_thousand_times(2);
}

/* ------------------------------------------------------------ trouble on the wire */

static int nth_fails(struct wire *wire, struct access *a)
{
	(void)a;
	return wire->n && --wire->n == 0 ? -EIO : 0;
}

/* Each access of a life fails once; nothing is lost, and a new attach works. */
static void each_access_fails(uint16_t vectors)
{
	unsigned total, failures = 0;

	wire_options(&w);
	w.driver_opts.vectors = vectors;
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

Test(pci, every_access_of_bring_up_may_fail)
{
	each_access_fails(0);
	each_access_fails(2);
}

Test(pci, every_access_of_the_search_may_fail)
{
	unsigned total;

	wire_options(&w);
	wire_device(&w);
	cr_assert_eq(fph_pci_driver_init(&w.driver, &w.driver_opts), 0);
	total = w.logged;
	cr_assert_gt(total, 20);
	w.before = nth_fails;
	for (unsigned n = 1; n <= total; n++) {
		w.n = n;
		w.logged = 0;
		cr_expect_eq(fph_pci_driver_init(&w.driver, &w.driver_opts), -EIO, "%u", n);
		cr_expect_eq(w.logged, n, "and no access after it");
	}
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
	struct fph_range out[8], pages[2] = { ram_page(1), ram_page(2) };
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

Test(pci, every_access_of_a_round_may_fail)
{
	unsigned n = 1;

	wire_up(&w);
	w.before = nth_fails;
	while (round_with_a_fault(n))
		n++;
	cr_expect_gt(n, 10);
	wire_expect_round(&w);
}

/* ------------------------------------------------------------ what the driver does */

static bool is_doorbell(const struct access *a)
{
	return a->write && a->len == 2 && a->offset >= FPH_PCI_NOTIFY &&
	       a->offset < FPH_PCI_NOTIFY + FPH_PCI_NOTIFY_MUL * FPH_QUEUE_COUNT;
}

/* Is it one that the specification allows a driver? */
static bool is_documented(const struct access *a)
{
	uint32_t offset = (uint32_t)a->offset;

	if (a->config)
		return !a->write || (offset == 0x04 && a->len == 2);
	if (a->bar != 0)
		return false;
	if (offset < ISR) {
		bool read_only = offset == COMMON(DEVICE_FEATURE) || offset == COMMON(NUM_QUEUES) ||
				 offset == COMMON(GENERATION) || offset == COMMON(QUEUE_NOTIFY_OFF);

		return a->len == field_width(offset) && !(a->write && read_only);
	}
	if (offset == ISR)
		return !a->write && a->len == 1;
	if (offset < FPH_PCI_NOTIFY)
		return offset >= CONFIG && offset < CONFIG + 16 && a->len == 4;
	return is_doorbell(a);
}

/* PC-9, PC-10, over search, attach, rounds, statistics, reset: each access. */
static void judge_all(uint16_t vectors)
{
	bool enabled[FPH_QUEUE_COUNT] = { false }, placed = false;
	uint32_t sel[2] = { 99, 99 }, queue = 99;

	wire_options(&w);
	w.driver_opts.vectors = vectors;
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

		cr_assert(is_documented(a), "access %u: %u bytes at 0x%lx", i, a->len,
			  (unsigned long)a->offset);
		if (a->config || a->offset >= ISR)
			continue;
		if (a->offset == COMMON(DEVICE_FEATURE_SELECT))
			sel[0] = a->value;
		if (a->offset == COMMON(DRIVER_FEATURE_SELECT))
			sel[1] = a->value;
		if (a->offset == COMMON(DEVICE_FEATURE))
			cr_expect_leq(sel[0], 1);
		if (a->offset == COMMON(DRIVER_FEATURE))
			cr_expect_leq(sel[1], 1);
		if (a->offset == COMMON(QUEUE_SELECT))
			queue = a->value;
		if (!a->write || a->offset < COMMON(QUEUE_SIZE))
			continue;
		cr_assert_lt(queue, FPH_QUEUE_COUNT, "no queue was selected");
		cr_expect_not(enabled[queue], "PC-10: field 0x%lx of queue %u after enabling it",
			      (unsigned long)a->offset, queue);
		if (a->offset == COMMON(QUEUE_SIZE)) {
			cr_expect(a->value && (a->value & (a->value - 1)) == 0, "PC-10");
			placed = true;
		}
		if (a->offset == COMMON(QUEUE_ENABLE)) {
			cr_expect_eq(a->value, 1, "PC-10");
			cr_expect(placed, "PC-10");
			enabled[queue] = true;
			placed = false;
		}
	}
	cr_expect(enabled[2] && enabled[3]);
}

Test(pci, pc9_pc10_driver_makes_only_accesses_that_are_documented)
{
	judge_all(0);
	judge_all(1);
	judge_all(2);
}
