/* SPDX-License-Identifier: MIT */
#include "front.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fph/guest.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * Whole rounds: the guest role of this library, a front end, a socket, the back end,
 * the device role.  Each with every kind of front end and of loop.
 */
static const struct {
	unsigned front;
	unsigned loop;
} ways[] = {
	{ 0, 0 },
	{ 0, FPH_LOOP_POLL },
	{ FRONT_CALL_SOCK, 0 },
	{ FRONT_STATUS, 0 },
	{ FRONT_STATUS | FRONT_SLOTS, FPH_LOOP_POLL },
};
#define WAYS 5

#define EACH_WAY(name)                                                                             \
	ParameterizedTestParameters(round, name)                                                   \
	{                                                                                          \
		static size_t which[] = { 0, 1, 2, 3, 4 };                                         \
		return cr_make_param_array(size_t, which, WAYS);                                   \
	}                                                                                          \
	ParameterizedTest(size_t *way, round, name)

_Static_assert(sizeof(ways) / sizeof(ways[0]) == WAYS, "one number for each way");

#define PAGES	  (FRONT_GPA + (UINT64_C(4) << 20)) /* free memory of this guest */
#define RING_SIZE 64

struct world {
	struct rig rig;
	struct front front;
	struct fph_guest guest;
	struct fph_guest_slot slots[RING_SIZE];
	uint64_t hinted; /* pages handed out so far */
};

static void attach(struct world *w)
{
	struct fph_guest_opts o = FPH_GUEST_OPTS_INIT;
	int rc = -EAGAIN;

	o.bus = front_bus(&w->front);
	o.ring = (struct fph_region){ FRONT_GPA + 4096, 65536, w->front.ram + 4096, 0 };
	o.slots = w->slots;
	o.ring_size = RING_SIZE;
	memset(w->front.ram + 4096, 0, 65536);
	cr_assert_eq(fph_guest_init(&w->guest, &o), 0);
	for (unsigned i = 0; i < 10 && rc == -EAGAIN; i++)
		rc = fph_guest_attach(&w->guest);
	cr_assert_eq(rc, 0, "attach: %s", strerror(-rc));
}

static void world_open(struct world *w, size_t way)
{
	memset(w, 0, sizeof(*w));
	rig_open(&w->rig, ways[way].loop, NULL);
	front_open(&w->front, &w->rig, ways[way].front);
	attach(w);
	cr_assert_str_eq(fph_device_state_name(w->rig.device), "STOPPED");
}

static void world_close(struct world *w)
{
	front_close(&w->front);
	rig_close(&w->rig);
}

static void hint(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct fph_range page = { PAGES + 4096 * w->hinted++, 4096 };

		cr_assert_eq(fph_guest_hint(&w->guest, &page, 1), 1);
	}
	cr_assert_eq(fph_guest_flush(&w->guest), 0);
}

/* All hints that came, and that they are the ones expected, in order. */
static void expect_hints(struct world *w, uint64_t first, unsigned n)
{
	struct fph_range out[8];
	unsigned got = 0;
	int rc;

	rig_pump(&w->rig);
	while ((rc = fph_device_poll(w->rig.device, out, 8)) > 0 || rc == -EAGAIN)
		for (int i = 0; i < rc; i++, got++) {
			cr_assert_eq(out[i].gpa, PAGES + 4096 * (first + got));
			cr_assert_eq(out[i].len, 4096u);
		}
	cr_assert_eq(rc, 0);
	cr_assert_eq(got, n, "%u hints of %u", got, n);
}

static unsigned reclaim_all(struct world *w)
{
	struct fph_range out[16];
	unsigned n = 0;
	int rc;

	while ((rc = fph_guest_reclaim(&w->guest, out, 16)) > 0)
		n += (unsigned)rc;
	cr_assert_eq(rc, 0);
	return n;
}

