/* SPDX-License-Identifier: MIT */
#include "support/trace.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *trace_errno(int error)
{
	static char number[16];

	switch (error) {
#define NAME(e)                                                                                    \
	case e:                                                                                    \
		return #e
		NAME(EPROTO);
		NAME(EINVAL);
		NAME(EAGAIN);
		NAME(EBUSY);
		NAME(EIO);
		NAME(E2BIG);
		NAME(ENOENT);
		NAME(ENOTCONN);
		NAME(EOPNOTSUPP);
#undef NAME
	default:
		snprintf(number, sizeof(number), "%d", error);
		return number;
	}
}

static void put(struct trace *t, const char *format, va_list ap)
{
	int n = vsnprintf(t->text + t->len, sizeof(t->text) - t->len, format, ap);

	cr_assert_geq(n, 0);
	cr_assert_lt((size_t)n, sizeof(t->text) - t->len, "the trace is full");
	t->len += (size_t)n;
}

__attribute__((format(printf, 2, 3))) static void add(struct trace *t, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	put(t, format, ap);
	va_end(ap);
}

void trace_line(struct trace *trace, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	put(trace, format, ap);
	va_end(ap);
	add(trace, "\n");
}

void trace_clear(struct trace *trace)
{
	trace->len = 0;
	trace->text[0] = '\0';
}

/* The end of a line: nothing, or the error.  Returns rc. */
static int end(struct trace *t, int rc)
{
	if (rc < 0)
		add(t, " -> -%s", trace_errno(-rc));
	add(t, "\n");
	return rc;
}

static void bytes(struct trace *t, const unsigned char *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		add(t, " %02x", p[i]);
}

#define CALL(t, verb, ...) ((t)->under.ops->verb((t)->under.ctx, __VA_ARGS__))

static int features(void *ctx, uint64_t *offered)
{
	struct trace *t = ctx;
	int rc = CALL(t, features, offered);

	add(t, "bus features");
	if (rc >= 0)
		add(t, " -> %#llx", (unsigned long long)*offered);
	return end(t, rc);
}

static int accept_(void *ctx, uint64_t accepted)
{
	struct trace *t = ctx;

	add(t, "bus accept %#llx", (unsigned long long)accepted);
	return end(t, CALL(t, accept, accepted));
}

static int status(void *ctx, uint8_t *value)
{
	struct trace *t = ctx;
	int rc = CALL(t, status, value);

	add(t, "bus status");
	if (rc >= 0)
		add(t, " -> 0x%02x", *value);
	return end(t, rc);
}

static int set_status(void *ctx, uint8_t value)
{
	struct trace *t = ctx;

	add(t, "bus set_status 0x%02x", value);
	return end(t, CALL(t, set_status, value));
}

static int config(void *ctx, uint32_t offset, void *buf, uint32_t len)
{
	struct trace *t = ctx;
	int rc = CALL(t, config, offset, buf, len);

	add(t, "bus config[%u] %u", offset, len);
	if (rc >= 0) {
		add(t, " ->");
		bytes(t, buf, len);
	}
	return end(t, rc);
}

static int set_config(void *ctx, uint32_t offset, const void *buf, uint32_t len)
{
	struct trace *t = ctx;

	add(t, "bus set_config[%u] %u:", offset, len);
	bytes(t, buf, len);
	return end(t, CALL(t, set_config, offset, buf, len));
}

static int vq_max(void *ctx, uint16_t queue, uint16_t *max)
{
	struct trace *t = ctx;
	int rc = CALL(t, vq_max, queue, max);

	add(t, "bus vq_max[%u]", queue);
	if (rc >= 0)
		add(t, " -> %u", *max);
	return end(t, rc);
}

static int vq_enable(void *ctx, uint16_t queue, const struct fph_vq_place *place)
{
	struct trace *t = ctx;

	add(t, "bus vq_enable[%u] size %u desc %#llx driver %#llx device %#llx index %u", queue,
	    place->size, (unsigned long long)place->desc, (unsigned long long)place->driver,
	    (unsigned long long)place->device, place->index);
	return end(t, CALL(t, vq_enable, queue, place));
}

static int vq_disable(void *ctx, uint16_t queue, uint16_t *index)
{
	struct trace *t = ctx;
	int rc = CALL(t, vq_disable, queue, index);

	add(t, "bus vq_disable[%u]", queue);
	if (rc >= 0)
		add(t, " -> %u", *index);
	return end(t, rc);
}

static int notify(void *ctx, uint16_t queue)
{
	struct trace *t = ctx;

	/* Before the call: the line stands above what it sets off. */
	add(t, "bus notify[%u]", queue);
	return end(t, CALL(t, notify, queue));
}

static int notify_data(void *ctx, uint16_t queue, uint16_t next)
{
	struct trace *t = ctx;

	add(t, "bus notify_data[%u] %#06x", queue, next);
	return end(t, CALL(t, notify_data, queue, next));
}

static int take_irq(void *ctx, uint32_t *irq)
{
	struct trace *t = ctx;
	int rc = CALL(t, take_irq, irq);

	add(t, "bus take_irq");
	if (rc >= 0) {
		add(t, " ->%s%s%s", *irq & FPH_IRQ_CONFIG ? " config" : "",
		    *irq & FPH_IRQ_QUEUE ? " queue" : "", *irq ? "" : " none");
		for (unsigned q = 0; q < 8; q++)
			if (*irq & FPH_IRQ_VQ(q))
				add(t, " %u", q);
	}
	return end(t, rc);
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

struct fph_bus trace_bus(struct trace *trace, struct fph_bus under)
{
	trace->under = under;
	trace_clear(trace);
	return (struct fph_bus){ &ops, trace };
}
