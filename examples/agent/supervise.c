/* SPDX-License-Identifier: MIT */
/*
 * The supervisor: starts both processes, kills them if asked to, and brings back what
 * was killed.  The memory and the board are its own, so they survive both.
 */
#include "supervise.h"
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND	  UINT64_C(1000000000)
#define SERVED_NS (10 * SECOND) /* a newcomer waits no longer */
#define STUCK_NS  (60 * SECOND) /* no snapshot for so long: that is none any more */
#define END_NS	  (20 * SECOND)

static const char *const side_names[] = {[SIDE_AGENT] = "agent", [SIDE_VMM] = "vmm"};

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static uint64_t snapshots(const struct supervisor *super)
{
	struct tally tally = board_tally(super->board);

	return tally.kinds[0].snapshots + tally.kinds[1].snapshots +
	       board_read(&super->board->unfaithful);
}

/* ------------------------------------------------------------ children */

#define ARGS_MAX 16

static void arguments(const struct supervisor *super, enum side side,
		      const char *args[ARGS_MAX], char text[3][24])
{
	const struct options *options = super->options;
	int n = 0;

	snprintf(text[0], sizeof(text[0]), "%d", super->board_fd);
	snprintf(text[1], sizeof(text[1]), "%d", super->memory_fd);
	snprintf(text[2], sizeof(text[2]), "%" PRIu64,
		 (options->seed + super->killed[SIDE_AGENT]) & UINT32_MAX);
	args[n++] = "fph-agent";
	args[n++] = side_names[side];
	args[n++] = "--socket";
	args[n++] = super->socket;
	args[n++] = "--board-fd";
	args[n++] = text[0];
	if (side == SIDE_AGENT) {
		args[n++] = "--memory-fd";
		args[n++] = text[1];
		args[n++] = "--seed";
		args[n++] = text[2];
	} else {
		args[n++] = "--snapshot";
		args[n++] = super->snapshot;
		if (!options->hints)
			args[n++] = "--no-hints";
		if (options->break_order)
			args[n++] = "--break=order";
	}
	if (options->vfio_user)
		args[n++] = "--vfio-user";
	if (options->die_at != STEP_NONE && !super->died &&
	    step_is_agent(options->die_at) == (side == SIDE_AGENT)) {
		args[n++] = "--die-at";
		args[n++] = step_name(options->die_at);
	}
	args[n] = NULL;
}

static void start(struct supervisor *super, enum side side)
{
	pid_t parent = getpid(), pid;
	const char *args[ARGS_MAX];
	char text[3][24];

	arguments(super, side, args, text);
	pid = fork();
	if (pid == 0) {
		/* The two shall not outlive us, whatever happens. */
		prctl(PR_SET_PDEATHSIG, side == SIDE_AGENT ? SIGKILL : SIGTERM);
		signal(SIGINT, SIG_IGN);
		if (getppid() != parent)
			_exit(EXIT_CANNOT);
		if (super->options->json)
			dup2(STDERR_FILENO, STDOUT_FILENO);
		fcntl(super->board_fd, F_SETFD, 0);
		if (side == SIDE_AGENT)
			fcntl(super->memory_fd, F_SETFD, 0);
		execv("/proc/self/exe", (char *const *)(uintptr_t)args);
		_exit(EXIT_CANNOT);
	}
	super->pid[side] = pid;
	if (pid < 0)
		super->failure = "cannot start a process";
}

/* A life has ended by a kill, from here or from anywhere. */
static void note_kill(struct supervisor *super)
{
	super->calm_ns = super->progress_ns = board_now();
	super->attached = board_read(&super->board->attached);
	super->served = false;
	super->kill_ns = 0;
}

static void ended(struct supervisor *super, pid_t pid, int status)
{
	enum side side = pid == super->pid[SIDE_AGENT] ? SIDE_AGENT : SIDE_VMM;

	if (pid != super->pid[side])
		return;
	super->pid[side] = 0;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		super->failure = side == SIDE_AGENT ? "the agent ended by itself"
						    : "the VMM ended by itself";
		return;
	}
	super->killed[side]++;
	note_kill(super);
	if (super->options->die_at != STEP_NONE && !super->died &&
	    step_is_agent(super->options->die_at) == (side == SIDE_AGENT))
		super->died = true;
	fprintf(super->options->json ? stderr : stdout, "%s: killed; a newcomer comes\n",
		side_names[side]);
	start(super, side);
}

static void reap(struct supervisor *super)
{
	int status;
	pid_t pid;

	while (!super->failure && (pid = waitpid(-1, &status, WNOHANG)) > 0)
		ended(super, pid, status);
}

/* ------------------------------------------------------------ kills */

static uint64_t below(struct supervisor *super, uint64_t n)
{
	super->rng = super->rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (super->rng >> 33) % n;
}

static bool kills_left(const struct supervisor *super)
{
	return super->options->kill_sides && super->sent < super->options->kills;
}

/* Mostly once the newcomer is served, which is when there is something to lose. */
static void kill_one(struct supervisor *super)
{
	unsigned sides = super->options->kill_sides;
	enum side side;

	if (!kills_left(super))
		return;
	if (!super->kill_ns && (super->served || below(super, 256) == 0))
		super->kill_ns = board_now() + below(super, 250) * 1000000;
	if (!super->kill_ns || board_now() < super->kill_ns)
		return;
	side = sides == 1u << SIDE_AGENT ? SIDE_AGENT : SIDE_VMM;
	if (sides == (1u << SIDE_AGENT | 1u << SIDE_VMM))
		side = below(super, 2) ? SIDE_AGENT : SIDE_VMM;
	super->sent++;
	super->kill_ns = UINT64_MAX; /* not before this one is over */
	board_killed(super->board, side);
	kill(super->pid[side], SIGKILL);
}

