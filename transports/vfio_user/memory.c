/* SPDX-License-Identifier: MIT */
#include "server.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ------------------------------------------------------------ the table */

/* The first area that ends behind gpa. */
static unsigned find(const struct fph_vfio_user_server *s, uint64_t gpa)
{
	unsigned low = 0, high = s->area_count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (s->areas[middle].gpa + (s->areas[middle].len - 1) < gpa)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct vfio_area *fph_vfio_area_at(const struct fph_vfio_user_server *s, uint64_t gpa,
					 uint64_t len)
{
	unsigned i = find(s, gpa);
	const struct vfio_area *a = &s->areas[i];

	if (i == s->area_count || gpa < a->gpa || gpa - a->gpa >= a->len ||
	    len > a->len - (gpa - a->gpa))
		return NULL;
	return a;
}

static void release(struct vfio_area *a)
{
	if (a->map.at)
		munmap(a->map.at, a->map.len);
	if (a->fd >= 0)
		close(a->fd);
}

/* ------------------------------------------------------------ the maps */

static void add(struct vfio_map *m, struct fph_region region)
{
	m->regions[m->mem.count++] = region;
}

/* The first part of a copied ring in the rest of an area, which holds it to its end; or false. */
static bool first_ring(const struct fph_vfio_user_server *s, const struct fph_region *region,
		       struct fph_range *first)
{
	bool found = false;

	for (unsigned i = 0; i < FPH_QUEUE_COUNT * 3; i++) {
		const struct vfio_queue *q = &s->queues[i / 3];
		struct fph_range r;

		if (!fph_vfio_is_copied(q))
			continue;
		r = fph_vfio_part(s, &q->place, i % 3);
		if (!fph_spans_overlap(r.gpa, r.len, region->gpa, region->len))
			continue;
		if (r.gpa < region->gpa) {
			r.len -= region->gpa - r.gpa;
			r.gpa = region->gpa;
		}
		if (!found || r.gpa < first->gpa)
			*first = r;
		found = true;
	}
	return found;
}

/*
 * Where the device has a copy of the ring it does not know where the ring is, and no hint
 * of that place may count.  Row 69
 */
static void add_around_rings(const struct fph_vfio_user_server *s, struct vfio_map *m,
			     struct fph_region rest)
{
	struct fph_range ring = { 0 };

	while (rest.len && first_ring(s, &rest, &ring)) {
		uint64_t before = ring.gpa - rest.gpa;

		if (before)
			add(m, (struct fph_region){ rest.gpa, before, NULL, rest.flags });
		add(m, (struct fph_region){ ring.gpa, ring.len, NULL, FPH_REGION_READONLY });
		rest.gpa += before + ring.len;
		rest.len -= before + ring.len;
	}
	if (rest.len)
		add(m, rest);
}

/* A ring part, or what was fetched of buffers: nothing may be hinted of that. */
static void add_copy(const struct fph_vfio_user_server *s, struct vfio_map *m, uint16_t queue)
{
	const struct vfio_queue *q = &s->queues[queue];
	struct fph_vq_place place = fph_vfio_copy_place(queue, q);

	for (unsigned i = 0; i < 3; i++) {
		struct fph_range r = fph_vfio_part(s, &place, i);

		add(m, (struct fph_region){ r.gpa, r.len, q->copy + q->at[i], 0 });
	}
	add(m, (struct fph_region){ VFIO_COPY_GPA(queue) + q->at[PART_BUFFERS],
				    q->at[PART_TABLE] - q->at[PART_BUFFERS],
				    q->copy + q->at[PART_BUFFERS], FPH_REGION_READONLY });
}

void fph_vfio_remap(struct fph_vfio_user_server *s)
{
	struct vfio_map *next = &s->maps[!s->map];

	fph_vfio_park(s);
	next->mem.count = 0;
	for (unsigned i = 0; i < s->area_count; i++) {
		const struct vfio_area *a = &s->areas[i];
		struct fph_region region = { a->gpa, a->len, a->hva, a->flags };

		s->view_regions[i] = region;
		if (a->hva)
			add(next, region);
		else
			add_around_rings(s, next, region);
	}
	s->view.count = s->area_count;
	for (uint16_t i = 0; i < FPH_QUEUE_COUNT; i++)
		if (fph_vfio_is_copied(&s->queues[i]))
			add_copy(s, next, i);
	s->map = !s->map;
	fph_device_set_mem(&s->device, &next->mem);
	s->map_is_old = false;
	fph_vfio_copy_free(s);
	fph_vfio_unpark(s);
}

/* ------------------------------------------------------------ map */

static bool is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK);
}

