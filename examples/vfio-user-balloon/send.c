/* SPDX-License-Identifier: MIT */
#include "../output.h"
#include "command.h"
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (fd >= 0 && connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)) == 0)
		return fd;
	cannot("--control %s: cannot connect: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* One line, without its end.  It may take long: a snapshot does. */
static bool read_answer(int fd, char *text)
{
	size_t have = 0;

	while (have <= ANSWER_MAX) {
		ssize_t n = recv(fd, text + have, 1, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		if (text[have] == '\n') {
			text[have] = '\0';
			return true;
		}
		have++;
	}
	return false;
}

int control_send(const struct options *options)
{
	char text[ANSWER_MAX + 1];
	int fd = connect_to(options->control), len;
	bool answered;

	if (fd < 0)
		return EXIT_CANNOT;
	len = snprintf(text, sizeof(text), "%s%s\n", options->json ? "json " : "", options->send);
	answered = send(fd, text, (size_t)len, MSG_NOSIGNAL) == (ssize_t)len &&
		   read_answer(fd, text);
	close(fd);
	if (!answered)
		return cannot("--control %s: it went away without an answer", options->control);
	puts(text);
	if (!output_is_written("fph-vfio-user-balloon"))
		return EXIT_CANNOT;
	return !strncmp(text, "ok", 2) || strstr(text, "\"ok\": true") ? EXIT_OK : EXIT_FAILED;
}
