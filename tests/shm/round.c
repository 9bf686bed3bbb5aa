/* SPDX-License-Identifier: MIT */
#include "rig.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/*
 * Whole lives of both roles over shared memory: the server in one thread, the client in
 * another.  T-1: each verb of the bus is used by the guest or by hand below.
 */
struct world {
	struct rig rig;
	struct end end;
};

static void world_open(struct world *w, size_t kind)
{
	struct fph_shm_server_opts o = FPH_SHM_SERVER_OPTS_INIT;

	o.device.offer = FPH_F_SUSPEND;
	rig_open(&w->rig, (unsigned)kind, &o);
	end_open(&w->end, w->rig.path, (unsigned)kind, 5000);
	end_connect(&w->end);
	cr_assert_eq(end_attach(&w->end), 0, "%s", fph_shm_client_why(w->end.client));
}

static void world_close(struct world *w)
{
	end_close(&w->end);
	rig_close(&w->rig);
}

BOTH(round, hints_arrive_and_their_pages_come_back)
{
	struct world w;

	world_open(&w, *kind);
	cr_assert_str_eq(fph_device_state_name(w.rig.device), "STOPPED");
	for (unsigned i = 0; i < 20; i++)
		both_round(&w.rig, &w.end, 20);
	cr_assert(w.end.interrupts > 0, "no interrupt came");
	cr_assert_eq(w.rig.gone, 0u, "%s", w.rig.why);
	cr_assert_eq(w.end.gone, 0u, "%s", w.end.why);
	world_close(&w);
}

/* S-2, S-6: what the embedder does outside of the loop is done with when a write is served. */
BOTH(round, a_device_with_a_batch_in_hand_is_suspended)
{
	struct fph_range out[4];
	struct world w;
	int n = 0;

	world_open(&w, *kind);
	rig_lock(&w.rig);
	cr_assert_eq(fph_device_start(w.rig.device), 0);
	rig_unlock(&w.rig);
	cr_assert(end_wait(&w.end, FPH_GUEST_FEED) & FPH_GUEST_FEED);
	end_hint(&w.end, 4);
	for (unsigned i = 0; i < 10000 && n <= 0; i++) {
		rig_lock(&w.rig);
		n = fph_device_poll(w.rig.device, out, 4);
		rig_unlock(&w.rig);
	}
	cr_assert_eq(n, 4);
	for (unsigned i = 0; i < 10 && (n = fph_guest_suspend(&w.end.guest)) == -EAGAIN; i++) {
		rig_lock(&w.rig);
		fph_device_ack(w.rig.device);
		rig_unlock(&w.rig);
		usleep(1000);
	}
	cr_expect_eq(n, 0, "the guest never sees that the device sleeps: %s", strerror(-n));
	cr_expect_eq(fph_guest_resume(&w.end.guest), 0);
	cr_expect(end_wait(&w.end, FPH_GUEST_RECLAIM) & FPH_GUEST_RECLAIM);
	world_close(&w);
}