/* ------------------------------------------------------------ the run */

static void watch(struct supervisor *super)
{
	uint64_t now = board_now(), n = snapshots(super);

	if (!super->served && board_read(&super->board->attached) > super->attached) {
		super->served = true;
		super->snapshots = n;
		super->calm_ns = now;
	}
	if (n != super->progress) {
		super->progress = n;
		super->progress_ns = now;
	}
	if (!super->served && now - super->calm_ns > SERVED_NS)
		super->failure = "agent and VMM did not find each other again in 10 seconds";
	if (now - super->progress_ns > STUCK_NS)
		super->failure = super->options->die_at != STEP_NONE && !super->died
					 ? "the step was never reached"
					 : "no snapshot came about for a minute";
}

static bool done(const struct supervisor *super)
{
	const struct options *options = super->options;
	uint64_t n = snapshots(super);

	/* At least one that began after the last newcomer was served. */
	if (n < options->snapshots || !super->served || n <= super->snapshots)
		return false;
	if (kills_left(super) || super->kill_ns == UINT64_MAX)
		return false;
	if (board_now() - super->start_ns < options->seconds * SECOND)
		return false;
	return options->die_at == STEP_NONE || super->died || n >= options->snapshots + 64;
}

static void finish(struct supervisor *super, enum side side)
{
	uint64_t limit = board_now() + END_NS;
	int status = 0;

	if (super->pid[side] <= 0)
		return;
	kill(super->pid[side], super->failure ? SIGKILL : SIGTERM);
	while (waitpid(super->pid[side], &status, WNOHANG) == 0) {
		if (board_now() > limit)
			kill(super->pid[side], SIGKILL);
		nap();
	}
	super->pid[side] = 0;
	if (super->failure)
		return;
	if (!WIFEXITED(status) || (side == SIDE_VMM && WEXITSTATUS(status)))
		super->failure = side == SIDE_AGENT ? "the agent did not end orderly"
						    : "the VMM did not end orderly";
}

static void judge(struct supervisor *super)
{
	const struct options *options = super->options;
	enum side other;

	if (super->failure || options->die_at == STEP_NONE)
		return;
	other = step_is_agent(options->die_at) ? SIDE_VMM : SIDE_AGENT;
	if (!super->died)
		super->failure = "the step was never reached";
	else if (step_meets(options->die_at) && !board_read(&super->board->noticed[other]))
		super->failure = "the other side did not notice";
	else if (board_read(&super->board->notice_ns[other]) > 5 * SECOND)
		super->failure = "the other side took more than 5 seconds to notice";
}

static int set_up(struct supervisor *super)
{
	const char *tmp = getenv("TMPDIR");
	int n = snprintf(super->dir, sizeof(super->dir), "%s/fph-agent-XXXXXX",
			 tmp && *tmp ? tmp : "/tmp");

	if (n < 0 || (size_t)n >= sizeof(super->dir)) {
		super->dir[0] = '\0';
		return cannot("TMPDIR is too long for a socket's path; choose a shorter one");
	}
	super->board_fd = board_create();
	super->memory_fd = memory_create(super->options->memory);
	if (super->board_fd >= 0)
		super->board = board_open(super->board_fd);
	if (!super->board || super->memory_fd < 0) {
		super->dir[0] = '\0';
		return cannot("cannot make the memory");
	}
	if (!mkdtemp(super->dir)) {
		int status = cannot("cannot make a directory in %s: %s",
				    tmp && *tmp ? tmp : "/tmp", strerror(errno));

		super->dir[0] = '\0';
		return status;
	}
	snprintf(super->socket, sizeof(super->socket), "%s/socket", super->dir);
	snprintf(super->snapshot, sizeof(super->snapshot), "%s/snapshot", super->dir);
	return 0;
}

static void clean_up(struct supervisor *super)
{
	char partial[112];

	if (super->dir[0]) {
		snprintf(partial, sizeof(partial), "%s.partial", super->snapshot);
		unlink(partial);
		unlink(super->snapshot);
		unlink(super->socket);
		rmdir(super->dir);
	}
	if (super->board_fd >= 0)
		close(super->board_fd);
	if (super->memory_fd >= 0)
		close(super->memory_fd);
	board_close(super->board);
}

int supervise_main(const struct options *options)
{
	struct supervisor super = {
		.options = options,
		.board_fd = -1,
		.memory_fd = -1,
		.rng = options->seed,
		.start_ns = board_now(),
		.calm_ns = board_now(),
		.progress_ns = board_now(),
	};
	int status = set_up(&super);

	if (!status) {
		start(&super, SIDE_VMM);
		start(&super, SIDE_AGENT);
		while (!interrupted() && !super.failure && !done(&super)) {
			reap(&super);
			watch(&super);
			kill_one(&super);
			nap();
		}
		/* The VMM first: so nothing is asked of the agent any more. */
		finish(&super, SIDE_VMM);
		finish(&super, SIDE_AGENT);
		judge(&super);
		status = interrupted() ? EXIT_INTERRUPTED : report(&super);
		if (interrupted())
			fputs("fph-agent: interrupted\n", stderr);
	}
	clean_up(&super);
	return status;
}
