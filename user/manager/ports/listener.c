// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Listeners: where programs come in that know nothing of the fabric, and become sock ports.
 *
 *	VDE   a directory with a socket `ctl`, as vde_switch has: each client becomes a port
 *	UNIX  the path of a datagram socket, for one program: a port as long as it is there
 *
 * A listener belongs to its network and ends with it, by `detach`, or by `down`.
 *
 * Its names are its opener's. All that is made, connected to or removed by a path is done by a
 * process with the identity of the opener, in his mount namespace (access/asuser.h): so it has his
 * rights, means what he means by it, and takes his time and not the manager's. Each step goes on
 * when that process has answered:
 *
 *	open	VDE: directory and `ctl`; UNIX: the socket. Then the row in the map `listeners`
 *	peer	UNIX: the socket is connected to the program's
 *	close	the socket and the directory are removed, if they still are what was made. A
 *		listener that closes while it is being opened is kept for that long (opened_late)
 *
 * After the death of a manager its socket is in the fdstore (fdstore/store.c), with the identity of
 * its opener: who knocks meanwhile waits, and the next manager goes on with it. It is looked at
 * then whether the path still leads to it; if not, or without an fdstore, the listener is opened
 * again, in place of the file that the row says is ours and of no other.
 *
 * The way in of VDE clients: vde_client.c.
 */
#include "manager/ports/listener.h"

#include <bpf/bpf.h>
#include <ipn/af_ipn.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/async_close.h"
#include "manager/access/asuser.h"
#include "manager/core/events.h"
#include "manager/core/lifeline.h"
#include "manager/core/net.h"
#include "manager/core/node.h"
#include "manager/core/punt.h"
#include "manager/fdstore/client.h"
#include "manager/kernel/bpf.h"
#include "manager/ports/sock.h"
#include "manager/ports/vde_client.h"

/* seccomp: manager: memfd_create ftruncate mmap openat getsockopt */

#define CTL "ctl"
#define RETRY_US 500000
#define NAME_ROOM 16 /* "/" and the name of a port's socket */

static int unix_again(struct listener *listener);

/* --- listeners --- */

static struct listener *listener_find(struct net *net, const char *path)
{
	for (struct listener *d = net->f->listeners; d; d = d->next)
		if (d->net == net && !strcmp(d->info.path, path))
			return d;
	return NULL;
}

/* The path of the listener's socket. */
static void file_path(const struct ipn_listener *info, char path[IPN_PATH_MAX])
{
	if (info->kind == IPN_LISTENER_VDE)
		snprintf(path, IPN_PATH_MAX, "%.91s/" CTL, info->path);
	else
		util_copy(path, IPN_PATH_MAX, info->path);
}

/* Its descriptors in the fdstore: the socket, and those of who opened it, as far as there are. */
_Static_assert(FDSTORE_FDS >= 1 + ASUSER_ID_FDS, "all of a listener's");

static void stored_add(struct fdstore_msg *msg, int *fds, __u32 place, int fd)
{
	msg->which |= 1U << place;
	fds[msg->nfds++] = fd;
}

static void stored_take(struct fdstore_entry *stored, int out[1 + ASUSER_ID_FDS])
{
	__u32 n = 0;

	for (__u32 place = 0; place <= ASUSER_ID_FDS; place++) {
		out[place] = -1;
		if (stored->msg.which & 1U << place && n < FDSTORE_FDS)
			out[place] = util_take_fd(&stored->fds[n++]);
	}
	stored->taken = true;
}

