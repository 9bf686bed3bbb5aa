/* SPDX-License-Identifier: MIT */
#include "support/ram.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* One value a page: quick to fill, and no two neighbours alike. */
static unsigned char pattern(uint64_t gpa)
{
	return (unsigned char)(0xa5 ^ (gpa >> 12));
}

static void add(struct ram *ram, enum ram_region i, uint64_t gpa, uint64_t len, uint32_t flags)
{
	unsigned char *bytes = ram->regions[i].hva;

	if (!bytes)
		bytes = aligned_alloc(4096, (size_t)len);
	cr_assert_not_null(bytes);
	for (uint64_t k = 0; k < len; k += 0x1000)
		memset(bytes + k, pattern(gpa + k), 0x1000);
	ram->regions[i] = (struct fph_region){ gpa, len, bytes, flags };
}

void ram_init(struct ram *ram)
{
	add(ram, LOW, RAM_LOW, RAM_LOW_LEN, 0);
	add(ram, HIGH, RAM_HIGH, RAM_HIGH_LEN, 0);
	add(ram, NEXT, RAM_NEXT, RAM_NEXT_LEN, 0);
	add(ram, ROM, RAM_ROM, RAM_ROM_LEN, FPH_REGION_READONLY);
	ram->regions[FAR] = (struct fph_region){ RAM_FAR, RAM_FAR_LEN, NULL, 0 };
	add(ram, TOP, RAM_TOP, RAM_TOP_LEN, 0);
	ram->mem = (struct fph_mem){ ram->regions, RAM_REGIONS };
}

unsigned char *ram_at(const struct ram *ram, uint64_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < RAM_REGIONS; i++) {
		const struct fph_region *r = &ram->regions[i];

		if (r->hva && gpa >= r->gpa && gpa - r->gpa < r->len &&
		    len <= r->len - (gpa - r->gpa))
			return (unsigned char *)r->hva + (gpa - r->gpa);
	}
	cr_assert_fail("the test itself is wrong: %#llx +%#llx is not mapped",
		       (unsigned long long)gpa, (unsigned long long)len);
	return NULL;
}

static uint64_t load(const struct ram *ram, uint64_t gpa, unsigned bytes)
{
	const unsigned char *p = ram_at(ram, gpa, bytes);
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static void store(struct ram *ram, uint64_t gpa, unsigned bytes, uint64_t v)
{
	unsigned char *p = ram_at(ram, gpa, bytes);

	for (unsigned i = 0; i < bytes; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

uint16_t ram_ld16(const struct ram *ram, uint64_t gpa)
{
	return (uint16_t)load(ram, gpa, 2);
}

uint32_t ram_ld32(const struct ram *ram, uint64_t gpa)
{
	return (uint32_t)load(ram, gpa, 4);
}

uint64_t ram_ld64(const struct ram *ram, uint64_t gpa)
{
	return load(ram, gpa, 8);
}

void ram_st16(struct ram *ram, uint64_t gpa, uint16_t v)
{
	store(ram, gpa, 2, v);
}

void ram_st32(struct ram *ram, uint64_t gpa, uint32_t v)
{
	store(ram, gpa, 4, v);
}

void ram_st64(struct ram *ram, uint64_t gpa, uint64_t v)
{
	store(ram, gpa, 8, v);
}

struct fph_range ram_page(unsigned i)
{
	return (struct fph_range){ RAM_HIGH + UINT64_C(0x1000) * i, 0x1000 };
}

void ram_expect_untouched(const struct ram *ram, uint64_t gpa, uint64_t len)
{
	const unsigned char *p = ram_at(ram, gpa, len);

	for (uint64_t k = 0; k < len; k++)
		cr_assert_eq(p[k], pattern(gpa + k), "byte at %#llx was changed",
			     (unsigned long long)(gpa + k));
}
