// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Listeners: where programs come in that know nothing of the fabric, and become sock ports.
 *
 *	VDE   a directory with a socket `ctl`, as vde_switch has: each client becomes a port
 *	UNIX  the path of a datagram socket, for one program: a port as long as it is there
 *
 * A listener belongs to its network and ends with it, by `detach`, or by `down`. After the death of
 * a manager its socket is in the fdstore (fdstore.c): who knocks meanwhile waits, and the next
 * manager goes on with it. Without an fdstore the listener is opened again: what stands of it in
 * the map `listeners` says by inode which file is ours, so in place of that file and of no other.
 *
 * A client is hostile until it has shown its request, and after. Who connects gets PENDING_US to
 * send it; at most PENDING wait, and the one that has waited longest makes room for the next. The
 * name it sends is walked only through what the kernel has in its cache and connected to by
 * descriptor: no file system of the client's can hold the manager up. That the socket is its
 * own, sock_begin looks at.
 *
 * One client's way in, each step undone by node_del: socket; connected; node (node_sock); the
 * name it answers to; the stream, whose end is the port's; the reply; its part in the fdstore. Who
 * cannot come in finds the stream closed.
 */
#include "manager/ports/listener.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

#include "common/clock.h"
#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/async_close.h"
#include "manager/access/perm.h"
#include "manager/core/events.h"
#include "manager/core/net.h"
#include "manager/core/node.h"
#include "manager/core/punt.h"
#include "manager/fdstore/client.h"
#include "manager/kernel/bpf.h"
#include "manager/ports/sock.h"
#include "manager/ports/vde_proto.h"

#define CTL "ctl"
#define PENDING 128
#define PENDING_US 3000000
#define RETRY_US 500000
#define COMPLAIN_US 10000000
#define BACKLOG 1024
#define ACCEPT 32    /* in one turn */
#define NAME_ROOM 16 /* "/" and the name of a port's socket */

struct pending {
	struct listener *listener;
	struct pending *next; /* younger */
	int fd;
	__u64 end; /* us: too late */
	sd_event_source *source;
	size_t have;
	char data[VDE_REQUEST_MAX];
};

/* --- clients -----------------------------------------------------------------------------------*/

static int unix_again(struct listener *listener);

static void pending_free(struct pending *p)
{
	struct pending **at = &p->listener->pending;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	p->listener->npending--;
	sd_event_source_disable_unref(p->source);
	stranger_close(p->listener->f->async_close, &p->fd);
	free(p);
}

/* Connects to a socket by its path, walked without waiting for any file system. */
static int connect_path(int fd, const struct sockaddr_un *addr)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				.resolve = RESOLVE_CACHED | RESOLVE_NO_MAGICLINKS };
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	_cleanup_close_ int path = -1;
	struct stat st;

	/* EAGAIN also when others change these directories just now */
	for (int i = 0; path < 0 && i < 16; i++) {
		path = (int)syscall(SYS_openat2, AT_FDCWD, addr->sun_path, &how, sizeof(how));
		if (path < 0 && errno != EAGAIN)
			break;
	}
	if (path < 0 || fstat(path, &st))
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d", path);
	return connect(fd, (void *)&to, sizeof(to)) ? -errno : 0;
}

/* The fabric's socket for a client: connected to it. */
static int client_socket(const struct vde_request *q)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	if (q->addr.sun_path[0])
		r = connect_path(fd, &q->addr);
	else
		r = connect(fd, (const void *)&q->addr, q->addr_len) ? -errno : 0;
	return r ? r : util_take_fd(&fd);
}

/* The name by which the client sends to its port; only it may use it. */
static int client_bind(struct listener *listener, struct node *node, int fd,
		       struct sockaddr_un *addr)
{
	char path[IPN_PATH_MAX + 32], *name;
	mode_t mask;
	int r;

