/* SPDX-License-Identifier: MIT */
#ifndef EMBED_AGENT_H
#define EMBED_AGENT_H

#include <fph/guest.h>

struct pages; /* the agent's source of free pages */
int pages_take(struct pages *pages, struct fph_range *out, int max); /* and hold them */
void pages_give(struct pages *pages, const struct fph_range *back, int n);

struct agent {
	struct fph_guest fph;
	struct pages *pages;
};

int agent_wake(struct agent *agent, uint64_t now_us);

#endif
