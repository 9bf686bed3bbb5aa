/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Servers, and who comes to them. */

static int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

BOTH(life, one_client_after_another_comes_to_the_path)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;
	char dir[] = "/tmp/fph-test-XXXXXX", path[64];
	static struct peer p;
	unsigned fds;
	int other;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/vfio", dir);
	o.path = path;
	peer_serve(&p, (unsigned)*kind, &o);
	fds = count_fds();
	for (unsigned i = 1; i <= 5; i++) {
		p.sock = connect_to(path);
		cr_assert(peer_version(&p) > 0);
		cr_assert_eq(peer_map(&p, RAM_GPA, RAM_BYTES, 3, p.file, 0), 0);
		cr_assert_eq(peer_attach(&p), 0);
		peer_whole_round(&p, 4);
		/* #69, #84: a second one is sent away */
		other = connect_to(path);
		peer_pump(&p);
		cr_expect_eq(recv(other, &(char){ 0 }, 1, MSG_DONTWAIT), 0);
		close(other);
		peer_whole_round(&p, 4);
		/* the next one may be there before the end of this one is seen */
		close(p.sock);
		p.sock = connect_to(path);
		cr_assert(peer_version(&p) > 0);
		cr_expect_eq(p.gone, 2 * i - 1);
		cr_expect_eq(fph_vfio_user_server_mem(p.server)->count, 0u);
		cr_expect_eq(peer_read(&p, 0, 0x14, 1), 0u, "power-on");
		peer_hang_up(&p);
		cr_expect_eq(count_fds(), fds);
	}
	cr_expect_eq(access(path, F_OK), 0);
	peer_close(&p);
	cr_expect_neq(access(path, F_OK), 0);
	cr_expect_eq(rmdir(dir), 0);
}

Test(life, a_path_must_be_free_and_fit)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;
	char dir[] = "/tmp/fph-test-XXXXXX", path[64], longer[200];
	struct fph_vfio_user_server *server, *second;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/vfio", dir);
	cr_assert_eq(fph_loop_open(&o.loop, 0), 0);
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	o.path = longer;
	cr_expect_eq(fph_vfio_user_server_open(&server, &o), -ENAMETOOLONG);
	o.path = "";
	cr_expect_eq(fph_vfio_user_server_open(&server, &o), -EINVAL);
	o.path = "/nowhere/at/all";
	cr_expect_eq(fph_vfio_user_server_open(&server, &o), -ENOENT);
	o.path = dir;
	cr_expect_eq(fph_vfio_user_server_open(&server, &o), -EADDRINUSE);
	o.path = path;
	cr_assert_eq(fph_vfio_user_server_open(&server, &o), 0);
	cr_expect_eq(fph_vfio_user_server_open(&second, &o), -EADDRINUSE);
	fph_vfio_user_server_close(server);
	fph_vfio_user_server_close(NULL);
	fph_loop_close(o.loop);
	cr_expect_eq(rmdir(dir), 0);
}

Test(life, options_are_judged)
{
	struct fph_vfio_user_server_opts good = FPH_VFIO_USER_SERVER_OPTS_INIT, o;
	struct {
		struct fph_vfio_user_server_opts o;
		unsigned char more[16];
	} longer = { .o = FPH_VFIO_USER_SERVER_OPTS_INIT };
	static const struct fph_mem mem = { 0 };
	struct fph_vfio_user_server *server;

	cr_assert_eq(fph_loop_open(&good.loop, 0), 0);
	o = good;
	o.loop = NULL;
	cr_expect_eq(fph_vfio_user_server_open(&server, &o), -EINVAL);
	o = good;
	o.flags = FPH_VFIO_USER_POSTED; /* the client's */
	cr_expect_eq(fph_vfio_user_server_open(&server, &o), -EINVAL);
	o = good;
	o.flags = 0x80000000;
	cr_expect_eq(fph_vfio_user_server_open(&server, &o), -EINVAL);
	o = good;
	o.device.mem = &mem;
	cr_expect_eq(fph_vfio_user_server_open(&server, &o), -EINVAL);
	o = good;
	o.device.queue_max = 3;
	cr_expect_eq(fph_vfio_user_server_open(&server, &o), -EINVAL);
	o = good;
	o.device.size += 8;
	cr_expect_eq(fph_vfio_user_server_open(&server, &o), -E2BIG);
	o = good;
	o.size = 4;
	cr_expect_eq(fph_vfio_user_server_open(&server, &o), -EINVAL);
	longer.o = good;
	longer.o.size = sizeof(longer);
	longer.more[15] = 1;
	cr_expect_eq(fph_vfio_user_server_open(&server, &longer.o), -E2BIG);
	longer.more[15] = 0;
	cr_assert_eq(fph_vfio_user_server_open(&server, &longer.o), 0);
	fph_vfio_user_server_close(server);
	o = good;
	o.size = offsetof(struct fph_vfio_user_server_opts, flags);
	o.flags = 0xffffffff; /* past its end */
	cr_assert_eq(fph_vfio_user_server_open(&server, &o), 0);
	fph_vfio_user_server_close(server);
	fph_loop_close(good.loop);
}

