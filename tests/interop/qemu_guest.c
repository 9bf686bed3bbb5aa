/* SPDX-License-Identifier: MIT */
#include "qemu_guest.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_US UINT64_C(90000000)
#define BATCH	32u

/* ------------------------------------------------------------ life */

void vm_start(struct vm *vm, const struct vm_opts *opts)
{
	const struct vm_bus *bus = opts->bus ? opts->bus : &VM_BUS;
	uint64_t ram = opts->ram ? opts->ram : 256 * MIB;
	char device[256], incoming[32];
	const char *args[] = { bus->machine[0], bus->machine[1],      bus->machine[2],
			       bus->machine[3], "-object",	      "iothread,id=io0",
			       "-device",	device,		      NULL,
			       incoming,	NULL };

	memset(vm, 0, sizeof(*vm));
	vm->bus = bus;
	vm->range = 1024;
	vm->limit = UINT64_MAX;
	vm->pages.end = ram / PAGE;
	vm->pages.next = FREE_GPA / PAGE;
	vm->pages.lent = calloc(vm->pages.end, 1);
	vm->pages.hinted = calloc(vm->pages.end, 1);
	cr_assert(vm->pages.lent && vm->pages.hinted);

	snprintf(device, sizeof(device), "%s,id=b0,iothread=io0,%s", bus->device,
		 opts->device ? opts->device : "free-page-hint=on");
	if (opts->incoming) {
		snprintf(incoming, sizeof(incoming), "fd:%d", opts->incoming);
		args[8] = "-incoming";
	}
	cr_assert(qemu_start(&vm->qemu, ram, args, opts->incoming ? opts->incoming : -1) == 0,
		  "QEMU does not start");
	talk_open(&vm->qtest, vm->qemu.qtest);
	talk_open(&vm->qmp, vm->qemu.qmp);
	cr_assert(qmp_hello(&vm->qmp) == 0, "QEMU does not come up; it said: %s",
		  qemu_said(&vm->qemu));
}

static void init_guest(struct vm *vm, const struct vm_opts *opts)
{
	struct fph_guest_opts guest = FPH_GUEST_OPTS_INIT;

	cr_assert(vm->bus->open(vm, &vm->wire) == 0, "no balloon; QEMU said: %s",
		  qemu_said(&vm->qemu));
	guest.bus = opts->trace ? trace_bus(&vm->trace, vm->wire) : vm->wire;
	guest.ring_size = opts->ring_size ? opts->ring_size : 256;
	guest.ring = (struct fph_region){
		.gpa = RING_GPA,
		.len = fph_guest_ring_bytes(guest.ring_size),
		.hva = vm->qemu.ram + RING_GPA,
	};
	guest.slots = vm->slots;
	guest.layout = opts->layout;
	guest.flags = opts->flags;
	guest.poison = opts->poison;
	cr_assert(fph_guest_init(&vm->guest, &guest) == 0);
}

void vm_open(struct vm *vm, const struct vm_opts *opts)
{
	vm_start(vm, opts);
	init_guest(vm, opts);
}

void vm_close(struct vm *vm)
{
	qemu_stop(&vm->qemu);
	free(vm->pages.lent);
	free(vm->pages.hinted);
	vm->pages.lent = vm->pages.hinted = NULL;
}

void vm_fill(struct vm *vm)
{
	for (uint64_t gpa = FREE_GPA; gpa < vm->qemu.ram_bytes; gpa += 8) {
		uint64_t word = (gpa + 1) * UINT64_C(0x9e3779b97f4a7c15);

		memcpy(vm->qemu.ram + gpa, &word, sizeof(word));
	}
}

/* ------------------------------------------------------------ free pages */

/* Up to max ranges that are not lent; they are, from now on. */
static size_t take(struct vm *vm, struct fph_range *out, size_t max)
{
	struct pages *p = &vm->pages;
	size_t n = 0;

	while (n < max && p->next < p->end) {
		uint64_t first = p->next, last;

		if (p->lent[first]) {
			p->next++;
			continue;
		}
		for (last = first; last < p->end && last - first < vm->range; last++) {
			if (p->lent[last])
				break;
			p->lent[last] = p->hinted[last] = 1;
		}
		p->out += last - first;
		p->next = last;
		out[n++] = (struct fph_range){ first * PAGE, (last - first) * PAGE };
	}
	return n;
}

static void give_back(struct vm *vm, const struct fph_range *range)
{
	for (uint64_t i = 0; i < range->len / PAGE; i++) {
		unsigned char *lent = &vm->pages.lent[range->gpa / PAGE + i];

		cr_assert(*lent, "page %#lx came back that was not lent",
			  (unsigned long)(range->gpa + i * PAGE));
		*lent = 0;
	}
	vm->pages.out -= range->len / PAGE;
}

