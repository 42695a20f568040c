// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Doors: where programs come in that know nothing of the fabric, and become sock ports.
 *
 *	VDE   a directory with a socket `ctl`, as vde_switch has: each client becomes a port
 *	UNIX  the path of a datagram socket, for one program: a port as long as it is there
 *
 * A door belongs to its network and ends with it, by `detach`, or by `down`. After the death of a
 * manager its socket is in the keeper (keeper.c): who knocks meanwhile waits, and the next manager
 * goes on with it. Without a keeper the door is opened again: what stands of it in the map `doors`
 * says by inode which file is ours, so in place of that file and of no other.
 *
 * A client is hostile until it has shown its request, and after. Who connects gets PENDING_US to
 * send it; at most PENDING wait, and the one that has waited longest makes room for the next. The
 * name it sends is walked only through what the kernel has in its cache and connected to by
 * descriptor: no file system of the client's can hold the manager up. That the socket is its
 * own, sock_begin looks at.
 *
 * One client's way in, each step undone by node_del: socket; connected; node (node_sock); the
 * name it answers to; the stream, whose end is the port's; the reply; its part in the keeper. Who
 * cannot come in finds the stream closed.
 */
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

#include "manager/core.h"
#include "vde/proto.h"

#define CTL "ctl"
#define PENDING 128
#define PENDING_US 3000000
#define RETRY_US 500000
#define SAID_US 10000000
#define BACKLOG 1024
#define ACCEPT 32    /* in one turn */
#define NAME_ROOM 16 /* "/" and the name of a port's socket */

struct pending {
	struct door *door;
	struct pending *next; /* younger */
	int fd;
	__u64 end; /* us: too late */
	sd_event_source *source;
	size_t have;
	char data[VDE_REQUEST_MAX];
};

struct door {
	struct manager *m;
	struct net *net;
	struct door *next;
	__u32 id; /* key in `doors` */
	struct ipn_door info;
	int dir_fd; /* UNIX: of the directory that the socket is in */
	int fd;     /* VDE: listens; UNIX: the socket, while it is no port */
	sd_event_source *source;
	char descr[IPN_DESCR_MAX]; /* UNIX */
	sd_event_source *retry;    /* UNIX, with a peer: until it is there */
	struct pending *pending;   /* oldest first */
	__u32 npending;
	sd_event_source *timer;
	bool ending;
	bool from_config;
	__u64 said; /* us: when it last complained of a client */
};

/* --- clients -----------------------------------------------------------------------------------*/

static int unix_again(struct door *door);

static __u64 now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (__u64)t.tv_sec * 1000000 + (__u64)t.tv_nsec / 1000;
}

static void pending_free(struct pending *p)
{
	struct pending **at = &p->door->pending;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	p->door->npending--;
	sd_event_source_disable_unref(p->source);
	stranger_close(p->door->m, &p->fd);
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
static int client_bind(struct door *door, struct node *node, int fd, struct sockaddr_un *addr)
{
	char path[IPN_PATH_MAX + 32], *name;
	mode_t mask;
	int r;

	snprintf(path, sizeof(path), "%s/%03u.%u", door->info.path, node->port.port,
		 node->port.node);
	name = strrchr(path, '/') + 1;
	r = vde_reply_make(path, addr);
	if (r)
		return r;
	mask = umask(0077);
	r = bind(fd, (void *)addr, sizeof(*addr)) ? -errno : 0;
	umask(mask);
	if (r)
		return r;
	sock_door(node, door);
	sock_file(node, door->dir_fd, name);
	if (fchownat(door->dir_fd, name, node->port.uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW))
		return -errno;
	return 0;
}

/* -EAGAIN: not all of the request is there. Else it came in, or did not. */
static int client_try(struct pending *p)
{
	struct door *door = p->door;
	struct vde_request q;
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	struct node_want want = { .kind = IPN_KIND_SOCK,
				  .port = IPN_PORTNO_ANY,
				  .flags = IPN_PF_READER | IPN_PF_WRITER,
				  .name = "vde",
				  .netns_fd = -1,
				  .descr = q.descr };
	struct answer a = { "" };
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
	want.pid = (__u32)peer.pid;
	if (q.port)
		want.port = (__s32)q.port;
	r = node_sock(door->net, &want, fd, &node, &a);
	if (r)
		return r;
	p->source = sd_event_source_disable_unref(p->source);
	r = client_bind(door, node, fd, &addr);
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
	ssize_t n = stranger_recv(p->door->m, fd, p->data + p->have, sizeof(p->data) - p->have);
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
		if (r && now_us() - p->door->said > SAID_US) {
			p->door->said = now_us();
			say(LOG_INFO, "%s: a client was turned away: %s", p->door->info.path,
			    strerror(-r));
		}
	}
	pending_free(p);
	return 0;
}

