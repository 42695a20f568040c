/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fanout: one sender, or a few, to N receivers, the same measuring loop over every transport.
 *
 * The parent sends from CPU 0, the receivers are P processes on CPU 1 which hold N/P ends each. All
 * transports carry the same 64 bytes, shaped as an Ethernet frame because some of them want one: a
 * sequence number, a time stamp (paced runs only) and a check word over both, verified for each
 * message by each receiver. What a message costs beyond that belongs to the transport. More senders
 * are processes beside the parent, on its CPU; the order of each one's messages is verified.
 *
 * After a warm-up the parent takes the receivers' counters at both ends of the window: the rate is
 * what was really delivered in steady state, however much was sent. Then it waits until the queues
 * are drained and compares what was sent with what came: losses are of the entire run. A message
 * that is damaged, doubled or out of order ends the run with status 1: there is no figure then.
 *
 * Where a transport has a choice, it gets the one that was fastest for it on this machine; the
 * transports below say what was tried.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <getopt.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ipn/ipn.h>

#include "bench.h"

#define MAX_ENDS 256
#define MAX_SENDERS 8
#define BATCH 64
#define SEND_BATCH 32
#define MAX_SAMPLES (1u << 17) /* latencies kept per end */
#define QUEUE_BYTES (8 << 20)  /* receive buffer asked for, where there is one to ask for */

enum msg_type { MSG_DATA = 1, MSG_MEASURED = 2, MSG_HELLO = 3, MSG_END = 4 };

struct msg {
	uint8_t dst[6];
	uint8_t src[6];
	uint8_t proto[2];
	uint8_t type;
	uint8_t sender;
	uint64_t seq;
	uint64_t stamp;
	uint64_t fill[3];
	uint64_t check;
};
_Static_assert(sizeof(struct msg) == 64, "64 bytes on the wire");

/* What one receiving end saw. Written by its process alone. */
struct tally {
	_Atomic uint64_t got;
	uint64_t bad;
	uint64_t overruns; /* messages the transport says it lost */
	uint32_t samples;
	uint32_t pad[9];
	uint64_t next[MAX_SENDERS];
};
_Static_assert(sizeof(struct tally) % 64 == 0, "no false sharing");

struct shared {
	_Atomic int ready;
	_Atomic int stop;
	_Atomic int senders, go, halt; /* of those beside the parent: how many are ready */
	struct {
		_Atomic uint64_t sent;
		uint64_t pad[7];
	} more[MAX_SENDERS];
	struct tally tally[MAX_ENDS];
};

struct end {
	int fd;
	struct vdeconn *vde;
	bool block;
	uint8_t mac[6];
	struct tally *tally;
	uint32_t *samples;
	/* recvmmsg */
	struct mmsghdr vec[BATCH];
	struct iovec iov[BATCH];
	struct msg buf[BATCH];
	/* AF_UNIX: where to */
	struct sockaddr_un peer[MAX_ENDS];
	int peers;
};

struct arrived {
	const struct msg *msg;
	size_t len;
};

struct options {
	const char *transport;
	const char *addr; /* of the network: path, directory, multicast group */
	int ends;
	int procs;
	int senders;
	bool sleep;
	bool unicast;
	bool plain;  /* one message per receiving call */
	bool singly; /* one message per sending call */
	double rate;
	double seconds;
	double warmup;
	int rx_cpu;
};

/*
 * recv fills msgs with up to BATCH messages and returns how many, 0 if there is none now (ends that
 * do not block) or after a signal. done gives them back and returns how many of the last were
 * whole.
 * send returns 0, or -1 if the transport did not take the message. send_many returns how many of n
 * it took, or -1; NULL: the transport moves one message per call. Both kinds send n different
 * messages.
 */
struct transport {
	const char *name;
	void (*open_rx)(struct end *e, const struct options *o, int index);
	void (*open_tx)(struct end *e, const struct options *o);
	int (*recv)(struct end *e, struct arrived *msgs);
	unsigned int (*done)(struct end *e, unsigned int n);
	int (*send)(struct end *e, const struct msg *m);
	int (*send_many)(struct end *e, struct msg *m, unsigned int n);
	uint64_t (*overruns)(struct end *e);
	bool one_tx; /* all senders use what the parent has opened */
};

static struct options opt = {
	.addr = "",
	.ends = 1,
	.senders = 1,
	.procs = 0,
	.seconds = 1,
	.warmup = 0.2,
	.rx_cpu = 1,
};
static struct shared *shared;
static pid_t run_id;

static uint64_t msg_sum(const struct msg *m)
{
	return (m->seq + m->type + m->sender * 256UL) * 0x9e3779b97f4a7c15ULL ^ m->stamp ^
	       m->fill[0] ^ m->fill[1] ^ m->fill[2];
}

