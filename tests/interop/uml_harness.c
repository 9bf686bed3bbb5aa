/* SPDX-License-Identifier: MIT */
#include "uml_harness.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUND_US UINT64_C(20000000)

bool interrupted(void)
{
	return false;
}

uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

bool page_is_zero(const void *page)
{
	const unsigned char *p = page;

	return !p[0] && !memcmp(p, p + 1, PAGE - 1);
}

void vm_open(struct vm *vm, const struct guest_config *config)
{
	struct guest_config mine = *config;
	struct uml_times times;

	*vm = (struct vm){.tmp = "/tmp/fph-test-XXXXXX"};
	cr_assert(mkdtemp(vm->tmp));
	setenv("TMPDIR", vm->tmp, 1);
	if (!mine.memory)
		mine.memory = 512 * MIB;
	cr_assert(guest_uml.open(&vm->guest, &mine) == 0);
	vm->dev = guest_uml.device(vm->guest);
	vm->hinted = vm_bitmap(vm);
	times = uml_times(vm->guest);
	fprintf(stderr, "guest: boot %lu ms, %lu MiB made dirty in %lu ms, driver in %lu ms\n",
		(unsigned long)times.boot, (unsigned long)times.filled,
		(unsigned long)times.fill, (unsigned long)times.load);
}

void vm_close(struct vm *vm)
{
	guest_uml.close(vm->guest);
	free(vm->hinted.words);
	cr_assert(rmdir(vm->tmp) == 0, "something was left in %s", vm->tmp);
}

struct fph_bitmap vm_bitmap(const struct vm *vm)
{
	const struct fph_mem *mem = guest_uml.mem(vm->guest);
	struct fph_bitmap map = {.shift = 12};
	const struct fph_region *last;

	cr_assert(mem->count > 0);
	last = &mem->regions[mem->count - 1];
	map.base = mem->regions[0].gpa;
	map.pages = (last->gpa + last->len - map.base) / PAGE;
	map.words = calloc(FPH_BITMAP_WORDS(map.pages), sizeof(uint64_t));
	cr_assert(map.words);
	return map;
}

void vm_forget(struct vm *vm)
{
	memset(vm->hinted.words, 0, FPH_BITMAP_WORDS(vm->hinted.pages) * sizeof(uint64_t));
	vm->twice = 0;
}

int vm_poll(struct vm *vm, size_t max)
{
	struct fph_range out[64];
	int n = fph_device_poll(vm->dev, out, max < 64 ? max : 64);

	for (int i = 0; i < n; i++) {
		cr_assert(fph_mem_at(guest_uml.mem(vm->guest), out[i].gpa, out[i].len));
		cr_assert(out[i].gpa % PAGE + out[i].len % PAGE == 0);
		vm->twice += out[i].len / PAGE - fph_bitmap_set(&vm->hinted, out[i]);
		if (vm->clear)
			fph_bitmap_clear(vm->clear, out[i]);
	}
	return n;
}

void vm_hints(struct vm *vm, struct round *round)
{
	struct fph_device_stats stats = FPH_DEVICE_STATS_INIT;
	uint64_t start = now_us(), kicks = guest_uml.kicks(vm->guest);

	while (!fph_device_round_over(vm->dev) && now_us() - start < ROUND_US) {
		int n = 0;

		cr_assert(guest_uml.serve(vm->guest, 100) == 0);
		do {
			n = vm_poll(vm, 64);
			if (n > 0 && !round->first_us)
				round->first_us = now_us() - start;
		} while (n > 0 || n == -EAGAIN);
		cr_assert(n == 0, "%s", fph_rule_name(fph_device_fault(vm->dev)->rule));
	}
	round->last_us = now_us() - start;
	round->over = fph_device_round_over(vm->dev);
	round->kicks = guest_uml.kicks(vm->guest) - kicks;
	cr_assert(fph_device_round_stats(vm->dev, &stats) == 0);
	round->hints = stats.hints;
	round->bytes = stats.bytes;
	fprintf(stderr,
		"round %#x: %lu hints, %lu MiB, first after %lu us, STOP after %lu us, %lu "
		"kicks\n",
		(unsigned)fph_device_command_id(vm->dev), (unsigned long)round->hints,
		(unsigned long)(round->bytes / MIB), (unsigned long)round->first_us,
		(unsigned long)round->last_us, (unsigned long)round->kicks);
}

struct round vm_round(struct vm *vm)
{
	struct round round = {0};

	cr_assert(fph_device_start(vm->dev) == 0);
	vm_hints(vm, &round);
	return round;
}

uint64_t vm_ask(struct vm *vm, const char *command)
{
	char answer[256] = "";
	int status = uml_command(vm->guest, command, answer, sizeof(answer));

	cr_assert(status == 0, "\"%s\": %s", command, answer);
	return strtoull(answer, NULL, 10);
}

uint64_t vm_wait_free(struct vm *vm, uint64_t bytes)
{
	uint64_t start = now_us(), found;

	do {
		found = guest_uml.free_bytes(vm->guest);
	} while (found < bytes && now_us() - start < UINT64_C(10000000));
	return found;
}
