/* SPDX-License-Identifier: MIT */
/* Configuration space, chapters 2.5 and 5.5.4: clauses BC, BP, C-1 to C-6. */
#include "support/rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define POISON FPH_F_PAGE_POISON

static struct rig r;

static int read_config(uint32_t offset, void *buf, uint32_t len)
{
	return r.d.bus.ops->config(r.d.bus.ctx, offset, buf, len);
}

static int write_config(uint32_t offset, const void *buf, uint32_t len)
{
	return r.d.bus.ops->set_config(r.d.bus.ctx, offset, buf, len);
}

/* BC-1: which fields there are follows from what is offered. */
static const struct {
	uint64_t offer, withhold;
	uint32_t size;
} spaces[] = {
	{ 0, FPH_F_FREE_PAGE_HINT, 8 },
	{ 0, 0, 12 },
	{ POISON, 0, 16 },
	{ POISON, FPH_F_FREE_PAGE_HINT, 16 },
	{ FPH_F_PAGE_REPORTING | FPH_F_MUST_TELL_HOST, 0, 12 },
};

static void open_space(unsigned i)
{
	rig_options(&r);
	r.l.dev_opts.offer = spaces[i].offer;
	r.l.dev_opts.withhold = spaces[i].withhold;
	rig_device(&r);
	raw_up(&r.d, (RAW_FEATURES & ~spaces[i].withhold) | spaces[i].offer);
}

/* What the space holds, written by hand: little-endian, and 0xff past its end.  BC-2 */
static void expect_image(uint32_t size, const unsigned char image[16], const char *what)
{
	for (uint32_t offset = 0; offset < 20; offset++) {
		for (uint32_t len = 0; len < 24; len++) {
			unsigned char got[26];

			memset(got, 0x77, sizeof(got));
			cr_assert_eq(read_config(offset, got + 1, len), 0);
			for (uint32_t k = 0; k < len; k++)
				cr_assert_eq(got[1 + k],
					     offset + k < size ? image[offset + k] : 0xff,
					     "%s: byte %u of %u at %u", what, k, len, offset);
			cr_assert(got[0] == 0x77 && got[1 + len] == 0x77, "%s: overrun", what);
		}
	}
}

/* rows 41, 42; study 46 */
Test(config, bc1_bc2_device_shows_the_fields_that_exist_at_any_offset_and_width)
{
	for (unsigned i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		unsigned char image[16] = { 0x44, 0x33, 0x22, 0x11, 0xdd, 0xcc, 0xbb, 0xaa,
					    0,	  0,	0,    0,    0x78, 0x56, 0x34, 0x12 };
		bool hint = !(spaces[i].withhold & FPH_F_FREE_PAGE_HINT);

		rig_options(&r);
		r.l.dev_opts.offer = spaces[i].offer;
		r.l.dev_opts.withhold = spaces[i].withhold;
		rig_device(&r);
		cr_assert_eq(raw_negotiate(&r.d, (RAW_FEATURES & ~spaces[i].withhold) |
							 spaces[i].offer),
			     0);
		fph_device_set_num_pages(&r.l.dev, 0x11223344);
		cr_assert_eq(raw_set_config32(&r.d, FPH_CONFIG_ACTUAL, 0xaabbccdd), 0);
		cr_assert_eq(raw_set_config32(&r.d, FPH_CONFIG_POISON, 0x12345678), 0);
		expect_image(spaces[i].size, image, "before DRIVER_OK");
		if (!hint)
			continue;
		raw_up(&r.d, RAW_FEATURES | spaces[i].offer);
		rig_start(&r);
		memset(image + 4, 0, 12);
		memcpy(image + 8, "\x01\x00\x00\x80", 4);
		expect_image(spaces[i].size, image, "in a round");
	}
}

Test(config, reads_far_past_the_end_are_ones)
{
	static const uint32_t offsets[] = { 12, 16, 17, 4096, 0x7fffffff, 0xfffffff0, UINT32_MAX };

	open_space(1);
	for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		unsigned char got[8] = { 0 };

		cr_expect_eq(read_config(offsets[i], got, 8), 0);
		for (unsigned k = 0; k < 8; k++)
			cr_expect_eq(got[k], 0xff, "at %#x + %u", offsets[i], k);
	}
}

