/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The version message: what clients send, and what nobody should. */

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static int ask(struct peer *p, uint16_t major, uint16_t minor, const void *json, size_t len)
{
	unsigned char *body = malloc(4 + len);
	int rc;

	memcpy(body, &major, 2);
	memcpy(body + 2, &minor, 2);
	if (len)
		memcpy(body + 4, json, len);
	rc = peer_ask(p, VFIO_VERSION, body, 4 + len, NULL, 0);
	free(body);
	return rc;
}

/* The answer in hand is one that QEMU takes: never longer than what it sent. */
static void expect_good(const struct peer *p, int len, uint16_t minor, size_t sent)
{
	const char *json = (const char *)p->in.body + 4;
	uint16_t told[2];

	cr_assert(len >= 4);
	cr_expect(len <= 4 + (int)sent || sent == 0, "%d bytes", len);
	if (sent == 1 && len == 4)
		return; /* no room for more than a NUL */
	memcpy(told, p->in.body, sizeof(told));
	cr_expect_eq(told[0], 0);
	cr_expect_eq(told[1], minor);
	cr_expect_eq(p->in.body[len - 1], 0);
	cr_expect_eq(strlen(json), (size_t)len - 5);
	if (sent == 0 || sent >= 85)
		cr_expect_str_eq(json, "{\"capabilities\":{\"max_msg_fds\":16,"
				       "\"max_data_xfer_size\":1048576,\"max_dma_maps\":1024}}");
	else
		cr_expect_str_eq(json, sent >= 20 ? "{\"capabilities\":{}}" : "{}");
}

static const char *const good[] = {
	NULL, /* SPDK */
	"",
	"{}",
	"{\"capabilities\":{}}",
	"{\"capabilities\":{\"max_msg_fds\":1}}",
	"{\"capabilities\":{\"max_msg_fds\":0}}",
	"{\"capabilities\":{\"max_msg_fds\":1024}}",
	"{ \"capabilities\": { \"max_msg_fds\": 1, \"max_data_xfer_size\": 1048576, "
	"\"migration\": { \"pgsize\": 4096 } } }", /* cloud-hypervisor */
	"{\"capabilities\":{\"twin_socket\":{\"supported\":true}},\"else\":[1,2,[3]]}",
	"{\"other\":null}",
};

Test(version, is_agreed_with_all_that_clients_say)
{
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		size_t sent = good[i] ? strlen(good[i]) + 1 : 0;
		static struct peer p;

		peer_serve(&p, 0, NULL);
		peer_connect(&p);
		expect_good(&p, ask(&p, 0, 0, good[i], sent), 0, sent);
		cr_expect_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
		peer_close(&p);
	}
}

Test(version, is_the_lesser_minor)
{
	static const uint16_t minors[][2] = {
		{ 0, 0 }, { 1, 1 }, { 2, 1 }, { 255, 1 }, { 65535, 1 }
	};

	for (size_t i = 0; i < COUNT_OF(minors); i++) {
		static struct peer p;

		peer_serve(&p, 0, NULL);
		peer_connect(&p);
		expect_good(&p, ask(&p, 0, minors[i][0], "{}", 3), minors[i][1], 3);
		peer_close(&p);
	}
}

static const struct {
	const char *json;
	size_t len; /* 0: with its NUL */
} bad[] = {
	{ "{}", 2 },
	{ "{}\0{}", 5 },
	{ "{}\0", 4 },
	{ "{", 0 },
	{ "}", 0 },
	{ "{]", 0 },
	{ "[]", 0 },
	{ "[{}]", 0 },
	{ "1", 0 },
	{ "\"x\"", 0 },
	{ "null", 0 },
	{ "{} x", 0 },
	{ "{\"capabilities\":1}", 0 },
	{ "{\"capabilities\":[]}", 0 },
	{ "{\"capabilities\":null}", 0 },
	{ "{\"capabilities\":{\"max_msg_fds\":\"1\"}}", 0 },
	{ "{\"capabilities\":{\"max_msg_fds\":1.5}}", 0 },
	{ "{\"capabilities\":{\"max_msg_fds\":true}}", 0 },
	{ "{\"capabilities\":{\"max_msg_fds\":null}}", 0 },
	{ "{\"capabilities\":{\"max_msg_fds\":-1}}", 0 },
	{ "{\"capabilities\":{\"max_msg_fds\":1025}}", 0 },
	{ "{\"capabilities\":{\"max_msg_fds\":99999999999999999999}}", 0 },
	{ "{\"capabilities\":{\"max_data_xfer_size\":-1}}", 0 },
	{ "{\"capabilities\":{\"max_data_xfer_size\":67108865}}", 0 },
	{ "{\"capabilities\":{\"max_data_xfer_size\":\"big\"}}", 0 },
	{ "{\"capabilities\":{\"max_dma_maps\":0}}", 0 },
	{ "{\"capabilities\":{\"max_dma_maps\":{}}}", 0 },
	{ "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}}", 0 },
	{ "\xff\xfe{}", 0 },
};

/* And it may be said again, better. */
Test(version, is_refused_if_it_is_malformed)
{
	static struct peer p;

	peer_serve(&p, 0, NULL);
	peer_connect(&p);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		cr_expect_eq(ask(&p, 0, 0, bad[i].json,
				 bad[i].len ? bad[i].len : strlen(bad[i].json) + 1),
			     -EINVAL, "%s", bad[i].json);
	for (uint16_t major = 1; major < 4; major++)
		cr_expect_eq(ask(&p, major, 0, "{}", 3), -EINVAL);
	cr_expect_eq(peer_ask(&p, VFIO_VERSION, "\0\0\0", 3, NULL, 0), -EINVAL);
	cr_expect_eq(peer_ask(&p, VFIO_VERSION, NULL, 0, NULL, 0), -EINVAL);
	cr_expect_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), -EINVAL, "none agreed");
	expect_good(&p, ask(&p, 0, 0, "{}", 3), 0, 3);
	peer_close(&p);
}

/* 100 KiB of it, with what matters at the end. */
Test(version, may_be_long)
{
	static char json[100 * 1024];
	static struct peer p;
	size_t n = (size_t)snprintf(json, sizeof(json), "{\"x\":\"");

	memset(json + n, 'x', sizeof(json) - n - 64);
	snprintf(json + sizeof(json) - 64, 64, "\",\"capabilities\":{\"max_msg_fds\":4096}}");
	peer_serve(&p, 0, NULL);
	peer_connect(&p);
	cr_expect_eq(ask(&p, 0, 0, json, strlen(json) + 1), -EINVAL);
	snprintf(json + sizeof(json) - 64, 64, "\",\"capabilities\":{\"max_msg_fds\":4}}");
	expect_good(&p, ask(&p, 0, 0, json, strlen(json) + 1), 0, strlen(json) + 1);
	peer_close(&p);
}

Test(version, does_not_mind_random_bytes)
{
	static struct peer p;
	unsigned char bytes[200];

	peer_serve(&p, 0, NULL);
	peer_connect(&p);
	srand(3);
	for (unsigned i = 0; i < 3000; i++) {
		static const char chars[] = "{}[]\":,0123456789-truefalsnl \\ \n";
		size_t len = 1 + (size_t)rand() % sizeof(bytes);

		for (size_t k = 0; k < len; k++)
			bytes[k] = (unsigned char)chars[(size_t)rand() % (sizeof(chars) - 1)];
		bytes[len - 1] = 0;
		/* By chance some are right. */
		if (ask(&p, 0, 0, bytes, len) > 0) {
			peer_hang_up(&p);
			peer_connect(&p);
		}
	}
	peer_close(&p);
}
