/* SPDX-License-Identifier: MIT */
#include "rig.h"
#include "vfio_user/wire.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fph/pci.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A server written by hand, in a thread, that answers as it should by the library's own PCI
 * function, but for one answer, which is wrong in one way.  The client must say so, end the
 * connection, and leave nothing behind.
 */
enum wrong {
	RIGHT,
	/* harmless */
	BYTEWISE,
	DESCRIPTORS, /* come with it */
	ASKS_FIRST,  /* for memory that is there */
	ASKS_WRONG,  /* for memory that is not */
	LONGER,	     /* than what was asked for, if it has a body */
	/* fatal */
	WRONG_ID,
	WRONG_COMMAND,
	REFUSED,
	TINY,  /* a size less than a header's */
	HUGE_, /* a size that no message has */
	SHORT, /* less than what was asked for, if it has a body */
	CUT,   /* the end in the middle */
	END,
	SILENT,
	TWICE,
	KINDS,
};

#define FIRST_FATAL WRONG_ID
#define BODY_MAX    4096u

static struct {
	int fd;
	enum wrong how;
	unsigned at; /* number of the message that is answered so; from 1 */
	unsigned messages;
	unsigned served; /* of the requests for memory, as they should be */
	struct fph_device device;
	struct fph_pci_device function;
	struct fph_mem mem;
} fake;

static struct end end;

static void send_all(const void *bytes, size_t len)
{
	ssize_t n = send(fake.fd, bytes, len, MSG_NOSIGNAL);

	(void)n; /* the client may be gone */
}

static bool receive(void *to, size_t len)
{
	return len == 0 || recv(fake.fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

static uint64_t size_of(uint32_t index)
{
	return index == 0 ? FPH_PCI_BAR0_SIZE :
	       index == 1 ? FPH_PCI_BAR1_SIZE :
			    (index == VFIO_REGION_CONFIG ? FPH_PCI_CONFIG_SIZE : 0);
}

/* The body of the right answer. */
static size_t answer_to(uint16_t command, const unsigned char *body, unsigned char *to)
{
	struct vfio_region_info region;
	struct vfio_region_access a;
	uint32_t words[4];
	uint64_t value = 0;

	memcpy(words, body, sizeof(words));
	memcpy(&a, body, sizeof(a));
	switch (command) {
	case VFIO_VERSION:
		memset(to, 0, 4);
		memcpy(to + 4, "{\"capabilities\":{}}", 20);
		return 24;
	case VFIO_GET_INFO:
		memcpy(to, &(struct vfio_info){ 16, 3, VFIO_REGIONS, VFIO_IRQS }, 16);
		return 16;
	case VFIO_GET_REGION_INFO:
		region = (struct vfio_region_info){ 32, 3, words[2], 0, size_of(words[2]), 0 };
		memcpy(to, &region, sizeof(region));
		return sizeof(region);
	case VFIO_GET_IRQ_INFO:
		memcpy(to, &(struct vfio_irq_info){ 16, 1, words[2], 6 }, 16);
		return 16;
	case VFIO_REGION_WRITE:
		memcpy(&value, body + sizeof(a), a.count);
		if (a.region == VFIO_REGION_CONFIG)
			fph_pci_device_config_write(&fake.function, (uint32_t)a.offset, a.count,
						    (uint32_t)value);
		memcpy(to, &a, sizeof(a));
		return sizeof(a);
	case VFIO_REGION_READ:
		value = a.region == VFIO_REGION_CONFIG ?
				fph_pci_device_config_read(&fake.function, (uint32_t)a.offset,
							   a.count) :
				fph_pci_device_bar_read(&fake.function, a.region, a.offset,
							a.count);
		memcpy(to, &a, sizeof(a));
		memcpy(to + sizeof(a), &value, 4);
		return sizeof(a) + a.count;
	default:
		return 0;
	}
}

/* Ask for 64 bytes of memory, and see what comes. */
static void ask(uint64_t addr, bool there)
{
	struct {
		struct vfio_header h;
		struct vfio_dma_access a;
	} m = { { 77, VFIO_DMA_READ, sizeof(m), 0, 0 }, { addr, 64 } };
	unsigned char data[64];

	send_all(&m, sizeof(m));
	if (!receive(&m.h, sizeof(m.h)))
		return;
	if (!there) {
		fake.served += m.h.id == 77 && m.h.flags == (VFIO_REPLY | VFIO_ERROR) &&
			       m.h.size == 16;
		return;
	}
	if (m.h.size == sizeof(m) + 64 && receive(&m.a, sizeof(m.a)) && receive(data, 64))
		fake.served += m.a.addr == addr &&
			       memcmp(data, end.ram + (addr - END_GPA), 64) == 0;
}

static void with_descriptors(const void *frame, size_t len)
{
	_Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(int) * 3)] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)frame, len };
	struct msghdr out = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&out);
	int fds[3] = { 0, 1, 2 };
	ssize_t n;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	n = sendmsg(fake.fd, &out, MSG_NOSIGNAL);
	(void)n;
}

