/* SPDX-License-Identifier: MIT */
#ifndef FPH_VFIO_USER_SERVER_H
#define FPH_VFIO_USER_SERVER_H

#include "conn.h"
#include "unix/listen.h"
#include "unix/map.h"
#include "version.h"
#include <fph/pci.h>
#include <fph/vfio_user.h>

/*
 * The server, inside.
 *   server.c   options, the listening socket, hooks, questions
 *   serve.c    the life of a connection
 *   message.c  the table of messages; version, information, accesses, reset
 *   memory.c   what the client maps, and the memory maps made of it
 *   irq.c      the client's eventfds
 *   queue.c    the bus between the PCI function and the device: where queues stand
 *   dma.c      transfers by messages, one after another
 *   copy.c     rings in memory that came without a descriptor: what to transfer
 */

#define VFIO_VECTORS (FPH_QUEUE_COUNT + 1u)
#define VFIO_PAGE    4096u

/*
 * Copies of rings show themselves to the device at addresses that no guest has: the last
 * of all.  Nothing can be mapped there.
 */
#define VFIO_COPY_STEP	 UINT64_C(0x400000)
#define VFIO_COPY_GPA(i) (0 - VFIO_COPY_STEP * (FPH_QUEUE_COUNT + 1u - (i)))
/* Of a queue: a region for each part of its ring, and its buffers; and what it cuts in two. */
#define VFIO_PIECES_MAX (VFIO_MAPS_MAX + 10 * FPH_QUEUE_COUNT)

/* What the client mapped. */
struct vfio_area {
	uint64_t gpa;
	uint64_t len;
	uint32_t flags; /* FPH_REGION_* */
	int fd;		/* -1: it came without, or with one of no use */
	uint64_t offset;
	struct fph_map map;
	void *hva; /* NULL with fd -1 */
};

/* One map for the device; two of them take turns, since it borrows the one it has. */
struct vfio_map {
	struct fph_mem mem;
	struct fph_region regions[VFIO_PIECES_MAX];
};

/* Where things are in a copy; see copy.c. */
enum vfio_part { PART_DESC, PART_DRIVER, PART_DEVICE, PART_BUFFERS, PART_TABLE, PARTS };

/* A queue as the driver placed it. */
struct vfio_queue {
	struct fph_vq_place place;
	bool enabled;
	bool parked; /* its ring is out of reach, so the device does not have it */
	bool kicked; /* a doorbell that was not passed on yet */
	/* With a copy: */
	unsigned char *copy; /* NULL: the ring is in shared memory */
	uint32_t at[PARTS + 1];
	bool hint;
	uint16_t fetched; /* available entries that are here */
	uint16_t pushed;  /* used entries that the driver has */
};

enum vfio_step {
	DMA_IDLE,
	DMA_FENCE,
	DMA_INDEX,
	DMA_ENTRIES,
	DMA_TABLE,
	DMA_CHAIN,
	DMA_USED,
	DMA_USED_INDEX,
};

struct vfio_dma {
	/* The transfer under way, and the message of it. */
	uint64_t gpa;
	unsigned char *here;
	uint32_t left; /* bytes; 0: none is under way */
	uint32_t asked;
	bool write;
	bool waiting; /* for the answer to `id` */
	bool stale;   /* nobody wants that answer any more */
	uint16_t id;

	/* What it is for. */
	enum vfio_step step;
	uint16_t queue;
	uint16_t target; /* index, to be reached */
	uint16_t moved;	 /* index, reached so far by what was transferred */
	uint16_t follow; /* of the chain in hand: the descriptor to come */
	bool in_chain;
	uint16_t budget; /* of it: descriptors */
	uint32_t bytes;	 /* of it: what was taken of its buffers */
	unsigned char word[4];

	/*
	 * The fence (S3), by messages: what the driver had made available before it could see
	 * the id of a round is not of that round.
	 */
	uint32_t fencing; /* the id whose fence is asked for */
	uint32_t fenced;  /* the id whose fence stands; until then it is not shown */
	uint16_t old;	  /* chains before the fence that are not here yet */
	bool old_chain;	  /* the chain in hand is one of them */

