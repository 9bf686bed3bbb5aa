/* SPDX-License-Identifier: MIT */
#include "back.h"
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIT(feature) (UINT64_C(1) << (feature))
#define OFFERED                                                                                    \
	(BIT(VU_P_MQ) | BIT(VU_P_REPLY_ACK) | BIT(VU_P_BACKEND_REQ) | BIT(VU_P_CONFIG) |           \
	 BIT(VU_P_RESET_DEVICE) | BIT(VU_P_MEM_SLOTS) | BIT(VU_P_STATUS))

bool fph_vu_has(const struct fph_vhost_user *vu, enum vu_protocol_feature feature)
{
	return vu->protocol & BIT(feature);
}

/* ------------------------------------------------------------ features */

static enum vu_outcome get_features(struct fph_vhost_user *vu)
{
	uint64_t features = 0;

	vu->bus.ops->features(vu->bus.ctx, &features);
	return fph_vu_reply_u64(vu, features | VU_F_PROTOCOL_FEATURES);
}

static uint8_t status(struct fph_vhost_user *vu)
{
	uint8_t now = 0;

	vu->bus.ops->status(vu->bus.ctx, &now);
	return now;
}

/*
 * Without STATUS nobody says ACKNOWLEDGE, DRIVER and FEATURES_OK; with it QEMU says
 * FEATURES_OK after this message.  Saying them here serves both.
 */
static enum vu_outcome set_features(struct fph_vhost_user *vu)
{
	const uint8_t begun = FPH_STATUS_ACKNOWLEDGE | FPH_STATUS_DRIVER;
	uint64_t features = vu->msg.body.u64;

	/* Features are accepted once in a driver's life: this is the next driver. */
	if (vu->negotiated)
		fph_vu_reset_device(vu);
	vu->bus.ops->set_status(vu->bus.ctx, begun);
	vu->bus.ops->accept(vu->bus.ctx, features & ~VU_F_PROTOCOL_FEATURES);
	vu->bus.ops->set_status(vu->bus.ctx, begun | FPH_STATUS_FEATURES_OK);
	if (!(status(vu) & FPH_STATUS_FEATURES_OK)) {
		fph_vu_reset_device(vu);
		return fph_vu_refuse(vu, "SET_FEATURES: the device does not take features 0x%llx",
				     (unsigned long long)features);
	}
	vu->negotiated = true;
	if (!(features & VU_F_PROTOCOL_FEATURES))
		for (unsigned i = 0; i < FPH_QUEUE_COUNT; i++)
			vu->rings[i].enabled = true;
	return fph_vu_start_rings(vu);
}

static enum vu_outcome get_protocol_features(struct fph_vhost_user *vu)
{
	return fph_vu_reply_u64(vu, OFFERED);
}

static enum vu_outcome set_protocol_features(struct fph_vhost_user *vu)
{
	uint64_t features = vu->msg.body.u64;

	if (features & ~OFFERED)
		return fph_vu_refuse(vu, "SET_PROTOCOL_FEATURES: 0x%llx was not offered",
				     (unsigned long long)(features & ~OFFERED));
	vu->protocol = features;
	return VU_DONE;
}

/* ------------------------------------------------------------ the device's state */

static enum vu_outcome set_owner(struct fph_vhost_user *vu)
{
	(void)vu;
	return VU_DONE;
}

/* Obsolete; the specification recommends to disable the rings and no more. */
static enum vu_outcome reset_owner(struct fph_vhost_user *vu)
{
	fph_vu_disable_rings(vu);
	return VU_DONE;
}

static enum vu_outcome reset_device(struct fph_vhost_user *vu)
{
	fph_vu_reset_device(vu);
	return VU_DONE;
}

static enum vu_outcome get_status(struct fph_vhost_user *vu)
{
	return fph_vu_reply_u64(vu, status(vu));
}

static enum vu_outcome set_status(struct fph_vhost_user *vu)
{
	uint64_t value = vu->msg.body.u64;
	uint8_t before = status(vu);

	if (value > UINT8_MAX)
		return fph_vu_refuse(vu, "SET_STATUS: 0x%llx is no status",
				     (unsigned long long)value);
	if (value == 0) {
		fph_vu_reset_device(vu);
		return VU_DONE;
	}
	/* A front end may send all bits, or just those that it adds: only a reset clears any. */
	if (vu->bus.ops->set_status(vu->bus.ctx, (uint8_t)value) < 0)
		return fph_vu_refuse(vu, "SET_STATUS: the device does not take 0x%llx now",
				     (unsigned long long)value);
	if ((uint8_t)value & ~before & FPH_STATUS_DRIVER_OK) {
		vu->changed = true;
		fph_vu_look_at_rings(vu);
	}
	return VU_DONE;
}

static enum vu_outcome get_queue_num(struct fph_vhost_user *vu)
{
	uint64_t count = 0;

