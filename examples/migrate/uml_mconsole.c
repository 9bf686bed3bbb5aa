/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include "uml_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/*
 * The kernel's management console: a datagram there, one or more back.  Both ends
 * are one machine and one build, so the integers are in host order.
 */
#define MCONSOLE_MAGIC	 0xcafebabeu
#define MCONSOLE_VERSION 2u
#define MCONSOLE_MS	 10000
#define PAUSE_LOOKS	 5000

struct request {
	uint32_t magic;
	uint32_t version;
	uint32_t len;
	char data[512];
};

struct reply {
	uint32_t err;
	uint32_t more;
	uint32_t len;
	char data[512];
};

struct call {
	int fd;
	int result;
	bool done;
};

static void reply_ready(void *ctx)
{
	struct call *call = ctx;
	struct reply reply;
	ssize_t n = recv(call->fd, &reply, sizeof(reply), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < (ssize_t)offsetof(struct reply, data))
		call->result = -EPROTO;
	else if (reply.err)
		call->result = -EIO;
	else if (reply.more)
		return;
	call->done = true;
}

static int call_kernel(struct guest *guest, int fd, const struct sockaddr_un *to,
		       const struct request *request)
{
	/* Bound to a name that the system makes up, so that the answer finds its way. */
	const struct sockaddr_un from = {.sun_family = AF_UNIX};
	struct call call = {.fd = fd};
	int err;

	if (bind(fd, (const struct sockaddr *)&from, sizeof(from.sun_family)) ||
	    sendto(fd, request, sizeof(*request), MSG_NOSIGNAL, (const struct sockaddr *)to,
		   sizeof(*to)) < 0)
		return -errno;
	err = fph_loop_add(guest->loop, fd, reply_ready, &call);
	if (err)
		return err;
	err = uml_wait(guest, &call.done, MCONSOLE_MS);
	fph_loop_remove(guest->loop, fd);
	return err ? err : call.result;
}

static int tell_kernel(struct guest *guest, const char *command)
{
	struct request request = {MCONSOLE_MAGIC, MCONSOLE_VERSION, 0, {0}};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = -EINVAL, n;

	if (fd < 0)
		return -errno;
	request.len = (uint32_t)strlen(command);
	n = snprintf(to.sun_path, sizeof(to.sun_path), "%s/%s/mconsole", guest->dir,
		     guest->umid);
	if (request.len < sizeof(request.data) && n > 0 && (size_t)n < sizeof(to.sun_path)) {
		memcpy(request.data, command, request.len);
		err = call_kernel(guest, fd, &to, &request);
	}
	close(fd);
	return err;
}

/*
 * How often the kernel's process was switched in so far, or -1 if it is running now.
 * Its pid stands in a file beside the socket.
 */
static long long switches(const struct guest *guest)
{
	char path[160], line[128], state = 'R';
	long long n = 0, more;
	int pid = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/pid", guest->dir, guest->umid);
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%d", &pid) != 1)
		pid = 0;
	fclose(file);
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		sscanf(line, "State: %c", &state);
		if (sscanf(line, "voluntary_ctxt_switches: %lld", &more) == 1 ||
		    sscanf(line, "nonvoluntary_ctxt_switches: %lld", &more) == 1)
			n += more;
	}
	fclose(file);
	return state == 'S' ? n : -1;
}

/*
 * The kernel answers "stopped" and then goes to sleep, so wait until it does: until
 * it slept at two looks and was not switched in between.
 */
int uml_pause(struct guest *guest)
{
	int err = tell_kernel(guest, "stop");

	for (int i = 0; i < PAUSE_LOOKS && !err; i++) {
		long long before = switches(guest);

		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
		if (before >= 0 && switches(guest) == before)
			return 0;
	}
	return err ? err : -ETIMEDOUT;
}

int uml_resume(struct guest *guest)
{
	return tell_kernel(guest, "go");
}
