/* SPDX-License-Identifier: MIT */
#ifndef FPH_UNIX_LINK_H
#define FPH_UNIX_LINK_H

#include <fph/transport.h>
#include <stdbool.h>

/* What the owner of a connection that may end knows of it.  ctx: that of struct fph_link. */
struct fph_link_ops {
	/* A verb begins, and its time.  Returns whether there is a connection. */
	bool (*begin)(void *ctx);
	/* It came to that; what it cost the connection is for the owner to see.  Returns rc. */
	int (*end)(void *ctx, int rc);
	/* Interrupts were taken.  NULL: nothing is to be done. */
	void (*taken)(void *ctx);
	/* Without a connection: will nobody touch the memory any more? */
	bool (*is_over)(void *ctx);
};

/*
 * The bus of a driver's end whose connection may end: verbs go to that of the registers
 * while it is up, else they answer -EIO.  But a reset always works (G-13, G22): without a
 * connection it is complete once nobody touches the memory.
 */
struct fph_link {
	const struct fph_link_ops *ops; /* constant */
	void *ctx;
	struct fph_bus registers;
	bool reset_asked; /* since the driver last set a bit of the status */
};

/* Lives as long as the link does. */
struct fph_bus fph_link_bus(struct fph_link *link);

#endif
