/* SPDX-License-Identifier: MIT */
/*
 * The VMM: the device end.  Serves one agent after the other, and takes snapshots of
 * their memory.  It believes nothing that stands in that memory.
 */
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define IDLE_MS	    10	 /* between two snapshots, and two looks at signals */
#define RELISTEN_MS 2000 /* the socket of a killed process may last */

static void clear_request(struct vmm *vmm)
{
	struct layout layout;
	unsigned char *at = vmm_memory(vmm, &layout);
	struct control *control = (struct control *)(void *)(at + CONTROL_PAGE * PAGE);

	/* A VMM that died may have left one behind. */
	if (at)
		__atomic_store_n(&control->request, 0, __ATOMIC_RELEASE);
}

static void changed(void *ctx)
{
	struct vmm *vmm = ctx;

	vmm->life++;
	if (vmm->away)
		board_met(vmm->board, SIDE_VMM);
	vmm->away = false;
	clear_request(vmm);
	board_count(&vmm->board->served, 1);
	step(VMM_ACCEPTED);
}

static void gone(void *ctx, const char *why)
{
	struct vmm *vmm = ctx;

	vmm->life++;
	vmm->away = true;
	snprintf(vmm->why, sizeof(vmm->why), "%s", why);
	board_noticed(vmm->board, SIDE_VMM);
}

int vmm_turn(struct vmm *vmm, int timeout_ms, uint64_t life)
{
	int err = fph_loop_run(vmm->loop, timeout_ms);

	if (interrupted())
		return -EINTR;
	if (err < 0 && err != -EINTR)
		return err;
	return vmm->life == life ? 0 : -ECONNRESET;
}

unsigned char *vmm_memory(const struct vmm *vmm, struct layout *layout)
{
	const struct fph_mem *mem;

	if (!vmm->server || !vmm->wire->connected(vmm->server))
		return NULL;
	mem = vmm->wire->mem(vmm->server);
	if (mem->count != 1 || mem->regions[0].gpa != BASE ||
	    !layout_of(layout, mem->regions[0].len))
		return NULL;
	return fph_mem_at(mem, BASE, mem->regions[0].len);
}

/* No round is open: whatever the driver makes available goes back. */
static void drain(struct vmm *vmm)
{
	struct fph_range ignored[16];

	for (int i = 0; i < 64; i++) {
		int n = fph_device_poll(vmm->device, ignored, 16);

		if (n <= 0 && n != -EAGAIN)
			return;
	}
}

/* ------------------------------------------------------------ snapshots */

static void tell(const struct snapshot *snap, const struct verdict *verdict)
{
	const struct totals *t = &snap->totals;

	say("vmm: snapshot %-13s %" PRIu64 " rounds, %" PRIu64 " pages looked at, %" PRIu64
	    " copied, %" PRIu64 " skipped, %" PRIu64 ".%" PRIu64 " ms; %" PRIu64
	    " live pages in the copy %s",
	    snap->hints ? "with hints" : "without hints", t->rounds, t->marked, t->copied,
	    t->skipped, t->ns / 1000000, t->ns / 100000 % 10, verdict->checked,
	    verdict->bad || !verdict->stamp ? "NOT as they should be" : "checked");
}

/*
 * Check the copy by itself, and give it its name only then.  Returns 0, or a negative
 * errno: -EBADMSG (the copy is not faithful).
 */
static int finish(struct vmm *vmm, struct snapshot *snap, int kind, const char *partial)
{
	struct verdict verdict;
	int err = check_copy(snap->fd, snap->vmm->ticket, &verdict);

	if (err)
		return err;
	step(VMM_CHECKED);
	tell(snap, &verdict);
	if (verdict.bad || !verdict.stamp) {
		fprintf(stderr,
			"fph-agent: the snapshot is not faithful: %" PRIu64 " of %" PRIu64
			" live pages are wrong%s\n",
			verdict.bad, verdict.checked,
			verdict.stamp ? "" : ", and it is not of the moment of the pause");
		board_count(&vmm->board->unfaithful, 1);
		return -EBADMSG;
	}
	if (rename(partial, vmm->options->snapshot))
		return -errno;
	snap->totals.checked = verdict.checked;
	board_add(vmm->board, kind, &snap->totals);
	step(VMM_NAMED);
	return 0;
}

/*
 * To FILE.partial first, which is removed on every way out but a kill, and then taken
 * over by the next snapshot: FILE itself is always a whole one.
 */
