// SPDX-License-Identifier: GPL-2.0-or-later
/* Requests that only look, and what concerns the fabric as a whole. */
#include <bpf/bpf.h>
#include <linux/capability.h>
#include <time.h>

#include "common/clock.h"
#include "common/util.h"
#include "manager/access/async_close.h"
#include "manager/access/quota.h"
#include "manager/control/monitor.h"
#include "manager/control/request.h"
#include "manager/core/held.h"
#include "manager/core/net.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/kernel/bpf.h"

#ifndef IPN_VERSION /* the Makefile's */
#define IPN_VERSION "unknown"
#endif

#define PORTS_PER_PAGE 32
#define NETS_PER_PAGE 128
#define FDB_BATCH 256
#define QUOTAS_PER_PAGE 128
_Static_assert(sizeof(struct ipn_ctl_page) + PORTS_PER_PAGE * sizeof(struct ipn_ctl_port) <=
		       REPLY_ROOM,
	       "a page of ports fits a packet");

_Static_assert(sizeof(struct ipn_ctl_page) + NETS_PER_PAGE * sizeof(struct ipn_ctl_net) <=
		       REPLY_ROOM,
	       "a page of networks fits a packet");

_Static_assert(sizeof(struct ipn_ctl_page) + QUOTAS_PER_PAGE * sizeof(struct ipn_ctl_quota) <=
		       REPLY_ROOM,
	       "a page of quotas fits a packet");
_Static_assert(sizeof(struct ipn_ctl_page) + FDB_BATCH * sizeof(struct ipn_ctl_fdb) <= REPLY_ROOM,
	       "a page of addresses fits a packet");

int req_info(struct request *q)
{
	struct fabric *f = q->s->f;
	struct ipn_ctl_info *info = (void *)q->reply;

	*info = (struct ipn_ctl_info){
		.pid = (__u32)getpid(),
		.nets = HASH_COUNT(f->nets),
		.ports = HASH_COUNT(f->nodes),
		.uptime = (__u32)((clock_us() - q->s->c->started) / 1000000),
		.adopted = f->bpf->adopted,
		.hook = f->bpf->abi.hook,
	};
	util_copy(info->version, sizeof(info->version), IPN_VERSION);
	snprintf(info->bpffs, sizeof(info->bpffs), "%.107s", f->bpf->dir);
	util_copy(info->netns, sizeof(info->netns), q->s->c->opts.netns ?: "");
	q->reply_len = sizeof(*info);
	return 0;
}

int req_net_list(struct request *q)
{
	const struct ipn_ctl_list *list = q->body;
	struct ipn_ctl_page *page = (void *)q->reply;
	struct ipn_ctl_net *out = (void *)(page + 1);
	struct net *only;
	__u64 id;
	int r = request_list_of(q, &only);

	if (r)
		return r;
	memset(page, 0, sizeof(*page));
	for (id = list->from; id < IPN_MAX_NETS && page->count < NETS_PER_PAGE; id++) {
		struct net *net = q->s->f->net_by_id[id];

		if (net && (!only || net == only) && session_sees(q->s, net))
			net_describe(net, &out[page->count++]);
	}
	page->next = id < IPN_MAX_NETS ? id : 0;
	q->reply_len = sizeof(*page) + page->count * sizeof(*out);
	return 0;
}

static __u32 holds_ms(struct held *held, const struct node *node)
{
	__u64 since, ms;

	held_look(held, node->net);
	since = held_since(held, node);
	ms = since ? held_ms(since) : 0;
	return ms > ~0U ? ~0U : (__u32)ms;
}

int req_port_list(struct request *q)
{
	const struct ipn_ctl_list *list = q->body;
	struct ipn_ctl_page *page = (void *)q->reply;
	struct ipn_ctl_port *out = (void *)(page + 1);
	struct fabric *f = q->s->f;
	struct net *only, *last = NULL;
	struct held held = { 0 };
	bool last_visible = false;
	__u64 at;
	int r = request_list_of(q, &only);

	if (r)
		return r;
	memset(page, 0, sizeof(*page));
	/* by place in `port_out`: ports of a network stand together, in order */
	for (at = list->from; at < (__u64)IPN_MAX_NETS * IPN_NET_PORTS; at++) {
		struct net *net = f->net_by_id[at / IPN_NET_PORTS];
		__u64 port = at % IPN_NET_PORTS;

		if (!net || (only && net != only) || port >= net->info.numnodes) {
			at |= IPN_NET_PORTS - 1; /* on to the next network */
			continue;
		}
		if (net != last)
			last_visible = session_sees(q->s, net);
		last = net;
		if (!net->ports[port] || !last_visible)
			continue;
		if (page->count == PORTS_PER_PAGE) {
			page->next = at;
			break;
		}
		node_describe(net->ports[port], &out[page->count], list->stats);
		out[page->count].holds_ms = holds_ms(&held, net->ports[port]);
		if (net->ports[port]->peer && !session_sees(q->s, net->ports[port]->peer->net))
			memset(out[page->count].peer, 0, sizeof(out[page->count].peer));
		page->count++;
	}
	q->reply_len = sizeof(*page) + page->count * sizeof(*out);
	return 0;
}

