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
	rig_open(&w->rig, (unsigned)kind, NULL);
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