static void msg_init(struct msg *m, const uint8_t src[6], const uint8_t dst[6])
{
	memset(m, 0, sizeof(*m));
	memcpy(m->dst, dst, 6);
	memcpy(m->src, src, 6);
	m->proto[0] = 0x88;
	m->proto[1] = 0xb6; /* IEEE local experimental */
	memset(m->fill, 0x5a, sizeof(m->fill));
}

static void mac_of(uint8_t mac[6], int index)
{
	const uint8_t base[6] = { 0x02, 0xbe, 0, 0, (uint8_t)(index >> 8), (uint8_t)index };

	memcpy(mac, base, 6);
}

/* Sockets: recvmmsg is 5 to 25 % faster than one recv per message, with a few ends or many. */

static void mmsg_init(struct end *e)
{
	for (int i = 0; i < BATCH; i++) {
		e->iov[i] = (struct iovec){ &e->buf[i], sizeof(e->buf[i]) };
		e->vec[i].msg_hdr = (struct msghdr){ .msg_iov = &e->iov[i], .msg_iovlen = 1 };
	}
}

static int mmsg_recv(struct end *e, struct arrived *msgs)
{
	int n;

	if (opt.plain) {
		ssize_t len = recv(e->fd, e->buf, sizeof(e->buf[0]), e->block ? 0 : MSG_DONTWAIT);

		e->vec[0].msg_len = (unsigned int)len;
		n = len < 0 ? -1 : 1;
	} else {
		n = recvmmsg(e->fd, e->vec, BATCH, e->block ? MSG_WAITFORONE : MSG_DONTWAIT, NULL);
	}
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		die("receive");
	}
	for (int i = 0; i < n; i++)
		msgs[i] = (struct arrived){ &e->buf[i], e->vec[i].msg_len };
	return n;
}

static unsigned int all_whole(struct end *e, unsigned int n)
{
	(void)e;
	return n;
}

static uint64_t no_overruns(struct end *e)
{
	(void)e;
	return 0;
}

static void big_buffer(int fd)
{
	int size = QUEUE_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		die("SO_RCVBUFFORCE %d", size);
}

/* UDP multicast on lo. The receive buffer holds thousands of these messages: hardly one is lost. */

#define UDP_PORT 5151

static void udp_open_rx(struct end *e, const struct options *o, int index)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(UDP_PORT) };
	struct ip_mreqn group = { .imr_ifindex = (int)if_nametoindex("lo") };
	int one = 1;

	(void)index;
	inet_pton(AF_INET, o->addr, &sin.sin_addr);
	group.imr_multiaddr = sin.sin_addr;
	e->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (e->fd < 0 || setsockopt(e->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(e->fd, (void *)&sin, sizeof(sin)) ||
	    setsockopt(e->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)))
		die("multicast receiver %s", o->addr);
	big_buffer(e->fd);
	mmsg_init(e);
}

static void udp_open_tx(struct end *e, const struct options *o)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(UDP_PORT) };
	struct ip_mreqn iface = { .imr_ifindex = (int)if_nametoindex("lo") };

	inet_pton(AF_INET, o->addr, &sin.sin_addr);
	e->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (e->fd < 0 || setsockopt(e->fd, IPPROTO_IP, IP_MULTICAST_IF, &iface, sizeof(iface)) ||
	    connect(e->fd, (void *)&sin, sizeof(sin)))
		die("multicast sender %s", o->addr);
}

/*
 * UDP from one network namespace to another, over whatever joins them. The address is
 * SENDER-NETNS,RECEIVER-NETNS,RECEIVER-ADDRESS.
 */

struct route {
	char netns[2][64];
	struct sockaddr_in sin;
};

static void route_parse(struct route *r, const char *text)
{
	char addr[32];

	*r = (struct route){ .sin = { .sin_family = AF_INET, .sin_port = htons(UDP_PORT) } };
	errno = 0;
	if (sscanf(text, "%63[^,],%63[^,],%31s", r->netns[0], r->netns[1], addr) != 3 ||
	    inet_pton(AF_INET, addr, &r->sin.sin_addr) != 1)
		die("%s: not NETNS,NETNS,ADDRESS", text);
}

static void container_open_rx(struct end *e, const struct options *o, int index)
{
	struct route r;

	(void)index;
	route_parse(&r, o->addr);
	netns_enter(r.netns[1]);
	e->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (e->fd < 0 || bind(e->fd, (void *)&r.sin, sizeof(r.sin)))
		die("receiver %s", o->addr);
	big_buffer(e->fd);
	mmsg_init(e);
}

static void container_open_tx(struct end *e, const struct options *o)
{
	struct route r;

	route_parse(&r, o->addr);
	netns_enter(r.netns[0]);
	e->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (e->fd < 0 || connect(e->fd, (void *)&r.sin, sizeof(r.sin)))
		die("sender %s", o->addr);
}

