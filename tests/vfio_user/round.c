/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

/* Whole hint rounds, through registers by message. */

/* BH-2, BH-13, G-14, PC-2, PC-5 */
BOTH(round, hints_come_through_shared_memory)
{
	static struct peer p;

	peer_start(&p, (unsigned)*kind, NULL, true);
	peer_take_interrupts(&p);
	cr_assert_eq(peer_attach(&p), 0);
	for (int i = 0; i < 3; i++)
		peer_whole_round(&p, 20);
	cr_expect_eq(p.dma_count, 0u);
	cr_expect_eq(peer_stats(&p).refused, 0u);
	cr_expect_eq(p.troubles, 0u);
	peer_close(&p);
}

BOTH(round, hints_come_without_interrupts)
{
	static struct peer p;

	peer_start(&p, (unsigned)*kind, NULL, true);
	cr_assert_eq(peer_attach(&p), 0);
	peer_whole_round(&p, 20);
	peer_close(&p);
}

BOTH(round, hints_come_by_messages)
{
	static struct peer p;

	peer_start(&p, (unsigned)*kind, NULL, false);
	peer_take_interrupts(&p);
	cr_assert_eq(peer_attach(&p), 0);
	for (int i = 0; i < 3; i++)
		peer_whole_round(&p, 20);
	cr_expect(p.dma_count > 20);
	cr_expect_eq(peer_stats(&p).refused, 0u);
	cr_expect_eq(p.troubles, 0u);
	peer_close(&p);
}

/* PC-6: the ISR tells of used buffers when they are with the driver, and not before. */
BOTH(round, hints_come_by_messages_without_vectors)
{
	static struct peer p;

	peer_start(&p, (unsigned)*kind, NULL, false);
	cr_assert_eq(peer_attach(&p), 0);
	for (int i = 0; i < 3; i++)
		peer_whole_round(&p, 20);
	peer_round(&p);
	peer_hint(&p, 0, 1);
	p.serves = false;
	peer_read(&p, 0, 0x1000, 1);
	peer_expect_hints(&p, 0, 1);
	peer_pump(&p);
	cr_assert_eq(p.unserved, 1u);
	cr_expect_eq(peer_read(&p, 0, 0x1000, 1), 0u);
	p.serves = true;
	peer_answer(&p);
	cr_expect_eq(peer_read(&p, 0, 0x1000, 1), 1u);
	peer_close(&p);
}
