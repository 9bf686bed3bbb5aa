/* SPDX-License-Identifier: MIT */
#include "front.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Rings and their descriptors.  The inflate queue is the witness: its ring holds one
 * buffer from the start, and the hook sees it in the moment the ring runs.
 */
#define RING_GPA (FRONT_GPA + 0x100000)
#define PAGE_GPA (FRONT_GPA + 0x200000)

static void fill_ring(struct front *front)
{
	uint32_t pfn = (uint32_t)(PAGE_GPA / 4096);
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc = { RING_GPA + 0x3000, 4, 0, 0 };
	const uint16_t avail[3] = { 0, 1, 0 };

	memcpy(front->ram + 0x100000, &desc, sizeof(desc));
	memcpy(front->ram + 0x101000, avail, sizeof(avail));
	memset(front->ram + 0x102000, 0, 4096);
	memcpy(front->ram + 0x103000, &pfn, sizeof(pfn));
}

static int set_features(struct front *front, uint64_t more)
{
	return front_ask_u64(front, VU_SET_FEATURES,
			     FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT | more);
}

static int give_fd(struct front *front, uint32_t request, uint64_t index, int fd)
{
	return front_ask(front, request, &index, sizeof(index), &fd, 1);
}

static int set_addr(struct front *front, uint64_t desc, uint64_t avail, uint64_t used)
{
	uint64_t user = (uintptr_t)front->ram - FRONT_GPA;
	struct vu_ring_addr addr = { .index = 0, .desc = user + desc, .avail = user + avail,
				     .used = user + used };

	return front_ask(front, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

/* The steps that make a ring run, by number. */
#define STEPS 5
static int step(struct front *front, unsigned which)
{
	switch (which) {
	case 0:
		return front_ask_state(front, VU_SET_VRING_NUM, 0, 16);
	case 1:
		return set_addr(front, RING_GPA, RING_GPA + 0x1000, RING_GPA + 0x2000);
	case 2:
		return front_ask_state(front, VU_SET_VRING_BASE, 0, 0);
	case 3:
		return give_fd(front, VU_SET_VRING_KICK, 0, front->kick[0]);
	case 4:
		return front_ask_state(front, VU_SET_VRING_ENABLE, 0, 1);
	default:
		return set_features(front, VU_F_PROTOCOL_FEATURES);
	}
}

static void start_ring(struct front *front)
{
	for (unsigned i = 0; i < STEPS; i++)
		cr_assert_eq(step(front, i), 0);
}

static void open_all(struct rig *rig, struct front *front)
{
	rig_open(rig, 0, NULL);
	front_open(front, rig, FRONT_SLOTS);
	front->kick[0] = eventfd(0, EFD_CLOEXEC);
	fill_ring(front);
}

static void close_all(struct rig *rig, struct front *front)
{
	front_close(front);
	rig_close(rig);
}

/* ------------------------------------------------------------ order */

/* Next permutation of n small numbers; false after the last one. */
static bool permute(unsigned *p, unsigned n)
{
	unsigned i = n - 1, j = n - 1, t;

	while (i > 0 && p[i - 1] >= p[i])
		i--;
	if (i == 0)
		return false;
	while (p[j] <= p[i - 1])
		j--;
	t = p[i - 1], p[i - 1] = p[j], p[j] = t;
	for (j = n - 1; i < j; i++, j--)
		t = p[i], p[i] = p[j], p[j] = t;
	return true;
}

/* SET_FEATURES is one of the messages: 720 orders. */
Test(ring, starts_with_the_last_thing_it_needs_whatever_the_order)
{
	unsigned order[STEPS + 1] = { 0, 1, 2, 3, 4, 5 }, tried = 0;
	struct rig rig;
	struct front front;

	open_all(&rig, &front);
	do {
		rig.inflated = 0;
		for (unsigned i = 0; i <= STEPS; i++) {
			cr_assert_eq(rig.inflated, 0u, "ran after %u of the steps", i);
			cr_assert_eq(step(&front, order[i]), 0);
		}
		cr_assert_eq(rig.inflated, 4096u, "does not run");
		cr_assert_eq(front_ask(&front, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
		tried++;
	} while (permute(order, STEPS + 1));
	cr_assert_eq(tried, 720u);
	close_all(&rig, &front);
}

Test(ring, needs_each_of_the_things_it_needs)
{
	struct rig rig;
	struct front front;

	open_all(&rig, &front);
	for (unsigned without = 0; without <= STEPS; without++) {
		for (unsigned i = 0; i <= STEPS; i++)
			cr_assert(i == without || step(&front, i) == 0);
		rig_pump(&rig);
		cr_assert_eq(rig.inflated, 0u, "runs without step %u", without);
		cr_assert_eq(front_ask(&front, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	}
	close_all(&rig, &front);
}

/* The specification: without bit 30 all rings are enabled from the start. */
Test(ring, needs_no_enable_from_a_front_end_without_bit_30)
{
	struct rig rig;
	struct front front;

	open_all(&rig, &front);
	cr_assert_eq(set_features(&front, 0), 0);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(step(&front, i), 0);
	cr_assert_eq(rig.inflated, 4096u);
	close_all(&rig, &front);
}

/* With STATUS, QEMU says DRIVER_OK at the end; what is in the rings then is not announced. */
Test(ring, started_before_driver_ok_is_looked_at_then)
{
	struct rig rig;
	struct front front;

	rig_open(&rig, 0, NULL);
	front_open(&front, &rig, FRONT_STATUS);
	front.kick[0] = eventfd(0, EFD_CLOEXEC);
	fill_ring(&front);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
	cr_assert_eq(rig.inflated, 0u);
	cr_assert(!(front_get_u64(&front, VU_GET_STATUS) & FPH_STATUS_DRIVER_OK));
	cr_assert_eq(front_ask_u64(&front, VU_SET_STATUS, FPH_STATUS_DRIVER_OK), 0);
	cr_assert_eq(rig.inflated, 4096u);
	close_all(&rig, &front);
}

/* Where the last driver had its rings is nothing to a new one. */
Test(ring, of_the_last_driver_does_not_run_for_the_next)
{
	struct rig rig;
	struct front front;

	open_all(&rig, &front);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
	cr_assert_eq(rig.inflated, 4096u);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	cr_assert_eq(step(&front, 4), 0);
	cr_assert_eq(eventfd_write(front.kick[0], 1), 0);
	rig_pump(&rig);
	cr_assert_eq(rig.inflated, 4096u);
	start_ring(&front);
	cr_assert_eq(rig.inflated, 8192u);
	close_all(&rig, &front);
}

Test(ring, is_not_changed_while_it_runs)
{
	struct rig rig;
	struct front front;

	open_all(&rig, &front);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(step(&front, i), 1, "step %u", i);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_ENABLE, 0, 0), 0);
	for (unsigned i = 0; i < 5; i++)
		cr_assert_eq(step(&front, i), 0, "step %u", i);
	close_all(&rig, &front);
}

Test(ring, stopped_by_get_vring_base_waits_for_another_kick_descriptor)
{
	struct rig rig;
	struct front front;
	struct vu_ring_state state = { 0, 0 };
	struct vu_header head;

	open_all(&rig, &front);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
	front_send(&front, VU_GET_VRING_BASE, VU_NEED_REPLY, &state, sizeof(state), NULL, 0);
	cr_assert_eq(front_recv(&front, &head, &state, sizeof(state)), 8);
	cr_assert_eq(state.num, 1u);
	/* Another buffer; it is seen when the ring runs again, from where it stopped. */
	((uint16_t *)(void *)(front.ram + 0x101000))[1] = 2;
	cr_assert_eq(eventfd_write(front.kick[0], 1), 0);
	rig_pump(&rig);
	cr_assert_eq(rig.inflated, 4096u);
	cr_assert_eq(step(&front, 3), 0);
	cr_assert_eq(rig.inflated, 8192u);
	close_all(&rig, &front);
}

Test(ring, that_never_ran_answers_with_the_base_it_was_given)
{
	struct rig rig;
	struct front front;
	struct vu_ring_state state = { 2, 0 };
	struct vu_header head;

	open_all(&rig, &front);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_BASE, 2, 17), 0);
	front_send(&front, VU_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
	cr_assert_eq(front_recv(&front, &head, &state, sizeof(state)), 8);
	cr_assert_eq(state.index, 2u);
	cr_assert_eq(state.num, 17u);
	close_all(&rig, &front);
}

Test(ring, stopped_by_reset_owner_needs_enable)
{
	struct rig rig;
	struct front front;

	open_all(&rig, &front);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
	cr_assert_eq(front_ask(&front, VU_RESET_OWNER, NULL, 0, NULL, 0), 0);
	((uint16_t *)(void *)(front.ram + 0x101000))[1] = 2;
	cr_assert_eq(eventfd_write(front.kick[0], 1), 0);
	rig_pump(&rig);
	cr_assert_eq(rig.inflated, 4096u);
	cr_assert_eq(step(&front, 4), 0);
	cr_assert_eq(rig.inflated, 8192u);
	close_all(&rig, &front);
}

/* ------------------------------------------------------------ place */

/* #14, #16, #17 */
Test(ring, outside_of_memory_or_misplaced_is_refused)
{
	const uint64_t end = FRONT_GPA + FRONT_BYTES;
	const struct {
		uint64_t desc, avail, used;
		unsigned num;
	} places[] = {
		{ 0, RING_GPA + 0x1000, RING_GPA + 0x2000, 16 },
		{ RING_GPA, end, RING_GPA + 0x2000, 16 },
		{ RING_GPA, RING_GPA + 0x1000, end - 16, 16 },	 /* the end of it sticks out */
		{ end - 255, RING_GPA + 0x1000, RING_GPA + 0x2000, 16 },
		{ UINT64_MAX - 15, RING_GPA + 0x1000, RING_GPA + 0x2000, 16 },
		{ RING_GPA + 8, RING_GPA + 0x1000, RING_GPA + 0x2000, 16 }, /* misaligned */
		{ RING_GPA, RING_GPA + 0x1001, RING_GPA + 0x2000, 16 },
		{ RING_GPA, RING_GPA + 0x1000, RING_GPA + 0x2002, 16 },
		{ RING_GPA, RING_GPA + 0x1000, RING_GPA + 0x2000, 15 }, /* no power of two */
		{ RING_GPA, RING_GPA + 0x1000, RING_GPA + 0x2000, 512 }, /* above the limit */
	};
	struct rig rig;
	struct front front;

	open_all(&rig, &front);
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
		cr_assert_eq(front_ask_state(&front, VU_SET_VRING_NUM, 0, places[i].num), 0);
		cr_assert_eq(set_addr(&front, places[i].desc, places[i].avail, places[i].used), 0);
		cr_assert_eq(step(&front, 2), 0);
		cr_assert_eq(step(&front, 3), 0);
		cr_assert_eq(step(&front, 4), 1, "place %u", i);
		cr_assert_eq(rig.inflated, 0u);
	}
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
	cr_assert_eq(rig.inflated, 4096u);
	close_all(&rig, &front);
}

Test(ring, number_that_this_device_does_not_have_is_refused_when_it_should_run)
{
	struct rig rig;
	struct front front;
	uint64_t user;
	struct vu_ring_addr addr;

	open_all(&rig, &front);
	user = (uintptr_t)front.ram - FRONT_GPA;
	addr = (struct vu_ring_addr){ 4, 0, user + RING_GPA, user + RING_GPA + 0x2000,
				      user + RING_GPA + 0x1000, 0 };
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_NUM, 4, 16), 0);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_BASE, 4, 0), 0);
	cr_assert_eq(front_ask(&front, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	cr_assert_eq(give_fd(&front, VU_SET_VRING_KICK, 4, front.kick[0]), 0);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_ENABLE, 4, 1), 1);
	close_all(&rig, &front);
}

