/* SPDX-License-Identifier: MIT */
#include "bell.h"
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* ------------------------------------------------------------ add and remove */

BOTH(loop_edit, says_what_is_wrong_with_an_add_or_remove)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { .fd = bell_make() };

	cr_assert_eq(fph_loop_add(loop, -1, bell_count, &bell), -EBADF);
	cr_assert_eq(fph_loop_add(loop, 1000, bell_count, &bell), -EBADF);
	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), -EEXIST);
	cr_assert_eq(fph_loop_remove(loop, bell.fd), 0);
	cr_assert_eq(fph_loop_remove(loop, bell.fd), -ENOENT);
	cr_assert_eq(fph_loop_remove(loop, -1), -ENOENT);
	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	fph_loop_close(loop);
}

BOTH(loop_edit, does_not_call_what_was_removed)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { .fd = bell_make() };

	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	cr_assert_eq(fph_loop_run(loop, 0), 0);
	bell_ring(bell.fd);
	cr_assert_eq(fph_loop_remove(loop, bell.fd), 0);
	cr_assert_eq(fph_loop_run(loop, 0), 0);
	cr_assert_eq(bell.calls, 0u);
	fph_loop_close(loop);
}

/* A completion under way for the old descriptor is not the new one's. */
BOTH(loop_edit, does_not_take_a_descriptor_for_an_older_one_of_the_same_number)
{
	struct fph_loop *loop = loop_of_kind(*kind);

	for (unsigned i = 0; i < 200; i++) {
		struct bell old = { .fd = bell_make() }, new = { 0 };

		cr_assert_eq(fph_loop_add(loop, old.fd, bell_count, &old), 0);
		cr_assert_eq(fph_loop_run(loop, 0), 0);
		bell_ring(old.fd);
		cr_assert_eq(fph_loop_remove(loop, old.fd), 0);
		close(old.fd);
		new.fd = bell_make();
		cr_assert_eq(new.fd, old.fd);
		cr_assert_eq(fph_loop_add(loop, new.fd, bell_count, &new), 0);
		cr_assert_eq(fph_loop_run(loop, 0), 0);
		cr_assert_eq(old.calls + new.calls, 0u);
		cr_assert_eq(fph_loop_remove(loop, new.fd), 0);
		close(new.fd);
	}
	fph_loop_close(loop);
}

/* The loop must not keep the file open behind the back of a caller that closes it. */
BOTH(loop_edit, lets_go_of_a_socket_at_once_when_it_is_removed)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { 0 };
	int pair[2];
	char byte;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	bell.fd = pair[0];
	cr_assert_eq(fph_loop_add(loop, bell.fd, bell_count, &bell), 0);
	cr_assert_eq(fph_loop_run(loop, 0), 0);
	cr_assert_eq(fph_loop_remove(loop, bell.fd), 0);
	close(pair[0]);
	cr_assert_eq(read(pair[1], &byte, 1), 0, "the other end does not see the end");
	fph_loop_close(loop);
}

static void remove_self(void *ctx)
{
	struct bell *bell = ctx;

	bell->calls++;
	cr_assert_eq(fph_loop_remove(bell->loop, bell->fd), 0);
	close(bell->fd);
}

static void remove_other(void *ctx)
{
	struct bell *bell = ctx;

	bell->calls++;
	if (bell->other->fd >= 0) {
		cr_assert_eq(fph_loop_remove(bell->loop, bell->other->fd), 0);
		bell->other->fd = -1;
		bell->other->other->fd = -1; /* so that nobody removes twice */
	}
}

BOTH(loop_edit, lets_a_callback_remove_its_own_descriptor)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { .fd = bell_make(), .loop = loop };

	cr_assert_eq(fph_loop_add(loop, bell.fd, remove_self, &bell), 0);
	bell_ring(bell.fd);
	cr_assert_eq(fph_loop_run(loop, 1000), 1);
	cr_assert_eq(fph_loop_run(loop, 0), 0);
	cr_assert_eq(bell.calls, 1u);
	fph_loop_close(loop);
}

BOTH(loop_edit, does_not_call_what_an_earlier_callback_of_the_same_run_removed)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell a = { .fd = bell_make(), .loop = loop }, b = { .fd = bell_make(), .loop = loop };

	a.other = &b;
	b.other = &a;
	bell_ring(a.fd);
	bell_ring(b.fd);
	cr_assert_eq(fph_loop_add(loop, a.fd, remove_other, &a), 0);
	cr_assert_eq(fph_loop_add(loop, b.fd, remove_other, &b), 0);
	cr_assert_eq(fph_loop_run(loop, 1000), 1);
	cr_assert_eq(a.calls + b.calls, 1u);
	fph_loop_close(loop);
}

static struct bell many[40];

static void add_many(void *ctx)
{
	struct bell *bell = ctx;

	bell->calls++;
	cr_assert_eq(eventfd_read(bell->fd, &(eventfd_t){ 0 }), 0);
	for (unsigned i = 0; i < 40; i++) {
		many[i] = (struct bell){ .fd = bell_make(), .take = 8 };
		bell_ring(many[i].fd);
		cr_assert_eq(fph_loop_add(bell->loop, many[i].fd, bell_count, &many[i]), 0);
	}
}

/* The tables grow under the feet of the run. */
BOTH(loop_edit, lets_a_callback_add_descriptors)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { .fd = bell_make(), .loop = loop };

	cr_assert_eq(fph_loop_add(loop, bell.fd, add_many, &bell), 0);
	bell_ring(bell.fd);
	cr_assert_eq(fph_loop_run(loop, 1000), 1);
	cr_assert_eq(fph_loop_run(loop, 1000), 40);
	for (unsigned i = 0; i < 40; i++)
		cr_assert_eq(many[i].calls, 1u);
	fph_loop_close(loop);
}

static void replace_self(void *ctx)
{
	struct bell *bell = ctx;

	bell->calls++;
	cr_assert_eq(fph_loop_remove(bell->loop, bell->fd), 0);
	close(bell->fd);
	bell->other->fd = bell_make();
	cr_assert_eq(bell->other->fd, bell->fd);
	cr_assert_eq(fph_loop_add(bell->loop, bell->other->fd, bell_count, bell->other), 0);
}

BOTH(loop_edit, lets_a_callback_put_another_in_its_place)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell next = { .take = 8 }, bell = { .fd = bell_make(), .loop = loop, .other = &next };

	cr_assert_eq(fph_loop_add(loop, bell.fd, replace_self, &bell), 0);
	bell_ring(bell.fd);
	cr_assert_eq(fph_loop_run(loop, 1000), 1);
	cr_assert_eq(fph_loop_run(loop, 0), 0);
	bell_ring(next.fd);
	cr_assert_eq(fph_loop_run(loop, 1000), 1);
	cr_assert_eq(next.calls, 1u);
	fph_loop_close(loop);
}

static void run_again(void *ctx)
{
	struct bell *bell = ctx;

	bell->calls++;
	cr_assert_eq(fph_loop_run(bell->loop, 0), -EBUSY);
}

BOTH(loop_edit, refuses_to_run_inside_of_a_callback)
{
	struct fph_loop *loop = loop_of_kind(*kind);
	struct bell bell = { .fd = bell_make(), .loop = loop };

	cr_assert_eq(fph_loop_add(loop, bell.fd, run_again, &bell), 0);
	bell_ring(bell.fd);
	cr_assert_eq(fph_loop_run(loop, 1000), 1);
	cr_assert_eq(fph_loop_run(loop, 1000), 1);
	cr_assert_eq(bell.calls, 2u);
	fph_loop_close(loop);
}
