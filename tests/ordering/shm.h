/* SPDX-License-Identifier: MIT */
#ifndef FPH_SHARED_ACCESS_H
#define FPH_SHARED_ACCESS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Stands in for lib/shm.h, whose guard it takes, while the library's rings are compiled as
 * C++: each access to shared memory is one of relacy's, which gives back any value that the
 * memory model of C++11 allows.  ordering.cpp
 */
uint16_t order_ld16(const void *p, bool acquire);
uint32_t order_ld32(const void *p, bool acquire);
void order_st16(void *p, uint16_t v, bool release);
void order_st32(void *p, uint32_t v, bool release);
void fph_full_barrier();

static inline uint16_t fph_ld16(const void *p)
{
	return order_ld16(p, false);
}
static inline uint16_t fph_ld16_acquire(const void *p)
{
	return order_ld16(p, true);
}
static inline uint32_t fph_ld32(const void *p)
{
	return order_ld32(p, false);
}
static inline uint32_t fph_ld32_acquire(const void *p)
{
	return order_ld32(p, true);
}
static inline void fph_st16(void *p, uint16_t v)
{
	order_st16(p, v, false);
}
static inline void fph_st16_release(void *p, uint16_t v)
{
	order_st16(p, v, true);
}
static inline void fph_st32(void *p, uint32_t v)
{
	order_st32(p, v, false);
}
static inline void fph_st32_release(void *p, uint32_t v)
{
	order_st32(p, v, true);
}

static inline void fph_ld_bytes(void *to, const void *from, size_t len)
{
	for (size_t i = 0; i < len; i += 4) /* words: tables of descriptors */
		*(uint32_t *)((unsigned char *)to + i) = fph_ld32((const unsigned char *)from + i);
}

static inline uint32_t fph_ld32_bytes(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* As on a host of 32 bits: two words. */
static inline uint64_t fph_ld64(const void *p)
{
	return fph_ld32(p) | (uint64_t)fph_ld32((const unsigned char *)p + 4) << 32;
}

static inline void fph_st64(void *p, uint64_t v)
{
	fph_st32(p, (uint32_t)v);
	fph_st32((unsigned char *)p + 4, (uint32_t)(v >> 32));
}

#endif
