// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lib/join.h"

#include <fcntl.h>
#include <ipn/ipn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>

#include "common/clock.h"
#include "common/util.h"
#include "lib/follow.h"
#include "lib/rx.h"
#include "lib/share.h"
#include "lib/tx.h"
#include "lib/who.h"

#define BIND_NEW_MS 1000
#define BIND_PAUSE_NS 2000000
#define BIND_TRIES 500
#define NONBLOCK_NS 500000000ULL /* a manager that runs answers within */

/*
 * Exchanges.
 */

static int restore_bound(struct ipn_sock *s, int fd)
{
	struct ipn_ctl_bind request = { .policy = (__u32)s->policy };
	struct ipn_ctl_net net;
	struct client_call call = {
		.type = IPN_CTL_BIND,
		.request = &request,
		.request_len = sizeof(request),
		.fds = &s->path_fd,
		.nfds = 1,
		.reply = &net,
		.reply_size = sizeof(net),
		.wait = s->wait,
	};

	return client_call(fd, &call);
}

/* Or it is gone: then it is a socket without its interface. */
static void restore_netdev(struct ipn_sock *s, int fd)
{
	struct ipn_ctl_netdev request = { .op = IPN_NETDEV_JOIN, .ifindex = s->netdev };
	struct ipn_ctl_port port;
	struct client_call call = {
		.type = IPN_CTL_NETDEV,
		.request = &request,
		.request_len = sizeof(request),
		.reply = &port,
		.reply_size = sizeof(port),
		.wait = s->wait,
	};

	(void)client_call(fd, &call);
}

static int restore_connected(struct ipn_sock *s, int fd)
{
	struct ipn_ctl_connected connected;
	struct client_call call = {
		.type = IPN_CTL_REJOIN,
		.fds = &s->tap,
		.nfds = 1,
		.reply = &connected,
		.reply_size = sizeof(connected),
		.wait = s->wait,
	};

	return client_call(fd, &call);
}

/*
 * Tells a session of whose descriptor it is, and learns what that has already. A manager that does
 * not know of such ends what the descriptor holds with the session.
 */
static int session_live(const struct ipn_sock *s, int fd, struct ipn_ctl_lifeline *has)
{
	struct client_call call = {
		.type = IPN_CTL_LIFELINE,
		.fds = &s->life.fd,
		.nfds = 1,
		.reply = has,
		.reply_size = sizeof(*has),
		.wait = s->wait,
	};
	int r;

	*has = (struct ipn_ctl_lifeline){ 0 };
	if (!sock_own_is(&s->life))
		return 0;
	r = client_call(fd, &call);
	return r == -ENETDOWN || r == -EAGAIN || r == -EINTR ? r : 0;
}

/* Repeats on a new connection what the old session was. */
static int session_restore(struct ipn_sock *s, int fd)
{
	struct ipn_ctl_lifeline has;
	int r = session_live(s, fd, &has);

	if (!r && s->state == SOCK_CONNECTED)
		r = restore_connected(s, fd);
	if (r || !s->bound)
		return r;
	r = has.bound ? 0 : restore_bound(s, fd);
	if (!r && s->state == SOCK_NETDEV && !has.ifindex)
		restore_netdev(s, fd);
	if (s->state == SOCK_CONNECTED && (r == -EPERM || r == -ECONNREFUSED)) {
		/* its rights or the path have changed: it is in, and manages no more */
		s->bound = false;
		r = 0;
	}
	return r;
}

/* Puts a new session in the place of the socket's old one, which ends. s->lock is held. */
static int session_replace(struct ipn_sock *s)
{
	_cleanup_close_ int fd = client_open(NULL, s->wait);
	int r;

	if (fd < 0)
		return fd;
	r = session_restore(s, fd);
	if (r)
		return r;
	if (sock_own_is(&s->control)) {
		/* the number stays: the next program may be told it */
		int cloexec = fcntl(s->control.fd, F_GETFD) & FD_CLOEXEC;

		if (dup3(fd, s->control.fd, cloexec ? O_CLOEXEC : 0) < 0)
			return -errno;
	} else {
		s->control.fd = util_take_fd(&fd);
	}
	sock_own_set(&s->control, s->control.fd);
	s->alive = true;
	s->who = who_am_i();
	return 0;
}

