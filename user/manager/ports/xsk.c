// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * xsk ports: AF_XDP programs.
 *
 * A port is a veth like others; its far end is in the fabric's namespace and for one program. What
 * comes out there goes to an AF_XDP socket (bpf/hooks/xsk.bpf.c), and what is sent by that socket
 * comes out of the fabric's end and is a device's frame like any other.
 *
 *	struct xsk   of a node; from attach to detach
 *	socket       made for each holder anew, with memory of its own: who had it before may still
 *	             look into the old memory. Bound in copy mode to queue 0 of the far end
 *	holder       the session of its node; its end ends the socket, unless somebody else has the
 *	             descriptor
 *	job          makes a socket, in a thread of its user (access/work.h): pinning the memory
 *	             takes a while, and a queue that had a socket stays busy for a moment after
 *
 * A port is up while its socket is held: a flood passes it by otherwise, as a VM that does not run.
 *
 * What a holder can do to others with its rings and its memory: corrupt nothing, since the kernel
 * copies, and checks each address; the manager looks at neither. But an index of the fill ring that
 * lies makes the kernel walk up to 2^32 entries at the expense of who sends: so a holder must have
 * CAP_NET_RAW (RIGHT_XSK). What it loses is counted by the kernel and kept here when its socket
 * ends (struct ipn_xskport in map `xskports`).
 *
 * Attaching: the entry in `xskports`, then the program, whose pin can so be found by the entry.
 * Leaving is the reverse. Handing a socket out: made and bound; into the map `xsks`; the port is
 * up; the answer. If the manager dies before the last, all descriptors go and the kernel takes the
 * entry of `xsks` away. Afterwards the port goes on without a manager, and the next one finds by
 * `xsks` whether the socket is held; then it looks four times a second, as there is no session
 * that would tell of its end.
 */
#include "manager/ports/xsk.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <ipn/control.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

#include "common/clock.h"
#include "common/errtext.h"
#include "common/util.h"
#include "manager/access/work.h"
#include "manager/core/net.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/kernel/bpf.h"
#include "manager/kernel/link.h"
#include "manager/ports/device.h"
#include "manager/ports/kinds.h"

#define BUSY_US 10000000 /* how long a queue is waited for; a busy kernel frees it late */
#define BUSY_STEP_US 2000
#define CHECK_US 250000
#define TX_BUDGET 9 /* XDP_MAX_TX_SKB_BUDGET: newer than Debian 12's headers */

struct xsk_job {
	struct work work;
	/* the thread's until it is done */
	__u32 ifindex, frames, frame_size;
	int err, xsk, memory;
	bool stop; /* atomic: nobody wants it any more */

	/* the manager's */
	struct node *node;  /* NULL: gone meanwhile */
	xsk_done_fn answer; /* NULL: who asked is gone meanwhile */
	void *arg;
	__u32 pid;
};

struct xsk {
	__u32 far; /* ifindex; 0: it has come not so far */
	bool own;
	bool adopted; /* held by a socket that was handed out by the manager before */
	struct ipn_xskport info;
	int fd;    /* the socket handed out; -1: none, or adopted */
	bool held; /* by the session of its node */
	struct xsk_job *job;
};

/* --- the thread --- */

/* seccomp: manager: memfd_create ftruncate fcntl getsockopt setsockopt bind */

