/* SPDX-License-Identifier: MIT */
/*
 * vfio-user.  An even first byte: a hostile client, messages of all kinds with descriptors of
 * all kinds, against the server; rounds in between; judged: hints lie in memory, no descriptor
 * is left, and an honest client is served afterwards.  An odd one: vfio_user_client.c.
 */
#include "vfio_user.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define OPS_MAX	  48
#define FRAME_MAX 8192u

struct input vfio_in;

static struct fph_vfio_user_server *server;
static int peer; /* our end */

/* ------------------------------------------------------------ messages */

/* Addresses near things that matter. */
static uint64_t address(void)
{
	switch (next8(&vfio_in) % 6) {
	case 0:
		return next64(&vfio_in);
	case 1:
		return RAM_GPA + (uint64_t)(next8(&vfio_in) % 64) * 65536;
	case 2:
		return 0 - (uint64_t)next8(&vfio_in) * 4096;
	case 3:
		return next8(&vfio_in);
	default:
		return RAM_GPA + next16(&vfio_in) * UINT64_C(64);
	}
}

static uint64_t length(void)
{
	static const uint64_t some[] = { 0, 1, 4, 4096, 65536, RAM_LEN, RAM_LEN / 2, UINT64_MAX };

	return some[next8(&vfio_in) % 8];
}

static size_t body(uint16_t command, unsigned char *to)
{
	static const uint16_t registers[] = { 0,    4,	  8,	0xc,  0x10, 0x14, 0x16, 0x18, 0x1a,
					      0x1c, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34, 0x3a };
	uint32_t argsz = next8(&vfio_in) % 8 ? 64 : next8(&vfio_in);

	switch (command) {
	case VFIO_VERSION: {
		struct vfio_version v = { next8(&vfio_in) & 1, next8(&vfio_in) & 3 };
		static const char json[] = "{\"capabilities\":{\"max_msg_fds\":8,\"x\":[1,{}]}}";
		size_t len = next8(&vfio_in) % (sizeof(json) + 1);

		memcpy(to, &v, sizeof(v));
		memcpy(to + sizeof(v), json, len);
		return sizeof(v) + (next8(&vfio_in) & 1 ? sizeof(json) : len);
	}
	case VFIO_DMA_MAP: {
		struct vfio_dma_map m = { argsz, next8(&vfio_in) & 15, length() % 8192, address(),
					  length() };

		if (next8(&vfio_in) & 3) {
			m.flags = VFIO_MAP_READ | VFIO_MAP_WRITE;
			m.offset = 0;
			m.iova = RAM_GPA;
			m.size = RAM_LEN;
		}
		memcpy(to, &m, sizeof(m));
		return sizeof(m);
	}
	case VFIO_DMA_UNMAP: {
		struct vfio_dma_unmap m = { argsz, next8(&vfio_in) & 3, address(), length() };

		if (next8(&vfio_in) & 1) {
			m.flags = 0;
			m.iova = RAM_GPA;
			m.size = RAM_LEN;
		}
		memcpy(to, &m, sizeof(m));
		return sizeof(m);
	}
	case VFIO_SET_IRQS: {
		struct vfio_set_irqs s = { argsz, next8(&vfio_in) & 0x3f, next8(&vfio_in) % 6,
					   next8(&vfio_in) % 8, next8(&vfio_in) % 8 };

		memcpy(to, &s, sizeof(s));
		memset(to + sizeof(s), next8(&vfio_in), 8);
		return sizeof(s) + 8;
	}
	case VFIO_REGION_READ:
	case VFIO_REGION_WRITE: {
		uint8_t where = next8(&vfio_in);
		struct vfio_region_access a = { registers[next8(&vfio_in) % 17], where & 1 ? 0 : 7,
						1u << (next8(&vfio_in) & 3) };
		uint64_t value = next8(&vfio_in) & 1 ? next8(&vfio_in) : address();

		if (where & 2)
			a.offset = next16(&vfio_in);
		if (where & 4)
			a.count = next16(&vfio_in) % 5000;
		if (!(where & 0xf0))
			a.region = next8(&vfio_in);
		memcpy(to, &a, sizeof(a));
		memcpy(to + sizeof(a), &value, sizeof(value));
		return sizeof(a) +
		       (command == VFIO_REGION_WRITE ? (a.count < 5000 ? a.count : 8) : 0);
	}
	default: {
		uint32_t words[5] = { argsz, next8(&vfio_in), next8(&vfio_in) % 12, next8(&vfio_in),
				      0 };

		memcpy(to, words, sizeof(words));
		return sizeof(words);
	}
	}
}

