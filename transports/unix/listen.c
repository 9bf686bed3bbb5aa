/* SPDX-License-Identifier: MIT */
#include "listen.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int fph_listener_check(const char *path)
{
	if (!path || !path[0])
		return -EINVAL;
	return strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path) ? 0 : -ENAMETOOLONG;
}

/* Is the thing at the path a socket that nobody listens on any more? */
static bool is_stale(const struct sockaddr_un *addr, int type)
{
	struct stat st;
	bool refused;
	int fd;

	if (lstat(addr->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	refused = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
		  errno == ECONNREFUSED;
	close(fd);
	return refused;
}

static int bind_path(int fd, const struct sockaddr_un *addr, int type)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
			return 0;
		if (errno != EADDRINUSE)
			return -errno;
		if (!is_stale(addr, type) || unlink(addr->sun_path) < 0)
			break;
	}
	return -EADDRINUSE;
}

static int spare_fd(const struct fph_listener *listener)
{
	return fcntl(listener->fd, F_DUPFD_CLOEXEC, 0);
}

int fph_listener_open(struct fph_listener *listener, const char *path, int type)
{
	struct stat st;
	int rc;

	memset(listener, 0, sizeof(*listener));
	listener->spare = -1;
	listener->addr.sun_family = AF_UNIX;
	memcpy(listener->addr.sun_path, path, strlen(path) + 1);
	listener->fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return -errno;
	rc = bind_path(listener->fd, &listener->addr, type);
	if (rc < 0)
		return rc;
	if (lstat(listener->addr.sun_path, &st) < 0) {
		rc = -errno;
		unlink(listener->addr.sun_path);
		return rc;
	}
	listener->path_dev = st.st_dev;
	listener->path_ino = st.st_ino;
	if (listen(listener->fd, 4) < 0)
		return -errno;
	listener->spare = spare_fd(listener);
	return listener->spare < 0 ? -errno : 0;
}

static void send_away(struct fph_listener *listener)
{
	int fd;

	close(listener->spare);
	fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		close(fd);
	listener->spare = spare_fd(listener);
}

int fph_listener_accept(struct fph_listener *listener)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int rc = -errno;

	if (fd >= 0)
		return fd;
	if (rc == -EMFILE || rc == -ENFILE)
		send_away(listener);
	return rc;
}

void fph_listener_close(struct fph_listener *listener)
{
	struct stat st;

	if (listener->path_ino && lstat(listener->addr.sun_path, &st) == 0 &&
	    st.st_dev == listener->path_dev && st.st_ino == listener->path_ino)
		unlink(listener->addr.sun_path);
	if (listener->fd >= 0)
		close(listener->fd);
	if (listener->spare >= 0)
		close(listener->spare);
	listener->fd = listener->spare = -1;
}
