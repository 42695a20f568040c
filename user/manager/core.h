/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manager's objects and who owns them.
 *
 *	struct manager   owns everything below
 *	struct net       one network; owned by the manager until net_del
 *	struct node      one port in use; owned by its net until node_del
 *	struct session   one control connection; may refer to a net (bound) and to a node
 *
 * One thread, so no locks. What the BPF programs see is changed in an order that is right at every
 * step: a port can be delivered to (port_out) only when all behind it stands, and stops being so
 * first of all when it goes. The death of the manager between two steps is repaired by adopt.c.
 */
#ifndef IPN_MANAGER_CORE_H
#define IPN_MANAGER_CORE_H

#include <ipn/control.h>
#include <systemd/sd-event.h>

#include "bpf.h"
#include "common/util.h"
#include "config.h"
#include "fdstore.h"
#include "l3.h"
#include "link.h"
#include "manager.h"
#include "perm.h"
#include "common/errtext.h"
#include "common/log.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include <uthash.h>
#pragma GCC diagnostic pop

/* What one user without privilege may hold. */
#define QUOTA_SESSIONS 2048
#define QUOTA_NETS 64
#define QUOTA_NODES 1024
#define QUOTA_MONITORS 16          /* each costs something at every event */
#define QUOTA_MEMORY (512UL << 20) /* bytes of logs */

#define LOG_BYTES_MAX (256UL << 20) /* one log */

struct user {
	uid_t uid;
	__u32 sessions;
	__u32 monitors;
	__u32 nets;
	__u32 nodes;
	size_t memory;
	__u64 used, used_at;  /* us of the manager's time, lately: session.c */
	struct ghost *ghosts; /* logs that are held though their networks and ports are gone */
	__u32 nghosts, reap_at;
	unsigned int closing; /* of its descriptors, under way: async_close.c */
	UT_hash_handle hh;
};

struct net_key {
	__u64 dev;
	__u64 ino;
};

struct node;
struct listener;
struct fdstore_entry;
struct session;
struct manager;

struct net {
	struct manager *m;
	struct net_key key;
	UT_hash_handle hh;
	__u32 id;
	struct ipn_net_info info;
	int path_fd; /* O_PATH; holds the inode, so that its number is not used again. -1: lost */
	int log_fd;
	const struct ipn_log_head *head; /* of the log, one page, read-only */
	__u32 log_class;
	__u32 slots;
	struct node **ports; /* info.numnodes of them */
	__u32 nports, readers, writers;
	__u32 bound;     /* sessions that keep it alive */
	__u32 gso;       /* what its containers were told: see gso.c. 0: nobody knows */
	bool counts_new; /* bells are still to be rung for them */
	bool dying;
	bool from_config; /* made by the file of this start */
};

/* A policy, built in or loaded: policy.c. */
struct policy {
	__u32 number;
	bool builtin;
	char name[IPN_POLICY_NAME_MAX];
	int call[IPN_CALLS]; /* programs; -1: it has none */
};

struct xsk;
struct xsk_job;

struct node {
	struct net *net;
	struct session *session; /* NULL: interface, or adopted */
	__u32 ifindex;
	UT_hash_handle hh;
	struct ipn_port_in in; /* as in the map */
	struct ipn_port_info info;
	struct ipn_page *page; /* process nodes: theirs, mapped; believe nothing */
	size_t memory;
	__u32 gso;               /* what the other end was told */
	__u64 overrun;           /* as the monitors know it */
	sd_event_source *holder; /* after a restart: tells of the end of the process it is of */
	struct node *peer;       /* cable: the other end, which lives as long as this one */
	struct xsk *xsk;         /* xsk ports: xsk.c */
	bool from_config;
	struct sock *sock; /* of a sock port */
	bool announced;    /* its policy was told that it is there */
};

enum node_id_state { ID_STALE = 0, ID_FRESH, ID_USED };

