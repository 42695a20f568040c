/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs that come in by a VDE listener, until they are ports. */
#ifndef IPN_MANAGER_VDE_CLIENT_H
#define IPN_MANAGER_VDE_CLIENT_H

struct listener;
struct vde_clients;

/* Takes those that come by listener->fd from now on. */
int vde_clients_begin(struct listener *listener);
/* Turns away those that are not ports yet, and takes no more. */
void vde_clients_end(struct listener *listener);

#endif
