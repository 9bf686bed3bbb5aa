/* SPDX-License-Identifier: MIT */
#include "migrate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

bool page_is_zero(const void *page)
{
	const unsigned char *byte = page;

	return byte[0] == 0 && !memcmp(byte, byte + 1, PAGE - 1);
}

static void compare(struct result *result, const struct fph_region *region,
		    const unsigned char *copy, bool oracle)
{
	uint64_t first = (region->gpa - result->base) / PAGE;
	const unsigned char *live = region->hva;

	for (uint64_t i = 0; i < region->len / PAGE; i++) {
		if (result->fate[first + i] != FATE_HINTED) {
			result->proof.compared++;
			result->proof.different += !!memcmp(live + i * PAGE,
							    copy + (first + i) * PAGE, PAGE);
		} else if (oracle) {
			result->proof.skipped++;
			result->proof.not_free += !page_is_zero(live + i * PAGE);
		}
	}
}

int prove(struct result *result, const struct guest_ops *ops, struct guest *guest,
	  struct link *link, const struct migrate_config *config)
{
	const struct fph_mem *mem = ops->mem(guest);
	const unsigned char *copy = link_map(link);
	struct link_verdict verdict;
	int err = link_verdict(link, &verdict);

	if (err || !copy) {
		fprintf(stderr, "fph-migrate: the destination's copy cannot be checked: %s\n",
			strerror(err ? -err : ENOMEM));
		return err ? err : -ENOMEM;
	}
	for (uint32_t i = 0; i < mem->count; i++)
		compare(result, &mem->regions[i], copy, config->oracle);
	munmap((void *)(uintptr_t)copy, link->len);
	result->proof.checked[1] = verdict.checked;
	result->proof.bad[1] = verdict.bad;
	if (ops->check)
		result->proof.bad[0] = ops->check(mem->regions[0].hva, mem->regions[0].len,
						  &result->proof.checked[0]);
	return 0;
}

bool migrate_proved(const struct result *result)
{
	const struct proof *proof = &result->proof;

	return proof->compared > 0 && !proof->different && !proof->not_free && !proof->bad[0] &&
	       !proof->bad[1];
}