struct node_log {
	__u32 slots; /* 0: none */
	__u8 log_class;
	bool unused; /* prepared, not handed out */
};

struct manager {
	struct manager_opts opts;
	struct bpf_state *bpf;
	struct link_ctx *link;
	sd_event *event;
	struct net *nets; /* by inode */
	struct net *net_by_id[IPN_MAX_NETS];
	struct node *nodes; /* by ifindex */
	struct node *node_by_id[IPN_MAX_NODES];
	__u8 id_state[IPN_MAX_NODES];
	struct node_log id_log[IPN_MAX_NODES]; /* the log that stands at this id */
	struct node_log want_log;              /* what the last process needed, and the next may */
	__u32 ids_fresh;
	sd_event_source *refill;
	sd_event_source *counts;
	sd_event_source *overruns;
	bool batch_delete; /* interfaces that end now are only marked; batch_delete_end removes them all */
	__u32 batch_count;
	__u32 orphans[IPN_MAX_NODES]; /* interfaces that should go by themselves */
	__u32 norphans;
	sd_event_source *orphan_timer;
	__u32 gen; /* last one given out */
	struct user *users;
	struct policy *policies[IPN_POLICY_MAX];
	struct listener *listeners;
	struct fdstore *fdstore;     /* NULL: nothing was to be kept yet */
	struct punt *punt;           /* NULL: there was no listener yet */
	sd_event_source *sock_check; /* while there are sock ports */
	__u32 socks, socks_waiting;
	struct loading *loadings; /* on their way */
	struct session *sessions;
	struct async_close *async_close;
	int run_fd;      /* the run directory */
	int lock_fd;     /* in it */
	int bpf_lock_fd; /* directory on the bpffs, locked */
	int listen_fd;
	int watch_fd;
	int spare_fd;            /* given up to answer a connection when descriptors run out */
	bool run_locked, locked; /* the first lock is ours; both are */
	bool made_run_dir, made_bpffs_dir;
	bool adopting; /* ports are not complete: their count is not published */
	bool down;     /* remove everything on the way out */
	bool closing;  /* only this process ends: nobody is to be told anything */
	__u64 started; /* monotonic, us */
};

/* user.c part of net.c: quotas; root has none. Returns 0 or -EDQUOT with the answer filled in. */
struct user *user_get(struct manager *m, uid_t uid);
int user_may(struct manager *m, struct user *u, __u32 nets, __u32 nodes, size_t memory,
	     struct errtext *a);
/*
 * The log at `index` of its map will be handed out no more; the user's memory goes down by `bytes`
 * as soon as nobody holds it. To be called before it is replaced.
 */
void user_log_gone(struct manager *m, struct user *u, __u32 log_class, __u32 index, size_t bytes);
void users_free(struct manager *m);

/* net.c */
struct net *net_find(struct manager *m, const struct perm_inode *inode);
/*
 * Makes a network for the inode of path_fd (not taken). `info` has policy, mtu, numnodes, pool,
 * flags, mode, persistent, uid and path; zeros become defaults. Errors as for IPN_CTL_NET_ADD.
 */
int net_add(struct manager *m, const struct ipn_net_info *info, int path_fd,
	    const struct perm_inode *inode, struct net **out, struct errtext *a);
/* Takes all its ports away, tells their holders, and frees it. */
void net_del(struct net *net);
/* Ends it if nothing keeps it alive. */
void net_unused(struct net *net);
void net_describe(struct net *net, struct ipn_ctl_net *out);
int net_adopt(struct manager *m, __u32 id, const struct ipn_net_info *info);
size_t net_log_bytes(__u32 log_class, __u32 slots);
/* The first place in `port_out` and `flood_list` with n free in a row, cleared. -ENOSPC. */
int net_place(struct manager *m, __u32 n, __u32 *base);
void net_place_clear(struct manager *m, __u32 base, __u32 n);

/* fstype.c: -EOPNOTSUPP unless the inode's file system answers by itself. client: or 0 */
int fstype_check(int fd, pid_t client, struct errtext *a);

