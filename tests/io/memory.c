/* SPDX-License-Identifier: MIT */
#include "front.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

static int make_file(uint64_t size)
{
	int fd = memfd_create("fph-guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

static int set_table(struct front *front, const struct vu_region *regions, unsigned n,
		     const int *fds)
{
	struct vu_mem_table table = { .count = n };

	for (unsigned i = 0; i < n; i++)
		table.regions[i] = regions[i];
	return front_ask(front, VU_SET_MEM_TABLE, &table, 8 + 32 * n, fds, n);
}

static int change_slot(struct front *front, uint32_t request, struct vu_region region,
		       const int *fd)
{
	struct vu_mem_reg reg = { .region = region };

	return front_ask(front, request, &reg, sizeof(reg), fd, fd ? 1 : 0);
}

static void open_all(struct rig *rig, struct front *front, uint32_t flags)
{
	struct fph_vhost_user_opts o = FPH_VHOST_USER_OPTS_INIT;

	o.flags = flags;
	rig_open(rig, 0, &o);
	front_connect(front, rig);
	front->flags = FRONT_SLOTS;
	front_negotiate(front);
}

static void close_all(struct rig *rig, struct front *front)
{
	front_close(front);
	rig_close(rig);
}

static void expect_map(const struct rig *rig, const struct vu_region *regions, unsigned n)
{
	const struct fph_mem *mem = fph_vhost_user_mem(rig->vu);

	cr_assert_eq(mem->count, n);
	cr_assert_eq(fph_mem_check(mem), 0);
	for (unsigned i = 0; i < n; i++) {
		uint64_t offset = 1;
		int fd = -1;

		cr_assert_eq(mem->regions[i].gpa, regions[i].gpa);
		cr_assert_eq(mem->regions[i].len, regions[i].size);
		cr_assert_eq(mem->regions[i].flags, 0u);
		cr_assert_eq(fph_vhost_user_region_file(rig->vu, i, &fd, &offset), 0);
		cr_assert_eq(offset, regions[i].offset);
		cr_assert(fd >= 0);
	}
	cr_assert_eq(count_maps("fph-guest-ram"), n);
}

/* ------------------------------------------------------------ good tables */

Test(memory, regions_in_any_order_are_sorted_and_mapped_where_they_begin_in_their_files)
{
	const struct vu_region sorted[3] = {
		{ 0, MIB, 0x7f0000000000, 0 },
		{ 4 * MIB, MIB, 0x10000000, 2 * MIB + 4096 },
		{ UINT64_C(1) << 32, 3 * MIB, 0x7e0000000000, MIB + 48 + 4096 },
	};
	struct vu_region mixed[3] = { sorted[2], sorted[0], sorted[1] };
	struct rig rig;
	struct front front;
	int fds[3];

	mixed[0].gpa += 48; /* agree with the offset modulo 16 and no more */
	open_all(&rig, &front, 0);
	for (unsigned i = 0; i < 3; i++) {
		fds[i] = make_file(6 * MIB);
		cr_assert_eq(pwrite(fds[i], &(uint32_t){ i + 1 }, 4, (off_t)mixed[i].offset), 4);
	}
	cr_assert_eq(set_table(&front, mixed, 3, fds), 0);
	expect_map(&rig, (struct vu_region[]){ sorted[0], sorted[1], mixed[0] }, 3);
	for (unsigned i = 0; i < 3; i++) {
		const uint32_t *word = fph_mem_at(fph_vhost_user_mem(rig.vu), mixed[i].gpa, 4);

		cr_assert_not_null(word);
		cr_assert_eq(*word, i + 1);
	}
	cr_assert_null(fph_mem_at(fph_vhost_user_mem(rig.vu), 4 * MIB, MIB + 1));
	close_all(&rig, &front);
	cr_assert_eq(count_maps("fph-guest-ram"), 0u);
}

Test(memory, two_regions_of_one_file_and_as_many_as_there_is_room_for)
{
	struct vu_region regions[VU_REGIONS_MAX];
	struct rig rig;
	struct front front;
	int fds[VU_REGIONS_MAX], file = make_file(VU_REGIONS_MAX * 8192);

	open_all(&rig, &front, 0);
	for (unsigned i = 0; i < VU_REGIONS_MAX; i++) {
		regions[i] = (struct vu_region){ i * 65536, 4096, i * 65536, i * 8192 };
		fds[i] = file;
	}
	cr_assert_eq(set_table(&front, regions, VU_REGIONS_MAX, fds), 0);
	expect_map(&rig, regions, VU_REGIONS_MAX);
	/* One more has no room, and changes nothing. */
	cr_assert_eq(change_slot(&front, VU_ADD_MEM_REG,
				 (struct vu_region){ UINT64_C(1) << 40, 4096, 1 << 30, 0 }, &file),
		     1);
	expect_map(&rig, regions, VU_REGIONS_MAX);
	close_all(&rig, &front);
}

Test(memory, no_region_at_all_is_a_table_too)
{
	const struct vu_region region = { 0, MIB, 0, 0 };
	struct rig rig;
	struct front front;
	int file = make_file(MIB);
	unsigned before;

	open_all(&rig, &front, 0);
	before = count_fds();
	cr_assert_eq(set_table(&front, &region, 1, &file), 0);
	cr_assert_eq(set_table(&front, NULL, 0, NULL), 0);
	expect_map(&rig, NULL, 0);
	cr_assert_eq(count_fds(), before);
	close_all(&rig, &front);
}

Test(memory, up_to_the_last_byte_of_the_address_space_is_taken)
{
	const struct vu_region region = { UINT64_MAX - 65535, 65536, UINT64_MAX - 65535, 0 };
	struct rig rig;
	struct front front;
	int file = make_file(MIB);

	open_all(&rig, &front, 0);
	cr_assert_eq(set_table(&front, &region, 1, &file), 0);
	expect_map(&rig, &region, 1);
	close_all(&rig, &front);
}

Test(memory, of_huge_pages_is_mapped_if_the_machine_has_any)
{
	const struct vu_region region = { 0, 2 * MIB, 0, 0 };
	struct rig rig;
	struct front front;
	int file = memfd_create("fph-guest-ram", MFD_CLOEXEC | MFD_HUGETLB);

	/* Without huge pages to give, the kernel says so at mmap, and the answer is no. */
	open_all(&rig, &front, 0);
	cr_assert(file >= 0 && ftruncate(file, 2 * MIB) == 0);
	if (set_table(&front, &region, 1, &file) == 0)
		expect_map(&rig, &region, 1);
	else
		expect_map(&rig, NULL, 0);
	close_all(&rig, &front);
}

/* ------------------------------------------------------------ wrong tables */

/* #61, #62, #78, #80.  Two regions, of which the second is wrong.  Each file has 4 MiB. */
static const struct {
	struct vu_region region;
	const char *what;
} wrong[] = {
	{ { 8 * MIB, 0, 8 * MIB, 0 }, "empty" },
	{ { UINT64_MAX - 4095, 8192, 8 * MIB, 0 }, "gpa wraps" },
	{ { 8 * MIB, 8192, UINT64_MAX - 4095, 0 }, "user address wraps" },
	{ { 8 * MIB, 8192, 8 * MIB, UINT64_MAX - 4095 }, "offset wraps" },
	{ { 8 * MIB, UINT64_MAX, 8 * MIB, 0 }, "2^64 - 1 long" },
	{ { 0, UINT64_MAX, 8 * MIB, 0 }, "the whole address space" },
	{ { 8 * MIB, UINT64_C(1) << 63, 8 * MIB, 0 }, "2^63 long" },
	{ { 8 * MIB, 4 * MIB + 1, 8 * MIB, 0 }, "a byte past its file" },
	{ { 8 * MIB, 4096, 8 * MIB, 4 * MIB }, "behind its file" },
	{ { 8 * MIB, MIB, 8 * MIB, UINT64_C(1) << 62 }, "far behind its file" },
	{ { 8 * MIB + 8, MIB, 8 * MIB, 0 }, "gpa and offset disagree" },
	{ { 8 * MIB, MIB, 8 * MIB, 4 }, "offset and gpa disagree" },
	{ { 0, MIB, 8 * MIB, 0 }, "the same gpa" },
	{ { MIB - 4096, MIB, 8 * MIB, 0 }, "overlap at the end" },
	{ { MIB / 2, 4096, 8 * MIB, 0 }, "inside of the other" },
	{ { 8 * MIB, MIB, 0, 0 }, "the same user address" },
	{ { 8 * MIB, MIB, MIB - 16, 0 }, "user addresses overlap" },
};
#define WRONG (sizeof(wrong) / sizeof(wrong[0]))

ParameterizedTestParameters(memory, a_wrong_table_is_refused_and_changes_nothing)
{
	static size_t which[WRONG];

	for (size_t i = 0; i < WRONG; i++)
		which[i] = i;
	return cr_make_param_array(size_t, which, WRONG);
}

ParameterizedTest(size_t *which, memory, a_wrong_table_is_refused_and_changes_nothing)
{
	const struct vu_region good = { 0, MIB, 0, 0 }, kept = { 0, 2 * MIB, 0, 0 };
	const struct vu_region bad[2] = { good, wrong[*which].region };
	const struct vu_region dab[2] = { wrong[*which].region, good };
	struct rig rig;
	struct front front;
	int fds[2] = { make_file(4 * MIB), make_file(4 * MIB) };
	unsigned before;

	open_all(&rig, &front, 0);
	cr_assert_eq(set_table(&front, &kept, 1, fds), 0);
	before = count_fds();
	cr_assert_eq(set_table(&front, bad, 2, fds), 1, "%s", wrong[*which].what);
	cr_assert_eq(set_table(&front, dab, 2, fds), 1, "%s, first", wrong[*which].what);
	expect_map(&rig, &kept, 1);
	cr_assert_eq(count_fds(), before);

	cr_assert_eq(set_table(&front, &good, 1, fds), 0);
	cr_assert_eq(change_slot(&front, VU_ADD_MEM_REG, wrong[*which].region, &fds[1]), 1);
	expect_map(&rig, &good, 1);
	cr_assert_eq(count_fds(), before);
	close_all(&rig, &front);
}

/* #60, #61, #78 */
Test(memory, a_descriptor_that_cannot_be_mapped_is_refused)
{
	const struct vu_region region = { 0, 4096, 0, 0 };
	struct rig rig;
	struct front front;
	int fds[7], pair[2], pipes[2];
	unsigned before;
	char link[64];

	open_all(&rig, &front, 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	cr_assert_eq(pipe(pipes), 0);
	fds[0] = pair[0];
	fds[1] = pipes[0];
	fds[2] = open("/", O_RDONLY | O_DIRECTORY);
	fds[3] = open("/dev/zero", O_RDWR);
	fds[4] = open("/dev/null", O_RDWR);
	fds[5] = make_file(MIB); /* sealed against writing: cannot be mapped so */
	cr_assert_eq(fcntl(fds[5], F_ADD_SEALS, F_SEAL_WRITE), 0);
	fds[6] = make_file(MIB); /* open for reading only */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fds[6]);
	fds[6] = open(link, O_RDONLY);
	before = count_fds();
	for (unsigned i = 0; i < 7; i++) {
		cr_assert(fds[i] >= 0);
		cr_assert_eq(set_table(&front, &region, 1, &fds[i]), 1, "kind %u", i);
		cr_assert_eq(change_slot(&front, VU_ADD_MEM_REG, region, &fds[i]), 1, "kind %u", i);
	}
	cr_assert_eq(count_fds(), before);
	expect_map(&rig, NULL, 0);
	close_all(&rig, &front);
}

/* #61, #79: memory that may shrink under the mapping, and an embedder who does not trust that. */
Test(memory, that_may_shrink_is_refused_if_seals_are_wanted)
{
	const struct vu_region region = { 0, MIB, 0, 0 };
	struct rig rig;
	struct front front;
	int file = make_file(MIB), plain;
	char path[] = "/tmp/fph-io-ram-XXXXXX";

	open_all(&rig, &front, FPH_VHOST_USER_SEALED);
	plain = mkstemp(path);
	cr_assert(plain >= 0 && unlink(path) == 0 && ftruncate(plain, (off_t)MIB) == 0);
	cr_assert_eq(set_table(&front, &region, 1, &plain), 1);
	cr_assert_eq(set_table(&front, &region, 1, &file), 1);
	cr_assert_eq(fcntl(file, F_ADD_SEALS, F_SEAL_GROW), 0);
	cr_assert_eq(set_table(&front, &region, 1, &file), 1);
	cr_assert_eq(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	cr_assert_eq(set_table(&front, &region, 1, &file), 0);
	expect_map(&rig, &region, 1);
	close_all(&rig, &front);
}

/* As user-mode Linux has it: no memfd, no seals. */
Test(memory, of_a_plain_file_is_taken)
{
	const struct vu_region region = { 0, MIB, 0, 0 };
	char path[] = "/tmp/fph-guest-ram-XXXXXX";
	struct rig rig;
	struct front front;
	int plain;

	open_all(&rig, &front, 0);
	plain = mkstemp(path);
	cr_assert(plain >= 0 && unlink(path) == 0 && ftruncate(plain, (off_t)MIB) == 0);
	cr_assert_eq(set_table(&front, &region, 1, &plain), 0);
	expect_map(&rig, &region, 1);
	close_all(&rig, &front);
}

/* ------------------------------------------------------------ slots */

Test(memory, slots_come_and_go_and_the_others_stay_where_they_are)
{
	const struct vu_region a = { 0, MIB, 0, 0 }, b = { 2 * MIB, MIB, 2 * MIB, 0 },
			       c = { 4 * MIB, MIB, 4 * MIB, 2 * MIB };
	struct rig rig;
	struct front front;
	int file = make_file(4 * MIB);
	const void *where;
	unsigned before;

	open_all(&rig, &front, 0);
	before = count_fds();
	cr_assert_eq(change_slot(&front, VU_ADD_MEM_REG, c, &file), 0);
	where = fph_vhost_user_mem(rig.vu)->regions[0].hva;
	cr_assert_eq(change_slot(&front, VU_ADD_MEM_REG, a, &file), 0);
	cr_assert_eq(change_slot(&front, VU_ADD_MEM_REG, b, &file), 0);
	expect_map(&rig, (struct vu_region[]){ a, b, c }, 3);
	cr_assert_eq(fph_vhost_user_mem(rig.vu)->regions[2].hva, where);
	cr_assert_eq(count_fds(), before + 3);

	cr_assert_eq(change_slot(&front, VU_REM_MEM_REG, b, NULL), 0);
	expect_map(&rig, (struct vu_region[]){ a, c }, 2);
	/* One that brings a descriptor, as some front ends wrongly do. */
	cr_assert_eq(change_slot(&front, VU_REM_MEM_REG, a, &file), 0);
	expect_map(&rig, &c, 1);
	cr_assert_eq(fph_vhost_user_mem(rig.vu)->regions[0].hva, where);
	cr_assert_eq(change_slot(&front, VU_REM_MEM_REG, c, NULL), 0);
	expect_map(&rig, NULL, 0);
	cr_assert_eq(count_fds(), before);
	close_all(&rig, &front);
}

/* #63: not mapped, a part, another size, another user address. */
Test(memory, a_slot_that_is_not_there_is_not_removed)
{
	const struct vu_region a = { 0, MIB, 0, 0 };
	struct vu_region r;
	struct rig rig;
	struct front front;
	int file = make_file(4 * MIB);

	open_all(&rig, &front, 0);
	cr_assert_eq(change_slot(&front, VU_REM_MEM_REG, a, NULL), 1);
	cr_assert_eq(change_slot(&front, VU_ADD_MEM_REG, a, &file), 0);
	r = a, r.gpa = 4096;
	cr_assert_eq(change_slot(&front, VU_REM_MEM_REG, r, NULL), 1);
	r = a, r.size = MIB / 2;
	cr_assert_eq(change_slot(&front, VU_REM_MEM_REG, r, NULL), 1);
	r = a, r.user = 4096;
	cr_assert_eq(change_slot(&front, VU_REM_MEM_REG, r, NULL), 1);
	expect_map(&rig, &a, 1);
	r = a, r.offset = 77; /* which the specification says to ignore */
	cr_assert_eq(change_slot(&front, VU_REM_MEM_REG, r, NULL), 0);
	cr_assert_eq(change_slot(&front, VU_REM_MEM_REG, a, NULL), 1);
	close_all(&rig, &front);
}

Test(memory, a_table_replaces_all_slots)
{
	const struct vu_region a = { 0, MIB, 0, 0 }, b = { 2 * MIB, MIB, 2 * MIB, 0 };
	struct rig rig;
	struct front front;
	int file = make_file(4 * MIB);
	unsigned before;

	open_all(&rig, &front, 0);
	cr_assert_eq(change_slot(&front, VU_ADD_MEM_REG, a, &file), 0);
	before = count_fds();
	cr_assert_eq(change_slot(&front, VU_ADD_MEM_REG, b, &file), 0);
	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(set_table(&front, i % 2 ? &a : &b, 1, &file), 0);
		expect_map(&rig, i % 2 ? &a : &b, 1);
		cr_assert_eq(count_fds(), before);
	}
	close_all(&rig, &front);
}
