/* SPDX-License-Identifier: MIT */
#include "raw.h"
#include "rig.h"
#include "shm.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * T-1, what every transport must offer, point by point, through the client's bus; and
 * when the server is slow, gone, or new.
 */
struct world {
	struct rig rig;
	struct end end;
};

static void world_open(struct world *w, size_t kind, uint32_t timeout_ms)
{
	struct fph_shm_server_opts o = FPH_SHM_SERVER_OPTS_INIT;

	o.device.offer = FPH_F_PAGE_POISON;
	rig_open(&w->rig, (unsigned)kind, &o);
	end_open(&w->end, w->rig.path, (unsigned)kind, timeout_ms);
	end_connect(&w->end);
}

static void world_close(struct world *w)
{
	end_close(&w->end);
	rig_close(&w->rig);
}

#define BUS(w, verb, ...) ((w)->end.bus.ops->verb((w)->end.bus.ctx, __VA_ARGS__))

static uint8_t status(struct world *w)
{
	uint8_t now = 0xee;

	cr_assert_eq(BUS(w, status, &now), 0);
	return now;
}

static uint32_t config32(struct world *w, uint32_t offset)
{
	unsigned char bytes[4];

	cr_assert_eq(BUS(w, config, offset, bytes, 4), 0);
	return fph_ld32_bytes(bytes);
}

static void negotiate(struct world *w)
{
	uint64_t offered = 0;

	cr_assert_eq(BUS(w, set_status, FPH_STATUS_ACKNOWLEDGE), 0);
	cr_assert_eq(BUS(w, set_status, FPH_STATUS_ACKNOWLEDGE | FPH_STATUS_DRIVER), 0);
	cr_assert_eq(BUS(w, features, &offered), 0);
	cr_assert_eq(BUS(w, accept, offered), 0);
	cr_assert_eq(BUS(w, set_status, FPH_STATUS_ACKNOWLEDGE | FPH_STATUS_DRIVER |
			 FPH_STATUS_FEATURES_OK), 0);
	cr_assert_eq(status(w), 0xb);
}

static const struct fph_vq_place place = {
	.desc = END_GPA + 0x1000,
	.driver = END_GPA + 0x2000,
	.device = END_GPA + 0x3000,
	.size = 16,
};

