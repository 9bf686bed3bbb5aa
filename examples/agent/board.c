/* SPDX-License-Identifier: MIT */
#include "board.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int board_create(void)
{
	int fd = memfd_create("fph-agent-board", MFD_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, sizeof(struct board)) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

struct board *board_open(int fd)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *map = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, flags, fd, 0);

	return map == MAP_FAILED ? NULL : map;
}

void board_close(struct board *board)
{
	if (board)
		munmap(board, sizeof(*board));
}

uint64_t board_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void board_count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

uint64_t board_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

void board_killed(struct board *board, enum side side)
{
	if (board)
		__atomic_store_n(&board->killed_at[side], board_now(), __ATOMIC_RELEASE);
}

static uint64_t other_killed_at(struct board *board, enum side side)
{
	enum side other = side == SIDE_AGENT ? SIDE_VMM : SIDE_AGENT;

	return __atomic_exchange_n(&board->killed_at[other], 0, __ATOMIC_ACQ_REL);
}

void board_met(struct board *board, enum side side)
{
	other_killed_at(board, side);
}

void board_noticed(struct board *board, enum side side)
{
	uint64_t at = other_killed_at(board, side);
	uint64_t ns = board_now() - at;

	/* Gone, but nobody was killed: it left of its own accord. */
	if (!at)
		return;
	if (ns > board_read(&board->notice_ns[side]))
		__atomic_store_n(&board->notice_ns[side], ns, __ATOMIC_RELEASE);
	board_count(&board->noticed[side], 1);
}

void board_add(struct board *board, int kind, const struct totals *one)
{
	uint64_t now = board_read(&board->current) & 1;
	struct tally *next = &board->tally[!now];
	struct totals *sum = &next->kinds[kind];

	*next = board->tally[now];
	sum->snapshots++;
	sum->rounds += one->rounds;
	sum->pages += one->pages;
	sum->marked += one->marked;
	sum->copied += one->copied;
	sum->skipped += one->skipped;
	sum->hints += one->hints;
	sum->hinted += one->hinted;
	sum->bytes += one->bytes;
	sum->checked += one->checked;
	sum->ns += one->ns;
	sum->paused_ns += one->paused_ns;
	__atomic_store_n(&board->current, !now, __ATOMIC_RELEASE);
}

struct tally board_tally(const struct board *board)
{
	return board->tally[board_read(&board->current) & 1];
}
