/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ipn_setsockopt and ipn_getsockopt. 0 or -errno. */
#ifndef IPN_OPT_H
#define IPN_OPT_H

#include "lib/sock.h"

int opt_set(struct ipn_sock *s, int level, int name, const void *val, socklen_t len);
int opt_get(struct ipn_sock *s, int level, int name, void *val, socklen_t *len);

#endif
