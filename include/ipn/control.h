/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control protocol between clients (libipn, the command line) and the manager.
 *
 * A SEQPACKET unix socket, RUN_DIR/control. A client sends one request per packet and reads one
 * reply per request, in order; the next request may only follow the reply (a client that does not
 * read its replies is disconnected). Every packet starts with struct ipn_ctl_hdr. File descriptors
 * travel by SCM_RIGHTS; descriptors that a request does not call for are closed.
 *
 * A connection is a session, and a session is at most one node: its end (close, exit, crash) ends
 * the node. The end of the manager does not: the node lives as long as its tap is held, and a new
 * manager takes it over (IPN_CTL_REJOIN links it to a new session).
 *
 * Networks are named by a descriptor of the path's inode, opened by the client with O_PATH: the
 * client's own rights and mount namespace lead there, and the manager judges that inode for the
 * credentials of the peer. In lists, paths are text, as given when the network was made.
 *
 * status of a reply: 0 or an errno; then the body is one line of text (not NUL-terminated) which
 * says what was wrong with which value and what to do.
 */
#ifndef IPN_CONTROL_H
#define IPN_CONTROL_H

#include "abi.h"
#include "policy_abi.h"

#define IPN_CTL_MAGIC 0x49504e43u /* host order: both ends are on one machine */
#define IPN_CTL_VERSION 1
#define IPN_CTL_SOCKET "control" /* in the run directory */
#define IPN_CTL_RUN_DIR "/run/ipn-fabric"
#define IPN_CTL_BPFFS "/sys/fs/bpf"
#define IPN_CTL_BPFFS_SUBDIR "ipn-fabric/v1" /* below the bpffs directory */
#define IPN_CTL_ENV_RUN_DIR "IPN_FABRIC_RUN_DIR"
#define IPN_CTL_ENV_BPFFS "IPN_FABRIC_BPFFS"
#define IPN_CTL_MAX_PACKET 32768 /* bytes, header included, both ways */
#define IPN_CTL_MAX_FDS 8

/* clang-format off */
enum ipn_ctl_type {
	IPN_CTL_INFO = 1,   /* -                    -> ipn_ctl_info */
	IPN_CTL_NET_ADD,    /* ipn_ctl_net_add      -> ipn_ctl_net       fds: path */
	IPN_CTL_NET_DEL,    /* -                    -> -                 fds: path */
	IPN_CTL_BIND,       /* ipn_ctl_bind         -> ipn_ctl_net       fds: path */
	IPN_CTL_CONNECT,    /* ipn_ctl_connect      -> ipn_ctl_connected fds: [path] */
	IPN_CTL_SHUTDOWN,   /* ipn_ctl_shutdown     -> - */
	IPN_CTL_DESCR,      /* ipn_ctl_descr        -> - */
	IPN_CTL_REJOIN,     /* -                    -> ipn_ctl_connected fds: tap; reply: none */
	IPN_CTL_ATTACH,     /* ipn_ctl_attach       -> ipn_ctl_port      fds: path, [netns] */
	IPN_CTL_DETACH,     /* ipn_ctl_detach       -> -                 fds: path */
	IPN_CTL_NET_LIST,   /* ipn_ctl_list         -> ipn_ctl_page + ipn_ctl_net[]  fds: [path] */
	IPN_CTL_PORT_LIST,  /* ipn_ctl_list         -> ipn_ctl_page + ipn_ctl_port[] fds: [path] */
	IPN_CTL_FDB_LIST,   /* ipn_ctl_list         -> ipn_ctl_page + ipn_ctl_fdb[]  fds: path */
	IPN_CTL_DOWN,       /* -                    -> -  then the manager removes all and ends */
	IPN_CTL_NET_GET,    /* -                    -> ipn_ctl_net       of the session's network */
	IPN_CTL_MONITOR = 16, /* -           -> -  then ipn_ctl_event, one a packet  fds: [path] */
	IPN_CTL_RESIZE = 23, /* ipn_ctl_resize      -> ipn_ctl_net       of the session's network */