static bool listener_stored(struct fabric *f, __u32 number, struct fdstore_msg *msg, int *fds)
{
	struct listener *listener = listener_by_id(f, number);
	int id[ASUSER_ID_FDS];

	if (!listener || listener->opening)
		return false;
	asuser_id_fds(listener->who, id);
	if (listener->fd >= 0)
		stored_add(msg, fds, 0, listener->fd);
	for (__u32 i = 0; i < ASUSER_ID_FDS; i++)
		if (id[i] >= 0)
			stored_add(msg, fds, 1 + i, id[i]);
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

static void tell(struct listener_wait **wait, int status, const struct errtext *e)
{
	static const struct errtext none = { "" };
	struct listener_wait *w = *wait;

	*wait = NULL;
	if (w && w->fn)
		w->fn(w->arg, status, e ? e : &none);
	free(w);
}

static void listener_free(struct listener *listener)
{
	asuser_id_unref(listener->who);
	free(listener);
}

/* Out of the fabric. While it is being opened it is there for on_opened still. */
static void listener_let_go(struct listener *listener)
{
	struct listener **at = &listener->f->listeners;

	vde_clients_end(listener);
	while (*at && *at != listener)
		at = &(*at)->next;
	if (*at)
		*at = listener->next;
	listener->source = sd_event_source_disable_unref(listener->source);
	listener->retry = sd_event_source_disable_unref(listener->retry);
	util_close_fd(&listener->fd);
	listener->fd = -1;
	if (listener->opening)
		return;
	asuser_forget(listener->call);
	listener_free(listener);
}

/* --- files --- */

void listener_file_remove(struct fabric *f, struct asuser_id *who, const char *path, __u64 dev,
			  __u64 ino)
{
	struct asuser_job job = { .op = ASUSER_UNLINK, .dev = dev, .ino = ino, .fd = -1 };

	util_copy(job.path, sizeof(job.path), path);
	asuser_start(f->asuser, who, &job, NULL, NULL);
}

void listener_port_file_remove(struct listener *listener, const char *name, __u64 dev, __u64 ino)
{
	char path[IPN_PATH_MAX];

	snprintf(path, sizeof(path), "%.91s/%.15s", listener->info.path, name);
	listener_file_remove(listener->f, listener->who, path, dev, ino);
}

/* The last of the files of a listener that closes. */
struct removal {
	struct listener_wait *wait;
	char dir[IPN_PATH_MAX];
};

static void on_removed(void *arg, struct asuser_result *result)
{
	struct removal *removal = arg;

	/* when something of others is in it: clients that died may have left their sockets */
	if (removal->dir[0] && result->status && result->status != -ENOENT)
		log_warning("%s stays: %s", removal->dir, strerror(-result->status));
	tell(&removal->wait, 0, NULL);
	free(removal);
}

/* Removes the socket, and the directory if it was made for it. -ENOMEM: `wait` is not taken. */
static int files_remove(struct fabric *f, struct asuser_id *who, const struct ipn_listener *info,
			struct listener_wait *wait)
{
	struct removal *removal = calloc(1, sizeof(*removal));
	struct asuser_job job = {
		.op = ASUSER_UNLINK, .dev = info->dev, .ino = info->ino, .fd = -1
	};

	file_path(info, job.path);
	if (info->made_dir) {
		asuser_start(f->asuser, who, &job, NULL, NULL);
		job.op = ASUSER_RMDIR;
		util_copy(job.path, sizeof(job.path), info->path);
	}
	if (removal) {
		removal->wait = wait;
		if (info->made_dir)
			util_copy(removal->dir, sizeof(removal->dir), info->path);
	}
	if (removal && asuser_start(f->asuser, who, &job, on_removed, removal))
		return 0;
	free(removal);
	return -ENOMEM;
}

/* With its clients and its files. An error: `wait` is not taken. */
static int listener_end(struct listener *listener, struct listener_wait *wait)
{
	struct fabric *f = listener->f;
	struct net *net = listener->net;
	struct node *node, *tmp;
	__u32 id = listener->id;
	int r = 0;

	listener->ending = true;
	HASH_ITER(hh, f->nodes, node, tmp) {
		if (sock_listener(node) == listener)
			node_del(node, 0, false);
	}
	tell(&listener->wait, -ENETDOWN, NULL);
	if (listener->opening)
		listener->wait = wait; /* opened_late removes the files */
	else
		r = files_remove(f, listener->who, &listener->info, wait);
	bpf_map_delete_elem(f->bpf->fd_listeners, &id);
	listener_let_go(listener);
	fdstore_touch(f->fdstore, FDSTORE_LISTENER(id));
	net->bound--;
	net_unused(net);
	return r;
}

/* --- open --- */

static int open_error(const struct ipn_listener *info, int r, struct errtext *e)
{
	char path[IPN_PATH_MAX];

	file_path(info, path);
	switch (-r) {
	case EADDRINUSE:
		return err_text(e, r,
				"%s exists and is not of this fabric (remove it, or choose another "
				"path)",
				path);
	case ENOTDIR:
	case ELOOP:
		return err_text(e, r, "%s: %s (give a directory, or a name that is free)",
				info->path, strerror(-r));
	case EACCES:
	case EPERM:
		return err_text(e, r,
				"%s: %s, for who attaches it (choose a directory that you may "
				"write to)",
				info->path, strerror(-r));
	case ETIMEDOUT:
		return err_text(e, r, "%s: its file system does not answer (choose another path)",
				info->path);
	case EBUSY:
		return err_text(e, r, "%s: too much of yours is under way (try again later)",
				info->path);
	}
	return err_text(e, r, "%s: %s", info->path, strerror(-r));
}

/* Its socket is there: it waits for clients. */
static int listener_go(struct listener *listener)
{
	int r = listener_store(listener);

	if (!r)
		r = listener->info.kind == IPN_LISTENER_VDE ? vde_clients_begin(listener)
							    : unix_again(listener);
	if (!r)
		listener_changed(listener);
	return r;
}

/* It was closed meanwhile. */
static void opened_late(struct listener *listener, bool made)
{
	if (!made || files_remove(listener->f, listener->who, &listener->info, listener->wait))
		tell(&listener->wait, 0, NULL);
	listener_free(listener);
}

static void on_opened(void *arg, struct asuser_result *result)
{
	struct listener *listener = arg;
	struct errtext e = { "" };
	int r = result->status;

	listener->opening = false;
	listener->call = NULL;
	if (!r) {
		listener->info.made_dir |= result->made;
		listener->info.dev = result->dev;
		listener->info.ino = result->ino;
	}
	if (listener->ending) {
		opened_late(listener, !r);
		return;
	}
	if (!r) {
		listener->fd = util_take_fd(&result->fd);
		r = listener->fd < 0 ? -EMFILE : listener_go(listener);
		if (!r)
			r = punt_go(listener->f);
	}
	if (!r) {
		tell(&listener->wait, 0, NULL);
		return;
	}
	open_error(&listener->info, r, &e);
	if (!listener->wait)
		log_err("listener: %s", e.text);
	tell(&listener->wait, r, &e);
	listener_end(listener, NULL);
}

/* Makes the listener's socket, in place of one of our own only. */
static int listener_make(struct listener *listener)
{
	const struct ipn_listener *info = &listener->info;
	struct asuser_job job = {
		.op = info->kind == IPN_LISTENER_VDE ? ASUSER_VDE : ASUSER_BIND,
		.mode = info->mode,
		.dev = info->dev,
		.ino = info->ino,
		.fd = -1,
		.file = CTL,
	};

	util_copy(job.path, sizeof(job.path), info->path);
	listener->call =
		asuser_start(listener->f->asuser, listener->who, &job, on_opened, listener);
	listener->opening = listener->call;
	return listener->call ? 0 : -ENOMEM;
}

void listener_turned_away(struct listener *listener, __u32 uid, __u32 pid, __s32 port, int why)
{
	event_emit(listener->f, &(struct event){ .type = EVENT_TURNED_AWAY,
						 .net = listener->net,
						 .kind = IPN_KIND_SOCK,
						 .uid = uid,
						 .pid = pid,
						 .port = port,
						 .err = -why });
}

/* --- one program, by a path --- */

/*
 * The socket is connected to the program's and becomes a port. Who opened the listener has
 * capabilities, which count in the manager's user namespace alone: so its account is its uid.
 */
static int unix_join(struct listener *listener)
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
	int r;

	listener->source = sd_event_source_disable_unref(listener->source);
	r = sock_attach(listener->net, &want, util_take_fd(&listener->fd), &node, &a);
	if (r && r != listener->refused) { /* it is tried again and again */
		log_err("%s: %s", listener->info.path, a.text[0] ? a.text : strerror(-r));
		listener_turned_away(listener, want.uid, 0, want.port, r);
	}
	listener->refused = r;
	if (r)
		return r;
	sock_set_listener(node, listener);
	sock_complete(node);
	listener_changed(listener);
	return 0;
}

