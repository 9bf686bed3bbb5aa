/* SPDX-License-Identifier: MIT */
#ifndef EMBED_VMM_H
#define EMBED_VMM_H

#include <fph/bitmap.h>
#include <fph/device.h>

struct vmm {
	struct fph_device fph;
	struct fph_bitmap dirty; /* pages still to send */
};

int vmm_init(struct vmm *vm, const struct fph_mem *mem);
int vmm_pass(struct vmm *vm, void (*sync)(struct vmm *), bool (*send_some)(struct vmm *));

#endif
