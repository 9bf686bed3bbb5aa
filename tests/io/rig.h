/* SPDX-License-Identifier: MIT */
#ifndef TESTS_IO_RIG_H
#define TESTS_IO_RIG_H

#include <fph/vhost_user.h>

/* A back end on a socket in a directory of its own, and what its hooks were told. */
struct rig {
	struct fph_loop *loop;
	struct fph_vhost_user *vu;
	struct fph_device *device;
	char dir[32];
	char path[64];
	unsigned hints;
	unsigned changed;
	unsigned gone;
	uint64_t inflated;
	bool start_when_ready; /* begin a round in the hook, once the driver is there */
	int channel;	       /* and see whether the front end hears of it already then */
	bool overtaken;
	char why[200];
};

/* opts: NULL, or options whose loop, path, hooks and ctx are filled in here. */
void rig_open(struct rig *rig, unsigned loop_flags, const struct fph_vhost_user_opts *opts);
void rig_close(struct rig *rig);
/* Run the loop until nothing is ready any more; a bounded number of turns. */
void rig_pump(struct rig *rig);

/* Open descriptors of this process, and mappings of files whose name has `name` in it. */
unsigned count_fds(void);
unsigned count_maps(const char *name);

#endif
