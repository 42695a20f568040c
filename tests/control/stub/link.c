// SPDX-License-Identifier: GPL-2.0-or-later
/* Interfaces: what user/manager/kernel/link.c does, in a table. */
#include "manager/kernel/link.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/text.h"
#include "kernel.h"

struct link_ctx {
	__u32 group, netns; /* 0: the fabric's */
};

struct news {
	struct news *next;
	struct link_info info;
	bool gone;
};

/* --- the table --- */

static struct stub_if *if_at(__u32 ifindex)
{
	struct stub_if *i = stub.ifs;

	while (i && i->ifindex != ifindex)
		i = i->next;
	return i;
}

static struct stub_if *if_named(const char *name, __u32 netns)
{
	struct stub_if *i = stub.ifs;

	while (i && (strcmp(i->name, name) != 0 || i->netns != netns))
		i = i->next;
	return i;
}

static bool is_running(const struct stub_if *i)
{
	return i->running;
}

static void describe(const struct stub_if *i, struct link_info *info)
{
	*info = (struct link_info){
		.ifindex = i->ifindex,
		.flags = i->flags | (i->promisc ? IFF_PROMISC : 0),
		.group = i->group,
		.mtu = i->mtu,
		.gso = i->gso,
		.peer = i->peer,
		.running = is_running(i),
		.type = i->type,
	};
	memcpy(info->name, i->name, sizeof(info->name));
	memcpy(info->kind, i->kind, sizeof(info->kind));
}

static void tell(const struct stub_if *i, bool gone)
{
	struct news *n;

	if (stub.watch < 0 || i->netns)
		return;
	n = calloc(1, sizeof(*n));
	if (!n)
		abort();
	describe(i, &n->info);
	n->gone = gone;
	*stub.news_last = n;
	stub.news_last = &n->next;
	eventfd_write(stub.watch, 1);
}

static struct stub_if *if_new(const char *kind, __u32 group)
{
	struct stub_if *i = calloc(1, sizeof(*i)), **at = &stub.ifs;

	if (!i)
		abort();
	i->ifindex = stub.next_ifindex++;
	i->group = group;
	i->mtu = 1500;
	i->type = ARPHRD_ETHER;
	i->flags = IFF_UP;
	i->running = true;
	i->life = -1;
	util_copy(i->kind, sizeof(i->kind), kind);
	snprintf(i->name, sizeof(i->name), "new%u", i->ifindex);
	while (*at)
		at = &(*at)->next;
	*at = i;
	return i;
}

static void if_name(struct stub_if *i, const char *pattern)
{
	char name[IPN_NAME_MAX];

	if (!strchr(pattern, '%')) {
		util_copy(i->name, sizeof(i->name), pattern);
		return;
	}
	for (int n = 0;; n++) {
		snprintf(name, sizeof(name), "%.*s%d", (int)strcspn(pattern, "%"), pattern, n);
		if (if_named(name, i->netns))
			continue;
		util_copy(i->name, sizeof(i->name), name);
		return;
	}
}

static void if_free(struct stub_if *i)
{
	struct stub_if **at = &stub.ifs;

	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
	links_end(i->ifindex);
	tell(i, true);
	util_close_fd(&i->life);
	free(i);
}

/* With its other end. */
static void if_end(struct stub_if *i)
{
	struct stub_if *peer = i->peer ? if_at(i->peer) : NULL;

	if_free(i);
	if (peer)
		if_free(peer);
}

static void news_clear(void)
{
	while (stub.news) {
		struct news *n = stub.news;

		stub.news = n->next;
		free(n);
	}
	stub.news_last = &stub.news;
}

void ifs_clear(void)
{
	while (stub.ifs) {
		struct stub_if *i = stub.ifs;

		stub.ifs = i->next;
		util_close_fd(&i->life);
		free(i);
	}
	news_clear();
}

/* --- for tests --- */

__u32 stub_if_add(const char *name)
{
	struct stub_if *i = if_new("dummy", 0);

	if_name(i, name);
	return i->ifindex;
}