static int sock_send(struct end *e, const struct msg *m)
{
	return send(e->fd, m, sizeof(*m), 0) == sizeof(*m) ? 0 : -1;
}

/* sendmmsg: a connected socket's peer, or the one that is named. */
static int mmsg_send(int fd, struct msg *m, unsigned int n, struct sockaddr_un *to)
{
	struct mmsghdr vec[BATCH];
	struct iovec iov[BATCH];

	for (unsigned int i = 0; i < n; i++) {
		iov[i] = (struct iovec){ &m[i], sizeof(m[i]) };
		vec[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
		if (to) {
			vec[i].msg_hdr.msg_name = to;
			vec[i].msg_hdr.msg_namelen = sizeof(*to);
		}
	}
	return sendmmsg(fd, vec, n, 0);
}

static int sock_send_many(struct end *e, struct msg *m, unsigned int n)
{
	return mmsg_send(e->fd, m, n, NULL);
}

/* AF_UNIX datagrams, sent to each receiver in turn; the sender blocks on a full queue. */

static void unix_name(struct sockaddr_un *sun, int index)
{
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	/* abstract: nothing to clean up, and private to the network namespace */
	snprintf(sun->sun_path + 1, sizeof(sun->sun_path) - 1, "fanout-%d-%d", run_id, index);
}

static void unix_open_rx(struct end *e, const struct options *o, int index)
{
	struct sockaddr_un sun;

	(void)o;
	unix_name(&sun, index);
	e->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (e->fd < 0 || bind(e->fd, (void *)&sun, sizeof(sun)))
		die("unix receiver %d", index);
	mmsg_init(e);
}

static void unix_open_tx(struct end *e, const struct options *o)
{
	e->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (e->fd < 0)
		die("unix sender");
	e->peers = o->ends;
	for (int i = 0; i < e->peers; i++)
		unix_name(&e->peer[i], i);
}

static int unix_send(struct end *e, const struct msg *m)
{
	int rc = 0;

	for (int i = 0; i < e->peers; i++)
		if (sendto(e->fd, m, sizeof(*m), 0, (void *)&e->peer[i], sizeof(e->peer[i])) !=
		    sizeof(*m))
			rc = -1;
	return rc;
}

static int unix_send_many(struct end *e, struct msg *m, unsigned int n)
{
	for (int i = 0; i < e->peers; i++) {
		unsigned int sent = 0;

		while (sent < n) {
			int r = mmsg_send(e->fd, m + sent, n - sent, &e->peer[i]);

			if (r < 0)
				return -1;
			sent += (unsigned int)r;
		}
	}
	return (int)n;
}

/*
 * AF_UNIX SOCK_SEQPACKET, a connection to each: nothing is lost, the sender waits. Several senders
 * share the connections: so a receiver has one descriptor to read, and none to choose from.
 */

static int seq_to[MAX_ENDS];

static void seq_open_rx(struct end *e, const struct options *o, int index)
{
	struct sockaddr_un sun;

	(void)o;
	unix_name(&sun, index);
	e->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (e->block ? 0 : SOCK_NONBLOCK), 0);
	if (e->fd < 0 || bind(e->fd, (void *)&sun, sizeof(sun)) || listen(e->fd, 1))
		die("seqpacket receiver %d", index);
	mmsg_init(e);
}

