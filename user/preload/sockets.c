// SPDX-License-Identifier: LGPL-2.1-or-later
/* The calls about a socket: what it is, where it is, how it is set. */
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "lib/join.h"
#include "lib/netdev.h"
#include "lib/opt.h"
#include "preload/shim.h"

static bool is_ipn(int family)
{
	return family == AF_IPN || family == AF_IPN_LATER;
}

SHIM_API int socket(int domain, int type, int protocol)
{
	struct ipn_sock *s;
	int fd;

	if (!is_ipn(domain))
		return shim_real_socket(domain, type, protocol);
	shim_start();
	fd = ipn_socket(AF_IPN, type, protocol);
	if (fd >= 0 && (s = sock_find(fd))) {
		s->family = domain;
		shim_inherit(s);
		sock_put(s);
	}
	return fd;
}

SHIM_API int socketpair(int domain, int type, int protocol, int fds[2])
{
	if (is_ipn(domain))
		return (int)shim_ret(-EOPNOTSUPP);
	return shim_real_socketpair(domain, type, protocol, fds);
}

/* An address of the program in the form of libipn's: its family is the one the socket was made of.
 */
static int address_of(const struct ipn_sock *s, const struct sockaddr *addr, socklen_t len,
		      struct sockaddr_un *out)
{
	sa_family_t family;

	if (!addr || len < sizeof(family) || len > sizeof(*out))
		return -EINVAL;
	if (!shim_can_read(addr, len))
		return -EFAULT;
	memcpy(out, addr, len);
	if (out->sun_family != s->family)
		return -EINVAL;
	out->sun_family = AF_IPN;
	return 0;
}

/* Waiting for the manager: as sending, it goes on after SA_RESTART unless there is a timeout. */
static struct shim_wait join_wait(const struct ipn_sock *s)
{
	return (struct shim_wait){ .restart = !s->sndtimeo_tv.tv_sec && !s->sndtimeo_tv.tv_usec };
}

SHIM_API int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct shim_wait wait, before;
	struct sockaddr_un un;
	int r;

	SHIM_SOCK_OR(s, fd, shim_real_bind(fd, addr, len));
	wait = join_wait(s);
	r = address_of(s, addr, len, &un);
	if (!r) {
		before = shim_wait_begin(&wait);
		r = join_bind(s, (struct sockaddr *)&un, len);
		shim_wait_end(&before);
	}
	if (!r)
		shim_inherit(s);
	return (int)shim_ret(r);
}

SHIM_API int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct shim_wait wait, before;
	struct sockaddr_un un;
	int r = 0;

	SHIM_SOCK_OR(s, fd, shim_real_connect(fd, addr, len));
	wait = join_wait(s);
	if (addr)
		r = address_of(s, addr, len, &un);
	if (!r) {
		before = shim_wait_begin(&wait);
		r = join_connect(s, addr ? (struct sockaddr *)&un : NULL, len);
		shim_wait_end(&before);
	}
	if (!r) {
		shim_inherit(s);
		shim_epoll_changed(fd);
	}
	return (int)shim_ret(r);
}
SHIM_ALIAS(int, __connect, connect, (int fd, const struct sockaddr *addr, socklen_t len));

SHIM_API int listen(int fd, int backlog)
{
	SHIM_SOCK_OR(s, fd, shim_real_listen(fd, backlog));
	return (int)shim_ret(-EOPNOTSUPP);
}

SHIM_API int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	SHIM_SOCK_OR(s, fd, shim_real_accept(fd, addr, len));
	return (int)shim_ret(-EOPNOTSUPP);
}

SHIM_API int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	SHIM_SOCK_OR(s, fd, shim_real_accept4(fd, addr, len, flags));
	return (int)shim_ret(-EOPNOTSUPP);
}

/* All at a network have its address: it is that of the peer as well. */
static int name_of(int fd, const struct ipn_sock *s, struct sockaddr *addr, socklen_t *len)
{
	struct sockaddr_un un;
	socklen_t room, real = sizeof(un);

	if (ipn_getsockname(fd, (struct sockaddr *)&un, &real))
		return -1;
	un.sun_family = (sa_family_t)s->family;
	if (!shim_can_write(len, sizeof(*len)))
		return (int)shim_ret(-EFAULT);
	room = *len < real ? *len : real;
	if (!shim_can_write(addr, room))
		return (int)shim_ret(-EFAULT);
	memcpy(addr, &un, room);
	*len = real;
	return 0;
}

SHIM_API int getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	SHIM_SOCK_OR(s, fd, shim_real_getsockname(fd, addr, len));
	return name_of(fd, s, addr, len);
}

SHIM_API int getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	SHIM_SOCK_OR(s, fd, shim_real_getpeername(fd, addr, len));
	return name_of(fd, s, addr, len);
}

SHIM_API int shutdown(int fd, int how)
{
	int r;

	SHIM_SOCK_OR(s, fd, shim_real_shutdown(fd, how));
	r = join_shutdown(s, how);
	if (!r)
		shim_inherit(s);
	return (int)shim_ret(r);
}