/*
 * The manager judges whoever opened the session. A process that has become somebody else since then
 * gets a new one before it joins.
 */
static int session_of_caller(struct ipn_sock *s)
{
	if (s->who == who_am_i())
		return 0;
	return sock_owns_fd(s) ? session_replace(s) : -EBADF;
}

/*
 * Nobody waits any more for what the manager will answer: what it does for this session, it takes
 * back when it finds it at its end.
 */
static void session_abandon(struct ipn_sock *s)
{
	if (sock_own_is(&s->control))
		shutdown(s->control.fd, SHUT_RDWR);
}

/* The first exchange of a session tells of the descriptor. */
static int session_call(struct ipn_sock *s, struct client_call *call)
{
	struct ipn_ctl_lifeline has;
	int r = 0;

	if (!sock_own_is(&s->control))
		return -ENETDOWN;
	if (!s->alive)
		r = session_live(s, s->control.fd, &has);
	s->alive |= !r;
	return r ? r : client_call(s->control.fd, call);
}

int join_call(struct ipn_sock *s, struct client_call *call)
{
	int r;

	if (!sock_owns_fd(s))
		return -EBADF;
	r = share_control_begin(s);
	if (r)
		return r;
	call->wait = s->wait;
	r = session_call(s, call);
	if (r == -ENETDOWN) {
		r = session_replace(s);
		if (!r)
			r = client_call(s->control.fd, call);
	}
	if ((r == -EAGAIN || r == -EINTR) && !call->text[0])
		session_abandon(s);
	share_control_end(s);
	return r;
}

/* An exchange whose reply has exactly one form. */
static int call_exact(struct ipn_sock *s, struct client_call *call)
{
	int r = join_call(s, call);

	if (r)
		return r;
	return call->reply_len == call->reply_size ? 0 : -EPROTO;
}

/*
 * bind
 */

static int open_path(const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Removes the path if it still leads to the inode. */
static void remove_made(const char *path, int path_fd)
{
	struct stat made, now;

	if (!fstat(path_fd, &made) && !lstat(path, &now) && made.st_dev == now.st_dev &&
	    made.st_ino == now.st_ino)
		unlink(path);
}

static int bind_join(struct ipn_sock *s, int path_fd)
{
	struct ipn_ctl_bind request = { .policy = (__u32)s->policy };
	struct client_call call = {
		.type = IPN_CTL_BIND,
		.request = &request,
		.request_len = sizeof(request),
		.fds = &path_fd,
		.nfds = 1,
		.reply = &s->net,
		.reply_size = sizeof(s->net),
	};

	return call_exact(s, &call);
}

static int bind_make(struct ipn_sock *s, int path_fd, const char *path)
{
	struct ipn_ctl_net_add request = {
		.policy = (__u32)s->policy,
		.mtu = s->params.mtu,
		.numnodes = s->params.numnodes,
		.pool = s->params.pool,
		.flags = s->params.flags,
		.mode = s->params.mode,
	};
	struct client_call call = {
		.type = IPN_CTL_NET_ADD,
		.request = &request,
		.request_len = sizeof(request),
		.fds = &path_fd,
		.nfds = 1,
		.reply = &s->net,
		.reply_size = sizeof(s->net),
	};
	int r;

	r = addr_absolute(path, request.path);
	if (r)
		return r;
	r = call_exact(s, &call);
	/* somebody else got hold of the path between the making and here */
	return r == -EEXIST || r == -ENOTSOCK ? -EADDRINUSE : r;
}

/*
 * Makes the socket inode unless the path exists. Returns a descriptor of it, *made says whether it
 * is new; or -errno.
 */
static int bind_path(const struct ipn_sock *s, const char *path, bool *made)
{
	char absolute[IPN_PATH_MAX];
	int fd, r;

	*made = false;
	if (s->policy == IPN_ANY) {
		fd = open_path(path);
		return fd == -ENOENT ? -EINVAL : fd;
	}
	r = addr_absolute(path, absolute);
	if (!r && mknod(path, S_IFSOCK | s->params.mode, 0))
		r = -errno;
	if (r == -ENAMETOOLONG) {
		/* too long to be told, not to be joined */
		fd = open_path(path);
		return fd == -ENOENT ? r : fd;
	}
	if (r && r != -EEXIST)
		return r;
	*made = r == 0;
	fd = *made ? open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC) : open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return *made || errno == ENOENT ? -EADDRINUSE : -errno;
	return fd;
}

