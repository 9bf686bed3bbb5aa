/* SPDX-License-Identifier: MIT */
#include "vm.h"
#include "machine_abi.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

extern const unsigned char vmm_guest[], vmm_guest_end[];

static int complain(const char *what)
{
	int rc = -errno;

	fprintf(stderr, "fph-vmm: %s: %s\n", what, strerror(-rc));
	return rc;
}

/* An ioctl that is expected to work. */
static int control(int fd, unsigned long request, void *argument, const char *what)
{
	int rc = ioctl(fd, request, argument);

	return rc < 0 ? complain(what) : rc;
}

#define CONTROL(fd, request, argument) control(fd, request, argument, #request)

/* ------------------------------------------------------------ memory and its log */

static int set_memory(struct vm *vm, bool log)
{
	struct kvm_userspace_memory_region region = {
		.memory_size = vm->ram_size,
		.userspace_addr = (uintptr_t)vm->ram,
		.flags = log ? KVM_MEM_LOG_DIRTY_PAGES : 0,
	};

	return CONTROL(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

int vm_log(struct vm *vm, bool on)
{
	int rc = set_memory(vm, on);

	if (rc == 0)
		vm->logs = on;
	return rc;
}

int vm_log_read(struct vm *vm, uint64_t *words)
{
	struct kvm_dirty_log log = { .dirty_bitmap = words };

	return CONTROL(vm->fd, KVM_GET_DIRTY_LOG, &log);
}

int vm_log_protect(struct vm *vm, const uint64_t *words, uint64_t first, uint64_t n)
{
	struct kvm_clear_dirty_log log = {
		.first_page = first,
		.num_pages = (uint32_t)n,
		.dirty_bitmap = (void *)(uintptr_t)words,
	};

	return CONTROL(vm->fd, KVM_CLEAR_DIRTY_LOG, &log);
}

/* ------------------------------------------------------------ make and unmake */

static int open_kvm(struct vm *vm, const char *path)
{
	vm->kvm = open(path, O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0) {
		fprintf(stderr,
			"fph-vmm: %s cannot be opened (%s): this needs a machine with KVM, and "
			"permission to use it\n",
			path, strerror(errno));
		return -ENODEV;
	}
	if (ioctl(vm->kvm, KVM_GET_API_VERSION, NULL) != KVM_API_VERSION) {
		fprintf(stderr, "fph-vmm: %s is no KVM\n", path);
		return -ENODEV;
	}
	return 0;
}

static int make_vm(struct vm *vm)
{
	/* Dirty bits begin as set, as QEMU has it: the first reading is "all of memory". */
	struct kvm_enable_cap manual = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET },
	};
	int rc;

	vm->fd = CONTROL(vm->kvm, KVM_CREATE_VM, NULL);
	if (vm->fd < 0)
		return vm->fd;
	/* Room that Intel's hardware wants, out of the way. */
	ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000ul);
	rc = CONTROL(vm->fd, KVM_CREATE_IRQCHIP, NULL);
	if (rc == 0)
		rc = CONTROL(vm->fd, KVM_ENABLE_CAP, &manual);
	return rc;
}

static int make_vcpu(struct vm *vm)
{
	int size = CONTROL(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);

	if (size < 0)
		return size;
	vm->vcpu = CONTROL(vm->fd, KVM_CREATE_VCPU, NULL);
	if (vm->vcpu < 0)
		return vm->vcpu;
	vm->run_size = (size_t)size;
	vm->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
	if (vm->run == MAP_FAILED) {
		vm->run = NULL;
		return complain("mapping the vCPU");
	}
	return 0;
}

