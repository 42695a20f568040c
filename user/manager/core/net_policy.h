/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The callbacks of a network's policy, with what they are to know of the network and its port. */
#ifndef IPN_MANAGER_NET_POLICY_H
#define IPN_MANAGER_NET_POLICY_H

#include <ipn/abi.h>
#include <ipn/policy_abi.h>
#include <stdbool.h>

struct errtext;
struct fabric;
struct net;
struct node;

bool net_policy_has(const struct net *net, enum ipn_policy_call which);
/*
 * Runs a callback. net and node (or NULL) fill in what `call` says of them; name, len and data are
 * the caller's, and data is as the callback left it. Returns what the callback did (>= 0, or
 * -errno), or -EOPNOTSUPP when the policy has none.
 */
int net_policy_call(struct net *net, const struct node *node, enum ipn_policy_call which,
		    struct ipn_call *call);
/*
 * setsockopt, getsockopt, ioctl: of loaded and of built-in policies. uid and manager in `call` are
 * the caller's, too. *e says what is wrong.
 */
int net_policy_option(struct net *net, const struct node *node, enum ipn_policy_call which,
		      struct ipn_call *call, struct errtext *e);
/* The same for callbacks that tell the policy something and want nothing. */
void net_policy_tell(struct net *net, const struct node *node, enum ipn_policy_call which);
/* newport: the policy chooses, or refuses, the port. *want becomes its choice. */
int net_policy_newport(struct net *net, enum ipn_kind kind, __u32 flags, __u32 uid, __s32 *want,
		       struct errtext *e);
/* How many networks have this policy. */
__u32 net_policy_users(const struct fabric *f, __u32 number);

#endif
