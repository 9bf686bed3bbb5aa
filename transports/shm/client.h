/* SPDX-License-Identifier: MIT */
#ifndef FPH_SHM_CLIENT_H
#define FPH_SHM_CLIENT_H

#include "unix/link.h"
#include "wire.h"
#include <sys/un.h>

/*
 * The client, inside.
 *   client.c          options, the life of a connection, what the loop calls
 *   client_connect.c  the request and its answer
 *   client_bus.c      register accesses, waits, and the bus made of them
 */

enum shm_phase {
	SHM_IDLE,    /* no connection: nobody touches the memory */
	SHM_UP,
	SHM_LEAVING, /* we let go; the server may still be at work until its end is closed */
};

struct fph_shm_client {
	struct fph_shm_client_opts opts;
	struct sockaddr_un addr;
	struct fph_shm_region regions[FPH_SHM_REGIONS_MAX]; /* fd: our duplicate, or -1 */
	struct fph_mmio_driver mmio;
	struct fph_link link; /* of mmio's registers */

	enum shm_phase phase;
	int sock; /* -1 when idle */
	int ctl_kick;
	int ctl_ack;
	int irq;
	int kick[FPH_QUEUE_COUNT];
	struct shm_driver *driver;  /* W0; ours to write */
	const unsigned char *pages; /* D0, and D1 behind it; read each word once */

	uint32_t prod;	/* entries of the write ring written */
	uint32_t acked; /* and those that took effect, as last seen and judged */
	uint32_t queue_sel;
	uint32_t queue_sel_sent;
	uint32_t features_sel;
	uint32_t config_seen; /* interrupts as InterruptStatus last saw them */
	uint32_t used_seen[FPH_QUEUE_COUNT];
	int64_t deadline_ms; /* of the verb in hand */

	bool tell_gone;	  /* owed to the hook */
	char why[160];
};

/* client.c */
/* Note why the connection fails or is over.  Returns rc. */
int fph_shm_client_because(struct fph_shm_client *client, int rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * The connection is over, for the reason noted: let go of everything that is shared, and
 * ask the server to do so.
 */
void fph_shm_client_leave(struct fph_shm_client *client, bool tell);
/* If we wait for the server's end to close: is it? */
void fph_shm_client_settle(struct fph_shm_client *client);
int64_t fph_shm_now_ms(void);
/* For poll(): what is left until then, rounded up; 0 if nothing. */
int fph_shm_left_ms(int64_t deadline_ms);
/* Unmap and close what one connection made, but the socket. */
void fph_shm_client_release(struct fph_shm_client *client);

/* client_connect.c */
/* Reach the server, ask, take what it answers.  Returns 0 or a negative errno, noted. */
int fph_shm_client_attach(struct fph_shm_client *client);

/* client_bus.c */
/* Begin with the registers of a new connection.  Returns 0 or -ENODEV. */
int fph_shm_client_probe(struct fph_shm_client *client);
/*
 * An access to a register; ctx is the client.  Return 0; -EIO (no connection); or, with
 * the connection over, -ETIMEDOUT, -EIO or -EPROTO.
 */
int fph_shm_client_read(void *ctx, uint32_t offset, uint32_t *value);
int fph_shm_client_write(void *ctx, uint32_t offset, uint32_t value);

#endif