/* Was the path made just now? Then whoever made it may still be on his way to the manager. */
static bool path_is_new(int path_fd)
{
	struct timespec now;
	struct stat st;
	int64_t age;

	if (fstat(path_fd, &st) || clock_gettime(CLOCK_REALTIME, &now))
		return false;
	age = (int64_t)(now.tv_sec - st.st_ctim.tv_sec) * 1000 +
	      (now.tv_nsec - st.st_ctim.tv_nsec) / 1000000;
	return S_ISSOCK(st.st_mode) && age > -BIND_NEW_MS && age < BIND_NEW_MS;
}

/*
 * Of several who bind at once, one makes the path and then the network, and the others must not be
 * refused between the two. Nor when he fails and takes the path away: then one of them makes it.
 */
static int bind_try(struct ipn_sock *s, const char *path, int *out)
{
	const struct timespec pause = { .tv_nsec = BIND_PAUSE_NS };

	for (int tries = 0;; tries++) {
		_cleanup_close_ int path_fd = -1;
		bool made;
		int r;

		path_fd = bind_path(s, path, &made);
		if (path_fd < 0)
			return path_fd;
		r = made ? bind_make(s, path_fd, path) : bind_join(s, path_fd);
		if (!r) {
			*out = util_take_fd(&path_fd);
			return 0;
		}
		if (made)
			remove_made(path, path_fd);
		memset(&s->net, 0, sizeof(s->net));
		if (made || r != -ECONNREFUSED || tries == BIND_TRIES || !path_is_new(path_fd))
			return r;
		nanosleep(&pause, NULL);
	}
}

/* How long bind and connect wait for the manager. s->lock is held. */
static struct client_wait wait_of_call(struct ipn_sock *s)
{
	uint64_t timeo = __atomic_load_n(&s->sndtimeo, __ATOMIC_RELAXED);

	if (sock_may_block(s) == -EAGAIN)
		timeo = NONBLOCK_NS;
	return (struct client_wait){
		.until = timeo ? clock_now() + timeo : CLOCK_NEVER,
		.interrupt = true,
	};
}

int join_bind(struct ipn_sock *s, const struct sockaddr *addr, socklen_t len)
{
	struct client_wait wait;
	char path[ADDR_PATH_SIZE];
	int r;

	r = addr_parse(addr, len, path);
	if (r)
		return r;
	pthread_mutex_lock(&s->lock);
	wait = wait_of_call(s);
	s->wait = &wait;
	if (s->state != SOCK_NEW)
		r = -EISCONN;
	if (!r)
		r = session_of_caller(s);
	if (!r)
		r = bind_try(s, path, &s->path_fd);
	if (!r) {
		s->bound = true;
		memcpy(s->path, path, sizeof(s->path));
		s->policy = (int)s->net.policy;
		__atomic_store_n(&s->state, SOCK_BOUND, __ATOMIC_RELEASE);
	}
	s->wait = NULL;
	pthread_mutex_unlock(&s->lock);
	return r;
}

/*
 * connect
 */

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t page_round(size_t n)
{
	return (n + page_size() - 1) & ~(page_size() - 1);
}