/* ------------------------------------------------------------ kicks */

/* #60, #78: what cannot be a kick is not watched, read or kept. */
Test(ring, kick_must_be_an_eventfd)
{
	struct rig rig;
	struct front front;
	int wrong[5], pair[2], pipes[2];
	unsigned before;

	open_all(&rig, &front);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	cr_assert_eq(pipe(pipes), 0);
	wrong[0] = pair[0];
	wrong[1] = pipes[0];
	wrong[2] = open("/dev/zero", O_RDONLY);
	wrong[3] = open("/", O_RDONLY | O_DIRECTORY);
	wrong[4] = front.memfd;
	before = count_fds();
	for (unsigned i = 0; i < 5; i++)
		cr_assert_eq(give_fd(&front, VU_SET_VRING_KICK, 0, wrong[i]), 1, "kind %u", i);
	cr_assert_eq(count_fds(), before);
	close_all(&rig, &front);
}

/* An eventfd by its looks, but epoll descriptors cannot be read. */
Test(ring, kick_that_cannot_be_read_ends_the_connection)
{
	struct rig rig;
	struct front front;
	struct epoll_event ready = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC), bell = eventfd(1, EFD_CLOEXEC);
	unsigned before;

	before = count_fds();
	open_all(&rig, &front);
	cr_assert_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, bell, &ready), 0);
	cr_assert_eq(give_fd(&front, VU_SET_VRING_KICK, 0, epoll), 0);
	cr_assert(front_is_dropped(&front));
	cr_assert_not_null(strstr(rig.why, "the kick descriptor of ring 0 cannot be read"), "%s",
			   rig.why);
	close_all(&rig, &front);
	cr_assert_eq(count_fds(), before);
}

