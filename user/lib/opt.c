// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lib/opt.h"

#include <limits.h>
#include <sys/socket.h>

#include "common/util.h"
#include "common/clock.h"
#include "lib/join.h"
#include "lib/rx.h"

/* An option with an int for its value. set and get are called with s->lock held. */
struct opt {
	int name;
	int min, max; /* what set accepts, else EINVAL */
	int (*set)(struct ipn_sock *s, const struct opt *opt, int val); /* NULL: EOPNOTSUPP */
	int (*get)(struct ipn_sock *s, const struct opt *opt, int *val);
	size_t param; /* offset in struct sock_params */
	size_t net;   /* offset in struct ipn_ctl_net: the value in force once there is a network */
};

static int set_param(struct ipn_sock *s, const struct opt *opt, int val)
{
	*(uint32_t *)((char *)&s->params + opt->param) = (uint32_t)val;
	return 0;
}

static int get_param(struct ipn_sock *s, const struct opt *opt, int *val)
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
	return set_param(s, opt, val);
}

static int get_mode(struct ipn_sock *s, const struct opt *opt, int *val)
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

static int get_port(struct ipn_sock *s, const struct opt *opt, int *val)
{
	(void)opt;
	*val = s->port;
	return 0;
}

/* Asks the manager of the network as it is now. One that is gone stays as it was. */
static int net_refresh(struct ipn_sock *s)
{
	struct ipn_ctl_net net;
	struct client_call call = {
		.type = IPN_CTL_NET_GET,
		.reply = &net,
		.reply_size = sizeof(net),
	};
	int r = sock_gone(s) ? -ENOTCONN : join_call(s, &call);

	if (r)
		return r == -ENOTCONN ? 0 : r;
	if (call.reply_len != sizeof(net))
		return -EPROTO;
	s->net = net;
	return 0;
}

static int get_numnodes(struct ipn_sock *s, const struct opt *opt, int *val)
{
	int r = s->state == SOCK_NEW ? 0 : net_refresh(s);

	return r ? r : get_param(s, opt, val);
}

static int set_size(struct ipn_sock *s, const struct opt *opt, int val)
{
	struct ipn_ctl_resize request = { .numnodes = (__u32)val };
	struct ipn_ctl_net net;
	struct client_call call = {
		.type = IPN_CTL_RESIZE,
		.request = &request,
		.request_len = sizeof(request),
		.reply = &net,
		.reply_size = sizeof(net),
	};
	int r;

	(void)opt;
	if (s->state == SOCK_NEW)
		return -ENOTCONN;
	r = join_call(s, &call);
	if (r)
		return r;
	if (call.reply_len != sizeof(net))
		return -EPROTO;
	s->net = net;
	return 0;
}

static uint32_t oob_bit(const struct opt *opt)
{
	return opt->name == IPN_SO_HANDLE_OOB ? SOCK_OOB_HANDLE : SOCK_OOB_NUMNODES;
}

static int set_oob(struct ipn_sock *s, const struct opt *opt, int val)
{
	rx_set_oob(s, val ? s->oob | oob_bit(opt) : s->oob & ~oob_bit(opt));
	return 0;
}

static int get_oob(struct ipn_sock *s, const struct opt *opt, int *val)
{
	*val = !!(s->oob & oob_bit(opt));
	return 0;
}

#define PARAM(field) offsetof(struct sock_params, field), offsetof(struct ipn_ctl_net, field)

static const struct opt opts[] = {
	{ IPN_SO_MTU, IPN_MTU_MIN, IPN_MTU_MAX, set_param, get_param, PARAM(mtu) },
	{ IPN_SO_NUMNODES, 1, IPN_NET_PORTS, set_param, get_numnodes, PARAM(numnodes) },
	{ IPN_SO_MSGPOOLSIZE, 1, IPN_POOL_MAX, set_param, get_param, PARAM(pool) },
	{ IPN_SO_FLAGS, 0, INT_MAX, set_flags, get_param, PARAM(flags) },
	{ IPN_SO_MODE, 1, 07777, set_param, get_mode, PARAM(mode) },
	{ IPN_SO_PORT, IPN_PORTNO_ANY, INT_MAX, set_port, get_port, 0, 0 },
	{ IPN_SO_HANDLE_OOB, INT_MIN, INT_MAX, set_oob, get_oob, 0, 0 },
	{ IPN_SO_WANT_OOB_NUMNODES, INT_MIN, INT_MAX, set_oob, get_oob, 0, 0 },
	{ IPN_SO_CHANGE_NUMNODES, 1, IPN_NET_PORTS, set_size, get_numnodes, PARAM(numnodes) },
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

static int get_int(struct ipn_sock *s, int name, void *val, socklen_t *len)
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
 * Options of the socket itself: the kernel keeps them, on the program's descriptor. Those that
 * would change how that works are not let through.
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
		memcpy(&tv, val, sizeof(tv));
		s->sndtimeo_tv = tv;
		__atomic_store_n(&s->sndtimeo, timeout_ns(&tv), __ATOMIC_RELAXED);
	}
	return 0;
}

