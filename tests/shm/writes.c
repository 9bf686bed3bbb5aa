/* SPDX-License-Identifier: MIT */
#include "raw.h"
#include "rig.h"
#include "shm.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * The write ring and the pages, from a hostile client's side: #70 of reliability.md, and
 * points 2 to 4, 6 and 10 of the list by which this transport was accepted.
 */
struct bad {
	uint32_t at, seq, word, prod;
	uint64_t value;
	const char *words;
};

#define W(offset, width) SHM_WRITE_WORD(offset, width)

static const struct bad bad[] = {
	{ 0, 0, W(FPH_MMIO_STATUS, 4), 33, 1, "33 entries in a write ring of 32" },
	{ 0, 0, W(FPH_MMIO_STATUS, 4), UINT32_MAX, 1, "4294967295 entries" },
	{ 0, 0, W(FPH_MMIO_STATUS, 4), 0x80000000, 1, "2147483648 entries" },
	{ 0, 1, W(FPH_MMIO_STATUS, 4), 1, 1, "says that it is entry 1" },
	{ 0, UINT32_MAX, W(FPH_MMIO_STATUS, 4), 1, 1, "says that it is entry 4294967295" },
	{ 0, 0, W(FPH_MMIO_STATUS, 4) | 1u << 24, 1, 1, "reserved byte is 0x1" },
	{ 0, 0, W(FPH_MMIO_STATUS, 0), 1, 1, "a write of 0 bytes" },
	{ 0, 0, W(FPH_MMIO_STATUS, 1), 1, 1, "no write of 1 bytes at 0x70" },
	{ 0, 0, W(FPH_MMIO_STATUS, 2), 1, 1, "no write of 2 bytes at 0x70" },
	{ 0, 0, W(FPH_MMIO_STATUS, 3), 1, 1, "a write of 3 bytes" },
	{ 0, 0, W(FPH_MMIO_STATUS, 8), 1, 1, "a write of 8 bytes" },
	{ 0, 0, W(FPH_MMIO_STATUS, 255), 1, 1, "a write of 255 bytes" },
	{ 0, 0, W(FPH_MMIO_STATUS, 4), 1, UINT64_C(1) << 32, "0x100000000 in 4 bytes" },
	{ 0, 0, W(FPH_MMIO_STATUS + 1, 4), 1, 1, "at 0x71" },
	{ 0, 0, W(FPH_MMIO_MAGIC, 4), 1, 1, "at 0x0" },
	{ 0, 0, W(FPH_MMIO_DEVICE_FEATURES, 4), 1, 1, "at 0x10" },
	{ 0, 0, W(FPH_MMIO_QUEUE_SIZE_MAX, 4), 1, 1, "at 0x34" },
	{ 0, 0, W(FPH_MMIO_QUEUE_NOTIFY, 4), 1, 1, "at 0x50" },
	{ 0, 0, W(FPH_MMIO_INTERRUPT_STATUS, 4), 1, 1, "at 0x60" },
	{ 0, 0, W(FPH_MMIO_INTERRUPT_ACK, 4), 1, 1, "at 0x64" },
	{ 0, 0, W(FPH_MMIO_SHM_SEL, 4), 1, 1, "at 0xac" },
	{ 0, 0, W(FPH_MMIO_GENERATION, 4), 1, 1, "at 0xfc" },
	{ 0, 0, W(0x1c, 4), 1, 1, "at 0x1c" },
	{ 0, 0, W(FPH_MMIO_CONFIG + 1, 2), 1, 1, "no write of 2 bytes at 0x101" },
	{ 0, 0, W(FPH_MMIO_CONFIG + 2, 4), 1, 1, "no write of 4 bytes at 0x102" },
	{ 0, 0, W(FPH_MMIO_CONFIG, 1), 1, 0x100, "0x100 in 1 bytes" },
	{ 0, 0, W(FPH_MMIO_SIZE, 4), 1, 1, "at 0x200" },
	{ 0, 0, W(0xfffc, 4), 1, 1, "at 0xfffc" },
	{ 0, 0, W(FPH_MMIO_STATUS, 4), 2, 0, "a reset is not the last of its batch" },
};
#define BAD (sizeof(bad) / sizeof(bad[0]))

