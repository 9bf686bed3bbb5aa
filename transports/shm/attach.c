/* SPDX-License-Identifier: MIT */
#include "page.h"
#include "server.h"
#include "shm.h"
#include "unix/bell.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

/* ------------------------------------------------------------ memory */

static int check_span(struct fph_shm_server *s, const struct shm_region *r)
{
	unsigned long long gpa = r->gpa;

	if (r->len == 0)
		return fph_shm_because(s, -EINVAL, "the region at 0x%llx is empty", gpa);
	if (fph_span_wraps(r->gpa, r->len) || fph_span_wraps(r->offset, r->len))
		return fph_shm_because(s, -EINVAL, "the region at 0x%llx wraps", gpa);
	if ((r->gpa ^ r->offset) % SHM_PAGE)
		return fph_shm_because(s, -EINVAL, "the region at 0x%llx and its place in the "
				       "file disagree modulo %u", gpa, SHM_PAGE);
	for (uint32_t i = 0; i < s->mem.count; i++)
		if (fph_spans_overlap(r->gpa, r->len, s->regions[i].gpa, s->regions[i].len))
			return fph_shm_because(s, -EINVAL, "the region at 0x%llx overlaps another",
					       gpa);
	return 0;
}

/*
 * A file that shrinks is SIGBUS here, and so is a huge page that was punched out and
 * cannot be had again.  One that is sealed against writing cannot be mapped, nor punched.
 */
static int check_file(struct fph_shm_server *s, const struct shm_region *r, int fd,
		      struct stat *st)
{
	unsigned long long gpa = r->gpa;
	int rc = fph_file_check(fd, r->offset, r->len, st), seals;
	struct statfs fs;

	if (rc == -ENXIO)
		return fph_shm_because(s, -EINVAL, "the region at 0x%llx runs past the end of its "
				       "file", gpa);
	seals = rc < 0 ? -1 : fcntl(fd, F_GET_SEALS);
	if (seals < 0 || fstatfs(fd, &fs) < 0)
		return fph_shm_because(s, -EINVAL, "no memfd for the region at 0x%llx", gpa);
	if (fs.f_type == HUGETLBFS_MAGIC)
		return fph_shm_because(s, -EINVAL, "the region at 0x%llx is of huge pages, which "
				       "can be taken away", gpa);
	if (!(seals & F_SEAL_SHRINK))
		return fph_shm_because(s, -EPERM, "the file of the region at 0x%llx is not sealed "
				       "against shrinking", gpa);
	if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return fph_shm_because(s, -EPERM, "the file of the region at 0x%llx is sealed "
				       "against writing", gpa);
	return 0;
}

/* Check, map and put in its place by gpa.  On success the descriptor is the slot's. */
static int add_region(struct fph_shm_server *s, const struct shm_region *r, int *fd)
{
	struct shm_slot slot = { .offset = r->offset, .fd = *fd };
	struct stat st;
	void *begin;
	uint32_t i = s->mem.count;
	int rc = check_span(s, r);

	if (rc == 0)
		rc = check_file(s, r, *fd, &st);
	if (rc < 0)
		return rc;
	rc = fph_file_map(*fd, &st, r->offset, r->len, &slot.map, &begin);
	if (rc < 0)
		return fph_shm_because(s, rc, "the region at 0x%llx cannot be mapped: %s",
				       (unsigned long long)r->gpa, strerror(-rc));
	for (; i > 0 && s->regions[i - 1].gpa > r->gpa; i--) {
		s->regions[i] = s->regions[i - 1];
		s->slots[i] = s->slots[i - 1];
	}
	s->regions[i] = (struct fph_region){ .gpa = r->gpa, .len = r->len, .hva = begin };
	s->slots[i] = slot;
	s->mem.count++;
	*fd = -1;
	return 0;
}

/* ------------------------------------------------------------ eventfds and pages */

static int keep_bell(struct fph_shm_server *s, struct fph_fds *fds, unsigned i, int *to)
{
	if (fph_fd_kind(fds->fd[i]) != 0)
		return fph_shm_because(s, -EINVAL, "descriptor %u is no eventfd", i);
	*to = fds->fd[i];
	fds->fd[i] = -1;
	return 0;
}

