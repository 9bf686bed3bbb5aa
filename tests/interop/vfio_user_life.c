/* SPDX-License-Identifier: MIT */
#include "vfio_user_harness.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Guests, QEMUs and servers that end, and what comes after them. */

#define QUICK "init_on_alloc=0"
/* 13 ms and more for each hint: there is a middle of a round. */
#define SLOW "init_on_alloc=1"

/* A whole round, as with a new guest. */
static void works(struct vm *vm, const char *what)
{
	struct round round;
	uint64_t before = vm_free(vm);

	vm_forget(vm);
	round = vm_round(vm);
	table_row(what, &round);
	vm_expect_hints(vm, &round, before);
	cr_expect(fph_device_done(vm->dev) == 0);
	cr_expect(vm_wait_free(vm, before - 8 * MIB) >= before - 8 * MIB);
}

/* In mid-round, or after one. */
static void begin(struct vm *vm, bool middle)
{
	vm_forget(vm);
	if (!middle)
		return;
	vm_begin_round(vm);
	fph_device_ack(vm->dev);
}

/* By itself (reboot -f), or by the machine's button. */
static void restart(bool button, bool middle, const char *what)
{
	const struct vm_opts opts = { .qemu.append = SLOW };
	struct vm vm;
	uint32_t id;

	vm_open(&vm, &opts);
	works(&vm, what);
	begin(&vm, middle);
	id = fph_device_command_id(vm.dev);
	if (button)
		vm_qmp(&vm, "system_reset", NULL);
	else
		vm_tell(&vm, "reboot -f");
	vm_until(&vm, vm_has_none, "reset");
	cr_expect(fph_device_round_over(vm.dev));
	vm_until(&vm, vm_has_driver, "driver");
	vm_until_up(&vm, 2);
	works(&vm, what);
	/* BH-12: ids go on. */
	cr_expect(fph_device_command_id(vm.dev) == id + 1);
	cr_expect(vm.gone == 0, "%s", vm.why);
	cr_expect(vm.troubles == 0, "%s", vm.trouble);
	vm_close(&vm);
}

/* G-12, PC-5, A5-12 */
Test(vfio_user, works_again_after_a_reboot)
{
	restart(false, false, "reboot");
}

Test(vfio_user, works_again_after_a_reboot_in_mid_round)
{
	restart(false, true, "reboot in mid-round");
}

Test(vfio_user, works_again_after_system_reset)
{
	restart(true, false, "system_reset");
}

Test(vfio_user, works_again_after_system_reset_in_mid_round)
{
	restart(true, true, "reset in mid-round");
}

/* G-13, G-16 */
Test(vfio_user, works_again_after_its_driver_was_unloaded)
{
	const struct vm_opts opts = { .qemu.append = SLOW };
	struct vm vm;

	vm_open(&vm, &opts);
	for (int i = 0; i < 4; i++) {
		begin(&vm, i % 2);
		vm_ask(&vm, "driver unload");
		vm_until(&vm, vm_has_none, "reset");
		cr_expect(fph_device_start(vm.dev) == -ENOTCONN);
		vm_ask(&vm, "driver load");
		vm_until(&vm, vm_has_driver, "driver");
		works(&vm, "driver loaded again");
	}
	vm_close(&vm);
}

/* R9 */
Test(vfio_user, completes_a_reset_when_the_batch_in_hand_is_acknowledged)
{
	const struct vm_opts opts = { .qemu.append = SLOW };
	struct vm vm;

	vm_open(&vm, &opts);
	vm_begin_round(&vm);
	vm_tell(&vm, "driver unload");
	for (int i = 0; i < 20; i++)
		vm_pump(&vm, 100);
	cr_expect(vm.answer != vm.asked, "the driver went, with pages in hand");
	fph_device_ack(vm.dev);
	vm_answer(&vm, "driver unload");
	cr_expect(vm_has_none(&vm));
	vm_ask(&vm, "driver load");
	vm_until(&vm, vm_has_driver, "driver");
	works(&vm, "after a late reset");
	vm_close(&vm);
}

