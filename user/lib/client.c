// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One request, one reply, over the manager's socket. Sending and receiving never block here,
 * waiting is always poll().
 */
#include "lib/client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/fdpass.h"
#include "common/util.h"

#define CONNECT_US 100000

/* What the kernel says when nobody listens at the other end, or no longer. */
static bool client_is_dead(int err)
{
	return err == ENOENT || err == ENOTDIR || err == ECONNREFUSED || err == EPIPE ||
	       err == ECONNRESET || err == ENOTCONN || err == EPROTOTYPE;
}

/* A wait under way. */
struct waiting {
	const struct client_wait *wait;
	uint64_t slow;     /* when to say that it takes long; CLOCK_NEVER */
	uint64_t patience; /* until then a signal does not end it */
	bool interrupted;
};

static struct waiting waiting_begin(const struct client_wait *wait)
{
	uint64_t now = wait || client_slow ? clock_now() : 0;

	return (struct waiting){
		.wait = wait,
		.slow = client_slow ? now + CLIENT_SLOW_MS * 1000000ULL : CLOCK_NEVER,
		.patience = now + CLIENT_PATIENCE_MS * 1000000ULL,
	};
}

/* It goes on: 0, and the ms until this is to be asked again, -1: never. Or -EAGAIN, -EINTR. */
static int waiting_left(struct waiting *w, int *ms)
{
	uint64_t until = w->wait ? w->wait->until : CLOCK_NEVER, next, now;
	int end = -EAGAIN;

	if (w->interrupted && w->patience < until) {
		until = w->patience;
		end = -EINTR;
	}

	*ms = -1;
	if (until == CLOCK_NEVER && w->slow == CLOCK_NEVER)
		return 0;
	now = clock_now();
	if (now >= w->slow) {
		w->slow = CLOCK_NEVER;
		client_slow();
	}
	if (now >= until)
		return end;
	next = until < w->slow ? until : w->slow;
	if (next != CLOCK_NEVER)
		*ms = (int)((next - now) / 1000000) + 1;
	return 0;
}

static int client_wait(int fd, short events, struct waiting *w)
{
	struct pollfd p = { .fd = fd, .events = events };
	struct timespec ts;
	int n, ms, r;

	do {
		r = waiting_left(w, &ms);
		ms = r ? 0 : ms; /* what came in time counts */
		ts = (struct timespec){ ms / 1000, ms % 1000 * 1000000L };
		n = ppoll(&p, 1, ms < 0 ? NULL : &ts, w->wait ? w->wait->mask : NULL);
		if (n < 0 && errno != EINTR)
			return -errno;
		w->interrupted |= n < 0 && w->wait && w->wait->interrupt;
	} while (n <= 0 && !r);
	if (n <= 0)
		return r;
	return p.revents & POLLNVAL ? -EBADF : 0;
}

/* The manager's queue of connections may be full: connect() gives up after CONNECT_US then. */
static int client_connect(int fd, const struct sockaddr_un *sun, struct waiting *w)
{
	const struct timeval step = { .tv_usec = CONNECT_US };
	const struct timespec now = { 0 };
	int ms, r = 0;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &step, sizeof(step)))
		return -errno;
	while (connect(fd, (const struct sockaddr *)sun, sizeof(*sun))) {
		if (errno != EINTR && errno != EAGAIN)
			return client_is_dead(errno) ? -ENETDOWN : -errno;
		w->interrupted |= errno == EINTR && w->wait && w->wait->interrupt;
		if (w->wait && w->wait->mask && ppoll(NULL, 0, &now, w->wait->mask) < 0)
			w->interrupted = true;
		r = waiting_left(w, &ms);
		if (r)
			return r;
	}
	return 0;
}

void (*client_slow)(void);

int client_open(const char *run_dir, const struct client_wait *wait)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct waiting w = waiting_begin(wait);
	bool now = wait && !wait->until;
	_cleanup_close_ int fd = -1;
	int n, r;

	if (!run_dir)
		run_dir = secure_getenv(IPN_CTL_ENV_RUN_DIR);
	if (!run_dir || !*run_dir)
		run_dir = IPN_CTL_RUN_DIR;
	n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s", run_dir, IPN_CTL_SOCKET);
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (now ? SOCK_NONBLOCK : 0), 0);
	if (fd < 0)
		return -errno;
	r = client_connect(fd, &sun, &w);
	return r ? r : util_take_fd(&fd);
}

static int client_send(int fd, const struct ipn_ctl_hdr *hdr, const struct client_call *call)
{
	struct iovec iov[2] = {
		{ (void *)hdr, sizeof(*hdr) },
		{ (void *)call->request, call->request_len },
	};
	union {
		struct cmsghdr align;
		char room[FDPASS_SPACE(IPN_CTL_MAX_FDS)];
	} control;
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = call->request_len ? 2 : 1 };
	struct waiting w = waiting_begin(call->wait);

	fdpass_put(&msg, &control, call->fds, call->nfds);
	while (sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		int r = errno == EAGAIN  ? client_wait(fd, POLLOUT, &w)
			: errno == EINTR ? 0
					 : -errno;

		if (r)
			return client_is_dead(-r) ? -ENETDOWN : r;
	}
	return 0;
}