static int seq_recv(struct end *e, struct arrived *msgs)
{
	if (!e->peers) {
		int fd = accept4(e->fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (fd < 0)
			die("accept");
		close(e->fd);
		e->fd = fd;
		e->peers = 1;
	}
	return mmsg_recv(e, msgs);
}

static void seq_open_tx(struct end *e, const struct options *o)
{
	e->peers = o->ends;
	for (int i = 0; i < e->peers; i++) {
		struct sockaddr_un sun;

		unix_name(&sun, i);
		seq_to[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		if (seq_to[i] < 0 || connect(seq_to[i], (void *)&sun, sizeof(sun)))
			die("seqpacket sender %d", i);
	}
}

static int seq_send(struct end *e, const struct msg *m)
{
	int rc = 0;

	for (int i = 0; i < e->peers; i++)
		if (send(seq_to[i], m, sizeof(*m), MSG_NOSIGNAL) != sizeof(*m))
			rc = -1;
	return rc;
}

static int seq_send_many(struct end *e, struct msg *m, unsigned int n)
{
	for (int i = 0; i < e->peers; i++) {
		unsigned int sent = 0;

		while (sent < n) {
			int r = mmsg_send(seq_to[i], m + sent, n - sent, NULL);

			if (r < 0)
				return -1;
			sent += (unsigned int)r;
		}
	}
	return (int)n;
}

/*
 * vde_switch through libvdeplug, which moves one frame per call and blocks when sending. It is
 * opened here, so that building the benchmarks does not need it.
 */

static struct {
	struct vdeconn *(*open_real)(char *url, char *descr, int version, void *args);
	ssize_t (*recv)(struct vdeconn *conn, void *buf, size_t len, int flags);
	ssize_t (*send)(struct vdeconn *conn, const void *buf, size_t len, int flags);
	int (*datafd)(struct vdeconn *conn);
} vde;

#define VDE_INTERFACE_VERSION 1

static void vde_load(void)
{
	void *lib = dlopen("libvdeplug.so.2", RTLD_NOW);

	errno = 0;
	if (!lib)
		die("%s", dlerror());
	vde.open_real = (__typeof__(vde.open_real))dlsym(lib, "vde_open_real");
	vde.recv = (__typeof__(vde.recv))dlsym(lib, "vde_recv");
	vde.send = (__typeof__(vde.send))dlsym(lib, "vde_send");
	vde.datafd = (__typeof__(vde.datafd))dlsym(lib, "vde_datafd");
	if (!vde.open_real || !vde.recv || !vde.send || !vde.datafd)
		die("libvdeplug.so.2 lacks a function");
}

static void vde_open_end(struct end *e, const struct options *o)
{
	char url[200];

	if (!vde.open_real)
		vde_load();
	snprintf(url, sizeof(url), "vde://%s", o->addr);
	e->vde = vde.open_real(url, (char *)"fanout", VDE_INTERFACE_VERSION, NULL);
	if (!e->vde)
		die("vde_open %s", url);
	e->fd = vde.datafd(e->vde);
}

static void vde_open_rx(struct end *e, const struct options *o, int index)
{
	(void)index;
	vde_open_end(e, o);
	/* vde_recv ignores its flags */
	if (!e->block && fcntl(e->fd, F_SETFL, fcntl(e->fd, F_GETFL) | O_NONBLOCK))
		die("O_NONBLOCK");
}

static void vde_open_tx(struct end *e, const struct options *o)
{
	vde_open_end(e, o);
}

static int vde_recv_one(struct end *e, struct arrived *msgs)
{
	ssize_t n = vde.recv(e->vde, e->buf, sizeof(e->buf[0]), 0);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		die("vde_recv");
	if (n <= 0)
		return 0;
	msgs[0] = (struct arrived){ e->buf, (size_t)n };
	return 1;
}

static int vde_send_one(struct end *e, const struct msg *m)
{
	return vde.send(e->vde, m, sizeof(*m), 0) == sizeof(*m) ? 0 : -1;
}

/* The fabric through libipn: messages are sent one by one and read where they stand. */

static void ipn_open_end(struct end *e, const struct options *o)
{
	struct sockaddr_un sun = { .sun_family = AF_IPN };

	if (strlen(o->addr) >= sizeof(sun.sun_path))
		die("%s: path too long", o->addr);
	memcpy(sun.sun_path, o->addr, strlen(o->addr) + 1);
	e->fd = ipn_socket(AF_IPN, SOCK_RAW | SOCK_CLOEXEC, IPN_ANY);
	if (e->fd < 0)
		die("ipn_socket");
	if (ipn_connect(e->fd, (void *)&sun, sizeof(sun)))
		die("ipn_connect %s", o->addr);
}

static void ipn_open_rx(struct end *e, const struct options *o, int index)
{
	(void)index;
	ipn_open_end(e, o);
	if (ipn_set_wait(e->fd, e->block ? IPN_WAIT_SLEEP : IPN_WAIT_SPIN))
		die("ipn_set_wait");
}

static void ipn_open_tx(struct end *e, const struct options *o)
{
	ipn_open_end(e, o);
	/* what other senders send is for receivers, and would wait for us */
	if (o->senders > 1 && ipn_shutdown(e->fd, SHUT_RD))
		die("ipn_shutdown");
}

static int ipn_recv_views(struct end *e, struct arrived *msgs)
{
	struct ipn_view views[BATCH];
	int n = ipn_recv_peek(e->fd, views, opt.plain ? 1 : BATCH,
			      e->block ? MSG_WAITFORONE : MSG_DONTWAIT);

	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		die("ipn_recv_peek");
	}
	if (!n)
		die("ipn_recv_peek: end of file");
	for (int i = 0; i < n; i++)
		msgs[i] = (struct arrived){ views[i].data, views[i].len };
	return n;
}

static unsigned int ipn_views_done(struct end *e, unsigned int n)
{
	int whole = ipn_recv_done(e->fd, n);

	if (whole < 0)
		die("ipn_recv_done");
	return (unsigned int)whole;
}

static int ipn_send_one(struct end *e, const struct msg *m)
{
	return ipn_send(e->fd, m, sizeof(*m), 0) == sizeof(*m) ? 0 : -1;
}

static int ipn_send_many(struct end *e, struct msg *m, unsigned int n)
{
	struct iovec iov[BATCH];

	for (unsigned int i = 0; i < n; i++)
		iov[i] = (struct iovec){ &m[i], sizeof(m[i]) };
	return ipn_send_batch(e->fd, iov, n, 0);
}

static uint64_t ipn_lost(struct end *e)
{
	uint64_t n = 0;

	if (ipn_overruns(e->fd, &n))
		die("ipn_overruns");
	return n;
}

static const struct transport transports[] = {
	{ "udp", udp_open_rx, udp_open_tx, mmsg_recv, all_whole, sock_send, sock_send_many,
	  no_overruns, false },
	{ "container", container_open_rx, container_open_tx, mmsg_recv, all_whole, sock_send,
	  sock_send_many, no_overruns, false },
	{ "unix", unix_open_rx, unix_open_tx, mmsg_recv, all_whole, unix_send, unix_send_many,
	  no_overruns, false },
	{ "seqpacket", seq_open_rx, seq_open_tx, seq_recv, all_whole, seq_send, seq_send_many,
	  no_overruns, true },
	{ "vde", vde_open_rx, vde_open_tx, vde_recv_one, all_whole, vde_send_one, NULL, no_overruns,
	  false },
	{ "ipn", ipn_open_rx, ipn_open_tx, ipn_recv_views, ipn_views_done, ipn_send_one,
	  ipn_send_many, ipn_lost, false },
};
static const struct transport *tp;

/* Receivers */

struct seen {
	uint64_t seq;
	uint32_t latency;
	uint8_t type; /* 0: damaged */
	uint8_t sender;
};

/*
 * Looks at what is queued at an end and returns how many messages it was. A message read in place
 * may be overwritten while it is looked at, so nothing is counted before done() has said which
 * were whole.
 */
static unsigned int end_drain(struct end *e)
{
	struct arrived msgs[BATCH];
	struct seen seen[BATCH];
	struct tally *t = e->tally;
	unsigned int n = (unsigned int)tp->recv(e, msgs), whole;
	uint64_t got = 0, now = opt.rate && n ? now_ns() : 0, next;
	unsigned int sender = 0;

	if (!n)
		return 0;
	for (unsigned int i = 0; i < n; i++) {
		const struct msg *m = msgs[i].msg;

		if (msgs[i].len != sizeof(*m)) {
			seen[i].type = 0;
			continue;
		}
		seen[i].seq = m->seq;
		seen[i].type = msg_sum(m) == m->check ? m->type : 0;
		seen[i].sender = m->sender % MAX_SENDERS;
		seen[i].latency = (uint32_t)(now - m->stamp);
	}
	whole = tp->done(e, n);
	next = t->next[sender];
	for (unsigned int i = n - whole; i < n; i++) {
		const struct seen *s = &seen[i];

		if (s->type == MSG_END || s->type == MSG_HELLO)
			continue;
		if (s->sender != sender) {
			t->next[sender] = next;
			sender = s->sender;
			next = t->next[sender];
		}
		if (s->type == 0 || s->seq < next) {
			t->bad++;
			continue;
		}
		next = s->seq + 1;
		got++;
		if (s->type == MSG_MEASURED && opt.rate && t->samples < MAX_SAMPLES)
			e->samples[t->samples++] = s->latency;
	}
	t->next[sender] = next;
	if (got)
		atomic_store_explicit(&t->got,
				      atomic_load_explicit(&t->got, memory_order_relaxed) + got,
				      memory_order_relaxed);
	return n;
}

static void receiver(int proc, uint32_t *samples)
{
	static const uint8_t everyone[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	int each = opt.ends / opt.procs;
	struct end *ends = calloc((size_t)each, sizeof(*ends));

	if (!ends)
		die("memory");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin_cpu(opt.rx_cpu);
	for (int i = 0; i < each; i++) {
		struct end *e = &ends[i];
		int index = proc * each + i;

		e->block = opt.sleep;
		e->tally = &shared->tally[index];
		e->samples = samples + (size_t)index * MAX_SAMPLES;
		mac_of(e->mac, index + 1);
		tp->open_rx(e, &opt, index);
		if (opt.unicast) { /* so that the switch learns where we are */
			struct msg m;

			msg_init(&m, e->mac, everyone);
			m.type = MSG_HELLO;
			m.check = msg_sum(&m);
			if (tp->send(e, &m))
				die("hello");
		}
	}
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
		unsigned int n = 0;

		for (int i = 0; i < each; i++)
			n += end_drain(&ends[i]);
		/* Those that spin share a CPU: who finds nothing lets the next one look. */
		if (!n && !opt.sleep)
			sched_yield();
	}
	for (int i = 0; i < each; i++)
		ends[i].tally->overruns = tp->overruns(&ends[i]);
	_exit(0);
}

/* Sender */

struct reading {
	uint64_t time;
	uint64_t got;
	uint64_t sent;
	uint64_t cpu;  /* ns, sender and receivers */
	uint64_t busy; /* ticks, all of the machine */
};

static pid_t children[MAX_ENDS];
static pid_t others[MAX_SENDERS]; /* senders beside the parent */

static uint64_t sum_got(void)
{
	uint64_t n = 0;

	for (int i = 0; i < opt.ends; i++)
		n += atomic_load_explicit(&shared->tally[i].got, memory_order_relaxed);
	return n;
}

/* Ticks in which some CPU was not idle, from the first line of /proc/stat. */
static uint64_t busy_ticks(void)
{
	unsigned long long user, nice, sys, idle, iowait, irq, softirq;
	FILE *f = fopen("/proc/stat", "re");
	int n;

	if (!f)
		return 0;
	n = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &sys, &idle, &iowait,
		   &irq, &softirq);
	fclose(f);
	return n == 7 ? user + nice + sys + irq + softirq : 0;
}

