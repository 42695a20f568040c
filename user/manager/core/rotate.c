// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Log rotation: a network gets another log while programs write into it, so that descriptors of the
 * old one, kept by a process that lost its right to read, show nothing new. The design and its
 * proof are in tests/model/rotate.pml; M1 to M10 are the steps there. What is old is L0 here, what
 * is new L1.
 *
 * All networks that want it go through the steps together, so that they share the grace period that
 * M5 takes: however many owners change their paths all the time, it costs the manager a few of
 * those in each second (control/revoke.c).
 *
 * M1 is the wish, `rotating` in `net_info`. When a step fails, or the manager dies, it says that
 * all is to be done again, from M3, or, if the network has L1 already, from M5. Without memory for
 * L1, or when its user's processes hold too many old logs, the network has a stand-in until there
 * is: what is sent on a LOSSY network is dropped (no_log), and senders of a LOSSLESS network wait.
 * It must not get into a log that somebody reads who has no right.
 *
 * L0 counts for the network's user until nobody holds it (quota.c). It stays in the map, behind all
 * others, for ROTATE_KEEP_US or until the next rotation: for readers of a LOSSY network who have
 * the log before L0, and have not seen yet that there is another.
 */
#include "manager/core/rotate.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <sys/mman.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/quota.h"
#include "manager/core/logs.h"
#include "manager/core/net.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/core/punt.h"
#include "manager/kernel/bpf.h"

#define BATCH 64
#define RETRY_US 1000000
/* More than a LOSSY log can still give from its head on, while programs end that have found it. */
#define GAP_SHIFT 32
#define GAP 2

struct rotation {
	struct net *net;
	int fd;     /* L1, or a stand-in; -1: there is none yet */
	int old_fd; /* L0; -1: nobody has it any more */
	bool failed;
};

static __u64 log_serial(int fd)
{
	const struct ipn_log_head *head;
	__u64 serial = ~0ULL;

	head = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, fd, 0);
	if (head == MAP_FAILED)
		return serial;
	serial = head->serial;
	munmap((void *)head, (size_t)sysconf(_SC_PAGESIZE));
	return serial;
}

static bool lossless(const struct net *net)
{
	return net->info.flags & IPN_FLAG_LOSSLESS;
}

static size_t log_len(const struct net *net)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (log_bytes(net->log_class, net->slots) + page - 1) & ~(page - 1);
}

void rotate_want(struct net *net) /* M1 */
{
	int r;

	if (net->info.rotating)
		return;
	net->info.rotating = net->head->serial + 1;
	r = net_info_store(net);
	if (r)
		log_err("network %s: cannot store that it needs another log: %s", net->info.path,
			strerror(-r));
}

/* What stands of it. */
static int begin(struct rotation *r)
{
	struct net *net = r->net;
	const int logs = net->f->bpf->fd_logs[net->log_class];

	r->old_fd = -1;
	r->fd = bpf_inner_get(logs, IPN_LOG_OF_NET(net->id));
	if (r->fd >= 0 && log_serial(r->fd) == net->info.rotating) { /* L1 is in its place */
		r->old_fd = bpf_inner_get(logs, IPN_LOG_OF_OLD(net->id));
		return 0;
	}
	util_close_fd(&r->fd);
	r->fd = -1;
	r->old_fd = fcntl(net->log_fd, F_DUPFD_CLOEXEC, 0);
	return r->old_fd < 0 ? -errno : 0;
}

/* M3 */
static int make(struct rotation *r)
{
	struct net *net = r->net;
	struct user *u = user_get(net->f->users, net->info.account);
	_cleanup_free_ struct ipn_log_head *head = calloc(1, ipn_slot_size(net->log_class));
	_cleanup_close_ int fd = -1;
	__u32 at = 0;

	if (r->fd >= 0)
		return 0;
	if (!head || !u)
		return -ENOMEM;
	if (!user_may_hold(net->f->users, u, log_bytes(net->log_class, net->slots)))
		return -EDQUOT;
	head->serial = net->info.rotating;
	if (lossless(net))
		head->closed = head->waiting = 1; /* so pool_moved() looks when it is opened */
	else
		head->head = head->start = ((net->head->head >> GAP_SHIFT) + GAP) << GAP_SHIFT;
	fd = bpf_log_make(net->log_class, net->slots);
	if (fd < 0)
		return fd;
	if (bpf_map_update_elem(fd, &at, head, BPF_ANY))
		return -errno;
	if (!lossless(net)) {
		int f = bpf_log_freeze(fd);

		if (f)
			return f;
	}
	r->fd = util_take_fd(&fd);
	return 0;
}

