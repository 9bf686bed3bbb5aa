/* SPDX-License-Identifier: MIT */
/* vfio-user's messages: transports/vfio_user/conn.c, message.c, irq.c, dma.c. */
#include <errno.h>

#ifdef MESSAGE
#include <vfio_user/server.h>

static struct fph_vfio_user_server s;
static bool sent, refused, accessed;
static uint32_t count; /* of the bytes to access, if it is an access */

/* All that is written came with this message, and is not left from another. */
static void prove_came(void)
{
	PROVE(s.conn.len >= sizeof(struct vfio_region_access) + count);
}

int fph_vfio_conn_send(struct fph_vfio_conn *conn, struct vfio_header header, const void *body,
		       size_t body_len, const void *data, size_t data_len, const int *fds,
		       unsigned fd_count)
{
	(void)conn;
	(void)fds;
	PROVE(!body_len || __CPROVER_r_ok(body, body_len));
	PROVE(!data_len || __CPROVER_r_ok(data, data_len));
	PROVE(!sent && !fd_count);
	sent = true;
	refused = header.flags & VFIO_ERROR;
	PROVE((header.flags & VFIO_TYPE) == VFIO_REPLY);
	return ANY(bool) ? -ENOBUFS : 0;
}

static void prove_bar(uint32_t bar, uint64_t offset, uint32_t len)
{
	PROVE(bar < 2 && (len == 1 || len == 2 || len == 4 || len == 8) && offset % len == 0);
	PROVE(offset + len <= (bar ? FPH_PCI_BAR1_SIZE : FPH_PCI_BAR0_SIZE));
	accessed = true;
}

uint64_t fph_pci_device_bar_read(struct fph_pci_device *pci, uint32_t bar, uint64_t offset,
				 uint32_t len)
{
	(void)pci;
	prove_bar(bar, offset, len);
	return nondet_u64();
}

void fph_pci_device_bar_write(struct fph_pci_device *pci, uint32_t bar, uint64_t offset,
			      uint32_t len, uint64_t value)
{
	(void)pci;
	(void)value;
	prove_bar(bar, offset, len);
	prove_came();
}

static void prove_config(uint32_t offset, uint32_t len)
{
	PROVE((len == 1 || len == 2 || len == 4) && offset % len == 0);
	PROVE(offset + len <= FPH_PCI_CONFIG_SIZE);
	accessed = true;
}

uint32_t fph_pci_device_config_read(struct fph_pci_device *pci, uint32_t offset, uint32_t len)
{
	(void)pci;
	prove_config(offset, len);
	return (uint32_t)nondet_u64();
}

void fph_pci_device_config_write(struct fph_pci_device *pci, uint32_t offset, uint32_t len,
				 uint32_t value)
{
	(void)pci;
	(void)value;
	prove_config(offset, len);
	prove_came();
}

int fph_vfio_because(struct fph_vfio_user_server *v, int rc, const char *format, ...)
{
	(void)v;
	(void)format;
	return rc;
}

char *strerror(int error)
{
	(void)error;
	return "an error";
}

void fph_vfio_break(struct fph_vfio_user_server *v)
{
	v->broken = true;
}

void fph_vfio_tell_changed(struct fph_vfio_user_server *v)
{
	v->changed = false;
}

void fph_vfio_trouble(struct fph_vfio_user_server *v, enum vfio_trouble kind, const char *what)
{
	(void)v;
	(void)kind;
	(void)what;
}

void fph_vfio_reset_device(struct fph_vfio_user_server *v)
{
	(void)v;
}

static int any_errno(void)
{
	return ANY(bool) ? -EINVAL : 0;
}

int fph_vfio_version_parse(const void *json, size_t len, struct fph_vfio_limits *limits,
			   const char **why)
{
	PROVE(!len || __CPROVER_r_ok(json, len));
	PROVE(__CPROVER_w_ok(limits, sizeof(*limits)));
	*why = NULL;
	return any_errno();
}

size_t fph_vfio_version_print(char *text, size_t size)
{
	PROVE(__CPROVER_w_ok(text, size));
	return any_up_to(size);
}

int fph_vfio_dma_map(struct fph_vfio_user_server *v, const struct vfio_dma_map *map,
		     struct fph_fds *fds)
{
	(void)v;
	(void)map;
	(void)fds;
	return any_errno();
}

int fph_vfio_dma_unmap(struct fph_vfio_user_server *v, const struct vfio_dma_unmap *unmap)
{
	(void)v;
	(void)unmap;
	return any_errno();
}

int fph_vfio_dma_answer(struct fph_vfio_user_server *v)
{
	(void)v;
	return any_errno();
}

uint32_t fph_vfio_irq_count(const struct fph_vfio_user_server *v, uint32_t index)
{
	(void)v;
	PROVE(index < VFIO_IRQS);
	return (uint32_t)any_up_to(VFIO_VECTORS);
}

uint32_t fph_vfio_irq_flags(uint32_t index)
{
	(void)index;
	return VFIO_IRQ_EVENTFD;
}

int fph_vfio_set_irqs(struct fph_vfio_user_server *v, const struct vfio_set_irqs *set,
		      const unsigned char *data, size_t len, struct fph_fds *fds)
{
	(void)v;
	(void)set;
	(void)fds;
	PROVE(!len || __CPROVER_r_ok(data, len));
	return any_errno();
}

