/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is mapped, by a table and at random. */

static void start(struct peer *p, uint32_t flags)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;

	o.flags = flags;
	peer_serve(p, 0, &o);
	peer_connect(p);
	cr_assert(peer_version(p) > 0);
}

#define K UINT64_C(0x1000)

Test(memory, is_mapped_and_unmapped_by_these_rules)
{
	static const struct {
		uint64_t gpa, len;
		uint32_t flags;
		int answer;
	} maps[] = {
		{ 10 * K, 10 * K, 3, 0 },	      { 10 * K, 10 * K, 3, -EEXIST },
		{ 19 * K, K, 3, -EEXIST },	      { 10 * K, K, 3, -EEXIST },
		{ 5 * K, 6 * K, 3, -EEXIST },	      { 15 * K, K, 3, -EEXIST },
		{ 0, 100 * K, 3, -EEXIST },	      { 20 * K, K, 3, 0 },
		{ 9 * K, K, 3, 0 },		      { 30 * K, 0, 3, -EINVAL },
		{ 30 * K + 1, K, 3, -EINVAL },	      { 30 * K, K + 1, 3, -EINVAL },
		{ 30 * K, 8, 3, -EINVAL },	      { 30 * K, K, 0x10, -EINVAL },
		{ 30 * K, K, 0x80000003, -EINVAL },   { 30 * K, K, 8, -EINVAL },
		{ 0 - K, K, 3, -EINVAL },	      { 0 - K, 2 * K, 3, -EINVAL },
		{ 30 * K, 0 - K, 3, -EINVAL },	      { 0 - 2 * K, 0 - K, 3, -EINVAL },
		{ UINT64_C(1) << 62, UINT64_C(1) << 62, 3, 0 },
		{ 30 * K, K, 0, 0 },		      { 31 * K, K, 1, 0 },
		{ 32 * K, K, 2, 0 },		      { 33 * K, K, 7, 0 },
	};
	static const struct {
		uint64_t gpa, len;
		uint32_t flags;
		int answer;
	} unmaps[] = {
		{ 11 * K, 9 * K, 0, -ENOENT }, { 10 * K, 9 * K, 0, -ENOENT },
		{ 10 * K, 11 * K, 0, -ENOENT }, { 9 * K, 11 * K, 0, -ENOENT },
		{ 0, 0, 0, -ENOENT },	       { 10 * K, 0, 0, -ENOENT },
		{ 40 * K, K, 0, -ENOENT },     { 10 * K, 10 * K, 1, -EINVAL },
		{ 10 * K, 10 * K, 4, -EINVAL }, { 10 * K, 10 * K, 2, -EINVAL },
		{ 0, K, 2, -EINVAL },	       { 10 * K, 10 * K, 0, 24 },
		{ 10 * K, 10 * K, 0, -ENOENT }, { 0, 0, 2, 24 },
		{ 9 * K, K, 0, -ENOENT },      { 0, 0, 2, 24 },
	};
	static struct peer p;

	start(&p, 0);
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		cr_expect_eq(peer_map(&p, maps[i].gpa, maps[i].len, maps[i].flags, -1, 0),
			     maps[i].answer, "map %zu", i);
	cr_expect_eq(fph_vfio_user_server_mem(p.server)->count, 8u);
	cr_expect_eq(fph_mem_check(fph_vfio_user_server_mem(p.server)), 0);
	for (size_t i = 0; i < sizeof(unmaps) / sizeof(unmaps[0]); i++) {
		struct vfio_dma_unmap u = { 24, unmaps[i].flags, unmaps[i].gpa, unmaps[i].len };

		cr_expect_eq(peer_ask(&p, VFIO_DMA_UNMAP, &u, sizeof(u), NULL, 0),
			     unmaps[i].answer, "unmap %zu", i);
	}
	cr_expect_eq(fph_vfio_user_server_mem(p.server)->count, 0u);
	cr_expect_eq(peer_stats(&p).maps, 8u);
	cr_expect_eq(peer_stats(&p).unmaps, 8u);
	peer_close(&p);
}

Test(memory, has_room_for_as_many_areas_as_told)
{
	static struct peer p;

	start(&p, 0);
	/* from the top, from the bottom, into the middle */
	for (uint64_t i = 0; i < VFIO_MAPS_MAX; i++)
		cr_assert_eq(peer_map(&p, (i % 2 ? i : 5000 - i) * K, K, 3, -1, 0), 0);
	cr_expect_eq(peer_map(&p, 9000 * K, K, 3, -1, 0), -ENOSPC);
	cr_expect_eq(fph_vfio_user_server_mem(p.server)->count, VFIO_MAPS_MAX);
	cr_expect_eq(peer_unmap(&p, 1 * K, K), 0);
	cr_expect_eq(peer_map(&p, 9000 * K, K, 3, -1, 0), 0);
	peer_close(&p);
}