	bool owed;    /* an interrupt, once everything is with the driver */
	bool pumping; /* no further calls, please */
};

struct fph_vfio_user_server {
	struct fph_vfio_user_server_opts opts;
	struct fph_device device;
	struct fph_pci_device pci;
	struct fph_bus inner; /* the device's */
	struct fph_listener listener;

	/* The client; conn.fd is -1 while there is none. */
	struct fph_vfio_conn conn;
	int writable;  /* an epoll descriptor that is readable when the socket is writable */
	bool full;     /* output waits: that is watched, and the socket is not */
	bool broken;   /* to be dropped, for the reason noted */
	bool leaving;  /* is being dropped */
	bool agreed;   /* on a version */
	bool busy;     /* a message is being handled */
	bool changed;  /* to be told of */
	uint32_t said; /* kinds of trouble that were told */
	struct fph_vfio_limits limits;

	struct vfio_area areas[VFIO_MAPS_MAX]; /* sorted */
	unsigned area_count;
	struct fph_mem view; /* for the embedder: a region for each area */
	struct fph_region view_regions[VFIO_MAPS_MAX];
	struct vfio_map maps[2];
	unsigned map;	 /* the one that the device has */
	bool map_is_old; /* it has copies in it that are not in use any more */
	void *retired;	 /* these copies, a list */

	struct vfio_queue queues[FPH_QUEUE_COUNT];
	bool runs;	   /* the driver said DRIVER_OK */
	bool is_shared;	   /* an available index was seen to move */
	unsigned nothings; /* doorbells without that */
	struct vfio_dma dma;

	int intx; /* eventfds, or -1 */
	int err;
	int msix[VFIO_VECTORS];
	uint32_t msix_pending; /* fired while there was no eventfd */
	bool intx_high;
	bool intx_masked;

	struct fph_vfio_user_stats total;
	char why[160];
};

extern const struct fph_mem fph_vfio_no_memory;

