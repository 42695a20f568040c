// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lib/opt.h"

#include <limits.h>
#include <sys/socket.h>

#include "common/util.h"
#include "lib/clock.h"
#include "lib/join.h"

/* An option with an int for its value. set and get are called with s->lock held. */
struct opt {
	int name;
	int min, max; /* what set accepts, else EINVAL */
	int (*set)(struct ipn_sock *s, const struct opt *opt, int val); /* NULL: EOPNOTSUPP */
	int (*get)(const struct ipn_sock *s, const struct opt *opt, int *val);
	size_t param; /* offset in struct sock_params */
	size_t net;   /* offset in struct ipn_ctl_net: the value in force once there is a network */
};

static int set_param(struct ipn_sock *s, const struct opt *opt, int val)
{
	*(uint32_t *)((char *)&s->params + opt->param) = (uint32_t)val;
	return 0;
}

static int get_param(const struct ipn_sock *s, const struct opt *opt, int *val)
{
	const char *from = s->state == SOCK_NEW ? (const char *)&s->params + opt->param
						: (const char *)&s->net + opt->net;

	*val = (int)*(const uint32_t *)from;
	return 0;
}

static int set_flags(struct ipn_sock *s, const struct opt *opt, int val)
{
	if (val & ~IPN_FLAG_LOSSLESS)
		return -EINVAL;
	return val ? -EOPNOTSUPP : set_param(s, opt, val);
}

static int get_mode(const struct ipn_sock *s, const struct opt *opt, int *val)
{
	if (s->state == SOCK_NEW)
		return get_param(s, opt, val);
	*val = -1;
	return 0;
}

static int set_port(struct ipn_sock *s, const struct opt *opt, int val)
{
	(void)opt;
	if (s->state >= SOCK_CONNECTED)
		return -EISCONN;
	s->port = val;
	return 0;
}

static int get_port(const struct ipn_sock *s, const struct opt *opt, int *val)
{
	(void)opt;
	*val = s->port;
	return 0;
}

static int get_zero(const struct ipn_sock *s, const struct opt *opt, int *val)
{
	(void)s;
	(void)opt;
	*val = 0;
	return 0;
}

#define PARAM(field) offsetof(struct sock_params, field), offsetof(struct ipn_ctl_net, field)

static const struct opt opts[] = {
	{ IPN_SO_MTU, IPN_MTU_MIN, IPN_MTU_MAX, set_param, get_param, PARAM(mtu) },
	{ IPN_SO_NUMNODES, 1, IPN_NET_PORTS, set_param, get_param, PARAM(numnodes) },
	{ IPN_SO_MSGPOOLSIZE, 1, IPN_POOL_MAX, set_param, get_param, PARAM(pool) },
	/* LOSSLESS networks are not there yet */
	{ IPN_SO_FLAGS, 0, INT_MAX, set_flags, get_param, PARAM(flags) },
	{ IPN_SO_MODE, 1, 07777, set_param, get_mode, PARAM(mode) },
	{ IPN_SO_PORT, IPN_PORTNO_ANY, INT_MAX, set_port, get_port, 0, 0 },
	{ IPN_SO_CHANGE_NUMNODES, 1, INT_MAX, NULL, NULL, 0, 0 },
	{ IPN_SO_HANDLE_OOB, INT_MIN, INT_MAX, NULL, get_zero, 0, 0 },
	{ IPN_SO_WANT_OOB_NUMNODES, INT_MIN, INT_MAX, NULL, get_zero, 0, 0 },
};

static const struct opt *opt_find(int name)
{
	for (size_t i = 0; i < ARRAY_SIZE(opts); i++) {
		if (opts[i].name == name)
			return &opts[i];
	}
	return NULL;
}

static int set_int(struct ipn_sock *s, int name, const void *val, socklen_t len)
{
	const struct opt *opt = opt_find(name);
	int v;

	if (!opt)
		return -ENOPROTOOPT;
	if (!opt->set)
		return -EOPNOTSUPP;
	if (!val || len < sizeof(v))
		return -EINVAL;
	if (name & IPN_SO_PREBIND && s->state != SOCK_NEW)
		return -EISCONN;
	memcpy(&v, val, sizeof(v));
	if (v < opt->min || v > opt->max)
		return -EINVAL;
	return opt->set(s, opt, v);
}

