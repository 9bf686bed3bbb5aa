/* SPDX-License-Identifier: MIT */
#ifndef FPH_FAULT_H
#define FPH_FAULT_H

#include <fph/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Which rule the other end broke.  A function that answers -EPROTO leaves such
 * a record; the first one stays until reset.  name, text, where it is written.
 */
#define FPH_RULES(X)                                                                               \
	X(NONE, "no rule was broken", "-")                                                         \
	/* a driver's slips, found by the device role */                                           \
	X(RING_SIZE, "ring size is zero, no power of two, or above the limit", "2.7 (V-1)")        \
	X(RING_ALIGN, "ring part is not aligned", "2.7 (V-1)")                                     \
	X(RING_MEMORY, "ring part does not lie in one writable memory region", "2.7 (V-1)")        \
	X(RING_GONE, "memory of a running ring was taken away", "2.7 (G-16)")                      \
	X(AVAIL_AHEAD, "avail.idx is ahead by more than the ring holds", "2.7.13.3 (V-6)")         \
	X(HEAD_RANGE, "head of a chain is not a descriptor of the ring", "2.7.6")                  \
	X(NEXT_RANGE, "next descriptor is not in the table", "2.7.5")                              \
	X(CHAIN_LONG, "chain loops or is longer than the ring", "2.7.5.2 (V-5)")                   \
	X(CHAIN_ORDER, "device-readable buffer behind a device-writable one", "2.7.4.2 (V-3)")     \
	X(INDIRECT, "indirect descriptor without negotiation", "2.7.5.3.1 (V-10)")                 \
	X(TABLE_NESTED, "indirect descriptor in a table or among others", "2.7.5.3.1 (V-10)")      \
	X(TABLE_SIZE, "indirect table is empty, no multiple of 16, or too long", "2.7.5.3 (V-10)") \
	X(TABLE_MEMORY, "indirect table is not in guest memory", "2.7.5.3 (V-10)")                 \
	X(CHAIN_TORN, "chain reaches past what was made available", "2.8.13 (P-7)")                \
	X(BUFFER_EMPTY, "buffer of no bytes", "2.7.5")                                             \
	X(BUFFER_WRAP, "buffer runs past the end of the address space", "2.7.5")                   \
	X(BUFFER_MEMORY, "buffer that must be read is not in guest memory", "2.7.5")               \
	X(COMMAND_SIZE, "command buffer is not 4 bytes", "5.5.6.5.1 (BH-1)")                       \
	/* a device's slips, found by the guest role */                                            \
	X(USED_AHEAD, "used.idx is ahead of what was made available", "2.7.14")                    \
	X(USED_ID, "used entry names no chain that the device has", "2.7.8")                       \
	X(USED_LEN, "used length is longer than the buffer", "2.7.8.2 (V-8)")                      \
	X(NEEDS_RESET, "device asks for a reset", "2.1.2 (G-5)")

enum fph_rule {
#define FPH_RULE_ENUM(name, text, spec) FPH_RULE_##name,
	FPH_RULES(FPH_RULE_ENUM)
#undef FPH_RULE_ENUM
	FPH_RULE_COUNT,
};

struct fph_fault {
	uint16_t rule;	/* enum fph_rule; 0 means no fault */
	uint16_t queue; /* index of the queue */
	uint32_t index; /* descriptor or ring position, by rule */
	uint64_t value; /* the offending value */
};

/* The rule in English; "unknown rule" for a number that is none. */
const char *fph_rule_name(unsigned rule);

/* Section of virtio 1.4, and the clause in tests/README.md, that the rule is from. */
const char *fph_rule_spec(unsigned rule);

#ifdef __cplusplus
}
#endif
#endif
