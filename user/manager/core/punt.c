// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The thread behind the punt ring (bpf/core/punt.h): sends what programs could not deliver.
 *
 *	to a sock port   by the fabric's socket of that port, which is connected to its program
 *	to a device      by a packet socket, past the queueing discipline, out of the fabric's end
 *	to the policy    into the segmenter, marked with the port it came from
 *	a goodbye        told to the manager's own thread, through a pipe
 * Nothing here waits for anybody: what cannot be sent at once is dropped, and counted at the port
 * that was too slow.
 *
 * Where a message goes was decided by a program and stands in the record. What stands at a port
 * now, the thread reads in `net_fast` and `port_out`, mapped; a port that has changed hands since
 * has another gen. Sockets are in a table of its own, by node. Everything is looked at anew for
 * each record, and the lock is held for a batch: who takes it (punt_del, punt_wait) afterwards
 * knows that the thread has forgotten what was before.
 *
 * It may use SHARE of each PERIOD of one CPU. If more comes, the ring fills, and programs drop
 * (punt_full), each port by its share.
 *
 * Nobody but the thread writes its counters while it runs; readers may see them a moment late.
 * After the death of the manager the ring keeps what is in it, until it is full. The next manager
 * goes on with that if it comes soon (OLD_MS). What waited longer is of no use to anybody: it is
 * thrown away and counted at its sender as what there was no room for (punt_full). Only goodbyes
 * are never too old.
 */
#include "manager/core/punt.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "common/log.h"
#include "common/util.h"
#include "manager/core/objects.h"
#include "manager/fdstore/client.h"
#include "manager/kernel/bpf.h"

#define BATCH 64
#define PERIOD_NS 10000000ULL
#define SHARE_NS 5000000ULL
#define OLD_MS 3000

struct counts {
	__u64 out_packets, out_bytes;
	__u64 drop[IPN_DROP_MAX];
};

struct punt {
	struct fabric *f;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	struct ring_buffer *ring;
	const unsigned long *at; /* how far the ring is consumed; mapped */
	unsigned long backlog;   /* what is before that was there when we began, */
	bool old;                /* and for long */
	const struct ipn_port_out *port_out;
	struct ipn_punt_acct *acct;
	struct counts *counts;   /* by node */
	int fds[IPN_MAX_NODES];  /* sockets, by node; -1 */
	int packet, cable;       /* packet sockets; of the second, frames have the mark of cables */
	int stop;                /* eventfd */
	int bye[2];              /* pipe */
	sd_event_source *source; /* of its reading end */
	void (*bye_fn)(struct fabric *f, __u32 node, __u32 gen);
	__u32 batch;
	__u64 period, used; /* ns: its start, CPU time at its start */
};

/* seccomp: manager: pipe2 poll ppoll sendto sendmsg socket setsockopt eventfd2 */

static void counted(struct punt *p, __u32 node, enum ipn_drop why)
{
	__atomic_fetch_add(&p->counts[node].drop[why], 1, __ATOMIC_RELAXED);
}

static void sent(struct punt *p, __u32 node, __u32 len)
{
	__atomic_fetch_add(&p->counts[node].out_packets, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&p->counts[node].out_bytes, len, __ATOMIC_RELAXED);
}

static void to_sock(struct punt *p, const struct ipn_port_out *dest, const void *data, __u32 len)
{
	int fd = p->fds[dest->node];

	if (fd >= 0 && send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len)
		sent(p, dest->node, len);
	else
		counted(p, dest->node, IPN_DROP_SLOW);
}

static void to_device(struct punt *p, const struct ipn_punt *rec, const struct ipn_port_out *dest,
		      const void *data)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)dest->ifindex };

	if (sendto(dest->kind == IPN_KIND_CABLE ? p->cable : p->packet, data, rec->len,
		   MSG_DONTWAIT, (void *)&to, sizeof(to)) >= 0)
		sent(p, dest->node, rec->len);
	else if (errno == EMSGSIZE)
		counted(p, rec->node, IPN_DROP_MTU);
	else if (errno == ENETDOWN || errno == ENXIO || errno == ENODEV)
		counted(p, rec->node, IPN_DROP_PORT_DOWN);
	else
		counted(p, dest->node, IPN_DROP_DEVICE);
}

