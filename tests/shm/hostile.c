/* SPDX-License-Identifier: MIT */
#include "rig.h"
#include "shm.h"
#include "shm/client.h"
#include "shm/page.h"
#include "shm/wire.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/*
 * A hostile server, written by hand, and what it can do to a client: #48 to #58, #60,
 * #61, #70 and #80 of reliability.md.
 */
/* Long enough for an end that waits for a processor. */
#define TIMEOUT_MS 1000

struct fake {
	char dir[32];
	char path[64];
	int listener;
	int conn;
	pthread_t thread;
	bool stop;

	/* How it answers. */
	struct shm_answer answer;
	size_t answer_len; /* 0: not at all */
	bool hang_up;
	int page; /* the descriptor to send, or -1 */
	unsigned page_copies;

	/* What it does once somebody is attached, all the time. */
	void (*misbehave)(struct fake *fake);
	unsigned char *pages;
	const struct shm_driver *driver;
	int fds[64];
	unsigned fd_count;
};

static struct shm_banks *banks(struct fake *f)
{
	return (struct shm_banks *)(void *)(f->pages + SHM_PAGE);
}

static bool take_request(struct fake *f)
{
	struct shm_request request;
	struct iovec iov = { &request, sizeof(request) };
	_Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(f->fds))];
	struct msghdr in = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			     .msg_controllen = sizeof(control) };
	const void *driver;

	if (recvmsg(f->conn, &in, MSG_CMSG_CLOEXEC) <= 0)
		return false;
	f->fd_count = SHM_FD_REGION + request.regions;
	memcpy(f->fds, CMSG_DATA(CMSG_FIRSTHDR(&in)), f->fd_count * sizeof(int));
	if (fph_shm_page_open(f->fds[SHM_FD_DRIVER], SHM_CLIENT_BYTES, &driver) == 0)
		f->driver = driver;
	return f->driver != NULL;
}

static void send_answer(struct fake *f)
{
	unsigned char bytes[256] = { 0 };
	struct iovec iov = { bytes, f->answer_len };
	_Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(40 * sizeof(int))] = { 0 };
	struct msghdr out = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	memcpy(bytes, &f->answer, sizeof(f->answer));
	if (f->page_copies) {
		out.msg_control = control;
		out.msg_controllen = CMSG_SPACE(f->page_copies * sizeof(int));
		c = CMSG_FIRSTHDR(&out);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(f->page_copies * sizeof(int));
		for (unsigned i = 0; i < f->page_copies; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &f->page, sizeof(int));
	}
	cr_assert_eq(sendmsg(f->conn, &out, MSG_NOSIGNAL), (ssize_t)f->answer_len);
}

static void end_conn(struct fake *f)
{
	for (unsigned i = 0; i < f->fd_count; i++)
		close(f->fds[i]);
	if (f->driver)
		munmap((void *)(uintptr_t)f->driver, SHM_CLIENT_BYTES);
	f->driver = NULL;
	f->fd_count = 0;
	if (f->conn >= 0)
		close(f->conn);
	f->conn = -1;
}

static bool stopped(struct fake *f)
{
	return __atomic_load_n(&f->stop, __ATOMIC_ACQUIRE);
}

static void *serve(void *ctx)
{
	struct fake *f = ctx;

	f->conn = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
	if (f->conn < 0 || !take_request(f))
		return NULL;
	if (f->answer_len)
		send_answer(f);
	while (!f->hang_up && !stopped(f)) {
		if (f->misbehave)
			f->misbehave(f);
		else
			usleep(200);
	}
	end_conn(f);
	return NULL;
}

