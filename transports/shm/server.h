/* SPDX-License-Identifier: MIT */
#ifndef FPH_SHM_SERVER_H
#define FPH_SHM_SERVER_H

#include "unix/fds.h"
#include "unix/listen.h"
#include "unix/map.h"
#include "wire.h"

/*
 * The server, inside.
 *   server.c     options, the listening socket, the life of a connection, hooks
 *   attach.c     the request: pages, memory, eventfds
 *   registers.c  the write ring, what the pages show, interrupts
 */

struct shm_kick {
	struct fph_shm_server *server;
	uint16_t queue;
	int fd;
};

/* A region's file, beside the fph_region of the same index. */
struct shm_slot {
	struct fph_map map;
	uint64_t offset; /* of the region in the file */
	int fd;
};

struct fph_shm_server {
	struct fph_shm_server_opts opts;
	struct fph_device device;
	struct fph_mmio_device mmio;
	struct fph_bus bus;
	struct fph_listener listener;
	int pending; /* came, and has not asked for anything yet; or -1 */

	/* The client; conn is -1 while there is none. */
	int conn;
	int ctl_kick;
	int ctl_ack;
	int irq;
	struct shm_kick kicks[FPH_QUEUE_COUNT];
	struct fph_mem mem; /* .regions points at the next member */
	struct fph_region regions[FPH_SHM_REGIONS_MAX];
	struct shm_slot slots[FPH_SHM_REGIONS_MAX];

	unsigned char *pages;		 /* D0, and D1 behind it; ours to write */
	const struct shm_driver *driver; /* W0; read each word once */
	uint32_t cons;			 /* entries of the write ring taken */
	uint32_t queue_sel;		 /* as the client wrote it */
	uint32_t generation;
	uint32_t config_seq;
	uint32_t used_seq[FPH_QUEUE_COUNT];
	char why[160];
};

extern const struct fph_mem fph_shm_no_memory;

/* server.c */
/* Note why the client is dropped, or turned away.  Returns rc. */
int fph_shm_because(struct fph_shm_server *server, int rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Let the client go, for the reason noted. */
void fph_shm_drop(struct fph_shm_server *server);
/* To the state of power-on, no batch in hand. */
void fph_shm_reset_device(struct fph_shm_server *server);

/* attach.c */
/*
 * Judge a request of len bytes, and take what came with it.  Returns the descriptor of
 * D0 and D1, to be sent and closed; or a negative errno, the reason noted, with nothing
 * kept but what fph_shm_release() undoes.
 */
int fph_shm_take_request(struct fph_shm_server *server, const struct shm_request *request,
			 size_t len, struct fph_fds *fds);
/* Unmap and close all that belongs to a client, but the connection. */
void fph_shm_release(struct fph_shm_server *server);

/* registers.c */
/*
 * Carry out what is in the write ring.  Returns 0, or -EPROTO, the reason noted: the
 * client broke a rule.
 */
int fph_shm_serve_writes(struct fph_shm_server *server);
/* Show the registers as they are now. */
void fph_shm_publish(struct fph_shm_server *server);
/* Pass the device's interrupts on.  Also from device calls that the embedder makes. */
void fph_shm_interrupt(struct fph_shm_server *server);

#endif