	snprintf(path, sizeof(path), "%s/%03u.%u", listener->info.path, node->in.number,
		 node->in.node);
	name = strrchr(path, '/') + 1;
	r = vde_reply_make(path, addr);
	if (r)
		return r;
	mask = umask(0077);
	r = bind(fd, (void *)addr, sizeof(*addr)) ? -errno : 0;
	umask(mask);
	if (r)
		return r;
	sock_set_listener(node, listener);
	sock_file(node, listener->dir_fd, name);
	if (fchownat(listener->dir_fd, name, node->in.uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW))
		return -errno;
	return 0;
}

/* -EAGAIN: not all of the request is there. Else it came in, or did not. */
static int client_try(struct pending *p)
{
	struct listener *listener = p->listener;
	struct vde_request q;
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	struct node_want want = { .kind = IPN_KIND_SOCK,
				  .port = IPN_PORTNO_ANY,
				  .flags = IPN_PF_READER | IPN_PF_WRITER,
				  .name = "vde",
				  .netns_fd = -1,
				  .descr = q.descr };
	struct errtext a = { "" };
	struct sockaddr_un addr;
	struct node *node;
	int fd, r;

	r = vde_request_parse(p->data, p->have, &q);
	if (r)
		return r;
	if (getsockopt(p->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return -errno;
	fd = client_socket(&q);
	if (fd < 0)
		return fd;
	want.uid = peer.uid;
	want.account = perm_account(p->fd, peer.pid, peer.uid);
	want.pid = (__u32)peer.pid;
	if (q.port)
		want.port = (__s32)q.port;
	r = sock_attach(listener->net, &want, fd, &node, &a);
	if (r)
		return r;
	p->source = sd_event_source_disable_unref(p->source);
	r = client_bind(listener, node, fd, &addr);
	if (!r)
		r = sock_stream(node, util_take_fd(&p->fd));
	if (!r)
		r = sock_reply(node, &addr, sizeof(addr));
	if (r)
		node_del(node, 0, false);
	else
		sock_complete(node);
	return r;
}

static int on_pending(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct pending *p = arg;
	ssize_t n = stranger_recv(p->listener->f->async_close, fd, p->data + p->have,
				  sizeof(p->data) - p->have);
	int r;

	(void)source;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0) {
		p->have += (size_t)n;
		r = client_try(p);
		if (r == -EAGAIN && p->have < VDE_REQUEST_MIN)
			return 0;
		if (r && clock_us() - p->listener->logged > COMPLAIN_US) {
			p->listener->logged = clock_us();
			log_info("%s: a client was turned away: %s", p->listener->info.path,
				 strerror(-r));
		}
	}
	pending_free(p);
	return 0;
}

static int on_pending_late(sd_event_source *source, uint64_t usec, void *arg)
{
	struct listener *listener = arg;
	struct pending *p = listener->pending;
	__u64 now = clock_us();

	(void)usec;
	while (p && p->end <= now) {
		pending_free(p);
		p = listener->pending;
	}
	if (!p)
		return 0;
	sd_event_source_set_time_relative(source, p->end - now);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int pending_new(struct listener *listener, int fd)
{
	struct pending *p = calloc(1, sizeof(*p)), **at;
	int r;

	if (!p)
		return -ENOMEM;
	p->listener = listener;
	r = sd_event_add_io(listener->f->event, &p->source, fd, EPOLLIN, on_pending, p);
	if (r < 0) {
		free(p);
		return r;
	}
	p->fd = fd;
	p->end = clock_us() + PENDING_US;
	if (listener->npending == PENDING)
		pending_free(listener->pending);
	for (at = &listener->pending; *at; at = &(*at)->next)
		;
	*at = p;
	if (!listener->npending++) {
		sd_event_source_set_time_relative(listener->timer, PENDING_US);
		sd_event_source_set_enabled(listener->timer, SD_EVENT_ONESHOT);
	}
	return 0;
}

static int on_client(sd_event_source *source, int listen_fd, uint32_t events, void *arg)
{
	struct listener *listener = arg;

	(void)source;
	(void)events;
	for (int i = 0; i < ACCEPT; i++) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
			/* or it would wake us for ever: turn it away */
			util_close_fd(&listener->f->spare_fd);
			fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
			stranger_close(listener->f->async_close, &fd);
			listener->f->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
			return 0;
		}
		if (fd < 0)
			return 0;
		if (pending_new(listener, fd))
			stranger_close(listener->f->async_close, &fd);
	}
	return 0;
}

