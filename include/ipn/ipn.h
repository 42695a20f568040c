/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libipn: Inter Process Networking without a kernel module.
 *
 * Each call takes and returns what the socket call of that name does, with -1 and errno on failure,
 * on a real descriptor (ipn_socket). Close it with ipn_close. All calls are safe to use from
 * several threads on one descriptor. No privilege is needed but the rights of the network's path:
 * r to receive, w to send, x to manage. Where a rule comes from is in ipn(7).
 *
 * The fabric is found in RUN_DIR/control: $IPN_FABRIC_RUN_DIR, or /run/ipn-fabric.
 */
#ifndef IPN_IPN_H
#define IPN_IPN_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "af_ipn.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * domain AF_IPN, type SOCK_RAW with SOCK_CLOEXEC and SOCK_NONBLOCK if wanted, protocol a policy or
 * IPN_ANY. Errors: EAFNOSUPPORT, EPROTOTYPE, EPROTONOSUPPORT, EMFILE, ENETDOWN no fabric runs here.
 */
int ipn_socket(int domain, int type, int protocol);

/*
 * Makes the network at the path (sockaddr_un with sun_family AF_IPN) with the options set before,
 * or joins the one there for management. Errors: EISCONN, EACCES, ENOENT, ENOTDIR, EADDRINUSE a
 * race for the path was lost, ECONNREFUSED the path is no live network, EPERM no x, EPROTO other
 * policy, EINVAL creating with IPN_ANY or a bad address, EDQUOT, ENOSPC, ENETDOWN.
 */
int ipn_bind(int fd, const struct sockaddr *addr, socklen_t len);

/*
 * Joins to communicate. On a bound descriptor addr may be NULL. Errors: EISCONN, EACCES neither
 * receiving nor sending is left, ECONNREFUSED, EPROTO, EADDRNOTAVAIL no port, EINVAL, ENETDOWN.
 * EAGAIN, EINTR the manager does not answer: as O_NONBLOCK, SO_SNDTIMEO and signals say.
 */
int ipn_connect(int fd, const struct sockaddr *addr, socklen_t len);

/*
 * One call is one message; returns its length. Errors: ENOTCONN, EPIPE send side shut down,
 * ECONNRESET everything shut down or the port was taken away, EOVERFLOW longer than the MTU.
 * flags: MSG_DONTWAIT, MSG_NOSIGNAL (no SIGPIPE is ever raised).
 */
ssize_t ipn_send(int fd, const void *buf, size_t len, int flags);
ssize_t ipn_sendmsg(int fd, const struct msghdr *msg, int flags);

/*
 * One message; what does not fit is cut off (MSG_TRUNC in msg_flags; MSG_TRUNC in flags returns the
 * real length). 0: an empty message, or everything is shut down, or the port was taken away.
 * Errors: ENOTCONN, EPIPE receive side shut down, EAGAIN, EINTR. flags: MSG_PEEK, MSG_DONTWAIT,
 * MSG_TRUNC.
 * Out-of-band messages (IPN_SO_HANDLE_OOB and IPN_SO_WANT_OOB_NUMNODES) come before any other:
 * struct numnode_oob, with MSG_OOB in msg_flags of ipn_recvmsg. Only the newest is kept. With the
 * receive side shut down, they still come.
 */
ssize_t ipn_recv(int fd, void *buf, size_t len, int flags);
ssize_t ipn_recvmsg(int fd, struct msghdr *msg, int flags);

/* As poll(2), over libipn's descriptors and any others. */
int ipn_poll(struct pollfd *fds, nfds_t nfds, int timeout_ms);

/*
 * For an event loop of another library: a descriptor that polls readable (POLLIN) as long as a
 * receive, or with POLLOUT a send, would not wait: events is one of the two. It belongs to the
 * socket and is only to be watched. From now on each receive, or send on a LOSSLESS network, makes
 * a system call or two more. Another process may be faster, so use MSG_DONTWAIT all the same.
 * Errors: ENOTCONN, EINVAL, EMFILE.
 */
int ipn_poll_fd(int fd, short events);

/*
 * Level 0: IPN_SO_*. SOL_SOCKET: SO_RCVTIMEO, SO_SNDTIMEO, and what the kernel answers
 * (SO_TYPE...). The number of the network's policy: the policy's own options, up to 16384 bytes;
 * what *val holds goes along with a get. Errors there: EPROTONOSUPPORT another level, EOPNOTSUPP a
 * policy without options, and what the policy says.
 */
int ipn_setsockopt(int fd, int level, int name, const void *val, socklen_t len);
int ipn_getsockopt(int fd, int level, int name, void *val, socklen_t *len);

int ipn_shutdown(int fd, int how);
int ipn_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
/*
 * FIONREAD, FIONBIO, and the interface requests of af_ipn.h: see ipn(7). Any other request is one
 * of the network's policy (EOPNOTSUPP if it has none, ENOTTY without a network), with an argument
 * of the size and direction that its number says.
 */
int ipn_ioctl(int fd, unsigned long request, ...);
int ipn_close(int fd);

/* One more descriptor of the socket, as dup(2); the node ends with the last that is closed. */
int ipn_dup(int fd);

/*
 * The fast path.
 */

/* How a receive waits. IPN_WAIT_SLEEP (default): a few yields, then sleep. IPN_WAIT_SPIN: never. */
enum ipn_wait { IPN_WAIT_SLEEP = 0, IPN_WAIT_SPIN = 1 };
int ipn_set_wait(int fd, enum ipn_wait how);

/* Sends n messages. Returns how many were sent (at least 1), or -1. Errors: as ipn_send. */
int ipn_send_batch(int fd, const struct iovec *msgs, unsigned int n, int flags);

/* A message in place: in the shared log, read-only, until ipn_recv_done. */
struct ipn_view {
	const void *data;
	uint32_t len;
	uint32_t port; /* who sent it */
};

/*
 * Shows up to n messages where they stand. Waits for the first as ipn_recv does; with
 * MSG_WAITFORONE also where O_NONBLOCK is set, which spares a system call for each sleep. Returns
 * how many;
 * 0 means end of file. A sender is never held back by a reader of a LOSSY network, so a message may
 * be overwritten while it is looked at: ipn_recv_done takes the n messages shown off the queue and
 * returns how many of the LAST of them were whole the entire time (n unless the reader was overrun;
 * the first n - returned must be thrown away, and are counted by ipn_overruns).
 * One thread at a time may be between the two calls: EBUSY. Out-of-band messages are not shown.
 */
int ipn_recv_peek(int fd, struct ipn_view *views, unsigned int n, int flags);
int ipn_recv_done(int fd, unsigned int n);

/* Messages this descriptor lost because it was more than the pool behind. */
int ipn_overruns(int fd, uint64_t *count);

#ifdef __cplusplus
}
#endif

#endif
