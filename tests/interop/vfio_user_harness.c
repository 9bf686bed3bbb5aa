/* SPDX-License-Identifier: MIT */
#include "vfio_user_harness.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ------------------------------------------------------------ the server */

static void has_hints(void *ctx)
{
	struct vm *vm = ctx;

	vm->hints = true;
}

static void has_stat(void *ctx, struct fph_stat stat)
{
	struct vm *vm = ctx;

	vm->stats += stat.tag == FPH_STAT_FREE;
}

static void has_changed(void *ctx)
{
	struct vm *vm = ctx;

	vm->changed++;
}

static void has_gone(void *ctx, const char *why)
{
	struct vm *vm = ctx;

	vm->gone++;
	snprintf(vm->why, sizeof(vm->why), "%s", why);
}

static void has_trouble(void *ctx, const char *what)
{
	struct vm *vm = ctx;

	vm->troubles++;
	snprintf(vm->trouble, sizeof(vm->trouble), "%s", what);
	fprintf(stderr, "trouble: %s\n", what);
}

void vm_listen(struct vm *vm, const struct vm_opts *opts)
{
	struct fph_vfio_user_server_opts server = FPH_VFIO_USER_SERVER_OPTS_INIT;

	server.loop = vm->loop;
	server.path = vm->path;
	server.flags = opts->server;
	server.device.offer = opts->offer;
	server.device.withhold = opts->withhold;
	server.device.ctx = vm;
	server.device.hints = has_hints;
	server.device.stat = has_stat;
	server.changed = has_changed;
	server.gone = has_gone;
	server.trouble = has_trouble;
	cr_assert(fph_vfio_user_server_open(&vm->server, &server) == 0);
	vm->dev = fph_vfio_user_server_device(vm->server);
}

void vm_hang_up(struct vm *vm)
{
	fph_vfio_user_server_close(vm->server);
	vm->server = NULL;
}

/* Of the guest that runs now, for a test that fails. */
static char left_dir[32], left_path[48];

void vm_clean_up(void)
{
	if (!left_dir[0])
		return;
	unlink(left_path);
	rmdir(left_dir);
	left_dir[0] = 0;
}

void vm_serve(struct vm *vm, const struct vm_opts *opts)
{
	uint32_t mib = opts->qemu.mib ? opts->qemu.mib : 512;

	*vm = (struct vm){
		.dir = "/tmp/fph-test-XXXXXX",
		.qemu = QEMU11_INIT,
		.talk = { .fd = -1 },
		.qmp = { .fd = -1 },
		/* Its upper part may begin at 4 GiB. */
		.hinted = { .shift = 12, .pages = (4096 + mib) * MIB / PAGE },
	};
	cr_assert(mkdtemp(vm->dir));
	snprintf(vm->path, sizeof(vm->path), "%s/vfio", vm->dir);
	memcpy(left_dir, vm->dir, sizeof(left_dir));
	memcpy(left_path, vm->path, sizeof(left_path));
	vm->hinted.words = calloc(FPH_BITMAP_WORDS(vm->hinted.pages), sizeof(uint64_t));
	cr_assert(vm->hinted.words);
	cr_assert(fph_loop_open(&vm->loop, 0) == 0);
	vm_listen(vm, opts);
}

void vm_pump(struct vm *vm, int milliseconds)
{
	int n = fph_loop_run(vm->loop, milliseconds);
	bool has;

	cr_assert(n >= 0, "loop: %s", strerror(-n));
	has = vm_has_driver(vm);
	if (has && !vm->has_driver)
		vm->driver_us = now_us();
	vm->has_driver = has;
}

void vm_until(struct vm *vm, bool (*so)(const struct vm *vm), const char *what)
{
	uint64_t start = now_us();
	int status = 0;

	while (!so(vm)) {
		vm_pump(vm, 100);
		if (qemu11_ended(&vm->qemu, &status))
			cr_assert_fail("waiting for %s: QEMU ended (%#x): %s", what,
				       (unsigned)status, qemu11_text(vm->qemu.said));
		if (now_us() - start > WAIT_US)
			cr_assert_fail("no %s; QEMU: %s; console: %s", what,
				       qemu11_text(vm->qemu.said), qemu11_text(vm->qemu.console));
	}
}

bool vm_has_driver(const struct vm *vm)
{
	return vm->server && strcmp(fph_device_state_name(vm->dev), "DOWN") != 0;
}

bool vm_has_none(const struct vm *vm)
{
	return !vm_has_driver(vm);
}

bool vm_is_alone(const struct vm *vm)
{
	return !fph_vfio_user_server_connected(vm->server);
}

/* ------------------------------------------------------------ the guest */