int opt_policy_known(int manager, uint32_t policy)
{
	struct {
		struct ipn_ctl_page page;
		struct ipn_ctl_policy policies[IPN_POLICY_MAX];
	} reply = { 0 };
	struct ipn_ctl_list list = { .from = policy };
	struct client_call call = {
		.type = IPN_CTL_POLICY_LIST,
		.request = &list,
		.request_len = sizeof(list),
		.reply = &reply,
		.reply_size = sizeof(reply),
	};
	int r = client_call(manager, &call);

	if (r == -ENETDOWN)
		return r;
	return !r && reply.page.count && reply.policies[0].number == policy ? 0 : -EPROTONOSUPPORT;
}

/*
 * The policy's own: its options (at the level of its number) and ioctls. The manager asks its
 * program. s->lock is held. The reply takes the place of the request.
 */
static int policy_call(struct ipn_sock *s, enum ipn_ctl_type type, struct ipn_ctl_option *option)
{
	struct client_call call = {
		.type = type,
		.request = option,
		.request_len = sizeof(*option),
	};
	int r;

	if (type != IPN_CTL_SETSOCKOPT) {
		call.reply = option;
		call.reply_size = sizeof(*option);
	}
	r = join_call(s, &call);
	if (!r && (call.reply_len != call.reply_size || option->len > sizeof(option->data)))
		r = -EPROTO;
	return r;
}

/* A level that is neither the network nor the socket. */
static int policy_level(const struct ipn_sock *s, int level)
{
	if (level != s->policy || level == IPN_ANY)
		return -EPROTONOSUPPORT;
	if (s->state != SOCK_NEW)
		return 0;
	return level < IPN_POLICY_L3 ? -EOPNOTSUPP : -ENOTCONN;
}

static int set_policy(struct ipn_sock *s, int level, int name, const void *val, socklen_t len)
{
	_cleanup_free_ struct ipn_ctl_option *option = NULL;
	int r = policy_level(s, level);

	if (r)
		return r;
	if (len > sizeof(option->data) || (len && !val))
		return -EINVAL;
	option = calloc(1, sizeof(*option));
	if (!option)
		return -ENOBUFS;
	option->level = level;
	option->name = (__u32)name;
	option->len = len;
	if (len)
		memcpy(option->data, val, len);
	return policy_call(s, IPN_CTL_SETSOCKOPT, option);
}

/* What stands in val goes along: an option may ask about it. */
static int get_policy(struct ipn_sock *s, int level, int name, void *val, socklen_t *len)
{
	_cleanup_free_ struct ipn_ctl_option *option = NULL;
	int r = policy_level(s, level);

	if (r)
		return r;
	option = calloc(1, sizeof(*option));
	if (!option)
		return -ENOBUFS;
	option->level = level;
	option->name = (__u32)name;
	option->len = *len < sizeof(option->data) ? *len : (__u32)sizeof(option->data);
	memcpy(option->data, val, option->len);
	r = policy_call(s, IPN_CTL_GETSOCKOPT, option);
	if (r)
		return r;
	if (option->len < *len)
		*len = option->len;
	memcpy(val, option->data, *len);
	return 0;
}

/* The request says how long its argument is, and which way it goes. */
static int ioctl_locked(struct ipn_sock *s, unsigned long request, void *arg)
{
	_cleanup_free_ struct ipn_ctl_option *option = NULL;
	size_t size = _IOC_SIZE(request);
	int r;

	if (!sock_owns_fd(s))
		return -EBADF;
	if (s->state == SOCK_NEW)
		return -ENOTTY;
	/* before the argument is believed to be as long as the request says */
	if (s->policy <= IPN_POLICY_BUILTIN)
		return -EOPNOTSUPP;
	if (size && !arg)
		return -EFAULT;
	option = calloc(1, sizeof(*option));
	if (!option)
		return -ENOBUFS;
	option->name = (__u32)request;
	option->len = (__u32)size;
	if (_IOC_DIR(request) & _IOC_WRITE)
		memcpy(option->data, arg, size);
	r = policy_call(s, IPN_CTL_IOCTL, option);
	if (r)
		return r;
	if (_IOC_DIR(request) & _IOC_READ)
		memcpy(arg, option->data, size);
	return 0;
}

int opt_ioctl(struct ipn_sock *s, unsigned long request, void *arg)
{
	int r;

	pthread_mutex_lock(&s->lock);
	r = ioctl_locked(s, request, arg);
	pthread_mutex_unlock(&s->lock);
	return r;
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
		r = set_policy(s, level, name, val, len);
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
		r = get_policy(s, level, name, val, len);
	else if (name == IPN_SO_DESCR)
		r = get_descr(s, val, len);
	else
		r = get_int(s, name, val, len);
	pthread_mutex_unlock(&s->lock);
	return r;
}
