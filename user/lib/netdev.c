// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A socket with an interface for its node: it carries no messages itself, they come and go through
 * the interface. All the rest is the manager's.
 */
#include "lib/netdev.h"

#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>

#include "common/util.h"
#include "lib/join.h"

bool netdev_request(unsigned long request)
{
	return request == SIOCSIFHWADDR ||
	       (_IOC_TYPE(request) == 'I' && _IOC_NR(request) >= _IOC_NR(IPN_SETPERSIST_NETDEV) &&
		_IOC_NR(request) <= _IOC_NR(IPN_SETPERSIST));
}

/* What the request says, for the manager. */
static int netdev_fill(const struct ipn_sock *s, unsigned long request, void *arg,
		       struct ipn_ctl_netdev *out)
{
	const struct ifreq *ifr = arg;
	bool mac = request == SIOCSIFHWADDR;
	unsigned int nr = mac ? 0 : _IOC_NR(request);

	if (nr == _IOC_NR(IPN_SETPERSIST)) { /* its argument is a number */
		out->op = IPN_NETDEV_PERSIST;
		out->flags = (int)(intptr_t)arg != 0;
		return 0;
	}
	if (!arg)
		return -EFAULT;
	if (mac) {
		if (ifr->ifr_hwaddr.sa_family != ARPHRD_ETHER)
			return -EINVAL;
		out->op = IPN_NETDEV_MAC;
		memcpy(out->mac, ifr->ifr_hwaddr.sa_data, sizeof(out->mac));
		return 0;
	}
	memcpy(out->name, ifr->ifr_name, sizeof(out->name) - 1);
	if (nr == _IOC_NR(IPN_CONN_NETDEV)) {
		out->op = IPN_NETDEV_CONN;
		out->flags = (unsigned short)ifr->ifr_flags;
		out->port = s->port;
		memcpy(out->descr, s->descr, sizeof(out->descr));
		return 0;
	}
	out->ifindex = (__u32)ifr->ifr_ifindex;
	out->op = nr == _IOC_NR(IPN_JOIN_NETDEV) ? IPN_NETDEV_JOIN : IPN_NETDEV_PERSIST_OF;
	out->flags = nr == _IOC_NR(IPN_SETPERSIST_NETDEV);
	return 0;
}

int netdev_ioctl(struct ipn_sock *s, unsigned long request, void *arg)
{
	struct ipn_ctl_netdev netdev = { 0 };
	struct ipn_ctl_port port;
	struct client_call call = {
		.type = IPN_CTL_NETDEV,
		.request = &netdev,
		.request_len = sizeof(netdev),
		.reply = &port,
		.reply_size = sizeof(port),
	};
	bool joins;
	int r;

	if (sock_shut(s) == SOCK_SHUT_BOTH)
		return -ECONNRESET;
	pthread_mutex_lock(&s->lock);
	r = netdev_fill(s, request, arg, &netdev);
	joins = netdev.op == IPN_NETDEV_CONN || netdev.op == IPN_NETDEV_JOIN;
	if (!r && joins && s->state >= SOCK_CONNECTED)
		r = -EISCONN;
	if (!r)
		r = join_call(s, &call);
	if (!r && joins && call.reply_len != sizeof(port))
		r = -EPROTO;
	if (!r && joins) {
		s->port = (int)port.port;
		s->netdev = port.ifindex;
		/* who left the name to us must be able to learn it */
		if (netdev.op == IPN_NETDEV_CONN && !netdev.name[0])
			memcpy(((struct ifreq *)arg)->ifr_name, port.name, sizeof(port.name));
		__atomic_store_n(&s->state, SOCK_NETDEV, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

void netdev_close(struct ipn_sock *s)
{
	struct ipn_ctl_info info;
	struct client_call call = {
		.type = IPN_CTL_INFO,
		.reply = &info,
		.reply_size = sizeof(info),
	};

	if (s->state == SOCK_NETDEV)
		join_call(s, &call);
}
