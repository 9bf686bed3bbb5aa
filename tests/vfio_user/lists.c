/* SPDX-License-Identifier: MIT */
#include "ring.h"
#include "vfio_user/server.h"
#include "vq.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

/* The other queues of a balloon, over shared memory and by messages: the outcome is one. */

#define ALL (FPH_F_PAGE_REPORTING | FPH_F_DEFLATE_ON_OOM)

static void start(struct peer *p, bool shared)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;

	o.device.offer = ALL;
	peer_start(p, 0, &o, shared);
	peer_take_interrupts(p);
	peer_write(p, VFIO_REGION_CONFIG, 0x9a, 2, 0x8000); /* MSI-X on */
	ring_up(p);
}

BOTH_WAYS(lists, of_pages_are_read)
{
	static struct peer p;

	start(&p, *shared);
	ring_put_numbers(&p, 300);
	ring_put_desc(&p, INFLATE, 0, (struct ring_desc){ RING_DATA, 1200, 0, 0 });
	ring_avail(&p, INFLATE, 0);
	ring_kick(&p, INFLATE);
	cr_expect_eq(p.pages, 300u * 4096);
	cr_expect_eq(ring_used(&p, INFLATE), 1);
	cr_expect(peer_rang(&p, INFLATE + 1));
	/* several chains, cut anywhere */
	ring_put_desc(&p, DEFLATE, 3, (struct ring_desc){ RING_DATA, 1, FPH_DESC_NEXT, 9 });
	ring_put_desc(&p, DEFLATE, 9, (struct ring_desc){ RING_DATA + 1, 2, FPH_DESC_NEXT, 1 });
	ring_put_desc(&p, DEFLATE, 1, (struct ring_desc){ RING_DATA + 3, 9, 0, 0 });
	ring_put_desc(&p, DEFLATE, 5, (struct ring_desc){ RING_DATA + 400, 40, 0, 0 });
	ring_put_desc(&p, DEFLATE, 6, (struct ring_desc){ RING_DATA + 500, 80, 0, 0 });
	p.pages = 0;
	ring_avail(&p, DEFLATE, 3);
	ring_avail(&p, DEFLATE, 5);
	ring_avail(&p, DEFLATE, 6);
	ring_kick(&p, DEFLATE);
	cr_expect_eq(p.pages, 33u * 4096, "%lu", (unsigned long)p.pages / 4096);
	cr_expect_eq(ring_used(&p, DEFLATE), 3);
	cr_expect(peer_rang(&p, DEFLATE + 1));
	cr_expect_eq(fph_device_fault(p.device)->rule, FPH_RULE_NONE);
	peer_close(&p);
}

/* What one chain may make the device do is bounded, and so is what is fetched of it. */
BOTH_WAYS(lists, that_are_too_long_are_cut)
{
	static struct peer p;
	uint64_t bytes = 0;

	start(&p, *shared);
	ring_put_numbers(&p, 6000);
	ring_put_desc(&p, INFLATE, 0, (struct ring_desc){ RING_DATA, 10000, FPH_DESC_NEXT, 1 });
	ring_put_desc(&p, INFLATE, 1, (struct ring_desc){ RING_DATA + 10000, 14000, 0, 0 });
	ring_avail(&p, INFLATE, 0);
	ring_kick(&p, INFLATE);
	cr_expect_eq(p.pages, 4096u * 4096);
	cr_expect_eq(ring_used(&p, INFLATE), 1);
	cr_expect_eq(fph_device_fault(p.device)->rule, FPH_RULE_NONE);
	for (unsigned i = 0; i < p.dma_count; i++)
		bytes += p.dma[i].gpa >= RING_DATA ? p.dma[i].count : 0;
	cr_expect_eq(bytes, *shared ? 0u : 16384u);
	peer_close(&p);
}

BOTH_WAYS(lists, of_statistics_are_read_and_the_buffer_is_kept)
{
	static struct peer p;
	unsigned char entries[100] = { 0 };

	start(&p, *shared);
	ring_put(&p, RING_DATA, entries, sizeof(entries));
	ring_put_desc(&p, STATS, 7, (struct ring_desc){ RING_DATA, 100, 0, 0 });
	ring_avail(&p, STATS, 7);
	ring_kick(&p, STATS);
	cr_expect_eq(p.stats, 10u);
	cr_expect_eq(ring_used(&p, STATS), 0, "BS-1");
	cr_assert_eq(fph_device_ask_stats(p.device), 0);
	peer_pump(&p);
	cr_expect_eq(ring_used(&p, STATS), 1);
	cr_expect(peer_rang(&p, STATS + 1));
	ring_avail(&p, STATS, 7);
	ring_kick(&p, STATS);
	cr_expect_eq(p.stats, 20u);
	peer_close(&p);
}

/* G-4: Linux rings for its first statistics before DRIVER_OK, and never again. */
BOTH_WAYS(lists, that_are_announced_too_early_are_read_at_driver_ok)
{
	static const unsigned char entries[100] = { 0 };
	static struct peer p;

	peer_start(&p, 0, NULL, *shared);
	ring_negotiate(&p, 0);
	for (uint16_t q = 0; q < 4; q++)
		cr_assert(ring_enable(&p, q, RING_DESC(q), RING_DRIVER(q), RING_DEVICE(q)));
	ring_put(&p, RING_DATA, entries, sizeof(entries));
	ring_put_desc(&p, STATS, 0, (struct ring_desc){ RING_DATA, 100, 0, 0 });
	ring_avail(&p, STATS, 0);
	ring_kick(&p, STATS);
	cr_expect_eq(p.stats, 0u);
	cr_expect_eq(p.dma_count, 0u);
	peer_write(&p, 0, 0x14, 1, 0xf);
	peer_pump(&p);
	cr_expect_eq(p.stats, 10u);
	/* once */
	peer_write(&p, 0, 0x14, 1, 0xf);
	peer_pump(&p);
	cr_expect_eq(p.stats, 10u);
	cr_expect_eq(p.troubles, 0u);
	peer_close(&p);
}