Test(config, c3_fields_are_readable_before_features_ok)
{
	rig_options(&r);
	r.l.dev_opts.offer = POISON;
	rig_device(&r);
	fph_device_set_num_pages(&r.l.dev, 7);
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_NUM_PAGES), 7);
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_COMMAND_ID), FPH_COMMAND_STOP);
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_POISON), 0);
}

/* ------------------------------------------------------------ writes */

/* Does a write of len bytes at offset cover the field whole? */
static bool covers(uint32_t offset, uint32_t len, uint32_t field)
{
	for (uint32_t k = field; k < field + 4; k++)
		if (k < offset || k >= offset + len)
			return false;
	return true;
}

/* row 41: read-only fields, across fields, odd offsets and widths, past the end */
Test(config, a_write_counts_for_the_writable_fields_that_it_covers_whole)
{
	unsigned char bytes[24];

	for (unsigned k = 0; k < sizeof(bytes); k++)
		bytes[k] = (unsigned char)(0x81 + k);
	for (uint32_t offset = 0; offset < 18; offset++) {
		for (uint32_t len = 0; len < 24; len++) {
			uint32_t actual = 0x01010101, poison = 0x02020202;

			rig_options(&r);
			r.l.dev_opts.offer = POISON;
			rig_device(&r);
			fph_device_set_num_pages(&r.l.dev, 0x03030303);
			cr_assert_eq(raw_negotiate(&r.d, RAW_FEATURES | POISON), 0);
			cr_assert_eq(raw_set_config32(&r.d, FPH_CONFIG_ACTUAL, actual), 0);
			cr_assert_eq(raw_set_config32(&r.d, FPH_CONFIG_POISON, poison), 0);
			cr_assert_eq(write_config(offset, bytes, len), 0);
			if (covers(offset, len, 4))
				memcpy(&actual, bytes + 4 - offset, 4);
			if (covers(offset, len, 12))
				memcpy(&poison, bytes + 12 - offset, 4);
			cr_assert_eq(fph_device_actual(&r.l.dev), actual, "%u at %u", len, offset);
			cr_assert_eq(fph_device_poison(&r.l.dev), poison, "%u at %u", len, offset);
			cr_assert_eq(raw_config32(&r.d, FPH_CONFIG_NUM_PAGES), 0x03030303);
			cr_assert_eq(raw_config32(&r.d, FPH_CONFIG_COMMAND_ID), FPH_COMMAND_STOP);
			cr_assert_eq(raw_config32(&r.d, FPH_CONFIG_ACTUAL), actual);
		}
	}
}

Test(config, writes_far_past_the_end_are_ignored)
{
	unsigned char bytes[8] = { 9, 9, 9, 9, 9, 9, 9, 9 };

	open_space(2);
	cr_expect_eq(write_config(0xfffffffc, bytes, 8), 0, "4 + 4 wraps to field 0");
	cr_expect_eq(write_config(UINT32_MAX, bytes, 8), 0);
	cr_expect_eq(write_config(16, bytes, 8), 0);
	cr_expect_eq(fph_device_actual(&r.l.dev), 0);
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_NUM_PAGES), 0);
}

/* row 41; study 47 */
Test(config, bc1_command_id_is_read_only_to_the_driver)
{
	uint32_t id;

	rig_up(&r, 0);
	id = rig_hinting(&r);
	cr_expect_eq(raw_set_config32(&r.d, FPH_CONFIG_COMMAND_ID, 0x1234), 0);
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_COMMAND_ID), id);
	cr_expect_eq(raw_set_config32(&r.d, FPH_CONFIG_COMMAND_ID, FPH_COMMAND_DONE), 0);
	cr_expect_eq(fph_device_command(&r.l.dev), id);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
}

Test(config, num_pages_is_read_only_to_the_driver)
{
	rig_up(&r, 0);
	fph_device_set_num_pages(&r.l.dev, 5);
	cr_expect_eq(raw_set_config32(&r.d, FPH_CONFIG_NUM_PAGES, 6), 0);
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_NUM_PAGES), 5);
}

Test(config, g14_nothing_is_written_before_features_ok)
{
	rig_options(&r);
	rig_device(&r);
	cr_expect_eq(raw_set_config32(&r.d, FPH_CONFIG_ACTUAL, 9), -EPROTO);
	cr_expect_eq(raw_set_status(&r.d, 3), 0);
	cr_expect_eq(raw_set_config32(&r.d, FPH_CONFIG_ACTUAL, 9), -EPROTO);
	cr_expect_eq(fph_device_actual(&r.l.dev), 0);
	cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE, "refused, not broken");
}

