/* SPDX-License-Identifier: MIT */
/*
 * What the socket transports make of a peer's bytes before anybody acts on them.  The socket
 * gives any bytes in pieces of any length; what it is told to fill is proved to be live.
 */
#include <errno.h>
#include <sys/socket.h>

#define PIECES 2u

static unsigned pieces;

/*
 * One piece of any length; an end, an error, or nothing more for now once PIECES came.  Of
 * what comes only headers are looked at here: where it is called, a header that is not yet
 * whole becomes anything.
 */
static inline ssize_t any_recvmsg(const struct msghdr *in)
{
	const struct iovec *iov = in->msg_iov;

	PROVE(in->msg_iovlen == 1 && iov->iov_len > 0);
	PROVE(__CPROVER_w_ok(iov->iov_base, iov->iov_len));
	PROVE(__CPROVER_w_ok(in->msg_control, in->msg_controllen));
	if (pieces++ == PIECES || ANY(bool)) {
		errno = ANY(bool) ? EAGAIN : EIO;
		return ANY(bool) ? -1 : 0;
	}
	return (ssize_t)any_up_to(iov->iov_len);
}

#ifndef SHM
#include <unix/fds.h>

int fph_fds_take(struct fph_fds *fds, struct msghdr *in)
{
	(void)in;
	fds->count = (unsigned)any_up_to(FPH_FDS_MAX);
	return ANY(bool) ? -E2BIG : 0;
}

void fph_fds_close(struct fph_fds *fds)
{
	fds->count = 0;
}
#endif

#ifdef VFIO
#include <vfio_user/conn.h>

static struct vfio_header any_header(void)
{
	return (struct vfio_header){ (uint16_t)nondet_u64(), (uint16_t)nondet_u64(),
				     (uint32_t)nondet_u64(), (uint32_t)nondet_u64(),
				     (uint32_t)nondet_u64() };
}

#define recvmsg(fd, in, flags)                                                                     \
	(conn->header = conn->have < sizeof(conn->header) ? any_header() : conn->header,           \
	 any_recvmsg(in))
#include <vfio_user/conn.c>

#define BODY FPH_VFIO_BODY_MAX

/* Between two reads: in a header, or in the body of a message that may be. */
static bool is_conn(const struct fph_vfio_conn *conn)
{
	return conn->have < HEADER ||
	       (conn->have < conn->header.size && conn->header.size - HEADER <= BODY);
}

/*
 * proof: vfio_read
 * of: fph_vfio_conn_read
 * says: any bytes from any state: each lands in its message's place, size judged before the body, state good
 * bounds: 2 pieces a call, of any length; bodies to the limit, 1 MiB and 4 KiB
 * sources:
 * defines: -D_GNU_SOURCE -DVFIO
 * unwind: 4
 * mutant: transports/vfio_user/conn.c s/HEADER > FPH_VFIO_BODY_MAX/HEADER > FPH_VFIO_BODY_MAX + 1/
 */
void proof_vfio_read(void)
{
	struct fph_vfio_conn conn;
	uint32_t old_have;
	uint64_t old_skip;
	int rc;

	ANYTHING(conn);
	conn.body = any_bytes(BODY);
	ASSUME(is_conn(&conn) && (!conn.skip || !conn.have) && conn.skip <= UINT32_MAX);
	old_have = conn.have;
	old_skip = conn.skip;
	rc = fph_vfio_conn_read(&conn);
	PROVE(rc <= 1 && rc != -EAGAIN);
	PROVE(is_conn(&conn) && (!conn.skip || !conn.have) && conn.skip <= UINT32_MAX);
	if (rc == 1) {
		PROVE(conn.len <= BODY && conn.header.size == conn.len + HEADER && !conn.have);
		REACHED(conn.len == BODY && old_have > HEADER);
		REACHED(conn.len == 0 && old_skip);
	}
	/* The next read takes up where a message that cannot be ends. */
	if (rc == -EMSGSIZE) {
		PROVE(conn.header.size < HEADER || conn.header.size - HEADER > BODY);
		PROVE(conn.skip == (conn.header.size < HEADER ? 0 : conn.header.size - HEADER));
		REACHED(conn.skip == UINT32_MAX - HEADER);
	}
	REACHED(rc == 0 && conn.have > HEADER);
	REACHED(rc == -ENOTCONN);
}
#endif

