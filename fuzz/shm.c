/* SPDX-License-Identifier: MIT */
/*
 * A hostile client of the shared-memory transport: a request that is right or wrong, and
 * then a page that says anything at any time: the write ring, acknowledgements, doorbells.
 * Judged: hints lie in memory, no descriptor is left, and an honest client is served afterwards.
 */
#include "shm/page.h"
#include "shm/wire.h"
#include "socket.h"
#include <fph/mmio.h>
#include <fph/shm.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPS_MAX 128

static struct input in;
static struct fph_shm_server *server;
static struct shm_driver *page; /* W0 */
static int page_fd;
static char path[64];
static bool gone;

static void on_gone(void *ctx, const char *why)
{
	(void)ctx;
	MUST(why && *why);
	gone = true;
}

static void set_up(void)
{
	void *map;

	if (page)
		return;
	socket_set_up();
	page_fd = fph_shm_page_make("page", SHM_CLIENT_BYTES, &map);
	MUST(page_fd >= 0);
	page = map;
}

static void ring(int bell)
{
	uint64_t one = 1;
	ssize_t n = write(bell, &one, sizeof(one));

	(void)n; /* full is as good */
}

/* As it must be, but for what the input changes; one eventfd serves for all. */
static void request(int to)
{
	struct shm_request r = {
		SHM_MAGIC, SHM_VERSION, FPH_QUEUE_COUNT, 1, { { RAM_GPA, RAM_LEN, 0 } }
	};
	size_t len = offsetof(struct shm_request, region) + sizeof(struct shm_region);
	unsigned count = SHM_FD_REGION + 1;
	int fds[SOCKET_FDS];
	uint8_t how = next8(&in);

	fds[SHM_FD_DRIVER] = page_fd;
	for (unsigned i = SHM_FD_CTL_KICK; i < SHM_FD_REGION; i++)
		fds[i] = socket_pool[1];
	fds[SHM_FD_REGION] = socket_pool[0];
	if ((how & 7) == 7) {
		unsigned char bytes[sizeof(r)];
		uint8_t at = next8(&in);

		memcpy(bytes, &r, sizeof(r));
		bytes[at % len] = next8(&in);
		memcpy(&r, bytes, sizeof(r));
	}
	if ((how & 0x38) == 0x38)
		fds[next8(&in) % count] = socket_pool[next8(&in) % SOCKET_POOL];
	if ((how & 0xc0) == 0xc0)
		count = next8(&in) % (SHM_FD_REGION + 4);
	for (unsigned i = SHM_FD_REGION + 1; i < count; i++)
		fds[i] = socket_pool[0];
	if (how == 0xfe)
		len = next8(&in);
	socket_send(to, &r, len, fds, count);
}

/* A write to a register, in the ring's next place; or to anything of the page. */
static void scribble(void)
{
	static const uint16_t registers[] = { 0x014, 0x020, 0x024, 0x030, 0x038, 0x044, 0x050,
					      0x064, 0x070, 0x080, 0x084, 0x090, 0x094, 0x0a0,
					      0x0a4, 0x0c0, 0x100, 0x108, 0x10c };
	static const uint64_t values[] = {
		0, 1, 3, 0xb, 0xf, 16, RAM_GPA, RAM_GPA + 0x1000, RAM_GPA + 0x2000
	};
	struct shm_write *w = &page->ring[page->prod % SHM_RING];
	uint8_t how = next8(&in);

	if (how & 0x80) {
		((unsigned char *)page)[next16(&in) % sizeof(*page)] = next8(&in);
		return;
	}
	w->seq = page->prod;
	w->offset = how & 0x40 ? next16(&in) : registers[next8(&in) % 19];
	w->width = how & 0x20 ? next8(&in) : 4;
	w->value = how & 0x10 ? next64(&in) : values[next8(&in) % 9];
	page->prod++;
}

static void put(uint16_t offset, uint64_t value)
{
	struct shm_write *w = &page->ring[page->prod % SHM_RING];

	*w = (struct shm_write){ page->prod, offset, 4, 0, value };
	page->prod++;
	ring(socket_pool[1]);
	socket_run();
}

