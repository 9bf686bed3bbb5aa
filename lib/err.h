/* SPDX-License-Identifier: MIT */
#ifndef FPH_ERR_H
#define FPH_ERR_H

/*
 * errno numbers.  The header is not one that a freestanding compiler must have;
 * where there is none the numbers are Linux's.
 */
#if defined(__has_include)
#if __has_include(<errno.h>)
#include <errno.h>
#endif
#endif

#ifndef EINVAL
#define ENOENT	   2
#define EIO	   5
#define E2BIG	   7
#define EAGAIN	   11
#define EBUSY	   16
#define ENODEV	   19
#define EINVAL	   22
#define EPROTO	   71
#define EOPNOTSUPP 95
#define ENOTCONN   107
#endif

#endif
