/* SPDX-License-Identifier: MIT */
/*
 * lib/shm.h, word for word, on relacy's memory.  Included by the compiler before each file of the
 * library that is explored: the guard makes the true one empty.
 */
#ifndef FPH_SHARED_ACCESS_H
#define FPH_SHARED_ACCESS_H

#include "ordering.h"
#include <stdlib.h>

#define ORDER_LD(type, at, order) \
	((type)order_load((at), sizeof(type), (order), __FILE__, __LINE__, __func__))
#define ORDER_ST(type, at, value, order) \
	order_store((at), sizeof(type), (type)(value), (order), __FILE__, __LINE__, __func__)

#define fph_ld16(at)		    ORDER_LD(uint16_t, at, ORDER_RELAXED)
#define fph_ld32(at)		    ORDER_LD(uint32_t, at, ORDER_RELAXED)
#define fph_ld64(at)		    ORDER_LD(uint64_t, at, ORDER_RELAXED)
#define fph_ld16_acquire(at)	    ORDER_LD(uint16_t, at, ORDER_ACQUIRE)
#define fph_ld32_acquire(at)	    ORDER_LD(uint32_t, at, ORDER_ACQUIRE)

#define fph_st16(at, value)	    ORDER_ST(uint16_t, at, value, ORDER_RELAXED)
#define fph_st32(at, value)	    ORDER_ST(uint32_t, at, value, ORDER_RELAXED)
#define fph_st64(at, value)	    ORDER_ST(uint64_t, at, value, ORDER_RELAXED)
#define fph_st16_release(at, value) ORDER_ST(uint16_t, at, value, ORDER_RELEASE)
#define fph_st32_release(at, value) ORDER_ST(uint32_t, at, value, ORDER_RELEASE)

#define fph_full_barrier()	    order_fence(__FILE__, __LINE__, __func__)

/* Of unaligned tables only, which no scenario has. */
static inline void fph_ld_bytes(void *to, const void *from, size_t len)
{
	(void)to;
	(void)from;
	(void)len;
	abort();
}

static inline uint32_t fph_ld32_bytes(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void fph_st32_bytes(unsigned char *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

#endif
