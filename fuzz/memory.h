/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_MEMORY_H
#define FUZZ_MEMORY_H

#include "ops.h"
#include <fph/mem.h>

/*
 * Guest memory for the device target: small, with all that a range can run into.
 *
 *	LOW	mapped; the rings stand here
 *	MID	mapped; ends in the midst of a page, where NEXT begins
 *	NEXT	mapped
 *	ROM	mapped, read-only
 *	FAR	known and not mapped
 *	TOP	mapped; its last byte is the last of the address space
 *
 * All bytes stand in one block with guards between, and are kept twice: `shadow` holds
 * what they must be, so that a write by the device is seen.
 */
enum { LOW, MID, NEXT, ROM, FAR, TOP, REGIONS };

#define LOW_GPA	 UINT64_C(0x10000)
#define LOW_LEN	 UINT64_C(0x3000)
#define MID_GPA	 UINT64_C(0x40000)
#define MID_LEN	 UINT64_C(0x1800)
#define NEXT_LEN UINT64_C(0x1800)
#define ROM_LEN	 UINT64_C(0x1000)
#define FAR_GPA	 UINT64_C(0x100000000)
#define FAR_LEN	 UINT64_C(0x1000000000)
#define TOP_LEN	 UINT64_C(0x1000)

/* All maps hold LOW's rings but the last two: a shorter LOW, and none. */
#define MAPS 5u

void memory_reset(void);

/* One of the maps; 0 is all of it. */
const struct fph_mem *memory_map(unsigned which);

/* An address that is worth a try, of 3 bytes of input. */
uint64_t memory_address(struct input *in);

/* The driver's writes: `len` bytes at gpa, ignored where nothing is mapped. */
void memory_store(uint64_t gpa, const void *bytes, uint32_t len);
void memory_store16(uint64_t gpa, uint16_t v);
void memory_store32(uint64_t gpa, uint32_t v);
void memory_store64(uint64_t gpa, uint64_t v);
uint16_t memory_load16(uint64_t gpa);

/* From here on [gpa, gpa + len) is as the device left it. */
void memory_allow(uint64_t gpa, uint64_t len);
/* Nothing changed but what was stored, or allowed. */
void memory_check(void);

#endif