/* It was connected to the program that it is for, or not. */
static void on_connected(void *arg, struct asuser_result *result)
{
	struct listener *listener = arg;
	int r = result->status;

	listener->call = NULL;
	if (!r)
		r = unix_join(listener);
	if (!r)
		return;
	if (listener->fd < 0 || listener->info.peer[0])
		unix_again(listener);
	else if (listener->source) /* the next may be who it is for */
		sd_event_source_set_enabled(listener->source, SD_EVENT_ON);
}

static int unix_connect(struct listener *listener, const char *path)
{
	struct asuser_job job = { .op = ASUSER_CONNECT, .fd = listener->fd };

	if (util_copy(job.path, sizeof(job.path), path))
		return -ENAMETOOLONG;
	listener->call =
		asuser_start(listener->f->asuser, listener->who, &job, on_connected, listener);
	return listener->call ? 0 : -ENOMEM;
}

/* Somebody writes: the first is the one it is for. Its first message is only a greeting. */
static int on_greeting(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct listener *listener = arg;
	struct {
		struct sockaddr_un addr;
		char end;
	} peer = { 0 };
	socklen_t len = sizeof(peer.addr);
	char byte;

	(void)events;
	if (recvfrom(fd, &byte, 1, MSG_DONTWAIT, (void *)&peer.addr, &len) < 0 ||
	    len <= offsetof(struct sockaddr_un, sun_path) || len > sizeof(peer.addr) ||
	    peer.addr.sun_path[0] != '/')
		return 0; /* who has no name cannot be answered */
	if (!unix_connect(listener, peer.addr.sun_path))
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

/* The socket is there: it waits for the program. */
static int unix_wait(struct listener *listener)
{
	if (listener->info.peer[0])
		return unix_connect(listener, listener->info.peer);
	return sd_event_add_io(listener->f->event, &listener->source, listener->fd, EPOLLIN,
			       on_greeting, listener);
}

static void on_bound_again(void *arg, struct asuser_result *result)
{
	struct listener *listener = arg;
	struct errtext e = { "" };

	listener->opening = false;
	listener->call = NULL;
	if (!result->status) {
		listener->info.dev = result->dev;
		listener->info.ino = result->ino;
	}
	if (listener->ending) {
		opened_late(listener, !result->status);
		return;
	}
	if (result->status) {
		open_error(&listener->info, result->status, &e);
		log_err("%s", e.text); /* somebody else has its path by now */
		return;
	}
	listener->fd = util_take_fd(&result->fd);
	listener_store(listener);
	listener_changed(listener);
	if (unix_wait(listener) < 0)
		unix_again(listener);
}

static int unix_bind_again(struct listener *listener)
{
	struct asuser_job job = { .op = ASUSER_BIND,
				  .mode = listener->info.mode,
				  .dev = listener->info.dev,
				  .ino = listener->info.ino,
				  .fd = -1 };

	util_copy(job.path, sizeof(job.path), listener->info.path);
	listener->call =
		asuser_start(listener->f->asuser, listener->who, &job, on_bound_again, listener);
	listener->opening = listener->call;
	return listener->call ? 0 : -ENOMEM;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *arg)
{
	struct listener *listener = arg;
	int r;

	(void)source;
	(void)usec;
	if (listener->call)
		return 0;
	r = listener->fd < 0 ? unix_bind_again(listener) : unix_wait(listener);
	return r < 0 ? unix_again(listener) : 0;
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
	if (listener->info.kind == IPN_LISTENER_UNIX && !listener->ending &&
	    !listener->net->dying && unix_again(listener))
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

/* --- begin --- */

static struct listener *listener_new(struct net *net, __u32 id, const struct ipn_listener *info,
				     const char *descr, struct asuser_id *who)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	struct fabric *f = net->f;

	if (!listener)
		return NULL;
	listener->f = f;
	listener->net = net;
	listener->id = id;
	listener->info = *info;
	listener->info.net = net->id;
	listener->who = asuser_id_ref(who);
	listener->port_gone = port_gone;
	listener->fd = -1;
	if (descr)
		memcpy(listener->descr, descr, sizeof(listener->descr));
	net->bound++; /* a network that somebody can come into is in use */
	listener->next = f->listeners;
	f->listeners = listener;
	return listener;
}

static int open_check(struct net *net, const struct ipn_listener *want, struct errtext *e)
{
	if (want->path[0] != '/')
		return err_text(e, -EINVAL, "%s is no absolute path", want->path);
	if (want->peer[0] && want->peer[0] != '/')
		return err_text(e, -EINVAL, "%s is no absolute path", want->peer);
	if (want->kind == IPN_LISTENER_VDE && strlen(want->path) + NAME_ROOM > IPN_PATH_MAX)
		return err_text(e, -ENAMETOOLONG,
				"%s: too long for sockets in it (at most %u bytes)", want->path,
				IPN_PATH_MAX - NAME_ROOM);
	if (!bpf_policy_takes_socks(net->f->bpf, net->info.policy))
		return err_text(
			e, -EOPNOTSUPP,
			"%s has a policy (%u) without a program for sock ports: it takes none",
			net->info.path, net->info.policy);
	for (struct listener *d = net->f->listeners; d; d = d->next)
		if (!strcmp(d->info.path, want->path))
			return err_text(e, -EEXIST, "%s is attached already, to %s", want->path,
					d->net->info.path);
	return 0;
}

int listener_open(struct net *net, const struct ipn_listener *want, const char *descr,
		  struct asuser_id *who, struct listener_wait *wait, struct errtext *e)
{
	struct fabric *f = net->f;
	struct listener *listener;
	__u32 id = 0;
	int r = open_check(net, want, e);

	if (!r)
		r = punt_begin(f, sock_bye);
	if (r)
		return r;
	while (id < IPN_MAX_NODES && listener_by_id(f, id))
		id++;
	if (id == IPN_MAX_NODES)
		return -ENOSPC;
	listener = listener_new(net, id, want, descr, who);
	if (!listener)
		return -ENOMEM;
	r = listener_make(listener);
	if (r)
		listener_end(listener, NULL);
	else
		listener->wait = wait;
	return r;
}

int listener_close(struct net *net, const char *path, struct listener_wait *wait, struct errtext *e)
{
	struct listener *listener = listener_find(net, path);

	if (!listener)
		return err_text(e, -ENOENT, "%s is not attached to %s", path, net->info.path);
	return listener_end(listener, wait);
}

struct config_wait {
	bool told;
	int status;
	struct errtext *e;
};

static void on_config(void *arg, int status, const struct errtext *e)
{
	struct config_wait *w = arg;

	w->told = true;
	w->status = status;
	*w->e = *e;
}

/* There is no loop yet: it is waited for. */
static int config_open(struct net *net, const struct ipn_listener *want, const char *descr,
		       struct errtext *e)
{
	struct config_wait w = { .e = e };
	struct listener_wait *wait = calloc(1, sizeof(*wait));
	struct asuser_id *who;
	struct listener *listener;
	int r = wait ? asuser_id_self(&who) : -ENOMEM;

	if (r) {
		free(wait);
		return r;
	}
	*wait = (struct listener_wait){ on_config, &w };
	r = listener_open(net, want, descr, who, wait, e);
	asuser_id_unref(who);
	if (r) {
		free(wait);
		return r;
	}
	asuser_wait(net->f->asuser, &w.told);
	listener = listener_find(net, want->path);
	if (w.told && listener)
		listener->from_config = true;
	if (w.told)
		return w.status;
	wait->fn = NULL;
	listener_end(listener, NULL);
	return open_error(want, -ETIMEDOUT, e);
}

int listener_from_config(struct net *net, const struct ipn_listener *want, const char *descr,
			 struct errtext *e)
{
	struct listener *listener = listener_find(net, want->path);

	if (!listener)
		return config_open(net, want, descr, e);
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
			listener_end(d, NULL);
	}
}

