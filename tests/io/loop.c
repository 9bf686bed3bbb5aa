/* SPDX-License-Identifier: MIT */
#include "bell.h"
#include "rig.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ------------------------------------------------------------ which kind */

Test(loop, uses_io_uring_where_the_kernel_permits_it)
{
	struct fph_loop *loop = loop_of_kind(0);
	long fd = syscall(SYS_io_uring_setup, 1, &(char[120]){ 0 });

	cr_assert_str_eq(fph_loop_kind(loop), fd >= 0 ? "io_uring" : "poll");
	if (fd >= 0)
		close((int)fd);
	fph_loop_close(loop);
}

Test(loop, uses_poll_when_told_to)
{
	struct fph_loop *loop = loop_of_kind(1);

	cr_assert_str_eq(fph_loop_kind(loop), "poll");
	fph_loop_close(loop);
}

Test(loop, refuses_flags_it_does_not_know)
{
	struct fph_loop *loop = NULL;

	cr_assert_eq(fph_loop_open(&loop, 0x80), -EINVAL);
	cr_assert_null(loop);
}

Test(loop, close_of_nothing_is_allowed)
{
	fph_loop_close(NULL);
}

/* Answer one system call with an errno from now on, in this (test's own) process. */
static void forbid(unsigned nr, unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void works_on_poll(void)
{
	struct fph_loop *loop = loop_of_kind(0);
	struct bell bell = { .fd = bell_make(), .take = 8 };

	cr_assert_str_eq(fph_loop_kind(loop), "poll");
	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	bell_ring(bell.fd);
	cr_assert_eq(fph_loop_run(loop, 1000), 1);
	cr_assert_eq(bell.calls, 1u);
	fph_loop_close(loop);
}

/* #78: not permitted, not there, no memory. */
static const unsigned refusals[] = { EPERM, ENOSYS, ENOMEM };

ParameterizedTestParameters(loop, falls_back_to_poll_where_io_uring_is_refused)
{
	static size_t which[] = { 0, 1, 2 };
	return cr_make_param_array(size_t, which, 3);
}

ParameterizedTest(size_t *which, loop, falls_back_to_poll_where_io_uring_is_refused)
{
	forbid(SYS_io_uring_setup, refusals[*which]);
	works_on_poll();
}

/* #78: set up, but the kernel does not say that it knows polls. */
Test(loop, falls_back_to_poll_where_io_uring_cannot_poll)
{
	unsigned before = count_fds();

	forbid(SYS_io_uring_register, EINVAL);
	works_on_poll();
	cr_assert_eq(count_fds(), before + 1); /* the eventfd of works_on_poll() */
}

/* ------------------------------------------------------------ reports */

BOTH(loop, calls_what_is_readable_and_nothing_else)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell a = { .fd = bell_make(), .take = 8 }, b = { .fd = bell_make(), .take = 8 };

	cr_assert_eq(fph_loop_add(loop, a.fd, bell_count, &a), 0);
	cr_assert_eq(fph_loop_add(loop, b.fd, bell_count, &b), 0);
	cr_assert_eq(fph_loop_run(loop, 0), 0);
	bell_ring(b.fd);
	cr_assert_eq(fph_loop_run(loop, 1000), 1);
	cr_assert_eq(a.calls, 0u);
	cr_assert_eq(b.calls, 1u);
	cr_assert_eq(fph_loop_run(loop, 0), 0);
	fph_loop_close(loop);
}

BOTH(loop, reports_again_what_a_callback_left_unread_in_an_eventfd)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { .fd = bell_make() };

	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	bell_ring(bell.fd);
	for (unsigned i = 1; i <= 5; i++) {
		cr_assert_eq(fph_loop_run(loop, 1000), 1);
		cr_assert_eq(bell.calls, i);
	}
	fph_loop_close(loop);
}

/* The trap of multishot polls: nothing new arrives, but bytes are still there. */
BOTH(loop, reports_again_what_a_callback_left_unread_in_a_socket)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { .take = 1 };
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	bell.fd = pair[0];
	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	cr_assert_eq(write(pair[1], "seven..", 7), 7);
	for (unsigned i = 1; i <= 7; i++)
		cr_assert_eq(fph_loop_run(loop, 1000), 1);
	cr_assert_eq(bell.calls, 7u);
	cr_assert_eq(fph_loop_run(loop, 0), 0);
	fph_loop_close(loop);
}

BOTH(loop, reports_what_was_ready_before_it_was_added)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { .fd = bell_make(), .take = 8 };

	bell_ring(bell.fd);
	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	cr_assert_eq(fph_loop_run(loop, 0), 1);
	fph_loop_close(loop);
}

BOTH(loop, reports_the_end_of_a_stream)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { .take = 1 };
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	bell.fd = pair[0];
	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	close(pair[1]);
	cr_assert_eq(fph_loop_run(loop, 1000), 1);
	cr_assert_eq(fph_loop_run(loop, 1000), 1);
	fph_loop_close(loop);
}