Test(config, bd11_actual_is_what_the_driver_says)
{
	rig_up(&r, 0);
	cr_expect_eq(fph_device_actual(&r.l.dev), 0);
	cr_expect_eq(raw_set_config32(&r.d, FPH_CONFIG_ACTUAL, 1234), 0);
	cr_expect_eq(fph_device_actual(&r.l.dev), 1234);
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_ACTUAL), 1234);
	cr_expect_eq(raw_take_irq(&r.d), 0, "its own write is no news to it");
}

/* ------------------------------------------------------------ notification; C-6 */

Test(config, c6_every_change_by_the_device_is_notified)
{
	rig_up(&r, 0);
	raw_take_irq(&r.d);
	fph_device_set_num_pages(&r.l.dev, 1);
	cr_expect_eq(raw_take_irq(&r.d), FPH_IRQ_CONFIG);
	fph_device_set_num_pages(&r.l.dev, 1);
	cr_expect_eq(raw_take_irq(&r.d), 0, "no change");
	cr_assert_eq(fph_device_start(&r.l.dev), 0);
	cr_expect_eq(raw_take_irq(&r.d), FPH_IRQ_CONFIG);
	cr_assert_eq(fph_device_start(&r.l.dev), 0);
	cr_expect_eq(raw_take_irq(&r.d), FPH_IRQ_CONFIG, "an id to another id");
	cr_assert_eq(fph_device_stop(&r.l.dev), 0);
	cr_expect_eq(raw_take_irq(&r.d), FPH_IRQ_CONFIG);
	cr_assert_eq(fph_device_stop(&r.l.dev), 0);
	cr_expect_eq(raw_take_irq(&r.d), 0);
	cr_assert_eq(fph_device_done(&r.l.dev), 0);
	cr_expect_eq(raw_take_irq(&r.d), FPH_IRQ_CONFIG);
	cr_assert_eq(fph_device_done(&r.l.dev), 0);
	cr_expect_eq(raw_take_irq(&r.d), 0);
	cr_assert_eq(fph_device_stop(&r.l.dev), 0);
	cr_expect_eq(raw_take_irq(&r.d), 0, "DONE stays DONE");
}

Test(config, c6_the_embedder_is_called_once_until_the_interrupt_is_taken)
{
	rig_up(&r, 0);
	raw_take_irq(&r.d);
	r.l.interrupts = 0;
	fph_device_set_num_pages(&r.l.dev, 1);
	fph_device_set_num_pages(&r.l.dev, 2);
	fph_device_set_num_pages(&r.l.dev, 3);
	cr_expect_eq(r.l.interrupts, 1);
	cr_expect_eq(raw_take_irq(&r.d), FPH_IRQ_CONFIG);
	cr_expect_eq(raw_take_irq(&r.d), 0);
	fph_device_set_num_pages(&r.l.dev, 4);
	cr_expect_eq(r.l.interrupts, 2);
}

/* ------------------------------------------------------------ poison; BP */

Test(config, bp2_device_takes_the_poison_value_before_driver_ok)
{
	rig_options(&r);
	r.l.dev_opts.offer = POISON;
	rig_device(&r);
	cr_assert_eq(raw_negotiate(&r.d, RAW_FEATURES | POISON), 0);
	cr_expect_eq(raw_set_config32(&r.d, FPH_CONFIG_POISON, 0xaa55aa55), 0);
	cr_expect_eq(fph_device_poison(&r.l.dev), 0xaa55aa55); /* BP-4 */
	cr_assert_eq(raw_driver_ok(&r.d), 0);
	cr_expect_eq(fph_device_poison(&r.l.dev), 0xaa55aa55);
}

/* row 45 */
Test(config, bp3_device_ignores_a_poison_value_after_driver_ok)
{
	rig_up(&r, POISON);
	cr_expect_eq(raw_set_config32(&r.d, FPH_CONFIG_POISON, 1), 0);
	cr_expect_eq(fph_device_poison(&r.l.dev), 0);
	cr_expect_eq(raw_config32(&r.d, FPH_CONFIG_POISON), 0);
	cr_expect_eq(fph_device_fault(&r.l.dev)->rule, FPH_RULE_NONE);
}