static void begin_round(struct world *w)
{
	cr_assert_eq(fph_device_start(w->rig.device), 0);
	cr_assert(fph_guest_step(&w->guest, 0) & FPH_GUEST_FEED);
}

/* The other end of a round: STOP from the driver, DONE from the device. */
static void end_round(struct world *w)
{
	cr_assert_eq(fph_guest_end(&w->guest), 0);
	expect_hints(w, 0, 0);
	cr_assert(fph_device_round_over(w->rig.device));
	cr_assert_eq(fph_device_done(w->rig.device), 0);
	cr_assert(fph_guest_step(&w->guest, 0) & FPH_GUEST_RELEASE);
}

EACH_WAY(hints_arrive_and_their_pages_come_back)
{
	struct world w;

	world_open(&w, *way);
	begin_round(&w);
	hint(&w, 20);
	expect_hints(&w, 0, 20);
	cr_assert(w.rig.hints > 0, "the doorbell was not heard");
	end_round(&w);
	cr_assert_eq(reclaim_all(&w), 20u);
	cr_assert_eq(fph_guest_held(&w.guest), 0u);
	cr_assert_eq(w.rig.gone, 0u, "%s", w.rig.why);
	world_close(&w);
}

/* The bytes behind a hint are the front end's, and only in its file can they be dropped. */
EACH_WAY(memory_is_the_front_ends_own)
{
	struct world w;
	const struct fph_mem *mem;
	uint64_t offset = 99;
	int fd = -1;

	world_open(&w, *way);
	mem = fph_vhost_user_mem(w.rig.vu);
	cr_assert_eq(mem->count, 1u);
	strcpy((char *)w.front.ram + (PAGES - FRONT_GPA), "written by the guest");
	cr_assert_str_eq(fph_mem_at(mem, PAGES, 32), "written by the guest");
	cr_assert_eq(fph_vhost_user_region_file(w.rig.vu, 0, &fd, &offset), 0);
	cr_assert_eq(offset, 0u);
	cr_assert(fd >= 0 && fd != w.front.memfd);
	cr_assert_eq(fph_vhost_user_region_file(w.rig.vu, 1, &fd, &offset), -EINVAL);
	world_close(&w);
}

EACH_WAY(many_rounds_follow_each_other)
{
	struct world w;
	uint32_t last = 0;

	world_open(&w, *way);
	for (unsigned round = 0; round < 20; round++) {
		begin_round(&w);
		cr_assert_neq(fph_device_command(w.rig.device), last);
		last = fph_device_command(w.rig.device);
		hint(&w, 10);
		expect_hints(&w, 10 * round, 10);
		end_round(&w);
		cr_assert_eq(reclaim_all(&w), 10u);
	}
	world_close(&w);
}

EACH_WAY(a_round_is_stopped_and_the_next_takes_none_of_its_hints)
{
	struct world w;

	world_open(&w, *way);
	begin_round(&w);
	hint(&w, 5);
	cr_assert_eq(fph_device_stop(w.rig.device), 0);
	expect_hints(&w, 0, 0);
	begin_round(&w);
	hint(&w, 3);
	expect_hints(&w, 5, 3);
	end_round(&w);
	cr_assert_eq(reclaim_all(&w), 8u);
	world_close(&w);
}

/* A config change that the main program causes is on its way when the call returns. */
EACH_WAY(a_config_change_is_sent_at_once_from_outside_of_the_loop)
{
	struct world w;
	uint32_t irq;

	world_open(&w, *way);
	front_bus(&w.front).ops->take_irq(&w.front, &irq);
	w.front.config_changes = 0;
	cr_assert_eq(fph_device_start(w.rig.device), 0);
	front_bus(&w.front).ops->take_irq(&w.front, &irq);
	cr_assert_eq(irq, FPH_IRQ_CONFIG);
	cr_assert_eq(w.front.config_changes, 1u);
	world_close(&w);
}

