/* SPDX-License-Identifier: MIT */
#ifndef FPH_TESTS_CHECKS_H
#define FPH_TESTS_CHECKS_H

/*
 * Both roles over loopback, with what is in ring memory compared byte by byte.
 * Needs no more of its host than the library does.  Returns 0, or the line of
 * checks.c that does not hold.
 */
int fph_checks(void);

#endif
