/* SPDX-License-Identifier: MIT */
/* The driver end, by what it does with registers that answer what they like. */
#include "wire.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct wire w;
static struct fph_bus bus;

/* BAR 0 that only stores; configuration space is the device end's. */
static unsigned char file[FPH_PCI_BAR0_SIZE];

static uint32_t peek(uint32_t offset, uint32_t len)
{
	uint32_t value = 0;

	memcpy(&value, file + offset, len);
	return value;
}

static void poke(uint32_t offset, uint32_t len, uint32_t value)
{
	memcpy(file + offset, &value, len);
}

static int from_file(struct wire *wire, struct access *a)
{
	(void)wire;
	if (a->config)
		return 0;
	cr_assert_eq(a->bar, 0);
	cr_assert_leq(a->offset + a->len, sizeof(file));
	if (a->write)
		poke((uint32_t)a->offset, a->len, a->value);
	else
		a->value = peek((uint32_t)a->offset, a->len);
	return 1;
}

static uint32_t notify_length, notify_mul, common_length, device_length;

/* The device end's space, with other lengths. */
static int announces(struct wire *wire, struct access *a)
{
	uint32_t notify = find_cap(wire, 0x09, 2), common = find_cap(wire, 0x09, 1);
	uint32_t device = find_cap(wire, 0x09, 4);

	if (!a->config)
		return from_file(wire, a);
	a->value = a->offset == notify + 12 ? notify_length :
		   a->offset == notify + 16 ? notify_mul :
		   a->offset == common + 12 ? common_length :
		   a->offset == device + 12 ? device_length :
					      space(wire, (uint32_t)a->offset, a->len);
	return !a->write;
}

static void open_driver(uint16_t vectors)
{
	wire_options(&w);
	w.driver_opts.vectors = vectors;
	wire_device(&w);
	w.before = announces;
	notify_length = 20;
	notify_mul = 4;
	common_length = COMMON_SIZE;
	device_length = 16;
	memset(file, 0, sizeof(file));
	bus = fph_pci_driver_bus(&w.driver);
	cr_assert_eq(fph_pci_driver_init(&w.driver, &w.driver_opts), 0);
	w.before = from_file;
	w.logged = 0;
}

static void reopen(uint32_t length, uint32_t mul)
{
	notify_length = length;
	notify_mul = mul;
	w.before = announces;
	cr_assert_eq(fph_pci_driver_init(&w.driver, &w.driver_opts), 0);
	w.before = from_file;
	w.logged = 0;
}

#define BUS(verb, ...) bus.ops->verb(bus.ctx, __VA_ARGS__)

static const struct fph_vq_place place64 = { UINT64_C(0x1122334400), UINT64_C(0x5566778800),
					     UINT64_C(0x99aabbcc00), 64, 0 };

/* M-6, M-7, PC-10 */
Test(pci_driver, pc10_places_no_queue_that_is_enabled_or_too_small)
{
	struct fph_vq_place place = place64;

	open_driver(0);
	poke(COMMON(QUEUE_SIZE), 2, 64);
	poke(COMMON(QUEUE_ENABLE), 2, 1);
	cr_expect_eq(BUS(vq_enable, 3, &place), -EPROTO);
	poke(COMMON(QUEUE_ENABLE), 2, 0);
	poke(COMMON(QUEUE_SIZE), 2, 63);
	cr_expect_eq(BUS(vq_enable, 3, &place), -EPROTO);
	for (unsigned i = 0; i < w.logged; i++)
		cr_expect(!w.log[i].write || w.log[i].offset == COMMON(QUEUE_SELECT));
	place.index = 1;
	cr_expect_eq(BUS(vq_enable, 3, &place), -EINVAL);
	place.index = 0;
	cr_expect_eq(BUS(vq_enable, FPH_QUEUE_COUNT, &place), -EINVAL);
	poke(COMMON(QUEUE_SIZE), 2, 128);
	cr_expect_eq(BUS(vq_enable, 3, &place), 0);
	cr_expect_eq(peek(COMMON(QUEUE_SELECT), 2), 3);
	cr_expect_eq(peek(COMMON(QUEUE_SIZE), 2), 64);
	cr_expect_eq(peek(COMMON(QUEUE_DESC), 4), 0x22334400);
	cr_expect_eq(peek(COMMON(QUEUE_DESC) + 4, 4), 0x11);
	cr_expect_eq(peek(COMMON(QUEUE_DRIVER), 4), 0x66778800);
	cr_expect_eq(peek(COMMON(QUEUE_DRIVER) + 4, 4), 0x55);
	cr_expect_eq(peek(COMMON(QUEUE_DEVICE), 4), 0xaabbcc00);
	cr_expect_eq(peek(COMMON(QUEUE_DEVICE) + 4, 4), 0x99);
	cr_expect_eq(peek(COMMON(QUEUE_ENABLE), 2), 1);
	cr_expect_eq(peek(COMMON(QUEUE_VECTOR), 2), 0, "no vectors, nothing mapped");
}

