/* SPDX-License-Identifier: MIT */
#ifndef SOAK_SOAK_H
#define SOAK_SOAK_H

#include <fph/types.h>
#include <sys/types.h>

/*
 * What the parent and its two children share.  Guest memory is one sealed memfd with
 * holes: region i begins at i * STRIDE in the file, and as far behind BASE in guest-physical
 * memory.  A frame is a page number counted from BASE; those in holes are never used.
 */
#define PAGE	     4096u
#define BASE	     UINT64_C(0x100000000)
#define REGIONS	     4u
#define REGION_PAGES 256u
#define REGION_BYTES (REGION_PAGES * PAGE)
#define STRIDE_PAGES (2u * REGION_PAGES)
#define STRIDE_BYTES (STRIDE_PAGES * PAGE)
#define FRAMES	     (REGIONS * STRIDE_PAGES)
#define FILE_BYTES   ((size_t)FRAMES * PAGE)

/* Rings stand first in region 0, which is always there. */
#define RING_MAX   512u
#define RING_PAGES 16u

enum side { GUEST, DEVICE };

/* The ways to see it fail. */
enum fault { FAULT_NONE, FAULT_STOP, FAULT_LATE, FAULT_REUSE };

/*
 * The ghost: of each page, what its owner wrote last, and under which id it was given up.
 * It lies outside of guest memory, so nothing that goes wrong there reaches it.
 */
enum page_state { PAGE_FREE, PAGE_WRITING, PAGE_USED, PAGE_HELD };

struct ghost {
	uint64_t word[FRAMES]; /* version << 8 | enum page_state */
	uint32_t given[FRAMES];
	uint64_t log[FRAMES / 64]; /* written pages, as a hypervisor would know them */
};

/* One writer each, but for the violations; read by the parent. */
struct board {
	/* steering */
	uint32_t end;	  /* parent: leave in good order */
	uint32_t request; /* device: 0, or a ticket: the guest is to pause */
	uint32_t answer;  /* guest: the ticket that it is paused for */
	uint32_t plugged; /* guest: a bit a region */
	uint32_t hold;	  /* guest: it reuses no page before its buffer came back */
	uint32_t last_id; /* device: the saved state */

	/* guest */
	uint64_t connections, attached, resets, queue_resets, map_changes;
	uint64_t operations, freed_after_death, redone, ring_full;
	/* device */
	uint64_t servers, migrations, given_up, cancelled, rounds, hints, stops;
	uint64_t left_out, copied, verified, scribbled;
	/* either */
	uint64_t closes[2]; /* when a side had nothing open, and was compared with itself */
	uint64_t fds[2], rss_kib[2]; /* and had then */
	uint64_t violations;
	uint64_t leaks;
};

struct soak {
	const char *transport;
	bool vhost_user;
	enum fault fault;
	uint64_t seed;
	uint64_t seconds;
	char socket[96];
	struct board *board;
	struct ghost *ghost;
	int memory_fd;
	unsigned char *memory; /* all of it */
};

/* ------------------------------------------------------------ small things */

struct rng {
	uint64_t state;
};
struct rng rng_make(uint64_t seed, uint64_t stream);
uint64_t below(struct rng *rng, uint64_t n);
/* True once in n times. */
bool once_in(struct rng *rng, uint64_t n);

uint64_t now_ns(void);
#define MS UINT64_C(1000000)

void count(uint64_t *counter, uint64_t n);
/* Say what was broken; the first few of a run only, but all are counted. */
__attribute__((format(printf, 2, 3))) void violation(struct board *board, const char *format, ...);

/* ------------------------------------------------------------ pages */

bool frame_is_real(uint64_t frame);
static inline uint64_t gpa_of(uint64_t frame)
{
	return BASE + frame * PAGE;
}

void content_fill(void *at, uint64_t frame, uint64_t version);
bool content_is(const void *at, uint64_t frame, uint64_t version);

enum page_state ghost_state(const struct ghost *ghost, uint64_t frame);
uint64_t ghost_version(const struct ghost *ghost, uint64_t frame);
void ghost_set(struct ghost *ghost, uint64_t frame, enum page_state state, uint64_t version);
void ghost_mark(struct ghost *ghost, uint64_t frame);
/* Take and clear 64 bits of the log. */
uint64_t ghost_take(struct ghost *ghost, uint64_t word);

/* ------------------------------------------------------------ leaks */

/* What a process holds on to. */
struct holdings {
	bool known;
	unsigned fds, maps;
	size_t heap;
};

unsigned count_fds(pid_t pid);
size_t rss_kib(pid_t pid);
/*
 * To be called where nothing of the library's is open: more than the first time is a leak.
 * The heap is compared to the byte, so malloc() must keep no cache (see main.c).
 */
void holdings_check(struct holdings *first, struct board *board, enum side side);

/* ------------------------------------------------------------ the processes */

/* One life of a side; both return an exit status. */
int guest_life(struct soak *soak, uint64_t life);
int device_life(struct soak *soak, uint64_t life);

#endif
