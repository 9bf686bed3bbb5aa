/* SPDX-License-Identifier: MIT */
#include "qemu_guest.h"
#include "require.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <unistd.h>

/*
 * The guest role in the only guest of a QEMU that has no other: its balloon is asked for
 * hints by a real migration, and query-migrate is the judge.
 */
TestSuite(qemu, .timeout = 240);

static bool has_new_round(const struct vm *vm)
{
	return vm->id != 0;
}

/* The round is answered and closed, and nothing is lent any more. */
static bool is_answered(const struct vm *vm)
{
	return vm->id != 0 && !(vm->want & FPH_GUEST_FEED) && vm->pages.out == 0;
}

/* BH-2, BH-4, BH-6, BH-10 */
Test(qemu, a_migration_sends_almost_no_page_that_was_hinted)
{
	const struct vm_opts opts = { 0 };
	uint64_t start = now_us(), pages;
	struct outcome plain, hinted;
	static struct vm vm;

	vm_open(&vm, &opts);
	vm_fill(&vm);
	vm_migrate(&vm, FAST);
	plain = vm_finish(&vm);
	table_row("without hints", &vm, plain.unsent, start);
	cr_expect(plain.normal * PAGE >= (int64_t)(vm.qemu.ram_bytes - FREE_GPA));
	cr_expect(plain.unsent <= 0, "%ld pages", (long)plain.unsent);

	start = now_us();
	vm_attach(&vm);
	vm_migrate(&vm, SLOW);
	vm_until(&vm, has_new_round, "an id");
	vm_until(&vm, is_answered, "the end of the round");
	pages = vm.pages_hinted; /* another id may come, and with it the same pages */
	cr_expect(pages == (vm.qemu.ram_bytes - FREE_GPA) / PAGE);
	hinted = vm_finish(&vm);
	table_row("with hints", &vm, hinted.unsent, start);
	cr_expect(hinted.unsent * 100 >= (int64_t)pages * 99, "%lu pages hinted, %ld not sent",
		  (unsigned long)pages, (long)hinted.unsent);
	vm_close(&vm);
}

int main(int argc, char **argv)
{
	struct criterion_test_set *tests;
	int result = 0;

	if (access(QEMU_PROGRAM, X_OK))
		return peer_missing(QEMU_PROGRAM, "packaging/install-deps test");
	table_open();
	tests = criterion_initialize();
	if (criterion_handle_args(argc, argv, true))
		result = !criterion_run_all_tests(tests);
	criterion_finalize(tests);
	table_print();
	return result;
}
