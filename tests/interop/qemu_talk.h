/* SPDX-License-Identifier: MIT */
#ifndef FPH_TESTS_QEMU_TALK_H
#define FPH_TESTS_QEMU_TALK_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

/*
 * QEMU's two languages.  Both are lines; no answer is waited for longer than
 * TALK_SECONDS.
 */
#define TALK_SECONDS 20
#define TALK_IRQS    32u

struct talk {
	int fd;
	size_t at;   /* first byte that was not looked at */
	size_t have; /* bytes in text */
	uint64_t raised[TALK_IRQS]; /* qtest: interrupt lines that were intercepted */
	char text[65536];
};

void talk_open(struct talk *talk, int fd);

/* Microseconds that never go back. */
uint64_t now_us(void);

/*
 * qtest: send one line, and take the number in the answer, if value is not NULL.
 * Returns 0; -EIO (no QEMU any more), -ETIMEDOUT, or -EINVAL (it does not like the line).
 */
__attribute__((format(printf, 3, 4))) int qtest_ask(struct talk *talk, uint64_t *value,
						    const char *format, ...);

/* qtest: wait for interrupt lines, at most so long.  Returns 0, -ETIMEDOUT or -EIO. */
int qtest_wait_irq(struct talk *talk, unsigned line, uint64_t count, int milliseconds);

/* QMP: take the greeting and leave the negotiating mode.  Returns as qmp_ask() does. */
int qmp_hello(struct talk *talk);

/*
 * QMP: one command, with its arguments as the inside of a JSON object, or NULL.
 * answer, if not NULL, is what came under "return" or "error"; the caller puts it.
 * Returns 0; -EREMOTEIO (an error of QEMU's), -EIO, -ETIMEDOUT, -EBADMSG (no JSON).
 */
__attribute__((format(printf, 4, 5))) int qmp_ask(struct talk *talk, const char *command,
						  struct json_object **answer,
						  const char *format, ...);

/* QMP: give QEMU a descriptor under a name.  Returns as qmp_ask() does. */
int qmp_give(struct talk *talk, const char *name, int fd);

#endif
