/* SPDX-License-Identifier: MIT */
#include "require.h"
#include "vfio_user_harness.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A stock Linux driver on virtio-pci, in a guest of QEMU 11.1, against the server of this
 * library.  The same server and device as in production: only the client is not ours.
 */
TestSuite(vfio_user, .timeout = 400, .fini = vm_clean_up);

/* Debian zeroes pages as they are allocated, so hinting them takes the guest its time. */
#define QUICK "init_on_alloc=0"

/* BH-2, BH-4, BH-6, BH-10, BH-12, BH-16, G-14, PC-1, PC-2, PC-7 */
Test(vfio_user, hints_nearly_all_free_memory_round_by_round_and_gets_it_back_on_done)
{
	const struct vm_opts opts = { .qemu.append = QUICK };
	uint64_t before, during, after;
	struct round round;
	struct vm vm;
	uint32_t id;

	vm_serve(&vm, &opts);
	vm_boot(&vm, &opts);
	round = vm_first_round(&vm);
	table_row("first, at DRIVER_OK", &round);
	vm_until_up(&vm, 1);
	cr_expect(round.over && round.hints > 50);
	cr_expect(vm.twice == 0);
	cr_expect(fph_device_done(vm.dev) == 0);
	before = vm_wait_free(&vm, round.bytes);
	for (int i = 0; i < 3; i++) {
		id = fph_device_command_id(vm.dev);
		vm_forget(&vm);
		round = vm_round(&vm);
		table_row("after DONE", &round);
		vm_expect_hints(&vm, &round, before);
		cr_expect(fph_device_command_id(vm.dev) == id + 1);
		cr_expect(round.wire.dma_reads + round.wire.dma_writes == 0);
		during = vm_free(&vm);
		cr_expect(during <= before - round.bytes / 10 * 9);

		/* STOP: the driver keeps what it hinted, and hints only what is new. */
		cr_expect(fph_device_stop(vm.dev) == 0);
		round = vm_round(&vm);
		table_row("after STOP", &round);
		cr_expect(round.over);
		cr_expect(round.bytes <= during);
		cr_expect(vm.twice == 0);

		cr_expect(fph_device_done(vm.dev) == 0);
		after = vm_wait_free(&vm, before - 8 * MIB);
		cr_expect(after >= before - 8 * MIB, "%lu of %lu MiB", (unsigned long)(after / MIB),
			  (unsigned long)(before / MIB));
	}
	/* It lives on, in the memory that was hinted. */
	vm_ask(&vm, "fill 350");
	cr_expect(vm.troubles == 0, "%s", vm.trouble);
	vm_close(&vm);
}

static void negotiate(uint64_t offer, uint64_t withhold, uint64_t accepted, int queue)
{
	const struct vm_opts opts = {
		.qemu.append = QUICK,
		.offer = offer,
		.withhold = withhold,
	};
	struct round round;
	char bits[65];
	struct vm vm;

	vm_open(&vm, &opts);
	cr_expect(fph_device_features(vm.dev) == accepted, "%#lx accepted, %#lx wanted",
		  (unsigned long)fph_device_features(vm.dev), (unsigned long)accepted);
	cr_expect(fph_device_queue(vm.dev, FPH_QUEUE_HINT) == queue);
	/* The guest says the same. */
	for (int i = 0; i < 64; i++)
		bits[i] = accepted >> i & 1 ? '1' : '0';
	bits[64] = 0;
	vm_ask(&vm, "features");
	cr_expect_str_eq(vm.text, bits);
	round = vm_round(&vm);
	vm_expect_hints(&vm, &round, 0);
	vm_close(&vm);
}

/* G-6, G-7, G-10, A5-1 */
Test(vfio_user, negotiates_hinting_alone)
{
	negotiate(0, FPH_F_STATS_VQ, FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT, 2);
}

Test(vfio_user, negotiates_all_that_both_ends_know)
{
	negotiate(FPH_F_MUST_TELL_HOST | FPH_F_DEFLATE_ON_OOM | FPH_F_PAGE_POISON |
			  FPH_F_PAGE_REPORTING | FPH_F_RING_RESET,
		  0,
		  FPH_F_VERSION_1 | FPH_F_MUST_TELL_HOST | FPH_F_STATS_VQ | FPH_F_DEFLATE_ON_OOM |
			  FPH_F_FREE_PAGE_HINT | FPH_F_PAGE_REPORTING | FPH_F_RING_RESET,
		  3);
}

