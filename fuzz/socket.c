/* SPDX-License-Identifier: MIT */
#include "socket.h"

#include <device_priv.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TURNS 4

struct fph_loop *socket_loop;
unsigned char *socket_ram;
int socket_pool[SOCKET_POOL];

void socket_set_up(void)
{
	int ends[2];

	if (socket_loop)
		return;
	MUST(fph_loop_open(&socket_loop, FPH_LOOP_POLL) == 0);
	socket_pool[0] = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	MUST(socket_pool[0] >= 0 && ftruncate(socket_pool[0], RAM_LEN) == 0);
	MUST(fcntl(socket_pool[0], F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	socket_ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, socket_pool[0], 0);
	MUST(socket_ram != MAP_FAILED);
	socket_pool[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	socket_pool[2] = eventfd(0, EFD_CLOEXEC);
	MUST(pipe2(ends, O_CLOEXEC) == 0);
	socket_pool[3] = ends[1];
	socket_pool[4] = memfd_create("short", MFD_CLOEXEC);
	MUST(ftruncate(socket_pool[4], 4096) == 0);
}

int socket_lowest_free(void)
{
	int fd = dup(socket_pool[0]);

	MUST(fd >= 0);
	close(fd);
	return fd;
}

void socket_pair(int ends[2])
{
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
}

int socket_connect(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	MUST(fd >= 0 && strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	MUST(connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)) == 0);
	return fd;
}

void socket_send(int to, const void *bytes, size_t len, const int *fds, unsigned count)
{
	_Alignas(
		struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(int) * SOCKET_FDS)] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr out = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (count) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)control;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
		out.msg_control = control;
		out.msg_controllen = CMSG_SPACE(sizeof(int) * count);
	}
	n = sendmsg(to, &out, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)n; /* a peer that is gone, or full */
}

void socket_drain(int from)
{
	unsigned char bytes[4096];

	/* No room for descriptors, so the kernel closes them. */
	while (recv(from, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

void socket_any_fds(struct input *in, int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		fds[i] = socket_pool[next8(in) % SOCKET_POOL];
}

void socket_owner(struct input *in, struct fph_device *dev)
{
	const struct device *d = (const struct device *)(const void *)dev;
	struct fph_range out[4];
	int n;

	switch (next8(in) % 6) {
	case 0:
		fph_device_start(dev);
		break;
	case 1:
		fph_device_stop(dev);
		break;
	case 2:
		fph_device_done(dev);
		break;
	default:
		n = fph_device_poll(dev, out, 4);
		for (int i = 0; i < n; i++) {
			struct fph_range rest = out[i], piece;

			MUST(fph_mem_piece(d->mem, &rest, &piece) >= 0 && piece.gpa == out[i].gpa &&
			     piece.len == out[i].len);
		}
	}
}

void socket_run(void)
{
	for (int i = 0; i < TURNS && fph_loop_run(socket_loop, 0) > 0; i++)
		;
}
