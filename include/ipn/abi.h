/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Types shared by the BPF programs, the manager and libipn: what stands in the pinned maps, in the
 * shared log, in a node's page and in its bell. Fixed-width types, explicit padding, no pointers.
 * A change of any layout here is a change of IPN_ABI_VERSION.
 *
 * Who writes what
 *   log      BPF only; the map is frozen, members map it read-only
 *   page     its process node; BPF and the manager what says so, and they believe nothing in it
 *   bell     BPF writes, the node consumes (a BPF ring buffer)
 *   net_fast manager writes the first part, BPF the sleep bits, with atomics; both `epoch`
 *   the rest manager only, except fdb and stats, which BPF writes
 */
#ifndef IPN_ABI_H
#define IPN_ABI_H

#include <linux/types.h>

#define IPN_ABI_VERSION 5

#define IPN_PATH_MAX 108    /* as sockaddr_un, with the final NUL */
#define IPN_NAME_MAX 16     /* as IFNAMSIZ */
#define IPN_DESCR_MAX 128   /* IPN_DESCRLEN */
#define IPN_MAX_NETS 256    /* networks of one fabric */
#define IPN_MAX_NODES 4096  /* attached ports of one fabric, all networks together */
#define IPN_MAX_PORTS 65536 /* sum of the sizes (numnodes) of all networks */
#define IPN_NET_PORTS 4096  /* ports of one network, at most */
#define IPN_SLEEP_WORDS (IPN_NET_PORTS / 64)
#define IPN_FDB_MAX 65536
#define IPN_CPU_FLOWS 1024 /* flows that a CPU remembers; a power of two */
/* skb->mark of a frame on a cable: this, and the hops. The rest is told in bpf/core/cable.h. */
#define IPN_CABLE_MARK 0x49430000
#define IPN_HOPS_MAX 8 /* cables between networks that a message may cross */

#define IPN_MTU_MIN 1
#define IPN_MTU_MAX 65535
#define IPN_MTU_DEFAULT 1514
#define IPN_NODES_DEFAULT 32
#define IPN_POOL_DEFAULT 8
#define IPN_POOL_MAX 65536

#define IPN_POLICY_BUILTIN 3 /* up to here: built in, or kept for it */
enum ipn_policy_number {
	IPN_POLICY_ANY = 0,
	IPN_POLICY_BROADCAST = 1,
	IPN_POLICY_SWITCH = 2,
	IPN_POLICY_L3 = 3,
	IPN_POLICY_MAX = 64, /* size of the program arrays */
};

enum ipn_kind {
	IPN_KIND_NONE = 0,
	IPN_KIND_PROC = 1,  /* process: sends through its tap, reads the log */
	IPN_KIND_TAP = 2,   /* tap for a VM */
	IPN_KIND_VETH = 3,  /* container: the far end is in another namespace */
	IPN_KIND_HOST = 4,  /* interface of the host */
	IPN_KIND_GRAB = 5,  /* interface that was there before: the host keeps its own copies */
	IPN_KIND_CABLE = 6, /* one end of a cable to another network */
	IPN_KIND_XSK = 7,   /* veth with an AF_XDP program at the far end */
	IPN_KIND_SOCK = 8,  /* unix datagram socket of a program: a VDE client, QEMU's dgram */
};
#define IPN_KINDS 9 /* size of tables by kind */

enum ipn_port_flag {
	IPN_PF_READER = 1,   /* receive side open: r permission and not shut down */
	IPN_PF_WRITER = 2,   /* send side open */
	IPN_PF_PEER = 4,     /* far end is in another namespace: redirect straight to it */
	IPN_PF_UP = 8,       /* device is up */
	IPN_PF_NODELOG = 16, /* process node with a log of its own, for unicast */

	/* for the manager: what it must know of a port when it ends, or after a restart */
	IPN_PF_HELD = 0x10000,     /* made by a process's socket, ends with it: not persistent */
	IPN_PF_PROMISC = 0x20000,  /* grabbed: we made it promiscuous */
	IPN_PF_QDISC = 0x40000,    /* grabbed: we made its clsact qdisc */
	IPN_PF_LOG = 0x80000,      /* process: was given the network's log */
	IPN_PF_FOLLOWS = 0x100000, /* process: asks for the next log when there is one */

