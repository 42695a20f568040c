// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The public calls: each finds the entry of the descriptor, does what its name says and turns
 * -errno into -1 and errno. include/ipn/ipn.h documents them.
 */
#include <ipn/ipn.h>

#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "common/util.h"
#include "lib/join.h"
#include "lib/netdev.h"
#include "lib/opt.h"
#include "lib/poll.h"
#include "lib/rx.h"
#include "lib/sock.h"
#include "lib/tx.h"

#define IPN_API __attribute__((visibility("default")))

/* The result of a call in the form of the system's. */
static inline ssize_t ret(ssize_t r)
{
	if (__builtin_expect(r >= 0, 1))
		return r;
	errno = (int)-r;
	return -1;
}

/* In a call: the entry of its descriptor, or its end. */
#define SOCK_OR_RETURN(s, fd)                        \
	_cleanup_sock_ struct ipn_sock *s = NULL;    \
	do {                                         \
		int sock_r = sock_get((fd), &s);     \
		if (__builtin_expect(sock_r < 0, 0)) \
			return (int)ret(sock_r);     \
	} while (0)

static int open_socket(int domain, int type, int protocol)
{
	const int known = SOCK_CLOEXEC | SOCK_NONBLOCK;
	_cleanup_close_ int fd = -1, life = -1, control = -1;
	struct ipn_sock *s;
	int pair[2], r;

	if (domain != AF_IPN)
		return -EAFNOSUPPORT;
	if ((type & ~known) != SOCK_RAW)
		return -EPROTOTYPE;
	if (protocol < IPN_ANY || protocol >= IPN_POLICY_MAX)
		return -EPROTONOSUPPORT;

	/* first: the program gets the lowest number */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	fd = pair[0];
	life = pair[1];
	if (shutdown(life, SHUT_RD)) /* what is written past the library is refused: EPIPE */
		return -errno;
	control = client_open(NULL, NULL);
	if (control < 0)
		return control;
	if (protocol > IPN_VDESWITCH) {
		r = opt_policy_known(control, (uint32_t)protocol);
		if (r)
			return r;
	}
	if (type & SOCK_NONBLOCK && fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK))
		return -errno;
	if (!(type & SOCK_CLOEXEC) && fcntl(fd, F_SETFD, 0))
		return -errno;
	r = sock_add(fd, protocol, type & SOCK_NONBLOCK);
	if (r)
		return r;
	s = sock_find(fd);
	if (!s)
		return -EBADF; /* another thread has closed the number already */
	sock_own_set(&s->life, util_take_fd(&life));
	sock_own_set(&s->control, util_take_fd(&control));
	sock_put(s);
	return util_take_fd(&fd);
}

IPN_API int ipn_socket(int domain, int type, int protocol)
{
	return (int)ret(open_socket(domain, type, protocol));
}

IPN_API int ipn_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	SOCK_OR_RETURN(s, fd);
	return (int)ret(join_bind(s, addr, len));
}

IPN_API int ipn_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	SOCK_OR_RETURN(s, fd);
	return (int)ret(join_connect(s, addr, len));
}

IPN_API int ipn_shutdown(int fd, int how)
{
	SOCK_OR_RETURN(s, fd);
	return (int)ret(join_shutdown(s, how));
}

IPN_API ssize_t ipn_send(int fd, const void *buf, size_t len, int flags)
{
	struct iovec iov = { (void *)buf, len };

	SOCK_OR_RETURN(s, fd);
	return ret(tx_send(s, &iov, 1, flags));
}

IPN_API ssize_t ipn_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	SOCK_OR_RETURN(s, fd);
	return ret(tx_send(s, msg->msg_iov, msg->msg_iovlen, flags));
}

IPN_API int ipn_send_batch(int fd, const struct iovec *msgs, unsigned int n, int flags)
{
	SOCK_OR_RETURN(s, fd);
	return (int)ret(tx_batch(s, msgs, n, flags));
}

IPN_API ssize_t ipn_recv(int fd, void *buf, size_t len, int flags)
{
	struct iovec iov = { buf, len };
	int msg_flags;

	SOCK_OR_RETURN(s, fd);
	return ret(rx_recv(s, &iov, 1, flags, &msg_flags));
}