/* The embedder's view, and where the files are. */
Test(memory, is_shown_as_the_client_gave_it)
{
	static struct peer p;
	const struct fph_mem *mem;
	uint64_t offset;
	struct stat a, b;
	int fd;

	start(&p, 0);
	cr_assert_eq(peer_map(&p, 8 * K, 2 * K, 3, p.file, 4 * K), 0);
	cr_assert_eq(peer_map(&p, 2 * K, K, 3, -1, 7 * K), 0);
	cr_assert_eq(peer_map(&p, 4 * K, K, 1, p.file, 0), 0);
	mem = fph_vfio_user_server_mem(p.server);
	cr_assert_eq(mem->count, 3u);
	cr_expect_null(mem->regions[0].hva);
	cr_expect_eq(mem->regions[0].flags, 0u);
	cr_expect_eq(mem->regions[1].flags, FPH_REGION_READONLY);
	cr_expect_eq(mem->regions[2].gpa, 8 * K);
	cr_expect_eq(mem->regions[2].len, 2 * K);
	memcpy(p.ram + 4 * K, "here", 5);
	cr_expect_str_eq((char *)mem->regions[2].hva, "here");
	cr_expect_eq(fph_vfio_user_server_region_file(p.server, 0, &fd, &offset), -ENOENT);
	cr_assert_eq(fph_vfio_user_server_region_file(p.server, 2, &fd, &offset), 0);
	cr_expect_eq(offset, 4 * K);
	cr_assert_eq(fstat(fd, &a), 0);
	cr_assert_eq(fstat(p.file, &b), 0);
	cr_expect_eq(a.st_ino, b.st_ino);
	cr_expect_eq(fph_vfio_user_server_region_file(p.server, 3, &fd, &offset), -EINVAL);
	peer_close(&p);
}