/* Tells all readers, in their pages, which log there is. */
static void tell(struct net *net, __u64 word)
{
	for (__u32 i = 0; i < net->info.numnodes; i++)
		if (net->ports[i] && net->ports[i]->page)
			__atomic_store_n(&net->ports[i]->page->log, word, __ATOMIC_SEQ_CST);
}

/* Without L1: a log that has no slots, and is closed. */
static void stand_in(struct rotation *r, int why)
{
	struct net *net = r->net;
	_cleanup_free_ struct ipn_log_head *head = calloc(1, ipn_slot_size(net->log_class));
	_cleanup_close_ int fd = -1;
	__u32 at = 0;

	if (net->shut || !head)
		return;
	fd = bpf_log_make(net->log_class, 0);
	head->closed = 1;
	if (fd < 0 || bpf_map_update_elem(fd, &at, head, BPF_ANY))
		return;
	log_err("network %s: somebody lost his right to read it, and there is no other log for it: "
		"%s; until there is, nothing is sent on it",
		net->info.path, strerror(-why));
	r->fd = util_take_fd(&fd);
	net->shut = true;
}

/*
 * M4 and M5, of all that have this class: in this order for each. When it returns, no program uses
 * an L0 any more.
 */
static int exchange(struct fabric *f, const struct rotation *all, __u32 n, __u32 log_class)
{
	__u32 index[2 * BATCH], count = 0;
	int fds[2 * BATCH];

	for (__u32 i = 0; i < n; i++) {
		const struct rotation *r = &all[i];

		if (r->fd < 0 || r->net->log_class != log_class)
			continue;
		if (r->old_fd >= 0) {
			index[count] = IPN_LOG_OF_OLD(r->net->id);
			fds[count++] = r->old_fd;
		}
		index[count] = IPN_LOG_OF_NET(r->net->id);
		fds[count++] = r->fd;
	}
	return count ? bpf_logs_set(f->bpf, log_class, index, fds, count) : 0;
}

/*
 * M6 and M8 of LOSSLESS networks. M7, between the two, is what readers are told before anybody can
 * take a number.
 */
static int go_on(struct rotation *r)
{
	struct net *net = r->net;
	const size_t len = log_len(net);
	struct ipn_log_head *head;
	void *to, *from = MAP_FAILED;

	to = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	if (to == MAP_FAILED)
		return errno == EPERM ? 0 : -errno; /* frozen: all is done */
	head = to;
	if (head->closed && r->old_fd >= 0) {
		const size_t first = ipn_slot_size(net->log_class);

		from = mmap(NULL, len, PROT_READ, MAP_SHARED, r->old_fd, 0);
		if (from == MAP_FAILED) {
			munmap(to, len);
			return -ENOMEM;
		}
		memcpy((char *)to + first, (char *)from + first, len - first);
		head->head = head->start = ((const struct ipn_log_head *)from)->head;
		munmap(from, len);
	}
	tell(net, IPN_LOG_IS(net->info.rotating)); /* M7 */
	__atomic_store_n(&head->closed, 0, __ATOMIC_SEQ_CST);
	munmap(to, len);
	return bpf_log_freeze(r->fd);
}

/* L1 becomes the network's, for the manager too, and L0 counts until nobody holds it. */
static int take(struct rotation *r)
{
	struct net *net = r->net;
	struct users *users = net->f->users;
	struct user *u = user_get(users, net->info.account);
	size_t bytes = log_bytes(net->log_class, net->slots);
	void *p = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, r->fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	if (u && r->old_fd >= 0) {
		user_add(users, u, QUOTA_MEMORY, bytes);
		user_log_gone(users, u, net->log_class, IPN_LOG_OF_OLD(net->id), bytes);
	}
	munmap((void *)net->head, (size_t)sysconf(_SC_PAGESIZE));
	net->head = p;
	close(net->log_fd);
	net->log_fd = util_take_fd(&r->fd);
	r->fd = -1;
	util_close_fd(&net->old_fd);
	net->old_fd = util_take_fd(&r->old_fd);
	r->old_fd = -1;
	net->old_until = lossless(net) ? 1 : clock_us() + ROTATE_KEEP_US;
	return 0;
}

/* M9. Who does not know that there are new logs is told by the end of its port. */
static void wake(struct net *net)
{
	for (__u32 i = 0; i < net->info.numnodes; i++) {
		struct node *node = net->ports[i];

		if (!node || node->in.kind != IPN_KIND_PROC || !(node->in.flags & IPN_PF_READER))
			continue;
		if (node->in.flags & IPN_PF_FOLLOWS)
			bpf_notify(net->f->bpf, node->in.node, IPN_EVENT_WAKE, 0);
		else
			node_del(node, ECONNRESET, false);
	}
}

