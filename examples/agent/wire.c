/* SPDX-License-Identifier: MIT */
#include "wire.h"
#include "memory.h"

#include <fph/shm.h>
#include <fph/vfio_user.h>

/* ------------------------------------------------------------ shared memory */

static int shm_driver_open(void **end, struct fph_loop *loop, const char *path, int fd, void *hva,
			   uint64_t len, void (*gone)(void *ctx, const char *why), void *ctx)
{
	struct fph_shm_region region = { BASE, len, fd, 0 };
	struct fph_shm_client_opts o = FPH_SHM_CLIENT_OPTS_INIT;
	struct fph_shm_client *client = NULL;
	int err;

	(void)hva;
	o.loop = loop;
	o.path = path;
	o.regions = &region;
	o.region_count = 1;
	o.gone = gone;
	o.ctx = ctx;
	err = fph_shm_client_open(&client, &o);
	*end = client;
	return err;
}

static void shm_driver_close(void *end)
{
	fph_shm_client_close(end);
}

static int shm_driver_connect(void *end)
{
	return fph_shm_client_connect(end);
}

static void shm_driver_disconnect(void *end)
{
	fph_shm_client_disconnect(end);
}

static bool shm_driver_connected(const void *end)
{
	return fph_shm_client_connected(end);
}

static struct fph_bus shm_driver_bus(void *end)
{
	return fph_shm_client_bus(end);
}

static int shm_device_open(void **end, struct fph_loop *loop, const char *path,
			   void (*changed)(void *ctx), void (*gone)(void *ctx, const char *why),
			   void *ctx)
{
	struct fph_shm_server_opts o = FPH_SHM_SERVER_OPTS_INIT;
	struct fph_shm_server *server = NULL;
	int err;

	o.loop = loop;
	o.path = path;
	o.device.ctx = ctx;
	o.changed = changed;
	o.gone = gone;
	err = fph_shm_server_open(&server, &o);
	*end = server;
	return err;
}

static void shm_device_close(void *end)
{
	fph_shm_server_close(end);
}

static bool shm_device_connected(const void *end)
{
	return fph_shm_server_connected(end);
}

static const struct fph_mem *shm_device_mem(const void *end)
{
	return fph_shm_server_mem(end);
}

static struct fph_device *shm_device(void *end)
{
	return fph_shm_server_device(end);
}

/* ------------------------------------------------------------ vfio-user */

static int vfio_driver_open(void **end, struct fph_loop *loop, const char *path, int fd, void *hva,
			    uint64_t len, void (*gone)(void *ctx, const char *why), void *ctx)
{
	struct fph_vfio_user_region region = { .gpa = BASE, .len = len, .hva = hva, .fd = fd };
	struct fph_vfio_user_client_opts o = FPH_VFIO_USER_CLIENT_OPTS_INIT;
	struct fph_vfio_user_client *client = NULL;
	int err;

	o.loop = loop;
	o.path = path;
	o.regions = &region;
	o.region_count = 1;
	o.gone = gone;
	o.ctx = ctx;
	o.timeout_ms = 1000;
	o.flags = FPH_VFIO_USER_POSTED;
	err = fph_vfio_user_client_open(&client, &o);
	*end = client;
	return err;
}

static void vfio_driver_close(void *end)
{
	fph_vfio_user_client_close(end);
}

static int vfio_driver_connect(void *end)
{
	return fph_vfio_user_client_connect(end);
}

static void vfio_driver_disconnect(void *end)
{
	fph_vfio_user_client_disconnect(end);
}

static bool vfio_driver_connected(const void *end)
{
	return fph_vfio_user_client_connected(end);
}

static struct fph_bus vfio_driver_bus(void *end)
{
	return fph_vfio_user_client_bus(end);
}

static int vfio_device_open(void **end, struct fph_loop *loop, const char *path,
			    void (*changed)(void *ctx), void (*gone)(void *ctx, const char *why),
			    void *ctx)
{
	struct fph_vfio_user_server_opts o = FPH_VFIO_USER_SERVER_OPTS_INIT;
	struct fph_vfio_user_server *server = NULL;
	int err;

	o.loop = loop;
	o.path = path;
	o.device.ctx = ctx;
	o.changed = changed;
	o.gone = gone;
	o.flags = FPH_VFIO_USER_SEALED; /* an agent may be killed, and may lie */
	err = fph_vfio_user_server_open(&server, &o);
	*end = server;
	return err;
}

static void vfio_device_close(void *end)
{
	fph_vfio_user_server_close(end);
}

/* A client that has shown no memory yet is as good as none. */
static bool vfio_device_connected(const void *end)
{
	return fph_vfio_user_server_connected(end) && fph_vfio_user_server_mem(end)->count > 0;
}

static const struct fph_mem *vfio_device_mem(const void *end)
{
	return fph_vfio_user_server_mem(end);
}

static struct fph_device *vfio_device(void *end)
{
	return fph_vfio_user_server_device(end);
}

/* ------------------------------------------------------------ which */

const struct driver_wire *driver_wire(bool vfio_user)
{
	static const struct driver_wire wires[] = {
		{ shm_driver_open, shm_driver_close, shm_driver_connect, shm_driver_disconnect,
		  shm_driver_connected, shm_driver_bus },
		{ vfio_driver_open, vfio_driver_close, vfio_driver_connect, vfio_driver_disconnect,
		  vfio_driver_connected, vfio_driver_bus },
	};

	return &wires[vfio_user];
}

const struct device_wire *device_wire(bool vfio_user)
{
	static const struct device_wire wires[] = {
		{ shm_device_open, shm_device_close, shm_device_connected, shm_device_mem,
		  shm_device },
		{ vfio_device_open, vfio_device_close, vfio_device_connected, vfio_device_mem,
		  vfio_device },
	};

	return &wires[vfio_user];
}