IPN_API ssize_t ipn_recvmsg(int fd, struct msghdr *msg, int flags)
{
	int msg_flags;
	ssize_t r;

	SOCK_OR_RETURN(s, fd);
	r = rx_recv(s, msg->msg_iov, msg->msg_iovlen, flags, &msg_flags);
	if (r >= 0) {
		msg->msg_namelen = 0;
		msg->msg_controllen = 0;
		msg->msg_flags = msg_flags;
	}
	return ret(r);
}

IPN_API int ipn_recv_peek(int fd, struct ipn_view *views, unsigned int n, int flags)
{
	SOCK_OR_RETURN(s, fd);
	return (int)ret(rx_peek(s, views, n, flags));
}

IPN_API int ipn_recv_done(int fd, unsigned int n)
{
	SOCK_OR_RETURN(s, fd);
	return (int)ret(rx_done(s, n));
}

IPN_API int ipn_overruns(int fd, uint64_t *count)
{
	SOCK_OR_RETURN(s, fd);
	*count = rx_overruns(s);
	return 0;
}

IPN_API int ipn_set_wait(int fd, enum ipn_wait how)
{
	SOCK_OR_RETURN(s, fd);
	if (how != IPN_WAIT_SLEEP && how != IPN_WAIT_SPIN)
		return (int)ret(-EINVAL);
	__atomic_store_n(&s->wait_mode, how, __ATOMIC_RELAXED);
	return 0;
}

IPN_API int ipn_poll(struct pollfd *fds, nfds_t nfds, int timeout_ms)
{
	return (int)ret(poll_any(fds, nfds, timeout_ms));
}

IPN_API int ipn_setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	SOCK_OR_RETURN(s, fd);
	return (int)ret(opt_set(s, level, name, val, len));
}

IPN_API int ipn_getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	SOCK_OR_RETURN(s, fd);
	return (int)ret(opt_get(s, level, name, val, len));
}

IPN_API int ipn_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	int r = 0;

	SOCK_OR_RETURN(s, fd);
	pthread_mutex_lock(&s->lock);
	if (s->state == SOCK_NEW)
		r = -ENOTCONN;
	else
		addr_fill(s->path, addr, len);
	pthread_mutex_unlock(&s->lock);
	return (int)ret(r);
}

static int set_nonblock(struct ipn_sock *s, bool on)
{
	int flags = fcntl(s->fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	if (fcntl(s->fd, F_SETFL, flags))
		return -errno;
	__atomic_store_n(&s->nonblock, on, __ATOMIC_RELAXED);
	return 0;
}

IPN_API int ipn_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	int *arg;

	SOCK_OR_RETURN(s, fd);
	va_start(ap, request);
	arg = va_arg(ap, int *);
	va_end(ap);

	if (request == FIONREAD || request == FIONBIO) {
		if (!arg)
			return (int)ret(-EFAULT);
		if (request == FIONBIO)
			return (int)ret(set_nonblock(s, *arg));
		*arg = rx_next_len(s);
		return 0;
	}
	if (netdev_request(request))
		return (int)ret(netdev_ioctl(s, request, arg));
	return (int)ret(opt_ioctl(s, request, arg));
}

/*
 * What is closed is the descriptor that ipn_socket or ipn_dup returned, never one that took its
 * number.
 */
static int close_socket(struct ipn_sock *s, int fd)
{
	bool mine, last;
	int r = 0;

	pthread_mutex_lock(&s->lock);
	last = s->entries == 1;
	if (last)
		netdev_close(s);
	mine = sock_is(s, fd);
	if (!last)
		sock_rehome(s, fd);
	if (!sock_remove(fd, s)) {
		r = -EBADF;
	} else {
		s->entries--;
		if (last) { /* whoever waits gets end of file */
			__atomic_or_fetch(&s->shut, SOCK_SHUT_BOTH, __ATOMIC_SEQ_CST);
			if (s->state == SOCK_CONNECTED)
				rx_wake(s);
		}
		if (!mine)
			r = fcntl(fd, F_GETFD) < 0 ? -EBADF : -ENOTSOCK;
		else if (close(fd))
			r = -errno;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

IPN_API int ipn_dup(int fd)
{
	SOCK_OR_RETURN(s, fd);
	return (int)ret(sock_dup(s, fd));
}

IPN_API int ipn_poll_fd(int fd, short events)
{
	SOCK_OR_RETURN(s, fd);
	return (int)ret(poll_fd(s, events));
}

IPN_API int ipn_close(int fd)
{
	SOCK_OR_RETURN(s, fd);
	return (int)ret(close_socket(s, fd));
}
