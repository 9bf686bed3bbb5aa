/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include "uml_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * The guest writes its memory through its own mappings, where write protection of
 * ours sees nothing: so dirty pages are found by comparison with a copy (track.c).
 * The copy is as of the last sync, and pages are sent from it.
 *
 * That is exact for a page whose copy was sent: then the destination has the copy.
 * A page that was dirty and not sent (it was hinted) is another matter.  If the
 * guest takes it back before DONE, as Linux may under pressure (BH-7), and writes
 * the very bytes that the copy has, comparison is blind, and the destination keeps
 * what it got earlier.  The one content for which that happens is zero, which every
 * page gets that is handed out cleared.  So a page that was sent before, skipped
 * since, and is zero counts as dirty in every sync.  Other contents coming back,
 * bit by bit, to the same page: the guest's fillings are random, so as not to.
 */
enum { NEVER, SENT, STALE }; /* what the destination has: zero, the copy, older bytes */

#define PAGE 4096u

static uint64_t page_of(const struct guest *guest, uint64_t gpa)
{
	return (gpa - guest->found.base) / PAGE;
}

/* Is the memory still the one that begin() saw?  A driver that starts again maps it anew. */
static bool same_memory(const struct guest *guest)
{
	const struct fph_mem *now = fph_vhost_user_mem(guest->back);

	if (now->count != guest->mem.count)
		return false;
	for (uint32_t i = 0; i < now->count; i++) {
		const struct fph_region *a = &now->regions[i], *b = &guest->regions[i];

		if (a->gpa != b->gpa || a->len != b->len || a->hva != b->hva)
			return false;
	}
	return true;
}

void uml_track_end(struct guest *guest)
{
	if (guest->mem.count)
		track_close(&guest->track);
	guest->mem.count = 0;
	free(guest->found.words);
	free(guest->sent);
	guest->found.words = NULL;
	guest->sent = NULL;
}

static int start(struct guest *guest)
{
	const struct fph_mem *now = fph_vhost_user_mem(guest->back);
	const struct fph_region *last;
	uint64_t pages;
	int err;

	if (!now->count)
		return -ENOTCONN;
	if (now->count > sizeof(guest->regions) / sizeof(guest->regions[0]))
		return -E2BIG;
	memcpy(guest->regions, now->regions, now->count * sizeof(*now->regions));
	for (uint32_t i = 0; i < now->count; i++)
		if (guest->regions[i].gpa % PAGE || guest->regions[i].len % PAGE ||
		    !guest->regions[i].hva)
			return -EINVAL;
	guest->mem = (struct fph_mem){guest->regions, now->count};
	err = track_open(&guest->track, &guest->mem, true);
	if (err) {
		guest->mem.count = 0;
		return err;
	}
	last = &guest->regions[now->count - 1];
	pages = (last->gpa + last->len - guest->regions[0].gpa) / PAGE;
	guest->found = (struct fph_bitmap){
		.words = calloc(FPH_BITMAP_WORDS(pages), sizeof(uint64_t)),
		.pages = pages,
		.base = guest->regions[0].gpa,
		.shift = 12,
	};
	guest->sent = calloc(pages, 1);
	if (guest->found.words && guest->sent)
		return 0;
	uml_track_end(guest);
	return -ENOMEM;
}

int64_t uml_track_begin(struct guest *guest, struct fph_bitmap *dirty)
{
	int err = 0;

	if (guest->mem.count && same_memory(guest)) {
		memset(guest->sent, NEVER, guest->found.pages);
	} else {
		uml_track_end(guest);
		err = start(guest);
	}
	return err ? err : track_begin(&guest->track, dirty);
}

static bool zero(const unsigned char *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

/* Mark what was found, and what may not be trusted though it was not. */
static int64_t judge(struct guest *guest, const struct fph_region *region,
		     struct fph_bitmap *dirty)
{
	int64_t n = 0;

	for (uint64_t gpa = region->gpa; gpa < region->gpa + region->len; gpa += PAGE) {
		uint8_t *sent = &guest->sent[page_of(guest, gpa)];

		if (fph_bitmap_test(&guest->found, gpa)) {
			if (*sent == SENT)
				*sent = STALE;
		} else if (*sent != STALE || !zero(track_page(&guest->track, gpa))) {
			continue;
		}
		fph_bitmap_set(dirty, (struct fph_range){gpa, PAGE});
		n++;
	}
	return n;
}

int64_t uml_track_sync(struct guest *guest, struct fph_bitmap *dirty)
{
	int64_t n, pages = 0;

	if (!guest->mem.count || !same_memory(guest))
		return -ENOTCONN;
	memset(guest->found.words, 0, FPH_BITMAP_WORDS(guest->found.pages) * sizeof(uint64_t));
	n = track_sync(&guest->track, &guest->found);
	if (n < 0)
		return n;
	for (uint32_t i = 0; i < guest->mem.count; i++)
		pages += judge(guest, &guest->mem.regions[i], dirty);
	return pages;
}

const void *uml_track_page(struct guest *guest, uint64_t gpa)
{
	const void *page = track_page(&guest->track, gpa);

	if (page)
		guest->sent[page_of(guest, gpa)] = SENT;
	return page;
}
