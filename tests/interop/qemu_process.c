/* SPDX-License-Identifier: MIT */
#include "qemu_process.h"

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

#define FIRMWARE_BYTES 65536u
#define RESET_VECTOR   0xfff0u
#define ARGS_MAX       64u

/* Descriptors of the child; -1: not open. */
struct inherited {
	int ram;
	int firmware;
	int qtest;
	int qmp;
	int stream;
};

/* A processor that does nothing, whatever wakes it. */
static int firmware(void)
{
	static const unsigned char sleep[] = { 0xfa, 0xf4, 0xeb, 0xfd };	    /* cli; hlt; jmp -1 */
	static const unsigned char jump[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 }; /* jmp f000:0000 */
	int fd = memfd_create("firmware", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, FIRMWARE_BYTES) ||
	    pwrite(fd, sleep, sizeof(sleep), 0) != (ssize_t)sizeof(sleep) ||
	    pwrite(fd, jump, sizeof(jump), RESET_VECTOR) != (ssize_t)sizeof(jump)) {
		close(fd);
		return -EIO;
	}
	return fd;
}

static int memory(struct qemu *qemu, uint64_t bytes)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	void *map;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes)) {
		close(fd);
		return -ENOMEM;
	}
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	qemu->ram = map;
	qemu->ram_bytes = bytes;
	return fd;
}

static int pair(int *ours, int *theirs)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	*ours = fds[0];
	*theirs = fds[1];
	return 0;
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static _Noreturn void child(pid_t parent, int said, const int *keep, size_t n, char *const argv[])
{
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	dup2(null, 0);
	dup2(said, 1);
	dup2(said, 2);
	for (size_t i = 0; i < n; i++)
		if (keep[i] >= 0)
			fcntl(keep[i], F_SETFD, 0);
	execv(QEMU_PROGRAM, argv);
	perror(QEMU_PROGRAM);
	_exit(127);
}

static int run(struct qemu *qemu, const struct inherited *fds, const char *const args[])
{
	static char text[6][128];
	const int keep[] = { fds->ram, fds->firmware, fds->qtest, fds->qmp, fds->stream };
	unsigned long mib = (unsigned long)(qemu->ram_bytes >> 20);
	const char *argv[ARGS_MAX] = {
		"qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
		"-accel", "tcg", "-bios", text[0], "-m", text[1], "-object", text[2],
		"-chardev", text[3], "-qtest", "chardev:qtest", "-qtest-log", "none",
		"-chardev", text[4], "-mon", "chardev=qmp,mode=control",
	};
	pid_t parent = getpid();
	size_t n = 0;

	snprintf(text[0], sizeof(text[0]), "/proc/self/fd/%d", fds->firmware);
	snprintf(text[1], sizeof(text[1]), "%luM", mib);
	snprintf(text[2], sizeof(text[2]),
		 "memory-backend-file,id=mem,size=%luM,mem-path=/proc/self/fd/%d,share=on", mib,
		 fds->ram);
	/* -qtest takes no other name than this. */
	snprintf(text[3], sizeof(text[3]), "socket,id=qtest,fd=%d", fds->qtest);
	snprintf(text[4], sizeof(text[4]), "socket,id=qmp,fd=%d", fds->qmp);
	while (argv[n])
		n++;
	while (*args && n < ARGS_MAX - 1)
		argv[n++] = *args++;
	if (*args)
		return -E2BIG;

	qemu->pid = fork();
	if (qemu->pid < 0)
		return -errno;
	if (qemu->pid == 0) {
		union {
			const char *const *from;
			char *const *to;
		} list = { .from = argv };

		child(parent, qemu->said, keep, sizeof(keep) / sizeof(keep[0]), list.to);
	}
	return 0;
}

int qemu_start(struct qemu *qemu, uint64_t ram_bytes, const char *const args[], int stream)
{
	struct inherited fds = { -1, -1, -1, -1, stream };
	int rc = 0;

	*qemu = (struct qemu){ .qtest = -1, .qmp = -1, .said = -1 };
	qemu->said = memfd_create("said", MFD_CLOEXEC);
	fds.firmware = firmware();
	fds.ram = memory(qemu, ram_bytes);
	if (qemu->said < 0 || fds.firmware < 0 || fds.ram < 0)
		rc = -ENOMEM;
	if (rc == 0)
		rc = pair(&qemu->qtest, &fds.qtest);
	if (rc == 0)
		rc = pair(&qemu->qmp, &fds.qmp);
	if (rc == 0)
		rc = run(qemu, &fds, args);
	close_all((int[]){ fds.ram, fds.firmware, fds.qtest, fds.qmp }, 4);
	if (rc < 0)
		qemu_stop(qemu);
	return rc;
}

void qemu_stop(struct qemu *qemu)
{
	if (qemu->pid > 0) {
		kill(qemu->pid, SIGKILL);
		while (waitpid(qemu->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (qemu->ram)
		munmap(qemu->ram, qemu->ram_bytes);
	close_all((int[]){ qemu->qtest, qemu->qmp, qemu->said }, 3);
	*qemu = (struct qemu){ .qtest = -1, .qmp = -1, .said = -1 };
}

const char *qemu_said(const struct qemu *qemu)
{
	static char text[1024];
	off_t end = qemu->said >= 0 ? lseek(qemu->said, 0, SEEK_END) : 0;
	off_t from = end > (off_t)sizeof(text) - 1 ? end - (off_t)sizeof(text) + 1 : 0;
	ssize_t n = qemu->said >= 0 ? pread(qemu->said, text, sizeof(text) - 1, from) : 0;

	text[n > 0 ? n : 0] = 0;
	return text[0] ? text : "(nothing)";
}