/* BH-11, BH-13: what was hinted in the round before is not handed out in the next. */
Test(vfio_user, goes_on_under_a_new_id_when_stopped_in_mid_round)
{
	const struct vm_opts opts = { .qemu.append = SLOW };
	struct round round;
	uint64_t before;
	struct vm vm;

	vm_open(&vm, &opts);
	before = vm_free(&vm);
	vm_begin_round(&vm);
	cr_assert(fph_device_stop(vm.dev) == 0);
	round = vm_round(&vm);
	cr_expect(round.over);
	cr_expect(vm.twice == 0);
	cr_expect(fph_device_done(vm.dev) == 0);
	cr_expect(vm_wait_free(&vm, before - 8 * MIB) >= before - 8 * MIB);
	works(&vm, "after a round stopped");
	vm_close(&vm);
}

/* The client vanishes, the next one is served by the same device. */
Test(vfio_user, serves_the_next_qemu_when_one_is_killed_or_quits_in_mid_round)
{
	const struct vm_opts opts = { .qemu.append = SLOW };
	struct vm vm;
	uint32_t id;

	vm_open(&vm, &opts);
	for (unsigned i = 1; i <= 2; i++) {
		vm_forget(&vm);
		vm_begin_round(&vm);
		id = fph_device_command_id(vm.dev);
		if (i == 1)
			kill(vm.qemu.pid, SIGKILL);
		else
			vm_qmp(&vm, "quit", NULL);
		for (uint64_t start = now_us(); !vm_is_alone(&vm) && now_us() - start < WAIT_US;)
			vm_pump(&vm, 100);
		vm_kill(&vm);
		cr_expect(vm.gone == i);
		cr_expect(vm.why[0]);
		cr_expect(fph_device_round_over(vm.dev));
		cr_expect(fph_vfio_user_server_mem(vm.server)->count == 0);
		cr_expect(fph_device_start(vm.dev) == -ENOTCONN);

		vm_boot(&vm, &opts);
		vm_until_up(&vm, 1);
		works(&vm, "next QEMU");
		cr_expect(fph_device_command_id(vm.dev) == id + 1);
	}
	vm_close(&vm);
}

static bool is_unplugged(const struct vm *vm)
{
	return vm->deleted > 0;
}

#define PORT "pcie-root-port,id=root0,chassis=1,slot=1"

static void plug(struct vm *vm, const char *id, const char *bus)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "\"driver\":\"vfio-user-pci\",\"id\":\"%s\",\"bus\":\"%s\",\"socket\":"
		 "{\"type\":\"unix\",\"path\":\"%s\"}",
		 id, bus, vm->path);
	vm_qmp(vm, "device_add", text);
	vm_until(vm, vm_has_driver, "driver");
}

Test(vfio_user, is_plugged_and_unplugged_while_the_guest_runs)
{
	const struct vm_opts opts = {
		.qemu = { .append = SLOW, .device = PORT },
		.bare = true,
		.server = FPH_VFIO_USER_NO_MSIX,
	};
	struct vm vm;

	vm_open(&vm, &opts);
	for (unsigned i = 1; i <= 3; i++) {
		plug(&vm, "balloon", "root0");
		works(&vm, "plugged in");
		/* In the middle of a round, the last time. */
		begin(&vm, i == 3);
		vm.deleted = 0;
		vm_qmp(&vm, "device_del", "\"id\":\"balloon\"");
		vm_until(&vm, is_unplugged, "DEVICE_DELETED");
		vm_until(&vm, vm_is_alone, "end of the client");
		cr_expect(vm.gone == i);
		cr_expect(vm_has_none(&vm));
		vm_ask(&vm, "true");
	}
	vm_close(&vm);
}

/* To unplug it again is beyond QEMU 11.1: it aborts, for a fault of its own. */
Test(vfio_user, is_plugged_in_with_msix)
{
	const struct vm_opts opts = {
		.qemu = { .append = QUICK, .device = PORT },
		.bare = true,
	};
	struct vm vm;

	vm_open(&vm, &opts);
	plug(&vm, "balloon", "root0");
	works(&vm, "plugged in, MSI-X");
	vm_close(&vm);
}

/* QEMU and its guest, without the server. */
static void expect_alive(struct vm *vm)
{
	for (int i = 0; i < 20; i++)
		vm_pump(vm, 100);
	vm_qmp(vm, "query-status", NULL);
	cr_expect(strstr(vm->text, "\"running\""), "%s", vm->text);
	vm_ask(vm, "true");
}

