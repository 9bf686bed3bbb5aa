/* SPDX-License-Identifier: MIT */
#ifndef SOAK_PARENT_H
#define SOAK_PARENT_H

#include "soak.h"

struct options {
	bool shm, vhost_user;
	bool json;
	enum fault fault;
	uint64_t seconds; /* in all */
	uint64_t seed;
};

/* Least squares over the lives of processes: each is compared with itself alone. */
struct trend {
	double sxx, sxy;	       /* of the lives that ended */
	double n, x, y, xx, xy;	       /* of this one */
	uint64_t samples;
};
void trend_add(struct trend *trend, double x, double y);
void trend_next_life(struct trend *trend);
/* Rise of y with x; 0 if too little is known. */
double trend_slope(const struct trend *trend);

enum watched { WATCH_GUEST, WATCH_DEVICE, WATCH_PARENT, WATCHED };

struct result {
	const char *transport;
	double seconds;
	uint64_t kills[2], survived[2], pauses;
	struct trend rss[WATCHED]; /* KiB, by minutes */
	struct trend fds[WATCHED];
	const char *failure;
	struct board board; /* as it was in the end */
};

/* Both return an exit status: 0, 1 (something was found), 2 (cannot run). */
int soak_run(const struct options *options, bool vhost_user, uint64_t seconds,
	     struct result *result);
int report(const struct options *options, const struct result *results, unsigned n);

bool interrupted(void);

#endif
