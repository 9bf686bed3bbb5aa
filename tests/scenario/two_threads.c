/* SPDX-License-Identifier: MIT */
/*
 * The device on one thread, the guest on another, millions of hints between them.  The
 * rings are shared with no lock; a lock serializes the bus, as a transport does.  Both
 * ends sleep when they have nothing to do and neither has a clock, so a doorbell or an
 * interrupt that is lost is a test that hangs; each sleep is bounded.
 *
 * No two hints are alike: number n is page n of a memory larger than any.  So each one is
 * seen to arrive once and in order, and to come back once.  In each format of the ring.
 */
#define _POSIX_C_SOURCE 200809L
#include <fph/device.h>
#include <fph/guest.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RING	   256u
#define RING_GPA   UINT64_C(0x10000)
#define PAGES_GPA  UINT64_C(0x100000000)
#define PAGES_LEN  (UINT64_C(1) << 44)
#define ROUND_MAX  700u /* hints of a round */
#define BATCH	   32u
#define OUT	   4096u /* more than can be out at once */
#define IDS	   1024u
#define PATIENCE_S 20

static _Alignas(4096) unsigned char ring[16384];
static const struct fph_region regions[] = {
	{ RING_GPA, sizeof(ring), ring, 0 },
	{ PAGES_GPA, PAGES_LEN, NULL, 0 },
};
static const struct fph_mem mem = { regions, 2 };

/* Under the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t rang = PTHREAD_COND_INITIALIZER, interrupted = PTHREAD_COND_INITIALIZER;
static struct fph_device device;
static struct fph_bus inner;
static unsigned long doorbells, interrupts;
static uint64_t told[IDS]; /* by round: how many hints the guest showed before its STOP */
static bool finished;	   /* said by the device */
static bool drained;	   /* said by the guest: DONE seen, and all is back */

/* The guest thread's. */
static struct fph_guest guest;
static struct fph_guest_slot slots[RING];
static bool lent[OUT];
static uint64_t hinted, back;
static uint32_t id_seen;

/* The content of page n, at n % OUT: written by whoever owns the page. */
static uint64_t content[OUT];

