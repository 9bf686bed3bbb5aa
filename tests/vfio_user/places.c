/* SPDX-License-Identifier: MIT */
#include "ring.h"
#include "vfio_user/server.h"
#include "vq.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

/* Where rings may stand, in memory that comes both ways, and what is left of them. */

#define OTHER (RAM_GPA + RAM_BYTES) /* the same file once more, another way */

static void start_mixed(struct peer *p, bool shared)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;

	peer_start(p, 0, &o, shared);
	p->serves = true;
	cr_assert_eq(peer_map(p, OTHER, RAM_BYTES, 3, shared ? -1 : p->file, 0), 0);
}

Test(places, in_a_ring_without_a_descriptor_may_lead_to_shared_buffers)
{
	static struct peer p;

	start_mixed(&p, false);
	ring_up(&p);
	ring_put_numbers(&p, 5);
	ring_put_desc(&p, INFLATE, 0,
		      (struct ring_desc){ OTHER + (RING_DATA - RAM_GPA), 20, 0, 0 });
	ring_avail(&p, INFLATE, 0);
	ring_kick(&p, INFLATE);
	cr_expect_eq(p.pages, 5u * 4096);
	cr_expect_eq(p.troubles, 0u);
	peer_close(&p);
}

/* Of copies that another driver had nothing is left, and nothing is to be hinted. */
Test(places, of_the_driver_before_are_forgotten)
{
	static struct peer p;

	start_mixed(&p, false);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t other = i % 2 ? RAM_BYTES : 0;

		memset(p.ram, 0, 5 * RING_BYTES);
		ring_negotiate(&p, 0);
		for (uint16_t q = 0; q < 4; q++)
			cr_assert(ring_enable_sized(&p, q, q == HINT ? RING : 256,
						    RING_DESC(q) + other, RING_DRIVER(q) + other,
						    RING_DEVICE(q) + other));
		peer_write(&p, 0, 0x14, 1, 0xf);
		for (uint64_t q = 0; q < 4; q++)
			cr_expect_eq(ring_hints_by(&p, RING_DATA + 0x40000 + other,
						   VFIO_COPY_GPA(q), 0x400000),
				     0u);
	}
	peer_close(&p);
}

Test(places, in_shared_memory_that_lead_out_of_it_are_named)
{
	static struct peer p;

	start_mixed(&p, true);
	ring_up(&p);
	ring_put_desc(&p, INFLATE, 0, (struct ring_desc){ OTHER, 20, 0, 0 });
	ring_avail(&p, INFLATE, 0);
	ring_kick(&p, INFLATE);
	cr_expect_eq(fph_device_fault(p.device)->rule, FPH_RULE_BUFFER_MEMORY);
	cr_expect_eq(p.troubles, 1u);
	cr_expect(strstr(p.trouble, "share=on"));
	peer_close(&p);
}

Test(places, are_refused_where_half_of_the_ring_is_shared)
{
	static struct peer p;

	start_mixed(&p, true);
	memset(p.ram, 0, 5 * RING_BYTES);
	ring_negotiate(&p, 0);
	cr_expect(!ring_enable(&p, 0, RING_DESC(0), RING_DRIVER(0), RING_DEVICE(0) + RAM_BYTES));
	cr_expect(!ring_enable(&p, 0, RING_DESC(0) + RAM_BYTES, RING_DRIVER(0), RING_DEVICE(0)));
	cr_expect_eq(p.troubles, 1u);
	cr_expect(strstr(p.trouble, "share=on"));
	cr_expect_eq(fph_device_fault(p.device)->rule, FPH_RULE_NONE);
	/* and it may do better */
	cr_expect(ring_enable(&p, 0, RING_DESC(0), RING_DRIVER(0), RING_DEVICE(0)));
	cr_expect(ring_enable(&p, 1, RING_DESC(1) + RAM_BYTES, RING_DRIVER(1) + RAM_BYTES,
			      RING_DEVICE(1) + RAM_BYTES));
	peer_close(&p);
}

/* As without messages: the device refuses it, by its rules. */
Test(places, are_refused_where_no_ring_may_stand)
{
	static const struct {
		uint64_t desc, driver, device;
		unsigned rule;
	} wrong[] = {
		{ RING_DESC(0) + 8, RING_DRIVER(0), RING_DEVICE(0), FPH_RULE_RING_ALIGN },
		{ RING_DESC(0), RING_DRIVER(0) + 1, RING_DEVICE(0), FPH_RULE_RING_ALIGN },
		{ RING_DESC(0), RING_DRIVER(0), RING_DEVICE(0) + 2, FPH_RULE_RING_ALIGN },
		{ 0x1000, RING_DRIVER(0), RING_DEVICE(0), FPH_RULE_RING_MEMORY },
		{ RING_DESC(0), RING_DRIVER(0), RAM_GPA + RAM_BYTES - 16, FPH_RULE_RING_MEMORY },
		{ UINT64_C(0) - 16, RING_DRIVER(0), RING_DEVICE(0), FPH_RULE_RING_MEMORY },
		{ VFIO_COPY_GPA(0), VFIO_COPY_GPA(0), VFIO_COPY_GPA(0), FPH_RULE_RING_MEMORY },
	};
	static struct peer p;

	peer_start(&p, 0, NULL, false);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ring_negotiate(&p, 0);
		cr_assert(ring_enable(&p, 1, RING_DESC(1), RING_DRIVER(1), RING_DEVICE(1)));
		cr_expect(!ring_enable(&p, 0, wrong[i].desc, wrong[i].driver, wrong[i].device));
		cr_expect_eq(fph_device_fault(p.device)->rule, wrong[i].rule, "%zu: %s", i,
			     fph_rule_name(fph_device_fault(p.device)->rule));
	}
	cr_expect_eq(p.troubles, 0u);
	peer_close(&p);
}