#ifdef VHOST
#include <vhost_user/back.h>

static struct vu_header any_header(void)
{
	return (struct vu_header){ (uint32_t)nondet_u64(), (uint32_t)nondet_u64(),
				   (uint32_t)nondet_u64() };
}

#define recvmsg(fd, in, flags)                                                                     \
	(vu->msg.head = vu->got < sizeof(vu->msg.head) ? any_header() : vu->msg.head,              \
	 any_recvmsg(in))
#define fph_vu_handle whole_message
#include <vhost_user/conn.c>

static bool dropped, whole;

ssize_t sendmsg(int fd, const struct msghdr *out, int flags)
{
	(void)fd;
	(void)flags;
	for (size_t i = 0; i < out->msg_iovlen; i++)
		PROVE(__CPROVER_r_ok(out->msg_iov[i].iov_base, out->msg_iov[i].iov_len));
	return (ssize_t)any_up_to(64) - 1;
}

enum vu_outcome fph_vu_break(struct fph_vhost_user *vu, const char *format, ...)
{
	(void)vu;
	(void)format;
	return VU_BROKEN;
}

void fph_vu_drop(struct fph_vhost_user *vu)
{
	dropped = true;
	vu->got = 0;
}

void fph_vu_tell_config(struct fph_vhost_user *vu)
{
	PROVE(!vu->busy && vu->got == 0);
}

char *strerror(int number)
{
	static char text[] = "?";

	(void)number;
	return text;
}

/* Between two turns: in a header, or in the body of a message that may be. */
static bool is_vu(const struct fph_vhost_user *vu)
{
	const size_t head = sizeof(vu->msg.head);

	return vu->got < head || (vu->msg.head.size <= sizeof(vu->msg.body) &&
				  vu->got < head + vu->msg.head.size);
}

enum vu_outcome whole_message(struct fph_vhost_user *vu)
{
	const struct vu_header *h = &vu->msg.head;

	PROVE(vu->got == sizeof(*h) + h->size && h->size <= sizeof(vu->msg.body));
	whole = true;
	return (enum vu_outcome)any_up_to(VU_BROKEN);
}

/*
 * proof: vhost_receive
 * of: fph_vu_receive, fph_vu_check_header
 * says: any bytes from any state: each lands in its message's place, the header is judged before the body, acted on once whole
 * bounds: 2 pieces a call, of any length; every request, flag and size
 * sources: transports/vhost_user/message.c
 * defines: -D_GNU_SOURCE -DVHOST
 * unwind: 4
 * mutant: transports/vhost_user/message.c s/h->size < min || h->size > max/h->size < min/
 */
void proof_vhost_receive(void)
{
	static struct fph_vhost_user vu;

	vu.msg.head = any_header();
	vu.got = nondet_u64();
	vu.changed = ANY(bool);
	vu.protocol = nondet_u64();
	ASSUME(is_vu(&vu));
	fph_vu_receive(&vu);
	PROVE(is_vu(&vu));
	PROVE(!vu.busy);
	REACHED(whole && !dropped);
	REACHED(vu.got == 200);
	REACHED(dropped && !whole);
}

/*
 * proof: vhost_header
 * of: fph_vu_check_header
 * says: only version 1, no answer, no undefined flag, and a body of the size that the request may have
 * bounds: every header
 * sources: transports/vhost_user/message.c
 * defines: -D_GNU_SOURCE -DVHOST
 * unwind: 2
 * mutant: transports/vhost_user/message.c s/h->flags & VU_REPLY/h->flags \& VU_NEED_REPLY/
 */