/* resize.c: errors as for IPN_CTL_RESIZE */
int net_resize(struct net *net, __u32 numnodes, struct errtext *a);
/* Returns when no program runs any more that began before. */
void net_wait_programs(struct net *net);

/* node.c */
struct node_fds {
	int tap, bell, page, log, node_log, room; /* owned by the caller; -1: none */
};
void node_fds_close(struct node_fds *fds);
struct node_want {
	enum ipn_kind kind;
	__s32 port;  /* or IPN_PORTNO_ANY */
	__u32 flags; /* IPN_PF_READER, IPN_PF_WRITER */
	__u32 uid;
	__u32 pid;
	const char *name;  /* devices; LINK_NAME_AUTO: the next that is free */
	int netns_fd;      /* veth: -1 none */
	const char *descr; /* IPN_DESCR_MAX bytes, maybe unterminated */
	__u32 frames;      /* xsk */
	__u32 frame_size;
	bool own;
};
/* A process joins: all or nothing. *cursor: the first message of the network's log that it gets. */
int node_connect(struct net *net, const struct node_want *want, struct node **out,
		 struct node_fds *fds, __u64 *cursor, struct errtext *a);
/* A device joins: all or nothing. */
int node_attach(struct net *net, const struct node_want *want, struct node **out,
		struct errtext *a);
/*
 * The parts of joining, for cable.c. node_new takes a port and all numbers, and node_del takes back
 * whatever stands; with its interface it becomes a source; node_deliver: messages go to it.
 */
int node_new(struct net *net, const struct node_want *want, size_t memory, struct node **out,
	     struct errtext *a);
int node_source(struct node *node);
int node_deliver(struct node *node);
/* why: 0 its holder left; else the errno its holder is told. device_gone: nothing to remove. */
void node_del(struct node *node, int why, bool device_gone);
/* Writes node->port and what follows from it into the maps. */
int node_publish(struct node *node);
/* Counts a network's readers and writers anew. */
void node_count(struct net *net);
int node_shutdown(struct node *node, int how);
/* Writes node->port into `port_in` if it differs. */
int node_store(struct node *node);
void node_describe(struct node *node, struct ipn_ctl_port *out, bool stats);
int node_adopt(struct manager *m, const struct ipn_port_in *port);
/* A link changed or went. */
void node_link_event(const struct link_info *info, bool gone, void *manager);
void node_check_links(struct manager *m);
/* Removes the interfaces of processes that left, if they still stand. */
void node_orphans_end(struct manager *m);
/* Between these two, the interfaces of ports that end are marked and then removed all at once. */
void batch_delete_begin(struct manager *m);
void batch_delete_end(struct manager *m);
/* The group of marked interfaces. */
__u32 batch_delete_group(const struct manager *m);
int node_refill(struct manager *m);

/* netdev.c: interfaces of the host, and those of sockets */
/* Finds the interface and notes in the port's flags what will be done to it. -EINVAL, -EBUSY. */
int grab_find(struct node *node, const char *name, struct errtext *a);
/* Does it; the port stands in `port_in`. */
int grab_begin(struct node *node);
/* Is it still the interface that was grabbed? */
bool grab_stands(struct manager *m, __u32 ifindex);
/* Leaves the interface as it was found. flags: of the port. */
void grab_end(struct manager *m, __u32 ifindex, __u32 flags);
/* The other end of a veth of the host. -ENODEV. */
int netdev_far(struct node *node, struct link_info *far);
/* The port of an interface of this namespace, by name, or else by index. NULL: none. */
struct node *netdev_find(struct manager *m, const char *name, __u32 ifindex);
/* The process that holds it from now on. */
int netdev_hold(struct node *node, __u32 pid);
/* off: it ends with its socket, which may be now. */
int netdev_persist(struct node *node, bool on);
/* After a restart: ports that end with a process. */
void netdev_watch_holders(struct manager *m);

