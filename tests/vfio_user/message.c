/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Every message, right and wrong: the errors that libvfio-user's tests expect, too. */

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* A right one of each command that is answered without an error. */
static const struct {
	unsigned command;
	uint32_t fixed;	 /* bytes that it cannot do without */
	bool sized;	 /* it begins with argsz */
	int answer;	 /* bytes of the answer's body */
	uint32_t words[6]; /* the body, behind argsz if there is one */
} right[] = {
	{ VFIO_DMA_MAP, 32, true, 0, { 3, 0, 0, 0x10000000 } },
	{ VFIO_GET_INFO, 16, true, 16, { 0 } },
	{ VFIO_GET_REGION_INFO, 32, true, 32, { 0, 7 } },
	{ VFIO_GET_REGION_IO_FDS, 16, true, 16, { 0, 0, 3 } },
	{ VFIO_GET_IRQ_INFO, 16, true, 16, { 0, 2 } },
	{ VFIO_SET_IRQS, 20, true, 0, { 0x21, 2, 0, 0 } },
	{ VFIO_REGION_READ, 16, false, 20, { 0, 0, 7, 4 } },
	{ VFIO_REGION_WRITE, 20, false, 16, { 4, 0, 7, 4, 0 } },
	{ VFIO_DEVICE_RESET, 0, false, 0, { 0 } },
};

static size_t fill(unsigned char *body, size_t i, uint32_t argsz)
{
	size_t at = 0;

	memset(body, 0, 64);
	if (right[i].sized) {
		memcpy(body, &argsz, 4);
		at = 4;
	}
	memcpy(body + at, right[i].words, sizeof(right[i].words));
	if (right[i].command == VFIO_DMA_MAP)
		body[32 - 7] = 0x10; /* a size of 4096 bytes */
	return right[i].fixed;
}

static void start(struct peer *p)
{
	peer_serve(p, 0, NULL);
	peer_connect(p);
	cr_assert(peer_version(p) > 0);
}

ParameterizedTestParameters(message, takes_longer_bodies_and_room_and_answers_exactly)
{
	static size_t which[COUNT_OF(right)];

	for (size_t i = 0; i < COUNT_OF(right); i++)
		which[i] = i;
	return cr_make_param_array(size_t, which, COUNT_OF(right));
}

ParameterizedTest(size_t *which, message, takes_longer_bodies_and_room_and_answers_exactly)
{
	static struct peer p;
	unsigned char body[64];
	size_t i = *which, len;

	start(&p);
	len = fill(body, i, right[i].fixed);
	cr_expect_eq(peer_ask(&p, right[i].command, body, len, NULL, 0), right[i].answer);
	/* SPDK pads, cloud-hypervisor counts the header. */
	if (right[i].command == VFIO_DMA_MAP)
		cr_assert_eq(peer_unmap(&p, 0x10000000, 4096), 0);
	fill(body, i, right[i].fixed + 16);
	cr_expect_eq(peer_ask(&p, right[i].command, body, len + 16, NULL, 0), right[i].answer);
	peer_close(&p);
}

ParameterizedTestParameters(message, refuses_bodies_and_room_that_are_too_small)
{
	static size_t which[COUNT_OF(right)];

	for (size_t i = 0; i < COUNT_OF(right); i++)
		which[i] = i;
	return cr_make_param_array(size_t, which, COUNT_OF(right));
}

ParameterizedTest(size_t *which, message, refuses_bodies_and_room_that_are_too_small)
{
	static struct peer p;
	unsigned char body[64];
	size_t i = *which;

	start(&p);
	fill(body, i, right[i].fixed);
	for (size_t len = 0; len < right[i].fixed; len++)
		cr_expect_eq(peer_ask(&p, right[i].command, body, len, NULL, 0), -EINVAL,
			     "%zu bytes", len);
	for (uint32_t argsz = 0; right[i].sized && argsz < right[i].fixed; argsz++) {
		fill(body, i, argsz);
		cr_expect_eq(peer_ask(&p, right[i].command, body, right[i].fixed, NULL, 0),
			     -EINVAL, "argsz %u", argsz);
	}
	cr_expect_eq(peer_stats(&p).maps, 0u);
	peer_close(&p);
}

