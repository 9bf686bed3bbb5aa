/* SPDX-License-Identifier: MIT */
#include "wire.h"
#include <criterion/criterion.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* The device's hooks have the loop as ctx, which is the first member of a wire. */
static void interrupt(void *ctx)
{
	struct wire *w = ctx;

	w->l.interrupts++;
	fph_mmio_device_interrupt(&w->device);
}

static void line(void *ctx, bool high)
{
	struct wire *w = ctx;

	w->highs += high;
	w->lows += !high;
	w->high = high;
}

static struct access *note(struct wire *w, bool write, uint32_t offset, uint32_t value)
{
	struct access *a = &w->log[w->logged % COUNT_OF(w->log)];

	w->logged++;
	*a = (struct access){write, offset, value};
	return a;
}

static int drv_read(void *ctx, uint32_t offset, uint32_t *value)
{
	struct wire *w = ctx;
	struct access *a = note(w, false, offset, 0);
	int rc = w->before ? w->before(w, false, offset, value) : 0;

	if (rc < 0)
		return rc;
	if (rc == 0)
		*value = wire_read(w, offset);
	a->value = *value;
	return 0;
}

static int drv_write(void *ctx, uint32_t offset, uint32_t value)
{
	struct wire *w = ctx;
	int rc;

	note(w, true, offset, value);
	rc = w->before ? w->before(w, true, offset, &value) : 0;
	if (rc == 0)
		wire_write(w, offset, value);
	return rc < 0 ? rc : 0;
}

static void drv_pause(void *ctx)
{
	struct wire *w = ctx;

	w->pauses++;
}

void wire_options(struct wire *w)
{
	struct ram ram = w->l.ram;

	memset(w, 0, sizeof(*w));
	w->l.ram = ram;
	loop_options(&w->l);
	w->l.dev_opts.interrupt = interrupt;
	w->l.guest_opts.bus = fph_mmio_driver_bus(&w->driver);
	w->driver_opts = (struct fph_mmio_driver_opts)FPH_MMIO_DRIVER_OPTS_INIT;
	w->driver_opts.read = drv_read;
	w->driver_opts.write = drv_write;
	w->driver_opts.pause = drv_pause;
	w->driver_opts.ctx = w;
	w->driver_opts.tries = 10;
}

void wire_device(struct wire *w)
{
	struct fph_mmio_device_opts opts = FPH_MMIO_DEVICE_OPTS_INIT;

	cr_assert_eq(fph_device_init(&w->l.dev, &w->l.dev_opts), 0);
	opts.bus = fph_device_bus(&w->l.dev);
	opts.line = line;
	opts.ctx = w;
	cr_assert_eq(fph_mmio_device_init(&w->device, &opts), 0);
}

void wire_driver(struct wire *w)
{
	cr_assert_eq(fph_mmio_driver_init(&w->driver, &w->driver_opts), 0);
	cr_assert_eq(fph_guest_init(&w->l.guest, &w->l.guest_opts), 0);
}

void wire_up(struct wire *w)
{
	wire_options(w);
	wire_device(w);
	wire_driver(w);
	loop_attach(&w->l);
}

uint32_t wire_read(struct wire *w, uint32_t offset)
{
	return (uint32_t)fph_mmio_device_read(&w->device, offset, 4);
}

void wire_write(struct wire *w, uint32_t offset, uint32_t value)
{
	fph_mmio_device_write(&w->device, offset, 4, value);
}

uint32_t wire_negotiate(struct wire *w)
{
	static const uint8_t steps[] = {0, 1, 3};

	for (unsigned i = 0; i < COUNT_OF(steps); i++)
		wire_write(w, FPH_MMIO_STATUS, steps[i]);
	for (uint32_t sel = 0; sel < 2; sel++) {
		wire_write(w, FPH_MMIO_DEVICE_FEATURES_SEL, sel);
		wire_write(w, FPH_MMIO_DRIVER_FEATURES_SEL, sel);
		wire_write(w, FPH_MMIO_DRIVER_FEATURES, wire_read(w, FPH_MMIO_DEVICE_FEATURES));
	}
	wire_write(w, FPH_MMIO_STATUS, 0xb);
	return wire_read(w, FPH_MMIO_STATUS);
}

uint32_t wire_enable(struct wire *w, uint16_t queue)
{
	uint32_t at = (uint32_t)RAM_LOW + 0x10000u * (queue + 1u);

	memset(ram_at(&w->l.ram, at, 0x10000), 0, 0x10000);
	wire_write(w, FPH_MMIO_QUEUE_SEL, queue);
	wire_write(w, FPH_MMIO_QUEUE_SIZE, 16);
	wire_write(w, FPH_MMIO_QUEUE_DESC_LOW, at);
	wire_write(w, FPH_MMIO_QUEUE_DRIVER_LOW, at + 0x4000);
	wire_write(w, FPH_MMIO_QUEUE_DEVICE_LOW, at + 0x8000);
	wire_write(w, FPH_MMIO_QUEUE_READY, 1);
	return wire_read(w, FPH_MMIO_QUEUE_READY);
}

void wire_expect_round(struct wire *w)
{
	struct fph_range out[8];
	uint64_t rounds = loop_device_stats(&w->l).rounds;

	loop_round(&w->l);
	loop_hint(&w->l, 1, 3);
	cr_assert_eq(loop_poll_all(&w->l, out, 8), 3);
	for (unsigned i = 0; i < 3; i++)
		cr_assert(out[i].gpa == ram_page(1 + i).gpa && out[i].len == 0x1000);
	cr_assert_eq(fph_guest_end(&w->l.guest), 0);
	cr_assert_eq(fph_device_poll(&w->l.dev, out, 8), 0);
	cr_assert(fph_device_round_over(&w->l.dev));
	cr_assert_eq(fph_device_done(&w->l.dev), 0);
	cr_assert(loop_step(&w->l) & FPH_GUEST_RELEASE);
	cr_assert_eq(fph_guest_reclaim(&w->l.guest, out, 8), 3);
	cr_assert_eq(fph_guest_held(&w->l.guest), 0);
	cr_assert_eq(loop_device_stats(&w->l).rounds, rounds + 1);
}