	IPN_CTL_POLICY_LOAD = 24, /* ipn_ctl_policy_load -> ipn_ctl_policy fds: object file */
	IPN_CTL_POLICY_UNLOAD = 25, /* ipn_ctl_policy_unload -> - */
	IPN_CTL_POLICY_LIST = 26, /* ipn_ctl_list   -> ipn_ctl_page + ipn_ctl_policy[]; by number */
	IPN_CTL_SETSOCKOPT = 27, /* ipn_ctl_option  -> - */
	IPN_CTL_GETSOCKOPT = 28, /* ipn_ctl_option  -> ipn_ctl_option */
	IPN_CTL_IOCTL = 29, /* ipn_ctl_option       -> ipn_ctl_option */

	IPN_CTL_NETDEV = 30, /* ipn_ctl_netdev      -> CONN, JOIN: ipn_ctl_port; else - */
	IPN_CTL_CABLE = 31, /* ipn_ctl_cable        -> ipn_ctl_port[2]   fds: path, path */
	IPN_CTL_XSK_OPEN = 38, /* ipn_ctl_xsk_open  -> ipn_ctl_xsk       fds: path; reply: two */

	IPN_CTL_QUOTA_LIST = 39, /* ipn_ctl_list    -> ipn_ctl_page + ipn_ctl_quota[] */

	IPN_CTL_LIFELINE = 44, /* -                 -> ipn_ctl_lifeline  fds: socket */
	IPN_CTL_NET_DEL_ID = 45, /* ipn_ctl_net_del_id -> - */
	IPN_CTL_LOG = 40, /* ipn_ctl_log           -> -   fds: tap; reply: the next log */

	IPN_CTL_VDE = 36,  /* ipn_ctl_listener          -> -                 fds: path */
	IPN_CTL_UNIX = 37, /* ipn_ctl_listener          -> -                 fds: path */
	IPN_CTL_TYPES = 64,
};
/* clang-format on */

struct ipn_ctl_hdr {
	__u32 magic;
	__u16 version;
	__u16 type;   /* of the request; repeated in the reply */
	__u32 id;     /* chosen by the client; repeated in the reply */
	__u32 len;    /* of the whole packet */
	__s32 status; /* requests: 0 */
	__u32 pad;    /* 0 */
};

struct ipn_ctl_info {
	__u32 pid;
	__u32 nets;
	__u32 ports;
	__u32 uptime;  /* s */
	__u32 adopted; /* 1: this manager took over a running fabric */
	__u32 hook;    /* enum ipn_hook of devices */
	char version[16];
	char bpffs[IPN_PATH_MAX]; /* the fabric's directory of pins */
	char netns[IPN_PATH_MAX]; /* name given with --netns, or empty */
};

/*
 * The client has made the socket inode at the path already (mknod: the mode is ruled by its umask)
 * and removes it again if the request fails.
 * Errors: EEXIST the inode is a live network; EINVAL a number out of range (the text says which);
 * EPROTONOSUPPORT no such policy; EPERM not the owner of the inode; ENOTSOCK not a socket inode;
 * ENOSPC no network or port numbers left; EDQUOT over the user's quota; ENOMEM.
 */
struct ipn_ctl_net_add {
	__u32 policy; /* not IPN_ANY */
	__u32 mtu;    /* 0 anywhere below: the default */
	__u32 numnodes;
	__u32 pool;
	__u32 flags;
	__u32 mode;       /* asked for, before umask: for show */
	__u32 persistent; /* 0: it ends with its last node or bound session; binds the session */
	__u32 routes;     /* policy l3: of each family */
	char path[IPN_PATH_MAX]; /* absolute, as the client sees it; NUL-terminated */
	__u8 pad2[4];
};

/*
 * Removes a network by its number, whose path may be gone or out of reach. Errors: ECONNREFUSED no
 * network of that number, or none that the asker may see; EPERM not its manager.
 */
struct ipn_ctl_net_del_id {
	__u32 id;
	__u32 pad;
};

