/* SPDX-License-Identifier: MIT */
/*
 * The agent: owns the memory, works in it, and is the driver end.  Its connection may
 * end at any moment, and so may its life; what must not be lost is in the memory.
 */
#include "agent.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define BACKOFF_MIN_NS UINT64_C(2000000)
#define BACKOFF_MAX_NS UINT64_C(200000000)
#define RESET_TRIES    2000 /* a millisecond each */

static void gone(void *ctx, const char *why)
{
	struct agent *agent = ctx;

	(void)why;
	agent->gone = true;
	board_noticed(agent->board, SIDE_AGENT);
}

static void count_lost(void *ctx)
{
	struct agent *agent = ctx;

	board_count(&agent->board->lost, 1);
}

/* ------------------------------------------------------------ connection */

/* No connection, no pause: whoever asked for it is gone. */
static void unpause(struct agent *agent)
{
	if (agent->ticket)
		say("agent: paused by a VMM that is gone: goes on");
	agent->ticket = 0;
	__atomic_store_n(&memory_control(&agent->mem)->answer, 0, __ATOMIC_RELEASE);
}

static void later(struct agent *agent)
{
	agent->retry_ns = board_now() + agent->backoff_ns;
	agent->backoff_ns *= 2;
	if (agent->backoff_ns > BACKOFF_MAX_NS)
		agent->backoff_ns = BACKOFF_MAX_NS;
}

/*
 * Reset the device, dead or alive, and take the pages back.  On a connection that is
 * over this is complete at once.  Returns 0, or -EAGAIN: again in the next turn.
 */
static int let_go(struct agent *agent)
{
	int err = fph_guest_reset(&agent->guest);

	agent->attached = false;
	agent->owed = err != 0;
	if (err)
		return -EAGAIN;
	step(AGENT_RESET_COMPLETE);
	agent_take_back(agent);
	unpause(agent);
	step(AGENT_RESET_RECLAIMED);
	return 0;
}

static void disconnected(struct agent *agent)
{
	/* A call saw the end before the loop did. */
	if (!agent->gone)
		board_noticed(agent->board, SIDE_AGENT);
	agent->gone = false;
	agent->wire->disconnect(agent->client);
	let_go(agent);
	agent->backoff_ns = BACKOFF_MIN_NS;
	later(agent);
}

static void attach(struct agent *agent)
{
	int err = fph_guest_attach(&agent->guest);

	if (err == -EAGAIN)
		return; /* the device's owner is in the middle of something */
	if (err) {
		if (!agent->wire->connected(agent->client))
			board_noticed(agent->board, SIDE_AGENT);
		if (err == -EOPNOTSUPP)
			say("agent: the device has no free page hinting");
		agent->wire->disconnect(agent->client);
		let_go(agent);
		later(agent);
		return;
	}
	agent->attached = true;
	agent->backoff_ns = BACKOFF_MIN_NS;
	board_count(&agent->board->attached, 1);
	step(AGENT_ATTACHED);
}

static void connect_again(struct agent *agent)
{
	uint64_t n;

	if (board_now() < agent->retry_ns)
		return;
	step(AGENT_CONNECTING);
	if (agent->wire->connect(agent->client)) {
		later(agent);
		return;
	}
	agent->met = true;
	board_met(agent->board, SIDE_AGENT);
	step(AGENT_CONNECTED);
	/*
	 * The server has one client at a time.  As it is this one now, it has let go of
	 * the memory that the life before had shown to it: what was hinted is free.
	 */
	n = workload_free_before(&agent->work);
	board_count(&agent->board->held_before, n);
	step(AGENT_HELD_FREED);
	attach(agent);
}

static void turn(struct agent *agent)
{
	int err;

	if (agent->gone || (agent->attached && !agent->wire->connected(agent->client))) {
		disconnected(agent);
	} else if (agent->owed) {
		let_go(agent);
	} else if (!agent->wire->connected(agent->client)) {
		connect_again(agent);
	} else if (!agent->attached) {
		attach(agent);
	} else {
		err = agent_serve(agent);
		if (err && agent->wire->connected(agent->client)) {
			if (err == -ECANCELED)
				agent_bus_in_reset();
			let_go(agent);
		}
	}
}

/* ------------------------------------------------------------ life */

