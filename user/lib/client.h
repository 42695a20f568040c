/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client's end of the control protocol (include/ipn/control.h): one request, one reply.
 * Used by libipn and by the command line.
 */
#ifndef IPN_CLIENT_H
#define IPN_CLIENT_H

#include <ipn/control.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How long somebody waits for a manager that is stopped or slow. NULL in place of it: as long as it
 * takes, over signals.
 */
struct client_wait {
	uint64_t until; /* ns of the monotonic clock, or CLOCK_NEVER: then -EAGAIN; 0: at once */
	const sigset_t *mask; /* of signals, while it waits; NULL: as it is */
	bool interrupt; /* a signal with a handler: -EINTR, but not before CLIENT_PATIENCE_MS */
};

/* What a manager that runs may take: no signal ends an ordinary exchange. */
#define CLIENT_PATIENCE_MS 100

/* Called when a wait has taken CLIENT_SLOW_MS; it goes on afterwards. NULL: nobody is told. */
#define CLIENT_SLOW_MS 3000
extern void (*client_slow)(void);

/*
 * Connects to the manager of a run directory (NULL: $IPN_FABRIC_RUN_DIR, or /run/ipn-fabric).
 * Returns a close-on-exec descriptor, or -errno: -ENETDOWN when no manager runs there.
 */
int client_open(const char *run_dir, const struct client_wait *wait);

/*
 * This process forks: replies to what another process asked on the same connection, and died, are
 * passed over from now on. In the child: its requests have other numbers.
 */
void client_fork(bool child);

/* One exchange. Set up with zeros, fill in what the request has. */
struct client_call {
	enum ipn_ctl_type type;
	const void *request; /* body, without header */
	size_t request_len;
	const int *fds; /* descriptors to send */
	unsigned int nfds;
	const struct client_wait *wait;

	void *reply;       /* where the reply's body goes; may be NULL */
	size_t reply_size; /* room there */
	size_t reply_len;  /* out: bytes of body that came (never more than reply_size) */
	int reply_fds[IPN_CTL_MAX_FDS]; /* out: owned by the caller */
	unsigned int nreply_fds;
	char text[256]; /* out: on failure, what the manager says was wrong; else empty */
};

/*
 * Sends the request on `fd` and waits for its reply. Returns 0, or -errno: the manager's status, or
 * -ENETDOWN when the manager went away, or -EPROTO for a reply that makes no sense. On failure no
 * descriptors are left in the call. After -EAGAIN or -EINTR (call->wait) the answer is still to
 * come: the descriptor is of no more use. The caller serialises calls on one descriptor.
 */
int client_call(int fd, struct client_call *call);
/* Its two halves. *id tells the reply. */
int client_ask(int fd, struct client_call *call, uint32_t *id);
int client_answer(int fd, struct client_call *call, uint32_t id);

#endif
