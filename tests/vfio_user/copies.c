/* SPDX-License-Identifier: MIT */
#include "ring.h"
#include "vfio_user/server.h"
#include "vq.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

/* Memory by messages: their order, and what may come between them. */

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
	peer_send(&p, VFIO_REGION_WRITE, 0, &(struct {
		struct vfio_region_access a;
		uint16_t q;
	}){ { FPH_PCI_NOTIFY + 4 * HINT, 0, 2 }, HINT },
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

static void (*const events[])(struct peer *p) = { reset_by_driver, reset_function, unmap, replace };

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

/* The client would have to refuse that. */
Test(copies, ask_for_nothing_that_is_gone)
{
	static struct peer p;

	for (unsigned at = 0; at < 5; at++) {
		start(&p, 0);
		peer_round(&p);
		p.serves = false;
		peer_hint(&p, 0, 2);
		for (unsigned i = 0; i < at && p.unserved; i++) {
			p.unserved = 0;
			peer_answer(&p);
		}
		cr_assert_eq(peer_unmap(&p, RAM_GPA, RAM_BYTES), 0);
		p.unserved = 0;
		peer_answer(&p);
		cr_expect_eq(p.unserved, 0u, "at %u", at);
		peer_post(&p, 0, FPH_PCI_NOTIFY + 4 * HINT, 2, HINT);
		peer_pump(&p);
		cr_expect_eq(p.unserved, 0u, "at %u", at);
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

/* ------------------------------------------------------------ the fence */

#define WORD	    RING_DATA
#define CONFIG_ID   (0x2000 + FPH_CONFIG_COMMAND_ID) /* in BAR 0 */
#define HINT_OF(i)  (RING_DATA + 0x100000 + 4096 * (uint64_t)(i))

static void offer_word(struct peer *p, uint16_t i, uint32_t word)
{
	ring_put(p, WORD, &word, 4);
	ring_put_desc(p, HINT, i, (struct ring_desc){ WORD, 4, 0, 0 });
	ring_avail(p, HINT, i);
}

static void offer_hint(struct peer *p, uint16_t i)
{
	ring_put_desc(p, HINT, i, (struct ring_desc){ HINT_OF(i), 4096, FPH_DESC_WRITE, 0 });
	ring_avail(p, HINT, i);
}

/*
 * S3 and H1: what was made available before the id is not of its round, though it was not
 * fetched by then, and though its START says the new id when it is.
 */
BOTH(copies, of_an_old_round_do_not_count_in_a_new_one)
{
	static struct peer p;
	struct fph_range out[8];
	uint32_t id;

	peer_start(&p, (unsigned)*kind, NULL, false);
	ring_up(&p);
	cr_assert_eq(fph_device_start(p.device), 0);
	peer_pump(&p);
	offer_word(&p, 0, fph_device_command_id(p.device));
	offer_hint(&p, 1);
	/* No doorbell came yet, so nothing of it is here. */
	cr_assert_eq(fph_device_stop(p.device), 0);
	cr_assert_eq(fph_device_start(p.device), 0);
	peer_pump(&p);
	id = fph_device_command_id(p.device);
	cr_assert_eq(peer_read(&p, 0, CONFIG_ID, 4), id);
	ring_put(&p, WORD, &id, 4);
	offer_hint(&p, 2);
	ring_kick(&p, HINT);
	cr_expect_eq(fph_device_poll(p.device, out, 8), 0, "a hint of the old round counts");
	peer_pump(&p);
	cr_expect_eq(ring_used(&p, HINT), 3);
	/* And then the round goes on as ever. */
	offer_word(&p, 3, id);
	offer_hint(&p, 4);
	ring_kick(&p, HINT);
	cr_assert_eq(fph_device_poll(p.device, out, 8), 1);
	cr_expect_eq(out[0].gpa, HINT_OF(4));
	peer_close(&p);
}

/* The same with doorbells: the chains are on their way when the id changes. */
BOTH(copies, on_their_way_are_of_the_old_round)
{
	static struct peer p;
	struct fph_range out[8];
	uint32_t id;

	for (unsigned at = 0; at < 6; at++) {
		peer_start(&p, (unsigned)*kind, NULL, false);
		ring_up(&p);
		cr_assert_eq(fph_device_start(p.device), 0);
		peer_pump(&p);
		offer_word(&p, 0, fph_device_command_id(p.device));
		offer_hint(&p, 1);
		p.serves = false;
		ring_kick(&p, HINT);
		for (unsigned i = 0; i < at && p.unserved; i++) {
			p.unserved = 0;
			peer_answer(&p);
		}
		cr_assert_eq(fph_device_start(p.device), 0);
		id = fph_device_command_id(p.device);
		/* Not shown before the fence stands; a hostile driver knows it all the same. */
		ring_put(&p, WORD, &id, 4);
		p.serves = true;
		if (p.unserved) {
			p.unserved = 0;
			peer_answer(&p);
		}
		peer_pump(&p);
		cr_expect_eq(fph_device_poll(p.device, out, 8), 0, "at message %u", at);
		cr_assert_eq(peer_read(&p, 0, CONFIG_ID, 4), id);
		peer_close(&p);
	}
}

/* STOP is shown until then, and the interrupt comes after. */
Test(copies, of_old_rounds_are_counted_before_an_id_is_shown)
{
	static struct peer p;
	uint32_t id;

	start(&p, 0);
	while (peer_rang(&p, 0) || peer_rang(&p, 1))
		;
	p.serves = false;
	cr_assert_eq(fph_device_start(p.device), 0);
	id = fph_device_command_id(p.device);
	cr_expect_eq(peer_read(&p, 0, CONFIG_ID, 4), FPH_COMMAND_STOP);
	cr_expect(!peer_rang(&p, 0));
	/* Another round before the answer: that one's fence is due, too. */
	cr_assert_eq(fph_device_start(p.device), 0);
	peer_answer(&p);
	cr_expect_eq(peer_read(&p, 0, CONFIG_ID, 4), FPH_COMMAND_STOP);
	p.serves = true;
	peer_answer(&p);
	peer_pump(&p);
	cr_expect_eq(peer_read(&p, 0, CONFIG_ID, 4), id + 1);
	cr_expect(peer_rang(&p, 0));
	peer_close(&p);
}
