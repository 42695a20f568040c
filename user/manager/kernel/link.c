/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interfaces, over rtnetlink and ioctl.
 *
 * Theory of operation
 *
 * Names. A veth pair is first made here with names nobody else has (prefix and random digits), down
 * and in the fabric's group; then the two are looked up by these names, and everything else is done
 * by index: the last step gives each its own name (a pattern's number is the kernel's choice) and
 * moves the far end where it belongs. So two threads or two fabrics never race for a number,
 * -EEXIST can only mean the name the user chose, and it works on kernels before 6.2, which do not
 * echo what RTM_NEWLINK made. Should the manager die in between, the leftover has the prefix and
 * the group of the fabric. A tap gets its name and number in one step from TUNSETIFF, and goes away
 * with its descriptor until it is made persistent, which is the last step.
 *
 * Quiet. An interface of the fabric must not speak by itself: it would send into the network. ARP
 * is off (IFF_NOARP) and IPv6 address generation is `none` before the interface is first up. That
 * is not all: on a host that forwards, IPv6 joins the all-routers group when its state of a device
 * is made, and reports that to the link, with or without addresses. A device without IFF_MULTICAST
 * does not join. The state is made when the device is registered, too early for us, but it is
 * unmade when the MTU falls below 1280 and made again when it rises: fabric_end_up() does that. For
 * the same reason link_set_mtu() takes the device down while it raises the MTU over that limit: the
 * new state does not know yet that addresses are not wanted.
 *
 * All or nothing. A function which made an interface and cannot finish it deletes it; a veth takes
 * its far end along, wherever that is.
 *
 * Namespaces. A netlink socket belongs to the namespace it was opened in, and /dev/net/tun to that
 * of the thread which opens it: a link_ctx is to be used where it was made. The ethtool ioctl goes
 * through the netlink socket, too.
 *
 * Descriptors from clients. They may be anything, also files of a FUSE or NFS server that never
 * answers. So the first look at one is statx() with AT_STATX_DONT_SYNC, which takes what the kernel
 * has, and an ioctl follows only on the kernel's own devices.
 */
#include "manager/kernel/link.h"

#include <dirent.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/nsfs.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/text.h"
#include "common/util.h"

#define MTU_MIN 68 /* of the kernel, for veth and tap */
#define MTU_MAX_VETH 65535
#define MTU_MAX_TAP 65521 /* 65535 less the Ethernet header */
#define MTU_MIN_IPV6 1280 /* below, a device has no IPv6 */

#define BUF_SIZE 65536 /* of messages from the kernel: a dump comes in up to 32 KiB */
#define WATCH_TURN 32  /* changes that are looked at in one turn of the loop */
#define REQ_SIZE 1024  /* of requests: a few attributes, a few names */
#define DUMP_TRIES 10
#define WATCH_RCVBUF (8 << 20)

/* Newer than Debian 12's headers. */
#define LINK_ATTR_GSO_IPV4 63 /* IFLA_GSO_IPV4_MAX_SIZE, u32 */
#define LINK_ATTR_GRO_IPV4 64 /* IFLA_GRO_IPV4_MAX_SIZE, u32 */

#define TUN_MAJOR 10
#define TUN_MINOR 200

struct link_ctx {
	struct mnl_socket *nl;
	unsigned int portid;
	__u32 seq;
	__u32 group;
	char buf[BUF_SIZE];
};

/* A request under construction. */
struct request {
	union {
		struct nlmsghdr nlh;
		char buf[REQ_SIZE];
	};
};

/* seccomp: manager: socket bind sendto recvmsg getsockname setsockopt ioctl getrandom */
int link_ctx_new(struct link_ctx **out, __u32 group)
{
	struct link_ctx *ctx = malloc(sizeof(*ctx));

	if (!ctx)
		return -ENOMEM;
	ctx->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!ctx->nl) {
		int r = -errno;

		free(ctx);
		return r;
	}
	if (mnl_socket_bind(ctx->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		int r = -errno;

		link_ctx_free(ctx);
		return r;
	}
	ctx->portid = mnl_socket_get_portid(ctx->nl);
	ctx->seq = 0;
	ctx->group = group;
	*out = ctx;
	return 0;
}

void link_ctx_free(struct link_ctx *ctx)
{
	if (!ctx)
		return;
	mnl_socket_close(ctx->nl);
	free(ctx);
}

/* Starts a request about an interface (ifindex 0: none yet, or told by name). */
static struct ifinfomsg *request_init(struct request *req, __u16 type, __u16 flags, __u32 ifindex)
{
	struct nlmsghdr *nlh;
	struct ifinfomsg *ifi;

	memset(req, 0, sizeof(*req));
	nlh = mnl_nlmsg_put_header(req->buf);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)ifindex;
	return ifi;
}

/*
 * Sends the request and hands each message of the answer to `fn` (may be NULL). Returns 0 or the
 * kernel's error; -EINTR: a dump was not consistent, ask again.
 */
