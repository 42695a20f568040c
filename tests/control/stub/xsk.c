// SPDX-License-Identifier: GPL-2.0-or-later
/* AF_XDP sockets: pipes, whose other end tells whether somebody has them. */
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <xdp/xsk.h>

#include "kernel.h"

struct xsk_life {
	struct xsk_life *next;
	__u64 ino;
	int fd;
};

struct xsk_umem {
	__u64 *fill;
	__u32 producer, consumer;
};

struct xsk_socket {
	int fd;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

bool xsk_alive(__u64 ino)
{
	bool alive = false;

	pthread_mutex_lock(&lock);
	for (const struct xsk_life *x = stub.xsks; x; x = x->next) {
		struct pollfd p = { .fd = x->fd, .events = POLLIN };

		if (x->ino == ino)
			alive = poll(&p, 1, 0) <= 0 || !(p.revents & POLLHUP);
	}
	pthread_mutex_unlock(&lock);
	return alive;
}

unsigned int xsk_fds(void)
{
	unsigned int n = 0;

	pthread_mutex_lock(&lock);
	for (const struct xsk_life *x = stub.xsks; x; x = x->next)
		n++;
	pthread_mutex_unlock(&lock);
	return n;
}

void xsks_clear(void)
{
	while (stub.xsks) {
		struct xsk_life *x = stub.xsks;

		stub.xsks = x->next;
		close(x->fd);
		free(x);
	}
}

/* libxdp asks by name; the interfaces are not the system's. */
char *if_indextoname(unsigned int ifindex, char name[IF_NAMESIZE])
{
	snprintf(name, IF_NAMESIZE, "%u", ifindex);
	return name;
}

int xsk_umem__create(struct xsk_umem **out, void *area, __u64 size, struct xsk_ring_prod *fill,
		     struct xsk_ring_cons *comp, const struct xsk_umem_config *config)
{
	int err = stub_enter("xsk_umem", false);
	struct xsk_umem *umem = err ? NULL : calloc(1, sizeof(*umem));

	(void)area;
	(void)size;
	(void)comp;
	if (!umem)
		return -(err ? err : ENOMEM);
	umem->fill = calloc(config->fill_size, sizeof(__u64));
	umem->consumer = config->fill_size;
	*fill = (struct xsk_ring_prod){ .cached_cons = config->fill_size,
					.mask = config->fill_size - 1,
					.size = config->fill_size,
					.producer = &umem->producer,
					.consumer = &umem->consumer,
					.ring = umem->fill };
	*out = umem;
	return 0;
}

int xsk_umem__delete(struct xsk_umem *umem)
{
	free(umem->fill);
	free(umem);
	return 0;
}

int xsk_socket__create(struct xsk_socket **out, const char *name, __u32 queue,
		       struct xsk_umem *umem, struct xsk_ring_cons *rx, struct xsk_ring_prod *tx,
		       const struct xsk_socket_config *config)
{
	int err = stub_enter("xsk_socket", false), fds[2];
	struct xsk_life *life;
	struct xsk_socket *xsk;
	struct stat st;

	(void)name;
	(void)queue;
	(void)umem;
	(void)rx;
	(void)tx;
	(void)config;
	if (err)
		return -err;
	xsk = malloc(sizeof(*xsk));
	life = malloc(sizeof(*life));
	if (!xsk || !life || pipe2(fds, O_CLOEXEC) || fstat(fds[1], &st))
		abort();
	xsk->fd = fds[1];
	life->fd = fds[0];
	life->ino = st.st_ino;
	pthread_mutex_lock(&lock);
	life->next = stub.xsks;
	stub.xsks = life;
	pthread_mutex_unlock(&lock);
	*out = xsk;
	return 0;
}

int xsk_socket__fd(const struct xsk_socket *xsk)
{
	return xsk->fd;
}

void xsk_socket__delete(struct xsk_socket *xsk)
{
	close(xsk->fd);
	free(xsk);
}
