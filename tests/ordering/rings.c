/* SPDX-License-Identifier: MIT */
/*
 * What the two ends do, on a ring of two, with the library's own functions.  Each scenario is as
 * short as shows what it is for, so that all of its executions can be gone through.
 */
#include "ordering.h"
#include <vq.h>

#define BUFFER 0x1000u /* bytes of one */

unsigned char order_ram[ORDER_BYTES] __attribute__((aligned(4096)));
struct order_ring order_now;
const char order_no_doorbell[] = "a buffer waits, the device sleeps, and no doorbell rang";
const char order_no_interrupt[] = "a buffer is back, the driver sleeps, and no interrupt came";

static const struct fph_region region = {
	.gpa = ORDER_GPA,
	.len = sizeof(order_ram),
	.hva = order_ram,
};
static const struct fph_mem mem = { .regions = &region, .count = 1 };
static struct fph_guest_slot slots[ORDER_SIZE];
static struct fph_vq_drv drv;
static struct fph_vq_dev dev;
/* What each end found out.  Not shared: read when both have ended. */
static bool rang, interrupted, taken, reaped;

/* ------------------------------------------------------------ the two ends */

static uint64_t gpa_of(unsigned page)
{
	return BUFFER * (uint64_t)(page + 1);
}

/* Queue that many buffers from `page` on, each with its number in it. */
static void add(unsigned page, unsigned n)
{
	struct fph_range pages[ORDER_SIZE];

	for (unsigned i = 0; i < n; i++) {
		order_page_write(page + i, page + i);
		pages[i] = (struct fph_range){ gpa_of(page + i), BUFFER };
	}
	if (order_now.bulk) {
		order_check(fph_vq_drv_add_hints(&drv, pages, n) == n, "there is room");
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		fph_vq_drv_slot(&drv);
		fph_vq_drv_add(&drv, pages[i].gpa, BUFFER, FPH_SLOT_HINT);
	}
}

/* Returns the address of one, or 0. */
static uint64_t take_one(void)
{
	static const struct fph_vq_window window = { 0, BUFFER * (ORDER_PAGES + 1), 0 };
	struct fph_range range;
	struct fph_fault fault;
	struct fph_vq_buf buf;
	int rc;

	if (order_now.bulk && fph_vq_dev_take(&dev, &window, &range, 1) == 1) {
		order_check(range.len == BUFFER, "the length taken is the one shown");
		return range.gpa;
	}
	rc = fph_vq_dev_next(&dev, &buf, &fault);
	order_check(rc >= 0, "what the driver shows is in order");
	if (rc == 0)
		return 0;
	order_check(buf.len == BUFFER && buf.writable && buf.first && buf.last,
		    "the descriptor taken is the one shown");
	return buf.gpa;
}

/* Take a buffer, which is this one, and say in it that it was seen; or there is none. */
static bool take(unsigned page)
{
	uint64_t gpa = take_one();

	if (gpa == 0)
		return false;
	order_check(gpa == gpa_of(page), "the address taken is the one shown");
	order_check(order_page_read(page) == page, "the buffer holds what it held when shown");
	order_page_write(page, ~page);
	return true;
}

static bool reap_one(uint16_t *slot)
{
	struct fph_fault fault;
	uint16_t count;
	int rc = fph_vq_drv_reap(&drv, slot, &count, &fault);

	order_check(rc >= 0, "what the device returns is in order");
	return rc > 0;
}

/* Take all that came back, from this page on, and free it.  Returns how many. */
static unsigned reap(unsigned page)
{
	struct fph_vq_list list = { FPH_NO_SLOT, FPH_NO_SLOT };
	unsigned n = order_now.bulk ? fph_vq_drv_reap_hints(&drv, &list) : 0;
	uint16_t slot = list.first;

	if (n == 0 && reap_one(&slot)) {
		slots[slot].next = FPH_NO_SLOT;
		n = 1;
	}
	for (unsigned i = 0; i < n; i++) {
		uint16_t next = slots[slot].next;

		order_check(slots[slot].gpa == gpa_of(page + i),
			    "the slot that comes back is the oldest");
		order_check(order_page_read(page + i) == ~(page + i),
			    "the buffer holds what the device left");
		fph_vq_drv_free(&drv, slot);
		slot = next;
	}
	return n;
}

