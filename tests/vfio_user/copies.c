/* SPDX-License-Identifier: MIT */
#include "ring.h"
#include "vfio_user/server.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Memory by messages: their order, what may come between them, and answers that are wrong. */

enum { INFLATE, DEFLATE, STATS, HINT };

static void start(struct peer *p, unsigned loop_flags)
{
	peer_start(p, loop_flags, NULL, false);
	peer_take_interrupts(p);
	cr_assert_eq(peer_attach(p), 0);
}

static void expect_dma(const struct peer *p, unsigned i, uint16_t command, uint64_t count)
{
	cr_assert(i < p->dma_count);
	cr_expect_eq(p->dma[i].command, command, "message %u", i);
	cr_expect_eq(p->dma[i].count, count, "message %u: %lu bytes", i,
		     (unsigned long)p->dma[i].count);
}

/* Barriers A and B by messages: the index first when reading, last when writing. */
BOTH(copies, go_in_the_order_of_a_ring)
{
	static struct peer p;
	struct fph_range out[4];
	uint64_t ring;

	start(&p, (unsigned)*kind);
	cr_assert_eq(fph_device_start(p.device), 0);
	peer_pump(&p);
	while (peer_rang(&p, 0) || peer_rang(&p, 1))
		;
	p.dma_count = 0;
	p.serves = false;
	cr_assert(fph_guest_step(&p.guest, 0) >= 0);
	fph_pci_driver_fired(&p.pci, 0);
	cr_assert(fph_guest_step(&p.guest, 0) & FPH_GUEST_FEED);
	peer_hint(&p, 0, 1);
	/* whatever was posted, one message is out */
	cr_assert_eq(p.dma_count, 1u);
	expect_dma(&p, 0, VFIO_DMA_READ, 4);
	peer_answer(&p);
	expect_dma(&p, 1, VFIO_DMA_READ, 4); /* two entries */
	cr_expect_eq(p.dma[1].gpa, p.dma[0].gpa + 4);
	peer_answer(&p);
	expect_dma(&p, 2, VFIO_DMA_READ, 16 * RING);
	cr_expect_eq(fph_device_poll(p.device, out, 4), 0, "nothing is here yet");
	peer_answer(&p);
	expect_dma(&p, 3, VFIO_DMA_READ, 4); /* the id */
	peer_answer(&p);
	cr_assert_eq(p.dma_count, 4u);
	peer_expect_hints(&p, 0, 1);
	/* The buffers are returned: entries, then the index, then the interrupt. */
	peer_pump(&p);
	expect_dma(&p, 4, VFIO_DMA_WRITE, 16);
	cr_expect(!peer_rang(&p, 1));
	ring = p.dma[4].gpa;
	peer_answer(&p);
	expect_dma(&p, 5, VFIO_DMA_WRITE, 2);
	cr_expect_eq(p.dma[5].gpa, ring - 2);
	cr_expect(!peer_rang(&p, 1));
	peer_answer(&p);
	cr_assert_eq(p.dma_count, 6u);
	cr_expect(peer_rang(&p, 1));
	peer_close(&p);
}

/* 2.5: the client may be waiting for us itself. */
Test(copies, let_requests_be_answered_first)
{
	static struct peer p;

	start(&p, 0);
	peer_round(&p);
	p.serves = false;
	p.dma_count = 0;
	/* A doorbell that waits for its answer: it comes before the first message of ours. */
	peer_send(&p, VFIO_REGION_WRITE, 0,
		  &(struct { struct vfio_region_access a; uint16_t q; }){
			  { FPH_PCI_NOTIFY + 4 * HINT, 0, 2 }, HINT },
		  18, NULL, 0);
	fph_loop_run(p.loop, 0);
	cr_assert(peer_receive(&p));
	cr_expect_eq(p.in.header.flags, VFIO_REPLY);
	cr_expect_eq(p.in.header.command, VFIO_REGION_WRITE);
	peer_pump(&p);
	cr_assert_eq(p.unserved, 1u);
	for (unsigned i = 0; i < 100; i++) {
		p.id = (uint16_t)(p.pending.header.id - 1); /* of the same id as ours */
		cr_expect_eq(peer_read(&p, VFIO_REGION_CONFIG, 0, 4), 0x10451af4u);
		p.id = (uint16_t)(p.pending.header.id - 1);
		peer_post(&p, 0, FPH_PCI_NOTIFY + 4 * HINT, 2, HINT);
	}
	cr_expect_eq(p.unserved, 1u);
	p.serves = true;
	peer_answer(&p);
	peer_hint(&p, 0, 2);
	peer_expect_hints(&p, 0, 2);
	peer_close(&p);
}