	IPN_PF_OWN = 0x40000000, /* xsk: the program makes the AF_XDP socket itself */
};

/* Why a message was dropped. Counted at the port it came from unless said otherwise. */
enum ipn_drop {
	IPN_DROP_MTU = 0,    /* longer than the network's MTU */
	IPN_DROP_RUNT,       /* too short for the policy (no Ethernet header) */
	IPN_DROP_BAD_FRAME,  /* process node sent no valid private header */
	IPN_DROP_NOT_WRITER, /* the port has no right to send, or shut its send side down */
	IPN_DROP_NO_POLICY,  /* no program for the network's policy at this hook */
	IPN_DROP_POLICY,     /* the policy said so */
	IPN_DROP_SOURCE,     /* switch: source address is multicast or zero */
	IPN_DROP_SAME_PORT,  /* switch: the destination is behind the port it came from */
	IPN_DROP_NO_PORT,    /* destination port is gone */
	IPN_DROP_NOT_READER, /* destination may not receive, or shut its receive side down */
	IPN_DROP_PORT_DOWN,  /* destination device is down */
	IPN_DROP_NO_LOG,     /* a log is missing */
	IPN_DROP_BUSY,       /* a slower sender still held the slot a whole log later */
	IPN_DROP_REDIRECT,   /* the kernel refused to forward it */
	IPN_DROP_SEGMENTER,  /* no segmenter for a frame that must be completed for a process */
	IPN_DROP_META,       /* no room for the verdict on the way from XDP to tc */
	IPN_DROP_OVERRUN,    /* counted at a reader: messages it was too slow for */
	IPN_DROP_POOL,       /* LOSSLESS: the pool was full, and a device cannot wait */
	IPN_DROP_DEVICE,    /* counted at a device port: its own queue was full or nobody held it */
	IPN_DROP_HOPS = 19, /* came over more cables than a message may */
	/* counted at an xsk port, which could have received it */
	IPN_DROP_XSK_CLOSED = 44, /* no program has its socket */
	IPN_DROP_XSK_FULL = 45,  /* its program does not take what came: the receive ring is full */
	IPN_DROP_XSK_FILL = 46,  /* its program has given no frames to fill */
	IPN_DROP_XSK_OTHER = 47, /* the socket refused it for another reason, as too long */
	IPN_DROP_PUNT_FULL = 36, /* punt ring: full, or this port's share of it */
	IPN_DROP_PUNT_RATE = 37, /* punt ring: the port's rate */
	IPN_DROP_SLOW = 38,      /* counted at a sock port: it does not read what it is sent */
	IPN_DROP_SOCK_SIZE = 39, /* to or from a sock port: not 14 to IPN_SOCK_FRAME_MAX bytes */
	/* the layer 3 policy */
	IPN_DROP_NOT_IP = 20,     /* neither IPv4, IPv6 nor ARP, or with a VLAN tag */
	IPN_DROP_OTHER_MAC = 21,  /* not for the router's Ethernet address, or about others */
	IPN_DROP_HEADER = 22,     /* a header lies: version, length, checksum */
	IPN_DROP_MARTIAN = 23,    /* a source or destination that may not be on a wire */
	IPN_DROP_WRONG_PORT = 24, /* the source is not on this port's side */
	IPN_DROP_MULTICAST = 25,  /* multicast stays on its port */
	IPN_DROP_DIRECTED = 26,   /* directed broadcast */
	IPN_DROP_NO_ROUTE = 27,   /* no route to the destination */
	IPN_DROP_TTL = 28,        /* its hops are used up */
	IPN_DROP_TOO_BIG = 29,    /* longer than the MTU of the port it must leave by */
	IPN_DROP_NO_NEIGH = 30,   /* nobody answers for the next hop */
	IPN_DROP_HELD = 31,       /* no room to hold it until the next hop answers */
	IPN_DROP_FOR_ROUTER = 32, /* for the router itself, which has no such service */
	IPN_DROP_CLAIM = 33,      /* claims an address that somebody else has */
	IPN_DROP_LIMIT = 34,      /* the router answers only so many a second */
	IPN_DROP_MAX = 64,        /* size of the counters */
};

