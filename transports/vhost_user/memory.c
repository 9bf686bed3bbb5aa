/* SPDX-License-Identifier: MIT */
#include "back.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------ one region */

static const char *name(const struct fph_vhost_user *vu)
{
	return fph_vu_request_name(vu->msg.head.request);
}

static enum vu_outcome check_region(struct fph_vhost_user *vu, const struct vu_memory *memory,
				    const struct vu_region *r)
{
	unsigned long long gpa = r->gpa;

	if (r->size == 0)
		return fph_vu_refuse(vu, "%s: the region at 0x%llx is empty", name(vu), gpa);
	if (fph_span_wraps(r->gpa, r->size) || fph_span_wraps(r->user, r->size) || fph_span_wraps(r->offset, r->size))
		return fph_vu_refuse(vu, "%s: the region at 0x%llx wraps", name(vu), gpa);
	if ((r->gpa ^ r->offset) % 16)
		return fph_vu_refuse(vu, "%s: the region at 0x%llx and its file offset disagree "
				     "modulo 16", name(vu), gpa);
	if (memory->mem.count == VU_REGIONS_MAX)
		return fph_vu_refuse(vu, "%s: more than %u regions", name(vu), VU_REGIONS_MAX);
	for (uint32_t i = 0; i < memory->mem.count; i++) {
		const struct fph_region *other = &memory->regions[i];

		if (fph_spans_overlap(r->gpa, r->size, other->gpa, other->len) ||
		    fph_spans_overlap(r->user, r->size, memory->slots[i].user, other->len))
			return fph_vu_refuse(vu, "%s: the region at 0x%llx overlaps another",
					     name(vu), gpa);
	}
	return VU_DONE;
}

static enum vu_outcome check_file(struct fph_vhost_user *vu, const struct vu_region *r, int fd,
				  struct stat *st)
{
	unsigned long long gpa = r->gpa;
	int rc = fph_file_check(fd, r->offset, r->size, st), seals;

	if (rc == -ENXIO)
		return fph_vu_refuse(vu, "%s: the region at 0x%llx runs past the end of its file",
				     name(vu), gpa);
	if (rc < 0)
		return fph_vu_refuse(vu, "%s: no file for the region at 0x%llx", name(vu), gpa);
	if (vu->opts.flags & FPH_VHOST_USER_SEALED) {
		seals = fcntl(fd, F_GET_SEALS);
		if (seals < 0 || !(seals & F_SEAL_SHRINK))
			return fph_vu_refuse(vu, "%s: the file of the region at 0x%llx is not "
					     "sealed against shrinking", name(vu), gpa);
	}
	return VU_DONE;
}

static enum vu_outcome map_region(struct fph_vhost_user *vu, const struct vu_region *r, int fd,
				  struct vu_slot *slot, struct fph_region *region)
{
	struct stat st;
	void *begin;
	int rc;
	enum vu_outcome out = check_file(vu, r, fd, &st);

	if (out != VU_DONE)
		return out;
	*slot = (struct vu_slot){ .user = r->user, .offset = r->offset, .fd = fd };
	rc = fph_file_map(fd, &st, r->offset, r->size, &slot->map, &begin);
	if (rc < 0)
		return fph_vu_refuse(vu, "%s: the region at 0x%llx cannot be mapped: %s", name(vu),
				     (unsigned long long)r->gpa, strerror(-rc));
	*region = (struct fph_region){ .gpa = r->gpa, .len = r->size, .hva = begin };
	return VU_DONE;
}

/* Check, map and put in its place by gpa.  On success the descriptor is the slot's. */
static enum vu_outcome add(struct fph_vhost_user *vu, struct vu_memory *memory,
			   const struct vu_region *r, int *fd)
{
	struct fph_region region;
	struct vu_slot slot;
	uint32_t i = memory->mem.count;
	enum vu_outcome out = check_region(vu, memory, r);

	if (out == VU_DONE)
		out = map_region(vu, r, *fd, &slot, &region);
	if (out != VU_DONE)
		return out;
	for (; i > 0 && memory->regions[i - 1].gpa > r->gpa; i--) {
		memory->regions[i] = memory->regions[i - 1];
		memory->slots[i] = memory->slots[i - 1];
	}
	memory->regions[i] = region;
	memory->slots[i] = slot;
	memory->mem.count++;
	*fd = -1;
	return VU_DONE;
}

static void drop_slot(struct vu_slot *slot)
{
	munmap(slot->map.at, slot->map.len);
	close(slot->fd);
}

static void drop_all(struct vu_memory *memory)
{
	for (uint32_t i = 0; i < memory->mem.count; i++)
		drop_slot(&memory->slots[i]);
	memory->mem.count = 0;
}

/* ------------------------------------------------------------ the table */

void fph_vu_memory_init(struct fph_vhost_user *vu)
{
	for (unsigned i = 0; i < 2; i++)
		vu->memory[i].mem.regions = vu->memory[i].regions;
}