struct stub_if *stub_if_find(const char *name)
{
	return if_named(name, 0);
}

struct stub_if *stub_if_get(__u32 ifindex)
{
	return if_at(ifindex);
}

struct stub_if *stub_if_first(void)
{
	return stub.ifs;
}

void stub_if_del(__u32 ifindex)
{
	struct stub_if *i = if_at(ifindex);

	if (i)
		if_end(i);
}

void stub_if_running(__u32 ifindex, bool on)
{
	struct stub_if *i = if_at(ifindex);

	if (!i)
		return;
	i->running = on;
	tell(i, false);
}

void stub_watch_lost(void)
{
	stub.news_lost = true;
	if (stub.watch >= 0)
		eventfd_write(stub.watch, 1);
}

void stub_reap(void)
{
	for (struct stub_if *i = stub.ifs, *next; i; i = next) {
		struct pollfd p = { .fd = i->life, .events = POLLIN };

		next = i->next;
		if (p.fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & POLLHUP))
			if_end(i);
	}
	maps_reap();
}

/* --- link.h --- */

int link_ctx_new(struct link_ctx **out, __u32 group)
{
	struct link_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return -ENOMEM;
	ctx->group = group;
	*out = ctx;
	return 0;
}

void link_ctx_free(struct link_ctx *ctx)
{
	free(ctx);
}

static int get(const struct stub_if *i, const struct link_ctx *ctx, struct link_info *info)
{
	int err = stub_enter("link_get", false);

	if (err)
		return -err;
	if (!i || i->netns != ctx->netns)
		return -ENODEV;
	describe(i, info);
	return 0;
}

int link_get(struct link_ctx *ctx, __u32 ifindex, struct link_info *info)
{
	return get(if_at(ifindex), ctx, info);
}

int link_find(struct link_ctx *ctx, const char *name, struct link_info *info)
{
	return get(if_named(name, ctx->netns), ctx, info);
}

int link_each(struct link_ctx *ctx, int (*fn)(const struct link_info *, void *), void *arg)
{
	__u32 seen = 0;
	int r = -stub_enter("link_each", false);

	/* fn may remove some */
	while (!r) {
		const struct stub_if *next = NULL;
		struct link_info info;

		for (const struct stub_if *i = stub.ifs; i; i = i->next)
			if (i->ifindex > seen && i->netns == ctx->netns &&
			    (!next || i->ifindex < next->ifindex))
				next = i;
		if (!next)
			return 0;
		seen = next->ifindex;
		describe(next, &info);
		r = fn(&info, arg);
	}
	return r;
}

int link_tap_proc(struct link_ctx *ctx, const char *pattern, __u32 mtu, int *fd, __u32 *ifindex,
		  char name[IPN_NAME_MAX])
{
	int err = stub_enter("link_tap_proc", false), ends[2]; /* it goes with its descriptor */
	struct stub_if *i;
	struct stat st;

	if (!err && (pipe2(ends, O_CLOEXEC | O_NONBLOCK) || fstat(ends[1], &st)))
		err = errno;
	if (err)
		return -err;
	i = if_new("tun", ctx->group);
	i->mtu = mtu;
	i->life = ends[0];
	i->life_ino = st.st_ino;
	if_name(i, pattern);
	*fd = ends[1];
	*ifindex = i->ifindex;
	memcpy(name, i->name, IPN_NAME_MAX);
	return 0;
}

int link_tap_vm(struct link_ctx *ctx, const char *name, __u32 uid, __u32 mtu, __u32 *ifindex)
{
	int err = stub_enter("link_tap_vm", true);
	struct stub_if *i;

	(void)uid;
	if (err)
		return -err;
	if (!text_ifname_ok(name))
		err = EINVAL;
	else if (if_named(name, 0))
		err = EEXIST;
	if (!err) {
		i = if_new("tun", ctx->group);
		i->mtu = mtu;
		i->running = false;
		if_name(i, name);
		*ifindex = i->ifindex;
	}
	stub_leave();
	return -err;
}