/*
 * QEMU does not connect again: the device stays dead, and the guest's driver with it.  But
 * QEMU lives, and takes the next server's device beside it.
 */
Test(vfio_user, leaves_qemu_alive_when_the_server_ends)
{
	const struct vm_opts opts = { .qemu = { .append = QUICK, .device = PORT } };
	struct vm vm;

	vm_open(&vm, &opts);
	works(&vm, "first server");
	vm_hang_up(&vm);
	expect_alive(&vm);

	vm_listen(&vm, &opts);
	plug(&vm, "another", "root0");
	works(&vm, "second server");
	vm_close(&vm);
}

/* There are posted writes in the socket then, that nobody read. */
Test(vfio_user, leaves_qemu_alive_when_the_server_ends_in_mid_round)
{
	for (int i = 0; i < 4; i++) {
		const struct vm_opts opts = { .qemu = { .append = i % 2 ? QUICK : SLOW } };
		struct vm vm;

		vm_open(&vm, &opts);
		vm_begin_round(&vm);
		usleep(100000);
		vm_hang_up(&vm);
		expect_alive(&vm);
		vm_close(&vm);
	}
}

/* What a server in a process of its own does; it tells when its driver is there, or has hinted. */
static void serve_apart(struct vm *vm, const struct vm_opts *opts, bool middle, int told)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fph_loop_open(&vm->loop, 0) < 0)
		_exit(1);
	vm_listen(vm, opts);
	if (write(told, "", 1) != 1)
		_exit(1);
	while (!vm_has_driver(vm))
		vm_pump(vm, 100);
	if (middle)
		vm_begin_round(vm);
	if (write(told, "", 1) != 1)
		_exit(1);
	for (;;)
		vm_pump(vm, 1000);
}

static void wait_told(int told, const char *what)
{
	struct pollfd ready = { .fd = told, .events = POLLIN };
	char byte;

	cr_assert(poll(&ready, 1, (int)(WAIT_US / 1000)) == 1, "no %s", what);
	cr_assert(read(told, &byte, 1) == 1, "the server ended before its %s", what);
}

/* QEMU and its guest beside a server that is killed, with what it has in its socket. */
static void open_and_kill(struct vm *vm, const struct vm_opts *opts, bool middle)
{
	int told[2], status;
	pid_t server;

	vm_serve(vm, opts);
	vm_hang_up(vm);
	cr_assert(pipe(told) == 0);
	server = fork();
	cr_assert(server >= 0);
	if (server == 0)
		serve_apart(vm, opts, middle, told[1]);
	close(told[1]);
	wait_told(told[0], "socket");
	vm_boot(vm, opts);
	wait_told(told[0], middle ? "hint" : "driver");
	if (!middle)
		vm_until_up(vm, 1);
	cr_assert(kill(server, SIGKILL) == 0);
	cr_assert(waitpid(server, &status, 0) == server);
	close(told[0]);
	cr_assert(access(vm->path, F_OK) == 0, "a server that is killed leaves its socket");
}

Test(vfio_user, leaves_qemu_alive_when_the_server_is_killed_and_is_started_again)
{
	const struct vm_opts opts = { .qemu = { .append = QUICK, .device = PORT } };
	struct vm vm;

	open_and_kill(&vm, &opts, false);
	expect_alive(&vm);

	vm_listen(&vm, &opts);
	plug(&vm, "another", "root0");
	works(&vm, "server after a killed one");
	vm_close(&vm);
}

/*
 * With messages on their way QEMU mostly aborts (error_setv, in its own code), which no server can help
 * that is dead.  What it can: the next one serves on the same socket, and the next guest.
 */
Test(vfio_user, serves_the_next_qemu_after_the_server_was_killed_in_mid_round)
{
	const struct vm_opts opts = { .qemu.append = SLOW };
	struct vm vm;

	open_and_kill(&vm, &opts, true);
	vm_kill(&vm);

	vm_listen(&vm, &opts);
	vm_boot(&vm, &opts);
	vm_until(&vm, vm_has_driver, "driver");
	vm_until_up(&vm, 1);
	works(&vm, "QEMU and server anew");
	vm_close(&vm);
}