/*
 * The socket is one end of a pair (AF_UNIX, SOCK_SEQPACKET), the other is the descriptor that a
 * program has of its socket: nothing can be sent from there, and when nobody has it any more, this
 * session ends. What the session holds (a bound network, an interface) does not end before: not
 * with the connection, nor with the manager. The reply says what the socket has already, since the
 * connection before this. Errors: EISCONN; EINVAL it is no such socket, or something is in it.
 */
struct ipn_ctl_lifeline {
	__u32 bound;   /* 1: to a network, and this session is now */
	__u32 ifindex; /* of the interface that is its node, and this session's now; 0: none */
};

/* Errors: ECONNREFUSED no live network; EPERM no x; EPROTO other policy; EISCONN */
struct ipn_ctl_bind {
	__u32 policy;
	__u32 pad;
};

/*
 * Errors: ECONNREFUSED no live network; EACCES neither side is left; EPROTO other policy;
 * EADDRNOTAVAIL no free port, or the one asked for is taken or out of range; EISCONN;
 * EDQUOT; without a path fd on an unbound session ENOTCONN.
 *
 * Reply fds, in this order, those whose bit is in `fds`: the tap (always), the bell, the page,
 * the network's log, the node's own log (these two only for readers), the room bell.
 */
#define IPN_CTL_KNOWS_LOG 1 /* LOG; a reader that does not is detached when its log is exchanged */
#define IPN_CTL_FD_TAP 1
#define IPN_CTL_FD_BELL 2
#define IPN_CTL_FD_PAGE 4
#define IPN_CTL_FD_LOG 8
#define IPN_CTL_FD_NODELOG 16
#define IPN_CTL_FD_ROOM 32 /* LOSSLESS, writers: a bell that rings when the pool has room again */
struct ipn_ctl_connect {
	__u32 policy;
	__s32 port;     /* IPN_PORTNO_ANY or a number */
	__u32 shutdown; /* sides closed before: 1 receive, 2 send */
	__u32 knows;    /* IPN_CTL_KNOWS_*: what else the client can do; a manager ignores others */
	char descr[IPN_DESCR_MAX];
};

/*
 * A reader's page says (`log`) that the network has got another log than the one the reader has,
 * whose serial it tells. By any connection: the tap says whose reader it is. It gets the log after
 * that, as long as the manager keeps it, else the network's; the log itself tells serial and start.
 * Errors: ENOTCONN the tap belongs to no process's port; EACCES it may not receive any more.
 */
struct ipn_ctl_log {
	__u64 serial;
};

struct ipn_ctl_net {
	__u32 id;
	__u32 policy;
	__u32 mtu;
	__u32 numnodes;
	__u32 pool;
	__u32 flags;
	__u32 persistent;
	__u32 uid;
	__u32 mode;  /* permission bits of the inode now */
	__u32 ports; /* in use */
	__u32 readers;
	__u32 writers;
	char path[IPN_PATH_MAX];
	__u8 pad[4];
};

struct ipn_ctl_connected {
	struct ipn_ctl_net net;
	__u32 port;
	__u32 node;
	__u32 flags;     /* IPN_PF_READER, IPN_PF_WRITER: what is open */
	__u32 fds;       /* IPN_CTL_FD_*: what came with this reply */
	__u32 log_class; /* of both logs */
	__u32 log_mask;  /* network's log: slots - 1 */
	__u32 node_log_mask;
	__u32 bell_size; /* bytes */
	__u64 cursor;    /* first message of the network's log that this node gets */
	__u64 node_cursor;
};

/* how: SHUT_RD, SHUT_WR, SHUT_RDWR. Errors: ENOTCONN, EINVAL */
struct ipn_ctl_shutdown {
	__u32 how;
	__u32 pad;
};

struct ipn_ctl_descr {
	char descr[IPN_DESCR_MAX];
};

/*
 * kind: TAP, VETH, HOST, GRAB, XSK. VETH: the interface `name` is made in the network namespace of
 * the second descriptor, or, without one, in the fabric's.
 * Errors: EPERM without CAP_NET_ADMIN or without x; EADDRNOTAVAIL as for connect; EEXIST the name
 * is in use; EINVAL bad name; EBADF the second descriptor is no network namespace; ECONNREFUSED.
 */
