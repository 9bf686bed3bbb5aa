/* SPDX-License-Identifier: MIT */
#include "script.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* The shapes of three clients, as their sources and traces have them. */

Test(shapes, qemu_starts)
{
	static struct peer p;
	struct script s;

	peer_serve(&p, 0, NULL);
	peer_connect(&p);
	script_qemu(&s, &p);
	script_send(&p, &s, s.len, s.len);
	cr_expect_eq(script_answers(&p), s.answered);
	cr_expect_eq(peer_stats(&p).refused, 0u);
	cr_expect_eq(peer_stats(&p).posted, 1u);
	cr_expect_eq(peer_stats(&p).requests, s.answered);
	script_close(&s);
	peer_close(&p);
}

/* The table of a machine's reset: RAM goes while the driver runs, and comes in pieces. */
Test(shapes, qemu_maps_memory_anew_under_a_driver)
{
	static struct peer p;

	peer_start(&p, 0, NULL, true);
	cr_assert_eq(peer_attach(&p), 0);
	peer_whole_round(&p, 8);
	cr_assert_eq(peer_unmap(&p, RAM_GPA, RAM_BYTES), 0);
	cr_assert_eq(peer_map(&p, RAM_GPA, 0xc0000, 3, p.file, 0), 0);
	cr_assert_eq(peer_map(&p, RAM_GPA + 0xc0000, 0x20000, 1, -1, 0), 0);
	cr_assert_eq(peer_map(&p, RAM_GPA + 0xe0000, 0x20000, 1, p.file, 0xe0000), 0);
	cr_assert_eq(peer_map(&p, RAM_GPA + 0x100000, RAM_BYTES - 0x100000, 3, p.file, 0x100000),
		     0);
	cr_expect_eq(fph_device_fault(p.device)->rule, FPH_RULE_NONE);
	/* Its ring is there again, so it goes on where it was. */
	peer_whole_round(&p, 8);
	/* Now it is not, at the time of the reset; QEMU maps and resets in either order. */
	cr_assert_eq(peer_unmap(&p, RAM_GPA, 0xc0000), 0);
	cr_expect_eq(fph_device_start(p.device), -ENOTCONN);
	peer_post(&p, 0, FPH_PCI_NOTIFY + 4 * 3, 2, 3);
	cr_expect_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	cr_expect_eq(fph_device_fault(p.device)->rule, FPH_RULE_NONE);
	cr_assert_eq(peer_map(&p, RAM_GPA, 0xc0000, 3, p.file, 0), 0);
	cr_assert_eq(peer_attach(&p), 0);
	peer_whole_round(&p, 8);
	cr_expect_eq(p.troubles, 0u);
	peer_close(&p);
}

/* Version 0.1; argsz that counts the header; all regions; ids used twice; no posted writes. */
Test(shapes, cloud_hypervisor_starts)
{
	static const char json[] =
		"\0\0\1\0{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":1048576,"
		"\"migration\":{\"pgsize\":4096}}}";
	struct vfio_info info = { .argsz = 32 };
	int irqs[16] = { 0 };
	static struct peer p;

	peer_serve(&p, 0, NULL);
	peer_connect(&p);
	cr_assert(peer_ask(&p, VFIO_VERSION, json, sizeof(json), NULL, 0) > 4);
	cr_expect(strstr((char *)p.in.body + 4, "\"capabilities\""));
	cr_expect_eq(p.in.body[2], 1, "minor");
	cr_expect_eq(peer_ask(&p, VFIO_GET_INFO, &info, 16, NULL, 0), 16);
	for (uint32_t i = 0; i < VFIO_REGIONS; i++)
		for (int again = 0; again < 2; again++) {
			struct vfio_region_info r = { .argsz = 32, .index = i };

			p.id = (uint16_t)i;
			cr_expect_eq(peer_ask(&p, VFIO_GET_REGION_INFO, &r, 32, NULL, 0), 32);
		}
	cr_assert_eq(peer_map(&p, RAM_GPA, RAM_BYTES, 3, p.file, 0), 0);
	peer_take_interrupts(&p);
	for (int i = 0; i < 16; i++)
		irqs[i] = p.irq[0];
	cr_expect_eq(peer_set_irqs(&p, 0x24, VFIO_MSIX, 0, 16, irqs), -EINVAL, "there are 6");
	cr_expect_eq(peer_set_irqs(&p, 0x24, VFIO_MSIX, 0, 6, p.irq), 0);
	cr_assert_eq(peer_attach(&p), 0);
	peer_whole_round(&p, 8);
	peer_close(&p);
}

/* No JSON, all ids 0, padded bodies, a descriptor with DMA_UNMAP. */
Test(shapes, spdk_starts)
{
	struct vfio_dma_unmap unmap = { 24, 0, RAM_GPA, RAM_BYTES };
	unsigned char padded[64] = { 64 };
	struct vfio_dma_map map = { 32, 3, 0, RAM_GPA, RAM_BYTES };
	static struct peer p;
	unsigned fds;

	peer_serve(&p, 0, NULL);
	peer_connect(&p);
	p.id = UINT16_MAX;
	cr_assert(peer_ask(&p, VFIO_VERSION, "\0\0\0\0", 4, NULL, 0) > 4);
	for (uint8_t i = 0; i < VFIO_REGIONS; i++) {
		padded[8] = i;
		p.id = UINT16_MAX;
		cr_expect_eq(peer_ask(&p, VFIO_GET_REGION_INFO, padded, sizeof(padded), NULL, 0),
			     32);
	}
	fds = count_fds();
	p.id = UINT16_MAX;
	cr_expect_eq(peer_ask(&p, VFIO_DMA_MAP, &map, sizeof(map), &p.file, 1), 0);
	p.id = UINT16_MAX;
	cr_expect_eq(peer_ask(&p, VFIO_DMA_UNMAP, &unmap, sizeof(unmap), &p.file, 1), 24);
	cr_expect_eq(memcmp(p.in.body, &unmap, sizeof(unmap)), 0, "echoed");
	cr_expect_eq(count_fds(), fds);
	cr_expect_eq(peer_stats(&p).refused, 0u);
	peer_close(&p);
}