void proof_vhost_header(void)
{
	static struct fph_vhost_user vu;
	const struct vu_header *h = &vu.msg.head;
	enum vu_outcome out;

	ANYTHING(vu);
	out = fph_vu_check_header(&vu);
	PROVE(out == VU_DONE || out == VU_BROKEN);
	if (out == VU_DONE) {
		PROVE((h->flags & ~VU_NEED_REPLY) == VU_VERSION);
		PROVE(h->size <= sizeof(vu.msg.body));
		PROVE(h->request != VU_SET_FEATURES || h->size == 8);
		PROVE(h->request != VU_SET_VRING_ADDR || h->size == sizeof(struct vu_ring_addr));
		PROVE(h->request != VU_SET_CONFIG || h->size >= VU_CONFIG_HEAD);
		PROVE(h->request != VU_SET_MEM_TABLE || h->size >= 8);
		PROVE(h->request != VU_ADD_MEM_REG || h->size == sizeof(struct vu_mem_reg));
		REACHED(h->request == VU_SET_MEM_TABLE && h->size == sizeof(struct vu_mem_table));
		REACHED(h->request > VU_REQUEST_END && h->size == sizeof(vu.msg.body));
	}
	REACHED(out == VU_BROKEN && h->flags == VU_VERSION);
}
#endif

#ifdef SHM
#include <shm/attach.c>

static struct fph_shm_server server;

int fph_shm_because(struct fph_shm_server *s, int rc, const char *format, ...)
{
	(void)s;
	(void)format;
	return rc;
}

/*
 * proof: shm_request
 * of: check_request of shm/attach.c
 * says: reads no byte past what came, takes a request only with its exact length, version and descriptors
 * bounds: every request of up to its longest and a byte, any descriptors
 * sources: transports/unix/map.c
 * defines: -D_GNU_SOURCE -DSHM
 * unwind: 2
 * mutant: transports/shm/attach.c s/if (len < offsetof(struct shm_request, region) ||/if (len < 8 ||/
 */
void proof_shm_request(void)
{
	size_t len = any_up_to(sizeof(struct shm_request) + 1);
	const struct shm_request *request = any_bytes(len);
	struct fph_fds fds;
	int rc;

	ANYTHING(fds);
	rc = check_request(&server, request, len, &fds);
	PROVE(rc == 0 || rc == -EPROTO || rc == -EINVAL);
	if (rc == 0) {
		PROVE(request->magic == SHM_MAGIC && request->version == SHM_VERSION);
		PROVE(request->regions >= 1 && request->regions <= FPH_SHM_REGIONS_MAX);
		PROVE(__CPROVER_r_ok(&request->region[request->regions - 1],
				     sizeof(struct shm_region)));
		PROVE(fds.count == SHM_FD_REGION + request->regions && fds.count <= FPH_FDS_MAX);
		REACHED(len == sizeof(*request));
	}
	REACHED(rc == -EINVAL);
	REACHED(rc == -EPROTO && len == 0);
}

/*
 * proof: shm_span
 * of: check_span of shm/attach.c
 * says: takes a region only if it is not empty, does not wrap, here and in its file, and meets no other
 * bounds: beside up to 2 regions, any places and sizes
 * sources: transports/unix/map.c
 * defines: -D_GNU_SOURCE -DSHM
 * unwind: 4
 * mutant: transports/unix/map.c s/a - b < b_size/a - b + 1 < b_size/
 */
void proof_shm_span(void)
{
	struct shm_region r = { nondet_u64(), nondet_u64(), nondet_u64() };
	uint64_t x = nondet_u64();
	int rc;

	ANYTHING(server);
	ASSUME(server.mem.count <= 2);
	for (uint32_t i = 0; i < server.mem.count; i++)
		ASSUME(server.regions[i].len &&
		       server.regions[i].gpa + (server.regions[i].len - 1) >= server.regions[i].gpa);
	rc = check_span(&server, &r);
	PROVE(rc == 0 || rc == -EINVAL);
	if (rc == 0) {
		PROVE(r.len && r.gpa + (r.len - 1) >= r.gpa && r.offset + (r.len - 1) >= r.offset);
		PROVE((r.gpa ^ r.offset) % 4096 == 0);
		for (uint32_t i = 0; i < server.mem.count; i++)
			PROVE(!(x - r.gpa < r.len &&
				x - server.regions[i].gpa < server.regions[i].len));
		REACHED(server.mem.count == 2);
	}
	REACHED(rc < 0 && r.len == 4096 && !r.gpa && !r.offset);
}
#endif