static int request_run(struct link_ctx *ctx, struct request *req,
		       void (*fn)(const struct nlmsghdr *, void *), void *arg)
{
	bool interrupted = false;

	/* all bits of DUMP: each alone means something else in other requests */
	if ((req->nlh.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		req->nlh.nlmsg_flags |= NLM_F_ACK;
	req->nlh.nlmsg_seq = ++ctx->seq;
	if (mnl_socket_sendto(ctx->nl, req->buf, req->nlh.nlmsg_len) < 0)
		return -errno;

	for (;;) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)ctx->buf;
		ssize_t n = mnl_socket_recvfrom(ctx->nl, ctx->buf, sizeof(ctx->buf));
		int left;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (left = (int)n; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			/* The rest of an answer that an error made us leave. */
			if (nlh->nlmsg_seq != req->nlh.nlmsg_seq || nlh->nlmsg_pid != ctx->portid)
				continue;
			if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
				interrupted = true;
			if (nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE) {
				const int *error = mnl_nlmsg_get_payload(nlh);

				if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*error))
					return nlh->nlmsg_type == NLMSG_DONE ? 0 : -EPROTO;
				return *error ? *error : interrupted ? -EINTR : 0;
			}
			if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && fn)
				fn(nlh, arg);
		}
	}
}

/* --- looking ------------------------------------------------------------------------------- */

static void linkinfo_parse(const struct nlattr *nest, struct link_info *info)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			util_copy(info->kind, sizeof(info->kind), mnl_attr_get_str(attr));
}