/* Begun in the hook, while the front end waits for the answer to the message before. */
EACH_WAY(a_config_change_does_not_overtake_the_answer_to_a_message)
{
	struct world w;
	uint32_t irq;

	memset(&w, 0, sizeof(w));
	rig_open(&w.rig, ways[*way].loop, NULL);
	front_open(&w.front, &w.rig, ways[*way].front);
	w.rig.start_when_ready = true;
	w.rig.channel = w.front.channel;
	attach(&w);
	cr_assert(!w.rig.start_when_ready);
	cr_assert(!w.rig.overtaken);
	front_bus(&w.front).ops->take_irq(&w.front, &irq);
	cr_assert_geq(w.front.config_changes, 1u);
	cr_assert(fph_guest_step(&w.guest, 0) & FPH_GUEST_FEED);
	world_close(&w);
}

/* E, reliability #41: QEMU writes the command id of a while ago back with everything else. */
EACH_WAY(a_blob_of_configuration_overwrites_only_what_is_the_drivers)
{
	struct world w;
	struct vu_config c = { .offset = 0, .size = 12, .flags = 0 };
	const uint32_t fields[3] = { 7777, 1234, 5 };

	world_open(&w, *way);
	begin_round(&w);
	cr_assert_eq(fph_device_set_num_pages(w.rig.device, 42), 0);
	memcpy(c.data, fields, sizeof(fields));
	cr_assert_eq(front_ask(&w.front, VU_SET_CONFIG, &c, VU_CONFIG_HEAD + 12, NULL, 0), 0);
	cr_assert_eq(fph_device_actual(w.rig.device), 1234u);
	cr_assert_eq(fph_device_command(w.rig.device), fph_device_command_id(w.rig.device));
	c.size = 8;
	front_send(&w.front, VU_GET_CONFIG, 0, &c, VU_CONFIG_HEAD + 8, NULL, 0);
	cr_assert_eq(front_recv(&w.front, &(struct vu_header){ 0 }, &c, sizeof(c)),
		     (int)VU_CONFIG_HEAD + 8);
	cr_assert_eq(c.data[0], 42);
	hint(&w, 1);
	expect_hints(&w, 0, 1);
	world_close(&w);
}

EACH_WAY(a_driver_resets_and_comes_back)
{
	struct world w;
	int rc = -EAGAIN;

	world_open(&w, *way);
	begin_round(&w);
	hint(&w, 7);
	rig_pump(&w.rig);
	for (unsigned i = 0; i < 10 && rc == -EAGAIN; i++)
		rc = fph_guest_reset(&w.guest);
	cr_assert_eq(rc, 0);
	cr_assert_eq(reclaim_all(&w), 7u);
	attach(&w);
	w.hinted = 0;
	begin_round(&w);
	hint(&w, 2);
	expect_hints(&w, 0, 2);
	end_round(&w);
	world_close(&w);
}