/* M6 to M10 */
static int finish(struct rotation *r)
{
	struct net *net = r->net;
	int e = lossless(net) ? go_on(r) : 0;

	if (!e)
		e = take(r);
	if (e)
		return e;
	net->shut = false;
	tell(net, IPN_LOG_IS(net->info.rotating)); /* M7 of others */
	if (lossless(net))
		bpf_pool_wake(net->f->bpf, net->id);
	net->info.rotating = 0;
	net->bound++; /* or it could end with its last port */
	wake(net);
	net->bound--;
	return net_info_store(net);
}

/* What fails is done again: `rotating` says so. */
static void rotate_batch(struct fabric *f, struct rotation *all, __u32 n)
{
	for (__u32 i = 0; i < n; i++) {
		struct rotation *r = &all[i];
		int e = begin(r);

		if (!e)
			e = make(r);
		r->failed = e;
		if (e)
			stand_in(r, e);
		else if (!lossless(r->net)) /* M4 */
			tell(r->net, IPN_LOG_COMES(r->net->info.rotating));
	}
	for (__u32 c = 0; c < IPN_LOG_CLASSES; c++) {
		int e = exchange(f, all, n, c);

		for (__u32 i = 0; e && i < n; i++)
			if (all[i].net->log_class == c)
				all[i].failed = true;
	}
	punt_wait(f);
	for (__u32 i = 0; i < n; i++) {
		struct rotation *r = &all[i];

		if (!r->failed)
			finish(r);
		util_close_fd(&r->fd);
		util_close_fd(&r->old_fd);
		net_unused(r->net);
	}
}

/* Logs that were kept long enough; *next becomes when others will have been. */
static void let_go(struct fabric *f, __u64 now, __u64 *next)
{
	for (__u32 c = 0; c < IPN_LOG_CLASSES; c++) {
		__u32 index[IPN_MAX_NETS], n = 0;
		struct net *net, *tmp;

		HASH_ITER(hh, f->nets, net, tmp) {
			if (net->log_class != c || net->old_fd < 0 || net->info.rotating)
				continue;
			if (net->old_until > now) {
				if (!*next || net->old_until < *next)
					*next = net->old_until;
				continue;
			}
			util_close_fd(&net->old_fd);
			net->old_fd = -1;
			index[n++] = IPN_LOG_OF_OLD(net->id);
		}
		if (n && bpf_logs_clear(f->bpf, c, index, n))
			log_warning("old logs of %u networks keep their memory until they are "
				    "replaced",
				    n);
	}
}

__u64 rotate_all(struct fabric *f)
{
	struct rotation all[BATCH];
	__u64 next = 0;
	__u32 n = 0;

	for (__u32 id = 0; id < IPN_MAX_NETS; id++) {
		struct net *net = f->net_by_id[id];

		if (net && net->info.rotating)
			all[n++] = (struct rotation){ .net = net, .fd = -1, .old_fd = -1 };
		if (n == BATCH || (n && id == IPN_MAX_NETS - 1)) {
			rotate_batch(f, all, n);
			n = 0;
		}
	}
	let_go(f, clock_us(), &next);
	for (__u32 id = 0; id < IPN_MAX_NETS; id++)
		if (f->net_by_id[id] && f->net_by_id[id]->info.rotating)
			return clock_us() + RETRY_US;
	return next;
}

int rotate_next(const struct net *net, __u64 serial)
{
	if (net->old_fd < 0 || lossless(net) || log_serial(net->old_fd) != serial + 1)
		return net->log_fd;
	return net->old_fd;
}

int rotate_adopt(struct net *net)
{
	const int logs = net->f->bpf->fd_logs[net->log_class];
	struct users *users = net->f->users;
	size_t bytes = log_bytes(net->log_class, net->slots);
	int fd = bpf_inner_get(logs, IPN_LOG_OF_NET(net->id));

	net->old_fd = bpf_inner_get(logs, IPN_LOG_OF_OLD(net->id));
	if (net->old_fd >= 0 && !bpf_log_is(net->old_fd, net->slots)) {
		close(net->old_fd);
		net->old_fd = -1;
	}
	if (fd >= 0 && net->info.rotating && net->old_fd >= 0 && !bpf_log_is(fd, net->slots)) {
		close(fd); /* stand_in() */
		net->shut = true;
		return util_take_fd(&net->old_fd);
	}
	if (net->old_fd < 0) {
		net->old_fd = -1;
		return fd;
	}
	net->old_until = lossless(net) ? 1 : clock_us() + ROTATE_KEEP_US;
	if (!net->info.rotating) { /* else take() counts it */
		struct user *u = user_get(users, net->info.account);

		if (u) {
			user_add(users, u, QUOTA_MEMORY, bytes);
			user_log_gone(users, u, net->log_class, IPN_LOG_OF_OLD(net->id), bytes);
		}
	}
	return fd;
}
