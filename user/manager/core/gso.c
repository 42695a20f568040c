// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How big the frames of TCP may be that containers send.
 *
 * A frame that is cut up only by its receiver costs the way through the fabric once, so containers
 * are allowed 180 kB of IPv4 instead of the 64 kB that every device takes. A tap is such a device:
 * what is bigger would be cut into single segments on the way to a VM, which costs more than it
 * saves. So as long as a network has a VM or a grabbed interface, its containers keep to 64 kB, and
 * so do those of all networks joined to it by cables.
 *
 * The size is a property of the interface in the container, which is in another namespace that the
 * fabric holds no reference to: that would keep it alive when its container ends. It is found by
 * its inode number, among the named ones and those of processes. One that is not found has nobody
 * in it who could send.
 *
 * Nothing depends on this but speed: what is too big is cut up by the kernel.
 */
#include "manager/core/gso.h"

#include <dirent.h>
#include <fcntl.h>

#include "common/util.h"
#include "manager/core/objects.h"
#include "manager/core/port_kind.h"
#include "manager/kernel/link.h"

/* seccomp: manager: openat getdents64 */

/* Is there another end that was not told? */
static bool untold(const struct node *node)
{
	return node && (node->kind->flags & KIND_TELL_GSO) && node->gso != node->net->gso;
}

/* All networks that a frame can reach by cables. */
struct reach {
	bool net[IPN_MAX_NETS];
	bool plain; /* one of them has somebody who takes plain frames only */
};

static void reach_from(const struct net *net, struct reach *reach)
{
	reach->net[net->id] = true;
	for (__u32 i = 0; i < net->info.numnodes; i++) {
		const struct node *node = net->ports[i];

		if (!node)
			continue;
		reach->plain |= !!(node->kind->flags & KIND_PLAIN_GSO);
		if (node->peer && !reach->net[node->peer->net->id])
			reach_from(node->peer->net, reach);
	}
}

static __u32 want(const struct reach *reach)
{
	return reach->plain ? LINK_GSO_PLAIN : LINK_GSO_BIG;
}

__u32 gso_want(const struct net *net)
{
	struct reach reach = { .plain = false };

	reach_from(net, &reach);
	return want(&reach);
}

struct visit {
	struct net *net;
	__u32 netns;
};

/* In a namespace, for all of the network whose other end is there. */
static void tell(struct link_ctx *link, void *arg)
{
	const struct visit *v = arg;
	struct net *net = v->net;

	for (__u32 i = 0; i < net->info.numnodes; i++) {
		struct node *node = net->ports[i];
		struct link_info near, far;

		if (!untold(node) || node->info.netns != v->netns)
			continue;
		node->gso = net->gso;
		if (link_get(net->f->link, node->ifindex, &near))
			continue;
		if (!link_get(link, near.peer, &far) && far.peer == node->ifindex)
			link_set_gso(link, near.peer, net->gso);
	}
}

/* Is one in this namespace that was not told? */
static bool wanted(const struct net *net, __u32 netns)
{
	for (__u32 i = 0; i < net->info.numnodes; i++)
		if (untold(net->ports[i]) && net->ports[i]->info.netns == netns)
			return true;
	return false;
}

/* dir/name[/ns/net], if it is a namespace. */
static void check_at(struct net *net, int dir, const char *name, const char *rest)
{
	char path[300];
	struct visit v = { .net = net };
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "%s%s", name, rest);
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && !link_netns_check(fd) && !link_netns_inode_of(fd, &v.netns) &&
	    wanted(net, v.netns))
		link_netns_visit(fd, tell, &v);
}

static void look_through(struct net *net, const char *dir, const char *rest)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && (!*rest || (e->d_name[0] >= '1' && e->d_name[0] <= '9')))
			check_at(net, dirfd(d), e->d_name, rest);
	closedir(d);
}

static void update(struct net *net, __u32 gso)
{
	struct visit here = { .net = net, .netns = 0 };
	bool elsewhere = false;

	if (net->dying || net->gso == gso)
		return;
	net->gso = gso;
	tell(net->f->link, &here);
	for (__u32 i = 0; i < net->info.numnodes; i++)
		elsewhere |= untold(net->ports[i]);
	if (!elsewhere)
		return;
	look_through(net, "/run/netns", "");
	look_through(net, "/proc", "/ns/net");
}

void gso_update(struct net *net)
{
	struct reach reach = { .plain = false };
	struct fabric *f = net->f;

	reach_from(net, &reach);
	for (__u32 i = 0; i < IPN_MAX_NETS; i++)
		if (reach.net[i])
			update(f->net_by_id[i], want(&reach));
}
