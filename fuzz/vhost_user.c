/* SPDX-License-Identifier: MIT */
/*
 * A hostile vhost-user front end: messages of all kinds with descriptors of all kinds, bytes
 * that are none, memory that changes; rounds in between.  Judged: hints lie in memory, no
 * descriptor is left, and an honest front end is served afterwards.
 */
#include "socket.h"
#include "vhost_user/wire.h"
#include <fph/vhost_user.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPS_MAX 64
#define USER	UINT64_C(0x7f0000000000) /* the front end's own addresses of RAM_GPA */

static struct input in;
static struct fph_vhost_user *back;
static char path[64];
static int peer;
static bool gone;

static void on_gone(void *ctx, const char *why)
{
	(void)ctx;
	MUST(why && *why);
	gone = true;
}

static uint64_t address(void)
{
	uint8_t how = next8(&in);

	if (how == 0)
		return next64(&in);
	return (how & 1 ? USER : RAM_GPA) + (uint64_t)(how >> 1) * 4096 + (how & 0x80 ? 8 : 0);
}

static struct vu_region region(void)
{
	static const uint64_t sizes[] = { RAM_LEN, RAM_LEN / 2, 4096, 0, UINT64_MAX, RAM_LEN + 1 };
	struct vu_region r = { RAM_GPA, RAM_LEN, USER, 0 };
	uint8_t how = next8(&in);

	if (how & 1)
		r.gpa = address();
	if (how & 2)
		r.size = sizes[next8(&in) % 6];
	if (how & 4)
		r.user = address();
	if (how & 8)
		r.offset = next8(&in) * UINT64_C(4096);
	return r;
}

/* A body that fits the request, mostly; how long it is. */
static uint32_t body(uint32_t request, union vu_body *b)
{
	memset(b, 0, sizeof(*b));
	switch (request) {
	case VU_SET_MEM_TABLE: {
		struct vu_mem_table t = { .count = 1 + next8(&in) % 3 };

		if (next8(&in) == 1)
			t.count = next8(&in);
		for (uint32_t i = 0; i < t.count && i < 4; i++)
			t.regions[i] = region();
		memcpy(b, &t, sizeof(t));
		return 8 + (t.count <= VU_REGIONS_MAX ? t.count : 1) *
				   (uint32_t)sizeof(struct vu_region);
	}
	case VU_ADD_MEM_REG:
	case VU_REM_MEM_REG: {
		struct vu_mem_reg m = { .region = region() };

		memcpy(b, &m, sizeof(m));
		return sizeof(m);
	}
	case VU_SET_VRING_ADDR: {
		uint64_t base = USER + (next8(&in) % 64) * UINT64_C(4096);
		struct vu_ring_addr a = { next8(&in) % 8, 0, base, base + 0x800, base + 0x400, 0 };

		if (next8(&in) & 1)
			a.used = address();
		memcpy(b, &a, sizeof(a));
		return sizeof(a);
	}
	case VU_SET_VRING_NUM:
	case VU_SET_VRING_BASE:
	case VU_GET_VRING_BASE:
	case VU_SET_VRING_ENABLE: {
		struct vu_ring_state s = { next8(&in) % 8, next8(&in) % 33 };

		if (next8(&in) == 1)
			s.num = next32(&in);
		memcpy(b, &s, sizeof(s));
		return sizeof(s);
	}
	case VU_GET_CONFIG:
	case VU_SET_CONFIG: {
		struct vu_config c = { next8(&in) % 24, next8(&in) % 24, next8(&in) & 1, { 0 } };

		memcpy(b, &c, sizeof(c));
		return VU_CONFIG_HEAD + c.size;
	}
	case VU_SET_FEATURES:
	case VU_SET_PROTOCOL_FEATURES: {
		uint64_t all = next8(&in) & 1 ? UINT64_MAX : next64(&in);

		memcpy(b, &all, sizeof(all));
		return sizeof(all);
	}
	default: {
		uint64_t v = next8(&in);

		memcpy(b, &v, sizeof(v));
		return sizeof(v);
	}
	}
}