/* map `abi`: one entry */
struct ipn_abi {
	__u32 version;   /* IPN_ABI_VERSION */
	__u32 netns;     /* inode of the network namespace of the fabric */
	__u32 segmenter; /* ifindex of the segmenter's near end: frames for processes go in here */
	__u32 segmenter_out; /* ifindex of its far end: and come out here, whole */
	__u32 hook;          /* enum ipn_hook used for devices */
	__u32 group;         /* interface group of all that this fabric made */
};

enum ipn_hook { IPN_HOOK_TCX = 0, IPN_HOOK_CLSACT = 1 };

/* Who may read an inode, as far as its owner says; to tell whether somebody lost that right. */
struct ipn_readers {
	__u64 ctime; /* ns */
	__u64 acl;   /* a hash of its ACL; 0: none */
	__u32 mode;  /* permission bits */
	__u32 uid;
	__u32 gid;
	__u32 gone; /* 1: it has no name any more */
};

/* map `net_info`, key: network id. For people and for a new manager; no program reads it. */
struct ipn_net_info {
	enum ipn_policy_number policy;
	__u32 mtu;        /* bytes, longest message */
	__u32 numnodes;   /* ports */
	__u32 pool;       /* messages */
	__u32 flags;      /* IPN_FLAG_LOSSLESS */
	__u32 persistent; /* 1: made by `net add`, lives until `net del` */
	__u32 uid;        /* who made it */
	__u32 mode;       /* mode bits asked for at creation, before umask */
	__u32 port_base;  /* first index in `port_out` */
	__u32 routes;     /* policy l3: size of each table */
	__u64 dev;        /* identity of the path's inode */
	__u64 ino;
	__u64 btime; /* birth time of the inode, ns; tells a reused number apart */
	char path[IPN_PATH_MAX];
	__u32 account;  /* whose quota it counts for: uid, or who owns its user namespace */
	__u64 rotating; /* serial of the log that the network is about to get; 0: none */
	struct ipn_readers readers; /* when they were last looked at */
};

/* map `net_fast`, index: network id. What programs need of a network; mapped by the manager. */
struct ipn_net_fast {
	__u32 policy; /* 0: no such network */
	__u32 mtu;
	__u32 numnodes;
	__u32 port_base; /* first index in `port_out`, `flood_list`; a resize moves it */
	__u32 log_class; /* enum ipn_log_class */
	__u32 log_mask;  /* slots - 1 */
	__u32 readers;   /* process nodes whose receive side is open */
	__u32 flood_len; /* entries used in `flood_list` from port_base on (some may be 0) */
	__u32 flags;     /* IPN_FLAG_LOSSLESS */
	__u32 pool;      /* messages */
	__u32 cables;    /* ports that are ends of cables */
	__u32 devices;   /* ports that are interfaces */
	__u32 socks;     /* sock ports */
	__u32 epoch;     /* grows when what policies look at changes: see bpf/core/flow.h */
	__u32 suspect;   /* BPF: rounds in which each bell is timed: bpf/core/wake.h */
	__u32 pad1;
	__u64 sleep_any; /* bit w set: sleep[w] may be non-zero */
	__u64 pad2[7];
	__u64 sleep[IPN_SLEEP_WORDS]; /* bit per port: its process may sleep, look into its page */
	__u64 full[IPN_SLEEP_WORDS];  /* bit per port: waits for room in the pool */
};

/*
 * map `port_in`, key: ifindex of the fabric's end. Found once per message by the entry program, by
 * way of the map `port_cache`, index: ifindex modulo IPN_PORT_CACHE: a copy of the one that is
 * there.
 */