/* server.c */
/* Note why the client is dropped.  Returns rc. */
int fph_vfio_because(struct fph_vfio_user_server *s, int rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Tell the embedder, once for each kind and client. */
enum vfio_trouble {
	TROUBLE_PRIVATE,
	TROUBLE_NO_MESSAGES,
	TROUBLE_MIXED,
	TROUBLE_FORMAT,
	TROUBLE_REFUSED,
	TROUBLE_BUFFER,
};
void fph_vfio_trouble(struct fph_vfio_user_server *s, enum vfio_trouble kind, const char *what);
/* If something changed, say so: before the client hears that it is as it wanted. */
void fph_vfio_tell_changed(struct fph_vfio_user_server *s);
/* To the state of power-on, no batch in hand. */
void fph_vfio_reset_device(struct fph_vfio_user_server *s);

/* serve.c */
/* A client came to the listening socket; ctx is the server. */
void fph_vfio_on_client(void *ctx);
/* Let the client go; gone may be NULL. */
void fph_vfio_let_go(struct fph_vfio_user_server *s, void (*gone)(void *ctx, const char *why));
/* Output may wait since the last look: see to it that it goes. */
void fph_vfio_watch_output(struct fph_vfio_user_server *s);
/* The client cannot be served any more, for the reason noted; the loop drops it. */
void fph_vfio_break(struct fph_vfio_user_server *s);

/* message.c */
/* Carry out the message in s->conn and answer it. */
void fph_vfio_handle(struct fph_vfio_user_server *s);
/* Answer the message in s->conn by an error, if it is one that is answered. */
void fph_vfio_refuse(struct fph_vfio_user_server *s, int error);

/* memory.c; the errno of the first two is the client's answer. */
int fph_vfio_dma_map(struct fph_vfio_user_server *s, const struct vfio_dma_map *map,
		     struct fph_fds *fds);
int fph_vfio_dma_unmap(struct fph_vfio_user_server *s, const struct vfio_dma_unmap *unmap);
void fph_vfio_unmap_all(struct fph_vfio_user_server *s);
/* Have the device use memory and copies as they are by now.  Ends a batch in hand. */
void fph_vfio_remap(struct fph_vfio_user_server *s);
/* The area that holds all of it, or NULL. */
const struct vfio_area *fph_vfio_area_at(const struct fph_vfio_user_server *s, uint64_t gpa,
					 uint64_t len);

/* irq.c */
uint32_t fph_vfio_irq_count(const struct fph_vfio_user_server *s, uint32_t index);
uint32_t fph_vfio_irq_flags(uint32_t index);
/* Data: len bytes behind the request.  Its errno is the client's answer. */
int fph_vfio_set_irqs(struct fph_vfio_user_server *s, const struct vfio_set_irqs *set,
		      const unsigned char *data, size_t len, struct fph_fds *fds);
void fph_vfio_forget_irqs(struct fph_vfio_user_server *s);
/* Hooks of the PCI function. */
void fph_vfio_on_intx(void *ctx, bool high);
void fph_vfio_on_msix(void *ctx, uint16_t vector, uint64_t address, uint32_t data);

/* queue.c */
/* The bus that the PCI function has. */
struct fph_bus fph_vfio_queue_bus(struct fph_vfio_user_server *s);
/* Before the device has memory as it is by now: stop the queues that lose their rings. */
void fph_vfio_park(struct fph_vfio_user_server *s);
/* After it has: start those that have them back. */
void fph_vfio_unpark(struct fph_vfio_user_server *s);
/* Take a queue from the device; it counts as parked. */
void fph_vfio_stop_queue(struct fph_vfio_user_server *s, uint16_t queue);
/* A part of a ring, 0 to 2, as the driver placed it. */
struct fph_range fph_vfio_part(const struct fph_vfio_user_server *s,
			       const struct fph_vq_place *place, unsigned part);
/* Does a queue go by a copy, and can the device have it? */
static inline bool fph_vfio_is_copied(const struct vfio_queue *q)
{
	return q->enabled && !q->parked && q->copy;
}

/* copy.c */
/*
 * Have a copy for a queue that stands in memory without a descriptor.  Returns 0; -EPROTO
 * (not this way: it was told why) or -ENOMEM.
 */
int fph_vfio_copy_open(struct fph_vfio_user_server *s, uint16_t queue, struct vfio_queue *q);
/* Where the device finds the copy. */
struct fph_vq_place fph_vfio_copy_place(uint16_t queue, const struct vfio_queue *q);
/* The copy is not in use any more; freed when it is in no map. */
void fph_vfio_copy_retire(struct fph_vfio_user_server *s, struct vfio_queue *q);
void fph_vfio_copy_free(struct fph_vfio_user_server *s);
/* Is an id shown by the device whose fence does not stand yet?  Then the driver sees STOP. */
bool fph_vfio_copy_unfenced(const struct fph_vfio_user_server *s);
/*
 * The transfer that was begun is done: go on to the next.  Returns whether there is more
 * to do; then a transfer may be under way.
 */
bool fph_vfio_copy_step(struct fph_vfio_user_server *s);

/* dma.c */
/* Begin a transfer. */
void fph_vfio_dma_begin(struct fph_vfio_user_server *s, uint64_t gpa, void *here, uint32_t len,
			bool write);
/* Send and fetch what there is to be, as far as it goes without waiting. */
void fph_vfio_dma_pump(struct fph_vfio_user_server *s);
/* The reply in s->conn.  Returns 0, or -EINVAL: nobody asked for it. */
int fph_vfio_dma_answer(struct fph_vfio_user_server *s);
/* Give up what is under way; it begins anew if its queue is still there. */
void fph_vfio_dma_cancel(struct fph_vfio_user_server *s);

#endif