static void reclaim(struct vm *vm)
{
	struct fph_range back[BATCH];
	int n;

	while ((n = fph_guest_reclaim(&vm->guest, back, BATCH)) > 0)
		for (int i = 0; i < n; i++)
			give_back(vm, &back[i]);
	cr_assert(n == 0);
	cr_assert(fph_guest_held(&vm->guest) == vm->pages.out * PAGE,
		  "%lu bytes are held, %lu pages lent",
		  (unsigned long)fph_guest_held(&vm->guest), (unsigned long)vm->pages.out);
}

/* ------------------------------------------------------------ rounds */

static void feed(struct vm *vm)
{
	uint64_t left = vm->limit - vm->fed;
	struct fph_range batch[BATCH];
	size_t n = take(vm, batch, left < BATCH ? (size_t)left : BATCH);
	int taken, rc;

	if (n == 0) {
		rc = vm->keep_open ? 0 : fph_guest_end(&vm->guest);
		cr_assert(rc == 0 || rc == -EAGAIN, "end: %d", rc);
		return;
	}
	taken = fph_guest_hint(&vm->guest, batch, n);
	cr_assert(taken >= 0 || taken == -EAGAIN, "hint: %d", taken);
	if (taken < 0)
		taken = 0;
	/* What did not fit is free again, and next. */
	if ((size_t)taken < n)
		vm->pages.next = batch[taken].gpa / PAGE;
	for (size_t i = (size_t)taken; i < n; i++)
		give_back(vm, &batch[i]);
	for (int i = 0; i < taken; i++)
		vm->pages_hinted += batch[i].len / PAGE;
	vm->fed += (uint64_t)taken;
	rc = fph_guest_flush(&vm->guest);
	cr_assert(rc == 0 || rc == -EAGAIN, "flush: %d", rc);
}

static void see_round(struct vm *vm)
{
	uint32_t id = fph_guest_command_id(&vm->guest);

	if (id == vm->id)
		return;
	vm->id = id;
	vm->fed = 0;
	vm->pages.next = FREE_GPA / PAGE;
	vm->rounds += id != 0;
}

int vm_turn(struct vm *vm)
{
	vm->want = fph_guest_step(&vm->guest, now_us());
	if (vm->want < 0)
		return vm->want;
	if (vm->want & FPH_GUEST_RECLAIM)
		reclaim(vm);
	see_round(vm);
	if (vm->want & FPH_GUEST_FEED)
		feed(vm);
	return vm->want;
}

/* A turn that must go well. */
static void turn(struct vm *vm)
{
	int want = vm_turn(vm);

	cr_assert(want >= 0, "step: %d, %s; QEMU said: %s", want,
		  fph_rule_name(fph_guest_fault(&vm->guest)->rule), qemu_said(&vm->qemu));
	cr_assert(!(want & FPH_GUEST_STALLED), "the device stalls in state %s, with %lu pages",
		  fph_guest_state_name(&vm->guest), (unsigned long)vm->pages.out);
}

void vm_until(struct vm *vm, bool (*until)(const struct vm *), const char *what)
{
	uint64_t start = now_us();

	while (!until(vm)) {
		cr_assert(now_us() - start < WAIT_US,
			  "waited too long for %s; the guest is %s, id %#x, %lu pages lent", what,
			  fph_guest_state_name(&vm->guest), (unsigned)vm->id,
			  (unsigned long)vm->pages.out);
		turn(vm);
	}
}

void vm_linger(struct vm *vm, unsigned milliseconds)
{
	uint64_t start = now_us();

	while (now_us() - start < UINT64_C(1000) * milliseconds)
		turn(vm);
}

void vm_attach(struct vm *vm)
{
	int rc = fph_guest_attach(&vm->guest);

	cr_assert(rc == 0, "attach: %d", rc);
	vm->id = 0;
	see_round(vm);
}

void vm_reset(struct vm *vm)
{
	uint64_t start = now_us();
	int rc;

	while ((rc = fph_guest_reset(&vm->guest)) == -EAGAIN)
		cr_assert(now_us() - start < WAIT_US, "the reset does not end");
	cr_assert(rc == 0, "reset: %d", rc);
	reclaim(vm);
	cr_assert(vm->pages.out == 0, "%lu pages are lost", (unsigned long)vm->pages.out);
	vm->id = 0;
}

bool vm_in_state(const struct vm *vm, const char *state)
{
	return !strcmp(fph_guest_state_name(&vm->guest), state);
}

struct fph_guest_stats vm_stats(const struct vm *vm)
{
	struct fph_guest_stats stats = FPH_GUEST_STATS_INIT;

	cr_assert(fph_guest_total_stats(&vm->guest, &stats) == 0);
	return stats;
}