#define MUST(holds)                                                                                \
	do {                                                                                       \
		if (!(holds)) {                                                                    \
			printf("two_threads.c:%d: %s does not hold\n", __LINE__, #holds);          \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* Wait until *count is not `last`; the lock is held. */
static void sleep_on(pthread_cond_t *cond, const unsigned long *count, unsigned long last)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	while (*count == last)
		MUST(pthread_cond_timedwait(cond, &lock, &until) == 0); /* a lost wake-up */
}

static void on_hints(void *ctx)
{
	(void)ctx;
	doorbells++;
	pthread_cond_signal(&rang);
}

static void on_interrupt(void *ctx)
{
	(void)ctx;
	interrupts++;
	pthread_cond_signal(&interrupted);
}

/* ------------------------------------------------------------ the bus */

#define LOCKED(verb, args, ...)                                                                    \
	static int locked_##verb args                                                              \
	{                                                                                          \
		int rc;                                                                            \
                                                                                                   \
		pthread_mutex_lock(&lock);                                                         \
		rc = inner.ops->verb(ctx, __VA_ARGS__);                                            \
		pthread_mutex_unlock(&lock);                                                       \
		return rc;                                                                         \
	}
LOCKED(features, (void *ctx, uint64_t *offered), offered)
LOCKED(accept, (void *ctx, uint64_t accepted), accepted)
LOCKED(status, (void *ctx, uint8_t *status), status)
LOCKED(set_status, (void *ctx, uint8_t status), status)
LOCKED(config, (void *ctx, uint32_t at, void *buf, uint32_t len), at, buf, len)
LOCKED(set_config, (void *ctx, uint32_t at, const void *buf, uint32_t len), at, buf, len)
LOCKED(vq_max, (void *ctx, uint16_t queue, uint16_t *max), queue, max)
LOCKED(vq_enable, (void *ctx, uint16_t queue, const struct fph_vq_place *place), queue, place)
LOCKED(vq_disable, (void *ctx, uint16_t queue, uint16_t *index), queue, index)
LOCKED(notify, (void *ctx, uint16_t queue), queue)
LOCKED(take_irq, (void *ctx, uint32_t *irq), irq)

/* The guest's calls only: so the id it last read is known to its thread. */
static int watched_config(void *ctx, uint32_t at, void *buf, uint32_t len)
{
	int rc = locked_config(ctx, at, buf, len);
	const unsigned char *b = buf;

	MUST(rc == 0 && at == FPH_CONFIG_COMMAND_ID && len == 4);
	id_seen = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
	return rc;
}

static const struct fph_bus_ops locked_ops = {
	.size = sizeof(struct fph_bus_ops),
	.features = locked_features,
	.accept = locked_accept,
	.status = locked_status,
	.set_status = locked_set_status,
	.config = watched_config,
	.set_config = locked_set_config,
	.vq_max = locked_vq_max,
	.vq_enable = locked_vq_enable,
	.vq_disable = locked_vq_disable,
	.notify = locked_notify,
	.take_irq = locked_take_irq,
};

/* ------------------------------------------------------------ the guest */

static void take_back(void)
{
	struct fph_range r[BATCH];
	int n;

	while ((n = fph_guest_reclaim(&guest, r, BATCH)) > 0)
		for (int i = 0; i < n; i++) {
			uint64_t page = (r[i].gpa - PAGES_GPA) / FPH_HINT_PAGE;

			MUST(page < hinted && r[i].len == FPH_HINT_PAGE && lent[page % OUT]);
			MUST(content[page % OUT] == page || content[page % OUT] == ~page);
			lent[page % OUT] = false;
			back++;
		}
}

/* Hint up to `want` new pages.  Returns how many the ring took. */
static unsigned lend(unsigned want)
{
	unsigned n = 0;

	for (; n < want; n++) {
		struct fph_range r = { PAGES_GPA + hinted * FPH_HINT_PAGE, FPH_HINT_PAGE };
		int rc;

		content[hinted % OUT] = hinted;
		rc = fph_guest_hint(&guest, &r, 1);
		MUST(rc >= 0);
		if (rc == 0)
			break;
		MUST(!lent[hinted % OUT]);
		lent[hinted++ % OUT] = true;
	}
	return n;
}

/* The guest's part of a round; hints of it so far. */
static unsigned fed;
static uint32_t fed_id;

/* Returns whether something was done, so that it should go on at once. */
static bool feed(void)
{
	unsigned n, size;
	int rc;

	if (fed_id != id_seen) {
		fed_id = id_seen;
		fed = 0;
	}
	size = fed_id % ROUND_MAX;
	n = lend(size - fed < BATCH ? size - fed : BATCH);
	fed += n;
	if (fed < size) {
		/* Now and then nothing is shown yet, so that there is something to withdraw. */
		if (n > 0 && hinted / BATCH % 3 == 0)
			return true;
		rc = fph_guest_flush(&guest);
		MUST(rc == 0 || rc == -EAGAIN);
		return n > 0 || rc == -EAGAIN;
	}
	pthread_mutex_lock(&lock);
	told[fed_id % IDS] = fed;
	pthread_mutex_unlock(&lock);
	rc = fph_guest_end(&guest);
	MUST(rc == 0 || rc == -EAGAIN);
	return rc == 0;
}

/* What the device waits for after DONE. */
static void say_drained(void)
{
	pthread_mutex_lock(&lock);
	drained = true;
	on_hints(NULL);
	pthread_mutex_unlock(&lock);
}

/* Returns whether it is all over; *last is for a sleep that no interrupt is lost by. */
static bool is_over(unsigned long *last)
{
	bool over;

	pthread_mutex_lock(&lock);
	*last = interrupts;
	over = finished;
	pthread_mutex_unlock(&lock);
	return over;
}

static void *guest_thread(void *arg)
{
	unsigned long last;
	int wants;

	while (!is_over(&last)) {
		uint64_t before = back;
		bool did = false;

		wants = fph_guest_step(&guest, 0);
		MUST(wants >= 0);
		if (wants & FPH_GUEST_FEED)
			did = feed();
		take_back();
		if (did || back != before)
			continue;
		if ((wants & FPH_GUEST_RELEASE) && fph_guest_held(&guest) == 0)
			say_drained();
		pthread_mutex_lock(&lock);
		sleep_on(&interrupted, &interrupts, last);
		pthread_mutex_unlock(&lock);
	}
	return arg;
}

/* ------------------------------------------------------------ the device */

static uint64_t expected; /* no hint before this one may come any more */
static uint64_t arrived;

static void act_on(const struct fph_range *out, int n, bool whole)
{
	for (int i = 0; i < n; i++) {
		uint64_t page = (out[i].gpa - PAGES_GPA) / FPH_HINT_PAGE;

		MUST(out[i].len == FPH_HINT_PAGE && page >= expected);
		MUST(!whole || i == 0 || page == expected); /* none is left out */
		MUST(content[page % OUT] == page);
		content[page % OUT] = ~page; /* ours while the batch is in hand */
		expected = page + 1;
		arrived++;
	}
}

/* One poll, and its batch acted upon with no lock held.  Returns what poll did. */
static int look(bool whole, bool *over, unsigned long *last)
{
	struct fph_range out[BATCH];
	int n;

	pthread_mutex_lock(&lock);
	*last = doorbells;
	n = fph_device_poll(&device, out, BATCH);
	*over = fph_device_round_over(&device);
	pthread_mutex_unlock(&lock);
	MUST(n >= 0 || n == -EAGAIN);
	act_on(out, n, whole);
	return n;
}

static void wait_for_doorbell(unsigned long last)
{
	pthread_mutex_lock(&lock);
	sleep_on(&rang, &doorbells, last);
	pthread_mutex_unlock(&lock);
}

/* A round that the guest ends, or that is called off after so many hints. */
static void one_round(uint64_t limit)
{
	uint64_t start = arrived, id;
	unsigned long last;
	bool over = false;
	int n;

	pthread_mutex_lock(&lock);
	MUST(fph_device_start(&device) == 0);
	id = fph_device_command_id(&device);
	told[id % IDS] = UINT64_MAX;
	pthread_mutex_unlock(&lock);
	while (arrived - start < limit) {
		n = look(arrived > start, &over, &last);
		if (n == 0 && over)
			break;
		if (n == 0)
			wait_for_doorbell(last);
	}
	pthread_mutex_lock(&lock);
	MUST(fph_device_stop(&device) == 0);
	if (over && limit == UINT64_MAX)
		MUST(arrived - start == told[id % IDS]);
	pthread_mutex_unlock(&lock);
}

/* The end of a migration: everything comes back, with nothing but interrupts to wake up. */
static void finish(void)
{
	unsigned long last;
	bool over;

	pthread_mutex_lock(&lock);
	drained = false;
	MUST(fph_device_done(&device) == 0);
	pthread_mutex_unlock(&lock);
	for (;;) {
		int n = look(false, &over, &last);

		MUST(n == 0 || n == -EAGAIN);
		pthread_mutex_lock(&lock);
		over = drained;
		if (n == 0 && !over)
			sleep_on(&rang, &doorbells, last);
		pthread_mutex_unlock(&lock);
		if (over)
			return;
	}
}

static void bring_up(uint64_t format, uint16_t batch)
{
	struct fph_device_opts device_opts = FPH_DEVICE_OPTS_INIT;
	struct fph_guest_opts guest_opts = FPH_GUEST_OPTS_INIT;

	memset(lent, 0, sizeof(lent));
	hinted = back = expected = arrived = 0;
	fed = fed_id = id_seen = 0;
	finished = drained = false;
	guest_opts.batch = batch;
	device_opts.offer = format;
	device_opts.mem = &mem;
	device_opts.hints = on_hints;
	device_opts.interrupt = on_interrupt;
	MUST(fph_device_init(&device, &device_opts) == 0);
	inner = fph_device_bus(&device);
	guest_opts.bus = (struct fph_bus){ &locked_ops, inner.ctx };
	guest_opts.ring = (struct fph_region){ RING_GPA, sizeof(ring), ring, 0 };
	guest_opts.slots = slots;
	guest_opts.ring_size = RING;
	guest_opts.rekick_us = guest_opts.stall_us = UINT64_MAX;
	MUST(fph_guest_init(&guest, &guest_opts) == 0);
	MUST(fph_guest_attach(&guest) == 0);
}

static uint64_t all, kicks_saved, interrupts_saved; /* in all formats */

static void judge(unsigned long rounds)
{
	struct fph_device_stats d = FPH_DEVICE_STATS_INIT;
	struct fph_guest_stats g = FPH_GUEST_STATS_INIT;

	MUST(fph_device_total_stats(&device, &d) == 0 && fph_guest_total_stats(&guest, &g) == 0);
	printf("%lu rounds; %llu hints: %llu arrived, %llu late, %llu withdrawn\n", rounds,
	       (unsigned long long)hinted, (unsigned long long)arrived,
	       (unsigned long long)(d.stale + d.foreign_id + d.unasked),
	       (unsigned long long)g.withdrawn);
	printf("doorbells %llu, saved %llu; interrupts %llu, saved %llu; ring full %llu times\n",
	       (unsigned long long)g.kicks, (unsigned long long)g.kicks_saved,
	       (unsigned long long)d.interrupts, (unsigned long long)d.interrupts_saved,
	       (unsigned long long)g.full);
	MUST(back == hinted && g.hints == hinted && d.hints == arrived);
	MUST(fph_guest_held(&guest) == 0);
	/* All that did not arrive is accounted for; commands may be late as well. */
	MUST(arrived + d.stale + d.foreign_id + d.unasked + g.withdrawn >= hinted);
	MUST(g.kicks > 0 && d.interrupts > 0 && g.full > 0);
	all += hinted;
	kicks_saved += g.kicks_saved;
	interrupts_saved += d.interrupts_saved;
}

static void live(uint64_t want, uint64_t format, uint16_t batch)
{
	unsigned long rounds = 0;
	pthread_t thread;

	bring_up(format, batch);
	MUST(pthread_create(&thread, NULL, guest_thread, NULL) == 0);
	for (; arrived < want; rounds++) {
		one_round(rounds % 4 == 3 ? rounds % 97 : UINT64_MAX);
		if (rounds % 4 == 3)
			finish();
	}
	if (rounds % 4 != 0) /* else the guest has seen DONE, and is not told again */
		finish();
	pthread_mutex_lock(&lock);
	finished = true;
	on_interrupt(NULL);
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
	judge(rounds);
}

int main(int argc, char **argv)
{
	static const uint64_t bits[] = { FPH_F_EVENT_IDX, FPH_F_RING_PACKED, FPH_F_IN_ORDER,
					 FPH_F_INDIRECT_DESC };
	uint64_t want = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;

	for (unsigned f = 0; f < 16; f++) {
		uint64_t format = 0;

		for (unsigned b = 0; b < 4; b++)
			format |= f & 1u << b ? bits[b] : 0;
		printf("features 0x%llx: ", (unsigned long long)format);
		live(want / 16, format, f % 3 ? 5 : 1);
	}
	/* In a long run both ends are spared a wake-up by the other, or nothing was tested. */
	MUST(all < 4000000 || (kicks_saved > 0 && interrupts_saved > 0));
	return 0;
}