/* Interrupts that tell of nothing in a ring wait for no ring. */
Test(copies, do_not_keep_the_configuration_waiting)
{
	static struct peer p;

	start(&p, 0);
	p.serves = false;
	fph_device_set_num_pages(p.device, 5);
	cr_expect(peer_rang(&p, 0));
	peer_close(&p);
}

/* ------------------------------------------------------------ what comes between */

/* The driver's reset, the function's, a queue's memory that goes, other memory that goes. */
static void reset_by_driver(struct peer *p)
{
	peer_write(p, 0, 0x14, 1, 0);
}

static void reset_function(struct peer *p)
{
	cr_assert_eq(peer_ask(p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
}

static void unmap(struct peer *p)
{
	cr_assert_eq(peer_unmap(p, RAM_GPA, RAM_BYTES), 0);
	cr_expect_eq(fph_device_fault(p->device)->rule, FPH_RULE_NONE);
	cr_assert_eq(peer_map(p, RAM_GPA, RAM_BYTES, 3, -1, 0), 0);
}

static void replace(struct peer *p)
{
	cr_assert_eq(peer_unmap(p, RAM_GPA, RAM_BYTES), 0);
	cr_assert_eq(peer_map(p, RAM_GPA, RAM_BYTES, 3, p->file, 0), 0);
}

static void (*const events[])(struct peer *p) = {
	reset_by_driver, reset_function, unmap, replace
};

/* At every message of a round. */
BOTH(copies, bear_resets_and_maps_at_any_time)
{
	static struct peer p;

	for (size_t e = 0; e < 4; e++) {
		for (unsigned at = 0; at < 12; at++) {
			peer_start(&p, (unsigned)*kind, NULL, false);
			peer_take_interrupts(&p);
			cr_assert_eq(peer_attach(&p), 0);
			peer_round(&p);
			peer_hint(&p, 0, 2);
			p.serves = false;
			peer_hint(&p, 2, 2);
			for (unsigned i = 0; i < at && p.unserved; i++) {
				p.unserved = 0;
				peer_answer(&p);
				if (i == 5)
					fph_device_stop(p.device);
			}
			events[e](&p);
			if (p.unserved) {
				p.unserved = 0;
				p.serves = true;
				peer_answer(&p); /* of a question that nobody has any more */
			}
			p.serves = true;
			cr_assert_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
			memset(p.ram, 0, 0x4000);
			cr_assert_eq(peer_attach(&p), 0, "event %zu at %u", e, at);
			while (peer_rang(&p, 0) || peer_rang(&p, 1))
				;
			peer_whole_round(&p, 8);
			cr_assert_eq(p.troubles, 0u, "%s", p.trouble);
			cr_assert_eq(peer_stats(&p).refused, 0u);
			peer_close(&p);
		}
	}
}

/* Memory that has nothing to do with it: what was begun begins anew. */
Test(copies, go_on_when_other_memory_goes)
{
	static struct peer p;

	for (unsigned at = 0; at < 5; at++) {
		peer_start(&p, 0, NULL, false);
		peer_take_interrupts(&p);
		cr_assert_eq(peer_map(&p, 0, 0x1000, 1, -1, 0), 0);
		cr_assert_eq(peer_attach(&p), 0);
		peer_round(&p);
		p.serves = false;
		peer_hint(&p, 0, 2);
		for (unsigned i = 0; i < at && p.unserved; i++) {
			p.unserved = 0;
			peer_answer(&p);
		}
		cr_assert_eq(peer_unmap(&p, 0, 0x1000), 0);
		p.serves = true;
		if (p.unserved)
			peer_answer(&p);
		peer_expect_hints(&p, 0, 2);
		peer_close(&p);
	}
}

/* #82: the client may be gone at each of them. */
BOTH(copies, bear_an_end_at_any_message)
{
	static struct peer p;
	unsigned fds;

	peer_serve(&p, (unsigned)*kind, NULL);
	fds = count_fds();
	for (unsigned at = 0; at < 12; at++) {
		peer_connect(&p);
		cr_assert(peer_version(&p) > 0);
		cr_assert_eq(peer_map(&p, RAM_GPA, RAM_BYTES, 3, -1, 0), 0);
		p.serves = true;
		memset(p.ram, 0, 0x4000);
		cr_assert_eq(peer_attach(&p), 0);
		peer_round(&p);
		p.serves = false;
		p.unserved = 0;
		peer_hint(&p, 0, 2);
		for (unsigned i = 0; i < at && p.unserved; i++) {
			p.unserved = 0;
			peer_answer(&p);
			if (i == 3)
				fph_device_stop(p.device);
		}
		peer_hang_up(&p);
		cr_assert_eq(count_fds(), fds);
		cr_expect_eq(fph_device_start(p.device), -ENOTCONN);
	}
	peer_close(&p);
}

/* ------------------------------------------------------------ answers that are wrong */

static void refuse(struct peer *p, uint32_t flags, uint32_t error, int64_t addr, int64_t count,
		   int32_t extra)
{
	unsigned char bytes[1024] = { 0 };
	struct vfio_header h = p->pending.header;
	struct vfio_dma_access a;

	memcpy(&a, p->pending.body, sizeof(a));
	h.flags = flags;
	h.error = error;
	h.size = flags & VFIO_ERROR ? 16 : (uint32_t)(32 + (int64_t)a.count + extra);
	a.addr += (uint64_t)addr;
	a.count += (uint64_t)count;
	memcpy(bytes, &h, sizeof(h));
	memcpy(bytes + sizeof(h), &a, sizeof(a));
	cr_assert(peer_send_bytes(p, bytes, h.size, NULL, 0));
	peer_pump(p);
}

Test(copies, that_cannot_be_had_stop_the_queue_and_are_named)
{
	static const struct {
		uint32_t flags;
		uint32_t error;
		int64_t addr, count;
		int32_t extra;
	} wrong[] = {
		{ VFIO_REPLY | VFIO_ERROR, EIO, 0, 0, 0 },
		{ VFIO_REPLY | VFIO_ERROR, ENOTSUP, 0, 0, 0 },
		{ VFIO_REPLY, 0, 0, 0, -1 },
		{ VFIO_REPLY, 0, 0, 0, 1 },
		{ VFIO_REPLY, 0, 0, 0, -4 },
		{ VFIO_REPLY, 0, 0, 0, -16 },
		{ VFIO_REPLY, 0, 0, 1, 0 },
		{ VFIO_REPLY, 0, 0, -1, 0 },
		{ VFIO_REPLY, 0, 4096, 0, 0 },
	};
	static struct peer p;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		start(&p, 0);
		peer_round(&p);
		p.serves = false;
		peer_hint(&p, 0, 2);
		refuse(&p, wrong[i].flags, wrong[i].error, wrong[i].addr, wrong[i].count,
		       wrong[i].extra);
		cr_expect_eq(p.troubles, 1u, "%zu", i);
		cr_expect(strstr(p.trouble, "share=on"));
		cr_expect_eq(fph_device_start(p.device), -ENOTCONN, "%zu", i);
		cr_expect_eq(fph_device_fault(p.device)->rule, FPH_RULE_NONE);
		/* It asks no more; until the driver begins anew. */
		p.unserved = 0;
		peer_post(&p, 0, FPH_PCI_NOTIFY + 4 * HINT, 2, HINT);
		peer_pump(&p);
		cr_expect_eq(p.unserved, 0u);
		p.serves = true;
		cr_assert_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
		memset(p.ram, 0, 0x4000);
		cr_assert_eq(peer_attach(&p), 0);
		while (peer_rang(&p, 0) || peer_rang(&p, 1))
			;
		peer_whole_round(&p, 4);
		peer_close(&p);
	}
}

/* Those to another question are refused, and the right one is waited for. */
Test(copies, take_the_answer_to_their_own_question_only)
{
	static struct peer p;
	struct vfio_header h;

	start(&p, 0);
	peer_round(&p);
	p.serves = false;
	peer_hint(&p, 0, 2);
	for (unsigned i = 0; i < 3; i++) {
		h = p.pending.header;
		h.flags = VFIO_REPLY;
		h.size = 16;
		if (i == 0)
			h.id++;
		else if (i == 1)
			h.command = VFIO_DMA_WRITE;
		else
			h.command = VFIO_REGION_READ;
		cr_assert(peer_send_bytes(&p, &h, sizeof(h), NULL, 0));
		peer_pump(&p);
		cr_assert(peer_receive(&p));
		cr_expect_eq(p.in.header.error, (uint32_t)EINVAL);
	}
	p.serves = true;
	peer_answer(&p);
	peer_expect_hints(&p, 0, 2);
	/* and the same answer twice is one too many */
	cr_assert_eq(p.troubles, 0u);
	peer_close(&p);
}

/* Old QEMUs answer a write by a header alone. */
Test(copies, take_a_short_answer_to_a_write)
{
	struct vfio_header h;
	static struct peer p;

	start(&p, 0);
	peer_round(&p);
	peer_hint(&p, 0, 2);
	p.serves = false;
	peer_expect_hints(&p, 0, 2);
	peer_pump(&p);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(p.pending.header.command, VFIO_DMA_WRITE);
		h = p.pending.header;
		h.flags = VFIO_REPLY;
		h.size = 16;
		cr_assert(peer_send_bytes(&p, &h, sizeof(h), NULL, 0));
		peer_pump(&p);
	}
	cr_expect_eq(p.troubles, 0u);
	cr_expect_eq(p.unserved, 2u);
	peer_close(&p);
}