	for (uint16_t i = 0; i < FPH_QUEUE_COUNT; i++) {
		uint16_t max = 0;

		vu->bus.ops->vq_max(vu->bus.ctx, i, &max);
		if (max)
			count = i + 1u;
	}
	return fph_vu_reply_u64(vu, count);
}

/* ------------------------------------------------------------ configuration */

static bool config_fits(const struct fph_vhost_user *vu)
{
	const struct vu_config *c = &vu->msg.body.config;

	return c->offset <= VU_CONFIG_MAX && c->size <= VU_CONFIG_MAX - c->offset;
}

static enum vu_outcome check_config(struct fph_vhost_user *vu)
{
	const struct vu_config *c = &vu->msg.body.config;

	if (c->size == vu->msg.head.size - VU_CONFIG_HEAD)
		return VU_DONE;
	return fph_vu_break(vu, "%s speaks of %u bytes and carries %u",
			    fph_vu_request_name(vu->msg.head.request), c->size,
			    vu->msg.head.size - VU_CONFIG_HEAD);
}

static enum vu_outcome get_config(struct fph_vhost_user *vu)
{
	struct vu_config *c = &vu->msg.body.config;

	if (check_config(vu) != VU_DONE)
		return VU_BROKEN;
	/* An empty answer is this message's way to say no. */
	if (!config_fits(vu) ||
	    vu->bus.ops->config(vu->bus.ctx, c->offset, c->data, c->size) < 0)
		return fph_vu_reply(vu, NULL, 0);
	return fph_vu_reply(vu, c, VU_CONFIG_HEAD + c->size);
}

/*
 * QEMU sends the whole space whenever the driver writes one field, the command id of a
 * while ago included.  The device takes `actual` and the poison value and leaves the
 * rest alone, so that does no harm.
 */
static enum vu_outcome set_config(struct fph_vhost_user *vu)
{
	const struct vu_config *c = &vu->msg.body.config;
	bool wanted = vu->msg.head.flags & VU_NEED_REPLY && fph_vu_has(vu, VU_P_REPLY_ACK);
	int rc = -1;

	if (check_config(vu) != VU_DONE)
		return VU_BROKEN;
	if (config_fits(vu))
		rc = vu->bus.ops->set_config(vu->bus.ctx, c->offset, c->data, c->size);
	/* A driver may write what it likes: no reason to send the front end away. */
	return rc < 0 && wanted ? fph_vu_reply_u64(vu, 1) : VU_DONE;
}

static enum vu_outcome set_channel(struct fph_vhost_user *vu)
{
	int fd = vu->msg.fds.fd[0], domain = 0, type = 0;
	socklen_t len = sizeof(int);

	/* What is not a socket has no per-call way not to block, and may raise SIGPIPE. */
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || domain != AF_UNIX ||
	    type != SOCK_STREAM)
		return fph_vu_refuse(vu, "SET_BACKEND_REQ_FD: not a stream socket");
	if (vu->channel >= 0)
		close(vu->channel);
	vu->channel = fd;
	vu->msg.fds.fd[0] = -1;
	return VU_DONE;
}

static enum vu_outcome get_max_mem_slots(struct fph_vhost_user *vu)
{
	return fph_vu_reply_u64(vu, VU_REGIONS_MAX);
}

/* ------------------------------------------------------------ the table */

#define ALWAYS (-1)