Test(message, refuses_everything_before_a_version)
{
	static struct peer p;
	unsigned char body[64];

	peer_serve(&p, 0, NULL);
	peer_connect(&p);
	for (size_t i = 0; i < COUNT_OF(right); i++)
		cr_expect_eq(peer_ask(&p, right[i].command, body, fill(body, i, right[i].fixed),
				      NULL, 0),
			     -EINVAL);
	cr_assert(peer_version(&p) > 0);
	cr_expect_eq(peer_version(&p), -EINVAL, "twice");
	cr_expect_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	peer_close(&p);
}

Test(message, refuses_what_it_does_not_know)
{
	static const unsigned unknown[] = { 0, 11, 12, 14, 15, 19, 20, 255, 256, 65535 };
	static const unsigned unsupported[] = { 16, 17, 18 };
	static struct peer p;
	unsigned char body[64] = { 0 };

	start(&p);
	for (size_t i = 0; i < COUNT_OF(unknown); i++)
		cr_expect_eq(peer_ask(&p, unknown[i], body, sizeof(body), NULL, 0), -EINVAL);
	for (size_t i = 0; i < COUNT_OF(unsupported); i++)
		cr_expect_eq(peer_ask(&p, unsupported[i], body, sizeof(body), NULL, 0), -ENOTSUP);
	cr_expect_eq(peer_stats(&p).refused, COUNT_OF(unknown) + COUNT_OF(unsupported));
	peer_close(&p);
}

/* Not even an error: whoever sent it would take it for another answer. */
Test(message, never_answers_who_wants_no_answer)
{
	static struct peer p;
	unsigned char body[64] = { 0 };

	start(&p);
	for (unsigned command = 0; command < 24; command++)
		for (size_t len = 0; len <= 40; len += 8) {
			peer_send(&p, command, VFIO_NO_REPLY, body, len, NULL, 0);
			peer_pump(&p);
			cr_assert(!peer_receive(&p), "command %u", command);
		}
	cr_expect_eq(peer_stats(&p).posted, 24u * 6);
	cr_expect_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	peer_close(&p);
}

Test(message, refuses_types_that_are_none)
{
	static struct peer p;

	start(&p);
	for (uint32_t type = 2; type < 16; type++) {
		peer_send(&p, VFIO_DEVICE_RESET, type, NULL, 0, NULL, 0);
		peer_pump(&p);
		cr_assert(peer_receive(&p));
		cr_expect_eq(p.in.header.flags, VFIO_REPLY | VFIO_ERROR);
		cr_expect_eq(p.in.header.error, (uint32_t)EINVAL);
	}
	peer_close(&p);
}

/* ------------------------------------------------------------ information */

Test(message, tells_what_the_function_has)
{
	static const uint32_t sizes[VFIO_REGIONS] = { 0x4000, 0x1000, 0, 0, 0, 0, 0, 256, 0 };
	static const uint32_t irqs[VFIO_IRQS][2] = { { 1, 7 }, { 0, 0 }, { 6, 1 }, { 1, 1 }, { 0, 0 } };
	struct vfio_info info = { .argsz = sizeof(info) };
	static struct peer p;

	start(&p);
	cr_assert_eq(peer_ask(&p, VFIO_GET_INFO, &info, sizeof(info), NULL, 0), 16);
	memcpy(&info, p.in.body, sizeof(info));
	cr_expect_eq(info.argsz, 16u);
	cr_expect_eq(info.flags, VFIO_INFO_RESET | VFIO_INFO_PCI);
	cr_expect_eq(info.regions, 9u);
	cr_expect_eq(info.irqs, 5u);
	for (uint32_t i = 0; i < VFIO_REGIONS; i++) {
		struct vfio_region_info r = { .argsz = sizeof(r), .index = i };

		cr_assert_eq(peer_ask(&p, VFIO_GET_REGION_INFO, &r, sizeof(r), NULL, 0), 32);
		memcpy(&r, p.in.body, sizeof(r));
		cr_expect_eq(r.argsz, 32u);
		cr_expect_eq(r.index, i);
		cr_expect_eq(r.size, sizes[i]);
		cr_expect_eq(r.flags, sizes[i] ? 3u : 0u);
		cr_expect_eq(r.cap_offset, 0u);
	}
	for (uint32_t i = 0; i < VFIO_IRQS; i++) {
		struct vfio_irq_info r = { .argsz = sizeof(r), .index = i };

		cr_assert_eq(peer_ask(&p, VFIO_GET_IRQ_INFO, &r, sizeof(r), NULL, 0), 16);
		memcpy(&r, p.in.body, sizeof(r));
		cr_expect_eq(r.argsz, 16u);
		cr_expect_eq(r.index, i);
		cr_expect_eq(r.count, irqs[i][0]);
		cr_expect_eq(r.flags, irqs[i][1]);
	}
	peer_close(&p);
}