Test(copies, come_in_pieces_that_the_client_can_take)
{
	static const char json[] =
		"\0\0\0\0{\"capabilities\":{\"max_data_xfer_size\":60}}";
	static struct peer p;

	peer_serve(&p, 0, NULL);
	peer_connect(&p);
	cr_assert(peer_ask(&p, VFIO_VERSION, json, sizeof(json), NULL, 0) > 0);
	cr_assert_eq(peer_map(&p, RAM_GPA, RAM_BYTES, 3, -1, 0), 0);
	p.serves = true;
	cr_assert_eq(peer_attach(&p), 0);
	peer_whole_round(&p, 20);
	for (unsigned i = 0; i < p.dma_count; i++)
		cr_assert(p.dma[i].count <= 60);
	peer_close(&p);
}

/* ------------------------------------------------------------ what is not done */

Test(copies, are_not_made_if_that_is_not_wanted)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;
	static struct peer p;

	o.flags = FPH_VFIO_USER_NO_MESSAGE_DMA;
	peer_start(&p, 0, &o, false);
	cr_expect(peer_attach(&p) < 0);
	cr_expect_eq(p.troubles, 1u);
	cr_expect(strstr(p.trouble, "share=on"));
	cr_expect_eq(p.dma_count, 0u);
	cr_assert_eq(peer_unmap(&p, RAM_GPA, RAM_BYTES), 0);
	cr_assert_eq(peer_map(&p, RAM_GPA, RAM_BYTES, 3, p.file, 0), 0);
	cr_assert_eq(peer_attach(&p), 0);
	peer_whole_round(&p, 4);
	peer_close(&p);
}

