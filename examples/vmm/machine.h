/* SPDX-License-Identifier: MIT */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include "machine_abi.h"
#include "vm.h"
#include <fph/device.h>
#include <fph/loop.h>
#include <fph/mmio.h>

/*
 * A machine: the VM, the balloon behind virtio-mmio registers, and the events between.
 *
 * Two threads use the balloon: the vCPU's, when the guest accesses a register, and the one
 * that migrates.  libfph's objects are used by one thread at a time, so each of the two
 * holds `lock` while it does.
 */
struct machine {
	struct vm vm;
	struct fph_region region;
	struct fph_mem mem;
	struct fph_loop *loop;

	pthread_mutex_t lock; /* of the rest */
	struct fph_device balloon;
	struct fph_mmio_device registers;
	int doorbells[FPH_QUEUE_COUNT]; /* ioeventfds */
	int line;			/* irqfd */
	int news;			/* written when the guest said something */
	uint32_t a, b;			/* what it wrote to the ports last */
	unsigned ready, checked, rewrote; /* how often it said so */
	uint32_t good, bad;		  /* pages, of the last check */
	uint32_t panic;
};

struct machine_opts {
	const char *kvm;
	uint64_t ram_size;
	uint32_t command_id; /* the last one that another machine showed this guest */
};

/* 0, or a negative errno and a line on stderr. */
int machine_open(struct machine *machine, const struct machine_opts *opts);
void machine_close(struct machine *machine);

struct abi_page *machine_page(struct machine *machine);

/*
 * Serve doorbells until *count is above `than`, for at most timeout_ms.  Returns 0,
 * -ETIMEDOUT, or -EIO (the guest is dead; said on stderr).
 */
int machine_wait(struct machine *machine, const unsigned *count, unsigned than, int timeout_ms);
/* Serve what is there now. */
void machine_serve(struct machine *machine);
/* Have the guest check its memory, and wait for what it says, in good and bad. */
int machine_check(struct machine *machine);

#endif