/* #24, #67: counted or not, a storm is one look at the ring for each turn. */
Test(ring, kicked_in_a_storm_is_looked_at_once_a_turn)
{
	struct rig rig;
	struct front front;

	open_all(&rig, &front);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
	((uint16_t *)(void *)(front.ram + 0x101000))[1] = 2;
	for (unsigned i = 0; i < 10000; i++)
		cr_assert_eq(eventfd_write(front.kick[0], 1000), 0);
	cr_assert_eq(fph_loop_run(rig.loop, 1000), 1);
	cr_assert_eq(fph_loop_run(rig.loop, 0), 0);
	cr_assert_eq(rig.inflated, 8192u);
	close_all(&rig, &front);
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
Test(ring, whose_kick_is_taken_back_in_time_does_not_hold_up_the_back_end)
{
	struct rig rig;
	struct front front;
	int first[2];

	open_all(&rig, &front);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	/* A descriptor that is called before the kick, in the same turn. */
	cr_assert_eq(pipe(first), 0);
	cr_assert_eq(fph_loop_add(rig.loop, first[0], steal, &front.kick[0]), 0);
	start_ring(&front);
	cr_assert_eq(fph_loop_run(rig.loop, 0), 0);
	cr_assert_eq(write(first[1], "x", 1), 1);
	cr_assert_eq(eventfd_write(front.kick[0], 1), 0);
	alarm(10);
	cr_assert_eq(fph_loop_run(rig.loop, 0), 2);
	alarm(0);
	cr_assert_eq(fph_loop_remove(rig.loop, first[0]), 0);
	cr_assert_eq(rig.gone, 0u);
	close_all(&rig, &front);
}

Test(ring, gets_a_new_kick_descriptor_while_it_runs)
{
	struct rig rig;
	struct front front;
	unsigned before;
	int old;

	open_all(&rig, &front);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
	before = count_fds();
	old = front.kick[0];
	front.kick[0] = eventfd(0, EFD_CLOEXEC);
	cr_assert_eq(step(&front, 3), 0);
	close(old);
	cr_assert_eq(count_fds(), before);
	((uint16_t *)(void *)(front.ram + 0x101000))[1] = 2;
	cr_assert_eq(eventfd_write(front.kick[0], 1), 0);
	rig_pump(&rig);
	cr_assert_eq(rig.inflated, 8192u);
	close_all(&rig, &front);
}

/* ------------------------------------------------------------ calls */

static void run_with_call(struct front *front, int call)
{
	cr_assert_eq(set_features(front, VU_F_PROTOCOL_FEATURES), 0);
	cr_assert_eq(give_fd(front, VU_SET_VRING_CALL, 0, call), 0);
	alarm(10);
	start_ring(front);
	alarm(0);
	cr_assert_eq(front->rig->inflated, 4096u);
	cr_assert_eq(front->rig->gone, 0u);
}

/* #67, #86: full, and made to block by the front end that holds its other end. */
Test(ring, call_that_is_full_and_blocks_does_not_hold_up_the_back_end)
{
	struct rig rig;
	struct front front;
	int call = eventfd(0, EFD_CLOEXEC);

	open_all(&rig, &front);
	cr_assert_eq(eventfd_write(call, UINT64_MAX - 1), 0);
	run_with_call(&front, call);
	close(call);
	close_all(&rig, &front);
}

Test(ring, call_socket_that_is_full_and_blocks_does_not_hold_up_the_back_end)
{
	struct rig rig;
	struct front front;
	char bytes[1024] = { 0 };
	int pair[2];

	open_all(&rig, &front);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	while (send(pair[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	run_with_call(&front, pair[0]);
	close(pair[0]);
	close(pair[1]);
	close_all(&rig, &front);
}

/* #67: and no SIGPIPE, which would end the process that embeds the back end. */
Test(ring, call_socket_without_another_end_is_no_matter)
{
	struct rig rig;
	struct front front;
	int pair[2];

	open_all(&rig, &front);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	close(pair[1]);
	run_with_call(&front, pair[0]);
	close(pair[0]);
	close_all(&rig, &front);
}

Test(ring, call_must_be_an_eventfd_or_a_socket)
{
	struct rig rig;
	struct front front;
	int wrong[4], pipes[2];
	unsigned before;

	open_all(&rig, &front);
	cr_assert_eq(pipe(pipes), 0);
	wrong[0] = pipes[1];
	wrong[1] = open("/dev/null", O_WRONLY);
	wrong[2] = open("/", O_RDONLY | O_DIRECTORY);
	wrong[3] = front.memfd;
	before = count_fds();
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(give_fd(&front, VU_SET_VRING_CALL, 0, wrong[i]), 1, "kind %u", i);
	cr_assert_eq(count_fds(), before);
	close_all(&rig, &front);
}

Test(ring, call_that_comes_late_gets_the_interrupt_that_was_owed)
{
	struct rig rig;
	struct front front;
	eventfd_t count = 0;
	int call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	open_all(&rig, &front);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
	cr_assert_eq(rig.inflated, 4096u);
	cr_assert_eq(give_fd(&front, VU_SET_VRING_CALL, 0, call), 0);
	cr_assert_eq(eventfd_read(call, &count), 0);
	cr_assert_eq(count, 1u);
	/* Once is enough. */
	cr_assert_eq(give_fd(&front, VU_SET_VRING_CALL, 0, call), 0);
	cr_assert_lt(eventfd_read(call, &count), 0);
	close(call);
	close_all(&rig, &front);
}

Test(ring, call_and_error_descriptors_are_replaced_and_taken_back)
{
	struct rig rig;
	struct front front;
	unsigned before;
	int call = eventfd(0, EFD_CLOEXEC);

	open_all(&rig, &front);
	before = count_fds();
	for (unsigned i = 0; i < 10; i++) {
		cr_assert_eq(give_fd(&front, VU_SET_VRING_CALL, 1, call), 0);
		cr_assert_eq(count_fds(), before + 1);
		cr_assert_eq(give_fd(&front, VU_SET_VRING_ERR, 1, call), 0);
		cr_assert_eq(count_fds(), before + 1);
	}
	cr_assert_eq(front_ask_u64(&front, VU_SET_VRING_ERR, VU_RING_NO_FD | 1), 0);
	cr_assert_eq(front_ask_u64(&front, VU_SET_VRING_CALL, VU_RING_NO_FD | 1), 0);
	cr_assert_eq(count_fds(), before);
	close(call);
	close_all(&rig, &front);
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
Test(ring, channel_that_is_full_does_not_hold_up_the_back_end)
{
	struct rig rig;
	struct front front;
	unsigned seen;

	open_all(&rig, &front);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
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
	close_all(&rig, &front);
}

Test(ring, channel_that_is_closed_at_the_other_end_is_no_matter)
{
	struct rig rig;
	struct front front;
	unsigned before;

	open_all(&rig, &front);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
	before = count_fds();
	close(front.channel);
	front.channel = -1;
	cr_assert_eq(fph_device_set_num_pages(rig.device, 1), 0);
	cr_assert_eq(count_fds(), before - 2);
	cr_assert_eq(fph_device_set_num_pages(rig.device, 2), 0);
	cr_assert_eq(front_ask(&front, VU_SET_OWNER, NULL, 0, NULL, 0), 0);
	close_all(&rig, &front);
}

Test(ring, channel_on_which_the_front_end_talks_is_not_listened_to)
{
	struct rig rig;
	struct front front;
	const struct vu_header reply = { VU_BACKEND_CONFIG_CHANGE_MSG, VU_VERSION | VU_REPLY, 8 };

	open_all(&rig, &front);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
	while (send(front.channel, &reply, sizeof(reply), MSG_DONTWAIT) > 0)
		;
	cr_assert_eq(fph_device_set_num_pages(rig.device, 1), 0);
	cr_assert_eq(drain_channel(&front), 1u);
	rig_pump(&rig);
	cr_assert_eq(rig.gone, 0u);
	close_all(&rig, &front);
}

/* The specification: no message to the front end while all rings are stopped. */
Test(ring, channel_is_silent_while_no_ring_runs)
{
	struct rig rig;
	struct front front;

	open_all(&rig, &front);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_ENABLE, 0, 0), 0);
	drain_channel(&front);
	cr_assert_eq(fph_device_set_num_pages(rig.device, 1), 0);
	cr_assert_eq(drain_channel(&front), 0u);
	cr_assert_eq(front_ask_state(&front, VU_SET_VRING_ENABLE, 0, 1), 0);
	cr_assert_eq(drain_channel(&front), 1u);
	close_all(&rig, &front);
}

Test(ring, channel_is_replaced)
{
	struct rig rig;
	struct front front;
	unsigned before;
	int pair[2];

	open_all(&rig, &front);
	before = count_fds();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	cr_assert_eq(front_ask(&front, VU_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1), 0);
	close(pair[1]);
	close(front.channel);
	front.channel = pair[0];
	cr_assert_eq(count_fds(), before);
	cr_assert_eq(set_features(&front, VU_F_PROTOCOL_FEATURES), 0);
	start_ring(&front);
	cr_assert_eq(fph_device_set_num_pages(rig.device, 1), 0);
	cr_assert_geq(drain_channel(&front), 1u);
	close_all(&rig, &front);
}
