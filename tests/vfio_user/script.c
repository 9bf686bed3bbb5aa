/* SPDX-License-Identifier: MIT */
#include "script.h"
#include <criterion/criterion.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void script_add(struct script *s, unsigned command, uint32_t flags, const void *body, size_t len,
		int fd)
{
	struct vfio_header h = {
		.id = (uint16_t)(s->answered + 100),
		.command = (uint16_t)command,
		.size = (uint32_t)(sizeof(h) + len),
		.flags = flags,
	};

	cr_assert(s->len + h.size <= sizeof(s->bytes));
	if (fd >= 0) {
		s->fds[s->fd_count].at = s->len;
		s->fds[s->fd_count++].fd = fd;
	}
	memcpy(s->bytes + s->len, &h, sizeof(h));
	if (len)
		memcpy(s->bytes + s->len + sizeof(h), body, len);
	s->len += h.size;
	s->answered += !(flags & VFIO_NO_REPLY);
}

static void config(struct script *s, uint32_t offset, uint32_t count, int64_t write)
{
	unsigned char body[20];
	struct vfio_region_access a = { .offset = offset, .region = 7, .count = count };
	uint32_t value = (uint32_t)write;

	memcpy(body, &a, sizeof(a));
	memcpy(body + sizeof(a), &value, sizeof(value));
	if (write < 0)
		script_add(s, VFIO_REGION_READ, 0, body, sizeof(a), -1);
	else
		script_add(s, VFIO_REGION_WRITE, 0, body, sizeof(a) + count, -1);
}

static void set_irqs(struct script *s, uint32_t flags, uint32_t index, uint32_t count, int fd)
{
	struct vfio_set_irqs set = { 20, flags, index, 0, count };

	script_add(s, VFIO_SET_IRQS, 0, &set, sizeof(set), fd);
}

static void ask_about(struct script *s)
{
	struct vfio_info info = { .argsz = sizeof(info) };

	script_add(s, VFIO_GET_INFO, 0, &info, sizeof(info), -1);
	for (uint32_t i = 0; i < 8; i++) {
		struct vfio_region_info region = { .argsz = sizeof(region), .index = i };

		if (i != 6)
			script_add(s, VFIO_GET_REGION_INFO, 0, &region, sizeof(region), -1);
	}
	for (uint32_t i = VFIO_ERR; i >= VFIO_MSIX; i--) {
		struct vfio_irq_info irq = { .argsz = sizeof(irq), .index = i };

		script_add(s, VFIO_GET_IRQ_INFO, 0, &irq, sizeof(irq), -1);
	}
}

void script_qemu(struct script *s, struct peer *p)
{
	static const char json[] = "\0\0\0\0{\"capabilities\": {\"max_msg_fds\": 16}}";
	struct vfio_dma_map map = { 32, 3, 0, RAM_GPA, RAM_BYTES };
	struct vfio_dma_map rom = { 32, 1, 0, 0xfffc0000, 0x40000 };
	struct vfio_dma_unmap unmap = { 24, 0, 0xfffc0000, 0x40000 };
	unsigned char doorbell[18] = { 0, 0x30, [12] = 2 };

	memset(s, 0, sizeof(*s));
	s->event = eventfd(0, EFD_CLOEXEC);
	script_add(s, VFIO_VERSION, 0, json, sizeof(json), -1);
	script_add(s, VFIO_DMA_MAP, 0, &map, sizeof(map), p->file);
	script_add(s, VFIO_DMA_MAP, 0, &rom, sizeof(rom), -1);
	ask_about(s);
	config(s, 0, 256, -1);
	config(s, 0x30, 4, -1);
	config(s, 0x30, 4, 0xfffff800);
	config(s, 0x30, 4, -1);
	config(s, 0x30, 4, 0);
	config(s, 0x10, 4, -1);
	config(s, 0x14, 4, -1);
	config(s, 0x9a, 2, -1);
	config(s, 0x3d, 1, -1);
	set_irqs(s, 0x24, VFIO_INTX, 1, s->event);
	set_irqs(s, 0x24, VFIO_ERR, 1, s->event);
	/* and the machine's reset */
	set_irqs(s, 0x21, VFIO_INTX, 0, -1);
	config(s, 4, 2, -1);
	config(s, 4, 2, 0);
	script_add(s, VFIO_DEVICE_RESET, 0, NULL, 0, -1);
	set_irqs(s, 0x24, VFIO_INTX, 1, s->event);
	for (uint32_t bar = 0x10; bar <= 0x24; bar += 4)
		config(s, bar, 4, 0);
	script_add(s, VFIO_REGION_WRITE, VFIO_NO_REPLY, doorbell, sizeof(doorbell), -1);
	script_add(s, VFIO_DMA_UNMAP, 0, &unmap, sizeof(unmap), -1);
}

void script_send(struct peer *p, const struct script *s, size_t len, size_t piece)
{
	unsigned next = 0;

	for (size_t at = 0; at < len;) {
		size_t end = at + piece < len ? at + piece : len;
		unsigned n = 0;

		/* A descriptor goes with the first byte of its message, as sendmsg() has it. */
		if (next < s->fd_count && s->fds[next].at == at)
			n = 1;
		if (next + n < s->fd_count && s->fds[next + n].at < end)
			end = s->fds[next + n].at;
		cr_assert(peer_send_bytes(p, s->bytes + at, end - at, &s->fds[next].fd, n));
		next += n;
		at = end;
		peer_pump(p);
	}
}

unsigned script_answers(struct peer *p)
{
	unsigned n = 0;

	while (peer_receive(p)) {
		cr_assert_eq(p->in.header.flags, VFIO_REPLY, "answer %u to %u is %#x (%u)", n,
			     p->in.header.command, p->in.header.flags, p->in.header.error);
		cr_assert_eq(p->in.header.id, n + 100);
		n++;
	}
	return n;
}

void script_close(struct script *s)
{
	close(s->event);
}
