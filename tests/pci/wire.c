/* SPDX-License-Identifier: MIT */
#include "wire.h"
#include <criterion/criterion.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* ------------------------------------------------------------ the device's side */

/* The device's hooks have the loop as ctx, which is the first member of a wire. */
static void interrupt(void *ctx)
{
	struct wire *w = ctx;

	w->l.interrupts++;
	fph_pci_device_interrupt(&w->device);
}

static void intx(void *ctx, bool high)
{
	struct wire *w = ctx;

	cr_assert_neq(high, w->high, "told of no change");
	w->edges++;
	w->high = high;
}

static void msix(void *ctx, uint16_t vector, uint64_t address, uint32_t data)
{
	struct wire *w = ctx;

	cr_assert_lt(vector, w->device_opts.vectors);
	w->messages[vector]++;
	w->address = address;
	w->data = data;
	fph_pci_driver_fired(&w->driver, (uint16_t)data);
}

/* ------------------------------------------------------------ the driver's side */

static bool is_natural(const struct access *a)
{
	return (a->len == 1 || a->len == 2 || a->len == 4) && a->offset % a->len == 0;
}

/* Returns as `before` does. */
static int make(struct wire *w, struct access *a)
{
	struct access *note = &w->log[w->logged++ % COUNT_OF(w->log)];
	int rc;

	cr_assert(is_natural(a), "%u bytes at 0x%lx", a->len, (unsigned long)a->offset);
	rc = w->before ? w->before(w, a) : 0;
	*note = *a;
	if (rc)
		return rc;
	if (a->config && a->write)
		set_space(w, (uint32_t)a->offset, a->len, a->value);
	else if (a->config)
		a->value = space(w, (uint32_t)a->offset, a->len);
	else if (a->write)
		fph_pci_device_bar_write(&w->device, a->bar, a->offset, a->len, a->value);
	else
		a->value = (uint32_t)fph_pci_device_bar_read(&w->device, a->bar, a->offset, a->len);
	*note = *a;
	return 0;
}

static int config_read(void *ctx, uint32_t offset, uint32_t len, uint32_t *value)
{
	struct access a = { .config = true, .offset = offset, .len = len, .value = *value };
	int rc = make(ctx, &a);

	*value = a.value;
	return rc < 0 ? rc : 0;
}

static int config_write(void *ctx, uint32_t offset, uint32_t len, uint32_t value)
{
	struct access a = { true, true, 0, offset, len, value };
	int rc = make(ctx, &a);

	return rc < 0 ? rc : 0;
}

static int bar_read(void *ctx, uint32_t bar, uint64_t offset, uint32_t len, uint32_t *value)
{
	struct access a = { false, false, bar, offset, len, *value };
	int rc = make(ctx, &a);

	*value = a.value;
	return rc < 0 ? rc : 0;
}

static int bar_write(void *ctx, uint32_t bar, uint64_t offset, uint32_t len, uint32_t value)
{
	struct access a = { true, false, bar, offset, len, value };
	int rc = make(ctx, &a);

	return rc < 0 ? rc : 0;
}

static void drv_pause(void *ctx)
{
	struct wire *w = ctx;

	w->pauses++;
}

/* ------------------------------------------------------------ set-up */

void wire_options(struct wire *w)
{
	struct ram ram = w->l.ram;

	memset(w, 0, sizeof(*w));
	w->l.ram = ram;
	loop_options(&w->l);
	w->l.dev_opts.interrupt = interrupt;
	w->l.guest_opts.bus = fph_pci_driver_bus(&w->driver);
	w->device_opts = (struct fph_pci_device_opts)FPH_PCI_DEVICE_OPTS_INIT;
	w->device_opts.vectors = 4;
	w->device_opts.intx = intx;
	w->device_opts.msix = msix;
	w->device_opts.ctx = w;
	w->driver_opts = (struct fph_pci_driver_opts)FPH_PCI_DRIVER_OPTS_INIT;
	w->driver_opts.config_read = config_read;
	w->driver_opts.config_write = config_write;
	w->driver_opts.bar_read = bar_read;
	w->driver_opts.bar_write = bar_write;
	w->driver_opts.pause = drv_pause;
	w->driver_opts.ctx = w;
	w->driver_opts.tries = 10;
}

void wire_device(struct wire *w)
{
	cr_assert_eq(fph_device_init(&w->l.dev, &w->l.dev_opts), 0);
	w->device_opts.bus = fph_device_bus(&w->l.dev);
	cr_assert_eq(fph_pci_device_init(&w->device, &w->device_opts), 0);
}

