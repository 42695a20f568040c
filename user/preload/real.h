/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The system's own functions, whose names this library takes: shim_real_NAME() calls the next NAME
 * in the order of loading. The Makefile renames the calls of the libipn in here by this list, so
 * that libipn never comes back to the library's own functions.
 */
#ifndef IPN_PRELOAD_REAL_H
#define IPN_PRELOAD_REAL_H

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

/* clang-format off */
#define SHIM_REAL(X) \
	X(int, socket, (int a, int b, int c), (a, b, c)) \
	X(int, socketpair, (int a, int b, int c, int d[2]), (a, b, c, d)) \
	X(int, bind, (int fd, const struct sockaddr *a, socklen_t l), (fd, a, l)) \
	X(int, connect, (int fd, const struct sockaddr *a, socklen_t l), (fd, a, l)) \
	X(int, listen, (int fd, int n), (fd, n)) \
	X(int, accept, (int fd, struct sockaddr *a, socklen_t *l), (fd, a, l)) \
	X(int, accept4, (int fd, struct sockaddr *a, socklen_t *l, int f), (fd, a, l, f)) \
	X(int, getsockname, (int fd, struct sockaddr *a, socklen_t *l), (fd, a, l)) \
	X(int, getpeername, (int fd, struct sockaddr *a, socklen_t *l), (fd, a, l)) \
	X(int, shutdown, (int fd, int how), (fd, how)) \
	X(int, setsockopt, (int fd, int a, int b, const void *v, socklen_t l), (fd, a, b, v, l)) \
	X(int, getsockopt, (int fd, int a, int b, void *v, socklen_t *l), (fd, a, b, v, l)) \
	X(ssize_t, send, (int fd, const void *b, size_t n, int f), (fd, b, n, f)) \
	X(ssize_t, sendto, (int fd, const void *b, size_t n, int f, const struct sockaddr *a, \
		socklen_t l), (fd, b, n, f, a, l)) \
	X(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f)) \
	X(int, sendmmsg, (int fd, struct mmsghdr *m, unsigned int n, int f), (fd, m, n, f)) \
	X(ssize_t, recv, (int fd, void *b, size_t n, int f), (fd, b, n, f)) \
	X(ssize_t, recvfrom, (int fd, void *b, size_t n, int f, struct sockaddr *a, \
		socklen_t *l), (fd, b, n, f, a, l)) \
	X(ssize_t, recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f)) \
	X(int, recvmmsg, (int fd, struct mmsghdr *m, unsigned int n, int f, struct timespec *t), \
		(fd, m, n, f, t)) \
	X(ssize_t, read, (int fd, void *b, size_t n), (fd, b, n)) \
	X(ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n)) \
	X(ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n)) \
	X(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n)) \
	X(ssize_t, sendfile, (int a, int b, off_t *o, size_t n), (a, b, o, n)) \
	X(ssize_t, splice, (int a, off64_t *oa, int b, off64_t *ob, size_t n, unsigned int f), \
		(a, oa, b, ob, n, f)) \
	X(ssize_t, __read_chk, (int fd, void *b, size_t n, size_t z), (fd, b, n, z)) \
	X(ssize_t, __recv_chk, (int fd, void *b, size_t n, size_t z, int f), (fd, b, n, z, f)) \
	X(ssize_t, __recvfrom_chk, (int fd, void *b, size_t n, size_t z, int f, \
		struct sockaddr *a, socklen_t *l), (fd, b, n, z, f, a, l)) \
	X(int, poll, (struct pollfd *p, nfds_t n, int t), (p, n, t)) \
	X(int, ppoll, (struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *s), \
		(p, n, t, s)) \
	X(int, __poll_chk, (struct pollfd *p, nfds_t n, int t, size_t z), (p, n, t, z)) \
	X(int, __ppoll_chk, (struct pollfd *p, nfds_t n, const struct timespec *t, \
		const sigset_t *s, size_t z), (p, n, t, s, z)) \
	X(int, select, (int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *t), \
		(n, r, w, x, t)) \
	X(int, pselect, (int n, fd_set *r, fd_set *w, fd_set *x, const struct timespec *t, \
		const sigset_t *s), (n, r, w, x, t, s)) \
	X(int, epoll_ctl, (int e, int op, int fd, struct epoll_event *ev), (e, op, fd, ev)) \
	X(int, epoll_wait, (int e, struct epoll_event *ev, int n, int t), (e, ev, n, t)) \
	X(int, epoll_pwait, (int e, struct epoll_event *ev, int n, int t, const sigset_t *s), \
		(e, ev, n, t, s)) \
	X(int, epoll_pwait2, (int e, struct epoll_event *ev, int n, const struct timespec *t, \
		const sigset_t *s), (e, ev, n, t, s)) \
	X(int, close, (int fd), (fd)) \
	X(int, close_range, (unsigned int a, unsigned int b, int f), (a, b, f)) \
	X(void, closefrom, (int a), (a)) \
	X(int, fclose, (FILE *f), (f)) \
	X(int, dup, (int fd), (fd)) \
	X(int, dup2, (int a, int b), (a, b)) \
	X(int, dup3, (int a, int b, int f), (a, b, f)) \
	X(int, sigaction, (int s, const struct sigaction *a, struct sigaction *o), (s, a, o)) \
	X(sighandler_t, signal, (int s, sighandler_t h), (s, h)) \
	X(sighandler_t, sysv_signal, (int s, sighandler_t h), (s, h)) \
	X(sighandler_t, sigset, (int s, sighandler_t h), (s, h)) \
	X(int, siginterrupt, (int s, int f), (s, f)) \
	X(int, munmap, (void *p, size_t n), (p, n)) \
	X(int, mprotect, (void *p, size_t n, int prot), (p, n, prot))
/* these have an argument that may be missing */
#define SHIM_REAL_OPEN(X) \
	X(int, fcntl, (int fd, int cmd, void *arg), (fd, cmd, arg), (int, int, ...)) \
	X(int, ioctl, (int fd, unsigned long req, void *arg), (fd, req, arg), \
		(int, unsigned long, ...)) \
	X(void *, mremap, (void *p, size_t old, size_t n, int f, void *to), (p, old, n, f, to), \
		(void *, size_t, size_t, int, ...))
/* clang-format on */

enum shim_call {
#define X(type, name, params, args, ...) SHIM_##name,
	SHIM_REAL(X) SHIM_REAL_OPEN(X)
#undef X
		SHIM_CALLS
};

extern void *shim_next[SHIM_CALLS];

/* Looks it up; NULL: this system has no such function. */
void *shim_resolve(enum shim_call call);

#define X(type, name, params, args, ...) type shim_real_##name params;
SHIM_REAL(X) SHIM_REAL_OPEN(X)
#undef X

#endif