/* Returns whether to go on. */
static bool reply(const struct vfio_header *asked, const unsigned char *body, enum wrong how)
{
	unsigned char frame[sizeof(struct vfio_header) + BODY_MAX] = { 0 };
	struct vfio_header h = { asked->id, asked->command, 0, VFIO_REPLY, 0 };
	size_t len = answer_to(asked->command, body, frame + sizeof(h));

	if (how == END || how == SILENT)
		return how == SILENT;
	h.id = (uint16_t)(h.id + (how == WRONG_ID));
	h.command = (uint16_t)(h.command + (how == WRONG_COMMAND));
	if (how == REFUSED) {
		h.flags |= VFIO_ERROR;
		h.error = EPERM;
		len = 0;
	}
	len += how == LONGER && len ? 8u : 0u;
	len -= how == SHORT && len ? 1u : 0u;
	h.size = (uint32_t)(sizeof(h) + len);
	if (how == TINY || how == HUGE_)
		h.size = how == TINY ? 15 : 0x7fffffff;
	memcpy(frame, &h, sizeof(h));
	if (how == ASKS_FIRST)
		ask(END_GPA + 0x3000, true);
	if (how == ASKS_WRONG) {
		ask(END_GPA + END_BYTES - 63, false);
		ask(END_GPA - 1, false);
		ask(UINT64_MAX - 10, false);
	}
	if (how == CUT) {
		send_all(frame, 9);
		return false;
	}
	if (how == DESCRIPTORS) {
		with_descriptors(frame, sizeof(h) + len);
		return true;
	}
	for (size_t i = 0; how == BYTEWISE && i < sizeof(h) + len; i++)
		send_all(frame + i, 1);
	if (how != BYTEWISE)
		send_all(frame, sizeof(h) + len);
	if (how == TWICE)
		send_all(frame, sizeof(h) + len);
	return true;
}

static void *serve(void *unused)
{
	static unsigned char body[BODY_MAX];
	struct vfio_header h;
	bool on = true;

	while (on && receive(&h, sizeof(h))) {
		if (h.size < sizeof(h) || h.size - sizeof(h) > sizeof(body) ||
		    !receive(body, h.size - sizeof(h)))
			break;
		fake.messages++;
		on = reply(&h, body, fake.messages == fake.at ? fake.how : RIGHT);
	}
	close(fake.fd);
	return unused;
}