/* A register that never takes the value. */
static uint32_t stuck_offset, stuck_value;

static int stuck(struct wire *wire, struct access *a)
{
	if (a->config || a->write || a->offset != stuck_offset)
		return from_file(wire, a);
	a->value = stuck_value;
	return 1;
}

Test(pci_driver, a_queue_that_the_device_does_not_take_is_an_error)
{
	open_driver(0);
	w.before = stuck;
	stuck_offset = COMMON(QUEUE_ENABLE);
	stuck_value = 0;
	poke(COMMON(QUEUE_SIZE), 2, 64);
	cr_expect_eq(BUS(vq_enable, 3, &place64), -EPROTO);
	cr_expect_eq(BUS(notify, 3), -EPROTO, "nor has it a doorbell");
}

/* ------------------------------------------------------------ doorbells */

static int enable_with(uint32_t length, uint32_t mul, uint32_t off)
{
	reopen(length, mul);
	poke(COMMON(QUEUE_ENABLE), 2, 0);
	poke(COMMON(QUEUE_SIZE), 2, 64);
	poke(COMMON(QUEUE_NOTIFY_OFF), 2, off);
	return BUS(vq_enable, 2, &place64);
}

/* PC-4, PC-11: a device that lies does not get us out of what it announced. */
Test(pci_driver, pc4_doorbells_stay_inside_of_what_was_announced)
{
	static const struct {
		uint32_t length, mul, off;
		int rc;
		uint32_t at;
	} rows[] = {
		{ 20, 4, 4, 0, 16 },
		{ 20, 4, 5, -EPROTO, 0 },
		{ 18, 4, 4, 0, 16 },
		{ 17, 4, 4, -EPROTO, 0 },
		{ 2, 0, 0, 0, 0 },
		{ 2, 0, 0xffff, 0, 0 }, /* one for all */
		{ 2, 2, 1, -EPROTO, 0 },
		{ 0x1000, 2, 0x7ff, 0, 0xffe },
		{ 0x1000, 2, 0x800, -EPROTO, 0 },
		{ 0x1000, 3, 1, -EPROTO, 0 }, /* odd */
		{ 0x1000, UINT32_MAX, 1, -EPROTO, 0 },
		{ 0x1000, UINT32_MAX, 0xffff, -EPROTO, 0 },
		{ 0x1000, 0x80000000, 2, -EPROTO, 0 },
		{ 0x1000, 0x10000, 0xffff, -EPROTO, 0 },
	};

	open_driver(0);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(enable_with(rows[i].length, rows[i].mul, rows[i].off), rows[i].rc,
			     "%u", i);
		w.logged = 0;
		if (rows[i].rc < 0) {
			cr_expect_eq(BUS(notify, 2), -EPROTO, "%u", i);
			cr_expect_eq(w.logged, 0);
			continue;
		}
		cr_expect_eq(BUS(notify, 2), 0, "%u", i);
		cr_expect_eq(w.logged, 1);
		cr_expect(w.log[0].write && w.log[0].len == 2 && w.log[0].value == 2);
		cr_expect_eq(w.log[0].offset, FPH_PCI_NOTIFY + rows[i].at, "%u", i);
	}
	/* It is read once: what it says later moves nothing. */
	cr_assert_eq(enable_with(20, 4, 2), 0);
	poke(COMMON(QUEUE_NOTIFY_OFF), 2, 0xffff);
	cr_expect_eq(BUS(notify, 2), 0);
	cr_expect_eq(w.log[w.logged - 1].offset, FPH_PCI_NOTIFY + 8);
	cr_expect_eq(BUS(notify, 3), -EPROTO, "not enabled");
	cr_expect_eq(BUS(notify, UINT16_MAX), -EPROTO);
	cr_expect_eq(BUS(set_status, 0), 0);
	cr_expect_eq(BUS(notify, 2), -EPROTO, "not any more");
}

