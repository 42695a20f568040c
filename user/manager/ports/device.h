/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interfaces that the fabric makes: taps of VMs, veth pairs of containers and of the host. */
#ifndef IPN_MANAGER_DEVICE_H
#define IPN_MANAGER_DEVICE_H

struct errtext;
struct link_info;
struct node;
struct node_want;

/* Names of the fabric's own ends. */
#define FAB_TAP "ipnp%d"
#define FAB_VETH "ipnv%d"

/* The other end of a veth, where that is here. -ENODEV. */
int device_far(struct node *node, struct link_info *far);
/* What to say when making an interface failed with r. Returns r. */
int device_make_failed(int r, const struct node_want *want, struct errtext *e);
/* port_kind.attach and .reattach of those whose frames come in at tc. */
int device_attach(struct node *node);
void device_reattach(struct node *node);

#endif