/* One connection; returns what adopt does. */
static int meet(enum wrong how, unsigned at)
{
	struct fph_device_opts d = FPH_DEVICE_OPTS_INIT;
	struct fph_pci_device_opts p = FPH_PCI_DEVICE_OPTS_INIT;
	pthread_t thread;
	int ends[2], rc;

	d.mem = &fake.mem;
	cr_assert_eq(fph_device_init(&fake.device, &d), 0);
	p.bus = fph_device_bus(&fake.device);
	p.vectors = 6;
	p.flags = FPH_PCI_MSIX_ELSEWHERE;
	cr_assert_eq(fph_pci_device_init(&fake.function, &p), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	fake.fd = ends[1];
	fake.how = how;
	fake.at = at;
	fake.messages = fake.served = 0;
	cr_assert_eq(pthread_create(&thread, NULL, serve, NULL), 0);
	rc = fph_vfio_user_client_adopt(end.client, ends[0]);
	if (rc == 0 && how == TWICE) /* the last answer's double comes to nobody */
		for (unsigned i = 0; i < 100 && fph_vfio_user_client_connected(end.client); i++)
			fph_loop_run(end.loop, 10);
	if (rc == 0 && how == TWICE)
		rc = fph_vfio_user_client_connected(end.client) ? 0 : -EPROTO;
	fph_vfio_user_client_disconnect(end.client);
	pthread_join(thread, NULL);
	fph_vfio_user_client_disconnect(end.client); /* sees that the server let go */
	return rc;
}

static void prepare(void)
{
	end_open(&end, NULL, FPH_LOOP_POLL, 0, false, 5000);
	memset(end.ram + 0x3000, 0x5a, 64);
}

static void finish(void)
{
	end_close(&end);
}

TestSuite(answers, .init = prepare, .fini = finish);

static unsigned count_messages(void)
{
	cr_assert_eq(meet(RIGHT, 0), 0, "%s", fph_vfio_user_client_why(end.client));
	cr_assert_gt(fake.messages, 30u);
	return fake.messages;
}

Test(answers, what_is_harmless_is_borne_at_every_message)
{
	unsigned n = count_messages(), before = count_fds();

	for (enum wrong how = BYTEWISE; how < FIRST_FATAL; how++) {
		for (unsigned at = 1; at <= n; at++) {
			int rc = meet(how, at);

			/* A register has the width that was asked for, and JSON its end. */
			if (how == LONGER)
				cr_expect(rc == 0 || rc == -EPROTO, "message %u: %d", at, rc);
			else
				cr_expect_eq(rc, 0, "kind %d, message %u: %d: %s", how, at, rc,
					     fph_vfio_user_client_why(end.client));
			if (how == ASKS_FIRST)
				cr_expect_eq(fake.served, 1u, "message %u", at);
			if (how == ASKS_WRONG)
				cr_expect_eq(fake.served, 3u, "message %u", at);
		}
	}
	cr_expect_eq(count_fds(), before);
}

Test(answers, what_is_wrong_ends_the_connection_and_is_told)
{
	static const int expected[KINDS] = {
		[WRONG_ID] = -EPROTO, [WRONG_COMMAND] = -EPROTO, [REFUSED] = -EPROTO,
		[TINY] = -EPROTO,     [HUGE_] = -EPROTO,	 [SHORT] = -EPROTO,
		[CUT] = -ECONNRESET,  [END] = -ECONNRESET,	 [TWICE] = -EPROTO,
	};
	unsigned n = count_messages(), before = count_fds();

	for (enum wrong how = FIRST_FATAL; how < KINDS; how++) {
		for (unsigned at = 1; how != SILENT && at <= n; at++) {
			int rc = meet(how, at);

			/* An answer without a body cannot be shorter; an access may be refused. */
			if (rc == 0 && how == SHORT)
				continue;
			if (rc == -EIO && how == REFUSED)
				continue;
			cr_expect_eq(rc, expected[how], "kind %d, message %u: %d: %s", how, at, rc,
				     fph_vfio_user_client_why(end.client));
			cr_expect(fph_vfio_user_client_why(end.client)[0], "kind %d, message %u",
				  how, at);
		}
	}
	cr_expect_eq(count_fds(), before);
	cr_expect_eq(meet(RIGHT, 0), 0, "and then it works");
}

Test(answers, what_does_not_come_ends_the_connection_in_time)
{
	unsigned n = count_messages();

	end_close(&end);
	end_open(&end, NULL, FPH_LOOP_POLL, 0, false, 60);
	for (unsigned at = 1; at <= n; at += 5) {
		cr_expect_eq(meet(SILENT, at), -ETIMEDOUT, "message %u", at);
		cr_expect(fph_vfio_user_client_why(end.client)[0], "message %u", at);
	}
}