static void to_port(struct punt *p, const struct ipn_punt *rec, const void *data)
{
	const struct ipn_net_fast *net = &p->f->bpf->net_fast[rec->net];
	__u32 at = __atomic_load_n(&net->port_base, __ATOMIC_ACQUIRE) + rec->port;
	struct ipn_port_out dest;

	if (rec->port >= net->numnodes || at >= IPN_MAX_PORTS) {
		counted(p, rec->node, IPN_DROP_NO_PORT);
		return;
	}
	dest = p->port_out[at];
	if (dest.gen != rec->gen || dest.node >= IPN_MAX_NODES || dest.kind <= IPN_KIND_PROC)
		counted(p, rec->node, IPN_DROP_NO_PORT);
	else if (dest.kind == IPN_KIND_SOCK)
		to_sock(p, &dest, data, rec->len);
	else if (!(dest.flags & IPN_PF_UP))
		counted(p, rec->node, IPN_DROP_PORT_DOWN);
	else
		to_device(p, rec, &dest, data);
}

static void to_all(struct punt *p, const struct ipn_punt *rec, const void *data)
{
	const struct ipn_net_fast *net = &p->f->bpf->net_fast[rec->net];
	__u32 base = __atomic_load_n(&net->port_base, __ATOMIC_ACQUIRE), n = net->numnodes;

	for (__u32 i = 0; i < n && base + i < IPN_MAX_PORTS; i++) {
		struct ipn_port_out dest = p->port_out[base + i];

		if (i == rec->from || dest.kind <= IPN_KIND_PROC || dest.node >= IPN_MAX_NODES)
			continue;
		if (dest.kind == IPN_KIND_SOCK) {
			if (rec->op & IPN_PUNT_SOCKS)
				to_sock(p, &dest, data, rec->len);
		} else if ((rec->op & IPN_PUNT_DEVICES) && (dest.flags & IPN_PF_UP)) {
			to_device(p, rec, &dest, data);
		}
	}
}

