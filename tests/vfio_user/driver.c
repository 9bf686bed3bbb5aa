/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The client's driver: fph/pci.h over messages, as a VMM's guest would do it. */

#define MSIX_CONTROL(p) (fph_pci_driver_msix(&(p)->pci) + 2)
#define MSIX_ENABLE	0x8000u

static int config_read(void *ctx, uint32_t offset, uint32_t len, uint32_t *value)
{
	*value = (uint32_t)peer_read(ctx, VFIO_REGION_CONFIG, offset, len);
	return 0;
}

static int config_write(void *ctx, uint32_t offset, uint32_t len, uint32_t value)
{
	peer_write(ctx, VFIO_REGION_CONFIG, offset, len, value);
	return 0;
}

static int bar_read(void *ctx, uint32_t bar, uint64_t offset, uint32_t len, uint32_t *value)
{
	*value = (uint32_t)peer_read(ctx, bar, offset, len);
	return 0;
}

/* Posted, as QEMU's are. */
static int bar_write(void *ctx, uint32_t bar, uint64_t offset, uint32_t len, uint32_t value)
{
	peer_post(ctx, bar, offset, len, value);
	return 0;
}

void peer_take_interrupts(struct peer *p)
{
	for (unsigned i = 0; i <= FPH_QUEUE_COUNT; i++) {
		p->irq[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		cr_assert(p->irq[i] >= 0);
	}
	p->msix = true;
	cr_assert_eq(peer_set_irqs(p, VFIO_DATA_EVENTFD | VFIO_ACTION_TRIGGER, VFIO_MSIX, 0,
				   FPH_QUEUE_COUNT + 1, p->irq),
		     0);
}

bool peer_rang(struct peer *p, unsigned vector)
{
	uint64_t n;

	return read(p->irq[vector], &n, sizeof(n)) == (ssize_t)sizeof(n);
}

int peer_attach(struct peer *p)
{
	struct fph_pci_driver_opts d = FPH_PCI_DRIVER_OPTS_INIT;
	struct fph_guest_opts g = FPH_GUEST_OPTS_INIT;
	int rc;

	d.config_read = config_read;
	d.config_write = config_write;
	d.bar_read = bar_read;
	d.bar_write = bar_write;
	d.ctx = p;
	d.vectors = p->msix ? 2 : 0;
	cr_assert_eq(fph_pci_driver_init(&p->pci, &d), 0);
	if (d.vectors)
		peer_write(p, VFIO_REGION_CONFIG, MSIX_CONTROL(p), 2, MSIX_ENABLE);
	g.bus = fph_pci_driver_bus(&p->pci);
	g.ring = (struct fph_region){ RAM_GPA, fph_guest_ring_bytes(RING), p->ram, 0 };
	g.slots = p->slots;
	g.ring_size = RING;
	cr_assert_eq(fph_guest_init(&p->guest, &g), 0);
	rc = fph_guest_attach(&p->guest);
	peer_pump(p);
	return rc;
}

static void fired(struct peer *p)
{
	for (uint16_t v = 0; v < 2 && p->msix; v++)
		if (peer_rang(p, v))
			fph_pci_driver_fired(&p->pci, v);
}

static int step(struct peer *p)
{
	int rc;

	peer_pump(p);
	fired(p);
	rc = fph_guest_step(&p->guest, 0);
	cr_assert(rc >= 0, "the guest fails: %d", rc);
	peer_pump(p);
	return rc;
}

void peer_round(struct peer *p)
{
	cr_assert_eq(fph_device_start(p->device), 0);
	cr_assert(step(p) & FPH_GUEST_FEED);
	cr_assert_eq(fph_guest_command_id(&p->guest), fph_device_command_id(p->device));
}

static struct fph_range page(unsigned i)
{
	return (struct fph_range){ RAM_FREE + 4096 * (uint64_t)i, 4096 };
}

void peer_hint(struct peer *p, unsigned first, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct fph_range range = page(first + i);

		cr_assert_eq(fph_guest_hint(&p->guest, &range, 1), 1);
	}
	cr_assert_eq(fph_guest_flush(&p->guest), 0);
	peer_pump(p);
}

void peer_expect_hints(struct peer *p, unsigned first, unsigned n)
{
	struct fph_range out[8];
	unsigned found = 0;
	int rc;

	while ((rc = fph_device_poll(p->device, out, 8)) != 0) {
		if (rc == -EAGAIN)
			continue;
		cr_assert(rc > 0, "poll: %d", rc);
		for (int i = 0; i < rc; i++, found++) {
			cr_assert_eq(out[i].gpa, page(first + found).gpa);
			cr_assert_eq(out[i].len, 4096u);
		}
	}
	cr_assert_eq(found, n, "%u hints and not %u", found, n);
}

void peer_whole_round(struct peer *p, unsigned n)
{
	struct fph_range out[RING];
	unsigned sent, back = 0;

	peer_round(p);
	for (sent = 0; sent < n; sent += 4) {
		unsigned some = n - sent < 4 ? n - sent : 4;

		peer_hint(p, sent, some);
		peer_expect_hints(p, sent, some);
		step(p);
		back += (unsigned)fph_guest_reclaim(&p->guest, out, RING);
	}
	cr_assert_eq(fph_guest_end(&p->guest), 0);
	peer_pump(p);
	peer_expect_hints(p, n, 0);
	cr_assert(fph_device_round_over(p->device));
	cr_assert_eq(fph_device_done(p->device), 0);
	cr_assert(step(p) & FPH_GUEST_RELEASE);
	back += (unsigned)fph_guest_reclaim(&p->guest, out, RING);
	cr_assert_eq(back, n);
	cr_assert_eq(fph_guest_held(&p->guest), 0u);
}
