/* SPDX-License-Identifier: MIT */
/* Both ends of include/fph/shm.h. */
#include "wire.h"

#include <errno.h>
#include <fph/shm.h>
#include <stdlib.h>

struct end {
	struct fph_loop *loop;
	struct fph_shm_client *client;
};

static void client_close(void *ctx)
{
	struct end *end = ctx;

	fph_shm_client_close(end->client);
	fph_loop_close(end->loop);
	free(end);
}

static int client_open(void **out, const struct soak *soak, uint32_t plugged, struct rng *rng)
{
	struct fph_shm_client_opts o = FPH_SHM_CLIENT_OPTS_INIT;
	struct fph_shm_region regions[REGIONS];
	struct end *end = calloc(1, sizeof(*end));
	int err;

	if (!end)
		return -ENOMEM;
	for (uint32_t i = 0; i < REGIONS; i++)
		if (plugged & 1u << i)
			regions[o.region_count++] = (struct fph_shm_region){
				BASE + i * STRIDE_BYTES, REGION_BYTES, soak->memory_fd,
				i * STRIDE_BYTES
			};
	o.regions = regions;
	o.path = soak->socket;
	o.timeout_ms = 500;
	err = fph_loop_open(&end->loop, once_in(rng, 2) ? FPH_LOOP_POLL : 0);
	o.loop = end->loop;
	if (!err)
		err = fph_shm_client_open(&end->client, &o);
	if (err)
		client_close(end);
	else
		*out = end;
	return err;
}

static int client_connect(void *end)
{
	return fph_shm_client_connect(((struct end *)end)->client);
}

static void client_disconnect(void *end)
{
	fph_shm_client_disconnect(((struct end *)end)->client);
}

static bool client_connected(const void *end)
{
	return fph_shm_client_connected(((const struct end *)end)->client);
}

static struct fph_bus client_bus(void *end)
{
	return fph_shm_client_bus(((struct end *)end)->client);
}

static void client_turn(void *end, int timeout_ms)
{
	fph_loop_run(((struct end *)end)->loop, timeout_ms);
}

/* virtio-mmio has no way to say where a queue resumes. */
static int client_queue_reset(void *end)
{
	struct fph_bus bus = client_bus(end);
	uint16_t index;
	int err = bus.ops->vq_disable(bus.ctx, FPH_QUEUE_HINT, &index);

	return err && err != -EBUSY ? err : -ECANCELED;
}

const struct guest_wire guest_by_shm = {
	.open = client_open,
	.close = client_close,
	.connect = client_connect,
	.disconnect = client_disconnect,
	.connected = client_connected,
	.bus = client_bus,
	.turn = client_turn,
	.queue_reset = client_queue_reset,
};

/* ------------------------------------------------------------ device end */

static int server_open(void **out, const struct soak *soak, const struct device_config *config)
{
	struct fph_shm_server_opts o = FPH_SHM_SERVER_OPTS_INIT;
	struct fph_shm_server *server = NULL;
	int err;

	o.loop = config->loop;
	o.path = soak->socket;
	o.device = config->device;
	o.changed = config->changed;
	o.gone = config->gone;
	err = fph_shm_server_open(&server, &o);
	*out = server;
	return err;
}

static void server_close(void *end)
{
	fph_shm_server_close(end);
}

static bool server_connected(const void *end)
{
	return fph_shm_server_connected(end);
}

static const struct fph_mem *server_mem(const void *end)
{
	return fph_shm_server_mem(end);
}

static struct fph_device *server_device(void *end)
{
	return fph_shm_server_device(end);
}

const struct device_wire device_by_shm = {
	.open = server_open,
	.close = server_close,
	.connected = server_connected,
	.mem = server_mem,
	.device = server_device,
};
