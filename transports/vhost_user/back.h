/* SPDX-License-Identifier: MIT */
#ifndef FPH_VHOST_USER_BACK_H
#define FPH_VHOST_USER_BACK_H

#include "unix/fds.h"
#include "unix/listen.h"
#include "unix/map.h"
#include "wire.h"
#include <fph/vhost_user.h>

/*
 * The back end, inside.
 *   back.c     options, the listening socket, one front end at a time, hooks
 *   conn.c     messages in and out of the socket, with their descriptors
 *   message.c  the table of messages; features, status, configuration
 *   ring.c     rings, kicks and calls
 *   memory.c   the memory table
 */

/* What became of a message. */
enum vu_outcome {
	VU_DONE,    /* acknowledge with 0, if an answer is wanted */
	VU_REPLIED, /* its own answer is sent */
	VU_REFUSED, /* acknowledge with 1; where no answer is wanted, close */
	VU_BROKEN,  /* close; why says the reason */
};

struct vu_message {
	struct vu_header head;
	union vu_body body;
	struct fph_fds fds; /* a handler that keeps one puts -1 in its place */
};
_Static_assert(FPH_FDS_MAX >= VU_REGIONS_MAX, "as many as a message may have");

/* What a ring needs before it can run. */
#define RING_NUM  0x1u
#define RING_ADDR 0x2u
#define RING_BASE 0x4u
#define RING_KICK 0x8u
#define RING_ALL  0xfu

struct vu_ring {
	struct fph_vhost_user *vu;
	uint16_t index;
	unsigned known; /* RING_* */
	bool enabled;
	bool running;	   /* the device has it */
	bool call_is_sock; /* and not an eventfd */
	bool call_owed;	   /* an interrupt came while there was no call descriptor */
	uint16_t num;
	uint16_t base;
	struct vu_ring_addr addr;
	int kick;
	int call;
};

/* A region's file, beside the fph_region of the same index. */
struct vu_slot {
	uint64_t user;
	uint64_t offset; /* of the region in the file */
	struct fph_map map;
	int fd;
};

struct vu_memory {
	struct fph_mem mem; /* .regions points at the next member */
	struct fph_region regions[VU_REGIONS_MAX];
	struct vu_slot slots[VU_REGIONS_MAX];
};

struct fph_vhost_user {
	struct fph_vhost_user_opts opts;
	struct fph_device device;
	struct fph_bus bus;

	struct fph_listener listener;

	/* The front end; conn is -1 while there is none. */
	int conn;
	size_t got; /* bytes of the message being received, header included */
	struct vu_message msg;
	uint64_t protocol; /* enum vu_protocol_feature, as bits */
	bool negotiated;   /* SET_FEATURES was accepted */
	bool busy;	   /* a message is being handled: its answer goes first */
	bool changed;	   /* owed to the hook */
	bool config_owed;  /* a CONFIG_CHANGE_MSG */
	int channel;	   /* of SET_BACKEND_REQ_FD, or -1 */
	struct vu_ring rings[FPH_QUEUE_COUNT];
	struct vu_memory memory[2]; /* one in use, one to prepare the next in */
	unsigned current;
	char why[160];
};

/* back.c */
/* Note why the front end is, or would be, dropped. */
enum vu_outcome fph_vu_refuse(struct fph_vhost_user *vu, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
enum vu_outcome fph_vu_break(struct fph_vhost_user *vu, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Let the front end go, for the reason noted. */
void fph_vu_drop(struct fph_vhost_user *vu);
/* Send the CONFIG_CHANGE_MSG that is owed, if this is the time for it. */
void fph_vu_tell_config(struct fph_vhost_user *vu);
/* To the state of power-on, all rings stopped, no batch in hand. */
void fph_vu_reset_device(struct fph_vhost_user *vu);

/* conn.c */
/* Take in what is there, a bounded number of messages.  Drops the front end if need be. */
void fph_vu_receive(struct fph_vhost_user *vu);
/* Send an answer to the message in hand, with a body of size bytes. */
enum vu_outcome fph_vu_reply(struct fph_vhost_user *vu, const void *body, uint32_t size);
enum vu_outcome fph_vu_reply_u64(struct fph_vhost_user *vu, uint64_t value);

/* message.c */
const char *fph_vu_request_name(uint32_t request);
/* Judge the header, before any of the body is taken in. */
enum vu_outcome fph_vu_check_header(struct fph_vhost_user *vu);
/* Act on the message in hand. */
enum vu_outcome fph_vu_handle(struct fph_vhost_user *vu);
bool fph_vu_has(const struct fph_vhost_user *vu, enum vu_protocol_feature feature);

/* ring.c */
enum vu_outcome fph_vu_set_num(struct fph_vhost_user *vu);
enum vu_outcome fph_vu_set_addr(struct fph_vhost_user *vu);
enum vu_outcome fph_vu_set_base(struct fph_vhost_user *vu);
enum vu_outcome fph_vu_get_base(struct fph_vhost_user *vu);
enum vu_outcome fph_vu_set_kick(struct fph_vhost_user *vu);
enum vu_outcome fph_vu_set_call(struct fph_vhost_user *vu);
enum vu_outcome fph_vu_set_err(struct fph_vhost_user *vu);
enum vu_outcome fph_vu_set_enable(struct fph_vhost_user *vu);
/* Give the device the rings that have all they need. */
enum vu_outcome fph_vu_start_rings(struct fph_vhost_user *vu);
/* What a driver put there before anybody looked is not announced again. */
void fph_vu_look_at_rings(struct fph_vhost_user *vu);
/* Stop all rings, and make them wait for ENABLE. */
void fph_vu_disable_rings(struct fph_vhost_user *vu);
/* Forget where the rings are; the call descriptors too, if so said. */
void fph_vu_forget_rings(struct fph_vhost_user *vu, bool calls_too);
/* Tell the driver of used buffers. */
void fph_vu_signal(struct vu_ring *ring);

/* memory.c */
void fph_vu_memory_init(struct fph_vhost_user *vu);
enum vu_outcome fph_vu_set_table(struct fph_vhost_user *vu);
enum vu_outcome fph_vu_add_region(struct fph_vhost_user *vu);
enum vu_outcome fph_vu_remove_region(struct fph_vhost_user *vu);
/* Take all memory from the device, then unmap it. */
void fph_vu_clear_memory(struct fph_vhost_user *vu);
/* The gpa of len bytes at a user address.  false: not all in one region. */
bool fph_vu_to_gpa(const struct fph_vhost_user *vu, uint64_t user, uint64_t len, uint64_t *gpa);

#endif
