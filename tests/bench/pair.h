/* SPDX-License-Identifier: MIT */
#ifndef BENCH_PAIR_H
#define BENCH_PAIR_H

#include <stdint.h>

/*
 * A second thread, on the second core; it sleeps between jobs.  The calling thread is put
 * onto the first core.
 */
struct pair;

struct pair *pair_open(void);
void pair_close(struct pair *p);

/*
 * Run near(ctx) here and far(ctx) there, both begun at the same time.  Returns nanoseconds
 * until near() was done; far() is done too.
 */
uint64_t pair_run(struct pair *p, void (*near)(void *ctx), void (*far)(void *ctx), void *ctx);

#endif
