/* SPDX-License-Identifier: MIT */
/*
 * Pre-copy migration, and where hints come in.  The order is the whole point:
 *
 *	stop	no hint of the last round counts any more
 *	sync	read KVM's dirty log into our bitmap, and protect those pages again
 *	start	show the guest a new id: what it hints from now on was free after the sync
 *	poll	clear the bits of hinted pages in our bitmap, and nowhere else
 *	send	what is left, and again from the top; at the end with the guest paused
 *
 * --order lazy does what QEMU does with KVM: pages are protected again only when they are
 * sent or hinted.  A write between the sync and the hint then leaves no trace of its own,
 * and protecting the page for its hint wipes the only one there is (S2, R3).
 */
#include "migrate.h"
#include <errno.h>
#include <fph/bitmap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HINTS_MAX     64
#define SMALL_ENOUGH  128u /* pages that may be left for the time the guest stands */
#define PATIENCE_MS   300  /* for the guest's hints, at the start of a round */
#define CHUNK	      64u  /* pages that KVM protects in one go */

struct migration {
	struct machine *m;
	const struct options *options;
	struct outcome *out;
	int fd;
	struct fph_bitmap dirty; /* to be sent */
	uint64_t *log;		 /* what KVM said last, one bit a page */
	uint64_t words;
	unsigned rewrote; /* how often the guest had rewritten a hinted page before */
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ------------------------------------------------------------ the dirty log */

static int sync_log(struct migration *g)
{
	uint64_t pages = g->dirty.pages;
	int rc = vm_log_read(&g->m->vm, g->log);

	if (rc == 0 && !g->options->lazy)
		rc = vm_log_protect(&g->m->vm, g->log, 0, pages);
	for (uint64_t i = 0; i < g->words && rc == 0; i++)
		g->dirty.words[i] |= g->log[i];
	return rc;
}

/* QEMU's way: the chunk that a page is in is protected when the first of it is handled. */
static int protect_chunk(struct migration *g, uint64_t page)
{
	uint64_t word = page / CHUNK, bits = g->log[word];

	g->log[word] = 0;
	if (!g->options->lazy || !bits)
		return 0;
	return vm_log_protect(&g->m->vm, &bits, word * CHUNK, CHUNK);
}

/* ------------------------------------------------------------ hints */

static void take_hint(struct migration *g, struct fph_range hint)
{
	uint64_t first = hint.gpa / VM_PAGE, n = hint.len / VM_PAGE;

	if (g->options->lazy)
		for (uint64_t page = first; page < first + n; page++)
			protect_chunk(g, page);
	g->out->hinted += fph_bitmap_clear(&g->dirty, hint);
	g->out->hint_count++;
}

/* Returns whether the guest may have more to say in this round. */
static bool take_hints(struct migration *g)
{
	struct fph_range hints[HINTS_MAX];
	bool over;
	int n;

	machine_serve(g->m);
	pthread_mutex_lock(&g->m->lock);
	do {
		n = fph_device_poll(&g->m->balloon, hints, HINTS_MAX);
		for (int i = 0; i < n; i++)
			take_hint(g, hints[i]);
	} while (n > 0 || n == -EAGAIN);
	over = n < 0 || fph_device_round_over(&g->m->balloon);
	pthread_mutex_unlock(&g->m->lock);
	return !over;
}

static int set_round(struct migration *g, int (*verb)(struct fph_device *))
{
	int rc;

	if (!g->out->hints)
		return 0;
	pthread_mutex_lock(&g->m->lock);
	rc = verb(&g->m->balloon);
	pthread_mutex_unlock(&g->m->lock);
	/* No driver, or a broken one: then all is sent, which is no error. */
	return rc == -ENOTCONN || rc == -EPROTO ? 0 : rc;
}

/* A guest that hints is worth some waiting: what it hints need not be read at all. */
static int wait_for_hints(struct migration *g)
{
	double end = now_ms() + PATIENCE_MS;
	int rc = 0;

	if (!g->out->hints)
		return 0;
	if (g->options->early_reuse && g->out->rounds == 1) {
		/* The moment that decides: the page was hinted, and written again, and we are late. */
		rc = machine_wait(g->m, &g->m->rewrote, g->rewrote, 20000);
		if (rc == -ETIMEDOUT)
			fprintf(stderr, "fph-vmm: the guest did not rewrite a hinted page\n");
	}
	while (rc == 0 && take_hints(g) && now_ms() < end)
		fph_loop_run(g->m->loop, 1);
	return rc;
}

/* ------------------------------------------------------------ sending */

static bool is_zero(const unsigned char *page)
{
	return page[0] == 0 && memcmp(page, page + 1, VM_PAGE - 1) == 0;
}

static int send_page(struct migration *g, uint64_t page)
{
	/* The page is copied first: the guest may write to it meanwhile, and is_zero() too late. */
	unsigned char copy[VM_PAGE];
	struct wire_head head = { .type = WIRE_PAGE, .len = VM_PAGE, .gpa = page * VM_PAGE };
	int rc;

	memcpy(copy, g->m->vm.ram + page * VM_PAGE, VM_PAGE);
	if (is_zero(copy)) {
		head.type = WIRE_ZERO;
		head.len = 0;
		g->out->zero++;
	}
	rc = wire_write(g->fd, &head, sizeof(head));
	if (rc == 0 && head.len)
		rc = wire_write(g->fd, copy, VM_PAGE);
	g->out->sent++;
	g->out->bytes += sizeof(head) + head.len;
	return rc;
}

static int send_dirty(struct migration *g)
{
	uint64_t first = 0, n = 0, from = 0;
	int rc = 0;

	while (rc == 0 && fph_bitmap_run(&g->dirty, from, &first, &n)) {
		uint64_t end = n < CHUNK ? first + n : first + CHUNK;

		for (uint64_t page = first; page < end && rc == 0; page++) {
			struct fph_range range = { page * VM_PAGE, VM_PAGE };

			/* The bit first: whatever is written after it is seen by the next sync. */
			fph_bitmap_clear(&g->dirty, range);
			rc = protect_chunk(g, page);
			if (rc == 0)
				rc = send_page(g, page);
		}
		from = end;
		if (g->out->hints && rc == 0)
			take_hints(g);
	}
	return rc;
}

static int one_round(struct migration *g)
{
	int rc = set_round(g, fph_device_stop);

	if (rc == 0)
		rc = sync_log(g);
	if (rc == 0)
		rc = set_round(g, fph_device_start);
	g->out->rounds++;
	g->out->looked_at += fph_bitmap_count(&g->dirty);
	if (rc == 0)
		rc = wait_for_hints(g);
	return rc < 0 ? rc : send_dirty(g);
}

/* How much would have to be sent if the guest stood now?  Reading protects nothing. */
static uint64_t left(struct migration *g)
{
	uint64_t pages = 0;
	uint64_t *words = calloc(g->words, sizeof(*words));

	if (!words || vm_log_read(&g->m->vm, words) < 0) {
		free(words);
		return 0;
	}
	for (uint64_t i = 0; i < g->words; i++)
		pages += (uint64_t)__builtin_popcountll(words[i]);
	free(words);
	return pages;
}

/* The guest stands: the last sync, the rest of memory, the state of the machine. */
static int last_round(struct migration *g)
{
	struct wire_head head = { .type = WIRE_STATE, .len = sizeof(struct vm_state) };
	struct vm_state state;
	uint32_t id;
	int rc = set_round(g, fph_device_stop);

	if (rc == 0)
		rc = sync_log(g);
	g->out->rounds++;
	g->out->looked_at += fph_bitmap_count(&g->dirty);
	if (rc == 0)
		rc = send_dirty(g);
	if (rc == 0)
		rc = vm_save(&g->m->vm, &state);
	id = fph_device_command_id(&g->m->balloon);
	head.gpa = id; /* ids go on in the next machine: BH-12 */
	if (rc == 0)
		rc = wire_write(g->fd, &head, sizeof(head));
	return rc < 0 ? rc : wire_write(g->fd, &state, sizeof(state));
}

static int take_verdict(struct migration *g)
{
	struct wire_head head;
	struct verdict verdict;
	int rc = wire_read(g->fd, &head, sizeof(head));

	if (rc == 0 && (head.type != WIRE_VERDICT || head.len != sizeof(verdict)))
		rc = -EPROTO;
	if (rc == 0)
		rc = wire_read(g->fd, &verdict, sizeof(verdict));
	if (rc == 0) {
		g->out->good = verdict.good;
		g->out->bad = verdict.bad;
	}
	return rc;
}

static int run(struct migration *g)
{
	double begin = now_ms(), stood;
	int rc = vm_log(&g->m->vm, true);

	/* All of memory, whatever the log says. */
	for (uint64_t i = 0; i < g->words; i++)
		g->dirty.words[i] = ~UINT64_C(0);
	do {
		if (rc == 0)
			rc = one_round(g);
	} while (rc == 0 && g->out->rounds < g->options->rounds_max && left(g) > SMALL_ENOUGH);
	if (rc < 0)
		return rc;
	stood = now_ms();
	vm_pause(&g->m->vm);
	rc = last_round(g);
	g->out->downtime_ms = now_ms() - stood;
	g->out->total_ms = now_ms() - begin;
	return rc < 0 ? rc : take_verdict(g);
}

int migrate(struct machine *m, const struct options *options, int fd, struct outcome *out)
{
	uint64_t pages = m->vm.ram_size / VM_PAGE;
	struct migration g = {
		.m = m,
		.options = options,
		.out = out,
		.fd = fd,
		.words = FPH_BITMAP_WORDS(pages),
		.dirty = { .pages = pages, .shift = 12 },
		.rewrote = m->rewrote,
	};
	int rc = -ENOMEM;

	g.dirty.words = calloc(g.words, sizeof(uint64_t));
	g.log = calloc(g.words, sizeof(uint64_t));
	if (g.dirty.words && g.log)
		rc = run(&g);
	/* BH-16: on every way out, so that the driver has its pages back, here or there. */
	set_round(&g, fph_device_done);
	vm_log(&m->vm, false);
	out->moved = rc == 0;
	if (rc < 0)
		vm_resume(&m->vm);
	free(g.dirty.words);
	free(g.log);
	return rc;
}
