/* SPDX-License-Identifier: MIT */
#ifndef FPH_WIRE_H
#define FPH_WIRE_H

#include <fph/types.h>

/*
 * Numbers of the VIRTIO specification, version 1.4 (oasis-tcs/virtio-spec
 * 15f488c, "virtio-v1.4-cs01").  Section numbers in this library are of that
 * revision; the balloon is chapter 5.5.  Letters such as BH-13 name the clauses
 * of that chapter one by one; tests/README.md lists them.
 */

#define FPH_DEVICE_ID 5u /* traditional memory balloon */

/* Feature bits.  5.5.3 and chapter 6 */
#define FPH_F_MUST_TELL_HOST (UINT64_C(1) << 0)
#define FPH_F_STATS_VQ	     (UINT64_C(1) << 1)
#define FPH_F_DEFLATE_ON_OOM (UINT64_C(1) << 2)
#define FPH_F_FREE_PAGE_HINT (UINT64_C(1) << 3)
#define FPH_F_PAGE_POISON    (UINT64_C(1) << 4)
#define FPH_F_PAGE_REPORTING (UINT64_C(1) << 5)
#define FPH_F_INDIRECT_DESC  (UINT64_C(1) << 28)
#define FPH_F_EVENT_IDX	     (UINT64_C(1) << 29)
#define FPH_F_VERSION_1	     (UINT64_C(1) << 32)
#define FPH_F_RING_PACKED    (UINT64_C(1) << 34)
#define FPH_F_IN_ORDER	     (UINT64_C(1) << 35)
#define FPH_F_ORDER_PLATFORM (UINT64_C(1) << 36)
#define FPH_F_NOTIFICATION_DATA (UINT64_C(1) << 38)
#define FPH_F_RING_RESET     (UINT64_C(1) << 40)
#define FPH_F_SUSPEND	     (UINT64_C(1) << 43)

/* Device status.  2.1 */
#define FPH_STATUS_ACKNOWLEDGE 0x01u
#define FPH_STATUS_DRIVER      0x02u
#define FPH_STATUS_DRIVER_OK   0x04u
#define FPH_STATUS_FEATURES_OK 0x08u
#define FPH_STATUS_SUSPEND     0x10u
#define FPH_STATUS_NEEDS_RESET 0x40u
#define FPH_STATUS_FAILED      0x80u

/* Configuration space: four little-endian 32-bit fields, by offset.  5.5.4 */
#define FPH_CONFIG_NUM_PAGES  0u
#define FPH_CONFIG_ACTUAL     4u
#define FPH_CONFIG_COMMAND_ID 8u
#define FPH_CONFIG_POISON     12u
#define FPH_CONFIG_MAX	      16u /* bytes, if every field is there */

/* free_page_hint_cmd_id: two reserved values, all others open a round.  5.5.6.5 */
#define FPH_COMMAND_STOP  0u
#define FPH_COMMAND_DONE  1u
#define FPH_COMMAND_FIRST 2u

/* What the balloon's queues are for, numbered as the list of 5.5.2. */
enum fph_queue {
	FPH_QUEUE_INFLATE,
	FPH_QUEUE_DEFLATE,
	FPH_QUEUE_STATS,
	FPH_QUEUE_HINT,
	FPH_QUEUE_REPORT,
	FPH_QUEUE_COUNT,
};

#define FPH_BALLOON_PAGE 4096u /* unit of num_pages, actual and of a page number */

/* A statistics entry on the wire is 10 bytes: le16 tag, le64 value.  5.5.6.3 */
#define FPH_STAT_BYTES 10u
#define FPH_STAT_FREE  4u /* free memory, the one tag this library names */

/* One statistic, in host order.  UINT64_MAX says that the value is not known. */
struct fph_stat {
	uint64_t value;
	uint16_t tag;
};

#endif
