/* SPDX-License-Identifier: MIT */
#include "qemu_guest.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FINISH_US UINT64_C(60000000)

/* ------------------------------------------------------------ QMP */

void vm_do(struct vm *vm, const char *command)
{
	cr_assert(qmp_ask(&vm->qmp, command, NULL, NULL) == 0, "QMP: %s fails", command);
}

/* A migration that reads as completed may have some clearing up to do still. */
void vm_cont(struct vm *vm)
{
	unsigned tries = 0;

	while (qmp_ask(&vm->qmp, "cont", NULL, NULL) != 0) {
		cr_assert(++tries < 1000, "QMP: cont fails");
		usleep(1000);
	}
}

void vm_speed(struct vm *vm, uint64_t bytes_per_second)
{
	cr_assert(qmp_ask(&vm->qmp, "migrate-set-parameters", NULL, "\"max-bandwidth\":%llu",
			  (unsigned long long)bytes_per_second) == 0);
}

void vm_migrate_to(struct vm *vm, int fd, uint64_t bytes_per_second)
{
	vm_speed(vm, bytes_per_second);
	memset(vm->pages.hinted, 0, vm->pages.end);
	vm->pages_hinted = 0;
	cr_assert(qmp_give(&vm->qmp, "stream", fd) == 0);
	cr_assert(qmp_ask(&vm->qmp, "migrate", NULL, "\"uri\":\"fd:stream\"") == 0);
}

void vm_migrate(struct vm *vm, uint64_t bytes_per_second)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	cr_assert(fd >= 0);
	vm_migrate_to(vm, fd, bytes_per_second);
	close(fd);
}

static int64_t number(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_int64(value) : 0;
}

struct outcome vm_query(struct vm *vm)
{
	struct json_object *answer = NULL, *status, *ram;
	struct outcome out = { .status = "none" };

	cr_assert(qmp_ask(&vm->qmp, "query-migrate", &answer, NULL) == 0);
	if (json_object_object_get_ex(answer, "status", &status))
		snprintf(out.status, sizeof(out.status), "%s", json_object_get_string(status));
	/* Not there while the migration is set up. */
	if (json_object_object_get_ex(answer, "ram", &ram)) {
		out.total = number(ram, "total") / PAGE;
		out.normal = number(ram, "normal");
		out.duplicate = number(ram, "duplicate");
		out.syncs = number(ram, "dirty-sync-count");
		out.unsent = out.total - out.normal - out.duplicate;
	}
	json_object_put(answer);
	return out;
}

static bool is_over(const struct outcome *out)
{
	return !strcmp(out->status, "completed") || !strcmp(out->status, "failed") ||
	       !strcmp(out->status, "cancelled");
}

static bool attached(const struct vm *vm)
{
	return !vm_in_state(vm, "DOWN");
}

static bool is_done(const struct vm *vm)
{
	return vm_in_state(vm, "IDLE") && vm->pages.out == 0;
}

/* Turns until the migration has ended, the machine runs, and DONE is seen. */
static struct outcome wait_for_end(struct vm *vm)
{
	uint64_t start = now_us();
	struct outcome out;

	for (;;) {
		out = vm_query(vm);
		if (is_over(&out))
			break;
		cr_assert(now_us() - start < FINISH_US, "the migration does not end: %s",
			  out.status);
		if (attached(vm))
			cr_assert(vm_turn(vm) >= 0);
		else
			usleep(1000);
	}
	/* While its machine stands QEMU returns no buffer, so pages may be out until then. */
	if (!strcmp(out.status, "completed"))
		vm_cont(vm);
	if (attached(vm))
		vm_until(vm, is_done, "DONE and all pages");
	return out;
}

struct outcome vm_finish(struct vm *vm)
{
	struct outcome out;

	vm_speed(vm, FAST);
	out = wait_for_end(vm);
	cr_assert(!strcmp(out.status, "completed"), "the migration %s; QEMU said: %s", out.status,
		  qemu_said(&vm->qemu));
	return out;
}

