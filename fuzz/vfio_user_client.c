/* SPDX-License-Identifier: MIT */
/*
 * The client against a server that mostly answers as it should, by the library's own PCI
 * function, and at any time does not.  The client's poll(2) leads here, so that it never
 * waits; when the input is used up the server is gone.  Judged: every call comes back, no
 * byte beside the guest's memory is read or written, all pages come back, nothing is left.
 */
#include "vfio_user.h"
#include <fph/device.h>
#include <fph/guest.h>
#include <string.h>
#include <unistd.h>

#define BODY_MAX 4096u
#define OPS_MAX	 24

static int peer;
static struct fph_device device;
static struct fph_pci_device function;
static struct fph_region region;
static struct fph_mem mem;
static unsigned answers;

static void on_interrupt(void *ctx)
{
	(void)ctx;
	fph_pci_device_interrupt(&function);
}

static void make_function(uint8_t how)
{
	struct fph_device_opts d = FPH_DEVICE_OPTS_INIT;
	struct fph_pci_device_opts p = FPH_PCI_DEVICE_OPTS_INIT;

	region = (struct fph_region){ RAM_GPA, RAM_LEN, socket_ram, 0 };
	mem = (struct fph_mem){ &region, 1 };
	d.mem = &mem;
	d.interrupt = on_interrupt;
	MUST(fph_device_init(&device, &d) == 0);
	p.bus = fph_device_bus(&device);
	p.vectors = how & 2 ? 6 : 0;
	p.flags = FPH_PCI_MSIX_ELSEWHERE;
	MUST(fph_pci_device_init(&function, &p) == 0);
}

/* ------------------------------------------------------------ honest answers */

static uint64_t size_of(uint32_t index)
{
	return index == 0		   ? FPH_PCI_BAR0_SIZE :
	       index == 1		   ? FPH_PCI_BAR1_SIZE :
	       index == VFIO_REGION_CONFIG ? FPH_PCI_CONFIG_SIZE :
					     0;
}

static size_t access_answer(uint16_t command, const unsigned char *body, unsigned char *to)
{
	struct vfio_region_access a;
	uint64_t value = 0;

	memcpy(&a, body, sizeof(a));
	memcpy(to, &a, sizeof(a));
	if (a.count > 4)
		return sizeof(a);
	if (command == VFIO_REGION_WRITE) {
		memcpy(&value, body + sizeof(a), a.count);
		if (a.region == VFIO_REGION_CONFIG)
			fph_pci_device_config_write(&function, (uint32_t)a.offset, a.count,
						    (uint32_t)value);
		else
			fph_pci_device_bar_write(&function, a.region, a.offset, a.count, value);
		return sizeof(a);
	}
	if (a.region == VFIO_REGION_CONFIG)
		value = fph_pci_device_config_read(&function, (uint32_t)a.offset, a.count);
	else
		value = fph_pci_device_bar_read(&function, a.region, a.offset, a.count);
	memcpy(to + sizeof(a), &value, 4);
	return sizeof(a) + a.count;
}

static size_t answer_to(uint16_t command, const unsigned char *body, unsigned char *to)
{
	struct vfio_region_info info;
	uint32_t words[4];

	memcpy(words, body, sizeof(words));
	switch (command) {
	case VFIO_VERSION:
		memset(to, 0, 4);
		memcpy(to + 4, "{\"capabilities\":{}}", 20);
		return 24;
	case VFIO_GET_INFO:
		memcpy(to, &(struct vfio_info){ 16, 3, VFIO_REGIONS, VFIO_IRQS }, 16);
		return 16;
	case VFIO_GET_REGION_INFO:
		info = (struct vfio_region_info){ 32, 3, words[2], 0, size_of(words[2]), 0 };
		memcpy(to, &info, sizeof(info));
		return sizeof(info);
	case VFIO_GET_IRQ_INFO:
		memcpy(to,
		       &(struct vfio_irq_info){ 16, 1, words[2], words[2] == VFIO_MSIX ? 6 : 1 },
		       16);
		return 16;
	case VFIO_REGION_READ:
	case VFIO_REGION_WRITE:
		return access_answer(command, body, to);
	default:
		return 0;
	}
}

/* ------------------------------------------------------------ and others */

static void ask_for_memory(void)
{
	struct {
		struct vfio_header h;
		struct vfio_dma_access a;
		unsigned char data[64];
	} m = { .h = { 99, VFIO_DMA_READ, 32, 0, 0 } };
	uint8_t how = next8(&vfio_in);

	m.a.addr = how & 1 ? RAM_GPA + next16(&vfio_in) * UINT64_C(64) : next64(&vfio_in);
	m.a.count = how & 2 ? next8(&vfio_in) % 64 : next32(&vfio_in) | VFIO_XFER_MAX << 1;
	if (how & 4) {
		m.h.command = VFIO_DMA_WRITE;
		m.h.size += (uint32_t)(m.a.count % 65);
	}
	socket_send(peer, &m, m.h.size, NULL, 0);
}