/* ------------------------------------------------------------ queue_reset */

/* PC-2, PC-4: 32 bits need more room, and stand at a multiple of 4. */
Test(pci_driver, pc4_n1_doorbell_data_stays_inside_of_what_was_announced)
{
	static const struct {
		uint32_t length, mul, off;
		int rc;
	} cases[] = {
		{ 4, 4, 0, 0 },	      { 20, 4, 4, 0 },	    { 3, 4, 0, -EPROTO },
		{ 18, 4, 4, -EPROTO }, { 20, 2, 3, -EPROTO }, { 20, 2, 2, 0 },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fph_vq_place place = place64;

		open_driver(0);
		reopen(cases[i].length, cases[i].mul);
		poke(COMMON(QUEUE_ENABLE), 2, 0);
		poke(COMMON(QUEUE_SIZE), 2, 128);
		poke(COMMON(QUEUE_NOTIFY_OFF), 2, cases[i].off);
		cr_assert_eq(BUS(vq_enable, 3, &place), 0, "case %u", i);
		w.logged = 0;
		cr_expect_eq(BUS(notify_data, 3, 0x8005), cases[i].rc, "case %u", i);
		cr_expect_eq(w.logged, cases[i].rc == 0, "case %u", i);
		if (cases[i].rc == 0)
			cr_expect(w.log[0].len == 4 && w.log[0].value == 0x80050003);
		cr_expect_eq(BUS(notify_data, 2, 1), -EPROTO, "it was not enabled");
		cr_expect_eq(BUS(notify_data, FPH_QUEUE_COUNT, 1), -EPROTO);
	}
}

/* PC-10, M-9: read back, and not for ever. */
Test(pci_driver, pc10_m9_a_queue_that_does_not_stop_is_busy)
{
	uint16_t index = 7;

	open_driver(0);
	cr_expect_eq(BUS(accept, FPH_F_VERSION_1), 0);
	w.logged = 0;
	cr_expect_eq(BUS(vq_disable, 2, &index), -EOPNOTSUPP);
	cr_expect_eq(w.logged, 0, "PC-10: nothing writes 0 to queue_enable");
	cr_expect_eq(BUS(accept, FPH_F_VERSION_1 | FPH_F_RING_RESET), 0);
	w.before = stuck;
	stuck_offset = COMMON(QUEUE_RESET);
	stuck_value = 1;
	w.logged = 0;
	cr_expect_eq(BUS(vq_disable, 2, &index), -EBUSY);
	cr_expect_eq(index, 0);
	cr_expect_eq(w.pauses, 10, "tries");
	cr_expect_eq(w.logged, 12);
	cr_expect(w.log[1].write && w.log[1].offset == COMMON(QUEUE_RESET) && w.log[1].value == 1);
	stuck_value = 0;
	cr_expect_eq(BUS(vq_disable, 2, &index), 0);
}

/* A device of virtio 1.0 or 1.1: its structure ends before that register. */
Test(pci_driver, a_short_structure_has_no_queue_reset)
{
	uint64_t offered = 0;

	open_driver(0);
	poke(COMMON(DEVICE_FEATURE), 4, UINT32_MAX);
	cr_expect_eq(BUS(features, &offered), 0);
	cr_expect_eq(offered, UINT64_MAX);
	common_length = COMMON_QUEUE_NOTIFY_DATA;
	reopen(20, 4);
	cr_expect_eq(BUS(features, &offered), 0);
	cr_expect_eq(offered, ~FPH_F_RING_RESET);
}

/* ------------------------------------------------------------ configuration */

/* Row 58: a generation that never settles. */
static int restless(struct wire *wire, struct access *a)
{
	if (a->config || a->write || a->offset != COMMON(GENERATION))
		return from_file(wire, a);
	a->value = wire->n ? wire->n-- : 0;
	return 1;
}