static int open_guest(struct agent *agent)
{
	struct fph_guest_opts guest = FPH_GUEST_OPTS_INIT;
	int err = fph_loop_open(&agent->loop, 0);

	if (err)
		return err;
	err = agent->wire->open(&agent->client, agent->loop, agent->options->socket,
				agent->mem.fd, memory_page(&agent->mem, 0),
				agent->mem.layout.pages * PAGE, gone, agent);
	if (err)
		return err;
	guest.bus = agent_bus(&agent->bus_ops, agent->wire->bus(agent->client));
	guest.ring.gpa = BASE + agent->mem.layout.ring * PAGE;
	guest.ring.len = fph_guest_ring_bytes(RING_SIZE);
	guest.ring.hva = memory_page(&agent->mem, agent->mem.layout.ring);
	guest.slots = agent->slots;
	guest.ring_size = RING_SIZE;
	return fph_guest_init(&agent->guest, &guest);
}

static int recover(struct agent *agent)
{
	struct recovery found;
	int err;

	memory_recover(&agent->mem, &found, count_lost, agent);
	board_count(&agent->board->lives, 1);
	board_count(&agent->board->verified, found.verified);
	board_count(&agent->board->redone, found.redone);
	if (!found.fresh)
		say("agent: recovered: %" PRIu64 " pages verified, %" PRIu64
		    " writes redone, %" PRIu64 " hinted before, lost %" PRIu64,
		    found.verified, found.redone, found.held, found.lost);
	err = workload_init(&agent->work, &agent->mem, agent->options->seed);
	/* A newcomer begins with the memory in use, not with an empty one. */
	for (int i = 0; !err && found.fresh && i < 1 << 16; i++)
		if (workload_run(&agent->work),
		    agent->work.used_n + 128 > agent->mem.layout.pages / 4)
			break;
	return err;
}

static void live(struct agent *agent)
{
	uint64_t operations = 0, lost = 0;

	while (!interrupted()) {
		int err = fph_loop_run(agent->loop, 1);

		if (err < 0 && err != -EINTR)
			break;
		turn(agent);
		if (!agent->ticket)
			workload_run(&agent->work);
		board_count(&agent->board->operations, agent->work.operations - operations);
		board_count(&agent->board->lost, agent->work.lost - lost);
		operations = agent->work.operations;
		lost = agent->work.lost;
	}
}

/* Ends orderly: the device lets go first, then every page is looked at. */
static int end(struct agent *agent)
{
	uint64_t good, bad, held;

	if (agent->attached || agent->owed)
		for (int i = 0; i < RESET_TRIES && let_go(agent); i++)
			fph_loop_run(agent->loop, 1);
	agent->wire->disconnect(agent->client);
	if (agent->owed)
		let_go(agent);
	good = memory_verify(&agent->mem, &bad, &held);
	/* What the life before hinted stays out of use for as long as no VMM came. */
	if (!agent->met)
		held -= agent->work.before_n;
	board_count(&agent->board->verified, good);
	board_count(&agent->board->lost, bad);
	board_count(&agent->board->bad_end, held > 0);
	say("agent: ended: %" PRIu64 " pages verified, lost %" PRIu64
	    ", not come back from the device %" PRIu64,
	    good, bad, held);
	return board_read(&agent->board->lost) || held ? EXIT_LOST : EXIT_OK;
}

static int open_memory(struct agent *agent)
{
	const struct options *options = agent->options;
	int fd = options->memory_fd, err;

	if (fd < 0)
		fd = memory_create(options->memory);
	if (fd < 0)
		return cannot("cannot make the memory: %s", strerror(-fd));
	err = memory_open(&agent->mem, fd);
	if (err == -EPERM || err == -EBADF || err == -EINVAL) {
		cannot("--memory-fd %d: must be a memfd of 4M to 16G, whole pages, sealed "
		       "against shrinking (see --help)",
		       fd);
		return EXIT_USAGE;
	}
	if (err)
		return cannot("cannot map the memory: %s", strerror(-err));
	return 0;
}

int agent_main(const struct options *options)
{
	struct agent agent = {
		.options = options,
		.backoff_ns = BACKOFF_MIN_NS,
		.wire = driver_wire(options->vfio_user),
	};
	int status, err;

	agent.board = board_open(options->board_fd);
	if (!agent.board)
		return cannot("out of memory");
	step_signal_at(options->die_at, options->die_signal, agent.board);
	status = open_memory(&agent);
	if (!status) {
		err = recover(&agent);
		if (!err)
			err = open_guest(&agent);
		if (err) {
			status = cannot("the agent cannot start: %s", strerror(-err));
		} else {
			live(&agent);
			status = end(&agent);
		}
	}
	if (agent.client)
		agent.wire->close(agent.client);
	fph_loop_close(agent.loop);
	workload_fini(&agent.work);
	memory_close(&agent.mem);
	board_close(agent.board);
	return status;
}
