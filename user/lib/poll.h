/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef IPN_POLL_H
#define IPN_POLL_H

#include <poll.h>

#include <signal.h>
#include <stdint.h>

#include "lib/sock.h"

/* What a more particular call than poll(2) wants. */
struct poll_call {
	uint64_t deadline;       /* of the monotonic clock; 0: do not wait; CLOCK_NEVER */
	const sigset_t *sigmask; /* while waiting, as ppoll(2); NULL: as it is */
	/* what of an IPN descriptor's events counts, at every look; NULL: all that is asked for */
	short (*filter)(void *arg, nfds_t i, struct ipn_sock *s, short revents);
	void *arg;
};
int poll_with(struct pollfd *fds, nfds_t nfds, const struct poll_call *call);

/* ipn_poll_fd. */
int poll_fd(struct ipn_sock *s, short events);

/* poll(2) over libipn's descriptors and others. How many are ready, or -errno. */
int poll_any(struct pollfd *fds, nfds_t nfds, int timeout_ms);

#endif