BOTH(loop, reports_a_broken_pipe)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { 0 };
	int pipes[2];

	cr_assert_eq(pipe(pipes), 0);
	bell.fd = pipes[1];
	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	cr_assert_eq(fph_loop_run(loop, 0), 0); /* writable is not readable */
	close(pipes[0]);
	cr_assert_eq(fph_loop_run(loop, 1000), 1);
	fph_loop_close(loop);
}

BOTH(loop, calls_each_descriptor_once_in_a_run)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bells[10];

	for (unsigned i = 0; i < 10; i++) {
		bells[i] = (struct bell){ .fd = bell_make() };
		bell_ring(bells[i].fd);
		bell_ring(bells[i].fd);
		cr_assert_eq(fph_loop_add(loop, bells[i].fd, bell_count, &bells[i]), 0);
	}
	cr_assert_eq(fph_loop_run(loop, 1000), 10);
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(bells[i].calls, 1u);
	fph_loop_close(loop);
}

/* #78: four times the submission queue, all armed at once, all ready at once. */
BOTH(loop, serves_more_descriptors_than_the_submission_queue_holds)
{
	enum { N = 300 };
	struct fph_loop *loop = loop_of_kind(*kind);
	static struct bell bells[N];
	int called = 0;

	for (unsigned i = 0; i < N; i++) {
		bells[i] = (struct bell){ .fd = bell_make(), .take = 8 };
		cr_assert_eq(fph_loop_add(loop, bells[i].fd, bell_count, &bells[i]), 0);
	}
	cr_assert_eq(fph_loop_run(loop, 0), 0);
	for (unsigned i = 0; i < N; i++)
		bell_ring(bells[i].fd);
	/* All polls are armed; the completion queue gives out 128 at a time. */
	for (unsigned turn = 0; turn < 3; turn++)
		called += fph_loop_run(loop, 1000);
	cr_assert_eq(called, N);
	for (unsigned i = 0; i < N; i++)
		cr_assert_eq(bells[i].calls, 1u);
	for (unsigned i = 0; i < N; i++)
		cr_assert_eq(fph_loop_remove(loop, bells[i].fd), 0);
	cr_assert_eq(fph_loop_run(loop, 0), 0);
	fph_loop_close(loop);
}

/* ------------------------------------------------------------ waiting */

/* #80 */
BOTH(loop, comes_back_when_the_time_is_up)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { .fd = bell_make() };
	double before = now();

	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	cr_assert_eq(fph_loop_run(loop, 50), 0);
	cr_assert(now() - before >= 0.049);
	cr_assert(now() - before < 5.0);
	fph_loop_close(loop);
}

BOTH(loop, waits_with_nothing_to_watch)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	double before = now();

	cr_assert_eq(fph_loop_run(loop, 20), 0);
	cr_assert(now() - before >= 0.019);
	fph_loop_close(loop);
}

/* The completion of the removal must not end the wait that comes after it. */
BOTH(loop, waits_its_time_after_a_removal)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { .fd = bell_make() };
	double before;

	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	cr_assert_eq(fph_loop_run(loop, 0), 0);
	cr_assert_eq(fph_loop_remove(loop, bell.fd), 0);
	before = now();
	cr_assert_eq(fph_loop_run(loop, 50), 0);
	cr_assert(now() - before >= 0.049);
	fph_loop_close(loop);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* #77, EINTR; with something to submit and without. */
BOTH(loop, comes_back_from_an_endless_wait_when_a_signal_is_caught)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval in_30_ms = { .it_value = { .tv_usec = 30000 } };
	struct bell bell = { .fd = bell_make() };

	cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(setitimer(ITIMER_REAL, &in_30_ms, NULL), 0);
		cr_assert_eq(fph_loop_run(loop, -1), 0);
	}
	bell_ring(bell.fd);
	cr_assert_eq(fph_loop_run(loop, -1), 1);
	fph_loop_close(loop);
}

BOTH(loop, wakes_up_for_another_process)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { .take = 1 };
	int pipes[2];
	pid_t child;

	cr_assert_eq(pipe(pipes), 0);
	bell.fd = pipes[0];
	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	child = fork();
	if (child == 0) {
		usleep(20000);
		_exit(write(pipes[1], "x", 1) != 1);
	}
	cr_assert_eq(fph_loop_run(loop, -1), 1);
	fph_loop_close(loop);
}

BOTH(loop, leaves_no_descriptor_behind)
{
	unsigned before = count_fds();

	for (unsigned i = 0; i < 50; i++) {
		struct fph_loop *loop = loop_of_kind(*kind);
		struct bell bell = { .fd = bell_make() };

		cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
		cr_assert_eq(fph_loop_run(loop, 0), 0);
		fph_loop_close(loop);
		close(bell.fd);
	}
	cr_assert_eq(count_fds(), before);
}

/* #77, EMFILE: io_uring needs a descriptor, poll(2) does not. */
Test(loop, opens_with_no_descriptor_to_spare)
{
	struct rlimit limit;
	struct fph_loop *loop;
	int lowest = bell_make();

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = (rlim_t)lowest + 1;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	loop = loop_of_kind(0);
	cr_assert_str_eq(fph_loop_kind(loop), "poll");
	fph_loop_close(loop);
}
