/* SPDX-License-Identifier: MIT */
#include "server.h"
#include "unix/bell.h"
#include <errno.h>
#include <unistd.h>

uint32_t fph_vfio_irq_count(const struct fph_vfio_user_server *s, uint32_t index)
{
	switch (index) {
	case VFIO_INTX:
		return !(s->opts.flags & FPH_VFIO_USER_NO_INTX);
	case VFIO_MSIX:
		return s->opts.flags & FPH_VFIO_USER_NO_MSIX ? 0 : VFIO_VECTORS;
	case VFIO_ERR: /* nothing ever goes wrong there, but QEMU warns without it */
		return 1;
	default:
		return 0;
	}
}

/* MSI-X without NORESIZE: then a client adds a vector without taking the others away. */
uint32_t fph_vfio_irq_flags(uint32_t index)
{
	if (index == VFIO_INTX)
		return VFIO_IRQ_EVENTFD | VFIO_IRQ_MASKABLE | VFIO_IRQ_AUTOMASKED;
	return VFIO_IRQ_EVENTFD;
}

/* ------------------------------------------------------------ to the client */

static void ring(struct fph_vfio_user_server *s, int fd)
{
	s->total.interrupts++;
	fph_bell_ring(fd);
}

/* A level that is high rings once, until the client unmasks it. */
static void raise_intx(struct fph_vfio_user_server *s)
{
	if (!s->intx_high || s->intx_masked || s->intx < 0)
		return;
	s->intx_masked = true;
	ring(s, s->intx);
}

/* Without an eventfd it waits for the next one: QEMU takes them away for moments. */
static void raise_msix(struct fph_vfio_user_server *s, uint32_t vectors)
{
	s->msix_pending |= vectors;
	for (unsigned v = 0; v < VFIO_VECTORS; v++) {
		if (!(s->msix_pending & 1u << v) || s->msix[v] < 0)
			continue;
		s->msix_pending &= ~(1u << v);
		ring(s, s->msix[v]);
	}
}

void fph_vfio_on_intx(void *ctx, bool high)
{
	struct fph_vfio_user_server *s = ctx;

	s->intx_high = high;
	raise_intx(s);
}

void fph_vfio_on_msix(void *ctx, uint16_t vector, uint64_t address, uint32_t data)
{
	struct fph_vfio_user_server *s = ctx;

	(void)address;
	(void)data;
	raise_msix(s, 1u << vector);
}

/* ------------------------------------------------------------ SET_IRQS */

static void put(int *place, int fd)
{
	if (*place >= 0)
		close(*place);
	*place = fd;
}

static int *place_of(struct fph_vfio_user_server *s, uint32_t index, uint32_t i)
{
	switch (index) {
	case VFIO_INTX:
		return &s->intx;
	case VFIO_MSIX:
		return &s->msix[i];
	default:
		return &s->err;
	}
}

static int assign(struct fph_vfio_user_server *s, const struct vfio_set_irqs *set,
		  struct fph_fds *fds)
{
	if (fds->count && fds->count != set->count)
		return -EINVAL;
	/* Writing to anything else could be made to wait. */
	for (unsigned i = 0; i < fds->count; i++)
		if (fph_fd_kind(fds->fd[i]) != 0)
			return -EINVAL;
	for (uint32_t i = 0; i < set->count; i++) {
		put(place_of(s, set->index, set->start + i), fds->count ? fds->fd[i] : -1);
		if (fds->count)
			fds->fd[i] = -1;
	}
	if (set->index == VFIO_INTX) {
		s->intx_masked = false;
		raise_intx(s);
	}
	raise_msix(s, 0);
	return 0;
}

static void disable(struct fph_vfio_user_server *s, uint32_t index)
{
	uint32_t count = fph_vfio_irq_count(s, index);

	for (uint32_t i = 0; i < count; i++)
		put(place_of(s, index, i), -1);
}

/* For a client's self-test: as if the device had fired. */
static void trigger(struct fph_vfio_user_server *s, const struct vfio_set_irqs *set,
		    const unsigned char *bools)
{
	for (uint32_t i = 0; i < set->count; i++) {
		int fd = *place_of(s, set->index, set->start + i);

		if (fd >= 0 && (!bools || bools[i]))
			ring(s, fd);
	}
}

static int mask(struct fph_vfio_user_server *s, const struct vfio_set_irqs *set,
		const unsigned char *bools, bool on)
{
	if (set->index != VFIO_INTX)
		return -EINVAL;
	if (set->count == 0 || (bools && !bools[0]))
		return 0;
	s->intx_masked = on;
	raise_intx(s);
	return 0;
}

static bool is_one_of(uint32_t flags, uint32_t field)
{
	uint32_t bits = flags & field;

	return bits && !(bits & (bits - 1));
}

int fph_vfio_set_irqs(struct fph_vfio_user_server *s, const struct vfio_set_irqs *set,
		      const unsigned char *data, size_t len, struct fph_fds *fds)
{
	const unsigned char *bools = set->flags & VFIO_DATA_BOOL ? data : NULL;
	uint32_t count;

	if ((set->flags & ~(VFIO_DATA | VFIO_ACTION)) || !is_one_of(set->flags, VFIO_DATA) ||
	    !is_one_of(set->flags, VFIO_ACTION) || set->index >= VFIO_IRQS)
		return -EINVAL;
	count = fph_vfio_irq_count(s, set->index);
	/* Taking all away is nothing to complain of where there is nothing. */
	if (set->flags == (VFIO_DATA_NONE | VFIO_ACTION_TRIGGER) && set->count == 0 &&
	    set->start == 0 && !fds->count) {
		disable(s, set->index);
		return 0;
	}
	if (set->start >= count || set->count > count - set->start || set->count == 0)
		return -EINVAL;
	if (bools && len < set->count)
		return -EINVAL;
	if (fds->count && !(set->flags & VFIO_DATA_EVENTFD))
		return -EINVAL;
	if (set->flags & VFIO_DATA_EVENTFD)
		return set->flags & VFIO_ACTION_TRIGGER ? assign(s, set, fds) : -EINVAL;
	if (set->flags & VFIO_ACTION_TRIGGER) {
		trigger(s, set, bools);
		return 0;
	}
	return mask(s, set, bools, set->flags & VFIO_ACTION_MASK);
}

void fph_vfio_forget_irqs(struct fph_vfio_user_server *s)
{
	for (uint32_t index = 0; index < VFIO_IRQS; index++)
		disable(s, index);
}
