/* SPDX-License-Identifier: MIT */
#include "front.h"
#include "script.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* After whatever happened: nobody is left, nothing is left, and the next one is served. */
static void expect_dropped(struct front *front, unsigned fds_before, const char *why)
{
	struct rig *rig = front->rig;
	struct front next;

	cr_assert(front_is_dropped(front), "the front end is still served");
	cr_assert_eq(rig->gone, 1u);
	cr_assert_not_null(strstr(rig->why, why), "\"%s\" does not say \"%s\"", rig->why, why);
	front_close(front);
	cr_assert_eq(count_fds(), fds_before);
	cr_assert_eq(count_maps("fph-guest-ram"), 0u);

	front_open(&next, rig, 0);
	cr_assert_eq(front_ask_u64(&next, VU_SET_FEATURES, VU_F_PROTOCOL_FEATURES |
				   FPH_F_VERSION_1 | FPH_F_FREE_PAGE_HINT), 0);
	front_close(&next);
	cr_assert_eq(count_fds(), fds_before);
}

static int event(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	cr_assert(fd >= 0);
	return fd;
}

/* ------------------------------------------------------------ malformed: always the end */

/* #59, #60, #75, #77.  The body is zeros but for the first number. */
static const struct {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
	uint64_t first;
	unsigned fds;
	const char *why;
} malformed[] = {
	/* flags */
	{ VU_GET_FEATURES, 0, 0, 0, 0, "GET_FEATURES: version 0, not 1" },
	{ VU_GET_FEATURES, 2, 0, 0, 0, "GET_FEATURES: version 2, not 1" },
	{ VU_GET_FEATURES, 3, 0, 0, 0, "GET_FEATURES: version 3, not 1" },
	{ VU_GET_FEATURES, 1 | VU_REPLY, 0, 0, 0, "an answer to nothing" },
	{ VU_SET_OWNER, 0x11, 0, 0, 0, "SET_OWNER: flags 0x11 are not defined" },
	{ VU_SET_OWNER, 0x80000001, 0, 0, 0, "are not defined" },
	/* size: none, one less, one more, far more, negative */
	{ VU_SET_FEATURES, 1, 0, 0, 0, "SET_FEATURES: a body of 0 bytes" },
	{ VU_SET_FEATURES, 1, 7, 0, 0, "SET_FEATURES: a body of 7 bytes" },
	{ VU_SET_FEATURES, 1, 9, 0, 0, "SET_FEATURES: a body of 9 bytes" },
	{ VU_GET_FEATURES, 1, 1, 0, 0, "GET_FEATURES: a body of 1 bytes" },
	{ VU_SET_VRING_ADDR, 1, 39, 0, 0, "SET_VRING_ADDR: a body of 39 bytes" },
	{ VU_SET_VRING_NUM, 1, 1000, 0, 0, "SET_VRING_NUM: a body of 1000 bytes" },
	{ VU_SET_MEM_TABLE, 1, 7, 0, 0, "SET_MEM_TABLE: a body of 7 bytes" },
	{ VU_SET_MEM_TABLE, 1, 8 + 32 * 32 + 1, 0, 0, "SET_MEM_TABLE: a body of 1033 bytes" },
	{ VU_SET_MEM_TABLE, 1, 0xffffffff, 0, 0, "a body of 4294967295 bytes" },
	{ VU_SET_CONFIG, 1, 12 + 257, 0, 0, "SET_CONFIG: a body of 269 bytes" },
	{ VU_GET_CONFIG, 1, 11, 0, 0, "GET_CONFIG: a body of 11 bytes" },
	{ 1000, 1, 0x80000000, 0, 0, "an unknown request: a body of 2147483648 bytes" },
	/* a count that the body does not hold */
	{ VU_SET_MEM_TABLE, 1, 8, 1, 1, "SET_MEM_TABLE: 8 bytes for 1 regions" },
	{ VU_SET_MEM_TABLE, 1, 8 + 32, 2, 2, "SET_MEM_TABLE: 40 bytes for 2 regions" },
	{ VU_SET_MEM_TABLE, 1, 8 + 32, 33, 1, "40 bytes for 33 regions" },
	{ VU_SET_MEM_TABLE, 1, 8 + 32, 0xffffffff, 1, "for 4294967295 regions" },
	{ VU_SET_CONFIG, 1, 12 + 4, UINT64_C(5) << 32, 0, "speaks of 5 bytes and carries 4" },
	{ VU_SET_CONFIG, 1, 12 + 4, UINT64_C(0xffffffff) << 32, 0, "carries 4" },
	{ VU_GET_CONFIG, 1, 12 + 4, UINT64_C(3) << 32, 0, "speaks of 3 bytes and carries 4" },
	/* descriptors: none where one is due, too many, where there should be none */
	{ VU_SET_VRING_KICK, 1, 8, 0, 0, "SET_VRING_KICK: 0 descriptors where 1 should be" },
	{ VU_SET_VRING_CALL, 1, 8, 0, 0, "SET_VRING_CALL: 0 descriptors where 1 should be" },
	{ VU_SET_VRING_ERR, 1, 8, 0, 0, "SET_VRING_ERR: 0 descriptors where 1 should be" },
	{ VU_SET_VRING_KICK, 1, 8, 0, 2, "SET_VRING_KICK: came with 2 descriptors" },
	{ VU_SET_VRING_CALL, 1, 8, VU_RING_NO_FD, 1, "1 descriptors where 0 should be" },
	{ VU_SET_VRING_CALL, 1, 8, 0x10000, 1, "0x10000 is no ring" },
	{ VU_SET_BACKEND_REQ_FD, 1, 0, 0, 0, "SET_BACKEND_REQ_FD: came with 0 descriptors" },
	{ VU_SET_BACKEND_REQ_FD, 1, 0, 0, 2, "SET_BACKEND_REQ_FD: came with 2 descriptors" },
	{ VU_SET_MEM_TABLE, 1, 8 + 32, 1, 0, "SET_MEM_TABLE: 0 descriptors for 1 regions" },
	{ VU_SET_MEM_TABLE, 1, 8 + 32, 1, 2, "SET_MEM_TABLE: 2 descriptors for 1 regions" },
	{ VU_SET_MEM_TABLE, 1, 8, 0, 1, "SET_MEM_TABLE: 1 descriptors for 0 regions" },
	{ VU_ADD_MEM_REG, 1, 40, 0, 0, "ADD_MEM_REG: came with 0 descriptors" },
	{ VU_REM_MEM_REG, 1, 40, 0, 2, "REM_MEM_REG: came with 2 descriptors" },
	{ VU_GET_FEATURES, 1, 0, 0, 1, "GET_FEATURES: came with 1 descriptors" },
	{ VU_SET_FEATURES, 1, 8, 0, 1, "SET_FEATURES: came with 1 descriptors" },
	{ VU_SET_VRING_NUM, 1, 8, 0, 32, "SET_VRING_NUM: came with 32 descriptors" },
	{ VU_SET_MEM_TABLE, 1, 8 + 32, 1, 33, "more descriptors than can be taken" },
	{ VU_SET_MEM_TABLE, 1, 8 + 32, 1, 253, "more descriptors than can be taken" },
	/* questions that cannot be answered with no */
	{ VU_GET_VRING_BASE, 1, 8, 5, 0, "GET_VRING_BASE: there is no ring 5" },
	{ VU_GET_STATUS, 1, 0, 0, 0, "GET_STATUS: its protocol feature was not negotiated" },
	{ VU_GET_STATUS, 1 | VU_NEED_REPLY, 0, 0, 0, "GET_STATUS: its protocol feature" },
};
#define MALFORMED (sizeof(malformed) / sizeof(malformed[0]))

