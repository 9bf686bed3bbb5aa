/* SPDX-License-Identifier: MIT */
/* The driver end of virtio-pci: the search for a device's structures, in a function that lies. */
#include <err.h>
#include <pci/find.c>

static unsigned reads;

static int any_read(void *ctx, uint32_t offset, uint32_t len, uint32_t *value)
{
	(void)ctx;
	PROVE((len == 1 || len == 2 || len == 4) && offset % len == 0);
	PROVE(offset < FPH_PCI_CONFIG_SIZE && len <= FPH_PCI_CONFIG_SIZE - offset);
	reads++;
	*value = (uint32_t)nondet_u64();
	return ANY(bool) ? -EIO : 0;
}

static struct pci p;
static uint64_t sizes[BARS];

static struct fph_pci_part any_part(void)
{
	return (struct fph_pci_part){ (uint32_t)nondet_u64(), (uint32_t)nondet_u64(),
				      (uint32_t)nondet_u64() };
}

/* One that is there lies in a BAR, whole, is large enough, and aligned. */
static bool is_part(const struct fph_pci_part *part, uint32_t least, uint32_t align)
{
	return !part->length ||
	       (part->bar < BARS && part->length >= least && part->offset % align == 0 &&
		(uint64_t)part->offset + part->length <= sizes[part->bar]);
}

static bool is_found(void)
{
	return is_part(&p.common, COMMON_QUEUE_NOTIFY_DATA, 4) && is_part(&p.notify, 2, 2) &&
	       is_part(&p.isr, 1, 1) && is_part(&p.device, FPH_CONFIG_COMMAND_ID + 4, 4);
}

/*
 * proof: pci_cap
 * of: take_vendor_cap of pci/find.c, one step of fph_pci_find
 * says: a capability that lies: read inside the space only; what is kept is whole inside a BAR and aligned; the first stays
 * bounds: any capability anywhere, another one at every read; any BARs; from any parts found before
 * sources:
 * unwind: 2
 * mutant: transports/pci/find.c s/(uint64_t)offset + length > bars/(uint64_t)offset > bars/
 */
void proof_pci_cap(void)
{
	struct bars bars = { (uint32_t)any_up_to(63), sizes };
	uint32_t at = 4 * (uint32_t)any_up_to(FPH_PCI_CONFIG_SIZE / 4 - 1), head;
	struct fph_pci_part old;
	int rc;

	ANYTHING(sizes);
	p.config_read = any_read;
	p.common = any_part();
	p.notify = any_part();
	p.isr = any_part();
	p.device = any_part();
	ASSUME(at >= CAPS_FIRST && is_found());
	head = (uint32_t)nondet_u64();
	old = p.notify;
	rc = take_vendor_cap(&p, at, head, &bars);
	PROVE(rc == 0 || rc == -EIO);
	PROVE(is_found());
	PROVE(!old.length || (old.bar == p.notify.bar && old.offset == p.notify.offset &&
			      old.length == p.notify.length));
	REACHED(!old.length && p.notify.length && at == FPH_PCI_CONFIG_SIZE - 20);
	REACHED(rc == -EIO);
	REACHED(rc == 0 && p.common.length > COMMON_QUEUE_NOTIFY_DATA && p.common.bar == 5);
}

/*
 * proof: pci_bars
 * of: check_id and look_at_bars of pci/find.c
 * says: a function that lies: reads its header only, and finds memory only where there are BARs
 * bounds: any header, another one at every read
 * sources:
 * unwind: 7
 * mutant: transports/pci/find.c s/PCI_BAR0 + 4 \* i/PCI_BAR0 + 4 * i + 2/
 */
void proof_pci_bars(void)
{
	struct bars bars = { 0, sizes };
	int rc;

	p.config_read = any_read;
	rc = check_id(&p);
	PROVE(rc == 0 || rc == -EIO || rc == -ENODEV);
	if (rc == 0)
		rc = look_at_bars(&p, &bars);
	PROVE(bars.usable < 1u << BARS);
	REACHED(rc == 0 && bars.usable == 63);
	REACHED(rc == 0 && bars.usable == 0x15);
}

/* As any_read(), but of no capability of a vendor: pci_cap has these. */
static int any_other(void *ctx, uint32_t offset, uint32_t len, uint32_t *value)
{
	int rc = any_read(ctx, offset, len, value);

	ASSUME((*value & 0xff) != PCI_CAP_VENDOR);
	return rc;
}

/*
 * proof: pci_walk
 * of: walk of pci/find.c
 * says: a list that lies: read inside the space only, it ends, MSI-X found only where all of it fits
 * bounds: any list, another one at every read; none of a vendor, which is pci_cap
 * sources:
 * unwind: 50
 * flags: --object-bits 10
 * mutant: transports/pci/find.c s/at \&= 0xfc/at \&= 0xff/
 */
void proof_pci_walk(void)
{
	struct bars bars = { 63, sizes };
	int rc;

	p.config_read = any_other;
	p.msix = 0;
	rc = walk(&p, &bars);
	PROVE(rc == 0 || rc == -EIO);
	PROVE(reads <= CAPS_MAX + 1);
	PROVE(!p.msix || (p.msix >= CAPS_FIRST && p.msix + MSIX_SIZE <= FPH_PCI_CONFIG_SIZE));
	REACHED(reads == CAPS_MAX + 1);
	REACHED(p.msix == FPH_PCI_CONFIG_SIZE - 12);
}