/* --- listeners --- */

static struct listener *listener_find(struct net *net, const char *path)
{
	for (struct listener *d = net->f->listeners; d; d = d->next)
		if (d->net == net && !strcmp(d->info.path, path))
			return d;
	return NULL;
}

/* The listener's socket, in dir_fd. */
static const char *file_name(const struct listener *listener)
{
	return listener->info.kind == IPN_LISTENER_VDE ? CTL
						       : strrchr(listener->info.path, '/') + 1;
}

/* Is the file there the one we made? */
static bool file_ours(const struct listener *listener)
{
	struct stat st;

	return listener->info.ino && listener->dir_fd >= 0 &&
	       !fstatat(listener->dir_fd, file_name(listener), &st, AT_SYMLINK_NOFOLLOW) &&
	       st.st_dev == listener->info.dev && st.st_ino == listener->info.ino;
}

static bool listener_stored(struct fabric *f, __u32 id, struct fdstore_msg *msg, int *fds)
{
	struct listener *listener = listener_by_id(f, id);

	if (!listener)
		return false;
	msg->nfds = listener->fd >= 0;
	fds[0] = listener->fd;
	util_copy(msg->descr, sizeof(msg->descr), listener->descr);
	return true;
}

static void listener_changed(struct listener *listener)
{
	fdstore_touch(listener->f->fdstore, FDSTORE_LISTENER(listener->id));
}

static int listener_store(struct listener *listener)
{
	return bpf_map_update_elem(listener->f->bpf->fd_listeners, &listener->id, &listener->info,
				   BPF_ANY)
		       ? -errno
		       : 0;
}

static void listener_let_go(struct listener *listener)
{
	struct listener **at = &listener->f->listeners;

	while (listener->pending)
		pending_free(listener->pending);
	while (*at && *at != listener)
		at = &(*at)->next;
	if (*at)
		*at = listener->next;
	sd_event_source_disable_unref(listener->source);
	sd_event_source_disable_unref(listener->timer);
	sd_event_source_disable_unref(listener->retry);
	util_close_fd(&listener->fd);
	util_close_fd(&listener->dir_fd);
	free(listener);
}

/* Not when something of others is in it: clients that died may have left their sockets. */
static void dir_remove(const struct ipn_listener *info)
{
	if (info->made_dir && rmdir(info->path) && errno != ENOENT)
		log_warning("%s stays: %s", info->path, strerror(errno));
}

/* With its clients and its files. */
static void listener_end(struct listener *listener)
{
	struct fabric *f = listener->f;
	struct net *net = listener->net;
	struct node *node, *tmp;
	__u32 id = listener->id;

	listener->ending = true;
	HASH_ITER(hh, f->nodes, node, tmp) {
		if (sock_listener(node) == listener)
			node_del(node, 0, false);
	}
	if (file_ours(listener))
		unlinkat(listener->dir_fd, file_name(listener), 0);
	dir_remove(&listener->info);
	bpf_map_delete_elem(f->bpf->fd_listeners, &id);
	listener_let_go(listener);
	fdstore_touch(f->fdstore, FDSTORE_LISTENER(id));
	net->bound--;
	net_unused(net);
}