/* What the senders beside the parent have sent. */
static uint64_t sum_more(void)
{
	uint64_t n = 0;

	for (int i = 1; i < opt.senders; i++)
		n += atomic_load_explicit(&shared->more[i].sent, memory_order_relaxed);
	return n;
}

static void read_all(struct reading *r, uint64_t sent)
{
	if (opt.rate) { /* not a part of what is timed when sending flat out */
		r->cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		for (int i = 0; i < opt.procs; i++) {
			clockid_t clock;

			if (!clock_getcpuclockid(children[i], &clock))
				r->cpu += clock_ns(clock);
		}
		r->busy = busy_ticks();
	}
	r->got = sum_got();
	r->sent = sent + sum_more();
	r->time = now_ns();
}

static void end_children(int sig)
{
	for (int i = 0; i < opt.procs; i++)
		if (children[i] > 0)
			kill(children[i], sig);
	for (int i = 1; i < opt.senders; i++)
		if (others[i] > 0)
			kill(others[i], sig);
}

/* Takes the status of one child that has ended, or returns 0. A child that failed has said why. */
static int reap(void)
{
	int status;
	pid_t pid = waitpid(-1, &status, WNOHANG);

	if (pid <= 0)
		return 0;
	for (int i = 0; i < opt.procs; i++)
		if (children[i] == pid)
			children[i] = 0;
	if (status) {
		end_children(SIGKILL);
		errno = 0;
		die("a receiver ended with status %#x", status);
	}
	return 1;
}

