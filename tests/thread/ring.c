/* SPDX-License-Identifier: MIT */
/*
 * The two ends of a ring on two threads, with nothing between them but the ring.
 *
 * Each buffer's content is written with plain stores, by the driver before it shows
 * the buffer and by the device before it returns it: so ThreadSanitizer sees it if
 * barrier A or B is missing.  Then again with doorbells and interrupts, where an end
 * sleeps if the other is to wake it: if C or D is missing it sleeps for ever.  V-7
 */
#include <err.h>
#include <vq.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define GPA	 0x40000000u
#define SIZE	 8u
#define BUFFERS	 100000u
#define PATIENCE 10 /* seconds in which anything wakes */

static _Alignas(4096) unsigned char ram[4096 + SIZE * 64];
static struct fph_region region = { .gpa = GPA, .len = sizeof(ram), .hva = ram };
static const struct fph_mem mem = { .regions = &region, .count = 1 };
static struct fph_guest_slot slots[SIZE];
static struct fph_vq_drv drv;
static struct fph_vq_dev dev;
/* Relaxed counters, which order nothing: the ring's barriers are all there is. */
static unsigned doorbell, interrupt;

#define MUST(holds)                                                                                \
	do {                                                                                       \
		if (!(holds)) {                                                                    \
			printf("ring.c:%d: %s does not hold\n", __LINE__, #holds);                 \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static uint64_t *content(uint64_t gpa)
{
	return fph_mem_at(&mem, gpa, 8);
}

static uint64_t buffer_gpa(uint16_t slot)
{
	return GPA + 4096 + 64u * slot;
}

static void ring_bell(unsigned *bell)
{
	__atomic_store_n(bell, __atomic_load_n(bell, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

static unsigned heard(const unsigned *bell)
{
	return __atomic_load_n(bell, __ATOMIC_RELAXED);
}

/* Sleep until the bell rings that had rung `last` times. */
static void wait_for(const unsigned *bell, unsigned last)
{
	time_t start = time(NULL);

	for (unsigned spins = 1; heard(bell) == last; spins++)
		if (spins % 4096 == 0) {
			MUST(time(NULL) - start < PATIENCE); /* else a wake-up was lost */
			sched_yield();
		}
}

/* Buffer n holds n when it is shown and ~n when it comes back. */
static void show(uint64_t n)
{
	uint16_t slot = fph_vq_drv_slot(&drv);

	*content(buffer_gpa(slot)) = n;
	fph_vq_drv_add(&drv, buffer_gpa(slot), 8, FPH_SLOT_HINT);
}

static bool reap(uint64_t n)
{
	struct fph_fault fault;
	uint16_t slot, count;
	int rc = fph_vq_drv_reap(&drv, &slot, &count, &fault);

	MUST(rc >= 0);
	if (rc == 0)
		return false;
	MUST(count == 1 && *content(buffer_gpa(slot)) == ~n);
	fph_vq_drv_free(&drv, slot);
	return true;
}

static void stream_in(void)
{
	uint64_t shown = 0, back = 0;

	while (back < BUFFERS) {
		for (unsigned i = 0; i < 3 && drv.free_count && shown < BUFFERS; i++)
			show(shown++);
		fph_vq_drv_publish(&drv);
		if (!reap(back))
			sched_yield();
		else
			back++;
	}
}

/* Shift the two ends against each other, so that all interleavings come up. */
static void pause_for(uint64_t n)
{
	for (volatile uint64_t i = n % 1000; i > 0; i--)
		;
}

/* One buffer at a time, so that each end sleeps as often as there are buffers. */
static void ping(void)
{
	for (uint64_t n = 0; n < BUFFERS; n++) {
		unsigned last;

		fph_vq_drv_interrupt(&drv, false);
		show(n);
		if (fph_vq_drv_publish(&drv) == 1)
			ring_bell(&doorbell);
		pause_for(n);
		last = heard(&interrupt);
		fph_vq_drv_interrupt(&drv, true);
		while (!reap(n)) {
			wait_for(&interrupt, last); /* perhaps for the buffer before.  V-14 */
			last = heard(&interrupt);
		}
	}
}

/* One buffer, processed and not yet returned. */
static bool take(uint64_t n)
{
	struct fph_fault fault;
	struct fph_vq_buf buf;
	int rc = fph_vq_dev_next(&dev, &buf, &fault);

	MUST(rc >= 0);
	if (rc == 0)
		return false;
	MUST(*content(buf.gpa) == n);
	*content(buf.gpa) = ~n;
	return true;
}

static void *stream_out(void *arg)
{
	for (uint64_t n = 0; n < BUFFERS;) {
		if (take(n))
			n++;
		else
			sched_yield();
		if (n % 2 == 0)
			fph_vq_dev_return(&dev, false);
	}
	return arg;
}

static void *pong(void *arg)
{
	for (uint64_t n = 0; n < BUFFERS;) {
		unsigned last = heard(&doorbell);

		fph_vq_dev_doorbell(&dev, true);
		while (!take(n)) {
			wait_for(&doorbell, last); /* V-17 */
			last = heard(&doorbell);
		}
		fph_vq_dev_doorbell(&dev, false);
		n++;
		if (fph_vq_dev_return(&dev, false) == 1)
			ring_bell(&interrupt);
		pause_for(n % 7);
	}
	return arg;
}

static void run(const char *what, void (*driver)(void), void *(*device)(void *),
		struct fph_vq_format format)
{
	pthread_t thread;

	fph_vq_drv_place(&drv, slots, ram, GPA, SIZE, format, 1);
	MUST(fph_vq_dev_enable(&dev, &mem, &drv.place, SIZE, format) == FPH_RULE_NONE);
	MUST(pthread_create(&thread, NULL, device, NULL) == 0);
	driver();
	MUST(pthread_join(thread, NULL) == 0);
	MUST(drv.free_count == SIZE);
	printf("%u buffers, %s%s%s%s\n", BUFFERS, what, format.packed ? ", packed" : ", split",
	       format.event_idx ? ", event idx" : "", format.in_order ? ", in order" : "");
}

int main(void)
{
	for (unsigned f = 0; f < 8; f++) {
		struct fph_vq_format format = {
			.packed = f & 1,
			.event_idx = f & 2,
			.in_order = f & 4,
		};

		run("polling", stream_in, stream_out, format);
		run("sleeping and waking", ping, pong, format);
	}
	return 0;
}