struct ipn_ctl_attach {
	__u32 kind;
	__s32 port;
	char name[IPN_NAME_MAX];
	char descr[IPN_DESCR_MAX];
	/* XSK: EINVAL if out of bounds, or too small for the MTU; EDQUOT frames * frame_size */
	__u32 frames;     /* a power of two; 0: the default */
	__u32 frame_size; /* 2048 or 4096; 0: 2048 */
	__u32 own;        /* 1: the program makes the socket itself */
	__u32 pad;
};

/*
 * Takes the AF_XDP socket of an xsk port, which is named, or told by number, or is the first that
 * is free (no name, IPN_PORTNO_ANY). The session has it from then on, and its end ends that. The
 * reply comes with two descriptors: the socket, bound, and the memory of its frames, which cannot
 * change its size. The rings have the sizes told here; where they are is for getsockopt to say
 * (XDP_MMAP_OFFSETS). The first half of the frames stands in the fill ring already. The reply can
 * take a while: the kernel lets go of the last socket late.
 * Errors: ECONNREFUSED; EACCES without both r and w; EPERM without CAP_NET_RAW; ENOENT no such xsk
 * port; EBUSY somebody has it; EOPNOTSUPP its socket is the program's own; EISCONN the session has
 * something already.
 */
struct ipn_ctl_xsk_open {
	char name[IPN_NAME_MAX];
	__s32 port;
	__u32 pad;
};
struct ipn_ctl_xsk {
	__u32 port;
	__u32 ifindex; /* of the interface it is bound to, queue 0 */
	__u32 frames;
	__u32 frame_size;
	__u32 rx; /* entries of the rings */
	__u32 tx;
	__u32 fill;
	__u32 completion;
	__u32 mtu; /* longest frame */
	__u32 pad;
	char name[IPN_NAME_MAX];
};

/*
 * Joins two networks, whose ports are the ends; DETACH of either removes both.
 * Errors: as for attach, of either network; EINVAL both paths are one network.
 */
struct ipn_ctl_cable {
	__s32 port[2];
	char descr[IPN_DESCR_MAX];
};

/* Errors: ECONNREFUSED; EPERM; ENOENT nothing at that port */
struct ipn_ctl_detach {
	__u32 port;
	__u32 pad;
};

/*
 * The session is bound. Errors: ENOTCONN it is not; EINVAL out of range; EADDRINUSE a port to be
 * cut is in use; ENOSPC no room for so many ports; and what the policy says that refuses.
 */
struct ipn_ctl_resize {
	__u32 numnodes;
	__u32 pad;
};

/*
 * The interface requests of a socket. CONN and JOIN make the interface the node of the session,
 * which ends with it unless it is persistent. The interface is named, or else told by its number.
 * Errors: EPERM without CAP_NET_ADMIN; ENOTCONN not bound (CONN, JOIN, PERSIST); EISCONN;
 * CONN: as for attach, EINVAL also for other flags; JOIN: EADDRNOTAVAIL no such port, or a session
 * has it, EPERM it is of another network; PERSIST: ENODEV the session's node is no interface;
 * PERSIST_OF: EADDRNOTAVAIL no such port; MAC: EADDRNOTAVAIL the session has no interface that was
 * made for it, or no address for one.
 */
enum ipn_netdev_op {
	IPN_NETDEV_CONN = 1,
	IPN_NETDEV_JOIN,
	IPN_NETDEV_PERSIST,    /* of the session's own, on or off */
	IPN_NETDEV_PERSIST_OF, /* of the one named; off and no session has it: it ends */
	IPN_NETDEV_MAC,
};
struct ipn_ctl_netdev {
	__u32 op;
	__u32 flags; /* CONN: IPN_NODEFLAG_TAP or GRAB; PERSIST, PERSIST_OF: on */
	__u32 ifindex;
	__s32 port;              /* CONN: IPN_PORTNO_ANY or a number */
	char name[IPN_NAME_MAX]; /* CONN, TAP: empty for the first ipn%d that is free */
	__u8 mac[6];
	__u8 pad[2];
	char descr[IPN_DESCR_MAX];
};