static int keep_bells(struct fph_shm_server *s, struct fph_fds *fds)
{
	int rc = keep_bell(s, fds, SHM_FD_CTL_KICK, &s->ctl_kick);

	if (rc == 0)
		rc = keep_bell(s, fds, SHM_FD_CTL_ACK, &s->ctl_ack);
	if (rc == 0)
		rc = keep_bell(s, fds, SHM_FD_IRQ, &s->irq);
	for (unsigned q = 0; q < FPH_QUEUE_COUNT && rc == 0; q++)
		rc = keep_bell(s, fds, SHM_FD_KICK + q, &s->kicks[q].fd);
	return rc;
}

/* Returns the descriptor of our own pages. */
static int open_pages(struct fph_shm_server *s, int driver)
{
	const void *theirs;
	void *ours;
	int rc = fph_shm_page_open(driver, SHM_CLIENT_BYTES, &theirs);

	if (rc == -EPERM)
		return fph_shm_because(s, rc, "the client's page is not sealed");
	if (rc < 0)
		return fph_shm_because(s, rc, "the client's page is no memfd of %u bytes",
				       SHM_CLIENT_BYTES);
	s->driver = theirs;
	rc = fph_shm_page_make("fph-shm-server", SHM_SERVER_BYTES, &ours);
	if (rc < 0)
		return fph_shm_because(s, rc, "no page to show registers in: %s", strerror(-rc));
	s->pages = ours;
	return rc;
}

/* ------------------------------------------------------------ the request */

static int check_request(struct fph_shm_server *s, const struct shm_request *request, size_t len,
			 const struct fph_fds *fds)
{
	uint32_t regions;

	if (len < offsetof(struct shm_request, region) || request->magic != SHM_MAGIC)
		return fph_shm_because(s, -EPROTO, "this is no request to attach");
	if (request->version != SHM_VERSION)
		return fph_shm_because(s, -EPROTO, "version %u is not spoken here, %u is",
				       request->version, SHM_VERSION);
	if (request->queues != FPH_QUEUE_COUNT)
		return fph_shm_because(s, -EPROTO, "%u queues where %u should be", request->queues,
				       (unsigned)FPH_QUEUE_COUNT);
	regions = request->regions;
	if (regions == 0 || regions > FPH_SHM_REGIONS_MAX)
		return fph_shm_because(s, -EINVAL, "%u regions, where 1 to %u can be", regions,
				       FPH_SHM_REGIONS_MAX);
	if (len != offsetof(struct shm_request, region) + regions * sizeof(struct shm_region))
		return fph_shm_because(s, -EPROTO, "%zu bytes for %u regions", len, regions);
	if (fds->count != SHM_FD_REGION + regions)
		return fph_shm_because(s, -EPROTO, "%u descriptors where %u should be", fds->count,
				       (unsigned)SHM_FD_REGION + regions);
	return 0;
}

int fph_shm_take_request(struct fph_shm_server *s, const struct shm_request *request, size_t len,
			 struct fph_fds *fds)
{
	int rc = check_request(s, request, len, fds);

	if (rc == 0)
		rc = keep_bells(s, fds);
	for (uint32_t i = 0; rc == 0 && i < request->regions; i++)
		rc = add_region(s, &request->region[i], &fds->fd[SHM_FD_REGION + i]);
	return rc < 0 ? rc : open_pages(s, fds->fd[SHM_FD_DRIVER]);
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void fph_shm_release(struct fph_shm_server *s)
{
	for (uint32_t i = 0; i < s->mem.count; i++) {
		munmap(s->slots[i].map.at, s->slots[i].map.len);
		close(s->slots[i].fd);
	}
	s->mem.count = 0;
	if (s->driver)
		munmap((void *)(uintptr_t)s->driver, SHM_CLIENT_BYTES);
	if (s->pages)
		munmap(s->pages, SHM_SERVER_BYTES);
	s->driver = NULL;
	s->pages = NULL;
	close_one(&s->ctl_kick);
	close_one(&s->ctl_ack);
	close_one(&s->irq);
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		close_one(&s->kicks[q].fd);
	s->cons = s->queue_sel = s->generation = s->config_seq = 0;
	memset(s->used_seq, 0, sizeof(s->used_seq));
}