/*
 * cable.c: joins two networks, all or nothing. want: uid and descr; ports: numbers, or
 * IPN_PORTNO_ANY.
 */
int cable_add(struct net *const nets[2], const struct node_want *want, const __s32 ports[2],
	      struct node *ends[2], struct errtext *a);
void cable_adopt(struct manager *m);
/* Takes over how its interface is: up or not. */
int node_link_state(struct node *node, const struct link_info *link);

/* xsk.c: AF_XDP ports */
/* Fills in defaults. -EINVAL. */
int xsk_check(const struct net *net, struct node_want *want, struct errtext *a);
/* Makes the interface; and, when the node stands in `port_in`, what is at the far end. */
int xsk_make(struct node *node, const char *pattern, const struct node_want *want, __u32 mtu);
int xsk_begin(struct node *node);
int xsk_attach(struct node *node);
int xsk_adopt(struct node *node);
/* Removes what a manager that died left of ports that are not there. */
void xsk_adopt_rest(struct manager *m);
/* After a restart: looks for the end of sockets that no session has. */
int xsk_watch(struct manager *m);
/* Takes it off the node; only lets go of it. */
void xsk_end(struct node *node);
void xsk_free(struct node *node);
/* Does somebody receive there? Any other port: true. */
bool xsk_ready(const struct node *node);
/* Looks whether somebody does, and makes the port up or down. */
int xsk_check_held(struct node *node);
void xsk_stats(const struct node *node, struct ipn_stats *out);
/* Begins to make a socket for the session, which gets its answer later. Errors: IPN_CTL_XSK_OPEN */
int xsk_open(struct node *node, struct session *s, __u32 pid, struct errtext *a);
/* The session ended: that it waited for, that had the socket. */
void xsk_forget(struct xsk_job *job);
void xsk_left(struct node *node);
/* sock.c: sock ports */
/*
 * A socket joins, which is connected to a program's (and is taken, also when this fails).
 * want->uid: of that socket, or this is refused.
 */
int node_sock(struct net *net, const struct node_want *want, int fd, struct node **out,
	      struct errtext *a);
/* Its step between `port_in` and `port_out`. -EPERM the other socket is another user's; -EADDRINUSE. */
int sock_begin(struct node *node, int fd);
void sock_end(struct node *node);
/* At the end of the manager: only lets go of it. */
void sock_let_go(struct node *node);
/* All of it stands: from now on it outlives the manager. */
void sock_complete(struct node *node);
/*
 * After a restart: the part of a port that the fdstore had. sock_adopt_rest, when listeners stand
 * and there is an event loop: what of it needs those. It ends ports whose client is gone.
 */
int sock_adopt(struct node *node, struct fdstore_entry *stored);
void sock_adopt_rest(struct manager *m);
/* Is that its file, in the directory of this listener? */
bool sock_has_file(const struct node *node, __u32 listener, const char *file);
/* Did it come in by this listener? */
bool sock_is_of(const struct node *node, __u32 listener);
/* The client's other connection, whose end is the port's (taken); listener: where it came from. */
int sock_stream(struct node *node, int stream);
/* Says something there. */
int sock_reply(struct node *node, const void *data, size_t len);
/* A file that goes with the port: in the directory dir_fd, which must outlive it. */
void sock_file(struct node *node, int dir_fd, const char *file);
/* Where it came in. */
void sock_listener(struct node *node, struct listener *listener);
struct listener *sock_of(const struct node *node);
/* Its client says goodbye. */
void sock_bye(struct manager *m, __u32 node, __u32 gen);

