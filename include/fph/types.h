/* SPDX-License-Identifier: MIT */
#ifndef FPH_TYPES_H
#define FPH_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Values that every part of libfph speaks.  Conventions, said once:
 *
 *   - A gpa is a guest-physical address, a uint64_t; an hva is a pointer.
 *   - Lengths are bytes unless the name carries another unit.
 *   - Integers in these structs are in host order.  Only memory shared with
 *     the other end is little-endian, and no public struct is such memory.
 *   - Functions return int: >= 0 is the answer, < 0 a negative errno.
 *     -EINVAL: the caller broke the contract.  -EPROTO: the other end did, and
 *     it stays so until reset.  -ENOTCONN: there is no other end yet.
 *     -EAGAIN: not now.  -E2BIG: a struct from a newer header than this library.
 *     On error the object is unchanged, but for a record of the fault.
 *   - A struct whose first member is `size` grows at its end only.  Set it with
 *     its _INIT macro; members left zero mean the default.
 *   - An object is used by one thread at a time.  Nothing is shared between
 *     objects, and there are no globals.
 *   - Pointers must be valid and aligned for their type; NULL is allowed only
 *     where the comment says so.
 */

/* First member set, all others zero: for the _INIT macros, without a warning in C or C++. */
#ifdef __cplusplus
#define FPH_SIZED_INIT(type)                                                                       \
	([] {                                                                                      \
		type sized_ = {};                                                                  \
		sized_.size = sizeof(type);                                                        \
		return sized_;                                                                     \
	}())
#else
#define FPH_SIZED_INIT(type) { .size = sizeof(type) }
#endif

/* A span of guest-physical memory.  gpa + len never exceeds 2^64. */
struct fph_range {
	uint64_t gpa;
	uint64_t len;
};

/* One virtqueue, as the driver placed it.  Addresses are guest-physical. */
struct fph_vq_place {
	uint64_t desc;	 /* descriptor table */
	uint64_t driver; /* available ring; packed: driver event suppression */
	uint64_t device; /* used ring; packed: device event suppression */
	uint16_t size;	 /* entries; split: a power of two */
	/*
	 * Where both rings resume; 0 for a new queue.  Packed: the position of a
	 * descriptor, and in bit 15 whether the wrap counter is the other one.
	 */
	uint16_t index;
};

/*
 * Which queue sits at which index.  The specification lists five fixed numbers;
 * devices in the field count only the queues they offer, and Linux only those
 * it negotiated.  All agree as long as STATS_VQ is offered and accepted, which
 * is what both roles of this library do by default.  (spec-checklist A5-1)
 */
enum fph_vq_layout {
	FPH_LAYOUT_NEGOTIATED, /* dense over accepted features: Linux, alioth */
	FPH_LAYOUT_OFFERED,    /* dense over offered features: QEMU, Firecracker */
	FPH_LAYOUT_SPEC_FIXED, /* the list of virtio 1.4, 5.5.2: libkrun */
};

#ifdef __cplusplus
}
#endif
#endif