/*
 * A listener: where programs come in that talk over unix sockets. VDE: path is a directory; it is
 * made with that mode if it is not there, and gets a socket `ctl` of that mode. UNIX: path is a
 * datagram socket that is made with that mode; peer: the socket of the program it talks to, or
 * empty: who writes first. Both paths are absolute, as the manager sees them. Errors: EPERM without
 * CAP_NET_ADMIN or without x; EINVAL, ENAMETOOLONG the path; EEXIST it is a listener already;
 * EADDRINUSE there is such a file, of somebody else; EOPNOTSUPP the network's policy takes no sock
 * ports; CLOSE: ENOENT it is no listener of this network.
 */
enum ipn_ctl_listener_op { IPN_LISTENER_OPEN = 1, IPN_LISTENER_CLOSE = 2 };
struct ipn_ctl_listener {
	__u32 op;
	__u32 mode;
	__s32 port; /* UNIX: IPN_PORTNO_ANY or a number */
	__u32 pad;
	char path[IPN_PATH_MAX];
	__u8 pad2[4];
	char peer[IPN_PATH_MAX];
	__u8 pad3[4];
	char descr[IPN_DESCR_MAX];
};

struct ipn_ctl_list {
	__u64 from;  /* 0, then `next` of the page before, until that is 0 */
	__u32 stats; /* PORT_LIST: 1 fills the counters */
	__u32 pad;
};

struct ipn_ctl_page {
	__u64 next;
	__u32 count;
	__u32 pad;
};

struct ipn_ctl_port {
	__u32 net;
	__u32 port;
	__u32 kind;
	__u32 flags;
	__u32 ifindex;
	__u32 uid;
	__u32 pid; /* process nodes; 0 unknown */
	/* PORT_LIST, LOSSLESS: senders wait for this port to read, for so long; 0: they do not */
	__u32 holds_ms;
	char name[IPN_NAME_MAX];
	char path[IPN_PATH_MAX];
	__u8 pad2[4];
	char descr[IPN_DESCR_MAX];
	struct ipn_stats stats;  /* sum over CPUs */
	__u32 peer_port;         /* cable: the other end's port and network */
	char peer[IPN_PATH_MAX]; /* empty: no cable, or a network the asker has no rights on */
};

struct ipn_ctl_fdb {
	__u16 vlan;
	__u8 mac[6];
	__u32 port;
	__u32 age; /* s since last seen */
	__u32 pad;
};

/*
 * The file is read by the manager, in a process of its own with limits on size and time.
 * Errors: EPERM without CAP_NET_ADMIN; EEXIST the number or the name is taken; EINVAL a number out
 * of range, a bad name, no handlemsg, or more than a policy may have; ENOEXEC not a BPF object of
 * this machine; EPROTO of another ABI version; EACCES the verifier refuses it; EFBIG; ETIMEDOUT.
 */
struct ipn_ctl_policy_load {
	__u32 number;
	__u32 pad;
	char name[IPN_POLICY_NAME_MAX];
};

/* Errors: EPERM; ENOENT no such policy; EADDRINUSE a network uses it; EINVAL it is built in */
struct ipn_ctl_policy_unload {
	__u32 number;
	__u32 pad;
};

struct ipn_ctl_policy {
	__u32 number;
	__u32 builtin; /* 1: cannot be unloaded */
	__u32 calls;   /* bit per enum ipn_policy_call that it has */
	__u32 nets;    /* networks that use it */
	char name[IPN_POLICY_NAME_MAX];
};

/*
 * What a user has of one resource, and the most it may have. Root is told of all users and of all
 * together; others of themselves. Root itself has no limit (most: 0).
 */
#define IPN_QUOTA_ALL 0xffffffffU /* uid: all users but root together */
struct ipn_ctl_quota {
	__u32 uid;
	__u32 pad;
	__u64 used;
	__u64 most;
	/*
	 * "sessions", "networks", "ports", "places", "memory" (bytes), "closing"; of the manager's
	 * loop "loop ms", "loop share" (of 1000, most) and "put off" (requests)
	 */
	char what[16];
};