static uint64_t refused;
static uint32_t *send_times; /* ns, of measured messages in paced runs */
static size_t sends;

static void stamp(struct msg *m, uint64_t seq, bool measured)
{
	m->seq = seq;
	m->type = measured ? MSG_MEASURED : MSG_DATA;
	m->stamp = opt.rate ? now_ns() : 0;
	m->check = msg_sum(m);
}

static int send_failed(void)
{
	if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
		die("send");
	refused++;
	return 0;
}

/* Many messages per call, where the transport can. Returns the next sequence number. */
static uint64_t send_flat_out(struct end *tx, const struct msg *m, uint64_t seq, bool measured)
{
	struct msg many[SEND_BATCH];
	int n;

	for (int i = 0; i < SEND_BATCH; i++) {
		many[i] = *m;
		stamp(&many[i], seq + (uint64_t)i, measured);
	}
	n = tp->send_many(tx, many, SEND_BATCH);
	return seq + (uint64_t)(n < 0 ? send_failed() : n);
}

static uint64_t send_data(struct end *tx, struct msg *m, uint64_t seq, bool measured)
{
	int failed;

	stamp(m, seq, measured);
	failed = tp->send(tx, m);
	if (opt.rate && measured && sends < MAX_SAMPLES)
		send_times[sends++] = (uint32_t)(now_ns() - m->stamp);
	return seq + (uint64_t)(failed ? send_failed() : 1);
}

/* Sends until the time is over, flat out or at the rate. Returns the next sequence number. */
static uint64_t send_until(struct end *tx, struct msg *m, uint64_t seq, uint64_t until,
			   bool measured)
{
	uint64_t due = now_ns(), step = opt.rate ? (uint64_t)((double)BENCH_NS / opt.rate) : 0;

	if (!opt.rate) {
		while (now_ns() < until)
			if (tp->send_many && !opt.singly)
				seq = send_flat_out(tx, m, seq, measured);
			else
				for (int i = 0; i < SEND_BATCH; i++)
					seq = send_data(tx, m, seq, measured);
		return seq;
	}
	while ((due += step) < until) {
		struct timespec ts = { (time_t)(due / BENCH_NS), (long)(due % BENCH_NS) };

		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
			;
		seq = send_data(tx, m, seq, measured);
	}
	return seq;
}

