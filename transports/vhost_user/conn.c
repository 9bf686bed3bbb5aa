/* SPDX-License-Identifier: MIT */
#include "back.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* So that a front end that never stops talking does not keep the loop for itself. */
#define MESSAGES_PER_TURN 64u

/* ------------------------------------------------------------ out */

enum vu_outcome fph_vu_reply(struct fph_vhost_user *vu, const void *body, uint32_t size)
{
	struct vu_header head = {
		.request = vu->msg.head.request,
		.flags = VU_VERSION | VU_REPLY,
		.size = size,
	};
	struct iovec iov[] = { { &head, sizeof(head) }, { (void *)(uintptr_t)body, size } };
	struct msghdr out = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = sendmsg(vu->conn, &out, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n == (ssize_t)(sizeof(head) + size))
		return VU_REPLIED;
	/* Answers are small: a socket that is full of them belongs to somebody who never reads. */
	return fph_vu_break(vu, "the answer to %s cannot be sent: %s",
			    fph_vu_request_name(head.request),
			    n < 0 ? strerror(errno) : "the socket is full");
}

enum vu_outcome fph_vu_reply_u64(struct fph_vhost_user *vu, uint64_t value)
{
	return fph_vu_reply(vu, &value, sizeof(value));
}

/* ------------------------------------------------------------ in */

static enum vu_outcome end_of_stream(struct fph_vhost_user *vu, const char *how)
{
	if (vu->got == 0)
		return fph_vu_break(vu, "the front end %s", how);
	if (vu->got < sizeof(vu->msg.head))
		return fph_vu_break(vu, "the front end %s in the middle of a header", how);
	return fph_vu_break(vu, "the front end %s in the middle of %s", how,
			    fph_vu_request_name(vu->msg.head.request));
}

/*
 * Take in more of the message, and nothing of the next one, so that descriptors are
 * never taken for those of another message.
 */
static enum vu_outcome take_in(struct fph_vhost_user *vu, bool *dry)
{
	const size_t head = sizeof(vu->msg.head);
	bool in_head = vu->got < head;
	size_t have = in_head ? vu->got : vu->got - head;
	unsigned char *to = in_head ? (unsigned char *)&vu->msg.head :
				      (unsigned char *)&vu->msg.body;
	struct iovec iov = { to + have, (in_head ? head : vu->msg.head.size) - have };
	_Alignas(struct cmsghdr) unsigned char control[FPH_FDS_CONTROL];
	struct msghdr in = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(vu->conn, &in, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*dry = n < 0 && (errno == EAGAIN || errno == EINTR);
	if (*dry)
		return VU_DONE;
	if (n < 0)
		return end_of_stream(vu, strerror(errno));
	if (n == 0)
		return end_of_stream(vu, "closed the connection");
	vu->got += (size_t)n;
	if (fph_fds_take(&vu->msg.fds, &in) < 0)
		return fph_vu_break(vu, "a message came with more descriptors than can be taken");
	return VU_DONE;
}

static enum vu_outcome answer(struct fph_vhost_user *vu, enum vu_outcome out)
{
	/* Without REPLY_ACK the flag has no meaning, and an answer would be taken for another's. */
	bool wanted = (vu->msg.head.flags & VU_NEED_REPLY) && fph_vu_has(vu, VU_P_REPLY_ACK);

	if (out == VU_DONE && wanted)
		return fph_vu_reply_u64(vu, 0);
	if (out == VU_REFUSED && wanted)
		return fph_vu_reply_u64(vu, 1);
	/* A front end that believes it was obeyed is worse than one that has to come back. */
	return out == VU_REFUSED ? VU_BROKEN : out;
}

static enum vu_outcome act(struct fph_vhost_user *vu)
{
	enum vu_outcome out;

	vu->busy = true;
	out = fph_vu_handle(vu);
	fph_fds_close(&vu->msg.fds);
	/* The embedder lets go of what is gone before the front end hears that it is. */
	if (vu->changed && out != VU_BROKEN) {
		vu->changed = false;
		if (vu->opts.changed)
			vu->opts.changed(vu->opts.device.ctx);
	}
	out = answer(vu, out);
	vu->busy = false;
	vu->got = 0;
	fph_vu_tell_config(vu);
	return out;
}

void fph_vu_receive(struct fph_vhost_user *vu)
{
	const size_t head = sizeof(vu->msg.head);
	enum vu_outcome out = VU_DONE;
	unsigned handled = 0;
	bool dry = false;

	while (out != VU_BROKEN && handled < MESSAGES_PER_TURN) {
		out = take_in(vu, &dry);
		if (out == VU_BROKEN || dry)
			break;
		if (vu->got == head)
			out = fph_vu_check_header(vu);
		if (out != VU_BROKEN && vu->got >= head && vu->got == head + vu->msg.head.size) {
			out = act(vu);
			handled++;
		}
	}
	if (out == VU_BROKEN)
		fph_vu_drop(vu);
}
