/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stddef.h>
#include <sys/types.h>

/* A second process, which dies with this one. */

/* Memory that both see, zero. */
void *child_shared(size_t bytes);
void child_shared_free(void *shared, size_t bytes);

/* Run main(ctx) in a process of its own, on the second core; it does not return. */
pid_t child_start(void (*main)(void *ctx), void *ctx);
/* Kill it, and wait for its end. */
void child_kill(pid_t child);

#endif