static void to_policy(struct punt *p, const struct ipn_punt *rec, void *data)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)p->f->bpf->abi.segmenter };
	union {
		char room[CMSG_SPACE(sizeof(__u32))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { data, rec->len };
	struct msghdr msg = { .msg_name = &to,
			      .msg_namelen = sizeof(to),
			      .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	__u32 mark = IPN_SOCK_IFINDEX(rec->node);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SO_MARK;
	c->cmsg_len = CMSG_LEN(sizeof(mark));
	memcpy(CMSG_DATA(c), &mark, sizeof(mark));
	if (sendmsg(p->packet, &msg, MSG_DONTWAIT) < 0)
		counted(p, rec->node, errno == EMSGSIZE ? IPN_DROP_MTU : IPN_DROP_SEGMENTER);
}

static int on_record(void *arg, void *sample, size_t size)
{
	const struct ipn_punt *rec = sample;
	struct punt *p = arg;
	bool backlog = (long)(p->backlog - *p->at) > 0;
	__u64 bye;

	if (size < sizeof(*rec) || rec->len > size - sizeof(*rec) || rec->net >= IPN_MAX_NETS ||
	    rec->node >= IPN_MAX_NODES)
		return 0; /* programs write no such */
	if (backlog && p->old && rec->op != IPN_PUNT_BYE) {
		counted(p, rec->node, IPN_DROP_PUNT_FULL);
	} else if (rec->op == IPN_PUNT_PORT) {
		to_port(p, rec, rec + 1);
	} else if (rec->op == IPN_PUNT_POLICY) {
		to_policy(p, rec, (void *)(rec + 1));
	} else if (rec->op == IPN_PUNT_BYE) {
		bye = (__u64)rec->node << 32 | rec->gen;
		if (write(p->bye[1], &bye, sizeof(bye)) < 0)
			log_line(LOG_DEBUG, "punt: a goodbye got lost");
	} else {
		to_all(p, rec, rec + 1);
	}
	if (!backlog) /* those count as done already */
		__atomic_fetch_add(&p->acct[rec->node].done, rec->size, __ATOMIC_RELAXED);
	return ++p->batch < BATCH ? 0 : -EAGAIN;
}

static __u64 clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (__u64)t.tv_sec * 1000000000ULL + (__u64)t.tv_nsec;
}

/* Sleeps through the rest of a period whose share is used up. */
static void keep_to_share(struct punt *p)
{
	__u64 now = clock_ns(CLOCK_MONOTONIC), used = clock_ns(CLOCK_THREAD_CPUTIME_ID), rest;
	struct timespec t = { 0 };

	if (now - p->period >= PERIOD_NS) {
		p->period = now;
		p->used = used;
	} else if (used - p->used >= SHARE_NS) {
		rest = PERIOD_NS - (now - p->period);
		t.tv_nsec = (long)rest;
		nanosleep(&t, NULL);
	}
}

static void *run(void *arg)
{
	struct punt *p = arg;
	struct pollfd polls[] = { { .fd = ring_buffer__epoll_fd(p->ring), .events = POLLIN },
				  { .fd = p->stop, .events = POLLIN } };

	while (poll(polls, 2, -1) >= 0 || errno == EINTR) {
		if (polls[1].revents)
			break;
		pthread_mutex_lock(&p->lock);
		p->batch = 0;
		ring_buffer__consume(p->ring);
		pthread_mutex_unlock(&p->lock);
		keep_to_share(p);
	}
	return NULL;
}

static int on_bye(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct punt *p = arg;
	__u64 byes[64];
	ssize_t n = read(fd, byes, sizeof(byes));

	(void)source;
	(void)events;
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(byes[0]); i++)
		p->bye_fn(p->f, (__u32)(byes[i] >> 32), (__u32)byes[i]);
	return 0;
}

static int packet_open(int *out)
{
	_cleanup_close_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)))
		return -errno;
	*out = util_take_fd(&fd);
	return 0;
}

/* What is in the ring: its first page tells how far it is consumed, its second how far written. */
static int backlog_find(struct punt *p)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int fd = p->f->bpf->fd_punt;
	const unsigned long *produced;
	void *map = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	p->at = map;
	map = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)page);
	if (map == MAP_FAILED)
		return -errno;
	produced = map;
	p->backlog = __atomic_load_n(produced, __ATOMIC_ACQUIRE);
	p->old = fdstore_alone(p->f->fdstore) > OLD_MS;
	munmap(map, page);
	return 0;
}