/*
 * An option at the level of the policy of the session's network, or an ioctl that only it knows.
 * Errors: ENOTCONN the session has no network; EPROTONOSUPPORT another level; EOPNOTSUPP the policy
 * has none; EINVAL len; and what the policy says.
 */
struct ipn_ctl_option {
	__s32 level; /* ioctl: 0 */
	__u32 name;  /* of the option, or the request */
	__u32 len;   /* of data; getsockopt: room for it */
	__u32 pad;
	__u8 data[IPN_CALL_DATA];
};

IPN_ABI_ASSERT(ipn_ctl_policy_load, 24);
IPN_ABI_ASSERT(ipn_ctl_policy, 32);
IPN_ABI_ASSERT(ipn_ctl_option, 16 + IPN_CALL_DATA);
IPN_ABI_ASSERT(ipn_ctl_hdr, 24);
IPN_ABI_ASSERT(ipn_ctl_net_add, 144);
IPN_ABI_ASSERT(ipn_ctl_net_del_id, 8);
IPN_ABI_ASSERT(ipn_ctl_lifeline, 8);
IPN_ABI_ASSERT(ipn_ctl_net, 160);
IPN_ABI_ASSERT(ipn_ctl_connect, 144);
IPN_ABI_ASSERT(ipn_ctl_connected, 208);
IPN_ABI_ASSERT(ipn_ctl_log, 8);
IPN_ABI_ASSERT(ipn_ctl_attach, 168);
IPN_ABI_ASSERT(ipn_ctl_xsk_open, 24);
IPN_ABI_ASSERT(ipn_ctl_xsk, 56);
IPN_ABI_ASSERT(ipn_ctl_netdev, 168);
IPN_ABI_ASSERT(ipn_ctl_listener, 368);
IPN_ABI_ASSERT(ipn_ctl_list, 16);
IPN_ABI_ASSERT(ipn_ctl_page, 16);
IPN_ABI_ASSERT(ipn_ctl_port, 320 + 8 * IPN_DROP_MAX + 4 + IPN_PATH_MAX);
IPN_ABI_ASSERT(ipn_ctl_cable, 8 + IPN_DESCR_MAX);
IPN_ABI_ASSERT(ipn_ctl_fdb, 20);

/*
 * What a monitor is told, live: packets with the type IPN_CTL_MONITOR. Such a session takes no
 * other request. A monitor that does not keep up loses events, and is told how many.
 */
enum ipn_ctl_what {
	IPN_WATCH_NET_ADD = 1,
	IPN_WATCH_NET_DEL,
	IPN_WATCH_JOIN,    /* port, kind, name, uid, pid */
	IPN_WATCH_LEAVE,   /* the same */
	IPN_WATCH_COUNTS,  /* readers, writers */
	IPN_WATCH_OVERRUN, /* count: messages lost by a reader since the last look, once a second */
	IPN_WATCH_LOST,    /* count: events that were lost here */
	IPN_WATCH_POLICY,  /* loaded: port is its number, name its name; no path */
	IPN_WATCH_POLICY_GONE, /* unloaded: the same */
	/*
	 * A port was refused by the policy `name`; or, without a name, a program that came in by a
	 * listener, uid, pid, for that port (or IPN_PORTNO_ANY). kind; count: errno
	 */
	IPN_WATCH_REFUSED,
	/*
	 * LOSSLESS: senders have waited for more than 1 s for this port to read, count: ms. Once
	 * for each time
	 */
	IPN_WATCH_HOLDS,
};
struct ipn_ctl_event {
	__u64 time; /* ns, CLOCK_REALTIME */
	__u64 count;
	__u32 what;
	__u32 port;
	__u32 kind; /* enum ipn_kind */
	__u32 uid;
	__u32 pid;
	__u32 readers;
	__u32 writers;
	__u32 pad;
	char path[IPN_PATH_MAX];
	char name[IPN_NAME_MAX];
	__u8 pad2[4];
};

#endif