Test(life, sockets_are_adopted_one_at_a_time)
{
	static struct peer p;
	int pair[2];
	unsigned fds;

	peer_serve(&p, 0, NULL);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fds = count_fds();
	cr_expect_eq(fph_vfio_user_server_adopt(p.server, -1), -EINVAL);
	cr_expect_eq(fph_vfio_user_server_adopt(p.server, 9999), -EINVAL);
	cr_expect_eq(count_fds(), fds);
	cr_expect(!fph_vfio_user_server_connected(p.server));
	peer_connect(&p);
	cr_expect(fph_vfio_user_server_connected(p.server));
	cr_expect_eq(fph_vfio_user_server_adopt(p.server, pair[0]), -EBUSY);
	cr_expect_eq(close(pair[0]), 0, "it is ours still");
	close(pair[1]);
	peer_hang_up(&p);
	peer_close(&p);
}

/* The other end sees nothing of a server that goes before its memory is let go of. */
Test(life, a_server_that_closes_lets_go_of_all)
{
	struct fph_range out[4];
	static struct peer p;
	unsigned fds;
	char byte;

	peer_serve(&p, 0, NULL);
	fds = count_fds();
	peer_connect(&p);
	cr_assert(peer_version(&p) > 0);
	cr_assert_eq(peer_map(&p, RAM_GPA, RAM_BYTES, 3, p.file, 0), 0);
	cr_assert_eq(peer_attach(&p), 0);
	peer_round(&p);
	peer_hint(&p, 0, 3);
	cr_assert_eq(fph_device_poll(p.device, out, 4), 3);
	/* with posted writes that nobody read */
	peer_post(&p, 0, 0x14, 1, 0);
	fph_vfio_user_server_close(p.server);
	p.server = NULL;
	cr_expect_eq(p.gone, 0u, "who closes knows");
	cr_expect_eq(recv(p.sock, &byte, 1, MSG_DONTWAIT), 0, "an end, and no error");
	close(p.sock);
	p.sock = -1;
	cr_expect_eq(mapped_bytes("fph-peer"), RAM_BYTES);
	cr_expect_eq(count_fds(), fds);
	peer_close(&p);
}

/* BH-12, BH-15, BH-16 */
Test(life, a_client_that_goes_takes_the_round_with_it)
{
	struct fph_range out[4];
	static struct peer p;
	uint32_t id;

	peer_start(&p, 0, NULL, true);
	cr_assert_eq(peer_attach(&p), 0);
	peer_round(&p);
	id = fph_device_command_id(p.device);
	peer_hint(&p, 0, 3);
	cr_assert_eq(fph_device_poll(p.device, out, 2), 2);
	peer_hang_up(&p);
	cr_expect(fph_device_round_over(p.device));
	cr_expect_eq(fph_device_poll(p.device, out, 4), -ENOTCONN);
	cr_expect_eq(fph_device_start(p.device), -ENOTCONN);
	peer_connect(&p);
	cr_assert(peer_version(&p) > 0);
	cr_assert_eq(peer_map(&p, RAM_GPA, RAM_BYTES, 3, p.file, 0), 0);
	cr_assert_eq(peer_attach(&p), 0);
	peer_whole_round(&p, 8);
	cr_expect_eq(fph_device_command_id(p.device), id + 1);
	peer_close(&p);
}

Test(life, counters_have_the_sizes_of_headers)
{
	struct fph_vfio_user_stats stats = FPH_VFIO_USER_STATS_INIT;
	struct {
		struct fph_vfio_user_stats s;
		uint64_t more;
	} longer = { .s.size = sizeof(longer), .more = 5 };
	static struct peer p;

	peer_start(&p, 0, NULL, true);
	cr_expect_eq(fph_vfio_user_server_stats(p.server, &stats), 0);
	cr_expect_eq(stats.requests, 2u);
	cr_expect_eq(stats.maps, 1u);
	stats.size = 8;
	cr_expect_eq(fph_vfio_user_server_stats(p.server, &stats), -EINVAL);
	cr_expect_eq(fph_vfio_user_server_stats(p.server, &longer.s), 0);
	cr_expect_eq(longer.more, 0u);
	cr_expect_eq(longer.s.requests, 2u);
	peer_close(&p);
}
