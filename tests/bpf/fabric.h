/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fabric for tests of the BPF side: the real programs and maps, loaded by the manager's own code
 * into a bpffs of the test's own, and networks and ports written into the maps as the manager does.
 * Every port has a tap, so that its ifindex is real and what is sent to a device can be read; a
 * sock port has a pair of sockets, and what its program sends runs through the fabric's inside
 * send(). What goes into the punt ring stays there for the test to take.
 *
 * Numbers are chosen so that no two kinds of them are alike: network, port, place in `port_out`,
 * node. Needs root and runs in mount and network namespaces of its own.
 */
#ifndef IPN_TEST_FABRIC_H
#define IPN_TEST_FABRIC_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/kernel/bpf.h"
#include "manager/kernel/link.h"

#define LOG_SLOTS 8 /* of every log, unless a test makes its own */
#define FRAME_MAX 70000
#define MSEC 1000000ULL
#define SEC (1000 * MSEC)

struct t_log {
	int fd;
	__u32 log_class;
	const __u8 *base;
	size_t size;
	__u64 next; /* number of the next message, as far as the test knows */
};

struct t_net {
	__u32 id;
	struct ipn_net_fast *live;
	struct t_log log;
};

struct t_port {
	struct t_net *net;
	struct ipn_port_in in;
	struct ipn_stats want; /* counters that it must have */
	struct t_log log;
	int tap;                   /* -1: none */
	int sock, sock_end;        /* sock port: the program's socket, and the fabric's; else -1 */
	__u64 sock_key;            /* in `sk_ports` */
	bool vnet;                 /* the tap wants and gives a virtio header before each frame */
	struct virtio_net_hdr hdr; /* of the last frame read */
	int bell;
	struct ipn_page *page;
	struct ring_buffer *ring;
	int wakes;             /* WAKE records taken out of the bell */
	struct ipn_event last; /* record of another type */
};

/* The punt ring, as the manager's thread has it. */
struct t_punt {
	struct ring_buffer *ring;
	struct ipn_punt_acct *acct;
	__u64 taken; /* records, ever */
	struct ipn_punt rec;
	__u8 data[IPN_SOCK_FRAME_MAX];
};

struct fabric {
	struct bpf_state *b;
	struct t_punt punt;
	struct link_ctx *link;
	char dir[200];
	char bpffs[256];
	struct t_net nets[4];
	struct t_port ports[16];
	__u32 nnets, nports, next_base;
};
static struct fabric fab;