static int dir_open(struct listener *listener, struct errtext *e)
{
	struct ipn_listener *info = &listener->info;
	mode_t mask;
	int r;

	mask = umask(0);
	r = mkdir(info->path, info->mode) ? -errno : 0;
	umask(mask);
	if (r && r != -EEXIST)
		return err_text(e, r, "%s: %s", info->path, strerror(-r));
	info->made_dir |= !r;
	listener->dir_fd = open(info->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (listener->dir_fd < 0)
		return err_text(e, -errno, "%s: %s (give a directory, or a name that is free)",
				info->path, strerror(errno));
	return 0;
}

/* Makes the listener's socket, in place of one of our own only. */
static int file_open(struct listener *listener, int type, __u32 mode, struct errtext *e)
{
	struct ipn_listener *info = &listener->info;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	mode_t mask;
	int r;

	if (file_ours(listener))
		unlinkat(listener->dir_fd, file_name(listener), 0); /* of a manager that died */
	if (info->kind == IPN_LISTENER_VDE)
		snprintf(addr.sun_path, sizeof(addr.sun_path), "%.91s/" CTL, info->path);
	else
		util_copy(addr.sun_path, sizeof(addr.sun_path), info->path);
	listener->fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return -errno;
	mask = umask(~mode & 0777);
	r = bind(listener->fd, (void *)&addr, sizeof(addr)) ? -errno : 0;
	umask(mask);
	if (r == -EADDRINUSE)
		return err_text(e, r,
				"%s exists and is not of this fabric (remove it, or choose another "
				"path)",
				addr.sun_path);
	if (r)
		return err_text(e, r, "%s: %s", addr.sun_path, strerror(-r));
	if (fstatat(listener->dir_fd, file_name(listener), &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	info->dev = st.st_dev;
	info->ino = st.st_ino;
	return listener_store(listener);
}

/* After a restart: the socket that the fdstore had is good as long as it can be found. */
static bool stored_socket_good(struct listener *listener)
{
	if (listener->fd >= 0 && file_ours(listener))
		return true;
	util_close_fd(&listener->fd);
	listener->fd = -1;
	return false;
}

static int vde_begin(struct listener *listener, struct errtext *e)
{
	int r = dir_open(listener, e);

	if (!r && !stored_socket_good(listener)) {
		r = file_open(listener, SOCK_STREAM, listener->info.mode & 0666, e);
		if (!r && listen(listener->fd, BACKLOG))
			r = -errno;
	}
	if (!r)
		r = sd_event_add_io(listener->f->event, &listener->source, listener->fd, EPOLLIN,
				    on_client, listener);
	if (r >= 0)
		r = sd_event_add_time_relative(listener->f->event, &listener->timer,
					       CLOCK_MONOTONIC, PENDING_US, 0, on_pending_late,
					       listener);
	if (r >= 0)
		r = sd_event_source_set_enabled(listener->timer, SD_EVENT_OFF);
	return r < 0 ? r : 0;
}

/* --- one program, by a path ------------------------------------------------------------------- */

/* The socket is connected to the program's and becomes a port. */
static int unix_join(struct listener *listener, const struct sockaddr_un *peer)
{
	struct node_want want = { .kind = IPN_KIND_SOCK,
				  .port = listener->info.port,
				  .flags = IPN_PF_READER | IPN_PF_WRITER,
				  .uid = listener->info.uid,
				  .account = listener->info.uid,
				  .name = "unix",
				  .netns_fd = -1,
				  .descr = listener->descr };
	struct errtext a = { "" };
	struct node *node;
	int r = connect_path(listener->fd, peer);

	if (r)
		return r;
	listener->source = sd_event_source_disable_unref(listener->source);
	r = sock_attach(listener->net, &want, util_take_fd(&listener->fd), &node, &a);
	if (r) {
		log_err("%s: %s", listener->info.path, a.text[0] ? a.text : strerror(-r));
		return r;
	}
	sock_set_listener(node, listener);
	sock_complete(node);
	listener_changed(listener);
	return 0;
}

/* Somebody writes: the first is the one it is for. Its first message is only a greeting. */
static int on_greeting(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct listener *listener = arg;
	struct sockaddr_un peer = { 0 };
	socklen_t len = sizeof(peer);
	char byte;

	(void)source;
	(void)events;
	if (recvfrom(fd, &byte, 1, MSG_DONTWAIT, (void *)&peer, &len) < 0 ||
	    len <= offsetof(struct sockaddr_un, sun_path) || len > sizeof(peer) ||
	    peer.sun_path[0] != '/')
		return 0; /* who has no name cannot be answered */
	if (unix_join(listener, &peer) && listener->fd < 0)
		return unix_again(listener);
	return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *arg)
{
	struct listener *listener = arg;
	struct sockaddr_un peer = { .sun_family = AF_UNIX };
	struct errtext a = { "" };
	int r;

	(void)usec;
	if (listener->fd < 0 && file_open(listener, SOCK_DGRAM, listener->info.mode, &a)) {
		log_err("%s: %s", listener->info.path, a.text);
		return 0; /* somebody else has its path by now */
	}
	listener_changed(listener);
	if (!listener->info.peer[0])
		return sd_event_add_io(listener->f->event, &listener->source, listener->fd, EPOLLIN,
				       on_greeting, listener);
	memcpy(peer.sun_path, listener->info.peer, sizeof(peer.sun_path));
	r = unix_join(listener, &peer);
	if (!r)
		return 0;
	sd_event_source_set_time_relative(source, RETRY_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Waits for the program, anew with a new socket if the last one was a port. */
static int unix_again(struct listener *listener)
{
	int r;

	if (!listener->retry)
		r = sd_event_add_time_relative(listener->f->event, &listener->retry,
					       CLOCK_MONOTONIC, 0, 0, on_retry, listener);
	else
		r = sd_event_source_set_time_relative(listener->retry, RETRY_US);
	if (r >= 0)
		r = sd_event_source_set_enabled(listener->retry, SD_EVENT_ONESHOT);
	return r < 0 ? r : 0;
}

static void port_gone(struct listener *listener)
{
	if (!listener->ending && !listener->net->dying && unix_again(listener))
		log_err("%s: cannot wait for another program", listener->info.path);
}

/* After a restart: its socket is a port, which went on. */
static bool unix_taken(const struct listener *listener)
{
	struct fabric *f = listener->f;

	for (__u32 i = 0; i < IPN_MAX_NODES; i++)
		if (f->node_by_id[i] && sock_is_of(f->node_by_id[i], listener->id))
			return true;
	return false;
}

/* Opens the directory that the listener's socket is in. */
static int dir_find(struct listener *listener)
{
	char dir[IPN_PATH_MAX];

	util_copy(dir, sizeof(dir), listener->info.path);
	if (listener->info.kind == IPN_LISTENER_UNIX)
		strrchr(dir, '/')[dir[1] && strrchr(dir, '/') == dir] = '\0';
	listener->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return listener->dir_fd < 0 ? -errno : 0;
}

static int unix_begin(struct listener *listener, struct errtext *e)
{
	int r = dir_find(listener);

	if (r)
		return err_text(e, r, "the directory of %s: %s", listener->info.path, strerror(-r));
	if (unix_taken(listener))
		return 0;
	r = stored_socket_good(listener) ? 0
					 : file_open(listener, SOCK_DGRAM, listener->info.mode, e);
	return r ? r : unix_again(listener);
}

/*
 * Makes the files of the listener and waits for clients. On failure nothing is left of it. stored:
 * what the fdstore had of it, or NULL.
 */
static int listener_begin(struct net *net, __u32 id, const struct ipn_listener *info,
			  const char *descr, struct fdstore_entry *stored, struct errtext *e)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	struct fabric *f = net->f;
	int r;

	if (!listener)
		return -ENOMEM;
	listener->f = f;
	listener->net = net;
	listener->id = id;
	listener->info = *info;
	listener->info.net = net->id;
	listener->port_gone = port_gone;
	if (descr)
		memcpy(listener->descr, descr, sizeof(listener->descr));
	listener->fd = listener->dir_fd = -1;
	if (stored) {
		listener->fd = util_take_fd(&stored->fds[0]);
		memcpy(listener->descr, stored->msg.descr, sizeof(listener->descr));
		stored->taken = true;
	}
	net->bound++; /* a network that somebody can come into is in use */
	r = punt_begin(f, sock_bye);
	if (!r)
		r = info->kind == IPN_LISTENER_VDE ? vde_begin(listener, e)
						   : unix_begin(listener, e);
	if (r < 0) {
		if (!e->text[0])
			err_text(e, r, "%s: %s", info->path, strerror(-r));
		listener_end(listener);
		return r;
	}
	listener->next = f->listeners;
	f->listeners = listener;
	listener_changed(listener);
	return 0;
}

int listener_open(struct net *net, const struct ipn_listener *want, const char *descr,
		  struct errtext *e)
{
	struct fabric *f = net->f;
	struct ipn_listener found;
	__u32 id = 0;
	int r;

	if (want->path[0] != '/')
		return err_text(e, -EINVAL, "%s is no absolute path", want->path);
	if (want->peer[0] && want->peer[0] != '/')
		return err_text(e, -EINVAL, "%s is no absolute path", want->peer);
	if (want->kind == IPN_LISTENER_VDE && strlen(want->path) + NAME_ROOM > IPN_PATH_MAX)
		return err_text(e, -ENAMETOOLONG,
				"%s: too long for sockets in it (at most %u bytes)", want->path,
				IPN_PATH_MAX - NAME_ROOM);
	if (!bpf_policy_takes_socks(f->bpf, net->info.policy))
		return err_text(
			e, -EOPNOTSUPP,
			"%s has a policy (%u) without a program for sock ports: it takes none",
			net->info.path, net->info.policy);
	for (struct listener *d = f->listeners; d; d = d->next)
		if (!strcmp(d->info.path, want->path))
			return err_text(e, -EEXIST, "%s is attached already, to %s", want->path,
					d->net->info.path);
	while (id < IPN_MAX_NODES && !bpf_map_lookup_elem(f->bpf->fd_listeners, &id, &found))
		id++;
	r = listener_begin(net, id, want, descr, NULL, e);
	if (r)
		return r;
	r = punt_go(f);
	if (r) {
		listener_end(listener_by_id(f, id));
		return err_text(e, r, "%s: cannot start a thread: %s", want->path, strerror(-r));
	}
	return 0;
}

int listener_close(struct net *net, const char *path, struct errtext *e)
{
	struct listener *listener = listener_find(net, path);

	if (!listener)
		return err_text(e, -ENOENT, "%s is not attached to %s", path, net->info.path);
	listener_end(listener);
	return 0;
}

int listener_from_config(struct net *net, const struct ipn_listener *want, const char *descr,
			 struct errtext *e)
{
	struct listener *listener = listener_find(net, want->path);
	int r;

	if (!listener) {
		r = listener_open(net, want, descr, e);
		if (!r)
			net->f->listeners->from_config = true; /* the newest */
		return r;
	}
	if (listener->info.kind != want->kind || listener->info.mode != want->mode ||
	    listener->info.port != want->port || strcmp(listener->info.peer, want->peer) != 0)
		return err_text(
			e, -EEXIST,
			"%s is attached with another kind, mode, port or peer (detach it first, "
			"or write those)",
			want->path);
	memcpy(listener->descr, descr, sizeof(listener->descr)); /* the map does not keep it */
	return 0;
}

void listener_undo_config(struct fabric *f)
{
	for (struct listener *d = f->listeners, *next; d; d = next) {
		next = d->next;
		if (d->from_config)
			listener_end(d);
	}
}

static void close_all_of(struct net *net)
{
	struct listener *d, *next;

	for (d = net->f->listeners; d; d = next) {
		next = d->next;
		if (d->net == net)
			listener_end(d);
	}
}

/* Files of clients whose ports ended with a manager: we gave them their names. */
static void files_remove(struct fabric *f, __u32 id, const struct ipn_listener *info)
{
	_cleanup_close_ int fd = open(info->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(util_take_fd(&fd));
	unsigned int port, node;
	struct dirent *e;
	char name[32];
	struct stat st;

	if (!d)
		return;
	while ((e = readdir(d))) {
		if (sscanf(e->d_name, "%u.%u", &port, &node) != 2)
			continue;
		snprintf(name, sizeof(name), "%03u.%u", port, node);
		if (strcmp(name, e->d_name) != 0 ||
		    fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISSOCK(st.st_mode))
			continue;
		if (node >= IPN_MAX_NODES || !f->node_by_id[node] ||
		    !sock_has_file(f->node_by_id[node], id, name))
			unlinkat(dirfd(d), name, 0);
	}
	closedir(d);
}

/* It cannot be opened again, and what came in by it ends. */
static void listener_lost(struct fabric *f, __u32 id, const struct ipn_listener *info)
{
	struct listener listener = { .info = *info, .dir_fd = -1 };

	for (__u32 i = 0; i < IPN_MAX_NODES; i++)
		if (f->node_by_id[i] && sock_is_of(f->node_by_id[i], id))
			node_del(f->node_by_id[i], 0, false);
	if (info->kind == IPN_LISTENER_VDE)
		files_remove(f, id, info);
	if (!dir_find(&listener) && file_ours(&listener))
		unlinkat(listener.dir_fd, file_name(&listener), 0);
	dir_remove(info);
	util_close_fd(&listener.dir_fd);
	bpf_map_delete_elem(f->bpf->fd_listeners, &id);
}

void listeners_adopt(struct fabric *f)
{
	int fd = f->bpf->fd_listeners, r;
	struct errtext a;
	struct ipn_listener info;
	__u32 id, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &id);

	while (more) {
		more = !bpf_map_get_next_key(fd, &id, &next);
		if (!bpf_map_lookup_elem(fd, &id, &info)) {
			struct net *net = info.net < IPN_MAX_NETS ? f->net_by_id[info.net] : NULL;

			info.path[sizeof(info.path) - 1] = '\0';
			a.text[0] = '\0';
			if (info.kind == IPN_LISTENER_VDE)
				files_remove(f, id, &info);
			r = net ? listener_begin(net, id, &info, NULL,
						 fdstore_find(f->fdstore, FDSTORE_LISTENER(id), 0),
						 &a)
				: -ENOENT;
			if (r) {
				log_err("listener %s: cannot open it again: %s", info.path,
					a.text[0] ? a.text : strerror(-r));
				listener_lost(f, id, &info);
			}
		}
		id = next;
	}
	sock_adopt_rest(f);
	r = f->punt ? punt_go(f) : 0;
	if (r)
		log_err("cannot start a thread: sock ports are cut off from others: %s",
			strerror(-r));
}

void listeners_free(struct fabric *f)
{
	while (f->listeners)
		listener_let_go(f->listeners);
}

/* --- for others --- */

static void on_event(void *arg, const struct event *event)
{
	if (event->type == EVENT_NET_GONE)
		close_all_of(event->net);
}

int listeners_begin(struct fabric *f)
{
	return events_subscribe(f, on_event, f);
}

static bool stored_wanted(void *arg)
{
	const struct fabric *f = arg;

	return f->listeners || f->nets;
}

static bool stored_there(void *arg, __u32 slot)
{
	const struct fabric *f = arg;

	if (slot >= FDSTORE_NET(0))
		return f->net_by_id[slot - FDSTORE_NET(0)] != NULL;
	return slot < IPN_MAX_NODES ? f->node_by_id[slot] != NULL
				    : listener_by_id(f, slot - IPN_MAX_NODES) != NULL;
}

static bool stored_describe(void *arg, __u32 slot, struct fdstore_msg *msg, int fds[FDSTORE_FDS])
{
	struct fabric *f = arg;

	if (slot >= FDSTORE_NET(0)) {
		const struct net *net = f->net_by_id[slot - FDSTORE_NET(0)];

		msg->nfds = net && net->path_fd >= 0;
		fds[0] = msg->nfds ? net->path_fd : -1;
		return msg->nfds;
	}
	return slot < IPN_MAX_NODES ? sock_stored(f, slot, msg, fds)
				    : listener_stored(f, slot - IPN_MAX_NODES, msg, fds);
}

void listeners_store(struct fabric *f)
{
	const struct fdstore_source source = {
		.wanted = stored_wanted,
		.there = stored_there,
		.describe = stored_describe,
		.arg = f,
	};

	fdstore_begin(f->fdstore, f->event, f->async_close, &source);
}