/* #79 */
Test(memory, that_may_shrink_is_not_touched_if_that_is_wanted)
{
	static struct peer p;
	int sealed;

	start(&p, FPH_VFIO_USER_SEALED);
	sealed = make_memfd("fph-sealed", 16 * K);
	cr_assert_eq(fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	cr_assert_eq(peer_map(&p, 0, 16 * K, 3, p.file, 0), 0);
	cr_assert_eq(peer_map(&p, 16 * K, 16 * K, 3, sealed, 0), 0);
	cr_expect_null(fph_vfio_user_server_mem(p.server)->regions[0].hva);
	cr_expect_not_null(fph_vfio_user_server_mem(p.server)->regions[1].hva);
	close(sealed);
	peer_close(&p);
}

/* ------------------------------------------------------------ at random */

#define SLOTS 48u /* pages of the address space that is played in */

struct model {
	uint8_t owner[SLOTS]; /* 0: nobody, else 1 + the first page of the area */
	bool with_fd[SLOTS];  /* by the first page */
};

static int model_map(struct model *m, unsigned at, unsigned n, bool with_fd)
{
	for (unsigned i = at; i < at + n; i++)
		if (m->owner[i])
			return -EEXIST;
	memset(m->owner + at, (int)(at + 1), n);
	m->with_fd[at] = with_fd;
	return 0;
}

static int model_unmap(struct model *m, unsigned at, unsigned n)
{
	if (n == 0 || at + n > SLOTS || m->owner[at] != at + 1)
		return -ENOENT;
	for (unsigned i = at; i < at + n; i++)
		if (m->owner[i] != at + 1)
			return -ENOENT;
	if (at + n < SLOTS && m->owner[at + n] == at + 1)
		return -ENOENT;
	memset(m->owner + at, 0, n);
	return 0;
}

static void compare(struct peer *p, const struct model *m, unsigned fds, unsigned step)
{
	const struct fph_mem *mem = fph_vfio_user_server_mem(p->server);
	unsigned areas = 0, files = 0;
	uint64_t bytes = RAM_BYTES;

	for (unsigned i = 0; i < SLOTS; i++) {
		if (m->owner[i] != i + 1)
			continue;
		cr_assert(areas < mem->count);
		cr_assert_eq(mem->regions[areas].gpa, i * K);
		cr_assert_eq(mem->regions[areas].hva != NULL, m->with_fd[i]);
		if (m->with_fd[i])
			cr_assert_eq(memcmp(mem->regions[areas].hva, p->ram + i * K, 8), 0);
		files += m->with_fd[i];
		bytes += m->with_fd[i] ? mem->regions[areas].len : 0;
		areas++;
	}
	cr_assert_eq(mem->count, areas, "step %u", step);
	cr_assert_eq(fph_mem_check(mem), 0);
	if (step % 100)
		return;
	cr_assert_eq(count_fds(), fds + files, "step %u", step);
	cr_assert_eq(mapped_bytes("fph-peer"), bytes, "step %u", step);
}

Test(memory, is_what_a_simple_model_says_in_ten_thousand_steps)
{
	static struct peer p;
	struct model m = { 0 };
	unsigned fds;

	start(&p, 0);
	for (unsigned i = 0; i < SLOTS; i++)
		memset(p.ram + i * K, (int)(i + 1), 8);
	fds = count_fds();
	srand(11);
	for (unsigned step = 0; step < 10000; step++) {
		unsigned at = (unsigned)rand() % SLOTS, n = 1 + (unsigned)rand() % 6;
		bool with_fd = rand() % 2;

		if (at + n > SLOTS)
			n = SLOTS - at;
		if (rand() % 500 == 0) {
			struct vfio_dma_unmap all = { 24, VFIO_UNMAP_ALL, 0, 0 };

			cr_assert_eq(peer_ask(&p, VFIO_DMA_UNMAP, &all, 24, NULL, 0), 24);
			memset(&m, 0, sizeof(m));
		} else if (rand() % 2) {
			cr_assert_eq(peer_map(&p, at * K, n * K, 3, with_fd ? p.file : -1, at * K),
				     model_map(&m, at, n, with_fd));
		} else {
			cr_assert_eq(peer_unmap(&p, at * K, n * K), model_unmap(&m, at, n));
		}
		compare(&p, &m, fds, step);
	}
	peer_hang_up(&p);
	cr_expect_eq(count_fds(), fds - 3);
	cr_expect_eq(mapped_bytes("fph-peer"), RAM_BYTES);
	peer_close(&p);
}

/* ------------------------------------------------------------ under a driver */

static void expect_stopped(struct peer *p)
{
	cr_expect_eq(fph_device_fault(p->device)->rule, FPH_RULE_NONE);
	cr_expect_eq(fph_device_start(p->device), -ENOTCONN);
}

/* #81: a ring that loses its memory, whole or a part of it, or may not be written. */
Test(memory, of_a_ring_comes_and_goes)
{
	static struct peer p;

	peer_start(&p, 0, NULL, true);
	peer_take_interrupts(&p);
	cr_assert_eq(peer_attach(&p), 0);
	peer_round(&p);
	peer_hint(&p, 0, 4);
	cr_assert_eq(peer_unmap(&p, RAM_GPA, RAM_BYTES), 0);
	expect_stopped(&p);
	/* a part */
	cr_assert_eq(peer_map(&p, RAM_GPA + K, RAM_BYTES - K, 3, p.file, K), 0);
	expect_stopped(&p);
	/* all of it, not to be written */
	cr_assert_eq(peer_map(&p, RAM_GPA, K, 1, p.file, 0), 0);
	expect_stopped(&p);
	cr_assert_eq(peer_unmap(&p, RAM_GPA, K), 0);
	cr_assert_eq(peer_unmap(&p, RAM_GPA + K, RAM_BYTES - K), 0);
	cr_assert_eq(peer_map(&p, RAM_GPA, RAM_BYTES, 3, p.file, 0), 0);
	/* What the driver had made available is there, of a round that is over. */
	peer_expect_hints(&p, 0, 0);
	cr_expect_eq(fph_device_fault(p.device)->rule, FPH_RULE_NONE);
	peer_close(&p);
}

/* The hook comes before the answer: so the embedder let go before the client goes on. */
static struct peer *watched;
static unsigned early;

static void look_for_answer(void *ctx)
{
	char byte;

	(void)ctx;
	if (watched->sock >= 0 && recv(watched->sock, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0)
		early++;
	watched->changed++;
}

Test(memory, changes_are_told_before_they_are_answered)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;
	static struct fph_vfio_user_server *server;
	static struct peer p;
	int pair[2];

	peer_serve(&p, 0, NULL);
	o.loop = p.loop;
	o.changed = look_for_answer;
	cr_assert_eq(fph_vfio_user_server_open(&server, &o), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	cr_assert_eq(fph_vfio_user_server_adopt(server, pair[0]), 0);
	p.sock = pair[1];
	watched = &p;
	cr_assert(peer_version(&p) > 0);
	cr_assert_eq(peer_map(&p, RAM_GPA, RAM_BYTES, 3, p.file, 0), 0);
	cr_expect_eq(p.changed, 1u);
	cr_assert_eq(peer_unmap(&p, RAM_GPA, RAM_BYTES), 0);
	cr_expect_eq(p.changed, 2u);
	cr_assert_eq(peer_unmap(&p, RAM_GPA, RAM_BYTES), -ENOENT);
	cr_expect_eq(p.changed, 2u, "nothing did");
	cr_assert_eq(peer_ask(&p, VFIO_DEVICE_RESET, NULL, 0, NULL, 0), 0);
	cr_expect_eq(p.changed, 3u);
	cr_expect_eq(early, 0u);
	close(p.sock);
	p.sock = -1;
	fph_vfio_user_server_close(server);
	peer_close(&p);
}
