/* SPDX-License-Identifier: MIT */
#include "front.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const unsigned kinds[] = { 0, FPH_LOOP_POLL };

#define BOTH(name)                                                                                 \
	ParameterizedTestParameters(life, name)                                                    \
	{                                                                                          \
		static size_t which[] = { 0, 1 };                                                  \
		return cr_make_param_array(size_t, which, 2);                                      \
	}                                                                                          \
	ParameterizedTest(size_t *kind, life, name)

/* ------------------------------------------------------------ front ends come and go */

/* #68 */
BOTH(a_thousand_front_ends_leave_nothing_behind)
{
	struct rig rig;
	unsigned fds, maps;

	rig_open(&rig, kinds[*kind], NULL);
	for (unsigned i = 0; i < 1000; i++) {
		struct front front;

		if (i == 10) {
			fds = count_fds();
			maps = count_maps("");
		}
		if (i % 10)
			front_connect(&front, &rig);
		else
			front_open(&front, &rig, FRONT_STATUS);
		front_close(&front);
		cr_assert_eq(rig.gone, i + 1);
	}
	cr_assert_eq(count_fds(), fds);
	cr_assert_leq(count_maps(""), maps);
	rig_close(&rig);
}

/* #69, #84 */
BOTH(a_second_front_end_is_sent_away_and_the_first_does_not_notice)
{
	struct rig rig;
	struct front first, second;
	unsigned before;

	rig_open(&rig, kinds[*kind], NULL);
	front_open(&first, &rig, 0);
	before = count_fds();
	for (unsigned i = 0; i < 20; i++) {
		front_connect(&second, &rig);
		cr_assert(front_is_dropped(&second));
		front_close(&second);
		cr_assert_eq(count_fds(), before);
		cr_assert_eq(front_ask(&first, VU_SET_OWNER, NULL, 0, NULL, 0), 0);
	}
	cr_assert_eq(rig.gone, 0u);
	front_close(&first);
	cr_assert_eq(rig.gone, 1u);
	front_open(&second, &rig, 0);
	front_close(&second);
	rig_close(&rig);
}

/* #79, #82: killed with all it holds, in another process. */
BOTH(a_front_end_that_is_killed_is_noticed_and_the_next_is_served)
{
	struct rig rig;
	struct front front;
	unsigned before;

	rig_open(&rig, kinds[*kind], NULL);
	before = count_fds();
	for (unsigned i = 1; i <= 5; i++) {
		int status;
		pid_t child = fork();

		if (child == 0) {
			struct sockaddr_un addr = { .sun_family = AF_UNIX };
			const struct vu_header half = { VU_SET_FEATURES, VU_VERSION, 8 };
			int fd = socket(AF_UNIX, SOCK_STREAM, 0);

			strcpy(addr.sun_path, rig.path);
			if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
			    write(fd, &half, sizeof(half)) == sizeof(half))
				raise(SIGKILL);
			_exit(1);
		}
		for (unsigned turn = 0; turn < 200 && rig.gone < i; turn++)
			cr_assert(fph_loop_run(rig.loop, 10) >= 0);
		cr_assert_eq(rig.gone, i);
		cr_assert_eq(waitpid(child, &status, 0), child);
		cr_assert(WIFSIGNALED(status));
		cr_assert_eq(count_fds(), before);
	}
	front_open(&front, &rig, 0);
	front_close(&front);
	rig_close(&rig);
}

/* BH-15 by construction: who sees the end of the socket knows that memory is left alone. */
static struct front *observed;
static bool open_in_hook;

static void look(void *ctx, const char *why)
{
	struct pollfd p = { .fd = observed->sock, .events = POLLIN };

	(void)ctx;
	(void)why;
	open_in_hook = poll(&p, 1, 0) == 0;
}

Test(life, the_socket_is_closed_after_the_embedder_was_told_and_the_memory_is_gone)
{
	struct fph_vhost_user_opts o = FPH_VHOST_USER_OPTS_INIT;
	struct fph_vhost_user *vu;
	struct front front;
	struct rig rig;
	char path[80];

	rig_open(&rig, 0, NULL);
	snprintf(path, sizeof(path), "%s2", rig.path);
	o.loop = rig.loop;
	o.path = path;
	o.gone = look;
	cr_assert_eq(fph_vhost_user_open(&vu, &o), 0);
	strcpy(rig.path, path);
	front_connect(&front, &rig);
	observed = &front;
	cr_assert(fph_vhost_user_connected(vu));
	front_send(&front, VU_GET_FEATURES, VU_REPLY, NULL, 0, NULL, 0);
	cr_assert(front_is_dropped(&front));
	cr_assert(open_in_hook);
	front_close(&front);
	fph_vhost_user_close(vu);
	rig_close(&rig);
}

