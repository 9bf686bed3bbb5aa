/* SPDX-License-Identifier: MIT */
#ifndef FPH_UNIX_BELL_H
#define FPH_UNIX_BELL_H

/* What kind of file, as S_IFMT; 0 is what eventfds are.  -1: it cannot be told. */
int fph_fd_kind(int fd);
/*
 * Add one to an eventfd that another process may hold, without waiting.  What goes
 * wrong is not told: an eventfd that is full is as good as rung.
 */
void fph_bell_ring(int fd);
/* Empty an eventfd.  Returns 1 (it had been rung), 0 (not), or a negative errno. */
int fph_bell_take(int fd);

#endif
