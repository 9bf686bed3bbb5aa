/* SPDX-License-Identifier: MIT */
#include "uml_harness.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* How a guest begins and ends, when things go wrong. */

/* What guest_uml.open() says on stderr; it must fail with err. */
static const char *complaint(const struct guest_config *config, int err)
{
	static char said[4096];
	int pipe_fds[2], saved = dup(2);
	struct guest *guest;
	ssize_t n;

	cr_assert(pipe(pipe_fds) == 0);
	dup2(pipe_fds[1], 2);
	cr_expect(guest_uml.open(&guest, config) == err);
	dup2(saved, 2);
	close(saved);
	close(pipe_fds[1]);
	n = read(pipe_fds[0], said, sizeof(said) - 1);
	close(pipe_fds[0]);
	said[n > 0 ? n : 0] = 0;
	return said;
}

Test(uml, says_in_one_line_why_it_cannot_start)
{
	struct guest_config config = {.memory = 128 * MIB};
	char tmp[] = "/tmp/fph-test-XXXXXX";

	cr_assert(mkdtemp(tmp));
	setenv("TMPDIR", tmp, 1);
	config.kernel = "/no/such/kernel";
	cr_expect_str_eq(complaint(&config, -ENOENT),
			 "uml: /no/such/kernel: No such file or directory\n");
	config.kernel = NULL;
	config.module = "/no/such/module.ko";
	cr_expect_str_eq(complaint(&config, -ENOENT),
			 "uml: /no/such/module.ko: No such file or directory\n");
	config.module = NULL;
	config.memory = 16 * MIB;
	cr_expect_str_eq(complaint(&config, -EINVAL),
			 "uml: a guest needs at least 64 MiB of memory\n");
	config.memory = 128 * MIB;
	config.kernel = "/bin/false"; /* dies without a word */
	cr_expect_str_eq(complaint(&config, -ENOTCONN), "uml: boot: the guest is gone\n");
	config.kernel = "/bin/ls"; /* dies with some */
	cr_expect(strstr(complaint(&config, -ENOTCONN),
			 "uml: boot: the guest is gone; it said last:\n"));
	config.kernel = NULL;
	config.module = "/bin/ls"; /* is no module */
	cr_expect(strstr(complaint(&config, -EIO), "uml: \"driver load\" failed in the guest"));
	cr_expect(rmdir(tmp) == 0, "something was left in %s", tmp);
}

/* Nothing is left behind, neither processes nor files, when we are killed. */
Test(uml, dies_with_its_parent)
{
	struct guest_config config = {.memory = 128 * MIB};
	char tmp[] = "/tmp/fph-test-XXXXXX";
	int fds[2], status;
	uint64_t start;
	pid_t child;
	char c;

	cr_assert(mkdtemp(tmp));
	setenv("TMPDIR", tmp, 1);
	cr_assert(pipe(fds) == 0);
	child = fork();
	if (!child) {
		struct guest *guest;

		/* The guest's processes must not hold the pipe: the keeper closes it. */
		if (!guest_uml.open(&guest, &config) && write(fds[1], "r", 1) == 1)
			for (;;)
				guest_uml.serve(guest, 1000);
		_exit(1);
	}
	close(fds[1]);
	cr_assert(read(fds[0], &c, 1) == 1, "the guest did not start");
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	for (start = now_us(); rmdir(tmp) && now_us() - start < UINT64_C(10000000);)
		usleep(10000);
	fprintf(stderr, "gone %lu ms after its parent\n",
		(unsigned long)((now_us() - start) / 1000));
	cr_expect(access(tmp, F_OK) != 0, "something was left in %s", tmp);
}
