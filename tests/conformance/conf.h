/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conformance suite: one row per sentence of what IPN promises (the 2007 posting of AF_IPN and
 * ipn(7)). One source, two programs:
 *
 *	conformance-lib     calls libipn: X(send) is ipn_send
 *	conformance-plain   calls the C library, linked with nothing of ours: X(send) is send. It is
 *	                    an unmodified AF_IPN program, for `ipn-fabric run`.
 *
 * A row runs in a process of its own, in an empty directory of its own that everybody may write,
 * with umask 0. The first check that fails ends it and says why. All processes it started end with
 * it. Rows never sleep for a time in the hope that something has happened by then.
 */
#ifndef IPN_CONF_H
#define IPN_CONF_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef CONFORMANCE_PLAIN
#include <ipn/af_ipn.h>
#define X(name) name
#define CONF_PLAIN 1
#else
#include <ipn/ipn.h>
#define X(name) ipn_##name
#define CONF_PLAIN 0
#endif

struct row {
	const char *id;    /* GROUP.NAME */
	const char *tells; /* the sentence */
	void (*run)(void);
};

struct rows {
	const struct row *row;
	size_t count;
};

/* One table per file. */
#define ROWS(name) \
	const struct rows name = { name##_table, sizeof(name##_table) / sizeof(struct row) }
extern const struct rows rows_calls, rows_messages, rows_wait, rows_options, rows_badinput,
	rows_perm, rows_policy, rows_oob, rows_lossless, rows_netdev, rows_resize, rows_programs;
#ifdef CONFORMANCE_PLAIN
extern const struct rows rows_plain;
#endif

/*
 * Checks.
 */

_Noreturn void conf_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
long conf_ok(long r, const char *file, int line, const char *call);
void conf_err(long r, int wanted, const char *file, int line, const char *call);

#define FAIL(...) conf_fail(__FILE__, __LINE__, __VA_ARGS__)
/* The call succeeds; its result. */
#define OK(call) conf_ok((call), __FILE__, __LINE__, #call)
/* The call fails with this errno. */
#define ERR(call, wanted) conf_err((errno = 0, (long)(call)), (wanted), __FILE__, __LINE__, #call)
#define EQ(value, wanted)                                                                 \
	do {                                                                              \
		long conf_v = (long)(value), conf_w = (long)(wanted);                     \
		if (conf_v != conf_w)                                                     \
			FAIL("%s is %ld, not %s (%ld)", #value, conf_v, #wanted, conf_w); \
	} while (0)
#define TRUE(cond)                                 \
	do {                                       \
		if (!(cond))                       \
			FAIL("not so: %s", #cond); \
	} while (0)

/*
 * What rows are made of. Each of these fails the row when it does not do what its name says.
 */

#define NET "net"    /* the usual path, in the row's directory */
#define LONG_MS 5000 /* longer than anything takes */

struct sockaddr_un conf_addr(const char *path);

/* Bare calls: for OK() and ERR(). */
int try_bind(int fd, const char *path);
int try_connect(int fd, const char *path);
int try_set(int fd, int option, int value);
long try_send(int fd, const char *text);
long try_recv(int fd, void *buf, size_t size); /* does not wait */

int new_socket(int policy);
int bound(const char *path); /* IPN_BROADCAST */
int bound_to(const char *path, int policy);
int member(const char *path);  /* connected, IPN_ANY */
int founder(const char *path); /* bound and connected, IPN_BROADCAST */
int founder_of(const char *path, int policy);
int member_at(const char *path, int port);
void set_int(int fd, int option, int value);
int get_int(int fd, int option);
void send_text(int fd, const char *text);
/* Receives one message, waiting for it, and it is this one. */
void gets_text(int fd, const char *text);
void gets_bytes(int fd, const void *data, size_t len);
/* Nothing is there to read now. Messages are there when the send that sent them has returned. */
void gets_nothing(int fd);
void receive_timeout(int fd, int ms);
/* revents for these events, without waiting. */
short polled(int fd, short events);

/* A process. In the child: 0. Its failed checks are the row's. */
int child(void);
int child_as(unsigned int uid); /* without any rights but those of this user */
void join_child(int pid);
void become(unsigned int uid, unsigned int gid, const unsigned int *groups, size_t ngroups);
#define NOBODY 65534u
#define OTHER 4242u

/* Tells another process that this one has got so far. */
struct gate {
	int fd[2];
};
struct gate gate_new(void);
void gate_open(const struct gate *g);
void gate_wait(const struct gate *g);

/* Sends this process signals until stopped, which end every call that waits. */
void signals_start(void);
int signals_stop(void); /* how many came */

/* Runs a command; its exit status. */
int command(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
