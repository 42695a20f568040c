// SPDX-License-Identifier: LGPL-2.1-or-later
/* Sending and receiving. One call is one message, whatever it is called. */
#include <limits.h>

#include "common/clock.h"
#include "lib/rx.h"
#include "lib/tx.h"
#include "preload/shim.h"

static ssize_t send_vec(struct ipn_sock *s, const struct iovec *iov, size_t n, int flags)
{
	struct shim_wait wait = { .restart = !s->sndtimeo_tv.tv_sec && !s->sndtimeo_tv.tv_usec };
	struct shim_wait before = shim_wait_begin(&wait);
	ssize_t r;

	/* no SIGPIPE comes from an IPN socket */
	flags &= ~MSG_NOSIGNAL;
	r = __builtin_expect(shim_can_send(iov, n), 1) ? tx_send(s, iov, n, flags)
						       : shim_send_by_kernel(s, iov, n, flags);
	shim_wait_end(&before);
	return r;
}

static ssize_t recv_vec(struct ipn_sock *s, const struct iovec *iov, size_t n, int flags,
			int *msg_flags)
{
	struct shim_wait wait = {
		.restart = !__atomic_load_n(&s->rcvtimeo, __ATOMIC_RELAXED),
	};
	struct shim_wait before = shim_wait_begin(&wait);
	ssize_t r;

	r = __builtin_expect(shim_can_receive(iov, n), 1)
		    ? rx_recv(s, iov, n, flags, msg_flags)
		    : shim_recv_by_kernel(s, iov, n, flags, msg_flags);
	shim_wait_end(&before);
	return r;
}

static ssize_t send_one(struct ipn_sock *s, const void *buf, size_t len, int flags)
{
	struct iovec iov = { (void *)buf, len };

	return shim_ret(send_vec(s, &iov, 1, flags));
}

static ssize_t recv_one(struct ipn_sock *s, void *buf, size_t len, int flags)
{
	struct iovec iov = { buf, len };
	int msg_flags;

	return shim_ret(recv_vec(s, &iov, 1, flags, &msg_flags));
}

SHIM_API ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	SHIM_SOCK_OR(s, fd, shim_real_send(fd, buf, len, flags));
	return send_one(s, buf, len, flags);
}
SHIM_ALIAS(ssize_t, __send, send, (int fd, const void *buf, size_t len, int flags));

/* The network is the only address there is: one that is given says nothing. */
SHIM_API ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
			socklen_t to_len)
{
	SHIM_SOCK_OR(s, fd, shim_real_sendto(fd, buf, len, flags, to, to_len));
	return send_one(s, buf, len, flags);
}

/* Are these the pieces of a message? How many are too many is for others to say. */
static bool is_vec(const struct iovec *iov, size_t n)
{
	return n > IOV_MAX || shim_can_read(iov, n * sizeof(*iov));
}

static ssize_t send_msg(struct ipn_sock *s, const struct msghdr *msg, int flags)
{
	if (!shim_can_read(msg, sizeof(*msg)) || !is_vec(msg->msg_iov, msg->msg_iovlen))
		return -EFAULT;
	return send_vec(s, msg->msg_iov, msg->msg_iovlen, flags);
}

static bool any_is_ipn(const unsigned char *fds, size_t len)
{
	for (int fd; len >= sizeof(fd); fds += sizeof(fd), len -= sizeof(fd)) {
		_cleanup_sock_ struct ipn_sock *s = NULL;

		memcpy(&fd, fds, sizeof(fd));
		s = sock_find(fd);
		if (s)
			return true;
	}
	return false;
}

/*
 * Is an IPN socket among the descriptors that are passed on? Who gets it would have a descriptor
 * that holds the network, and nothing that messages come through.
 */
