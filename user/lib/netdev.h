/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interface requests of ipn_ioctl. 0 or -errno. */
#ifndef IPN_NETDEV_H
#define IPN_NETDEV_H

#include "lib/sock.h"

/* Is it one? In whatever encoding a program was compiled with: type and number decide. */
bool netdev_request(unsigned long request);
int netdev_ioctl(struct ipn_sock *s, unsigned long request, void *arg);
/* Before the descriptor of an interface is closed: whoever is the manager now is to see it. */
void netdev_close(struct ipn_sock *s);

#endif