/* ------------------------------------------------------------ are they free? */

/* A guest that used most of its memory; what is not zero of what it hints then. */
static void hint_used_memory(struct vm *vm, const char *append, const char *what)
{
	const struct vm_opts opts = { .qemu.append = append };
	struct round round;
	uint64_t before;

	vm_open(vm, &opts);
	vm->look = true;
	vm_ask(vm, "fill 350");
	before = vm_free(vm);
	round = vm_round(vm);
	table_row(what, &round);
	vm_expect_hints(vm, &round, before);
	cr_expect(vm->looked * PAGE == round.bytes);
	fprintf(stderr, "%lu pages looked at, %lu of them not zero\n", (unsigned long)vm->looked,
		(unsigned long)vm->dirty);
}

/* With init_on_free a page that is free reads as zero; without, it would not.  BH-14 */
Test(vfio_user, hints_only_pages_that_are_really_free)
{
	struct vm vm;

	hint_used_memory(&vm, QUICK " init_on_free=1", "init_on_free=1");
	cr_expect(vm.dirty == 0, "%lu of %lu pages", (unsigned long)vm.dirty,
		  (unsigned long)vm.looked);
	vm_close(&vm);

	hint_used_memory(&vm, QUICK, "and without");
	cr_expect(vm.dirty > vm.looked / 2, "the question was none: %lu of %lu",
		  (unsigned long)vm.dirty, (unsigned long)vm.looked);
	vm_close(&vm);
}

/* ------------------------------------------------------------ other ways */

/* Two rounds with what opts says, and DONE between them. */
static void two_rounds(struct vm *vm, const struct vm_opts *opts, const char *what)
{
	struct round round;
	uint64_t before;

	vm_open(vm, opts);
	before = vm_free(vm);
	for (int i = 0; i < 2; i++) {
		vm_forget(vm);
		round = vm_round(vm);
		table_row(what, &round);
		vm_expect_hints(vm, &round, before);
		/* The id came by an interrupt, and so does DONE. */
		cr_expect(round.wire.interrupts >= 1);
		cr_expect(fph_device_done(vm->dev) == 0);
		cr_expect(vm_wait_free(vm, before - 8 * MIB) >= before - 8 * MIB);
	}
	cr_expect(vm->troubles == 0, "%s", vm->trouble);
}

static bool guest_has(struct vm *vm, const char *kind)
{
	vm_ask(vm, "interrupts");
	fprintf(stderr, "interrupts: %s\n", vm->text);
	return strstr(vm->text, kind);
}

/* PC-7 */
Test(vfio_user, interrupts_by_msix)
{
	const struct vm_opts opts = { .qemu.append = QUICK };
	struct vm vm;

	two_rounds(&vm, &opts, "MSI-X");
	cr_expect(guest_has(&vm, "virtio0-config"));
	vm_close(&vm);
}

/* PC-6 */
Test(vfio_user, interrupts_by_intx_if_the_device_has_no_msix)
{
	const struct vm_opts opts = { .qemu.append = QUICK, .server = FPH_VFIO_USER_NO_MSIX };
	struct vm vm;

	two_rounds(&vm, &opts, "INTx");
	cr_expect(guest_has(&vm, "fasteoi"));
	cr_expect(!guest_has(&vm, "virtio0-config"));
	vm_close(&vm);
}

Test(vfio_user, interrupts_by_intx_if_the_guest_takes_no_msi)
{
	const struct vm_opts opts = { .qemu.append = QUICK " pci=nomsi" };
	struct vm vm;

	two_rounds(&vm, &opts, "INTx, pci=nomsi");
	cr_expect(guest_has(&vm, "fasteoi"));
	cr_expect(!guest_has(&vm, "virtio0-config"));
	vm_close(&vm);
}

Test(vfio_user, bears_a_guest_that_zeroes_what_it_hints)
{
	const struct vm_opts opts = { .qemu.append = "init_on_alloc=1" };
	struct vm vm;

	two_rounds(&vm, &opts, "init_on_alloc=1");
	vm_close(&vm);
}

