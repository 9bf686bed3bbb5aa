/* SPDX-License-Identifier: MIT */
#include "script.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Descriptors in all the wrong places: each one is kept by somebody, or closed.  #60, #77 */

static void start(struct peer *p)
{
	peer_serve(p, 0, NULL);
	peer_connect(p);
	cr_assert(peer_version(p) > 0);
}

Test(descriptors, are_closed_with_messages_that_want_none)
{
	static struct peer p;
	unsigned char body[64];
	int fds[3];
	unsigned before;

	start(&p);
	fds[0] = fds[1] = fds[2] = p.file;
	before = count_fds();
	for (unsigned command = 0; command < 24; command++) {
		memset(body, 0, sizeof(body));
		body[0] = 64;
		for (unsigned n = 1; n <= 3; n++) {
			peer_send(&p, command, 0, body, sizeof(body), fds, n);
			peer_pump(&p);
			cr_assert(peer_receive(&p));
			peer_send(&p, command, VFIO_NO_REPLY, body, sizeof(body), fds, n);
			peer_send(&p, command, VFIO_REPLY | VFIO_ERROR, body, 0, fds, n);
			peer_pump(&p);
		}
		/* The last message's are, with the next read: this is it. */
		cr_assert_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
		cr_assert_eq(count_fds(), before, "after command %u", command);
	}
	peer_close(&p);
}

Test(descriptors, are_more_than_can_be_taken)
{
	static struct peer p;
	unsigned before;
	int fds[200];

	peer_serve(&p, 0, NULL);
	before = count_fds();
	for (unsigned i = 0; i < 200; i++)
		fds[i] = p.file;
	for (unsigned n = 33; n <= 200; n += 167) {
		peer_connect(&p);
		cr_assert(peer_version(&p) > 0);
		peer_send(&p, VFIO_DEVICE_RESET, 0, NULL, 0, fds, n);
		cr_assert(peer_is_dropped(&p));
		cr_expect_str_eq(p.why, "a message with more descriptors than can be taken");
		peer_hang_up(&p);
		cr_assert_eq(count_fds(), before);
	}
	/* Gathered in one message, byte by byte. */
	peer_connect(&p);
	for (unsigned i = 0; i < 40 && fph_vfio_user_server_connected(p.server); i++) {
		peer_send_bytes(&p, "\1", 1, fds, i < 3 ? 1 : 8);
		peer_pump(&p);
	}
	cr_expect(!fph_vfio_user_server_connected(p.server));
	peer_hang_up(&p);
	cr_assert_eq(count_fds(), before);
	peer_close(&p);
}

