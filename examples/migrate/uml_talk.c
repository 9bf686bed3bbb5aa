/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include "uml_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define QUIET_MS 30000
#define TOTAL_MS 600000 /* however much it says */

uint64_t uml_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Returns 0 when there is no more for now, and stops listening at the end of file. */
static size_t take(struct guest *guest, int fd, char *buf, size_t max)
{
	ssize_t n = read(fd, buf, max);

	if (n > 0) {
		guest->talk.heard_ms = uml_now_ms();
		return (size_t)n;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		fph_loop_remove(guest->loop, fd);
	return 0;
}

static void console_ready(void *ctx)
{
	struct guest *guest = ctx;
	struct uml_talk *talk = &guest->talk;
	char buf[sizeof(talk->tail) / 2];
	size_t n = take(guest, guest->process.console, buf, sizeof(buf));
	size_t room = sizeof(talk->tail) - 1 - talk->tail_len;

	if (guest->config.verbose)
		fwrite(buf, 1, n, stderr);
	if (n > room) {
		memmove(talk->tail, talk->tail + n - room, talk->tail_len - (n - room));
		talk->tail_len -= n - room;
	}
	for (size_t i = 0; i < n; i++)
		if (buf[i] && buf[i] != '\r')
			talk->tail[talk->tail_len++] = buf[i];
	talk->tail[talk->tail_len] = 0;
}

/* "NUMBER STATUS OUTPUT"; what is not the answer that is waited for is too late. */
static void heed(struct uml_talk *talk)
{
	char *at = talk->line;
	unsigned long id = strtoul(at, &at, 10);
	unsigned long status = strtoul(at, &at, 10);

	if (at == talk->line || id != talk->id || talk->answered)
		return;
	at += *at == ' ';
	memcpy(talk->answer, at, strlen(at) + 1);
	talk->status = (int)(status & 0xff);
	talk->answered = true;
}

static void command_ready(void *ctx)
{
	struct guest *guest = ctx;
	struct uml_talk *talk = &guest->talk;
	char buf[512];
	size_t n = take(guest, guest->process.command, buf, sizeof(buf));

	for (size_t i = 0; i < n; i++) {
		if (buf[i] == '\n') {
			talk->line[talk->line_len] = 0;
			heed(talk);
			talk->line_len = 0;
		} else if (buf[i] && buf[i] != '\r' &&
			   talk->line_len < sizeof(talk->line) - 1) {
			talk->line[talk->line_len++] = buf[i];
		}
	}
}

static void leash_ready(void *ctx)
{
	struct guest *guest = ctx;

	guest->dead = true;
	fph_loop_remove(guest->loop, guest->process.leash);
}

int uml_talk_start(struct guest *guest)
{
	struct uml_process *process = &guest->process;
	int err;

	guest->talk = (struct uml_talk){.heard_ms = uml_now_ms()};
	guest->dead = false;
	err = fph_loop_add(guest->loop, process->console, console_ready, guest);
	if (!err)
		err = fph_loop_add(guest->loop, process->command, command_ready, guest);
	if (!err)
		err = fph_loop_add(guest->loop, process->leash, leash_ready, guest);
	return err;
}

void uml_talk_stop(struct guest *guest)
{
	if (!guest->process.keeper)
		return;
	fph_loop_remove(guest->loop, guest->process.console);
	fph_loop_remove(guest->loop, guest->process.command);
	fph_loop_remove(guest->loop, guest->process.leash);
}

int uml_wait(struct guest *guest, const bool *done, int quiet_ms)
{
	uint64_t start = uml_now_ms();

	while (!*done) {
		uint64_t now = uml_now_ms();
		uint64_t since = guest->talk.heard_ms > start ? guest->talk.heard_ms : start;
		uint64_t end = since + (uint64_t)quiet_ms;
		int n;

		if (guest->dead)
			return -ENOTCONN;
		if (interrupted())
			return -EINTR;
		if (now >= end || now >= start + TOTAL_MS)
			return -ETIMEDOUT;
		n = fph_loop_run(guest->loop, (int)(end - now));
		if (n < 0)
			return n;
	}
	return 0;
}

int uml_command(struct guest *guest, const char *command, char *answer, size_t max)
{
	struct uml_talk *talk = &guest->talk;
	char line[1024];
	int err, len;

	if (!guest->process.keeper || guest->dead)
		return -ENOTCONN;
	len = snprintf(line, sizeof(line), "%u %s\n", ++talk->id, command);
	if (len < 0 || (size_t)len >= sizeof(line))
		return -E2BIG;
	talk->answered = false;
	if (send(guest->process.command, line, (size_t)len, MSG_NOSIGNAL) != len)
		return -ENOTCONN;
	err = uml_wait(guest, &talk->answered, QUIET_MS);
	if (err)
		return err;
	if (answer && max)
		snprintf(answer, max, "%s", talk->answer);
	return talk->status;
}

const char *uml_last_words(const struct guest *guest)
{
	const char *at = guest->talk.tail + guest->talk.tail_len;

	for (int lines = 0; at > guest->talk.tail; at--)
		if (at[-1] == '\n' && ++lines > 8)
			break;
	return at;
}