Test(pci_driver, c1_reads_until_the_generation_settles)
{
	unsigned char bytes[12];

	open_driver(0);
	w.before = restless;
	poke(CONFIG, 4, 0x04030201);
	poke(CONFIG + 4, 4, 0x08070605);
	poke(CONFIG + 8, 4, 0x0c0b0a09);
	w.n = 4;
	cr_expect_eq(BUS(config, 0, bytes, 12), 0);
	for (unsigned i = 0; i < 12; i++)
		cr_expect_eq(bytes[i], i + 1);
	cr_expect_eq(w.pauses, 4);
	w.n = 200;
	w.logged = 0;
	cr_expect_eq(BUS(config, 0, bytes, 12), -EAGAIN);
	cr_expect_eq(w.logged, 1 + 10 * 4, "ten tries and no more");
	w.n = 0;
	cr_expect_eq(BUS(config, 5, bytes, 6), 0);
	for (unsigned i = 0; i < 6; i++)
		cr_expect_eq(bytes[i], i + 6, "off the words' edges");
}

/* PC-9: the fields that the device announced, and no byte behind them. */
Test(pci_driver, pc9_no_access_past_the_configurations_end)
{
	static const uint32_t lengths[] = { 12, 14, 15, 16, 17, 64, 0xfffffff0 };
	unsigned char bytes[24];

	open_driver(0);
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint32_t words = lengths[i] / 4 > 6 ? 6 : lengths[i] / 4;

		device_length = lengths[i];
		reopen(20, 4);
		cr_expect_eq(BUS(config, 0, bytes, 24), 0);
		cr_expect_eq(w.logged, 2 + words, "%u", lengths[i]);
		for (uint32_t k = 0; k < 24; k++)
			cr_expect_eq(bytes[k], k < 4 * words ? 0 : 0xff);
		cr_expect_eq(BUS(set_config, 12, bytes, 4), lengths[i] < 16 ? -EINVAL : 0);
	}
	device_length = 16;
	reopen(20, 4);
	cr_expect_eq(BUS(config, UINT32_MAX - 1, bytes, 4), 0);
	cr_expect_eq(bytes[0] & bytes[1] & bytes[2] & bytes[3], 0xff);
	w.logged = 0;
	cr_expect_eq(BUS(set_config, 4, bytes, 3), -EINVAL);
	cr_expect_eq(BUS(set_config, 2, bytes, 4), -EINVAL);
	cr_expect_eq(BUS(set_config, 16, bytes, 4), -EINVAL);
	cr_expect_eq(BUS(set_config, UINT32_MAX - 3, bytes, 4), -EINVAL);
	cr_expect_eq(w.logged, 0);
}

/* The guest role above: it looks again, and then sees what is true. */
static int restless_device(struct wire *wire, struct access *a)
{
	if (a->config || a->write || a->offset != COMMON(GENERATION) || !wire->n)
		return 0;
	a->value = wire->n--;
	return 1;
}

Test(pci_driver, c1_a_guest_outlives_a_generation_that_does_not_settle)
{
	wire_up(&w);
	w.before = restless_device;
	w.n = 100;
	cr_assert_eq(fph_device_start(&w.l.dev), 0);
	cr_expect_eq(loop_step(&w.l), -EAGAIN);
	cr_expect_eq(loop_step(&w.l), -EAGAIN);
	w.n = 0;
	cr_expect_eq(loop_step(&w.l), FPH_GUEST_FEED);
	cr_assert_eq(fph_device_stop(&w.l.dev), 0);
	loop_step(&w.l);
	wire_expect_round(&w);
}

/* ------------------------------------------------------------ interrupts */

/* PC-6: one read of one byte, which acknowledges; unknown bits are nobody's. */
Test(pci_driver, pc6_isr_is_read_once_without_msix)
{
	uint32_t irq = 99;

	open_driver(0);
	poke(ISR, 1, 0xfc);
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, 0);
	poke(ISR, 1, 0xfd);
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, FPH_IRQ_QUEUE);
	cr_expect_eq(w.logged, 2);
	for (unsigned i = 0; i < 2; i++)
		cr_expect(!w.log[i].write && w.log[i].len == 1 && w.log[i].offset == ISR);
	fph_pci_driver_fired(&w.driver, 0);
	poke(ISR, 1, 0);
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, 0, "there is no vector to fire");
}