int vm_open(struct vm *vm, const char *kvm_path, uint64_t ram_size)
{
	int rc;

	memset(vm, 0, sizeof(*vm));
	vm->kvm = vm->fd = vm->vcpu = -1;
	vm->stop = vm->stands = true;
	pthread_mutex_init(&vm->lock, NULL);
	pthread_cond_init(&vm->change, NULL);
	rc = open_kvm(vm, kvm_path);
	if (rc < 0)
		return rc;
	vm->ram_size = ram_size;
	vm->ram = mmap(NULL, ram_size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (vm->ram == MAP_FAILED) {
		vm->ram = NULL;
		return complain("guest memory");
	}
	rc = make_vm(vm);
	if (rc == 0)
		rc = set_memory(vm, false);
	return rc < 0 ? rc : make_vcpu(vm);
}

static void set(struct vm *vm, bool stop, bool quit)
{
	pthread_mutex_lock(&vm->lock);
	vm->stop = stop;
	vm->quit = quit;
	pthread_cond_broadcast(&vm->change);
	pthread_mutex_unlock(&vm->lock);
}

void vm_close(struct vm *vm)
{
	int fds[] = { vm->vcpu, vm->fd, vm->kvm };

	if (vm->started) {
		vm_pause(vm);
		set(vm, true, true);
		pthread_join(vm->thread, NULL);
	}
	if (vm->run)
		munmap(vm->run, vm->run_size);
	if (vm->ram)
		munmap(vm->ram, vm->ram_size);
	for (unsigned i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	vm->kvm = vm->fd = vm->vcpu = -1;
	vm->started = false;
	vm->ram = NULL;
	vm->run = NULL;
}

/* Flat 32-bit segments; paging off. */
int vm_boot(struct vm *vm)
{
	const struct kvm_segment code = { .limit = 0xffffffff, .selector = 8, .type = 11,
					  .present = 1, .db = 1, .s = 1, .g = 1 };
	const struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3,
					  .present = 1, .db = 1, .s = 1, .g = 1 };
	const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };
	struct kvm_regs regs = { .rip = ABI_IMAGE, .rsp = ABI_STACK, .rflags = 2 };
	struct kvm_sregs sregs;
	int rc = CONTROL(vm->vcpu, KVM_GET_SREGS, &sregs);

	if (rc < 0)
		return rc;
	memcpy(vm->ram + ABI_IMAGE, vmm_guest, (size_t)(vmm_guest_end - vmm_guest));
	memcpy(vm->ram + ABI_GDT, gdt, sizeof(gdt));
	sregs.gdt.base = ABI_GDT;
	sregs.gdt.limit = sizeof(gdt) - 1;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 |= 1;
	rc = CONTROL(vm->vcpu, KVM_SET_SREGS, &sregs);
	return rc < 0 ? rc : CONTROL(vm->vcpu, KVM_SET_REGS, &regs);
}

/* ------------------------------------------------------------ the vCPU's thread */

/* Only there to end KVM_RUN. */
static void on_signal(int number)
{
	(void)number;
}

static bool serve_exit(struct vm *vm)
{
	struct kvm_run *run = vm->run;
	uint32_t value = 0;

	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		vm->mmio(vm->ctx, run->mmio.phys_addr, run->mmio.is_write, run->mmio.len,
			 run->mmio.data);
		return true;
	case KVM_EXIT_IO:
		memcpy(&value, (unsigned char *)run + run->io.data_offset, run->io.size);
		if (run->io.direction == KVM_EXIT_IO_OUT)
			vm->port(vm->ctx, run->io.port, value);
		return true;
	case KVM_EXIT_INTR:
		return true;
	case KVM_EXIT_SHUTDOWN:
		vm->failure = "the guest crashed (triple fault)";
		return false;
	default:
		vm->failure = run->exit_reason == KVM_EXIT_INTERNAL_ERROR ?
				      "KVM met an instruction it cannot emulate" :
				      "KVM gave up on the guest";
		return false;
	}
}

static bool wants_to_run(struct vm *vm)
{
	bool quit;

	pthread_mutex_lock(&vm->lock);
	while (vm->stop && !vm->quit) {
		vm->stands = true;
		pthread_cond_broadcast(&vm->change);
		pthread_cond_wait(&vm->change, &vm->lock);
	}
	vm->stands = vm->quit;
	quit = vm->quit;
	pthread_mutex_unlock(&vm->lock);
	return !quit;
}

static bool is_asked_to_stop(struct vm *vm)
{
	bool stop;

	pthread_mutex_lock(&vm->lock);
	stop = vm->stop;
	pthread_mutex_unlock(&vm->lock);
	return stop;
}

