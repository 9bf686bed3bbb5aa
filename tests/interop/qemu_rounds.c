/* SPDX-License-Identifier: MIT */
#include "qemu_guest.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/*
 * Many ids, each answered with START, hints and STOP.  A migration gives a new one
 * at each look at the dirty log, and looks again as long as more is dirty than it could
 * send within its downtime; so memory is written to after every id.
 */
#define ROUNDS	    120u
#define DIRTY_GPA   (20 * MIB)
#define DIRTY_PAGES 2048u
#define FIRST_PASS  (100 * MIB) /* bytes a second, until QEMU knows its bandwidth */
#define ROUND_US    UINT64_C(60000000)

/* Returns how many ids this migration gave. */
static uint64_t one_migration(struct vm *vm, uint64_t most)
{
	uint64_t before = vm->rounds, seen = before, last = now_us();

	vm_migrate(vm, FIRST_PASS);
	for (;;) {
		cr_assert(vm_turn(vm) >= 0);
		if (vm->rounds != seen) {
			seen = vm->rounds;
			last = now_us();
			if (vm->rounds - before < most)
				vm_dirty(vm, DIRTY_GPA, DIRTY_PAGES);
			if (vm->rounds - before == 3)
				vm_speed(vm, FAST);
		} else if (vm_has_migrated(vm)) {
			vm_cont(vm);
			return vm->rounds - before;
		}
		cr_assert(now_us() - last < ROUND_US, "no new id for 60 s after %lu; guest is %s",
			  (unsigned long)vm->rounds, fph_guest_state_name(&vm->guest));
	}
}

/* BH-12 */
Test(qemu, many_rounds_and_none_hangs, .timeout = 600)
{
	const struct vm_opts opts = { .ram = 64 * MIB };
	uint64_t start = now_us(), migrations = 0;
	static struct vm vm;

	vm_open(&vm, &opts);
	vm_attach(&vm);
	cr_assert(qmp_ask(&vm.qmp, "migrate-set-parameters", NULL, "\"downtime-limit\":1") == 0);
	vm_fill(&vm);
	vm.limit = 4;
	vm.range = 16;
	while (vm.rounds < ROUNDS) {
		one_migration(&vm, ROUNDS - vm.rounds);
		migrations++;
	}
	cr_expect(vm_stats(&vm).rounds >= ROUNDS - migrations, "answered: %lu",
		  (unsigned long)vm_stats(&vm).rounds);
	fprintf(stderr, "%lu ids in %lu migrations, %lu answered, doorbells rung again: %lu\n",
		(unsigned long)vm.rounds, (unsigned long)migrations,
		(unsigned long)vm_stats(&vm).rounds, (unsigned long)vm_stats(&vm).rekicks);
	table_row("many rounds", &vm, 0, start);
	vm_close(&vm);
}
