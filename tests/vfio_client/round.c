/* SPDX-License-Identifier: MIT */
#include "rig.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Whole lives of the guest role over the client, against the library's own server. */
static struct rig rig;
static struct end end;

static const unsigned kinds[] = { 0, FPH_LOOP_POLL };

static void up(unsigned loop, uint32_t server, uint32_t client, bool no_fd, uint64_t offer)
{
	rig_open(&rig, loop, server, offer);
	end_open(&end, rig.path, loop, client, no_fd, 5000);
	cr_assert_eq(fph_vfio_user_client_connect(end.client), 0, "%s",
		     fph_vfio_user_client_why(end.client));
	cr_assert_eq(end_attach(&end), 0, "%s", fph_vfio_user_client_why(end.client));
}

static void down(void)
{
	cr_expect_eq(end.gone, 0u, "%s", end.why);
	cr_expect_eq(rig.gone, 0u, "%s", rig.why);
	end_close(&end);
	rig_close(&rig);
}

/* ------------------------------------------------------------ rounds, every way */

static void rounds(uint32_t server, uint32_t client, bool no_fd)
{
	for (unsigned k = 0; k < 2; k++) {
		up(kinds[k], server, client, no_fd, 0);
		for (unsigned i = 0; i < 10; i++)
			both_round(&rig, &end, 20);
		cr_expect_eq(rig.troubles, 0u, "%s", rig.why);
		down();
	}
}

Test(vfio_client, hints_by_msix)
{
	rounds(0, 0, false);
}

Test(vfio_client, hints_by_posted_writes)
{
	rounds(0, FPH_VFIO_USER_POSTED, false);
}

Test(vfio_client, hints_by_intx)
{
	rounds(FPH_VFIO_USER_NO_MSIX, 0, false);
	cr_expect_gt(end.interrupts, 10u);
}

Test(vfio_client, hints_by_intx_if_it_wants_no_vectors)
{
	rounds(0, FPH_VFIO_USER_NO_MSIX, false);
}

Test(vfio_client, hints_by_polling)
{
	rounds(FPH_VFIO_USER_NO_MSIX | FPH_VFIO_USER_NO_INTX, 0, false);
	cr_expect_eq(end.interrupts, 0u);
}

Test(vfio_client, hints_of_memory_that_goes_by_messages)
{
	struct fph_vfio_user_stats s = FPH_VFIO_USER_STATS_INIT;

	rig_open(&rig, 0, 0, 0);
	end_open(&end, rig.path, 0, 0, true, 5000);
	cr_assert_eq(fph_vfio_user_client_connect(end.client), 0);
	cr_assert_eq(end_attach(&end), 0, "%s", fph_vfio_user_client_why(end.client));
	for (unsigned i = 0; i < 10; i++)
		both_round(&rig, &end, 20);
	cr_assert_eq(fph_vfio_user_client_stats(end.client, &s), 0);
	cr_expect_gt(s.dma_reads, 10u);
	cr_expect_gt(s.dma_writes, 10u);
	cr_expect_eq(s.refused, 0u);
	down();
}

Test(vfio_client, hints_over_every_ring_format)
{
	static const uint64_t formats[] = {
		FPH_F_RING_PACKED,
		FPH_F_RING_PACKED | FPH_F_EVENT_IDX | FPH_F_IN_ORDER,
		FPH_F_EVENT_IDX | FPH_F_INDIRECT_DESC | FPH_F_IN_ORDER,
	};

	for (unsigned f = 0; f < 3; f++) {
		up(0, 0, 0, false, formats[f]);
		cr_expect_eq(fph_device_features(rig.device) & formats[f], formats[f]);
		for (unsigned i = 0; i < 5; i++)
			both_round(&rig, &end, 20);
		down();
	}
}

/* ------------------------------------------------------------ ends and beginnings */

Test(vfio_client, a_server_that_restarts_is_used_again_and_nothing_is_lost)
{
	up(0, 0, 0, false, 0);
	for (unsigned i = 0; i < 5; i++) {
		int rc = -EAGAIN;

		rig_lock(&rig);
		cr_assert_eq(fph_device_start(rig.device), 0);
		rig_unlock(&rig);
		end_wait(&end, FPH_GUEST_FEED);
		end_hint(&end, 20);
		rig_restart(&rig);
		for (unsigned k = 0; k < 1000 && end.gone == i; k++)
			fph_loop_run(end.loop, 10);
		cr_assert_eq(end.gone, i + 1);
		cr_expect_str_eq(end.why, "the server closed the connection");
		cr_expect_not(fph_vfio_user_client_connected(end.client));
		cr_expect_eq(fph_guest_step(&end.guest, 0), -EIO);
		for (unsigned k = 0; k < 100 && rc == -EAGAIN; k++)
			rc = fph_guest_reset(&end.guest);
		cr_assert_eq(rc, 0);
		cr_assert_eq(end_reclaim(&end), 20u, "every page comes back");
		cr_assert_eq(fph_vfio_user_client_connect(end.client), 0, "%s",
			     fph_vfio_user_client_why(end.client));
		cr_assert_eq(end_attach(&end), 0);
		both_round(&rig, &end, 20);
	}
	end_close(&end);
	rig_close(&rig);
}