BOTH_WAYS(lists, of_reported_pages_lead_to_memory_only)
{
	static struct peer p;

	start(&p, *shared);
	ring_put_desc(&p, REPORT, 0,
		      (struct ring_desc){ RAM_FREE, 0x8000, FPH_DESC_NEXT | FPH_DESC_WRITE, 1 });
	ring_put_desc(&p, REPORT, 1,
		      (struct ring_desc){ VFIO_COPY_GPA(HINT), 0x400000,
					  FPH_DESC_NEXT | FPH_DESC_WRITE, 2 });
	ring_put_desc(&p, REPORT, 2,
		      (struct ring_desc){ VFIO_COPY_GPA(0), 0x400000, FPH_DESC_WRITE, 0 });
	ring_avail(&p, REPORT, 0);
	ring_kick(&p, REPORT);
	cr_expect_eq(p.pages, 0x8000u);
	cr_expect_eq(ring_used(&p, REPORT), 1);
	peer_close(&p);
}

/* A table of 256 descriptors is a page, and so is the device's copy of it. */
Test(lists, of_reported_pages_lead_neither_to_a_ring_nor_to_its_copy)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;
	static const uint64_t at[] = { VFIO_COPY_GPA(REPORT), RING_DESC(REPORT), RAM_FREE };
	static struct peer p;

	o.device.offer = ALL;
	peer_start(&p, 0, &o, false);
	ring_negotiate(&p, 0);
	cr_assert(ring_enable_sized(&p, REPORT, 256, RING_DESC(REPORT), RING_DRIVER(REPORT),
				    RING_DEVICE(REPORT)));
	peer_write(&p, 0, 0x14, 1, 0xf);
	for (uint16_t i = 0; i < 3; i++)
		ring_put_desc(&p, REPORT, i,
			      (struct ring_desc){ at[i], 0x1000,
						  FPH_DESC_WRITE | (i < 2 ? FPH_DESC_NEXT : 0u),
						  (uint16_t)(i + 1) });
	ring_avail(&p, REPORT, 0);
	ring_kick(&p, REPORT);
	cr_expect_eq(p.pages, 0x1000u);
	cr_expect_eq(ring_used(&p, REPORT), 1);
	peer_close(&p);
}

/* Row 69: not of the rings, wherever the device believes them to be. */
BOTH_WAYS(lists, of_hints_leave_out_the_rings)
{
	static struct peer p;
	uint16_t used;

	start(&p, *shared);
	cr_expect_eq(ring_hints_of(&p, RAM_FREE, 0x10000), 1u);
	used = ring_used(&p, HINT);
	cr_expect_eq(used, 2);
	for (uint64_t q = 0; q < 5; q++) {
		cr_expect_eq(ring_hints_of(&p, RING_DESC(q), 0x1000), 0u);
		cr_expect_eq(ring_hints_of(&p, RING_DRIVER(q), 0x1000), 0u);
		cr_expect_eq(ring_hints_of(&p, RING_DEVICE(q), 0x1000), 0u);
		cr_expect_eq(ring_hints_of(&p, VFIO_COPY_GPA(q), 0x400000), 0u);
	}
	cr_expect_eq(ring_hints_of(&p, VFIO_COPY_GPA(0), 0x1800000 - 1), 0u);
	/* Of shared memory one hint that touches them is left out; else all but them counts. */
	cr_expect_eq(ring_hints_of(&p, RAM_GPA, RAM_BYTES), *shared ? 0u : 5u);
	cr_expect_eq(fph_device_fault(p.device)->rule, FPH_RULE_NONE);
	peer_close(&p);
}

/* Rings upon each other are their driver's affair, and nowhere hinted. */
Test(lists, may_stand_upon_each_other)
{
	static struct peer p;

	peer_start(&p, 0, NULL, false);
	ring_negotiate(&p, 0);
	cr_assert(ring_enable(&p, INFLATE, RING_DESC(0), RING_DESC(0) + 0x20, RING_DESC(0) + 0x10));
	cr_assert(ring_enable(&p, DEFLATE, RING_DESC(0) + 0x40, RING_DESC(0), RING_DESC(0)));
	cr_assert(ring_enable(&p, STATS, RING_DESC(0), RING_DESC(0), RING_DESC(0)));
	cr_assert(ring_enable(&p, HINT, RING_DESC(HINT), RING_DRIVER(HINT), RING_DEVICE(HINT)));
	peer_write(&p, 0, 0x14, 1, 0xf);
	for (uint16_t q = 0; q < 3; q++)
		ring_kick(&p, q);
	cr_expect_eq(ring_hints_of(&p, RING_DESC(0), 0x1000), 0u);
	cr_expect_eq(ring_hints_of(&p, RING_DESC(0) + 0x1000, 0x1000), 1u);
	peer_close(&p);
}
