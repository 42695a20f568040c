/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_COUNTS_H
#define IPN_MANAGER_COUNTS_H

struct net;

/*
 * Counts the ports, readers and writers of a network anew, and tells programs and processes if that
 * has changed.
 */
void net_count(struct net *net);

#endif