static void close_all_of(struct net *net)
{
	struct listener *d, *next;

	for (d = net->f->listeners; d; d = next) {
		next = d->next;
		if (d->net == net)
			listener_end(d, NULL);
	}
}

/* --- after a restart --- */

/* Files of clients whose ports ended with a manager go: we gave them their names. */
static void sweep(struct fabric *f, __u32 id, const struct ipn_listener *info,
		  struct asuser_id *who)
{
	_cleanup_close_ int fd = memfd_create("ipn-ports", MFD_CLOEXEC);
	_cleanup_free_ __u32 *ports = malloc(IPN_MAX_NODES * sizeof(*ports));
	struct asuser_job job = { .op = ASUSER_SWEEP, .fd = fd };

	if (fd < 0 || !ports)
		return;
	for (__u32 i = 0; i < IPN_MAX_NODES; i++) {
		const struct node *node = f->node_by_id[i];

		ports[i] = node && sock_is_of(node, id) ? node->in.number : ~0U;
	}
	if (write(fd, ports, IPN_MAX_NODES * sizeof(*ports)) !=
	    (ssize_t)(IPN_MAX_NODES * sizeof(*ports)))
		return;
	util_copy(job.path, sizeof(job.path), info->path);
	asuser_start(f->asuser, who, &job, NULL, NULL);
}

