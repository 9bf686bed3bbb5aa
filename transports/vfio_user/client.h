/* SPDX-License-Identifier: MIT */
#ifndef FPH_VFIO_USER_CLIENT_H
#define FPH_VFIO_USER_CLIENT_H

#include "conn.h"
#include "unix/link.h"
#include "version.h"
#include <fph/pci.h>
#include <fph/vfio_user.h>
#include <sys/un.h>

/*
 * The client, inside.
 *   client.c          options, the life of a connection, what the loop calls, questions
 *   client_request.c  a request and its answer; the server's requests meanwhile
 *   client_attach.c   from a connected socket to a balloon that can be driven
 *   client_bus.c      register accesses, and the bus made of them
 */
enum vfio_phase {
	VFIO_IDLE, /* no socket, or only its end to be told of */
	VFIO_UP,
	VFIO_LEAVING, /* over, but the server has not let go of the memory */
};

#define VFIO_BARS	    6u
#define VFIO_CLIENT_VECTORS 2u

struct vfio_bell {
	struct fph_vfio_user_client *client;
	int fd; /* eventfd that the server signals, or -1 */
	uint16_t vector;
};

struct fph_vfio_user_client {
	struct fph_vfio_user_client_opts opts;
	struct fph_vfio_user_region regions[FPH_VFIO_USER_REGIONS_MAX]; /* fd: our own */
	struct sockaddr_un addr;
	bool has_path;

	enum vfio_phase phase;
	bool tell_gone;	  /* when the end is seen by the loop */
	struct fph_vfio_conn conn;
	int64_t deadline_ms; /* of the verb or call under way */
	uint16_t id;
	struct fph_vfio_limits limits;

	uint64_t bars[VFIO_BARS];
	uint32_t config_size;
	uint16_t vectors; /* of MSI-X, in use */
	bool has_intx;
	bool intx_fired;			     /* to be unmasked once the ISR was read */
	struct vfio_bell bells[VFIO_CLIENT_VECTORS]; /* the first one is INTx's, too */
	struct fph_pci_driver pci;
	struct fph_link link; /* of pci's registers */

	struct fph_vfio_user_stats total;
	char why[160];
};

/* client.c */
/* Note why the connection failed or ended.  Returns rc. */
int fph_vfio_client_because(struct fph_vfio_user_client *c, int rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The connection is over: nothing more is said, and the server's end is awaited. */
void fph_vfio_client_leave(struct fph_vfio_user_client *c, bool tell);
/* Has the server let go meanwhile? */
void fph_vfio_client_settle(struct fph_vfio_user_client *c);
void fph_vfio_client_on_conn(void *ctx);
void fph_vfio_client_on_bell(void *ctx);
int64_t fph_vfio_now_ms(void);

/* client_request.c */
struct vfio_request {
	enum vfio_command command;
	const void *body;
	size_t len;
	const void *data;
	size_t data_len;
	const int *fds;
	unsigned fd_count;
};
/*
 * Send, and wait for the answer until deadline_ms; it is in c->conn then, at least `least`
 * bytes long.  Returns 0; -EREMOTEIO (the server refuses: the reason is noted, and the
 * connection goes on) or another errno: the connection is over, the reason noted.
 */
int fph_vfio_client_ask(struct fph_vfio_user_client *c, const struct vfio_request *request,
			size_t least);
/* Send what is not answered. */
int fph_vfio_client_post(struct fph_vfio_user_client *c, const struct vfio_request *request);
/* Serve what the server asks for now.  Returns 0 or a negative errno, the reason noted. */
int fph_vfio_client_serve(struct fph_vfio_user_client *c);

/* client_attach.c */
int fph_vfio_client_attach(struct fph_vfio_user_client *c);
void fph_vfio_client_release(struct fph_vfio_user_client *c);
/* Find the balloon, and set its interrupts up: after connecting, and after a reset. */
int fph_vfio_client_find(struct fph_vfio_user_client *c);
int fph_vfio_client_unmask(struct fph_vfio_user_client *c);

/* client_bus.c: the hooks of the driver end, ctx is the client. */
int fph_vfio_client_config_read(void *ctx, uint32_t offset, uint32_t len, uint32_t *value);
int fph_vfio_client_config_write(void *ctx, uint32_t offset, uint32_t len, uint32_t value);
int fph_vfio_client_bar_read(void *ctx, uint32_t bar, uint64_t offset, uint32_t len,
			     uint32_t *value);
int fph_vfio_client_bar_write(void *ctx, uint32_t bar, uint64_t offset, uint32_t len,
			      uint32_t value);

#endif