/* Returns false for messages that are not about an interface as such (bridge ports, wireless). */
static bool info_parse(const struct nlmsghdr *nlh, struct link_info *info)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	memset(info, 0, sizeof(*info));
	if (nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK)
		return false;
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi) || ifi->ifi_family != AF_UNSPEC ||
	    ifi->ifi_index <= 0)
		return false;
	info->ifindex = (__u32)ifi->ifi_index;
	info->flags = ifi->ifi_flags;
	info->type = ifi->ifi_type;
	/* Of the two that tell of a carrier, this one changes with it and not a little later. */
	info->running = ifi->ifi_flags & IFF_LOWER_UP;

	mnl_attr_for_each(attr, nlh, sizeof(*ifi)) {
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			if (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
				util_copy(info->name, sizeof(info->name), mnl_attr_get_str(attr));
			break;
		case IFLA_MTU:
			if (mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
				info->mtu = mnl_attr_get_u32(attr);
			break;
		case LINK_ATTR_GSO_IPV4:
			if (mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
				info->gso = mnl_attr_get_u32(attr);
			break;
		case IFLA_LINK:
			if (mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
				info->peer = mnl_attr_get_u32(attr);
			break;
		case IFLA_GROUP:
			if (mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
				info->group = mnl_attr_get_u32(attr);
			break;
		case IFLA_STATS64:
			/* Newer kernels append to the struct. */
			if (mnl_attr_get_payload_len(attr) >=
			    offsetof(struct rtnl_link_stats64, multicast)) {
				struct rtnl_link_stats64 stats = { 0 };

				memcpy(&stats, mnl_attr_get_payload(attr),
				       offsetof(struct rtnl_link_stats64, multicast));
				info->tx_dropped = stats.tx_dropped;
			}
			break;
		case IFLA_LINKINFO:
			linkinfo_parse(attr, info);
			break;
		default:
			break;
		}
	}
	return nlh->nlmsg_type == RTM_DELLINK || info->name[0];
}

static void info_take(const struct nlmsghdr *nlh, void *arg)
{
	info_parse(nlh, arg);
}

/* By index, or by name if ifindex is 0. */
static int info_get(struct link_ctx *ctx, __u32 ifindex, const char *name, struct link_info *out)
{
	struct link_info info = { .ifindex = 0 };
	struct request req;
	int r;

	request_init(&req, RTM_GETLINK, 0, ifindex);
	if (name)
		mnl_attr_put_strz(&req.nlh, IFLA_IFNAME, name);
	r = request_run(ctx, &req, info_take, &info);
	if (r < 0)
		return r;
	if (!info.ifindex)
		return -ENODEV;
	*out = info;
	return 0;
}

int link_get(struct link_ctx *ctx, __u32 ifindex, struct link_info *info)
{
	if (ifindex == 0 || ifindex > INT32_MAX)
		return -ENODEV;
	return info_get(ctx, ifindex, NULL, info);
}

int link_find(struct link_ctx *ctx, const char *name, struct link_info *info)
{
	return text_ifname_ok(name) ? info_get(ctx, 0, name, info) : -ENODEV;
}

struct info_list {
	struct link_info *infos;
	size_t n;
	size_t space;
	bool failed;
};

static void info_append(const struct nlmsghdr *nlh, void *arg)
{
	struct info_list *list = arg;
	struct link_info info;

	if (list->failed || !info_parse(nlh, &info))
		return;
	if (list->n == list->space) {
		size_t space = list->space ? 2 * list->space : 64;
		struct link_info *grown = realloc(list->infos, space * sizeof(*grown));

		if (!grown) {
			list->failed = true;
			return;
		}
		list->infos = grown;
		list->space = space;
	}
	list->infos[list->n++] = info;
}

int link_each(struct link_ctx *ctx, int (*fn)(const struct link_info *, void *), void *arg)
{
	struct info_list list = { .n = 0 };
	struct request req;
	int r = -EINTR;

	/*
	 * All of it before the first call: `fn` may use ctx, and an inconsistent dump is repeated.
	 */
	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		list.n = 0;
		request_init(&req, RTM_GETLINK, NLM_F_DUMP, 0);
		r = request_run(ctx, &req, info_append, &list);
	}
	/* Interfaces come and go all the time here: what there is of it is still a list. */
	if (r == -EINTR)
		r = 0;
	if (r == 0 && list.failed)
		r = -ENOMEM;
	for (size_t i = 0; i < list.n && r == 0; i++)
		r = fn(&list.infos[i], arg);
	free(list.infos);
	return r;
}

/* --- making -------------------------------------------------------------------------------- */

static __u32 clamp_mtu(__u32 mtu, __u32 max)
{
	return mtu < MTU_MIN ? MTU_MIN : mtu > max ? max : mtu;
}

/* No IPv6 addresses, unless the device has no IPv6 at all. */
static int ipv6_quiet(struct link_ctx *ctx, __u32 ifindex)
{
	struct nlattr *spec;
	struct nlattr *inet6;
	struct request req;
	int r;

	request_init(&req, RTM_SETLINK, 0, ifindex);
	spec = mnl_attr_nest_start(&req.nlh, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(&req.nlh, AF_INET6);
	mnl_attr_put_u8(&req.nlh, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(&req.nlh, inet6);
	mnl_attr_nest_end(&req.nlh, spec);
	r = request_run(ctx, &req, NULL, NULL);
	return r == -EAFNOSUPPORT ? 0 : r;
}

static int flags_set(struct link_ctx *ctx, __u32 ifindex, unsigned int change, unsigned int flags)
{
	struct request req;
	struct ifinfomsg *ifi = request_init(&req, RTM_SETLINK, 0, ifindex);

	ifi->ifi_change = change;
	ifi->ifi_flags = flags;
	return request_run(ctx, &req, NULL, NULL);
}

static int mtu_set(struct link_ctx *ctx, __u32 ifindex, __u32 mtu)
{
	struct request req;

	request_init(&req, RTM_SETLINK, 0, ifindex);
	mnl_attr_put_u32(&req.nlh, IFLA_MTU, mtu);
	return request_run(ctx, &req, NULL, NULL);
}

/* Makes a new interface, now down, one of the fabric's, and up. `rename` (or NULL) is a pattern. */
static int fabric_end_make(struct link_ctx *ctx, __u32 ifindex, const char *rename, __u32 mtu,
			   bool up)
{
	struct request req;
	struct ifinfomsg *ifi;
	int r;

	/* IPv6 goes, and comes back without groups and then without addresses. */
	r = mtu_set(ctx, ifindex, MTU_MIN);
	if (r == 0)
		r = flags_set(ctx, ifindex, IFF_MULTICAST | IFF_NOARP, IFF_NOARP);
	if (r == 0)
		r = mtu_set(ctx, ifindex, mtu);
	if (r == 0)
		r = ipv6_quiet(ctx, ifindex);
	if (r < 0)
		return r;

	ifi = request_init(&req, RTM_SETLINK, 0, ifindex);
	if (up)
		ifi->ifi_change = ifi->ifi_flags = IFF_UP;
	if (rename)
		mnl_attr_put_strz(&req.nlh, IFLA_IFNAME, rename);
	mnl_attr_put_u32(&req.nlh, IFLA_GROUP, ctx->group);
	return request_run(ctx, &req, NULL, NULL);
}

static int fabric_end_up(struct link_ctx *ctx, __u32 ifindex, const char *rename, __u32 mtu)
{
	return fabric_end_make(ctx, ifindex, rename, mtu, true);
}

int link_set_up(struct link_ctx *ctx, __u32 ifindex)
{
	struct ifinfomsg *ifi;
	struct request req;

	ifi = request_init(&req, RTM_SETLINK, 0, ifindex);
	ifi->ifi_change = ifi->ifi_flags = IFF_UP;
	return request_run(ctx, &req, NULL, NULL);
}

int link_set_mtu(struct link_ctx *ctx, __u32 ifindex, __u32 mtu)
{
	struct link_info info;
	int r = link_get(ctx, ifindex, &info);
	int r2;

	if (r < 0)
		return r;
	mtu = clamp_mtu(mtu, !strcmp(info.kind, "tun") ? MTU_MAX_TAP : MTU_MAX_VETH);
	if (mtu == info.mtu)
		return 0;
	if (info.group != ctx->group || info.mtu >= MTU_MIN_IPV6 || mtu < MTU_MIN_IPV6 ||
	    !(info.flags & IFF_UP)) {
		r = mtu_set(ctx, ifindex, mtu);
		return r < 0 || info.group != ctx->group ? r : ipv6_quiet(ctx, ifindex);
	}

	/* IPv6 starts on the device: tell it to be quiet before it has a chance to speak. */
	r = flags_set(ctx, ifindex, IFF_UP, 0);
	if (r < 0)
		return r;
	r = mtu_set(ctx, ifindex, mtu);
	if (r == 0)
		r = ipv6_quiet(ctx, ifindex);
	r2 = flags_set(ctx, ifindex, IFF_UP, IFF_UP);
	return r < 0 ? r : r2;
}

static void gso_put(struct request *req, __u32 gso)
{
	mnl_attr_put_u32(&req->nlh, LINK_ATTR_GSO_IPV4, gso);
	mnl_attr_put_u32(&req->nlh, LINK_ATTR_GRO_IPV4, gso);
}

int link_set_gso(struct link_ctx *ctx, __u32 ifindex, __u32 gso)
{
	struct request req;

	request_init(&req, RTM_SETLINK, 0, ifindex);
	gso_put(&req, gso);
	return request_run(ctx, &req, NULL, NULL);
}

int link_set_mac(struct link_ctx *ctx, __u32 ifindex, const __u8 mac[6])
{
	struct request req;

	request_init(&req, RTM_SETLINK, 0, ifindex);
	mnl_attr_put(&req.nlh, IFLA_ADDRESS, 6, mac);
	return request_run(ctx, &req, NULL, NULL);
}

int link_set_promisc(struct link_ctx *ctx, __u32 ifindex, bool on)
{
	return flags_set(ctx, ifindex, IFF_PROMISC, on ? IFF_PROMISC : 0);
}

/* --- traffic control, of interfaces of others ---------------------------------------------- */

struct tc_dump {
	__u32 ifindex;
	int clsact;
	int filters;
};

static void tc_take(const struct nlmsghdr *nlh, void *arg)
{
	const struct tcmsg *tc = mnl_nlmsg_get_payload(nlh);
	struct tc_dump *dump = arg;
	const struct nlattr *attr;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*tc) || tc->tcm_ifindex != (int)dump->ifindex)
		return;
	dump->filters += nlh->nlmsg_type == RTM_NEWTFILTER && tc->tcm_handle;
	mnl_attr_for_each(attr, nlh, sizeof(*tc))
		if (nlh->nlmsg_type == RTM_NEWQDISC && mnl_attr_get_type(attr) == TCA_KIND &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			dump->clsact += !strcmp(mnl_attr_get_str(attr), "clsact");
}

static int tc_dump(struct link_ctx *ctx, __u16 type, __u32 parent, struct tc_dump *dump)
{
	struct request req;
	struct tcmsg *tc;

	memset(&req, 0, sizeof(req));
	mnl_nlmsg_put_header(req.buf);
	req.nlh.nlmsg_type = type;
	req.nlh.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	tc = mnl_nlmsg_put_extra_header(&req.nlh, sizeof(*tc));
	tc->tcm_ifindex = (int)dump->ifindex;
	tc->tcm_parent = parent;
	return request_run(ctx, &req, tc_take, dump);
}

bool link_has_clsact(struct link_ctx *ctx, __u32 ifindex)
{
	struct tc_dump dump = { .ifindex = ifindex };

	return !tc_dump(ctx, RTM_GETQDISC, 0, &dump) && dump.clsact;
}

int link_filters(struct link_ctx *ctx, __u32 ifindex)
{
	struct tc_dump dump = { .ifindex = ifindex };
	int r = tc_dump(ctx, RTM_GETTFILTER, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), &dump);

	if (!r)
		r = tc_dump(ctx, RTM_GETTFILTER, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS), &dump);
	return r ? r : dump.filters;
}

int link_del(struct link_ctx *ctx, __u32 ifindex)
{
	struct request req;

	if (ifindex == 0 || ifindex > INT32_MAX)
		return -ENODEV;
	request_init(&req, RTM_DELLINK, 0, ifindex);
	return request_run(ctx, &req, NULL, NULL);
}

int link_set_group(struct link_ctx *ctx, __u32 ifindex, __u32 group)
{
	struct request req;

	request_init(&req, RTM_SETLINK, 0, ifindex);
	mnl_attr_put_u32(&req.nlh, IFLA_GROUP, group);
	return request_run(ctx, &req, NULL, NULL);
}

int link_del_group(struct link_ctx *ctx, __u32 group)
{
	struct request req;

	request_init(&req, RTM_DELLINK, 0, 0);
	mnl_attr_put_u32(&req.nlh, IFLA_GROUP, group);
	return request_run(ctx, &req, NULL, NULL);
}

/* A name for the first moments of an interface that will be called by `pattern`. */
static int name_random(const char *pattern, char name[IPN_NAME_MAX])
{
	static const char digits[32] = "0123456789abcdefghijklmnopqrstuv";
	size_t n = strcspn(pattern, "%");
	unsigned char random[IPN_NAME_MAX];

	/* At least 8 digits of 5 bits. */
	if (n > IPN_NAME_MAX - 1 - 8)
		n = IPN_NAME_MAX - 1 - 8;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	memcpy(name, pattern, n);
	for (; n < IPN_NAME_MAX - 1; n++)
		name[n] = digits[random[n] % 32];
	name[n] = '\0';
	return 0;
}

/* A veth pair, down, both ends in the fabric's group, with the default MTU. */
static int veth_new(struct link_ctx *ctx, const char *near_name, const char *far_name, __u32 *near,
		    __u32 *far)
{
	struct link_info near_info;
	struct link_info far_info;
	struct nlattr *linkinfo;
	struct nlattr *data;
	struct nlattr *peer;
	struct request req;
	int r;

	request_init(&req, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	mnl_attr_put_strz(&req.nlh, IFLA_IFNAME, near_name);
	mnl_attr_put_u32(&req.nlh, IFLA_GROUP, ctx->group);
	linkinfo = mnl_attr_nest_start(&req.nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(&req.nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(&req.nlh, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(&req.nlh, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(&req.nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(&req.nlh, IFLA_IFNAME, far_name);
	mnl_attr_put_u32(&req.nlh, IFLA_GROUP, ctx->group);
	mnl_attr_nest_end(&req.nlh, peer);
	mnl_attr_nest_end(&req.nlh, data);
	mnl_attr_nest_end(&req.nlh, linkinfo);
	r = request_run(ctx, &req, NULL, NULL);
	if (r < 0)
		return r;

	r = info_get(ctx, 0, near_name, &near_info);
	if (r == 0)
		r = info_get(ctx, 0, far_name, &far_info);
	if (r < 0) {
		request_init(&req, RTM_DELLINK, 0, 0);
		mnl_attr_put_strz(&req.nlh, IFLA_IFNAME, near_name);
		request_run(ctx, &req, NULL, NULL);
		return r;
	}
	*near = near_info.ifindex;
	*far = far_info.ifindex;
	return 0;
}

/* Hands the far end of a veth over: to its namespace, as an ordinary interface, up. */
static int veth_far_up(struct link_ctx *ctx, __u32 far, const char *name, int netns_fd, __u32 mtu,
		       __u32 gso)
{
	struct request req;
	struct ifinfomsg *ifi = request_init(&req, RTM_SETLINK, 0, far);

	/* The kernel moves the interface first; the rest happens over there. */
	ifi->ifi_change = IFF_UP;
	ifi->ifi_flags = IFF_UP;
	if (netns_fd >= 0)
		mnl_attr_put_u32(&req.nlh, IFLA_NET_NS_FD, (__u32)netns_fd);
	mnl_attr_put_strz(&req.nlh, IFLA_IFNAME, name);
	mnl_attr_put_u32(&req.nlh, IFLA_GROUP, 0);
	mnl_attr_put_u32(&req.nlh, IFLA_MTU, mtu);
	gso_put(&req, gso);
	return request_run(ctx, &req, NULL, NULL);
}

int link_veth(struct link_ctx *ctx, const char *pattern, const char *name, int netns_fd, __u32 mtu,
	      __u32 gso, __u32 *ifindex)
{
	char near_name[IPN_NAME_MAX];
	char far_name[IPN_NAME_MAX];
	__u32 near = 0;
	__u32 far = 0;
	int r;

	if (!text_ifname_ok(name) && strcmp(name, LINK_NAME_AUTO) != 0)
		return -EINVAL;
	if (netns_fd >= 0) {
		r = link_netns_check(netns_fd);
		if (r < 0)
			return r;
	}
	mtu = clamp_mtu(mtu, MTU_MAX_VETH);
	r = name_random(pattern, near_name);
	if (r == 0)
		r = name_random(pattern, far_name);
	if (r == 0)
		r = veth_new(ctx, near_name, far_name, &near, &far);
	if (r < 0)
		return r;
	/* The far end first: it is what can fail for the user's reasons. */
	r = veth_far_up(ctx, far, name, netns_fd, mtu, gso);
	if (r == 0)
		r = link_set_gso(ctx, near, LINK_GSO_BIG);
	if (r == 0)
		r = fabric_end_make(ctx, near, pattern, mtu, false);
	if (r < 0) {
		link_del(ctx, near);
		return r;
	}
	*ifindex = near;
	return 0;
}

/*
 * Turns every offload of transmission off, whatever this kernel has: checksum, scatter/gather and
 * all kinds of segmentation. By name, because the old ioctl for each (ETHTOOL_STXCSUM, ...) leaves
 * the segmentation of UDP on.
 */
static int tx_offloads_off(struct link_ctx *ctx, const char *name)
{
	/* The three structs of the ioctl end in arrays as long as the kernel has features. */
	_cleanup_free_ struct ethtool_sset_info *count = calloc(1, sizeof(*count) + sizeof(__u32));
	_cleanup_free_ struct ethtool_gstrings *names = NULL;
	_cleanup_free_ struct ethtool_gfeatures *have = NULL;
	_cleanup_free_ struct ethtool_sfeatures *set = NULL;
	struct ifreq ifr = { 0 };
	int fd = mnl_socket_get_fd(ctx->nl);
	__u32 blocks;
	__u32 n;

	if (!count)
		return -ENOMEM;
	util_copy(ifr.ifr_name, sizeof(ifr.ifr_name), name);
	count->cmd = ETHTOOL_GSSET_INFO;
	count->sset_mask = 1ULL << ETH_SS_FEATURES;
	ifr.ifr_data = (char *)count;
	if (ioctl(fd, SIOCETHTOOL, &ifr) < 0)
		return -errno;
	n = count->data[0];
	blocks = (n + 31) / 32;

	names = calloc(1, sizeof(*names) + (size_t)n * ETH_GSTRING_LEN);
	have = calloc(1, sizeof(*have) + blocks * sizeof(have->features[0]));
	set = calloc(1, sizeof(*set) + blocks * sizeof(set->features[0]));
	if (!names || !have || !set)
		return -ENOMEM;
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = n;
	ifr.ifr_data = (char *)names;
	if (ioctl(fd, SIOCETHTOOL, &ifr) < 0)
		return -errno;
	have->cmd = ETHTOOL_GFEATURES;
	have->size = blocks;
	ifr.ifr_data = (char *)have;
	if (ioctl(fd, SIOCETHTOOL, &ifr) < 0)
		return -errno;

	set->cmd = ETHTOOL_SFEATURES;
	set->size = blocks;
	for (__u32 i = 0; i < n; i++) {
		const char *feature = (const char *)&names->data[(size_t)i * ETH_GSTRING_LEN];

		if (!strncmp(feature, "tx-", 3) && have->features[i / 32].available & 1U << i % 32)
			set->features[i / 32].valid |= 1U << i % 32;
	}
	ifr.ifr_data = (char *)set;
	if (ioctl(fd, SIOCETHTOOL, &ifr) < 0)
		return -errno;

	/* The kernel may keep some: the segmenter would then pass frames that are not whole. */
	ifr.ifr_data = (char *)have;
	if (ioctl(fd, SIOCETHTOOL, &ifr) < 0)
		return -errno;
	for (__u32 i = 0; i < blocks; i++)
		if (have->features[i].active & set->features[i].valid)
			return -EOPNOTSUPP;
	return 0;
}

int link_segmenter(struct link_ctx *ctx, const char *near_pattern, const char *far_pattern,
		   __u32 *near_ifindex, __u32 *far_ifindex)
{
	char near_name[IPN_NAME_MAX];
	char far_name[IPN_NAME_MAX];
	__u32 near = 0;
	__u32 far = 0;
	int r = name_random(near_pattern, near_name);

	if (r == 0)
		r = name_random(far_pattern, far_name);
	if (r == 0)
		r = veth_new(ctx, near_name, far_name, &near, &far);
	if (r < 0)
		return r;
	r = tx_offloads_off(ctx, near_name);
	if (r == 0)
		r = fabric_end_up(ctx, far, far_pattern, MTU_MAX_VETH);
	if (r == 0)
		r = fabric_end_up(ctx, near, near_pattern, MTU_MAX_VETH);
	if (r < 0) {
		link_del(ctx, near);
		return r;
	}
	*near_ifindex = near;
	*far_ifindex = far;
	return 0;
}

int link_cable(struct link_ctx *ctx, const char *pattern, __u32 ifindex[2])
{
	char name[2][IPN_NAME_MAX];
	__u32 ends[2] = { 0, 0 };
	int r = name_random(pattern, name[0]);

	if (r == 0)
		r = name_random(pattern, name[1]);
	if (r == 0)
		r = veth_new(ctx, name[0], name[1], &ends[0], &ends[1]);
	if (r < 0)
		return r;
	for (int i = 0; r == 0 && i < 2; i++) {
		r = link_set_gso(ctx, ends[i], LINK_GSO_BIG);
		if (r == 0)
			r = fabric_end_up(ctx, ends[i], pattern, MTU_MAX_VETH);
	}
	if (r < 0) {
		link_del(ctx, ends[0]);
		return r;
	}
	memcpy(ifindex, ends, sizeof(ends));
	return 0;
}

int link_xsk(struct link_ctx *ctx, const char *pattern, const char *name, __u32 mtu, __u32 *ifindex,
	     __u32 *far_ifindex)
{
	char near_name[IPN_NAME_MAX];
	char far_name[IPN_NAME_MAX];
	__u32 near = 0;
	__u32 far = 0;
	int r;

	if (!text_ifname_ok(name))
		return -EINVAL;
	mtu = clamp_mtu(mtu, MTU_MAX_VETH);
	r = name_random(pattern, near_name);
	if (r == 0)
		r = name_random(pattern, far_name);
	if (r == 0)
		r = veth_new(ctx, near_name, far_name, &near, &far);
	if (r < 0)
		return r;
	r = tx_offloads_off(ctx, near_name);
	/* a host's own packets out of the far end: as they would go over a wire */
	if (r == 0)
		r = tx_offloads_off(ctx, far_name);
	/* The far end first: its name is what can fail for the user's reasons. */
	if (r == 0)
		r = fabric_end_up(ctx, far, name, mtu);
	/* it goes with the other end, and is nobody's stray */
	if (r == 0)
		r = link_set_group(ctx, far, 0);
	if (r == 0)
		r = fabric_end_up(ctx, near, pattern, mtu);
	if (r < 0) {
		link_del(ctx, near);
		return r;
	}
	*ifindex = near;
	*far_ifindex = far;
	return 0;
}

/* A new tap in this namespace, down. `name` becomes what the kernel made of it. */
static int tap_open(char name[IPN_NAME_MAX], int flags)
{
	_cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct ifreq ifr = { 0 };

	if (fd < 0)
		return -errno;
	/* EXCL: never a queue of an interface that is there already. */
	ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL | flags);
	util_copy(ifr.ifr_name, sizeof(ifr.ifr_name), name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return errno == EBUSY ? -EEXIST : -errno;
	util_copy(name, IPN_NAME_MAX, ifr.ifr_name);
	return util_take_fd(&fd);
}

int link_tap_proc(struct link_ctx *ctx, const char *pattern, __u32 mtu, int *fd, __u32 *ifindex,
		  char name[IPN_NAME_MAX])
{
	_cleanup_close_ int tap = -1;
	struct link_info info;
	char real[IPN_NAME_MAX];
	int r = util_copy(real, sizeof(real), pattern);

	if (r < 0)
		return -EINVAL;
	tap = tap_open(real, 0);
	if (tap < 0)
		return tap;
	r = info_get(ctx, 0, real, &info);
	if (r == 0)
		r = fabric_end_up(ctx, info.ifindex, NULL, clamp_mtu(mtu, MTU_MAX_TAP));
	if (r < 0)
		return r;
	*fd = util_take_fd(&tap);
	*ifindex = info.ifindex;
	util_copy(name, IPN_NAME_MAX, info.name);
	return 0;
}

int link_tap_vm(struct link_ctx *ctx, const char *name, __u32 uid, __u32 mtu, __u32 *ifindex)
{
	_cleanup_close_ int tap = -1;
	struct link_info info;
	char real[IPN_NAME_MAX];
	int r;

	if (!text_ifname_ok(name))
		return -EINVAL;
	util_copy(real, sizeof(real), name);
	tap = tap_open(real, IFF_VNET_HDR);
	if (tap < 0)
		return tap;
	r = info_get(ctx, 0, real, &info);
	if (r == 0)
		r = fabric_end_up(ctx, info.ifindex, NULL, clamp_mtu(mtu, MTU_MAX_TAP));
	if (r < 0)
		return r;
	if (ioctl(tap, TUNSETOWNER, (unsigned long)uid) < 0 || ioctl(tap, TUNSETPERSIST, 1UL) < 0)
		return -errno;
	*ifindex = info.ifindex;
	return 0;
}

/* --- descriptors --------------------------------------------------------------------------- */

/* The namespace's file, through /proc or by a descriptor. */
static int netns_id(int fd, const char *path, __u64 *dev, __u64 *ino)
{
	struct statx sx;

	if (statx(fd, path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &sx) < 0)
		return -errno;
	*dev = makedev(sx.stx_dev_major, sx.stx_dev_minor);
	*ino = sx.stx_ino;
	return 0;
}

static int netns_own(__u64 *dev, __u64 *ino)
{
	return netns_id(AT_FDCWD, "/proc/thread-self/ns/net", dev, ino);
}

int link_netns_check(int fd)
{
	__u64 dev = 0;
	__u64 own_dev = 0;
	__u64 ino = 0;

	/* All namespaces are on one file system of the kernel's; fstatfs() could ask a server. */
	if (netns_own(&own_dev, &ino) < 0 || netns_id(fd, "", &dev, &ino) < 0 || dev != own_dev)
		return -EBADF;
	return ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET ? 0 : -EBADF;
}

int link_netns_inode_of(int fd, __u32 *inode)
{
	__u64 dev = 0;
	__u64 ino = 0;
	int r = netns_id(fd, "", &dev, &ino);

	if (r < 0)
		return r;
	*inode = (__u32)ino;
	return 0;
}

/* seccomp: manager: setns openat */
int link_netns_visit(int fd, void (*fn)(struct link_ctx *, void *), void *arg)
{
	_cleanup_close_ int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	struct link_ctx *ctx = NULL;
	int r;

	if (own < 0 || setns(fd, CLONE_NEWNET))
		return -errno;
	r = link_ctx_new(&ctx, 0);
	if (r == 0)
		fn(ctx, arg);
	link_ctx_free(ctx);
	/* The fabric outlives this process; in the wrong namespace it would do harm. */
	if (setns(own, CLONE_NEWNET))
		abort();
	return r;
}

int link_netns_inode(__u32 *inode)
{
	__u64 dev = 0;
	__u64 ino = 0;
	int r = netns_own(&dev, &ino);

	if (r < 0)
		return r;
	*inode = (__u32)ino;
	return 0;
}

static bool netns_mounted(const char *name)
{
	_cleanup_free_ char *line = NULL;
	FILE *f = fopen("/proc/self/mountinfo", "re");
	bool found = false;
	size_t room = 0;

	if (!f)
		return true; /* nobody knows */
	while (!found && getline(&line, &room, f) > 0)
		found = strstr(line, name);
	fclose(f);
	return found;
}

/* seccomp: manager: readlink readlinkat getdents64 fstatfs statx */
bool link_netns_reachable(__u32 inode)
{
	char name[32], path[300], at[32];
	bool found = false;
	struct dirent *e;
	ssize_t n;
	DIR *d;

	snprintf(name, sizeof(name), "net:[%u]", inode);
	if (netns_mounted(name))
		return true;
	d = opendir("/proc");
	if (!d)
		return true;
	while (!found && (e = readdir(d))) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/ns/net", e->d_name);
		n = readlink(path, at, sizeof(at) - 1);
		at[n > 0 ? n : 0] = '\0';
		found = !strcmp(at, name);
	}
	closedir(d);
	return found;
}

int link_tap_of_fd(struct link_ctx *ctx, int fd, __u32 *ifindex)
{
	_cleanup_close_ int netns = -1;
	struct link_info info;
	struct ifreq ifr = { 0 };
	struct statx sx;
	__u64 dev = 0;
	__u64 ino = 0;
	__u64 own_dev = 0;
	__u64 own_ino = 0;
	int r;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &sx) < 0)
		return -ENOTTY;
	if (!S_ISCHR(sx.stx_mode) || sx.stx_rdev_major != TUN_MAJOR ||
	    sx.stx_rdev_minor != TUN_MINOR)
		return -ENOTTY;
	if (ioctl(fd, TUNGETIFF, &ifr) < 0 || !(ifr.ifr_flags & IFF_TAP))
		return -ENOTTY;
	/* EPERM: of a namespace of another user namespace. EBADFD: it was deleted meanwhile. */
	netns = ioctl(fd, TUNGETDEVNETNS);
	if (netns < 0)
		return errno == EPERM ? -EXDEV : -ENODEV;
	r = netns_id(netns, "", &dev, &ino);
	if (r == 0)
		r = netns_own(&own_dev, &own_ino);
	if (r < 0)
		return r;
	if (dev != own_dev || ino != own_ino)
		return -EXDEV;
	r = info_get(ctx, 0, ifr.ifr_name, &info);
	if (r < 0)
		return r;
	*ifindex = info.ifindex;
	return 0;
}

/* --- watching ------------------------------------------------------------------------------ */

int link_watch_open(void)
{
	_cleanup_close_ int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int size = WATCH_RCVBUF;

	if (fd < 0)
		return -errno;
	/* As much as can be had: too little shows as -ENOBUFS, which the reader can handle. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return util_take_fd(&fd);
}

static void watch_parse(const void *buf, int len,
			void (*fn)(const struct link_info *, bool, void *), void *arg)
{
	const struct nlmsghdr *nlh = buf;
	struct link_info info;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		if (!info_parse(nlh, &info))
			continue;
		if (nlh->nlmsg_type == RTM_DELLINK) {
			struct link_info gone = { .ifindex = info.ifindex };

			fn(&gone, true, arg);
		} else {
			fn(&info, false, arg);
		}
	}
}

int link_watch_read(int fd, void (*fn)(const struct link_info *, bool gone, void *), void *arg)
{
	_cleanup_free_ char *buf = malloc(BUF_SIZE);
	bool lost = false;

	if (!buf)
		return -ENOMEM;
	for (int i = 0; i < WATCH_TURN; i++) {
		struct sockaddr_nl from = { .nl_pid = 0 };
		struct iovec iov = { .iov_base = buf, .iov_len = BUF_SIZE };
		struct msghdr msg = {
			.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &iov,
			.msg_iovlen = 1,
		};
		ssize_t n = recvmsg(fd, &msg, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return lost ? -ENOBUFS : 0;
		if (n < 0 && errno == ENOBUFS) {
			lost = true;
			continue;
		}
		if (n < 0)
			return -errno;
		if (msg.msg_flags & MSG_TRUNC)
			lost = true;
		/* The kernel's own messages only. */
		else if (from.nl_pid == 0)
			watch_parse(buf, (int)n, fn, arg);
	}
	return lost ? -ENOBUFS : 0;
}
