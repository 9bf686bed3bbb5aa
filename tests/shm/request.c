/* SPDX-License-Identifier: MIT */
#include "raw.h"
#include "rig.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A hostile client attaches, #59 to #64, #67 to #69 of reliability.md.  Whatever it asks
 * for: an answer that says no, nothing kept, and the next client is served.
 */
static void add_region(struct raw *raw, uint64_t gpa, uint64_t len, uint64_t offset)
{
	uint32_t i = raw->request.regions++;

	raw->request.region[i] = (struct shm_region){ gpa, len, offset };
	raw->len += sizeof(struct shm_region);
	raw_put_fd(raw, raw->fd_count, dup(raw->fds[SHM_FD_REGION]));
}

static void magic(struct raw *raw)
{
	raw->request.magic ^= 1;
}
static void version(struct raw *raw)
{
	raw->request.version++;
}
static void queues(struct raw *raw)
{
	raw->request.queues = 4;
}
static void no_region(struct raw *raw)
{
	raw->request.regions = 0;
	raw->len -= sizeof(struct shm_region);
	close(raw->fds[--raw->fd_count]);
}
static void regions_over_the_table(struct raw *raw)
{
	raw->request.regions = FPH_SHM_REGIONS_MAX + 1;
}
static void regions_without_end(struct raw *raw)
{
	raw->request.regions = UINT32_MAX;
}
static void one_byte(struct raw *raw)
{
	raw->len = 1;
}
static void short_header(struct raw *raw)
{
	raw->len = offsetof(struct shm_request, region) - 1;
}
static void short_region(struct raw *raw)
{
	raw->len--;
}
static void long_body(struct raw *raw)
{
	raw->len += 8;
}
static void longest_body(struct raw *raw)
{
	raw->len = sizeof(raw->request);
}
static void beyond_the_buffer(struct raw *raw)
{
	/* The end of struct raw is as good as any other bytes: it is cut off. */
	raw->len = sizeof(raw->request) + 1;
}
static void no_fd(struct raw *raw)
{
	while (raw->fd_count)
		close(raw->fds[--raw->fd_count]);
}
static void one_fd_less(struct raw *raw)
{
	close(raw->fds[--raw->fd_count]);
}
static void one_fd_more(struct raw *raw)
{
	raw_put_fd(raw, raw->fd_count, dup(raw->fds[0]));
}
static void more_fds_than_room(struct raw *raw)
{
	while (raw->fd_count < 40)
		one_fd_more(raw);
}
static void page_is_pipe(struct raw *raw)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	raw_put_fd(raw, SHM_FD_DRIVER, p[0]);
	close(p[1]);
}
static void page_is_eventfd(struct raw *raw)
{
	raw_put_fd(raw, SHM_FD_DRIVER, eventfd(0, 0));
}
static void page_is_small(struct raw *raw)
{
	raw_put_fd(raw, SHM_FD_DRIVER,
		   end_memfd(SHM_CLIENT_BYTES - 1, F_SEAL_SHRINK | F_SEAL_GROW |
			     F_SEAL_FUTURE_WRITE | F_SEAL_SEAL));
}
static void page_is_large(struct raw *raw)
{
	raw_put_fd(raw, SHM_FD_DRIVER,
		   end_memfd(SHM_CLIENT_BYTES * 2, F_SEAL_SHRINK | F_SEAL_GROW |
			     F_SEAL_FUTURE_WRITE | F_SEAL_SEAL));
}
static void page_may_shrink(struct raw *raw)
{
	raw_put_fd(raw, SHM_FD_DRIVER,
		   end_memfd(SHM_CLIENT_BYTES, F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL));
}
static void page_is_not_sealed(struct raw *raw)
{
	raw_put_fd(raw, SHM_FD_DRIVER, end_memfd(SHM_CLIENT_BYTES, 0));
}
static void bell_is_directory(struct raw *raw)
{
	raw_put_fd(raw, SHM_FD_CTL_KICK, open("/", O_RDONLY | O_CLOEXEC));
}
static void bell_is_pipe(struct raw *raw)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	raw_put_fd(raw, SHM_FD_CTL_ACK, p[1]);
	close(p[0]);
}
static void bell_is_socket(struct raw *raw)
{
	raw_put_fd(raw, SHM_FD_IRQ, socket(AF_UNIX, SOCK_STREAM, 0));
}
static void doorbell_is_memfd(struct raw *raw)
{
	raw_put_fd(raw, SHM_FD_KICK + 4, dup(raw->fds[SHM_FD_REGION]));
}
static void ram_is_eventfd(struct raw *raw)
{
	raw_put_fd(raw, SHM_FD_REGION, eventfd(0, 0));
}
static void ram_is_pipe(struct raw *raw)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	raw_put_fd(raw, SHM_FD_REGION, p[0]);
	close(p[1]);
}
static void ram_is_directory(struct raw *raw)
{
	raw_put_fd(raw, SHM_FD_REGION, open("/tmp", O_RDONLY | O_DIRECTORY));
}
static void ram_is_plain_file(struct raw *raw)
{
	char name[] = "/tmp/fph-shm-file-XXXXXX";
	int fd = mkstemp(name);

	cr_assert(fd >= 0);
	unlink(name);
	cr_assert_eq(ftruncate(fd, RAW_BYTES), 0);
	raw_put_fd(raw, SHM_FD_REGION, fd);
}
static void ram_is_short(struct raw *raw)
{
	raw->request.region[0].len++;
}
static void ram_starts_past_its_end(struct raw *raw)
{
	raw->request.region[0].offset = RAW_BYTES;
}
static void ram_may_shrink(struct raw *raw)
{
	raw_put_fd(raw, SHM_FD_REGION, end_memfd(RAW_BYTES, 0));
}
static void ram_is_write_sealed(struct raw *raw)
{
	raw_put_fd(raw, SHM_FD_REGION, end_memfd(RAW_BYTES, F_SEAL_SHRINK | F_SEAL_WRITE));
}
static void ram_is_future_write_sealed(struct raw *raw)
{
	raw_put_fd(raw, SHM_FD_REGION, end_memfd(RAW_BYTES, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE));
}
static void ram_is_read_only(struct raw *raw)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", raw->fds[SHM_FD_REGION]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0);
	raw_put_fd(raw, SHM_FD_REGION, fd);
}
static void region_is_empty(struct raw *raw)
{
	raw->request.region[0].len = 0;
}
static void region_wraps(struct raw *raw)
{
	raw->request.region[0].gpa = UINT64_MAX - 0xfff;
}
static void region_is_all(struct raw *raw)
{
	raw->request.region[0].len = UINT64_MAX;
}
static void offset_wraps(struct raw *raw)
{
	raw->request.region[0].offset = UINT64_MAX - 0xfff;
}
static void region_is_skewed(struct raw *raw)
{
	raw->request.region[0].gpa += 16;
}
static void regions_overlap(struct raw *raw)
{
	add_region(raw, RAW_GPA + RAW_BYTES - 0x1000, 0x2000, 0x1000);
}
static void regions_are_the_same(struct raw *raw)
{
	add_region(raw, RAW_GPA, RAW_BYTES, 0);
}
static void second_region_is_bad(struct raw *raw)
{
	add_region(raw, 0x800000, RAW_BYTES * 2, 0);
}

