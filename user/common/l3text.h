/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses, prefixes and routes of the layer 3 policy as people write them. */
#ifndef IPN_COMMON_L3TEXT_H
#define IPN_COMMON_L3TEXT_H

#include <ipn/l3.h>
#include <stddef.h>

#define L3TEXT_SIZE 64

/* "10.1.0.0/16", "fd00::/64". Without a length it is all bits. 0 or -EINVAL. */
int l3text_prefix(const char *s, struct ipn_l3_prefix *out);
/* "10.1.0.1": no length may be there. */
int l3text_addr(const char *s, struct ipn_l3_prefix *out);
/* "02:00:00:00:00:01" */
int l3text_mac(const char *s, __u8 mac[6]);
/*
 * A route: to ("default" or "default6" for all), word ("via" or "port") and what follows it; port:
 * that of the next hop, or IPN_L3_PORT_ANY. 0, or -EINVAL and *wrong is the argument that is.
 */
int l3text_route(const char *to, const char *word, const char *value, __u32 port,
		 struct ipn_l3_route *out, const char **wrong);
/* The address, and with len the length of its prefix. Returns buf. */
const char *l3text_show(const struct ipn_l3_prefix *p, int len, char buf[L3TEXT_SIZE]);

#endif