ParameterizedTestParameters(message, a_malformed_one_ends_the_connection)
{
	static size_t which[MALFORMED];

	for (size_t i = 0; i < MALFORMED; i++)
		which[i] = i;
	return cr_make_param_array(size_t, which, MALFORMED);
}

ParameterizedTest(size_t *which, message, a_malformed_one_ends_the_connection)
{
	unsigned char bytes[12 + 1100] = { 0 };
	uint32_t size = malformed[*which].size;
	struct rig rig;
	struct front front;
	unsigned before;
	int fds[253];

	rig_open(&rig, 0, NULL);
	before = count_fds();
	front_connect(&front, &rig);
	/* Slots are negotiated, so that their messages are known; STATUS is not. */
	front.flags = FRONT_SLOTS;
	front_negotiate(&front);
	memcpy(bytes, &malformed[*which].request, 4);
	memcpy(bytes + 4, &malformed[*which].flags, 4);
	memcpy(bytes + 8, &size, 4);
	memcpy(bytes + 12, &malformed[*which].first, 8);
	for (unsigned i = 0; i < malformed[*which].fds; i++)
		fds[i] = event();
	front_raw(&front, bytes, 12 + (size < 1100 ? size : 1100), fds, malformed[*which].fds);
	for (unsigned i = 0; i < malformed[*which].fds; i++)
		close(fds[i]);
	expect_dropped(&front, before, malformed[*which].why);
	rig_close(&rig);
}

