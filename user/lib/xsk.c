// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * AF_XDP ports: the rings of a socket that the manager made.
 *
 * Four rings, each with one writer and one reader:
 *	fill        ours to the kernel   empty frames, for it to receive into
 *	rx          the kernel's to us   frames that have come
 *	tx          ours to the kernel   frames to send
 *	completion  the kernel's to us   frames that have been sent
 *
 * Order of stores. The writer of a ring writes entries (and what they point at) and then its index
 * with release; the reader loads that index with acquire before it looks at entries: so it sees
 * them whole, and the frames, too. The reader stores its own index with release when it has done
 * with entries; the writer loads that with acquire before it writes there again: so no entry is
 * overwritten that is still read. Nothing needs more than that pair, since each index has one
 * writer. Indices only grow and wrap at 2^32, which the sizes divide. A full barrier between
 * publishing in tx and looking whether the kernel must be told is not needed: in copy mode it
 * always must, and the system call that tells it is one.
 *
 * Frames. Each is in one place: free (in the stack `stack`), the kernel's to receive into (fill or
 * rx: `receiving`), the kernel's to send (tx or completion: `sending`), or the program's (`mine`).
 * A frame goes in and out of these by its number, whatever its data pointer was moved to; addresses
 * that come from the kernel are brought into range before they are used, so even a broken ring
 * leads only to wrong frames of our own. Half of the frames are kept at the kernel's receive side
 * as long as the program gives them back.
 *
 * Failure. ipn_xsk_open undoes what it did. When the port is taken away, the socket says ENETDOWN;
 * the manager's death does not matter: nothing here belongs to it.
 */
#include <ipn/xsk.h>

#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <linux/if_xdp.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "common/util.h"
#include "lib/client.h"
#include "lib/xsk_ring.h"

#define LOOK_MS 100

struct mapping {
	void *at; /* NULL: none */
	size_t len;
};

struct ipn_xsk {
	struct xsk_ring fill, rx, tx, completion;
	__u8 *area;
	__u32 frame_size, frames, mtu;
	__u32 receiving, sending;
	__u32 nfree;
	__u32 *stack; /* numbers of free frames */
	__u8 *mine;   /* by number: the program has it */
	int fd;
	int control;
	bool control_ended, gone;
	struct ipn_ctl_xsk info;
	struct mapping rings[4], memory;
};

/* --- frames --- */

static __u32 frame_of(const struct ipn_xsk *x, __u64 addr)
{
	return (__u32)(addr / x->frame_size) & (x->frames - 1);
}

static void frame_free(struct ipn_xsk *x, __u32 number)
{
	if (x->nfree < x->frames) /* it always is, but for a ring that lies */
		x->stack[x->nfree++] = number;
}

/* Number of the frame that a pointer of the program's leads into. */
static __u32 frame_at(const struct ipn_xsk *x, const struct ipn_xsk_frame *frame)
{
	return frame_of(x, (uintptr_t)frame->data - (uintptr_t)x->area);
}

/* Number of the program's frame that [data, data + len) is in; negative: it is none. */
static long frame_given(const struct ipn_xsk *x, const struct ipn_xsk_frame *frame)
{
	uintptr_t at = (uintptr_t)frame->data - (uintptr_t)x->area;
	__u32 number, in;

	if (at >= (size_t)x->frames * x->frame_size)
		return -1;
	number = frame_of(x, at);
	in = (__u32)(at & (x->frame_size - 1));
	return x->mine[number] && frame->len <= x->frame_size - in ? (long)number : -1;
}

/* Takes frames from the program: all of them or none. One by one, so that none comes in twice. */
static int frames_take(struct ipn_xsk *x, const struct ipn_xsk_frame *frames, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		long number = frame_given(x, &frames[i]);

		if (number < 0) {
			while (i--)
				x->mine[frame_at(x, &frames[i])] = 1;
			return -EINVAL;
		}
		x->mine[number] = 0;
	}
	return 0;
}

/* Frames that have been sent are free again. */
static void reap(struct ipn_xsk *x)
{
	const __u64 *addrs = x->completion.entries;
	__u32 n = ring_avail(&x->completion, x->sending);

	for (__u32 i = 0; i < n; i++)
		frame_free(x, frame_of(x, addrs[ring_index(&x->completion, i)]));
	if (n)
		ring_release(&x->completion, n);
	x->sending -= n;
}

