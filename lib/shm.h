/* SPDX-License-Identifier: MIT */
#ifndef FPH_SHARED_ACCESS_H
#define FPH_SHARED_ACCESS_H

#include <fph/types.h>

/*
 * The only way to memory that the other end can write: one access per field, of
 * the field's natural width, little-endian in memory.  What was loaded is judged
 * and used from the local copy; nothing is loaded twice.
 *
 * Builtins and not <stdatomic.h>, because rings are plain memory shared with
 * code that is not ours, and because this compiles as freestanding C.
 */

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FPH_LE16(x) __builtin_bswap16(x)
#define FPH_LE32(x) __builtin_bswap32(x)
#define FPH_LE64(x) __builtin_bswap64(x)
#else
#define FPH_LE16(x) (x)
#define FPH_LE32(x) (x)
#define FPH_LE64(x) (x)
#endif

/*
 * A device may be hardware (ORDER_PLATFORM, G-18).  What orders two processors orders it as
 * well, but on ARM, where it may stand outside of the processors' domain: there acquire,
 * release and the full barrier are made to reach it, always, since it costs no more.
 */
#if (defined(__aarch64__) || (defined(__arm__) && __ARM_ARCH >= 7)) && !defined(__SANITIZE_THREAD__)
#define FPH_OUTER_BARRIER() __asm__ volatile("dmb osh" ::: "memory")
#else
#define FPH_OUTER_BARRIER() ((void)0)
#endif

static inline uint16_t fph_ld16(const void *p)
{
	return FPH_LE16(__atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED));
}

static inline uint16_t fph_ld16_acquire(const void *p)
{
	uint16_t v = __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE);

	FPH_OUTER_BARRIER();
	return FPH_LE16(v);
}

static inline uint32_t fph_ld32(const void *p)
{
	return FPH_LE32(__atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED));
}

static inline uint32_t fph_ld32_acquire(const void *p)
{
	uint32_t v = __atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE);

	FPH_OUTER_BARRIER();
	return FPH_LE32(v);
}

static inline uint64_t fph_ld64(const void *p)
{
#if UINTPTR_MAX > 0xffffffffu
	return FPH_LE64(__atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED));
#else
	/* Two words where the host has no wider load: a torn value is judged like any. */
	const uint32_t *w = p;

	return fph_ld32(w) | (uint64_t)fph_ld32(w + 1) << 32;
#endif
}

static inline void fph_st16(void *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)p, FPH_LE16(v), __ATOMIC_RELAXED);
}

static inline void fph_st16_release(void *p, uint16_t v)
{
	FPH_OUTER_BARRIER();
	__atomic_store_n((uint16_t *)p, FPH_LE16(v), __ATOMIC_RELEASE);
}

static inline void fph_st32(void *p, uint32_t v)
{
	__atomic_store_n((uint32_t *)p, FPH_LE32(v), __ATOMIC_RELAXED);
}

static inline void fph_st32_release(void *p, uint32_t v)
{
	FPH_OUTER_BARRIER();
	__atomic_store_n((uint32_t *)p, FPH_LE32(v), __ATOMIC_RELEASE);
}

static inline void fph_st64(void *p, uint64_t v)
{
#if UINTPTR_MAX > 0xffffffffu
	__atomic_store_n((uint64_t *)p, FPH_LE64(v), __ATOMIC_RELAXED);
#else
	uint32_t *w = p;

	fph_st32(w, (uint32_t)v);
	fph_st32(w + 1, (uint32_t)(v >> 32));
#endif
}

/* Copy bytes out of shared memory, each read once. */
static inline void fph_ld_bytes(void *to, const void *from, size_t len)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	for (size_t i = 0; i < len; i++)
		t[i] = __atomic_load_n(f + i, __ATOMIC_RELAXED);
}

/* Little-endian words in private memory of any alignment. */
static inline uint32_t fph_ld32_bytes(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void fph_st32_bytes(unsigned char *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

/*
 * A store before it is seen before a load after it.  ThreadSanitizer does not
 * model fences, so there it is a read-modify-write, which orders as much.
 */
static inline void fph_full_barrier(void)
{
#ifdef __SANITIZE_THREAD__
	int dummy = 0;

	(void)__atomic_fetch_add(&dummy, 1, __ATOMIC_SEQ_CST);
#else
	FPH_OUTER_BARRIER();
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

#endif