/* In two steps, as the kernel has it: made, with names of nobody; then finished. */
static int pair(struct link_ctx *ctx, const char *pattern, const char *name, __u32 far_netns,
		__u32 mtu, struct stub_if *ends[2])
{
	int err = stub_enter("link_new", true);

	if (err)
		return -err;
	ends[0] = if_new("veth", ctx->group);
	ends[1] = if_new("veth", ctx->group);
	ends[0]->peer = ends[1]->ifindex;
	ends[1]->peer = ends[0]->ifindex;
	stub_leave();
	err = stub_enter("link_finish", true);
	if (err && !stub.dead)
		if_end(ends[0]);
	if (err)
		return -err;
	ends[0]->mtu = ends[1]->mtu = mtu;
	if_name(ends[0], pattern);
	ends[1]->netns = far_netns;
	if_name(ends[1], name);
	stub_leave();
	return 0;
}

int link_veth(struct link_ctx *ctx, const char *pattern, const char *name, int netns_fd, __u32 mtu,
	      __u32 gso, __u32 *ifindex)
{
	struct stub_if *ends[2] = { NULL, NULL };
	__u32 netns = 0;
	int r;

	if (netns_fd >= 0) {
		r = link_netns_check(netns_fd);
		if (!r)
			r = link_netns_inode_of(netns_fd, &netns);
		if (r)
			return r;
	}
	if (strcmp(name, LINK_NAME_AUTO) != 0 && !text_ifname_ok(name))
		return -EINVAL;
	if (if_named(name, netns))
		return -EEXIST;
	r = pair(ctx, pattern, name, netns, mtu, ends);
	if (r || !ends[0] || !ends[1])
		return r;
	ends[1]->group = 0;
	ends[1]->gso = gso;
	ends[0]->gso = LINK_GSO_BIG;
	*ifindex = ends[0]->ifindex;
	return 0;
}

int link_xsk(struct link_ctx *ctx, const char *pattern, const char *name, __u32 mtu, __u32 *ifindex,
	     __u32 *far_ifindex)
{
	struct stub_if *ends[2] = { NULL, NULL };
	int r;

	if (!text_ifname_ok(name))
		return -EINVAL;
	if (if_named(name, 0))
		return -EEXIST;
	r = pair(ctx, pattern, name, 0, mtu, ends);
	if (r || !ends[0] || !ends[1])
		return r;
	ends[1]->group = 0;
	*ifindex = ends[0]->ifindex;
	*far_ifindex = ends[1]->ifindex;
	return 0;
}

int link_segmenter(struct link_ctx *ctx, const char *near, const char *far, __u32 *near_ifindex,
		   __u32 *far_ifindex)
{
	struct stub_if *ends[2] = { NULL, NULL };
	int r = pair(ctx, near, far, 0, 65535, ends);

	if (r || !ends[0] || !ends[1])
		return r;
	*near_ifindex = ends[0]->ifindex;
	*far_ifindex = ends[1]->ifindex;
	return 0;
}

int link_cable(struct link_ctx *ctx, const char *pattern, __u32 ifindex[2])
{
	struct stub_if *ends[2] = { NULL, NULL };
	int r = pair(ctx, pattern, pattern, 0, 65535, ends);

	for (int i = 0; !r && i < 2; i++)
		ifindex[i] = ends[i] ? ends[i]->ifindex : 0;
	return r;
}

int link_del(struct link_ctx *ctx, __u32 ifindex)
{
	struct stub_if *i = if_at(ifindex);
	int err = stub_enter("link_del", true);

	if (err)
		return -err;
	if (i && i->netns == ctx->netns)
		if_end(i);
	else
		err = ENODEV;
	stub_leave();
	return -err;
}

/* The body of a function that changes one field of an interface. */
#define SET(what, field, value)                     \
	do {                                        \
		struct stub_if *i = if_at(ifindex); \
		int err = stub_enter(what, true);   \
                                                    \
		if (err)                            \
			return -err;                \
		if (i && i->netns == ctx->netns)    \
			i->field = value;           \
		else                                \
			err = ENODEV;               \
		stub_leave();                       \
		return -err;                        \
	} while (0)

