/* SPDX-License-Identifier: MIT */
#include "child.h"
#include "bench.h"
#include "clock.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void *child_shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_fail("no shared memory: %s", strerror(errno));
	return p;
}

void child_shared_free(void *shared, size_t bytes)
{
	munmap(shared, bytes);
}

pid_t child_start(void (*main)(void *ctx), void *ctx)
{
	pid_t parent = getpid(), child;

	fflush(NULL); /* or the child would write it again */
	child = fork();
	if (child < 0)
		bench_fail("no second process: %s", strerror(errno));
	if (child > 0)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(3);
	clock_pin(1);
	main(ctx);
	_exit(0);
}

void child_kill(pid_t child)
{
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}
