// SPDX-License-Identifier: GPL-2.0-or-later
/* Programs that the manager runs itself, and its ring. */
#include <dirent.h>
#include <fcntl.h>
#include <ipn/policy_abi.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "kernel.h"

unsigned int stub_runs(const char *prog)
{
	const struct obj *p = obj_named(prog, OBJ_PROG);

	return p ? p->runs : 0;
}

void stub_policy_returns(int r)
{
	stub.policy_result = r;
}

void stub_sock_uid(__u32 uid)
{
	stub.sock_uid = uid;
}

/* Of the sockets of this process, the one of this inode. */
static int socket_of(__u64 ino)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	struct stat st;
	int found = -1;

	while (found < 0 && d && (e = readdir(d))) {
		int fd = atoi(e->d_name);

		if (e->d_name[0] != '.' && !fstat(fd, &st) && S_ISSOCK(st.st_mode) &&
		    st.st_ino == ino)
			found = fd;
	}
	if (d)
		closedir(d);
	return found;
}

/* Whom it is connected to is told apart by the address. */
static void query(const struct obj *socks, struct ipn_sk_query *q)
{
	struct sockaddr_un peer = { 0 };
	socklen_t len = sizeof(peer);
	int fd = q->node < socks->max && socks->sockets[q->node]
			 ? socket_of(socks->sockets[q->node])
			 : -1;

	if (fd < 0)
		return;
	q->uid = stub.sock_uid;
	if (getpeername(fd, (void *)&peer, &len))
		return;
	q->peer = 5381;
	for (const char *s = peer.sun_path; s < (char *)&peer + len; s++)
		q->peer = q->peer * 33 + (__u8)*s;
}

static void run(const struct obj *p, struct bpf_test_run_opts *opts)
{
	const struct obj *map;

	if (!strcmp(p->name, "ipn_sk_query")) {
		map = obj_named("ipn_socks", OBJ_MAP);
		for (__u32 i = 0; i < opts->data_size_in / sizeof(struct ipn_sk_query); i++)
			query(map, (struct ipn_sk_query *)opts->data_out + i);
	} else if (!strcmp(p->name, "ipn_xsk_held")) {
		__u32 node;

		stub_reap();
		map = obj_named("ipn_xsks", OBJ_MAP);
		memcpy(&node, opts->data_in, sizeof(node));
		opts->retval = node < map->max && map->sockets[node] ? XDP_PASS : XDP_DROP;
	} else if (!strcmp(p->name, "ipn_notify")) {
		struct ipn_notify *ctx = (void *)(uintptr_t)opts->ctx_in;

		if (ctx->op == IPN_NOTIFY_HELD) /* nobody keeps others waiting */
			ctx->event.arg = 0;
	} else {
		opts->retval = (__u32)stub.policy_result;
	}
}

int bpf_prog_test_run_opts(int fd, struct bpf_test_run_opts *opts)
{
	struct obj *p = obj_of_fd(fd, OBJ_PROG);
	int err = stub_enter("prog_run", false);

	if (!err && !p)
		err = EBADF;
	if (err)
		return stub_error(err);
	opts->retval = 0;
	p->runs++;
	run(p, opts);
	return 0;
}

/* --- the ring of messages for the manager: nothing is ever in it --- */

struct ring_buffer {
	int fd;
};

struct ring_buffer *ring_buffer__new(int fd, ring_buffer_sample_fn fn, void *arg,
				     const struct ring_buffer_opts *opts)
{
	int err = stub_enter("ring_buffer_new", false);
	struct ring_buffer *ring;

	(void)fd;
	(void)fn;
	(void)arg;
	(void)opts;
	if (err) {
		errno = err;
		return NULL;
	}
	ring = malloc(sizeof(*ring));
	if (ring)
		ring->fd = eventfd(0, EFD_CLOEXEC);
	return ring;
}

void ring_buffer__free(struct ring_buffer *ring)
{
	if (!ring)
		return;
	close(ring->fd);
	free(ring);
}

int ring_buffer__epoll_fd(const struct ring_buffer *ring)
{
	return ring->fd;
}

int ring_buffer__consume(struct ring_buffer *ring)
{
	(void)ring;
	return 0;
}
