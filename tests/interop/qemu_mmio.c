/* SPDX-License-Identifier: MIT */
#include "qemu_guest.h"

#include <errno.h>

/* microvm's virtio-mmio, by qtest. */
#define MMIO_BASE  UINT64_C(0xfeb00000)
#define MMIO_STEP  512u
#define MMIO_SLOTS 24u

static int mmio_read(void *ctx, uint32_t offset, uint32_t *value)
{
	struct vm *vm = ctx;
	uint64_t answer = 0;
	int rc = qtest_ask(&vm->qtest, &answer, "readl 0x%llx",
			   (unsigned long long)(vm->window + offset));

	*value = (uint32_t)answer;
	return rc;
}

static int mmio_write(void *ctx, uint32_t offset, uint32_t value)
{
	struct vm *vm = ctx;

	return qtest_ask(&vm->qtest, NULL, "writel 0x%llx 0x%x",
			 (unsigned long long)(vm->window + offset), value);
}

/* Every slot answers as virtio-mmio; those without a device have id 0. */
static int mmio_open(struct vm *vm, struct fph_bus *bus)
{
	struct fph_mmio_driver_opts opts = FPH_MMIO_DRIVER_OPTS_INIT;
	int rc = -ENODEV;

	opts.read = mmio_read;
	opts.write = mmio_write;
	opts.ctx = vm;
	for (unsigned i = 0; i < MMIO_SLOTS && rc == -ENODEV; i++) {
		vm->window = MMIO_BASE + i * MMIO_STEP;
		rc = fph_mmio_driver_init(&vm->mmio, &opts);
	}
	*bus = fph_mmio_driver_bus(&vm->mmio);
	return rc;
}

const struct vm_bus vm_mmio = {
	.machine = { "-M", "microvm,memory-backend=mem", "-global",
		     "virtio-mmio.force-legacy=false" },
	.device = "virtio-balloon-device",
	.path = "/machine/peripheral/b0",
	.open = mmio_open,
};