static void reply(const struct vfio_header *asked, const unsigned char *body)
{
	unsigned char frame[sizeof(struct vfio_header) + BODY_MAX] = { 0 };
	struct vfio_header h = { asked->id, asked->command, 0, VFIO_REPLY, 0 };
	size_t len = answer_to(asked->command, body, frame + sizeof(h));
	uint8_t how = next8(&vfio_in);

	if (asked->flags & VFIO_NO_REPLY)
		return;
	if (how == 1)
		ask_for_memory();
	if (how == 2)
		h.id = next16(&vfio_in);
	if (how == 3)
		h.command = next8(&vfio_in);
	if (how == 4)
		h.flags = next8(&vfio_in);
	if (how == 5)
		len = next8(&vfio_in);
	if (how == 6)
		frame[sizeof(h) + next8(&vfio_in)] ^= next8(&vfio_in);
	if (how == 7)
		h.error = next32(&vfio_in), h.flags |= VFIO_ERROR;
	h.size = (uint32_t)(sizeof(h) + len);
	if (how == 8)
		h.size = next32(&vfio_in);
	memcpy(frame, &h, sizeof(h));
	socket_send(peer, frame, sizeof(h) + len, socket_pool, how == 9 ? SOCKET_POOL : 0);
	if (how == 10)
		socket_send(peer, frame, sizeof(h) + len, NULL, 0);
}

static void hang_up(void)
{
	if (peer >= 0)
		close(peer);
	peer = -1;
}

static void serve(void)
{
	static _Alignas(8) unsigned char body[BODY_MAX];
	struct vfio_header h;

	while (peer >= 0 && recv(peer, &h, sizeof(h), MSG_DONTWAIT) == sizeof(h)) {
		size_t len = h.size - sizeof(h);
		ssize_t n = len && len <= sizeof(body) ? recv(peer, body, len, MSG_DONTWAIT) : 0;

		MUST(len <= sizeof(body) && n == (ssize_t)len);
		if (++answers > 2000 || (vfio_in.left == 0 && answers > 600)) {
			hang_up();
			return;
		}
		if ((h.flags & VFIO_TYPE) == VFIO_REQUEST) /* else the answer to ours */
			reply(&h, body);
	}
}

int fuzz_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	int rc;

	serve();
	rc = poll(fds, count, 0);
	/* Nobody will answer: it would wait for its time to pass. */
	if (rc == 0 && timeout_ms)
		hang_up();
	return rc;
}

/* ------------------------------------------------------------ the guest */

static struct fph_guest guest;
static struct fph_guest_slot slots[16];

static void live(struct fph_vfio_user_client *client)
{
	struct fph_guest_opts o = FPH_GUEST_OPTS_INIT;
	struct fph_range page = { RAM_GPA + RAM_LEN / 2, 4096 }, out[4];

	o.bus = fph_vfio_user_client_bus(client);
	o.ring = (struct fph_region){ RAM_GPA, 65536, socket_ram, 0 };
	o.slots = slots;
	o.ring_size = 16;
	MUST(fph_guest_init(&guest, &o) == 0);
	fph_guest_attach(&guest);
	for (int i = 0; i < OPS_MAX; i++) {
		switch (next8(&vfio_in) % 8) {
		case 0:
			fph_device_start(&device);
			break;
		case 1:
			fph_device_done(&device);
			break;
		case 2:
			fph_guest_hint(&guest, &page, 1);
			break;
		case 3:
			fph_guest_end(&guest);
			break;
		case 4:
			fph_device_poll(&device, out, 4);
			break;
		case 5:
			fph_loop_run(socket_loop, 0);
			break;
		case 6:
			fph_vfio_user_client_reset(client);
			break;
		default:
			fph_guest_step(&guest, 0);
		}
		fph_guest_reclaim(&guest, out, 4);
	}
	fph_device_ack(&device);
	hang_up();
	fph_vfio_user_client_disconnect(client);
	MUST(fph_guest_reset(&guest) == 0);
	while (fph_guest_reclaim(&guest, out, 4) > 0)
		;
	MUST(fph_guest_held(&guest) == 0);
}

void vfio_hostile_server(uint8_t how)
{
	struct fph_vfio_user_client_opts o = FPH_VFIO_USER_CLIENT_OPTS_INIT;
	struct fph_vfio_user_region r = { RAM_GPA, RAM_LEN, socket_ram, socket_pool[0], 0 };
	struct fph_vfio_user_client *client;
	int ends[2];

	if (how & 16)
		r.fd = -1;
	memset(socket_ram, 0, 65536);
	make_function(how);
	answers = 0;
	o.loop = socket_loop;
	o.regions = &r;
	o.region_count = 1;
	o.timeout_ms = 1000;
	o.flags = how & 8 ? FPH_VFIO_USER_POSTED : 0;
	MUST(fph_vfio_user_client_open(&client, &o) == 0);
	socket_pair(ends);
	peer = ends[1];
	if (fph_vfio_user_client_adopt(client, ends[0]) == 0)
		live(client);
	hang_up();
	fph_vfio_user_client_close(client);
}
