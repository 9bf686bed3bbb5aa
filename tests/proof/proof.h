/* SPDX-License-Identifier: MIT */
#ifndef FPH_PROOF_H
#define FPH_PROOF_H

/*
 * What each harness is made of; included before everything else, so that the shipped
 * sources, lib/shm.h among them, are compiled as they are.
 *
 * Memory that the other end can write is hostile: every load from it is any value, and
 * another one next time.  What was stored there is of no use, so a store only proves that
 * it may be made.  Both prove that their address is inside a live object and aligned.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

uint64_t nondet_u64(void);
void *__CPROVER_allocate(__CPROVER_size_t size, bool zero);

#define ASSUME(holds) __CPROVER_assume(holds)
#define PROVE(holds)  __CPROVER_assert((holds), #holds)
/* Some input leads here: an assertion that must fail, so that no assumption is too strong. */
#ifdef PROOF_REACH
#define REACHED(holds) __CPROVER_assert(!(holds), "reach: " #holds)
#else
#define REACHED(holds) ((void)(holds))
#endif

/* Any value of a scalar, and of whatever an object holds. */
#define ANY(type)      ((type)nondet_u64())
#define ANYTHING(name) __CPROVER_havoc_object(&(name))

static inline uint64_t any_up_to(uint64_t max)
{
	uint64_t value = nondet_u64();

	ASSUME(value <= max);
	return value;
}

/* An object of that size, of any content. */
static inline void *any_bytes(uint64_t len)
{
	return __CPROVER_allocate(len, 0);
}

static inline void prove_access(const void *p, size_t len, bool write)
{
	if (write)
		__CPROVER_assert(__CPROVER_w_ok(p, len), "a store inside a live object");
	else
		__CPROVER_assert(__CPROVER_r_ok(p, len), "a load inside a live object");
	__CPROVER_assert(__CPROVER_POINTER_OFFSET(p) % len == 0, "an aligned access");
}

static inline uint64_t hostile_load(const void *p, size_t len)
{
	prove_access(p, len, false);
	return nondet_u64();
}

#define __atomic_load_n(p, order)     ((__typeof__(*(p)))hostile_load((p), sizeof(*(p))))
#define __atomic_store_n(p, v, order) ((void)(v), prove_access((p), sizeof(*(p)), true))
#define __atomic_thread_fence(order)  ((void)0)

#endif