#define IPN_PORT_CACHE 16384
struct ipn_port_in {
	__u32 ifindex; /* the key again; first: see msg_start in hooks.bpf.c */
	__u32 net;     /* network id */
	__u32 number;  /* number in the network */
	enum ipn_kind kind;
	__u32 flags; /* enum ipn_port_flag */
	enum ipn_policy_number policy;
	__u32 mtu;
	__u32 account; /* whose quota it counts for, as in ipn_net_info */
	__u32 node;    /* index in stats, bells, pages; IPN_MAX_NETS + node in logs */
	__u32 gen; /* differs for each holder of this port number: old fdb entries do not match */
	__u32 flood_at; /* index of a device in `flood_list`, after the network's port_base */
	__u32 uid;      /* who attached it */
	char name[IPN_NAME_MAX]; /* process nodes: the tap; devices: the name given */
};

/* map `port_info`, key: ifindex. For people. */
struct ipn_port_info {
	char descr[IPN_DESCR_MAX];
	__u32 pid;   /* process nodes: who connected */
	__u32 netns; /* veth: inode of the namespace its other end was put into; 0: the fabric's */
};

/*
 * map `xskports`, key: ifindex of the far end of an xsk port's veth, where the program is that
 * hands frames to the AF_XDP socket in map `xsks` (index: node). Written by the manager.
 */
struct ipn_xskport {
	__u32 node;
	__u32 ifindex;    /* the fabric's end */
	__u32 frames;     /* of the memory its holder gets */
	__u32 frame_size; /* bytes */
	__u64 full;       /* lost at sockets that were closed since: see enum ipn_drop */
	__u64 fill;
	__u64 other;
};
/* map `xsk_cache`, index: ifindex modulo IPN_PORT_CACHE: where that program looks first */
struct ipn_xsk_cache {
	__u32 ifindex; /* 0: nobody's */
	__u32 node;
};
#define IPN_XSK_FRAMES_MIN 64
#define IPN_XSK_FRAMES_MAX 65536
#define IPN_XSK_FRAMES_DEFAULT 2048
#define IPN_XSK_FRAME_SMALL 2048 /* bytes, the default */
#define IPN_XSK_FRAME_LARGE 4096
#define IPN_XSK_HEADROOM 256 /* of each frame, kept by the kernel */
#define IPN_XSK_MTU_MAX 3500 /* what a veth takes that has an XDP program, in one page */

/* map `port_out`, index: the network's port_base + port */
struct ipn_port_out {
	__u32 kind;  /* enum ipn_kind; 0: free */
	__u32 flags; /* enum ipn_port_flag */
	__u32 ifindex;
	__u32 node;
	__u32 gen;
	__u32 pad;
};

/* map `fdb` */
struct ipn_fdb_key {
	__u32 net;
	__u16 vlan;
	__u8 mac[6];
};
struct ipn_fdb {
	__u32 port;
	__u32 gen;  /* of the port when learned */
	__u64 seen; /* ns, coarse monotonic clock */
};
#define IPN_FDB_AGE_NS (300ULL * 1000000000ULL)

/* map `learns`, index: node, or IPN_MAX_NODES + network id: how fast addresses are learned */
struct ipn_learn {
	__u64 next; /* ns, coarse monotonic clock: when it may learn a whole burst again */
	__u32 gen;  /* of the port; another holder begins anew */
	__u32 pad;
};

/* map `stats`, index: node, per CPU. in: from the port into the fabric; out: to the port. */
struct ipn_stats {
	__u64 in_packets;
	__u64 in_bytes;
	__u64 out_packets; /* devices only: what a process has read is in its page */
	__u64 out_bytes;
	__u64 drop[IPN_DROP_MAX];
};