/* Keeps half of the frames at the receive side. */
static void refill(struct ipn_xsk *x)
{
	__u32 want = x->frames / 2 > x->receiving ? x->frames / 2 - x->receiving : 0, n;
	__u64 *addrs = x->fill.entries;

	if (want > x->nfree) {
		reap(x);
		if (want > x->nfree)
			want = x->nfree;
	}
	n = want ? ring_room(&x->fill, want) : 0;
	for (__u32 i = 0; i < n; i++)
		addrs[ring_index(&x->fill, i)] = (__u64)x->stack[--x->nfree] * x->frame_size;
	if (n)
		ring_submit(&x->fill, n);
	x->receiving += n;
}

/* --- calls --- */

int ipn_xsk_recv(struct ipn_xsk *x, struct ipn_xsk_frame *frames, unsigned int n)
{
	const struct xdp_desc *descs = x->rx.entries;

	n = ring_avail(&x->rx, n < x->receiving ? n : x->receiving);
	for (unsigned int i = 0; i < n; i++) {
		const struct xdp_desc *d = &descs[ring_index(&x->rx, i)];
		__u32 number = frame_of(x, d->addr);
		__u32 in = (__u32)(d->addr & (x->frame_size - 1)), room = x->frame_size - in;

		frames[i].data = x->area + (size_t)number * x->frame_size + in;
		frames[i].room = room < x->mtu ? room : x->mtu;
		frames[i].len = d->len < room ? d->len : room;
		x->mine[number] = 1;
	}
	if (n) {
		ring_release(&x->rx, n);
		x->receiving -= n;
	}
	refill(x);
	return (int)n;
}

int ipn_xsk_alloc(struct ipn_xsk *x, struct ipn_xsk_frame *frames, unsigned int n)
{
	__u32 room = x->frame_size - IPN_XSK_HEADROOM;

	if (n > x->nfree) {
		reap(x);
		if (n > x->nfree)
			n = x->nfree;
	}
	for (unsigned int i = 0; i < n; i++) {
		__u32 number = x->stack[--x->nfree];

		/* behind as much as a received frame has before it, for headers to be put there */
		frames[i].data = x->area + (size_t)number * x->frame_size + IPN_XSK_HEADROOM;
		frames[i].room = room < x->mtu ? room : x->mtu;
		frames[i].len = 0;
		x->mine[number] = 1;
	}
	return (int)n;
}

int ipn_xsk_free(struct ipn_xsk *x, const struct ipn_xsk_frame *frames, unsigned int n)
{
	if (frames_take(x, frames, n)) {
		errno = EINVAL;
		return -1;
	}
	for (unsigned int i = 0; i < n; i++)
		frame_free(x, frame_at(x, &frames[i]));
	refill(x);
	return 0;
}

/* Tells the kernel to send what stands in tx. Stops when it does not get on. 0 or -errno. */
static int kick(struct ipn_xsk *x)
{
	__u32 before, now = __atomic_load_n(x->tx.consumer, __ATOMIC_ACQUIRE);

	while (now != x->tx.at) {
		before = now;
		if (sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN &&
		    errno != EBUSY && errno != ENOBUFS && errno != EINTR) {
			x->gone |= errno == ENXIO; /* no longer bound */
			return x->gone ? -ENETDOWN : -errno;
		}
		now = __atomic_load_n(x->tx.consumer, __ATOMIC_ACQUIRE);
		if (now == before)
			break;
	}
	return 0;
}

int ipn_xsk_send(struct ipn_xsk *x, const struct ipn_xsk_frame *frames, unsigned int n)
{
	struct xdp_desc *descs = x->tx.entries;
	int r = 0;

	n = ring_room(&x->tx, n);
	if (n < 1 || x->sending + n > x->frames) /* the second: a ring that lies */
		n = 0;
	if (frames_take(x, frames, n)) {
		errno = EINVAL;
		return -1;
	}
	for (unsigned int i = 0; i < n; i++)
		descs[ring_index(&x->tx, i)] = (struct xdp_desc){
			.addr = (__u64)((uintptr_t)frames[i].data - (uintptr_t)x->area),
			.len = frames[i].len,
		};
	if (n) {
		ring_submit(&x->tx, n);
		x->sending += n;
	}
	r = kick(x);
	reap(x);
	if (!r)
		return (int)n;
	errno = -r;
	return -1;
}