/* ------------------------------------------------------------ refused: no, or the end */

/* #59, #75, #78.  Well formed, and not to be had. */
static const struct {
	uint32_t request;
	uint32_t size;
	uint64_t first;
	unsigned fds;
	const char *why;
} refused[] = {
	{ VU_SET_FEATURES, 8, 0, 0, "SET_FEATURES: the device does not take features 0x0" },
	{ VU_SET_FEATURES, 8, FPH_F_VERSION_1 | UINT64_C(1) << 63, 0, "0x8000000100000000" },
	{ VU_SET_FEATURES, 8, FPH_F_VERSION_1 | UINT64_C(1) << 26, 0, "does not take features" },
	{ VU_SET_PROTOCOL_FEATURES, 8, 1 << 1, 0, "SET_PROTOCOL_FEATURES: 0x2 was not offered" },
	{ VU_SET_PROTOCOL_FEATURES, 8, UINT64_MAX, 0, "was not offered" },
	{ VU_SET_VRING_NUM, 8, UINT64_C(256) << 32 | 5, 0, "there is no ring 5" },
	{ VU_SET_VRING_NUM, 8, UINT64_C(256) << 32 | 0xffffffff, 0, "no ring 4294967295" },
	{ VU_SET_VRING_NUM, 8, 0, 0, "ring 0 of 0 entries" },
	{ VU_SET_VRING_NUM, 8, UINT64_C(32769) << 32, 0, "ring 0 of 32769 entries" },
	{ VU_SET_VRING_NUM, 8, UINT64_C(0x10100) << 32, 0, "ring 0 of 65792 entries" },
	{ VU_SET_VRING_BASE, 8, UINT64_C(65536) << 32, 0, "ring 0 at 65536" },
	{ VU_SET_VRING_BASE, 8, 7, 0, "there is no ring 7" },
	{ VU_SET_VRING_ADDR, 40, 9, 0, "there is no ring 9" },
	{ VU_SET_VRING_ADDR, 40, UINT64_C(1) << 32, 0, "wants its writes logged" },
	{ VU_SET_VRING_ENABLE, 8, UINT64_C(2) << 32, 0, "ring 0 to 2" },
	{ VU_SET_VRING_ENABLE, 8, UINT64_C(1) << 32 | 6, 0, "there is no ring 6" },
	{ VU_SET_VRING_KICK, 8, 5, 1, "SET_VRING_KICK: there is no ring 5" },
	{ VU_SET_VRING_CALL, 8, 255, 1, "SET_VRING_CALL: there is no ring 255" },
	{ VU_SET_VRING_ERR, 8, 5, 1, "SET_VRING_ERR: there is no ring 5" },
	{ VU_SET_VRING_KICK, 8, VU_RING_NO_FD, 0, "nobody polls here" },
	{ VU_SET_BACKEND_REQ_FD, 0, 0, 1, "SET_BACKEND_REQ_FD: not a stream socket" },
	{ VU_SET_STATUS, 8, 1, 0, "SET_STATUS: its protocol feature was not negotiated" },
	{ VU_ADD_MEM_REG, 40, 0, 1, "ADD_MEM_REG: its protocol feature was not negotiated" },
	{ 0, 0, 0, 0, "request 0 is not known" },
	{ 6, 16, 0, 1, "request 6 is not known" },
	{ 22, 32, 0, 0, "request 22 is not known" },
	{ 31, 16, 0, 0, "request 31 is not known" },
	{ 35, 8, 0, 0, "request 35 is not known" },
	{ 41, 16, 0, 0, "request 41 is not known" },
	{ 1000, 1000, 0, 32, "request 1000 is not known" },
	{ 0xffffffff, 0, 0, 0, "request 4294967295 is not known" },
};
#define REFUSED (sizeof(refused) / sizeof(refused[0]))