/*
 * The log. Inner maps of logs_small, logs_eth and logs_jumbo: entry 0 is the head, entry
 * 1 + (n & mask) the slot of message n. All entries of a class have one size.
 *
 * A writer takes n from head, claims the slot (seq: anything older -> n + 1 with IPN_SEQ_BUSY),
 * copies, publishes seq = n + 1. A writer that finds the slot held by an older writer which is
 * still copying gives up: skip = n + 1 tells the readers that n will not come. A writer that finds
 * the slot already claimed by a newer one has been lapped and gives up silently: readers were, too.
 * Readers: look for seq == n + 1, use the data, look again.
 */
#define IPN_SEQ_BUSY (1ULL << 63)

enum ipn_log_class {
	IPN_LOG_SMALL = 0,
	IPN_LOG_ETH = 1,
	IPN_LOG_JUMBO = 2,
	IPN_LOG_CLASSES = 3,
};
#define IPN_SLOT_HDR 24
#define IPN_SLOT_SMALL 256
#define IPN_SLOT_ETH 2048
#define IPN_SLOT_JUMBO 65560 /* header + 65535, to a multiple of 8 */

struct ipn_log_head {
	__u64 head; /* messages ever numbered: the next message gets this number */
	/* LOSSLESS networks; the protocol is told in bpf/core/pool.h */
	__u64 limit;   /* numbers below this have room in the pool */
	__u64 waiting; /* somebody waits for room: who moves his cursor must say so */
	/* for people: nobody was let in at head full_at - 1, since when (ns, monotonic) */
	__u64 full_at;
	__u64 full_since;
	__u64 closed; /* no number may be taken yet: its network's last log is not complete */
	/* written before a reader gets it, and then never again */
	__u64 serial; /* of all logs that its network had */
	__u64 start;  /* its first message; on LOSSLESS networks it has some of before, too */
};

struct ipn_slot {
	__u64 seq;
	__u64 skip;
	__u32 len;
	__u32 src; /* port number of the sender */
	__u8 data[];
};

/* index in the logs_* maps */
#define IPN_LOG_OF_NET(id) (id)
#define IPN_LOG_OF_NODE(node) (IPN_MAX_NETS + (node))
#define IPN_LOG_OF_OLD(id) (IPN_MAX_NETS + IPN_MAX_NODES + (id)) /* the one before: rotate.c */
#define IPN_MAX_LOGS (2 * IPN_MAX_NETS + IPN_MAX_NODES)

/* A node's page: one page, mapped writable by its owner. */
#define IPN_PAGE_PROCESSES 60
struct ipn_page_process {
	/*
	 * Written by the program at the tap: ticket of the last frame of this process that was
	 * refused whole, and why: IPN_TX_REFUSED: a batch, and the network takes single messages
	 * only; IPN_TX_FULL: LOSSLESS, the pool is full, of the own log of the process at port
	 * IPN_TX_LOG(word) - 1, or, if that is 0, of the network's; IPN_TX_AGAIN: others were
	 * faster, try again.
	 */
	__u64 tx_refused;
	__u64 taken; /* of a batch that was refused as IPN_TX_FULL or _AGAIN: so many went first */
	__u64 room;  /* answer to IPN_TX_ROOM: 1 there is, 0 there is not, the port's bit is set */
	/* Written by the process, where several share the node. */
	__u64 cursor, node_cursor;
	__u64 pid;
	__u64 pad[2];
};
struct ipn_page {
	__u64 cursor;      /* next message of the network's log */
	__u64 node_cursor; /* next message of the node's own log */
	__u64 rx_packets;
	__u64 rx_bytes;
	__u64 overrun; /* messages lost because this reader was too slow */
	__u64 shared;  /* several processes are this node: user/lib/share.h */
	__u64 counts;  /* written by the manager: IPN_COUNTS_*, another value at each change */
	__u64 want;    /* the node wants its bell rung when counts changes */

	/* A line of its own, which senders look at. The protocol is told at the head of rx.c. */
	__u64 sleep;   /* the node: ring my bell at the next message; a program takes it back */
	__u64 armed;   /* written by programs: the sleep bit is set, `sleep` will be looked at */
	__u64 awake;   /* written by programs: looks in vain, one after the other */
	__u64 rests;   /* written by programs: the bell is not rung, the node must look by itself */
	__u64 revoked; /* IPN_PF_READER, _WRITER that were taken away, or shut by one of several */
	__u64 log; /* written by the manager: IPN_LOG_IS or IPN_LOG_COMES of the network's log */
	__u64 pad2[2];