BOTH(verbs, each_item_of_t_1_is_there)
{
	const unsigned char poison[4] = { 0xaa, 0xbb, 0xcc, 0xdd };
	unsigned char blob[24];
	uint16_t max = 0, index = 7;
	uint64_t offered = 0;
	uint32_t irq = 0;
	struct world w;

	world_open(&w, *kind, 5000);
	/* features; config before FEATURES_OK (C-3), past its end (#42) */
	cr_assert_eq(BUS(&w, features, &offered), 0);
	cr_assert_eq(offered, FPH_F_VERSION_1 | FPH_F_STATS_VQ | FPH_F_FREE_PAGE_HINT |
		     FPH_F_PAGE_POISON);
	cr_assert_eq(config32(&w, FPH_CONFIG_COMMAND_ID), 0u);
	cr_assert_eq(BUS(&w, config, 12, blob, sizeof(blob)), 0);
	for (unsigned i = 0; i < sizeof(blob); i++)
		cr_assert_eq(blob[i], i < 4 ? 0 : 0xff);
	cr_assert_eq(BUS(&w, config, 0x1000, blob, sizeof(blob)), 0);
	cr_assert_eq(blob[0], 0xff);
	/* status, FEATURES_OK as it is read back, refused (G-10) and granted */
	cr_assert_eq(BUS(&w, set_status, 3), 0);
	cr_assert_eq(BUS(&w, accept, offered | UINT64_C(1) << 50), 0);
	cr_assert_eq(BUS(&w, set_status, 11), 0);
	cr_assert_eq(status(&w), 3);
	negotiate(&w);
	/* queues: how many, where, and stopped again (M-6, M-7) */
	for (uint16_t q = 0; q < 8; q++) {
		cr_assert_eq(BUS(&w, vq_max, q, &max), 0);
		cr_assert_eq(max, q < 4 ? 256 : 0);
	}
	cr_assert_eq(BUS(&w, vq_enable, 5, &place), -EPROTO);
	cr_assert_eq(BUS(&w, vq_enable, 3, &place), 0);
	cr_assert_eq(BUS(&w, vq_enable, 3, &place), -EPROTO);
	cr_assert_eq(BUS(&w, vq_disable, 3, &index), 0);
	cr_assert_eq(index, 0);
	cr_assert_eq(BUS(&w, vq_enable, 3, &place), 0);
	/* the configuration is written, too (BP-2) */
	cr_assert_eq(BUS(&w, set_config, FPH_CONFIG_POISON, poison, 4), 0);
	cr_assert_eq(config32(&w, FPH_CONFIG_POISON), 0xddccbbaau);
	cr_assert_eq(fph_device_poison(w.rig.device), 0xddccbbaau);
	/* interrupts one way, doorbells the other */
	cr_assert_eq(BUS(&w, set_status, 15), 0);
	cr_assert_eq(BUS(&w, take_irq, &irq), 0);
	cr_assert_eq(irq, 0u);
	rig_lock(&w.rig);
	cr_assert_eq(fph_device_start(w.rig.device), 0);
	rig_unlock(&w.rig);
	cr_assert_eq(fph_loop_run(w.end.loop, 5000), 1);
	cr_assert_eq(w.end.interrupts, 1u);
	cr_assert_eq(BUS(&w, take_irq, &irq), 0);
	cr_assert_eq(irq, FPH_IRQ_CONFIG);
	cr_assert_eq(BUS(&w, take_irq, &irq), 0);
	cr_assert_eq(irq, 0u);
	cr_assert_eq(config32(&w, FPH_CONFIG_COMMAND_ID), 0x80000001u);
	cr_assert_eq(BUS(&w, notify, 3), 0);
	for (unsigned i = 0; i < 10000 && !__atomic_load_n(&w.rig.hints, __ATOMIC_RELAXED); i++)
		usleep(500);
	cr_assert(w.rig.hints > 0);
	cr_assert_eq(BUS(&w, notify, 99), 0);
	/* DEVICE_NEEDS_RESET is seen: a ring that is nowhere */
	cr_assert_eq(BUS(&w, vq_enable, 0, (&(struct fph_vq_place){ .size = 16 })), -EPROTO);
	cr_assert(status(&w) & FPH_STATUS_NEEDS_RESET);
	/* reset by the driver: at once, and interrupts are taken back (M-1, G-12) */
	cr_assert_eq(BUS(&w, set_status, 0), 0);
	cr_assert_eq(status(&w), 0);
	cr_assert_eq(BUS(&w, take_irq, &irq), 0);
	cr_assert_eq(irq, 0u);
	cr_assert_eq(BUS(&w, vq_disable, 3, &index), 0);
	negotiate(&w);
	world_close(&w);
}

BOTH(verbs, reset_and_attach_go_on_for_ever)
{
	struct world w;

	world_open(&w, *kind, 5000);
	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(end_attach(&w.end), 0);
		if (i % 10 == 0)
			both_round(&w.rig, &w.end, 3);
		cr_assert_eq(end_reset(&w.end), 0);
		cr_assert_str_eq(fph_device_state_name(w.rig.device), "DOWN");
	}
	cr_assert_geq(w.rig.changed, 200u);
	world_close(&w);
}

/* A round is open and hints are out when the driver resets: all come back (G22). */
BOTH(verbs, a_reset_in_mid_round_gives_the_pages_back)
{
	struct fph_range out[4];
	struct world w;

	world_open(&w, *kind, 5000);
	cr_assert_eq(end_attach(&w.end), 0);
	rig_lock(&w.rig);
	cr_assert_eq(fph_device_start(w.rig.device), 0);
	rig_unlock(&w.rig);
	end_wait(&w.end, FPH_GUEST_FEED);
	end_hint(&w.end, 10);
	rig_lock(&w.rig);
	cr_assert_eq(fph_device_poll(w.rig.device, out, 4), 4); /* and is not acknowledged */
	rig_unlock(&w.rig);
	cr_assert_eq(fph_guest_reset(&w.end.guest), 0);
	cr_assert_eq(end_reclaim(&w.end), 10u);
	world_close(&w);
}