/* One of the senders beside the parent: flat out, from go to halt. */
static void another_sender(int index, struct end *tx, const struct msg *like)
{
	struct msg m = *like;
	uint64_t seq = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!tp->one_tx) {
		tx = calloc(1, sizeof(*tx));
		if (!tx)
			die("memory");
		tx->block = true;
		tp->open_tx(tx, &opt);
	}
	m.sender = (uint8_t)index;
	atomic_fetch_add(&shared->senders, 1);
	while (!atomic_load(&shared->go))
		sleep_ns(100000);
	while (!atomic_load_explicit(&shared->halt, memory_order_relaxed)) {
		if (tp->send_many && !opt.singly)
			seq = send_flat_out(tx, &m, seq, false);
		else
			seq = send_data(tx, &m, seq, false);
		atomic_store_explicit(&shared->more[index].sent, seq, memory_order_relaxed);
	}
	_exit(refused != 0);
}

static void more_senders(struct end *tx, const struct msg *m)
{
	for (int i = 1; i < opt.senders; i++) {
		others[i] = fork();
		if (others[i] < 0)
			die("fork");
		if (!others[i])
			another_sender(i, tx, m);
	}
	for (uint64_t until = now_ns() + 10 * BENCH_NS;
	     atomic_load(&shared->senders) < opt.senders - 1;) {
		sleep_ns(1000000);
		errno = 0;
		if (now_ns() > until) {
			end_children(SIGKILL);
			die("senders are not ready after 10 s");
		}
	}
	atomic_store(&shared->go, 1);
}

static void halt_senders(void)
{
	int status;

	atomic_store(&shared->halt, 1);
	for (int i = 1; i < opt.senders; i++) {
		if (waitpid(others[i], &status, 0) != others[i] || status) {
			others[i] = 0;
			end_children(SIGKILL);
			errno = 0;
			die("a sender ended with status %#x", status);
		}
		others[i] = 0;
	}
}

/* Receivers that sleep need a message to see that it is over; a lossy network may eat a few. */
static void stop_receivers(struct end *tx, struct msg *m)
{
	uint64_t until = now_ns() + 20 * BENCH_NS;
	int left = opt.procs;

	atomic_store(&shared->stop, 1);
	m->type = MSG_END;
	m->check = msg_sum(m);
	while (left) {
		int reaped = 0;

		/* AF_UNIX says no for those who have gone already */
		(void)tp->send(tx, m);
		sleep_ns(1000000);
		while (reap())
			reaped++;
		left -= reaped;
		if (left && now_ns() > until) {
			end_children(SIGKILL);
			errno = 0;
			die("%d receivers hang", left);
		}
	}
}

static void report(const struct reading *a, const struct reading *b, uint64_t seq,
		   uint32_t *samples)
{
	uint64_t got = sum_got(), want = seq * (uint64_t)opt.ends, bad = 0, over = 0;
	double ns = (double)(b->time - a->time), sent = (double)(b->sent - a->sent);
	size_t n = 0;

	for (int i = 0; i < opt.ends; i++) {
		struct tally *t = &shared->tally[i];

		bad += t->bad;
		over += t->overruns;
		if (samples) {
			memmove(samples + n, samples + (size_t)i * MAX_SAMPLES,
				t->samples * sizeof(*samples));
			n += t->samples;
		}
	}
	errno = 0;
	if (bad || got > want)
		die("%llu of %llu messages damaged, doubled or out of order",
		    (unsigned long long)(bad ? bad : got - want), (unsigned long long)got);
	if (!sent || b->got == a->got)
		die("nothing arrived");
	printf("rate=%.0f send_ns=%.1f sent=%llu received=%llu lost=%.3f",
	       (double)(b->got - a->got) * 1e9 / ns, ns / sent, (unsigned long long)seq,
	       (unsigned long long)got, 100.0 * (double)(want - got) / (double)want);
	printf(" refused=%llu overruns=%llu", (unsigned long long)refused,
	       (unsigned long long)over);
	if (opt.rate) {
		double tick_ns = 1e9 / (double)sysconf(_SC_CLK_TCK);

		printf(" send_p50_us=%.2f send_p99_us=%.2f", quantile_us(send_times, sends, 0.5),
		       quantile_us(send_times, sends, 0.99));
		printf(" cpu_us=%.3f busy_us=%.3f p50_us=%.2f p99_us=%.2f",
		       (double)(b->cpu - a->cpu) / sent / 1e3,
		       (double)(b->busy - a->busy) * tick_ns / sent / 1e3,
		       quantile_us(samples, n, 0.5), quantile_us(samples, n, 0.99));
	}
	printf("\n");
}

