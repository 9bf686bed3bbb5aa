/* SPDX-License-Identifier: MIT */
/*
 * A copy of the guest's memory.  The guest must stand still from the end of the round to
 * the end of the copy: nothing here sees what it writes.
 */
#include "snapshot.h"
#include "qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Turns in which nothing may come any more of a guest that was stopped. */
#define QUIET_TURNS 3
#define QUIET_MAX   1000

struct taking {
	struct balloon *balloon;
	struct snapshot *snapshot;
	struct memory memory;
	struct qmp *qmp; /* NULL: not by us */
	char partial[PATH_MAX];
	int fd;
	uint64_t stopped_ns; /* when it stopped; 0: it runs, or was not stopped by us */
};

__attribute__((format(printf, 3, 4))) static int fail(struct taking *taking, int err,
						      const char *format, ...)
{
	char *why = taking->snapshot->why;
	va_list args;

	va_start(args, format);
	if (!*why)
		vsnprintf(why, sizeof(taking->snapshot->why), format, args);
	va_end(args);
	return err;
}

static int fail_copy(struct taking *taking, int err)
{
	switch (err) {
	case -EINTR:
		return fail(taking, err, "interrupted");
	case -ECANCELED:
		return fail(taking, err, "the client left, or its memory or driver changed");
	case -ENODATA:
		return fail(taking, err, "the client made the file of its memory shorter");
	default:
		return fail(taking, err, "%s.partial: %s", taking->snapshot->file, strerror(-err));
	}
}

/* ------------------------------------------------------------ files */

/* Another file than the guest's memory, which may have any name. */
static int open_partial(struct taking *taking)
{
	const char *file = taking->snapshot->file;
	struct stat memory, there;

	if (fstat(taking->memory.fd, &memory))
		return fail(taking, -errno, "the guest's memory: %s", strerror(errno));
	if (stat(file, &there) == 0 && (!S_ISREG(there.st_mode) || (there.st_dev == memory.st_dev &&
								    there.st_ino == memory.st_ino)))
		return fail(taking, -EEXIST, "%s: no file that may be replaced", file);
	snprintf(taking->partial, sizeof(taking->partial), "%s.partial", file);
	taking->fd = open(taking->partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
			  0600);
	if (taking->fd < 0 || fstat(taking->fd, &there))
		return fail(taking, -errno, "%s: %s", taking->partial, strerror(errno));
	if (!S_ISREG(there.st_mode) ||
	    (there.st_dev == memory.st_dev && there.st_ino == memory.st_ino)) {
		/* Not ours to remove. */
		taking->partial[0] = '\0';
		return fail(taking, -EEXIST, "%s.partial: no file that may be replaced", file);
	}
	if (ftruncate(taking->fd, 0) || ftruncate(taking->fd, (off_t)(taking->memory.pages * PAGE)))
		return fail(taking, -errno, "%s: %s", taking->partial, strerror(errno));
	return 0;
}

static int sync_file(struct taking *taking)
{
	struct copy copy = { .kind = COPY_SYNC, .to = taking->fd };
	uint64_t start = now_ns();
	int err = copy_run(&copy, taking->balloon, NULL, false);

	taking->snapshot->sync_ns = now_ns() - start;
	if (err)
		return fail_copy(taking, err);
	if (rename(taking->partial, taking->snapshot->file))
		return fail(taking, -errno, "%s: %s", taking->snapshot->file, strerror(errno));
	taking->partial[0] = '\0';
	return 0;
}

static void drop_file(struct taking *taking)
{
	if (taking->fd >= 0)
		close(taking->fd);
	if (taking->fd >= 0 && taking->partial[0])
		unlink(taking->partial);
	taking->fd = -1;
}

/* ------------------------------------------------------------ the guest */

static int stop_guest(struct taking *taking)
{
	if (!taking->qmp)
		return 0;
	taking->stopped_ns = now_ns();
	if (qmp_tell(taking->qmp, "stop"))
		return fail(taking, -EIO, "%s", taking->qmp->why);
	return 0;
}

static int let_guest_go(struct taking *taking)
{
	uint64_t start = taking->stopped_ns;

	if (!start)
		return 0;
	taking->stopped_ns = 0;
	if (qmp_tell(taking->qmp, "cont")) {
		cannot("the guest is stopped still, for: %s", taking->qmp->why);
		return fail(taking, -EIO, "%s", taking->qmp->why);
	}
	taking->snapshot->stopped_ns = now_ns() - start;
	return 0;
}

