/* SPDX-License-Identifier: MIT */
#include "qemu_guest.h"

#include <criterion/criterion.h>

/* The kinds of function that QEMU's balloon can be; the other tests drive the first. */
static bool is_answered(const struct vm *vm)
{
	return vm->id != 0 && !(vm->want & FPH_GUEST_FEED) && vm->pages.out == 0;
}

static struct vm vm;

/* A migration with hints, and one more after a reset. */
static void two_rounds(const struct vm_bus *bus, const char *what)
{
	const struct vm_opts opts = { .bus = bus, .ram = 64 * MIB };
	uint64_t start = now_us(), hinted;
	struct outcome out = { 0 };

	vm_open(&vm, &opts);
	vm_fill(&vm);
	for (unsigned i = 0; i < 2; i++) {
		vm_attach(&vm);
		vm_migrate(&vm, SLOW);
		vm_until(&vm, is_answered, "the end of the round");
		hinted = vm.pages_hinted;
		out = vm_finish(&vm);
		cr_expect(hinted > 0 && out.unsent * 100 >= (int64_t)hinted * 99,
			  "%lu pages hinted, %ld not sent", (unsigned long)hinted,
			  (long)out.unsent);
		vm_reset(&vm);
	}
	table_row(what, &vm, out.unsent, start);
}

static uint64_t device_id(void)
{
	uint64_t id = 0;

	cr_assert(qtest_ask(&vm.qtest, NULL, "outl 0xcf8 0x%x", vm.function) == 0);
	cr_assert(qtest_ask(&vm.qtest, &id, "inl 0xcfc") == 0);
	return id;
}

/* PC-9 */
Test(qemu, a_transitional_function)
{
	two_rounds(&vm_pci, "transitional");
	cr_expect(device_id() == 0x10021af4);
	vm_close(&vm);
}

Test(qemu, a_modern_function)
{
	two_rounds(&vm_pci_modern, "modern");
	cr_expect(device_id() == 0x10451af4);
	vm_close(&vm);
}

/* INTA# of function 4 of q35's root bus. */
#define PIN 20u

/* PC-6: the line rises for each id, since reading the ISR let it fall: no look without. */
Test(qemu, interrupts_come_by_inta)
{
	const struct vm_opts opts = { .ram = 64 * MIB };
	uint64_t start = now_us();

	vm_open(&vm, &opts);
	vm_attach(&vm);
	vm_fill(&vm);
	cr_assert(qtest_ask(&vm.qtest, NULL, "irq_intercept_in ioapic") == 0);
	for (uint64_t i = 1; i <= 3; i++) {
		/* Counted before the look, so what comes during it makes for one more. */
		uint64_t seen = vm.qtest.raised[PIN];

		cr_assert(vm_turn(&vm) >= 0);
		vm_migrate(&vm, SLOW);
		while (vm.rounds < i) {
			cr_assert(qtest_wait_irq(&vm.qtest, PIN, seen + 1, 10000) == 0);
			seen = vm.qtest.raised[PIN];
			cr_assert(vm_turn(&vm) >= 0);
		}
		vm_until(&vm, is_answered, "the end of the round");
		vm_finish(&vm);
	}
	table_row("INTA#", &vm, 0, start);
	vm_close(&vm);
}
