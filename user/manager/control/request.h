/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests: what each may be made of, who answers it, and what those have in common.
 */
#ifndef IPN_MANAGER_REQUEST_H
#define IPN_MANAGER_REQUEST_H

#include <ipn/control.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/errtext.h"
#include "manager/access/rights.h"
#include "manager/control/session.h"

struct perm_inode;

struct request {
	struct session *s;
	const struct ipn_ctl_hdr *hdr;
	const void *body;
	int *fds;
	unsigned int nfds;
	/* reply */
	__u8 *reply;
	size_t reply_len;               /* of the body */
	int reply_fds[IPN_CTL_MAX_FDS]; /* closed when they are sent */
	unsigned int nreply_fds;
	struct errtext e;
};
#define REQUEST_LATER 1 /* of a handler: it will be answered by session_answer */
#define REQUEST_AGAIN 2 /* not done yet: it is looked at again in the next turn of its user */
#define REPLY_ROOM (IPN_CTL_MAX_PACKET - sizeof(struct ipn_ctl_hdr))

/* A row: a request is looked at only when its length and number of descriptors fit. */
struct request_kind {
	int (*fn)(struct request *q);
	size_t body;
	unsigned int min_fds, max_fds;
	bool joins; /* it matters for it who has left: sessions_reap */
};
extern const struct request_kind request_kinds[IPN_CTL_TYPES];

/* Checks a packet of len bytes against its row and answers it: 0, -errno, or REQUEST_*. */
int request_dispatch(struct request *q, size_t len);

/* --- what requests have in common --- */

/* May it know of this network? Whoever made it, or may do anything with it, may. */
bool session_sees(struct session *s, struct net *net);
/* The network of a descriptor that came with the request. -ECONNREFUSED: it is none. */
int request_net(struct request *q, int fd, struct net **net, struct perm_inode *inode);
/* The same, of a client that has this right on it. */
int request_right(struct request *q, enum right right, int fd, struct net **net);
/* A list may be of one network, or of all (*only is NULL). */
int request_list_of(struct request *q, struct net **only);
/* Is this the policy of the network, if one is asked for? -EPROTO. */
int request_policy_fits(struct request *q, const struct net *net, __u32 policy);
int request_reply_net(struct request *q, struct net *net);
int request_reply_port(struct request *q, struct node *node);

/* --- by subject --- */

int req_net_add(struct request *q);
int req_net_del(struct request *q);
int req_net_del_id(struct request *q);
int req_net_get(struct request *q);
int req_resize(struct request *q);
int req_bind(struct request *q);

int req_connect(struct request *q);
int req_shutdown(struct request *q);
int req_descr(struct request *q);
int req_rejoin(struct request *q);
int req_lifeline(struct request *q);
int req_log(struct request *q);
int req_netdev(struct request *q);

int req_attach(struct request *q);
int req_detach(struct request *q);
int req_cable(struct request *q);
int req_xsk_open(struct request *q);
int req_listener(struct request *q);

int req_info(struct request *q);
int req_net_list(struct request *q);
int req_port_list(struct request *q);
int req_fdb_list(struct request *q);
int req_quota_list(struct request *q);
int req_monitor(struct request *q);
int req_down(struct request *q);

int req_policy_load(struct request *q);
int req_policy_unload(struct request *q);
int req_policy_list(struct request *q);
int req_setsockopt(struct request *q);
int req_getsockopt(struct request *q);
int req_ioctl(struct request *q);

#endif
