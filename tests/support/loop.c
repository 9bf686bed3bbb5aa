/* SPDX-License-Identifier: MIT */
#include "support/loop.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static void interrupt(void *ctx)
{
	struct loop *l = ctx;

	l->interrupts++;
}

static void hints(void *ctx)
{
	struct loop *l = ctx;

	l->doorbells++;
}

static void pages(void *ctx, enum fph_queue queue, struct fph_range range)
{
	struct loop *l = ctx;
	unsigned i = l->page_calls++;

	if (i < COUNT_OF(l->pages)) {
		l->pages[i].queue = queue;
		l->pages[i].range = range;
	}
}

static void stat(void *ctx, struct fph_stat s)
{
	struct loop *l = ctx;
	unsigned i = l->stat_calls++;

	if (i < COUNT_OF(l->stats))
		l->stats[i] = s;
}

void loop_options(struct loop *l)
{
	struct ram ram = l->ram;

	memset(l, 0, sizeof(*l));
	l->ram = ram;
	ram_init(&l->ram);

	l->dev_opts = (struct fph_device_opts)FPH_DEVICE_OPTS_INIT;
	l->dev_opts.mem = &l->ram.mem;
	l->dev_opts.ctx = l;
	l->dev_opts.interrupt = interrupt;
	l->dev_opts.hints = hints;
	l->dev_opts.pages = pages;
	l->dev_opts.stat = stat;

	l->guest_opts = (struct fph_guest_opts)FPH_GUEST_OPTS_INIT;
	l->guest_opts.bus = fph_device_bus(&l->dev);
	l->guest_opts.ring_size = 16;
	l->guest_opts.slots = l->slots;
	l->guest_opts.ring = (struct fph_region){ LOOP_RING, 0x4000,
						  ram_at(&l->ram, LOOP_RING, 0x4000), 0 };
}

struct fph_bus loop_device_bus(struct loop *l)
{
	return fph_device_bus(&l->dev);
}

void loop_open(struct loop *l)
{
	cr_assert_eq(fph_device_init(&l->dev, &l->dev_opts), 0);
	cr_assert_eq(fph_guest_init(&l->guest, &l->guest_opts), 0);
}

void loop_attach(struct loop *l)
{
	cr_assert_eq(fph_guest_attach(&l->guest), 0);
}

void loop_up(struct loop *l)
{
	loop_options(l);
	loop_open(l);
	loop_attach(l);
}

int loop_step(struct loop *l)
{
	return fph_guest_step(&l->guest, l->now_us);
}

uint32_t loop_round(struct loop *l)
{
	cr_assert_eq(fph_device_start(&l->dev), 0);
	cr_assert_geq(loop_step(l), 0);
	return fph_device_command_id(&l->dev);
}

void loop_hint(struct loop *l, unsigned first, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct fph_range page = ram_page(first + i);

		cr_assert_eq(fph_guest_hint(&l->guest, &page, 1), 1, "page %u", first + i);
	}
	cr_assert_eq(fph_guest_flush(&l->guest), 0);
}

unsigned loop_poll_all(struct loop *l, struct fph_range *out, size_t max)
{
	size_t n = 0;

	for (;;) {
		struct fph_range some[8];
		int got = fph_device_poll(&l->dev, some, COUNT_OF(some));

		if (got == -EAGAIN)
			continue;
		cr_assert_geq(got, 0);
		if (got == 0)
			return (unsigned)n;
		for (int i = 0; i < got; i++) {
			cr_assert_lt(n, max, "more hints than the test expects");
			out[n++] = some[i];
		}
	}
}

struct fph_device_stats loop_device_stats(const struct loop *l)
{
	struct fph_device_stats s = FPH_DEVICE_STATS_INIT;

	cr_assert_eq(fph_device_total_stats(&l->dev, &s), 0);
	return s;
}

struct fph_guest_stats loop_guest_stats(const struct loop *l)
{
	struct fph_guest_stats s = FPH_GUEST_STATS_INIT;

	cr_assert_eq(fph_guest_total_stats(&l->guest, &s), 0);
	return s;
}
