/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef IPN_POLL_H
#define IPN_POLL_H

#include <poll.h>

/* poll(2) over libipn's descriptors and others. How many are ready, or -errno. */
int poll_any(struct pollfd *fds, nfds_t nfds, int timeout_ms);

#endif