static int get_int(const struct ipn_sock *s, int name, void *val, socklen_t *len)
{
	const struct opt *opt = opt_find(name);
	int v, r;

	if (!opt)
		return -ENOPROTOOPT;
	if (!opt->get)
		return -EOPNOTSUPP;
	if (*len < sizeof(v))
		return -EINVAL;
	r = opt->get(s, opt, &v);
	if (r)
		return r;
	memcpy(val, &v, sizeof(v));
	*len = sizeof(v);
	return 0;
}

/* The wire field takes all 128 bytes: no final NUL is needed. */
static int set_descr(struct ipn_sock *s, const void *val, socklen_t len)
{
	struct ipn_ctl_descr request = { 0 };
	struct client_call call = {
		.type = IPN_CTL_DESCR,
		.request = &request,
		.request_len = sizeof(request),
	};
	int r;

	if (len > IPN_DESCRLEN || (len && !val))
		return -EINVAL;
	if (len)
		memcpy(request.descr, val, strnlen(val, len));
	r = s->state >= SOCK_CONNECTED ? join_call(s, &call) : 0;
	if (!r)
		memcpy(s->descr, request.descr, sizeof(s->descr));
	return r;
}

static int get_descr(const struct ipn_sock *s, void *val, socklen_t *len)
{
	if (*len < strnlen(s->descr, sizeof(s->descr)))
		return -EINVAL;
	if (*len > sizeof(s->descr))
		*len = sizeof(s->descr);
	memcpy(val, s->descr, *len);
	return 0;
}

/* As the kernel takes it: 0 is for ever, less than 0 is at once. */
static uint64_t timeout_ns(const struct timeval *tv)
{
	if (tv->tv_sec < 0)
		return 1;
	if ((uint64_t)tv->tv_sec >= CLOCK_NEVER / NS_PER_S / 4)
		return 0;
	return (uint64_t)tv->tv_sec * NS_PER_S + (uint64_t)tv->tv_usec * 1000;
}

/*
 * Options of the socket itself: the kernel keeps them, on the control connection. Those that would
 * change how that connection works are not let through.
 */
static int set_socket(struct ipn_sock *s, int name, const void *val, socklen_t len)
{
	struct timeval tv;

	switch (name) {
	case SO_RCVTIMEO:
	case SO_SNDTIMEO:
	case SO_RCVBUF:
	case SO_SNDBUF:
	case SO_PRIORITY:
		break;
	default:
		return -ENOPROTOOPT;
	}
	if (setsockopt(s->fd, SOL_SOCKET, name, val, len))
		return -errno;
	if (name == SO_RCVTIMEO) {
		memcpy(&tv, val, sizeof(tv));
		s->rcvtimeo_tv = tv;
		__atomic_store_n(&s->rcvtimeo, timeout_ns(&tv), __ATOMIC_RELAXED);
	} else if (name == SO_SNDTIMEO) {
		memcpy(&s->sndtimeo_tv, val, sizeof(s->sndtimeo_tv));
	}
	return 0;
}

/* A level that is neither the network nor the socket: a policy's own options. */
static int policy_level(const struct ipn_sock *s, int level)
{
	return level == s->policy ? -EOPNOTSUPP : -EPROTONOSUPPORT;
}

int opt_set(struct ipn_sock *s, int level, int name, const void *val, socklen_t len)
{
	int r;

	pthread_mutex_lock(&s->lock);
	if (!sock_owns_fd(s))
		r = -EBADF;
	else if (level == SOL_SOCKET)
		r = set_socket(s, name, val, len);
	else if (level != 0)
		r = policy_level(s, level);
	else if (name == IPN_SO_DESCR)
		r = set_descr(s, val, len);
	else
		r = set_int(s, name, val, len);
	pthread_mutex_unlock(&s->lock);
	return r;
}

int opt_get(struct ipn_sock *s, int level, int name, void *val, socklen_t *len)
{
	int r;

	if (!val || !len)
		return -EFAULT;
	pthread_mutex_lock(&s->lock);
	if (!sock_owns_fd(s))
		r = -EBADF;
	else if (level == SOL_SOCKET)
		r = getsockopt(s->fd, level, name, val, len) ? -errno : 0;
	else if (level != 0)
		r = policy_level(s, level);
	else if (name == IPN_SO_DESCR)
		r = get_descr(s, val, len);
	else
		r = get_int(s, name, val, len);
	pthread_mutex_unlock(&s->lock);
	return r;
}