static bool passes_ipn(const struct msghdr *msg)
{
	struct msghdr all;

	if (shim_idle() || !shim_can_read(msg, sizeof(*msg)) || !msg->msg_controllen ||
	    !shim_can_read(msg->msg_control, msg->msg_controllen))
		return false;
	all = *msg;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&all); c; c = CMSG_NXTHDR(&all, c)) {
		const size_t most = (size_t)((const char *)all.msg_control + all.msg_controllen -
					     (const char *)c);

		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len <= most && any_is_ipn(CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0)))
			return true;
	}
	return false;
}

SHIM_API ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	SHIM_SOCK_OR(s, fd,
		     passes_ipn(msg) ? shim_ret(-EOPNOTSUPP) : shim_real_sendmsg(fd, msg, flags));
	return shim_ret(send_msg(s, msg, flags));
}

/* As far as the first that may not be sent. */
static int foreign_sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	unsigned int i;

	for (i = 0; i < n && !shim_idle() && shim_can_read(&msgs[i], sizeof(msgs[i])); i++)
		if (passes_ipn(&msgs[i].msg_hdr))
			return i ? shim_real_sendmmsg(fd, msgs, i, flags)
				 : (int)shim_ret(-EOPNOTSUPP);
	return shim_real_sendmmsg(fd, msgs, n, flags);
}

SHIM_API int sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	unsigned int i;
	ssize_t r;

	SHIM_SOCK_OR(s, fd, foreign_sendmmsg(fd, msgs, n, flags));
	for (i = 0; i < n; i++) {
		r = shim_can_write(&msgs[i], sizeof(msgs[i])) ? send_msg(s, &msgs[i].msg_hdr, flags)
							      : -EFAULT;
		if (r < 0)
			return i ? (int)i : (int)shim_ret(r);
		msgs[i].msg_len = (unsigned int)r;
	}
	return (int)i;
}

SHIM_API ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	SHIM_SOCK_OR(s, fd, shim_real_recv(fd, buf, len, flags));
	return recv_one(s, buf, len, flags);
}

/* Messages have no sender's address. */
static ssize_t recv_from(struct ipn_sock *s, void *buf, size_t len, int flags, socklen_t *from_len)
{
	ssize_t r;

	if (from_len && !shim_can_write(from_len, sizeof(*from_len)))
		return shim_ret(-EFAULT);
	r = recv_one(s, buf, len, flags);
	if (r >= 0 && from_len)
		*from_len = 0;
	return r;
}

SHIM_API ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from,
			  socklen_t *from_len)
{
	SHIM_SOCK_OR(s, fd, shim_real_recvfrom(fd, buf, len, flags, from, from_len));
	return recv_from(s, buf, len, flags, from ? from_len : NULL);
}

static ssize_t recv_msg(struct ipn_sock *s, struct msghdr *msg, int flags)
{
	int msg_flags;
	ssize_t r;

	if (!shim_can_write(msg, sizeof(*msg)) || !is_vec(msg->msg_iov, msg->msg_iovlen))
		return -EFAULT;
	r = recv_vec(s, msg->msg_iov, msg->msg_iovlen, flags, &msg_flags);
	if (r >= 0) {
		msg->msg_namelen = 0;
		msg->msg_controllen = 0;
		msg->msg_flags = msg_flags;
	}
	return r;
}

SHIM_API ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	SHIM_SOCK_OR(s, fd, shim_real_recvmsg(fd, msg, flags));
	return shim_ret(recv_msg(s, msg, flags));
}

/* As in Linux, the time is looked at after each message only. */
SHIM_API int recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
		      struct timespec *timeout)
{
	uint64_t deadline = CLOCK_NEVER;
	unsigned int i;
	ssize_t r;

