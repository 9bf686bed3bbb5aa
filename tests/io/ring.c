/* SPDX-License-Identifier: MIT */
#include "witness.h"
#include <criterion/criterion.h>
#include <sys/eventfd.h>

/* ------------------------------------------------------------ order */

/* Next permutation of n small numbers; false after the last one. */
static bool permute(unsigned *p, unsigned n)
{
	unsigned i = n - 1, j = n - 1, t;

	while (i > 0 && p[i - 1] >= p[i])
		i--;
	if (i == 0)
		return false;
	while (p[j] <= p[i - 1])
		j--;
	t = p[i - 1], p[i - 1] = p[j], p[j] = t;
	for (j = n - 1; i < j; i++, j--)
		t = p[i], p[i] = p[j], p[j] = t;
	return true;
}

/* SET_FEATURES is one of the messages: 720 orders. */
Test(ring, starts_with_the_last_thing_it_needs_whatever_the_order)
{
	unsigned order[WITNESS_STEPS + 1] = { 0, 1, 2, 3, 4, 5 }, tried = 0;
	struct rig rig;
	struct front front;

	witness_open(&rig, &front);
	do {
		rig.inflated = 0;
		for (unsigned i = 0; i <= WITNESS_STEPS; i++) {
			cr_assert_eq(rig.inflated, 0u, "ran after %u of the steps", i);
			cr_assert_eq(witness_step(&front, order[i]), 0);
		}
		cr_assert_eq(rig.inflated, 4096u, "does not run");
		cr_assert_eq(front_ask(&front, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
		tried++;
	} while (permute(order, WITNESS_STEPS + 1));
	cr_assert_eq(tried, 720u);
	witness_close(&rig, &front);
}

Test(ring, needs_each_of_the_things_it_needs)
{
	struct rig rig;
	struct front front;

	witness_open(&rig, &front);
	for (unsigned without = 0; without <= WITNESS_STEPS; without++) {
		for (unsigned i = 0; i <= WITNESS_STEPS; i++)
			cr_assert(i == without || witness_step(&front, i) == 0);
		rig_pump(&rig);
		cr_assert_eq(rig.inflated, 0u, "runs without step %u", without);
		cr_assert_eq(front_ask(&front, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	}
	witness_close(&rig, &front);
}

/* The specification: without bit 30 all rings are enabled from the start. */
Test(ring, needs_no_enable_from_a_front_end_without_bit_30)
{
	struct rig rig;
	struct front front;

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, 0), 0);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(witness_step(&front, i), 0);
	cr_assert_eq(rig.inflated, 4096u);
	witness_close(&rig, &front);
}

/* With STATUS, QEMU says DRIVER_OK at the end; what is in the rings then is not announced. */
Test(ring, started_before_driver_ok_is_looked_at_then)
{
	struct rig rig;
	struct front front;

	rig_open(&rig, 0, NULL);
	front_open(&front, &rig, FRONT_STATUS);
	front.kick[0] = eventfd(0, EFD_CLOEXEC);
	witness_fill(&front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	cr_assert_eq(rig.inflated, 0u);
	cr_assert(!(front_get_u64(&front, VU_GET_STATUS) & FPH_STATUS_DRIVER_OK));
	cr_assert_eq(front_ask_u64(&front, VU_SET_STATUS, FPH_STATUS_DRIVER_OK), 0);
	cr_assert_eq(rig.inflated, 4096u);
	witness_close(&rig, &front);
}

/* Where the last driver had its rings is nothing to a new one. */
Test(ring, of_the_last_driver_does_not_run_for_the_next)
{
	struct rig rig;
	struct front front;

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	cr_assert_eq(rig.inflated, 4096u);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	cr_assert_eq(witness_step(&front, 4), 0);
	cr_assert_eq(eventfd_write(front.kick[0], 1), 0);
	rig_pump(&rig);
	cr_assert_eq(rig.inflated, 4096u);
	witness_start(&front);
	cr_assert_eq(rig.inflated, 8192u);
	witness_close(&rig, &front);
}

Test(ring, is_not_changed_while_it_runs)
{
	struct rig rig;
	struct front front;

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(witness_step(&front, i), 1, "step %u", i);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_ENABLE, 0, 0), 0);
	for (unsigned i = 0; i < 5; i++)
		cr_assert_eq(witness_step(&front, i), 0, "step %u", i);
	witness_close(&rig, &front);
}

Test(ring, stopped_by_get_vring_base_waits_for_another_kick_descriptor)
{
	struct rig rig;
	struct front front;
	struct vu_ring_state state = { 0, 0 };
	struct vu_header head;

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	front_send(&front, VU_GET_VRING_BASE, VU_NEED_REPLY, &state, sizeof(state), NULL, 0);
	cr_assert_eq(front_recv(&front, &head, &state, sizeof(state)), 8);
	cr_assert_eq(state.num, 1u);
	/* Another buffer; it is seen when the ring runs again, from where it stopped. */
	((uint16_t *)(void *)(front.ram + 0x101000))[1] = 2;
	cr_assert_eq(eventfd_write(front.kick[0], 1), 0);
	rig_pump(&rig);
	cr_assert_eq(rig.inflated, 4096u);
	cr_assert_eq(witness_step(&front, 3), 0);
	cr_assert_eq(rig.inflated, 8192u);
	witness_close(&rig, &front);
}

/* A doorbell rung on the old descriptor would be lost with it. */
Test(ring, that_gets_another_kick_descriptor_while_it_runs_is_looked_at)
{
	struct rig rig;
	struct front front;

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	rig_pump(&rig);
	cr_assert_eq(rig.inflated, 4096u);
	((uint16_t *)(void *)(front.ram + 0x101000))[1] = 2;
	cr_assert_eq(witness_step(&front, 3), 0);
	cr_expect_eq(rig.inflated, 8192u);
	witness_close(&rig, &front);
}

Test(ring, that_never_ran_answers_with_the_base_it_was_given)
{
	struct rig rig;
	struct front front;
	struct vu_ring_state state = { 2, 0 };
	struct vu_header head;

	witness_open(&rig, &front);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_BASE, 2, 17), 0);
	front_send(&front, VU_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
	cr_assert_eq(front_recv(&front, &head, &state, sizeof(state)), 8);
	cr_assert_eq(state.index, 2u);
	cr_assert_eq(state.num, 17u);
	witness_close(&rig, &front);
}