/* fdstore.c: the fdstore, see fdstore.c */
struct fdstore_entry {
	struct fdstore_msg msg;
	int fds[FDSTORE_FDS]; /* -1: none, or taken */
	bool taken;
};
/* At start: receives what the fdstore has, if there is one. */
void fdstore_take(struct manager *m);
/* What it has in a slot; the port or listener that takes the descriptors says so. NULL: nothing. */
struct fdstore_entry *fdstore_find(struct manager *m, __u32 slot, __u32 gen);
/* Ends what nobody took. */
void fdstore_rest(struct manager *m);
/* ms, for which there was no manager before this one; very long if nobody knows. */
__u64 fdstore_alone(struct manager *m);
/* From now on there is an fdstore while there are listeners. */
void fdstore_begin(struct manager *m);
/* What is to be kept in this slot may have changed. */
void fdstore_touch(struct manager *m, __u32 slot);
/* `down`: the fdstore ends, and with it whatever it has. */
void fdstore_end(struct manager *m);
/* Only lets go of it. */
void fdstore_free(struct manager *m);
/*
 * What is to be kept of the port of a node (sock.c), of a listener (listener.c): gen, listener,
 * nfds, file, descr, and the descriptors, which stay theirs. False: nothing.
 */
bool sock_stored(struct manager *m, __u32 node, struct fdstore_msg *msg, int fds[FDSTORE_FDS]);
bool listener_stored(struct manager *m, __u32 listener, struct fdstore_msg *msg,
		     int fds[FDSTORE_FDS]);
bool listener_there(struct manager *m, __u32 listener);

/*
 * punt.c: the thread behind the ring `punt`. punt_begin: ports may be added; punt_go: it begins to
 * send what is in the ring, so those that were there before must have been added.
 */
int punt_begin(struct manager *m);
int punt_go(struct manager *m);
void punt_end(struct manager *m);
/* The socket of a port; del returns when the thread will not use it again. */
void punt_add(struct manager *m, __u32 node, int fd);
void punt_del(struct manager *m, __u32 node);
/* Returns when the thread has forgotten what it read in the maps before. */
void punt_wait(struct manager *m);
void punt_zero(struct manager *m, __u32 node);
/* Adds what the thread has counted. */
void punt_describe(struct manager *m, __u32 node, struct ipn_stats *stats);

/* manager.c: the path of a network that `net add` made, if it still is the same inode */
void net_path_remove(const struct net *net);

/* apply.c: makes what the file says and is not there. On failure nothing of it is left. */
struct config;
int config_apply(struct manager *m, struct config *config, struct errtext *a);

/* user/vde/listener.c: where sock ports come in */
/* Errors as for IPN_CTL_VDE. */
int listener_open(struct net *net, const struct ipn_listener *want, const char *descr,
		  struct errtext *a);
int listener_close(struct net *net, const char *path, struct errtext *a);
/* The same from the configuration file: it may be there as it is wanted. */
int listener_from_config(struct net *net, const struct ipn_listener *want, const char *descr,
			 struct errtext *a);
/* Closes those that listener_from_config opened. */
void listener_undo_config(struct manager *m);
/* UNIX: its port is gone, and another program may come. */
void listener_port_gone(struct listener *listener);
/* All of a network, with their files. */
void listener_close_net(struct net *net);
/* Its key in the map `listeners`, and the other way; the directory that its files are in. */
__u32 listener_id(const struct listener *listener);
struct listener *listener_find_id(struct manager *m, __u32 id);
int listener_dir(const struct listener *listener);
/* After a restart: those of the map `listeners`, and what came in by them. */
void listener_adopt(struct manager *m);
/* Lets go of all; their files stay. */
void listener_free_all(struct manager *m);

/* gso.c */
__u32 gso_want(const struct net *net);
/* Tells the containers of a network, if that has changed. */
void gso_update(struct net *net);

/*
 * policy.c. policy_init: the built-in ones, and those that were loaded before if there is a fabric.
 * policy_load, policy_unload: errors as for IPN_CTL_POLICY_LOAD and _UNLOAD.
 */
int policy_init(struct manager *m);
void policy_free_all(struct manager *m);
/*
 * Begins to load a policy; `done` is called when it is there or was refused (r, with the answer),
 * unless it is cancelled before. *out is the manager's, and NULL again when it has ended.
 */
