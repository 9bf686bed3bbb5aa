/* SPDX-License-Identifier: MIT */
/* How a VMM embeds the device role: one pass of a pre-copy migration. */
#include "vmm.h"

#include <errno.h>

int vmm_init(struct vmm *vm, const struct fph_mem *mem)
{
	struct fph_device_opts opts = FPH_DEVICE_OPTS_INIT;

	opts.mem = mem;
	return fph_device_init(&vm->fph, &opts);
}

/*
 * sync: dirty log into vm->dirty, and re-protect.  send_some: false when few enough
 * pages are left.  After the last pass, guest paused: stop, sync, send, fph_device_done().
 */
int vmm_pass(struct vmm *vm, void (*sync)(struct vmm *), bool (*send_some)(struct vmm *))
{
	struct fph_range hints[64];
	int n;

	fph_device_stop(&vm->fph);	/* no hint of the last pass counts any more ... */
	sync(vm);			/* ... since these bits are newer */
	n = fph_device_start(&vm->fph); /* no driver, no hints: then all is sent */
	do {
		while (n >= 0 && (n = fph_device_poll(&vm->fph, hints, 64)) > 0)
			for (int i = 0; i < n; i++)
				fph_bitmap_clear(&vm->dirty, hints[i]);
		if (n == -EAGAIN)
			n = 0; /* more to look through the next time */
	} while (send_some(vm));
	return n;
}