Test(ring, stopped_by_reset_owner_needs_enable)
{
	struct rig rig;
	struct front front;

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	cr_assert_eq(front_ask(&front, VU_RESET_OWNER, NULL, 0, NULL, 0), 0);
	((uint16_t *)(void *)(front.ram + 0x101000))[1] = 2;
	cr_assert_eq(eventfd_write(front.kick[0], 1), 0);
	rig_pump(&rig);
	cr_assert_eq(rig.inflated, 4096u);
	cr_assert_eq(witness_step(&front, 4), 0);
	cr_assert_eq(rig.inflated, 8192u);
	witness_close(&rig, &front);
}

/* ------------------------------------------------------------ place */

/* #14, #16, #17 */
Test(ring, outside_of_memory_or_misplaced_is_refused)
{
	const uint64_t end = FRONT_GPA + FRONT_BYTES;
	const struct {
		uint64_t desc, avail, used;
		unsigned num;
	} places[] = {
		{ 0, RING_GPA + 0x1000, RING_GPA + 0x2000, 16 },
		{ RING_GPA, end, RING_GPA + 0x2000, 16 },
		{ RING_GPA, RING_GPA + 0x1000, end - 16, 16 },	 /* the end of it sticks out */
		{ end - 255, RING_GPA + 0x1000, RING_GPA + 0x2000, 16 },
		{ UINT64_MAX - 15, RING_GPA + 0x1000, RING_GPA + 0x2000, 16 },
		{ RING_GPA + 8, RING_GPA + 0x1000, RING_GPA + 0x2000, 16 }, /* misaligned */
		{ RING_GPA, RING_GPA + 0x1001, RING_GPA + 0x2000, 16 },
		{ RING_GPA, RING_GPA + 0x1000, RING_GPA + 0x2002, 16 },
		{ RING_GPA, RING_GPA + 0x1000, RING_GPA + 0x2000, 15 }, /* no power of two */
		{ RING_GPA, RING_GPA + 0x1000, RING_GPA + 0x2000, 512 }, /* above the limit */
	};
	struct rig rig;
	struct front front;

	witness_open(&rig, &front);
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
		cr_assert_eq(front_ask_state(&front, VU_SET_VRING_NUM, 0, places[i].num), 0);
		cr_assert_eq(witness_addr(&front, places[i].desc, places[i].avail, places[i].used), 0);
		cr_assert_eq(witness_step(&front, 2), 0);
		cr_assert_eq(witness_step(&front, 3), 0);
		cr_assert_eq(witness_step(&front, 4), 1, "place %u", i);
		cr_assert_eq(rig.inflated, 0u);
	}
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	cr_assert_eq(rig.inflated, 4096u);
	witness_close(&rig, &front);
}

Test(ring, number_that_this_device_does_not_have_is_refused_when_it_should_run)
{
	struct rig rig;
	struct front front;
	uint64_t user;
	struct vu_ring_addr addr;

	witness_open(&rig, &front);
	user = (uintptr_t)front.ram - FRONT_GPA;
	addr = (struct vu_ring_addr){ 4, 0, user + RING_GPA, user + RING_GPA + 0x2000,
				      user + RING_GPA + 0x1000, 0 };
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_NUM, 4, 16), 0);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_BASE, 4, 0), 0);
	cr_assert_eq(front_ask(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	cr_assert_eq(front_give_fd(&front, VU_SET_VRING_KICK, 4, front.kick[0]), 0);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_ENABLE, 4, 1), 1);
	witness_close(&rig, &front);
}