static int on_pending_late(sd_event_source *source, uint64_t usec, void *arg)
{
	struct door *door = arg;
	struct pending *p = door->pending;
	__u64 now = now_us();

	(void)usec;
	while (p && p->end <= now) {
		pending_free(p);
		p = door->pending;
	}
	if (!p)
		return 0;
	sd_event_source_set_time_relative(source, p->end - now);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int pending_new(struct door *door, int fd)
{
	struct pending *p = calloc(1, sizeof(*p)), **at;
	int r;

	if (!p)
		return -ENOMEM;
	p->door = door;
	r = sd_event_add_io(door->m->event, &p->source, fd, EPOLLIN, on_pending, p);
	if (r < 0) {
		free(p);
		return r;
	}
	p->fd = fd;
	p->end = now_us() + PENDING_US;
	if (door->npending == PENDING)
		pending_free(door->pending);
	for (at = &door->pending; *at; at = &(*at)->next)
		;
	*at = p;
	if (!door->npending++) {
		sd_event_source_set_time_relative(door->timer, PENDING_US);
		sd_event_source_set_enabled(door->timer, SD_EVENT_ONESHOT);
	}
	return 0;
}

static int on_client(sd_event_source *source, int listen_fd, uint32_t events, void *arg)
{
	struct door *door = arg;

	(void)source;
	(void)events;
	for (int i = 0; i < ACCEPT; i++) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
			/* or it would wake us for ever: turn it away */
			util_close_fd(&door->m->spare_fd);
			fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
			stranger_close(door->m, &fd);
			door->m->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
			return 0;
		}
		if (fd < 0)
			return 0;
		if (pending_new(door, fd))
			stranger_close(door->m, &fd);
	}
	return 0;
}

/* --- doors -------------------------------------------------------------------------------------*/

static struct door *door_find(struct net *net, const char *path)
{
	for (struct door *d = net->m->doors; d; d = d->next)
		if (d->net == net && !strcmp(d->info.path, path))
			return d;
	return NULL;
}

/* The door's socket, in dir_fd. */
static const char *file_name(const struct door *door)
{
	return door->info.kind == IPN_DOOR_VDE ? CTL : strrchr(door->info.path, '/') + 1;
}

/* Is the file there the one we made? */
static bool file_ours(const struct door *door)
{
	struct stat st;

	return door->info.ino && door->dir_fd >= 0 &&
	       !fstatat(door->dir_fd, file_name(door), &st, AT_SYMLINK_NOFOLLOW) &&
	       st.st_dev == door->info.dev && st.st_ino == door->info.ino;
}

__u32 door_id(const struct door *door)
{
	return door->id;
}

int door_dir(const struct door *door)
{
	return door->dir_fd;
}

struct door *door_find_id(struct manager *m, __u32 id)
{
	for (struct door *d = m->doors; d; d = d->next)
		if (d->id == id)
			return d;
	return NULL;
}

bool door_there(struct manager *m, __u32 id)
{
	return door_find_id(m, id);
}

bool door_kept(struct manager *m, __u32 id, struct keeper_msg *msg, int fds[KEEPER_FDS])
{
	struct door *door = door_find_id(m, id);

	if (!door)
		return false;
	msg->nfds = door->fd >= 0;
	fds[0] = door->fd;
	util_copy(msg->descr, sizeof(msg->descr), door->descr);
	return true;
}