/* Twice each: with the need-reply flag and without. */
ParameterizedTestParameters(message, a_refused_one_is_answered_or_ends_the_connection)
{
	static size_t which[2 * REFUSED];

	for (size_t i = 0; i < 2 * REFUSED; i++)
		which[i] = i;
	return cr_make_param_array(size_t, which, 2 * REFUSED);
}

ParameterizedTest(size_t *which, message, a_refused_one_is_answered_or_ends_the_connection)
{
	size_t i = *which / 2;
	bool answered = *which % 2;
	unsigned char body[1000] = { 0 };
	struct rig rig;
	struct front front;
	unsigned before, fds_now;
	int fds[32];

	rig_open(&rig, 0, NULL);
	before = count_fds();
	front_connect(&front, &rig);
	front_negotiate(&front);
	memcpy(body, &refused[i].first, 8);
	fds_now = count_fds();
	for (unsigned k = 0; k < refused[i].fds; k++)
		fds[k] = event();
	if (answered) {
		cr_assert_eq(front_ask(&front, refused[i].request, body, refused[i].size, fds,
				       refused[i].fds), 1);
	} else {
		front_send(&front, refused[i].request, 0, body, refused[i].size, fds,
			   refused[i].fds);
	}
	for (unsigned k = 0; k < refused[i].fds; k++)
		close(fds[k]);
	if (answered) {
		/* It lives on, with nothing gained, and leaves with a reason of its own. */
		cr_assert_eq(count_fds(), fds_now);
		cr_assert_eq(front_ask_u64(&front, VU_SET_FEATURES, FPH_F_VERSION_1), 0);
		shutdown(front.sock, SHUT_WR);
		expect_dropped(&front, before, "the front end closed the connection");
	} else {
		expect_dropped(&front, before, refused[i].why);
	}
	rig_close(&rig);
}

/* Without REPLY_ACK the flag asks for nothing; an answer would be taken for another's. */
Test(message, the_need_reply_flag_means_nothing_without_its_protocol_feature)
{
	struct rig rig;
	struct front front;
	uint64_t features = FPH_F_VERSION_1;

	rig_open(&rig, 0, NULL);
	front_connect(&front, &rig); /* somebody else's is somebody else's */
	front_negotiate(&front);
	front_close(&front);
	front_connect(&front, &rig);
	front_send(&front, VU_SET_FEATURES, VU_NEED_REPLY, &features, 8, NULL, 0);
	front_send(&front, VU_SET_OWNER, VU_NEED_REPLY, NULL, 0, NULL, 0);
	/* The first thing that comes is the answer to this. */
	cr_assert(front_get_u64(&front, VU_GET_FEATURES) & FPH_F_FREE_PAGE_HINT);
	front_close(&front);
	rig_close(&rig);
}