	/* Of processes that share the node; theirs alone. */
	__u64 readers; /* LOSSLESS: a bit for each that receives; `cursor` is the lowest of them */
	__u64 key;     /* tells its locks from those of other nodes */
	__u64 gone;    /* what a GONE said that one of them took out of the bell */
	__u64 pad3[5];
	struct ipn_page_process process[IPN_PAGE_PROCESSES]; /* who joined is the first */
};
/* Of the log with this serial: all before it are complete and stay as they are. */
#define IPN_LOG_IS(serial) (2 * (serial))
/* LOSSY: messages go into it already, while the one before it gets its last ones. */
#define IPN_LOG_COMES(serial) (2 * (serial)-1)
#define IPN_WAKE_LOOKS 32 /* in vain, and nobody looks any more until the node arms again */

/* map `rings`, index: node. What ringing its bell costs; written by programs: bpf/core/wake.h. */
struct ipn_ring {
	__u64 until;   /* ns, monotonic: it is not to be rung before */
	__u32 strikes; /* dear rings in a row; IPN_RING_STRIKES: it is dear */
	__u32 pad;
	__u64 rests; /* how often it was left alone for some time */
};
#define IPN_RING_DEAR_NS 50000 /* a ring that takes longer is dear */
#define IPN_RING_STRIKES 3
#define IPN_RING_SUSPECT 64 /* rounds */

/* Readers and writers of the network, and a number that tells one change from the next. */
#define IPN_COUNTS(number, readers, writers) \
	((__u64)(number) << 32 | (__u64)(readers) << 16 | (writers))
#define IPN_COUNTS_NUMBER(counts) ((__u32)((counts) >> 32))
#define IPN_COUNTS_READERS(counts) ((__u16)((counts) >> 16))
#define IPN_COUNTS_WRITERS(counts) ((__u16)(counts))

/* A record in a node's bell. */
enum ipn_event_type {
	IPN_EVENT_WAKE = 1, /* look at the logs */
	IPN_EVENT_GONE = 2, /* the port was taken away; arg: errno that tells why */
};
struct ipn_event {
	__u32 type;
	__u32 arg;
};
#define IPN_BELL_SIZE 4096

/*
 * What a process writes to its tap: this header, then the message. 14 bytes, shaped like an
 * Ethernet header because a tap wants one.
 */
#define IPN_TX_MAGIC 0x49504e01u /* big endian on the wire: "IPN", version 1 */
#define IPN_TX_PROTO 0x88b5      /* IEEE local experimental, big endian on the wire */
enum ipn_tx_op {
	IPN_TX_DATA = 0,
	IPN_TX_SLEEP = 1, /* set my sleep bit: see `armed` in the page */
	IPN_TX_RING = 2,  /* put a wake event into my own bell */
	IPN_TX_ROOM = 4,  /* LOSSLESS: is there room? If not, ring my room bell when there is */
	IPN_TX_MOVED = 5, /* LOSSLESS: my cursor has moved, and somebody waits */
	IPN_TX_BATCH = 3, /* `count` messages, each behind its length: two bytes, host order */
	IPN_TX_UP = 6,    /* not for processes: see xdp_up_raw in bpf/core/cable.h */
};
struct ipn_tx_hdr {
	__u8 magic[4];
	__u8 op;
	__u8 count; /* BATCH */
	/* BATCH, and DATA on LOSSLESS networks: anything; see tx_refused. ROOM: in which log */
	__u8 ticket[4];
	__u8 process; /* of those that share the node: where in the page the answer goes */
	__u8 pad;
	__u8 proto[2];
};
#define IPN_TX_HDR 14
#define IPN_TX_LEN 2            /* before each message of a batch */
#define IPN_TX_BATCH_FRAME 3400 /* bytes of a batch: what a tap hands to XDP as it is */
#define IPN_TX_BATCH_MAX 255
#define IPN_TX_REFUSED (1ULL << 32)
#define IPN_TX_FULL (2ULL << 32)
#define IPN_TX_AGAIN (3ULL << 32)
#define IPN_TX_LOG_SHIFT 8 /* in the upper half */
#define IPN_TX_WHY(refused) ((refused)&0xffffffffffULL)
#define IPN_TX_LOG(refused) ((__u32)((refused) >> 40))
#define IPN_TX_ROOM_LOOK (1U << 31) /* ROOM: who asks does not wait; others of its process may */