static void door_changed(struct door *door)
{
	keep_touch(door->m, KEEPER_DOOR(door->id));
}

static int door_store(struct door *door)
{
	return bpf_map_update_elem(door->m->bpf->fd_doors, &door->id, &door->info, BPF_ANY) ? -errno
											    : 0;
}

static void door_let_go(struct door *door)
{
	struct door **at = &door->m->doors;

	while (door->pending)
		pending_free(door->pending);
	while (*at && *at != door)
		at = &(*at)->next;
	if (*at)
		*at = door->next;
	sd_event_source_disable_unref(door->source);
	sd_event_source_disable_unref(door->timer);
	sd_event_source_disable_unref(door->retry);
	util_close_fd(&door->fd);
	util_close_fd(&door->dir_fd);
	free(door);
}

/* Not when something of others is in it: clients that died may have left their sockets. */
static void dir_remove(const struct ipn_door *info)
{
	if (info->made_dir && rmdir(info->path) && errno != ENOENT)
		say(LOG_WARNING, "%s stays: %s", info->path, strerror(errno));
}

/* With its clients and its files. */
static void door_end(struct door *door)
{
	struct manager *m = door->m;
	struct net *net = door->net;
	struct node *node, *tmp;
	__u32 id = door->id;

	door->ending = true;
	HASH_ITER(hh, m->nodes, node, tmp) {
		if (node->sock && sock_of(node) == door)
			node_del(node, 0, false);
	}
	if (file_ours(door))
		unlinkat(door->dir_fd, file_name(door), 0);
	dir_remove(&door->info);
	bpf_map_delete_elem(m->bpf->fd_doors, &id);
	door_let_go(door);
	keep_touch(m, KEEPER_DOOR(id));
	net->bound--;
	net_unused(net);
}

