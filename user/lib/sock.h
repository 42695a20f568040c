/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the library knows of a descriptor, and the table that finds it.
 *
 * Locks, taken in this order:
 *   lock      control exchanges and what they change: state, options, path. Held while the manager
 *             answers, never while waiting for messages.
 *   rx.lock   reading: cursors, bell, the messages being looked at. Never held across a wait.
 * Sending takes no lock. What connect sets up (tap, mappings, port, MTU) is constant from then to
 * the last sock_put(), and is published by the release store of `state`.
 */
#ifndef IPN_SOCK_H
#define IPN_SOCK_H

#include <errno.h>
#include <ipn/af_ipn.h>
#include <ipn/control.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#include "lib/addr.h"
#include "lib/client.h"

#define CACHE_LINE 64
#define RX_PEEK_MAX 256 /* messages one ipn_recv_peek can show */

/* NETDEV: connected, but with an interface, through which all messages go. */
enum sock_state { SOCK_NEW = 0, SOCK_BOUND, SOCK_CONNECTED, SOCK_NETDEV };

enum sock_shut { SOCK_SHUT_RD = 1, SOCK_SHUT_WR = 2, SOCK_SHUT_BOTH = 3 };

/* Out-of-band messages come when both are set. */
enum sock_oob { SOCK_OOB_HANDLE = 1, SOCK_OOB_NUMNODES = 2, SOCK_OOB_ALL = 3 };

enum { RX_NET = 0, RX_NODE = 1, RX_LOGS = 2 };

/* A log as its reader sees it. */
struct rx_log {
	const uint8_t *base; /* NULL: none */
	size_t map_len;
	uint64_t mask;
	uint32_t slot_size;
	uint32_t own_ahead; /* own messages known to be in [cursor, scanned) */
	uint64_t cursor;    /* next message; written under rx.lock, read anywhere */
	uint64_t scanned;
};

/* The bell: a BPF ring buffer. */
struct rx_bell {
	int fd;
	uint32_t size;
	uint64_t *consumer; /* own page */
	const uint64_t *producer;
	const uint8_t *data; /* twice in a row */
	size_t map_len;      /* of producer and data */
	uint64_t seen; /* records before this position were looked at, not all were consumed */
	int watch;     /* an epoll that says when it has rung, see share.c; 0: none */
	int timer;     /* in the watch, for when the bell does not ring; 0: none */
};

struct rx {
	pthread_mutex_t lock;
	uint32_t own;  /* own port */
	uint32_t sent; /* a message was sent: own ones may stand in the network's log */
	uint32_t pool; /* messages that may be pending, per log */
	uint32_t lossless;
	struct rx_log log[RX_LOGS];
	struct rx_bell bell;
	struct ipn_page *page;
	size_t page_len;
	uint64_t counts_seen; /* of the page's counts: what the last message told */

	uint64_t packets, bytes, overrun;
	uint64_t overrun_published;
	struct rx_log *stick; /* a message of this log was shown with MSG_PEEK: it is the next */
	uint32_t node_run;    /* messages in a row from the node's own log */

	/* how to wait: see rx_yields() and rx_spin(); guesses, races between threads do no harm */
	uint32_t burst; /* messages taken since the log was last found empty */
	uint32_t yields;
	uint32_t stream; /* the last wait ended a burst */
	uint64_t yield_start;
	uint32_t probe;
	uint32_t crowded;

	/* another log for the network: see follow.h */
	uint64_t log_word; /* the page's `log` when this log is the last */
	int ask;           /* the connection over which it is asked for, and 1; 0: none */
	uint32_t ask_id;
	uint64_t ask_cookie;
	uint64_t ask_at; /* ns: when it was asked, or not to ask before */

	/* between ipn_recv_peek and ipn_recv_done */
	struct rx_log *peek_log; /* NULL: nothing is shown */
	uint32_t peek_count;
	uint64_t peek_first; /* their numbers follow each other */