/* It cannot be opened again, and what came in by it ends. */
static void listener_lost(struct fabric *f, __u32 id, const struct ipn_listener *info,
			  struct asuser_id *who)
{
	for (__u32 i = 0; i < IPN_MAX_NODES; i++)
		if (f->node_by_id[i] && sock_is_of(f->node_by_id[i], id))
			node_del(f->node_by_id[i], 0, false);
	if (info->kind == IPN_LISTENER_VDE)
		sweep(f, id, info, who);
	files_remove(f, who, info, NULL);
	bpf_map_delete_elem(f->bpf->fd_listeners, &id);
}

/* Does its path still lead to it? Who cannot be found is opened again. */
static void on_checked(void *arg, struct asuser_result *result)
{
	struct listener *listener = arg;

	listener->call = NULL;
	if (result->status != -ESTALE && result->status != -ENOENT) {
		if (listener->info.kind == IPN_LISTENER_UNIX && unix_again(listener))
			log_err("%s: cannot wait for a program", listener->info.path);
		return;
	}
	vde_clients_end(listener);
	listener->source = sd_event_source_disable_unref(listener->source);
	util_close_fd(&listener->fd);
	listener->fd = -1;
	if (listener_make(listener))
		log_err("listener %s: cannot open it again", listener->info.path);
}