static int dir_open(struct door *door, struct answer *a)
{
	struct ipn_door *info = &door->info;
	mode_t mask;
	int r;

	mask = umask(0);
	r = mkdir(info->path, info->mode) ? -errno : 0;
	umask(mask);
	if (r && r != -EEXIST)
		return ANSWER(a, r, "%s: %s", info->path, strerror(-r));
	info->made_dir |= !r;
	door->dir_fd = open(info->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (door->dir_fd < 0)
		return ANSWER(a, -errno, "%s: %s (give a directory, or a name that is free)",
			      info->path, strerror(errno));
	return 0;
}

/* Makes the door's socket, in place of one of our own only. */
static int file_open(struct door *door, int type, __u32 mode, struct answer *a)
{
	struct ipn_door *info = &door->info;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	mode_t mask;
	int r;

	if (file_ours(door))
		unlinkat(door->dir_fd, file_name(door), 0); /* of a manager that died */
	if (info->kind == IPN_DOOR_VDE)
		snprintf(addr.sun_path, sizeof(addr.sun_path), "%.91s/" CTL, info->path);
	else
		util_copy(addr.sun_path, sizeof(addr.sun_path), info->path);
	door->fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (door->fd < 0)
		return -errno;
	mask = umask(~mode & 0777);
	r = bind(door->fd, (void *)&addr, sizeof(addr)) ? -errno : 0;
	umask(mask);
	if (r == -EADDRINUSE)
		return ANSWER(a, r,
			      "%s exists and is not of this fabric (remove it, or choose another "
			      "path)",
			      addr.sun_path);
	if (r)
		return ANSWER(a, r, "%s: %s", addr.sun_path, strerror(-r));
	if (fstatat(door->dir_fd, file_name(door), &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	info->dev = st.st_dev;
	info->ino = st.st_ino;
	return door_store(door);
}

/* After a restart: the socket that the keeper had is good as long as it can be found. */
static bool kept_socket_good(struct door *door)
{
	if (door->fd >= 0 && file_ours(door))
		return true;
	util_close_fd(&door->fd);
	door->fd = -1;
	return false;
}

static int vde_begin(struct door *door, struct answer *a)
{
	int r = dir_open(door, a);

	if (!r && !kept_socket_good(door)) {
		r = file_open(door, SOCK_STREAM, door->info.mode & 0666, a);
		if (!r && listen(door->fd, BACKLOG))
			r = -errno;
	}
	if (!r)
		r = sd_event_add_io(door->m->event, &door->source, door->fd, EPOLLIN, on_client,
				    door);
	if (r >= 0)
		r = sd_event_add_time_relative(door->m->event, &door->timer, CLOCK_MONOTONIC,
					       PENDING_US, 0, on_pending_late, door);
	if (r >= 0)
		r = sd_event_source_set_enabled(door->timer, SD_EVENT_OFF);
	return r < 0 ? r : 0;
}

/* --- one program, by a path ------------------------------------------------------------------- */

/* The socket is connected to the program's and becomes a port. */
static int unix_join(struct door *door, const struct sockaddr_un *peer)
{
	struct node_want want = { .kind = IPN_KIND_SOCK,
				  .port = door->info.port,
				  .flags = IPN_PF_READER | IPN_PF_WRITER,
				  .uid = door->info.uid,
				  .name = "unix",
				  .netns_fd = -1,
				  .descr = door->descr };
	struct answer a = { "" };
	struct node *node;
	int r = connect_path(door->fd, peer);

	if (r)
		return r;
	door->source = sd_event_source_disable_unref(door->source);
	r = node_sock(door->net, &want, util_take_fd(&door->fd), &node, &a);
	if (r) {
		say(LOG_ERR, "%s: %s", door->info.path, a.text[0] ? a.text : strerror(-r));
		return r;
	}
	sock_door(node, door);
	sock_complete(node);
	door_changed(door);
	return 0;
}

/* Somebody writes: the first is the one it is for. Its first message is only a greeting. */
static int on_greeting(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct door *door = arg;
	struct sockaddr_un peer = { 0 };
	socklen_t len = sizeof(peer);
	char byte;

	(void)source;
	(void)events;
	if (recvfrom(fd, &byte, 1, MSG_DONTWAIT, (void *)&peer, &len) < 0 ||
	    len <= offsetof(struct sockaddr_un, sun_path) || len > sizeof(peer) ||
	    peer.sun_path[0] != '/')
		return 0; /* who has no name cannot be answered */
	if (unix_join(door, &peer) && door->fd < 0)
		return unix_again(door);
	return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *arg)
{
	struct door *door = arg;
	struct sockaddr_un peer = { .sun_family = AF_UNIX };
	struct answer a = { "" };
	int r;

	(void)usec;
	if (door->fd < 0 && file_open(door, SOCK_DGRAM, door->info.mode, &a)) {
		say(LOG_ERR, "%s: %s", door->info.path, a.text);
		return 0; /* somebody else has its path by now */
	}
	door_changed(door);
	if (!door->info.peer[0])
		return sd_event_add_io(door->m->event, &door->source, door->fd, EPOLLIN,
				       on_greeting, door);
	memcpy(peer.sun_path, door->info.peer, sizeof(peer.sun_path));
	r = unix_join(door, &peer);
	if (!r)
		return 0;
	sd_event_source_set_time_relative(source, RETRY_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Waits for the program, anew with a new socket if the last one was a port. */
static int unix_again(struct door *door)
{
	int r;

	if (!door->retry)
		r = sd_event_add_time_relative(door->m->event, &door->retry, CLOCK_MONOTONIC, 0, 0,
					       on_retry, door);
	else
		r = sd_event_source_set_time_relative(door->retry, RETRY_US);
	if (r >= 0)
		r = sd_event_source_set_enabled(door->retry, SD_EVENT_ONESHOT);
	return r < 0 ? r : 0;
}

void door_port_gone(struct door *door)
{
	if (!door->ending && !door->net->dying && unix_again(door))
		say(LOG_ERR, "%s: cannot wait for another program", door->info.path);
}

/* After a restart: its socket is a port, which went on. */
static bool unix_taken(const struct door *door)
{
	struct manager *m = door->m;

	for (__u32 i = 0; i < IPN_MAX_NODES; i++)
		if (m->node_by_id[i] && sock_is_of(m->node_by_id[i], door->id))
			return true;
	return false;
}

/* Opens the directory that the door's socket is in. */
static int dir_find(struct door *door)
{
	char dir[IPN_PATH_MAX];

	util_copy(dir, sizeof(dir), door->info.path);
	if (door->info.kind == IPN_DOOR_UNIX)
		strrchr(dir, '/')[dir[1] && strrchr(dir, '/') == dir] = '\0';
	door->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return door->dir_fd < 0 ? -errno : 0;
}

static int unix_begin(struct door *door, struct answer *a)
{
	int r = dir_find(door);

	if (r)
		return ANSWER(a, r, "the directory of %s: %s", door->info.path, strerror(-r));
	if (unix_taken(door))
		return 0;
	r = kept_socket_good(door) ? 0 : file_open(door, SOCK_DGRAM, door->info.mode, a);
	return r ? r : unix_again(door);
}

/*
 * Makes the files of the door and waits for clients. On failure nothing is left of it. kept: what
 * the keeper had of it, or NULL.
 */
static int door_begin(struct net *net, __u32 id, const struct ipn_door *info, const char *descr,
		      struct kept *kept, struct answer *a)
{
	struct door *door = calloc(1, sizeof(*door));
	struct manager *m = net->m;
	int r;

	if (!door)
		return -ENOMEM;
	door->m = m;
	door->net = net;
	door->id = id;
	door->info = *info;
	door->info.net = net->id;
	if (descr)
		memcpy(door->descr, descr, sizeof(door->descr));
	door->fd = door->dir_fd = -1;
	if (kept) {
		door->fd = util_take_fd(&kept->fds[0]);
		memcpy(door->descr, kept->msg.descr, sizeof(door->descr));
		kept->taken = true;
	}
	net->bound++; /* a network that somebody can come into is in use */
	r = punt_begin(m);
	if (!r)
		r = info->kind == IPN_DOOR_VDE ? vde_begin(door, a) : unix_begin(door, a);
	if (r < 0) {
		if (!a->text[0])
			ANSWER(a, r, "%s: %s", info->path, strerror(-r));
		door_end(door);
		return r;
	}
	door->next = m->doors;
	m->doors = door;
	door_changed(door);
	return 0;
}

int door_open(struct net *net, const struct ipn_door *want, const char *descr, struct answer *a)
{
	struct manager *m = net->m;
	struct ipn_door found;
	__u32 id = 0;
	int r;

	if (want->path[0] != '/')
		return ANSWER(a, -EINVAL, "%s is no absolute path", want->path);
	if (want->peer[0] && want->peer[0] != '/')
		return ANSWER(a, -EINVAL, "%s is no absolute path", want->peer);
	if (want->kind == IPN_DOOR_VDE && strlen(want->path) + NAME_ROOM > IPN_PATH_MAX)
		return ANSWER(a, -ENAMETOOLONG, "%s: too long for sockets in it (at most %u bytes)",
			      want->path, IPN_PATH_MAX - NAME_ROOM);
	if (!bpf_policy_takes_socks(m->bpf, net->info.policy))
		return ANSWER(
			a, -EOPNOTSUPP,
			"%s has a policy (%u) without a program for sock ports: it takes none",
			net->info.path, net->info.policy);
	for (struct door *d = m->doors; d; d = d->next)
		if (!strcmp(d->info.path, want->path))
			return ANSWER(a, -EEXIST, "%s is attached already, to %s", want->path,
				      d->net->info.path);
	while (id < IPN_MAX_NODES && !bpf_map_lookup_elem(m->bpf->fd_doors, &id, &found))
		id++;
	r = door_begin(net, id, want, descr, NULL, a);
	if (r)
		return r;
	r = punt_go(m);
	if (r) {
		door_end(door_find_id(m, id));
		return ANSWER(a, r, "%s: cannot start a thread: %s", want->path, strerror(-r));
	}
	return 0;
}

int door_close(struct net *net, const char *path, struct answer *a)
{
	struct door *door = door_find(net, path);

	if (!door)
		return ANSWER(a, -ENOENT, "%s is not attached to %s", path, net->info.path);
	door_end(door);
	return 0;
}

int door_from_config(struct net *net, const struct ipn_door *want, const char *descr,
		     struct answer *a)
{
	struct door *door = door_find(net, want->path);
	int r;

	if (!door) {
		r = door_open(net, want, descr, a);
		if (!r)
			net->m->doors->from_config = true; /* the newest */
		return r;
	}
	if (door->info.kind != want->kind || door->info.mode != want->mode ||
	    door->info.port != want->port || strcmp(door->info.peer, want->peer) != 0)
		return ANSWER(
			a, -EEXIST,
			"%s is attached with another kind, mode, port or peer (detach it first, "
			"or write those)",
			want->path);
	memcpy(door->descr, descr, sizeof(door->descr)); /* the map does not keep it */
	return 0;
}

void door_undo_config(struct manager *m)
{
	for (struct door *d = m->doors, *next; d; d = next) {
		next = d->next;
		if (d->from_config)
			door_end(d);
	}
}

void door_close_net(struct net *net)
{
	struct door *d, *next;

	for (d = net->m->doors; d; d = next) {
		next = d->next;
		if (d->net == net)
			door_end(d);
	}
}

/* Files of clients whose ports ended with a manager: we gave them their names. */
static void files_remove(struct manager *m, __u32 id, const struct ipn_door *info)
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
		if (node >= IPN_MAX_NODES || !m->node_by_id[node] ||
		    !sock_has_file(m->node_by_id[node], id, name))
			unlinkat(dirfd(d), name, 0);
	}
	closedir(d);
}

/* It cannot be opened again, and what came in by it ends. */
static void door_lost(struct manager *m, __u32 id, const struct ipn_door *info)
{
	struct door door = { .info = *info, .dir_fd = -1 };

	for (__u32 i = 0; i < IPN_MAX_NODES; i++)
		if (m->node_by_id[i] && sock_is_of(m->node_by_id[i], id))
			node_del(m->node_by_id[i], 0, false);
	if (info->kind == IPN_DOOR_VDE)
		files_remove(m, id, info);
	if (!dir_find(&door) && file_ours(&door))
		unlinkat(door.dir_fd, file_name(&door), 0);
	dir_remove(info);
	util_close_fd(&door.dir_fd);
	bpf_map_delete_elem(m->bpf->fd_doors, &id);
}

void door_adopt(struct manager *m)
{
	int fd = m->bpf->fd_doors, r;
	struct answer a;
	struct ipn_door info;
	__u32 id, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &id);

	while (more) {
		more = !bpf_map_get_next_key(fd, &id, &next);
		if (!bpf_map_lookup_elem(fd, &id, &info)) {
			struct net *net = info.net < IPN_MAX_NETS ? m->net_by_id[info.net] : NULL;

			info.path[sizeof(info.path) - 1] = '\0';
			a.text[0] = '\0';
			if (info.kind == IPN_DOOR_VDE)
				files_remove(m, id, &info);
			r = net ? door_begin(net, id, &info, NULL, keep_find(m, KEEPER_DOOR(id), 0),
					     &a)
				: -ENOENT;
			if (r) {
				say(LOG_ERR, "door %s: cannot open it again: %s", info.path,
				    a.text[0] ? a.text : strerror(-r));
				door_lost(m, id, &info);
			}
		}
		id = next;
	}
	sock_adopt_rest(m);
	keep_rest(m);
	r = m->punt ? punt_go(m) : 0;
	if (r)
		say(LOG_ERR, "cannot start a thread: sock ports are cut off from others: %s",
		    strerror(-r));
}

void door_free_all(struct manager *m)
{
	while (m->doors)
		door_let_go(m->doors);
}