/* ------------------------------------------------------------ before */

/* A ring, over which so many buffers went before. */
static void place(void)
{
	struct fph_vq_format format = {
		.packed = order_now.packed,
		.event_idx = order_now.event_idx,
		.in_order = order_now.in_order,
	};

	order_placing(true);
	fph_vq_drv_place(&drv, slots, order_ram, ORDER_GPA, ORDER_SIZE, format, 1);
	order_check(fph_vq_dev_enable(&dev, &mem, &drv.place, ORDER_SIZE, format) == FPH_RULE_NONE,
		    "the ring is a ring");
	order_placing(false);
	rang = interrupted = taken = reaped = false;
	for (unsigned i = 0; i < order_now.laps; i++) {
		add(0, 1);
		fph_vq_drv_publish(&drv);
		order_check(take(0), "one was shown");
		fph_vq_dev_return(&dev, false);
		order_check(reap(0) == 1, "one came back");
	}
}

static void place_shown(void)
{
	place();
	add(0, 2);
	fph_vq_drv_publish(&drv);
}

static void place_silent(void)
{
	place();
	fph_vq_dev_doorbell(&dev, false);
}

static void place_taken(void)
{
	place();
	fph_vq_drv_interrupt(&drv, false);
	add(0, 1);
	fph_vq_drv_publish(&drv);
	order_check(take(0), "one was shown");
}

static void place_silent_both(void)
{
	place_silent();
	fph_vq_drv_interrupt(&drv, false);
}

/* ------------------------------------------------------------ scenarios */

static void show_driver(void)
{
	add(0, 2);
	fph_vq_drv_publish(&drv);
}

/* Looks as often as there are buffers, and no more: else there were no end. */
static void show_device(void)
{
	for (unsigned page = 0, looks = 0; looks < 2; looks++)
		page += take(page);
}

static void return_device(void)
{
	take(0);
	if (!order_now.bulk)
		fph_vq_dev_return(&dev, false);
	take(1);
	fph_vq_dev_return(&dev, false);
}

/* What came back is written anew: the device must be done with reading it. */
static void return_driver(void)
{
	unsigned n = reap(0);

	if (n < 2)
		n += reap(n);
	if (n)
		add(2, n);
	fph_vq_drv_publish(&drv);
}

static void doorbell_driver(void)
{
	add(0, 1);
	rang = fph_vq_drv_publish(&drv) == 1;
}

static void doorbell_device(void)
{
	fph_vq_dev_doorbell(&dev, true);
	taken = take(0);
}

static void doorbell_after(void)
{
	order_check(taken || rang, order_no_doorbell);
}

static void interrupt_device(void)
{
	interrupted = fph_vq_dev_return(&dev, false) == 1;
}

static void interrupt_driver(void)
{
	fph_vq_drv_interrupt(&drv, true);
	reaped = reap(0) == 1;
}

static void interrupt_after(void)
{
	order_check(reaped || interrupted, order_no_interrupt);
}

static void round_driver(void)
{
	doorbell_driver();
	interrupt_driver();
}

static void round_device(void)
{
	doorbell_device();
	if (taken)
		interrupt_device();
}

static void round_after(void)
{
	doorbell_after();
	if (taken)
		interrupt_after();
}

static void nothing(void)
{
}

const struct order_scenario order_scenarios[SCENARIOS] = {
	[SCENARIO_SHOW] = { "show", "the driver shows two buffers, the device takes them", place,
			    show_driver, show_device, nothing },
	[SCENARIO_RETURN] = { "return",
			      "the device takes and returns two, the driver reaps and shows two "
			      "more",
			      place_shown, return_driver, return_device, nothing },
	[SCENARIO_DOORBELL] = { "doorbell",
				"the driver shows one and may ring, the device looks and may sleep",
				place_silent, doorbell_driver, doorbell_device, doorbell_after },
	[SCENARIO_INTERRUPT] = { "interrupt",
				 "the device returns one and may interrupt, the driver looks and "
				 "may sleep",
				 place_taken, interrupt_driver, interrupt_device, interrupt_after },
	[SCENARIO_ROUND] = { "round", "one buffer there and back, both may sleep",
			     place_silent_both, round_driver, round_device, round_after },
};