Test(message, bit_30_is_offered_and_never_reaches_the_device)
{
	struct rig rig;
	struct front front;
	uint64_t offered = 0;
	struct fph_bus bus;

	rig_open(&rig, 0, NULL);
	bus = fph_device_bus(rig.device);
	cr_assert_eq(bus.ops->features(bus.ctx, &offered), 0);
	cr_assert(!(offered & VU_F_PROTOCOL_FEATURES));
	front_connect(&front, &rig);
	cr_assert_eq(front_get_u64(&front, VU_GET_FEATURES), offered | VU_F_PROTOCOL_FEATURES);
	front_negotiate(&front);
	cr_assert_eq(front_ask_u64(&front, VU_SET_FEATURES,
				   FPH_F_VERSION_1 | VU_F_PROTOCOL_FEATURES), 0);
	cr_assert_eq(fph_device_features(rig.device), FPH_F_VERSION_1);
	front_close(&front);
	rig_close(&rig);
}

Test(message, answers_tell_what_there_is)
{
	struct rig rig;
	struct front front;

	rig_open(&rig, 0, NULL);
	front_connect(&front, &rig);
	front.flags = FRONT_STATUS | FRONT_SLOTS;
	front_negotiate(&front);
	cr_assert_eq(front_get_u64(&front, VU_GET_PROTOCOL_FEATURES),
		     UINT64_C(1) << 0 | UINT64_C(1) << 3 | UINT64_C(1) << 5 | UINT64_C(1) << 9 |
			     UINT64_C(1) << 13 | UINT64_C(1) << 15 | UINT64_C(1) << 16);
	cr_assert_eq(front_get_u64(&front, VU_GET_QUEUE_NUM), 4u);
	cr_assert_eq(front_get_u64(&front, VU_GET_MAX_MEM_SLOTS), 32u);
	cr_assert_eq(front_get_u64(&front, VU_GET_STATUS), 0u);
	cr_assert_eq(front_ask_u64(&front, VU_SET_STATUS, 1), 0);
	cr_assert_eq(front_ask_u64(&front, VU_SET_STATUS, 2), 0);
	cr_assert_eq(front_get_u64(&front, VU_GET_STATUS), 3u);
	cr_assert_eq(front_ask_u64(&front, VU_SET_STATUS, 4), 1); /* no FEATURES_OK yet */
	cr_assert_eq(front_ask_u64(&front, VU_SET_STATUS, 0x100), 1);
	cr_assert_eq(front_ask_u64(&front, VU_SET_FEATURES, FPH_F_VERSION_1), 0);
	cr_assert_eq(front_get_u64(&front, VU_GET_STATUS), 11u);
	cr_assert_eq(front_ask_u64(&front, VU_SET_STATUS, 8), 0); /* QEMU says it once more */
	cr_assert_eq(front_ask_u64(&front, VU_SET_STATUS, 15), 0);
	cr_assert_eq(front_get_u64(&front, VU_GET_STATUS), 15u);
	cr_assert_eq(front_ask_u64(&front, VU_SET_STATUS, 0), 0);
	cr_assert_eq(front_get_u64(&front, VU_GET_STATUS), 0u);
	cr_assert_eq(front_ask(&front, VU_SET_OWNER, NULL, 0, NULL, 0), 0);
	cr_assert_eq(front_ask(&front, VU_RESET_OWNER, NULL, 0, NULL, 0), 0);
	cr_assert_eq(front_ask(&front, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	front_close(&front);
	rig_close(&rig);
}

/* ------------------------------------------------------------ configuration */

static int get_config(struct front *front, uint32_t offset, uint32_t size, struct vu_config *c)
{
	struct vu_header head;

	*c = (struct vu_config){ .offset = offset, .size = size };
	front_send(front, VU_GET_CONFIG, 0, c, VU_CONFIG_HEAD + size, NULL, 0);
	return front_recv(front, &head, c, sizeof(*c));
}

/* #42 */
Test(message, configuration_past_the_end_is_ones_and_past_the_limit_an_empty_answer)
{
	struct rig rig;
	struct front front;
	struct vu_config c;

	rig_open(&rig, 0, NULL);
	front_open(&front, &rig, 0);
	cr_assert_eq(get_config(&front, 0, 12, &c), 24);
	cr_assert_eq(get_config(&front, 8, 8, &c), 20);
	cr_assert_eq(c.data[0], 0);
	cr_assert_eq(c.data[4], 0xff); /* no poison value: PAGE_POISON is not offered */
	cr_assert_eq(get_config(&front, 0, 256, &c), 12 + 256);
	cr_assert_eq(get_config(&front, 256, 0, &c), 12);
	cr_assert_eq(get_config(&front, 253, 4, &c), 0);
	cr_assert_eq(get_config(&front, 257, 0, &c), 0);
	cr_assert_eq(get_config(&front, 0xfffffffe, 4, &c), 0);
	front_close(&front);
	rig_close(&rig);
}

/* #41: what a driver writes where it must not is ignored, and no reason to hang up. */
Test(message, configuration_written_at_a_wrong_time_or_place_does_no_harm)
{
	struct rig rig;
	struct front front;
	struct vu_config c = { .offset = 4, .size = 4, .data = { 1, 2, 3, 4 } };

	rig_open(&rig, 0, NULL);
	front_open(&front, &rig, 0);
	cr_assert_eq(front_ask(&front, VU_SET_CONFIG, &c, 16, NULL, 0), 1); /* before FEATURES_OK */
	cr_assert_eq(front_ask_u64(&front, VU_SET_FEATURES, FPH_F_VERSION_1), 0);
	cr_assert_eq(front_ask(&front, VU_SET_CONFIG, &c, 16, NULL, 0), 0);
	cr_assert_eq(fph_device_actual(rig.device), 0x04030201u);
	c.offset = 5; /* across two fields */
	cr_assert_eq(front_ask(&front, VU_SET_CONFIG, &c, 16, NULL, 0), 0);
	c.offset = 300;
	cr_assert_eq(front_ask(&front, VU_SET_CONFIG, &c, 16, NULL, 0), 1);
	front_send(&front, VU_SET_CONFIG, 0, &c, 16, NULL, 0);
	cr_assert_eq(fph_device_actual(rig.device), 0x04030201u);
	cr_assert(!front_is_dropped(&front));
	front_close(&front);
	rig_close(&rig);
}

/* ------------------------------------------------------------ delivery */

static void expect_attached(struct rig *rig)
{
	cr_assert_eq(rig->gone, 0u, "%s", rig->why);
	cr_assert_eq(fph_device_features(rig->device), UINT64_C(0x10000000a));
	cr_assert_str_eq(fph_device_state_name(rig->device), "STOPPED");
	cr_assert_eq(fph_vhost_user_mem(rig->vu)->count, 1u);
	cr_assert_eq(fph_device_start(rig->device), 0);
}

/* The recorded order; all messages in one go, as fast as the socket takes them. */
static const size_t pieces[] = { 4096, 1, 2, 5, 13 };

ParameterizedTestParameters(message, the_words_of_user_mode_linux_are_understood_in_any_pieces)
{
	static size_t which[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	return cr_make_param_array(size_t, which, 10);
}

/* #76, #64 */
ParameterizedTest(size_t *which, message,
		  the_words_of_user_mode_linux_are_understood_in_any_pieces)
{
	struct rig rig;
	struct front front;
	struct script s;
	int fds[SCRIPT_FDS];
	unsigned before;
	char byte;

	rig_open(&rig, *which % 2 ? FPH_LOOP_POLL : 0, NULL);
	before = count_fds();
	front_connect(&front, &rig);
	script_fds(fds);
	script_uml(&s, fds);
	script_deliver(&front, &s, s.len, pieces[*which / 2], *which % 2, rig_pump);
	expect_attached(&rig);
	cr_assert_eq(recv(fds[4], &byte, 1, MSG_DONTWAIT), 1, "no config change came");
	script_close(fds);
	front_close(&front);
	cr_assert_eq(count_fds(), before);
	rig_close(&rig);
}

/* #64, #79, #82: the front end is killed after any byte; descriptors already under way. */
static void vanish_everywhere(bool late)
{
	struct rig rig;
	struct script s;
	int fds[SCRIPT_FDS];
	unsigned before, rounds = 0;

	rig_open(&rig, 0, NULL);
	script_fds(fds);
	script_uml(&s, fds);
	before = count_fds();
	for (size_t upto = 0; upto <= s.len; upto++) {
		struct front front;

		front_connect(&front, &rig);
		script_deliver(&front, &s, upto, 4096, late, rig_pump);
		front_close(&front);
		cr_assert_eq(rig.gone, ++rounds, "after byte %zu", upto);
		cr_assert_eq(count_fds(), before, "after byte %zu", upto);
		cr_assert_eq(count_maps("fph-guest-ram"), 0u);
		cr_assert_not_null(strstr(rig.why, "the front end"), "%s", rig.why);
	}
	script_close(fds);
	rig_close(&rig);
}

Test(message, the_front_end_may_vanish_after_any_byte)
{
	vanish_everywhere(false);
}

Test(message, the_front_end_may_vanish_between_a_message_and_its_descriptors)
{
	vanish_everywhere(true);
}

/* #64: half closed. */
Test(message, a_half_closed_connection_is_closed_with_a_reason)
{
	struct rig rig;
	struct front front;
	unsigned before;
	const struct vu_header head = { VU_SET_FEATURES, VU_VERSION, 8 };

	rig_open(&rig, 0, NULL);
	before = count_fds();
	front_connect(&front, &rig);
	front_raw(&front, &head, sizeof(head), NULL, 0);
	shutdown(front.sock, SHUT_WR);
	expect_dropped(&front, before,
		       "the front end closed the connection in the middle of SET_FEATURES");
	rig_close(&rig);
}

/* #64, #85: somebody who asks and never listens. */
Test(message, a_front_end_that_never_reads_is_dropped_and_nobody_waits_for_it)
{
	struct rig rig;
	struct front front;
	unsigned before;

	rig_open(&rig, 0, NULL);
	before = count_fds();
	front_connect(&front, &rig);
	for (unsigned i = 0; i < 100000 && rig.gone == 0; i++) {
		front_send(&front, VU_GET_FEATURES, 0, NULL, 0, NULL, 0);
		fph_loop_run(rig.loop, 0);
	}
	expect_dropped(&front, before, "the answer to GET_FEATURES cannot be sent");
	rig_close(&rig);
}

/* #98 of the study, turned round: talking without end does not keep the loop. */
Test(message, a_front_end_that_never_stops_talking_gets_its_share_and_no_more)
{
	struct rig rig;
	struct front front;
	unsigned answers = 0;
	char answer[20];

	rig_open(&rig, 0, NULL);
	front_connect(&front, &rig);
	for (unsigned i = 0; i < 200; i++)
		front_send(&front, VU_GET_FEATURES, 0, NULL, 0, NULL, 0);
	cr_assert_eq(fph_loop_run(rig.loop, 1000), 1);
	while (recv(front.sock, answer, sizeof(answer), MSG_DONTWAIT) == sizeof(answer))
		answers++;
	cr_assert_eq(answers, 64u);
	rig_pump(&rig);
	while (recv(front.sock, answer, sizeof(answer), MSG_DONTWAIT) == sizeof(answer))
		answers++;
	cr_assert_eq(answers, 200u);
	front_close(&front);
	rig_close(&rig);
}
