/* SPDX-License-Identifier: MIT */
/*
 * The parent: owns memory and ghost, starts both sides, kills, stops and brings them back,
 * and sees that they get somewhere.
 */
#include "parent.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND	 (1000 * MS)
#define CALM_NS	 (2 * SECOND)  /* without a migration: then nobody is disturbed */
#define STALL_NS (10 * SECOND) /* and so long is a failure */
#define END_NS	 (15 * SECOND)

struct parent {
	struct soak soak;
	struct result *result;
	char dir[64];
	struct rng rng;
	pid_t pid[2];
	uint64_t lives[2];
	uint64_t start_ns;
	uint64_t next_ns;	 /* something is done to a side */
	uint64_t continue_ns[2]; /* it is stopped until then; 0: it runs */
	uint64_t attached[2];	 /* as it was when that side was killed */
	uint64_t pending[2];	 /* deaths since then */
	uint64_t progress, progress_ns;
	uint64_t watched_ns;
	uint64_t closes[2]; /* as it was at the last sample */
	uint64_t sample_ns, told_ns;
};

/* ------------------------------------------------------------ children */

static void start(struct parent *p, enum side side)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGINT, SIG_IGN);
		signal(SIGTERM, SIG_IGN);
		if (getppid() != parent)
			_exit(2);
		/* Not _exit(): a sanitizer looks for leaks there. */
		exit(side == GUEST ? guest_life(&p->soak, p->lives[side])
				   : device_life(&p->soak, p->lives[side]));
	}
	if (pid < 0)
		p->result->failure = "cannot start a process";
	p->pid[side] = pid;
	p->lives[side]++;
	trend_next_life(&p->result->rss[side]);
	trend_next_life(&p->result->fds[side]);
}

static void reap(struct parent *p)
{
	int status;
	pid_t pid;

	while (!p->result->failure && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
		enum side side = pid == p->pid[GUEST] ? GUEST : DEVICE;

		p->pid[side] = 0;
		p->continue_ns[side] = 0;
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
			p->result->failure = side == GUEST ? "the guest ended by itself"
							   : "the device ended by itself";
			return;
		}
		/* Nobody is paused for the dead. */
		if (side == DEVICE)
			__atomic_store_n(&p->soak.board->request, 0, __ATOMIC_RELEASE);
		start(p, side);
	}
}

/* ------------------------------------------------------------ disturbances */

/* Mostly soon, and at times so late that a process grows old. */
static void plan(struct parent *p)
{
	static const uint64_t most_ms[] = { 40, 150, 150, 600, 600, 20000 };
	uint64_t most = most_ms[below(&p->rng, 6)], limit = p->soak.seconds * 1000 / 8;

	p->next_ns = now_ns() + below(&p->rng, most < limit ? most : limit) * MS;
}

static void kill_side(struct parent *p, enum side side)
{
	kill(p->pid[side], SIGKILL);
	p->result->kills[side]++;
	p->pending[side]++;
	p->attached[side] = __atomic_load_n(&p->soak.board->attached, __ATOMIC_RELAXED);
}

static void stop_side(struct parent *p, enum side side)
{
	/* At times for longer than the other side waits. */
	uint64_t ms = once_in(&p->rng, 8) ? 1500 : below(&p->rng, 200);

	kill(p->pid[side], SIGSTOP);
	p->result->pauses++;
	p->continue_ns[side] = now_ns() + ms * MS;
}

static void continue_sides(struct parent *p)
{
	for (unsigned i = 0; i < 2; i++)
		if (p->continue_ns[i] && now_ns() >= p->continue_ns[i]) {
			kill(p->pid[i], SIGCONT);
			p->continue_ns[i] = 0;
		}
}

static void disturb(struct parent *p)
{
	uint64_t now = now_ns();
	enum side side;

	if (now < p->next_ns || now - p->progress_ns > CALM_NS)
		return;
	side = once_in(&p->rng, 2) ? GUEST : DEVICE;
	if (below(&p->rng, 5) < 3)
		kill_side(p, side);
	else
		stop_side(p, side);
	plan(p);
}

/* ------------------------------------------------------------ watching */