/* Have the file, if it is one that can be used.  Returns 0 or a negative errno. */
static int take_file(struct fph_vfio_user_server *s, struct vfio_area *a, int fd)
{
	struct stat st;
	int rc = fph_file_check(fd, a->offset, a->len, &st);

	if (rc < 0)
		return -EINVAL;
	if ((s->opts.flags & FPH_VFIO_USER_SEALED) && !is_sealed(fd))
		return 0;
	rc = fph_file_map(fd, &st, a->offset, a->len, &a->map, &a->hva);
	if (rc < 0) {
		a->map = (struct fph_map){ 0 };
		a->hva = NULL;
		/* What may only be read cannot be mapped as we do it, and need not be. */
		return a->flags & FPH_REGION_READONLY ? 0 : rc;
	}
	a->fd = fd;
	return 0;
}

int fph_vfio_dma_map(struct fph_vfio_user_server *s, const struct vfio_dma_map *map,
		     struct fph_fds *fds)
{
	const uint32_t known = VFIO_MAP_READ | VFIO_MAP_WRITE | VFIO_MAP_MMAP;
	struct vfio_area a = {
		.gpa = map->iova, .len = map->size, .fd = -1, .offset = map->offset
	};
	unsigned at;
	int rc;

	if (map->argsz < sizeof(*map) || (map->flags & ~known) || fds->count > 1)
		return -EINVAL;
	if (map->size == 0 || fph_span_wraps(map->iova, map->size) ||
	    ((map->iova | map->size) & (VFIO_PAGE - 1)))
		return -EINVAL;
	if (map->iova + (map->size - 1) >= VFIO_COPY_GPA(0))
		return -EINVAL;
	if (fds->count &&
	    ((map->offset & (VFIO_PAGE - 1)) || fph_span_wraps(map->offset, map->size)))
		return -EINVAL;
	at = find(s, map->iova);
	if (at < s->area_count &&
	    fph_spans_overlap(s->areas[at].gpa, s->areas[at].len, map->iova, map->size))
		return -EEXIST;
	if (s->area_count == VFIO_MAPS_MAX)
		return -ENOSPC;
	if (!(map->flags & VFIO_MAP_WRITE) || !(map->flags & VFIO_MAP_READ))
		a.flags = FPH_REGION_READONLY;
	if (fds->count) {
		rc = take_file(s, &a, fds->fd[0]);
		if (rc < 0)
			return rc;
		if (a.fd >= 0)
			fds->fd[0] = -1;
	}
	memmove(&s->areas[at + 1], &s->areas[at], (s->area_count - at) * sizeof(a));
	s->areas[at] = a;
	s->area_count++;
	s->total.maps++;
	s->changed = true;
	fph_vfio_remap(s);
	return 0;
}

/* ------------------------------------------------------------ unmap */

/* What is mapped by the device is released when it is not any more. */
static void take_out(struct fph_vfio_user_server *s, unsigned at)
{
	struct vfio_area gone = s->areas[at];

	s->area_count--;
	memmove(&s->areas[at], &s->areas[at + 1], (s->area_count - at) * sizeof(gone));
	if (!gone.hva)
		fph_vfio_dma_cancel(s);
	fph_vfio_remap(s);
	release(&gone);
	s->total.unmaps++;
	s->changed = true;
}

int fph_vfio_dma_unmap(struct fph_vfio_user_server *s, const struct vfio_dma_unmap *unmap)
{
	unsigned at;

	if (unmap->argsz < sizeof(*unmap) || (unmap->flags & ~VFIO_UNMAP_ALL))
		return -EINVAL;
	if (unmap->flags & VFIO_UNMAP_ALL) {
		if (unmap->iova || unmap->size)
			return -EINVAL;
		s->total.unmaps += s->area_count;
		s->changed = true;
		fph_vfio_unmap_all(s);
		return 0;
	}
	at = find(s, unmap->iova);
	if (at == s->area_count || s->areas[at].gpa != unmap->iova ||
	    s->areas[at].len != unmap->size)
		return -ENOENT;
	take_out(s, at);
	return 0;
}

void fph_vfio_unmap_all(struct fph_vfio_user_server *s)
{
	unsigned count = s->area_count;

	s->area_count = 0;
	fph_vfio_dma_cancel(s);
	fph_vfio_remap(s);
	for (unsigned i = 0; i < count; i++)
		release(&s->areas[i]);
}
