/* SPDX-License-Identifier: MIT */
#include "memory.h"
#include <string.h>

#define GUARD 64u
#define BYTES (LOW_LEN + MID_LEN + NEXT_LEN + ROM_LEN + TOP_LEN + 6 * GUARD)

static _Alignas(4096) unsigned char ram[BYTES], shadow[BYTES];

/* LOW MID NEXT ROM FAR TOP; then the pieces that smaller maps are made of. */
static const struct fph_region all[REGIONS] = {
	[LOW] = { LOW_GPA, LOW_LEN, ram + GUARD, 0 },
	[MID] = { MID_GPA, MID_LEN, ram + 2 * GUARD + LOW_LEN, 0 },
	[NEXT] = { MID_GPA + MID_LEN, NEXT_LEN, ram + 3 * GUARD + LOW_LEN + MID_LEN, 0 },
	[ROM] = { MID_GPA + MID_LEN + NEXT_LEN, ROM_LEN,
		  ram + 4 * GUARD + LOW_LEN + MID_LEN + NEXT_LEN, FPH_REGION_READONLY },
	[FAR] = { FAR_GPA, FAR_LEN, NULL, 0 },
	[TOP] = { 0 - TOP_LEN, TOP_LEN,
		  ram + 5 * GUARD + LOW_LEN + MID_LEN + NEXT_LEN + ROM_LEN, 0 },
};
static const struct fph_region shorter[] = {
	{ LOW_GPA, LOW_LEN / 2, ram + GUARD, 0 },
	{ FAR_GPA, FAR_LEN / 2, NULL, 0 },
};

static const struct fph_mem maps[MAPS] = {
	{ all, REGIONS },	 /* everything */
	{ all, FAR },		 /* what is below 4 GiB */
	{ all, 1 },		 /* LOW alone */
	{ shorter, 2 }, { all, 0 },
};

void memory_reset(void)
{
	memset(ram, 0x5a, sizeof(ram));
	memset((unsigned char *)all[LOW].hva, 0, LOW_LEN);
	memcpy(shadow, ram, sizeof(ram));
}

const struct fph_mem *memory_map(unsigned which)
{
	return &maps[which % MAPS];
}

uint64_t memory_address(struct input *in)
{
	uint8_t how = next8(in);
	uint64_t base = all[how % 8 % REGIONS].gpa, offset = next16(in);

	switch (how >> 5) {
	case 0:
		return base + offset % LOW_LEN;
	case 1:
		return base - offset % LOW_LEN;
	case 2:
		return base + (offset << 12);
	case 3:
		return offset << (how & 0x18 ? 48 : 4);
	default:
		return base + ((offset % 8) << 12);
	}
}

/* Offset of gpa in `ram`, or -1 if the bytes are not all mapped. */
static long offset_of(uint64_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < REGIONS; i++)
		if (all[i].hva && gpa >= all[i].gpa && gpa - all[i].gpa < all[i].len &&
		    len <= all[i].len - (gpa - all[i].gpa))
			return (unsigned char *)all[i].hva - ram + (long)(gpa - all[i].gpa);
	return -1;
}

void memory_store(uint64_t gpa, const void *bytes, uint32_t len)
{
	long at = offset_of(gpa, len);

	if (at < 0)
		return;
	memcpy(ram + at, bytes, len);
	memcpy(shadow + at, bytes, len);
}

static void store(uint64_t gpa, uint64_t v, unsigned len)
{
	unsigned char bytes[8];

	for (unsigned i = 0; i < len; i++)
		bytes[i] = (unsigned char)(v >> (8 * i));
	memory_store(gpa, bytes, len);
}

void memory_store16(uint64_t gpa, uint16_t v)
{
	store(gpa, v, 2);
}

void memory_store32(uint64_t gpa, uint32_t v)
{
	store(gpa, v, 4);
}

void memory_store64(uint64_t gpa, uint64_t v)
{
	store(gpa, v, 8);
}

uint16_t memory_load16(uint64_t gpa)
{
	long at = offset_of(gpa, 2);

	return (uint16_t)(at < 0 ? 0 : ram[at] | ram[at + 1] << 8);
}

void memory_allow(uint64_t gpa, uint64_t len)
{
	long at = offset_of(gpa, len);

	if (at >= 0)
		memcpy(shadow + at, ram + at, len);
}

void memory_check(void)
{
	MUST(memcmp(ram, shadow, sizeof(ram)) == 0);
}