static void *run_vcpu(void *arg)
{
	struct vm *vm = arg;

	while (wants_to_run(vm)) {
		bool stop = is_asked_to_stop(vm), ok = true;

		/*
		 * Once more without running an instruction, so that the access that was just
		 * served is finished in the registers before anybody reads them.
		 */
		vm->run->immediate_exit = stop;
		if (ioctl(vm->vcpu, KVM_RUN, NULL) == 0)
			ok = serve_exit(vm);
		else if (errno != EINTR && errno != EAGAIN)
			ok = (vm->failure = strerror(errno), false);
		if (!ok)
			set(vm, true, vm->quit);
	}
	return NULL;
}

int vm_start(struct vm *vm)
{
	struct sigaction action = { .sa_handler = on_signal };
	int rc;

	sigaction(SIGUSR1, &action, NULL);
	set(vm, false, false);
	rc = -pthread_create(&vm->thread, NULL, run_vcpu, vm);
	vm->started = rc == 0;
	return rc;
}

void vm_pause(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->stop = true;
	while (vm->started && !vm->stands) {
		struct timespec soon;

		/* A signal that came just before KVM_RUN is lost, so again until it stands. */
		vm->run->immediate_exit = 1;
		pthread_kill(vm->thread, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &soon);
		soon.tv_nsec += 1000000;
		if (soon.tv_nsec >= 1000000000) {
			soon.tv_sec++;
			soon.tv_nsec -= 1000000000;
		}
		pthread_cond_timedwait(&vm->change, &vm->lock, &soon);
	}
	pthread_mutex_unlock(&vm->lock);
}

void vm_resume(struct vm *vm)
{
	set(vm, false, false);
}

/* ------------------------------------------------------------ state */

int vm_save(struct vm *vm, struct vm_state *state)
{
	int rc;

	memset(state, 0, sizeof(*state));
	rc = CONTROL(vm->vcpu, KVM_GET_REGS, &state->regs);
	if (rc == 0)
		rc = CONTROL(vm->vcpu, KVM_GET_SREGS, &state->sregs);
	if (rc == 0)
		rc = CONTROL(vm->vcpu, KVM_GET_LAPIC, &state->lapic);
	if (rc == 0)
		rc = CONTROL(vm->vcpu, KVM_GET_VCPU_EVENTS, &state->events);
	if (rc == 0)
		rc = CONTROL(vm->vcpu, KVM_GET_MP_STATE, &state->mp);
	for (unsigned i = 0; i < 3 && rc == 0; i++) {
		state->chips[i].chip_id = i;
		rc = CONTROL(vm->fd, KVM_GET_IRQCHIP, &state->chips[i]);
	}
	return rc;
}

int vm_load(struct vm *vm, const struct vm_state *state)
{
	struct vm_state s = *state;
	int rc = CONTROL(vm->vcpu, KVM_SET_SREGS, &s.sregs);

	if (rc == 0)
		rc = CONTROL(vm->vcpu, KVM_SET_REGS, &s.regs);
	for (unsigned i = 0; i < 3 && rc == 0; i++)
		rc = CONTROL(vm->fd, KVM_SET_IRQCHIP, &s.chips[i]);
	if (rc == 0)
		rc = CONTROL(vm->vcpu, KVM_SET_LAPIC, &s.lapic);
	if (rc == 0)
		rc = CONTROL(vm->vcpu, KVM_SET_VCPU_EVENTS, &s.events);
	if (rc == 0)
		rc = CONTROL(vm->vcpu, KVM_SET_MP_STATE, &s.mp);
	return rc;
}

/* ------------------------------------------------------------ doorbells and interrupts */

int vm_ioeventfd(struct vm *vm, uint64_t gpa, uint32_t value, int event)
{
	struct kvm_ioeventfd io = {
		.datamatch = value,
		.addr = gpa,
		.len = 4,
		.fd = event,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	return CONTROL(vm->fd, KVM_IOEVENTFD, &io);
}

int vm_irqfd(struct vm *vm, uint32_t irq, int event)
{
	struct kvm_irqfd line = { .fd = (uint32_t)event, .gsi = irq };

	return CONTROL(vm->fd, KVM_IRQFD, &line);
}