/* "NUMBER STATUS OUTPUT" */
static void said_by_guest(void *ctx, char *line)
{
	struct vm *vm = ctx;
	unsigned number;
	int status, at = 0;

	if (sscanf(line, "%u %d %n", &number, &status, &at) < 2 || at == 0) {
		fprintf(stderr, "guest: %s\n", line);
		return;
	}
	if (number == 0) {
		vm->boots++;
		return;
	}
	vm->answer = number;
	vm->status = status;
	snprintf(vm->text, sizeof(vm->text), "%s", line + at);
}

/* An answer to what was asked last, an event, or the greeting. */
static void said_by_qemu(void *ctx, char *line)
{
	struct vm *vm = ctx;
	unsigned number;
	const char *id = strstr(line, "\"id\": ");

	if (!strncmp(line, "{\"QMP\"", 6))
		cr_assert(lines_send(&vm->qmp, "{\"execute\":\"qmp_capabilities\"}\n") == 0);
	if (strstr(line, "\"DEVICE_DELETED\"") && strstr(line, "\"device\""))
		vm->deleted++;
	if (!id || sscanf(id, "\"id\": %u", &number) != 1)
		return;
	vm->answer = number;
	vm->status = strstr(line, "\"error\"") ? -1 : 0;
	snprintf(vm->text, sizeof(vm->text), "%s", line);
}

static bool is_answered(const struct vm *vm)
{
	return vm->answer == vm->asked;
}

void vm_tell(struct vm *vm, const char *command)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%u %s\n", (unsigned)++vm->asked, command);

	cr_assert(n > 0 && (size_t)n < sizeof(text));
	cr_assert(lines_send(&vm->talk, text) == 0, "the guest is gone: %s",
		  qemu11_text(vm->qemu.said));
}

uint64_t vm_answer(struct vm *vm, const char *command)
{
	vm_until(vm, is_answered, command);
	cr_assert(vm->status == 0, "\"%s\": %d %s", command, vm->status, vm->text);
	return strtoull(vm->text, NULL, 10);
}

uint64_t vm_ask(struct vm *vm, const char *command)
{
	vm_tell(vm, command);
	return vm_answer(vm, command);
}

bool vm_try_qmp(struct vm *vm, const char *command, const char *arguments)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "{\"execute\":\"%s\",\"id\":%u,\"arguments\":{%s}}\n",
			 command, (unsigned)++vm->asked, arguments ? arguments : "");

	cr_assert(n > 0 && (size_t)n < sizeof(text));
	cr_assert(lines_send(&vm->qmp, text) == 0, "QEMU is gone: %s", qemu11_text(vm->qemu.said));
	vm_until(vm, is_answered, command);
	return vm->status == 0;
}

void vm_qmp(struct vm *vm, const char *command, const char *arguments)
{
	cr_assert(vm_try_qmp(vm, command, arguments), "%s: %s", command, vm->text);
}

static bool is_up(const struct vm *vm)
{
	return vm->boots > 0;
}

void vm_boot(struct vm *vm, const struct vm_opts *opts)
{
	struct qemu11_opts qemu = opts->qemu;

	qemu.socket = opts->bare ? NULL : vm->path;
	vm->boots = 0;
	cr_assert(qemu11_start(&vm->qemu, &qemu) == 0);
	cr_assert(lines_open(&vm->talk, vm->loop, vm->qemu.talk, said_by_guest, vm) == 0);
	cr_assert(lines_open(&vm->qmp, vm->loop, vm->qemu.qmp, said_by_qemu, vm) == 0);
}

void vm_until_up(struct vm *vm, unsigned boots)
{
	uint64_t start = now_us();

	while (vm->boots < boots) {
		vm_until(vm, is_up, "user space");
		vm_pump(vm, 100);
		cr_assert(now_us() - start < WAIT_US, "it does not boot again: %s",
			  qemu11_text(vm->qemu.console));
	}
}

void vm_open(struct vm *vm, const struct vm_opts *opts)
{
	vm_serve(vm, opts);
	vm_boot(vm, opts);
	if (!opts->bare)
		vm_until(vm, vm_has_driver, "driver");
	vm_until_up(vm, 1);
}

void vm_kill(struct vm *vm)
{
	lines_close(&vm->talk);
	lines_close(&vm->qmp);
	qemu11_stop(&vm->qemu);
}

void vm_close(struct vm *vm)
{
	vm_kill(vm);
	fph_vfio_user_server_close(vm->server);
	fph_loop_close(vm->loop);
	free(vm->hinted.words);
	cr_expect(vm->foreign == 0, "hints of no memory");
	left_dir[0] = 0;
	cr_assert(rmdir(vm->dir) == 0, "something was left in %s", vm->dir);
}

uint64_t vm_free(struct vm *vm)
{
	return vm_ask(vm, "free") * 1024;
}

uint64_t vm_wait_free(struct vm *vm, uint64_t bytes)
{
	uint64_t start = now_us(), found;

	do {
		found = vm_free(vm);
	} while (found < bytes && now_us() - start < UINT64_C(20000000));
	return found;
}