static const struct {
	void (*spoil)(struct raw *raw);
	int status;
	const char *words;
} requests[] = {
	{ magic, -EPROTO, "no request" },
	{ version, -EPROTO, "version 2" },
	{ queues, -EPROTO, "4 queues" },
	{ no_region, -EINVAL, "0 regions" },
	{ regions_over_the_table, -EINVAL, "17 regions" },
	{ regions_without_end, -EINVAL, "4294967295 regions" },
	{ one_byte, -EPROTO, "no request" },
	{ short_header, -EPROTO, "no request" },
	{ short_region, -EPROTO, "39 bytes for 1" },
	{ long_body, -EPROTO, "48 bytes for 1" },
	{ longest_body, -EPROTO, "400 bytes for 1" },
	{ beyond_the_buffer, -EPROTO, "no request" },
	{ no_fd, -EPROTO, "0 descriptors" },
	{ one_fd_less, -EPROTO, "9 descriptors" },
	{ one_fd_more, -EPROTO, "11 descriptors" },
	{ more_fds_than_room, -EPROTO, "no request" },
	{ page_is_pipe, -EINVAL, "client's page" },
	{ page_is_eventfd, -EINVAL, "client's page" },
	{ page_is_small, -EINVAL, "client's page" },
	{ page_is_large, -EINVAL, "client's page" },
	{ page_may_shrink, -EPERM, "not sealed" },
	{ page_is_not_sealed, -EPERM, "not sealed" },
	{ bell_is_directory, -EINVAL, "descriptor 1 is no eventfd" },
	{ bell_is_pipe, -EINVAL, "descriptor 2 is no eventfd" },
	{ bell_is_socket, -EINVAL, "descriptor 3 is no eventfd" },
	{ doorbell_is_memfd, -EINVAL, "descriptor 8 is no eventfd" },
	{ ram_is_eventfd, -EINVAL, "no memfd" },
	{ ram_is_pipe, -EINVAL, "no memfd" },
	{ ram_is_directory, -EINVAL, "no memfd" },
	{ ram_is_plain_file, -EINVAL, "no memfd" },
	{ ram_is_short, -EINVAL, "past the end" },
	{ ram_starts_past_its_end, -EINVAL, "past the end" },
	{ ram_may_shrink, -EPERM, "not sealed against shrinking" },
	{ ram_is_write_sealed, -EPERM, "sealed against writing" },
	{ ram_is_future_write_sealed, -EPERM, "sealed against writing" },
	{ ram_is_read_only, -EACCES, "cannot be mapped" },
	{ region_is_empty, -EINVAL, "empty" },
	{ region_wraps, -EINVAL, "wraps" },
	{ region_is_all, -EINVAL, "wraps" },
	{ offset_wraps, -EINVAL, "wraps" },
	{ region_is_skewed, -EINVAL, "disagree" },
	{ regions_overlap, -EINVAL, "overlaps" },
	{ regions_are_the_same, -EINVAL, "overlaps" },
	{ second_region_is_bad, -EINVAL, "past the end" },
};
#define REQUESTS (sizeof(requests) / sizeof(requests[0]))

