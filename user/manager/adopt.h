/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_ADOPT_H
#define IPN_MANAGER_ADOPT_H

struct errtext;
struct fabric;

/*
 * Makes networks and nodes from the maps, and removes what is half made. The second part follows
 * when there is an event loop. A phase that fails is named in *e.
 */
int adopt(struct fabric *f, struct errtext *e);
int adopt_with_loop(struct fabric *f, struct errtext *e);

#endif