	SHIM_SOCK_OR(s, fd, shim_real_recvmmsg(fd, msgs, n, flags, timeout));
	if (timeout && !shim_can_read(timeout, sizeof(*timeout)))
		return (int)shim_ret(-EFAULT);
	if (timeout)
		deadline = clock_now() + (uint64_t)timeout->tv_sec * NS_PER_S +
			   (uint64_t)timeout->tv_nsec;
	for (i = 0; i < n && (!i || deadline == CLOCK_NEVER || clock_now() < deadline); i++) {
		r = shim_can_write(&msgs[i], sizeof(msgs[i]))
			    ? recv_msg(s, &msgs[i].msg_hdr, flags & ~MSG_WAITFORONE)
			    : -EFAULT;
		if (r < 0)
			return i ? (int)i : (int)shim_ret(r);
		msgs[i].msg_len = (unsigned int)r;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		/* end of file: there will be no other */
		if (!r && sock_shut(s) & SOCK_SHUT_RD)
			return (int)i + 1;
	}
	return (int)i;
}

/* read(2) of nothing takes nothing off the queue. */
SHIM_API ssize_t read(int fd, void *buf, size_t len)
{
	SHIM_SOCK_OR(s, fd, shim_real_read(fd, buf, len));
	return len ? recv_one(s, buf, len, 0) : 0;
}
SHIM_ALIAS(ssize_t, __read, read, (int fd, void *buf, size_t len));

SHIM_API ssize_t write(int fd, const void *buf, size_t len)
{
	SHIM_SOCK_OR(s, fd, shim_real_write(fd, buf, len));
	return send_one(s, buf, len, 0);
}
SHIM_ALIAS(ssize_t, __write, write, (int fd, const void *buf, size_t len));

SHIM_API ssize_t readv(int fd, const struct iovec *iov, int n)
{
	int msg_flags;

	SHIM_SOCK_OR(s, fd, shim_real_readv(fd, iov, n));
	if (n < 0 || n > IOV_MAX)
		return shim_ret(-EINVAL);
	if (!is_vec(iov, (size_t)n))
		return shim_ret(-EFAULT);
	return shim_ret(recv_vec(s, iov, (size_t)n, 0, &msg_flags));
}

SHIM_API ssize_t writev(int fd, const struct iovec *iov, int n)
{
	SHIM_SOCK_OR(s, fd, shim_real_writev(fd, iov, n));
	if (n < 0 || n > IOV_MAX)
		return shim_ret(-EINVAL);
	if (!is_vec(iov, (size_t)n))
		return shim_ret(-EFAULT);
	return shim_ret(send_vec(s, iov, (size_t)n, 0));
}

/* The kernel would refuse the bytes, or find none. */
static bool either_is_ipn(int a, int b)
{
	_cleanup_sock_ struct ipn_sock *sa = shim_find(a), *sb = shim_find(b);

	return sa || sb;
}

SHIM_API ssize_t sendfile(int out, int in, off_t *offset, size_t n)
{
	if (either_is_ipn(out, in))
		return shim_ret(-EINVAL);
	return shim_real_sendfile(out, in, offset, n);
}
SHIM_ALIAS(ssize_t, sendfile64, sendfile, (int out, int in, off_t *offset, size_t n));

SHIM_API ssize_t splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t n,
			unsigned int flags)
{
	if (either_is_ipn(out, in))
		return shim_ret(-EINVAL);
	return shim_real_splice(in, in_off, out, out_off, n, flags);
}

/* What programs built with _FORTIFY_SOURCE call. The system's own ends the program. */
SHIM_API ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
	if (shim_idle() || len > room)
		return shim_real___read_chk(fd, buf, len, room);
	return read(fd, buf, len);
}

SHIM_API ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags)
{
	if (shim_idle() || len > room)
		return shim_real___recv_chk(fd, buf, len, room, flags);
	return recv(fd, buf, len, flags);
}

SHIM_API ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags,
				struct sockaddr *from, socklen_t *from_len)
{
	if (shim_idle() || len > room)
		return shim_real___recvfrom_chk(fd, buf, len, room, flags, from, from_len);
	return recvfrom(fd, buf, len, flags, from, from_len);
}