static void message(void)
{
	struct {
		struct vu_header h;
		union vu_body b;
	} m;
	uint8_t how = next8(&in);
	int fds[SOCKET_FDS];
	unsigned count = 0;
	size_t len;

	memset(&m, 0, sizeof(m));
	m.h.request = next8(&in) % (VU_REQUEST_END + 1);
	m.h.flags = VU_VERSION | (how & 1 ? VU_NEED_REPLY : 0);
	m.h.size = body(m.h.request, &m.b);
	if (m.h.request == VU_SET_MEM_TABLE || m.h.request == VU_ADD_MEM_REG)
		count = m.h.request == VU_ADD_MEM_REG ? 1 : m.h.size / sizeof(struct vu_region);
	if (m.h.request >= VU_SET_VRING_KICK && m.h.request <= VU_SET_VRING_ERR)
		count = 1;
	for (unsigned i = 0; i < count; i++)
		fds[i] = socket_pool
			[m.h.request == VU_SET_MEM_TABLE || m.h.request == VU_ADD_MEM_REG ? 0 : 1];
	if ((how & 0x0e) == 0x0e) {
		count = next8(&in) % SOCKET_FDS;
		socket_any_fds(&in, fds, count);
	}
	if ((how & 0x70) == 0x70)
		m.h.size = next16(&in);
	if (how & 0x80)
		m.h.flags = next8(&in);
	len = sizeof(m.h) + m.h.size;
	socket_send(peer, &m, len < sizeof(m) ? len : sizeof(m), fds, count);
}

static void honest(void)
{
	struct vu_header ask = { VU_GET_FEATURES, VU_VERSION, 0 }, answer;
	int fd = socket_connect(path, SOCK_STREAM);

	socket_run();
	socket_send(fd, &ask, sizeof(ask), NULL, 0);
	socket_run();
	MUST(recv(fd, &answer, sizeof(answer), MSG_DONTWAIT) == sizeof(answer));
	MUST(answer.request == VU_GET_FEATURES && (answer.flags & VU_REPLY) && answer.size == 8);
	gone = false;
	close(fd);
	for (int i = 0; i < 100 && !gone; i++)
		socket_run();
	MUST(gone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fph_vhost_user_opts o = FPH_VHOST_USER_OPTS_INIT;
	int lowest;
	uint8_t how;

	in = (struct input){ data, size };
	socket_set_up();
	snprintf(path, sizeof(path), "/tmp/fph-fuzz-vhost-user.%d", (int)getpid());
	lowest = socket_lowest_free();
	how = next8(&in);
	o.loop = socket_loop;
	o.path = path;
	o.gone = on_gone;
	o.flags = how & 1 ? FPH_VHOST_USER_SEALED : 0;
	o.device.offer = how & 2 ? FPH_F_RING_PACKED | FPH_F_EVENT_IDX | FPH_F_INDIRECT_DESC : 0;
	MUST(fph_vhost_user_open(&back, &o) == 0);
	gone = false;
	peer = socket_connect(path, SOCK_STREAM);
	socket_run();
	for (int i = 0; i < OPS_MAX && in.left > 0 && !gone; i++) {
		uint8_t op = next8(&in);

		if (op < 4)
			socket_send(peer, in.at, in.left < op ? in.left : op, NULL, 0);
		else if (op < 200)
			message();
		else if (op < 230)
			socket_owner(&in, fph_vhost_user_device(back));
		else
			socket_ram[next16(&in) * 64u % RAM_LEN] = next8(&in);
		socket_run();
		socket_drain(peer);
	}
	close(peer);
	for (int i = 0; i < 100 && !gone; i++)
		socket_run();
	MUST(gone);
	honest();
	fph_vhost_user_close(back);
	MUST(socket_lowest_free() == lowest);
	return 0;
}