/* Everything right, so that a test spoils one thing. */
static void fake_init(struct fake *f)
{
	static const uint32_t registers[][2] = {
		{ FPH_MMIO_MAGIC, FPH_MMIO_MAGIC_VALUE },
		{ FPH_MMIO_VERSION, FPH_MMIO_VERSION_VALUE },
		{ FPH_MMIO_DEVICE_ID, FPH_DEVICE_ID },
	};
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	void *pages;

	memset(f, 0, sizeof(*f));
	f->conn = -1;
	strcpy(f->dir, "/tmp/fph-shm-XXXXXX");
	cr_assert_not_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/shm", f->dir);
	strcpy(addr.sun_path, f->path);
	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(f->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(f->listener, 1), 0);
	f->page = fph_shm_page_make("fph-shm-fake", SHM_SERVER_BYTES, &pages);
	cr_assert(f->page >= 0);
	f->pages = pages;
	f->page_copies = 1;
	for (unsigned i = 0; i < 3; i++)
		fph_st32(f->pages + registers[i][0], registers[i][1]);
	fph_st32(&banks(f)->features[0], FPH_F_FREE_PAGE_HINT | FPH_F_STATS_VQ);
	fph_st32(&banks(f)->features[1], 1);
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		fph_st32(&banks(f)->queue[q].size_max, 256);
	f->answer = (struct shm_answer){ .magic = SHM_MAGIC, .version = SHM_VERSION };
	f->answer_len = sizeof(f->answer);
}

static void fake_run(struct fake *f)
{
	cr_assert_eq(pthread_create(&f->thread, NULL, serve, f), 0);
}