static void serve_an_honest_one(struct rig *rig)
{
	struct end end;

	end_open(&end, rig->path, 0, 5000);
	end_connect(&end);
	cr_assert_eq(end_attach(&end), 0);
	both_round(rig, &end, 5);
	end_close(&end);
}

static bool nothing_is_left(unsigned fds)
{
	for (unsigned i = 0; i < 10000; i++) {
		if (count_fds() == fds && count_maps("fph-") == 0)
			return true;
		usleep(500);
	}
	return false;
}

BOTH(request, a_request_that_is_wrong_is_refused_in_words)
{
	struct rig rig;
	struct raw raw;
	unsigned before;

	rig_open(&rig, (unsigned)*kind, NULL);
	serve_an_honest_one(&rig);
	rig_expect_gone(&rig, 1);
	cr_assert(nothing_is_left(count_fds()));
	before = count_fds();
	for (size_t i = 0; i < REQUESTS; i++) {
		raw_prepare(&raw);
		requests[i].spoil(&raw);
		raw_expect(&raw, rig.path, requests[i].status);
		cr_assert_not_null(strstr(raw.answer.text, requests[i].words), "%zu: %s", i,
				   raw.answer.text);
		cr_assert(raw_is_dropped(&raw));
		raw_close(&raw);
		cr_assert(nothing_is_left(before), "case %zu leaves something", i);
	}
	cr_assert_eq(rig.gone, 1u, "who was never a client is not told to be gone");
	serve_an_honest_one(&rig);
	rig_close(&rig);
}

BOTH(request, a_table_full_of_regions_is_taken)
{
	struct rig rig;
	struct raw raw;
	uint64_t offset;
	int fd;

	rig_open(&rig, (unsigned)*kind, NULL);
	raw_prepare(&raw);
	while (raw.request.regions < FPH_SHM_REGIONS_MAX)
		add_region(&raw, 0x4000000 - 0x100000 * (uint64_t)raw.request.regions, 0x1000, 0x2000);
	raw_expect(&raw, rig.path, 0);
	rig_lock(&rig);
	cr_assert_eq(fph_shm_server_mem(rig.server)->count, FPH_SHM_REGIONS_MAX);
	cr_assert_eq(fph_mem_check(fph_shm_server_mem(rig.server)), 0);
	cr_assert_eq(fph_shm_server_region_file(rig.server, 15, &fd, &offset), 0);
	cr_assert_eq(offset, 0x2000u);
	cr_assert_eq(fph_shm_server_region_file(rig.server, 16, &fd, &offset), -EINVAL);
	rig_unlock(&rig);
	raw_close(&raw);
	rig_close(&rig);
}

