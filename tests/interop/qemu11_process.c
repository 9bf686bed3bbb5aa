/* SPDX-License-Identifier: MIT */
#include "qemu11_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 40u

/* Descriptors of the child. */
struct inherited {
	int talk;
	int qmp;
};

static int pair(int *ours, int *theirs)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	*ours = fds[0];
	*theirs = fds[1];
	fcntl(*ours, F_SETFL, O_NONBLOCK);
	return 0;
}

static void let_go(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static _Noreturn void child(pid_t parent, const struct qemu11 *qemu, const struct inherited *fds,
			    const char *const args[])
{
	const union {
		const char *const *from;
		char *const *to;
	} list = { .from = args };
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(null, 0);
	dup2(qemu->said, 1);
	dup2(qemu->said, 2);
	fcntl(fds->talk, F_SETFD, 0);
	fcntl(fds->qmp, F_SETFD, 0);
	fcntl(qemu->console, F_SETFD, 0);
	execv(QEMU11_BOOT, list.to);
	perror(QEMU11_BOOT);
	_exit(127);
}

static void push(const char **args, size_t *n, const char *option, const char *value)
{
	if (!value || *n + 2 >= ARGS_MAX)
		return;
	args[(*n)++] = option;
	args[(*n)++] = value;
}

static int run(struct qemu11 *qemu, const struct inherited *fds, const struct qemu11_opts *opts)
{
	char append[256], memory[16], console[64], talk[64], qmp[64];
	const char *args[ARGS_MAX] = { QEMU11_BOOT, "--no-console" };
	pid_t parent = getpid();
	size_t n = 2;

	snprintf(append, sizeof(append), "fph.talk=ttyS1 %s", opts->append ? opts->append : "");
	snprintf(memory, sizeof(memory), "%u", opts->mib ? (unsigned)opts->mib : 512u);
	snprintf(console, sizeof(console), "file,id=console,path=/proc/self/fd/%d", qemu->console);
	snprintf(talk, sizeof(talk), "socket,id=talk,fd=%d", fds->talk);
	snprintf(qmp, sizeof(qmp), "socket,id=qmp,fd=%d", fds->qmp);
	push(args, &n, "--socket", opts->socket);
	push(args, &n, "--ram", opts->ram);
	push(args, &n, "--kernel", opts->kernel);
	push(args, &n, "--append", append);
	push(args, &n, "--memory", memory);
	args[n++] = "--";
	push(args, &n, "-chardev", console);
	push(args, &n, "-serial", "chardev:console");
	push(args, &n, "-chardev", talk);
	push(args, &n, "-serial", "chardev:talk");
	push(args, &n, "-chardev", qmp);
	push(args, &n, "-qmp", "chardev:qmp");
	push(args, &n, "-device", opts->device);

	qemu->pid = fork();
	if (qemu->pid == 0)
		child(parent, qemu, fds, args);
	return qemu->pid < 0 ? -errno : 0;
}

int qemu11_start(struct qemu11 *qemu, const struct qemu11_opts *opts)
{
	struct inherited fds = { -1, -1 };
	int rc = 0;

	*qemu = (struct qemu11)QEMU11_INIT;
	qemu->said = memfd_create("said", MFD_CLOEXEC);
	qemu->console = memfd_create("console", MFD_CLOEXEC);
	if (qemu->said < 0 || qemu->console < 0)
		rc = -ENOMEM;
	if (rc == 0)
		rc = pair(&qemu->talk, &fds.talk);
	if (rc == 0)
		rc = pair(&qemu->qmp, &fds.qmp);
	if (rc == 0)
		rc = run(qemu, &fds, opts);
	let_go(&fds.talk);
	let_go(&fds.qmp);
	if (rc < 0) {
		qemu->pid = 0;
		qemu11_stop(qemu);
	}
	return rc;
}

int qemu11_ended(struct qemu11 *qemu, int *status)
{
	if (qemu->pid <= 0 || waitpid(qemu->pid, status, WNOHANG) != qemu->pid)
		return 0;
	qemu->pid = 0;
	return 1;
}

void qemu11_stop(struct qemu11 *qemu)
{
	if (qemu->pid > 0) {
		kill(qemu->pid, SIGKILL);
		while (waitpid(qemu->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	qemu->pid = 0;
	let_go(&qemu->talk);
	let_go(&qemu->qmp);
	let_go(&qemu->said);
	let_go(&qemu->console);
}

const char *qemu11_text(int fd)
{
	static char text[1024];
	off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
	off_t from = end > (off_t)sizeof(text) - 1 ? end - (off_t)sizeof(text) + 1 : 0;
	ssize_t n = fd >= 0 ? pread(fd, text, sizeof(text) - 1, from) : 0;

	text[n > 0 ? n : 0] = 0;
	return text[0] ? text : "(nothing)";
}