static void message(void)
{
	unsigned char frame[FRAME_MAX] = { 0 };
	struct vfio_header h = { .id = next8(&vfio_in) };
	uint8_t how = next8(&vfio_in);
	int fds[40];
	unsigned count = how & 0x40 ? 1 : 0;
	size_t len;

	h.command = next8(&vfio_in) % 20;
	len = body(h.command, frame + sizeof(h));
	h.size = (uint32_t)(sizeof(h) + len);
	if ((how & 7) == 0)
		h.flags = next8(&vfio_in);
	if ((how & 0x38) == 0)
		h.size = next16(&vfio_in);
	if (how & 0x80)
		count = next8(&vfio_in) % 40;
	for (unsigned i = 0; i < count; i++)
		fds[i] = socket_pool[i || (how & 8) ? next8(&vfio_in) % SOCKET_POOL : 0];
	memcpy(frame, &h, sizeof(h));
	socket_send(peer, frame, h.size < sizeof(frame) && h.size > 0 ? h.size : sizeof(h) + len, fds,
		  count);
}

/* The server's own requests for memory are answered, more or less. */
static void answer(void)
{
	unsigned char frame[FRAME_MAX];
	ssize_t n = recv(peer, frame, sizeof(frame), MSG_DONTWAIT);
	struct vfio_header h;
	struct vfio_dma_access a;
	size_t len;

	if (n < (ssize_t)(sizeof(h) + sizeof(a)))
		return;
	memcpy(&h, frame, sizeof(h));
	memcpy(&a, frame + sizeof(h), sizeof(a));
	if ((h.flags & VFIO_TYPE) != VFIO_REQUEST)
		return;
	h.flags = VFIO_REPLY | (next8(&vfio_in) == 1 ? VFIO_ERROR : 0);
	len = h.command == VFIO_DMA_READ && a.count < 4096 ? (size_t)a.count : 0;
	for (size_t i = 0; i < len; i++)
		frame[sizeof(h) + sizeof(a) + i] = i < 64 ? next8(&vfio_in) : 0;
	h.size = (uint32_t)(sizeof(h) + sizeof(a) + len);
	memcpy(frame, &h, sizeof(h));
	socket_send(peer, frame, h.size, NULL, 0);
}

/* ------------------------------------------------------------ a program */

static void honest(void)
{
	struct {
		struct vfio_header h;
		struct vfio_version v;
		char json[3];
	} __attribute__((packed))
	version = { .h = { 7, VFIO_VERSION, sizeof(version), 0, 0 }, .json = "{}" };
	unsigned char reply[256];
	int ends[2];
	ssize_t n;

	socket_pair(ends);
	MUST(fph_vfio_user_server_adopt(server, ends[0]) == 0);
	socket_send(ends[1], &version, sizeof(version), NULL, 0);
	socket_run();
	n = recv(ends[1], reply, sizeof(reply), MSG_DONTWAIT);
	MUST(n > (ssize_t)sizeof(struct vfio_header) && reply[0] == 7 && reply[8] == VFIO_REPLY);
	close(ends[1]);
	for (int i = 0; i < 100 && fph_vfio_user_server_connected(server); i++)
		socket_run();
	MUST(!fph_vfio_user_server_connected(server));
}

static void hostile_client(uint8_t how)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;
	int ends[2];

	o.loop = socket_loop;
	o.flags = (how & 2 ? FPH_VFIO_USER_NO_MSIX : 0) | (how & 4 ? FPH_VFIO_USER_SEALED : 0);
	o.device.offer = how & 8 ? FPH_F_RING_PACKED | FPH_F_EVENT_IDX : 0;
	MUST(fph_vfio_user_server_open(&server, &o) == 0);
	socket_pair(ends);
	peer = ends[1];
	MUST(fph_vfio_user_server_adopt(server, ends[0]) == 0);
	for (int i = 0; i < OPS_MAX && vfio_in.left > 0; i++) {
		uint8_t op = next8(&vfio_in);

		if (op < 8)
			socket_send(peer, vfio_in.at, vfio_in.left < op ? vfio_in.left : op, NULL, 0);
		else if (op < 200)
			message();
		else if (op < 230)
			socket_owner(&vfio_in, fph_vfio_user_server_device(server));
		else
			socket_ram[next16(&vfio_in) * 64u % RAM_LEN] = next8(&vfio_in);
		socket_run();
		answer();
	}
	close(peer);
	for (int i = 0; i < 100 && fph_vfio_user_server_connected(server); i++)
		socket_run();
	MUST(!fph_vfio_user_server_connected(server));
	honest();
	fph_vfio_user_server_close(server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t how;
	int lowest;

	vfio_in = (struct input){ data, size };
	socket_set_up();
	lowest = socket_lowest_free();
	how = next8(&vfio_in);
	if (how & 1)
		vfio_hostile_server(how);
	else
		hostile_client(how);
	MUST(socket_lowest_free() == lowest);
	return 0;
}