/* What is there without asking the kernel. */
static short ready(struct ipn_xsk *x, short events)
{
	short have = 0;

	if ((events & POLLIN) && ring_avail(&x->rx, 1))
		have |= POLLIN;
	if (events & POLLOUT) {
		reap(x);
		if (x->nfree && ring_room(&x->tx, 1))
			have |= POLLOUT;
	}
	return have;
}

/* Has the port been taken away? The kernel says so once, and poll() says nothing of it. */
static int gone(struct ipn_xsk *x)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (!x->gone && !getsockopt(x->fd, SOL_SOCKET, SO_ERROR, &err, &len) && err)
		x->gone = true;
	return x->gone ? -ENETDOWN : 0;
}

/*
 * Waits for the socket. The control connection ends with the port, or with the manager: without it
 * the port is looked after from time to time. 0, or -errno.
 */
static int sleep_on(struct ipn_xsk *x, short events, long ms)
{
	struct pollfd p[2] = {
		{ .fd = x->fd, .events = events },
		{ .fd = x->control_ended ? -1 : x->control, .events = POLLRDHUP },
	};

	if (x->control_ended && (ms < 0 || ms > LOOK_MS))
		ms = LOOK_MS;
	if (poll(p, 2, (int)ms) < 0)
		return -errno;
	if (p[1].revents)
		x->control_ended = true;
	return x->control_ended || (p[0].revents & (POLLERR | POLLHUP | POLLNVAL)) ? gone(x) : 0;
}

static long ms_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int ipn_xsk_wait(struct ipn_xsk *x, short events, int timeout_ms)
{
	long end = timeout_ms > 0 ? ms_now() + timeout_ms : 0, left = timeout_ms;
	int r;

	for (;;) {
		short have = ready(x, events), look = events & (POLLIN | POLLOUT);

		if (have)
			return have;
		if (timeout_ms > 0)
			left = end - ms_now();
		if (timeout_ms >= 0 && left <= 0)
			return 0;
		refill(x);
		r = kick(x);
		/* room in the ring is not what is missing: frames come back with completions */
		if (!r && (events & POLLOUT) && !x->nfree)
			r = sleep_on(x, look & (short)~POLLOUT, 1);
		else if (!r)
			r = sleep_on(x, look, left);
		if (r) {
			errno = -r;
			return -1;
		}
	}
}

int ipn_xsk_fd(const struct ipn_xsk *x)
{
	return x->fd;
}

void ipn_xsk_info(const struct ipn_xsk *x, struct ipn_xsk_info *info)
{
	*info = (struct ipn_xsk_info){
		.port = x->info.port,
		.ifindex = x->info.ifindex,
		.mtu = x->mtu,
		.frames = x->frames,
		.frame_size = x->frame_size,
	};
}

/* --- beginning and end --- */

static int mapping_make(struct mapping *m, int fd, size_t len, off_t at)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, at);

	if (p == MAP_FAILED)
		return -errno;
	m->at = p;
	m->len = len;
	return 0;
}

static int ring_map(struct xsk_ring *r, struct mapping *m, int fd, off_t page,
		    const struct xdp_ring_offset *off, __u32 size, size_t entry)
{
	int err;

	if (!size || (size & (size - 1)))
		return -EPROTO;
	err = mapping_make(m, fd, off->desc + size * entry, page);
	if (err)
		return err;
	r->producer = (void *)((__u8 *)m->at + off->producer);
	r->consumer = (void *)((__u8 *)m->at + off->consumer);
	r->entries = (__u8 *)m->at + off->desc;
	r->size = size;
	return 0;
}

