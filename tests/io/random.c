/* SPDX-License-Identifier: MIT */
#include "front.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Front ends that say anything at any time, in between an embedder who goes about its
 * rounds.  The judges: the sanitizers, the alarm, descriptors and mappings that stay,
 * and a well-behaved front end that is served at the end.
 */
#define LIVES	 150
#define MESSAGES 200

struct dice {
	uint64_t state;
};

/* xorshift64*: the same seed, the same lives. */
static uint32_t roll(struct dice *d, uint32_t sides)
{
	d->state ^= d->state >> 12;
	d->state ^= d->state << 25;
	d->state ^= d->state >> 27;
	return (uint32_t)((d->state * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % sides;
}

static const uint8_t sizes[VU_REQUEST_END] = {
	[VU_SET_FEATURES] = 8,	 [VU_SET_MEM_TABLE] = 40,  [VU_SET_VRING_NUM] = 8,
	[VU_SET_VRING_ADDR] = 40, [VU_SET_VRING_BASE] = 8,  [VU_GET_VRING_BASE] = 8,
	[VU_SET_VRING_KICK] = 8, [VU_SET_VRING_CALL] = 8,  [VU_SET_VRING_ERR] = 8,
	[VU_SET_PROTOCOL_FEATURES] = 8, [VU_SET_VRING_ENABLE] = 8, [VU_GET_CONFIG] = 16,
	[VU_SET_CONFIG] = 16,	 [VU_ADD_MEM_REG] = 40,	   [VU_REM_MEM_REG] = 40,
	[VU_SET_STATUS] = 8,
};

static const uint8_t known[] = {
	1,  2,	3,  5,	8,  9,	10, 11, 12, 13, 14, 15, 16, 17, 18, 21,
	24, 25, 34, 36, 37, 38, 39, 40,
};

/* A number that matters somewhere. */
static uint64_t number(struct dice *d)
{
	static const uint64_t pool[] = {
		0, 1, 2, 3, 4, 5, 16, 256, 0x100, 4096, 32768, 65536, FRONT_GPA, FRONT_BYTES,
		UINT64_C(0x14000000a), UINT64_C(0x100000000), UINT64_MAX, UINT64_MAX - 4095,
		UINT64_C(1) << 63, UINT64_C(1) << 32 | 1, UINT64_C(16) << 32, 0x1a229, 15,
	};

	return pool[roll(d, sizeof(pool) / sizeof(pool[0]))];
}

/* A body that makes sense: a small memory at FRONT_GPA, rings in it. */
static void make_sense(struct dice *d, uint32_t request, uint32_t ring, union vu_body *body)
{
	memset(body, 0, sizeof(*body));
	switch (request) {
	case VU_SET_FEATURES:
		body->u64 = UINT64_C(0x14000000a);
		break;
	case VU_SET_PROTOCOL_FEATURES:
		body->u64 = roll(d, 9) ? 0x1a229 : 0x8228;
		break;
	case VU_SET_MEM_TABLE:
		body->table.count = 1;
		body->table.regions[0] = (struct vu_region){ FRONT_GPA, 65536, FRONT_GPA, 0 };
		break;
	case VU_ADD_MEM_REG:
	case VU_REM_MEM_REG:
		body->reg.region = (struct vu_region){ ring * 65536, 65536, ring * 65536, 0 };
		break;
	case VU_SET_VRING_NUM:
	case VU_SET_VRING_BASE:
	case VU_GET_VRING_BASE:
	case VU_SET_VRING_ENABLE:
		body->state.index = ring;
		body->state.num = request == VU_SET_VRING_NUM ? 16 : request == VU_SET_VRING_ENABLE;
		break;
	case VU_SET_VRING_ADDR:
		body->addr = (struct vu_ring_addr){ ring, 0, FRONT_GPA, FRONT_GPA + 4096,
						    FRONT_GPA + 8192, 0 };
		break;
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
		body->u64 = ring;
		break;
	case VU_GET_CONFIG:
	case VU_SET_CONFIG:
		body->config.offset = 4 * ring;
		body->config.size = 4;
		break;
	case VU_SET_STATUS:
		body->u64 = 15;
		break;
	default:
		break;
	}
}

static unsigned fds_of(struct dice *d, uint32_t request)
{
	if (roll(d, 40) == 0)
		return roll(d, 4);
	return request == VU_SET_MEM_TABLE || request == VU_ADD_MEM_REG ||
	       request == VU_SET_VRING_KICK || request == VU_SET_VRING_CALL ||
	       request == VU_SET_VRING_ERR || request == VU_SET_BACKEND_REQ_FD;
}

static int fd_for(uint32_t request, const int pool[4])
{
	if (request == VU_SET_BACKEND_REQ_FD)
		return pool[2];
	return request == VU_SET_MEM_TABLE || request == VU_ADD_MEM_REG ? pool[1] : pool[0];
}

static void say_something(struct dice *d, struct front *front, const int pool[4])
{
	uint32_t request = roll(d, 60) ? known[roll(d, sizeof(known))] : number(d) & 0xff;
	uint32_t size = request < VU_REQUEST_END ? sizes[request] : roll(d, 40);
	uint32_t flags = roll(d, 200) ? VU_NEED_REPLY : VU_REPLY;
	unsigned n = fds_of(d, request);
	union vu_body body;
	int fds[4];

	if (roll(d, 200) == 0)
		size = roll(d, sizeof(body));
	make_sense(d, request, roll(d, 4), &body);
	while (roll(d, 20) == 0)
		memcpy((char *)&body + 8 * roll(d, 5), &(uint64_t){ number(d) }, 8);
	for (unsigned i = 0; i < n; i++)
		fds[i] = roll(d, 10) ? fd_for(request, pool) : pool[roll(d, 4)];
	front_send(front, request, flags, &body, size, fds, n);
}

/* A device that is up, for the chaos to begin with. */
static void bring_up(struct dice *d, struct front *front, const int pool[4])
{
	static const uint8_t first[] = { VU_SET_BACKEND_REQ_FD, VU_SET_FEATURES, VU_SET_MEM_TABLE };
	static const uint8_t each[] = { VU_SET_VRING_CALL, VU_SET_VRING_NUM, VU_SET_VRING_BASE,
					VU_SET_VRING_ADDR, VU_SET_VRING_KICK, VU_SET_VRING_ENABLE };
	union vu_body body;

	for (unsigned i = 0; i < 3 + 4 * 6 + 1; i++) {
		uint32_t request = i < 3 ? first[i] : i < 27 ? each[(i - 3) % 6] : VU_SET_STATUS;
		int fd = fd_for(request, pool);
		bool with_fd = i == 0 || i == 2 || request == VU_SET_VRING_CALL ||
			       request == VU_SET_VRING_KICK;

		make_sense(d, request, i < 3 ? 0 : (i - 3) / 6, &body);
		front_send(front, request, VU_NEED_REPLY, &body, sizes[request], &fd, with_fd);
	}
}

/* What the embedder does meanwhile, and the guest to its rings. */
static void meddle(struct dice *d, struct rig *rig, unsigned char *ram, int kick)
{
	struct fph_range out[4];

	switch (roll(d, 6)) {
	case 0:
		fph_device_start(rig->device);
		break;
	case 1:
		fph_device_done(rig->device);
		break;
	case 2:
		fph_device_poll(rig->device, out, 4);
		break;
	case 3:
		fph_device_set_num_pages(rig->device, roll(d, 100));
		break;
	case 4:
		if (roll(d, 4))
			ram[8192 + 2]++; /* one more buffer is available */
		else
			ram[roll(d, 12288)] = (unsigned char)roll(d, 256);
		break;
	default:
		cr_assert_eq(eventfd_write(kick, 1), 0);
		break;
	}
}

/* Rings, all in the same place, in which each entry is a page to inflate. */
static void fill_rings(unsigned char *ram)
{
	const uint32_t pfn = (uint32_t)(FRONT_GPA / 4096 + 8);
	const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc = { FRONT_GPA + 16384, 4, 0, 0 };

	for (unsigned i = 0; i < 16; i++)
		memcpy(ram + 16 * i, &desc, sizeof(desc));
	memcpy(ram + 16384, &pfn, sizeof(pfn));
}

static void one_life(struct dice *d, struct rig *rig)
{
	struct front front;
	char answers[4096];
	unsigned char *ram;
	int pool[4], pair[2];

	pool[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pool[1] = memfd_create("fph-guest-ram", MFD_CLOEXEC);
	cr_assert(pool[1] >= 0 && ftruncate(pool[1], 1 << 20) == 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	pool[2] = pair[0];
	pool[3] = pair[1];
	ram = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, pool[1], 0);
	cr_assert(ram != MAP_FAILED);
	fill_rings(ram);
	front_connect(&front, rig);
	front.flags = FRONT_SLOTS | (roll(d, 4) ? FRONT_STATUS : 0);
	if (roll(d, 20))
		front_negotiate(&front);
	if (roll(d, 4))
		bring_up(d, &front, pool);
	for (unsigned i = 0; i < MESSAGES && fph_vhost_user_connected(rig->vu); i++) {
		say_something(d, &front, pool);
		if (roll(d, 3))
			rig_pump(rig);
		if (roll(d, 2))
			meddle(d, rig, ram, pool[0]);
		while (recv(front.sock, answers, sizeof(answers), MSG_DONTWAIT) > 0)
			;
	}
	front_close(&front);
	munmap(ram, 65536);
	for (unsigned i = 0; i < 4; i++)
		close(pool[i]);
}

ParameterizedTestParameters(random, front_ends_do_no_harm)
{
	static size_t which[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 };
	return cr_make_param_array(size_t, which, 20);
}

ParameterizedTest(size_t *seed, random, front_ends_do_no_harm)
{
	struct dice dice = { *seed * UINT64_C(0x9e3779b97f4a7c15) };
	struct fph_device_stats stats = FPH_DEVICE_STATS_INIT;
	struct front front;
	struct rig rig;
	unsigned before;

	rig_open(&rig, *seed % 2 ? 0 : FPH_LOOP_POLL, NULL);
	before = count_fds();
	alarm(60);
	for (unsigned i = 0; i < LIVES; i++) {
		one_life(&dice, &rig);
		cr_assert_eq(count_fds(), before, "life %u", i);
		cr_assert_eq(count_maps("fph-guest-ram"), 0u, "life %u", i);
	}
	alarm(0);
	cr_assert_eq(rig.gone, LIVES);
	/* They got somewhere, or this proves little: rings ran, and were broken. */
	cr_assert_eq(fph_device_total_stats(rig.device, &stats), 0);
	cr_assert_gt(stats.resets, LIVES);
	cr_assert_gt(rig.changed, 3 * LIVES);
	cr_assert_gt(rig.inflated, 0u);
	front_open(&front, &rig, FRONT_STATUS);
	front_close(&front);
	rig_close(&rig);
}
