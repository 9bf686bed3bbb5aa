/* SPDX-License-Identifier: MIT */
#include "qemu_guest.h"

#include <errno.h>

/* q35's root bus, by qtest: no firmware ran, so the BARs are placed here. */
#define ADDRESS_PORT 0xcf8u
#define DATA_PORT    0xcfcu
#define ENABLE	     UINT32_C(0x80000000)
#define HOLE	     UINT64_C(0xe8000000)
#define FUNCTIONS    32u
#define BAR(i)	     (0x10u + 4 * (i))

static char letter(uint32_t len)
{
	return len == 1 ? 'b' : len == 2 ? 'w' : 'l';
}

static int select_word(struct vm *vm, uint32_t offset)
{
	return qtest_ask(&vm->qtest, NULL, "outl 0x%x 0x%x", ADDRESS_PORT,
			 vm->function | (offset & 0xfc));
}

static int config_read(void *ctx, uint32_t offset, uint32_t len, uint32_t *value)
{
	struct vm *vm = ctx;
	uint64_t answer = 0;
	int rc = select_word(vm, offset);

	if (rc == 0)
		rc = qtest_ask(&vm->qtest, &answer, "in%c 0x%x", letter(len),
			       DATA_PORT + (offset & 3));
	*value = (uint32_t)answer;
	return rc;
}

static int config_write(void *ctx, uint32_t offset, uint32_t len, uint32_t value)
{
	struct vm *vm = ctx;
	int rc = select_word(vm, offset);

	return rc < 0 ? rc
		      : qtest_ask(&vm->qtest, NULL, "out%c 0x%x 0x%x", letter(len),
				  DATA_PORT + (offset & 3), value);
}

static int bar_read(void *ctx, uint32_t bar, uint64_t offset, uint32_t len, uint32_t *value)
{
	struct vm *vm = ctx;
	uint64_t answer = 0;
	int rc = qtest_ask(&vm->qtest, &answer, "read%c 0x%llx", letter(len),
			   (unsigned long long)(vm->bars[bar] + offset));

	*value = (uint32_t)answer;
	return rc;
}

static int bar_write(void *ctx, uint32_t bar, uint64_t offset, uint32_t len, uint32_t value)
{
	struct vm *vm = ctx;

	return qtest_ask(&vm->qtest, NULL, "write%c 0x%llx 0x%x", letter(len),
			 (unsigned long long)(vm->bars[bar] + offset), value);
}

/* As firmware does: ask each BAR of memory how large it is, and give it a place. */
static int place_bars(struct vm *vm, uint64_t sizes[6])
{
	uint64_t free = HOLE;
	uint32_t mask = 0;
	int rc = 0;

	for (unsigned i = 0; i < 6 && rc == 0; i++) {
		rc = config_write(vm, BAR(i), 4, UINT32_MAX);
		if (rc == 0)
			rc = config_read(vm, BAR(i), 4, &mask);
		if (rc < 0 || !mask || (mask & 1))
			continue;
		sizes[i] = (uint32_t)~(mask & ~15u) + UINT64_C(1);
		vm->bars[i] = (free + sizes[i] - 1) & ~(sizes[i] - 1);
		free = vm->bars[i] + sizes[i];
		rc = config_write(vm, BAR(i), 4, (uint32_t)vm->bars[i]);
		if (rc == 0 && (mask & 6) == 4)
			rc = config_write(vm, BAR(++i), 4, 0);
	}
	return rc;
}

static int pci_open(struct vm *vm, struct fph_bus *bus)
{
	struct fph_pci_driver_opts opts = FPH_PCI_DRIVER_OPTS_INIT;
	uint64_t sizes[6] = { 0 };
	int rc = -ENODEV;

	opts.config_read = config_read;
	opts.config_write = config_write;
	opts.bar_read = bar_read;
	opts.bar_write = bar_write;
	opts.ctx = vm;
	for (uint32_t i = 0; i < FUNCTIONS && rc == -ENODEV; i++) {
		vm->function = ENABLE | i << 11;
		rc = fph_pci_driver_init(&vm->pci, &opts);
	}
	/* Again, with all that firmware would have done before. */
	if (rc == 0)
		rc = place_bars(vm, sizes);
	opts.bar_sizes = sizes;
	*bus = fph_pci_driver_bus(&vm->pci);
	return rc < 0 ? rc : fph_pci_driver_init(&vm->pci, &opts);
}

#define MACHINE "-M", "q35,memory-backend=mem"

const struct vm_bus vm_pci = {
	.machine = { MACHINE, "-global", "virtio-balloon-pci.disable-legacy=off" },
	.device = "virtio-balloon-pci,addr=4",
	.path = "/machine/peripheral/b0/virtio-backend",
	.open = pci_open,
};

const struct vm_bus vm_pci_modern = {
	.machine = { MACHINE, "-global", "virtio-balloon-pci.disable-legacy=on" },
	.device = "virtio-balloon-pci,addr=4",
	.path = "/machine/peripheral/b0/virtio-backend",
	.open = pci_open,
};
