/* SPDX-License-Identifier: MIT */
/*
 * The driver on one thread, the device on another.  A transport serializes the bus,
 * which is a lock here; the ring is shared (ring.c is about its barriers).  Each page
 * is written with plain stores by whoever owns it: by the guest before it hints the
 * page and after it got it back, by the device while the batch is in hand.  So an
 * end that lets go of a page too early, or takes it too early, is seen by its
 * content, and by ThreadSanitizer.  BH-7, BH-13, BH-15
 */
#include <fph/device.h>
#include <fph/guest.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define RAM_GPA	    0x40000000u
#define RAM_BYTES   0x80000u
#define PAGES_AT    0x20000u
#define PAGES	    ((RAM_BYTES - PAGES_AT) / FPH_HINT_PAGE)
#define RING_SIZE   16u
#define ROUNDS	    4000u
#define ROUND_HINTS 50u /* more than the ring holds, and than there are pages */
#define DISCARDED   UINT64_MAX

static _Alignas(4096) unsigned char ram[RAM_BYTES];
static struct fph_region region = { .gpa = RAM_GPA, .len = RAM_BYTES, .hva = ram };
static const struct fph_mem mem = { .regions = &region, .count = 1 };
static struct fph_guest_slot slots[RING_SIZE];

/* Under the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fph_device device;
static struct fph_bus inner;
static bool finished; /* said by the device */
static bool gone;     /* said by the guest */

/* The guest thread's. */
static struct fph_guest guest;
static bool held[PAGES];
static uint64_t written[PAGES]; /* what the guest last put there */