static int map(int fd, size_t len, int prot, size_t offset, void *out)
{
	void *p = mmap(NULL, len, prot, MAP_SHARED, fd, (off_t)offset);

	if (p == MAP_FAILED)
		return -errno;
	*(void **)out = p;
	return 0;
}

static int map_log(struct rx_log *log, int fd, const struct ipn_ctl_connected *c, uint32_t mask,
		   uint64_t cursor)
{
	int r;

	if (mask & (mask + 1) || mask == UINT32_MAX)
		return -EPROTO;
	log->slot_size = ipn_slot_size(c->log_class);
	log->mask = mask;
	log->cursor = cursor;
	log->map_len = page_round(((size_t)mask + 2) * log->slot_size);
	r = map(fd, log->map_len, PROT_READ, 0, &log->base);
	return r;
}

static int map_bell(struct rx_bell *bell, int *fd, uint32_t size)
{
	int r;

	if (size < page_size() || size & (size - 1) || size > 1u << 30)
		return -EPROTO;
	bell->size = size;
	bell->map_len = page_size() + 2 * (size_t)size;
	r = map(*fd, page_size(), PROT_READ | PROT_WRITE, 0, &bell->consumer);
	if (!r)
		r = map(*fd, bell->map_len, PROT_READ, page_size(), &bell->producer);
	if (r)
		return r;
	bell->data = (const uint8_t *)bell->producer + page_size();
	bell->seen = __atomic_load_n(bell->consumer, __ATOMIC_RELAXED);
	bell->fd = util_take_fd(fd);
	return 0;
}

/*
 * Takes one of the descriptors that came with a reply, in the order of their bits: what is taken is
 * -1 in the call. -1: its bit is not set.
 */
static int *reply_fd(struct client_call *call, uint32_t bits, uint32_t bit)
{
	static int none = -1;

	return bits & bit ? &call->reply_fds[__builtin_popcount(bits & (bit - 1))] : &none;
}

void (*join_placed)(struct ipn_sock *s, const struct ipn_ctl_connected *c, int *fds,
		    unsigned int nfds);

/* Sets up what a connected node needs. On failure, sock_unmap() undoes it. */
static int connect_map(struct ipn_sock *s, struct client_call *call,
		       const struct ipn_ctl_connected *c)
{
	const uint32_t must = IPN_CTL_FD_TAP | IPN_CTL_FD_BELL | IPN_CTL_FD_PAGE;
	const uint32_t all = must | IPN_CTL_FD_LOG | IPN_CTL_FD_NODELOG | IPN_CTL_FD_ROOM;
	struct rx *rx = &s->rx;
	int *tap = reply_fd(call, c->fds, IPN_CTL_FD_TAP);
	uint32_t slots = c->log_mask;
	int status, r;

	if (c->fds & ~all || (unsigned int)__builtin_popcount(c->fds) != call->nreply_fds ||
	    (c->fds & must) != must || c->log_class >= IPN_LOG_CLASSES || c->net.mtu > IPN_MTU_MAX)
		return -EPROTO;
	if (c->flags & IPN_PF_READER && !(c->fds & IPN_CTL_FD_LOG))
		return -EPROTO;

	if (join_placed)
		join_placed(s, c, call->reply_fds, call->nreply_fds);
	rx->page_len = page_size();
	r = map_bell(&rx->bell, reply_fd(call, c->fds, IPN_CTL_FD_BELL), c->bell_size);
	if (!r)
		r = map(*reply_fd(call, c->fds, IPN_CTL_FD_PAGE), rx->page_len,
			PROT_READ | PROT_WRITE, 0, &rx->page);
	if (r)
		return r;
	rx_set_oob(s, s->oob);
	if (c->fds & IPN_CTL_FD_LOG) {
		r = map_log(&rx->log[RX_NET], *reply_fd(call, c->fds, IPN_CTL_FD_LOG), c,
			    c->log_mask, c->cursor);
		if (r)
			return r;
		rx->log_word =
			IPN_LOG_IS(((const struct ipn_log_head *)rx->log[RX_NET].base)->serial);
	}
	if (c->fds & IPN_CTL_FD_NODELOG) {
		r = map_log(&rx->log[RX_NODE], *reply_fd(call, c->fds, IPN_CTL_FD_NODELOG), c,
			    c->node_log_mask, c->node_cursor);
		if (r)
			return r;
		if (c->node_log_mask < slots)
			slots = c->node_log_mask;
	}
	if (c->fds & IPN_CTL_FD_ROOM) {
		r = map_bell(&s->room, reply_fd(call, c->fds, IPN_CTL_FD_ROOM), c->bell_size);
		if (r)
			return r;
	}
	rx->own = c->port;
	rx->lossless = c->net.flags & IPN_FLAG_LOSSLESS;
	if (rx->lossless && !s->room.producer)
		return -EPROTO;
	rx->pool = rx->lossless ? c->log_mask + 1 : c->net.pool;
	if (!rx->lossless && rx->pool > slots / 2 + 1)
		rx->pool = slots / 2 + 1;
	/* beside the pool, and some for threads that are between looking at it and sending */
	if (!rx->lossless && rx->log[RX_NET].base)
		rx->own_room = (c->log_mask + 1 - rx->pool) / 4 * 3 + 1;

	status = fcntl(*tap, F_GETFL);
	if (status < 0 || fcntl(*tap, F_SETFL, status | O_NONBLOCK))
		return -errno;
	s->tap = util_take_fd(tap);
	s->mtu = c->net.mtu;
	return 0;
}

