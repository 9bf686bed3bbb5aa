/* SPDX-License-Identifier: MIT */
#include "machine.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------ on the vCPU's thread */

static void on_mmio(void *ctx, uint64_t gpa, bool write, uint32_t len, unsigned char *data)
{
	struct machine *m = ctx;
	uint64_t offset = gpa - ABI_WINDOW, value = 0;

	if (gpa < ABI_WINDOW || offset >= FPH_MMIO_SIZE || len > sizeof(value)) {
		memset(data, 0xff, len); /* nothing is there */
		return;
	}
	pthread_mutex_lock(&m->lock);
	if (write) {
		memcpy(&value, data, len);
		fph_mmio_device_write(&m->registers, offset, len, value);
	} else {
		value = fph_mmio_device_read(&m->registers, offset, len);
		memcpy(data, &value, len);
	}
	pthread_mutex_unlock(&m->lock);
}

static void signal_event(int event)
{
	const uint64_t one = 1;
	ssize_t n = write(event, &one, sizeof(one));

	(void)n; /* full: it is signalled already */
}

static void on_event(struct machine *m, uint32_t event)
{
	switch (event) {
	case ABI_READY:
		m->ready++;
		break;
	case ABI_CHECKED:
		m->good = m->a;
		m->bad = m->b;
		m->checked++;
		break;
	case ABI_REWROTE:
		m->rewrote++;
		break;
	case ABI_PANIC:
		m->panic = m->a;
		break;
	}
	signal_event(m->news);
}

static void on_port(void *ctx, uint16_t port, uint32_t value)
{
	struct machine *m = ctx;

	pthread_mutex_lock(&m->lock);
	if (port == ABI_PORT_A)
		m->a = value;
	else if (port == ABI_PORT_B)
		m->b = value;
	else if (port == ABI_PORT_EVENT)
		on_event(m, value);
	pthread_mutex_unlock(&m->lock);
}

/* ------------------------------------------------------------ the balloon's hooks */

static void on_interrupt(void *ctx)
{
	struct machine *m = ctx;

	fph_mmio_device_interrupt(&m->registers);
}

/* The line is edge-triggered: each call with `high` is an event. */
static void on_line(void *ctx, bool high)
{
	struct machine *m = ctx;

	if (high)
		signal_event(m->line);
}

/* ------------------------------------------------------------ on the other thread */

static void drain(int event)
{
	uint64_t count;
	ssize_t n = read(event, &count, sizeof(count));

	(void)n;
}

/* A doorbell by ioeventfd: the vCPU did not stop for it. */
static void on_doorbells(void *ctx)
{
	struct machine *m = ctx;

	pthread_mutex_lock(&m->lock);
	for (uint16_t q = 0; q < FPH_QUEUE_COUNT; q++) {
		uint64_t count;

		if (read(m->doorbells[q], &count, sizeof(count)) > 0)
			fph_mmio_device_notify(&m->registers, q);
	}
	pthread_mutex_unlock(&m->lock);
}

static void on_news(void *ctx)
{
	struct machine *m = ctx;

	drain(m->news);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool is_dead(struct machine *m)
{
	uint32_t panic;

	pthread_mutex_lock(&m->lock);
	panic = m->panic;
	pthread_mutex_unlock(&m->lock);
	if (m->vm.failure)
		fprintf(stderr, "fph-vmm: %s\n", m->vm.failure);
	else if (panic)
		fprintf(stderr, "fph-vmm: the guest's driver gave up (%u)\n", panic);
	return m->vm.failure || panic;
}

static unsigned read_count(struct machine *m, const unsigned *count)
{
	unsigned value;

	pthread_mutex_lock(&m->lock);
	value = *count;
	pthread_mutex_unlock(&m->lock);
	return value;
}

int machine_wait(struct machine *m, const unsigned *count, unsigned than, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;

	while (read_count(m, count) <= than) {
		if (is_dead(m))
			return -EIO;
		if (now_ms() >= end)
			return -ETIMEDOUT;
		fph_loop_run(m->loop, 10);
	}
	return 0;
}

void machine_serve(struct machine *m)
{
	fph_loop_run(m->loop, 0);
}

struct abi_page *machine_page(struct machine *m)
{
	return (struct abi_page *)(void *)(m->vm.ram + ABI_PAGE);
}

int machine_check(struct machine *m)
{
	unsigned before = read_count(m, &m->checked);

	vm_pause(&m->vm);
	machine_page(m)->check++;
	vm_resume(&m->vm);
	return machine_wait(m, &m->checked, before, 60000);
}

/* ------------------------------------------------------------ make and unmake */

static int make_balloon(struct machine *m, uint32_t command_id)
{
	struct fph_device_opts device = FPH_DEVICE_OPTS_INIT;
	struct fph_mmio_device_opts mmio = FPH_MMIO_DEVICE_OPTS_INIT;
	int rc;

	m->region = (struct fph_region){ 0, m->vm.ram_size, m->vm.ram, 0 };
	m->mem = (struct fph_mem){ &m->region, 1 };
	device.mem = &m->mem;
	device.interrupt = on_interrupt;
	device.command_id = command_id;
	device.ctx = m;
	rc = fph_device_init(&m->balloon, &device);
	mmio.bus = fph_device_bus(&m->balloon);
	mmio.line = on_line;
	mmio.ctx = m;
	return rc < 0 ? rc : fph_mmio_device_init(&m->registers, &mmio);
}

static int make_events(struct machine *m)
{
	int rc = 0;

	m->line = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	m->news = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (m->line < 0 || m->news < 0)
		return -errno;
	rc = vm_irqfd(&m->vm, ABI_IRQ, m->line);
	if (rc == 0)
		rc = fph_loop_add(m->loop, m->news, on_news, m);
	for (uint16_t q = 0; q < FPH_QUEUE_COUNT && rc == 0; q++) {
		m->doorbells[q] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (m->doorbells[q] < 0)
			return -errno;
		rc = vm_ioeventfd(&m->vm, ABI_WINDOW + FPH_MMIO_QUEUE_NOTIFY, q, m->doorbells[q]);
		if (rc == 0)
			rc = fph_loop_add(m->loop, m->doorbells[q], on_doorbells, m);
	}
	return rc;
}

int machine_open(struct machine *m, const struct machine_opts *opts)
{
	int rc;

	memset(m, 0, sizeof(*m));
	m->line = m->news = -1;
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		m->doorbells[q] = -1;
	pthread_mutex_init(&m->lock, NULL);
	rc = vm_open(&m->vm, opts->kvm, opts->ram_size);
	m->vm.mmio = on_mmio;
	m->vm.port = on_port;
	m->vm.ctx = m;
	if (rc == 0)
		rc = fph_loop_open(&m->loop, 0);
	if (rc == 0)
		rc = make_balloon(m, opts->command_id);
	return rc < 0 ? rc : make_events(m);
}

void machine_close(struct machine *m)
{
	vm_close(&m->vm);
	fph_loop_close(m->loop);
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		if (m->doorbells[q] >= 0)
			close(m->doorbells[q]);
	if (m->line >= 0)
		close(m->line);
	if (m->news >= 0)
		close(m->news);
}
