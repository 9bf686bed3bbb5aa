/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include "script.h"
#include "vfio_user/conn.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The stream: sizes, pieces, order, replies to nothing, ends. */

static void start(struct peer *p, unsigned loop_flags)
{
	peer_serve(p, loop_flags, NULL);
	peer_connect(p);
	cr_assert(peer_version(p) > 0);
}

static void expect_error(struct peer *p, uint16_t id, uint16_t command, uint32_t error)
{
	peer_pump(p);
	cr_assert(peer_receive(p), "no answer");
	cr_expect_eq(p->in.header.id, id);
	cr_expect_eq(p->in.header.command, command);
	cr_expect_eq(p->in.header.flags, VFIO_REPLY | VFIO_ERROR);
	cr_expect_eq(p->in.header.error, error);
	cr_expect_eq(p->in.len, 0u);
}

static void expect_alive(struct peer *p)
{
	cr_assert_eq(peer_ask(p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	cr_assert(!peer_receive(p), "one answer too many");
}

/* #75: a header that cannot be is answered, and the stream goes on behind it. */
BOTH(framing, answers_sizes_that_are_less_than_a_header)
{
	static struct peer p;

	start(&p, (unsigned)*kind);
	for (uint16_t size = 0; size < 16; size++) {
		struct vfio_header h = { size, VFIO_GET_INFO, size, 0, 0 };

		cr_assert(peer_send_bytes(&p, &h, sizeof(h), NULL, 0));
		expect_error(&p, size, VFIO_GET_INFO, EINVAL);
		expect_alive(&p);
	}
	peer_close(&p);
}

BOTH(framing, passes_over_a_message_that_is_too_long)
{
	static unsigned char zeros[1 << 16];
	struct vfio_header h = { 7, VFIO_REGION_WRITE, 16 + FPH_VFIO_BODY_MAX + 1, 0, 0 };
	uint32_t left = FPH_VFIO_BODY_MAX + 1;
	static struct peer p;

	start(&p, (unsigned)*kind);
	cr_assert(peer_send_bytes(&p, &h, sizeof(h), NULL, 0));
	expect_error(&p, 7, VFIO_REGION_WRITE, EINVAL);
	while (left) {
		uint32_t n = left < sizeof(zeros) ? left : sizeof(zeros);

		cr_assert(peer_send_bytes(&p, zeros, n, NULL, 0));
		left -= n;
		peer_pump(&p);
		cr_assert(!peer_receive(&p));
	}
	expect_alive(&p);
	h.flags = VFIO_NO_REPLY;
	h.size = UINT32_MAX;
	cr_assert(peer_send_bytes(&p, &h, sizeof(h), NULL, 0));
	peer_pump(&p);
	cr_assert(!peer_receive(&p), "who wants no answer gets none");
	peer_hang_up(&p);
	peer_close(&p);
}

/* The longest that there is. */
Test(framing, takes_a_body_of_the_greatest_length)
{
	static unsigned char bytes[sizeof(struct vfio_header) + FPH_VFIO_BODY_MAX];
	struct vfio_header h = { 9, VFIO_GET_INFO, sizeof(bytes), 0, 0 };
	struct vfio_info info = { .argsz = sizeof(info) };
	static struct peer p;

	start(&p, 0);
	memcpy(bytes, &h, sizeof(h));
	memcpy(bytes + sizeof(h), &info, sizeof(info));
	for (size_t at = 0; at < sizeof(bytes);) {
		size_t n = sizeof(bytes) - at < 60000 ? sizeof(bytes) - at : 60000;

		cr_assert(peer_send_bytes(&p, bytes + at, n, NULL, 0));
		at += n;
		peer_pump(&p);
	}
	cr_assert(peer_receive(&p));
	cr_expect_eq(p.in.header.flags, VFIO_REPLY);
	cr_expect_eq(p.in.len, sizeof(info));
	peer_close(&p);
}

/* ------------------------------------------------------------ pieces */

/* #76: QEMU's start, in pieces of every size. */
BOTH(framing, takes_messages_in_pieces)
{
	static const size_t pieces[] = { 1, 2, 3, 5, 7, 15, 16, 17, 64, 1000, 100000 };
	static struct peer p;
	struct script s;

	peer_serve(&p, (unsigned)*kind, NULL);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		peer_connect(&p);
		script_qemu(&s, &p);
		script_send(&p, &s, s.len, pieces[i]);
		cr_expect_eq(script_answers(&p), s.answered, "in pieces of %zu", pieces[i]);
		cr_expect_eq(fph_vfio_user_server_mem(p.server)->count, 1u);
		peer_hang_up(&p);
		script_close(&s);
	}
	cr_expect_eq(peer_stats(&p).refused, 0u);
	peer_close(&p);
}

/* #82: at every byte of it the client may be gone. */
BOTH(framing, bears_an_end_at_every_byte_of_a_start)
{
	static struct peer p;
	unsigned fds;
	struct script s;

	peer_serve(&p, (unsigned)*kind, NULL);
	script_qemu(&s, &p);
	fds = count_fds();
	for (size_t len = 0; len <= s.len; len++) {
		peer_connect(&p);
		script_send(&p, &s, len, len);
		peer_hang_up(&p);
		/* In other words, if there were answers that it did not read. */
		cr_assert_str_eq(p.why, p.why[10] == ':' ? "the client: Connection reset by peer" :
							   "the client closed the connection");
		cr_assert_eq(fph_vfio_user_server_mem(p.server)->count, 0u);
		cr_assert_eq(count_fds(), fds, "descriptors leak at %zu", len);
	}
	cr_assert_eq(mapped_bytes("fph-peer"), RAM_BYTES, "ours alone");
	script_close(&s);
	peer_close(&p);
}

/* Unread posted writes in the server's socket when the client goes; and the other way. */
Test(framing, bears_a_client_that_closes_its_half)
{
	static struct peer p;
	char byte;

	start(&p, 0);
	peer_post(&p, 0, 0x14, 1, 1);
	cr_assert_eq(shutdown(p.sock, SHUT_WR), 0);
	peer_pump(&p);
	cr_expect_eq(p.gone, 1u);
	cr_expect_eq(recv(p.sock, &byte, 1, MSG_DONTWAIT), 0);
	peer_close(&p);
}

/* ------------------------------------------------------------ order */

BOTH(framing, answers_in_order_whatever_the_ids)
{
	static const uint16_t ids[] = { 0, 0, 0, 65535, 3, 3, 2, 1, 1, 65535 };
	static struct peer p;

	start(&p, (unsigned)*kind);
	for (unsigned i = 0; i < 1000; i++) {
		struct vfio_region_access a = { .offset = i % 64, .region = 7, .count = 1 + i % 4 };

		p.id = (uint16_t)(ids[i % 10] - 1);
		peer_send(&p, VFIO_REGION_READ, 0, &a, sizeof(a), NULL, 0);
		if (i % 100 < 99)
			continue;
		peer_pump(&p);
		for (unsigned k = i - 99; k <= i; k++) {
			cr_assert(peer_receive(&p));
			cr_assert_eq(p.in.header.id, ids[k % 10]);
			cr_assert_eq(p.in.len, 16 + 1 + k % 4);
			cr_assert_eq(p.in.body[0], k % 64);
		}
		cr_assert(!peer_receive(&p));
	}
	peer_close(&p);
}

/* What nobody asked for: said to be wrong, but an error is not answered by an error. */
Test(framing, refuses_replies_to_nothing)
{
	static struct peer p;
	unsigned char body[64] = { 0 };

	start(&p, 0);
	for (unsigned command = 0; command < 20; command++) {
		peer_send(&p, command, VFIO_REPLY, body, sizeof(body), NULL, 0);
		expect_error(&p, p.id, (uint16_t)command, EINVAL);
		peer_send(&p, command, VFIO_REPLY | VFIO_ERROR, NULL, 0, NULL, 0);
		peer_send(&p, command, VFIO_REPLY | VFIO_NO_REPLY, NULL, 0, NULL, 0);
		peer_pump(&p);
		cr_assert(!peer_receive(&p));
	}
	expect_alive(&p);
	peer_close(&p);
}

/* ------------------------------------------------------------ a slow reader */

/*
 * #64, #85: a client that asks and does not listen.  No more is read of it than answers
 * find room, and when it listens all of them are there, in order.
 */
BOTH(framing, waits_for_a_client_that_does_not_read)
{
	struct vfio_region_access a = { .offset = 0, .region = 0, .count = 0x4000 };
	struct vfio_header h = { 0, VFIO_REGION_READ, sizeof(h) + sizeof(a), 0, 0 };
	unsigned char bytes[sizeof(h) + sizeof(a)];
	unsigned sent = 0, idle = 0, got;
	static struct peer p;

	start(&p, (unsigned)*kind);
	while (idle < 3) {
		h.id = (uint16_t)sent;
		memcpy(bytes, &h, sizeof(h));
		memcpy(bytes + sizeof(h), &a, sizeof(a));
		if (peer_send_bytes(&p, bytes, sizeof(bytes), NULL, 0)) {
			sent++;
			idle = 0;
			cr_assert(sent < 100000, "it takes all there is");
		} else {
			cr_assert_eq(errno, EAGAIN);
			idle++;
		}
		peer_pump(&p);
	}
	cr_expect(sent > 10);
	cr_assert(fph_vfio_user_server_connected(p.server));
	cr_expect(peer_stats(&p).requests < sent, "some were not read");
	for (got = 0; got < sent; got++) {
		for (unsigned tries = 0; !peer_receive(&p); tries++) {
			cr_assert(tries < 10, "answer %u of %u does not come", got, sent);
			peer_pump(&p);
		}
		cr_assert_eq(p.in.header.id, (uint16_t)got);
		cr_assert_eq(p.in.len, 16u + 0x4000);
	}
	expect_alive(&p);
	peer_close(&p);
}

BOTH(framing, lets_go_of_a_client_that_leaves_without_reading)
{
	struct vfio_region_access a = { .offset = 0, .region = 0, .count = 0x4000 };
	static struct peer p;

	start(&p, (unsigned)*kind);
	for (unsigned i = 0; i < 64; i++)
		peer_send(&p, VFIO_REGION_READ, 0, &a, sizeof(a), NULL, 0);
	peer_pump(&p);
	cr_expect(peer_stats(&p).requests < 40, "of 65, with answers of 16 KiB: %lu",
		  (unsigned long)peer_stats(&p).requests);
	peer_hang_up(&p);
	cr_expect_neq(p.why[0], '\0');
	peer_connect(&p);
	cr_assert(peer_version(&p) > 0);
	expect_alive(&p);
	peer_close(&p);
}

/* Everything at once and at random, for the address sanitizer to judge. */
Test(framing, bears_random_messages)
{
	static struct peer p;
	unsigned char body[128];
	unsigned fds;
	int rc;

	peer_serve(&p, 0, NULL);
	srand(7);
	fds = count_fds();
	for (unsigned round = 0; round < 200; round++) {
		peer_connect(&p);
		if (round % 4)
			cr_assert(peer_version(&p) > 0);
		for (unsigned i = 0; i < 50; i++) {
			size_t len = (size_t)rand() % sizeof(body);
			int some[3] = { p.file, p.file, p.file };

			for (size_t k = 0; k < len; k++)
				body[k] = rand() % 3 ? 0 : (unsigned char)rand();
			peer_send(&p, (unsigned)rand() % 20, rand() % 4 ? 0 : VFIO_NO_REPLY, body,
				  len, some, (unsigned)rand() % 4);
			if (rand() % 4 == 0)
				peer_pump(&p);
		}
		peer_pump(&p);
		while (peer_receive(&p))
			;
		cr_assert(fph_vfio_user_server_connected(p.server));
		/* By chance a version was agreed where none was sent on purpose. */
		rc = peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0);
		cr_assert(rc == 0 || (rc == -EINVAL && round % 4 == 0));
		peer_hang_up(&p);
		cr_assert_eq(count_fds(), fds);
	}
	peer_close(&p);
}