struct loading;
typedef void (*policy_loaded_fn)(void *arg, __u32 number, int r, const struct errtext *a);
int policy_load(struct manager *m, int file, __u32 number, const char *name, policy_loaded_fn done,
		void *arg, struct loading **out, struct errtext *a);
void policy_load_cancel(struct loading *l);
void policy_load_cancel_all(struct manager *m);
int policy_unload(struct manager *m, __u32 number, struct errtext *a);
/* The number of a policy by its name; 0: there is none. */
__u32 policy_find(struct manager *m, const char *name);
void policy_describe(struct manager *m, __u32 number, struct ipn_ctl_policy *out);
bool policy_has(const struct net *net, enum ipn_policy_call which);
/*
 * Runs a callback. net and node (or NULL) fill in what `call` says of them; name, len and data are
 * the caller's, and data is as the callback left it. Returns what the callback did (>= 0, or
 * -errno), or -EOPNOTSUPP when the policy has none.
 */
int policy_call(struct net *net, const struct node *node, enum ipn_policy_call which,
		struct ipn_call *call);
/* setsockopt, getsockopt, ioctl: of loaded and of built-in policies. The answer says what is
 * wrong. */
int policy_option(struct net *net, const struct node *node, enum ipn_policy_call which,
		  struct ipn_call *call, struct errtext *a);
/* The same for callbacks that tell the policy something and want nothing. */
void policy_tell(struct net *net, const struct node *node, enum ipn_policy_call which);
/* newport: the policy chooses, or refuses, the port. *want becomes its choice. */
int policy_newport(struct net *net, enum ipn_kind kind, __u32 flags, __u32 uid, __s32 *want,
		   struct errtext *a);

/* adopt.c: makes nets and nodes from the maps, removes what is half made. */
int adopt(struct manager *m);

/* monitor.c: tells the monitors. node: of that port. */
void monitor_tell(struct manager *m, struct net *net, struct node *node, __u32 what);
/* A policy was loaded or unloaded; a policy refused a port, with this errno. */
void monitor_policy(struct manager *m, const struct policy *p, __u32 what);
void monitor_refused(struct net *net, enum ipn_kind kind, __u32 uid, int err);
/* A monitor came: from now on overruns are looked for, while there is one. */
int monitor_begin(struct manager *m);

/* async_close.c: closes the descriptors of clients where that holds nobody up */
int async_close_new(struct manager *m);
/* False: it is at work still, and counts in struct user. */
bool async_close_free(struct manager *m);
void fd_drop(struct manager *m, struct user *u, int fd);
/* A socket of somebody who is no session: recv(), close() of what may hold unread descriptors */
ssize_t stranger_recv(struct manager *m, int fd, void *buf, size_t size);
void stranger_close(struct manager *m, int *fd);
/* So many descriptors of that user cannot be closed that no more are taken. */
bool user_stuck(struct user *u);

/* session.c */
/* To every monitor that may see the network (NULL: all). How many monitors there are. */
__u32 session_tell(struct manager *m, struct net *net, const struct ipn_ctl_event *event);
int session_listen(struct manager *m);
void session_free(struct session *s);
/* Those of users who are not stuck any more. */
void sessions_go_on(struct manager *m);
/* At the very end: what the sockets hold goes with the process. */
void sessions_forget(struct manager *m);
void session_drop_net(struct manager *m, struct net *net);
void session_drop_node(struct session *s);
/* It has the socket of this node, or (NULL) no longer: then it is ended. */
void session_take_xsk(struct session *s, struct node *node);
/* Its request is answered when the job is done: until then (NULL) nothing more is read from it. */
void session_waits_for(struct session *s, struct xsk_job *job);
/* That answer. status: 0 or -errno with `a`. It may end the session. */
void session_answer(struct session *s, int status, const struct errtext *a, const void *body,
		    size_t len, const int *fds, unsigned int nfds);

#endif