Test(message, refuses_indexes_out_of_range)
{
	static const uint32_t beyond[] = { 9, 10, 255, 0x80000000, 0xffffffff };
	static struct peer p;

	start(&p);
	for (size_t i = 0; i < COUNT_OF(beyond); i++) {
		struct vfio_region_info r = { .argsz = sizeof(r), .index = beyond[i] };
		struct vfio_irq_info q = { .argsz = sizeof(q), .index = beyond[i] };
		struct vfio_region_io_fds f = { .argsz = sizeof(f), .index = beyond[i] };
		struct vfio_region_access a = { .region = beyond[i], .count = 4 };

		cr_expect_eq(peer_ask(&p, VFIO_GET_REGION_INFO, &r, sizeof(r), NULL, 0), -EINVAL);
		cr_expect_eq(peer_ask(&p, VFIO_GET_IRQ_INFO, &q, sizeof(q), NULL, 0), -EINVAL);
		cr_expect_eq(peer_ask(&p, VFIO_GET_REGION_IO_FDS, &f, sizeof(f), NULL, 0),
			     -EINVAL);
		cr_expect_eq(peer_ask(&p, VFIO_REGION_READ, &a, sizeof(a), NULL, 0), -EINVAL);
		cr_expect_eq(peer_set_irqs(&p, 0x21, beyond[i], 0, 0, NULL), -EINVAL);
	}
	cr_expect_eq(peer_set_irqs(&p, 0x21, VFIO_IRQS, 0, 0, NULL), -EINVAL);
	peer_close(&p);
}

Test(message, has_no_vectors_and_no_pin_if_it_is_told_so)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;
	struct vfio_region_info r = { .argsz = sizeof(r), .index = 1 };
	struct vfio_irq_info q = { .argsz = sizeof(q) };
	static struct peer p;

	o.flags = FPH_VFIO_USER_NO_MSIX | FPH_VFIO_USER_NO_INTX;
	peer_serve(&p, 0, &o);
	peer_connect(&p);
	cr_assert(peer_version(&p) > 0);
	cr_assert_eq(peer_ask(&p, VFIO_GET_REGION_INFO, &r, sizeof(r), NULL, 0), 32);
	memcpy(&r, p.in.body, sizeof(r));
	cr_expect_eq(r.size, 0u);
	for (q.index = 0; q.index < 3; q.index += 2) {
		cr_assert_eq(peer_ask(&p, VFIO_GET_IRQ_INFO, &q, sizeof(q), NULL, 0), 16);
		cr_expect_eq(((struct vfio_irq_info *)(void *)p.in.body)->count, 0u);
	}
	cr_expect_eq(peer_read(&p, VFIO_REGION_CONFIG, 0x3d, 1), 0u, "pin");
	cr_expect_eq(peer_set_irqs(&p, 0x24, VFIO_MSIX, 0, 1, NULL), -EINVAL);
	cr_expect_eq(peer_set_irqs(&p, 0x21, VFIO_MSIX, 0, 0, NULL), 0);
	peer_close(&p);
}