/* Rings reset one by one. */
Test(places, of_one_queue_are_reset_alone)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;
	static struct peer p;

	o.device.offer = FPH_F_RING_RESET;
	peer_start(&p, 0, &o, false);
	ring_up(&p);
	ring_put_numbers(&p, 5);
	for (unsigned i = 0; i < 50; i++) {
		p.pages = 0;
		ring_put_desc(&p, INFLATE, 0, (struct ring_desc){ RING_DATA, 20, 0, 0 });
		ring_avail(&p, INFLATE, 0);
		ring_kick(&p, INFLATE);
		cr_expect_eq(p.pages, 5u * 4096);
		cr_expect_eq(ring_hints_of(&p, RAM_FREE, 0x1000), 1u);
		peer_write(&p, 0, 0x16, 2, INFLATE);
		peer_write(&p, 0, 0x3a, 2, 1);
		cr_assert_eq(peer_read(&p, 0, 0x3a, 2), 0u);
		/* where its copy was nothing is to be had any more, be it a page of its own */
		cr_expect_eq(ring_hints_of(&p, VFIO_COPY_GPA(INFLATE), 0x400000), 0u);
		ring_put(&p, RING_DRIVER(INFLATE), "\0\0\0\0", 4);
		cr_assert(ring_enable_sized(&p, INFLATE, i % 2 ? RING : 256, RING_DESC(INFLATE),
					    RING_DRIVER(INFLATE), RING_DEVICE(INFLATE)));
	}
	peer_close(&p);
}

/* M-3: not while hints of it are acted upon. */
BOTH_WAYS(places, of_hints_in_hand_delay_the_reset_of_their_queue)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;
	struct fph_range out[4];
	static struct peer p;
	uint32_t id;

	o.device.offer = FPH_F_RING_RESET;
	peer_start(&p, 0, &o, *shared);
	ring_up(&p);
	cr_assert_eq(fph_device_start(p.device), 0);
	peer_pump(&p);
	id = fph_device_command_id(p.device);
	ring_put(&p, RING_DATA, &id, 4);
	ring_put_desc(&p, HINT, 0, (struct ring_desc){ RING_DATA, 4, FPH_DESC_NEXT, 1 });
	ring_put_desc(&p, HINT, 1, (struct ring_desc){ RAM_FREE, 4096, FPH_DESC_WRITE, 0 });
	ring_avail(&p, HINT, 0);
	ring_kick(&p, HINT);
	cr_assert_eq(fph_device_poll(p.device, out, 4), 1);
	peer_write(&p, 0, 0x16, 2, HINT);
	peer_write(&p, 0, 0x3a, 2, 1);
	cr_expect_eq(peer_read(&p, 0, 0x3a, 2), 1u);
	fph_device_ack(p.device);
	cr_expect_eq(peer_read(&p, 0, 0x3a, 2), 0u);
	peer_close(&p);
}

/* A driver that uses entries before they came back gets no more than a ring of them. */
Test(places, of_used_entries_are_no_longer_than_a_ring)
{
	struct fph_range out[RING];
	static struct peer p;
	uint64_t written = 0;
	uint32_t id;
	int n;

	peer_start(&p, 0, NULL, false);
	ring_up(&p);
	cr_assert_eq(fph_device_start(p.device), 0);
	peer_pump(&p);
	id = fph_device_command_id(p.device);
	ring_put(&p, RING_DATA, &id, 4);
	for (uint16_t i = 0; i < RING - 1; i++)
		ring_put_desc(&p, HINT, i,
			      (struct ring_desc){ RAM_FREE + 4096u * i, 4096, FPH_DESC_WRITE, 0 });
	ring_put_desc(&p, HINT, RING - 1, (struct ring_desc){ RING_DATA, 4, 0, 0 });
	ring_avail(&p, HINT, RING - 1);
	for (uint16_t i = 0; i < RING - 1; i++)
		ring_avail(&p, HINT, i);
	ring_kick(&p, HINT);
	/* All of them again, up to a command whose bytes do not come. */
	for (uint16_t i = 0; i < RING; i++)
		ring_avail(&p, HINT, i);
	p.serves = false;
	p.dma_count = 0;
	ring_kick(&p, HINT);
	for (int i = 0; i < 3; i++) {
		while ((n = fph_device_poll(p.device, out, RING)) > 0)
			;
		cr_expect_eq(n, 0);
		peer_answer(&p);
	}
	cr_assert_eq(p.dma_count, 4u);
	cr_assert_eq(p.dma[3].gpa, RING_DATA);
	while ((n = fph_device_poll(p.device, out, RING)) > 0)
		;
	p.serves = true;
	peer_answer(&p);
	while ((n = fph_device_poll(p.device, out, RING)) > 0)
		;
	peer_pump(&p);
	cr_expect_eq(ring_used(&p, HINT), 2 * RING);
	cr_expect_eq(fph_device_fault(p.device)->rule, FPH_RULE_NONE);
	for (unsigned i = 4; i < p.dma_count; i++)
		written += p.dma[i].command == VFIO_DMA_WRITE ? p.dma[i].count : 0;
	/* of the 31, and of the last one */
	cr_expect_eq(written, (8u * RING + 2) + (8 + 2), "%lu", (unsigned long)written);
	peer_close(&p);
}