/* An honest driver's, with all queues that there are; the input may break in at any time. */
static void bring_up(void)
{
	static const uint8_t bits[] = { 0x0, 0x1, 0x3 };

	for (unsigned i = 0; i < 3; i++)
		put(FPH_MMIO_STATUS, bits[i]);
	for (uint32_t i = 0; i < 2; i++) {
		put(FPH_MMIO_DRIVER_FEATURES_SEL, i);
		put(FPH_MMIO_DRIVER_FEATURES, i ? 1 : FPH_F_STATS_VQ | FPH_F_FREE_PAGE_HINT);
	}
	put(FPH_MMIO_STATUS, 0xb);
	for (uint32_t q = 0; q < 4; q++) {
		uint64_t at = RAM_GPA + 0x4000 * q;

		put(FPH_MMIO_QUEUE_SEL, q);
		put(FPH_MMIO_QUEUE_SIZE, 16);
		put(FPH_MMIO_QUEUE_DESC_LOW, at);
		put(FPH_MMIO_QUEUE_DRIVER_LOW, at + 0x1000);
		put(FPH_MMIO_QUEUE_DEVICE_LOW, at + 0x2000);
		put(FPH_MMIO_QUEUE_READY, 1);
	}
	put(FPH_MMIO_STATUS, 0xf);
}

/* A chain of one buffer on the hint queue: the id shown, or a page. */
static void offer(struct fph_device *dev)
{
	unsigned char *ring_at = socket_ram + 3 * 0x4000, *avail = ring_at + 0x1000;
	uint8_t how = next8(&in), slot = avail[2] % 16;
	uint32_t id = fph_device_command(dev), len = how & 1 ? 4 : 4096;
	uint64_t gpa = RAM_GPA + 0x100000 + (how >> 2) * UINT64_C(4096);

	memcpy(socket_ram + 0x100000 + (how >> 2) * UINT64_C(4096), &id, sizeof(id));
	memcpy(ring_at + 16 * slot, &gpa, 8);
	memcpy(ring_at + 16 * slot + 8, &len, 4);
	memset(ring_at + 16 * slot + 12, 0, 4);
	ring_at[16 * slot + 12] = how & 1 ? 0 : 2;
	avail[4 + 2 * slot] = slot;
	avail[5 + 2 * slot] = 0;
	avail[2]++;
	ring(socket_pool[1]);
	socket_run();
}

static void open_server(uint8_t how)
{
	struct fph_shm_server_opts o = FPH_SHM_SERVER_OPTS_INIT;

	o.loop = socket_loop;
	o.path = path;
	o.gone = on_gone;
	o.device.offer = how & 1 ? FPH_F_RING_PACKED | FPH_F_EVENT_IDX : 0;
	o.device.offer |= how & 2 ? FPH_F_RING_RESET | FPH_F_SUSPEND : 0;
	MUST(fph_shm_server_open(&server, &o) == 0);
}

static void hang_up(int fd, bool known)
{
	close(fd);
	for (int i = 0; i < 100 && !(known && gone); i++)
		socket_run();
}

static void honest(void)
{
	struct shm_answer answer;
	int fd = socket_connect(path, SOCK_SEQPACKET);

	memset(page, 0, SHM_CLIENT_BYTES);
	in = (struct input){ NULL, 0 }; /* so the request is right */
	socket_run();
	request(fd);
	socket_run();
	MUST(recv(fd, &answer, sizeof(answer), MSG_DONTWAIT) == sizeof(answer));
	if (answer.status)
		fprintf(stderr, "%s\n", answer.text);
	MUST(answer.magic == SHM_MAGIC && answer.status == 0);
	gone = false;
	hang_up(fd, true);
	MUST(gone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int lowest, peer;

	in = (struct input){ data, size };
	set_up();
	snprintf(path, sizeof(path), "/tmp/fph-fuzz-shm.%d", (int)getpid());
	lowest = socket_lowest_free();
	memset(page, 0, SHM_CLIENT_BYTES);
	memset(socket_ram, 0, 0x10000);
	open_server(next8(&in));
	gone = false;
	peer = socket_connect(path, SOCK_SEQPACKET);
	socket_run();
	request(peer);
	socket_run();
	for (int i = 0; i < OPS_MAX && in.left > 0 && !gone; i++) {
		uint8_t op = next8(&in);

		if (op < 8) {
			bring_up();
		} else if (op < 40) {
			offer(fph_shm_server_device(server));
		} else if (op < 180) {
			scribble();
			if (op & 1)
				ring(socket_pool[1]);
		} else if (op < 220) {
			socket_owner(&in, fph_shm_server_device(server));
		} else {
			socket_ram[next16(&in) * 64u % RAM_LEN] = next8(&in);
		}
		if (op & 1)
			socket_run();
		if (op == 255)
			socket_send(peer, &op, 1, NULL, 0);
	}
	hang_up(peer, true);
	honest();
	fph_shm_server_close(server);
	MUST(socket_lowest_free() == lowest);
	return 0;
}
