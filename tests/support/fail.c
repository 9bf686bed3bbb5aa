/* SPDX-License-Identifier: MIT */
#include "support/fail.h"
#include <string.h>

/* Count the call.  Returns whether it is one that fails. */
static bool fails(struct fail *f, enum bus_verb verb)
{
	unsigned n;

	f->calls[verb]++;
	f->calls[VERB_ANY]++;
	if (f->nth == 0 || (f->verb != verb && f->verb != VERB_ANY))
		return false;
	n = f->calls[f->verb] - f->base;
	if (n < f->nth || n - f->nth >= f->times)
		return false;
	f->failed++;
	return true;
}

/* Make the call, or not, or make it and lose the answer. */
#define PASS(f, verb, VERB, ...)                                                                   \
	do {                                                                                       \
		bool fail_ = fails(f, VERB);                                                       \
		int rc_ = fail_ && !(f)->delivered ?                                               \
				  (f)->error :                                                     \
				  (f)->under.ops->verb((f)->under.ctx, __VA_ARGS__);               \
		return fail_ ? (f)->error : rc_;                                                   \
	} while (0)

static int features(void *ctx, uint64_t *offered)
{
	struct fail *f = ctx;

	PASS(f, features, VERB_FEATURES, offered);
}

static int accept_(void *ctx, uint64_t accepted)
{
	struct fail *f = ctx;

	PASS(f, accept, VERB_ACCEPT, accepted);
}

static int status(void *ctx, uint8_t *value)
{
	struct fail *f = ctx;

	PASS(f, status, VERB_STATUS, value);
}

static int set_status(void *ctx, uint8_t value)
{
	struct fail *f = ctx;

	PASS(f, set_status, VERB_SET_STATUS, value);
}

static int config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct fail *f = ctx;

	PASS(f, config, VERB_CONFIG, offset, buf, len);
}

static int set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct fail *f = ctx;

	PASS(f, set_config, VERB_SET_CONFIG, offset, buf, len);
}

static int vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	struct fail *f = ctx;

	PASS(f, vq_max, VERB_VQ_MAX, queue, max);
}

static int vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	struct fail *f = ctx;

	PASS(f, vq_enable, VERB_VQ_ENABLE, queue, place);
}

static int vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	struct fail *f = ctx;

	PASS(f, vq_disable, VERB_VQ_DISABLE, queue, index);
}

static int notify(void *ctx, uint16_t queue)
{
	struct fail *f = ctx;

	PASS(f, notify, VERB_NOTIFY, queue);
}

static int notify_data(void *ctx, uint16_t queue, uint16_t next)
{
	struct fail *f = ctx;

	PASS(f, notify_data, VERB_NOTIFY, queue, next);
}

static int take_irq(void *ctx, uint32_t *irq)
{
	struct fail *f = ctx;

	PASS(f, take_irq, VERB_TAKE_IRQ, irq);
}

static const struct fph_bus_ops ops = {
	.size = sizeof(ops),
	.features = features,
	.accept = accept_,
	.status = status,
	.set_status = set_status,
	.config = config,
	.set_config = set_config,
	.vq_max = vq_max,
	.vq_enable = vq_enable,
	.vq_disable = vq_disable,
	.notify = notify,
	.take_irq = take_irq,
	.notify_data = notify_data,
};

struct fph_bus fail_bus(struct fail *fail, struct fph_bus under)
{
	memset(fail, 0, sizeof(*fail));
	fail->under = under;
	return (struct fph_bus){ &ops, fail };
}

void fail_at(struct fail *fail, enum bus_verb verb, unsigned nth, unsigned times, int error)
{
	fail->verb = verb;
	fail->nth = nth;
	fail->times = times;
	fail->error = error;
	fail->base = fail->calls[verb];
}

const char *fail_verb_name(enum bus_verb verb)
{
	static const char *const names[] = {
		"features",   "accept",	 "status",    "set_status", "config", "set_config",
		"vq_max",     "vq_enable", "vq_disable", "notify",     "take_irq", "any",
	};

	return verb <= VERB_ANY ? names[verb] : "?";
}
