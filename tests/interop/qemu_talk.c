/* SPDX-License-Identifier: MIT */
#include "qemu_talk.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t deadline_of(unsigned milliseconds)
{
	return now_us() + UINT64_C(1000) * milliseconds;
}

void talk_open(struct talk *talk, int fd)
{
	memset(talk, 0, sizeof(*talk));
	talk->fd = fd;
}

/* ------------------------------------------------------------ lines */

/* More bytes behind those that are there.  Returns 0 or as read_line() does. */
static int read_more(struct talk *t, uint64_t deadline)
{
	struct pollfd fd = { .fd = t->fd, .events = POLLIN };
	uint64_t now = now_us();
	ssize_t n;

	if (t->have == sizeof(t->text))
		return -EMSGSIZE;
	if (poll(&fd, 1, now < deadline ? (int)((deadline - now + 999) / 1000) : 0) == 0)
		return now_us() < deadline ? 0 : -ETIMEDOUT;
	n = recv(t->fd, t->text + t->have, sizeof(t->text) - t->have, MSG_DONTWAIT);
	if (n == 0)
		return -EIO;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -EIO;
	t->have += (size_t)n;
	return 0;
}

/* The next line; valid until the next call.  Returns 0, -EIO, -ETIMEDOUT, -EMSGSIZE. */
static int read_line(struct talk *t, char **line, uint64_t deadline)
{
	size_t looked = 0;

	for (;;) {
		char *end = memchr(t->text + t->at + looked, '\n', t->have - t->at - looked);
		int rc;

		if (end) {
			*end = 0;
			*line = t->text + t->at;
			t->at = (size_t)(end + 1 - t->text);
			return 0;
		}
		looked = t->have - t->at;
		memmove(t->text, t->text + t->at, looked);
		t->have = looked;
		t->at = 0;
		rc = read_more(t, deadline);
		if (rc < 0)
			return rc;
	}
}

static int send_all(struct talk *t, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(t->fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* ------------------------------------------------------------ qtest */

/* IRQ lines may come at any time.  Returns whether it was one. */
static int is_irq(struct talk *t, const char *line)
{
	unsigned pin;

	if (strncmp(line, "IRQ ", 4))
		return 0;
	if (sscanf(line, "IRQ raise %u", &pin) == 1 && pin < TALK_IRQS)
		t->raised[pin]++;
	return 1;
}

int qtest_ask(struct talk *t, uint64_t *value, const char *format, ...)
{
	uint64_t deadline = deadline_of(TALK_SECONDS * 1000);
	unsigned long long number = 0;
	char text[512], *line;
	va_list args;
	int n, rc;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(text) - 1)
		return -EINVAL;
	text[n++] = '\n';
	rc = send_all(t, text, (size_t)n);
	do {
		if (rc == 0)
			rc = read_line(t, &line, deadline);
		if (rc < 0) {
			fprintf(stderr, "qtest: \"%.*s\": %s\n", n - 1, text, strerror(-rc));
			return rc;
		}
	} while (is_irq(t, line));
	if (strncmp(line, "OK", 2) || (value && sscanf(line, "OK %llx", &number) != 1)) {
		fprintf(stderr, "qtest: \"%.*s\": %s\n", n - 1, text, line);
		return -EINVAL;
	}
	if (value)
		*value = number;
	return 0;
}

int qtest_wait_irq(struct talk *t, unsigned pin, uint64_t count, int milliseconds)
{
	uint64_t deadline = deadline_of((unsigned)milliseconds);
	char *line;

	while (t->raised[pin] < count) {
		int rc = read_line(t, &line, deadline);

		if (rc < 0)
			return rc;
		is_irq(t, line);
	}
	return 0;
}

/* ------------------------------------------------------------ QMP */

/* The next object that is no event. */
static int read_object(struct talk *t, struct json_object **object)
{
	uint64_t deadline = deadline_of(TALK_SECONDS * 1000);
	char *line;

	for (;;) {
		int rc = read_line(t, &line, deadline);

		if (rc < 0)
			return rc;
		*object = json_tokener_parse(line);
		if (!*object)
			return -EBADMSG;
		if (!json_object_object_get_ex(*object, "event", NULL))
			return 0;
		json_object_put(*object);
	}
}

/* What was answered to a command that is sent. */
static int take_answer(struct talk *t, const char *text, struct json_object **answer)
{
	struct json_object *object, *inner = NULL;
	int rc = read_object(t, &object);

	if (rc < 0) {
		fprintf(stderr, "QMP: %s%s\n", text, strerror(-rc));
		return rc;
	}
	if (!json_object_object_get_ex(object, "return", &inner)) {
		rc = -EREMOTEIO;
		fprintf(stderr, "QMP: %s%s\n", text, json_object_to_json_string(object));
		json_object_object_get_ex(object, "error", &inner);
	}
	if (answer)
		*answer = json_object_get(inner);
	json_object_put(object);
	return rc;
}

int qmp_hello(struct talk *t)
{
	struct json_object *greeting;
	int rc = read_object(t, &greeting);

	if (rc < 0)
		return rc;
	json_object_put(greeting);
	return qmp_ask(t, "qmp_capabilities", NULL, NULL);
}

int qmp_ask(struct talk *t, const char *command, struct json_object **answer, const char *format,
	    ...)
{
	char text[1024], arguments[512] = "";
	va_list args;
	int n, rc;

	if (format) {
		va_start(args, format);
		vsnprintf(arguments, sizeof(arguments), format, args);
		va_end(args);
	}
	n = snprintf(text, sizeof(text), "{\"execute\":\"%s\",\"arguments\":{%s}}\n", command,
		     arguments);
	rc = send_all(t, text, (size_t)n);
	return rc < 0 ? rc : take_answer(t, text, answer);
}

int qmp_give(struct talk *t, const char *name, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char text[128];
	int n = snprintf(text, sizeof(text),
			 "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"%s\"}}\n", name);
	struct iovec part = { text, (size_t)n };
	struct msghdr msg = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(int));
	if (sendmsg(t->fd, &msg, MSG_NOSIGNAL) != n)
		return -EIO;
	return take_answer(t, text, NULL);
}