/* Verdict of the XDP stage for the tc stage of the same tap, in the frame's metadata (or a tag). */
enum ipn_verdict_kind {
	IPN_TO_PORT = 1,   /* arg: port */
	IPN_TO_FLOOD = 2,  /* to every device of the network */
	IPN_TO_POLICY = 3, /* the policy runs there: bpf/core/kit.h */
};
struct ipn_verdict {
	__u32 magic; /* IPN_TX_MAGIC */
	__u32 kind;
	__u32 arg;
	__u32 net;
};

/*
 * Sock ports. They have no interface: in `port_in`, `port_out` and wherever else an ifindex tells
 * ports apart, they have a number that no interface can have. Their sockets are in the map `socks`,
 * index: node. Map `sk_ports`: whose message it is, by the socket that sent it (bpf/core/sk.h).
 */
#define IPN_SOCK_IFINDEX(node) (0x80000000U | (node))
#define IPN_SOCK_FRAME_MIN 14
#define IPN_SOCK_FRAME_MAX 16064 /* more is split when one socket is redirected to another */
struct ipn_sk {
	__u32 ifindex;
	__u32 policy;
};

/* What the program `ipn_sk_query` finds out about a socket in `socks`; all but the node was 0. */
#define IPN_SK_QUERIES 64 /* at once */
struct ipn_sk_query {
	__u32 node;
	__u32 uid;     /* of the socket that ours is connected to */
	__u64 peer;    /* that socket, key in `sk_ports`; 0: ours is connected to none (any more) */
	__u32 waiting; /* messages redirected to ours that are not sent yet */
	__u32 dead;    /* that socket is closed */
	__u64 first;   /* tells the first of them from others; 0: they wait for nobody to read */
	__u32 broken;  /* the kernel redirects no more to ours: one message could not be sent */
	__u32 pad;
};

/*
 * A record in the ring `punt`: a message that programs cannot deliver, for the manager's thread.
 * `punt_acct`, index: node of the sender; written by programs but for `done`, the manager's.
 */
#define IPN_PUNT_SIZE (2U << 20)
enum ipn_punt_op {
	IPN_PUNT_PORT = 1,    /* to one port */
	IPN_PUNT_BYE = 2,     /* an empty message: the client's goodbye */
	IPN_PUNT_SOCKS = 4,   /* to all sock ports but the sender's */
	IPN_PUNT_DEVICES = 8, /* to all devices */
	IPN_PUNT_POLICY = 16, /* through the segmenter, where its policy sees it */
};
struct ipn_punt {
	__u32 size; /* of the record */
	__u32 len;  /* of the message */
	__u32 net;
	__u32 op;   /* enum ipn_punt_op; the last two may be together */
	__u32 port; /* PORT: where to */
	__u32 gen;  /* PORT: of that port, then; BYE: of the sender */
	__u32 from; /* port */
	__u32 node; /* of the sender */
		    /* then the message */
};
struct ipn_punt_acct {
	__u64 queued; /* bytes of records, ever */
	__u64 done;
	__u64 window; /* ns: when the rate was counted from */
	__u64 used;
};