SHIM_API int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	SHIM_SOCK_OR(s, fd, shim_real_setsockopt(fd, level, name, val, len));
	/* what is missing, or is longer than any option, is refused as that */
	if (val && len <= IPN_CALL_DATA && !shim_can_read(val, len))
		return (int)shim_ret(-EFAULT);
	return (int)shim_ret(opt_set(s, level, name, val, len));
}

/* What the descriptor's own socket would answer for itself. False: none of those. */
static bool own_option(const struct ipn_sock *s, int name, int *val)
{
	switch (name) {
	case SO_TYPE:
		*val = SOCK_RAW;
		return true;
	case SO_DOMAIN:
		*val = s->family;
		return true;
	case SO_PROTOCOL:
		*val = s->policy;
		return true;
	case SO_ACCEPTCONN:
	case SO_ERROR:
		*val = 0;
		return true;
	default:
		return false;
	}
}

static int get_option(struct ipn_sock *s, int level, int name, void *val, socklen_t *len)
{
	char copy[IPN_CALL_DATA];
	socklen_t room;
	int own, r;

	if (!shim_can_write(len, sizeof(*len)))
		return -EFAULT;
	room = *len < sizeof(copy) ? *len : sizeof(copy);
	if (level == SOL_SOCKET && own_option(s, name, &own)) {
		if (room > sizeof(own))
			room = sizeof(own);
		memcpy(copy, &own, room);
	} else {
		memset(copy, 0, sizeof(copy));
		/* a policy is told what stands there */
		if (level != SOL_SOCKET && level) {
			if (!shim_can_read(val, room))
				return -EFAULT;
			memcpy(copy, val, room);
		}
		r = opt_get(s, level, name, copy, &room);
		if (r)
			return r;
	}
	if (!shim_can_write(val, room))
		return -EFAULT;
	memcpy(val, copy, room);
	*len = room;
	return 0;
}

SHIM_API int getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	SHIM_SOCK_OR(s, fd, shim_real_getsockopt(fd, level, name, val, len));
	return (int)shim_ret(get_option(s, level, name, val, len));
}

/* Can the argument be what the request takes? */
static bool argument_fits(const struct ipn_sock *s, unsigned long request, const void *arg)
{
	if (request == FIONREAD)
		return shim_can_write(arg, sizeof(int));
	if (request == FIONBIO)
		return shim_can_read(arg, sizeof(int));
	if (netdev_request(request) && request != SIOCSIFHWADDR &&
	    _IOC_NR(request) == _IOC_NR(IPN_SETPERSIST)) /* a number */
		return true;
	if (netdev_request(request) && _IOC_NR(request) == _IOC_NR(IPN_CONN_NETDEV))
		return shim_can_write(arg, sizeof(struct ifreq)); /* a name may be stored there */
	if (netdev_request(request))
		return shim_can_read(arg, sizeof(struct ifreq));
	if (!arg || s->policy <= IPN_POLICY_BUILTIN) /* nobody looks at it */
		return true;
	return _IOC_DIR(request) & _IOC_READ ? shim_can_write(arg, _IOC_SIZE(request))
					     : shim_can_read(arg, _IOC_SIZE(request));
}

SHIM_API int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	{
		SHIM_SOCK_OR(s, fd, shim_real_ioctl(fd, request, arg));
		if (request == FIOCLEX || request == FIONCLEX)
			shim_inherit_cloexec(s, request == FIOCLEX);
		if (request == FIOCLEX || request == FIONCLEX || request == FIOASYNC)
			return shim_real_ioctl(fd, request, arg);
		if (!argument_fits(s, request, arg))
			return (int)shim_ret(-EFAULT);
		return ipn_ioctl(fd, request, arg);
	}
}

static int set_flags(struct ipn_sock *s, int fd, void *arg)
{
	const long flags = (long)(intptr_t)arg;
	int r = shim_real_fcntl(fd, F_SETFL, arg);

	if (r < 0)
		return r;
	__atomic_store_n(&s->nonblock, flags & O_NONBLOCK ? 1 : 0, __ATOMIC_RELAXED);
	return r;
}

static int control(int fd, int cmd, void *arg)
{
	int r;

	SHIM_SOCK_OR(s, fd, shim_real_fcntl(fd, cmd, arg));
	switch (cmd) {
	case F_SETFL:
		return set_flags(s, fd, arg);
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		r = shim_real_fcntl(fd, cmd, arg);
		return r < 0 ? r : shim_dup_entry(s, r);
	case F_SETFD:
		r = shim_real_fcntl(fd, cmd, arg);
		if (!r)
			shim_inherit_cloexec(s, (intptr_t)arg & FD_CLOEXEC);
		return r;
	default:
		return shim_real_fcntl(fd, cmd, arg);
	}
}

#define FCNTL(name)                             \
	SHIM_API int name(int fd, int cmd, ...) \
	{                                       \
		va_list ap;                     \
		void *arg;                      \
                                                \
		va_start(ap, cmd);              \
		arg = va_arg(ap, void *);       \
		va_end(ap);                     \
		return control(fd, cmd, arg);   \
	}
#undef fcntl
#undef fcntl64
int __fcntl(int fd, int cmd, ...);
FCNTL(fcntl)
FCNTL(fcntl64)
FCNTL(__fcntl)