BOTH(request, a_second_client_is_refused_politely_and_the_first_does_not_notice)
{
	struct rig rig;
	struct end end, other;
	struct raw raw;

	rig_open(&rig, (unsigned)*kind, NULL);
	end_open(&end, rig.path, (unsigned)*kind, 5000);
	end_connect(&end);
	cr_assert_eq(end_attach(&end), 0);
	raw_prepare(&raw);
	raw_expect(&raw, rig.path, -EBUSY);
	cr_assert(raw_is_dropped(&raw));
	raw_close(&raw);
	end_open(&other, rig.path, (unsigned)*kind, 5000);
	cr_assert_eq(fph_shm_client_connect(other.client), -EBUSY);
	cr_assert_not_null(strstr(fph_shm_client_why(other.client), "there is a client already"));
	both_round(&rig, &end, 10);
	end_close(&end);
	end_connect(&other);
	cr_assert_eq(end_attach(&other), 0);
	both_round(&rig, &other, 10);
	end_close(&other);
	rig_close(&rig);
}

BOTH(request, who_never_asks_does_not_hold_the_place)
{
	struct rig rig;
	struct raw silent, half;

	rig_open(&rig, (unsigned)*kind, NULL);
	raw_prepare(&silent);
	raw_connect(&silent, rig.path);
	usleep(5000);
	serve_an_honest_one(&rig);
	cr_assert(raw_is_dropped(&silent));
	raw_close(&silent);
	/* Half closed before the request: there is nobody to answer to. */
	raw_prepare(&half);
	raw_connect(&half, rig.path);
	cr_assert_eq(shutdown(half.sock, SHUT_WR), 0);
	cr_assert(raw_is_dropped(&half));
	raw_close(&half);
	serve_an_honest_one(&rig);
	rig_close(&rig);
}

BOTH(request, a_client_that_half_closes_or_talks_on_is_let_go)
{
	struct rig rig;
	struct raw raw;

	rig_open(&rig, (unsigned)*kind, NULL);
	raw_prepare(&raw);
	raw_expect(&raw, rig.path, 0);
	cr_assert_eq(shutdown(raw.sock, SHUT_WR), 0);
	cr_assert(raw_is_dropped(&raw));
	rig_expect_gone(&rig, 1);
	rig_expect_why(&rig, "closed the connection");
	raw_close(&raw);

	raw_prepare(&raw);
	raw_expect(&raw, rig.path, 0);
	cr_assert(raw_send(&raw)); /* with its descriptors */
	cr_assert(raw_is_dropped(&raw));
	rig_expect_gone(&rig, 2);
	rig_expect_why(&rig, "more than one message");
	raw_close(&raw);
	rig_close(&rig);
}

BOTH(request, a_thousand_clients_leave_nothing_behind)
{
	struct rig rig;
	struct raw raw;
	unsigned before;

	rig_open(&rig, (unsigned)*kind, NULL);
	before = count_fds();
	for (unsigned i = 0; i < 1000; i++) {
		raw_prepare(&raw);
		switch (i % 4) {
		case 0:
			raw_expect(&raw, rig.path, 0);
			break;
		case 1: /* vanishes before it asked */
			raw_connect(&raw, rig.path);
			break;
		case 2: /* vanishes before the answer */
			raw_connect(&raw, rig.path);
			cr_assert(raw_send(&raw));
			break;
		default:
			raw.request.magic = 0;
			raw_connect(&raw, rig.path);
			cr_assert(raw_send(&raw));
		}
		raw_close(&raw);
	}
	cr_assert(nothing_is_left(before), "%u descriptors, %u mappings", count_fds() - before,
		  count_maps("fph-"));
	serve_an_honest_one(&rig);
	rig_close(&rig);
}
