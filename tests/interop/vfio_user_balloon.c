/* SPDX-License-Identifier: MIT */
#include "vfio_user_harness.h"

#include <criterion/criterion.h>

/* The rest of the balloon, as Linux uses it: pages by many buffers, statistics when asked. */

static uint32_t target;
static unsigned answers;

static bool is_inflated(const struct vm *vm)
{
	return fph_device_actual(vm->dev) == target;
}

static bool is_answered(const struct vm *vm)
{
	return vm->stats >= answers;
}

static void ask_stats(struct vm *vm)
{
	answers = vm->stats + 1;
	cr_assert(fph_device_ask_stats(vm->dev) == 0);
	vm_until(vm, is_answered, "statistics");
}

/* One doorbell and one interrupt a buffer, each asked for by event.  V-14 to V-17, BS-2 */
static void serves_the_balloon(uint64_t offer)
{
	const struct vm_opts opts = { .offer = offer };
	struct fph_device_stats stats = FPH_DEVICE_STATS_INIT;
	struct vm vm;

	vm_open(&vm, &opts);
	cr_assert((fph_device_features(vm.dev) & offer) == offer, "the driver takes not all");
	for (int i = 0; i < 3; i++)
		ask_stats(&vm);
	for (target = 16384; target != UINT32_MAX; target = target ? 0 : UINT32_MAX) {
		cr_assert(fph_device_set_num_pages(vm.dev, target) == 0);
		vm_until(&vm, is_inflated, target ? "inflation" : "deflation");
	}
	ask_stats(&vm);
	cr_assert(fph_device_total_stats(vm.dev, &stats) == 0);
	cr_expect(stats.inflated == 16384 * (uint64_t)PAGE);
	cr_expect(stats.deflated == 16384 * (uint64_t)PAGE);
	cr_expect(stats.balloon_dropped == 0);
	vm_close(&vm);
}

Test(vfio_user, inflates_deflates_and_tells_statistics)
{
	serves_the_balloon(0);
}

Test(vfio_user, inflates_deflates_and_tells_statistics_by_event)
{
	serves_the_balloon(FPH_F_EVENT_IDX);
}

Test(vfio_user, inflates_deflates_and_tells_statistics_on_packed_rings)
{
	serves_the_balloon(FPH_F_EVENT_IDX | FPH_F_RING_PACKED | FPH_F_INDIRECT_DESC);
}