/* ------------------------------------------------------------ accesses */

/* Whatever the width: a client that cannot take errors gets none inside of a region. */
Test(message, reads_any_number_of_bytes_of_the_configuration_space)
{
	static unsigned char whole[256];
	static struct peer p;

	start(&p);
	peer_read(&p, VFIO_REGION_CONFIG, 0, 256);
	memcpy(whole, p.in.body + 16, sizeof(whole));
	cr_expect_eq(whole[0] | whole[1] << 8, 0x1af4);
	cr_expect_eq(whole[2] | whole[3] << 8, 0x1045);
	for (uint32_t at = 0; at < 256; at += 3)
		for (uint32_t n = 0; n <= 256 - at; n += 1 + n / 8) {
			peer_read(&p, VFIO_REGION_CONFIG, at, n);
			cr_assert_eq(memcmp(p.in.body + 16, whole + at, n), 0, "%u at %u", n, at);
		}
	cr_expect_eq(peer_stats(&p).refused, 0u);
	peer_close(&p);
}

Test(message, answers_all_accesses_inside_of_a_region)
{
	static const uint32_t sizes[] = { [0] = 0x4000, [1] = 0x1000, [7] = 0x100 };
	static struct peer p;
	unsigned char body[16 + 32] = { 0 };

	start(&p);
	srand(1);
	for (unsigned i = 0; i < 4000; i++) {
		uint32_t region = (uint32_t[]){ 0, 1, 7 }[rand() % 3];
		uint32_t count = (uint32_t)rand() % 33;
		struct vfio_region_access a = { .region = region, .count = count };

		/* not the doorbells and the status, whose effects are others' tests */
		a.offset = (uint32_t)rand() % (sizes[region] - count + 1);
		memcpy(body, &a, sizeof(a));
		for (unsigned k = 16; k < sizeof(body); k++)
			body[k] = (unsigned char)rand();
		cr_assert_eq(peer_ask(&p, VFIO_REGION_READ, &a, sizeof(a), NULL, 0),
			     (int)(16 + count));
		cr_assert_eq(peer_ask(&p, VFIO_REGION_WRITE, body, 16 + count, NULL, 0), 16);
	}
	peer_read(&p, 0, 0, 0x4000);
	peer_read(&p, 1, 0, 0x1000);
	cr_expect_eq(peer_stats(&p).refused, 0u);
	cr_expect(peer_stats(&p).config > 1000);
	cr_expect(peer_stats(&p).bar > 1000);
	peer_close(&p);
}

Test(message, refuses_accesses_outside_of_a_region)
{
	static const struct vfio_region_access outside[] = {
		{ 256, 7, 1 },	       { 255, 7, 2 },		{ 0, 7, 257 },
		{ 0, 7, 0xffffffff },  { UINT64_MAX, 7, 1 },	{ UINT64_MAX, 7, 0xffffffff },
		{ 0x4000, 0, 1 },      { 0x3fff, 0, 2 },	{ 0, 0, 0x4001 },
		{ 0xfff, 1, 2 },       { 0x1000, 1, 4 },	{ 0, 2, 1 },
		{ 0, 6, 4 },	       { 0, 8, 1 },		{ 0, 5, 0 },
		{ UINT64_C(1) << 63, 0, 4 }, { UINT64_C(1) << 32, 7, 4 },
	};
	static struct peer p;
	unsigned char body[64] = { 0 };

	start(&p);
	for (size_t i = 0; i < COUNT_OF(outside); i++) {
		memcpy(body, &outside[i], 16);
		cr_expect_eq(peer_ask(&p, VFIO_REGION_READ, body, 16, NULL, 0), -EINVAL, "%zu", i);
		cr_expect_eq(peer_ask(&p, VFIO_REGION_WRITE, body, 64, NULL, 0), -EINVAL, "%zu",
			     i);
	}
	peer_close(&p);
}