/* #89: the reset of a driver that waits for its pages is not held up by a batch. */
EACH_WAY(a_reset_with_a_batch_in_hand_is_complete_when_it_is_answered)
{
	struct world w;
	struct fph_range out[4];
	unsigned changed;
	uint8_t status = 0xff;

	world_open(&w, *way);
	begin_round(&w);
	hint(&w, 4);
	rig_pump(&w.rig);
	cr_assert_eq(fph_device_poll(w.rig.device, out, 2), 2);
	changed = w.rig.changed;
	cr_assert_eq(front_ask(&w.front, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	cr_assert_gt(w.rig.changed, changed, "the embedder was not told");
	cr_assert_eq(fph_device_features(w.rig.device), 0u);
	fph_device_bus(w.rig.device).ops->status(fph_device_bus(w.rig.device).ctx, &status);
	cr_assert_eq(status, 0);
	world_close(&w);
}

EACH_WAY(a_ring_stopped_with_a_batch_in_hand_resumes_where_it_stopped)
{
	struct world w;
	struct fph_range out[4];
	struct vu_ring_state state = { 3, 0 };
	struct vu_header head;

	world_open(&w, *way);
	begin_round(&w);
	hint(&w, 4);
	rig_pump(&w.rig);
	cr_assert_eq(fph_device_poll(w.rig.device, out, 2), 2);
	front_send(&w.front, VU_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
	cr_assert_eq(front_recv(&w.front, &head, &state, sizeof(state)), (int)sizeof(state));
	cr_assert_eq(state.index, 3u);
	/* START and the two hints of the batch are returned; two more are to come. */
	cr_assert_eq(state.num, 3u);
	cr_assert_eq(fph_device_poll(w.rig.device, out, 4), -ENOTCONN);
	world_close(&w);
}

EACH_WAY(a_disabled_ring_is_left_alone_until_it_is_enabled)
{
	struct world w;
	struct fph_range out[4];

	world_open(&w, *way);
	cr_assert_eq(front_ask_state(&w.front, VU_SET_VRING_ENABLE, 3, 0), 0);
	cr_assert_eq(front_ask_state(&w.front, VU_SET_VRING_ENABLE, 3, 0), 0);
	cr_assert_eq(front_ask_state(&w.front, VU_SET_VRING_ENABLE, 3, 1), 0);
	begin_round(&w);
	cr_assert_eq(front_ask_state(&w.front, VU_SET_VRING_ENABLE, 3, 0), 0);
	fph_guest_step(&w.guest, 0);
	rig_pump(&w.rig);
	cr_assert(fph_device_poll(w.rig.device, out, 4) <= 0);
	world_close(&w);
}

/* #83 */
EACH_WAY(a_front_end_leaves_and_another_comes)
{
	struct world w;
	unsigned fds = 0, maps = 0;

	world_open(&w, *way);
	for (unsigned life = 1; life <= 10; life++) {
		uint32_t id;

		w.hinted = 0;
		begin_round(&w);
		hint(&w, 6);
		expect_hints(&w, 0, 6);
		id = fph_device_command_id(w.rig.device);
		if (life == 2) {
			fds = count_fds();
			maps = count_maps("fph-guest-ram");
		}
		front_close(&w.front);
		cr_assert_eq(w.rig.gone, life);
		cr_assert_str_eq(w.rig.why, "the front end closed the connection");
		cr_assert(!fph_vhost_user_connected(w.rig.vu));
		cr_assert_eq(fph_vhost_user_mem(w.rig.vu)->count, 0u);
		cr_assert_eq(count_maps("fph-guest-ram"), 0u);
		cr_assert_eq(fph_device_start(w.rig.device), -ENOTCONN);

		front_open(&w.front, &w.rig, ways[*way].front);
		cr_assert(fph_vhost_user_connected(w.rig.vu));
		attach(&w);
		/* BH-12: an id is not used again, whoever the driver is. */
		cr_assert_eq(fph_device_start(w.rig.device), 0);
		cr_assert_gt(fph_device_command_id(w.rig.device), id);
	}
	w.hinted = 0;
	begin_round(&w);
	hint(&w, 6);
	expect_hints(&w, 0, 6);
	cr_assert_eq(count_fds(), fds);
	cr_assert_eq(count_maps("fph-guest-ram"), maps);
	world_close(&w);
}

/* A replaced table: hints that came under the old one are not handed out under the new. */
EACH_WAY(memory_is_replaced_in_mid_round)
{
	struct world w;
	const void *before;

	world_open(&w, *way);
	begin_round(&w);
	hint(&w, 3);
	expect_hints(&w, 0, 3);
	before = fph_vhost_user_mem(w.rig.vu)->regions[0].hva;
	if (!(w.front.flags & FRONT_SLOTS)) {
		cr_assert_eq(front_bring_memory(&w.front), 0);
		cr_assert_neq(fph_vhost_user_mem(w.rig.vu)->regions[0].hva, before);
		cr_assert_eq(count_maps("fph-guest-ram"), 2u); /* theirs and ours */
	}
	hint(&w, 3);
	expect_hints(&w, 3, 3);
	end_round(&w);
	world_close(&w);
}

/* #81: a ring whose memory is taken away is a fault, and no access. */
EACH_WAY(memory_under_a_running_ring_is_taken_away)
{
	struct world w;
	struct vu_mem_table none = { .count = 0 };
	struct vu_mem_reg reg;

	world_open(&w, *way);
	reg = (struct vu_mem_reg){ .region = front_region(&w.front) };
	if (w.front.flags & FRONT_SLOTS)
		cr_assert_eq(front_ask(&w.front, VU_REM_MEM_REG, &reg, sizeof(reg), NULL, 0), 1);
	else
		cr_assert_eq(front_ask(&w.front, VU_SET_MEM_TABLE, &none, 8, NULL, 0), 1);
	cr_assert_eq(fph_device_fault(w.rig.device)->rule, FPH_RULE_RING_GONE);
	cr_assert_eq(count_maps("fph-guest-ram"), 1u);
	cr_assert_eq(front_bring_memory(&w.front), 0);
	attach(&w);
	begin_round(&w);
	hint(&w, 3);
	expect_hints(&w, 0, 3);
	world_close(&w);
}

/* Inflation: a queue of the balloon that is not the hint queue, with its interrupt. */
EACH_WAY(the_drivers_other_queues_are_served)
{
	struct world w;
	struct fph_vq_place place = { FRONT_GPA + 0x100000, FRONT_GPA + 0x101000,
				      FRONT_GPA + 0x102000, 16, 0 };
	uint32_t pfn = (uint32_t)(PAGES / 4096);
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc = { FRONT_GPA + 0x103000, 4, 0, 0 };
	const uint16_t avail[3] = { 0, 1, 0 };
	uint16_t used[2];
	uint32_t irq = 0;

	world_open(&w, *way);
	memcpy(w.front.ram + 0x100000, &desc, sizeof(desc));
	memcpy(w.front.ram + 0x103000, &pfn, sizeof(pfn));
	cr_assert_eq(front_bus(&w.front).ops->vq_enable(&w.front, 0, &place), 0);
	memcpy(w.front.ram + 0x101000, avail, sizeof(avail));
	cr_assert_eq(front_bus(&w.front).ops->notify(&w.front, 0), 0);
	rig_pump(&w.rig);
	cr_assert_eq(w.rig.inflated, 4096u);
	memcpy(used, w.front.ram + 0x102000, sizeof(used));
	cr_assert_eq(used[1], 1);
	front_bus(&w.front).ops->take_irq(&w.front, &irq);
	cr_assert_eq(irq, FPH_IRQ_QUEUE | FPH_IRQ_VQ(0));
	world_close(&w);
}

/* What the driver put into the ring before it was enabled is found without a kick. */
EACH_WAY(a_ring_that_is_not_empty_when_it_starts_needs_no_kick)
{
	struct world w;
	struct fph_vq_place place = { FRONT_GPA + 0x100000, FRONT_GPA + 0x101000,
				      FRONT_GPA + 0x102000, 16, 0 };
	uint32_t pfn = (uint32_t)(PAGES / 4096);
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc = { FRONT_GPA + 0x103000, 4, 0, 0 };
	const uint16_t avail[3] = { 0, 1, 0 };

	world_open(&w, *way);
	memcpy(w.front.ram + 0x100000, &desc, sizeof(desc));
	memcpy(w.front.ram + 0x103000, &pfn, sizeof(pfn));
	memcpy(w.front.ram + 0x101000, avail, sizeof(avail));
	cr_assert_eq(front_bus(&w.front).ops->vq_enable(&w.front, 0, &place), 0);
	cr_assert_eq(w.rig.inflated, 4096u);
	world_close(&w);
}