int join_adopt(struct ipn_sock *s, const struct ipn_ctl_connected *c, int *fds, unsigned int nfds)
{
	struct client_call call = { .nreply_fds = nfds };
	struct rx *rx = &s->rx;
	int r;

	if (nfds > IPN_CTL_MAX_FDS)
		return -EINVAL;
	memcpy(call.reply_fds, fds, nfds * sizeof(*fds));
	pthread_mutex_lock(&s->lock);
	r = connect_map(s, &call, c);
	if (r) {
		sock_unmap(s);
	} else {
		/* it has read on since */
		if (rx->page->cursor > rx->log[RX_NET].cursor)
			rx->log[RX_NET].cursor = rx->page->cursor;
		if (rx->page->node_cursor > rx->log[RX_NODE].cursor)
			rx->log[RX_NODE].cursor = rx->page->node_cursor;
		rx->overrun = rx->overrun_published = rx->page->overrun;
		rx->sent = 1;
		share_adopt(s);
		follow_adopted(rx);
		s->net = c->net;
		s->port = (int)c->port;
		__atomic_store_n(&s->state, SOCK_CONNECTED, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int connect_call(struct ipn_sock *s, int path_fd, struct client_call *call,
			struct ipn_ctl_connected *c)
{
	struct ipn_ctl_connect request = {
		.policy = (__u32)s->policy,
		.port = s->port,
		.shutdown = s->shut,
		.knows = IPN_CTL_KNOWS_LOG,
	};

	memcpy(request.descr, s->descr, sizeof(request.descr));
	*call = (struct client_call){
		.type = IPN_CTL_CONNECT,
		.request = &request,
		.request_len = sizeof(request),
		.fds = &path_fd,
		.nfds = path_fd >= 0 ? 1 : 0,
		.reply = c,
		.reply_size = sizeof(*c),
	};
	return call_exact(s, call);
}

/* On a bound descriptor: does the address lead to the network it is bound to? */
static int connect_same(const struct ipn_sock *s, const char *path)
{
	_cleanup_close_ int fd = open_path(path);
	struct stat bound, given;

	if (fd < 0)
		return fd;
	if (fstat(s->path_fd, &bound) || fstat(fd, &given))
		return -errno;
	return bound.st_dev == given.st_dev && bound.st_ino == given.st_ino ? 0 : -EINVAL;
}

/* s->lock is held. */
static int connect_locked(struct ipn_sock *s, const char *path)
{
	_cleanup_close_ int path_fd = -1;
	struct ipn_ctl_connected c;
	struct client_call call;
	uint32_t shut = 0;
	int r;

	if (s->state >= SOCK_CONNECTED)
		return -EISCONN;
	if (s->state == SOCK_BOUND) {
		r = path ? connect_same(s, path) : 0;
		if (r)
			return r;
	} else {
		if (!path)
			return -EINVAL;
		r = session_of_caller(s);
		if (r)
			return r;
		path_fd = open_path(path);
		if (path_fd < 0)
			return path_fd;
	}

	r = connect_call(s, path_fd, &call, &c);
	if (!r) {
		r = connect_map(s, &call, &c);
		if (r)
			sock_unmap(s);
	}
	/*
	 * If it was not the manager who refused it (then he said why), he believes in this node:
	 * end its session, begin another. Without descriptors for that, the next call does.
	 */
	if (r && r != -EAGAIN && r != -EINTR && !call.text[0] && sock_own_is(&s->control) &&
	    session_replace(s))
		shutdown(s->control.fd, SHUT_RDWR);
	for (unsigned int i = 0; i < call.nreply_fds; i++)
		util_close_fd(&call.reply_fds[i]);
	if (r)
		return r;

	if (path_fd >= 0) {
		s->path_fd = util_take_fd(&path_fd);
		(void)util_copy(s->path, sizeof(s->path), path);
	}
	if (!(c.flags & IPN_PF_READER))
		shut |= SOCK_SHUT_RD;
	if (!(c.flags & IPN_PF_WRITER))
		shut |= SOCK_SHUT_WR;
	__atomic_or_fetch(&s->shut, shut, __ATOMIC_SEQ_CST);
	s->net = c.net;
	s->policy = (int)c.net.policy;
	s->port = (int)c.port;
	share_joined(s);
	__atomic_store_n(&s->state, SOCK_CONNECTED, __ATOMIC_RELEASE);
	return 0;
}

int join_connect(struct ipn_sock *s, const struct sockaddr *addr, socklen_t len)
{
	struct client_wait wait;
	char path[ADDR_PATH_SIZE];
	int r;

	if (addr) {
		r = addr_parse(addr, len, path);
		if (r)
			return r;
	}
	pthread_mutex_lock(&s->lock);
	wait = wait_of_call(s);
	s->wait = &wait;
	r = connect_locked(s, addr ? path : NULL);
	s->wait = NULL;
	pthread_mutex_unlock(&s->lock);
	return r;
}

/*
 * shutdown
 */

/* Those who share the node, too, are told and woken. */
static void shutdown_shared(struct ipn_sock *s, uint32_t shut)
{
	if (!share_is(&s->rx)) {
		rx_wake(s);
		return;
	}
	__atomic_or_fetch(&s->rx.page->revoked, shut, __ATOMIC_SEQ_CST);
	tx_op(s, IPN_TX_RING);
}

int join_shutdown(struct ipn_sock *s, int how)
{
	struct ipn_ctl_shutdown request = { .how = (__u32)how };
	struct client_call call = {
		.type = IPN_CTL_SHUTDOWN,
		.request = &request,
		.request_len = sizeof(request),
	};
	uint32_t shut;
	int r = 0;

	switch (how) {
	case SHUT_RD:
		shut = SOCK_SHUT_RD;
		break;
	case SHUT_WR:
		shut = SOCK_SHUT_WR;
		break;
	case SHUT_RDWR:
		shut = SOCK_SHUT_BOTH;
		break;
	default:
		return -EINVAL;
	}
	pthread_mutex_lock(&s->lock);
	if ((s->shut & shut) != shut) {
		if (s->state == SOCK_CONNECTED && !sock_gone(s))
			r = join_call(s, &call);
		if (!r) {
			__atomic_or_fetch(&s->shut, shut, __ATOMIC_SEQ_CST);
			if (s->state == SOCK_CONNECTED)
				shutdown_shared(s, shut);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}