static void watch(struct parent *p)
{
	struct board *board = p->soak.board;
	uint64_t now = now_ns();
	uint64_t attached = __atomic_load_n(&board->attached, __ATOMIC_RELAXED);
	uint64_t progress = __atomic_load_n(&board->migrations, __ATOMIC_RELAXED);

	for (unsigned i = 0; i < 2; i++)
		if (p->pending[i] && attached > p->attached[i]) {
			p->result->survived[i] += p->pending[i];
			p->pending[i] = 0;
		}
	/* A machine that its hypervisor held up is no stall: we stood still, too. */
	if (now - p->watched_ns > SECOND)
		p->progress_ns += now - p->watched_ns;
	p->watched_ns = now;
	if (progress != p->progress) {
		p->progress = progress;
		p->progress_ns = now;
	}
	if (now - p->progress_ns > STALL_NS)
		p->result->failure = "a stall: no migration came to its end for 10 s";
}

static void sample_one(struct parent *p, enum watched which, uint64_t rss, uint64_t fds)
{
	double minutes = (double)(now_ns() - p->start_ns) / (60.0 * SECOND);

	trend_add(&p->result->rss[which], minutes, (double)rss);
	trend_add(&p->result->fds[which], minutes, (double)fds);
}

/* The children say what they hold whenever they have nothing open. */
static void sample(struct parent *p)
{
	struct board *b = p->soak.board;

	for (unsigned i = 0; i < 2; i++) {
		uint64_t closes = __atomic_load_n(&b->closes[i], __ATOMIC_ACQUIRE);

		if (closes != p->closes[i])
			sample_one(p, i == GUEST ? WATCH_GUEST : WATCH_DEVICE, b->rss_kib[i],
				   b->fds[i]);
		p->closes[i] = closes;
	}
	if (now_ns() < p->sample_ns)
		return;
	p->sample_ns = now_ns() + SECOND / 4;
	sample_one(p, WATCH_PARENT, rss_kib(getpid()), count_fds(getpid()));
}

/* Each second on a terminal, each minute elsewhere. */
static void tell(struct parent *p)
{
	const struct board *b = p->soak.board;
	bool terminal = isatty(STDERR_FILENO);
	uint64_t now = now_ns();

	if (now - p->told_ns < (terminal ? 1 : 60) * SECOND)
		return;
	p->told_ns = now;
	fprintf(stderr,
		"%s%s %4" PRIu64 " s: %" PRIu64 " connections, %" PRIu64 " migrations, %" PRIu64
		" hints, %" PRIu64 " left out, %" PRIu64 " verified, %" PRIu64
		" kills, %" PRIu64 " violations%s",
		terminal ? "\r\033[K" : "", p->soak.transport, (now - p->start_ns) / SECOND,
		b->connections, b->migrations, b->hints, b->left_out, b->verified,
		p->result->kills[0] + p->result->kills[1], b->violations, terminal ? "" : "\n");
}

/* ------------------------------------------------------------ begin and end */

