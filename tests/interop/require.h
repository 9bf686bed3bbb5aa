/* SPDX-License-Identifier: MIT */
#ifndef FPH_TESTS_REQUIRE_H
#define FPH_TESTS_REQUIRE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A peer is not there: what main() of its tests returns.  A skip that says why on
 * a workstation; a failure where peers are promised (CI=true, FPH_REQUIRE_PEERS=1),
 * since a test that never runs there proves nothing.
 */
static inline int peer_missing(const char *peer, const char *remedy)
{
	const char *ci = getenv("CI"), *require = getenv("FPH_REQUIRE_PEERS");
	int fatal = (ci && !strcmp(ci, "true")) || (require && !strcmp(require, "1"));

	printf("%s: %s is missing: %s\n", fatal ? "FAIL" : "SKIP", peer, remedy);
	return fatal ? 1 : 77;
}

#endif