Test(life, close_in_the_middle_of_a_connection_releases_everything)
{
	struct fph_loop *loop;
	struct front front;
	struct rig rig;
	unsigned before;

	rig_open(&rig, 0, NULL);
	front_open(&front, &rig, 0);
	fph_vhost_user_close(rig.vu);
	rig.vu = NULL;
	cr_assert_eq(rig.gone, 0u); /* the caller knows */
	cr_assert_eq(count_maps("fph-guest-ram"), 1u);
	cr_assert_eq(access(rig.path, F_OK), -1);
	before = count_fds();
	front_close(&front);
	cr_assert_eq(count_fds(), before - 3); /* socket, channel, memory: theirs alone */
	loop = rig.loop;
	cr_assert_eq(fph_loop_run(loop, 0), 0);
	rig_close(&rig);
}

/* ------------------------------------------------------------ descriptors run out */

static rlim_t limit_fds(rlim_t n)
{
	struct rlimit limit;
	rlim_t before;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	before = limit.rlim_cur;
	limit.rlim_cur = n;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return before;
}

static int lowest_free_fd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	close(fd);
	return fd;
}

/* #77, EMFILE at accept: no busy loop on a client who cannot be let in. */
BOTH(a_client_who_comes_when_descriptors_run_out_is_sent_away)
{
	struct rig rig;
	struct front front;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;
	rlim_t before;

	rig_open(&rig, kinds[*kind], NULL);
	strcpy(addr.sun_path, rig.path);
	before = limit_fds((rlim_t)lowest_free_fd());
	cr_assert_eq(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	rig_pump(&rig); /* comes to rest */
	cr_assert_eq(recv(client, &byte, 1, MSG_DONTWAIT), 0);
	cr_assert(!fph_vhost_user_connected(rig.vu));
	close(client);
	rig_pump(&rig);
	limit_fds(before);
	front_open(&front, &rig, 0);
	front_close(&front);
	rig_close(&rig);
}

/* #77: the message arrives, its descriptor does not. */
BOTH(a_message_whose_descriptor_finds_no_room_ends_the_connection)
{
	struct rig rig;
	struct front front;
	uint64_t zero = 0;
	unsigned fds;
	rlim_t before;
	int call;

	rig_open(&rig, kinds[*kind], NULL);
	front_connect(&front, &rig);
	front_negotiate(&front);
	call = eventfd(0, EFD_CLOEXEC);
	fds = count_fds();
	before = limit_fds((rlim_t)lowest_free_fd());
	front_send(&front, VU_SET_VRING_CALL, 0, &zero, sizeof(zero), &call, 1);
	rig_pump(&rig);
	limit_fds(before);
	cr_assert_eq(rig.gone, 1u);
	cr_assert_not_null(strstr(rig.why, "descriptors"), "%s", rig.why);
	cr_assert_eq(count_fds(), fds - 1);
	front_close(&front);
	close(call);
	rig_close(&rig);
}

/* ------------------------------------------------------------ the path */

static int open_at(struct fph_loop *loop, const char *path, struct fph_vhost_user **vu)
{
	struct fph_vhost_user_opts o = FPH_VHOST_USER_OPTS_INIT;

	o.loop = loop;
	o.path = path;
	return fph_vhost_user_open(vu, &o);
}

/* #71, one errno for each; and nothing is left behind. */
Test(life, a_path_that_cannot_be_listened_at_is_said_so)
{
	struct rig rig;
	struct fph_vhost_user *vu = NULL;
	char path[256];
	unsigned before;
	int fd;

	rig_open(&rig, 0, NULL);
	before = count_fds();
	cr_assert_eq(open_at(rig.loop, "", &vu), -EINVAL);
	cr_assert_eq(open_at(rig.loop, NULL, &vu), -EINVAL);
	cr_assert_eq(open_at(NULL, rig.path, &vu), -EINVAL);
	cr_assert_eq(open_at(rig.loop, "/nonexistent/vu", &vu), -ENOENT);
	cr_assert_eq(open_at(rig.loop, "/proc/self/vu", &vu), -ENOENT);

	memset(path, 'x', sizeof(path));
	memcpy(path, "/tmp/", 5);
	path[108] = '\0';
	cr_assert_eq(open_at(rig.loop, path, &vu), -ENAMETOOLONG);

	/* A living back end, a file, a directory. */
	cr_assert_eq(open_at(rig.loop, rig.path, &vu), -EADDRINUSE);
	snprintf(path, sizeof(path), "%s/file", rig.dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	cr_assert(fd >= 0 && write(fd, "keep", 4) == 4);
	close(fd);
	cr_assert_eq(open_at(rig.loop, path, &vu), -EADDRINUSE);
	cr_assert_eq(access(path, F_OK), 0);
	unlink(path);
	cr_assert_eq(open_at(rig.loop, rig.dir, &vu), -EADDRINUSE);
	cr_assert_null(vu);
	cr_assert_eq(count_fds(), before);
	rig_pump(&rig);
	rig_close(&rig);
	cr_assert_neq(access(rig.dir, F_OK), 0);
}

Test(life, a_path_of_107_bytes_fits)
{
	struct rig rig;
	struct fph_vhost_user *vu = NULL;
	char path[108];

	rig_open(&rig, 0, NULL);
	memset(path, 'x', sizeof(path));
	memcpy(path, rig.dir, strlen(rig.dir));
	path[strlen(rig.dir)] = '/';
	path[107] = '\0';
	cr_assert_eq(open_at(rig.loop, path, &vu), 0);
	cr_assert_eq(access(path, F_OK), 0);
	fph_vhost_user_close(vu);
	cr_assert_neq(access(path, F_OK), 0);
	rig_close(&rig);
}

/* #79, the other way round: the back end was killed, and starts again. */
Test(life, a_socket_of_a_dead_back_end_is_replaced)
{
	struct rig rig;
	struct fph_vhost_user *vu = NULL;
	char path[80];
	pid_t child;
	int status;

	rig_open(&rig, 0, NULL);
	snprintf(path, sizeof(path), "%s/dead", rig.dir);
	child = fork();
	if (child == 0) {
		struct fph_loop *loop;

		if (fph_loop_open(&loop, 0) == 0 && open_at(loop, path, &vu) == 0)
			raise(SIGKILL);
		_exit(1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFSIGNALED(status));
	cr_assert_eq(access(path, F_OK), 0);
	cr_assert_eq(open_at(rig.loop, path, &vu), 0);
	fph_vhost_user_close(vu);
	cr_assert_neq(access(path, F_OK), 0);
	rig_close(&rig);
}

/* A datagram socket is in use although no connection can be made to it. */
Test(life, a_socket_of_another_kind_is_left_alone)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct fph_vhost_user *vu = NULL;
	struct rig rig;
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	rig_open(&rig, 0, NULL);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/other", rig.dir);
	cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(open_at(rig.loop, addr.sun_path, &vu), -EADDRINUSE);
	cr_assert_eq(access(addr.sun_path, F_OK), 0);
	unlink(addr.sun_path);
	rig_close(&rig);
}

Test(life, close_does_not_remove_what_somebody_else_put_at_the_path)
{
	struct rig rig;
	int fd;

	rig_open(&rig, 0, NULL);
	cr_assert_eq(unlink(rig.path), 0);
	fd = open(rig.path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	fph_vhost_user_close(rig.vu);
	rig.vu = NULL;
	cr_assert_eq(access(rig.path, F_OK), 0);
	unlink(rig.path);
	rig_close(&rig);
}

/* ------------------------------------------------------------ options */

/* #73 */
Test(life, options_that_break_a_rule_are_refused)
{
	struct {
		struct fph_vhost_user_opts o;
		unsigned char tail[16];
	} wide = { .o = FPH_VHOST_USER_OPTS_INIT };
	const struct fph_mem mem = { 0 };
	struct fph_vhost_user *vu = NULL;
	struct fph_vhost_user_opts o;
	struct rig rig;
	char path[80];
	unsigned before;

	rig_open(&rig, 0, NULL);
	before = count_fds();
	snprintf(path, sizeof(path), "%s/opts", rig.dir);
	wide.o.loop = rig.loop;
	wide.o.path = path;

	o = wide.o, o.size = 0;
	cr_assert_eq(fph_vhost_user_open(&vu, &o), -EINVAL);
	o = wide.o, o.flags = 0x80;
	cr_assert_eq(fph_vhost_user_open(&vu, &o), -EINVAL);
	o = wide.o, o.device.mem = &mem;
	cr_assert_eq(fph_vhost_user_open(&vu, &o), -EINVAL);
	o = wide.o, o.device.interrupt = (void (*)(void *))abort;
	cr_assert_eq(fph_vhost_user_open(&vu, &o), -EINVAL);
	o = wide.o, o.device.queue_max = 3;
	cr_assert_eq(fph_vhost_user_open(&vu, &o), -EINVAL);
	o = wide.o, o.device.size = sizeof(o.device) + 8;
	cr_assert_eq(fph_vhost_user_open(&vu, &o), -E2BIG);
	cr_assert_eq(count_fds(), before);
	cr_assert_neq(access(path, F_OK), 0);

	/* A newer header's struct: taken if nothing unknown is set. */
	wide.o.size = sizeof(wide);
	cr_assert_eq(fph_vhost_user_open(&vu, &wide.o), 0);
	fph_vhost_user_close(vu);
	wide.tail[7] = 1;
	cr_assert_eq(fph_vhost_user_open(&vu, &wide.o), -E2BIG);
	/* An older one: no flags yet. */
	wide.o.size = offsetof(struct fph_vhost_user_opts, flags);
	wide.o.flags = 0x80;
	cr_assert_eq(fph_vhost_user_open(&vu, &wide.o), 0);
	fph_vhost_user_close(vu);
	cr_assert_eq(count_fds(), before);
	rig_close(&rig);
}

Test(life, close_of_nothing_is_allowed)
{
	fph_vhost_user_close(NULL);
}