	/* where the node is shared, see share.c */
	uint32_t entered;                  /* this process receives, and the others know */
	uint64_t packets_told, bytes_told; /* of these the page knows */
	uint64_t tended;                   /* when it last looked who is dead, ns */
	uint32_t polled;                   /* ipn_poll_fd(): its watch is ready when it should be */

	/* only where `sent` is set; who only reads looks at none of it */
	uint32_t own_room;   /* own messages that may stand behind unread ones; 0: any number */
	uint32_t unseen;     /* own messages in a log that is not mapped yet */
	struct rx_log stash; /* private memory: what own messages would have overwritten unread */
};

/* What describes a network before there is one. */
struct sock_params {
	uint32_t mtu;
	uint32_t numnodes;
	uint32_t pool;
	uint32_t flags;
	uint32_t mode;
};

/* A socket of the library's own, which the program may have closed. */
struct sock_own {
	int fd;          /* -1: none */
	uint64_t cookie; /* SO_COOKIE: tells when the number has become another file */
};

struct ipn_sock {
	/* These survive when a struct is used for the next descriptor: none is ever given back. */
	uint32_t refs;
	struct ipn_sock *next_free;
	pthread_mutex_t lock;
	pthread_mutex_t tx_lock; /* of a batch under way */
	struct rx rx;            /* the lock survives, the rest is cleared */

	/* From here on all is cleared. Atomics, any thread: */
	uint32_t state;     /* enum sock_state */
	uint32_t shut;      /* enum sock_shut; only ever grows */
	uint32_t gone;      /* errno: why the port was taken away */
	uint32_t nonblock;  /* what O_NONBLOCK was when last looked at */
	uint32_t wait_mode; /* enum ipn_wait */
	uint32_t oob;       /* enum sock_oob */
	uint32_t waiters;   /* threads that may be asleep: see rx.c */
	uint32_t senders;   /* threads that may wait for room in a LOSSLESS pool: see tx.c */
	uint32_t full;      /* LOSSLESS: whose pool the last message found full, see IPN_TX_LOG */
	uint32_t tx_yields; /* LOSSLESS: how long to wait awake for room; a guess, see tx_learn() */
	uint64_t rcvtimeo;  /* ns; 0: for ever */
	uint64_t sndtimeo;

	/* under tx_lock */
	uint32_t ticket;      /* of the last batch */
	uint32_t polled;      /* as in struct rx, for room */
	int always;           /* ipn_poll_fd() where there is always room; 0: none */
	uint32_t batches_off; /* so many are sent singly before a batch is tried again */

	/* constant once connected */
	int tap;
	uint32_t mtu;
	struct rx_bell room; /* LOSSLESS: rings when the pool has room again; under tx_lock */
	uint32_t process;    /* number of this process at the page, or SHARE_NONE: share.c */

	/* under lock */
	int fd;                  /* what the program has: it takes no bytes, and none come out */
	uint64_t cookie;         /* SO_COOKIE of fd, as in struct sock_own */
	struct sock_own life;    /* its other end, for the manager, who sees there when it closes */
	struct sock_own control; /* the connection to the manager: a session */
	bool alive;              /* the manager has `life` in this session */
	const struct client_wait *wait; /* of the call under way; NULL: as long as it takes */
	uint64_t who;                   /* the process when the session began: see who.h */
	int path_fd;                    /* O_PATH, of the network's inode */
	bool bound;                     /* may manage the network; stays so when it is connected */
	int policy;
	struct sock_params params;
	int port;                   /* asked for, then given */
	uint32_t netdev;            /* the fabric's end of the interface that is its node */
	struct timeval rcvtimeo_tv; /* these two for a new connection, after the manager's death */
	struct timeval sndtimeo_tv;
	char descr[IPN_DESCR_MAX];
	char path[ADDR_PATH_SIZE];
	struct ipn_ctl_net net;

	uint32_t entries; /* descriptors that are this socket */

	/* during a fork() */
	struct ipn_sock *next_forking;
	uint32_t fork_held; /* HELD_*: which of its locks are held for it */
	bool of_no_use;     /* in the child */

