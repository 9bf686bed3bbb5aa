/* SPDX-License-Identifier: MIT */
#include "ring.h"
#include "vq.h"
#include <criterion/criterion.h>
#include <string.h>

void ring_put(struct peer *p, uint64_t gpa, const void *bytes, size_t len)
{
	cr_assert(gpa >= RAM_GPA && gpa - RAM_GPA + len <= RAM_BYTES);
	memcpy(p->ram + (gpa - RAM_GPA), bytes, len);
}

static uint16_t get16(const struct peer *p, uint64_t gpa)
{
	uint16_t value;

	memcpy(&value, p->ram + (gpa - RAM_GPA), sizeof(value));
	return value;
}

void ring_negotiate(struct peer *p, uint64_t refused)
{
	peer_write(p, 0, 0x14, 1, 0);
	cr_assert_eq(peer_read(p, 0, 0x14, 1), 0u);
	peer_write(p, 0, 0x14, 1, 1);
	peer_write(p, 0, 0x14, 1, 3);
	for (uint32_t i = 0; i < 2; i++) {
		uint64_t offered;

		peer_write(p, 0, 0x00, 4, i);
		offered = peer_read(p, 0, 0x04, 4);
		peer_write(p, 0, 0x08, 4, i);
		peer_write(p, 0, 0x0c, 4, offered & ~(refused >> 32 * i));
	}
	peer_write(p, 0, 0x14, 1, 0xb);
	cr_assert_eq(peer_read(p, 0, 0x14, 1), 0xbu);
}

bool ring_enable(struct peer *p, uint16_t queue, uint64_t desc, uint64_t driver, uint64_t device)
{
	return ring_enable_sized(p, queue, RING, desc, driver, device);
}

bool ring_enable_sized(struct peer *p, uint16_t queue, uint16_t size, uint64_t desc,
		       uint64_t driver, uint64_t device)
{
	const uint64_t parts[] = { desc, driver, device };

	peer_write(p, 0, 0x16, 2, queue);
	peer_write(p, 0, 0x18, 2, size);
	for (uint32_t i = 0; i < 3; i++) {
		peer_write(p, 0, 0x20 + 8 * i, 4, (uint32_t)parts[i]);
		peer_write(p, 0, 0x24 + 8 * i, 4, parts[i] >> 32);
	}
	if (p->msix)
		peer_write(p, 0, 0x1a, 2, queue + 1u);
	peer_write(p, 0, 0x1c, 2, 1);
	return peer_read(p, 0, 0x1c, 2);
}

void ring_up(struct peer *p)
{
	uint16_t n = (uint16_t)peer_read(p, 0, 0x12, 2);

	memset(p->ram, 0, RING_BYTES * FPH_QUEUE_COUNT);
	ring_negotiate(p, 0);
	for (uint16_t q = 0; q < n; q++)
		cr_assert(ring_enable(p, q, RING_DESC(q), RING_DRIVER(q), RING_DEVICE(q)));
	peer_write(p, 0, 0x14, 1, 0xf);
	peer_pump(p);
}

void ring_put_desc(struct peer *p, uint16_t queue, uint16_t index, struct ring_desc desc)
{
	ring_put(p, RING_DESC(queue) + 16 * (uint64_t)index, &desc, sizeof(desc));
}

void ring_avail(struct peer *p, uint16_t queue, uint16_t head)
{
	uint64_t ring = RING_DRIVER(queue);
	uint16_t idx = get16(p, ring + 2), next = (uint16_t)(idx + 1);

	ring_put(p, ring + 4 + 2 * (idx % RING), &head, sizeof(head));
	ring_put(p, ring + 2, &next, sizeof(next));
}

void ring_kick(struct peer *p, uint16_t queue)
{
	peer_post(p, 0, FPH_PCI_NOTIFY + FPH_PCI_NOTIFY_MUL * (uint64_t)queue, 2, queue);
	peer_pump(p);
}

uint16_t ring_used(struct peer *p, uint16_t queue)
{
	return get16(p, RING_DEVICE(queue) + 2);
}

void ring_put_numbers(struct peer *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t pfn = (uint32_t)(RAM_FREE / 4096) + i % 1024;

		ring_put(p, RING_DATA + 4 * (uint64_t)i, &pfn, sizeof(pfn));
	}
}

unsigned ring_hints_by(struct peer *p, uint64_t id_at, uint64_t gpa, uint32_t len)
{
	struct fph_range out[64];
	uint32_t id;
	int n, all = 0;

	cr_assert_eq(fph_device_start(p->device), 0);
	peer_pump(p); /* by messages it is shown a little later */
	id = fph_device_command_id(p->device);
	ring_put(p, RAM_GPA + (id_at - RAM_GPA) % RAM_BYTES, &id, 4);
	ring_put_desc(p, HINT, 0, (struct ring_desc){ id_at, 4, 0, 0 });
	ring_put_desc(p, HINT, 1, (struct ring_desc){ gpa, len, FPH_DESC_WRITE, 0 });
	ring_avail(p, HINT, 0);
	ring_avail(p, HINT, 1);
	ring_kick(p, HINT);
	while ((n = fph_device_poll(p->device, out, 64)) != 0) {
		cr_assert(n > 0, "%d", n);
		for (int i = 0; i < n; i++)
			cr_assert(out[i].gpa >= RAM_GPA &&
				  out[i].gpa + out[i].len <= RAM_GPA + RAM_BYTES);
		all += n;
	}
	peer_pump(p);
	return (unsigned)all;
}

unsigned ring_hints_of(struct peer *p, uint64_t gpa, uint32_t len)
{
	return ring_hints_by(p, RING_DATA + 0x40000, gpa, len);
}