Test(pci_driver, pc11_vectors_tell_what_they_are_for)
{
	uint32_t irq = 99;

	open_driver(2);
	poke(ISR, 1, 3);
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, 0);
	fph_pci_driver_fired(&w.driver, 0);
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, FPH_IRQ_CONFIG);
	fph_pci_driver_fired(&w.driver, 1);
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, FPH_IRQ_QUEUE);
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, 0, "taken");
	fph_pci_driver_fired(&w.driver, 2);
	fph_pci_driver_fired(&w.driver, UINT16_MAX);
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, 0);
	cr_expect_eq(w.logged, 0, "and the ISR is not touched");
	open_driver(1);
	fph_pci_driver_fired(&w.driver, 0);
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, FPH_IRQ_QUEUE | FPH_IRQ_CONFIG, "PC-11: shared");
	fph_pci_driver_fired(&w.driver, 0);
	cr_expect_eq(BUS(set_status, 0), 0);
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, 0, "of a life before");
}

/* PC-11: mapped, and read back. */
Test(pci_driver, pc11_vectors_are_read_back)
{
	for (uint16_t vectors = 1; vectors <= 2; vectors++) {
		open_driver(vectors);
		poke(COMMON(CONFIG_VECTOR), 2, FPH_PCI_NO_VECTOR);
		poke(COMMON(QUEUE_VECTOR), 2, FPH_PCI_NO_VECTOR);
		poke(COMMON(QUEUE_SIZE), 2, 64);
		cr_expect_eq(BUS(vq_enable, 2, &place64), 0);
		cr_expect_eq(peek(COMMON(QUEUE_VECTOR), 2), vectors - 1u);
		cr_expect_eq(BUS(set_status, 0xb), 0);
		cr_expect_eq(peek(COMMON(CONFIG_VECTOR), 2), FPH_PCI_NO_VECTOR);
		cr_expect_eq(BUS(set_status, 0xf), 0);
		cr_expect_eq(peek(COMMON(CONFIG_VECTOR), 2), 0);

		w.before = stuck;
		stuck_offset = COMMON(QUEUE_VECTOR);
		stuck_value = FPH_PCI_NO_VECTOR;
		poke(COMMON(QUEUE_ENABLE), 2, 0);
		cr_expect_eq(BUS(vq_enable, 2, &place64), -EIO);
		cr_expect_eq(peek(COMMON(QUEUE_ENABLE), 2), 0, "and it is not enabled");
		stuck_offset = COMMON(CONFIG_VECTOR);
		poke(COMMON(STATUS), 1, 0xb);
		cr_expect_eq(BUS(set_status, 0xf), -EIO);
		cr_expect_eq(peek(COMMON(STATUS), 1), 0xb, "nor does it run");
		stuck_value = 5;
		cr_expect_eq(BUS(set_status, 0xf), -EIO);
	}
}

/* ------------------------------------------------------------ a device that is not there */

/* Rows 53 and 55: sizes that no queue has, a status that never reads 0.  PC-11 */
Test(pci_driver, pc11_a_device_that_answers_ones_is_no_device)
{
	uint16_t max = 0;

	open_driver(0);
	memset(file, 0xff, sizeof(file));
	cr_expect_eq(BUS(vq_max, 0, &max), 0);
	cr_expect_eq(max, UINT16_MAX);
	w.before = stuck;
	stuck_offset = COMMON(STATUS);
	stuck_value = 0xff;
	cr_assert_eq(fph_guest_init(&w.l.guest, &w.l.guest_opts), 0);
	for (unsigned i = 0; i < 10; i++)
		cr_expect_eq(fph_guest_attach(&w.l.guest), -EAGAIN);
	stuck_offset = COMMON(STATUS) + 1;
	poke(COMMON(STATUS), 1, 0);
	cr_expect_lt(fph_guest_attach(&w.l.guest), 0);
}

/* A hook that answers more than it was asked for. */
static int too_wide(struct wire *wire, struct access *a)
{
	int rc = from_file(wire, a);

	if (!a->config && !a->write && a->len < 4)
		a->value |= 0xabcdu << 8 * a->len;
	return rc;
}

Test(pci_driver, only_the_bytes_of_an_access_count)
{
	uint16_t max = 0;
	uint8_t status = 0xff;
	uint32_t irq = 99;

	open_driver(0);
	w.before = too_wide;
	poke(COMMON(QUEUE_SIZE), 2, 64);
	cr_expect_eq(BUS(vq_max, 0, &max), 0);
	cr_expect_eq(max, 64);
	cr_expect_eq(BUS(status, &status), 0);
	cr_expect_eq(status, 0);
	cr_expect_eq(BUS(take_irq, &irq), 0);
	cr_expect_eq(irq, 0);
	cr_expect_eq(BUS(vq_enable, 2, &place64), 0);
}