#define MUST(holds)                                                                                \
	do {                                                                                       \
		if (!(holds)) {                                                                    \
			printf("two_ends.c:%d: %s does not hold\n", __LINE__, #holds);             \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* A bus that takes the lock for each verb. */
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

static const struct fph_bus_ops locked_ops = {
	.size = sizeof(struct fph_bus_ops),
	.features = locked_features,
	.accept = locked_accept,
	.status = locked_status,
	.set_status = locked_set_status,
	.config = locked_config,
	.set_config = locked_set_config,
	.vq_max = locked_vq_max,
	.vq_enable = locked_vq_enable,
	.vq_disable = locked_vq_disable,
	.notify = locked_notify,
	.take_irq = locked_take_irq,
};

static uint64_t *page_at(uint64_t gpa)
{
	return (uint64_t *)(void *)(ram + (gpa - RAM_GPA));
}

static uint64_t page_gpa(unsigned page)
{
	return RAM_GPA + PAGES_AT + (uint64_t)page * FPH_HINT_PAGE;
}

static void take_back(void)
{
	struct fph_range back[8];
	int n = fph_guest_reclaim(&guest, back, 8);

	MUST(n >= 0);
	for (int i = 0; i < n; i++) {
		unsigned page = (unsigned)((back[i].gpa - page_gpa(0)) / FPH_HINT_PAGE);
		uint64_t *content = page_at(back[i].gpa);

		MUST(page < PAGES && held[page] && back[i].len == FPH_HINT_PAGE);
		MUST(*content == written[page] || *content == DISCARDED);
		held[page] = false;
		*content = ++written[page];
	}
}

/* Hint a few pages.  Returns how many the ring took. */
static unsigned feed(unsigned *next)
{
	unsigned fed = 0;

	for (unsigned i = 0; i < 5; i++) {
		unsigned page = (*next)++ % PAGES;
		struct fph_range range = { page_gpa(page), FPH_HINT_PAGE };
		int rc;

		if (held[page])
			continue;
		rc = fph_guest_hint(&guest, &range, 1);
		MUST(rc == 1 || rc == 0 || rc == -EAGAIN);
		if (rc != 1)
			break;
		held[page] = true;
		fed++;
	}
	MUST(fph_guest_held(&guest) > 0 || fed == 0);
	return fed;
}

static bool exchange_ends(bool going)
{
	bool over;

	pthread_mutex_lock(&lock);
	gone = going;
	over = finished;
	pthread_mutex_unlock(&lock);
	return over;
}

static void *guest_thread(void *arg)
{
	unsigned next = 0, fed = 0;
	bool over = false, going = false;

	while (!going) {
		int wants = fph_guest_step(&guest, 0), rc;

		MUST(wants >= 0);
		take_back();
		if (wants & FPH_GUEST_FEED) {
			fed += feed(&next);
			rc = fed < ROUND_HINTS ? fph_guest_flush(&guest) : fph_guest_end(&guest);
			MUST(rc == 0 || rc == -EAGAIN);
			if (fed >= ROUND_HINTS && rc == 0)
				fed = 0;
		}
		going = over && fph_guest_held(&guest) == 0;
		MUST(!going || wants & FPH_GUEST_RELEASE);
		over = exchange_ends(going);
		sched_yield();
	}
	return arg;
}

/* One round, called off after `limit` batches.  Returns the hints it brought. */
static unsigned round_of_device(unsigned limit)
{
	unsigned hints = 0;
	bool over = false;
	int n;

	pthread_mutex_lock(&lock);
	MUST(fph_device_start(&device) == 0);
	pthread_mutex_unlock(&lock);
	for (unsigned batch = 0; batch < limit && !over;) {
		struct fph_range out[4];

		pthread_mutex_lock(&lock);
		n = fph_device_poll(&device, out, 4);
		MUST(n >= 0 || n == -EAGAIN);
		over = n == 0 && fph_device_round_over(&device);
		/* Outside of the lock the batch is still in hand: the guest holds it. */
		pthread_mutex_unlock(&lock);
		if (batch % 4 == 0)
			sched_yield();
		for (int i = 0; i < n; i++) {
			MUST(*page_at(out[i].gpa) != DISCARDED);
			*page_at(out[i].gpa) = DISCARDED;
		}
		hints += n > 0 ? (unsigned)n : 0;
		batch += n > 0;
		if (n <= 0)
			sched_yield();
	}
	pthread_mutex_lock(&lock);
	MUST(fph_device_stop(&device) == 0);
	pthread_mutex_unlock(&lock);
	return hints;
}

static void bring_up(void)
{
	struct fph_device_opts device_opts = FPH_DEVICE_OPTS_INIT;
	struct fph_guest_opts guest_opts = FPH_GUEST_OPTS_INIT;

	device_opts.mem = &mem;
	MUST(fph_device_init(&device, &device_opts) == 0);
	inner = fph_device_bus(&device);
	guest_opts.bus.ops = &locked_ops;
	guest_opts.bus.ctx = inner.ctx;
	guest_opts.ring.gpa = RAM_GPA;
	guest_opts.ring.len = fph_guest_ring_bytes(RING_SIZE);
	guest_opts.ring.hva = ram;
	guest_opts.slots = slots;
	guest_opts.ring_size = RING_SIZE;
	MUST(guest_opts.ring.len <= PAGES_AT);
	MUST(fph_guest_init(&guest, &guest_opts) == 0);
	MUST(fph_guest_attach(&guest) == 0);
}

/* After DONE the driver's last messages still want to be returned. */
static bool drain(void)
{
	struct fph_range none;
	bool over;
	int n;

	pthread_mutex_lock(&lock);
	n = fph_device_poll(&device, &none, 1);
	over = gone;
	pthread_mutex_unlock(&lock);
	MUST(n == 0 || n == -EAGAIN);
	return over;
}

int main(void)
{
	unsigned hints = 0;
	pthread_t thread;

	bring_up();
	MUST(pthread_create(&thread, NULL, guest_thread, NULL) == 0);
	for (unsigned i = 0; i < ROUNDS; i++)
		hints += round_of_device(i % 3 ? UINT32_MAX : 1 + i % 7);
	pthread_mutex_lock(&lock);
	MUST(fph_device_done(&device) == 0);
	finished = true;
	pthread_mutex_unlock(&lock);
	while (!drain())
		sched_yield();
	pthread_join(thread, NULL);
	printf("%u rounds, %u hints\n", ROUNDS, hints);
	MUST(hints > ROUNDS * ROUND_HINTS / 4);
	return 0;
}
