/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_RAM_H
#define SUPPORT_RAM_H

#include <fph/mem.h>

/*
 * Guest memory with everything a hint can run into.  Each region is an allocation
 * of its own, so that a sanitizer sees a step across their ends.
 *
 *	LOW	mapped; the rings stand here
 *	hole	RAM_HOLE up to HIGH
 *	HIGH	mapped; the pages that tests hint
 *	NEXT	mapped; begins where HIGH ends, elsewhere in this process
 *	ROM	mapped, read-only; begins where NEXT ends
 *	FAR	known and not mapped here, above 4 GiB
 *	TOP	mapped; its last byte is the last of the address space
 */
#define RAM_LOW	     UINT64_C(0x100000)
#define RAM_LOW_LEN  UINT64_C(0x100000)
#define RAM_HOLE     (RAM_LOW + RAM_LOW_LEN)
#define RAM_HIGH     UINT64_C(0x300000)
#define RAM_HIGH_LEN UINT64_C(0x100000)
#define RAM_NEXT     (RAM_HIGH + RAM_HIGH_LEN)
#define RAM_NEXT_LEN UINT64_C(0x80000)
#define RAM_ROM	     (RAM_NEXT + RAM_NEXT_LEN)
#define RAM_ROM_LEN  UINT64_C(0x10000)
#define RAM_FAR	     UINT64_C(0x100000000)
#define RAM_FAR_LEN  UINT64_C(0x1000000000)
#define RAM_TOP_LEN  UINT64_C(0x10000)
#define RAM_TOP	     (0 - RAM_TOP_LEN)

enum ram_region { LOW, HIGH, NEXT, ROM, FAR, TOP, RAM_REGIONS };

struct ram {
	struct fph_region regions[RAM_REGIONS];
	struct fph_mem mem; /* all of them */
};

/*
 * Allocate all regions, filled with a pattern; *ram is zero, or what this made before.
 * Freed with the process.
 */
void ram_init(struct ram *ram);

/* The bytes at gpa; the test stops if they are not mapped. */
unsigned char *ram_at(const struct ram *ram, uint64_t gpa, uint64_t len);

uint16_t ram_ld16(const struct ram *ram, uint64_t gpa);
uint32_t ram_ld32(const struct ram *ram, uint64_t gpa);
uint64_t ram_ld64(const struct ram *ram, uint64_t gpa);
void ram_st16(struct ram *ram, uint64_t gpa, uint16_t v);
void ram_st32(struct ram *ram, uint64_t gpa, uint32_t v);
void ram_st64(struct ram *ram, uint64_t gpa, uint64_t v);

/* Page i of HIGH, to hint it. */
struct fph_range ram_page(unsigned i);

/* Stop the test unless the pages of that range still hold their pattern. */
void ram_expect_untouched(const struct ram *ram, uint64_t gpa, uint64_t len);

#endif