#define assert_ok(x)                                                            \
	do {                                                                    \
		int ok_ = (x);                                                  \
		if (ok_)                                                        \
			fail_msg("%s: %d, errno %s", #x, ok_, strerror(errno)); \
	} while (0)

/* --- the world ----------------------------------------------------------------------------- */

static inline void sysctl_set(const char *path, const char *value)
{
	FILE *f = fopen(path, "we");

	if (f) { /* not there: nothing to turn off */
		fputs(value, f);
		fclose(f);
	}
}

/* Takes one record out. */
static inline int punt_record(void *ctx, void *data, size_t size)
{
	const struct ipn_punt *rec = data;
	struct t_punt *p = ctx;

	if (size < sizeof(*rec) || rec->len > size - sizeof(*rec) || rec->len > sizeof(p->data) ||
	    rec->node >= IPN_MAX_NODES)
		return -EINVAL;
	p->rec = *rec;
	memcpy(p->data, rec + 1, rec->len);
	p->taken++;
	__atomic_fetch_add(&p->acct[rec->node].done, rec->size, __ATOMIC_RELAXED);
	return -EAGAIN; /* enough for now */
}

/* The next record into fab.punt. Is there one? */
static inline bool punt_next(void)
{
	int r = ring_buffer__consume(fab.punt.ring);

	if (r && r != -EAGAIN)
		fail_msg("a record that is none: %d", r);
	return r;
}

static inline void punt_open(void)
{
	void *acct = mmap(NULL, sizeof(*fab.punt.acct) * IPN_MAX_NODES, PROT_READ | PROT_WRITE,
			  MAP_SHARED, fab.b->fd_punt_acct, 0);

	assert_ptr_not_equal(acct, MAP_FAILED);
	fab.punt.acct = acct;
	fab.punt.ring = ring_buffer__new(fab.b->fd_punt, punt_record, &fab.punt, NULL);
	assert_non_null(fab.punt.ring);
}

static inline void punt_close(void)
{
	ring_buffer__free(fab.punt.ring);
	if (fab.punt.acct)
		munmap(fab.punt.acct, sizeof(*fab.punt.acct) * IPN_MAX_NODES);
}

/* Group set-up: namespaces, bpffs, programs. */
static inline int world_make(void **state)
{
	const char *tmp = getenv("IPN_TEST_TMP");
	struct errtext e = { "" };

	(void)state;
	assert_ok(unshare(CLONE_NEWNS | CLONE_NEWNET));
	assert_ok(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	sysctl_set("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	snprintf(fab.dir, sizeof(fab.dir), "%s/bpf.XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(fab.dir));
	assert_ok(mount("bpf", fab.dir, "bpf", 0, "mode=0700"));
	snprintf(fab.bpffs, sizeof(fab.bpffs), "%s", fab.dir);
	assert_ok(bpf_dir_make(fab.bpffs, &e));
	if (bpf_state_new(&fab.b, fab.bpffs, &e))
		fail_msg("%s", e.text);
	assert_ok(link_ctx_new(&fab.link, 0x49504e));
	punt_open();
	return 0;
}

static inline void log_close(struct t_log *log)
{
	if (!log->base)
		return;
	munmap((void *)log->base, log->size);
	close(log->fd);
	memset(log, 0, sizeof(*log));
}

/* An entry of the switch's table, put there past it: it is to look there again. */
static inline void fdb_set(const struct ipn_fdb_key *key, const struct ipn_fdb *e)
{
	assert_ok(bpf_map_update_elem(fab.b->fd_fdb, key, e, BPF_ANY));
	bpf_epoch(fab.b, key->net);
}

/* A switch saw this address at this port just now. */
static inline void fdb_learn(const struct t_net *net, const __u8 *mac, const struct t_port *p)
{
	struct ipn_fdb e = { .port = p->in.number, .gen = p->in.gen };
	struct ipn_fdb_key key = { .net = net->id };
	struct timespec ts;

	memcpy(key.mac, mac, sizeof(key.mac));
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	e.seen = (__u64)ts.tv_sec * SEC + (__u64)ts.tv_nsec;
	fdb_set(&key, &e);
}

static inline void sock_unmake(struct t_port *p)
{
	if (p->sock_end < 0)
		return;
	bpf_map_delete_elem(fab.b->fd_sk_ports, &p->sock_key);
	bpf_map_delete_elem(fab.b->fd_socks, &p->in.node);
	close(p->sock);
	close(p->sock_end);
}

/* Takes all networks and ports away. */
static inline int fabric_clear(void **state)
{
	struct ipn_port_out none = { 0 };

	(void)state;
	while (punt_next()) /* what a test that failed has left */
		;
	for (__u32 i = 0; i < fab.nports; i++) {
		struct t_port *p = &fab.ports[i];
		__u32 at = p->net->live->port_base + p->in.number, flood = 0;
		__u32 flood_at = p->net->live->port_base + p->in.flood_at;

		bpf_map_delete_elem(fab.b->fd_port_in, &p->in.ifindex);
		bpf_map_update_elem(fab.b->fd_port_out, &at, &none, BPF_ANY);
		bpf_map_update_elem(fab.b->fd_flood_list, &flood_at, &flood, BPF_ANY);
		bpf_stats_zero(fab.b, p->in.node);
		log_close(&p->log);
		ring_buffer__free(p->ring);
		close(p->bell);
		munmap(p->page, sizeof(*p->page));
		if (p->tap >= 0)
			close(p->tap);
		sock_unmake(p);
	}
	for (__u32 i = 0; i < fab.nnets; i++) {
		*fab.nets[i].live = (struct ipn_net_fast){ .epoch = fab.nets[i].live->epoch };
		log_close(&fab.nets[i].log);
	}
	memset(fab.ports, 0, sizeof(fab.ports));
	memset(fab.nets, 0, sizeof(fab.nets));
	fab.nports = fab.nnets = 0;
	fab.next_base = 0;
	return 0;
}

static inline int world_end(void **state)
{
	(void)state;
	punt_close();
	if (fab.b) {
		bpf_state_unpin(fab.b);
		bpf_state_free(fab.b);
	}
	link_ctx_free(fab.link);
	umount2(fab.dir, MNT_DETACH);
	rmdir(fab.dir);
	return 0;
}

/* --- logs ---------------------------------------------------------------------------------- */

static inline void log_map(struct t_log *log, __u32 log_class, int fd, __u32 slots, int prot)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	assert_true(fd >= 0);
	log->fd = fd;
	log->log_class = log_class;
	log->next = 0;
	log->size = ((size_t)ipn_slot_size(log_class) * (slots + 1) + page - 1) / page * page;
	p = mmap(NULL, log->size, prot, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	log->base = p;
}

/* A log as the manager makes it, at `index` of the maps of logs. */
static inline void log_make(struct t_log *log, __u32 log_class, __u32 index)
{
	log_map(log, log_class, bpf_log_new(log_class, LOG_SLOTS), LOG_SLOTS, PROT_READ);
	assert_ok(bpf_log_set(fab.b, log_class, index, log->fd));
}

static inline const struct ipn_slot *log_slot(const struct t_log *log, __u64 n)
{
	size_t at = 1 + (n & (LOG_SLOTS - 1));

	return (const void *)(log->base + at * ipn_slot_size(log->log_class));
}

static inline __u64 log_head(const struct t_log *log)
{
	return ((const struct ipn_log_head *)log->base)->head;
}

/* The next message of the log is this one, and it is the last. */
static inline void log_expect(struct t_log *log, __u32 src, const void *data, __u32 len)
{
	const struct ipn_slot *slot = log_slot(log, log->next);

	assert_int_equal(log_head(log), log->next + 1);
	assert_int_equal(slot->seq, log->next + 1);
	assert_int_equal(slot->len, len);
	assert_int_equal(slot->src, src);
	assert_memory_equal(slot->data, data, len);
	log->next++;
}

static inline void log_expect_nothing(const struct t_log *log)
{
	if (log->base)
		assert_int_equal(log_head(log), log->next);
}

/* --- networks and ports -------------------------------------------------------------------- */

static inline struct t_net *net_make(__u32 policy, __u32 mtu, __u32 numnodes)
{
	struct t_net *net = &fab.nets[fab.nnets++];

	assert_true(fab.nnets <= ARRAY_SIZE(fab.nets));
	if (!fab.next_base)
		fab.next_base = 1000;
	net->id = 200 + 7 * fab.nnets;
	net->live = &fab.b->net_fast[net->id];
	*net->live = (struct ipn_net_fast){
		.epoch = net->live->epoch + 1, /* ports have the same gen in each world */
		.policy = policy,
		.mtu = mtu,
		.numnodes = numnodes,
		.port_base = fab.next_base,
		.log_class = ipn_log_class_of(mtu),
		.log_mask = LOG_SLOTS - 1,
	};
	fab.next_base += numnodes;
	log_make(&net->log, net->live->log_class, IPN_LOG_OF_NET(net->id));
	return net;
}

static inline bool port_is_device(const struct t_port *p)
{
	return p->in.kind != IPN_KIND_PROC && p->in.kind != IPN_KIND_SOCK;
}

static inline __u32 port_at(const struct t_port *p)
{
	return p->net->live->port_base + p->in.number;
}

/* Writes what the port is into the maps that programs read. */
static inline void port_store(const struct t_port *p)
{
	const struct ipn_port_out dest = {
		.kind = p->in.kind,
		.flags = p->in.flags,
		.ifindex = p->in.ifindex,
		.node = p->in.node,
		.gen = p->in.gen,
	};
	__u32 at = port_at(p), flood = p->net->live->port_base + p->in.flood_at, entry = at + 1;

	assert_ok(bpf_map_update_elem(fab.b->fd_port_in, &p->in.ifindex, &p->in, BPF_ANY));
	assert_ok(bpf_map_update_elem(fab.b->fd_port_out, &at, &dest, BPF_ANY));
	if (port_is_device(p))
		assert_ok(bpf_map_update_elem(fab.b->fd_flood_list, &flood, &entry, BPF_ANY));
}

static inline void port_out_set_kind(const struct t_port *p, __u32 kind)
{
	struct ipn_port_out dest;
	__u32 at = port_at(p);

	assert_ok(bpf_map_lookup_elem(fab.b->fd_port_out, &at, &dest));
	dest.kind = kind;
	assert_ok(bpf_map_update_elem(fab.b->fd_port_out, &at, &dest, BPF_ANY));
}

static inline int bell_record(void *ctx, void *data, size_t size)
{
	const struct ipn_event *event = data;
	struct t_port *p = ctx;

	if (size != sizeof(*event))
		return -EINVAL;
	if (event->type == IPN_EVENT_WAKE && !event->arg)
		p->wakes++;
	else
		p->last = *event;
	return 0;
}

/* Records of the bell since the last call. */
static inline int bell_wakes(struct t_port *p)
{
	p->wakes = 0;
	assert_true(ring_buffer__consume(p->ring) >= 0);
	return p->wakes;
}

#define PROC_FLAGS (IPN_PF_READER | IPN_PF_WRITER | IPN_PF_NODELOG)
#define DEVICE_FLAGS (IPN_PF_READER | IPN_PF_WRITER | IPN_PF_UP)
#define SOCK_FLAGS (IPN_PF_READER | IPN_PF_WRITER)

static inline __u32 flags_of(enum ipn_kind kind)
{
	return kind == IPN_KIND_PROC   ? PROC_FLAGS
	       : kind == IPN_KIND_SOCK ? SOCK_FLAGS
				       : DEVICE_FLAGS;
}

static inline __u32 node_next(void)
{
	return 11 + 3 * fab.nports;
}

/* A port at an interface that there is. tap: its descriptor, or -1; it belongs to the port. */
static inline struct t_port *port_make_at(struct t_net *net, __u32 number, enum ipn_kind kind,
					  int tap, __u32 ifindex)
{
	struct t_port *p = &fab.ports[fab.nports];
	__u32 node = node_next();
	int page;

	assert_true(++fab.nports <= ARRAY_SIZE(fab.ports));
	p->net = net;
	p->tap = tap;
	p->sock = p->sock_end = -1;
	p->in = (struct ipn_port_in){
		.net = net->id,
		.number = number,
		.kind = kind,
		.flags = flags_of(kind),
		.policy = net->live->policy,
		.mtu = net->live->mtu,
		.node = node,
		.gen = 5000 + node,
		.ifindex = ifindex,
	};
	assert_ok(bpf_nodes_fresh(fab.b, &node, 1));
	page = bpf_inner_get(fab.b->fd_pages, node);
	p->page = mmap(NULL, sizeof(*p->page), PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
	assert_true(page >= 0 && p->page != MAP_FAILED);
	close(page);
	p->bell = bpf_inner_get(fab.b->fd_bells, node);
	assert_true(p->bell >= 0);
	p->ring = ring_buffer__new(p->bell, bell_record, p, NULL);
	assert_non_null(p->ring);
	if (kind == IPN_KIND_PROC) {
		net->live->readers++;
		log_make(&p->log, net->live->log_class, IPN_LOG_OF_NODE(node));
	} else if (kind == IPN_KIND_SOCK) {
		net->live->socks++;
	} else {
		p->in.flood_at = net->live->flood_len++;
	}
	port_store(p);
	assert_ok(bpf_stats_zero(fab.b, node));
	return p;
}

/* The fabric's socket into the map, then whose messages come to it: in the manager's order. */
static inline void sock_join(struct t_port *p)
{
	struct ipn_sk entry = { .ifindex = p->in.ifindex, .policy = p->in.policy };
	struct ipn_sk_query look = { .node = p->in.node };
	__u64 fd = (__u64)p->sock_end;

	assert_ok(bpf_map_update_elem(fab.b->fd_socks, &p->in.node, &fd, BPF_ANY));
	assert_ok(bpf_socks_query(fab.b, &look, 1));
	assert_true(look.peer);
	assert_int_equal(look.uid, 0);
	assert_int_equal(look.dead, 0);
	p->sock_key = look.peer;
	assert_ok(bpf_map_update_elem(fab.b->fd_sk_ports, &p->sock_key, &entry, BPF_NOEXIST));
}

/* A sock port: a connected pair of sockets. */
static inline struct t_port *sock_make(struct t_net *net, __u32 number)
{
	struct t_port *p =
		port_make_at(net, number, IPN_KIND_SOCK, -1, IPN_SOCK_IFINDEX(node_next()));
	int pair[2], size = 1 << 20;

	assert_ok(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair));
	p->sock = pair[0];
	p->sock_end = pair[1];
	assert_ok(setsockopt(p->sock_end, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
	sock_join(p);
	return p;
}

/* A port with a tap or sockets of its own. */
static inline struct t_port *port_make(struct t_net *net, __u32 number, enum ipn_kind kind)
{
	__u32 ifindex;
	char name[IPN_NAME_MAX];
	int tap;

	if (kind == IPN_KIND_SOCK)
		return sock_make(net, number);
	assert_ok(link_tap_proc(fab.link, "t%d", net->live->mtu - 14, &tap, &ifindex, name));
	return port_make_at(net, number, kind, tap, ifindex);
}

/* --- running programs ---------------------------------------------------------------------- */

/* What came out of a program. */
struct ran {
	__u32 ret;
	__u32 mark;
	__u32 meta; /* bytes of metadata, at the start of data */
	__u32 len;  /* bytes of the frame, after the metadata */
	__u8 data[FRAME_MAX];
};

/* Runs a program of the XDP hook; `meta` bytes of `frame` are metadata. 0 or -errno. */
static inline int xdp_run(int prog, __u32 ifindex, const void *frame, __u32 len, __u32 meta,
			  struct ran *r)
{
	struct xdp_md in = { .data = meta, .data_end = len, .ingress_ifindex = ifindex };
	struct xdp_md out = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = len, .ctx_in = &in,
		    .ctx_size_in = sizeof(in), .data_out = r->data, .data_size_out = FRAME_MAX,
		    .ctx_out = &out, .ctx_size_out = sizeof(out), .repeat = 1);

	if (bpf_prog_test_run_opts(prog, &opts))
		return -errno;
	r->ret = opts.retval;
	r->meta = out.data;
	r->len = opts.data_size_out - r->meta;
	return 0;
}

/* Runs a program of the tc hook. skb: ifindex, mark, gso_size, ... as it comes in. 0 or -errno. */
static inline int tc_run(int prog, const struct __sk_buff *skb, const void *frame, __u32 len,
			 struct ran *r)
{
	struct __sk_buff out = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = len, .ctx_in = skb,
		    .ctx_size_in = sizeof(*skb), .data_out = r->data, .data_size_out = FRAME_MAX,
		    .ctx_out = &out, .ctx_size_out = sizeof(out), .repeat = 1);

	if (bpf_prog_test_run_opts(prog, &opts))
		return -errno;
	r->ret = opts.retval;
	r->mark = out.mark;
	r->meta = 0;
	r->len = opts.data_size_out;
	return 0;
}

/* For bytes written as a string: its final NUL is none of them. */
static inline void put_bytes(void *to, const void *bytes, size_t n)
{
	memcpy(to, bytes, n);
}

/* Bytes that differ from place to place and from message to message. */
static inline void fill(void *to, __u32 len, __u32 seed)
{
	__u8 *p = to;

	for (__u32 i = 0; i < len; i++)
		p[i] = (__u8)(seed * 37 + i + (i >> 8) * 13);
}

/* Puts the private header of a process before a message. Returns the length of both. */
static inline __u32 frame_of(__u8 *frame, __u8 op, const void *message, __u32 len)
{
	struct ipn_tx_hdr hdr = {
		.magic = { 'I', 'P', 'N', 1 },
		.op = op,
		.proto = { IPN_TX_PROTO >> 8, IPN_TX_PROTO & 0xff },
	};

	memcpy(frame, &hdr, sizeof(hdr));
	if (len)
		memcpy(frame + sizeof(hdr), message, len);
	return sizeof(hdr) + len;
}

/* A control frame of a process. Returns what the program returned. */
static inline __u32 control(const struct t_port *p, __u8 op)
{
	static struct ran r;
	__u8 frame[IPN_TX_HDR];

	frame_of(frame, op, NULL, 0);
	assert_ok(xdp_run(fab.b->prog_xdp, p->in.ifindex, frame, sizeof(frame), 0, &r));
	return r.ret;
}

/* What a process does that goes to sleep. */
static inline void fall_asleep(const struct t_port *p)
{
	p->page->sleep = 1;
	if (!p->page->armed)
		assert_int_equal(control(p, IPN_TX_SLEEP), XDP_DROP);
	assert_true(p->page->armed);
}

static inline bool sleep_bit(const struct t_port *p)
{
	return p->net->live->sleep[p->in.number / 64] & 1ULL << (p->in.number % 64);
}

/* The next frame that a device was sent: its length, or -1 for none. */
static inline ssize_t tap_read(struct t_port *p, void *frame, size_t size)
{
	const struct iovec parts[] = { { &p->hdr, sizeof(p->hdr) }, { frame, size } };
	ssize_t n;

	if (p->tap < 0)
		return -1;
	if (!p->vnet)
		return read(p->tap, frame, size);
	n = readv(p->tap, parts, 2);
	return n < 0 ? n : n - (ssize_t)sizeof(p->hdr);
}

#define SOCK_WAIT_MS 20000 /* for the kernel's worker, however busy the machine is */

/* A sock port's program sends. Programs run in here. */
static inline void sock_send(const struct t_port *p, const void *message, __u32 len)
{
	assert_int_equal(send(p->sock, message, len, MSG_DONTWAIT), len);
}

/* What a sock port's program receives: its length. Waits for it. */
static inline ssize_t sock_recv(const struct t_port *p, void *to, size_t size)
{
	struct pollfd poller = { .fd = p->sock, .events = POLLIN };

	assert_int_equal(poll(&poller, 1, SOCK_WAIT_MS), 1);
	return recv(p->sock, to, size, MSG_DONTWAIT | MSG_TRUNC);
}

/* Is there something to receive already? */
static inline bool sock_has(const struct t_port *p)
{
	struct pollfd poller = { .fd = p->sock, .events = POLLIN };

	return p->sock >= 0 && poll(&poller, 1, 0) > 0;
}

/* --- what must have come of it ------------------------------------------------------------- */

static inline void stats_expect(const struct t_port *p)
{
	struct ipn_stats got;

	assert_ok(bpf_stats_get(fab.b, p->in.node, &got));
	assert_int_equal(got.in_packets, p->want.in_packets);
	assert_int_equal(got.in_bytes, p->want.in_bytes);
	assert_int_equal(got.out_packets, p->want.out_packets);
	assert_int_equal(got.out_bytes, p->want.out_bytes);
	for (int i = 0; i < IPN_DROP_MAX; i++)
		if (got.drop[i] != p->want.drop[i])
			fail_msg("port %u: drop reason %d counted %llu, must be %llu", p->in.number,
				 i, got.drop[i], p->want.drop[i]);
}

/* The next record of the punt ring is this. */
static inline void punt_expect(const struct t_port *from, __u32 op, __u32 port, __u32 gen,
			       const void *data, __u32 len)
{
	const struct ipn_punt *rec = &fab.punt.rec;

	assert_true(punt_next());
	assert_int_equal(rec->op, op);
	assert_int_equal(rec->net, from->net->id);
	assert_int_equal(rec->port, port);
	assert_int_equal(rec->gen, gen);
	assert_int_equal(rec->from, from->in.number);
	assert_int_equal(rec->node, from->in.node);
	assert_int_equal(rec->len, len);
	assert_true(rec->size >= sizeof(*rec) + len);
	assert_memory_equal(fab.punt.data, data, len);
}

/*
 * Counters as wanted, nothing in logs or the punt ring that nobody has looked at, no bell rung, no
 * frame or message sent.
 */
static inline void quiet_expect(void)
{
	__u8 some[64];

	assert_false(punt_next());
	for (__u32 i = 0; i < fab.nnets; i++)
		log_expect_nothing(&fab.nets[i].log);
	for (__u32 i = 0; i < fab.nports; i++) {
		struct t_port *p = &fab.ports[i];

		stats_expect(p);
		log_expect_nothing(&p->log);
		assert_int_equal(bell_wakes(p), 0);
		assert_int_equal(tap_read(p, some, sizeof(some)), -1);
		assert_false(sock_has(p));
	}
}

/* --- numbers by chance --------------------------------------------------------------------- */

static __u64 random_state;

static inline __u64 number_of(const char *variable, __u64 otherwise)
{
	const char *s = getenv(variable);

	return s ? strtoull(s, NULL, 10) : otherwise;
}

/* The same numbers from here on for the same seed: that variable's, or `otherwise`. */
static inline void random_begin(const char *variable, __u64 otherwise)
{
	random_state = number_of(variable, otherwise) * 2654435761U + 1;
}

static inline __u32 rnd(__u32 below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (__u32)(random_state >> 16) % below;
}

#define TEST(name) cmocka_unit_test_teardown(name, fabric_clear)

#define FABRIC_MAIN(tests)                                                   \
	int main(void)                                                       \
	{                                                                    \
		if (geteuid()) {                                             \
			puts("skip: needs root");                            \
			return 77;                                           \
		}                                                            \
		return cmocka_run_group_tests(tests, world_make, world_end); \
	}

#endif
