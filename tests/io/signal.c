/* SPDX-License-Identifier: MIT */
#include "witness.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* ------------------------------------------------------------ kicks */

/* #60, #78: what cannot be a kick is not watched, read or kept. */
Test(signal, kick_must_be_an_eventfd)
{
	struct rig rig;
	struct front front;
	int wrong[5], pair[2], pipes[2];
	unsigned before;

	witness_open(&rig, &front);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	cr_assert_eq(pipe(pipes), 0);
	wrong[0] = pair[0];
	wrong[1] = pipes[0];
	wrong[2] = open("/dev/zero", O_RDONLY);
	wrong[3] = open("/", O_RDONLY | O_DIRECTORY);
	wrong[4] = front.memfd;
	before = count_fds();
	for (unsigned i = 0; i < 5; i++)
		cr_assert_eq(front_give_fd(&front, VU_SET_VRING_KICK, 0, wrong[i]), 1, "kind %u", i);
	cr_assert_eq(count_fds(), before);
	witness_close(&rig, &front);
}

/* An eventfd by its looks, but epoll descriptors cannot be read. */
Test(signal, kick_that_cannot_be_read_ends_the_connection)
{
	struct rig rig;
	struct front front;
	struct epoll_event ready = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC), bell = eventfd(1, EFD_CLOEXEC);
	unsigned before;

	before = count_fds();
	witness_open(&rig, &front);
	cr_assert_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, bell, &ready), 0);
	cr_assert_eq(front_give_fd(&front, VU_SET_VRING_KICK, 0, epoll), 0);
	cr_assert(front_is_dropped(&front));
	cr_assert_not_null(strstr(rig.why, "the kick descriptor of ring 0 cannot be read"), "%s",
			   rig.why);
	witness_close(&rig, &front);
	cr_assert_eq(count_fds(), before);
}

/* #24, #67: counted or not, a storm is one look at the ring for each turn. */
Test(signal, kicked_in_a_storm_is_looked_at_once_a_turn)
{
	struct rig rig;
	struct front front;

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	((uint16_t *)(void *)(front.ram + 0x101000))[1] = 2;
	for (unsigned i = 0; i < 10000; i++)
		cr_assert_eq(eventfd_write(front.kick[0], 1000), 0);
	cr_assert_eq(fph_loop_run(rig.loop, 1000), 1);
	cr_assert_eq(fph_loop_run(rig.loop, 0), 0);
	cr_assert_eq(rig.inflated, 8192u);
	witness_close(&rig, &front);
}

static void steal(void *ctx)
{
	eventfd_t count;

	cr_assert_eq(eventfd_read(*(int *)ctx, &count), 0);
}

/*
 * The front end, whose eventfd blocks, takes the kick back between the loop's look and
 * the read: the back end must not be caught in that read.  The alarm is the judge.
 */
Test(signal, whose_kick_is_taken_back_in_time_does_not_hold_up_the_back_end)
{
	struct rig rig;
	struct front front;
	int first[2];

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	/* A descriptor that is called before the kick, in the same turn. */
	cr_assert_eq(pipe(first), 0);
	cr_assert_eq(fph_loop_add(rig.loop, first[0], steal, &front.kick[0]), 0);
	witness_start(&front);
	cr_assert_eq(fph_loop_run(rig.loop, 0), 0);
	cr_assert_eq(write(first[1], "x", 1), 1);
	cr_assert_eq(eventfd_write(front.kick[0], 1), 0);
	alarm(10);
	cr_assert_eq(fph_loop_run(rig.loop, 0), 2);
	alarm(0);
	cr_assert_eq(fph_loop_remove(rig.loop, first[0]), 0);
	cr_assert_eq(rig.gone, 0u);
	witness_close(&rig, &front);
}

Test(signal, gets_a_new_kick_descriptor_while_it_runs)
{
	struct rig rig;
	struct front front;
	unsigned before;
	int old;

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	before = count_fds();
	old = front.kick[0];
	front.kick[0] = eventfd(0, EFD_CLOEXEC);
	cr_assert_eq(witness_step(&front, 3), 0);
	close(old);
	cr_assert_eq(count_fds(), before);
	((uint16_t *)(void *)(front.ram + 0x101000))[1] = 2;
	cr_assert_eq(eventfd_write(front.kick[0], 1), 0);
	rig_pump(&rig);
	cr_assert_eq(rig.inflated, 8192u);
	witness_close(&rig, &front);
}