/*
 * What it wrote to the device before it stopped is read before the copy begins, so that
 * whatever comes later shows a guest that was not stopped at all.
 */
static int quieten(struct taking *taking)
{
	struct balloon *balloon = taking->balloon;
	int quiet = 0;

	for (int i = 0; i < QUIET_MAX && quiet < QUIET_TURNS; i++) {
		uint64_t before = balloon_wire(balloon, NULL).bar;
		int err = balloon_turn(balloon, 1);

		if (err)
			return fail_copy(taking, err);
		quiet = balloon_wire(balloon, NULL).bar == before ? quiet + 1 : 0;
	}
	return quiet < QUIET_TURNS ? fail(taking, -EBUSY, "the guest is not stopped") : 0;
}

/* ------------------------------------------------------------ the copy */

static int copy_memory(struct taking *taking)
{
	struct balloon *balloon = taking->balloon;
	struct snapshot *snapshot = taking->snapshot;
	const struct round *round = &balloon->round;
	struct copy copy = {
		.kind = COPY_PAGES,
		.from = taking->memory.fd,
		.to = taking->fd,
		.pages = taking->memory.pages,
	};
	uint64_t start = now_ns(), accesses;
	int err = quieten(taking);

	if (err)
		return err;
	accesses = balloon_wire(balloon, NULL).bar;
	/* Hints of another file, or of one that has another size now, are none. */
	if (round->valid && round->hinted.words && round->memory.pages == copy.pages) {
		copy.hinted = &round->hinted;
		copy.sums = round->before;
		snapshot->hints = true;
		snapshot->over = round->over;
		snapshot->trusted = round->before != NULL;
		snapshot->hinted = round_pages(round);
	}
	err = copy_run(&copy, balloon, "copying", true);
	snapshot->counts = copy.counts;
	snapshot->pages = copy.pages;
	snapshot->copy_ns = now_ns() - start;
	if (err)
		return fail_copy(taking, err);
	/* The driver and the VMM both reach the device this way, and both stand still. */
	if (balloon_wire(balloon, NULL).bar != accesses)
		return fail(taking, -EBUSY, "the guest ran while it was copied");
	return 0;
}

static int gather(struct taking *taking)
{
	struct balloon *balloon = taking->balloon;
	const char *why = "";
	int err;

	if (taking->snapshot->by_qmp) {
		err = round_start(balloon, &why);
		/* No hints, then; all that is not zero is copied. */
		if (err && err != -ENOTCONN)
			return fail(taking, err, "%s", why);
		err = err ? 0 : round_wait(balloon);
		if (err)
			return fail_copy(taking, err);
	}
	round_stop(balloon);
	return 0;
}

static int take(struct taking *taking)
{
	const char *why = "";
	int err = memory_open(&taking->memory, taking->balloon->server, &why);

	if (err)
		return fail(taking, err, "%s",
			    taking->balloon->connected ? why : "there is no client");
	err = open_partial(taking);
	if (!err)
		err = gather(taking);
	if (!err)
		err = stop_guest(taking);
	if (!err)
		err = copy_memory(taking);
	/* In any case: it goes on, and has its pages back (BH-16). */
	if (let_guest_go(taking) && !err)
		err = -EIO;
	round_done(taking->balloon);
	return err ? err : sync_file(taking);
}

int snapshot_take(struct balloon *balloon, struct snapshot *snapshot)
{
	struct taking taking = {
		.balloon = balloon,
		.snapshot = snapshot,
		.memory = { .fd = -1 },
		.fd = -1,
	};
	uint64_t start = now_ns();
	int err = 0;

	snapshot->why[0] = '\0';
	if (snapshot->by_qmp) {
		taking.qmp = malloc(sizeof(*taking.qmp));
		if (!taking.qmp)
			return fail(&taking, -ENOMEM, "too little memory");
		err = qmp_open(taking.qmp, balloon, balloon->options->qmp);
		if (err)
			fail(&taking, err, "%s", taking.qmp->why);
		else if (!taking.qmp->running)
			err = fail(&taking, -EBUSY,
				   "the guest is stopped: let it run, or send snapshot-stopped");
	}
	if (!err)
		err = take(&taking);
	drop_file(&taking);
	memory_close(&taking.memory);
	if (taking.qmp)
		qmp_close(taking.qmp);
	free(taking.qmp);
	snapshot->ns = now_ns() - start;
	return err;
}
