/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ipn_setsockopt and ipn_getsockopt. 0 or -errno. */
#ifndef IPN_OPT_H
#define IPN_OPT_H

#include "lib/sock.h"

int opt_set(struct ipn_sock *s, int level, int name, const void *val, socklen_t len);
int opt_get(struct ipn_sock *s, int level, int name, void *val, socklen_t *len);

/* Is there a policy of this number? Asked on a connection to the manager. 0 or -EPROTONOSUPPORT. */
int opt_policy_known(int manager, uint32_t policy);

/* A request that is the policy's, if it is any. -ENOTTY on a descriptor without a network. */
int opt_ioctl(struct ipn_sock *s, unsigned long request, void *arg);

#endif