/* The bytes of one call are one moment (C-1, C-4, #46). */
static void *change(void *ctx)
{
	struct rig *rig = ctx;

	for (uint32_t i = 1; i <= 20000; i++) {
		rig_lock(rig);
		fph_device_set_num_pages(rig->device, i);
		fph_device_start(rig->device);
		rig_unlock(rig);
		/* Room to read in: a writer that never rests is answered with -EAGAIN. */
		if (i % 32 == 0)
			usleep(50);
	}
	return NULL;
}

BOTH(verbs, config_is_never_torn)
{
	uint32_t pages = 0, id, seen = 0, last = 0;
	unsigned char bytes[12];
	pthread_t thread;
	struct world w;

	world_open(&w, *kind, 5000);
	cr_assert_eq(end_attach(&w.end), 0);
	cr_assert_eq(pthread_create(&thread, NULL, change, &w.rig), 0);
	while (pages < 20000) {
		int rc = BUS(&w, config, 0, bytes, sizeof(bytes));

		cr_assert(rc == 0 || rc == -EAGAIN);
		if (rc < 0)
			continue;
		pages = fph_ld32_bytes(bytes);
		id = fph_ld32_bytes(bytes + 8);
		id = id ? id - 0x80000000u : 0;
		cr_assert(pages - id <= 1, "%u pages in round %u", pages, id);
		seen += pages != last;
		last = pages;
	}
	pthread_join(thread, NULL);
	cr_assert_gt(seen, 10u, "saw %u states only", seen);
	world_close(&w);
}

/* Events nobody took make one bell; what comes after the taking makes another. */
BOTH(verbs, interrupts_come_in_batches_and_none_is_lost)
{
	struct rig rig;
	struct raw raw;
	eventfd_t count;

	rig_open(&rig, (unsigned)*kind, NULL);
	raw_prepare(&raw);
	raw_expect(&raw, rig.path, 0);
	raw_write(&raw, FPH_MMIO_STATUS, 4, 3);
	raw_write(&raw, FPH_MMIO_DRIVER_FEATURES_SEL, 4, 0);
	raw_write(&raw, FPH_MMIO_DRIVER_FEATURES, 4, FPH_F_FREE_PAGE_HINT | FPH_F_STATS_VQ);
	raw_write(&raw, FPH_MMIO_DRIVER_FEATURES_SEL, 4, 1);
	raw_write(&raw, FPH_MMIO_DRIVER_FEATURES, 4, 1);
	raw_write(&raw, FPH_MMIO_STATUS, 4, 15);
	raw_kick(&raw);
	cr_assert(raw_acked(&raw, 6));
	cr_assert_eq(raw_register(&raw, FPH_MMIO_STATUS), 15u);
	for (unsigned turn = 0; turn < 3; turn++) {
		uint32_t seq;

		rig_lock(&rig);
		for (unsigned i = 0; i < 100; i++)
			fph_device_set_num_pages(rig.device, 100 * turn + i + 1);
		rig_unlock(&rig);
		cr_assert_eq(eventfd_read(raw.fds[SHM_FD_IRQ], &count), 0, "no bell");
		cr_assert_eq(count, 1u, "%u bells", (unsigned)count);
		cr_assert_eq(raw_register(&raw, FPH_MMIO_INTERRUPT_STATUS), FPH_IRQ_CONFIG);
		seq = fph_ld32(&raw_banks(&raw)->config_seq);
		cr_assert_eq(seq, 100u * (turn + 1));
		fph_st32(&raw.driver->config_ack, seq);
	}
	raw_close(&raw);
	rig_close(&rig);
}

static void *ring_often(void *ctx)
{
	struct rig *rig = ctx;

	for (uint32_t i = 1; i <= 20000; i++) {
		rig_lock(rig);
		fph_device_set_num_pages(rig->device, i);
		rig_unlock(rig);
		for (volatile unsigned spin = 0; spin < i * 7919 % 1500; spin++)
			;
	}
	return NULL;
}

BOTH(verbs, a_driver_that_only_acts_on_interrupts_sees_the_last_change)
{
	uint32_t pages = 0, irq;
	pthread_t thread;
	struct world w;

	world_open(&w, *kind, 5000);
	cr_assert_eq(end_attach(&w.end), 0);
	cr_assert_eq(pthread_create(&thread, NULL, ring_often, &w.rig), 0);
	while (pages < 20000) {
		cr_assert_gt(fph_loop_run(w.end.loop, 3000), 0, "lost after %u", pages);
		cr_assert_eq(BUS(&w, take_irq, &irq), 0);
		pages = config32(&w, FPH_CONFIG_NUM_PAGES);
	}
	pthread_join(thread, NULL);
	world_close(&w);
}

