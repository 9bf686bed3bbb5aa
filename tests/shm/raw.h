/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SHM_RAW_H
#define TESTS_SHM_RAW_H

#include "shm/wire.h"
#include <stdbool.h>
#include <stddef.h>

/*
 * A client written by hand, so that it can be wrong.  raw_prepare() makes everything
 * right; the test then spoils what it likes before raw_send().
 */
struct raw {
	int sock;
	struct shm_request request;
	size_t len; /* bytes of it that are sent */
	int fds[64];
	unsigned fd_count;
	struct shm_driver *driver;
	unsigned char *ram;
	struct shm_answer answer;
	const unsigned char *pages; /* of an answer that brought them */
};

/* A region of 64 KiB at RAW_GPA, whose file is as long. */
#define RAW_GPA	  0x10000u
#define RAW_BYTES 0x10000u

void raw_prepare(struct raw *raw);
void raw_connect(struct raw *raw, const char *path);
/* Put another descriptor in a place of the list; the one there is closed. */
void raw_put_fd(struct raw *raw, unsigned at, int fd);
/* One message with the request as it is now; false: the other end is closed. */
bool raw_send(struct raw *raw);
/* Returns the answer's length, 0 at the end of the connection. */
size_t raw_answer(struct raw *raw);
/* Connect, send, and an answer that says status. */
void raw_expect(struct raw *raw, const char *path, int status);
/* Is our connection ended, within seconds? */
bool raw_is_dropped(struct raw *raw);
void raw_close(struct raw *raw);

/* An entry of the write ring as it is told, at its place; prod is not moved. */
void raw_entry(struct raw *raw, uint32_t at, uint32_t seq, uint32_t word, uint64_t value);
/* An honest write. */
void raw_write(struct raw *raw, uint32_t offset, unsigned width, uint64_t value);
void raw_prod(struct raw *raw, uint32_t prod);
void raw_kick(struct raw *raw);
/* Wait until that many entries took effect. */
bool raw_acked(struct raw *raw, uint32_t upto);
uint32_t raw_register(const struct raw *raw, uint32_t offset);
const struct shm_banks *raw_banks(const struct raw *raw);

#endif
