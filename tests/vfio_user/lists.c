/* SPDX-License-Identifier: MIT */
#include "ring.h"
#include "vfio_user/server.h"
#include "vq.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

/*
 * The other queues of a balloon, over shared memory and by messages: the outcome is the
 * same.  And memory that comes both ways.
 */

/* Two of everything: with a descriptor, and without. */
#define BOTH_WAYS(name)                                                      \
	ParameterizedTestParameters(lists, name)                             \
	{                                                                    \
		static size_t which[] = { 0, 1 };                            \
		return cr_make_param_array(size_t, which, 2);                \
	}                                                                    \
	ParameterizedTest(size_t *shared, lists, name)

#define ALL (FPH_F_PAGE_REPORTING | FPH_F_DEFLATE_ON_OOM)

enum { INFLATE, DEFLATE, STATS, HINT, REPORT };

static void start(struct peer *p, bool shared)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;

	o.device.offer = ALL;
	peer_start(p, 0, &o, shared);
	peer_take_interrupts(p);
	peer_write(p, VFIO_REGION_CONFIG, 0x9a, 2, 0x8000); /* MSI-X on */
	ring_up(p);
}

static void put_numbers(struct peer *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t pfn = (uint32_t)(RAM_FREE / 4096) + i % 1024;

		ring_put(p, RING_DATA + 4 * (uint64_t)i, &pfn, sizeof(pfn));
	}
}

BOTH_WAYS(of_pages_are_read)
{
	static struct peer p;

	start(&p, *shared);
	put_numbers(&p, 300);
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
BOTH_WAYS(that_are_too_long_are_cut)
{
	static struct peer p;
	uint64_t bytes = 0;

	start(&p, *shared);
	put_numbers(&p, 6000);
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

BOTH_WAYS(of_statistics_are_read_and_the_buffer_is_kept)
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

BOTH_WAYS(of_reported_pages_lead_to_memory_only)
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

/* A round by hand; returns how many hints there were of one range. */
static unsigned hints_of(struct peer *p, uint64_t gpa, uint32_t len)
{
	struct fph_range out[64];
	uint32_t id;
	int n, all = 0;

	cr_assert_eq(fph_device_start(p->device), 0);
	id = fph_device_command_id(p->device);
	ring_put(p, RING_DATA + 0x40000, &id, 4);
	ring_put_desc(p, HINT, 0, (struct ring_desc){ RING_DATA + 0x40000, 4, 0, 0 });
	ring_put_desc(p, HINT, 1, (struct ring_desc){ gpa, len, FPH_DESC_WRITE, 0 });
	ring_avail(p, HINT, 0);
	ring_avail(p, HINT, 1);
	ring_kick(p, HINT);
	while ((n = fph_device_poll(p->device, out, 64)) != 0) {
		cr_assert(n > 0, "%d", n);
		for (int i = 0; i < n; i++)
			cr_assert(out[i].gpa >= RAM_GPA &&
				  out[i].gpa + out[i].len <= RAM_GPA + RAM_BYTES);
		all += n;
	}
	peer_pump(p);
	return (unsigned)all;
}

/* Row 69: not of the rings, wherever the device believes them to be. */
BOTH_WAYS(of_hints_leave_out_the_rings)
{
	static struct peer p;
	uint16_t used;

	start(&p, *shared);
	cr_expect_eq(hints_of(&p, RAM_FREE, 0x10000), 1u);
	used = ring_used(&p, HINT);
	cr_expect_eq(used, 2);
	for (uint64_t q = 0; q < 5; q++) {
		cr_expect_eq(hints_of(&p, RING_DESC(q), 0x1000), 0u);
		cr_expect_eq(hints_of(&p, RING_DRIVER(q), 0x1000), 0u);
		cr_expect_eq(hints_of(&p, RING_DEVICE(q), 0x1000), 0u);
		cr_expect_eq(hints_of(&p, VFIO_COPY_GPA(q), 0x400000), 0u);
	}
	cr_expect_eq(hints_of(&p, VFIO_COPY_GPA(0), 0x1800000 - 1), 0u);
	/* Of shared memory one hint that touches them is left out; else all but them counts. */
	cr_expect_eq(hints_of(&p, RAM_GPA, RAM_BYTES), *shared ? 0u : 5u);
	cr_expect_eq(fph_device_fault(p.device)->rule, FPH_RULE_NONE);
	peer_close(&p);
}

/* ------------------------------------------------------------ both kinds of memory */

#define OTHER (RAM_GPA + RAM_BYTES) /* the same file once more, another way */

static void start_mixed(struct peer *p, bool shared)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;

	peer_start(p, 0, &o, shared);
	p->serves = true;
	cr_assert_eq(peer_map(p, OTHER, RAM_BYTES, 3, shared ? -1 : p->file, 0), 0);
}

Test(lists, in_a_ring_without_a_descriptor_may_lead_to_shared_buffers)
{
	static struct peer p;

	start_mixed(&p, false);
	ring_up(&p);
	put_numbers(&p, 5);
	ring_put_desc(&p, INFLATE, 0,
		      (struct ring_desc){ OTHER + (RING_DATA - RAM_GPA), 20, 0, 0 });
	ring_avail(&p, INFLATE, 0);
	ring_kick(&p, INFLATE);
	cr_expect_eq(p.pages, 5u * 4096);
	cr_expect_eq(p.troubles, 0u);
	peer_close(&p);
}

Test(lists, in_shared_memory_that_lead_out_of_it_are_named)
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

Test(lists, are_refused_where_half_of_the_ring_is_shared)
{
	static struct peer p;

	start_mixed(&p, true);
	memset(p.ram, 0, 5 * RING_BYTES);
	ring_negotiate(&p, 0);
	cr_expect(!ring_enable(&p, 0, RING_DESC(0), RING_DRIVER(0),
			       RING_DEVICE(0) + RAM_BYTES));
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
Test(lists, are_refused_where_no_ring_may_stand)
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
Test(lists, of_one_queue_are_reset_alone)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;
	static struct peer p;

	o.device.offer = FPH_F_RING_RESET;
	peer_start(&p, 0, &o, false);
	ring_up(&p);
	put_numbers(&p, 5);
	for (unsigned i = 0; i < 50; i++) {
		p.pages = 0;
		ring_put_desc(&p, INFLATE, 0, (struct ring_desc){ RING_DATA, 20, 0, 0 });
		ring_avail(&p, INFLATE, 0);
		ring_kick(&p, INFLATE);
		cr_expect_eq(p.pages, 5u * 4096);
		cr_expect_eq(hints_of(&p, RAM_FREE, 0x1000), 1u);
		peer_write(&p, 0, 0x16, 2, INFLATE);
		peer_write(&p, 0, 0x3a, 2, 1);
		cr_assert_eq(peer_read(&p, 0, 0x3a, 2), 0u);
		/* where its copy was nothing is to be had any more */
		cr_expect_eq(hints_of(&p, VFIO_COPY_GPA(INFLATE), 0x400000), 0u);
		ring_put(&p, RING_DRIVER(INFLATE), "\0\0\0\0", 4);
		cr_assert(ring_enable(&p, INFLATE, RING_DESC(INFLATE), RING_DRIVER(INFLATE),
				      RING_DEVICE(INFLATE)));
	}
	peer_close(&p);
}