static void fake_stop(struct fake *f)
{
	__atomic_store_n(&f->stop, true, __ATOMIC_RELEASE);
	shutdown(f->listener, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	end_conn(f);
}

static void fake_close(struct fake *f)
{
	close(f->listener);
	close(f->page);
	munmap(f->pages, SHM_SERVER_BYTES);
	unlink(f->path);
	cr_assert_eq(rmdir(f->dir), 0);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ------------------------------------------------------------ answers */

static void silent(struct fake *f)
{
	f->answer_len = 0;
}
static void hangs_up(struct fake *f)
{
	f->answer_len = 0;
	f->hang_up = true;
}
static void short_answer(struct fake *f)
{
	f->answer_len--;
}
static void one_byte(struct fake *f)
{
	f->answer_len = 1;
}
static void long_answer(struct fake *f)
{
	f->answer_len++;
}
static void wrong_magic(struct fake *f)
{
	f->answer.magic++;
}
static void wrong_version(struct fake *f)
{
	f->answer.version = 77;
}
static void refusal(struct fake *f)
{
	f->answer.status = -5;
	strcpy(f->answer.text, "not today");
}
static void busy(struct fake *f)
{
	f->answer.status = -EBUSY;
}
static void odd_status(struct fake *f)
{
	f->answer.status = 12345;
	memset(f->answer.text, 'x', sizeof(f->answer.text));
}
static void no_page(struct fake *f)
{
	f->page_copies = 0;
}
static void two_pages(struct fake *f)
{
	f->page_copies = 2;
}
static void forty_pages(struct fake *f)
{
	f->page_copies = 40;
}
static void put_page(struct fake *f, int fd)
{
	close(f->page);
	f->page = fd;
}
static void page_is_pipe(struct fake *f)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	close(p[1]);
	put_page(f, p[0]);
}
static void page_is_not_sealed(struct fake *f)
{
	put_page(f, end_memfd(SHM_SERVER_BYTES, 0));
}
static void page_may_shrink(struct fake *f)
{
	put_page(f, end_memfd(SHM_SERVER_BYTES, F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL));
}
static void page_is_small(struct fake *f)
{
	put_page(f, end_memfd(SHM_PAGE, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE |
			      F_SEAL_SEAL));
}
static void page_is_empty_of_registers(struct fake *f)
{
	fph_st32(f->pages + FPH_MMIO_MAGIC, 0);
}
static void page_is_another_device(struct fake *f)
{
	fph_st32(f->pages + FPH_MMIO_DEVICE_ID, 1);
}

static const struct {
	void (*spoil)(struct fake *fake);
	int rc;
	const char *why;
} answers[] = {
	{ silent, -ETIMEDOUT, "does not answer" },
	{ hangs_up, -ECONNRESET, "hung up" },
	{ short_answer, -EPROTO, "no answer to a request" },
	{ one_byte, -EPROTO, "no answer to a request" },
	{ long_answer, -EPROTO, "no answer to a request" },
	{ wrong_magic, -EPROTO, "no answer to a request" },
	{ wrong_version, -EPROTO, "version 77" },
	{ refusal, -EPROTO, "refused: not today" },
	{ busy, -EBUSY, "refused" },
	{ odd_status, -EPROTO, "refused: xxx" },
	{ no_page, -EPROTO, "0 descriptors" },
	{ two_pages, -EPROTO, "2 descriptors" },
	{ forty_pages, -EPROTO, "no answer to a request" },
	{ page_is_pipe, -EPROTO, "sealed bytes" },
	{ page_is_not_sealed, -EPROTO, "sealed bytes" },
	{ page_may_shrink, -EPROTO, "sealed bytes" },
	{ page_is_small, -EPROTO, "sealed bytes" },
	{ page_is_empty_of_registers, -EPROTO, "not the registers" }, /* M-5 */
	{ page_is_another_device, -EPROTO, "not the registers" },
};
#define ANSWERS (sizeof(answers) / sizeof(answers[0]))

BOTH(hostile, an_answer_that_is_wrong_ends_the_attempt_with_a_reason)
{
	for (unsigned i = 0; i < ANSWERS; i++) {
		unsigned fds = count_fds();
		int64_t begin = now_ms();
		struct fake f;
		struct end e;
		int rc;

		fake_init(&f);
		answers[i].spoil(&f);
		end_open(&e, f.path, (unsigned)*kind, 200);
		fake_run(&f);
		rc = fph_shm_client_connect(e.client);
		cr_assert_eq(rc, answers[i].rc, "case %u: %d: %s", i, rc,
			     fph_shm_client_why(e.client));
		cr_assert_not_null(strstr(fph_shm_client_why(e.client), answers[i].why), "%s",
				   fph_shm_client_why(e.client));
		cr_assert_lt(now_ms() - begin, 3000);
		cr_assert(!fph_shm_client_connected(e.client));
		cr_assert_eq(e.gone, 0u);
		fake_stop(&f);
		cr_assert_eq(count_maps("fph-shm-client"), 0u);
		end_close(&e);
		fake_close(&f);
		cr_assert_eq(count_fds(), fds, "case %u leaves a descriptor", i);
	}
}

/* ------------------------------------------------------------ after the answer */

static void up(struct fake *f, struct end *e, size_t kind, void (*misbehave)(struct fake *f))
{
	fake_init(f);
	f->misbehave = misbehave;
	end_open(e, f->path, (unsigned)kind, TIMEOUT_MS);
	fake_run(f);
	end_connect(e);
}

static void down(struct fake *f, struct end *e)
{
	fake_stop(f);
	end_close(e);
	fake_close(f);
}

static void acknowledge_all(struct fake *f)
{
	fph_st32(&banks(f)->ack_seq, fph_ld32(&f->driver->prod));
}

static void acknowledge_too_much(struct fake *f)
{
	fph_st32(&banks(f)->ack_seq, fph_ld32(&f->driver->prod) + 1);
}

static void acknowledge_backwards(struct fake *f)
{
	uint32_t prod = fph_ld32(&f->driver->prod);

	fph_st32(&banks(f)->ack_seq, prod > 1 ? 0 : prod);
}

#define BUS(e, verb, ...) ((e)->bus.ops->verb((e)->bus.ctx, __VA_ARGS__))

BOTH(hostile, an_acknowledgement_that_never_comes_costs_the_time_out)
{
	int64_t begin;
	uint8_t status = 0;
	struct fake f;
	struct end e;

	up(&f, &e, *kind, NULL);
	begin = now_ms();
	cr_assert_eq(BUS(&e, set_status, 1), -ETIMEDOUT);
	cr_assert_geq(now_ms() - begin, TIMEOUT_MS);
	cr_assert_lt(now_ms() - begin, 5 * TIMEOUT_MS);
	cr_assert_eq(count_maps("fph-shm-client"), 1u, "ours is unmapped, the server's is not");
	cr_assert_eq(BUS(&e, set_status, 1), -EIO);
	cr_assert_eq(BUS(&e, status, &status), -EIO);
	cr_assert_eq(BUS(&e, set_status, 0), 0);
	cr_assert_eq(BUS(&e, status, &status), 0);
	cr_assert_neq(status, 0, "the server is still there");
	end_pump(&e);
	cr_assert_eq(e.gone, 0u);
	fake_stop(&f);
	cr_assert_eq(BUS(&e, status, &status), 0);
	cr_assert_eq(status, 0);
	end_pump(&e);
	cr_assert_eq(e.gone, 1u);
	end_close(&e);
	fake_close(&f);
}

BOTH(hostile, a_bell_without_an_acknowledgement_does_not_prolong_the_wait)
{
	int64_t begin;
	struct fake f;
	struct end e;

	up(&f, &e, *kind, NULL);
	for (unsigned i = 0; i < 50; i++)
		eventfd_write(f.fds[SHM_FD_CTL_ACK], 1);
	begin = now_ms();
	cr_assert_eq(BUS(&e, set_status, 1), -ETIMEDOUT);
	cr_assert_lt(now_ms() - begin, 5 * TIMEOUT_MS);
	down(&f, &e);
}

BOTH(hostile, an_acknowledgement_of_what_was_not_written_is_the_end)
{
	struct fake f;
	struct end e;
	int rc = 0;

	up(&f, &e, *kind, acknowledge_too_much);
	for (unsigned i = 0; i < 5 && rc == 0; i++)
		rc = BUS(&e, set_status, 1);
	cr_assert_eq(rc, -EPROTO);
	cr_assert_not_null(strstr(fph_shm_client_why(e.client), "carried out"));
	down(&f, &e);

	rc = 0;
	up(&f, &e, *kind, acknowledge_backwards);
	for (unsigned i = 0; i < 5 && rc == 0; i++)
		rc = BUS(&e, set_status, 1);
	cr_assert_eq(rc, -EPROTO);
	down(&f, &e);
}

static void odd_generation(struct fake *f)
{
	acknowledge_all(f);
	fph_st32(&banks(f)->generation, 7);
}

static void flapping_generation(struct fake *f)
{
	acknowledge_all(f);
	fph_st32(&banks(f)->generation, fph_ld32(&banks(f)->generation) + 2);
}

BOTH(hostile, a_generation_that_never_settles_is_bounded)
{
	int64_t begin;
	char bytes[16];
	struct fake f;
	struct end e;
	int rc;

	up(&f, &e, *kind, odd_generation);
	while (fph_ld32(&banks(&f)->generation) != 7)
		usleep(100);
	begin = now_ms();
	cr_assert_eq(BUS(&e, config, 0, bytes, sizeof(bytes)), -ETIMEDOUT);
	cr_assert_lt(now_ms() - begin, 5 * TIMEOUT_MS);
	down(&f, &e);

	up(&f, &e, *kind, flapping_generation);
	for (unsigned i = 0; i < 100; i++) {
		begin = now_ms();
		rc = BUS(&e, config, 0, bytes, sizeof(bytes));
		cr_assert(rc == 0 || rc == -EAGAIN, "%d", rc);
		cr_assert_lt(now_ms() - begin, 5 * TIMEOUT_MS);
	}
	down(&f, &e);
}

static void status_stays(struct fake *f)
{
	fph_st32(f->pages + FPH_MMIO_STATUS, 0x0f);
	acknowledge_all(f);
}

BOTH(hostile, a_status_that_never_reads_0_is_no_reset)
{
	struct fake f;
	struct end e;

	up(&f, &e, *kind, status_stays);
	while (fph_ld32(f.pages + FPH_MMIO_STATUS) != 0x0f)
		usleep(100);
	cr_assert_eq(end_attach(&e), -EAGAIN);
	down(&f, &e);
}

static void refuses_features(struct fake *f)
{
	uint32_t prod = fph_ld32(&f->driver->prod);
	const struct shm_write *w = &f->driver->ring[(prod - 1) % SHM_RING];

	if (prod && (fph_ld32(&w->offset) & 0xffff) == FPH_MMIO_STATUS)
		fph_st32(f->pages + FPH_MMIO_STATUS, (uint32_t)fph_ld64(&w->value) & ~8u);
	fph_full_barrier();
	fph_st32(&banks(f)->ack_seq, prod);
}

BOTH(hostile, features_that_are_refused_are_the_end_of_the_attempt)
{
	struct fake f;
	struct end e;

	up(&f, &e, *kind, refuses_features);
	cr_assert_eq(end_attach(&e), -EOPNOTSUPP);
	down(&f, &e);
}

static void interrupt_storm(struct fake *f)
{
	acknowledge_all(f);
	fph_st32(&banks(f)->config_seq, fph_ld32(&banks(f)->config_seq) + 3);
	fph_st32(&banks(f)->used_seq[3], fph_ld32(&banks(f)->used_seq[3]) + 1);
	eventfd_write(f->fds[SHM_FD_IRQ], 1);
}

BOTH(hostile, interrupt_storms_cost_one_call_a_turn)
{
	struct fake f;
	struct end e;

	up(&f, &e, *kind, interrupt_storm);
	for (unsigned i = 0; i < 200; i++) {
		uint32_t irq = 0;

		cr_assert_leq(fph_loop_run(e.loop, 1), 1);
		cr_assert_leq(e.interrupts, i + 1);
		cr_assert_eq(BUS(&e, take_irq, &irq), 0);
		cr_assert_eq(irq & ~(FPH_IRQ_QUEUE | FPH_IRQ_CONFIG), 0u);
	}
	cr_assert_gt(e.interrupts, 0u);
	down(&f, &e);
}

/*
 * An event between the look and the acknowledgement.  An honest server rings no bell for
 * it, as it sees that the one before was not taken yet.
 */
BOTH(hostile, what_comes_while_interrupts_are_taken_is_not_lost)
{
	struct fake f;
	struct end e;
	uint32_t irq;

	up(&f, &e, *kind, NULL);
	fph_st32(&banks(&f)->config_seq, 1);
	cr_assert_eq(fph_shm_client_read(e.client, FPH_MMIO_INTERRUPT_STATUS, &irq), 0);
	cr_assert_eq(irq, FPH_IRQ_CONFIG);
	fph_st32(&banks(&f)->config_seq, 2);
	cr_assert_eq(fph_shm_client_write(e.client, FPH_MMIO_INTERRUPT_ACK, irq), 0);
	cr_assert_eq(fph_loop_run(e.loop, 5000), 1, "no bell for what came in between");
	cr_assert_eq(BUS(&e, take_irq, &irq), 0);
	cr_assert_eq(irq, FPH_IRQ_CONFIG);
	cr_assert_eq(fph_loop_run(e.loop, 0), 0, "a bell for nothing");
	down(&f, &e);
}

static void garbage(struct fake *f)
{
	static uint32_t x = 4711;

	for (unsigned i = 0; i < 64; i++) {
		x = x * 1664525 + 1013904223;
		fph_st32(f->pages + SHM_PAGE + (x >> 8) % 28 * 4, x >> 16);
		fph_st32(f->pages + FPH_MMIO_STATUS + (x >> 20) % 100 * 4, x);
	}
	acknowledge_all(f);
}

BOTH(hostile, pages_full_of_garbage_harm_nobody)
{
	struct fph_range page = { END_PAGES, 4096 };
	struct fake f;
	struct end e;

	up(&f, &e, *kind, garbage);
	for (unsigned i = 0; i < 200 && fph_shm_client_connected(e.client); i++) {
		uint16_t max;

		end_attach(&e);
		fph_guest_step(&e.guest, i);
		fph_guest_hint(&e.guest, &page, 1);
		fph_guest_flush(&e.guest);
		end_reclaim(&e);
		BUS(&e, vq_max, (uint16_t)(i % 8), &max);
		fph_loop_run(e.loop, 0);
	}
	down(&f, &e);
}

static void talk(struct fake *f)
{
	acknowledge_all(f);
	send(f->conn, "hello", 5, MSG_DONTWAIT | MSG_NOSIGNAL);
}

BOTH(hostile, a_server_that_talks_on_is_left)
{
	struct fake f;
	struct end e;

	up(&f, &e, *kind, talk);
	while (fph_shm_client_connected(e.client))
		cr_assert_gt(fph_loop_run(e.loop, 5000), 0);
	cr_assert_str_eq(fph_shm_client_why(e.client), "the server broke the protocol");
	fake_stop(&f);
	while (e.gone == 0)
		cr_assert_gt(fph_loop_run(e.loop, 5000), 0);
	end_close(&e);
	fake_close(&f);
}