/* 1.4: read with the message before, it would look like that one's. */
Test(descriptors, belong_to_the_message_they_came_with)
{
	struct vfio_dma_unmap unmap = { 24, 0, RAM_GPA, 4096 };
	struct vfio_dma_map map = { 32, 3, 0, RAM_GPA, RAM_BYTES };
	struct vfio_info info = { .argsz = 16 };
	static struct peer p;
	uint64_t offset;
	int fd;

	start(&p);
	cr_assert_eq(peer_map(&p, RAM_GPA, 4096, 3, -1, 0), 0);
	peer_send(&p, VFIO_GET_INFO, 0, &info, sizeof(info), NULL, 0);
	peer_send(&p, VFIO_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	peer_send(&p, VFIO_DMA_MAP, 0, &map, sizeof(map), &p.file, 1);
	peer_send(&p, VFIO_GET_INFO, 0, &info, sizeof(info), NULL, 0);
	peer_pump(&p);
	for (int i = 0; i < 4; i++) {
		cr_assert(peer_receive(&p));
		cr_assert_eq(p.in.header.flags, VFIO_REPLY);
	}
	cr_assert_eq(fph_vfio_user_server_region_file(p.server, 0, &fd, &offset), 0);
	cr_expect_not_null(fph_vfio_user_server_mem(p.server)->regions[0].hva);
	peer_close(&p);
}

Test(descriptors, of_memory_must_be_files_that_hold_it)
{
	struct vfio_dma_map map = { 32, 3, 0, RAM_GPA, 0x10000 };
	char name[64];
	static struct peer p;
	int pair[2], pipes[2], bad[10], two[2];
	unsigned n = 0, before;

	start(&p);
	before = count_fds();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	cr_assert_eq(pipe(pipes), 0);
	bad[n++] = pair[0];
	bad[n++] = pair[1];
	bad[n++] = pipes[0];
	bad[n++] = pipes[1];
	bad[n++] = eventfd(0, 0);
	bad[n++] = epoll_create1(0);
	bad[n++] = open("/tmp", O_RDONLY | O_DIRECTORY);
	bad[n++] = open("/dev/null", O_RDWR);
	bad[n++] = open("/dev/zero", O_RDWR);
	bad[n++] = make_memfd("fph-short", 0xffff);
	for (unsigned i = 0; i < n; i++) {
		cr_assert(bad[i] >= 0);
		cr_expect_eq(peer_ask(&p, VFIO_DMA_MAP, &map, sizeof(map), &bad[i], 1), -EINVAL,
			     "kind %u", i);
		close(bad[i]);
	}
	two[0] = two[1] = p.file;
	cr_expect_eq(peer_ask(&p, VFIO_DMA_MAP, &map, sizeof(map), two, 2), -EINVAL);
	cr_expect_eq(peer_map(&p, RAM_GPA, 0x10000, 3, p.file, RAM_BYTES - 0xf000), -EINVAL);
	cr_expect_eq(peer_map(&p, RAM_GPA, 0x10000, 3, p.file, RAM_BYTES), -EINVAL);
	cr_expect_eq(peer_map(&p, RAM_GPA, 0x10000, 3, p.file, 0 - UINT64_C(0x10000)), -EINVAL);
	cr_expect_eq(peer_map(&p, RAM_GPA, 0x10000, 3, p.file, 0x800), -EINVAL);
	cr_expect_eq(fph_vfio_user_server_mem(p.server)->count, 0u);

	/* What can only be read is no ring's place, and no less memory for that. */
	snprintf(name, sizeof(name), "/proc/self/fd/%d", p.file);
	bad[0] = open(name, O_RDONLY);
	cr_assert(bad[0] >= 0);
	cr_expect(peer_map(&p, RAM_GPA, 0x10000, 3, bad[0], 0) < 0);
	cr_expect_eq(peer_map(&p, RAM_GPA, 0x10000, 1, bad[0], 0), 0);
	cr_expect_null(fph_vfio_user_server_mem(p.server)->regions[0].hva);
	cr_expect_eq(fph_vfio_user_server_mem(p.server)->regions[0].flags, FPH_REGION_READONLY);
	close(bad[0]);
	cr_expect_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	cr_expect_eq(count_fds(), before);
	peer_close(&p);
}

Test(descriptors, of_interrupts_must_be_eventfds_and_as_many_as_said)
{
	static const uint32_t wrong[] = { 0x21, 0x22, 0x09, 0x11, 0x0a, 0x12, 0x0c, 0x14 };
	struct vfio_set_irqs set = { 20, 0x24, VFIO_MSIX, 0, 2 };
	unsigned char bools[22] = { 20 };
	static struct peer p;
	unsigned before;
	int fds[4];

	start(&p);
	before = count_fds();
	for (unsigned i = 0; i < 4; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	for (unsigned n = 1; n <= 4; n++)
		if (n != 2)
			cr_expect_eq(peer_ask(&p, VFIO_SET_IRQS, &set, sizeof(set), fds, n),
				     -EINVAL);
	/* with data or an action that has none */
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memcpy(bools + 4, &(uint32_t[]){ wrong[i], VFIO_INTX, 0, 1 }, 16);
		cr_expect_eq(peer_ask(&p, VFIO_SET_IRQS, bools, 21, fds, 1), -EINVAL, "%#x",
			     wrong[i]);
	}
	close(fds[1]);
	fds[1] = p.file;
	cr_expect_eq(peer_ask(&p, VFIO_SET_IRQS, &set, sizeof(set), fds, 2), -EINVAL);
	cr_expect_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	cr_expect_eq(count_fds(), before + 3);
	close(fds[0]);
	close(fds[2]);
	close(fds[3]);
	peer_close(&p);
}

/* Replaced, taken away, or left when the client goes. */
Test(descriptors, of_interrupts_are_closed_when_others_come)
{
	static struct peer p;
	unsigned before;
	int event;

	start(&p);
	event = eventfd(0, EFD_CLOEXEC);
	before = count_fds();
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(peer_set_irqs(&p, 0x24, VFIO_MSIX, (uint32_t)i % 6, 1, &event), 0);
		cr_assert_eq(peer_set_irqs(&p, 0x24, VFIO_INTX, 0, 1, &event), 0);
		cr_assert_eq(peer_set_irqs(&p, 0x24, VFIO_ERR, 0, 1, &event), 0);
	}
	cr_expect_eq(count_fds(), before + 8);
	cr_assert_eq(peer_set_irqs(&p, 0x24, VFIO_MSIX, 1, 2, NULL), 0);
	cr_expect_eq(count_fds(), before + 6);
	cr_assert_eq(peer_set_irqs(&p, 0x21, VFIO_MSIX, 0, 0, NULL), 0);
	cr_expect_eq(count_fds(), before + 2);
	peer_hang_up(&p);
	cr_expect_eq(count_fds(), before - 3, "the sockets, and what waits for one");
	close(event);
	peer_close(&p);
}

/* #68 */
Test(descriptors, do_not_leak_in_a_thousand_connections)
{
	static struct peer p;
	unsigned before;
	struct script s;

	peer_serve(&p, 0, NULL);
	script_qemu(&s, &p);
	before = count_fds();
	for (unsigned i = 0; i < 1000; i++) {
		peer_connect(&p);
		script_send(&p, &s, s.len, s.len);
		peer_hang_up(&p);
	}
	cr_expect_eq(count_fds(), before);
	cr_expect_eq(mapped_bytes("fph-peer"), RAM_BYTES);
	script_close(&s);
	peer_close(&p);
}