void vm_cancel(struct vm *vm)
{
	struct outcome out;

	vm_do(vm, "migrate_cancel");
	out = wait_for_end(vm);
	cr_assert(!strcmp(out.status, "cancelled"), "the migration %s", out.status);
}

void vm_dirty(struct vm *vm, uint64_t gpa, uint64_t n)
{
	cr_assert(qtest_ask(&vm->qtest, NULL, "memset 0x%llx 0x%llx 0x5a",
			    (unsigned long long)gpa, (unsigned long long)n * PAGE) == 0);
}

bool vm_has_migrated(struct vm *vm)
{
	struct outcome out;

	/* Buffers may be out still: QEMU returns none while its machine stands. */
	if (!vm_in_state(vm, "IDLE"))
		return false;
	out = vm_query(vm);
	return strcmp(out.status, "active") && strcmp(out.status, "setup");
}

/* ------------------------------------------------------------ what QEMU shows */

uint32_t vm_shown_id(struct vm *vm)
{
	const struct fph_bus *wire = &vm->wire;
	unsigned char bytes[4];

	cr_assert(wire->ops->config(wire->ctx, FPH_CONFIG_COMMAND_ID, bytes, sizeof(bytes)) == 0);
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

struct queue_view vm_queue(struct vm *vm, unsigned queue)
{
	struct json_object *answer = NULL;
	struct queue_view view;

	cr_assert(qmp_ask(&vm->qmp, "x-query-virtio-queue-status", &answer,
			  "\"path\":\"%s\",\"queue\":%u", vm->bus->path, queue) == 0);
	view.num = (uint64_t)number(answer, "vring-num");
	view.avail = (uint64_t)number(answer, "vring-avail");
	view.used = (uint64_t)number(answer, "vring-used");
	view.used_idx = (uint64_t)number(answer, "used-idx");
	json_object_put(answer);
	return view;
}

uint16_t vm_ld16(const struct vm *vm, uint64_t gpa)
{
	cr_assert(gpa + 2 <= vm->qemu.ram_bytes);
	return (uint16_t)(vm->qemu.ram[gpa] | vm->qemu.ram[gpa + 1] << 8);
}

uint32_t vm_ld32(const struct vm *vm, uint64_t gpa)
{
	return vm_ld16(vm, gpa) | (uint32_t)vm_ld16(vm, gpa + 2) << 16;
}

/* ------------------------------------------------------------ the table */

/* Each test is a process of its own: what is to be printed at the end goes through a file. */
#define TABLE "FPH_QEMU_TABLE"

static int table_fd = -1;

void table_open(void)
{
	char path[64];

	table_fd = memfd_create("table", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), table_fd);
	setenv(TABLE, path, 1);
}

void table_row(const char *what, const struct vm *vm, int64_t unsent, uint64_t started_us)
{
	const char *path = getenv(TABLE);
	FILE *table = path ? fopen(path, "a") : NULL;
	double percent = vm->pages_hinted ? 100.0 * (double)unsent / (double)vm->pages_hinted : 0;

	if (!table)
		return; /* the test alone, in a debugger */
	fprintf(table, "%-22s %9lu %9ld %8.2f %8lu %8lu %8.2f\n", what,
		(unsigned long)vm->pages_hinted, (long)unsent, percent,
		(unsigned long)vm_stats(vm).rounds, (unsigned long)vm_stats(vm).rekicks,
		(double)(now_us() - started_us) / 1e6);
	fclose(table);
}

void table_print(void)
{
	char text[4096];
	ssize_t n = pread(table_fd, text, sizeof(text), 0);

	fprintf(stderr, "%-22s %9s %9s %8s %8s %8s %8s\n%.*s", "pages", "hinted", "unsent",
		"percent", "rounds", "rekicks", "seconds", n > 0 ? (int)n : 0, text);
}
