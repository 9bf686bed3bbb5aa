/* SPDX-License-Identifier: MIT */
#include "witness.h"
#include <criterion/criterion.h>
#include <string.h>
#include <sys/eventfd.h>

void witness_fill(struct front *front)
{
	uint32_t pfn = (uint32_t)(PAGE_GPA / 4096);
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc = { RING_GPA + 0x3000, 4, 0, 0 };
	const uint16_t avail[3] = { 0, 1, 0 };

	memcpy(front->ram + 0x100000, &desc, sizeof(desc));
	memcpy(front->ram + 0x101000, avail, sizeof(avail));
	memset(front->ram + 0x102000, 0, 4096);
	memcpy(front->ram + 0x103000, &pfn, sizeof(pfn));
}

int witness_features(struct front *front, uint64_t more)
{
	return front_ask_u64(front, VU_SET_FEATURES,
			     FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT | more);
}

int front_give_fd(struct front *front, uint32_t request, uint64_t index, int fd)
{
	return front_ask(front, request, &index, sizeof(index), &fd, 1);
}

int witness_addr(struct front *front, uint64_t desc, uint64_t avail, uint64_t used)
{
	uint64_t user = (uintptr_t)front->ram - FRONT_GPA;
	struct vu_ring_addr addr = { .index = 0, .desc = user + desc, .avail = user + avail,
				     .used = user + used };

	return front_ask(front, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

int witness_step(struct front *front, unsigned which)
{
	switch (which) {
	case 0:
		return front_ask_state(front, VU_SET_VRING_NUM, 0, 16);
	case 1:
		return witness_addr(front, RING_GPA, RING_GPA + 0x1000, RING_GPA + 0x2000);
	case 2:
		return front_ask_state(front, VU_SET_VRING_BASE, 0, 0);
	case 3:
		return front_give_fd(front, VU_SET_VRING_KICK, 0, front->kick[0]);
	case 4:
		return front_ask_state(front, VU_SET_VRING_ENABLE, 0, 1);
	default:
		return witness_features(front, VU_F_PROTOCOL_FEATURES);
	}
}

void witness_start(struct front *front)
{
	for (unsigned i = 0; i < WITNESS_STEPS; i++)
		cr_assert_eq(witness_step(front, i), 0);
}

void witness_open(struct rig *rig, struct front *front)
{
	rig_open(rig, 0, NULL);
	front_open(front, rig, FRONT_SLOTS);
	front->kick[0] = eventfd(0, EFD_CLOEXEC);
	witness_fill(front);
}

void witness_close(struct rig *rig, struct front *front)
{
	front_close(front);
	rig_close(rig);
}
