/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include "uml_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * linux.uml is several processes, and some outlive a main process that was killed.
 * So a keeper stands between: it is the reaper of them all, and kills the whole
 * group when the kernel ends, when the leash says so, or when we die.  Our death is
 * told by a pidfd: a socket of ours may stay open longer, in an io_uring that the
 * keeper has inherited.
 */
enum { LEASH = 3, CONSOLE, COMMAND }; /* the keeper's descriptors */
enum { GUEST_COMMAND = 3 };	      /* the kernel's; 0 to 2 are its console */

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	remove(path);
	return 0;
}

void uml_remove(const char *dir)
{
	nftw(dir, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Guest memory is an unlinked file that the kernel makes in TMPDIR: it should be a tmpfs. */
static void set_memory_dir(const char *dir, const char *mem)
{
	struct statvfs shm;
	uint64_t want = strtoull(mem + strlen("mem="), NULL, 10) << 10;

	unsetenv("TMPDIR");
	unsetenv("TMP");
	unsetenv("TEMP");
	if (statvfs("/dev/shm", &shm) || (uint64_t)shm.f_bavail * shm.f_frsize < want)
		setenv("TMPDIR", dir, 1);
}

static _Noreturn void become_kernel(const char *dir, char *const argv[])
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	/* Else it finds a hole of random size below its heap, and maps memory around it. */
	personality(ADDR_NO_RANDOMIZE);
	dup2(CONSOLE, 0);
	dup2(CONSOLE, 1);
	dup2(CONSOLE, 2);
	dup2(COMMAND, GUEST_COMMAND);
	close_range(GUEST_COMMAND + 1, ~0u, 0);
	set_memory_dir(dir, argv[1]);
	execv(argv[0], argv);
	dprintf(1, "cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static bool wait_for_any(int a, int b, int c)
{
	struct pollfd fds[3] = {{.fd = a, .events = POLLIN},
				{.fd = b, .events = POLLIN},
				{.fd = c, .events = POLLIN}};

	while (poll(fds, 3, -1) < 0 && errno == EINTR)
		;
	return fds[0].revents;
}

static void kill_group(pid_t kernel)
{
	/* Children of the group may be born while it is killed, hence again and again. */
	for (int i = 0; i < 10000; i++) {
		kill(-kernel, SIGKILL);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
			return;
		usleep(1000);
	}
}

/* Returns whether the order to end came; else who would tidy up has died. */
static bool keep(pid_t kernel, pid_t parent)
{
	int parent_fd = pidfd_open(parent, 0);
	char order;

	if (parent_fd >= 0 && getppid() == parent)
		wait_for_any(LEASH, parent_fd, pidfd_open(kernel, 0));
	kill_group(kernel);
	send(LEASH, "x", 1, MSG_NOSIGNAL);
	if (parent_fd < 0 || getppid() != parent)
		return false;
	return wait_for_any(LEASH, parent_fd, -1) && recv(LEASH, &order, 1, 0) == 1;
}

static _Noreturn void become_keeper(const char *dir, char *const argv[], pid_t parent,
				    int fds[3])
{
	int console = fds[CONSOLE - LEASH], command = fds[COMMAND - LEASH];
	bool told = false;
	pid_t kernel;

	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	/* Out of the way of the numbers they get, then to them. */
	fds[0] = fcntl(fds[0], F_DUPFD, 64);
	console = fcntl(console, F_DUPFD, 64);
	command = fcntl(command, F_DUPFD, 64);
	dup2(fds[0], LEASH);
	dup2(console, CONSOLE);
	dup2(command, COMMAND);
	close_range(COMMAND + 1, ~0u, 0);

	kernel = fork();
	if (!kernel)
		become_kernel(dir, argv);
	if (kernel > 0) {
		setpgid(kernel, kernel);
		close(CONSOLE);
		close(COMMAND);
		told = keep(kernel, parent);
	}
	if (!told)
		uml_remove(dir);
	_exit(0);
}

int uml_process_start(struct uml_process *process, const char *dir, char *const argv[])
{
	int pairs[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
	int err = 0;
	pid_t parent = getpid(), keeper = -1;

	for (int i = 0; i < 3 && !err; i++)
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i]) ||
		    fcntl(pairs[i][0], F_SETFL, O_NONBLOCK))
			err = -errno;
	if (!err) {
		keeper = fork();
		if (!keeper)
			become_keeper(dir, argv, parent,
				      (int[3]){pairs[0][1], pairs[1][1], pairs[2][1]});
		if (keeper < 0)
			err = -errno;
	}
	for (int i = 0; i < 3; i++) {
		if (pairs[i][1] >= 0)
			close(pairs[i][1]);
		if (err && pairs[i][0] >= 0)
			close(pairs[i][0]);
	}
	if (err)
		return err;
	*process = (struct uml_process){
		.keeper = keeper,
		.leash = pairs[0][0],
		.console = pairs[1][0],
		.command = pairs[2][0],
	};
	return 0;
}

void uml_process_kill(struct uml_process *process)
{
	if (!process->keeper)
		return;
	send(process->leash, "k", 1, MSG_NOSIGNAL);
	close(process->leash);
	close(process->console);
	close(process->command);
	while (waitpid(process->keeper, NULL, 0) < 0 && errno == EINTR)
		;
	process->keeper = 0;
}