/* study 54 */
Test(config, a_poison_value_without_the_feature_is_ignored)
{
	rig_options(&r);
	r.l.dev_opts.offer = POISON;
	rig_device(&r);
	cr_assert_eq(raw_negotiate(&r.d, RAW_FEATURES), 0);
	cr_expect_eq(raw_set_config32(&r.d, FPH_CONFIG_POISON, 0xaa55aa55), 0);
	cr_expect_eq(fph_device_poison(&r.l.dev), 0);
}

Test(config, bp2_bp3_guest_writes_the_poison_value_once_before_driver_ok)
{
	rig_guest_options(&r);
	r.dev.offered |= POISON;
	r.dev.config_len = 16;
	r.l.guest_opts.flags = FPH_GUEST_POISON;
	r.l.guest_opts.poison = 0x11223344;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(memcmp(r.dev.config + 12, "\x44\x33\x22\x11", 4), 0);
	memset(r.dev.config + 12, 0, 4);
	rig_guest_show(&r, 0x80000001);
	rig_guest_hint(&r, 0, 3);
	fph_guest_end(&r.l.guest);
	rig_guest_show(&r, FPH_COMMAND_DONE);
	cr_expect_eq(memcmp(r.dev.config + 12, "\0\0\0\0", 4), 0, "written again");
}

Test(config, bf2_guest_writes_no_poison_value_unless_it_was_accepted)
{
	rig_guest_options(&r);
	r.dev.offered |= POISON;
	r.dev.config_len = 16;
	r.l.guest_opts.poison = 0x11223344;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(memcmp(r.dev.config + 12, "\0\0\0\0", 4), 0);
}

/* A5-3: poison has no bearing on hints. */
Test(config, a5_3_hints_are_taken_with_poison_too)
{
	rig_options(&r);
	r.l.dev_opts.offer = POISON;
	rig_device(&r);
	raw_up(&r.d, RAW_FEATURES | POISON);
	rig_hinting(&r);
	raw_hint(&r.d, 0, RAM_HIGH, 0x1000);
	cr_expect_eq(rig_poll(&r), 1);
}

/* ------------------------------------------------------------ guest */

static unsigned widest;

static int watch_width(struct raw_device *d, const char *verb)
{
	if (strcmp(verb, "config") == 0)
		widest = d->config_reads;
	return 0;
}

/* C-1, C-2, A5-9: one field a read, and no opinion about the size of the space */
Test(config, c1_c2_guest_reads_one_field_at_a_time)
{
	static const uint32_t sizes[] = { 12, 13, 16, 4096 };

	for (unsigned i = 0; i < 4; i++) {
		rig_guest_options(&r);
		r.dev.config_len = sizes[i] < 16 ? sizes[i] : 16;
		r.dev.before = watch_width;
		widest = 0;
		rig_guest(&r);
		cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
		cr_expect_eq(widest, 1, "one read at attach");
		cr_expect_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
		cr_expect_eq(widest, 2, "one read a notification");
	}
}

Test(config, g1_guest_does_not_poll_the_command_id)
{
	rig_guest_up(&r);
	cr_assert_eq(r.dev.config_reads, 1);
	for (unsigned i = 0; i < 100; i++)
		cr_expect_geq(loop_step(&r.l), 0);
	cr_expect_eq(r.dev.config_reads, 1);
	cr_expect_eq(rig_guest_show(&r, 0x80000001), FPH_GUEST_FEED);
	for (unsigned i = 0; i < 10; i++) {
		cr_expect_eq(rig_guest_hint(&r, i, 1), 1);
		cr_expect_eq(fph_guest_flush(&r.l.guest), 0);
	}
	cr_expect_eq(r.dev.config_reads, 2);
}

/* row 54: a device that offers hinting and has no such field reads as an id */
Test(config, a_space_that_is_too_short_harms_nobody)
{
	struct fph_range back[4];

	rig_guest_options(&r);
	r.dev.config_len = 8;
	rig_guest(&r);
	cr_assert_eq(fph_guest_attach(&r.l.guest), 0);
	cr_expect_eq(loop_step(&r.l), FPH_GUEST_FEED, "0xffffffff is an id like any");
	cr_expect_eq(rig_guest_hint(&r, 0, 1), 1);
	cr_expect_eq(fph_guest_end(&r.l.guest), 0);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 4), 0);
	cr_expect_eq(fph_guest_reset(&r.l.guest), 0);
	cr_expect_eq(fph_guest_reclaim(&r.l.guest, back, 4), 1);
}
