/* SPDX-License-Identifier: MIT */
#include "balloon.h"
#include "control.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define FAREWELL_MS    300 /* for a driver to see DONE */
#define RELISTEN_TRIES 100 /* 10 ms each */

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void say(const struct balloon *balloon, const char *format, ...)
{
	FILE *to = balloon->options->json ? stderr : stdout;
	va_list args;

	va_start(args, format);
	vfprintf(to, format, args);
	va_end(args);
	fputc('\n', to);
	fflush(to);
}

int cannot(const char *format, ...)
{
	va_list args;

	fputs("fph-vfio-user-balloon: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_CANNOT;
}

/* ------------------------------------------------------------ what the server tells */

static void on_hints(void *ctx)
{
	((struct balloon *)ctx)->waiting = true;
}

static void on_changed(void *ctx)
{
	round_void(ctx);
}

static void on_gone(void *ctx, const char *why)
{
	struct balloon *balloon = ctx;

	round_void(balloon);
	say(balloon, "the client left: %s", why);
}

static void on_trouble(void *ctx, const char *what)
{
	(void)ctx;
	fprintf(stderr, "fph-vfio-user-balloon: %s\n", what);
}

static void on_signal(void *ctx)
{
	struct balloon *balloon = ctx;
	struct signalfd_siginfo info;

	if (read(balloon->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1 || info.ssi_signo == SIGUSR2)
		balloon->asked = (int)info.ssi_signo;
	else
		balloon->quit = true;
}

/* ------------------------------------------------------------ open and close */

static int take_signals(struct balloon *balloon)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&set, numbers[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	balloon->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (balloon->signals < 0)
		return -errno;
	return fph_loop_add(balloon->loop, balloon->signals, on_signal, balloon);
}

static int serve(struct balloon *balloon)
{
	struct fph_vfio_user_server_opts opts = FPH_VFIO_USER_SERVER_OPTS_INIT;
	const char *path = balloon->options->socket;
	int err;

	opts.loop = balloon->loop;
	opts.path = path;
	opts.device.ctx = balloon;
	opts.device.hints = on_hints;
	opts.changed = on_changed;
	opts.gone = on_gone;
	opts.trouble = on_trouble;
	opts.flags = balloon->options->msix ? 0 : FPH_VFIO_USER_NO_MSIX;
	/* The kernel keeps the socket of a process that was killed a moment longer. */
	for (int i = 0; i < RELISTEN_TRIES; i++) {
		err = fph_vfio_user_server_open(&balloon->server, &opts);
		if (err != -EADDRINUSE)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	if (!err) {
		balloon->device = fph_vfio_user_server_device(balloon->server);
		return -1;
	}
	if (err == -EADDRINUSE)
		return cannot("--socket %s: in use, or no socket; choose another path", path);
	return cannot("--socket %s: cannot listen there: %s", path, strerror(-err));
}

int balloon_open(struct balloon *balloon, const struct options *options)
{
	int err;

	*balloon = (struct balloon){
		.options = options,
		.signals = -1,
		.round.memory.fd = -1,
	};
	err = fph_loop_open(&balloon->loop, 0);
	if (!err)
		err = take_signals(balloon);
	if (err)
		return cannot("cannot start: %s", strerror(-err));
	err = serve(balloon);
	return err != -1 ? err : control_open(balloon);
}

void balloon_close(struct balloon *balloon)
{
	uint64_t end = now_ns() + FAREWELL_MS * UINT64_C(1000000);

	if (balloon->server) {
		/* BH-16.  It has to be served to hear of it. */
		round_done(balloon);
		while (balloon->driver && !balloon->broken && now_ns() < end)
			balloon_turn(balloon, 20);
		if (balloon->connected)
			say(balloon, "ends; the client has lost its balloon");
	}
	round_free(balloon);
	control_close(balloon);
	fph_vfio_user_server_close(balloon->server);
	if (balloon->signals >= 0) {
		fph_loop_remove(balloon->loop, balloon->signals);
		close(balloon->signals);
	}
	fph_loop_close(balloon->loop);
}

/* ------------------------------------------------------------ a turn */

static void tell_features(const struct balloon *balloon)
{
	uint64_t features = fph_device_features(balloon->device);

	say(balloon, "the driver is up, %s, features %#llx",
	    features & FPH_F_FREE_PAGE_HINT ? "hints" : "does not hint",
	    (unsigned long long)features);
}

/* What changed since the last turn. */
static void notice(struct balloon *balloon)
{
	bool connected = fph_vfio_user_server_connected(balloon->server);
	bool driver = strcmp(fph_device_state_name(balloon->device), "DOWN") != 0;
	const struct fph_fault *fault = fph_device_fault(balloon->device);

	if (connected && !balloon->connected) {
		balloon->served = true;
		balloon->clients++;
		say(balloon, "a client came");
	}
	if (driver && !balloon->driver) {
		balloon->ready_ns = now_ns();
		tell_features(balloon);
	}
	if (!driver && balloon->driver && connected)
		say(balloon, "the driver reset the device");
	if (fault->rule && !balloon->fault_told)
		fprintf(stderr, "fph-vfio-user-balloon: the driver broke a rule: %s (%s)\n",
			fph_rule_name(fault->rule), fph_rule_spec(fault->rule));
	balloon->connected = connected;
	balloon->driver = driver;
	balloon->fault_told = fault->rule != 0;
}

int balloon_turn(struct balloon *balloon, int timeout_ms)
{
	int n = fph_loop_run(balloon->loop, balloon->waiting ? 0 : timeout_ms);

	notice(balloon);
	if (balloon->waiting || balloon->round.open)
		round_poll(balloon);
	if (n < 0 && n != -EINTR && !balloon->broken) {
		balloon->broken = balloon->quit = true;
		cannot("the event loop failed: %s", strerror(-n));
	}
	return balloon->broken ? -EIO : balloon->quit ? -EINTR : 0;
}

struct fph_vfio_user_stats balloon_wire(const struct balloon *balloon,
					const struct fph_vfio_user_stats *since)
{
	struct fph_vfio_user_stats now = FPH_VFIO_USER_STATS_INIT;

	fph_vfio_user_server_stats(balloon->server, &now);
	if (!since)
		return now;
	now.requests -= since->requests;
	now.posted -= since->posted;
	now.config -= since->config;
	now.bar -= since->bar;
	now.interrupts -= since->interrupts;
	return now;
}
