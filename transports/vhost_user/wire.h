/* SPDX-License-Identifier: MIT */
#ifndef FPH_VHOST_USER_WIRE_H
#define FPH_VHOST_USER_WIRE_H

#include <stdint.h>

/*
 * vhost-user on the wire, as QEMU's docs/interop/vhost-user.rst defines it.  All
 * numbers are in host order: both ends are on one machine.
 */

struct vu_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of what follows */
};

#define VU_VERSION	1u
#define VU_VERSION_MASK 3u
#define VU_REPLY	(1u << 2)
#define VU_NEED_REPLY	(1u << 3)
#define VU_FLAGS	(VU_VERSION_MASK | VU_REPLY | VU_NEED_REPLY)

/* Feature bit 30 is vhost-user's own and means nothing to a device. */
#define VU_F_PROTOCOL_FEATURES (UINT64_C(1) << 30)

enum vu_protocol_feature {
	VU_P_MQ = 0,
	VU_P_REPLY_ACK = 3,
	VU_P_BACKEND_REQ = 5,
	VU_P_CONFIG = 9,
	VU_P_RESET_DEVICE = 13,
	VU_P_MEM_SLOTS = 15,
	VU_P_STATUS = 16,
};

/* Those that the back end serves; transports/README.md has the table. */
enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_RESET_DEVICE = 34,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_SET_STATUS = 39,
	VU_GET_STATUS = 40,
	VU_REQUEST_END,
};

/* From the back end to the front end, on the channel of SET_BACKEND_REQ_FD. */
#define VU_BACKEND_CONFIG_CHANGE_MSG 2u

struct vu_ring_state {
	uint32_t index;
	uint32_t num;
};

struct vu_ring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc; /* user addresses: the front end's own, as in struct vu_region */
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

/* SET_VRING_KICK, CALL, ERR: a ring's index, and whether no descriptor comes along. */
#define VU_RING_INDEX_MASK UINT64_C(0xff)
#define VU_RING_NO_FD	   UINT64_C(0x100)

struct vu_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t user;
	uint64_t offset; /* in the file */
};

#define VU_REGIONS_MAX 32u

struct vu_mem_table {
	uint32_t count;
	uint32_t padding;
	struct vu_region regions[VU_REGIONS_MAX];
};

struct vu_mem_reg {
	uint64_t padding;
	struct vu_region region;
};

#define VU_CONFIG_MAX  256u
#define VU_CONFIG_HEAD 12u

struct vu_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags; /* 1: live migration */
	uint8_t data[VU_CONFIG_MAX];
};

union vu_body {
	uint64_t u64;
	struct vu_ring_state state;
	struct vu_ring_addr addr;
	struct vu_mem_table table;
	struct vu_mem_reg reg;
	struct vu_config config;
};

_Static_assert(sizeof(struct vu_header) == 12, "a header is 12 bytes");
_Static_assert(sizeof(struct vu_ring_addr) == 40, "a ring address is 40 bytes");
_Static_assert(sizeof(struct vu_region) == 32, "a region is 32 bytes");
_Static_assert(sizeof(struct vu_mem_reg) == 40, "one region is 40 bytes");
_Static_assert(sizeof(struct vu_mem_table) == 8 + 32 * VU_REGIONS_MAX, "a table has no holes");
_Static_assert(sizeof(struct vu_config) == VU_CONFIG_HEAD + VU_CONFIG_MAX, "no holes");

#endif