/* ------------------------------------------------------------ the server goes */

static void expect_dead_bus(struct world *w)
{
	uint64_t features;
	uint32_t irq;
	uint16_t n;
	char bytes[4];

	cr_assert_eq(BUS(w, features, &features), -EIO);
	cr_assert_eq(BUS(w, accept, 0), -EIO);
	cr_assert_eq(BUS(w, set_status, 1), -EIO);
	cr_assert_eq(BUS(w, config, 0, bytes, 4), -EIO);
	cr_assert_eq(BUS(w, set_config, 0, bytes, 4), -EIO);
	cr_assert_eq(BUS(w, vq_max, 0, &n), -EIO);
	cr_assert_eq(BUS(w, vq_enable, 0, &place), -EIO);
	cr_assert_eq(BUS(w, vq_disable, 0, &n), -EIO);
	cr_assert_eq(BUS(w, notify, 0), -EIO);
	cr_assert_eq(BUS(w, take_irq, &irq), -EIO);
}

static void lend(struct world *w, unsigned n)
{
	cr_assert_eq(end_attach(&w->end), 0);
	rig_lock(&w->rig);
	cr_assert_eq(fph_device_start(w->rig.device), 0);
	rig_unlock(&w->rig);
	end_wait(&w->end, FPH_GUEST_FEED);
	end_hint(&w->end, n);
}

BOTH(verbs, a_server_that_goes_gives_the_pages_back_and_may_come_again)
{
	struct world w;

	world_open(&w, *kind, 5000);
	for (unsigned i = 1; i <= 3; i++) {
		lend(&w, 10);
		rig_restart(&w.rig);
		while (w.end.gone < i)
			cr_assert_gt(fph_loop_run(w.end.loop, 5000), 0);
		cr_assert_str_eq(w.end.why, "the server closed the connection");
		cr_assert(!fph_shm_client_connected(w.end.client));
		expect_dead_bus(&w);
		cr_assert_eq(fph_guest_reset(&w.end.guest), 0);
		cr_assert_eq(end_reclaim(&w.end), 10u);
		end_connect(&w.end);
	}
	cr_assert_eq(end_attach(&w.end), 0);
	both_round(&w.rig, &w.end, 10);
	world_close(&w);
}

/* #80: a wait has a bound; and what the server may still be at work on is not ours (G22). */
BOTH(verbs, a_server_that_hangs_costs_the_time_out_and_keeps_the_pages_until_it_lets_go)
{
	struct world w;

	world_open(&w, *kind, 100);
	lend(&w, 10);
	rig_lock(&w.rig);
	w.rig.frozen = true;
	rig_unlock(&w.rig);
	cr_assert_eq(fph_guest_reset(&w.end.guest), -ETIMEDOUT);
	cr_assert_not_null(strstr(fph_shm_client_why(w.end.client), "within 100 ms"));
	cr_assert(!fph_shm_client_connected(w.end.client));
	cr_assert_eq(count_maps("fph-shm-client"), 1u, "the client's own mapping is left");
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(fph_guest_reset(&w.end.guest), -EAGAIN, "the server still has them");
	cr_assert_eq(end_reclaim(&w.end), 0u);
	cr_assert_eq(fph_shm_client_connect(w.end.client), -EBUSY);
	cr_assert_not_null(strstr(fph_shm_client_why(w.end.client), "not let go"));
	end_pump(&w.end);
	cr_assert_eq(w.end.gone, 0u);
	rig_lock(&w.rig);
	w.rig.frozen = false;
	rig_unlock(&w.rig);
	cr_assert_eq(end_reset(&w.end), 0);
	cr_assert_eq(end_reclaim(&w.end), 10u);
	end_pump(&w.end);
	cr_assert_eq(w.end.gone, 1u);
	rig_expect_gone(&w.rig, 1);
	end_connect(&w.end);
	cr_assert_eq(end_attach(&w.end), 0);
	both_round(&w.rig, &w.end, 10);
	world_close(&w);
}

