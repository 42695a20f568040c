/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manager: one process with one event loop, which alone changes its objects. Threads do what
 * may take long and touch nothing of those: closing descriptors of clients, sending what is in the
 * punt ring, making AF_XDP sockets. It decides who may join and keeps the maps true. It is not on
 * the data path, and the fabric does not need it to go on: everything it knows that must outlive it
 * stands in pinned maps, and the next manager adopts it from there.
 */
#ifndef IPN_MANAGER_H
#define IPN_MANAGER_H

#include "common/manager_opts.h"

/* `up`. Prints its own errors, one line each. Returns the exit status. */
int manager_run(const struct manager_opts *opts);

/* `down` when no manager runs: removes what a dead one left. Returns the exit status. */
int manager_down_offline(const struct manager_opts *opts);

#endif