Test(vfio_client, a_server_that_hangs_is_left_and_keeps_the_pages)
{
	uint8_t status;

	rig_open(&rig, 0, 0, 0);
	end_open(&end, rig.path, 0, 0, false, 200);
	cr_assert_eq(fph_vfio_user_client_connect(end.client), 0);
	cr_assert_eq(end_attach(&end), 0);
	rig_lock(&rig);
	cr_assert_eq(fph_device_start(rig.device), 0);
	rig_unlock(&rig);
	end_wait(&end, FPH_GUEST_FEED);
	end_hint(&end, 20);
	rig_lock(&rig);
	rig.frozen = true;
	rig_unlock(&rig);
	cr_expect_eq(end.bus.ops->status(end.bus.ctx, &status), -ETIMEDOUT);
	cr_expect_str_eq(fph_vfio_user_client_why(end.client), "the server did not answer in time");
	cr_expect_eq(end.bus.ops->status(end.bus.ctx, &status), -EIO);
	cr_expect_eq(fph_vfio_user_client_connect(end.client), -EBUSY);
	cr_expect_eq(fph_guest_reset(&end.guest), -EAGAIN, "it may touch them still");
	cr_expect_eq(end_reclaim(&end), 0u);
	rig_lock(&rig);
	rig.frozen = false;
	rig_unlock(&rig);
	for (unsigned i = 0; i < 1000 && fph_guest_reset(&end.guest) == -EAGAIN; i++)
		usleep(1000);
	cr_expect_eq(end_reclaim(&end), 20u);
	cr_expect_eq(fph_vfio_user_client_connect(end.client), 0);
	cr_assert_eq(end_attach(&end), 0);
	both_round(&rig, &end, 20);
	end_close(&end);
	rig_close(&rig);
}

Test(vfio_client, resets_the_function)
{
	up(0, 0, 0, false, 0);
	both_round(&rig, &end, 20);
	cr_assert_eq(fph_vfio_user_client_reset(end.client), 0);
	rig_lock(&rig);
	cr_expect_eq(fph_device_features(rig.device), 0u);
	rig_unlock(&rig);
	cr_assert_eq(end_attach(&end), 0);
	both_round(&rig, &end, 20);
	down();
}

Test(vfio_client, connects_again_and_again_without_a_leak)
{
	unsigned before = 0;

	rig_open(&rig, 0, 0, 0);
	end_open(&end, rig.path, 0, 0, false, 5000);
	for (unsigned i = 0; i < 300; i++) {
		int rc = -EBUSY;

		for (unsigned k = 0; k < 1000 && rc == -EBUSY; k++) {
			rc = fph_vfio_user_client_connect(end.client);
			if (rc == -EBUSY)
				usleep(100);
		}
		/* The server may not have seen the end of the one before. */
		if (rc == -ECONNRESET || rc == -EPIPE)
			continue;
		cr_assert_eq(rc, 0, "%d: %s", rc, fph_vfio_user_client_why(end.client));
		if (i == 10)
			before = count_fds();
		else if (i > 10)
			cr_assert_leq(count_fds(), before + 3);
		fph_vfio_user_client_disconnect(end.client);
	}
	end_close(&end);
	rig_close(&rig);
}

Test(vfio_client, tells_who_is_not_there)
{
	rig_open(&rig, 0, 0, 0);
	end_open(&end, "/tmp/fph-vfio-is-not-there", 0, 0, false, 1000);
	cr_expect_eq(fph_vfio_user_client_connect(end.client), -ENOENT);
	cr_expect_not_null(strstr(fph_vfio_user_client_why(end.client), "fph-vfio-is-not-there"));
	end_close(&end);
	end_open(&end, NULL, 0, 0, false, 1000);
	cr_expect_eq(fph_vfio_user_client_connect(end.client), -EINVAL);
	end_close(&end);
	rig_close(&rig);
}

/* ------------------------------------------------------------ figures */

Test(vfio_client, tells_what_a_round_costs)
{
	struct fph_vfio_user_stats a = FPH_VFIO_USER_STATS_INIT, b = FPH_VFIO_USER_STATS_INIT;

	up(0, 0, FPH_VFIO_USER_POSTED, false, 0);
	both_round(&rig, &end, 20);
	cr_assert_eq(fph_vfio_user_client_stats(end.client, &a), 0);
	both_round(&rig, &end, 20);
	cr_assert_eq(fph_vfio_user_client_stats(end.client, &b), 0);
	printf("a round of 20 hints: %llu round trips, %llu posted\n",
	       (unsigned long long)(b.requests - a.requests),
	       (unsigned long long)(b.posted - a.posted));
	cr_expect_gt(b.posted, a.posted);
	cr_expect_gt(b.requests, a.requests);
	b.size = 7;
	cr_expect_eq(fph_vfio_user_client_stats(end.client, &b), -EINVAL);
	down();
}