BOTH(verbs, disconnect_lets_everything_go_and_connect_waits_for_it)
{
	struct world w;
	unsigned fds;

	world_open(&w, *kind, 5000);
	cr_assert_eq(end_attach(&w.end), 0);
	fph_shm_client_disconnect(w.end.client);
	rig_expect_gone(&w.rig, 1);
	cr_assert_eq(end_reset(&w.end), 0);
	end_pump(&w.end);
	fds = count_fds();
	for (unsigned i = 0; i < 50; i++) {
		end_connect(&w.end);
		cr_assert_eq(end_attach(&w.end), 0);
		fph_shm_client_disconnect(w.end.client);
		expect_dead_bus(&w);
	}
	rig_expect_gone(&w.rig, 51);
	cr_assert_eq(end_reset(&w.end), 0);
	end_pump(&w.end);
	cr_assert_eq(w.end.gone, 0u, "who disconnects is not told that it is gone");
	cr_assert_eq(count_fds(), fds);
	cr_assert_eq(count_maps("fph-shm"), 0u);
	world_close(&w);
}

/* ------------------------------------------------------------ options */

Test(verbs, options_that_cannot_be)
{
	struct fph_shm_region region = { END_GPA, END_BYTES, -1, 0 };
	struct fph_shm_client_opts c = FPH_SHM_CLIENT_OPTS_INIT;
	struct fph_shm_server_opts s = FPH_SHM_SERVER_OPTS_INIT;
	static char path[120];
	struct fph_shm_client *client;
	struct fph_shm_server *server;
	unsigned fds;
	struct rig rig;

	memset(path, 'x', sizeof(path) - 1);
	rig_open(&rig, FPH_LOOP_POLL, NULL);
	cr_assert_eq(fph_shm_server_open(&server, &s), -EINVAL);
	s.loop = rig.loop;
	cr_assert_eq(fph_shm_server_open(&server, &s), -EINVAL);
	s.path = path;
	cr_assert_eq(fph_shm_server_open(&server, &s), -ENAMETOOLONG);
	s.path = rig.path;
	fds = count_fds();
	rig_lock(&rig);
	cr_assert_eq(fph_shm_server_open(&server, &s), -EADDRINUSE);
	s.path = "/nowhere/at/all";
	cr_assert_eq(fph_shm_server_open(&server, &s), -ENOENT);
	s.device.queue_max = 3;
	cr_assert_eq(fph_shm_server_open(&server, &s), -EINVAL);
	rig_unlock(&rig);
	cr_assert_eq(count_fds(), fds);

	cr_assert_eq(fph_shm_client_open(&client, &c), -EINVAL);
	c.loop = rig.loop;
	c.regions = &region;
	cr_assert_eq(fph_shm_client_open(&client, &c), -EINVAL);
	c.region_count = 1;
	cr_assert_eq(fph_shm_client_open(&client, &c), -EINVAL);
	c.path = path;
	cr_assert_eq(fph_shm_client_open(&client, &c), -ENAMETOOLONG);
	c.path = "/nowhere/at/all";
	cr_assert_eq(fph_shm_client_open(&client, &c), -EBADF);
	region.fd = end_memfd(END_BYTES, 0);
	cr_assert_eq(fph_shm_client_open(&client, &c), -EPERM);
	close(region.fd);
	region.fd = end_memfd(END_BYTES, F_SEAL_SHRINK);
	region.gpa += 8;
	cr_assert_eq(fph_shm_client_open(&client, &c), -EINVAL);
	region.gpa -= 8;
	c.region_count = FPH_SHM_REGIONS_MAX + 1;
	cr_assert_eq(fph_shm_client_open(&client, &c), -EINVAL);
	c.region_count = 1;
	cr_assert_eq(fph_shm_client_open(&client, &c), 0);
	cr_assert_eq(fph_shm_client_connect(client), -ENOENT);
	cr_assert_not_null(strstr(fph_shm_client_why(client), "no server at /nowhere/at/all"));
	fph_shm_client_close(client);
	close(region.fd);
	cr_assert_eq(count_fds(), fds);
	fph_shm_client_close(NULL);
	fph_shm_server_close(NULL);
	rig_close(&rig);
}
