/* SPDX-License-Identifier: MIT */
#ifndef FPH_VQ_DEV_H
#define FPH_VQ_DEV_H

#include "shm.h"
#include "vq.h"

/*
 * The device end of a queue, inside.
 *   vq_dev.c         place, the walk of a chain, tables
 *   vq_split_dev.c   available and used ring
 *   vq_packed_dev.c  the packed ring
 */

/* Is this a hint that needs no further thought? */
static inline bool fph_vq_fits(const struct fph_vq_window *w, uint64_t gpa, uint64_t len)
{
	uint64_t at = gpa - w->gpa;

	/* A length of 0 wraps, and fails. */
	return at < w->len && len - 1 < w->len - at && !((gpa | len) & w->mask);
}

/* Start the walk of a chain.  Returns 1, 0 (none is available) or -EPROTO. */
int fph_vq_split_begin(struct fph_vq_dev *vq, struct fph_fault *fault);
int fph_vq_packed_begin(struct fph_vq_dev *vq);
/* The next descriptor of the ring.  Returns 1 or -EPROTO. */
void fph_vq_split_fetch(struct fph_vq_dev *vq, struct fph_vq_desc *desc);
int fph_vq_packed_fetch(struct fph_vq_dev *vq, struct fph_vq_desc *desc, struct fph_fault *fault);
/* Write the used entry of a chain that was walked to its end. */
void fph_vq_split_finish(struct fph_vq_dev *vq);
/* How many chains wait, or -EPROTO. */
int fph_vq_split_look(struct fph_vq_dev *vq, struct fph_fault *fault);
/* Is one descriptor available?  How many are? */
bool fph_vq_packed_look(struct fph_vq_dev *vq);
int fph_vq_packed_count(struct fph_vq_dev *vq);
/* As in vq.h; `id` is that of the last chain to be returned. */
uint32_t fph_vq_split_take(struct fph_vq_dev *vq, const struct fph_vq_window *window,
			   struct fph_range *out, uint32_t max);
uint32_t fph_vq_packed_take(struct fph_vq_dev *vq, const struct fph_vq_window *window,
			    struct fph_range *out, uint32_t max);
int fph_vq_split_return(struct fph_vq_dev *vq, uint16_t upto, uint16_t id);
int fph_vq_packed_return(struct fph_vq_dev *vq, uint16_t upto, uint16_t id);
void fph_vq_split_doorbell(struct fph_vq_dev *vq, bool on);
void fph_vq_packed_doorbell(struct fph_vq_dev *vq, bool on);

#endif