static int map_all(struct ipn_xsk *x, int memory)
{
	const struct ipn_ctl_xsk *info = &x->info;
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	int r;

	if (getsockopt(x->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len))
		return -errno;
	if (len != sizeof(off))
		return -EPROTO;
	r = ring_map(&x->fill, &x->rings[0], x->fd, (off_t)XDP_UMEM_PGOFF_FILL_RING, &off.fr,
		     info->fill, sizeof(__u64));
	if (!r)
		r = ring_map(&x->completion, &x->rings[1], x->fd,
			     (off_t)XDP_UMEM_PGOFF_COMPLETION_RING, &off.cr, info->completion,
			     sizeof(__u64));
	if (!r)
		r = ring_map(&x->rx, &x->rings[2], x->fd, XDP_PGOFF_RX_RING, &off.rx, info->rx,
			     sizeof(struct xdp_desc));
	if (!r)
		r = ring_map(&x->tx, &x->rings[3], x->fd, XDP_PGOFF_TX_RING, &off.tx, info->tx,
			     sizeof(struct xdp_desc));
	if (!r)
		r = mapping_make(&x->memory, memory, (size_t)info->frames * info->frame_size, 0);
	x->area = x->memory.at;
	return r;
}

static int frames_make(struct ipn_xsk *x)
{
	const struct ipn_ctl_xsk *info = &x->info;

	x->frames = info->frames;
	x->frame_size = info->frame_size;
	x->mtu = info->mtu;
	if (x->frames < IPN_XSK_FRAMES_MIN || (x->frames & (x->frames - 1)) ||
	    x->frame_size < IPN_XSK_FRAME_SMALL || (x->frame_size & (x->frame_size - 1)))
		return -EPROTO;
	x->stack = calloc(x->frames, sizeof(*x->stack));
	x->mine = calloc(x->frames, 1);
	if (!x->stack || !x->mine)
		return -ENOMEM;
	/* the manager has given the first half to the kernel */
	x->receiving = x->fill.at = x->frames / 2;
	for (__u32 i = x->receiving; i < x->frames; i++)
		frame_free(x, i);
	return 0;
}

static int open_call(struct ipn_xsk *x, const char *path, const char *name, int *memory)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct ipn_ctl_xsk_open open = { .port = IPN_PORTNO_ANY };
	struct client_call call = {
		.type = IPN_CTL_XSK_OPEN,
		.request = &open,
		.request_len = sizeof(open),
		.fds = &fd,
		.nfds = 1,
		.reply = &x->info,
		.reply_size = sizeof(x->info),
	};
	int r;

	if (fd < 0)
		return -errno;
	if (name && util_copy(open.name, sizeof(open.name), name))
		return -ENOENT;
	x->control = client_open(NULL, NULL);
	if (x->control < 0)
		return x->control;
	r = client_call(x->control, &call);
	if (r)
		return r;
	if (call.nreply_fds > 0)
		x->fd = call.reply_fds[0];
	if (call.nreply_fds > 1)
		*memory = call.reply_fds[1];
	for (unsigned int i = 2; i < call.nreply_fds; i++)
		close(call.reply_fds[i]);
	return call.reply_len == sizeof(x->info) && call.nreply_fds == 2 ? 0 : -EPROTO;
}

struct ipn_xsk *ipn_xsk_open(const char *path, const char *name)
{
	struct ipn_xsk *x = calloc(1, sizeof(*x));
	_cleanup_close_ int memory = -1;
	int r;

	if (!x) {
		errno = ENOMEM;
		return NULL;
	}
	x->fd = x->control = -1;
	r = path ? open_call(x, path, name, &memory) : -EFAULT;
	if (!r)
		r = map_all(x, memory);
	if (!r)
		r = frames_make(x);
	if (r) {
		ipn_xsk_close(x);
		errno = -r;
		return NULL;
	}
	return x;
}

void ipn_xsk_close(struct ipn_xsk *x)
{
	int err = errno;

	if (!x)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(x->rings); i++)
		if (x->rings[i].at)
			munmap(x->rings[i].at, x->rings[i].len);
	if (x->memory.at)
		munmap(x->memory.at, x->memory.len);
	/* the socket first: when the session ends, the next one may have the port */
	if (x->fd >= 0)
		close(x->fd);
	if (x->control >= 0)
		close(x->control);
	free(x->stack);
	free(x->mine);
	free(x);
	errno = err;
}