static int take(struct vmm *vmm, bool hints)
{
	struct snapshot snap;
	char partial[4096];
	int err, fd;

	if ((size_t)snprintf(partial, sizeof(partial), "%s.partial", vmm->options->snapshot) >=
	    sizeof(partial))
		return -ENAMETOOLONG;
	fd = open(partial, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = snapshot_take(&snap, vmm, fd, hints);
	if (err && err != -EINTR) {
		fprintf(stderr, "fph-agent: snapshot abandoned: %s\n", snap.why);
		board_count(&vmm->board->abandoned, 1);
		board_count(&vmm->board->late, err == -ETIMEDOUT);
	}
	if (!err)
		err = finish(vmm, &snap, hints ? WITH_HINTS : WITHOUT_HINTS, partial);
	close(fd);
	if (err)
		unlink(partial);
	return err;
}

/* A supervised VMM takes one kind after the other. */
static bool next_kind(const struct vmm *vmm)
{
	struct tally tally = board_tally(vmm->board);

	if (!vmm->options->hints || vmm->options->board_fd < 0)
		return vmm->options->hints;
	return tally.kinds[WITHOUT_HINTS].snapshots >= tally.kinds[WITH_HINTS].snapshots;
}

static int serve(struct vmm *vmm)
{
	bool once = vmm->options->board_fd < 0;

	while (!interrupted()) {
		int err = vmm_turn(vmm, IDLE_MS, vmm->life);

		if (err && err != -ECONNRESET && err != -EINTR)
			return cannot("the event loop failed: %s", strerror(-err));
		drain(vmm);
		if (err || !vmm->options->snapshot || !vmm->wire->connected(vmm->server))
			continue;
		err = take(vmm, next_kind(vmm));
		if (err == -EBADMSG && once)
			return EXIT_LOST;
		if (err == -EINVAL)
			return cannot("the agent's memory is none that this program can read");
		/* The agent's doing: the next one, or the next attempt, may do better. */
		if (err == -ECONNRESET || err == -ETIMEDOUT || err == -EINTR || err == -EBADMSG)
			continue;
		if (err)
			return cannot("%s: %s", vmm->options->snapshot, strerror(-err));
		if (once)
			return EXIT_OK;
	}
	return vmm->options->snapshot && once ? EXIT_INTERRUPTED : EXIT_OK;
}

static int open_server(struct vmm *vmm)
{
	int err = fph_loop_open(&vmm->loop, 0);

	if (err)
		return cannot("no event loop: %s", strerror(-err));
	/*
	 * The kernel closes what a killed process had in io_uring a little after its end: so
	 * long it looks as if somebody listened there.
	 */
	for (int i = 0; i < RELISTEN_MS; i += IDLE_MS) {
		err = vmm->wire->open(&vmm->server, vmm->loop, vmm->options->socket, changed, gone,
				      vmm);
		if (err != -EADDRINUSE || interrupted())
			break;
		nanosleep(&(struct timespec){.tv_nsec = IDLE_MS * 1000000}, NULL);
	}
	if (err)
		return cannot("cannot listen at %s: %s", vmm->options->socket, strerror(-err));
	vmm->device = vmm->wire->device(vmm->server);
	step(VMM_LISTENING);
	return 0;
}

/*
 * The supervisor was killed, and left a directory behind that nobody else knows: made for
 * this run, and with nothing in it but what this process made.
 */
static void bury_supervisor(const struct options *options)
{
	char dir[108];
	char *end;

	snprintf(dir, sizeof(dir), "%s", options->socket);
	end = strrchr(dir, '/');
	unlink(options->snapshot);
	if (end) {
		*end = '\0';
		rmdir(dir);
	}
}

int vmm_main(const struct options *options)
{
	pid_t parent = getppid();
	struct vmm vmm = {
		.options = options,
		.wire = device_wire(options->vfio_user),
		.away = true,
		.board = board_open(options->board_fd),
	};
	int status;

	if (!vmm.board)
		return cannot("out of memory");
	step_signal_at(options->die_at, options->die_signal, vmm.board);
	status = open_server(&vmm);
	if (!status)
		status = serve(&vmm);
	if (vmm.server)
		vmm.wire->close(vmm.server);
	fph_loop_close(vmm.loop);
	board_close(vmm.board);
	if (options->board_fd >= 0 && options->snapshot && getppid() != parent)
		bury_supervisor(options);
	return status;
}