static void sender(uint32_t *samples)
{
	static const uint8_t everyone[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct end *tx = calloc(1, sizeof(*tx));
	uint64_t seq = 0, last, got;
	struct reading a = { 0 }, b = { 0 };
	uint8_t mac[6], dst[6];
	struct msg m;

	if (!tx)
		die("memory");
	pin_cpu(0);
	/* the same for all: a timer that comes when it was asked to */
	prctl(PR_SET_TIMERSLACK, 1);
	tx->block = true;
	mac_of(mac, 0);
	mac_of(dst, 1);
	msg_init(&m, mac, opt.unicast ? dst : everyone);
	for (uint64_t until = now_ns() + 10 * BENCH_NS; atomic_load(&shared->ready) < opt.procs;) {
		reap();
		sleep_ns(1000000);
		errno = 0;
		if (now_ns() > until) {
			end_children(SIGKILL);
			die("receivers are not ready after 10 s");
		}
	}
	tp->open_tx(tx, &opt);
	sleep_ns(20000000);
	more_senders(tx, &m);

	seq = send_until(tx, &m, seq, now_ns() + (uint64_t)(opt.warmup * 1e9), false);
	read_all(&a, seq);
	seq = send_until(tx, &m, seq, now_ns() + (uint64_t)(opt.seconds * 1e9), true);
	read_all(&b, seq);
	halt_senders();

	do { /* until nothing has come for a while */
		last = sum_got();
		sleep_ns(100000000);
		got = sum_got();
	} while (got != last);
	stop_receivers(tx, &m);
	report(&a, &b, seq + sum_more(), samples);
}

static const char usage[] =
	"usage: fanout -t udp|unix|seqpacket|vde|ipn|container [-a ADDRESS] [-n ENDS]\n"
	"              [-p PROCESSES] [-m SENDERS]\n"
	"              [-z] [-u] [-1] [-i] [-r MESSAGES/S] [-s SECONDS] [-w WARM-UP] [-c CPU]\n"
	"  -a  multicast group, directory of the vde_switch, path of the IPN network, or\n"
	"      SENDER-NETNS,RECEIVER-NETNS,RECEIVER-ADDRESS\n"
	"  -m  so many senders, each a process; not with -u and -r\n"
	"  -z  receivers sleep when idle (one end per process); without it they spin\n"
	"  -u  unicast to the first end, which has shown its address to the switch\n"
	"  -1  one message per receiving call\n"
	"  -i  one message per sending call\n"
	"  -r  paced; without it flat out\n"
	"  -c  the CPU of the receivers, -1: any (default 1)\n";

int main(int argc, char **argv)
{
	uint32_t *samples = NULL;
	int c;

	while ((c = getopt(argc, argv, "t:a:n:p:m:zu1ir:s:w:c:")) != -1) {
		switch (c) {
		case 't':
			opt.transport = optarg;
			break;
		case 'a':
			opt.addr = optarg;
			break;
		case 'n':
			opt.ends = atoi(optarg);
			break;
		case 'p':
			opt.procs = atoi(optarg);
			break;
		case 'm':
			opt.senders = atoi(optarg);
			break;
		case 'z':
			opt.sleep = true;
			break;
		case 'u':
			opt.unicast = true;
			break;
		case '1':
			opt.plain = true;
			break;
		case 'i':
			opt.singly = true;
			break;
		case 'r':
			opt.rate = atof(optarg);
			break;
		case 's':
			opt.seconds = atof(optarg);
			break;
		case 'w':
			opt.warmup = atof(optarg);
			break;
		case 'c':
			opt.rx_cpu = atoi(optarg);
			break;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	for (size_t i = 0; opt.transport && i < sizeof(transports) / sizeof(*transports); i++)
		if (!strcmp(transports[i].name, opt.transport))
			tp = &transports[i];
	if (!opt.procs)
		opt.procs = opt.ends;
	if (!tp || optind != argc || opt.ends < 1 || opt.ends > MAX_ENDS || opt.procs < 1 ||
	    opt.ends % opt.procs || (opt.sleep && opt.procs != opt.ends) || opt.senders < 1 ||
	    opt.senders > MAX_SENDERS || (opt.senders > 1 && (opt.unicast || opt.rate)) ||
	    (opt.unicast && opt.ends != 1) || opt.seconds <= 0 || opt.rate < 0 ||
	    opt.rate * opt.seconds > MAX_SAMPLES) {
		fputs(usage, stderr);
		return 2;
	}
	shared = shared_alloc(sizeof(*shared));
	if (opt.rate) {
		samples = shared_alloc((size_t)opt.ends * MAX_SAMPLES * sizeof(*samples));
		send_times = shared_alloc(MAX_SAMPLES * sizeof(*send_times));
	}
	run_id = getpid();
	for (int i = 0; i < opt.procs; i++) {
		children[i] = fork();
		if (children[i] < 0)
			die("fork");
		if (!children[i])
			receiver(i, samples);
	}
	sender(samples);
	return 0;
}