static int punt_open(struct punt *p)
{
	const __u32 mark = IPN_CABLE_MARK | 1; /* the first cable of its way */
	struct bpf_state *b = p->f->bpf;
	void *map;
	int r;

	r = packet_open(&p->packet);
	if (!r)
		r = packet_open(&p->cable);
	if (!r && setsockopt(p->cable, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))
		r = -errno;
	if (r)
		return r;
	p->stop = eventfd(0, EFD_CLOEXEC);
	if (p->stop < 0 || pipe2(p->bye, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	p->counts = calloc(IPN_MAX_NODES, sizeof(*p->counts));
	if (!p->counts)
		return -ENOMEM;
	map = mmap(NULL, sizeof(*p->port_out) * IPN_MAX_PORTS, PROT_READ, MAP_SHARED,
		   b->fd_port_out, 0);
	if (map == MAP_FAILED)
		return -errno;
	p->port_out = map;
	map = mmap(NULL, sizeof(*p->acct) * IPN_MAX_NODES, PROT_READ | PROT_WRITE, MAP_SHARED,
		   b->fd_punt_acct, 0);
	if (map == MAP_FAILED)
		return -errno;
	p->acct = map;
	r = backlog_find(p);
	if (r)
		return r;
	/* a manager that died may have delivered more than it said */
	for (__u32 i = 0; i < IPN_MAX_NODES; i++)
		if (p->acct[i].done != p->acct[i].queued)
			p->acct[i].done = p->acct[i].queued;
	p->ring = ring_buffer__new(b->fd_punt, on_record, p, NULL);
	return p->ring ? 0 : -errno;
}

int punt_begin(struct fabric *f, void (*bye)(struct fabric *f, __u32 node, __u32 gen))
{
	struct punt *p;
	int r;

	if (f->punt)
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->f = f;
	p->bye_fn = bye;
	p->packet = p->cable = p->stop = p->bye[0] = p->bye[1] = -1;
	memset(p->fds, 0xff, sizeof(p->fds));
	pthread_mutex_init(&p->lock, NULL);
	f->punt = p;
	r = punt_open(p);
	if (!r)
		r = sd_event_add_io(f->event, &p->source, p->bye[0], EPOLLIN, on_bye, p);
	if (r < 0)
		punt_end(f);
	return r < 0 ? r : 0;
}

int punt_go(struct fabric *f)
{
	struct punt *p = f->punt;
	int r = p->running ? 0 : -pthread_create(&p->thread, NULL, run, p);

	if (r || p->running)
		return r;
	p->running = true;
	pthread_setname_np(p->thread, "ipn-punt");
	return 0;
}

void punt_end(struct fabric *f)
{
	struct punt *p = f->punt;
	__u64 one = 1;

	if (!p)
		return;
	if (p->running && write(p->stop, &one, sizeof(one)) == sizeof(one))
		pthread_join(p->thread, NULL);
	sd_event_source_disable_unref(p->source);
	ring_buffer__free(p->ring);
	if (p->port_out)
		munmap((void *)p->port_out, sizeof(*p->port_out) * IPN_MAX_PORTS);
	if (p->acct)
		munmap(p->acct, sizeof(*p->acct) * IPN_MAX_NODES);
	if (p->at)
		munmap((void *)p->at, (size_t)sysconf(_SC_PAGESIZE));
	int *fds[] = { &p->packet, &p->cable, &p->stop, &p->bye[0], &p->bye[1] };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		util_close_fd(fds[i]);
	pthread_mutex_destroy(&p->lock);
	free(p->counts);
	free(p);
	f->punt = NULL;
}

void punt_wait(struct fabric *f)
{
	if (!f->punt)
		return;
	pthread_mutex_lock(&f->punt->lock);
	pthread_mutex_unlock(&f->punt->lock);
}

void punt_add(struct fabric *f, __u32 node, int fd)
{
	pthread_mutex_lock(&f->punt->lock);
	f->punt->fds[node] = fd;
	pthread_mutex_unlock(&f->punt->lock);
}

void punt_del(struct fabric *f, __u32 node)
{
	punt_add(f, node, -1);
}

void punt_zero(struct fabric *f, __u32 node)
{
	if (f->punt)
		memset(&f->punt->counts[node], 0, sizeof(f->punt->counts[node]));
}

void punt_describe(struct fabric *f, __u32 node, struct ipn_stats *stats)
{
	const struct counts *c = f->punt ? &f->punt->counts[node] : NULL;

	if (!c)
		return;
	stats->out_packets += __atomic_load_n(&c->out_packets, __ATOMIC_RELAXED);
	stats->out_bytes += __atomic_load_n(&c->out_bytes, __ATOMIC_RELAXED);
	for (int i = 0; i < IPN_DROP_MAX; i++)
		stats->drop[i] += __atomic_load_n(&c->drop[i], __ATOMIC_RELAXED);
}
