/* SPDX-License-Identifier: MIT */
#include "qmp.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_NS UINT64_C(20000000000)

__attribute__((format(printf, 3, 4))) static int fail(struct qmp *qmp, int err, const char *format,
						      ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(qmp->why, sizeof(qmp->why), format, args);
	va_end(args);
	return err;
}

/* ------------------------------------------------------------ what it says */

static const char *text_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : "";
}

static void take_answer(struct qmp *qmp, struct json_object *object)
{
	struct json_object *id, *part;

	if (json_object_object_get_ex(object, "QMP", &part))
		qmp->greeted = true;
	/* No number: an event. */
	if (!json_object_object_get_ex(object, "id", &id))
		return;
	qmp->answered = (unsigned)json_object_get_int(id);
	qmp->liked = json_object_object_get_ex(object, "return", &part);
	if (qmp->liked) {
		struct json_object *running;

		if (json_object_object_get_ex(part, "running", &running))
			qmp->running = json_object_get_boolean(running);
	} else if (json_object_object_get_ex(object, "error", &part)) {
		fail(qmp, 0, "QMP: %s", text_of(part, "desc"));
	} else {
		fail(qmp, 0, "QMP: no answer that it could understand");
	}
}

static void take_line(struct qmp *qmp, const char *line)
{
	struct json_object *object = json_tokener_parse(line);

	if (json_object_is_type(object, json_type_object))
		take_answer(qmp, object);
	json_object_put(object);
}

static void end(struct qmp *qmp, const char *why)
{
	qmp->ended = true;
	fph_loop_remove(qmp->balloon->loop, qmp->fd);
	fail(qmp, 0, "%s", why);
}

static void readable(void *ctx)
{
	struct qmp *qmp = ctx;
	char *line = qmp->text, *stop;
	ssize_t n = recv(qmp->fd, qmp->text + qmp->have, sizeof(qmp->text) - qmp->have,
			 MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end(qmp, "QMP: the connection is over");
		return;
	}
	qmp->have += (size_t)n;
	while ((stop = memchr(line, '\n', qmp->have - (size_t)(line - qmp->text)))) {
		*stop = '\0';
		take_line(qmp, line);
		line = stop + 1;
	}
	qmp->have -= (size_t)(line - qmp->text);
	memmove(qmp->text, line, qmp->have);
	if (qmp->have == sizeof(qmp->text))
		end(qmp, "QMP: an answer is too long");
}

/* ------------------------------------------------------------ what it is asked */

/* Also when the program is to end: a guest that was stopped must go on first. */
static int await(struct qmp *qmp, const bool *flag, unsigned number, const char *what)
{
	uint64_t end = now_ns() + PATIENCE_NS;

	while (!qmp->ended && (flag ? !*flag : qmp->answered != number)) {
		if (balloon_turn(qmp->balloon, 100) == -EIO)
			return fail(qmp, -EIO, "the event loop failed");
		if (now_ns() > end)
			return fail(qmp, -ETIMEDOUT, "QMP: no answer to %s", what);
	}
	return qmp->ended ? -EIO : 0;
}

int qmp_tell(struct qmp *qmp, const char *command)
{
	char line[96];
	int err, len;

	len = snprintf(line, sizeof(line), "{\"execute\":\"%s\",\"id\":%u}\n", command,
		       ++qmp->asked);
	/* So short a line fits, or nobody reads. */
	if (qmp->ended ||
	    send(qmp->fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		return fail(qmp, -EIO, "QMP: it takes no command");
	err = await(qmp, NULL, qmp->asked, command);
	if (!err && !qmp->liked)
		err = -EPROTO;
	return err;
}

int qmp_open(struct qmp *qmp, struct balloon *balloon, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int err;

	memset(qmp, 0, sizeof(*qmp));
	qmp->balloon = balloon;
	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	qmp->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (qmp->fd < 0 || connect(qmp->fd, (struct sockaddr *)(void *)&address, sizeof(address)))
		return fail(qmp, -errno, "QMP: cannot connect to %.90s: %s", path, strerror(errno));
	err = fph_loop_add(balloon->loop, qmp->fd, readable, qmp);
	if (err) {
		qmp->ended = true;
		return fail(qmp, err, "QMP: %s", strerror(-err));
	}
	err = await(qmp, &qmp->greeted, 0, "the connection: has it another client?");
	if (!err)
		err = qmp_tell(qmp, "qmp_capabilities");
	return err ? err : qmp_tell(qmp, "query-status");
}

void qmp_close(struct qmp *qmp)
{
	if (qmp->fd < 0)
		return;
	if (!qmp->ended)
		fph_loop_remove(qmp->balloon->loop, qmp->fd);
	close(qmp->fd);
	qmp->fd = -1;
}
