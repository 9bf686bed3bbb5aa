/* SPDX-License-Identifier: MIT */
#include "qemu_guest.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How rounds end other than well, and what is at the other end then. */

static bool has_fed(const struct vm *vm)
{
	return vm->id != 0 && vm->fed >= 4;
}

static bool is_closed(const struct vm *vm)
{
	return vm->id != 0 && !(vm->want & FPH_GUEST_FEED) && vm->pages.out == 0;
}

static uint32_t old; /* id */

static bool is_another(const struct vm *vm)
{
	return vm->id != old && is_closed(vm);
}

static bool is_free(const struct vm *vm)
{
	return vm->pages.out == 0;
}

/* A migration that waits for us, and a round that is open with hints in it. */
static void open_round(struct vm *vm)
{
	vm->keep_open = true;
	vm->limit = 8;
	vm->fed = 0;
	vm_migrate(vm, SLOW);
	vm_until(vm, has_fed, "a round with hints");
	cr_assert(vm->want & FPH_GUEST_FEED);
}

static void expect_another_round(struct vm *vm)
{
	vm->keep_open = false;
	vm->limit = UINT64_MAX;
	old = vm->id; /* BH-12; the last migration may have given some more on its way out */
	vm_migrate(vm, SLOW);
	vm_until(vm, is_another, "another round");
	cr_expect(vm->pages_hinted >= (vm->qemu.ram_bytes - FREE_GPA) / PAGE);
	vm_finish(vm);
}

/* BH-16, BH-10: DONE comes, and the pages come back. */
Test(qemu, a_migration_cancelled_in_mid_round_gives_all_pages_back)
{
	const struct vm_opts opts = { .ram = 64 * MIB };
	static struct vm vm;

	vm_open(&vm, &opts);
	vm_attach(&vm);
	vm_fill(&vm);
	for (unsigned i = 0; i < 3; i++) {
		open_round(&vm);
		vm_cancel(&vm);
		cr_expect(vm.pages.out == 0);
		cr_expect(vm_in_state(&vm, "IDLE"));
		cr_expect(vm_shown_id(&vm) == FPH_COMMAND_DONE);
	}
	expect_another_round(&vm);
	vm_close(&vm);
}

/*
 * Q1: QEMU shows 0 once it has seen START, and tells nobody; another change of the
 * configuration makes the driver look.  The round ends, with STOP, and nothing is lost.
 */
static bool stopped_by_0(const struct vm *vm)
{
	return !(vm->want & FPH_GUEST_FEED) && vm->pages.out == 0;
}

Test(qemu, stop_seen_in_mid_round_ends_the_round)
{
	const struct vm_opts opts = { .ram = 64 * MIB };
	static struct vm vm;
	uint32_t id;

	vm_open(&vm, &opts);
	vm_attach(&vm);
	vm_fill(&vm);
	open_round(&vm);
	id = vm.id;
	for (unsigned i = 0; i < 1000 && vm_shown_id(&vm) != FPH_COMMAND_STOP; i++)
		usleep(1000); /* until it has seen START */
	cr_assert(vm_shown_id(&vm) == FPH_COMMAND_STOP, "it does not behave like Q1 any more");
	cr_assert(qmp_ask(&vm.qmp, "balloon", NULL, "\"value\":%llu",
			  (unsigned long long)(48 * MIB)) == 0);
	vm_until(&vm, stopped_by_0, "the end of the round");
	cr_expect(vm.id == id);
	vm_finish(&vm);
	expect_another_round(&vm);
	vm_close(&vm);
}

/* G-13, R9: nothing comes back before the reset is complete, and then everything. */
Test(qemu, a_reset_in_mid_round_gives_all_pages_back)
{
	const struct vm_opts opts = { .ram = 64 * MIB };
	static struct vm vm;

	vm_open(&vm, &opts);
	vm_attach(&vm);
	vm_fill(&vm);
	for (unsigned i = 0; i < 3; i++) {
		open_round(&vm);
		vm_reset(&vm);
		vm_attach(&vm);
		cr_expect(!(vm.want < 0));
		vm_cancel(&vm);
		vm_until(&vm, is_free, "all pages");
	}
	expect_another_round(&vm);
	vm_close(&vm);
}

/* G3: the id is read once after DRIVER_OK; QEMU gives one at its next look at the log. */
Test(qemu, a_driver_that_comes_up_during_a_migration_hangs_nothing)
{
	const struct vm_opts opts = { .ram = 64 * MIB };
	static struct vm vm;
	struct outcome out;

	vm_open(&vm, &opts);
	vm_fill(&vm);
	vm_migrate(&vm, SLOW);
	usleep(50000);
	vm_attach(&vm);
	vm_linger(&vm, 200);
	out = vm_finish(&vm);
	cr_expect_str_eq(out.status, "completed");
	expect_another_round(&vm);
	vm_close(&vm);
}

/*
 * What arrives.  A hinted page is zero, or what it was if it had been sent before its hint
 * came; all others are what they were.
 */
static void compare(const struct vm *from, const struct vm *to)
{
	static const unsigned char zero[PAGE];
	uint64_t is_zero = 0, hinted = 0, sent_before = 0, same = 0;

	for (uint64_t page = FREE_GPA / PAGE; page < from->pages.end; page++) {
		const unsigned char *a = from->qemu.ram + page * PAGE;
		const unsigned char *b = to->qemu.ram + page * PAGE;
		bool is_same = !memcmp(a, b, PAGE);

		hinted += from->pages.hinted[page];
		if (!from->pages.hinted[page])
			same += is_same;
		else if (is_same)
			sent_before++;
		else
			is_zero += !memcmp(b, zero, PAGE);
	}
	cr_expect(hinted > 0 && is_zero + sent_before == hinted, "%lu of %lu hinted pages",
		  (unsigned long)(is_zero + sent_before), (unsigned long)hinted);
	cr_expect(is_zero * 100 >= hinted * 99, "%lu of %lu hinted pages are zero",
		  (unsigned long)is_zero, (unsigned long)hinted);
	cr_expect(same == from->pages.end - FREE_GPA / PAGE - hinted,
		  "%lu other pages are the same", (unsigned long)same);
}

static bool has_arrived(struct vm *vm)
{
	struct json_object *answer = NULL, *status;
	bool here;

	cr_assert(qmp_ask(&vm->qmp, "query-status", &answer, NULL) == 0);
	here = json_object_object_get_ex(answer, "status", &status) &&
	       strcmp(json_object_get_string(status), "inmigrate") != 0;
	json_object_put(answer);
	return here;
}

Test(qemu, at_the_destination_hinted_pages_are_zero_and_all_others_the_same)
{
	struct vm_opts opts = { .ram = 64 * MIB };
	static struct vm from, to;
	int fds[2];

	cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	vm_open(&from, &opts);
	opts.incoming = fds[1];
	vm_start(&to, &opts);
	close(fds[1]);
	vm_attach(&from);
	vm_fill(&from);
	from.limit = 6; /* 24 of 48 MiB */
	vm_migrate_to(&from, fds[0], SLOW);
	vm_until(&from, is_closed, "the end of the round");
	vm_finish(&from);
	for (unsigned i = 0; i < 1000 && !has_arrived(&to); i++)
		usleep(10000);
	cr_assert(has_arrived(&to), "it did not arrive: %s", qemu_said(&to.qemu));
	compare(&from, &to);
	close(fds[0]);
	vm_close(&from);
	vm_close(&to);
}