static int memory_make(size_t size, void **area)
{
	_cleanup_close_ int fd = memfd_create("ipn-xsk", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	*area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return *area == MAP_FAILED ? -errno : util_take_fd(&fd);
}

static int socket_bind(struct xsk_job *job, struct xsk_umem *umem)
{
	const struct xsk_socket_config config = {
		.rx_size = job->frames / 2,
		.tx_size = job->frames / 2,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP,
	};
	__u32 budget = config.tx_size;
	struct xsk_ring_cons rx = { 0 };
	struct xsk_ring_prod tx = { 0 };
	__u64 end = clock_us() + BUSY_US;
	char name[IF_NAMESIZE];
	struct xsk_socket *xsk;
	int r;

	for (;;) {
		if (!if_indextoname(job->ifindex, name))
			return -ENODEV;
		r = xsk_socket__create(&xsk, name, 0, umem, &rx, &tx, &config);
		if (r != -EBUSY || clock_us() > end ||
		    __atomic_load_n(&job->stop, __ATOMIC_RELAXED))
			break;
		usleep(BUSY_STEP_US);
	}
	if (r)
		return r;
	job->xsk = fcntl(xsk_socket__fd(xsk), F_DUPFD_CLOEXEC, 0);
	r = job->xsk < 0 ? -errno : 0;
	/* fewer system calls for a sender; kernels that have it not take 32 frames a call */
	if (!r)
		(void)setsockopt(job->xsk, SOL_XDP, TX_BUDGET, &budget, sizeof(budget));
	xsk_socket__delete(xsk); /* what libxdp has mapped, and its descriptor */
	return r;
}

/*
 * Half of the frames, so that nothing is lost before the holder has looked at its rings. It is told
 * in control.h which.
 */
static void fill_half(const struct xsk_job *job, struct xsk_ring_prod *fill)
{
	__u32 n = job->frames / 2, at = 0;

	n = xsk_ring_prod__reserve(fill, n, &at);
	for (__u32 i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(fill, at + i) = (__u64)i * job->frame_size;
	xsk_ring_prod__submit(fill, n);
}

static int job_make(struct xsk_job *job)
{
	const struct xsk_umem_config config = {
		.fill_size = job->frames,
		.comp_size = job->frames,
		.frame_size = job->frame_size,
	};
	size_t size = (size_t)job->frames * job->frame_size;
	struct xsk_ring_prod fill = { 0 }; /* libxdp leaves the first index as it is */
	struct xsk_ring_cons comp = { 0 };
	struct xsk_umem *umem;
	void *area;
	int r;

	job->memory = r = memory_make(size, &area);
	if (r < 0)
		return r;
	r = xsk_umem__create(&umem, area, size, &fill, &comp, &config);
	if (!r) {
		fill_half(job, &fill);
		r = socket_bind(job, umem);
		xsk_umem__delete(umem);
	}
	munmap(area, size);
	return r;
}

static void job_run(struct work *w)
{
	struct xsk_job *job = (struct xsk_job *)w;

	job->err = job_make(job);
}

/* --- its beginning and end --- */

static void job_free(struct xsk_job *job)
{
	if (job->xsk >= 0)
		close(job->xsk);
	if (job->memory >= 0)
		close(job->memory);
	free(job);
}

static void fill_reply(const struct node *node, struct ipn_ctl_xsk *out)
{
	const struct xsk *x = node->xsk;

	*out = (struct ipn_ctl_xsk){
		.port = node->in.number,
		.ifindex = x->far,
		.frames = x->info.frames,
		.frame_size = x->info.frame_size,
		.rx = x->info.frames / 2,
		.tx = x->info.frames / 2,
		.fill = x->info.frames,
		.completion = x->info.frames,
		.mtu = node->net->info.mtu,
	};
	memcpy(out->name, node->in.name, sizeof(out->name));
}

static void pid_set(struct node *node, __u32 pid)
{
	node->info.pid = pid;
	node_info_store(node);
}

static int xsk_check_held(struct node *node);

/* The socket is there: the port is the session's from here on. */
static int hand_out(struct xsk_job *job, struct node *node)
{
	struct bpf_state *b = node->net->f->bpf;
	struct xsk *x = node->xsk;

	if (bpf_map_update_elem(b->fd_xsks, &node->in.node, &job->xsk, BPF_ANY))
		return -errno;
	x->fd = job->xsk;
	job->xsk = -1;
	x->held = true;
	pid_set(node, job->pid);
	return xsk_check_held(node);
}

static void on_done(struct work *w)
{
	struct xsk_job *job = (struct xsk_job *)w;
	struct node *node = job->node;
	struct ipn_ctl_xsk reply;
	struct errtext e = { "" };
	int r = job->err, fds[2];

	if (node)
		node->xsk->job = NULL;
	if (!job->answer) {
		job_free(job);
		return;
	}
	if (!node)
		r = err_text(&e, -ENOENT, "the port was taken away");
	else if (r == -EBUSY)
		err_text(
			&e, r,
			"%s: a program still holds the last AF_XDP socket of it (end that program, "
			"or detach port %u and attach it anew)",
			node->in.name, node->in.number);
	else if (r)
		err_text(&e, r, "%s: cannot make an AF_XDP socket: %s", node->in.name,
			 strerror(-r));
	if (!r)
		r = hand_out(job, node);
	if (r) {
		job->answer(job->arg, NULL, r, &e, NULL, 0, NULL, 0);
	} else {
		fill_reply(node, &reply);
		fds[0] = node->xsk->fd;
		fds[1] = job->memory;
		job->answer(job->arg, node, 0, &e, &reply, sizeof(reply), fds, 2);
	}
	job_free(job);
}

int xsk_open(struct node *node, struct user *u, __u32 pid, xsk_done_fn done, void *arg,
	     struct xsk_job **out, struct errtext *e)
{
	struct fabric *f = node->net->f;
	struct xsk *x = node->xsk;
	struct xsk_job *job;

	if (x->own)
		return err_text(
			e, -EOPNOTSUPP,
			"%s was attached with --own: open its AF_XDP socket as any other, on "
			"queue 0 of that interface",
			node->in.name);
	xsk_check_held(node);
	if (x->held || x->adopted || x->job)
		return err_text(e, -EBUSY, "%s: process %u has its AF_XDP socket", node->in.name,
				x->job ? x->job->pid : node->info.pid);
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	*job = (struct xsk_job){
		.work = { .run = job_run, .done = on_done },
		.ifindex = x->far,
		.frames = x->info.frames,
		.frame_size = x->info.frame_size,
		.xsk = -1,
		.memory = -1,
		.node = node,
		.answer = done,
		.arg = arg,
		.pid = pid,
	};
	if (!work_start(f->works, u, &job->work, false)) {
		job_free(job);
		return err_text(e, -EAGAIN, "cannot start a thread");
	}
	x->job = job;
	*out = job;
	return 0;
}

void xsk_forget(struct xsk_job *job)
{
	job->answer = NULL;
	__atomic_store_n(&job->stop, true, __ATOMIC_RELAXED);
}

/* --- what is lost --- */

/* Adds what the socket of now has lost. */
static void lost_add(const struct xsk *x, struct ipn_xskport *sum)
{
	struct xdp_statistics s = { 0 };
	socklen_t len = sizeof(s);

	if (x->fd < 0 || getsockopt(x->fd, SOL_XDP, XDP_STATISTICS, &s, &len))
		return;
	sum->full += s.rx_ring_full;
	sum->fill += s.rx_fill_ring_empty_descs;
	/* the kernel counts a frame without a place in memory as dropped, too */
	if (s.rx_dropped > s.rx_fill_ring_empty_descs)
		sum->other += s.rx_dropped - s.rx_fill_ring_empty_descs;
}

static void xsk_stats(struct node *node, struct ipn_stats *out)
{
	struct ipn_xskport sum;

	node_interface_stats(node, out);
	sum = node->xsk->info;
	lost_add(node->xsk, &sum);
	out->drop[IPN_DROP_XSK_FULL] += sum.full;
	out->drop[IPN_DROP_XSK_FILL] += sum.fill;
	out->drop[IPN_DROP_XSK_OTHER] += sum.other;
}

/* --- holders --- */

static int info_store(const struct node *node)
{
	struct xsk *x = node->xsk;

	return bpf_xskport_set(node->net->f->bpf, x->far, &x->info);
}

static bool xsk_ready(const struct node *node)
{
	const struct xsk *x = node->xsk;

	return x->own || x->held || x->adopted;
}

static int xsk_check_held(struct node *node)
{
	struct xsk *x = node->xsk;
	struct link_info link;

	if (x->adopted && !bpf_xsk_held(node->net->f->bpf, node->in.node)) {
		x->adopted = false;
		pid_set(node, 0);
	}
	return link_get(node->net->f->link, node->ifindex, &link) ? 0
								  : node_link_state(node, &link);
}

/* Takes the socket back as far as it is the manager's. */
static void socket_end(struct node *node)
{
	struct xsk *x = node->xsk;

	if (x->fd < 0)
		return;
	bpf_map_delete_elem(node->net->f->bpf->fd_xsks, &node->in.node);
	lost_add(x, &x->info);
	close(x->fd);
	x->fd = -1;
}

static void xsk_release(struct node *node)
{
	struct xsk *x = node->xsk;

	x->held = false;
	socket_end(node);
	info_store(node);
	pid_set(node, 0);
	xsk_check_held(node);
}

static int on_check(sd_event_source *source, uint64_t usec, void *arg)
{
	struct fabric *f = arg;
	struct node *node, *tmp;
	bool more = false;

	(void)usec;
	HASH_ITER(hh, f->nodes, node, tmp) {
		if (!node->xsk || !node->xsk->adopted)
			continue;
		xsk_check_held(node);
		more |= node->xsk->adopted;
	}
	if (!more)
		return 0;
	sd_event_source_set_time_relative(source, CHECK_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int xsk_watch(struct fabric *f)
{
	int r = sd_event_add_time_relative(f->event, NULL, CLOCK_MONOTONIC, 0, CHECK_US / 4,
					   on_check, f);

	return r < 0 ? r : 0;
}

/* --- ports --- */

static int check_sizes(const struct net *net, struct node_want *want, struct errtext *e)
{
	__u32 room;

	if (!want->frames)
		want->frames = IPN_XSK_FRAMES_DEFAULT;
	if (!want->frame_size)
		want->frame_size = IPN_XSK_FRAME_SMALL;
	if (want->frames < IPN_XSK_FRAMES_MIN || want->frames > IPN_XSK_FRAMES_MAX ||
	    (want->frames & (want->frames - 1)))
		return err_text(e, -EINVAL, "%u frames: not a power of two from %u to %u",
				want->frames, IPN_XSK_FRAMES_MIN, IPN_XSK_FRAMES_MAX);
	if (want->frame_size != IPN_XSK_FRAME_SMALL && want->frame_size != IPN_XSK_FRAME_LARGE)
		return err_text(e, -EINVAL, "frames of %u bytes: only %u or %u", want->frame_size,
				IPN_XSK_FRAME_SMALL, IPN_XSK_FRAME_LARGE);
	room = want->own ? IPN_XSK_MTU_MAX : want->frame_size - IPN_XSK_HEADROOM;
	if (room > IPN_XSK_MTU_MAX)
		room = IPN_XSK_MTU_MAX;
	if (net->info.mtu <= room)
		return 0;
	return err_text(e, -EINVAL, "%s has an MTU of %u, %s takes frames of %u bytes at most%s",
			net->info.path, net->info.mtu,
			want->own ? "an AF_XDP port" : "an AF_XDP port with such frames", room,
			want->frame_size == IPN_XSK_FRAME_SMALL && !want->own &&
					net->info.mtu <= IPN_XSK_MTU_MAX
				? " (give --frame-size 4096)"
				: "");
}

static int xsk_new(struct node *node, struct xsk **out)
{
	struct xsk *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->fd = -1;
	x->own = node->in.flags & IPN_PF_OWN;
	node->xsk = *out = x;
	return 0;
}

static int xsk_make(struct node *node, const struct node_want *want, struct errtext *e)
{
	struct xsk *x;
	int r = xsk_new(node, &x);

	if (r)
		return r;
	x->info.node = node->in.node;
	x->info.frames = want->frames;
	x->info.frame_size = want->frame_size;
	r = link_xsk(node->net->f->link, FAB_VETH, want->name, net_device_mtu(node->net),
		     &node->ifindex, &x->far);
	x->info.ifindex = node->ifindex;
	if (r)
		return device_make_failed(r, want, e);
	node->in.flags |= x->own ? IPN_PF_UP : 0;
	return 0;
}

static int xsk_begin(struct node *node)
{
	struct xsk *x = node->xsk;
	int r;

	if (x->own)
		return 0;
	r = info_store(node);
	return r ? r : bpf_attach_xsk(node->net->f->bpf, x->far);
}

static int xsk_attach(struct node *node)
{
	struct bpf_state *b = node->net->f->bpf;

	/* what another program does at the far end, nobody knows: no road to it from XDP */
	if (node->xsk->own)
		return bpf_attach_tc(b, node->ifindex, b->prog_tc);
	return bpf_attach_xsk_near(b, node->ifindex);
}

static int xsk_take_over(struct node *node)
{
	struct bpf_state *b = node->net->f->bpf;
	struct link_info far;
	struct xsk *x;
	int r = xsk_new(node, &x);

	if (!r)
		r = device_far(node, &far);
	if (r)
		return r;
	x->far = far.ifindex;
	if (x->own)
		return 0;
	r = bpf_map_lookup_elem(b->fd_xskports, &x->far, &x->info);
	if (r || x->info.node != node->in.node)
		return r ? r : -ENODEV;
	node->memory = (size_t)x->info.frames * x->info.frame_size;
	x->adopted = bpf_xsk_held(b, node->in.node);
	if (!x->adopted)
		node->info.pid = 0;
	return 0;
}

static void far_end(struct bpf_state *b, __u32 far)
{
	bpf_detach(b, far);
	bpf_xskport_del(b, far);
}

static void xsk_free(struct node *node)
{
	struct xsk *x = node->xsk;

	if (!x)
		return;
	if (x->job) {
		x->job->node = NULL;
		__atomic_store_n(&x->job->stop, true, __ATOMIC_RELAXED);
	}
	if (x->fd >= 0)
		close(x->fd);
	free(x);
	node->xsk = NULL;
}

static void xsk_end(struct node *node, bool gone)
{
	struct xsk *x = node->xsk;

	if (!x)
		return;
	bpf_map_delete_elem(node->net->f->bpf->fd_xsks, &node->in.node);
	socket_end(node);
	if (x->far && !x->own)
		far_end(node->net->f->bpf, x->far);
	xsk_free(node);
}

int xsk_adopt_rest(struct fabric *f)
{
	int fd = f->bpf->fd_xskports, more, r;
	__u32 far, next;
	struct ipn_xskport info;

	for (more = bpf_key_next(fd, NULL, &far); more > 0; far = next) {
		struct node *node = NULL;

		more = bpf_key_next(fd, &far, &next);
		r = bpf_map_lookup_elem(fd, &far, &info);
		if (util_cannot_tell(r))
			return r;
		if (!r)
			HASH_FIND(hh, f->nodes, &info.ifindex, sizeof(info.ifindex), node);
		if (!node || !node->xsk || node->xsk->far != far)
			far_end(f->bpf, far);
	}
	return more;
}

static int xsk_check(const struct net *net, struct node_want *want, size_t *memory,
		     struct errtext *e)
{
	int r = check_sizes(net, want, e);

	if (r)
		return r;
	want->flags |= want->own ? IPN_PF_OWN : 0;
	*memory = want->own ? 0 : (size_t)want->frames * want->frame_size;
	return 0;
}

static int xsk_adopt(struct node *node)
{
	int r = xsk_take_over(node);

	if (r)
		xsk_free(node);
	return r;
}

static void xsk_reattach(struct node *node)
{
	struct bpf_state *b = node->net->f->bpf;

	if (b->abi.hook == IPN_HOOK_CLSACT)
		bpf_attach_clsact(node->ifindex, node->xsk->own ? b->prog_tc : b->prog_tc_tap);
}

const struct port_kind port_kind_xsk = {
	.kind = IPN_KIND_XSK,
	.flags = KIND_DEVICE | KIND_ATTACH,
	.check = xsk_check,
	.make = xsk_make,
	.begin = xsk_begin,
	.attach = xsk_attach,
	.stands = node_interface_stands,
	.adopt = xsk_adopt,
	.reattach = xsk_reattach,
	.ready = xsk_ready,
	.stats = xsk_stats,
	.end = xsk_end,
	.release = xsk_release,
	.let_go = xsk_free,
};