	/* for the preloaded library (user/preload); of no meaning here */
	int family;    /* what the program calls AF_IPN */
	void *inherit; /* what other processes and programs know of it: preload/inherit.c */
};

/*
 * Makes the entry of a descriptor that was just opened. An entry that is
 * still there belongs to a descriptor closed without ipn_close: it is dropped. 0, -ENOMEM, -EMFILE.
 */
int sock_add(int fd, int policy, bool nonblock);

/* Finds a descriptor's entry and holds it until sock_put(). -EBADF, -ENOTSOCK. */
int sock_get(int fd, struct ipn_sock **out);
void sock_put(struct ipn_sock *s);

/* As sock_get, or NULL; asks nobody but the table. */
struct ipn_sock *sock_find(int fd);

/*
 * One more descriptor for a held socket, a duplicate of its own. What the number was before is
 * dropped. s->lock is held. 0, -ENOMEM, -EMFILE.
 */
int sock_alias(int fd, struct ipn_sock *s);

/* One more number for its descriptor; or -errno. */
int sock_dup(struct ipn_sock *s, int fd);

/*
 * Another number becomes the one by which libipn knows the descriptor: `fd` is about to be closed.
 * s->lock is held.
 */
void sock_rehome(struct ipn_sock *s, int fd);

/* The lowest descriptor from `from` on that is in the table, or -1. */
int sock_next(int from);

/* Around a fork(): nobody is making a socket. */
void sock_fork_begin(void);
void sock_fork_end(void);
/* In the child: only this thread is left. Makes the locks and counts say so. */
void sock_forked(void);

/* Takes the entry out of the table; it ends with its last holder. False: somebody else did. */
bool sock_remove(int fd, struct ipn_sock *s);

/* For sock_get in one line: put at the end of the scope. */
static inline void sock_put_ptr(struct ipn_sock **s)
{
	if (*s)
		sock_put(*s);
}
#define _cleanup_sock_ __attribute__((cleanup(sock_put_ptr)))

static inline bool sock_connected(const struct ipn_sock *s)
{
	return __atomic_load_n(&s->state, __ATOMIC_ACQUIRE) == SOCK_CONNECTED;
}

/* Why one that is not sock_connected() can neither send nor receive. */
static inline int sock_no_data(const struct ipn_sock *s)
{
	return __atomic_load_n(&s->state, __ATOMIC_ACQUIRE) == SOCK_NETDEV ? -EOPNOTSUPP
									   : -ENOTCONN;
}

/* What is shut down: by the program, or because the right to it was taken away. */
static inline uint32_t sock_shut(const struct ipn_sock *s)
{
	const struct ipn_page *page = __atomic_load_n(&s->rx.page, __ATOMIC_RELAXED);
	uint32_t shut = __atomic_load_n(&s->shut, __ATOMIC_SEQ_CST);

	_Static_assert((int)SOCK_SHUT_RD == (int)IPN_PF_READER, "one coding");
	_Static_assert((int)SOCK_SHUT_WR == (int)IPN_PF_WRITER, "one coding");
	return page ? shut | (__atomic_load_n(&page->revoked, __ATOMIC_RELAXED) & SOCK_SHUT_BOTH)
		    : shut;
}

static inline uint32_t sock_gone(const struct ipn_sock *s)
{
	return __atomic_load_n(&s->gone, __ATOMIC_RELAXED);
}

/* A descriptor becomes such a one, or none (-1). */
void sock_own_set(struct sock_own *own, int fd);
/* The number still is that socket. */
bool sock_own_is(const struct sock_own *own);

/* The number is, or still is, its descriptor. */
bool sock_is(const struct ipn_sock *s, int fd);
static inline bool sock_owns_fd(const struct ipn_sock *s)
{
	return sock_is(s, s->fd);
}

/*
 * Would a call without MSG_DONTWAIT have to return now? Asks the descriptor and remembers the
 * answer. 0, -EAGAIN, -EBADF.
 */
int sock_may_block(struct ipn_sock *s);

/* What the tap's mapping left behind: everything connect set up is undone. No reader may be in. */
void sock_unmap(struct ipn_sock *s);

#endif