static void client_close_fds(struct client_call *call)
{
	for (unsigned int i = 0; i < call->nreply_fds; i++)
		close(call->reply_fds[i]);
	call->nreply_fds = 0;
}

/* Takes the descriptors of a packet into the call. Those beyond its room are closed: -EPROTO. */
static int client_take_fds(struct client_call *call, struct msghdr *msg)
{
	unsigned int n = fdpass_get(msg, call->reply_fds, IPN_CTL_MAX_FDS);

	call->nreply_fds = n < IPN_CTL_MAX_FDS ? n : IPN_CTL_MAX_FDS;
	return n > IPN_CTL_MAX_FDS ? -EPROTO : 0;
}

/* Descriptors were cut off: because this process can have no more? */
static bool client_no_files(int fd)
{
	_cleanup_close_ int probe = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return probe < 0 && errno == EMFILE;
}

/* Receives one packet into buf. Returns its length, or -errno. */
static ssize_t client_receive(int fd, struct client_call *call, void *buf, size_t size)
{
	struct iovec iov = { buf, size };
	union {
		struct cmsghdr align;
		char room[FDPASS_SPACE(IPN_CTL_MAX_FDS)];
	} control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct waiting w = waiting_begin(call->wait);
	ssize_t n;
	int r;

	while ((n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0) {
		r = errno == EAGAIN ? client_wait(fd, POLLIN, &w) : errno == EINTR ? 0 : -errno;
		if (r)
			return client_is_dead(-r) ? -ENETDOWN : r;
	}
	r = client_take_fds(call, &msg);
	if (!r && msg.msg_flags & MSG_CTRUNC)
		r = client_no_files(fd) ? -EMFILE : -EPROTO;
	if (r)
		return r;
	if (n == 0)
		return -ENETDOWN;
	return msg.msg_flags & MSG_TRUNC ? -EPROTO : n;
}

/* Judges a packet of n bytes and takes what it says into the call. */
static int client_judge(uint32_t id, struct client_call *call, const char *buf, size_t n)
{
	struct ipn_ctl_hdr hdr;
	size_t body = n - sizeof(hdr);

	if (n < sizeof(hdr))
		return -EPROTO;
	memcpy(&hdr, buf, sizeof(hdr));
	if (hdr.magic != IPN_CTL_MAGIC || hdr.version != IPN_CTL_VERSION ||
	    hdr.type != (__u16)call->type || hdr.id != id || hdr.len != n)
		return -EPROTO;
	if (hdr.status < 0 || hdr.status > 4095)
		return -EPROTO;
	if (hdr.status) {
		size_t len = strnlen(buf + sizeof(hdr), body);

		if (len >= sizeof(call->text))
			len = sizeof(call->text) - 1;
		memcpy(call->text, buf + sizeof(hdr), len);
		call->text[len] = '\0';
		return -hdr.status;
	}
	if (body > call->reply_size)
		return -EPROTO;
	if (body)
		memcpy(call->reply, buf + sizeof(hdr), body);
	call->reply_len = body;
	return 0;
}

static uint32_t last_id;
static bool forked;

void client_fork(bool child)
{
	forked = true;
	if (child && getrandom(&last_id, sizeof(last_id), GRND_NONBLOCK) != sizeof(last_id))
		last_id += (uint32_t)getpid() << 12;
}

/* A whole reply to what somebody else asked. */
static bool client_others(uint32_t id, const char *buf, ssize_t n)
{
	struct ipn_ctl_hdr hdr;

	if (!forked || n < (ssize_t)sizeof(hdr))
		return false;
	memcpy(&hdr, buf, sizeof(hdr));
	return hdr.magic == IPN_CTL_MAGIC && hdr.id != id;
}

int client_ask(int fd, struct client_call *call, uint32_t *id)
{
	struct ipn_ctl_hdr hdr = {
		.magic = IPN_CTL_MAGIC,
		.version = IPN_CTL_VERSION,
		.type = (__u16)call->type,
		.id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED),
		.len = (__u32)(sizeof(hdr) + call->request_len),
	};

	*id = hdr.id;
	call->reply_len = 0;
	call->nreply_fds = 0;
	call->text[0] = '\0';
	if (call->request_len > IPN_CTL_MAX_PACKET - sizeof(hdr) || call->nfds > IPN_CTL_MAX_FDS)
		return -EMSGSIZE;
	return client_send(fd, &hdr, call);
}

int client_answer(int fd, struct client_call *call, uint32_t id)
{
	_cleanup_free_ char *buf = malloc(IPN_CTL_MAX_PACKET);
	ssize_t n;
	int r;

	if (!buf)
		return -ENOMEM;
	while ((n = client_receive(fd, call, buf, IPN_CTL_MAX_PACKET)) > 0 &&
	       client_others(id, buf, n))
		client_close_fds(call);
	r = n < 0 ? (int)n : client_judge(id, call, buf, (size_t)n);
	if (r)
		client_close_fds(call);
	return r;
}

int client_call(int fd, struct client_call *call)
{
	uint32_t id;
	int r = client_ask(fd, call, &id);

	return r ? r : client_answer(fd, call, id);
}