Test(message, writes_nothing_of_a_write_that_is_cut_short)
{
	struct vfio_region_access a = { .offset = 0x3c, .region = 7, .count = 4 };
	static struct peer p;
	unsigned char body[20];

	start(&p);
	memset(body, 0x55, sizeof(body));
	memcpy(body, &a, sizeof(a));
	for (size_t len = 16; len < 20; len++)
		cr_expect_eq(peer_ask(&p, VFIO_REGION_WRITE, body, len, NULL, 0), -EINVAL);
	cr_expect_eq(peer_read(&p, 7, 0x3c, 1), 0u);
	cr_expect_eq(peer_ask(&p, VFIO_REGION_WRITE, body, 20, NULL, 0), 16);
	cr_expect_eq(peer_read(&p, 7, 0x3c, 1), 0x55u);
	peer_close(&p);
}

/* A read of 8 bytes is two of 4, and a BAR's fields have their widths. */
Test(message, keeps_the_width_of_accesses_to_a_bar)
{
	static struct peer p;

	start(&p);
	peer_write(&p, 0, 0x14, 1, 1); /* status: ACKNOWLEDGE */
	cr_expect_eq(peer_read(&p, 0, 0x14, 1), 1u);
	cr_expect_eq(peer_read(&p, 0, 0x14, 2), 0u, "no field of that width");
	peer_write(&p, 0, 0x20, 8, UINT64_C(0x123456789abcdef0));
	cr_expect_eq(peer_read(&p, 0, 0x20, 4), 0x9abcdef0u);
	cr_expect_eq(peer_read(&p, 0, 0x24, 4), 0x12345678u);
	cr_expect_eq(peer_read(&p, 0, 0x20, 8), UINT64_C(0x123456789abcdef0));
	peer_close(&p);
}

/* ------------------------------------------------------------ reset */

/* PC-5, G-12 */
Test(message, resets_the_device_always)
{
	static struct peer p;

	peer_start(&p, 0, NULL, true);
	cr_expect_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	cr_assert_eq(peer_attach(&p), 0);
	peer_write(&p, VFIO_REGION_CONFIG, 0x3c, 1, 9);
	cr_assert_eq(fph_device_start(p.device), 0);
	cr_expect_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	cr_expect_eq(peer_read(&p, 0, 0x14, 1), 0u, "status");
	cr_expect_eq(peer_read(&p, VFIO_REGION_CONFIG, 0x3c, 1), 0u);
	cr_expect_eq(peer_read(&p, VFIO_REGION_CONFIG, 4, 2), 0u, "command");
	cr_expect_eq(fph_device_start(p.device), -ENOTCONN);
	cr_assert_eq(peer_attach(&p), 0);
	peer_whole_round(&p, 8);
	peer_close(&p);
}

/* R9: it has to take effect before it is answered, with hints in hand or not. */
Test(message, completes_a_reset_while_hints_are_in_hand)
{
	struct fph_range out[4];
	static struct peer p;

	peer_start(&p, 0, NULL, true);
	cr_assert_eq(peer_attach(&p), 0);
	peer_round(&p);
	peer_hint(&p, 0, 4);
	cr_assert_eq(fph_device_poll(p.device, out, 4), 4);
	cr_expect_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	cr_expect_eq(peer_read(&p, 0, 0x14, 1), 0u);
	peer_close(&p);
}

/* The driver's reset waits for the embedder. */
Test(message, shows_status_0_only_when_hints_were_let_go_of)
{
	struct fph_range out[4];
	static struct peer p;

	peer_start(&p, 0, NULL, true);
	cr_assert_eq(peer_attach(&p), 0);
	peer_round(&p);
	peer_hint(&p, 0, 4);
	cr_assert_eq(fph_device_poll(p.device, out, 4), 4);
	peer_post(&p, 0, 0x14, 1, 0);
	cr_expect_neq(peer_read(&p, 0, 0x14, 1), 0u);
	cr_expect_eq(fph_device_ack(p.device), 0);
	cr_expect_eq(peer_read(&p, 0, 0x14, 1), 0u);
	peer_close(&p);
}
