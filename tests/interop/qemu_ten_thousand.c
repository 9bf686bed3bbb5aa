/* SPDX-License-Identifier: MIT */
#include "qemu_guest.h"

#include <criterion/criterion.h>

#define TEN_THOUSAND 10000u
/* A hang is for ever; a machine that is held up by its hypervisor is not one. */
#define ROUND_US     UINT64_C(60000000)

/* An id and its round, unless QEMU was done before we looked; and the end. */
static void short_migration(struct vm *vm)
{
	uint64_t before = vm->rounds, start = now_us();

	vm_migrate(vm, FAST);
	do {
		cr_assert(vm_turn(vm) >= 0);
		cr_assert(now_us() - start < ROUND_US, "round %lu hangs; the guest is %s",
			  (unsigned long)before + 1, fph_guest_state_name(&vm->guest));
	} while (!vm_has_migrated(vm));
	vm_cont(vm);
	while (vm->pages.out) {
		cr_assert(vm_turn(vm) >= 0);
		cr_assert(now_us() - start < 2 * ROUND_US, "%lu pages are lost in round %lu",
			  (unsigned long)vm->pages.out, (unsigned long)before + 1);
	}
}

/*
 * Of a machine without anything in it: each migration gives an id, and ends at once.
 * QEMU can lose a doorbell (B1); then the guest rings again, which is counted.
 */
Test(qemu, ten_thousand_rounds_and_none_hangs, .timeout = 1400)
{
	const struct vm_opts opts = { .ram = 32 * MIB };
	uint64_t start = now_us();
	static struct vm vm;

	vm_open(&vm, &opts);
	vm_attach(&vm);
	vm.limit = 4;
	vm.range = 16;
	while (vm.rounds < TEN_THOUSAND)
		short_migration(&vm);
	cr_expect(vm_stats(&vm).rounds >= TEN_THOUSAND, "answered: %lu",
		  (unsigned long)vm_stats(&vm).rounds);
	table_row("10,000 rounds", &vm, 0, start);
	vm_close(&vm);
}