void wire_driver(struct wire *w)
{
	cr_assert_eq(fph_pci_driver_init(&w->driver, &w->driver_opts), 0);
	if (w->driver_opts.vectors)
		wire_msix(w);
	cr_assert_eq(fph_guest_init(&w->l.guest, &w->l.guest_opts), 0);
}

void wire_up(struct wire *w)
{
	wire_options(w);
	wire_device(w);
	wire_driver(w);
	loop_attach(&w->l);
}

/* ------------------------------------------------------------ by hand */

uint32_t wire_read(struct wire *w, uint32_t offset, uint32_t len)
{
	return (uint32_t)fph_pci_device_bar_read(&w->device, 0, offset, len);
}

void wire_write(struct wire *w, uint32_t offset, uint32_t len, uint32_t value)
{
	fph_pci_device_bar_write(&w->device, 0, offset, len, value);
}

/* virtio 1.4, 4.1.4.3, typed in once more. */
uint32_t field_width(uint32_t offset)
{
	static const uint8_t widths[0x3c] = {
		[0x00] = 4, [0x04] = 4, [0x08] = 4, [0x0c] = 4, [0x10] = 2, [0x12] = 2, [0x14] = 1,
		[0x15] = 1, [0x16] = 2, [0x18] = 2, [0x1a] = 2, [0x1c] = 2, [0x1e] = 2, [0x20] = 4,
		[0x24] = 4, [0x28] = 4, [0x2c] = 4, [0x30] = 4, [0x34] = 4, [0x38] = 2, [0x3a] = 2,
	};

	return offset < sizeof(widths) ? widths[offset] : 0;
}

uint32_t wire_get(struct wire *w, uint32_t field)
{
	return wire_read(w, field, field_width(field));
}

void wire_set(struct wire *w, uint32_t field, uint32_t value)
{
	wire_write(w, field, field_width(field), value);
}

uint32_t space(struct wire *w, uint32_t offset, uint32_t len)
{
	return fph_pci_device_config_read(&w->device, offset, len);
}

void set_space(struct wire *w, uint32_t offset, uint32_t len, uint32_t value)
{
	fph_pci_device_config_write(&w->device, offset, len, value);
}

uint32_t find_cap(struct wire *w, uint32_t id, uint32_t type)
{
	uint32_t at = space(w, 0x34, 1);

	for (unsigned i = 0; i < 48 && at; i++) {
		if (space(w, at, 1) == id && (id != 0x09 || space(w, at + 3, 1) == type))
			return at;
		at = space(w, at + 1, 1);
	}
	return 0;
}

uint32_t wire_negotiate(struct wire *w)
{
	static const uint8_t steps[] = { 0, 1, 3 };

	for (unsigned i = 0; i < COUNT_OF(steps); i++)
		SET(w, STATUS, steps[i]);
	for (uint32_t sel = 0; sel < 2; sel++) {
		SET(w, DEVICE_FEATURE_SELECT, sel);
		SET(w, DRIVER_FEATURE_SELECT, sel);
		SET(w, DRIVER_FEATURE, GET(w, DEVICE_FEATURE));
	}
	SET(w, STATUS, 0xb);
	return GET(w, STATUS);
}

uint32_t wire_enable(struct wire *w, uint16_t queue)
{
	uint32_t at = (uint32_t)RAM_LOW + 0x10000u * (queue + 1u);

	memset(ram_at(&w->l.ram, at, 0x10000), 0, 0x10000);
	SET(w, QUEUE_SELECT, queue);
	SET(w, QUEUE_SIZE, 16);
	SET(w, QUEUE_DESC, at);
	SET(w, QUEUE_DRIVER, at + 0x4000);
	SET(w, QUEUE_DEVICE, at + 0x8000);
	SET(w, QUEUE_ENABLE, 1);
	return GET(w, QUEUE_ENABLE);
}

void wire_msix(struct wire *w)
{
	uint32_t at = find_cap(w, 0x11, 0);

	cr_assert_neq(at, 0);
	for (uint32_t v = 0; v < w->device_opts.vectors; v++) {
		fph_pci_device_bar_write(&w->device, 1, 16 * v, 8, 0xfee00000);
		fph_pci_device_bar_write(&w->device, 1, 16 * v + 8, 4, v);
		fph_pci_device_bar_write(&w->device, 1, 16 * v + 12, 4, 0);
	}
	set_space(w, at + 2, 2, 0x8000);
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
