/* SPDX-License-Identifier: MIT */
#include "control.h"
#include "command.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PEERS	 8
#define TEXT_MAX (PATH_MAX + 64)

struct peer {
	struct control *control;
	int fd;	    /* -1: none */
	bool heard; /* it says nothing more, and may wait for an answer */
	bool busy;  /* its command is under way: others of it wait */
	size_t have;
	char text[TEXT_MAX];
};

struct control {
	struct balloon *balloon;
	int fd;
	dev_t dev; /* of the socket's file, to remove no other */
	ino_t ino;
	struct peer peers[PEERS];
};

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	return address;
}

/* ------------------------------------------------------------ one peer */

static void hang_up(struct peer *peer)
{
	if (peer->fd < 0)
		return;
	if (!peer->heard)
		fph_loop_remove(peer->control->balloon->loop, peer->fd);
	close(peer->fd);
	peer->fd = -1;
}

/* One that does not take a line in one go does not read them. */
static void answer(struct peer *peer, char *text)
{
	size_t len = strlen(text);

	text[len++] = '\n';
	if (send(peer->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		hang_up(peer);
}

/* Take one line off, and carry it out if it may be.  Returns whether there was one. */
static bool take_line(struct peer *peer, bool now_only)
{
	static const char json_word[] = "json ";
	struct balloon *balloon = peer->control->balloon;
	const struct command *command;
	char line[TEXT_MAX], text[ANSWER_MAX + 1];
	char *end = memchr(peer->text, '\n', peer->have);
	size_t len = end ? (size_t)(end - peer->text) : 0;
	const char *words = line, *file;
	bool json;

	if (!end || peer->busy)
		return false;
	memcpy(line, peer->text, len);
	line[len] = '\0';
	if (len && line[len - 1] == '\r')
		line[len - 1] = '\0';
	json = !strncmp(line, json_word, sizeof(json_word) - 1);
	if (json)
		words += sizeof(json_word) - 1;
	command = command_find(words, &file, text);
	if (command && now_only && !command->now)
		return false;
	/* Off before it is carried out, for others may be served meanwhile. */
	peer->have -= len + 1;
	memmove(peer->text, end + 1, peer->have);
	peer->busy = true;
	if (command)
		command_run(balloon, command, file, json, text);
	peer->busy = false;
	answer(peer, text);
	return true;
}

static void readable(void *ctx)
{
	struct peer *peer = ctx;
	ssize_t n = recv(peer->fd, peer->text + peer->have, sizeof(peer->text) - peer->have,
			 MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		peer->have += (size_t)n;
	while (peer->fd >= 0 && take_line(peer, true))
		;
	if (peer->fd < 0)
		return;
	/* It says no more, or too much: what is there is answered, and that was it. */
	if (n <= 0 || peer->have == sizeof(peer->text)) {
		fph_loop_remove(peer->control->balloon->loop, peer->fd);
		peer->heard = true;
	}
}

void control_run(struct balloon *balloon)
{
	struct control *control = balloon->control;

	for (int i = 0; control && i < PEERS; i++) {
		struct peer *peer = &control->peers[i];

		while (peer->fd >= 0 && !balloon->quit && take_line(peer, false))
			;
		if (peer->fd >= 0 && peer->heard)
			hang_up(peer);
	}
}

/* ------------------------------------------------------------ listening */

static void on_peer(void *ctx)
{
	struct control *control = ctx;
	int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	for (int i = 0; fd >= 0 && i < PEERS; i++) {
		struct peer *peer = &control->peers[i];

		if (peer->fd >= 0)
			continue;
		*peer = (struct peer){ .control = control, .fd = fd };
		if (fph_loop_add(control->balloon->loop, fd, readable, peer) == 0)
			return;
		peer->fd = -1;
		break;
	}
	if (fd >= 0)
		close(fd);
}

/* A socket that nobody listens at was left behind. */
static void remove_stale(const char *path)
{
	struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat stat;

	if (fd >= 0 && lstat(path, &stat) == 0 && S_ISSOCK(stat.st_mode) &&
	    connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)) &&
	    errno == ECONNREFUSED)
		unlink(path);
	if (fd >= 0)
		close(fd);
}

static int listen_at(struct control *control, const char *path)
{
	struct sockaddr_un address = address_of(path);
	struct stat stat;
	mode_t mask;
	int err;

	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->fd < 0)
		return -errno;
	remove_stale(path);
	/* Who may use it is its owner. */
	mask = umask(0177);
	err = bind(control->fd, (struct sockaddr *)(void *)&address, sizeof(address)) ? -errno : 0;
	umask(mask);
	if (err)
		return err;
	if (lstat(path, &stat) == 0) {
		control->dev = stat.st_dev;
		control->ino = stat.st_ino;
	}
	if (listen(control->fd, PEERS))
		return -errno;
	return fph_loop_add(control->balloon->loop, control->fd, on_peer, control);
}

int control_open(struct balloon *balloon)
{
	const char *path = balloon->options->control;
	int err;

	if (!path)
		return -1;
	balloon->control = calloc(1, sizeof(*balloon->control));
	if (!balloon->control)
		return cannot("too little memory");
	balloon->control->balloon = balloon;
	for (int i = 0; i < PEERS; i++)
		balloon->control->peers[i].fd = -1;
	err = listen_at(balloon->control, path);
	if (err == -EADDRINUSE)
		return cannot("--control %s: in use, or no socket; choose another path", path);
	return err ? cannot("--control %s: cannot listen there: %s", path, strerror(-err)) : -1;
}

void control_close(struct balloon *balloon)
{
	struct control *control = balloon->control;
	const char *path = balloon->options->control;
	struct stat stat;

	if (!control)
		return;
	for (int i = 0; i < PEERS; i++)
		hang_up(&control->peers[i]);
	if (control->fd >= 0) {
		fph_loop_remove(balloon->loop, control->fd);
		close(control->fd);
	}
	if (control->ino && lstat(path, &stat) == 0 && stat.st_dev == control->dev &&
	    stat.st_ino == control->ino)
		unlink(path);
	free(control);
	balloon->control = NULL;
}
