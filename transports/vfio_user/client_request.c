/* SPDX-License-Identifier: MIT */
#include "client.h"
#include <errno.h>
#include <string.h>

/* So that a server that never stops asking does not keep the loop for itself. */
#define MESSAGES_PER_TURN 64

static int left_ms(const struct fph_vfio_user_client *c)
{
	int64_t left = c->deadline_ms - fph_vfio_now_ms();

	return left <= 0 ? 0 : (int)(left < INT32_MAX ? left : INT32_MAX);
}

static int broken(struct fph_vfio_user_client *c, int rc)
{
	if (rc == -ENOTCONN)
		return fph_vfio_client_because(c, -ECONNRESET, "the server closed the connection");
	if (rc == -EMSGSIZE)
		return fph_vfio_client_because(c, -EPROTO, "the server sent a message of %u bytes",
					       c->conn.header.size);
	return fph_vfio_client_because(c, rc, "the server: %s", strerror(-rc));
}

/* Wait once.  Returns 0 (there may be something now) or a negative errno, noted. */
static int await(struct fph_vfio_user_client *c)
{
	int left = left_ms(c), rc;

	if (left == 0)
		return fph_vfio_client_because(c, -ETIMEDOUT, "the server did not answer in time");
	rc = fph_vfio_conn_wait(&c->conn, left);
	return rc < 0 ? broken(c, rc) : 0;
}

/* ------------------------------------------------------------ what the server asks for */

/* Where those bytes of guest memory are here, or NULL: no region has them all. */
static unsigned char *memory_at(const struct fph_vfio_user_client *c,
				const struct vfio_dma_access *a)
{
	for (uint32_t i = 0; i < c->opts.region_count; i++) {
		const struct fph_vfio_user_region *r = &c->regions[i];

		if (r->hva && a->addr >= r->gpa && a->addr - r->gpa < r->len &&
		    a->count <= r->len - (a->addr - r->gpa))
			return (unsigned char *)r->hva + (a->addr - r->gpa);
	}
	return NULL;
}

static int answer(struct fph_vfio_user_client *c, int error, const struct vfio_dma_access *a,
		  const void *data)
{
	const struct vfio_header *h = &c->conn.header;
	struct vfio_header header = { .id = h->id, .command = h->command, .flags = VFIO_REPLY };
	int rc;

	if (h->flags & VFIO_NO_REPLY)
		return 0;
	if (error) {
		c->total.refused++;
		header.flags |= VFIO_ERROR;
		header.error = (uint32_t)error;
	}
	rc = fph_vfio_conn_send(&c->conn, header, a, error ? 0 : sizeof(*a), data,
				data && !error ? (size_t)a->count : 0, NULL, 0);
	return rc < 0 ? broken(c, rc) : 0;
}

static int serve_request(struct fph_vfio_user_client *c)
{
	const struct vfio_header *h = &c->conn.header;
	struct vfio_dma_access a;
	unsigned char *at;

	if (c->conn.len < sizeof(a) ||
	    (h->command != VFIO_DMA_READ && h->command != VFIO_DMA_WRITE))
		return answer(c, EINVAL, NULL, NULL);
	memcpy(&a, c->conn.body, sizeof(a));
	if (a.count > VFIO_XFER_MAX)
		return answer(c, EINVAL, NULL, NULL);
	at = memory_at(c, &a);
	if (!at)
		return answer(c, EFAULT, NULL, NULL);
	if (h->command == VFIO_DMA_READ) {
		c->total.dma_reads++;
		return answer(c, 0, &a, at);
	}
	if (c->conn.len - sizeof(a) != a.count)
		return answer(c, EINVAL, NULL, NULL);
	c->total.dma_writes++;
	memcpy(at, c->conn.body + sizeof(a), (size_t)a.count);
	return answer(c, 0, &a, NULL);
}

/*
 * Take one message.  Returns 1 (a reply is in c->conn), 0 (a request was served),
 * -EAGAIN (nothing now) or another errno, noted.
 */
static int take(struct fph_vfio_user_client *c)
{
	int rc = fph_vfio_conn_read(&c->conn);

	if (rc == 0)
		return -EAGAIN;
	if (rc < 0)
		return broken(c, rc);
	if ((c->conn.header.flags & VFIO_TYPE) == VFIO_REPLY)
		return 1;
	return serve_request(c);
}

/* Answers of ours must not stay behind while nobody waits. */
static int flush(struct fph_vfio_user_client *c)
{
	while (fph_vfio_conn_waits(&c->conn)) {
		int rc = await(c);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int fph_vfio_client_serve(struct fph_vfio_user_client *c)
{
	int rc = 0;

	for (int i = 0; i < MESSAGES_PER_TURN && rc == 0; i++)
		rc = take(c);
	if (rc > 0)
		return fph_vfio_client_because(c, -EPROTO,
					       "the server answers what it was not asked");
	return rc == -EAGAIN || rc == 0 ? flush(c) : rc;
}

/* ------------------------------------------------------------ what we ask for */

static int transmit(struct fph_vfio_user_client *c, const struct vfio_request *r, uint32_t flags)
{
	struct vfio_header header = {
		.id = ++c->id,
		.command = (uint16_t)r->command,
		.flags = flags,
	};
	int rc = fph_vfio_conn_send(&c->conn, header, r->body, r->len, r->data, r->data_len, r->fds,
				    r->fd_count);

	return rc < 0 ? broken(c, rc) : 0;
}

static int judge(struct fph_vfio_user_client *c, const struct vfio_request *r, size_t least)
{
	const struct vfio_header *h = &c->conn.header;

	if (h->id != c->id || h->command != r->command)
		return fph_vfio_client_because(c, -EPROTO, "the server answers %u to request %u",
					       h->command, r->command);
	if (h->flags & VFIO_ERROR)
		return fph_vfio_client_because(c, -EREMOTEIO, "the server refuses request %u: %s",
					       r->command, strerror((int)(h->error & 0xfff)));
	if (c->conn.len < least)
		return fph_vfio_client_because(c, -EPROTO, "the answer to request %u is too short",
					       r->command);
	return 0;
}

int fph_vfio_client_ask(struct fph_vfio_user_client *c, const struct vfio_request *request,
			size_t least)
{
	int rc = transmit(c, request, VFIO_REQUEST);

	c->total.requests++;
	while (rc == 0) {
		rc = take(c);
		if (rc > 0)
			return judge(c, request, least);
		if (rc == -EAGAIN)
			rc = await(c);
	}
	return rc;
}

int fph_vfio_client_post(struct fph_vfio_user_client *c, const struct vfio_request *request)
{
	int rc = transmit(c, request, VFIO_REQUEST | VFIO_NO_REPLY);

	c->total.posted++;
	return rc < 0 ? rc : flush(c);
}
