/* SPDX-License-Identifier: MIT */
#include "memory.h"
#include "steps.h"

#include <errno.h>
#include <fcntl.h>
#include <fph/guest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION_MAX ((UINT64_C(1) << 40) - 1)

bool layout_of(struct layout *layout, uint64_t bytes)
{
	uint64_t pages = bytes / PAGE;

	if (bytes < MEMORY_MIN || bytes > MEMORY_MAX || bytes % PAGE)
		return false;
	layout->pages = pages;
	layout->log = CONTROL_PAGE + 1;
	layout->ring = layout->log + (pages + PAGE * 8 - 1) / (PAGE * 8);
	layout->table = layout->ring + (fph_guest_ring_bytes(RING_SIZE) + PAGE - 1) / PAGE;
	layout->first = layout->table + (pages * 8 + PAGE - 1) / PAGE;
	return true;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static uint64_t seed_of(uint64_t page, uint64_t version)
{
	return mix(mix(page + 1) + version);
}

static uint64_t word_at(uint64_t seed, unsigned i)
{
	return (seed + i) * UINT64_C(0x9e3779b97f4a7c15);
}

uint64_t word_of(uint64_t page, enum page_state state, uint64_t version)
{
	uint64_t sum = seed_of(page, version * 8 + state) & 0xffff;

	return (version & VERSION_MAX) << 24 | sum << 8 | state;
}

unsigned word_read(uint64_t page, uint64_t word, uint64_t *version)
{
	unsigned state = word & 0xff;

	*version = word >> 24;
	if (state < PAGE_FREE || state > PAGE_HELD)
		return 0;
	return word == word_of(page, (enum page_state)state, *version) ? state : 0;
}

void content_fill(void *to, uint64_t page, uint64_t version, unsigned at, unsigned end)
{
	uint64_t *word = to, seed = seed_of(page, version);

	for (; at < end; at++)
		word[at] = word_at(seed, at);
}

bool content_is(const void *at, uint64_t page, uint64_t version)
{
	const uint64_t *word = at;
	uint64_t seed = seed_of(page, version), wrong = 0;

	for (unsigned i = 0; i < PAGE_WORDS; i++)
		wrong |= word[i] ^ word_at(seed, i);
	return !wrong;
}

/* ------------------------------------------------------------ the mapping */

int memory_create(uint64_t bytes)
{
	int fd = memfd_create("fph-agent", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int memory_open(struct memory *mem, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *map;

	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return seals < 0 && errno == EBADF ? -EBADF : -EPERM;
	if (fstat(fd, &st))
		return -errno;
	if (st.st_size < 0 || !layout_of(&mem->layout, (uint64_t)st.st_size))
		return -EINVAL;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	mem->bytes = map;
	mem->fd = fd;
	return 0;
}

void memory_close(struct memory *mem)
{
	if (!mem->bytes)
		return;
	munmap(mem->bytes, mem->layout.pages * PAGE);
	close(mem->fd);
	mem->bytes = NULL;
}

void *memory_page(const struct memory *mem, uint64_t page)
{
	return mem->bytes + page * PAGE;
}

struct header *memory_header(const struct memory *mem)
{
	return memory_page(mem, HEADER_PAGE);
}

struct control *memory_control(const struct memory *mem)
{
	return memory_page(mem, CONTROL_PAGE);
}

/* ------------------------------------------------------------ writes */

static uint64_t *table(const struct memory *mem)
{
	return memory_page(mem, mem->layout.table);
}

void memory_mark(struct memory *mem, uint64_t page)
{
	uint64_t *log = memory_page(mem, mem->layout.log);

	/* Release: whoever takes the bit sees the write, or a bit that is set later. */
	__atomic_fetch_or(&log[page / 64], UINT64_C(1) << (page % 64), __ATOMIC_RELEASE);
}

unsigned memory_state(const struct memory *mem, uint64_t page, uint64_t *version)
{
	return word_read(page, __atomic_load_n(&table(mem)[page], __ATOMIC_RELAXED), version);
}

void memory_set_state(struct memory *mem, uint64_t page, enum page_state state,
		      uint64_t version)
{
	/*
	 * A killed process leaves behind what its instructions stored, in their order;
	 * the fences keep the compiler from another one.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&table(mem)[page], word_of(page, state, version), __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	memory_mark(mem, mem->layout.table + page * 8 / PAGE);
}

void memory_write(struct memory *mem, uint64_t page, uint64_t version)
{
	void *at = memory_page(mem, page);

	memory_set_state(mem, page, PAGE_WRITING, version);
	content_fill(at, page, version, 0, PAGE_WORDS / 2);
	step(AGENT_WRITING);
	content_fill(at, page, version, PAGE_WORDS / 2, PAGE_WORDS);
	step(AGENT_WRITTEN);
	memory_mark(mem, page);
	step(AGENT_LOGGED);
	memory_set_state(mem, page, PAGE_LIVE, version);
}

void memory_stamp(struct memory *mem, uint64_t ticket)
{
	struct header *header = memory_header(mem);
	uint64_t live = 0, versions = 0, version;

	for (uint64_t page = mem->layout.first; page < mem->layout.pages; page++)
		if (memory_state(mem, page, &version) == PAGE_LIVE) {
			live++;
			versions += version;
		}
	header->ticket = ticket;
	header->live = live;
	header->versions = versions;
	memory_mark(mem, HEADER_PAGE);
}

/* ------------------------------------------------------------ recovery */

/* Free memory is not empty: it is full of what was there before. */
static void lay_out(struct memory *mem)
{
	for (uint64_t page = mem->layout.first; page < mem->layout.pages; page++) {
		content_fill(memory_page(mem, page), page, 0, 0, PAGE_WORDS);
		memory_set_state(mem, page, PAGE_FREE, 0);
	}
	__atomic_store_n(&memory_header(mem)->magic, MAGIC, __ATOMIC_RELEASE);
	memory_mark(mem, HEADER_PAGE);
}

void memory_recover(struct memory *mem, struct recovery *recovery, void (*lost)(void *),
		    void *ctx)
{
	*recovery = (struct recovery){
		.fresh = __atomic_load_n(&memory_header(mem)->magic, __ATOMIC_ACQUIRE) != MAGIC,
	};
	if (recovery->fresh) {
		lay_out(mem);
		return;
	}
	for (uint64_t page = mem->layout.first; page < mem->layout.pages; page++) {
		uint64_t version;
		unsigned state = memory_state(mem, page, &version);

		if (state == PAGE_WRITING) {
			memory_write(mem, page, version);
			recovery->redone++;
		} else if (state == PAGE_HELD) {
			recovery->held++;
		} else if (state == PAGE_LIVE &&
			   content_is(memory_page(mem, page), page, version)) {
			recovery->verified++;
		} else if (state != PAGE_FREE) {
			recovery->lost++;
			lost(ctx);
			memory_set_state(mem, page, PAGE_FREE, version);
		}
	}
}

uint64_t memory_verify(const struct memory *mem, uint64_t *bad, uint64_t *held)
{
	uint64_t good = 0, version;

	*bad = *held = 0;
	for (uint64_t page = mem->layout.first; page < mem->layout.pages; page++) {
		unsigned state = memory_state(mem, page, &version);
		bool right = state == PAGE_LIVE &&
			     content_is(memory_page(mem, page), page, version);

		good += right;
		*held += state == PAGE_HELD;
		*bad += !right && state != PAGE_FREE && state != PAGE_HELD;
	}
	return good;
}
