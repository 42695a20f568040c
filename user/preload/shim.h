/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The preloaded library: programs written for the address family AF_IPN, as they are, on libipn.
 *
 * Each function of the system that may meet a descriptor is taken over by one of the same name.
 * As long as the process has no IPN socket, that costs it a look at `shim_on`; after that, a look
 * at libipn's table. What is not libipn's goes on to the system (real.h).
 */
#ifndef IPN_PRELOAD_SHIM_H
#define IPN_PRELOAD_SHIM_H

#include <ipn/ipn.h>
#include <stdbool.h>

#include "common/util.h"
#include "lib/sock.h"
#include "preload/real.h"

#define SHIM_API __attribute__((visibility("default")))
/* The names that glibc's own headers and libraries know a function by, too. */
#define SHIM_ALIAS(type, other, name, params) \
	SHIM_API type other params __attribute__((alias(#name), copy(name)))

/* The other number for AF_IPN that programs were compiled with. */
#define AF_IPN_LATER 13

/* There is, or was, an IPN socket in this process. Never goes back. */
extern uint32_t shim_on;

static inline bool shim_idle(void)
{
	return __builtin_expect(!__atomic_load_n(&shim_on, __ATOMIC_RELAXED), 1);
}

/* The IPN socket of a descriptor, held, or NULL. */
static inline struct ipn_sock *shim_find(int fd)
{
	return shim_idle() ? NULL : sock_find(fd);
}

/* -errno as the system's calls return it. */
static inline ssize_t shim_ret(ssize_t r)
{
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

/* In a call: goes on to the system unless the descriptor is an IPN socket, which `s` then is. */
#define SHIM_SOCK_OR(s, fd, call)                            \
	_cleanup_sock_ struct ipn_sock *s = shim_find((fd)); \
	if (!s)                                              \
	return call

/*
 * Around a call of libipn that may wait (wait.c). restart: as a call of the system that goes on
 * after a signal whose handler was installed with SA_RESTART.
 */
struct shim_wait {
	bool restart;
};
/* Returns what to give to shim_wait_end(): a signal handler may send while the thread receives. */
struct shim_wait shim_wait_begin(const struct shim_wait *wait);
void shim_wait_end(const struct shim_wait *before);

/* The calls of libipn that the Makefile leads here. */
int shim_lib_poll(struct pollfd *fds, nfds_t nfds, int timeout);
int shim_lib_ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
		   const sigset_t *mask);
int shim_lib_close(int fd);

/* A first IPN socket is there: from now on the library looks. */
void shim_start(void);

/* Signals whose handlers interrupt a call for good, and whether there are others (signals.c). */
void shim_signals_start(void);
uint64_t shim_signals_ending(bool *others);

/* fds.c */
int shim_dup_entry(struct ipn_sock *s, int fd);
void shim_hide(int fd);
/* A duplicate with a number out of the way that the program does not get to see; or -1. */
int shim_hidden_dup(int fd, bool cloexec);
/* Moves a descriptor there; it stays where it is if there is no room. Always FD_CLOEXEC. */
void shim_hide_away(int *fd);

/*
 * inherit.c: what the processes that have a socket, after fork(), know of each other, and a program
 * of the one before it, after exec().
 */
void shim_inherit_start(void);
/* A new socket; it was bound, connected, shut down. */
void shim_inherit(struct ipn_sock *s);
/* FD_CLOEXEC of a descriptor was set. */
void shim_inherit_cloexec(struct ipn_sock *s, bool on);
/* This process has no more descriptor of it. */
void shim_left(struct ipn_sock *s);
/* Is this process the one whose memory this is, and not a child by vfork()? */
bool shim_own_memory(void);

/*
 * memory.c: is this memory of the program's that can be read, or written? False may be wrong for
 * pieces of a message, which the kernel can try then.
 */
bool shim_can_read(const void *p, size_t len);
bool shim_can_write(const void *p, size_t len);
bool shim_can_send(const struct iovec *iov, size_t n);
bool shim_can_receive(const struct iovec *iov, size_t n);
/* tx_send and rx_recv, with pieces that may be no memory: -EFAULT. */
ssize_t shim_send_by_kernel(struct ipn_sock *s, const struct iovec *iov, size_t n, int flags);
ssize_t shim_recv_by_kernel(struct ipn_sock *s, const struct iovec *iov, size_t n, int flags,
			    int *msg_flags);

/* epoll.c: a descriptor is closed; something about it is new. */
void shim_epoll_closed(int fd);
void shim_epoll_changed(int fd);
void shim_epoll_forked(void);

#endif