static const struct rule {
	const char *name;
	enum vu_outcome (*handle)(struct fph_vhost_user *vu);
	uint16_t min, max; /* bytes of body */
	uint8_t fds_min, fds_max;
	bool answers;	/* with a body of its own */
	int8_t feature; /* enum vu_protocol_feature that must be negotiated, or ALWAYS */
} rules[VU_REQUEST_END] = {
#define RULE(name, min, max, fds_min, fds_max, answers, feature, handle)                           \
	[VU_##name] = { #name, handle, min, max, fds_min, fds_max, answers, feature }
#define U64    sizeof(uint64_t)
#define STATE  sizeof(struct vu_ring_state)
#define ADDR   sizeof(struct vu_ring_addr)
#define REG    sizeof(struct vu_mem_reg)
#define TABLE  sizeof(struct vu_mem_table)
#define CONFIG sizeof(struct vu_config)
	/* clang-format off */
	/*   name                   bytes              fds  answers feature           */
	RULE(GET_FEATURES,          0,     0,          0, 0, true,  ALWAYS,           get_features),
	RULE(SET_FEATURES,          U64,   U64,        0, 0, false, ALWAYS,           set_features),
	RULE(SET_OWNER,             0,     0,          0, 0, false, ALWAYS,           set_owner),
	RULE(RESET_OWNER,           0,     0,          0, 0, false, ALWAYS,           reset_owner),
	RULE(SET_MEM_TABLE,         8,     TABLE,      0, VU_REGIONS_MAX,
						             false, ALWAYS,           fph_vu_set_table),
	RULE(SET_VRING_NUM,         STATE, STATE,      0, 0, false, ALWAYS,           fph_vu_set_num),
	RULE(SET_VRING_ADDR,        ADDR,  ADDR,       0, 0, false, ALWAYS,           fph_vu_set_addr),
	RULE(SET_VRING_BASE,        STATE, STATE,      0, 0, false, ALWAYS,           fph_vu_set_base),
	RULE(GET_VRING_BASE,        STATE, STATE,      0, 0, true,  ALWAYS,           fph_vu_get_base),
	RULE(SET_VRING_KICK,        U64,   U64,        0, 1, false, ALWAYS,           fph_vu_set_kick),
	RULE(SET_VRING_CALL,        U64,   U64,        0, 1, false, ALWAYS,           fph_vu_set_call),
	RULE(SET_VRING_ERR,         U64,   U64,        0, 1, false, ALWAYS,           fph_vu_set_err),
	RULE(GET_PROTOCOL_FEATURES, 0,     0,          0, 0, true,  ALWAYS,           get_protocol_features),
	RULE(SET_PROTOCOL_FEATURES, U64,   U64,        0, 0, false, ALWAYS,           set_protocol_features),
	RULE(GET_QUEUE_NUM,         0,     0,          0, 0, true,  ALWAYS,           get_queue_num),
	RULE(SET_VRING_ENABLE,      STATE, STATE,      0, 0, false, ALWAYS,           fph_vu_set_enable),
	RULE(SET_BACKEND_REQ_FD,    0,     0,          1, 1, false, VU_P_BACKEND_REQ, set_channel),
	RULE(GET_CONFIG,            VU_CONFIG_HEAD, CONFIG,
						       0, 0, true,  VU_P_CONFIG,      get_config),
	RULE(SET_CONFIG,            VU_CONFIG_HEAD, CONFIG,
						       0, 0, false, VU_P_CONFIG,      set_config),
	RULE(RESET_DEVICE,          0,     0,          0, 0, false, ALWAYS,           reset_device),
	RULE(GET_MAX_MEM_SLOTS,     0,     0,          0, 0, true,  VU_P_MEM_SLOTS,   get_max_mem_slots),
	RULE(ADD_MEM_REG,           REG,   REG,        1, 1, false, VU_P_MEM_SLOTS,   fph_vu_add_region),
	RULE(REM_MEM_REG,           REG,   REG,        0, 1, false, VU_P_MEM_SLOTS,   fph_vu_remove_region),
	RULE(SET_STATUS,            U64,   U64,        0, 0, false, VU_P_STATUS,      set_status),
	RULE(GET_STATUS,            0,     0,          0, 0, true,  VU_P_STATUS,      get_status),
	/* clang-format on */
};

static const struct rule *rule_of(uint32_t request)
{
	return request < VU_REQUEST_END && rules[request].handle ? &rules[request] : NULL;
}

const char *fph_vu_request_name(uint32_t request)
{
	const struct rule *rule = rule_of(request);

	return rule ? rule->name : "an unknown request";
}

enum vu_outcome fph_vu_check_header(struct fph_vhost_user *vu)
{
	const struct vu_header *h = &vu->msg.head;
	const struct rule *rule = rule_of(h->request);
	const char *name = fph_vu_request_name(h->request);
	uint32_t min = rule ? rule->min : 0;
	uint32_t max = rule ? rule->max : sizeof(vu->msg.body);

	if ((h->flags & VU_VERSION_MASK) != VU_VERSION)
		return fph_vu_break(vu, "%s: version %u, not 1", name, h->flags & VU_VERSION_MASK);
	if (h->flags & VU_REPLY)
		return fph_vu_break(vu, "%s: an answer to nothing that was asked", name);
	if (h->flags & ~VU_FLAGS)
		return fph_vu_break(vu, "%s: flags 0x%x are not defined", name, h->flags);
	if (h->size < min || h->size > max)
		return fph_vu_break(vu, "%s: a body of %u bytes", name, h->size);
	return VU_DONE;
}

enum vu_outcome fph_vu_handle(struct fph_vhost_user *vu)
{
	const struct rule *rule = rule_of(vu->msg.head.request);

	/*
	 * Every extension hangs on a feature bit, so a front end that keeps the rules sends
	 * nothing unknown.  One that does may wait for an answer of a form that is not known
	 * either: say no if it can hear it, and close if not.
	 */
	if (!rule)
		return fph_vu_refuse(vu, "request %u is not known", vu->msg.head.request);
	if (vu->msg.fds.count < rule->fds_min || vu->msg.fds.count > rule->fds_max)
		return fph_vu_break(vu, "%s: came with %u descriptors", rule->name,
				    vu->msg.fds.count);
	if (rule->feature != ALWAYS && !fph_vu_has(vu, (enum vu_protocol_feature)rule->feature)) {
		fph_vu_refuse(vu, "%s: its protocol feature was not negotiated", rule->name);
		return rule->answers ? VU_BROKEN : VU_REFUSED;
	}
	return rule->handle(vu);
}