/* map `listeners`: where sock ports come in. For people, and for a new manager. */
enum ipn_listener_kind { IPN_LISTENER_VDE = 1, IPN_LISTENER_UNIX = 2 };
struct ipn_listener {
	enum ipn_listener_kind kind;
	__u32 net;
	__u32 mode;
	__u32 uid; /* who opened it */
	__s32 port;
	__u32 made_dir; /* 1: the directory is ours to remove */
	__u64 dev;      /* the socket that we made there */
	__u64 ino;
	char path[IPN_PATH_MAX]; /* VDE: the directory */
	char peer[IPN_PATH_MAX]; /* UNIX: whom it talks to; empty: who talks first */
};

/* Context of the syscall program `ipn_notify`. */
enum ipn_notify_op {
	IPN_NOTIFY_BELL = 0, /* event into the bell of `node` */
	IPN_NOTIFY_ROOM = 1, /* event into the room bell of `node` */
	IPN_NOTIFY_POOL = 2, /* LOSSLESS network `node`: a reader left, wake who waits for room */
	/*
	 * LOSSLESS network `node`: whoever keeps its log full, event.arg 0, or, of a switch, keeps
	 * the own log of the process at port event.arg - 1 full. Then event.arg is that port + 1,
	 * and `since` tells since when somebody is kept waiting; else event.arg is 0.
	 */
	IPN_NOTIFY_HELD = 6,
};
struct ipn_notify {
	__u32 node;
	__u32 op;
	struct ipn_event event;
	__u64 since; /* ns, monotonic */
};

#define IPN_ABI_ASSERT(type, size) _Static_assert(sizeof(struct type) == (size), #type)
IPN_ABI_ASSERT(ipn_abi, 24);
IPN_ABI_ASSERT(ipn_readers, 32);
IPN_ABI_ASSERT(ipn_net_info, 216);
IPN_ABI_ASSERT(ipn_net_fast, 128 + 16 * IPN_SLEEP_WORDS);
IPN_ABI_ASSERT(ipn_port_in, 64);
IPN_ABI_ASSERT(ipn_port_info, 136);
IPN_ABI_ASSERT(ipn_xskport, 40);
IPN_ABI_ASSERT(ipn_xsk_cache, 8);
IPN_ABI_ASSERT(ipn_port_out, 24);
IPN_ABI_ASSERT(ipn_fdb_key, 12);
IPN_ABI_ASSERT(ipn_fdb, 16);
IPN_ABI_ASSERT(ipn_learn, 16);
IPN_ABI_ASSERT(ipn_ring, 24);
IPN_ABI_ASSERT(ipn_stats, 32 + 8 * IPN_DROP_MAX);
IPN_ABI_ASSERT(ipn_log_head, 64);
IPN_ABI_ASSERT(ipn_slot, IPN_SLOT_HDR);
IPN_ABI_ASSERT(ipn_page_process, 64);
IPN_ABI_ASSERT(ipn_page, 192 + 64 * IPN_PAGE_PROCESSES);
IPN_ABI_ASSERT(ipn_tx_hdr, IPN_TX_HDR);
IPN_ABI_ASSERT(ipn_verdict, 16);
IPN_ABI_ASSERT(ipn_notify, 24);
IPN_ABI_ASSERT(ipn_sk, 8);
IPN_ABI_ASSERT(ipn_sk_query, 40);
IPN_ABI_ASSERT(ipn_punt, 32);
IPN_ABI_ASSERT(ipn_punt_acct, 32);
IPN_ABI_ASSERT(ipn_listener, 256);

/* Slot class for a network's MTU. */
static inline __u32 ipn_log_class_of(__u32 mtu)
{
	if (mtu <= IPN_SLOT_SMALL - IPN_SLOT_HDR)
		return IPN_LOG_SMALL;
	if (mtu <= IPN_SLOT_ETH - IPN_SLOT_HDR)
		return IPN_LOG_ETH;
	return IPN_LOG_JUMBO;
}

/* Bytes from one entry of a log to the next. */
static inline __u32 ipn_slot_size(__u32 log_class)
{
	return log_class == IPN_LOG_SMALL ? IPN_SLOT_SMALL
	       : log_class == IPN_LOG_ETH ? IPN_SLOT_ETH
					  : IPN_SLOT_JUMBO;
}

#endif
