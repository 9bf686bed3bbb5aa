/* SPDX-License-Identifier: MIT */
#include "migrate.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How long the guest works here before it is asked. */
#define RUN_MS 200
#define ATTACH_MS 20000 /* before we say that it does not attach, or hint */

static int take_page(struct machine *m, const struct wire_head *head, int fd)
{
	if (head->gpa % VM_PAGE || head->gpa >= m->vm.ram_size ||
	    head->len != (head->type == WIRE_PAGE ? VM_PAGE : 0))
		return -EPROTO;
	if (head->type == WIRE_PAGE)
		return wire_read(fd, m->vm.ram + head->gpa, VM_PAGE);
	memset(m->vm.ram + head->gpa, 0, VM_PAGE);
	return 0;
}

/*
 * Here is another device, and it knows nothing of the driver.  The guest is told by a
 * number that moves, as it is by a VM generation id: it resets the device, by which all its
 * hinted pages are its own again, and attaches.
 */
static int take_machine(struct machine *m, struct vm_state *state)
{
	int rc = vm_load(&m->vm, state);

	if (rc < 0)
		return rc;
	machine_page(m)->life++;
	return vm_start(&m->vm);
}

/* Memory, until the machine's state comes. */
static int take_in(struct machine *m, int fd, struct vm_state *state, bool die)
{
	struct wire_head head;
	unsigned pages = 0;

	for (;;) {
		int rc = wire_read(fd, &head, sizeof(head));

		if (rc < 0)
			return rc;
		if (die && ++pages == 1000)
			_exit(1);
		if (head.type == WIRE_STATE && head.len == sizeof(*state))
			return wire_read(fd, state, sizeof(*state));
		if (head.type != WIRE_PAGE && head.type != WIRE_ZERO)
			return -EPROTO;
		rc = take_page(m, &head, fd);
		if (rc < 0)
			return rc;
	}
}

static int verb(struct machine *m, int (*call)(struct fph_device *))
{
	int rc;

	pthread_mutex_lock(&m->lock);
	rc = call(&m->balloon);
	pthread_mutex_unlock(&m->lock);
	return rc;
}

/* The guest attaches when it gets around to it. */
static int start_round(struct machine *m)
{
	int rc = -ENOTCONN;

	for (int ms = 0; ms < ATTACH_MS && rc == -ENOTCONN; ms += 10) {
		fph_loop_run(m->loop, 10);
		rc = verb(m, fph_device_start);
	}
	if (rc == -ENOTCONN)
		fprintf(stderr, "fph-vmm: the guest did not attach to its new device\n");
	return rc;
}

/* A round of hints here, too: the device is a working one.  Nobody needs them. */
static int work(struct machine *m)
{
	struct fph_range hints[64];
	bool over = false;
	int rc = start_round(m);

	for (int ms = 0; ms < RUN_MS || (ms < ATTACH_MS && !over && rc == 0); ms += 10) {
		fph_loop_run(m->loop, 10);
		pthread_mutex_lock(&m->lock);
		while (fph_device_poll(&m->balloon, hints, 64) > 0)
			;
		over = fph_device_round_over(&m->balloon);
		pthread_mutex_unlock(&m->lock);
	}
	if (rc == 0 && !over) {
		fprintf(stderr, "fph-vmm: the guest did not end its round here\n");
		rc = -ETIMEDOUT;
	}
	if (rc == 0)
		rc = verb(m, fph_device_done);
	return rc < 0 ? rc : machine_check(m);
}

int destination(const struct options *options, int fd)
{
	struct machine_opts opts = { .kvm = options->kvm,
				     .ram_size = (uint64_t)options->memory_mib << 20 };
	struct wire_head head = { .type = WIRE_VERDICT, .len = sizeof(struct verdict) };
	struct machine m;
	struct vm_state state;
	struct verdict verdict;
	int rc = machine_open(&m, &opts);

	if (rc == 0)
		rc = take_in(&m, fd, &state, options->fail_destination);
	if (rc == 0)
		rc = take_machine(&m, &state);
	if (rc == 0)
		rc = work(&m);
	if (rc == 0) {
		verdict = (struct verdict){ m.good, m.bad };
		rc = wire_write(fd, &head, sizeof(head));
	}
	if (rc == 0)
		rc = wire_write(fd, &verdict, sizeof(verdict));
	machine_close(&m);
	return rc < 0;
}
