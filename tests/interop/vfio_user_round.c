/* SPDX-License-Identifier: MIT */
#include "vfio_user_harness.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Rounds of hints, and what they cost. */

static bool page_is_zero(const unsigned char *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

/*
 * The buffer is not returned yet, so the driver still holds these pages.  Not asked for
 * where time is taken: to read a page that nobody used allocates it.
 */
static void look(struct vm *vm, struct fph_range range)
{
	const unsigned char *at = fph_mem_at(fph_vfio_user_server_mem(vm->server), range.gpa,
					     range.len);

	for (uint64_t i = 0; at && i < range.len; i += PAGE) {
		vm->looked++;
		vm->dirty += !page_is_zero(at + i);
	}
}

/* Does a region, mapped here or not, hold all of it? */
static bool is_memory(const struct vm *vm, struct fph_range range)
{
	const struct fph_mem *mem = fph_vfio_user_server_mem(vm->server);

	for (uint32_t i = 0; i < mem->count; i++) {
		const struct fph_region *r = &mem->regions[i];

		if (range.gpa >= r->gpa && range.gpa - r->gpa < r->len &&
		    range.len <= r->len - (range.gpa - r->gpa))
			return !(r->flags & FPH_REGION_READONLY);
	}
	return false;
}

/* One poll of at most max hints.  Returns what fph_device_poll() does. */
static int poll_some(struct vm *vm, size_t max)
{
	struct fph_range out[64];
	int n = fph_device_poll(vm->dev, out, max < 64 ? max : 64);

	for (int i = 0; i < n; i++) {
		vm->foreign += !is_memory(vm, out[i]);
		cr_expect(out[i].gpa % PAGE + out[i].len % PAGE == 0);
		vm->twice += out[i].len / PAGE - fph_bitmap_set(&vm->hinted, out[i]);
		if (vm->look)
			look(vm, out[i]);
	}
	return n;
}

void vm_forget(struct vm *vm)
{
	memset(vm->hinted.words, 0, FPH_BITMAP_WORDS(vm->hinted.pages) * sizeof(uint64_t));
	vm->twice = 0;
	vm->looked = 0;
	vm->dirty = 0;
}

static struct fph_vfio_user_stats wire(const struct vm *vm)
{
	struct fph_vfio_user_stats stats = FPH_VFIO_USER_STATS_INIT;

	cr_assert(fph_vfio_user_server_stats(vm->server, &stats) == 0);
	return stats;
}

static struct fph_vfio_user_stats since(const struct vm *vm, const struct fph_vfio_user_stats *then)
{
	struct fph_vfio_user_stats now = wire(vm);

	now.requests -= then->requests;
	now.posted -= then->posted;
	now.refused -= then->refused;
	now.config -= then->config;
	now.bar -= then->bar;
	now.maps -= then->maps;
	now.unmaps -= then->unmaps;
	now.dma_reads -= then->dma_reads;
	now.dma_writes -= then->dma_writes;
	now.interrupts -= then->interrupts;
	return now;
}

/* All hints that there are. */
static void drain(struct vm *vm, struct round *round, uint64_t start)
{
	int n;

	vm->hints = false;
	do {
		n = poll_some(vm, 64);
		if (n > 0) {
			round->last_us = now_us() - start;
			if (!round->first_us)
				round->first_us = round->last_us;
		}
	} while (n > 0 || n == -EAGAIN);
	cr_assert(n == 0, "%d: %s", n, fph_rule_name(fph_device_fault(vm->dev)->rule));
}

struct round vm_round(struct vm *vm)
{
	struct fph_device_stats stats = FPH_DEVICE_STATS_INIT;
	struct fph_vfio_user_stats then = wire(vm);
	struct round round = { 0 };
	uint64_t start = now_us();

	cr_assert(fph_device_start(vm->dev) == 0);
	while (!fph_device_round_over(vm->dev) && now_us() - start < WAIT_US) {
		vm_pump(vm, 100);
		drain(vm, &round, start);
	}
	round.over_us = now_us() - start;
	round.over = fph_device_round_over(vm->dev);
	round.wire = since(vm, &then);
	cr_assert(fph_device_round_stats(vm->dev, &stats) == 0);
	round.hints = stats.hints;
	round.bytes = stats.bytes;
	return round;
}

struct round vm_first_round(struct vm *vm)
{
	struct round round;
	uint64_t late;

	vm_until(vm, vm_has_driver, "driver");
	late = now_us() - vm->driver_us;
	round = vm_round(vm);
	round.driver_us = late + round.last_us;
	return round;
}

void vm_begin_round(struct vm *vm)
{
	uint64_t start = now_us();
	int n = 0;

	cr_assert(fph_device_start(vm->dev) == 0);
	while (n == 0 && now_us() - start < WAIT_US) {
		vm_pump(vm, 100);
		n = poll_some(vm, 3);
	}
	cr_assert(n > 0, "no hint: %d", n);
	cr_expect(!fph_device_round_over(vm->dev));
}

void vm_expect_hints(struct vm *vm, const struct round *round, uint64_t free_before)
{
	cr_expect(round->over, "no STOP");
	cr_expect(round->hints > 0);
	/* The guest hints blocks of 4 MiB only, and has free memory in smaller pieces, too. */
	cr_expect(round->bytes >= free_before / 10 * 8, "%lu of %lu MiB",
		  (unsigned long)(round->bytes / MIB), (unsigned long)(free_before / MIB));
	cr_expect(vm->twice == 0);
	cr_expect(fph_bitmap_count(&vm->hinted) * PAGE == round->bytes);
	cr_expect(fph_device_fault(vm->dev)->rule == FPH_RULE_NONE);
}

/* ------------------------------------------------------------ the table */

#define TABLE_PATH "FPH_VFIO_USER_TABLE"

static int table_fd = -1;

void table_open(void)
{
	char path[64];

	/* Tests are processes of their own: they append to it by name. */
	table_fd = memfd_create("table", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), table_fd);
	setenv(TABLE_PATH, path, 1);
}

void table_row(const char *what, const struct round *round)
{
	const struct fph_vfio_user_stats *w = &round->wire;
	const char *path = getenv(TABLE_PATH);
	FILE *table = path ? fopen(path, "a") : NULL;
	char driver[16] = "-";

	if (!table)
		return;
	if (round->driver_us)
		snprintf(driver, sizeof(driver), "%.1f", (double)round->driver_us / 1000);
	fprintf(table, "%-24s %5lu %5lu %9s %8.1f %8.1f %7lu %6lu %6lu %6lu %5lu\n", what,
		(unsigned long)round->hints, (unsigned long)(round->bytes / MIB), driver,
		(double)round->first_us / 1000, (double)round->over_us / 1000,
		(unsigned long)w->requests, (unsigned long)w->posted, (unsigned long)w->dma_reads,
		(unsigned long)w->dma_writes, (unsigned long)w->interrupts);
	fclose(table);
}

void table_print(void)
{
	char text[16384];
	ssize_t n = pread(table_fd, text, sizeof(text), 0);

	if (n <= 0)
		return;
	/* driver: from DRIVER_OK to the last hint; then from the id shown to the first hint,
	 * and to STOP; then messages: round trips of the driver, doorbells, our reads and
	 * writes of memory, interrupts. */
	printf("%-24s %5s %5s %9s %8s %8s %7s %6s %6s %6s %5s\n", "round", "hints", "MiB",
	       "driver ms", "first ms", "STOP ms", "waiting", "posted", "reads", "writes", "irqs");
	fwrite(text, 1, (size_t)n, stdout);
	fflush(stdout);
}
