/* SPDX-License-Identifier: MIT */
#ifndef UNIT_HOOK_H
#define UNIT_HOOK_H

/*
 * Forced in front of every file of the core, in the program unit_access only: each
 * access to shared memory tells the test before it happens.  A macro's own name is
 * not expanded again inside it, so the builtin is still what runs.
 */
void hook_load(const volatile void *p, unsigned width, int order);
void hook_store(const volatile void *p, unsigned width, int order);
void hook_fence(int order);

#define __atomic_load_n(p, order)                                                                  \
	(hook_load((p), (unsigned)sizeof(*(p)), (order)), __atomic_load_n((p), (order)))
#define __atomic_store_n(p, v, order)                                                              \
	(hook_store((p), (unsigned)sizeof(*(p)), (order)), __atomic_store_n((p), (v), (order)))
#define __atomic_thread_fence(order) (hook_fence(order), __atomic_thread_fence(order))

#endif