BOTH(writes, what_the_table_does_not_hold_ends_the_connection)
{
	struct rig rig;
	struct raw raw;

	rig_open(&rig, (unsigned)*kind, NULL);
	for (unsigned i = 0; i < BAD; i++) {
		raw_prepare(&raw);
		raw_expect(&raw, rig.path, 0);
		raw_entry(&raw, bad[i].at, bad[i].seq, bad[i].word, bad[i].value);
		raw_prod(&raw, bad[i].prod);
		raw_kick(&raw);
		cr_assert(raw_is_dropped(&raw), "%s", bad[i].words);
		rig_expect_gone(&rig, i + 1);
		rig_expect_why(&rig, bad[i].words);
		raw_close(&raw);
	}
	rig_close(&rig);
}

/* As virtio-mmio: it has no effect, and is no reason to leave (M-4, M-6, M-7). */
BOTH(writes, what_is_well_formed_and_makes_no_sense_changes_nothing)
{
	static const struct {
		uint32_t offset;
		uint32_t value;
	} senseless[] = {
		{ FPH_MMIO_STATUS, 0x400 },
		{ FPH_MMIO_STATUS, FPH_STATUS_DRIVER_OK },
		{ FPH_MMIO_STATUS, FPH_STATUS_FEATURES_OK },
		{ FPH_MMIO_QUEUE_SEL, 77 },
		{ FPH_MMIO_QUEUE_SIZE, 77 },
		{ FPH_MMIO_QUEUE_READY, 1 },
		{ FPH_MMIO_QUEUE_READY, 0 },
		{ FPH_MMIO_QUEUE_READY, 2 },
		{ FPH_MMIO_QUEUE_RESET, 1 },
		{ FPH_MMIO_QUEUE_SEL, UINT32_MAX },
		{ FPH_MMIO_QUEUE_READY, 1 },
		{ FPH_MMIO_QUEUE_SEL, 3 },
		{ FPH_MMIO_QUEUE_DESC_HIGH, UINT32_MAX },
		{ FPH_MMIO_QUEUE_READY, 1 },
		{ FPH_MMIO_DRIVER_FEATURES_SEL, 99 },
		{ FPH_MMIO_CONFIG, UINT32_MAX },
		{ FPH_MMIO_CONFIG + 0xfc, UINT32_MAX },
	};
	unsigned n = sizeof(senseless) / sizeof(senseless[0]);
	struct rig rig;
	struct raw raw;

	rig_open(&rig, (unsigned)*kind, NULL);
	raw_prepare(&raw);
	raw_expect(&raw, rig.path, 0);
	for (unsigned i = 0; i < n; i++) {
		raw_write(&raw, senseless[i].offset, 4, senseless[i].value);
		raw_kick(&raw);
		cr_assert(raw_acked(&raw, i + 1), "write %u", i);
		cr_assert_eq(raw_register(&raw, FPH_MMIO_STATUS), 0u, "after write %u", i);
		cr_assert_eq(raw_register(&raw, FPH_MMIO_QUEUE_READY), 0u);
	}
	cr_assert_eq(rig.gone, 0u, "%s", rig.why);
	raw_close(&raw);
	rig_close(&rig);
}

BOTH(writes, the_ring_goes_round_and_a_full_one_is_one_batch)
{
	struct rig rig;
	struct raw raw;

	rig_open(&rig, (unsigned)*kind, NULL);
	raw_prepare(&raw);
	raw_expect(&raw, rig.path, 0);
	for (uint32_t i = 0; i < 5 * SHM_RING; i += SHM_RING) {
		for (uint32_t n = 0; n < SHM_RING; n++)
			raw_write(&raw, FPH_MMIO_QUEUE_SEL, 4, n == SHM_RING - 1 ? 3 : 9);
		cr_assert_eq(fph_ld32(&raw_banks(&raw)->ack_seq), i);
		raw_kick(&raw);
		cr_assert(raw_acked(&raw, i + SHM_RING));
		cr_assert_eq(raw_register(&raw, FPH_MMIO_QUEUE_SIZE_MAX), 256u);
	}
	raw_close(&raw);
	rig_close(&rig);
}

