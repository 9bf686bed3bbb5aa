/* SPDX-License-Identifier: MIT */
#ifndef TESTS_IO_WITNESS_H
#define TESTS_IO_WITNESS_H

#include "front.h"

/*
 * The inflate queue as a witness: its ring, number 0, holds one buffer from the start,
 * and the hook sees it in the moment the ring runs (rig->inflated).
 */
#define RING_GPA (FRONT_GPA + 0x100000)
#define PAGE_GPA (FRONT_GPA + 0x200000)

/* Put the buffer into the ring. */
void witness_fill(struct front *front);
/* Everything but the ring: a back end, a front end, its memory. */
void witness_open(struct rig *rig, struct front *front);
void witness_close(struct rig *rig, struct front *front);

/* The messages that make the ring run, by number; 5 is SET_FEATURES.  Returns the answer. */
#define WITNESS_STEPS 5
int witness_step(struct front *front, unsigned which);
/* All but SET_FEATURES. */
void witness_start(struct front *front);

int witness_features(struct front *front, uint64_t more);
/* Places are guest-physical. */
int witness_addr(struct front *front, uint64_t desc, uint64_t avail, uint64_t used);
int front_give_fd(struct front *front, uint32_t request, uint64_t index, int fd);

#endif
