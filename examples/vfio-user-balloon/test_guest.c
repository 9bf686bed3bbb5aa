/* SPDX-License-Identifier: MIT */
/*
 * For the tests: a small virtual machine, as far as fph-vfio-user-balloon sees one.  Memory
 * in a file, a driver that hints, a monitor that knows stop and cont, and pages in use
 * that are written all the time.  When it is stopped it writes down what its memory holds
 * and which pages matter; "check" compares a snapshot with that.
 *
 *	test_guest run SOCKET QMP STATE MODE
 *	test_guest check STATE SNAPSHOT
 *
 * MODE is one of:
 *	hold	keep what was hinted until it came back
 *	late	take hinted pages back when the round is over, and write other bytes to them
 *	early	the same, before the device hears of the hint
 *	same	take hinted pages back, and write the very bytes that they held
 *	lie	go on when it is told to stop
 *	die	be gone, when it is told to stop
 *	shrink	make the file shorter while it is stopped
 *	refuse	answer to stop by an error
 *	mute	never say STOP
 *	private	no file behind its memory
 */
#include "test_memory.h"

#include <errno.h>
#include <fph/guest.h>
#include <fph/vfio_user.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RING 256u

struct vm {
	const char *mode;
	const char *state;
	struct test_memory mem;
	struct fph_loop *loop;
	struct fph_vfio_user_client *client;
	struct fph_guest guest;
	struct fph_guest_slot slots[RING];
	uint32_t round; /* that is answered */
	uint64_t at;	/* the next page to be hinted */
	int listener, qmp;
	size_t have;
	char text[4096];
	bool stopped;
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "test_guest: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool is(const struct vm *vm, const char *mode)
{
	return !strcmp(vm->mode, mode);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* ------------------------------------------------------------ the monitor */

static void say(struct vm *vm, const char *text)
{
	(void)!send(vm->qmp, text, strlen(text), MSG_NOSIGNAL);
}

static void take_command(struct vm *vm, const char *line)
{
	const char *id = strstr(line, "\"id\":");
	char answer[160];

	need(id != NULL, "a command without a number");
	if (strstr(line, "\"stop\"") && is(vm, "die"))
		_exit(7);
	if (strstr(line, "\"stop\"") && is(vm, "refuse")) {
		snprintf(answer, sizeof(answer),
			 "{\"id\": %d, \"error\": {\"class\": \"GenericError\", \"desc\": "
			 "\"it will not stop\"}}\r\n",
			 atoi(id + 5));
		say(vm, answer);
		return;
	}
	if (strstr(line, "\"stop\"")) {
		vm->stopped = true;
		test_memory_note(&vm->mem, vm->state);
		if (is(vm, "shrink"))
			need(ftruncate(vm->mem.fd, TEST_HIGH_OFFSET) == 0, "memory");
		say(vm, "{\"event\": \"STOP\"}\r\n");
	}
	if (strstr(line, "\"cont\"")) {
		vm->stopped = false;
		need(ftruncate(vm->mem.fd, TEST_BYTES) == 0, "memory");
		puts("goes on");
	}
	snprintf(answer, sizeof(answer), "{\"return\": {%s}, \"id\": %d}\r\n",
		 strstr(line, "query-status") ? "\"status\": \"running\", \"running\": true" : "",
		 atoi(id + 5));
	say(vm, answer);
}

static void on_qmp(void *ctx)
{
	struct vm *vm = ctx;
	ssize_t n = recv(vm->qmp, vm->text + vm->have, sizeof(vm->text) - vm->have - 1, 0);
	char *end;

	if (n <= 0) {
		fph_loop_remove(vm->loop, vm->qmp);
		close(vm->qmp);
		vm->qmp = -1;
		vm->have = 0;
		return;
	}
	vm->have += (size_t)n;
	vm->text[vm->have] = '\0';
	while ((end = strchr(vm->text, '\n'))) {
		*end++ = '\0';
		take_command(vm, vm->text);
		vm->have -= (size_t)(end - vm->text);
		memmove(vm->text, end, vm->have + 1);
	}
}

static void on_listener(void *ctx)
{
	struct vm *vm = ctx;
	int fd = accept(vm->listener, NULL, NULL);

	if (vm->qmp >= 0) {
		close(fd);
		return;
	}
	vm->qmp = fd;
	need(fph_loop_add(vm->loop, fd, on_qmp, vm) == 0, "loop");
	say(vm, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n");
}

static void open_monitor(struct vm *vm, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	vm->qmp = -1;
	vm->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(path);
	need(vm->listener >= 0 &&
		     bind(vm->listener, (struct sockaddr *)(void *)&address, sizeof(address)) ==
			     0 &&
		     listen(vm->listener, 4) == 0,
	     "monitor");
	need(fph_loop_add(vm->loop, vm->listener, on_listener, vm) == 0, "loop");
}

/* ------------------------------------------------------------ the driver */

/* Every other run of hinted pages loses its first page to a new owner. */
static bool is_taken(struct fph_range range)
{
	return range.gpa / TEST_PAGE % 128 < 64;
}

static void take_back(struct vm *vm)
{
	struct fph_range range;
	uint64_t at = 0;

	while (test_memory_run(&vm->mem, &at, TEST_HELD, &range))
		if (is_taken(range))
			test_memory_use(&vm->mem, range.gpa, is(vm, "same"));
}

/* Returns whether there may be more. */
static bool feed_one(struct vm *vm)
{
	struct fph_range range;
	uint64_t at = vm->at;
	int n;

	if (!test_memory_run(&vm->mem, &at, TEST_FREE, &range)) {
		if (!is(vm, "mute") && fph_guest_end(&vm->guest) == 0 && is(vm, "late"))
			take_back(vm);
		if (is(vm, "same"))
			take_back(vm);
		return false;
	}
	n = fph_guest_hint(&vm->guest, &range, 1);
	if (n != 1)
		return false;
	vm->at = at;
	test_memory_set(&vm->mem, range, TEST_HELD);
	if (is(vm, "early") && is_taken(range))
		test_memory_use(&vm->mem, range.gpa, false);
	return true;
}

static void feed(struct vm *vm)
{
	if (vm->round != fph_guest_command_id(&vm->guest)) {
		vm->round = fph_guest_command_id(&vm->guest);
		vm->at = 0;
	}
	while (feed_one(vm))
		;
	fph_guest_flush(&vm->guest);
}

static void serve(struct vm *vm)
{
	struct fph_range back[64];
	int wants = fph_guest_step(&vm->guest, now_us()), n;

	need(wants >= 0, "the guest end");
	while ((n = fph_guest_reclaim(&vm->guest, back, 64)) > 0)
		;
	if (wants & FPH_GUEST_FEED)
		feed(vm);
	/* Held until DONE, whatever came back before. */
	if (wants & FPH_GUEST_RELEASE)
		test_memory_release(&vm->mem);
}

static void attach(struct vm *vm)
{
	struct fph_guest_opts opts = FPH_GUEST_OPTS_INIT;
	int err;

	opts.bus = fph_vfio_user_client_bus(vm->client);
	opts.ring = (struct fph_region){ TEST_RING, fph_guest_ring_bytes(RING),
					 vm->mem.at + TEST_RING, 0 };
	opts.slots = vm->slots;
	opts.ring_size = RING;
	if (is(vm, "early") || is(vm, "late") || is(vm, "same"))
		opts.flags = FPH_GUEST_EARLY_REUSE;
	need(opts.ring.len <= TEST_RING_BYTES, "ring");
	need(fph_guest_init(&vm->guest, &opts) == 0, "init");
	do {
		err = fph_guest_attach(&vm->guest);
	} while (err == -EAGAIN);
	errno = -err;
	need(err == 0, "attach");
	puts("attached");
}

static void connect_to(struct vm *vm, const char *path)
{
	struct fph_vfio_user_client_opts opts = FPH_VFIO_USER_CLIENT_OPTS_INIT;
	struct fph_vfio_user_region regions[2] = {
		{ .gpa = 0, .len = TEST_LOW, .hva = vm->mem.at, .fd = vm->mem.fd },
		{ .gpa = TEST_HIGH_GPA,
		  .len = TEST_HIGH,
		  .hva = vm->mem.at + TEST_HIGH_OFFSET,
		  .fd = vm->mem.fd,
		  .offset = TEST_HIGH_OFFSET },
	};
	int err = -ENOENT;

	if (is(vm, "private"))
		regions[0].fd = regions[1].fd = -1;
	opts.loop = vm->loop;
	opts.path = path;
	opts.regions = regions;
	opts.region_count = 2;
	need(fph_vfio_user_client_open(&vm->client, &opts) == 0, "client");
	for (int i = 0; i < 100 && (err == -ENOENT || err == -ECONNREFUSED); i++) {
		err = fph_vfio_user_client_connect(vm->client);
		if (err)
			usleep(50000);
	}
	errno = -err;
	need(err == 0, fph_vfio_user_client_why(vm->client));
}

static int run(char **args)
{
	static struct vm vm;

	vm.mode = args[3];
	vm.state = args[2];
	setvbuf(stdout, NULL, _IOLBF, 512);
	signal(SIGTERM, on_signal);
	test_memory_make(&vm.mem);
	need(fph_loop_open(&vm.loop, 0) == 0, "loop");
	open_monitor(&vm, args[1]);
	connect_to(&vm, args[0]);
	attach(&vm);
	while (!ended) {
		fph_loop_run(vm.loop, 2);
		if (!fph_vfio_user_client_connected(vm.client)) {
			puts("the device is gone");
			break;
		}
		if (vm.stopped && !is(&vm, "lie"))
			continue;
		test_memory_work(&vm.mem);
		/* One that runs cannot help but touch its device. */
		if (vm.stopped)
			fph_guest_reset(&vm.guest);
		else
			serve(&vm);
	}
	unlink(args[1]);
	fph_vfio_user_client_close(vm.client);
	fph_loop_close(vm.loop);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "run"))
		return run(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "check"))
		return test_memory_check(argv[2], argv[3]);
	fputs("test_guest: run SOCKET QMP STATE MODE, or check STATE SNAPSHOT\n", stderr);
	return 2;
}