Test(vfio_user, serves_linux_6_12)
{
	const struct vm_opts opts = { .qemu.append = QUICK, .qemu.kernel = "trixie" };
	struct vm vm;

	two_rounds(&vm, &opts, "Linux 6.12");
	vm_close(&vm);
}

Test(vfio_user, serves_linux_7)
{
	const struct vm_opts opts = { .qemu.append = QUICK, .qemu.kernel = "trixie-backports" };
	struct vm vm;

	two_rounds(&vm, &opts, "Linux 7");
	vm_close(&vm);
}

/* QEMU's q35 puts what is over 2 GiB above 4 GiB. */
Test(vfio_user, serves_a_guest_with_memory_above_4_gib)
{
	const struct vm_opts opts = { .qemu.append = QUICK, .qemu.mib = 3072 };
	struct vm vm;

	two_rounds(&vm, &opts, "3 GiB");
	vm_close(&vm);
}

/* ------------------------------------------------------------ memory */

Test(vfio_user, reaches_memory_by_messages_if_it_has_no_descriptor)
{
	const struct vm_opts opts = { .qemu.append = QUICK, .qemu.ram = "plain" };
	const struct fph_mem *mem;
	uint64_t offset;
	struct vm vm;
	int fd;

	two_rounds(&vm, &opts, "plain -m, messages");
	mem = fph_vfio_user_server_mem(vm.server);
	cr_expect(mem->count > 0);
	for (uint32_t i = 0; i < mem->count; i++)
		cr_expect(!mem->regions[i].hva &&
			  fph_vfio_user_server_region_file(vm.server, i, &fd, &offset) == -ENOENT);
	vm_close(&vm);
}

static bool is_troubled(const struct vm *vm)
{
	return vm->troubles > 0;
}

/* QEMU sends a descriptor of a file that is not the guest's memory. */
Test(vfio_user, names_memory_that_is_not_shared)
{
	const struct vm_opts opts = { .qemu.append = QUICK, .qemu.ram = "unshared" };
	struct fph_device_stats stats = FPH_DEVICE_STATS_INIT;
	struct vm vm;

	vm_open(&vm, &opts);
	fph_device_start(vm.dev);
	vm_until(&vm, is_troubled, "word of trouble");
	for (int i = 0; i < 20; i++)
		vm_pump(&vm, 100);
	fprintf(stderr, "said: %s\n", vm.trouble);
	cr_expect(strstr(vm.trouble, "share"));
	cr_expect(vm.troubles == 1);
	cr_assert(fph_device_total_stats(vm.dev, &stats) == 0);
	cr_expect(stats.hints == 0);
	/* The guest goes on. */
	vm_ask(&vm, "true");
	vm_close(&vm);
}

Test(vfio_user, names_memory_that_it_may_not_reach)
{
	const struct vm_opts opts = {
		.qemu = { .append = QUICK, .ram = "plain" },
		.server = FPH_VFIO_USER_NO_MESSAGE_DMA,
	};
	struct fph_vfio_user_stats stats = FPH_VFIO_USER_STATS_INIT;
	struct vm vm;

	vm_serve(&vm, &opts);
	vm_boot(&vm, &opts);
	vm_until_up(&vm, 1);
	vm_until(&vm, is_troubled, "word of trouble");
	cr_expect(strstr(vm.trouble, "share=on"), "%s", vm.trouble);
	cr_expect(vm.troubles == 1);
	cr_assert(fph_vfio_user_server_stats(vm.server, &stats) == 0);
	cr_expect(stats.dma_reads + stats.dma_writes == 0);
	vm_ask(&vm, "true");
	vm_close(&vm);
}

/* Run the script that makes the tree; it is quick if there is one. */
static int set_up(void)
{
	int status = system(QEMU11_TREE " >&2");

	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	struct criterion_test_set *tests;
	int result = set_up();

	if (result == 77)
		return peer_missing("QEMU 11.1", "tests/interop/qemu11-tree says why");
	if (result != 0) {
		printf("FAIL: tests/interop/qemu11-tree\n");
		return 1;
	}
	table_open();
	tests = criterion_initialize();
	if (criterion_handle_args(argc, argv, true))
		result = !criterion_run_all_tests(tests);
	criterion_finalize(tests);
	table_print();
	return result;
}
