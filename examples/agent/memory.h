/* SPDX-License-Identifier: MIT */
#ifndef AGENT_MEMORY_H
#define AGENT_MEMORY_H

#include <fph/types.h>

/*
 * The memory that an agent owns, a sealed memfd that outlives it, and how it is laid
 * out.  Everything follows from its size alone, so the VMM takes nobody's word for it:
 *
 *	header | control | dirty log | rings | table | data pages
 *
 * The table has one word a data page: state, version and a checksum.  What a page
 * holds is a function of its number and version.  So whoever has table and pages, the
 * next agent or the holder of a copy, can say of every page whether it is right.
 */
#define PAGE 4096u
#define BASE                                                                             \
	UINT64_C(0x100000000) /* gpa of the first page; not 0, to tell it from an offset \
			       */
#define RING_SIZE  256u
#define MEMORY_MIN (UINT64_C(4) << 20)
#define MEMORY_MAX (UINT64_C(16) << 30)

/* In pages, from the start. */
struct layout {
	uint64_t pages; /* all */
	uint64_t log;
	uint64_t ring;
	uint64_t table;
	uint64_t first; /* data page */
};

#define HEADER_PAGE  0u
#define CONTROL_PAGE 1u

/* False if memory of that size has no layout. */
bool layout_of(struct layout *layout, uint64_t bytes);

/* What the agent writes when it pauses; a copy is of that moment. */
struct header {
	uint64_t magic;	 /* written last of all when the memory is made */
	uint64_t ticket; /* the request that it paused for */
	uint64_t live;
	uint64_t versions; /* sum over the live pages */
};
#define MAGIC UINT64_C(0x31746e6567616870)

/* The mailbox: one writer a word, each on a cache line of its own. */
struct control {
	uint32_t request; /* the VMM's: 0, or a ticket: pause */
	uint32_t pad_[15];
	uint32_t answer; /* the agent's: the ticket that it is paused for, or 0 */
};

enum page_state { PAGE_FREE = 1, PAGE_WRITING, PAGE_LIVE, PAGE_HELD };

/* A word of the table.  No state looks like memory that was never written. */
uint64_t word_of(uint64_t page, enum page_state state, uint64_t version);
/* Returns the state and fills *version, or 0: the word is none for this page. */
unsigned word_read(uint64_t page, uint64_t word, uint64_t *version);

/* Write the content of (page, version) to a page, from word `at` to before word `end`. */
void content_fill(void *to, uint64_t page, uint64_t version, unsigned at, unsigned end);
bool content_is(const void *at, uint64_t page, uint64_t version);
#define PAGE_WORDS (PAGE / 8u)

struct memory {
	struct layout layout;
	unsigned char *bytes;
	int fd;
};

/* A sealed memfd.  Returns it or a negative errno. */
int memory_create(uint64_t bytes);
/*
 * Map it.  Returns 0; -EPERM (no memfd, or without the seal), -EINVAL (a size with no
 * layout), or another errno.  fd is owned by *mem from then on.
 */
int memory_open(struct memory *mem, int fd);
void memory_close(struct memory *mem);

struct header *memory_header(const struct memory *mem);
struct control *memory_control(const struct memory *mem);
void *memory_page(const struct memory *mem, uint64_t page);

/* State and version of a data page by the table; 0: the word is broken. */
unsigned memory_state(const struct memory *mem, uint64_t page, uint64_t *version);
void memory_set_state(struct memory *mem, uint64_t page, enum page_state state,
		      uint64_t version);
/* To the dirty log; after the write that it tells of. */
void memory_mark(struct memory *mem, uint64_t page);
/* Write a version of a page, so that a kill at any instruction can be mended. */
void memory_write(struct memory *mem, uint64_t page, uint64_t version);

struct recovery {
	bool fresh;	   /* nobody had used the memory: it was laid out */
	uint64_t verified; /* live pages that hold what they should */
	uint64_t lost;	   /* and those that do not, or have no word */
	uint64_t redone;   /* a write had been cut short */
	uint64_t held;	   /* hinted by the life before: out of use until that is over */
};

/*
 * Lay out new memory, or mend and verify what the life before left.  May be killed, too.
 * lost: called for each page that is lost, before the table forgets it.
 */
void memory_recover(struct memory *mem, struct recovery *recovery, void (*lost)(void *),
		    void *ctx);
/* Look at every live page.  Returns how many are right; counts the others and held ones. */
uint64_t memory_verify(const struct memory *mem, uint64_t *bad, uint64_t *held);
/* Fill the header for a pause. */
void memory_stamp(struct memory *mem, uint64_t ticket);

#endif
