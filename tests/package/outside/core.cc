/* SPDX-License-Identifier: MIT */
/* The headers in C++, with every initializer, linked with the library. */
#include <fph/bitmap.h>
#include <fph/device.h>
#include <fph/guest.h>

int main()
{
	fph_device_opts device = FPH_DEVICE_OPTS_INIT;
	fph_guest_opts guest = FPH_GUEST_OPTS_INIT;
	fph_device_stats device_stats = FPH_DEVICE_STATS_INIT;
	fph_guest_stats guest_stats = FPH_GUEST_STATS_INIT;
	fph_device dev;
	fph_mem mem = {};

	device.mem = &mem;
	if (fph_device_init(&dev, &device) != 0 || guest.size != sizeof(guest))
		return 1;
	if (fph_device_total_stats(&dev, &device_stats) != 0 || guest_stats.hints != 0)
		return 2;
	return fph_rule_name(FPH_RULE_NONE) == nullptr;
}