/* ------------------------------------------------------------ calls */

static void run_with_call(struct front *front, int call)
{
	cr_assert_eq(witness_features(front, VU_F_PROTOCOL_FEATURES), 0);
	cr_assert_eq(front_give_fd(front, VU_SET_VRING_CALL, 0, call), 0);
	alarm(10);
	witness_start(front);
	alarm(0);
	cr_assert_eq(front->rig->inflated, 4096u);
	cr_assert_eq(front->rig->gone, 0u);
}

/* #67, #86: full, and made to block by the front end that holds its other end. */
Test(signal, call_that_is_full_and_blocks_does_not_hold_up_the_back_end)
{
	struct rig rig;
	struct front front;
	int call = eventfd(0, EFD_CLOEXEC);

	witness_open(&rig, &front);
	cr_assert_eq(eventfd_write(call, UINT64_MAX - 1), 0);
	run_with_call(&front, call);
	close(call);
	witness_close(&rig, &front);
}

Test(signal, call_socket_that_is_full_and_blocks_does_not_hold_up_the_back_end)
{
	struct rig rig;
	struct front front;
	char bytes[1024] = { 0 };
	int pair[2];

	witness_open(&rig, &front);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	while (send(pair[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	run_with_call(&front, pair[0]);
	close(pair[0]);
	close(pair[1]);
	witness_close(&rig, &front);
}

/* #67: and no SIGPIPE, which would end the process that embeds the back end. */
Test(signal, call_socket_without_another_end_is_no_matter)
{
	struct rig rig;
	struct front front;
	int pair[2];

	witness_open(&rig, &front);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	close(pair[1]);
	run_with_call(&front, pair[0]);
	close(pair[0]);
	witness_close(&rig, &front);
}

Test(signal, call_must_be_an_eventfd_or_a_socket)
{
	struct rig rig;
	struct front front;
	int wrong[4], pipes[2];
	unsigned before;

	witness_open(&rig, &front);
	cr_assert_eq(pipe(pipes), 0);
	wrong[0] = pipes[1];
	wrong[1] = open("/dev/null", O_WRONLY);
	wrong[2] = open("/", O_RDONLY | O_DIRECTORY);
	wrong[3] = front.memfd;
	before = count_fds();
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(front_give_fd(&front, VU_SET_VRING_CALL, 0, wrong[i]), 1, "kind %u", i);
	cr_assert_eq(count_fds(), before);
	witness_close(&rig, &front);
}

Test(signal, call_that_comes_late_gets_the_interrupt_that_was_owed)
{
	struct rig rig;
	struct front front;
	eventfd_t count = 0;
	int call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	cr_assert_eq(rig.inflated, 4096u);
	cr_assert_eq(front_give_fd(&front, VU_SET_VRING_CALL, 0, call), 0);
	cr_assert_eq(eventfd_read(call, &count), 0);
	cr_assert_eq(count, 1u);
	/* Once is enough. */
	cr_assert_eq(front_give_fd(&front, VU_SET_VRING_CALL, 0, call), 0);
	cr_assert_lt(eventfd_read(call, &count), 0);
	close(call);
	witness_close(&rig, &front);
}

Test(signal, call_and_error_descriptors_are_replaced_and_taken_back)
{
	struct rig rig;
	struct front front;
	unsigned before;
	int call = eventfd(0, EFD_CLOEXEC);

	witness_open(&rig, &front);
	before = count_fds();
	for (unsigned i = 0; i < 10; i++) {
		cr_assert_eq(front_give_fd(&front, VU_SET_VRING_CALL, 1, call), 0);
		cr_assert_eq(count_fds(), before + 1);
		cr_assert_eq(front_give_fd(&front, VU_SET_VRING_ERR, 1, call), 0);
		cr_assert_eq(count_fds(), before + 1);
	}
	cr_assert_eq(front_ask_u64(&front, VU_SET_VRING_ERR, VU_RING_NO_FD | 1), 0);
	cr_assert_eq(front_ask_u64(&front, VU_SET_VRING_CALL, VU_RING_NO_FD | 1), 0);
	cr_assert_eq(count_fds(), before);
	close(call);
	witness_close(&rig, &front);
}

/* ------------------------------------------------------------ the channel */

static unsigned drain_channel(struct front *front)
{
	uint32_t irq;

	front->config_changes = 0;
	front_bus(front).ops->take_irq(front, &irq);
	return front->config_changes;
}

/* #85: the front end does not read its channel. */
Test(signal, channel_that_is_full_does_not_hold_up_the_back_end)
{
	struct rig rig;
	struct front front;
	unsigned seen;

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	alarm(30);
	for (uint32_t i = 1; i <= 20000; i++)
		cr_assert_eq(fph_device_set_num_pages(rig.device, i), 0);
	alarm(0);
	seen = drain_channel(&front);
	cr_assert_gt(seen, 0u);
	cr_assert_lt(seen, 20000u, "the channel was never full: this proves nothing");
	/* What did not fit is owed, and sent as soon as the front end is heard of. */
	cr_assert_eq(front_ask(&front, VU_SET_OWNER, NULL, 0, NULL, 0), 0);
	cr_assert_eq(drain_channel(&front), 1u);
	cr_assert_eq(front_ask(&front, VU_SET_OWNER, NULL, 0, NULL, 0), 0);
	cr_assert_eq(drain_channel(&front), 0u);
	witness_close(&rig, &front);
}

Test(signal, channel_that_is_closed_at_the_other_end_is_no_matter)
{
	struct rig rig;
	struct front front;
	unsigned before;

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	before = count_fds();
	close(front.channel);
	front.channel = -1;
	cr_assert_eq(fph_device_set_num_pages(rig.device, 1), 0);
	cr_assert_eq(count_fds(), before - 2);
	cr_assert_eq(fph_device_set_num_pages(rig.device, 2), 0);
	cr_assert_eq(front_ask(&front, VU_SET_OWNER, NULL, 0, NULL, 0), 0);
	witness_close(&rig, &front);
}

Test(signal, channel_on_which_the_front_end_talks_is_not_listened_to)
{
	struct rig rig;
	struct front front;
	const struct vu_header reply = { VU_BACKEND_CONFIG_CHANGE_MSG, VU_VERSION | VU_REPLY, 8 };

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	while (send(front.channel, &reply, sizeof(reply), MSG_DONTWAIT) > 0)
		;
	cr_assert_eq(fph_device_set_num_pages(rig.device, 1), 0);
	cr_assert_eq(drain_channel(&front), 1u);
	rig_pump(&rig);
	cr_assert_eq(rig.gone, 0u);
	witness_close(&rig, &front);
}

/* The specification: no message to the front end while all rings are stopped. */
Test(signal, channel_is_silent_while_no_ring_runs)
{
	struct rig rig;
	struct front front;

	witness_open(&rig, &front);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_ENABLE, 0, 0), 0);
	drain_channel(&front);
	cr_assert_eq(fph_device_set_num_pages(rig.device, 1), 0);
	cr_assert_eq(drain_channel(&front), 0u);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_ENABLE, 0, 1), 0);
	cr_assert_eq(drain_channel(&front), 1u);
	witness_close(&rig, &front);
}

Test(signal, channel_is_replaced)
{
	struct rig rig;
	struct front front;
	unsigned before;
	int pair[2];

	witness_open(&rig, &front);
	before = count_fds();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	cr_assert_eq(front_ask(&front, VU_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1), 0);
	close(pair[1]);
	close(front.channel);
	front.channel = pair[0];
	cr_assert_eq(count_fds(), before);
	cr_assert_eq(witness_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	witness_start(&front);
	cr_assert_eq(fph_device_set_num_pages(rig.device, 1), 0);
	cr_assert_geq(drain_channel(&front), 1u);
	witness_close(&rig, &front);
}
