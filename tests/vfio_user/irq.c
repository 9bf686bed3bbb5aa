/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Interrupts: a level that masks itself, vectors that come and go, and who may say what. */

#define ISR 0x1000u

static int eventfd_of(struct peer *p, unsigned i)
{
	p->irq[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cr_assert(p->irq[i] >= 0);
	return p->irq[i];
}

/* A driver that takes INTx. */
static void start_intx(struct peer *p, unsigned loop_flags)
{
	int fd;

	peer_start(p, loop_flags, NULL, true);
	cr_assert_eq(peer_attach(p), 0);
	fd = eventfd_of(p, 0);
	cr_assert_eq(peer_set_irqs(p, 0x24, VFIO_INTX, 0, 1, &fd), 0);
}

/* PC-6, and section 4: once, then not until it is unmasked; and again if it is high then. */
BOTH(irq, a_level_rings_once_until_it_is_unmasked)
{
	static struct peer p;

	start_intx(&p, (unsigned)*kind);
	cr_expect(!peer_rang(&p, 0));
	fph_device_start(p.device);
	cr_expect(peer_rang(&p, 0));
	fph_device_set_num_pages(p.device, 1);
	fph_device_set_num_pages(p.device, 2);
	cr_expect(!peer_rang(&p, 0), "it is masked");
	/* nobody read ISR: it is high still */
	cr_assert_eq(peer_set_irqs(&p, 0x11, VFIO_INTX, 0, 1, NULL), 0);
	cr_expect(peer_rang(&p, 0));
	cr_expect_eq(peer_read(&p, 0, ISR, 1), 2u);
	cr_expect_eq(peer_read(&p, 0, ISR, 1), 0u);
	cr_assert_eq(peer_set_irqs(&p, 0x11, VFIO_INTX, 0, 1, NULL), 0);
	cr_expect(!peer_rang(&p, 0), "it is low");
	fph_device_set_num_pages(p.device, 3);
	cr_expect(peer_rang(&p, 0));
	/* ISR read, high again, unmasked */
	peer_read(&p, 0, ISR, 1);
	fph_device_set_num_pages(p.device, 4);
	cr_expect(!peer_rang(&p, 0));
	cr_assert_eq(peer_set_irqs(&p, 0x11, VFIO_INTX, 0, 1, NULL), 0);
	cr_expect(peer_rang(&p, 0));
	peer_close(&p);
}

Test(irq, a_level_is_masked_and_unmasked_on_demand)
{
	unsigned char set[21] = { 20 };
	static struct peer p;

	start_intx(&p, 0);
	cr_assert_eq(peer_set_irqs(&p, 0x09, VFIO_INTX, 0, 1, NULL), 0);
	fph_device_start(p.device);
	cr_expect(!peer_rang(&p, 0));
	/* UNMASK with a bool that says no, and one that says yes */
	memcpy(set + 4, &(uint32_t[]){ 0x12, VFIO_INTX, 0, 1 }, 16);
	cr_expect_eq(peer_ask(&p, VFIO_SET_IRQS, set, 21, NULL, 0), 0);
	cr_expect(!peer_rang(&p, 0));
	set[20] = 1;
	cr_expect_eq(peer_ask(&p, VFIO_SET_IRQS, set, 21, NULL, 0), 0);
	cr_expect(peer_rang(&p, 0));
	/* DisINTx: the line is low, whatever ISR says */
	peer_write(&p, VFIO_REGION_CONFIG, 4, 2, 0x406);
	cr_assert_eq(peer_set_irqs(&p, 0x11, VFIO_INTX, 0, 1, NULL), 0);
	cr_expect(!peer_rang(&p, 0));
	peer_write(&p, VFIO_REGION_CONFIG, 4, 2, 0x006);
	cr_expect(peer_rang(&p, 0));
	peer_close(&p);
}

/* A new eventfd begins unmasked: what is high is told to it. */
Test(irq, a_level_that_is_high_rings_the_next_eventfd)
{
	static struct peer p;
	int fd;

	start_intx(&p, 0);
	cr_assert_eq(peer_set_irqs(&p, 0x24, VFIO_INTX, 0, 1, NULL), 0);
	fph_device_start(p.device);
	cr_expect(!peer_rang(&p, 0));
	fd = eventfd_of(&p, 1);
	cr_assert_eq(peer_set_irqs(&p, 0x24, VFIO_INTX, 0, 1, &fd), 0);
	cr_expect(peer_rang(&p, 1));
	/* and a reset begins unmasked, too */
	cr_assert_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	cr_assert_eq(peer_attach(&p), 0);
	fph_device_start(p.device);
	cr_expect(peer_rang(&p, 1));
	peer_close(&p);
}

/* ------------------------------------------------------------ MSI-X */

static void start_msix(struct peer *p)
{
	peer_start(p, 0, NULL, true);
	peer_take_interrupts(p);
	cr_assert_eq(peer_attach(p), 0);
}

/* PC-7: the configuration's and the queues' are two vectors. */
Test(irq, vectors_ring_their_own_eventfd)
{
	static struct peer p;

	start_msix(&p);
	fph_device_set_num_pages(p.device, 7);
	cr_expect(peer_rang(&p, 0));
	for (unsigned i = 1; i < 6; i++)
		cr_expect(!peer_rang(&p, i));
	/* each time, since there is no mask here */
	fph_device_set_num_pages(p.device, 8);
	cr_expect(peer_rang(&p, 0));
	cr_expect(peer_stats(&p).interrupts >= 2);
	peer_close(&p);
}

/* QEMU takes all vectors away to add one: what fires meanwhile is not lost. */
Test(irq, vectors_that_fire_without_an_eventfd_do_so_later)
{
	static struct peer p;

	start_msix(&p);
	cr_assert_eq(peer_set_irqs(&p, 0x21, VFIO_MSIX, 0, 0, NULL), 0);
	fph_device_set_num_pages(p.device, 7);
	cr_expect(!peer_rang(&p, 0));
	cr_assert_eq(peer_set_irqs(&p, 0x24, VFIO_MSIX, 1, 1, &p.irq[1]), 0);
	cr_expect(!peer_rang(&p, 0));
	cr_expect(!peer_rang(&p, 1));
	cr_assert_eq(peer_set_irqs(&p, 0x24, VFIO_MSIX, 0, 3, p.irq), 0);
	cr_expect(peer_rang(&p, 0));
	cr_expect(!peer_rang(&p, 1));
	/* once */
	cr_assert_eq(peer_set_irqs(&p, 0x24, VFIO_MSIX, 0, 3, p.irq), 0);
	cr_expect(!peer_rang(&p, 0));
	/* one at a time, as QEMU does without NORESIZE */
	cr_assert_eq(peer_set_irqs(&p, 0x24, VFIO_MSIX, 0, 1, NULL), 0);
	fph_device_set_num_pages(p.device, 8);
	cr_assert_eq(peer_set_irqs(&p, 0x24, VFIO_MSIX, 0, 1, p.irq), 0);
	cr_expect(peer_rang(&p, 0));
	peer_close(&p);
}

/* The next driver does not hear of the last one's. */
Test(irq, vectors_that_wait_are_forgotten_at_a_reset)
{
	static struct peer p;

	start_msix(&p);
	for (int by_status = 0; by_status < 2; by_status++) {
		cr_assert_eq(peer_set_irqs(&p, 0x21, VFIO_MSIX, 0, 0, NULL), 0);
		fph_device_set_num_pages(p.device, 70u + (unsigned)by_status);
		if (by_status)
			peer_write(&p, 0, 0x14, 1, 0);
		else
			cr_assert_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
		cr_assert_eq(peer_set_irqs(&p, 0x24, VFIO_MSIX, 0, 6, p.irq), 0);
		cr_expect(!peer_rang(&p, 0));
		cr_assert_eq(peer_attach(&p), 0);
		while (peer_rang(&p, 0) || peer_rang(&p, 1))
			;
	}
	peer_close(&p);
}

/* #67, #86: full, or closed at the other end. */
Test(irq, a_full_eventfd_is_as_good_as_rung)
{
	static struct peer p;
	uint64_t full = UINT64_MAX - 1;

	start_msix(&p);
	cr_assert_eq(write(p.irq[0], &full, sizeof(full)), (ssize_t)sizeof(full));
	for (uint32_t i = 0; i < 100; i++)
		fph_device_set_num_pages(p.device, i);
	close(p.irq[0]);
	p.irq[0] = -1;
	for (uint32_t i = 0; i < 100; i++)
		fph_device_set_num_pages(p.device, i);
	cr_expect_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	peer_close(&p);
}

/* ------------------------------------------------------------ SET_IRQS */

Test(irq, a_client_may_ring_for_itself)
{
	unsigned char set[26] = { 26 };
	static struct peer p;

	start_msix(&p);
	cr_assert_eq(peer_set_irqs(&p, 0x21, VFIO_MSIX, 1, 2, NULL), 0);
	for (unsigned i = 0; i < 6; i++)
		cr_expect_eq(peer_rang(&p, i), i == 1 || i == 2);
	memcpy(set + 4, &(uint32_t[]){ 0x22, VFIO_MSIX, 0, 6 }, 16);
	set[20 + 3] = 1;
	set[20 + 5] = 1;
	cr_assert_eq(peer_ask(&p, VFIO_SET_IRQS, set, 26, NULL, 0), 0);
	for (unsigned i = 0; i < 6; i++)
		cr_expect_eq(peer_rang(&p, i), i == 3 || i == 5);
	for (size_t len = 20; len < 26; len++)
		cr_expect_eq(peer_ask(&p, VFIO_SET_IRQS, set, len, NULL, 0), -EINVAL);
	peer_close(&p);
}

Test(irq, requests_that_make_no_sense_are_refused)
{
	static const uint32_t wrong[][4] = {
		/* flags: none, two data, two actions, unknown bits */
		{ 0x00, 2, 0, 1 }, { 0x20, 2, 0, 1 }, { 0x01, 2, 0, 1 }, { 0x23, 2, 0, 1 },
		{ 0x25, 2, 0, 1 }, { 0x27, 2, 0, 1 }, { 0x31, 2, 0, 1 }, { 0x29, 2, 0, 1 },
		{ 0x39, 2, 0, 1 }, { 0x61, 2, 0, 1 }, { 0x80000021, 2, 0, 1 },
		/* ranges */
		{ 0x21, 2, 0, 7 }, { 0x21, 2, 6, 1 }, { 0x21, 2, 5, 2 }, { 0x21, 2, 1, 0 },
		{ 0x21, 2, 0xffffffff, 2 }, { 0x21, 2, 1, 0xffffffff }, { 0x24, 2, 0, 7 },
		{ 0x24, 2, 0, 0 }, { 0x21, 0, 0, 2 }, { 0x21, 0, 1, 1 }, { 0x21, 3, 1, 1 },
		{ 0x24, 1, 0, 1 }, { 0x24, 4, 0, 1 }, { 0x21, 1, 0, 1 }, { 0x11, 0, 0, 0 },
		/* masks of what has none; eventfds to mask by */
		{ 0x09, 2, 0, 1 }, { 0x11, 2, 0, 1 }, { 0x11, 3, 0, 1 }, { 0x0c, 0, 0, 1 },
		{ 0x14, 0, 0, 1 },
		{ 0x21, 5, 0, 0 },
	};
	static const uint32_t right[][4] = {
		{ 0x21, 0, 0, 0 }, { 0x21, 1, 0, 0 }, { 0x21, 2, 0, 0 }, { 0x21, 3, 0, 0 },
		{ 0x21, 4, 0, 0 }, { 0x24, 0, 0, 1 }, { 0x24, 2, 0, 6 }, { 0x24, 3, 0, 1 },
		{ 0x21, 3, 0, 1 },
	};
	static struct peer p;

	start_msix(&p);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_expect_eq(peer_set_irqs(&p, wrong[i][0], wrong[i][1], wrong[i][2],
					   wrong[i][3], NULL),
			     -EINVAL, "%zu", i);
	for (unsigned i = 0; i < 6; i++)
		cr_expect(!peer_rang(&p, i));
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
		cr_expect_eq(peer_set_irqs(&p, right[i][0], right[i][1], right[i][2],
					   right[i][3], NULL),
			     0, "%zu", i);
	peer_close(&p);
}
