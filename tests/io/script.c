/* SPDX-License-Identifier: MIT */
#include "script.h"
#include <criterion/criterion.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static void say(struct script *s, uint32_t request, const void *body, uint32_t size, int fd)
{
	struct vu_header head = { request, VU_VERSION | VU_NEED_REPLY, size };

	s->messages[s->count].at = s->len;
	s->messages[s->count].size = sizeof(head) + size;
	s->messages[s->count++].fd = fd;
	memcpy(s->bytes + s->len, &head, sizeof(head));
	if (size)
		memcpy(s->bytes + s->len + sizeof(head), body, size);
	s->len += sizeof(head) + size;
}

static void say_u64(struct script *s, uint32_t request, uint64_t value, int fd)
{
	say(s, request, &value, 8, fd);
}

static void say_state(struct script *s, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_ring_state state = { index, num };

	say(s, request, &state, sizeof(state), -1);
}

static int make_memfd(void)
{
	int fd = memfd_create("fph-guest-ram", MFD_CLOEXEC);

	cr_assert(fd >= 0 && ftruncate(fd, FRONT_BYTES) == 0);
	return fd;
}

void script_uml(struct script *s, const int fds[SCRIPT_FDS])
{
	struct vu_mem_table table = { .count = 1, .regions = { { 0x3000, FRONT_BYTES - 0x3000,
								 0x3000, 0x3000 } } };

	memset(s, 0, sizeof(*s));
	say(s, VU_SET_OWNER, NULL, 0, -1);
	say(s, VU_GET_FEATURES, NULL, 0, -1);
	say(s, VU_GET_PROTOCOL_FEATURES, NULL, 0, -1);
	say_u64(s, VU_SET_PROTOCOL_FEATURES, 1 << 3 | 1 << 5 | 1 << 9, -1);
	say(s, VU_SET_BACKEND_REQ_FD, NULL, 0, fds[0]);
	say_u64(s, VU_SET_FEATURES, UINT64_C(0x14000000a), -1);
	say(s, VU_SET_MEM_TABLE, &table, 8 + 64, fds[1]);
	for (unsigned i = 0; i < 4; i++) {
		struct vu_ring_addr addr = { .index = i, .desc = 0x10000 + i * 0x4000,
					     .avail = 0x11000 + i * 0x4000,
					     .used = 0x12000 + i * 0x4000 };

		say_u64(s, VU_SET_VRING_CALL, i, fds[2]);
		say_state(s, VU_SET_VRING_NUM, i, 256);
		say_state(s, VU_SET_VRING_BASE, i, 0);
		say(s, VU_SET_VRING_ADDR, &addr, sizeof(addr), -1);
	}
	for (unsigned i = 0; i < 4; i++) {
		say_u64(s, VU_SET_VRING_KICK, i, fds[3]);
		say_state(s, VU_SET_VRING_ENABLE, i, 1);
	}
}

void script_fds(int fds[SCRIPT_FDS])
{
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fds[0] = pair[0];
	fds[4] = pair[1];
	fds[1] = make_memfd();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fds[2] = pair[0];
	fds[5] = pair[1];
	fds[3] = eventfd(0, EFD_CLOEXEC);
	cr_assert(fds[3] >= 0);
}

void script_close(const int fds[SCRIPT_FDS])
{
	for (unsigned i = 0; i < SCRIPT_FDS; i++)
		close(fds[i]);
}

void script_deliver(struct front *front, const struct script *s, size_t upto, size_t piece,
		    bool late, void (*turn)(struct rig *rig))
{
	for (unsigned m = 0; m < s->count; m++) {
		size_t end = s->messages[m].at + s->messages[m].size;

		for (size_t at = s->messages[m].at; at < end && at < upto; at += piece) {
			size_t len = end - at < piece ? end - at : piece;
			bool mine = late ? at + len == end : at == s->messages[m].at;

			if (at + len > upto)
				len = upto - at;
			front_raw(front, s->bytes + at, len, &s->messages[m].fd,
				  mine && s->messages[m].fd >= 0 ? 1 : 0);
			turn(front->rig);
		}
	}
}