static int make_memory(struct soak *soak)
{
	soak->memory_fd = memfd_create("fph-soak", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (soak->memory_fd < 0 || ftruncate(soak->memory_fd, (off_t)FILE_BYTES) ||
	    fcntl(soak->memory_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		return -errno;
	soak->memory = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, soak->memory_fd,
			    0);
	soak->board = mmap(NULL, sizeof(*soak->board), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	soak->ghost = mmap(NULL, sizeof(*soak->ghost), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (soak->memory == MAP_FAILED || soak->board == MAP_FAILED || soak->ghost == MAP_FAILED)
		return -ENOMEM;
	soak->board->plugged = (1u << REGIONS) - 1;
	return 0;
}

static int set_up(struct parent *p)
{
	const char *tmp = getenv("TMPDIR");
	int n = snprintf(p->dir, sizeof(p->dir), "%s/fph-soak-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	int err = make_memory(&p->soak);

	if (err) {
		fprintf(stderr, "fph-soak: cannot make the memory: %s\n", strerror(-err));
		return 2;
	}
	if (n < 0 || (size_t)n >= sizeof(p->dir) || !mkdtemp(p->dir)) {
		fprintf(stderr, "fph-soak: cannot make a directory for the socket in %s: set "
				"TMPDIR to a short path that can be written\n",
			tmp && *tmp ? tmp : "/tmp");
		return 2;
	}
	snprintf(p->soak.socket, sizeof(p->soak.socket), "%s/socket", p->dir);
	return 0;
}

static void clean_up(struct parent *p)
{
	unlink(p->soak.socket);
	rmdir(p->dir);
	munmap(p->soak.memory, FILE_BYTES);
	munmap(p->soak.board, sizeof(*p->soak.board));
	munmap(p->soak.ghost, sizeof(*p->soak.ghost));
	close(p->soak.memory_fd);
}

static void finish(struct parent *p, enum side side)
{
	uint64_t until = now_ns() + END_NS;
	bool late = false;
	int status = 0;

	if (p->pid[side] <= 0)
		return;
	kill(p->pid[side], SIGCONT);
	while (waitpid(p->pid[side], &status, WNOHANG) == 0) {
		if (p->result->failure || now_ns() > until) {
			late = true;
			kill(p->pid[side], SIGKILL);
		}
		nanosleep(&(struct timespec){ .tv_nsec = (long)MS }, NULL);
	}
	if (!p->result->failure && (late || !WIFEXITED(status) || WEXITSTATUS(status)))
		p->result->failure = side == GUEST ? "the guest did not end in good order"
						   : "the device did not end in good order";
}

static void live(struct parent *p)
{
	uint64_t end_ns = p->start_ns + p->soak.seconds * SECOND;

	start(p, DEVICE);
	start(p, GUEST);
	plan(p);
	while (!interrupted() && !p->result->failure) {
		bool over = now_ns() >= end_ns;

		reap(p);
		watch(p);
		sample(p);
		tell(p);
		continue_sides(p);
		if (!over)
			disturb(p);
		/* The last newcomer is to be served, too. */
		if (over && !p->pending[GUEST] && !p->pending[DEVICE])
			break;
		nanosleep(&(struct timespec){ .tv_nsec = (long)MS }, NULL);
	}
	__atomic_store_n(&p->soak.board->end, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&p->soak.board->request, 0, __ATOMIC_RELEASE);
	kill(p->pid[DEVICE], SIGCONT);
	finish(p, GUEST);
	finish(p, DEVICE);
}

/* What must have happened, or the run has shown nothing. */
static const char *judge(const struct result *r)
{
	const struct board *b = &r->board;

	if (r->failure)
		return r->failure;
	if (!b->migrations || !b->hints || !b->left_out || !b->verified)
		return "nothing was left out of a copy, or nothing verified: this run shows nothing";
	if (!r->survived[GUEST] && !r->survived[DEVICE])
		return "no death was survived: this run shows nothing";
	if (b->leaks)
		return "a leak";
	return b->violations ? "violations" : NULL;
}

int soak_run(const struct options *options, bool vhost_user, uint64_t seconds,
	     struct result *result)
{
	unsigned fds = count_fds(getpid());
	struct parent p = {
		.soak = { .transport = vhost_user ? "vhost-user" : "shm",
			  .vhost_user = vhost_user,
			  .fault = options->fault,
			  .seed = options->seed,
			  .seconds = seconds },
		.result = result,
		.rng = rng_make(options->seed, UINT64_MAX - vhost_user),
		.start_ns = now_ns(),
	};
	int status = set_up(&p);

	if (status)
		return status;
	fprintf(stderr, "fph-soak: %s: %" PRIu64 " s, seed %" PRIu64 "\n", p.soak.transport, seconds,
		options->seed);
	p.progress_ns = p.watched_ns = p.told_ns = p.start_ns;
	*result = (struct result){ .transport = p.soak.transport };
	live(&p);
	result->seconds = (double)(now_ns() - p.start_ns) / (double)SECOND;
	for (unsigned i = 0; i < WATCHED; i++) {
		trend_next_life(&result->rss[i]);
		trend_next_life(&result->fds[i]);
	}
	result->board = *p.soak.board;
	clean_up(&p);
	if (count_fds(getpid()) != fds) {
		result->board.leaks++;
		result->board.violations++;
	}
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	result->failure = judge(result);
	return result->failure ? 1 : 0;
}