Test(copies, are_made_of_plain_rings_only)
{
	static const uint64_t formats[] = { FPH_F_RING_PACKED, FPH_F_EVENT_IDX,
					    FPH_F_INDIRECT_DESC };
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;
	static struct peer p;

	for (size_t i = 0; i < 3; i++) {
		o.device.offer = formats[i];
		peer_start(&p, 0, &o, false);
		cr_expect(peer_attach(&p) < 0);
		cr_expect_eq(p.troubles, 1u);
		cr_expect(strstr(p.trouble, "RING_PACKED"));
		peer_close(&p);
		/* over shared memory each of them goes */
		peer_start(&p, 0, &o, true);
		cr_assert_eq(peer_attach(&p), 0);
		peer_whole_round(&p, 20);
		peer_close(&p);
	}
	o.device.offer = FPH_F_IN_ORDER;
	peer_start(&p, 0, &o, false);
	cr_assert_eq(peer_attach(&p), 0);
	peer_whole_round(&p, 20);
	peer_close(&p);
}

/* 2.6: a descriptor that is not that of the guest's memory. */
Test(copies, are_no_way_to_private_memory_which_is_named)
{
	static struct peer p;
	int other;

	peer_serve(&p, 0, NULL);
	peer_connect(&p);
	cr_assert(peer_version(&p) > 0);
	other = make_memfd("fph-private", RAM_BYTES);
	cr_assert_eq(peer_map(&p, RAM_GPA, RAM_BYTES, 3, other, 0), 0);
	cr_assert_eq(peer_attach(&p), 0);
	cr_assert_eq(fph_device_start(p.device), 0);
	fph_pci_driver_fired(&p.pci, 0);
	for (int i = 0; i < 4; i++) {
		fph_guest_step(&p.guest, 0);
		peer_hint(&p, (unsigned)i, 1);
	}
	cr_expect_eq(p.troubles, 1u);
	cr_expect(strstr(p.trouble, "share=on"));
	peer_hang_up(&p);
	/* once for each client */
	peer_connect(&p);
	cr_assert(peer_version(&p) > 0);
	cr_assert_eq(peer_map(&p, RAM_GPA, RAM_BYTES, 3, other, 0), 0);
	cr_assert_eq(peer_attach(&p), 0);
	for (int i = 0; i < 4; i++)
		peer_post(&p, 0, FPH_PCI_NOTIFY + 4 * HINT, 2, HINT);
	peer_pump(&p);
	cr_expect_eq(p.troubles, 2u);
	close(other);
	peer_close(&p);
}