/* The client rewrites its page all the time; each word is read once, so nothing is torn. */
struct scribbler {
	struct raw *raw;
	bool stop;
};

static void *scribble(void *ctx)
{
	struct scribbler *s = ctx;
	uint32_t x = 12345;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		uint32_t *words = (uint32_t *)(void *)s->raw->driver;

		x = x * 1664525 + 1013904223;
		fph_st32(&words[x >> 8 & 0xff], x & 0x40 ? x >> 16 : x >> 28);
		if (x % 64 == 0)
			fph_st32(&s->raw->driver->prod,
				 fph_ld32(&raw_banks(s->raw)->ack_seq) + (x >> 30));
		eventfd_write(s->raw->fds[SHM_FD_CTL_KICK + (x >> 20 & 7)], 1);
	}
	return NULL;
}

BOTH(writes, a_page_that_changes_all_the_time_harms_nobody)
{
	struct rig rig;
	struct raw raw;
	struct end end;
	unsigned gone = 0;

	rig_open(&rig, (unsigned)*kind, NULL);
	for (unsigned i = 0; i < 20; i++) {
		struct scribbler s = { .raw = &raw };
		pthread_t thread;

		raw_prepare(&raw);
		raw_expect(&raw, rig.path, 0);
		cr_assert_eq(pthread_create(&thread, NULL, scribble, &s), 0);
		usleep(10000);
		__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		raw_close(&raw);
		rig_expect_gone(&rig, ++gone);
	}
	end_open(&end, rig.path, 0, 5000);
	end_connect(&end);
	cr_assert_eq(end_attach(&end), 0);
	both_round(&rig, &end, 5);
	end_close(&end);
	rig_close(&rig);
}

BOTH(writes, bells_that_ring_all_the_time_or_are_full_harm_nobody)
{
	struct rig rig;
	struct raw raw;

	rig_open(&rig, (unsigned)*kind, NULL);
	raw_prepare(&raw);
	raw_expect(&raw, rig.path, 0);
	for (unsigned i = SHM_FD_CTL_KICK; i < SHM_FD_REGION; i++)
		cr_assert_eq(eventfd_write(raw.fds[i], UINT64_MAX - 1), 0);
	raw_write(&raw, FPH_MMIO_STATUS, 4, FPH_STATUS_ACKNOWLEDGE);
	for (unsigned i = 0; i < 1000; i++) {
		eventfd_write(raw.fds[SHM_FD_CTL_KICK], 1);
		eventfd_write(raw.fds[SHM_FD_KICK + 3], 1);
	}
	cr_assert(raw_acked(&raw, 1));
	cr_assert_eq(raw_register(&raw, FPH_MMIO_STATUS), FPH_STATUS_ACKNOWLEDGE);
	cr_assert_eq(rig.gone, 0u, "%s", rig.why);
	raw_close(&raw);
	rig_close(&rig);
}