static __u32 fdb_page(struct net *net, struct ipn_ctl_fdb *out, const struct ipn_fdb_key *keys,
		      const struct ipn_fdb *values, __u32 n)
{
	struct timespec t;
	__u32 count = 0;
	__u64 now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	now = (__u64)t.tv_sec * 1000000000ULL + (__u64)t.tv_nsec;
	for (__u32 i = 0; i < n; i++) {
		__u64 age = now > values[i].seen ? now - values[i].seen : 0;
		struct node *node;

		if (keys[i].net != net->id || values[i].port >= net->info.numnodes)
			continue;
		node = net->ports[values[i].port];
		if (!node || node->in.gen != values[i].gen || age > IPN_FDB_AGE_NS)
			continue;
		out[count] = (struct ipn_ctl_fdb){ .vlan = keys[i].vlan,
						   .port = values[i].port,
						   .age = (__u32)(age / 1000000000ULL) };
		memcpy(out[count].mac, keys[i].mac, sizeof(out[count].mac));
		count++;
	}
	return count;
}

/*
 * One batch of buckets a page; a page may be empty and not the last. next: the map's own cursor +
 * 1.
 */
int req_fdb_list(struct request *q)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	const struct ipn_ctl_list *list = q->body;
	struct ipn_ctl_page *page = (void *)q->reply;
	_cleanup_free_ struct ipn_fdb_key *keys = calloc(FDB_BATCH, sizeof(*keys));
	_cleanup_free_ struct ipn_fdb *values = calloc(FDB_BATCH, sizeof(*values));
	struct fabric *f = q->s->f;
	__u32 in = (__u32)list->from - 1, out = 0, n = FDB_BATCH;
	struct perm_inode inode;
	struct net *net;
	int r;

	if (!keys || !values)
		return -ENOMEM;
	r = request_net(q, q->fds[0], &net, &inode);
	if (r)
		return r;
	if (!session_sees(q->s, net))
		return err_text(&q->e, -EACCES, "uid %u has no permission on %s", q->s->peer.uid,
				net->info.path);
	memset(page, 0, sizeof(*page));
	r = bpf_map_lookup_batch(f->bpf->fd_fdb, list->from ? &in : NULL, &out, keys, values, &n,
				 &opts);
	if (r && errno != ENOENT)
		return err_text(&q->e, -errno, "cannot read the addresses: %s", strerror(errno));
	page->next = r ? 0 : (__u64)out + 1;
	page->count = fdb_page(net, (void *)(page + 1), keys, values, n);
	q->reply_len = sizeof(*page) + page->count * sizeof(struct ipn_ctl_fdb);
	return 0;
}

/* Rows of a page, counted through all that there are. */
struct quota_page {
	struct request *q;
	struct ipn_ctl_page *page;
	__u64 at, from;
};

static void quota_row(struct quota_page *p, __u32 uid, const char *what, __u64 used, __u64 most)
{
	struct ipn_ctl_quota *out = (void *)(p->page + 1);

	if (p->at++ < p->from)
		return;
	if (p->page->count == QUOTAS_PER_PAGE) {
		if (!p->page->next)
			p->page->next = p->at - 1;
		return;
	}
	out += p->page->count++;
	*out = (struct ipn_ctl_quota){ .uid = uid, .used = used, .most = uid ? most : 0 };
	util_copy(out->what, sizeof(out->what), what);
}

static void quota_user(void *arg, const struct user *u)
{
	struct quota_page *p = arg;
	const struct perm_peer *peer = &p->q->s->peer;
	unsigned int closing = __atomic_load_n(&u->closing, __ATOMIC_RELAXED);

	if (u->uid != peer->account && !perm_cap(peer, CAP_SYS_ADMIN))
		return;
	for (enum quota q = 0; q < QUOTAS; q++)
		if (u->has[q])
			quota_row(p, u->uid, quota_word(q), u->has[q], quota_each(q));
	if (u->time.total) {
		quota_row(p, u->uid, "loop ms", u->time.total / 1000, 0);
		quota_row(p, u->uid, "loop share", user_share(u), 1000);
		quota_row(p, u->uid, "put off", u->time.behind, 0);
	}
	if (closing)
		quota_row(p, u->uid, "closing", closing, ASYNC_CLOSE_USER);
}

int req_quota_list(struct request *q)
{
	const struct ipn_ctl_list *list = q->body;
	struct users *users = q->s->f->users;
	struct quota_page p = { .q = q, .page = (void *)q->reply, .from = list->from };

	memset(p.page, 0, sizeof(*p.page));
	if (perm_cap(&q->s->peer, CAP_SYS_ADMIN))
		for (enum quota i = 0; i < QUOTAS; i++)
			quota_row(&p, IPN_QUOTA_ALL, quota_word(i), users_total(users, i),
				  quota_all(i));
	users_each(users, quota_user, &p);
	q->reply_len = sizeof(*p.page) + p.page->count * sizeof(struct ipn_ctl_quota);
	return 0;
}

int req_monitor(struct request *q)
{
	struct session *s = q->s;
	struct net *only;
	int r = request_list_of(q, &only);

	if (r)
		return r;
	if (s->net)
		return err_text(&q->e, -EISCONN, "this connection has a network already");
	r = user_may(s->f->users, s->user, QUOTA_MONITORS, 1, &q->e);
	if (r)
		return r;
	r = monitor_begin(s->c);
	if (r < 0)
		return err_text(&q->e, r, "cannot look for overruns: %s", strerror(-r));
	s->only = only;
	s->only_net = only;
	s->monitor = true;
	user_add(s->f->users, s->user, QUOTA_MONITORS, 1);
	return 0;
}

int req_down(struct request *q)
{
	int r = rights_check(RIGHT_DOWN, &q->s->peer, -1, NULL, &q->e);

	if (r)
		return r;
	q->s->c->opts.down(q->s->c->opts.arg);
	return 0;
}