Test(copies, and_shared_memory_make_no_trouble_of_spurious_doorbells)
{
	static struct peer p;

	peer_start(&p, 0, NULL, true);
	cr_assert_eq(peer_attach(&p), 0);
	peer_whole_round(&p, 4);
	for (unsigned i = 0; i < 100; i++)
		peer_post(&p, 0, FPH_PCI_NOTIFY + 4 * (i % 5), 2, i % 5);
	peer_pump(&p);
	cr_expect_eq(p.troubles, 0u);
	peer_close(&p);
}

/* ------------------------------------------------------------ hostile drivers */

static void spoil(struct peer *p)
{
	for (uint16_t q = 0; q < 4; q++) {
		for (uint16_t i = 0; i < RING; i++) {
			struct ring_desc d = {
				.gpa = RING_DATA + (unsigned)rand() % 100000,
				.len = rand() % 3 ? 4u : (uint32_t)rand() % 100000,
				.flags = (uint16_t)(rand() % 4),
				.next = (uint16_t)((unsigned)rand() % (RING + 2)),
			};
			uint16_t head = (uint16_t)((unsigned)rand() % (RING + 1));

			if (rand() % 16 == 0)
				d.gpa = (uint64_t)(unsigned)rand() << 33;
			ring_put_desc(p, q, i, d);
			ring_put(p, RING_DRIVER(q) + 4 + 2 * (uint64_t)i, &head, 2);
		}
	}
}

/* Whatever stands in rings, what is asked for is bounded, and the next driver is served. */
Test(copies, of_random_rings_are_bounded)
{
	static struct peer p;

	peer_start(&p, 0, NULL, false);
	srand(23);
	for (unsigned round = 0; round < 300; round++) {
		uint16_t idx = 0;

		ring_up(&p);
		spoil(&p);
		fph_device_start(p.device);
		for (unsigned i = 0; i < 8; i++) {
			uint16_t q = (uint16_t)(rand() % 4);
			struct fph_range out[8];

			idx = (uint16_t)(idx + (unsigned)rand() % (RING + 2));
			ring_put(&p, RING_DRIVER(q) + 2, &idx, 2);
			p.dma_count = 0;
			ring_kick(&p, q);
			/* index, entries, table, each descriptor once; used entries */
			cr_assert(p.dma_count <= 4 + RING + 4 * 3, "%u messages", p.dma_count);
			fph_device_poll(p.device, out, 8);
			peer_pump(&p);
		}
		cr_assert_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	}
	memset(p.ram, 0, 0x4000);
	cr_assert_eq(peer_attach(&p), 0);
	peer_whole_round(&p, 8);
	cr_expect_eq(p.troubles, 0u);
	peer_close(&p);
}