const struct fph_fault *fph_device_fault(const struct fph_device *device)
{
	static struct fph_fault none;

	(void)device;
	return &none;
}

const struct vfio_area *fph_vfio_area_at(const struct fph_vfio_user_server *v, uint64_t gpa,
					 uint64_t len)
{
	(void)v;
	(void)gpa;
	(void)len;
	return NULL;
}

#define ROOM 48u

/*
 * proof: vfio_user_message
 * of: fph_vfio_handle
 * says: any message: nothing taken that did not come, one answer or none, accesses aligned and inside their region
 * bounds: every header, bodies to 48 bytes of any content, accesses to 8 bytes of data
 * sources: transports/vfio_user/message.c
 * defines: -DMESSAGE
 * unwind: 10 strlen.0:21
 * mutant: transports/vfio_user/message.c s/s->conn.len - sizeof(access) < access.count/s->conn.len < access.count/
 */
void proof_vfio_user_message(void)
{
	struct vfio_region_access access;
	bool posted, reply;

	ANYTHING(s.conn.header);
	s.conn.len = (uint32_t)any_up_to(ROOM);
	/* There is room for an answer; what came is told by len, and prove_came() looks at it. */
	s.conn.body = any_bytes(ROOM);
	s.agreed = ANY(bool);
	s.opts.flags = (uint32_t)nondet_u64();
	memcpy(&access, s.conn.body, sizeof(access));
	ASSUME(access.count <= 8);
	count = access.count;
	posted = s.conn.header.flags & VFIO_NO_REPLY;
	reply = (s.conn.header.flags & VFIO_TYPE) == VFIO_REPLY;
	fph_vfio_handle(&s);
	PROVE(sent == !posted || reply);
	PROVE(!accessed || s.agreed);
	REACHED(accessed && s.conn.header.command == VFIO_REGION_WRITE && access.count == 8);
	REACHED(accessed && access.region == VFIO_REGION_CONFIG && access.count == 3);
	REACHED(sent && !refused && s.conn.header.command == VFIO_SET_IRQS);
	REACHED(sent && !refused && s.conn.header.command == VFIO_VERSION);
	REACHED(refused);
}
#endif

#ifdef IRQS
#include <fph/pci.h>
#include <fph/vfio_user.h>
#include <vfio_user/wire.h>
#include <unix/fds.h>

/* Of a server only what interrupts are made of: a pointer into all of it takes hours. */
#define FPH_VFIO_USER_SERVER_H
#define VFIO_VECTORS (FPH_QUEUE_COUNT + 1u)
struct fph_vfio_user_server {
	struct {
		uint32_t flags;
	} opts;
	struct {
		uint64_t interrupts;
	} total;
	int intx, err, msix[VFIO_VECTORS];
	bool intx_high, intx_masked;
	uint32_t msix_pending;
};
#include <vfio_user/irq.c>

static struct fph_vfio_user_server s;
static unsigned closed;

int fph_fd_kind(int fd)
{
	(void)fd;
	return ANY(bool) ? 0 : -1;
}

void fph_bell_ring(int fd)
{
	PROVE(fd >= 0);
}

int close(int fd)
{
	PROVE(fd >= 0);
	closed++;
	return 0;
}

static int any_fd(void)
{
	return ANY(bool) ? -1 : (int)any_up_to(1000);
}

/*
 * proof: vfio_user_irqs
 * of: fph_vfio_set_irqs
 * says: any request: in bounds of data, descriptors and vectors; no change on an error
 * bounds: every request, to 8 bytes of data, to 8 descriptors
 * sources:
 * defines: -DIRQS
 * unwind: 9
 * mutant: transports/vfio_user/irq.c s/set->count > count - set->start/set->start + set->count > count + 1/
 */
void proof_vfio_user_irqs(void)
{
	struct vfio_set_irqs set;
	struct fph_fds fds;
	size_t len = any_up_to(8);
	unsigned char *data = any_bytes(len);
	int old[VFIO_VECTORS], intx, rc;
	uint32_t v = (uint32_t)any_up_to(VFIO_VECTORS - 1);
	bool masked = ANY(bool);

	ANYTHING(set);
	ANYTHING(fds);
	fds.count = (unsigned)any_up_to(8);
	for (unsigned i = 0; i < 8; i++)
		fds.fd[i] = (int)any_up_to(1000);
	s.opts.flags = (uint32_t)nondet_u64();
	s.intx = any_fd();
	s.err = any_fd();
	for (unsigned i = 0; i < VFIO_VECTORS; i++)
		old[i] = s.msix[i] = any_fd();
	s.intx_masked = masked;
	intx = s.intx;
	rc = fph_vfio_set_irqs(&s, &set, data, len, &fds);
	PROVE(rc == 0 || rc == -EINVAL);
	if (rc < 0) {
		PROVE(!closed && s.msix[v] == old[v] && s.intx == intx);
		PROVE(s.intx_masked == masked);
	}
	REACHED(rc == 0 && closed == VFIO_VECTORS);
	REACHED(rc == 0 && set.index == VFIO_MSIX && set.start == VFIO_VECTORS - 1 &&
		s.msix[set.start] != old[set.start]);
	REACHED(rc == 0 && set.flags & VFIO_DATA_BOOL && set.count == 2);
	REACHED(rc < 0);
}
#endif