int link_set_gso(struct link_ctx *ctx, __u32 ifindex, __u32 gso)
{
	SET("link_set_gso", gso, gso);
}

int link_set_group(struct link_ctx *ctx, __u32 ifindex, __u32 group)
{
	SET("link_set_group", group, group);
}

int link_set_mtu(struct link_ctx *ctx, __u32 ifindex, __u32 mtu)
{
	SET("link_set_mtu", mtu, mtu);
}

int link_set_promisc(struct link_ctx *ctx, __u32 ifindex, bool on)
{
	SET("link_set_promisc", promisc, on);
}

int link_set_mac(struct link_ctx *ctx, __u32 ifindex, const __u8 mac[6])
{
	SET("link_set_mac", type, mac[0] & 1 ? i->type : ARPHRD_ETHER);
}

int link_set_up(struct link_ctx *ctx, __u32 ifindex)
{
	SET("link_set_up", flags, i->flags | IFF_UP);
}

bool link_netns_reachable(__u32 inode)
{
	(void)inode;
	return true;
}

int link_del_group(struct link_ctx *ctx, __u32 group)
{
	int err = stub_enter("link_del_group", true);
	bool more = !err, any = false;

	(void)ctx;
	if (err)
		return -err;
	while (more) {
		more = false;
		for (struct stub_if *i = stub.ifs; i && !more; i = i->next) {
			if (i->group != group)
				continue;
			if_end(i);
			more = any = true;
			break;
		}
	}
	stub_leave();
	return any ? 0 : -ENODEV;
}

bool link_has_clsact(struct link_ctx *ctx, __u32 ifindex)
{
	const struct stub_if *i = if_at(ifindex);

	(void)ctx;
	return i && i->clsact;
}

int link_filters(struct link_ctx *ctx, __u32 ifindex)
{
	const struct stub_if *i = if_at(ifindex);

	(void)ctx;
	return i ? (int)i->filters : 0;
}

int link_tap_of_fd(struct link_ctx *ctx, int fd, __u32 *ifindex)
{
	struct stat st;

	(void)ctx;
	if (fstat(fd, &st))
		return -ENOTTY;
	for (const struct stub_if *i = stub.ifs; i; i = i->next) {
		if (i->life >= 0 && i->life_ino == st.st_ino) {
			*ifindex = i->ifindex;
			return 0;
		}
	}
	return -ENOTTY;
}

int link_netns_check(int fd)
{
	struct stat own, st;

	if (stat("/proc/thread-self/ns/net", &own) || fstat(fd, &st) || own.st_dev != st.st_dev)
		return -EBADF;
	return ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET ? 0 : -EBADF;
}

int link_netns_inode_of(int fd, __u32 *inode)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	*inode = (__u32)st.st_ino;
	return 0;
}

int link_netns_inode(__u32 *inode)
{
	*inode = 1;
	return 0;
}

int link_netns_visit(int fd, void (*fn)(struct link_ctx *, void *), void *arg)
{
	struct link_ctx ctx = { 0 };
	int r = link_netns_inode_of(fd, &ctx.netns);

	if (!r)
		fn(&ctx, arg);
	return r;
}

/* The manager owns the descriptor; the stub writes to it to wake the manager. */
int link_watch_open(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	news_clear();
	stub.news_lost = false;
	stub.watch = fd;
	return fd < 0 ? -errno : fd;
}

int link_watch_read(int fd, void (*fn)(const struct link_info *, bool gone, void *), void *arg)
{
	bool lost = stub.news_lost;
	eventfd_t n;

	eventfd_read(fd, &n);
	stub.news_lost = false;
	while (stub.news) {
		struct news *first = stub.news;

		stub.news = first->next;
		if (!stub.news)
			stub.news_last = &stub.news;
		if (!lost)
			fn(&first->info, first->gone, arg);
		free(first);
	}
	return lost ? -ENOBUFS : 0;
}
