/* SPDX-License-Identifier: MIT */
#include "rig.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

/*
 * #79: either process is killed at each step of its life, and a step is the beginning or
 * the end of a system call.  A third process watches over it and kills it at its n-th.
 */
#define MORTALS_END 4000u /* steps; no life is as long */

/* Exit codes of the watcher. */
#define KILLED 10
#define LIVED  11

/* Let a traced child run n steps, then kill it. */
static int watch_over(pid_t child, unsigned n)
{
	int status, signal = 0;

	if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
		return 1;
	ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
	while (n > 0) {
		if (ptrace(PTRACE_SYSCALL, child, 0, signal) < 0 ||
		    waitpid(child, &status, 0) != child)
			return 2;
		if (WIFEXITED(status))
			return WEXITSTATUS(status) ? 3 : LIVED;
		if (WIFSIGNALED(status))
			return 4;
		signal = WSTOPSIG(status);
		if (signal == (SIGTRAP | 0x80)) {
			signal = 0;
			n--;
		}
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return KILLED;
}

/* Returns the watcher's pid. */
static pid_t run_mortal(void (*life)(void *ctx), void *ctx, unsigned n)
{
	pid_t watcher = fork(), child, watcher_pid;

	cr_assert(watcher >= 0);
	if (watcher > 0)
		return watcher;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	watcher_pid = getpid();
	child = fork();
	if (child < 0)
		_exit(5);
	if (child > 0)
		_exit(watch_over(child, n));
	/* A watcher that is killed takes it along, from the first moment on. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != watcher_pid || ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
		_exit(6);
	raise(SIGSTOP);
	life(ctx);
	_exit(0);
}

/* Its exit code; -1: it still runs. */
static int outcome(pid_t watcher, bool wait)
{
	int status;
	pid_t pid = waitpid(watcher, &status, wait ? 0 : WNOHANG);

	if (pid == 0)
		return -1;
	cr_assert_eq(pid, watcher);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

/* End all mortals and their watchers, whoever is whose child by now. */
static void end_all(const pid_t *watchers, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		kill(watchers[i], SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ------------------------------------------------------------ the client dies */

struct mortal {
	char path[64];
	unsigned kind;
};

/* Attach, hint in one round, close it, reset.  */
static void client_life(void *ctx)
{
	const struct mortal *m = ctx;
	struct fph_range page = { END_PAGES, 4096 };
	struct end e;
	int wants = 0;

	end_open(&e, m->path, m->kind, 2000);
	if (fph_shm_client_connect(e.client) < 0 || end_attach(&e) < 0)
		_exit(7);
	for (unsigned i = 0; i < 5000 && !(wants & FPH_GUEST_FEED); i++) {
		fph_loop_run(e.loop, 1);
		wants = fph_guest_step(&e.guest, 0);
		if (wants < 0)
			_exit(8);
	}
	for (unsigned i = 0; i < 5; i++, page.gpa += 4096)
		fph_guest_hint(&e.guest, &page, 1);
	fph_guest_flush(&e.guest);
	fph_guest_end(&e.guest);
	fph_guest_reset(&e.guest);
	end_close(&e);
}

static bool nothing_is_left(unsigned fds)
{
	for (unsigned i = 0; i < 10000; i++) {
		if (count_fds() == fds && count_maps("fph-") == 0)
			return true;
		usleep(500);
	}
	return false;
}

/* The server's owner: a round for whoever is there. */
static void hold_rounds(struct rig *rig, pid_t watcher, int *code)
{
	struct fph_range out[8];

	while ((*code = outcome(watcher, false)) < 0) {
		rig_lock(rig);
		if (fph_device_round_over(rig->device))
			fph_device_start(rig->device);
		fph_device_poll(rig->device, out, 8);
		rig_unlock(rig);
		usleep(100);
	}
}

BOTH(death, a_client_that_is_killed_at_any_step_is_let_go_and_the_next_is_served)
{
	struct mortal m = { .kind = (unsigned)*kind };
	struct rig rig;
	unsigned fds, n, killed_up = 0;
	int code = KILLED;

	rig_open(&rig, (unsigned)*kind, NULL);
	strcpy(m.path, rig.path);
	fds = count_fds();
	for (n = 1; n < MORTALS_END && code == KILLED; n++) {
		unsigned changed = rig.changed;
		int64_t begin;

		hold_rounds(&rig, run_mortal(client_life, &m, n), &code);
		cr_assert(code == KILLED || code == LIVED, "step %u: code %d", n, code);
		begin = now_ms();
		cr_assert(nothing_is_left(fds), "something is left at step %u", n);
		cr_assert_lt(now_ms() - begin, 2000);
		killed_up += code == KILLED && rig.changed != changed;
		cr_assert(!fph_shm_server_connected(rig.server));
		cr_assert_eq(fph_device_start(rig.device), -ENOTCONN);
		if (n % 16 == 0) {
			struct end e;

			end_open(&e, rig.path, (unsigned)*kind, 5000);
			end_connect(&e);
			cr_assert_eq(end_attach(&e), 0);
			both_round(&rig, &e, 5);
			end_close(&e);
			cr_assert(nothing_is_left(fds));
		}
	}
	cr_assert_eq(code, LIVED, "its life has more than %u steps", n);
	cr_assert_gt(n, 80u, "%u steps are no life", n);
	cr_assert_gt(killed_up, 30u, "it was killed %u times while attached", killed_up);
	rig_close(&rig);
}

/* ------------------------------------------------------------ the server dies */

/* A server that holds rounds for whoever is there, for ever. */
static void server_life(void *ctx)
{
	const struct mortal *m = ctx;
	struct fph_loop *loop;
	struct fph_range out[1];
	struct rig rig;
	int rc;

	memset(&rig, 0, sizeof(rig));
	strcpy(rig.path, m->path);
	if (fph_loop_open(&loop, m->kind) < 0)
		_exit(9);
	/* The io_uring of a killed process goes a moment later, and its listener with it. */
	rc = rig_serve(&rig, loop, NULL);
	for (unsigned i = 0; i < 2000 && rc == -EADDRINUSE; i++) {
		usleep(1000);
		rc = rig_serve(&rig, loop, NULL);
	}
	if (rc < 0)
		_exit(9);
	for (;;) {
		fph_loop_run(loop, 20);
		if (fph_device_command(rig.device) == FPH_COMMAND_STOP)
			fph_device_start(rig.device);
		/* It takes its time over each hint, so that there are steps to die at. */
		while ((rc = fph_device_poll(rig.device, out, 1)) > 0 || rc == -EAGAIN)
			usleep(10);
		if (rc == 0 && fph_device_command(rig.device) >= FPH_COMMAND_FIRST &&
		    fph_device_round_over(rig.device))
			fph_device_done(rig.device);
	}
}

/* Attach, lend pages, get them back by DONE.  Returns whether that was achieved. */
static bool live_with(struct end *e, pid_t watcher, bool *attached, int *code)
{
	struct fph_range page = { END_PAGES, 4096 };
	int wants = 0, rc;

	while (fph_shm_client_connect(e->client) < 0) {
		*code = outcome(watcher, false);
		if (*code >= 0)
			return false;
		usleep(200);
	}
	*attached = true;
	if (end_attach(e) < 0)
		return false;
	for (unsigned i = 0; !(wants & FPH_GUEST_FEED); i++) {
		cr_assert_lt(i, 5000u, "no round is opened");
		fph_loop_run(e->loop, 10);
		wants = fph_guest_step(&e->guest, 0);
		if (wants < 0)
			return false;
	}
	for (unsigned i = 0; i < 5; i++, page.gpa += 4096)
		cr_assert_eq(fph_guest_hint(&e->guest, &page, 1), 1);
	rc = fph_guest_flush(&e->guest);
	if (rc == 0)
		rc = fph_guest_end(&e->guest);
	if (rc < 0)
		return false;
	for (unsigned i = 0; !(wants & FPH_GUEST_RELEASE) || fph_guest_held(&e->guest); i++) {
		cr_assert_lt(i, 5000u, "the round does not end");
		fph_loop_run(e->loop, 10);
		wants = fph_guest_step(&e->guest, 0);
		if (wants < 0)
			return false;
		end_reclaim(e);
	}
	return true;
}

BOTH(death, a_server_that_is_killed_at_any_step_gives_the_pages_back)
{
	struct mortal m = { .kind = (unsigned)*kind };
	char dir[] = "/tmp/fph-shm-XXXXXX";
	unsigned n, lent = 0;
	bool lived = false;
	struct end e;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	cr_assert_not_null(mkdtemp(dir));
	snprintf(m.path, sizeof(m.path), "%s/shm", dir);
	end_open(&e, m.path, (unsigned)*kind, 2000);
	for (n = 1; n < MORTALS_END && !lived; n++) {
		pid_t watcher = run_mortal(server_life, &m, n);
		bool attached = false;
		int code = -1;
		int64_t begin;

		lived = live_with(&e, watcher, &attached, &code);
		if (lived)
			end_all(&watcher, 1);
		else if (code < 0)
			code = outcome(watcher, true);
		cr_assert(lived || code == KILLED, "step %u: code %d: %s", n, code,
			  fph_shm_client_why(e.client));
		/* It is dead, and stale is what it left at its path. */
		begin = now_ms();
		while (fph_shm_client_connected(e.client)) {
			cr_assert_geq(fph_loop_run(e.loop, 1000), 0);
			cr_assert_lt(now_ms() - begin, 2000, "its end is not seen at step %u", n);
		}
		if (!lived && attached) {
			lent += fph_guest_held(&e.guest) > 0;
			cr_assert_eq(fph_guest_reset(&e.guest), 0, "at step %u", n);
			end_reclaim(&e);
			cr_assert_eq(fph_guest_held(&e.guest), 0u);
		}
		end_pump(&e);
		cr_assert_eq(count_maps("fph-shm"), 0u, "at step %u", n);
	}
	cr_assert(lived, "no life in %u steps", n);
	cr_assert_gt(n, 80u, "%u steps are no life", n);
	cr_assert_gt(lent, 3u, "it was killed with pages in hand %u times", lent);
	end_close(&e);
	unlink(m.path);
	cr_assert_eq(rmdir(dir), 0);
}

/* ------------------------------------------------------------ both */

/* #70: both go at once, and come again. */
BOTH(death, both_are_killed_at_once_and_come_again)
{
	struct mortal m = { .kind = (unsigned)*kind };
	char dir[] = "/tmp/fph-shm-XXXXXX";

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	cr_assert_not_null(mkdtemp(dir));
	snprintf(m.path, sizeof(m.path), "%s/shm", dir);
	for (unsigned i = 0; i < 20; i++) {
		pid_t both[2] = { run_mortal(server_life, &m, MORTALS_END) }, server;
		bool attached = false;
		struct end e;
		int code = -1;

		usleep(2000 + 500 * i);
		both[1] = run_mortal(client_life, &m, MORTALS_END);
		usleep(500 * i);
		end_all(both, 2);
		server = run_mortal(server_life, &m, MORTALS_END);
		end_open(&e, m.path, (unsigned)*kind, 2000);
		cr_assert(live_with(&e, server, &attached, &code), "not served after death %u: %d %s", i, code,
			  fph_shm_client_why(e.client));
		end_all(&server, 1);
		end_close(&e);
	}
	unlink(m.path);
	cr_assert_eq(rmdir(dir), 0);
}
