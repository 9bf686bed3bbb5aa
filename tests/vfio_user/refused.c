/* SPDX-License-Identifier: MIT */
#include "ring.h"
#include "vfio_user/server.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Memory by messages: answers that are wrong, what is not done, drivers that are hostile. */

static void start(struct peer *p)
{
	peer_start(p, 0, NULL, false);
	peer_take_interrupts(p);
	cr_assert_eq(peer_attach(p), 0);
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

Test(refused, that_cannot_be_had_stop_the_queue_and_are_named)
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
		start(&p);
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
Test(refused, take_the_answer_to_their_own_question_only)
{
	static struct peer p;
	struct vfio_header h;

	start(&p);
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
Test(refused, take_a_short_answer_to_a_write)
{
	struct vfio_header h;
	static struct peer p;

	start(&p);
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

Test(refused, come_in_pieces_that_the_client_can_take)
{
	static const char json[] = "\0\0\0\0{\"capabilities\":{\"max_data_xfer_size\":60}}";
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

Test(refused, are_not_made_if_that_is_not_wanted)
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

Test(refused, are_made_of_plain_rings_only)
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
Test(refused, are_no_way_to_private_memory_which_is_named)
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

Test(refused, and_shared_memory_make_no_trouble_of_spurious_doorbells)
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
Test(refused, of_random_rings_are_bounded)
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