static struct vu_memory *current(struct fph_vhost_user *vu)
{
	return &vu->memory[vu->current];
}

static struct vu_memory *spare(struct fph_vhost_user *vu)
{
	return &vu->memory[!vu->current];
}

/* The device goes over to the spare table, and nothing looks at the other any more. */
static enum vu_outcome switch_over(struct fph_vhost_user *vu)
{
	int rc = fph_device_set_mem(&vu->device, &spare(vu)->mem);

	vu->current = !vu->current;
	vu->changed = true;
	if (rc < 0)
		return fph_vu_refuse(vu, "%s: a running ring is not in the new memory", name(vu));
	return VU_DONE;
}

enum vu_outcome fph_vu_set_table(struct fph_vhost_user *vu)
{
	const struct vu_mem_table *table = &vu->msg.body.table;
	struct vu_memory *next = spare(vu);
	enum vu_outcome out = VU_DONE;

	/* User-mode Linux sends room for two regions and says that it is one. */
	if (table->count > VU_REGIONS_MAX ||
	    vu->msg.head.size < 8 + table->count * sizeof(struct vu_region))
		return fph_vu_break(vu, "SET_MEM_TABLE: %u bytes for %u regions",
				    vu->msg.head.size, table->count);
	if (vu->msg.fds.count != table->count)
		return fph_vu_break(vu, "SET_MEM_TABLE: %u descriptors for %u regions",
				    vu->msg.fds.count, table->count);
	for (uint32_t i = 0; i < table->count && out == VU_DONE; i++)
		out = add(vu, next, &table->regions[i], &vu->msg.fds.fd[i]);
	if (out != VU_DONE) {
		drop_all(next);
		return out;
	}
	out = switch_over(vu);
	drop_all(spare(vu));
	return out;
}

/* All that is mapped now, without region number `but`. */
static void copy_but(struct fph_vhost_user *vu, uint32_t but)
{
	const struct vu_memory *from = current(vu);
	struct vu_memory *to = spare(vu);
	uint32_t n = 0;

	for (uint32_t i = 0; i < from->mem.count; i++) {
		if (i == but)
			continue;
		to->regions[n] = from->regions[i];
		to->slots[n++] = from->slots[i];
	}
	to->mem.count = n;
}

enum vu_outcome fph_vu_add_region(struct fph_vhost_user *vu)
{
	enum vu_outcome out;

	copy_but(vu, UINT32_MAX);
	out = add(vu, spare(vu), &vu->msg.body.reg.region, &vu->msg.fds.fd[0]);
	if (out == VU_DONE)
		out = switch_over(vu);
	/* Either way the mappings belong to the table that is current now. */
	spare(vu)->mem.count = 0;
	return out;
}

enum vu_outcome fph_vu_remove_region(struct fph_vhost_user *vu)
{
	const struct vu_region *r = &vu->msg.body.reg.region;
	const struct vu_memory *memory = current(vu);
	enum vu_outcome out;
	struct vu_slot slot;
	uint32_t i = 0;

	while (i < memory->mem.count &&
	       (memory->regions[i].gpa != r->gpa || memory->regions[i].len != r->size ||
		memory->slots[i].user != r->user))
		i++;
	if (i == memory->mem.count)
		return fph_vu_refuse(vu, "REM_MEM_REG: there is no region at 0x%llx like this",
				     (unsigned long long)r->gpa);
	slot = memory->slots[i];
	copy_but(vu, i);
	out = switch_over(vu);
	spare(vu)->mem.count = 0;
	drop_slot(&slot);
	return out;
}

void fph_vu_clear_memory(struct fph_vhost_user *vu)
{
	/* The spare table is empty between messages. */
	fph_device_set_mem(&vu->device, &spare(vu)->mem);
	vu->current = !vu->current;
	drop_all(spare(vu));
}

bool fph_vu_to_gpa(const struct fph_vhost_user *vu, uint64_t user, uint64_t len, uint64_t *gpa)
{
	const struct vu_memory *memory = &vu->memory[vu->current];

	for (uint32_t i = 0; i < memory->mem.count; i++) {
		uint64_t size = memory->regions[i].len, start = memory->slots[i].user;

		if (user < start || user - start >= size || len > size - (user - start))
			continue;
		*gpa = memory->regions[i].gpa + (user - start);
		return true;
	}
	return false;
}

/* ------------------------------------------------------------ for the embedder */

const struct fph_mem *fph_vhost_user_mem(const struct fph_vhost_user *vu)
{
	return &vu->memory[vu->current].mem;
}

int fph_vhost_user_region_file(const struct fph_vhost_user *vu, uint32_t region, int *fd,
			       uint64_t *offset)
{
	const struct vu_memory *memory = &vu->memory[vu->current];

	if (region >= memory->mem.count)
		return -EINVAL;
	*fd = memory->slots[region].fd;
	*offset = memory->slots[region].offset;
	return 0;
}
