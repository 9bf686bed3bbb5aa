/* SPDX-License-Identifier: MIT */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * KVM: a machine with memory, one vCPU on a thread of its own, and an interrupt controller.
 * What is not done in the kernel comes out by two callbacks, on the vCPU's thread.
 */
#define VM_PAGE 4096u

struct vm {
	int kvm, fd, vcpu;
	struct kvm_run *run;
	size_t run_size;
	unsigned char *ram;
	uint64_t ram_size;
	bool logs; /* KVM logs dirty pages */

	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* of the three below */
	pthread_cond_t change;
	bool stop, stands, quit;
	const char *failure; /* why the vCPU cannot go on, or NULL */

	void (*mmio)(void *ctx, uint64_t gpa, bool write, uint32_t len, unsigned char *data);
	void (*port)(void *ctx, uint16_t port, uint32_t value);
	void *ctx;
};

/* Everything that a machine is besides its memory. */
struct vm_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	struct kvm_irqchip chips[3];
};

/*
 * All return 0 or a negative errno, and say on stderr what went wrong.  -ENODEV: there is
 * no KVM to be had at that path.
 */
int vm_open(struct vm *vm, const char *kvm_path, uint64_t ram_size);
void vm_close(struct vm *vm);
/* At the guest's first instruction. */
int vm_boot(struct vm *vm);
int vm_start(struct vm *vm);
/* When pause returns, the vCPU runs no instruction and none of its accesses is half done. */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);
int vm_save(struct vm *vm, struct vm_state *state);
int vm_load(struct vm *vm, const struct vm_state *state);

/* A write of `value`, 4 bytes, at gpa signals event; event raises the interrupt line. */
int vm_ioeventfd(struct vm *vm, uint64_t gpa, uint32_t value, int event);
int vm_irqfd(struct vm *vm, uint32_t irq, int event);

/* Dirty log, by hand (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2): reading it protects nothing. */
int vm_log(struct vm *vm, bool on);
/* A bit a page, 64-bit words. */
int vm_log_read(struct vm *vm, uint64_t *words);
/* Protect the pages whose bits are set, from page `first`, n of them, both multiples of 64. */
int vm_log_protect(struct vm *vm, const uint64_t *words, uint64_t first, uint64_t n);

#endif