static int go_on(struct listener *listener)
{
	struct asuser_job job = {
		.op = ASUSER_CHECK, .dev = listener->info.dev, .ino = listener->info.ino, .fd = -1
	};
	int r;

	listener_changed(listener);
	if (listener->info.kind == IPN_LISTENER_UNIX && unix_taken(listener))
		return 0;
	if (listener->fd < 0)
		return listener_make(listener);
	r = listener->info.kind == IPN_LISTENER_VDE ? listener_go(listener) : 0;
	if (r)
		return r;
	file_path(&listener->info, job.path);
	listener->call =
		asuser_start(listener->f->asuser, listener->who, &job, on_checked, listener);
	return 0;
}

static int listener_adopt(struct fabric *f, __u32 id, const struct ipn_listener *info)
{
	struct net *net = info->net < IPN_MAX_NETS ? f->net_by_id[info->net] : NULL;
	struct fdstore_entry *stored = fdstore_find(f->fdstore, FDSTORE_LISTENER(id), 0);
	struct listener *listener = NULL;
	int fds[1 + ASUSER_ID_FDS] = { -1, -1, -1, -1 };
	struct asuser_id *who = NULL;
	int r;

	if (stored)
		stored_take(stored, fds);
	r = asuser_id_from(fds + 1, &who);
	if (r)
		r = asuser_id_owner(info->uid, info->uid, &who);
	if (r)
		return r;
	if (info->kind == IPN_LISTENER_VDE)
		sweep(f, id, info, who);
	r = net ? punt_begin(f, sock_bye) : -ENOENT;
	if (!r)
		listener = listener_new(net, id, info, stored ? stored->msg.descr : NULL, who);
	if (listener) {
		listener->fd = util_take_fd(&fds[0]);
		r = go_on(listener);
	} else if (!r) {
		r = -ENOMEM;
	}
	stranger_close(f->async_close, &fds[0]);
	if (!r || util_cannot_tell(r)) {
		asuser_id_unref(who);
		return r;
	}
	log_err("listener %s: cannot open it again: %s", info->path, strerror(-r));
	if (listener)
		listener_end(listener, NULL);
	else
		listener_lost(f, id, info, who);
	asuser_id_unref(who);
	return 0;
}

int listeners_adopt(struct fabric *f)
{
	int fd = f->bpf->fd_listeners, more, r;
	struct ipn_listener info;
	__u32 id, next;

	for (more = bpf_key_next(fd, NULL, &id); more > 0; id = next) {
		more = bpf_key_next(fd, &id, &next);
		r = bpf_map_lookup_elem(fd, &id, &info);
		if (!r) {
			info.path[sizeof(info.path) - 1] = '\0';
			info.peer[sizeof(info.peer) - 1] = '\0';
			r = listener_adopt(f, id, &info);
		}
		if (r)
			return r;
	}
	r = more ? more : sock_adopt_rest(f);
	if (!r && f->punt)
		r = punt_go(f);
	if (!r)
		asuser_settle(f->asuser, ASUSER_WAIT_MS); /* who is slower comes later */
	return r;
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

	if (slot >= FDSTORE_LIFELINE(0))
		return lifeline_there(f, slot - FDSTORE_LIFELINE(0));
	if (slot >= FDSTORE_NET(0))
		return f->net_by_id[slot - FDSTORE_NET(0)] != NULL;
	return slot < IPN_MAX_NODES ? f->node_by_id[slot] != NULL
				    : listener_by_id(f, slot - IPN_MAX_NODES) != NULL;
}

static bool stored_describe(void *arg, __u32 slot, struct fdstore_msg *msg, int fds[FDSTORE_FDS])
{
	struct fabric *f = arg;

	if (slot >= FDSTORE_LIFELINE(0))
		return lifeline_stored(f, slot - FDSTORE_LIFELINE(0), msg, fds);
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