/* D0 reads as virtio-mmio: each register by the table of fph/mmio.h. */
BOTH(writes, registers_are_readable_as_virtio_mmio)
{
	static const struct {
		uint32_t offset;
		uint32_t value;
	} expected[] = {
		{ FPH_MMIO_MAGIC, FPH_MMIO_MAGIC_VALUE },
		{ FPH_MMIO_VERSION, FPH_MMIO_VERSION_VALUE },
		{ FPH_MMIO_DEVICE_ID, FPH_DEVICE_ID },
		{ FPH_MMIO_VENDOR_ID, FPH_MMIO_VENDOR_VALUE },
		{ FPH_MMIO_DEVICE_FEATURES, FPH_F_STATS_VQ | FPH_F_FREE_PAGE_HINT },
		{ FPH_MMIO_QUEUE_SIZE_MAX, 256 },
		{ FPH_MMIO_QUEUE_READY, 0 },
		{ FPH_MMIO_INTERRUPT_STATUS, 0 },
		{ FPH_MMIO_STATUS, 0 },
		{ FPH_MMIO_SHM_LEN_LOW, UINT32_MAX }, /* T-2, M-9 */
		{ FPH_MMIO_SHM_LEN_HIGH, UINT32_MAX },
		{ FPH_MMIO_SHM_BASE_LOW, UINT32_MAX },
		{ FPH_MMIO_SHM_BASE_HIGH, UINT32_MAX },
		{ FPH_MMIO_QUEUE_RESET, 0 },
	};
	const struct shm_banks *banks;
	struct rig rig;
	struct raw raw;

	rig_open(&rig, (unsigned)*kind, NULL);
	raw_prepare(&raw);
	raw_expect(&raw, rig.path, 0);
	for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		cr_assert_eq(raw_register(&raw, expected[i].offset), expected[i].value, "%s: 0x%x",
			     fph_mmio_register(expected[i].offset)->name,
			     raw_register(&raw, expected[i].offset));
	for (uint32_t at = 0; at < FPH_MMIO_CONFIG; at += 4) {
		const struct fph_mmio_register *r = fph_mmio_register(at);

		if (!r || !(r->access & FPH_MMIO_R))
			cr_assert_eq(raw_register(&raw, at), 0u, "at 0x%x", at);
	}
	for (uint32_t at = 0; at < 12; at += 4)
		cr_assert_eq(raw_register(&raw, FPH_MMIO_CONFIG + at), 0u);
	for (uint32_t at = 12; at < 0x100; at += 4) /* no poison value is offered */
		cr_assert_eq(raw_register(&raw, FPH_MMIO_CONFIG + at), UINT32_MAX);
	banks = raw_banks(&raw);
	cr_assert_eq(fph_ld32(&banks->features[1]), 1u);
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		cr_assert_eq(fph_ld32(&banks->queue[q].size_max), q < 4 ? 256u : 0u);
	/* A selector in the ring turns D0's bank, too. */
	raw_write(&raw, FPH_MMIO_QUEUE_SEL, 4, 4);
	raw_write(&raw, FPH_MMIO_DEVICE_FEATURES_SEL, 4, 1);
	raw_write(&raw, FPH_MMIO_STATUS, 4, FPH_STATUS_ACKNOWLEDGE | FPH_STATUS_DRIVER);
	raw_kick(&raw);
	cr_assert(raw_acked(&raw, 3));
	cr_assert_eq(raw_register(&raw, FPH_MMIO_QUEUE_SIZE_MAX), 0u);
	cr_assert_eq(raw_register(&raw, FPH_MMIO_DEVICE_FEATURES), 1u);
	cr_assert_eq(raw_register(&raw, FPH_MMIO_STATUS), 3u);
	cr_assert_eq(raw_register(&raw, FPH_MMIO_GENERATION),
		     fph_ld32(&banks->generation) / 2);
	raw_close(&raw);
	rig_close(&rig);
}

/* Each page has one writer, whatever its peer tries. */
BOTH(writes, nobody_can_write_the_others_page)
{
	struct rig rig;
	struct raw raw;

	rig_open(&rig, (unsigned)*kind, NULL);
	raw_prepare(&raw);
	raw_expect(&raw, rig.path, 0);
	cr_assert_eq(mprotect((void *)(uintptr_t)raw.pages, SHM_SERVER_BYTES,
			      PROT_READ | PROT_WRITE), -1);
	cr_assert_eq(mmap(NULL, SHM_CLIENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			  raw.fds[SHM_FD_DRIVER], 0), MAP_FAILED);
	cr_assert_eq(ftruncate(raw.fds[SHM_FD_DRIVER], 0), -1);
	cr_assert_eq(pwrite(raw.fds[SHM_FD_DRIVER], "x", 1, 0), -1);
	raw_close(&raw);
	rig_close(&rig);
}
